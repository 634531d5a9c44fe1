/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/io on the real kernel: every operation, the receive buffers, cancelling, files, workers,
 * and how a loop sleeps, spins and is woken.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/io.h"
#include "io/work.h"

#define SECOND_NS 1000000000ull

static struct io *make_io(struct io_options options)
{
    struct io *io = NULL;
    char why[256] = "";
    cr_assert_eq(io_create(&io, &options, why, sizeof(why)), 0, "%s", why);
    return io;
}

/* An op that remembers its events. */
struct probe {
    struct io_op op;
    unsigned events;
    int32_t res; /* of the last event */
    bool over;
    struct io *io;
    int fds[64];
    /* received bytes, and buffers kept back when `keep` */
    uint8_t *data;
    size_t data_bytes;
    bool keep;
    uint16_t kept[64];
    unsigned kept_count;
};

static void probe_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct probe *p = CONTAINER_OF(op, struct probe, op);
    if (p->events < 64)
        p->fds[p->events] = res;
    p->events++;
    p->res = res;
    p->over = !(flags & IO_MORE);
    cr_assert_eq(p->over, !io_busy(op));
    if (flags & IO_DATA) {
        uint16_t buffer;
        const uint8_t *bytes = io_recv_take(p->io, op, flags, &buffer);
        if (p->data) {
            memcpy(p->data + p->data_bytes, bytes, (size_t)res);
            p->data_bytes += (size_t)res;
        }
        if (p->keep)
            p->kept[p->kept_count++] = buffer;
        else
            io_recv_return(p->io, buffer);
    }
}

/* Turns until `cond`; a hang is the test's time-out. */
#define RUN_UNTIL(io, cond)                                                                                  \
    while (!(cond))                                                                                          \
    io_turn((io), SECOND_NS, false)

static int listen_loopback(uint16_t *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

static int connect_loopback(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void cancel_and_wait(struct io *io, struct probe *victim)
{
    struct probe cancel = { 0 };
    io_cancel(io, &cancel.op, &victim->op, probe_done);
    RUN_UNTIL(io, !io_busy(&cancel.op) && !io_busy(&victim->op));
}

Test(io, create_and_destroy)
{
    struct io *io = make_io((struct io_options){ 0 });
    cr_assert_eq(io_turn(io, 0, false), 0);
    cr_assert_eq(io_stats(io)->inflight, 0);
    io_destroy(io);
}

Test(io, refusals_say_what_to_change)
{
    struct io *io = NULL;
    char why[256];
    const struct io_options bad = { .recv_buffers = 3 };
    cr_assert_eq(io_create(&io, &bad, why, sizeof(why)), -EINVAL);
    cr_assert_not_null(strstr(why, "power of two"), "%s", why);

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t before = limit.rlim_cur;
    int next = dup(0);
    close(next);
    limit.rlim_cur = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &limit);
    const struct io_options plain = { 0 };
    const int error = io_create(&io, &plain, why, sizeof(why));
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_eq(error, -EMFILE);
    cr_assert_not_null(strstr(why, "RLIMIT_NOFILE"), "%s", why);
}

/* From here on this process gets `error` for the system call, as in a container that forbids it. */
static void forbid(unsigned number, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = ARRAY_LEN(filter), .filter = filter };
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void expect_refusal(unsigned number, int error, const char *named)
{
    struct io *io = NULL;
    char why[256] = "";
    const struct io_options plain = { 0 };
    const uint64_t before = mem_used(MEM_IO);
    forbid(number, (unsigned)error);
    cr_assert_eq(io_create(&io, &plain, why, sizeof(why)), -error);
    cr_assert_not_null(strstr(why, named), "%s", why);
    cr_assert_lt(strlen(why), sizeof(why) - 1);
    cr_assert_eq(mem_used(MEM_IO), before);
}

Test(io, a_sandbox_that_hides_io_uring_is_named)
{
    expect_refusal(__NR_io_uring_setup, ENOSYS, "configs/seccomp.json");
}

Test(io, a_sandbox_that_forbids_io_uring_is_named)
{
    expect_refusal(__NR_io_uring_setup, EPERM, "configs/seccomp.json");
}

Test(io, too_little_lockable_memory_is_named)
{
    expect_refusal(__NR_io_uring_setup, ENOMEM, "RLIMIT_MEMLOCK");
}

Test(io, an_old_kernel_is_named)
{
    expect_refusal(__NR_io_uring_setup, EINVAL, "Linux 6.1");
}

Test(io, refused_registration_is_named)
{
    expect_refusal(__NR_io_uring_register, EPERM, "io_uring_register");
}

Test(io, one_accept_has_many_connections)
{
    struct io *io = make_io((struct io_options){ 0 });
    uint16_t port;
    const int listener = listen_loopback(&port);
    struct probe accept = { .io = io };
    io_accept(io, &accept.op, listener, probe_done);
    io_turn(io, 0, false);
    int clients[20];
    for (unsigned i = 0; i < 20; i++)
        clients[i] = connect_loopback(port);
    RUN_UNTIL(io, accept.events == 20);
    cr_assert(io_busy(&accept.op));
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_geq(accept.fds[i], 0);
        cr_assert(fcntl(accept.fds[i], F_GETFD) & FD_CLOEXEC);
        close(accept.fds[i]);
        close(clients[i]);
    }
    cancel_and_wait(io, &accept);
    cr_assert_eq(accept.res, -ECANCELED);
    close(listener);
    io_destroy(io);
}

Test(io, receive_goes_on_until_the_peer_finishes)
{
    struct io *io = make_io((struct io_options){ .recv_buffers = 4, .recv_buffer_bytes = 1000 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    static uint8_t got[100000], sent[100000];
    for (unsigned i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 31 >> 3);
    struct probe recv = { .io = io, .data = got };
    io_recv(io, &recv.op, pair[0], probe_done);
    for (size_t at = 0; at < sizeof(sent);) {
        const size_t n = at * 7 % 2500 + 1;
        const size_t left = sizeof(sent) - at;
        const ssize_t w = write(pair[1], sent + at, n < left ? n : left);
        cr_assert_gt(w, 0);
        at += (size_t)w;
        /* buffers come back inside the handler, yet a burst longer than all of them may starve one receive */
        while (recv.data_bytes < at) {
            if (!io_busy(&recv.op)) {
                cr_assert_eq(recv.res, -ENOBUFS);
                io_recv(io, &recv.op, pair[0], probe_done);
            }
            io_turn(io, SECOND_NS, false);
        }
    }
    close(pair[1]);
    if (!io_busy(&recv.op))
        io_recv(io, &recv.op, pair[0], probe_done);
    RUN_UNTIL(io, recv.over && recv.res != -ENOBUFS);
    cr_assert_eq(recv.res, 0);
    cr_assert_eq(recv.data_bytes, sizeof(sent));
    cr_assert_eq(memcmp(got, sent, sizeof(sent)), 0);
    close(pair[0]);
    io_destroy(io);
}

Test(io, receive_starves_and_starts_again)
{
    struct io *io = make_io((struct io_options){ .recv_buffers = 2, .recv_buffer_bytes = 100 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    static uint8_t got[1000];
    struct probe recv = { .io = io, .data = got, .keep = true };
    io_recv(io, &recv.op, pair[0], probe_done);
    char text[250];
    memset(text, 'x', sizeof(text));
    cr_assert_eq(write(pair[1], text, sizeof(text)), 250);
    RUN_UNTIL(io, recv.over);
    cr_assert_eq(recv.res, -ENOBUFS);
    cr_assert_eq(recv.data_bytes, 200);
    cr_assert_eq(recv.kept_count, 2);
    cr_assert_eq(io_stats(io)->recv_starved, 1);
    io_recv_return(io, recv.kept[0]);
    io_recv_return(io, recv.kept[1]);
    recv.kept_count = 0;
    io_recv(io, &recv.op, pair[0], probe_done);
    RUN_UNTIL(io, recv.data_bytes == 250);
    cancel_and_wait(io, &recv);
    io_recv_return(io, recv.kept[0]);
    close(pair[0]);
    close(pair[1]);
    io_destroy(io);
}

static void ignore_data(struct io_op *op, int32_t res, uint32_t flags)
{
    struct probe *p = CONTAINER_OF(op, struct probe, op);
    p->events++;
    p->res = res;
    p->data_bytes += flags & IO_DATA ? (size_t)res : 0;
}

Test(io, a_buffer_not_taken_comes_back_by_itself)
{
    struct io *io = make_io((struct io_options){ .recv_buffers = 1, .recv_buffer_bytes = 10 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct probe recv = { .io = io };
    io_recv(io, &recv.op, pair[0], ignore_data);
    for (unsigned i = 1; i <= 50; i++) {
        cr_assert_eq(write(pair[1], "0123456789", 10), 10);
        RUN_UNTIL(io, recv.data_bytes == 10 * i);
        cr_assert(io_busy(&recv.op));
    }
    cancel_and_wait(io, &recv);
    close(pair[0]);
    close(pair[1]);
    io_destroy(io);
}

struct drain {
    int fd;
    size_t want, got;
    bool right;
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static void *drain_slowly(void *arg)
{
    struct drain *d = arg;
    uint8_t buf[3000];
    d->right = true;
    while (d->got < d->want) {
        const ssize_t n = read(d->fd, buf, d->got / 7 % sizeof(buf) + 1);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            d->right &= buf[i] == pattern(d->got + (size_t)i);
        d->got += (size_t)n;
    }
    return NULL;
}

Test(io, a_large_send_to_a_slow_reader_is_one_event)
{
    struct io *io = make_io((struct io_options){ 0 });
    uint16_t port;
    const int listener = listen_loopback(&port);
    struct drain drain = { .fd = connect_loopback(port), .want = 8 << 20 };
    const int fd = accept(listener, NULL, NULL);
    uint8_t *bytes = malloc(drain.want);
    for (size_t i = 0; i < drain.want; i++)
        bytes[i] = pattern(i);
    struct iovec parts[3] = { { bytes, 1000 },
                              { bytes + 1000, 5000000 },
                              { bytes + 5001000, drain.want - 5001000 } };
    const struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 3 };
    pthread_t thread;
    pthread_create(&thread, NULL, drain_slowly, &drain);
    struct probe send = { .io = io };
    io_sendmsg(io, &send.op, fd, &msg, probe_done);
    RUN_UNTIL(io, send.over);
    cr_assert_eq(send.res, (int32_t)drain.want);
    cr_assert_eq(send.events, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(drain.got, drain.want);
    cr_assert(drain.right);
    close(fd);
    close(drain.fd);
    close(listener);
    free(bytes);
    io_destroy(io);
}

Test(io, a_send_to_a_gone_peer_is_an_error_and_no_signal)
{
    struct io *io = make_io((struct io_options){ 0 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    struct iovec part = { "x", 1 };
    const struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
    struct probe send = { .io = io };
    io_sendmsg(io, &send.op, pair[0], &msg, probe_done);
    RUN_UNTIL(io, send.over);
    cr_assert_eq(send.res, -EPIPE);
    close(pair[0]);
    io_destroy(io);
}

Test(io, a_send_that_is_cancelled_says_how_far_it_got)
{
    struct io *io = make_io((struct io_options){ 0 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    uint8_t *bytes = calloc(1, 4 << 20);
    struct iovec part = { bytes, 4 << 20 };
    const struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
    struct probe send = { .io = io };
    io_sendmsg(io, &send.op, pair[0], &msg, probe_done);
    io_turn(io, 0, false);
    cr_assert(io_busy(&send.op));
    cancel_and_wait(io, &send);
    cr_assert(send.res == -ECANCELED || (send.res > 0 && send.res < 4 << 20), "%d", send.res);
    close(pair[0]);
    close(pair[1]);
    free(bytes);
    io_destroy(io);
}

Test(io, cancelling_what_is_over_is_normal)
{
    struct io *io = make_io((struct io_options){ 0 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct probe poll_op = { .io = io }, cancel = { .io = io };
    io_poll(io, &poll_op.op, pair[0], POLLOUT, probe_done);
    RUN_UNTIL(io, poll_op.over);
    cr_assert(poll_op.res & POLLOUT);
    io_cancel(io, &cancel.op, &poll_op.op, probe_done);
    RUN_UNTIL(io, cancel.over);
    cr_assert_eq(cancel.res, -ENOENT);
    /* and a running one, started in the same turn as its cancel */
    io_poll(io, &poll_op.op, pair[0], POLLIN, probe_done);
    cancel_and_wait(io, &poll_op);
    cr_assert_eq(poll_op.res, -ECANCELED);
    close(pair[0]);
    close(pair[1]);
    io_destroy(io);
}

Test(io, closing_does_not_end_a_receive_but_shutdown_does)
{
    struct io *io = make_io((struct io_options){ 0 });
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    static uint8_t got[100];
    struct probe recv = { .io = io, .data = got }, close_op = { .io = io };
    io_recv(io, &recv.op, pair[0], probe_done);
    io_turn(io, 0, false);
    io_close(io, &close_op.op, pair[0], probe_done);
    RUN_UNTIL(io, close_op.over);
    cr_assert_eq(close_op.res, 0);
    cr_assert(io_busy(&recv.op)); /* the ring keeps the socket: only cancelling ends it */
    cr_assert_eq(write(pair[1], "late", 4), 4);
    RUN_UNTIL(io, recv.data_bytes == 4);
    cancel_and_wait(io, &recv);
    close(pair[1]);

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct probe shut = { .io = io };
    io_recv(io, &recv.op, pair[0], probe_done);
    io_turn(io, 0, false);
    io_shutdown(io, &shut.op, pair[0], probe_done);
    RUN_UNTIL(io, shut.over && recv.over);
    cr_assert_eq(recv.res, 0);
    close(pair[0]);
    close(pair[1]);
    io_destroy(io);
}

/* Starts itself again from its handler, as connections do. */
static void again_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct probe *p = CONTAINER_OF(op, struct probe, op);
    (void)flags;
    cr_assert_geq(res, 0);
    if (++p->events < 5000)
        io_poll(p->io, op, p->fds[0], POLLOUT, again_done);
}

Test(io, more_operations_than_entries)
{
    struct io *io = make_io((struct io_options){ .entries = 8 });
    static struct probe polls[500];
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (unsigned i = 0; i < 500; i++) {
        polls[i] = (struct probe){ .io = io };
        io_poll(io, &polls[i].op, pair[0], POLLOUT, probe_done);
        cr_assert_eq(polls[i].events, 0); /* a full queue submits, and runs no handler */
    }
    cr_assert_eq(io_stats(io)->inflight, 500);
    RUN_UNTIL(io, io_stats(io)->inflight == 0);
    for (unsigned i = 0; i < 500; i++)
        cr_assert_eq(polls[i].events, 1);
    struct probe again = { .io = io, .fds = { pair[0] } };
    io_poll(io, &again.op, pair[0], POLLOUT, again_done);
    RUN_UNTIL(io, again.events == 5000);
    close(pair[0]);
    close(pair[1]);
    io_destroy(io);
}

/* ---- files ---- */

static void temp_path(char *path, size_t bytes, const char *name)
{
    const char *dir = getenv("TMPDIR");
    snprintf(path, bytes, "%s/runnel-test-io-%d-%s", dir ? dir : "/tmp", getpid(), name);
}

Test(io, file_write_sync_read_and_end)
{
    struct io *io = make_io((struct io_options){ 0 });
    char path[256];
    temp_path(path, sizeof(path), "rw");
    const int fd = file_open(path, FILE_WRITE | FILE_CREATE | FILE_EXCL, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_open(path, FILE_WRITE | FILE_CREATE | FILE_EXCL, NULL), -EEXIST);
    enum { BYTES = 3 << 20 };
    uint8_t *out = malloc(BYTES), *in = calloc(1, BYTES);
    for (size_t i = 0; i < BYTES; i++)
        out[i] = pattern(i);
    struct probe p = { .io = io };
    io_write(io, &p.op, fd, out, BYTES, 100, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, BYTES);
    p.over = false;
    io_sync(io, &p.op, fd, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 0);
    p.over = false;
    io_read(io, &p.op, fd, in, BYTES, 100, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, BYTES);
    cr_assert_eq(memcmp(in, out, BYTES), 0);
    p.over = false;
    io_read(io, &p.op, fd, in, 1000, BYTES + 50, probe_done); /* 50 bytes before the end */
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 50);
    p.over = false;
    io_read(io, &p.op, fd, in, 1000, BYTES + 1000, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 0);
    p.over = false;
    p.events = 0;
    io_write(io, &p.op, -1, out, 10, 0, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, -EBADF);
    cr_assert_eq(p.events, 1);
    file_close(fd);
    file_unlink(path);
    free(in);
    free(out);
    io_destroy(io);
}

Test(io, a_pipe_gives_short_reads_that_are_continued)
{
    struct io *io = make_io((struct io_options){ 0 });
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    uint8_t in[300] = { 0 };
    struct probe p = { .io = io };
    cr_assert_eq(write(ends[1], "abc", 3), 3);
    io_read(io, &p.op, ends[0], in, 10, 0, probe_done);
    io_turn(io, 0, false);
    io_turn(io, 0, false);
    cr_assert(io_busy(&p.op));
    cr_assert_eq(write(ends[1], "defghij", 7), 7);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 10);
    cr_assert_eq(p.events, 1);
    cr_assert_eq(memcmp(in, "abcdefghij", 10), 0);
    p.over = false;
    cr_assert_eq(write(ends[1], "k", 1), 1);
    close(ends[1]);
    io_read(io, &p.op, ends[0], in, 10, 0, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 1); /* the end */
    close(ends[0]);
    io_destroy(io);
}

Test(io, direct_files)
{
    struct io *io = make_io((struct io_options){ 0 });
    char path[256];
    bool direct = false;
    temp_path(path, sizeof(path), "direct");
    const int fd = file_open(path, FILE_WRITE | FILE_CREATE | FILE_DIRECT | FILE_DSYNC, &direct);
    cr_assert_geq(fd, 0);
    uint8_t *block = aligned_alloc(4096, 65536);
    memset(block, 7, 65536);
    struct probe p = { .io = io };
    io_write(io, &p.op, fd, block, 65536, 4096, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 65536);
    cr_assert_eq(file_truncate(fd, 4096 + 1000), 0); /* an end inside a block */
    p.over = false;
    io_read(io, &p.op, fd, block, 65536, 4096, probe_done);
    RUN_UNTIL(io, p.over);
    cr_assert_eq(p.res, 1000);
    cr_assert_eq(file_read(fd, block, 65536, 0), 5096);
    file_close(fd);
    file_unlink(path);
    free(block);
    io_destroy(io);
}

struct names {
    unsigned files, dirs;
};

static int count_name(void *ctx, const char *name, bool is_dir)
{
    struct names *n = ctx;
    n->files += !is_dir;
    n->dirs += is_dir;
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

Test(file, directories_sizes_and_locks)
{
    char dir[256], path[300], other[300];
    temp_path(dir, sizeof(dir), "dir");
    cr_assert_eq(file_mkdir(dir), 1);
    cr_assert_eq(file_mkdir(dir), 0);
    snprintf(path, sizeof(path), "%s/a", dir);
    snprintf(other, sizeof(other), "%s/b", dir);
    cr_assert_eq(file_exists(path), 0);
    cr_assert_eq(file_open(path, FILE_READ, NULL), -ENOENT);
    int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_allocate(fd, 100000), 0);
    cr_assert_eq(file_bytes(fd), 100000);
    cr_assert_eq(file_allocate(fd, 5000), 0);
    cr_assert_eq(file_bytes(fd), 100000);
    cr_assert_eq(file_write(fd, "hello", 5, 99998), 0);
    cr_assert_eq(file_bytes(fd), 100003);
    char text[10];
    cr_assert_eq(file_read(fd, text, 10, 99998), 5);
    cr_assert_eq(file_sync(fd), 0);
    cr_assert_eq(file_sync_dir(dir), 0);
    cr_assert_eq(file_lock(fd), 0);
    const int fd2 = file_open(path, FILE_WRITE, NULL);
    cr_assert_eq(file_lock(fd2), -EWOULDBLOCK);
    file_close(fd);
    cr_assert_eq(file_lock(fd2), 0);
    file_close(fd2);
    cr_assert_eq(file_rename(path, other), 0);
    cr_assert_eq(file_exists(other), 1);
    cr_assert_eq(file_exists(path), 0);
    cr_assert_eq(file_mkdir(other), -ENOTDIR);
    cr_assert_eq(file_mkdir(path), 1);
    struct names names = { 0, 0 };
    cr_assert_eq(file_list(dir, count_name, &names), 0);
    cr_assert_eq(names.files, 1);
    cr_assert_eq(names.dirs, 1);
    cr_assert_eq(file_rmdir(dir), -ENOTEMPTY);
    cr_assert_eq(file_rmdir(path), 0);
    snprintf(path, sizeof(path), "%s/stop", dir);
    cr_assert_eq(file_rename(other, path), 0);
    cr_assert_eq(file_list(dir, count_name, &names), 42);
    uint64_t free_bytes, total_bytes;
    cr_assert_eq(file_space(dir, &free_bytes, &total_bytes), 0);
    cr_assert(free_bytes <= total_bytes && total_bytes > 0);
    cr_assert_eq(file_unlink(path), 0);
    cr_assert_eq(file_unlink(path), -ENOENT);
    cr_assert_eq(file_rmdir(dir), 0);
    cr_assert_eq(file_list(dir, count_name, &names), -ENOENT);
    cr_assert_eq(file_sync_dir(dir), -ENOENT);
}

/* ---- waiting ---- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

Test(io, waits_as_long_as_told)
{
    struct io *io = make_io((struct io_options){ 0 });
    uint64_t start = now_ns();
    cr_assert_eq(io_turn(io, 20000000, false), 0);
    cr_assert_geq(now_ns() - start, 20000000);
    io_set_spin(io, 100, true);
    start = now_ns();
    cr_assert_eq(io_turn(io, 3000000, false), 0);
    cr_assert_geq(now_ns() - start, 3000000);
    start = now_ns();
    io_turn(io, 50000, false); /* shorter than the spin: no sleep */
    cr_assert_geq(now_ns() - start, 50000);
    cr_assert_eq(io_stats(io)->sleeps, 2);
    io_destroy(io);
}

Test(io, an_idle_loop_sleeps_even_when_told_to_spin)
{
    struct io *io = make_io((struct io_options){ .spin_us = 500000, .spin_always = true });
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    io_turn(io, 300000000, true);
    getrusage(RUSAGE_THREAD, &after);
    struct timeval cpu;
    timersub(&after.ru_utime, &before.ru_utime, &cpu);
    cr_assert(cpu.tv_sec == 0 && cpu.tv_usec < 100000);
    cr_assert_eq(io_stats(io)->sleeps, 1);
    io_destroy(io);
}

static void *pinger(void *arg)
{
    const int fd = *(int *)arg;
    char c;
    for (unsigned i = 0; i < 2000; i++)
        if (write(fd, "p", 1) != 1 || read(fd, &c, 1) != 1)
            return (void *)1;
    return NULL;
}

/* Echoes 2,000 bytes one at a time; returns the loop's figures. */
static struct io_stats echo(struct io *io)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, pinger, &pair[1]);
    struct probe recv = { .io = io }, send = { .io = io };
    struct iovec part = { "q", 1 };
    const struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
    io_recv(io, &recv.op, pair[0], probe_done);
    for (unsigned i = 1; i <= 2000; i++) {
        RUN_UNTIL(io, recv.events == i && !io_busy(&send.op));
        io_sendmsg(io, &send.op, pair[0], &msg, probe_done);
    }
    RUN_UNTIL(io, !io_busy(&send.op));
    void *failed;
    pthread_join(thread, &failed);
    cr_assert_null(failed);
    cancel_and_wait(io, &recv);
    close(pair[0]);
    close(pair[1]);
    return *io_stats(io);
}

Test(io, spins_where_events_come_quickly_and_not_otherwise)
{
    struct io *io = make_io((struct io_options){ .spin_us = 200000 });
    for (unsigned i = 0; i < 50; i++) /* nothing comes: learns that it does not pay */
        io_turn(io, 100000, false);
    const struct io_stats quick = echo(io);
    /* How many waits there are depends on the machine's other work; but no answer takes longer than the spin,
     * so once that is learnt no wait ends in a sleep. */
    cr_assert_gt(quick.spins, 0);
    cr_assert_leq(quick.sleeps, 50 + 20);
    io_destroy(io);
    io = make_io((struct io_options){ .spin_us = 0 });
    const struct io_stats slow = echo(io);
    cr_assert_eq(slow.spins, 0);
    io_destroy(io);
}

/* ---- workers ---- */

struct task {
    struct work_job job;
    unsigned ran, done, order;
    unsigned *counter;
    pthread_t thread;
    pthread_mutex_t *gate;
    bool again;
    struct work *work;
};

static void task_run(struct work_job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    if (t->gate) {
        pthread_mutex_lock(t->gate);
        pthread_mutex_unlock(t->gate);
    }
    t->thread = pthread_self();
    t->ran++;
    if (t->counter)
        t->order = __atomic_add_fetch(t->counter, 1, __ATOMIC_SEQ_CST);
}

static void task_done(struct work_job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    cr_assert_not(job->busy);
    t->done++;
    if (t->again) {
        t->again = false;
        work_submit(t->work, job, task_run, task_done);
    }
}

Test(work, a_job_wakes_a_sleeping_loop)
{
    struct io *io = make_io((struct io_options){ 0 });
    struct work *work;
    cr_assert_eq(work_create(&work, io, 2), 0);
    for (unsigned i = 0; i < 200; i++) {
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        struct task t = { .gate = &gate, .work = work };
        pthread_mutex_lock(&gate);
        work_submit(work, &t.job, task_run, task_done);
        cr_assert_eq(work_pending(work), 1);
        pthread_mutex_unlock(&gate);
        while (!t.done) {
            io_turn(io, UINT64_MAX, false); /* for ever: only the wake-up ends it */
            work_collect(work);
        }
        cr_assert_neq(t.thread, pthread_self());
    }
    cr_assert_eq(work_pending(work), 0);
    work_destroy(work);
    io_destroy(io);
}

Test(work, starts_in_order_and_runs_all)
{
    struct io *io = make_io((struct io_options){ 0 });
    struct work *work;
    unsigned counter = 0;
    static struct task tasks[300];
    cr_assert_eq(work_create(&work, io, 1), 0);
    for (unsigned i = 0; i < 300; i++) {
        tasks[i] = (struct task){ .counter = &counter, .work = work, .again = i % 3 == 0 };
        work_submit(work, &tasks[i].job, task_run, task_done);
    }
    while (work_pending(work)) {
        io_turn(io, UINT64_MAX, false);
        work_collect(work);
    }
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_eq(tasks[i].done, i % 3 == 0 ? 2 : 1);
        if (i % 3 && i > 1 && (i - 1) % 3)
            cr_assert_gt(tasks[i].order, tasks[i - 1].order);
    }
    work_destroy(work);
    io_destroy(io);
}

Test(work, workers_take_no_signals, .signal = SIGUSR1)
{
    struct io *io = make_io((struct io_options){ 0 });
    struct work *work;
    cr_assert_eq(work_create(&work, io, 4), 0);
    /* directed at the process with our own mask blocked: a worker that took it would end the process here */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    struct task t = { .work = work };
    work_submit(work, &t.job, task_run, task_done);
    while (!t.done) {
        io_turn(io, UINT64_MAX, false);
        work_collect(work);
    }
    sigset_t pending;
    sigpending(&pending);
    if (!sigismember(&pending, SIGUSR1))
        exit(3);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *wake_often(void *arg)
{
    for (unsigned i = 0; i < 20000; i++)
        io_wake(arg);
    return NULL;
}

Test(io, wakes_from_many_threads)
{
    struct io *io = make_io((struct io_options){ .spin_us = 5, .spin_always = true });
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, wake_often, io);
    for (unsigned i = 0; i < 2000; i++)
        io_turn(io, 1000000, false);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    /* one more after the last turn is never lost */
    io_turn(io, 0, false);
    io_wake(io);
    io_turn(io, UINT64_MAX, true);
    io_destroy(io);
}
