/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/io/timer.c: the wheel against a plain array of due times, under random operations.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "effort.h"
#include "io/timer.h"

#define MS 1000000ull

struct tick {
    struct timer timer;
    uint64_t fired; /* how often */
    struct timers *timers;
    uint64_t restart_ms;
    struct timer *stops;
};

static void tick_fire(struct timer *timer)
{
    struct tick *t = CONTAINER_OF(timer, struct tick, timer);
    t->fired++;
    if (t->stops)
        timer_stop(t->timers, t->stops);
    if (t->restart_ms != UINT64_MAX)
        timer_start(t->timers, timer, t->restart_ms);
}

static void tick_init(struct tick *t, struct timers *timers)
{
    memset(t, 0, sizeof(*t));
    timer_init(&t->timer, tick_fire);
    t->timers = timers;
    t->restart_ms = UINT64_MAX;
}

Test(timer, never_early_and_at_most_a_millisecond_late)
{
    for (uint64_t start_ns = 0; start_ns < 2 * MS; start_ns += MS / 4) {
        struct timers *timers = timers_create(start_ns);
        struct tick t;
        tick_init(&t, timers);
        for (uint64_t delay_ms = 0; delay_ms < 200; delay_ms += 7) {
            uint64_t now = start_ns + delay_ms * 1000 * MS;
            timers_fire(timers, now);
            t.fired = 0;
            timer_start(timers, &t.timer, delay_ms);
            const uint64_t due = now + delay_ms * MS;
            for (; !t.fired; now += MS / 8)
                timers_fire(timers, now);
            now -= MS / 8;
            cr_assert(now >= due && now <= due + MS, "due %lu fired %lu", (unsigned long)due,
                      (unsigned long)now);
        }
        timers_destroy(timers);
    }
}

Test(timer, wait_is_exact_near_and_unlimited_when_empty)
{
    struct timers *timers = timers_create(5 * MS);
    struct tick t;
    tick_init(&t, timers);
    cr_assert_eq(timers_wait(timers, 5 * MS), UINT64_MAX);
    timer_start(timers, &t.timer, 10);
    cr_assert_eq(timers_wait(timers, 5 * MS), 10 * MS);
    cr_assert_eq(timers_wait(timers, 14 * MS), 1 * MS);
    cr_assert_eq(timers_wait(timers, 99 * MS), 0);
    timer_stop(timers, &t.timer);
    cr_assert_eq(timers_wait(timers, 5 * MS), UINT64_MAX);
    timer_stop(timers, &t.timer);
    timer_start(timers, &t.timer, 1000); /* an upper level: still one wake-up */
    cr_assert_eq(timers_wait(timers, 5 * MS), 1000 * MS);
    timer_start(timers, &t.timer, UINT64_MAX); /* capped, and still there */
    cr_assert(timer_running(&t.timer));
    timer_stop(timers, &t.timer);
    timers_destroy(timers);
}

Test(timer, handlers_start_and_stop_others_and_themselves)
{
    struct timers *timers = timers_create(0);
    struct tick a, b, again;
    tick_init(&a, timers);
    tick_init(&b, timers);
    tick_init(&again, timers);
    a.stops = &b.timer;
    again.restart_ms = 0;
    timer_start(timers, &a.timer, 100);
    timer_start(timers, &b.timer, 100);
    timer_start(timers, &again.timer, 100);
    timers_fire(timers, 100 * MS);
    cr_assert_eq(a.fired, 1);
    cr_assert_eq(b.fired, 0);
    cr_assert_not(timer_running(&b.timer));
    cr_assert_eq(again.fired, 1); /* not again in the same call */
    timers_fire(timers, 101 * MS);
    cr_assert_eq(again.fired, 2);
    timer_start(timers, &again.timer, 50); /* moved */
    timers_fire(timers, 150 * MS);
    cr_assert_eq(again.fired, 2);
    timers_fire(timers, 151 * MS);
    cr_assert_eq(again.fired, 3);
    timer_stop(timers, &again.timer);
    cr_assert_eq(timers_wait(timers, 151 * MS), UINT64_MAX);
    timers_destroy(timers);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

enum { MODEL_TIMERS = 300, MODEL_STEPS = 20000 };

/* The model: when each timer is due in nanoseconds rounded up to whole milliseconds, 0 when stopped. */
static void run_model(uint64_t seed)
{
    static struct tick ticks[MODEL_TIMERS];
    static uint64_t due_ms[MODEL_TIMERS];
    uint64_t rng = seed * 2654435761u + 88172645463325252u;
    uint64_t now_ns = next_random(&rng) % (1ull << (next_random(&rng) % 60));
    struct timers *timers = timers_create(now_ns);
    memset(due_ms, 0, sizeof(due_ms));
    for (unsigned i = 0; i < MODEL_TIMERS; i++)
        tick_init(&ticks[i], timers);
    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        const unsigned i = next_random(&rng) % MODEL_TIMERS;
        const uint64_t what = next_random(&rng) % 10;
        if (what < 5) {
            const uint64_t delay_ms = next_random(&rng) % (1ull << (next_random(&rng) % 36));
            timer_start(timers, &ticks[i].timer, delay_ms);
            due_ms[i] = (now_ns + MS - 1) / MS + delay_ms;
            if (due_ms[i] <= now_ns / MS)
                due_ms[i] = now_ns / MS + 1;
        } else if (what < 7) {
            timer_stop(timers, &ticks[i].timer);
            due_ms[i] = 0;
        } else {
            /* small and large steps, and often exactly to what timers_wait() says */
            const uint64_t wait_ns = timers_wait(timers, now_ns);
            uint64_t earliest_ms = UINT64_MAX;
            for (unsigned k = 0; k < MODEL_TIMERS; k++)
                if (due_ms[k] && due_ms[k] < earliest_ms)
                    earliest_ms = due_ms[k];
            if (earliest_ms == UINT64_MAX)
                cr_assert_eq(wait_ns, UINT64_MAX, "seed %lu", (unsigned long)seed);
            else
                cr_assert_leq(wait_ns, earliest_ms * MS - now_ns, "seed %lu: late", (unsigned long)seed);
            if (what == 9 && wait_ns != UINT64_MAX)
                now_ns += wait_ns;
            else
                now_ns += next_random(&rng) % (1ull << (next_random(&rng) % 44));
            timers_fire(timers, now_ns);
            for (unsigned k = 0; k < MODEL_TIMERS; k++) {
                const bool due = due_ms[k] && due_ms[k] <= now_ns / MS;
                cr_assert_eq(ticks[k].fired, due ? 1 : 0, "seed %lu step %u timer %u", (unsigned long)seed,
                             step, k);
                ticks[k].fired = 0;
                if (due)
                    due_ms[k] = 0;
                cr_assert_eq(timer_running(&ticks[k].timer), due_ms[k] != 0, "seed %lu", (unsigned long)seed);
            }
        }
    }
    timers_destroy(timers);
}

Test(timer, as_the_model_under_random_operations)
{
    const struct effort_seeds seeds = effort_seeds(20, 10, 1000);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++)
        run_model(seed);
    run_model((uint64_t)time(NULL));
}
