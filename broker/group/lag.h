/* SPDX-License-Identifier: Apache-2.0
 *
 * group/lag.h: when was the event at an offset appended? Lag in seconds, without reading a log for it.
 *
 * A partition's durable end is sampled as it moves: (end, time). An event's time of append is that of the
 * first sample past it: exact while the sample is young, and later than the truth by a fraction of the age
 * once samples in between were thinned out. Logarithmic thinning: what is old is kept coarser, so that 128
 * samples reach from milliseconds to months.
 */
#ifndef RUNNEL_GROUP_LAG_H
#define RUNNEL_GROUP_LAG_H

#include <stdint.h>

enum {
    APPEND_TIMES_MAX = 128,
    APPEND_TIMES_STEP_MS = 8, /* moves closer together than this become one sample */
};

/* Embedded in whoever follows a partition; zeroed is empty. Fields are private. */
struct append_times {
    uint64_t base; /* of events below nothing is known */
    uint32_t count;
    uint32_t started;
    int64_t last_from_ms; /* the first move in the youngest sample */
    struct append_sample {
        uint64_t end;
        int64_t ms;
    } samples[APPEND_TIMES_MAX];
};

/* The durable end is `end` now. The first call tells where knowledge begins: call it when the store opens. */
void append_times_note(struct append_times *t, uint64_t end, int64_t now_ms);
/* When the event at `offset` was appended, at the latest; -1: before the first note, or not yet. */
int64_t append_times_at(const struct append_times *t, uint64_t offset);

#endif
