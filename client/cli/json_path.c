/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json_path.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths ---- */

struct step {
    const char *name; /* NULL: an index */
    size_t name_len;
    size_t index;
};

/* The next step of the path: 1, 0 its end, -1 no path. */
static int path_step(const char **path, const char *end, struct step *step)
{
    const char *p = *path;

    if (p == end)
        return 0;
    *step = (struct step){ 0 };
    if (*p == '[' && p + 1 < end && p[1] == '"') {
        step->name = p + 2;
        for (p += 2; p < end && *p != '"'; p++)
            ;
        step->name_len = (size_t)(p - step->name);
        if (end - p < 2 || p[1] != ']')
            return -1;
        p += 2;
    } else if (*p == '[') {
        const char *digits = ++p;
        while (p < end && isdigit((unsigned char)*p) && p - digits < 9)
            step->index = step->index * 10 + (size_t)(*p++ - '0');
        if (p == digits || p == end || *p++ != ']')
            return -1;
    } else {
        p += *p == '.';
        step->name = p;
        while (p < end && *p != '.' && *p != '[')
            p++;
        step->name_len = (size_t)(p - step->name);
        if (!step->name_len)
            return -1;
    }
    *path = p;
    return 1;
}

static const char *path_begin(const char *path, const char *end)
{
    return path < end && *path == '$' ? path + 1 : path;
}

bool json_path_valid(const char *path, size_t path_len)
{
    const char *end = path + path_len, *p = path_begin(path, end);
    struct step step;
    int rc;

    if (p == end)
        return false;
    while ((rc = path_step(&p, end, &step)) == 1)
        ;
    return rc == 0;
}

/* ---- walking over a document ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* Behind the string that begins at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        p += *p == '\\' && p + 1 < end;
    return p < end ? p + 1 : end;
}

/* Behind the value that begins at p. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (!depth)
                return p;
            depth--;
            p++;
        } else if (depth || (*p != ',' && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')) {
            p++;
            if (!depth && p < end && strchr(",}] \t\n\r", *p))
                return p;
            continue;
        } else {
            return p;
        }
        if (!depth)
            return p;
    }
    return end;
}

/* The unescaped bytes of a string, one at a time; -1 at its end. */
static int hex_of(const char *p, const char *end)
{
    int value = 0;

    for (int i = 0; i < 4; i++, p++) {
        if (p == end || !isxdigit((unsigned char)*p))
            return -1;
        value =
            value * 16 + (isdigit((unsigned char)*p) ? *p - '0' : (tolower((unsigned char)*p) - 'a') + 10);
    }
    return value;
}

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Next piece of a string's inside: how many bytes at `to` (4 at most); moves *p. */
static size_t string_piece(const char **p, const char *end, char *to)
{
    static const char escapes[] = "b\bf\fn\nr\rt\t";
    const char *at = *p;

    if (*at != '\\' || at + 1 == end) {
        *p = at + 1;
        to[0] = *at;
        return 1;
    }
    *p = at + 2;
    if (at[1] == 'u') {
        int c = hex_of(at + 2, end), low;
        *p = at + 6 < end ? at + 6 : end;
        if (c >= 0xd800 && c < 0xdc00 && *p + 6 <= end && (*p)[0] == '\\' && (*p)[1] == 'u' &&
            (low = hex_of(*p + 2, end)) >= 0xdc00) {
            *p += 6;
            return utf8_put(to, 0x10000u + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
        }
        return utf8_put(to, c < 0 ? '?' : (uint32_t)c);
    }
    to[0] = at[1];
    for (size_t i = 0; escapes[i]; i += 2)
        if (escapes[i] == at[1])
            to[0] = escapes[i + 1];
    return 1;
}

/* Does the string (with its quotes) say this? */
static bool string_is(const char *at, size_t len, const char *text, size_t text_len)
{
    const char *p = at + 1, *end = at + len - 1;
    char piece[4];

    while (p < end) {
        const size_t n = string_piece(&p, end, piece);
        if (n > text_len || memcmp(piece, text, n) != 0)
            return false;
        text += n;
        text_len -= n;
    }
    return text_len == 0;
}

/* Into the value at *p: moves *p to the member or element. */
static bool enter(const char **p, const char *end, const struct step *step)
{
    const char *at = *p;
    const char open = *at;
    size_t i = 0;

    if (open != (step->name ? '{' : '['))
        return false;
    at = skip_space(at + 1, end);
    while (at < end && *at != '}' && *at != ']') {
        bool found = open == '[' && i++ == step->index;
        if (open == '{') {
            const char *name = at;
            at = skip_string(at, end);
            found = string_is(name, (size_t)(at - name), step->name, step->name_len);
            at = skip_space(at, end);
            at = skip_space(at + (at < end && *at == ':'), end);
        }
        if (found) {
            *p = at;
            return at < end;
        }
        at = skip_space(skip_value(at, end), end);
        at = skip_space(at + (at < end && *at == ','), end);
    }
    return false;
}

bool json_path_find(const char *json, size_t len, const char *path, size_t path_len, const char **at,
                    size_t *at_len)
{
    const char *end = json + len, *path_end = path + path_len, *p = skip_space(json, end);
    struct step step;

    path = path_begin(path, path_end);
    while (p < end && path_step(&path, path_end, &step) == 1)
        if (!enter(&p, end, &step))
            return false;
    if (p == end || path != path_end)
        return false;
    *at = p;
    *at_len = (size_t)(skip_value(p, end) - p);
    return true;
}

bool json_value_is(const char *at, size_t len, const char *text)
{
    const size_t text_len = strlen(text);

    if (len >= 2 && *at == '"')
        return string_is(at, len, text, text_len);
    return len == text_len && memcmp(at, text, len) == 0;
}
