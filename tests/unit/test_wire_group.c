/* SPDX-License-Identifier: Apache-2.0
 *
 * The bodies of consumer groups: what is put is got back the same, and whatever is cut off, left over or
 * reserved is refused.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire_group.h"

static bool same(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Gets every shorter input and one longer, each in memory of its own, so that AddressSanitizer sees any read
 * behind it; `whole` says whether n bytes of `len` are a body. */
#define EACH_LENGTH(big, len, get, whole)                                                                    \
    for (uint32_t n = 0; n <= (len) + 1; n++) {                                                              \
        uint8_t *cut = calloc(1, n ? n : 1);                                                                 \
        memcpy(cut, big, n < (len) ? n : (len));                                                             \
        struct reader r = reader_of(cut, n);                                                                 \
        bool got = get;                                                                                      \
        cr_assert_eq(got, (whole), "%u of %u bytes", n, len);                                                \
        free(cut);                                                                                           \
    }

#define BODY(name, in, compare)                                                                              \
    do {                                                                                                     \
        static struct wire_##name out;                                                                       \
        uint8_t big[8192];                                                                                   \
        struct writer w = writer_of(big, sizeof(big));                                                       \
        wire_put_##name(&w, &in);                                                                            \
        cr_assert(!w.bad, #name);                                                                            \
        uint32_t len = writer_len(&w);                                                                       \
        EACH_LENGTH(big, len, wire_get_##name(r, &out), n == len)                                            \
        cr_assert(wire_get_##name(reader_of(big, len), &out));                                               \
        cr_assert(compare, #name);                                                                           \
        for (uint32_t n = 0; n < len; n++) {                                                                 \
            uint8_t small[8192];                                                                             \
            struct writer s = writer_of(small, n);                                                           \
            wire_put_##name(&s, &in);                                                                        \
            cr_assert(s.bad, #name " in %u bytes", n);                                                       \
        }                                                                                                    \
    } while (0)

#define ROW(name, in, compare)                                                                               \
    do {                                                                                                     \
        struct wire_##name out;                                                                              \
        uint8_t big[1024];                                                                                   \
        struct writer w = writer_of(big, sizeof(big));                                                       \
        wire_put_##name(&w, &in);                                                                            \
        cr_assert(!w.bad, #name);                                                                            \
        uint32_t len = writer_len(&w);                                                                       \
        EACH_LENGTH(big, len, (wire_get_##name(&r, &out), reader_done(&r)), n == len)                        \
        struct reader all = reader_of(big, len);                                                             \
        wire_get_##name(&all, &out);                                                                         \
        cr_assert(compare, #name);                                                                           \
    } while (0)

/* Two ranges, encoded. */
static struct bytes two_ranges(uint8_t *at)
{
    struct writer w = writer_of(at, 2 * WIRE_GROUP_RANGE);
    wire_put_group_range(&w, &(struct wire_group_range){ 1, 2, UINT64_MAX, 4 });
    wire_put_group_range(&w, &(struct wire_group_range){ 5, 6, 7, UINT32_MAX });
    cr_assert(!w.bad && w.at == w.end, "a range has its fixed size");
    return (struct bytes){ at, writer_len(&w) };
}

static bool are_two_ranges(struct bytes ranges)
{
    struct wire_group_range a = wire_group_range_at(ranges, 0), b = wire_group_range_at(ranges, 1);
    return ranges.len == 2 * WIRE_GROUP_RANGE && a.assignment == 1 && a.epoch == 2 && a.first == UINT64_MAX &&
           a.count == 4 && b.assignment == 5 && b.epoch == 6 && b.first == 7 && b.count == UINT32_MAX;
}

Test(wire_group, membership)
{
    uint8_t rows[2 * WIRE_GROUP_RANGE];
    struct wire_group_join join = {
        .group = bytes_of("billing"),
        .mode = WIRE_GROUP_SHARED,
        .member_id = bytes_of("m-1"),
        .instance_id = bytes_of("host-1"),
        .host = bytes_of("worker"),
        .max_in_flight = 100,
        .credit_bytes = 1 << 22,
        .reset = WIRE_GROUP_RESET_END,
        .topic_count = 2,
        .topics = { bytes_of("orders"), bytes_of("refunds.*") },
        .held_count = 2,
        .held = two_ranges(rows),
    };
    BODY(group_join, join,
         same(out.group, join.group) && out.mode == WIRE_GROUP_SHARED &&
             same(out.member_id, join.member_id) && same(out.instance_id, join.instance_id) &&
             same(out.host, join.host) && out.max_in_flight == 100 && out.credit_bytes == 1 << 22 &&
             out.reset == WIRE_GROUP_RESET_END && out.topic_count == 2 &&
             same(out.topics[0], join.topics[0]) && same(out.topics[1], join.topics[1]) &&
             out.held_count == 2 && are_two_ranges(out.held));
    struct wire_group_join_reply joined = { 3, bytes_of("m-1"), 9, WIRE_GROUP_ORDERED, 10000, 30000, 100 };
    BODY(group_join_reply, joined,
         out.member == 3 && same(out.member_id, joined.member_id) && out.generation == 9 &&
             out.mode == WIRE_GROUP_ORDERED && out.session_timeout_ms == 10000 && out.ack_wait_ms == 30000 &&
             out.max_in_flight == 100);
    struct wire_group_leave leave = { 3, 1 };
    BODY(group_leave, leave, out.member == 3 && out.drain == 1);
    struct wire_group_change_row change = { WIRE_GROUP_REWOUND, 1, 2, 3, 4, bytes_of("orders") };
    ROW(group_change_row, change,
        out.kind == WIRE_GROUP_REWOUND && out.assignment == 1 && out.epoch == 2 && out.partition == 3 &&
            out.offset == 4 && same(out.topic, change.topic));
}

Test(wire_group, settling)
{
    uint8_t rows[2 * WIRE_GROUP_RANGE];
    struct wire_group_ack ack = { 3, WIRE_GROUP_ACK_REPLY, 2, two_ranges(rows) };
    BODY(group_ack, ack,
         out.member == 3 && out.flags == WIRE_GROUP_ACK_REPLY && out.count == 2 &&
             are_two_ranges(out.ranges));
    struct wire_group_ranges ranges = { 3, 2, two_ranges(rows) };
    BODY(group_ranges, ranges, out.member == 3 && out.count == 2 && are_two_ranges(out.ranges));
    struct wire_group_nack nack = {
        1, 2, 3, 4, 1, -1, 77, bytes_of("ValueError"), bytes_of("no such customer"), bytes_of("at line 3")
    };
    BODY(group_nack, nack,
         out.member == 1 && out.assignment == 2 && out.epoch == 3 && out.offset == 4 && out.term == 1 &&
             out.delay_ms == -1 && out.key_hash == 77 && same(out.type, nack.type) &&
             same(out.message, nack.message) && same(out.stack, nack.stack));
}

Test(wire_group, a_delivery_goes_to_the_end_of_the_frame)
{
    uint8_t rows[2 * WIRE_GROUP_DELIVERED], big[256];
    struct writer w = writer_of(rows, sizeof(rows));
    wire_put_group_delivered(&w, &(struct wire_group_delivered){ 10, 5, 0 });
    wire_put_group_delivered(&w, &(struct wire_group_delivered){ 20, 1, 3 });
    cr_assert(!w.bad && w.at == w.end);
    struct wire_group_deliver out, in = { 1, 2, 99, 2, { rows, sizeof(rows) }, bytes_of("some batches") };
    w = writer_of(big, sizeof(big));
    wire_put_group_deliver(&w, &in);
    cr_assert(!w.bad);
    uint32_t len = writer_len(&w), head = 20 + 2 * WIRE_GROUP_DELIVERED;
    EACH_LENGTH(big, len, wire_get_group_deliver(r, &out), n >= head)
    cr_assert(wire_get_group_deliver(reader_of(big, len), &out));
    cr_assert(out.assignment == 1 && out.epoch == 2 && out.end_offset == 99 && out.count == 2);
    cr_assert(same(out.batches, in.batches));
    struct wire_group_delivered row = wire_group_delivered_at(out.ranges, 1);
    cr_assert(row.first == 20 && row.count == 1 && row.attempts == 3);
    cr_assert(wire_get_group_deliver(reader_of(big, head), &out));
    cr_assert_eq(out.batches.len, 0, "ranges of the last batch");
    for (uint32_t at = 18; at < 20; at++) {
        big[at] = 1;
        cr_assert(!wire_get_group_deliver(reader_of(big, len), &out), "a reserved byte is set");
        big[at] = 0;
    }
    big[head - 1] = 1;
    cr_assert(!wire_get_group_deliver(reader_of(big, len), &out), "a row's reserved byte is set");
}

static void put_produce(struct writer *w)
{
    wire_put_produce(w, WIRE_ACKS_DURABLE, 1);
    wire_put_produce_batch(w, 1, 2, bytes_of("a batch"));
}

static void check_produce(struct wire_produce *p)
{
    struct wire_produce_batch b;
    cr_assert(p->acks == WIRE_ACKS_DURABLE && p->count == 1);
    cr_assert_eq(wire_produce_next(p, &b), 1);
    cr_assert(b.handle == 1 && b.partition == 2 && same(b.batch, bytes_of("a batch")));
    cr_assert_eq(wire_produce_next(p, &b), 0);
}

Test(wire_group, acknowledging_and_publishing)
{
    uint8_t rows[2 * WIRE_GROUP_RANGE], big[256];
    struct wire_group_produce out;
    struct writer w = writer_of(big, sizeof(big));
    wire_put_group_produce(&w, 3, 2, two_ranges(rows));
    put_produce(&w);
    uint32_t len = writer_len(&w);
    EACH_LENGTH(big, len, wire_get_group_produce(r, &out), n == len)
    cr_assert(wire_get_group_produce(reader_of(big, len), &out));
    cr_assert(out.member == 3 && out.count == 2 && are_two_ranges(out.ranges));
    check_produce(&out.produce);
    big[6] = 1;
    cr_assert(!wire_get_group_produce(reader_of(big, len), &out), "a reserved byte is set");
}

Test(wire_group, redriving)
{
    uint8_t big[256];
    struct wire_group_redrive out;
    struct wire_group_redrive_row in = { 1, 2, bytes_of("billing"), bytes_of("orders"), 3, 4 }, row;
    struct writer w = writer_of(big, sizeof(big));
    wire_put_group_redrive(&w, bytes_of("orders.dlq"), 1);
    wire_put_group_redrive_row(&w, &in);
    uint32_t head = writer_len(&w);
    put_produce(&w);
    uint32_t len = writer_len(&w);
    EACH_LENGTH(big, len, wire_get_group_redrive(r, &out), n == head || n == len)
    cr_assert(wire_get_group_redrive(reader_of(big, head), &out));
    cr_assert(!out.publishes && out.count == 1 && same(out.dead_topic, bytes_of("orders.dlq")));
    wire_get_group_redrive_row(&out.rows, &row);
    cr_assert(reader_done(&out.rows));
    cr_assert(row.dead_partition == 1 && row.dead_offset == 2 && same(row.group, in.group) &&
              same(row.topic, in.topic) && row.partition == 3 && row.offset == 4);
    cr_assert(wire_get_group_redrive(reader_of(big, len), &out));
    cr_assert(out.publishes);
    check_produce(&out.produce);
}

Test(wire_group, administration)
{
    struct wire_group_list list = { bytes_of("b*"), bytes_of("ba"), 100 };
    BODY(group_list, list, same(out.pattern, list.pattern) && same(out.after, list.after) && out.max == 100);
    struct wire_group_name name = { bytes_of("billing") };
    BODY(group_name, name, same(out.group, name.group));
    struct wire_group_set set = { .group = bytes_of("billing"),
                                  .create_mode = WIRE_GROUP_ORDERED,
                                  .config_count = 2,
                                  .configs = { { bytes_of("retry.max"), bytes_of("5") },
                                               { bytes_of("ack.wait"), { 0 } } } };
    BODY(group_set, set,
         same(out.group, set.group) && out.create_mode == WIRE_GROUP_ORDERED && out.config_count == 2 &&
             same(out.configs[0].value, set.configs[0].value) && !out.configs[1].value.at);
    struct wire_group_seek seek = {
        bytes_of("billing"), bytes_of("orders"), 1, -1, { WIRE_FROM_SHIFT, -10 }
    };
    BODY(group_seek, seek,
         same(out.group, seek.group) && same(out.topic, seek.topic) && out.dry == 1 && out.partition == -1 &&
             out.position.from == WIRE_FROM_SHIFT && out.position.value == -10);
    struct wire_group_breaker_set breaker = { bytes_of("billing"), WIRE_BREAKER_HOLD_OPEN };
    BODY(group_breaker_set, breaker, same(out.group, breaker.group) && out.order == WIRE_BREAKER_HOLD_OPEN);
    struct wire_group_forget forget = { bytes_of("billing"), bytes_of("orders"), 3 };
    BODY(group_forget, forget,
         same(out.group, forget.group) && same(out.topic, forget.topic) && out.partition == 3);
}

Test(wire_group, rows)
{
    uint8_t done[2 * WIRE_GROUP_DONE];
    struct writer d = writer_of(done, sizeof(done));
    wire_put_group_done(&d, &(struct wire_group_done){ 10, 12 });
    wire_put_group_done(&d, &(struct wire_group_done){ 15, 20 });
    cr_assert(!d.bad && d.at == d.end);
    struct wire_group_row group = { bytes_of("billing"), WIRE_GROUP_SHARED, WIRE_GROUP_STABLE, 2, 3, 4, -1 };
    ROW(group_row, group,
        same(out.group, group.group) && out.mode == WIRE_GROUP_SHARED && out.state == WIRE_GROUP_STABLE &&
            out.members == 2 && out.partitions == 3 && out.lag == 4 && out.lag_ms == -1);
    struct wire_group_described head = { bytes_of("billing"),    WIRE_GROUP_ORDERED, WIRE_GROUP_EMPTY, 7,
                                         WIRE_BREAKER_HALF_OPEN, bytes_of("why") };
    ROW(group_described, head,
        same(out.group, head.group) && out.mode == WIRE_GROUP_ORDERED && out.state == WIRE_GROUP_EMPTY &&
            out.generation == 7 && out.breaker == WIRE_BREAKER_HALF_OPEN &&
            same(out.breaker_reason, head.breaker_reason));
    struct wire_group_member_row member = { bytes_of("m"),     bytes_of("i"), bytes_of("h"), 1, 2,
                                            WIRE_MEMBER_SILENT };
    ROW(group_member_row, member,
        same(out.member_id, member.member_id) && same(out.instance_id, member.instance_id) &&
            same(out.host, member.host) && out.in_flight == 1 && out.partitions == 2 &&
            out.state == WIRE_MEMBER_SILENT);
    struct wire_group_partition_row partition = {
        bytes_of("orders"), 1, bytes_of("m"),         10, 20, 5, 30, 20, 1500, 2, 3,
        WIRE_PAUSE_RETRY,   2, { done, sizeof(done) }
    };
    ROW(group_partition_row, partition,
        same(out.topic, partition.topic) && out.partition == 1 && same(out.owner, partition.owner) &&
            out.position == 10 && out.next == 20 && out.start == 5 && out.end == 30 && out.lag == 20 &&
            out.lag_ms == 1500 && out.in_flight == 2 && out.items == 3 && out.pause == WIRE_PAUSE_RETRY &&
            out.done_count == 2 && out.done.len == sizeof(done));
    struct wire_group_done second = wire_group_done_at(partition.done, 1);
    cr_assert(second.first == 15 && second.end == 20);
    struct wire_group_moved moved = { 1, 2, 3 };
    ROW(group_moved, moved, out.partition == 1 && out.from == 2 && out.to == 3);
    struct wire_group_commit_row commit = { bytes_of("orders"), 1, 99 };
    ROW(group_commit_row, commit, same(out.topic, commit.topic) && out.partition == 1 && out.position == 99);
}

Test(wire_group, impossible_values)
{
    uint8_t big[512];
    struct wire_group_join join = { .group = bytes_of("g"), .mode = WIRE_GROUP_SHARED + 1 }, joined;
    struct writer w = writer_of(big, sizeof(big));
    wire_put_group_join(&w, &join);
    cr_assert(!wire_get_group_join(reader_of(big, writer_len(&w)), &joined), "a mode that is none");
    join = (struct wire_group_join){ .group = bytes_of("g"), .reset = WIRE_GROUP_RESET_ERROR + 1 };
    w = writer_of(big, sizeof(big));
    wire_put_group_join(&w, &join);
    cr_assert(!wire_get_group_join(reader_of(big, writer_len(&w)), &joined), "a reset that is none");
    join = (struct wire_group_join){ .topic_count = WIRE_GROUP_TOPICS_MAX + 1 };
    w = writer_of(big, sizeof(big));
    wire_put_group_join(&w, &join);
    cr_assert(w.bad, "too many topics");
    struct wire_group_ack ack = { .count = 1 };
    w = writer_of(big, sizeof(big));
    wire_put_group_ack(&w, &ack);
    cr_assert(w.bad, "a range less than counted");
    struct wire_group_nack nack = { .delay_ms = -2 }, nacked;
    w = writer_of(big, sizeof(big));
    wire_put_group_nack(&w, &nack);
    cr_assert(!wire_get_group_nack(reader_of(big, writer_len(&w)), &nacked), "a negative delay");
}
