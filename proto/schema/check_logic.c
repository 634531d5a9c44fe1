/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/check_logic.c: keywords that combine rules about one value, constants, references, and what
 * the unevaluated* keywords find left.
 *
 * A branch that fails takes its marks with it: it gets marks of its own, added to the value's only when it
 * holds.
 */
#include "proto/schema/check_own.h"

/* One branch. Without marks to keep this is the rule alone. */
static bool branch(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                   struct marks *marks)
{
    const uint32_t before = c->marks_used;
    struct marks own;
    if (!marks)
        return rule_holds(c, rule, node, NULL);
    if (!marks_take(c, node, &own))
        return false;
    const bool ok = rule_holds(c, rule, node, &own);
    if (ok)
        mark_all(marks, &own);
    c->marks_used = before;
    return ok;
}

static bool constant_is(struct schema_checker *c, const struct rule *rule, const struct constant *constant,
                        const struct json_node *node, uint32_t hash)
{
    uint64_t steps = 0;
    if (constant->hash != hash)
        return false;
    const bool same = json_equal(rule->json, constant->node, &c->json, node, &steps);
    return spend(c, steps) && same;
}

/* A constant as it is written, as far as that is short. */
static struct bytes written(const struct rule *rule, const struct json_node *node)
{
    struct bytes b = json_bytes(rule->json, node);
    if (node->type >= JSON_ARRAY)
        return bytes_of(json_type_name(node->type));
    b.len = b.len < 60 ? b.len : 60;
    return b;
}

static bool constants_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node)
{
    const struct rule_logic *l = rule->logic;
    const uint32_t hash = json_value_hash(&c->json, node);
    bool ok = !l->has_constants;
    if (node->type >= JSON_ARRAY && !spend(c, node->next - (uint32_t)(node - c->json.nodes)))
        return false;
    for (uint32_t i = 0; !ok && i < l->constant_count; i++)
        ok = constant_is(c, rule, &l->constants[i], node, hash);
    if (!ok && l->constant_count) {
        const struct bytes first = written(rule, l->constants[0].node);
        fault(c, node, "enum", "%s of %u values, \"%.*s\" and others", "one", l->constant_count,
              (int)first.len, (const char *)first.at);
    } else if (!ok) {
        fault(c, node, "enum", "no value at all");
    }
    if (l->constant.node && !constant_is(c, rule, &l->constant, node, hash)) {
        const struct bytes text = written(rule, l->constant.node);
        ok = fault(c, node, "const", "%.*s", (int)text.len, (const char *)text.at);
    }
    return ok;
}

/* ---- lists of rules ---- */

static bool all_check(struct schema_checker *c, const struct rule_list *list, const struct json_node *node,
                      struct marks *marks)
{
    bool ok = true;
    for (uint32_t i = 0; i < list->count && (ok || !c->stop); i++)
        ok &= rule_check(c, list->at[i], node, marks);
    return ok;
}

static bool any_check(struct schema_checker *c, const struct rule_list *list, const struct json_node *node,
                      struct marks *marks)
{
    bool ok = list->count == 0;
    for (uint32_t i = 0; i < list->count && !c->fatal && (!ok || marks); i++)
        ok |= branch(c, list->at[i], node, marks);
    return ok || fault(c, node, "anyOf", "to fit one of %u schemas", list->count);
}

static bool one_check(struct schema_checker *c, const struct rule_list *list, const struct json_node *node,
                      struct marks *marks)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count && !c->fatal && n < 2; i++)
        n += branch(c, list->at[i], node, marks);
    if (list->count == 0 || n == 1)
        return true;
    return fault(c, node, "oneOf", "to fit exactly one of %u schemas, not %s", list->count,
                 n ? "several" : "none");
}

/* ---- references ---- */

/* The outermost resource on the way here that has the anchor decides what it means. */
static const struct rule *dynamic_rule(const struct schema_checker *c, const struct rule_logic *l)
{
    const struct rule *found = l->dynamic;
    for (const struct scope *s = c->scope; s && l->dynamic_anchor.len; s = s->outer)
        for (uint32_t i = 0; i < s->resource->dynamic_count; i++)
            if (bytes_same(s->resource->dynamic[i].name, l->dynamic_anchor))
                found = s->resource->dynamic[i].rule;
    return found;
}

bool logic_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                 struct marks *marks)
{
    const struct rule_logic *l = rule->logic;
    bool ok = true;
#define NEXT(condition, test)                                                                                \
    if ((condition) && (ok || !c->stop))                                                                     \
        ok &= (test);
    NEXT(l->has_constants || l->constant.node, constants_check(c, rule, node))
    NEXT(l->reference, rule_check(c, l->reference, node, marks))
    NEXT(l->dynamic, rule_check(c, dynamic_rule(c, l), node, marks))
    NEXT(l->all.count, all_check(c, &l->all, node, marks))
    NEXT(l->any.count, any_check(c, &l->any, node, marks))
    NEXT(l->one.count, one_check(c, &l->one, node, marks))
    NEXT(l->not,
         !rule_holds(c, l->not, node, NULL) || fault(c, node, "not", "not to fit a schema that it fits"))
#undef NEXT
    if (!l->condition || (!ok && c->stop))
        return ok;
    const struct rule *then = branch(c, l->condition, node, marks) ? l->then : l->otherwise;
    return !(then && !rule_check(c, then, node, marks)) && ok;
}

/* ---- what is left ---- */

bool unevaluated_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                       struct marks *marks)
{
    const bool object = node->type == JSON_OBJECT;
    const struct rule *left = object ? rule->unevaluated_properties : rule->unevaluated_items;
    const struct json_node *child = node + 1;
    bool ok = true;
    for (uint32_t i = 0; i < node->size; i++) {
        child += object;
        if (!(marks->bits[i / 64] >> i % 64 & 1)) {
            if (left->never)
                ok = fault(c, child, object ? "unevaluatedProperties" : "unevaluatedItems", "%s",
                           object ? "no member of this name" : "no more items");
            else
                ok &= rule_check(c, left, child, NULL);
            mark(marks, i);
        }
        if (!ok && c->stop)
            return false;
        child = &c->json.nodes[child->next];
    }
    return ok;
}
