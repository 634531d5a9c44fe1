/* SPDX-License-Identifier: Apache-2.0
 *
 * group/lag.c: see lag.h.
 *
 * Thinning: a sample may go when its neighbours are closer together than a fraction of its age; what it told
 * is then told by the next younger one, which keeps the estimate an upper one. The fraction is taken larger
 * until there is room.
 */
#include "group/lag.h"

#include <stdbool.h>

#include "base/check.h"

/* Brings the samples down to three quarters, so that the cost is spread over many notes. */
static void append_times_thin(struct append_times *t, int64_t now_ms)
{
    for (int64_t part = 16; t->count > APPEND_TIMES_MAX * 3 / 4; part /= 2) {
        CHECK(part > 0);
        uint32_t kept = 1; /* the oldest stays: it is the only one of its age */
        for (uint32_t i = 1; i < t->count; i++) {
            const struct append_sample *s = &t->samples[i];
            const bool last = i + 1 == t->count;
            if (!last && part > 1 &&
                t->samples[i + 1].ms - t->samples[kept - 1].ms <= (now_ms - s->ms) / part)
                continue;
            if (!last && part == 1 && i % 2)
                continue; /* clocks that stand still or go back: any half will do */
            t->samples[kept++] = *s;
        }
        t->count = kept;
        if (part == 1)
            return;
    }
}

void append_times_note(struct append_times *t, uint64_t end, int64_t now_ms)
{
    if (!t->started) {
        t->started = 1;
        t->base = end;
        return;
    }
    struct append_sample *last = t->count ? &t->samples[t->count - 1] : NULL;
    if (end <= (last ? last->end : t->base))
        return;
    if (last && now_ms < last->ms)
        now_ms = last->ms; /* the wall clock went back: times still ascend */
    if (last && now_ms - t->last_from_ms < APPEND_TIMES_STEP_MS) {
        last->end = end;
        last->ms = now_ms;
        return;
    }
    if (t->count == APPEND_TIMES_MAX)
        append_times_thin(t, now_ms);
    t->samples[t->count++] = (struct append_sample){ .end = end, .ms = now_ms };
    t->last_from_ms = now_ms;
}

int64_t append_times_at(const struct append_times *t, uint64_t offset)
{
    if (!t->started || offset < t->base)
        return -1;
    uint32_t low = 0, high = t->count; /* the first sample whose end is past the offset */
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (t->samples[middle].end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low < t->count ? t->samples[low].ms : -1;
}
