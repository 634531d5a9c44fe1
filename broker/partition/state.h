/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/state.h: what other rooms remember: records of an internal topic, and a snapshot of what they
 * came to in every checkpoint.
 *
 * A room appends each change as a record to its internal topic (partition_append() on
 * store_state_partition()), so that it is durable with whatever else is in the same commit. At a start it is
 * given the newest checkpoint's snapshot and then every record appended since, in order, each once: start-up
 * costs the journal's size, never the topic's. The snapshot is also the topic's compaction: the topic keeps
 * STATE_RETENTION_BYTES for people to look at, nothing depends on it.
 *
 * A checkpoint is written only once everything that was appended before save() is durable, so what it says
 * can never be taken back by a crash. save() may include changes that the room has not appended yet, if to
 * apply their records again on top of it does no harm and they need no other record in the same commit.
 */
#ifndef RUNNEL_PARTITION_STATE_H
#define RUNNEL_PARTITION_STATE_H

#include <stdint.h>

#include "proto/batch.h"

struct partition;
struct state_sink;
struct store;

enum {
    STORE_STATES_MAX = 8,
    STATE_RETENTION_BYTES = 64 << 20,
    STATE_WHY_BYTES = 256,
};

struct store_state {
    const char *topic; /* "__groups" */
    uint32_t number;   /* below STORE_STATES_MAX, for ever this room's: the topic's id is made from it */
    void *ctx;
    /* During store_open(). 0, or a negative errno with a sentence in `why` (STATE_WHY_BYTES): the start is
     * refused. load() once, before any replay(); not at all when no checkpoint has a snapshot. Bytes are lent
     * for the call. Topics may not be looked up yet: a record may come before the creation of a topic it
     * names. */
    int (*load)(void *ctx, const uint8_t *body, uint64_t bytes, char *why);
    int (*replay)(void *ctx, const struct record *record, char *why);
    /* In store_turn_end(). */
    void (*save)(void *ctx, struct state_sink *sink);
};

/* The partition that room number `state` (its place in store_options.states) appends to. Needs
 * store_room(JOURNAL_RESERVED, ...) first. */
struct partition *store_state_partition(struct store *store, uint32_t state);
/* Adds to the snapshot. */
void state_write(struct state_sink *sink, const void *bytes, uint32_t n);

#endif
