/* SPDX-License-Identifier: Apache-2.0
 *
 * client/producer.c: a producer's life: opening the topic, getting an id, reconnecting, closing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/producer.h"
#include "proto/name.h"

struct runnel_producer *producer_next(const struct runnel_producer *p)
{
    return TAILQ_NEXT(p, link);
}

/* ---- life ---- */

static void producer_pause(struct runnel_producer *p, enum producer_state state)
{
    p->state = state;
    p->retry_at_ms = client_now_ms() + client_backoff_ms(p->client, p->attempts++);
}

void producer_fail(struct runnel_producer *p, int code, const char *text)
{
    if (p->state == PRODUCER_FAILED)
        return;
    p->state = PRODUCER_FAILED;
    p->error =
        (struct runnel_error){ .code = code, .retriable = error_retriable((uint16_t)code), .fatal = 1 };
    snprintf(p->error.text, sizeof(p->error.text), "%s", text);
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct part *part = p->parts[i];
        struct pbatch *b;
        if (part->open)
            part_seal(part);
        while ((b = TAILQ_FIRST(&part->queue))) {
            TAILQ_REMOVE(&part->queue, b, link);
            pbatch_settle(b, code, p->error.text);
        }
        part_place(part);
    }
}

static bool parts_grow(struct runnel_producer *p, uint32_t count)
{
    if (count <= p->part_count)
        return true;
    struct part **parts = realloc(p->parts, count * sizeof(*parts));
    if (!parts)
        return false;
    p->parts = parts;
    while (p->part_count < count) {
        struct part *part = calloc(1, sizeof(*part));
        if (!part)
            return false;
        part->producer = p;
        part->index = p->part_count;
        part->renumber = -1;
        TAILQ_INIT(&part->queue);
        TAILQ_INIT(&part->flight);
        p->parts[p->part_count++] = part;
    }
    return true;
}

static void producer_refused(struct runnel_producer *p, const struct reply *reply, enum producer_state again)
{
    if (error_retriable((uint16_t)reply->error)) {
        producer_pause(p, again);
        return;
    }
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)reply->text.len, (const char *)reply->text.at);
    producer_fail(p, reply->error, reply->text.len ? text : error_text((uint16_t)reply->error));
}

static void producer_introduced(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct runnel_producer *p = OWNER(struct runnel_producer, request, r);
    struct wire_init_producer_reply body;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error) {
        producer_refused(p, reply, PRODUCER_INTRODUCING);
        return;
    }
    if (!wire_get_init_producer_reply(reply->body, &body) || body.producer_id < 0) {
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to INIT_PRODUCER cannot be understood");
        return;
    }
    p->id = body.producer_id;
    p->id_epoch = body.producer_epoch;
    p->has_id = true;
    p->attempts = 0;
    p->state = PRODUCER_READY;
}

static void producer_opened(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct runnel_producer *p = OWNER(struct runnel_producer, request, r);
    struct wire_open_topic_reply body;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error) {
        producer_refused(p, reply, PRODUCER_OFFLINE);
        return;
    }
    if (!wire_get_open_topic_reply(reply->body, &body) || body.partitions == 0 ||
        body.partitions > PARTITIONS_MAX || body.batch_bytes_max < BATCH_HEADER) {
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to OPEN_TOPIC cannot be understood");
        return;
    }
    if (!parts_grow(p, body.partitions)) {
        producer_fail(p, ERR_CLIENT_QUEUE_FULL, "no memory for the topic's partitions");
        return;
    }
    p->handle = body.handle;
    p->batch_limit = body.batch_bytes_max;
    if (p->batch_limit > c->frame_bytes_max - PRODUCE_PREFIX)
        p->batch_limit = c->frame_bytes_max - PRODUCE_PREFIX;
    p->attempts = 0;
    p->retry_at_ms = 0;
    if (!p->idempotent || p->has_id)
        p->state = PRODUCER_READY;
    else
        producer_renumber(p);
}

static void producer_open(struct runnel_producer *p)
{
    struct runnel_client *c = p->client;
    struct writer w;
    uint8_t *frame;
    /* Only the first time: a topic deleted meanwhile must not come back empty by itself. */
    struct wire_open_topic body = { .name = bytes_of(p->topic),
                                    .create = p->options.create && p->part_count == 0 };
    if (!request_frame(c, &w, &frame, 8 + TOPIC_NAME_MAX))
        return;
    wire_put_open_topic(&w, &body);
    uint32_t id = request_begin(c, &p->request, WIRE_OP_OPEN_TOPIC, producer_opened);
    if (!id)
        return;
    p->state = PRODUCER_OPENING;
    request_send(c, &w, frame, WIRE_OP_OPEN_TOPIC, id);
}

static void producer_introduce(struct runnel_producer *p)
{
    struct runnel_client *c = p->client;
    struct writer w;
    uint8_t *frame;
    if (p->request.id || !request_frame(c, &w, &frame, 0))
        return;
    uint32_t id = request_begin(c, &p->request, WIRE_OP_INIT_PRODUCER, producer_introduced);
    if (id)
        request_send(c, &w, frame, WIRE_OP_INIT_PRODUCER, id);
}

void producer_connected(struct runnel_producer *p)
{
    p->retry_at_ms = 0;
    producer_advance(p, 0);
}

void producer_advance(struct runnel_producer *p, int64_t now_ms)
{
    if (p->client->state != CLIENT_READY)
        return;
    if (p->state == PRODUCER_OFFLINE && p->retry_at_ms <= now_ms)
        producer_open(p);
    if (p->state == PRODUCER_DRAINING && p->in_flight == 0)
        producer_renumber(p);
    if (p->state == PRODUCER_INTRODUCING && p->retry_at_ms <= now_ms)
        producer_introduce(p);
    if (p->state == PRODUCER_READY)
        produce_send(p, now_ms);
}

static void producer_take_back(struct runnel_producer *p)
{
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct part *part = p->parts[i];
        struct pbatch *b;
        while ((b = TAILQ_LAST(&part->flight, pbatch_list))) {
            flight_leave(b);
            TAILQ_INSERT_HEAD(&part->queue, b, link);
        }
        part_place(part);
    }
}

/* The requests have been answered as broken; what has none (acks none) is taken back here. */
void producer_broken(struct runnel_producer *p)
{
    producer_take_back(p);
    if (p->state != PRODUCER_FAILED)
        p->state = PRODUCER_OFFLINE;
}

static int64_t linger_due_ms(const struct runnel_producer *p)
{
    const struct part *part = TAILQ_FIRST(&p->open);
    if (!part || p->state != PRODUCER_READY || !p->options.linger_us || p->in_flight >= p->options.in_flight)
        return INT64_MAX;
    return (part->open->opened_us + p->options.linger_us + 999) / 1000;
}

int64_t producer_due_ms(const struct runnel_producer *p)
{
    int64_t due = INT64_MAX;
    const struct part *part;
    if (p->client->state != CLIENT_READY)
        return due;
    if (p->state == PRODUCER_OFFLINE || (p->state == PRODUCER_INTRODUCING && !p->request.id))
        due = p->retry_at_ms;
    if (p->state == PRODUCER_READY)
        TAILQ_FOREACH(part, &p->paused, link)
    if (part->retry_at_ms < due)
        due = part->retry_at_ms;
    int64_t linger = linger_due_ms(p);
    return linger < due ? linger : due;
}

/* ---- making and ending ---- */

static bool producer_settled(void *ctx)
{
    const struct runnel_producer *p = ctx;
    return p->state == PRODUCER_READY || p->state == PRODUCER_FAILED;
}

static int producer_options(struct runnel_client *c, struct runnel_producer *p, const char *topic,
                            const runnel_options *options)
{
    if (options)
        p->options = options->values;
    else
        options_default(&p->options);
    if (!topic || !topic_name_valid(bytes_of(topic)))
        return client_error(c, ERR_TOPIC_NAME_INVALID,
                            "'%.64s' is not a topic name: use 1 to 249 letters, digits, '.', '_' or '-'",
                            topic ? topic : "");
    snprintf(p->topic, sizeof(p->topic), "%s", topic);
    bool durable = p->options.acks == WIRE_ACKS_DURABLE;
    if (p->options.idempotent == 1 && !durable)
        return client_error(c, ERR_CLIENT_ARGUMENT,
                            "idempotent needs acks=durable: what a crash may take back cannot be remembered");
    p->idempotent = p->options.idempotent < 0 ? durable : p->options.idempotent == 1;
    /* Two batches at least: one is filled while the other is on its way. */
    if (p->options.batch_bytes > p->options.buffer_bytes / 4)
        p->options.batch_bytes = p->options.buffer_bytes / 4;
    return 0;
}

static void producer_free(struct runnel_producer *p)
{
    for (uint32_t i = 0; i < p->part_count; i++)
        free(p->parts[i]);
    free(p->parts);
    batches_free(p);
    free(p);
}

runnel_producer *runnel_producer_new(runnel_client *c, const char *topic, const runnel_options *options,
                                     runnel_delivery_cb on_delivery, void *ctx)
{
    if (client_may_block(c))
        return NULL;
    struct runnel_producer *p = calloc(1, sizeof(*p));
    if (!p) {
        client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a producer");
        return NULL;
    }
    p->client = c;
    p->on_delivery = on_delivery;
    p->ctx = ctx;
    TAILQ_INIT(&p->open);
    TAILQ_INIT(&p->ready);
    TAILQ_INIT(&p->paused);
    TAILQ_INIT(&p->done);
    if (producer_options(c, p, topic, options)) {
        free(p);
        return NULL;
    }
    batches_init(p);
    TAILQ_INSERT_TAIL(&c->producers, p, link);
    int rc = client_wait_until(c, client_now_ms() + c->options.request_timeout_ms, producer_settled, p);
    if (rc == 0 && p->state == PRODUCER_READY) {
        p->sticky = (uint32_t)(client_random(c) % p->part_count);
        return p;
    }
    if (p->state == PRODUCER_FAILED)
        client_error(c, p->error.code, "%s", p->error.text);
    request_cancel(c, &p->request);
    TAILQ_REMOVE(&c->producers, p, link);
    producer_free(p);
    return NULL;
}

/* Takes back what is in flight, so that neither the transport nor an answer refers to it any more. */
static void producer_abandon(struct runnel_producer *p)
{
    struct runnel_client *c = p->client;
    bool sending = false;
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct pbatch *b;
        TAILQ_FOREACH(b, &p->parts[i]->flight, link)
        sending |= b->out.queued;
    }
    /* Half a frame may be out: the connection is of no more use. */
    if (sending)
        client_break(c, ERR_CLIENT_CLOSED, "a producer was closed in the middle of a batch");
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct pbatch *b;
        TAILQ_FOREACH(b, &p->parts[i]->flight, link)
        request_cancel(c, &b->request);
    }
    producer_take_back(p);
}

int runnel_producer_close(runnel_producer *p, int timeout_ms)
{
    if (!p)
        return 0;
    struct runnel_client *c = p->client;
    if (client_may_block(c))
        return -ERR_CLIENT_ARGUMENT;
    int rc = runnel_flush(p, timeout_ms);
    if (p->queued > 0) {
        producer_abandon(p);
        producer_fail(p, ERR_CLIENT_TIMEOUT, "the producer was closed before the broker acknowledged");
        rc = -ERR_CLIENT_TIMEOUT;
    }
    request_cancel(c, &p->request);
    client_report(c);
    TAILQ_REMOVE(&c->producers, p, link);
    producer_free(p);
    return rc;
}

int32_t runnel_producer_partitions(const runnel_producer *p)
{
    return (int32_t)p->part_count;
}
