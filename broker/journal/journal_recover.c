/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_recover.c: opening a journal, after whatever happened to it; and checking one offline.
 *
 * The order at open matters:
 *   1. flush. After a SIGKILL a commit may be in the disk's volatile cache only: its write was never
 *      acknowledged by the old process, but what is replayed has effects (a deleted topic's files go), and is
 *      about to be served by this one: a power cut must not take it back.
 *   2. scan and replay; refuse damage. No contents change until here, so a refused journal stays evidence.
 *   3. wipe the headers of files behind the end (a torn switch leaves one), so that their number is free.
 *   4. open a new epoch with a durable commit. From then on the end is fixed: what was cut cannot come back,
 *      even when this process dies at once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "io/file.h"
#include "journal/journal_internal.h"
#include "journal/journal_scan.h"

struct recovery {
    struct journal *j;
    const struct journal_options *options;
    struct journal_scan scan;
    char *why;
    uint32_t why_bytes;
};

static int recover_fail(struct recovery *r, int error, const char *what)
{
    snprintf(r->why, r->why_bytes, "journal directory %s: %s: %s", r->options->dir, what, strerror(-error));
    return error;
}

static int recover_check_options(struct recovery *r)
{
    const struct journal_options *o = r->options;
    const char *wrong = NULL;
    if (o->file_bytes % JOURNAL_BLOCK != 0 || o->file_bytes > JOURNAL_FILE_BYTES_LIMIT)
        wrong = "the file size must be a multiple of 4096 and at most 1 GiB";
    else if (o->group_bytes % JOURNAL_BLOCK != 0 || o->group_bytes < 2 * JOURNAL_BLOCK)
        wrong = "the group size must be a multiple of 4096 and at least 8192";
    /* Two writes in flight must never span three files: a torn first would leave a gap in the numbers. */
    else if (o->file_bytes < 2 * (uint64_t)o->group_bytes + JOURNAL_BLOCK ||
             o->file_bytes < o->group_bytes + (1 + JOURNAL_KEPT_BLOCKS) * JOURNAL_BLOCK)
        wrong = "a file must hold its header and two of the largest commits";
    else if (o->files_min < 2 || o->files_max < o->files_min || o->files_max > JOURNAL_FILES_LIMIT / 2)
        wrong = "the number of files must be from 2 to 512";
    else if (o->writes_max < 1 || o->writes_max > JOURNAL_WRITES_LIMIT)
        wrong = "writes in flight must be 1 or 2";
    return wrong ? recover_fail(r, -EINVAL, wrong) : 0;
}

static int recover_make_dir(struct recovery *r)
{
    int made = file_mkdir(r->options->dir);
    if (made < 0)
        return recover_fail(r, made, "cannot make it");
    /* Also when it was there: its maker may have been killed before it could do this, and then a power cut
     * would take the directory away with everything that this process is going to acknowledge. */
    char parent[JOURNAL_PATH_BYTES] = ".";
    const char *slash = strrchr(r->options->dir, '/');
    size_t len = slash ? (size_t)(slash - r->options->dir) : 0;
    if (slash && len < sizeof(parent)) {
        memcpy(parent, len ? r->options->dir : "/", len ? len : 1);
        parent[len ? len : 1] = 0;
    }
    int error = file_sync_dir(parent);
    return error < 0 ? recover_fail(r, error, "cannot make its name durable") : 0;
}

static int recover_flush(struct recovery *r)
{
    struct journal_files *files = &r->j->files;
    for (uint32_t i = 0; i < files->count; i++) {
        struct journal_file *f = &files->files[i];
        if (f->check == JOURNAL_VALID) {
            int error = file_sync(f->fd);
            if (error < 0)
                return recover_fail(r, error, "cannot flush what is to be recovered");
        }
    }
    return 0;
}

/* Sorts the files: kept, free, wiped and free, removed because the settings want others. */
static int recover_sort(struct recovery *r)
{
    struct journal *j = r->j;
    uint64_t first = r->scan.from->file; /* below: released, as the checkpoint says */
    for (uint32_t i = 0; i < j->files.count;) {
        struct journal_file *f = &j->files.files[i];
        int error = 0;
        bool valid = f->check == JOURNAL_VALID;
        f->used = valid && f->head.number >= first && f->head.number <= r->scan.number;
        if (!f->used && (f->bytes != j->file_bytes || j->files.count > j->files_max)) {
            error = journal_files_remove(&j->files, i);
            if (error < 0)
                return recover_fail(r, error, "cannot remove a file that is not needed");
            continue;
        }
        if (f->check == JOURNAL_DAMAGED || (valid && f->head.number > r->scan.number))
            error = journal_files_wipe(f);
        if (error < 0)
            return recover_fail(r, error, "cannot wipe the header of a file behind the end");
        i++;
    }
    return 0;
}

static int recover_make_files(struct recovery *r)
{
    struct journal *j = r->j;
    journal_count_files(j);
    /* One more than allowed, rather than a journal that is full and therefore cannot even be opened. */
    bool full = j->files_used == j->files.count && j->position + JOURNAL_BLOCK > j->place_bytes;
    /* The start waits for one file only: pre-writing takes most of the time of the first one. */
    uint32_t wanted = j->timers ? 1 : j->files_min;
    if (full && j->files.count >= wanted)
        wanted = j->files.count + 1;
    while (j->files.count < wanted) {
        int error = journal_files_make(&j->files, j->file_bytes);
        if (error < 0)
            return recover_fail(r, error, "cannot make a journal file");
    }
    int error = file_sync_dir(j->files.dir); /* also for a name that a crash left unflushed */
    journal_count_files(j);
    if (j->files.count < j->files_min) {
        j->retry_later = true; /* in the first turn: the broker is ready then */
        timer_start(j->timers, &j->retry, 0);
    }
    return error < 0 ? recover_fail(r, error, "cannot flush the directory") : 0;
}

static int recover_id(struct recovery *r)
{
    r->j->id = r->scan.id ? r->scan.id : r->options->id;
    while (r->j->id == 0)
        if (getrandom(&r->j->id, sizeof(r->j->id), 0) < 0 && errno != EINTR)
            return recover_fail(r, -errno, "no random number for a new journal");
    return 0;
}

/* The place behind the last commit. */
static void recover_place(struct recovery *r)
{
    struct journal *j = r->j;
    j->number = r->scan.number;
    j->position = r->scan.position;
    j->chain = r->scan.chain;
    j->epoch = r->scan.epoch_max + 1;
    j->durable = j->started = r->scan.sequence;
    j->open = j->durable;
    struct journal_file *f = journal_files_find(&j->files, j->number);
    j->place_fd = f ? f->fd : -1;
    j->place_bytes = f ? f->bytes : 0;
    if (!f)
        j->position = 0;
}

static void recover_groups(struct recovery *r)
{
    struct journal *j = r->j;
    j->writes_max = r->options->writes_max;
    j->groups_count = j->writes_max + 2;
    j->payload_max = r->options->group_bytes - JOURNAL_COMMIT_HEADER;
    for (uint32_t i = 0; i < j->groups_count; i++) {
        j->groups[i].journal = j;
        j->groups[i].op.name = "journal write";
        j->groups[i].memory = mem_alloc_aligned(MEM_JOURNAL, journal_group_memory(j), JOURNAL_BLOCK);
    }
    journal_group_open(j);
}

static int recover_open_epoch(struct recovery *r)
{
    struct journal *j = r->j;
    CHECK(journal_space_internal(j, true)); /* recover_make_files() */
    journal_group_open(j);
    struct journal_write w = journal_build(j, JOURNAL_OPENING);
    int error = file_write(w.fd, w.bytes, w.count, w.position);
    if (error < 0)
        return recover_fail(r, error, "cannot write the opening commit");
    j->durable = j->started;
    return 0;
}

static int recover_all(struct recovery *r)
{
    struct journal *j = r->j;
    int error = recover_check_options(r);
    if (error == 0)
        error = recover_make_dir(r);
    if (error == 0)
        error = journal_files_open(&j->files, r->options->dir, true, r->why, r->why_bytes);
    if (error == 0)
        error = recover_flush(r);
    if (error == 0)
        error = journal_scan(&r->scan);
    if (error == 0)
        error = recover_sort(r);
    if (error == 0)
        error = recover_id(r);
    if (error != 0)
        return error;
    recover_place(r);
    error = recover_make_files(r);
    if (error != 0)
        return error;
    recover_groups(r);
    return recover_open_epoch(r);
}

int journal_open(struct journal **out, struct io *io, struct work *work,
                 const struct journal_options *options, const struct journal_point *from,
                 int (*replay)(void *ctx, const struct journal_entry *entry), void *replay_ctx,
                 const struct journal_events *events, struct journal_report *report, char *why,
                 uint32_t why_bytes)
{
    static const struct journal_point beginning = { 0 };
    struct journal *j = mem_zalloc(MEM_JOURNAL, sizeof(*j));
    *j = (struct journal){
        .io = io,
        .work = work,
        .timers = options->timers,
        .events = *events,
        .file_bytes = options->file_bytes,
        .files_min = options->files_min,
        .files_max = options->files_max,
    };
    timer_init(&j->seal, journal_seal_due);
    timer_init(&j->retry, journal_retry_due);
    struct recovery r = {
        .j = j,
        .options = options,
        .scan = { .files = &j->files,
                  .from = from ? from : &beginning,
                  .replay = replay,
                  .replay_ctx = replay_ctx,
                  .why = why,
                  .why_bytes = why_bytes },
        .why = why,
        .why_bytes = why_bytes,
    };
    int error = recover_all(&r);
    *report = r.scan.report;
    report->epoch = j->epoch;
    report->direct = j->files.direct;
    if (error != 0) {
        /* Not journal_destroy(): it is for a journal that was opened. */
        if (j->timers)
            timer_stop(j->timers, &j->retry);
        for (uint32_t i = 0; i < j->groups_count; i++)
            mem_free(MEM_JOURNAL, j->groups[i].memory, journal_group_memory(j));
        journal_files_destroy(&j->files);
        mem_free(MEM_JOURNAL, j, sizeof(*j));
        return error;
    }
    *out = j;
    return 0;
}

int journal_verify(const char *dir, const struct journal_point *from,
                   int (*replay)(void *ctx, const struct journal_entry *entry), void *replay_ctx,
                   void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                   void *finding_ctx, struct journal_report *report)
{
    struct journal_files files;
    char why[512];
    *report = (struct journal_report){ 0 };
    int error = journal_files_open(&files, dir, false, why, sizeof(why));
    if (error == 0) {
        struct journal_scan scan = {
            .files = &files,
            .from = from,
            .replay = replay,
            .replay_ctx = replay_ctx,
            .finding = finding,
            .finding_ctx = finding_ctx,
            .why = why,
            .why_bytes = sizeof(why),
        };
        error = journal_scan(&scan);
        *report = scan.report;
        report->epoch = scan.epoch_max;
        report->direct = files.direct;
        if (error == 0)
            error = (int)scan.findings;
    }
    journal_files_destroy(&files);
    return error;
}
