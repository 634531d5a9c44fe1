/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry_change.c: registering, deleting, levels: each is checked first and is then one record.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "schema/registry_own.h"

/* Large enough for any record. */
static uint32_t record_room(const struct registry_candidate *candidate)
{
    uint32_t bytes = REGISTRY_SUBJECT_MAX + 256 + (candidate ? candidate->text.len : 0);
    for (uint32_t i = 0; candidate && i < candidate->reference_count; i++)
        bytes += candidate->references[i].name.len + candidate->references[i].subject.len + 16;
    return bytes;
}

static enum error subject_valid(struct bytes subject, char *why)
{
    bool ok = subject.len > 0 && subject.len <= REGISTRY_SUBJECT_MAX;
    for (uint32_t i = 0; ok && i < subject.len; i++)
        ok = subject.at[i] > 0x20 && subject.at[i] < 0x7f;
    if (ok)
        return ERR_OK;
    snprintf(why, REGISTRY_WHY_BYTES, "a subject's name has 1 to %d ASCII characters, no space among them",
             REGISTRY_SUBJECT_MAX);
    return ERR_SUBJECT_NAME_INVALID;
}

/* ---- registering ---- */

/* The id of a schema that is known under any subject, or 0. */
static uint32_t id_known(const struct registry *r, const struct registry_candidate *candidate, uint32_t hash)
{
    for (uint32_t i = 0; i < r->body_count; i++)
        if (candidate_is(candidate, hash, r->bodies[i]))
            return r->bodies[i]->id;
    return 0;
}

static const struct version *version_known(const struct subject *s,
                                           const struct registry_candidate *candidate, uint32_t hash)
{
    for (uint32_t i = s ? s->count : 0; i-- > 0;)
        if (!s->versions[i].deleted && candidate_is(candidate, hash, s->versions[i].body))
            return &s->versions[i];
    return NULL;
}

static enum error limits_check(const struct registry *r, const struct registry_candidate *candidate,
                               char *why)
{
    if (r->stats.versions < REGISTRY_VERSIONS_MAX &&
        r->stats.text_bytes + candidate->text.len <= REGISTRY_BYTES_MAX)
        return ERR_OK;
    snprintf(why, REGISTRY_WHY_BYTES,
             "the registry is full: it holds %d versions and %d MiB of schemas at most; delete some for good",
             REGISTRY_VERSIONS_MAX, REGISTRY_BYTES_MAX >> 20);
    return ERR_LIMIT_REACHED;
}

static void register_new(struct registry *r, struct bytes subject, const struct registry_candidate *candidate,
                         uint32_t hash, struct registry_change *change)
{
    const struct subject *s = subject_find(r, subject);
    const uint32_t known = id_known(r, candidate, hash), room = record_room(candidate);
    const struct registry_row row = { .subject = subject,
                                      .version = s && s->count ? s->versions[s->count - 1].number + 1 : 1,
                                      .id = known ? known : r->next_id,
                                      .created_ms = r->clock->wall_ms,
                                      .type = candidate->type,
                                      .text = candidate->text,
                                      .references = candidate->references,
                                      .reference_count = candidate->reference_count };
    uint8_t *buffer = mem_alloc(MEM_SCHEMA, room);
    struct writer w = writer_of(buffer, room);
    put_version(&w, &row);
    *change = (struct registry_change){ row.version, row.id, true, record_append(r, subject, &w) };
    mem_free(MEM_SCHEMA, buffer, room);
    r->stats.registered++;
}

enum error registry_register(struct registry *r, struct bytes subject,
                             const struct registry_candidate *candidate, bool force,
                             struct registry_change *change, char *why)
{
    enum error error = subject_valid(subject, why);
    if (!error)
        error = registry_valid(r, candidate, why);
    if (error)
        return error;
    const uint32_t hash = candidate_hash(candidate);
    const struct version *known = version_known(subject_find(r, subject), candidate, hash);
    if (known) {
        *change = (struct registry_change){ known->number, known->body->id, false, 0 };
        return ERR_OK;
    }
    error = limits_check(r, candidate, why);
    if (!error && !force)
        error = registry_check(r, subject, 0, candidate, NULL, NULL, why);
    r->stats.incompatible += error == ERR_SCHEMA_INCOMPATIBLE;
    if (!error)
        register_new(r, subject, candidate, hash, change);
    return error;
}

/* ---- deleting ---- */

/* Who refers to this version (0: any) of the subject, deleted ones for good aside? NULL: nobody. */
static const struct subject *referrer(const struct registry *r, const struct subject *to, uint32_t version)
{
    for (uint32_t i = 0; i < r->subject_count; i++) {
        const struct subject *s = r->subjects[i];
        for (uint32_t k = 0; k < s->count && s != to; k++) {
            const struct body *body = s->versions[k].body;
            for (uint32_t n = 0; n < body->reference_count && !s->versions[k].deleted; n++)
                if (bytes_same(body->references[n].subject, to->name) &&
                    (!version || body->references[n].version == version))
                    return s;
        }
    }
    return NULL;
}

/* Can it be deleted, softly or for good? */
static enum error delete_check(struct registry *r, struct bytes name, uint32_t version, bool permanent,
                               char *why)
{
    const struct subject *s = subject_find(r, name);
    const struct version *v = s && version ? version_find(s, version) : NULL;
    if (!s || (version && !v) || !s->count || (!permanent && (v ? v->deleted : !version_latest(s)))) {
        struct registry_row row;
        const enum error error = registry_get(r, name, version, false, &row, why);
        return error ? error : ERR_SUBJECT_NOT_FOUND;
    }
    if (permanent && (v ? !v->deleted : version_latest(s) != NULL)) {
        snprintf(why, REGISTRY_WHY_BYTES,
                 "subject %.*s%s is not deleted yet: delete it first, then again with --permanent",
                 (int)name.len, (const char *)name.at, version ? ", this version" : "");
        return ERR_SCHEMA_NOT_DELETED;
    }
    const struct subject *user = referrer(r, s, version);
    if (!user)
        return ERR_OK;
    snprintf(why, REGISTRY_WHY_BYTES, "a schema of subject %.*s refers to it: delete that one first",
             (int)user->name.len, (const char *)user->name.at);
    return ERR_SCHEMA_REFERENCED;
}

enum error registry_delete(struct registry *r, struct bytes subject, uint32_t version, bool permanent,
                           struct registry_change *change, char *why)
{
    uint8_t buffer[REGISTRY_SUBJECT_MAX + 64];
    struct writer w = writer_of(buffer, sizeof(buffer));
    const enum error error = delete_check(r, subject, version, permanent, why);
    if (error)
        return error;
    write_u8(&w, RECORD_DELETED);
    write_str(&w, subject);
    write_u32(&w, version);
    write_u8(&w, permanent ? 2 : 1);
    *change = (struct registry_change){ version, 0, true, record_append(r, subject, &w) };
    return ERR_OK;
}

/* ---- levels ---- */

enum error registry_set_level(struct registry *r, struct bytes subject, enum registry_level level,
                              struct registry_change *change, char *why)
{
    uint8_t buffer[REGISTRY_SUBJECT_MAX + 64];
    struct writer w = writer_of(buffer, sizeof(buffer));
    const enum error error = subject.len ? subject_valid(subject, why) : ERR_OK;
    if (error)
        return error;
    if (level > LEVEL_FULL_TRANSITIVE || (subject.len == 0 && level == LEVEL_UNSET)) {
        snprintf(why, REGISTRY_WHY_BYTES,
                 "not a compatibility level: the registry's own must be one of the seven");
        return ERR_REQUEST_INVALID;
    }
    if (subject.len && !subject_find(r, subject) && r->subject_count >= REGISTRY_VERSIONS_MAX) {
        snprintf(why, REGISTRY_WHY_BYTES, "the registry holds %d subjects at most", REGISTRY_VERSIONS_MAX);
        return ERR_LIMIT_REACHED;
    }
    write_u8(&w, RECORD_LEVEL);
    write_str(&w, subject);
    write_u8(&w, (uint8_t)level);
    *change = (struct registry_change){ 0, 0, true, record_append(r, subject, &w) };
    return ERR_OK;
}
