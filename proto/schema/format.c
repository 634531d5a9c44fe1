/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/format.c: see format.h.
 */
#include "proto/schema/format.h"

#include "proto/schema/regex.h"
#include "proto/schema/uri.h"

static bool digit(uint8_t c)
{
    return (uint8_t)(c - '0') <= 9;
}

/* `n` digits as a number, or -1. */
static int32_t fixed(const uint8_t *p, uint32_t n)
{
    int32_t v = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!digit(p[i]))
            return -1;
        v = v * 10 + p[i] - '0';
    }
    return v;
}

static bool date_valid(const uint8_t *p)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const int32_t year = fixed(p, 4), month = fixed(p + 5, 2), day = fixed(p + 8, 2);
    if (year < 0 || p[4] != '-' || month < 1 || month > 12 || p[7] != '-' || day < 1)
        return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

static bool date_time_valid(struct bytes b)
{
    const uint8_t *p = b.at, *end = b.at + b.len;
    if (b.len < 20 || !date_valid(p) || (p[10] | 0x20) != 't' || p[13] != ':' || p[16] != ':')
        return false;
    const int32_t hour = fixed(p + 11, 2), minute = fixed(p + 14, 2), second = fixed(p + 17, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    p += 19;
    if (*p == '.') {
        const uint8_t *fraction = ++p;
        while (p < end && digit(*p))
            p++;
        if (p == fraction || p == end)
            return false;
    }
    int32_t offset = 0;
    if ((*p | 0x20) == 'z') {
        p++;
    } else {
        if ((*p != '+' && *p != '-') || end - p != 6 || p[3] != ':')
            return false;
        const int32_t hours = fixed(p + 1, 2), minutes = fixed(p + 4, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
            return false;
        offset = (*p == '-' ? -1 : 1) * (hours * 60 + minutes);
        p += 6;
    }
    /* A leap second is the last of a day in UTC. */
    const int32_t utc = ((hour * 60 + minute - offset) % 1440 + 1440) % 1440;
    return p == end && (second < 60 || utc == 1439);
}

static bool uuid_valid(struct bytes b)
{
    if (b.len != 36)
        return false;
    for (uint32_t i = 0; i < 36; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        const uint8_t c = b.at[i];
        if (dash ? c != '-' : !digit(c) && (uint8_t)((c | 0x20) - 'a') >= 6)
            return false;
    }
    return true;
}

/* Letters, digits and what RFC 5322 calls atext. */
static bool atom_char(uint8_t c)
{
    return digit(c) || (uint8_t)((c | 0x20) - 'a') < 26 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool dot_atom(struct bytes b)
{
    bool dot = true;
    for (uint32_t i = 0; i < b.len; i++) {
        if (b.at[i] == '.' ? dot : !atom_char(b.at[i]))
            return false;
        dot = b.at[i] == '.';
    }
    return b.len && !dot;
}

static bool quoted(struct bytes b)
{
    if (b.len < 2 || b.at[0] != '"' || b.at[b.len - 1] != '"')
        return false;
    for (uint32_t i = 1; i + 1 < b.len; i++) {
        if (b.at[i] == '\\' && ++i + 1 >= b.len)
            return false;
        else if (b.at[i] == '"' && b.at[i - 1] != '\\')
            return false;
        if (b.at[i] < 0x20 || b.at[i] > 0x7e)
            return false;
    }
    return true;
}

static bool domain_valid(struct bytes b)
{
    uint32_t label = 0;
    if (b.len > 2 && b.at[0] == '[' && b.at[b.len - 1] == ']') {
        const struct bytes literal = { b.at + 1, b.len - 2 };
        if (literal.len > 5 && strncasecmp((const char *)literal.at, "IPv6:", 5) == 0)
            return ipv6_valid((struct bytes){ literal.at + 5, literal.len - 5 });
        return ipv4_valid(literal);
    }
    for (uint32_t i = 0; i < b.len; i++) {
        const uint8_t c = b.at[i];
        const bool edge = label == 0 || i + 1 == b.len || b.at[i + 1] == '.';
        if (c == '.' ? label == 0 : !digit(c) && (uint8_t)((c | 0x20) - 'a') >= 26 && (c != '-' || edge))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return b.len && b.len <= 255 && label > 0;
}

static bool email_valid(struct bytes b)
{
    const uint8_t *at = b.len ? memrchr(b.at, '@', b.len) : NULL;
    if (!at)
        return false;
    const struct bytes local = { b.at, (uint32_t)(at - b.at) };
    return (dot_atom(local) || quoted(local)) &&
           domain_valid((struct bytes){ at + 1, b.len - (uint32_t)(at + 1 - b.at) });
}

static const struct schema_format formats[] = {
    { "date-time", date_time_valid }, { "uuid", uuid_valid }, { "uri", uri_valid },
    { "email", email_valid },         { "ipv4", ipv4_valid }, { "ipv6", ipv6_valid },
    { "regex", regex_valid },
};

const struct schema_format *format_find(struct bytes name)
{
    for (uint32_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strlen(formats[i].name) == name.len && memcmp(formats[i].name, name.at, name.len) == 0)
            return &formats[i];
    return NULL;
}
