/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net_own.h: what the files of this room share; nobody else includes it.
 */
#ifndef RUNNEL_NET_NET_OWN_H
#define RUNNEL_NET_NET_OWN_H

#include "base/clock.h"
#include "io/io.h"
#include "net/conn.h"
#include "net/net.h"

enum {
    /* A send is bounded so that one reader's megabytes do not hold the loop: the kernel copies inside the
     * submit. */
    NET_SEND_IOVECS = 64,
    NET_SEND_BYTES = 256 * 1024,
    /* Owned output blocks: small for the many quiet connections, large for the busy ones. */
    NET_BLOCK_MIN = 1024,
    NET_BLOCK_MAX = 64 * 1024,
    /* A paused connection goes on receiving so much before its receive is cancelled: short pauses (a turn or
     * two, while the journal catches up) then cost no cancel and no re-arm. */
    NET_HOLD_BYTES = 128 * 1024,
    /* A refused frame up to this size is thrown away and the connection lives on; a longer one is taken for
     * lost framing (the first bytes of an HTTP request read as 500 MB). */
    NET_SKIP_BYTES = 64 * 1024 * 1024,
    /* Connections beyond connections.max that are being told so. */
    NET_REFUSING_MAX = 32,
    /* How long a connection with its last words sent waits for the peer to close: closing at once would make
     * the kernel answer unread input with a reset, which can overtake those words. */
    NET_LINGER_MS = 1000,
    NET_LINGER_STOP_MS = 100, /* the same while the broker stops: it is waited for */
    NET_SWEEP_MS = 250,
    NET_FREE_SHARE = 4, /* see conn_out_room() */
    /* One large input buffer is kept for the next large frame. */
    NET_SPARE_MIN = 128 * 1024,
};

struct net_slot {
    struct conn *conn;
    uint32_t generation;
    uint32_t next_free;
};

struct net {
    struct net_options options;
    struct io *io;
    struct timers *timers;
    struct clock *clock;
    struct net_slot *slots;
    uint32_t slot_count, slot_used, free_head; /* free_head: index + 1; 0: none */
    uint32_t live, refusing; /* connections in any state; of them, those being told there is no room */
    struct list output, starved, resumed, ending;
    struct timer sweep;
    struct conn_send *send_spare;
    uint32_t send_spares;
    uint8_t *in_spare;
    uint32_t in_spare_bytes;
    uint8_t *scratch; /* where output to closed connections goes */
    uint32_t scratch_bytes;
    bool stopping;
    uint64_t short_until_ms; /* net_short() was called */
    struct net_stats stats;
};

static inline uint64_t net_now_ms(const struct net *net)
{
    return net->clock->mono_ns / 1000000;
}

/* Half of the memory for unfinished requests is in use: pauses hold nothing back any more, and half-sent
 * frames that do not move are given up. */
static inline bool net_in_short(const struct net *net)
{
    return net->stats.in_bytes > net->options.in_bytes_max / 2;
}

/* Three quarters of the memory for output are in use: those who hold it without moving are given up. */
static inline bool net_out_short(const struct net *net)
{
    return net->stats.out_bytes > net->options.send_bytes_max / 4 * 3 ||
           net_now_ms(net) < net->short_until_ms;
}

/* net.c */
void net_sweep_start(struct net *net);
void net_release(struct conn *c);

/* conn.c */
struct conn *conn_create(const struct net_door *door, int fd, uint32_t slot, uint32_t generation);
void conn_advance(struct conn *c);
void conn_destroy(struct conn *c);

/* input.c */
void conn_recv_start(struct conn *c);
void conn_in_offer(struct conn *c);
void conn_in_free(struct conn *c);

/* output.c */
void conn_send_start(struct conn *c);
void conn_out_free(struct conn *c);
void net_sends_free(struct net *net);

#endif
