/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry.c: what is known: subjects by name, schemas by id, both in sorted arrays; and looking at
 * them.
 */
#include "schema/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "schema/registry_own.h"

/* ---- memory ---- */

static void *memory_get(void *ctx, size_t bytes)
{
    (void)ctx;
    return mem_alloc(MEM_SCHEMA, bytes);
}

static void memory_put(void *ctx, void *block, size_t bytes)
{
    (void)ctx;
    mem_free(MEM_SCHEMA, block, bytes);
}

const struct schema_memory registry_memory = { memory_get, memory_put, NULL };

/* Room for one more in an array of pointers. */
static void *grow(void *array, uint32_t count, uint32_t *room)
{
    if (count < *room)
        return array;
    const uint32_t more = *room ? *room * 2 : 16;
    array = mem_realloc(MEM_SCHEMA, array, *room * sizeof(void *), more * sizeof(void *));
    *room = more;
    return array;
}

/* ---- levels ---- */

const char *registry_level_name(enum registry_level level)
{
    static const char *const names[] = {
#define X(name, number) [number] = #name,
        REGISTRY_LEVELS(X)
#undef X
    };
    return level <= LEVEL_FULL_TRANSITIVE ? names[level] : "?";
}

bool registry_level_find(struct bytes name, enum registry_level *level)
{
    for (uint32_t i = LEVEL_NONE; i <= LEVEL_FULL_TRANSITIVE; i++) {
        const char *known = registry_level_name((enum registry_level)i);
        if (strlen(known) == name.len && strncasecmp(known, (const char *)name.at, name.len) == 0) {
            *level = (enum registry_level)i;
            return true;
        }
    }
    return false;
}

/* ---- subjects ---- */

static int name_compare(struct bytes a, struct bytes b)
{
    const int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first subject that is not before `name`. */
static uint32_t subject_place(const struct registry *r, struct bytes name)
{
    uint32_t low = 0, high = r->subject_count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (name_compare(r->subjects[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct subject *subject_find(const struct registry *r, struct bytes name)
{
    const uint32_t place = subject_place(r, name);
    return place < r->subject_count && bytes_same(r->subjects[place]->name, name) ? r->subjects[place] : NULL;
}

struct subject *subject_make(struct registry *r, struct bytes name)
{
    const uint32_t place = subject_place(r, name);
    struct subject *s = subject_find(r, name);
    if (s)
        return s;
    s = mem_zalloc(MEM_SCHEMA, sizeof(*s) + name.len);
    s->name = (struct bytes){ memcpy(s + 1, name.at, name.len), name.len };
    r->subjects = grow(r->subjects, r->subject_count, &r->subject_room);
    memmove(r->subjects + place + 1, r->subjects + place, (r->subject_count - place) * sizeof(*r->subjects));
    r->subjects[place] = s;
    r->stats.subjects = ++r->subject_count;
    return s;
}

void subject_settle(struct registry *r, struct subject *s)
{
    const uint32_t place = subject_place(r, s->name);
    if (s->count || s->level != LEVEL_UNSET)
        return;
    r->stats.subjects = --r->subject_count;
    memmove(r->subjects + place, r->subjects + place + 1, (r->subject_count - place) * sizeof(*r->subjects));
    mem_free(MEM_SCHEMA, s->versions, s->room * sizeof(*s->versions));
    mem_free(MEM_SCHEMA, s, sizeof(*s) + s->name.len);
}

struct version *version_find(const struct subject *s, uint32_t number)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->versions[i].number == number)
            return &s->versions[i];
    return NULL;
}

struct version *version_latest(const struct subject *s)
{
    for (uint32_t i = s->count; i-- > 0;)
        if (!s->versions[i].deleted)
            return &s->versions[i];
    return NULL;
}

/* ---- schemas ---- */

/* The first schema whose id is not below. */
static uint32_t body_place(const struct registry *r, uint32_t id)
{
    uint32_t low = 0, high = r->body_count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (r->bodies[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct body *body_find(const struct registry *r, uint32_t id)
{
    const uint32_t place = body_place(r, id);
    return place < r->body_count && r->bodies[place]->id == id ? r->bodies[place] : NULL;
}

static struct bytes copy_into(uint8_t **at, struct bytes b)
{
    const struct bytes copy = { *at, b.len };
    if (b.len)
        memcpy(*at, b.at, b.len);
    *at += b.len;
    return copy;
}

static struct body *body_make(struct registry *r, uint32_t id, const struct registry_candidate *candidate)
{
    const uint32_t place = body_place(r, id);
    size_t bytes = sizeof(struct body) + candidate->reference_count * sizeof(struct registry_reference);
    uint8_t *at;
    for (uint32_t i = 0; i < candidate->reference_count; i++)
        bytes += candidate->references[i].name.len + candidate->references[i].subject.len;
    bytes += candidate->text.len;
    struct body *body = mem_zalloc(MEM_SCHEMA, bytes);
    body->id = id;
    body->type = candidate->type;
    body->bytes = bytes;
    body->hash = candidate_hash(candidate);
    body->reference_count = candidate->reference_count;
    at = (uint8_t *)(body->references + candidate->reference_count);
    for (uint32_t i = 0; i < candidate->reference_count; i++)
        body->references[i] =
            (struct registry_reference){ .name = copy_into(&at, candidate->references[i].name),
                                         .subject = copy_into(&at, candidate->references[i].subject),
                                         .version = candidate->references[i].version };
    body->text = copy_into(&at, candidate->text);
    r->bodies = grow(r->bodies, r->body_count, &r->body_room);
    memmove(r->bodies + place + 1, r->bodies + place, (r->body_count - place) * sizeof(*r->bodies));
    r->bodies[place] = body;
    r->body_count++;
    r->stats.text_bytes += body->text.len;
    return body;
}

static void body_release(struct registry *r, struct body *body)
{
    const uint32_t place = body_place(r, body->id);
    CHECK(body->uses > 0);
    if (--body->uses)
        return;
    r->body_count--;
    memmove(r->bodies + place, r->bodies + place + 1, (r->body_count - place) * sizeof(*r->bodies));
    r->stats.text_bytes -= body->text.len;
    mem_free(MEM_SCHEMA, body, body->bytes);
}

/* ---- versions ---- */

static struct version *version_add(struct registry *r, struct subject *s, uint32_t number)
{
    uint32_t place = s->count;
    if (s->count == s->room) {
        const uint32_t room = s->room ? s->room * 2 : 4;
        s->versions =
            mem_realloc(MEM_SCHEMA, s->versions, s->room * sizeof(*s->versions), room * sizeof(*s->versions));
        s->room = room;
    }
    while (place && s->versions[place - 1].number > number)
        place--;
    memmove(s->versions + place + 1, s->versions + place, (s->count - place) * sizeof(*s->versions));
    s->versions[place] = (struct version){ .number = number };
    s->count++;
    r->stats.versions++;
    return &s->versions[place];
}

void version_put(struct registry *r, struct bytes subject, uint32_t number, bool deleted, int64_t created_ms,
                 uint32_t id, const struct registry_candidate *candidate)
{
    struct subject *s = subject_make(r, subject);
    struct version *v = version_find(s, number);
    struct body *body = body_find(r, id);
    if (!body)
        body = body_make(r, id, candidate);
    body->uses++;
    if (v)
        body_release(r, v->body);
    else
        v = version_add(r, s, number);
    v->body = body;
    v->deleted = deleted;
    v->created_ms = created_ms;
    if (id >= r->next_id)
        r->next_id = id + 1;
}

void version_remove(struct registry *r, struct subject *s, struct version *v)
{
    const uint32_t place = (uint32_t)(v - s->versions);
    body_release(r, v->body);
    s->count--;
    memmove(v, v + 1, (s->count - place) * sizeof(*v));
    r->stats.versions--;
}

struct registry_row row_of(const struct subject *s, const struct version *v)
{
    return (struct registry_row){ .subject = s->name,
                                  .version = v->number,
                                  .id = v->body->id,
                                  .deleted = v->deleted,
                                  .created_ms = v->created_ms,
                                  .type = v->body->type,
                                  .text = v->body->text,
                                  .references = v->body->references,
                                  .reference_count = v->body->reference_count };
}

struct registry_candidate candidate_of(const struct body *body)
{
    return (struct registry_candidate){ body->type, body->text, body->references, body->reference_count };
}

/* ---- birth and death ---- */

void registry_attach(struct registry *r, struct store *store)
{
    r->store = store;
}

const struct store_state *registry_store_state(struct registry *r)
{
    return &r->state;
}

const struct registry_stats *registry_stats(struct registry *r)
{
    return &r->stats;
}

void registry_destroy(struct registry *r)
{
    while (r->subject_count) {
        struct subject *s = r->subjects[r->subject_count - 1];
        while (s->count)
            version_remove(r, s, &s->versions[s->count - 1]);
        s->level = LEVEL_UNSET;
        subject_settle(r, s);
    }
    CHECK(r->body_count == 0);
    mem_free(MEM_SCHEMA, r->subjects, r->subject_room * sizeof(*r->subjects));
    mem_free(MEM_SCHEMA, r->bodies, r->body_room * sizeof(*r->bodies));
    mem_free(MEM_SCHEMA, r, sizeof(*r));
}

/* ---- looking ---- */

uint64_t registry_sequence(const struct registry *r)
{
    return r->sequence;
}

enum error registry_get(struct registry *r, struct bytes subject, uint32_t version, bool deleted,
                        struct registry_row *row, char *why)
{
    const struct subject *s = subject_find(r, subject);
    const struct version *v = NULL;
    if (s)
        v = version ? version_find(s, version) : version_latest(s);
    if (s && !v && version == REGISTRY_LATEST && deleted && s->count)
        v = &s->versions[s->count - 1];
    if (v && (!v->deleted || deleted)) {
        *row = row_of(s, v);
        return ERR_OK;
    }
    const bool known = s && version_latest(s);
    if (known)
        snprintf(why, REGISTRY_WHY_BYTES, "subject %.*s has no version %u: the latest is %u",
                 (int)subject.len, (const char *)subject.at, version, version_latest(s)->number);
    else
        snprintf(why, REGISTRY_WHY_BYTES, "no subject %.*s%s", (int)subject.len, (const char *)subject.at,
                 s && s->count ? " that is not deleted" : ": `runnel schema list` shows those there are");
    return known ? ERR_SCHEMA_NOT_FOUND : ERR_SUBJECT_NOT_FOUND;
}

enum error registry_by_id(struct registry *r, uint32_t id, struct registry_row *row, char *why)
{
    const struct body *body = body_find(r, id);
    for (uint32_t i = 0; body && i < r->subject_count; i++) {
        const struct subject *s = r->subjects[i];
        for (uint32_t k = 0; k < s->count; k++)
            if (s->versions[k].body == body) {
                *row = row_of(s, &s->versions[k]);
                return ERR_OK;
            }
    }
    snprintf(why, REGISTRY_WHY_BYTES, "no schema has the id %u", id);
    return ERR_SCHEMA_NOT_FOUND;
}

bool registry_next(struct registry *r, bool deleted, struct registry_row *row)
{
    for (uint32_t i = subject_place(r, row->subject); i < r->subject_count; i++) {
        const struct subject *s = r->subjects[i];
        const uint32_t behind = bytes_same(s->name, row->subject) ? row->version : 0;
        for (uint32_t k = 0; k < s->count; k++)
            if (s->versions[k].number > behind && (deleted || !s->versions[k].deleted)) {
                *row = row_of(s, &s->versions[k]);
                return true;
            }
    }
    return false;
}

enum registry_level registry_level(struct registry *r, struct bytes subject, enum registry_level *effective)
{
    const struct subject *s = subject.len ? subject_find(r, subject) : NULL;
    const enum registry_level own = subject.len == 0 ? r->level : s ? s->level : LEVEL_UNSET;
    *effective = own == LEVEL_UNSET ? r->level : own;
    return own;
}
