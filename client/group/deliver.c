/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/deliver.c: deliveries: queued where they were received, dropped when they are withdrawn, moved
 * out of blocks that are left behind.
 */
#include <stdlib.h>
#include <string.h>

#include "client/group/group.h"

struct group_delivery *group_queue_at(const struct runnel_group *g, uint32_t i)
{
    return &g->queue[(g->queue_from + i) & (g->queue_size - 1)];
}

static bool queue_push(struct runnel_group *g, const struct group_delivery *d)
{
    if (g->queue_count == g->queue_size) {
        uint32_t size = g->queue_size ? g->queue_size * 2 : 64;
        struct group_delivery *grown = size <= GROUP_DELIVERIES_MAX ? malloc(size * sizeof(*grown)) : NULL;
        if (!grown)
            return false;
        for (uint32_t i = 0; i < g->queue_count; i++)
            grown[i] = *group_queue_at(g, i);
        free(g->queue);
        g->queue = grown;
        g->queue_size = size;
        g->queue_from = 0;
    }
    *group_queue_at(g, g->queue_count++) = *d;
    return true;
}

static uint32_t rows_bytes(const struct group_delivery *d)
{
    return (uint32_t)d->row_count * WIRE_GROUP_DELIVERED;
}

static struct bytes rows_of(const struct group_delivery *d)
{
    return (struct bytes){ d->rows, rows_bytes(d) };
}

static void delivery_pin(const struct group_delivery *d)
{
    transport_pin(d->rows_block, rows_bytes(d));
    transport_pin(d->block, d->len);
}

static void delivery_unpin(struct runnel_group *g, const struct group_delivery *d)
{
    transport_unpin(&g->client->transport, d->rows_block, rows_bytes(d));
    transport_unpin(&g->client->transport, d->block, d->len);
}

/* ---- coming in ---- */

/* The last batch is about to move or go: the cursor stays only where the delivery being read pins it. */
static void cursor_leave_last(const struct runnel_group *g, struct share *s)
{
    if (!(g->in_delivery && g->now.share == s && in_delivery(&g->now, s->cursor.at)))
        s->cursor.at = NULL;
}

void share_drop_last(struct runnel_group *g, struct share *s)
{
    if (!s->last_block)
        return;
    cursor_leave_last(g, s);
    transport_unpin(&g->client->transport, s->last_block, s->last_len);
    s->last_block = NULL;
    s->last_at = NULL;
}

/* Remembers the last of the batches; false: they are not batches. */
static bool share_keep_last(struct runnel_group *g, struct share *s, struct bytes batches)
{
    const uint8_t *at = batches.at, *end = at + batches.len, *last = at;
    uint64_t bytes = 0;
    for (; at < end; at += bytes) {
        bytes = batch_bytes(at, (uint64_t)(end - at));
        if (bytes == 0 || bytes > (uint64_t)(end - at))
            return false;
        last = at;
    }
    share_drop_last(g, s);
    s->last_block = g->client->transport.in;
    s->last_at = last;
    s->last_len = (uint32_t)bytes;
    transport_pin(s->last_block, s->last_len);
    return true;
}

static bool rows_good(const struct wire_group_deliver *body)
{
    for (uint16_t i = 0; i < body->count; i++) {
        struct wire_group_delivered row = wire_group_delivered_at(body->ranges, i);
        if (row.first > INT64_MAX - UINT32_MAX)
            return false;
    }
    return body->count > 0;
}

static void give_back(struct runnel_group *g, const struct group_delivery *d, uint16_t row, int64_t from);

bool group_deliver(struct runnel_group *g, struct reader frame)
{
    struct wire_group_deliver body;
    if (!wire_get_group_deliver(frame, &body) || !rows_good(&body))
        return false;
    struct share *s = share_find(g, body.assignment);
    if (!s || !s->live)
        return true; /* sent before the broker took it back */
    if (body.batches.len ? !share_keep_last(g, s, body.batches) : !s->last_block)
        return false;
    struct group_delivery d = { .share = s,
                                .epoch = body.epoch,
                                .row_count = body.count,
                                .rows_block = g->client->transport.in,
                                .rows = body.ranges.at,
                                .block = s->last_block,
                                .at = body.batches.len ? body.batches.at : s->last_at,
                                .len = body.batches.len ? body.batches.len : s->last_len,
                                .limit = body.epoch < s->withdrawn_epoch ? s->withdrawn_from : INT64_MAX,
                                .fresh_until_ms = client_now_ms() + g->ack_wait_ms / 2 };
    if (g->stopping) {
        give_back(g, &d, 0, 0);
        return true;
    }
    if (!queue_push(g, &d))
        return false;
    delivery_pin(&d);
    s->queued++;
    if (d.fresh_until_ms < g->extend_at_ms)
        g->extend_at_ms = d.fresh_until_ms;
    return true;
}

/* ---- giving back, extending ---- */

/* Tells the broker of a delivery's events: row `row` from offset `from` on, and the rows behind it. */
static void tell_rows(struct runnel_group *g, const struct group_delivery *d, uint16_t row, int64_t from,
                      uint16_t op)
{
    struct writer w;
    uint8_t *frame, rows[128 * WIRE_GROUP_RANGE];
    while (row < d->row_count) {
        struct wire_group_ranges body = { .member = g->member };
        struct writer to = writer_of(rows, sizeof(rows));
        for (; row < d->row_count && !to.bad && writer_len(&to) < sizeof(rows); row++, from = 0) {
            struct wire_group_delivered at = wire_group_delivered_at(rows_of(d), row);
            int64_t first = (int64_t)at.first, end = first + at.count;
            first = first > from ? first : from;
            end = end < d->limit ? end : d->limit;
            if (first < end && group_put_range(&to, d->share, first, end, d->epoch))
                body.count++;
        }
        body.ranges = (struct bytes){ rows, writer_len(&to) };
        if (!body.count || g->state != GROUP_LIVE || !request_frame(g->client, &w, &frame, 16 + sizeof(rows)))
            return;
        wire_put_group_ranges(&w, &body);
        group_tell(g, &w, frame, op);
    }
}

static void give_back(struct runnel_group *g, const struct group_delivery *d, uint16_t row, int64_t from)
{
    tell_rows(g, d, row, from, WIRE_OP_GROUP_RELEASE);
}

/* What waits here for long is not lost: its ack.wait begins anew while the program still asks for events. */
void group_extend(struct runnel_group *g, int64_t now_ms)
{
    if (now_ms < g->extend_at_ms)
        return;
    g->extend_at_ms = INT64_MAX;
    for (uint32_t i = 0; i < g->queue_count; i++) {
        struct group_delivery *d = group_queue_at(g, i);
        if (d->fresh_until_ms <= now_ms) {
            tell_rows(g, d, 0, 0, WIRE_OP_GROUP_WORKING);
            d->fresh_until_ms = now_ms + g->ack_wait_ms / 2;
        }
        if (d->fresh_until_ms < g->extend_at_ms)
            g->extend_at_ms = d->fresh_until_ms;
    }
}

/* ---- dropping ---- */

/* From the last to the first: in a partition that keeps its order, giving back an event gives back all
 * behind it. */
void group_drop(struct runnel_group *g, const struct share *only, bool release)
{
    for (uint32_t i = g->queue_count; release && i-- > 0;) {
        const struct group_delivery *d = group_queue_at(g, i);
        if (!only || d->share == only)
            give_back(g, d, 0, 0);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->queue_count; i++) {
        struct group_delivery d = *group_queue_at(g, i);
        if (only && d.share != only) {
            *group_queue_at(g, kept++) = d;
            continue;
        }
        d.share->queued--;
        delivery_unpin(g, &d);
    }
    g->queue_count = kept;
    /* The one being read stays: a record of it may be lent. Nothing more of it is given out. */
    if (g->in_delivery && (!only || g->now.share == only)) {
        if (release)
            give_back(g, &g->now, g->row, g->row_next);
        g->row = g->now.row_count;
    }
}

static void limit(struct group_delivery *d, const struct share *s, uint32_t epoch, int64_t offset)
{
    if (d->share == s && d->epoch < epoch && d->limit > offset)
        d->limit = offset;
}

void group_withdraw(struct runnel_group *g, struct share *s, uint32_t epoch, int64_t offset)
{
    for (uint32_t i = 0; i < g->queue_count; i++)
        limit(group_queue_at(g, i), s, epoch, offset);
    if (g->in_delivery)
        limit(&g->now, s, epoch, offset);
    if (epoch > s->withdrawn_epoch || (epoch == s->withdrawn_epoch && offset < s->withdrawn_from)) {
        s->withdrawn_epoch = epoch;
        s->withdrawn_from = offset;
    }
    uint64_t before = ranges_events(&s->started), pending = ranges_events(&s->pending);
    if (epoch > 0) {
        ranges_cut(&s->started, offset, INT64_MAX, epoch - 1);
        ranges_cut(&s->pending, offset, INT64_MAX, epoch - 1);
    }
    g->out -= before - ranges_events(&s->started);
    g->pending -= pending - ranges_events(&s->pending);
}

/* ---- blocks left behind ---- */

static void move_out(struct transport *t, struct block *from, struct block **block, const uint8_t **at,
                     uint32_t len)
{
    struct block *own = *block == from ? transport_block_new(len) : NULL;
    if (!own)
        return;
    memcpy(own->data, *at, len);
    transport_pin(own, len);
    transport_unpin(t, from, len);
    *block = own;
    *at = own->data;
}

void groups_retire(struct runnel_client *c, struct block *b)
{
    struct runnel_group *g;
    TAILQ_FOREACH(g, &c->groups, link)
    {
        for (uint32_t i = 0; i < g->queue_count; i++) {
            struct group_delivery *d = group_queue_at(g, i);
            move_out(&c->transport, b, &d->rows_block, &d->rows, rows_bytes(d));
            move_out(&c->transport, b, &d->block, &d->at, d->len);
        }
        for (uint32_t i = 0; i < g->share_count; i++) {
            struct share *s = g->shares[i];
            if (s->last_block != b)
                continue;
            cursor_leave_last(g, s);
            move_out(&c->transport, b, &s->last_block, &s->last_at, s->last_len);
        }
    }
}
