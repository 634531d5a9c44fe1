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

/* One attempt: 0 and *reply, or an error. */
static int attempt(struct runnel_group *g, const struct runnel_topic_event *events, size_t event_count,
                   struct bytes ranges, uint16_t rows, int64_t deadline, uint8_t **reply, uint32_t *len)
{
    struct runnel_client *c = g->client;
    struct publisher *p = publisher_of(g);
    int rc = client_wait_until(c, deadline, member_is_back, g);
    if (rc == 0)
        rc = group_over(g);
    /* The same handles are good for the request only if the connection stayed. */
    if (rc == 0)
        rc = publish_open(p, events, event_count, deadline);
    if (rc)
        return rc;
    uint32_t bytes = 16 + ranges.len + publish_bytes(p);
    uint8_t *body = malloc(bytes);
    if (!body)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a request of %u bytes", bytes);
    struct writer w = writer_of(body, bytes);
    wire_put_group_produce(&w, g->member, rows, ranges);
    publish_put(p, &w);
    rc = g->state == GROUP_LIVE
             ? request_call_until(c, WIRE_OP_GROUP_PRODUCE, (struct bytes){ body, writer_len(&w) }, false,
                                  deadline, reply, len)
             : -ERR_CLIENT_UNREACHABLE;
    free(body);
    return rc;
}

static int produce(struct runnel_group *g, const struct runnel_topic_event *events, size_t event_count,
                   struct bytes ranges, uint16_t rows, struct runnel_delivery *out, int64_t deadline)
{
    struct runnel_client *c = g->client;
    struct publisher *p = publisher_of(g);
    uint8_t *reply = NULL;
    uint32_t len = 0;
    int rc;
    do
        rc = attempt(g, events, event_count, ranges, rows, deadline, &reply, &len);
    while (rc == -ERR_CLIENT_UNREACHABLE && c->state != CLIENT_FAILED && client_now_ms() < deadline);
    if (rc == 0 && !publish_results(p, reader_of(reply, len), out))
        rc = client_error(c, ERR_CLIENT_PROTOCOL, "the answer to GROUP_PRODUCE cannot be understood");
    free(reply);
    publish_done(p, rc == 0);
    switch (rc) {
    case -ERR_CLIENT_UNREACHABLE:
        rc = -ERR_CLIENT_TIMEOUT; /* whether it was done is not known */
        break;
    case -ERR_CLIENT_PROTOCOL:
    case -ERR_CLIENT_TIMEOUT:
    case -ERR_PRODUCER_UNKNOWN:
    case -ERR_PRODUCER_FENCED:
    case -ERR_SEQUENCE_GAP:
        break;
    default:
        return rc;
    }
    publish_forget_id(p);
    return rc;
}

int runnel_group_produce(runnel_group *g, const struct runnel_topic_event *events, size_t event_count,
                         const struct runnel_lease *leases, size_t lease_count, struct runnel_delivery *out,
                         int timeout_ms)
{
    struct runnel_client *c = g->client;
    int64_t deadline = client_deadline(client_now_ms(), timeout_ms);
    int rc = client_may_block(c);
    if (rc == 0 && (event_count == 0 || event_count > UINT16_MAX || lease_count > UINT16_MAX))
        rc = client_error(c, ERR_CLIENT_ARGUMENT, "1 to %d events and at most as many acknowledgements",
                          UINT16_MAX);
    if (rc == 0)
        rc = leases_good(g, leases, lease_count);
    struct publisher *p = rc == 0 ? publisher_of(g) : NULL;
    if (rc == 0 && !p)
        rc = client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory to publish");
    if (rc == 0)
        rc = publish_introduce(p, deadline);
    if (rc == 0)
        rc = publish_open(p, events, event_count, deadline);
    if (rc)
        return rc;
    uint8_t *rows = malloc(lease_count * WIRE_GROUP_RANGE + 1);
    rc = rows ? publish_build(p, events, event_count) : client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory");
    if (rc) {
        publish_done(p, false);
        free(rows);
        return rc;
    }
    struct writer w = writer_of(rows, (uint32_t)(lease_count * WIRE_GROUP_RANGE));
    uint16_t count = put_leases(&w, leases, lease_count);
    rc = produce(g, events, event_count, (struct bytes){ rows, writer_len(&w) }, count, out, deadline);
    free(rows);
    for (size_t i = 0; rc == 0 && i < lease_count; i++) {
        struct share *s = share_find(g, leases[i].assignment);
        if (s && ranges_take(&s->started, leases[i].offset, leases[i].epoch))
            g->out--;
        if (s)
            share_tidy(g, s);
    }
    return rc;
}
