/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/flush.c: closed, durable chunks become extents of their segments.
 *
 * Paced: the journal writes to the same disk, and acknowledgements wait for it; so few writes are in flight
 * while memory is plenty, and more as the tails fill up. Only what the journal holds durably is written:
 * after a crash no segment knows what the journal does not.
 *
 * Errors. No space: the chunk goes back to the head of the queue, producing is refused (its copy stays in the
 * journal and in memory), and the write is tried again every second; the same when we are short of memory or
 * descriptors. Anything else: the partition is fenced, and goes on in a fresh file (rebase.c).
 */
#include "partition/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/crc32c.h"

static void flush_write_done(struct io_op *op, int32_t res, uint32_t flags);

/* How many writes may be in flight: by how much of the memory waits for them. */
static uint32_t flush_writes_allowed(const struct store *store)
{
    uint64_t max = store->options.tail_bytes_max;
    uint32_t most = store->options.flush_writes_max;
    if (store->tail_dirty_bytes < max / 4)
        return 1;
    if (store->tail_dirty_bytes < max / 2)
        return most < 2 ? most : 2;
    return most;
}

void flush_enqueue(struct partition *p)
{
    if (p->fence == FENCE_FAILED || p->fence == FENCE_HELD)
        return;
    for (; p->chunk_queued < p->chunk_end; p->chunk_queued++) {
        struct chunk *c = partition_chunk(p, p->chunk_queued);
        if (!c->closed || c->end_offset > p->durable)
            return;
        c->queued = true;
        if (!c->written)
            list_append(&p->store->flush_queue, &c->link);
    }
}

/* ---- descriptors ---- */

static void segment_open_run(struct work_job *job)
{
    struct segment *s = CONTAINER_OF(job, struct segment, job);
    char dir[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
    int result;
    partition_dir(s->partition, dir);
    if (s->fd >= 0)
        result = file_allocate(s->fd, s->allocated);
    else if (s->created)
        result = log_segment_open(dir, s->log.base_offset, &s->open_fd, &s->open_direct);
    else
        result = log_segment_create(dir, partition_log_id(s->partition), s->log.base_offset, s->allocated,
                                    &s->open_fd, &s->open_direct, why);
    s->open_result = result;
}

static void flush_close_lru(struct store *store)
{
    LIST_FOR_EACH_SAFE (node, &store->open_segments) {
        if (store->open_count <= SEGMENT_FDS_MAX)
            return;
        struct segment *s = CONTAINER_OF(node, struct segment, open_link);
        if (!s->writes && !s->opening)
            flush_close_segment(store, s);
    }
}

static void flush_failed(struct partition *p, int error)
{
    struct store *store = p->store;
    store->stats.flush_failures++;
    if (error == -ENOSPC || error == -EDQUOT) {
        if (!store->disk_full)
            diag(DIAG_WARN, "partition", "the disk is full: producing is refused, all else goes on",
                 DIAG_KS("topic", p->topic->name));
        store->disk_full = true;
    } else if (error == -EMFILE || error == -ENFILE || error == -ENOMEM) {
        diag(DIAG_WARN, "partition", "a segment cannot be written just now: trying again",
             DIAG_KS("topic", p->topic->name), DIAG_KS("error", strerror(-error)));
    } else {
        rebase_fence(p, error);
        return;
    }
    store->flush_blocked = true;
    if (!timer_running(&store->disk_timer))
        timer_start(store->timers, &store->disk_timer, 1000);
}

static void segment_open_done(struct work_job *job)
{
    struct segment *s = CONTAINER_OF(job, struct segment, job);
    struct partition *p = s->partition;
    struct store *store = p->store;
    s->opening = false;
    store->segments_opening--;
    bool fresh = s->open_fd >= 0;
    if (fresh) {
        CHECK(s->fd < 0 && !list_linked(&s->open_link));
        s->fd = s->open_fd;
        s->direct = s->open_direct;
        s->created = true;
        list_append(&store->open_segments, &s->open_link);
        store->open_count++;
        flush_close_lru(store);
    }
    if (s->open_result < 0 && !p->gone) {
        if (fresh || s->fd >= 0)
            s->allocated = s->log.bytes; /* only the allocation failed: writing will tell */
        else
            flush_failed(p, s->open_result);
    }
    /* In their order, in front of what was queued since. */
    while (!list_empty(&s->waiting)) {
        struct list *node = s->waiting.prev;
        list_remove(node);
        if (!p->gone && p->fence != FENCE_FAILED)
            list_prepend(&store->flush_queue, node);
    }
    partition_unref(p);
}

/* Opens (or makes) the segment's file, or allocates more of it. */
static void segment_open_start(struct segment *s, uint64_t allocate)
{
    struct partition *p = s->partition;
    s->opening = true;
    s->open_fd = -1;
    s->allocated = allocate;
    p->refs++;
    p->store->segments_opening++;
    work_submit(p->store->work, &s->job, segment_open_run, segment_open_done);
}

/* ---- writing ---- */

/* The extent's bytes as they go to the disk: the last block of a sealed segment is filled up with zeros. */
static uint32_t flush_prepare(struct chunk *c)
{
    struct log_extent *e = &c->extent;
    uint32_t whole = (e->bytes + LOG_BLOCK - 1) & ~(uint32_t)(LOG_BLOCK - 1);
    CHECK(e->bytes > 0 && c->write_from + whole <= c->room);
    if (whole > e->bytes)
        memset(c->data + c->used, 0, whole - e->bytes);
    e->checksum = crc32c(c->sum, c->data + c->summed, c->write_from + e->bytes - c->summed);
    return whole;
}

/* A partition that writes much gets its segment's space in large steps. */
static uint64_t flush_allocation(const struct chunk *c)
{
    uint64_t end = c->extent.position + c->room;
    if (c->extent.bytes < CHUNK_BYTES_MAX / 2 || c->segment->closed)
        return end;
    uint64_t most = (uint64_t)c->partition->topic->settings.segment_bytes + CHUNK_BYTES_MAX;
    uint64_t step = c->segment->allocated + ALLOCATE_STEP;
    return step < most ? step : most;
}

/* False: nothing can be written just now. */
static bool flush_start(struct store *store, struct chunk *c)
{
    struct segment *s = c->segment;
    if (!s->created && !s->opening && removal_pending(store, c->partition->topic->name)) {
        list_prepend(&store->flush_queue,
                     &c->link); /* a deleted topic of the same name has to make room first */
        return false;
    }
    if (s->fd < 0) {
        list_append(&s->waiting, &c->link);
        if (!s->opening)
            segment_open_start(s, s->created ? s->allocated : flush_allocation(c));
        return true;
    }
    uint32_t whole = flush_prepare(c);
    if (!s->opening && !s->closed && c->extent.bytes >= CHUNK_BYTES_MAX / 2 &&
        c->extent.position + 4 * (uint64_t)CHUNK_BYTES_MAX > s->allocated)
        segment_open_start(s, flush_allocation(c));
    list_remove(&s->open_link);
    list_append(&store->open_segments, &s->open_link);
    s->writes++;
    store->flush_writes++;
    c->partition->refs++;
    c->op.name = "segment write";
    io_write(store->io, &c->op, s->fd, c->data + c->write_from, whole, c->extent.position, flush_write_done);
    return true;
}

void flush_pump(struct store *store)
{
    if (store->flush_blocked)
        return;
    uint32_t allowed = flush_writes_allowed(store);
    while (store->flush_writes < allowed && !list_empty(&store->flush_queue))
        if (!flush_start(store, CONTAINER_OF(list_pop(&store->flush_queue), struct chunk, link)))
            return;
}

/* The chunk's extent is on disk, as are all before it. */
static void flush_account(struct chunk *c)
{
    struct segment *s = c->segment;
    struct partition *p = c->partition;
    const struct log_extent *e = &c->extent;
    CHECK(e->position == s->log.bytes);
    if (s->kept + s->pending_count == s->pending_room) {
        uint32_t room = s->pending_room ? s->pending_room * 2 : 4;
        s->pending = mem_realloc(MEM_PARTITION, s->pending, s->pending_room * sizeof(*e), room * sizeof(*e));
        s->pending_room = room;
    }
    s->pending[s->kept + s->pending_count++] = *e;
    s->log.bytes = e->position + e->bytes;
    s->log.max_timestamp_ms = e->max_timestamp_ms;
    s->log.append_ms = e->append_ms;
    bool whole = c->last || c->loose == c->used;
    s->log.end_offset = whole ? c->end_offset : (uint64_t)batch_base_offset(c->data + c->loose);
    s->loose = c->position + (whole ? c->used : c->loose);
    if (c->last)
        s->log.sealed = true;
    if (!list_linked(&p->unsynced_link))
        list_append(&p->store->unsynced, &p->unsynced_link);
}

static void flush_written(struct chunk *c)
{
    struct partition *p = c->partition;
    struct store *store = p->store;
    uint64_t from = p->chunk_dirty;
    store->stats.flush_writes++;
    store->stats.flush_bytes += c->extent.bytes;
    tail_clean(store, c);
    for (uint64_t s = from; s < p->chunk_dirty; s++)
        flush_account(partition_chunk(p, s));
    rebase_written(p);
}

static void flush_write_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct chunk *c = CONTAINER_OF(op, struct chunk, op);
    struct partition *p = c->partition;
    struct store *store = p->store;
    (void)flags;
    c->segment->writes--;
    store->flush_writes--;
    if (!p->gone) {
        if (res < 0) {
            if (p->fence != FENCE_FAILED)
                list_prepend(&store->flush_queue, &c->link);
            flush_failed(p, res);
        } else {
            flush_written(c);
        }
    } else {
        tail_abandon(p);
    }
    partition_unref(p);
}

void flush_retry(struct store *store)
{
    store->flush_blocked = false;
}

void flush_abandon(struct partition *p)
{
    for (uint64_t s = p->chunk_dirty; s < p->chunk_end; s++)
        list_remove(&partition_chunk(p, s)->link);
    list_remove(&p->fenced_link);
    tail_abandon(p);
}

void flush_close_segment(struct store *store, struct segment *s)
{
    if (s->fd < 0)
        return;
    list_remove(&s->open_link);
    store->open_count--;
    file_close(s->fd);
    s->fd = -1;
}

/* ---- stopping ---- */

void flush_close_descriptors(struct store *store)
{
    while (!list_empty(&store->open_segments))
        flush_close_segment(store, CONTAINER_OF(store->open_segments.next, struct segment, open_link));
}
