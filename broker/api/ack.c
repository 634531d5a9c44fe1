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

uint8_t *ack_add(struct session *s, uint64_t sequence, uint32_t bytes, uint32_t inflight_bytes)
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

void ack_refuse(struct session *s, const struct request *rq, enum error code, const char *text)
{
    if (s->acks_waiting == 0) {
        api_refuse(s, rq, code, text);
        return;
    }
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(text) };
    const uint32_t bytes = WIRE_HEADER + 2 + 2 + body.text.len;
    struct writer w = writer_of(ack_add(s, 0, bytes, 0), bytes);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &body);
    CHECK(wire_frame_end(&w, frame, rq->op, WIRE_REPLY | WIRE_ERROR, rq->id) == bytes);
    s->api->stats.refused++;
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
