/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/histogram.c: see the header.
 *
 *   value   0..255           one bucket each: index = value
 *   value   2^k..2^(k+1)-1   128 buckets of 2^(k-7) each, k >= 8
 */
#include "histogram.h"

#include <math.h>
#include <string.h>

static const uint64_t VALUE_MAX = (1ull << HISTOGRAM_VALUE_BITS) - 1;

static uint32_t bucket_of(uint64_t value)
{
    if (value < 2u << HISTOGRAM_SUB_BITS)
        return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_top(uint32_t bucket)
{
    if (bucket < 2u << HISTOGRAM_SUB_BITS)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t sub = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((sub + 1) << shift) - 1;
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

void histogram_record(struct histogram *h, uint64_t value, uint64_t n)
{
    if (!n)
        return;
    if (value > h->max)
        h->max = value;
    if (value < h->min)
        h->min = value;
    h->sum += (double)value * (double)n;
    h->count += n;
    h->buckets[bucket_of(value > VALUE_MAX ? VALUE_MAX : value)] += n;
}

void histogram_merge(struct histogram *h, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += from->buckets[i];
    h->count += from->count;
    h->sum += from->sum;
    if (from->max > h->max)
        h->max = from->max;
    if (from->min < h->min)
        h->min = from->min;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    if (!h->count)
        return 0;
    double want = ceil(quantile * (double)h->count);
    uint64_t rank = want < 1 ? 1 : (uint64_t)want;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t top = bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum / (double)h->count : 0;
}
