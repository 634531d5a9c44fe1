/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch_build.c: making batches, and changing the header of one that is complete.
 */
#include "proto/batch.h"

#include "proto/batch_layout.h"
#include "proto/big_endian.h"
#include "proto/crc32c.h"
#include "proto/varint.h"

/* ---- changing ---- */

static void batch_sign(uint8_t *b, uint32_t bytes)
{
    be32_store(b + AT_CRC, crc32c(0, b + AT_ATTRIBUTES, bytes - AT_ATTRIBUTES));
}

static uint32_t batch_size(const uint8_t *b)
{
    return be32_load(b + AT_LENGTH) + BATCH_LENGTH_OVERHEAD;
}

void batch_set_base_offset(void *p, int64_t base_offset)
{
    be64_store((uint8_t *)p + AT_BASE_OFFSET, (uint64_t)base_offset);
}

void batch_set_leader_epoch(void *p, int32_t epoch)
{
    be32_store((uint8_t *)p + AT_LEADER_EPOCH, (uint32_t)epoch);
}

int64_t batch_base_offset(const void *p)
{
    return (int64_t)be64_load((const uint8_t *)p + AT_BASE_OFFSET);
}

int64_t batch_end_offset(const void *p)
{
    int32_t delta = (int32_t)be32_load((const uint8_t *)p + AT_LAST_OFFSET_DELTA);
    return (int64_t)((uint64_t)batch_base_offset(p) + (uint64_t)(int64_t)delta + 1);
}

void batch_set_append_time(void *p, int64_t append_ms)
{
    uint8_t *b = p;
    be16_store(b + AT_ATTRIBUTES, be16_load(b + AT_ATTRIBUTES) | BATCH_LOG_APPEND_TIME);
    be64_store(b + AT_MAX_TIMESTAMP, (uint64_t)append_ms);
    batch_sign(b, batch_size(b));
}

static void batch_store_producer(uint8_t *b, int64_t id, int16_t epoch, int32_t sequence)
{
    be64_store(b + AT_PRODUCER_ID, (uint64_t)id);
    be16_store(b + AT_PRODUCER_EPOCH, (uint16_t)epoch);
    be32_store(b + AT_BASE_SEQUENCE, (uint32_t)sequence);
}

void batch_set_producer(void *p, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence)
{
    batch_store_producer(p, producer_id, producer_epoch, base_sequence);
    batch_sign(p, batch_size(p));
}

uint32_t batch_seal(void *p, const struct batch *like, enum batch_codec codec, uint32_t records_bytes)
{
    uint8_t *b = p;
    uint32_t bytes = BATCH_HEADER + records_bytes;
    uint16_t attributes = (uint16_t)(((uint16_t)like->attributes & ~BATCH_CODEC_MASK) | codec);

    be64_store(b + AT_BASE_OFFSET, (uint64_t)like->base_offset);
    be32_store(b + AT_LENGTH, bytes - BATCH_LENGTH_OVERHEAD);
    be32_store(b + AT_LEADER_EPOCH, (uint32_t)like->leader_epoch);
    b[AT_MAGIC] = BATCH_MAGIC;
    be16_store(b + AT_ATTRIBUTES, attributes);
    be32_store(b + AT_LAST_OFFSET_DELTA, (uint32_t)like->last_offset_delta);
    be64_store(b + AT_BASE_TIMESTAMP, (uint64_t)like->base_timestamp_ms);
    be64_store(b + AT_MAX_TIMESTAMP, (uint64_t)like->max_timestamp_ms);
    batch_store_producer(b, like->producer_id, like->producer_epoch, like->base_sequence);
    be32_store(b + AT_COUNT, (uint32_t)like->count);
    batch_sign(b, bytes);
    return bytes;
}

/* ---- building ---- */

void batch_build_start(struct batch_builder *b, void *buffer, uint32_t bytes)
{
    /* A batch's length is a signed 32-bit field. */
    *b = (struct batch_builder){ .w = writer_of(buffer, bytes < INT32_MAX ? bytes : INT32_MAX) };
    write_space(&b->w, BATCH_HEADER);
}

static uint64_t field_size(struct bytes f)
{
    return f.at ? varlong_size(f.len) + (uint64_t)f.len : 1;
}

/* Names cannot be null: an empty one may well have no address. */
static uint64_t header_size(const struct header *h)
{
    return varlong_size(h->name.len) + (uint64_t)h->name.len + field_size(h->value);
}

static uint8_t *field_put(uint8_t *p, struct bytes f)
{
    p = varlong_put(p, f.at ? (int64_t)f.len : -1);
    if (f.len)
        memcpy(p, f.at, f.len);
    return p + f.len;
}

bool batch_build_add(struct batch_builder *b, int64_t timestamp_ms, struct bytes key, struct bytes value,
                     const struct header *headers, uint32_t header_count)
{
    const struct header_block none = { { NULL, 0 }, 0 };
    return batch_build_add_led(b, timestamp_ms, key, value, &none, headers, header_count);
}

bool batch_build_add_led(struct batch_builder *b, int64_t timestamp_ms, struct bytes key, struct bytes value,
                         const struct header_block *lead, const struct header *headers, uint32_t header_count)
{
    /* Differences wrap: the reader's addition wraps back. */
    int64_t base = b->count ? b->base_timestamp_ms : timestamp_ms;
    int64_t delta = (int64_t)((uint64_t)timestamp_ms - (uint64_t)base);
    uint64_t body = 1 + varlong_size(delta) + varlong_size(b->count) + field_size(key) + field_size(value) +
                    varlong_size((int64_t)header_count + lead->count) + lead->encoded.len;
    for (uint32_t i = 0; i < header_count; i++)
        body += header_size(&headers[i]);

    uint64_t room = b->w.bad ? 0 : (uint64_t)(b->w.end - b->w.at);
    if (body > INT32_MAX || varlong_size((int64_t)body) + body > room ||
        (uint64_t)header_count + lead->count > INT32_MAX || b->count == INT32_MAX)
        return false;

    uint8_t *p = varlong_put(b->w.at, (int64_t)body);
    *p++ = 0; /* attributes: none are defined */
    p = varlong_put(p, delta);
    p = varlong_put(p, b->count);
    p = field_put(p, key);
    p = field_put(p, value);
    p = varlong_put(p, (int64_t)header_count + lead->count);
    if (lead->encoded.len)
        memcpy(p, lead->encoded.at, lead->encoded.len);
    p += lead->encoded.len;
    for (uint32_t i = 0; i < header_count; i++) {
        struct bytes name = headers[i].name;
        p = varlong_put(p, name.len);
        if (name.len)
            memcpy(p, name.at, name.len);
        p = field_put(p + name.len, headers[i].value);
    }
    b->w.at = p;
    b->base_timestamp_ms = base;
    if (b->count == 0 || timestamp_ms > b->max_timestamp_ms)
        b->max_timestamp_ms = timestamp_ms;
    b->count++;
    return true;
}

uint64_t record_bytes_max(struct bytes key, struct bytes value, const struct header *headers,
                          uint32_t header_count)
{
    /* length, attributes, timestamp delta, offset delta, key, value, header count */
    uint64_t bytes = VARINT_MAX + 1 + VARLONG_MAX + VARINT_MAX + VARINT_MAX + (uint64_t)key.len + VARINT_MAX +
                     (uint64_t)value.len + VARINT_MAX;
    for (uint32_t i = 0; i < header_count; i++)
        bytes += 2 * VARINT_MAX + (uint64_t)headers[i].name.len + headers[i].value.len;
    return bytes;
}

uint32_t batch_build_finish(struct batch_builder *b, int64_t producer_id, int16_t producer_epoch,
                            int32_t base_sequence)
{
    if (b->count == 0)
        return 0;
    struct batch header = {
        .leader_epoch = -1,
        .last_offset_delta = b->count - 1,
        .base_timestamp_ms = b->base_timestamp_ms,
        .max_timestamp_ms = b->max_timestamp_ms,
        .producer_id = producer_id,
        .producer_epoch = producer_epoch,
        .base_sequence = base_sequence,
        .count = b->count,
    };
    return batch_seal(b->w.start, &header, CODEC_NONE, writer_len(&b->w) - BATCH_HEADER);
}
