/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry.h: schemas by name: subjects, their versions, and which schema may become the next version.
 *
 * The model is that of Confluent's schema registry, without any of its protocol: whoever speaks one calls
 * this.
 *
 *   subject "orders-value"   version 1 -> schema 7        a schema has one id in all subjects; an id is
 *                            version 2 -> schema 9        never given a second meaning
 *                            level BACKWARD
 *
 *   - A version is soft-deleted first: it is not listed any more, but what was written with it can still be
 * read by its id. Then it may be deleted for good.
 *   - A schema may refer to versions of subjects. A version that others refer to is not deleted.
 *   - A level says with which of its versions a new one must be compatible, and in which direction; a subject
 * without one has the registry's. The default is BACKWARD.
 *
 * All of it is records in `__schemas` (partition/state.h, docs/log-format.md): a change is one record, so it
 * is there as a whole or not at all. Calls that change something append at once, into room that store_room()
 * granted for registry_room_bytes(), and return the journal sequence to wait for; after that call the change
 * is seen by everyone.
 *
 * Limits: REGISTRY_*. Nothing here blocks but for comparing and compiling, which are bounded (proto/schema/).
 */
#ifndef RUNNEL_SCHEMA_REGISTRY_H
#define RUNNEL_SCHEMA_REGISTRY_H

#include "base/stats.h"
#include "partition/state.h"
#include "proto/schema/diff.h"

struct clock;
struct registry;

enum {
    REGISTRY_SUBJECT_MAX = 255,      /* bytes of a name */
    REGISTRY_TEXT_MAX = 256 << 10,   /* of one schema: more than a page of a hundred fields needs */
    REGISTRY_REFERENCES_MAX = 32,    /* of one schema */
    REGISTRY_VERSIONS_MAX = 16384,   /* in all */
    REGISTRY_BYTES_MAX = 64 << 20,   /* of all texts: a snapshot has them all */
    REGISTRY_ARENA_BYTES = 16 << 20, /* for compiling, or comparing, one schema */
    REGISTRY_WHY_BYTES = 512,
    REGISTRY_LATEST = 0,
};

/* The seven levels; UNSET: the registry's own counts. The numbers are stored. */
#define REGISTRY_LEVELS(X)                                                                                   \
    X(UNSET, 0)                                                                                              \
    X(NONE, 1)                                                                                               \
    X(BACKWARD, 2)                                                                                           \
    X(BACKWARD_TRANSITIVE, 3)                                                                                \
    X(FORWARD, 4)                                                                                            \
    X(FORWARD_TRANSITIVE, 5)                                                                                 \
    X(FULL, 6)                                                                                               \
    X(FULL_TRANSITIVE, 7)

enum registry_level {
#define X(name, number) LEVEL_##name = number,
    REGISTRY_LEVELS(X)
#undef X
};
/* "BACKWARD"; false: there is no such level. */
const char *registry_level_name(enum registry_level level);
bool registry_level_find(struct bytes name, enum registry_level *level);

enum registry_type { REGISTRY_JSON = 1 };

struct registry_reference {
    struct bytes name; /* as $ref has it */
    struct bytes subject;
    uint32_t version;
};

/* A schema as it is handed in. */
struct registry_candidate {
    enum registry_type type;
    struct bytes text;
    const struct registry_reference *references;
    uint32_t reference_count;
};

/* A version as it is given out; lent until the next change. */
struct registry_row {
    struct bytes subject;
    uint32_t version, id;
    bool deleted;
    int64_t created_ms;
    enum registry_type type;
    struct bytes text;
    const struct registry_reference *references;
    uint32_t reference_count;
};

#define REGISTRY_STATS(X)                                                                                    \
    X(subjects, STAT_GAUGE, "subjects")                                                                      \
    X(versions, STAT_GAUGE, "versions, deleted ones that can be read included")                              \
    X(text_bytes, STAT_GAUGE, "bytes of schemas")                                                            \
    X(registered, STAT_COUNTER, "versions registered")                                                       \
    X(incompatible, STAT_COUNTER, "versions refused for their compatibility")

struct registry_stats {
    REGISTRY_STATS(STAT_FIELD)
};

/* `state`: its place in store_options.states. */
struct registry *registry_create(uint32_t state, struct clock *clock);
void registry_destroy(struct registry *r);
/* Its row for store_options.states; lent as long as the registry lives. */
const struct store_state *registry_store_state(struct registry *r);
void registry_attach(struct registry *r, struct store *store);
const struct registry_stats *registry_stats(struct registry *r);

/* ---- looking ---- */

/* What is seen is durable with this journal sequence: answers wait for it, so that none tells of what a crash
 * could still undo. */
uint64_t registry_sequence(const struct registry *r);

/* Versions count from 1; REGISTRY_LATEST: the last one that is not deleted. ERR_SUBJECT_NOT_FOUND or
 * ERR_SCHEMA_NOT_FOUND with `why`. */
enum error registry_get(struct registry *r, struct bytes subject, uint32_t version, bool deleted,
                        struct registry_row *row, char *why);
/* Any version that has this schema. */
enum error registry_by_id(struct registry *r, uint32_t id, struct registry_row *row, char *why);
/* The next version behind (subject, version), by name and number; start with an empty name and 0. False: no
 * more. */
bool registry_next(struct registry *r, bool deleted, struct registry_row *row);
/* The level of a subject ("": the registry's), UNSET if it has none; *effective is what counts. */
enum registry_level registry_level(struct registry *r, struct bytes subject, enum registry_level *effective);

/* ---- judging ---- */

/* One thing that speaks against a candidate. */
struct registry_objection {
    uint32_t version;
    bool forward; /* old readers cannot read new data; else new readers cannot read old data */
    const struct schema_difference *difference;
};
typedef void registry_object(void *ctx, const struct registry_objection *objection);

/* Is it a schema, with references that lead somewhere? ERR_OK, or what schema_compile() says. */
enum error registry_valid(struct registry *r, const struct registry_candidate *candidate, char *why);
/* May it become a version of the subject by the subject's level, or (version > 0) is it compatible with that
 * one? ERR_OK, ERR_SCHEMA_INCOMPATIBLE (`each` is told why, `why` has the first), or what registry_valid()
 * says. A subject that is not there objects to nothing. */
enum error registry_check(struct registry *r, struct bytes subject, uint32_t version,
                          const struct registry_candidate *candidate, registry_object *each, void *ctx,
                          char *why);

/* ---- changing ---- */

/* Room in the journal for one change that carries so many bytes of text and names. */
static inline uint32_t registry_room_bytes(uint32_t bytes)
{
    return bytes + REGISTRY_REFERENCES_MAX * 32 + REGISTRY_SUBJECT_MAX + 512;
}

struct registry_change {
    uint32_t version, id;
    bool made;         /* false: it was there already, nothing changed */
    uint64_t sequence; /* durable with it; 0: nothing was written */
};

/* The same schema again is the same version. Compatibility is asked unless `force`. */
enum error registry_register(struct registry *r, struct bytes subject,
                             const struct registry_candidate *candidate, bool force,
                             struct registry_change *change, char *why);
/* version 0: the whole subject. `permanent` wants what is soft-deleted already. */
enum error registry_delete(struct registry *r, struct bytes subject, uint32_t version, bool permanent,
                           struct registry_change *change, char *why);
/* subject "": the registry's own, which is never UNSET. */
enum error registry_set_level(struct registry *r, struct bytes subject, enum registry_level level,
                              struct registry_change *change, char *why);

#endif
