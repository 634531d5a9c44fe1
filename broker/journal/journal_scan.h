/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_scan.h: following the chain of commits through the files, and judging its end.
 *
 * The chain ends where no commit follows that names the last one as its predecessor. What is there instead is
 * either a write that a crash tore (never acknowledged: the end) or damage to something acknowledged. The
 * proof of damage is a commit behind the end that was built when the missing one was durable already. Nothing
 * here changes a file.
 */
#ifndef RUNNEL_JOURNAL_JOURNAL_SCAN_H
#define RUNNEL_JOURNAL_JOURNAL_SCAN_H

#include "journal/journal_files.h"

struct journal_scan {
    /* Given. */
    struct journal_files *files;
    const struct journal_point *from;                            /* NULL: the oldest file that there is */
    int (*replay)(void *ctx, const struct journal_entry *entry); /* may be NULL */
    void *replay_ctx;
    /* NULL: the first finding ends the scan, its sentence goes to `why`. */
    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text);
    void *finding_ctx;
    char *why;
    uint32_t why_bytes;

    /* The last commit of the chain, and where the next one goes. */
    uint64_t number; /* of its file; 0: there is none */
    uint64_t position;
    uint64_t sequence;
    uint32_t chain;
    uint32_t epoch;
    uint32_t epoch_max; /* highest seen anywhere */
    uint64_t id;        /* of the journal; 0: no file says */
    uint32_t findings;
    struct journal_report report;

    /* The file in memory. */
    uint8_t *bytes;
    uint64_t bytes_capacity, bytes_loaded;
    uint64_t loaded_slot;
    bool loaded, epoch_known;
};

/* 0, a negative errno with a sentence in `why`, or what `replay` returned. */
int journal_scan(struct journal_scan *scan);

#endif
