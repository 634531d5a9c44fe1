/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/program_own.h: what a schema is compiled to.
 *
 * One rule per subschema, with its keywords sorted by the kind of value that they speak of: a rule without
 * any for strings costs a string nothing. Everything lies in the program's arena and is immutable.
 */
#ifndef RUNNEL_PROTO_SCHEMA_PROGRAM_OWN_H
#define RUNNEL_PROTO_SCHEMA_PROGRAM_OWN_H

#include "proto/schema/decimal.h"
#include "proto/schema/format.h"
#include "proto/schema/json.h"
#include "proto/schema/regex.h"

/* Bits of rule.types; an integer is a number, too. */
enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_NUMBER = 4,
    TYPE_STRING = 8,
    TYPE_ARRAY = 16,
    TYPE_OBJECT = 32,
    TYPE_INTEGER = 64,
    TYPE_ANY = 63,
};

struct rule;

struct rule_list {
    const struct rule **at;
    uint32_t count;
};

struct rule_string {
    uint32_t min, max; /* characters */
    const struct regex *pattern;
    const struct schema_format *format;
};

struct rule_number {
    struct bytes minimum, maximum, above, below, multiple; /* at == NULL: no such bound */
    struct decimal_divisor divisor;
};

struct rule_array {
    uint32_t min, max;
    uint32_t contains_min, contains_max;
    struct rule_list prefix;
    const struct rule *items, *contains; /* items: those behind the prefix */
    bool unique, contains_marks;         /* contains_marks: what it finds counts as evaluated */
    const char *items_keyword;
};

/* A name that the rule speaks of. */
struct property {
    struct bytes name;
    uint32_t hash;
    bool used, required;
    const struct rule *rule; /* NULL: only required */
};

struct property_pattern {
    const struct regex *regex;
    const struct rule *rule;
};

/* If `name` is there: all of `required` are, and the object meets `rule`. */
struct dependency {
    struct bytes name;
    const struct bytes *required;
    uint32_t required_count;
    const struct rule *rule;
};

struct rule_object {
    uint32_t min, max;
    struct property *table;                         /* a hash table of mask + 1 slots; NULL: no names */
    uint32_t mask, required_count, required_listed; /* listed: with names that are in the list twice */
    const struct bytes *required;                   /* in the order written, for the message */
    struct property_pattern *patterns;
    struct dependency *dependencies;
    uint32_t pattern_count, dependency_count;
    const struct rule *additional, *names;
};

struct constant {
    const struct json_node *node;
    uint32_t hash;
};

struct rule_logic {
    struct constant *constants; /* of enum, if has_constants */
    uint32_t constant_count;
    bool has_constants;
    struct constant constant; /* of const; node == NULL: none */
    struct rule_list all, any, one;
    const struct rule * not, *condition, *then, *otherwise, *reference, *dynamic;
    struct bytes dynamic_anchor; /* len 0: `dynamic` is what is meant whatever the scope */
};

struct dynamic_anchor {
    struct bytes name;
    const struct rule *rule;
};

/* A schema with a URI of its own. */
struct resource {
    struct resource *next;
    struct bytes uri;
    struct document *document;
    uint32_t node;
    struct dynamic_anchor *dynamic; /* filled when the program has $dynamicRef */
    uint32_t dynamic_count;
};

struct rule {
    const struct json *json; /* the document, for constants and messages */
    const struct resource *resource;
    const struct rule_string *string;
    const struct rule_number *number;
    const struct rule_array *array;
    const struct rule_object *object;
    const struct rule_logic *logic;
    const struct rule *unevaluated_items, *unevaluated_properties;
    uint32_t node; /* in json */
    uint8_t types;
    bool never;   /* the schema `false` */
    uint8_t mark; /* while compiling: looking for circles */
};

struct schema_program {
    const struct rule *root;
    bool dynamic; /* some rule asks for the scope that it was reached through */
};

#endif
