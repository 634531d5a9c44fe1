/* SPDX-License-Identifier: Apache-2.0
 *
 * group/breaker.h: does a group fail because an event is poison, or because something behind it is down?
 *
 * An outage looks different from poison: most events fail, nearly all for one reason, and whatever their key.
 * Then retries would only burn through everything that arrives and fill the dead-letter topic, so the breaker
 * opens: the group is paused, failures are not charged, and from time to time one event is delivered as a
 * probe.
 *
 *            outage                     probe is due, nothing out
 *   CLOSED ──────────▶ OPEN ───────────────────────────────────▶ HALF_OPEN
 *      ▲                ▲      probe failed: twice the interval       │
 *      │                └─────────────────────────────────────────────┤
 *      └──────────────────────── probe succeeded ─────────────────────┘
 *
 * An operator may force it open or closed; "off" is forced closed. Pure: time comes in.
 */
#ifndef RUNNEL_GROUP_BREAKER_H
#define RUNNEL_GROUP_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BREAKER_OUTCOMES = 64,     /* the last so many are looked at */
    BREAKER_SAME_PERCENT = 80, /* of the failures have one class */
    BREAKER_KEYS_MIN = 5,      /* and hit so many different keys */
    BREAKER_PROBE_MAX_MS = 300000,
};

enum breaker_state {
    BREAKER_CLOSED,        /* delivers; outcomes are watched */
    BREAKER_OPEN,          /* paused until the next probe is due */
    BREAKER_HALF_OPEN,     /* one event goes out, or is out: its outcome decides */
    BREAKER_FORCED_OPEN,   /* paused by command, without probes */
    BREAKER_FORCED_CLOSED, /* delivers, whatever the outcomes (off) */
};

struct breaker_settings {
    uint32_t outcomes_min;     /* fewer say nothing: 1..BREAKER_OUTCOMES */
    uint32_t failures_percent; /* of the outcomes: 1..100 */
    int64_t probe_ms; /* to the first probe; doubled after each that fails, up to BREAKER_PROBE_MAX_MS */
};

struct breaker_outcome {
    bool ok;
    uint32_t error_class, key_hash;
};

/* What opened it, for people. */
struct breaker_why {
    uint32_t outcomes, failures; /* looked at; failed among them */
    uint32_t error_class, same;  /* the class that most failures have, and how many */
    uint32_t keys;               /* different keys among these; counted up to BREAKER_KEYS_MIN */
    int64_t at_ms;               /* when; 0: never */
};

/* Embedded in a group. Fields are private but for reading `state`, `due_ms` and `why`. */
struct breaker {
    enum breaker_state state;
    int64_t due_ms;   /* OPEN: when the next probe is due */
    int64_t probe_ms; /* the interval now */
    struct breaker_settings settings;
    struct breaker_why why;
    uint32_t count, at; /* the ring of outcomes */
    struct breaker_outcome outcomes[BREAKER_OUTCOMES];
};

void breaker_init(struct breaker *b, const struct breaker_settings *settings);
/* Other settings; the state and the outcomes stay. */
void breaker_set(struct breaker *b, const struct breaker_settings *settings);
/* An event was acknowledged (ok) or failed. `key_hash`: of the event's key, or of its offset if it has none:
 * events without keys are not all of one key. True when the state changed. Outcomes that come in while it is
 * OPEN are of deliveries before, and say nothing new: ignored. */
bool breaker_note(struct breaker *b, bool ok, uint32_t error_class, uint32_t key_hash, int64_t now_ms);
/* Whether events may be delivered, `in_flight` being what the group has out: see breaker_room(). */
bool breaker_may_deliver(struct breaker *b, int64_t now_ms, uint32_t in_flight);
/* How many events may be delivered now: 0, 1 (the probe) or UINT32_MAX. Goes from OPEN to HALF_OPEN when the
 * probe is due. A probe that came back without outcome (released, its member gone) is simply delivered again.
 */
uint32_t breaker_room(struct breaker *b, int64_t now_ms, uint32_t in_flight);
/* Whether failures are charged to events now. Ask before breaker_note(): the failure that opens it still is.
 */
bool breaker_charges(const struct breaker *b);
/* When the next probe is due; INT64_MAX if none is awaited. */
int64_t breaker_due(const struct breaker *b);
/* Open, as it was before a restart; the probe is due at once. */
void breaker_restore(struct breaker *b, const struct breaker_why *why, int64_t probe_ms, int64_t now_ms);
/* By command: BREAKER_FORCED_OPEN, BREAKER_FORCED_CLOSED, or BREAKER_CLOSED for automatic again. Outcomes are
 * forgotten. */
void breaker_force(struct breaker *b, enum breaker_state state);

#endif
