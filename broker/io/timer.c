/* SPDX-License-Identifier: Apache-2.0
 *
 * io/timer.c: the wheel of timer.h: eight levels of 64 slots, 1 ms at the lowest.
 *
 * A timer's level is the highest group of six bits in which its due time differs from now; within the level
 * its slot is that group's value. So all timers of a level are due before those of the next one up, each
 * level's bitmap names its first slot in one instruction, and (level, slot) follows from due time and now at
 * any moment: nothing is stored. When now reaches the start of an upper slot, its timers move down.
 *
 * Invariant: every timer in the wheel has due_ms > now_ms. Those being fired sit in `firing`.
 */
#include "io/timer.h"

#include "base/check.h"
#include "base/mem.h"

enum {
    TIMER_BITS = 6,
    TIMER_SLOTS = 1 << TIMER_BITS,
    TIMER_LEVELS = 8, /* 2^48 ms: 8,900 years */
    TIMER_NS_PER_MS = 1000000,
    TIMER_LOOK_MAX = 16, /* timers_wait() looks at no more; a fuller slot costs one wake-up instead */
};
/* Longer delays fire then: farther than any process lives, and no sum overflows. */
#define TIMER_DELAY_MAX_MS (1ull << 40)

struct timers {
    uint64_t now_ns; /* of the last timers_fire() */
    uint64_t now_ms; /* every due time up to here has been handled */
    uint64_t occupied[TIMER_LEVELS];
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
    struct list firing;
    bool in_fire;
};

struct timers *timers_create(uint64_t now_ns)
{
    struct timers *timers = mem_zalloc(MEM_IO, sizeof(*timers));
    timers->now_ns = now_ns;
    timers->now_ms = now_ns / TIMER_NS_PER_MS;
    for (unsigned level = 0; level < TIMER_LEVELS; level++)
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&timers->slots[level][slot]);
    list_init(&timers->firing);
    return timers;
}

void timers_destroy(struct timers *timers)
{
    CHECK(!timers->in_fire);
    mem_free(MEM_IO, timers, sizeof(*timers));
}

void timer_init(struct timer *timer, void (*fire)(struct timer *))
{
    list_init(&timer->link);
    timer->due_ms = 0;
    timer->fire = fire;
}

struct timer_place {
    unsigned level, slot;
};

static struct timer_place timers_place(const struct timers *timers, uint64_t due_ms)
{
    CHECK(due_ms > timers->now_ms);
    const unsigned top_bit = 63 - (unsigned)__builtin_clzll(due_ms ^ timers->now_ms);
    const unsigned level = top_bit / TIMER_BITS;
    CHECK(level < TIMER_LEVELS);
    return (struct timer_place){ level, (unsigned)(due_ms >> (level * TIMER_BITS)) % TIMER_SLOTS };
}

static void timers_insert(struct timers *timers, struct timer *timer)
{
    const struct timer_place place = timers_place(timers, timer->due_ms);
    list_append(&timers->slots[place.level][place.slot], &timer->link);
    timers->occupied[place.level] |= 1ull << place.slot;
}

void timer_start(struct timers *timers, struct timer *timer, uint64_t delay_ms)
{
    timer_stop(timers, timer);
    if (delay_ms > TIMER_DELAY_MAX_MS)
        delay_ms = TIMER_DELAY_MAX_MS;
    /* Rounded up, so that it never fires early; and after what is handled already, so that a handler that
     * starts its own timer with no delay does not keep timers_fire() for ever. */
    timer->due_ms = (timers->now_ns + TIMER_NS_PER_MS - 1) / TIMER_NS_PER_MS + delay_ms;
    if (timer->due_ms <= timers->now_ms)
        timer->due_ms = timers->now_ms + 1;
    timers_insert(timers, timer);
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    if (!timer_running(timer))
        return;
    list_remove(&timer->link);
    if (timer->due_ms <= timers->now_ms)
        return; /* was about to fire in this very timers_fire() */
    const struct timer_place place = timers_place(timers, timer->due_ms);
    if (list_empty(&timers->slots[place.level][place.slot]))
        timers->occupied[place.level] &= ~(1ull << place.slot);
}

/* When the first slot starts, and which it is; false when the wheel is empty. */
static bool timers_next(const struct timers *timers, struct timer_place *place, uint64_t *start_ms)
{
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        if (timers->occupied[level] == 0)
            continue;
        const unsigned slot = (unsigned)__builtin_ctzll(timers->occupied[level]);
        const unsigned shift = level * TIMER_BITS;
        const uint64_t upper = timers->now_ms >> (shift + TIMER_BITS) << TIMER_BITS;
        *place = (struct timer_place){ level, slot };
        *start_ms = (upper | slot) << shift;
        return true;
    }
    return false;
}

/* The first slot's timers are due before all others, but not at its start: waking there would only move them
 * down. So the earliest of them is sought, as far as that is cheap. */
uint64_t timers_wait(const struct timers *timers, uint64_t now_ns)
{
    struct timer_place place;
    uint64_t start_ms, first_ms = UINT64_MAX;
    unsigned looked = 0;
    if (!timers_next(timers, &place, &start_ms))
        return UINT64_MAX;
    LIST_FOR_EACH (node, &timers->slots[place.level][place.slot]) {
        const struct timer *timer = CONTAINER_OF(node, struct timer, link);
        if (timer->due_ms < first_ms)
            first_ms = timer->due_ms;
        if (++looked == TIMER_LOOK_MAX && node->next != &timers->slots[place.level][place.slot]) {
            first_ms = start_ms;
            break;
        }
    }
    const uint64_t first_ns = first_ms * TIMER_NS_PER_MS;
    return first_ns > now_ns ? first_ns - now_ns : 0;
}

/* Moves the timers of the slot that now has just reached: down a level, or to `firing` when due. */
static void timers_open(struct timers *timers, struct timer_place place)
{
    struct list *slot = &timers->slots[place.level][place.slot];
    timers->occupied[place.level] &= ~(1ull << place.slot);
    for (struct list *node; (node = list_pop(slot));) {
        struct timer *timer = CONTAINER_OF(node, struct timer, link);
        if (timer->due_ms == timers->now_ms)
            list_append(&timers->firing, &timer->link);
        else
            timers_insert(timers, timer);
    }
}

void timers_fire(struct timers *timers, uint64_t now_ns)
{
    CHECK(!timers->in_fire);
    if (now_ns < timers->now_ns)
        return;
    timers->in_fire = true;
    /* Handlers that start a timer count from this call's time, not from the slot being fired. */
    timers->now_ns = now_ns;
    const uint64_t target_ms = now_ns / TIMER_NS_PER_MS;
    struct timer_place place;
    uint64_t start_ms;
    while (timers_next(timers, &place, &start_ms) && start_ms <= target_ms) {
        timers->now_ms = start_ms;
        timers_open(timers, place);
        for (struct list *node; (node = list_pop(&timers->firing));) {
            struct timer *timer = CONTAINER_OF(node, struct timer, link);
            timer->fire(timer);
        }
    }
    timers->now_ms = target_ms;
    timers->in_fire = false;
}
