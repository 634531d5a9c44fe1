/* SPDX-License-Identifier: Apache-2.0
 *
 * Making segments for the tests of the log room.
 */
#include "log_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "proto/batch.h"

uint32_t fixture_random(struct fixture *f)
{
    f->rng = f->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(f->rng >> 33);
}

void fixture_path(const struct fixture *f, char *out, const char *suffix)
{
    log_segment_path(out, f->dir, f->segment.base_offset, suffix);
}

/* One batch of 1..8 records at `p`; returns its bytes. */
static uint32_t make_batch(struct fixture *f, uint8_t *p, uint32_t room, uint32_t value_bytes, uint64_t base,
                           int64_t *now)
{
    uint8_t *value = malloc(value_bytes + 1);
    struct batch_builder b;
    batch_build_start(&b, p, room);
    uint32_t records = 1 + fixture_random(f) % 8;
    for (uint32_t i = 0; i < records; i++) {
        uint32_t bytes = i == 0 ? value_bytes : fixture_random(f) % (value_bytes / 4 + 1);
        for (uint32_t k = 0; k < bytes; k++)
            value[k] = (uint8_t)fixture_random(f);
        *now += (int64_t)(fixture_random(f) % 20) - 8; /* clocks of producers go back at times */
        cr_assert(batch_build_add(&b, *now, (struct bytes){ 0 }, (struct bytes){ value, bytes }, NULL, 0));
    }
    uint32_t bytes = batch_build_finish(&b, -1, -1, -1);
    batch_set_base_offset(p, (int64_t)base);
    batch_set_leader_epoch(p, 7);
    free(value);
    return bytes;
}

static void make_batches(struct fixture *f, const struct fixture_plan *plan, uint64_t room)
{
    uint64_t at = 0, offset = plan->base_offset;
    int64_t now = 1700000000000;
    for (uint32_t i = 0; i < plan->batches; i++) {
        bool big = plan->big_every && i % plan->big_every == plan->big_every - 1;
        uint32_t value = big ? plan->big_bytes : fixture_random(f) % (plan->value_max + 1);
        if (plan->gaps && i > 0 && fixture_random(f) % 4 == 0)
            offset += 1 + fixture_random(f) % 5;
        uint32_t bytes = make_batch(f, f->bytes + at, (uint32_t)(room - at), value, offset, &now);
        struct batch b;
        cr_assert(batch_decode(&b, f->bytes + at, bytes));
        f->batches[i] = (struct fixture_batch){ at, offset, (uint64_t)batch_end_offset(f->bytes + at), bytes,
                                                b.max_timestamp_ms };
        offset = f->batches[i].end;
        at += bytes;
    }
    f->batch_count = plan->batches;
    f->segment.bytes = at;
}

/* An open segment ends at a block: what lies behind is not on disk yet. */
static void cut_at_block(struct fixture *f)
{
    f->segment.bytes -= f->segment.bytes % LOG_BLOCK;
    while (f->batch_count > 0) {
        const struct fixture_batch *last = &f->batches[f->batch_count - 1];
        if (last->position + last->bytes <= f->segment.bytes)
            break;
        f->batch_count--;
    }
}

static void make_extents(struct fixture *f, const struct fixture_plan *plan)
{
    uint32_t next = 0; /* batch that starts next */
    int64_t max_ms = -1;
    f->extents = calloc(f->segment.bytes / LOG_BLOCK + 1, sizeof(*f->extents));
    for (uint64_t at = 0; at < f->segment.bytes;) {
        uint64_t bytes = (1 + fixture_random(f) % plan->extent_blocks_max) * (uint64_t)LOG_BLOCK;
        if (bytes > f->segment.bytes - at)
            bytes = f->segment.bytes - at;
        struct log_extent *e = &f->extents[f->extent_count++];
        *e = (struct log_extent){ .position = at, .bytes = (uint32_t)bytes, .append_ms = 5 };
        e->checksum = log_extent_checksum(f->id, plan->base_offset, at, f->bytes + at, e->bytes);
        e->first_delta = e->bytes;
        if (next < plan->batches)
            e->first_offset = e->end_offset = f->batches[next].base;
        else
            e->first_offset = e->end_offset = f->batches[next - 1].end;
        for (; next < plan->batches && f->batches[next].position < at + bytes; next++) {
            if (e->first_delta == e->bytes)
                e->first_delta = (uint32_t)(f->batches[next].position - at);
            e->end_offset = f->batches[next].end;
            if (f->batches[next].max_timestamp_ms > max_ms)
                max_ms = f->batches[next].max_timestamp_ms;
        }
        e->max_timestamp_ms = max_ms;
        at += bytes;
    }
    f->segment.max_timestamp_ms = max_ms;
    f->segment.append_ms = 5;
}

static void write_log(struct fixture *f)
{
    char why[LOG_WHY_BYTES];
    int fd;
    bool direct;
    uint64_t whole = (f->segment.bytes + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
    cr_assert_eq(
        log_segment_create(f->dir, f->id, f->segment.base_offset, whole + 16 * LOG_BLOCK, &fd, &direct, why),
        0, "%s", why);
    uint8_t *aligned = mem_alloc_aligned(MEM_LOG, whole + LOG_BLOCK, LOG_BLOCK);
    memset(aligned, 0, whole + LOG_BLOCK);
    memcpy(aligned, f->bytes, f->segment.bytes);
    cr_assert_eq(file_write(fd, aligned, whole, 0), 0);
    mem_free(MEM_LOG, aligned, whole + LOG_BLOCK);
    file_close(fd);
    if (f->segment.sealed)
        cr_assert_eq(log_segment_seal(f->dir, f->segment.base_offset, f->segment.bytes), 0);
    else
        cr_assert_eq(log_segment_sync(f->dir, f->segment.base_offset, true, &(bool){ false }), 0);
}

struct fixture *fixture_build(const struct fixture_plan *given)
{
    struct fixture_plan plan = *given;
    plan.batches = plan.batches ? plan.batches : 100;
    plan.value_max = plan.value_max ? plan.value_max : 600;
    plan.extent_blocks_max = plan.extent_blocks_max ? plan.extent_blocks_max : 4;
    cr_assert(plan.batches <= FIXTURE_BATCHES_MAX);

    struct fixture *f = calloc(1, sizeof(*f));
    f->rng = plan.seed * 2654435761u + 12345;
    f->id = (struct log_id){ .topic_id = 77 + plan.seed, .partition = 3 };
    uint64_t room = (uint64_t)plan.batches * (plan.value_max * 3 + 4096);
    if (plan.big_every)
        room += (uint64_t)(plan.batches / plan.big_every) * (plan.big_bytes * 4u + 4096);
    f->bytes = calloc(1, room);
    f->segment.base_offset = plan.base_offset;
    make_batches(f, &plan, room);
    f->segment.sealed = plan.sealed;
    if (!plan.sealed)
        cut_at_block(f);
    make_extents(f, &plan);
    f->segment.end_offset = f->batch_count ? f->batches[f->batch_count - 1].end : plan.base_offset;
    return f;
}

struct fixture *fixture_make(const struct fixture_plan *plan, uint32_t indexed)
{
    struct fixture *f = fixture_build(plan);
    bool memory = plan->memory && access("/dev/shm", W_OK) == 0;
    snprintf(f->root, sizeof(f->root), "%s/runnel-test-log.XXXXXX", memory ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(f->root));
    snprintf(f->dir, sizeof(f->dir), "%.400s/topics", f->root);
    cr_assert_eq(mkdir(f->dir, 0700), 0);
    snprintf(f->dir, sizeof(f->dir), "%.400s/topics/orders/3", f->root);
    write_log(f);
    f->segment.extents = indexed < f->extent_count ? indexed : f->extent_count;
    char why[LOG_WHY_BYTES];
    uint32_t half = f->segment.extents / 2; /* as two checkpoints do */
    uint64_t base = f->segment.base_offset;
    cr_assert_eq(log_index_append(f->dir, f->id, base, 0, f->extents, half, why), 0, "%s", why);
    cr_assert_eq(
        log_index_append(f->dir, f->id, base, half, f->extents + half, f->segment.extents - half, why), 0,
        "%s", why);
    return f;
}

void fixture_forget(struct fixture *f)
{
    free(f->bytes);
    free(f->extents);
    free(f);
}

void fixture_free(struct fixture *f)
{
    char path[LOG_PATH_BYTES];
    log_segment_delete(f->dir, f->segment.base_offset);
    snprintf(path, sizeof(path), "%s/topics/orders/3", f->root);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/topics/orders", f->root);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/topics", f->root);
    rmdir(path);
    rmdir(f->root);
    fixture_forget(f);
}

uint32_t fixture_find(const struct fixture *f, uint64_t offset)
{
    uint32_t i = 0;
    while (i < f->batch_count && f->batches[i].end <= offset)
        i++;
    return i;
}

void fixture_flip(const struct fixture *f, const char *suffix, uint64_t position, uint8_t mask)
{
    char path[LOG_PATH_BYTES];
    uint8_t byte;
    fixture_path(f, path, suffix);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0);
    cr_assert_eq(pread(fd, &byte, 1, (off_t)position), 1);
    byte ^= mask;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)position), 1);
    close(fd);
}

void fixture_resize(const struct fixture *f, const char *suffix, uint64_t bytes)
{
    char path[LOG_PATH_BYTES];
    fixture_path(f, path, suffix);
    cr_assert_eq(truncate(path, (off_t)bytes), 0);
}

uint64_t fixture_size(const struct fixture *f, const char *suffix)
{
    char path[LOG_PATH_BYTES];
    struct stat st;
    fixture_path(f, path, suffix);
    cr_assert_eq(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

int fixture_read(const struct fixture *f, struct log_read *read, uint64_t offset, uint32_t buffer_bytes)
{
    read->dir = f->dir;
    read->id = f->id;
    read->segment = f->segment;
    read->offset = offset;
    for (int tries = 0;; tries++) {
        cr_assert(tries < 8, "asks for ever larger buffers");
        read->buffer_bytes = buffer_bytes;
        read->buffer = mem_alloc_aligned(MEM_LOG, buffer_bytes, LOG_BLOCK);
        int result = log_read(read);
        if (result != -EMSGSIZE)
            return result;
        cr_assert(read->bytes_needed > buffer_bytes && read->bytes_needed % LOG_BLOCK == 0);
        fixture_read_free(read);
        buffer_bytes = read->bytes_needed;
    }
}

void fixture_read_free(struct log_read *read)
{
    mem_free(MEM_LOG, read->buffer, read->buffer_bytes);
    read->buffer = NULL;
}

void fixture_expect(const struct fixture *f, const struct log_read *read)
{
    uint32_t i = fixture_find(f, read->offset);
    cr_assert(i < f->batch_count);
    uint64_t at = f->batches[i].position, end = at + read->bytes;
    cr_assert(read->bytes >= f->batches[i].bytes && end <= f->segment.bytes);
    cr_assert(memcmp(read->data, f->bytes + at, read->bytes) == 0, "wrong bytes for offset %" PRIu64,
              read->offset);
    while (i < f->batch_count && f->batches[i].position + f->batches[i].bytes <= end)
        i++;
    cr_assert_eq(f->batches[i - 1].position + f->batches[i - 1].bytes, end, "a batch is cut");
    cr_assert_eq(read->next_offset, f->batches[i - 1].end);
}
