/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/schema.h: JSON Schema (drafts 2020-12 and 7), compiled once and checked often.
 *
 * A schema and what it refers to become one immutable program in an arena; a checker holds the scratch that
 * checking needs, for one thread at a time, and nothing is allocated per event. Specifications:
 * https://json-schema.org/draft/2020-12/json-schema-core and -validation, and draft-07's of the same names.
 *
 * Every answer is bounded: a program by its arena's limit, a text by its checker's, recursion by
 * SCHEMA_DEPTH_MAX, work by a budget in proportion to the event. Where a bound is met the event is refused by
 * name, not accepted.
 */
#ifndef RUNNEL_PROTO_SCHEMA_SCHEMA_H
#define RUNNEL_PROTO_SCHEMA_SCHEMA_H

#include "proto/schema/arena.h"
#include "proto/schema/json.h"

enum {
    SCHEMA_DOCUMENTS_MAX = 64, /* that one schema may refer to, itself included */
    SCHEMA_VALUES_MAX = 65536, /* in one document */
    SCHEMA_DEPTH_MAX = 600,    /* of rules applied within rules: no real schema comes near */
    SCHEMA_WHY_BYTES = 256,
    SCHEMA_PATH_BYTES = 192,
    SCHEMA_TEXT_BYTES = 128,
    SCHEMA_STEPS = 1 << 20,      /* what any check may take ... */
    SCHEMA_STEPS_PER_VALUE = 64, /* ... and more of an event with many values */
};

/* ---- compiling ---- */

/* Finds a document that a schema refers to: `uri` is the reference resolved against its base, `reference` is
 * it as written. False: there is none. The bytes are lent until compiling ends. */
typedef bool schema_resolve(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text);

struct schema_options {
    schema_resolve *resolve; /* NULL: nothing but the schema itself and the drafts' own */
    void *ctx;
    struct bytes base;      /* the schema's own URI when it has no $id; may be empty */
    uint8_t draft;          /* 7, or 0 for 2020-12: of schemas without $schema */
    bool formats_are_notes; /* "format" is not checked, as the specification has it by default */
};

struct schema_program;

/* Everything lies in `arena` (also on failure). NULL: *error is ERR_SCHEMA_INVALID, ERR_SCHEMA_REFERENCE or
 * ERR_SCHEMA_LIMIT, and `why` (SCHEMA_WHY_BYTES) says where and what. */
const struct schema_program *schema_compile(struct arena *arena, struct bytes text,
                                            const struct schema_options *options, enum error *error,
                                            char *why);

/* ---- checking ---- */

struct schema_fault {
    const char *keyword;          /* the one that was not met; static, or as long as the program */
    char path[SCHEMA_PATH_BYTES]; /* "$.a[3]" */
    char expected[SCHEMA_TEXT_BYTES];
    char found[SCHEMA_TEXT_BYTES];
};

struct schema_checker;

/* For events of at most so many bytes and values and names. NULL: no memory. */
struct schema_checker *schema_checker_new(const struct schema_memory *memory, uint32_t event_bytes,
                                          uint32_t values);
void schema_checker_free(struct schema_checker *checker);

struct schema_result {
    struct schema_fault *faults; /* the caller's, `room` of them */
    uint32_t room, count;
    char why[SCHEMA_WHY_BYTES]; /* a sentence for every code but ERR_OK */
};

/* ERR_OK; ERR_JSON_INVALID or ERR_JSON_LIMIT: see json_read(); ERR_SCHEMA_MISMATCH: faults has the first
 * ones, in the order met; ERR_SCHEMA_CHECK_LIMIT: deciding would take too long. */
enum error schema_check(struct schema_checker *checker, const struct schema_program *program,
                        struct bytes text, const struct json_limits *limits, struct schema_result *result);

#endif
