/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/settle.c: acknowledging, refusing, extending.
 *
 * Acknowledgements gather as ranges and go out when half of what may be in flight is acknowledged, and
 * whenever the program waits. Most of them nobody waits for: one at a time asks to be answered when it is
 * durable, and that answer is good for all before it. What was not answered when a connection breaks is told
 * to be held when the client comes back, and sent again: repeating is harmless.
 */
#include <string.h>

#include "client/group/group.h"

enum { ROWS_MAX = 256, TYPE_MAX = 256, MESSAGE_MAX = 4096, STACK_MAX = 32768 };

bool group_put_range(struct writer *w, const struct share *s, int64_t first, int64_t end, uint32_t epoch)
{
    wire_put_group_range(w, &(struct wire_group_range){ .assignment = s->id,
                                                        .epoch = epoch,
                                                        .first = (uint64_t)first,
                                                        .count = (uint32_t)(end - first) });
    return !w->bad;
}

/* ---- sending acknowledgements ---- */

static void share_pending(struct runnel_group *g, struct share *s)
{
    if (s->in_acks)
        return;
    TAILQ_INSERT_TAIL(&g->acks, s, acks_link);
    s->in_acks = true;
}

static void share_doubt(struct runnel_group *g, struct share *s)
{
    if (s->in_doubts)
        return;
    TAILQ_INSERT_TAIL(&g->doubts, s, doubts_link);
    s->in_doubts = true;
}

static void share_not_pending(struct runnel_group *g, struct share *s)
{
    if (s->in_acks)
        TAILQ_REMOVE(&g->acks, s, acks_link);
    s->in_acks = false;
    s->pending.count = 0;
}

/* Fills rows from what is pending. What is written moves to `sent` or `later`; without memory for that it is
 * not remembered, and comes again should the connection break now. */
static uint16_t rows_fill(struct runnel_group *g, struct writer *rows, bool covered)
{
    struct share *s;
    uint16_t count = 0;
    while (count < ROWS_MAX && (s = TAILQ_FIRST(&g->acks))) {
        struct ranges *to = covered ? &s->sent : &s->later;
        uint32_t n = 0;
        for (; n < s->pending.count && count < ROWS_MAX; n++, count++) {
            const struct range *r = &s->pending.items[n];
            group_put_range(rows, s, r->first, r->end, r->epoch);
            ranges_add(to, r->first, r->end, r->epoch);
            g->pending -= (uint64_t)(r->end - r->first);
        }
        share_doubt(g, s);
        if (n == s->pending.count) {
            share_not_pending(g, s);
            continue;
        }
        s->pending.count -= n;
        memmove(s->pending.items, s->pending.items + n, s->pending.count * sizeof(*s->pending.items));
    }
    return count;
}

static void group_confirmed(struct runnel_client *c, struct request *r, const struct reply *reply);

/* Room for a frame is taken first, so that nothing has to be undone. */
static bool acks_send(struct runnel_group *g, bool confirm)
{
    struct runnel_client *c = g->client;
    struct writer w;
    uint8_t *frame, rows[ROWS_MAX * WIRE_GROUP_RANGE];
    struct writer to = writer_of(rows, sizeof(rows));
    struct wire_group_ack body = { .member = g->member };
    if (!request_frame(c, &w, &frame, 16 + sizeof(rows)))
        return false;
    uint32_t id = confirm ? request_begin(c, &g->confirm, WIRE_OP_GROUP_ACK, group_confirmed) : 0;
    body.flags = id ? WIRE_GROUP_ACK_REPLY : 0;
    body.count = rows_fill(g, &to, id != 0);
    body.ranges = (struct bytes){ rows, writer_len(&to) };
    wire_put_group_ack(&w, &body);
    if (id)
        return request_send(c, &w, frame, WIRE_OP_GROUP_ACK, id);
    g->later |= body.count > 0;
    return group_tell(g, &w, frame, WIRE_OP_GROUP_ACK);
}

/* What was sent behind the last one to be answered is covered by the next. */
static void doubts_cover(struct runnel_group *g)
{
    struct share *s;
    TAILQ_FOREACH(s, &g->doubts, doubts_link)
    ranges_move(&s->sent, &s->later);
    g->later = false;
}

/* At most one frame is needed for what is pending. */
static bool acks_fit(const struct runnel_group *g)
{
    const struct share *s;
    uint32_t rows = 0;
    for (s = TAILQ_FIRST(&g->acks); s && rows <= ROWS_MAX; s = TAILQ_NEXT(s, acks_link))
        rows += s->pending.count;
    return rows <= ROWS_MAX;
}

bool group_flush_due(const struct runnel_group *g)
{
    return !TAILQ_EMPTY(&g->acks) || (g->later && g->confirm.id == 0);
}

void group_flush(struct runnel_group *g)
{
    if (g->state != GROUP_LIVE || g->client->state != CLIENT_READY)
        return;
    bool confirm = g->confirm.id == 0 && (g->later || !TAILQ_EMPTY(&g->acks));
    while (!TAILQ_EMPTY(&g->acks)) {
        /* The last one asks: it answers for the others. */
        bool last = confirm && acks_fit(g);
        if (last)
            doubts_cover(g);
        if (!acks_send(g, last))
            return;
        confirm = confirm && !last;
    }
    if (confirm && g->later) {
        doubts_cover(g);
        acks_send(g, true);
    }
}

static void doubts_clear(struct runnel_group *g)
{
    struct share *s, *next;
    for (s = TAILQ_FIRST(&g->doubts); s; s = next) {
        next = TAILQ_NEXT(s, doubts_link);
        s->sent.count = 0;
        if (s->later.count)
            continue;
        TAILQ_REMOVE(&g->doubts, s, doubts_link);
        s->in_doubts = false;
        share_tidy(g, s);
    }
}

static void group_confirmed(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct runnel_group *g = OWNER(struct runnel_group, confirm, r);
    (void)c;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error == 0) {
        doubts_clear(g);
        return;
    }
    /* Some events were taken back before. The others are done, and a further question says when durably. */
    struct share *s;
    group_note_error(g, reply->error, reply->text);
    TAILQ_FOREACH(s, &g->doubts, doubts_link)
    ranges_move(&s->later, &s->sent);
    g->later = true;
}

void group_doubt(struct runnel_group *g)
{
    struct share *s;
    while ((s = TAILQ_FIRST(&g->doubts))) {
        TAILQ_REMOVE(&g->doubts, s, doubts_link);
        s->in_doubts = false;
        g->pending += ranges_events(&s->sent) + ranges_events(&s->later);
        ranges_move(&s->pending, &s->sent);
        ranges_move(&s->pending, &s->later);
        share_pending(g, s);
    }
    g->later = false;
}

bool group_settled_all(void *group)
{
    struct runnel_group *g = group;
    if (g->state == GROUP_FAILED)
        return true;
    return g->state == GROUP_LIVE && TAILQ_EMPTY(&g->acks) && !g->confirm.id && !g->later &&
           g->unanswered == 0;
}

/* ---- what is held ---- */

uint32_t group_held_count(const struct runnel_group *g)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->share_count; i++)
        n += g->shares[i]->started.count + g->shares[i]->pending.count;
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static uint16_t put_held(const struct share *s, const struct ranges *r, struct writer *w, uint16_t left)
{
    for (uint32_t i = 0; i < r->count && left; i++, left--)
        group_put_range(w, s, r->items[i].first, r->items[i].end, r->items[i].epoch);
    return left;
}

void group_put_held(const struct runnel_group *g, struct writer *w, uint16_t count)
{
    for (uint32_t i = 0; i < g->share_count; i++) {
        const struct share *s = g->shares[i];
        count = put_held(s, &s->started, w, count);
        count = put_held(s, &s->pending, w, count);
    }
}

/* ---- acknowledging ---- */

static int not_held(struct runnel_group *g, const struct runnel_lease *lease)
{
    return client_error(g->client, ERR_STALE_GENERATION,
                        "the event at offset %lld is not this member's (any more): it was settled before, or "
                        "taken back and is delivered again",
                        (long long)lease->offset);
}

static void sent_enough(struct runnel_group *g)
{
    if (g->pending < (g->max_in_flight + 1u) / 2 || g->client->in_callback)
        return;
    group_flush(g);
    client_write(g->client);
}

int runnel_ack(runnel_group *g, const struct runnel_lease *lease)
{
    struct share *s = share_find(g, lease->assignment);
    if (!s || !ranges_take(&s->started, lease->offset, lease->epoch))
        return not_held(g, lease);
    g->out--;
    if (!ranges_add(&s->pending, lease->offset, lease->offset + 1, lease->epoch))
        return client_error(g->client, ERR_CLIENT_QUEUE_FULL, "no memory for another acknowledgement");
    g->pending++;
    share_pending(g, s);
    sent_enough(g);
    return 0;
}

int runnel_ack_through(runnel_group *g, const struct runnel_lease *lease)
{
    struct share *s = share_find(g, lease->assignment);
    if (!s || !ranges_has(&s->started, lease->offset, lease->epoch))
        return not_held(g, lease);
    for (uint32_t i = 0; i < s->started.count && s->started.items[i].first <= lease->offset; i++) {
        const struct range *r = &s->started.items[i];
        int64_t end = r->end <= lease->offset ? r->end : lease->offset + 1;
        if (!ranges_add(&s->pending, r->first, end, r->epoch))
            return client_error(g->client, ERR_CLIENT_QUEUE_FULL, "no memory for another acknowledgement");
        g->pending += (uint64_t)(end - r->first);
        g->out -= (uint64_t)(end - r->first);
    }
    ranges_cut(&s->started, 0, lease->offset + 1, UINT32_MAX);
    share_pending(g, s);
    sent_enough(g);
    return 0;
}

/* Tells the broker something of one event. Without a connection there is no need: what is not held when the
 * member comes back is taken back, and for what is, ack.wait begins anew. */
static void tell_one(struct runnel_group *g, const struct share *s, const struct runnel_lease *lease,
                     uint16_t op)
{
    uint8_t row[WIRE_GROUP_RANGE], *frame;
    struct writer w, to = writer_of(row, sizeof(row));
    struct wire_group_ranges body = { .member = g->member, .count = 1, .ranges = { row, sizeof(row) } };
    if (g->state != GROUP_LIVE || !request_frame(g->client, &w, &frame, 16 + sizeof(row)))
        return;
    group_put_range(&to, s, lease->offset, lease->offset + 1, lease->epoch);
    wire_put_group_ranges(&w, &body);
    group_tell(g, &w, frame, op);
    client_write(g->client);
}

int runnel_working(runnel_group *g, const struct runnel_lease *lease)
{
    const struct share *s = share_find(g, lease->assignment);
    if (!s || !ranges_has(&s->started, lease->offset, lease->epoch))
        return not_held(g, lease);
    tell_one(g, s, lease, WIRE_OP_GROUP_WORKING);
    return 0;
}

int runnel_release(runnel_group *g, const struct runnel_lease *lease)
{
    struct share *s = share_find(g, lease->assignment);
    if (!s || !ranges_take(&s->started, lease->offset, lease->epoch))
        return not_held(g, lease);
    g->out--;
    group_flush(g);
    tell_one(g, s, lease, WIRE_OP_GROUP_RELEASE);
    if (g->mode == WIRE_GROUP_ORDERED)
        group_withdraw(g, s, lease->epoch + 1, lease->offset);
    share_tidy(g, s);
    return 0;
}

int runnel_holds(const runnel_group *g, const struct runnel_lease *lease)
{
    const struct share *s = share_find((struct runnel_group *)g, lease->assignment);
    return s && ranges_has(&s->started, lease->offset, lease->epoch);
}

/* ---- refusing ---- */

/* At most `max` bytes, and no half of a character. */
static struct bytes cut_text(const char *text, uint32_t max)
{
    struct bytes b = bytes_of(text ? text : "");
    if (b.len <= max)
        return b;
    b.len = max;
    while (b.len && (b.at[b.len] & 0xc0) == 0x80)
        b.len--;
    return b;
}

static int refuse(struct runnel_group *g, const struct runnel_lease *lease,
                  const struct runnel_failure *failure, bool term)
{
    static const struct runnel_failure unsaid = RUNNEL_FAILURE_INIT;
    struct share *s = share_find(g, lease->assignment);
    struct writer w;
    uint8_t *frame;
    const struct runnel_failure *f = failure ? failure : &unsaid;
    if (f->struct_size < sizeof(*f) || f->delay_ms < -1)
        return client_error(g->client, ERR_CLIENT_ARGUMENT,
                            "the failure is not initialised (use RUNNEL_FAILURE_INIT), or its delay is "
                            "negative");
    if (!s || !ranges_take(&s->started, lease->offset, lease->epoch))
        return not_held(g, lease);
    g->out--;
    /* Without a connection the broker takes the event back by itself, and delivers it again. */
    if (g->state != GROUP_LIVE) {
        share_tidy(g, s);
        return 0;
    }
    struct wire_group_nack body = { .member = g->member,
                                    .assignment = lease->assignment,
                                    .epoch = lease->epoch,
                                    .offset = (uint64_t)lease->offset,
                                    .term = term,
                                    .delay_ms = f->delay_ms == 0  ? -1
                                                : f->delay_ms < 0 ? 0
                                                                  : f->delay_ms,
                                    .key_hash = lease->key_hash,
                                    .type = cut_text(f->type, TYPE_MAX),
                                    .message = cut_text(f->message, MESSAGE_MAX),
                                    .stack = cut_text(f->stack, STACK_MAX) };
    group_flush(g); /* what was done before it is not to be done again */
    if (!request_frame(g->client, &w, &frame, 64 + body.type.len + body.message.len + body.stack.len))
        return client_error(g->client, ERR_CLIENT_QUEUE_FULL, "no memory for the refusal of an event");
    wire_put_group_nack(&w, &body);
    group_tell(g, &w, frame, WIRE_OP_GROUP_NACK);
    /* The broker withdraws what is behind it: no need to begin that. */
    if (g->mode == WIRE_GROUP_ORDERED)
        group_withdraw(g, s, lease->epoch + 1, lease->offset);
    share_tidy(g, s);
    client_write(g->client);
    return 0;
}

int runnel_nack(runnel_group *g, const struct runnel_lease *lease, const struct runnel_failure *failure)
{
    return refuse(g, lease, failure, false);
}

int runnel_term(runnel_group *g, const struct runnel_lease *lease, const struct runnel_failure *failure)
{
    return refuse(g, lease, failure, true);
}
