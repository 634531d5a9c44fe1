/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/check.c: a program applied to an event: strings, numbers, and what all values share.
 */
#include <stdarg.h>
#include <stdio.h>

#include "proto/schema/check_own.h"

/* ---- the checker ---- */

/* Marks are taken for a value of the way down and at most once more per branch on it; what no event needs is
 * refused by name. */
static uint32_t marks_words(uint32_t values)
{
    return values / 16 + 4096;
}

struct schema_checker *schema_checker_new(const struct schema_memory *memory, uint32_t event_bytes,
                                          uint32_t values)
{
    const uint64_t json_bytes = json_scratch_bytes(values, event_bytes);
    const uint64_t marks_bytes = (uint64_t)marks_words(values) * sizeof(uint64_t);
    const uint64_t bytes = sizeof(struct schema_checker) + json_bytes + marks_bytes;
    uint8_t *block = memory->get(memory->ctx, bytes);
    if (!block)
        return NULL;
    struct schema_checker *c = (struct schema_checker *)(void *)block;
    *c = (struct schema_checker){ .memory = *memory, .block_bytes = bytes };
    block += sizeof(*c);
    c->marks = (uint64_t *)(void *)block;
    c->marks_room = marks_words(values);
    block += marks_bytes;
    json_init(&c->json, block, values, event_bytes);
    c->matcher = regex_matcher_new(memory);
    if (!c->matcher) {
        schema_checker_free(c);
        return NULL;
    }
    return c;
}

void schema_checker_free(struct schema_checker *c)
{
    if (!c)
        return;
    const struct schema_memory memory = c->memory;
    regex_matcher_free(c->matcher);
    memory.put(memory.ctx, c, c->block_bytes);
}

bool spend(struct schema_checker *c, uint64_t steps)
{
    c->steps -= (int64_t)steps;
    if (c->steps < 0)
        c->fatal = c->stop = true;
    return !c->fatal;
}

bool marks_take(struct schema_checker *c, const struct json_node *node, struct marks *marks)
{
    const uint32_t words = node->size / 64 + 1;
    if (words > c->marks_room - c->marks_used) {
        c->fatal = c->stop = true;
        return false;
    }
    *marks = (struct marks){ c->marks + c->marks_used, words };
    c->marks_used += words;
    memset(marks->bits, 0, words * sizeof(uint64_t));
    return spend(c, words);
}

/* ---- what is told ---- */

/* "a string of 300 bytes", or the value itself where it is short. */
static void found_write(const struct json *json, const struct json_node *node, char *out)
{
    const struct bytes b = json_bytes(json, node);
    const int most = 60;
    switch ((enum json_type)node->type) {
    case JSON_ARRAY:
        snprintf(out, SCHEMA_TEXT_BYTES, "an array of %u", node->size);
        break;
    case JSON_OBJECT:
        snprintf(out, SCHEMA_TEXT_BYTES, "an object of %u members", node->size);
        break;
    case JSON_STRING:
        snprintf(out, SCHEMA_TEXT_BYTES, "\"%.*s%s\"", (int)b.len < most ? (int)b.len : most,
                 (const char *)b.at, (int)b.len > most ? "..." : "");
        break;
    default:
        snprintf(out, SCHEMA_TEXT_BYTES, "%.*s%s", (int)b.len < most ? (int)b.len : most, (const char *)b.at,
                 (int)b.len > most ? "..." : "");
        break;
    }
}

/* Cuts no character in half: texts of faults are UTF-8. */
static void cut_cleanly(char *text)
{
    size_t n = strlen(text);
    if (n + 1 < SCHEMA_TEXT_BYTES)
        return;
    while (n && ((uint8_t)text[n - 1] & 0xc0) == 0x80)
        text[--n] = 0;
    if (n && (uint8_t)text[n - 1] >= 0xc0)
        text[n - 1] = 0;
}

bool fault(struct schema_checker *c, const struct json_node *node, const char *keyword, const char *expected,
           ...)
{
    struct schema_result *r = c->result;
    va_list args;
    if (c->quiet || c->fatal)
        return false;
    if (r->count < r->room) {
        struct schema_fault *f = &r->faults[r->count++];
        f->keyword = keyword;
        json_path(&c->json, node, f->path, sizeof(f->path));
        va_start(args, expected);
        vsnprintf(f->expected, sizeof(f->expected), expected, args);
        va_end(args);
        cut_cleanly(f->expected);
        found_write(&c->json, node, f->found);
    }
    c->stop = r->count >= r->room;
    return false;
}

/* ---- strings, numbers, types ---- */

bool pattern_holds(struct schema_checker *c, const struct regex *regex, const struct json_node *node)
{
    const int result = regex_match(regex, c->matcher, json_bytes(&c->json, node), &c->steps);
    if (result < 0 || c->steps < 0)
        c->fatal = c->stop = true;
    return result == 1 && !c->fatal;
}

static bool string_check(struct schema_checker *c, const struct rule_string *s, const struct json_node *node)
{
    bool ok = true;
    if (s->min || s->max != UINT32_MAX) {
        const uint32_t n = json_characters(&c->json, node);
        if (n < s->min)
            ok = fault(c, node, "minLength", "at least %u characters", s->min);
        else if (n > s->max)
            ok = fault(c, node, "maxLength", "at most %u characters", s->max);
    }
    if (!ok && c->stop)
        return false;
    if (s->format && !s->format->valid(json_bytes(&c->json, node)))
        ok = fault(c, node, "format", "%s", s->format->name);
    if (!ok && c->stop)
        return false;
    if (s->pattern && !pattern_holds(c, s->pattern, node)) {
        const struct bytes text = regex_text(s->pattern);
        ok = fault(c, node, "pattern", "a match of %.*s", (int)(text.len < 100 ? text.len : 100),
                   (const char *)text.at);
    }
    return ok;
}

static bool bound_fault(struct schema_checker *c, const struct json_node *node, const char *keyword,
                        const char *words, struct bytes bound)
{
    return fault(c, node, keyword, "%s %.*s", words, (int)(bound.len < 60 ? bound.len : 60),
                 (const char *)bound.at);
}

static bool number_check(struct schema_checker *c, const struct rule_number *n, const struct json_node *node)
{
    const struct bytes v = json_bytes(&c->json, node);
    bool ok = true;
    if (n->minimum.at && decimal_compare(v, n->minimum) < 0)
        ok = bound_fault(c, node, "minimum", "at least", n->minimum);
    if (n->maximum.at && decimal_compare(v, n->maximum) > 0 && (ok || !c->stop))
        ok = bound_fault(c, node, "maximum", "at most", n->maximum);
    if (n->above.at && decimal_compare(v, n->above) <= 0 && (ok || !c->stop))
        ok = bound_fault(c, node, "exclusiveMinimum", "more than", n->above);
    if (n->below.at && decimal_compare(v, n->below) >= 0 && (ok || !c->stop))
        ok = bound_fault(c, node, "exclusiveMaximum", "less than", n->below);
    if (n->multiple.at && !decimal_multiple(v, &n->divisor) && (ok || !c->stop))
        ok = bound_fault(c, node, "multipleOf", "a multiple of", n->multiple);
    return ok;
}

static bool type_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node)
{
    static const uint8_t bits[] = { TYPE_NULL,   TYPE_BOOLEAN, TYPE_BOOLEAN, TYPE_NUMBER,
                                    TYPE_STRING, TYPE_ARRAY,   TYPE_OBJECT };
    static const char *const names[] = {
        "null", "boolean", "number", "string", "array", "object", "integer"
    };
    char expected[80] = "";
    if (rule->types & bits[node->type])
        return true;
    if (rule->types & TYPE_INTEGER && node->type == JSON_NUMBER &&
        (node->flags & JSON_INTEGER || decimal_integer(json_bytes(&c->json, node))))
        return true;
    for (uint32_t i = 0, n = 0; i < 7 && !c->quiet; i++)
        if (rule->types >> i & 1 && !(i == 6 && rule->types & TYPE_NUMBER))
            n += (uint32_t)snprintf(expected + n, sizeof(expected) - n, "%s%s", n ? " or " : "", names[i]);
    return fault(c, node, "type", "%s", expected);
}

/* ---- rules ---- */

static inline bool kind_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                              struct marks *marks)
{
    switch ((enum json_type)node->type) {
    case JSON_STRING:
        return !rule->string || string_check(c, rule->string, node);
    case JSON_NUMBER:
        return !rule->number || number_check(c, rule->number, node);
    case JSON_ARRAY:
        return !rule->array || array_check(c, rule->array, node, marks);
    case JSON_OBJECT:
        return !rule->object || object_check(c, rule->object, node, marks);
    default:
        return true;
    }
}

static bool rule_apply(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                       struct marks *outer)
{
    const bool collects = (rule->unevaluated_items && node->type == JSON_ARRAY) ||
                          (rule->unevaluated_properties && node->type == JSON_OBJECT);
    const uint32_t marks_before = c->marks_used;
    struct marks own;
    bool ok = rule->types == TYPE_ANY || type_check(c, rule, node);
    if (!ok && c->stop)
        return false;
    if (collects && !marks_take(c, node, &own))
        return false;
    struct marks *marks = collects ? &own : outer;
    ok &= kind_check(c, rule, node, marks);
    if ((ok || !c->stop) && rule->logic)
        ok &= logic_check(c, rule, node, marks);
    if (collects) {
        if (ok || !c->stop)
            ok &= unevaluated_check(c, rule, node, &own);
        mark_all(outer, &own);
        c->marks_used = marks_before;
    }
    return ok;
}

bool rule_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                struct marks *outer)
{
    const struct scope scope = { rule->resource, c->scope };
    const bool enters = c->dynamic && (!c->scope || c->scope->resource != rule->resource);
    if (rule->never)
        return fault(c, node, "false", "nothing is allowed here");
    if (c->depth >= SCHEMA_DEPTH_MAX)
        c->fatal = c->stop = true;
    if (!spend(c, 1))
        return false;
    c->depth++;
    if (enters)
        c->scope = &scope;
    const bool ok = rule_apply(c, rule, node, outer);
    if (enters)
        c->scope = scope.outer;
    c->depth--;
    return ok && !c->fatal;
}

bool rule_holds(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                struct marks *outer)
{
    const bool stop = c->stop;
    c->quiet++;
    c->stop = true;
    const bool ok = rule_check(c, rule, node, outer);
    c->quiet--;
    c->stop = stop || c->fatal;
    return ok;
}

enum error schema_check(struct schema_checker *c, const struct schema_program *program, struct bytes text,
                        const struct json_limits *limits, struct schema_result *result)
{
    result->count = 0;
    result->why[0] = 0;
    const enum error error = json_read(&c->json, text, limits, result->why);
    if (error)
        return error;
    c->result = result;
    c->scope = NULL;
    c->marks_used = c->depth = c->quiet = 0;
    c->dynamic = program->dynamic;
    c->stop = result->room == 0;
    c->fatal = false;
    c->steps = SCHEMA_STEPS + (int64_t)c->json.count * SCHEMA_STEPS_PER_VALUE;
    const bool ok = rule_check(c, program->root, c->json.nodes, NULL);
    if (c->fatal) {
        snprintf(
            result->why, sizeof(result->why),
            "to decide whether it fits the schema would take too long: a pattern, or rules within rules");
        return ERR_SCHEMA_CHECK_LIMIT;
    }
    if (ok)
        return ERR_OK;
    if (result->count)
        snprintf(result->why, sizeof(result->why), "%.80s: %s: expected %.70s, found %.60s",
                 result->faults[0].path, result->faults[0].keyword, result->faults[0].expected,
                 result->faults[0].found);
    else
        snprintf(result->why, sizeof(result->why), "it does not fit the schema");
    return ERR_SCHEMA_MISMATCH;
}
