/* SPDX-License-Identifier: Apache-2.0
 *
 * powerfs: a file system in memory that can lose power, for tests of what the broker promises.
 *
 *   powerfs -f MOUNTPOINT [-L]        commands: see powerfs_faults.h; -L: lenient names, see powerfs_disk.h
 *
 * What was written but not flushed may be lost, kept in part, or torn at the next `cut`; a name survives only
 * when its directory was flushed. Stricter than file systems are, within what POSIX and the device allow.
 *
 * Everything is FOPEN_DIRECT_IO, so that the kernel keeps no copy that would outlive a cut. The price: the
 * kernel then sends no FSYNC for a write through O_DSYNC, so such writes are flushed here.
 * FUSE calls from several threads; one lock guards disk and faults, and is not held while a delay lasts.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "powerfs_faults.h"

struct powerfs {
    pthread_mutex_t lock;
    struct disk disk;
    struct faults faults;
};

static struct powerfs *powerfs(void)
{
    return fuse_get_context()->private_data;
}

static bool is_control(const char *path)
{
    return path && strcmp(path, "/.ctl") == 0;
}

/* The node of an open file; NULL: the control file. */
static struct node *node_of(const struct fuse_file_info *info)
{
    return info ? (struct node *)(uintptr_t)info->fh : NULL;
}

/* Locks, after the operation's delay. `path` is NULL for open files: theirs is looked up. */
static void lock_late(struct powerfs *p, enum fault_op op, const char *path, const struct node *node)
{
    char own[FAULT_TEXT];
    pthread_mutex_lock(&p->lock);
    if (node)
        disk_path(node, own, sizeof(own));
    uint64_t delay_us = faults_delay(&p->faults, op, node ? own : path);
    if (delay_us) {
        pthread_mutex_unlock(&p->lock);
        usleep((useconds_t)delay_us);
        pthread_mutex_lock(&p->lock);
    }
}

static int hit(struct powerfs *p, enum fault_op op, const struct node *node)
{
    char path[FAULT_TEXT];
    disk_path(node, path, sizeof(path));
    return faults_hit(&p->faults, &p->disk, op, path);
}

/* Locks, after the delay, and says whether the operation fails. */
static int begin(struct powerfs *p, enum fault_op op, const char *path)
{
    lock_late(p, op, path, NULL);
    return faults_hit(&p->faults, &p->disk, op, path);
}

/* The same for an open file. */
static int begin_node(struct powerfs *p, enum fault_op op, const struct node *node)
{
    lock_late(p, op, NULL, node);
    return hit(p, op, node);
}

/* For operations that only a cut can fail. */
static int begin_plain(struct powerfs *p)
{
    pthread_mutex_lock(&p->lock);
    return p->disk.dead ? -EIO : 0;
}

static int end(struct powerfs *p, int result)
{
    pthread_mutex_unlock(&p->lock);
    return result;
}

/* ---- names ---- */

static void stat_of(const struct node *node, struct stat *st)
{
    st->st_ino = node->number + 1;
    st->st_mode = node->mode;
    st->st_nlink = S_ISDIR(node->mode) ? 2 : 1;
    st->st_size = (off_t)node->now.size;
    st->st_blocks = (blkcnt_t)((node->now.size + 511) / 512);
    st->st_blksize = 4096;
    st->st_uid = getuid();
    st->st_gid = getgid();
}

static int power_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    memset(st, 0, sizeof(*st));
    if (is_control(path)) {
        st->st_mode = S_IFREG | 0666;
        st->st_nlink = 1;
        st->st_size = 4096;
        return 0;
    }
    pthread_mutex_lock(&p->lock);
    struct node *node = node_of(info);
    if (!node && path)
        node = disk_find(&p->disk, path);
    if (node)
        stat_of(node, st);
    return end(p, node ? 0 : -ENOENT);
}

static void opened(struct node *node, struct fuse_file_info *info)
{
    disk_hold(node);
    info->fh = (uintptr_t)node;
    info->direct_io = 1;
}

static int power_opendir(const char *path, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    int result = begin_plain(p);
    struct node *node = result == 0 ? disk_find(&p->disk, path) : NULL;
    if (result == 0 && !node)
        result = -ENOENT;
    if (result == 0)
        opened(node, info);
    return end(p, result);
}

static int power_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t at,
                         struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    struct powerfs *p = powerfs();
    (void)path;
    (void)at;
    (void)flags;
    int result = begin_plain(p);
    if (result == 0) {
        const struct node *node = node_of(info);
        fill(out, ".", NULL, 0, 0);
        fill(out, "..", NULL, 0, 0);
        for (size_t i = 0; i < node->names.count; i++) {
            struct stat st = { 0 };
            stat_of(node->names.at[i].node, &st);
            fill(out, node->names.at[i].name, &st, 0, 0);
        }
    }
    return end(p, result);
}

static int power_make(const char *path, mode_t mode)
{
    struct powerfs *p = powerfs();
    int result = begin_plain(p);
    if (result == 0)
        result = disk_find(&p->disk, path) ? -EEXIST : disk_make(&p->disk, path, mode) ? 0 : -ENOENT;
    return end(p, result);
}

static int power_mkdir(const char *path, mode_t mode)
{
    return power_make(path, S_IFDIR | (mode & 07777));
}

static int power_mknod(const char *path, mode_t mode, dev_t device)
{
    (void)device;
    return power_make(path, mode);
}

static int power_remove(const char *path)
{
    struct powerfs *p = powerfs();
    int result = begin_plain(p);
    if (result == 0)
        result = disk_remove(&p->disk, path);
    return end(p, result);
}

static int power_rename(const char *from, const char *to, unsigned flags)
{
    struct powerfs *p = powerfs();
    int result = flags ? -EINVAL : 0;
    int power = begin_plain(p);
    if (power < 0)
        result = power;
    if (result == 0)
        result = disk_rename(&p->disk, from, to);
    return end(p, result);
}

/* ---- files ---- */

static int power_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    int result = begin(p, FAULT_CREATE, path);
    struct node *node = NULL;
    if (result == 0) {
        node = disk_find(&p->disk, path);
        if (!node)
            node = disk_make(&p->disk, path, S_IFREG | (mode & 07777));
        if (!node)
            result = -ENOENT;
    }
    if (result == 0)
        opened(node, info);
    return end(p, result);
}

static int power_open(const char *path, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    if (is_control(path)) {
        info->fh = 0;
        info->direct_io = 1;
        return 0;
    }
    int result = begin(p, FAULT_OPEN, path);
    struct node *node = result == 0 ? disk_find(&p->disk, path) : NULL;
    if (result == 0 && !node)
        result = -ENOENT;
    if (result == 0 && (info->flags & O_TRUNC))
        result = disk_resize(&p->disk, node, 0);
    if (result == 0)
        opened(node, info);
    return end(p, result);
}

static int power_release(const char *path, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    (void)path;
    struct node *node = node_of(info);
    if (!node)
        return 0;
    pthread_mutex_lock(&p->lock);
    disk_release(&p->disk, node);
    return end(p, 0);
}

static int control_read(struct powerfs *p, char *out, size_t count, off_t at)
{
    char text[1024];
    pthread_mutex_lock(&p->lock);
    int bytes = faults_report(&p->faults, &p->disk, text, sizeof(text));
    pthread_mutex_unlock(&p->lock);
    if (at >= bytes)
        return 0;
    if (count > (size_t)(bytes - at))
        count = (size_t)(bytes - at);
    memcpy(out, text + at, count);
    return (int)count;
}

static int control_write(struct powerfs *p, const char *bytes, size_t count)
{
    char line[512];
    if (count >= sizeof(line))
        return -EINVAL;
    memcpy(line, bytes, count);
    line[count] = '\0';
    pthread_mutex_lock(&p->lock);
    int result = faults_command(&p->faults, &p->disk, line);
    return end(p, result < 0 ? result : (int)count);
}

static int power_read(const char *path, char *out, size_t count, off_t at, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    struct node *node = node_of(info);
    if (!node)
        return control_read(p, out, count, at);
    (void)path;
    int result = begin_node(p, FAULT_READ, node);
    if (result == 0)
        result = (int)disk_read(node, out, count, (uint64_t)at);
    return end(p, result);
}

/* fsync of a file or directory, with what its failure may mean. */
static int flush(struct powerfs *p, struct node *node)
{
    int result = hit(p, FAULT_FSYNC, node);
    if (result == 0)
        disk_flush(&p->disk, node);
    else if (p->faults.gate && !p->disk.dead)
        disk_forget(&p->disk, node);
    return result;
}

static int power_write(const char *path, const char *bytes, size_t count, off_t at,
                       struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    struct node *node = node_of(info);
    if (!node)
        return control_write(p, bytes, count);
    (void)path;
    int result = begin_node(p, FAULT_WRITE, node);
    if (result == 0) {
        char own[FAULT_TEXT];
        disk_path(node, own, sizeof(own));
        uint64_t taken = faults_write_bytes(&p->faults, count, own);
        result = (int)disk_write(&p->disk, node, bytes, taken, (uint64_t)at);
    }
    if (result >= 0 && (info->flags & O_DSYNC)) { /* O_SYNC has this bit as well */
        int flushed = flush(p, node);
        if (flushed < 0)
            result = flushed;
    }
    return end(p, result);
}

static int power_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    (void)path;
    (void)data_only;
    struct node *node = node_of(info);
    if (!node)
        return 0;
    lock_late(p, FAULT_FSYNC, NULL, node);
    return end(p, flush(p, node));
}

static int power_truncate(const char *path, off_t bytes, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    if (is_control(path))
        return 0;
    int result = begin_plain(p);
    struct node *node = node_of(info);
    if (result == 0 && !node && path)
        node = disk_find(&p->disk, path);
    if (result == 0)
        result = node ? disk_resize(&p->disk, node, (uint64_t)bytes) : -ENOENT;
    return end(p, result);
}

static int power_fallocate(const char *path, int mode, off_t at, off_t count, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    struct node *node = node_of(info);
    if (!node)
        return -EOPNOTSUPP;
    (void)path;
    int result = begin_node(p, FAULT_ALLOCATE, node);
    uint64_t until = (uint64_t)at + (uint64_t)count;
    if (result == 0 && (mode & FALLOC_FL_PUNCH_HOLE))
        disk_punch(&p->disk, node, (uint64_t)at, (uint64_t)count);
    else if (result == 0 && (mode & ~FALLOC_FL_KEEP_SIZE))
        result = -EOPNOTSUPP;
    else if (result == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && until > node->now.size)
        result = disk_resize(&p->disk, node, until);
    return end(p, result);
}

/* ---- the rest ---- */

static int power_statfs(const char *path, struct statvfs *st)
{
    enum { UNLIMITED = 1 << 24 }; /* blocks: 64 GiB */
    struct powerfs *p = powerfs();
    (void)path;
    memset(st, 0, sizeof(*st));
    pthread_mutex_lock(&p->lock);
    uint64_t used = (p->disk.used + 4095) / 4096;
    uint64_t total = p->disk.limit == UINT64_MAX ? UNLIMITED : p->disk.limit / 4096;
    st->f_bsize = st->f_frsize = 4096;
    st->f_blocks = total;
    st->f_bfree = st->f_bavail = total > used ? total - used : 0;
    st->f_namemax = 255;
    return end(p, 0);
}

static int power_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    struct powerfs *p = powerfs();
    (void)info;
    int result = begin_plain(p);
    struct node *node = result == 0 && path ? disk_find(&p->disk, path) : NULL;
    if (node)
        node->mode = (node->mode & ~(mode_t)07777) | (mode & 07777);
    return end(p, result);
}

static int power_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info)
{
    (void)path;
    (void)user;
    (void)group;
    (void)info;
    return 0;
}

static int power_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    (void)path;
    (void)times;
    (void)info;
    return 0;
}

/* Nothing may be cached: after a cut all names and sizes are different. */
static void *power_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->attr_timeout = 0;
    config->entry_timeout = 0;
    config->negative_timeout = 0;
    config->use_ino = 1;
    config->hard_remove = 1; /* an open file that was removed is held by its node, */
    config->nullpath_ok = 1; /* and has no path: so operations on open files get none */
    return powerfs();
}

static const struct fuse_operations power_operations = {
    .init = power_init,
    .getattr = power_getattr,
    .opendir = power_opendir,
    .readdir = power_readdir,
    .releasedir = power_release,
    .mkdir = power_mkdir,
    .mknod = power_mknod,
    .unlink = power_remove,
    .rmdir = power_remove,
    .rename = power_rename,
    .create = power_create,
    .open = power_open,
    .release = power_release,
    .read = power_read,
    .write = power_write,
    .fsync = power_fsync,
    .fsyncdir = power_fsync, /* the disk tells a directory from a file */
    .truncate = power_truncate,
    .fallocate = power_fallocate,
    .statfs = power_statfs,
    .chmod = power_chmod,
    .chown = power_chown,
    .utimens = power_utimens,
};

int main(int argc, char **argv)
{
    static struct powerfs p = { .lock = PTHREAD_MUTEX_INITIALIZER };
    bool lenient = argc > 1 && strcmp(argv[argc - 1], "-L") == 0;
    if (lenient)
        argv[--argc] = NULL;
    disk_init(&p.disk, lenient);
    return fuse_main(argc, argv, &power_operations, &p);
}
