/* SPDX-License-Identifier: Apache-2.0
 *
 * test_histogram.c: bench/histogram against exact answers from sorted values.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "bench/histogram.h"

static struct histogram h;

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t random_u64(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Test(histogram, empty_gives_zero)
{
    histogram_reset(&h);
    cr_assert_eq(histogram_quantile(&h, 0.5), 0);
    cr_assert_eq(histogram_quantile(&h, 1.0), 0);
    cr_assert_eq(histogram_mean(&h), 0);
}

Test(histogram, small_values_are_exact)
{
    histogram_reset(&h);
    for (uint64_t v = 0; v < 256; v++)
        histogram_record(&h, v, 1);
    cr_assert_eq(histogram_quantile(&h, 0.0), 0);
    cr_assert_eq(histogram_quantile(&h, 0.5), 127);
    cr_assert_eq(histogram_quantile(&h, 1.0), 255);
    cr_assert_eq(h.count, 256);
}

Test(histogram, every_power_of_two_and_its_neighbours_stay_within_a_bucket)
{
    for (uint32_t bit = 1; bit < HISTOGRAM_VALUE_BITS; bit++) {
        for (int64_t d = -1; d <= 1; d++) {
            uint64_t value = (uint64_t)((int64_t)(1ull << bit) + d);
            histogram_reset(&h);
            histogram_record(&h, value, 3);
            histogram_record(&h, (1ull << HISTOGRAM_VALUE_BITS) - 1, 1); /* so that max does not clamp it */
            uint64_t got = histogram_quantile(&h, 0.5);
            cr_assert_geq(got, value);
            cr_assert_leq(got - value, value / 128 + 1, "2^%u%+d gave %lu", bit, (int)d, (unsigned long)got);
        }
    }
}

Test(histogram, huge_values_are_counted_and_the_maximum_is_exact)
{
    histogram_reset(&h);
    histogram_record(&h, UINT64_MAX, 1);
    histogram_record(&h, 10, 1);
    cr_assert_eq(h.max, UINT64_MAX);
    cr_assert_eq(h.min, 10);
    cr_assert_eq(histogram_quantile(&h, 0.5), 10);
    cr_assert_eq(histogram_quantile(&h, 1.0), (1ull << HISTOGRAM_VALUE_BITS) - 1);
}

Test(histogram, weights_count)
{
    histogram_reset(&h);
    histogram_record(&h, 100, 99);
    histogram_record(&h, 200, 1);
    histogram_record(&h, 7, 0);
    cr_assert_eq(histogram_quantile(&h, 0.99), 100);
    cr_assert_eq(histogram_quantile(&h, 0.991), 200);
    cr_assert_float_eq(histogram_mean(&h), 101, 1e-9);
}

Test(histogram, agrees_with_sorted_values)
{
    enum { N = 20000 };
    static uint64_t values[N];
    uint64_t seed = 0x9e3779b97f4a7c15ull, state = seed;
    histogram_reset(&h);
    for (uint32_t i = 0; i < N; i++) {
        values[i] = random_u64(&state) >> (24 + random_u64(&state) % 30); /* spread over 30 octaves */
        histogram_record(&h, values[i], 1);
    }
    qsort(values, N, sizeof(values[0]), compare_u64);
    const double quantiles[] = { 0.01, 0.5, 0.95, 0.99, 0.999, 0.9999, 1.0 };
    for (uint32_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        uint64_t exact = values[(uint32_t)ceil(quantiles[i] * N) - 1];
        uint64_t got = histogram_quantile(&h, quantiles[i]);
        cr_assert_geq(got, exact, "seed %lx, quantile %g", (unsigned long)seed, quantiles[i]);
        cr_assert_leq(got - exact, exact / 128 + 1, "seed %lx, quantile %g", (unsigned long)seed,
                      quantiles[i]);
    }
}

Test(histogram, merging_is_recording_both)
{
    static struct histogram a, b, both;
    histogram_reset(&a);
    histogram_reset(&b);
    histogram_reset(&both);
    uint64_t state = 42;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t v = random_u64(&state) >> 40;
        histogram_record(i % 2 ? &a : &b, v, 1 + i % 3);
        histogram_record(&both, v, 1 + i % 3);
    }
    histogram_merge(&a, &b);
    cr_assert_eq(a.count, both.count);
    cr_assert_eq(a.max, both.max);
    cr_assert_eq(a.min, both.min);
    for (double q = 0; q <= 1; q += 0.05)
        cr_assert_eq(histogram_quantile(&a, q), histogram_quantile(&both, q));
}
