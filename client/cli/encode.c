/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/encode.h"

#include <string.h>

static const uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;
static const char HEX[] = "0123456789abcdef";

static uint64_t load8(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/* Non-zero when one of eight bytes is a control character, a quote, a backslash or not ASCII. A borrow may
 * accuse a byte above a real one, never below it, so zero is certain and the lowest accused byte is one. */
static uint64_t word_special(uint64_t word)
{
    const uint64_t control = word - ONES * 0x20;
    const uint64_t quote = (word ^ (ONES * '"')) - ONES;
    const uint64_t backslash = (word ^ (ONES * '\\')) - ONES;

    return (control | quote | backslash | word) & HIGHS;
}

/* Bytes from `at` that stand for themselves in a JSON string and are ASCII. */
static size_t plain_run(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *p = at;

    while (end - p >= 8) {
        const uint64_t special = word_special(load8(p));
        if (special)
            return (size_t)(p - at) + (size_t)__builtin_ctzll(special) / 8;
        p += 8;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return (size_t)(p - at);
}

/* ---- UTF-8 ---- */

/* Length of the well-formed sequence at `p` whose first byte is not ASCII; 0: there is none. */
static size_t utf8_sequence(const uint8_t *p, const uint8_t *end)
{
    const size_t left = (size_t)(end - p);
    size_t len;
    uint8_t low = 0x80,
            high = 0xbf; /* of the second byte: no overlong forms, no surrogates, at most U+10FFFF */

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool utf8_valid(const void *at, size_t len)
{
    const uint8_t *p = at, *const end = p + len;

    while (p < end) {
        size_t n;
        if (end - p >= 8 && !(load8(p) & HIGHS)) {
            p += 8;
            continue;
        }
        if (*p < 0x80) {
            p++;
            continue;
        }
        n = utf8_sequence(p, end);
        if (!n)
            return false;
        p += n;
    }
    return true;
}

/* ---- is it JSON? ---- */

struct json_scan {
    const uint8_t *at, *end;
    bool line_breaks;
};

static void json_space(struct json_scan *s)
{
    while (s->at < s->end) {
        const uint8_t c = *s->at;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        s->line_breaks |= c == '\n' || c == '\r';
        s->at++;
    }
}

static bool json_hex4(struct json_scan *s, unsigned *out)
{
    unsigned value = 0;

    if (s->end - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const uint8_t c = s->at[i], lower = c | 0x20;
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + (lower - 'a') + 10u;
        else
            return false;
    }
    s->at += 4;
    *out = value;
    return true;
}

/* Behind the backslash. Half a surrogate pair is refused: many parsers do. */
static bool json_escape(struct json_scan *s)
{
    unsigned unit;

    if (s->at == s->end)
        return false;
    if (*s->at++ != 'u')
        return s->at[-1] && strchr("\"\\/bfnrt", s->at[-1]);
    if (!json_hex4(s, &unit) || (unit >= 0xdc00 && unit <= 0xdfff))
        return false;
    if (unit < 0xd800 || unit > 0xdbff)
        return true;
    if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
        return false;
    s->at += 2;
    return json_hex4(s, &unit) && unit >= 0xdc00 && unit <= 0xdfff;
}

/* Behind the opening quote. */
static bool json_string(struct json_scan *s)
{
    for (;;) {
        uint8_t c;
        s->at += plain_run(s->at, s->end);
        if (s->at == s->end)
            return false;
        c = *s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c >= 0x80) {
            const size_t n = utf8_sequence(s->at, s->end);
            if (!n)
                return false;
            s->at += n;
        } else if (c == '\\') {
            s->at++;
            if (!json_escape(s))
                return false;
        } else {
            return false; /* a bare control character */
        }
    }
}

static bool json_digits(struct json_scan *s)
{
    const uint8_t *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool json_is(struct json_scan *s, char c)
{
    return s->at < s->end && *s->at == (uint8_t)c;
}

static bool json_number(struct json_scan *s)
{
    s->at += json_is(s, '-');
    if (json_is(s, '0'))
        s->at++;
    else if (!json_digits(s))
        return false;
    if (json_is(s, '.')) {
        s->at++;
        if (!json_digits(s))
            return false;
    }
    if (json_is(s, 'e') || json_is(s, 'E')) {
        s->at++;
        s->at += json_is(s, '+') || json_is(s, '-');
        return json_digits(s);
    }
    return true;
}

static bool json_word(struct json_scan *s, const char *word)
{
    const size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool json_scalar(struct json_scan *s)
{
    switch (*s->at) {
    case '"':
        s->at++;
        return json_string(s);
    case 't':
        return json_word(s, "true");
    case 'f':
        return json_word(s, "false");
    case 'n':
        return json_word(s, "null");
    default:
        return json_number(s);
    }
}

/* A member's name and the colon. */
static bool json_name(struct json_scan *s)
{
    if (!json_is(s, '"'))
        return false;
    s->at++;
    if (!json_string(s))
        return false;
    json_space(s);
    if (!json_is(s, ':'))
        return false;
    s->at++;
    json_space(s);
    return true;
}

/* Steps behind a finished value: closes containers, or stands at the next value. False: broken. */
static bool json_next(struct json_scan *s, const char *stack, int *depth)
{
    while (*depth) {
        const char close = stack[*depth - 1];
        json_space(s);
        if (json_is(s, close)) {
            s->at++;
            (*depth)--;
            continue;
        }
        if (!json_is(s, ','))
            return false;
        s->at++;
        json_space(s);
        return close == ']' || json_name(s);
    }
    return true;
}

bool json_valid(const void *at, size_t len, bool *line_breaks)
{
    struct json_scan s = { .at = at, .end = (const uint8_t *)at + len };
    char stack[JSON_DEPTH_MAX]; /* the brackets that will close what is open */
    int depth = 0;

    json_space(&s);
    if (!json_is(&s, '{') && !json_is(&s, '['))
        return false;
    do {
        json_space(&s);
        if (s.at == s.end)
            return false;
        if (*s.at != '{' && *s.at != '[') {
            if (!json_scalar(&s) || !json_next(&s, stack, &depth))
                return false;
            continue;
        }
        if (depth == JSON_DEPTH_MAX)
            return false;
        stack[depth++] = *s.at++ == '{' ? '}' : ']';
        json_space(&s);
        if (json_is(&s, stack[depth - 1])) {
            s.at++;
            depth--;
            if (!json_next(&s, stack, &depth))
                return false;
        } else if (stack[depth - 1] == '}' && !json_name(&s)) {
            return false;
        }
    } while (depth);
    json_space(&s);
    *line_breaks = s.line_breaks;
    return s.at == s.end;
}

enum encode_kind encode_kind(const void *at, size_t len, bool *line_breaks)
{
    *line_breaks = false;
    if (json_valid(at, len, line_breaks))
        return ENCODE_AS_JSON;
    return utf8_valid(at, len) ? ENCODE_AS_UTF8 : ENCODE_AS_BASE64;
}

/* ---- writing ---- */

static char *json_escaped(char *to, uint8_t c)
{
    static const char short_names[] = "btn\0fr"; /* of 8 to 13 */

    *to++ = '\\';
    if (c == '"' || c == '\\') {
        *to++ = (char)c;
    } else if (c >= 8 && c <= 13 && c != 11) {
        *to++ = short_names[c - 8];
    } else {
        memcpy(to, "u00", 3);
        to[3] = HEX[c >> 4];
        to[4] = HEX[c & 15];
        to += 5;
    }
    return to;
}

size_t encode_json(char *to, const void *at, size_t len)
{
    const uint8_t *p = at, *const end = p + len;
    char *const begin = to;

    while (p < end) {
        const size_t run = plain_run(p, end);
        memcpy(to, p, run);
        to += run;
        p += run;
        if (p == end)
            break;
        if (*p >= 0x80)
            *to++ = (char)*p++;
        else
            to = json_escaped(to, *p++);
    }
    return (size_t)(to - begin);
}

size_t encode_one_line(char *to, const void *at, size_t len)
{
    const char *p = at, *const end = p + len;
    char *const begin = to;

    for (; p < end; p++) {
        if (*p != '\n' && *p != '\r')
            *to++ = *p;
    }
    return (size_t)(to - begin);
}

size_t encode_base64(char *to, const void *at, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = at;
    char *const begin = to;

    for (; len; p += 3, to += 4) {
        const size_t n = len < 3 ? len : 3;
        const uint32_t bits =
            (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? (uint32_t)p[2] : 0);
        to[0] = digits[bits >> 18];
        to[1] = digits[bits >> 12 & 63];
        to[2] = n > 1 ? digits[bits >> 6 & 63] : '=';
        to[3] = n > 2 ? digits[bits & 63] : '=';
        len -= n;
    }
    return (size_t)(to - begin);
}

size_t encode_cell(char *to, const void *at, size_t len)
{
    static const char names[] = "tn\0\0r"; /* of 9 to 13 */
    const uint8_t *p = at, *const end = p + len;
    char *const begin = to;

    while (p < end) {
        const size_t run = plain_run(p, end);
        size_t n;
        memcpy(to, p, run);
        to += run;
        p += run;
        if (p == end)
            break;
        n = *p >= 0x80 ? utf8_sequence(p, end) : 0;
        if (n && !(*p == 0xc2 && p[1] < 0xa0)) { /* U+0080 to U+009F command terminals, too */
            memcpy(to, p, n);
            to += n;
            p += n;
        } else if (*p == '"') {
            *to++ = (char)*p++;
        } else {
            const uint8_t c = *p++;
            *to++ = '\\';
            if (c == '\\') {
                *to++ = '\\';
            } else if (c == '\t' || c == '\n' || c == '\r') {
                *to++ = names[c - 9];
            } else {
                *to++ = 'x';
                *to++ = HEX[c >> 4];
                *to++ = HEX[c & 15];
            }
        }
    }
    return (size_t)(to - begin);
}

size_t encode_number(char *to, int64_t value)
{
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[ENCODE_NUMBER_BYTES];
    size_t n = 0, len = 0;

    do {
        digits[n++] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        to[len++] = '-';
    while (n)
        to[len++] = digits[--n];
    return len;
}

static char *two(char *to, unsigned value)
{
    to[0] = (char)('0' + value / 10);
    to[1] = (char)('0' + value % 10);
    return to + 2;
}

size_t encode_time(char *to, int64_t ms)
{
    char *const begin = to;
    const int64_t day_ms = 86400000;
    int64_t days = ms / day_ms, rest = ms % day_ms;
    int64_t era, year;
    unsigned day_of_era, year_of_era, day_of_year, month, day, seconds;

    if (rest < 0) {
        rest += day_ms;
        days--;
    }
    days += 719468; /* from 0000-03-01 on, so that leap days come last */
    era = (days >= 0 ? days : days - 146096) / 146097;
    day_of_era = (unsigned)(days - era * 146097);
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year = era * 400 + year_of_era + (month <= 2);
    if (year >= 0 && year <= 9999)
        to = two(two(to, (unsigned)year / 100), (unsigned)year % 100);
    else
        to += encode_number(to, year);
    *to++ = '-';
    to = two(to, month);
    *to++ = '-';
    to = two(to, day);
    *to++ = 'T';
    seconds = (unsigned)(rest / 1000);
    to = two(to, seconds / 3600);
    *to++ = ':';
    to = two(to, seconds / 60 % 60);
    *to++ = ':';
    to = two(to, seconds % 60);
    *to++ = '.';
    *to++ = (char)('0' + rest % 1000 / 100);
    to = two(to, (unsigned)(rest % 100));
    *to++ = 'Z';
    return (size_t)(to - begin);
}
