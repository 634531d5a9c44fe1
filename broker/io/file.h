/* SPDX-License-Identifier: Apache-2.0
 *
 * io/file.h: blocking file operations, for start-up, recovery, offline checks and worker jobs; never for the
 * loop's thread once the broker is ready.
 *
 * The second half of the seam (io.h is the first): file.c calls the kernel, tests/support/io_sim.c keeps
 * files in memory and can lose what was not flushed. Descriptors of both halves are the same. Everything
 * returns a negative errno on failure. Thread-safe.
 */
#ifndef RUNNEL_IO_FILE_H
#define RUNNEL_IO_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FILE_READ = 0,
    FILE_WRITE = 1 << 0,  /* read and write */
    FILE_CREATE = 1 << 1, /* create when missing */
    FILE_EXCL = 1 << 2,   /* with FILE_CREATE: fail with -EEXIST */
    FILE_DIRECT = 1 << 3, /* O_DIRECT where the file system has it, see file_open */
    FILE_DSYNC = 1 << 4,  /* every write is durable when it returns */
};

/* Opens a file; returns the descriptor. With FILE_DIRECT on a file system that refuses it, opens buffered
 * and, when `direct` is not NULL, stores false there. */
int file_open(const char *path, uint32_t flags, bool *direct);
void file_close(int fd);
/* Transfers all bytes (EINTR and short counts continued). Reads return the bytes got, fewer only at the
 * file's end; writes 0. */
int64_t file_read(int fd, void *buf, uint64_t bytes, uint64_t position);
int file_write(int fd, const void *buf, uint64_t bytes, uint64_t position);
/* fdatasync / fsync. */
int file_sync(int fd);
/* Size in bytes. */
int64_t file_bytes(int fd);
/* Sets the size, cutting or extending with zeros. */
int file_truncate(int fd, uint64_t bytes);
/* Allocates blocks for [0, bytes) and sets the size to at least that; -ENOSPC when there is no room,
 * -EOPNOTSUPP is hidden. */
int file_allocate(int fd, uint64_t bytes);

/* Makes everything on the file system that holds `path` durable, data and names, in one go: far cheaper than
 * flushing many small files one by one. -EOPNOTSUPP where that is not known to be so. */
int file_sync_all(const char *path);
/* Makes names durable: fsync of the directory. */
int file_sync_dir(const char *path);
/* mkdir with mode 0700; an existing directory is fine (returns 0; 1 when it was made). */
int file_mkdir(const char *path);
int file_rename(const char *from, const char *to);
int file_unlink(const char *path);
int file_rmdir(const char *path);
/* 1 exists, 0 does not. */
int file_exists(const char *path);
/* Calls `each` with every name but "." and ".."; stops at a non-zero return and returns it. */
int file_list(const char *path, int (*each)(void *ctx, const char *name, bool is_dir), void *ctx);
/* Free and total bytes of the file system that holds `path`. */
int file_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
/* Takes an exclusive lock for the life of the descriptor; -EWOULDBLOCK when another process has it. */
int file_lock(int fd);

#endif
