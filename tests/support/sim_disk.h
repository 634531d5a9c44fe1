/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_disk.h: the disk of io_sim: files, directories, what is on the platter and what is not
 * yet.
 *
 * Each file has two versions, the one that reads see and the one a power cut would leave, in chunks that
 * copies of the disk share until one is written. The sectors in which they differ are listed, so that a sync
 * or a crash costs what was written since the last one and nothing else. Names are the same: two lists per
 * directory, and the operations that the second one lacks.
 */
#ifndef RUNNEL_TESTS_SIM_DISK_H
#define RUNNEL_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io_sim.h"

struct sim_disk;

struct sim_disk *sim_disk_create(uint32_t sector_bytes, bool loose_names, uint32_t writeback_percent);
struct sim_disk *sim_disk_clone(const struct sim_disk *disk);
void sim_disk_free(struct sim_disk *disk);
uint64_t sim_disk_used(const struct sim_disk *disk);
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_capacity(const struct sim_disk *disk);
/* A number that grows with each change; orders what IO_SIM_PREFIX keeps. */
uint64_t sim_disk_sequence(struct sim_disk *disk);

/* ---- names: >= 0 an inode, or a negative errno ---- */

int sim_find(const struct sim_disk *disk, const char *path);
int sim_make(struct sim_disk *disk, const char *path, bool dir);
int sim_rename(struct sim_disk *disk, const char *from, const char *to);
int sim_remove(struct sim_disk *disk, const char *path, bool dir);
bool sim_is_dir(const struct sim_disk *disk, int inode);
void sim_sync_names(struct sim_disk *disk, int dir);
/* Copies of the names in `dir`; the caller frees each and the array. */
char **sim_names(const struct sim_disk *disk, int dir, uint32_t *count);
int sim_child(const struct sim_disk *disk, int dir, const char *name);
/* An open descriptor keeps a nameless file. */
void sim_hold(struct sim_disk *disk, int inode);
void sim_drop(struct sim_disk *disk, int inode);

/* ---- bytes ---- */

uint64_t sim_bytes(const struct sim_disk *disk, int inode);
uint64_t sim_read(const struct sim_disk *disk, int inode, void *buf, uint64_t bytes, uint64_t position);
/* Writes what fits; -ENOSPC when that is not all. `sequence`: when, for IO_SIM_PREFIX. */
int sim_write(struct sim_disk *disk, int inode, const void *buf, uint64_t bytes, uint64_t position,
              uint64_t sequence, uint64_t *rng);
/* Makes a range durable, and the size where that is needed to reach it. */
void sim_sync_range(struct sim_disk *disk, int inode, uint64_t bytes, uint64_t position);
void sim_sync(struct sim_disk *disk, int inode);
/* As the kernel after an error: by lot, sectors reach the disk or are given up. */
void sim_sync_failed(struct sim_disk *disk, int inode, uint64_t *rng);
void sim_truncate(struct sim_disk *disk, int inode, uint64_t bytes);
int sim_allocate(struct sim_disk *disk, int inode, uint64_t bytes);
bool sim_flip(struct sim_disk *disk, int inode, uint64_t position, unsigned bit);
bool sim_clean(const struct sim_disk *disk, int inode);
bool sim_name_clean(const struct sim_disk *disk, const char *path);
void sim_settle(struct sim_disk *disk);

/* Leaves what a power cut leaves; nothing is open. */
void sim_crash(struct sim_disk *disk, uint64_t *rng, enum io_sim_mode mode);
/* Nothing is open any more. */
void sim_close_all(struct sim_disk *disk);

uint64_t sim_random(uint64_t *state);

#endif
