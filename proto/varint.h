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

/* A number read: its value and what follows it; `after` is NULL when it does not end before the end given, or
 * is too wide. By value, so that it stays in registers. */
struct varint {
    const uint8_t *after;
    int64_t value;
};

/* One to three bytes, as nearly every number in a record has, without a loop and with one look at the end:
 * what is predicted well costs next to nothing. `after` NULL: read it slowly. */
__attribute__((always_inline)) static inline struct varint varint_get_short(const uint8_t *p,
                                                                            const uint8_t *end)
{
    uint32_t v;
    if (__builtin_expect(end - p < 3, 0))
        return (struct varint){ NULL, 0 };
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
        return (struct varint){ NULL, 0 };
    }
    return (struct varint){ p, (int32_t)(v >> 1 ^ -(v & 1)) };
}

__attribute__((noinline, unused)) static struct varint varlong_get_long(const uint8_t *p, const uint8_t *end)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        uint8_t b = *p++;
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return (struct varint){ p, (int64_t)(v >> 1 ^ -(v & 1)) };
    }
    return (struct varint){ NULL, 0 };
}

__attribute__((noinline, unused)) static struct varint varint_get_long(const uint8_t *p, const uint8_t *end)
{
    struct varint n = varlong_get_long(p, end);
    if (n.after && (n.after - p > VARINT_MAX || n.value < INT32_MIN || n.value > INT32_MAX))
        n.after = NULL;
    return n;
}

__attribute__((always_inline)) static inline struct varint varlong_get(const uint8_t *p, const uint8_t *end)
{
    struct varint n = varint_get_short(p, end);
    return __builtin_expect(n.after != NULL, 1) ? n : varlong_get_long(p, end);
}

/* As above, for 32 bits. */
__attribute__((always_inline)) static inline struct varint varint_get(const uint8_t *p, const uint8_t *end)
{
    struct varint n = varint_get_short(p, end);
    return __builtin_expect(n.after != NULL, 1) ? n : varint_get_long(p, end);
}

static inline uint32_t varlong_size(int64_t v)
{
    uint64_t z = varlong_zigzag(v);
    if (z < 0x80)
        return 1;
    if (z < 0x4000)
        return 2;
    return (64 - (uint32_t)__builtin_clzll(z) + 6) / 7;
}

/* There must be room; returns what follows. */
static inline uint8_t *varlong_put(uint8_t *p, int64_t value)
{
    uint64_t v = varlong_zigzag(value);
    if (v < 0x80) {
        *p = (uint8_t)v;
        return p + 1;
    }
    if (v < 0x4000) {
        p[0] = (uint8_t)(v | 0x80);
        p[1] = (uint8_t)(v >> 7);
        return p + 2;
    }
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

#endif
