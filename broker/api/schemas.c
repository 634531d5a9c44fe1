/* SPDX-License-Identifier: Apache-2.0
 *
 * api/schemas.c: the registry's operations: from a request to schema/registry.h and back. Every answer waits
 * until the last change is durable: what one was told of the registry is never taken back by a crash.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"
#include "proto/name.h"
#include "proto/wire_schema.h"
#include "schema/registry.h"

enum {
    SCHEMA_LIST_MAX = 500,
    SCHEMA_LIST_ROW_BYTES = 2 + REGISTRY_SUBJECT_MAX + 32,
    SCHEMA_OBJECTION_BYTES = 2 * (2 + DIFFERENCE_PATH_BYTES) + 8,
    SCHEMA_ROW_BYTES = REGISTRY_SUBJECT_MAX + 64,
};

static_assert((int)API_WHY_BYTES >= (int)REGISTRY_WHY_BYTES, "the registry's sentences fit");
static_assert((int)WIRE_SCHEMA_REFERENCES_MAX == (int)REGISTRY_REFERENCES_MAX,
              "what a request may name may be stored");

/* May a change that carries so many bytes be made now? False: *take is the answer. */
static bool change_admit(struct session *s, const struct request *rq, enum journal_class class,
                         enum net_take *take)
{
    char why[API_WHY_BYTES];
    enum error code = api_admit(s, why);
    if (code == ERR_OK && class == JOURNAL_NORMAL)
        code = store_accepts(s->api->store, why);
    *take = NET_TAKEN;
    if (code != ERR_OK) {
        ack_refuse(s, rq, code, why);
        return false;
    }
    if (api_room_for(s, class, 1, registry_room_bytes(rq->bytes)))
        return true;
    *take = api_park(s);
    return false;
}

/* Answers with what was written into `bytes`, which is given back. */
static enum net_take answer(struct session *s, const struct request *rq, const struct writer *w,
                            uint8_t *bytes, uint32_t room)
{
    CHECK(!w->bad);
    ack_reply(s, rq, registry_sequence(s->api->registry), w);
    mem_free(MEM_API, bytes, room);
    return NET_TAKEN;
}

static struct registry_candidate candidate_from(const struct wire_schema *schema,
                                                struct registry_reference *references)
{
    for (uint16_t i = 0; i < schema->reference_count; i++)
        references[i] =
            (struct registry_reference){ schema->references[i].name, schema->references[i].subject,
                                         schema->references[i].version };
    return (struct registry_candidate){ (enum registry_type)schema->type, schema->text, references,
                                        schema->reference_count };
}

enum net_take schemas_register(struct session *s, const struct request *rq)
{
    struct registry_reference references[REGISTRY_REFERENCES_MAX];
    struct wire_schema_put body;
    struct registry_change change;
    enum net_take take;
    char why[API_WHY_BYTES];
    uint8_t buffer[16];
    if (!wire_get_schema_put(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_REGISTER cannot be decoded");
    if (!change_admit(s, rq, JOURNAL_NORMAL, &take))
        return take;
    const struct registry_candidate candidate = candidate_from(&body.schema, references);
    const enum error code = registry_register(s->api->registry, body.subject, &candidate,
                                              body.flags & WIRE_SCHEMA_REGISTER_FORCE, &change, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    struct writer w = writer_of(buffer, sizeof(buffer));
    wire_put_schema_registered(&w,
                               &(struct wire_schema_registered){ change.version, change.id, change.made });
    ack_reply(s, rq, registry_sequence(s->api->registry), &w);
    return NET_TAKEN;
}

struct objections {
    struct writer w;
    uint32_t count;
};

static void objection_put(void *ctx, const struct registry_objection *objection)
{
    struct objections *o = ctx;
    const struct wire_schema_objection row = {
        .version = objection->version,
        .forward = objection->forward,
        .change = bytes_of(schema_change_name(objection->difference->change)),
        .path = bytes_of(objection->difference->path),
    };
    if (o->count == WIRE_SCHEMA_OBJECTIONS_MAX)
        return;
    wire_put_schema_objection(&o->w, &row);
    o->count++;
}

enum net_take schemas_check(struct session *s, const struct request *rq)
{
    struct registry_reference references[REGISTRY_REFERENCES_MAX];
    struct wire_schema_put body;
    char why[API_WHY_BYTES];
    const uint32_t room = 5 + WIRE_SCHEMA_OBJECTIONS_MAX * SCHEMA_OBJECTION_BYTES;
    if (!wire_get_schema_put(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_CHECK cannot be decoded");
    const struct registry_candidate candidate = candidate_from(&body.schema, references);
    uint8_t *bytes = mem_alloc(MEM_API, room);
    struct objections objections = { .w = writer_of(bytes, room) };
    write_u8(&objections.w, 0);
    write_u32(&objections.w, 0);
    const enum error code = registry_check(s->api->registry, body.subject, body.version, &candidate,
                                           objection_put, &objections, why);
    bytes[0] = code == ERR_OK;
    memcpy(bytes + 1, &objections.count, sizeof(objections.count));
    if (code == ERR_OK || code == ERR_SCHEMA_INCOMPATIBLE)
        return answer(s, rq, &objections.w, bytes, room);
    mem_free(MEM_API, bytes, room);
    return ack_refuse(s, rq, code, why);
}

enum net_take schemas_get(struct session *s, const struct request *rq)
{
    struct wire_schema_get body;
    struct registry_row row;
    char why[API_WHY_BYTES];
    if (!wire_get_schema_get(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_GET cannot be decoded");
    const enum error code =
        body.id ? registry_by_id(s->api->registry, body.id, &row, why)
                : registry_get(s->api->registry, body.subject, body.version, body.deleted != 0, &row, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    struct wire_schema_row out = { .subject = row.subject,
                                   .version = row.version,
                                   .id = row.id,
                                   .deleted = row.deleted,
                                   .created_ms = row.created_ms,
                                   .schema = { .type = (uint8_t)row.type,
                                               .reference_count = (uint16_t)row.reference_count,
                                               .text = row.text } };
    uint32_t bytes = SCHEMA_ROW_BYTES + row.text.len;
    for (uint32_t i = 0; i < row.reference_count; i++) {
        out.schema.references[i] =
            (struct wire_schema_reference){ row.references[i].name, row.references[i].subject,
                                            row.references[i].version };
        bytes += row.references[i].name.len + row.references[i].subject.len + 8;
    }
    uint8_t *buffer = mem_alloc(MEM_API, bytes);
    struct writer w = writer_of(buffer, bytes);
    wire_put_schema_row(&w, &out);
    return answer(s, rq, &w, buffer, bytes);
}

enum net_take schemas_list(struct session *s, const struct request *rq)
{
    struct wire_schema_list body;
    if (!wire_get_schema_list(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_LIST cannot be decoded");
    const uint32_t most = body.max && body.max < SCHEMA_LIST_MAX ? body.max : SCHEMA_LIST_MAX;
    struct registry_row row = { .subject = body.after.len ? body.after : bytes_of(""),
                                .version = body.after_version };
    const uint32_t room = 5 + most * SCHEMA_LIST_ROW_BYTES;
    uint8_t *bytes = mem_alloc(MEM_API, room);
    struct writer w = writer_of(bytes, room);
    uint32_t count = 0;
    bool more;
    write_u8(&w, 0);
    write_u32(&w, 0);
    while ((more = registry_next(s->api->registry, body.deleted != 0, &row)) && count < most) {
        enum registry_level level;
        if (body.pattern.len && !name_matches(body.pattern, row.subject))
            continue;
        registry_level(s->api->registry, row.subject, &level);
        wire_put_schema_list_row(&w, &(struct wire_schema_list_row){ .subject = row.subject,
                                                                     .version = row.version,
                                                                     .id = row.id,
                                                                     .deleted = row.deleted,
                                                                     .type = (uint8_t)row.type,
                                                                     .level = (uint8_t)level,
                                                                     .created_ms = row.created_ms,
                                                                     .bytes = row.text.len });
        count++;
    }
    bytes[0] = more;
    memcpy(bytes + 1, &count, sizeof(count));
    return answer(s, rq, &w, bytes, room);
}

enum net_take schemas_delete(struct session *s, const struct request *rq)
{
    struct wire_schema_delete body;
    struct registry_change change;
    enum net_take take;
    char why[API_WHY_BYTES];
    if (!wire_get_schema_delete(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_DELETE cannot be decoded");
    if (!change_admit(s, rq, JOURNAL_RESERVED, &take))
        return take;
    const enum error code =
        registry_delete(s->api->registry, body.subject, body.version, body.permanent != 0, &change, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    ack_reply(s, rq, registry_sequence(s->api->registry), NULL);
    return NET_TAKEN;
}

enum net_take schemas_level(struct session *s, const struct request *rq)
{
    struct wire_schema_level body;
    struct registry_change change;
    enum registry_level own, effective;
    enum net_take take;
    char why[API_WHY_BYTES];
    uint8_t buffer[2];
    if (!wire_get_schema_level(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "SCHEMA_LEVEL cannot be decoded");
    if (body.set) {
        if (!change_admit(s, rq, JOURNAL_RESERVED, &take))
            return take;
        const enum error code =
            registry_set_level(s->api->registry, body.subject, (enum registry_level)body.level, &change, why);
        if (code != ERR_OK)
            return ack_refuse(s, rq, code, why);
    }
    own = registry_level(s->api->registry, body.subject, &effective);
    struct writer w = writer_of(buffer, sizeof(buffer));
    write_u8(&w, (uint8_t)own);
    write_u8(&w, (uint8_t)effective);
    ack_reply(s, rq, registry_sequence(s->api->registry), &w);
    return NET_TAKEN;
}
