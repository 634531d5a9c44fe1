/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of group/breaker.h: what looks like an outage, and how it ends.
 */
#include <criterion/criterion.h>

#include "group/breaker.h"

static const struct breaker_settings settings = { .outcomes_min = 20,
                                                  .failures_percent = 50,
                                                  .probe_ms = 30000 };

static void begin(struct breaker *b)
{
    breaker_init(b, &settings);
}

/* `count` failures of one class, each with another key. */
static bool fail(struct breaker *b, unsigned count, uint32_t class, uint32_t key, int64_t now_ms)
{
    bool changed = false;
    for (unsigned i = 0; i < count; i++)
        changed |= breaker_note(b, false, class, key + i, now_ms);
    return changed;
}

static void succeed(struct breaker *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cr_assert_not(breaker_note(b, true, 0, i, 0));
}

Test(breaker, an_outage_opens_it)
{
    struct breaker b;
    begin(&b);
    cr_assert_not(fail(&b, 19, 7, 100, 5));
    cr_assert(breaker_charges(&b));
    cr_assert_eq(breaker_room(&b, 5, 1000), UINT32_MAX);
    cr_assert(breaker_note(&b, false, 7, 1, 6));
    cr_assert_eq(b.state, BREAKER_OPEN);
    cr_assert_not(breaker_charges(&b));
    cr_assert_not(breaker_may_deliver(&b, 6, 0));
    cr_assert_eq(breaker_due(&b), 30006);
    cr_assert(b.why.failures == 20 && b.why.error_class == 7 && b.why.at_ms == 6);
}

Test(breaker, poison_does_not)
{
    struct breaker b;
    begin(&b);
    cr_assert_not(fail(&b, 9, 7, 0, 0)); /* fewer than half */
    succeed(&b, 10);
    cr_assert_not(breaker_note(&b, false, 7, 50, 0) && b.count < 20);
    begin(&b);
    for (unsigned i = 0; i < 64; i++) /* few keys */
        cr_assert_not(breaker_note(&b, false, 7, i % 4, 0));
    begin(&b);
    for (unsigned i = 0; i < 64; i++) /* many reasons */
        cr_assert_not(breaker_note(&b, false, i % 4 ? 7 : 8, i, 0));
    cr_assert_eq(b.state, BREAKER_CLOSED);
}

Test(breaker, four_fifths_of_one_class_are_enough)
{
    struct breaker b;
    begin(&b);
    for (unsigned i = 0; i < 19; i++)
        cr_assert_not(breaker_note(&b, false, i % 5 ? 7 : 100 + i, i, 0));
    cr_assert(breaker_note(&b, false, 7, 19, 0)); /* 16 of 20 */
    cr_assert_eq(b.why.error_class, 7);
}

Test(breaker, only_the_last_outcomes_count)
{
    struct breaker b;
    begin(&b);
    succeed(&b, 1000);
    cr_assert_not(fail(&b, 31, 7, 0, 0));
    cr_assert(fail(&b, 1, 7, 99, 0)); /* 32 of the last 64 */
}

Test(breaker, a_probe_closes_it)
{
    struct breaker b;
    begin(&b);
    fail(&b, 20, 7, 0, 0);
    cr_assert_not(breaker_note(&b, true, 0, 0, 1)); /* delivered before: says nothing of now */
    cr_assert_eq(breaker_room(&b, 29999, 0), 0);
    cr_assert_eq(breaker_room(&b, 30000, 2), 0); /* not while others are out */
    cr_assert_eq(breaker_room(&b, 30001, 0), 1);
    cr_assert_eq(b.state, BREAKER_HALF_OPEN);
    cr_assert_not(breaker_charges(&b));
    cr_assert_eq(breaker_due(&b), INT64_MAX);
    cr_assert_eq(breaker_room(&b, 30001, 1), 0);
    cr_assert_eq(breaker_room(&b, 30002, 0), 1); /* came back without an outcome */
    cr_assert(breaker_note(&b, true, 0, 0, 30003));
    cr_assert_eq(b.state, BREAKER_CLOSED);
    cr_assert_not(fail(&b, 19, 7, 0, 30004)); /* begins anew */
}

Test(breaker, each_failed_probe_doubles_the_interval)
{
    struct breaker b;
    begin(&b);
    fail(&b, 20, 7, 0, 0);
    int64_t now_ms = 0;
    const int64_t want_ms[] = { 30000, 60000, 120000, 240000, 300000, 300000 };
    for (unsigned i = 0; i < sizeof(want_ms) / sizeof(want_ms[0]); i++) {
        cr_assert_eq(breaker_due(&b) - now_ms, want_ms[i]);
        now_ms = breaker_due(&b);
        cr_assert(breaker_may_deliver(&b, now_ms, 0));
        cr_assert(breaker_note(&b, false, 7, 0, now_ms));
        cr_assert_eq(b.state, BREAKER_OPEN);
    }
    breaker_may_deliver(&b, now_ms + 300000, 0);
    breaker_note(&b, true, 0, 0, now_ms);
    fail(&b, 20, 7, 0, now_ms);
    cr_assert_eq(breaker_due(&b) - now_ms, 30000);
}

Test(breaker, by_command)
{
    struct breaker b;
    begin(&b);
    breaker_force(&b, BREAKER_FORCED_CLOSED);
    cr_assert_not(fail(&b, 64, 7, 0, 0));
    cr_assert(breaker_may_deliver(&b, 0, 5) && breaker_charges(&b));
    breaker_force(&b, BREAKER_FORCED_OPEN);
    cr_assert_not(breaker_may_deliver(&b, INT64_MAX, 0) || breaker_charges(&b));
    cr_assert_eq(breaker_due(&b), INT64_MAX);
    breaker_force(&b, BREAKER_CLOSED);
    cr_assert_not(fail(&b, 19, 7, 0, 0));
    cr_assert(fail(&b, 1, 7, 99, 0));
}
