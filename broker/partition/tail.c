/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/tail.c: the chunks of partitions: starting, growing, closing, keeping as cache, giving up.
 *
 * Why sizes adapt: a chunk is one segment write, so it should be large; but the chunks that are not full yet
 * of all active partitions must fit the budget together, with room for those on their way to the disk.
 */
#include "partition/internal.h"

#include <string.h>

#include "proto/crc32c.h"

/* The size at which a chunk is full: a fair share of the budget, within bounds. */
static uint32_t tail_room_max(const struct store *store)
{
    uint64_t share = store->options.tail_bytes_max / (4 * ((uint64_t)store->dirty_count + 1));
    uint32_t room = CHUNK_BYTES_MAX;
    while (room > 2 * CHUNK_BYTES_MIN && room > share)
        room /= 2;
    return room;
}

static uint32_t tail_round(uint64_t bytes)
{
    uint64_t room = CHUNK_BYTES_MIN;
    while (room < bytes)
        room *= 4;
    /* Beyond the largest class a batch gets exactly the blocks that it needs. */
    return room > CHUNK_BYTES_MAX && bytes <= CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX
           : room > CHUNK_BYTES_MAX ? (uint32_t)((bytes + LOG_BLOCK - 1) & ~(uint64_t)(LOG_BLOCK - 1))
                                    : (uint32_t)room;
}

static void tail_grow_table(struct partition *p)
{
    uint32_t room = p->chunk_room ? p->chunk_room * 2 : 4;
    struct chunk **table = mem_zalloc(MEM_PARTITION, room * sizeof(*table));
    for (uint64_t s = p->chunk_first; s < p->chunk_end; s++)
        table[s & (room - 1)] = partition_chunk(p, s);
    mem_free(MEM_PARTITION, p->chunks, p->chunk_room * sizeof(*table));
    p->chunks = table;
    p->chunk_room = room;
}

static struct chunk *tail_last(const struct partition *p)
{
    return p->chunk_end > p->chunk_first ? partition_chunk(p, p->chunk_end - 1) : NULL;
}

/* A new chunk behind the last one, carrying the last one's partial block when both belong to one segment. */
static struct chunk *tail_start(struct partition *p, uint32_t bytes)
{
    struct store *store = p->store;
    struct segment *segment = partition_segment(p);
    struct chunk *before = tail_last(p);
    if (before && before->segment != segment)
        before = NULL;
    uint64_t position = segment->appended & ~(uint64_t)(LOG_BLOCK - 1);
    uint32_t carry = (uint32_t)(segment->appended - position);

    struct chunk *c = mem_zalloc(MEM_TAIL, sizeof(*c));
    /* A partition that filled its last chunk will fill this one: no growing by copies then. */
    uint64_t room = (uint64_t)carry + bytes;
    if (before && bytes && room < before->room && before->room <= tail_room_max(store))
        room = before->room;
    c->room = tail_round(room);
    c->buffer = tail_buffer_create(store, c->room);
    c->data = c->buffer->data;
    store->tail_dirty_bytes += c->room;
    c->partition = p;
    c->segment = segment;
    c->position = position;
    c->first = c->used = carry;
    c->loose = carry;
    c->first_offset = c->end_offset = p->end;
    c->journal_file = UINT64_MAX;
    list_init(&c->link);
    if (before && carry) {
        CHECK(before->position + block_floor(before->used) == position);
        memcpy(c->data, before->data + block_floor(before->used), carry);
        if (before->loose < before->used)
            c->journal_file = before->loose_file;
        if (before->has_block && before->block == block_floor(before->used)) {
            c->starts = true;
            c->starts_at = before->block_at - before->block;
            c->starts_offset = before->block_offset;
            c->has_block = true;
            c->block = 0;
            c->block_at = c->starts_at;
            c->block_offset = before->block_offset;
            c->block_max_timestamp_ms = before->block_max_timestamp_ms;
            c->block_append_ms = before->block_append_ms;
        }
    }
    /* After recovery some blocks of the first batch may be on disk: they are never written again. */
    if (segment->log.bytes > position)
        c->write_from = (uint32_t)(segment->log.bytes - position);
    c->summed = c->write_from;
    c->sum =
        log_extent_checksum(partition_log_id(p), segment->log.base_offset, position + c->write_from, "", 0);
    if (p->chunk_end - p->chunk_first == p->chunk_room)
        tail_grow_table(p);
    if (p->chunk_dirty == p->chunk_end) {
        list_append(&store->dirty, &p->dirty_link);
        store->dirty_count++;
    }
    c->serial = p->chunk_end++;
    p->chunks[c->serial & (p->chunk_room - 1)] = c;
    return c;
}

/* More room for the open chunk: a new buffer, while readers may go on holding the old one. */
static void tail_grow(struct chunk *c, uint32_t room)
{
    struct store *store = c->partition->store;
    struct tail_buffer *buffer = tail_buffer_create(store, room);
    memcpy(buffer->data, c->data, c->used);
    store->tail_dirty_bytes += room - c->room;
    tail_buffer_unref(store, c->buffer);
    c->buffer = buffer;
    c->data = buffer->data;
    c->room = room;
}

struct chunk *tail_chunk(struct partition *p, uint32_t bytes)
{
    struct chunk *c = tail_last(p);
    if (c && !c->closed && c->segment == partition_segment(p)) {
        uint64_t need = (uint64_t)c->used + bytes;
        if (need <= c->room)
            return c;
        /* A chunk without a whole block to write would be a chunk that nothing makes durable on disk: it
         * grows instead. */
        if (need <= tail_room_max(p->store) || block_floor(c->used) <= c->write_from) {
            tail_grow(c, tail_round(need));
            return c;
        }
        tail_close(p, false);
    }
    return tail_start(p, bytes);
}

void tail_appended(struct chunk *c, uint32_t bytes, uint64_t base, uint64_t end, uint64_t journal_file)
{
    struct partition *p = c->partition;
    uint32_t at = c->used, after = at + bytes;
    if (c->used == c->first)
        c->first_offset = base;
    if (!c->starts && at >= c->write_from) {
        c->starts = true;
        c->starts_at = at;
        c->starts_offset = base;
    }
    if (!c->has_block || block_floor(at) > c->block) {
        c->has_block = true;
        c->block = block_floor(at);
        c->block_at = at;
        c->block_offset = base;
        c->block_max_timestamp_ms = p->max_timestamp_ms;
        c->block_append_ms = p->append_ms;
    }
    if (block_floor(after) > block_floor(at)) {
        /* A new last block: what is loose now is this batch's end, or nothing when it ends at the boundary.
         */
        c->loose = after > block_floor(after) ? at : after;
        c->loose_file = journal_file;
    } else if (c->loose == at) {
        c->loose_file = journal_file;
    }
    if (journal_file < c->journal_file)
        c->journal_file = journal_file;
    c->used = after;
    c->end_offset = end;
}

void tail_sum(struct chunk *c)
{
    uint32_t to = block_floor(c->used);
    if (to <= c->summed)
        return;
    c->sum = crc32c(c->sum, c->data + c->summed, to - c->summed);
    c->summed = to;
}

/* What its one write will be, and that write's index entry. */
static void tail_extent(struct chunk *c)
{
    struct partition *p = c->partition;
    uint32_t to = c->last ? c->used : block_floor(c->used);
    struct log_extent *e = &c->extent;
    *e = (struct log_extent){ .position = c->position + c->write_from };
    if (to <= c->write_from)
        return;
    e->bytes = to - c->write_from;
    bool beyond =
        c->has_block && !c->last && c->block >= to; /* a batch starts in the block left to the next chunk */
    e->end_offset = beyond ? c->block_offset : c->end_offset;
    e->max_timestamp_ms = beyond ? c->block_max_timestamp_ms : p->max_timestamp_ms;
    e->append_ms = beyond ? c->block_append_ms : p->append_ms;
    if (c->starts && c->starts_at < to) {
        e->first_delta = c->starts_at - c->write_from;
        e->first_offset = c->starts_offset;
    } else {
        e->first_delta = e->bytes;
        e->first_offset = e->end_offset = c->starts ? c->starts_offset : c->end_offset;
    }
}

void tail_close(struct partition *p, bool last)
{
    struct chunk *c = tail_last(p);
    if (c && last && c->closed && !c->last && c->segment == partition_segment(p) &&
        c->used > block_floor(c->used))
        c = tail_start(p, 0); /* only the carry is left to write */
    if (!c || c->closed)
        return;
    CHECK(last || block_floor(c->used) > c->write_from);
    c->closed = true;
    c->last = last;
    tail_extent(c);
}

void tail_close_idle(struct partition *p)
{
    tail_close(p, false);
    const struct chunk *c = tail_last(p);
    if (c->used > block_floor(c->used))
        tail_start(p, 0);
}

/* ---- memory ---- */

struct tail_buffer *tail_buffer_create(struct store *store, uint32_t room)
{
    struct tail_buffer *buffer = mem_zalloc(MEM_TAIL, sizeof(*buffer));
    buffer->data = mem_alloc_aligned(MEM_TAIL, room, LOG_BLOCK);
    buffer->room = room;
    buffer->refs = 1;
    store->tail_bytes += room;
    return buffer;
}

void tail_buffer_unref(struct store *store, struct tail_buffer *buffer)
{
    CHECK(buffer->refs > 0);
    if (--buffer->refs)
        return;
    store->tail_bytes -= buffer->room;
    mem_free(MEM_TAIL, buffer->data, buffer->room);
    mem_free(MEM_TAIL, buffer, sizeof(*buffer));
}

static void tail_free(struct store *store, struct chunk *c)
{
    CHECK(!io_busy(&c->op));
    list_remove(&c->link);
    if (!c->written)
        store->tail_dirty_bytes -= c->room;
    tail_buffer_unref(store, c->buffer);
    mem_free(MEM_TAIL, c, sizeof(*c));
}

static void tail_undirty(struct partition *p)
{
    if (!list_linked(&p->dirty_link))
        return;
    list_remove(&p->dirty_link);
    p->store->dirty_count--;
}

void tail_clean(struct store *store, struct chunk *c)
{
    struct partition *p = c->partition;
    c->written = true;
    store->tail_dirty_bytes -= c->room;
    list_append(&store->clean, &c->link);
    while (p->chunk_dirty < p->chunk_end && partition_chunk(p, p->chunk_dirty)->written)
        p->chunk_dirty++;
    if (p->chunk_dirty == p->chunk_end)
        tail_undirty(p);
}

/* May the partition's oldest chunk go? Not while its last batch is partly in the next chunk only. */
static bool tail_evictable(const struct partition *p)
{
    if (p->chunk_first == p->chunk_dirty)
        return false;
    const struct chunk *c = partition_chunk(p, p->chunk_first);
    return c->last || c->loose == c->used || p->chunk_first + 1 < p->chunk_dirty;
}

void tail_evict(struct store *store)
{
    struct list *node = store->clean.next;
    while (store->tail_bytes > store->options.tail_bytes_max && node != &store->clean) {
        struct chunk *c = CONTAINER_OF(node, struct chunk, link);
        struct partition *p = c->partition;
        node = node->next;
        if (c->serial != p->chunk_first || !tail_evictable(p))
            continue;
        p->chunk_first++;
        tail_free(store, c);
    }
}

struct chunk *tail_loose_before(const struct partition *p, const struct chunk *c, uint32_t *from)
{
    if (c->serial == p->chunk_first || !c->first)
        return NULL;
    struct chunk *before = partition_chunk(p, c->serial - 1);
    if (before->segment != c->segment || before->loose >= before->used)
        return NULL;
    *from = before->loose;
    return before;
}

struct chunk **tail_take(struct partition *p, uint32_t *count, uint32_t *dirty)
{
    *count = (uint32_t)(p->chunk_end - p->chunk_first);
    *dirty = (uint32_t)(p->chunk_dirty - p->chunk_first);
    struct chunk **chunks = mem_alloc(MEM_PARTITION, (*count + 1) * sizeof(*chunks));
    for (uint32_t i = 0; i < *count; i++)
        chunks[i] = partition_chunk(p, p->chunk_first + i);
    p->chunk_first = p->chunk_dirty = p->chunk_queued = p->chunk_end;
    tail_undirty(p);
    return chunks;
}

void tail_give_back(struct store *store, struct chunk **chunks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tail_free(store, chunks[i]);
    mem_free(MEM_PARTITION, chunks, (count + 1) * sizeof(*chunks));
}

void tail_drop(struct partition *p)
{
    struct store *store = p->store;
    for (; p->chunk_first < p->chunk_end; p->chunk_first++)
        tail_free(store, partition_chunk(p, p->chunk_first));
    p->chunk_dirty = p->chunk_queued = p->chunk_end;
    tail_undirty(p);
}

void tail_abandon(struct partition *p)
{
    struct store *store = p->store;
    bool busy = false;
    for (uint64_t s = p->chunk_first; s < p->chunk_end; s++) {
        struct chunk *c = partition_chunk(p, s);
        busy |= io_busy(&c->op);
        if (c->written)
            continue;
        c->written = true;
        store->tail_dirty_bytes -= c->room;
    }
    p->chunk_dirty = p->chunk_queued = p->chunk_end;
    tail_undirty(p);
    if (!busy)
        tail_drop(p);
}

void tail_forget(struct partition *p, const struct segment *s)
{
    struct store *store = p->store;
    while (p->chunk_first < p->chunk_end && partition_chunk(p, p->chunk_first)->segment == s) {
        struct chunk *c = partition_chunk(p, p->chunk_first++);
        tail_free(store, c);
        if (p->chunk_dirty < p->chunk_first)
            p->chunk_dirty = p->chunk_first;
        if (p->chunk_queued < p->chunk_first)
            p->chunk_queued = p->chunk_first;
    }
    if (p->chunk_dirty == p->chunk_end)
        tail_undirty(p);
}
