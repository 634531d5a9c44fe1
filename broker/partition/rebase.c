/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/rebase.c: after a failed segment write: what is not safely on disk goes to a fresh file.
 *
 *   segment S   [ extents on disk ..... |ba]tch X | X+1 | ...    a write behind the bar failed
 *   segment S   [ extents on disk ..... |ba]                     given up: nothing more is written to it
 *   segment X   [ batch X | X+1 | ...                            fresh, named after the first batch that S
 *                                                                does not hold whole
 *
 * The journal must know first, since its entries say where batches go: an entry (JOURNAL_REBASE) says that
 * from X on they go to a segment that begins there. Memory is laid out anew in the same moment, so what is
 * journalled later names the new places, and nothing is written before that entry is durable. Replay does the
 * same at the same entry. The batches' own copies in the journal stay until the fresh file has them, and they
 * keep that entry's file as well: they are older.
 *
 * When nothing of S is whole on disk, X is where S begins, and the fresh file takes its name.
 *
 * A fenced partition takes no events. It is unfenced once everything that was closed at the move is written;
 * when the fresh file fails too, the next one follows after a pause that doubles each time.
 */
#include "partition/internal.h"

#include <stdio.h>
#include <string.h>

enum { REBASE_PAUSE_MS = 1000, REBASE_PAUSE_MAX_MS = 30000 };

/* ---- laying out anew ---- */

/* Which offsets begin a segment. */
struct relay {
    struct partition *p;
    uint64_t x;
    uint64_t *bases; /* of the segments that there were behind the given one */
    uint32_t count;
};

static bool relay_begins(const struct relay *r, uint64_t base)
{
    const struct segment *last = partition_segment(r->p);
    bool begins = base == r->x;
    for (uint32_t i = 0; i < r->count; i++)
        begins |= base == r->bases[i];
    return begins && !(last && last->log.base_offset == base);
}

static void relay_begin(struct partition *p, uint64_t base)
{
    struct segment *last = partition_segment(p);
    if (last && !last->closed) {
        bool more = p->chunk_end > p->chunk_first && partition_chunk(p, p->chunk_end - 1)->segment == last;
        tail_close(p, true);
        last->closed = true;
        last->given_up = !more;
        if (last->given_up && !list_linked(&p->unsynced_link))
            list_append(&p->store->unsynced, &p->unsynced_link);
    }
    segment_create(p, base);
}

static void relay_batches(const struct relay *r, const struct chunk *c, uint32_t from, uint64_t file,
                          int64_t append_ms)
{
    struct partition *p = r->p;
    if (c->closed && c->extent.append_ms > 0)
        append_ms = c->extent.append_ms;
    if (append_ms < p->append_ms)
        append_ms = p->append_ms;
    for (uint32_t at = from; at < c->used;) {
        struct batch batch;
        CHECK(batch_decode(&batch, c->data + at, c->used - at));
        uint64_t base = (uint64_t)batch.base_offset;
        if (relay_begins(r, base))
            relay_begin(p, base);
        partition_place(p, &batch, base, append_ms, file);
        tail_sum(partition_chunk(p, p->chunk_end - 1));
        at += batch.bytes;
    }
}

/* Forgets the segments behind `keep`, with their files' contents: those are made anew. */
static void relay_forget(struct relay *r, uint32_t keep)
{
    struct partition *p = r->p;
    r->bases = mem_alloc(MEM_PARTITION, p->segment_room * sizeof(*r->bases));
    for (uint32_t i = keep; i < p->segment_count; i++) {
        struct segment *s = p->segments[i];
        if (s->log.base_offset != r->x)
            r->bases[r->count++] = s->log.base_offset;
        if (s->damaged)
            p->store->stats.damaged_segments--;
        segment_destroy(p->store, s);
    }
    p->segment_count = keep;
}

/* Puts the end back to what segment number `i` has on disk. */
static void relay_rewind(struct relay *r, uint32_t i)
{
    struct partition *p = r->p;
    struct segment *s = p->segments[i];
    bool anew = s->log.base_offset == r->x;
    p->end = s->log.end_offset;
    if (anew)
        s = i ? p->segments[i - 1] : NULL;
    p->max_timestamp_ms = s ? s->log.max_timestamp_ms : -1;
    p->append_ms = s ? s->log.append_ms : -1;
    relay_forget(r, anew ? i : i + 1);
    if (anew)
        return;
    flush_close_segment(p->store, s);
    s->appended = s->loose;
    s->closed = false;
}

void rebase_relay(struct partition *p, uint64_t x)
{
    struct relay r = { .p = p, .x = x };
    uint64_t end = p->end;
    int64_t max_ms = p->max_timestamp_ms, append_ms = p->append_ms;
    uint32_t count, dirty, from = 0, i = p->segment_count - 1;
    bool any = p->chunk_dirty < p->chunk_end;
    struct chunk *before = any ? tail_loose_before(p, partition_chunk(p, p->chunk_dirty), &from) : NULL;
    while (any && p->segments[i] != partition_chunk(p, p->chunk_dirty)->segment)
        CHECK(i-- > 0);
    struct chunk **chunks = tail_take(p, &count, &dirty);
    uint32_t room = p->segment_room;
    relay_rewind(&r, i);
    if (before)
        relay_batches(&r, before, from, before->loose_file, append_ms);
    for (uint32_t c = dirty; c < count; c++)
        relay_batches(&r, chunks[c], chunks[c]->first, chunks[c]->journal_file, append_ms);
    if (relay_begins(&r, p->end))
        relay_begin(p, p->end);
    CHECK(p->end == end);
    tail_give_back(p->store, chunks, count);
    mem_free(MEM_PARTITION, r.bases, room * sizeof(*r.bases));
    if (max_ms > p->max_timestamp_ms)
        p->max_timestamp_ms = max_ms;
    p->append_ms = append_ms;
    p->bytes_closed = 0;
    for (i = 0; i < p->segment_count; i++)
        p->bytes_closed += p->segments[i]->closed ? p->segments[i]->appended : 0;
}

/* ---- when ---- */

void rebase_fence(struct partition *p, int error)
{
    struct store *store = p->store;
    if (p->fence == FENCE_FAILED)
        return;
    char text[64];
    snprintf(text, sizeof(text), "%s", strerror(-error));
    diag(DIAG_ERROR, "partition",
         "a segment write failed: the partition takes no events until a fresh file has what was to be "
         "written; nothing acknowledged is lost",
         DIAG_KS("topic", p->topic->name), DIAG_KU("partition", p->number), DIAG_KS("error", text));
    p->fence = FENCE_FAILED;
    for (uint64_t s = p->chunk_dirty; s < p->chunk_end; s++)
        if (!partition_chunk(p, s)->written)
            list_remove(&partition_chunk(p, s)->link);
    uint64_t pause_ms = 0;
    if (p->rebases)
        pause_ms = p->rebases > 5 ? REBASE_PAUSE_MAX_MS : REBASE_PAUSE_MS << (p->rebases - 1);
    p->rebase_due_ns = store->clock->mono_ns + pause_ms * 1000000;
    if (!list_linked(&p->fenced_link))
        list_append(&store->fenced, &p->fenced_link);
}

static void rebase_unfence(struct partition *p)
{
    p->fence = FENCE_NONE;
    p->rebases = 0;
    list_remove(&p->fenced_link);
    diag(DIAG_INFO, "partition", "a fresh segment took what could not be written: the partition takes events",
         DIAG_KS("topic", p->topic->name), DIAG_KU("partition", p->number));
}

void rebase_written(struct partition *p)
{
    if (p->fence == FENCE_TRYING && p->chunk_dirty >= p->fence_chunk)
        rebase_unfence(p);
}

void rebase_durable(struct partition *p, uint64_t sequence)
{
    if (p->fence != FENCE_HELD || sequence < p->rebase_sequence)
        return;
    p->fence = FENCE_TRYING;
    rebase_written(p); /* nothing may be closed: a few bytes at the beginning of a file */
}

/* Nobody is at work on what is to be moved. */
static bool rebase_quiet(const struct partition *p)
{
    if (p->durable != p->end || p->store->checkpoint || p->store->mending)
        return false;
    for (uint32_t i = p->segment_count; i-- > 0;) {
        const struct segment *s = p->segments[i];
        if (s->writes || s->opening || s->syncing || s->sealing || !list_empty(&s->waiting))
            return false;
    }
    return true;
}

/* Up to where everything is to be written before the partition takes events again. */
static void rebase_try(struct partition *p)
{
    struct chunk *last = partition_chunk(p, p->chunk_end - 1);
    if (!last->closed && block_floor(last->used) > last->write_from)
        tail_close_idle(p);
    last = partition_chunk(p, p->chunk_end - 1);
    p->fence_chunk = p->chunk_end - !last->closed;
    p->durable_chunk = last->serial;
    p->durable_at = last->used;
    p->rebases++;
}

static void rebase_start(struct partition *p)
{
    struct store *store = p->store;
    const struct journal_rebase entry = { (uint32_t)p->topic->id, p->number, 0 };
    if (p->chunk_dirty == p->chunk_end) {
        rebase_unfence(p);
        return;
    }
    if (!journal_room(store->journal, JOURNAL_RESERVED, 1, sizeof(entry))) {
        /* The journal is full, perhaps of what could not be written: the same file once more is better than
         * none. */
        rebase_try(p);
        p->fence = FENCE_TRYING;
        p->chunk_queued = p->chunk_dirty;
        flush_enqueue(p);
        return;
    }
    struct journal_rebase *body = (void *)journal_add(store->journal, JOURNAL_REBASE, sizeof(entry));
    *body = entry;
    body->base_offset = partition_chunk(p, p->chunk_dirty)->segment->log.end_offset;
    rebase_relay(p, body->base_offset);
    p->rebase_sequence = journal_open_sequence(store->journal);
    rebase_try(p);
    p->fence = FENCE_HELD;
    partition_note(p, p->rebase_sequence);
    store->stats.rebases++;
}

void rebase_pump(struct store *store)
{
    if (store->failed || store->stopping)
        return;
    LIST_FOR_EACH_SAFE (node, &store->fenced) {
        struct partition *p = CONTAINER_OF(node, struct partition, fenced_link);
        if (p->fence == FENCE_FAILED && store->clock->mono_ns >= p->rebase_due_ns && rebase_quiet(p))
            rebase_start(p);
    }
}
