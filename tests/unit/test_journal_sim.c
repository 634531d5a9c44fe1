/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/journal on a simulated disk that loses its power at any step: growth, reuse, restarts and
 * the starts themselves are cut. What was reported durable must come back, in order, and nothing else but a
 * prefix of what was added behind it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "effort.h"
#include "io/file.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "io_sim.h"
#include "journal/journal.h"

enum { KEYS_MAX = 100000 };

/* What the outside knows, and the power cut does not take. */
struct world {
    uint64_t seed, random;
    uint64_t key;   /* last added */
    uint64_t acked; /* last reported durable */
    uint64_t sequence_of[KEYS_MAX];
    struct journal_point checkpoint;
    uint32_t epoch;
    uint64_t cut_losses, torn, starts, files;

    /* The process. */
    struct clock clock;
    struct io *io;
    struct work *work;
    struct timers *timers;
    struct journal *journal;
    struct journal_report report;
    char why[512];
    uint64_t replayed; /* last key */
    bool failed;
};

static void on_durable(void *ctx, uint64_t sequence)
{
    struct world *w = ctx;
    while (w->acked < w->key && w->sequence_of[w->acked + 1] <= sequence)
        w->acked++;
}

static void on_room(void *ctx)
{
    (void)ctx;
}

static void on_failed(void *ctx, int error)
{
    struct world *w = ctx;
    cr_assert(error < 0);
    w->failed = true;
}

static void body(uint64_t key, uint32_t bytes, uint8_t *out)
{
    memcpy(out, &key, 8);
    for (uint32_t i = 8; i < bytes; i++)
        out[i] = (uint8_t)(key * 29 + i * 3);
}

static uint32_t body_bytes(uint64_t key)
{
    return 8 + (uint32_t)(key % 11 == 0 ? key * 131 % 6000 : key * 31 % 500);
}

static int replay(void *ctx, const struct journal_entry *e)
{
    struct world *w = ctx;
    uint8_t expected[8192];
    uint64_t key = 0;
    cr_assert(e->bytes >= 8 && e->bytes <= sizeof(expected));
    memcpy(&key, e->body, 8);
    body(key, e->bytes, expected);
    cr_assert_eq(e->bytes, body_bytes(key), "seed %llu", (unsigned long long)w->seed);
    cr_assert_eq(memcmp(e->body, expected, e->bytes), 0, "seed %llu", (unsigned long long)w->seed);
    if (w->replayed)
        cr_assert_eq(key, w->replayed + 1, "seed %llu", (unsigned long long)w->seed);
    else
        cr_assert_leq(w->sequence_of[key - 1], w->checkpoint.sequence, "seed %llu: replay starts late",
                      (unsigned long long)w->seed);
    w->replayed = key;
    return 0;
}

static void process_start(struct world *w)
{
    const struct io_options io = { 0 };
    w->failed = false;
    w->replayed = 0;
    io_sim_clock(&w->clock);
    cr_assert_eq(io_create(&w->io, &io, w->why, sizeof(w->why)), 0);
    cr_assert_eq(work_create(&w->work, w->io, 1), 0);
    w->timers = timers_create(w->clock.mono_ns);
}

/* Takes the process down. With `power` still there only what is in flight is waited for: as SIGKILL. */
static void process_end(struct world *w)
{
    if (w->journal) {
        while (!journal_idle(w->journal)) {
            journal_submit(w->journal);
            io_turn(w->io, 1000000000, true);
            work_collect(w->work);
        }
        journal_destroy(w->journal);
    }
    w->journal = NULL;
    timers_destroy(w->timers);
    work_destroy(w->work);
    io_destroy(w->io);
}

/* False when the power was cut meanwhile. */
static bool journal_begin(struct world *w)
{
    const struct journal_options options = {
        .dir = "/journal",
        .file_bytes = 64 * 1024,
        .files_min = 2,
        .files_max = 3 + (uint32_t)(w->seed % 6),
        .group_bytes = 12 * 1024,
        .writes_max = 1 + (uint32_t)(w->seed / 2 % 2),
        .timers = w->timers,
        .id = w->seed + 1,
    };
    const struct journal_events events = { w, on_durable, on_room, on_failed };
    int error = journal_open(&w->journal, w->io, w->work, &options, &w->checkpoint, replay, w, &events,
                             &w->report, w->why, sizeof(w->why));
    if (error != 0) {
        w->journal = NULL;
        cr_assert(io_sim_dead(), "seed %llu: %d %s", (unsigned long long)w->seed, error, w->why);
        return false;
    }
    w->starts++;
    w->torn += w->report.torn_bytes;
    uint64_t last = w->replayed;
    if (last == 0) { /* nothing after the checkpoint */
        last = w->key;
        while (last > 0 && w->sequence_of[last] > w->checkpoint.sequence)
            last--;
    }
    cr_assert(last >= w->acked, "seed %llu: %llu was acknowledged, %llu came back",
              (unsigned long long)w->seed, (unsigned long long)w->acked, (unsigned long long)last);
    cr_assert(last <= w->key);
    cr_assert(w->report.epoch > w->epoch || io_sim_dead());
    w->cut_losses += w->key - last;
    /* What came back is stable now and was served: it must not be lost later. What did not never existed. */
    w->key = w->acked = last;
    w->epoch = w->report.epoch;
    return true;
}

static void one_turn(struct world *w)
{
    uint64_t burst = io_sim_random(&w->random, 6);
    while (burst-- > 0 && w->key + 1 < KEYS_MAX) {
        enum journal_class class = io_sim_random(&w->random, 4) ? JOURNAL_NORMAL : JOURNAL_RESERVED;
        uint32_t bytes = body_bytes(w->key + 1);
        if (!journal_room(w->journal, class, 1, bytes))
            break;
        w->key++;
        w->sequence_of[w->key] = journal_open_sequence(w->journal);
        body(w->key, bytes, journal_add(w->journal, (uint8_t)w->key, bytes));
    }
    uint64_t oldest = journal_oldest_file(w->journal), open = journal_open_file(w->journal);
    if (open > oldest && io_sim_random(&w->random, 8) == 0) {
        struct journal_point point;
        uint64_t to = oldest + 1 + io_sim_random(&w->random, open - oldest);
        if (journal_point_of(w->journal, to, &point)) {
            w->checkpoint = point;
            journal_release(w->journal, to);
        }
    }
    journal_submit(w->journal);
    uint64_t wait = io_sim_random(&w->random, 10) == 0 ? 30000000 : 300000;
    io_turn(w->io, wait, true);
    clock_update(&w->clock);
    work_collect(w->work);
    timers_fire(w->timers, w->clock.mono_ns);
}

/* One life of the disk: processes that are killed or lose their power at random steps, starts included. */
static void world_run(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->random = seed * 0x9e3779b97f4a7c15 + 1;
    io_sim_start(&(struct io_sim_options){ .seed = seed,
                                           .sector_bytes = seed % 2 ? 512 : 4096,
                                           .writeback_percent = (uint32_t)(seed % 3 * 20),
                                           .no_direct = seed % 7 == 0 });
    for (unsigned process = 0; process < 8; process++) {
        /* A start takes a few steps: many cuts should hit one. */
        uint64_t steps = 1 + io_sim_random(&w->random, io_sim_random(&w->random, 2) ? 12 : 150);
        uint64_t cut = io_sim_random(&w->random, 1u << 30);
        enum io_sim_mode mode = (enum io_sim_mode)io_sim_random(&w->random, 4);
        if (io_sim_random(&w->random, 4) == 0)
            io_sim_kill_at(steps, cut);
        else
            io_sim_crash_at(steps, cut, mode);
        process_start(w);
        if (journal_begin(w))
            for (unsigned turn = 0; turn < 400 && !io_sim_dead(); turn++)
                one_turn(w);
        if (!io_sim_dead())
            io_sim_crash(cut, mode);
        if (w->journal)
            w->files = journal_open_file(w->journal);
        process_end(w);
        io_sim_restart();
    }
    process_start(w);
    cr_assert(journal_begin(w), "seed %llu: %s", (unsigned long long)seed, w->why);
    process_end(w);
    io_sim_end();
}

Test(journal_sim, power_cuts_and_kills_at_any_step, .timeout = 300)
{
    static struct world w;
    const struct effort_seeds seeds = effort_seeds(1500, 500, 15000);
    const uint64_t count = seeds.end - seeds.first;
    uint64_t losses = 0, torn = 0, starts = 0, reuses = 0;
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        world_run(&w, seed);
        losses += w.cut_losses;
        torn += w.torn;
        starts += w.starts;
        reuses += w.files > 6;
    }
    if (count == 1)
        return;
    /* The cuts did hit something. */
    cr_assert_gt(losses, count);
    cr_assert_gt(torn, 0);
    cr_assert_gt(starts, 4 * count);
    cr_assert_gt(reuses, count / 10);
}

static uint64_t fill(struct world *w, enum journal_class class)
{
    uint64_t bytes = 0;
    for (uint32_t n = body_bytes(1); journal_room(w->journal, class, 1, n); n = body_bytes(w->key + 1)) {
        bytes += n;
        w->key++;
        w->sequence_of[w->key] = journal_open_sequence(w->journal);
        body(w->key, n, journal_add(w->journal, (uint8_t)w->key, n));
        journal_submit(w->journal);
        io_turn(w->io, 300000, true); /* no timer fires: no file is made */
    }
    return bytes;
}

/* A new journal is open when its first file is there: events may take a half of it, until the first turns
 * have made the second. */
Test(journal_sim, a_new_journal_begins_with_one_file)
{
    static struct world w;
    for (uint64_t seed = 0; seed < 40; seed++) {
        memset(&w, 0, sizeof(w));
        w.seed = seed;
        w.random = seed;
        io_sim_start(&(struct io_sim_options){ .seed = seed, .capacity_bytes = seed % 2 ? 120 * 1024 : 0 });
        process_start(&w);
        cr_assert(journal_begin(&w), "%s", w.why);
        cr_assert_eq(journal_stats(w.journal)->files, 1);
        const uint64_t events = fill(&w, JOURNAL_NORMAL);
        cr_assert(events > 0 && events < 32 * 1024, "%llu", (unsigned long long)events);
        cr_assert(journal_room(w.journal, JOURNAL_RESERVED, 1, 1000));
        if (seed % 2) { /* the disk is too small for a second one: it still starts, with all that it has */
            process_end(&w);
            process_start(&w);
            cr_assert(journal_begin(&w), "%s", w.why);
            cr_assert_gt(w.key, 0);
            for (unsigned turn = 0; turn < 100; turn++)
                one_turn(&w);
            cr_assert_eq(journal_stats(w.journal)->files, 1);
            cr_assert_not(w.failed);
            io_sim_set_capacity(1 << 30);
        }
        for (unsigned turn = 0; journal_stats(w.journal)->files < 2; turn++) {
            cr_assert_lt(turn, 10000);
            one_turn(&w);
        }
        for (unsigned turn = 0; turn < 300; turn++)
            one_turn(&w);
        process_end(&w);
        process_start(&w);
        cr_assert(journal_begin(&w), "%s", w.why);
        process_end(&w);
        io_sim_end();
    }
}

/* A full disk while the journal grows: it goes on with the files that it has, and grows when space is back.
 */
Test(journal_sim, a_full_disk_is_survived)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    w.seed = 4; /* seven files */
    w.random = 99;
    io_sim_start(&(struct io_sim_options){ .seed = 5, .capacity_bytes = 200 * 1024 });
    process_start(&w);
    cr_assert(journal_begin(&w), "%s", w.why);
    for (unsigned turn = 0; turn < 600; turn++)
        one_turn(&w);
    cr_assert_not(w.failed);
    cr_assert_leq(journal_stats(w.journal)->files, 3);
    cr_assert_gt(journal_open_file(w.journal), 3);
    io_sim_set_capacity(1 << 30);
    for (unsigned turn = 0; turn < 600; turn++) {
        one_turn(&w);
        io_sim_advance(10000000);
    }
    cr_assert_gt(journal_stats(w.journal)->files, 3);
    process_end(&w);
    process_start(&w);
    cr_assert(journal_begin(&w), "%s", w.why);
    process_end(&w);
    io_sim_end();
}

/* Failing writes: the journal stops, nothing is acknowledged afterwards, and all that was comes back. */
Test(journal_sim, write_errors_are_final)
{
    static struct world w;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        memset(&w, 0, sizeof(w));
        w.seed = seed;
        w.random = seed;
        io_sim_start(&(struct io_sim_options){ .seed = seed });
        process_start(&w);
        cr_assert(journal_begin(&w), "%s", w.why);
        io_sim_fail(&(struct io_sim_fault){
            .op = IO_SIM_WRITE, .nth = 1 + seed % 30, .error = seed % 2 ? EIO : ENOSPC, .path = ".journal" });
        for (unsigned turn = 0; turn < 200 && !w.failed; turn++)
            one_turn(&w);
        cr_assert(w.failed);
        uint64_t acked = w.acked;
        for (unsigned turn = 0; turn < 20; turn++)
            one_turn(&w);
        cr_assert_eq(w.acked, acked);
        process_end(&w);
        io_sim_crash(seed, IO_SIM_RANDOM);
        io_sim_restart();
        process_start(&w);
        cr_assert(journal_begin(&w), "seed %llu: %s", (unsigned long long)seed, w.why);
        process_end(&w);
        io_sim_end();
    }
}

/* A start that cannot write or flush says so and can be tried again. */
Test(journal_sim, failing_starts_lose_nothing)
{
    static struct world w;
    unsigned failed = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        memset(&w, 0, sizeof(w));
        w.seed = seed;
        w.random = seed;
        io_sim_start(&(struct io_sim_options){ .seed = seed });
        process_start(&w);
        cr_assert(journal_begin(&w), "%s", w.why);
        for (unsigned turn = 0; turn < 60; turn++)
            one_turn(&w);
        io_sim_crash(seed, IO_SIM_RANDOM);
        process_end(&w);
        io_sim_restart();
        static const enum io_sim_op ops[] = { IO_SIM_OPEN, IO_SIM_READ, IO_SIM_WRITE, IO_SIM_SYNC,
                                              IO_SIM_SYNC_DIR };
        io_sim_fail(&(struct io_sim_fault){ .op = ops[seed % 5], .nth = 1 + seed / 5 % 4, .error = EIO });
        process_start(&w);
        const struct journal_options options = { .dir = "/journal",
                                                 .file_bytes = 64 * 1024,
                                                 .files_min = 2,
                                                 .files_max = 9,
                                                 .group_bytes = 12 * 1024,
                                                 .writes_max = 2 };
        const struct journal_events events = { &w, on_durable, on_room, on_failed };
        int error = journal_open(&w.journal, w.io, w.work, &options, &w.checkpoint, replay, &w, &events,
                                 &w.report, w.why, sizeof(w.why));
        if (error != 0) {
            cr_assert_eq(error, -EIO);
            cr_assert(strstr(w.why, "journal"), "%s", w.why);
            w.journal = NULL;
            failed++;
        }
        process_end(&w);
        io_sim_heal();
        io_sim_crash(seed, IO_SIM_RANDOM);
        io_sim_restart();
        process_start(&w);
        cr_assert(journal_begin(&w), "seed %llu: %s", (unsigned long long)seed, w.why);
        process_end(&w);
        io_sim_end();
    }
    cr_assert_gt(failed, 60);
}
