/* SPDX-License-Identifier: Apache-2.0
 *
 * client/produce_batch.c: the buffers in which batches are built and from which they are sent.
 *
 * One allocation holds the batch's state, the frame head, the batch, and from its end downwards the caller's
 * opaque pointers, so that an event costs no allocation. Buffers come in sizes that double, and grow by
 * copying: a thousand partitions with a trickle each must not take a full buffer each. They are kept for
 * reuse; together they never exceed buffer.bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "client/producer.h"

void batches_init(struct runnel_producer *p)
{
    uint32_t batch = (uint32_t)p->options.batch_bytes;
    uint32_t full = (uint32_t)sizeof(struct pbatch) + PRODUCE_PREFIX + batch + batch / 16;
    for (uint32_t bytes = BUFFER_BYTES_MIN; bytes * 2ull <= full; bytes *= 2)
        p->tier_bytes[p->tiers++] = bytes;
    p->tier_bytes[p->tiers++] = full;
    for (uint32_t i = 0; i < p->tiers; i++)
        TAILQ_INIT(&p->idle[i]);
}

static void idle_free(struct runnel_producer *p, uint64_t bytes_wanted)
{
    for (uint32_t i = p->tiers; i-- > 0;) {
        struct pbatch *b;
        while (p->allocated + bytes_wanted > (uint64_t)p->options.buffer_bytes &&
               (b = TAILQ_FIRST(&p->idle[i]))) {
            TAILQ_REMOVE(&p->idle[i], b, link);
            p->allocated -= b->size;
            free(b);
        }
    }
}

void batches_free(struct runnel_producer *p)
{
    for (uint32_t i = 0; i < p->tiers; i++) {
        struct pbatch *b;
        while ((b = TAILQ_FIRST(&p->idle[i]))) {
            TAILQ_REMOVE(&p->idle[i], b, link);
            free(b);
        }
    }
    packer_free(&p->packer, true);
}

static struct pbatch *buffer_take(struct runnel_producer *p, uint32_t tier, uint32_t size)
{
    struct pbatch *b = tier == BUFFER_SINGLE ? NULL : TAILQ_FIRST(&p->idle[tier]);
    if (b) {
        TAILQ_REMOVE(&p->idle[tier], b, link);
        p->in_use += b->size;
        return b;
    }
    idle_free(p, size);
    /* One event larger than all of buffer.bytes goes when nothing else is there. */
    if (p->allocated + size > (uint64_t)p->options.buffer_bytes && p->in_use > 0)
        return NULL;
    b = malloc(size);
    if (!b)
        return NULL;
    b->size = size;
    p->allocated += size;
    p->in_use += size;
    return b;
}

static uint8_t *pbatch_start(struct pbatch *b)
{
    return b->data + PRODUCE_PREFIX;
}

/* Opaques are stored from here downwards; only where there is somebody to be told. */
static void **opaques_top(const struct pbatch *b)
{
    uintptr_t end = (uintptr_t)b + b->size;
    return (void **)(end & ~(uintptr_t)(sizeof(void *) - 1));
}

static void set_end(struct pbatch *b)
{
    const struct runnel_producer *p = b->part->producer;
    uint8_t *end =
        p->on_delivery ? (uint8_t *)(opaques_top(b) - b->builder.count - 1) : (uint8_t *)b + b->size;
    uint8_t *limit = pbatch_start(b) + b->limit;
    b->builder.w.end = end < limit ? end : limit;
}

struct pbatch *pbatch_take(struct runnel_producer *p, struct part *part, uint64_t record)
{
    uint64_t need = sizeof(struct pbatch) + PRODUCE_PREFIX + BATCH_HEADER + record + 2 * sizeof(void *);
    uint32_t tier = part->tier_hint;
    while (tier + 1 < p->tiers && p->tier_bytes[tier] < need)
        tier++;
    uint32_t limit =
        p->batch_limit < (uint32_t)p->options.batch_bytes ? p->batch_limit : (uint32_t)p->options.batch_bytes;
    uint32_t size = p->tier_bytes[tier];
    if (BATCH_HEADER + record > limit || size < need) {
        tier = BUFFER_SINGLE;
        size = (uint32_t)need;
        limit = p->batch_limit;
    }
    struct pbatch *b = buffer_take(p, tier, size);
    /* It can grow when others have been given back. */
    while (!b && tier != BUFFER_SINGLE && tier > 0 && p->tier_bytes[tier - 1] >= need) {
        tier--;
        b = buffer_take(p, tier, p->tier_bytes[tier]);
    }
    if (!b)
        return NULL;
    size = b->size;
    memset(b, 0, sizeof(*b));
    b->size = size;
    b->tier = (uint8_t)tier;
    b->part = part;
    b->limit = limit;
    b->offset = -1;
    batch_build_start(&b->builder, pbatch_start(b), limit);
    return b;
}

void pbatch_release(struct pbatch *b)
{
    struct runnel_producer *p = b->part->producer;
    free(b->told);
    b->told = NULL;
    p->in_use -= b->size;
    if (b->tier != BUFFER_SINGLE) {
        TAILQ_INSERT_HEAD(&p->idle[b->tier], b, link);
        return;
    }
    p->allocated -= b->size;
    free(b);
}

bool pbatch_add(struct pbatch *b, int64_t timestamp_ms, const struct runnel_event *e,
                const struct header *headers, void *opaque)
{
    struct bytes key = bytes_from(e->key, e->key_len), value = bytes_from(e->value, e->value_len);
    set_end(b);
    if (b->builder.w.end < b->builder.w.at ||
        !batch_build_add_led(&b->builder, timestamp_ms, key, value, &b->part->producer->lead, headers,
                             (uint32_t)e->header_count))
        return false;
    if (b->part->producer->on_delivery)
        opaques_top(b)[-b->builder.count] = opaque;
    return true;
}

bool pbatch_may_grow(const struct pbatch *b)
{
    const struct runnel_producer *p = b->part->producer;
    return b->tier != BUFFER_SINGLE && b->tier + 1u < p->tiers;
}

struct pbatch *pbatch_grow(struct pbatch *b)
{
    struct part *part = b->part;
    struct runnel_producer *p = part->producer;
    struct pbatch *n = buffer_take(p, b->tier + 1u, p->tier_bytes[b->tier + 1]);
    if (!n)
        return NULL;
    uint32_t size = n->size, used = pbatch_bytes(b), count = (uint32_t)b->builder.count;
    memcpy(n, b, sizeof(*b) + PRODUCE_PREFIX + used);
    n->size = size;
    n->tier = b->tier + 1;
    n->builder.w.start = pbatch_start(n);
    n->builder.w.at = n->builder.w.start + used;
    if (p->on_delivery)
        memcpy(opaques_top(n) - count, opaques_top(b) - count, count * sizeof(void *));
    if (p->wait_batch == b)
        p->wait_batch = n;
    part->open = n;
    pbatch_release(b);
    return n;
}

uint32_t pbatch_tier(const struct pbatch *b)
{
    const struct runnel_producer *p = b->part->producer;
    uint32_t bytes = (uint32_t)sizeof(*b) + PRODUCE_PREFIX + pbatch_bytes(b);
    if (p->on_delivery)
        bytes += (uint32_t)b->builder.count * (uint32_t)sizeof(void *);
    uint32_t tier = 0;
    while (tier + 1 < p->tiers && p->tier_bytes[tier] < bytes)
        tier++;
    return tier;
}

uint32_t pbatch_bytes(const struct pbatch *b)
{
    return b->bytes ? b->bytes : writer_len(&b->builder.w);
}

void *pbatch_opaque(const struct pbatch *b, uint32_t i)
{
    return opaques_top(b)[-1 - (int64_t)i];
}

/* Packs the records where they stand, if that makes them smaller. */
static uint32_t pbatch_pack(struct pbatch *b)
{
    struct runnel_producer *p = b->part->producer;
    uint8_t *at = pbatch_start(b);
    enum batch_codec codec = (enum batch_codec)p->options.compression;
    uint32_t packed = pack(&p->packer, codec, (struct bytes){ at + BATCH_HEADER, b->bytes - BATCH_HEADER });
    struct batch like;
    if (packed == 0 || !batch_decode(&like, at, b->bytes))
        return b->bytes;
    memcpy(at + BATCH_HEADER, p->packer.bytes, packed);
    return batch_seal(at, &like, codec, packed);
}

bool pbatch_without(struct pbatch *b, const uint32_t *numbers, uint32_t count)
{
    const struct runnel_producer *p = b->part->producer;
    struct packer packer = { 0 };
    struct batch like;
    char why[128];
    uint8_t *at = pbatch_start(b);
    if (!batch_decode(&like, at, b->bytes))
        return false;
    struct bytes records = { at + BATCH_HEADER, b->bytes - BATCH_HEADER };
    enum batch_codec codec = (enum batch_codec)(like.attributes & BATCH_CODEC_MASK);
    if (codec != CODEC_NONE) {
        /* They were built here, so they fit here. */
        bool unpacked = unpack(&packer, codec, records, &records, why);
        if (unpacked)
            memcpy(at + BATCH_HEADER, records.at, records.len);
        packer_free(&packer, false);
        if (!unpacked)
            return false;
    }
    uint32_t bytes = records_without(&like, at + BATCH_HEADER, records.len, numbers, count);
    b->builder.count = like.count;
    b->bytes = batch_seal(at, &like, CODEC_NONE, bytes);
    if (like.count && p->options.compression != CODEC_NONE)
        b->bytes = pbatch_pack(b);
    return true;
}

void pbatch_finish(struct pbatch *b)
{
    struct part *part = b->part;
    struct runnel_producer *p = part->producer;
    bool number = p->idempotent && !b->numbered;
    if (number) {
        b->base_sequence = part->next_sequence;
        /* Sequences go round after 2^31 - 1, as Kafka's do. */
        part->next_sequence =
            (int32_t)(((uint32_t)part->next_sequence + (uint32_t)b->builder.count) & INT32_MAX);
        b->numbered = true;
    }
    int64_t id = p->idempotent ? p->id : -1;
    int16_t epoch = p->idempotent ? p->id_epoch : -1;
    int32_t sequence = p->idempotent ? b->base_sequence : -1;
    if (b->bytes == 0) {
        b->bytes = batch_build_finish(&b->builder, id, epoch, sequence);
        if (p->options.compression != CODEC_NONE)
            b->bytes = pbatch_pack(b);
    } else if (number) {
        batch_set_producer(pbatch_start(b), id, epoch, sequence);
    }
}
