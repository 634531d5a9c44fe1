/* SPDX-License-Identifier: Apache-2.0
 *
 * net/replies.h: encoded replies that wait until something is durable: one FIFO for all connections of a
 * protocol.
 *
 * Sequences in it never fall, so releasing is taking from the front, and the replies of one connection leave
 * in the order in which they were added. An entry names its connection by id: of a connection that is gone
 * nothing is found, and the reply is dropped.
 * Limits: none of its own; whoever adds bounds what a connection has waiting, by `charge`.
 */
#ifndef RUNNEL_NET_REPLIES_H
#define RUNNEL_NET_REPLIES_H

#include <stdint.h>

#include "base/mem.h"

struct conn;
struct replies_block;

struct reply {
    uint64_t sequence;
    uint64_t conn;   /* conn_id() */
    uint32_t bytes;  /* of the encoded reply */
    uint32_t charge; /* what it counts for in its owner's accounts */
    _Alignas(8) uint8_t data[];
};

struct replies {
    struct replies_block *head, *tail, *spare;
    enum mem_account account;
    uint64_t sequence; /* of the last entry */
};

void replies_init(struct replies *q, enum mem_account account);
void replies_free(struct replies *q);
/* Space for an encoded reply that leaves when `sequence` is durable and those before it have left; 0: only
 * the latter. */
uint8_t *replies_add(struct replies *q, const struct conn *c, uint64_t sequence, uint32_t bytes,
                     uint32_t charge);
/* The oldest, or NULL; then replies_drop(). */
const struct reply *replies_front(struct replies *q);
void replies_drop(struct replies *q);

#endif
