/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/history.c: catch-up reads and look-ups by time: blocking work on the worker pool, under a memory
 * budget.
 *
 * A read is given a snapshot of its segment. It may be deleted meanwhile: then the read finds no file, and
 * its owner looks again. Reads beyond the budget wait in line; the buffers they fill are lent to readers as
 * slices and come back when sent.
 */
#include "partition/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- buffers ---- */

static struct history_buffer *history_buffer_take(struct store *store, uint32_t bytes)
{
    struct history_buffer *b = store->history_free;
    if (b && bytes <= b->bytes) {
        store->history_free = b->next;
        return b;
    }
    b = mem_zalloc(MEM_HISTORY, sizeof(*b));
    b->kind = PIN_HISTORY;
    b->bytes = bytes < HISTORY_BYTES ? HISTORY_BYTES : bytes;
    b->data = mem_alloc_aligned(MEM_HISTORY, b->bytes, LOG_BLOCK);
    store->history_bytes += b->bytes;
    return b;
}

static void history_buffer_free(struct store *store, struct history_buffer *b)
{
    store->history_bytes -= b->bytes;
    mem_free(MEM_HISTORY, b->data, b->bytes);
    mem_free(MEM_HISTORY, b, sizeof(*b));
}

void history_buffer_return(struct store *store, struct history_buffer *b)
{
    /* One is kept for the next read; the rest goes back, so that memory follows use. */
    if (store->history_free || b->bytes != HISTORY_BYTES) {
        history_buffer_free(store, b);
        return;
    }
    b->next = NULL;
    store->history_free = b;
}

void history_destroy(struct store *store)
{
    if (store->history_free)
        history_buffer_free(store, store->history_free);
    store->history_free = NULL;
    CHECK(store->history_bytes == 0);
    for (uint32_t i = 0; i < HISTORY_CARRIES; i++)
        mem_free(MEM_HISTORY, store->history_carries[i].data, store->history_carries[i].bytes);
}

/* ---- left-overs ---- */

/* Gives the read what the one before it left over, when that is still here. */
static void history_carry_take(struct store *store, struct history_read *r)
{
    for (uint32_t i = 0; i < HISTORY_CARRIES; i++) {
        struct history_carry *c = &store->history_carries[i];
        if (!c->data || c->offset != r->read.offset || c->base_offset != r->read.segment.base_offset ||
            c->topic_id != r->read.id.topic_id || c->partition != r->read.id.partition)
            continue;
        r->carry = c->data;
        r->read.carry = c->data;
        r->read.carry_bytes = c->bytes;
        r->read.carry_end = c->end;
        c->data = NULL;
        return;
    }
}

/* Keeps what the read left over, in place of the oldest. */
static void history_carry_keep(struct store *store, struct history_read *r)
{
    struct history_carry *c = &store->history_carries[store->history_carry_next++ % HISTORY_CARRIES];
    mem_free(MEM_HISTORY, c->data, c->bytes);
    *c = (struct history_carry){ .topic_id = r->read.id.topic_id,
                                 .base_offset = r->read.segment.base_offset,
                                 .offset = r->read.next_offset,
                                 .end = r->read.rest_end,
                                 .partition = r->read.id.partition,
                                 .bytes = r->read.rest_bytes,
                                 .data = r->rest };
    r->rest = NULL;
}

static void history_carry_free(struct history_read *r)
{
    mem_free(MEM_HISTORY, r->carry, r->read.carry_bytes);
    mem_free(MEM_HISTORY, r->rest, r->read.rest_bytes);
    r->carry = r->rest = NULL;
}

/* ---- where to read ---- */

/* Copies the extents that the .index lacks yet, from the one that holds `offset` on; all that fit when the
 * index holds it: the batch may go on in them. */
static uint32_t history_extents(const struct segment *s, uint64_t offset, struct log_extent *out,
                                uint32_t room)
{
    uint32_t count = s->kept + s->pending_count;
    if (!count)
        return 0;
    uint32_t low = 1, high = count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (s->pending[mid].first_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    uint32_t n = count - (low - 1);
    if (n > room)
        n = room;
    memcpy(out, s->pending + low - 1, n * sizeof(*out));
    return n;
}

/* ---- reading ---- */

static void history_done(struct work_job *job);

/* A damaged index takes nothing away as long as the .log is whole: makes a new one and reads again. */
static int history_rebuild(struct history_read *r)
{
    char why[LOG_WHY_BYTES];
    struct log_segment segment = r->read.segment;
    int result = r->may_repair ? log_index_repair(r->dir, r->read.id, &segment, &r->last, r->max_before_ms,
                                                  &r->set_aside, why)
                               : log_index_rebuild(r->dir, r->read.id, &segment, r->max_before_ms, why);
    if (r->set_aside)
        memcpy(r->damage, why, sizeof(why));
    if (result == 0) {
        r->rebuilt = true;
        r->read.segment = segment;
        return log_read(&r->read);
    }
    snprintf(r->read.why, sizeof(r->read.why), "%s", why);
    return result;
}

static void history_run(struct work_job *job)
{
    struct history_read *r = CONTAINER_OF(job, struct history_read, job);
    int result = log_read(&r->read);
    if (result == -EBADMSG && r->read.index_damaged && (r->may_rebuild || r->may_repair))
        result = history_rebuild(r);
    if (result == 0 && r->read.rest_bytes > 0 && r->read.rest_bytes <= HISTORY_CARRY_BYTES) {
        r->rest = mem_alloc(MEM_HISTORY, r->read.rest_bytes);
        memcpy(r->rest, r->read.data + r->read.bytes, r->read.rest_bytes);
    }
    r->error = result == 0           ? ERR_OK
               : result == -EMSGSIZE ? ERR_REQUEST_TOO_LARGE
               : result == -EBADMSG  ? ERR_SEGMENT_CORRUPT
               : result == -ENOENT   ? ERR_OFFSET_OUT_OF_RANGE
               : result == -ENODATA  ? ERR_OFFSET_OUT_OF_RANGE
                                     : ERR_STORAGE_FAILED;
    if (r->error && !r->read.why[0])
        snprintf(r->read.why, sizeof(r->read.why), "a segment cannot be read: %s", strerror(-result));
}

/* Runs one read that has its turn. Errors that need no disk are delivered through the worker too: done()
 * never runs inside the call. */
static void history_run_one(struct store *store, struct history_read *r, uint32_t bytes)
{
    struct partition *p = r->partition;
    uint32_t number = 0;
    /* A deleted topic's files may be another topic's by now: nothing is looked for there. */
    struct segment *s = p->gone ? NULL : segment_find(p, r->read.offset, &number);
    r->slice.pin = history_buffer_take(store, bytes);
    struct history_buffer *b = r->slice.pin;
    r->read.dir = r->dir;
    r->read.id = partition_log_id(p);
    r->read.buffer = b->data;
    r->read.buffer_bytes = bytes > r->bytes_wanted ? bytes : r->bytes_wanted;
    if (s)
        r->read.segment = s->log;
    else
        r->read.segment = (struct log_segment){ 0 }; /* deleted while it waited: finds nothing */
    if (s && !r->carry)
        history_carry_take(store, r);
    r->read.extent_count = s ? history_extents(s, r->read.offset, r->extents, ARRAY_LEN(r->extents)) : 0;
    r->read.extents = r->read.extent_count ? r->extents : NULL;
    /* Only when nobody else writes the index any more: entries yet to be added count on those before them. */
    r->may_rebuild = s && s->cut && !s->pending_count && !s->syncing;
    r->may_repair = s && !r->may_rebuild && r->mending && s->kept;
    if (r->may_repair)
        r->last = s->pending[0];
    r->max_before_ms = number > 0 ? p->segments[number - 1]->log.max_timestamp_ms : -1;
    r->rebuilt = r->set_aside = false;
    partition_dir(p, r->dir);
    store->history_running++;
    work_submit(store->work, &r->job, history_run, history_done);
}

void history_pump(struct store *store)
{
    while (!list_empty(&store->history_queue) &&
           (store->history_bytes + HISTORY_BYTES <= store->options.history_bytes_max || store->history_free ||
            store->history_bytes == 0)) {
        struct history_read *r = CONTAINER_OF(list_pop(&store->history_queue), struct history_read, link);
        history_run_one(store, r, HISTORY_BYTES);
    }
    /* The index of a segment that is still written is the checkpoints' too: one at a time, and not while one
     * of those is being written. */
    if (!list_empty(&store->mend_queue) && !store->mending && !store->checkpoint) {
        struct history_read *r = CONTAINER_OF(list_pop(&store->mend_queue), struct history_read, link);
        store->mending = r->mending = true;
        history_run_one(store, r, HISTORY_BYTES);
    }
}

void history_start(struct history_read *r, struct partition *p, uint64_t offset, uint32_t bytes_max,
                   void (*done)(struct history_read *))
{
    struct store *store = p->store;
    CHECK(!r->busy);
    r->busy = true;
    r->store = store;
    r->partition = p;
    r->done = done;
    r->slice = (struct slice){ 0 };
    r->carry = r->rest = NULL;
    r->mending = r->mended = false;
    r->read = (struct log_read){ .offset = offset };
    r->bytes_wanted = bytes_max < 65536           ? 65536
                      : bytes_max > HISTORY_BYTES ? HISTORY_BYTES
                                                  : block_floor(bytes_max);
    p->refs++;
    list_init(&r->link);
    list_append(&store->history_queue, &r->link);
    history_pump(store);
}

/* The new index has other entries than the segment's books say. A crash before the next checkpoint: the books
 * of the last one are wrong then, which looks like damage again, and is mended again. */
static void history_rebuilt(const struct history_read *r)
{
    struct partition *p = r->partition;
    const struct log_segment *rebuilt = &r->read.segment;
    struct segment *s = segment_find(p, rebuilt->base_offset, NULL);
    if (!s || s->log.base_offset != rebuilt->base_offset)
        return;
    s->log.extents = rebuilt->extents;
    if (!r->may_repair)
        s->kept = 0;
    if (r->set_aside)
        segment_set_aside(s, segment_half_lost, r->damage);
    diag(DIAG_WARN, "partition", "a damaged index was made anew from its segment",
         DIAG_KS("topic", p->topic->name), DIAG_KU("partition", p->number),
         DIAG_KU("base_offset", rebuilt->base_offset));
}

static void history_done(struct work_job *job)
{
    struct history_read *r = CONTAINER_OF(job, struct history_read, job);
    struct store *store = r->store;
    struct partition *p = r->partition;
    store->history_running--;
    if (r->mending) {
        store->mending = r->mending = false;
        r->mended = true;
    }
    if (r->rebuilt)
        history_rebuilt(r);
    if (r->error == ERR_SEGMENT_CORRUPT && r->read.index_damaged && !r->may_rebuild && !r->mended) {
        history_buffer_return(store, r->slice.pin);
        list_append(&store->mend_queue, &r->link);
        return;
    }
    if (r->error == ERR_REQUEST_TOO_LARGE && !p->gone && r->read.bytes_needed > r->read.buffer_bytes &&
        r->read.bytes_needed <= 4 * store->options.batch_bytes_max + 4 * CHUNK_BYTES_MAX) {
        history_buffer_return(store, r->slice.pin);
        uint32_t needed = (r->read.bytes_needed + LOG_BLOCK - 1) & ~(uint32_t)(LOG_BLOCK - 1);
        history_run_one(store, r, needed);
        return;
    }
    if (r->error) {
        history_buffer_return(store, r->slice.pin);
        r->slice = (struct slice){ 0 };
        if (r->error == ERR_SEGMENT_CORRUPT) {
            struct segment *s = segment_find(p, r->read.offset, NULL);
            if (s)
                segment_set_aside(s, "a segment is damaged: what it holds there is not served", r->read.why);
        }
    } else {
        r->slice.data = r->read.data;
        r->slice.bytes = r->read.bytes;
        r->next_offset = r->read.next_offset;
        store->stats.history_reads++;
        store->stats.history_bytes += r->read.bytes;
        if (r->rest)
            history_carry_keep(store, r);
    }
    history_carry_free(r);
    r->busy = false;
    r->done(r);
    partition_unref(p);
    history_pump(store);
}

/* ---- times ---- */

/* The first record of a batch at or after the time; compressed batches are found as a whole. */
static void time_in_batch(const struct batch *batch, int64_t timestamp_ms, uint64_t *offset,
                          int64_t *found_ms)
{
    *offset = (uint64_t)batch->base_offset;
    *found_ms = batch->max_timestamp_ms;
    if (batch->attributes & (BATCH_CODEC_MASK | BATCH_LOG_APPEND_TIME))
        return;
    struct record_iter it;
    struct record record;
    record_iter_init(&it, batch, (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER });
    while (record_next(&it, &record) == 1)
        if (record.timestamp_ms >= timestamp_ms) {
            *offset = (uint64_t)record.offset;
            *found_ms = record.timestamp_ms;
            return;
        }
}

/* Looks through the tail from its first chunk that may have it; false: nothing that late. */
static bool time_in_memory(const struct partition *p, int64_t timestamp_ms, uint64_t from, uint64_t *offset,
                           int64_t *found_ms)
{
    for (uint64_t serial = p->chunk_first; serial < p->chunk_end; serial++) {
        const struct chunk *c = partition_chunk(p, serial);
        if (c->end_offset <= from)
            continue;
        for (uint32_t at = c->first; at < c->used;) {
            struct batch batch;
            if (!batch_decode(&batch, c->data + at, c->used - at) ||
                (uint64_t)batch.base_offset >= p->durable)
                return false;
            if (batch.max_timestamp_ms >= timestamp_ms && (uint64_t)batch.base_offset >= from) {
                time_in_batch(&batch, timestamp_ms, offset, found_ms);
                return true;
            }
            at += batch.bytes;
        }
    }
    return false;
}

static void time_lookup_run(struct work_job *job)
{
    struct time_lookup *t = CONTAINER_OF(job, struct time_lookup, job);
    if (!t->dir[0])
        return; /* memory had the answer */
    t->result = log_find_time(t->dir, partition_log_id(t->partition), &t->segment,
                              t->extent_count ? t->extents : NULL, t->extent_count, t->timestamp_ms,
                              &t->offset, &t->found_ms, t->why);
}

/* The extents that the index lacks, from the one that is late enough on, and the one before it: a batch may
 * start there. When the index's own are late enough, from the first on: a batch may go on in it. */
static void time_extents(struct time_lookup *t, const struct segment *s)
{
    uint32_t first = 0, count = s->kept + s->pending_count;
    while (first + 1 < count && s->pending[first].max_timestamp_ms < t->timestamp_ms)
        first++;
    first -= first > 0;
    t->extent_count = count - first < ARRAY_LEN(t->extents) ? count - first : (uint32_t)ARRAY_LEN(t->extents);
    if (t->extent_count)
        memcpy(t->extents, s->pending + first, t->extent_count * sizeof(*t->extents));
}

/* Looks at what lies at `searched` and behind it: true when a segment may have it, else memory was asked. */
static bool time_lookup_look(struct time_lookup *t)
{
    struct partition *p = t->partition;
    uint64_t on_disk = p->start;
    t->dir[0] = 0;
    t->result = 0;
    t->offset = p->durable;
    t->found_ms = -1;
    for (uint32_t i = 0; i < p->segment_count && !p->gone; i++) {
        const struct segment *s = p->segments[i];
        if (s->log.bytes == 0)
            continue; /* its end says nothing: those before it may be in memory still */
        if (s->log.end_offset > on_disk)
            on_disk = s->log.end_offset;
        if (s->log.end_offset <= t->searched || s->log.max_timestamp_ms < t->timestamp_ms)
            continue;
        t->segment = s->log;
        time_extents(t, s);
        partition_dir(p, t->dir);
        return true;
    }
    if (!p->gone)
        time_in_memory(p, t->timestamp_ms, on_disk, &t->offset, &t->found_ms);
    return false;
}

static void time_lookup_done(struct work_job *job)
{
    struct time_lookup *t = CONTAINER_OF(job, struct time_lookup, job);
    struct partition *p = t->partition;
    /* What was found, or where it was looked for, went meanwhile: what is left is looked through. Where it
     * begins is not the answer: the running maximum tells of what went, too. */
    const bool went = t->result == -ENOENT || (t->result == 0 && t->offset < p->start);
    /* What is late enough is a batch that is not wholly on disk: behind it, then. */
    if (went || t->result == -ENODATA) {
        if (t->dir[0])
            t->searched = t->segment.end_offset;
        if (time_lookup_look(t)) {
            work_submit(t->store->work, &t->job, time_lookup_run, time_lookup_done);
            return;
        }
    }
    t->error = t->result == 0 ? ERR_OK : t->result == -EBADMSG ? ERR_SEGMENT_CORRUPT : ERR_STORAGE_FAILED;
    if (t->error == ERR_STORAGE_FAILED && !t->why[0])
        snprintf(t->why, sizeof(t->why), "a segment cannot be read: %s", strerror(-t->result));
    t->busy = false;
    t->done(t);
    partition_unref(p);
}

void time_lookup_start(struct time_lookup *t, struct partition *p, int64_t timestamp_ms,
                       void (*done)(struct time_lookup *))
{
    CHECK(!t->busy);
    t->busy = true;
    t->store = p->store;
    t->partition = p;
    t->timestamp_ms = timestamp_ms;
    t->done = done;
    t->why[0] = 0;
    t->searched = 0;
    p->refs++;
    time_lookup_look(t);
    work_submit(p->store->work, &t->job, time_lookup_run, time_lookup_done);
}
