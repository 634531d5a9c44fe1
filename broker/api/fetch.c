/* SPDX-License-Identifier: Apache-2.0
 *
 * api/fetch.c: FETCH: one reply with batches from an offset on, at once or when the first event comes.
 *
 * Invariant: of a connection's fetches of one partition only the oldest is served, so that memory does not
 * answer a later one while segments are read for an earlier one; the others are only listed, and begin when
 * it is answered.
 *
 * States of the one that is served, by what it holds: a reading (a job on segments is running), a linked
 * waiter (it waits for an event, at most until its timer), or neither with its timer running (memory for
 * output is short: it looks again soon). fetch_serve() decides; everything else records and calls
 * fetch_run(), which goes on with the next one when it was answered.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    FETCH_RETRY_MS = 10, /* while memory for output is short */
    FETCH_WAIT_MS_MAX = 300000,
};

struct fetch {
    struct fetch_head head; /* in fetch_row() */
    struct session *session;
    struct topic *topic; /* held */
    struct partition *partition;
    struct request rq;
    struct wire_position position;
    struct cursor cursor;
    uint64_t offset; /* what the position was resolved to */
    uint32_t bytes_max;
    uint32_t wait_ms; /* 0: answer at once */
    bool waited;
    struct waiter waiter;
    struct timer timer;
    struct reading *reading;
};

static void fetch_run(struct fetch *f);
static void fetch_answered(struct fetch *f);

bool fetch_admit(struct session *s, const struct request *rq)
{
    if (s->fetch_count < s->api->options.connection_fetches_max)
        return true;
    char text[API_WHY_BYTES];
    snprintf(text, sizeof(text),
             "%u reading requests of this connection are unanswered: wait, or raise "
             "connection.fetches.max",
             s->fetch_count);
    api_refuse(s, rq, ERR_TOO_MANY_IN_FLIGHT, text);
    return false;
}

/* The list that a partition's fetches are in, among others. */
static struct list *fetch_row(struct session *s, const struct partition *p)
{
    return &s->fetches[((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15) >> 32 & (API_FETCH_ROWS - 1)];
}

static void fetch_free(struct fetch *f)
{
    struct api *api = f->session->api;
    waiter_cancel(&f->waiter);
    timer_stop(api->timers, &f->timer);
    if (f->reading)
        reading_abandon(f->reading);
    list_remove(&f->head.link);
    f->session->fetch_count--;
    api->stats.polls--;
    topic_release(api->store, f->topic);
    mem_free(MEM_API, f, sizeof(*f));
}

static void fetch_abandon(struct fetch_head *head)
{
    fetch_free(CONTAINER_OF(head, struct fetch, head));
}

static void fetch_fail(struct fetch *f, enum error code)
{
    char why[API_WHY_BYTES];
    reading_error_text(f->partition, code, f->cursor.offset, why);
    api_refuse(f->session, &f->rq, code, why);
}

/* The reply's fields are owned bytes; the batches behind them are lent. */
static void fetch_reply(struct fetch *f, struct slice slice)
{
    struct session *s = f->session;
    struct api *api = s->api;
    slice.bytes = reading_cut(slice.data, slice.bytes, f->bytes_max); /* segments give more than was asked */
    enum { FIELDS = 3 * 8 + 4 };
    const struct wire_fetch_reply body = { .offset = f->offset,
                                           .start_offset = partition_start(f->partition),
                                           .end_offset = partition_end(f->partition) };
    struct writer w = writer_of(conn_reserve(s->conn, WIRE_HEADER + FIELDS), WIRE_HEADER + FIELDS);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_fetch_reply(&w, &body);
    CHECK(wire_frame_end(&w, frame, f->rq.op, WIRE_REPLY, f->rq.id) == WIRE_HEADER + FIELDS);
    /* The batches' length, and the frame's, as they are with the slice behind them. */
    const uint32_t size = WIRE_HEADER + FIELDS + slice.bytes;
    memcpy(frame, &size, sizeof(size));
    memcpy(frame + WIRE_HEADER + FIELDS - 4, &slice.bytes, 4);
    conn_commit(s->conn, WIRE_HEADER + FIELDS);
    if (slice.bytes)
        conn_lend(s->conn, slice.data, slice.bytes, slice.pin);
    api->stats.fetches++;
    api->stats.bytes_delivered += slice.bytes;
}

static void fetch_reply_history(struct fetch *f, struct shared_slice *shared)
{
    struct api *api = f->session->api;
    struct slice slice = shared->slice;
    slice.pin = shared_pin(shared);
    fetch_reply(f, slice);
    shared_unref(api, shared);
}

static void fetch_history_done(void *owner, struct reading *r)
{
    struct fetch *f = owner;
    f->reading = NULL;
    if (r->history.error == ERR_OFFSET_OUT_OF_RANGE) {
        fetch_run(f); /* deleted meanwhile: look again, it may be below the start now */
        return;
    }
    if (r->history.error != ERR_OK)
        fetch_fail(f, r->history.error);
    else
        fetch_reply_history(f, shared_take(r));
    fetch_answered(f);
}

static void fetch_time_done(void *owner, struct reading *r)
{
    struct fetch *f = owner;
    f->reading = NULL;
    f->cursor.offset = f->offset = r->time.offset;
    if (r->time.error == ERR_OK) {
        fetch_run(f);
        return;
    }
    fetch_fail(f, r->time.error);
    fetch_answered(f);
}

static void fetch_wake(struct waiter *waiter)
{
    fetch_run(CONTAINER_OF(waiter, struct fetch, waiter));
}

static void fetch_timer(struct timer *timer)
{
    struct fetch *f = CONTAINER_OF(timer, struct fetch, timer);
    if (list_linked(&f->waiter.link)) {
        waiter_cancel(&f->waiter);
        f->wait_ms = 0;
    } /* else memory was short */
    fetch_run(f);
}

/* Nothing is there: true when that is the answer. */
static bool fetch_wait(struct fetch *f)
{
    if (f->wait_ms == 0) {
        fetch_reply(f, (struct slice){ 0 });
        return true;
    }
    partition_wait(f->partition, &f->waiter);
    if (!f->waited) {
        f->waited = true;
        timer_start(f->session->api->timers, &f->timer, f->wait_ms);
    }
    return false;
}

/* Memory is short: looks again soon. */
static bool fetch_again(struct fetch *f)
{
    f->waited = false;
    timer_start(f->session->api->timers, &f->timer, FETCH_RETRY_MS);
    return false;
}

static bool fetch_read_history(struct fetch *f)
{
    if (!reading_may(f->session))
        return fetch_again(f);
    f->reading = reading_history(f->session->api, f->session, f->partition, f->cursor.offset,
                                 f->bytes_max < API_HISTORY_BYTES ? f->bytes_max : API_HISTORY_BYTES, f,
                                 fetch_history_done);
    return false;
}

/* True: it was answered. */
static bool fetch_serve(struct fetch *f)
{
    struct slice slice = { 0 };
    if (!net_send_room(f->session->api->net))
        return fetch_again(f);
    switch (partition_read(f->partition, &f->cursor, f->bytes_max, &slice)) {
    case READ_DATA:
        fetch_reply(f, slice);
        return true;
    case READ_END:
        return fetch_wait(f);
    case READ_HISTORY:
        return fetch_read_history(f);
    case READ_BELOW:
    case READ_ABOVE:
        fetch_fail(f, ERR_OFFSET_OUT_OF_RANGE);
        return true;
    case READ_GONE:
        fetch_fail(f, ERR_TOPIC_NOT_FOUND);
        return true;
    }
    UNREACHABLE();
}

/* Its turn has come. True: it was answered. */
static bool fetch_begin(struct fetch *f)
{
    if (f->position.from == WIRE_FROM_TIME) {
        f->reading = reading_time(f->session->api, f->partition, f->position.value, f, fetch_time_done);
        return false;
    }
    char why[API_WHY_BYTES];
    const bool inside = position_resolve(f->partition, &f->position, &f->offset, why);
    f->cursor.offset = f->offset;
    if (inside)
        return fetch_serve(f);
    fetch_fail(f, ERR_OFFSET_OUT_OF_RANGE);
    return true;
}

/* The session's oldest unanswered fetch of the partition. */
static struct fetch *fetch_next(struct session *s, const struct partition *p)
{
    LIST_FOR_EACH (node, fetch_row(s, p)) {
        struct fetch_head *head = CONTAINER_OF(node, struct fetch_head, link);
        if (head->abandon == fetch_abandon && CONTAINER_OF(head, struct fetch, head)->partition == p)
            return CONTAINER_OF(head, struct fetch, head);
    }
    return NULL;
}

/* Frees it and begins the next one, and so on while they can be answered at once. */
static void fetch_answered(struct fetch *f)
{
    bool answered = true;
    while (answered) {
        struct session *s = f->session;
        const struct partition *p = f->partition; /* an address to compare: it may be gone */
        fetch_free(f);
        f = fetch_next(s, p);
        answered = f && fetch_begin(f);
    }
}

static void fetch_run(struct fetch *f)
{
    if (fetch_serve(f))
        fetch_answered(f);
}

static struct fetch *fetch_create(struct session *s, const struct request *rq, const struct wire_fetch *body,
                                  struct partition *p)
{
    struct fetch *f = mem_zalloc(MEM_API, sizeof(*f));
    /* A reply is one frame: its fields and the batches fit. */
    const uint32_t most = s->api->options.frame_bytes_max - 4096;
    f->head.abandon = fetch_abandon;
    f->session = s;
    f->topic = partition_topic(p);
    topic_hold(f->topic);
    f->partition = p;
    f->rq = *rq;
    f->position = body->position;
    f->bytes_max = body->bytes_max < most ? body->bytes_max : most;
    f->wait_ms = body->wait_ms < FETCH_WAIT_MS_MAX ? body->wait_ms : FETCH_WAIT_MS_MAX;
    waiter_init(&f->waiter, fetch_wake);
    timer_init(&f->timer, fetch_timer);
    list_append(fetch_row(s, p), &f->head.link);
    s->fetch_count++;
    s->api->stats.polls++;
    return f;
}

enum net_take fetch_request(struct session *s, const struct request *rq)
{
    struct wire_fetch body;
    struct partition *p;
    char why[API_WHY_BYTES];
    if (!wire_get_fetch(rq->body, &body) || !position_valid(&body.position))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "FETCH cannot be decoded, or its position is none");
    const enum error code = api_find(s, body.handle, body.partition, &p, why);
    if (code != ERR_OK)
        return api_refuse(s, rq, code, why);
    if (!fetch_admit(s, rq))
        return NET_TAKEN;
    const bool first = fetch_next(s, p) == NULL;
    struct fetch *f = fetch_create(s, rq, &body, p);
    if (first && fetch_begin(f))
        fetch_answered(f);
    return NET_TAKEN;
}

void fetch_session_closed(struct session *s)
{
    struct list *node;
    for (uint32_t i = 0; i < API_FETCH_ROWS; i++) {
        while ((node = list_pop(&s->fetches[i]))) {
            struct fetch_head *head = CONTAINER_OF(node, struct fetch_head, link);
            head->abandon(head);
        }
    }
}
