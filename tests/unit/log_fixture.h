/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments made of seeded random batches, with a model of what is in them: for the tests of the log room.
 */
#ifndef RUNNEL_TESTS_LOG_FIXTURE_H
#define RUNNEL_TESTS_LOG_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "log/log.h"

enum { FIXTURE_BATCHES_MAX = 4096, FIXTURE_PATH = 512 };

struct fixture_batch {
    uint64_t position, base, end;
    uint32_t bytes;
    int64_t max_timestamp_ms;
};

/* What to make. Zero fields: sensible small ones. */
struct fixture_plan {
    uint64_t seed, base_offset;
    uint32_t batches;
    uint32_t value_max; /* bytes of a record's value, at most */
    uint32_t big_every; /* every so many batches one of big_bytes */
    uint32_t big_bytes;
    uint32_t extent_blocks_max; /* extents of 1..n blocks */
    bool gaps;                  /* offsets with gaps between batches */
    bool sealed;                /* otherwise cut at a block, the last batch possibly with it */
    bool memory;                /* files in /dev/shm where there is one: many times faster */
};

struct fixture {
    char root[FIXTURE_PATH], dir[FIXTURE_PATH];
    struct log_id id;
    struct log_segment segment;
    uint8_t *bytes; /* the .log as it should be */
    struct log_extent *extents;
    uint32_t extent_count;
    struct fixture_batch batches[FIXTURE_BATCHES_MAX];
    uint32_t batch_count; /* those that are wholly there */
    uint64_t rng;
    uint32_t gap_at[FIXTURE_BATCHES_MAX];
};

uint32_t fixture_random(struct fixture *f);
/* The model alone: no files, no directory. */
struct fixture *fixture_build(const struct fixture_plan *plan);
void fixture_forget(struct fixture *f);
/* Makes the segment in a fresh temporary directory; entries of the first `indexed` extents in its index (all:
 * UINT32_MAX). */
struct fixture *fixture_make(const struct fixture_plan *plan, uint32_t indexed);
void fixture_free(struct fixture *f);
/* The model's answer: number of the batch that holds `offset`, or of the next one; batch_count: none. */
uint32_t fixture_find(const struct fixture *f, uint64_t offset);
void fixture_path(const struct fixture *f, char *out, const char *suffix);
/* Changes a file behind the room's back. */
void fixture_flip(const struct fixture *f, const char *suffix, uint64_t position, uint8_t mask);
void fixture_resize(const struct fixture *f, const char *suffix, uint64_t bytes);
uint64_t fixture_size(const struct fixture *f, const char *suffix);
/* Reads at `offset` as the broker does: again with the buffer asked for. Frees nothing: *buffer is the
 * caller's to give back with fixture_buffer_free(). */
int fixture_read(const struct fixture *f, struct log_read *read, uint64_t offset, uint32_t buffer_bytes);
void fixture_read_free(struct log_read *read);
/* A successful read's bytes are exactly the model's. */
void fixture_expect(const struct fixture *f, const struct log_read *read);

#endif
