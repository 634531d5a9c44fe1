/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DAY_MS = 86400000, WORD_MAX = 32 /* longer words are compared up to here */ };

/* Digits at *at; false when there are none or they overflow. */
static bool take_digits(const char **at, int64_t *out)
{
    const char *p = *at;
    int64_t value = 0;

    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return false;
    }
    *at = p;
    *out = value;
    return true;
}

bool parse_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
    const bool negative = *text == '-';
    int64_t value;

    text += negative;
    if (!take_digits(&text, &value) || *text)
        return false;
    if (negative)
        value = -value;
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool parse_duration_ms(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        { "ms", 1 },      { "s", 1000 },   { "m", 60000 },
        { "h", 3600000 }, { "d", DAY_MS }, { "w", 7 * (int64_t)DAY_MS },
    };
    int64_t sum = 0;

    if (!*text)
        return false;
    while (*text) {
        int64_t value;
        size_t letters = 0, i;
        if (!take_digits(&text, &value))
            return false;
        while (isalpha((unsigned char)text[letters]))
            letters++;
        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strlen(units[i].name) == letters && !strncmp(units[i].name, text, letters))
                break;
        }
        if (i == sizeof(units) / sizeof(units[0]) || __builtin_mul_overflow(value, units[i].ms, &value) ||
            __builtin_add_overflow(sum, value, &sum))
            return false;
        text += letters;
    }
    *out = sum;
    return true;
}

/* ---- times ---- */

/* Days from 1970-01-01 to a date of the Gregorian calendar (years from March on make leap days last). */
static int64_t days_of(int64_t year, int month, int day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = y / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int month_days(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[month - 1] + (month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)));
}

/* Exactly `width` digits. */
static bool take_fixed(const char **at, int width, int min, int max, int *out)
{
    int value = 0;

    for (int i = 0; i < width; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += width;
    *out = value;
    return value >= min && value <= max;
}

static bool take_char(const char **at, const char *any)
{
    if (!**at || !strchr(any, **at))
        return false;
    (*at)++;
    return true;
}

static bool take_date(const char **at, int64_t *days)
{
    int year, month, day;

    if (!take_fixed(at, 4, 1, 9999, &year) || !take_char(at, "-") || !take_fixed(at, 2, 1, 12, &month) ||
        !take_char(at, "-") || !take_fixed(at, 2, 1, month_days(year, month), &day))
        return false;
    *days = days_of(year, month, day);
    return true;
}

/* ".5", ".123456": milliseconds, what is finer is cut. */
static bool take_fraction(const char **at, int *ms)
{
    int scale = 100;

    *ms = 0;
    if (!take_char(at, "."))
        return true;
    if (!isdigit((unsigned char)**at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++, scale /= 10)
        *ms += (**at - '0') * scale;
    return true;
}

static bool take_zone(const char **at, int64_t *zone_ms)
{
    int hours, minutes;
    const bool west = **at == '-';

    *zone_ms = 0;
    if (take_char(at, "Zz"))
        return true;
    if (!take_char(at, "+-") || !take_fixed(at, 2, 0, 23, &hours) || !take_char(at, ":") ||
        !take_fixed(at, 2, 0, 59, &minutes))
        return false;
    *zone_ms = (hours * 60 + minutes) * (int64_t)60000 * (west ? -1 : 1);
    return true;
}

static bool parse_rfc3339(const char *at, int64_t *out)
{
    int64_t days, zone_ms;
    int hour, minute, second = 0, ms = 0;

    if (!take_date(&at, &days))
        return false;
    *out = days * DAY_MS;
    if (!*at)
        return true;
    if (!take_char(&at, "Tt ") || !take_fixed(&at, 2, 0, 23, &hour) || !take_char(&at, ":") ||
        !take_fixed(&at, 2, 0, 59, &minute))
        return false;
    /* a leap second (60) counts as the second after it */
    if (take_char(&at, ":") && (!take_fixed(&at, 2, 0, 60, &second) || !take_fraction(&at, &ms)))
        return false;
    if (!take_zone(&at, &zone_ms) || *at)
        return false;
    *out += ((hour * 60 + minute) * 60 + second) * (int64_t)1000 + ms - zone_ms;
    return true;
}

bool parse_time_ms(const char *text, int64_t now_ms, int64_t *out)
{
    int64_t ago;

    if (!strcmp(text, "now"))
        *out = now_ms;
    else if (!strcmp(text, "today"))
        *out = now_ms - now_ms % DAY_MS;
    else if (!strcmp(text, "yesterday"))
        *out = now_ms - now_ms % DAY_MS - DAY_MS;
    else if (*text == '-' && parse_duration_ms(text + 1, &ago))
        *out = now_ms - ago;
    else if (!parse_number(text, 0, INT64_MAX, out))
        return parse_rfc3339(text, out);
    return true;
}

/* ---- positions ---- */

bool parse_position(const char *text, int64_t now_ms, struct position *out)
{
    out->value = 0;
    if (!strcmp(text, "start") || !strcmp(text, "earliest") || !strcmp(text, "beginning")) {
        out->kind = POSITION_START;
    } else if (!strcmp(text, "end") || !strcmp(text, "latest")) {
        out->kind = POSITION_END;
    } else if (parse_number(text, 0, INT64_MAX, &out->value)) {
        out->kind = POSITION_OFFSET;
    } else if (*text == '-' && parse_number(text + 1, 0, INT64_MAX, &out->value)) {
        out->kind = POSITION_BACK;
    } else {
        out->kind = POSITION_TIME;
        return parse_time_ms(*text == '@' ? text + 1 : text, now_ms, &out->value);
    }
    return true;
}

void position_text(const struct position *position, char *out)
{
    const long long value = (long long)position->value;

    switch (position->kind) {
    case POSITION_START:
        snprintf(out, POSITION_TEXT_BYTES, "start");
        break;
    case POSITION_END:
        snprintf(out, POSITION_TEXT_BYTES, "end");
        break;
    case POSITION_OFFSET:
        snprintf(out, POSITION_TEXT_BYTES, "%lld", value);
        break;
    case POSITION_BACK:
        snprintf(out, POSITION_TEXT_BYTES, "-%lld", value);
        break;
    case POSITION_TIME:
        snprintf(out, POSITION_TEXT_BYTES, "@%lld", value);
        break;
    }
}

/* ---- the rest ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_escapes(const char *text, char *out, size_t *len)
{
    static const char names[] = "ntr0\\", bytes[] = "\n\t\r\0\\";
    size_t n = 0;

    while (*text) {
        const char *name;
        if (*text != '\\') {
            out[n++] = *text++;
            continue;
        }
        text++;
        if (*text == 'x') {
            const int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0)
                return false;
            out[n++] = (char)(high * 16 + low);
            text += 3;
            continue;
        }
        name = *text ? strchr(names, *text) : NULL;
        if (!name)
            return false;
        out[n++] = bytes[name - names];
        text++;
    }
    *len = n;
    return true;
}

bool parse_partitions(const char *text, int32_t count, bool *chosen, int64_t *bad)
{
    memset(chosen, 0, (size_t)count * sizeof(*chosen));
    for (;;) {
        int64_t partition;
        *bad = -1;
        if (!take_digits(&text, &partition))
            return false;
        if (partition >= count) {
            *bad = partition;
            return false;
        }
        chosen[partition] = true;
        if (!*text)
            return true;
        if (!take_char(&text, ","))
            return false;
    }
}

static unsigned min_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned parse_distance(const char *a, const char *b)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    const size_t a_len = strnlen(a, WORD_MAX), b_len = strnlen(b, WORD_MAX);

    for (unsigned i = 0; i <= a_len; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= b_len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t j = 1; j <= b_len; j++) {
            const unsigned changed = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = min_of(changed, min_of(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = min_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a_len][b_len];
}
