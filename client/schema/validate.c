/* SPDX-License-Identifier: Apache-2.0
 *
 * client/schema/validate.c: schemas at the client: checking events before they are sent, and comparing
 * schemas, by the same code as the broker's (proto/schema/).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "proto/schema/diff.h"

enum {
    ARENA_BYTES = 16 << 20,
    FAULTS_MAX = 8,
    VALUES_MAX = 1 << 18,
    DOCUMENTS_MAX = SCHEMA_DOCUMENTS_MAX,
};

struct runnel_validator {
    struct arena arena;
    const struct schema_program *program;
    struct schema_checker *checker;
    uint32_t event_bytes; /* that the checker has room for */
};

static void *memory_get(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void memory_put(void *ctx, void *block, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(block);
}

static const struct schema_memory memory = { memory_get, memory_put, NULL };

/* ---- what a schema refers to ---- */

/* Fetched before compiling, which asks for them by name. */
struct documents {
    struct runnel_schema *root;
    struct {
        const char *name;
        struct runnel_schema *schema;
    } rows[DOCUMENTS_MAX];
    size_t count;
};

static void documents_free(struct documents *d)
{
    for (size_t i = 0; i < d->count; i++)
        runnel_schema_free(d->rows[i].schema);
    runnel_schema_free(d->root);
}

/* The references of one schema; those of what is fetched follow, as the list grows. */
static int documents_fetch(struct runnel_client *c, struct documents *d, const struct runnel_schema *of)
{
    for (size_t i = 0; i < of->schema.reference_count; i++) {
        const struct runnel_schema_reference *r = &of->schema.references[i];
        size_t known = 0;
        while (known < d->count && strcmp(d->rows[known].name, r->name) != 0)
            known++;
        if (known < d->count)
            continue;
        if (d->count == DOCUMENTS_MAX)
            return client_error(c, ERR_SCHEMA_LIMIT, "the schema refers to more than %d others",
                                DOCUMENTS_MAX);
        const int rc = runnel_schema_get(c, r->subject, r->version, 0, 1, &d->rows[d->count].schema);
        if (rc)
            return rc;
        d->rows[d->count++].name = r->name;
    }
    return 0;
}

static bool documents_resolve(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text)
{
    const struct documents *d = ctx;
    const uint8_t *hash = reference.len ? memchr(reference.at, '#', reference.len) : NULL;
    if (hash)
        reference.len = (uint32_t)(hash - reference.at);
    for (size_t i = 0; i < d->count; i++) {
        const struct bytes name = bytes_of(d->rows[i].name);
        if (!bytes_same(name, reference) && !bytes_same(name, uri))
            continue;
        const struct runnel_schema_text *found = &d->rows[i].schema->schema;
        *text = (struct bytes){ found->text, (uint32_t)found->text_len };
        return true;
    }
    return false;
}

/* ---- validators ---- */

static int validator_make(const void *text, size_t len, const struct schema_options *options,
                          runnel_validator **out, char *why)
{
    enum error error = ERR_CLIENT_QUEUE_FULL;
    runnel_validator *v = calloc(1, sizeof(*v));
    snprintf(why, SCHEMA_WHY_BYTES, "no memory for the schema");
    if (!v)
        return -(int)error;
    arena_init(&v->arena, &memory, ARENA_BYTES);
    v->program = len <= UINT32_MAX / 2
                     ? schema_compile(&v->arena, (struct bytes){ text, (uint32_t)len }, options, &error, why)
                     : NULL;
    if (!v->program) {
        runnel_validator_free(v);
        return -(int)error;
    }
    *out = v;
    return 0;
}

int runnel_validator_new(const void *text, size_t text_len, runnel_validator **out, char *why, size_t size)
{
    char sentence[SCHEMA_WHY_BYTES];
    const int rc = validator_make(text, text_len, NULL, out, sentence);
    if (rc)
        snprintf(why, size, "%s", sentence);
    return rc;
}

int runnel_validator_open(runnel_client *c, const char *subject, uint32_t version, runnel_validator **out)
{
    struct documents d = { .count = 0 };
    const struct schema_options options = { .resolve = documents_resolve, .ctx = &d };
    char why[SCHEMA_WHY_BYTES];
    int rc = runnel_schema_get(c, subject, version, 0, 0, &d.root);
    if (rc)
        return rc;
    rc = documents_fetch(c, &d, d.root);
    for (size_t i = 0; rc == 0 && i < d.count; i++)
        rc = documents_fetch(c, &d, d.rows[i].schema);
    if (rc == 0) {
        rc = validator_make(d.root->schema.text, d.root->schema.text_len, &options, out, why);
        if (rc)
            client_error(c, (uint16_t)-rc, "%s", why);
    }
    documents_free(&d);
    return rc;
}

static bool checker_room(runnel_validator *v, size_t event_len)
{
    if (v->checker && event_len <= v->event_bytes)
        return true;
    const uint64_t bytes = event_len < 32768 ? 65536 : event_len * 2;
    if (bytes > UINT32_MAX / 2)
        return false;
    schema_checker_free(v->checker);
    v->event_bytes = (uint32_t)bytes;
    v->checker =
        schema_checker_new(&memory, v->event_bytes, bytes < VALUES_MAX ? (uint32_t)bytes : VALUES_MAX);
    return v->checker != NULL;
}

int runnel_validator_check(runnel_validator *v, const void *event, size_t event_len,
                           void (*each)(void *ctx, const struct runnel_schema_fault *fault), void *ctx,
                           char *why, size_t size)
{
    const struct json_limits limits = { .depth = JSON_DEPTH_MAX };
    struct schema_fault faults[FAULTS_MAX];
    struct schema_result result = { .faults = faults, .room = FAULTS_MAX };
    enum error error;
    if (!checker_room(v, event_len)) {
        snprintf(why, size, "no memory to check an event of %zu bytes", event_len);
        return -(int)ERR_CLIENT_QUEUE_FULL;
    }
    error =
        schema_check(v->checker, v->program, (struct bytes){ event, (uint32_t)event_len }, &limits, &result);
    snprintf(why, size, "%s", result.why);
    for (uint32_t i = 0; each && i < result.count; i++) {
        const struct runnel_schema_fault fault = { faults[i].path, faults[i].keyword, faults[i].expected,
                                                   faults[i].found };
        each(ctx, &fault);
    }
    return error == ERR_SCHEMA_MISMATCH ? 1 : -(int)error;
}

void runnel_validator_free(runnel_validator *v)
{
    if (!v)
        return;
    schema_checker_free(v->checker);
    arena_free(&v->arena);
    free(v);
}

/* ---- comparing ---- */

int runnel_schema_diff(const void *old_text, size_t old_len, const void *new_text, size_t new_len,
                       void (*each)(void *ctx, const char *change, const char *path, int effect), void *ctx,
                       char *why, size_t size)
{
    const struct schema_version old = { .text = { old_text, (uint32_t)old_len } };
    const struct schema_version new = { .text = { new_text, (uint32_t)new_len } };
    char sentence[SCHEMA_WHY_BYTES];
    struct schema_diff diff;
    struct arena arena;
    runnel_validator *checked;
    int bump = 0;
    /* Only schemas are compared: what is wrong with one of them is said first. */
    for (int i = 0; i < 2; i++) {
        const int rc =
            validator_make(i ? new_text : old_text, i ? new_len : old_len, NULL, &checked, sentence);
        if (rc) {
            snprintf(why, size, "the %s schema: %s", i ? "second" : "first", sentence);
            return rc;
        }
        runnel_validator_free(checked);
    }
    arena_init(&arena, &memory, ARENA_BYTES);
    const enum error error = schema_diff(&arena, &old, &new, &diff, sentence);
    for (uint32_t i = 0; !error && i < diff.count; i++) {
        const int effect = schema_change_effect(diff.rows[i].change);
        bump = effect + 1 > bump ? effect + 1 : bump;
        if (each)
            each(ctx, schema_change_name(diff.rows[i].change), diff.rows[i].path, effect);
    }
    arena_free(&arena);
    snprintf(why, size, "%s", sentence);
    return error ? -(int)error : bump;
}
