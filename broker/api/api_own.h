/* SPDX-License-Identifier: Apache-2.0
 *
 * api/api_own.h: what the files of this room share; nobody else includes it.
 */
#ifndef RUNNEL_API_API_OWN_H
#define RUNNEL_API_API_OWN_H

#include "api/api.h"
#include "base/list.h"
#include "io/timer.h"
#include "net/conn.h"
#include "net/replies.h"
#include "partition/catalog.h"
#include "partition/duplicates.h"
#include "partition/partition.h"
#include "partition/store.h"
#include "proto/compress.h"
#include "proto/wire.h"

enum {
    API_WHY_BYTES = 512, /* holds a topic's name and what the rooms below say */
    /* Batches of one atomic request: bounds the scratch that they are decoded into. */
    API_BATCHES_MAX = 4096,
    /* One slice handed to a subscription in one go: large enough that a frame's cost does not matter, small
     * enough that a thousand subscriptions take turns. */
    API_SLICE_BYTES = 256 * 1024,
    /* One read of segments for a reader that catches up. */
    API_HISTORY_BYTES = 1024 * 1024,
    API_HISTORY_SHARE = 4, /* a session may hold a quarter of what is free: see reading_may() */
    /* Deliveries of one turn in all: then the loop looks at the sockets and the journal again. */
    API_TURN_BYTES = 4 * 1024 * 1024,
    API_FETCH_ROWS = 32, /* lists of fetches, so that a thousand long polls are not searched for each */
};

/* ---- sessions: what the api knows of a connection ---- */

struct session {
    struct api *api;
    struct conn *conn;
    bool greeted;
    uint64_t features;     /* in use: enum wire_feature */
    bool waits_own;        /* parked until its own unanswered bytes are fewer */
    uint32_t acks_waiting; /* entries in the FIFO */
    uint64_t inflight_bytes;
    struct list park;       /* in api->parked or api->resumed */
    struct topic **handles; /* by handle */
    uint32_t handle_count, handle_room;
    struct sub **subs; /* hash by subscription id, sub_room a power of two */
    uint32_t sub_count, sub_room;
    struct list fetches[API_FETCH_ROWS]; /* unanswered FETCH, by partition, and OFFSETS requests */
    uint32_t fetch_count;
    uint32_t history_count;   /* reads of segments that it has running, or whose memory it holds */
    struct list history;      /* struct shared_slice: that memory */
    struct list history_wait; /* subscriptions that wait for some of it to be given back */
    struct list blocked;      /* subscriptions that wait for room in the connection's output */
    struct list seats;        /* members of consumer groups (group_own.h) */
    uint32_t seat_count, seat_next;
    struct list flows; /* deliveries of groups that read segments on its account */
};

struct request {
    uint16_t op;
    uint32_t id;
    uint32_t bytes; /* the whole frame */
    struct reader body;
};

struct produce_item {
    struct partition *partition;
    struct batch batch;
};

/* Consumer groups (group_own.h). */
struct group_door {
    struct groups *groups;
    struct list joining;         /* seats whose reply to GROUP_JOIN waits for the journal, in order */
    struct list changed;         /* seats with changes to be told */
    struct list flows;           /* all of them */
    struct list ready, blocked;  /* those with something to do */
    struct list holding;         /* those that hold memory read from segments */
    bool retry_blocked;          /* memory for sending or reading came back */
    struct list letters;         /* dead letters on their way: being read, */
    struct list letters_waiting; /* and to be read when one of those has been */
    uint32_t letter_count;
    uint64_t letter_told_ms;
    struct packer packer; /* compressed batches that are opened for one event */
};

struct api {
    struct api_options options;
    struct timers *timers;
    struct clock *clock;
    struct store *store;
    struct net *net;
    struct registry *registry;
    struct api_extra extra;
    uint8_t broker_id[16];
    bool draining, failed, offering;
    bool room;           /* on_room came since those who wait were last looked at */
    struct list parked;  /* sessions: wait for room in the journal or in flight, first come first served */
    struct list resumed; /* sessions: their own limit has room again */
    struct replies acks; /* replies that wait for the journal */
    /* subscriptions with something to do, and those waiting for memory to send with */
    struct list ready, starved;
    struct list holding;    /* subscriptions without credit that hold memory read from segments */
    uint32_t history_count; /* of all sessions */
    uint32_t jobs;          /* reads of segments and time look-ups running */
    /* scratch for atomic requests of several batches */
    struct produce_item *items;
    uint32_t item_room;
    struct api_seen {
        const struct partition *partition;
        uint64_t request;
    } * seen; /* hash: which partitions a request has named already */
    uint64_t request_serial;
    struct group_door door;
    struct api_stats stats;
};

/* dispatch.c */
enum net_take api_on_frame(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes);
/* Counts an unanswered FETCH or OFFSETS request, or refuses it. */
bool fetch_admit(struct session *s, const struct request *rq);
/* A refusal, counted; the end of a request: always NET_TAKEN. */
enum net_take api_refuse(struct session *s, const struct request *rq, enum error code, const char *text);
/* May anything be changed just now? ERR_OK, or refuse with `why`. Asked before everything else. */
enum error api_admit(const struct session *s, char *why);
/* Space for a reply with a body of up to `bytes`; then api_reply_end(). */
struct api_reply {
    struct writer w;
    uint8_t *frame;
};
struct api_reply api_reply_begin(struct session *s, uint32_t bytes);
void api_reply_end(struct session *s, struct api_reply *reply, const struct request *rq);
/* The topic of that name; NULL: refuse as ERR_TOPIC_NOT_FOUND with `why`, which names a similar one. */
struct topic *api_topic(const struct session *s, struct bytes name, char *why);
/* The partition that a handle and a number name. */
enum error api_find(const struct session *s, uint32_t handle, uint32_t partition, struct partition **out,
                    char *why);
/* The frame is not taken: its session waits for room. */
enum net_take api_park(struct session *s);
/* Is there room for a change of this size just now, and is nobody waiting before us? */
bool api_room_for(struct session *s, enum journal_class class, uint32_t batches, uint32_t bytes);

/* ack.c */
/* A reply of exactly `body_bytes` that leaves when `sequence` is durable (0: is), in order behind the replies
 * that the session still waits for; `inflight_bytes` are given back then. Then ack_reply_end(). */
struct ack_reply {
    struct writer w;
    uint8_t *frame;
    uint32_t bytes;
    bool at_once;
};
struct ack_reply ack_reply_begin(struct session *s, uint64_t sequence, uint32_t body_bytes,
                                 uint32_t inflight_bytes);
/* The journal sequence with which it leaves; 0: it has left. */
uint64_t ack_reply_end(struct session *s, struct ack_reply *reply, const struct request *rq);
/* Both at once, with what `body` holds (NULL: nothing). */
uint64_t ack_reply(struct session *s, const struct request *rq, uint64_t sequence, const struct writer *body);
/* As api_refuse, in order behind those replies. */
enum net_take ack_refuse(struct session *s, const struct request *rq, enum error code, const char *text);
/* The same, of something that is true only once `sequence` is durable; and `error`'s rows. */
enum net_take ack_refuse_with(struct session *s, const struct request *rq, uint64_t sequence,
                              const struct wire_error *error, const struct duplicate_row *rows);
void ack_free_all(struct api *api);

/* produce.c */
enum net_take produce_request(struct session *s, const struct request *rq);
enum net_take produce_init_producer(struct session *s, const struct request *rq);
/* In parts, for requests that publish and do something else, all or nothing. What can be said without looking
 * at the batches: ERR_OK, or refuse with `why`. */
enum error produce_admit(const struct session *s, const struct wire_produce *body, char *why);
/* Checks every batch; their items are lent until the next request. They are appended, or produce_drop() is
 * called. */
enum error produce_check_all(struct session *s, struct wire_produce *body, struct produce_item **out,
                             char *why);
/* The items are not appended after all. */
void produce_drop(struct session *s);
/* Refuses a request for what produce_check_all() said. `durable`: the answer waits for what it speaks of. */
enum net_take produce_refuse_checked(struct session *s, const struct request *rq, bool durable,
                                     const struct wire_produce *body, enum error code, const char *text);
/* Appends them, into room that was granted; the sequence that makes them durable. */
uint64_t produce_append_all(struct session *s, const struct produce_item *items, uint16_t count,
                            struct wire_produced *rows);

/* position.c */
/* The offset that a position means just now, but for times. False after a refusal text in `why`. */
bool position_resolve(const struct partition *p, const struct wire_position *position, uint64_t *offset,
                      char *why);
bool position_valid(const struct wire_position *position);
/* "topic orders, partition 2: offset 7 is outside of 10 to 20" */
void position_range_text(const struct partition *p, uint64_t offset, char *why);

/* reading.c: a job on segments for somebody who may lose interest meanwhile. It holds the topic. */
struct reading {
    struct api *api;
    struct topic *topic;
    struct session *session; /* of a read of segments: whose account it is on; NULL: none, or gone */
    void *owner;             /* NULL: nobody waits any more */
    void (*done)(void *owner, struct reading *r);
    bool taken; /* its slice, by shared_take() */
    union {
        struct history_read history;
        struct time_lookup time;
    };
};
/* May the session start one more read of segments? When not, subscribe_history_free() or a later look says. A
 * session that holds none always may; beyond that each may have a share of what is free, so that those who do
 * not read cannot use up the memory between them. */
bool reading_may(struct session *s);
/* `done` is called later, in a loop turn; it may take the slice by shared_take(). The reading frees itself.
 */
struct reading *reading_history(struct api *api, struct session *s, struct partition *p, uint64_t offset,
                                uint32_t bytes_max, void *owner,
                                void (*done)(void *owner, struct reading *r));
struct reading *reading_time(struct api *api, struct partition *p, int64_t timestamp_ms, void *owner,
                             void (*done)(void *owner, struct reading *r));
void reading_abandon(struct reading *r);
/* A slice that goes out in several pieces: memory read from segments comes a megabyte at a time, and neither
 * a client's credit nor a frame need be that large. Each piece that is lent holds it, and so does its owner.
 */
struct shared_slice {
    struct slice slice;
    uint32_t refs;
    struct session *session; /* on whose account it is; NULL: gone */
    struct list link;        /* in session->history */
};
struct shared_slice *shared_take(struct reading *r);
void reading_session_closed(struct session *s);
/* What to give to conn_lend() for one more piece. */
void *shared_pin(struct shared_slice *shared);
void shared_unref(struct api *api, struct shared_slice *shared);
/* A piece, or a whole slice, is not needed any more. */
void reading_unlent(struct api *api, const uint8_t *data, uint32_t bytes, void *pin);
/* As many whole batches of `bytes` as fit `bytes_max`, and at least one. */
uint32_t reading_cut(const uint8_t *data, uint32_t bytes, uint32_t bytes_max);
/* A sentence for what a reading or partition_read() found instead of data. */
enum error reading_error_text(const struct partition *p, enum error code, uint64_t offset, char *why);

/* An unanswered request in one of session->fetches. */
struct fetch_head {
    struct list link;
    void (*abandon)(struct fetch_head *head); /* its connection is gone */
};

/* offsets.c */
enum net_take offsets_request(struct session *s, const struct request *rq);

/* fetch.c */
enum net_take fetch_request(struct session *s, const struct request *rq);
void fetch_session_closed(struct session *s);

/* subscribe.c */
enum net_take subscribe_request(struct session *s, const struct request *rq);
enum net_take subscribe_credit(struct session *s, const struct request *rq);
enum net_take subscribe_end(struct session *s, const struct request *rq);
void subscribe_session_closed(struct session *s);
void subscribe_drained(struct session *s);
/* Some of the memory that the session held for reads of segments is free again. */
void subscribe_history_free(struct session *s);
void subscribe_turn_end(struct api *api);

/* topics.c */
enum net_take topics_open(struct session *s, const struct request *rq);
enum net_take topics_create(struct session *s, const struct request *rq);
enum net_take topics_list(struct session *s, const struct request *rq);
enum net_take topics_describe(struct session *s, const struct request *rq);
enum net_take topics_set(struct session *s, const struct request *rq);
enum net_take topics_add_partitions(struct session *s, const struct request *rq);
enum net_take topics_delete(struct session *s, const struct request *rq);
void topics_session_closed(struct session *s);

/* schemas.c */
enum net_take schemas_register(struct session *s, const struct request *rq);
enum net_take schemas_get(struct session *s, const struct request *rq);
enum net_take schemas_list(struct session *s, const struct request *rq);
enum net_take schemas_check(struct session *s, const struct request *rq);
enum net_take schemas_delete(struct session *s, const struct request *rq);
enum net_take schemas_level(struct session *s, const struct request *rq);

/* observe.c */
enum net_take observe_stat(struct session *s, const struct request *rq);
enum net_take observe_health(struct session *s, const struct request *rq);

#endif
