/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_data.c: the bodies of producing, reading and observing. wire.c has the others, and the rules.
 */
#include "proto/wire.h"

/* ---- producing ---- */

void wire_put_produce(struct writer *w, uint8_t acks, uint16_t count)
{
    write_u8(w, acks);
    write_u8(w, 0);
    write_u16(w, count);
}

void wire_put_produce_batch(struct writer *w, uint32_t handle, uint32_t partition, struct bytes batch)
{
    write_u32(w, handle);
    write_u32(w, partition);
    write_blob(w, batch);
}

static void wire_get_produce_batch(struct reader *r, struct wire_produce_batch *out)
{
    out->handle = read_u32(r);
    out->partition = read_u32(r);
    out->batch = read_blob(r);
}

bool wire_get_produce(struct reader r, struct wire_produce *body)
{
    body->acks = read_u8(&r);
    uint8_t reserved = read_u8(&r);
    body->count = read_u16(&r);
    body->batches = r;
    /* Walked once here, so that nothing is begun of a request whose last piece is cut off. */
    for (uint16_t i = 0; i < body->count && !r.bad; i++) {
        struct wire_produce_batch batch;
        wire_get_produce_batch(&r, &batch);
    }
    return reader_done(&r) && reserved == 0;
}

int wire_produce_next(struct wire_produce *body, struct wire_produce_batch *out)
{
    if (reader_done(&body->batches))
        return 0;
    wire_get_produce_batch(&body->batches, out);
    return body->batches.bad ? -1 : 1;
}

void wire_put_produced(struct writer *w, const struct wire_produced *rows, uint16_t count)
{
    write_u16(w, count);
    write_u16(w, 0);
    write_u32(w, 0);
    write_raw(w, rows, (uint32_t)count * (uint32_t)sizeof(*rows));
}

bool wire_get_produced(struct reader r, const uint8_t **rows, uint16_t *count)
{
    *count = read_u16(&r);
    uint16_t zero16 = read_u16(&r);
    uint32_t zero32 = read_u32(&r);
    *rows = read_raw(&r, *count * (uint32_t)sizeof(struct wire_produced));
    return reader_done(&r) && zero16 == 0 && zero32 == 0;
}

struct wire_produced wire_produced_row(const uint8_t *rows, uint16_t i)
{
    struct wire_produced row;
    memcpy(&row, rows + (size_t)i * sizeof(row), sizeof(row));
    return row;
}

void wire_put_init_producer_reply(struct writer *w, const struct wire_init_producer_reply *body)
{
    write_i64(w, body->producer_id);
    write_u16(w, (uint16_t)body->producer_epoch);
}

bool wire_get_init_producer_reply(struct reader r, struct wire_init_producer_reply *body)
{
    body->producer_id = read_i64(&r);
    body->producer_epoch = (int16_t)read_u16(&r);
    return reader_done(&r);
}

/* ---- reading ---- */

void wire_put_position(struct writer *w, const struct wire_position *position)
{
    write_u8(w, position->from);
    write_i64(w, position->value);
}

struct wire_position wire_get_position(struct reader *r)
{
    struct wire_position position;
    position.from = read_u8(r);
    position.value = read_i64(r);
    return position;
}

void wire_put_fetch(struct writer *w, const struct wire_fetch *body)
{
    write_u32(w, body->handle);
    write_u32(w, body->partition);
    wire_put_position(w, &body->position);
    write_u32(w, body->bytes_max);
    write_u32(w, body->wait_ms);
}

bool wire_get_fetch(struct reader r, struct wire_fetch *body)
{
    body->handle = read_u32(&r);
    body->partition = read_u32(&r);
    body->position = wire_get_position(&r);
    body->bytes_max = read_u32(&r);
    body->wait_ms = read_u32(&r);
    return reader_done(&r);
}

void wire_put_fetch_reply(struct writer *w, const struct wire_fetch_reply *body)
{
    write_u64(w, body->offset);
    write_u64(w, body->start_offset);
    write_u64(w, body->end_offset);
    write_blob(w, body->batches);
}

bool wire_get_fetch_reply(struct reader r, struct wire_fetch_reply *body)
{
    body->offset = read_u64(&r);
    body->start_offset = read_u64(&r);
    body->end_offset = read_u64(&r);
    body->batches = read_blob(&r);
    return reader_done(&r);
}

void wire_put_subscribe(struct writer *w, const struct wire_subscribe *body)
{
    write_u32(w, body->subscription);
    write_u32(w, body->handle);
    write_u32(w, body->partition);
    wire_put_position(w, &body->position);
    write_u32(w, body->credit);
}

bool wire_get_subscribe(struct reader r, struct wire_subscribe *body)
{
    body->subscription = read_u32(&r);
    body->handle = read_u32(&r);
    body->partition = read_u32(&r);
    body->position = wire_get_position(&r);
    body->credit = read_u32(&r);
    return reader_done(&r);
}

void wire_put_subscribe_reply(struct writer *w, const struct wire_subscribe_reply *body)
{
    write_u64(w, body->offset);
    write_u64(w, body->start_offset);
    write_u64(w, body->end_offset);
}

bool wire_get_subscribe_reply(struct reader r, struct wire_subscribe_reply *body)
{
    body->offset = read_u64(&r);
    body->start_offset = read_u64(&r);
    body->end_offset = read_u64(&r);
    return reader_done(&r);
}

void wire_put_deliver(struct writer *w, const struct wire_deliver *body)
{
    write_u64(w, body->end_offset);
    write_raw(w, body->batches.at, body->batches.len);
}

bool wire_get_deliver(struct reader r, struct wire_deliver *body)
{
    body->end_offset = read_u64(&r);
    body->batches.len = reader_left(&r);
    body->batches.at = read_raw(&r, body->batches.len);
    return reader_done(&r);
}

void wire_put_credit(struct writer *w, const struct wire_credit *body)
{
    write_u32(w, body->subscription);
    write_u32(w, body->bytes);
}

bool wire_get_credit(struct reader r, struct wire_credit *body)
{
    body->subscription = read_u32(&r);
    body->bytes = read_u32(&r);
    return reader_done(&r);
}

void wire_put_unsubscribe(struct writer *w, const struct wire_unsubscribe *body)
{
    write_u32(w, body->subscription);
}

bool wire_get_unsubscribe(struct reader r, struct wire_unsubscribe *body)
{
    body->subscription = read_u32(&r);
    return reader_done(&r);
}

void wire_put_offset_query(struct writer *w, const struct wire_offset_query *row)
{
    write_u32(w, row->partition);
    wire_put_position(w, &row->position);
}

void wire_get_offset_query(struct reader *r, struct wire_offset_query *row)
{
    row->partition = read_u32(r);
    row->position = wire_get_position(r);
}

void wire_put_offset_row(struct writer *w, const struct wire_offset_row *row)
{
    write_u16(w, row->error);
    write_u32(w, row->partition);
    write_u64(w, row->offset);
    write_i64(w, row->timestamp_ms);
}

void wire_get_offset_row(struct reader *r, struct wire_offset_row *row)
{
    row->error = read_u16(r);
    row->partition = read_u32(r);
    row->offset = read_u64(r);
    row->timestamp_ms = read_i64(r);
}

/* ---- observing ---- */

void wire_put_stat_row(struct writer *w, const struct wire_stat_row *row)
{
    write_str(w, row->room);
    write_str(w, row->name);
    write_u8(w, row->kind);
    write_u64(w, row->value);
}

void wire_get_stat_row(struct reader *r, struct wire_stat_row *row)
{
    row->room = read_str(r);
    row->name = read_str(r);
    row->kind = read_u8(r);
    row->value = read_u64(r);
}

void wire_put_health_row(struct writer *w, const struct wire_health_row *row)
{
    write_str(w, row->name);
    write_u8(w, row->status);
    write_str(w, row->text);
}

void wire_get_health_row(struct reader *r, struct wire_health_row *row)
{
    row->name = read_str(r);
    row->status = read_u8(r);
    row->text = read_str(r);
}
