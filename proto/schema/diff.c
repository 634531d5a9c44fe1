/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/diff.c: two schemas side by side; see diff.h. This file: what a schema is about, combinations,
 * strings, numbers, enums.
 */
#include <stdio.h>

#include "proto/schema/diff_own.h"

enum { DEPTH_MAX = 128, STEPS_MAX = 1 << 20 };

static const struct {
    const char *name;
    int effect;
} changes[] = {
#define X(name, effect) { #name, CHANGE_##effect },
    SCHEMA_CHANGES(X)
#undef X
};

const char *schema_change_name(enum schema_change change)
{
    return changes[change].name;
}

int schema_change_effect(enum schema_change change)
{
    return changes[change].effect;
}

const char *schema_bump(const struct schema_diff *diff)
{
    static const char *const words[] = { "none", "patch", "minor", "major" };
    int most = -1;
    for (uint32_t i = 0; i < diff->count; i++)
        if (changes[diff->rows[i].change].effect > most)
            most = changes[diff->rows[i].change].effect;
    return words[most + 1];
}

/* ---- what is written down ---- */

uint32_t path_enter(struct comparing *c, const char *word, struct bytes name)
{
    const uint32_t mark = c->path_len, room = (uint32_t)sizeof(c->path) - mark;
    const int n = snprintf(c->path + mark, room, name.at ? "/%s/%.*s" : "/%s", word, (int)name.len,
                           (const char *)name.at);
    c->path_len = n < (int)room ? mark + (uint32_t)n : (uint32_t)sizeof(c->path) - 1;
    return mark;
}

void path_leave(struct comparing *c, uint32_t mark)
{
    c->path_len = mark;
    c->path[mark] = 0;
}

void difference(struct comparing *c, enum schema_change change)
{
    struct schema_diff *diff = c->diff;
    if (diff->count == DIFFERENCES_MAX) {
        c->error = ERR_SCHEMA_LIMIT;
        return;
    }
    struct schema_difference *row = &diff->rows[diff->count++];
    row->change = change;
    snprintf(row->path, sizeof(row->path), "#%s", c->path);
}

static bool fits_from(const struct comparing *c, uint32_t mark)
{
    for (uint32_t i = mark; i < c->diff->count; i++)
        if (changes[c->diff->rows[i].change].effect == CHANGE_BREAKS)
            return false;
    return !c->error;
}

bool shapes_fit(struct comparing *c, struct shape old, struct shape new, bool keep)
{
    const uint32_t mark = c->diff->count;
    shapes_compare(c, old, new);
    const bool fits = fits_from(c, mark);
    if (!keep)
        c->diff->count = mark;
    return fits;
}

/* ---- what a schema is about ---- */

const struct json_node *shape_keyword(const struct shape *shape, const char *name)
{
    return shape->schema ? keyword_of(shape->document, shape->schema, name) : NULL;
}

static bool has_any(const struct document *d, const struct json_node *schema, const char *const *names)
{
    for (; *names; names++)
        if (keyword_of(d, schema, *names))
            return true;
    return false;
}

static enum shape_kind kind_of_type(struct bytes name)
{
    static const struct {
        const char *name;
        enum shape_kind kind;
    } rows[] = { { "string", KIND_STRING },   { "number", KIND_NUMBER }, { "integer", KIND_NUMBER },
                 { "boolean", KIND_BOOLEAN }, { "null", KIND_NULL },     { "object", KIND_OBJECT },
                 { "array", KIND_ARRAY } };
    for (uint32_t i = 0; i < 7; i++)
        if (bytes_same(name, bytes_of(rows[i].name)))
            return rows[i].kind;
    return KIND_EMPTY;
}

/* Without `type`, keywords say what it is about. */
static enum shape_kind kind_of_keywords(const struct document *d, const struct json_node *schema)
{
    static const char *const object[] = { "properties",
                                          "required",
                                          "additionalProperties",
                                          "minProperties",
                                          "maxProperties",
                                          "patternProperties",
                                          "propertyNames",
                                          "dependencies",
                                          "dependentRequired",
                                          "dependentSchemas",
                                          NULL };
    static const char *const array[] = { "items",    "prefixItems", "additionalItems", "minItems",
                                         "maxItems", "uniqueItems", "contains",        NULL };
    static const char *const string[] = { "minLength", "maxLength", "pattern", "format", NULL };
    static const char *const number[] = { "minimum",          "maximum",    "exclusiveMinimum",
                                          "exclusiveMaximum", "multipleOf", NULL };
    if (has_any(d, schema, object))
        return KIND_OBJECT;
    if (has_any(d, schema, array))
        return KIND_ARRAY;
    if (has_any(d, schema, string))
        return KIND_STRING;
    return has_any(d, schema, number) ? KIND_NUMBER : KIND_EMPTY;
}

static struct shape *parts_take(struct comparing *c, uint32_t count)
{
    struct shape *parts = arena_get(c->arena, (count + 1) * sizeof(*parts));
    if (!parts || count > PARTS_MAX)
        c->error = ERR_SCHEMA_LIMIT;
    return count > PARTS_MAX ? NULL : parts;
}

static struct shape shape_typed(struct comparing *c, const struct shape *base)
{
    const struct json_node *type = shape_keyword(base, "type");
    struct shape shape = *base;
    if (!type) {
        shape.kind = kind_of_keywords(base->document, base->schema);
        return shape;
    }
    const bool list = type->type == JSON_ARRAY;
    const struct json_node *name = type + list;
    const struct json *json = &base->document->json;
    if (!list || type->size == 1) {
        shape.kind = kind_of_type(json_bytes(json, name));
        shape.integer = bytes_same(json_bytes(json, name), bytes_of("integer"));
        return shape;
    }
    shape.kind = KIND_ANY;
    shape.parts = parts_take(c, type->size);
    for (; shape.parts && shape.part_count < type->size;
         shape.part_count++, name = &json->nodes[name->next]) {
        struct shape *part = &shape.parts[shape.part_count];
        *part = *base;
        part->kind = kind_of_type(json_bytes(json, name));
        part->integer = bytes_same(json_bytes(json, name), bytes_of("integer"));
    }
    return shape;
}

static struct shape shape_list(struct comparing *c, const struct shape *base, const struct json_node *list,
                               enum shape_kind kind)
{
    struct shape shape = *base;
    const struct json_node *child = list + 1;
    shape.kind = kind;
    shape.parts = parts_take(c, list->size);
    for (; shape.parts && shape.part_count < list->size; shape.part_count++) {
        shape.parts[shape.part_count] = shape_of(c, base->side, base->document, child);
        child = &base->document->json.nodes[child->next];
    }
    return shape;
}

static struct shape shape_made(struct comparing *c, const struct shape *base)
{
    static const struct {
        const char *keyword;
        enum shape_kind kind;
    } rows[] = { { "enum", KIND_ENUM }, { "const", KIND_ENUM }, { "not", KIND_NOT },
                 { "allOf", KIND_ALL }, { "anyOf", KIND_ANY },  { "oneOf", KIND_ONE } };
    struct shape shape = *base, typed = shape_typed(c, base), *parts = parts_take(c, 7);
    uint32_t n = 0;
    if (!parts)
        return shape;
    if (typed.kind != KIND_EMPTY)
        parts[n++] = typed;
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct json_node *value = shape_keyword(base, rows[i].keyword);
        if (!value)
            continue;
        parts[n] = rows[i].kind >= KIND_ALL ? shape_list(c, base, value, rows[i].kind) : *base;
        parts[n++].kind = rows[i].kind;
    }
    if (n == 1)
        return parts[0];
    shape.kind = n ? KIND_ALL : KIND_EMPTY;
    shape.parts = parts;
    shape.part_count = n;
    return shape;
}

struct shape shape_of(struct comparing *c, struct side *side, struct document *d,
                      const struct json_node *schema)
{
    struct shape shape = { .kind = KIND_NONE, .side = side, .document = d };
    uint32_t hops = 0;
    if (--c->steps < 0 || c->error || c->depth > DEPTH_MAX) {
        c->error = c->error ? c->error : ERR_SCHEMA_LIMIT;
        return shape;
    }
    if (!schema)
        return shape;
    c->depth++;
    while (schema->type == JSON_OBJECT) {
        const struct json_node *reference = keyword_of(d, schema, "$ref");
        const struct resource *base = d->resource_of[schema - d->json.nodes];
        struct target target;
        if (!reference || reference->type != JSON_STRING || !base)
            break;
        if (hops++ == DEPTH_MAX ||
            !reference_find(&side->compiler, base, json_bytes(&d->json, reference), &target)) {
            c->error = side->compiler.error ? side->compiler.error : ERR_SCHEMA_LIMIT;
            break;
        }
        d = shape.document = target.document;
        schema = &d->json.nodes[target.node];
    }
    if (schema->type != JSON_OBJECT) {
        shape.kind = schema->type == JSON_FALSE ? KIND_FALSE : KIND_EMPTY;
    } else {
        shape.schema = schema;
        shape = shape_made(c, &shape);
    }
    c->depth--;
    return shape;
}

struct shape shape_sub(struct comparing *c, const struct shape *shape, const char *keyword)
{
    return shape_of(c, shape->side, shape->document, shape_keyword(shape, keyword));
}

/* ---- strings, numbers, enums ---- */

void bounds_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                    const struct bound_changes *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct json_node *a = shape_keyword(old, rows[i].keyword),
                               *b = shape_keyword(new, rows[i].keyword);
        const uint32_t mark = path_enter(c, rows[i].keyword, (struct bytes){ 0 });
        const int order =
            a && b ? decimal_compare(json_bytes(&old->document->json, a), json_bytes(&new->document->json, b))
                   : 0;
        if (!a && b)
            difference(c, rows[i].added);
        else if (a && !b)
            difference(c, rows[i].removed);
        else if (order)
            difference(c, order < 0 ? rows[i].increased : rows[i].decreased);
        path_leave(c, mark);
    }
}

#define BOUND(keyword, NAME)                                                                                 \
    {                                                                                                        \
        keyword, CHANGE_##NAME##_ADDED, CHANGE_##NAME##_REMOVED, CHANGE_##NAME##_INCREASED,                  \
            CHANGE_##NAME##_DECREASED                                                                        \
    }

static void string_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const struct bound_changes rows[] = { BOUND("maxLength", MAX_LENGTH),
                                                 BOUND("minLength", MIN_LENGTH) };
    const struct json_node *a = shape_keyword(old, "pattern"), *b = shape_keyword(new, "pattern");
    bounds_compare(c, old, new, rows, 2);
    const uint32_t mark = path_enter(c, "pattern", (struct bytes){ 0 });
    if (!a && b)
        difference(c, CHANGE_PATTERN_ADDED);
    else if (a && !b)
        difference(c, CHANGE_PATTERN_REMOVED);
    else if (a && !bytes_same(json_bytes(&old->document->json, a), json_bytes(&new->document->json, b)))
        difference(c, CHANGE_PATTERN_CHANGED);
    path_leave(c, mark);
}

static void multiple_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    const struct json_node *a = shape_keyword(old, "multipleOf"), *b = shape_keyword(new, "multipleOf");
    struct decimal_divisor by_old, by_new;
    const uint32_t mark = path_enter(c, "multipleOf", (struct bytes){ 0 });
    if (!a && b) {
        difference(c, CHANGE_MULTIPLE_OF_ADDED);
    } else if (a && !b) {
        difference(c, CHANGE_MULTIPLE_OF_REMOVED);
    } else if (a) {
        const struct bytes x = json_bytes(&old->document->json, a), y = json_bytes(&new->document->json, b);
        if (decimal_compare(x, y) == 0 || !decimal_divisor(&by_old, x) || !decimal_divisor(&by_new, y))
            ;
        else if (decimal_multiple(y, &by_old))
            difference(c, CHANGE_MULTIPLE_OF_EXPANDED);
        else
            difference(c, decimal_multiple(x, &by_new) ? CHANGE_MULTIPLE_OF_REDUCED
                                                       : CHANGE_MULTIPLE_OF_CHANGED);
    }
    path_leave(c, mark);
}

static void number_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const struct bound_changes rows[] = { BOUND("maximum", MAXIMUM), BOUND("minimum", MINIMUM),
                                                 BOUND("exclusiveMaximum", EXCLUSIVE_MAXIMUM),
                                                 BOUND("exclusiveMinimum", EXCLUSIVE_MINIMUM) };
    bounds_compare(c, old, new, rows, 4);
    multiple_compare(c, old, new);
    if (old->integer != new->integer)
        difference(c, old->integer ? CHANGE_TYPE_EXTENDED : CHANGE_TYPE_NARROWED);
}

/* Is every value of `a` among those of `b`? A const is an enum of one. */
static bool values_within(struct comparing *c, const struct shape *a, const struct shape *b)
{
    const struct json_node *x = shape_keyword(a, "enum"), *y = shape_keyword(b, "enum");
    const struct json_node *values = x ? x + 1 : shape_keyword(a, "const");
    const uint32_t n = x ? x->size : 1, m = y ? y->size : 1;
    for (uint32_t i = 0; i < n; i++, values = &a->document->json.nodes[values->next]) {
        const struct json_node *other = y ? y + 1 : shape_keyword(b, "const");
        bool found = false;
        for (uint32_t k = 0; k < m && !found; k++, other = &b->document->json.nodes[other->next]) {
            uint64_t steps = 0;
            found = json_equal(&a->document->json, values, &b->document->json, other, &steps);
            c->steps -= (int64_t)steps;
        }
        if (!found || c->steps < 0)
            return false;
    }
    return true;
}

static void enum_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    const bool grew = values_within(c, old, new), shrank = values_within(c, new, old);
    const uint32_t mark = path_enter(c, "enum", (struct bytes){ 0 });
    if (!grew || !shrank)
        difference(c, grew     ? CHANGE_ENUM_ARRAY_EXTENDED
                      : shrank ? CHANGE_ENUM_ARRAY_NARROWED
                               : CHANGE_ENUM_ARRAY_CHANGED);
    path_leave(c, mark);
}

/* ---- combinations ---- */

static bool combined(const struct shape *s)
{
    return s->kind >= KIND_ALL;
}

static bool criterion_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    const bool single_old = old->part_count == 1, single_new = new->part_count == 1;
    if (old->kind == new->kind)
        return true;
    const bool fine = new->kind == KIND_ANY || (new->kind == KIND_ONE &&single_old) ||
                      (new->kind == KIND_ALL &&single_old &&single_new);
    difference(c, fine ? CHANGE_COMBINED_TYPE_EXTENDED : CHANGE_COMBINED_TYPE_CHANGED);
    return fine;
}

struct matching {
    bool fits[PARTS_MAX][PARTS_MAX];
    uint8_t partner[PARTS_MAX]; /* of each new part: an old one, or PARTS_MAX */
    bool seen[PARTS_MAX];
};

/* One augmenting path (Kuhn, 1955); as deep as there are parts. */
static bool match(struct matching *m, uint32_t old, uint32_t new_count)
{
    for (uint32_t k = 0; k < new_count; k++) {
        if (!m->fits[old][k] || m->seen[k])
            continue;
        m->seen[k] = true;
        if (m->partner[k] == PARTS_MAX || match(m, m->partner[k], new_count)) {
            m->partner[k] = (uint8_t)old;
            return true;
        }
    }
    return false;
}

/* Each part of the shorter list must have one of its own in the other that it fits. */
static void parts_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const char *const words[] = { "allOf", "anyOf", "oneOf" };
    struct matching *m = arena_get(c->arena, sizeof(*m));
    const uint32_t least = old->part_count < new->part_count ? old->part_count : new->part_count;
    uint32_t matched = 0;
    if (!m) {
        c->error = ERR_SCHEMA_LIMIT;
        return;
    }
    memset(m->partner, PARTS_MAX, sizeof(m->partner));
    for (uint32_t i = 0; i < old->part_count; i++)
        for (uint32_t k = 0; k < new->part_count && !c->error; k++)
            m->fits[i][k] = shapes_fit(c, old->parts[i], new->parts[k], false);
    for (uint32_t i = 0; i < old->part_count; i++) {
        memset(m->seen, 0, sizeof(m->seen));
        matched += match(m, i, new->part_count);
    }
    for (uint32_t k = 0; k < new->part_count; k++) {
        char index[12];
        if (m->partner[k] == PARTS_MAX)
            continue;
        snprintf(index, sizeof(index), "%u", m->partner[k]);
        const uint32_t mark = path_enter(c, words[old->kind - KIND_ALL], bytes_of(index));
        shapes_compare(c, old->parts[m->partner[k]], new->parts[k]);
        path_leave(c, mark);
    }
    if (matched < least)
        difference(c, CHANGE_COMBINED_TYPE_SUBSCHEMAS_CHANGED);
}

static void combined_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    const bool product = new->kind == KIND_ALL;
    if (!criterion_compare(c, old, new))
        return;
    if (old->part_count < new->part_count)
        difference(c, product ? CHANGE_PRODUCT_TYPE_EXTENDED : CHANGE_SUM_TYPE_EXTENDED);
    else if (old->part_count > new->part_count)
        difference(c, product ? CHANGE_PRODUCT_TYPE_NARROWED : CHANGE_SUM_TYPE_NARROWED);
    parts_compare(c, old, new);
}

/* One is a combination, the other is not: does one branch do? */
static bool branch_fits(struct comparing *c, const struct shape *old, const struct shape *new)
{
    if (combined(old) == combined(new))
        return false;
    const struct shape *both = combined(new) ? new : old;
    const bool sum = combined(new) && new->kind != KIND_ALL;
    for (uint32_t i = 0; i < (sum || both->part_count == 1 ? both->part_count : 0); i++) {
        const struct shape a = combined(new) ? *old : old->parts[i], b = combined(new) ? new->parts[i] : *new;
        const uint32_t before = c->diff->count;
        if (shapes_fit(c, a, b, true)) {
            if (both->part_count > 1)
                difference(c, CHANGE_SUM_TYPE_EXTENDED);
            return true;
        }
        c->diff->count = before;
    }
    return false;
}

/* ---- all kinds ---- */

static bool notes_equal(const struct shape *old, const struct shape *new, const char *keyword)
{
    const struct json_node *a = shape_keyword(old, keyword), *b = shape_keyword(new, keyword);
    uint64_t steps = 0;
    return a && b ? json_equal(&old->document->json, a, &new->document->json, b, &steps) : a == b;
}

static void notes_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    if (!notes_equal(old, new, "$id"))
        difference(c, CHANGE_ID_CHANGED);
    if (!notes_equal(old, new, "title"))
        difference(c, CHANGE_TITLE_CHANGED);
    if (!notes_equal(old, new, "description"))
        difference(c, CHANGE_DESCRIPTION_CHANGED);
    if (!notes_equal(old, new, "default"))
        difference(c, CHANGE_DEFAULT_CHANGED);
}

static void kinds_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    notes_compare(c, old, new);
    switch (old->kind) {
    case KIND_STRING:
        string_compare(c, old, new);
        break;
    case KIND_NUMBER:
        number_compare(c, old, new);
        break;
    case KIND_ENUM:
        enum_compare(c, old, new);
        break;
    case KIND_NOT:
        /* turned round: what must not fit may only become less */
        difference(c, shapes_fit(c, shape_sub(c, new, "not"), shape_sub(c, old, "not"), false)
                          ? CHANGE_NOT_TYPE_NARROWED
                          : CHANGE_NOT_TYPE_EXTENDED);
        break;
    case KIND_OBJECT:
        object_compare(c, old, new);
        break;
    case KIND_ARRAY:
        array_compare(c, old, new);
        break;
    default:
        if (combined(old))
            combined_compare(c, old, new);
        break;
    }
}

/* Is this old schema being compared further up? Then that comparison says it all. */
static bool is_open(const struct comparing *c, const struct shape *old)
{
    for (uint32_t i = 0; i < c->depth; i++)
        if (c->open[i]->schema == old->schema && c->open[i]->kind == old->kind && old->schema)
            return true;
    return false;
}

void shapes_compare(struct comparing *c, struct shape old, struct shape new)
{
    if (--c->steps < 0 || c->depth + 1 >= DEPTH_MAX)
        c->error = c->error ? c->error : ERR_SCHEMA_LIMIT;
    if (c->error || (old.kind == KIND_NONE && new.kind == KIND_NONE))
        return;
    if (old.kind == KIND_NONE || new.kind == KIND_NONE) {
        difference(c, old.kind == KIND_NONE ? CHANGE_SCHEMA_ADDED : CHANGE_SCHEMA_REMOVED);
        return;
    }
    if (branch_fits(c, &old, &new))
        return;
    if (old.kind != new.kind && !(combined(&old) && combined(&new))) {
        if (old.kind != KIND_FALSE && new.kind != KIND_EMPTY)
            difference(c, CHANGE_TYPE_CHANGED);
        return;
    }
    if (is_open(c, &old))
        return;
    c->open[c->depth++] = &old;
    kinds_compare(c, &old, &new);
    c->depth--;
}

static struct document *side_load(struct side *side, struct arena *arena,
                                  const struct schema_version *version)
{
    const struct bytes base = version->options.base.at ? version->options.base : bytes_of("");
    side->compiler = (struct compiler){ .arena = arena, .options = &version->options, .why = side->why };
    return document_add(&side->compiler, version->text, base);
}

enum error schema_diff(struct arena *arena, const struct schema_version *old,
                       const struct schema_version *new, struct schema_diff *diff, char *why)
{
    struct comparing c = { .arena = arena, .diff = diff, .steps = STEPS_MAX };
    struct side *sides = arena_get(arena, 2 * sizeof(*sides));
    *diff = (struct schema_diff){ .rows = arena_get(arena, DIFFERENCES_MAX * sizeof(*diff->rows)) };
    c.open = arena_get(arena, DEPTH_MAX * sizeof(*c.open));
    why[0] = 0;
    if (!sides || !diff->rows || !c.open) {
        snprintf(why, SCHEMA_WHY_BYTES, "no memory to compare schemas");
        return ERR_SCHEMA_LIMIT;
    }
    struct document *a = side_load(&sides[0], arena, old), *b = a ? side_load(&sides[1], arena, new) : NULL;
    if (b) {
        const struct shape from = shape_of(&c, &sides[0], a, a->json.nodes),
                           to = shape_of(&c, &sides[1], b, b->json.nodes);
        diff->compatible = shapes_fit(&c, from, to, true);
    } else {
        c.error = a ? sides[1].compiler.error : sides[0].compiler.error;
    }
    if (c.error)
        snprintf(why, SCHEMA_WHY_BYTES, "%s",
                 sides[0].why[0]   ? sides[0].why
                 : sides[1].why[0] ? sides[1].why
                                   : "the schemas are too large to be compared");
    return c.error;
}
