/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/crc32c.c: CRC-32C with the processor's instruction where there is one, with a table elsewhere.
 *
 * The instruction takes 8 bytes per cycle but answers after 3, so one chain of them runs at a third of its
 * speed. Data is cut into three equal streams that run side by side; the first two checksums are then moved
 * over the bytes that follow them by one carry-less multiplication each. The streams' length is free (a
 * multiple of 8 bytes, a constant for each), so that also 300 bytes, the usual event, are done in one round.
 */
#include "proto/crc32c.h"

#include <assert.h>
#include <string.h>

#include "crc32c_tables.h"

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    const uint32_t *slice = crc32c_slice;

    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t a = load32(p) ^ crc, b = load32(p + 4);
        crc = slice[7 * 256 + (a & 255)] ^ slice[6 * 256 + (a >> 8 & 255)] ^
              slice[5 * 256 + (a >> 16 & 255)] ^ slice[4 * 256 + (a >> 24)] ^ slice[3 * 256 + (b & 255)] ^
              slice[2 * 256 + (b >> 8 & 255)] ^ slice[1 * 256 + (b >> 16 & 255)] ^ slice[b >> 24];
    }
    for (; len; len--)
        crc = crc >> 8 ^ slice[(crc ^ *p++) & 255];
    return ~crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>
#include <wmmintrin.h>

#define CRC32C_TARGET __attribute__((target("sse4.2,pclmul")))

/* Longest stream, in words of 8 bytes; the table holds shifts over one and two streams. */
enum { STREAM_WORDS_MAX = CRC32C_SHIFTS / 2, STREAM_WORDS_MIN = 4 };

/* The checksum states `a` and `b` moved over two streams and one stream of `words` words, as bits to be added
 * to the last word of the third stream.
 *
 * The product of two reflected 32-bit polynomials, read as a reflected 64-bit one, has a factor x too many;
 * and taking a word in multiplies it by x^32. So moving over n bits is a product with x^(n - 33). */
CRC32C_TARGET static inline uint64_t crc32c_combine(uint64_t a, uint64_t b, size_t words)
{
    __m128i over_two = _mm_cvtsi32_si128((int)crc32c_shift[2 * words]);
    __m128i over_one = _mm_cvtsi32_si128((int)crc32c_shift[words]);
    __m128i first = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), over_two, 0);
    __m128i second = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), over_one, 0);
    return (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(first, second));
}

/* Three streams of `words` words each, one behind the other in memory. */
CRC32C_TARGET static inline uint64_t crc32c_streams(uint64_t a, const uint8_t *p, size_t words)
{
    const uint8_t *q = p + 8 * words, *r = q + 8 * words, *last = q - 8;
    uint64_t b = 0, c = 0;

    for (; p < last; p += 8, q += 8, r += 8) {
        a = _mm_crc32_u64(a, load64(p));
        b = _mm_crc32_u64(b, load64(q));
        c = _mm_crc32_u64(c, load64(r));
    }
    a = _mm_crc32_u64(a, load64(p));
    b = _mm_crc32_u64(b, load64(q));
    return _mm_crc32_u64(c, load64(r) ^ crc32c_combine(a, b, words));
}

CRC32C_TARGET static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t state = ~crc;

    while (len >= 24 * STREAM_WORDS_MIN) {
        size_t words = len / 24;
        if (words > STREAM_WORDS_MAX)
            words = STREAM_WORDS_MAX;
        state = crc32c_streams(state, p, words);
        p += 24 * words;
        len -= 24 * words;
    }
    for (; len >= 8; p += 8, len -= 8)
        state = _mm_crc32_u64(state, load64(p));
    uint32_t s = (uint32_t)state;
    if (len & 4) {
        s = _mm_crc32_u32(s, load32(p));
        p += 4;
    }
    for (len &= 3; len; len--)
        s = _mm_crc32_u8(s, *p++);
    return ~s;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_sse42(crc, data, len);
    return crc32c_table(crc, data, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return crc32c_table(crc, data, len);
}

#endif
