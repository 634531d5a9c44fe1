/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_schema.c: the bodies of the registry's operations; see wire_schema.h.
 */
#include "proto/wire_schema.h"

static void put_schema(struct writer *w, const struct wire_schema *schema)
{
    write_u8(w, schema->type);
    write_u16(w, schema->reference_count);
    for (uint16_t i = 0; i < schema->reference_count; i++) {
        write_str(w, schema->references[i].name);
        write_str(w, schema->references[i].subject);
        write_u32(w, schema->references[i].version);
    }
    write_blob(w, schema->text);
}

static void get_schema(struct reader *r, struct wire_schema *schema)
{
    schema->type = read_u8(r);
    schema->reference_count = read_u16(r);
    if (schema->reference_count > WIRE_SCHEMA_REFERENCES_MAX)
        r->bad = true;
    for (uint16_t i = 0; i < schema->reference_count && !r->bad; i++) {
        schema->references[i].name = read_str(r);
        schema->references[i].subject = read_str(r);
        schema->references[i].version = read_u32(r);
    }
    schema->text = read_blob(r);
}

void wire_put_schema_put(struct writer *w, const struct wire_schema_put *body)
{
    write_str(w, body->subject);
    write_u8(w, body->flags);
    write_u32(w, body->version);
    put_schema(w, &body->schema);
}

bool wire_get_schema_put(struct reader r, struct wire_schema_put *body)
{
    body->subject = read_str(&r);
    body->flags = read_u8(&r);
    body->version = read_u32(&r);
    get_schema(&r, &body->schema);
    return reader_done(&r);
}

void wire_put_schema_registered(struct writer *w, const struct wire_schema_registered *body)
{
    write_u32(w, body->version);
    write_u32(w, body->id);
    write_u8(w, body->made);
}

bool wire_get_schema_registered(struct reader r, struct wire_schema_registered *body)
{
    body->version = read_u32(&r);
    body->id = read_u32(&r);
    body->made = read_u8(&r);
    return reader_done(&r);
}

void wire_put_schema_objection(struct writer *w, const struct wire_schema_objection *row)
{
    write_u32(w, row->version);
    write_u8(w, row->forward);
    write_str(w, row->change);
    write_str(w, row->path);
}

void wire_get_schema_objection(struct reader *r, struct wire_schema_objection *row)
{
    row->version = read_u32(r);
    row->forward = read_u8(r);
    row->change = read_str(r);
    row->path = read_str(r);
}

void wire_put_schema_get(struct writer *w, const struct wire_schema_get *body)
{
    write_str(w, body->subject);
    write_u32(w, body->version);
    write_u32(w, body->id);
    write_u8(w, body->deleted);
}

bool wire_get_schema_get(struct reader r, struct wire_schema_get *body)
{
    body->subject = read_str(&r);
    body->version = read_u32(&r);
    body->id = read_u32(&r);
    body->deleted = read_u8(&r);
    return reader_done(&r);
}

void wire_put_schema_row(struct writer *w, const struct wire_schema_row *body)
{
    write_str(w, body->subject);
    write_u32(w, body->version);
    write_u32(w, body->id);
    write_u8(w, body->deleted);
    write_i64(w, body->created_ms);
    put_schema(w, &body->schema);
}

bool wire_get_schema_row(struct reader r, struct wire_schema_row *body)
{
    body->subject = read_str(&r);
    body->version = read_u32(&r);
    body->id = read_u32(&r);
    body->deleted = read_u8(&r);
    body->created_ms = read_i64(&r);
    get_schema(&r, &body->schema);
    return reader_done(&r);
}

void wire_put_schema_list(struct writer *w, const struct wire_schema_list *body)
{
    write_str(w, body->pattern);
    write_u8(w, body->deleted);
    write_str(w, body->after);
    write_u32(w, body->after_version);
    write_u32(w, body->max);
}

bool wire_get_schema_list(struct reader r, struct wire_schema_list *body)
{
    body->pattern = read_str(&r);
    body->deleted = read_u8(&r);
    body->after = read_str(&r);
    body->after_version = read_u32(&r);
    body->max = read_u32(&r);
    return reader_done(&r);
}

void wire_put_schema_list_row(struct writer *w, const struct wire_schema_list_row *row)
{
    write_str(w, row->subject);
    write_u32(w, row->version);
    write_u32(w, row->id);
    write_u8(w, row->deleted);
    write_u8(w, row->type);
    write_u8(w, row->level);
    write_i64(w, row->created_ms);
    write_u32(w, row->bytes);
}

void wire_get_schema_list_row(struct reader *r, struct wire_schema_list_row *row)
{
    row->subject = read_str(r);
    row->version = read_u32(r);
    row->id = read_u32(r);
    row->deleted = read_u8(r);
    row->type = read_u8(r);
    row->level = read_u8(r);
    row->created_ms = read_i64(r);
    row->bytes = read_u32(r);
}

void wire_put_schema_delete(struct writer *w, const struct wire_schema_delete *body)
{
    write_str(w, body->subject);
    write_u32(w, body->version);
    write_u8(w, body->permanent);
}

bool wire_get_schema_delete(struct reader r, struct wire_schema_delete *body)
{
    body->subject = read_str(&r);
    body->version = read_u32(&r);
    body->permanent = read_u8(&r);
    return reader_done(&r);
}

void wire_put_schema_level(struct writer *w, const struct wire_schema_level *body)
{
    write_str(w, body->subject);
    write_u8(w, body->set);
    write_u8(w, body->level);
}

bool wire_get_schema_level(struct reader r, struct wire_schema_level *body)
{
    body->subject = read_str(&r);
    body->set = read_u8(&r);
    body->level = read_u8(&r);
    return reader_done(&r);
}
