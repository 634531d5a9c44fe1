/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net.h: all connections of one shard: who is connected, what they may cost together, and the two phases
 * in which they act.
 *
 * This room moves bytes and knows frames by their length only; what a frame means is decided above, through
 * the `struct net_door` by which a connection came in: one for each protocol, or listener. Nothing above is
 * included here.
 *
 * Invariants
 *   A handler of net_events is called from a receive or send completion, from conn_resume(), net_turn_begin()
 *   or net_turn_end(), and never from inside a call that the layer above made on a connection (but for
 *   on_unlent, which says only that a pin is free again).
 *   No lent receive buffer is kept beyond the handler that got it: a paused or half-received frame is copied,
 *   so a few stuck connections cannot take the pool away from the others.
 * Limits: every field of `struct net_options`.
 */
#ifndef RUNNEL_NET_NET_H
#define RUNNEL_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/stats.h"
#include "io/timer.h"
#include "proto/errors.h"

struct clock;
struct conn;
struct io;
struct net;

struct net_options {
    uint32_t connections_max;
    uint32_t out_bytes_max;  /* of one connection: its requests wait while more than this is unsent */
    uint64_t in_bytes_max;   /* of all: half-received and waiting requests */
    uint64_t send_bytes_max; /* of all: unsent output, lent bytes included */
    uint32_t stall_ms; /* a send without progress for so long ends its connection when memory is short */
};

/* What became of a frame. */
enum net_take {
    NET_TAKEN,
    NET_LATER, /* not now: the connection pauses and the same frame is offered again by conn_resume() */
};

struct net_events {
    void *ctx;
    void (*on_open)(void *ctx, struct conn *c);
    /* One whole frame, header included; the bytes are lent for the call. */
    enum net_take (*on_frame)(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes);
    /* conn_want_drained() was called, and there is room for output now. */
    void (*on_drained)(void *ctx, struct conn *c);
    /* Bytes given to conn_lend() are not needed any more. */
    void (*on_unlent)(void *ctx, const uint8_t *data, uint32_t bytes, void *pin);
    /* The connection is gone: forget it. Called once for each on_open. */
    void (*on_closed)(void *ctx, struct conn *c);
};

/* How a protocol's bytes are cut into frames. */
struct net_framing {
    uint32_t header_bytes; /* so many tell a frame's size */
    bool skips;            /* a connection outlives a frame that is too large */
    /* The size of the frame that begins so, header included; 0: no frame begins so. */
    uint64_t (*size)(const uint8_t *header);
    /* Tells the peer, if the protocol can, why the frame that begins so is not taken; NULL: it is about the
     * connection, which ends. */
    void (*refuse)(struct conn *c, const uint8_t *header, enum error code, const char *text);
};
/* Of the native protocol. */
extern const struct net_framing NET_NATIVE;

/* What connections speak, and to whom. Lent to the listeners and connections that use it. */
struct net_door {
    struct net *net;
    const struct net_framing *framing;
    uint32_t frame_bytes_max; /* larger frames are refused */
    struct net_events events;
};

#define NET_STATS(X)                                                                                         \
    X(connections, STAT_GAUGE, "connections open")                                                           \
    X(accepted, STAT_COUNTER, "connections accepted")                                                        \
    X(refused, STAT_COUNTER, "connections refused at connections.max")                                       \
    X(accept_pauses, STAT_COUNTER, "times accepting paused for lack of descriptors")                         \
    X(bytes_in, STAT_COUNTER, "bytes received")                                                              \
    X(frames_in, STAT_COUNTER, "frames taken")                                                               \
    X(frames_gathered, STAT_COUNTER, "frames that were split over buffers and copied together")              \
    X(frames_refused, STAT_COUNTER, "frames of an impossible or forbidden size")                             \
    X(bytes_out, STAT_COUNTER, "bytes sent")                                                                 \
    X(sends, STAT_COUNTER, "send operations")                                                                \
    X(pauses, STAT_COUNTER, "times a connection had to wait with its requests")                              \
    X(slow_readers, STAT_COUNTER, "connections closed because they did not read")                            \
    X(in_short, STAT_COUNTER, "connections closed because memory for unfinished requests was used up")       \
    X(in_bytes, STAT_GAUGE, "memory in half-received and waiting requests")                                  \
    X(out_bytes, STAT_GAUGE, "output not sent yet, lent bytes included")                                     \
    X(lent_bytes, STAT_GAUGE, "of it, bytes lent from tails and history")

struct net_stats {
    NET_STATS(STAT_FIELD)
};

struct net *net_create(const struct net_options *options, struct io *io, struct timers *timers,
                       struct clock *clock);
void net_reload(struct net *net, const struct net_options *options);
/* net_idle() must hold. */
void net_destroy(struct net *net);

/* Takes over a connected socket. */
void net_add(const struct net_door *door, int fd);
/* A listener had to pause for lack of descriptors. */
void net_accept_paused(struct net *net);
/* The connection behind an id that conn_id() gave, if it is still open. */
struct conn *net_find(struct net *net, uint64_t id);
/* May more bytes be lent just now? When not, wait for on_unlent. */
bool net_send_room(const struct net *net);

/* Memory that connections hold is short somewhere above: for the next while those that do not read are
 * closed, as when send_bytes_max is short. */
void net_short(struct net *net);

/* Before the store's end of turn: connections that waited for their own output go on. */
void net_turn_begin(struct net *net);
/* The end of each turn: one send per connection with output, receives that found no buffer, closed slots. */
void net_turn_end(struct net *net);
/* True when the next turn must not sleep. */
bool net_busy(const struct net *net);

/* Stopping: every connection sends what it has, then closes. */
void net_stop(struct net *net);
/* As net_stop, without waiting for unsent output. */
void net_stop_now(struct net *net);
bool net_idle(const struct net *net);

const struct net_stats *net_stats(struct net *net);
void net_stats_visit(struct net *net, stat_visit visit, void *ctx);

#endif
