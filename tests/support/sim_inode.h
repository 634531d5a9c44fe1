/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_inode.h: the inside of sim_disk.h, shared by sim_disk.c (bytes) and sim_names.c (names).
 */
#ifndef RUNNEL_TESTS_SIM_INODE_H
#define RUNNEL_TESTS_SIM_INODE_H

#include "sim_disk.h"

enum {
    SIM_ROOT = 0,
    SIM_CHUNK_BYTES = 16384, /* what copies of a disk share; a multiple of any sector */
    SIM_SECTORS_MAX = SIM_CHUNK_BYTES / 512,
    SIM_NAME_BYTES = 64, /* longer names are refused, as the kernel does above 255 */
};

struct sim_chunk {
    uint32_t refs;
    uint8_t bytes[SIM_CHUNK_BYTES];
};

struct sim_slot {
    struct sim_chunk *live, *disk; /* NULL: zeros */
    uint32_t *dirty_at;            /* per sector: its place in the dirty list, plus one */
};

struct sim_dirty {
    uint64_t sector;
    uint64_t sequence;
    bool lost; /* given up by a failed sync: no later one writes it */
};

struct sim_entry {
    char name[SIM_NAME_BYTES];
    uint32_t hash;
    int inode;
};

struct sim_entries {
    struct sim_entry *list;
    uint32_t count, capacity;
};

struct sim_inode {
    bool is_dir;
    uint32_t links; /* names that reads see */
    uint32_t opens;
    /* files */
    uint64_t bytes, bytes_disk, bytes_sequence;
    uint64_t charged;
    struct sim_slot *slots;
    uint32_t slot_count, slot_capacity;
    struct sim_dirty *dirty;
    uint32_t dirty_count, dirty_capacity;
    /* directories */
    struct sim_entries live, disk;
};

/* One half of a change of names: `name` in `dir` now leads to `inode`, or to nothing when -1. */
struct sim_half {
    int dir; /* -1: no such half */
    int inode;
    char name[SIM_NAME_BYTES];
};

/* A change that the disk does not have yet. A rename has two halves, which become durable together. */
struct sim_name_op {
    uint64_t sequence;
    struct sim_half half[2];
};

struct sim_disk {
    uint32_t sector_bytes;
    bool loose_names;
    uint32_t writeback_percent;
    uint64_t capacity, used, sequence;
    struct sim_inode **inodes;
    uint32_t inode_count, inode_capacity;
    uint32_t inode_free; /* no free inode below this */
    struct sim_name_op *name_ops;
    uint32_t name_op_count, name_op_capacity;
};

/* What a power cut keeps. */
struct sim_fate {
    enum io_sim_mode mode;
    uint64_t *rng;
    uint64_t odds;   /* IO_SIM_RANDOM: of 8 */
    uint64_t cutoff; /* IO_SIM_PREFIX: the last sequence kept */
};
bool sim_fate_keeps(const struct sim_fate *fate, uint64_t sequence, bool lost);

void *sim_alloc(size_t bytes);
void *sim_grow(void *array, uint32_t *capacity, uint32_t needed, size_t item_bytes);
struct sim_inode *sim_inode(const struct sim_disk *disk, int inode);
int sim_inode_new(struct sim_disk *disk, bool dir);
void sim_inode_free(struct sim_inode *inode);
struct sim_inode *sim_inode_clone(const struct sim_inode *from);
void sim_entries_free(struct sim_entries *entries);
void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from);
void sim_settle_names(struct sim_disk *disk);
void sim_crash_names(struct sim_disk *disk, const struct sim_fate *fate);

#endif
