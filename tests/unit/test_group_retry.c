/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of events that fail: retries and their times, suspects of dead members, giving up, the
 * breaker.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "group_rig.h"

static struct grig *rig(uint64_t seed)
{
    static struct grig g;
    grig_start(&g, seed);
    return &g;
}

/* The times between the deliveries of one event that always fails. */
static void check_backoff(enum group_mode mode)
{
    static const int64_t expected[] = { 1000, 2000, 4000 };
    struct grig *g = rig(1 + mode);
    grig_topic(g, "t", 1);
    grig_join(g, "g", mode, "t");
    grig_set(g, "g", "breaker", "off");
    bool varies = false;
    for (uint64_t round = 0; round < 20; round++) {
        int64_t last = 0;
        grig_forget(g);
        grig_produce(g, "t", 0, 1);
        for (uint32_t attempt = 0; attempt < 4; attempt++) {
            while (g->count <= attempt)
                grig_turn(g, 1000);
            struct grig_delivery *d = &g->deliveries[attempt];
            cr_assert_eq(d->offset, round);
            cr_assert_eq(d->attempts, attempt);
            if (attempt) {
                const int64_t waited = d->wall_ms - last, wait = expected[attempt - 1];
                cr_assert(waited >= wait * 9 / 10 && waited <= wait * 11 / 10 + 5, "%lld ms",
                          (long long)waited);
                varies |= waited < wait * 97 / 100;
            }
            last = d->wall_ms;
            cr_assert_eq(grig_nack(g, d, "Boom"), ERR_OK);
        }
        grig_turn(g, 0);
        cr_assert_eq(g->letter_count, round + 1);
        cr_assert_eq(g->letters[round].offset, round);
        cr_assert_eq(g->letters[round].attempts, 4);
        cr_assert_not(g->letters[round].rejected);
        cr_assert_str_eq(g->letters[round].type, "Boom");
        cr_assert_eq(progress_position(grig_gp(g, "g", "t", 0)->progress), round + 1);
    }
    cr_assert(varies, "there is no jitter");
    grig_end(g);
}

Test(group_retry, ordered_tries_again_after_1_2_4_seconds)
{
    check_backoff(GROUP_ORDERED);
}

Test(group_retry, shared_tries_again_after_1_2_4_seconds)
{
    check_backoff(GROUP_SHARED);
}

Test(group_retry, ordered_waits_for_the_failed_event)
{
    struct grig *g = rig(3);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 5);
    grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 5);
    struct grig_delivery zero = g->deliveries[0], two = g->deliveries[2], three = g->deliveries[3];
    cr_assert_eq(grig_nack(g, &two, "Boom"), ERR_OK);
    cr_assert_eq(grig_ack(g, &three), ERR_STALE_GENERATION, "withdrawn");
    cr_assert_eq(grig_ack(g, &zero), ERR_OK, "not withdrawn");
    grig_turn(g, 0);
    cr_assert(strstr(g->log, "~t/0@2"), "%s", g->log);
    cr_assert_eq(gp_pause(grig_gp(g, "g", "t", 0)), GROUP_PAUSE_RETRY);
    grig_run(g, 800);
    cr_assert_eq(g->count, 5);
    grig_run(g, 400);
    cr_assert_eq(g->count, 6);
    cr_assert_eq(g->deliveries[5].offset, 2);
    cr_assert_eq(g->deliveries[5].attempts, 1);
    cr_assert_eq(grig_ack(g, &g->deliveries[5]), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 8);
    cr_assert_eq(g->deliveries[6].offset, 3);
    cr_assert_eq(g->deliveries[6].attempts, 0, "only the one that failed is charged");
    grig_end(g);
}

Test(group_retry, shared_goes_on_beside)
{
    struct grig *g = rig(4);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 5);
    grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    cr_assert_eq(grig_nack(g, &g->deliveries[2], "Boom"), ERR_OK);
    grig_ack_all(g);
    grig_produce(g, "t", 0, 3);
    cr_assert_eq(g->count, 8);
    cr_assert_eq(g->deliveries[5].offset, 5);
    struct group_lag lag = gp_lag(grig_gp(g, "g", "t", 0));
    cr_assert_eq(lag.events, 4);
    grig_run(g, 500);
    lag = gp_lag(grig_gp(g, "g", "t", 0));
    cr_assert_geq(lag.ms, 500);
    cr_assert_leq(lag.ms, 700);
    grig_ack_all(g);
    grig_run(g, 1000);
    cr_assert_eq(g->count, 9);
    grig_ack_all(g);
    lag = gp_lag(grig_gp(g, "g", "t", 0));
    cr_assert_eq(lag.events, 0);
    cr_assert_eq(lag.ms, 0);
    grig_end(g);
}

Test(group_retry, told_when_and_told_never)
{
    struct grig *g = rig(5);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 2);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    struct gp *gp = grig_gp(g, "g", "t", 0);
    const struct failure f = { .type = bytes_of("T"), .message = bytes_of("M"), .stack = bytes_of("S") };
    const int64_t before = g->store.clock.wall_ms;
    cr_assert_eq(group_nack(m, gp, gp->epoch, 0, &f, 60, false, why), ERR_OK, "%s", why);
    cr_assert_eq(group_nack(m, gp, gp->epoch, 1, &f, -1, true, why), ERR_OK, "%s", why);
    g->write_letters = false;
    grig_turn(g, 0);
    cr_assert_eq(g->letter_count, 1);
    cr_assert(g->letters[0].rejected);
    cr_assert_str_eq(g->letters[0].member, m->id);
    struct failure kept;
    cr_assert(group_failure(gp, 1, &kept));
    cr_assert_eq(kept.stack.len, 1);
    /* Refused: again later, until it is settled. */
    group_give_up_later(gp, 1, 500);
    grig_run(g, 400);
    cr_assert_eq(g->letter_count, 1);
    grig_run(g, 200);
    cr_assert_eq(g->letter_count, 2);
    grig_run(g, 5000);
    cr_assert_eq(g->letter_count, 2, "once each time");
    group_settled(gp, 1, true);
    cr_assert_not(group_failure(gp, 1, &kept));
    cr_assert_geq(g->deliveries[2].wall_ms, before + 60);
    cr_assert_leq(g->deliveries[2].wall_ms, before + 63);
    grig_end(g);
}

/* Only the event that was alone with a member when it died is charged; so the one that kills is found. */
static void check_killer(enum group_mode mode, uint32_t partitions)
{
    struct grig *g = rig(6 + mode);
    grig_topic(g, "t", partitions);
    for (uint32_t n = 0; n < partitions; n++)
        grig_produce(g, "t", n, 4);
    grig_join(g, "g", mode, "t");
    grig_set(g, "g", "retry.backoff", "10ms");
    grig_set(g, "g", "session.timeout", "10ms");
    struct gp *gp = grig_gp(g, "g", "t", 0);
    uint32_t deaths = 0;
    /* The consumer dies when it has event 2 of partition 0, and acknowledges all else. */
    for (int turn = 0; turn < 2000 && g->letter_count == 0; turn++) {
        struct member *killed = NULL;
        grig_turn(g, 20);
        for (uint32_t i = 0; i < g->count; i++)
            if (g->deliveries[i].gp == gp->id && g->deliveries[i].offset == 2)
                killed = g->deliveries[i].member;
        if (killed) {
            for (uint32_t i = 0; i < g->count; i++)
                cr_assert(g->deliveries[i].offset == 2 || g->deliveries[i].attempts == 0,
                          "an innocent is charged");
            deaths++;
            member_detach(killed);
            grig_run(g, 20);
            grig_join(g, "g", mode, "t");
        } else {
            grig_ack_all(g);
        }
        grig_forget(g);
    }
    cr_assert_eq(g->letter_count, 1);
    cr_assert_eq(g->letters[0].offset, 2);
    cr_assert_eq(g->letters[0].attempts, 4);
    cr_assert_str_eq(g->letters[0].type, "member_died");
    cr_assert_eq(deaths, 5, "the first time it was not alone");
    for (int turn = 0; turn < 50; turn++) {
        grig_turn(g, 20);
        grig_ack_all(g);
    }
    for (uint32_t n = 0; n < partitions; n++)
        cr_assert_eq(progress_position(grig_gp(g, "g", "t", n)->progress), 4);
    grig_end(g);
}

Test(group_retry, ordered_finds_the_event_that_kills)
{
    check_killer(GROUP_ORDERED, 1);
}

Test(group_retry, ordered_finds_it_among_partitions)
{
    check_killer(GROUP_ORDERED, 3);
}

Test(group_retry, shared_finds_the_event_that_kills)
{
    check_killer(GROUP_SHARED, 2);
}

/* A busy member is kept free for a suspect: it does not wait for ever. */
Test(group_retry, suspects_do_not_starve)
{
    struct grig *g = rig(10);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 3);
    struct member *a = grig_join(g, "g", GROUP_SHARED, "t");
    grig_set(g, "g", "max_in_flight", "2");
    grig_set(g, "g", "session.timeout", "10ms");
    a->max_in_flight = 2;
    grig_turn(g, 0);
    cr_assert_eq(g->count, 2);
    grig_forget(g);
    struct member *b = grig_join(g, "g", GROUP_SHARED, "t");
    grig_produce(g, "t", 0, 50);
    member_detach(a);
    grig_run(g, 20);
    /* b is never idle by itself: one event is acknowledged at a time, and another comes. */
    uint32_t suspects = 0;
    for (uint32_t i = 0; i < 200 && suspects < 2; i++) {
        uint32_t oldest = 0;
        while (oldest < g->count && g->deliveries[oldest].settled)
            oldest++;
        if (oldest < g->count) {
            struct grig_delivery *d = &g->deliveries[oldest];
            cr_assert_eq(d->member, b);
            suspects += d->alone;
            cr_assert_eq(grig_ack(g, d), ERR_OK);
            d->settled = true;
        }
        grig_turn(g, 1);
    }
    cr_assert_eq(suspects, 2);
    grig_end(g);
}

Test(group_retry, shared_deliveries_take_turns_and_keep_the_limit)
{
    struct grig *g = rig(11);
    struct member *m[4];
    grig_topic(g, "t", 1);
    for (int i = 0; i < 4; i++) {
        m[i] = grig_join(g, "g", GROUP_SHARED, "t");
        m[i]->max_in_flight = 10;
    }
    g->most = 1;
    grig_produce(g, "t", 0, 100);
    cr_assert_eq(g->count, 40);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(m[i]->holder.in_flight, 10);
    cr_assert_eq(grig_ack(g, &g->deliveries[7]), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 41);
    cr_assert_eq(g->deliveries[40].member, g->deliveries[7].member);
    grig_end(g);
}

Test(group_retry, ack_wait_can_be_extended)
{
    struct grig *g = rig(12);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 2);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    struct gp *gp = grig_gp(g, "g", "t", 0);
    grig_run(g, 20000);
    cr_assert_eq(group_extend(m, gp, gp->epoch, 1, 1, why), ERR_OK, "%s", why);
    grig_run(g, 10010);
    cr_assert_eq(m->state, MEMBER_SILENT);
    cr_assert_eq(grig_ack(g, &g->deliveries[0]), ERR_EVENT_NOT_LEASED);
    cr_assert_eq(grig_ack(g, &g->deliveries[1]), ERR_OK);
    cr_assert_eq(m->state, MEMBER_OK);
    grig_run(g, 1200);
    cr_assert_eq(g->count, 3);
    cr_assert_eq(g->deliveries[2].attempts, 1);
    grig_end(g);
}

Test(group_retry, a_full_window_pauses_by_name)
{
    struct grig *g = rig(13);
    grig_topic(g, "t", 1);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    m->max_in_flight = 1000;
    grig_set(g, "g", "window.max", "64");
    grig_produce(g, "t", 0, 200);
    cr_assert_eq(g->count, 64);
    struct gp *gp = grig_gp(g, "g", "t", 0);
    cr_assert_eq(gp_pause(gp), GROUP_PAUSE_WINDOW_FULL);
    for (int i = 1; i < 64; i++) {
        cr_assert_eq(grig_ack(g, &g->deliveries[i]), ERR_OK);
        g->deliveries[i].settled = true;
    }
    grig_turn(g, 0);
    cr_assert_eq(g->count, 64);
    grig_ack_all(g);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 128);
    grig_end(g);
}

Test(group_retry, too_many_items_pause_by_name)
{
    struct grig *g = rig(14);
    g->options.items_max = 5;
    groups_reload(g->groups, &g->options);
    grig_topic(g, "t", 1);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    m->max_in_flight = 5;
    grig_produce(g, "t", 0, 50);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(grig_nack(g, &g->deliveries[i], "Boom"), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 5);
    cr_assert_eq(gp_pause(grig_gp(g, "g", "t", 0)), GROUP_PAUSE_ITEMS_FULL);
    grig_run(g, 1200);
    cr_assert_eq(g->count, 10, "what failed is tried again");
    grig_ack_all(g);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 15);
    grig_end(g);
}

/* Everything fails for one reason: the group pauses instead of giving events up. */
Test(group_retry, an_outage_opens_the_breaker)
{
    struct grig *g = rig(15);
    grig_topic(g, "t", 2);
    for (uint32_t n = 0; n < 2; n++)
        grig_produce(g, "t", n, 100);
    grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_eq(g->count, 100);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(grig_nack(g, &g->deliveries[i], "DatabaseDown"), ERR_OK);
    cr_assert_eq(group->breaker.state, BREAKER_OPEN);
    cr_assert_eq(group_state(group), GROUP_BREAKER_OPEN);
    char text[GROUP_WHY_BYTES];
    group_breaker_text(group, text);
    cr_assert(strstr(text, "failed"), "%s", text);
    grig_run(g, 29000);
    cr_assert_eq(g->count, 100, "nothing is delivered");
    cr_assert_eq(gp_pause(grig_gp(g, "g", "t", 0)), GROUP_PAUSE_BREAKER);
    grig_run(g, 1500);
    cr_assert_eq(g->count, 101, "one probe");
    const uint16_t attempts = g->deliveries[100].attempts;
    const struct grig_delivery probe = g->deliveries[100];
    cr_assert_eq(grig_nack(g, &g->deliveries[100], "DatabaseDown"), ERR_OK);
    struct progress_item item;
    cr_assert(progress_find_item(groups_gp(g->groups, probe.gp)->progress, probe.offset, &item));
    cr_assert_eq(item.attempts, attempts, "a failed probe is not charged");
    grig_run(g, 59000);
    cr_assert_eq(g->count, 101);
    grig_run(g, 1500);
    cr_assert_eq(g->count, 102);
    grig_ack_all(g);
    grig_turn(g, 0);
    cr_assert_eq(group->breaker.state, BREAKER_CLOSED);
    cr_assert_gt(g->count, 150);
    cr_assert_eq(g->letter_count, 0);
    grig_end(g);
}

/* Makes the breaker of "g" open; there must be 20 deliveries. */
static struct group *outage(struct grig *g)
{
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(grig_nack(g, &g->deliveries[i], "DatabaseDown"), ERR_OK);
    struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_eq(group->breaker.state, BREAKER_OPEN);
    return group;
}

static uint16_t attempts_of(struct grig *g, uint64_t offset)
{
    struct progress_item item;
    cr_assert(progress_find_item(grig_gp(g, "g", "t", 0)->progress, offset, &item), "offset %llu",
              (unsigned long long)offset);
    return item.attempts;
}

/* Crash or not, a paused group comes back paused, and one event finds out how things are. */
static void check_breaker_after_restart(bool crash)
{
    struct grig *g = rig(30 + crash);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 60);
    grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    outage(g);
    grig_settle(g);
    for (int again = 0; again < 2; again++) {
        char text[GROUP_WHY_BYTES];
        grig_restart(g, crash);
        const struct group *group = group_find(g->groups, bytes_of("g"));
        cr_assert_eq(group->breaker.state, BREAKER_OPEN);
        group_breaker_text(group, text);
        cr_assert(strstr(text, "20 of the last 20 deliveries failed"), "%s", text);
    }
    grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 1, "one probe");
    cr_assert_eq(grig_nack(g, &g->deliveries[0], "DatabaseDown"), ERR_OK);
    grig_run(g, 59000);
    cr_assert_eq(g->count, 1, "the interval is kept, and doubled");
    grig_run(g, 1500);
    cr_assert_eq(g->count, 2);
    grig_ack_all(g);
    grig_run(g, 100);
    cr_assert_eq(g->count, 61);
    grig_settle(g);
    grig_restart(g, crash);
    cr_assert_eq(group_find(g->groups, bytes_of("g"))->breaker.state, BREAKER_CLOSED);
    grig_end(g);
}

Test(group_retry, an_open_breaker_survives_a_stop)
{
    check_breaker_after_restart(false);
}

Test(group_retry, an_open_breaker_survives_a_crash)
{
    check_breaker_after_restart(true);
}

/* Neither time-outs nor deaths nor what went before it are charged to events while the breaker is open. */
Test(group_retry, an_outage_costs_no_attempts)
{
    struct grig *g = rig(33);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 25);
    grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 25);
    outage(g);
    for (uint64_t i = 0; i < 20; i++)
        cr_assert_eq(attempts_of(g, i), 0, "given back");
    grig_run(g, 31000);
    for (uint64_t i = 20; i < 25; i++)
        cr_assert_eq(attempts_of(g, i), 0, "its ack.wait ran out");
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    grig_run(g, 1000);
    cr_assert_eq(g->count, 26, "the probe");
    cr_assert_eq(g->deliveries[25].member, m);
    member_detach(m);
    grig_run(g, 11000);
    grig_turn(g, 0);
    cr_assert_eq(attempts_of(g, g->deliveries[25].offset), 0, "its member died");
    cr_assert_eq(g->letter_count, 0);
    grig_end(g);
}

Test(group_retry, the_breaker_obeys_and_remembers)
{
    struct grig *g = rig(16);
    grig_topic(g, "t", 1);
    grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    group_breaker_set(group_find(g->groups, bytes_of("g")), GROUP_BREAKER_HOLD_OPEN);
    grig_produce(g, "t", 0, 5);
    cr_assert_eq(g->count, 0);
    grig_restart(g, false);
    struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_eq(group->breaker.state, BREAKER_FORCED_OPEN);
    grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 0);
    group_breaker_set(group, GROUP_BREAKER_AUTO);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 5);
    grig_end(g);
}

/* Many waiting in many groups: each comes when it is due. */
Test(group_retry, waiting_events_come_in_time, .timeout = 120)
{
    enum { GROUPS = 50, EVENTS = 400 };
    struct grig *g = rig(17);
    char name[16];
    grig_topic(g, "t", 1);
    for (int i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        grig_join(g, name, GROUP_SHARED, "t")->max_in_flight = EVENTS;
        grig_set(g, name, "breaker", "off");
        grig_set(g, name, "retry.backoff", "5s");
        grig_set(g, name, "retry.jitter", "90%");
    }
    grig_produce(g, "t", 0, EVENTS);
    cr_assert_eq(g->count, GROUPS * EVENTS);
    static int64_t due[GROUPS * EVENTS];
    for (uint32_t i = 0; i < GROUPS * EVENTS; i++) {
        struct grig_delivery *d = &g->deliveries[i];
        struct progress_item item;
        cr_assert_eq(grig_nack(g, d, "Boom"), ERR_OK);
        cr_assert(progress_find_item(groups_gp(g->groups, d->gp)->progress, d->offset, &item));
        due[(d->gp - 1) * EVENTS + d->offset] = item.due_ms;
    }
    grig_run(g, 12000);
    cr_assert_eq(g->count, 2 * GROUPS * EVENTS);
    for (uint32_t i = GROUPS * EVENTS; i < g->count; i++) {
        const struct grig_delivery *d = &g->deliveries[i];
        const int64_t late = d->wall_ms - due[(d->gp - 1) * EVENTS + d->offset];
        cr_assert(late >= 0 && late <= 5, "%lld ms late", (long long)late);
    }
    grig_end(g);
}
