/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/produce.c: Produce: each partition's batch is checked and stored as it came, or refused, on its own.
 *
 * A request may carry more than one commit takes. So batches are stored one by one, and when there is no room
 * for the next, what became of those before it is kept in `struct kafka_produce`; the frame is offered again,
 * and goes on where it stopped. The order within each partition is the order of requests, because a
 * connection that waits is not asked for its next one.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka_own.h"

enum {
    PRODUCE_VERSION_MIN = 3,      /* before: message formats 0 and 1 */
    PRODUCE_VERSION_ZSTD = 7,     /* and its readers know zstd */
    PRODUCE_ROWS_MAX = 16 * 1024, /* batches in a request; clients send far fewer */
    PRODUCE_TEXT_BYTES = 200,     /* of the sentence in a reply */
    BATCH_MAGIC_AT = 16,
};

/* What became of one partition's batch. */
struct produce_row {
    enum kafka_error error;
    int64_t base_offset, append_ms, start_offset;
    char *why; /* when error: owned, PRODUCE_TEXT_BYTES; NULL: nothing to add */
};

struct kafka_produce {
    uint32_t count, done; /* rows; of them, those that are decided */
    uint64_t sequence;    /* makes all that was stored durable */
    bool failed;
    struct produce_row rows[];
};

/* The fixed fields in front of the topics. */
struct produce_head {
    bool transactional;
    int16_t acks;
};

static struct produce_head produce_head(struct kafka_in *in)
{
    struct produce_head h;
    h.transactional = kafka_get_string(in).at != NULL;
    h.acks = kafka_get_i16(in);
    (void)kafka_get_i32(in); /* time-out: storing takes as long as it takes, and is never given up */
    return h;
}

/* Walks the batches of a request in its order. */
struct produce_walk {
    struct kafka_in in;
    int32_t topics, partitions;
    struct bytes topic;
    int32_t number;
    struct bytes records;
};

static struct produce_walk produce_walk(struct kafka_in in)
{
    struct produce_walk w = { .in = in };
    w.topics = kafka_get_count(&w.in);
    return w;
}

static bool produce_next(struct produce_walk *w)
{
    while (w->partitions == 0) {
        if (w->topics == 0)
            return false;
        w->topics--;
        w->topic = kafka_get_string(&w->in);
        w->partitions = kafka_get_count(&w->in);
        if (w->partitions == 0)
            kafka_get_tags(&w->in);
    }
    w->number = kafka_get_i32(&w->in);
    w->records = kafka_get_bytes(&w->in);
    kafka_get_tags(&w->in);
    if (--w->partitions == 0)
        kafka_get_tags(&w->in);
    return true;
}

/* ---- one batch ---- */

static enum kafka_error produce_check_bytes(const struct kafka *kafka, int16_t version, struct bytes records,
                                            struct batch *batch, char *why)
{
    if (records.len <= BATCH_MAGIC_AT || records.at[BATCH_MAGIC_AT] != 2) {
        snprintf(why, KAFKA_WHY_BYTES, "one batch of message format 2 is taken, nothing else");
        return KAFKA_INVALID_RECORD;
    }
    if (records.len > kafka->options.produce_bytes_max) {
        snprintf(why, KAFKA_WHY_BYTES, "the batch of %u bytes is larger than a commit (frame.bytes.max)",
                 records.len);
        return KAFKA_MESSAGE_TOO_LARGE;
    }
    if (batch_decode(batch, records.at, records.len) && batch->attributes & BATCH_TRANSACTIONAL) {
        snprintf(why, KAFKA_WHY_BYTES, "transactions are not supported: do not set transactional.id");
        return KAFKA_INVALID_TXN_STATE;
    }
    const enum error error = batch_check(batch, records.at, records.len, why);
    if (error != ERR_OK)
        return kafka_error_of(error);
    if (batch->bytes != records.len) {
        snprintf(why, KAFKA_WHY_BYTES, "%u bytes follow the batch: one batch for each partition",
                 records.len - batch->bytes);
        return KAFKA_INVALID_RECORD;
    }
    if ((batch->attributes & 7) == CODEC_ZSTD && version < PRODUCE_VERSION_ZSTD) {
        snprintf(why, KAFKA_WHY_BYTES, "zstd needs version %d of Produce", PRODUCE_VERSION_ZSTD);
        return KAFKA_UNSUPPORTED_COMPRESSION;
    }
    return KAFKA_OK;
}

static enum kafka_error produce_check(struct kafka_session *s, const struct kafka_request *rq,
                                      const struct produce_walk *w, const struct produce_head *h,
                                      struct partition **p, struct batch *batch, char *why)
{
    struct kafka *kafka = s->kafka;
    if (h->acks < -1 || h->acks > 1) {
        snprintf(why, KAFKA_WHY_BYTES, "acks is %d: use -1 (all), 1 or 0", h->acks);
        return KAFKA_INVALID_REQUIRED_ACKS;
    }
    if (h->transactional) {
        snprintf(why, KAFKA_WHY_BYTES, "transactions are not supported: do not set transactional.id");
        return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    }
    enum error error = kafka_admit(kafka, why);
    if (error == ERR_OK)
        error = store_accepts(kafka->store, why);
    if (error != ERR_OK)
        return kafka_error_of(error);
    *p = kafka_partition(kafka, w->topic, w->number);
    if (!*p) {
        snprintf(why, KAFKA_WHY_BYTES, "there is no such topic or partition");
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    const enum kafka_error bytes_error = produce_check_bytes(kafka, rq->version, w->records, batch, why);
    if (bytes_error)
        return bytes_error;
    error = partition_check(*p, batch, why);
    if (error == ERR_OK)
        error = partition_check_contents(*p, batch, why);
    if (error == ERR_OK)
        error = duplicates_check(*p, batch, why);
    return kafka_error_of(error);
}

static void produce_store(struct kafka *kafka, struct kafka_produce *q, struct produce_row *row,
                          struct partition *p, const struct batch *batch)
{
    struct append_result result;
    partition_append(p, batch, &result);
    row->base_offset = (int64_t)result.base_offset;
    if (partition_topic(p)->settings.timestamp_type && !result.duplicate)
        row->append_ms = kafka->clock->wall_ms;
    if (result.sequence > q->sequence)
        q->sequence = result.sequence;
}

static void produce_refused(struct kafka *kafka, struct kafka_produce *q, struct produce_row *row,
                            const char *why)
{
    row->why = mem_alloc(MEM_KAFKA, PRODUCE_TEXT_BYTES);
    snprintf(row->why, PRODUCE_TEXT_BYTES, "%s", why);
    q->failed = true;
    kafka->stats.errors++;
}

/* Decides one row. False: it must wait for room. */
static bool produce_one(struct kafka_session *s, const struct kafka_request *rq, const struct produce_walk *w,
                        const struct produce_head *h, struct kafka_produce *q)
{
    struct kafka *kafka = s->kafka;
    struct produce_row *row = &q->rows[q->done];
    struct partition *p = NULL;
    struct batch batch;
    char why[KAFKA_WHY_BYTES] = "";
    /* Room first: what must wait is looked at again from the start, and its checksum is computed then. */
    if (w->records.len <= kafka->options.produce_bytes_max &&
        !kafka_room_for(s, JOURNAL_NORMAL, 1, w->records.len))
        return false;
    *row = (struct produce_row){ .base_offset = -1, .append_ms = -1, .start_offset = -1 };
    duplicates_begin(kafka->store);
    row->error = produce_check(s, rq, w, h, &p, &batch, why);
    if (row->error) {
        /* What it says of an event that was published before waits until that one is durable. */
        const uint64_t sequence = duplicates_found(kafka->store).sequence;
        q->sequence = sequence > q->sequence ? sequence : q->sequence;
        duplicates_begin(kafka->store);
        produce_refused(kafka, q, row, why);
    } else
        produce_store(kafka, q, row, p, &batch);
    if (p)
        row->start_offset = (int64_t)partition_start(p);
    q->done++;
    return true;
}

/* ---- the request ---- */

static void produce_free(struct kafka_session *s)
{
    struct kafka_produce *q = s->produce;
    for (uint32_t i = 0; i < q->done; i++)
        mem_free(MEM_KAFKA, q->rows[i].why, q->rows[i].why ? PRODUCE_TEXT_BYTES : 0);
    mem_free(MEM_KAFKA, q, sizeof(*q) + q->count * sizeof(q->rows[0]));
    s->produce = NULL;
}

void kafka_produce_closed(struct kafka_session *s)
{
    if (s->produce)
        produce_free(s);
}

static void produce_reply_row(struct kafka_out *out, int32_t number, const struct produce_row *row)
{
    kafka_put_i32(out, number);
    kafka_put_i16(out, row->error);
    kafka_put_i64(out, row->base_offset);
    kafka_put_i64(out, row->append_ms);
    if (out->version >= 5)
        kafka_put_i64(out, row->start_offset);
    if (out->version >= 8) {
        kafka_put_count(out, 0); /* records at fault: `why` says more */
        kafka_put_text(out, row->why);
    }
    kafka_put_tags(out);
}

static enum net_take produce_reply(struct kafka_session *s, const struct kafka_request *rq,
                                   struct kafka_in in)
{
    const struct kafka_produce *q = s->produce;
    const uint64_t sequence = q->sequence;
    uint32_t at = 0;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    const int32_t topics = kafka_get_count(&in);
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        kafka_put_string(out, kafka_get_string(&in));
        const int32_t partitions = kafka_get_count(&in);
        kafka_put_count(out, partitions);
        for (int32_t k = 0; k < partitions; k++, at++) {
            produce_reply_row(out, kafka_get_i32(&in), &q->rows[at]);
            (void)kafka_get_bytes(&in);
            kafka_get_tags(&in);
        }
        kafka_get_tags(&in);
        kafka_put_tags(out);
    }
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_tags(out);
    CHECK(out->bad || at == q->count);
    produce_free(s);
    return kafka_reply_end(s, rq, sequence);
}

/* Without acknowledgements nobody waits for an answer: an error ends the connection, the only way to tell. */
static enum net_take produce_silent(struct kafka_session *s, const struct kafka_request *rq)
{
    const bool failed = s->produce->failed;
    produce_free(s);
    return failed ? kafka_fail(s, rq, "a batch sent with acks=0 was refused") : NET_TAKEN;
}

static uint32_t produce_count(struct kafka_in in)
{
    struct produce_walk w = produce_walk(in);
    uint32_t count = 0;
    while (produce_next(&w))
        count++;
    return count;
}

/* False: all that may be unanswered is. */
static bool produce_inflight(const struct kafka *kafka, uint32_t bytes)
{
    return kafka->stats.inflight_bytes == 0 ||
           kafka->stats.inflight_bytes + bytes <= kafka->options.inflight_bytes_max;
}

enum net_take kafka_produce(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    if (rq->version < PRODUCE_VERSION_MIN)
        return kafka_fail(s, rq, "message formats 0 and 1 are not taken: update the client");
    const struct produce_head head = produce_head(&in);
    if (!s->produce) {
        const uint32_t count = produce_count(in);
        if (count > PRODUCE_ROWS_MAX)
            return kafka_fail(s, rq, "more than 16384 batches in a request");
        s->produce = mem_zalloc(MEM_KAFKA, sizeof(*s->produce) + count * sizeof(s->produce->rows[0]));
        s->produce->count = count;
    }
    if (!produce_inflight(s->kafka, rq->bytes))
        return kafka_park(s);
    struct produce_walk w = produce_walk(in);
    for (uint32_t i = 0; produce_next(&w); i++) {
        if (i >= s->produce->done && !produce_one(s, rq, &w, &head, s->produce))
            return kafka_park(s);
    }
    return head.acks == 0 ? produce_silent(s, rq) : produce_reply(s, rq, in);
}

/* ---- InitProducerId ---- */

enum net_take kafka_init_producer_id(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    char why[KAFKA_WHY_BYTES];
    /* Fatal, and not one of those that clients ask again upon for ever. */
    enum kafka_error error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    if (!kafka_get_string(&in).at)
        error = kafka_error_of(kafka_admit(s->kafka, why));
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_i16(out, error);
    /* A new id each time, also to who has one and wants a higher epoch: then both are new to all partitions.
     */
    kafka_put_i64(out, error ? -1 : store_producer_id(s->kafka->store));
    kafka_put_i16(out, error ? -1 : 0);
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}
