/* SPDX-License-Identifier: Apache-2.0
 *
 * client/request.c: requests and their answers. A request is embedded in what it belongs to; its id is a slot
 * number and a serial, so that an answer to an earlier owner of the slot is told apart.
 */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

enum { SLOT_BITS = 10, SLOT_MASK = REQUESTS_MAX - 1 };
static_assert(1 << SLOT_BITS == REQUESTS_MAX, "a slot number fills the low bits of an id");

void requests_init(struct runnel_client *c)
{
    TAILQ_INIT(&c->waiting);
    /* Slot 0 stays free: ids with it belong to requests whose answers nobody waits for. */
    for (uint32_t i = 0; i < REQUESTS_MAX - 1; i++)
        c->slot_free[i] = REQUESTS_MAX - 1 - i;
    c->slot_free_count = REQUESTS_MAX - 1;
}

uint32_t request_index_next(struct runnel_client *c)
{
    return c->group_serial = c->group_serial < UINT32_MAX >> SLOT_BITS ? c->group_serial + 1 : 1;
}

uint32_t request_id_unwaited(uint32_t index)
{
    return index << SLOT_BITS;
}

uint32_t request_begin(struct runnel_client *c, struct request *r, uint16_t op, request_done done)
{
    if (r->id || c->slot_free_count == 0 || c->state == CLIENT_PAUSED)
        return 0;
    uint32_t slot = c->slot_free[--c->slot_free_count];
    do
        r->id = ++c->request_serial << SLOT_BITS | slot;
    while (r->id == 0); /* the serial wrapped round */
    r->op = op;
    r->done = done;
    r->deadline_ms = client_now_ms() + c->options.request_timeout_ms;
    c->slots[slot] = r;
    TAILQ_INSERT_TAIL(&c->waiting, r, link);
    return r->id;
}

static void request_end(struct runnel_client *c, struct request *r)
{
    uint32_t slot = r->id & SLOT_MASK;
    c->slots[slot] = NULL;
    c->slot_free[c->slot_free_count++] = slot;
    TAILQ_REMOVE(&c->waiting, r, link);
    r->id = 0;
}

void request_cancel(struct runnel_client *c, struct request *r)
{
    if (!r->id)
        return;
    request_end(c, r);
    c->cancelled++;
}

bool request_answer(struct runnel_client *c, const struct wire_header *h, struct reader body)
{
    struct request *r = c->slots[h->request_id & SLOT_MASK];
    struct reply reply = { .body = body };
    struct wire_error e;
    if (h->flags & WIRE_ERROR) {
        if (!wire_get_error(body, &e) || e.code == ERR_OK)
            return false;
        reply.error = e.code;
        reply.text = e.text;
        reply.refusal = &e;
    }
    if (h->request_id && (h->request_id & SLOT_MASK) == 0) {
        group_answer(c, h->request_id >> SLOT_BITS, h->op, &reply);
        return true;
    }
    if (!r || r->id != h->request_id) {
        if (c->cancelled) {
            c->cancelled--;
            return true;
        }
        /* An operation without reply was refused: the broker says why and closes the connection. */
        if (reply.error)
            client_break(c, reply.error, "the broker closes the connection: %.*s", (int)reply.text.len,
                         (const char *)reply.text.at);
        return reply.error != 0;
    }
    if (r->op != h->op)
        return false;
    request_end(c, r);
    r->done(c, r, &reply);
    return true;
}

void requests_break(struct runnel_client *c)
{
    struct reply reply = { .error = ERR_CLIENT_UNREACHABLE, .text = bytes_of(c->error.text) };
    struct request *r;
    while ((r = TAILQ_FIRST(&c->waiting))) {
        request_end(c, r);
        r->done(c, r, &reply);
    }
    c->cancelled = 0;
}

int64_t requests_deadline_ms(const struct runnel_client *c)
{
    const struct request *r = TAILQ_FIRST(&c->waiting);
    return r ? r->deadline_ms : INT64_MAX;
}

bool request_frame(struct runnel_client *c, struct writer *w, uint8_t **frame, uint32_t body_max)
{
    uint8_t *room = transport_control_room(&c->transport, WIRE_HEADER + body_max);
    if (!room)
        return false;
    *w = writer_of(room, WIRE_HEADER + body_max);
    *frame = wire_frame_begin(w);
    return true;
}

bool request_send(struct runnel_client *c, struct writer *w, uint8_t *frame, uint16_t op, uint32_t id)
{
    uint32_t size = wire_frame_end(w, frame, op, 0, id);
    if (size == 0)
        return false;
    transport_control_add(&c->transport, size);
    return true;
}

/* ---- blocking calls ---- */

struct call {
    struct request request;
    bool done, sent;
    int error;
    char text[256];
    uint8_t *body;
    uint32_t len;
};

static void call_done(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct call *call = (struct call *)r; /* its first member */
    (void)c;
    call->done = true;
    call->error = reply->error;
    if (reply->error) {
        uint32_t n = reply->text.len < sizeof(call->text) - 1 ? reply->text.len : sizeof(call->text) - 1;
        memcpy(call->text, reply->text.at ? (const char *)reply->text.at : "", n);
        call->text[n] = '\0';
        return;
    }
    call->len = reader_left(&reply->body);
    call->body = malloc(call->len + 1);
    if (call->body)
        memcpy(call->body, reply->body.at, call->len);
    else
        call->error = ERR_CLIENT_QUEUE_FULL;
}

static bool client_ready(void *ctx)
{
    return ((struct runnel_client *)ctx)->state == CLIENT_READY;
}

static bool call_is_done(void *ctx)
{
    return ((struct call *)ctx)->done;
}

static int call_send(struct runnel_client *c, struct call *call, uint16_t op, struct bytes body)
{
    struct writer w;
    uint8_t *frame;
    if (WIRE_HEADER + body.len > c->frame_bytes_max)
        return client_error(c, ERR_FRAME_TOO_LARGE,
                            "the request has %u bytes and the broker takes %u: send less",
                            WIRE_HEADER + body.len, c->frame_bytes_max);
    if (!request_frame(c, &w, &frame, body.len))
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a request of %u bytes", body.len);
    write_raw(&w, body.at, body.len);
    if (!request_begin(c, &call->request, op, call_done))
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "%d requests are unanswered: wait", REQUESTS_MAX);
    request_send(c, &w, frame, op, call->request.id);
    return 0;
}

static int call_error(struct runnel_client *c, struct call *call)
{
    if (call->error == ERR_CLIENT_UNREACHABLE)
        return client_error(c, ERR_CLIENT_UNREACHABLE,
                            "the connection broke before the answer came: it may or may not have been done");
    struct reply reply = { .error = call->error, .text = bytes_of(call->text) };
    return client_refused(c, &reply);
}

int request_call(struct runnel_client *c, uint16_t op, struct bytes body, bool again, uint8_t **reply,
                 uint32_t *reply_len)
{
    return request_call_until(c, op, body, again, client_now_ms() + c->options.request_timeout_ms, reply,
                              reply_len);
}

int request_call_until(struct runnel_client *c, uint16_t op, struct bytes body, bool again, int64_t deadline,
                       uint8_t **reply, uint32_t *reply_len)
{
    int rc = client_may_block(c);
    if (rc)
        return rc;
    for (;;) {
        struct call call = { 0 };
        rc = client_wait_until(c, deadline, client_ready, c);
        if (rc == 0)
            rc = call_send(c, &call, op, body);
        if (rc)
            return rc;
        rc = client_wait_until(c, deadline, call_is_done, &call);
        if (!call.done) {
            request_cancel(c, &call.request);
            return rc;
        }
        if (call.error == ERR_CLIENT_UNREACHABLE && again)
            continue;
        if (call.error)
            return call_error(c, &call);
        *reply = call.body;
        *reply_len = call.len;
        return 0;
    }
}
