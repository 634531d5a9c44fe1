/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/keywords.c: one function per keyword (or kind of keyword) puts it into its rule. The table at
 * the end says which drafts know it; unknown keywords are annotations.
 */
#include <stdio.h>

#include "proto/schema/compile_own.h"

/* A rule in the making: what is NULL gets made when a keyword first needs it. */
struct making {
    struct compiler *c;
    struct document *d;
    const struct json_node *schema;
    struct rule *rule;
    struct rule_string *string;
    struct rule_number *number;
    struct rule_array *array;
    struct rule_object *object;
    struct rule_logic *logic;
};

static struct bytes text_of(const struct making *m, const struct json_node *node)
{
    return json_bytes(&m->d->json, node);
}

static const struct json_node *next_of(const struct making *m, const struct json_node *node)
{
    return &m->d->json.nodes[node->next];
}

/* A keyword beside the one at hand. */
static const struct json_node *beside(const struct making *m, const char *name)
{
    return keyword_of(m->d, m->schema, name);
}

#define LAZY(kind, ...)                                                                                      \
    static struct rule_##kind *kind##_of(struct making *m)                                                   \
    {                                                                                                        \
        if (!m->kind && (m->kind = compile_get(m->c, sizeof(*m->kind)))) {                                   \
            *m->kind = (struct rule_##kind){ __VA_ARGS__ };                                                  \
            m->rule->kind = m->kind;                                                                         \
        }                                                                                                    \
        return m->kind;                                                                                      \
    }
LAZY(string, .max = UINT32_MAX)
LAZY(number, .minimum = { 0 })
LAZY(array, .max = UINT32_MAX, .contains_min = 1, .contains_max = UINT32_MAX)
LAZY(object, .max = UINT32_MAX)
LAZY(logic, .constants = NULL)

static const struct rule *sub(struct making *m, const struct json_node *node)
{
    return compile_rule(m->c, m->d, (uint32_t)(node - m->d->json.nodes));
}

static bool sub_list(struct making *m, const struct json_node *value, struct rule_list *list)
{
    if (value->type != JSON_ARRAY || value->size == 0)
        return compile_fail_at(m->c, m->d, value, "a list of schemas, not empty, is expected");
    if (!(list->at = compile_get(m->c, value->size * sizeof(struct rule *))))
        return false;
    const struct json_node *child = value + 1;
    for (; list->count < value->size; list->count++, child = next_of(m, child))
        if (!(list->at[list->count] = sub(m, child)))
            return false;
    return true;
}

static bool count_of(struct making *m, const struct json_node *value, uint32_t *count)
{
    if (value->type == JSON_NUMBER && decimal_count(text_of(m, value), count))
        return true;
    return compile_fail_at(m->c, m->d, value, "a whole number from 0 on is expected");
}

static bool names_of(struct making *m, const struct json_node *value, const struct bytes **names,
                     uint32_t *count)
{
    struct bytes *list =
        value->type == JSON_ARRAY ? compile_get(m->c, (value->size + 1) * sizeof(*list)) : NULL;
    const struct json_node *child = value + 1;
    if (!list)
        return compile_fail_at(m->c, m->d, value, "a list of names is expected");
    for (uint32_t i = 0; i < value->size; i++, child = next_of(m, child)) {
        if (child->type != JSON_STRING)
            return compile_fail_at(m->c, m->d, child, "a name in quotes is expected");
        list[i] = text_of(m, child);
        for (uint32_t k = 0; k < i && value->size < 1000; k++) /* longer lists are not worth the time */
            if (bytes_same(list[k], list[i]))
                return compile_fail_at(m->c, m->d, child, "this name is in the list twice");
    }
    *names = list;
    *count = value->size;
    return true;
}

static const struct regex *regex_of(struct making *m, const struct json_node *node)
{
    char why[REGEX_WHY_BYTES];
    const struct regex *regex = regex_compile(m->c->arena, text_of(m, node), why);
    if (!regex && m->c->arena->full)
        compile_get(m->c, 1);
    else if (!regex)
        compile_fail_at(m->c, m->d, node, "%s", why);
    return regex;
}

/* ---- any value ---- */

static uint8_t type_bit(struct bytes name)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } rows[] = {
        { "null", TYPE_NULL },      { "boolean", TYPE_BOOLEAN }, { "number", TYPE_NUMBER | TYPE_INTEGER },
        { "string", TYPE_STRING },  { "array", TYPE_ARRAY },     { "object", TYPE_OBJECT },
        { "integer", TYPE_INTEGER }
    };
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (bytes_same(name, bytes_of(rows[i].name)))
            return rows[i].bit;
    return 0;
}

static bool make_type(struct making *m, const struct json_node *value)
{
    const bool list = value->type == JSON_ARRAY;
    const struct json_node *child = value + list;
    m->rule->types = 0;
    for (uint32_t i = 0; i < (list ? value->size : 1); i++, child = next_of(m, child)) {
        const uint8_t bit = child->type == JSON_STRING ? type_bit(text_of(m, child)) : 0;
        if (!bit)
            return compile_fail_at(m->c, m->d, child,
                                   "not a type: null, boolean, integer, number, string, array or object");
        m->rule->types |= bit;
    }
    return m->rule->types || compile_fail_at(m->c, m->d, value, "a list of types, not empty, is expected");
}

static struct constant constant_of(struct making *m, const struct json_node *node)
{
    return (struct constant){ node, json_value_hash(&m->d->json, node) };
}

static bool make_enum(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    if (value->type != JSON_ARRAY)
        return compile_fail_at(m->c, m->d, value, "a list of values is expected");
    if (!l || !(l->constants = compile_get(m->c, (value->size + 1) * sizeof(*l->constants))))
        return false;
    const struct json_node *child = value + 1;
    for (; l->constant_count < value->size; l->constant_count++, child = next_of(m, child))
        l->constants[l->constant_count] = constant_of(m, child);
    l->has_constants = true;
    return true;
}

static bool make_const(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    if (!l)
        return false;
    l->constant = constant_of(m, value);
    return true;
}

static bool make_logic_list(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    const struct bytes name = text_of(m, value - 1); /* the key is right before its value */
    return l && sub_list(m, value, name.at[0] == 'o' ? &l->one : name.at[1] == 'l' ? &l->all : &l->any);
}

static bool make_not(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    return l && (l->not = sub(m, value));
}

static bool make_if(struct making *m, const struct json_node *value)
{
    const struct json_node *yes = beside(m, "then"), *no = beside(m, "else");
    struct rule_logic *l = logic_of(m);
    return l && (l->condition = sub(m, value)) && (!yes || (l->then = sub(m, yes))) &&
           (!no || (l->otherwise = sub(m, no)));
}

static bool make_ref(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    struct target target;
    if (value->type != JSON_STRING)
        return compile_fail_at(m->c, m->d, value, "a reference is a URI in quotes");
    return l && reference_find(m->c, m->rule->resource, text_of(m, value), &target) &&
           (l->reference = compile_rule(m->c, target.document, target.node));
}

static bool make_dynamic_ref(struct making *m, const struct json_node *value)
{
    struct rule_logic *l = logic_of(m);
    struct target target;
    if (value->type != JSON_STRING)
        return compile_fail_at(m->c, m->d, value, "a reference is a URI in quotes");
    if (!l || !reference_find(m->c, m->rule->resource, text_of(m, value), &target) ||
        !(l->dynamic = compile_rule(m->c, target.document, target.node)))
        return false;
    if (target.anchor && target.anchor->dynamic) {
        l->dynamic_anchor = target.anchor->name;
        m->c->dynamic = true;
    }
    return true;
}

/* ---- strings and numbers ---- */

static bool make_length(struct making *m, const struct json_node *value)
{
    struct rule_string *s = string_of(m);
    return s && count_of(m, value, text_of(m, value - 1).at[1] == 'a' ? &s->max : &s->min);
}

static bool make_pattern(struct making *m, const struct json_node *value)
{
    struct rule_string *s = string_of(m);
    if (value->type != JSON_STRING)
        return compile_fail_at(m->c, m->d, value, "a pattern in quotes is expected");
    return s && (s->pattern = regex_of(m, value));
}

static bool make_format(struct making *m, const struct json_node *value)
{
    if (value->type != JSON_STRING)
        return compile_fail_at(m->c, m->d, value, "the name of a format in quotes is expected");
    const struct schema_format *format = format_find(text_of(m, value));
    if (!format || (m->c->options->formats_are_notes && !m->d->dialect.assert_format))
        return true;
    struct rule_string *s = string_of(m);
    if (s)
        s->format = format;
    return s != NULL;
}

static bool make_bound(struct making *m, const struct json_node *value)
{
    struct rule_number *n = number_of(m);
    const struct bytes name = text_of(m, value - 1);
    if (value->type != JSON_NUMBER)
        return compile_fail_at(m->c, m->d, value, "a number is expected");
    if (!n)
        return false;
    struct bytes *bound = name.len == 16      ? (name.at[10] == 'a' ? &n->below : &n->above)
                          : name.at[1] == 'a' ? &n->maximum
                                              : &n->minimum;
    *bound = text_of(m, value);
    return true;
}

static bool make_multiple(struct making *m, const struct json_node *value)
{
    struct rule_number *n = number_of(m);
    if (value->type != JSON_NUMBER)
        return compile_fail_at(m->c, m->d, value, "a number is expected");
    if (!n)
        return false;
    if (!decimal_divisor(&n->divisor, text_of(m, value)))
        return compile_fail_at(m->c, m->d, value, "a number above 0 of at most %d digits is expected",
                               DECIMAL_DIVISOR_DIGITS);
    n->multiple = text_of(m, value);
    return true;
}

/* ---- arrays ---- */

static bool make_item_count(struct making *m, const struct json_node *value)
{
    struct rule_array *a = array_of(m);
    return a && count_of(m, value, text_of(m, value - 1).at[1] == 'a' ? &a->max : &a->min);
}

static bool make_unique(struct making *m, const struct json_node *value)
{
    struct rule_array *a = array_of(m);
    if (value->type != JSON_TRUE && value->type != JSON_FALSE)
        return compile_fail_at(m->c, m->d, value, "true or false is expected");
    if (a)
        a->unique = value->type == JSON_TRUE;
    return a != NULL;
}

static bool make_items(struct making *m, const struct json_node *value)
{
    struct rule_array *a = array_of(m);
    if (a && value->type == JSON_ARRAY && m->d->dialect.draft == 7)
        return value->size == 0 || sub_list(m, value, &a->prefix);
    if (a)
        a->items_keyword = "items";
    return a && (a->items = sub(m, value));
}

static bool make_prefix_items(struct making *m, const struct json_node *value)
{
    struct rule_array *a = array_of(m);
    return a && sub_list(m, value, &a->prefix);
}

static bool make_additional_items(struct making *m, const struct json_node *value)
{
    const struct json_node *items = beside(m, "items");
    struct rule_array *a = array_of(m);
    if (!items || items->type != JSON_ARRAY)
        return a && sub(m, value) != NULL;
    if (a)
        a->items_keyword = "additionalItems";
    return a && (a->items = sub(m, value));
}

static bool make_contains(struct making *m, const struct json_node *value)
{
    const struct json_node *least = beside(m, "minContains"), *most = beside(m, "maxContains");
    struct rule_array *a = array_of(m);
    if (!a || !(a->contains = sub(m, value)))
        return false;
    if (m->d->dialect.draft == 7)
        return true;
    a->contains_marks = true;
    if (!m->d->dialect.validation)
        return true;
    return (!least || count_of(m, least, &a->contains_min)) && (!most || count_of(m, most, &a->contains_max));
}

static bool make_unevaluated_items(struct making *m, const struct json_node *value)
{
    return (m->rule->unevaluated_items = sub(m, value));
}

/* ---- objects ---- */

static bool make_member_count(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    return o && count_of(m, value, text_of(m, value - 1).at[1] == 'a' ? &o->max : &o->min);
}

/* The slot of a name, taken when it is new. The table has twice as many slots as names. */
static struct property *property_slot(struct rule_object *o, struct bytes name)
{
    const uint32_t hash = json_hash(name);
    uint32_t slot = hash & o->mask;
    while (o->table[slot].used && !bytes_same(o->table[slot].name, name))
        slot = (slot + 1) & o->mask;
    struct property *p = &o->table[slot];
    p->name = name;
    p->hash = hash;
    p->used = true;
    return p;
}

/* `properties` and `required` share one table, made by whichever comes first. */
static bool make_properties(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    const struct json_node *named = beside(m, "properties");
    const struct json_node *required = m->d->dialect.validation ? beside(m, "required") : NULL;
    uint32_t room = 4;
    (void)value;
    if (!o || o->table)
        return o != NULL;
    if (named && named->type != JSON_OBJECT)
        return compile_fail_at(m->c, m->d, named, "an object of schemas is expected");
    if (required && !names_of(m, required, &o->required, &o->required_listed))
        return false;
    while (room < 2 * ((named ? named->size : 0) + o->required_listed))
        room *= 2;
    o->mask = room - 1;
    if (!(o->table = compile_get(m->c, room * sizeof(*o->table))))
        return false;
    const struct json_node *key = named ? named + 1 : NULL;
    for (uint32_t i = 0; named && i < named->size; i++, key = next_of(m, key + 1))
        if (!(property_slot(o, text_of(m, key))->rule = sub(m, key + 1)))
            return false;
    for (uint32_t i = 0; i < o->required_listed; i++) {
        struct property *p = property_slot(o, o->required[i]);
        o->required_count += !p->required;
        p->required = true;
    }
    return true;
}

static bool make_patterns(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    if (value->type != JSON_OBJECT)
        return compile_fail_at(m->c, m->d, value, "an object of schemas is expected");
    if (!o || !(o->patterns = compile_get(m->c, (value->size + 1) * sizeof(*o->patterns))))
        return false;
    const struct json_node *key = value + 1;
    for (; o->pattern_count < value->size; o->pattern_count++, key = next_of(m, key + 1)) {
        struct property_pattern *p = &o->patterns[o->pattern_count];
        if (!(p->regex = regex_of(m, key)) || !(p->rule = sub(m, key + 1)))
            return false;
    }
    return true;
}

static bool make_additional(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    return o && (o->additional = sub(m, value));
}

static bool make_names(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    return o && (o->names = sub(m, value));
}

/* dependencies, dependentRequired, dependentSchemas: each member adds one. */
static bool make_dependencies(struct making *m, const struct json_node *value)
{
    struct rule_object *o = object_of(m);
    const struct json_node *schemas = beside(m, "dependentSchemas"), *names = beside(m, "dependentRequired");
    const bool old = m->d->dialect.draft == 7;
    if (value->type != JSON_OBJECT)
        return compile_fail_at(m->c, m->d, value, "an object is expected");
    const uint32_t room = old ? value->size : (schemas ? schemas->size : 0) + (names ? names->size : 0);
    if (!o ||
        (!o->dependencies && !(o->dependencies = compile_get(m->c, (room + 1) * sizeof(*o->dependencies)))))
        return false;
    const struct json_node *key = value + 1;
    for (uint32_t i = 0; i < value->size; i++, key = next_of(m, key + 1)) {
        struct dependency *d = &o->dependencies[o->dependency_count];
        d->name = text_of(m, key);
        if (value == names || (old && key[1].type == JSON_ARRAY)) {
            if (!names_of(m, key + 1, &d->required, &d->required_count))
                return false;
        } else if (!(d->rule = sub(m, key + 1))) {
            return false;
        }
        o->dependency_count++;
    }
    return true;
}

static bool make_unevaluated_properties(struct making *m, const struct json_node *value)
{
    return (m->rule->unevaluated_properties = sub(m, value));
}

/* ---- the table ---- */

enum {
    D7 = 1,
    D20 = 2,
    BOTH = 3,
    VALIDATION = 4
}; /* VALIDATION: of that vocabulary, which can be left out */

static const struct keyword {
    const char *name;
    uint8_t where;
    bool (*make)(struct making *m, const struct json_node *value);
} keywords[] = {
    { "type", BOTH | VALIDATION, make_type },
    { "enum", BOTH | VALIDATION, make_enum },
    { "const", BOTH | VALIDATION, make_const },
    { "properties", BOTH, make_properties },
    { "required", BOTH | VALIDATION, make_properties },
    { "$ref", BOTH, make_ref },
    { "$dynamicRef", D20, make_dynamic_ref },
    { "allOf", BOTH, make_logic_list },
    { "anyOf", BOTH, make_logic_list },
    { "oneOf", BOTH, make_logic_list },
    { "not", BOTH, make_not },
    { "if", BOTH, make_if },
    { "minLength", BOTH | VALIDATION, make_length },
    { "maxLength", BOTH | VALIDATION, make_length },
    { "pattern", BOTH | VALIDATION, make_pattern },
    { "format", BOTH, make_format },
    { "minimum", BOTH | VALIDATION, make_bound },
    { "maximum", BOTH | VALIDATION, make_bound },
    { "exclusiveMinimum", BOTH | VALIDATION, make_bound },
    { "exclusiveMaximum", BOTH | VALIDATION, make_bound },
    { "multipleOf", BOTH | VALIDATION, make_multiple },
    { "minItems", BOTH | VALIDATION, make_item_count },
    { "maxItems", BOTH | VALIDATION, make_item_count },
    { "uniqueItems", BOTH | VALIDATION, make_unique },
    { "items", BOTH, make_items },
    { "prefixItems", D20, make_prefix_items },
    { "additionalItems", D7, make_additional_items },
    { "contains", BOTH, make_contains },
    { "unevaluatedItems", D20, make_unevaluated_items },
    { "minProperties", BOTH | VALIDATION, make_member_count },
    { "maxProperties", BOTH | VALIDATION, make_member_count },
    { "patternProperties", BOTH, make_patterns },
    { "additionalProperties", BOTH, make_additional },
    { "propertyNames", BOTH, make_names },
    { "dependencies", D7, make_dependencies },
    { "dependentRequired", D20 | VALIDATION, make_dependencies },
    { "dependentSchemas", D20, make_dependencies },
    { "unevaluatedProperties", D20, make_unevaluated_properties },
};

static const struct keyword *keyword_find(struct bytes name, const struct dialect *dialect)
{
    for (uint32_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        const struct keyword *k = &keywords[i];
        if (strlen(k->name) == name.len && memcmp(k->name, name.at, name.len) == 0)
            return (k->where & (dialect->draft == 7 ? D7 : D20)) &&
                           (dialect->validation || !(k->where & VALIDATION))
                       ? k
                       : NULL;
    }
    return NULL;
}

bool compile_keywords(struct compiler *c, struct document *d, struct rule *rule)
{
    struct making m = { .c = c, .d = d, .schema = &d->json.nodes[rule->node], .rule = rule };
    if (m.schema->type != JSON_OBJECT)
        return true;
    const struct json_node *reference = d->dialect.draft == 7 ? keyword_of(d, m.schema, "$ref") : NULL;
    if (reference)
        return make_ref(&m, reference); /* draft 7: what stands beside it does not count */
    const struct json_node *key = m.schema + 1;
    for (uint32_t i = 0; i < m.schema->size; i++, key = next_of(&m, key + 1)) {
        const struct keyword *k = keyword_find(json_bytes(&d->json, key), &d->dialect);
        if (k && !k->make(&m, key + 1))
            return c->error ? false : compile_fail(c, ERR_SCHEMA_LIMIT, "no memory for the schema");
    }
    return true;
}
