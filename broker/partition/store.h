/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/store.h: everything durable of one shard: catalogue, partitions, journal, segments, checkpoint;
 * and their recovery.
 *
 * The room's face: those above include this file, partition.h, catalog.h and settings.h.
 *
 * What happens to a batch: partition_append() checks and orders it and copies it into the partition's tail
 * (memory) and into the journal's open group; store_turn_end() starts the group's write; when it is durable,
 * the partitions' durable ends advance, their waiters wake and on_durable() tells whoever holds
 * acknowledgements. Later the flusher writes full chunks of tails to segments, and the reclaimer makes
 * journal files reusable.
 *
 * Blocking only in store_open(). One thread: the shard's.
 */
#ifndef RUNNEL_PARTITION_STORE_H
#define RUNNEL_PARTITION_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "dedupe/dedupe.h"
#include "journal/journal.h"
#include "partition/rules.h"
#include "partition/settings.h"
#include "proto/errors.h"

struct clock;
struct io;
struct store;
struct store_state;
struct timers;
struct work;

struct store_options {
    const char *data_dir;
    struct topic_settings topic_defaults;
    const struct topic_rules *rules; /* of new topics; NULL: none. Lent until store_reload() or the end */
    uint32_t partitions_default;
    uint32_t topics_max, partitions_max; /* in all, without internal ones */
    uint32_t topic_partitions_max;       /* of one topic: 1,024 */
    uint32_t batch_bytes_max;            /* upper limit of max.message.bytes */
    uint32_t request_bytes_max;          /* of one atomic request: fits a commit, checked at start */
    uint32_t producers_max;              /* remembered (producer, partition) pairs */
    uint64_t tail_bytes_max;             /* memory for tails */
    uint64_t history_bytes_max;          /* memory for catch-up reads */
    uint64_t dedupe_memory;              /* memory for event ids of duplicate windows */
    uint64_t disk_reserve_bytes;         /* below so much free space producing is refused */
    uint64_t journal_file_bytes;
    uint32_t journal_files_max;
    uint32_t journal_group_bytes; /* 0: derived from request_bytes_max */
    uint32_t journal_writes_max;
    uint32_t flush_writes_max;        /* segment writes in flight */
    const struct store_state *states; /* of other rooms (state.h); lent as long as the store lives */
    uint32_t state_count;
};

struct store_events {
    void *ctx;
    /* All journal sequences up to this one are durable: acknowledgements that waited for them may go out. */
    void (*on_durable)(void *ctx, uint64_t sequence);
    /* store_room() had said no, and may say yes now. */
    void (*on_room)(void *ctx);
    /* The journal failed, for good: nothing is accepted or acknowledged any more. */
    void (*on_failed)(void *ctx, const char *text);
};

struct store_report {
    struct journal_report journal;
    bool fresh;                  /* a new data directory */
    uint32_t topics, partitions; /* without internal ones */
    uint32_t damaged;
    uint64_t milliseconds;
    uint8_t broker_id[16];
};

#define STORE_STATS(X)                                                                                       \
    X(batches_in, STAT_COUNTER, "batches accepted")                                                          \
    X(events_in, STAT_COUNTER, "events accepted")                                                            \
    X(bytes_in, STAT_COUNTER, "bytes of batches accepted")                                                   \
    X(duplicates, STAT_COUNTER, "batches that a producer had sent before")                                   \
    X(topics, STAT_GAUGE, "topics, internal ones included")                                                  \
    X(partitions, STAT_GAUGE, "partitions, internal ones included")                                          \
    X(producers, STAT_GAUGE, "(producer, partition) pairs remembered")                                       \
    X(tail_bytes, STAT_GAUGE, "memory in tails")                                                             \
    X(tail_dirty_bytes, STAT_GAUGE, "memory in tails that is not in segments yet")                           \
    X(tail_pinned, STAT_GAUGE, "tail slices lent to readers")                                                \
    X(flush_writes, STAT_COUNTER, "segment writes")                                                          \
    X(flush_bytes, STAT_COUNTER, "bytes written to segments")                                                \
    X(flush_failures, STAT_COUNTER, "segment writes that failed")                                            \
    X(rebases, STAT_COUNTER, "fresh segments begun because a write to one failed")                           \
    X(forwarded_bytes, STAT_COUNTER, "bytes of small tails copied forward in the journal")                   \
    X(checkpoints, STAT_COUNTER, "checkpoints written")                                                      \
    X(segments_created, STAT_COUNTER, "segments started")                                                    \
    X(segments_deleted, STAT_COUNTER, "segments deleted by retention or with their topic")                   \
    X(history_reads, STAT_COUNTER, "catch-up reads from segments")                                           \
    X(history_bytes, STAT_COUNTER, "bytes given out by catch-up reads")                                      \
    X(damaged_segments, STAT_GAUGE, "segments set aside because of damage")                                  \
    X(disk_full, STAT_GAUGE, "1 while producing is refused for lack of disk space")                          \
    X(disk_free_bytes, STAT_GAUGE, "free space when last looked at")                                         \
    X(leader_epoch, STAT_GAUGE, "raised at each unclean start")

struct store_stats {
    STORE_STATS(STAT_FIELD)
};

/* Opens or makes the data directory's contents and recovers them; blocking. On failure a negative errno and a
 * sentence in `why` (512 bytes). The caller holds the directory's lock. */
int store_open(struct store **out, const struct store_options *options, struct io *io, struct work *work,
               struct timers *timers, struct clock *clock, const struct store_events *events,
               struct store_report *report, char *why);
/* What can change at run time: limits and defaults; sizes of the journal do not. */
void store_reload(struct store *store, const struct store_options *options);

/* The end of each turn: starts journal and segment writes, reclaims, wakes waiters. */
void store_turn_end(struct store *store);
/* False when nothing of the store's is in flight or due: the loop may sleep without spinning. */
bool store_busy(const struct store *store);

/* True while reads of segments wait for memory that readers hold (options.history_bytes_max). */
bool store_history_waiting(const struct store *store);

/* May `batches` batches (or catalogue changes) of `bytes` in all be added now, into one commit? False: wait
 * for on_room(). Larger than request_bytes_max never fits: refuse by name. */
bool store_room(struct store *store, enum journal_class class, uint32_t batches, uint32_t bytes);
/* Why producing is refused just now (ERR_DISK_FULL, ERR_STORAGE_FAILED, ERR_SHUTTING_DOWN), or ERR_OK. `why`:
 * 256 bytes. */
enum error store_accepts(const struct store *store, char *why);
/* The journal sequence of what is added now. */
uint64_t store_sequence(const struct store *store);
/* Everything up to this sequence is durable. */
uint64_t store_durable_sequence(const struct store *store);

/* A producer id never given out before. */
int64_t store_producer_id(struct store *store);
uint32_t store_leader_epoch(const struct store *store);

/* Stopping, in two steps: store_stop() refuses further appends and, once all are durable, closes the journal;
 * store_stopped() tells when nothing is in flight. Then store_destroy(). */
void store_stop(struct store *store);
bool store_stopped(const struct store *store);
void store_destroy(struct store *store);

const struct store_stats *store_stats(struct store *store);
const struct dedupe_stats *store_dedupe_stats(const struct store *store);
const struct journal_stats *store_journal_stats(const struct store *store);

/* Checks a data directory offline: journal, checkpoint, every segment. Calls `finding` for each damage.
 * Returns their number, or a negative errno with a sentence in `why`. `bytes` and `batches` count what was
 * checked. */
int store_verify(const char *data_dir,
                 void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx,
                 void (*progress)(void *ctx, const char *file), uint64_t *bytes, uint64_t *batches,
                 char *why);

#endif
