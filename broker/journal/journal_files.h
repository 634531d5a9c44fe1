/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_files.h: the files of one journal: finding, making, pre-writing, wiping, removing.
 *
 * A file is a slot: `<16 hex digits>.journal`, of a fixed size, written with zeros over its whole length
 * before it is used (a durable write into a file that grows, or that was only allocated, costs half as much
 * again). Which commits it holds is said by the number in its header, drawn anew at each use. A file is made
 * under `<16 hex digits>.new` and renamed when it is whole, so that a crash never leaves a short one.
 */
#ifndef RUNNEL_JOURNAL_JOURNAL_FILES_H
#define RUNNEL_JOURNAL_JOURNAL_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/work.h"
#include "journal/journal_format.h"

enum {
    /* More files than this in the directory are refused: the largest files_max, and room for those of earlier
     * settings. */
    JOURNAL_FILES_LIMIT = 1024,
    JOURNAL_NAME_BYTES = 16 + 9, /* "<slot>.journal" and a terminator */
    JOURNAL_PATH_BYTES = 4096,
};

/* Limit of a file's size: recovery reads a file at a time into memory. */
#define JOURNAL_FILE_BYTES_LIMIT (UINT64_C(1) << 30)

struct journal_file {
    uint64_t slot;
    uint64_t bytes; /* as found in the file system */
    int fd;
    bool direct;
    enum journal_check check;        /* what the header was when the file was opened */
    struct journal_file_header head; /* number 0: never used, or wiped */
    bool used;                       /* may not be overwritten; only journal.c's */
    bool retired;                    /* of no use any more; only journal.c's */
};

struct journal_files {
    char dir[JOURNAL_PATH_BYTES];
    struct journal_file *files;
    uint32_t count, capacity;
    bool direct; /* all of them are open for direct I/O */
};

/* Opens what is in `dir` (for writing, or to read only) and reads all headers; left-overs of a crash while a
 * file was being made are removed when writing. Negative errno and a sentence on failure; destroy in any
 * case. */
int journal_files_open(struct journal_files *files, const char *dir, bool writing, char *why,
                       uint32_t why_bytes);
void journal_files_destroy(struct journal_files *files);
/* `out` takes JOURNAL_NAME_BYTES. */
void journal_file_name(const struct journal_file *file, char *out);
/* The file with this number in a valid header, or NULL. */
struct journal_file *journal_files_find(struct journal_files *files, uint64_t number);

/* Makes one more file, pre-written and durable. Blocking. */
int journal_files_make(struct journal_files *files, uint64_t bytes);
/* Overwrites a header with zeros, durably: what the file holds never counts again. Blocking. */
int journal_files_wipe(struct journal_file *file);
/* Closes and unlinks a file; the others move down in the array. Blocking. */
int journal_files_remove(struct journal_files *files, uint32_t index);

/* The same in two halves, for a worker: run() touches nothing but the job, and its owner adds the result. */
struct journal_make {
    struct work_job job;
    char dir[JOURNAL_PATH_BYTES];
    uint64_t bytes;           /* 0: unlink the file of `made` instead */
    struct journal_file made; /* result; for the unlinking: the file */
    int error;                /* result: 0 or a negative errno */
    atomic_bool hurry;        /* the file will be needed soon: no pauses between its pieces */
};
void journal_make_prepare(struct journal_make *make, const struct journal_files *files, uint64_t bytes);
void journal_make_run(struct work_job *job);
void journal_files_add(struct journal_files *files, const struct journal_file *file);

#endif
