/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/powerfs_disk.h: a disk in memory that can lose power.
 *
 * Every file has two images: `now`, what a program sees, and `durable`, what a power cut leaves. Changes go
 * to `now` and into one ordered list of pending operations; flushing a file applies its pending ones to
 * `durable`. Names work the same way: a directory has its entries now and its durable ones, and flushing the
 * directory makes the former the latter. A cut decides which pending operations the disk kept, then makes
 * `durable` all there is.
 *
 * Invariant: `now` of a file = its `durable` with its pending operations applied in order, unless a failed
 * flush forgot some (disk_forget). One lock, the caller's, guards everything.
 */
#ifndef RUNNEL_TESTS_POWERFS_DISK_H
#define RUNNEL_TESTS_POWERFS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image {
    uint8_t *bytes;
    uint64_t size, room;
};

struct entry {
    char *name;
    struct node *node;
};

struct entries {
    struct entry *at;
    size_t count, room;
};

struct node {
    uint64_t number;
    mode_t mode;
    uint32_t references;                 /* entries (now and durable), open handles, pending operations */
    struct node *parent;                 /* now; NULL: unlinked, or the root */
    struct image now, durable;           /* of a file */
    struct entries names, durable_names; /* of a directory */
    struct operation *first, *last;      /* pending, in order */
};

enum operation_kind { OPERATION_WRITE, OPERATION_RESIZE, OPERATION_PUNCH };

struct operation {
    enum operation_kind kind;
    struct node *node;
    uint64_t at, count;                /* OPERATION_RESIZE: `at` is the new size */
    uint8_t *bytes;                    /* of a write */
    struct operation *next, *previous; /* in the order of the disk */
    struct operation *node_next;       /* in the order of the file */
};

struct disk {
    struct node *root;
    struct operation *first, *last;
    uint64_t pending;
    uint64_t used;  /* bytes of files now */
    uint64_t limit; /* of `used` */
    uint64_t numbers;
    bool lenient; /* flushing a file makes its name durable too, as ext4 and xfs happen to do */
    bool dead;    /* the power is off */
};

void disk_init(struct disk *disk, bool lenient);

/* ---- names ---- */

/* The node at an absolute path, or NULL. */
struct node *disk_find(struct disk *disk, const char *path);
/* Makes a node; NULL when the parent is not there. The name must be free. */
struct node *disk_make(struct disk *disk, const char *path, mode_t mode);
/* 0, -ENOENT, -ENOTEMPTY. */
int disk_remove(struct disk *disk, const char *path);
int disk_rename(struct disk *disk, const char *from, const char *to);
/* A node's path now, cut at the front when it does not fit; "" for one that was removed. */
void disk_path(const struct node *node, char *out, size_t bytes);
void disk_hold(struct node *node);
void disk_release(struct disk *disk, struct node *node);

/* ---- contents ---- */

uint64_t disk_read(const struct node *node, void *out, uint64_t count, uint64_t at);
/* Returns how many bytes fit the limit; -ENOSPC when none. */
int64_t disk_write(struct disk *disk, struct node *node, const void *bytes, uint64_t count, uint64_t at);
int disk_resize(struct disk *disk, struct node *node, uint64_t bytes);
void disk_punch(struct disk *disk, struct node *node, uint64_t at, uint64_t count);
/* Bit rot, in both images. */
int disk_flip(struct node *node, uint64_t at, unsigned bit);

/* ---- durability ---- */

/* fsync of a file, or of a directory. */
void disk_flush(struct disk *disk, struct node *node);
/* What a failed fsync may do: the pending data is no longer pending, and still not on disk. */
void disk_forget(struct disk *disk, struct node *node);

enum cut_kind {
    CUT_NONE,    /* nothing pending survives */
    CUT_ALL,     /* everything does */
    CUT_RANDOM,  /* each operation, and each directory's changes, by a coin */
    CUT_SECTORS, /* each 512-byte sector of a write by a coin */
    CUT_PREFIX,  /* the first `count` operations, and `bytes` bytes of the next one */
};
struct cut {
    enum cut_kind kind;
    uint64_t seed, count, bytes;
};
/* The power goes: decides what survives and stops everything until disk_heal(). */
void disk_cut(struct disk *disk, const struct cut *cut);
void disk_heal(struct disk *disk);

#endif
