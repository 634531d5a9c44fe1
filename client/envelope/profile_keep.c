/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/profile_keep.c: texts out of JSON, kept until the next envelope, and errors with their
 * place.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/envelope/profile_own.h"

bool decode_refuse(struct decode *d, const char *format, ...)
{
    char what[160];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof(what), format, ap);
    va_end(ap);
    client_error(NULL, ERR_ENVELOPE_INVALID, "%.90s: %s", d->path, what);
    return false;
}

bool decode_wrong_kind(struct decode *d, const char *expected, struct bytes found)
{
    return decode_refuse(d, "expected %s, found %s", expected, json_kind_name(json_kind(found)));
}

/* Room that stays where it is: as much as the text has was made before. */
char *decode_room(struct decode *d)
{
    return d->e->decoded + d->e->decoded_len;
}

bool decode_string(struct decode *d, struct bytes value, struct bytes *out)
{
    if (json_kind(value) != JSON_STRING)
        return decode_wrong_kind(d, "a string", value);
    char *at = decode_room(d);
    const int64_t len = json_string(value, at, value.len);
    if (len < 0)
        return decode_refuse(d, "half of a surrogate pair is no character");
    at[len] = '\0';
    d->e->decoded_len += (size_t)len + 1;
    *out = (struct bytes){ (const uint8_t *)at, (uint32_t)len };
    return true;
}

bool decode_put(struct decode *d, enum envelope_field field, struct bytes value)
{
    const char *must = envelope_misfit(field, value);
    if (must)
        return decode_refuse(d, "must be %s", must);
    if (d->seen >> field & 1)
        return decode_refuse(d, "%s is given twice", envelope_name(field));
    d->seen |= 1u << field;
    return envelope_put(d->e, LAYER_EVENT, field, value) == 0;
}

int decode_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- base64 ---- */

static int base64_digit(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool decode_base64(struct decode *d, struct bytes text, struct bytes *out)
{
    uint8_t *to = (uint8_t *)decode_room(d);
    uint32_t bits = 0, have = 0, n = 0, end = text.len;
    while (end && text.at[end - 1] == '=')
        end--;
    for (uint32_t i = 0; i < end; i++) {
        const int digit = base64_digit(text.at[i]);
        if (digit < 0)
            return decode_refuse(d, "this is not base64");
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8)
            to[n++] = (uint8_t)(bits >> (have -= 8));
    }
    d->e->decoded_len += n;
    *out = (struct bytes){ to, n };
    return true;
}
