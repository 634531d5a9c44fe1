/* SPDX-License-Identifier: Apache-2.0
 *
 * net/replies.c: the FIFO is a chain of blocks that replies are encoded into, one behind the other.
 */
#include "net/replies.h"

#include "base/check.h"
#include "net/conn.h"

enum { REPLIES_BLOCK_BYTES = 64 * 1024 };

struct replies_block {
    struct replies_block *next;
    uint32_t room, filled, taken;
    _Alignas(8) uint8_t data[]; /* struct reply padded to 8, the next one... */
};

void replies_init(struct replies *q, enum mem_account account)
{
    *q = (struct replies){ .account = account };
}

static uint32_t replies_padded(uint32_t bytes)
{
    return (uint32_t)sizeof(struct reply) + ((bytes + 7) & ~7u);
}

static void replies_block_add(struct replies *q, uint32_t bytes)
{
    struct replies_block *b = q->spare;
    if (b && b->room >= bytes) {
        q->spare = NULL;
    } else {
        const uint32_t usual = REPLIES_BLOCK_BYTES - sizeof(*b);
        const uint32_t room = bytes > usual ? bytes : usual;
        b = mem_alloc(q->account, sizeof(*b) + room);
        b->room = room;
    }
    b->next = NULL;
    b->filled = b->taken = 0;
    if (q->tail)
        q->tail->next = b;
    else
        q->head = b;
    q->tail = b;
}

static void replies_block_free(struct replies *q, struct replies_block *b)
{
    if (!q->spare) {
        q->spare = b;
        return;
    }
    mem_free(q->account, b, sizeof(*b) + b->room);
}

uint8_t *replies_add(struct replies *q, const struct conn *c, uint64_t sequence, uint32_t bytes,
                     uint32_t charge)
{
    const uint32_t padded = replies_padded(bytes);
    if (!q->tail || q->tail->room - q->tail->filled < padded)
        replies_block_add(q, padded);
    struct replies_block *b = q->tail;
    struct reply *r = (struct reply *)(void *)(b->data + b->filled);
    b->filled += padded;
    /* A duplicate's sequence may be an old one; it waits behind what was asked before it all the same. */
    if (sequence > q->sequence)
        q->sequence = sequence;
    *r = (struct reply){ q->sequence, conn_id(c), bytes, charge };
    return r->data;
}

const struct reply *replies_front(struct replies *q)
{
    struct replies_block *b;
    while ((b = q->head)) {
        if (b->taken < b->filled)
            return (const struct reply *)(const void *)(b->data + b->taken);
        q->head = b->next;
        if (!b->next)
            q->tail = NULL;
        replies_block_free(q, b);
    }
    return NULL;
}

void replies_drop(struct replies *q)
{
    const struct reply *r = replies_front(q);
    CHECK(r);
    q->head->taken += replies_padded(r->bytes);
}

void replies_free(struct replies *q)
{
    while (replies_front(q))
        replies_drop(q); /* connections are gone: nobody waits */
    if (q->spare)
        mem_free(q->account, q->spare, sizeof(*q->spare) + q->spare->room);
    q->spare = NULL;
}
