/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/decimal.c: a number is sign, significant digits, and a power of ten; see decimal.h.
 */
#include "proto/schema/decimal.h"

static const int64_t EXPONENT_MAX = 1000000000000000;

/* 0.d1d2d3... * 10^scale; digits lie in text, maybe with a point between them. */
struct decimal {
    const uint8_t *at, *end; /* first and behind last significant digit; equal: zero */
    uint32_t count;          /* digits in it */
    int64_t scale;
    bool negative;
};

static int64_t exponent_read(const uint8_t *p, const uint8_t *end)
{
    int64_t v = 0;
    const bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    for (; p < end; p++)
        v = v < EXPONENT_MAX ? v * 10 + (*p - '0') : v;
    v = v < EXPONENT_MAX ? v : EXPONENT_MAX;
    return negative ? -v : v;
}

static struct decimal decimal_of(struct bytes text)
{
    struct decimal d = { 0 };
    const uint8_t *p = text.at, *end = text.at + text.len, *point = NULL, *stop;
    int64_t whole = 0;
    bool begun = false;
    d.negative = p < end && *p == '-';
    p += d.negative;
    d.at = d.end = p;
    for (stop = p; stop < end && (*stop | 0x20) != 'e'; stop++) {
        if (*stop == '.') {
            point = stop;
            continue;
        }
        if (!begun && *stop != '0') {
            begun = true;
            d.at = d.end = stop;
        }
        if (!point)
            whole += begun;
        else if (!begun)
            whole--; /* a zero behind the point, before the first digit that counts */
        if (*stop != '0')
            d.end = stop + 1;
    }
    d.scale = whole + (stop < end ? exponent_read(stop + 1, end) : 0);
    d.count = (uint32_t)(d.end - d.at) - (point && point > d.at && point < d.end);
    if (d.at == d.end)
        d = (struct decimal){ .at = d.at, .end = d.at };
    return d;
}

/* The next significant digit; zeros behind the last. */
static inline uint8_t digit_next(struct decimal *d)
{
    if (d->at < d->end && *d->at == '.')
        d->at++;
    return d->at < d->end ? *d->at++ : '0';
}

/* Up to 18 digits without point or exponent, the most common case by far. */
static inline bool small(struct bytes text, int64_t *v)
{
    const uint8_t *p = text.at, *end = text.at + text.len;
    const bool negative = *p == '-';
    int64_t n = 0;
    p += negative;
    if (end - p > 18)
        return false;
    for (; p < end; p++) {
        if ((uint8_t)(*p - '0') > 9)
            return false;
        n = n * 10 + (*p - '0');
    }
    *v = negative ? -n : n;
    return true;
}

int decimal_compare(struct bytes a, struct bytes b)
{
    int64_t small_a, small_b;
    if (small(a, &small_a) && small(b, &small_b))
        return (small_a > small_b) - (small_a < small_b);
    struct decimal x = decimal_of(a), y = decimal_of(b);
    const int sign_x = x.count == 0 ? 0
                       : x.negative ? -1
                                    : 1,
              sign_y = y.count == 0 ? 0
                       : y.negative ? -1
                                    : 1;
    if (sign_x != sign_y)
        return sign_x < sign_y ? -1 : 1;
    if (sign_x == 0)
        return 0;
    if (x.scale != y.scale)
        return (x.scale < y.scale ? -1 : 1) * sign_x;
    const uint32_t most = x.count > y.count ? x.count : y.count;
    for (uint32_t i = 0; i < most; i++) {
        const uint8_t p = digit_next(&x), q = digit_next(&y);
        if (p != q)
            return (p < q ? -1 : 1) * sign_x;
    }
    return 0;
}

uint32_t decimal_hash(struct bytes a)
{
    struct decimal d = decimal_of(a);
    uint32_t h = (uint32_t)d.scale * 2 + d.negative;
    for (uint32_t n = d.count; n > 0; n--)
        h = h * 31 + digit_next(&d);
    return h;
}

bool decimal_integer(struct bytes a)
{
    const struct decimal d = decimal_of(a);
    return d.scale >= d.count;
}

bool decimal_divisor(struct decimal_divisor *divisor, struct bytes text)
{
    struct decimal d = decimal_of(text);
    if (d.count == 0 || d.negative || d.count > DECIMAL_DIVISOR_DIGITS)
        return false;
    *divisor = (struct decimal_divisor){ .exponent = d.scale - d.count };
    for (uint32_t n = d.count; n > 0; n--)
        divisor->digits = divisor->digits * 10 + (digit_next(&d) - '0');
    return true;
}

static uint64_t multiply_mod(uint64_t a, uint64_t b, uint64_t m)
{
    return (uint64_t)((unsigned __int128)a * b % m);
}

/* With a = x * 10^e and b = y * 10^f, x and y without zeros at the end: is x * 10^(e-f) divisible by y? For
 * e < f the quotient would need x to have a zero at its end. */
bool decimal_multiple(struct bytes a, const struct decimal_divisor *divisor)
{
    struct decimal d = decimal_of(a);
    const int64_t power = d.scale - d.count - divisor->exponent;
    const uint64_t m = divisor->digits;
    uint64_t rest = 0, ten = 10 % m;
    if (d.count == 0)
        return true;
    if (power < 0)
        return false;
    for (uint32_t n = d.count; n > 0; n--)
        rest = (uint64_t)(((unsigned __int128)rest * 10 + (digit_next(&d) - '0')) % m);
    for (int64_t left = power; left > 0; left >>= 1) {
        if (left & 1)
            rest = multiply_mod(rest, ten, m);
        ten = multiply_mod(ten, ten, m);
    }
    return rest == 0;
}

bool decimal_count(struct bytes a, uint32_t *count)
{
    struct decimal d = decimal_of(a);
    uint64_t v = 0;
    if ((d.negative && d.count) || d.scale < d.count)
        return false;
    for (int64_t n = 0; n < (d.count ? d.scale : 0) && v <= UINT32_MAX; n++)
        v = v * 10 + (digit_next(&d) - '0');
    *count = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
    return true;
}
