/* SPDX-License-Identifier: Apache-2.0
 *
 * net/output.c: what leaves a connection: small replies coalesced into owned blocks, lent slices between
 * them, one sendmsg in flight.
 *
 * The queue is a ring of pieces in order. A send takes a snapshot of the first ones as iovecs; its completion
 * says how many bytes went, and exactly those are taken off the front. So the last piece may grow while a
 * send is in flight.
 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/net_own.h"
#include "proto/wire.h"

struct out_block {
    uint32_t cap, filled, sent;
    uint8_t data[];
};

struct out_piece {
    const uint8_t *data;
    uint32_t bytes, sent;
    struct out_block *block; /* owned; NULL: lent */
    void *pin;
};

struct conn_send {
    struct conn_send *next;
    struct msghdr msg;
    struct iovec iov[NET_SEND_IOVECS];
};

enum { NET_SENDS_SPARE = 64 };

/* ---- the queue ---- */

static struct out_piece *conn_piece_at(struct conn *c, uint32_t i)
{
    return &c->out.pieces[(c->out.head + i) & (c->out.cap - 1)];
}

static struct out_piece *conn_piece_add(struct conn *c)
{
    struct conn_out *o = &c->out;
    if (o->count == o->cap) {
        const uint32_t cap = o->cap ? o->cap * 2 : 4;
        struct out_piece *pieces = mem_alloc(MEM_NET, cap * sizeof(*pieces));
        for (uint32_t i = 0; i < o->count; i++)
            pieces[i] = *conn_piece_at(c, i);
        mem_free(MEM_NET, o->pieces, o->cap * sizeof(*pieces));
        o->pieces = pieces;
        o->cap = cap;
        o->head = 0;
    }
    return conn_piece_at(c, o->count++);
}

static void conn_block_free(struct out_block *b)
{
    mem_free(MEM_NET, b, sizeof(*b) + b->cap);
}

static void conn_out_added(struct conn *c, uint32_t bytes)
{
    struct net *net = c->net;
    c->out.bytes += bytes;
    net->stats.out_bytes += bytes;
    if (!list_linked(&c->turn) && !io_busy(&c->send_op))
        list_append(&net->output, &c->turn);
    /* When memory is short for all, each may keep only a little. */
    const bool room = net_send_room(net);
    const uint32_t max = room ? net->options.out_bytes_max : NET_BLOCK_MAX;
    if (c->out.bytes > max && !(c->paused & CONN_PAUSE_OUT)) {
        c->paused |= CONN_PAUSE_OUT;
        net->stats.pauses++;
    }
    if (net_out_short(net))
        net_sweep_start(net);
}

uint8_t *conn_reserve(struct conn *c, uint32_t bytes)
{
    struct net *net = c->net;
    if (c->state != CONN_OPEN) {
        if (net->scratch_bytes < bytes) {
            net->scratch = mem_realloc(MEM_NET, net->scratch, net->scratch_bytes, bytes);
            net->scratch_bytes = bytes;
        }
        return net->scratch;
    }
    struct conn_out *o = &c->out;
    struct out_block *b = o->block;
    if (b && b->cap - b->filled >= bytes)
        return b->data + b->filled;
    if (b && b->sent == b->filled) {
        conn_block_free(b); /* nobody refers to it any more */
    } else if (b && o->block_bytes < NET_BLOCK_MAX) {
        o->block_bytes *= 2; /* one was not enough between two sends */
    }
    const uint32_t cap = bytes > o->block_bytes ? bytes : o->block_bytes;
    b = mem_alloc(MEM_NET, sizeof(*b) + cap);
    *b = (struct out_block){ .cap = cap };
    o->block = b;
    return b->data;
}

void conn_commit(struct conn *c, uint32_t bytes)
{
    if (c->state != CONN_OPEN || bytes == 0)
        return;
    struct out_block *b = c->out.block;
    CHECK(b && b->cap - b->filled >= bytes);
    uint8_t *at = b->data + b->filled;
    b->filled += bytes;
    struct out_piece *last = c->out.count ? conn_piece_at(c, c->out.count - 1) : NULL;
    if (last && last->block == b && last->data + last->bytes == at)
        last->bytes += bytes;
    else
        *conn_piece_add(c) = (struct out_piece){ .data = at, .bytes = bytes, .block = b };
    conn_out_added(c, bytes);
}

void conn_write(struct conn *c, const void *bytes, uint32_t len)
{
    if (len == 0)
        return;
    memcpy(conn_reserve(c, len), bytes, len);
    conn_commit(c, len);
}

void conn_lend(struct conn *c, const uint8_t *data, uint32_t bytes, void *pin)
{
    struct net *net = c->net;
    if (c->state != CONN_OPEN || bytes == 0) {
        c->door->events.on_unlent(c->door->events.ctx, data, bytes, pin);
        return;
    }
    *conn_piece_add(c) = (struct out_piece){ .data = data, .bytes = bytes, .pin = pin };
    net->stats.lent_bytes += bytes;
    conn_out_added(c, bytes);
}

/* A connection may take up a share of what is still free, so that those who do not read can never use up all
 * of it between them: whoever reads finds something left. (A. K. Choudhury, E. L. Hahne, "Dynamic Queue
 * Length Thresholds for Shared-Memory Packet Switches", 1998.) */
bool conn_out_room(const struct conn *c)
{
    const struct net *net = c->net;
    const uint64_t used = net->stats.out_bytes, all = net->options.send_bytes_max;
    const uint64_t share = used < all ? (all - used) / NET_FREE_SHARE : 0;
    /* With nothing unsent there is nothing whose end could be waited for: net_send_room() decides then. */
    return c->out.bytes == 0 || (c->out.bytes < net->options.out_bytes_max / 2 && c->out.bytes < share);
}

void conn_want_drained(struct conn *c)
{
    c->out.want_drained = true;
}

void conn_error(struct conn *c, uint16_t op, uint32_t request_id, enum error code, const char *text)
{
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(text) };
    const uint32_t need = WIRE_HEADER + 2 + 2 + body.text.len + 64;
    struct writer w = writer_of(conn_reserve(c, need), need);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &body);
    const uint32_t bytes = wire_frame_end(&w, frame, op, WIRE_REPLY | WIRE_ERROR, request_id);
    CHECK(bytes);
    conn_commit(c, bytes);
}

/* ---- the native protocol's framing ---- */

static uint64_t native_size(const uint8_t *header)
{
    struct wire_header h;
    if (!wire_header_decode(&h, header, WIRE_HEADER))
        UNREACHABLE();
    return h.size >= WIRE_HEADER ? h.size : 0;
}

static void native_refuse(struct conn *c, const uint8_t *header, enum error code, const char *text)
{
    struct wire_header h = { 0 };
    if (header)
        (void)wire_header_decode(&h, header, WIRE_HEADER);
    conn_error(c, h.op, h.request_id, code, text);
}

const struct net_framing NET_NATIVE = { WIRE_HEADER, true, native_size, native_refuse };

/* ---- taking off the front ---- */

static void conn_piece_done(struct conn *c, struct out_piece *p)
{
    struct net *net = c->net;
    if (p->block) {
        p->block->sent += p->bytes;
        if (p->block->sent == p->block->filled && p->block != c->out.block)
            conn_block_free(p->block);
    } else {
        net->stats.lent_bytes -= p->bytes;
        c->door->events.on_unlent(c->door->events.ctx, p->data, p->bytes, p->pin);
    }
}

/* Everything is sent: an idle connection holds no memory. */
static void conn_out_trim(struct conn *c)
{
    struct conn_out *o = &c->out;
    if (o->block) {
        if (o->block->filled < o->block->cap / 4 && o->block_bytes > NET_BLOCK_MIN)
            o->block_bytes /= 2;
        conn_block_free(o->block);
        o->block = NULL;
    }
    mem_free(MEM_NET, o->pieces, o->cap * sizeof(*o->pieces));
    o->pieces = NULL;
    o->cap = o->head = 0;
}

static void conn_out_consume(struct conn *c, uint32_t bytes)
{
    struct conn_out *o = &c->out;
    CHECK(bytes <= o->bytes);
    o->bytes -= bytes;
    c->net->stats.out_bytes -= bytes;
    while (bytes) {
        struct out_piece *p = conn_piece_at(c, 0);
        const uint32_t left = p->bytes - p->sent;
        if (bytes < left) {
            p->sent += bytes;
            return;
        }
        bytes -= left;
        const struct out_piece done = *p;
        o->head = (o->head + 1) & (o->cap - 1);
        o->count--;
        conn_piece_done(c, (struct out_piece *)&done);
    }
    if (o->count == 0)
        conn_out_trim(c);
}

/* Drops what is unsent; no send is in flight. */
void conn_out_free(struct conn *c)
{
    CHECK(!io_busy(&c->send_op));
    if (c->out.bytes)
        conn_out_consume(c, c->out.bytes);
    if (c->out.pieces || c->out.block)
        conn_out_trim(c);
    list_remove(&c->turn);
}

/* ---- sending ---- */

static struct conn_send *net_send_take(struct net *net)
{
    struct conn_send *s = net->send_spare;
    if (!s)
        return mem_alloc(MEM_NET, sizeof(*s));
    net->send_spare = s->next;
    net->send_spares--;
    return s;
}

static void net_send_give(struct net *net, struct conn_send *s)
{
    if (net->send_spares == NET_SENDS_SPARE) {
        mem_free(MEM_NET, s, sizeof(*s));
        return;
    }
    s->next = net->send_spare;
    net->send_spare = s;
    net->send_spares++;
}

void net_sends_free(struct net *net)
{
    while (net->send_spare) {
        struct conn_send *s = net->send_spare;
        net->send_spare = s->next;
        mem_free(MEM_NET, s, sizeof(*s));
    }
    net->send_spares = 0;
}

static void conn_send_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    struct conn *c = CONTAINER_OF(op, struct conn, send_op);
    struct net *net = c->net;
    uint32_t asked = 0;
    for (size_t i = 0; i < c->out.send->msg.msg_iovlen; i++)
        asked += (uint32_t)c->out.send->iov[i].iov_len;
    net_send_give(net, c->out.send);
    c->out.send = NULL;
    if (res > 0) {
        net->stats.bytes_out += (uint32_t)res;
        conn_out_consume(c, (uint32_t)res);
    }
    if (res < 0 || (uint32_t)res < asked)
        conn_close(c); /* the connection broke */
    if (c->state <= CONN_FLUSHING && c->out.count && !list_linked(&c->turn))
        list_append(&net->output, &c->turn);
    if (c->state == CONN_OPEN) {
        const uint32_t max = net_send_room(net) ? net->options.out_bytes_max : NET_BLOCK_MAX;
        if ((c->paused & CONN_PAUSE_OUT) && c->out.bytes <= max / 2) {
            c->paused &= (uint8_t)~CONN_PAUSE_OUT;
            if (!c->paused && !list_linked(&c->resumed))
                list_append(&net->resumed, &c->resumed);
        }
        if (c->out.want_drained && conn_out_room(c)) {
            c->out.want_drained = false;
            c->door->events.on_drained(c->door->events.ctx, c);
        }
    }
    conn_advance(c);
}

void conn_send_start(struct conn *c)
{
    struct net *net = c->net;
    if (c->state > CONN_FLUSHING || io_busy(&c->send_op) || c->out.count == 0)
        return;
    struct conn_send *s = net_send_take(net);
    uint32_t bytes = 0, n = 0;
    for (; n < c->out.count && n < NET_SEND_IOVECS && bytes < NET_SEND_BYTES; n++) {
        const struct out_piece *p = conn_piece_at(c, n);
        uint32_t len = p->bytes - p->sent;
        if (len > NET_SEND_BYTES - bytes)
            len = NET_SEND_BYTES - bytes;
        s->iov[n].iov_base = (void *)(uintptr_t)(p->data + p->sent);
        s->iov[n].iov_len = len;
        bytes += len;
    }
    s->msg = (struct msghdr){ .msg_iov = s->iov, .msg_iovlen = n };
    c->out.send = s;
    c->out.started_ms = net_now_ms(net);
    net->stats.sends++;
    io_sendmsg(net->io, &c->send_op, c->fd, &s->msg, conn_send_done);
}
