/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal.h: one shard's group commit: what is in a finished commit is on stable storage.
 *
 * The journal is a row of fixed-size, pre-written files used in turn. Entries gather in the open group while
 * earlier groups are being written; each group becomes one commit: whole 4 KiB blocks, one O_DIRECT|O_DSYNC
 * write, checksummed and chained to its predecessor. The journal knows no topics: entries are typed byte
 * strings.
 *
 *        file 7                    file 8                    file 9 (free)
 *   [hdr|c|ccc|cc|c  ]        [hdr|cc|c|cccc|......]     [ zeros or old  ]
 *     ^ oldest kept                    ^durable ^open group
 *
 * Invariants
 *   Commits become durable in sequence order, also when two writes are in flight: on_durable(seq) means "all
 * up to seq". The entries of one group are in one commit: all of them survive, or none. A file is overwritten
 * only after journal_release() let it go. After the first failed write nothing is ever reported durable again
 * (on_failed, once). Format: docs/log-format.md. Limits: the group's size bounds an atomic set of entries;
 * two to `files_max` files.
 */
#ifndef RUNNEL_JOURNAL_JOURNAL_H
#define RUNNEL_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"

struct io;
struct work;
struct timers;
struct journal;

enum {
    JOURNAL_BLOCK = 4096,
    JOURNAL_ENTRY_HEADER = 8, /* u32 body bytes, u8 type, u8[3] zero; bodies are padded to 8 */
};

enum journal_class {
    JOURNAL_NORMAL,   /* produced events */
    JOURNAL_RESERVED, /* offset commits, deletes, copies forward: may use the part of the journal kept for
                         them */
};

struct journal_options {
    const char *dir;       /* made when missing */
    uint64_t file_bytes;   /* size of each file, a multiple of the block; several groups */
    uint32_t files_min;    /* at least 2. With `timers` a journal opens with one of them, and the first turns
                              make the others */
    uint32_t files_max;    /* grown to behind the scenes, as load asks */
    uint32_t group_bytes;  /* size of a group buffer: the largest commit, a multiple of the block */
    uint32_t writes_max;   /* journal writes in flight: 1 or 2 */
    struct timers *timers; /* for seals and for making files later; NULL: neither */
    uint64_t id;           /* of a new journal, never 0 in earnest: bound into every commit; 0: random */
};

/* A place between two commits, where replay starts: kept in the checkpoint. All zero: the very beginning. */
struct journal_point {
    uint64_t file;     /* number of the file that holds the next commit */
    uint64_t sequence; /* sequence of the last commit before this place */
    uint64_t position; /* where in the file the next commit starts (0: before its first) */
    uint32_t chain;    /* checksum of that last commit */
    uint32_t unused;
};

/* One entry, as replayed; `body` is valid during the call. */
struct journal_entry {
    uint8_t type;
    uint32_t bytes;
    const uint8_t *body;
    uint64_t sequence; /* its commit */
    uint64_t file;     /* the file it is in */
};

struct journal_report {
    uint64_t commits, entries, bytes; /* replayed */
    uint64_t torn_bytes;              /* cut from the end: never acknowledged */
    bool clean;                       /* the last commit closed the journal */
    bool empty;                       /* no commit at all: a new journal */
    uint32_t epoch;                   /* the epoch of this start */
    bool direct;                      /* O_DIRECT is in use */
};

struct journal_events {
    void *ctx;
    /* Every commit up to `sequence` is on stable storage. Called from io_turn(), in order. */
    void (*on_durable)(void *ctx, uint64_t sequence);
    /* Room appeared after journal_room() had said no. Called from io_turn(), from work_collect(), or from
     * inside journal_release(). */
    void (*on_room)(void *ctx);
    /* A write failed: final. `error` is a negative errno. */
    void (*on_failed)(void *ctx, int error);
};

#define JOURNAL_STATS(X)                                                                                     \
    X(commits, STAT_COUNTER, "commits written")                                                              \
    X(entries, STAT_COUNTER, "entries written")                                                              \
    X(bytes, STAT_COUNTER, "bytes of entries written")                                                       \
    X(bytes_written, STAT_COUNTER, "bytes written, padding included")                                        \
    X(files, STAT_GAUGE, "files that exist")                                                                 \
    X(files_used, STAT_GAUGE, "files that may not be overwritten yet")                                       \
    X(stalls, STAT_COUNTER, "times that an entry found no room")

struct journal_stats {
    JOURNAL_STATS(STAT_FIELD)
};

/* Opens or makes the journal in options->dir: finds the commits after `from`, hands each entry to `replay` in
 * order (a non-zero return stops and is returned), flushes what it read, and starts a new epoch with an
 * opening commit that is durable on return. Damage at or below the highest sequence known to be durable, a
 * missing file or an unknown format is refused: negative errno
 * (-EBADMSG for damage) and a sentence in `why` naming file and position. Blocking; start-up only. */
int journal_open(struct journal **out, struct io *io, struct work *work,
                 const struct journal_options *options, const struct journal_point *from,
                 int (*replay)(void *ctx, const struct journal_entry *entry), void *replay_ctx,
                 const struct journal_events *events, struct journal_report *report, char *why,
                 uint32_t why_bytes);
/* Nothing may be in flight (journal_idle). */
void journal_destroy(struct journal *journal);

/* Would `entries` entries of `bytes` body bytes in all fit into the open group now, and does the class have
 * journal space for them? False: wait for on_room. A set that could never fit is larger than
 * journal_atomic_max(): refuse it by name instead. */
bool journal_room(struct journal *journal, enum journal_class class, uint32_t entries, uint32_t bytes);
/* The largest sum of bodies that one group takes, for `entries` entries. */
uint32_t journal_atomic_max(const struct journal *journal, uint32_t entries);
/* Adds an entry to the open group and returns where its body of `bytes` goes (8-byte aligned; fill it before
 * journal_submit). journal_room() must have said yes since the last call of journal_submit(). */
uint8_t *journal_add(struct journal *journal, uint8_t type, uint32_t bytes);
/* The sequence that the open group's commit will have; entries added now are durable when on_durable reaches
 * it. */
uint64_t journal_open_sequence(const struct journal *journal);
/* Everything up to this sequence is durable. */
uint64_t journal_durable_sequence(const struct journal *journal);
/* The number of the file that the open group will be written to (it may still move to the next one: then
 * greater). */
uint64_t journal_open_file(const struct journal *journal);
/* Starts writing the open group when it has entries and a write may start. Once at the end of each turn. */
void journal_submit(struct journal *journal);

/* The place before the first commit of `file`: what a checkpoint names when everything before that file is
 * stable. */
bool journal_point_of(const struct journal *journal, uint64_t file, struct journal_point *out);
/* Files below `file` may be overwritten: all they hold is stable elsewhere, and a durable checkpoint says so.
 */
void journal_release(struct journal *journal, uint64_t file);
/* Oldest file still kept; how many files are kept, of how many that the journal may have: the measure of
 * reclaiming. */
uint64_t journal_oldest_file(const struct journal *journal);
uint32_t journal_files_used(const struct journal *journal);
uint32_t journal_files_max(const struct journal *journal);

/* No write in flight, no entry waiting, no closing commit to be written, no file being made. */
bool journal_idle(const struct journal *journal);
/* Puts a closing commit behind everything, once that is durable; the journal takes no entries afterwards.
 * Done when journal_idle() says so. */
void journal_close_clean(struct journal *journal);
bool journal_failed(const struct journal *journal);
const struct journal_stats *journal_stats(const struct journal *journal);

/* ---- offline ---- */

/* Checks all files of a journal without changing anything: calls `finding` for each damage with file name,
 * position and sentence. `from` as for journal_open(); NULL:
 * from the oldest file on, whichever that is. Returns how many findings, or a negative errno. For `runneld
 * --verify`. */
int journal_verify(const char *dir, const struct journal_point *from,
                   int (*replay)(void *ctx, const struct journal_entry *entry), void *replay_ctx,
                   void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                   void *finding_ctx, struct journal_report *report);

#endif
