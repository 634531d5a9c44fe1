/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/limits.c: see the header. Each figure is measured alone, after a short warm-up of its own.
 */
#include "limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum {
    RTT_BYTES = 256,
    STREAM_BYTES = 256 << 10,
    FILE_BYTES = 256 << 20, /* larger than what a disk's own cache tends to absorb at once */
    BLOCK_MAX = 1 << 20,
    SEQ_DEPTH = 8,
};

const char *const limits_size_name[LIMITS_SIZES] = { "4k", "64k", "256k", "1m" };
static const uint32_t sizes[LIMITS_SIZES] = { 4 << 10, 64 << 10, 256 << 10, 1 << 20 };

static bool refuse(char *why, const char *what)
{
    snprintf(why, 256, "%.150s: %s", what, strerror(errno));
    return false;
}

/* ---- loopback ---- */

/* Moves `bytes` bytes with recv or send; `spin`: never sleeps. */
static bool move(int fd, char *buf, size_t bytes, bool out, bool spin)
{
    int flags = MSG_NOSIGNAL | (spin ? MSG_DONTWAIT : 0);
    for (size_t at = 0; at < bytes;) {
        ssize_t n = out ? send(fd, buf + at, bytes - at, flags) : recv(fd, buf + at, bytes - at, flags);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return false;
    }
    return true;
}

static void serve_echo(int fd, bool spin)
{
    char buf[RTT_BYTES];
    while (move(fd, buf, sizeof(buf), false, spin) && move(fd, buf, sizeof(buf), true, spin))
        ;
}

static void serve_stream(int fd, bool spin)
{
    char *buf = calloc(1, STREAM_BYTES);
    while (buf && move(fd, buf, STREAM_BYTES, true, spin))
        ;
}

/* Forks a server with `serve` on the far end of a loopback connection; returns our end, or -1. */
static int start_server(void (*serve)(int fd, bool spin), bool spin, pid_t *pid)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    int fd = -1;
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&a, &len) == 0)
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        fd = -1;
    }
    int far = fd >= 0 ? accept(listener, NULL, NULL) : -1;
    close(listener);
    if (far < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *pid = fork();
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fd);
        serve(far, spin);
        _exit(0);
    }
    close(far);
    return fd;
}

static void stop_server(int fd, pid_t pid)
{
    close(fd);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static bool measure_rtt(struct histogram *h, bool spin, double seconds, char *why)
{
    pid_t pid;
    int fd = start_server(serve_echo, spin, &pid);
    if (fd < 0)
        return refuse(why, "loopback connection");
    char buf[RTT_BYTES] = { 0 };
    histogram_reset(h);
    uint64_t begin = clock_now_ns(), warm = begin + (uint64_t)(seconds * 2e8);
    uint64_t end = warm + (uint64_t)(seconds * 1e9);
    for (uint64_t t0 = begin; t0 < end;) {
        if (!move(fd, buf, sizeof(buf), true, spin) || !move(fd, buf, sizeof(buf), false, spin)) {
            stop_server(fd, pid);
            return refuse(why, "loopback round trip");
        }
        uint64_t t1 = clock_now_ns();
        if (t0 >= warm)
            histogram_record(h, t1 - t0, 1);
        t0 = t1;
    }
    stop_server(fd, pid);
    return true;
}

static bool measure_stream(double *mb_per_s, double seconds, char *why)
{
    pid_t pid;
    int fd = start_server(serve_stream, false, &pid);
    if (fd < 0)
        return refuse(why, "loopback connection");
    char *buf = malloc(STREAM_BYTES);
    uint64_t bytes = 0, begin = clock_now_ns(), now = begin;
    while (buf && now - begin < (uint64_t)(seconds * 1e9)) {
        ssize_t n = recv(fd, buf, STREAM_BYTES, 0);
        if (n <= 0)
            break;
        bytes += (uint64_t)n;
        now = clock_now_ns();
    }
    free(buf);
    stop_server(fd, pid);
    *mb_per_s = (double)bytes / 1e6 / ((double)(now - begin) / 1e9);
    return true;
}

/* ---- disk ---- */

/* A file of FILE_BYTES, every block written, opened for direct writes with `flags`; already unlinked. */
static int open_prewritten(const char *dir, int flags, void *block, char *why)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/runnel-bench.%d", dir, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0) {
        refuse(why, path);
        return -1;
    }
    bool ok = true;
    for (off_t at = 0; ok && at < FILE_BYTES; at += BLOCK_MAX)
        ok = pwrite(fd, block, BLOCK_MAX, at) == BLOCK_MAX;
    ok = ok && fsync(fd) == 0;
    /* O_DSYNC cannot be set by fcntl(): open once more. */
    int again = ok ? open(path, O_RDWR | O_DIRECT | O_CLOEXEC | flags) : -1;
    if (again < 0)
        refuse(why, path);
    close(fd);
    unlink(path);
    return again;
}

static bool measure_write(struct histogram *h, int fd, void *block, uint32_t bytes, double seconds, char *why)
{
    histogram_reset(h);
    uint64_t begin = clock_now_ns(), warm = begin + (uint64_t)(seconds * 1e8);
    uint64_t end = warm + (uint64_t)(seconds * 1e9);
    off_t at = 0;
    for (uint64_t t0 = begin; t0 < end;) {
        if (pwrite(fd, block, bytes, at) != (ssize_t)bytes)
            return refuse(why, "journal write");
        at = at + 2 * (off_t)bytes > FILE_BYTES ? 0 : at + (off_t)bytes;
        uint64_t t1 = clock_now_ns();
        if (t0 >= warm)
            histogram_record(h, t1 - t0, 1);
        t0 = t1;
    }
    return true;
}

static bool measure_write_spinning(struct histogram *h, struct io_uring *ring, int fd, void *block,
                                   uint32_t bytes, double seconds, char *why)
{
    histogram_reset(h);
    uint64_t begin = clock_now_ns(), warm = begin + (uint64_t)(seconds * 1e8);
    uint64_t end = warm + (uint64_t)(seconds * 1e9);
    off_t at = 0;
    for (uint64_t t0 = begin; t0 < end;) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        io_uring_prep_write(sqe, fd, block, bytes, (uint64_t)at);
        io_uring_submit(ring);
        struct io_uring_cqe *cqe;
        while (io_uring_peek_cqe(ring, &cqe) == -EAGAIN)
            io_uring_get_events(ring); /* deferred task work runs only when the kernel is entered */
        int res = cqe->res;
        io_uring_cqe_seen(ring, cqe);
        if (res != (int)bytes) {
            errno = res < 0 ? -res : EIO;
            return refuse(why, "journal write");
        }
        at = at + 2 * (off_t)bytes > FILE_BYTES ? 0 : at + (off_t)bytes;
        uint64_t t1 = clock_now_ns();
        if (t0 >= warm)
            histogram_record(h, t1 - t0, 1);
        t0 = t1;
    }
    return true;
}

static bool measure_seq(double *mb_per_s, struct io_uring *ring, int fd, void *block, double seconds,
                        char *why)
{
    uint64_t begin = clock_now_ns(), end = begin + (uint64_t)(seconds * 1e9), bytes = 0;
    off_t at = 0;
    int in_flight = 0;
    for (bool more = true; more || in_flight; more = clock_now_ns() < end) {
        while (more && in_flight < SEQ_DEPTH) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
            io_uring_prep_write(sqe, fd, block, BLOCK_MAX, (uint64_t)at);
            at = (at + BLOCK_MAX) % FILE_BYTES;
            in_flight++;
        }
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait(ring, 1);
        while (io_uring_peek_cqe(ring, &cqe) == 0) {
            int res = cqe->res;
            io_uring_cqe_seen(ring, cqe);
            in_flight--;
            if (res != BLOCK_MAX) {
                errno = res < 0 ? -res : EIO;
                return refuse(why, "sequential write");
            }
            bytes += BLOCK_MAX;
        }
    }
    *mb_per_s = (double)bytes / 1e6 / ((double)(clock_now_ns() - begin) / 1e9);
    return true;
}

static bool measure_disk(struct limits *out, const char *dir, double seconds, void *block, char *why)
{
    struct io_uring ring;
    int res =
        io_uring_queue_init(2 * SEQ_DEPTH, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (res < 0) {
        errno = -res;
        return refuse(why, "io_uring");
    }
    int fd = open_prewritten(dir, O_DSYNC, block, why);
    bool ok = fd >= 0;
    for (int i = 0; ok && i < LIMITS_SIZES; i++)
        ok = measure_write(&out->write[i], fd, block, sizes[i], seconds, why) &&
             measure_write_spinning(&out->write_spinning[i], &ring, fd, block, sizes[i], seconds, why);
    if (fd >= 0)
        close(fd);
    fd = ok ? open_prewritten(dir, 0, block, why) : -1;
    ok = fd >= 0 && measure_seq(&out->seq_write_mb_per_s, &ring, fd, block, seconds, why);
    if (fd >= 0)
        close(fd);
    io_uring_queue_exit(&ring);
    return ok;
}

bool limits_measure(struct limits *out, const char *dir, double seconds, char *why)
{
    void *block;
    if (posix_memalign(&block, 4096, BLOCK_MAX))
        return refuse(why, "memory");
    for (size_t i = 0; i < BLOCK_MAX; i++)
        ((uint8_t *)block)[i] = (uint8_t)(i * 2654435761u >> 13);
    bool ok =
        measure_rtt(&out->rtt, false, seconds, why) && measure_rtt(&out->rtt_spinning, true, seconds, why) &&
        measure_disk(out, dir, seconds, block, why) && measure_stream(&out->loopback_mb_per_s, seconds, why);
    free(block);
    return ok;
}

double limits_one_in_flight_ns(const struct limits *l, bool spinning)
{
    return spinning ? (double)(histogram_quantile(&l->rtt_spinning, .5) +
                               histogram_quantile(&l->write_spinning[0], .5))
                    : (double)(histogram_quantile(&l->rtt, .5) + histogram_quantile(&l->write[0], .5));
}
