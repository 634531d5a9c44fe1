/* SPDX-License-Identifier: Apache-2.0
 *
 * net/input.c: from received bytes to whole frames.
 *
 * Frames that lie whole in a lent buffer are handed up where they are. What is left over (the first part of a
 * frame, or everything behind a frame that the layer above does not want yet) is copied into `in`, which
 * grows with the bytes that really came.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "net/net_own.h"

/* ---- owned memory ---- */

static void conn_in_release(const struct conn *c, uint8_t *at, uint32_t cap)
{
    struct net *net = c->net;
    net->stats.in_bytes -= cap;
    if (!net->in_spare && cap >= NET_SPARE_MIN && cap <= c->door->frame_bytes_max) {
        net->in_spare = at;
        net->in_spare_bytes = cap;
        return;
    }
    mem_free(MEM_NET, at, cap);
}

void conn_in_free(struct conn *c)
{
    if (c->in.at)
        conn_in_release(c, c->in.at, c->in.cap);
    c->in.at = NULL;
    c->in.len = c->in.cap = 0;
}

/* The size that the frame at the start of `in` announces, once that is known and was found possible. */
static uint32_t conn_in_frame_bytes(const struct conn *c)
{
    const struct net_door *door = c->door;
    const uint64_t size = c->in.len >= door->framing->header_bytes ? door->framing->size(c->in.at) : 0;
    return size <= door->frame_bytes_max ? (uint32_t)size : 0;
}

/* Makes room for `more` bytes. False when the memory for all unfinished requests is used up: then the
 * connection is told and closed, because keeping the bytes is impossible and dropping them loses framing. */
static bool conn_in_grow(struct conn *c, uint32_t more)
{
    struct net *net = c->net;
    const uint32_t need = c->in.len + more;
    if (need <= c->in.cap)
        return true;
    if (net->stats.in_bytes - c->in.cap + need > net->options.in_bytes_max) {
        net->stats.in_short++;
        diag(DIAG_WARN, "net", "connection closed: memory for unfinished requests is used up",
             DIAG_KU("in_bytes", net->stats.in_bytes), DIAG_KU("connection", c->slot));
        c->door->framing->refuse(
            c, NULL, ERR_TOO_MANY_IN_FLIGHT,
            "the broker's memory for unfinished requests is used up (inflight.bytes): send less at once");
        conn_end(c);
        return false;
    }
    const uint32_t frame = conn_in_frame_bytes(c);
    if (net->in_spare && net->in_spare_bytes >= need && need >= NET_HOLD_BYTES / 4) {
        if (c->in.len) /* at is NULL before the first byte, and memcpy may not see that */
            memcpy(net->in_spare, c->in.at, c->in.len);
        uint8_t *old = c->in.at;
        const uint32_t old_cap = c->in.cap;
        c->in.at = net->in_spare;
        c->in.cap = net->in_spare_bytes;
        net->in_spare = NULL;
        net->stats.in_bytes += c->in.cap;
        if (old)
            conn_in_release(c, old, old_cap);
        return true;
    }
    uint32_t cap = c->in.cap ? c->in.cap * 2 : 256;
    if (frame && cap > frame)
        cap = frame;
    if (cap < need)
        cap = need;
    c->in.at = mem_realloc(MEM_NET, c->in.at, c->in.cap, cap);
    net->stats.in_bytes += cap - c->in.cap;
    c->in.cap = cap;
    return true;
}

static void conn_in_add(struct conn *c, const uint8_t *data, uint32_t len)
{
    if (len == 0 || !conn_in_grow(c, len))
        return;
    memcpy(c->in.at + c->in.len, data, len);
    c->in.len += len;
    c->in.moved_ms = net_now_ms(c->net);
    if (net_in_short(c->net))
        net_sweep_start(c->net);
}

/* How much a paused connection receives before its receive is cancelled. */
static uint32_t conn_hold_bytes(const struct conn *c)
{
    return net_in_short(c->net) ? 0 : NET_HOLD_BYTES;
}

/* ---- frames ---- */

/* Judges the size field before anything is allocated for it. Returns false when the frame is refused. */
static bool conn_size_ok(struct conn *c, const uint8_t *frame, uint32_t *size)
{
    const struct net_door *door = c->door;
    const uint64_t bytes = door->framing->size(frame);
    const uint32_t max = door->frame_bytes_max;
    *size = bytes <= UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    if (bytes && bytes <= max)
        return true;
    char text[160];
    c->net->stats.frames_refused++;
    if (bytes == 0) {
        snprintf(text, sizeof(text),
                 "the frame's size is smaller than a frame's header (%u): framing is lost",
                 door->framing->header_bytes);
        door->framing->refuse(c, frame, ERR_FRAME_INVALID, text);
        conn_end(c);
    } else {
        snprintf(text, sizeof(text), "frame of %u bytes: the broker takes at most %u (frame.bytes.max)",
                 *size, max);
        door->framing->refuse(c, frame, ERR_FRAME_TOO_LARGE, text);
        if (!door->framing->skips || bytes > NET_SKIP_BYTES)
            conn_end(c);
    }
    return false;
}

/* Hands up the whole frames in `data`; returns how many bytes are done with. */
static uint32_t conn_parse(struct conn *c, const uint8_t *data, uint32_t len)
{
    struct net *net = c->net;
    const struct net_events *events = &c->door->events;
    const uint32_t header = c->door->framing->header_bytes;
    uint32_t at = 0;
    while (c->state == CONN_OPEN && !c->paused && len - at >= header) {
        uint32_t size;
        if (!conn_size_ok(c, data + at, &size)) {
            if (c->state != CONN_OPEN)
                break;
            const uint32_t here = size < len - at ? size : len - at;
            c->in.skip = size - here;
            at += here;
            continue;
        }
        if (len - at < size)
            break;
        if (events->on_frame(events->ctx, c, data + at, size) == NET_LATER) {
            c->paused |= CONN_PAUSE_LATER;
            net->stats.pauses++;
            break;
        }
        net->stats.frames_in++;
        at += size;
    }
    return at;
}

/* Adds to a split frame what it lacks, and no more: what follows it is parsed in place. */
static uint32_t conn_gather(struct conn *c, const uint8_t *data, uint32_t len)
{
    const uint32_t header = c->door->framing->header_bytes;
    uint32_t used = 0;
    if (c->in.len < header) {
        used = header - c->in.len;
        used = used < len ? used : len;
        conn_in_add(c, data, used);
        if (c->in.len < header || c->state != CONN_OPEN)
            return used;
    }
    uint32_t size;
    if (!conn_size_ok(c, c->in.at, &size)) {
        if (c->state == CONN_OPEN) {
            c->in.skip = size - c->in.len;
            conn_in_free(c);
        }
        return used;
    }
    uint32_t lacks = size - c->in.len;
    if (lacks > len - used)
        lacks = len - used;
    conn_in_add(c, data + used, lacks);
    used += lacks;
    if (c->state == CONN_OPEN && c->in.len == size) {
        c->net->stats.frames_gathered++;
        if (conn_parse(c, c->in.at, size) == size)
            conn_in_free(c);
    }
    return used;
}

/* Received bytes, in order. */
static void conn_take(struct conn *c, const uint8_t *data, uint32_t len)
{
    c->net->stats.bytes_in += len;
    while (len && c->state == CONN_OPEN) {
        uint32_t used;
        if (c->in.skip) {
            used = c->in.skip < len ? c->in.skip : len;
            c->in.skip -= used;
        } else if (c->paused) {
            used = len;
            conn_in_add(c, data, len);
        } else if (c->in.len) {
            used = conn_gather(c, data, len);
        } else {
            used = conn_parse(c, data, len);
            if (used < len && c->state == CONN_OPEN && !c->in.skip) {
                conn_in_add(c, data + used, len - used);
                used = len;
            }
        }
        data += used;
        len -= used;
    }
    if (c->state > CONN_OPEN)
        conn_in_free(c);
}

/* Offers again what waits in `in`. */
void conn_in_offer(struct conn *c)
{
    if (c->state != CONN_OPEN || c->paused)
        return;
    if (c->in.len) {
        const uint32_t used = conn_parse(c, c->in.at, c->in.len);
        if (c->state != CONN_OPEN || used == c->in.len) {
            conn_in_free(c);
        } else if (used) {
            c->in.len -= used;
            memmove(c->in.at, c->in.at + used, c->in.len);
        }
    }
    conn_advance(c);
}

void conn_resume(struct conn *c)
{
    c->paused &= (uint8_t)~CONN_PAUSE_LATER;
    conn_in_offer(c);
}

/* ---- receiving ---- */

static void conn_cancel_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)res; /* -ENOENT, -EALREADY: it had ended by itself */
    (void)flags;
    struct conn *c = CONTAINER_OF(op, struct conn, cancel_op);
    conn_advance(c);
}

static void conn_recv_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct conn *c = CONTAINER_OF(op, struct conn, recv_op);
    struct net *net = c->net;
    if (flags & IO_DATA) {
        uint16_t buffer;
        const uint8_t *data = io_recv_take(net->io, op, flags, &buffer);
        if (c->state == CONN_OPEN)
            conn_take(c, data, (uint32_t)res);
        io_recv_return(net->io, buffer);
    }
    if (!(flags & IO_MORE)) {
        c->recv_cancelled = false;
        if (res == -ENOBUFS) {
            /* Flow control, not failure: armed again when the turn ends and all buffers are back. */
            if (!list_linked(&c->starved))
                list_append(&net->starved, &c->starved);
            if (c->state <= CONN_FLUSHING)
                return;
        } else if (res == 0 || (res < 0 && res != -ECANCELED)) {
            conn_close(c); /* the peer finished, or the connection broke */
        }
    }
    if (c->paused && c->in.len > conn_hold_bytes(c) && io_busy(op) && !c->recv_cancelled &&
        !io_busy(&c->cancel_op)) {
        c->recv_cancelled = true;
        io_cancel(net->io, &c->cancel_op, op, conn_cancel_done);
    }
    conn_advance(c);
}

/* Receives unless enough is waiting already. */
void conn_recv_start(struct conn *c)
{
    if (io_busy(&c->recv_op) || io_busy(&c->cancel_op))
        return;
    if (c->paused && c->in.len > conn_hold_bytes(c))
        return;
    io_recv(c->net->io, &c->recv_op, c->fd, conn_recv_done);
}
