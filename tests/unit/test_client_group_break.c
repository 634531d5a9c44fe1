/* SPDX-License-Identifier: Apache-2.0
 *
 * Group consumers through broken connections: what was begun goes on, what was acknowledged stays so, all
 * else comes again; and publishing and acknowledging as one.
 */
#include <stdlib.h>

#include "group_test.h"

/* Consumes everything while connections break all the time. Each event is acknowledged by the broker exactly
 * once, and given out again only if it was not. */
static void broken_all_the_time(bool shared, const char *compression)
{
    struct fixture x = begin_group(shared, 20, 3000, compression);
    struct runnel_record r;
    struct runnel_lease lease, kept = { 0 };
    uint8_t acked[3000] = { 0 };
    int n = 0, drops = 0;
    bool keep = false;
    while (fake_figure(x.f, FAKE_ACKED) < 3000) {
        int rc = runnel_group_next(x.g, &r, &lease, 100);
        cr_assert_geq(rc, 0, "%s", runnel_last_error(x.c)->text);
        if (rc == 0)
            continue;
        check_event(&x, &r);
        int64_t event = r.offset * 3 + r.partition;
        cr_assert_eq(acked[event], 0, "event %d was acknowledged and comes again", (int)event);
        if (++n % 97 == 0 && drops < 40) {
            fake_drop(x.f);
            drops++;
        }
        /* Some are kept for a while, over a break. */
        if (n % 31 == 0 && !keep) {
            kept = lease;
            keep = true;
            continue;
        }
        if (runnel_ack(x.g, &lease) == 0)
            acked[event] = 1;
        if (keep && n % 31 == 15) {
            int64_t partition = kept.assignment - 1;
            if (runnel_ack(x.g, &kept) == 0)
                acked[kept.offset * 3 + partition] = 1;
            keep = false;
        }
    }
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0, "%s", runnel_last_error(x.c)->text);
    check_all_done(&x);
    cr_assert_gt(fake_figure(x.f, FAKE_JOINS), 10);
    cr_assert_eq(fake_figure(x.f, FAKE_ACKED_LATE), 0);
    end_group(&x);
}

Test(client_group_break, ordered)
{
    broken_all_the_time(false, "none");
}

Test(client_group_break, shared)
{
    broken_all_the_time(true, "lz4");
}

Test(client_group_break, acknowledgements_in_doubt_are_sent_again)
{
    struct fixture x = begin_group(false, 100, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    for (int i = 0; i < 30; i++) {
        next_event(&x, &r, &lease);
        cr_assert_eq(runnel_ack(x.g, &lease), 0);
    }
    /* The broker reads nothing of it. */
    atomic_store(&fake_script(x.f)->drop_after_bytes, 1);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0, "%s", runnel_last_error(x.c)->text);
    check_all_done(&x);
    cr_assert_eq(fake_figure(x.f, FAKE_JOINS), 2);
    cr_assert_eq(fake_figure(x.f, FAKE_DELIVERED), 30);
    end_group(&x);
}

Test(client_group_break, stopping_survives)
{
    struct fixture x = begin_group(true, 10, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    next_event(&x, &r, &lease);
    runnel_group_stop(x.g);
    fake_drop(x.f);
    while (fake_figure(x.f, FAKE_JOINS) < 2)
        runnel_wait(x.c, 100);
    cr_assert_eq(runnel_ack(x.g, &lease), 0);
    cr_assert_eq(runnel_group_next(x.g, &r, &lease, 20), 0);
    cr_assert_eq(runnel_group_close(x.g, 10000), 0);
    cr_assert_eq(fake_figure(x.f, FAKE_ACKED), 1);
    cr_assert_eq(runnel_close(x.c, 1000), 0);
    fake_stop(x.f);
}

Test(client_group_break, closing_without_a_broker_ends)
{
    struct fixture x = begin_group(true, 10, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_ack(x.g, &lease), 0);
    fake_unlisten(x.f);
    fake_drop(x.f);
    while (runnel_fd(x.c) >= 0)
        runnel_wait(x.c, 10);
    cr_assert_lt(runnel_group_close(x.g, 50), 0);
    runnel_close(x.c, 0);
    fake_stop(x.f);
}

/* Numbers of assignments and epochs mean something else then: nothing may be taken for another partition's.
 */
static void killed_broker(bool shared)
{
    struct fixture x = begin_group(shared, 30, 600, "none");
    struct runnel_record r;
    struct runnel_lease lease, old[10];
    uint8_t times[600] = { 0 };
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 10; i++)
            next_event(&x, &r, &old[i]);
        for (int i = 0; i < 5; i++)
            cr_assert_eq(runnel_ack(x.g, &old[i]), 0);
        if (round % 2)
            cr_assert_eq(runnel_nack(x.g, &old[9], NULL), 0);
        char before[64];
        snprintf(before, sizeof(before), "%s", runnel_group_member_id(x.g));
        atomic_store(&fake_script(x.f)->group_restart, 1);
        fake_drop(x.f);
        while (!strcmp(before, runnel_group_member_id(x.g)) || !runnel_group_partitions(x.g))
            cr_assert_geq(runnel_wait(x.c, 100), 0);
        for (int i = 5; i < 9; i++)
            cr_assert_eq(runnel_ack(x.g, &old[i]), -RUNNEL_E_STALE_GENERATION);
        cr_assert_eq(runnel_group_in_flight(x.g), 0);
    }
    while (fake_group_done(x.f, 0) + fake_group_done(x.f, 1) + fake_group_done(x.f, 2) < 600) {
        if (runnel_group_next(x.g, &r, &lease, 100) != 1)
            continue;
        check_event(&x, &r);
        times[r.offset * 3 + r.partition]++;
        cr_assert_eq(runnel_ack(x.g, &lease), 0);
    }
    uint32_t seen = 0;
    for (int i = 0; i < 600; i++) {
        cr_assert_leq(times[i], 1, "event %d", i);
        seen += times[i];
    }
    cr_assert_geq(seen, 600 - 5 * 5, "only what was acknowledged before did not come again");
    cr_assert_eq(fake_figure(x.f, FAKE_ACKED_LATE), 0);
    end_group(&x);
}

Test(client_group_break, killed_broker_ordered)
{
    killed_broker(false);
}

Test(client_group_break, killed_broker_shared)
{
    killed_broker(true);
}

/* ---- publishing and acknowledging as one ---- */

/* As many events as come, consumed from partition 0 ... and published to partition 2, in groups of five. */
static void consume_and_produce(int drop_every)
{
    struct fixture x = begin_group(false, 10, 60, "none");
    struct runnel_record r;
    struct runnel_lease leases[5];
    int64_t before = fake_end(x.f, 2);
    uint32_t settled = 0;
    for (int round = 0; round < 4; round++) {
        struct runnel_topic_event events[2] = { { "t", RUNNEL_EVENT_INIT }, { "t", RUNNEL_EVENT_INIT } };
        struct runnel_delivery out[2];
        for (int i = 0; i < 5; i++) {
            int rc = runnel_group_next(x.g, &r, &leases[i], 10000);
            cr_assert_eq(rc, 1);
        }
        events[0].event.value = events[1].event.value = "made";
        events[0].event.value_len = events[1].event.value_len = 4;
        events[0].event.partition = events[1].event.partition = 2;
        if (drop_every)
            atomic_store(&fake_script(x.f)->drop_after, 1); /* stored, and not answered */
        int rc = runnel_group_produce(x.g, events, 2, leases, 5, out, 10000);
        cr_assert_eq(rc, 0, "%s", runnel_last_error(x.c)->text);
        cr_assert_eq(out[0].partition, 2);
        cr_assert_eq(out[0].offset, before + round * 2);
        cr_assert_eq(out[1].offset, before + round * 2 + 1);
        cr_assert_eq(out[0].duplicate != 0, drop_every != 0);
        settled += 5;
        cr_assert_eq(runnel_group_in_flight(x.g), 0);
        cr_assert_eq(runnel_ack(x.g, &leases[0]), -RUNNEL_E_STALE_GENERATION);
    }
    cr_assert_eq(fake_end(x.f, 2), before + 8, "published once");
    cr_assert_eq(fake_group_done(x.f, 0) + fake_group_done(x.f, 1) + fake_group_done(x.f, 2), settled);
    end_group(&x);
}

Test(client_group_break, consuming_and_producing)
{
    consume_and_produce(0);
}

Test(client_group_break, consuming_and_producing_through_breaks)
{
    consume_and_produce(1);
}

Test(client_group_break, all_or_nothing)
{
    struct fixture x = begin_group(true, 10, 30, "none");
    struct runnel_record r;
    struct runnel_lease leases[2], gone;
    struct runnel_topic_event event = { "t", RUNNEL_EVENT_INIT }, other = { "missing", RUNNEL_EVENT_INIT };
    int64_t ends = fake_end(x.f, 0) + fake_end(x.f, 1) + fake_end(x.f, 2);
    next_event(&x, &r, &leases[0]);
    next_event(&x, &r, &leases[1]);
    gone = leases[1];
    gone.offset += 1000;
    struct runnel_lease both[] = { leases[0], gone };
    cr_assert_eq(runnel_group_produce(x.g, &event, 1, both, 2, NULL, 1000), -RUNNEL_E_STALE_GENERATION);
    cr_assert_eq(runnel_group_produce(x.g, &event, 0, leases, 2, NULL, 1000), -RUNNEL_E_ARGUMENT);
    event.event.partition = 99;
    cr_assert_eq(runnel_group_produce(x.g, &event, 1, leases, 2, NULL, 1000), -34);
    event.event.partition = -1;
    event.event.struct_size = 0;
    cr_assert_eq(runnel_group_produce(x.g, &event, 1, leases, 2, NULL, 1000), -RUNNEL_E_ARGUMENT);
    event.event.struct_size = sizeof(event.event);
    other.topic = "not a name";
    cr_assert_eq(runnel_group_produce(x.g, &other, 1, leases, 2, NULL, 1000), -32);
    atomic_store(&fake_script(x.f)->group_expire, 1);
    fake_wake(x.f);
    while (fake_figure(x.f, FAKE_DELIVERED) < 20)
        runnel_wait(x.c, 100);
    cr_assert_eq(ends, fake_end(x.f, 0) + fake_end(x.f, 1) + fake_end(x.f, 2));
    cr_assert_eq(runnel_group_in_flight(x.g), 2);
    end_group(&x);
}
