/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/publish.c: see publish.h.
 */
#include "client/group/publish.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/envelope/envelope.h"
#include "proto/murmur2.h"
#include "proto/name.h"

enum { HEADERS_MAX = 1024 };

void publisher_init(struct publisher *p, struct runnel_client *c, bool create)
{
    memset(p, 0, sizeof(*p));
    p->client = c;
    p->create = create;
}

void publisher_free(struct publisher *p)
{
    publish_done(p, false);
    for (uint32_t i = 0; i < p->topic_count; i++) {
        free(p->topics[i].name);
        free(p->topics[i].sequences);
    }
    free(p->topics);
}

static int no_memory(const struct publisher *p)
{
    return client_error(p->client, ERR_CLIENT_QUEUE_FULL, "no memory to publish these events");
}

/* ---- id and topics ---- */

int publish_introduce(struct publisher *p, int64_t deadline_ms)
{
    struct wire_init_producer_reply body;
    uint8_t *reply = NULL;
    uint32_t len;
    if (p->has_id)
        return 0;
    int rc = request_call_until(p->client, WIRE_OP_INIT_PRODUCER, (struct bytes){ 0 }, true, deadline_ms,
                                &reply, &len);
    if (rc == 0 && !wire_get_init_producer_reply(reader_of(reply, len), &body))
        rc = client_error(p->client, ERR_CLIENT_PROTOCOL, "the answer to INIT_PRODUCER cannot be understood");
    free(reply);
    if (rc)
        return rc;
    p->id = body.producer_id;
    p->id_epoch = body.producer_epoch;
    p->has_id = true;
    for (uint32_t i = 0; i < p->topic_count; i++)
        if (p->topics[i].sequences)
            memset(p->topics[i].sequences, 0, p->topics[i].partitions * sizeof(int32_t));
    return 0;
}

void publish_forget_id(struct publisher *p)
{
    p->has_id = false;
}

static struct publish_topic *topic_of(struct publisher *p, const char *name)
{
    for (uint32_t i = 0; i < p->topic_count; i++)
        if (strcmp(p->topics[i].name, name) == 0)
            return &p->topics[i];
    struct publish_topic *grown = realloc(p->topics, (p->topic_count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    p->topics = grown;
    struct publish_topic *t = &p->topics[p->topic_count];
    *t = (struct publish_topic){ .name = strdup(name) };
    if (!t->name)
        return NULL;
    p->topic_count++;
    return t;
}

static int topic_open(struct publisher *p, struct publish_topic *t, int64_t deadline_ms)
{
    struct runnel_client *c = p->client;
    uint8_t buffer[TOPIC_NAME_MAX + 16], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    struct wire_open_topic_reply body;
    /* Only the first time: a topic deleted meanwhile must not come back empty by itself. */
    struct wire_open_topic open = { .name = bytes_of(t->name), .create = p->create && !t->sequences };
    wire_put_open_topic(&w, &open);
    int rc = request_call_until(c, WIRE_OP_OPEN_TOPIC, (struct bytes){ buffer, writer_len(&w) }, true,
                                deadline_ms, &reply, &len);
    if (rc == 0 && (!wire_get_open_topic_reply(reader_of(reply, len), &body) || body.partitions == 0 ||
                    body.partitions > PARTITIONS_MAX))
        rc = client_error(c, ERR_CLIENT_PROTOCOL, "the answer to OPEN_TOPIC cannot be understood");
    free(reply);
    if (rc)
        return rc;
    if (body.partitions > t->partitions) {
        int32_t *grown = realloc(t->sequences, body.partitions * sizeof(*grown));
        if (!grown)
            return no_memory(p);
        memset(grown + t->partitions, 0, (body.partitions - t->partitions) * sizeof(*grown));
        t->sequences = grown;
        t->partitions = body.partitions;
    }
    t->handle = body.handle;
    t->batch_limit = body.batch_bytes_max;
    t->epoch = c->epoch + 1; /* 0 is none */
    return 0;
}

int publish_open(struct publisher *p, const struct runnel_topic_event *events, size_t count,
                 int64_t deadline_ms)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = events[i].topic;
        if (i && name && events[i - 1].topic && strcmp(name, events[i - 1].topic) == 0)
            continue;
        if (!name || !topic_name_valid(bytes_of(name)))
            return client_error(p->client, ERR_TOPIC_NAME_INVALID, "event %zu: '%.64s' is not a topic name",
                                i, name ? name : "");
        struct publish_topic *t = topic_of(p, name);
        if (!t)
            return no_memory(p);
        while (t->epoch != p->client->epoch + 1) {
            int rc = topic_open(p, t, deadline_ms);
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* ---- batches ---- */

static struct bytes bytes_from(const void *at, size_t len)
{
    return (struct bytes){ at, at ? (uint32_t)len : 0 };
}

static int place_event(struct publisher *p, const struct runnel_topic_event *te, size_t i)
{
    struct runnel_client *c = p->client;
    const struct runnel_event *e = &te->event;
    struct publish_topic *t = topic_of(p, te->topic);
    struct publish_place *place = &p->places[i];
    if (e->struct_size < EVENT_BYTES_MIN)
        return client_error(c, ERR_CLIENT_ARGUMENT, "event %zu is not initialised: use RUNNEL_EVENT_INIT", i);
    if (e->key_len > INT32_MAX || e->value_len > INT32_MAX || e->header_count > HEADERS_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "event %zu is too large, or has more than %d headers", i,
                            HEADERS_MAX);
    if (e->partition >= 0 && (uint32_t)e->partition >= t->partitions)
        return client_error(c, ERR_PARTITION_NOT_FOUND,
                            "topic %s has %u partitions: there is no partition %d", te->topic, t->partitions,
                            e->partition);
    place->topic = (uint32_t)(t - p->topics);
    if (e->partition >= 0)
        place->partition = (uint32_t)e->partition;
    else if (e->key)
        place->partition = murmur2_partition(e->key, (uint32_t)e->key_len, t->partitions);
    else
        place->partition = t->sticky % t->partitions;
    return 0;
}

static int headers_of(struct publisher *p, const struct runnel_event *e, struct header *out, size_t event)
{
    for (size_t i = 0; i < e->header_count; i++) {
        const struct runnel_header *h = &e->headers[i];
        if (!h->name || h->value_len > INT32_MAX || strlen(h->name) > INT16_MAX)
            return client_error(p->client, ERR_CLIENT_ARGUMENT,
                                "event %zu: header %zu has no name, or is too long", event, i);
        out[i] = (struct header){ bytes_of(h->name), bytes_from(h->value, h->value_len) };
    }
    return 0;
}

static int64_t wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t event_bytes(const struct runnel_event *e)
{
    uint64_t bytes = 64 + e->key_len + e->value_len;
    if (event_envelope(e))
        bytes += envelope_bytes_max(e->envelope);
    for (size_t i = 0; i < e->header_count; i++)
        bytes += 16 + (e->headers[i].name ? strlen(e->headers[i].name) : 0) + e->headers[i].value_len;
    return bytes;
}

/* The batch of event `first` and of all that go where it goes, written at `from`. */
static int build_batch(struct publisher *p, const struct runnel_topic_event *events, size_t count,
                       size_t first, uint32_t from, uint32_t room)
{
    struct publish_place *at = &p->places[first];
    struct publish_topic *t = &p->topics[at->topic];
    struct header headers[HEADERS_MAX];
    struct batch_builder b;
    int64_t now_ms = wall_ms();
    batch_build_start(&b, p->data + from, room);
    for (size_t i = first; i < count; i++) {
        struct publish_place *place = &p->places[i];
        const struct runnel_event *e = &events[i].event;
        if (place->topic != at->topic || place->partition != at->partition)
            continue;
        int rc = headers_of(p, e, headers, i);
        if (rc)
            return rc;
        place->batch = p->batch_count;
        place->index = b.count;
        const int64_t timestamp_ms = e->timestamp_ms ? e->timestamp_ms : now_ms;
        struct header_block lead = { 0 };
        if (event_envelope(e) &&
            (rc = envelope_stamp(e->envelope, p->client, t->name, e, timestamp_ms, &lead)))
            return rc;
        if (!batch_build_add_led(&b, timestamp_ms, bytes_from(e->key, e->key_len),
                                 bytes_from(e->value, e->value_len), &lead, headers,
                                 (uint32_t)e->header_count))
            return no_memory(p);
    }
    struct publish_batch *batch = &p->batches[p->batch_count++];
    *batch = (struct publish_batch){ at->topic, at->partition, from, 0, b.count };
    batch->bytes = p->has_id ? batch_build_finish(&b, p->id, p->id_epoch, t->sequences[at->partition])
                             : batch_build_finish(&b, -1, -1, -1);
    if (batch->bytes > t->batch_limit)
        return client_error(
            p->client, ERR_BATCH_TOO_LARGE,
            "%d events for one partition of topic %s have %u bytes and it takes %u: publish fewer at "
            "once",
            b.count, t->name, batch->bytes, t->batch_limit);
    return 0;
}

int publish_build(struct publisher *p, const struct runnel_topic_event *events, size_t count)
{
    uint64_t room = 0, from = 0;
    int rc = 0;
    p->batch_count = 0;
    p->batches = calloc(count, sizeof(*p->batches));
    p->places = calloc(count, sizeof(*p->places));
    p->place_count = (uint32_t)count;
    if (!p->batches || !p->places)
        return no_memory(p);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = place_event(p, &events[i], i);
        p->places[i].batch = UINT32_MAX;
        room += BATCH_HEADER + event_bytes(&events[i].event);
    }
    if (rc)
        return rc;
    if (room > p->client->frame_bytes_max * 2ull)
        return client_error(p->client, ERR_REQUEST_TOO_LARGE,
                            "the events are more than one request can hold (%u bytes)",
                            p->client->frame_bytes_max);
    p->data = malloc(room);
    if (!p->data)
        return no_memory(p);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (p->places[i].batch != UINT32_MAX)
            continue;
        rc = build_batch(p, events, count, i, (uint32_t)from, (uint32_t)(room - from));
        from += rc == 0 ? p->batches[p->batch_count - 1].bytes : 0;
    }
    if (rc == 0 && p->batch_count > PUBLISH_BATCHES_MAX)
        rc = client_error(p->client, ERR_REQUEST_TOO_LARGE,
                          "the events go to %u partitions: at most %d at once", p->batch_count,
                          PUBLISH_BATCHES_MAX);
    return rc;
}

void publish_done(struct publisher *p, bool stored)
{
    for (uint32_t i = 0; stored && p->has_id && i < p->batch_count; i++) {
        const struct publish_batch *b = &p->batches[i];
        int32_t *sequence = &p->topics[b->topic].sequences[b->partition];
        *sequence = (int32_t)(((uint32_t)*sequence + (uint32_t)b->count) & INT32_MAX);
    }
    for (uint32_t i = 0; stored && i < p->topic_count; i++)
        p->topics[i].sticky++;
    free(p->batches);
    free(p->places);
    free(p->data);
    p->batches = NULL;
    p->places = NULL;
    p->data = NULL;
    p->batch_count = p->place_count = 0;
}

/* ---- the request ---- */

uint32_t publish_bytes(const struct publisher *p)
{
    uint32_t bytes = 4;
    for (uint32_t i = 0; i < p->batch_count; i++)
        bytes += 12 + p->batches[i].bytes;
    return bytes;
}

void publish_put(const struct publisher *p, struct writer *w)
{
    wire_put_produce(w, WIRE_ACKS_DURABLE, (uint16_t)p->batch_count);
    for (uint32_t i = 0; i < p->batch_count; i++) {
        const struct publish_batch *b = &p->batches[i];
        wire_put_produce_batch(w, p->topics[b->topic].handle, b->partition,
                               (struct bytes){ p->data + b->from, b->bytes });
    }
}

bool publish_results(const struct publisher *p, struct reader r, struct runnel_delivery *out)
{
    const uint8_t *rows;
    uint16_t count;
    if (!wire_get_produced(r, &rows, &count) || count != p->batch_count)
        return false;
    for (uint32_t i = 0; out && i < p->place_count; i++) {
        const struct publish_place *place = &p->places[i];
        struct wire_produced row = wire_produced_row(rows, (uint16_t)place->batch);
        out[i] = (struct runnel_delivery){ .duplicate = row.flags & WIRE_PRODUCED_DUPLICATE,
                                           .partition = (int32_t)place->partition,
                                           .offset = (int64_t)row.base_offset + place->index };
    }
    return true;
}
