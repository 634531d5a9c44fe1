/* SPDX-License-Identifier: Apache-2.0
 *
 * What the official suite does not ask: what a fault says, and that whatever is hostile, schema or event,
 * ends in bounded time with a name.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "schema_rig.h"

static struct arena arena;
static struct schema_checker *checker;
static struct schema_fault faults[4];
static struct schema_result result = { .faults = faults, .room = 4 };
static char why[SCHEMA_WHY_BYTES];

static void setup(void)
{
    arena_init(&arena, &rig_memory, 4 << 20);
    checker = schema_checker_new(&rig_memory, 1 << 20, 1 << 16);
}

static void teardown(void)
{
    schema_checker_free(checker);
    arena_free(&arena);
}

TestSuite(schema, .init = setup, .fini = teardown);

static enum error compile_error(const char *text)
{
    enum error error;
    cr_assert(schema_compile(&arena, bytes_of(text), NULL, &error, why) == NULL, "%s", text);
    cr_assert(why[0] != 0);
    return error;
}

static const struct schema_program *compile(const char *text)
{
    enum error error;
    const struct schema_program *p = schema_compile(&arena, bytes_of(text), NULL, &error, why);
    cr_assert(p != NULL, "%s: %s", text, why);
    return p;
}

static enum error check(const struct schema_program *program, const char *event)
{
    const struct json_limits limits = { .depth = 64 };
    return schema_check(checker, program, bytes_of(event), &limits, &result);
}

static void fault_is(uint32_t i, const char *path, const char *keyword, const char *expected,
                     const char *found)
{
    cr_assert(i < result.count);
    cr_assert_str_eq(faults[i].path, path);
    cr_assert_str_eq(faults[i].keyword, keyword);
    cr_assert_str_eq(faults[i].expected, expected);
    cr_assert_str_eq(faults[i].found, found);
}

Test(schema, a_fault_says_where_and_what)
{
    const struct schema_program *p = compile(
        "{\"type\":\"object\",\"required\":[\"id\",\"n\"],\"additionalProperties\":false,\"properties\":{"
        "\"id\":{\"type\":\"string\",\"minLength\":3},\"n\":{\"type\":\"integer\",\"maximum\":10},"
        "\"tags\":{\"items\":{\"enum\":[\"a\",\"b\"]},\"uniqueItems\":true},"
        "\"at\":{\"format\":\"date-time\"},\"k\":{\"const\":{\"x\":1}}}}");
    cr_assert_eq(check(p, "{\"id\":\"abc\",\"n\":10.0,\"tags\":[\"a\",\"b\"],\"k\":{\"x\":1.0}}"), ERR_OK);
    cr_assert_eq(check(p, "{\"id\":\"ab\",\"n\":11,\"tags\":[\"a\",\"c\"],\"y\":[1]}"), ERR_SCHEMA_MISMATCH);
    cr_assert_eq(result.count, 4);
    fault_is(0, "$.id", "minLength", "at least 3 characters", "\"ab\"");
    fault_is(1, "$.n", "maximum", "at most 10", "11");
    fault_is(2, "$.tags[1]", "enum", "one of 2 values, \"a\" and others", "\"c\"");
    fault_is(3, "$.y", "additionalProperties", "no member of this name", "an array of 1");
    cr_assert_eq(check(p, "{\"id\":1,\"at\":\"yesterday\"}"), ERR_SCHEMA_MISMATCH);
    cr_assert_eq(result.count, 3);
    fault_is(0, "$.id", "type", "string", "1");
    fault_is(1, "$.at", "format", "date-time", "\"yesterday\"");
    fault_is(2, "$", "required", "a member \"n\"", "an object of 2 members");
    cr_assert_str_eq(result.why, "$.id: type: expected string, found 1");
    result.room = 1;
    cr_assert_eq(check(p, "{\"id\":1,\"at\":\"yesterday\"}"), ERR_SCHEMA_MISMATCH);
    cr_assert_eq(result.count, 1);
    result.room = 4;
    cr_assert_eq(check(p, "{\"id\":"), ERR_JSON_INVALID);
}

Test(schema, what_is_no_schema_is_refused_by_place)
{
    static const struct {
        const char *schema;
        enum error error;
        const char *says;
    } rows[] = {
        { "{\"type\":\"strnig\"}", ERR_SCHEMA_INVALID, "$.type" },
        { "{\"properties\":{\"a\":{\"minLength\":-1}}}", ERR_SCHEMA_INVALID, "$.properties.a.minLength" },
        { "{\"properties\":{\"a\":1}}", ERR_SCHEMA_INVALID, "$.properties.a" },
        { "{\"required\":[\"a\",\"a\"]}", ERR_SCHEMA_INVALID, "twice" },
        { "{\"allOf\":[]}", ERR_SCHEMA_INVALID, "$.allOf" },
        { "{\"multipleOf\":0}", ERR_SCHEMA_INVALID, "$.multipleOf" },
        { "[]", ERR_SCHEMA_INVALID, "object" },
        { "{\"a\":1,\"a\":2}", ERR_SCHEMA_INVALID, "twice" },
        { "{\"type\":", ERR_SCHEMA_INVALID, "JSON" },
        { "{\"pattern\":\"(\"}", ERR_SCHEMA_INVALID, "$.pattern" },
        { "{\"pattern\":\"(?R)\"}", ERR_SCHEMA_INVALID, "$.pattern" },
        { "{\"pattern\":\"(*UTF8)\"}", ERR_SCHEMA_INVALID, "repeat" },
        { "{\"patternProperties\":{\"[\":{}}}", ERR_SCHEMA_INVALID, "patternProperties" },
        { "{\"$ref\":\"#/nowhere\"}", ERR_SCHEMA_REFERENCE, "#/nowhere" },
        { "{\"$ref\":\"http://example.com/other\"}", ERR_SCHEMA_REFERENCE, "http://example.com/other" },
        { "{\"$schema\":\"http://json-schema.org/draft-04/schema#\"}", ERR_SCHEMA_REFERENCE, "draft-04" },
        { "{\"$ref\":\"#/a\",\"a\":3}", ERR_SCHEMA_INVALID, "not a schema" },
        { "{\"$ref\":\"#\"}", ERR_SCHEMA_INVALID, "never end" },
        { "{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#\"}}}}",
          ERR_SCHEMA_INVALID, "never end" },
        { "{\"$defs\":{\"a\":{\"$id\":\"x\"},\"b\":{\"$id\":\"x\"}}}", ERR_SCHEMA_INVALID, "$id" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(compile_error(rows[i].schema), rows[i].error, "%s: %s", rows[i].schema, why);
        cr_assert(strstr(why, rows[i].says) != NULL, "%s: %s", rows[i].schema, why);
    }
}

Test(schema, a_schema_that_refers_to_itself_through_values_is_fine)
{
    const struct schema_program *p = compile(
        "{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}},\"additionalProperties\":false}");
    cr_assert_eq(check(p, "{\"next\":{\"next\":{\"next\":{}}}}"), ERR_OK);
    cr_assert_eq(check(p, "{\"next\":{\"next\":{\"nxt\":{}}}}"), ERR_SCHEMA_MISMATCH);
    cr_assert_str_eq(faults[0].path, "$.next.next.nxt");
}

Test(schema, patterns_made_to_explode_end)
{
    char event[4200];
    int limited = 0;
    static const char *const patterns[] = { "^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){20}$", "(x+x+)+y" };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        char schema[256];
        snprintf(schema, sizeof(schema), "{\"pattern\":\"%s\"}", patterns[i]);
        const struct schema_program *p = compile(schema);
        memset(event, i == 4 ? 'x' : 'a', 4000);
        event[0] = '"';
        memcpy(event + 4000, "!\"", 3);
        const enum error error = check(p, event);
        cr_assert(error == ERR_SCHEMA_CHECK_LIMIT || error == ERR_SCHEMA_MISMATCH, "%s: %s", patterns[i],
                  error_name(error));
        /* and never becomes an acceptance by being turned round */
        snprintf(schema, sizeof(schema), "{\"not\":{\"pattern\":\"%s\"}}", patterns[i]);
        limited += error == ERR_SCHEMA_CHECK_LIMIT;
        if (error == ERR_SCHEMA_CHECK_LIMIT)
            cr_assert_eq(check(compile(schema), event), ERR_SCHEMA_CHECK_LIMIT);
    }
    cr_assert(limited >= 2);
}

Test(schema, rules_that_multiply_end)
{
    /* each level asks the next one four times: 4^24 without a budget */
    char schema[8192];
    int n = snprintf(schema, sizeof(schema), "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 24; i++)
        n += snprintf(schema + n, sizeof(schema) - (size_t)n,
                      "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"},"
                      "{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},",
                      i, i + 1, i + 1, i + 1, i + 1);
    snprintf(schema + n, sizeof(schema) - (size_t)n, "\"d24\":{\"type\":\"integer\"}}}");
    cr_assert_eq(check(compile(schema), "1"), ERR_SCHEMA_CHECK_LIMIT);
}

Test(schema, a_circle_through_dynamic_scope_ends)
{
    const struct schema_program *p =
        compile("{\"$dynamicAnchor\":\"a\",\"anyOf\":[{\"$dynamicRef\":\"#a\"}]}");
    cr_assert_eq(check(p, "1"), ERR_SCHEMA_CHECK_LIMIT);
}

Test(schema, a_large_schema_is_refused_by_name)
{
    struct arena small;
    enum error error;
    arena_init(&small, &rig_memory, 8192);
    char text[8000];
    int n = snprintf(text, sizeof(text), "{\"properties\":{\"a0\":{}");
    for (int i = 1; i < 300; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"a%d\":{\"minLength\":%d}", i, i);
    snprintf(text + n, sizeof(text) - (size_t)n, "}}");
    cr_assert(schema_compile(&small, bytes_of(text), NULL, &error, why) == NULL);
    cr_assert_eq(error, ERR_SCHEMA_LIMIT, "%s", why);
    arena_free(&small);
}

static bool resolve_self(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text)
{
    static char body[64][64];
    uint32_t *n = ctx;
    (void)uri;
    (void)reference;
    snprintf(body[*n % 64], sizeof(body[0]), "{\"properties\":{\"x\":{\"$ref\":\"s%u\"}}}", *n + 1);
    *text = bytes_of(body[*n % 64]);
    ++*n;
    return true;
}

Test(schema, references_without_end_are_refused)
{
    uint32_t n = 0;
    enum error error;
    const struct schema_options options = { .resolve = resolve_self, .ctx = &n };
    cr_assert(schema_compile(&arena, bytes_of("{\"$ref\":\"s0\"}"), &options, &error, why) == NULL);
    cr_assert_eq(error, ERR_SCHEMA_LIMIT, "%s", why);
    cr_assert(n <= SCHEMA_DOCUMENTS_MAX);
}

static uint32_t taken;

static void *counting_get(void *ctx, size_t bytes)
{
    (void)ctx;
    taken++;
    return malloc(bytes);
}

Test(schema, no_memory_is_asked_for_per_event)
{
    const struct schema_memory memory = { counting_get, rig_put, NULL };
    const struct json_limits limits = { .depth = 64 };
    struct schema_checker *own = schema_checker_new(&memory, 4096, 1024);
    const struct schema_program *p = compile(
        "{\"properties\":{\"a\":{\"pattern\":\"^([a-z]+-)*[a-z]+$\"},\"b\":{\"anyOf\":[{\"type\":\"null\"},"
        "{\"type\":\"array\",\"uniqueItems\":true}]}},\"unevaluatedProperties\":false}");
    const struct bytes event = bytes_of("{\"a\":\"abc-def-ghi\",\"b\":[1,2,3,4,5,6,7,8,9,10,11]}");
    cr_assert_eq(schema_check(own, p, event, &limits, &result), ERR_OK);
    taken = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(schema_check(own, p, event, &limits, &result), ERR_OK);
    cr_assert_eq(taken, 0);
    schema_checker_free(own);
}
