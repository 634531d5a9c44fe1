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
    const struct varint len = varint_get(p, limit);
    if (!len.after)
        return NULL;
    if (len.value < 0) {
        *out = (struct bytes){ NULL, 0 };
        return len.value == -1 && len.after <= end ? len.after : NULL;
    }
    *out = (struct bytes){ len.after, (uint32_t)len.value };
    return len.value <= end - len.after ? len.after + len.value : NULL;
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
    const struct varint len = varint_get(p, limit);
    if (!len.after || len.value < RECORD_MIN - 1 || len.value > limit - len.after)
        return NULL;
    const uint8_t *end = len.after + len.value;
    struct varint n = varlong_get(len.after + 1, limit); /* behind attributes: none are defined */
    if (!n.after)
        return NULL;
    out->timestamp_delta = n.value;
    n = varint_get(n.after, limit);
    if (!n.after)
        return NULL;
    out->offset_delta = (int32_t)n.value;
    p = field_get(n.after, end, limit, &out->key);
    if (!p)
        return NULL;
    p = field_get(p, end, limit, &out->value);
    if (!p)
        return NULL;
    n = varint_get(p, limit);
    if (!n.after || n.value < 0 || n.after > end)
        return NULL;
    out->header_count = (int32_t)n.value;
    out->headers = (struct bytes){ n.after, (uint32_t)(end - n.after) };
    return end;
}

#endif
