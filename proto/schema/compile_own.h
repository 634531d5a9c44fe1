/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/compile_own.h: what the parts of the compiler share: documents and the URIs in them
 * (resource.c), and rules made from them (compile.c, keywords.c). All of it lies in the program's arena.
 */
#ifndef RUNNEL_PROTO_SCHEMA_COMPILE_OWN_H
#define RUNNEL_PROTO_SCHEMA_COMPILE_OWN_H

#include "proto/schema/program_own.h"
#include "proto/schema/schema.h"

/* What a schema's $schema says about its keywords. */
struct dialect {
    uint8_t draft; /* 7 or 20 */
    bool validation, assert_format;
};

struct anchor {
    struct anchor *next;
    const struct resource *resource;
    struct bytes name;
    uint32_t node;
    bool dynamic;
};

struct document {
    struct document *next;
    struct json json;
    struct dialect dialect;
    struct resource **resource_of; /* of each node that is a schema; NULL: not looked at as one */
    struct rule **rule_of;
};

struct compiler {
    struct arena *arena;
    const struct schema_options *options;
    struct document *documents;
    struct resource *resources;
    struct anchor *anchors;
    uint32_t document_count, rule_count;
    struct rule **rules; /* all, in the order made; those from `filled` on have no keywords yet */
    uint32_t rules_room, filled;
    bool dynamic;
    enum error error;
    char *why;
};

/* Where a reference leads. */
struct target {
    struct document *document;
    uint32_t node;
    const struct anchor *anchor; /* NULL: it was not by anchor */
};

/* Both record the first failure and return false or NULL. */
bool compile_fail(struct compiler *c, enum error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same about one place of a document. */
bool compile_fail_at(struct compiler *c, const struct document *d, const struct json_node *node,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
void *compile_get(struct compiler *c, size_t bytes);

/* Reads a document and finds the URIs and anchors in it. NULL: recorded. */
struct document *document_add(struct compiler *c, struct bytes text, struct bytes uri);
/* The schemas in [node] and below, which may lie where no keyword says that they are schemas. */
bool document_index(struct compiler *c, struct document *d, uint32_t node, struct resource *resource);
bool reference_find(struct compiler *c, const struct resource *base, struct bytes reference,
                    struct target *target);
/* The rule of a schema, made when first asked for; its keywords come later. */
const struct rule *compile_rule(struct compiler *c, struct document *d, uint32_t node);
bool compile_keywords(struct compiler *c, struct document *d, struct rule *rule);

/* The drafts' own schemas, or an empty range. */
struct bytes metaschema_find(struct bytes uri);

static inline const struct json_node *keyword_of(const struct document *d, const struct json_node *schema,
                                                 const char *name)
{
    return json_member(&d->json, schema, bytes_of(name));
}

#endif
