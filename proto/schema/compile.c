/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/compile.c: from a schema's text to a program. Rules are made when something first refers to
 * them and get their keywords from a list of those still without, so that no chain of references makes us
 * recurse.
 */
#include <stdarg.h>
#include <stdio.h>

#include "proto/schema/compile_own.h"

enum { RULES_MAX = 65536, RULES_FIRST = 64 };

bool compile_fail(struct compiler *c, enum error error, const char *format, ...)
{
    va_list args;
    if (c->error)
        return false;
    c->error = error;
    va_start(args, format);
    vsnprintf(c->why, SCHEMA_WHY_BYTES, format, args);
    va_end(args);
    return false;
}

bool compile_fail_at(struct compiler *c, const struct document *d, const struct json_node *node,
                     const char *format, ...)
{
    char path[SCHEMA_PATH_BYTES];
    va_list args;
    if (c->error)
        return false;
    c->error = ERR_SCHEMA_INVALID;
    json_path(&d->json, node, path, sizeof(path));
    const int n = snprintf(c->why, SCHEMA_WHY_BYTES, "%s: ", path);
    va_start(args, format);
    vsnprintf(c->why + n, (size_t)(SCHEMA_WHY_BYTES - n), format, args);
    va_end(args);
    return false;
}

void *compile_get(struct compiler *c, size_t bytes)
{
    void *piece = arena_get(c->arena, bytes);
    if (!piece)
        compile_fail(c, ERR_SCHEMA_LIMIT, "the schema needs more memory than a schema may");
    return piece;
}

static bool rules_grow(struct compiler *c)
{
    if (c->rule_count < c->rules_room)
        return true;
    if (c->rules_room >= RULES_MAX)
        return compile_fail(c, ERR_SCHEMA_LIMIT, "more than %d schemas in one", RULES_MAX);
    const uint32_t room = c->rules_room ? c->rules_room * 2 : RULES_FIRST;
    struct rule **rules = compile_get(c, room * sizeof(struct rule *));
    if (!rules)
        return false;
    if (c->rules)
        memcpy(rules, c->rules, c->rule_count * sizeof(struct rule *));
    c->rules = rules;
    c->rules_room = room;
    return true;
}

const struct rule *compile_rule(struct compiler *c, struct document *d, uint32_t node)
{
    const struct json_node *schema = &d->json.nodes[node];
    if (d->rule_of[node])
        return d->rule_of[node];
    if (schema->type != JSON_OBJECT && schema->type != JSON_TRUE && schema->type != JSON_FALSE) {
        compile_fail_at(c, d, schema, "a schema is an object or true or false");
        return NULL;
    }
    if (!d->resource_of[node]) {
        compile_fail_at(c, d, schema, "no keyword says that this is a schema");
        return NULL;
    }
    if (!rules_grow(c))
        return NULL;
    struct rule *rule = compile_get(c, sizeof(*rule));
    if (!rule)
        return NULL;
    *rule = (struct rule){ .json = &d->json,
                           .resource = d->resource_of[node],
                           .node = node,
                           .types = TYPE_ANY,
                           .never = schema->type == JSON_FALSE };
    d->rule_of[node] = rule;
    c->rules[c->rule_count++] = rule;
    return rule;
}

/* ---- scope ---- */

/* Every dynamic anchor may be meant by a $dynamicRef, depending on the way there. */
static bool dynamic_rules(struct compiler *c)
{
    for (const struct anchor *a = c->anchors; a && c->dynamic; a = a->next)
        if (a->dynamic && !compile_rule(c, a->resource->document, a->node))
            return false;
    return true;
}

static bool dynamic_tables(struct compiler *c)
{
    for (struct resource *r = c->resources; r && c->dynamic; r = r->next) {
        uint32_t n = 0;
        for (const struct anchor *a = c->anchors; a; a = a->next)
            n += a->dynamic && a->resource == r;
        r->dynamic = n ? compile_get(c, n * sizeof(*r->dynamic)) : NULL;
        if (n && !r->dynamic)
            return false;
        for (const struct anchor *a = c->anchors; a; a = a->next)
            if (a->dynamic && a->resource == r)
                r->dynamic[r->dynamic_count++] =
                    (struct dynamic_anchor){ a->name, r->document->rule_of[a->node] };
    }
    return true;
}

/* ---- circles ---- */

/* The i-th rule that is applied to the same value as `rule`, or NULL behind the last. A $dynamicRef is left
 * to SCHEMA_DEPTH_MAX: where it leads is known only when checking. */
static const struct rule *same_value(const struct rule *rule, uint32_t i)
{
    const struct rule_logic *l = rule->logic;
    if (l) {
        const struct rule *single[] = { l->reference, l->not, l->condition, l->then, l->otherwise };
        const struct rule_list *lists[] = { &l->all, &l->any, &l->one };
        for (uint32_t k = 0; k < 5; k++)
            if (single[k] && i-- == 0)
                return single[k];
        for (uint32_t k = 0; k < 3; k++) {
            if (i < lists[k]->count)
                return lists[k]->at[i];
            i -= lists[k]->count;
        }
    }
    for (uint32_t k = 0; rule->object && k < rule->object->dependency_count; k++)
        if (rule->object->dependencies[k].rule && i-- == 0)
            return rule->object->dependencies[k].rule;
    return NULL;
}

enum { MARK_NEW, MARK_OPEN, MARK_DONE };

/* A rule that leads back to itself without going into the value would be applied for ever. */
static bool circles_none(struct compiler *c)
{
    struct step {
        struct rule *rule;
        uint32_t next;
    } *way = compile_get(c, (c->rule_count + 1) * sizeof(*way));
    if (!way)
        return false;
    for (uint32_t r = 0; r < c->rule_count; r++) {
        uint32_t depth = 0;
        if (c->rules[r]->mark != MARK_NEW)
            continue;
        c->rules[r]->mark = MARK_OPEN;
        way[depth++] = (struct step){ c->rules[r], 0 };
        while (depth) {
            struct step *top = &way[depth - 1];
            struct rule *to = (struct rule *)same_value(top->rule, top->next++);
            if (!to) {
                top->rule->mark = MARK_DONE;
                depth--;
            } else if (to->mark == MARK_OPEN) {
                char path[SCHEMA_PATH_BYTES];
                json_path(to->json, &to->json->nodes[to->node], path, sizeof(path));
                return compile_fail(
                    c, ERR_SCHEMA_INVALID,
                    "%s: refers back to itself without going into the value: it would never end", path);
            } else if (to->mark == MARK_NEW) {
                to->mark = MARK_OPEN;
                way[depth++] = (struct step){ to, 0 };
            }
        }
    }
    return true;
}

static const struct schema_program *compile(struct compiler *c, struct bytes text)
{
    struct schema_program *program = compile_get(c, sizeof(*program));
    const struct bytes base = c->options->base.at ? c->options->base : bytes_of("");
    struct document *d = program ? document_add(c, text, base) : NULL;
    program = d ? program : NULL;
    if (!program || !(program->root = compile_rule(c, d, 0)))
        return NULL;
    do {
        while (c->filled < c->rule_count) {
            struct rule *rule = c->rules[c->filled++];
            if (!compile_keywords(c, rule->resource->document, rule))
                return NULL;
        }
        if (!dynamic_rules(c))
            return NULL;
    } while (c->filled < c->rule_count);
    program->dynamic = c->dynamic;
    return dynamic_tables(c) && circles_none(c) ? program : NULL;
}

const struct schema_program *schema_compile(struct arena *arena, struct bytes text,
                                            const struct schema_options *options, enum error *error,
                                            char *why)
{
    const struct schema_options none = { 0 };
    struct compiler c = { .arena = arena, .options = options ? options : &none, .why = why };
    why[0] = 0;
    const struct schema_program *program = compile(&c, text);
    if (!program)
        compile_fail(&c, ERR_SCHEMA_LIMIT, "the schema needs more memory than a schema may");
    *error = c.error;
    return c.error ? NULL : program;
}
