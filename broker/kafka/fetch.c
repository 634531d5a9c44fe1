/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/fetch.c: Fetch: batches of many partitions in one reply, at once or when there are enough.
 *
 *   fetch_run() --enough, an error, or time is up--> reply
 *        ^  |
 *        |  +-- too little: waiters on all partitions, and the timer
 *        |  +-- not in memory: one read of segments, whose end comes back here
 *        |  +-- no memory for output: the timer, soon
 *        +-----------------------------------------+
 *
 * The reply's fields are encoded in one piece, with marks where lent batches go between them.
 *
 * Bounds: a connection has one Fetch at a time, which lends FETCH_BYTES_MAX at most, and nothing while what
 * it was given before is not sent; in one reply one partition is read from segments, in turn, the others come
 * from memory or have to be asked for again.
 */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka_own.h"

enum {
    FETCH_PARTITIONS_MAX = 16 * 1024,
    FETCH_BYTES_MAX = 4 * 1024 * 1024,
    FETCH_HISTORY_BYTES = 1024 * 1024, /* one read of segments */
    FETCH_RETRY_MS = 10,               /* while memory for output is short */
    FETCH_WAIT_MS_MAX = 300000,
};

struct fetch_part {
    struct waiter waiter;
    struct kafka_fetch *fetch;
    struct topic *topic; /* held; NULL: there is none */
    struct partition *partition;
    uint64_t offset;
    uint32_t bytes_max;
    enum kafka_error error;
};

/* A read of segments: an object of its own, because a worker uses it until it is done. */
struct fetch_reading {
    struct history_read history;
    struct kafka *kafka;
    struct topic *topic;       /* held */
    struct kafka_fetch *fetch; /* NULL: nobody waits any more */
    struct fetch_part *part;
};

struct kafka_fetch {
    struct kafka_call call;
    struct kafka *kafka;
    struct timer timer;
    uint64_t deadline_ms;
    uint32_t bytes_min, bytes_max;
    bool committed;     /* read_committed: the list of aborted transactions is empty and not null */
    bool first;         /* nothing is in the reply yet: one batch goes in whatever its size */
    bool segments_read; /* it had its turn */
    struct fetch_reading *reading;
    uint8_t *body; /* the request's, for the names */
    uint32_t body_bytes;
    struct kafka_in in; /* in it: at the topics */
    uint32_t count;
    struct kafka_lent *lent; /* of each part: its batches, and where they go in the encoded reply */
    struct fetch_part parts[];
};

static void fetch_run(struct kafka_fetch *f);

/* ---- life ---- */

static uint64_t fetch_now_ms(const struct kafka *kafka)
{
    return kafka->clock->mono_ns / 1000000;
}

static void fetch_quiet(struct kafka_fetch *f)
{
    timer_stop(f->kafka->timers, &f->timer);
    for (uint32_t i = 0; i < f->count; i++)
        waiter_cancel(&f->parts[i].waiter);
}

static void fetch_free(struct kafka_fetch *f)
{
    struct kafka *kafka = f->kafka;
    fetch_quiet(f);
    if (f->reading)
        f->reading->fetch = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        slice_release(kafka->store, &f->lent[i].slice);
        if (f->parts[i].topic)
            topic_release(kafka->store, f->parts[i].topic);
    }
    mem_free(MEM_KAFKA, f->lent, f->count * sizeof(f->lent[0]));
    mem_free(MEM_KAFKA, f->body, f->body_bytes);
    mem_free(MEM_KAFKA, f, sizeof(*f) + f->count * sizeof(f->parts[0]));
}

static void fetch_gone(struct kafka_call *call)
{
    fetch_free(CONTAINER_OF(call, struct kafka_fetch, call));
}

static void fetch_wake(struct waiter *waiter)
{
    fetch_run(CONTAINER_OF(waiter, struct fetch_part, waiter)->fetch);
}

static void fetch_timer(struct timer *timer)
{
    fetch_run(CONTAINER_OF(timer, struct kafka_fetch, timer));
}

/* ---- the reply ---- */

static void fetch_put_part(struct kafka_fetch *f, struct kafka_out *out, int32_t number, uint32_t at)
{
    const struct fetch_part *part = &f->parts[at];
    const struct partition *p = part->topic && !part->topic->deleted ? part->partition : NULL;
    const int64_t end = p ? (int64_t)partition_end(p) : -1;
    kafka_put_i32(out, number);
    kafka_put_i16(out, part->error);
    kafka_put_i64(out, end); /* high watermark */
    kafka_put_i64(out, end); /* last stable offset: there are no transactions */
    if (out->version >= 5)
        kafka_put_i64(out, p ? (int64_t)partition_start(p) : -1);
    kafka_put_count(out, f->committed ? 0 : -1); /* aborted transactions */
    if (out->version >= 11)
        kafka_put_i32(out, -1); /* no better replica to read from */
    kafka_put_bytes_length(out, f->lent[at].slice.bytes);
    f->lent[at].at = out->len;
    kafka_put_tags(out);
    f->kafka->stats.errors += part->error != KAFKA_OK;
}

static void fetch_put_topics(struct kafka_fetch *f, struct kafka_out *out)
{
    struct kafka_in in = f->in;
    uint32_t at = 0;
    const int32_t topics = kafka_get_count(&in);
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        kafka_put_string(out, kafka_get_string(&in));
        const int32_t partitions = kafka_get_count(&in);
        kafka_put_count(out, partitions);
        for (int32_t k = 0; k < partitions; k++, at++) {
            fetch_put_part(f, out, kafka_get_i32(&in), at);
            (void)read_raw(&in.r, (in.version >= 9 ? 4 : 0) + 8 + (in.version >= 12 ? 4 : 0) +
                                      (in.version >= 5 ? 8 : 0) + 4);
            kafka_get_tags(&in);
        }
        kafka_get_tags(&in);
        kafka_put_tags(out);
    }
    CHECK(at == f->count);
}

/* Encodes the fields and sends them with the batches between them; the fetch is over. */
static void fetch_reply(struct kafka_fetch *f)
{
    struct kafka_out *out = kafka_call_reply(&f->call);
    kafka_put_i32(out, 0); /* throttle time */
    if (out->version >= 7) {
        kafka_put_i16(out, KAFKA_OK);
        kafka_put_i32(out, 0); /* no session: each request names all that it wants */
    }
    fetch_put_topics(f, out);
    kafka_put_tags(out);
    kafka_call_end_lending(&f->call, f->lent, f->count);
    fetch_free(f);
}

/* ---- gathering ---- */

static void fetch_put_back(struct kafka_fetch *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        slice_release(f->kafka->store, &f->lent[i].slice);
}

/* As many whole batches of the slice as fit, one at least when nothing is in the reply yet. */
static void fetch_cut(struct kafka_fetch *f, struct slice *slice, uint32_t bytes_max)
{
    uint32_t at = 0;
    while (at < slice->bytes) {
        const uint64_t batch = batch_bytes(slice->data + at, slice->bytes - at);
        CHECK(batch > 0 && batch <= slice->bytes - at); /* slices hold whole batches */
        if (at + batch > bytes_max && !(f->first && at == 0))
            break;
        at += (uint32_t)batch;
    }
    slice->bytes = at;
}

enum fetch_found { FETCH_NOTHING, FETCH_SOME, FETCH_ERROR, FETCH_HISTORY };

/* Takes from memory what one partition has, up to `left` bytes. */
static enum fetch_found fetch_gather_part(struct kafka_fetch *f, uint32_t i, uint32_t left)
{
    struct fetch_part *part = &f->parts[i];
    struct slice *slice = &f->lent[i].slice;
    struct cursor cursor = { .offset = part->offset };
    if (part->error)
        return FETCH_ERROR;
    if (slice->bytes)
        return FETCH_SOME; /* read from segments */
    const uint32_t bytes_max = left < part->bytes_max ? left : part->bytes_max;
    switch (partition_read(part->partition, &cursor, bytes_max, slice)) {
    case READ_DATA:
        fetch_cut(f, slice, bytes_max);
        if (slice->bytes)
            return FETCH_SOME;
        slice_release(f->kafka->store, slice);
        return FETCH_NOTHING;
    case READ_END:
        return FETCH_NOTHING;
    case READ_HISTORY:
        return FETCH_HISTORY;
    case READ_BELOW:
    case READ_ABOVE:
        part->error = KAFKA_OFFSET_OUT_OF_RANGE;
        return FETCH_ERROR;
    case READ_GONE:
        part->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return FETCH_ERROR;
    }
    UNREACHABLE();
}

/* Of those whose batches are not in memory, the one whose turn it is. */
struct fetch_gathered {
    uint32_t bytes;
    bool error;
    struct fetch_part *history;
};

static struct fetch_gathered fetch_gather(struct kafka_fetch *f)
{
    struct fetch_gathered g = { 0 };
    const uint32_t turn = f->count ? f->call.session->history_next % f->count : 0;
    f->first = true;
    for (uint32_t i = 0; i < f->count; i++) {
        struct fetch_part *part = &f->parts[i];
        const uint32_t left = f->bytes_max > g.bytes ? f->bytes_max - g.bytes : 0;
        switch (fetch_gather_part(f, i, left)) {
        case FETCH_NOTHING:
            break;
        case FETCH_SOME:
            g.bytes += f->lent[i].slice.bytes;
            f->first = false;
            break;
        case FETCH_ERROR:
            g.error = true;
            break;
        case FETCH_HISTORY:
            if (!g.history || (i >= turn && g.history < &f->parts[turn]))
                g.history = part;
            break;
        }
    }
    return g;
}

/* ---- segments ---- */

static void fetch_history_done(struct history_read *read)
{
    struct fetch_reading *r = CONTAINER_OF(read, struct fetch_reading, history);
    struct kafka *kafka = r->kafka;
    struct kafka_fetch *f = r->fetch;
    if (f) {
        f->reading = NULL;
        if (read->error == ERR_OK) {
            struct slice *slice = &f->lent[r->part - f->parts].slice;
            *slice = read->slice;
            read->slice = (struct slice){ 0 };
            f->first = true;
            fetch_cut(f, slice, r->part->bytes_max < f->bytes_max ? r->part->bytes_max : f->bytes_max);
        } else if (read->error != ERR_OFFSET_OUT_OF_RANGE) { /* else deleted meanwhile: looked at again */
            r->part->error = kafka_error_of(read->error);
        }
    }
    slice_release(kafka->store, &read->slice);
    topic_release(kafka->store, r->topic);
    kafka->jobs--;
    mem_free(MEM_KAFKA, r, sizeof(*r));
    if (f)
        fetch_run(f);
}

static void fetch_history(struct kafka_fetch *f, struct fetch_part *part)
{
    struct fetch_reading *r = mem_zalloc(MEM_KAFKA, sizeof(*r));
    const uint32_t bytes = part->bytes_max < FETCH_HISTORY_BYTES ? part->bytes_max : FETCH_HISTORY_BYTES;
    r->kafka = f->kafka;
    r->topic = part->topic;
    r->fetch = f;
    r->part = part;
    topic_hold(r->topic);
    f->kafka->jobs++;
    f->reading = r;
    f->segments_read = true;
    f->call.session->history_next = (uint32_t)(part - f->parts) + 1;
    history_start(&r->history, part->partition, part->offset, bytes, fetch_history_done);
}

/* ---- deciding ---- */

static void fetch_wait(struct kafka_fetch *f, uint64_t now_ms)
{
    for (uint32_t i = 0; i < f->count; i++)
        partition_wait(f->parts[i].partition, &f->parts[i].waiter);
    timer_start(f->kafka->timers, &f->timer, f->deadline_ms - now_ms);
}

static void fetch_run(struct kafka_fetch *f)
{
    const uint64_t now_ms = fetch_now_ms(f->kafka);
    if (f->reading)
        return;
    fetch_quiet(f);
    /* What was given before must be on its way: a consumer that does not read holds one reply, not many. */
    if (!net_send_room(f->kafka->net) || !conn_out_room(f->call.session->conn)) {
        timer_start(f->kafka->timers, &f->timer, FETCH_RETRY_MS);
        return;
    }
    const struct fetch_gathered g = fetch_gather(f);
    if (g.history && !g.error && !f->segments_read) {
        fetch_put_back(f);
        fetch_history(f, g.history);
    } else if (g.error || f->segments_read || g.bytes >= f->bytes_min || now_ms >= f->deadline_ms) {
        fetch_reply(f);
    } else {
        fetch_put_back(f);
        fetch_wait(f, now_ms);
    }
}

/* ---- the request ---- */

static void fetch_part_init(struct kafka_fetch *f, struct fetch_part *part, struct bytes topic,
                            struct kafka_in *in)
{
    part->fetch = f;
    part->partition = kafka_partition(f->kafka, topic, kafka_get_i32(in));
    const int32_t epoch = in->version >= 9 ? kafka_get_i32(in) : -1;
    const int64_t offset = kafka_get_i64(in);
    if (in->version >= 12)
        (void)kafka_get_i32(in); /* last fetched epoch */
    if (in->version >= 5)
        (void)kafka_get_i64(in); /* log start offset: of followers */
    const int32_t bytes_max = kafka_get_i32(in);
    kafka_get_tags(in);
    waiter_init(&part->waiter, fetch_wake);
    part->offset = offset < 0 ? 0 : (uint64_t)offset;
    part->bytes_max = bytes_max < 0 ? 0 : (uint32_t)bytes_max;
    if (!part->partition) {
        part->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    part->topic = partition_topic(part->partition);
    topic_hold(part->topic);
    part->error = offset < 0 ? KAFKA_OFFSET_OUT_OF_RANGE : kafka_epoch_check(f->kafka, epoch);
}

static void fetch_parts_init(struct kafka_fetch *f)
{
    struct kafka_in in = f->in;
    uint32_t at = 0;
    for (int32_t topics = kafka_get_count(&in); topics; topics--) {
        const struct bytes topic = kafka_get_string(&in);
        for (int32_t partitions = kafka_get_count(&in); partitions; partitions--)
            fetch_part_init(f, &f->parts[at++], topic, &in);
        kafka_get_tags(&in);
    }
    CHECK(at == f->count);
}

static uint32_t fetch_count(struct kafka_in in)
{
    uint32_t count = 0;
    for (int32_t topics = kafka_get_count(&in); topics; topics--) {
        (void)kafka_get_string(&in);
        const int32_t partitions = kafka_get_count(&in);
        count += (uint32_t)partitions;
        for (int32_t i = 0; i < partitions; i++) {
            (void)read_raw(&in.r, 4 + (in.version >= 9 ? 4 : 0) + 8 + (in.version >= 12 ? 4 : 0) +
                                      (in.version >= 5 ? 8 : 0) + 4);
            kafka_get_tags(&in);
        }
        kafka_get_tags(&in);
    }
    return count;
}

static uint32_t fetch_clamp(int32_t v, uint32_t max)
{
    return v < 0 ? 0 : (uint32_t)v < max ? (uint32_t)v : max;
}

enum net_take kafka_fetch(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka *kafka = s->kafka;
    struct kafka_in in = rq->in;
    (void)kafka_get_i32(&in); /* replica id */
    const uint32_t wait_ms = fetch_clamp(kafka_get_i32(&in), FETCH_WAIT_MS_MAX);
    const int32_t bytes_min = kafka_get_i32(&in);
    const uint32_t bytes_max = fetch_clamp(kafka_get_i32(&in), FETCH_BYTES_MAX);
    const bool committed = kafka_get_i8(&in) == 1;
    if (rq->version >= 7)
        (void)kafka_get_i64(&in); /* session id and epoch: every request is a full one */
    const uint32_t count = fetch_count(in);
    if (count > FETCH_PARTITIONS_MAX)
        return kafka_fail(s, rq, "more than 16384 partitions in one Fetch");
    struct kafka_fetch *f = mem_zalloc(MEM_KAFKA, sizeof(*f) + count * sizeof(f->parts[0]));
    f->kafka = kafka;
    f->bytes_max = bytes_max;
    f->bytes_min = fetch_clamp(bytes_min, bytes_max);
    f->deadline_ms = fetch_now_ms(kafka) + wait_ms;
    f->committed = committed;
    f->count = count;
    f->lent = mem_zalloc(MEM_KAFKA, count * sizeof(f->lent[0]));
    f->body_bytes = reader_left(&in.r);
    f->body = mem_alloc(MEM_KAFKA, f->body_bytes);
    memcpy(f->body, in.r.at, f->body_bytes);
    f->in = in;
    f->in.r = reader_of(f->body, f->body_bytes);
    timer_init(&f->timer, fetch_timer);
    fetch_parts_init(f);
    kafka_call_begin(&f->call, s, rq, fetch_gone);
    fetch_run(f);
    return NET_TAKEN;
}
