/* SPDX-License-Identifier: Apache-2.0
 *
 * client/schema/registry.c: the registry's calls: each is one request and its answer (a list: one per page).
 */
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "proto/wire_schema.h"

enum { SUBJECT_MAX = 255, BODY_MAX = SUBJECT_MAX + 64, LIST_PAGE = 500 };

static const char *const levels[] = {
    "", "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
};

static const char *level_name(uint8_t level)
{
    return level < sizeof(levels) / sizeof(levels[0]) ? levels[level] : "?";
}

static const char *type_name(uint8_t type)
{
    return type == 1 ? "json" : "?";
}

static int bad_subject(struct runnel_client *c, const char *subject)
{
    if (subject && *subject && strlen(subject) <= SUBJECT_MAX)
        return 0;
    return client_error(c, ERR_SUBJECT_NAME_INVALID, "a subject's name has 1 to %d characters", SUBJECT_MAX);
}

/* ---- handing a schema in ---- */

/* The request with a schema; NULL: *rc says why. */
static uint8_t *schema_put(struct runnel_client *c, const char *subject, uint32_t version, uint8_t flags,
                           const struct runnel_schema_text *schema, struct writer *w, int *rc)
{
    struct wire_schema_put body = { .subject = bytes_of(subject), .flags = flags, .version = version };
    uint64_t bytes = BODY_MAX + (uint64_t)schema->text_len;
    *rc = bad_subject(c, subject);
    if (!*rc && (schema->reference_count > WIRE_SCHEMA_REFERENCES_MAX || schema->text_len > UINT32_MAX / 2))
        *rc = client_error(c, ERR_SCHEMA_LIMIT, "a schema has at most %d references",
                           WIRE_SCHEMA_REFERENCES_MAX);
    if (*rc)
        return NULL;
    body.schema = (struct wire_schema){ .type = 1,
                                        .reference_count = (uint16_t)schema->reference_count,
                                        .text = { schema->text, (uint32_t)schema->text_len } };
    for (size_t i = 0; i < schema->reference_count; i++) {
        const struct runnel_schema_reference *r = &schema->references[i];
        body.schema.references[i] =
            (struct wire_schema_reference){ bytes_of(r->name), bytes_of(r->subject), r->version };
        bytes += body.schema.references[i].name.len + (uint64_t)body.schema.references[i].subject.len + 8;
    }
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        *rc = client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for the request");
        return NULL;
    }
    *w = writer_of(buffer, (uint32_t)bytes);
    wire_put_schema_put(w, &body);
    if (!w->bad)
        return buffer;
    free(buffer);
    *rc = client_error(c, ERR_CLIENT_ARGUMENT, "the name of a reference is longer than it can be");
    return NULL;
}

int runnel_schema_register(runnel_client *c, const char *subject, const struct runnel_schema_text *schema,
                           int force, uint32_t *version, uint32_t *id)
{
    struct wire_schema_registered made;
    struct writer w;
    uint8_t *reply = NULL;
    uint32_t len;
    int rc;
    uint8_t *buffer = schema_put(c, subject, 0, force ? WIRE_SCHEMA_REGISTER_FORCE : 0, schema, &w, &rc);
    if (!buffer)
        return rc;
    /* The same again is the same version, so asking again does no harm. */
    rc = request_call(c, WIRE_OP_SCHEMA_REGISTER, admin_written(&w), true, &reply, &len);
    if (rc == 0 && !wire_get_schema_registered(reader_of(reply, len), &made))
        rc = admin_not_understood(c, "SCHEMA_REGISTER");
    if (rc == 0) {
        *version = made.version;
        *id = made.id;
        rc = made.made != 0;
    }
    free(reply);
    free(buffer);
    return rc;
}

static int check_rows(struct runnel_client *c, struct reader r,
                      void (*each)(void *ctx, const struct runnel_schema_objection *objection), void *ctx)
{
    const bool compatible = read_u8(&r) != 0;
    const uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_schema_objection row;
        char change[128], path[512];
        wire_get_schema_objection(&r, &row);
        if (r.bad)
            return admin_not_understood(c, "SCHEMA_CHECK");
        admin_copy_text(change, sizeof(change), row.change);
        admin_copy_text(path, sizeof(path), row.path);
        const struct runnel_schema_objection out = { row.version, row.forward, change, path };
        if (each)
            each(ctx, &out);
    }
    return reader_done(&r) ? !compatible : admin_not_understood(c, "SCHEMA_CHECK");
}

int runnel_schema_check(runnel_client *c, const char *subject, uint32_t version,
                        const struct runnel_schema_text *schema,
                        void (*each)(void *ctx, const struct runnel_schema_objection *objection), void *ctx)
{
    struct writer w;
    uint8_t *reply = NULL;
    uint32_t len;
    int rc;
    uint8_t *buffer = schema_put(c, subject, version, 0, schema, &w, &rc);
    if (!buffer)
        return rc;
    rc = request_call(c, WIRE_OP_SCHEMA_CHECK, admin_written(&w), true, &reply, &len);
    if (rc == 0)
        rc = check_rows(c, reader_of(reply, len), each, ctx);
    free(reply);
    free(buffer);
    return rc;
}

/* ---- getting one ---- */

/* The schema in one piece of memory, texts terminated. */
static struct runnel_schema *schema_copy(const struct wire_schema_row *row)
{
    size_t bytes = sizeof(struct runnel_schema) + row->subject.len + 1 + row->schema.text.len + 1 +
                   row->schema.reference_count * sizeof(struct runnel_schema_reference);
    for (uint16_t i = 0; i < row->schema.reference_count; i++)
        bytes += row->schema.references[i].name.len + row->schema.references[i].subject.len + 2;
    struct runnel_schema *s = malloc(bytes);
    if (!s)
        return NULL;
    struct runnel_schema_reference *references = (struct runnel_schema_reference *)(s + 1);
    char *at = (char *)(references + row->schema.reference_count);
    *s = (struct runnel_schema){ .type = type_name(row->schema.type),
                                 .version = row->version,
                                 .id = row->id,
                                 .deleted = row->deleted,
                                 .created_ms = row->created_ms };
#define COPY(to, from)                                                                                       \
    do {                                                                                                     \
        (to) = at;                                                                                           \
        admin_copy_text(at, (from).len + 1, from);                                                           \
        at += (from).len + 1;                                                                                \
    } while (0)
    COPY(s->subject, row->subject);
    for (uint16_t i = 0; i < row->schema.reference_count; i++) {
        references[i].version = row->schema.references[i].version;
        COPY(references[i].name, row->schema.references[i].name);
        COPY(references[i].subject, row->schema.references[i].subject);
    }
#undef COPY
    memcpy(at, row->schema.text.at, row->schema.text.len);
    at[row->schema.text.len] = 0;
    s->schema =
        (struct runnel_schema_text){ at, row->schema.text.len, references, row->schema.reference_count };
    return s;
}

int runnel_schema_get(runnel_client *c, const char *subject, uint32_t version, uint32_t id, int deleted,
                      struct runnel_schema **out)
{
    uint8_t buffer[BODY_MAX], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    struct wire_schema_row row;
    int rc = id ? 0 : bad_subject(c, subject);
    if (rc)
        return rc;
    wire_put_schema_get(&w,
                        &(struct wire_schema_get){ bytes_of(id ? "" : subject), version, id, deleted != 0 });
    rc = request_call(c, WIRE_OP_SCHEMA_GET, admin_written(&w), true, &reply, &len);
    if (rc == 0 && !wire_get_schema_row(reader_of(reply, len), &row))
        rc = admin_not_understood(c, "SCHEMA_GET");
    if (rc == 0 && !(*out = schema_copy(&row)))
        rc = client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for the schema");
    free(reply);
    return rc;
}

void runnel_schema_free(struct runnel_schema *schema)
{
    free(schema);
}

/* ---- list ---- */

struct list_place {
    char subject[SUBJECT_MAX + 1];
    uint32_t version;
    bool more;
};

static int list_page(struct runnel_client *c, struct reader r, struct list_place *place,
                     int (*each)(void *ctx, const struct runnel_schema_row *row), void *ctx)
{
    place->more = read_u8(&r) != 0;
    const uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_schema_list_row row;
        wire_get_schema_list_row(&r, &row);
        if (r.bad || row.subject.len > SUBJECT_MAX)
            return admin_not_understood(c, "SCHEMA_LIST");
        admin_copy_text(place->subject, sizeof(place->subject), row.subject);
        place->version = row.version;
        const struct runnel_schema_row out = { .subject = place->subject,
                                               .type = type_name(row.type),
                                               .level = level_name(row.level),
                                               .version = row.version,
                                               .id = row.id,
                                               .bytes = row.bytes,
                                               .deleted = row.deleted,
                                               .created_ms = row.created_ms };
        const int rc = each(ctx, &out);
        if (rc)
            return rc;
    }
    if (!reader_done(&r) || (place->more && count == 0))
        return admin_not_understood(c, "SCHEMA_LIST");
    return 0;
}

int runnel_schema_list(runnel_client *c, const char *pattern, int deleted,
                       int (*each)(void *ctx, const struct runnel_schema_row *row), void *ctx)
{
    struct list_place place = { .more = true };
    int rc = 0;
    if (pattern && strlen(pattern) > SUBJECT_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "the pattern is longer than a subject's name can be");
    while (place.more && rc == 0) {
        uint8_t buffer[2 * BODY_MAX], *reply = NULL;
        uint32_t len;
        struct writer w = writer_of(buffer, sizeof(buffer));
        wire_put_schema_list(&w,
                             &(struct wire_schema_list){ bytes_of(pattern), deleted != 0,
                                                         bytes_of(place.subject), place.version, LIST_PAGE });
        rc = request_call(c, WIRE_OP_SCHEMA_LIST, admin_written(&w), true, &reply, &len);
        if (rc == 0)
            rc = list_page(c, reader_of(reply, len), &place, each, ctx);
        free(reply);
    }
    return rc;
}

/* ---- changing ---- */

int runnel_schema_delete(runnel_client *c, const char *subject, uint32_t version, int permanent)
{
    uint8_t buffer[BODY_MAX];
    struct writer w = writer_of(buffer, sizeof(buffer));
    const int rc = bad_subject(c, subject);
    if (rc)
        return rc;
    wire_put_schema_delete(&w, &(struct wire_schema_delete){ bytes_of(subject), version, permanent != 0 });
    return admin_call_plain(c, WIRE_OP_SCHEMA_DELETE, &w);
}

int runnel_schema_level(runnel_client *c, const char *subject, const char *level, const char **own,
                        const char **counts)
{
    const uint32_t known = sizeof(levels) / sizeof(levels[0]);
    uint8_t buffer[BODY_MAX], *reply = NULL;
    uint32_t len, number = 0;
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = subject && *subject ? bad_subject(c, subject) : 0;
    while (rc == 0 && level && number < known && strcasecmp(levels[number], level) != 0)
        number++;
    if (number == known)
        rc = client_error(
            c, ERR_CLIENT_ARGUMENT,
            "'%.40s' is not a level: NONE, BACKWARD, FORWARD or FULL, or one of the last three with "
            "_TRANSITIVE",
            level);
    if (rc)
        return rc;
    wire_put_schema_level(
        &w, &(struct wire_schema_level){ bytes_of(subject ? subject : ""), level != NULL, (uint8_t)number });
    rc = request_call(c, WIRE_OP_SCHEMA_LEVEL, admin_written(&w), true, &reply, &len);
    if (rc == 0 && len != 2)
        rc = admin_not_understood(c, "SCHEMA_LEVEL");
    if (rc == 0) {
        *own = level_name(reply[0]);
        *counts = level_name(reply[1]);
    }
    free(reply);
    return rc;
}
