/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/produce.c: publishing and acknowledging as one: GROUP_PRODUCE.
 *
 * The batches carry the sequence numbers of a producer of the group's own. When the connection breaks before
 * the answer, the same request is made again once the member is back: the broker recognises what it has
 * stored and answers with the first offsets.
 */
#include <stdlib.h>

#include "client/group/group.h"
#include "client/group/publish.h"

struct group_producer {
    struct publisher publisher;
};

void group_producer_free(struct runnel_group *g)
{
    if (!g->producer)
        return;
    publisher_free(&g->producer->publisher);
    free(g->producer);
}

static struct publisher *publisher_of(struct runnel_group *g)
{
    if (!g->producer) {
        g->producer = malloc(sizeof(*g->producer));
        if (g->producer)
            publisher_init(&g->producer->publisher, g->client, g->options.create);
    }
    return g->producer ? &g->producer->publisher : NULL;
}

static int leases_good(struct runnel_group *g, const struct runnel_lease *leases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct share *s = share_find(g, leases[i].assignment);
        if (!s || !ranges_has(&s->started, leases[i].offset, leases[i].epoch))
            return client_error(
                g->client, ERR_STALE_GENERATION,
                "the event at offset %lld is not this member's (any more): nothing was published",
                (long long)leases[i].offset);
    }
    return 0;
}

/* Neighbours become one row. */
static uint16_t put_leases(struct writer *w, const struct runnel_lease *leases, size_t count)
{
    uint16_t rows = 0;
    for (size_t i = 0; i < count;) {
        size_t n = 1;
        while (i + n < count && leases[i + n].assignment == leases[i].assignment &&
               leases[i + n].epoch == leases[i].epoch &&
               leases[i + n].offset == leases[i].offset + (int64_t)n)
            n++;
        wire_put_group_range(w, &(struct wire_group_range){ .assignment = leases[i].assignment,
                                                            .epoch = leases[i].epoch,
                                                            .first = (uint64_t)leases[i].offset,
                                                            .count = (uint32_t)n });
        rows++;
        i += n;
    }
    return rows;
}

static bool member_is_back(void *ctx)
{
    const struct runnel_group *g = ctx;
    return g->state == GROUP_LIVE || g->state == GROUP_FAILED;
}

/* A call under way. */
struct call {
    const struct runnel_topic_event *events;
    size_t event_count;
    const struct runnel_lease *leases;
    size_t lease_count;
    uint8_t *rows; /* the leases as ranges */
    uint32_t row_bytes;
    uint16_t row_count;
    int64_t deadline_ms;
};

/* One attempt: 0 and *reply, or an error. */
static int attempt(struct runnel_group *g, const struct call *call, uint8_t **reply, uint32_t *len)
{
    struct runnel_client *c = g->client;
    struct publisher *p = publisher_of(g);
    int rc = client_wait_until(c, call->deadline_ms, member_is_back, g);
    if (rc == 0)
        rc = group_over(g);
    /* The handles of topics are the connection's; so may be what it holds, when it came back as another. */
    if (rc == 0)
        rc = publish_open(p, call->events, call->event_count, call->deadline_ms);
    if (rc == 0)
        rc = leases_good(g, call->leases, call->lease_count);
    if (rc)
        return rc;
    uint32_t bytes = 16 + call->row_bytes + publish_bytes(p);
    uint8_t *body = malloc(bytes);
    if (!body)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a request of %u bytes", bytes);
    struct writer w = writer_of(body, bytes);
    wire_put_group_produce(&w, g->member, call->row_count, (struct bytes){ call->rows, call->row_bytes });
    publish_put(p, &w);
    rc = -ERR_CLIENT_UNREACHABLE;
    if (g->state == GROUP_LIVE)
        rc = request_call_until(c, WIRE_OP_GROUP_PRODUCE, (struct bytes){ body, writer_len(&w) }, false,
                                call->deadline_ms, reply, len);
    free(body);
    return rc;
}

/* The events are not (or no longer) this member's. */
static bool not_ours(int rc)
{
    return rc == -ERR_STALE_GENERATION || rc == -ERR_EVENT_NOT_LEASED || rc == -ERR_NOT_YOUR_EVENT ||
           rc == -ERR_MEMBER_UNKNOWN;
}

/* It may have been stored under the present id, so its sequence numbers cannot be given again. */
static bool id_is_used_up(int rc)
{
    return rc == -ERR_CLIENT_TIMEOUT || rc == -ERR_CLIENT_PROTOCOL || rc == -ERR_CLIENT_UNREACHABLE ||
           rc == -ERR_PRODUCER_UNKNOWN || rc == -ERR_PRODUCER_FENCED || rc == -ERR_SEQUENCE_GAP;
}

static int produce(struct runnel_group *g, const struct call *call, struct runnel_delivery *out)
{
    struct runnel_client *c = g->client;
    struct publisher *p = publisher_of(g);
    uint8_t *reply = NULL;
    uint32_t len = 0;
    bool in_doubt = false;
    int rc = attempt(g, call, &reply, &len);
    while (rc == -ERR_CLIENT_UNREACHABLE && c->state != CLIENT_FAILED &&
           client_now_ms() < call->deadline_ms) {
        in_doubt = true;
        rc = attempt(g, call, &reply, &len);
    }
    if (rc == 0 && !publish_results(p, reader_of(reply, len), out))
        rc = client_error(c, ERR_CLIENT_PROTOCOL, "the answer to GROUP_PRODUCE cannot be understood");
    free(reply);
    if (rc == -ERR_CLIENT_UNREACHABLE || (in_doubt && not_ours(rc)))
        rc = client_error(
            c, ERR_CLIENT_TIMEOUT,
            "the connection broke before the answer came: it was done, or the events come again");
    publish_done(p, rc == 0);
    if (id_is_used_up(rc))
        publish_forget_id(p);
    return rc;
}

static int call_prepare(struct runnel_group *g, struct call *call)
{
    struct runnel_client *c = g->client;
    struct publisher *p = publisher_of(g);
    int rc = p ? publish_introduce(p, call->deadline_ms)
               : client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory to publish");
    if (rc == 0)
        rc = publish_open(p, call->events, call->event_count, call->deadline_ms);
    if (rc == 0)
        rc = publish_build(p, call->events, call->event_count);
    if (rc == 0 && !(call->rows = malloc(call->lease_count * WIRE_GROUP_RANGE + 1)))
        rc = client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for %zu acknowledgements", call->lease_count);
    if (rc == 0) {
        struct writer w = writer_of(call->rows, (uint32_t)(call->lease_count * WIRE_GROUP_RANGE));
        call->row_count = put_leases(&w, call->leases, call->lease_count);
        call->row_bytes = writer_len(&w);
    } else if (p) {
        publish_done(p, false);
    }
    return rc;
}

int runnel_group_produce(runnel_group *g, const struct runnel_topic_event *events, size_t event_count,
                         const struct runnel_lease *leases, size_t lease_count, struct runnel_delivery *out,
                         int timeout_ms)
{
    struct runnel_client *c = g->client;
    struct call call = { .events = events,
                         .event_count = event_count,
                         .leases = leases,
                         .lease_count = lease_count,
                         .deadline_ms = client_deadline(client_now_ms(), timeout_ms) };
    int rc = client_may_block(c);
    if (rc == 0 && (event_count == 0 || event_count > UINT16_MAX || lease_count > UINT16_MAX))
        rc = client_error(c, ERR_CLIENT_ARGUMENT, "1 to %d events and at most as many acknowledgements",
                          UINT16_MAX);
    if (rc == 0)
        rc = leases_good(g, leases, lease_count);
    if (rc == 0)
        rc = call_prepare(g, &call);
    if (rc)
        return rc;
    rc = produce(g, &call, out);
    free(call.rows);
    for (size_t i = 0; rc == 0 && i < lease_count; i++) {
        struct share *s = share_find(g, leases[i].assignment);
        if (s && ranges_take(&s->started, leases[i].offset, leases[i].epoch))
            g->out--;
        if (s)
            share_tidy(g, s);
    }
    return rc;
}
