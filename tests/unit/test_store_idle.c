/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that has nothing to do, in virtual time: that it lets the loop sleep, and still does in time what
 * becomes due: segments too old, a disk that others fill.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "io_sim.h"
#include "store_rig.h"

#define SECOND 1000000000ull

static struct rig rig;

static void setup(void)
{
    diag_set_level(DIAG_ERROR);
    io_sim_start(&(struct io_sim_options){ .seed = 3, .capacity_bytes = 256 << 20 });
    io_sim_clock(&rig.clock);
    rig_init(&rig, "/data");
    rig.options.disk_reserve_bytes = 64 << 20;
    io_sim_clock(&rig.clock);
    cr_assert_eq(rig_open(&rig), 0, "%s", rig.why);
}

static void teardown(void)
{
    rig_close(&rig);
    io_sim_end();
}

TestSuite(store_idle, .init = setup, .fini = teardown, .timeout = 60);

/* Turns of the loop, as the broker makes them, for so long; returns how many there were. */
static uint32_t run(uint64_t seconds)
{
    const uint64_t end = rig.clock.mono_ns + seconds * SECOND;
    uint32_t turns = 0;
    for (; rig.clock.mono_ns < end; turns++) {
        const uint64_t wait = timers_wait(rig.timers, rig.clock.mono_ns), left = end - rig.clock.mono_ns;
        io_turn(rig.io, wait < left ? wait : left, true);
        clock_update(&rig.clock);
        work_collect(rig.work);
        timers_fire(rig.timers, rig.clock.mono_ns);
        store_turn_end(rig.store);
    }
    return turns;
}

static void set(struct topic *t, const char *name, const char *value)
{
    char why[256];
    struct bytes n = bytes_of(name), v = bytes_of(value);
    cr_assert(store_room(rig.store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES));
    cr_assert_eq(catalog_set(rig.store, t, &n, &v, 1, why), ERR_OK, "%s", why);
    store_turn_end(rig.store); /* no turn ends with something to do and no timer for it */
}

static bool accepts(void)
{
    char why[256];
    return store_accepts(rig.store, why) == ERR_OK;
}

Test(store_idle, it_sleeps)
{
    struct topic *t = rig_topic(&rig, "orders", 5);
    for (uint32_t i = 0; i < 500; i++)
        rig_append(&rig, t->partitions[i % 5], 1, 1000);
    run(10);
    const uint32_t turns = run(1000);
    cr_assert_leq(turns, 100, "%u turns in 1,000 s", turns);
}

Test(store_idle, what_is_too_old_goes_in_time)
{
    struct topic *t = rig_topic(&rig, "orders", 1);
    struct partition *p = t->partitions[0];
    set(t, "retention.ms", "2h");
    rig_append(&rig, p, 10, 1000);
    run(3600);
    rig_append(&rig, p, 10, 1000);
    run(2 * 3600 - 60);
    cr_assert_eq(partition_start(p), 0, "the segment's last event is not old enough");
    run(65);
    cr_assert_eq(partition_start(p), 20);
    const uint32_t turns = run(1000);
    cr_assert_leq(turns, 100, "%u turns in 1,000 s", turns);
    /* A setting that makes it due at once. */
    rig_append(&rig, p, 10, 1000);
    run(1000);
    set(t, "retention.ms", "1m");
    run(5);
    cr_assert_eq(partition_start(p), 30);
}

Test(store_idle, a_segment_ends_by_its_age)
{
    struct topic *t = rig_topic(&rig, "orders", 1);
    struct partition *p = t->partitions[0];
    set(t, "segment.ms", "1h");
    rig_append(&rig, p, 10, 1000);
    run(3590);
    cr_assert_eq(partition_segments(p), 1);
    run(15);
    cr_assert_eq(partition_segments(p), 2);
}

Test(store_idle, a_disk_that_others_fill_is_noticed)
{
    struct topic *t = rig_topic(&rig, "orders", 1);
    run(100);
    io_sim_set_capacity(32 << 20);
    cr_assert(accepts(), "it was looked at long ago");
    run(60);
    cr_assert_not(accepts());
    io_sim_set_capacity(256 << 20);
    run(3);
    cr_assert(accepts());
    /* The first write after a rest looks itself. */
    run(100);
    io_sim_set_capacity(32 << 20);
    rig_append(&rig, t->partitions[0], 1, 1000);
    store_turn_end(rig.store);
    cr_assert_not(accepts());
}
