/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/partition.h: one partition: ordering, what readers may see, and reading.
 *
 *   start          durable                end
 *     |---- segments ----|---- tail (memory) ----|
 *     ^ oldest kept      ^ readers see up to here (the high watermark)
 *                                     ^ next offset to give out
 *
 * Invariants: start <= durable <= end. A reader never sees an offset at or above `durable`. Offsets in
 * [start, end) have no gaps but those of batches that rules made smaller.
 */
#ifndef RUNNEL_PARTITION_PARTITION_H
#define RUNNEL_PARTITION_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/work.h"
#include "log/log.h"
#include "proto/batch.h"
#include "proto/errors.h"

struct partition;
struct store;
struct topic;

/* ---- what it is ---- */

struct topic *partition_topic(const struct partition *p);
uint32_t partition_number(const struct partition *p);
uint64_t partition_start(const struct partition *p);
/* The durable end (high watermark): what readers see. */
uint64_t partition_end(const struct partition *p);
/* The next offset to be given out; at or above the durable end. */
uint64_t partition_next(const struct partition *p);
/* Bytes stored and segments, memory included. */
uint64_t partition_bytes(const struct partition *p);
uint32_t partition_segments(const struct partition *p);
/* Running maximum of record timestamps; -1 when empty. */
int64_t partition_max_timestamp(const struct partition *p);
/* When the last batch was appended (wall ms); -1: never. */
int64_t partition_append_ms(const struct partition *p);
bool partition_fenced(const struct partition *p);
bool partition_damaged(const struct partition *p);

/* ---- appending ---- */

struct append_result {
    uint64_t base_offset;
    bool duplicate;    /* sent before: base_offset is the original's */
    uint64_t sequence; /* acknowledge once this journal sequence is durable */
};

/* What would partition_append() say? Checks everything: size, timestamps, producer's sequence, fencing.
 * ERR_OK or the error, with a sentence in `why` (256 bytes). `batch` has passed batch_check(). Requests with
 * several batches check all before appending any. */
enum error partition_check(struct partition *p, const struct batch *batch, char *why);
/* The same for what stands in its events, where the topic demands something of them; batches of the broker's
 * own making go without. Opens compressed batches. */
enum error partition_check_contents(struct partition *p, const struct batch *batch, char *why);
/* Appends a batch that partition_check() accepted, into room that store_room() granted. */
void partition_append(struct partition *p, const struct batch *batch, struct append_result *out);

/* ---- reading ---- */

/* Bytes lent to a reader: whole batches, contiguous. Give back with slice_release(). */
struct slice {
    const uint8_t *data;
    uint32_t bytes;
    void *pin; /* opaque */
};

/* Where a reader stands; zero-initialise it but for the offset. */
struct cursor {
    uint64_t offset; /* next offset wanted */
    uint64_t hint_chunk;
    uint32_t hint_at;
};

enum read_result {
    READ_DATA,    /* *out holds batches; the cursor stands behind them */
    READ_END,     /* nothing there yet: wait */
    READ_HISTORY, /* not in memory: history_start() */
    READ_BELOW,   /* the offset is below the start */
    READ_ABOVE,   /* the offset is above the end */
    READ_GONE,    /* the topic was deleted */
};

/* Lends up to `bytes_max` bytes of batches from memory, at least one batch whatever its size. The first one
 * may begin before cursor->offset. */
enum read_result partition_read(struct partition *p, struct cursor *cursor, uint32_t bytes_max,
                                struct slice *out);
void slice_release(struct store *store, struct slice *slice);

/* Woken once, when the durable end moved, or the partition is gone. The handler runs in store_turn_end() and
 * may wait again. */
struct waiter {
    struct list link;
    void (*wake)(struct waiter *waiter);
};
void waiter_init(struct waiter *waiter, void (*wake)(struct waiter *));
void partition_wait(struct partition *p, struct waiter *waiter);
void waiter_cancel(struct waiter *waiter);

/* ---- history ---- */

/* One read from segments, on a worker; the owner keeps it until done(), also when it lost interest. Waits its
 * turn when the memory for history is lent out. */
struct history_read {
    struct work_job job;
    struct list link;
    struct store *store;
    struct partition *partition;
    struct log_read read;
    struct log_extent extents[16];
    char dir[LOG_PATH_BYTES];
    uint32_t bytes_wanted;
    uint8_t *carry, *rest;  /* owned: what the read before left over, and what this one does */
    int64_t max_before_ms;  /* running maximum of timestamps before the segment */
    bool may_rebuild;       /* a damaged index may be made anew */
    bool may_repair;        /* the same, of a segment that is still written, */
    struct log_extent last; /* whose index ends with this extent */
    bool mending;           /* has its turn to do so, */
    bool mended;            /* or had it */
    bool rebuilt;
    bool set_aside; /* not all of the .log could be proven right */
    char damage[LOG_WHY_BYTES];
    bool busy;
    /* result */
    enum error
        error; /* ERR_OK; ERR_OFFSET_OUT_OF_RANGE: deleted meanwhile, look again; ERR_SEGMENT_CORRUPT */
    struct slice slice;
    uint64_t next_offset;
    void (*done)(struct history_read *read);
};
/* Reads whole batches from the one that holds `offset` on, about `bytes_max` of them. done() is called later,
 * in a loop turn. */
void history_start(struct history_read *read, struct partition *p, uint64_t offset, uint32_t bytes_max,
                   void (*done)(struct history_read *));

/* ---- looking up times ---- */

struct time_lookup {
    struct work_job job;
    struct store *store;
    struct partition *partition;
    int64_t timestamp_ms;
    uint64_t searched; /* offsets below are known not to be it */
    int result;
    struct log_segment segment;
    struct log_extent extents[16];
    uint32_t extent_count;
    char dir[LOG_PATH_BYTES];
    char why[LOG_WHY_BYTES];
    bool busy;
    /* result: the first event at or after the time; none: the end offset and -1 */
    enum error error;
    uint64_t offset;
    int64_t found_ms;
    void (*done)(struct time_lookup *lookup);
};
void time_lookup_start(struct time_lookup *lookup, struct partition *p, int64_t timestamp_ms,
                       void (*done)(struct time_lookup *));

#endif
