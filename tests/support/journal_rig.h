/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/journal_rig.h: a journal under test, with entries that know what they must contain, and
 * images of its directory that can be taken, damaged and put back.
 *
 * Entry number `key` has a body whose length and bytes follow from the key, so whoever replays it can tell a
 * wrong one. In memory (/dev/shm) where that exists: thousands of starts are tried.
 */
#ifndef RUNNEL_TESTS_JOURNAL_RIG_H
#define RUNNEL_TESTS_JOURNAL_RIG_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "journal/journal.h"
#include "journal/journal_format.h"

enum { RIG_KEYS_MAX = 1 << 16, RIG_FILES_MAX = 16 };

struct rig {
    char dir[128];
    struct io *io;
    struct work *work;
    struct timers *timers;
    uint64_t now_ns;
    struct journal *journal;
    struct journal_options options;
    struct journal_point from;
    struct journal_report report;
    char why[512];
    uint64_t durable;
    unsigned rooms, failures, disorder;
    uint64_t keys[RIG_KEYS_MAX]; /* replayed at the last open */
    uint64_t sequences[RIG_KEYS_MAX];
    unsigned count;
    bool wrong; /* a replayed entry had not the bytes of its key */
};

static inline uint32_t rig_body_bytes(uint64_t key)
{
    return 8 + (uint32_t)(key * 37 % 301);
}

static inline void rig_body(uint64_t key, uint32_t bytes, uint8_t *out)
{
    memcpy(out, &key, 8);
    for (uint32_t i = 8; i < bytes; i++)
        out[i] = (uint8_t)(key * 131 + i * 7 + (i >> 8));
}

static inline int rig_replay(void *ctx, const struct journal_entry *e)
{
    struct rig *r = ctx;
    static uint8_t expected[1 << 20];
    uint64_t key = 0;
    if (e->bytes < 8 || e->bytes > sizeof(expected)) {
        r->wrong = true;
        return 0;
    }
    memcpy(&key, e->body, 8);
    rig_body(key, e->bytes, expected);
    if (memcmp(expected, e->body, e->bytes) != 0 || e->type != 1 + key % 7)
        r->wrong = true;
    if (r->count < RIG_KEYS_MAX) {
        r->keys[r->count] = key;
        r->sequences[r->count] = e->sequence;
        r->count++;
    }
    return 0;
}

static inline void rig_on_durable(void *ctx, uint64_t sequence)
{
    struct rig *r = ctx;
    r->disorder += sequence <= r->durable;
    r->durable = sequence;
}

static inline void rig_on_room(void *ctx)
{
    ((struct rig *)ctx)->rooms++;
}

static inline void rig_on_failed(void *ctx, int error)
{
    cr_assert_lt(error, 0);
    ((struct rig *)ctx)->failures++;
}

static inline void rig_clean_dir(const char *dir)
{
    DIR *d = opendir(dir);
    cr_assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
}

static inline struct rig *rig_make(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(r->dir, sizeof(r->dir), "%s/runnel-journal-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(r->dir));
    struct io_options io = { .entries = 64, .recv_buffers = 2, .recv_buffer_bytes = 4096 };
    cr_assert_eq(io_create(&r->io, &io, r->why, sizeof(r->why)), 0, "%s", r->why);
    cr_assert_eq(work_create(&r->work, r->io, 1), 0);
    r->options = (struct journal_options){
        .dir = r->dir,
        .file_bytes = 32 * 1024,
        .files_min = 2,
        .files_max = 2,
        .group_bytes = 8192,
        .writes_max = 2,
        .id = 77,
    };
    return r;
}

/* One turn of a loop, without the submit at its end. */
static inline void rig_turn(struct rig *r)
{
    io_turn(r->io, 2000000000, true);
    work_collect(r->work);
}

static inline int rig_open(struct rig *r)
{
    struct journal_events events = { r, rig_on_durable, rig_on_room, rig_on_failed };
    r->count = 0;
    r->wrong = false;
    r->durable = 0;
    r->disorder = 0;
    r->why[0] = 0;
    int error = journal_open(&r->journal, r->io, r->work, &r->options, &r->from, rig_replay, r, &events,
                             &r->report, r->why, sizeof(r->why));
    if (error != 0) {
        r->journal = NULL;
        return error;
    }
    r->durable = journal_durable_sequence(r->journal);
    while (r->timers && journal_stats(r->journal)->files < r->options.files_min) {
        timers_fire(r->timers, r->now_ns += 1000000); /* the others are made */
        rig_turn(r);
    }
    return 0;
}

static inline void rig_wait_idle(struct rig *r)
{
    journal_submit(r->journal);
    while (!journal_idle(r->journal)) {
        rig_turn(r);
        journal_submit(r->journal);
    }
}

/* Whatever the process knew is gone; the files stay as they are. */
static inline void rig_drop(struct rig *r)
{
    if (!r->journal)
        return;
    while (!journal_idle(r->journal)) {
        rig_turn(r);
        journal_submit(r->journal);
    }
    journal_destroy(r->journal);
    r->journal = NULL;
}

static inline void rig_destroy(struct rig *r)
{
    rig_drop(r);
    work_destroy(r->work);
    io_destroy(r->io);
    if (r->timers)
        timers_destroy(r->timers);
    rig_clean_dir(r->dir);
    rmdir(r->dir);
    free(r);
}

static inline void rig_add_sized(struct rig *r, uint64_t key, uint32_t bytes)
{
    uint8_t *at = journal_add(r->journal, (uint8_t)(1 + key % 7), bytes);
    cr_assert_eq((uintptr_t)at % 8, 0);
    rig_body(key, bytes, at);
}

static inline bool rig_try_add(struct rig *r, enum journal_class class, uint64_t key)
{
    if (!journal_room(r->journal, class, 1, rig_body_bytes(key)))
        return false;
    rig_add_sized(r, key, rig_body_bytes(key));
    return true;
}

/* Adds, waiting for buffers where need be. */
static inline void rig_add(struct rig *r, uint64_t key)
{
    while (!rig_try_add(r, JOURNAL_NORMAL, key)) {
        journal_submit(r->journal);
        rig_turn(r);
    }
}

/* One entry, one commit, durable on return. */
static inline void rig_commit(struct rig *r, uint64_t key)
{
    rig_add(r, key);
    uint64_t sequence = journal_open_sequence(r->journal);
    while (r->durable < sequence) {
        journal_submit(r->journal);
        rig_turn(r);
    }
}

/* ---- images ---- */

struct image {
    unsigned count;
    struct image_file {
        char name[256];
        uint8_t *bytes;
        size_t size;
    } files[RIG_FILES_MAX];
};

static inline int image_compare(const void *a, const void *b)
{
    return strcmp(((const struct image_file *)a)->name, ((const struct image_file *)b)->name);
}

static inline void image_take(struct image *image, const char *dir)
{
    memset(image, 0, sizeof(*image));
    DIR *d = opendir(dir);
    cr_assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        cr_assert_lt(image->count, RIG_FILES_MAX);
        struct image_file *f = &image->files[image->count++];
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        snprintf(f->name, sizeof(f->name), "%s", e->d_name);
        int fd = open(path, O_RDONLY);
        struct stat st;
        cr_assert(fd >= 0 && fstat(fd, &st) == 0);
        f->size = (size_t)st.st_size;
        f->bytes = malloc(f->size ? f->size : 1);
        cr_assert_eq(read(fd, f->bytes, f->size), (ssize_t)f->size);
        close(fd);
    }
    closedir(d);
    qsort(image->files, image->count, sizeof(image->files[0]), image_compare);
}

static inline void image_put(const struct image *image, const char *dir)
{
    rig_clean_dir(dir);
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_file *f = &image->files[i];
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, f->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert(fd >= 0);
        cr_assert_eq(write(fd, f->bytes, f->size), (ssize_t)f->size);
        close(fd);
    }
}

static inline void image_free(struct image *image)
{
    for (unsigned i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    image->count = 0;
}

static inline void image_copy(struct image *to, const struct image *from)
{
    *to = *from;
    for (unsigned i = 0; i < to->count; i++) {
        to->files[i].bytes = malloc(from->files[i].size);
        memcpy(to->files[i].bytes, from->files[i].bytes, from->files[i].size);
    }
}

#endif
