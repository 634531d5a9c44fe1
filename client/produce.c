/* SPDX-License-Identifier: Apache-2.0
 *
 * client/produce.c: an event's way into a batch, and the report of what became of it.
 *
 * An event is copied into the open batch of its partition; produce_send.c decides when that goes. A batch's
 * result is reported event by event.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/envelope/envelope.h"
#include "client/producer.h"
#include "proto/murmur2.h"

/* Stands for an event whose delivery runnel_produce_wait() tells, not the callback. */
static const char silent;
#define SILENT ((void *)(uintptr_t)&silent)

/* ---- publishing ---- */

/* A tenth of what publishing costs would be asking for the time. So it is asked anew when the processor's own
 * counter has moved on by some 50 microseconds, far less than the millisecond that a timestamp tells. */
static int64_t now_wall_ms(struct runnel_producer *p)
{
#if defined(__x86_64__)
    enum { TICKS_MAX = 100000 };
    uint64_t tick = __builtin_ia32_rdtsc();
    if (tick - p->clock_tick < TICKS_MAX)
        return p->clock_ms;
    p->clock_tick = tick;
#endif
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    p->clock_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    return p->clock_ms;
}

/* Events without a key stay with one partition for a batch, then go on to the next: full batches, and an even
 * spread. */
static struct part *choose_part(struct runnel_producer *p, const struct runnel_event *e)
{
    if (e->partition >= 0)
        return (uint32_t)e->partition < p->part_count ? p->parts[e->partition] : NULL;
    if (e->key)
        return p->parts[murmur2_partition(e->key, (uint32_t)e->key_len, p->part_count)];
    if (!p->parts[p->sticky]->open)
        p->sticky = p->sticky + 1 < p->part_count ? p->sticky + 1 : 0;
    return p->parts[p->sticky];
}

static bool event_good(const struct runnel_producer *p, const struct runnel_event *e)
{
    return p->state != PRODUCER_FAILED && e->struct_size >= EVENT_BYTES_MIN && e->key_len <= INT32_MAX &&
           e->value_len <= INT32_MAX && e->header_count <= HEADERS_MAX && (!e->header_count || e->headers);
}

static int event_refused(struct runnel_producer *p, const struct runnel_event *e)
{
    struct runnel_client *c = p->client;
    if (p->state == PRODUCER_FAILED) {
        client_error(c, p->error.code, "%s", p->error.text);
        c->error.fatal = 1;
        return -p->error.code;
    }
    if (e->struct_size < EVENT_BYTES_MIN)
        return client_error(c, ERR_CLIENT_ARGUMENT, "the event is not initialised: use RUNNEL_EVENT_INIT");
    return client_error(c, ERR_CLIENT_ARGUMENT,
                        "an event has a key and a value of less than 2 GiB and at most %d headers",
                        HEADERS_MAX);
}

static int headers_encode(struct runnel_producer *p, const struct runnel_event *e)
{
    for (size_t i = 0; i < e->header_count; i++) {
        const struct runnel_header *h = &e->headers[i];
        if (!h->name || h->value_len > INT32_MAX || strlen(h->name) > INT16_MAX)
            return client_error(p->client, ERR_CLIENT_ARGUMENT, "header %zu has no name, or is too long", i);
        p->headers[i].name = bytes_of(h->name);
        p->headers[i].value = bytes_from(h->value, h->value_len);
    }
    return 0;
}

static bool open_batch(struct runnel_producer *p, struct part *part, uint64_t record)
{
    struct pbatch *b = pbatch_take(p, part, record);
    if (!b)
        return false;
    if (p->options.linger_us) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        b->opened_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
    }
    part->open = b;
    part_place(part);
    return true;
}

static void close_empty(struct part *part)
{
    struct pbatch *b = part->open;
    part->open = NULL;
    part_place(part);
    pbatch_release(b);
}

static uint64_t record_max(struct runnel_producer *p, const struct runnel_event *e)
{
    struct bytes key = bytes_from(e->key, e->key_len), value = bytes_from(e->value, e->value_len);
    return record_bytes_max(key, value, p->headers, (uint32_t)e->header_count) + p->lead.encoded.len;
}

/* Into the open batch, into a larger buffer for it, or into a new one. NULL: no room (or the producer has
 * failed, or the event is too large for any batch). */
static struct pbatch *event_add(struct runnel_producer *p, struct part *part, const struct runnel_event *e,
                                int64_t timestamp_ms, void *opaque)
{
    for (int attempts = 0; p->state != PRODUCER_FAILED;) {
        struct pbatch *b = part->open;
        if (b && pbatch_add(b, timestamp_ms, e, p->headers, opaque))
            return b;
        if (b && !pbatch_may_grow(b)) {
            if (b->builder.count == 0) {
                close_empty(part);
                return NULL;
            }
            part_seal(part);
            client_io(p->client);
            part = choose_part(p, e); /* without a key: the next one */
            continue;
        }
        if (b ? pbatch_grow(b) != NULL : open_batch(p, part, record_max(p, e)))
            continue;
        /* Answers may be waiting to be read; without callbacks they free buffers at once. */
        if (attempts++)
            return NULL;
        p->starved = true;
        client_io(p->client);
    }
    return NULL;
}

static int produce(struct runnel_producer *p, const struct runnel_event *e, void *opaque)
{
    struct runnel_client *c = p->client;
    int rc = 0;
    if (!event_good(p, e))
        return event_refused(p, e);
    if (e->header_count && (rc = headers_encode(p, e)))
        return rc;
    struct part *part = choose_part(p, e);
    if (!part)
        return client_error(c, ERR_PARTITION_NOT_FOUND,
                            "topic %s has %u partitions: there is no partition %d", p->topic, p->part_count,
                            e->partition);
    const int64_t timestamp_ms = e->timestamp_ms ? e->timestamp_ms : now_wall_ms(p);
    struct runnel_envelope *envelope = event_envelope(e);
    p->lead = (struct header_block){ 0 };
    if (envelope && (rc = envelope_stamp(envelope, c, p->topic, e, timestamp_ms, &p->lead)))
        return rc;
    struct pbatch *b = event_add(p, part, e, timestamp_ms, opaque);
    if (!b) {
        if (p->state == PRODUCER_FAILED)
            return event_refused(p, e);
        if (BATCH_HEADER + record_max(p, e) > p->batch_limit)
            return client_error(
                c, ERR_BATCH_TOO_LARGE,
                "an event of %llu bytes is larger than topic %s takes (%u): send smaller events, or "
                "raise max.message.bytes",
                (unsigned long long)record_max(p, e), p->topic, p->batch_limit);
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "the producer's %lld bytes of buffer are in use",
                            (long long)p->options.buffer_bytes);
    }
    p->queued++;
    if (p->wait_next) {
        p->wait_batch = b;
        p->wait_index = (uint32_t)b->builder.count - 1;
    }
    part = b->part;
    if (p->state == PRODUCER_READY && part->place == PLACE_OPEN && produce_eager(p, part)) {
        produce_send(p, 0);
        client_write(c);
    }
    return 0;
}

int runnel_produce(runnel_producer *p, const struct runnel_event *event, void *opaque)
{
    return produce(p, event, opaque);
}

static int produce_waited(struct runnel_producer *p, const struct runnel_event *event)
{
    p->wait_next = true;
    int rc = produce(p, event, SILENT);
    p->wait_next = false;
    return rc;
}

static bool wait_is_done(void *ctx)
{
    return ((struct runnel_producer *)ctx)->wait_done;
}

int runnel_produce_wait(runnel_producer *p, const struct runnel_event *event, struct runnel_delivery *out,
                        int timeout_ms)
{
    struct runnel_client *c = p->client;
    int64_t deadline = client_deadline(client_now_ms(), timeout_ms);
    int rc = client_may_block(c);
    if (rc)
        return rc;
    /* Set before: with acks none the result may be there when produce() returns. */
    p->wait_done = false;
    rc = produce_waited(p, event);
    while (rc == -ERR_CLIENT_QUEUE_FULL && client_now_ms() < deadline) {
        runnel_wait(c, 10);
        rc = produce_waited(p, event);
    }
    if (rc)
        return rc;
    rc = client_wait_until(c, deadline, wait_is_done, p);
    p->wait_batch = NULL;
    if (!p->wait_done)
        return rc;
    if (out)
        *out = p->wait_result;
    if (p->wait_result.error) {
        p->wait_result.error_text = p->wait_text;
        if (out)
            out->error_text = p->wait_text;
        client_error(c, -p->wait_result.error, "%s", p->wait_text);
    }
    return p->wait_result.error;
}

static bool producer_idle(void *ctx)
{
    return ((struct runnel_producer *)ctx)->queued == 0;
}

int runnel_flush(runnel_producer *p, int timeout_ms)
{
    struct runnel_client *c = p->client;
    int rc = client_may_block(c);
    if (rc)
        return rc;
    p->flushing = true;
    rc = client_wait_until(c, client_deadline(client_now_ms(), timeout_ms), producer_idle, p);
    p->flushing = false;
    return p->queued == 0 ? 0 : rc;
}

size_t runnel_queued(const runnel_producer *p)
{
    return p->queued;
}

/* ---- reports ---- */

bool producer_reports_due(const struct runnel_producer *p)
{
    return !TAILQ_EMPTY(&p->done);
}

static void report_event(struct runnel_producer *p, struct pbatch *b, uint32_t i, uint32_t *told)
{
    struct runnel_delivery d = {
        .error = -b->error,
        .duplicate = b->duplicate ? RUNNEL_DUPLICATE_RETRY : 0,
        .partition = (int32_t)b->part->index,
        .offset = -1,
        .error_text = b->error ? b->text : NULL,
    };
    told_report(b, i, told, &d);
    if (p->wait_batch == b && p->wait_index == i) {
        p->wait_result = d;
        snprintf(p->wait_text, sizeof(p->wait_text), "%s", d.error_text ? d.error_text : "");
        p->wait_done = true;
        p->wait_batch = NULL;
        return;
    }
    if (!p->on_delivery)
        return;
    d.opaque = pbatch_opaque(b, i);
    if (d.opaque != SILENT)
        p->on_delivery(p->ctx, &d);
}

int producer_report(struct runnel_producer *p)
{
    struct pbatch *b;
    int n = 0;
    while ((b = TAILQ_FIRST(&p->done))) {
        uint32_t count = pbatch_events(b), told = 0;
        TAILQ_REMOVE(&p->done, b, link);
        if (b->error && b->text[0] == '\0')
            snprintf(b->text, sizeof(b->text), "%s", error_text((uint16_t)b->error));
        uint32_t i = 0;
        for (; i < count && (p->on_delivery || p->wait_batch == b); i++) {
            p->queued--; /* before the callback: what it asks must be true then */
            report_event(p, b, i, &told);
        }
        p->queued -= count - i;
        n += (int)count;
        pbatch_release(b);
    }
    return n;
}
