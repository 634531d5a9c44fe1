/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/settings.h: the settings of a topic: one table gives names, ranges, defaults and help.
 *
 * Kafka's names where the meaning is the same. Values travel as text; sizes and times accept units ("64MiB",
 * "7d") and are kept as plain numbers; -1 means no limit where the range allows it.
 */
#ifndef RUNNEL_PARTITION_SETTINGS_H
#define RUNNEL_PARTITION_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"

/* X(field, "name", kind, min, max, default, "help") */
#define TOPIC_SETTINGS(X)                                                                                    \
    X(retention_ms, "retention.ms", SETTING_MS, -1, INT64_MAX, 604800000,                                    \
      "delete segments whose last event is older; -1: never")                                                \
    X(retention_bytes, "retention.bytes", SETTING_BYTES, -1, INT64_MAX, -1,                                  \
      "delete the oldest segments of a partition beyond this; -1: never")                                    \
    X(segment_bytes, "segment.bytes", SETTING_BYTES, 65536, 1073741824, 134217728,                           \
      "start a new segment at this size")                                                                    \
    X(segment_ms, "segment.ms", SETTING_MS, 1000, INT64_MAX, 604800000,                                      \
      "start a new segment when the oldest event of this one is older")                                      \
    X(max_message_bytes, "max.message.bytes", SETTING_BYTES, 1024, 8388608, 1048576,                         \
      "largest batch that is accepted")                                                                      \
    X(timestamp_after_max_ms, "message.timestamp.after.max.ms", SETTING_MS, 0, INT64_MAX, 3600000,           \
      "refuse timestamps further ahead than this")                                                           \
    X(timestamp_type, "message.timestamp.type", SETTING_TIMESTAMP_TYPE, 0, 1, 0,                             \
      "CreateTime keeps the producer's time, LogAppendTime sets the broker's")                               \
    X(cleanup_policy, "cleanup.policy", SETTING_CLEANUP, 0, 0, 0, "delete: by retention")                    \
    X(envelope_require, "envelope.require", SETTING_FIELDS, 0, INT64_MAX, 0,                                 \
      "envelope fields that every event must have, with commas between: event_id,tenant_id")                 \
    X(dedupe_window_ms, "dedupe.window", SETTING_WINDOW, 0, 31536000000, 0,                                  \
      "an event id published again within this time is answered with the first event's place; on: 60m")

enum setting_kind {
    SETTING_MS,
    SETTING_BYTES,
    SETTING_TIMESTAMP_TYPE,
    SETTING_CLEANUP,
    SETTING_FIELDS,
    SETTING_WINDOW,
};

struct topic_settings {
#define X(field, name, kind, min, max, initial, help) int64_t field;
    TOPIC_SETTINGS(X)
#undef X
    uint32_t set; /* bit per row of the table: given for this topic, not the default */
};

struct setting {
    const char *name;
    enum setting_kind kind;
    int64_t min, max, initial;
    const char *help;
};

enum { SETTINGS_TEXT_BYTES = 384 /* the names of all fields of an envelope */ };

/* Rows of the table, in order. */
uint32_t settings_count(void);
const struct setting *settings_row(uint32_t i);
/* All defaults. */
void settings_init(struct topic_settings *s);
/* Sets one by name; value.at NULL: back to the default of `defaults`. False with a sentence in `why` (256
 * bytes): unknown name (with the nearest known one), unreadable value, out of range. */
bool settings_set(struct topic_settings *s, const struct topic_settings *defaults, struct bytes name,
                  struct bytes value, char *why);
/* The value of row `i` as text (SETTINGS_TEXT_BYTES). */
void settings_text(const struct topic_settings *s, uint32_t i, char *out);

/* "64MiB", "7d", "1500": a number with an optional unit. False when it is not one or it overflows. */
bool parse_bytes(struct bytes text, int64_t *out);
bool parse_ms(struct bytes text, int64_t *out);

/* How many letters differ, roughly: common prefix and suffix count against the longer name. */
uint32_t settings_distance(struct bytes a, const char *b);

#endif
