/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire_group.h: the native protocol of consumer groups: the bodies of operations 60 to 78. The rules
 * are those of wire.h; docs/protocol.md says what the fields mean.
 *
 * Rows that come by the hundred (ranges of events, delivered ranges, done ranges) have a fixed size and stay
 * encoded in their body, as `bytes`, to be read one by one with wire_*_at(); a body that was decoded holds a
 * whole number of them. Lists of larger rows are put and got in pieces, as in wire.h.
 */
#ifndef RUNNEL_PROTO_WIRE_GROUP_H
#define RUNNEL_PROTO_WIRE_GROUP_H

#include "proto/wire.h"

enum {
    WIRE_GROUP_TOPICS_MAX = 256, /* topics and patterns of one member */
    WIRE_GROUP_RANGE = 20,       /* bytes of a struct wire_group_range */
    WIRE_GROUP_DELIVERED = 16,   /* of a struct wire_group_delivered */
    WIRE_GROUP_DONE = 16,        /* of a struct wire_group_done */
    WIRE_GROUP_DONE_MAX = 1000,  /* told of one partition */
    WIRE_GROUP_REDRIVE_MAX = 4096,
};

/* KAFKA: ordered, and its members are Kafka clients; only told, never asked for. */
enum wire_group_mode { WIRE_GROUP_ANY, WIRE_GROUP_ORDERED, WIRE_GROUP_SHARED, WIRE_GROUP_KAFKA };
enum wire_group_reset {
    WIRE_GROUP_RESET_DEFAULT, /* the group's offset.reset */
    WIRE_GROUP_RESET_START,
    WIRE_GROUP_RESET_END,
    WIRE_GROUP_RESET_ERROR,
};

/* ---- consuming ---- */

/* Events `first` ... first + count - 1 of an assignment, as they were delivered. Fixed size. */
struct wire_group_range {
    uint32_t assignment, epoch;
    uint64_t first;
    uint32_t count;
};

struct wire_group_join {
    struct bytes group;
    uint8_t mode;             /* enum wire_group_mode; ANY: as the group is, ordered when it is new */
    struct bytes member_id;   /* empty: the broker gives one; otherwise the one it gave, to come back */
    struct bytes instance_id; /* empty: none */
    struct bytes host;        /* for people: "worker-3 1234" */
    uint32_t max_in_flight;   /* events out with this member; 0: the group's max_in_flight */
    uint32_t credit_bytes;    /* of the batches in one delivery; 0: 4 MiB */
    uint8_t reset;            /* enum wire_group_reset */
    uint16_t topic_count;
    struct bytes topics[WIRE_GROUP_TOPICS_MAX]; /* names or patterns */
    /* Coming back: what the member still has in hand (struct wire_group_range each). What else is out with it
     * is taken back, not charged. */
    uint16_t held_count;
    struct bytes held;
};

struct wire_group_join_reply {
    uint32_t member; /* names the member on this connection; request id of its pushes */
    struct bytes member_id;
    uint32_t generation;
    uint8_t mode;
    uint32_t session_timeout_ms, ack_wait_ms, max_in_flight;
};

struct wire_group_leave {
    uint32_t member;
    uint8_t drain; /* 1: not yet, but deliver nothing more */
};

/* GROUP_ASSIGN (pushed): u32 generation, u16 count, then `count` of these. */
enum wire_group_change { WIRE_GROUP_ASSIGNED = 1, WIRE_GROUP_REVOKED, WIRE_GROUP_REWOUND };
struct wire_group_change_row {
    uint8_t kind;
    uint32_t assignment, epoch, partition;
    uint64_t offset;    /* assigned: the position; rewound: withdrawn from here on */
    struct bytes topic; /* assigned; otherwise empty */
};

/* GROUP_DELIVER (pushed). */
struct wire_group_deliver {
    uint32_t assignment, epoch;
    uint64_t end_offset;
    uint16_t count;
    struct bytes ranges;  /* struct wire_group_delivered each */
    struct bytes batches; /* to the frame's end; empty: the last one delivered for this assignment */
};

struct wire_group_delivered {
    uint64_t first;
    uint32_t count;
    uint16_t attempts; /* deliveries of them that failed so far */
};

enum { WIRE_GROUP_ACK_REPLY = 1 /* flags: answer when it is durable; errors are told in any case */ };
struct wire_group_ack {
    uint32_t member;
    uint8_t flags;
    uint16_t count;
    struct bytes ranges;
};

struct wire_group_nack {
    uint32_t member, assignment, epoch;
    uint64_t offset;
    uint8_t term;     /* 1: no further attempt */
    int64_t delay_ms; /* before the next attempt; -1: the group's back-off */
    uint32_t key_hash;
    struct bytes type, message, stack;
};

/* GROUP_WORKING, GROUP_RELEASE */
struct wire_group_ranges {
    uint32_t member;
    uint16_t count;
    struct bytes ranges;
};

/* Acknowledges `ranges` and publishes, both or neither. Put: wire_put_group_produce(), then PRODUCE's body in
 * pieces. */
struct wire_group_produce {
    uint32_t member;
    uint16_t count;
    struct bytes ranges;
    struct wire_produce produce;
};
/* GROUP_END (pushed): struct wire_error. */

/* ---- administration ---- */

struct wire_group_list {
    struct bytes pattern; /* '*' and '?'; empty: all */
    struct bytes after;   /* names greater than this one: paging */
    uint32_t max;         /* at most so many; 0: as many as the broker gives at once */
};

enum wire_group_state {
    WIRE_GROUP_EMPTY,
    WIRE_GROUP_STABLE,
    WIRE_GROUP_REBALANCING,
    WIRE_GROUP_BREAKER_OPEN,
};

/* Reply to GROUP_LIST: u8 more, u32 count, then `count` of these. Sorted by name. */
struct wire_group_row {
    struct bytes group;
    uint8_t mode, state;
    uint32_t members, partitions;
    uint64_t lag;   /* events */
    int64_t lag_ms; /* -1: not known */
};

struct wire_group_name {
    struct bytes group;
}; /* GROUP_DESCRIBE, GROUP_DELETE */

enum wire_group_breaker {
    WIRE_BREAKER_CLOSED,
    WIRE_BREAKER_OPEN,
    WIRE_BREAKER_HALF_OPEN,
    WIRE_BREAKER_FORCED_OPEN,
    WIRE_BREAKER_FORCED_CLOSED,
};

/* Reply to GROUP_DESCRIBE: this; u16 settings, each: str name, str value, u8 is default; u16 topics, each:
 * str; u32 members, each a member row; u32 partitions, each a partition row. */
struct wire_group_described {
    struct bytes group;
    uint8_t mode, state;
    uint32_t generation;
    uint8_t breaker;             /* enum wire_group_breaker */
    struct bytes breaker_reason; /* a sentence, or empty */
};

enum wire_member_state { WIRE_MEMBER_OK, WIRE_MEMBER_DETACHED, WIRE_MEMBER_SILENT };
struct wire_group_member_row {
    struct bytes member_id, instance_id, host;
    uint32_t in_flight, partitions;
    uint8_t state; /* enum wire_member_state */
};

/* Why a partition delivers nothing new just now. */
enum wire_group_pause {
    WIRE_PAUSE_NONE,
    WIRE_PAUSE_WINDOW_FULL,
    WIRE_PAUSE_RETRY,
    WIRE_PAUSE_ALONE,
    WIRE_PAUSE_GIVING_UP,
    WIRE_PAUSE_ITEMS_FULL,
    WIRE_PAUSE_BREAKER,
};

struct wire_group_partition_row {
    struct bytes topic;
    uint32_t partition;
    struct bytes owner; /* member id; empty: none, or shared */
    uint64_t position, next, start, end;
    uint64_t lag;
    int64_t lag_ms;
    uint32_t in_flight, items;
    uint8_t pause;       /* enum wire_group_pause */
    uint16_t done_count; /* at most WIRE_GROUP_DONE_MAX */
    struct bytes done;   /* struct wire_group_done each, ascending: settled beyond the position */
};

struct wire_group_done {
    uint64_t first, end;
};

struct wire_group_set {
    struct bytes group;
    uint8_t create_mode; /* 0: it must exist; else enum wire_group_mode: made when it is missing */
    uint16_t config_count;
    struct wire_config configs[WIRE_CONFIGS_MAX];
};

struct wire_group_seek {
    struct bytes group, topic;
    uint8_t dry;
    int32_t partition; /* -1: all */
    struct wire_position position;
};

/* Reply to GROUP_SEEK: u16 count, then `count` of these. */
struct wire_group_moved {
    uint32_t partition;
    uint64_t from, to;
};

enum wire_group_breaker_order { WIRE_BREAKER_AUTO, WIRE_BREAKER_HOLD_OPEN, WIRE_BREAKER_HOLD_CLOSED };
struct wire_group_breaker_set {
    struct bytes group;
    uint8_t order; /* enum wire_group_breaker_order */
};

struct wire_group_forget {
    struct bytes group, topic;
    int32_t partition; /* -1: all */
};

/* GROUP_REDRIVE: str dead-letter topic, u16 count, `count` rows, and then either nothing or the body of a
 * PRODUCE: what is published with it, all or nothing. Reply: u16 count, a u16 code each, and when something
 * was published the reply of PRODUCE. Put: wire_put_group_redrive(), the rows, PRODUCE's body in pieces. */
struct wire_group_redrive {
    struct bytes dead_topic;
    uint16_t count;
    struct reader rows; /* struct wire_group_redrive_row each; read with wire_get_group_redrive_row() */
    bool publishes;
    struct wire_produce produce; /* when it does */
};

struct wire_group_redrive_row {
    uint32_t dead_partition;
    uint64_t dead_offset;
    struct bytes group; /* gets its event again; empty: the dead letter is settled, that is all */
    struct bytes topic; /* where the event came from */
    uint32_t partition;
    uint64_t offset;
};

/* GROUP_COMMIT: str group, u16 count, then `count` of these. */
struct wire_group_commit_row {
    struct bytes topic;
    uint32_t partition;
    uint64_t position;
};

/* ---- codec ---- */

#define WIRE_GROUP_BODIES(X)                                                                                 \
    X(group_join)                                                                                            \
    X(group_join_reply)                                                                                      \
    X(group_leave)                                                                                           \
    X(group_deliver)                                                                                         \
    X(group_ack)                                                                                             \
    X(group_nack)                                                                                            \
    X(group_ranges)                                                                                          \
    X(group_list)                                                                                            \
    X(group_name)                                                                                            \
    X(group_set)                                                                                             \
    X(group_seek)                                                                                            \
    X(group_breaker_set)                                                                                     \
    X(group_forget)
#define X(name)                                                                                              \
    void wire_put_##name(struct writer *w, const struct wire_##name *body);                                  \
    bool wire_get_##name(struct reader r, struct wire_##name *body);
WIRE_GROUP_BODIES(X)
#undef X

/* Parts of bodies that are lists: sticky error in the reader, check reader_done() at the end. */
#define WIRE_GROUP_ROWS(X)                                                                                   \
    X(group_range)                                                                                           \
    X(group_change_row)                                                                                      \
    X(group_delivered)                                                                                       \
    X(group_row)                                                                                             \
    X(group_described)                                                                                       \
    X(group_member_row)                                                                                      \
    X(group_done)                                                                                            \
    X(group_partition_row)                                                                                   \
    X(group_moved)                                                                                           \
    X(group_redrive_row)                                                                                     \
    X(group_commit_row)
#define X(name)                                                                                              \
    void wire_put_##name(struct writer *w, const struct wire_##name *row);                                   \
    void wire_get_##name(struct reader *r, struct wire_##name *row);
WIRE_GROUP_ROWS(X)
#undef X

/* Row `i` of a body that was decoded. */
struct wire_group_range wire_group_range_at(struct bytes ranges, uint16_t i);
struct wire_group_delivered wire_group_delivered_at(struct bytes ranges, uint16_t i);
struct wire_group_done wire_group_done_at(struct bytes done, uint16_t i);

/* `count` rows of `row` bytes each, encoded before. */
void wire_put_rows(struct writer *w, struct bytes rows, uint32_t count, uint32_t row);
struct bytes wire_get_rows(struct reader *r, uint32_t count, uint32_t row);

/* The head of GROUP_PRODUCE; PRODUCE's body follows. */
void wire_put_group_produce(struct writer *w, uint32_t member, uint16_t count, struct bytes ranges);
bool wire_get_group_produce(struct reader r, struct wire_group_produce *body);
void wire_put_group_redrive(struct writer *w, struct bytes dead_topic, uint16_t count);
bool wire_get_group_redrive(struct reader r, struct wire_group_redrive *body);

#endif
