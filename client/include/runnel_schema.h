/* SPDX-License-Identifier: Apache-2.0
 *
 * runnel_schema.h: the registry of schemas, and checking events where they are made; a part of runnel.h,
 * which includes it and says what holds for all functions.
 */
#ifndef RUNNEL_SCHEMA_H
#define RUNNEL_SCHEMA_H

#include "runnel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As $ref has it, and the version of a subject that it means. */
struct runnel_schema_reference {
    const char *name, *subject;
    uint32_t version;
};

/* A schema to be registered, or checked: its text, and what it refers to. */
struct runnel_schema_text {
    const void *text;
    size_t text_len;
    const struct runnel_schema_reference *references;
    size_t reference_count;
};

/* A version of a subject; lent until runnel_schema_free(). */
struct runnel_schema {
    const char *subject, *type; /* "json" */
    uint32_t version, id;
    int deleted;
    int64_t created_ms;
    struct runnel_schema_text schema; /* the text is terminated, too */
};

struct runnel_schema_row {
    const char *subject, *type, *level; /* level: what counts for the subject, "BACKWARD" */
    uint32_t version, id, bytes;
    int deleted;
    int64_t created_ms;
};

/* What speaks against a schema as the next version. */
struct runnel_schema_objection {
    uint32_t version;
    int forward;               /* 1: old readers cannot read new data; 0: new readers cannot read old data */
    const char *change, *path; /* "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", "#/properties/a" */
};

/* 1 when a version was made, 0 when the subject has this schema already. `force`: without asking for
 * compatibility. */
RUNNEL_API int runnel_schema_register(runnel_client *client, const char *subject,
                                      const struct runnel_schema_text *schema, int force, uint32_t *version,
                                      uint32_t *id);
/* 0: it may become a version (version > 0: it is compatible with that one); 1: it may not, `each` is told
 * why. */
RUNNEL_API int runnel_schema_check(runnel_client *client, const char *subject, uint32_t version,
                                   const struct runnel_schema_text *schema,
                                   void (*each)(void *ctx, const struct runnel_schema_objection *objection),
                                   void *ctx);
/* id 0: by subject and version (0: the latest); else by id. `deleted`: deleted ones, too. */
RUNNEL_API int runnel_schema_get(runnel_client *client, const char *subject, uint32_t version, uint32_t id,
                                 int deleted, struct runnel_schema **out);
RUNNEL_API void runnel_schema_free(struct runnel_schema *schema);
/* As runnel_topic_list(): every version, by subject and number. */
RUNNEL_API int runnel_schema_list(runnel_client *client, const char *pattern, int deleted,
                                  int (*each)(void *ctx, const struct runnel_schema_row *row), void *ctx);
/* version 0: the whole subject. `permanent`: for good, what is deleted already. */
RUNNEL_API int runnel_schema_delete(runnel_client *client, const char *subject, uint32_t version,
                                    int permanent);
/* Sets (level not NULL; "" takes a subject's own away) and tells a subject's level (subject NULL or "": the
 * registry's). *own and *counts: names that stay; *own is "" when the subject has none. */
RUNNEL_API int runnel_schema_level(runnel_client *client, const char *subject, const char *level,
                                   const char **own, const char **counts);

/* Checks events where they are made, by the broker's own code. Used by one thread at a time. */
typedef struct runnel_validator runnel_validator;

struct runnel_schema_fault {
    const char *path, *keyword, *expected, *found; /* "$.a[3]", "type", "string", "17" */
};

/* For a version of a subject (0: the latest), with all that it refers to. */
RUNNEL_API int runnel_validator_open(runnel_client *client, const char *subject, uint32_t version,
                                     runnel_validator **out);
/* For a schema at hand, which refers to nothing outside of it; `why` (size bytes) says what is wrong with it.
 */
RUNNEL_API int runnel_validator_new(const void *text, size_t text_len, runnel_validator **out, char *why,
                                    size_t size);
/* 0: the event fits; 1: it does not, `each` (may be NULL) is told the first faults; negative: it is not JSON,
 * or cannot be checked; `why` says more. */
RUNNEL_API int runnel_validator_check(runnel_validator *validator, const void *event, size_t event_len,
                                      void (*each)(void *ctx, const struct runnel_schema_fault *fault),
                                      void *ctx, char *why, size_t size);
RUNNEL_API void runnel_validator_free(runnel_validator *validator);

/* What changed from one schema to the next. effect 0: a note, 1: fine for old data, 2: breaks. Returns what
 * the version number owes its readers: 0 nothing, 1 patch, 2 minor, 3 major; or a negative code with a
 * sentence in `why`. */
RUNNEL_API int runnel_schema_diff(const void *old_text, size_t old_len, const void *new_text, size_t new_len,
                                  void (*each)(void *ctx, const char *change, const char *path, int effect),
                                  void *ctx, char *why, size_t size);

#ifdef __cplusplus
}
#endif

#endif
