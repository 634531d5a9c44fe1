/* SPDX-License-Identifier: Apache-2.0
 *
 * Duplicate windows in a store (partition/duplicates.h) on a simulated disk, with the power cut at every
 * step: after each start an id is known exactly when its event is stored, and with the place where it is.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "io_sim.h"
#include "partition/duplicates.h"
#include "proto/compress.h"
#include "store_rig.h"

enum { EVENTS_MAX = 60000, PARTITIONS = 3, BATCH_EVENTS = 120 };

struct event {
    uint64_t id, offset, sequence;
    uint32_t partition;
};

static struct sim {
    struct rig rig;
    uint64_t random;
    /* outlives the process: */
    struct event *events; /* stored, as far as the process knew; ids in the order in which they were given */
    uint32_t count;
    uint64_t id_next, durable;
    uint64_t asked, files, checkpoints;
} sim;

static uint64_t draw(uint64_t n)
{
    return io_sim_random(&sim.random, n);
}

static bool sim_open(void)
{
    sim.rig.failed = false;
    io_sim_clock(&sim.rig.clock);
    const int result = rig_open(&sim.rig);
    cr_assert(result == 0 || io_sim_dead(), "%s", sim.rig.why);
    return result == 0;
}

static void sim_start(uint64_t seed)
{
    struct event *events = sim.events ? sim.events : malloc(EVENTS_MAX * sizeof(*events));
    memset(&sim, 0, sizeof(sim));
    sim.events = events;
    sim.random = seed;
    diag_set_level(DIAG_ERROR + 1);
    io_sim_start(&(struct io_sim_options){ .seed = seed });
    rig_init(&sim.rig, "/data");
    struct store_options *o = &sim.rig.options;
    o->batch_bytes_max = 16 << 10;
    o->request_bytes_max = 32 << 10;
    o->journal_group_bytes = 4096;
    o->journal_file_bytes = 256 << 10;
    o->journal_files_max = 3;
    o->topic_defaults.max_message_bytes = 16 << 10;
    o->topic_defaults.dedupe_window_ms = 3600000;
    o->dedupe_memory = 64 << 20;
}

/* A batch of the events with these ids. */
static struct batch batch_of(uint8_t *buffer, uint32_t room, const uint64_t *ids, uint32_t count,
                             uint64_t content)
{
    struct batch_builder builder;
    struct batch batch;
    batch_build_start(&builder, buffer, room);
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof(text), "%" PRIu64, ids[i]);
        const struct header header = { bytes_of("ce_id"), bytes_of(text) };
        cr_assert(batch_build_add(&builder, sim.rig.clock.wall_ms, bytes_of("k"),
                                  (struct bytes){ (const uint8_t *)&content, 8 }, &header, 1));
    }
    cr_assert(batch_decode(&batch, buffer, batch_build_finish(&builder, -1, -1, -1)));
    return batch;
}

/* What the store says of one id; nothing stays of the question. */
static enum error ask(struct topic *t, uint64_t id, uint64_t content, struct duplicate_row *row)
{
    uint8_t buffer[512];
    char why[256];
    const struct batch batch = batch_of(buffer, sizeof(buffer), &id, 1, content);
    duplicates_begin(sim.rig.store);
    const enum error code = duplicates_check(t->partitions[draw(PARTITIONS)], &batch, why);
    const struct duplicates found = duplicates_found(sim.rig.store);
    if (code != ERR_OK) {
        cr_assert_eq(found.count, 1, "%s", why);
        *row = found.rows[0];
    }
    duplicates_begin(sim.rig.store);
    sim.asked++;
    return code;
}

static void sim_publish(struct topic *t)
{
    static uint8_t buffer[16 << 10];
    uint64_t ids[BATCH_EVENTS];
    char why[256];
    const uint32_t count = 1 + (uint32_t)draw(BATCH_EVENTS);
    struct partition *p = t->partitions[draw(PARTITIONS)];
    if (sim.count + count > EVENTS_MAX || !store_room(sim.rig.store, JOURNAL_NORMAL, 1, sizeof(buffer)))
        return;
    for (uint32_t i = 0; i < count; i++)
        ids[i] = sim.id_next + i;
    /* Some batches have an event that was published before, and are refused as a whole. */
    const bool again = sim.count && draw(8) == 0;
    uint32_t odd = (uint32_t)draw(count);
    const struct event *before = again ? &sim.events[draw(sim.count)] : NULL;
    if (again)
        ids[odd] = before->id;
    const struct batch batch = batch_of(buffer, sizeof(buffer), ids, count, 1);
    duplicates_begin(sim.rig.store);
    const enum error code = duplicates_check(p, &batch, why);
    if (again) {
        const struct duplicates found = duplicates_found(sim.rig.store);
        cr_assert_eq(code, ERR_DEDUPE_DUPLICATE);
        cr_assert_eq(found.count, 1);
        cr_assert_eq(found.rows[0].event, odd);
        cr_assert_eq(found.rows[0].offset, before->offset);
        cr_assert_eq(found.rows[0].partition, before->partition);
        cr_assert(before->sequence <= store_durable_sequence(sim.rig.store) ||
                      found.sequence >= before->sequence,
                  "the answer would be earlier than the original's");
        if (draw(2))
            duplicates_begin(sim.rig.store); /* else the turn's end takes it back */
        return;
    }
    cr_assert_eq(code, ERR_OK, "%s", why);
    struct append_result result;
    partition_append(p, &batch, &result);
    for (uint32_t i = 0; i < count; i++)
        sim.events[sim.count++] =
            (struct event){ ids[i], result.base_offset + i, result.sequence, partition_number(p) };
    sim.id_next += count;
}

static void sim_work(uint32_t turns)
{
    for (uint32_t i = 0; i < turns && !io_sim_dead() && !sim.rig.failed; i++) {
        struct topic *t = rig_topic(&sim.rig, "t", PARTITIONS);
        for (uint64_t n = draw(4); n > 0; n--)
            sim_publish(t);
        rig_turn(&sim.rig);
        if (sim.rig.durable_sequence > sim.durable)
            sim.durable = sim.rig.durable_sequence;
    }
    sim.checkpoints += store_stats(sim.rig.store)->checkpoints;
    sim.files += store_dedupe_stats(sim.rig.store)->files;
}

static void sim_judge(void)
{
    struct topic *t = catalog_find(sim.rig.store, bytes_of("t"));
    uint32_t kept = 0;
    struct duplicate_row row;
    cr_assert(t || !sim.durable);
    for (uint32_t i = 0; i < sim.count; i++) {
        const struct event e = sim.events[i];
        const bool stored = t && e.offset < partition_end(t->partitions[e.partition]);
        cr_assert(stored || e.sequence > sim.durable, "a durable event is missing");
        if (stored)
            sim.events[kept++] = e;
        /* All of the newest, some of the others. */
        if (t && (i + 3000 > sim.count || i % 17 == 0)) {
            const enum error code = ask(t, e.id, 1, &row);
            cr_assert_eq(code, stored ? ERR_DEDUPE_DUPLICATE : ERR_OK, "id %" PRIu64 " is %sstored", e.id,
                         stored ? "" : "not ");
            cr_assert(!stored || (row.offset == e.offset && row.partition == e.partition));
            if (stored && i % 5 == 0)
                cr_assert_eq(ask(t, e.id, 2, &row), ERR_DEDUPE_CONFLICT);
        }
    }
    sim.count = kept;
    sim.durable = 0;
    for (uint32_t i = 0; i < sim.count; i++)
        sim.events[i].sequence = 0;
    cr_assert(!t || ask(t, sim.id_next + 1000000, 1, &row) == ERR_OK, "never published");
}

static uint64_t sim_life(uint64_t seed, uint64_t step, enum io_sim_mode mode)
{
    sim_start(seed);
    io_sim_crash_at(step, seed + step, mode);
    if (sim_open()) {
        sim_work(260);
        rig_close(&sim.rig);
        if (!io_sim_dead() && sim_open()) {
            sim_judge();
            sim_work(60);
            if (!io_sim_dead())
                io_sim_crash(seed, mode);
            rig_close(&sim.rig);
        }
    }
    const uint64_t steps = io_sim_steps();
    io_sim_restart();
    cr_assert(sim_open());
    sim_judge();
    sim_work(20); /* and it goes on */
    rig_settle(&sim.rig);
    rig_close(&sim.rig);
    cr_assert(sim_open());
    sim_judge();
    rig_close(&sim.rig);
    io_sim_end();
    return steps;
}

Test(store_dedupe, survives_a_cut_at_every_step, .timeout = 0)
{
    const char *every = getenv("RUNNEL_SIM_EVERY");
    uint64_t files = 0, checkpoints = 0, asked = 0;
    const uint64_t steps = sim_life(1, 0, IO_SIM_NONE);
    const uint64_t stride = every ? strtoull(every, NULL, 10) : 1 + steps / 60;
    for (uint64_t step = 1; step <= steps; step += stride) {
        sim_life(1 + step % 5, step, (enum io_sim_mode)(step % 4));
        files += sim.files;
        checkpoints += sim.checkpoints;
        asked += sim.asked;
    }
    fprintf(stderr, "%" PRIu64 " steps, %" PRIu64 " checkpoints, %" PRIu64 " files, %" PRIu64 " answers\n",
            steps, checkpoints, files, asked);
    cr_assert_gt(files, 20, "the test meets no files of ids");
    cr_assert_gt(checkpoints, 50);
}

static void set_window(struct topic *t, const char *value)
{
    const struct bytes name = bytes_of("dedupe.window"), text = bytes_of(value);
    char why[256];
    cr_assert_eq(catalog_set(sim.rig.store, t, &name, &text, 1, why), ERR_OK, "%s", why);
}

static void reopen(void)
{
    rig_settle(&sim.rig);
    rig_close(&sim.rig);
    cr_assert(sim_open());
}

static struct topic *topic(void)
{
    return rig_topic(&sim.rig, "t", PARTITIONS);
}

Test(store_dedupe, off_forgets_and_on_counts_from_then)
{
    struct duplicate_row row;
    sim_start(2);
    cr_assert(sim_open());
    sim_work(20);
    const struct event e = sim.events[0];
    cr_assert_eq(ask(topic(), e.id, 1, &row), ERR_DEDUPE_DUPLICATE);
    for (int restarts = 0; restarts < 2; restarts++) {
        set_window(topic(), "off");
        cr_assert_eq(ask(topic(), e.id, 1, &row), ERR_OK);
        cr_assert_eq(store_dedupe_stats(sim.rig.store)->ids, 0);
        if (restarts)
            reopen();
        set_window(topic(), "on");
        cr_assert_eq(topic()->settings.dedupe_window_ms, 3600000);
        if (restarts)
            reopen();
        cr_assert_eq(ask(topic(), e.id, 1, &row), ERR_OK, "what was published before does not count");
    }
    sim.count = 0;
    sim_work(5);
    cr_assert_gt(sim.count, 0);
    reopen();
    cr_assert_eq(ask(topic(), sim.events[0].id, 1, &row), ERR_DEDUPE_DUPLICATE);
    /* Shorter: at once. */
    io_sim_advance(5000000000);
    rig_turn(&sim.rig);
    set_window(topic(), "1s");
    cr_assert_eq(ask(topic(), sim.events[0].id, 1, &row), ERR_OK);
    rig_close(&sim.rig);
    io_sim_end();
}

Test(store_dedupe, deleting_a_topic_frees_everything)
{
    struct duplicate_row row;
    char why[256];
    uint64_t files = 0;
    sim_start(3);
    cr_assert(sim_open());
    while (!store_dedupe_stats(sim.rig.store)->files)
        sim_work(10);
    const struct event e = sim.events[0];
    cr_assert_eq(catalog_delete(sim.rig.store, topic(), why), ERR_OK);
    cr_assert_eq(store_dedupe_stats(sim.rig.store)->ids, 0);
    cr_assert_eq(store_dedupe_stats(sim.rig.store)->bytes, 0);
    cr_assert_eq(store_dedupe_stats(sim.rig.store)->windows, 0);
    reopen();
    cr_assert_eq(ask(topic(), e.id, 1, &row), ERR_OK, "a topic of the same name is another");
    cr_assert_eq(store_dedupe_stats(sim.rig.store)->files, files);
    rig_close(&sim.rig);
    io_sim_end();
}

/* What the window knows does not hang on the events being there. */
Test(store_dedupe, retention_changes_no_answer)
{
    struct duplicate_row row;
    sim_start(4);
    cr_assert(sim_open());
    topic()->settings.segment_bytes = 65536;
    topic()->settings.retention_bytes = 131072;
    for (int i = 0; i < 400 && partition_start(topic()->partitions[0]) == 0; i++) {
        sim_work(10);
        io_sim_advance(1000000000);
    }
    cr_assert_gt(partition_start(topic()->partitions[0]), 0, "nothing is ever deleted");
    for (int restarts = 0; restarts < 2; restarts++) {
        for (uint32_t i = 0; i < sim.count; i += 11) {
            cr_assert_eq(ask(topic(), sim.events[i].id, 1, &row), ERR_DEDUPE_DUPLICATE);
            cr_assert_eq(row.offset, sim.events[i].offset);
        }
        reopen();
    }
    rig_close(&sim.rig);
    io_sim_end();
}

Test(store_dedupe, events_of_one_batch_are_compared_too)
{
    static uint8_t buffer[16 << 10];
    const uint64_t ids[] = { 5, 6, 5, 7, 6, 5 };
    char why[256];
    sim_start(5);
    cr_assert(sim_open());
    struct partition *p = topic()->partitions[1];
    const struct batch batch = batch_of(buffer, sizeof(buffer), ids, 6, 1);
    duplicates_begin(sim.rig.store);
    cr_assert_eq(duplicates_check(p, &batch, why), ERR_DEDUPE_DUPLICATE);
    const struct duplicates found = duplicates_found(sim.rig.store);
    cr_assert_eq(found.count, 3);
    const uint32_t events[] = { 2, 4, 5 }, originals[] = { 0, 1, 0 };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(found.rows[i].event, events[i]);
        cr_assert_eq(found.rows[i].partition, DUPLICATES_SAME_BATCH);
        cr_assert_eq(found.rows[i].offset, originals[i]);
    }
    rig_close(&sim.rig);
    io_sim_end();
}

/* A record whose offset delta lies, in a batch that is compressed: batch_check() does not look there. */
Test(store_dedupe, compressed_batches_are_opened)
{
    static uint8_t buffer[16 << 10];
    uint64_t ids[100];
    char why[256];
    struct packer packer = { 0 };
    sim_start(6);
    cr_assert(sim_open());
    struct partition *p = topic()->partitions[0];
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 100; i++)
            ids[i] = i;
        struct batch batch = batch_of(buffer, sizeof(buffer), ids, 100, 1);
        const uint32_t packed =
            pack(&packer, CODEC_LZ4, (struct bytes){ buffer + BATCH_HEADER, batch.bytes - BATCH_HEADER });
        cr_assert_gt(packed, 0);
        memcpy(buffer + BATCH_HEADER, packer.bytes, packed);
        const uint32_t bytes = batch_seal(buffer, &batch, CODEC_LZ4, packed);
        cr_assert(batch_decode(&batch, buffer, bytes));
        duplicates_begin(sim.rig.store);
        cr_assert_eq(duplicates_check(p, &batch, why), round ? ERR_DEDUPE_DUPLICATE : ERR_OK, "%s", why);
        struct append_result result;
        if (!round)
            partition_append(p, &batch, &result);
        else
            cr_assert_eq(duplicates_found(sim.rig.store).count, 100);
        reopen(); /* opened again when replayed */
        p = topic()->partitions[0];
        batch.count--; /* not so many are in there */
        duplicates_begin(sim.rig.store);
        cr_assert_eq(duplicates_check(p, &batch, why), ERR_BATCH_INVALID);
        cr_assert(strstr(why, "malformed"), "%s", why);
    }
    packer_free(&packer, true);
    rig_close(&sim.rig);
    io_sim_end();
}
