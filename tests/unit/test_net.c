/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/test_net.c: the net room on real sockets: split and merged frames, impossible sizes, pauses,
 * slow readers, many connections, and that no memory is left behind.
 *
 * The layer above is a recorder: it keeps a checksum of what came, echoes frames on request, and can say "not
 * now". Client sockets are non-blocking and driven from the same thread: pump() turns the loop.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/mem.h"
#include "io/io.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/net.h"
#include "proto/cursor.h"
#include "proto/wire.h"

enum { ECHO = 2, SWALLOW = 3, FRAME_BYTES_MAX = 1 << 20 };

static struct {
    struct io *io;
    struct timers *timers;
    struct clock clock;
    struct net *net;
    struct listener *listener;
    struct listener_address address;
    struct net_door door;
    /* recorder */
    uint32_t opened, closed, frames, unlent, drained;
    uint64_t frame_bytes, unlent_bytes;
    bool later;
    struct conn *last;
} t;

static void on_open(void *ctx, struct conn *c)
{
    (void)ctx;
    t.opened++;
    t.last = c;
}

static enum net_take on_frame(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes)
{
    (void)ctx;
    struct wire_header h;
    if (t.later)
        return NET_LATER;
    cr_assert(wire_header_decode(&h, frame, bytes));
    cr_assert_eq(h.size, bytes);
    for (uint32_t i = WIRE_HEADER; i < bytes; i++)
        cr_assert_eq(frame[i], (uint8_t)(h.request_id + i));
    t.frames++;
    t.frame_bytes += bytes;
    t.last = c;
    if (h.op == ECHO)
        conn_write(c, frame, bytes);
    return NET_TAKEN;
}

static void on_drained(void *ctx, struct conn *c)
{
    (void)ctx;
    (void)c;
    t.drained++;
}

static void on_unlent(void *ctx, const uint8_t *data, uint32_t bytes, void *pin)
{
    (void)ctx;
    (void)data;
    cr_assert_eq(pin, &t);
    t.unlent++;
    t.unlent_bytes += bytes;
}

static void on_closed(void *ctx, struct conn *c)
{
    (void)ctx;
    if (t.last == c)
        t.last = NULL;
    t.closed++;
}

static void turn(uint64_t wait_ns)
{
    clock_update(&t.clock);
    io_turn(t.io, net_busy(t.net) ? 0 : wait_ns, true);
    clock_update(&t.clock);
    timers_fire(t.timers, t.clock.mono_ns);
    net_turn_begin(t.net);
    net_turn_end(t.net);
}

static void pump(uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++)
        turn(200000);
}

#define PUMP_UNTIL(cond)                                                                                     \
    do {                                                                                                     \
        const uint64_t until = t.clock.mono_ns + 10000000000ull;                                             \
        while (!(cond) && t.clock.mono_ns < until)                                                           \
            turn(1000000);                                                                                   \
        cr_assert(cond);                                                                                     \
    } while (0)

static void start(struct net_options options)
{
    char why[512];
    memset(&t, 0, sizeof(t));
    diag_set_level(DIAG_ERROR);
    clock_init(&t.clock);
    t.timers = timers_create(t.clock.mono_ns);
    const struct io_options io_options = { .recv_buffers = 8, .recv_buffer_bytes = 16384 };
    cr_assert_eq(io_create(&t.io, &io_options, why, sizeof(why)), 0, "%s", why);
    t.net = net_create(&options, t.io, t.timers, &t.clock);
    t.door = (struct net_door){
        t.net, &NET_NATIVE, FRAME_BYTES_MAX, { &t, on_open, on_frame, on_drained, on_unlent, on_closed }
    };
    cr_assert(listener_parse("tcp://127.0.0.1:0", &t.address, why), "%s", why);
    cr_assert_eq(listener_open(&t.listener, "tcp://127.0.0.1:0", &t.address, &t.door, t.io, t.timers, why),
                 0);
    char text[LISTENER_TEXT_BYTES];
    listener_text(t.listener, text);
    struct listener_address real;
    cr_assert(listener_parse(text, &real, why), "%s", why);
    t.address = real;
}

static struct net_options defaults(void)
{
    return (struct net_options){ .connections_max = 20000,
                                 .out_bytes_max = 1 << 20,
                                 .in_bytes_max = 64 << 20,
                                 .send_bytes_max = 64 << 20,
                                 .stall_ms = 200 };
}

static void stop(void)
{
    listener_close(t.listener);
    net_stop_now(t.net);
    PUMP_UNTIL(net_idle(t.net) && listener_closed(t.listener));
    cr_assert_eq(t.opened, t.closed);
    listener_destroy(t.listener);
    net_destroy(t.net);
    io_destroy(t.io);
    timers_destroy(t.timers);
    cr_assert_eq(mem_used(MEM_NET), 0);
}

static int client(void)
{
    const int fd = socket(t.address.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert(fd >= 0);
    const int rc = connect(fd, (struct sockaddr *)&t.address.addr, t.address.len);
    cr_assert(rc == 0 || errno == EINPROGRESS, "%s", strerror(errno));
    return fd;
}

static void make_frame(uint8_t *out, uint16_t op, uint32_t id, uint32_t bytes)
{
    const struct wire_header h = { .size = bytes, .op = op, .request_id = id };
    memcpy(out, &h, sizeof(h));
    for (uint32_t i = WIRE_HEADER; i < bytes; i++)
        out[i] = (uint8_t)(id + i);
}

/* Sends all, turning the loop while the socket is full. */
static void push(int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (uint32_t tries = 0; len && tries < 100000; tries++) {
        const ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else {
            cr_assert(errno == EAGAIN || errno == ENOTCONN, "%s", strerror(errno));
            pump(1);
        }
    }
    cr_assert_eq(len, 0);
}

/* Reads exactly `len` bytes; returns fewer when the peer closes. */
static size_t pull(int fd, void *bytes, size_t len)
{
    size_t got = 0;
    for (uint32_t tries = 0; got < len && tries < 100000; tries++) {
        const ssize_t n = recv(fd, (uint8_t *)bytes + got, len - got, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            break;
        if (n > 0)
            got += (size_t)n;
        else
            pump(1);
    }
    return got;
}

/* The next frame must be an error with this code. */
static void expect_error(int fd, enum error code)
{
    uint8_t buffer[1024];
    struct wire_header h;
    struct wire_error e;
    cr_assert_eq(pull(fd, buffer, WIRE_HEADER), WIRE_HEADER);
    cr_assert(wire_header_decode(&h, buffer, WIRE_HEADER));
    cr_assert_eq(h.flags, WIRE_REPLY | WIRE_ERROR);
    cr_assert_leq(h.size, sizeof(buffer));
    cr_assert_eq(pull(fd, buffer + WIRE_HEADER, h.size - WIRE_HEADER), h.size - WIRE_HEADER);
    cr_assert(wire_get_error(reader_of(buffer + WIRE_HEADER, h.size - WIRE_HEADER), &e));
    cr_assert_eq(e.code, code, "got %s", error_name(e.code));
    cr_assert_gt(e.text.len, 10);
}

static void expect_end(int fd)
{
    uint8_t byte;
    cr_assert_eq(pull(fd, &byte, 1), 0);
}

Test(net, frames_whole_and_merged)
{
    start(defaults());
    const int fd = client();
    static uint8_t bytes[300000];
    uint32_t len = 0, sent = 0;
    for (uint32_t i = 0; len + 4096 < sizeof(bytes); i++, sent++) {
        make_frame(bytes + len, SWALLOW, i, WIRE_HEADER + i % 3000);
        len += WIRE_HEADER + i % 3000;
    }
    push(fd, bytes, len);
    PUMP_UNTIL(t.frames == sent);
    cr_assert_eq(t.frame_bytes, len);
    cr_assert_eq(net_stats(t.net)->in_bytes, 0);
    close(fd);
    PUMP_UNTIL(t.closed == 1);
    stop();
}

Test(net, accepted_sockets_inherit_their_options)
{
    int no_delay = 0, keep_alive = 0;
    socklen_t len = sizeof(int);
    start(defaults());
    const int fd = client();
    PUMP_UNTIL(t.opened == 1);
    cr_assert_eq(getsockopt(t.last->fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    cr_assert_eq(getsockopt(t.last->fd, SOL_SOCKET, SO_KEEPALIVE, &keep_alive, &len), 0);
    cr_assert(no_delay && keep_alive);
    close(fd);
    stop();
}

Test(net, one_byte_at_a_time)
{
    start(defaults());
    const int fd = client();
    uint8_t bytes[200];
    make_frame(bytes, ECHO, 7, 100);
    make_frame(bytes + 100, ECHO, 8, 100);
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        push(fd, bytes + i, 1);
        pump(2);
    }
    uint8_t back[200];
    cr_assert_eq(pull(fd, back, sizeof(back)), sizeof(back));
    cr_assert_arr_eq(bytes, back, sizeof(back));
    cr_assert_eq(net_stats(t.net)->in_bytes, 0);
    close(fd);
    stop();
}

Test(net, split_at_every_place)
{
    start(defaults());
    uint8_t bytes[90];
    for (uint32_t i = 0; i < 3; i++)
        make_frame(bytes + 30 * i, SWALLOW, i, 30);
    for (uint32_t cut = 1; cut < sizeof(bytes); cut++) {
        const int fd = client();
        const uint32_t before = t.frames;
        push(fd, bytes, cut);
        pump(3);
        push(fd, bytes + cut, sizeof(bytes) - cut);
        PUMP_UNTIL(t.frames == before + 3);
        close(fd);
    }
    stop();
}

Test(net, large_frames_echoed)
{
    start(defaults());
    const int fd = client();
    const uint32_t bytes = 1 << 20;
    uint8_t *out = malloc(bytes), *back = malloc(bytes);
    for (uint32_t i = 0; i < 5; i++) {
        make_frame(out, ECHO, i, bytes);
        push(fd, out, bytes);
        cr_assert_eq(pull(fd, back, bytes), bytes);
        cr_assert_eq(memcmp(out, back, bytes), 0);
    }
    cr_assert_eq(net_stats(t.net)->in_bytes, 0);
    cr_assert_eq(net_stats(t.net)->out_bytes, 0);
    free(out);
    free(back);
    close(fd);
    stop();
}

Test(net, too_small_size_closes)
{
    start(defaults());
    const int fd = client();
    const struct wire_header h = { .size = 11, .op = 4, .request_id = 9 };
    push(fd, &h, sizeof(h));
    expect_error(fd, ERR_FRAME_INVALID);
    expect_end(fd);
    close(fd);
    PUMP_UNTIL(t.closed == 1);
    stop();
}

Test(net, too_large_size_is_skipped)
{
    start(defaults());
    const int fd = client();
    const uint32_t bytes = 3 << 20;
    uint8_t *out = calloc(1, bytes);
    make_frame(out, SWALLOW, 1, bytes);
    push(fd, out, bytes);
    expect_error(fd, ERR_FRAME_TOO_LARGE);
    make_frame(out, ECHO, 2, 50);
    push(fd, out, 50);
    uint8_t back[50];
    cr_assert_eq(pull(fd, back, 50), 50);
    cr_assert_eq(t.frames, 1);
    free(out);
    close(fd);
    stop();
}

Test(net, impossible_size_closes_and_costs_nothing)
{
    start(defaults());
    int fds[200];
    for (uint32_t i = 0; i < 200; i++) {
        fds[i] = client();
        push(fds[i], "GET / HTTP/1.1\r\n\r\n", 18);
    }
    for (uint32_t i = 0; i < 200; i++) {
        expect_error(fds[i], ERR_FRAME_TOO_LARGE);
        expect_end(fds[i]);
        close(fds[i]);
    }
    PUMP_UNTIL(t.closed == 200);
    stop();
}

Test(net, announced_size_costs_nothing)
{
    start(defaults());
    int fds[500];
    const struct wire_header h = { .size = 1 << 20, .op = 4, .request_id = 9 };
    for (uint32_t i = 0; i < 500; i++) {
        fds[i] = client();
        push(fds[i], &h, sizeof(h));
    }
    PUMP_UNTIL(net_stats(t.net)->bytes_in == 500 * sizeof(h));
    cr_assert_lt(mem_used(MEM_NET), 500 * 1400);
    for (uint32_t i = 0; i < 500; i++)
        close(fds[i]);
    PUMP_UNTIL(t.closed == 500);
    stop();
}

Test(net, later_pauses_and_resumes_in_order)
{
    start(defaults());
    const int fd = client();
    const uint32_t each = 1000, count = 2000;
    uint8_t *out = malloc(each * count);
    for (uint32_t i = 0; i < count; i++)
        make_frame(out + i * each, ECHO, i, each);
    t.later = true;
    PUMP_UNTIL(t.opened == 1);
    struct conn *c = t.last;
    size_t sent = 0;
    for (uint32_t i = 0; i < 300; i++) {
        const ssize_t n = send(fd, out + sent, each * count - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        pump(1);
    }
    cr_assert_eq(t.frames, 0);
    /* What it holds is bounded: the rest waits in the kernel. */
    cr_assert_lt(net_stats(t.net)->in_bytes, 1 << 20);
    t.later = false;
    conn_resume(c);
    uint8_t *back = malloc(each * count);
    size_t got = 0;
    const uint64_t until = t.clock.mono_ns + 10000000000ull;
    while (got < each * count && t.clock.mono_ns < until) {
        ssize_t n = sent < each * count ? send(fd, out + sent, each * count - sent, MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(fd, back + got, each * count - got, 0);
        got += n > 0 ? (size_t)n : 0;
        pump(1);
    }
    cr_assert_eq(got, each * count);
    cr_assert_eq(memcmp(out, back, got), 0);
    cr_assert_eq(net_stats(t.net)->in_bytes, 0);
    free(out);
    free(back);
    close(fd);
    stop();
}

Test(net, reader_that_never_reads_is_bounded)
{
    struct net_options options = defaults();
    options.out_bytes_max = 256 << 10;
    start(options);
    const int fd = client();
    const uint32_t each = 60000;
    uint8_t *out = malloc(each);
    make_frame(out, ECHO, 1, each);
    size_t stuck = 0, at = 0;
    while (stuck < 200) {
        const ssize_t n = send(fd, out + at, each - at, MSG_NOSIGNAL);
        if (n > 0) {
            at = (at + (size_t)n) % each;
            stuck = 0;
        } else {
            stuck++;
        }
        pump(1);
    }
    cr_assert_lt(net_stats(t.net)->out_bytes, 2 << 20);
    cr_assert_lt(net_stats(t.net)->in_bytes, 1 << 20);
    /* It reads at last, and everything comes. */
    uint8_t *back = malloc(each);
    const uint32_t before = t.frames;
    /* What the kernel buffers comes first, however much that is. */
    while (t.frames == before)
        cr_assert_eq(pull(fd, back, each), each);
    free(out);
    free(back);
    close(fd);
    stop();
}

Test(net, stalled_reader_is_closed_when_memory_is_short)
{
    struct net_options options = defaults();
    options.send_bytes_max = 4 << 20;
    options.out_bytes_max = 16 << 20;
    start(options);
    const int fd = client();
    PUMP_UNTIL(t.opened == 1);
    static uint8_t slice[1 << 16];
    for (uint32_t i = 0; i < 160; i++)
        conn_lend(t.last, slice, sizeof(slice), &t);
    cr_assert(!net_send_room(t.net));
    PUMP_UNTIL(t.closed == 1);
    PUMP_UNTIL(t.unlent == 160);
    cr_assert_eq(net_stats(t.net)->slow_readers, 1);
    cr_assert(net_send_room(t.net));
    close(fd);
    stop();
}

Test(net, lent_slices_come_in_order_and_are_given_back)
{
    start(defaults());
    const int fd = client();
    PUMP_UNTIL(t.opened == 1);
    static uint8_t slice[1 << 18];
    for (size_t i = 0; i < sizeof(slice); i++)
        slice[i] = (uint8_t)(i * 7);
    uint8_t expect[3 * (20 + 5000)], *p = expect;
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t head[20];
        memset(head, (int)i, sizeof(head));
        conn_write(t.last, head, sizeof(head));
        conn_lend(t.last, slice + 100 * i, 5000, &t);
        memcpy(p, head, sizeof(head));
        memcpy(p + sizeof(head), slice + 100 * i, 5000);
        p += sizeof(head) + 5000;
    }
    conn_want_drained(t.last);
    uint8_t back[sizeof(expect)];
    cr_assert_eq(pull(fd, back, sizeof(back)), sizeof(back));
    cr_assert_arr_eq(back, expect, sizeof(back));
    PUMP_UNTIL(t.unlent == 3 && t.drained == 1);
    cr_assert_eq(t.unlent_bytes, 15000);
    cr_assert_eq(net_stats(t.net)->lent_bytes, 0);
    close(fd);
    stop();
}

Test(net, ids_do_not_find_the_next_owner)
{
    start(defaults());
    const int a = client();
    PUMP_UNTIL(t.opened == 1);
    const uint64_t id = conn_id(t.last);
    cr_assert_eq(net_find(t.net, id), t.last);
    close(a);
    PUMP_UNTIL(t.closed == 1);
    pump(3);
    const int b = client();
    PUMP_UNTIL(t.opened == 2);
    cr_assert_null(net_find(t.net, id));
    cr_assert_eq((uint32_t)conn_id(t.last), (uint32_t)id);
    close(b);
    stop();
}

Test(net, one_too_many_is_told_so)
{
    struct net_options options = defaults();
    options.connections_max = 2;
    start(options);
    const int a = client(), b = client();
    PUMP_UNTIL(t.opened == 2);
    const int c = client();
    push(c, "hello there", 11);
    expect_error(c, ERR_TOO_MANY_CONNECTIONS);
    expect_end(c);
    close(c);
    close(a);
    PUMP_UNTIL(t.closed == 1);
    const int d = client();
    PUMP_UNTIL(t.opened == 3);
    close(b);
    close(d);
    stop();
}

Test(net, thousands_of_idle_connections_are_cheap)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const uint32_t count = limit.rlim_cur > 9000 ? 4000 : (uint32_t)limit.rlim_cur / 3;
    start(defaults());
    int *fds = malloc(count * sizeof(*fds));
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = client();
        if (i % 64 == 0)
            pump(2);
    }
    PUMP_UNTIL(t.opened == count);
    uint8_t frame[64];
    make_frame(frame, ECHO, 5, sizeof(frame));
    for (uint32_t i = 0; i < count; i++)
        push(fds[i], frame, sizeof(frame));
    PUMP_UNTIL(t.frames == count);
    uint8_t back[64];
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(pull(fds[i], back, sizeof(back)), sizeof(back));
    PUMP_UNTIL(net_stats(t.net)->out_bytes == 0);
    pump(2);
    cr_assert_lt(mem_used(MEM_NET), count * 1024ull + (1 << 20));
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
    PUMP_UNTIL(t.closed == count);
    free(fds);
    stop();
}

Test(net, closing_with_everything_in_flight)
{
    start(defaults());
    const int fd = client();
    PUMP_UNTIL(t.opened == 1);
    static uint8_t slice[1 << 20];
    for (uint32_t i = 0; i < 8; i++)
        conn_lend(t.last, slice, sizeof(slice), &t);
    turn(0);
    conn_close(t.last);
    conn_lend(t.last, slice, 10, &t); /* to nobody: given back at once */
    cr_assert_eq(t.unlent, 1);
    PUMP_UNTIL(t.closed == 1 && t.unlent == 9);
    close(fd);
    stop();
}

Test(net, unix_socket_and_stale_file)
{
    start(defaults());
    char dir[] = "/tmp/runnel-net-XXXXXX", url[128], why[LISTENER_WHY_BYTES];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(url, sizeof(url), "unix:%s/s", dir);
    struct listener_address address;
    cr_assert(listener_parse(url, &address, why));
    cr_assert(address.local && address.loopback);
    /* A dead process's file: bound, never listening. */
    const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(dead, (struct sockaddr *)&address.addr, address.len), 0);
    close(dead);
    struct listener *l, *second;
    cr_assert_eq(listener_open(&l, url, &address, &t.door, t.io, t.timers, why), 0, "%s", why);
    cr_assert_eq(listener_open(&second, url, &address, &t.door, t.io, t.timers, why), -EADDRINUSE);
    cr_assert_not_null(strstr(why, "another process"));
    t.address = address;
    const int fd = client();
    uint8_t frame[64], back[64];
    make_frame(frame, ECHO, 5, sizeof(frame));
    push(fd, frame, sizeof(frame));
    cr_assert_eq(pull(fd, back, sizeof(back)), sizeof(back));
    close(fd);
    listener_close(l);
    PUMP_UNTIL(listener_closed(l));
    listener_destroy(l);
    cr_assert_eq(rmdir(dir), 0); /* the socket file is gone */
    stop();
}

Test(net, urls)
{
    struct listener_address a;
    char why[LISTENER_WHY_BYTES];
    cr_assert(listener_parse("tcp://127.0.0.1:0", &a, why) && a.loopback);
    cr_assert(listener_parse("tcp://[::1]:7411", &a, why) && a.loopback);
    cr_assert(listener_parse("tcp://0.0.0.0:7411", &a, why) && !a.loopback);
    cr_assert(listener_parse("tcp://*:7411", &a, why) && !a.loopback);
    cr_assert(listener_parse("tcp://[::]:7411", &a, why) && !a.loopback);
    const char *bad[] = { "tcp://",       "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:70000",
                          "tcp://::1:80", "tcp://[::1]",     "tcp://[::1]x",     "http://x",
                          "unix:",        "127.0.0.1:80",    "tcp://1.2.3.4:x" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert(!listener_parse(bad[i], &a, why), "%s", bad[i]);
    char lengthy[200] = "unix:/";
    memset(lengthy + 6, 'x', 150);
    cr_assert(!listener_parse(lengthy, &a, why));
    cr_assert_not_null(strstr(why, "at most"));
}
