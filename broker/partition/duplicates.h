/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/duplicates.h: events whose ids were published before, found before a batch is appended.
 *
 * Only topics with a duplicate window (dedupe.window) are asked; events without an id, and what the broker
 * itself appends (dead letters, records of its own), pass. A batch with an event that was published before is
 * not stored at all: the answer says which events those are and where they are stored, and whoever sent it
 * sends the others again. So what is stored is what was sent, offsets have no gaps, and a producer's
 * sequences need no exceptions.
 */
#ifndef RUNNEL_PARTITION_DUPLICATES_H
#define RUNNEL_PARTITION_DUPLICATES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/errors.h"

struct partition;
struct store;

enum {
    DUPLICATES_EVENTS_MAX = 65536, /* events of one request that are looked at */
    DUPLICATES_SAME_BATCH =
        UINT32_MAX, /* `partition` of a row: the original is event `offset` of this batch */
};

struct duplicate_row {
    uint32_t event;     /* in the batch, from 0 */
    uint16_t code;      /* ERR_DEDUPE_DUPLICATE; ERR_DEDUPE_CONFLICT: with another key or payload */
    uint32_t partition; /* the original's */
    uint64_t offset;
};

/* What the last duplicates_check() found. */
struct duplicates {
    const struct duplicate_row *rows; /* by event; lent until the next call */
    uint32_t count;
    uint64_t sequence; /* true for good once this journal sequence is durable */
};

/* Before the batches of a request are checked; and when it is refused: takes back what was noted. */
void duplicates_begin(struct store *store);
/* Notes the ids of a batch that partition_check() accepted and partition_append() is to take before the turn
 * ends, in the state that it is now. ERR_OK; ERR_DEDUPE_DUPLICATE or _CONFLICT, with duplicates_found();
 * ERR_DEDUPE_FULL, ERR_DEDUPE_LOST, or what is wrong with the batch. Then the request is refused. `why`: 256
 * bytes. */
enum error duplicates_check(struct partition *p, const struct batch *batch, char *why);
struct duplicates duplicates_found(const struct store *store);

#endif
