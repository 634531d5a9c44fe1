/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch_edit.c: taking records out of a batch.
 */
#include <string.h>

#include "proto/batch.h"
#include "proto/batch_records.h"

/* A record is its length, attributes, timestamp delta, offset delta, and the rest. The new offset delta is
 * never longer than the old one, and neither is the length: so records only move down. */
static uint8_t *record_move(uint8_t *to, const uint8_t *from, const uint8_t *end, int32_t number)
{
    const struct varint len = varint_get(from, end);
    const struct varint time = varlong_get(len.after + 1, end);
    const struct varint delta = varint_get(time.after, end);
    const uint8_t *body = len.after, *next = body + len.value;
    const uint32_t head = (uint32_t)(time.after - body), rest = (uint32_t)(next - delta.after);
    to = varlong_put(to, (int64_t)head + varlong_size(number) + rest);
    memmove(to, body, head);
    to = varlong_put(to + head, number);
    memmove(to, delta.after, rest);
    return to + rest;
}

uint32_t records_without(struct batch *batch, uint8_t *records, uint32_t bytes, const uint32_t *numbers,
                         uint32_t count)
{
    uint8_t *to = records;
    const uint8_t *at = records, *end = records + bytes;
    int32_t kept = 0;
    uint32_t out = 0;
    int64_t newest = INT64_MIN;
    for (int32_t i = 0; i < batch->count; i++) {
        struct record_parts parts;
        const uint8_t *next = record_get(at, end, &parts);
        if (!next)
            return 0;
        if (out < count && numbers[out] == (uint32_t)i) {
            out++;
        } else {
            const int64_t ms =
                (int64_t)((uint64_t)batch->base_timestamp_ms + (uint64_t)parts.timestamp_delta);
            newest = ms > newest ? ms : newest;
            to = record_move(to, at, end, kept++);
        }
        at = next;
    }
    if (at != end || out != count)
        return 0;
    batch->count = kept;
    batch->last_offset_delta = kept - 1;
    batch->max_timestamp_ms = newest;
    return (uint32_t)(to - records);
}
