/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/canonical.c: the canonical form of a JSON text, RFC 8785: members sorted by the UTF-16 of
 * their names, numbers as ECMAScript prints them, strings with no escape that they do not need. The same
 * content gets the same bytes, whoever wrote it, with whatever spaces and order.
 *
 * Only I-JSON (RFC 7493) has such a form: no name twice in an object, no half surrogate pairs, no number
 * beyond double precision's range.
 */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/envelope/envelope.h"
#include "client/envelope/json.h"

struct member {
    struct bytes key, value;
};

struct canonical {
    struct runnel_envelope *e;
    size_t len;
    struct member *members; /* of all objects that are open, one behind the other */
    size_t member_count, member_size;
    locale_t locale; /* the program's may write 1,5 */
    bool no_memory;
};

static void put(struct canonical *c, const void *at, size_t n)
{
    struct runnel_envelope *e = c->e;
    if (c->len + n > e->scratch_size) {
        size_t size = e->scratch_size ? e->scratch_size * 2 : 4096;
        while (size < c->len + n)
            size *= 2;
        char *grown = realloc(e->scratch, size);
        if (!grown) {
            c->no_memory = true;
            return;
        }
        e->scratch = grown;
        e->scratch_size = size;
    }
    memcpy(e->scratch + c->len, at, n);
    c->len += n;
}

static bool put_string(struct canonical *c, struct bytes string)
{
    static const char hex[] = "0123456789abcdef", named[] = "\b\t\n\f\r\"\\", names[] = "btnfr\"\\";
    struct json_text text = json_text(string);
    int32_t character;
    put(c, "\"", 1);
    while ((character = json_text_next(&text)) >= 0) {
        char out[6] = "\\u00";
        uint32_t n;
        const char *name = character && character < 0x80 ? strchr(named, character) : NULL;
        if (name) {
            out[1] = names[name - named];
            n = 2;
        } else if (character < 0x20) {
            out[4] = hex[character >> 4];
            out[5] = hex[character & 15];
            n = 6;
        } else {
            n = json_utf8(out, character);
        }
        put(c, out, n);
    }
    put(c, "\"", 1);
    return character == JSON_TEXT_END;
}

/* ---- numbers: ECMAScript's Number::toString ---- */

/* The fewest digits that mean `value`, without a point; the power of ten that the first one has. */
static int shortest(const struct canonical *c, double value, char digits[18], int *exponent)
{
    char text[32];
    for (int precision = 0;; precision++) {
        int n = 0;
        snprintf(text, sizeof(text), "%.*e", precision, value);
        char *e = strchr(text, 'e');
        for (char *p = text; p < e; p++)
            if (*p >= '0' && *p <= '9')
                digits[n++] = *p;
            else
                *p = '.'; /* whatever the program's locale has there */
        *exponent = atoi(e + 1);
        if (precision == 16 || strtod_l(text, NULL, c->locale) == value) {
            while (n > 1 && digits[n - 1] == '0')
                n--;
            return n;
        }
    }
}

static void put_digits(struct canonical *c, const char *digits, int n, int exponent)
{
    char out[64];
    int len = 0;
    const int point = exponent + 1; /* digits before it */
    if (point > 0 && point <= 21) {
        for (int i = 0; i < n || i < point; i++) {
            if (i == point)
                out[len++] = '.';
            out[len++] = i < n ? digits[i] : '0';
        }
    } else if (point > -6 && point <= 0) {
        out[len++] = '0';
        out[len++] = '.';
        for (int i = point; i < 0; i++)
            out[len++] = '0';
        memcpy(out + len, digits, (size_t)n);
        len += n;
    } else {
        out[len++] = digits[0];
        if (n > 1)
            out[len++] = '.';
        memcpy(out + len, digits + 1, (size_t)n - 1);
        len += n - 1;
        len += snprintf(out + len, 8, "e%+d", exponent);
    }
    put(c, out, (size_t)len);
}

static bool put_number(struct canonical *c, struct bytes number)
{
    char text[400], digits[18];
    int exponent;
    if (number.len >= sizeof(text))
        return false; /* nobody writes a double so */
    memcpy(text, number.at, number.len);
    text[number.len] = '\0';
    double value = strtod_l(text, NULL, c->locale);
    if (!isfinite(value))
        return false;
    if (value < 0)
        put(c, "-", 1);
    value = fabs(value);
    if (value < 1e15 && value == floor(value)) {
        put(c, text, (size_t)snprintf(text, sizeof(text), "%.0f", value));
        return true;
    }
    const int n = shortest(c, value, digits, &exponent);
    put_digits(c, digits, n, exponent);
    return true;
}

/* ---- objects ---- */

static int32_t first_unit(int32_t character)
{
    return character < 0x10000 ? character : 0xd800 + ((character - 0x10000) >> 10);
}

static int member_order(const void *a, const void *b)
{
    struct json_text x = json_text(((const struct member *)a)->key);
    struct json_text y = json_text(((const struct member *)b)->key);
    for (;;) {
        const int32_t p = json_text_next(&x), q = json_text_next(&y);
        if (p == q && p < 0)
            return 0;
        if (p == q)
            continue;
        if (p < 0 || q < 0 || first_unit(p) == first_unit(q))
            return p < q ? -1 : 1;
        return first_unit(p) < first_unit(q) ? -1 : 1;
    }
}

static bool member_add(struct canonical *c, struct bytes key, struct bytes value)
{
    if (c->member_count == c->member_size) {
        const size_t size = c->member_size ? c->member_size * 2 : 64;
        struct member *grown = realloc(c->members, size * sizeof(*grown));
        if (!grown) {
            c->no_memory = true;
            return false;
        }
        c->members = grown;
        c->member_size = size;
    }
    c->members[c->member_count++] = (struct member){ key, value };
    return true;
}

static bool put_value(struct canonical *c, struct bytes value);

/* Recursion is as deep as the JSON is nested: at most JSON_DEPTH_MAX. */
static bool put_object(struct canonical *c, struct bytes object)
{
    struct json_walk walk = json_walk(object);
    struct bytes key, value;
    const size_t first = c->member_count;
    while (json_next(&walk, &key, &value))
        if (!member_add(c, key, value))
            return false;
    const size_t end = c->member_count;
    if (end > first)
        qsort(c->members + first, end - first, sizeof(*c->members), member_order);
    put(c, "{", 1);
    for (size_t i = first; i < end; i++) {
        if (i > first && member_order(&c->members[i - 1], &c->members[i]) == 0)
            return false;
        if (i > first)
            put(c, ",", 1);
        if (!put_string(c, c->members[i].key))
            return false;
        put(c, ":", 1);
        if (!put_value(c, c->members[i].value))
            return false;
    }
    put(c, "}", 1);
    c->member_count = first;
    return true;
}

static bool put_array(struct canonical *c, struct bytes array)
{
    struct json_walk walk = json_walk(array);
    struct bytes key, value;
    bool comma = false;
    put(c, "[", 1);
    for (; json_next(&walk, &key, &value); comma = true) {
        if (comma)
            put(c, ",", 1);
        if (!put_value(c, value))
            return false;
    }
    put(c, "]", 1);
    return true;
}

static bool put_value(struct canonical *c, struct bytes value)
{
    switch (json_kind(value)) {
    case JSON_OBJECT:
        return put_object(c, value);
    case JSON_ARRAY:
        return put_array(c, value);
    case JSON_STRING:
        return put_string(c, value);
    case JSON_NUMBER:
        return put_number(c, value);
    default:
        put(c, value.at, value.len);
        return true;
    }
}

int64_t canonical_json(struct runnel_envelope *e, struct bytes json)
{
    struct canonical c = { .e = e, .members = e->members, .member_size = e->member_size };
    struct bytes value;
    const char *why;
    uint32_t at;
    if (!json_check(json, &value, &why, &at))
        return 0;
    c.locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!c.locale)
        return -1;
    const bool good = put_value(&c, value);
    freelocale(c.locale);
    e->members = c.members; /* kept for the next one */
    e->member_size = c.member_size;
    return c.no_memory ? -1 : good ? (int64_t)c.len : 0;
}
