/* SPDX-License-Identifier: Apache-2.0
 *
 * client/produce_send.c: what is sent when, and what an answer means.
 *
 * While requests are in flight, events gather; an answer makes room for the next batch, which by then is as
 * large as the load makes it. No timer, and no delay for a lone event.
 *
 * A batch is refused for good: those behind it in flight carry sequences that the broker will now refuse as a
 * gap. So the partition drains: nothing is sent until all of them are answered, then they are numbered anew
 * from the place of the failed one, and sent in their old order. A batch refused for the moment: the same,
 * but that it keeps its number and goes first.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/producer.h"

/* ---- places ---- */

static struct part_list *place_list(struct runnel_producer *p, enum part_place place)
{
    switch (place) {
    case PLACE_OPEN:
        return &p->open;
    case PLACE_READY:
        return &p->ready;
    case PLACE_PAUSED:
        return &p->paused;
    case PLACE_NONE:
        break;
    }
    return NULL;
}

static void part_drained(struct part *part)
{
    part->drain = false;
    if (part->renumber < 0)
        return;
    /* One before the failed batch may wait for its next attempt: it goes first, under its old number. */
    struct pbatch *b = TAILQ_FIRST(&part->queue);
    bool earlier = b && b->numbered && b->serial < part->renumber_serial;
    part->next_sequence = earlier ? b->base_sequence : part->renumber;
    part->renumber = -1;
    TAILQ_FOREACH(b, &part->queue, link)
    b->numbered = false;
}

void part_place(struct part *part)
{
    struct runnel_producer *p = part->producer;
    enum part_place want = PLACE_NONE;
    if (part->drain && TAILQ_EMPTY(&part->flight))
        part_drained(part);
    if (part->drain || (p->idempotent && part->flight_count >= WIRE_PRODUCER_WINDOW) ||
        (part->careful && part->flight_count > 0))
        want = PLACE_NONE;
    else if (part->retry_at_ms)
        want = PLACE_PAUSED;
    else if (!TAILQ_EMPTY(&part->queue))
        want = PLACE_READY;
    else if (part->open)
        want = PLACE_OPEN;
    if (want == part->place)
        return;
    struct part_list *from = place_list(p, part->place), *to = place_list(p, want);
    if (from)
        TAILQ_REMOVE(from, part, link);
    if (to)
        TAILQ_INSERT_TAIL(to, part, link);
    part->place = want;
}

void part_seal(struct part *part)
{
    struct pbatch *b = part->open;
    b->serial = part->serial++;
    part->tier_hint = (uint8_t)pbatch_tier(b);
    part->open = NULL;
    TAILQ_INSERT_TAIL(&part->queue, b, link);
    part_place(part);
    /* Its checksum costs less while its bytes are in the cache. Numbers are given in order, though: not while
     * one before it has none. */
    const struct pbatch *before = TAILQ_PREV(b, pbatch_list, link);
    if (part->producer->state == PRODUCER_READY && !part->drain && (!before || before->bytes) &&
        (!before || before->numbered || !part->producer->idempotent))
        pbatch_finish(b);
}

/* Back to its place in the order. */
static void queue_insert(struct part *part, struct pbatch *b)
{
    struct pbatch *at;
    TAILQ_FOREACH(at, &part->queue, link)
    {
        if (at->serial > b->serial) {
            TAILQ_INSERT_BEFORE(at, b, link);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&part->queue, b, link);
}

/* ---- results ---- */

void pbatch_settle(struct pbatch *b, int error, const char *text)
{
    struct runnel_producer *p = b->part->producer;
    b->error = error;
    if (error && text != b->text)
        snprintf(b->text, sizeof(b->text), "%s", text);
    TAILQ_INSERT_TAIL(&p->done, b, link);
    /* Nobody to tell: its buffer is free at once. */
    if (!p->on_delivery && p->wait_batch != b)
        producer_report(p);
}

void flight_leave(struct pbatch *b)
{
    struct runnel_producer *p = b->part->producer;
    TAILQ_REMOVE(&b->part->flight, b, link);
    b->part->flight_count--;
    p->in_flight -= b->leads;
    p->flight_bytes -= b->out.len;
    if (p->options.acks != WIRE_ACKS_NONE)
        p->client->inflight_bytes -= b->out.len;
}

/* Everything behind a batch that will never be stored must close the gap it leaves. */
static void part_close_gap(struct part *part, struct pbatch *failed)
{
    struct runnel_producer *p = part->producer;
    if (!p->idempotent || !failed->numbered)
        return;
    if (failed->in_doubt) {
        producer_reset(p); /* it may be stored after all: its number cannot be given again */
        return;
    }
    part->drain = true;
    if (part->renumber < 0) {
        part->renumber = failed->base_sequence;
        part->renumber_serial = failed->serial;
    }
}

static void batch_refused(struct pbatch *b, int error, const char *text)
{
    struct part *part = b->part;
    part_close_gap(part, b);
    pbatch_settle(b, error, text);
}

/* Tries again later, unless that has been going on for retry.for.ms. */
static void batch_again(struct pbatch *b, int64_t now_ms, bool pause)
{
    struct part *part = b->part;
    struct runnel_producer *p = part->producer;
    if (b->retry_until_ms == 0)
        b->retry_until_ms = now_ms + p->options.retry_for_ms;
    if (now_ms >= b->retry_until_ms) {
        batch_refused(b, b->error, b->text);
        return;
    }
    if (pause && !part->retry_at_ms)
        part->retry_at_ms = now_ms + client_backoff_ms(p->client, part->attempts++);
    queue_insert(part, b);
}

static void batch_without_id(struct pbatch *b)
{
    producer_reset(b->part->producer);
    if (b->in_doubt || ++b->resets > RESETS_MAX)
        pbatch_settle(b, b->error, b->text);
    else
        queue_insert(b->part, b);
}

/* Some events had been published before, and nothing was stored: what is left goes under new numbers. */
static void batch_thinned(struct pbatch *b)
{
    struct part *part = b->part;
    b->thinned = b->in_doubt = false; /* the broker would have known it */
    part_close_gap(part, b);
    part->careful = true;
    if (b->builder.count == 0)
        pbatch_settle(b, 0, NULL);
    else
        queue_insert(part, b);
}

/* An earlier batch is to be tried again. A later one can be answered with success all the same, when both
 * were stored before a connection broke and the broker was full when the earlier one came again: its report
 * must wait, reports are in order. */
static bool waits_for_earlier(const struct pbatch *b)
{
    const struct pbatch *first = TAILQ_FIRST(&b->part->queue);
    return first && first->serial < b->serial;
}

/* Some batch of the request was refused, perhaps this one. */
static void group_refused(struct pbatch *b, int64_t now_ms)
{
    b->alone = true;
    b->part->drain = true;
    if (error_retriable((uint16_t)b->error))
        batch_again(b, now_ms, true);
    else
        queue_insert(b->part, b);
}

static void batch_answered(struct pbatch *b, int64_t now_ms)
{
    struct part *part = b->part;
    struct runnel_producer *p = part->producer;
    bool behind = part->drain || p->state == PRODUCER_DRAINING; /* an earlier one was refused */
    flight_leave(b);
    b->answered = false;
    if (b->thinned) {
        batch_thinned(b);
        return;
    }
    if (b->grouped && b->error && b->error != ERR_CLIENT_UNREACHABLE) {
        group_refused(b, now_ms);
        return;
    }
    switch (b->error) {
    case ERR_OK:
        part->attempts = 0;
        part->careful = part->careful && b->told_count;
        if (p->idempotent && waits_for_earlier(b)) {
            b->in_doubt = true; /* stored, rather: the next answer says where, as a duplicate */
            queue_insert(part, b);
        } else {
            pbatch_settle(b, 0, NULL);
        }
        break;
    case ERR_SEQUENCE_OLD:
        b->duplicate = true;
        pbatch_settle(b, 0, NULL);
        break;
    case ERR_CLIENT_UNREACHABLE:
        b->in_doubt |= b->out.sent > 0;
        batch_again(b, now_ms, false);
        break;
    case ERR_SEQUENCE_GAP:
        if (behind)
            queue_insert(part, b);
        else
            batch_without_id(b);
        break;
    case ERR_PRODUCER_UNKNOWN:
    case ERR_PRODUCER_FENCED:
        /* The first one of all was refused, so the broker has none of this producer's: a gap, under another
         * name. */
        if (b->error == ERR_PRODUCER_UNKNOWN && part->drain)
            queue_insert(part, b);
        else if (p->idempotent)
            batch_without_id(b);
        else
            batch_refused(b, b->error, b->text);
        break;
    default:
        if (error_retriable((uint16_t)b->error)) {
            part->drain = true;
            batch_again(b, now_ms, true);
        } else {
            batch_refused(b, b->error, b->text);
        }
        break;
    }
}

/* Takes answers in the order of the events, whatever order they came in. */
static void part_answers(struct part *part)
{
    struct runnel_producer *p = part->producer;
    struct pbatch *b;
    int64_t now_ms = 0;
    while ((b = TAILQ_FIRST(&part->flight)) && b->answered) {
        if (b->error)
            now_ms = client_now_ms();
        batch_answered(b, now_ms);
    }
    part_place(part);
    if (p->state == PRODUCER_DRAINING && p->in_flight == 0)
        producer_renumber(p);
}

/* One batch of the request: what the answer says of it. */
static void batch_take_answer(struct pbatch *b, const struct reply *reply, const struct wire_produced *row)
{
    b->answered = true;
    b->error = reply->error;
    if (reply->error) {
        snprintf(b->text, sizeof(b->text), "%.*s", (int)reply->text.len, (const char *)reply->text.at);
        b->thinned = !b->grouped && reply->refusal && pbatch_tell(b, reply->refusal);
    } else {
        b->offset = (int64_t)row->base_offset;
        b->duplicate = row->flags & WIRE_PRODUCED_DUPLICATE;
    }
}

static bool group_sent(const struct pbatch *first, uint32_t *count)
{
    bool sent = true;
    *count = 0;
    for (const struct pbatch *b = first; b; b = b->group_next, ++*count)
        sent &= !b->out.queued;
    return sent;
}

static void produce_answered(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    static const struct reply broken = { .error = ERR_CLIENT_UNREACHABLE };
    struct pbatch *first = OWNER(struct pbatch, request, r), *b, *next;
    const uint8_t *rows = NULL;
    uint16_t rows_count;
    uint32_t count;
    bool sent = group_sent(first, &count);
    /* The answer to something not yet sent, or to something else. */
    bool good =
        reply->error || (sent && wire_get_produced(reply->body, &rows, &rows_count) && rows_count == count);
    for (b = first, count = 0; b; b = b->group_next, count++) {
        struct wire_produced row = { 0 };
        if (rows && good)
            row = wire_produced_row(rows, (uint16_t)count);
        if (b->out.queued)
            TAILQ_REMOVE(&c->transport.out, &b->out, link);
        b->out.queued = false;
        batch_take_answer(b, good ? reply : &broken, &row);
    }
    /* The first one last: while it is in flight the request counts, so nobody takes the producer for drained
     * before the others have been looked at. */
    for (b = first->group_next; b; b = next) {
        next = b->group_next;
        part_answers(b->part);
    }
    part_answers(first->part);
    if (!good || (!sent && reply->error != ERR_CLIENT_UNREACHABLE))
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to a PRODUCE cannot be understood");
}

void producer_sent(void *client, struct outgoing *o)
{
    struct pbatch *b = OWNER(struct pbatch, out, o);
    (void)client;
    if (b->part->producer->options.acks != WIRE_ACKS_NONE)
        return;
    b->answered = true;
    b->error = 0;
    part_answers(b->part);
}

/* ---- a new id ---- */

void producer_reset(struct runnel_producer *p)
{
    if (p->state == PRODUCER_READY)
        p->state = PRODUCER_DRAINING;
    p->has_id = false;
}

void producer_renumber(struct runnel_producer *p)
{
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct part *part = p->parts[i];
        struct pbatch *b, *next;
        for (b = TAILQ_FIRST(&part->queue); b; b = next) {
            next = TAILQ_NEXT(b, link);
            b->numbered = false;
            if (!b->in_doubt)
                continue;
            TAILQ_REMOVE(&part->queue, b, link);
            pbatch_settle(
                b, ERR_PRODUCER_UNKNOWN,
                "the broker no longer knows this producer, and the connection broke while these events "
                "were on their way: they may or may not be stored");
        }
        part->renumber = -1;
        part->next_sequence = 0;
        part->drain = false;
        part_place(part);
    }
    p->state = PRODUCER_INTRODUCING;
    p->retry_at_ms = 0;
}

/* ---- sending ---- */

static bool room_for(const struct runnel_producer *p, uint32_t bytes)
{
    const struct runnel_client *c = p->client;
    return c->inflight_bytes == 0 || c->inflight_bytes + bytes <= c->inflight_bytes_max;
}

/* Each batch has its head right before it; the first one has the frame's before that. */
static void batch_head(const struct runnel_producer *p, struct pbatch *b)
{
    struct writer w = writer_of(b->data + PRODUCE_PREFIX - PRODUCE_BATCH_HEAD, PRODUCE_BATCH_HEAD);
    write_u32(&w, p->handle);
    write_u32(&w, b->part->index);
    write_u32(&w, b->bytes);
}

static void frame_head(const struct runnel_producer *p, struct pbatch *first, uint16_t count, uint32_t bytes)
{
    struct wire_header h = { .size = bytes, .op = WIRE_OP_PRODUCE, .request_id = first->request.id };
    struct writer w = writer_of(first->data, PRODUCE_PREFIX - PRODUCE_BATCH_HEAD);
    write_raw(&w, &h, sizeof(h));
    wire_put_produce(&w, (uint8_t)p->options.acks, count);
}

/* Puts the first batch of a partition's queue into flight, as the first or another one of a request. */
static void batch_take_off(struct part *part, bool leads)
{
    struct runnel_producer *p = part->producer;
    struct pbatch *b = TAILQ_FIRST(&part->queue);
    uint32_t head = leads ? PRODUCE_PREFIX : PRODUCE_BATCH_HEAD;
    batch_head(p, b);
    b->leads = leads;
    b->grouped = !leads;
    b->group_next = NULL;
    b->out.at = b->data + PRODUCE_PREFIX - head;
    b->out.len = head + b->bytes;
    b->out.follows = !leads;
    TAILQ_REMOVE(&part->queue, b, link);
    TAILQ_INSERT_TAIL(&part->flight, b, link);
    part->group = p->groups;
    part->flight_count++;
    p->in_flight += leads;
    p->flight_bytes += b->out.len;
    if (p->options.acks != WIRE_ACKS_NONE)
        p->client->inflight_bytes += b->out.len;
    transport_queue(&p->client->transport, &b->out);
    part_place(part);
    if (part->place == PLACE_READY) { /* in turn with the others */
        TAILQ_REMOVE(&p->ready, part, link);
        TAILQ_INSERT_TAIL(&p->ready, part, link);
    }
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

bool produce_eager(const struct runnel_producer *p, const struct part *part)
{
    if (p->options.linger_us && !p->flushing && now_us() < part->open->opened_us + p->options.linger_us)
        return false;
    /* While a request is being filled it counts already, and is no reason not to fill it. */
    return p->in_flight == p->filling || p->starved ||
           p->flight_bytes + pbatch_bytes(part->open) <= EAGER_BYTES;
}

/* The partition whose turn it is, with a finished batch at the front of its queue; NULL: nothing is to be
 * sent now. */
static struct part *next_part(struct runnel_producer *p)
{
    struct part *part;
    while ((part = TAILQ_FIRST(&p->ready)) || (part = TAILQ_FIRST(&p->open))) {
        if (part->place == PLACE_OPEN) {
            if (!produce_eager(p, part))
                return NULL;
            part_seal(part);
        }
        struct pbatch *b = TAILQ_FIRST(&part->queue);
        pbatch_finish(b);
        if (b->bytes <= p->batch_limit)
            return part;
        /* The broker came back with smaller limits. */
        TAILQ_REMOVE(&part->queue, b, link);
        batch_refused(b, ERR_BATCH_TOO_LARGE,
                      "the broker now takes smaller batches than when this was built");
        part_place(part);
    }
    return NULL;
}

static bool may_share(const struct runnel_producer *p, const struct pbatch *b)
{
    return !b->alone && !b->part->careful && b->bytes <= GROUP_BATCH_BYTES &&
           p->options.acks != WIRE_ACKS_NONE;
}

/* More small batches into the request that `first` begins. */
static void group_fill(struct runnel_producer *p, struct pbatch *first)
{
    struct pbatch *last = first;
    uint32_t bytes = first->out.len, max = GROUP_BYTES;
    uint16_t count = 1;
    if (max > p->client->frame_bytes_max)
        max = p->client->frame_bytes_max;
    p->filling = 1;
    while (may_share(p, first) && count < GROUP_MAX) {
        struct part *part = next_part(p);
        struct pbatch *b = part && part->group != p->groups ? TAILQ_FIRST(&part->queue) : NULL;
        if (!b || !may_share(p, b) || bytes + PRODUCE_BATCH_HEAD + b->bytes > max ||
            !room_for(p, PRODUCE_BATCH_HEAD + b->bytes))
            break;
        batch_take_off(part, false);
        bytes += b->out.len;
        first->grouped = true;
        last->group_next = b;
        last = b;
        count++;
    }
    p->filling = 0;
    frame_head(p, first, count, bytes);
}

static void unpause(struct runnel_producer *p, int64_t now_ms)
{
    struct part *part, *next;
    for (part = TAILQ_FIRST(&p->paused); part; part = next) {
        next = TAILQ_NEXT(part, link);
        if (part->retry_at_ms <= now_ms) {
            part->retry_at_ms = 0;
            part_place(part);
        }
    }
}

void produce_send(struct runnel_producer *p, int64_t now_ms)
{
    if (!TAILQ_EMPTY(&p->paused))
        unpause(p, now_ms);
    if (p->in_use < (uint64_t)p->options.buffer_bytes / 2)
        p->starved = false;
    while (p->state == PRODUCER_READY && p->in_flight < p->options.in_flight) {
        struct part *part = next_part(p);
        struct pbatch *b = part ? TAILQ_FIRST(&part->queue) : NULL;
        if (!b || !room_for(p, PRODUCE_PREFIX + b->bytes))
            return;
        b->request.id = 0;
        if (p->options.acks != WIRE_ACKS_NONE &&
            !request_begin(p->client, &b->request, WIRE_OP_PRODUCE, produce_answered))
            return;
        p->groups++;
        batch_take_off(part, true);
        group_fill(p, b);
    }
}
