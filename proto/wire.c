/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire.c: frames, and the bodies of session and topic requests. wire_data.c and wire_group.c have the
 * others.
 *
 * Fields lie in the order of their structs. Each encoding is the only one of its value: reserved bytes and
 * flags that are neither 0 nor 1 where both mean something are malformed, so that they can get a meaning
 * later.
 */
#include "proto/wire.h"

const char *wire_op_name(uint16_t op)
{
    switch (op) {
#define X(name, code)                                                                                        \
    case code:                                                                                               \
        return #name;
        WIRE_OPS(X)
#undef X
    default:
        return "?";
    }
}

/* ---- frames ---- */

bool wire_header_decode(struct wire_header *out, const void *p, uint32_t available)
{
    if (available < WIRE_HEADER)
        return false;
    memcpy(out, p, WIRE_HEADER);
    return true;
}

uint8_t *wire_frame_begin(struct writer *w)
{
    return write_space(w, WIRE_HEADER);
}

uint32_t wire_frame_end(struct writer *w, uint8_t *frame, uint16_t op, uint16_t flags, uint32_t request_id)
{
    if (!frame)
        return 0;
    if (w->bad) {
        w->at = frame; /* what stands before the half frame is whole */
        return 0;
    }
    struct wire_header header = { (uint32_t)(w->at - frame), op, flags, request_id };
    memcpy(frame, &header, WIRE_HEADER);
    return header.size;
}

void wire_put_error(struct writer *w, const struct wire_error *body)
{
    write_u16(w, body->code);
    write_str(w, body->text);
}

bool wire_get_error(struct reader r, struct wire_error *body)
{
    body->code = read_u16(&r);
    body->text = read_str(&r);
    body->row_count = 0;
    body->rows = (struct bytes){ NULL, 0 };
    if (r.bad || reader_left(&r) == 0)
        return reader_done(&r);
    body->row_count = read_u32(&r);
    body->rows.len = reader_left(&r);
    body->rows.at = read_raw(&r, body->rows.len);
    return reader_done(&r) && body->rows.len == (uint64_t)body->row_count * WIRE_EVENT_ERROR;
}

void wire_put_event_error(struct writer *w, const struct wire_event_error *row)
{
    write_u32(w, row->event);
    write_u16(w, row->code);
    write_u16(w, 0);
    write_u32(w, row->partition);
    write_u64(w, row->offset);
}

struct wire_event_error wire_event_error_at(struct bytes rows, uint32_t i)
{
    struct reader r = reader_of(rows.at + (size_t)i * WIRE_EVENT_ERROR, WIRE_EVENT_ERROR);
    struct wire_event_error row = { .event = read_u32(&r), .code = read_u16(&r) };
    (void)read_u16(&r);
    row.partition = read_u32(&r);
    row.offset = read_u64(&r);
    return row;
}

/* ---- session ---- */

void wire_put_hello(struct writer *w, const struct wire_hello *body)
{
    write_u32(w, body->magic);
    write_u16(w, body->version_min);
    write_u16(w, body->version_max);
    write_u64(w, body->features);
    write_str(w, body->client);
    write_str(w, body->client_version);
}

bool wire_get_hello(struct reader r, struct wire_hello *body)
{
    body->magic = read_u32(&r);
    body->version_min = read_u16(&r);
    body->version_max = read_u16(&r);
    body->features = read_u64(&r);
    body->client = read_str(&r);
    body->client_version = read_str(&r);
    return reader_done(&r);
}

void wire_put_hello_reply(struct writer *w, const struct wire_hello_reply *body)
{
    write_u16(w, body->version);
    write_u64(w, body->features);
    write_str(w, body->broker_version);
    write_raw(w, body->broker_id, sizeof(body->broker_id));
    write_u32(w, body->leader_epoch);
    write_u32(w, body->frame_bytes_max);
    write_u32(w, body->batch_bytes_max);
    write_u32(w, body->inflight_bytes_max);
}

bool wire_get_hello_reply(struct reader r, struct wire_hello_reply *body)
{
    body->version = read_u16(&r);
    body->features = read_u64(&r);
    body->broker_version = read_str(&r);
    const uint8_t *id = read_raw(&r, sizeof(body->broker_id));
    if (!id)
        return false;
    memcpy(body->broker_id, id, sizeof(body->broker_id));
    body->leader_epoch = read_u32(&r);
    body->frame_bytes_max = read_u32(&r);
    body->batch_bytes_max = read_u32(&r);
    body->inflight_bytes_max = read_u32(&r);
    return reader_done(&r);
}

/* ---- topics ---- */

void wire_put_open_topic(struct writer *w, const struct wire_open_topic *body)
{
    write_str(w, body->name);
    write_u8(w, body->create);
}

bool wire_get_open_topic(struct reader r, struct wire_open_topic *body)
{
    body->name = read_str(&r);
    body->create = read_u8(&r);
    return reader_done(&r);
}

void wire_put_open_topic_reply(struct writer *w, const struct wire_open_topic_reply *body)
{
    write_u32(w, body->handle);
    write_u64(w, body->topic_id);
    write_u32(w, body->partitions);
    write_u32(w, body->batch_bytes_max);
}

bool wire_get_open_topic_reply(struct reader r, struct wire_open_topic_reply *body)
{
    body->handle = read_u32(&r);
    body->topic_id = read_u64(&r);
    body->partitions = read_u32(&r);
    body->batch_bytes_max = read_u32(&r);
    return reader_done(&r);
}

void wire_put_configs(struct writer *w, const struct wire_config *configs, uint16_t count)
{
    if (count > WIRE_CONFIGS_MAX) {
        w->bad = true;
        return;
    }
    write_u16(w, count);
    for (uint16_t i = 0; i < count; i++) {
        write_str(w, configs[i].name);
        write_u8(w, configs[i].value.at ? 1 : 0);
        if (configs[i].value.at)
            write_str(w, configs[i].value);
    }
}

uint16_t wire_get_configs(struct reader *r, struct wire_config *configs)
{
    uint16_t count = read_u16(r);
    if (count > WIRE_CONFIGS_MAX) {
        r->bad = true;
        return 0;
    }
    for (uint16_t i = 0; i < count; i++) {
        configs[i].name = read_str(r);
        uint8_t given = read_u8(r);
        configs[i].value = given ? read_str(r) : (struct bytes){ 0 };
        if (given > 1)
            r->bad = true;
    }
    return count;
}

void wire_put_topic_create(struct writer *w, const struct wire_topic_create *body)
{
    write_str(w, body->name);
    write_u32(w, body->partitions);
    write_u8(w, body->if_missing);
    wire_put_configs(w, body->configs, body->config_count);
}

bool wire_get_topic_create(struct reader r, struct wire_topic_create *body)
{
    body->name = read_str(&r);
    body->partitions = read_u32(&r);
    body->if_missing = read_u8(&r);
    body->config_count = wire_get_configs(&r, body->configs);
    return reader_done(&r);
}

void wire_put_topic_create_reply(struct writer *w, const struct wire_topic_create_reply *body)
{
    write_u64(w, body->topic_id);
    write_u32(w, body->partitions);
    write_u8(w, body->created);
}

bool wire_get_topic_create_reply(struct reader r, struct wire_topic_create_reply *body)
{
    body->topic_id = read_u64(&r);
    body->partitions = read_u32(&r);
    body->created = read_u8(&r);
    return reader_done(&r);
}

void wire_put_topic_list(struct writer *w, const struct wire_topic_list *body)
{
    write_str(w, body->pattern);
    write_str(w, body->after);
    write_u32(w, body->max);
    write_u8(w, body->internal);
}

bool wire_get_topic_list(struct reader r, struct wire_topic_list *body)
{
    body->pattern = read_str(&r);
    body->after = read_str(&r);
    body->max = read_u32(&r);
    body->internal = read_u8(&r);
    return reader_done(&r);
}

void wire_put_topic_row(struct writer *w, const struct wire_topic_row *row)
{
    write_str(w, row->name);
    write_u64(w, row->topic_id);
    write_u32(w, row->partitions);
    write_u64(w, row->events);
    write_u64(w, row->bytes);
}

void wire_get_topic_row(struct reader *r, struct wire_topic_row *row)
{
    row->name = read_str(r);
    row->topic_id = read_u64(r);
    row->partitions = read_u32(r);
    row->events = read_u64(r);
    row->bytes = read_u64(r);
}

void wire_put_topic_set(struct writer *w, const struct wire_topic_set *body)
{
    write_str(w, body->name);
    wire_put_configs(w, body->configs, body->config_count);
}

bool wire_get_topic_set(struct reader r, struct wire_topic_set *body)
{
    body->name = read_str(&r);
    body->config_count = wire_get_configs(&r, body->configs);
    return reader_done(&r);
}

void wire_put_topic_add_partitions(struct writer *w, const struct wire_topic_add_partitions *body)
{
    write_str(w, body->name);
    write_u32(w, body->partitions);
}

bool wire_get_topic_add_partitions(struct reader r, struct wire_topic_add_partitions *body)
{
    body->name = read_str(&r);
    body->partitions = read_u32(&r);
    return reader_done(&r);
}

void wire_put_topic_name(struct writer *w, const struct wire_topic_name *body)
{
    write_str(w, body->name);
}

bool wire_get_topic_name(struct reader r, struct wire_topic_name *body)
{
    body->name = read_str(&r);
    return reader_done(&r);
}

void wire_put_partition_row(struct writer *w, const struct wire_partition_row *row)
{
    write_u32(w, row->partition);
    write_u64(w, row->start_offset);
    write_u64(w, row->end_offset);
    write_u64(w, row->bytes);
    write_u32(w, row->segments);
    write_i64(w, row->max_timestamp_ms);
    write_u8(w, row->state);
}

void wire_get_partition_row(struct reader *r, struct wire_partition_row *row)
{
    row->partition = read_u32(r);
    row->start_offset = read_u64(r);
    row->end_offset = read_u64(r);
    row->bytes = read_u64(r);
    row->segments = read_u32(r);
    row->max_timestamp_ms = read_i64(r);
    row->state = read_u8(r);
}
