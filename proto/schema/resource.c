/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/resource.c: documents, the URIs and anchors in them, and where a reference leads.
 */
#include <stdlib.h>

#include "proto/schema/compile_own.h"
#include "proto/schema/uri.h"

/* ---- what kind of schema it is ---- */

static bool text_is(struct bytes b, const char *text)
{
    return b.len == strlen(text) && memcmp(b.at, text, b.len) == 0;
}

static struct bytes without_fragment(struct bytes uri)
{
    const uint8_t *hash = uri.len ? memchr(uri.at, '#', uri.len) : NULL;
    if (hash)
        uri.len = (uint32_t)(hash - uri.at);
    return uri;
}

/* Copies what was read out of its scratch, so that scratch can be large and kept by nobody. */
static bool json_keep(struct compiler *c, struct json *json, struct bytes text)
{
    uint8_t *copy = compile_get(c, text.len + 1), *decoded = compile_get(c, json->decoded_bytes + 1);
    struct json_node *nodes = compile_get(c, json->count * sizeof(*nodes));
    if (!copy || !decoded || !nodes)
        return false;
    memcpy(copy, text.at, text.len);
    memcpy(decoded, json->decoded, json->decoded_bytes);
    memcpy(nodes, json->nodes, json->count * sizeof(*nodes));
    json->text = copy;
    json->decoded = decoded;
    json->nodes = nodes;
    json->table = NULL;
    return true;
}

static bool json_load(struct compiler *c, struct bytes text, struct bytes uri, struct json *json)
{
    const struct json_limits limits = { .depth = JSON_DEPTH_MAX };
    const struct schema_memory *memory = &c->arena->memory;
    const uint32_t values = text.len < SCHEMA_VALUES_MAX ? text.len + 1 : SCHEMA_VALUES_MAX;
    const uint64_t bytes = json_scratch_bytes(values, text.len);
    char why[JSON_WHY_BYTES];
    void *block = bytes <= c->arena->limit * 4 ? memory->get(memory->ctx, bytes) : NULL;
    if (!block)
        return compile_fail(c, ERR_SCHEMA_LIMIT, "no memory to read a schema of %u bytes", text.len);
    json_init(json, block, values, text.len);
    const enum error error = json_read(json, text, &limits, why);
    const bool ok = error == ERR_OK
                        ? json_keep(c, json, text)
                        : compile_fail(c, error == ERR_JSON_LIMIT ? ERR_SCHEMA_LIMIT : ERR_SCHEMA_INVALID,
                                       "%.*s%snot JSON: %s", (int)(uri.len < 80 ? uri.len : 80),
                                       (const char *)uri.at, uri.len ? " is " : "", why);
    memory->put(memory->ctx, block, bytes);
    return ok;
}

static bool lookup_text(struct compiler *c, struct bytes uri, struct bytes reference, struct bytes *text)
{
    *text = metaschema_find(uri);
    return text->at || (c->options->resolve && c->options->resolve(c->options->ctx, uri, reference, text));
}

/* A schema of schemas that is not a draft's own: which keywords does it have mean something? */
static bool dialect_custom(struct compiler *c, struct bytes uri, struct dialect *dialect)
{
    struct json json;
    struct bytes text;
    if (!lookup_text(c, uri, uri, &text))
        return compile_fail(
            c, ERR_SCHEMA_REFERENCE,
            "$schema is '%.*s': only drafts 2020-12 and 7 are known, and no reference has that name",
            (int)(uri.len < 100 ? uri.len : 100), (const char *)uri.at);
    if (!json_load(c, text, uri, &json))
        return false;
    const struct json_node *root = json.nodes;
    const struct json_node *words =
        root->type == JSON_OBJECT ? json_member(&json, root, bytes_of("$vocabulary")) : NULL;
    *dialect = (struct dialect){ .draft = 20, .validation = !words };
    if (!words || words->type != JSON_OBJECT)
        return true;
    const struct json_node *key = words + 1;
    for (uint32_t i = 0; i < words->size; i++, key = &json.nodes[key[1].next]) {
        static const char prefix[] = "https://json-schema.org/draft/2020-12/vocab/";
        const struct bytes name = json_bytes(&json, key);
        const bool known = name.len > sizeof(prefix) - 1 && memcmp(name.at, prefix, sizeof(prefix) - 1) == 0;
        if (!known && key[1].type == JSON_TRUE)
            return compile_fail(c, ERR_SCHEMA_INVALID,
                                "its $schema demands the vocabulary '%.*s', which is not known",
                                (int)(name.len < 100 ? name.len : 100), (const char *)name.at);
        if (!known)
            continue;
        const struct bytes last = { name.at + sizeof(prefix) - 1, name.len - (uint32_t)(sizeof(prefix) - 1) };
        dialect->validation |= text_is(last, "validation");
        dialect->assert_format |= text_is(last, "format-assertion");
    }
    return true;
}

static bool dialect_find(struct compiler *c, struct document *d)
{
    const struct json_node *root = d->json.nodes;
    const struct json_node *named = root->type == JSON_OBJECT ? keyword_of(d, root, "$schema") : NULL;
    const struct document *first = c->documents;
    while (first && first->next)
        first = first->next;
    d->dialect = (struct dialect){ .draft = c->options->draft == 7 ? 7 : 20, .validation = true };
    if (!named) {
        if (first)
            d->dialect = first->dialect; /* a part of a schema speaks as the whole does */
        return true;
    }
    if (named->type != JSON_STRING)
        return compile_fail_at(c, d, named, "$schema is a URI in quotes");
    const struct bytes uri = without_fragment(json_bytes(&d->json, named));
    d->dialect.draft = 20;
    if (text_is(uri, "https://json-schema.org/draft/2020-12/schema"))
        return true;
    d->dialect.draft = 7;
    if (text_is(uri, "http://json-schema.org/draft-07/schema") ||
        text_is(uri, "https://json-schema.org/draft-07/schema"))
        return true;
    return dialect_custom(c, uri, &d->dialect);
}

/* ---- finding what has a name ---- */

static struct resource *resource_find(struct compiler *c, struct bytes uri)
{
    struct resource *r = c->resources;
    while (r && !bytes_same(r->uri, uri))
        r = r->next;
    return r;
}

static struct resource *resource_add(struct compiler *c, struct document *d, uint32_t node, struct bytes uri)
{
    struct resource *r = compile_get(c, sizeof(*r));
    if (!r)
        return NULL;
    *r = (struct resource){ .next = c->resources, .uri = uri, .document = d, .node = node };
    c->resources = r;
    return r;
}

static bool anchor_add(struct compiler *c, const struct resource *r, uint32_t node, struct bytes name,
                       bool dynamic)
{
    struct anchor *a = compile_get(c, sizeof(*a));
    if (!a)
        return false;
    *a = (struct anchor){ .next = c->anchors, .resource = r, .name = name, .node = node, .dynamic = dynamic };
    c->anchors = a;
    return true;
}

/* $id: a URI of its own from here on, or (draft 7) an anchor. */
static bool index_id(struct compiler *c, struct document *d, uint32_t node, struct resource **resource)
{
    const struct json_node *schema = &d->json.nodes[node], *id = keyword_of(d, schema, "$id");
    if (!id || (d->dialect.draft == 7 && keyword_of(d, schema, "$ref")))
        return true;
    if (id->type != JSON_STRING)
        return compile_fail_at(c, d, id, "$id is a URI in quotes");
    const struct bytes text = json_bytes(&d->json, id);
    const struct uri uri = uri_split(text);
    if (uri.has_fragment && uri.fragment.len && d->dialect.draft == 20)
        return compile_fail_at(c, d, id, "$id has a fragment; $anchor gives names to places");
    if (!uri.has_fragment || uri.fragment.len + 1 < text.len) {
        const struct bytes whole = uri_resolve(c->arena, (*resource)->uri, text);
        struct resource *known = whole.at ? resource_find(c, whole) : NULL;
        if (known && (known->document != d || known->node != node))
            return compile_fail_at(c, d, id, "two schemas have the $id '%.*s'",
                                   (int)(whole.len < 80 ? whole.len : 80), (const char *)whole.at);
        *resource = known ? known : whole.at ? resource_add(c, d, node, whole) : NULL;
        if (!*resource)
            return compile_fail(c, ERR_SCHEMA_LIMIT, "the schema needs more memory than a schema may");
    }
    return !uri.has_fragment || !uri.fragment.len || anchor_add(c, *resource, node, uri.fragment, false);
}

static bool index_anchors(struct compiler *c, struct document *d, uint32_t node,
                          const struct resource *resource)
{
    static const char *const names[] = { "$anchor", "$dynamicAnchor" };
    for (uint32_t i = 0; i < 2 && d->dialect.draft == 20; i++) {
        const struct json_node *name = keyword_of(d, &d->json.nodes[node], names[i]);
        if (!name)
            continue;
        if (name->type != JSON_STRING)
            return compile_fail_at(c, d, name, "%s is a name in quotes", names[i]);
        if (!anchor_add(c, resource, node, json_bytes(&d->json, name), i == 1))
            return false;
    }
    return true;
}

enum place { PLACE_NONE, PLACE_SCHEMA, PLACE_SCHEMAS, PLACE_NAMED };

/* Where a keyword holds schemas: it is one, a list of them (or one), or an object of them. */
static enum place place_of(struct bytes keyword)
{
    static const struct {
        const char *name;
        enum place place;
    } rows[] = {
        { "properties", PLACE_NAMED },
        { "patternProperties", PLACE_NAMED },
        { "$defs", PLACE_NAMED },
        { "definitions", PLACE_NAMED },
        { "dependentSchemas", PLACE_NAMED },
        { "dependencies", PLACE_NAMED },
        { "allOf", PLACE_SCHEMAS },
        { "anyOf", PLACE_SCHEMAS },
        { "oneOf", PLACE_SCHEMAS },
        { "prefixItems", PLACE_SCHEMAS },
        { "items", PLACE_SCHEMAS },
        { "additionalItems", PLACE_SCHEMA },
        { "contains", PLACE_SCHEMA },
        { "additionalProperties", PLACE_SCHEMA },
        { "propertyNames", PLACE_SCHEMA },
        { "not", PLACE_SCHEMA },
        { "if", PLACE_SCHEMA },
        { "then", PLACE_SCHEMA },
        { "else", PLACE_SCHEMA },
        { "unevaluatedItems", PLACE_SCHEMA },
        { "unevaluatedProperties", PLACE_SCHEMA },
        { "contentSchema", PLACE_SCHEMA },
    };
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (text_is(keyword, rows[i].name))
            return rows[i].place;
    return PLACE_NONE;
}

static bool index_children(struct compiler *c, struct document *d, const struct json_node *value,
                           enum place place, struct resource *resource)
{
    const struct json_node *nodes = d->json.nodes, *child = value + 1;
    if (place == PLACE_SCHEMA || (place == PLACE_SCHEMAS && value->type != JSON_ARRAY))
        return document_index(c, d, (uint32_t)(value - nodes), resource);
    if (value->type != (place == PLACE_NAMED ? JSON_OBJECT : JSON_ARRAY))
        return true; /* refused by the keyword itself, if it counts */
    for (uint32_t i = 0; i < value->size; i++) {
        child += place == PLACE_NAMED;
        if (!document_index(c, d, (uint32_t)(child - nodes), resource))
            return false;
        child = &nodes[child->next];
    }
    return true;
}

bool document_index(struct compiler *c, struct document *d, uint32_t node, struct resource *resource)
{
    const struct json_node *schema = &d->json.nodes[node];
    if (schema->type != JSON_OBJECT && schema->type != JSON_TRUE && schema->type != JSON_FALSE)
        return true;
    if (d->resource_of[node])
        return true;
    if (schema->type != JSON_OBJECT) {
        d->resource_of[node] = resource;
        return true;
    }
    if (!index_id(c, d, node, &resource) || !index_anchors(c, d, node, resource))
        return false;
    d->resource_of[node] = resource;
    const struct json_node *key = schema + 1;
    for (uint32_t i = 0; i < schema->size; i++, key = &d->json.nodes[key[1].next]) {
        const enum place place = place_of(json_bytes(&d->json, key));
        if (place != PLACE_NONE && !index_children(c, d, key + 1, place, resource))
            return false;
    }
    return true;
}

struct document *document_add(struct compiler *c, struct bytes text, struct bytes uri)
{
    struct document *d = compile_get(c, sizeof(*d));
    if (!d)
        return NULL;
    if (c->document_count++ == SCHEMA_DOCUMENTS_MAX) {
        compile_fail(c, ERR_SCHEMA_LIMIT, "it refers to more than %d documents", SCHEMA_DOCUMENTS_MAX);
        return NULL;
    }
    if (!json_load(c, text, uri, &d->json) || !dialect_find(c, d))
        return NULL;
    d->next = c->documents;
    c->documents = d;
    d->resource_of = compile_get(c, d->json.count * sizeof(struct resource *));
    d->rule_of = compile_get(c, d->json.count * sizeof(struct rule *));
    struct resource *root = resource_add(c, d, 0, uri);
    if (!d->resource_of || !d->rule_of || !root || !document_index(c, d, 0, root))
        return NULL;
    return d;
}

/* ---- references ---- */

static struct bytes percent_decode(struct compiler *c, struct bytes text)
{
    uint8_t *out = compile_get(c, text.len + 1);
    uint32_t n = 0;
    if (!out)
        return (struct bytes){ 0 };
    for (uint32_t i = 0; i < text.len; i++) {
        char digits[3] = { 0 }, *end;
        if (text.at[i] == '%' && text.len - i > 2) {
            memcpy(digits, text.at + i + 1, 2);
            const unsigned long v = strtoul(digits, &end, 16);
            if (end == digits + 2) {
                out[n++] = (uint8_t)v;
                i += 2;
                continue;
            }
        }
        out[n++] = text.at[i];
    }
    return (struct bytes){ out, n };
}

/* One step of a JSON pointer (RFC 6901): the token is unescaped in place. */
static const struct json_node *pointer_step(const struct document *d, const struct json_node *at,
                                            uint8_t *token, uint32_t len)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < len; i++) {
        const bool escaped = token[i] == '~' && i + 1 < len && (token[i + 1] == '0' || token[i + 1] == '1');
        token[n++] = escaped ? (token[i + 1] == '0' ? '~' : '/') : token[i];
        i += escaped;
    }
    if (at->type == JSON_OBJECT)
        return json_member(&d->json, at, (struct bytes){ token, n });
    if (at->type != JSON_ARRAY || n == 0 || n > 9)
        return NULL;
    uint32_t index = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (token[i] < '0' || token[i] > '9')
            return NULL;
        index = index * 10 + token[i] - '0';
    }
    const struct json_node *child = at + 1;
    if (index >= at->size)
        return NULL;
    while (index--)
        child = &d->json.nodes[child->next];
    return child;
}

static bool pointer_find(struct compiler *c, struct resource *resource, struct bytes pointer,
                         struct target *target)
{
    struct document *d = resource->document;
    const struct json_node *at = &d->json.nodes[resource->node];
    uint8_t *p = (uint8_t *)pointer.at, *end = p + pointer.len;
    while (at && p < end) {
        uint8_t *token = ++p; /* behind the '/' */
        while (p < end && *p != '/')
            p++;
        at = pointer_step(d, at, token, (uint32_t)(p - token));
        if (at && d->resource_of[at - d->json.nodes])
            resource = d->resource_of[at - d->json.nodes];
    }
    if (!at)
        return false;
    target->document = d;
    target->node = (uint32_t)(at - d->json.nodes);
    return document_index(c, d, target->node, resource);
}

static bool anchor_find(struct compiler *c, const struct resource *resource, struct bytes name,
                        struct target *target)
{
    const struct resource *own = resource->document->resource_of[resource->node];
    for (const struct anchor *a = c->anchors; a; a = a->next)
        if (a->resource == (own ? own : resource) && bytes_same(a->name, name)) {
            *target = (struct target){ resource->document, a->node, a };
            return true;
        }
    return false;
}

bool reference_find(struct compiler *c, const struct resource *base, struct bytes reference,
                    struct target *target)
{
    const struct bytes uri = uri_resolve(c->arena, base->uri, reference);
    const struct bytes fragment = percent_decode(c, uri_split(reference).fragment);
    struct bytes text;
    if (!uri.at || !fragment.at)
        return compile_fail(c, ERR_SCHEMA_LIMIT, "the schema needs more memory than a schema may");
    struct resource *resource = resource_find(c, uri);
    if (!resource && lookup_text(c, uri, reference, &text)) {
        if (!document_add(c, text, uri))
            return false;
        resource = resource_find(c, uri);
    }
    *target = (struct target){ 0 };
    bool found = false;
    if (resource && fragment.len == 0) {
        *target = (struct target){ resource->document, resource->node, NULL };
        found = true;
    } else if (resource) {
        found = fragment.at[0] == '/' ? pointer_find(c, resource, fragment, target)
                                      : anchor_find(c, resource, fragment, target);
    }
    if (c->error)
        return false;
    if (!found)
        return compile_fail(c, ERR_SCHEMA_REFERENCE, "the reference '%.*s': %s",
                            (int)(reference.len < 120 ? reference.len : 120), (const char *)reference.at,
                            resource ? "there is no such place" : "no such schema was given with it");
    const uint8_t type = target->document->json.nodes[target->node].type;
    if (type != JSON_OBJECT && type != JSON_TRUE && type != JSON_FALSE)
        return compile_fail(c, ERR_SCHEMA_INVALID, "the reference '%.*s' leads to what is not a schema",
                            (int)(reference.len < 120 ? reference.len : 120), (const char *)reference.at);
    return true;
}
