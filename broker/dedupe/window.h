/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/window.h: what the files of this room share; nobody else includes it.
 */
#ifndef RUNNEL_DEDUPE_WINDOW_H
#define RUNNEL_DEDUPE_WINDOW_H

#include <assert.h>

#include "base/list.h"
#include "dedupe/dedupe.h"
#include "dedupe/index.h"

enum {
    CHUNK_IDS = 512, /* entries are allocated in pieces of 20 KiB */
    TIME_BITS = 42,  /* milliseconds until the year 2109 */
    SECRET_BYTES = 192,
    SEED_BYTES = 32,
};

/* As in files. */
struct id_entry {
    uint64_t hash[2], content, offset;
    uint64_t when_where; /* partition << TIME_BITS | wall ms */
};
static_assert(sizeof(struct id_entry) == 40, "as in the file");
static_assert((uint64_t)DEDUPE_PARTITIONS_MAX <= 1ull << (64 - TIME_BITS), "a partition has room");

static inline int64_t entry_ms(const struct id_entry *e)
{
    return (int64_t)(e->when_where & ((1ull << TIME_BITS) - 1));
}

static inline struct dedupe_place entry_place(const struct id_entry *e)
{
    return (struct dedupe_place){ e->offset, (uint32_t)(e->when_where >> TIME_BITS) };
}

/* A file that a checkpoint lists, or will: entries [first, end) of the window. */
struct id_file {
    uint64_t number; /* never used again once listed */
    uint64_t first, end;
    int64_t last_ms; /* of the youngest */
};

struct dedupe_window {
    struct list link;       /* in all->windows */
    struct list noted_link; /* in all->noted while noted != end */
    struct dedupe *all;
    uint64_t topic_id;
    int64_t window_ms;
    uint64_t first, noted, end; /* serials */
    struct id_entry **chunks;   /* a ring by serial / CHUNK_IDS; room a power of two */
    uint32_t chunk_room;
    struct index index;
    uint64_t saved; /* entries before are in files */
    struct id_file *files;
    uint32_t file_count, file_room;
    uint64_t *ends; /* per partition: see dedupe_appended() */
    uint32_t end_count;
    int64_t last_ms; /* no entry is younger */
    int64_t lost_ms; /* the youngest entry of a damaged file; 0: none */
    bool saving;     /* a worker reads the entries: none may go */
    bool closed;     /* meanwhile: goes when that is done */
};

struct dedupe {
    const char *dir;
    uint64_t memory_max;
    struct list windows, noted;
    struct list *turn; /* the window to be looked at next; NULL: the first */
    uint8_t seed[SEED_BYTES];
    uint8_t secret[SECRET_BYTES]; /* from it */
    uint64_t file_next;
    uint64_t *garbage; /* numbers of files that no window has any more */
    uint32_t garbage_count, garbage_room;
    struct dedupe_stats stats;
};

/* window.c */
static inline struct id_entry *idwindow_entry(const struct dedupe_window *w, uint64_t serial)
{
    return &w->chunks[(serial / CHUNK_IDS) & (w->chunk_room - 1)][serial % CHUNK_IDS];
}
/* Adds entries as they are, newer than those that are there. */
void idwindow_load(struct dedupe_window *w, const struct id_entry *entries, uint32_t count);
/* Takes entries from `end` on back. */
void idwindow_cut(struct dedupe_window *w, uint64_t end);
/* Forgets what has expired, at most `most` entries. How many. */
uint32_t idwindow_expire(struct dedupe_window *w, int64_t now_ms, uint32_t most);
void idwindow_free(struct dedupe_window *w);
void dedupe_garbage(struct dedupe *all, uint64_t number);
/* Draws a new secret, or takes that of the seed. */
void dedupe_secret(struct dedupe *all, const uint8_t *seed);

/* idfile.c */
void idfile_path(const struct dedupe *all, uint64_t number, char *out /* DEDUPE_PATH_BYTES */);
/* How many entries the file has, going by its size; 0: none, or it cannot be opened. */
uint64_t idfile_entries(const struct dedupe *all, uint64_t number);
/* Writes and flushes a file of the window's entries. */
int idfile_write(const struct dedupe_window *w, const struct id_file *file);
/* Reads a file's entries to the end of the window. 0; -EBADMSG: damaged, `why` says how, nothing was added;
 * -EPROTONOSUPPORT: unknown version; other negative errno. */
int idfile_read(struct dedupe_window *w, const struct id_file *file, char *why);

#endif
