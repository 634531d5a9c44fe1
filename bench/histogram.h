/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/histogram.h: latencies, counted in log-linear buckets (the shape known from HdrHistogram).
 *
 * Each power of two is cut into 128 equal buckets, so a reported value is at most 0.8 % above the one
 * recorded; below 256 ns every value has its own bucket. Fixed size, no allocation: recording is an addition.
 * Values past 2^42 ns (73 minutes) count as that; the exact largest value is kept beside the buckets.
 */
#ifndef RUNNEL_BENCH_HISTOGRAM_H
#define RUNNEL_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_VALUE_BITS = 42,
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count, min, max;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *h);
/* Counts `value` `n` times. */
void histogram_record(struct histogram *h, uint64_t value, uint64_t n);
/* Adds all of `from` to `h`. */
void histogram_merge(struct histogram *h, const struct histogram *from);
/* The smallest recorded value that at least `quantile` (0..1) of all values do not exceed, rounded up within
 * its bucket but never above the maximum; 0 when nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *h, double quantile);
double histogram_mean(const struct histogram *h);

#endif
