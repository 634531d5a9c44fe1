/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/instance.c: directory, lock, descriptors, service manager.
 */
#include "instance.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/file.h"

enum { INSTANCE_PATH_BYTES = 1100 };

/* Makes one directory and its name durable. The flush is done also for one that was there: its maker may have
 * been killed before it could do this, and then a power cut would take the name, and everything acknowledged
 * below it. A parent that exists need not be ours to open, so only for a new name is that an error. */
static int instance_mkdir(char *path)
{
    const int made = file_mkdir(path);
    /* Neither need it be ours to write in. */
    if (made < 0 && file_exists(path) != 1)
        return made;
    char *slash = strrchr(path, '/');
    int rc;
    if (slash && slash != path) {
        *slash = '\0';
        rc = file_sync_dir(path);
        *slash = '/';
    } else {
        rc = file_sync_dir(slash ? "/" : ".");
    }
    return rc < 0 && made == 1 ? rc : 0;
}

static int instance_mkdirs(const char *dir)
{
    char path[INSTANCE_PATH_BYTES];
    int len = snprintf(path, sizeof(path), "%s", dir);
    if (len <= 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const int rc = instance_mkdir(path);
        if (rc < 0)
            return rc;
        *slash = '/';
    }
    return instance_mkdir(path);
}

int instance_lock(const char *data_dir, char *why, uint32_t why_bytes)
{
    char path[INSTANCE_PATH_BYTES], pid[32] = "";
    int rc = instance_mkdirs(data_dir);
    if (rc < 0) {
        snprintf(why, why_bytes, "data directory %.200s cannot be made: %s", data_dir, strerror(-rc));
        return rc;
    }
    snprintf(path, sizeof(path), "%s/runneld.lock", data_dir);
    const int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0) {
        snprintf(why, why_bytes, "%.200s cannot be opened: %s", path, strerror(-fd));
        return fd;
    }
    rc = file_lock(fd);
    if (rc < 0) {
        const int64_t n = file_read(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        if (rc == -EWOULDBLOCK)
            snprintf(why, why_bytes,
                     "data directory %.200s is in use by process %s: stop it, or choose another directory",
                     data_dir, pid[0] ? pid : "(unknown)");
        else
            snprintf(why, why_bytes, "%.200s cannot be locked: %s", path, strerror(-rc));
        file_close(fd);
        return rc;
    }
    const int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* Only a message of the second process depends on it: a full disk must not keep the broker from starting.
     */
    (void)file_truncate(fd, 0);
    (void)file_write(fd, pid, (uint64_t)len, 0);
    return fd;
}

uint64_t instance_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

void instance_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const size_t len = path ? strlen(path) : 0;
    if (len == 0 || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@')
        addr.sun_path[0] = '\0'; /* the abstract name space */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}
