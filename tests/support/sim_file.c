/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_file.c: file.h on the simulated disk, and what asynchronous operations do to it.
 *
 * Each call that reads or changes the disk is one step: it meets the faults, and the power may be cut inside
 * it. Then its change has been made in memory, is not durable by itself, and the caller gets -EIO.
 */
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_state.h"

/* Direct I/O must suit the device, as the kernel insists. */
static bool sim_aligned(const struct sim_file *file, const void *buf, uint64_t bytes, uint64_t position)
{
    return !(file->flags & FILE_DIRECT) || (((uintptr_t)buf | bytes | position) % 512 == 0);
}

/* ---- what operations do ---- */

int64_t sim_do_read(int fd, void *buf, uint64_t bytes, uint64_t position)
{
    const struct sim_file *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    if (file == NULL)
        return -EBADF;
    if (!sim_aligned(file, buf, bytes, position))
        return -EINVAL;
    const struct io_sim_fault *fault = sim_fault(IO_SIM_READ, file->path);
    if (fault)
        return -fault->error;
    return (int64_t)sim_read(sim.disk, file->inode, buf, bytes, position);
}

/* A write that fails leaves a part of itself, sector by sector. */
static void sim_write_some(const struct sim_file *file, const void *buf, uint64_t bytes, uint64_t position,
                           uint64_t sequence)
{
    for (uint64_t at = 0, n; at < bytes; at += n) {
        n = 512 - (position + at) % 512;
        if (n > bytes - at)
            n = bytes - at;
        if (sim_random(&sim.rng) % 2)
            sim_write(sim.disk, file->inode, (const uint8_t *)buf + at, n, position + at, sequence, &sim.rng);
    }
}

int sim_do_write(int fd, const void *buf, uint64_t bytes, uint64_t position, uint64_t sequence)
{
    const struct sim_file *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    if (file == NULL || !(file->flags & FILE_WRITE))
        return -EBADF;
    if (!sim_aligned(file, buf, bytes, position))
        return -EINVAL;
    const bool cut = sim_step();
    const struct io_sim_fault *fault = sim_fault(IO_SIM_WRITE, file->path);
    if (fault && fault->silent && !cut)
        return 0;
    if (fault && !cut) {
        /* ENOSPC is told before anything is written; after EIO nobody knows what was. */
        if (fault->error != ENOSPC)
            sim_write_some(file, buf, bytes, position, sequence);
        return -fault->error;
    }
    const int error = sim_write(sim.disk, file->inode, buf, bytes, position, sequence, &sim.rng);
    if (cut) {
        sim_cut_now();
        return -EIO;
    }
    if (error == 0 && (file->flags & FILE_DSYNC))
        sim_sync_range(sim.disk, file->inode, bytes, position);
    return error;
}

int sim_do_sync(int fd)
{
    const struct sim_file *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    if (file == NULL)
        return -EBADF;
    if (sim_step()) {
        sim_cut_now();
        return -EIO;
    }
    const struct io_sim_fault *fault = sim_fault(IO_SIM_SYNC, file->path);
    if (fault) {
        sim_sync_failed(sim.disk, file->inode, &sim.rng);
        return -fault->error;
    }
    sim_sync(sim.disk, file->inode);
    return 0;
}

int sim_do_close(int fd)
{
    struct sim_file *file = sim_file(fd);
    if (file == NULL)
        return sim_file_stale(fd) ? 0 : -EBADF;
    if (!sim.dead) /* else the crash has closed everything on the disk's side */
        sim_drop(sim.disk, file->inode);
    file->open = false;
    return 0;
}

/* ---- file.h ---- */

int file_open(const char *path, uint32_t flags, bool *direct)
{
    CHECK(sim.started);
    if (sim.dead)
        return -EIO;
    int inode = sim_find(sim.disk, path);
    const bool cut = inode == -ENOENT && (flags & FILE_CREATE) && sim_step();
    const struct io_sim_fault *fault = sim_fault(IO_SIM_OPEN, path);
    if (fault && !cut)
        return -fault->error;
    if (inode >= 0 && (flags & FILE_EXCL) && (flags & FILE_CREATE))
        inode = -EEXIST;
    else if (inode == -ENOENT && (flags & FILE_CREATE))
        inode = sim_make(sim.disk, path, false);
    if (inode >= 0 && sim_is_dir(sim.disk, inode))
        inode = -EISDIR;
    if (cut) {
        sim_cut_now();
        return -EIO;
    }
    if (inode < 0)
        return inode;
    if (sim.options.no_direct)
        flags &= ~(uint32_t)FILE_DIRECT;
    if (direct)
        *direct = (flags & FILE_DIRECT) != 0;
    return sim_file_new(inode, flags, path);
}

void file_close(int fd)
{
    CHECK(sim_do_close(fd) == 0);
}

int64_t file_read(int fd, void *buf, uint64_t bytes, uint64_t position)
{
    return sim_do_read(fd, buf, bytes, position);
}

int file_write(int fd, const void *buf, uint64_t bytes, uint64_t position)
{
    return sim_do_write(fd, buf, bytes, position, sim_disk_sequence(sim.disk));
}

int file_sync(int fd)
{
    return sim_do_sync(fd);
}

int64_t file_bytes(int fd)
{
    const struct sim_file *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    return file ? (int64_t)sim_bytes(sim.disk, file->inode) : -EBADF;
}

/* A step that changes an open file's size; `cut`: the power goes in it. */
static int resize_begin(int fd, enum io_sim_op op, const struct sim_file **file, bool *cut)
{
    *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    if (*file == NULL || !((*file)->flags & FILE_WRITE))
        return -EBADF;
    *cut = sim_step();
    const struct io_sim_fault *fault = sim_fault(op, (*file)->path);
    return fault && !*cut ? -fault->error : 0;
}

static int resize_end(bool cut, int error)
{
    if (cut)
        sim_cut_now();
    return cut ? -EIO : error;
}

int file_truncate(int fd, uint64_t bytes)
{
    const struct sim_file *file;
    bool cut;
    const int error = resize_begin(fd, IO_SIM_TRUNCATE, &file, &cut);
    if (error)
        return error;
    sim_truncate(sim.disk, file->inode, bytes);
    return resize_end(cut, 0);
}

int file_allocate(int fd, uint64_t bytes)
{
    const struct sim_file *file;
    bool cut;
    const int error = resize_begin(fd, IO_SIM_ALLOCATE, &file, &cut);
    return error ? error : resize_end(cut, sim_allocate(sim.disk, file->inode, bytes));
}

/* The one-by-one way is the one whose every step can be cut. */
int file_sync_all(const char *path)
{
    (void)path;
    return sim.dead ? -EIO : -EOPNOTSUPP;
}

int file_sync_dir(const char *path)
{
    if (sim.dead)
        return -EIO;
    const int inode = sim_find(sim.disk, path);
    if (inode < 0)
        return inode;
    if (!sim_is_dir(sim.disk, inode))
        return -ENOTDIR;
    if (sim_step()) {
        sim_cut_now();
        return -EIO;
    }
    const struct io_sim_fault *fault = sim_fault(IO_SIM_SYNC_DIR, path);
    if (fault)
        return -fault->error;
    sim_sync_names(sim.disk, inode);
    return 0;
}

enum sim_name_change { SIM_MKDIR, SIM_RENAME, SIM_UNLINK, SIM_RMDIR };

static int sim_do_name(enum sim_name_change change, const char *path, const char *to)
{
    if (sim.dead)
        return -EIO;
    const bool cut = sim_step();
    const struct io_sim_fault *fault = sim_fault(IO_SIM_NAME, path);
    if (fault && !cut)
        return -fault->error;
    int result = 0;
    switch (change) {
    case SIM_MKDIR:
        result = sim_make(sim.disk, path, true);
        break;
    case SIM_RENAME:
        result = sim_rename(sim.disk, path, to);
        break;
    case SIM_UNLINK:
        result = sim_remove(sim.disk, path, false);
        break;
    case SIM_RMDIR:
        result = sim_remove(sim.disk, path, true);
        break;
    }
    if (cut)
        sim_cut_now();
    return cut ? -EIO : result;
}

int file_mkdir(const char *path)
{
    CHECK(sim.started);
    const int inode = sim_do_name(SIM_MKDIR, path, NULL);
    if (inode == -EEXIST)
        return sim_is_dir(sim.disk, sim_find(sim.disk, path)) ? 0 : -ENOTDIR;
    return inode < 0 ? inode : 1;
}

int file_rename(const char *from, const char *to)
{
    return sim_do_name(SIM_RENAME, from, to);
}

int file_unlink(const char *path)
{
    return sim_do_name(SIM_UNLINK, path, NULL);
}

int file_rmdir(const char *path)
{
    return sim_do_name(SIM_RMDIR, path, NULL);
}

int file_exists(const char *path)
{
    CHECK(sim.started);
    if (sim.dead)
        return -EIO;
    const int inode = sim_find(sim.disk, path);
    if (inode == -ENOENT || inode == -ENOTDIR)
        return 0;
    return inode < 0 ? inode : 1;
}

/* In an order drawn anew each time: a real directory promises none. The callback may change the directory. */
int file_list(const char *path, int (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    CHECK(sim.started);
    if (sim.dead)
        return -EIO;
    const int dir = sim_find(sim.disk, path);
    if (dir < 0)
        return dir;
    if (!sim_is_dir(sim.disk, dir))
        return -ENOTDIR;
    uint32_t count;
    int result = 0;
    char **names = sim_names(sim.disk, dir, &count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t other = i + (uint32_t)(sim_random(&sim.rng) % (count - i));
        char *name = names[other];
        names[other] = names[i];
        const int inode = sim.dead ? -EIO : sim_child(sim.disk, dir, name);
        if (result == 0 && inode >= 0)
            result = each(ctx, name, sim_is_dir(sim.disk, inode));
        free(name);
    }
    free(names);
    return result;
}

int file_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    if (sim.dead)
        return -EIO;
    const int inode = sim_find(sim.disk, path);
    if (inode < 0)
        return inode;
    const uint64_t used = sim_disk_used(sim.disk);
    *total_bytes = sim_disk_capacity(sim.disk);
    *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
    return 0;
}

int file_lock(int fd)
{
    struct sim_file *file = sim_file(fd);
    if (sim.dead)
        return -EIO;
    if (file == NULL)
        return -EBADF;
    for (uint32_t i = 0; i < sim.file_count; i++) {
        const struct sim_file *other = &sim.files[i];
        if (other != file && other->open && other->locked && other->inode == file->inode)
            return -EWOULDBLOCK;
    }
    file->locked = true;
    return 0;
}

/* ---- what a test does to the disk ---- */

void io_sim_set_capacity(uint64_t bytes)
{
    sim_disk_set_capacity(sim.disk, bytes);
}

uint64_t io_sim_used(void)
{
    return sim_disk_used(sim.disk);
}

bool io_sim_flip(const char *path, uint64_t position, unsigned bit)
{
    const int inode = sim_find(sim.disk, path);
    return inode >= 0 && !sim_is_dir(sim.disk, inode) && sim_flip(sim.disk, inode, position, bit);
}

void io_sim_settle(void)
{
    sim_settle(sim.disk);
}

bool io_sim_settled(const char *path)
{
    const int inode = sim_find(sim.disk, path);
    return inode >= 0 && sim_name_clean(sim.disk, path) && sim_clean(sim.disk, inode);
}
