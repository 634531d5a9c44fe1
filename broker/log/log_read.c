/* SPDX-License-Identifier: Apache-2.0
 *
 * Catch-up reading: a run of extents, read directly, checked, cut to whole batches.
 *
 * An extent is the unit of checking, so a read takes whole extents from the one where the wanted batch
 * starts; the bytes before that batch are read for the checksum's sake only. A batch that the buffer's end
 * cuts is left to the next read, which is given the beginning: so reading on from there reads nothing twice.
 */
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "log/log_batch.h"
#include "log/log_entry.h"
#include "log/log_index.h"
#include "log/log_path.h"

/* The extents that a read may use, in order and contiguous; the first one holds the wanted offset. */
struct read_plan {
    struct log_extent *extents;
    uint32_t capacity, count;
    uint32_t fit;   /* of these, how many fit the buffer in whole */
    uint32_t bytes; /* what those hold */
    uint64_t from;  /* position where they start; 0: wherever the first one does */
    uint32_t head;  /* bytes of the buffer before them: the carry, at their end */
    uint32_t carry; /* bytes of it */
};

/* Not errnos. */
enum {
    READ_FURTHER = 1,  /* none of the extents read holds the offset (it lies in a gap): go on behind them */
    READ_NO_CARRY = 2, /* the carry does not belong here: read without it */
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
}

static uint64_t plan_end(const struct read_plan *plan)
{
    const struct log_extent *last = &plan->extents[plan->count - 1];
    return last->position + last->bytes;
}

static bool plan_full(const struct read_plan *plan, const struct log_read *read)
{
    return plan->count == plan->capacity ||
           (plan->count > 0 && plan_end(plan) - plan->extents[0].position > read->buffer_bytes - plan->head);
}

/* Drops those of `got` new extents that lie before the wanted position. */
static uint32_t plan_drop(struct read_plan *plan, uint32_t got)
{
    struct log_extent *new = plan->extents + plan->count;
    uint32_t drop = 0;
    while (drop < got && new[drop].position < plan->from)
        drop++;
    memmove(new, new + drop, (got - drop) * sizeof(*new));
    return got - drop;
}

/* Takes extents from the index, from entry `at` on. */
static int plan_from_index(struct read_plan *plan, const struct log_read *read, struct log_index *index,
                           uint32_t at)
{
    while (at < read->segment.extents && !plan_full(plan, read)) {
        uint32_t room = plan->capacity - plan->count;
        int got = log_index_get(index, at, plan->extents + plan->count,
                                room < LOG_INDEX_STEP ? room : LOG_INDEX_STEP);
        if (got <= 0)
            return got;
        at += (uint32_t)got;
        plan->count += plan_drop(plan, (uint32_t)got);
    }
    return 0;
}

/* Goes on into the caller's extents: with the one that starts where the plan ends. */
static int plan_from_caller(struct read_plan *plan, struct log_read *read, uint32_t at)
{
    for (uint32_t i = at; i < read->extent_count && !plan_full(plan, read); i++) {
        const struct log_extent *extent = &read->extents[i];
        uint64_t wanted = plan->count > 0 ? plan_end(plan) : plan->from;
        if (extent->position < wanted)
            continue; /* the index has it meanwhile */
        if (extent->position > wanted && wanted > 0)
            return 0;
        if (extent->position % LOG_BLOCK != 0 || extent->bytes == 0 || extent->bytes > LOG_EXTENT_BYTES_MAX ||
            extent->first_delta > extent->bytes) {
            log_say(read->why, read->dir, read->segment.base_offset, "log",
                    "extent at position %" PRIu64 " as listed in memory is impossible", extent->position);
            return -EBADMSG;
        }
        plan->extents[plan->count++] = *extent;
    }
    return 0;
}

/* The plan of the extents from the last one that starts by `offset` on, or from position plan->from. */
static int plan_make(struct read_plan *plan, struct log_read *read)
{
    plan->count = 0;
    int64_t offset = (int64_t)read->offset;
    uint32_t at = 0;
    if (read->extent_count > 0 && log_extent_starts_by(&read->extents[0], offset)) {
        while (at + 1 < read->extent_count && log_extent_starts_by(&read->extents[at + 1], offset))
            at++;
        return plan_from_caller(plan, read, at);
    }
    if (read->segment.extents > 0) {
        struct log_index index;
        int result = log_index_open(&index, read->dir, read->id, &read->segment, read->why);
        if (result == 0) {
            result = log_index_search(&index, log_extent_starts_by, offset, &at);
            if (result == 0)
                result = plan_from_index(plan, read, &index, at ? at - 1 : 0);
            log_index_close(&index);
        }
        read->index_damaged = result == -EBADMSG;
        if (result < 0)
            return result;
    }
    return plan_from_caller(plan, read, 0);
}

/* Counts what fits. A buffer too small for the first extent is told so before anything is read. */
static int plan_fit(struct read_plan *plan, struct log_read *read)
{
    if (plan->count == 0)
        return plan->from < read->segment.bytes ? -EAGAIN : -ENODATA;
    uint64_t start = plan->extents[0].position;
    plan->fit = 0;
    plan->bytes = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t bytes = plan->extents[i].position + plan->extents[i].bytes - start;
        if (round_up(bytes) > read->buffer_bytes - plan->head)
            break;
        plan->fit = i + 1;
        plan->bytes = (uint32_t)bytes;
    }
    if (plan->fit > 0)
        return 0;
    read->bytes_needed = plan->head + (uint32_t)round_up(plan->extents[0].bytes);
    return -EMSGSIZE;
}

static int read_check(struct log_read *read, const struct log_extent *extent, const uint8_t *bytes)
{
    uint64_t base = read->segment.base_offset;
    uint32_t computed = log_extent_checksum(read->id, base, extent->position, bytes, extent->bytes);
#ifdef RUNNEL_SABOTAGE_CRC_UNCHECKED
    computed = extent->checksum;
#endif
    if (computed == extent->checksum)
        return 0;
    log_say(read->why, read->dir, base, "log",
            "bytes %" PRIu64 " to %" PRIu64 " are damaged: checksum %08x, computed %08x", extent->position,
            extent->position + extent->bytes, extent->checksum, computed);
    return -EBADMSG;
}

/* Reads `bytes` bytes at `position` of the .log to `out`: whole blocks, which may be cut by the file's end.
 */
static int read_piece(int fd, struct log_read *read, uint8_t *out, uint64_t position, uint64_t bytes)
{
    uint64_t base = read->segment.base_offset;
    int64_t got = file_read(fd, out, round_up(bytes), position);
    if (got < 0) {
        log_say(read->why, read->dir, base, "log", "reading at position %" PRIu64 " failed: %s", position,
                strerror((int)-got));
        return (int)got;
    }
    if ((uint64_t)got < bytes) {
        log_say(read->why, read->dir, base, "log", "the file ends at position %" PRIu64 ", before %" PRIu64,
                position + (uint64_t)got, position + bytes);
        return -EBADMSG;
    }
    return 0;
}

/* Reads and checks the extents that fit, a piece of them at a time. One read of all would be a third faster
 * on an idle disk, and the journal's next write, which acknowledgements wait for, would stand behind all of
 * it: with 256 KiB its 95th percentile is a third of that with 1 MiB. */
static int read_extents(int fd, struct log_read *read, const struct read_plan *plan)
{
    enum { PIECE_BYTES = 256 << 10 };
    uint64_t start = plan->extents[0].position;
    uint8_t *buffer = read->buffer + plan->head;
    int result = 0;
    for (uint32_t i = 0, to; i < plan->fit && result == 0; i = to) {
        uint64_t from = plan->extents[i].position, bytes = 0;
        for (to = i; to < plan->fit && (to == i || bytes + plan->extents[to].bytes <= PIECE_BYTES); to++)
            bytes += plan->extents[to].bytes;
        result = read_piece(fd, read, buffer + (from - start), from, bytes);
        for (uint32_t k = i; k < to && result == 0; k++)
            result = read_check(read, &plan->extents[k], buffer + (plan->extents[k].position - start));
    }
    return result;
}

/* How large a buffer must be to hold the extents up to `end` (a position). */
static int read_needs(struct log_read *read, const struct read_plan *plan, uint64_t end)
{
    enum {
        EXTENT_BYTES_USUAL = 256 << 10
    }; /* asked for on top when the extents at `end` are not known here */
    uint64_t start = plan->extents[0].position;
    uint64_t needed = round_up(end - start) + EXTENT_BYTES_USUAL;
    if (end > read->segment.bytes) {
        log_say(read->why, read->dir, read->segment.base_offset, "log",
                "a batch before position %" PRIu64 " goes on past the segment's end %" PRIu64, end,
                read->segment.bytes);
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t extent_end = plan->extents[i].position + plan->extents[i].bytes;
        if (extent_end >= end) {
            needed = round_up(extent_end - start);
            break;
        }
    }
    if (plan->fit == plan->count)
        return -EAGAIN; /* every extent known from here on was read, and they do not reach */
    needed += plan->head;
    if (needed <= read->buffer_bytes)
        needed = (uint64_t)read->buffer_bytes + LOG_BLOCK;
    CHECK(needed <= INT32_MAX); /* an extent's limit and a batch's */
    read->bytes_needed = (uint32_t)needed;
    return -EMSGSIZE;
}

static int read_bad_batch(struct log_read *read, uint64_t position, const char *what)
{
    log_say(read->why, read->dir, read->segment.base_offset, "log", "batch at position %" PRIu64 ": %s",
            position, what);
    return -EBADMSG;
}

/* Where the first batch that starts in the extents read starts: bytes from their beginning; none: their end.
 */
static uint32_t read_first(const struct read_plan *plan, uint64_t *expected)
{
    for (uint32_t i = 0; i < plan->fit; i++) {
        const struct log_extent *extent = &plan->extents[i];
        if (extent->first_delta == extent->bytes)
            continue; /* nothing starts there: the middle of a large batch */
        *expected = extent->first_offset;
        return (uint32_t)(extent->position - plan->extents[0].position) + extent->first_delta;
    }
    return plan->bytes;
}

/* Walks the batches in the buffer: stores the range of whole ones from that which holds the offset on. */
static int read_batches(struct log_read *read, struct read_plan *plan)
{
    const uint8_t *bytes = read->buffer + plan->head - plan->carry, *data = NULL;
    uint64_t start = plan->extents[0].position - plan->carry, expected = 0;
    uint32_t total = plan->carry + plan->bytes;
    uint32_t first = plan->carry + read_first(plan, &expected), at = first;
    if (plan->carry > 0) {
        at = 0;
        expected = 0;
    }
    struct batch batch;
    const char *what = NULL;
    enum log_batch_result taken = LOG_BATCH_OK;
    while (at < total) {
        taken = log_batch_take(&batch, bytes + at, total - at, expected, &what);
        if (taken != LOG_BATCH_OK)
            break;
        /* The carry must lead to where the index says that the next batch starts: otherwise it is not ours.
         */
        if (at < plan->carry && at + batch.bytes != first)
            return READ_NO_CARRY;
        uint64_t end = log_batch_end(&batch);
        if (!data && end > read->offset)
            data = bytes + at;
        expected = end;
        at += batch.bytes;
    }
    if (at < plan->carry && (taken == LOG_BATCH_BAD || first != total))
        return READ_NO_CARRY;
    if (taken == LOG_BATCH_BAD)
        return read_bad_batch(read, start + at, what);
    if (data) {
        read->data = data;
        read->bytes = (uint32_t)(bytes + at - data);
        read->next_offset = expected;
        read->rest_bytes = total - at;
        read->rest_end = start + total;
        return 0;
    }
    if (taken == LOG_BATCH_OK || (batch.bytes && log_batch_end(&batch) <= read->offset)) {
        plan->from = start + total;
        return READ_FURTHER;
    }
    return read_needs(read, plan, start + at + (batch.bytes ? batch.bytes : BATCH_HEADER));
}

/* Makes the plan and carries it out, again behind what was read while that does not hold the offset. */
static int read_run(int fd, struct log_read *read, struct read_plan *plan)
{
    int result = READ_FURTHER;
    while (result == READ_FURTHER) {
        result = plan_make(plan, read);
        if (result == 0 && plan->carry > 0 &&
            (plan->count == 0 || plan->extents[0].position != read->carry_end))
            result = READ_NO_CARRY;
        if (result == 0)
            result = plan_fit(plan, read);
        if (result == 0)
            result = read_extents(fd, read, plan);
        if (result == 0)
            result = read_batches(read, plan);
        if (result == READ_FURTHER)
            plan->head = plan->carry = 0; /* it ended before the offset, like all that was read with it */
    }
    return result;
}

int log_read(struct log_read *read)
{
    CHECK((uintptr_t)read->buffer % LOG_BLOCK == 0 && read->buffer_bytes % LOG_BLOCK == 0);
    CHECK(read->buffer_bytes >= LOG_BLOCK);
    read->data = NULL;
    read->bytes = 0;
    read->bytes_needed = 0;
    read->next_offset = read->offset;
    read->rest_bytes = 0;
    read->index_damaged = false;
    read->why[0] = '\0';
    if (read->offset > INT64_MAX || read->offset >= read->segment.end_offset)
        return -ENODATA;

    char path[LOG_PATH_BYTES];
    log_segment_path(path, read->dir, read->segment.base_offset, "log");
    int fd = file_open(path, FILE_READ | FILE_DIRECT, NULL);
    if (fd < 0)
        return fd;
    /* As many extents as can fit the buffer, and one to see how a batch goes on behind it. */
    struct read_plan plan = { .capacity = read->buffer_bytes / LOG_BLOCK + 1 };
    if (plan.capacity > read->segment.extents + read->extent_count + 1)
        plan.capacity = read->segment.extents + read->extent_count + 1;
    uint64_t plan_bytes = (uint64_t)plan.capacity * sizeof(*plan.extents);
    plan.extents = mem_alloc(MEM_LOG, plan_bytes);

    int result = READ_NO_CARRY;
    if (read->carry_bytes > 0 && round_up(read->carry_bytes) < read->buffer_bytes) {
        plan.carry = read->carry_bytes;
        plan.head = (uint32_t)round_up(read->carry_bytes);
        plan.from = read->carry_end;
        memcpy(read->buffer + plan.head - plan.carry, read->carry, plan.carry);
        result = read_run(fd, read, &plan);
    }
    if (result == READ_NO_CARRY) {
        plan.carry = plan.head = 0;
        plan.from = 0;
        result = read_run(fd, read, &plan);
    }
    mem_free(MEM_LOG, plan.extents, plan_bytes);
    file_close(fd);
    return result;
}
