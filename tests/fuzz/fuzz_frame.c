/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: a header, then the body that its op and flags say. Whatever is decoded lies in the input and
 * encodes to the same bytes again: each value has one encoding.
 */
#include "fuzz.h"

#include <string.h>

#include "proto/wire_group.h"

static uint8_t again[1 << 20];

static void encoded_same(const struct writer *w, struct reader body)
{
    FUZZ_CHECK(!w->bad);
    FUZZ_CHECK(writer_len(w) == reader_left(&body));
    FUZZ_CHECK(writer_len(w) == 0 || memcmp(w->start, body.at, writer_len(w)) == 0);
}

#define BODY(name)                                                                                           \
    static void try_##name(struct reader body)                                                               \
    {                                                                                                        \
        struct wire_##name b;                                                                                \
        struct writer w = writer_of(again, sizeof(again));                                                   \
        if (wire_get_##name(body, &b)) {                                                                     \
            wire_put_##name(&w, &b);                                                                         \
            encoded_same(&w, body);                                                                          \
        }                                                                                                    \
    }
WIRE_BODIES(BODY)
WIRE_GROUP_BODIES(BODY)

static void produce_again(struct writer *w, struct wire_produce *p)
{
    struct wire_produce_batch b;
    uint32_t n = 0;
    wire_put_produce(w, p->acks, p->count);
    while (wire_produce_next(p, &b) == 1) {
        wire_put_produce_batch(w, b.handle, b.partition, b.batch);
        n++;
    }
    FUZZ_CHECK(n == p->count);
}

static void try_produce(struct reader body)
{
    struct wire_produce p;
    struct writer w = writer_of(again, sizeof(again));
    if (!wire_get_produce(body, &p))
        return;
    produce_again(&w, &p);
    encoded_same(&w, body);
}

static void try_group_produce(struct reader body)
{
    struct wire_group_produce p;
    struct writer w = writer_of(again, sizeof(again));
    if (!wire_get_group_produce(body, &p))
        return;
    wire_put_group_produce(&w, p.member, p.count, p.ranges);
    for (uint16_t i = 0; i < p.count; i++)
        wire_group_range_at(p.ranges, i);
    produce_again(&w, &p.produce);
    encoded_same(&w, body);
}

static void try_group_redrive(struct reader body)
{
    struct wire_group_redrive p;
    struct writer w = writer_of(again, sizeof(again));
    if (!wire_get_group_redrive(body, &p))
        return;
    wire_put_group_redrive(&w, p.dead_topic, p.count);
    for (uint16_t i = 0; i < p.count; i++) {
        struct wire_group_redrive_row row;
        wire_get_group_redrive_row(&p.rows, &row);
        wire_put_group_redrive_row(&w, &row);
    }
    FUZZ_CHECK(reader_done(&p.rows));
    if (p.publishes)
        produce_again(&w, &p.produce);
    encoded_same(&w, body);
}

static void try_produced(struct reader body)
{
    const uint8_t *rows;
    uint16_t count;
    struct wire_produced copy[1024];
    if (!wire_get_produced(body, &rows, &count) || count > 1024)
        return;
    for (uint16_t i = 0; i < count; i++)
        copy[i] = wire_produced_row(rows, i);
    struct writer w = writer_of(again, sizeof(again));
    wire_put_produced(&w, copy, count);
    encoded_same(&w, body);
}

/* `count` rows behind what `r` and `w` have read and written already. */
#define ROWS(name)                                                                                           \
    static void try_##name##s(struct reader body, struct reader r, struct writer w, uint32_t count)          \
    {                                                                                                        \
        for (uint32_t i = 0; i < count && !r.bad; i++) {                                                     \
            struct wire_##name row;                                                                          \
            wire_get_##name(&r, &row);                                                                       \
            if (!r.bad)                                                                                      \
                wire_put_##name(&w, &row);                                                                   \
        }                                                                                                    \
        if (reader_done(&r))                                                                                 \
            encoded_same(&w, body);                                                                          \
    }
ROWS(topic_row)
ROWS(partition_row)
ROWS(offset_query)
ROWS(offset_row)
ROWS(stat_row)
ROWS(health_row)
ROWS(group_change_row)
ROWS(group_row)
ROWS(group_moved)
ROWS(group_commit_row)

static uint16_t again_count(struct reader *r, struct writer *w)
{
    uint16_t count = read_u16(r);
    write_u16(w, count);
    return count;
}

static void try_group_describe(struct reader body)
{
    struct reader r = body;
    struct writer w = writer_of(again, sizeof(again));
    struct wire_group_described head;
    wire_get_group_described(&r, &head);
    wire_put_group_described(&w, &head);
    for (uint32_t i = again_count(&r, &w); i && !r.bad; i--) {
        write_str(&w, read_str(&r));
        write_str(&w, read_str(&r));
        write_u8(&w, read_u8(&r));
    }
    for (uint32_t i = again_count(&r, &w); i && !r.bad; i--)
        write_str(&w, read_str(&r));
    uint32_t members = read_u32(&r);
    write_u32(&w, members);
    for (uint32_t i = 0; i < members && !r.bad; i++) {
        struct wire_group_member_row row;
        wire_get_group_member_row(&r, &row);
        wire_put_group_member_row(&w, &row);
    }
    uint32_t partitions = read_u32(&r);
    write_u32(&w, partitions);
    for (uint32_t i = 0; i < partitions && !r.bad; i++) {
        struct wire_group_partition_row row;
        wire_get_group_partition_row(&r, &row);
        wire_put_group_partition_row(&w, &row);
        for (uint16_t k = 0; k < row.done_count && !r.bad; k++)
            wire_group_done_at(row.done, k);
    }
    if (reader_done(&r))
        encoded_same(&w, body);
}

static void try_group_lists(struct reader body, uint16_t op, bool reply)
{
    struct reader r = body;
    struct writer w = writer_of(again, sizeof(again));
    uint32_t count;
    switch (op) {
    case WIRE_OP_GROUP_ASSIGN:
        write_u32(&w, read_u32(&r));
        count = again_count(&r, &w);
        try_group_change_rows(body, r, w, count);
        break;
    case WIRE_OP_GROUP_LIST:
        write_u8(&w, read_u8(&r));
        write_u32(&w, count = read_u32(&r));
        try_group_rows(body, r, w, count);
        break;
    case WIRE_OP_GROUP_DESCRIBE:
        try_group_describe(body);
        break;
    case WIRE_OP_GROUP_SEEK:
        count = again_count(&r, &w);
        try_group_moveds(body, r, w, count);
        break;
    case WIRE_OP_GROUP_COMMIT:
        if (reply)
            break;
        write_str(&w, read_str(&r));
        count = again_count(&r, &w);
        try_group_commit_rows(body, r, w, count);
        break;
    }
}

static void try_lists(struct reader body, uint16_t op, bool reply)
{
    struct reader r = body;
    struct writer w = writer_of(again, sizeof(again));
    switch (op) {
    case WIRE_OP_TOPIC_LIST: {
        write_u8(&w, read_u8(&r));
        uint32_t count = read_u32(&r);
        write_u32(&w, count);
        try_topic_rows(body, r, w, count);
        break;
    }
    case WIRE_OP_TOPIC_DESCRIBE: {
        write_str(&w, read_str(&r));
        write_u64(&w, read_u64(&r));
        write_i64(&w, read_i64(&r));
        uint16_t settings = read_u16(&r);
        write_u16(&w, settings);
        for (uint16_t i = 0; i < settings && !r.bad; i++) {
            write_str(&w, read_str(&r));
            write_str(&w, read_str(&r));
            write_u8(&w, read_u8(&r));
        }
        uint32_t count = read_u32(&r);
        write_u32(&w, count);
        try_partition_rows(body, r, w, count);
        break;
    }
    case WIRE_OP_OFFSETS: {
        if (!reply)
            write_u32(&w, read_u32(&r));
        uint16_t count = read_u16(&r);
        write_u16(&w, count);
        if (reply)
            try_offset_rows(body, r, w, count);
        else
            try_offset_querys(body, r, w, count);
        break;
    }
    case WIRE_OP_STAT: {
        uint32_t count = read_u32(&r);
        write_u32(&w, count);
        try_stat_rows(body, r, w, count);
        break;
    }
    case WIRE_OP_HEALTH: {
        write_u8(&w, read_u8(&r));
        uint16_t count = read_u16(&r);
        write_u16(&w, count);
        try_health_rows(body, r, w, count);
        break;
    }
    }
}

/* Requests and pushes. */
static void try_group_request(struct reader body, uint16_t op)
{
    switch (op) {
    case WIRE_OP_GROUP_JOIN:
        try_group_join(body);
        break;
    case WIRE_OP_GROUP_LEAVE:
        try_group_leave(body);
        break;
    case WIRE_OP_GROUP_DELIVER:
        try_group_deliver(body);
        break;
    case WIRE_OP_GROUP_ACK:
        try_group_ack(body);
        break;
    case WIRE_OP_GROUP_NACK:
        try_group_nack(body);
        break;
    case WIRE_OP_GROUP_WORKING:
    case WIRE_OP_GROUP_RELEASE:
        try_group_ranges(body);
        break;
    case WIRE_OP_GROUP_PRODUCE:
        try_group_produce(body);
        break;
    case WIRE_OP_GROUP_LIST:
        try_group_list(body);
        break;
    case WIRE_OP_GROUP_DESCRIBE:
    case WIRE_OP_GROUP_DELETE:
        try_group_name(body);
        break;
    case WIRE_OP_GROUP_SET:
        try_group_set(body);
        break;
    case WIRE_OP_GROUP_SEEK:
        try_group_seek(body);
        break;
    case WIRE_OP_GROUP_BREAKER:
        try_group_breaker_set(body);
        break;
    case WIRE_OP_GROUP_FORGET:
        try_group_forget(body);
        break;
    case WIRE_OP_GROUP_REDRIVE:
        try_group_redrive(body);
        break;
    default:
        try_group_lists(body, op, false);
        break;
    }
}

static void try_request(struct reader body, uint16_t op)
{
    switch (op) {
    case WIRE_OP_HELLO:
        try_hello(body);
        break;
    case WIRE_OP_OPEN_TOPIC:
        try_open_topic(body);
        break;
    case WIRE_OP_PRODUCE:
        try_produce(body);
        break;
    case WIRE_OP_FETCH:
        try_fetch(body);
        break;
    case WIRE_OP_SUBSCRIBE:
        try_subscribe(body);
        break;
    case WIRE_OP_DELIVER:
        try_deliver(body);
        break;
    case WIRE_OP_CREDIT:
        try_credit(body);
        break;
    case WIRE_OP_UNSUBSCRIBE:
        try_unsubscribe(body);
        break;
    case WIRE_OP_SUB_END:
        try_error(body);
        break;
    case WIRE_OP_TOPIC_CREATE:
        try_topic_create(body);
        break;
    case WIRE_OP_TOPIC_LIST:
        try_topic_list(body);
        break;
    case WIRE_OP_TOPIC_SET:
        try_topic_set(body);
        break;
    case WIRE_OP_TOPIC_ADD_PARTITIONS:
        try_topic_add_partitions(body);
        break;
    case WIRE_OP_TOPIC_DESCRIBE:
    case WIRE_OP_TOPIC_DELETE:
        try_topic_name(body);
        break;
    case WIRE_OP_OFFSETS:
        try_lists(body, op, false);
        break;
    default:
        try_group_request(body, op);
        break;
    }
}

static void try_reply(struct reader body, uint16_t op)
{
    switch (op) {
    case WIRE_OP_HELLO:
        try_hello_reply(body);
        break;
    case WIRE_OP_OPEN_TOPIC:
        try_open_topic_reply(body);
        break;
    case WIRE_OP_PRODUCE:
        try_produced(body);
        break;
    case WIRE_OP_FETCH:
        try_fetch_reply(body);
        break;
    case WIRE_OP_SUBSCRIBE:
        try_subscribe_reply(body);
        break;
    case WIRE_OP_INIT_PRODUCER:
        try_init_producer_reply(body);
        break;
    case WIRE_OP_TOPIC_CREATE:
        try_topic_create_reply(body);
        break;
    case WIRE_OP_GROUP_JOIN:
        try_group_join_reply(body);
        break;
    case WIRE_OP_GROUP_PRODUCE:
        try_produced(body);
        break;
    default:
        try_lists(body, op, true);
        try_group_lists(body, op, true);
        break;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct wire_header h;
    if (size > sizeof(again) || !wire_header_decode(&h, data, (uint32_t)size))
        return;
    FUZZ_CHECK(wire_op_name(h.op) != NULL);
    struct reader body = reader_of(data + WIRE_HEADER, (uint32_t)size - WIRE_HEADER);
    if (h.flags & WIRE_ERROR)
        try_error(body);
    else if (h.flags & WIRE_REPLY)
        try_reply(body, h.op);
    else
        try_request(body, h.op);
}
