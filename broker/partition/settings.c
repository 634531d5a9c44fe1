/* SPDX-License-Identifier: Apache-2.0 */
#include "partition/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <strings.h>

#include "proto/envelope.h"

static const struct setting rows[] = {
#define X(field, name, kind, min, max, initial, help) { name, kind, min, max, initial, help },
    TOPIC_SETTINGS(X)
#undef X
};
enum { WINDOW_ON_MS = 3600000 };
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
static_assert(ROWS <= 32, "struct topic_settings keeps a bit per row");

/* The fields in the order of the table. */
static const size_t fields[] = {
#define X(field, name, kind, min, max, initial, help) offsetof(struct topic_settings, field),
    TOPIC_SETTINGS(X)
#undef X
};

static int64_t *settings_field(struct topic_settings *s, uint32_t i)
{
    return (int64_t *)((char *)s + fields[i]);
}

uint32_t settings_count(void)
{
    return ROWS;
}

const struct setting *settings_row(uint32_t i)
{
    return i < ROWS ? &rows[i] : NULL;
}

void settings_init(struct topic_settings *s)
{
    for (uint32_t i = 0; i < ROWS; i++)
        *settings_field(s, i) = rows[i].initial;
    s->set = 0;
}

/* ---- values as text ---- */

struct unit {
    const char *name;
    int64_t factor;
};

static bool parse_with_units(struct bytes text, const struct unit *units, int64_t *out)
{
    const uint8_t *p = text.at, *end = p + text.len;
    bool negative = p < end && *p == '-';
    if (negative)
        p++;
    if (p == end || *p < '0' || *p > '9')
        return false;
    int64_t value = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return false;
    uint32_t left = (uint32_t)(end - p);
    for (; units->name; units++)
        if (strlen(units->name) == left && strncasecmp(units->name, (const char *)p, left) == 0) {
            if (__builtin_mul_overflow(value, units->factor, &value))
                return false;
            *out = negative ? -value : value;
            return true;
        }
    return false;
}

bool parse_bytes(struct bytes text, int64_t *out)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1 << 10 },
        { "MiB", 1 << 20 },
        { "GiB", 1 << 30 },
        { "TiB", 1ll << 40 },
        { "K", 1 << 10 },
        { "M", 1 << 20 },
        { "G", 1 << 30 },
        { "T", 1ll << 40 },
        { "kB", 1000 },
        { "MB", 1000000 },
        { "GB", 1000000000 },
        { "TB", 1000000000000ll },
        { NULL, 0 },
    };
    return parse_with_units(text, units, out);
}

bool parse_ms(struct bytes text, int64_t *out)
{
    static const struct unit units[] = {
        { "", 1 },        { "ms", 1 },       { "s", 1000 },      { "m", 60000 }, { "min", 60000 },
        { "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 }, { NULL, 0 },
    };
    return parse_with_units(text, units, out);
}

static bool text_is(struct bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(word, (const char *)text.at, text.len) == 0;
}

/* Names of envelope fields with commas between, as a bit each. */
static bool parse_fields(struct bytes text, int64_t *out)
{
    *out = 0;
    for (uint32_t begin = 0; text.len && begin <= text.len;) {
        const uint8_t *comma = memchr(text.at + begin, ',', text.len - begin);
        const uint32_t end = comma ? (uint32_t)(comma - text.at) : text.len;
        const int field = envelope_find((struct bytes){ text.at + begin, end - begin });
        if (field < 0)
            return false;
        *out |= 1ll << field;
        begin = end + 1;
    }
    return true;
}

static void fields_text(int64_t set, char *out)
{
    int n = 0;
    out[0] = '\0';
    for (int field = 0; field < ENVELOPE_FIELDS; field++)
        if (set >> field & 1)
            n += snprintf(out + n, SETTINGS_TEXT_BYTES - (size_t)n, "%s%s", n ? "," : "",
                          envelope_name((enum envelope_field)field));
}

static bool settings_parse(const struct setting *row, struct bytes value, int64_t *out)
{
    switch (row->kind) {
    case SETTING_MS:
        return parse_ms(value, out);
    case SETTING_BYTES:
        return parse_bytes(value, out);
    case SETTING_WINDOW:
        *out = WINDOW_ON_MS;
        if (text_is(value, "off"))
            *out = 0;
        return text_is(value, "") || text_is(value, "on") || text_is(value, "off") || parse_ms(value, out);
    case SETTING_TIMESTAMP_TYPE:
        *out = text_is(value, "LogAppendTime");
        return *out || text_is(value, "CreateTime");
    case SETTING_CLEANUP:
        *out = 0;
        return text_is(value, "delete");
    case SETTING_FIELDS:
        return parse_fields(value, out);
    }
    return false;
}

void settings_text(const struct topic_settings *s, uint32_t i, char *out)
{
    int64_t value = *settings_field((struct topic_settings *)s, i);
    switch (rows[i].kind) {
    case SETTING_TIMESTAMP_TYPE:
        snprintf(out, SETTINGS_TEXT_BYTES, "%s", value ? "LogAppendTime" : "CreateTime");
        return;
    case SETTING_CLEANUP:
        snprintf(out, SETTINGS_TEXT_BYTES, "delete");
        return;
    case SETTING_FIELDS:
        fields_text(value, out);
        return;
    case SETTING_WINDOW:
        if (!value) {
            snprintf(out, SETTINGS_TEXT_BYTES, "off");
            return;
        }
        snprintf(out, SETTINGS_TEXT_BYTES, "%lld", (long long)value);
        return;
    case SETTING_MS:
    case SETTING_BYTES:
        snprintf(out, SETTINGS_TEXT_BYTES, "%lld", (long long)value);
        return;
    }
}

/* ---- setting ---- */

uint32_t settings_distance(struct bytes a, const char *b)
{
    uint32_t len = (uint32_t)strlen(b), prefix = 0, suffix = 0;
    while (prefix < a.len && prefix < len && a.at[prefix] == (uint8_t)b[prefix])
        prefix++;
    while (suffix < a.len - prefix && suffix < len - prefix &&
           a.at[a.len - 1 - suffix] == (uint8_t)b[len - 1 - suffix])
        suffix++;
    return (a.len > len ? a.len : len) - prefix - suffix;
}

static void settings_unknown(struct bytes name, char *why)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < ROWS; i++)
        if (settings_distance(name, rows[i].name) < settings_distance(name, rows[best].name))
            best = i;
    snprintf(why, 256, "there is no topic setting '%.*s'; did you mean '%s'?",
             (int)(name.len > 64 ? 64 : name.len), (const char *)name.at, rows[best].name);
}

static void settings_range(const struct setting *row, struct bytes value, char *why)
{
    int n = snprintf(why, 256, "%s = '%.*s' is not possible: ", row->name,
                     (int)(value.len > 64 ? 64 : value.len), (const char *)value.at);
    char *at = why + n;
    size_t left = 256 - (size_t)n;
    switch (row->kind) {
    case SETTING_TIMESTAMP_TYPE:
        snprintf(at, left, "give CreateTime or LogAppendTime");
        return;
    case SETTING_CLEANUP:
        snprintf(at, left, "this version knows delete only");
        return;
    case SETTING_FIELDS:
        snprintf(at, left, "give names of envelope fields with commas between: event_id,tenant_id");
        return;
    case SETTING_WINDOW:
        snprintf(at, left, "give off, on (60m), or a time like 90m or 1500 (ms) up to a year");
        return;
    case SETTING_MS:
        snprintf(at, left, "give a time like 7d, 90m or 1500 (ms), at least %lld", (long long)row->min);
        return;
    case SETTING_BYTES:
        if (row->max == INT64_MAX)
            snprintf(at, left, "give a size like 64MiB, at least %lld", (long long)row->min);
        else
            snprintf(at, left, "give a size from %lld to %lld bytes", (long long)row->min,
                     (long long)row->max);
        return;
    }
}

bool settings_set(struct topic_settings *s, const struct topic_settings *defaults, struct bytes name,
                  struct bytes value, char *why)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        if (name.len != strlen(rows[i].name) || memcmp(name.at, rows[i].name, name.len) != 0)
            continue;
        if (!value.at) {
            *settings_field(s, i) = *settings_field((struct topic_settings *)defaults, i);
            s->set &= ~(1u << i);
            return true;
        }
        int64_t parsed;
        if (!settings_parse(&rows[i], value, &parsed) || parsed < rows[i].min || parsed > rows[i].max) {
            settings_range(&rows[i], value, why);
            return false;
        }
        *settings_field(s, i) = parsed;
        s->set |= 1u << i;
        return true;
    }
    settings_unknown(name, why);
    return false;
}
