/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_schema.h: the bodies of the registry's operations. wire.h has the rules; docs/protocol.md the
 * table.
 */
#ifndef RUNNEL_PROTO_WIRE_SCHEMA_H
#define RUNNEL_PROTO_WIRE_SCHEMA_H

#include "proto/wire.h"

enum {
    WIRE_SCHEMA_REFERENCES_MAX = 32,
    WIRE_SCHEMA_OBJECTIONS_MAX = 256, /* that a check tells; the first ones */
    WIRE_SCHEMA_REGISTER_FORCE = 1,   /* flags: without asking for compatibility */
};

struct wire_schema_reference {
    struct bytes name, subject;
    uint32_t version;
};

/* A schema with what it refers to. */
struct wire_schema {
    uint8_t type; /* 1: JSON Schema */
    uint16_t reference_count;
    struct wire_schema_reference references[WIRE_SCHEMA_REFERENCES_MAX];
    struct bytes text;
};

/* SCHEMA_REGISTER and SCHEMA_CHECK. version: of a check, the one to compare with; 0: as the level has it. */
struct wire_schema_put {
    struct bytes subject;
    uint8_t flags;
    uint32_t version;
    struct wire_schema schema;
};
struct wire_schema_registered {
    uint32_t version, id;
    uint8_t made; /* 0: it was there already */
};
/* Reply to SCHEMA_CHECK: u8 compatible, u32 count, count rows. */
struct wire_schema_objection {
    uint32_t version;
    uint8_t forward;
    struct bytes change, path;
};

/* id 0: by subject and version (0: the latest); else the schema of that id. */
struct wire_schema_get {
    struct bytes subject;
    uint32_t version, id;
    uint8_t deleted; /* 1: deleted ones, too */
};
/* The reply. */
struct wire_schema_row {
    struct bytes subject;
    uint32_t version, id;
    uint8_t deleted;
    int64_t created_ms;
    struct wire_schema schema;
};

struct wire_schema_list {
    struct bytes pattern; /* of subjects; empty: all */
    uint8_t deleted;
    struct bytes after; /* go on behind this subject and version */
    uint32_t after_version, max;
};
/* Reply: u8 more, u32 count, count rows. */
struct wire_schema_list_row {
    struct bytes subject;
    uint32_t version, id;
    uint8_t deleted, type, level; /* level: what counts for the subject */
    int64_t created_ms;
    uint32_t bytes;
};

struct wire_schema_delete {
    struct bytes subject;
    uint32_t version; /* 0: all */
    uint8_t permanent;
};

/* subject empty: the registry's own. Reply: u8 own (0: none), u8 what counts. */
struct wire_schema_level {
    struct bytes subject;
    uint8_t set, level;
};

void wire_put_schema_put(struct writer *w, const struct wire_schema_put *body);
bool wire_get_schema_put(struct reader r, struct wire_schema_put *body);
void wire_put_schema_registered(struct writer *w, const struct wire_schema_registered *body);
bool wire_get_schema_registered(struct reader r, struct wire_schema_registered *body);
void wire_put_schema_objection(struct writer *w, const struct wire_schema_objection *row);
void wire_get_schema_objection(struct reader *r, struct wire_schema_objection *row);
void wire_put_schema_get(struct writer *w, const struct wire_schema_get *body);
bool wire_get_schema_get(struct reader r, struct wire_schema_get *body);
void wire_put_schema_row(struct writer *w, const struct wire_schema_row *body);
bool wire_get_schema_row(struct reader r, struct wire_schema_row *body);
void wire_put_schema_list(struct writer *w, const struct wire_schema_list *body);
bool wire_get_schema_list(struct reader r, struct wire_schema_list *body);
void wire_put_schema_list_row(struct writer *w, const struct wire_schema_list_row *row);
void wire_get_schema_list_row(struct reader *r, struct wire_schema_list_row *row);
void wire_put_schema_delete(struct writer *w, const struct wire_schema_delete *body);
bool wire_get_schema_delete(struct reader r, struct wire_schema_delete *body);
void wire_put_schema_level(struct writer *w, const struct wire_schema_level *body);
bool wire_get_schema_level(struct reader r, struct wire_schema_level *body);

#endif
