/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/check_object.c: keywords about objects. The hot path: one look-up per member; that all
 * required names are there is a matter of counting, since no name comes twice.
 */
#include "proto/schema/check_own.h"

static inline const struct property *property_find(const struct rule_object *o, const struct json *json,
                                                   const struct json_node *key)
{
    const struct bytes name = json_bytes(json, key);
    for (uint32_t slot = key->hash & o->mask; o->table[slot].used; slot = (slot + 1) & o->mask)
        if (o->table[slot].hash == key->hash && bytes_same(o->table[slot].name, name))
            return &o->table[slot];
    return NULL;
}

static bool missing(struct schema_checker *c, const struct json_node *node, const char *keyword,
                    struct bytes name)
{
    return fault(c, node, keyword, "a member \"%.*s\"", (int)(name.len < 60 ? name.len : 60),
                 (const char *)name.at);
}

static bool required_missing(struct schema_checker *c, const struct rule_object *o,
                             const struct json_node *node)
{
    for (uint32_t i = 0; i < o->required_listed && !c->stop; i++)
        if (!json_member(&c->json, node, o->required[i]))
            missing(c, node, "required", o->required[i]);
    return false;
}

static bool dependencies_check(struct schema_checker *c, const struct rule_object *o,
                               const struct json_node *node, struct marks *marks)
{
    bool ok = true;
    for (uint32_t i = 0; i < o->dependency_count && (ok || !c->stop); i++) {
        const struct dependency *d = &o->dependencies[i];
        if (!spend(c, node->size))
            return false;
        if (!json_member(&c->json, node, d->name))
            continue;
        for (uint32_t k = 0; k < d->required_count && (ok || !c->stop); k++)
            if (!json_member(&c->json, node, d->required[k]))
                ok = missing(c, node, "dependentRequired", d->required[k]);
        if (d->rule && (ok || !c->stop))
            ok &= rule_check(c, d->rule, node, marks);
    }
    return ok;
}

/* What is said of a member whose name `properties` does not have. */
static bool member_others(struct schema_checker *c, const struct rule_object *o, const struct json_node *key,
                          bool known, bool *seen)
{
    bool ok = true;
    for (uint32_t i = 0; i < o->pattern_count && (ok || !c->stop); i++) {
        if (!pattern_holds(c, o->patterns[i].regex, key))
            continue;
        known = *seen = true;
        ok &= rule_check(c, o->patterns[i].rule, key + 1, NULL);
    }
    if (known || !o->additional || (!ok && c->stop))
        return ok;
    *seen = true;
    if (o->additional->never)
        return fault(c, key + 1, "additionalProperties", "no member of this name");
    return rule_check(c, o->additional, key + 1, NULL) && ok;
}

static bool members_check(struct schema_checker *c, const struct rule_object *o, const struct json_node *node,
                          struct marks *marks)
{
    const bool others = o->pattern_count || o->additional;
    const struct json_node *key = node + 1;
    uint32_t required = 0;
    bool ok = true;
    for (uint32_t i = 0; i < node->size; i++, key = &c->json.nodes[key[1].next]) {
        const struct property *p = o->table ? property_find(o, &c->json, key) : NULL;
        bool seen = p && p->rule;
        required += p && p->required;
        if (seen)
            ok &= rule_check(c, p->rule, key + 1, NULL);
        if (others && (ok || !c->stop))
            ok &= member_others(c, o, key, seen, &seen);
        if (o->names && (ok || !c->stop))
            ok &= rule_check(c, o->names, key, NULL);
        if (!ok && c->stop)
            return false;
        if (seen)
            mark(marks, i);
    }
    return required == o->required_count ? ok : required_missing(c, o, node);
}

bool object_check(struct schema_checker *c, const struct rule_object *o, const struct json_node *node,
                  struct marks *marks)
{
    bool ok = true;
    if (node->size < o->min)
        ok = fault(c, node, "minProperties", "at least %u members", o->min);
    else if (node->size > o->max)
        ok = fault(c, node, "maxProperties", "at most %u members", o->max);
    if ((o->table || o->pattern_count || o->additional || o->names) && (ok || !c->stop))
        ok &= members_check(c, o, node, marks);
    if (o->dependency_count && (ok || !c->stop))
        ok &= dependencies_check(c, o, node, marks);
    return ok;
}
