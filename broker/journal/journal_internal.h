/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_internal.h: the running journal's state, shared by journal.c (entries, groups, writes),
 * journal_space.c (which file comes next, making and releasing files) and journal_recover.c (opening).
 *
 * Groups are numbered by their commit's sequence and live in a ring:
 *
 *      durable        started              open
 *   ......|....written....|....full, waiting...|
 *
 * durable <= started < open; at most writes_max groups are started and not durable; open - durable groups are
 * in use, at most `groups`. A group's place in the files is chosen when its write starts.
 */
#ifndef RUNNEL_JOURNAL_JOURNAL_INTERNAL_H
#define RUNNEL_JOURNAL_JOURNAL_INTERNAL_H

#include "io/io.h"
#include "io/timer.h"
#include "journal/journal_files.h"

enum {
    JOURNAL_WRITES_LIMIT = 2,
    /* One gathers, writes_max are written, and one is full and waits: gathering goes on meanwhile. */
    JOURNAL_GROUPS_LIMIT = JOURNAL_WRITES_LIMIT + 2,
    /* A pause so long that one more write does not matter, and so short that a power cut after it is the
     * usual case. */
    JOURNAL_SEAL_MS = 20,
    JOURNAL_RETRY_MS = 1000, /* a full disk is asked again after so long */
    /* The last file keeps so many blocks for what must always find room: a seal, the closing commit, the next
     * start's opening commit. */
    JOURNAL_KEPT_BLOCKS = 3,
};

struct journal_group {
    struct io_op op;
    struct journal *journal;
    uint8_t *memory; /* a block for a file header, then the commit */
    uint32_t payload, entries;
    uint32_t write_bytes; /* of the write in flight, the file header's block included */
    bool written;
};

enum journal_state {
    JOURNAL_RUNNING,
    JOURNAL_STOPPING, /* takes no entries; the closing commit follows when all else is durable */
    JOURNAL_STOPPED,  /* the closing commit is written, or in flight */
};

struct journal {
    struct io *io;
    struct work *work;
    struct timers *timers;
    struct journal_events events;
    struct journal_stats stats;
    enum journal_state state;
    bool failed;
    uint32_t writes_max;
    uint64_t id;
    uint32_t epoch;

    /* Groups. */
    uint64_t durable, started, open;
    uint32_t groups_count, payload_max;
    struct journal_group groups[JOURNAL_GROUPS_LIMIT];
    bool unsealed;    /* the last commit started has entries */
    bool room_wanted; /* journal_room() said no */
    struct timer seal;

    /* The place of the next commit. */
    uint64_t number; /* file; it may be full */
    uint64_t position, place_bytes;
    int place_fd;
    bool place_new; /* the file's header goes out with the commit */
    uint32_t chain; /* checksum of the last commit started */

    /* Files. */
    struct journal_files files;
    uint64_t file_bytes;
    uint32_t files_min, files_max, files_used, files_retired;
    struct journal_make make;
    struct timer retry;
    bool retry_later; /* no file is made before that timer */
    bool told_full;
};

static inline struct journal_group *journal_group_of(struct journal *j, uint64_t sequence)
{
    return &j->groups[sequence % j->groups_count];
}

/* Bytes of a group's buffer. */
static inline uint32_t journal_group_memory(const struct journal *j)
{
    return JOURNAL_BLOCK + JOURNAL_COMMIT_HEADER + j->payload_max;
}

/* ---- journal.c ---- */

/* Fills in the group's commit and gives it its place. Returns what to write, where. */
struct journal_write {
    int fd;
    const uint8_t *bytes;
    uint32_t count;
    uint64_t position;
};
struct journal_write journal_build(struct journal *journal, uint16_t flags);
void journal_group_open(struct journal *journal);
void journal_room_appeared(struct journal *journal);
void journal_seal_due(struct timer *timer);

/* ---- journal_space.c ---- */

/* Would the waiting groups, the open one with `more` bytes of payload, and (when `next` is not 0) another one
 * with `next` bytes find room in the files, for this class? */
bool journal_space(const struct journal *journal, enum journal_class class, uint32_t more, uint32_t next);
/* Is there room for one commit without entries? */
bool journal_space_internal(const struct journal *journal, bool may_switch);
/* Moves the place to the next file when `bytes` do not fit any more; there must be one. */
void journal_place(struct journal *journal, uint32_t bytes);
/* Starts making another file when one will be needed, and unlinking one that is of no use. */
void journal_grow(struct journal *journal, bool wanted);
void journal_retry_due(struct timer *timer);
void journal_count_files(struct journal *journal);

#endif
