/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/offsets.c: ListOffsets and OffsetForLeaderEpoch: where partitions begin and end, and what is where in
 * time.
 *
 * Times are looked up one after the other, each by a job of a worker; the jobs outlive a connection that ends
 * meanwhile.
 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "kafka/kafka_own.h"

enum {
    OFFSETS_ROWS_MAX = 16 * 1024,
    OFFSETS_END = -1,
    OFFSETS_START = -2,
    OFFSETS_MAX_TIMESTAMP = -3,
};

/* The leader's epoch is raised at each unclean start, and is the same in Metadata, in stored batches and
 * here. Nothing that a client has read is ever taken back, so no epoch ends before the log does. */
enum kafka_error kafka_epoch_check(const struct kafka *kafka, int32_t epoch)
{
    const int32_t now = (int32_t)store_leader_epoch(kafka->store);
    if (epoch < 0 || epoch == now)
        return KAFKA_OK;
    return epoch < now ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

/* ---- ListOffsets ---- */

struct offsets_row {
    enum kafka_error error;
    int64_t timestamp, offset;
};

/* A look-up of a time: an object of its own, because a worker uses it until it is done. */
struct offsets_lookup {
    struct time_lookup time;
    struct kafka *kafka;
    struct topic *topic;           /* held */
    struct kafka_offsets *offsets; /* NULL: nobody waits any more */
};

struct kafka_offsets {
    struct kafka_call call;
    struct kafka *kafka;
    struct offsets_lookup *lookup;
    uint8_t *body;
    uint32_t body_bytes;
    struct kafka_in in; /* in it: at the topics */
    uint32_t count, at;
    struct offsets_row rows[];
};

/* One row of the request. */
struct offsets_query {
    int32_t number, epoch;
    int64_t timestamp;
};

static struct offsets_query offsets_query(struct kafka_in *in)
{
    struct offsets_query q = { .number = kafka_get_i32(in), .epoch = -1 };
    if (in->version >= 4)
        q.epoch = kafka_get_i32(in);
    q.timestamp = kafka_get_i64(in);
    kafka_get_tags(in);
    return q;
}

static void offsets_free(struct kafka_offsets *o)
{
    if (o->lookup)
        o->lookup->offsets = NULL;
    mem_free(MEM_KAFKA, o->body, o->body_bytes);
    mem_free(MEM_KAFKA, o, sizeof(*o) + o->count * sizeof(o->rows[0]));
}

static void offsets_gone(struct kafka_call *call)
{
    offsets_free(CONTAINER_OF(call, struct kafka_offsets, call));
}

static void offsets_put_row(struct kafka_offsets *o, struct kafka_out *out, int32_t number,
                            const struct offsets_row *row)
{
    kafka_put_i32(out, number);
    kafka_put_i16(out, row->error);
    kafka_put_i64(out, row->timestamp);
    kafka_put_i64(out, row->offset);
    if (out->version >= 4)
        kafka_put_i32(out, row->offset < 0 ? -1 : (int32_t)store_leader_epoch(o->kafka->store));
    kafka_put_tags(out);
    o->kafka->stats.errors += row->error != KAFKA_OK;
}

static void offsets_reply(struct kafka_offsets *o)
{
    struct kafka_in in = o->in;
    uint32_t at = 0;
    struct kafka_out *out = kafka_call_reply(&o->call);
    if (out->version >= 2)
        kafka_put_i32(out, 0); /* throttle time */
    const int32_t topics = kafka_get_count(&in);
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        kafka_put_string(out, kafka_get_string(&in));
        const int32_t partitions = kafka_get_count(&in);
        kafka_put_count(out, partitions);
        for (int32_t k = 0; k < partitions; k++, at++)
            offsets_put_row(o, out, offsets_query(&in).number, &o->rows[at]);
        kafka_get_tags(&in);
        kafka_put_tags(out);
    }
    kafka_put_tags(out);
    CHECK(at == o->count);
    kafka_call_end(&o->call, 0);
    offsets_free(o);
}

static void offsets_advance(struct kafka_offsets *o);

static void offsets_time_done(struct time_lookup *time)
{
    struct offsets_lookup *l = CONTAINER_OF(time, struct offsets_lookup, time);
    struct kafka *kafka = l->kafka;
    struct kafka_offsets *o = l->offsets;
    if (o) {
        o->lookup = NULL;
        struct offsets_row *row = &o->rows[o->at++];
        row->error = kafka_error_of(time->error);
        if (time->error == ERR_OK && time->found_ms >= 0) {
            row->offset = (int64_t)time->offset;
            row->timestamp = time->found_ms;
        } /* else none is that late: not an error */
    }
    topic_release(kafka->store, l->topic);
    kafka->jobs--;
    mem_free(MEM_KAFKA, l, sizeof(*l));
    if (o)
        offsets_advance(o);
}

static void offsets_time(struct kafka_offsets *o, struct partition *p, int64_t timestamp_ms)
{
    struct offsets_lookup *l = mem_zalloc(MEM_KAFKA, sizeof(*l));
    l->kafka = o->kafka;
    l->topic = partition_topic(p);
    l->offsets = o;
    topic_hold(l->topic);
    o->kafka->jobs++;
    o->lookup = l;
    time_lookup_start(&l->time, p, timestamp_ms, offsets_time_done);
}

/* Answers a row, or starts to: false. */
static bool offsets_row(struct kafka_offsets *o, struct bytes topic, const struct offsets_query *q)
{
    struct offsets_row *row = &o->rows[o->at];
    struct partition *p = kafka_partition(o->kafka, topic, q->number);
    *row = (struct offsets_row){ KAFKA_OK, -1, -1 };
    row->error = p ? kafka_epoch_check(o->kafka, q->epoch) : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (row->error)
        return true;
    int64_t timestamp = q->timestamp;
    if (timestamp == OFFSETS_MAX_TIMESTAMP)
        timestamp = partition_max_timestamp(p); /* -1 when it is empty */
    else if (timestamp == OFFSETS_END)
        row->offset = (int64_t)partition_end(p);
    else if (timestamp == OFFSETS_START)
        row->offset = (int64_t)partition_start(p);
    else if (timestamp < 0)
        row->error = KAFKA_INVALID_REQUEST;
    if (timestamp < 0 || partition_start(p) == partition_end(p))
        return true;
    offsets_time(o, p, timestamp);
    return false;
}

/* Goes on with the row that comes next; answers after the last. */
static void offsets_advance(struct kafka_offsets *o)
{
    struct kafka_in in = o->in;
    uint32_t at = 0;
    for (int32_t topics = kafka_get_count(&in); topics; topics--) {
        const struct bytes topic = kafka_get_string(&in);
        for (int32_t partitions = kafka_get_count(&in); partitions; partitions--, at++) {
            const struct offsets_query q = offsets_query(&in);
            if (at < o->at)
                continue;
            if (!offsets_row(o, topic, &q))
                return;
            o->at++;
        }
        kafka_get_tags(&in);
    }
    offsets_reply(o);
}

static uint32_t offsets_count(struct kafka_in in)
{
    uint32_t count = 0;
    for (int32_t topics = kafka_get_count(&in); topics; topics--) {
        (void)kafka_get_string(&in);
        const int32_t partitions = kafka_get_count(&in);
        count += (uint32_t)partitions;
        for (int32_t i = 0; i < partitions; i++)
            (void)offsets_query(&in);
        kafka_get_tags(&in);
    }
    return count;
}

enum net_take kafka_list_offsets(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    (void)kafka_get_i32(&in); /* replica id */
    if (rq->version >= 2)
        (void)kafka_get_i8(&in); /* isolation level: without transactions both are one */
    const uint32_t count = offsets_count(in);
    if (count > OFFSETS_ROWS_MAX)
        return kafka_fail(s, rq, "more than 16384 partitions in one ListOffsets");
    struct kafka_offsets *o = mem_zalloc(MEM_KAFKA, sizeof(*o) + count * sizeof(o->rows[0]));
    o->kafka = s->kafka;
    o->count = count;
    o->body_bytes = reader_left(&in.r);
    o->body = mem_alloc(MEM_KAFKA, o->body_bytes);
    memcpy(o->body, in.r.at, o->body_bytes);
    o->in = in;
    o->in.r = reader_of(o->body, o->body_bytes);
    kafka_call_begin(&o->call, s, rq, offsets_gone);
    offsets_advance(o);
    return NET_TAKEN;
}

/* ---- OffsetForLeaderEpoch ---- */

static void epoch_put_row(struct kafka *kafka, struct kafka_out *out, struct bytes topic, struct kafka_in *in)
{
    const int32_t number = kafka_get_i32(in), current = kafka_get_i32(in), asked = kafka_get_i32(in);
    kafka_get_tags(in);
    const struct partition *p = kafka_partition(kafka, topic, number);
    const enum kafka_error error = p ? kafka_epoch_check(kafka, current) : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    const bool known = !error && asked >= 0 && asked <= (int32_t)store_leader_epoch(kafka->store);
    kafka_put_i16(out, error);
    kafka_put_i32(out, number);
    kafka_put_i32(out, known ? asked : -1);
    kafka_put_i64(out, known ? (int64_t)partition_end(p) : -1);
    kafka_put_tags(out);
    kafka->stats.errors += error != KAFKA_OK;
}

enum net_take kafka_offset_for_leader_epoch(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    if (rq->version >= 3)
        (void)kafka_get_i32(&in); /* replica id */
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    const int32_t topics = kafka_get_count(&in);
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        const struct bytes topic = kafka_get_string(&in);
        kafka_put_string(out, topic);
        const int32_t partitions = kafka_get_count(&in);
        kafka_put_count(out, partitions);
        for (int32_t k = 0; k < partitions; k++)
            epoch_put_row(s->kafka, out, topic, &in);
        kafka_get_tags(&in);
        kafka_put_tags(out);
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}
