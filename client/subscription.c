/* SPDX-License-Identifier: Apache-2.0
 *
 * client/subscription.c: asking for a partition, giving credit, coming back after an end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/consumer.h"

/* An id is a place in the client's table and a serial: a delivery for an earlier holder of the place is told
 * apart. */
enum { SUB_SLOT_BITS = 17, SUB_SLOT_MASK = (1 << SUB_SLOT_BITS) - 1 };

static uint32_t subscription_take_id(struct runnel_client *c, struct subscription *s)
{
    uint32_t slot = 0;
    while (slot < c->subs_size && c->subs[(slot + c->sub_hint) % c->subs_size])
        slot++;
    if (slot == c->subs_size) {
        uint32_t size = c->subs_size ? c->subs_size * 2 : 64;
        struct subscription **grown =
            size <= SUB_SLOT_MASK + 1 ? realloc(c->subs, size * sizeof(*grown)) : NULL;
        if (!grown)
            return 0;
        memset(grown + c->subs_size, 0, (size - c->subs_size) * sizeof(*grown));
        slot = c->subs_size;
        c->subs = grown;
        c->subs_size = size;
    } else {
        slot = (slot + c->sub_hint) % c->subs_size;
    }
    c->sub_hint = slot + 1;
    c->subs[slot] = s;
    do
        s->id = ++c->sub_serial << SUB_SLOT_BITS | slot;
    while (s->id == 0);
    return s->id;
}

struct subscription *subscription_find(const struct runnel_client *c, uint32_t id)
{
    uint32_t slot = id & SUB_SLOT_MASK;
    struct subscription *s = slot < c->subs_size ? c->subs[slot] : NULL;
    return s && s->id == id ? s : NULL;
}

void subscription_forget(struct subscription *s)
{
    if (!s->id)
        return;
    s->consumer->client->subs[s->id & SUB_SLOT_MASK] = NULL;
    s->id = 0;
}

static void subscription_state(struct subscription *s, enum subscription_state to)
{
    struct runnel_consumer *k = s->consumer;
    uint32_t *counts[] = { &k->idle_count, &k->asked_count, NULL, &k->dead_count };
    if (counts[s->state])
        --*counts[s->state];
    s->state = to;
    if (counts[to])
        ++*counts[to];
}

bool subscriptions_make(struct runnel_consumer *k)
{
    struct runnel_client *c = k->client;
    bool *wanted = calloc(k->partitions, sizeof(*wanted));
    int64_t beyond = wanted ? options_partitions(k->options.partitions, wanted, k->partitions) : 0;
    if (beyond) {
        client_error(c, ERR_PARTITION_NOT_FOUND, "topic %s has %u partitions: there is no partition %lld",
                     k->topic, k->partitions, (long long)beyond - 1);
        free(wanted);
        return false;
    }
    for (uint32_t i = 0; wanted && i < k->partitions; i++)
        k->sub_count += wanted[i];
    k->subs = calloc(k->sub_count, sizeof(*k->subs));
    if (!wanted || !k->subs) {
        client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for %u partitions", k->partitions);
        free(wanted);
        k->sub_count = 0;
        return false;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->partitions; i++) {
        if (!wanted[i])
            continue;
        k->subs[n] = (struct subscription){ .consumer = k, .partition = i, .index = n, .next = -1 };
        options_position(k->options.from, &k->subs[n++].position);
    }
    k->idle_count = k->unresolved = k->sub_count;
    uint64_t credit = (uint64_t)k->options.credit_bytes / k->sub_count;
    k->credit = credit < CREDIT_BYTES_MIN ? CREDIT_BYTES_MIN : (uint32_t)credit;
    free(wanted);
    return true;
}

void subscription_end(struct subscription *s, int code, const char *format, ...)
{
    struct runnel_consumer *k = s->consumer;
    va_list ap;
    if (s->state == SUB_DEAD)
        return;
    va_start(ap, format);
    vsnprintf(s->text, sizeof(s->text), format, ap);
    va_end(ap);
    s->error = code;
    s->error_due = true;
    if (s->next < 0) {
        k->unresolved--;
        k->refused = true;
    }
    subscription_state(s, SUB_DEAD);
    consumer_queue_end(k, s);
}

void subscription_ended(struct subscription *s, int code, struct bytes text)
{
    struct runnel_client *c = s->consumer->client;
    subscription_forget(s);
    if (error_retriable((uint16_t)code)) {
        s->retry_at_ms = client_now_ms() + client_backoff_ms(c, s->attempts++);
        subscription_state(s, SUB_IDLE);
    } else if (text.len) {
        subscription_end(s, code, "%.*s", (int)text.len, (const char *)text.at);
    } else {
        subscription_end(s, code, "topic %s, partition %u: %s", s->consumer->topic, s->partition,
                         error_text((uint16_t)code));
    }
}

void subscription_lost(struct subscription *s)
{
    subscription_forget(s);
    s->retry_at_ms = 0;
    subscription_state(s, SUB_IDLE);
}

static void subscription_answered(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct subscription *s = OWNER(struct subscription, request, r);
    struct wire_subscribe_reply body;
    if (reply->error == ERR_CLIENT_UNREACHABLE) {
        subscription_forget(s);
        subscription_state(s, SUB_IDLE);
        return;
    }
    if (reply->error) {
        subscription_ended(s, reply->error, reply->text);
        return;
    }
    if (!wire_get_subscribe_reply(reply->body, &body) || body.offset > INT64_MAX ||
        body.end_offset > INT64_MAX || body.start_offset > INT64_MAX) {
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to SUBSCRIBE cannot be understood");
        return;
    }
    s->start = (int64_t)body.start_offset;
    s->end = (int64_t)body.end_offset;
    if (s->next < 0) {
        s->begin_end = s->end;
        s->consumer->unresolved--;
    }
    if ((int64_t)body.offset > s->next)
        s->next = (int64_t)body.offset;
    s->attempts = 0;
    subscription_state(s, SUB_LIVE);
}

static bool subscription_ask(struct subscription *s)
{
    struct runnel_consumer *k = s->consumer;
    struct runnel_client *c = k->client;
    struct writer w;
    uint8_t *frame;
    if (!request_frame(c, &w, &frame, 64) || !subscription_take_id(c, s))
        return false;
    uint32_t id = request_begin(c, &s->request, WIRE_OP_SUBSCRIBE, subscription_answered);
    if (!id) {
        subscription_forget(s);
        return false;
    }
    struct wire_subscribe body = { .subscription = s->id,
                                   .handle = k->handle,
                                   .partition = s->partition,
                                   .position = s->position,
                                   .credit = k->credit };
    if (s->next >= 0)
        body.position = (struct wire_position){ WIRE_FROM_OFFSET, s->next };
    wire_put_subscribe(&w, &body);
    request_send(c, &w, frame, WIRE_OP_SUBSCRIBE, id);
    s->credit_left = k->credit;
    s->to_return = 0;
    subscription_state(s, SUB_ASKED);
    return true;
}

void subscriptions_advance(struct runnel_consumer *k, int64_t now_ms)
{
    for (uint32_t i = 0; i < k->sub_count && k->idle_count && k->asked_count < SUBSCRIBES_MAX; i++)
        if (k->subs[i].state == SUB_IDLE && k->subs[i].retry_at_ms <= now_ms &&
            !subscription_ask(&k->subs[i]))
            return;
}

void subscription_return(struct subscription *s, uint32_t id, uint32_t bytes)
{
    struct runnel_consumer *k = s->consumer;
    struct runnel_client *c = k->client;
    struct writer w;
    uint8_t *frame;
    if (s->id != id || s->state == SUB_DEAD)
        return; /* of an earlier connection: this one began with full credit */
    s->to_return += bytes;
    /* In large steps: a frame per half of the credit, not per delivery. */
    if (s->to_return < k->credit / 2 || c->state != CLIENT_READY || !request_frame(c, &w, &frame, 16))
        return;
    struct wire_credit body = { .subscription = s->id, .bytes = s->to_return };
    wire_put_credit(&w, &body);
    request_send(c, &w, frame, WIRE_OP_CREDIT, 0);
    s->credit_left += s->to_return;
    s->to_return = 0;
    client_write(c);
}

void subscription_cancel(struct subscription *s)
{
    struct runnel_client *c = s->consumer->client;
    struct writer w;
    uint8_t *frame;
    request_cancel(c, &s->request);
    if (s->id && c->state == CLIENT_READY && request_frame(c, &w, &frame, 16)) {
        struct wire_unsubscribe body = { .subscription = s->id };
        wire_put_unsubscribe(&w, &body);
        /* Its answer interests nobody. */
        struct request r = { 0 };
        uint32_t id = request_begin(c, &r, WIRE_OP_UNSUBSCRIBE, NULL);
        if (id && request_send(c, &w, frame, WIRE_OP_UNSUBSCRIBE, id))
            request_cancel(c, &r);
    }
    subscription_forget(s);
}
