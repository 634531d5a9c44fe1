/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_group.c: what a group's members say and are told; wire_group_admin.c has the administration. The
 * rules are those of wire.c: fields lie in the order of their structs, each value has one encoding.
 */
#include "proto/wire_group.h"

void wire_put_rows(struct writer *w, struct bytes rows, uint32_t count, uint32_t row)
{
    if (rows.len != count * row)
        w->bad = true;
    write_raw(w, rows.at, rows.len);
}

struct bytes wire_get_rows(struct reader *r, uint32_t count, uint32_t row)
{
    struct bytes rows = { .len = count * row };
    rows.at = read_raw(r, rows.len);
    if (!rows.at)
        rows.len = 0;
    return rows;
}

void wire_put_group_range(struct writer *w, const struct wire_group_range *row)
{
    write_u32(w, row->assignment);
    write_u32(w, row->epoch);
    write_u64(w, row->first);
    write_u32(w, row->count);
}

void wire_get_group_range(struct reader *r, struct wire_group_range *row)
{
    row->assignment = read_u32(r);
    row->epoch = read_u32(r);
    row->first = read_u64(r);
    row->count = read_u32(r);
}

struct wire_group_range wire_group_range_at(struct bytes ranges, uint16_t i)
{
    struct wire_group_range row;
    struct reader r = reader_of(ranges.at + (size_t)i * WIRE_GROUP_RANGE, WIRE_GROUP_RANGE);
    wire_get_group_range(&r, &row);
    return row;
}

void wire_put_group_join(struct writer *w, const struct wire_group_join *body)
{
    write_str(w, body->group);
    write_u8(w, body->mode);
    write_str(w, body->member_id);
    write_str(w, body->instance_id);
    write_str(w, body->host);
    write_u32(w, body->max_in_flight);
    write_u32(w, body->credit_bytes);
    write_u8(w, body->reset);
    if (body->topic_count > WIRE_GROUP_TOPICS_MAX) {
        w->bad = true;
        return;
    }
    write_u16(w, body->topic_count);
    for (uint16_t i = 0; i < body->topic_count; i++)
        write_str(w, body->topics[i]);
    write_u16(w, body->held_count);
    wire_put_rows(w, body->held, body->held_count, WIRE_GROUP_RANGE);
}

bool wire_get_group_join(struct reader r, struct wire_group_join *body)
{
    body->group = read_str(&r);
    body->mode = read_u8(&r);
    body->member_id = read_str(&r);
    body->instance_id = read_str(&r);
    body->host = read_str(&r);
    body->max_in_flight = read_u32(&r);
    body->credit_bytes = read_u32(&r);
    body->reset = read_u8(&r);
    body->topic_count = read_u16(&r);
    if (body->topic_count > WIRE_GROUP_TOPICS_MAX)
        return false;
    for (uint16_t i = 0; i < body->topic_count; i++)
        body->topics[i] = read_str(&r);
    body->held_count = read_u16(&r);
    body->held = wire_get_rows(&r, body->held_count, WIRE_GROUP_RANGE);
    return reader_done(&r) && body->mode <= WIRE_GROUP_SHARED && body->reset <= WIRE_GROUP_RESET_ERROR;
}

void wire_put_group_join_reply(struct writer *w, const struct wire_group_join_reply *body)
{
    write_u32(w, body->member);
    write_str(w, body->member_id);
    write_u32(w, body->generation);
    write_u8(w, body->mode);
    write_u32(w, body->session_timeout_ms);
    write_u32(w, body->ack_wait_ms);
    write_u32(w, body->max_in_flight);
}

bool wire_get_group_join_reply(struct reader r, struct wire_group_join_reply *body)
{
    body->member = read_u32(&r);
    body->member_id = read_str(&r);
    body->generation = read_u32(&r);
    body->mode = read_u8(&r);
    body->session_timeout_ms = read_u32(&r);
    body->ack_wait_ms = read_u32(&r);
    body->max_in_flight = read_u32(&r);
    return reader_done(&r) && (body->mode == WIRE_GROUP_ORDERED || body->mode == WIRE_GROUP_SHARED);
}

void wire_put_group_leave(struct writer *w, const struct wire_group_leave *body)
{
    write_u32(w, body->member);
    write_u8(w, body->drain);
}

bool wire_get_group_leave(struct reader r, struct wire_group_leave *body)
{
    body->member = read_u32(&r);
    body->drain = read_u8(&r);
    return reader_done(&r) && body->drain <= 1;
}

void wire_put_group_change_row(struct writer *w, const struct wire_group_change_row *row)
{
    write_u8(w, row->kind);
    write_u32(w, row->assignment);
    write_u32(w, row->epoch);
    write_u32(w, row->partition);
    write_u64(w, row->offset);
    write_str(w, row->topic);
}

void wire_get_group_change_row(struct reader *r, struct wire_group_change_row *row)
{
    row->kind = read_u8(r);
    row->assignment = read_u32(r);
    row->epoch = read_u32(r);
    row->partition = read_u32(r);
    row->offset = read_u64(r);
    row->topic = read_str(r);
    if (row->kind < WIRE_GROUP_ASSIGNED || row->kind > WIRE_GROUP_REWOUND)
        r->bad = true;
}

void wire_put_group_delivered(struct writer *w, const struct wire_group_delivered *row)
{
    write_u64(w, row->first);
    write_u32(w, row->count);
    write_u16(w, row->attempts);
    write_u16(w, 0);
}

void wire_get_group_delivered(struct reader *r, struct wire_group_delivered *row)
{
    row->first = read_u64(r);
    row->count = read_u32(r);
    row->attempts = read_u16(r);
    if (read_u16(r))
        r->bad = true;
}

struct wire_group_delivered wire_group_delivered_at(struct bytes ranges, uint16_t i)
{
    struct wire_group_delivered row;
    struct reader r = reader_of(ranges.at + (size_t)i * WIRE_GROUP_DELIVERED, WIRE_GROUP_DELIVERED);
    wire_get_group_delivered(&r, &row);
    return row;
}

void wire_put_group_deliver(struct writer *w, const struct wire_group_deliver *body)
{
    write_u32(w, body->assignment);
    write_u32(w, body->epoch);
    write_u64(w, body->end_offset);
    write_u16(w, body->count);
    write_u16(w, 0);
    wire_put_rows(w, body->ranges, body->count, WIRE_GROUP_DELIVERED);
    write_raw(w, body->batches.at, body->batches.len);
}

bool wire_get_group_deliver(struct reader r, struct wire_group_deliver *body)
{
    body->assignment = read_u32(&r);
    body->epoch = read_u32(&r);
    body->end_offset = read_u64(&r);
    body->count = read_u16(&r);
    uint16_t zero = read_u16(&r);
    body->ranges = wire_get_rows(&r, body->count, WIRE_GROUP_DELIVERED);
    struct reader rows = reader_of(body->ranges.at, body->ranges.len);
    for (uint16_t i = 0; i < body->count && !rows.bad; i++) {
        struct wire_group_delivered row;
        wire_get_group_delivered(&rows, &row);
    }
    body->batches.len = reader_left(&r);
    body->batches.at = read_raw(&r, body->batches.len);
    return reader_done(&r) && reader_done(&rows) && zero == 0;
}

void wire_put_group_ack(struct writer *w, const struct wire_group_ack *body)
{
    write_u32(w, body->member);
    write_u8(w, body->flags);
    write_u8(w, 0);
    write_u16(w, body->count);
    wire_put_rows(w, body->ranges, body->count, WIRE_GROUP_RANGE);
}

bool wire_get_group_ack(struct reader r, struct wire_group_ack *body)
{
    body->member = read_u32(&r);
    body->flags = read_u8(&r);
    uint8_t zero = read_u8(&r);
    body->count = read_u16(&r);
    body->ranges = wire_get_rows(&r, body->count, WIRE_GROUP_RANGE);
    return reader_done(&r) && zero == 0 && body->flags <= WIRE_GROUP_ACK_REPLY;
}

void wire_put_group_nack(struct writer *w, const struct wire_group_nack *body)
{
    write_u32(w, body->member);
    write_u32(w, body->assignment);
    write_u32(w, body->epoch);
    write_u64(w, body->offset);
    write_u8(w, body->term);
    write_i64(w, body->delay_ms);
    write_u32(w, body->key_hash);
    write_str(w, body->type);
    write_str(w, body->message);
    write_str(w, body->stack);
}

bool wire_get_group_nack(struct reader r, struct wire_group_nack *body)
{
    body->member = read_u32(&r);
    body->assignment = read_u32(&r);
    body->epoch = read_u32(&r);
    body->offset = read_u64(&r);
    body->term = read_u8(&r);
    body->delay_ms = read_i64(&r);
    body->key_hash = read_u32(&r);
    body->type = read_str(&r);
    body->message = read_str(&r);
    body->stack = read_str(&r);
    return reader_done(&r) && body->term <= 1 && body->delay_ms >= -1;
}

void wire_put_group_ranges(struct writer *w, const struct wire_group_ranges *body)
{
    write_u32(w, body->member);
    write_u16(w, body->count);
    wire_put_rows(w, body->ranges, body->count, WIRE_GROUP_RANGE);
}

bool wire_get_group_ranges(struct reader r, struct wire_group_ranges *body)
{
    body->member = read_u32(&r);
    body->count = read_u16(&r);
    body->ranges = wire_get_rows(&r, body->count, WIRE_GROUP_RANGE);
    return reader_done(&r);
}

void wire_put_group_produce(struct writer *w, uint32_t member, uint16_t count, struct bytes ranges)
{
    write_u32(w, member);
    write_u16(w, count);
    write_u16(w, 0);
    wire_put_rows(w, ranges, count, WIRE_GROUP_RANGE);
}

bool wire_get_group_produce(struct reader r, struct wire_group_produce *body)
{
    body->member = read_u32(&r);
    body->count = read_u16(&r);
    uint16_t zero = read_u16(&r);
    body->ranges = wire_get_rows(&r, body->count, WIRE_GROUP_RANGE);
    return !r.bad && zero == 0 && wire_get_produce(r, &body->produce);
}
