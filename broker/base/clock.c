/* SPDX-License-Identifier: Apache-2.0
 *
 * base/clock.c: the system's clocks behind the seam of clock.h.
 */
#include "base/clock.h"

#include <time.h>

static void clock_read_system(struct clock *clock)
{
    struct timespec mono, wall;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    clock->mono_ns = (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec;
    clock->wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
}

void clock_init(struct clock *clock)
{
    clock->mono_ns = 0;
    clock->wall_ms = 0;
    clock->read = clock_read_system;
    clock_read_system(clock);
}

void clock_update(struct clock *clock)
{
    const int64_t before = clock->wall_ms;
    clock->read(clock);
    /* An administrator or NTP stepped back: stored times hold still until real time has caught up, so that
     * a later record never carries an earlier append time. */
    if (clock->wall_ms < before)
        clock->wall_ms = before;
}
