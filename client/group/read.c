/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/read.c: events out: the rows of a delivery, looked up in its batches.
 *
 * A large batch goes out by and by, a few of its events at a time, in deliveries that all refer to it. So
 * each share has a cursor that stays in the batch from one delivery to the next: nothing is walked, checked
 * or uncompressed twice while events come in order.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/envelope/envelope.h"
#include "client/group/group.h"
#include "proto/crc32c.h"
#include "proto/murmur2.h"

enum { BATCH_SIGNED_AT = 21 }; /* a batch's CRC covers all from this byte on */

/* ---- a batch ---- */

/* Memory for uncompressed records: the share's own, or a free one, or that which was not used for longest. */
static struct unpacked *unpacked_take(struct runnel_group *g, struct share *s)
{
    struct unpacked *u = s->cursor.unpacked;
    for (int i = 0; i < GROUP_UNPACKED && !s->cursor.unpacked; i++) {
        struct unpacked *other = &g->unpacked[i];
        if (!u || (u->owner && (!other->owner || other->used < u->used)))
            u = other;
    }
    if (u->owner && u->owner != s) {
        u->owner->cursor.unpacked = NULL;
        u->owner->cursor.at = NULL;
    }
    u->owner = s;
    s->cursor.unpacked = u;
    return u;
}

static int batch_bad(struct runnel_group *g, int code, const char *why)
{
    const struct share *s = g->now.share;
    g->row = g->now.row_count;
    return client_error(g->client, code, "topic %s, partition %u, offset %lld: %s", s->topic, s->partition,
                        (long long)g->row_next, why);
}

/* Puts the share's cursor at the beginning of a batch. */
static int cursor_enter(struct runnel_group *g, const struct batch *b)
{
    struct share *s = g->now.share;
    struct cursor *c = &s->cursor;
    char why[128];
    enum batch_codec codec = (enum batch_codec)(b->attributes & BATCH_CODEC_MASK);
    c->at = NULL;
    if (g->options.check_crc && crc32c(0, b->at + BATCH_SIGNED_AT, b->bytes - BATCH_SIGNED_AT) != b->crc)
        return batch_bad(g, ERR_BATCH_CORRUPT, "the delivered batch does not match its checksum");
    c->records = (struct bytes){ b->at + BATCH_HEADER, b->bytes - BATCH_HEADER };
    if (codec != CODEC_NONE && !unpack(&unpacked_take(g, s)->packer, codec, c->records, &c->records, why))
        return batch_bad(g, ERR_CLIENT_CODEC, why);
    c->batch = *b;
    c->at = b->at;
    c->have = false;
    c->passed = b->base_offset;
    record_iter_init(&c->iter, &c->batch, c->records);
    return 1;
}

/* Has the cursor's next record be the first one not below `offset`: 1, 0 the batch has none. */
static int cursor_seek(struct runnel_group *g, int64_t offset)
{
    struct cursor *c = &g->now.share->cursor;
    if (c->passed > offset) { /* again from its beginning */
        c->have = false;
        c->passed = c->batch.base_offset;
        record_iter_init(&c->iter, &c->batch, c->records);
    }
    for (;;) {
        if (c->have && c->next.offset >= offset)
            return 1;
        if (c->have)
            c->passed = c->next.offset + 1;
        int rc = record_next(&c->iter, &c->next);
        c->have = rc == 1;
        if (rc == 0)
            return 0;
        if (rc < 0)
            return batch_bad(g, ERR_BATCH_INVALID, "a record in the delivered batch is malformed");
    }
}

static bool batch_covers(const struct batch *b, int64_t offset)
{
    return offset >= b->base_offset && offset <= b->base_offset + b->last_offset_delta;
}

/* Puts the cursor into the batch that holds `offset`, or into the next one behind it: 1, 0 there is none. */
static int batch_find(struct runnel_group *g, int64_t offset)
{
    struct group_delivery *d = &g->now;
    const struct cursor *c = &d->share->cursor;
    const uint8_t *end = d->at + d->len;
    struct batch b;
    if (in_delivery(d, c->at) && batch_covers(&c->batch, offset))
        return 1;
    if (g->batch > d->at && in_delivery(d, c->at) && offset < c->batch.base_offset)
        g->batch = d->at;
    for (; g->batch < end; g->batch += b.bytes) {
        if (!batch_decode(&b, g->batch, (uint64_t)(end - g->batch)) || b.base_offset < 0 ||
            b.last_offset_delta < 0)
            return batch_bad(g, ERR_BATCH_INVALID, "the broker delivered a malformed batch");
        if (offset <= b.base_offset + b.last_offset_delta && !(b.attributes & BATCH_CONTROL))
            return in_delivery(d, c->at) && c->at == b.at ? 1 : cursor_enter(g, &b);
    }
    return 0;
}

/* ---- a delivery ---- */

static void delivery_leave(struct runnel_group *g)
{
    struct share *s = g->now.share;
    g->in_delivery = false;
    transport_unpin(&g->client->transport, g->now.rows_block,
                    g->now.row_count * (uint32_t)WIRE_GROUP_DELIVERED);
    transport_unpin(&g->client->transport, g->now.block, g->now.len);
    /* Later deliveries refer to the last batch only; the memory of others may become another's. */
    if (s->cursor.at != s->last_at)
        s->cursor.at = NULL;
    s->queued--;
    share_tidy(g, s);
}

static bool delivery_enter(struct runnel_group *g)
{
    if (g->queue_count == 0)
        return false;
    g->now = *group_queue_at(g, 0);
    g->queue_from = (g->queue_from + 1) & (g->queue_size - 1);
    g->queue_count--;
    g->in_delivery = true;
    g->row = 0;
    g->row_next = 0;
    g->batch = g->now.at;
    return true;
}

void group_leave_delivery(struct runnel_group *g)
{
    if (g->in_delivery)
        delivery_leave(g);
}

/* The record that the cursor stands at. */
static int record_give(struct runnel_group *g, uint16_t attempts, struct runnel_record *out,
                       struct runnel_lease *lease)
{
    struct share *s = g->now.share;
    struct cursor *c = &s->cursor;
    const struct record *r = &c->next;
    if (!ranges_add(&s->started, r->offset, r->offset + 1, g->now.epoch))
        return client_error(g->client, ERR_CLIENT_QUEUE_FULL, "no memory for another event in flight");
    g->out++;
    if (c->unpacked)
        c->unpacked->used = ++g->unpacked_clock;
    *out = (struct runnel_record){
        .topic = s->topic,
        .partition = (int32_t)s->partition,
        .offset = r->offset,
        .timestamp_ms = r->timestamp_ms,
        .key = r->key.at,
        .key_len = r->key.len,
        .value = r->value.at,
        .value_len = r->value.len,
        .header_count = r->header_count,
        .priv = r->headers.at,
        .priv_len = r->headers.len,
    };
    if (lease)
        *lease = (struct runnel_lease){
            .assignment = s->id,
            .epoch = g->now.epoch,
            .offset = r->offset,
            .attempt = attempts + 1u,
            .key_hash = r->key.at ? murmur2(r->key.at, r->key.len) : 0,
        };
    g->row_next = r->offset + 1;
    c->passed = r->offset + 1;
    c->have = false;
    return 1;
}

/* The next event of the delivery: 1, 0 it has no more, negative. */
static int delivery_next(struct runnel_group *g, struct runnel_record *out, struct runnel_lease *lease)
{
    struct group_delivery *d = &g->now;
    struct bytes rows = { d->rows, d->row_count * (uint32_t)WIRE_GROUP_DELIVERED };
    while (g->row < d->row_count) {
        struct wire_group_delivered row = wire_group_delivered_at(rows, g->row);
        int64_t end = (int64_t)row.first + row.count;
        if (end > d->limit)
            end = d->limit;
        if (g->row_next < (int64_t)row.first)
            g->row_next = (int64_t)row.first;
        int rc = g->row_next < end ? batch_find(g, g->row_next) : 0;
        if (rc == 1)
            rc = cursor_seek(g, g->row_next);
        if (rc < 0)
            return rc;
        const struct cursor *c = &d->share->cursor;
        if (rc == 1 && c->next.offset < end)
            return record_give(g, row.attempts, out, lease);
        if (rc == 0 && g->row_next < end && in_delivery(d, c->at) &&
            batch_covers(&c->batch, g->row_next)) { /* the batch's last records are gone */
            g->row_next = c->batch.base_offset + c->batch.last_offset_delta + 1;
            continue;
        }
        g->row++;
        g->row_next = 0;
    }
    return 0;
}

int group_read(struct runnel_group *g, struct runnel_record *out, struct runnel_lease *lease)
{
    for (;;) {
        int rc = g->in_delivery ? delivery_next(g, out, lease) : 0;
        if (rc)
            return rc;
        if (g->in_delivery)
            delivery_leave(g);
        if (!delivery_enter(g))
            return 0;
    }
}

/* ---- the call ---- */

/* Monotonic, cheap, a few milliseconds coarse. */
static int64_t coarse_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct group_next {
    struct runnel_group *group;
    struct runnel_record *out;
    struct runnel_lease *lease;
};

static int group_step(void *ctx)
{
    const struct group_next *next = ctx;
    struct runnel_group *g = next->group;
    const int rc = g->stopping ? 0 : group_read(g, next->out, next->lease);
    return rc ? rc : group_over(g);
}

static int next_event(struct runnel_group *g, struct runnel_record *out, struct runnel_lease *lease,
                      int timeout_ms)
{
    struct runnel_client *c = g->client;
    struct group_next next = { g, out, lease };
    /* A program that takes long for each event comes here seldom: what it acknowledged must not wait until
     * all that is queued has been read. */
    int64_t now = coarse_ms();
    if (now != g->looked_ms && !c->in_callback) {
        g->looked_ms = now;
        client_io(c);
    }
    const int rc = g->stopping ? 0 : group_read(g, out, lease);
    return rc ? rc : client_next(c, timeout_ms, group_step, &next);
}

int runnel_group_next(runnel_group *g, struct runnel_record *out, struct runnel_lease *lease, int timeout_ms)
{
    const int rc = next_event(g, out, lease, timeout_ms);
    if (g->envelope)
        runnel_envelope_cause(g->envelope, rc == 1 ? out : NULL);
    return rc;
}

void group_followed_by(struct runnel_group *g, struct runnel_envelope *e)
{
    if (e && g->envelope && g->envelope != e)
        g->envelope->follows = NULL;
    g->envelope = e;
}

int runnel_group_ready(const runnel_group *g)
{
    return !g->stopping && (g->queue_count > 0 || (g->in_delivery && g->row < g->now.row_count));
}
