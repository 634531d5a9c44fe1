/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/server.c: see the header.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "stream.h"

enum {
    READY_S = 120, /* a peer that reloads gigabytes takes its time */
    STOP_S = 60,
    PROBE_MS = 2,
};

/* Longer than a 4 KiB journal write takes, so that its completion is waited for awake. */
static const char LATENCY_SPIN_US[] = "500";

/* ---- finding programs ---- */

static bool find_program(const char *name, char *out, size_t bytes)
{
    static const char *const system_dirs = "/usr/sbin:/usr/local/sbin:/sbin";
    char dirs[4096];
    const char *path = getenv("PATH");
    snprintf(dirs, sizeof(dirs), "%s:%s", path ? path : "/usr/bin:/bin", system_dirs);
    char *save = NULL;
    for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        snprintf(out, bytes, "%s/%s", dir, name);
        if (access(out, X_OK) == 0)
            return true;
    }
    return false;
}

const char *server_missing(enum server_kind kind, const char *runneld)
{
    char path[4200];
    switch (kind) {
    case SERVER_NONE:
        return NULL;
    case SERVER_RUNNEL:
    case SERVER_RUNNEL_LATENCY:
        return access(runneld, X_OK) == 0 ? NULL : "runneld is not built: name it with --runneld PATH";
    case SERVER_REDIS_ALWAYS:
    case SERVER_REDIS_EVERYSEC:
        return find_program("redis-server", path, sizeof(path)) ? NULL : "redis-server is not installed";
    case SERVER_NATS:
        return find_program("nats-server", path, sizeof(path)) ? NULL : "nats-server is not installed";
    }
    return "unknown broker";
}

/* ---- starting ---- */

static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static void exec_server(const struct server *s, const char *runneld, int port)
{
    char program[4200], number[16], listen[64];
    snprintf(number, sizeof(number), "%d", port);
    snprintf(listen, sizeof(listen), "tcp://127.0.0.1:%d", port);
    if (s->kind == SERVER_RUNNEL || s->kind == SERVER_RUNNEL_LATENCY) {
        if (s->kind == SERVER_RUNNEL_LATENCY) {
            setenv("RUNNEL_SPIN_MODE", "always", 1);
            setenv("RUNNEL_SPIN_US", LATENCY_SPIN_US, 1);
        }
        execl(runneld, "runneld", "--data", s->dir, "--listen", listen, (char *)NULL);
    } else if (s->kind == SERVER_NATS) {
        find_program("nats-server", program, sizeof(program));
        execl(program, "nats-server", "-a", "127.0.0.1", "-p", number, "-js", "-sd", s->dir, (char *)NULL);
    } else {
        find_program("redis-server", program, sizeof(program));
        execl(program, "redis-server", "--port", number, "--bind", "127.0.0.1", "--dir", s->dir,
              "--appendonly", "yes", "--appendfsync", s->kind == SERVER_REDIS_ALWAYS ? "always" : "everysec",
              "--save", "", "--auto-aof-rewrite-percentage", "0", (char *)NULL);
    }
    _exit(127);
}

/* One question that every broker answers once it serves: does it? */
static bool answers(const struct server *s)
{
    struct stream st;
    char why[256];
    if (!stream_open(&st, s->url, 0, true, why))
        return false;
    const char *ask = s->driver == &driver_redis ? "PING\r\n" : "";
    const char *want = s->driver == &driver_redis ? "+PONG" : "INFO ";
    memcpy(st.out, ask, strlen(ask));
    stream_commit(&st, strlen(ask));
    bool ok = stream_wait(&st, 1000) && st.in_end >= 5 && memcmp(st.in, want, 5) == 0;
    stream_close(&st);
    return ok;
}

static bool wait_answers(struct server *s)
{
    for (uint64_t end = clock_now_ns() + READY_S * 1000000000ull; clock_now_ns() < end;) {
        if (answers(s))
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return false;
        }
        clock_sleep_ms(PROBE_MS);
    }
    return false;
}

/* runneld says so itself: one line on stdout. */
static bool wait_ready_line(int fd)
{
    char line[4096];
    size_t at = 0;
    uint64_t end = clock_now_ns() + READY_S * 1000000000ull;
    while (clock_now_ns() < end && at < sizeof(line) - 1) {
        struct pollfd p = { fd, POLLIN, 0 };
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = read(fd, line + at, sizeof(line) - 1 - at);
        if (n <= 0)
            return false;
        at += (size_t)n;
        line[at] = 0;
        if (strchr(line, '\n'))
            return strncmp(line, "ready", 5) == 0;
    }
    return false;
}

static bool launch(struct server *s, const char *runneld, char *why)
{
    int port = free_port(), out[2];
    char log[3100];
    snprintf(s->url, sizeof(s->url), "tcp://127.0.0.1:%d", port);
    snprintf(log, sizeof(log), "%s.log", s->dir);
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!port || log_fd < 0 || pipe2(out, O_CLOEXEC) < 0) {
        snprintf(why, 256, "cannot start a server: %s", strerror(errno));
        if (log_fd >= 0)
            close(log_fd);
        return false;
    }
    bool runnel = s->driver == &driver_runnel;
    uint64_t begin = clock_now_ns();
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_TIMERSLACK, 50000); /* not ours */
        signal(SIGPIPE, SIG_DFL);
        dup2(runnel ? out[1] : log_fd, 1);
        dup2(log_fd, 2);
        exec_server(s, runneld, port);
    }
    close(out[1]);
    close(log_fd);
    bool ok = s->pid > 0 && (runnel ? wait_ready_line(out[0]) : wait_answers(s));
    s->ready_ms = (double)(clock_now_ns() - begin) / 1e6;
    close(out[0]);
    if (!ok) {
        snprintf(why, 256, "the server did not become ready: see %.200s", log);
        server_stop(s, SIGKILL);
    }
    return ok;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

bool server_start(struct server *s, enum server_kind kind, const char *runneld, const char *parent, char *why)
{
    memset(s, 0, sizeof(*s));
    s->kind = kind;
    s->driver = kind == SERVER_NATS                                      ? &driver_nats
                : kind == SERVER_RUNNEL || kind == SERVER_RUNNEL_LATENCY ? &driver_runnel
                                                                         : &driver_redis;
    snprintf(s->dir, sizeof(s->dir), "%.3000s/runnel-bench.XXXXXX", parent);
    if (!mkdtemp(s->dir)) {
        snprintf(why, 256, "cannot make a directory below %.150s: %s", parent, strerror(errno));
        return false;
    }
    if (launch(s, runneld, why))
        return true;
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* not its log, which tells more */
    s->dir[0] = 0;
    return false;
}

bool server_restart(struct server *s, const char *runneld, char *why)
{
    return launch(s, runneld, why);
}

void server_stop(struct server *s, int sig)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, sig);
    for (uint64_t end = clock_now_ns() + STOP_S * 1000000000ull; clock_now_ns() < end;) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return;
        }
        clock_sleep_ms(PROBE_MS);
    }
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void server_remove(struct server *s)
{
    char log[3100];
    server_stop(s, SIGKILL);
    if (!s->dir[0])
        return;
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(log, sizeof(log), "%s.log", s->dir);
    unlink(log);
    s->dir[0] = 0;
}

static __thread double disk_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (type == FTW_F)
        disk_bytes += (double)st->st_blocks * 512;
    return 0;
}

double server_disk_mb(const struct server *s)
{
    disk_bytes = 0;
    nftw(s->dir, add_size, 16, FTW_PHYS);
    return disk_bytes / 1e6;
}
