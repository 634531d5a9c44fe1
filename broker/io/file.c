/* SPDX-License-Identifier: Apache-2.0
 *
 * io/file.c: blocking file operations on the kernel.
 *
 * What differs between file systems is hidden here, once: no O_DIRECT (tmpfs before 6.6, some FUSE and
 * network file systems), no fallocate, no type in a directory's entries.
 */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

int file_open(const char *path, uint32_t flags, bool *direct)
{
    int mode = O_CLOEXEC | (flags & FILE_WRITE ? O_RDWR : O_RDONLY);
    if (flags & FILE_CREATE)
        mode |= O_CREAT;
    if (flags & FILE_EXCL)
        mode |= O_EXCL;
    if (flags & FILE_DSYNC)
        mode |= O_DSYNC;
    if (flags & FILE_DIRECT)
        mode |= O_DIRECT;
    int fd;
    do
        fd = open(path, mode, 0600);
    while (fd < 0 && errno == EINTR);
    bool got_direct = (flags & FILE_DIRECT) != 0;
    if (fd < 0 && errno == EINVAL && got_direct) {
        /* Some kernels have made the file before they refuse the flag: O_EXCL would then meet our own. */
        got_direct = false;
        mode &= ~O_DIRECT;
        fd = open(path, mode, 0600);
        if (fd < 0 && errno == EEXIST && (flags & FILE_EXCL))
            fd = open(path, mode & ~O_EXCL, 0600);
    }
    if (fd < 0)
        return -errno;
    if (direct)
        *direct = got_direct;
    return fd;
}

void file_close(int fd)
{
    close(fd); /* its error tells of writes that a sync would have told of: those who care sync first */
}

int64_t file_read(int fd, void *buf, uint64_t bytes, uint64_t position)
{
    uint64_t done = 0;
    while (done < bytes) {
        const ssize_t n = pread(fd, (uint8_t *)buf + done, bytes - done, (off_t)(position + done));
        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0)
            break;
        else if (errno == EINVAL && done % 512 != 0)
            break; /* a direct read met the file's end inside a block: it cannot go on there */
        else if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return (int64_t)done;
}

int file_write(int fd, const void *buf, uint64_t bytes, uint64_t position)
{
    uint64_t done = 0;
    while (done < bytes) {
        const ssize_t n = pwrite(fd, (const uint8_t *)buf + done, bytes - done, (off_t)(position + done));
        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0)
            return -EIO; /* no progress and no reason: do not try for ever */
        else if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

int file_sync(int fd)
{
    while (fdatasync(fd) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int64_t file_bytes(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

int file_truncate(int fd, uint64_t bytes)
{
    while (ftruncate(fd, (off_t)bytes) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int file_allocate(int fd, uint64_t bytes)
{
    while (fallocate(fd, 0, 0, (off_t)bytes) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EOPNOTSUPP && errno != ENOSYS)
            return -errno;
        /* No reservation here, but the size is set all the same: callers count on it. */
        const int64_t now = file_bytes(fd);
        if (now < 0)
            return (int)now;
        return (uint64_t)now < bytes ? file_truncate(fd, bytes) : 0;
    }
    return 0;
}

int file_sync_dir(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = 0;
    while (error == 0 && fsync(fd) < 0)
        if (errno != EINTR)
            error = -errno;
    close(fd);
    return error;
}

int file_mkdir(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return 1;
    if (errno != EEXIST)
        return -errno;
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_rename(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : 0;
}

int file_unlink(const char *path)
{
    return unlink(path) < 0 ? -errno : 0;
}

int file_rmdir(const char *path)
{
    return rmdir(path) < 0 ? -errno : 0;
}

int file_exists(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

static bool file_entry_is_dir(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int file_list(const char *path, int (*each)(void *ctx, const char *name, bool is_dir), void *ctx)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = each(ctx, entry->d_name, file_entry_is_dir(dir, entry));
    }
    closedir(dir);
    return result;
}

/* Only file systems whose syncfs(2) is known to write everything and to flush the device: elsewhere (FUSE,
 * for one) it may do nothing at all. */
static bool file_syncs_all(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC);
}

int file_sync_all(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = !file_syncs_all(fd) ? -EOPNOTSUPP : syncfs(fd) < 0 ? -errno : 0;
    close(fd);
    return result;
}

int file_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs fs;
    while (statvfs(path, &fs) < 0)
        if (errno != EINTR)
            return -errno;
    *free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    *total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    return 0;
}

int file_lock(int fd)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}
