/* SPDX-License-Identifier: Apache-2.0
 *
 * api/ack.c: replies that wait for the journal (net/replies.h), and what they count for.
 *
 * The memory is bounded by the limits on unanswered requests: an entry's request is larger than its reply,
 * but for a fixed few bytes.
 */
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"

/* Space for an encoded reply; see ack_reply_begin(). */
static uint8_t *ack_add(struct session *s, uint64_t sequence, uint32_t bytes, uint32_t inflight_bytes)
{
    struct api *api = s->api;
    s->acks_waiting++;
    s->inflight_bytes += inflight_bytes;
    api->stats.acks_waiting++;
    api->stats.inflight_bytes += inflight_bytes;
    return replies_add(&api->acks, s->conn, sequence, bytes, inflight_bytes);
}

/* The session of an entry that leaves, its accounts settled; NULL when its connection is gone. */
static struct session *ack_settle(struct api *api, const struct reply *a)
{
    api->stats.acks_waiting--;
    api->stats.inflight_bytes -= a->charge;
    struct conn *c = net_find(api->net, a->conn);
    if (!c)
        return NULL;
    struct session *s = c->user;
    s->acks_waiting--;
    s->inflight_bytes -= a->charge;
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
    const struct reply *a;
    while ((a = replies_front(&api->acks)) && a->sequence <= sequence) {
        struct session *s = ack_settle(api, a);
        if (s)
            conn_write(s->conn, a->data, a->bytes);
        replies_drop(&api->acks);
    }
    group_joined(api, sequence);
}

/* What waits will never be durable for certain: everybody is told so, and nothing is acknowledged any more.
 */
void api_failed(void *ctx, const char *text)
{
    struct api *api = ctx;
    const struct reply *a;
    api->failed = true;
    while ((a = replies_front(&api->acks))) {
        struct wire_header h;
        if (!wire_header_decode(&h, a->data, a->bytes))
            UNREACHABLE();
        struct session *s = ack_settle(api, a);
        if (s)
            conn_error(s->conn, h.op, h.request_id, ERR_STORAGE_FAILED, text);
        replies_drop(&api->acks);
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
        return s->api->acks.sequence;
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

enum net_take ack_refuse_with(struct session *s, const struct request *rq, uint64_t sequence,
                              const struct wire_error *error, const struct duplicate_row *rows)
{
    const uint32_t rows_bytes = error->row_count ? 4 + error->row_count * (uint32_t)WIRE_EVENT_ERROR : 0;
    struct ack_reply reply = ack_reply_begin(s, sequence, 2 + 2 + error->text.len + rows_bytes, rows_bytes);
    wire_put_error(&reply.w, error);
    if (rows_bytes)
        write_u32(&reply.w, error->row_count);
    for (uint32_t i = 0; i < error->row_count; i++) {
        const struct wire_event_error row = { rows[i].event, rows[i].code, rows[i].partition,
                                              rows[i].offset };
        wire_put_event_error(&reply.w, &row);
    }
    ack_frame_end(s, &reply, rq, WIRE_REPLY | WIRE_ERROR);
    s->api->stats.refused++;
    return NET_TAKEN;
}

enum net_take ack_refuse(struct session *s, const struct request *rq, enum error code, const char *text)
{
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(text) };
    return ack_refuse_with(s, rq, 0, &body, NULL);
}

void ack_free_all(struct api *api)
{
    while (replies_front(&api->acks)) {
        api->stats.acks_waiting--;
        replies_drop(&api->acks);
    }
    replies_free(&api->acks);
}
