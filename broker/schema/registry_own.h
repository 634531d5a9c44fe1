/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry_own.h: what the files of this room share.
 */
#ifndef RUNNEL_SCHEMA_REGISTRY_OWN_H
#define RUNNEL_SCHEMA_REGISTRY_OWN_H

#include "base/mem.h"
#include "schema/registry.h"

/* A schema: one text with its references, whatever subjects have it. In one piece of memory. */
struct body {
    uint32_t id, uses; /* versions that are this one */
    uint32_t hash;     /* of the value: the order of members and white space count for nothing */
    enum registry_type type;
    struct bytes text;
    uint32_t reference_count;
    size_t bytes; /* of this piece */
    struct registry_reference references[];
};

struct version {
    uint32_t number;
    bool deleted;
    int64_t created_ms;
    struct body *body;
};

struct subject {
    struct bytes name;
    enum registry_level level;
    struct version *versions; /* by number */
    uint32_t count, room;
};

struct registry {
    struct clock *clock;
    struct store *store;
    struct store_state state;
    uint32_t state_place;
    uint64_t sequence;         /* of the last change */
    struct subject **subjects; /* by name */
    uint32_t subject_count, subject_room;
    struct body **bodies; /* by id */
    uint32_t body_count, body_room;
    uint32_t next_id;
    enum registry_level level;
    struct registry_stats stats;
};

/* ---- registry.c ---- */
extern const struct schema_memory registry_memory;
struct subject *subject_find(const struct registry *r, struct bytes name);
struct subject *subject_make(struct registry *r, struct bytes name);
/* Drops a subject that says nothing any more. */
void subject_settle(struct registry *r, struct subject *s);
struct version *version_find(const struct subject *s, uint32_t number);
/* The last that is not deleted, or NULL. */
struct version *version_latest(const struct subject *s);
struct body *body_find(const struct registry *r, uint32_t id);
/* Puts a version in, or over the one of that number; takes copies. */
void version_put(struct registry *r, struct bytes subject, uint32_t number, bool deleted, int64_t created_ms,
                 uint32_t id, const struct registry_candidate *candidate);
void version_remove(struct registry *r, struct subject *s, struct version *v);
struct registry_row row_of(const struct subject *s, const struct version *v);
struct registry_candidate candidate_of(const struct body *body);
uint32_t candidate_hash(const struct registry_candidate *candidate);
bool candidate_is(const struct registry_candidate *candidate, uint32_t hash, const struct body *body);

/* ---- registry_verdict.c ---- */
/* Finds the texts that a schema refers to, and those that they refer to. */
struct resolver {
    struct registry *registry;
    const struct registry_candidate *candidate;
};
bool registry_resolve(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text);

/* ---- registry_state.c: records ---- */
enum record_kind {
    RECORD_VERSION = 1, /* str subject, u32 version, u8 deleted, i64 created, u32 id, u8 type, u16 n x (str
                           name, str subject, u32 version), u32 length and text */
    RECORD_DELETED,     /* str subject, u32 version (0: all of them), u8 1 soft, 2 for good */
    RECORD_LEVEL,       /* str subject ("": the registry's), u8 level */
    RECORD_NEXT_ID,     /* u32 */
};
void put_version(struct writer *w, const struct registry_row *row);
/* Takes a record into what is known; false: malformed. */
bool record_apply(struct registry *r, struct bytes value);
/* Appends a record and applies it; the sequence that makes it durable. */
uint64_t record_append(struct registry *r, struct bytes subject, const struct writer *value);

#endif
