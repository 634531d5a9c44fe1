/* SPDX-License-Identifier: Apache-2.0
 *
 * group/breaker.c: see breaker.h.
 *
 * The ring is looked at as a whole after each failure: 64 outcomes are two cache lines' work, and failures
 * are rare or the group is about to stop anyway.
 */
#include "group/breaker.h"

#include <string.h>

#include "base/check.h"

void breaker_set(struct breaker *b, const struct breaker_settings *settings)
{
    CHECK(settings->outcomes_min >= 1 && settings->outcomes_min <= BREAKER_OUTCOMES);
    CHECK(settings->failures_percent >= 1 && settings->failures_percent <= 100);
    CHECK(settings->probe_ms >= 1);
    b->settings = *settings;
}

void breaker_init(struct breaker *b, const struct breaker_settings *settings)
{
    memset(b, 0, sizeof(*b));
    breaker_set(b, settings);
    b->due_ms = INT64_MAX;
}

static void breaker_forget(struct breaker *b)
{
    b->count = b->at = 0;
}

static void breaker_close(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->due_ms = INT64_MAX;
    breaker_forget(b);
}

static void breaker_open(struct breaker *b, int64_t interval_ms, int64_t now_ms)
{
    b->state = BREAKER_OPEN;
    b->probe_ms = interval_ms;
    b->due_ms = now_ms + interval_ms;
}

/* The class that most failures have, if any has more than half: then it is what is left after pairing off
 * different ones (Boyer and Moore). */
static uint32_t breaker_main_class(const struct breaker *b)
{
    uint32_t class = 0, surplus = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct breaker_outcome *o = &b->outcomes[i];
        if (o->ok)
            continue;
        if (surplus == 0)
            class = o->error_class;
        if (o->error_class == class)
            surplus++;
        else
            surplus--;
    }
    return class;
}

/* Different keys among the failures of a class, counted up to BREAKER_KEYS_MIN. */
static uint32_t breaker_keys(const struct breaker *b, uint32_t class)
{
    uint32_t keys[BREAKER_KEYS_MIN], count = 0;
    for (uint32_t i = 0; i < b->count && count < BREAKER_KEYS_MIN; i++) {
        const struct breaker_outcome *o = &b->outcomes[i];
        if (o->ok || o->error_class != class)
            continue;
        uint32_t k = 0;
        while (k < count && keys[k] != o->key_hash)
            k++;
        if (k == count)
            keys[count++] = o->key_hash;
    }
    return count;
}

static bool breaker_is_outage(const struct breaker *b, struct breaker_why *why)
{
    if (b->count < b->settings.outcomes_min)
        return false;
    why->outcomes = b->count;
    why->failures = why->same = 0;
    why->error_class = breaker_main_class(b);
    for (uint32_t i = 0; i < b->count; i++) {
        why->failures += !b->outcomes[i].ok;
        why->same += !b->outcomes[i].ok && b->outcomes[i].error_class == why->error_class;
    }
    if (why->failures * 100 < b->count * b->settings.failures_percent ||
        why->same * 100 < why->failures * BREAKER_SAME_PERCENT)
        return false;
    why->keys = breaker_keys(b, why->error_class);
    return why->keys >= BREAKER_KEYS_MIN;
}

static void breaker_remember(struct breaker *b, bool ok, uint32_t error_class, uint32_t key_hash)
{
    b->outcomes[b->at] =
        (struct breaker_outcome){ .ok = ok, .error_class = error_class, .key_hash = key_hash };
    b->at = (b->at + 1) % BREAKER_OUTCOMES;
    if (b->count < BREAKER_OUTCOMES)
        b->count++;
}

/* The interval after a failed probe: twice as long, up to the limit, which a setting may lie beyond. */
static int64_t breaker_longer(const struct breaker *b)
{
    if (b->probe_ms >= BREAKER_PROBE_MAX_MS)
        return b->probe_ms;
    return b->probe_ms * 2 < BREAKER_PROBE_MAX_MS ? b->probe_ms * 2 : BREAKER_PROBE_MAX_MS;
}

bool breaker_note(struct breaker *b, bool ok, uint32_t error_class, uint32_t key_hash, int64_t now_ms)
{
    struct breaker_why why;
    switch (b->state) {
    case BREAKER_CLOSED:
        breaker_remember(b, ok, error_class, key_hash);
        if (ok || !breaker_is_outage(b, &why))
            return false;
        why.at_ms = now_ms;
        b->why = why;
        breaker_open(b, b->settings.probe_ms, now_ms);
        return true;
    case BREAKER_HALF_OPEN:
        if (ok)
            breaker_close(b);
        else
            breaker_open(b, breaker_longer(b), now_ms);
        return true;
    case BREAKER_OPEN:
    case BREAKER_FORCED_OPEN:
    case BREAKER_FORCED_CLOSED:
        return false;
    }
    UNREACHABLE();
}

uint32_t breaker_room(struct breaker *b, int64_t now_ms, uint32_t in_flight)
{
    switch (b->state) {
    case BREAKER_CLOSED:
    case BREAKER_FORCED_CLOSED:
        return UINT32_MAX;
    case BREAKER_FORCED_OPEN:
        return 0;
    case BREAKER_OPEN:
        /* While something from before is out its outcome could be taken for the probe's. */
        if (now_ms < b->due_ms || in_flight)
            return 0;
        b->state = BREAKER_HALF_OPEN;
        b->due_ms = INT64_MAX;
        return 1;
    case BREAKER_HALF_OPEN:
        return in_flight ? 0 : 1;
    }
    UNREACHABLE();
}

bool breaker_may_deliver(struct breaker *b, int64_t now_ms, uint32_t in_flight)
{
    return breaker_room(b, now_ms, in_flight) > 0;
}

bool breaker_charges(const struct breaker *b)
{
    return b->state == BREAKER_CLOSED || b->state == BREAKER_FORCED_CLOSED;
}

int64_t breaker_due(const struct breaker *b)
{
    return b->due_ms;
}

void breaker_restore(struct breaker *b, const struct breaker_why *why, int64_t probe_ms, int64_t now_ms)
{
    b->why = *why;
    breaker_open(b, probe_ms, now_ms);
    b->due_ms = now_ms;
}

void breaker_force(struct breaker *b, enum breaker_state state)
{
    CHECK(state == BREAKER_CLOSED || state == BREAKER_FORCED_OPEN || state == BREAKER_FORCED_CLOSED);
    breaker_close(b);
    b->state = state;
}
