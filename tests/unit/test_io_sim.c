/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of tests/support/io_sim.c: that it loses what a disk may lose, keeps what it must keep, and is the
 * same again for the same seed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "io/file.h"
#include "io/io.h"
#include "io/work.h"
#include "io_sim.h"

enum { WRITE_NEW = FILE_WRITE | FILE_CREATE };

static void start(struct io_sim_options options)
{
    io_sim_start(&options);
}

static int open_new(const char *path, uint32_t flags)
{
    const int fd = file_open(path, WRITE_NEW | flags, NULL);
    cr_assert_geq(fd, 0, "%s: %d", path, fd);
    return fd;
}

/* A file whose name and first content are durable. */
static int open_durable(const char *path, const void *bytes, uint64_t count)
{
    const int fd = open_new(path, 0);
    cr_assert_eq(file_write(fd, bytes, count, 0), 0);
    cr_assert_eq(file_sync(fd), 0);
    cr_assert_eq(file_sync_dir("/"), 0);
    return fd;
}

static void crash(uint64_t seed, enum io_sim_mode mode)
{
    io_sim_crash(seed, mode);
    cr_assert(io_sim_dead());
    io_sim_restart();
    cr_assert_not(io_sim_dead());
}

static int64_t read_all(const char *path, void *buf, uint64_t bytes)
{
    const int fd = file_open(path, FILE_READ, NULL);
    if (fd < 0)
        return fd;
    const int64_t n = file_read(fd, buf, bytes, 0);
    file_close(fd);
    return n;
}

/* ---- bytes ---- */

Test(sim, reads_what_was_written_and_holes_are_zero)
{
    start((struct io_sim_options){ 0 });
    const int fd = open_new("/a", 0);
    uint8_t out[100000], in[200000];
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 >> 2);
    cr_assert_eq(file_write(fd, out, sizeof(out), 70001), 0);
    cr_assert_eq(file_bytes(fd), 170001);
    cr_assert_eq(file_read(fd, in, sizeof(in), 0), 170001);
    for (unsigned i = 0; i < 70001; i++)
        cr_assert_eq(in[i], 0);
    cr_assert_eq(memcmp(in + 70001, out, sizeof(out)), 0);
    cr_assert_eq(file_truncate(fd, 80000), 0);
    cr_assert_eq(file_truncate(fd, 90000), 0);
    cr_assert_eq(file_read(fd, in, sizeof(in), 75000), 15000);
    cr_assert_eq(memcmp(in, out + 4999, 5000), 0);
    for (unsigned i = 5000; i < 15000; i++)
        cr_assert_eq(in[i], 0);
    file_close(fd);
    io_sim_end();
}

Test(sim, unflushed_bytes_go_and_flushed_ones_stay)
{
    char in[5000];
    for (uint64_t seed = 0; seed < 50; seed++) {
        start((struct io_sim_options){ .seed = seed });
        int fd = open_durable("/a", "durable!", 8);
        cr_assert(io_sim_settled("/a"));
        cr_assert_eq(file_write(fd, "volatile", 8, 0), 0);
        cr_assert_eq(file_write(fd, "volatile", 8, 3000), 0);
        cr_assert_not(io_sim_settled("/a"));
        crash(seed, IO_SIM_NONE);
        cr_assert_eq(read_all("/a", in, sizeof(in)), 8);
        cr_assert_eq(memcmp(in, "durable!", 8), 0);
        fd = file_open("/a", FILE_WRITE, NULL);
        cr_assert_eq(file_write(fd, "volatile", 8, 0), 0);
        crash(seed, IO_SIM_ALL);
        cr_assert_eq(read_all("/a", in, sizeof(in)), 8);
        cr_assert_eq(memcmp(in, "volatile", 8), 0);
        io_sim_end();
    }
}

Test(sim, dsync_writes_are_durable_and_nothing_else_is)
{
    char in[8192];
    start((struct io_sim_options){ 0 });
    const int plain = open_new("/a", 0), dsync = file_open("/a", FILE_WRITE | FILE_DSYNC, NULL);
    cr_assert_eq(file_sync_dir("/"), 0);
    cr_assert_eq(file_write(plain, "lost", 4, 0), 0);
    cr_assert_eq(file_write(dsync, "kept", 4, 4096), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(read_all("/a", in, sizeof(in)), 4100);
    cr_assert_eq(memcmp(in, "\0\0\0\0", 4), 0);
    cr_assert_eq(memcmp(in + 4096, "kept", 4), 0);
    io_sim_end();
}

/* Which of 16 sectors survive, as a bit mask; CHECKs that none is torn. */
static unsigned surviving(enum io_sim_mode mode, uint64_t seed, uint32_t sector_bytes)
{
    static uint8_t out[16 * 4096], in[16 * 4096];
    unsigned mask = 0;
    start((struct io_sim_options){ .seed = seed, .sector_bytes = sector_bytes });
    memset(out, 1, sizeof(out));
    const int fd = open_durable("/a", out, 16 * sector_bytes);
    memset(out, 2, sizeof(out));
    for (unsigned i = 0; i < 16; i++)
        cr_assert_eq(file_write(fd, out, sector_bytes, i * sector_bytes), 0);
    crash(seed, mode);
    cr_assert_eq(read_all("/a", in, sizeof(in)), 16 * sector_bytes);
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *sector = in + i * sector_bytes;
        for (unsigned b = 1; b < sector_bytes; b++)
            cr_assert_eq(sector[b], sector[0]);
        mask |= (unsigned)(sector[0] == 2) << i;
    }
    io_sim_end();
    return mask;
}

Test(sim, modes_keep_nothing_all_a_prefix_or_any)
{
    unsigned prefixes = 0, torn = 0, seen_prefix[17] = { 0 };
    for (uint64_t seed = 0; seed < 400; seed++) {
        const uint32_t sector_bytes = seed % 2 ? 512 : 4096;
        cr_assert_eq(surviving(IO_SIM_NONE, seed, sector_bytes), 0);
        cr_assert_eq(surviving(IO_SIM_ALL, seed, sector_bytes), 0xffff);
        const unsigned prefix = surviving(IO_SIM_PREFIX, seed, sector_bytes);
        cr_assert_eq(prefix & (prefix + 1), 0, "%x is no prefix", prefix);
        if (!seen_prefix[__builtin_popcount(prefix)]++)
            prefixes++;
        const unsigned any = surviving(IO_SIM_RANDOM, seed, sector_bytes);
        cr_assert_eq(any, surviving(IO_SIM_RANDOM, seed, sector_bytes)); /* the seed decides */
        torn += (any & (any + 1)) != 0;
    }
    cr_assert_eq(prefixes, 17); /* every length comes up */
    cr_assert_gt(torn, 200);
}

Test(sim, sizes_survive_old_new_or_between)
{
    uint8_t bytes[8192] = { 0 };
    unsigned seen[17] = { 0 }, kinds = 0;
    for (uint64_t seed = 0; seed < 500; seed++) {
        start((struct io_sim_options){ 0 });
        const int fd = open_durable("/a", bytes, 512);
        memset(bytes, 9, sizeof(bytes));
        cr_assert_eq(file_write(fd, bytes, 7680, 512), 0);
        crash(seed, IO_SIM_RANDOM);
        const int64_t n = read_all("/a", bytes, sizeof(bytes));
        cr_assert(n >= 512 && n <= 8192 && n % 512 == 0);
        kinds += !seen[n / 512]++;
        io_sim_end();
        memset(bytes, 0, sizeof(bytes));
    }
    cr_assert_gt(kinds, 10);
}

Test(sim, cut_off_bytes_do_not_come_back)
{
    uint8_t bytes[4096];
    for (uint64_t seed = 0; seed < 200; seed++) {
        memset(bytes, 5, sizeof(bytes));
        start((struct io_sim_options){ 0 });
        const int fd = open_durable("/a", bytes, 4096);
        cr_assert_eq(file_truncate(fd, 1000), 0);
        cr_assert_eq(file_sync(fd), 0);
        cr_assert_eq(file_allocate(fd, 4096), 0);
        cr_assert_eq(file_sync(fd), 0);
        crash(seed, IO_SIM_RANDOM);
        cr_assert_eq(read_all("/a", bytes, sizeof(bytes)), 4096);
        for (unsigned i = 0; i < 4096; i++)
            cr_assert_eq(bytes[i], i < 1000 ? 5 : 0);
        io_sim_end();
    }
}

Test(sim, earlier_versions_may_be_what_survives)
{
    unsigned seen[4] = { 0 };
    for (uint64_t seed = 0; seed < 200; seed++) {
        char c = 0;
        start((struct io_sim_options){ .seed = seed, .writeback_percent = 50 });
        const int fd = open_durable("/a", "\0", 1);
        cr_assert_eq(file_write(fd, "\1", 1, 0), 0);
        cr_assert_eq(file_write(fd, "\2", 1, 0), 0);
        cr_assert_eq(file_write(fd, "\3", 1, 0), 0);
        crash(seed, IO_SIM_RANDOM);
        cr_assert_eq(read_all("/a", &c, 1), 1);
        seen[(unsigned)c]++;
        io_sim_end();
    }
    cr_assert(seen[0] && seen[1] && seen[2] && seen[3]);
}

/* ---- names ---- */

Test(sim, names_need_their_directory_synced)
{
    start((struct io_sim_options){ 0 });
    cr_assert_eq(file_mkdir("/d"), 1);
    cr_assert_eq(file_mkdir("/d"), 0);
    cr_assert_eq(file_sync_dir("/"), 0);
    int fd = open_new("/d/a", 0);
    cr_assert_eq(file_write(fd, "x", 1, 0), 0);
    cr_assert_eq(file_sync(fd), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(file_exists("/d"), 1);
    cr_assert_eq(file_exists("/d/a"), 0); /* the bytes were synced, the name was not */

    fd = open_new("/d/a", 0);
    cr_assert_eq(file_sync_dir("/d"), 0);
    cr_assert_eq(file_rename("/d/a", "/d/b"), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(file_exists("/d/a"), 1);
    cr_assert_eq(file_exists("/d/b"), 0);
    cr_assert_eq(file_rename("/d/a", "/d/b"), 0);
    cr_assert_eq(file_sync_dir("/d"), 0);
    cr_assert_eq(file_unlink("/d/b"), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(file_exists("/d/b"), 1);
    cr_assert_eq(file_unlink("/d/b"), 0);
    crash(1, IO_SIM_ALL);
    cr_assert_eq(file_exists("/d/b"), 0);

    /* a synced directory inside one that is not */
    cr_assert_eq(file_mkdir("/e"), 1);
    fd = open_new("/e/a", 0);
    cr_assert_eq(file_sync_dir("/e"), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(file_exists("/e"), 0);
    io_sim_end();
}

Test(sim, a_rename_between_directories_is_whole)
{
    unsigned both[2] = { 0 };
    for (uint64_t seed = 0; seed < 200; seed++) {
        start((struct io_sim_options){ 0 });
        file_mkdir("/d");
        file_mkdir("/e");
        const int fd = open_new("/d/a", 0);
        file_sync_dir("/");
        file_sync_dir("/d");
        file_sync_dir("/e");
        cr_assert_eq(file_rename("/d/a", "/e/b"), 0);
        if (seed % 4 == 0)
            cr_assert_eq(file_sync_dir("/e"), 0);
        crash(seed, IO_SIM_RANDOM);
        const int old = file_exists("/d/a"), new = file_exists("/e/b");
        cr_assert_eq(old + new, 1);
        if (seed % 4 == 0)
            cr_assert_eq(new, 1);
        both[new]++;
        file_close(fd); /* of the dead process: allowed */
        io_sim_end();
    }
    cr_assert(both[0] && both[1]);
}

Test(sim, a_name_made_and_moved_does_not_come_back)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        start((struct io_sim_options){ 0 });
        file_mkdir("/d");
        file_sync_dir("/");
        open_new("/a", 0);
        file_rename("/a", "/d/a");
        file_sync_dir("/d");
        crash(seed, seed % 2 ? IO_SIM_RANDOM : IO_SIM_ALL);
        cr_assert_eq(file_exists("/d/a"), 1);
        cr_assert_eq(file_exists("/a"), 0);
        io_sim_end();
    }
}

Test(sim, loose_names_are_durable_at_once)
{
    start((struct io_sim_options){ .loose_names = true });
    open_new("/a", 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(file_exists("/a"), 1);
    io_sim_end();
}

static int count_names(void *ctx, const char *name, bool is_dir)
{
    (void)name;
    *(unsigned *)ctx += is_dir ? 100 : 1;
    return 0;
}

Test(sim, errors_are_the_kernels)
{
    start((struct io_sim_options){ 0 });
    cr_assert_eq(file_open("/no", FILE_READ, NULL), -ENOENT);
    cr_assert_eq(file_open("/no/no", WRITE_NEW, NULL), -ENOENT);
    cr_assert_eq(file_mkdir("/d"), 1);
    const int fd = open_new("/d/a", FILE_EXCL);
    cr_assert_eq(file_open("/d/a", WRITE_NEW | FILE_EXCL, NULL), -EEXIST);
    cr_assert_eq(file_open("/d", FILE_READ, NULL), -EISDIR);
    cr_assert_eq(file_mkdir("/d/a"), -ENOTDIR);
    cr_assert_eq(file_open("/d/a/b", FILE_READ, NULL), -ENOTDIR);
    cr_assert_eq(file_exists("/d/a/b"), 0);
    cr_assert_eq(file_rmdir("/d"), -ENOTEMPTY);
    cr_assert_eq(file_unlink("/d"), -EISDIR);
    cr_assert_eq(file_rmdir("/d/a"), -ENOTDIR);
    cr_assert_eq(file_unlink("/d/b"), -ENOENT);
    cr_assert_eq(file_sync_dir("/d/a"), -ENOTDIR);
    cr_assert_eq(file_read(7, NULL, 0, 0), -EBADF);
    cr_assert_eq(file_lock(fd), 0);
    const int again = file_open("/d/a", FILE_READ, NULL);
    cr_assert_eq(file_lock(again), -EWOULDBLOCK);
    cr_assert_eq(file_write(again, "x", 1, 0), -EBADF);
    file_close(fd);
    cr_assert_eq(file_lock(again), 0);
    /* an open file without a name goes on */
    cr_assert_eq(file_unlink("/d/a"), 0);
    cr_assert_eq(file_sync_dir("/d"), 0);
    cr_assert_eq(file_bytes(again), 0);
    file_close(again);
    cr_assert_eq(file_mkdir("/d/e"), 1);
    open_new("/d/b", 0);
    unsigned count = 0;
    cr_assert_eq(file_list("/d", count_names, &count), 0);
    cr_assert_eq(count, 101);
    io_sim_end();
}

/* ---- asynchronous operations ---- */

struct probe {
    struct io_op op;
    int32_t res;
    bool over;
    uint64_t *order;
    uint64_t place;
};

static void probe_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct probe *p = CONTAINER_OF(op, struct probe, op);
    cr_assert_eq(flags, 0);
    p->res = res;
    p->over = true;
    if (p->order)
        p->place = (*p->order)++;
}

static struct io *make_io(void)
{
    struct io *io;
    const struct io_options options = { 0 };
    cr_assert_eq(io_create(&io, &options, NULL, 0), 0);
    return io;
}

Test(sim, operations_overtake_and_time_is_virtual)
{
    unsigned overtaken = 0;
    const time_t began = time(NULL);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct clock clock;
        start((struct io_sim_options){ .seed = seed, .latency_min_us = 1000000, .latency_max_us = 5000000 });
        io_sim_clock(&clock);
        struct io *io = make_io();
        const int fd = open_new("/a", 0);
        struct probe probes[8] = { 0 };
        uint64_t order = 0;
        for (unsigned i = 0; i < 8; i++) {
            probes[i].order = &order;
            io_write(io, &probes[i].op, fd, "12345678", 8, i * 8, probe_done);
        }
        while (order < 8)
            io_turn(io, UINT64_MAX, false);
        for (unsigned i = 1; i < 8; i++)
            overtaken += probes[i].place < probes[i - 1].place;
        for (unsigned i = 0; i < 8; i++)
            cr_assert_eq(probes[i].res, 8);
        const uint64_t before = clock.mono_ns;
        clock_update(&clock);
        cr_assert_gt(clock.mono_ns - before, 1000000000u);
        cr_assert_eq(io_stats(io)->inflight, 0);
        struct probe sync = { 0 }, read = { 0 };
        char in[100];
        io_sync(io, &sync.op, fd, probe_done);
        while (!sync.over)
            io_turn(io, 1000000, false);
        cr_assert_eq(sync.res, 0);
        io_read(io, &read.op, fd, in, 100, 8, probe_done);
        while (!read.over)
            io_turn(io, 0, false), io_sim_advance(1000000);
        cr_assert_eq(read.res, 56);
        io_destroy(io);
        io_sim_end();
    }
    cr_assert_gt(overtaken, 50);
    cr_assert_leq(time(NULL) - began, 20); /* simulated: some thousand seconds */
}

Test(sim, writes_in_flight_survive_a_cut_or_not_and_end_with_an_error)
{
    unsigned landed = 0, torn = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint8_t old[4096] = { 0 }, block[4096], in[4096];
        memset(block, 3, sizeof(block));
        start((struct io_sim_options){ .seed = seed });
        struct io *io = make_io();
        const int fd = open_durable("/a", old, sizeof(old));
        struct probe p = { 0 };
        io_write(io, &p.op, fd, block, sizeof(block), 0, probe_done);
        io_sim_crash(seed, seed % 3 ? IO_SIM_RANDOM : IO_SIM_NONE);
        cr_assert_eq(file_sync(fd), -EIO);
        cr_assert_eq(file_exists("/a"), -EIO);
        cr_assert_not(p.over);
        io_turn(io, UINT64_MAX, false);
        cr_assert(p.over);
        cr_assert_eq(p.res, -EIO);
        file_close(fd);
        io_destroy(io);
        io_sim_restart();
        cr_assert_eq(read_all("/a", in, sizeof(in)), 4096);
        unsigned sectors = 0;
        for (unsigned i = 0; i < 8; i++)
            sectors += in[i * 512] == 3;
        if (seed % 3 == 0)
            cr_assert_eq(sectors, 0);
        landed += sectors == 8;
        torn += sectors > 0 && sectors < 8;
        io_sim_end();
    }
    cr_assert(landed > 5 && torn > 50);
}

Test(sim, direct_io_must_be_aligned)
{
    bool direct = false;
    static _Alignas(4096) uint8_t block[4096];
    start((struct io_sim_options){ 0 });
    const int fd = file_open("/a", WRITE_NEW | FILE_DIRECT, &direct);
    cr_assert(direct);
    cr_assert_eq(file_write(fd, block, 4096, 0), 0);
    cr_assert_eq(file_write(fd, block, 4096, 100), -EINVAL);
    cr_assert_eq(file_write(fd, block + 8, 512, 0), -EINVAL);
    cr_assert_eq(file_read(fd, block, 100, 0), -EINVAL);
    io_sim_end();
    start((struct io_sim_options){ .no_direct = true });
    file_open("/a", WRITE_NEW | FILE_DIRECT, &direct);
    cr_assert_not(direct);
    io_sim_end();
}

Test(sim, a_lent_buffer_that_changes_is_caught, .signal = SIGABRT)
{
    start((struct io_sim_options){ 0 });
    struct io *io = make_io();
    const int fd = open_new("/a", 0);
    char text[] = "will be changed";
    struct probe p = { 0 };
    io_write(io, &p.op, fd, text, sizeof(text), 0, probe_done);
    text[0] = 'W';
    while (!p.over)
        io_turn(io, UINT64_MAX, false);
}

Test(sim, waiting_for_nothing_is_caught, .signal = SIGABRT)
{
    start((struct io_sim_options){ 0 });
    io_turn(make_io(), UINT64_MAX, false);
}

Test(sim, cancels_come_too_late_or_in_time)
{
    unsigned seen[3] = { 0 };
    for (uint64_t seed = 0; seed < 200; seed++) {
        start((struct io_sim_options){ .seed = seed });
        struct io *io = make_io();
        const int fd = open_new("/a", 0);
        struct probe p = { 0 }, cancel = { 0 };
        io_write(io, &p.op, fd, "x", 1, 0, probe_done);
        io_cancel(io, &cancel.op, &p.op, probe_done);
        while (!p.over || !cancel.over)
            io_turn(io, UINT64_MAX, false);
        cr_assert(p.res == 1 || p.res == -ECANCELED);
        cr_assert_eq(file_bytes(fd), p.res == 1 ? 1 : 0);
        seen[cancel.res == 0 ? 0 : cancel.res == -ENOENT ? 1 : 2]++;
        file_close(fd);
        io_destroy(io);
        io_sim_end();
    }
    cr_assert(seen[0] && seen[1] && seen[2]);
}

struct task {
    struct work_job job;
    int fd;
    unsigned *order;
    unsigned place;
    int result;
    bool done;
};

static void task_run(struct work_job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    t->place = (*t->order)++;
    t->result = file_write(t->fd, "job", 3, t->place * 3);
}

static void task_done(struct work_job *job)
{
    CONTAINER_OF(job, struct task, job)->done = true;
}

static void run_tasks(uint32_t threads, uint64_t seed, unsigned *disorder)
{
    start((struct io_sim_options){ .seed = seed });
    struct io *io = make_io();
    struct work *work;
    cr_assert_eq(work_create(&work, io, threads), 0);
    const int fd = open_new("/a", 0);
    struct task tasks[10] = { 0 };
    unsigned order = 0;
    for (unsigned i = 0; i < 10; i++) {
        tasks[i].fd = fd;
        tasks[i].order = &order;
        work_submit(work, &tasks[i].job, task_run, task_done);
        cr_assert_eq(order, 0);
    }
    while (work_pending(work)) {
        io_turn(io, UINT64_MAX, false);
        work_collect(work);
    }
    for (unsigned i = 0; i < 10; i++) {
        cr_assert(tasks[i].done && tasks[i].result == 0);
        *disorder += tasks[i].place != i;
    }
    cr_assert_eq(file_bytes(fd), 30);
    work_destroy(work);
    io_destroy(io);
    io_sim_end();
}

Test(sim, jobs_run_later_in_order_or_near_it)
{
    unsigned one = 0, three = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        run_tasks(1, seed, &one);
        run_tasks(3, seed, &three);
    }
    cr_assert_eq(one, 0);
    cr_assert_gt(three, 30);
}

/* ---- faults ---- */

Test(sim, the_nth_operation_fails_once_or_for_ever)
{
    start((struct io_sim_options){ 0 });
    const int a = open_new("/a", 0), b = open_new("/b", 0);
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_WRITE, .nth = 2, .error = EIO });
    cr_assert_eq(file_write(a, "x", 1, 0), 0);
    cr_assert_eq(file_write(a, "x", 1, 0), -EIO);
    cr_assert_eq(file_write(a, "x", 1, 0), 0);
    cr_assert_eq(io_sim_faults_hit(), 1);
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_SYNC, .error = EIO, .for_ever = true, .path = "/b" });
    cr_assert_eq(file_sync(a), 0);
    cr_assert_eq(file_sync(b), -EIO);
    cr_assert_eq(file_sync(b), -EIO);
    io_sim_heal();
    cr_assert_eq(file_sync(b), 0);
    char c;
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_READ, .error = EIO });
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_OPEN, .error = EMFILE });
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_ALLOCATE, .error = ENOSPC });
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_NAME, .nth = 2, .error = EROFS });
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_SYNC_DIR, .error = EIO });
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_TRUNCATE, .error = EIO });
    cr_assert_eq(file_read(a, &c, 1, 0), -EIO);
    cr_assert_eq(file_read(a, &c, 1, 0), 1);
    cr_assert_eq(file_open("/c", WRITE_NEW, NULL), -EMFILE);
    cr_assert_eq(file_exists("/c"), 0);
    cr_assert_eq(file_allocate(a, 10), -ENOSPC);
    cr_assert_eq(file_mkdir("/d"), 1);
    cr_assert_eq(file_rename("/a", "/d/a"), -EROFS);
    cr_assert_eq(file_sync_dir("/"), -EIO);
    cr_assert_eq(file_truncate(a, 0), -EIO);
    /* asynchronous ones meet the same faults */
    struct io *io = make_io();
    struct probe p = { 0 };
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_WRITE, .error = ENOSPC });
    io_write(io, &p.op, a, "y", 1, 0, probe_done);
    while (!p.over)
        io_turn(io, UINT64_MAX, false);
    cr_assert_eq(p.res, -ENOSPC);
    io_destroy(io);
    io_sim_end();
}

Test(sim, a_silent_write_is_not_there)
{
    start((struct io_sim_options){ 0 });
    const int fd = open_durable("/a", "old", 3);
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_WRITE, .silent = true });
    cr_assert_eq(file_write(fd, "new", 3, 0), 0);
    char in[3];
    cr_assert_eq(file_read(fd, in, 3, 0), 3);
    cr_assert_eq(memcmp(in, "old", 3), 0);
    io_sim_end();
}

Test(sim, after_a_failed_sync_a_good_one_saves_nothing)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        char in[3];
        start((struct io_sim_options){ .seed = seed });
        int fd = open_durable("/a", "old", 3);
        cr_assert_eq(file_write(fd, "new", 3, 0), 0);
        io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_SYNC, .error = EIO });
        cr_assert_eq(file_sync(fd), -EIO);
        cr_assert_eq(file_sync(fd), 0); /* says so, and it is not true */
        cr_assert_eq(file_read(fd, in, 3, 0), 3);
        cr_assert_eq(memcmp(in, "new", 3), 0);
        crash(seed, IO_SIM_NONE);
        cr_assert_eq(read_all("/a", in, 3), 3);
        lost += memcmp(in, "old", 3) == 0;
        /* written anew it is saved */
        fd = file_open("/a", FILE_WRITE, NULL);
        cr_assert_eq(file_write(fd, "new", 3, 0), 0);
        cr_assert_eq(file_sync(fd), 0);
        crash(seed, IO_SIM_NONE);
        cr_assert_eq(read_all("/a", in, 3), 3);
        cr_assert_eq(memcmp(in, "new", 3), 0);
        io_sim_end();
    }
    cr_assert(lost > 5 && lost < 45);
}

Test(sim, a_full_disk_takes_no_more_until_there_is_room)
{
    static uint8_t bytes[8192];
    uint64_t free_bytes, total_bytes;
    start((struct io_sim_options){ .capacity_bytes = 16384 });
    const int a = open_new("/a", 0), b = open_new("/b", 0);
    cr_assert_eq(file_allocate(a, 8192), 0);
    cr_assert_eq(io_sim_used(), 8192);
    cr_assert_eq(file_write(b, bytes, 8192, 4096), -ENOSPC);
    cr_assert_eq(file_bytes(b), 8192); /* what fitted is there */
    cr_assert_eq(file_space("/", &free_bytes, &total_bytes), 0);
    cr_assert_eq(free_bytes, 0);
    cr_assert_eq(total_bytes, 16384);
    cr_assert_eq(file_write(a, bytes, 8192, 0), 0); /* its blocks are reserved */
    cr_assert_eq(file_allocate(a, 8193), -ENOSPC);
    cr_assert_eq(file_bytes(a), 8192);
    cr_assert_eq(file_unlink("/b"), 0);
    cr_assert_eq(file_write(a, bytes, 8192, 8192), -ENOSPC); /* still open */
    file_close(b);
    cr_assert_eq(file_write(a, bytes, 8192, 8192), 0);
    cr_assert_eq(file_truncate(a, 100), 0);
    cr_assert_eq(io_sim_used(), 512);
    io_sim_set_capacity(100);
    cr_assert_eq(file_write(a, bytes, 8192, 0), -ENOSPC);
    crash(1, IO_SIM_NONE);
    io_sim_end();
}

Test(sim, a_flipped_bit_is_on_the_disk)
{
    uint8_t c;
    start((struct io_sim_options){ 0 });
    open_durable("/a", "\x10", 1);
    cr_assert(io_sim_flip("/a", 0, 0));
    cr_assert_not(io_sim_flip("/a", 1, 0));
    cr_assert_not(io_sim_flip("/no", 1, 0));
    cr_assert_eq(read_all("/a", &c, 1), 1);
    cr_assert_eq(c, 0x11);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(read_all("/a", &c, 1), 1);
    cr_assert_eq(c, 0x11);
    io_sim_end();
}

/* ---- power at any step ---- */

/* A little log: a record is a byte, written, synced, and then counted as acknowledged. The last step renames
 * it. Returns how many were acknowledged. */
static unsigned little_log(bool with_dir_sync)
{
    unsigned acknowledged = 0;
    const int fd = file_open("/log", WRITE_NEW, NULL);
    if (fd < 0 || (with_dir_sync && file_sync_dir("/") < 0))
        return 0;
    for (unsigned i = 0; i < 5; i++) {
        const uint8_t byte = (uint8_t)(i + 1);
        if (file_write(fd, &byte, 1, i * 1000) < 0 || file_sync(fd) < 0)
            break;
        acknowledged++;
    }
    file_close(fd);
    return acknowledged;
}

static bool little_log_has(unsigned acknowledged)
{
    uint8_t bytes[5000] = { 0 };
    read_all("/log", bytes, sizeof(bytes));
    for (unsigned i = 0; i < acknowledged; i++)
        if (bytes[i * 1000] != i + 1)
            return false;
    return true;
}

Test(sim, a_cut_at_every_step_finds_the_missing_sync)
{
    start((struct io_sim_options){ 0 });
    little_log(true);
    const uint64_t steps = io_sim_steps();
    cr_assert_eq(steps, 12); /* create, sync of the directory, five writes, five syncs */
    io_sim_end();
    unsigned found = 0;
    for (uint64_t step = 1; step <= steps; step++)
        for (uint64_t seed = 0; seed < 20; seed++)
            for (unsigned with_dir_sync = 0; with_dir_sync < 2; with_dir_sync++) {
                start((struct io_sim_options){ .seed = seed });
                io_sim_crash_at(step, seed, (enum io_sim_mode)(seed % 4));
                const unsigned acknowledged = little_log(with_dir_sync);
                if (!io_sim_dead())
                    io_sim_crash(seed, (enum io_sim_mode)(seed % 4));
                io_sim_restart();
                if (with_dir_sync)
                    cr_assert(little_log_has(acknowledged), "step %lu seed %lu", (unsigned long)step,
                              (unsigned long)seed);
                else
                    found += !little_log_has(acknowledged);
                io_sim_end();
            }
    cr_assert_gt(found, 20);
}

struct images {
    struct io_sim_image *list[100];
    unsigned count;
};

static void take_image(void *ctx, uint64_t step)
{
    struct images *images = ctx;
    images->list[images->count++] = io_sim_crash_image(step, IO_SIM_RANDOM);
}

Test(sim, images_of_every_step_in_one_run)
{
    struct images images = { .count = 0 };
    start((struct io_sim_options){ 0 });
    io_sim_on_step(take_image, &images);
    cr_assert_eq(little_log(true), 5);
    io_sim_on_step(NULL, NULL);
    cr_assert_eq(images.count, 12);
    for (unsigned i = 0; i < images.count; i++) {
        io_sim_restore(images.list[i]);
        /* before step i + 1: (i - 2) / 2 records have been acknowledged */
        cr_assert(little_log_has(i < 2 ? 0 : (i - 2) / 2));
        const int fd = file_open("/log", WRITE_NEW, NULL);
        cr_assert_eq(file_write(fd, "\xff", 1, 0), 0); /* images are not touched by what comes after */
        file_close(fd);
    }
    for (unsigned i = 0; i < images.count; i++) {
        io_sim_restore(images.list[i]);
        cr_assert(little_log_has(i < 2 ? 0 : (i - 2) / 2));
        io_sim_image_free(images.list[i]);
    }
    io_sim_end();
}

Test(sim, snapshots_keep_what_is_not_flushed)
{
    char in[3];
    start((struct io_sim_options){ 0 });
    const int fd = open_durable("/a", "old", 3);
    cr_assert_eq(file_write(fd, "new", 3, 0), 0);
    struct io_sim_image *image = io_sim_snapshot();
    cr_assert_eq(file_sync(fd), 0);
    io_sim_restore(image);
    cr_assert_eq(read_all("/a", in, 3), 3);
    cr_assert_eq(memcmp(in, "new", 3), 0);
    crash(1, IO_SIM_NONE);
    cr_assert_eq(read_all("/a", in, 3), 3);
    cr_assert_eq(memcmp(in, "old", 3), 0);
    io_sim_restore(image);
    io_sim_settle();
    crash(1, IO_SIM_NONE);
    cr_assert_eq(read_all("/a", in, 3), 3);
    cr_assert_eq(memcmp(in, "new", 3), 0);
    io_sim_image_free(image);
    io_sim_end();
}

Test(sim, a_killed_process_leaves_what_it_wrote)
{
    unsigned landed = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint8_t block[1024], in[2048] = { 0 };
        memset(block, 3, sizeof(block));
        start((struct io_sim_options){ .seed = seed });
        struct io *io = make_io();
        const int fd = open_new("/a", 0);
        cr_assert_eq(file_lock(fd), 0);
        cr_assert_eq(file_write(fd, "written", 7, 0), 0);
        struct probe p = { 0 };
        io_write(io, &p.op, fd, block, sizeof(block), 1024, probe_done);
        io_sim_kill(seed);
        io_sim_restart();
        cr_assert_not(io_busy(&p.op));
        cr_assert_not(p.over);
        io_destroy(io);
        const int again = file_open("/a", FILE_WRITE, NULL);
        cr_assert_eq(file_lock(again), 0);
        cr_assert_geq(file_read(again, in, sizeof(in), 0), 7);
        cr_assert_eq(memcmp(in, "written", 7), 0);
        landed += in[1024] == 3;
        crash(seed, IO_SIM_NONE); /* and now the power goes too */
        cr_assert_eq(file_exists("/a"), 0);
        io_sim_end();
    }
    cr_assert(landed > 10 && landed < 90);
}

Test(sim, the_same_seed_is_the_same_run)
{
    uint64_t first[3] = { 0 };
    for (unsigned round = 0; round < 2; round++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            start((struct io_sim_options){ .seed = seed });
            struct io *io = make_io();
            struct clock clock;
            io_sim_clock(&clock);
            const int fd = open_new("/a", 0);
            struct probe probes[5] = { 0 };
            for (unsigned i = 0; i < 5; i++)
                io_write(io, &probes[i].op, fd, "x", 1, i, probe_done);
            while (io_stats(io)->inflight)
                io_turn(io, UINT64_MAX, false);
            clock_update(&clock);
            if (round == 0)
                first[seed] = clock.mono_ns;
            else
                cr_assert_eq(first[seed], clock.mono_ns);
            io_destroy(io);
            io_sim_end();
        }
    cr_assert_neq(first[0], first[1]);
}

Test(sim, tens_of_thousands_of_cuts_take_seconds)
{
    static _Alignas(4096) uint8_t block[4096];
    start((struct io_sim_options){ 0 });
    int fd = open_new("/journal", FILE_DSYNC);
    for (unsigned i = 0; i < 256; i++) /* 1 MiB, pre-written */
        cr_assert_eq(file_write(fd, block, sizeof(block), i * 4096), 0);
    io_sim_settle();
    struct io_sim_image *image = io_sim_snapshot();
    for (uint64_t seed = 0; seed < 20000; seed++) {
        io_sim_restore(image);
        struct io *io = make_io();
        fd = file_open("/journal", FILE_WRITE | FILE_DIRECT | FILE_DSYNC, NULL);
        memset(block, (int)seed + 1, sizeof(block));
        struct probe p[4] = { 0 };
        for (unsigned i = 0; i < 4; i++)
            io_write(io, &p[i].op, fd, block, sizeof(block), (seed + i) % 256 * 4096, probe_done);
        io_turn(io, 100000, false);
        io_sim_crash(seed, IO_SIM_RANDOM);
        io_sim_restart();
        io_destroy(io);
    }
    io_sim_image_free(image);
    io_sim_end();
}
