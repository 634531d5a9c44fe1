/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch_check.c: judging a batch that came from outside.
 *
 * It stands in the way of every produced batch. So records of the usual kind are walked over quickly,
 * anything odd is looked at again with care, and sentences are made only on refusal.
 */
#include "proto/batch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/batch_layout.h"
#include "proto/batch_records.h"
#include "proto/big_endian.h"
#include "proto/crc32c.h"

enum { WHY_BYTES = 128 };

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

/* ---- records ---- */

static bool batch_headers_fill(const struct record_parts *rec, const uint8_t *limit)
{
    const uint8_t *p = rec->headers.at, *end = p + rec->headers.len;
    struct bytes name, value;
    for (int32_t i = 0; i < rec->header_count; i++) {
        p = header_get(p, end, limit, &name, &value);
        if (!p)
            return false;
    }
    return p == end;
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
        if ((rec.header_count != 0 || rec.headers.len != 0) && !batch_headers_fill(&rec, end))
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
