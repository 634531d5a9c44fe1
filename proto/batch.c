/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch.c: reading batches: header, records, headers. batch_check.c judges them.
 */
#include "proto/batch.h"

#include "proto/batch_layout.h"
#include "proto/batch_records.h"
#include "proto/big_endian.h"

uint64_t batch_bytes(const void *p, uint64_t available)
{
    if (available < BATCH_LENGTH_OVERHEAD)
        return 0;
    uint32_t length = be32_load((const uint8_t *)p + AT_LENGTH);
    if (length < BATCH_HEADER - BATCH_LENGTH_OVERHEAD || length > INT32_MAX - BATCH_LENGTH_OVERHEAD)
        return 0;
    return (uint64_t)length + BATCH_LENGTH_OVERHEAD;
}

bool batch_decode(struct batch *out, const void *p, uint64_t available)
{
    const uint8_t *b = p;
    uint64_t bytes = batch_bytes(p, available);
    if (bytes == 0 || bytes > available)
        return false;
    *out = (struct batch){
        .at = b,
        .bytes = (uint32_t)bytes,
        .base_offset = (int64_t)be64_load(b + AT_BASE_OFFSET),
        .leader_epoch = (int32_t)be32_load(b + AT_LEADER_EPOCH),
        .crc = be32_load(b + AT_CRC),
        .attributes = (int16_t)be16_load(b + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)be32_load(b + AT_LAST_OFFSET_DELTA),
        .base_timestamp_ms = (int64_t)be64_load(b + AT_BASE_TIMESTAMP),
        .max_timestamp_ms = (int64_t)be64_load(b + AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)be64_load(b + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)be16_load(b + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)be32_load(b + AT_BASE_SEQUENCE),
        .count = (int32_t)be32_load(b + AT_COUNT),
    };
    return true;
}

/* ---- records ---- */

void record_iter_init(struct record_iter *it, const struct batch *batch, struct bytes records)
{
    it->r = reader_of(records.at, records.len);
    it->batch = batch;
    it->left = batch->count;
}

int record_next(struct record_iter *it, struct record *out)
{
    const struct batch *b = it->batch;
    if (it->left <= 0)
        return reader_done(&it->r) ? 0 : -1;
    struct record_parts rec;
    const uint8_t *next = it->r.bad ? NULL : record_get(it->r.at, it->r.end, &rec);
    /* A batch that lost records by compaction has gaps, but never leaves its range. */
    if (!next || rec.offset_delta < 0 || rec.offset_delta > b->last_offset_delta) {
        it->r.bad = true;
        return -1;
    }
    it->r.at = next;
    it->left--;
    *out = (struct record){
        .offset = (int64_t)((uint64_t)b->base_offset + (uint64_t)rec.offset_delta),
        .timestamp_ms = b->attributes & BATCH_LOG_APPEND_TIME
                            ? b->max_timestamp_ms
                            : (int64_t)((uint64_t)b->base_timestamp_ms + (uint64_t)rec.timestamp_delta),
        .key = rec.key,
        .value = rec.value,
        .header_count = (uint32_t)rec.header_count,
        .headers = rec.headers,
    };
    return 1;
}

int record_header(struct reader *at, struct bytes *name, struct bytes *value)
{
    if (at->bad)
        return -1;
    if (at->at == at->end)
        return 0;
    const uint8_t *next = header_get(at->at, at->end, at->end, name, value);
    if (!next) {
        at->bad = true;
        return -1;
    }
    at->at = next;
    return 1;
}
