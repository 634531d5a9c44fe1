/* SPDX-License-Identifier: Apache-2.0
 *
 * client/producer.h: a producer inside: partitions, batches on their way, and what the five files share
 * (producer.c: its life; produce.c: events in, reports out; produce_send.c: what goes out when, and answers;
 * produce_told.c: refusals of single events; produce_batch.c: buffers).
 *
 * A batch's way:  open --full or sent--> queue --> flight --answer--> done --callbacks--> free
 *                                          ^-- refused, or connection broken --'
 *
 * Invariants, per partition
 *   `queue` is in the order of the events; so is `flight`; all of `flight` is before all of `queue`, but for
 * a batch that was refused, and then nothing more is sent until `flight` is empty (`drain`). Sequence numbers
 * are given in that order, without gaps, when a batch is made ready to be sent, and stay with it for every
 * further attempt. They change only when an earlier batch has failed for good (those behind it close the gap)
 * or the producer has a new id.
 */
#ifndef RUNNEL_CLIENT_PRODUCER_H
#define RUNNEL_CLIENT_PRODUCER_H

#include <stdalign.h>

#include "client/client.h"
#include "proto/batch.h"
#include "proto/compress.h"

enum {
    /* Frame header, PRODUCE head (4), batch head (12): stand right before the batch, so that one range goes
     * out. */
    PRODUCE_BATCH_HEAD = 12,
    PRODUCE_PREFIX = WIRE_HEADER + 4 + PRODUCE_BATCH_HEAD,
    /* While so little is in flight, a further event is sent at once instead of gathered: latency counts then,
     * and the requests cost little. */
    EAGER_BYTES = 16 << 10,
    /* A new id for a batch is tried so often before its events fail. */
    RESETS_MAX = 3,
    HEADERS_MAX = 1024,
    /* Small batches of several partitions share a request. */
    GROUP_MAX = 128,
    GROUP_BATCH_BYTES = 32 << 10,
    GROUP_BYTES = 256 << 10,
};

/* Buffers are of 4 KiB, 8 KiB, ... up to what a full batch needs; or made for one large event. */
enum { BUFFER_BYTES_MIN = 4 << 10, BUFFER_TIERS_MAX = 16, BUFFER_SINGLE = 255 };

struct pbatch {
    TAILQ_ENTRY(pbatch) link;
    struct part *part;
    struct request request;    /* of the first in a request */
    struct pbatch *group_next; /* the next in the same request */
    struct outgoing out;
    struct batch_builder builder;
    uint64_t serial; /* order within the partition */
    uint32_t size;   /* of the whole allocation */
    uint8_t tier;    /* index of its size, or BUFFER_SINGLE */
    uint32_t bytes;  /* of the finished batch; 0: still being built */
    uint32_t limit;  /* of the batch */
    bool numbered;   /* has its sequence under the present id */
    bool answered;   /* the fields below are valid */
    bool in_doubt;   /* a connection broke while it was out: it may be stored */
    bool duplicate;
    bool leads;   /* in flight: the first of its request */
    bool grouped; /* in flight: not alone in its request */
    bool alone;   /* a request that it shared was refused: goes by itself from now on */
    bool thinned; /* the last answer named events, which have left it */
    uint8_t resets;
    int error;
    int32_t base_sequence;
    int64_t offset;
    int64_t retry_until_ms; /* 0: no trouble so far */
    int64_t opened_us;
    char text[192];                /* of the refusal */
    char told_text[128];           /* of the event that is being reported */
    struct wire_event_error *told; /* events that have left it, by their first numbers */
    uint32_t told_count;
    alignas(16) uint8_t data[]; /* prefix, batch, ... and from the end downwards: opaques */
};
TAILQ_HEAD(pbatch_list, pbatch);

/* The list of the producer that a partition stands in. */
enum part_place {
    PLACE_NONE,   /* nothing to send, draining, or WIRE_PRODUCER_WINDOW batches in flight */
    PLACE_OPEN,   /* only the batch being filled */
    PLACE_READY,  /* batches to send */
    PLACE_PAUSED, /* until retry_at_ms */
};

struct part {
    TAILQ_ENTRY(part) link;
    enum part_place place;
    struct runnel_producer *producer;
    uint32_t index;
    uint32_t group; /* number of the last request that took a batch from here */
    struct pbatch *open;
    struct pbatch_list queue, flight;
    uint32_t flight_count;
    uint64_t serial;
    int32_t next_sequence;
    int32_t renumber;         /* while draining: the sequence to go on with; -1: as numbered */
    uint64_t renumber_serial; /* of the batch that had it */
    bool drain;
    bool careful;      /* events were named: one batch at a time, until one is stored as it was sent */
    uint32_t attempts; /* refusals in a row */
    int64_t retry_at_ms;
    uint8_t tier_hint; /* of the last batch: what the next one starts with */
};
TAILQ_HEAD(part_list, part);

enum producer_state {
    PRODUCER_OFFLINE,     /* no connection, or the topic is not opened on it */
    PRODUCER_OPENING,     /* OPEN_TOPIC is sent */
    PRODUCER_DRAINING,    /* a new id is needed; requests under the old one are awaited */
    PRODUCER_INTRODUCING, /* INIT_PRODUCER is sent */
    PRODUCER_READY,
    PRODUCER_FAILED, /* nothing can be published any more: `error` says why */
};

struct runnel_producer {
    TAILQ_ENTRY(runnel_producer) link;
    struct runnel_client *client;
    enum producer_state state;
    struct options options;
    char topic[256];
    runnel_delivery_cb on_delivery;
    void *ctx;
    struct runnel_error error;

    struct request request; /* OPEN_TOPIC, INIT_PRODUCER */
    int64_t retry_at_ms;    /* of opening or introducing */
    uint32_t attempts;
    uint32_t handle, batch_limit; /* of this connection */
    bool idempotent, has_id;
    int64_t id;
    int16_t id_epoch;

    struct part **parts;
    uint32_t part_count, sticky;
    uint64_t clock_tick; /* when clock_ms was read */
    int64_t clock_ms;
    struct part_list open, ready, paused;
    uint32_t in_flight; /* requests */
    uint32_t groups;    /* counts them */
    uint32_t filling;   /* 1 while the newest takes on batches */
    uint64_t flight_bytes;
    bool flushing;
    struct pbatch_list done;
    uint64_t queued; /* events not reported */

    /* Buffers. */
    struct pbatch_list idle[BUFFER_TIERS_MAX];
    uint32_t tier_bytes[BUFFER_TIERS_MAX], tiers;
    uint64_t allocated, in_use;
    bool starved; /* an event found no room: open batches go out without waiting for more */
    struct packer packer;
    /* Of the event being added: the envelope's, and its own. */
    struct header_block lead;
    struct header headers[HEADERS_MAX];

    /* runnel_produce_wait() under way. */
    bool wait_next; /* the event being queued is the one */
    struct pbatch *wait_batch;
    uint32_t wait_index;
    bool wait_done;
    struct runnel_delivery wait_result;
    char wait_text[192];
};

/* What has no address has no length. */
static inline struct bytes bytes_from(const void *at, size_t len)
{
    return (struct bytes){ at, at ? (uint32_t)len : 0 };
}

/* ---- produce_batch.c ---- */

void batches_init(struct runnel_producer *p);
void batches_free(struct runnel_producer *p);
/* A buffer for a record of at most `record` bytes; NULL: buffer.bytes are in use, or memory lacks. */
struct pbatch *pbatch_take(struct runnel_producer *p, struct part *part, uint64_t record);
void pbatch_release(struct pbatch *b);
/* Adds an event: false when it does not fit. */
bool pbatch_add(struct pbatch *b, int64_t timestamp_ms, const struct runnel_event *e,
                const struct header *headers, void *opaque);
/* The same batch in a larger buffer, if there is a larger kind; NULL: none is free. */
bool pbatch_may_grow(const struct pbatch *b);
struct pbatch *pbatch_grow(struct pbatch *b);
/* The smallest kind of buffer that would have done. */
uint32_t pbatch_tier(const struct pbatch *b);
/* Numbers, compresses and completes it as far as that has not been done. */
void pbatch_finish(struct pbatch *b);
/* Bytes so far. */
uint32_t pbatch_bytes(const struct pbatch *b);
void *pbatch_opaque(const struct pbatch *b, uint32_t i);

/* Takes events out of a finished batch; false: without memory, it is as before. */
bool pbatch_without(struct pbatch *b, const uint32_t *numbers, uint32_t count);
/* Events that it was built with. */
static inline uint32_t pbatch_events(const struct pbatch *b)
{
    return (uint32_t)b->builder.count + b->told_count;
}

/* ---- produce_told.c ---- */

/* The events that a refusal names leave the batch. False: it names none, or memory lacks. */
bool pbatch_tell(struct pbatch *b, const struct wire_error *e);
/* Completes the report of an event of the batch; `at` starts as 0 and goes on with the events. */
void told_report(struct pbatch *b, uint32_t event, uint32_t *at, struct runnel_delivery *out);

/* ---- produce_send.c ---- */

void part_place(struct part *part);
/* The open batch is full or to be sent. */
void part_seal(struct part *part);
/* Sends what may be sent now. */
void produce_send(struct runnel_producer *p, int64_t now_ms);
/* Out of `flight`, and of what counts as unanswered. */
void flight_leave(struct pbatch *b);
/* A batch has its result: it is reported by the next producer_report(). */
void pbatch_settle(struct pbatch *b, int error, const char *text);
/* An id is needed anew. */
void producer_reset(struct runnel_producer *p);
/* Requests under the old id are all answered: numbers everything anew. */
void producer_renumber(struct runnel_producer *p);
/* Whether the open batch should go now. */
bool produce_eager(const struct runnel_producer *p, const struct part *part);

#endif
