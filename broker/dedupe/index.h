/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/index.h: which entry of a window has which hash: extendible hashing over small tables.
 *
 *   directory  [ 00 | 01 | 10 | 11 ]     by the first `bits` bits of the tag
 *                 \   /     |    |
 *   tables        depth 1   2    2       open addressing, linear probing; a slot is tag and serial
 *
 * A table has at most INDEX_SLOTS_MAX slots: growing, splitting and shrinking one takes microseconds, however
 * many entries there are, so nothing ever stalls the loop. Slots keep the whole tag, so that needs no look at
 * the entries.
 *
 * Invariants: a table is filled to at most three quarters, and to at least half while it grows, two fifths
 * while it shrinks (the smallest excepted). Sizes are 4 and 6 times a power of two: the allocator has these,
 * so nothing is lost in rounding.
 */
#ifndef RUNNEL_DEDUPE_INDEX_H
#define RUNNEL_DEDUPE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

enum {
    INDEX_SLOTS_MIN = 16,
    INDEX_SLOTS_MAX = 4096,
    INDEX_DEPTH_MAX = 20, /* the tag's other 12 bits say where in a table */
};

struct index_table {
    uint64_t *slots; /* 0: empty; else serial << 32 | tag, and a tag is never 0 */
    uint32_t count, size;
    uint8_t step; /* of `size` */
    uint8_t depth;
};

/* Zero-initialise: empty. */
struct index {
    struct index_table **tables;
    uint32_t bits;
};

/* Walks the entries with one tag. */
struct index_probe {
    struct index_table *table;
    uint32_t at, tag;
};

void index_free(struct index *index);
/* Makes room for so many entries in an empty index, so that loading grows nothing. */
void index_reserve(struct index *index, uint64_t count);
/* Adds an entry, which is not there yet: `probe` has found no further one with its tag. */
void index_add(struct index *index, const struct index_probe *probe, uint32_t serial);
/* Takes out the one that the probe found last. The probe ends. */
void index_remove(const struct index_probe *probe);
/* Bytes in use. */
uint64_t index_bytes(const struct index *index);

static inline struct index_table *index_table(const struct index *index, uint32_t tag)
{
    return index->tables[index->bits ? tag >> (32 - index->bits) : 0];
}

static inline uint32_t index_home(const struct index_table *t, uint32_t tag)
{
    return (uint32_t)((uint64_t)(tag << t->depth) * t->size >> 32);
}

/* Inlined always: GCC 12 takes a function that only prefetches for one without effect, and drops its calls.
 */
__attribute__((always_inline)) static inline void index_prefetch(const struct index *index, uint32_t tag)
{
    if (!index->tables)
        return;
    const struct index_table *t = index_table(index, tag);
    /* The place, and the line behind it: runs of full slots are some long. */
    const uint64_t *slot = &t->slots[index_home(t, tag)];
    __builtin_prefetch(slot);
    __builtin_prefetch(slot + 8);
}

static inline void index_probe_start(struct index_probe *probe, const struct index *index, uint32_t tag)
{
    *probe = (struct index_probe){ .tag = tag };
    if (!index->tables)
        return;
    probe->table = index_table(index, tag);
    probe->at = index_home(probe->table, tag) + probe->table->size - 1;
}

/* False: no further entry has the tag. */
static inline bool index_probe_next(struct index_probe *probe, uint32_t *serial)
{
    const struct index_table *t = probe->table;
    if (!t)
        return false;
    for (;;) {
        probe->at = probe->at + 1 < t->size ? probe->at + 1 : probe->at + 1 - t->size;
        const uint64_t slot = t->slots[probe->at];
        if (!slot)
            return false;
        if ((uint32_t)slot == probe->tag) {
            *serial = (uint32_t)(slot >> 32);
            return true;
        }
    }
}

/* The entry found last has another serial from now on. */
static inline void index_replace(const struct index_probe *probe, uint32_t serial)
{
    probe->table->slots[probe->at] = (uint64_t)serial << 32 | probe->tag;
}

#endif
