/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/diff_container.c: objects and arrays side by side: content models, required names,
 * dependencies.
 */
#include <stdio.h>

#include "proto/schema/diff_own.h"

#define BOUND(keyword, NAME)                                                                                 \
    {                                                                                                        \
        keyword, CHANGE_##NAME##_ADDED, CHANGE_##NAME##_REMOVED, CHANGE_##NAME##_INCREASED,                  \
            CHANGE_##NAME##_DECREASED                                                                        \
    }

static const struct json_node *child_next(const struct shape *shape, const struct json_node *child)
{
    return &shape->document->json.nodes[child->next];
}

static struct bytes name_of(const struct shape *shape, const struct json_node *key)
{
    return json_bytes(&shape->document->json, key);
}

/* A member of an object that is a keyword's value. */
static const struct json_node *entry(const struct shape *shape, const char *keyword, struct bytes name)
{
    const struct json_node *object = shape_keyword(shape, keyword);
    return object && object->type == JSON_OBJECT ? json_member(&shape->document->json, object, name) : NULL;
}

static struct shape shape_at(struct comparing *c, const struct shape *shape, const struct json_node *schema)
{
    return shape_of(c, shape->side, shape->document, schema);
}

/* ---- objects ---- */

/* What of a name that `properties` does not have: nothing is said (open), nothing is allowed (closed), or a
 * schema. */
enum content { CONTENT_OPEN, CONTENT_CLOSED, CONTENT_PARTLY };

static bool pattern_matches(struct comparing *c, struct bytes pattern, struct bytes name)
{
    char why[REGEX_WHY_BYTES];
    int64_t budget = REGEX_STEPS_MANY * 2;
    struct regex *regex = regex_compile(c->arena, pattern, why);
    struct regex_matcher *matcher = regex ? regex_matcher_new(&c->arena->memory) : NULL;
    const bool found = matcher && regex_match(regex, matcher, name, &budget) == 1;
    if (!matcher)
        c->error = ERR_SCHEMA_LIMIT;
    regex_matcher_free(matcher);
    return found;
}

static enum content object_content(struct comparing *c, const struct shape *object, struct bytes name,
                                   const struct json_node **schema)
{
    const struct json_node *patterns = shape_keyword(object, "patternProperties");
    const struct json_node *rest = shape_keyword(object, "additionalProperties"),
                           *key = patterns ? patterns + 1 : NULL;
    const bool has_patterns = patterns && patterns->size;
    if (!has_patterns && (!rest || rest->type == JSON_TRUE))
        return CONTENT_OPEN;
    for (uint32_t i = 0; has_patterns && i < patterns->size; i++, key = child_next(object, key + 1))
        if (pattern_matches(c, name_of(object, key), name)) {
            *schema = key + 1;
            return CONTENT_PARTLY;
        }
    if (!rest || rest->type != JSON_OBJECT)
        return CONTENT_CLOSED; /* patterns that do not match and nothing else count as closed, too */
    *schema = rest;
    return CONTENT_PARTLY;
}

static bool is_required(const struct shape *object, struct bytes name)
{
    const struct json_node *list = shape_keyword(object, "required"), *child = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, child = child_next(object, child))
        if (bytes_same(name_of(object, child), name))
            return true;
    return false;
}

static bool has_default(const struct shape *object, const struct json_node *schema)
{
    return schema->type == JSON_OBJECT && keyword_of(object->document, schema, "default");
}

static void property_removed(struct comparing *c, const struct shape *old, const struct shape *new,
                             const struct json_node *schema, struct bytes name)
{
    const struct json_node *cover = NULL;
    switch (object_content(c, new, name, &cover)) {
    case CONTENT_OPEN:
        difference(c, CHANGE_PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL);
        break;
    case CONTENT_PARTLY:
        difference(c, shapes_fit(c, shape_at(c, old, schema), shape_at(c, new, cover), true)
                          ? CHANGE_PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
                          : CHANGE_PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL);
        break;
    case CONTENT_CLOSED:
        difference(c, schema->type == JSON_FALSE
                          ? CHANGE_PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL
                          : CHANGE_PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL);
        break;
    }
}

static void property_added(struct comparing *c, const struct shape *old, const struct shape *new,
                           const struct json_node *schema, struct bytes name)
{
    const struct json_node *cover = NULL;
    const enum content content = object_content(c, old, name, &cover);
    if (content == CONTENT_OPEN) {
        difference(c, shape_at(c, new, schema).kind == KIND_EMPTY
                          ? CHANGE_PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL
                          : CHANGE_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL);
        return;
    }
    if (content == CONTENT_PARTLY)
        difference(c, shapes_fit(c, shape_at(c, old, cover), shape_at(c, new, schema), true)
                          ? CHANGE_PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
                          : CHANGE_PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL);
    if (!is_required(new, name))
        difference(c, CHANGE_OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL);
    else
        difference(c, has_default(new, schema)
                          ? CHANGE_REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL
                          : CHANGE_REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL);
}

static void required_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                             struct bytes name, const struct json_node *schema)
{
    const bool before = is_required(old, name), after = is_required(new, name);
    const uint32_t mark = path_enter(c, "required", name);
    if (before && !after)
        difference(c, CHANGE_REQUIRED_ATTRIBUTE_REMOVED);
    else if (!before && after)
        difference(c, has_default(new, schema) ? CHANGE_REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED
                                               : CHANGE_REQUIRED_ATTRIBUTE_ADDED);
    path_leave(c, mark);
}

static void properties_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    const struct json_node *before = shape_keyword(old, "properties"),
                           *after = shape_keyword(new, "properties");
    const struct json_node *key = before ? before + 1 : NULL;
    for (uint32_t i = 0; before && i < before->size && !c->error; i++, key = child_next(old, key + 1)) {
        const struct bytes name = name_of(old, key);
        const struct json_node *now = entry(new, "properties", name);
        if (now)
            required_compare(c, old, new, name, now);
        const uint32_t mark = path_enter(c, "properties", name);
        if (now)
            shapes_compare(c, shape_at(c, old, key + 1), shape_at(c, new, now));
        else
            property_removed(c, old, new, key + 1, name);
        path_leave(c, mark);
    }
    key = after ? after + 1 : NULL;
    for (uint32_t i = 0; after && i < after->size && !c->error; i++, key = child_next(new, key + 1)) {
        const struct bytes name = name_of(new, key);
        const uint32_t mark = path_enter(c, "properties", name);
        if (!entry(old, "properties", name))
            property_added(c, old, new, key + 1, name);
        path_leave(c, mark);
    }
}

/* Is every name of list `a` in list `b`? */
static bool names_within(const struct shape *sa, const struct json_node *a, const struct shape *sb,
                         const struct json_node *b)
{
    const struct json_node *x = a + 1;
    for (uint32_t i = 0; i < a->size; i++, x = child_next(sa, x)) {
        const struct json_node *y = b + 1;
        bool found = false;
        for (uint32_t k = 0; k < b->size && !found; k++, y = child_next(sb, y))
            found = bytes_same(name_of(sa, x), name_of(sb, y));
        if (!found)
            return false;
    }
    return true;
}

static void dependency_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                               const struct json_node *a, const struct json_node *b)
{
    const bool list_a = a && a->type == JSON_ARRAY, list_b = b && b->type == JSON_ARRAY;
    if (list_a && list_b) {
        const bool grew = names_within(old, a, new, b), shrank = names_within(new, b, old, a);
        if (!grew || !shrank)
            difference(c, grew     ? CHANGE_DEPENDENCY_ARRAY_EXTENDED
                          : shrank ? CHANGE_DEPENDENCY_ARRAY_NARROWED
                                   : CHANGE_DEPENDENCY_ARRAY_CHANGED);
        return;
    }
    if (a && b && !list_a && !list_b) {
        shapes_compare(c, shape_at(c, old, a), shape_at(c, new, b));
        return;
    }
    if (a)
        difference(c, list_a ? CHANGE_DEPENDENCY_ARRAY_REMOVED : CHANGE_DEPENDENCY_SCHEMA_REMOVED);
    if (b)
        difference(c, list_b ? CHANGE_DEPENDENCY_ARRAY_ADDED : CHANGE_DEPENDENCY_SCHEMA_ADDED);
}

static void dependencies_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                                 const char *keyword)
{
    const struct json_node *before = shape_keyword(old, keyword), *after = shape_keyword(new, keyword);
    const struct json_node *key = before ? before + 1 : NULL;
    for (uint32_t i = 0; before && i < before->size; i++, key = child_next(old, key + 1)) {
        const uint32_t mark = path_enter(c, keyword, name_of(old, key));
        dependency_compare(c, old, new, key + 1, entry(new, keyword, name_of(old, key)));
        path_leave(c, mark);
    }
    key = after ? after + 1 : NULL;
    for (uint32_t i = 0; after && i < after->size; i++, key = child_next(new, key + 1)) {
        const uint32_t mark = path_enter(c, keyword, name_of(new, key));
        if (!entry(old, keyword, name_of(new, key)))
            dependency_compare(c, old, new, NULL, key + 1);
        path_leave(c, mark);
    }
}

/* additionalProperties, additionalItems: allowed or not, and with a schema or without. */
struct rest_changes {
    enum schema_change added, removed, extended, narrowed;
};

static void rest_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                         const char *keyword, const struct json_node *a, const struct json_node *b,
                         const struct rest_changes *changes)
{
    const bool no_a = a && a->type == JSON_FALSE, no_b = b && b->type == JSON_FALSE;
    const bool schema_a = a && a->type == JSON_OBJECT, schema_b = b && b->type == JSON_OBJECT;
    const uint32_t mark = path_enter(c, keyword, (struct bytes){ 0 });
    if (no_a != no_b)
        difference(c, no_a ? changes->added : changes->removed);
    else if (schema_a != schema_b)
        difference(c, schema_b ? changes->narrowed : changes->extended);
    else if (schema_a)
        shapes_compare(c, shape_at(c, old, a), shape_at(c, new, b));
    path_leave(c, mark);
}

void object_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const struct bound_changes bounds[] = { BOUND("maxProperties", MAX_PROPERTIES),
                                                   BOUND("minProperties", MIN_PROPERTIES) };
    static const struct rest_changes rest = { CHANGE_ADDITIONAL_PROPERTIES_ADDED,
                                              CHANGE_ADDITIONAL_PROPERTIES_REMOVED,
                                              CHANGE_ADDITIONAL_PROPERTIES_EXTENDED,
                                              CHANGE_ADDITIONAL_PROPERTIES_NARROWED };
    static const char *const dependencies[] = { "dependencies", "dependentRequired", "dependentSchemas" };
    properties_compare(c, old, new);
    for (uint32_t i = 0; i < 3; i++)
        dependencies_compare(c, old, new, dependencies[i]);
    rest_compare(c, old, new, "additionalProperties", shape_keyword(old, "additionalProperties"),
                 shape_keyword(new, "additionalProperties"), &rest);
    bounds_compare(c, old, new, bounds, 2);
}

/* ---- arrays ---- */

/* The schemas of the first items, and of those behind them, in the words of either draft. */
static const struct json_node *tuple_of(const struct shape *array, const struct json_node **rest)
{
    const struct json_node *prefix = shape_keyword(array, "prefixItems"),
                           *items = shape_keyword(array, "items");
    if (items && items->type == JSON_ARRAY) {
        *rest = shape_keyword(array, "additionalItems");
        return items;
    }
    *rest = items;
    return prefix;
}

static void item_removed(struct comparing *c, const struct shape *old, const struct shape *new,
                         const struct json_node *item, const struct json_node *rest)
{
    if (!rest || rest->type == JSON_TRUE)
        difference(c, CHANGE_ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL);
    else if (rest->type == JSON_OBJECT)
        difference(c, shapes_fit(c, shape_at(c, old, item), shape_at(c, new, rest), true)
                          ? CHANGE_ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
                          : CHANGE_ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL);
    else
        difference(c, item->type == JSON_FALSE ? CHANGE_ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL
                                               : CHANGE_ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL);
}

static void item_added(struct comparing *c, const struct shape *old, const struct shape *new,
                       const struct json_node *item, const struct json_node *rest)
{
    if (!rest || rest->type == JSON_TRUE)
        difference(c, shape_at(c, new, item).kind == KIND_EMPTY
                          ? CHANGE_ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL
                          : CHANGE_ITEM_ADDED_TO_OPEN_CONTENT_MODEL);
    else if (rest->type == JSON_OBJECT)
        difference(c, shapes_fit(c, shape_at(c, old, rest), shape_at(c, new, item), true)
                          ? CHANGE_ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL
                          : CHANGE_ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL);
    else
        difference(c, CHANGE_ITEM_ADDED_TO_CLOSED_CONTENT_MODEL);
}

static void items_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const struct rest_changes changes = { CHANGE_ADDITIONAL_ITEMS_ADDED,
                                                 CHANGE_ADDITIONAL_ITEMS_REMOVED,
                                                 CHANGE_ADDITIONAL_ITEMS_EXTENDED,
                                                 CHANGE_ADDITIONAL_ITEMS_NARROWED };
    const struct json_node *rest_a, *rest_b, *a = tuple_of(old, &rest_a), *b = tuple_of(new, &rest_b);
    const struct json_node *x = a ? a + 1 : NULL, *y = b ? b + 1 : NULL;
    const uint32_t n = a ? a->size : 0, m = b ? b->size : 0;
    if (!a && !b) {
        const uint32_t mark = path_enter(c, "items", (struct bytes){ 0 });
        shapes_compare(c, shape_at(c, old, rest_a), shape_at(c, new, rest_b));
        path_leave(c, mark);
        return;
    }
    for (uint32_t i = 0; (i < n || i < m) && !c->error; i++) {
        char index[12];
        snprintf(index, sizeof(index), "%u", i);
        const uint32_t mark = path_enter(c, "items", bytes_of(index));
        if (i < n && i < m)
            shapes_compare(c, shape_at(c, old, x), shape_at(c, new, y));
        else if (i < n)
            item_removed(c, old, new, x, rest_b);
        else
            item_added(c, old, new, y, rest_a);
        path_leave(c, mark);
        x = i < n ? child_next(old, x) : x;
        y = i < m ? child_next(new, y) : y;
    }
    rest_compare(c, old, new, "additionalItems", rest_a, rest_b, &changes);
}

void array_compare(struct comparing *c, const struct shape *old, const struct shape *new)
{
    static const struct bound_changes bounds[] = { BOUND("maxItems", MAX_ITEMS),
                                                   BOUND("minItems", MIN_ITEMS) };
    const struct json_node *a = shape_keyword(old, "uniqueItems"), *b = shape_keyword(new, "uniqueItems");
    const bool unique_a = a && a->type == JSON_TRUE, unique_b = b && b->type == JSON_TRUE;
    bounds_compare(c, old, new, bounds, 2);
    if (unique_a != unique_b)
        difference(c, unique_b ? CHANGE_UNIQUE_ITEMS_ADDED : CHANGE_UNIQUE_ITEMS_REMOVED);
    items_compare(c, old, new);
}
