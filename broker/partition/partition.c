/* SPDX-License-Identifier: Apache-2.0 */
#include "partition/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- life ---- */

struct partition *partition_create(struct store *store, struct topic *topic, uint32_t number)
{
    struct partition *p = mem_zalloc(MEM_PARTITION, sizeof(*p));
    p->store = store;
    p->topic = topic;
    p->number = number;
    p->max_timestamp_ms = p->append_ms = -1;
    p->queued_sequence = 0;
    list_init(&p->dirty_link);
    list_init(&p->unsynced_link);
    list_init(&p->woken_link);
    list_init(&p->fenced_link);
    list_init(&p->waiters);
    list_init(&p->waking);
    store->partition_count++;
    return p;
}

void partition_destroy(struct partition *p)
{
    struct store *store = p->store;
    CHECK(p->refs == 0);
    CHECK(list_empty(&p->waiters));
    tail_drop(p);
    list_remove(&p->unsynced_link);
    list_remove(&p->woken_link);
    list_remove(&p->fenced_link);
    for (uint32_t i = 0; i < p->segment_count; i++)
        segment_destroy(store, p->segments[i]);
    mem_free(MEM_PARTITION, p->segments, p->segment_room * sizeof(*p->segments));
    mem_free(MEM_PARTITION, p->chunks, p->chunk_room * sizeof(*p->chunks));
    mem_free(MEM_PARTITION, p, sizeof(*p));
    store->partition_count--;
}

void partition_unref(struct partition *p)
{
    CHECK(p->refs > 0);
    if (--p->refs == 0 && p->gone)
        topic_unused(p->store, p->topic);
}

/* ---- what it is ---- */

struct topic *partition_topic(const struct partition *p)
{
    return p->topic;
}

uint32_t partition_number(const struct partition *p)
{
    return p->number;
}

uint64_t partition_start(const struct partition *p)
{
    return p->start;
}

uint64_t partition_end(const struct partition *p)
{
    return p->durable;
}

uint64_t partition_next(const struct partition *p)
{
    return p->end;
}

uint64_t partition_bytes(const struct partition *p)
{
    const struct segment *s = partition_segment(p);
    return p->bytes_closed + (s ? s->appended : 0);
}

uint32_t partition_segments(const struct partition *p)
{
    return p->segment_count;
}

int64_t partition_max_timestamp(const struct partition *p)
{
    return p->max_timestamp_ms;
}

int64_t partition_append_ms(const struct partition *p)
{
    return p->append_ms;
}

bool partition_fenced(const struct partition *p)
{
    return p->fence != FENCE_NONE;
}

bool partition_damaged(const struct partition *p)
{
    return p->damaged;
}

struct log_id partition_log_id(const struct partition *p)
{
    return (struct log_id){ .topic_id = p->topic->id, .partition = p->number };
}

void partition_dir(const struct partition *p, char *out)
{
    snprintf(out, LOG_PATH_BYTES, "%s/topics/%s/%" PRIu32, p->store->options.data_dir, p->topic->name,
             p->number);
}

/* ---- appending ---- */

enum error partition_check(struct partition *p, const struct batch *batch, char *why)
{
    struct store *store = p->store;
    const struct topic_settings *settings = &p->topic->settings;
    if (p->gone) {
        snprintf(why, WHY_BYTES, "topic %s was deleted", p->topic->name);
        return ERR_TOPIC_NOT_FOUND;
    }
    if (p->fence) {
        snprintf(why, WHY_BYTES,
                 "a write to a segment of %s/%u failed; check the disk, the broker tries a fresh file",
                 p->topic->name, p->number);
        return ERR_PARTITION_FENCED;
    }
    if (batch->bytes > settings->max_message_bytes) {
        snprintf(why, WHY_BYTES,
                 "the batch has %u bytes, topic %s takes %lld: send less at once, or raise max.message.bytes",
                 batch->bytes, p->topic->name, (long long)settings->max_message_bytes);
        return ERR_BATCH_TOO_LARGE;
    }
    if (!settings->timestamp_type &&
        batch->max_timestamp_ms - store->clock->wall_ms > settings->timestamp_after_max_ms) {
        snprintf(
            why, WHY_BYTES,
            "a timestamp is %lld ms ahead of the broker's clock, %s takes %lld: check the producer's clock",
            (long long)(batch->max_timestamp_ms - store->clock->wall_ms), p->topic->name,
            (long long)settings->timestamp_after_max_ms);
        return ERR_TIMESTAMP_INVALID;
    }
    if (batch->producer_id < 0)
        return ERR_OK;
    bool duplicate;
    uint64_t base_offset;
    return producers_check(store->producers, p, batch, &duplicate, &base_offset, why);
}

/* Is it time for a new segment before a batch of `bytes`? */
static bool partition_rolls(const struct partition *p, uint32_t bytes)
{
    const struct segment *s = partition_segment(p);
    if (!s || s->closed)
        return true;
    if (s->appended == 0)
        return false;
    return s->appended + bytes > (uint64_t)p->topic->settings.segment_bytes ||
           (s->first_append_ms >= 0 &&
            p->store->clock->wall_ms - s->first_append_ms > p->topic->settings.segment_ms);
}

struct segment *partition_roll(struct partition *p)
{
    struct segment *old = partition_segment(p);
    if (old && !old->closed) {
        tail_close(p, true);
        old->closed = true;
        p->bytes_closed += old->appended;
        flush_enqueue(p);
    }
    p->store->stats.segments_created++;
    return segment_create(p, p->end);
}

uint8_t *partition_place(struct partition *p, const struct batch *batch, uint64_t base_offset,
                         int64_t append_ms, uint64_t journal_file)
{
    struct chunk *c = tail_chunk(p, batch->bytes);
    struct segment *s = c->segment;
    uint8_t *at = c->data + c->used;
    CHECK(c->position + c->used == s->appended);
    memcpy(at, batch->at, batch->bytes);
    uint64_t end = base_offset + (uint32_t)batch->last_offset_delta + 1;
    tail_appended(c, batch->bytes, base_offset, end, journal_file);
    s->appended += batch->bytes;
    if (s->first_append_ms < 0)
        s->first_append_ms = append_ms;
    if (batch->max_timestamp_ms > p->max_timestamp_ms)
        p->max_timestamp_ms = batch->max_timestamp_ms;
    p->append_ms = append_ms;
    p->end = end;
    return at;
}

/* The durable end moves to the end as it is now once `sequence` is durable. One entry per partition and
 * group. */
void partition_note(struct partition *p, uint64_t sequence)
{
    struct durable_queue *q = &p->store->durable;
    struct durable_entry *e;
    if (p->queued_sequence == sequence && p->queued_at >= q->head) {
        e = &q->ring[p->queued_at & (q->room - 1)];
    } else {
        if (q->tail - q->head == q->room) {
            /* Bounded by the groups in flight times the partitions: grown when more of them are active than
             * ever before. */
            uint64_t room = q->room ? q->room * 2 : 1024;
            struct durable_entry *ring = mem_alloc(MEM_PARTITION, room * sizeof(*ring));
            for (uint64_t i = q->head; i < q->tail; i++)
                ring[i & (room - 1)] = q->ring[i & (q->room - 1)];
            mem_free(MEM_PARTITION, q->ring, q->room * sizeof(*ring));
            q->ring = ring;
            q->room = room;
        }
        p->queued_sequence = sequence;
        p->queued_at = q->tail;
        p->refs++;
        e = &q->ring[q->tail++ & (q->room - 1)];
        e->partition = p;
        e->sequence = sequence;
    }
    const struct chunk *c = partition_chunk(p, p->chunk_end - 1);
    e->end = p->end;
    e->chunk = c->serial;
    e->at = c->used;
}

void durable_advance(struct store *store, uint64_t sequence)
{
    struct durable_queue *q = &store->durable;
    while (q->head < q->tail) {
        struct durable_entry *e = &q->ring[q->head & (q->room - 1)];
        if (e->sequence > sequence)
            return;
        struct partition *p = e->partition;
        p->durable = e->end;
        p->durable_chunk = e->chunk;
        p->durable_at = e->at;
        q->head++;
        if (!p->gone) {
            rebase_durable(p, sequence);
            flush_enqueue(p);
            if (!list_empty(&p->waiters) && !list_linked(&p->woken_link))
                list_append(&store->woken, &p->woken_link);
        }
        partition_unref(p);
    }
}

static void journal_batches_head(uint8_t *body, const struct partition *p, const struct segment *s,
                                 uint64_t position, uint32_t flags, int64_t append_ms)
{
    const struct journal_batches head = {
        .segment_base = s->log.base_offset,
        .position = (uint32_t)position,
        .topic_id = (uint32_t)p->topic->id,
        .partition = p->number,
        .flags = flags,
        .append_ms = append_ms,
    };
    memcpy(body, &head, sizeof(head));
}

void partition_append(struct partition *p, const struct batch *batch, struct append_result *out)
{
    struct store *store = p->store;
    char why[WHY_BYTES];
    *out = (struct append_result){ .sequence = journal_open_sequence(store->journal) };
    if (batch->producer_id >= 0) {
        enum error error =
            producers_check(store->producers, p, batch, &out->duplicate, &out->base_offset, why);
        CHECK(error == ERR_OK);
        if (out->duplicate) {
            /* Durable with what the partition was given last: the open group may stay empty, and then never
             * be written. */
            out->sequence = p->queued_sequence;
            store->stats.duplicates++;
            return;
        }
    }
    if (partition_rolls(p, batch->bytes))
        partition_roll(p);
    const bool ids = duplicates_append(p);
    const struct segment *s = partition_segment(p);
    uint64_t position = s->appended;
    int64_t now = store->clock->wall_ms;
    out->base_offset = p->end;

    struct batch placed = *batch;
    if (p->topic->settings.timestamp_type)
        placed.max_timestamp_ms = now;
    uint8_t *at = partition_place(p, &placed, p->end, now, journal_open_file(store->journal));
    if (p->topic->settings.timestamp_type)
        batch_set_append_time(at, now);
    batch_set_base_offset(at, (int64_t)out->base_offset);
    batch_set_leader_epoch(at, (int32_t)store->leader_epoch);
    tail_sum(partition_chunk(p, p->chunk_end - 1));

    uint8_t *body =
        journal_add(store->journal, JOURNAL_BATCHES, (uint32_t)sizeof(struct journal_batches) + batch->bytes);
    journal_batches_head(body, p, s, position, ids ? JOURNAL_IDS : 0, now);
    memcpy(body + sizeof(struct journal_batches), at, batch->bytes);

    partition_note(p, out->sequence);
    if (ids)
        dedupe_appended(p->topic->window, p->number, p->end);
    if (batch->producer_id >= 0)
        producers_note(store->producers, p, batch, out->base_offset);
    store->stats.batches_in++;
    store->stats.events_in += (uint32_t)batch->count;
    store->stats.bytes_in += batch->bytes;
}

void partition_forward(struct partition *p, struct chunk *c, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    uint8_t *body =
        journal_add(p->store->journal, JOURNAL_BATCHES, (uint32_t)sizeof(struct journal_batches) + to - from);
    journal_batches_head(body, p, c->segment, c->position + from, JOURNAL_FORWARDED, p->append_ms);
    memcpy(body + sizeof(struct journal_batches), c->data + from, to - from);
    p->store->stats.forwarded_bytes += to - from;
}

/* ---- waiting ---- */

void waiter_init(struct waiter *waiter, void (*wake)(struct waiter *))
{
    list_init(&waiter->link);
    waiter->wake = wake;
}

void partition_wait(struct partition *p, struct waiter *waiter)
{
    if (!list_linked(&waiter->link))
        list_append(&p->waiters, &waiter->link);
    if (p->gone && !list_linked(&p->woken_link))
        list_append(&p->store->woken, &p->woken_link);
}

void waiter_cancel(struct waiter *waiter)
{
    list_remove(&waiter->link);
}

void partition_wake_all(struct partition *p)
{
    /* Those that wait again inside wake() join the other list, and are not woken twice. */
    while (!list_empty(&p->waiters))
        list_append(&p->waking, list_pop(&p->waiters));
    while (!list_empty(&p->waking)) {
        struct waiter *w = CONTAINER_OF(list_pop(&p->waking), struct waiter, link);
        w->wake(w);
    }
}
