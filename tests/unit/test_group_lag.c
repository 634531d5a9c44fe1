/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of group/lag.h: when was an event appended?
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "group/lag.h"

Test(lag, exact_while_young)
{
    static struct append_times t;
    cr_assert_eq(append_times_at(&t, 0), -1);
    append_times_note(&t, 100, 5000); /* the store opens */
    cr_assert_eq(append_times_at(&t, 99), -1);
    cr_assert_eq(append_times_at(&t, 100), -1); /* not there yet */
    append_times_note(&t, 110, 6000);
    append_times_note(&t, 110, 7000); /* did not move */
    append_times_note(&t, 111, 8000);
    cr_assert_eq(append_times_at(&t, 99), -1);
    cr_assert_eq(append_times_at(&t, 100), 6000);
    cr_assert_eq(append_times_at(&t, 109), 6000);
    cr_assert_eq(append_times_at(&t, 110), 8000);
    cr_assert_eq(append_times_at(&t, 111), -1);
}

Test(lag, close_moves_are_one_sample)
{
    static struct append_times t;
    append_times_note(&t, 0, 1000);
    for (int i = 1; i <= 1000; i++)
        append_times_note(&t, (uint64_t)i, 1000 + i / 100);
    cr_assert_leq(t.count, 3);
    cr_assert(append_times_at(&t, 0) >= 1000 && append_times_at(&t, 0) < 1000 + APPEND_TIMES_STEP_MS);
    cr_assert_eq(append_times_at(&t, 999), 1010);
}

Test(lag, a_clock_that_goes_back)
{
    static struct append_times t;
    append_times_note(&t, 0, 1000);
    for (int i = 1; i <= 5000; i++)
        append_times_note(&t, (uint64_t)i, 1000000 - i * 100);
    for (uint64_t o = 0; o < 5000; o += 10)
        cr_assert(append_times_at(&t, o) >= 999900 || append_times_at(&t, o) == -1);
    append_times_note(&t, 6000, 2000000);
    cr_assert_eq(append_times_at(&t, 5500), 2000000);
}

/* Against all times, over bursts and pauses of milliseconds to days: never too early, and too late by a part
 * of the age. */
Test(lag, coarser_with_age)
{
    enum { MOVES = 100000 };
    static struct append_times t;
    static int64_t times_ms[MOVES];
    srand(1);
    int64_t now_ms = 1000;
    append_times_note(&t, 0, now_ms);
    for (uint64_t i = 0; i < MOVES; i++) {
        const int kind = rand() % 1000;
        now_ms += kind == 0 ? rand() % 3600000 : kind < 50 ? rand() % 10000 : rand() % 20;
        times_ms[i] = now_ms;
        append_times_note(&t, i + 1, now_ms);
        if (i % 1000 != 999)
            continue;
        for (uint64_t o = 0; o <= i; o += 37) {
            const int64_t said_ms = append_times_at(&t, o), age_ms = now_ms - times_ms[o];
            cr_assert(said_ms >= times_ms[o]);
            cr_assert(said_ms - times_ms[o] <= age_ms / 4 + APPEND_TIMES_STEP_MS,
                      "event %lu of %lu: %ld late of %ld", (unsigned long)o, (unsigned long)i,
                      (long)(said_ms - times_ms[o]), (long)age_ms);
        }
    }
    cr_assert_leq(t.count, APPEND_TIMES_MAX);
}
