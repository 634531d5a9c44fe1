/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net.c: the table of connections and the two phases of a turn.
 *
 * Slots live in a growable table of pointers; a slot's generation rises each time it is given out, so an id
 * kept by somebody else (an acknowledgement waiting for the journal) never finds the slot's next owner.
 */
#include "net/net.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "net/net_own.h"

static void net_sweep(struct timer *timer);

struct net *net_create(const struct net_options *options, struct io *io, struct timers *timers,
                       struct clock *clock)
{
    struct net *net = mem_zalloc(MEM_NET, sizeof(*net));
    net->options = *options;
    net->io = io;
    net->timers = timers;
    net->clock = clock;
    list_init(&net->output);
    list_init(&net->starved);
    list_init(&net->resumed);
    list_init(&net->ending);
    timer_init(&net->sweep, net_sweep);
    return net;
}

void net_reload(struct net *net, const struct net_options *options)
{
    net->options = *options;
}

void net_destroy(struct net *net)
{
    CHECK(net_idle(net));
    CHECK(net->stats.in_bytes == 0 && net->stats.out_bytes == 0 && net->stats.lent_bytes == 0);
    timer_stop(net->timers, &net->sweep);
    net_sends_free(net);
    mem_free(MEM_NET, net->in_spare, net->in_spare_bytes);
    mem_free(MEM_NET, net->scratch, net->scratch_bytes);
    mem_free(MEM_NET, net->slots, net->slot_count * sizeof(*net->slots));
    mem_free(MEM_NET, net, sizeof(*net));
}

/* ---- slots ---- */

static uint32_t net_slot_take(struct net *net)
{
    if (net->free_head) {
        const uint32_t slot = net->free_head - 1;
        net->free_head = net->slots[slot].next_free;
        return slot;
    }
    if (net->slot_used == net->slot_count) {
        const uint32_t count = net->slot_count ? net->slot_count * 2 : 16;
        net->slots = mem_realloc(MEM_NET, net->slots, net->slot_count * sizeof(*net->slots),
                                 count * sizeof(*net->slots));
        for (uint32_t i = net->slot_count; i < count; i++)
            net->slots[i] = (struct net_slot){ 0 };
        net->slot_count = count;
    }
    return net->slot_used++;
}

void net_add(const struct net_door *door, int fd)
{
    struct net *net = door->net;
    const bool full = net->stats.connections >= net->options.connections_max;
    if (net->stopping || (full && net->refusing == NET_REFUSING_MAX)) {
        close(fd);
        net->stats.refused += full;
        return;
    }
    const uint32_t slot = net_slot_take(net);
    struct conn *c = conn_create(door, fd, slot, ++net->slots[slot].generation);
    net->slots[slot].conn = c;
    net->live++;
    if (full) {
        net->refusing++;
        net->stats.refused++;
        diag(DIAG_WARN, "net", "connection refused: connections.max is reached",
             DIAG_KU("connections", net->stats.connections));
        door->framing->refuse(c, NULL, ERR_TOO_MANY_CONNECTIONS,
                              "all connection slots are in use: close some, or raise connections.max");
        conn_end(c);
    } else {
        net->stats.connections++;
        net->stats.accepted++;
        c->told_open = true;
        door->events.on_open(door->events.ctx, c);
    }
    conn_advance(c);
}

void net_accept_paused(struct net *net)
{
    net->stats.accept_pauses++;
}

struct conn *net_find(struct net *net, uint64_t id)
{
    const uint32_t slot = (uint32_t)id;
    if (slot >= net->slot_used)
        return NULL;
    struct conn *c = net->slots[slot].conn;
    return c && c->generation == (uint32_t)(id >> 32) && c->state == CONN_OPEN ? c : NULL;
}

/* The end of a connection: everything about it is idle. */
void net_release(struct conn *c)
{
    struct net *net = c->net;
    struct net_slot *slot = &net->slots[c->slot];
    CHECK(slot->conn == c);
    slot->conn = NULL;
    slot->next_free = net->free_head;
    net->free_head = c->slot + 1;
    net->live--;
    net->refusing -= !c->told_open;
    conn_destroy(c);
}

bool net_send_room(const struct net *net)
{
    return net->stats.out_bytes < net->options.send_bytes_max;
}

/* ---- phases ---- */

void net_turn_begin(struct net *net)
{
    struct list now;
    list_init(&now);
    struct list *node;
    while ((node = list_pop(&net->resumed)))
        list_append(&now, node);
    while ((node = list_pop(&now)))
        conn_in_offer(CONTAINER_OF(node, struct conn, resumed));
}

void net_turn_end(struct net *net)
{
    /* Sends first: what the turn produced leaves before anything else is looked at. */
    struct list *node;
    while ((node = list_pop(&net->output)))
        conn_send_start(CONTAINER_OF(node, struct conn, turn));
    /* All lent buffers are back by now: nobody keeps one beyond its handler. */
    while ((node = list_pop(&net->starved)))
        conn_advance(CONTAINER_OF(node, struct conn, starved));
    /* Closed connections last: nothing of this turn refers to them any more once on_closed was told. */
    struct list ending;
    list_init(&ending);
    while ((node = list_pop(&net->ending)))
        list_append(&ending, node);
    while ((node = list_pop(&ending))) {
        struct conn *c = CONTAINER_OF(node, struct conn, ending);
        if (c->told_open && !c->told_closed) {
            c->told_closed = true;
            net->stats.connections--;
            c->door->events.on_closed(c->door->events.ctx, c);
        }
        if (c->state == CONN_CLOSED && !io_busy(&c->stop_op))
            net_release(c);
        else
            conn_advance(c);
    }
}

bool net_busy(const struct net *net)
{
    return !list_empty(&net->resumed) || !list_empty(&net->output) || !list_empty(&net->ending) ||
           !list_empty(&net->starved);
}

static void net_each(struct net *net, void (*act)(struct conn *c))
{
    for (uint32_t i = 0; i < net->slot_used; i++) {
        if (net->slots[i].conn)
            act(net->slots[i].conn);
    }
}

void net_stop(struct net *net)
{
    net->stopping = true;
    net_each(net, conn_end);
}

void net_stop_now(struct net *net)
{
    net->stopping = true;
    net_each(net, conn_close);
}

bool net_idle(const struct net *net)
{
    return net->live == 0;
}

/* ---- slow readers ---- */

/* Runs while memory is short. Progress of a send is not visible before it ends, but a send is at most
 * NET_SEND_BYTES: one that takes longer than the stall time-out is slower than any reader we wait for. */
void net_sweep_start(struct net *net)
{
    if (!timer_running(&net->sweep))
        timer_start(net->timers, &net->sweep, NET_SWEEP_MS);
}

static void net_sweep_input(struct conn *c)
{
    struct net *net = c->net;
    if (c->state != CONN_OPEN || c->in.len == 0 || c->paused ||
        net_now_ms(net) - c->in.moved_ms < net->options.stall_ms)
        return;
    net->stats.in_short++;
    diag(DIAG_WARN, "net", "connection closed: its half-sent frame held memory that others need",
         DIAG_KU("connection", c->slot), DIAG_KU("bytes", c->in.len),
         DIAG_KU("stalled_ms", net_now_ms(net) - c->in.moved_ms));
    conn_close(c);
}

static void net_sweep_output(struct conn *c)
{
    struct net *net = c->net;
    if (c->state > CONN_FLUSHING || !io_busy(&c->send_op) ||
        net_now_ms(net) - c->out.started_ms < net->options.stall_ms)
        return;
    net->stats.slow_readers++;
    diag(DIAG_WARN, "net", "connection closed: it does not read what it asked for",
         DIAG_KS("error", error_name(ERR_SLOW_READER)), DIAG_KU("connection", c->slot),
         DIAG_KU("unsent_bytes", c->out.bytes), DIAG_KU("stalled_ms", net_now_ms(net) - c->out.started_ms));
    conn_close(c);
}

void net_short(struct net *net)
{
    net->short_until_ms = net_now_ms(net) + 2 * NET_SWEEP_MS;
    net_sweep_start(net);
}

static void net_sweep(struct timer *timer)
{
    struct net *net = CONTAINER_OF(timer, struct net, sweep);
    const bool in_short = net_in_short(net), out_short = net_out_short(net);
    if (in_short)
        net_each(net, net_sweep_input);
    if (out_short)
        net_each(net, net_sweep_output);
    if (in_short || out_short)
        net_sweep_start(net);
}

/* ---- figures ---- */

const struct net_stats *net_stats(struct net *net)
{
    return &net->stats;
}

#define STAT_ROOM "net"
void net_stats_visit(struct net *net, stat_visit visit, void *ctx)
{
    const struct net_stats *s = &net->stats;
    NET_STATS(STAT_VISIT)
}
