/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_group_admin.c: the bodies of looking after consumer groups. wire_group.c has those of their
 * members, wire.c the rules.
 */
#include "proto/wire_group.h"

static void write_i32(struct writer *w, int32_t v)
{
    write_u32(w, (uint32_t)v);
}

static int32_t read_i32(struct reader *r)
{
    return (int32_t)read_u32(r);
}

void wire_put_group_list(struct writer *w, const struct wire_group_list *body)
{
    write_str(w, body->pattern);
    write_str(w, body->after);
    write_u32(w, body->max);
}

bool wire_get_group_list(struct reader r, struct wire_group_list *body)
{
    body->pattern = read_str(&r);
    body->after = read_str(&r);
    body->max = read_u32(&r);
    return reader_done(&r);
}

void wire_put_group_row(struct writer *w, const struct wire_group_row *row)
{
    write_str(w, row->group);
    write_u8(w, row->mode);
    write_u8(w, row->state);
    write_u32(w, row->members);
    write_u32(w, row->partitions);
    write_u64(w, row->lag);
    write_i64(w, row->lag_ms);
}

void wire_get_group_row(struct reader *r, struct wire_group_row *row)
{
    row->group = read_str(r);
    row->mode = read_u8(r);
    row->state = read_u8(r);
    row->members = read_u32(r);
    row->partitions = read_u32(r);
    row->lag = read_u64(r);
    row->lag_ms = read_i64(r);
}

void wire_put_group_name(struct writer *w, const struct wire_group_name *body)
{
    write_str(w, body->group);
}

bool wire_get_group_name(struct reader r, struct wire_group_name *body)
{
    body->group = read_str(&r);
    return reader_done(&r);
}

void wire_put_group_described(struct writer *w, const struct wire_group_described *row)
{
    write_str(w, row->group);
    write_u8(w, row->mode);
    write_u8(w, row->state);
    write_u32(w, row->generation);
    write_u8(w, row->breaker);
    write_str(w, row->breaker_reason);
}

void wire_get_group_described(struct reader *r, struct wire_group_described *row)
{
    row->group = read_str(r);
    row->mode = read_u8(r);
    row->state = read_u8(r);
    row->generation = read_u32(r);
    row->breaker = read_u8(r);
    row->breaker_reason = read_str(r);
}

void wire_put_group_member_row(struct writer *w, const struct wire_group_member_row *row)
{
    write_str(w, row->member_id);
    write_str(w, row->instance_id);
    write_str(w, row->host);
    write_u32(w, row->in_flight);
    write_u32(w, row->partitions);
    write_u8(w, row->state);
}

void wire_get_group_member_row(struct reader *r, struct wire_group_member_row *row)
{
    row->member_id = read_str(r);
    row->instance_id = read_str(r);
    row->host = read_str(r);
    row->in_flight = read_u32(r);
    row->partitions = read_u32(r);
    row->state = read_u8(r);
}

void wire_put_group_done(struct writer *w, const struct wire_group_done *row)
{
    write_u64(w, row->first);
    write_u64(w, row->end);
}

void wire_get_group_done(struct reader *r, struct wire_group_done *row)
{
    row->first = read_u64(r);
    row->end = read_u64(r);
}

struct wire_group_done wire_group_done_at(struct bytes done, uint16_t i)
{
    struct wire_group_done row;
    struct reader r = reader_of(done.at + (size_t)i * WIRE_GROUP_DONE, WIRE_GROUP_DONE);
    wire_get_group_done(&r, &row);
    return row;
}

void wire_put_group_partition_row(struct writer *w, const struct wire_group_partition_row *row)
{
    write_str(w, row->topic);
    write_u32(w, row->partition);
    write_str(w, row->owner);
    write_u64(w, row->position);
    write_u64(w, row->next);
    write_u64(w, row->start);
    write_u64(w, row->end);
    write_u64(w, row->lag);
    write_i64(w, row->lag_ms);
    write_u32(w, row->in_flight);
    write_u32(w, row->items);
    write_u8(w, row->pause);
    write_u16(w, row->done_count);
    if (row->done_count > WIRE_GROUP_DONE_MAX)
        w->bad = true;
    wire_put_rows(w, row->done, row->done_count, WIRE_GROUP_DONE);
}

void wire_get_group_partition_row(struct reader *r, struct wire_group_partition_row *row)
{
    row->topic = read_str(r);
    row->partition = read_u32(r);
    row->owner = read_str(r);
    row->position = read_u64(r);
    row->next = read_u64(r);
    row->start = read_u64(r);
    row->end = read_u64(r);
    row->lag = read_u64(r);
    row->lag_ms = read_i64(r);
    row->in_flight = read_u32(r);
    row->items = read_u32(r);
    row->pause = read_u8(r);
    row->done_count = read_u16(r);
    row->done = wire_get_rows(r, row->done_count, WIRE_GROUP_DONE);
    if (row->done_count > WIRE_GROUP_DONE_MAX)
        r->bad = true;
}

void wire_put_group_set(struct writer *w, const struct wire_group_set *body)
{
    write_str(w, body->group);
    write_u8(w, body->create_mode);
    wire_put_configs(w, body->configs, body->config_count);
}

bool wire_get_group_set(struct reader r, struct wire_group_set *body)
{
    body->group = read_str(&r);
    body->create_mode = read_u8(&r);
    body->config_count = wire_get_configs(&r, body->configs);
    return reader_done(&r) && body->create_mode <= WIRE_GROUP_SHARED;
}

void wire_put_group_seek(struct writer *w, const struct wire_group_seek *body)
{
    write_str(w, body->group);
    write_str(w, body->topic);
    write_u8(w, body->dry);
    write_i32(w, body->partition);
    wire_put_position(w, &body->position);
}

bool wire_get_group_seek(struct reader r, struct wire_group_seek *body)
{
    body->group = read_str(&r);
    body->topic = read_str(&r);
    body->dry = read_u8(&r);
    body->partition = read_i32(&r);
    body->position = wire_get_position(&r);
    return reader_done(&r) && body->dry <= 1 && body->partition >= -1;
}

void wire_put_group_moved(struct writer *w, const struct wire_group_moved *row)
{
    write_u32(w, row->partition);
    write_u64(w, row->from);
    write_u64(w, row->to);
}

void wire_get_group_moved(struct reader *r, struct wire_group_moved *row)
{
    row->partition = read_u32(r);
    row->from = read_u64(r);
    row->to = read_u64(r);
}

void wire_put_group_breaker_set(struct writer *w, const struct wire_group_breaker_set *body)
{
    write_str(w, body->group);
    write_u8(w, body->order);
}

bool wire_get_group_breaker_set(struct reader r, struct wire_group_breaker_set *body)
{
    body->group = read_str(&r);
    body->order = read_u8(&r);
    return reader_done(&r) && body->order <= WIRE_BREAKER_HOLD_CLOSED;
}

void wire_put_group_forget(struct writer *w, const struct wire_group_forget *body)
{
    write_str(w, body->group);
    write_str(w, body->topic);
    write_i32(w, body->partition);
}

bool wire_get_group_forget(struct reader r, struct wire_group_forget *body)
{
    body->group = read_str(&r);
    body->topic = read_str(&r);
    body->partition = read_i32(&r);
    return reader_done(&r) && body->partition >= -1;
}

void wire_put_group_redrive_row(struct writer *w, const struct wire_group_redrive_row *row)
{
    write_u32(w, row->dead_partition);
    write_u64(w, row->dead_offset);
    write_str(w, row->group);
    write_str(w, row->topic);
    write_u32(w, row->partition);
    write_u64(w, row->offset);
}

void wire_get_group_redrive_row(struct reader *r, struct wire_group_redrive_row *row)
{
    row->dead_partition = read_u32(r);
    row->dead_offset = read_u64(r);
    row->group = read_str(r);
    row->topic = read_str(r);
    row->partition = read_u32(r);
    row->offset = read_u64(r);
}

void wire_put_group_commit_row(struct writer *w, const struct wire_group_commit_row *row)
{
    write_str(w, row->topic);
    write_u32(w, row->partition);
    write_u64(w, row->position);
}

void wire_get_group_commit_row(struct reader *r, struct wire_group_commit_row *row)
{
    row->topic = read_str(r);
    row->partition = read_u32(r);
    row->position = read_u64(r);
}

void wire_put_group_redrive(struct writer *w, struct bytes dead_topic, uint16_t count)
{
    write_str(w, dead_topic);
    write_u16(w, count);
}

bool wire_get_group_redrive(struct reader r, struct wire_group_redrive *body)
{
    body->dead_topic = read_str(&r);
    body->count = read_u16(&r);
    body->rows = r;
    for (uint16_t i = 0; i < body->count && !r.bad; i++) {
        struct wire_group_redrive_row row;
        wire_get_group_redrive_row(&r, &row);
    }
    body->rows.end = r.at;
    body->publishes = !r.bad && reader_left(&r) > 0;
    if (body->publishes)
        return wire_get_produce(r, &body->produce);
    return reader_done(&r);
}
