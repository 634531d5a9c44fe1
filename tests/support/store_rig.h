/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/store_rig.h: a store with its ring, workers, timers and clock, for tests; runs on the real io
 * room or on the simulated one.
 *
 * Events carry their own truth: the value of the event at offset o of (topic, partition) is
 * "topic/partition/o/" and a filler whose length and bytes follow from those, so a reader needs no list of
 * what was written to know that every byte is right.
 */
#ifndef RUNNEL_TESTS_STORE_RIG_H
#define RUNNEL_TESTS_STORE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "partition/catalog.h"
#include "partition/partition.h"
#include "partition/store.h"

struct rig {
    char dir[256];
    struct store_options options;
    struct io *io;
    struct work *work;
    struct timers *timers;
    struct clock clock;
    struct store *store;
    struct store_report report;
    uint64_t durable_sequence;
    bool failed;
    char why[512];
};

/* A rig on `dir` with small sizes (journal of 4 files of 1 MiB, chunks and budgets to match); nothing is open
 * yet. */
void rig_init(struct rig *rig, const char *dir);
/* A new directory under $TMPDIR (or /var/tmp: not a memory file system), removed by rig_remove(). */
void rig_temp_dir(char *out);
void rig_remove(const char *dir);
/* Opens ring and store; returns store_open()'s result. */
int rig_open(struct rig *rig);
/* One turn of the loop, waiting up to 10 ms. */
void rig_turn(struct rig *rig);
/* Turns until everything added is durable. */
void rig_settle(struct rig *rig);
/* Orderly end; or as if the process had died: nothing is written, descriptors and memory are dropped as far
 * as they can be. */
void rig_close(struct rig *rig);

struct topic *rig_topic(struct rig *rig, const char *name, uint32_t partitions);
/* Builds the batch that belongs at `offset`: `count` events of about `bytes` each. Returns its bytes. */
uint32_t rig_batch(uint8_t *out, uint32_t room, const struct partition *p, uint64_t offset, uint32_t count,
                   uint32_t bytes, int64_t timestamp_ms);
/* Appends that batch when there is room (turning until there is); returns the base offset. */
uint64_t rig_append(struct rig *rig, struct partition *p, uint32_t count, uint32_t bytes);
/* Reads [from, end) and fails the test at the first event that is not what belongs there. Returns how many
 * events. */
uint64_t rig_verify(struct rig *rig, struct partition *p, uint64_t from);

#endif
