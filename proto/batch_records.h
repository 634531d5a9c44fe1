/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch_records.h: taking records and headers apart. For batch.c and batch_check.c only.
 *
 * Two bounds: `limit` is the end of the readable bytes (the batch's), `end` that of the record. Numbers are
 * read up to `limit`, which is nearly always far away, so one comparison covers several bytes; that they did
 * not cross `end` is seen where a field's bytes, or the whole, must end there at the latest.
 */
#ifndef RUNNEL_PROTO_BATCH_RECORDS_H
#define RUNNEL_PROTO_BATCH_RECORDS_H

#include "proto/batch.h"
#include "proto/varint.h"

enum { RECORD_MIN = 7 }; /* length, attributes, two deltas, key, value, header count: a byte each */

/* A length of -1 means null; anything below is malformed. What follows the field, or NULL. */
__attribute__((always_inline)) static inline const uint8_t *field_get(const uint8_t *p, const uint8_t *end,
                                                                      const uint8_t *limit, struct bytes *out)
{
    int32_t len;
    p = varint_get(p, limit, &len);
    if (!p)
        return NULL;
    if (len < 0) {
        *out = (struct bytes){ NULL, 0 };
        return len == -1 && p <= end ? p : NULL;
    }
    *out = (struct bytes){ p, (uint32_t)len };
    return len <= end - p ? p + len : NULL;
}

__attribute__((always_inline)) static inline const uint8_t *header_get(const uint8_t *p, const uint8_t *end,
                                                                       const uint8_t *limit,
                                                                       struct bytes *name,
                                                                       struct bytes *value)
{
    p = field_get(p, end, limit, name);
    if (!p || !name->at)
        return NULL;
    return field_get(p, end, limit, value);
}

struct record_parts {
    int64_t timestamp_delta;
    int32_t offset_delta, header_count;
    struct bytes key, value, headers;
};

/* Takes one record apart, headers as one piece; what follows it, or NULL. */
__attribute__((always_inline)) static inline const uint8_t *record_get(const uint8_t *p, const uint8_t *limit,
                                                                       struct record_parts *out)
{
    int32_t len;
    p = varint_get(p, limit, &len);
    if (!p || len < RECORD_MIN - 1 || len > limit - p)
        return NULL;
    const uint8_t *end = p + len;
    p++; /* attributes: none are defined */
    p = varlong_get(p, limit, &out->timestamp_delta);
    if (!p)
        return NULL;
    p = varint_get(p, limit, &out->offset_delta);
    if (!p)
        return NULL;
    p = field_get(p, end, limit, &out->key);
    if (!p)
        return NULL;
    p = field_get(p, end, limit, &out->value);
    if (!p)
        return NULL;
    p = varint_get(p, limit, &out->header_count);
    if (!p || out->header_count < 0 || p > end)
        return NULL;
    out->headers = (struct bytes){ p, (uint32_t)(end - p) };
    return end;
}

#endif
