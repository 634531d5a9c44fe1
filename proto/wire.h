/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire.h: the native protocol: frame header, operations, and the body of every request and reply but
 * those of consumer groups (wire_group.h).
 *
 * A frame is a 12-byte header and a body; all integers little-endian. `size` counts the whole frame. A reply
 * carries the op and the request id of its request and WIRE_REPLY; a refused request is answered with
 * WIRE_REPLY | WIRE_ERROR and the body `struct wire_error`. Frames that the broker sends on its own
 * (WIRE_OP_DELIVER, WIRE_OP_SUB_END) carry WIRE_PUSH and the subscription's id as request id (those of a
 * group: the member's handle).
 *
 * Many requests may be in flight; replies to PRODUCE come in the order of the requests, and so do replies to
 * FETCH of one partition. Others come in any order.
 *
 * Every body has an encode and a decode function here. Decoders are total: any bytes give true and a struct
 * whose ranges lie in the input, or false. Pure functions: no I/O, no allocation. docs/protocol.md describes
 * the same bytes in prose.
 */
#ifndef RUNNEL_PROTO_WIRE_H
#define RUNNEL_PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/errors.h"

enum {
    WIRE_VERSION = 1,
    WIRE_MAGIC = 0x4c4e4e52, /* "RNNL" */
    WIRE_HEADER = 12,
    WIRE_CONFIGS_MAX = 64, /* settings in one request */
    /* Batches that an idempotent producer may have unanswered in one partition: as many the broker remembers,
     * so that each of them, repeated on a new connection, is answered with its first offset. */
    WIRE_PRODUCER_WINDOW = 8,
};

enum wire_flags {
    WIRE_REPLY = 1 << 0,
    WIRE_ERROR = 1 << 1,
    WIRE_PUSH = 1 << 2,
};

/* X(NAME, code) */
#define WIRE_OPS(X)                                                                                          \
    X(HELLO, 1)                                                                                              \
    X(PING, 2)                                                                                               \
    X(OPEN_TOPIC, 3)                                                                                         \
    X(PRODUCE, 4)                                                                                            \
    X(FETCH, 5)                                                                                              \
    X(SUBSCRIBE, 6)                                                                                          \
    X(DELIVER, 7)                                                                                            \
    X(CREDIT, 8)                                                                                             \
    X(UNSUBSCRIBE, 9)                                                                                        \
    X(SUB_END, 10)                                                                                           \
    X(OFFSETS, 11)                                                                                           \
    X(INIT_PRODUCER, 12)                                                                                     \
    X(TOPIC_CREATE, 20)                                                                                      \
    X(TOPIC_LIST, 21)                                                                                        \
    X(TOPIC_DESCRIBE, 22)                                                                                    \
    X(TOPIC_SET, 23)                                                                                         \
    X(TOPIC_ADD_PARTITIONS, 24)                                                                              \
    X(TOPIC_DELETE, 25)                                                                                      \
    X(STAT, 40)                                                                                              \
    X(HEALTH, 41)                                                                                            \
    X(GROUP_JOIN, 60)                                                                                        \
    X(GROUP_LEAVE, 61)                                                                                       \
    X(GROUP_ASSIGN, 62)                                                                                      \
    X(GROUP_DELIVER, 63)                                                                                     \
    X(GROUP_ACK, 64)                                                                                         \
    X(GROUP_NACK, 65)                                                                                        \
    X(GROUP_WORKING, 66)                                                                                     \
    X(GROUP_RELEASE, 67)                                                                                     \
    X(GROUP_PRODUCE, 68)                                                                                     \
    X(GROUP_END, 69)                                                                                         \
    X(GROUP_LIST, 70)                                                                                        \
    X(GROUP_DESCRIBE, 71)                                                                                    \
    X(GROUP_SET, 72)                                                                                         \
    X(GROUP_SEEK, 73)                                                                                        \
    X(GROUP_DELETE, 74)                                                                                      \
    X(GROUP_BREAKER, 75)                                                                                     \
    X(GROUP_FORGET, 76)                                                                                      \
    X(GROUP_REDRIVE, 77)                                                                                     \
    X(GROUP_COMMIT, 78)                                                                                      \
    X(SCHEMA_REGISTER, 100)                                                                                  \
    X(SCHEMA_GET, 101)                                                                                       \
    X(SCHEMA_LIST, 102)                                                                                      \
    X(SCHEMA_CHECK, 103)                                                                                     \
    X(SCHEMA_DELETE, 104)                                                                                    \
    X(SCHEMA_LEVEL, 105)

enum wire_op {
#define X(name, code) WIRE_OP_##name = code,
    WIRE_OPS(X)
#undef X
};

/* "PRODUCE"; "?" for an unknown code. */
const char *wire_op_name(uint16_t op);

struct wire_header {
    uint32_t size;
    uint16_t op, flags;
    uint32_t request_id;
};
static_assert(sizeof(struct wire_header) == WIRE_HEADER, "the header is 12 bytes on the wire");

/* What a client can do beyond the first version; those that both sides have are in use. */
enum wire_feature {
    WIRE_FEATURE_EVENT_ERRORS = 1 << 0, /* a refused PRODUCE of one batch names the events, see wire_error */
};

/* Body of a refused request: u16 code, str text. With WIRE_FEATURE_EVENT_ERRORS, when events of a single
 * batch were the reason: then u32 count and so many rows, by event; perhaps not of all such events. */
struct wire_error {
    uint16_t code;
    struct bytes text; /* a sentence: what was wrong, where, what to do */
    uint32_t row_count;
    struct bytes rows; /* encoded: wire_event_error_at() */
};

enum { WIRE_EVENT_ERROR = 20, WIRE_SAME_BATCH = UINT32_MAX };

struct wire_event_error {
    uint32_t event; /* in the batch, from 0 */
    uint16_t code;
    uint32_t
        partition; /* where the original is: partition and offset; or WIRE_SAME_BATCH and an event's number */
    uint64_t offset;
};

/* ---- session ---- */

struct wire_hello {
    uint32_t magic;
    uint16_t version_min, version_max;
    uint64_t features;                   /* enum wire_feature */
    struct bytes client, client_version; /* "librunnel", "0.1.0" */
};

struct wire_hello_reply {
    uint16_t version;
    uint64_t features;
    struct bytes broker_version;
    uint8_t broker_id[16];       /* of the data directory */
    uint32_t leader_epoch;       /* raised at each unclean start */
    uint32_t frame_bytes_max;    /* larger frames are refused */
    uint32_t batch_bytes_max;    /* upper limit of any topic's max.message.bytes */
    uint32_t inflight_bytes_max; /* produced bytes unanswered on one connection */
};

/* ---- topics ---- */

struct wire_open_topic {
    struct bytes name;
    uint8_t create; /* 1: make it with default settings when it is missing and the broker allows that */
};

struct wire_open_topic_reply {
    uint32_t handle; /* names the topic on this connection */
    uint64_t topic_id;
    uint32_t partitions;
    uint32_t batch_bytes_max;
};

/* str name, u8 1 and str value, or u8 0 (value.at NULL): TOPIC_SET then resets it to the default. */
struct wire_config {
    struct bytes name, value;
};

struct wire_topic_create {
    struct bytes name;
    uint32_t partitions; /* 0: the broker's default */
    uint8_t if_missing;  /* 1: an existing topic is fine */
    uint16_t config_count;
    struct wire_config configs[WIRE_CONFIGS_MAX];
};

struct wire_topic_create_reply {
    uint64_t topic_id;
    uint32_t partitions;
    uint8_t created; /* 0: it was there */
};

struct wire_topic_list {
    struct bytes pattern; /* '*' and '?'; empty: all */
    struct bytes after;   /* names greater than this one: paging */
    uint32_t max;         /* at most so many; 0: as many as the broker gives at once */
    uint8_t internal;     /* 1: internal topics too */
};

/* Reply to TOPIC_LIST: u8 more, u32 count, then `count` of these. Sorted by name. */
struct wire_topic_row {
    struct bytes name;
    uint64_t topic_id;
    uint32_t partitions;
    uint64_t events; /* sum of end - start */
    uint64_t bytes;  /* stored, in memory included */
};

struct wire_topic_set {
    struct bytes name;
    uint16_t config_count;
    struct wire_config configs[WIRE_CONFIGS_MAX];
};

struct wire_topic_add_partitions {
    struct bytes name;
    uint32_t partitions; /* in all, afterwards */
};

struct wire_topic_name {
    struct bytes name;
}; /* TOPIC_DESCRIBE, TOPIC_DELETE */

/* Reply to TOPIC_DESCRIBE: str name, u64 topic id, i64 created ms, u16 settings, then (str name, str value,
 * u8 is_default) each, u32 partitions, then one of these each. */
struct wire_partition_row {
    uint32_t partition;
    uint64_t start_offset, end_offset; /* end: durable, what consumers may see */
    uint64_t bytes;
    uint32_t segments;
    int64_t max_timestamp_ms; /* -1: empty */
    uint8_t state;            /* enum wire_partition_state */
};
enum wire_partition_state { WIRE_PARTITION_OK, WIRE_PARTITION_FENCED, WIRE_PARTITION_DAMAGED };

/* ---- producing ---- */

enum wire_acks { WIRE_ACKS_NONE, WIRE_ACKS_MEMORY, WIRE_ACKS_DURABLE };

/* PRODUCE: u8 acks, u8[1] zero, u16 count, then `count` batches: u32 handle, u32 partition, u32 bytes, the
 * batch. All of them are published, or none. acks none: no reply; an error closes the connection. */
struct wire_produce {
    uint8_t acks;
    uint16_t count;
    struct reader batches; /* iterate with wire_produce_next() */
};

struct wire_produce_batch {
    uint32_t handle, partition;
    struct bytes batch;
};

enum { WIRE_PRODUCED_DUPLICATE = 1 };

/* Reply: u16 count, u16 zero, u32 zero, then one of these per batch, in order. */
struct wire_produced {
    uint64_t base_offset;
    uint32_t flags;
    uint32_t leader_epoch;
};
static_assert(sizeof(struct wire_produced) == 16, "copied as it is");

struct wire_init_producer_reply {
    int64_t producer_id;
    int16_t producer_epoch;
};

/* ---- reading ---- */

enum wire_from {
    WIRE_FROM_OFFSET, /* value: an offset */
    WIRE_FROM_START,
    WIRE_FROM_END,   /* value: so many events before it */
    WIRE_FROM_TIME,  /* value: ms; the first event whose timestamp is at or after it */
    WIRE_FROM_SHIFT, /* GROUP_SEEK only; value: so many events further on (negative: back) */
};

struct wire_position {
    uint8_t from;
    int64_t value;
};

struct wire_fetch {
    uint32_t handle, partition;
    struct wire_position position;
    uint32_t bytes_max; /* at least one batch is given, whatever its size */
    uint32_t wait_ms;   /* how long to wait for a first event; 0: answer at once */
};

/* Reply: these fields, then plain batches. The first one may begin before the offset asked for: skip its
 * first records. */
struct wire_fetch_reply {
    uint64_t offset; /* what the position was resolved to */
    uint64_t start_offset, end_offset;
    struct bytes batches; /* u32 bytes, then the batches; empty when nothing came in time */
};

struct wire_subscribe {
    uint32_t subscription; /* the client's choice; unique on the connection */
    uint32_t handle, partition;
    struct wire_position position;
    uint32_t credit; /* bytes of batches that the broker may send before it waits for CREDIT */
};

struct wire_subscribe_reply {
    uint64_t offset; /* where it begins */
    uint64_t start_offset, end_offset;
};

/* DELIVER (pushed): u64 end offset of the partition, then plain batches to the frame's end; request id =
 * subscription. */
struct wire_deliver {
    uint64_t end_offset;
    struct bytes batches;
};
enum { WIRE_DELIVER_PREFIX = WIRE_HEADER + 8 };

/* CREDIT: no reply. Unknown subscriptions are ignored (it may have ended meanwhile). */
struct wire_credit {
    uint32_t subscription;
    uint32_t bytes;
};

struct wire_unsubscribe {
    uint32_t subscription;
};
/* SUB_END (pushed): struct wire_error: why the broker ended it. */

/* OFFSETS: u32 handle, u16 count, then per row: u32 partition, position. Reply: u16 count, then rows of
 * wire_offset_row. */
struct wire_offset_query {
    uint32_t partition;
    struct wire_position position;
};
enum { WIRE_OFFSETS_MAX = 1024 };

struct wire_offset_row {
    uint16_t error;
    uint32_t partition;
    uint64_t offset;
    int64_t timestamp_ms; /* of the event found by time; -1 */
};

/* ---- observing ---- */

/* Reply to STAT: u32 count, then: str room, str name, u8 kind, u64 value. */
struct wire_stat_row {
    struct bytes room, name;
    uint8_t kind; /* 0 counter, 1 gauge */
    uint64_t value;
};

/* Reply to HEALTH: u8 status, u16 count, then: str name, u8 status, str text. */
enum wire_health { WIRE_HEALTH_OK, WIRE_HEALTH_DEGRADED, WIRE_HEALTH_FAILED };
struct wire_health_row {
    struct bytes name;
    uint8_t status;
    struct bytes text;
};

/* ---- codec ---- */

/* Decodes a header; false when fewer than WIRE_HEADER bytes are there. The size is not judged here. */
bool wire_header_decode(struct wire_header *out, const void *p, uint32_t available);
/* Starts a frame: leaves room for the header. Finish with wire_frame_end(), which fills it in; returns the
 * frame's size, 0 when it did not fit. Several frames may follow one another in one writer. */
uint8_t *wire_frame_begin(struct writer *w);
uint32_t wire_frame_end(struct writer *w, uint8_t *frame, uint16_t op, uint16_t flags, uint32_t request_id);

/* For each body: wire_put_X writes it after wire_frame_begin(); wire_get_X decodes all of `r` (false:
 * malformed, or something left over). */
#define WIRE_BODIES(X)                                                                                       \
    X(error)                                                                                                 \
    X(hello)                                                                                                 \
    X(hello_reply)                                                                                           \
    X(open_topic)                                                                                            \
    X(open_topic_reply)                                                                                      \
    X(topic_create)                                                                                          \
    X(topic_create_reply)                                                                                    \
    X(topic_list)                                                                                            \
    X(topic_set)                                                                                             \
    X(topic_add_partitions)                                                                                  \
    X(topic_name)                                                                                            \
    X(init_producer_reply)                                                                                   \
    X(fetch)                                                                                                 \
    X(fetch_reply)                                                                                           \
    X(subscribe)                                                                                             \
    X(subscribe_reply)                                                                                       \
    X(deliver)                                                                                               \
    X(credit)                                                                                                \
    X(unsubscribe)
#define X(name)                                                                                              \
    void wire_put_##name(struct writer *w, const struct wire_##name *body);                                  \
    bool wire_get_##name(struct reader r, struct wire_##name *body);
WIRE_BODIES(X)
#undef X

/* Parts of several bodies. */
void wire_put_configs(struct writer *w, const struct wire_config *configs, uint16_t count);
/* At most WIRE_CONFIGS_MAX into `configs`; how many. */
uint16_t wire_get_configs(struct reader *r, struct wire_config *configs);
void wire_put_position(struct writer *w, const struct wire_position *position);
struct wire_position wire_get_position(struct reader *r);

/* PRODUCE, request and reply, in pieces. */
/* Of an error with rows: put the error without them, the count, then each row. */
void wire_put_event_error(struct writer *w, const struct wire_event_error *row);
struct wire_event_error wire_event_error_at(struct bytes rows, uint32_t i);
void wire_put_produce(struct writer *w, uint8_t acks, uint16_t count);
void wire_put_produce_batch(struct writer *w, uint32_t handle, uint32_t partition, struct bytes batch);
bool wire_get_produce(struct reader r, struct wire_produce *body);
/* 1 a batch, 0 the end, -1 malformed. */
int wire_produce_next(struct wire_produce *body, struct wire_produce_batch *out);
void wire_put_produced(struct writer *w, const struct wire_produced *rows, uint16_t count);
/* The rows lie in `r`'s bytes, possibly unaligned: copy them out with wire_produced_row(). */
bool wire_get_produced(struct reader r, const uint8_t **rows, uint16_t *count);
struct wire_produced wire_produced_row(const uint8_t *rows, uint16_t i);

/* Lists: put the count first, then rows; get the count, then each row (sticky error in the reader; check
 * reader_done at the end). */
void wire_put_topic_row(struct writer *w, const struct wire_topic_row *row);
void wire_get_topic_row(struct reader *r, struct wire_topic_row *row);
void wire_put_partition_row(struct writer *w, const struct wire_partition_row *row);
void wire_get_partition_row(struct reader *r, struct wire_partition_row *row);
void wire_put_offset_query(struct writer *w, const struct wire_offset_query *row);
void wire_get_offset_query(struct reader *r, struct wire_offset_query *row);
void wire_put_offset_row(struct writer *w, const struct wire_offset_row *row);
void wire_get_offset_row(struct reader *r, struct wire_offset_row *row);
void wire_put_stat_row(struct writer *w, const struct wire_stat_row *row);
void wire_get_stat_row(struct reader *r, struct wire_stat_row *row);
void wire_put_health_row(struct writer *w, const struct wire_health_row *row);
void wire_get_health_row(struct reader *r, struct wire_health_row *row);

#endif
