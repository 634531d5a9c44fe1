/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/test_api.c: the api room without sockets, on a simulated disk: what is answered when, in which
 * order, and what waits.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api_rig.h"
#include "base/diag.h"
#include "base/mem.h"
#include "io_sim.h"
#include "proto/batch.h"

static struct api_rig rig;
static uint32_t next_id = 1;

static void setup(void)
{
    diag_set_level(DIAG_ERROR);
    io_sim_start(&(struct io_sim_options){ .seed = 7 });
    api_rig_open(&rig);
}

static void teardown(void)
{
    api_rig_close(&rig);
    io_sim_end();
    cr_assert_eq(mem_used(MEM_API), 0);
    cr_assert_eq(mem_used(MEM_TAIL), 0);
}

TestSuite(api, .init = setup, .fini = teardown);

static uint32_t make_batch(uint8_t *out, uint32_t room, uint32_t count, uint32_t bytes, int64_t producer,
                           int32_t sequence)
{
    static uint8_t value[60000];
    struct batch_builder b;
    batch_build_start(&b, out, room);
    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < count; i++)
        cr_assert(batch_build_add(&b, rig.clock.wall_ms, (struct bytes){ 0 }, (struct bytes){ value, bytes },
                                  NULL, 0));
    return batch_build_finish(&b, producer, producer < 0 ? -1 : 0, sequence);
}

static enum net_take produce(struct api_rig_conn *c, uint8_t acks, uint32_t handle, uint32_t partition,
                             uint32_t bytes)
{
    static uint8_t batch[70000], body[80000];
    const uint32_t n = make_batch(batch, sizeof(batch), 1, bytes, -1, -1);
    struct writer w = writer_of(body, sizeof(body));
    wire_put_produce(&w, acks, 1);
    wire_put_produce_batch(&w, handle, partition, (struct bytes){ batch, n });
    return api_rig_request(&rig, c, WIRE_OP_PRODUCE, next_id++, body, writer_len(&w));
}

static uint32_t open_topic(struct api_rig_conn *c, const char *name)
{
    uint8_t body[300];
    struct writer w = writer_of(body, sizeof(body));
    struct wire_header h;
    struct reader r;
    struct wire_open_topic_reply reply;
    const struct wire_open_topic open = { bytes_of(name), 1 };
    wire_put_open_topic(&w, &open);
    cr_assert_eq(api_rig_request(&rig, c, WIRE_OP_OPEN_TOPIC, next_id++, body, writer_len(&w)), NET_TAKEN);
    for (uint32_t i = 0; i < 100 && c->taken == c->out_bytes; i++)
        api_rig_turn(&rig);
    cr_assert(api_rig_reply(c, &h, &r));
    cr_assert_eq(h.flags, WIRE_REPLY);
    cr_assert(wire_get_open_topic_reply(r, &reply));
    return reply.handle;
}

static void expect_error(struct api_rig_conn *c, enum error code)
{
    struct wire_header h;
    struct reader r;
    struct wire_error e;
    cr_assert(api_rig_reply(c, &h, &r));
    cr_assert_eq(h.flags, WIRE_REPLY | WIRE_ERROR);
    cr_assert(wire_get_error(r, &e));
    cr_assert_eq(e.code, code, "%s", error_name(e.code));
}

Test(api, durable_is_answered_only_when_it_is)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    struct wire_header h;
    struct reader r;
    const uint64_t before = store_durable_sequence(rig.store);
    cr_assert_eq(produce(c, WIRE_ACKS_DURABLE, handle, 0, 100), NET_TAKEN);
    cr_assert(!api_rig_reply(c, &h, &r));
    for (uint32_t i = 0; i < 1000; i++) {
        api_rig_turn(&rig);
        if (api_rig_reply(c, &h, &r)) {
            cr_assert_gt(store_durable_sequence(rig.store), before);
            return;
        }
        cr_assert_eq(store_durable_sequence(rig.store), before);
    }
    cr_assert(false, "no answer");
}

Test(api, memory_is_answered_at_once_but_not_before_earlier_ones)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    struct wire_header h;
    struct reader r;
    produce(c, WIRE_ACKS_MEMORY, handle, 0, 100);
    cr_assert(api_rig_reply(c, &h, &r));
    const uint32_t first = next_id;
    produce(c, WIRE_ACKS_DURABLE, handle, 0, 100);
    produce(c, WIRE_ACKS_MEMORY, handle, 0, 100);
    produce(c, WIRE_ACKS_DURABLE, handle, 77, 100); /* refused, in its place */
    cr_assert(!api_rig_reply(c, &h, &r));
    api_rig_turns(&rig, 50);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(api_rig_reply(c, &h, &r));
        cr_assert_eq(h.request_id, first + i);
    }
}

Test(api, replies_of_a_closed_connection_go_nowhere)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    for (uint32_t i = 0; i < 20; i++)
        produce(c, WIRE_ACKS_DURABLE, handle, 0, 1000);
    api_rig_disconnect(&rig, c);
    /* The slot's next owner must not get them. */
    c = api_rig_connect(&rig, true);
    api_rig_turns(&rig, 50);
    struct wire_header h;
    struct reader r;
    cr_assert(!api_rig_reply(c, &h, &r));
    cr_assert_eq(api_stats(rig.api)->inflight_bytes, 0);
}

Test(api, a_failed_journal_answers_everybody)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    io_sim_fail(
        &(struct io_sim_fault){ .op = IO_SIM_WRITE, .error = EIO, .for_ever = true, .path = "journal" });
    for (uint32_t i = 0; i < 5; i++)
        produce(c, WIRE_ACKS_DURABLE, handle, 0, 100);
    api_rig_turns(&rig, 50);
    cr_assert(rig.failed);
    for (uint32_t i = 0; i < 5; i++)
        expect_error(c, ERR_STORAGE_FAILED);
    produce(c, WIRE_ACKS_DURABLE, handle, 0, 100);
    expect_error(c, ERR_STORAGE_FAILED);
}

/* Two that want more than there is room for: both get their turn, and nobody gets in between. */
Test(api, those_who_wait_are_served_in_turn)
{
    struct api_rig_conn *a = api_rig_connect(&rig, true), *b = api_rig_connect(&rig, true);
    const uint32_t ha = open_topic(a, "orders"), hb = open_topic(b, "orders");
    uint32_t done_a = 0, done_b = 0;
    struct wire_header h;
    struct reader r;
    for (uint32_t i = 0; i < 3000; i++) {
        for (uint32_t k = 0; k < 8 && !a->later; k++)
            produce(a, WIRE_ACKS_DURABLE, ha, 0, 50000);
        for (uint32_t k = 0; k < 8 && !b->later; k++)
            produce(b, WIRE_ACKS_DURABLE, hb, 1, 50000);
        api_rig_turn(&rig);
        while (api_rig_reply(a, &h, &r)) {
            cr_assert_eq(h.flags, WIRE_REPLY);
            done_a++;
        }
        while (api_rig_reply(b, &h, &r)) {
            cr_assert_eq(h.flags, WIRE_REPLY);
            done_b++;
        }
        a->taken = a->out_bytes = b->taken = b->out_bytes = 0;
        if (done_a > 300 && done_b > 300)
            break;
    }
    cr_assert_gt(api_stats(rig.api)->parks, 0);
    cr_assert_gt(done_a, 300, "%u %u", done_a, done_b);
    cr_assert_gt(done_b, done_a / 3, "%u %u", done_a, done_b);
    cr_assert_gt(done_a, done_b / 3, "%u %u", done_a, done_b);
    while (a->later || b->later)
        api_rig_turn(&rig);
}

Test(api, a_subscription_crosses_from_segments_to_memory_without_a_gap)
{
    enum { EVENTS = 400 };
    struct api_rig_conn *p = api_rig_connect(&rig, true), *s = api_rig_connect(&rig, true);
    const uint32_t hp = open_topic(p, "orders"), hs = open_topic(s, "orders");
    uint8_t body[64];
    struct writer w = writer_of(body, sizeof(body));
    uint64_t next = 0;
    struct wire_header h;
    struct reader r;
    /* More than memory holds, so that the first ones are in segments only. */
    for (uint32_t i = 0; i < EVENTS; i++) {
        while (p->later)
            api_rig_turn(&rig);
        produce(p, WIRE_ACKS_DURABLE, hp, 0, 9000);
        p->taken = p->out_bytes = 0;
    }
    api_rig_turns(&rig, 200);
    const struct wire_subscribe sub = { 5, hs, 0, { WIRE_FROM_START, 0 }, 100000 };
    wire_put_subscribe(&w, &sub);
    api_rig_request(&rig, s, WIRE_OP_SUBSCRIBE, next_id++, body, writer_len(&w));
    cr_assert(api_rig_reply(s, &h, &r) && h.flags == WIRE_REPLY);
    for (uint32_t turns = 0; next < EVENTS + 50 && turns < 20000; turns++) {
        if (turns % 3 == 0 && turns < 150)
            produce(p, WIRE_ACKS_DURABLE, hp, 0, 9000);
        p->taken = p->out_bytes = 0;
        api_rig_turn(&rig);
        while (api_rig_reply(s, &h, &r)) {
            struct wire_deliver d;
            cr_assert_eq(h.op, WIRE_OP_DELIVER);
            cr_assert_eq(h.request_id, 5);
            cr_assert(wire_get_deliver(r, &d));
            cr_assert_leq(d.batches.len, 100000, "more than the credit");
            for (uint32_t at = 0; at < d.batches.len;) {
                struct batch b;
                char why[128];
                cr_assert_eq(batch_check(&b, d.batches.at + at, d.batches.len - at, why), ERR_OK, "%s", why);
                cr_assert_eq((uint64_t)b.base_offset, next);
                next += (uint64_t)b.last_offset_delta + 1;
                at += b.bytes;
            }
            uint8_t credit[8];
            struct writer cw = writer_of(credit, sizeof(credit));
            const struct wire_credit give = { 5, d.batches.len };
            wire_put_credit(&cw, &give);
            api_rig_request(&rig, s, WIRE_OP_CREDIT, next_id++, credit, writer_len(&cw));
        }
        s->taken = s->out_bytes = 0;
        if (turns % 2)
            api_rig_drain(&rig);
    }
    cr_assert_eq(next, EVENTS + 50);
    cr_assert_gt(api_stats(rig.api)->history_deliveries, 0);
}

static uint32_t fetch(struct api_rig_conn *c, uint32_t handle, uint32_t partition, struct wire_position from,
                      uint32_t wait_ms)
{
    uint8_t body[64];
    struct writer w = writer_of(body, sizeof(body));
    const struct wire_fetch f = { handle, partition, from, 100000, wait_ms };
    wire_put_fetch(&w, &f);
    cr_assert_eq(api_rig_request(&rig, c, WIRE_OP_FETCH, next_id, body, writer_len(&w)), NET_TAKEN);
    return next_id++;
}

/* The next frame, however many turns it takes. */
static struct wire_header next_frame(struct api_rig_conn *c, struct reader *r)
{
    struct wire_header h;
    for (uint32_t i = 0; i < 1000 && c->taken == c->out_bytes; i++)
        api_rig_turn(&rig);
    cr_assert(api_rig_reply(c, &h, r), "no answer");
    return h;
}

static void expect_fetched(struct api_rig_conn *c, uint32_t id, bool some)
{
    struct reader r;
    struct wire_fetch_reply reply;
    const struct wire_header h = next_frame(c, &r);
    cr_assert_eq(h.request_id, id, "%u in place of %u", h.request_id, id);
    cr_assert_eq(h.flags, WIRE_REPLY);
    cr_assert(wire_get_fetch_reply(r, &reply));
    cr_assert_eq(reply.batches.len > 0, some);
}

/* Events of 9,000 bytes in partition 0: more than memory holds, so that the first ones are in segments only.
 */
static void fill(struct api_rig_conn *c, uint32_t handle, uint32_t events)
{
    for (uint32_t i = 0; i < events; i++) {
        while (c->later)
            api_rig_turn(&rig);
        produce(c, WIRE_ACKS_DURABLE, handle, 0, 9000);
        c->taken = c->out_bytes = 0;
    }
    api_rig_turns(&rig, 200);
    c->taken = c->out_bytes = 0;
}

static const struct wire_position START = { WIRE_FROM_START, 0 }, END = { WIRE_FROM_END, 0 },
                                  LAST = { WIRE_FROM_END, 1 }, BEYOND = { WIRE_FROM_OFFSET, 1 << 30 };

/* One that reads segments is not overtaken by those behind it that memory, or nothing at all, answers. */
Test(api, fetches_of_a_partition_are_answered_in_order)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    const struct wire_position early = { WIRE_FROM_TIME, 0 };
    fill(c, handle, 400);
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t history = fetch(c, handle, 0, i % 2 ? START : early, 0);
        const uint32_t memory = fetch(c, handle, 0, LAST, 0);
        const uint32_t refused = fetch(c, handle, 0, BEYOND, 0);
        const uint32_t again = fetch(c, handle, 0, LAST, 0);
        const uint32_t other = fetch(c, handle, 1, END, 0);
        expect_fetched(c, other, false); /* another partition's may overtake them */
        expect_fetched(c, history, true);
        expect_fetched(c, memory, true);
        struct reader r;
        const struct wire_header h = next_frame(c, &r);
        cr_assert_eq(h.request_id, refused);
        cr_assert_eq(h.flags, WIRE_REPLY | WIRE_ERROR);
        expect_fetched(c, again, true);
        c->taken = c->out_bytes = 0;
        api_rig_drain(&rig);
    }
    cr_assert_eq(api_stats(rig.api)->polls, 0);
}

/* One that waits for its first event holds up those behind it, of its partition and connection alone. */
Test(api, a_fetch_that_waits_is_not_overtaken)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true), *d = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders"), hd = open_topic(d, "orders");
    struct wire_header h;
    struct reader r;
    produce(c, WIRE_ACKS_DURABLE, handle, 0, 100);
    cr_assert_eq(next_frame(c, &r).op, WIRE_OP_PRODUCE);
    const uint32_t waits = fetch(c, handle, 0, END, 200000), behind = fetch(c, handle, 0, START, 0);
    expect_fetched(d, fetch(d, hd, 0, START, 0), true);
    api_rig_turns(&rig, 20);
    cr_assert(!api_rig_reply(c, &h, &r), "overtaken");
    produce(d, WIRE_ACKS_DURABLE, hd, 0, 100);
    expect_fetched(c, waits, true);
    expect_fetched(c, behind, true);
    /* The same when its time is up, and when nobody is there any more. */
    const uint32_t in_vain = fetch(c, handle, 0, END, 20), after = fetch(c, handle, 0, START, 0);
    expect_fetched(c, in_vain, false);
    expect_fetched(c, after, true);
    fetch(c, handle, 0, END, 200000);
    fetch(c, handle, 0, START, 0);
    api_rig_disconnect(&rig, c);
    cr_assert_eq(api_stats(rig.api)->polls, 0);
}

/* Six readers take one piece each of what was read for them and then give no credit: together they hold all
 * the memory for such reads. A seventh one still gets everything. */
Test(api, readers_without_credit_do_not_keep_history_from_others)
{
    enum { EVENTS = 400 };
    struct api_rig_conn *p = api_rig_connect(&rig, true);
    const uint32_t hp = open_topic(p, "orders");
    uint8_t body[64];
    struct wire_header h;
    struct reader r;
    for (uint32_t i = 0; i < EVENTS; i++) {
        while (p->later)
            api_rig_turn(&rig);
        produce(p, WIRE_ACKS_DURABLE, hp, 0, 9000);
        p->taken = p->out_bytes = 0;
    }
    api_rig_turns(&rig, 200);
    uint32_t got = 0;
    for (uint32_t i = 0; i < 7; i++) {
        struct api_rig_conn *s = api_rig_connect(&rig, true);
        const uint32_t hs = open_topic(s, "orders");
        struct writer w = writer_of(body, sizeof(body));
        const struct wire_subscribe sub = { i, hs, 0, { WIRE_FROM_START, 0 }, i < 6 ? 1000 : 1 << 30 };
        wire_put_subscribe(&w, &sub);
        api_rig_request(&rig, s, WIRE_OP_SUBSCRIBE, next_id++, body, writer_len(&w));
        cr_assert(api_rig_reply(s, &h, &r) && h.flags == WIRE_REPLY);
        for (uint32_t turns = 0; turns < (i < 6 ? 200 : 5000) && got < EVENTS; turns++) {
            api_rig_turn(&rig);
            if (i == 6) {
                api_rig_drain(&rig);
                while (api_rig_reply(s, &h, &r)) {
                    struct wire_deliver d;
                    cr_assert(wire_get_deliver(r, &d));
                    for (uint32_t at = 0; at < d.batches.len; got++)
                        at += (uint32_t)batch_bytes(d.batches.at + at, d.batches.len - at);
                }
                s->taken = s->out_bytes = 0;
            }
        }
    }
    cr_assert_eq(got, EVENTS);
}

Test(api, deliveries_wait_for_room_and_go_on)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    uint8_t body[64];
    struct writer w = writer_of(body, sizeof(body));
    struct wire_header h;
    struct reader r;
    const struct wire_subscribe sub = { 1, handle, 0, { WIRE_FROM_START, 0 }, 1 << 20 };
    wire_put_subscribe(&w, &sub);
    api_rig_request(&rig, c, WIRE_OP_SUBSCRIBE, next_id++, body, writer_len(&w));
    cr_assert(api_rig_reply(c, &h, &r));
    rig.no_send_room = true;
    produce(c, WIRE_ACKS_DURABLE, handle, 0, 100);
    api_rig_turns(&rig, 50);
    cr_assert(api_rig_reply(c, &h, &r) && h.op == WIRE_OP_PRODUCE);
    cr_assert(!api_rig_reply(c, &h, &r));
    rig.no_send_room = false;
    api_rig_drain(&rig);
    api_rig_turn(&rig);
    cr_assert(api_rig_reply(c, &h, &r) && h.op == WIRE_OP_DELIVER);
}

Test(api, a_subscription_ends_with_its_topic)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    uint8_t body[300];
    struct wire_header h;
    struct reader r;
    struct wire_error e;
    struct writer w = writer_of(body, sizeof(body));
    const struct wire_subscribe sub = { 9, handle, 2, { WIRE_FROM_END, 0 }, 1000 };
    wire_put_subscribe(&w, &sub);
    api_rig_request(&rig, c, WIRE_OP_SUBSCRIBE, next_id++, body, writer_len(&w));
    cr_assert(api_rig_reply(c, &h, &r));
    w = writer_of(body, sizeof(body));
    const struct wire_topic_name name = { bytes_of("orders") };
    wire_put_topic_name(&w, &name);
    api_rig_request(&rig, c, WIRE_OP_TOPIC_DELETE, next_id++, body, writer_len(&w));
    api_rig_turns(&rig, 50);
    bool ended = false, deleted = false;
    while (api_rig_reply(c, &h, &r)) {
        deleted |= h.op == WIRE_OP_TOPIC_DELETE && h.flags == WIRE_REPLY;
        if (h.op == WIRE_OP_SUB_END) {
            ended = true;
            cr_assert_eq(h.request_id, 9);
            cr_assert(wire_get_error(r, &e));
            cr_assert_eq(e.code, ERR_TOPIC_NOT_FOUND);
        }
    }
    cr_assert(ended && deleted);
    cr_assert_eq(api_stats(rig.api)->subscriptions, 0);
}

Test(api, many_subscriptions_come_and_go)
{
    struct api_rig_conn *c = api_rig_connect(&rig, true);
    const uint32_t handle = open_topic(c, "orders");
    uint8_t body[64];
    struct wire_header h;
    struct reader r;
    srand(3);
    bool there[200] = { false };
    uint32_t count = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        const uint32_t id = (uint32_t)rand() % 200;
        struct writer w = writer_of(body, sizeof(body));
        if (rand() % 2) {
            const struct wire_subscribe sub = { id * 8, handle, id % 3, { WIRE_FROM_START, 0 }, 1000 };
            wire_put_subscribe(&w, &sub);
            api_rig_request(&rig, c, WIRE_OP_SUBSCRIBE, next_id++, body, writer_len(&w));
            cr_assert(api_rig_reply(c, &h, &r));
            cr_assert_eq(h.flags == WIRE_REPLY, !there[id] && count < 64, "id %u", id);
            if (h.flags == WIRE_REPLY) {
                there[id] = true;
                count++;
            }
        } else {
            const struct wire_unsubscribe end = { id * 8 };
            wire_put_unsubscribe(&w, &end);
            api_rig_request(&rig, c, WIRE_OP_UNSUBSCRIBE, next_id++, body, writer_len(&w));
            cr_assert(api_rig_reply(c, &h, &r));
            cr_assert_eq(h.flags == WIRE_REPLY, there[id], "id %u", id);
            if (there[id])
                count--;
            there[id] = false;
        }
        if (i % 50 == 0)
            api_rig_turn(&rig);
        c->taken = c->out_bytes = 0;
        cr_assert_eq(api_stats(rig.api)->subscriptions, count);
    }
}
