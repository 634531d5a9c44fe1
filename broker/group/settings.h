/* SPDX-License-Identifier: Apache-2.0
 *
 * group/settings.h: the settings of a consumer group: one table gives names, ranges, defaults and help.
 *
 * Values travel as text: times with units ("30s"), lists ("1s,2s,4s"), words ("end"); they are kept parsed.
 */
#ifndef RUNNEL_GROUP_SETTINGS_H
#define RUNNEL_GROUP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/name.h"

enum { GROUP_BACKOFF_MAX = 16, GROUP_SETTING_TEXT_BYTES = 256 };

enum { OFFSET_RESET_START, OFFSET_RESET_END, OFFSET_RESET_ERROR };
enum { BREAKER_SETTING_AUTO, BREAKER_SETTING_OFF };

/* X(field, "name", kind, min, max, "default", "help"). Fields of kind TIMES and TOPIC are below the table. */
#define GROUP_SETTINGS(X)                                                                                    \
    X(retry_max, "retry.max", NUMBER, 0, 1000, "3", "deliveries after the first one that failed")            \
    X(retry_backoff, "retry.backoff", TIMES, 0, 86400000, "1s,2s,4s",                                        \
      "waits before them; the last one counts for all that follow")                                          \
    X(retry_jitter, "retry.jitter", PERCENT, 0, 100, "10%",                                                  \
      "waits are so much longer or shorter, at random")                                                      \
    X(ack_wait_ms, "ack.wait", TIME, 10, 86400000, "30s",                                                    \
      "an event that is not acknowledged after this long has failed")                                        \
    X(max_in_flight, "max_in_flight", NUMBER, 1, 65536, "100",                                               \
      "events out with one member, unless it asks for another number")                                       \
    X(session_timeout_ms, "session.timeout", TIME, 10, 86400000, "10s",                                      \
      "a member whose connection broke may come back for so long")                                           \
    X(dlq_topic, "dlq.topic", TOPIC, 0, 0, "",                                                               \
      "topic for dead letters; empty: the event's topic and .dlq; none: events given up are dropped")        \
    X(offset_reset, "offset.reset", RESET, 0, 2, "end",                                                      \
      "where to begin in a topic that was there before the group: start, end or error")                      \
    X(window_max, "window.max", WINDOW, 64, 1048576, "65536",                                                \
      "events past the oldest one that is not settled; a power of two")                                      \
    X(breaker, "breaker", BREAKER, 0, 1, "auto",                                                             \
      "pause the group when it fails as in an outage: auto or off")                                          \
    X(breaker_min, "breaker.min", NUMBER, 1, 64, "20",                                                       \
      "outcomes, of the last 64, below which nothing opens it")                                              \
    X(breaker_failures, "breaker.failures", PERCENT, 1, 100, "50%", "of the outcomes must have failed")      \
    X(breaker_probe_ms, "breaker.probe", TIME, 10, 86400000, "30s", "from opening to the first probe")       \
    X(expire_after_ms, "expire.after", TIME, -1, 3153600000000, "7d",                                        \
      "a group without members is forgotten after this long; -1: never")

enum group_setting_kind {
    GROUP_SETTING_NUMBER,
    GROUP_SETTING_TIME,
    GROUP_SETTING_PERCENT,
    GROUP_SETTING_TIMES,
    GROUP_SETTING_TOPIC,
    GROUP_SETTING_RESET,
    GROUP_SETTING_WINDOW,
    GROUP_SETTING_BREAKER,
};

struct group_settings {
    /* Numbers; of TIMES how many there are, of TOPIC its length. */
#define X(field, name, kind, min, max, initial, help) int64_t field;
    GROUP_SETTINGS(X)
#undef X
    int64_t backoff_ms[GROUP_BACKOFF_MAX];
    char dlq_topic_name[TOPIC_NAME_MAX + 1]; /* "" or "none" or a name */
    uint32_t set;                            /* bit per row: given for this group, not the default */
};

struct group_setting {
    const char *name;
    enum group_setting_kind kind;
    int64_t min, max;
    const char *initial, *help;
};

/* Rows of the table, in order. */
uint32_t group_settings_count(void);
const struct group_setting *group_settings_row(uint32_t i);
/* All defaults. */
void group_settings_init(struct group_settings *s);
/* Sets one by name; value.at NULL: back to that of `defaults`. False with a sentence in `why` (256 bytes):
 * unknown name (with the nearest known one), unreadable value, out of range. */
bool group_settings_set(struct group_settings *s, const struct group_settings *defaults, struct bytes name,
                        struct bytes value, char *why);
/* The value of row `i` as text (GROUP_SETTING_TEXT_BYTES); it reads back as the same value. */
void group_settings_text(const struct group_settings *s, uint32_t i, char *out);
/* Takes over what `s` does not set itself: the defaults changed. */
void group_settings_inherit(struct group_settings *s, const struct group_settings *defaults);

#endif
