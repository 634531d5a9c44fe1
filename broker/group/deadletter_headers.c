/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deadletter_headers.c: where a dead letter comes from and why it died, three times over: a header for
 * each field (dlq.*), all fields as one JSON object (runnel-dlq), and the names that Kafka's share groups use
 * (__dlq.errors.*, KIP-1191), for tools that know those.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "group/deadletter_own.h"

/* ---- texts ---- */

static struct bytes cut(struct bytes text, uint32_t bytes_max)
{
    /* Not in the middle of a UTF-8 sequence. */
    while (text.len > bytes_max) {
        text.len = bytes_max;
        while (text.len && (text.at[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    return text.at ? text : bytes_of("");
}

static struct bytes number(char *out, uint64_t value)
{
    snprintf(out, LETTER_NUMBER_BYTES, "%" PRIu64, value);
    return bytes_of(out);
}

/* RFC 3339, UTC, milliseconds. */
static struct bytes time_text(char *out, int64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    const size_t n = strftime(out, LETTER_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, LETTER_TIME_BYTES - n, ".%03dZ", (int)(ms % 1000));
    return bytes_of(out);
}

/* ---- JSON ---- */

enum { JSON_FACTOR = 6, JSON_REST = 64 }; /* \u001f for a byte; quotes, name, colon and comma of a member */

/* Bytes of the UTF-8 character at `at`; 0: it is none. */
static uint32_t utf8_bytes(const uint8_t *at, uint32_t left)
{
    const uint8_t c = at[0];
    const uint32_t n = c < 0x80                ? 1
                       : c >= 0xc2 && c < 0xe0 ? 2
                       : (c & 0xf0) == 0xe0    ? 3
                       : c >= 0xf0 && c < 0xf5 ? 4
                                               : 0;
    if (n == 0 || n > left)
        return 0;
    for (uint32_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong, surrogates, beyond the last one. */
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
        (c == 0xf4 && at[1] > 0x8f))
        return 0;
    return n;
}

/* The inside of a string; what is not UTF-8 becomes U+FFFD. */
static uint8_t *json_text(uint8_t *to, struct bytes text)
{
    for (uint32_t i = 0; i < text.len;) {
        const uint8_t c = text.at[i];
        const uint32_t n = utf8_bytes(text.at + i, text.len - i);
        if (n == 0) {
            memcpy(to, "\\ufffd", 6);
            to += 6;
        } else if (c < 0x20) {
            static const char digits[] = "0123456789abcdef";
            memcpy(to, "\\u00", 4);
            to[4] = (uint8_t)digits[c >> 4];
            to[5] = (uint8_t)digits[c & 15];
            to += 6;
        } else {
            if (c == '"' || c == '\\')
                *to++ = '\\';
            memcpy(to, text.at + i, n);
            to += n;
        }
        i += n ? n : 1;
    }
    return to;
}

static uint8_t *json_member(uint8_t *to, const char *name, struct bytes value, bool is_number)
{
    const size_t len = strlen(name);
    *to++ = '"';
    memcpy(to, name, len);
    to += len;
    memcpy(to, is_number ? "\":" : "\":\"", 3);
    to += is_number ? 2 : 3;
    if (is_number) {
        memcpy(to, value.at, value.len);
        to += value.len;
    } else {
        to = json_text(to, value);
        *to++ = '"';
    }
    return to;
}

/* ---- all of them ---- */

static const struct {
    const char *name; /* behind "dlq." */
    bool is_number;
} fields[] = {
    { "dlq.original_topic", false }, { "dlq.original_partition", true },
    { "dlq.original_offset", true }, { "dlq.error_type", false },
    { "dlq.error_message", false },  { "dlq.error_stack_trace", false },
    { "dlq.retry_count", true },     { "dlq.failed_at", false },
    { "dlq.consumer_group", false }, { "dlq.consumer_instance", false },
    { "dlq.disposition", false },
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]), JSON_FIELDS = 10, PREFIX = sizeof("dlq.") - 1 };

static struct bytes json_object(struct letter_headers *h)
{
    h->json_room = 2;
    for (int i = 0; i < JSON_FIELDS; i++)
        h->json_room += h->headers[i].value.len * JSON_FACTOR + JSON_REST;
    h->json = mem_alloc(MEM_GROUP, h->json_room);
    uint8_t *at = h->json;
    *at++ = '{';
    for (int i = 0; i < JSON_FIELDS; i++) {
        if (i)
            *at++ = ',';
        at = json_member(at, fields[i].name + PREFIX, h->headers[i].value, fields[i].is_number);
    }
    *at++ = '}';
    CHECK(at <= h->json + h->json_room);
    return (struct bytes){ h->json, (uint32_t)(at - h->json) };
}

void letter_headers_init(struct letter_headers *h, const struct deadletter *l)
{
    const struct bytes values[FIELDS] = {
        l->topic,
        number(h->partition, l->partition),
        number(h->offset, l->offset),
        cut(l->error_type, DEADLETTER_MESSAGE_BYTES),
        cut(l->error_message, DEADLETTER_MESSAGE_BYTES),
        cut(l->error_stack, DEADLETTER_STACK_BYTES),
        number(h->retries, l->retry_count),
        time_text(h->time, l->failed_ms),
        l->group,
        cut(l->instance, DEADLETTER_MESSAGE_BYTES),
        cut(l->disposition, DEADLETTER_MESSAGE_BYTES),
    };
    for (int i = 0; i < FIELDS; i++)
        h->headers[i] = (struct header){ bytes_of(fields[i].name), values[i] };
    const struct header rest[] = {
        { bytes_of("runnel-dlq"), json_object(h) },
        { bytes_of("__dlq.errors.topic"), values[0] },
        { bytes_of("__dlq.errors.partition"), values[1] },
        { bytes_of("__dlq.errors.offset"), values[2] },
        { bytes_of("__dlq.errors.group"), values[8] },
        { bytes_of("__dlq.errors.delivery.count"), number(h->deliveries, l->retry_count + 1ull) },
        { bytes_of("__dlq.errors.message"), values[4] },
    };
    static_assert(FIELDS + sizeof(rest) / sizeof(rest[0]) == DEADLETTER_HEADERS, "counted right");
    memcpy(h->headers + FIELDS, rest, sizeof(rest));
}

void letter_headers_free(struct letter_headers *h)
{
    mem_free(MEM_GROUP, h->json, h->json_room);
}
