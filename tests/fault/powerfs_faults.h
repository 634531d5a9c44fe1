/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/powerfs_faults.h: what goes wrong, when: faults by count, and the control file that sets them.
 *
 * Lines written to `.ctl` at the top of the mount, one command each:
 *
 *   cut none|all|rand SEED|sect SEED|prefix K B   the power goes; every operation is EIO from then on
 *   heal                                          it is back
 *   at OP N COMMAND...      just before the Nth OP from now, the command (a cut) is carried out
 *   fail OP N ERRNO [COUNT] the Nth OP from now fails, and the COUNT-1 after it (-1: for ever)
 *   gate 0|1                1: a failed fsync forgets what it should have written; the next one succeeds
 *   short N BYTES           the Nth write from now stops after BYTES
 *   delay OP MICROSECONDS   every OP takes so much longer
 *   only TEXT|*             fail, short, delay and at count only files whose path contains TEXT
 *   cap BYTES|-1            ENOSPC when all files together are larger
 *   flip PATH OFFSET BIT    bit rot
 *   zero                    counters to zero, faults off
 *
 * OP: write fsync read open create fallocate. A write through O_DSYNC counts as a write and as an fsync.
 * Reading
 * `.ctl` gives one line: dead, pending, used, and for each OP how many were done and how many failed.
 */
#ifndef RUNNEL_TESTS_POWERFS_FAULTS_H
#define RUNNEL_TESTS_POWERFS_FAULTS_H

#include "powerfs_disk.h"

enum fault_op { FAULT_WRITE, FAULT_FSYNC, FAULT_READ, FAULT_OPEN, FAULT_CREATE, FAULT_ALLOCATE, FAULT_OPS };

enum { FAULT_TEXT = 256 };

struct faults {
    struct {
        int64_t fail_at; /* operations from now; 0: never */
        int64_t fail_count;
        int error;
        int64_t cut_at;
        struct cut cut;
        uint64_t delay_us;
        uint64_t done, failed;
    } ops[FAULT_OPS];
    int64_t short_at;
    uint64_t short_bytes;
    bool gate;
    char only[FAULT_TEXT]; /* empty: all files */
};

/* To be called before an operation on `path` (NULL: not known any more). How long to sleep first is stored;
 * then 0 or the negative errno to fail with. */
uint64_t faults_delay(const struct faults *faults, enum fault_op op, const char *path);
int faults_hit(struct faults *faults, struct disk *disk, enum fault_op op, const char *path);
/* How many of a write's bytes to take. */
uint64_t faults_write_bytes(struct faults *faults, uint64_t count, const char *path);
/* Carries out one line; 0 or a negative errno. */
int faults_command(struct faults *faults, struct disk *disk, const char *line);
/* The line that reading gives; returns its length. */
int faults_report(const struct faults *faults, const struct disk *disk, char *out, size_t bytes);

#endif
