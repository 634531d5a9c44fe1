/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/diff_own.h: a comparison in progress, shared by the files that know one kind of schema each.
 */
#ifndef RUNNEL_PROTO_SCHEMA_DIFF_OWN_H
#define RUNNEL_PROTO_SCHEMA_DIFF_OWN_H

#include "proto/schema/compile_own.h"
#include "proto/schema/diff.h"

/* What a schema is about, as one kind. One that is about several things is all of them: KIND_ALL of its
 * parts. */
enum shape_kind {
    KIND_NONE,  /* there is no schema */
    KIND_EMPTY, /* anything */
    KIND_FALSE,
    KIND_STRING,
    KIND_NUMBER,
    KIND_BOOLEAN,
    KIND_NULL,
    KIND_OBJECT,
    KIND_ARRAY,
    KIND_ENUM,
    KIND_NOT,
    KIND_ALL,
    KIND_ANY,
    KIND_ONE,
};

enum { PARTS_MAX = 64 };

struct side {
    struct compiler compiler;
    char why[SCHEMA_WHY_BYTES];
};

struct shape {
    enum shape_kind kind;
    struct side *side;
    struct document *document;
    const struct json_node *schema; /* NULL: of the boolean schemas and KIND_NONE */
    bool integer;                   /* KIND_NUMBER */
    struct shape *parts;            /* KIND_ALL, KIND_ANY, KIND_ONE */
    uint32_t part_count;
};

struct comparing {
    struct arena *arena;
    struct schema_diff *diff;
    char path[512];
    uint32_t path_len;
    uint32_t depth;
    int64_t steps;
    const struct shape **open; /* old schemas on the way here */
    enum error error;
};

/* The schema at a node; NULL: there is none. */
struct shape shape_of(struct comparing *c, struct side *side, struct document *d,
                      const struct json_node *schema);
/* Of a keyword of `shape`. */
struct shape shape_sub(struct comparing *c, const struct shape *shape, const char *keyword);
void shapes_compare(struct comparing *c, struct shape old, struct shape new);
/* The same on trial: compatible? What was found is kept only if `keep`. */
bool shapes_fit(struct comparing *c, struct shape old, struct shape new, bool keep);
void difference(struct comparing *c, enum schema_change change);
/* Goes down a path and returns where it was; path_leave() goes back there. */
uint32_t path_enter(struct comparing *c, const char *word, struct bytes name);
void path_leave(struct comparing *c, uint32_t mark);
/* A keyword of the schema, or NULL. */
const struct json_node *shape_keyword(const struct shape *shape, const char *name);

/* Changes of one bound: added, removed, increased, decreased. */
struct bound_changes {
    const char *keyword;
    enum schema_change added, removed, increased, decreased;
};
void bounds_compare(struct comparing *c, const struct shape *old, const struct shape *new,
                    const struct bound_changes *rows, uint32_t count);
void object_compare(struct comparing *c, const struct shape *old, const struct shape *new);
void array_compare(struct comparing *c, const struct shape *old, const struct shape *new);

#endif
