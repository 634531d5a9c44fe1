/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/kafka_own.h: what the files of this room share; nobody else includes it.
 *
 * How a handler answers:
 *
 *   at once, or when the journal says so:
 *       struct kafka_out *out = kafka_reply_begin(s, rq);
 *       kafka_put_...(out, ...);
 *       kafka_reply_end(s, rq, sequence);         0: nothing to wait for
 *
 *   later (its row in the table says `waits`): it embeds a struct kafka_call, kafka_call_begin(call, s, rq),
 * and at once or some day: struct kafka_out *out = kafka_call_reply(call); kafka_put_...(out, ...);
 *       kafka_call_end(call, sequence);            the call is its owner's again
 *   If the connection ends before, call->gone() says so, once, and no answer is to be given.
 *
 *   not at all: kafka_fail(s, rq, "why") ends the connection.
 */
#ifndef RUNNEL_KAFKA_KAFKA_OWN_H
#define RUNNEL_KAFKA_KAFKA_OWN_H

#include "base/list.h"
#include "io/timer.h"
#include "kafka/codec.h"
#include "kafka/kafka.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/replies.h"
#include "partition/catalog.h"
#include "partition/duplicates.h"
#include "partition/partition.h"
#include "partition/store.h"

enum {
    KAFKA_WHY_BYTES = 512,
    /* A request that carries no events: 4 MiB are a hundred thousand names. */
    KAFKA_CONTROL_BYTES_MAX = 4 * 1024 * 1024,
    KAFKA_NODE = 1, /* this broker's id, in every reply and for ever */

    KAFKA_UNSET_OPERATIONS = INT32_MIN, /* authorized operations that nobody asked for */
};

/* Error codes of the protocol, as far as they are used here. */
#define KAFKA_ERRORS(X)                                                                                      \
    X(UNKNOWN, -1)                                                                                           \
    X(OK, 0)                                                                                                 \
    X(OFFSET_OUT_OF_RANGE, 1)                                                                                \
    X(CORRUPT, 2)                                                                                            \
    X(UNKNOWN_TOPIC_OR_PARTITION, 3)                                                                         \
    X(NOT_LEADER, 6)                                                                                         \
    X(MESSAGE_TOO_LARGE, 10)                                                                                 \
    X(OFFSET_METADATA_TOO_LARGE, 12)                                                                         \
    X(COORDINATOR_NOT_AVAILABLE, 15)                                                                         \
    X(NOT_COORDINATOR, 16)                                                                                   \
    X(INVALID_TOPIC, 17)                                                                                     \
    X(INVALID_REQUIRED_ACKS, 21)                                                                             \
    X(ILLEGAL_GENERATION, 22)                                                                                \
    X(INCONSISTENT_GROUP_PROTOCOL, 23)                                                                       \
    X(INVALID_GROUP_ID, 24)                                                                                  \
    X(UNKNOWN_MEMBER_ID, 25)                                                                                 \
    X(INVALID_SESSION_TIMEOUT, 26)                                                                           \
    X(REBALANCE_IN_PROGRESS, 27)                                                                             \
    X(INVALID_TIMESTAMP, 32)                                                                                 \
    X(UNSUPPORTED_SASL_MECHANISM, 33)                                                                        \
    X(UNSUPPORTED_VERSION, 35)                                                                               \
    X(TOPIC_ALREADY_EXISTS, 36)                                                                              \
    X(INVALID_PARTITIONS, 37)                                                                                \
    X(INVALID_REPLICATION_FACTOR, 38)                                                                        \
    X(INVALID_REPLICA_ASSIGNMENT, 39)                                                                        \
    X(INVALID_CONFIG, 40)                                                                                    \
    X(INVALID_REQUEST, 42)                                                                                   \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43)                                                                    \
    X(POLICY_VIOLATION, 44)                                                                                  \
    X(OUT_OF_ORDER_SEQUENCE, 45)                                                                             \
    X(DUPLICATE_SEQUENCE, 46)                                                                                \
    X(INVALID_PRODUCER_EPOCH, 47)                                                                            \
    X(INVALID_TXN_STATE, 48)                                                                                 \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53)                                                             \
    X(STORAGE, 56)                                                                                           \
    X(UNKNOWN_PRODUCER_ID, 59)                                                                               \
    X(NON_EMPTY_GROUP, 68)                                                                                   \
    X(GROUP_ID_NOT_FOUND, 69)                                                                                \
    X(FENCED_LEADER_EPOCH, 74)                                                                               \
    X(UNKNOWN_LEADER_EPOCH, 75)                                                                              \
    X(UNSUPPORTED_COMPRESSION, 76)                                                                           \
    X(MEMBER_ID_REQUIRED, 79)                                                                                \
    X(GROUP_MAX_SIZE_REACHED, 81)                                                                            \
    X(FENCED_INSTANCE_ID, 82)                                                                                \
    X(GROUP_SUBSCRIBED_TO_TOPIC, 86)                                                                         \
    X(INVALID_RECORD, 87)

enum kafka_error {
#define X(name, code) KAFKA_##name = code,
    KAFKA_ERRORS(X)
#undef X
};

/* ---- connections and requests ---- */

/* One listener's door: what its clients are told to connect to. */
struct kafka_listener {
    struct list link; /* in kafka->listeners */
    struct kafka *kafka;
    struct net_door door;
    char host[LISTENER_HOST_BYTES]; /* empty: where each client came to */
    uint16_t port;
};

struct kafka_session {
    struct kafka *kafka;
    struct kafka_listener *listener;
    struct conn *conn;
    struct kafka_call *call; /* takes its time: those behind it wait */
    uint32_t acks_waiting;   /* replies in the FIFO */
    uint64_t inflight_bytes;
    uint64_t changed;              /* journal sequence of the last change that it made */
    struct kafka_produce *produce; /* a request of which a part was stored, and that waits for room */
    uint32_t history_next;         /* whose turn it is to be read from segments */
    bool held;                     /* a request is held back until something before it is answered */
    struct list park;              /* in kafka->parked or kafka->resumed */
};

struct kafka_request {
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation;
    struct bytes client_id; /* lent; at NULL: none */
    uint32_t bytes;         /* the whole frame */
    struct kafka_in in;     /* the body: each handler copies it */
};

/* A request that is answered later. */
struct kafka_call {
    struct kafka_session *session;
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation;
    void (*gone)(struct kafka_call *call); /* its connection is */
};

/* A row of the table. */
struct kafka_api {
    int16_t key, min, max;
    int16_t flexible; /* from this version on; INT16_MAX: never */
    bool waits;       /* begins only when all replies before it have left */
    const char *name;
    const char *layout; /* of the request (layout.h) */
    enum net_take (*run)(struct kafka_session *s, const struct kafka_request *rq);
};

struct kafka {
    struct kafka_options options;
    struct timers *timers;
    struct clock *clock;
    struct store *store;
    struct net *net;
    struct groups *groups;
    char cluster_id[33];
    bool draining, failed, offering, room;
    uint32_t jobs;         /* of workers */
    struct replies acks;   /* replies that wait for the journal */
    struct list listeners; /* struct kafka_listener */
    struct list parked;    /* sessions that wait for room in the journal, first come first served */
    struct list resumed;   /* sessions whose own wait is over */
    struct kafka_out out;  /* the reply that is being written */
    struct kafka_stats stats;
};

/* ---- dispatch.c ---- */

extern const struct net_framing KAFKA_FRAMING;
enum net_take kafka_on_frame(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes);
/* No answer can be given: says why to the operator, and ends the connection. */
enum net_take kafka_fail(struct kafka_session *s, const struct kafka_request *rq, const char *why);

/* ---- kafka.c ---- */

/* ERR_OK, or why nothing may be changed just now, with `why` (KAFKA_WHY_BYTES). */
enum error kafka_admit(const struct kafka *kafka, char *why);
/* Is there room for a change of this size just now, and is nobody waiting before us? If not, park. */
bool kafka_room_for(struct kafka_session *s, enum journal_class class, uint32_t batches, uint32_t bytes);
enum net_take kafka_park(struct kafka_session *s);
/* Something that its request was held back for is over: it is offered again in the next turn. */
void kafka_wake(struct kafka_session *s);

/* ---- reply.c ---- */

struct kafka_out *kafka_reply_begin(struct kafka_session *s, const struct kafka_request *rq);
enum net_take kafka_reply_end(struct kafka_session *s, const struct kafka_request *rq, uint64_t sequence);
void kafka_call_begin(struct kafka_call *call, struct kafka_session *s, const struct kafka_request *rq,
                      void (*gone)(struct kafka_call *call));
struct kafka_out *kafka_call_reply(struct kafka_call *call);
void kafka_call_end(struct kafka_call *call, uint64_t sequence);
/* The same at once, with lent slices between what was written: each where it stood when out->len was `at`. */
struct kafka_lent {
    struct slice slice; /* bytes 0: none */
    uint32_t at;
};
void kafka_call_end_lending(struct kafka_call *call, struct kafka_lent *lent, uint32_t count);

/* ---- error.c ---- */

/* What Kafka's clients are told for an error of ours. */
enum kafka_error kafka_error_of(enum error code);

/* ---- table.c ---- */

/* NULL: not one that is spoken here. */
const struct kafka_api *kafka_api(int16_t key);
const struct kafka_api *kafka_api_row(uint32_t i);

/* ---- the families ---- */

/* metadata.c */
enum net_take kafka_api_versions(struct kafka_session *s, const struct kafka_request *rq);
/* The answer to a version that is not known: of the first version, which everybody reads. */
enum net_take kafka_api_versions_unsupported(struct kafka_session *s, const struct kafka_request *rq);
enum net_take kafka_describe_cluster(struct kafka_session *s, const struct kafka_request *rq);
enum net_take kafka_sasl_handshake(struct kafka_session *s, const struct kafka_request *rq);
enum net_take kafka_metadata(struct kafka_session *s, const struct kafka_request *rq);
/* Where the client of this connection reaches the broker: the same in every reply. `host`:
 * LISTENER_HOST_BYTES. */
void kafka_address(const struct kafka_session *s, char *host, int32_t *port);

/* topics.c: the partition that a request names; NULL: there is none for Kafka's clients. */
struct partition *kafka_partition(const struct kafka *kafka, struct bytes topic, int32_t number);

/* produce.c */
enum net_take kafka_produce(struct kafka_session *s, const struct kafka_request *rq);
void kafka_produce_closed(struct kafka_session *s);
enum net_take kafka_init_producer_id(struct kafka_session *s, const struct kafka_request *rq);

/* fetch.c */
enum net_take kafka_fetch(struct kafka_session *s, const struct kafka_request *rq);

/* offsets.c */
/* What is to be said to a client that believes in leader epoch `epoch` (-1: none). */
enum kafka_error kafka_epoch_check(const struct kafka *kafka, int32_t epoch);
enum net_take kafka_list_offsets(struct kafka_session *s, const struct kafka_request *rq);
enum net_take kafka_offset_for_leader_epoch(struct kafka_session *s, const struct kafka_request *rq);

#endif
