/* SPDX-License-Identifier: Apache-2.0
 *
 * api/ack.c: replies that wait for the journal: one FIFO of encoded frames.
 *
 * Sequences in it never fall, so releasing is taking from the front. An entry names its connection by id: of
 * a connection that is gone nothing is found, and the reply is dropped. The memory is bounded by the limits
 * on unanswered requests: an entry's request is larger than its reply, but for a fixed few bytes.
 */
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"

static uint32_t ack_padded(uint32_t bytes)
{
    return (uint32_t)sizeof(struct ack) + ((bytes + 7) & ~7u);
}

static void ack_block_add(struct api *api, uint32_t bytes)
{
    struct ack_block *b = api->ack_spare;
    if (b && b->room >= bytes) {
        api->ack_spare = NULL;
    } else {
        const uint32_t room =
            bytes > API_ACK_BLOCK_BYTES - sizeof(*b) ? bytes : (uint32_t)(API_ACK_BLOCK_BYTES - sizeof(*b));
        b = mem_alloc(MEM_API, sizeof(*b) + room);
        b->room = room;
    }
    b->next = NULL;
    b->filled = b->taken = 0;
    if (api->ack_tail)
        api->ack_tail->next = b;
    else
        api->ack_head = b;
    api->ack_tail = b;
}

static void ack_block_free(struct api *api, struct ack_block *b)
{
    if (!api->ack_spare) {
        api->ack_spare = b;
        return;
    }
    mem_free(MEM_API, b, sizeof(*b) + b->room);
}

/* Space for an encoded reply; see ack_reply_begin(). */
static uint8_t *ack_add(struct session *s, uint64_t sequence, uint32_t bytes, uint32_t inflight_bytes)
{
    struct api *api = s->api;
    const uint32_t padded = ack_padded(bytes);
    if (!api->ack_tail || api->ack_tail->room - api->ack_tail->filled < padded)
        ack_block_add(api, padded);
    struct ack_block *b = api->ack_tail;
    struct ack *a = (struct ack *)(void *)(b->data + b->filled);
    b->filled += padded;
    /* A duplicate's sequence may be an old one; it waits behind what was asked before it all the same. */
    if (sequence > api->ack_sequence)
        api->ack_sequence = sequence;
    *a = (struct ack){ api->ack_sequence, conn_id(s->conn), bytes, inflight_bytes };
    s->acks_waiting++;
    s->inflight_bytes += inflight_bytes;
    api->stats.acks_waiting++;
    api->stats.inflight_bytes += inflight_bytes;
    return (uint8_t *)(a + 1);
}

/* The front entry, or NULL. */
static struct ack *ack_front(struct api *api)
{
    struct ack_block *b;
    while ((b = api->ack_head)) {
        if (b->taken < b->filled)
            return (struct ack *)(void *)(b->data + b->taken);
        api->ack_head = b->next;
        if (!b->next)
            api->ack_tail = NULL;
        ack_block_free(api, b);
    }
    return NULL;
}

/* The session of an entry that leaves, its accounts settled; NULL when its connection is gone. */
static struct session *ack_settle(struct api *api, const struct ack *a)
{
    api->stats.acks_waiting--;
    api->stats.inflight_bytes -= a->inflight_bytes;
    api->ack_head->taken += ack_padded(a->bytes);
    struct conn *c = net_find(api->net, a->conn);
    if (!c)
        return NULL;
    struct session *s = c->user;
    s->acks_waiting--;
    s->inflight_bytes -= a->inflight_bytes;
    /* Half: so that a connection at its limit does not pause and resume with every reply. */
    if (s->waits_own && s->inflight_bytes <= api->options.connection_inflight_bytes_max / 2 &&
        !list_linked(&s->park)) {
        api->stats.parked++;
        list_append(&api->resumed, &s->park);
    }
    return s;
}

void api_durable(void *ctx, uint64_t sequence)
{
    struct api *api = ctx;
    struct ack *a;
    while ((a = ack_front(api)) && a->sequence <= sequence) {
        struct session *s = ack_settle(api, a);
        if (s)
            conn_write(s->conn, a + 1, a->bytes);
    }
    group_joined(api, sequence);
}

/* What waits will never be durable for certain: everybody is told so, and nothing is acknowledged any more.
 */
void api_failed(void *ctx, const char *text)
{
    struct api *api = ctx;
    struct ack *a;
    api->failed = true;
    while ((a = ack_front(api))) {
        struct wire_header h;
        if (!wire_header_decode(&h, a + 1, a->bytes))
            UNREACHABLE();
        struct session *s = ack_settle(api, a);
        if (s)
            conn_error(s->conn, h.op, h.request_id, ERR_STORAGE_FAILED, text);
    }
}

struct ack_reply ack_reply_begin(struct session *s, uint64_t sequence, uint32_t body_bytes,
                                 uint32_t inflight_bytes)
{
    const uint32_t bytes = WIRE_HEADER + body_bytes;
    const bool durable = sequence <= store_durable_sequence(s->api->store);
    struct ack_reply reply = { .bytes = bytes, .at_once = durable && s->acks_waiting == 0 };
    uint8_t *at = reply.at_once ? conn_reserve(s->conn, bytes)
                                : ack_add(s, durable ? 0 : sequence, bytes, inflight_bytes);
    reply.w = writer_of(at, bytes);
    reply.frame = wire_frame_begin(&reply.w);
    return reply;
}

static uint64_t ack_frame_end(struct session *s, struct ack_reply *reply, const struct request *rq,
                              uint16_t flags)
{
    CHECK(wire_frame_end(&reply->w, reply->frame, rq->op, flags, rq->id) == reply->bytes);
    if (!reply->at_once)
        return s->api->ack_sequence;
    conn_commit(s->conn, reply->bytes);
    return 0;
}

uint64_t ack_reply_end(struct session *s, struct ack_reply *reply, const struct request *rq)
{
    return ack_frame_end(s, reply, rq, WIRE_REPLY);
}

uint64_t ack_reply(struct session *s, const struct request *rq, uint64_t sequence, const struct writer *body)
{
    CHECK(!body || !body->bad);
    struct ack_reply reply = ack_reply_begin(s, sequence, body ? writer_len(body) : 0, 0);
    if (body)
        write_raw(&reply.w, body->start, writer_len(body));
    return ack_reply_end(s, &reply, rq);
}

enum net_take ack_refuse(struct session *s, const struct request *rq, enum error code, const char *text)
{
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(text) };
    struct ack_reply reply = ack_reply_begin(s, 0, 2 + 2 + body.text.len, 0);
    wire_put_error(&reply.w, &body);
    ack_frame_end(s, &reply, rq, WIRE_REPLY | WIRE_ERROR);
    s->api->stats.refused++;
    return NET_TAKEN;
}

void ack_free_all(struct api *api)
{
    while (ack_front(api)) {
        /* Connections are gone: nobody waits. */
        api->stats.acks_waiting--;
        api->ack_head->taken += ack_padded(ack_front(api)->bytes);
    }
    if (api->ack_spare)
        mem_free(MEM_API, api->ack_spare, sizeof(*api->ack_spare) + api->ack_spare->room);
    api->ack_spare = NULL;
}
