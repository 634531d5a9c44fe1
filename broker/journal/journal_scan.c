/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_scan.c: following the chain of commits through the files, and judging its end.
 *
 * Why a durable sequence proves damage: a commit X is written with the highest sequence D that was durable at
 * that moment. Whoever finds X whole therefore knows that every commit up to D had reached stable storage and
 * may have been acknowledged. A commit that a crash tore, or that was cut because its predecessor was torn,
 * was built when that predecessor was not durable: its D is lower than every sequence that is ever expected
 * afterwards, in this epoch or a later one. So left-overs of any age need no removing, and never prove
 * anything.
 */
#include "journal/journal_scan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"

enum { TEXT_BYTES = 400 };

/* Reports damage. Returns the error where the first finding ends the scan, and 0 where it goes on. */
__attribute__((format(printf, 5, 6))) static int scan_finding(struct journal_scan *s, int error,
                                                              const struct journal_file *file,
                                                              uint64_t position, const char *format, ...)
{
    char text[TEXT_BYTES], name[JOURNAL_NAME_BYTES] = "(missing)";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (file)
        journal_file_name(file, name);
    s->findings++;
    if (s->finding) {
        s->finding(s->finding_ctx, name, position, text);
        return 0;
    }
    snprintf(s->why, s->why_bytes, "journal file %s/%s, position %llu: %s", s->files->dir, name,
             (unsigned long long)position, text);
    return error;
}

static int scan_load(struct journal_scan *s, const struct journal_file *file)
{
    if (s->loaded && s->loaded_slot == file->slot)
        return 0;
    if (s->bytes_capacity < file->bytes) {
        mem_free(MEM_JOURNAL, s->bytes, s->bytes_capacity);
        s->bytes = mem_alloc_aligned(MEM_JOURNAL, file->bytes, JOURNAL_BLOCK);
        s->bytes_capacity = file->bytes;
    }
    s->loaded = false;
    int64_t n = file_read(file->fd, s->bytes, file->bytes, 0);
    if (n < 0 || (uint64_t)n != file->bytes)
        return scan_finding(s, n < 0 ? (int)n : -EIO, file, 0, "cannot be read: %s",
                            n < 0 ? strerror((int)-n) : "it became shorter");
    s->bytes_loaded = file->bytes;
    s->loaded_slot = file->slot;
    s->loaded = true;
    return 0;
}

/* Is the commit, whole as it is, one that was written for this place of this journal? */
static bool scan_in_place(const struct journal_scan *s, const struct journal_commit *c, uint64_t number,
                          uint64_t position)
{
    return (s->id == 0 || c->id == s->id) && (number == 0 || c->file == number) && c->position == position;
}

/* Is it the successor of the chain's last commit? An epoch begins with an opening commit: a commit of an
 * earlier epoch that waits behind it (cut then, because its predecessor was torn) does not follow. */
static bool scan_follows(const struct journal_scan *s, const struct journal_commit *c)
{
    if (c->sequence != s->sequence + 1)
        return false;
#ifdef RUNNEL_SABOTAGE_CHAIN_UNCHECKED
    return true; /* deliberate fault: the tests must notice */
#endif
    if (c->chain != s->chain)
        return false;
    if (s->epoch_known && c->epoch == s->epoch)
        return true;
    return (!s->epoch_known && s->sequence > 0) || (c->epoch > s->epoch && (c->flags & JOURNAL_OPENING) != 0);
}

static int scan_replay(struct journal_scan *s, const struct journal_commit *c, const uint8_t *at)
{
    const uint8_t *entry = at + JOURNAL_COMMIT_HEADER, *end = entry + c->payload_bytes;
    struct journal_entry e = { .sequence = c->sequence, .file = c->file };
    while (journal_entry_decode(&entry, end, &e)) {
        s->report.entries++;
        s->report.bytes += e.bytes;
        int error = s->replay ? s->replay(s->replay_ctx, &e) : 0;
        if (error != 0) {
            snprintf(s->why, s->why_bytes, "replaying entry of type %u in journal commit %llu failed (%d)",
                     e.type, (unsigned long long)c->sequence, error);
            return error;
        }
    }
    return 0;
}

static int scan_accept(struct journal_scan *s, const struct journal_commit *c)
{
    int error = scan_replay(s, c, s->bytes + s->position);
    s->report.commits++;
    s->report.clean = (c->flags & JOURNAL_CLOSING) != 0;
    s->sequence = c->sequence;
    s->chain = c->checksum;
    s->epoch = c->epoch;
    s->epoch_known = true;
    if (c->epoch > s->epoch_max)
        s->epoch_max = c->epoch;
    s->position += journal_commit_bytes(c->payload_bytes);
    return error;
}

/* What stands at a place of the loaded file. */
static enum journal_check scan_decode(const struct journal_scan *s, uint64_t position,
                                      struct journal_commit *out)
{
    memset(out, 0, sizeof(*out));
    if (position >= s->bytes_loaded)
        return JOURNAL_ZERO;
    return journal_commit_decode(s->bytes + position, s->bytes_loaded - position, out);
}

/* A commit that means something unknown, in its turn: *error is set. One of an unknown version cannot say
 * whose turn it is. */
static bool scan_foreign(struct journal_scan *s, enum journal_check check, const struct journal_commit *c,
                         const struct journal_file *file, uint64_t position, int *error)
{
    if (check != JOURNAL_FOREIGN || (c->version == JOURNAL_VERSION && c->sequence != s->sequence + 1))
        return false;
    *error =
        scan_finding(s, -ENOTSUP, file, position,
                     "a commit of format version %u (flags %u, participants %u) that this release does not "
                     "know: start the release that wrote it",
                     c->version, c->flags, c->participants);
    return true;
}

/* Accepts commits of the loaded file from the scan's position on, as far as they follow. */
static int scan_chain(struct journal_scan *s, const struct journal_file *file)
{
    int error = 0;
    while (error == 0) {
        struct journal_commit c;
        enum journal_check check = scan_decode(s, s->position, &c);
        if (scan_foreign(s, check, &c, file, s->position, &error))
            break;
        if (check != JOURNAL_VALID || !scan_in_place(s, &c, s->number, s->position) || !scan_follows(s, &c))
            break;
        error = scan_accept(s, &c);
    }
    return error;
}

/* ---- the end ---- */

struct evidence {
    struct journal_file *file;
    uint64_t position;
    struct journal_commit commit;
};

/* Looks through a file, block by block, for a commit that proves sequence + 1 durable. Counts what is cut
 * meanwhile. `number` 0: the file's header is damaged. */
static int ahead_file(struct journal_scan *s, struct journal_file *file, uint64_t number, uint64_t position,
                      struct evidence *found)
{
    int error = scan_load(s, file);
    if (error != 0 || !s->loaded)
        return error;
    while (position < s->bytes_loaded) {
        struct journal_commit *c = &found->commit;
        uint64_t step = JOURNAL_BLOCK;
        if (journal_commit_maybe(s->bytes + position) && scan_decode(s, position, c) == JOURNAL_VALID &&
            scan_in_place(s, c, number, position)) {
            if (c->epoch > s->epoch_max)
                s->epoch_max = c->epoch;
            if (c->durable > s->sequence) {
                found->file = file;
                found->position = position;
                return 0;
            }
            step = journal_commit_bytes(c->payload_bytes);
            if (c->sequence > s->sequence && c->epoch >= s->epoch)
                s->report.torn_bytes += step;
        }
        position += step;
    }
    return 0;
}

/* The file with the next higher number; there may be a gap when only looking. */
static struct journal_file *ahead_next(const struct journal_scan *s, uint64_t number)
{
    struct journal_file *next = NULL;
    for (uint32_t i = 0; i < s->files->count; i++) {
        struct journal_file *f = &s->files->files[i];
        if (f->check == JOURNAL_VALID && f->head.number > number &&
            (!next || f->head.number < next->head.number))
            next = f;
    }
    return next;
}

/* Looks behind the end of the chain: the rest of its file, all later files, and those whose header is
 * damaged, which may be later ones. */
static int scan_ahead(struct journal_scan *s, struct journal_file *file, struct evidence *found)
{
    *found = (struct evidence){ 0 };
    int error = file ? ahead_file(s, file, s->number, s->position, found) : 0;
    struct journal_file *next = ahead_next(s, s->number);
    while (error == 0 && !found->file && next) {
        error = ahead_file(s, next, next->head.number, JOURNAL_BLOCK, found);
        next = ahead_next(s, next->head.number);
    }
    for (uint32_t i = 0; error == 0 && !found->file && i < s->files->count; i++)
        if (s->files->files[i].check == JOURNAL_DAMAGED)
            error = ahead_file(s, &s->files->files[i], 0, JOURNAL_BLOCK, found);
    return error;
}

/* A torn commit whose header can be read counts with its length. */
static void scan_count_torn(struct journal_scan *s)
{
    struct journal_commit c;
    if (scan_decode(s, s->position, &c) != JOURNAL_DAMAGED || c.magic != JOURNAL_COMMIT_MAGIC ||
        c.sequence != s->sequence + 1 || c.file != s->number)
        return;
    uint64_t left = s->bytes_loaded - s->position;
    uint64_t whole = c.payload_bytes > left ? left : journal_commit_bytes(c.payload_bytes);
    s->report.torn_bytes += whole < left ? whole : left;
}

/* The chain ended at the scan's place: torn (0, *more false), damaged (error), or damaged and to be gone on
 * with from the next commit that is known (0, *more true). */
static int scan_end(struct journal_scan *s, struct journal_file **file, const struct journal_file *next,
                    bool *more)
{
    struct evidence found;
    *more = false;
    uint64_t torn = s->report.torn_bytes;
    if (*file) {
        int error = scan_load(s, *file);
        if (error != 0 || !s->loaded)
            return error;
        scan_count_torn(s);
    }
    int error = scan_ahead(s, *file, &found);
    if (error != 0 || !found.file)
        return error;
    s->report.torn_bytes = torn;
    char name[JOURNAL_NAME_BYTES];
    journal_file_name(found.file, name);
    error = scan_finding(s, -EBADMSG, next ? next : *file, next ? JOURNAL_BLOCK : s->position,
                         "commit %llu is damaged or missing, although commit %llu (%s, position %llu) says "
                         "that it was durable; the disk or somebody changed acknowledged data: restore the "
                         "directory from a backup, `runneld --verify` lists all damage",
                         (unsigned long long)s->sequence + 1, (unsigned long long)found.commit.sequence, name,
                         (unsigned long long)found.position);
    if (error != 0)
        return error;
    *file = found.file;
    s->number = found.commit.file;
    s->position = found.position;
    s->sequence = found.commit.sequence - 1;
    s->chain = found.commit.chain;
    s->epoch = found.commit.epoch;
    s->epoch_known = true;
    *more = true;
    return scan_load(s, found.file);
}

/* ---- the beginning ---- */

/* Unknown versions, strange sizes, files of another journal, two files with one number. */
static int scan_headers(struct journal_scan *s)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < s->files->count; i++) {
        struct journal_file *f = &s->files->files[i];
        if (f->check == JOURNAL_FOREIGN)
            error = scan_finding(s, -ENOTSUP, f, 0,
                                 "format version %u, this release knows version %u: start the release that "
                                 "wrote it",
                                 f->head.version, JOURNAL_VERSION);
        if (f->check != JOURNAL_VALID)
            continue;
        if (s->id == 0)
            s->id = f->head.id;
        if (f->head.epoch > s->epoch_max)
            s->epoch_max = f->head.epoch;
        if (f->head.id != s->id)
            error = scan_finding(s, -EBADMSG, f, 0, "belongs to another journal: move it away");
        else if (f->head.file_bytes != f->bytes)
            error = scan_finding(s, -EBADMSG, f, 0,
                                 "is %llu bytes long, and %llu were written: restore it from a backup",
                                 (unsigned long long)f->bytes, (unsigned long long)f->head.file_bytes);
        else if (journal_files_find(s->files, f->head.number) != f)
            error = scan_finding(s, -EBADMSG, f, 0, "a second file with number %llu: move the copy away",
                                 (unsigned long long)f->head.number);
    }
    return error;
}

/* Every number from the first one needed up to the highest must be there. */
static int scan_gaps(struct journal_scan *s, uint64_t first)
{
    uint64_t number = first;
    for (struct journal_file *f = ahead_next(s, first - 1); f; f = ahead_next(s, f->head.number)) {
        if (f->head.number != number) {
            int error = scan_finding(s, -ENOENT, f, 0,
                                     "journal file number %llu is missing or its header is damaged (this one "
                                     "is number %llu): restore it from a backup",
                                     (unsigned long long)number, (unsigned long long)f->head.number);
            if (error != 0)
                return error;
        }
        number = f->head.number + 1;
    }
    return 0;
}

/* Puts the scan's place to `from`. *file NULL: there is nothing to scan. */
static int scan_start(struct journal_scan *s, struct journal_file **file)
{
    const struct journal_point *from = s->from;
    struct journal_file *oldest = ahead_next(s, 0);
    *file = NULL;
    if (!from || from->file == 0) {
        if (!oldest)
            return 0;
        /* Nothing was ever released without a checkpoint that says so, so everything must be there. */
        if (from && oldest->head.number != 1)
            return scan_finding(s, -ENOENT, oldest, 0,
                                "no checkpoint says where to start, and journal file number 1 is missing "
                                "(this one, number %llu, is the oldest): restore checkpoint or journal",
                                (unsigned long long)oldest->head.number);
        *file = oldest;
        s->number = oldest->head.number;
        s->position = JOURNAL_BLOCK;
        s->sequence = oldest->head.first_sequence - 1;
        s->chain = oldest->head.prev_chain;
        return scan_gaps(s, s->number);
    }
    s->number = from->file;
    s->position = from->position ? from->position : JOURNAL_BLOCK;
    s->sequence = from->sequence;
    s->chain = from->chain;
    *file = journal_files_find(s->files, from->file);
    if (!*file)
        return scan_finding(s, -ENOENT, NULL, 0,
                            "journal file number %llu, where the checkpoint says to start, is missing or its "
                            "header is damaged: restore it from a backup",
                            (unsigned long long)from->file);
    bool outside = s->position % JOURNAL_BLOCK != 0 || s->position > (*file)->bytes;
    bool other = s->position == JOURNAL_BLOCK &&
                 ((*file)->head.first_sequence != s->sequence + 1 || (*file)->head.prev_chain != s->chain);
    if (outside || other) {
        int error = scan_finding(s, -EBADMSG, *file, s->position,
                                 "the checkpoint names a place that this file does not have (sequence %llu): "
                                 "checkpoint and journal do not belong together",
                                 (unsigned long long)s->sequence);
        *file = NULL;
        return error;
    }
    return scan_gaps(s, s->number);
}

/* ---- all ---- */

/* The chain goes on in `next` when that file began with the commit that is expected, and has it. */
static int scan_switch(struct journal_scan *s, struct journal_file *next, bool *switched)
{
    *switched = false;
    int error = scan_load(s, next);
    if (error != 0 || !s->loaded)
        return error;
    struct journal_commit c;
    enum journal_check check = scan_decode(s, JOURNAL_BLOCK, &c);
    if (scan_foreign(s, check, &c, next, JOURNAL_BLOCK, &error) || check != JOURNAL_VALID ||
        !scan_in_place(s, &c, next->head.number, JOURNAL_BLOCK) || !scan_follows(s, &c))
        return error;
    *switched = true;
    s->number = next->head.number;
    s->position = JOURNAL_BLOCK;
    return 0;
}

static int scan_all(struct journal_scan *s)
{
    struct journal_file *file;
    int error = scan_headers(s);
    if (error == 0)
        error = scan_start(s, &file);
    if (error == 0 && file)
        error = scan_load(s, file);
    bool more = error == 0 && (s->loaded || !file);
    while (error == 0 && more) {
        error = file ? scan_chain(s, file) : 0;
        if (error != 0)
            break;
        struct journal_file *next = file ? journal_files_find(s->files, s->number + 1) : NULL;
        if (next && (next->head.first_sequence != s->sequence + 1 || next->head.prev_chain != s->chain))
            next = NULL;
        bool switched = false;
        if (next)
            error = scan_switch(s, next, &switched);
        if (switched)
            file = next;
        else if (error == 0)
            error = scan_end(s, &file, next, &more);
    }
    return error;
}

int journal_scan(struct journal_scan *s)
{
    s->report = (struct journal_report){ 0 };
    int error = scan_all(s);
    s->report.empty = error == 0 && s->report.commits == 0 && s->sequence == 0;
    if (s->report.torn_bytes > 0)
        s->report.clean = false;
    mem_free(MEM_JOURNAL, s->bytes, s->bytes_capacity);
    s->bytes = NULL;
    s->bytes_capacity = 0;
    return error;
}
