/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/ranges.h: sets of events of one partition, as ranges of offsets under an epoch.
 *
 * Sorted by offset; an offset is in a set at most once, and adding it under another epoch replaces it. Events
 * come and go in order nearly always: then a set is one range that grows at one end and shrinks at the other.
 * Memory grows by doubling, and is kept.
 */
#ifndef RUNNEL_CLIENT_GROUP_RANGES_H
#define RUNNEL_CLIENT_GROUP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct range {
    int64_t first, end;
    uint32_t epoch;
};

/* Zero-initialise. */
struct ranges {
    struct range *items;
    uint32_t count, size;
};

void ranges_free(struct ranges *r);
/* Adds [first, end); false without memory: nothing has changed. */
bool ranges_add(struct ranges *r, int64_t first, int64_t end, uint32_t epoch);
/* Adds all of `from`, which is empty afterwards; false: not all of it, for want of memory. */
bool ranges_move(struct ranges *to, struct ranges *from);
/* Takes one event out: false: it is not there under this epoch, or memory lacks. */
bool ranges_take(struct ranges *r, int64_t offset, uint32_t epoch);
bool ranges_has(const struct ranges *r, int64_t offset, uint32_t epoch);
/* Takes out what lies in [first, end) under epochs up to `epoch`; false without memory: some of it stays. */
bool ranges_cut(struct ranges *r, int64_t first, int64_t end, uint32_t epoch);
uint64_t ranges_events(const struct ranges *r);

#endif
