/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_space.c: which file the next commit goes to; making files as load asks, and taking them
 * back.
 *
 * A file is used from its first commit until journal_release() lets it go. Of the files that exist, the last
 * eighth (at least one) is kept for the reserved class: produced events stop before it, so that offset
 * commits, deletes and copies forward, which are what makes files free again, always find room. What counts
 * is the files that exist, not those that the settings allow: on a full disk no more can be made. A journal
 * begins with one file, and gets its second in the first turns.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "journal/journal_internal.h"

/* How many files a class may use. */
static uint32_t space_limit(const struct journal *j, enum journal_class class)
{
    uint32_t files = j->files.count - j->files_retired;
    /* Two files have nothing to spare: the one that is written must be able to become the other. Of a single
     * one journal_space() keeps a half. */
    if (class == JOURNAL_RESERVED || j->files_max <= 2 || files == 1)
        return files;
    uint32_t kept = files / 8 > 1 ? files / 8 : 1;
    return files > kept ? files - kept : 0;
}

/* A trial of journal_place(): where would a commit go? */
struct trial {
    uint64_t position, bytes;
    uint32_t files; /* that would be begun */
};

static void trial_place(const struct journal *j, struct trial *t, uint32_t payload)
{
    uint32_t bytes = journal_commit_bytes(payload);
    if (t->position + bytes > t->bytes) {
        t->files++;
        t->position = JOURNAL_BLOCK;
        t->bytes = j->file_bytes;
    }
    t->position += bytes;
}

bool journal_space(const struct journal *j, enum journal_class class, uint32_t more, uint32_t next)
{
    struct trial t = { j->position, j->place_bytes, 0 };
    for (uint64_t s = j->started + 1; s < j->open; s++)
        trial_place(j, &t, j->groups[s % j->groups_count].payload);
    uint32_t payload = j->groups[j->open % j->groups_count].payload + more;
    if (payload > 0)
        trial_place(j, &t, payload);
    if (next > 0)
        trial_place(j, &t, next);
    uint32_t used = j->files_used + t.files;
    if (used > space_limit(j, class))
        return false;
    const uint32_t files = j->files.count - j->files_retired;
    bool last = used == files;
    /* The second file is still being made, or the disk is full. */
    if (class == JOURNAL_NORMAL && files == 1 && t.position > t.bytes / 2)
        return false;
    return !last || t.position + JOURNAL_KEPT_BLOCKS * JOURNAL_BLOCK <= t.bytes;
}

bool journal_space_internal(const struct journal *j, bool may_switch)
{
    if (j->position + JOURNAL_BLOCK <= j->place_bytes)
        return true;
    return may_switch && j->files_used < j->files.count - j->files_retired;
}

void journal_count_files(struct journal *j)
{
    j->files_used = 0;
    j->files_retired = 0;
    for (uint32_t i = 0; i < j->files.count; i++) {
        j->files_used += j->files.files[i].used;
        j->files_retired += j->files.files[i].retired;
    }
    j->stats.files = j->files.count;
    j->stats.files_used = j->files_used;
}

/* The free file to use next: never used ones first, then in the order of their numbers, so that the numbers
 * that exist have no gap. */
static struct journal_file *space_free_file(struct journal *j)
{
    struct journal_file *best = NULL;
    for (uint32_t i = 0; i < j->files.count; i++) {
        struct journal_file *f = &j->files.files[i];
        if (!f->used && !f->retired && (!best || f->head.number < best->head.number))
            best = f;
    }
    return best;
}

void journal_place(struct journal *j, uint32_t bytes)
{
    if (j->position + bytes <= j->place_bytes)
        return;
    struct journal_file *f = space_free_file(j);
    CHECK(f); /* journal_room() and journal_space_internal() counted it */
    f->head = (struct journal_file_header){
        .epoch = j->epoch,
        .number = ++j->number,
        .file_bytes = f->bytes,
        .first_sequence = j->started + 1,
        .id = j->id,
        .prev_chain = j->chain,
    };
    f->check = JOURNAL_VALID;
    f->used = true;
    j->position = JOURNAL_BLOCK;
    j->place_bytes = f->bytes;
    j->place_fd = f->fd;
    j->place_new = true;
    journal_count_files(j);
    CHECK(j->position + bytes <= j->place_bytes);
}

/* ---- making ---- */

static void space_make_done(struct work_job *job)
{
    struct journal *j = CONTAINER_OF(CONTAINER_OF(job, struct journal_make, job), struct journal, make);
    if (j->make.bytes == 0) { /* one was unlinked; left behind, it is found at the next start */
        journal_grow(j, j->room_wanted);
        return;
    }
    if (j->make.error == 0) {
        journal_files_add(&j->files, &j->make.made);
        journal_count_files(j);
        j->told_full = false;
        journal_room_appeared(j);
        return;
    }
    if (!j->told_full)
        diag(DIAG_WARN, "journal", "cannot make another file; going on with those that exist",
             DIAG_KS("error", strerror(-j->make.error)), DIAG_KU("files", j->files.count),
             DIAG_KU("file_bytes", j->make.bytes));
    j->told_full = true;
    if (j->timers) {
        j->retry_later = true;
        timer_start(j->timers, &j->retry, JOURNAL_RETRY_MS);
    }
}

void journal_retry_due(struct timer *timer)
{
    struct journal *j = CONTAINER_OF(timer, struct journal, retry);
    j->retry_later = false;
    journal_grow(j, j->room_wanted);
}

static void space_unlink_retired(struct journal *j)
{
    for (uint32_t i = 0; i < j->files.count; i++) {
        if (!j->files.files[i].retired)
            continue;
        journal_make_prepare(&j->make, &j->files, 0);
        j->make.made = j->files.files[i];
        j->files.files[i] = j->files.files[--j->files.count];
        journal_count_files(j);
        work_submit(j->work, &j->make.job, journal_make_run, space_make_done);
        return;
    }
}

void journal_grow(struct journal *j, bool wanted)
{
    if (j->make.job.busy && (wanted || j->position >= j->place_bytes / 2))
        atomic_store_explicit(&j->make.hurry, true, memory_order_relaxed);
    if (j->failed || j->state != JOURNAL_RUNNING || j->make.job.busy || j->retry_later)
        return;
    if (j->files_retired > 0) {
        space_unlink_retired(j);
        return;
    }
    if (j->files.count >= j->files_max)
        return;
    /* Events must still find a whole file when the one that is written is full, and making one takes some ten
     * milliseconds: begin when a quarter is written. An idle broker stays with what it has. */
    bool spare = j->files_used < space_limit(j, JOURNAL_NORMAL), few = j->files.count < j->files_min;
    if (!wanted && !few && (spare || j->position < j->place_bytes / 4))
        return;
    journal_make_prepare(&j->make, &j->files, j->file_bytes);
    if (wanted)
        atomic_store(&j->make.hurry, true);
    work_submit(j->work, &j->make.job, journal_make_run, space_make_done);
}

/* ---- taking back ---- */

static struct journal_file *space_used_file(const struct journal *j, uint64_t number)
{
    for (uint32_t i = 0; i < j->files.count; i++)
        if (j->files.files[i].used && j->files.files[i].head.number == number)
            return &j->files.files[i];
    return NULL;
}

void journal_release(struct journal *j, uint64_t file)
{
    CHECK(file <= j->number);
    bool any = false;
    for (uint32_t i = 0; i < j->files.count; i++) {
        struct journal_file *f = &j->files.files[i];
        if (!f->used || f->head.number >= file)
            continue;
        f->used = false;
        f->retired = f->bytes != j->file_bytes || j->files.count - j->files_retired > j->files_max;
        any = true;
        journal_count_files(j);
    }
    if (!any)
        return;
    journal_grow(j, false);
    journal_room_appeared(j);
}

bool journal_point_of(const struct journal *j, uint64_t file, struct journal_point *out)
{
    const struct journal_file *f = space_used_file(j, file);
    /* A checkpoint may name a file only when a crash cannot take that file's beginning away again. */
    if (!f || f->head.first_sequence > j->durable)
        return false;
    *out = (struct journal_point){
        .file = file,
        .sequence = f->head.first_sequence - 1,
        .chain = f->head.prev_chain,
    };
    return true;
}

uint64_t journal_oldest_file(const struct journal *j)
{
    uint64_t oldest = j->number;
    for (uint32_t i = 0; i < j->files.count; i++)
        if (j->files.files[i].used && j->files.files[i].head.number < oldest)
            oldest = j->files.files[i].head.number;
    return oldest;
}

uint32_t journal_files_used(const struct journal *j)
{
    return j->files_used;
}

uint32_t journal_files_max(const struct journal *j)
{
    return j->files_max;
}
