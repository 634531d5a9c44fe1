/* SPDX-License-Identifier: Apache-2.0
 *
 * What a change of a schema means: a table of cases, each with where its verdict is published.
 *
 *   [J] docs.confluent.io, "JSON Schema Serializer and Deserializer", section "JSON Schema compatibility
 * rules" [Y] yokota.blog/2021/03/29/understanding-json-schema-compatibility: content models, by the rules'
 * author [D] github.com/confluentinc/schema-registry, json-schema-provider: SchemaDiff and the diffs per
 * kind: which differences there are, and which of them COMPATIBLE_CHANGES has
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proto/schema/diff.h"
#include "schema_rig.h"

#define OPEN(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"
#define CLOSED(properties)                                                                                   \
    "{\"type\":\"object\",\"properties\":{" properties "},\"additionalProperties\":false}"
#define STRINGS(properties)                                                                                  \
    "{\"type\":\"object\",\"properties\":{" properties "},\"additionalProperties\":{\"type\":\"string\"}}"
#define A "\"a\":{\"type\":\"string\"}"
#define B "\"b\":{\"type\":\"string\"}"

static const struct {
    const char *source, *old, *new;
    bool backward, forward;
    const char *change; /* one of those found from old to new; NULL: none at all */
    const char *bump;
} rows[] = {
    { "J", OPEN(A), OPEN(A), true, true, NULL, "none" },
    /* content models */
    { "J,Y open: a property added breaks old data", OPEN(A), OPEN(A "," B), false, true,
      "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", "major" },
    { "J,Y open: a property removed is fine", OPEN(A "," B), OPEN(A), true, false,
      "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL", "minor" },
    { "D open: anything is allowed there anyway", OPEN(A), OPEN(A ",\"b\":{}"), true, true,
      "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", "minor" },
    { "J,Y closed: an optional property added is fine", CLOSED(A), CLOSED(A "," B), true, false,
      "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", "minor" },
    { "J,Y closed: a property removed breaks", CLOSED(A "," B), CLOSED(A), false, true,
      "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", "major" },
    { "D closed: false was never there", CLOSED(A ",\"b\":false"), CLOSED(A), true, true,
      "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL", "minor" },
    { "D closed: a required property breaks", CLOSED(A),
      "{\"type\":\"object\",\"properties\":{" A "," B
      "},\"required\":[\"b\"],\"additionalProperties\":false}",
      false, false, "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", "major" },
    { "D closed: with a default it is fine", CLOSED(A),
      "{\"type\":\"object\",\"properties\":{" A
      ",\"b\":{\"type\":\"string\",\"default\":\"\"}},\"required\":[\"b\"],"
      "\"additionalProperties\":false}",
      true, false, "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL", "minor" },
    { "J,Y partly open: covered", STRINGS(A), STRINGS(A "," B), true, true,
      "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", "minor" },
    { "J,Y partly open: not covered", STRINGS(A), STRINGS(A ",\"b\":{\"type\":\"integer\"}"), false, false,
      "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", "major" },
    { "D partly open: removed and covered", STRINGS(A "," B), STRINGS(A), true, true,
      "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", "minor" },
    { "D partly open by patterns",
      "{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"type\":\"string\"}},"
      "\"additionalProperties\":false}",
      "{\"type\":\"object\",\"properties\":{\"xa\":{\"type\":\"string\"}},\"patternProperties\":{\"^x\":{"
      "\"type\":"
      "\"string\"}},\"additionalProperties\":false}",
      true, true, "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", "minor" },
    { "D opened", CLOSED(A), OPEN(A), true, false, "ADDITIONAL_PROPERTIES_ADDED", "minor" },
    { "D narrowed", OPEN(A), STRINGS(A), false, true, "ADDITIONAL_PROPERTIES_NARROWED", "major" },
    /* required */
    { "D", OPEN(A), "{\"type\":\"object\",\"properties\":{" A "},\"required\":[\"a\"]}", false, true,
      "REQUIRED_ATTRIBUTE_ADDED", "major" },
    { "D", OPEN("\"a\":{\"type\":\"string\",\"default\":\"x\"}"),
      "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"default\":\"x\"}},\"required\":["
      "\"a\"]}",
      true, true, "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED", "minor" },
    { "D a renamed property", CLOSED(A), CLOSED(B), false, false,
      "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", "major" },
    /* types and bounds */
    { "J a type changed", OPEN(A), OPEN("\"a\":{\"type\":\"integer\"}"), false, false, "TYPE_CHANGED",
      "major" },
    { "D", "{\"type\":\"integer\"}", "{\"type\":\"number\"}", true, false, "TYPE_EXTENDED", "minor" },
    { "D", "{\"type\":\"number\"}", "{\"type\":\"integer\"}", false, true, "TYPE_NARROWED", "major" },
    { "D", "{\"type\":\"string\"}", "{\"type\":[\"string\",\"null\"]}", true, false, "SUM_TYPE_EXTENDED",
      "minor" },
    { "D", "{\"type\":[\"string\",\"null\"]}", "{\"type\":\"string\"}", false, true, "TYPE_CHANGED",
      "major" },
    { "D", "{\"type\":[\"string\",\"null\"]}", "{\"type\":[\"null\",\"string\",\"integer\"]}", true, false,
      "SUM_TYPE_EXTENDED", "minor" },
    { "D", "{\"type\":\"string\"}", "{}", true, false, NULL, "none" },
    { "D", "false", "{\"type\":\"string\"}", true, false, NULL, "none" },
    { "D", "{\"type\":\"string\",\"maxLength\":10}", "{\"type\":\"string\",\"maxLength\":20}", true, false,
      "MAX_LENGTH_INCREASED", "minor" },
    { "D", "{\"type\":\"string\"}", "{\"type\":\"string\",\"minLength\":1}", false, true, "MIN_LENGTH_ADDED",
      "major" },
    { "D", "{\"type\":\"string\",\"pattern\":\"a\"}", "{\"type\":\"string\",\"pattern\":\"b\"}", false, false,
      "PATTERN_CHANGED", "major" },
    { "D", "{\"type\":\"number\",\"maximum\":10}", "{\"type\":\"number\",\"maximum\":10.0}", true, true, NULL,
      "none" },
    { "D", "{\"type\":\"number\",\"minimum\":10}", "{\"type\":\"number\",\"minimum\":20}", false, true,
      "MINIMUM_INCREASED", "major" },
    { "D", "{\"type\":\"number\",\"exclusiveMaximum\":1e2}", "{\"type\":\"number\"}", true, false,
      "EXCLUSIVE_MAXIMUM_REMOVED", "minor" },
    { "D", "{\"type\":\"number\",\"multipleOf\":10}", "{\"type\":\"number\",\"multipleOf\":5}", true, false,
      "MULTIPLE_OF_REDUCED", "minor" },
    { "D", "{\"type\":\"number\",\"multipleOf\":10}", "{\"type\":\"number\",\"multipleOf\":3}", false, false,
      "MULTIPLE_OF_CHANGED", "major" },
    { "D", "{\"enum\":[\"a\",\"b\"]}", "{\"enum\":[\"c\",\"a\",\"b\"]}", true, false, "ENUM_ARRAY_EXTENDED",
      "minor" },
    { "D", "{\"enum\":[\"a\",\"b\"]}", "{\"enum\":[\"a\",\"c\"]}", false, false, "ENUM_ARRAY_CHANGED",
      "major" },
    /* arrays */
    { "D", "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
      "{\"type\":\"array\",\"items\":{\"type\":\"number\"}}", true, false, "TYPE_EXTENDED", "minor" },
    { "D", "{\"type\":\"array\"}", "{\"type\":\"array\",\"items\":{\"type\":\"number\"}}", false, true,
      "SCHEMA_ADDED", "major" },
    { "D", "{\"type\":\"array\",\"maxItems\":3}", "{\"type\":\"array\",\"maxItems\":2,\"uniqueItems\":true}",
      false, true, "MAX_ITEMS_DECREASED", "major" },
    { "Y a tuple, open", "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"}]}",
      "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"string\"}]}", false, true,
      "ITEM_ADDED_TO_OPEN_CONTENT_MODEL", "major" },
    { "Y a tuple, closed", "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}",
      "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"string\"}],\"items\":false}",
      true, false, "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL", "minor" },
    /* combinations */
    { "D", "{\"oneOf\":[{\"type\":\"string\"}]}",
      "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", true, false, "SUM_TYPE_EXTENDED",
      "minor" },
    { "D", "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}",
      "{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", true, true, NULL, "none" },
    { "D", "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}",
      "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", true, false, "COMBINED_TYPE_EXTENDED",
      "minor" },
    { "D", "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}",
      "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"boolean\"}]}", false, false,
      "COMBINED_TYPE_SUBSCHEMAS_CHANGED", "major" },
    { "D", "{\"allOf\":[{\"type\":\"string\"},{\"minLength\":1}]}", "{\"allOf\":[{\"type\":\"string\"}]}",
      true, false, "PRODUCT_TYPE_NARROWED", "minor" },
    { "D", "{\"not\":{\"type\":\"number\"}}", "{\"not\":{\"type\":\"integer\"}}", true, false,
      "NOT_TYPE_NARROWED", "minor" },
    /* dependencies, notes, references */
    { "D", "{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\",\"c\"]}}",
      "{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\"]}}", true, false, "DEPENDENCY_ARRAY_NARROWED",
      "minor" },
    { "D", OPEN(A), "{\"title\":\"t\",\"type\":\"object\",\"properties\":{" A "}}", true, true,
      "TITLE_CHANGED", "patch" },
    { "D by reference", "{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"type\":\"integer\"}}}",
      "{\"type\":\"number\"}", true, false, "TYPE_EXTENDED", "minor" },
    { "D in a circle", "{\"type\":\"object\",\"properties\":{\"n\":{\"$ref\":\"#\"}," A "}}",
      "{\"type\":\"object\",\"properties\":{\"n\":{\"$ref\":\"#\"},\"a\":{\"type\":\"null\"}}}", false, false,
      "TYPE_CHANGED", "major" },
};

static bool compare(const char *from, const char *to, const char *change, bool *found, char *bump)
{
    struct schema_version old = { .text = bytes_of(from) }, new = { .text = bytes_of(to) };
    char why[SCHEMA_WHY_BYTES];
    struct schema_diff diff;
    struct arena arena;
    arena_init(&arena, &rig_memory, 8 << 20);
    cr_assert_eq(schema_diff(&arena, &old, &new, &diff, why), ERR_OK, "%s", why);
    *found = change ? false : diff.count == 0;
    for (uint32_t i = 0; change && i < diff.count; i++)
        *found |= strcmp(schema_change_name(diff.rows[i].change), change) == 0;
    snprintf(bump, 8, "%s", schema_bump(&diff));
    arena_free(&arena);
    return diff.compatible;
}

Test(schema_diff, verdicts_are_the_published_ones)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool found, ignored;
        char bump[8], other[8];
        const bool backward = compare(rows[i].old, rows[i].new, rows[i].change, &found, bump);
        const bool forward = compare(rows[i].new, rows[i].old, NULL, &ignored, other);
        cr_expect_eq(backward, rows[i].backward, "%zu %s: %s -> %s: backward", i, rows[i].source, rows[i].old,
                     rows[i].new);
        cr_expect_eq(forward, rows[i].forward, "%zu %s: %s -> %s: forward", i, rows[i].source, rows[i].old,
                     rows[i].new);
        cr_expect(found, "%zu %s: %s -> %s: %s", i, rows[i].source, rows[i].old, rows[i].new,
                  rows[i].change ? rows[i].change : "no change");
        cr_expect_str_eq(bump, rows[i].bump, "%zu %s", i, rows[i].source);
    }
}

Test(schema_diff, a_difference_says_where)
{
    struct schema_version old = { .text =
                                      bytes_of(OPEN("\"p\":{\"type\":\"object\",\"properties\":{" A "}}")) };
    struct schema_version new = {
        .text = bytes_of(OPEN(
            "\"p\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3}}}"))
    };
    char why[SCHEMA_WHY_BYTES];
    struct schema_diff diff;
    struct arena arena;
    arena_init(&arena, &rig_memory, 8 << 20);
    cr_assert_eq(schema_diff(&arena, &old, &new, &diff, why), ERR_OK);
    cr_assert_eq(diff.count, 1);
    cr_assert_str_eq(diff.rows[0].path, "#/properties/p/properties/a/maxLength");
    cr_assert_eq(schema_change_effect(diff.rows[0].change), CHANGE_BREAKS);
    arena_free(&arena);
}

Test(schema_diff, comparing_ends)
{
    /* 40 x 40 branches, each of 40 x 40, and so on: refused by name, not by patience */
    char text[16384];
    int n = snprintf(text, sizeof(text), "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int d = 0; d < 5; d++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\"d%d\":{\"anyOf\":[", d);
        for (int i = 0; i < 40; i++)
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s{\"$ref\":\"#/$defs/d%d\"}", i ? "," : "",
                          d + 1);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "]},");
    }
    snprintf(text + n, sizeof(text) - (size_t)n, "\"d5\":{\"type\":\"string\"}}}");
    struct schema_version both = { .text = bytes_of(text) };
    char why[SCHEMA_WHY_BYTES];
    struct schema_diff diff;
    struct arena arena;
    arena_init(&arena, &rig_memory, 8 << 20);
    cr_assert_eq(schema_diff(&arena, &both, &both, &diff, why), ERR_SCHEMA_LIMIT);
    cr_assert(why[0] != 0);
    arena_free(&arena);
}
