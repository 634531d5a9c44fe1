/* SPDX-License-Identifier: Apache-2.0
 *
 * io/timer.h: many timers at little cost: a hierarchical wheel with 1 ms slots and embedded entries.
 *
 * Starting, moving and stopping are O(1). A timer fires at its time or up to 1 ms later, never before.
 * Handlers run inside timers_fire() only and may start or stop any timer, their own too. Source of the
 * scheme: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987.
 */
#ifndef RUNNEL_IO_TIMER_H
#define RUNNEL_IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct timers;

struct timer {
    struct list link;
    uint64_t due_ms;
    void (*fire)(struct timer *timer);
};

struct timers *timers_create(uint64_t now_ns);
void timers_destroy(struct timers *timers);
void timer_init(struct timer *timer, void (*fire)(struct timer *));
/* Fires `delay_ms` from now (the wheel's idea of now: the last timers_fire); a running timer is moved. */
void timer_start(struct timers *timers, struct timer *timer, uint64_t delay_ms);
void timer_stop(struct timers *timers, struct timer *timer);
static inline bool timer_running(const struct timer *timer)
{
    return list_linked(&timer->link);
}
/* Nanoseconds from `now_ns` until something may be due; UINT64_MAX when no timer runs. May be early (a
 * cascade), never late. */
uint64_t timers_wait(const struct timers *timers, uint64_t now_ns);
/* Fires what is due. */
void timers_fire(struct timers *timers, uint64_t now_ns);

#endif
