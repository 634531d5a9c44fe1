/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deadletter.c: see deadletter.h.
 */
#include "group/deadletter_own.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "proto/compress.h"
#include "proto/name.h"

static const char DEADLETTER_SUFFIX[] = ".dlq";
enum { SUFFIX_BYTES = sizeof(DEADLETTER_SUFFIX) - 1 };

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

uint64_t deadletter_bytes_max(const struct record *record, const struct deadletter *letter)
{
    struct letter_headers added;
    letter_headers_init(&added, letter);
    const uint64_t bytes = record_bytes_max(record->key, record->value, added.headers, DEADLETTER_HEADERS);
    letter_headers_free(&added);
    /* The original headers take their encoded length again. */
    return BATCH_HEADER + bytes + record->headers.len;
}

uint32_t deadletter_build(uint8_t *out, uint32_t room, const struct record *record,
                          const struct deadletter *letter)
{
    const uint32_t count = record->header_count + DEADLETTER_HEADERS;
    /* A header takes two bytes at least: their number is bounded by the record's size. */
    if (record->header_count > record->headers.len)
        return 0;
    struct header *headers = mem_alloc(MEM_GROUP, count * sizeof(*headers));
    struct reader at = reader_of(record->headers.at, record->headers.len);
    uint32_t n = 0, bytes = 0;
    while (n < record->header_count && record_header(&at, &headers[n].name, &headers[n].value) == 1)
        n++;
    if (n == record->header_count) {
        struct batch_builder b;
        struct letter_headers added;
        letter_headers_init(&added, letter);
        memcpy(headers + n, added.headers, sizeof(added.headers));
        batch_build_start(&b, out, room);
        if (batch_build_add(&b, record->timestamp_ms, record->key, record->value, headers, count))
            bytes = batch_build_finish(&b, -1, -1, -1);
        letter_headers_free(&added);
    }
    mem_free(MEM_GROUP, headers, count * sizeof(*headers));
    return bytes;
}
