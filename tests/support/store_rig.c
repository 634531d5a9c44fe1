/* SPDX-License-Identifier: Apache-2.0 */
#include "store_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

void rig_init(struct rig *rig, const char *dir)
{
    memset(rig, 0, sizeof(*rig));
    snprintf(rig->dir, sizeof(rig->dir), "%s", dir);
    rig->options = (struct store_options){
        .data_dir = rig->dir,
        .partitions_default = 3,
        .topics_max = 1000,
        .partitions_max = 10000,
        .topic_partitions_max = 1024,
        .batch_bytes_max = 128 << 10,
        .request_bytes_max = 256 << 10,
        .producers_max = 64,
        .tail_bytes_max = 2 << 20,
        .history_bytes_max = 4 << 20,
        .disk_reserve_bytes = 0,
        .journal_file_bytes = 4 << 20,
        .journal_files_max = 4,
        .journal_writes_max = 2,
        .flush_writes_max = 4,
    };
    settings_init(&rig->options.topic_defaults);
    rig->options.topic_defaults.segment_bytes = 1 << 20;
    rig->options.topic_defaults.max_message_bytes = 128 << 10;
}

void rig_temp_dir(char *out)
{
    const char *base = getenv("TMPDIR");
    snprintf(out, 256, "%s/runnel-test-XXXXXX", base ? base : "/var/tmp");
    cr_assert_not_null(mkdtemp(out));
}

void rig_remove(const char *dir)
{
    char command[512];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

static void rig_durable(void *ctx, uint64_t sequence)
{
    struct rig *rig = ctx;
    cr_assert(sequence >= rig->durable_sequence);
    rig->durable_sequence = sequence;
}

static void rig_failed(void *ctx, const char *text)
{
    struct rig *rig = ctx;
    (void)text;
    rig->failed = true;
}

int rig_open(struct rig *rig)
{
    const struct io_options io_options = { .entries = 256, .recv_buffers = 2, .recv_buffer_bytes = 4096 };
    const struct store_events events = { .ctx = rig, .on_durable = rig_durable, .on_failed = rig_failed };
    cr_assert_eq(io_create(&rig->io, &io_options, rig->why, sizeof(rig->why)), 0, "%s", rig->why);
    cr_assert_eq(work_create(&rig->work, rig->io, 2), 0);
    if (!rig->clock.read)
        clock_init(&rig->clock);
    if (!rig->timers) /* else somebody above the store has them already */
        rig->timers = timers_create(rig->clock.mono_ns);
    rig->durable_sequence = 0;
    rig->why[0] = 0;
    int result = store_open(&rig->store, &rig->options, rig->io, rig->work, rig->timers, &rig->clock, &events,
                            &rig->report, rig->why);
    if (result) {
        rig->store = NULL;
        rig_close(rig);
    }
    return result;
}

void rig_turn(struct rig *rig)
{
    clock_update(&rig->clock);
    uint64_t wait = timers_wait(rig->timers, rig->clock.mono_ns);
    io_turn(rig->io, wait < 10000000 ? wait : 10000000, true);
    clock_update(&rig->clock);
    work_collect(rig->work);
    timers_fire(rig->timers, rig->clock.mono_ns);
    store_turn_end(rig->store);
}

void rig_settle(struct rig *rig)
{
    uint64_t sequence = store_sequence(rig->store) - 1;
    store_turn_end(rig->store);
    /* The open group may hold entries: its sequence counts then. */
    while (!rig->failed && (store_durable_sequence(rig->store) < sequence || store_busy(rig->store)))
        rig_turn(rig);
}

void rig_close(struct rig *rig)
{
    if (rig->store) {
        store_stop(rig->store);
        while (!store_stopped(rig->store))
            rig_turn(rig);
        store_destroy(rig->store);
        rig->store = NULL;
    }
    while (work_pending(rig->work)) {
        io_turn(rig->io, 1000000, true);
        work_collect(rig->work);
    }
    work_destroy(rig->work);
    timers_destroy(rig->timers);
    rig->timers = NULL;
    io_destroy(rig->io);
}

struct topic *rig_topic(struct rig *rig, const char *name, uint32_t partitions)
{
    struct topic *t = catalog_find(rig->store, bytes_of(name));
    if (t)
        return t;
    while (!store_room(rig->store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
        rig_turn(rig);
    char why[256];
    cr_assert_eq(catalog_create(rig->store, bytes_of(name), partitions, NULL, NULL, 0, &t, why), ERR_OK, "%s",
                 why);
    return t;
}

/* The value that belongs at an offset. */
static uint32_t rig_value(uint8_t *out, const struct partition *p, uint64_t offset, uint32_t bytes)
{
    int n = snprintf((char *)out, 64, "%.20s/%u/%llu/", partition_topic(p)->name, partition_number(p),
                     (unsigned long long)offset);
    uint64_t x = offset * 0x9e3779b97f4a7c15u + partition_number(p) + 1;
    uint32_t len = (uint32_t)n + (uint32_t)(x % (bytes / 2 + 1)) + bytes / 2;
    for (uint32_t i = (uint32_t)n; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56);
    }
    return len;
}

uint32_t rig_batch(uint8_t *out, uint32_t room, const struct partition *p, uint64_t offset, uint32_t count,
                   uint32_t bytes, int64_t timestamp_ms)
{
    uint8_t *value = malloc(bytes * 2 + 128);
    struct batch_builder b;
    batch_build_start(&b, out, room);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = rig_value(value, p, offset + i, bytes);
        /* The length is the reader's to know: it is in the key. */
        uint8_t key[4];
        memcpy(key, &bytes, 4);
        cr_assert(batch_build_add(&b, timestamp_ms, (struct bytes){ key, 4 }, (struct bytes){ value, len },
                                  NULL, 0));
    }
    free(value);
    return batch_build_finish(&b, -1, -1, -1);
}

uint64_t rig_append(struct rig *rig, struct partition *p, uint32_t count, uint32_t bytes)
{
    /* Offsets are dense, so the next one is the last appended's end: known from the last answer. */
    static uint8_t buffer[1 << 20];
    char why[256];
    struct batch batch;
    struct append_result result;
    uint64_t offset = partition_next(p);
    uint32_t n = rig_batch(buffer, sizeof(buffer), p, offset, count, bytes, rig->clock.wall_ms);
    cr_assert_eq(batch_check(&batch, buffer, n, why), ERR_OK, "%s", why);
    while (!rig->failed && !store_room(rig->store, JOURNAL_NORMAL, 1, n))
        rig_turn(rig);
    if (rig->failed)
        return UINT64_MAX;
    cr_assert_eq(partition_check(p, &batch, why), ERR_OK, "%s", why);
    partition_append(p, &batch, &result);
    cr_assert_eq(result.base_offset, offset);
    return result.base_offset;
}

/* ---- verifying ---- */

struct rig_history {
    struct history_read read;
    bool done;
};

static void rig_history_done(struct history_read *read)
{
    CONTAINER_OF(read, struct rig_history, read)->done = true;
}

static uint64_t rig_verify_slice(struct partition *p, const struct slice *slice, uint64_t next)
{
    uint8_t *value = malloc(4 << 20);
    for (uint32_t at = 0; at < slice->bytes;) {
        struct batch batch;
        struct record record;
        struct record_iter it;
        char why[256];
        cr_assert_eq(batch_check(&batch, slice->data + at, slice->bytes - at, why), ERR_OK, "offset %llu: %s",
                     (unsigned long long)next, why);
        record_iter_init(&it, &batch, (struct bytes){ batch.at + BATCH_HEADER, batch.bytes - BATCH_HEADER });
        while (record_next(&it, &record) == 1) {
            if ((uint64_t)record.offset < next)
                continue; /* the first batch may begin before the offset asked for */
            cr_assert_eq((uint64_t)record.offset, next);
            uint32_t bytes;
            memcpy(&bytes, record.key.at, 4);
            uint32_t len = rig_value(value, p, next, bytes);
            cr_assert(len == record.value.len && memcmp(value, record.value.at, len) == 0,
                      "offset %llu of %s/%u has other bytes", (unsigned long long)next,
                      partition_topic(p)->name, partition_number(p));
            next++;
        }
        at += batch.bytes;
    }
    free(value);
    return next;
}

uint64_t rig_verify(struct rig *rig, struct partition *p, uint64_t from)
{
    struct cursor cursor = { .offset = from };
    uint64_t next = from, seed = from;
    for (;;) {
        struct slice slice = { 0 };
        seed = seed * 6364136223846793005u + 1;
        uint32_t bytes_max = 1 + (uint32_t)(seed >> 45);
        switch (partition_read(p, &cursor, bytes_max, &slice)) {
        case READ_DATA:
            break;
        case READ_END:
            return next - from;
        case READ_HISTORY: {
            struct rig_history *h = calloc(1, sizeof(*h));
            history_start(&h->read, p, cursor.offset, bytes_max, rig_history_done);
            while (!h->done)
                rig_turn(rig);
            cr_assert_eq(h->read.error, ERR_OK, "%s", h->read.read.why);
            slice = h->read.slice;
            cursor = (struct cursor){ .offset = h->read.next_offset };
            free(h);
            break;
        }
        default:
            cr_assert_fail("offset %llu cannot be read", (unsigned long long)cursor.offset);
        }
        next = rig_verify_slice(p, &slice, next);
        cr_assert_eq(next, cursor.offset);
        slice_release(rig->store, &slice);
    }
}
