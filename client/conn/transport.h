/* SPDX-License-Identifier: Apache-2.0
 *
 * client/conn/transport.h: the socket and its buffers: bytes out, frames in.
 *
 * Out: control frames are copied into one buffer; batches are sent from where they were built, by reference.
 * The rest of a part-sent frame goes first, then the control bytes, then the other batches in order: so at
 * most one of the two is ever part-sent, and no frame is torn.
 *
 * In: frames are received into large blocks and lie contiguous. Delivered batches stay where they were
 * received until the consumer has read them: they pin their block. When the rest of a block is too small for
 * the frame that is coming, the bytes of that frame which are there already move to the next block (or to the
 * front of this one when nobody pins it).
 */
#ifndef RUNNEL_CLIENT_CONN_TRANSPORT_H
#define RUNNEL_CLIENT_CONN_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "proto/wire.h"

enum {
    TRANSPORT_ADDRESSES_MAX = 8,
    TRANSPORT_BLOCK_BYTES = 1 << 20,       /* several of the broker's 256 KiB deliveries */
    TRANSPORT_RECEIVE_BYTES = 512 << 10,   /* by one call: what is read stays in the cache until it is used */
    TRANSPORT_CONTROL_BYTES_MAX = 9 << 20, /* 64 settings of the longest name and value */
    TRANSPORT_IOV_MAX = 32,                /* frames by one sendmsg */
    TRANSPORT_BLOCKS_IDLE_MAX = 2,         /* kept for the next use */
    TRANSPORT_FRAME_FIRST_MAX = 64 << 10,  /* a frame before the broker told its limits */
};

struct address {
    struct sockaddr_storage at;
    socklen_t len;
};

struct address_list {
    struct address items[TRANSPORT_ADDRESSES_MAX];
    uint32_t count;
};

/* Parses "tcp://HOST:PORT", "HOST:PORT" ([V6] in brackets) and "unix:PATH", and looks the host up (blocks).
 * 0, or an error code and a sentence in `why` (256 bytes). */
int transport_resolve(const char *url, struct address_list *out, char *why);

/* Received bytes; `pins` counts the deliveries that still lie in it. */
struct block {
    TAILQ_ENTRY(block) link;
    uint32_t size, pins, pinned_bytes;
    uint8_t data[];
};
TAILQ_HEAD(block_list, block);

/* A frame sent from its owner's memory, which stays untouched until it has been sent. */
struct outgoing {
    TAILQ_ENTRY(outgoing) link;
    const uint8_t *at;
    uint32_t len, sent;
    bool queued;
    bool follows; /* belongs to the frame that the one before it began */
};
TAILQ_HEAD(outgoing_list, outgoing);

struct transport {
    int fd; /* -1: none */
    bool want_write;
    struct outgoing_list out;
    void (*on_sent)(void *ctx, struct outgoing *o);
    void *ctx;
    uint8_t *control;
    uint32_t control_size, control_from, control_to;

    struct block *in;
    uint32_t in_from, in_to;
    uint32_t frame_max;
    struct block_list idle;
    uint32_t idle_count;
    void (*on_retire)(void *ctx, struct block *b); /* a pinned block is left behind */
};

void transport_init(struct transport *t, void *ctx);
void transport_free(struct transport *t);
/* Starts connecting: 0, or -errno. */
int transport_open(struct transport *t, const struct address *to);
/* Takes over a connected descriptor (tests). */
void transport_adopt(struct transport *t, int fd);
/* 1 connected, 0 not yet, -errno. */
int transport_connected(struct transport *t);
/* Closes, and forgets what was queued either way; pinned blocks stay with their owners. */
void transport_close(struct transport *t);

/* Room for `bytes` more control bytes, or NULL. Give them with transport_control_add(). */
uint8_t *transport_control_room(struct transport *t, uint32_t bytes);
void transport_control_add(struct transport *t, uint32_t bytes);
void transport_queue(struct transport *t, struct outgoing *o);
bool transport_pending(const struct transport *t);
/* Sends as much as goes: 0, or -errno. */
int transport_send(struct transport *t);

/* Receives once: bytes, 0 when nothing is there, -errno (-ECONNRESET at the end of the stream, -ENOMEM). */
int64_t transport_receive(struct transport *t);
/* The next whole frame: 1 and its header and body (in t->in, lent until the next receive or longer when
 * pinned), 0 when there is none, -1 when the size is impossible. */
int transport_frame(struct transport *t, struct wire_header *h, struct reader *body);
void transport_pin(struct block *b, uint32_t bytes);
void transport_unpin(struct transport *t, struct block *b, uint32_t bytes);
/* A block of its own for `bytes`; NULL without memory. */
struct block *transport_block_new(uint32_t bytes);

#endif
