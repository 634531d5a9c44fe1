/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader: what the grammar refuses and allows, each limit by name, and numbers of any length.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proto/schema/decimal.h"
#include "schema_rig.h"

static struct json json;
static char why[JSON_WHY_BYTES];

static enum error read_with(struct bytes text, uint32_t values, uint32_t depth, uint32_t string_bytes)
{
    const struct json_limits limits = { depth, string_bytes };
    static void *block;
    free(block);
    block = malloc(json_scratch_bytes(values, text.len));
    json_init(&json, block, values, text.len);
    return json_read(&json, text, &limits, why);
}

static enum error read_text(const char *text)
{
    return read_with(bytes_of(text), 4096, 64, 0);
}

Test(json, accepts)
{
    static const char *const texts[] = {
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "1e5",
        "1E+5",
        "-12.50e-3",
        "\"\"",
        "\"a\\u00e4\\ud83d\\ude00\\/\\n\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[[],{},[{}]]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"b\":1}\n",
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "123456789012345678901234567890.5e-1000000000000000000000",
        "{\"\":1,\"a\":2}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_assert_eq(read_text(texts[i]), ERR_OK, "%s: %s", texts[i], why);
}

Test(json, refuses)
{
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "tru",
        "truex",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "'a'",
        "\"",
        "\"a",
        "\"\\",
        "\"\\q\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{,}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "[] []",
        "\"\x80\"",
        "\"\xc0\xaf\"",
        "\"\xc3\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf8\x88\x80\x80\x80\"",
        "\"a\\n\xff\"",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"x\":{\"b\":1,\"c\":{},\"b\":[]}}",
        "/* */ 1",
        "\xef\xbb\xbf"
        "1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(read_text(texts[i]), ERR_JSON_INVALID, "%s", texts[i]);
        cr_assert(strncmp(why, "byte ", 5) == 0, "%s", why);
    }
    cr_assert_eq(read_with((struct bytes){ (const uint8_t *)"[1\0]", 4 }, 64, 64, 0), ERR_JSON_INVALID);
    cr_assert_eq(read_with((struct bytes){ (const uint8_t *)"\"a\0b\"", 5 }, 64, 64, 0), ERR_JSON_INVALID);
}

Test(json, names_of_large_objects_differ)
{
    char text[8192];
    int n = snprintf(text, sizeof(text), "{");
    for (int i = 0; i < 300; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\"name%d\":%d,", i, i);
    snprintf(text + n, sizeof(text) - (size_t)n, "\"last\":0}");
    cr_assert_eq(read_text(text), ERR_OK, "%s", why);
    snprintf(text + n, sizeof(text) - (size_t)n, "\"name123\":0}");
    cr_assert_eq(read_text(text), ERR_JSON_INVALID);
    cr_assert(strstr(why, "name123") != NULL, "%s", why);
}

Test(json, limits_have_names)
{
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    const struct bytes text = { (const uint8_t *)deep, 200 };
    cr_assert_eq(read_with(text, 4096, 100, 0), ERR_OK, "%s", why);
    cr_assert_eq(read_with(text, 4096, 99, 0), ERR_JSON_LIMIT);
    cr_assert(strstr(why, "99") != NULL, "%s", why);
    cr_assert_eq(read_with(text, 99, 100, 0), ERR_JSON_LIMIT);
    cr_assert_eq(read_with(text, 100, 100, 0), ERR_OK);
    cr_assert_eq(read_with(bytes_of("{\"abcd\":\"abcd\"}"), 64, 64, 4), ERR_OK);
    cr_assert_eq(read_with(bytes_of("{\"abcd\":\"abcde\"}"), 64, 64, 4), ERR_JSON_LIMIT);
    cr_assert_eq(read_with(bytes_of("{\"abcde\":\"abcd\"}"), 64, 64, 4), ERR_JSON_LIMIT);
}

Test(json, escapes_are_decoded)
{
    cr_assert_eq(read_text("{\"a\\tb\":\"x\\u00e4\\ud83d\\ude00y\",\"plain\":1}"), ERR_OK, "%s", why);
    const struct json_node *value = json_member(&json, json.nodes, bytes_of("a\tb"));
    cr_assert(value && bytes_same(json_bytes(&json, value), bytes_of("x\xc3\xa4\xf0\x9f\x98\x80y")));
    cr_assert_eq(json_characters(&json, value), 4);
    cr_assert(json_member(&json, json.nodes, bytes_of("plain")) != NULL);
    cr_assert(json_member(&json, json.nodes, bytes_of("a")) == NULL);
}

Test(json, a_path_leads_to_a_value)
{
    char path[64];
    cr_assert_eq(read_text("{\"a\":[1,{\"b c\":[[],2]}],\"d\":{\"e\":null}}"), ERR_OK);
    static const char *const paths[] = { "$",
                                         "$.a",
                                         "$.a",
                                         "$.a[0]",
                                         "$.a[1]",
                                         "$.a[1]['b c']",
                                         "$.a[1]['b c']",
                                         "$.a[1]['b c'][0]",
                                         "$.a[1]['b c'][1]",
                                         "$.d",
                                         "$.d",
                                         "$.d.e",
                                         "$.d.e" };
    cr_assert_eq(json.count, sizeof(paths) / sizeof(paths[0]));
    for (uint32_t i = 0; i < json.count; i++) {
        json_path(&json, &json.nodes[i], path, sizeof(path));
        cr_assert_str_eq(path, paths[i]);
        json_path(&json, &json.nodes[i], path, 6);
        cr_assert(strlen(path) < 6 && strncmp(path, paths[i], strlen(path)) == 0);
    }
}

Test(decimal, compares_exactly)
{
    /* ascending; those on one line are equal */
    static const char *const rows[][4] = {
        { "-1e1000000" },
        { "-100", "-1e2", "-100.0", "-0.1e3" },
        { "-0.001", "-1e-3" },
        { "0", "-0", "0.000", "0e99" },
        { "1e-1000000" },
        { "0.1", "1e-1", "0.10", "10e-2" },
        { "0.30000000000000004" },
        { "9007199254740992" },
        { "9007199254740993", "9007199254740993.0" },
        { "123456789012345678901234567890" },
        { "123456789012345678901234567891" },
        { "1e400" },
        { "1e401" },
    };
    const size_t n = sizeof(rows) / sizeof(rows[0]);
    for (size_t i = 0; i < n * n * 16; i++) {
        const size_t a = i / 16 / n, b = i / 16 % n;
        const char *x = rows[a][i % 4], *y = rows[b][i / 4 % 4];
        if (!x || !y)
            continue;
        const int expected = (a > b) - (a < b);
        cr_assert_eq(decimal_compare(bytes_of(x), bytes_of(y)), expected, "%s %s", x, y);
        if (a == b)
            cr_assert_eq(decimal_hash(bytes_of(x)), decimal_hash(bytes_of(y)), "%s %s", x, y);
    }
}

static bool multiple(const char *a, const char *b)
{
    struct decimal_divisor d;
    cr_assert(decimal_divisor(&d, bytes_of(b)));
    return decimal_multiple(bytes_of(a), &d);
}

Test(decimal, divides_exactly)
{
    struct decimal_divisor d;
    uint32_t count;
    cr_assert(multiple("0.3", "0.1") && multiple("1e1000", "3e2") == false && multiple("0", "7"));
    cr_assert(multiple("12391239123", "1") && multiple("1e308", "0.5") && !multiple("1e308", "0.123456789"));
    cr_assert(!multiple("0.00751", "0.0001") && multiple("0.0075", "0.0001") && multiple("-6.6", "2.2"));
    cr_assert(multiple("123456789012345678901234567890", "30") &&
              !multiple("123456789012345678901234567891", "30"));
    cr_assert(!decimal_divisor(&d, bytes_of("0")) && !decimal_divisor(&d, bytes_of("-1")));
    cr_assert(!decimal_divisor(&d, bytes_of("1234567890123456789")));
    cr_assert(decimal_integer(bytes_of("1.0")) && decimal_integer(bytes_of("1e3")) &&
              decimal_integer(bytes_of("0.0")));
    cr_assert(!decimal_integer(bytes_of("1.5")) && !decimal_integer(bytes_of("1e-1")));
    cr_assert(decimal_count(bytes_of("2.0"), &count) && count == 2);
    cr_assert(decimal_count(bytes_of("1e2"), &count) && count == 100);
    cr_assert(decimal_count(bytes_of("1e99"), &count) && count == UINT32_MAX);
    cr_assert(!decimal_count(bytes_of("1.5"), &count) && !decimal_count(bytes_of("-1"), &count));
}
