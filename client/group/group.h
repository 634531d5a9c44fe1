/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/group.h: a member of a consumer group inside: one share per assignment, the deliveries that
 * wait to be read, in place, and what was given out and is not settled (group.c: its life; deliver.c:
 * deliveries in, dropped, moved; read.c: events out; settle.c: acknowledging and refusing; produce.c:
 * publishing and acknowledging as one).
 *
 * An event's way:  queued --runnel_group_next--> started --ack--> pending --sent--> in doubt --answer--> gone
 *                    |                              `--nack--> gone
 *                    `-- revoked or closing: released; withdrawn by the broker: dropped
 *
 * Invariants
 *   An event stands in at most one of a share's sets. `started`, `pending`, `sent` and `later` together are
 *   what the client tells to hold when it comes back after a broken connection; all else the broker takes
 *   back then, so the queue is dropped with the connection.
 *   Each queued delivery pins the block of its rows and that of its batches; so does the one being read, and
 *   each share that of the last batch delivered for it, which later deliveries may refer to.
 *   At most one acknowledgement waits for its answer (`confirm`): it covers `sent`; `later` was sent after
 * it.
 */
#ifndef RUNNEL_CLIENT_GROUP_GROUP_H
#define RUNNEL_CLIENT_GROUP_GROUP_H

#include "client/client.h"
#include "client/group/ranges.h"
#include "proto/batch.h"
#include "proto/compress.h"
#include "proto/wire_group.h"

enum {
    GROUP_MEMBER_ID_MAX = 63,
    GROUP_UNPACKED = 8, /* batches that are kept uncompressed */
    GROUP_DELIVERIES_MAX = 1 << 22,
    GROUP_SHARES_MAX = 1 << 20,
    GROUP_HELD_MAX = 60000, /* rows in a GROUP_JOIN */
};

/* A place in a batch: the records before `passed` have been looked at; `next` is the one after, if `have`. */
struct cursor {
    const uint8_t *at; /* the batch; NULL: nowhere */
    struct batch batch;
    struct bytes records;
    struct record_iter iter;
    struct record next;
    bool have;
    int64_t passed;
    struct unpacked *unpacked; /* where its records are, if they were compressed */
};

struct unpacked {
    struct packer packer;
    struct share *owner;
    uint64_t used;
};

/* An assignment: a partition that is this member's, or that it competes for. */
struct share {
    uint32_t id, partition;
    bool live;   /* false: revoked; stays until what was started is settled */
    bool listed; /* named since the last join */
    bool orphan; /* of an earlier membership: goes when the event that is lent has been read */
    struct ranges started, pending, sent, later;
    TAILQ_ENTRY(share) acks_link, doubts_link;
    bool in_acks, in_doubts;
    uint32_t queued; /* deliveries, the one being read included */
    /* What comes under an epoch below `withdrawn_epoch` counts up to here only: the broker sent it before it
     * took our refusal. */
    uint32_t withdrawn_epoch;
    int64_t withdrawn_from;
    struct block *last_block;
    const uint8_t *last_at;
    uint32_t last_len;
    struct cursor cursor;
    char topic[]; /* terminated */
};
TAILQ_HEAD(share_list, share);

/* Rows of a GROUP_DELIVER and the batches that they lie in. */
struct group_delivery {
    struct share *share;
    uint32_t epoch;
    uint16_t row_count;
    struct block *rows_block, *block;
    const uint8_t *rows, *at;
    uint32_t len;
    int64_t limit;          /* events from here on were withdrawn */
    int64_t fresh_until_ms; /* when their ack.wait is to begin anew, should they still wait here */
};

enum group_state {
    GROUP_OFFLINE, /* to be joined, not before retry_at_ms */
    GROUP_JOINING,
    GROUP_LIVE,
    GROUP_FAILED, /* `error` says why */
};

struct runnel_group {
    TAILQ_ENTRY(runnel_group) link;
    struct runnel_client *client;
    enum group_state state;
    struct options options;
    char name[256];
    char **topics;
    uint16_t topic_count;
    uint32_t index;         /* in the ids of requests whose answers nobody waits for */
    struct request request; /* GROUP_JOIN */
    int64_t retry_at_ms;
    uint32_t attempts;

    /* Told by the broker. */
    char member_id[GROUP_MEMBER_ID_MAX + 1];
    uint32_t member, generation, max_in_flight, ack_wait_ms;
    uint8_t mode;

    struct share **shares; /* by id */
    uint32_t share_count, share_size, live_count;
    struct share *share_hint;
    bool listing; /* the next GROUP_ASSIGN names everything */
    bool stopping;

    struct group_delivery *queue; /* a ring */
    uint32_t queue_size, queue_from, queue_count;
    int64_t extend_at_ms; /* the earliest `fresh_until_ms` of the queue, or before */

    /* Being read. */
    bool in_delivery;
    struct group_delivery now;
    uint16_t row;         /* of `now` */
    int64_t row_next;     /* offsets of that row below are dealt with */
    const uint8_t *batch; /* of `now`: the first that is not behind us */
    int64_t looked_ms;    /* when the connection was last looked at */
    struct unpacked unpacked[GROUP_UNPACKED];
    uint64_t unpacked_clock;

    /* Settling. */
    struct share_list acks, doubts;
    uint64_t out;     /* events started */
    uint64_t pending; /* events acknowledged, not sent */
    bool later;       /* some were sent behind `confirm` */
    struct request confirm;
    uint32_t unanswered; /* other requests */
    runnel_group_error_cb on_error;
    void *error_ctx;
    struct runnel_error error; /* FAILED: why; otherwise the last settling that was refused */
    uint64_t errors, errors_told;

    struct group_producer *producer;
    struct runnel_envelope *envelope; /* its events are this context's cause; NULL: nobody's */
};

/* ---- shares.c ---- */

struct share *share_find(struct runnel_group *g, uint32_t id);
/* Frees a revoked share if nothing of it is left. */
void share_tidy(struct runnel_group *g, struct share *s);
/* This is another member now: what was held is nobody's, and numbers mean something else. */
void shares_forget(struct runnel_group *g);
/* With the group: it stays in the list. */
void share_free(struct runnel_group *g, struct share *s);
/* GROUP_ASSIGN; false: malformed. */
bool group_assign(struct runnel_group *g, struct reader body);

/* ---- group.c ---- */

/* Something was refused: for runnel_group_error() and the callback. */
void group_note_error(struct runnel_group *g, int code, struct bytes text);
int group_over(struct runnel_group *g);
/* Sends a request whose answer nobody waits for; errors come to group_answer(). */
bool group_tell(struct runnel_group *g, struct writer *w, uint8_t *frame, uint16_t op);

/* ---- deliver.c ---- */

static inline bool in_delivery(const struct group_delivery *d, const uint8_t *at)
{
    return at && at >= d->at && at < d->at + d->len;
}

bool group_deliver(struct runnel_group *g, struct reader body);
/* Drops what is queued and being read of a share (NULL: of all); `release`: gives it back. */
void group_drop(struct runnel_group *g, const struct share *only, bool release);
/* Events of earlier epochs from `offset` on are withdrawn. */
void group_withdraw(struct runnel_group *g, struct share *s, uint32_t epoch, int64_t offset);
void share_drop_last(struct runnel_group *g, struct share *s);
void group_extend(struct runnel_group *g, int64_t now_ms);
struct group_delivery *group_queue_at(const struct runnel_group *g, uint32_t i);

/* ---- read.c ---- */

/* Done with the delivery being read. */
void group_leave_delivery(struct runnel_group *g);
/* The next event of what is queued: 1, 0 none, negative. */
int group_read(struct runnel_group *g, struct runnel_record *out, struct runnel_lease *lease);

/* ---- settle.c ---- */

/* Sends acknowledgements as far as it goes. */
void group_flush(struct runnel_group *g);
bool group_flush_due(const struct runnel_group *g);
/* Everything acknowledged is to be sent again. */
void group_doubt(struct runnel_group *g);
bool group_settled_all(void *group);
/* Not settled: what the client holds. */
uint32_t group_held_count(const struct runnel_group *g);
void group_put_held(const struct runnel_group *g, struct writer *w, uint16_t count);
bool group_put_range(struct writer *w, const struct share *s, int64_t first, int64_t end, uint32_t epoch);

/* ---- produce.c ---- */

void group_producer_free(struct runnel_group *g);

#endif
