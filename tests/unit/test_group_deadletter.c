/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters: the event as it was, and the reasons behind it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "group/deadletter.h"
#include "proto/compress.h"

static uint8_t buffer[1 << 16], letter_bytes[1 << 17];

static struct batch events(uint32_t count)
{
    static const struct header headers[] = { { { (const uint8_t *)"a", 1 }, { (const uint8_t *)"1", 1 } },
                                             { { (const uint8_t *)"null", 4 }, { NULL, 0 } } };
    struct batch_builder b;
    struct batch batch;
    char text[32];
    batch_build_start(&b, buffer, sizeof(buffer));
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "value %u", i);
        cr_assert(batch_build_add(&b, 1000 + i, bytes_of("key"), bytes_of(text), headers, 2));
    }
    const uint32_t n = batch_build_finish(&b, -1, -1, -1);
    batch_set_base_offset(buffer, 100);
    cr_assert(batch_decode(&batch, buffer, n));
    return batch;
}

static struct deadletter letter(void)
{
    return (struct deadletter){ .topic = bytes_of("orders"),
                                .partition = 2,
                                .offset = 103,
                                .error_type = bytes_of("Timeout"),
                                .error_message = bytes_of("no answer"),
                                .retry_count = 3,
                                .failed_ms = 1700000000123,
                                .group = bytes_of("billing"),
                                .instance = bytes_of("b-1"),
                                .disposition = bytes_of("max_attempts") };
}

/* The value of a header of the only record in `letter_bytes`; NULL: there is none. */
static const char *header_of(uint32_t bytes, const char *name)
{
    static char text[8192];
    struct batch batch;
    struct record_iter it;
    struct record record;
    struct bytes n, v;
    cr_assert_eq(batch_check(&batch, letter_bytes, bytes, text), ERR_OK, "%s", text);
    cr_assert_eq(batch.count, 1);
    record_iter_init(&it, &batch, (struct bytes){ batch.at + BATCH_HEADER, batch.bytes - BATCH_HEADER });
    cr_assert_eq(record_next(&it, &record), 1);
    struct reader at = reader_of(record.headers.at, record.headers.len);
    for (uint32_t i = 0; i < record.header_count; i++) {
        cr_assert_eq(record_header(&at, &n, &v), 1);
        if (n.len == strlen(name) && memcmp(n.at, name, n.len) == 0) {
            if (!v.at)
                return "null";
            snprintf(text, sizeof(text), "%.*s", (int)v.len, (const char *)v.at);
            return text;
        }
    }
    return NULL;
}

Test(deadletter, keeps_the_event_and_adds_the_reasons)
{
    struct packer p = { 0 };
    struct record record;
    char why[DEADLETTER_WHY_BYTES];
    const struct batch batch = events(10);
    cr_assert(deadletter_find(&p, &batch, 103, &record, why), "%s", why);
    cr_assert_eq(record.value.len, strlen("value 3"));
    cr_assert_eq(memcmp(record.value.at, "value 3", 7), 0);
    const struct deadletter l = letter();
    const uint64_t most = deadletter_bytes_max(&record, &l);
    cr_assert_leq(most, sizeof(letter_bytes));
    const uint32_t bytes = deadletter_build(letter_bytes, (uint32_t)most, &record, &l);
    cr_assert_gt(bytes, 0, "what deadletter_bytes_max() says suffices");
    cr_assert_str_eq(header_of(bytes, "a"), "1");
    cr_assert_str_eq(header_of(bytes, "null"), "null");
    cr_assert_str_eq(header_of(bytes, "dlq.original_topic"), "orders");
    cr_assert_str_eq(header_of(bytes, "dlq.original_partition"), "2");
    cr_assert_str_eq(header_of(bytes, "dlq.original_offset"), "103");
    cr_assert_str_eq(header_of(bytes, "dlq.error_type"), "Timeout");
    cr_assert_str_eq(header_of(bytes, "dlq.error_message"), "no answer");
    cr_assert_str_eq(header_of(bytes, "dlq.error_stack_trace"), "");
    cr_assert_str_eq(header_of(bytes, "dlq.retry_count"), "3");
    cr_assert_str_eq(header_of(bytes, "dlq.failed_at"), "2023-11-14T22:13:20.123Z");
    cr_assert_str_eq(header_of(bytes, "dlq.consumer_group"), "billing");
    cr_assert_str_eq(header_of(bytes, "dlq.consumer_instance"), "b-1");
    cr_assert_str_eq(header_of(bytes, "dlq.disposition"), "max_attempts");
    cr_assert_str_eq(header_of(bytes, "runnel-dlq"),
                     "{\"original_topic\":\"orders\",\"original_partition\":2,\"original_offset\":103,"
                     "\"error_type\":\"Timeout\",\"error_message\":\"no answer\",\"error_stack_trace\":\"\","
                     "\"retry_count\":3,\"failed_at\":\"2023-11-14T22:13:20.123Z\","
                     "\"consumer_group\":\"billing\",\"consumer_instance\":\"b-1\"}");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.topic"), "orders");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.partition"), "2");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.offset"), "103");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.group"), "billing");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.delivery.count"), "4");
    cr_assert_str_eq(header_of(bytes, "__dlq.errors.message"), "no answer");
}

/* Whatever a consumer says, the JSON is JSON, and what deadletter_bytes_max() says is enough for it. */
Test(deadletter, escapes_what_json_cannot_hold)
{
    static const struct {
        const char *said, *json;
    } cases[] = {
        { "a \"quoted\" \\ line\n\tand more\x01", "a \\\"quoted\\\" \\\\ line\\u000a\\u0009and more\\u0001" },
        { "gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x98\x80",
          "gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "\xff|\xc0\xaf|\xed\xa0\x80|\xe2\x82",
          "\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd" },
    };
    struct packer p = { 0 };
    struct record record;
    char why[DEADLETTER_WHY_BYTES], expected[512], worst[4000];
    const struct batch batch = events(1);
    cr_assert(deadletter_find(&p, &batch, 100, &record, why));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct deadletter l = letter();
        l.error_message = bytes_of(cases[i].said);
        const uint32_t bytes = deadletter_build(letter_bytes, sizeof(letter_bytes), &record, &l);
        snprintf(expected, sizeof(expected), "\"error_message\":\"%s\",", cases[i].json);
        cr_assert(strstr(header_of(bytes, "runnel-dlq"), expected), "%s", header_of(bytes, "runnel-dlq"));
    }
    struct deadletter l = letter();
    memset(worst, 1, sizeof(worst));
    l.error_type = l.error_message = l.error_stack = l.instance =
        (struct bytes){ (const uint8_t *)worst, sizeof(worst) };
    const uint64_t most = deadletter_bytes_max(&record, &l);
    cr_assert_leq(most, sizeof(letter_bytes));
    cr_assert_gt(deadletter_build(letter_bytes, (uint32_t)most, &record, &l), 0);
}

Test(deadletter, cuts_long_texts_between_characters)
{
    struct packer p = { 0 };
    struct record record;
    char why[DEADLETTER_WHY_BYTES], message[3000];
    const struct batch batch = events(1);
    cr_assert(deadletter_find(&p, &batch, 100, &record, why));
    struct deadletter l = letter();
    for (uint32_t i = 0; i + 1 < sizeof(message); i += 2)
        memcpy(message + i, "\xc3\xa9", 2); /* é */
    l.error_message = (struct bytes){ (const uint8_t *)message + 1, sizeof(message) - 2 };
    const uint32_t bytes = deadletter_build(letter_bytes, sizeof(letter_bytes), &record, &l);
    const char *text = header_of(bytes, "dlq.error_message");
    cr_assert_leq(strlen(text), (size_t)DEADLETTER_MESSAGE_BYTES);
    cr_assert_geq(strlen(text), (size_t)DEADLETTER_MESSAGE_BYTES - 1);
    cr_assert_eq((uint8_t)text[strlen(text) - 1], 0xa9, "the last character is whole");
}

Test(deadletter, opens_compressed_batches)
{
    struct packer out = { 0 }, in = { 0 };
    struct record record;
    struct batch batch = events(50), packed;
    char why[DEADLETTER_WHY_BYTES];
    const struct bytes records = { batch.at + BATCH_HEADER, batch.bytes - BATCH_HEADER };
    const uint32_t n = pack(&out, CODEC_ZSTD, records);
    cr_assert_gt(n, 0);
    memcpy(letter_bytes + BATCH_HEADER, out.bytes, n);
    const uint32_t bytes = batch_seal(letter_bytes, &batch, CODEC_ZSTD, n);
    batch_set_base_offset(letter_bytes, 100);
    cr_assert(batch_decode(&packed, letter_bytes, bytes));
    cr_assert(deadletter_find(&in, &packed, 149, &record, why), "%s", why);
    cr_assert_eq(memcmp(record.value.at, "value 49", 8), 0);
    cr_assert_not(deadletter_find(&in, &packed, 150, &record, why));
    cr_assert_str_eq(why, "", "gone is not damaged");
    letter_bytes[BATCH_HEADER + 5] ^= 0xff;
    cr_assert_not(deadletter_find(&in, &packed, 149, &record, why));
    cr_assert_str_neq(why, "");
    packer_free(&out, true);
    packer_free(&in, false);
}

Test(deadletter, names)
{
    char out[250], name[250];
    cr_assert(deadletter_topic(bytes_of("orders"), out));
    cr_assert_str_eq(out, "orders.dlq");
    memset(name, 'n', 246);
    name[246] = 0;
    cr_assert_not(deadletter_topic(bytes_of(name), out));
    name[245] = 0;
    cr_assert(deadletter_topic(bytes_of(name), out));
    cr_assert(deadletter_is_topic(bytes_of("orders.dlq")));
    cr_assert_not(deadletter_is_topic(bytes_of(".dlq")));
    cr_assert_not(deadletter_is_topic(bytes_of("orders.dlqx")));
}
