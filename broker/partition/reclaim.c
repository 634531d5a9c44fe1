/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/reclaim.c: makes journal files reusable: gets what they hold into segments or copies it forward,
 * then has a checkpoint say so.
 *
 *   GATHER   every partition with batches below `reclaim_file` closes its chunk for the flusher, if that has
 * a block to write, and copies the rest (less than a block and its batch; or all of a small tail) into the
 * newest journal file WAIT     until the chunks are written and the copies durable SAVE     a worker makes
 * index entries and segment data durable, then writes the checkpoint RELEASE  the journal may overwrite the
 * files
 *
 * Order matters: released before the checkpoint is durable, a crash would replay from a file that is being
 * overwritten; checkpointed before the segments are flushed, a power cut would lose what no journal file
 * holds any more.
 */
#include "partition/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    FORWARD_BYTES_MAX = 65536, /* tails smaller than this are cheaper to copy than to write and flush, */
    FORWARD_SHARE = 4,         /* as long as all copies together take no more than a quarter of the journal */
    GATHER_STEP = 256,         /* partitions looked at in one turn: keeps the turn short */
};

/* One segment's part of a checkpoint: what the worker makes durable first. */
struct checkpoint_segment {
    struct segment *segment;
    struct log_extent *extents;
    uint32_t first, count;
    bool cut;
    bool fresh; /* its names are not durable yet */
    struct log_segment log;
    struct log_extent last; /* which the index ends with, when first > 0 */
    int64_t max_before_ms;  /* running maximum of timestamps before the segment */
    uint32_t entries;       /* the index was made anew: so many are in front of `extents` now */
    bool damaged;
    char why[LOG_WHY_BYTES];
};

struct checkpoint_job {
    struct work_job job;
    struct store *store;
    struct checkpoint_segment *segments;
    uint32_t count, room;
    struct dedupe_save *ids;
    uint8_t *body;
    uint64_t body_bytes, serial, file;
    int result;
    bool unflushed; /* a segment's data could not be flushed */
    bool mended;    /* an index was made anew: the body's numbers of entries are wrong */
    bool running;
    uint64_t sequence; /* what the body says of catalogue and states is durable with this one */
    char why[LOG_WHY_BYTES];
};

/* ---- gather ---- */

static uint64_t dirty_file(const struct partition *p)
{
    return partition_chunk(p, p->chunk_dirty)->journal_file;
}

/* Bytes to copy when everything that is not in a segment goes forward. */
static uint64_t copy_bytes(const struct partition *p)
{
    uint32_t from;
    const struct chunk *before = tail_loose_before(p, partition_chunk(p, p->chunk_dirty), &from);
    uint64_t bytes = before ? before->used - from : 0;
    for (uint64_t s = p->chunk_dirty; s < p->chunk_end; s++) {
        const struct chunk *c = partition_chunk(p, s);
        bytes += c->used - c->first;
    }
    return bytes;
}

static bool gather_room(struct store *store, uint32_t entries, uint64_t bytes)
{
    if (bytes + entries * sizeof(struct journal_batches) > journal_atomic_max(store->journal, entries) ||
        !journal_room(store->journal, JOURNAL_RESERVED, entries,
                      (uint32_t)bytes + entries * (uint32_t)sizeof(struct journal_batches)))
        return false;
    store->reclaim_copies -= bytes < store->reclaim_copies ? bytes : store->reclaim_copies;
    return true;
}

/* Copies all dirty batches of a small partition. False: no room just now. */
static bool gather_forward_all(struct store *store, struct partition *p)
{
    uint32_t from;
    struct chunk *first = partition_chunk(p, p->chunk_dirty);
    struct chunk *before = tail_loose_before(p, first, &from);
    uint32_t entries = (uint32_t)(p->chunk_end - p->chunk_dirty) + 1;
    if (!gather_room(store, entries, copy_bytes(p)))
        return false;
    uint64_t file = journal_open_file(store->journal);
    if (before) {
        partition_forward(p, before, from, before->used);
        before->loose_file = file;
    }
    for (uint64_t s = p->chunk_dirty; s < p->chunk_end; s++) {
        struct chunk *c = partition_chunk(p, s);
        partition_forward(p, c, c->first, c->used);
        c->journal_file = c->loose_file = file;
    }
    return true;
}

/* Closes the open chunk; what its whole blocks do not hold goes forward. False: no room just now. */
static bool gather_close(struct store *store, struct partition *p)
{
    struct chunk *c = partition_chunk(p, p->chunk_end - 1);
    if (c->closed)
        return true;
    if (!gather_room(store, 1, c->used - c->loose))
        return false;
    partition_forward(p, c, c->loose, c->used);
    c->loose_file = journal_open_file(store->journal);
    tail_close_idle(p);
    flush_enqueue(p);
    return true;
}

/* Up to what size are tails copied? A copy is sequential and shares a commit; a write costs a flush or two.
 */
static uint64_t gather_forward_max(const struct store *store)
{
    uint64_t journal = store->options.journal_file_bytes * store->options.journal_files_max;
    uint64_t share = journal / FORWARD_SHARE / (store->dirty_count + 1);
    return share > FORWARD_BYTES_MAX ? FORWARD_BYTES_MAX : share;
}

/* A partition that is still in the way. True when it is dealt with, as far as this phase goes. */
static bool gather_partition(struct store *store, struct partition *p)
{
    struct chunk *last = partition_chunk(p, p->chunk_end - 1);
    bool open_block = !last->closed && block_floor(last->used) > last->write_from;
    bool queued = p->chunk_dirty < p->chunk_queued, done = true;
    uint64_t most = store->reclaim_copies ? gather_forward_max(store) : 0;
    if (!queued && copy_bytes(p) <= most)
        done = gather_forward_all(store, p);
    else if (last->closed || last->journal_file >= store->reclaim_file)
        return true;
    else if (open_block && last->used - last->loose <= most)
        done = gather_close(store, p);
    else if (open_block || !queued)
        partition_roll(p); /* a large batch's last few bytes: the copy would be all of it */
    /* The journal is full to the brim: a segment's end takes everything, and needs no copy. */
    if (!done && !last->closed && journal_idle(store->journal)) {
        partition_roll(p);
        done = true;
    }
    return done;
}

static bool reclaim_gather(struct store *store)
{
    uint32_t looked = 0;
    bool all = true;
    LIST_FOR_EACH_SAFE (node, &store->dirty) {
        struct partition *p = CONTAINER_OF(node, struct partition, dirty_link);
        if (dirty_file(p) >= store->reclaim_file)
            continue;
        all = false;
        if (++looked > GATHER_STEP)
            break;
        if (gather_partition(store, p)) {
            /* Behind those not looked at yet. */
            list_remove(&p->dirty_link);
            list_append(&store->dirty, &p->dirty_link);
        }
    }
    return all;
}

/* ---- save ---- */

/* Errors that say nothing about the file: the same is tried again. */
static bool checkpoint_passing(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EMFILE || error == -ENFILE || error == -ENOMEM ||
           error == -EPROTONOSUPPORT;
}

/* An index that cannot be continued is made anew from its segment: one damaged file must not keep the journal
 * from being reused. The numbers of entries change: this checkpoint is not written, the next one has them. */
static int checkpoint_mend(struct checkpoint_job *k, struct checkpoint_segment *cs, const char *dir)
{
    struct log_segment log = cs->log;
    int result = log_index_repair(dir, partition_log_id(cs->segment->partition), &log, &cs->last,
                                  cs->max_before_ms, &cs->damaged, cs->why);
    if (!result) {
        k->mended = true;
        cs->entries = log.extents;
    }
    return result;
}

/* What the index lacks, and the size of what is sealed: written, not durable yet. */
static int checkpoint_write_segment(struct checkpoint_job *k, struct checkpoint_segment *cs, const char *dir)
{
    int result = cs->cut ? log_segment_seal(dir, cs->log.base_offset, cs->log.bytes) : 0;
    if (result && !cs->log.sealed && result != -EBADMSG && result != -ENOENT)
        result = 0; /* given up: what lies behind its end is only space */
    if (result == -EBADMSG || (result == -ENOENT && !cs->segment->partition->gone)) {
        snprintf(cs->why, sizeof(cs->why), "its .log is missing or shorter than it was");
        cs->damaged = true; /* what reads meet there they refuse; all else goes on */
        result = 0;
    }
    if (!result && cs->count) {
        result = log_index_append(dir, partition_log_id(cs->segment->partition), cs->log.base_offset,
                                  cs->first, cs->extents, cs->count, k->why);
        if (result && cs->first && !checkpoint_passing(result) && !cs->segment->partition->gone)
            result = checkpoint_mend(k, cs, dir);
    }
    return result;
}

/* Either all at once, when they are many, or one by one. */
static int checkpoint_sync_segments(struct checkpoint_job *k)
{
    enum { TOGETHER_MIN = 16 };
    char dir[LOG_PATH_BYTES];
    if (k->count >= TOGETHER_MIN) {
        int result = file_sync_all(k->store->options.data_dir);
        k->unflushed = result && result != -EOPNOTSUPP && !checkpoint_passing(result);
        if (result != -EOPNOTSUPP)
            return result;
    }
    for (uint32_t i = 0; i < k->count; i++) {
        struct checkpoint_segment *cs = &k->segments[i];
        partition_dir(cs->segment->partition, dir);
        int result = log_segment_sync(dir, cs->log.base_offset, cs->fresh, &k->unflushed);
        if (result && result != -ENOENT)
            return result;
        if (result && !cs->segment->partition->gone && !cs->damaged) {
            snprintf(cs->why, sizeof(cs->why), "its .log is missing");
            cs->damaged = true;
        }
    }
    return 0;
}

static void checkpoint_run(struct work_job *job)
{
    struct checkpoint_job *k = CONTAINER_OF(job, struct checkpoint_job, job);
    char dir[LOG_PATH_BYTES];
    for (uint32_t i = 0; i < k->count && !k->result; i++) {
        struct checkpoint_segment *cs = &k->segments[i];
        partition_dir(cs->segment->partition, dir);
        k->result = checkpoint_write_segment(k, cs, dir);
        if (k->result == -ENOENT && cs->segment->partition->gone)
            k->result = 0; /* deleted meanwhile */
    }
    if (!k->result && k->mended)
        k->result = -EAGAIN;
#ifndef RUNNEL_SABOTAGE_CHECKPOINT_BEFORE_FLUSH
    if (!k->result)
        k->result = checkpoint_sync_segments(k);
#else
    (void)checkpoint_sync_segments;
#endif
    if (!k->result)
        k->result = dedupe_save_run(k->ids);
    if (!k->result)
        k->result = checkpoint_write(k->store->options.data_dir, k->serial, k->body, k->body_bytes);
    if (!k->result)
        dedupe_save_tidy(k->ids);
}

static void checkpoint_add(struct checkpoint_job *k, struct segment *s, const struct segment *before)
{
    if (k->count == k->room) {
        uint32_t room = k->room ? k->room * 2 : 64;
        k->segments = mem_realloc(MEM_PARTITION, k->segments, k->room * sizeof(*k->segments),
                                  room * sizeof(*k->segments));
        k->room = room;
    }
    struct checkpoint_segment *cs = &k->segments[k->count++];
    *cs = (struct checkpoint_segment){ .segment = s,
                                       .first = s->log.extents,
                                       .count = s->pending_count,
                                       .cut = segment_ended(s) && !s->cut,
                                       .fresh = !s->named,
                                       .log = s->log };
    if (s->kept)
        cs->last = s->pending[0];
    else
        CHECK(!cs->first || !cs->count);
    cs->max_before_ms = before ? before->log.max_timestamp_ms : -1;
    cs->extents = mem_alloc(MEM_PARTITION, cs->count * sizeof(*cs->extents));
    memcpy(cs->extents, s->pending + s->kept, cs->count * sizeof(*cs->extents));
    s->syncing = cs->count;
    s->sealing = cs->cut;
    s->partition->refs++;
}

static void checkpoint_done(struct work_job *job);

/* The body is as of now; changes that a crash may still take back are not for the checkpoint, so the file is
 * written once they are durable. (Waiting for a moment without any before encoding would be for ever: groups
 * change in every turn.) */
static void checkpoint_advance(struct store *store)
{
    struct checkpoint_job *k = store->checkpoint;
    if (k->running)
        return;
    if (store->failed) {
        k->result = -ECANCELED;
        checkpoint_done(&k->job);
    } else if (journal_durable_sequence(store->journal) >= k->sequence) {
        k->running = true;
        work_submit(store->work, &k->job, checkpoint_run, checkpoint_done);
    }
}

/* Starts a checkpoint of all that is on disk now, from which replay would start at `file`. */
static bool checkpoint_start(struct store *store, uint64_t file)
{
    struct journal_point point;
    if (store->mending || !journal_point_of(store->journal, file, &point))
        return false;
    struct checkpoint_job *k = mem_zalloc(MEM_PARTITION, sizeof(*k));
    k->store = store;
    k->file = file;
    while (!list_empty(&store->unsynced)) {
        struct partition *p = CONTAINER_OF(list_pop(&store->unsynced), struct partition, unsynced_link);
        for (uint32_t i = p->segment_count; i-- > 0;) {
            struct segment *s = p->segments[i];
            if (s->pending_count || (segment_ended(s) && !s->cut))
                checkpoint_add(k, s, i ? p->segments[i - 1] : NULL);
            else if (s->cut)
                break; /* those before it are done */
        }
    }
    k->body = checkpoint_encode(store, &point, &k->body_bytes, &k->ids);
    /* One that fails is tried again under the same number: the next number's file is the last good one. */
    k->serial = store->checkpoint_serial + 1;
    k->sequence = states_sequence(store);
    if (store->duplicates.appended > k->sequence)
        k->sequence = store->duplicates.appended;
    store->checkpoint = k;
    checkpoint_advance(store);
    return true;
}

static void checkpoint_segment_done(struct checkpoint_segment *cs, bool saved)
{
    struct segment *s = cs->segment;
    struct partition *p = s->partition;
    s->syncing = 0;
    s->sealing = false;
    if (cs->damaged && !p->gone)
        segment_set_aside(s, segment_half_lost, cs->why);
    if (cs->entries) {
        s->log.extents = cs->entries;
        diag(DIAG_WARN, "partition", "a damaged index was made anew from its segment",
             DIAG_KS("topic", p->topic->name), DIAG_KU("partition", p->number),
             DIAG_KU("base_offset", s->log.base_offset));
    }
    if (saved && cs->count) {
        /* The last one stays: a batch may start in it and end in the first that the index lacks. */
        uint32_t done = s->kept + cs->count - 1;
        memmove(s->pending, s->pending + done, (s->kept + s->pending_count - done) * sizeof(*s->pending));
        s->kept = 1;
        s->pending_count -= cs->count;
        s->log.extents += cs->count;
    }
    if (saved && cs->cut)
        s->cut = true;
    if (saved)
        s->named = true;
    if (!p->gone && (s->pending_count || (segment_ended(s) && !s->cut)) && !list_linked(&p->unsynced_link))
        list_append(&p->store->unsynced, &p->unsynced_link);
    mem_free(MEM_PARTITION, cs->extents, cs->count * sizeof(*cs->extents));
    partition_unref(p);
}

static void checkpoint_done(struct work_job *job)
{
    struct checkpoint_job *k = CONTAINER_OF(job, struct checkpoint_job, job);
    struct store *store = k->store;
    bool saved = k->result == 0;
    for (uint32_t i = 0; i < k->count; i++)
        checkpoint_segment_done(&k->segments[i], saved);
    store->checkpoint = NULL;
    dedupe_save_end(k->ids, saved);
    if (saved) {
        store->stats.checkpoints++;
        store->checkpoint_serial = k->serial;
        journal_release(store->journal, k->file);
        store->reclaiming = false;
    } else if (k->result == -EAGAIN || k->result == -ECANCELED) {
        /* Again, at once, with the new numbers; or the journal failed: never. */
    } else if (k->unflushed) {
        /* Flushing once more would say that all is well, and the lost pages stay lost. The journal still has
         * what they held, until a checkpoint says otherwise: none will. The next start writes it anew. */
        store_fail(store, "a flush of a segment", k->result);
    } else {
        diag(DIAG_WARN, "partition", "a checkpoint could not be written; trying again",
             DIAG_KS("error", strerror(-k->result)), DIAG_KS("detail", k->why));
        store->checkpoint_retry = true;
        if (k->result == -ENOSPC || k->result == -EDQUOT)
            store->disk_full = true;
        if (!timer_running(&store->disk_timer))
            timer_start(store->timers, &store->disk_timer, 1000);
    }
    mem_free(MEM_PARTITION, k->segments, k->room * sizeof(*k->segments));
    mem_free(MEM_PARTITION, k->body, k->body_bytes);
    mem_free(MEM_PARTITION, k, sizeof(*k));
}

/* ---- the phases ---- */

/* Time to start? When the journal has used half of the files that it may have. */
static bool reclaim_due(const struct store *store)
{
    uint32_t used = journal_files_used(store->journal), most = journal_files_max(store->journal);
    return used > 1 && used >= (most + 1) / 2;
}

void reclaim_pump(struct store *store)
{
    if (store->checkpoint)
        checkpoint_advance(store);
    if (store->checkpoint || store->failed || store->stopping)
        return;
    if (!store->reclaiming) {
        if (!reclaim_due(store))
            return;
        store->reclaiming = true;
        uint64_t oldest = journal_oldest_file(store->journal);
        store->reclaim_file = oldest + (journal_files_used(store->journal) + 1) / 2;
        uint64_t open = journal_open_file(store->journal);
        if (store->reclaim_file > open)
            store->reclaim_file = open;
        /* Copies take at most half of what they free: small tails that together fill the journal would be
         * copied from file to file for ever. Beyond that they are written, however small they are. */
        store->reclaim_copies = (store->reclaim_file - oldest) * store->options.journal_file_bytes / 2;
#ifdef RUNNEL_SABOTAGE_RELEASE_BEFORE_CHECKPOINT
        journal_release(store->journal, store->reclaim_file);
#endif
    }
    if (store->checkpoint_retry || !reclaim_gather(store))
        return;
    /* Nothing dirty is left below the file; copies made are durable once all that was added is. */
    if (store->reclaim_sequence_due != store->reclaim_file) {
        store->reclaim_sequence_due = store->reclaim_file;
        store->reclaim_sequence = journal_open_sequence(store->journal);
    }
    bool copies =
        journal_durable_sequence(store->journal) >= store->reclaim_sequence || journal_idle(store->journal);
    if (copies)
        checkpoint_start(store, store->reclaim_file);
}

bool reclaim_idle(const struct store *store)
{
    return !store->checkpoint;
}
