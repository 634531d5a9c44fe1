/* SPDX-License-Identifier: Apache-2.0
 *
 * api/subscribe.c: SUBSCRIBE, CREDIT, UNSUBSCRIBE and the deliveries between them.
 *
 * A subscription is always in exactly one place, and that place says what it waits for:
 *
 *   api->ready        something may be there: served at the end of the turn, in turn with the others
 *   session->blocked  room in its connection's output        (on_drained)
 *   session->history_wait  memory that its connection holds from earlier reads of segments
 *   api->starved      memory for output in all               (looked at in every turn)
 *   partition waiter  a new event                            (wake)
 *   reading           a read of segments, a time look-up     (done)
 *   api->holding      credit, with memory read from segments (CREDIT)
 *   nowhere           credit                                 (CREDIT)
 *
 * Live readers are served from memory and catch-up readers from segments; a reader crosses over by asking
 * memory first each time, so there is no gap and no overlap. Neither delays the other: a slice is small, a
 * turn's deliveries are bounded, and a connection's output is.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

/* Credit does not grow beyond what is ever useful: it cannot overflow. */
enum { SUB_CREDIT_MAX = 1 << 30 };

struct sub {
    struct list link; /* in one of the lists above */
    struct session *session;
    uint32_t id;
    struct topic *topic; /* held */
    struct partition *partition;
    struct cursor cursor;
    int64_t credit; /* below zero: a batch larger than what was left went out whole */
    struct waiter waiter;
    struct reading *reading;
    struct shared_slice *history; /* read from segments, not wholly delivered yet */
    uint32_t history_at;
    uint64_t history_next; /* the offset after it */
    struct request rq;     /* SUBSCRIBE, while its time is looked up */
};

/* ---- by id: open addressing, linear probing ---- */

static uint32_t sub_hash(uint32_t id, uint32_t room)
{
    return (id * 2654435769u) >> 7 & (room - 1);
}

static struct sub **sub_slot(const struct session *s, uint32_t id)
{
    if (!s->sub_room)
        return NULL;
    for (uint32_t i = sub_hash(id, s->sub_room);; i = (i + 1) & (s->sub_room - 1)) {
        if (!s->subs[i] || s->subs[i]->id == id)
            return &s->subs[i];
    }
}

static struct sub *sub_find(const struct session *s, uint32_t id)
{
    struct sub **slot = sub_slot(s, id);
    return slot ? *slot : NULL;
}

static void sub_resize(struct session *s, uint32_t room)
{
    struct sub **old = s->subs;
    const uint32_t old_room = s->sub_room;
    s->subs = mem_zalloc(MEM_API, room * sizeof(*s->subs));
    s->sub_room = room;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i])
            *sub_slot(s, old[i]->id) = old[i];
    }
    mem_free(MEM_API, old, old_room * sizeof(*old));
}

static void sub_insert(struct session *s, struct sub *sub)
{
    if (2 * (s->sub_count + 1) > s->sub_room)
        sub_resize(s, s->sub_room ? s->sub_room * 2 : 8);
    *sub_slot(s, sub->id) = sub;
    s->sub_count++;
    s->api->stats.subscriptions++;
}

/* Takes an entry out and moves up those behind it that would not be found any more. */
static void sub_remove(struct session *s, struct sub *sub)
{
    const uint32_t mask = s->sub_room - 1;
    uint32_t hole = (uint32_t)(sub_slot(s, sub->id) - s->subs);
    for (uint32_t i = (hole + 1) & mask; s->subs[i]; i = (i + 1) & mask) {
        const uint32_t home = sub_hash(s->subs[i]->id, s->sub_room);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->subs[hole] = s->subs[i];
            hole = i;
        }
    }
    s->subs[hole] = NULL;
    s->sub_count--;
    s->api->stats.subscriptions--;
}

/* ---- life ---- */

static void sub_ready(struct sub *sub)
{
    list_remove(&sub->link);
    list_append(&sub->session->api->ready, &sub->link);
}

static void sub_wake(struct waiter *waiter)
{
    sub_ready(CONTAINER_OF(waiter, struct sub, waiter));
}

/* Frees what it holds; the session's table is the caller's business. */
static void sub_free(struct sub *sub)
{
    struct api *api = sub->session->api;
    list_remove(&sub->link);
    waiter_cancel(&sub->waiter);
    if (sub->reading)
        reading_abandon(sub->reading);
    if (sub->history)
        shared_unref(api, sub->history);
    topic_release(api->store, sub->topic);
    mem_free(MEM_API, sub, sizeof(*sub));
}

/* The broker ends it: the client is told why. */
static void sub_end(struct sub *sub, enum error code)
{
    struct session *s = sub->session;
    char why[API_WHY_BYTES];
    reading_error_text(sub->partition, code, sub->cursor.offset, why);
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(why) };
    const uint32_t bytes = WIRE_HEADER + 4 + body.text.len;
    struct writer w = writer_of(conn_reserve(s->conn, bytes), bytes);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &body);
    CHECK(wire_frame_end(&w, frame, WIRE_OP_SUB_END, WIRE_PUSH, sub->id) == bytes);
    conn_commit(s->conn, bytes);
    sub_remove(s, sub);
    sub_free(sub);
}

void subscribe_session_closed(struct session *s)
{
    for (uint32_t i = 0; i < s->sub_room; i++) {
        if (s->subs[i]) {
            sub_free(s->subs[i]);
            s->api->stats.subscriptions--;
        }
    }
    mem_free(MEM_API, s->subs, s->sub_room * sizeof(*s->subs));
    s->subs = NULL;
    s->sub_room = s->sub_count = 0;
}

/* ---- delivering ---- */

static void sub_deliver(struct sub *sub, struct slice slice)
{
    struct session *s = sub->session;
    struct api *api = s->api;
    const struct wire_header h = { WIRE_DELIVER_PREFIX + slice.bytes, WIRE_OP_DELIVER, WIRE_PUSH, sub->id };
    const uint64_t end = partition_end(sub->partition);
    uint8_t *p = conn_reserve(s->conn, WIRE_DELIVER_PREFIX);
    memcpy(p, &h, sizeof(h));
    memcpy(p + sizeof(h), &end, sizeof(end));
    conn_commit(s->conn, WIRE_DELIVER_PREFIX);
    conn_lend(s->conn, slice.data, slice.bytes, slice.pin);
    sub->credit -= slice.bytes;
    api->stats.deliveries++;
    api->stats.bytes_delivered += slice.bytes;
}

static void sub_history_done(void *owner, struct reading *r)
{
    struct sub *sub = owner;
    sub->reading = NULL;
    if (r->history.error == ERR_OK) {
        sub->history = shared_take(r);
        sub->history_at = 0;
        sub->history_next = r->history.next_offset;
    } else if (r->history.error != ERR_OFFSET_OUT_OF_RANGE) {
        sub_end(sub, r->history.error);
        return;
    }
    /* Out of range: deleted meanwhile. Memory is asked again, and says READ_BELOW if that is so. */
    sub_ready(sub);
}

/* At most so many bytes in one go: what the client allows, and no more than a fair share. */
static uint32_t sub_bytes_max(const struct sub *sub, uint32_t share)
{
    return sub->credit < share ? (uint32_t)sub->credit : share;
}

/* The next piece of what was read from segments. */
static uint32_t sub_deliver_history(struct sub *sub)
{
    struct shared_slice *h = sub->history;
    struct slice piece = { .data = h->slice.data + sub->history_at };
    piece.bytes =
        reading_cut(piece.data, h->slice.bytes - sub->history_at, sub_bytes_max(sub, API_SLICE_BYTES));
    piece.pin = shared_pin(h);
    sub_deliver(sub, piece);
    sub->session->api->stats.history_deliveries++;
    sub->history_at += piece.bytes;
    if (sub->history_at == h->slice.bytes) {
        sub->cursor = (struct cursor){ .offset = sub->history_next };
        sub->history = NULL;
        shared_unref(sub->session->api, h);
    }
    sub_ready(sub);
    return piece.bytes;
}

/* One slice. Returns its bytes; the subscription is in its next place then. */
static uint32_t sub_serve(struct sub *sub)
{
    struct session *s = sub->session;
    struct api *api = s->api;
    struct slice slice = { 0 };
    if (sub->reading || !conn_open(s->conn))
        return 0;
    if (sub->credit <= 0) {
        if (sub->history)
            list_append(&api->holding, &sub->link);
        return 0;
    }
    if (!conn_out_room(s->conn)) {
        list_append(&s->blocked, &sub->link);
        conn_want_drained(s->conn);
        return 0;
    }
    if (!net_send_room(api->net)) {
        list_append(&api->starved, &sub->link);
        return 0;
    }
    if (sub->history)
        return sub_deliver_history(sub);
    switch (partition_read(sub->partition, &sub->cursor, sub_bytes_max(sub, API_SLICE_BYTES), &slice)) {
    case READ_DATA:
        sub_deliver(sub, slice);
        if (sub->cursor.offset == partition_end(sub->partition))
            partition_wait(sub->partition, &sub->waiter);
        else
            sub_ready(sub);
        return slice.bytes;
    case READ_END:
        partition_wait(sub->partition, &sub->waiter);
        return 0;
    case READ_HISTORY:
        if (!reading_may(s)) {
            list_append(&s->history_wait, &sub->link);
            return 0;
        }
        sub->reading = reading_history(s->api, s, sub->partition, sub->cursor.offset,
                                       sub_bytes_max(sub, API_HISTORY_BYTES), sub, sub_history_done);
        return 0;
    case READ_BELOW:
    case READ_ABOVE:
        sub_end(sub, ERR_OFFSET_OUT_OF_RANGE);
        return 0;
    case READ_GONE:
        sub_end(sub, ERR_TOPIC_NOT_FOUND);
        return 0;
    }
    UNREACHABLE();
}

void subscribe_drained(struct session *s)
{
    list_append_all(&s->api->ready, &s->blocked);
}

static void subscribe_give_up_history(struct api *api)
{
    struct list *node;
    while ((node = list_pop(&api->holding))) {
        struct sub *sub = CONTAINER_OF(node, struct sub, link);
        struct shared_slice *h = sub->history;
        if (sub->history_at > 0)
            sub->cursor =
                (struct cursor){ .offset = (uint64_t)batch_base_offset(h->slice.data + sub->history_at) };
        sub->history = NULL;
        shared_unref(api, h);
    }
}

void subscribe_history_free(struct session *s)
{
    list_append_all(&s->api->ready, &s->history_wait);
}

/* Reads wait for memory: those who hold some without credit give it up, and those who do not read what they
 * were sent are closed in the end. */
static void subscribe_relieve(struct api *api)
{
    if (!store_history_waiting(api->store))
        return;
    subscribe_give_up_history(api);
    group_deliver_give_up_history(api);
    net_short(api->net);
}

static void subscribe_serve_ready(struct api *api)
{
    struct list round;
    list_init(&round);
    if (!list_empty(&api->starved) && net_send_room(api->net))
        list_append_all(&api->ready, &api->starved);
    /* Round after round, one slice each; whoever has more is in the next round. */
    for (uint64_t bytes = 0; bytes < API_TURN_BYTES;) {
        struct list *node = list_pop(&round);
        if (!node) {
            if (list_empty(&api->ready))
                return;
            list_append_all(&round, &api->ready);
            node = list_pop(&round);
        }
        bytes += sub_serve(CONTAINER_OF(node, struct sub, link));
    }
    /* The turn's share is used up: those who were not served are first in the next one. */
    list_append_all(&round, &api->ready);
    list_append_all(&api->ready, &round);
}

void subscribe_turn_end(struct api *api)
{
    subscribe_serve_ready(api);
    subscribe_relieve(api); /* after it: a read that was just started may be the one that waits */
}

/* ---- requests ---- */

static void subscribe_reply(struct sub *sub, const struct request *rq)
{
    const struct wire_subscribe_reply body = { .offset = sub->cursor.offset,
                                               .start_offset = partition_start(sub->partition),
                                               .end_offset = partition_end(sub->partition) };
    struct api_reply r = api_reply_begin(sub->session, 24);
    wire_put_subscribe_reply(&r.w, &body);
    api_reply_end(sub->session, &r, rq);
    sub_ready(sub);
}

static void subscribe_time_done(void *owner, struct reading *r)
{
    struct sub *sub = owner;
    sub->reading = NULL;
    sub->cursor.offset = r->time.offset;
    if (r->time.error == ERR_OK) {
        subscribe_reply(sub, &sub->rq);
        return;
    }
    char why[API_WHY_BYTES];
    const enum error code = reading_error_text(sub->partition, r->time.error, r->time.offset, why);
    api_refuse(sub->session, &sub->rq, code, why);
    sub_remove(sub->session, sub);
    sub_free(sub);
}

static enum error subscribe_check(struct session *s, const struct wire_subscribe *body, struct partition **p,
                                  uint64_t *offset, char *why)
{
    enum error code = api_find(s, body->handle, body->partition, p, why);
    if (code != ERR_OK)
        return code;
    if (sub_find(s, body->subscription)) {
        snprintf(why, API_WHY_BYTES, "subscription %u exists on this connection: choose another id",
                 body->subscription);
        return ERR_SUBSCRIPTION_EXISTS;
    }
    if (s->sub_count >= s->api->options.connection_subscriptions_max) {
        snprintf(
            why, API_WHY_BYTES,
            "the connection has %u subscriptions: use another one, or raise connection.subscriptions.max",
            s->sub_count);
        return ERR_LIMIT_REACHED;
    }
    if (body->position.from != WIRE_FROM_TIME && !position_resolve(*p, &body->position, offset, why))
        return ERR_OFFSET_OUT_OF_RANGE;
    return ERR_OK;
}

enum net_take subscribe_request(struct session *s, const struct request *rq)
{
    struct wire_subscribe body;
    struct partition *p;
    uint64_t offset = 0;
    char why[API_WHY_BYTES];
    if (!wire_get_subscribe(rq->body, &body) || !position_valid(&body.position))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "SUBSCRIBE cannot be decoded, or its position is none");
    const enum error code = subscribe_check(s, &body, &p, &offset, why);
    if (code != ERR_OK)
        return api_refuse(s, rq, code, why);
    struct sub *sub = mem_zalloc(MEM_API, sizeof(*sub));
    list_init(&sub->link);
    waiter_init(&sub->waiter, sub_wake);
    sub->session = s;
    sub->id = body.subscription;
    sub->topic = partition_topic(p);
    topic_hold(sub->topic);
    sub->partition = p;
    sub->cursor.offset = offset;
    sub->credit = body.credit;
    sub_insert(s, sub);
    if (body.position.from == WIRE_FROM_TIME) {
        sub->rq = *rq;
        sub->reading = reading_time(s->api, p, body.position.value, sub, subscribe_time_done);
    } else {
        subscribe_reply(sub, rq);
    }
    return NET_TAKEN;
}

enum net_take subscribe_credit(struct session *s, const struct request *rq)
{
    struct wire_credit body;
    if (!wire_get_credit(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "CREDIT cannot be decoded");
    struct sub *sub = sub_find(s, body.subscription);
    if (!sub || body.bytes == 0)
        return NET_TAKEN; /* it may have ended meanwhile */
    const bool waited = sub->credit <= 0;
    sub->credit += body.bytes;
    if (sub->credit > SUB_CREDIT_MAX)
        sub->credit = SUB_CREDIT_MAX;
    /* One that waits for something else too is found there, with its new credit. (Being made ready once too
     * often is harmless, but for a waiter: it stays with its partition.) */
    if (waited && sub->credit > 0 && !sub->reading && !list_linked(&sub->waiter.link))
        sub_ready(sub);
    return NET_TAKEN;
}

enum net_take subscribe_end(struct session *s, const struct request *rq)
{
    struct wire_unsubscribe body;
    char why[API_WHY_BYTES];
    if (!wire_get_unsubscribe(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "UNSUBSCRIBE cannot be decoded");
    struct sub *sub = sub_find(s, body.subscription);
    if (!sub) {
        snprintf(why, sizeof(why), "no subscription %u on this connection", body.subscription);
        return api_refuse(s, rq, ERR_SUBSCRIPTION_UNKNOWN, why);
    }
    sub_remove(s, sub);
    sub_free(sub);
    struct api_reply r = api_reply_begin(s, 0);
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}
