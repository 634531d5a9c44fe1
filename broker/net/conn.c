/* SPDX-License-Identifier: Apache-2.0
 *
 * net/conn.c: a connection's life: made, advanced, ended.
 *
 * One function decides what happens next: conn_advance(). Completions record, mark and call it; it may be
 * called too often without harm.
 */
#include "net/conn.h"

#include <sys/socket.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/net_own.h"

static void conn_linger_fire(struct timer *timer);

struct conn *conn_create(const struct net_door *door, int fd, uint32_t slot, uint32_t generation)
{
    struct conn *c = mem_zalloc(MEM_NET, sizeof(*c));
    c->door = door;
    c->net = door->net;
    c->fd = fd;
    c->slot = slot;
    c->generation = generation;
    c->state = CONN_OPEN;
    list_init(&c->turn);
    list_init(&c->starved);
    list_init(&c->resumed);
    list_init(&c->ending);
    timer_init(&c->linger, conn_linger_fire);
    c->recv_op.name = "recv";
    c->send_op.name = "send";
    c->cancel_op.name = "recv-cancel";
    c->stop_op.name = "conn-stop";
    c->out.block_bytes = NET_BLOCK_MIN;
    return c;
}

void conn_destroy(struct conn *c)
{
    CHECK(!io_busy(&c->recv_op) && !io_busy(&c->send_op) && !io_busy(&c->cancel_op) && !io_busy(&c->stop_op));
    CHECK(c->in.at == NULL && c->out.count == 0);
    list_remove(&c->turn);
    list_remove(&c->starved);
    list_remove(&c->resumed);
    list_remove(&c->ending);
    mem_free(MEM_NET, c, sizeof(*c));
}

uint64_t conn_id(const struct conn *c)
{
    return (uint64_t)c->generation << 32 | c->slot;
}

static void conn_set_state(struct conn *c, enum conn_state state)
{
    CHECK(state > c->state);
    c->state = state;
    if (!list_linked(&c->ending))
        list_append(&c->net->ending, &c->ending);
}

void conn_end(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    conn_set_state(c, CONN_FLUSHING);
    /* Also bounds a peer that does not read its last words; while the broker stops, its own deadline does. */
    if (!c->net->stopping)
        timer_start(c->net->timers, &c->linger, NET_LINGER_MS);
}

void conn_close(struct conn *c)
{
    if (c->state > CONN_FLUSHING)
        return;
    conn_set_state(c, CONN_CLOSING);
}

static void conn_linger_fire(struct timer *timer)
{
    conn_close(CONTAINER_OF(timer, struct conn, linger));
}

static void conn_stop_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    struct conn *c = CONTAINER_OF(op, struct conn, stop_op);
    if (c->state == CONN_CLOSED) {
        if (!list_linked(&c->ending))
            list_append(&c->net->ending, &c->ending); /* released at the turn's end */
        return;
    }
    conn_advance(c);
}

/* shutdown(2) ends a receive and a send that wait for the peer; only when all operations are idle may the
 * descriptor be closed, or a late completion would hit its next owner. */
static void conn_advance_closing(struct conn *c)
{
    struct net *net = c->net;
    conn_in_free(c);
    if (io_busy(&c->recv_op) || io_busy(&c->send_op)) {
        if (!c->stop_sent) {
            c->stop_sent = true;
            io_shutdown(net->io, &c->stop_op, c->fd, conn_stop_done);
        }
        return;
    }
    if (io_busy(&c->cancel_op) || io_busy(&c->stop_op))
        return;
    timer_stop(net->timers, &c->linger);
    conn_out_free(c);
    conn_set_state(c, CONN_CLOSED);
    io_close(net->io, &c->stop_op, c->fd, conn_stop_done);
}

static void conn_advance_flushing(struct conn *c)
{
    conn_in_free(c);    /* here and not in conn_end(): its caller may still be reading the frame */
    conn_recv_start(c); /* thrown away, see NET_LINGER_MS */
    if (c->out.count == 0 && !io_busy(&c->send_op) && !c->write_shut) {
        c->write_shut = true;
        (void)shutdown(c->fd, SHUT_WR);
        timer_start(c->net->timers, &c->linger, c->net->stopping ? NET_LINGER_STOP_MS : NET_LINGER_MS);
    }
}

void conn_advance(struct conn *c)
{
    switch (c->state) {
    case CONN_OPEN:
        conn_recv_start(c);
        break;
    case CONN_FLUSHING:
        conn_advance_flushing(c);
        break;
    case CONN_CLOSING:
        conn_advance_closing(c);
        break;
    case CONN_CLOSED:
        break;
    }
}
