/* SPDX-License-Identifier: Apache-2.0
 *
 * The log room on the simulated disk: the power cut at every step, and every operation failing once. What a
 * function said was durable is there afterwards; what it had not said is there rightly, or told to be
 * damaged.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io_sim.h"
#include "log_fixture.h"

/* How far a run came. */
struct progress {
    bool created, sealed;
    uint32_t indexed; /* extents whose entries were */
    int result;
};

enum { DATA_STEPS = 3 };

static struct fixture *fixture(uint64_t seed)
{
    struct fixture_plan plan = { .seed = seed,
                                 .base_offset = seed % 2 ? 500 : 0,
                                 .batches = 16,
                                 .value_max = 900,
                                 .extent_blocks_max = 2,
                                 .gaps = true,
                                 .sealed = true };
    struct fixture *f = fixture_build(&plan);
    snprintf(f->dir, sizeof(f->dir), "/data/topics/orders/3");
    return f;
}

static void start(uint64_t seed)
{
    io_sim_start(&(struct io_sim_options){ .seed = seed, .writeback_percent = 30 });
    cr_assert_eq(file_mkdir("/data"), 1);
    cr_assert_eq(file_mkdir("/data/topics"), 1);
    io_sim_settle();
}

static int write_extents(const struct fixture *f, int fd, uint32_t from, uint32_t to)
{
    int result = 0;
    for (uint32_t i = from; i < to && result == 0; i++) {
        const struct log_extent *e = &f->extents[i];
        uint32_t bytes = (e->bytes + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
        uint8_t *aligned = mem_alloc_aligned(MEM_LOG, bytes, LOG_BLOCK);
        memset(aligned, 0, bytes);
        memcpy(aligned, f->bytes + e->position, e->bytes);
        result = file_write(fd, aligned, bytes, e->position);
        mem_free(MEM_LOG, aligned, bytes);
    }
    return result;
}

/* A segment's life: made, written and checkpointed in three parts, sealed. Stops at the first error. */
static void live(const struct fixture *f, struct progress *p)
{
    char why[LOG_WHY_BYTES] = "";
    uint64_t base = f->segment.base_offset;
    int fd;
    bool direct;
    p->result = log_segment_create(f->dir, f->id, base, 1 << 17, &fd, &direct, why);
    if (p->result < 0) {
        cr_assert(why[0] != '\0');
        return;
    }
    p->created = true;
    for (uint32_t part = 1; part <= DATA_STEPS && p->result == 0; part++) {
        uint32_t until = f->extent_count * part / DATA_STEPS, from = p->indexed;
        p->result = write_extents(f, fd, from, until);
        if (p->result == 0)
            p->result = log_index_append(f->dir, f->id, base, from, f->extents + from, until - from, why);
        if (p->result == 0 && part == DATA_STEPS)
            p->result = log_segment_seal(f->dir, base, f->segment.bytes);
        if (p->result == 0) /* as in a checkpoint: one for all of it, the names with the first */
            p->result = log_segment_sync(f->dir, base, part == 1, &(bool){ false });
        if (p->result == 0)
            p->indexed = until;
    }
    file_close(fd);
    p->sealed = p->result == 0;
}

static void no_finding(void *ctx, const char *file, uint64_t position, const char *text)
{
    cr_assert_fail("%s: %s at %" PRIu64 ": %s", (const char *)ctx, file, position, text);
}

/* The model cut to its first `extents` extents, as a checkpoint at that moment lists the segment. */
static struct fixture cut_to(const struct fixture *f, uint32_t extents, bool sealed)
{
    struct fixture cut = *f;
    cut.segment.extents = extents;
    cut.segment.sealed = sealed;
    cut.segment.bytes = extents ? f->extents[extents - 1].position + f->extents[extents - 1].bytes : 0;
    while (cut.batch_count > 0 &&
           cut.batches[cut.batch_count - 1].position + cut.batches[cut.batch_count - 1].bytes >
               cut.segment.bytes)
        cut.batch_count--;
    cut.segment.end_offset = cut.batch_count ? cut.batches[cut.batch_count - 1].end : f->segment.base_offset;
    return cut;
}

/* Reads all that `f` says is there. With `must`, all of it is; otherwise damage may be told. */
static void read_back(const struct fixture *f, bool must, const char *context)
{
    for (uint64_t offset = f->segment.base_offset; offset < f->segment.end_offset;) {
        struct log_read read = { 0 };
        int result = fixture_read(f, &read, offset, 1 << 15);
        if (result == 0)
            fixture_expect(f, &read);
        fixture_read_free(&read);
        cr_assert(result == 0 || (!must && (result == -EBADMSG || result == -ENOENT)), "%s: %d %s", context,
                  result, read.why);
        if (result < 0)
            return;
        offset = read.next_offset;
    }
}

static void check_after(const struct fixture *f, const struct progress *p, const char *context)
{
    char log_path[LOG_PATH_BYTES], index_path[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
    fixture_path(f, log_path, "log");
    fixture_path(f, index_path, "index");
    if (p->indexed) { /* the first sync makes the names durable, and the header */
        cr_assert(file_exists(log_path) == 1 && file_exists(index_path) == 1, "%s: names", context);
        struct fixture none = cut_to(f, 0, false);
        struct log_extent out;
        cr_assert_eq(log_index_read(f->dir, f->id, &none.segment, 0, &out, 1, why), 0, "%s: %s", context,
                     why);
    }
    struct fixture durable = cut_to(f, p->indexed, p->sealed);
    read_back(&durable, true, context);
    if (p->indexed)
        cr_assert_eq(log_verify(f->dir, f->id, &durable.segment, no_finding, (void *)(uintptr_t)context), 0);
    struct fixture hoped = cut_to(f, f->extent_count, true);
    read_back(&hoped, p->sealed, context);
}

Test(log_sim, power_cut_at_every_step)
{
    static const enum io_sim_mode modes[] = { IO_SIM_NONE, IO_SIM_ALL, IO_SIM_RANDOM, IO_SIM_RANDOM,
                                              IO_SIM_PREFIX };
    uint64_t runs = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture *f = fixture(seed);
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
            for (uint64_t step = 1;; step++) {
                char context[64];
                snprintf(context, sizeof(context), "seed %" PRIu64 " mode %zu step %" PRIu64, seed, m, step);
                struct progress p = { 0 };
                start(seed);
                io_sim_crash_at(step, seed * 100 + m, modes[m]);
                live(f, &p);
                bool cut = io_sim_dead();
                if (cut)
                    io_sim_restart();
                check_after(f, &p, context);
                io_sim_end();
                runs++;
                if (!cut) {
                    cr_assert(p.sealed);
                    break;
                }
            }
        fixture_forget(f);
    }
    cr_assert(runs > 3000, "%" PRIu64 " runs: the steps are not counted any more", runs);
}

/* Every operation of each kind fails once: the error comes back, nothing is half believed, and going on after
 * the disk is well again works. */
Test(log_sim, every_operation_failing_once)
{
    static const enum io_sim_op ops[] = { IO_SIM_OPEN,     IO_SIM_WRITE, IO_SIM_SYNC,    IO_SIM_ALLOCATE,
                                          IO_SIM_TRUNCATE, IO_SIM_NAME,  IO_SIM_SYNC_DIR };
    struct fixture *f = fixture(7);
    for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++)
        for (uint64_t nth = 1;; nth++) {
            char context[64];
            snprintf(context, sizeof(context), "operation %d, number %" PRIu64, (int)ops[o], nth);
            struct progress p = { 0 };
            start(nth);
            io_sim_fail(&(struct io_sim_fault){ .op = ops[o], .nth = nth, .error = EIO });
            live(f, &p);
            bool hit = io_sim_faults_hit() > 0;
            io_sim_heal();
            cr_assert(p.result == (hit ? -EIO : 0) || (hit && p.sealed), "%s: %d", context, p.result);
            struct fixture durable = cut_to(f, p.indexed, p.sealed);
            read_back(&durable, true, context);
            if (!p.created) { /* tried again */
                p = (struct progress){ 0 };
                live(f, &p);
                cr_assert(p.sealed, "%s: again: %d", context, p.result);
            }
            io_sim_end();
            if (!hit)
                break;
        }
    fixture_forget(f);
}

Test(log_sim, a_full_disk_leaves_nothing_half_made)
{
    struct fixture *f = fixture(8);
    start(1);
    io_sim_set_capacity(io_sim_used() + 65536);
    uint64_t used = io_sim_used();
    struct progress p = { 0 };
    live(f, &p);
    cr_assert_eq(p.result, -ENOSPC);
    cr_assert_eq(io_sim_used(), used, "what was allocated is given back");
    io_sim_set_capacity(1 << 30);
    live(f, &p);
    cr_assert(p.sealed);
    io_sim_end();
    fixture_forget(f);
}

/* Reading meets errors of the disk: they come back as they are, and are not taken for damage. */
Test(log_sim, every_read_failing_once)
{
    struct fixture *f = fixture(9);
    static const enum io_sim_op ops[] = { IO_SIM_READ, IO_SIM_OPEN };
    for (int what = 0; what < 4; what++)
        for (size_t o = 0; o < 2; o++)
            for (uint64_t nth = 1;; nth++) {
                struct progress p = { 0 };
                char why[LOG_WHY_BYTES];
                start(nth);
                live(f, &p);
                cr_assert(p.sealed);
                struct fixture all = cut_to(f, f->extent_count, true);
                uint64_t before = io_sim_faults_hit();
                io_sim_fail(&(struct io_sim_fault){ .op = ops[o], .nth = nth, .error = EIO });
                struct log_read read = { 0 };
                uint64_t offset;
                int64_t found;
                int result = 0;
                if (what == 0) {
                    result = fixture_read(&all, &read, all.segment.end_offset - 1, 1 << 15);
                    fixture_read_free(&read);
                } else if (what == 1) {
                    result =
                        log_verify(all.dir, all.id, &all.segment, no_finding, (void *)(uintptr_t) "verify");
                } else if (what == 2) {
                    result = log_index_rebuild(all.dir, all.id, &all.segment, -1, why);
                } else {
                    result = log_find_time(all.dir, all.id, &all.segment, NULL, 0,
                                           all.segment.max_timestamp_ms, &offset, &found, why);
                }
                bool hit = io_sim_faults_hit() > before;
                cr_assert_eq(result, hit ? -EIO : 0, "what %d operation %zu number %" PRIu64 ": %d", what, o,
                             nth, result);
                io_sim_heal();
                io_sim_end();
                if (!hit)
                    break;
            }
    fixture_forget(f);
}
