/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_librunnel.c: Runnel through its client library's public interface: what a program gets, as
 * against what the protocol can do (driver_runnel.c).
 *
 * The library batches by itself and is idempotent by default; events are handed over one by one, and one
 * delivery report comes back for each.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/include/runnel.h"
#include "clock.h"
#include "driver.h"
#include "proto/envelope.h"

enum { CLOSE_TIMEOUT_MS = 100 };

struct library_link {
    struct link link;
    runnel_client *client;
    runnel_producer **producers; /* by topic */
    runnel_consumer **consumers;
    runnel_envelope *envelope; /* NULL: bare events */
    uint8_t *payload;
    bool queued; /* something was produced since the last flush */
};

static struct library_link *link_of(struct link *l)
{
    return (struct library_link *)l;
}

static void on_delivery(void *ctx, const struct runnel_delivery *d)
{
    struct library_link *k = ctx;
    if (d->error)
        link_fail(&k->link, "librunnel: %s: %s", runnel_error_name(d->error),
                  d->error_text ? d->error_text : "");
    k->link.sink->acked(&k->link, (uint64_t)(uintptr_t)d->opaque, clock_now_ns(), !d->error);
}

static void library_close(struct link *link)
{
    struct library_link *k = link_of(link);
    for (uint32_t i = 0; k->consumers && i < link->target->topics; i++)
        if (k->consumers[i])
            runnel_consumer_close(k->consumers[i]);
    for (uint32_t i = 0; k->producers && i < link->target->topics; i++)
        if (k->producers[i])
            runnel_producer_close(k->producers[i], CLOSE_TIMEOUT_MS);
    if (k->client)
        runnel_close(k->client, CLOSE_TIMEOUT_MS);
    runnel_envelope_free(k->envelope);
    free(k->producers);
    free(k->consumers);
    free(k->payload);
    free(k);
}

static bool library_failed(struct library_link *k)
{
    const struct runnel_error *e = runnel_last_error(k->client);
    return link_fail(&k->link, "librunnel: %s: %.200s", runnel_error_name(e->code), e->text);
}

uint32_t librunnel_envelope_bytes(const struct target *t)
{
    enum { UUID_TEXT = 36 };
    char topic[256];
    uint32_t bytes = 0;
    runnel_envelope *e = runnel_envelope_new();
    driver_topic_name(t, 0, topic, sizeof(topic));
    for (int field = 0; e && field < RUNNEL_FIELDS; field++) {
        size_t len = runnel_envelope_get(e, field).len;
        if (!len) /* filled in for each event, or left out */
            len = field == RUNNEL_FIELD_ID            ? UUID_TEXT
                  : field == RUNNEL_FIELD_TIME        ? ENVELOPE_TIME_BYTES
                  : field == RUNNEL_FIELD_TYPE        ? strlen(topic)
                  : field == RUNNEL_FIELD_SPECVERSION ? strlen("1.0")
                                                      : 0;
        if (len) /* a length before name and value: one byte, or two from 64 on */
            bytes += (uint32_t)(2 + strlen(envelope_header((enum envelope_field)field)) + len + (len > 63));
    }
    runnel_envelope_free(e);
    return bytes;
}

static bool start(struct library_link *k, enum role role, const runnel_options *options)
{
    const struct target *t = k->link.target;
    char name[256];
    for (uint32_t i = 0; i < t->topics; i++) {
        driver_topic_name(t, i, name, sizeof(name));
        if (role == ROLE_PRODUCER)
            k->producers[i] = runnel_producer_new(k->client, name, options, on_delivery, k);
        else
            k->consumers[i] = runnel_consumer_new(k->client, name, options);
        if (!k->producers[i] && !k->consumers[i])
            return library_failed(k);
    }
    return true;
}

static runnel_options *make_options(const struct target *t, enum from from)
{
    runnel_options *options = runnel_options_new();
    static const char *const acks[] = {
        [ACKS_NONE] = "none", [ACKS_MEMORY] = "memory", [ACKS_DURABLE] = "durable"
    };
    if (options && (runnel_options_set(options, "acks", acks[t->acks]) ||
                    runnel_options_set(options, "buffer.bytes", "67108864") ||
                    runnel_options_set(options, "from", from == FROM_START ? "start" : "end"))) {
        runnel_options_free(options);
        return NULL;
    }
    return options;
}

static struct link *library_open(const struct target *t, enum role role, enum from from,
                                 const struct sink *sink, void *owner, char *why)
{
    struct library_link *k = calloc(1, sizeof(*k));
    runnel_options *options = make_options(t, from);
    if (!k || !options) {
        snprintf(why, 256, "librunnel: options: %.200s", runnel_last_error(NULL)->text);
        free(k);
        return NULL;
    }
    k->link = (struct link){ .driver = &driver_librunnel, .target = t, .sink = sink, .owner = owner };
    k->producers = calloc(t->topics, sizeof(*k->producers));
    k->consumers = calloc(t->topics, sizeof(*k->consumers));
    k->payload = malloc(t->size);
    bool ok = k->producers && k->consumers && k->payload;
    if (ok && t->envelope) {
        k->envelope = runnel_envelope_new();
        ok = k->envelope != NULL;
    }
    if (ok) {
        payload_fill(k->payload, t->size);
        k->client = runnel_connect(t->url, options);
        ok = k->client || library_failed(k);
    }
    ok = ok && (role == ROLE_IDLE || start(k, role, options));
    runnel_options_free(options);
    if (!ok) {
        snprintf(why, 256, "%s", k->link.why);
        library_close(&k->link);
        return NULL;
    }
    k->link.fd = runnel_fd(k->client);
    return &k->link;
}

static bool library_publish(struct link *link, const struct events *e)
{
    struct library_link *k = link_of(link);
    const struct target *t = link->target;
    struct runnel_event event = RUNNEL_EVENT_INIT;
    payload_stamp(k->payload, e, 0);
    event.partition = (int32_t)(e->lane % t->partitions);
    event.value = k->payload;
    event.value_len = t->size;
    event.envelope = k->envelope;
    if (runnel_produce(k->producers[e->lane / t->partitions], &event, (void *)(uintptr_t)e->id))
        return false;
    k->queued = true;
    return true;
}

static bool library_flush(struct link *link)
{
    struct library_link *k = link_of(link);
    if (!k->queued)
        return true;
    k->queued = false;
    return runnel_process(k->client) >= 0 || library_failed(k);
}

static bool library_pending(const struct link *link)
{
    return runnel_events(((const struct library_link *)link)->client) & POLLOUT;
}

static bool library_process(struct link *link)
{
    struct library_link *k = link_of(link);
    struct runnel_record record;
    if (runnel_process(k->client) < 0)
        return library_failed(k);
    uint64_t now = clock_now_ns();
    for (uint32_t i = 0; i < link->target->topics && k->consumers[i]; i++) {
        int got = 0;
        while (runnel_ready(k->consumers[i]) && (got = runnel_next(k->consumers[i], &record, 0)) > 0)
            link->sink->event(link, record.value, (uint32_t)record.value_len, now);
        if (got < 0)
            return library_failed(k);
    }
    return true;
}

static bool library_topics(const struct target *t, bool remove, char *why)
{
    struct library_link *k = (struct library_link *)library_open(t, ROLE_IDLE, FROM_END, NULL, NULL, why);
    if (!k)
        return false;
    bool ok = true;
    for (uint32_t i = 0; ok && i < t->topics; i++) {
        char name[256];
        driver_topic_name(t, i, name, sizeof(name));
        int result = remove ? runnel_topic_delete(k->client, name)
                            : runnel_topic_create(k->client, name, t->partitions, NULL, 0, 1);
        ok = result >= 0 || result == -RUNNEL_E_TOPIC_NOT_FOUND || library_failed(k);
    }
    if (!ok)
        snprintf(why, 256, "%s", k->link.why);
    library_close(&k->link);
    return ok;
}

const struct driver driver_librunnel = {
    .name = "librunnel",
    .url = "tcp://127.0.0.1:7411",
    .batch_max = 1,
    .durable = true,
    .topics = library_topics,
    .open = library_open,
    .close = library_close,
    .publish = library_publish,
    .flush = library_flush,
    .pending = library_pending,
    .process = library_process,
};
