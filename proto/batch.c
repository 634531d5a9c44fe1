/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch.c: reading batches: header, checks, records.
 *
 * batch_check() stands in the way of every produced batch, so its walk over the records works on plain
 * pointers and its sentences are made only on refusal.
 */
#include "proto/batch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "proto/batch_layout.h"
#include "proto/big_endian.h"
#include "proto/crc32c.h"
#include "proto/varint.h"

enum {
    WHY_BYTES = 128,
    RECORD_MIN = 7, /* length, attributes, two deltas, key, value, header count: a byte each */
};

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

/* A length of -1 means null; anything below is malformed. */
static inline const uint8_t *field_get(const uint8_t *p, const uint8_t *end, struct bytes *out)
{
    int32_t len;
    p = varint_get(p, end, &len);
    if (!p)
        return NULL;
    if (len < 0) {
        *out = (struct bytes){ NULL, 0 };
        return len == -1 ? p : NULL;
    }
    if (len > end - p)
        return NULL;
    *out = (struct bytes){ p, (uint32_t)len };
    return p + len;
}

static inline const uint8_t *header_get(const uint8_t *p, const uint8_t *end, struct bytes *name,
                                        struct bytes *value)
{
    p = field_get(p, end, name);
    if (!p || !name->at)
        return NULL;
    return field_get(p, end, value);
}

struct record_parts {
    int64_t timestamp_delta;
    int32_t offset_delta, header_count;
    struct bytes key, value, headers;
};

/* Takes one record apart, headers as one piece; what follows it, or NULL. */
static inline const uint8_t *record_get(const uint8_t *p, const uint8_t *end, struct record_parts *out)
{
    int32_t len;
    p = varint_get(p, end, &len);
    if (!p || len < RECORD_MIN - 1 || len > end - p)
        return NULL;
    end = p + len;
    p++; /* attributes: none are defined */
    p = varlong_get(p, end, &out->timestamp_delta);
    if (!p)
        return NULL;
    p = varint_get(p, end, &out->offset_delta);
    if (!p)
        return NULL;
    p = field_get(p, end, &out->key);
    if (!p)
        return NULL;
    p = field_get(p, end, &out->value);
    if (!p)
        return NULL;
    p = varint_get(p, end, &out->header_count);
    if (!p || out->header_count < 0)
        return NULL;
    out->headers = (struct bytes){ p, (uint32_t)(end - p) };
    return end;
}

static bool headers_fill(const struct record_parts *rec)
{
    const uint8_t *p = rec->headers.at, *end = p + rec->headers.len;
    struct bytes name, value;
    for (int32_t i = 0; i < rec->header_count; i++) {
        p = header_get(p, end, &name, &value);
        if (!p)
            return false;
    }
    return p == end;
}

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
    const uint8_t *next = header_get(at->at, at->end, name, value);
    if (!next) {
        at->bad = true;
        return -1;
    }
    at->at = next;
    return 1;
}

/* ---- checks ---- */

static enum error batch_refuse(char *why, enum error error, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

static enum error batch_refuse(char *why, enum error error, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        vsnprintf(why, WHY_BYTES, format, args);
        va_end(args);
    }
    return error;
}

static enum error batch_check_header(const struct batch *b, char *why)
{
    unsigned attributes = (uint16_t)b->attributes;
    if ((attributes & BATCH_CODEC_MASK) > CODEC_ZSTD)
        return batch_refuse(why, ERR_BATCH_INVALID, "codec %u is unknown: use 0 to 4",
                            attributes & BATCH_CODEC_MASK);
    if (attributes & ~(unsigned)BATCH_CODEC_MASK)
        return batch_refuse(why, ERR_BATCH_INVALID,
                            "attributes 0x%04x: a producer may set the codec (bits 0 to 2) only", attributes);
    if (b->count < 1)
        return batch_refuse(why, ERR_BATCH_INVALID, "the record count is %d: send at least one", b->count);
    if (b->last_offset_delta != b->count - 1)
        return batch_refuse(why, ERR_BATCH_INVALID, "last offset delta is %d, but must be %d for %d records",
                            b->last_offset_delta, b->count - 1, b->count);
    if (b->producer_id < -1)
        return batch_refuse(why, ERR_BATCH_INVALID, "producer id %" PRId64 ": use -1 for none",
                            b->producer_id);
    if (b->producer_id >= 0 && (b->producer_epoch < 0 || b->base_sequence < 0))
        return batch_refuse(why, ERR_BATCH_INVALID,
                            "a producer id needs an epoch and a sequence of 0 or more, not %d and %d",
                            b->producer_epoch, b->base_sequence);
    return ERR_OK;
}

static enum error batch_check_records(const struct batch *b, char *why)
{
    const uint8_t *p = b->at + BATCH_HEADER, *end = b->at + b->bytes;
    for (int32_t i = 0; i < b->count; i++) {
        struct record_parts rec;
        const uint8_t *next = record_get(p, end, &rec);
        if (!next)
            return batch_refuse(why, ERR_BATCH_INVALID,
                                "record %d of %d is malformed (byte %td of the batch)", i, b->count,
                                p - b->at);
        if (rec.offset_delta != i)
            return batch_refuse(why, ERR_BATCH_INVALID,
                                "record %d has offset delta %d: number them 0, 1, 2...", i, rec.offset_delta);
        if ((rec.header_count | rec.headers.len) != 0 && !headers_fill(&rec))
            return batch_refuse(why, ERR_BATCH_INVALID, "the headers of record %d are malformed", i);
        p = next;
    }
    if (p != end)
        return batch_refuse(why, ERR_BATCH_INVALID, "%td bytes are left over behind the last of %d records",
                            end - p, b->count);
    return ERR_OK;
}

enum error batch_check(struct batch *out, const void *p, uint64_t available, char *why)
{
    if (available < BATCH_HEADER)
        return batch_refuse(why, ERR_BATCH_INVALID, "%" PRIu64 " bytes are too few for a batch's header (%d)",
                            available, BATCH_HEADER);
    if (!batch_decode(out, p, available))
        return batch_refuse(why, ERR_BATCH_INVALID, "batch length %d does not fit the %" PRIu64 " bytes sent",
                            (int32_t)be32_load((const uint8_t *)p + AT_LENGTH), available);
    uint8_t magic = out->at[AT_MAGIC];
    if (magic != BATCH_MAGIC)
        return batch_refuse(why, ERR_BATCH_INVALID, "format version (magic) %u: only %d is taken", magic,
                            BATCH_MAGIC);
    uint32_t crc = crc32c(0, out->at + AT_ATTRIBUTES, out->bytes - AT_ATTRIBUTES);
    if (crc != out->crc)
        return batch_refuse(why, ERR_BATCH_CORRUPT,
                            "checksum 0x%08x, but the bytes have 0x%08x: damaged on the way", out->crc, crc);
    enum error error = batch_check_header(out, why);
    if (error == ERR_OK && (out->attributes & BATCH_CODEC_MASK) == CODEC_NONE)
        error = batch_check_records(out, why);
    return error;
}
