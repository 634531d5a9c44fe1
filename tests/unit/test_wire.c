/* SPDX-License-Identifier: Apache-2.0
 *
 * The native protocol's bodies: what is put is got back the same, whatever is cut off or left over is
 * refused, and the bytes are those that docs/protocol.md shows.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/wire.h"

static bool same(struct bytes a, struct bytes b)
{
    if (!a.at || !b.at)
        return a.at == b.at;
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Puts a body into a buffer of exactly its size, gets it back, and gets every shorter and one longer input,
 * each in memory of its own, so that AddressSanitizer sees any read behind it. `compare` states what must be
 * equal of `in` and `out`. */
#define ROUND_TRIP(name, in, compare)                                                                        \
    do {                                                                                                     \
        struct wire_##name out;                                                                              \
        uint8_t big[4096];                                                                                   \
        struct writer w = writer_of(big, sizeof(big));                                                       \
        wire_put_##name(&w, &in);                                                                            \
        cr_assert(!w.bad);                                                                                   \
        uint32_t len = writer_len(&w);                                                                       \
        for (uint32_t n = 0; n <= len + 1; n++) {                                                            \
            uint8_t *cut = malloc(n ? n : 1);                                                                \
            memcpy(cut, big, n < len ? n : len);                                                             \
            if (n > len)                                                                                     \
                cut[len] = 0;                                                                                \
            bool got = wire_get_##name(reader_of(cut, n), &out);                                             \
            cr_assert_eq(got, n == len, #name ": %u of %u bytes", n, len);                                   \
            if (n == len)                                                                                    \
                cr_assert(compare, #name);                                                                   \
            struct writer small = writer_of(cut, n);                                                         \
            wire_put_##name(&small, &in);                                                                    \
            cr_assert_eq(small.bad, n < len, #name ": %u of %u bytes of room", n, len);                      \
            free(cut);                                                                                       \
        }                                                                                                    \
    } while (0)

Test(wire, session)
{
    struct wire_error error = { .code = ERR_TOPIC_NOT_FOUND, .text = bytes_of("no topic 'x'") };
    ROUND_TRIP(error, error, out.code == error.code && same(out.text, error.text));
    struct wire_hello hello = { WIRE_MAGIC, 1, 3, 5, bytes_of("test"), bytes_of("") };
    ROUND_TRIP(hello, hello,
               out.magic == WIRE_MAGIC && out.version_min == 1 && out.version_max == 3 && out.features == 5 &&
                   same(out.client, hello.client) && same(out.client_version, hello.client_version));
    struct wire_hello_reply reply = { 1, 2, bytes_of("0.1.0"), "0123456789abcde", 7, 8, 9, 10 };
    ROUND_TRIP(hello_reply, reply,
               out.version == 1 && out.features == 2 && same(out.broker_version, reply.broker_version) &&
                   memcmp(out.broker_id, reply.broker_id, 16) == 0 && out.leader_epoch == 7 &&
                   out.frame_bytes_max == 8 && out.batch_bytes_max == 9 && out.inflight_bytes_max == 10);
}

static bool same_configs(const struct wire_config *a, const struct wire_config *b, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        if (!same(a[i].name, b[i].name) || !same(a[i].value, b[i].value))
            return false;
    return true;
}

Test(wire, topics)
{
    struct wire_open_topic open = { bytes_of("orders"), 1 };
    ROUND_TRIP(open_topic, open, same(out.name, open.name) && out.create == 1);
    struct wire_open_topic_reply opened = { 3, UINT64_MAX, 12, 1 << 20 };
    ROUND_TRIP(open_topic_reply, opened,
               out.handle == 3 && out.topic_id == UINT64_MAX && out.partitions == 12 &&
                   out.batch_bytes_max == 1 << 20);
    struct wire_topic_create create = {
        .name = bytes_of("orders"),
        .partitions = 3,
        .if_missing = 1,
        .config_count = 2,
        .configs = { { bytes_of("retention.ms"), bytes_of("7d") }, { bytes_of("segment.bytes"), { 0 } } },
    };
    ROUND_TRIP(topic_create, create,
               same(out.name, create.name) && out.partitions == 3 && out.if_missing == 1 &&
                   out.config_count == 2 && same_configs(out.configs, create.configs, 2));
    struct wire_topic_create_reply created = { 9, 3, 1 };
    ROUND_TRIP(topic_create_reply, created, out.topic_id == 9 && out.partitions == 3 && out.created == 1);
    struct wire_topic_list list = { bytes_of("a*"), bytes_of("ab"), 100, 1 };
    ROUND_TRIP(topic_list, list,
               same(out.pattern, list.pattern) && same(out.after, list.after) && out.max == 100 &&
                   out.internal == 1);
    struct wire_topic_set set = { .name = bytes_of("orders"),
                                  .config_count = 2,
                                  .configs = { { bytes_of("a"), bytes_of("") }, { bytes_of("b"), { 0 } } } };
    ROUND_TRIP(topic_set, set,
               same(out.name, set.name) && out.config_count == 2 &&
                   same_configs(out.configs, set.configs, 2));
    struct wire_topic_add_partitions add = { bytes_of("orders"), 6 };
    ROUND_TRIP(topic_add_partitions, add, same(out.name, add.name) && out.partitions == 6);
    struct wire_topic_name name = { bytes_of("orders") };
    ROUND_TRIP(topic_name, name, same(out.name, name.name));
}

Test(wire, reading)
{
    struct wire_init_producer_reply init = { 1ll << 40, 3 };
    ROUND_TRIP(init_producer_reply, init, out.producer_id == 1ll << 40 && out.producer_epoch == 3);
    struct wire_fetch fetch = { 1, 2, { WIRE_FROM_TIME, -5 }, 1000, 500 };
    ROUND_TRIP(fetch, fetch,
               out.handle == 1 && out.partition == 2 && out.position.from == WIRE_FROM_TIME &&
                   out.position.value == -5 && out.bytes_max == 1000 && out.wait_ms == 500);
    struct wire_fetch_reply fetched = { 10, 5, 20, bytes_of("batches") };
    ROUND_TRIP(fetch_reply, fetched,
               out.offset == 10 && out.start_offset == 5 && out.end_offset == 20 &&
                   same(out.batches, fetched.batches));
    struct wire_subscribe sub = { 7, 1, 2, { WIRE_FROM_END, 100 }, 1 << 20 };
    ROUND_TRIP(subscribe, sub,
               out.subscription == 7 && out.handle == 1 && out.partition == 2 &&
                   out.position.from == WIRE_FROM_END && out.position.value == 100 && out.credit == 1 << 20);
    struct wire_subscribe_reply subscribed = { 10, 5, 20 };
    ROUND_TRIP(subscribe_reply, subscribed,
               out.offset == 10 && out.start_offset == 5 && out.end_offset == 20);
    struct wire_credit credit = { 7, 4096 };
    ROUND_TRIP(credit, credit, out.subscription == 7 && out.bytes == 4096);
    struct wire_unsubscribe unsub = { 7 };
    ROUND_TRIP(unsubscribe, unsub, out.subscription == 7);
}

Test(wire, deliver_goes_to_the_end_of_the_frame)
{
    struct wire_deliver in = { 77, bytes_of("some batches") }, out;
    uint8_t buffer[64];
    struct writer w = writer_of(buffer, sizeof(buffer));
    wire_put_deliver(&w, &in);
    cr_assert(!w.bad);
    for (uint32_t n = 0; n <= writer_len(&w); n++) {
        cr_assert_eq(wire_get_deliver(reader_of(buffer, n), &out), n >= 8);
        if (n >= 8)
            cr_assert(out.end_offset == 77 && out.batches.len == n - 8);
    }
    cr_assert(same(out.batches, in.batches));
}

Test(wire, produce)
{
    uint8_t buffer[256];
    struct writer w = writer_of(buffer, sizeof(buffer));
    wire_put_produce(&w, WIRE_ACKS_DURABLE, 2);
    wire_put_produce_batch(&w, 1, 2, bytes_of("first batch"));
    wire_put_produce_batch(&w, 3, 4, bytes_of(""));
    cr_assert(!w.bad);
    uint32_t len = writer_len(&w);
    struct wire_produce p;
    for (uint32_t n = 0; n <= len + 1; n++)
        cr_assert_eq(wire_get_produce(reader_of(buffer, n), &p), n == len, "%u of %u", n, len);
    cr_assert(wire_get_produce(reader_of(buffer, len), &p));
    cr_assert_eq(p.acks, WIRE_ACKS_DURABLE);
    cr_assert_eq(p.count, 2);
    struct wire_produce_batch b;
    cr_assert_eq(wire_produce_next(&p, &b), 1);
    cr_assert(b.handle == 1 && b.partition == 2 && same(b.batch, bytes_of("first batch")));
    cr_assert_eq(wire_produce_next(&p, &b), 1);
    cr_assert(b.handle == 3 && b.partition == 4 && b.batch.len == 0);
    cr_assert_eq(wire_produce_next(&p, &b), 0);
    cr_assert_eq(p.count, 2);

    buffer[2] = 1;
    cr_assert(!wire_get_produce(reader_of(buffer, len), &p), "more batches than counted");
    buffer[2] = 3;
    cr_assert(!wire_get_produce(reader_of(buffer, len), &p), "fewer batches than counted");
    buffer[2] = 2;
    buffer[1] = 1;
    cr_assert(!wire_get_produce(reader_of(buffer, len), &p), "a reserved byte is set");
    buffer[1] = 0;
    memset(buffer + 12, 0xff, 4);
    cr_assert(!wire_get_produce(reader_of(buffer, len), &p), "a batch of 4 GiB");
}

Test(wire, errors_name_events)
{
    const struct wire_event_error in[] = { { 3, ERR_DEDUPE_DUPLICATE, 2, 1ull << 40 },
                                           { 9, ERR_DEDUPE_CONFLICT, WIRE_SAME_BATCH, 3 } };
    const struct wire_error error = { .code = ERR_DEDUPE_CONFLICT, .text = bytes_of("why") };
    struct wire_error out;
    uint8_t bytes[128];
    struct writer w = writer_of(bytes, sizeof(bytes));
    wire_put_error(&w, &error);
    const uint32_t plain = writer_len(&w);
    write_u32(&w, 2);
    for (int i = 0; i < 2; i++)
        wire_put_event_error(&w, &in[i]);
    const uint32_t len = writer_len(&w);
    for (uint32_t n = 0; n <= len; n++)
        cr_assert_eq(wire_get_error(reader_of(bytes, n), &out), n == plain || n == len, "%u bytes", n);
    cr_assert_eq(out.row_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct wire_event_error row = wire_event_error_at(out.rows, i);
        cr_assert(row.event == in[i].event && row.code == in[i].code && row.partition == in[i].partition &&
                  row.offset == in[i].offset);
    }
}

Test(wire, produced)
{
    struct wire_produced in[] = { { 5, WIRE_PRODUCED_DUPLICATE, 2 }, { 1ull << 50, 0, 3 } };
    uint8_t buffer[64];
    struct writer w = writer_of(buffer + 1, sizeof(buffer) - 1);
    wire_put_produced(&w, in, 2);
    uint32_t len = writer_len(&w);
    cr_assert(!w.bad && len == 8 + 2 * 16);
    const uint8_t *rows;
    uint16_t count;
    for (uint32_t n = 0; n <= len + 1; n++)
        cr_assert_eq(wire_get_produced(reader_of(buffer + 1, n), &rows, &count), n == len);
    cr_assert(wire_get_produced(reader_of(buffer + 1, len), &rows, &count));
    cr_assert_eq(count, 2);
    for (uint16_t i = 0; i < 2; i++) {
        struct wire_produced row = wire_produced_row(rows, i);
        cr_assert_eq(memcmp(&row, &in[i], sizeof(row)), 0);
    }
}

/* Puts a row, gets it back, and gets each shorter input, which must set `bad`. */
#define ROW(name, in, compare)                                                                               \
    do {                                                                                                     \
        struct wire_##name out;                                                                              \
        uint8_t buffer[1024];                                                                                \
        struct writer w = writer_of(buffer, sizeof(buffer));                                                 \
        wire_put_##name(&w, &in);                                                                            \
        cr_assert(!w.bad);                                                                                   \
        for (uint32_t n = 0; n <= writer_len(&w); n++) {                                                     \
            struct reader r = reader_of(buffer, n);                                                          \
            wire_get_##name(&r, &out);                                                                       \
            cr_assert_eq(reader_done(&r), n == writer_len(&w), #name ": %u bytes", n);                       \
        }                                                                                                    \
        cr_assert(compare, #name);                                                                           \
    } while (0)

Test(wire, rows)
{
    struct wire_topic_row topic = { bytes_of("orders"), 1, 2, 3, 4 };
    ROW(topic_row, topic,
        same(out.name, topic.name) && out.topic_id == 1 && out.partitions == 2 && out.events == 3 &&
            out.bytes == 4);
    struct wire_partition_row partition = { 1, 2, 3, 4, 5, -1, WIRE_PARTITION_DAMAGED };
    ROW(partition_row, partition,
        out.partition == 1 && out.start_offset == 2 && out.end_offset == 3 && out.bytes == 4 &&
            out.segments == 5 && out.max_timestamp_ms == -1 && out.state == WIRE_PARTITION_DAMAGED);
    struct wire_offset_query query = { 4, { WIRE_FROM_START, 0 } };
    ROW(offset_query, query, out.partition == 4 && out.position.from == WIRE_FROM_START);
    struct wire_offset_row offset = { ERR_PARTITION_NOT_FOUND, 4, 5, -1 };
    ROW(offset_row, offset,
        out.error == ERR_PARTITION_NOT_FOUND && out.partition == 4 && out.offset == 5 &&
            out.timestamp_ms == -1);
    struct wire_stat_row stat = { bytes_of("net"), bytes_of("connections"), 1, 12 };
    ROW(stat_row, stat,
        same(out.room, stat.room) && same(out.name, stat.name) && out.kind == 1 && out.value == 12);
    struct wire_health_row health = { bytes_of("disk"), WIRE_HEALTH_DEGRADED, bytes_of("nearly full") };
    ROW(health_row, health,
        same(out.name, health.name) && out.status == WIRE_HEALTH_DEGRADED && same(out.text, health.text));
}

Test(wire, configs_are_limited_and_canonical)
{
    uint8_t buffer[8192];
    struct wire_topic_set set = { .name = bytes_of("x"), .config_count = WIRE_CONFIGS_MAX }, out;
    for (int i = 0; i < WIRE_CONFIGS_MAX; i++)
        set.configs[i] = (struct wire_config){ bytes_of("name"), bytes_of("value") };
    struct writer w = writer_of(buffer, sizeof(buffer));
    wire_put_topic_set(&w, &set);
    cr_assert(wire_get_topic_set(reader_of(buffer, writer_len(&w)), &out));
    cr_assert_eq(out.config_count, WIRE_CONFIGS_MAX);
    buffer[3]++; /* one more than the limit is announced */
    cr_assert(!wire_get_topic_set(reader_of(buffer, writer_len(&w)), &out));
    buffer[3]--;
    cr_assert_eq(buffer[11], 1);
    buffer[11] = 2; /* "given" is 0 or 1 */
    cr_assert(!wire_get_topic_set(reader_of(buffer, writer_len(&w)), &out));

    set.config_count = WIRE_CONFIGS_MAX + 1;
    w = writer_of(buffer, sizeof(buffer));
    wire_put_topic_set(&w, &set);
    cr_assert(w.bad);
}

Test(wire, frames)
{
    uint8_t buffer[40];
    struct writer w = writer_of(buffer, sizeof(buffer));
    struct wire_unsubscribe body = { 9 };
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_unsubscribe(&w, &body);
    cr_assert_eq(wire_frame_end(&w, frame, WIRE_OP_UNSUBSCRIBE, 0, 100), 16);
    frame = wire_frame_begin(&w);
    cr_assert_eq(wire_frame_end(&w, frame, WIRE_OP_PING, WIRE_REPLY, 101), 12);

    struct wire_header h;
    cr_assert(!wire_header_decode(&h, buffer, 11));
    cr_assert(wire_header_decode(&h, buffer, 28));
    cr_assert(h.size == 16 && h.op == WIRE_OP_UNSUBSCRIBE && h.flags == 0 && h.request_id == 100);
    cr_assert(wire_header_decode(&h, buffer + 16, 12));
    cr_assert(h.size == 12 && h.op == WIRE_OP_PING && h.flags == WIRE_REPLY && h.request_id == 101);

    /* Room for a header, not for the body: the frames before stay whole. */
    frame = wire_frame_begin(&w);
    cr_assert_not_null(frame);
    wire_put_unsubscribe(&w, &body);
    cr_assert_eq(wire_frame_end(&w, frame, WIRE_OP_UNSUBSCRIBE, 0, 102), 0);
    cr_assert_eq(writer_len(&w), 28);
    cr_assert_null(wire_frame_begin(&w));
    cr_assert_eq(wire_frame_end(&w, NULL, WIRE_OP_PING, 0, 103), 0);
}

Test(wire, op_names)
{
    cr_assert_str_eq(wire_op_name(WIRE_OP_PRODUCE), "PRODUCE");
    cr_assert_str_eq(wire_op_name(0), "?");
    cr_assert_str_eq(wire_op_name(65535), "?");
}

Test(wire, no_input_at_all)
{
    struct reader r = reader_of(NULL, 0);
    struct wire_deliver d;
    struct wire_produce p;
    cr_assert(!wire_get_deliver(r, &d));
    cr_assert(!wire_get_produce(r, &p));
    cr_assert(reader_done(&r), "an empty body is complete");
}
