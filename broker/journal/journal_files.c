/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_files.c: finding, making, pre-writing, wiping and removing the files of a journal.
 */
#include "journal/journal_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"

/* Size of the writes that fill a new file: large enough for the disk's full rate, small enough that a commit
 * which is written meanwhile does not wait behind much. */
/* A commit that is written meanwhile waits for the pieces before it in the disk's cache: small ones with
 * pauses keep that short (bench: p99 of 10,000 events a second, 1.9 to 0.4 ms). */
enum { PREWRITE_BYTES = 128 * 1024, PREWRITE_REST_US = 1000 };

static void file_path(char *out, const char *dir, uint64_t slot, const char *suffix)
{
    int n = snprintf(out, JOURNAL_PATH_BYTES, "%s/%016llx%s", dir, (unsigned long long)slot, suffix);
    CHECK(n > 0 && n < JOURNAL_PATH_BYTES); /* journal_files_open() checked the directory's length */
}

void journal_file_name(const struct journal_file *file, char *out)
{
    int n = snprintf(out, JOURNAL_NAME_BYTES, "%016llx.journal", (unsigned long long)file->slot);
    CHECK(n > 0 && n < JOURNAL_NAME_BYTES);
}

struct journal_file *journal_files_find(struct journal_files *files, uint64_t number)
{
    for (uint32_t i = 0; i < files->count; i++) {
        struct journal_file *f = &files->files[i];
        if (f->check == JOURNAL_VALID && f->head.number == number)
            return f;
    }
    return NULL;
}

void journal_files_add(struct journal_files *files, const struct journal_file *file)
{
    if (files->count == files->capacity) {
        uint32_t capacity = files->capacity ? 2 * files->capacity : 16;
        files->files =
            mem_realloc(MEM_JOURNAL, files->files, files->capacity * sizeof(*file), capacity * sizeof(*file));
        files->capacity = capacity;
    }
    files->files[files->count++] = *file;
    if (!file->direct)
        files->direct = false;
}

/* ---- finding ---- */

struct finding {
    struct journal_files *files;
    bool writing;
    char *why;
    uint32_t why_bytes;
};

/* "<16 lower-case hex digits><suffix>" */
static bool slot_parse(const char *name, const char *suffix, uint64_t *slot)
{
    *slot = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            *slot = *slot << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *slot = *slot << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    return strcmp(name + 16, suffix) == 0;
}

static int file_open_slot(struct journal_file *file, const char *dir, uint64_t slot, bool writing)
{
    char path[JOURNAL_PATH_BYTES];
    file_path(path, dir, slot, ".journal");
    *file = (struct journal_file){ .slot = slot, .direct = true };
    uint32_t flags = FILE_DIRECT | (writing ? FILE_WRITE | FILE_DSYNC : FILE_READ);
    file->fd = file_open(path, flags, &file->direct);
    return file->fd < 0 ? file->fd : 0;
}

static int file_read_header(struct journal_file *file)
{
    int64_t bytes = file_bytes(file->fd);
    if (bytes < 0)
        return (int)bytes;
    file->bytes = (uint64_t)bytes & ~(uint64_t)(JOURNAL_BLOCK - 1);
    if (file->bytes > JOURNAL_FILE_BYTES_LIMIT)
        return -EFBIG;
    uint8_t *block = mem_alloc_aligned(MEM_JOURNAL, JOURNAL_BLOCK, JOURNAL_BLOCK);
    int64_t n = file_read(file->fd, block, JOURNAL_BLOCK, 0);
    if (n == JOURNAL_BLOCK)
        file->check = journal_file_header_decode(block, &file->head);
    else
        file->check = JOURNAL_DAMAGED; /* cut short by somebody */
    if (file->check == JOURNAL_ZERO || file->check == JOURNAL_DAMAGED)
        memset(&file->head, 0, sizeof(file->head));
    mem_free(MEM_JOURNAL, block, JOURNAL_BLOCK);
    return n < 0 ? (int)n : 0;
}

static int finding_fail(struct finding *f, int error, const char *name, const char *what)
{
    snprintf(f->why, f->why_bytes, "journal file %s: %s: %s", name, what, strerror(-error));
    return error;
}

static int finding_name(void *ctx, const char *name, bool is_dir)
{
    struct finding *f = ctx;
    uint64_t slot;
    if (is_dir || strlen(name) < 16)
        return 0;
    if (f->writing && slot_parse(name, ".new", &slot)) {
        char path[JOURNAL_PATH_BYTES];
        file_path(path, f->files->dir, slot, ".new");
        int error = file_unlink(path);
        return error < 0 ? finding_fail(f, error, name, "cannot remove the remains of its making") : 0;
    }
    if (!slot_parse(name, ".journal", &slot))
        return 0; /* not ours */
    if (f->files->count == JOURNAL_FILES_LIMIT)
        return finding_fail(f, -EFBIG, name, "too many journal files");
    struct journal_file file;
    int error = file_open_slot(&file, f->files->dir, slot, f->writing);
    if (error < 0)
        return finding_fail(f, error, name, "cannot open");
    error = file_read_header(&file);
    journal_files_add(f->files, &file); /* closed with the others, also after an error */
    return error < 0 ? finding_fail(f, error, name, "cannot read") : 0;
}

int journal_files_open(struct journal_files *files, const char *dir, bool writing, char *why,
                       uint32_t why_bytes)
{
    *files = (struct journal_files){ .direct = true };
    size_t len = strlen(dir);
    if (len + 1 + JOURNAL_NAME_BYTES > JOURNAL_PATH_BYTES) {
        snprintf(why, why_bytes, "the path of the journal directory is too long (%zu bytes)", len);
        return -ENAMETOOLONG;
    }
    memcpy(files->dir, dir, len + 1);
    struct finding f = { files, writing, why, why_bytes };
    why[0] = 0;
    int error = file_list(dir, finding_name, &f);
    if (error < 0 && why[0] == 0)
        snprintf(why, why_bytes, "cannot read the journal directory %s: %s", dir, strerror(-error));
    return error;
}

void journal_files_destroy(struct journal_files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        file_close(files->files[i].fd);
    mem_free(MEM_JOURNAL, files->files, files->capacity * sizeof(*files->files));
    *files = (struct journal_files){ 0 };
}

/* ---- making ---- */

/* `hurry` NULL: nobody else is there yet. */
static int prewrite(int fd, uint64_t bytes, const atomic_bool *hurry)
{
    uint8_t *zeros = mem_alloc_aligned(MEM_JOURNAL, PREWRITE_BYTES, JOURNAL_BLOCK);
    memset(zeros, 0, PREWRITE_BYTES);
    int error = 0;
    for (uint64_t at = 0; error == 0 && at < bytes; at += PREWRITE_BYTES) {
        uint64_t piece = bytes - at < PREWRITE_BYTES ? bytes - at : PREWRITE_BYTES;
        error = file_write(fd, zeros, piece, at);
        if (hurry && !atomic_load_explicit(hurry, memory_order_relaxed))
            work_rest(PREWRITE_REST_US);
    }
    mem_free(MEM_JOURNAL, zeros, PREWRITE_BYTES);
    return error;
}

/* Pre-written and renamed, in that order: a file with a journal's name is whole. */
static int make_file(struct journal_file *out, const char *dir, uint64_t slot, uint64_t bytes,
                     const atomic_bool *hurry)
{
    char making[JOURNAL_PATH_BYTES], path[JOURNAL_PATH_BYTES];
    file_path(making, dir, slot, ".new");
    file_path(path, dir, slot, ".journal");
    bool direct;
    int fd = file_open(making, FILE_WRITE | FILE_CREATE | FILE_DIRECT, &direct);
    if (fd < 0)
        return fd;
    int error = prewrite(fd, bytes, hurry);
    if (error == 0)
        error = file_sync(fd);
    file_close(fd);
    if (error == 0)
        error = file_rename(making, path);
    if (error < 0) {
        file_unlink(making); /* what it took is the space that is missing, perhaps */
        return error;
    }
    error = file_sync_dir(dir);
    if (error == 0)
        error = file_open_slot(out, dir, slot, true);
    out->bytes = bytes;
    out->check = JOURNAL_ZERO;
    return error;
}

static uint64_t slot_next(const struct journal_files *files)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < files->count; i++)
        if (files->files[i].slot >= next)
            next = files->files[i].slot + 1;
    return next;
}

int journal_files_make(struct journal_files *files, uint64_t bytes)
{
    struct journal_file file;
    int error = make_file(&file, files->dir, slot_next(files), bytes, NULL);
    if (error < 0)
        return error;
    journal_files_add(files, &file);
    return 0;
}

void journal_make_prepare(struct journal_make *make, const struct journal_files *files, uint64_t bytes)
{
    memcpy(make->dir, files->dir, sizeof(make->dir));
    make->bytes = bytes;
    make->made = (struct journal_file){ .slot = slot_next(files) };
    make->error = 0;
    atomic_store(&make->hurry, false);
}

void journal_make_run(struct work_job *job)
{
    struct journal_make *make = CONTAINER_OF(job, struct journal_make, job);
    if (make->bytes > 0) {
        make->error = make_file(&make->made, make->dir, make->made.slot, make->bytes, &make->hurry);
        return;
    }
    char path[JOURNAL_PATH_BYTES];
    file_path(path, make->dir, make->made.slot, ".journal");
    file_close(make->made.fd);
    make->error = file_unlink(path);
}

/* ---- wiping, removing ---- */

int journal_files_wipe(struct journal_file *file)
{
    uint8_t *zeros = mem_alloc_aligned(MEM_JOURNAL, JOURNAL_BLOCK, JOURNAL_BLOCK);
    memset(zeros, 0, JOURNAL_BLOCK);
    int error = file_write(file->fd, zeros, JOURNAL_BLOCK, 0); /* opened with FILE_DSYNC */
    mem_free(MEM_JOURNAL, zeros, JOURNAL_BLOCK);
    file->check = JOURNAL_ZERO;
    memset(&file->head, 0, sizeof(file->head));
    return error;
}

int journal_files_remove(struct journal_files *files, uint32_t index)
{
    char path[JOURNAL_PATH_BYTES];
    file_path(path, files->dir, files->files[index].slot, ".journal");
    file_close(files->files[index].fd);
    files->files[index] = files->files[--files->count];
    return file_unlink(path);
}
