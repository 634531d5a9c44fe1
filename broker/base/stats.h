/* SPDX-License-Identifier: Apache-2.0
 *
 * base/stats.h: how rooms show their counters.
 *
 * A room lists its figures once, as an X-macro; that list makes the struct, and the room's visit function
 * walks it:
 *
 *   #define JOURNAL_STATS(X) X(commits, STAT_COUNTER, "commits written")
 *   struct journal_stats { JOURNAL_STATS(STAT_FIELD) };
 *
 * `runnel stat` prints "<room>.<name>" for every one of them, so a counter cannot exist without being
 * visible.
 */
#ifndef RUNNEL_BASE_STATS_H
#define RUNNEL_BASE_STATS_H

#include <stdint.h>

enum stat_kind {
    STAT_COUNTER, /* only grows, from 0 at start */
    STAT_GAUGE,   /* a level now */
};

#define STAT_FIELD(name, kind, help) uint64_t name;
#define STAT_VISIT(name, kind, help) visit(ctx, STAT_ROOM, #name, kind, s->name);

/* Called once per figure; `room` and `name` live for the process. */
typedef void (*stat_visit)(void *ctx, const char *room, const char *name, enum stat_kind kind,
                           uint64_t value);

#endif
