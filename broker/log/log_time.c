/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking up a time: the first record at or after it.
 *
 * The running maximum finds the extent (it only goes up, so it can be searched), the batches and records
 * there tell the offset. A compressed batch is answered with its base offset: from there on a reader meets
 * the record, and nothing here needs to know how to decompress. When older segments, now deleted, held a
 * greater timestamp, the maximum says nothing and the search goes on batch by batch to the segment's end.
 */
#include "log/log.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "log/log_batch.h"
#include "log/log_index.h"

enum { TIME_BUFFER = 512 << 10 }; /* two extents of the usual size: one read finds it, most of the time */

/* The offset to scan from. One extent earlier when a batch straddles into the one found: the index of a
 * segment that was rebuilt before its last batch was wholly there may not know that batch's timestamp. */
static int time_start(struct log_read *read, int64_t timestamp_ms)
{
    struct log_extent found[2] = { 0 };
    uint32_t at = 0;
    if (read->segment.extents > 0) {
        struct log_index index;
        int result = log_index_open(&index, read->dir, read->id, &read->segment, read->why);
        if (result < 0)
            return result;
        result = log_index_search(&index, log_extent_earlier, timestamp_ms, &at);
        uint32_t from = at ? at - 1 : 0;
        if (result == 0)
            result = log_index_get(&index, from, found, 2);
        log_index_close(&index);
        if (result < 0)
            return result;
        if (at < read->segment.extents) {
            bool earlier = at > 0 && found[1].first_delta > 0;
            read->offset = found[at > 0 && !earlier ? 1 : 0].first_offset;
            return 0;
        }
    }
    for (uint32_t i = 0; i < read->extent_count; i++) {
        const struct log_extent *here = &read->extents[i];
        if (log_extent_earlier(here, timestamp_ms))
            continue;
        const struct log_extent *before = i > 0 ? here - 1 : read->segment.extents > 0 ? &found[0] : here;
        bool earlier = here->first_delta > 0 && before->position + before->bytes == here->position;
        read->offset = (earlier ? before : here)->first_offset;
        return 0;
    }
    return -ENODATA;
}

/* The first record of a batch at or after the time; false when there is none. */
static bool time_in_batch(const struct batch *batch, int64_t timestamp_ms, uint64_t *offset,
                          int64_t *found_ms)
{
    if (batch->max_timestamp_ms < timestamp_ms)
        return false;
    *offset = (uint64_t)batch->base_offset;
    *found_ms = batch->max_timestamp_ms;
    if ((batch->attributes & (BATCH_CODEC_MASK | BATCH_LOG_APPEND_TIME)) != 0)
        return true;
    struct record_iter it;
    struct record record;
    record_iter_init(&it, batch, (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER });
    while (record_next(&it, &record) > 0)
        if (record.timestamp_ms >= timestamp_ms) {
            *offset = (uint64_t)record.offset;
            *found_ms = record.timestamp_ms;
            return true;
        }
    return false; /* the record with the greatest timestamp was taken out by a rule */
}

static bool time_in_batches(const struct log_read *read, int64_t timestamp_ms, uint64_t *offset,
                            int64_t *found_ms)
{
    struct batch batch;
    for (uint32_t at = 0; at < read->bytes; at += batch.bytes) {
        if (!batch_decode(&batch, read->data + at, read->bytes - at))
            return false;
        if (time_in_batch(&batch, timestamp_ms, offset, found_ms))
            return true;
    }
    return false;
}

int log_find_time(const char *dir, struct log_id id, const struct log_segment *segment,
                  const struct log_extent *extents, uint32_t extent_count, int64_t timestamp_ms,
                  uint64_t *offset, int64_t *found_ms, char *why)
{
    struct log_read read = { .dir = dir,
                             .id = id,
                             .segment = *segment,
                             .extents = extents,
                             .extent_count = extent_count,
                             .buffer_bytes = TIME_BUFFER };
    int result = time_start(&read, timestamp_ms);
    read.buffer = mem_alloc_aligned(MEM_LOG, read.buffer_bytes, LOG_BLOCK);
    while (result == 0) {
        result = log_read(&read);
        if (result == -EMSGSIZE) {
            mem_free(MEM_LOG, read.buffer, read.buffer_bytes);
            read.buffer_bytes = read.bytes_needed;
            read.buffer = mem_alloc_aligned(MEM_LOG, read.buffer_bytes, LOG_BLOCK);
            result = 0;
            continue;
        }
        if (result == 0 && time_in_batches(&read, timestamp_ms, offset, found_ms))
            break;
        read.offset = read.next_offset;
    }
    mem_free(MEM_LOG, read.buffer, read.buffer_bytes);
    if (why)
        memcpy(why, read.why, LOG_WHY_BYTES);
    return result;
}
