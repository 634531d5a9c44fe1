/* SPDX-License-Identifier: Apache-2.0 */
#include "client/envelope/json.h"

#include <string.h>

/* ---- one value, checked ---- */

struct check {
    const uint8_t *start, *at, *end;
    const char *why;
    uint64_t objects; /* a bit per open container: it is an object */
    uint32_t depth;
};

static bool bad(struct check *c, const char *why)
{
    c->why = why;
    return false;
}

static void skip_space(const uint8_t **at, const uint8_t *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r'))
        (*at)++;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool check_escape(struct check *c)
{
    if (++c->at == c->end)
        return bad(c, "a string without its end");
    if (*c->at != 'u') {
        if (!memchr("\"\\/bfnrt", *c->at, 8))
            return bad(c, "an escape that JSON does not have");
        c->at++;
        return true;
    }
    for (int i = 1; i <= 4; i++)
        if (c->at + i >= c->end || hex_digit(c->at[i]) < 0)
            return bad(c, "\\u without four hex digits behind it");
    c->at += 5;
    return true;
}

/* RFC 3629: shortest form, no surrogates. */
static bool check_utf8(struct check *c)
{
    const uint8_t *p = c->at;
    const uint32_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    bool good = p[0] >= 0xc2 && p[0] <= 0xf4 && (uint32_t)(c->end - p) >= n;
    for (uint32_t i = 1; good && i < n; i++)
        good = (p[i] & 0xc0) == 0x80;
    if (!good || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return bad(c, "bytes that are not UTF-8");
    c->at += n;
    return true;
}

static bool check_string(struct check *c)
{
    for (c->at++; c->at < c->end;) {
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at < 0x20)
            return bad(c, "a control character inside of a string");
        if (*c->at == '\\') {
            if (!check_escape(c))
                return false;
        } else if (*c->at >= 0x80) {
            if (!check_utf8(c))
                return false;
        } else {
            c->at++;
        }
    }
    return bad(c, "a string without its end");
}

static bool digits(struct check *c)
{
    const uint8_t *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at > from || bad(c, "a number that lacks digits");
}

static bool check_number(struct check *c)
{
    if (*c->at == '-')
        c->at++;
    const bool zero = c->at < c->end && *c->at == '0';
    const uint8_t *first = c->at;
    if (!digits(c))
        return false;
    if (zero && c->at - first > 1)
        return bad(c, "a number with a zero in front");
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at | 0x20) == 'e') {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        return digits(c);
    }
    return true;
}

static bool check_word(struct check *c, const char *word)
{
    const size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return bad(c, "a word that is no value");
    c->at += len;
    return true;
}

/* A value that holds no others. */
static bool check_leaf(struct check *c)
{
    switch (*c->at) {
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    default:
        if (*c->at == '-' || (*c->at >= '0' && *c->at <= '9'))
            return check_number(c);
        return bad(c, "a character that begins no value");
    }
}

static bool open_container(struct check *c)
{
    if (c->depth == JSON_DEPTH_MAX)
        return bad(c, "more than 64 arrays and objects inside of one another");
    c->objects = c->objects << 1 | (*c->at == '{');
    c->depth++;
    c->at++;
    return true;
}

static bool check_key(struct check *c)
{
    skip_space(&c->at, c->end);
    if (c->at == c->end || *c->at != '"')
        return bad(c, "an object's member without a name");
    if (!check_string(c))
        return false;
    skip_space(&c->at, c->end);
    if (c->at == c->end || *c->at != ':')
        return bad(c, "a name without a colon behind it");
    c->at++;
    return true;
}

/* Behind a value: closes what ends here, takes the comma. *more: another value must follow. */
static bool check_behind(struct check *c, bool *more)
{
    for (*more = false; c->depth;) {
        const bool object = c->objects & 1;
        skip_space(&c->at, c->end);
        if (c->at == c->end)
            return bad(c, "the text ends inside of an object or array");
        if (*c->at == ',') {
            c->at++;
            *more = true;
            return !object || check_key(c);
        }
        if (*c->at != (object ? '}' : ']'))
            return bad(c, "neither a comma nor the end of the object or array");
        c->at++;
        c->depth--;
        c->objects >>= 1;
    }
    return true;
}

/* The value that begins here, all of it. */
static bool check_value(struct check *c)
{
    for (bool more = true; more;) {
        skip_space(&c->at, c->end);
        if (c->at == c->end)
            return bad(c, "the text ends where a value should be");
        if (*c->at == '{' || *c->at == '[') {
            const bool object = *c->at == '{';
            if (!open_container(c))
                return false;
            skip_space(&c->at, c->end);
            if (c->at < c->end && *c->at == (object ? '}' : ']')) {
                c->at++;
                c->depth--;
                c->objects >>= 1;
            } else if (object && !check_key(c)) {
                return false;
            } else {
                continue;
            }
        } else if (!check_leaf(c)) {
            return false;
        }
        if (!check_behind(c, &more))
            return false;
    }
    return true;
}

bool json_check(struct bytes text, struct bytes *value, const char **why, uint32_t *at)
{
    struct check c = { .start = text.at, .at = text.at, .end = text.len ? text.at + text.len : text.at };
    skip_space(&c.at, c.end);
    const uint8_t *begin = c.at;
    bool good = check_value(&c);
    *value = (struct bytes){ begin, (uint32_t)(c.at - begin) };
    skip_space(&c.at, c.end);
    if (good && c.at != c.end)
        good = bad(&c, "more behind the value");
    *why = c.why;
    *at = (uint32_t)(c.at - c.start);
    return good;
}

enum json_kind json_kind(struct bytes value)
{
    switch (value.at[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = { "an object", "an array", "a string", "a number",
                                         "true",      "false",    "null" };
    return names[kind];
}

/* ---- what is inside: checked before ---- */

struct json_walk json_walk(struct bytes container)
{
    return (struct json_walk){ container.at + 1, container.at + container.len - 1, container.at[0] == '{' };
}

static struct bytes take_value(struct json_walk *w)
{
    struct check c = { .start = w->at, .at = w->at, .end = w->end };
    skip_space(&c.at, c.end);
    const uint8_t *begin = c.at;
    check_value(&c);
    w->at = c.at;
    return (struct bytes){ begin, (uint32_t)(c.at - begin) };
}

bool json_next(struct json_walk *w, struct bytes *key, struct bytes *value)
{
    *key = (struct bytes){ NULL, 0 };
    skip_space(&w->at, w->end);
    if (w->at < w->end && *w->at == ',')
        w->at++;
    skip_space(&w->at, w->end);
    if (w->at == w->end)
        return false;
    if (w->object) {
        *key = take_value(w);
        skip_space(&w->at, w->end);
        w->at++; /* the colon */
    }
    *value = take_value(w);
    return true;
}

/* ---- strings ---- */

struct json_text json_text(struct bytes string)
{
    return (struct json_text){ string.at + 1, string.at + string.len - 1 };
}

static int32_t escaped_unit(struct json_text *t)
{
    int32_t unit = 0;
    for (int i = 2; i < 6; i++)
        unit = unit << 4 | hex_digit(t->at[i]);
    t->at += 6;
    return unit;
}

static int32_t escaped(struct json_text *t)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (t->at[1] != 'u') {
        const char *name = memchr(names, t->at[1], 8);
        t->at += 2;
        return means[name - names];
    }
    const int32_t high = escaped_unit(t);
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || t->end - t->at < 6 || t->at[0] != '\\' || t->at[1] != 'u')
        return JSON_TEXT_LONE;
    const int32_t low = escaped_unit(t);
    if (low < 0xdc00 || low > 0xdfff)
        return JSON_TEXT_LONE;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

int32_t json_text_next(struct json_text *t)
{
    if (t->at >= t->end)
        return JSON_TEXT_END;
    const uint8_t c = *t->at;
    if (c == '\\')
        return escaped(t);
    const int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    int32_t character = more == 0 ? c : c & (0x3f >> more);
    for (int i = 1; i <= more; i++)
        character = character << 6 | (t->at[i] & 0x3f);
    t->at += more + 1;
    return character;
}

uint32_t json_utf8(char out[4], int32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const uint32_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

int64_t json_string(struct bytes string, char *out, uint32_t max)
{
    struct json_text t = json_text(string);
    uint32_t len = 0;
    int32_t c;
    while ((c = json_text_next(&t)) >= 0) {
        char piece[4];
        const uint32_t n = json_utf8(piece, c);
        if (max - len < n)
            return -1;
        memcpy(out + len, piece, n);
        len += n;
    }
    return c == JSON_TEXT_END ? (int64_t)len : -1;
}

bool json_string_is(struct bytes string, const char *text)
{
    struct json_text t = json_text(string);
    int32_t c;
    while ((c = json_text_next(&t)) >= 0) {
        char piece[4];
        const uint32_t n = json_utf8(piece, c);
        if (strncmp(text, piece, n) != 0)
            return false;
        text += n;
    }
    return c == JSON_TEXT_END && *text == '\0';
}
