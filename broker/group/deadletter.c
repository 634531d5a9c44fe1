/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deadletter.c: see deadletter.h.
 */
#include "group/deadletter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "proto/compress.h"
#include "proto/name.h"

static const char DEADLETTER_SUFFIX[] = ".dlq";
enum { SUFFIX_BYTES = sizeof(DEADLETTER_SUFFIX) - 1, NUMBER_BYTES = 24, TIME_BYTES = 32 };

bool deadletter_is_topic(struct bytes topic)
{
    return topic.len > SUFFIX_BYTES &&
           memcmp(topic.at + topic.len - SUFFIX_BYTES, DEADLETTER_SUFFIX, SUFFIX_BYTES) == 0;
}

bool deadletter_topic(struct bytes topic, char *out)
{
    if (topic.len + SUFFIX_BYTES > TOPIC_NAME_MAX)
        return false;
    memcpy(out, topic.at, topic.len);
    memcpy(out + topic.len, DEADLETTER_SUFFIX, SUFFIX_BYTES + 1);
    return true;
}

/* ---- finding the record ---- */

bool deadletter_find(struct packer *p, const struct batch *batch, uint64_t offset, struct record *out,
                     char *why)
{
    const enum batch_codec codec = (enum batch_codec)(batch->attributes & BATCH_CODEC_MASK);
    struct bytes records = { batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER };
    struct record_iter it;
    int more;
    why[0] = 0;
    if (codec != CODEC_NONE && !unpack(p, codec, records, &records, why))
        return false;
    record_iter_init(&it, batch, records);
    while ((more = record_next(&it, out)) == 1) {
        if ((uint64_t)out->offset == offset)
            return true;
    }
    if (more < 0)
        snprintf(why, DEADLETTER_WHY_BYTES, "its batch cannot be taken apart");
    return false;
}

/* ---- building ---- */

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
    snprintf(out, NUMBER_BYTES, "%" PRIu64, value);
    return bytes_of(out);
}

/* RFC 3339, UTC, milliseconds. */
static struct bytes time_text(char *out, int64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    const size_t n = strftime(out, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, TIME_BYTES - n, ".%03dZ", (int)(ms % 1000));
    return bytes_of(out);
}

/* What headers are added; numbers and times live in the caller's `texts`. */
struct letter_texts {
    char partition[NUMBER_BYTES], offset[NUMBER_BYTES], retries[NUMBER_BYTES], time[TIME_BYTES];
};

static void letter_headers(const struct deadletter *l, struct letter_texts *t, struct header *out)
{
    const struct header headers[DEADLETTER_HEADERS] = {
        { bytes_of("dlq.original_topic"), l->topic },
        { bytes_of("dlq.original_partition"), number(t->partition, l->partition) },
        { bytes_of("dlq.original_offset"), number(t->offset, l->offset) },
        { bytes_of("dlq.error_type"), cut(l->error_type, DEADLETTER_MESSAGE_BYTES) },
        { bytes_of("dlq.error_message"), cut(l->error_message, DEADLETTER_MESSAGE_BYTES) },
        { bytes_of("dlq.error_stack_trace"), cut(l->error_stack, DEADLETTER_STACK_BYTES) },
        { bytes_of("dlq.retry_count"), number(t->retries, l->retry_count) },
        { bytes_of("dlq.failed_at"), time_text(t->time, l->failed_ms) },
        { bytes_of("dlq.consumer_group"), l->group },
        { bytes_of("dlq.consumer_instance"), cut(l->instance, DEADLETTER_MESSAGE_BYTES) },
        { bytes_of("dlq.disposition"), cut(l->disposition, DEADLETTER_MESSAGE_BYTES) },
    };
    memcpy(out, headers, sizeof(headers));
}

uint64_t deadletter_bytes_max(const struct record *record, const struct deadletter *letter)
{
    struct header headers[DEADLETTER_HEADERS];
    struct letter_texts texts;
    letter_headers(letter, &texts, headers);
    /* The original headers take their encoded length again. */
    return BATCH_HEADER + record_bytes_max(record->key, record->value, headers, DEADLETTER_HEADERS) +
           record->headers.len;
}

uint32_t deadletter_build(uint8_t *out, uint32_t room, const struct record *record,
                          const struct deadletter *letter)
{
    const uint32_t count = record->header_count + DEADLETTER_HEADERS;
    /* A header takes two bytes at least: their number is bounded by the record's size. */
    if (record->header_count > record->headers.len)
        return 0;
    struct header *headers = mem_alloc(MEM_GROUP, count * sizeof(*headers));
    struct letter_texts texts;
    struct reader at = reader_of(record->headers.at, record->headers.len);
    uint32_t n = 0, bytes = 0;
    while (n < record->header_count && record_header(&at, &headers[n].name, &headers[n].value) == 1)
        n++;
    if (n == record->header_count) {
        struct batch_builder b;
        letter_headers(letter, &texts, headers + n);
        batch_build_start(&b, out, room);
        if (batch_build_add(&b, record->timestamp_ms, record->key, record->value, headers, count))
            bytes = batch_build_finish(&b, -1, -1, -1);
    }
    mem_free(MEM_GROUP, headers, count * sizeof(*headers));
    return bytes;
}
