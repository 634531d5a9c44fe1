/* SPDX-License-Identifier: Apache-2.0 */
#include "partition/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "partition/internal.h"

/* ---- events from the journal ---- */

static void store_journal_durable(void *ctx, uint64_t sequence)
{
    struct store *store = ctx;
    durable_advance(store, sequence);
    if (store->events.on_durable)
        store->events.on_durable(store->events.ctx, sequence);
}

static void store_journal_room(void *ctx)
{
    struct store *store = ctx;
    store->room_wanted = true; /* looked at when the turn ends */
}

void store_fail(struct store *store, const char *what, int error)
{
    char text[WHY_BYTES];
    if (store->failed)
        return;
    snprintf(text, sizeof(text), "%s failed (%s): nothing more is accepted", what, strerror(-error));
    store->failed = true;
    diag(DIAG_ERROR, "partition", "the disk failed: nothing more is accepted", DIAG_KS("what", what),
         DIAG_KS("error", strerror(-error)));
    if (store->events.on_failed)
        store->events.on_failed(store->events.ctx, text);
}

static void store_journal_failed(void *ctx, int error)
{
    store_fail(ctx, "a write to the journal", error);
}

/* ---- disk space ---- */

/* Free space is looked at often while something is written or wanting, seldom while the broker rests: others
 * may use the disk, and HEALTH tells. */
enum { DISK_PERIOD_MS = 1000, DISK_REST_MS = 30000 };

static void store_disk_look(struct store *store)
{
    uint64_t free_bytes, total_bytes;
    if (file_space(store->options.data_dir, &free_bytes, &total_bytes) < 0)
        return;
    store->stats.disk_free_bytes = free_bytes;
    bool full = free_bytes < store->options.disk_reserve_bytes;
    if (full && !store->disk_full)
        diag(DIAG_WARN, "partition",
             "free disk space is below disk.reserve.bytes: producing is refused, all else goes on",
             DIAG_KU("free", free_bytes));
    if (!full && store->disk_full && !store->flush_blocked && !store->checkpoint_retry)
        diag(DIAG_INFO, "partition", "there is disk space again: producing is accepted",
             DIAG_KU("free", free_bytes));
    if (full || (!store->flush_blocked && !store->checkpoint_retry))
        store->disk_full = full;
}

static bool store_disk_wanting(const struct store *store)
{
    return store->disk_full || store->flush_blocked || store->checkpoint_retry || !list_empty(&store->fenced);
}

static void store_disk_fire(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, disk_timer);
    /* What failed is tried again; if it fails again, that says so. */
    store->checkpoint_retry = false;
    flush_retry(store);
    store_disk_look(store);
    const uint64_t sequence = journal_open_sequence(store->journal);
    store->disk_rests = sequence == store->disk_sequence && !store_disk_wanting(store);
    store->disk_sequence = sequence;
    timer_start(store->timers, timer, store->disk_rests ? DISK_REST_MS : DISK_PERIOD_MS);
}

static void store_disk_turn_end(struct store *store)
{
    if (!store->disk_rests ||
        (journal_open_sequence(store->journal) == store->disk_sequence && !store_disk_wanting(store)))
        return;
    store->disk_rests = false;
    store_disk_look(store); /* the last look is long ago */
    timer_start(store->timers, &store->disk_timer, DISK_PERIOD_MS);
}

/* ---- opening ---- */

enum {
    /* A group takes the largest request and the entry headers of as many small ones as its blocks hold. */
    GROUP_BYTES_MIN = 1 << 20,
};

static uint32_t store_group_bytes(const struct store_options *options)
{
    uint64_t need = (uint64_t)options->request_bytes_max + options->request_bytes_max / 4 + 65536;
    uint64_t wanted = options->journal_group_bytes ? options->journal_group_bytes : GROUP_BYTES_MIN;
    uint64_t bytes = wanted > need ? wanted : need;
    return (uint32_t)((bytes + JOURNAL_BLOCK - 1) & ~(uint64_t)(JOURNAL_BLOCK - 1));
}

static int store_check_options(const struct store_options *o, char *why)
{
    uint64_t group = store_group_bytes(o);
    if (group * 2 + JOURNAL_BLOCK > o->journal_file_bytes) {
        snprintf(why, WHY_BYTES,
                 "journal.file.bytes (%" PRIu64 ") must hold two commits of the largest request (%" PRIu64
                 " bytes): raise it, or lower frame.bytes.max",
                 o->journal_file_bytes, group);
        return -EINVAL;
    }
    if (o->tail_bytes_max < 8 * (uint64_t)o->batch_bytes_max) {
        snprintf(why, WHY_BYTES,
                 "tails.bytes (%" PRIu64 ") must be at least eight times batch.bytes.max (%u)",
                 o->tail_bytes_max, o->batch_bytes_max);
        return -EINVAL;
    }
    return 0;
}

static void store_count(struct store *store, struct store_report *report)
{
    report->topics = store->topic_count - store->internal_topics;
    report->partitions = store->partition_count - store->internal_partitions;
    memcpy(report->broker_id, store->broker_id, sizeof(report->broker_id));
}

void store_init_lists(struct store *store)
{
    struct list *lists[] = { &store->woken,       &store->dirty,         &store->clean,
                             &store->flush_queue, &store->unsynced,      &store->removals,
                             &store->removed,     &store->history_queue, &store->mend_queue,
                             &store->fenced,      &store->open_segments };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_init(lists[i]);
}

int store_open(struct store **out, const struct store_options *options, struct io *io, struct work *work,
               struct timers *timers, struct clock *clock, const struct store_events *events,
               struct store_report *report, char *why)
{
    int result = store_check_options(options, why);
    if (result)
        return result;
    struct store *store = mem_zalloc(MEM_PARTITION, sizeof(*store));
    store->options = *options;
    store->io = io;
    store->work = work;
    store->timers = timers;
    store->clock = clock;
    store->events = *events;
    store_init_lists(store);
    store->producers = producers_create(options->producers_max);
    duplicates_open(store);
    catalog_init(store);
    timer_init(&store->disk_timer, store_disk_fire);
    retention_init(store);
    duplicates_init(store);
    *report = (struct store_report){ 0 };

    uint64_t started = clock->mono_ns;
    char path[LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/journal", options->data_dir);
    const struct journal_options journal = {
        .dir = path,
        .file_bytes = options->journal_file_bytes,
        .files_min = 2,
        .files_max = options->journal_files_max,
        .group_bytes = store_group_bytes(options),
        .writes_max = options->journal_writes_max,
        .timers = timers,
    };
    const struct journal_events journal_events = { store, store_journal_durable, store_journal_room,
                                                   store_journal_failed };
    result = store_recover(store, &journal, &journal_events, report, why);
    if (result) {
        store_destroy(store);
        return result;
    }
    clock_update(clock);
    report->milliseconds = (clock->mono_ns - started) / 1000000;
    store_count(store, report);
    store_disk_look(store);
    timer_start(timers, &store->disk_timer, DISK_PERIOD_MS);
    retention_start(store);
    *out = store;
    return 0;
}

void store_reload(struct store *store, const struct store_options *options)
{
    store->options.topic_defaults = options->topic_defaults;
    store->options.rules = options->rules;
    store->options.partitions_default = options->partitions_default;
    store->options.topics_max = options->topics_max;
    store->options.partitions_max = options->partitions_max;
    store->options.tail_bytes_max = options->tail_bytes_max;
    store->options.history_bytes_max = options->history_bytes_max;
    store->options.disk_reserve_bytes = options->disk_reserve_bytes;
    store->options.flush_writes_max = options->flush_writes_max;
    store->options.dedupe_memory = options->dedupe_memory;
    dedupe_limit(store->dedupe, options->dedupe_memory);
    retention_start(store);
}

/* ---- the turn ---- */

/* Tails are full of what is not on disk yet, and the chunks that are full do not suffice: a few of the oldest
 * go, then, when those are written, a few more; all at once would be a storm of small writes. */
static void store_relieve(struct store *store)
{
    enum { RELIEF_STEP = 16 };
    if (store->tail_dirty_bytes < store->options.tail_bytes_max / 4 * 3 || !list_empty(&store->flush_queue) ||
        store->flush_writes || store->segments_opening)
        return;
    bool hard = store->tail_dirty_bytes > store->options.tail_bytes_max / 10 * 9;
    uint32_t relieved = 0, looked = 0;
    LIST_FOR_EACH_SAFE (node, &store->dirty) {
        if (relieved == RELIEF_STEP || ++looked > 16 * RELIEF_STEP)
            return;
        struct partition *p = CONTAINER_OF(node, struct partition, dirty_link);
        struct chunk *c = partition_chunk(p, p->chunk_end - 1);
        list_remove(&p->dirty_link);
        list_append(&store->dirty, &p->dirty_link);
        if (p->durable != p->end || c->closed)
            continue;
        if (block_floor(c->used) > c->write_from)
            tail_close_idle(p);
        else if (hard)
            partition_roll(p); /* less than a block: only a segment's end can be written */
        else
            continue;
        relieved++;
        flush_enqueue(p);
    }
}

static void store_wake(struct store *store)
{
    while (!list_empty(&store->woken)) {
        struct partition *p = CONTAINER_OF(list_pop(&store->woken), struct partition, woken_link);
        p->refs++;
        partition_wake_all(p);
        partition_unref(p);
    }
}

void store_turn_end(struct store *store)
{
    duplicates_turn_end(store); /* before a checkpoint could see what was not appended */
    rebase_pump(store);
    reclaim_pump(store);
    /* Before the journal write, so that what reclaiming copied goes with this turn's group. */
    if (!journal_failed(store->journal))
        journal_submit(store->journal);
    tail_evict(store);
    store_relieve(store);
    flush_pump(store);
    removals_pump(store);
    history_pump(store); /* readers gave memory back */
    if (!store->stopping && !store->failed) {
        store_disk_turn_end(store);
        retention_turn_end(store);
    }
    store_wake(store);
    /* Only once there is room: who is told so for nothing asks again, and the loop would turn without end. */
    if (store->tail_room_wanted &&
        store->tail_dirty_bytes + store->tail_room_wanted <= store->options.tail_bytes_max) {
        store->tail_room_wanted = 0;
        store->room_wanted = true;
    }
    if (store->room_wanted && !store->failed) {
        store->room_wanted = false;
        if (store->events.on_room)
            store->events.on_room(store->events.ctx);
    }
    if (store->stopping && !store->closing && !store->failed && store->durable.head == store->durable.tail &&
        journal_idle(store->journal) && !store->checkpoint) {
        store->closing = true;
        journal_close_clean(store->journal);
    }
}

bool store_busy(const struct store *store)
{
    return !journal_idle(store->journal) || store->flush_writes || store->history_running ||
           store->checkpoint;
}

bool store_history_waiting(const struct store *store)
{
    return !list_empty(&store->history_queue);
}

bool store_room(struct store *store, enum journal_class class, uint32_t batches, uint32_t bytes)
{
    if (class == JOURNAL_NORMAL && store->tail_dirty_bytes + bytes > store->options.tail_bytes_max) {
        store->tail_room_wanted = bytes;
        return false;
    }
    return journal_room(store->journal, class, batches,
                        bytes + batches * (uint32_t)sizeof(struct journal_batches));
}

enum error store_accepts(const struct store *store, char *why)
{
    if (store->failed) {
        snprintf(why, WHY_BYTES,
                 "the disk failed; nothing more is accepted: check it, then restart the broker");
        return ERR_STORAGE_FAILED;
    }
    if (store->stopping) {
        snprintf(why, WHY_BYTES, "the broker is stopping: connect again later");
        return ERR_SHUTTING_DOWN;
    }
    if (store->disk_full) {
        snprintf(why, WHY_BYTES,
                 "the disk of %s is full (%" PRIu64
                 " bytes free): free space or shorten retention; consumers go on",
                 store->options.data_dir, store->stats.disk_free_bytes);
        return ERR_DISK_FULL;
    }
    return ERR_OK;
}

uint64_t store_sequence(const struct store *store)
{
    return journal_open_sequence(store->journal);
}

uint64_t store_durable_sequence(const struct store *store)
{
    return journal_durable_sequence(store->journal);
}

int64_t store_producer_id(struct store *store)
{
    /* The epoch is durable and drawn anew at each start, so no id is ever given twice. */
    return ((int64_t)(store->leader_epoch & INT32_MAX) << 31) | (int64_t)(store->producer_next++ & INT32_MAX);
}

uint32_t store_leader_epoch(const struct store *store)
{
    return store->leader_epoch;
}

/* ---- stopping ---- */

void store_stop(struct store *store)
{
    store->stopping = true;
    retention_stop(store);
    duplicates_stop(store);
    timer_stop(store->timers, &store->disk_timer);
}

bool store_stopped(const struct store *store)
{
    bool quiet = !store->flush_writes && !store->segments_opening && !store->history_running &&
                 !store->removals_running && !store->checkpoint;
    /* Also of a journal that failed: its other write, or the making of a file, may still be under way. */
    return quiet && journal_idle(store->journal) && (store->failed || store->closing);
}

void store_destroy(struct store *store)
{
    if (!store->offline) {
        timer_stop(store->timers, &store->disk_timer);
        retention_stop(store);
        duplicates_stop(store);
    }
    flush_close_descriptors(store);
    while (store->durable.head < store->durable.tail)
        partition_unref(store->durable.ring[store->durable.head++ & (store->durable.room - 1)].partition);
    mem_free(MEM_PARTITION, store->durable.ring, store->durable.room * sizeof(*store->durable.ring));
    catalog_destroy(store);
    duplicates_close(store);
    producers_destroy(store->producers);
    removals_destroy(store);
    history_destroy(store);
    if (store->journal)
        journal_destroy(store->journal);
    packer_free(&store->packer, false);
    mem_free(MEM_PARTITION, store, sizeof(*store));
}

/* ---- figures ---- */

const struct store_stats *store_stats(struct store *store)
{
    struct store_stats *s = &store->stats;
    s->topics = store->topic_count;
    s->partitions = store->partition_count;
    s->producers = producers_count(store->producers);
    s->tail_bytes = store->tail_bytes;
    s->tail_dirty_bytes = store->tail_dirty_bytes;
    s->disk_full = store->disk_full;
    s->leader_epoch = store->leader_epoch;
    return s;
}

const struct dedupe_stats *store_dedupe_stats(const struct store *store)
{
    return dedupe_stats(store->dedupe);
}

const struct journal_stats *store_journal_stats(const struct store *store)
{
    return journal_stats(store->journal);
}
