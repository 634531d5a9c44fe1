/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: a header, then the body that its op and flags say. Whatever is decoded lies in the input and
 * encodes to the same bytes again: each value has one encoding.
 */
#include "fuzz.h"

#include <string.h>

#include "proto/wire.h"

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

static void try_produce(struct reader body)
{
    struct wire_produce p;
    if (!wire_get_produce(body, &p))
        return;
    struct writer w = writer_of(again, sizeof(again));
    struct wire_produce_batch b;
    uint32_t n = 0;
    wire_put_produce(&w, p.acks, p.count);
    while (wire_produce_next(&p, &b) == 1) {
        wire_put_produce_batch(&w, b.handle, b.partition, b.batch);
        n++;
    }
    FUZZ_CHECK(n == p.count);
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
    default:
        try_lists(body, op, true);
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
