/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/read.c: reading from the tail in memory, and the slices that readers hold.
 *
 * A slice lends bytes of a chunk and pins the buffer they are in, so the chunk may grow, be written or be
 * evicted meanwhile. Only whole batches below the durable end are lent.
 */
#include "partition/internal.h"

/* The first chunk whose batches end beyond `offset`; the caller knows that there is one. */
static struct chunk *read_find_chunk(const struct partition *p, uint64_t offset)
{
    uint64_t low = p->chunk_first, high = p->chunk_end - 1;
    while (low < high) {
        uint64_t mid = (low + high) / 2;
        if (partition_chunk(p, mid)->end_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return partition_chunk(p, low);
}

/* Where the batch that holds `offset` starts. */
static uint32_t read_find_batch(const struct chunk *c, uint64_t offset)
{
    uint32_t at = c->first;
    while ((uint64_t)batch_end_offset(c->data + at) <= offset) {
        at += (uint32_t)batch_bytes(c->data + at, c->used - at);
        CHECK(at < c->used);
    }
    return at;
}

/* The greatest batch boundary in (from, limit] that is at most from + bytes_max, at least one batch. */
static uint32_t read_cut(const struct chunk *c, uint32_t from, uint32_t limit, uint32_t bytes_max)
{
    uint32_t at = from;
    while (at < limit) {
        uint32_t bytes = (uint32_t)batch_bytes(c->data + at, c->used - at);
        CHECK(bytes > 0);
        if (at > from && at + bytes - from > bytes_max)
            break;
        at += bytes;
    }
    return at;
}

enum read_result partition_read(struct partition *p, struct cursor *cursor, uint32_t bytes_max,
                                struct slice *out)
{
    if (p->gone)
        return READ_GONE;
    if (cursor->offset < p->start)
        return READ_BELOW;
    if (cursor->offset > p->durable)
        return READ_ABOVE;
    if (cursor->offset == p->durable)
        return READ_END;
    if (p->chunk_first == p->chunk_end || cursor->offset < partition_chunk(p, p->chunk_first)->first_offset)
        return READ_HISTORY;

    struct chunk *c;
    uint32_t at;
    uint64_t hinted = cursor->hint_chunk - 1;
    if (cursor->hint_chunk && hinted >= p->chunk_first && hinted < p->chunk_end &&
        cursor->offset < partition_chunk(p, hinted)->end_offset) {
        c = partition_chunk(p, hinted);
        at = cursor->hint_at;
    } else {
        c = read_find_chunk(p, cursor->offset);
        at = read_find_batch(c, cursor->offset);
    }
    uint32_t limit = c->serial == p->durable_chunk ? p->durable_at : c->used;
    CHECK(at >= c->first && at < limit);
    uint32_t to = limit - at <= bytes_max ? limit : read_cut(c, at, limit, bytes_max);

    out->data = c->data + at;
    out->bytes = to - at;
    out->pin = c->buffer;
    c->buffer->refs++;
    p->store->stats.tail_pinned++;
    if (to < limit)
        cursor->offset = (uint64_t)batch_base_offset(c->data + to);
    else
        cursor->offset = c->serial == p->durable_chunk ? p->durable : c->end_offset;
    cursor->hint_chunk = to < c->used || !c->closed ? c->serial + 1 : 0;
    cursor->hint_at = to;
    return READ_DATA;
}

void slice_release(struct store *store, struct slice *slice)
{
    if (!slice->pin)
        return;
    if (*(const enum pin_kind *)slice->pin == PIN_TAIL) {
        store->stats.tail_pinned--;
        tail_buffer_unref(store, slice->pin);
    } else {
        history_buffer_return(store, slice->pin);
    }
    *slice = (struct slice){ 0 };
}
