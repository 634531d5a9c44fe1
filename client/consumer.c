/* SPDX-License-Identifier: Apache-2.0
 *
 * client/consumer.c: a consumer's calls: deliveries are queued as they come and read record by record in
 * place. Credit goes back when a delivery has been read.
 */
#include "client/consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"
#include "proto/name.h"

struct runnel_consumer *consumer_next(const struct runnel_consumer *k)
{
    return TAILQ_NEXT(k, link);
}

/* ---- deliveries ---- */

static bool queue_push(struct runnel_consumer *k, const struct delivery *d)
{
    if (k->queue_count == k->queue_size) {
        uint32_t size = k->queue_size ? k->queue_size * 2 : 64;
        struct delivery *grown = size <= DELIVERIES_MAX ? malloc(size * sizeof(*grown)) : NULL;
        if (!grown)
            return false;
        for (uint32_t i = 0; i < k->queue_count; i++)
            grown[i] = k->queue[(k->queue_from + i) & (k->queue_size - 1)];
        free(k->queue);
        k->queue = grown;
        k->queue_size = size;
        k->queue_from = 0;
    }
    k->queue[(k->queue_from + k->queue_count++) & (k->queue_size - 1)] = *d;
    return true;
}

static struct delivery *queue_at(const struct runnel_consumer *k, uint32_t i)
{
    return &k->queue[(k->queue_from + i) & (k->queue_size - 1)];
}

/* Drops what is queued, but not the ends that are to be told. */
static void queue_clear(struct runnel_consumer *k)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < k->queue_count; i++) {
        struct delivery d = *queue_at(k, i);
        if (d.block)
            transport_unpin(&k->client->transport, d.block, d.len);
        else
            *queue_at(k, kept++) = d;
    }
    k->queue_count = kept;
}

void consumer_queue_end(struct runnel_consumer *k, struct subscription *s)
{
    /* Without memory it is told when nothing else is left. */
    queue_push(k, &(struct delivery){ .sub = s });
}

static bool consumer_deliver(struct runnel_client *c, struct subscription *s, struct reader body)
{
    struct wire_deliver deliver;
    if (!wire_get_deliver(body, &deliver) || deliver.end_offset > INT64_MAX)
        return false;
    if ((int64_t)deliver.end_offset > s->end)
        s->end = (int64_t)deliver.end_offset;
    if (deliver.batches.len == 0)
        return true;
    /* One batch more than the credit is right; more than a frame is a broker that does not count. */
    s->credit_left -= deliver.batches.len;
    if (s->credit_left < -(int64_t)c->transport.frame_max)
        return false;
    struct delivery d = { .block = c->transport.in,
                          .at = deliver.batches.at,
                          .len = deliver.batches.len,
                          .sub_id = s->id,
                          .sub = s };
    if (!queue_push(s->consumer, &d))
        return false;
    transport_pin(d.block, d.len);
    return true;
}

bool consumer_push(struct runnel_client *c, const struct wire_header *h, struct reader body)
{
    struct subscription *s = subscription_find(c, h->request_id);
    struct wire_error e;
    if (h->op != WIRE_OP_DELIVER &&
        (h->op != WIRE_OP_SUB_END || !wire_get_error(body, &e) || e.code == ERR_OK))
        return false;
    if (!s || s->state == SUB_DEAD)
        return true; /* sent before the broker knew that it is closed */
    if (s->state != SUB_LIVE)
        return false; /* before SUBSCRIBE is answered there is nothing to push */
    if (h->op == WIRE_OP_DELIVER)
        return consumer_deliver(c, s, body);
    subscription_ended(s, e.code, e.text);
    return true;
}

void consumers_retire(struct runnel_client *c, struct block *b)
{
    struct runnel_consumer *k;
    TAILQ_FOREACH(k, &c->consumers, link)
    {
        for (uint32_t i = 0; i < k->queue_count; i++) {
            struct delivery *d = queue_at(k, i);
            struct block *own = d->block == b ? transport_block_new(d->len) : NULL;
            if (!own)
                continue;
            memcpy(own->data, d->at, d->len);
            transport_pin(own, d->len);
            transport_unpin(&c->transport, b, d->len);
            d->block = own;
            d->at = own->data;
        }
    }
}

/* ---- reading ---- */

static void delivery_leave(struct runnel_consumer *k)
{
    k->in_delivery = false;
    if (!k->now.block)
        return;
    transport_unpin(&k->client->transport, k->now.block, k->now.len);
    subscription_return(k->now.sub, k->now.sub_id, k->now.len);
}

static bool delivery_enter(struct runnel_consumer *k)
{
    if (k->queue_count == 0)
        return false;
    k->now = *queue_at(k, 0);
    k->queue_from = (k->queue_from + 1) & (k->queue_size - 1);
    k->queue_count--;
    k->at = k->now.at;
    k->end = k->now.block ? k->at + k->now.len : k->at;
    k->in_delivery = true;
    return true;
}

static void batch_bad(struct runnel_consumer *k, int code, const char *why)
{
    struct subscription *s = k->now.sub;
    subscription_end(s, code, "topic %s, partition %u, offset %lld: %s", k->topic, s->partition,
                     (long long)s->next, why);
    s->broken = true;
    k->at = k->end;
    k->in_batch = false;
}

static void batch_leave(struct runnel_consumer *k)
{
    struct subscription *s = k->now.sub;
    int64_t end = k->batch.base_offset + k->batch.last_offset_delta + 1;
    if (end > s->next)
        s->next = end;
    k->in_batch = false;
}

static bool batch_sound(struct runnel_consumer *k, const struct batch *b)
{
    return !k->options.check_crc ||
           crc32c(0, b->at + BATCH_SIGNED_FROM, b->bytes - BATCH_SIGNED_FROM) == b->crc;
}

static void batch_enter(struct runnel_consumer *k)
{
    char why[128];
    struct batch *b = &k->batch;
    struct bytes records;
    if (!batch_decode(b, k->at, (uint64_t)(k->end - k->at)) || b->base_offset < 0 ||
        b->last_offset_delta < 0) {
        batch_bad(k, ERR_BATCH_INVALID, "the broker delivered a malformed batch");
        return;
    }
    k->at += b->bytes;
    if (b->base_offset + b->last_offset_delta < k->now.sub->next || b->attributes & BATCH_CONTROL) {
        batch_leave(k);
        return;
    }
    if (!batch_sound(k, b)) {
        batch_bad(k, ERR_BATCH_CORRUPT, "the delivered batch does not match its checksum");
        return;
    }
    records = (struct bytes){ b->at + BATCH_HEADER, b->bytes - BATCH_HEADER };
    enum batch_codec codec = (enum batch_codec)(b->attributes & BATCH_CODEC_MASK);
    if (codec != CODEC_NONE && !unpack(&k->packer, codec, records, &records, why)) {
        batch_bad(k, ERR_CLIENT_CODEC, why);
        return;
    }
    record_iter_init(&k->iter, b, records);
    k->in_batch = true;
}

static int consumer_tell_error(struct runnel_consumer *k, struct subscription *s)
{
    struct runnel_client *c = k->client;
    s->error_due = false;
    client_error(c, s->error, "%s", s->text);
    c->error.fatal = k->dead_count == k->sub_count;
    return -s->error;
}

static int record_give(struct runnel_consumer *k, const struct record *r, struct runnel_record *out)
{
    struct subscription *s = k->now.sub;
    s->next = r->offset + 1;
    out->topic = k->topic;
    out->partition = (int32_t)s->partition;
    out->offset = r->offset;
    out->timestamp_ms = r->timestamp_ms;
    out->key = r->key.at;
    out->key_len = r->key.len;
    out->value = r->value.at;
    out->value_len = r->value.len;
    out->header_count = r->header_count;
    out->priv = r->headers.at;
    out->priv_len = r->headers.len;
    return 1;
}

/* The next record of what has been received: 1, 0 none, negative. */
static int consumer_read(struct runnel_consumer *k, struct runnel_record *out)
{
    struct record r;
    for (;;) {
        while (k->in_batch) {
            int rc = record_next(&k->iter, &r);
            if (rc == 1) {
                if (r.offset >= k->now.sub->next)
                    return record_give(k, &r, out);
            } else if (rc == 0) {
                batch_leave(k);
            } else {
                batch_bad(k, ERR_BATCH_INVALID, "a record in the delivered batch is malformed");
            }
        }
        if (k->in_delivery && (k->at == k->end || k->now.sub->broken))
            delivery_leave(k);
        if (k->in_delivery) {
            batch_enter(k);
        } else if (!delivery_enter(k)) {
            return 0;
        } else if (!k->now.block) {
            delivery_leave(k);
            return consumer_tell_error(k, k->now.sub);
        }
    }
}

static int consumer_over(struct runnel_consumer *k)
{
    struct runnel_client *c = k->client;
    if (c->state == CLIENT_FAILED)
        return -c->error.code;
    if (k->state == CONSUMER_FAILED) {
        client_error(c, k->error.code, "%s", k->error.text);
        c->error.fatal = 1;
        return -k->error.code;
    }
    /* Told before; said again as often as it is asked. */
    return k->dead_count == k->sub_count ? consumer_tell_error(k, &k->subs[0]) : 0;
}

struct consumer_next {
    struct runnel_consumer *consumer;
    struct runnel_record *out;
};

static int consumer_step(void *ctx)
{
    const struct consumer_next *next = ctx;
    const int rc = consumer_read(next->consumer, next->out);
    return rc ? rc : consumer_over(next->consumer);
}

int runnel_next(runnel_consumer *k, struct runnel_record *out, int timeout_ms)
{
    struct consumer_next next = { k, out };
    const int rc = consumer_read(k, out);
    return rc ? rc : client_next(k->client, timeout_ms, consumer_step, &next);
}

int runnel_record_header(const struct runnel_record *record, size_t i, const char **name, size_t *name_len,
                         const void **value, size_t *value_len)
{
    struct reader r = reader_of(record->priv, (uint32_t)record->priv_len);
    struct bytes n, v;
    if (i >= record->header_count)
        return -ERR_CLIENT_ARGUMENT;
    for (size_t at = 0; at <= i; at++)
        if (record_header(&r, &n, &v) != 1)
            return -ERR_CLIENT_ARGUMENT;
    *name = (const char *)n.at;
    *name_len = n.len;
    *value = v.at;
    *value_len = v.len;
    return 0;
}

size_t runnel_record_headers(const struct runnel_record *record, struct runnel_record_header *out, size_t max)
{
    struct reader r = reader_of(record->priv, (uint32_t)record->priv_len);
    struct bytes n, v;
    size_t count = 0;
    while (count < max && count < record->header_count && record_header(&r, &n, &v) == 1)
        out[count++] = (struct runnel_record_header){ (const char *)n.at, n.len, v.at, v.len };
    return count;
}

int runnel_ready(const runnel_consumer *k)
{
    return (k->in_batch && k->iter.left > 0) || (k->in_delivery && k->at < k->end) || k->queue_count > 0;
}

static bool at_end(const struct subscription *s, int now)
{
    return (s->state == SUB_DEAD && !s->error_due) ||
           (s->next >= 0 && s->next >= (now ? s->end : s->begin_end));
}

int runnel_at_end(const runnel_consumer *k, int now)
{
    /* Asked after every event: the partition that was behind last time most likely still is. */
    uint32_t *behind = &((struct runnel_consumer *)k)->behind[now ? 1 : 0];
    for (uint32_t i = 0; i < k->sub_count; i++) {
        uint32_t at = (*behind + i) % k->sub_count;
        if (!at_end(&k->subs[at], now)) {
            *behind = at;
            return 0;
        }
    }
    return 1;
}

int runnel_consumer_position(const runnel_consumer *k, int32_t partition, int64_t *next, int64_t *start,
                             int64_t *end)
{
    for (uint32_t i = 0; i < k->sub_count; i++) {
        const struct subscription *s = &k->subs[i];
        if ((int32_t)s->partition != partition)
            continue;
        if (next)
            *next = s->next;
        if (start)
            *start = s->start;
        if (end)
            *end = s->end;
        return 0;
    }
    return client_error(k->client, ERR_PARTITION_NOT_FOUND, "partition %d of topic %s is not being read",
                        partition, k->topic);
}

int32_t runnel_consumer_partitions(const runnel_consumer *k)
{
    return (int32_t)k->partitions;
}

/* ---- life ---- */

static void consumer_fail(struct runnel_consumer *k, int code, struct bytes text)
{
    k->state = CONSUMER_FAILED;
    k->error.code = code;
    snprintf(k->error.text, sizeof(k->error.text), "%.*s", (int)text.len, (const char *)text.at);
}

static void consumer_opened(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct runnel_consumer *k = OWNER(struct runnel_consumer, request, r);
    struct wire_open_topic_reply body;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error && error_retriable((uint16_t)reply->error)) {
        k->state = CONSUMER_OFFLINE;
        k->retry_at_ms = client_now_ms() + client_backoff_ms(c, k->attempts++);
        return;
    }
    if (reply->error) {
        consumer_fail(k, reply->error,
                      reply->text.len ? reply->text : bytes_of(error_text((uint16_t)reply->error)));
        return;
    }
    if (!wire_get_open_topic_reply(reply->body, &body) || body.partitions == 0 ||
        body.partitions > PARTITIONS_MAX) {
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to OPEN_TOPIC cannot be understood");
        return;
    }
    k->handle = body.handle;
    k->attempts = 0;
    if (!k->subs) {
        k->partitions = body.partitions;
        if (!subscriptions_make(k)) {
            consumer_fail(k, c->error.code, bytes_of(c->error.text));
            return;
        }
    }
    k->state = CONSUMER_OPEN;
}

static void consumer_open(struct runnel_consumer *k)
{
    struct runnel_client *c = k->client;
    struct writer w;
    uint8_t *frame;
    struct wire_open_topic body = { .name = bytes_of(k->topic), .create = 0 };
    if (!request_frame(c, &w, &frame, 8 + TOPIC_NAME_MAX))
        return;
    uint32_t id = request_begin(c, &k->request, WIRE_OP_OPEN_TOPIC, consumer_opened);
    if (!id)
        return;
    wire_put_open_topic(&w, &body);
    k->state = CONSUMER_OPENING;
    request_send(c, &w, frame, WIRE_OP_OPEN_TOPIC, id);
}

void consumer_connected(struct runnel_consumer *k)
{
    k->retry_at_ms = 0;
}

void consumer_advance(struct runnel_consumer *k, int64_t now_ms)
{
    if (k->client->state != CLIENT_READY)
        return;
    if (k->state == CONSUMER_OFFLINE && k->retry_at_ms <= now_ms)
        consumer_open(k);
    if (k->state == CONSUMER_OPEN && k->idle_count)
        subscriptions_advance(k, now_ms);
}

/* What is queued is dropped: it comes again behind `next`. What is being read stays: it is lent. */
void consumer_broken(struct runnel_consumer *k)
{
    queue_clear(k);
    for (uint32_t i = 0; i < k->sub_count; i++)
        if (k->subs[i].state != SUB_DEAD)
            subscription_lost(&k->subs[i]);
    if (k->state != CONSUMER_FAILED)
        k->state = CONSUMER_OFFLINE;
}

int64_t consumer_due_ms(const struct runnel_consumer *k)
{
    int64_t due = INT64_MAX;
    if (k->client->state != CLIENT_READY)
        return due;
    if (k->state == CONSUMER_OFFLINE)
        return k->retry_at_ms;
    if (k->state != CONSUMER_OPEN || !k->idle_count || k->asked_count >= SUBSCRIBES_MAX)
        return due;
    for (uint32_t i = 0; i < k->sub_count; i++)
        if (k->subs[i].state == SUB_IDLE && k->subs[i].retry_at_ms < due)
            due = k->subs[i].retry_at_ms;
    return due;
}

static bool consumer_settled(void *ctx)
{
    const struct runnel_consumer *k = ctx;
    return k->state == CONSUMER_FAILED || (k->subs && (k->unresolved == 0 || k->refused));
}

static void consumer_tell_refusal(struct runnel_consumer *k)
{
    struct subscription *s = k->subs;
    while (s->state != SUB_DEAD || s->next >= 0)
        s++;
    consumer_tell_error(k, s);
}

runnel_consumer *runnel_consumer_new(runnel_client *c, const char *topic, const runnel_options *options)
{
    if (client_may_block(c))
        return NULL;
    if (!topic || !topic_name_valid(bytes_of(topic))) {
        client_error(c, ERR_TOPIC_NAME_INVALID,
                     "'%.64s' is not a topic name: use 1 to 249 letters, digits, '.', '_' or '-'",
                     topic ? topic : "");
        return NULL;
    }
    struct runnel_consumer *k = calloc(1, sizeof(*k));
    if (!k) {
        client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a consumer");
        return NULL;
    }
    k->client = c;
    if (options)
        k->options = options->values;
    else
        options_default(&k->options);
    snprintf(k->topic, sizeof(k->topic), "%s", topic);
    TAILQ_INSERT_TAIL(&c->consumers, k, link);
    int rc = client_wait_until(c, client_now_ms() + c->options.request_timeout_ms, consumer_settled, k);
    if (rc == 0 && k->state != CONSUMER_FAILED && !k->refused)
        return k;
    if (rc == 0 && k->state == CONSUMER_FAILED)
        client_error(c, k->error.code, "%s", k->error.text);
    else if (rc == 0)
        consumer_tell_refusal(k);
    runnel_consumer_close(k);
    return NULL;
}

void runnel_consumer_close(runnel_consumer *k)
{
    if (!k)
        return;
    struct runnel_client *c = k->client;
    request_cancel(c, &k->request);
    for (uint32_t i = 0; i < k->sub_count; i++)
        subscription_cancel(&k->subs[i]);
    if (k->in_delivery && k->now.block)
        transport_unpin(&c->transport, k->now.block, k->now.len);
    queue_clear(k);
    TAILQ_REMOVE(&c->consumers, k, link);
    packer_free(&k->packer, false);
    free(k->queue);
    free(k->subs);
    free(k);
}
