/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/codec.c: the two encodings.
 */
#include "kafka/codec.h"

#include "base/check.h"
#include "base/mem.h"

/* ---- reading ---- */

int8_t kafka_get_i8(struct kafka_in *in)
{
    const uint8_t *p = read_raw(&in->r, 1);
    return p ? (int8_t)*p : 0;
}

int16_t kafka_get_i16(struct kafka_in *in)
{
    const uint8_t *p = read_raw(&in->r, 2);
    return p ? (int16_t)be16_load(p) : 0;
}

int32_t kafka_get_i32(struct kafka_in *in)
{
    const uint8_t *p = read_raw(&in->r, 4);
    return p ? (int32_t)be32_load(p) : 0;
}

int64_t kafka_get_i64(struct kafka_in *in)
{
    const uint8_t *p = read_raw(&in->r, 8);
    return p ? (int64_t)be64_load(p) : 0;
}

uint32_t kafka_get_uvarint(struct kafka_in *in)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t *p = read_raw(&in->r, 1);
        if (!p || (shift == 28 && *p > 0x0f))
            break;
        v |= (uint32_t)(*p & 0x7f) << shift;
        if (*p < 0x80)
            return v;
    }
    in->r.bad = true;
    return 0;
}

/* `length` -1: null; less is malformed. */
static struct bytes codec_take(struct kafka_in *in, int64_t length)
{
    if (length < -1 || length > INT32_MAX)
        in->r.bad = true;
    if (length < 0 || in->r.bad)
        return (struct bytes){ 0 };
    const uint8_t *p = read_raw(&in->r, (uint32_t)length);
    return (struct bytes){ p, p ? (uint32_t)length : 0 };
}

struct bytes kafka_get_string(struct kafka_in *in)
{
    return codec_take(in, in->flexible ? (int64_t)kafka_get_uvarint(in) - 1 : kafka_get_i16(in));
}

struct bytes kafka_get_bytes(struct kafka_in *in)
{
    return codec_take(in, in->flexible ? (int64_t)kafka_get_uvarint(in) - 1 : kafka_get_i32(in));
}

int32_t kafka_get_count(struct kafka_in *in)
{
    const int64_t count = in->flexible ? (int64_t)kafka_get_uvarint(in) - 1 : kafka_get_i32(in);
    /* An element takes a byte at least. */
    if (count < -1 || count > (int64_t)reader_left(&in->r))
        in->r.bad = true;
    return in->r.bad ? 0 : (int32_t)count;
}

void kafka_get_tags(struct kafka_in *in)
{
    if (!in->flexible)
        return;
    uint32_t count = kafka_get_uvarint(in);
    for (; count && !in->r.bad; count--) {
        (void)kafka_get_uvarint(in);
        (void)read_raw(&in->r, kafka_get_uvarint(in));
    }
}

/* ---- writing ---- */

enum { CODEC_OUT_MIN = 4096 };

uint8_t *kafka_put_space(struct kafka_out *out, uint32_t bytes)
{
    if (out->cap - out->len < bytes) {
        uint64_t cap = out->cap ? out->cap : CODEC_OUT_MIN;
        while (cap < (uint64_t)out->len + bytes)
            cap *= 2;
        if (cap > KAFKA_REPLY_BYTES_MAX) {
            CHECK(bytes < out->cap); /* only what repeats can grow beyond the limit */
            out->bad = true;
            out->len = 0; /* what is written from here on is thrown away */
        } else {
            out->at = mem_realloc(MEM_KAFKA, out->at, out->cap, cap);
            out->cap = (uint32_t)cap;
        }
    }
    uint8_t *p = out->at + out->len;
    out->len += bytes;
    return p;
}

void kafka_put_i8(struct kafka_out *out, int8_t v)
{
    *kafka_put_space(out, 1) = (uint8_t)v;
}

void kafka_put_i16(struct kafka_out *out, int16_t v)
{
    be16_store(kafka_put_space(out, 2), (uint16_t)v);
}

void kafka_put_i32(struct kafka_out *out, int32_t v)
{
    be32_store(kafka_put_space(out, 4), (uint32_t)v);
}

void kafka_put_i64(struct kafka_out *out, int64_t v)
{
    be64_store(kafka_put_space(out, 8), (uint64_t)v);
}

static uint32_t codec_uvarint(uint8_t *p, uint32_t v)
{
    uint32_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

void kafka_put_uvarint(struct kafka_out *out, uint32_t v)
{
    uint8_t bytes[5];
    const uint32_t n = codec_uvarint(bytes, v);
    memcpy(kafka_put_space(out, n), bytes, n);
}

static void codec_put_raw(struct kafka_out *out, struct bytes b)
{
    if (b.len)
        memcpy(kafka_put_space(out, b.len), b.at, b.len);
}

void kafka_put_string(struct kafka_out *out, struct bytes s)
{
    if (out->flexible)
        kafka_put_uvarint(out, s.at ? s.len + 1 : 0);
    else
        kafka_put_i16(out, s.at ? (int16_t)(s.len < INT16_MAX ? s.len : INT16_MAX) : -1);
    if (!out->flexible && s.len > INT16_MAX)
        s.len = INT16_MAX;
    codec_put_raw(out, s);
}

void kafka_put_bytes_length(struct kafka_out *out, uint32_t bytes)
{
    if (out->flexible)
        kafka_put_uvarint(out, bytes + 1);
    else
        kafka_put_i32(out, (int32_t)bytes);
}

void kafka_put_bytes(struct kafka_out *out, struct bytes b)
{
    if (b.at)
        kafka_put_bytes_length(out, b.len);
    else
        kafka_put_count(out, -1);
    codec_put_raw(out, b);
}

void kafka_put_count(struct kafka_out *out, int32_t count)
{
    if (out->flexible)
        kafka_put_uvarint(out, (uint32_t)(count + 1));
    else
        kafka_put_i32(out, count);
}

void kafka_put_tags(struct kafka_out *out)
{
    if (out->flexible)
        kafka_put_i8(out, 0);
}

/* A varint may be padded with groups of zeros, so a count can be filled in later at a fixed width. */
enum { CODEC_LATER = 5 };

uint32_t kafka_put_count_later(struct kafka_out *out, uint32_t max)
{
    CHECK(max < INT32_MAX);
    const uint32_t mark = out->len;
    (void)kafka_put_space(out, out->flexible ? CODEC_LATER : 4);
    return mark;
}

void kafka_put_count_at(struct kafka_out *out, uint32_t mark, uint32_t count)
{
    if (out->bad)
        return;
    uint8_t *p = out->at + mark;
    if (!out->flexible) {
        be32_store(p, count);
        return;
    }
    uint32_t v = count + 1;
    for (uint32_t i = 0; i < CODEC_LATER - 1; i++, v >>= 7)
        p[i] = (uint8_t)((v & 0x7f) | 0x80);
    p[CODEC_LATER - 1] = (uint8_t)v;
}

void kafka_out_free(struct kafka_out *out)
{
    mem_free(MEM_KAFKA, out->at, out->cap);
    *out = (struct kafka_out){ 0 };
}
