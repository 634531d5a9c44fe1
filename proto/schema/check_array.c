/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/check_array.c: keywords about arrays.
 */
#include "proto/schema/check_own.h"

enum { FEW_ITEMS = 8 }; /* up to here every item is compared with every other: cheaper than a table */

static bool items_equal(struct schema_checker *c, const struct json_node *a, const struct json_node *b)
{
    uint64_t steps = 0;
    const bool same = json_equal(&c->json, a, &c->json, b, &steps);
    return spend(c, steps) && same;
}

static bool same_items(struct schema_checker *c, const struct json_node *first,
                       const struct json_node *second)
{
    char path[SCHEMA_PATH_BYTES];
    json_path(&c->json, first, path, sizeof(path));
    return fault(c, second, "uniqueItems", "no item twice; %.60s is the same", path);
}

static bool unique_few(struct schema_checker *c, const struct json_node *node)
{
    const struct json_node *items[FEW_ITEMS], *item = node + 1;
    for (uint32_t i = 0; i < node->size; i++, item = &c->json.nodes[item->next]) {
        items[i] = item;
        for (uint32_t k = 0; k < i; k++)
            if (items_equal(c, items[k], item))
                return same_items(c, items[k], item);
    }
    return true;
}

static bool unique_check(struct schema_checker *c, const struct json_node *node)
{
    const struct json_node *item = node + 1;
    uint32_t mask = 2;
    if (node->size <= FEW_ITEMS)
        return unique_few(c, node);
    while (mask < 2 * node->size && mask < c->json.table_room) /* more room than there are items, at least */
        mask *= 2;
    memset(c->json.table, 0, mask * sizeof(*c->json.table));
    mask--;
    if (!spend(c, node->next - (uint32_t)(node - c->json.nodes)))
        return false;
    for (uint32_t i = 0; i < node->size; i++, item = &c->json.nodes[item->next]) {
        uint32_t slot = json_value_hash(&c->json, item) & mask;
        for (; c->json.table[slot]; slot = (slot + 1) & mask) {
            const struct json_node *other = &c->json.nodes[c->json.table[slot]];
            if (items_equal(c, other, item))
                return same_items(c, other, item);
            if (c->fatal)
                return false;
        }
        c->json.table[slot] = (uint32_t)(item - c->json.nodes);
    }
    return true;
}

static bool contains_check(struct schema_checker *c, const struct rule_array *a, const struct json_node *node,
                           struct marks *marks)
{
    const struct json_node *item = node + 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < node->size && !c->fatal; i++, item = &c->json.nodes[item->next]) {
        if (!rule_holds(c, a->contains, item, NULL))
            continue;
        n++;
        if (a->contains_marks)
            mark(marks, i);
    }
    if (n < a->contains_min)
        return fault(c, node, a->contains_min == 1 ? "contains" : "minContains",
                     "at least %u items that fit a schema, not %u", a->contains_min, n);
    return n <= a->contains_max ||
           fault(c, node, "maxContains", "at most %u items that fit a schema, not %u", a->contains_max, n);
}

bool array_check(struct schema_checker *c, const struct rule_array *a, const struct json_node *node,
                 struct marks *marks)
{
    const struct json_node *item = node + 1;
    bool ok = true;
    if (node->size < a->min)
        ok = fault(c, node, "minItems", "at least %u items", a->min);
    else if (node->size > a->max)
        ok = fault(c, node, "maxItems", "at most %u items", a->max);
    const uint32_t looked_at = a->items                       ? node->size
                               : a->prefix.count < node->size ? a->prefix.count
                                                              : node->size;
    for (uint32_t i = 0; i < looked_at && (ok || !c->stop); i++, item = &c->json.nodes[item->next]) {
        const struct rule *rule = i < a->prefix.count ? a->prefix.at[i] : a->items;
        if (rule->never)
            ok = fault(c, item, a->items_keyword ? a->items_keyword : "prefixItems", "no item here");
        else
            ok &= rule_check(c, rule, item, NULL);
        mark(marks, i);
    }
    if (a->contains && (ok || !c->stop))
        ok &= contains_check(c, a, node, marks);
    if (a->unique && (ok || !c->stop))
        ok &= unique_check(c, node);
    return ok;
}
