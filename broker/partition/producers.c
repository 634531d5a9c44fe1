/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/producers.c: what idempotent producers sent last, so that a repeated batch is answered and not
 * stored again.
 *
 * For each (producer, partition) the last PRODUCER_WINDOW batches: sequences and offset. Bounded: the pair
 * that was used least recently is forgotten; its producer is then told PRODUCER_UNKNOWN and starts anew.
 * Lives in the checkpoint and is brought up to date by replaying the journal, so it knows after a restart all
 * that it knew before.
 */
#include "partition/internal.h"

#include <stdio.h>
#include <string.h>

struct producer_batch {
    int32_t first_sequence, last_sequence;
    uint64_t base_offset;
};

struct producer {
    struct list lru;
    struct producer *next; /* same bucket */
    int64_t id;
    uint32_t topic_id, partition;
    int16_t epoch;
    uint8_t count; /* batches known, the newest last */
    struct producer_batch batches[PRODUCER_WINDOW];
};

struct producers {
    struct list lru; /* least recently used first */
    struct producer **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count, max;
};

struct producers *producers_create(uint32_t max)
{
    struct producers *all = mem_zalloc(MEM_PARTITION, sizeof(*all));
    list_init(&all->lru);
    all->max = max;
    all->bucket_count = 64;
    all->buckets = mem_zalloc(MEM_PARTITION, all->bucket_count * sizeof(*all->buckets));
    return all;
}

static uint32_t producer_bucket(const struct producers *all, int64_t id, uint32_t topic_id,
                                uint32_t partition)
{
    uint64_t h = (uint64_t)id * 0x9e3779b97f4a7c15u;
    h = (h ^ topic_id) * 0xff51afd7ed558ccdu;
    h = (h ^ partition) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(h >> 32) & (all->bucket_count - 1);
}

static struct producer *producer_find(const struct producers *all, int64_t id, uint32_t topic_id,
                                      uint32_t partition)
{
    struct producer *e = all->buckets[producer_bucket(all, id, topic_id, partition)];
    while (e && (e->id != id || e->topic_id != topic_id || e->partition != partition))
        e = e->next;
    return e;
}

static void producer_remove(struct producers *all, struct producer *e)
{
    struct producer **at = &all->buckets[producer_bucket(all, e->id, e->topic_id, e->partition)];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_remove(&e->lru);
    mem_free(MEM_PARTITION, e, sizeof(*e));
    all->count--;
}

void producers_destroy(struct producers *all)
{
    while (!list_empty(&all->lru))
        producer_remove(all, CONTAINER_OF(all->lru.next, struct producer, lru));
    mem_free(MEM_PARTITION, all->buckets, all->bucket_count * sizeof(*all->buckets));
    mem_free(MEM_PARTITION, all, sizeof(*all));
}

static void producers_grow(struct producers *all)
{
    struct producer **old = all->buckets;
    uint32_t old_count = all->bucket_count;
    all->bucket_count *= 2;
    all->buckets = mem_zalloc(MEM_PARTITION, all->bucket_count * sizeof(*old));
    for (uint32_t i = 0; i < old_count; i++)
        while (old[i]) {
            struct producer *e = old[i];
            old[i] = e->next;
            uint32_t b = producer_bucket(all, e->id, e->topic_id, e->partition);
            e->next = all->buckets[b];
            all->buckets[b] = e;
        }
    mem_free(MEM_PARTITION, old, old_count * sizeof(*old));
}

static struct producer *producer_add(struct producers *all, int64_t id, uint32_t topic_id, uint32_t partition)
{
    if (all->count >= all->max)
        producer_remove(all, CONTAINER_OF(all->lru.next, struct producer, lru));
    if (all->count >= all->bucket_count)
        producers_grow(all);
    struct producer *e = mem_zalloc(MEM_PARTITION, sizeof(*e));
    e->id = id;
    e->topic_id = topic_id;
    e->partition = partition;
    e->epoch = -1;
    uint32_t b = producer_bucket(all, id, topic_id, partition);
    e->next = all->buckets[b];
    all->buckets[b] = e;
    list_append(&all->lru, &e->lru);
    all->count++;
    return e;
}

/* Sequences count records and start over at 0 behind INT32_MAX. */
static int32_t sequence_add(int32_t sequence, int32_t n)
{
    return (int32_t)(((int64_t)sequence + n) & INT32_MAX);
}

enum error producers_check(struct producers *all, const struct partition *p, const struct batch *batch,
                           bool *duplicate, uint64_t *base_offset, char *why)
{
    const struct producer *e = producer_find(all, batch->producer_id, (uint32_t)p->topic->id, p->number);
    *duplicate = false;
    if (!e || batch->producer_epoch > e->epoch) {
        if (batch->base_sequence == 0)
            return ERR_OK;
        snprintf(why, WHY_BYTES,
                 "producer %lld is not known to %s/%u, yet its batch has sequence %d: start a new producer",
                 (long long)batch->producer_id, p->topic->name, p->number, batch->base_sequence);
        return ERR_PRODUCER_UNKNOWN;
    }
    if (batch->producer_epoch < e->epoch) {
        snprintf(why, WHY_BYTES, "producer %lld has epoch %d now, the batch has %d",
                 (long long)batch->producer_id, e->epoch, batch->producer_epoch);
        return ERR_PRODUCER_FENCED;
    }
    int32_t last = sequence_add(batch->base_sequence, batch->last_offset_delta);
    for (uint32_t i = 0; i < e->count; i++)
        if (e->batches[i].first_sequence == batch->base_sequence && e->batches[i].last_sequence == last) {
            *duplicate = true;
            *base_offset = e->batches[i].base_offset;
            return ERR_OK;
        }
    int32_t expected = e->count ? sequence_add(e->batches[e->count - 1].last_sequence, 1) : 0;
    if (batch->base_sequence == expected)
        return ERR_OK;
    bool old = ((expected - batch->base_sequence) & INT32_MAX) < INT32_MAX / 2;
    snprintf(why, WHY_BYTES, "producer %lld sent sequence %d to %s/%u, expected was %d",
             (long long)batch->producer_id, batch->base_sequence, p->topic->name, p->number, expected);
    return old ? ERR_SEQUENCE_OLD : ERR_SEQUENCE_GAP;
}

void producers_note(struct producers *all, const struct partition *p, const struct batch *batch,
                    uint64_t base_offset)
{
    struct producer *e = producer_find(all, batch->producer_id, (uint32_t)p->topic->id, p->number);
    if (!e)
        e = producer_add(all, batch->producer_id, (uint32_t)p->topic->id, p->number);
    /* Replay meets batches that the checkpoint knows, and copies: only what is newer counts. */
    if (e->count && base_offset <= e->batches[e->count - 1].base_offset)
        return;
    if (batch->producer_epoch != e->epoch) {
        e->epoch = batch->producer_epoch;
        e->count = 0;
    }
    if (e->count == PRODUCER_WINDOW)
        memmove(e->batches, e->batches + 1, (PRODUCER_WINDOW - 1) * sizeof(*e->batches));
    else
        e->count++;
    e->batches[e->count - 1] = (struct producer_batch){
        .first_sequence = batch->base_sequence,
        .last_sequence = sequence_add(batch->base_sequence, batch->last_offset_delta),
        .base_offset = base_offset,
    };
    list_remove(&e->lru);
    list_append(&all->lru, &e->lru);
}

uint32_t producers_count(const struct producers *all)
{
    return all->count;
}

void producers_forget(struct producers *all, const struct partition *p)
{
    LIST_FOR_EACH_SAFE (node, &all->lru) {
        struct producer *e = CONTAINER_OF(node, struct producer, lru);
        if (e->topic_id == p->topic->id && e->partition == p->number)
            producer_remove(all, e);
    }
}

/* ---- in the checkpoint: u32 count, then per pair, least recently used first:
 * i64 id, u32 topic, u32 partition, i16 epoch, u8 batches, then per batch i32 first, i32 last, u64 offset
 * ---- */

enum { PRODUCER_ENCODED_MAX = 19 + PRODUCER_WINDOW * 16 };

uint64_t producers_encoded_bytes(const struct producers *all)
{
    return 4 + (uint64_t)all->count * PRODUCER_ENCODED_MAX;
}

void producers_encode(const struct producers *all, struct writer *w,
                      struct partition *(*find)(void *ctx, uint64_t topic, uint32_t partition), void *ctx)
{
    uint8_t *count_at = write_space(w, 4);
    uint32_t count = 0;
    LIST_FOR_EACH (node, &all->lru) {
        const struct producer *e = CONTAINER_OF(node, struct producer, lru);
        const struct partition *p = find(ctx, e->topic_id, e->partition);
        /* What is not durable yet may be lost by a crash, and then must not be known: replay adds it if it
         * was not. */
        uint8_t batches = 0;
        while (p && batches < e->count && e->batches[batches].base_offset < p->durable)
            batches++;
        if (!batches)
            continue;
        write_i64(w, e->id);
        write_u32(w, e->topic_id);
        write_u32(w, e->partition);
        write_u16(w, (uint16_t)e->epoch);
        write_u8(w, batches);
        for (uint32_t i = 0; i < batches; i++) {
            write_u32(w, (uint32_t)e->batches[i].first_sequence);
            write_u32(w, (uint32_t)e->batches[i].last_sequence);
            write_u64(w, e->batches[i].base_offset);
        }
        count++;
    }
    if (count_at)
        memcpy(count_at, &count, 4);
}

bool producers_decode(struct producers *all, struct reader *r)
{
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        int64_t id = read_i64(r);
        uint32_t topic_id = read_u32(r), partition = read_u32(r);
        int16_t epoch = (int16_t)read_u16(r);
        uint8_t batches = read_u8(r);
        if (r->bad || batches > PRODUCER_WINDOW || producer_find(all, id, topic_id, partition))
            return false;
        struct producer *e = producer_add(all, id, topic_id, partition);
        e->epoch = epoch;
        e->count = batches;
        for (uint32_t b = 0; b < batches; b++) {
            e->batches[b].first_sequence = (int32_t)read_u32(r);
            e->batches[b].last_sequence = (int32_t)read_u32(r);
            e->batches[b].base_offset = read_u64(r);
        }
    }
    return !r->bad;
}
