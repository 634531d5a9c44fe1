/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, patterns, the key hash, and the error table.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "proto/errors.h"
#include "proto/murmur2.h"
#include "proto/name.h"

static bool valid(const char *name)
{
    return topic_name_valid(bytes_of(name));
}

Test(name, valid_names)
{
    cr_assert(valid("a"));
    cr_assert(valid("orders.eu-1_x"));
    cr_assert(valid("..."));
    cr_assert(valid(".hidden"));
    cr_assert(valid("__offsets"));
}

Test(name, invalid_names)
{
    cr_assert(!valid(""));
    cr_assert(!valid("."));
    cr_assert(!valid(".."));
    cr_assert(!valid("a/b"));
    cr_assert(!valid("a b"));
    cr_assert(!valid("\xc3\xa4"));
    cr_assert(!topic_name_valid((struct bytes){ (const uint8_t *)"a\0b", 3 }));
    cr_assert(!topic_name_valid((struct bytes){ NULL, 0 }));
}

Test(name, length_limit)
{
    char name[TOPIC_NAME_MAX + 2];
    memset(name, 'x', sizeof(name));
    cr_assert(topic_name_valid((struct bytes){ (uint8_t *)name, TOPIC_NAME_MAX }));
    cr_assert(!topic_name_valid((struct bytes){ (uint8_t *)name, TOPIC_NAME_MAX + 1 }));
}

Test(name, internal)
{
    cr_assert(topic_name_internal(bytes_of("__catalog")));
    cr_assert(!topic_name_internal(bytes_of("_catalog")));
    cr_assert(!topic_name_internal(bytes_of("")));
}

static bool matches(const char *pattern, const char *name)
{
    return name_matches(bytes_of(pattern), bytes_of(name));
}

Test(name, patterns)
{
    cr_assert(matches("*", ""));
    cr_assert(matches("*", "orders"));
    cr_assert(matches("orders", "orders"));
    cr_assert(matches("ord*", "orders"));
    cr_assert(matches("*ers", "orders"));
    cr_assert(matches("o*d*s", "orders"));
    cr_assert(matches("o?ders", "orders"));
    cr_assert(matches("**", "x"));
    cr_assert(matches("a*b*c", "abbbcbc"));
    cr_assert(matches("", ""));
    cr_assert(!matches("", "x"));
    cr_assert(!matches("?", ""));
    cr_assert(!matches("order", "orders"));
    cr_assert(!matches("orders?", "orders"));
    cr_assert(!matches("o*x", "orders"));
    cr_assert(!matches("a*b*c", "abbbcb"));
}

/* Vectors of Apache Kafka's own tests (UtilsTest.testMurmur2). */
Test(murmur2, kafka_vectors)
{
    static const struct {
        const char *key;
        int32_t hash;
    } vectors[] = {
        { "21", -973932308 },
        { "foobar", -790332482 },
        { "a-little-bit-long-string", -985981536 },
        { "a-little-bit-longer-string", -1486304829 },
        { "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
        { "abc", 479470107 },
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        cr_assert_eq((int32_t)murmur2(vectors[i].key, (uint32_t)strlen(vectors[i].key)), vectors[i].hash,
                     "%s", vectors[i].key);
}

Test(murmur2, partition_of_a_key)
{
    cr_assert_eq(murmur2_partition("abc", 3, 7), 479470107u % 7);
    cr_assert_eq(murmur2_partition("21", 2, 10), ((uint32_t)-973932308 & 0x7fffffff) % 10);
    for (uint32_t n = 1; n < 50; n++)
        cr_assert_lt(murmur2_partition(&n, sizeof(n), n), n);
    cr_assert_eq(murmur2_partition("abc", 3, 0), 0);
}

Test(errors, table)
{
    cr_assert_str_eq(error_name(ERR_OK), "OK");
    cr_assert_str_eq(error_name(30), "TOPIC_NOT_FOUND");
    cr_assert(error_retriable(ERR_DISK_FULL));
    cr_assert(!error_retriable(ERR_BATCH_INVALID));
    cr_assert_str_eq(error_name(65535), "UNKNOWN");
    cr_assert(!error_retriable(65535));
#define X(name, code, retriable, text, fix)                                                                  \
    cr_assert_str_eq(error_name(code), #name);                                                               \
    cr_assert_str_eq(error_text(code), text);                                                                \
    cr_assert_str_eq(error_fix(code), fix);
    PROTO_ERRORS(X)
#undef X
}
