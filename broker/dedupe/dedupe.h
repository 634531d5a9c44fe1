/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/dedupe.h: which event ids were published lately, exactly.
 *
 * A window belongs to one topic, all its partitions together, and knows the ids published since some time. An
 * entry is 40 bytes: a 128-bit hash of the id, a 64-bit one of key and payload, and where and when the event
 * was stored. Entries stand in a queue, oldest first; an index leads from the hash to the entry.
 *
 *        files (immutable)          memory only
 *   |----|--------|-----------|.....................|........|
 *   ^ first: expires next     ^ saved               ^        ^ end
 *                                                   noted, but not appended yet
 *
 * What was noted stays noted until it has expired: when all windows together have dedupe.memory, a new id is
 * refused and no old one forgotten. Notes of a request that is refused after all are taken back
 * (dedupe_settle()).
 *
 * Hashes are keyed with a secret drawn for each data directory, so nobody can make ids that collide; by
 * chance two of 10^12 ids do once in 10^14 cases.
 *
 * Persistent are the state in the checkpoint (dedupe_save_begin()), files of entries that it lists, and the
 * journal: the ids in batches appended since are read again (dedupe_replay()). Format: docs/log-format.md.
 * One thread: the shard's; but for dedupe_save_run().
 */
#ifndef RUNNEL_DEDUPE_DEDUPE_H
#define RUNNEL_DEDUPE_DEDUPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "proto/batch.h"

enum {
    DEDUPE_ID_BYTES = 60, /* what an id counts as: its entry, and its part of an index filled to two fifths */
    DEDUPE_WINDOW_BYTES =
        32768, /* what a window with any id counts as beyond that: what it allocates at once */
    DEDUPE_PARTITIONS_MAX = 1 << 20,
    DEDUPE_PATH_BYTES = 4096,
    DEDUPE_WHY_BYTES = 256,
};

/* What of an event decides whether it is another's duplicate. */
struct dedupe_key {
    uint64_t hash[2]; /* of the id */
    uint64_t content; /* of key and payload */
};

struct dedupe_place {
    uint64_t offset;
    uint32_t partition;
};

#define DEDUPE_STATS(X)                                                                                      \
    X(windows, STAT_GAUGE, "topics with a duplicate window")                                                 \
    X(ids, STAT_GAUGE, "event ids remembered")                                                               \
    X(bytes, STAT_GAUGE, "memory that they count as, of dedupe.memory")                                      \
    X(duplicates, STAT_COUNTER, "events that had been published before")                                     \
    X(conflicts, STAT_COUNTER, "events refused: their id was published with another key or payload")         \
    X(full, STAT_COUNTER, "requests refused because dedupe.memory was used up")                              \
    X(expired, STAT_COUNTER, "event ids forgotten when their time was over")                                 \
    X(files, STAT_GAUGE, "files of event ids")                                                               \
    X(lost, STAT_GAUGE, "windows that lack ids because a file was damaged")

struct dedupe_stats {
    DEDUPE_STATS(STAT_FIELD)
};

struct dedupe;
struct dedupe_window;

/* ---- all windows ---- */

/* `dir` is where the files are, lent; made when the first is written. */
struct dedupe *dedupe_create(const char *dir, uint64_t memory_max);
/* All windows are closed. */
void dedupe_destroy(struct dedupe *all);
void dedupe_limit(struct dedupe *all, uint64_t memory_max);
/* A moment for expiry, at most some thousand ids; true: more are due. */
bool dedupe_turn(struct dedupe *all, int64_t now_ms);
/* What was noted since the last call is kept, or taken back. */
void dedupe_settle(struct dedupe *all, bool keep);
bool dedupe_unsettled(const struct dedupe *all);
struct dedupe_stats *dedupe_stats(struct dedupe *all);

/* ---- one window ---- */

/* Ids count for `window_ms`; the topic's id is never used again. */
struct dedupe_window *dedupe_open(struct dedupe *all, uint64_t topic_id, int64_t window_ms);
/* Forgets everything. */
void dedupe_close(struct dedupe_window *w);
void dedupe_set_window(struct dedupe_window *w, int64_t window_ms);
/* Ids below `offset` are no concern of dedupe_replay(): they are known, or were published while there was no
 * window. Only moves up. */
void dedupe_appended(struct dedupe_window *w, uint32_t partition, uint64_t offset);

enum dedupe_verdict {
    DEDUPE_NEW,       /* noted: unsettled */
    DEDUPE_DUPLICATE, /* *place is the original's */
    DEDUPE_CONFLICT,  /* the same id, but another key or payload; *place is the original's */
    DEDUPE_FULL,
};
/* Asks for `count` keys in turn (at most DEDUPE_BLOCK), which would be stored at *places; stops at the first
 * DEDUPE_FULL. Returns how many were answered. */
enum { DEDUPE_BLOCK = 64 };
uint32_t dedupe_ask(struct dedupe_window *w, int64_t now_ms, const struct dedupe_key *keys, uint32_t count,
                    struct dedupe_place *places, enum dedupe_verdict *verdicts);
/* Ids of a damaged file would be in the window until then; 0: none are missing. */
int64_t dedupe_lost_until(const struct dedupe_window *w);
/* Recovery: an id in the journal, stored at `place` at that time. */
void dedupe_replay(struct dedupe_window *w, const struct dedupe_key *key, const struct dedupe_place *place,
                   int64_t time_ms);

/* ---- ids in batches ---- */

/* One event of a batch. */
struct dedupe_event {
    struct bytes id; /* at NULL: it has none */
    struct dedupe_key key;
};
/* Its id is the value of its header `ce_id`, the first one; an empty one is none. */
void dedupe_event(const struct dedupe *all, const struct record *record, struct dedupe_event *out);

/* ---- the checkpoint's part ---- */

struct dedupe_save;
/* The state as of now, given to `put` piece by piece. What it says must be durable before the checkpoint is.
 */
struct dedupe_save *dedupe_save_begin(struct dedupe *all, void (*put)(void *ctx, const void *at, uint32_t n),
                                      void *ctx);
/* On a worker, before the checkpoint is written: writes the files that it lists. 0 or a negative errno. */
int dedupe_save_run(struct dedupe_save *save);
/* On the worker, when the checkpoint is durable: removes the files that none lists any more. */
void dedupe_save_tidy(struct dedupe_save *save);
/* On the loop: `saved`: a checkpoint with this state is durable. */
void dedupe_save_end(struct dedupe_save *save, bool saved);

/* Start-up. Fills the windows that are open; files of others are left out. A damaged file is left out too:
 * dedupe_lost_until() of its window, and `finding` is told (NULL: nobody). 0; -EBADMSG: the state makes no
 * sense; or a negative errno with a sentence in `why`. Blocking. */
int dedupe_load(struct dedupe *all, const uint8_t *state, uint64_t bytes,
                void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx,
                char *why);
/* Start-up, after that: removes files that nobody lists. Blocking. */
void dedupe_tidy(struct dedupe *all);

#endif
