/* SPDX-License-Identifier: Apache-2.0
 *
 * client/consumer.h: a consumer inside: one subscription per partition (subscription.c), and the deliveries
 * that wait to be read, in place, where they were received (consumer.c).
 *
 * Invariants
 *   Each queued delivery pins its block once; so does the one being read.
 *   A subscription's `next` only grows; records below it are never given out. So after a broken connection it
 *   subscribes again at `next`, and whatever comes twice is dropped.
 *   What the broker may still send (`credit_left`) and what is queued are never more than the credit
 * together, but for one batch.
 */
#ifndef RUNNEL_CLIENT_CONSUMER_H
#define RUNNEL_CLIENT_CONSUMER_H

#include "client/client.h"
#include "proto/batch.h"
#include "proto/compress.h"

enum {
    SUBSCRIBES_MAX = 64,         /* asked for at a time: a topic may have a thousand partitions */
    CREDIT_BYTES_MIN = 16 << 10, /* of one partition; a larger batch comes all the same, by itself */
    DELIVERIES_MAX = 1 << 24,    /* queued: a credit of 1 GiB in the smallest batches */
    BATCH_SIGNED_FROM = 21,      /* a batch's CRC covers all from this byte on */
};

enum subscription_state {
    SUB_IDLE,  /* to be asked for, not before retry_at_ms */
    SUB_ASKED, /* SUBSCRIBE is sent */
    SUB_LIVE,  /* the broker pushes */
    SUB_DEAD,  /* ended for good: `error` says why */
};

struct subscription {
    struct runnel_consumer *consumer;
    enum subscription_state state;
    uint32_t partition, index;
    uint32_t id; /* on this connection; 0: none */
    struct request request;
    struct wire_position position; /* where to begin, until `next` is known */
    int64_t next;                  /* -1: not known yet */
    int64_t start, end;            /* the partition's, when last told */
    int64_t begin_end;             /* its end when the consumer began */
    int64_t credit_left;
    uint32_t to_return; /* read, and not yet given back as credit */
    uint32_t attempts;
    int64_t retry_at_ms;
    bool error_due; /* runnel_next() has not told yet */
    bool broken;    /* what is still queued of it is not to be read */
    int error;
    char text[160];
};

/* A DELIVER frame's batches, where they were received; or (block NULL) the place in the order of deliveries
 * where the subscription's end is told. */
struct delivery {
    struct block *block;
    const uint8_t *at;
    uint32_t len;
    uint32_t sub_id; /* credit goes back only to the same subscription */
    struct subscription *sub;
};

enum consumer_state { CONSUMER_OFFLINE, CONSUMER_OPENING, CONSUMER_OPEN, CONSUMER_FAILED };

struct runnel_consumer {
    TAILQ_ENTRY(runnel_consumer) link;
    struct runnel_client *client;
    enum consumer_state state;
    struct options options;
    char topic[256];
    struct runnel_error error;
    struct request request;
    int64_t retry_at_ms;
    uint32_t attempts;
    uint32_t handle, partitions;

    struct subscription *subs;
    uint32_t sub_count, idle_count, asked_count, dead_count, unresolved;
    bool refused;       /* a subscription ended before it began: there is no such consumer */
    uint32_t credit;    /* of each */
    uint32_t behind[2]; /* runnel_at_end(): the subscription that was not at its end last time */

    struct delivery *queue; /* a ring */
    uint32_t queue_size, queue_from, queue_count;

    /* Being read. */
    bool in_delivery, in_batch;
    struct delivery now;
    const uint8_t *at, *end; /* of the delivery's batches: what is left */
    struct batch batch;
    struct record_iter iter;
    struct packer packer;
};

/* ---- consumer.c ---- */

/* Has runnel_next() tell the subscription's error behind what is queued already. */
void consumer_queue_end(struct runnel_consumer *k, struct subscription *s);

/* ---- subscription.c ---- */

/* Makes the subscriptions once the number of partitions is known; false: the option names one that is not
 * there, or memory lacks (the client's error says). */
bool subscriptions_make(struct runnel_consumer *k);
void subscriptions_advance(struct runnel_consumer *k, int64_t now_ms);
void subscription_end(struct subscription *s, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `bytes` of deliveries were read. */
void subscription_return(struct subscription *s, uint32_t id, uint32_t bytes);
/* The broker ends it, perhaps for the moment only. */
void subscription_ended(struct subscription *s, int code, struct bytes text);
/* The connection broke: to be asked for again. */
void subscription_lost(struct subscription *s);
void subscription_forget(struct subscription *s);
void subscription_cancel(struct subscription *s);
struct subscription *subscription_find(const struct runnel_client *c, uint32_t id);

#endif
