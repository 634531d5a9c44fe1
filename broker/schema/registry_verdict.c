/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry_verdict.c: is a candidate a schema, is it one that is known, and may it become a version?
 */
#include <stdio.h>
#include <string.h>

#include "schema/registry_own.h"

/* References of references are looked through this far, and so many of them in all for one $ref: a few that
 * each have many would else be more than can be counted. */
enum { RESOLVE_DEPTH_MAX = 16, RESOLVE_LOOKS_MAX = 1024 };

/* ---- references ---- */

static bool name_is(struct bytes name, struct bytes uri, struct bytes reference)
{
    const uint8_t *hash = reference.len ? memchr(reference.at, '#', reference.len) : NULL;
    if (hash)
        reference.len = (uint32_t)(hash - reference.at);
    return bytes_same(name, reference) || bytes_same(name, uri);
}

static bool resolve_in(const struct registry *r, const struct registry_candidate *candidate, struct bytes uri,
                       struct bytes reference, struct bytes *text, uint32_t depth, uint32_t *looks)
{
    for (uint32_t i = 0; i < candidate->reference_count && depth < RESOLVE_DEPTH_MAX; i++) {
        if (++*looks > RESOLVE_LOOKS_MAX)
            return false;
        const struct registry_reference *ref = &candidate->references[i];
        const struct subject *s = subject_find(r, ref->subject);
        const struct version *v = s ? version_find(s, ref->version) : NULL;
        if (!v)
            continue;
        if (name_is(ref->name, uri, reference)) {
            *text = v->body->text;
            return true;
        }
        const struct registry_candidate further = candidate_of(v->body);
        if (resolve_in(r, &further, uri, reference, text, depth + 1, looks))
            return true;
    }
    return false;
}

bool registry_resolve(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text)
{
    const struct resolver *resolver = ctx;
    uint32_t looks = 0;
    return resolve_in(resolver->registry, resolver->candidate, uri, reference, text, 0, &looks);
}

static enum error references_valid(struct registry *r, const struct registry_candidate *candidate, char *why)
{
    for (uint32_t i = 0; i < candidate->reference_count; i++) {
        const struct registry_reference *ref = &candidate->references[i];
        const struct subject *s = subject_find(r, ref->subject);
        const struct version *v = s ? version_find(s, ref->version) : NULL;
        if (v && !v->deleted && ref->name.len)
            continue;
        snprintf(why, REGISTRY_WHY_BYTES,
                 "the reference '%.*s' is to subject %.*s, version %u, which is not there: register it first",
                 (int)(ref->name.len < 80 ? ref->name.len : 80), (const char *)ref->name.at,
                 (int)(ref->subject.len < 80 ? ref->subject.len : 80), (const char *)ref->subject.at,
                 ref->version);
        return ERR_SCHEMA_REFERENCE;
    }
    return ERR_OK;
}

/* ---- is it a schema? ---- */

enum error registry_valid(struct registry *r, const struct registry_candidate *candidate, char *why)
{
    struct resolver resolver = { r, candidate };
    const struct schema_options options = { .resolve = registry_resolve, .ctx = &resolver };
    struct arena arena;
    enum error error;
    if (candidate->type != REGISTRY_JSON) {
        snprintf(why, REGISTRY_WHY_BYTES,
                 "a kind of schema that this broker does not know: it knows JSON Schema");
        return ERR_SCHEMA_INVALID;
    }
    if (candidate->text.len > REGISTRY_TEXT_MAX || candidate->reference_count > REGISTRY_REFERENCES_MAX) {
        snprintf(why, REGISTRY_WHY_BYTES, "a schema has at most %d bytes and %d references",
                 REGISTRY_TEXT_MAX, REGISTRY_REFERENCES_MAX);
        return ERR_SCHEMA_LIMIT;
    }
    error = references_valid(r, candidate, why);
    if (error)
        return error;
    arena_init(&arena, &registry_memory, REGISTRY_ARENA_BYTES);
    schema_compile(&arena, candidate->text, &options, &error, why);
    arena_free(&arena);
    return error;
}

/* ---- is it one that is known? ---- */

/* Reads a text into memory of its own; call json_close(). */
struct read_json {
    struct json json;
    void *block;
    uint64_t bytes;
};

static bool json_open(struct read_json *read, struct bytes text)
{
    const struct json_limits limits = { .depth = JSON_DEPTH_MAX };
    const uint32_t values = text.len + 1 < SCHEMA_VALUES_MAX ? text.len + 1 : SCHEMA_VALUES_MAX;
    char why[JSON_WHY_BYTES];
    read->bytes = json_scratch_bytes(values, text.len);
    read->block = mem_alloc(MEM_SCHEMA, read->bytes);
    json_init(&read->json, read->block, values, text.len);
    return json_read(&read->json, text, &limits, why) == ERR_OK;
}

static void json_close(struct read_json *read)
{
    mem_free(MEM_SCHEMA, read->block, read->bytes);
}

uint32_t candidate_hash(const struct registry_candidate *candidate)
{
    struct read_json read;
    const uint32_t hash =
        json_open(&read, candidate->text) ? json_value_hash(&read.json, read.json.nodes) : 0;
    json_close(&read);
    return hash;
}

static bool references_same(const struct registry_candidate *candidate, const struct body *body)
{
    bool same = candidate->reference_count == body->reference_count;
    for (uint32_t i = 0; same && i < body->reference_count; i++) {
        const struct registry_reference *a = &candidate->references[i], *b = &body->references[i];
        same = bytes_same(a->name, b->name) && bytes_same(a->subject, b->subject) && a->version == b->version;
    }
    return same;
}

bool candidate_is(const struct registry_candidate *candidate, uint32_t hash, const struct body *body)
{
    struct read_json a, b;
    uint64_t steps = 0;
    if (hash != body->hash || candidate->type != body->type || !references_same(candidate, body))
        return false;
    if (bytes_same(candidate->text, body->text))
        return true;
    const bool read_a = json_open(&a, candidate->text), read_b = json_open(&b, body->text);
    const bool same = read_a && read_b && json_equal(&a.json, a.json.nodes, &b.json, b.json.nodes, &steps);
    json_close(&a);
    json_close(&b);
    return same;
}

/* ---- may it become a version? ---- */

struct verdict {
    struct registry *registry;
    const struct registry_candidate *candidate;
    registry_object *each;
    void *ctx;
    char *why;
    bool objected;
};

/* One direction: data of `old` read with `new`. */
static enum error direction_check(struct verdict *verdict, const struct registry_candidate *old,
                                  const struct registry_candidate *new, uint32_t version, bool forward)
{
    struct resolver resolvers[] = { { verdict->registry, old }, { verdict->registry, new } };
    const struct schema_version from = { old->text, { .resolve = registry_resolve, .ctx = &resolvers[0] } };
    const struct schema_version to = { new->text, { .resolve = registry_resolve, .ctx = &resolvers[1] } };
    struct schema_diff diff;
    struct arena arena;
    arena_init(&arena, &registry_memory, REGISTRY_ARENA_BYTES);
    const enum error error = schema_diff(&arena, &from, &to, &diff, verdict->why);
    for (uint32_t i = 0; !error && !diff.compatible && i < diff.count; i++) {
        const struct registry_objection objection = { version, forward, &diff.rows[i] };
        if (schema_change_effect(diff.rows[i].change) != CHANGE_BREAKS)
            continue;
        if (verdict->each)
            verdict->each(verdict->ctx, &objection);
        if (!verdict->objected)
            snprintf(verdict->why, REGISTRY_WHY_BYTES, "not %s compatible with version %u: %s at %s",
                     forward ? "forward" : "backward", version, schema_change_name(diff.rows[i].change),
                     diff.rows[i].path);
        verdict->objected = true;
    }
    arena_free(&arena);
    return error;
}

static enum error version_check(struct verdict *verdict, const struct version *v, enum registry_level level)
{
    const struct registry_candidate known = candidate_of(v->body);
    const bool backward = level != LEVEL_FORWARD && level != LEVEL_FORWARD_TRANSITIVE;
    const bool forward = level != LEVEL_BACKWARD && level != LEVEL_BACKWARD_TRANSITIVE;
    enum error error = ERR_OK;
    if (backward)
        error = direction_check(verdict, &known, verdict->candidate, v->number, false);
    if (!error && forward)
        error = direction_check(verdict, verdict->candidate, &known, v->number, true);
    return error;
}

enum error registry_check(struct registry *r, struct bytes subject, uint32_t version,
                          const struct registry_candidate *candidate, registry_object *each, void *ctx,
                          char *why)
{
    struct verdict verdict = { r, candidate, each, ctx, why, false };
    const struct subject *s = subject_find(r, subject);
    enum registry_level level;
    enum error error = registry_valid(r, candidate, why);
    registry_level(r, subject, &level);
    if (error || !s || level == LEVEL_NONE)
        return error;
    const bool transitive = level == LEVEL_BACKWARD_TRANSITIVE || level == LEVEL_FORWARD_TRANSITIVE ||
                            level == LEVEL_FULL_TRANSITIVE;
    for (uint32_t i = s->count; i-- > 0 && !error;) {
        if (s->versions[i].deleted || (version && s->versions[i].number != version))
            continue;
        error = version_check(&verdict, &s->versions[i], level);
        if (!transitive)
            break;
    }
    return error ? error : verdict.objected ? ERR_SCHEMA_INCOMPATIBLE : ERR_OK;
}
