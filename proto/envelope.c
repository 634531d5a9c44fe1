/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/envelope.c: finding an envelope's fields among headers, and what each must look like.
 *
 * Sources: CloudEvents 1.0.2 (names, Kafka protocol binding), its extensions "correlation" and "distributed
 * tracing"; W3C Trace Context, level 1; RFC 3339; days from dates by H. Hinnant's civil-calendar algorithms.
 */
#include "proto/envelope.h"

#define AT_HEADER(name)                                                                                      \
    {                                                                                                        \
        (const uint8_t *)(name), sizeof(name) - 1                                                            \
    }
static const struct {
    struct bytes header;
    const char *name;
    enum envelope_form form;
} rows[] = {
#define X(field, name, header, form) { AT_HEADER(header), name, ENVELOPE_FORM_##form },
    ENVELOPE_FIELD_TABLE(X)
#undef X
};

const char *envelope_name(enum envelope_field field)
{
    return rows[field].name;
}

const char *envelope_header(enum envelope_field field)
{
    return (const char *)rows[field].header.at;
}

static bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

int envelope_of_header(struct bytes name)
{
    /* Most lengths are one field's only: a comparison or two for each header. */
    for (int i = 0; i < ENVELOPE_FIELDS; i++)
        if (rows[i].header.len == name.len && bytes_equal(rows[i].header, name))
            return i;
    return -1;
}

int envelope_find(struct bytes name)
{
    for (int i = 0; i < ENVELOPE_FIELDS; i++)
        if (bytes_equal(bytes_of(rows[i].name), name))
            return i;
    return envelope_of_header(name);
}

uint32_t envelope_read_some(struct bytes headers, uint32_t header_count, uint32_t wanted,
                            struct bytes out[ENVELOPE_FIELDS])
{
    struct reader r = reader_of(headers.at, headers.len);
    struct bytes name, value;
    uint32_t seen = 0, there = 0;
    for (uint32_t i = 0; i < header_count && seen != wanted && record_header(&r, &name, &value) == 1; i++) {
        for (uint32_t left = wanted & ~seen; left; left &= left - 1) {
            const int field = __builtin_ctz(left);
            if (!bytes_equal(rows[field].header, name))
                continue;
            seen |= 1u << field;
            if (value.at) {
                there |= 1u << field;
                out[field] = value;
            }
            break;
        }
    }
    return there;
}

uint32_t envelope_read(struct bytes headers, uint32_t header_count, struct bytes out[ENVELOPE_FIELDS])
{
    struct reader r = reader_of(headers.at, headers.len);
    struct bytes name, value;
    uint32_t seen = 0, there = 0;
    for (uint32_t i = 0; i < header_count && record_header(&r, &name, &value) == 1; i++) {
        const int field = envelope_of_header(name);
        if (field < 0 || (seen >> field & 1))
            continue;
        seen |= 1u << field;
        if (!value.at)
            continue;
        there |= 1u << field;
        if (out)
            out[field] = value;
    }
    return there;
}

/* ---- time ---- */

static void put_digits(char *out, uint32_t value, int digits)
{
    for (int i = digits; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
}

void envelope_time_put(char out[ENVELOPE_TIME_BYTES], int64_t ms)
{
    enum { DAY_MS = 86400000 };
    const int64_t first = -62167219200000, last = 253402300799999; /* years 0 to 9999 */
    ms = ms < first ? first : ms > last ? last : ms;
    const int64_t days = (ms - first) / DAY_MS; /* since 0000-01-01 */
    uint32_t left = (uint32_t)((ms - first) % DAY_MS);
    /* Years begin in March here, so that the leap day is the last of its year. */
    const int64_t z = days - 60 + 146097; /* one cycle of 400 years up: never negative */
    const uint32_t of_era = (uint32_t)(z % 146097);
    const uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const uint32_t mp = (5 * of_year + 2) / 153;
    const uint32_t month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t year = z / 146097 * 400 - 400 + year_of_era + (month <= 2);
    memcpy(out, "0000-00-00T00:00:00.000Z", ENVELOPE_TIME_BYTES);
    put_digits(out, (uint32_t)year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, of_year - (153 * mp + 2) / 5 + 1, 2);
    put_digits(out + 11, left / 3600000, 2);
    put_digits(out + 14, left / 60000 % 60, 2);
    put_digits(out + 17, left / 1000 % 60, 2);
    put_digits(out + 20, left % 1000, 3);
}

/* Exactly `digits` digits at *at, at most `max`; false otherwise. */
static bool take_number(const uint8_t **at, const uint8_t *end, int digits, uint32_t max, uint32_t *out)
{
    *out = 0;
    for (; digits > 0; digits--, (*at)++) {
        if (*at == end || **at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (uint32_t)(**at - '0');
    }
    return *out <= max;
}

static bool take_char(const uint8_t **at, const uint8_t *end, char a, char b)
{
    if (*at == end || (**at != (uint8_t)a && **at != (uint8_t)b))
        return false;
    (*at)++;
    return true;
}

static bool day_exists(uint32_t year, uint32_t month, uint32_t day)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && day >= 1 && day <= (uint32_t)days[month - 1] + (month == 2 && leap);
}

/* "Z", "+01:00" to the end; minutes east of Greenwich. */
static bool take_zone(const uint8_t **at, const uint8_t *end, int32_t *minutes)
{
    uint32_t hours, rest;
    if (take_char(at, end, 'Z', 'z')) {
        *minutes = 0;
        return true;
    }
    const bool west = *at < end && **at == '-';
    if (!take_char(at, end, '+', '-') || !take_number(at, end, 2, 23, &hours) ||
        !take_char(at, end, ':', ':') || !take_number(at, end, 2, 59, &rest))
        return false;
    *minutes = (int32_t)(hours * 60 + rest) * (west ? -1 : 1);
    return true;
}

bool envelope_time(struct bytes text, int64_t *ms)
{
    const uint8_t *at = text.at, *end = at + text.len;
    uint32_t year, month, day, hour, minute, second, part = 0;
    int32_t zone;
    if (!take_number(&at, end, 4, 9999, &year) || !take_char(&at, end, '-', '-') ||
        !take_number(&at, end, 2, 12, &month) || !take_char(&at, end, '-', '-') ||
        !take_number(&at, end, 2, 31, &day) || !take_char(&at, end, 'T', 't') ||
        !take_number(&at, end, 2, 23, &hour) || !take_char(&at, end, ':', ':') ||
        !take_number(&at, end, 2, 59, &minute) || !take_char(&at, end, ':', ':') ||
        !take_number(&at, end, 2, 60, &second) || !day_exists(year, month, day))
        return false;
    if (at < end && *at == '.') {
        int digits = 0;
        for (at++; at < end && *at >= '0' && *at <= '9'; at++, digits++)
            if (digits < 3)
                part = part * 10 + (uint32_t)(*at - '0');
        for (int i = digits; i < 3; i++)
            part *= 10;
        if (digits == 0)
            return false;
    }
    if (!take_zone(&at, end, &zone) || at != end)
        return false;
    const int64_t y = (int64_t)year - (month <= 2) + 400; /* never negative */
    const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const int64_t of_era = y % 400 * 365 + y % 400 / 4 - y % 400 / 100 + of_year;
    const int64_t days = (y / 400 - 1) * 146097 + of_era - 719468;
    *ms = ((days * 24 + hour) * 60 + minute - zone) * 60000 + second * 1000 + part;
    return true;
}

/* ---- forms ---- */

static bool id_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.' || c == ':';
}

static bool id_valid(const uint8_t *at, uint32_t len)
{
    if (len == 0 || len > ENVELOPE_ID_BYTES)
        return false;
    for (uint32_t i = 0; i < len; i++)
        if (!id_char(at[i]))
            return false;
    return true;
}

static bool ids_valid(struct bytes v)
{
    uint32_t begin = 0, count = 0;
    for (uint32_t i = 0; i <= v.len; i++) {
        if (i < v.len && v.at[i] != ',')
            continue;
        if (!id_valid(v.at + begin, i - begin) || ++count > ENVELOPE_CHAIN_MAX)
            return false;
        begin = i + 1;
    }
    return true;
}

/* Length of the UTF-8 character at `p`, 0 when there is none. RFC 3629: shortest form, no surrogates. */
static uint32_t utf8_length(const uint8_t *p, uint32_t left)
{
    if (p[0] < 0x80)
        return 1;
    const uint32_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (uint32_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static bool text_valid(struct bytes v)
{
    if (v.len == 0 || v.len > ENVELOPE_TEXT_BYTES)
        return false;
    for (uint32_t i = 0; i < v.len;) {
        const uint32_t n = utf8_length(v.at + i, v.len - i);
        if (n == 0 || v.at[i] < 0x20 || v.at[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

static bool version_valid(struct bytes v)
{
    uint32_t dots = 0, digits = 0, i = 0;
    for (; i < v.len && v.at[i] != '-' && v.at[i] != '+'; i++) {
        if (v.at[i] == '.') {
            if (digits == 0 || ++dots > 2)
                return false;
            digits = 0;
        } else if (v.at[i] < '0' || v.at[i] > '9' || ++digits > 9) {
            return false;
        }
    }
    for (uint32_t j = i; j < v.len; j++) /* "-rc.1+build.7" */
        if (!id_char(v.at[j]) && v.at[j] != '+')
            return false;
    return digits > 0 && v.len <= ENVELOPE_ID_BYTES;
}

static bool trace_valid(struct bytes v)
{
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    bool trace = false, span = false;
    if (v.len != sizeof(shape) - 1 || (v.at[0] == 'f' && v.at[1] == 'f'))
        return false;
    for (uint32_t i = 0; i < v.len; i++) {
        const uint8_t c = v.at[i];
        if (shape[i] == '-' ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        trace |= i >= 3 && i < 35 && c != '0';
        span |= i >= 36 && i < 52 && c != '0';
    }
    return trace && span;
}

const char *envelope_misfit(enum envelope_field field, struct bytes v)
{
    int64_t ms;
    switch (rows[field].form) {
    case ENVELOPE_FORM_TEXT:
        return text_valid(v) ? NULL : "a text of 1 to 1024 bytes of UTF-8, without control characters";
    case ENVELOPE_FORM_ID:
        return id_valid(v.at, v.len) ? NULL : "an id: 1 to 64 letters, digits, '.', '_', ':' or '-'";
    case ENVELOPE_FORM_IDS:
        return ids_valid(v) ? NULL : "at most 16 ids with commas between";
    case ENVELOPE_FORM_TIME:
        return envelope_time(v, &ms) ? NULL : "a time like 2026-11-21T02:11:37.123Z";
    case ENVELOPE_FORM_PRIORITY:
        return v.len == 1 && v.at[0] >= '0' && v.at[0] <= '9' ? NULL : "a priority from 0 (highest) to 9";
    case ENVELOPE_FORM_VERSION:
        return version_valid(v) ? NULL : "a version like 1.2.0";
    case ENVELOPE_FORM_TRACE:
        return trace_valid(v) ? NULL : "a trace context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>";
    }
    return NULL;
}
