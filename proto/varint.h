/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/varint.h: the zigzag variable-length integers of records.
 *
 * Seven bits a byte, lowest first; the sign is folded into bit 0. At most 5 bytes for 32 bits, 10 for 64.
 * Longer forms of a number than needed are taken (other writers may pad); bits beyond the width are refused.
 */
#ifndef RUNNEL_PROTO_VARINT_H
#define RUNNEL_PROTO_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 5, VARLONG_MAX = 10 };

static inline uint32_t varint_zigzag(int32_t v)
{
    return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0);
}

static inline uint64_t varlong_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

/* What follows the number at `p`, or NULL: it does not end before `end`, or it has more than 64 bits. */
__attribute__((noinline, unused)) static const uint8_t *varlong_get_slow(const uint8_t *p, const uint8_t *end,
                                                                         int64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        uint8_t b = *p++;
        if (shift == 63 && b > 1)
            return NULL;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = (int64_t)(v >> 1 ^ -(v & 1));
            return p;
        }
    }
    return NULL;
}

/* One to three bytes, as nearly every number in a record has, without a loop and with one look at the end:
 * what is predicted well costs next to nothing. */
__attribute__((always_inline)) static inline const uint8_t *varlong_get(const uint8_t *p, const uint8_t *end,
                                                                        int64_t *out)
{
    uint32_t v;
    if (__builtin_expect(end - p < 3, 0))
        return varlong_get_slow(p, end, out);
    if (p[0] < 0x80) {
        v = p[0];
        p += 1;
    } else if (p[1] < 0x80) {
        v = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
        p += 2;
    } else if (p[2] < 0x80) {
        v = (p[0] & 0x7fu) | (p[1] & 0x7fu) << 7 | (uint32_t)p[2] << 14;
        p += 3;
    } else {
        return varlong_get_slow(p, end, out);
    }
    *out = (int32_t)(v >> 1 ^ -(v & 1));
    return p;
}

/* As above, for 32 bits. */
__attribute__((always_inline)) static inline const uint8_t *varint_get(const uint8_t *p, const uint8_t *end,
                                                                       int32_t *out)
{
    int64_t wide;
    const uint8_t *after = varlong_get(p, end, &wide);
    if (!after || after - p > VARINT_MAX || wide < INT32_MIN || wide > INT32_MAX)
        return NULL;
    *out = (int32_t)wide;
    return after;
}

static inline uint32_t varlong_size(int64_t v)
{
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(varlong_zigzag(v) | 1);
    return (bits + 6) / 7;
}

/* There must be room; returns what follows. */
static inline uint8_t *varlong_put(uint8_t *p, int64_t value)
{
    uint64_t v = varlong_zigzag(value);
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

#endif
