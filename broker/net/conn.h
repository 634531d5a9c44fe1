/* SPDX-License-Identifier: Apache-2.0
 *
 * net/conn.h: one connection's bytes: frames in, replies and lent slices out, close.
 *
 *   lent buffer --frames complete--> on_frame              (in place, no copy)
 *        |  rest
 *        v
 *   in (owned, grows with what was received) --complete--> on_frame
 *
 *   conn_reserve/commit --> out: pieces [owned|lent|owned|...] --one sendmsg at a time--> peer
 *
 * Invariants
 *   At most one receive and one send are in flight. Sends start only in net_turn_end(), so all replies of a
 *   turn leave together.
 *   Memory follows what was received, never what a length field announces.
 *   An idle connection holds no buffer: struct conn is all there is.
 */
#ifndef RUNNEL_NET_CONN_H
#define RUNNEL_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/io.h"
#include "io/timer.h"
#include "proto/errors.h"

struct net;
struct net_door;
struct out_block;
struct out_piece;
struct conn_send;

enum conn_state {
    CONN_OPEN,     /* frames are offered, output is sent */
    CONN_FLUSHING, /* the last words are on their way; input is thrown away */
    CONN_CLOSING,  /* operations are being ended; nothing else happens any more */
    CONN_CLOSED,   /* all idle; the descriptor's close is in flight, or done */
};

/* Why no frames are offered. */
enum conn_pause {
    CONN_PAUSE_LATER = 1 << 0, /* the layer above said NET_LATER */
    CONN_PAUSE_OUT = 1 << 1,   /* too much of its output is unsent */
};

struct conn_in {
    uint8_t *at; /* a half-received frame, or what waits while paused; NULL when empty */
    uint32_t len, cap;
    uint32_t skip;     /* bytes of a refused frame still to be thrown away */
    uint64_t moved_ms; /* when bytes last came */
};

struct conn_out {
    struct out_piece *pieces; /* a ring, in order; NULL when empty */
    uint32_t cap, head, count;
    struct out_block *block; /* where owned bytes are added */
    uint32_t block_bytes;    /* size of the next block: follows the need */
    uint32_t bytes;          /* unsent in all */
    struct conn_send *send;  /* while a send is in flight */
    uint64_t started_ms;     /* of the send in flight */
    bool want_drained;
};

struct conn {
    void *user; /* of the layer above */
    const struct net_door *door;
    int fd; /* its own; to be asked about, not to be used */
    /* the rest is net's own */
    struct net *net;
    uint32_t slot, generation;
    enum conn_state state;
    uint8_t paused;
    bool told_open, told_closed, recv_cancelled, stop_sent, write_shut;
    struct list turn;    /* in net->output: has something to send */
    struct list starved; /* in net->starved: its receive found no buffer */
    struct list resumed; /* in net->resumed: goes on in the next turn */
    struct list ending;  /* in net->ending: closed and not told yet, or all done */
    struct timer linger;
    struct io_op recv_op, send_op, cancel_op, stop_op;
    struct conn_in in;
    struct conn_out out;
};

/* Names the connection for later: net_find(). */
uint64_t conn_id(const struct conn *c);
static inline bool conn_open(const struct conn *c)
{
    return c->state == CONN_OPEN;
}

/* Space for `bytes` of output, contiguous; then conn_commit() of as many or fewer. Works on a closed
 * connection too: the bytes go nowhere. */
uint8_t *conn_reserve(struct conn *c, uint32_t bytes);
void conn_commit(struct conn *c, uint32_t bytes);
/* The same in one call, from a buffer. */
void conn_write(struct conn *c, const void *bytes, uint32_t len);
/* Adds lent bytes to the output; on_unlent gives them back once they are sent, or at once when the connection
 * is closed. */
void conn_lend(struct conn *c, const uint8_t *data, uint32_t bytes, void *pin);
/* May more be delivered? When not, conn_want_drained() asks for on_drained. */
bool conn_out_room(const struct conn *c);
void conn_want_drained(struct conn *c);
/* A refusal in the native protocol: an error frame with a sentence. */
void conn_error(struct conn *c, uint16_t op, uint32_t request_id, enum error code, const char *text);

/* Offers the frame that was refused with NET_LATER again, and those behind it. Only from the phases of a
 * turn, never from a handler of net_events. */
void conn_resume(struct conn *c);

/* Sends what is queued, then closes. */
void conn_end(struct conn *c);
/* Closes without waiting for unsent output. Both only mark: the connection goes on to exist until
 * on_closed. */
void conn_close(struct conn *c);

#endif
