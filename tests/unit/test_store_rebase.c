/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment write fails: what was to be written goes to a fresh file, by itself, and the partition takes
 * events again; whatever crash comes when, nothing acknowledged is lost and every byte is right.
 *
 * A long run: many more of each.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "effort.h"
#include "io/file.h"
#include "store_script.h"

static struct script script;

static void show(void)
{
    fprintf(stderr, "%s\n", script.doing);
}

TestSuite(store_rebase, .fini = show);

static void begin(uint64_t seed)
{
    script_begin(&script, seed);
    cr_assert_eq(script_open(&script), 0, "%s", script.rig.why);
    cr_assert_not_null(script_topic(&script, "one", 1));
    cr_assert_not_null(script_topic(&script, "two", 2));
}

static void end(void)
{
    io_sim_crash(1, IO_SIM_ALL);
    rig_close(&script.rig);
    io_sim_restart();
    script_end(&script);
}

static void fail_writes(uint64_t nth, uint32_t count, int error)
{
    for (uint32_t i = 0; i < count; i++)
        io_sim_fail(
            &(struct io_sim_fault){ .op = IO_SIM_WRITE, .nth = nth + i, .error = error, .path = ".log" });
}

/* The Nth write of a segment fails, and perhaps those after it, in the fresh file too. */
Test(store_rebase, serves_again_after_a_failed_write, .timeout = 0)
{
    uint64_t rebases = 0;
    for (uint64_t nth = 1; nth <= effort(60, 30, 3000); nth++) {
        snprintf(script.doing, sizeof(script.doing), "segment write %llu fails", (unsigned long long)nth);
        begin(nth);
        fail_writes(1 + nth % 40, 1 + (uint32_t)(nth / 3 % 4), EIO);
        script_work(&script, 500);
        io_sim_heal();
        script_heal(&script);
        cr_assert(!script.rig.failed, "%s: the store gave up", script.doing);
        script_read_all(&script);
        rebases += store_stats(script.rig.store)->rebases;
        script_work(&script, 1 + (uint32_t)nth * 7 % 300);
        if (nth % 2)
            script_settle(&script);
        script_crash(&script, (enum io_sim_mode)(nth % 4));
        script_read_all(&script);
        script_work(&script, 400);
        script_heal(&script);
        script_read_all(&script);
        script_crash(&script, IO_SIM_RANDOM);
        script_read_all(&script);
        end();
    }
    cr_assert_gt(rebases, effort(60, 30, 3000) / 2);
}

/* The power goes at any step from the failure on; and again on the way back. */
Test(store_rebase, crashes_at_any_step, .timeout = 0)
{
    for (uint64_t i = 1; i <= effort(200, 100, 10000); i++) {
        snprintf(script.doing, sizeof(script.doing), "crash %llu", (unsigned long long)i);
        begin(i % 7);
        fail_writes(1 + i % 23, 1 + (uint32_t)(i % 3), EIO);
        while (!io_sim_faults_hit())
            script_work(&script, 1);
        uint64_t step = 1 + io_sim_random(&script.random, i % 2 ? 30 : 200);
        io_sim_crash_at(step, i, (enum io_sim_mode)(i / 2 % 4));
        script_work(&script, 400);
        io_sim_heal();
        script_crash(&script, IO_SIM_RANDOM);
        script_read_all(&script);
        io_sim_crash_at(1 + io_sim_random(&script.random, 100), i, (enum io_sim_mode)(i / 3 % 4));
        script_work(&script, 60);
        script_crash(&script, IO_SIM_RANDOM);
        script_work(&script, 200);
        script_heal(&script);
        script_read_all(&script);
        end();
    }
}

/* Nothing that is written succeeds for a while: the partitions stay fenced, the journal keeps everything,
 * crashes or not. */
Test(store_rebase, keeps_everything_while_no_file_can_be_written, .timeout = 0)
{
    static const enum io_sim_op ops[] = { IO_SIM_WRITE, IO_SIM_OPEN, IO_SIM_TRUNCATE, IO_SIM_ALLOCATE };
    for (uint64_t i = 0; i < effort(24, 12, 1200); i++) {
        snprintf(script.doing, sizeof(script.doing), "for ever, %llu", (unsigned long long)i);
        begin(i);
        script_work(&script, 30 + (uint32_t)i * 13 % 200);
        const struct io_sim_fault fault = {
            .op = ops[i % 4], .error = EIO, .for_ever = true, .path = ".log"
        };
        io_sim_fail(&fault);
        script_work(&script, 400);
        for (int n = 0; n < 100; n++) {
            io_sim_advance(200000000);
            script_turn(&script);
        }
        if (i % 3 == 0) {
            script_crash(&script, IO_SIM_RANDOM);
            io_sim_fail(&fault);
            script_work(&script, 200);
        }
        io_sim_heal();
        script_heal(&script);
        script_read_all(&script);
        script_work(&script, 300);
        script_heal(&script);
        script_crash(&script, (enum io_sim_mode)(i % 4));
        script_read_all(&script);
        end();
    }
}

/* Full is not broken: the same file is written when there is space. */
Test(store_rebase, waits_for_space_in_the_same_file)
{
    snprintf(script.doing, sizeof(script.doing), "full");
    begin(3);
    fail_writes(3, 2, ENOSPC);
    script_work(&script, 300);
    script_heal(&script);
    cr_assert_eq(store_stats(script.rig.store)->rebases, 0);
    script_read_all(&script);
    script_crash(&script, IO_SIM_NONE);
    script_read_all(&script);
    end();
}
