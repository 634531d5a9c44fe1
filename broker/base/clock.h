/* SPDX-License-Identifier: Apache-2.0
 *
 * base/clock.h: time, read once per turn and replaceable in tests.
 *
 * Everything that decides by time takes a `struct clock *`; nothing else in the broker reads the system's
 * clock. Wall time never runs backwards within a process: a step back holds it until real time catches up.
 */
#ifndef RUNNEL_BASE_CLOCK_H
#define RUNNEL_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t mono_ns; /* monotonic, for time-outs */
    int64_t wall_ms;  /* milliseconds since 1970-01-01 UTC, for stored times */
    void (*read)(struct clock *clock);
};

/* The system's clocks; already read once. */
void clock_init(struct clock *clock);
/* Reads the time anew; called once at the start of each turn. */
void clock_update(struct clock *clock);

#endif
