/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/process.c: see the header. Everything comes from /proc.
 */
#include "process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void process_beside(const char *name, char *path, size_t bytes)
{
    char self[3000] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash = n > 0 ? strrchr(self, '/') : NULL;
    if (slash)
        *slash = 0;
    snprintf(path, bytes, "%s/%s", self, name);
}

double process_cpu_s(pid_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = pid ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    bool got = fgets(line, sizeof(line), f) != NULL;
    fclose(f);
    char *p = got ? strrchr(line, ')') : NULL; /* the name may hold anything */
    unsigned long user = 0, system = 0;
    long child_user = 0, child_system = 0;
    if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user, &system,
                     &child_user, &child_system) != 4)
        return 0;
    return (double)(user + system + (unsigned long)(child_user + child_system)) /
           (double)sysconf(_SC_CLK_TCK);
}

/* Calls `each` with the opened /proc/<pid>/task/<tid>/<name> of every thread. */
static void each_task(pid_t pid, const char *name, void (*each)(FILE *f, void *ctx), void *ctx)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = pid ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/%s", (int)pid, e->d_name, name);
        FILE *f = fopen(path, "re");
        if (f) {
            each(f, ctx);
            fclose(f);
        }
    }
    if (dir)
        closedir(dir);
}

static void add_cpu(FILE *f, void *ctx)
{
    unsigned long long ran;
    if (fscanf(f, "%llu", &ran) == 1)
        *(uint64_t *)ctx += ran;
}

static void add_sleeps(FILE *f, void *ctx)
{
    char line[256];
    unsigned long n;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            *(uint64_t *)ctx += n;
}

uint64_t process_cpu_fine_ns(pid_t pid)
{
    uint64_t ns = 0;
    each_task(pid, "schedstat", add_cpu, &ns);
    return ns;
}

uint64_t process_sleeps(pid_t pid)
{
    uint64_t n = 0;
    each_task(pid, "status", add_sleeps, &n);
    return n;
}

double process_rss_mb(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = pid ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* The socket inode that listens on a TCP port; 0: none. */
static unsigned long listener_inode(uint16_t port)
{
    static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };
    unsigned long found = 0;
    for (int i = 0; i < 2 && !found; i++) {
        FILE *f = fopen(tables[i], "re");
        char line[512];
        while (f && !found && fgets(line, sizeof(line), f)) {
            unsigned int local_port = 0, state = 0;
            unsigned long inode = 0;
            if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                       &local_port, &state, &inode) == 3 &&
                local_port == port && state == 10)
                found = inode;
        }
        if (f)
            fclose(f);
    }
    return found;
}

static bool process_holds(const char *pid, unsigned long inode)
{
    char path[300], target[64], want[64];
    snprintf(want, sizeof(want), "socket:[%lu]", inode);
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    DIR *dir = opendir(path);
    bool holds = false;
    for (struct dirent *e; dir && !holds && (e = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = 0;
            holds = strcmp(target, want) == 0;
        }
    }
    if (dir)
        closedir(dir);
    return holds;
}

static pid_t owner_of(unsigned long inode)
{
    DIR *dir = inode ? opendir("/proc") : NULL;
    pid_t pid = 0;
    for (struct dirent *e; dir && !pid && (e = readdir(dir));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && process_holds(e->d_name, inode))
            pid = (pid_t)atoi(e->d_name);
    if (dir)
        closedir(dir);
    return pid;
}

pid_t process_of_peer(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    if (a.ss_family == AF_UNIX) {
        struct ucred peer = { 0 };
        len = sizeof(peer);
        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.pid : 0;
    }
    if (a.ss_family == AF_INET)
        return owner_of(listener_inode(ntohs(((struct sockaddr_in *)&a)->sin_port)));
    if (a.ss_family == AF_INET6)
        return owner_of(listener_inode(ntohs(((struct sockaddr_in6 *)&a)->sin6_port)));
    return 0;
}
