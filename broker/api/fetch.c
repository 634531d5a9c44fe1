/* SPDX-License-Identifier: Apache-2.0
 *
 * api/fetch.c: FETCH: one reply with batches from an offset on, at once or when the first event comes.
 *
 * States of a fetch, by what it holds: a reading (a job on segments is running), a linked waiter (it waits
 * for an event, at most until its timer), or neither with its timer running (memory for output is short: it
 * looks again soon). fetch_serve() decides; everything else records and calls it.
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
    struct fetch_head head; /* in session->fetches */
    struct session *session;
    struct topic *topic; /* held */
    struct partition *partition;
    struct request rq;
    struct cursor cursor;
    uint64_t offset; /* what the position was resolved to */
    uint32_t bytes_max;
    uint32_t wait_ms; /* 0: answer at once */
    bool waited;
    struct waiter waiter;
    struct timer timer;
    struct reading *reading;
};

static void fetch_serve(struct fetch *f);

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
    fetch_free(f);
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
    fetch_free(f);
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
    if (r->history.error == ERR_OFFSET_OUT_OF_RANGE)
        fetch_serve(f); /* deleted meanwhile: look again, it may be below the start now */
    else if (r->history.error != ERR_OK)
        fetch_fail(f, r->history.error);
    else
        fetch_reply_history(f, shared_take(r));
}

static void fetch_time_done(void *owner, struct reading *r)
{
    struct fetch *f = owner;
    f->reading = NULL;
    f->cursor.offset = f->offset = r->time.offset;
    if (r->time.error != ERR_OK)
        fetch_fail(f, r->time.error);
    else
        fetch_serve(f);
}

static void fetch_wake(struct waiter *waiter)
{
    fetch_serve(CONTAINER_OF(waiter, struct fetch, waiter));
}

static void fetch_timer(struct timer *timer)
{
    struct fetch *f = CONTAINER_OF(timer, struct fetch, timer);
    if (!list_linked(&f->waiter.link)) {
        fetch_serve(f); /* memory was short */
        return;
    }
    waiter_cancel(&f->waiter);
    f->wait_ms = 0;
    fetch_serve(f);
}

static void fetch_wait(struct fetch *f)
{
    if (f->wait_ms == 0) {
        fetch_reply(f, (struct slice){ 0 });
        return;
    }
    partition_wait(f->partition, &f->waiter);
    if (!f->waited) {
        f->waited = true;
        timer_start(f->session->api->timers, &f->timer, f->wait_ms);
    }
}

/* Memory is short: looks again soon. */
static void fetch_again(struct fetch *f)
{
    f->waited = false;
    timer_start(f->session->api->timers, &f->timer, FETCH_RETRY_MS);
}

static void fetch_serve(struct fetch *f)
{
    struct api *api = f->session->api;
    struct slice slice = { 0 };
    if (!net_send_room(api->net)) {
        fetch_again(f);
        return;
    }
    switch (partition_read(f->partition, &f->cursor, f->bytes_max, &slice)) {
    case READ_DATA:
        fetch_reply(f, slice);
        break;
    case READ_END:
        fetch_wait(f);
        break;
    case READ_HISTORY:
        if (!reading_may(f->session)) {
            fetch_again(f);
            return;
        }
        f->reading = reading_history(f->session, f->partition, f->cursor.offset,
                                     f->bytes_max < API_HISTORY_BYTES ? f->bytes_max : API_HISTORY_BYTES, f,
                                     fetch_history_done);
        break;
    case READ_BELOW:
    case READ_ABOVE:
        fetch_fail(f, ERR_OFFSET_OUT_OF_RANGE);
        break;
    case READ_GONE:
        fetch_fail(f, ERR_TOPIC_NOT_FOUND);
        break;
    }
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
    f->bytes_max = body->bytes_max < most ? body->bytes_max : most;
    f->wait_ms = body->wait_ms < FETCH_WAIT_MS_MAX ? body->wait_ms : FETCH_WAIT_MS_MAX;
    waiter_init(&f->waiter, fetch_wake);
    timer_init(&f->timer, fetch_timer);
    list_append(&s->fetches, &f->head.link);
    s->fetch_count++;
    s->api->stats.polls++;
    return f;
}

enum net_take fetch_request(struct session *s, const struct request *rq)
{
    struct wire_fetch body;
    struct partition *p;
    char why[API_WHY_BYTES];
    uint64_t offset = 0;
    if (!wire_get_fetch(rq->body, &body) || !position_valid(&body.position)) {
        api_refuse(s, rq, ERR_REQUEST_INVALID, "FETCH cannot be decoded, or its position is none");
        return NET_TAKEN;
    }
    enum error code = api_find(s, body.handle, body.partition, &p, why);
    if (code == ERR_OK && body.position.from != WIRE_FROM_TIME &&
        !position_resolve(p, &body.position, &offset, why))
        code = ERR_OFFSET_OUT_OF_RANGE;
    if (code != ERR_OK) {
        api_refuse(s, rq, code, why);
        return NET_TAKEN;
    }
    if (!fetch_admit(s, rq))
        return NET_TAKEN;
    struct fetch *f = fetch_create(s, rq, &body, p);
    f->cursor.offset = f->offset = offset;
    if (body.position.from == WIRE_FROM_TIME)
        f->reading = reading_time(s->api, p, body.position.value, f, fetch_time_done);
    else
        fetch_serve(f);
    return NET_TAKEN;
}

void fetch_session_closed(struct session *s)
{
    struct list *node;
    while ((node = list_pop(&s->fetches))) {
        struct fetch_head *head = CONTAINER_OF(node, struct fetch_head, link);
        head->abandon(head);
    }
}
