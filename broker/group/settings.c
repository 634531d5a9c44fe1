/* SPDX-License-Identifier: Apache-2.0 */
#include "group/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "partition/settings.h"

static const struct group_setting rows[] = {
#define X(field, name, kind, min, max, initial, help) { name, GROUP_SETTING_##kind, min, max, initial, help },
    GROUP_SETTINGS(X)
#undef X
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), WHY_BYTES = 256 };
static_assert(ROWS <= 32, "struct group_settings keeps a bit per row");

static const size_t fields[] = {
#define X(field, name, kind, min, max, initial, help) offsetof(struct group_settings, field),
    GROUP_SETTINGS(X)
#undef X
};

static int64_t *row_field(struct group_settings *s, uint32_t i)
{
    return (int64_t *)((char *)s + fields[i]);
}

uint32_t group_settings_count(void)
{
    return ROWS;
}

const struct group_setting *group_settings_row(uint32_t i)
{
    return i < ROWS ? &rows[i] : NULL;
}

/* ---- text to value ---- */

static bool text_is(struct bytes text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

/* The place of a word in a list that ends with NULL. */
static bool parse_word(struct bytes text, const char *const *words, int64_t *out)
{
    for (*out = 0; words[*out]; ++*out)
        if (text_is(text, words[*out]))
            return true;
    return false;
}

static const char *const reset_words[] = { "start", "end", "error", NULL };
static const char *const breaker_words[] = { "auto", "off", NULL };

static bool parse_number(struct bytes text, int64_t *out)
{
    return text.len && (text.at[text.len - 1] >= '0' && text.at[text.len - 1] <= '9') && parse_ms(text, out);
}

static bool parse_times(struct bytes text, const struct group_setting *row, struct group_settings *s,
                        int64_t *out)
{
    *out = 0;
    for (uint32_t at = 0; at <= text.len;) {
        uint32_t end = at;
        while (end < text.len && text.at[end] != ',')
            end++;
        int64_t ms;
        if (*out == GROUP_BACKOFF_MAX || !parse_ms((struct bytes){ text.at + at, end - at }, &ms) ||
            ms < row->min || ms > row->max)
            return false;
        s->backoff_ms[(*out)++] = ms;
        at = end + 1;
    }
    return true;
}

static bool parse_topic(struct bytes text, struct group_settings *s, int64_t *out)
{
    if (text.len && (!topic_name_valid(text) || topic_name_internal(text)))
        return false;
    memcpy(s->dlq_topic_name, text.at, text.len);
    s->dlq_topic_name[text.len] = 0;
    *out = text.len;
    return true;
}

/* Into a copy of the settings: spoiled when it returns false. */
static bool row_parse(const struct group_setting *row, struct bytes text, struct group_settings *s,
                      int64_t *out)
{
    switch (row->kind) {
    case GROUP_SETTING_PERCENT:
        if (text.len && text.at[text.len - 1] == '%')
            text.len--;
        break;
    case GROUP_SETTING_TIMES:
        return parse_times(text, row, s, out);
    case GROUP_SETTING_TOPIC:
        return parse_topic(text, s, out);
    case GROUP_SETTING_RESET:
        return parse_word(text, reset_words, out);
    case GROUP_SETTING_BREAKER:
        return parse_word(text, breaker_words, out);
    case GROUP_SETTING_TIME:
        return parse_ms(text, out) && *out >= row->min && *out <= row->max;
    case GROUP_SETTING_WINDOW:
    case GROUP_SETTING_NUMBER:
        break;
    }
    return parse_number(text, out) && *out >= row->min && *out <= row->max &&
           (row->kind != GROUP_SETTING_WINDOW || (*out & (*out - 1)) == 0);
}

/* ---- value to text ---- */

/* The largest unit that leaves no rest. */
static int time_text(int64_t ms, char *out, size_t room)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } };
    for (size_t i = 0; ms > 0 && i < ARRAY_LEN(units); i++)
        if (ms % units[i].ms == 0)
            return snprintf(out, room, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
    return snprintf(out, room, "%" PRId64 "%s", ms, ms > 0 ? "ms" : "");
}

void group_settings_text(const struct group_settings *s, uint32_t i, char *out)
{
    const int64_t value = *row_field((struct group_settings *)s, i);
    int n = 0;
    switch (rows[i].kind) {
    case GROUP_SETTING_NUMBER:
    case GROUP_SETTING_WINDOW:
        snprintf(out, GROUP_SETTING_TEXT_BYTES, "%" PRId64, value);
        return;
    case GROUP_SETTING_PERCENT:
        snprintf(out, GROUP_SETTING_TEXT_BYTES, "%" PRId64 "%%", value);
        return;
    case GROUP_SETTING_TIME:
        time_text(value, out, GROUP_SETTING_TEXT_BYTES);
        return;
    case GROUP_SETTING_TIMES:
        for (int64_t k = 0; k < value; k++) {
            n += time_text(s->backoff_ms[k], out + n, GROUP_SETTING_TEXT_BYTES - (size_t)n);
            if (k + 1 < value)
                out[n++] = ',';
        }
        return;
    case GROUP_SETTING_TOPIC:
        snprintf(out, GROUP_SETTING_TEXT_BYTES, "%s", s->dlq_topic_name);
        return;
    case GROUP_SETTING_RESET:
        snprintf(out, GROUP_SETTING_TEXT_BYTES, "%s", reset_words[value]);
        return;
    case GROUP_SETTING_BREAKER:
        snprintf(out, GROUP_SETTING_TEXT_BYTES, "%s", breaker_words[value]);
        return;
    }
}

/* ---- setting ---- */

void group_settings_init(struct group_settings *s)
{
    *s = (struct group_settings){ 0 };
    for (uint32_t i = 0; i < ROWS; i++) {
        const bool good = row_parse(&rows[i], bytes_of(rows[i].initial), s, row_field(s, i));
        CHECK(good);
    }
}

static void settings_unknown(struct bytes name, char *why)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < ROWS; i++)
        if (settings_distance(name, rows[i].name) < settings_distance(name, rows[best].name))
            best = i;
    snprintf(why, WHY_BYTES, "there is no group setting '%.*s'; did you mean '%s'?",
             (int)(name.len > 64 ? 64 : name.len), (const char *)name.at, rows[best].name);
}

static void settings_range(const struct group_setting *row, struct bytes value, char *why)
{
    char least[32], most[32];
    int n = snprintf(why, WHY_BYTES, "%s = '%.*s' is not possible: ", row->name,
                     (int)(value.len > 64 ? 64 : value.len), (const char *)value.at);
    char *at = why + n;
    const size_t left = WHY_BYTES - (size_t)n;
    time_text(row->min, least, sizeof(least));
    time_text(row->max, most, sizeof(most));
    switch (row->kind) {
    case GROUP_SETTING_TIME:
        snprintf(at, left, "give a time like 30s or 500ms, from %s to %s", least, most);
        return;
    case GROUP_SETTING_TIMES:
        snprintf(at, left, "give 1 to %d times like 1s,2s,4s, each at most %s", GROUP_BACKOFF_MAX, most);
        return;
    case GROUP_SETTING_TOPIC:
        snprintf(at, left, "give the name of a topic, none, or nothing for the topic's own name and .dlq");
        return;
    case GROUP_SETTING_RESET:
        snprintf(at, left, "give start, end or error");
        return;
    case GROUP_SETTING_BREAKER:
        snprintf(at, left, "give auto or off");
        return;
    case GROUP_SETTING_NUMBER:
    case GROUP_SETTING_PERCENT:
    case GROUP_SETTING_WINDOW:
        snprintf(at, left, "give a number%s from %" PRId64 " to %" PRId64,
                 row->kind == GROUP_SETTING_WINDOW ? ", a power of two," : "", row->min, row->max);
        return;
    }
}

static void row_copy(struct group_settings *s, const struct group_settings *from, uint32_t i)
{
    *row_field(s, i) = *row_field((struct group_settings *)from, i);
    if (rows[i].kind == GROUP_SETTING_TIMES)
        memcpy(s->backoff_ms, from->backoff_ms, sizeof(s->backoff_ms));
    if (rows[i].kind == GROUP_SETTING_TOPIC)
        memcpy(s->dlq_topic_name, from->dlq_topic_name, sizeof(s->dlq_topic_name));
}

bool group_settings_set(struct group_settings *s, const struct group_settings *defaults, struct bytes name,
                        struct bytes value, char *why)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        if (!text_is(name, rows[i].name))
            continue;
        if (!value.at) {
            row_copy(s, defaults, i);
            s->set &= ~(1u << i);
            return true;
        }
        struct group_settings parsed = *s;
        if (!row_parse(&rows[i], value, &parsed, row_field(&parsed, i))) {
            settings_range(&rows[i], value, why);
            return false;
        }
        *s = parsed;
        s->set |= 1u << i;
        return true;
    }
    settings_unknown(name, why);
    return false;
}

void group_settings_inherit(struct group_settings *s, const struct group_settings *defaults)
{
    for (uint32_t i = 0; i < ROWS; i++)
        if (!(s->set & (1u << i)))
            row_copy(s, defaults, i);
}
