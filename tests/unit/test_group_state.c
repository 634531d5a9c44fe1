/* SPDX-License-Identifier: Apache-2.0
 *
 * What a broker restart keeps of groups, and what crashes may not take: what was acknowledged durably stays
 * so, everything else comes again, nothing is skipped.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "effort.h"
#include "group_rig.h"
#include "io_sim.h"

static struct grig *rig(uint64_t seed)
{
    static struct grig g;
    grig_start(&g, seed);
    return &g;
}

static bool delivered(const struct grig *g, uint64_t offset)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->deliveries[i].offset == offset)
            return true;
    return false;
}

static void check_restart(enum group_mode mode, bool crash)
{
    struct grig *g = rig(1 + 2 * mode + crash);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 20);
    grig_join(g, "g", mode, "t");
    grig_set(g, "g", "retry.max", "7");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 20);
    if (mode == GROUP_SHARED)
        for (uint64_t i = 10; i < 15; i++)
            cr_assert_eq(grig_ack(g, &g->deliveries[i]), ERR_OK);
    for (uint64_t i = 0; i < 5; i++)
        cr_assert_eq(grig_ack(g, &g->deliveries[i]), ERR_OK);
    cr_assert_eq(grig_nack(g, &g->deliveries[5], "Boom"), ERR_OK);
    grig_settle(g);
    const uint32_t generation = group_find(g->groups, bytes_of("g"))->generation;
    (void)generation;
    grig_restart(g, crash);
    struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_not_null(group);
    cr_assert_eq(group->ordered, mode == GROUP_ORDERED);
    cr_assert_eq(group->settings.retry_max, 7);
    cr_assert_eq(group->subscription_count, 1);
    const struct gp *gp = grig_gp(g, "g", "t", 0);
    cr_assert_eq(progress_position(gp->progress), 5);
    cr_assert(gp_settled(gp, 4));
    cr_assert_not(gp_settled(gp, 6));
    grig_join(g, "g", GROUP_ANY, "t");
    grig_run(g, 1200);
    if (mode == GROUP_ORDERED) {
        cr_assert_eq(g->deliveries[0].offset, 5);
        cr_assert_eq(g->deliveries[0].attempts, 1, "attempts are kept");
        cr_assert_eq(grig_ack(g, &g->deliveries[0]), ERR_OK);
        g->deliveries[0].settled = true;
        grig_turn(g, 0);
    }
    for (uint64_t offset = 0; offset < 20; offset++) {
        const bool acked = offset < 5 || (mode == GROUP_SHARED && offset >= 10 && offset < 15);
        cr_assert_eq(delivered(g, offset), !acked, "offset %llu", (unsigned long long)offset);
    }
    for (uint32_t i = 0; i < g->count; i++)
        cr_assert_eq(g->deliveries[i].attempts, g->deliveries[i].offset == 5, "a restart is no attempt");
    grig_ack_all(g);
    cr_assert_eq(progress_position(gp->progress), 20);
    grig_end(g);
}

Test(group_state, ordered_after_a_restart)
{
    check_restart(GROUP_ORDERED, false);
}

Test(group_state, shared_after_a_restart)
{
    check_restart(GROUP_SHARED, false);
}

Test(group_state, ordered_after_a_power_cut)
{
    check_restart(GROUP_ORDERED, true);
}

Test(group_state, shared_after_a_power_cut)
{
    check_restart(GROUP_SHARED, true);
}

Test(group_state, a_dead_letter_not_written_is_asked_for_again)
{
    struct grig *g = rig(10);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 3);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    struct gp *gp = grig_gp(g, "g", "t", 0);
    const struct failure f = { .type = bytes_of("Poison"), .message = bytes_of("no"), .key_hash = 7 };
    g->write_letters = false;
    cr_assert_eq(group_nack(m, gp, gp->epoch, 1, &f, -1, true, why), ERR_OK);
    grig_run(g, 10);
    cr_assert_eq(g->letter_count, 1);
    grig_restart(g, true);
    grig_turn(g, 0);
    cr_assert_eq(g->letter_count, 1);
    cr_assert_eq(g->letters[0].offset, 1);
    cr_assert_eq(g->letters[0].attempts, 1);
    cr_assert_str_eq(g->letters[0].type, "Poison");
    cr_assert(g->letters[0].rejected);
    grig_join(g, "g", GROUP_ANY, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 2, "it is not delivered meanwhile");
    gp = grig_gp(g, "g", "t", 0);
    group_settled(gp, 1, true);
    grig_settle(g);
    grig_restart(g, true);
    grig_run(g, 10);
    cr_assert_eq(g->letter_count, 0);
    cr_assert(gp_settled(grig_gp(g, "g", "t", 0), 1));
    grig_end(g);
}

Test(group_state, seeks_and_deletions_stay)
{
    struct grig *g = rig(11);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 2);
    grig_produce(g, "t", 0, 20);
    struct member *m = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    grig_ack_all(g);
    struct gp *gp = grig_gp(g, "g", "t", 0);
    cr_assert_eq(group_seek(gp, 21, why), ERR_OFFSET_OUT_OF_RANGE);
    cr_assert(strstr(why, "0 to 20"), "%s", why);
    grig_forget(g);
    cr_assert_eq(group_seek(gp, 15, why), ERR_OK);
    grig_turn(g, 0);
    cr_assert_str_eq(g->log, "~t/0@0");
    cr_assert_eq(g->count, 5);
    cr_assert_eq(group_delete(gp->group, why), ERR_GROUP_BUSY);
    cr_assert_eq(group_offsets_delete(gp->group, gp->topic, -1, why), ERR_GROUP_BUSY);
    member_leave(m);
    grig_settle(g);
    grig_restart(g, true);
    gp = grig_gp(g, "g", "t", 0);
    cr_assert_eq(progress_position(gp->progress), 15);
    cr_assert_eq(group_offsets_delete(gp->group, gp->topic, -1, why), ERR_OK);
    cr_assert_null(grig_gp(g, "g", "t", 0));
    grig_settle(g);
    grig_restart(g, true);
    cr_assert_null(grig_gp(g, "g", "t", 0));
    cr_assert_eq(group_delete(group_find(g->groups, bytes_of("g")), why), ERR_OK);
    grig_settle(g);
    grig_restart(g, true);
    cr_assert_null(group_find(g->groups, bytes_of("g")));
    grig_end(g);
}

Test(group_state, redriven_events_come_again_to_this_group_only)
{
    struct grig *g = rig(12);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 10);
    grig_join(g, "a", GROUP_SHARED, "t");
    grig_join(g, "b", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    grig_ack_all(g);
    grig_forget(g);
    struct gp *a = grig_gp(g, "a", "t", 0);
    cr_assert_eq(group_redrive(a, 10, why), ERR_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(group_redrive(a, 3, why), ERR_OK);
    cr_assert_eq(group_redrive(a, 4, why), ERR_OK);
    cr_assert_eq(group_redrive(a, 4, why), ERR_OK);
    cr_assert_not(gp_settled(a, 3));
    grig_settle(g);
    cr_assert_eq(g->count, 2);
    cr_assert_eq(grig_ack(g, &g->deliveries[1]), ERR_OK);
    const uint64_t left = g->deliveries[0].offset;
    grig_settle(g);
    grig_restart(g, true);
    grig_join(g, "a", GROUP_ANY, "t");
    grig_join(g, "b", GROUP_ANY, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 1);
    cr_assert_eq(g->deliveries[0].offset, left);
    grig_ack_all(g);
    grig_end(g);
}

Test(group_state, settled_dead_letters_are_remembered_far_apart)
{
    struct grig *g = rig(13);
    char why[GROUP_WHY_BYTES];
    struct topic *t = grig_topic(g, "t.dlq", 1);
    grig_produce(g, "t.dlq", 0, 3000);
    struct group *dead;
    struct gp *gp;
    cr_assert_eq(group_make(g->groups, bytes_of(GROUP_DEAD_LETTERS), GROUP_SHARED, &dead, why), ERR_OK);
    cr_assert_eq(group_gp_make(dead, t, 0, &gp, why), ERR_OK, "%s", why);
    cr_assert_eq(progress_position(gp->progress), 0, "all that is there is unsettled");
    cr_assert_null(group_next(g->groups, (struct bytes){ 0 }), "it is not in lists");
    cr_assert_eq(group_settle(gp, 2900, 50, why), ERR_OK, "%s", why);
    cr_assert_eq(group_settle(gp, 7, 1, why), ERR_OK, "%s", why);
    grig_settle(g);
    grig_restart(g, true);
    dead = group_find(g->groups, bytes_of(GROUP_DEAD_LETTERS));
    gp = group_gp_find(dead, catalog_find(g->store.store, bytes_of("t.dlq")), 0);
    cr_assert(gp_settled(gp, 7));
    cr_assert(gp_settled(gp, 2949));
    cr_assert_not(gp_settled(gp, 8));
    cr_assert_not(gp_settled(gp, 2950));
    cr_assert_eq(gp_lag(gp).events, 2949);
    grig_end(g);
}

Test(group_state, retention_overtakes_a_group)
{
    struct grig *g = rig(14);
    struct topic *t = grig_topic(g, "t", 1);
    t->settings.segment_bytes = 65536;
    grig_produce(g, "t", 0, 500);
    struct member *m = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 100);
    member_leave(m);
    t->settings.retention_bytes = 65536;
    for (int i = 0; i < 200 && partition_start(t->partitions[0]) < 300; i++) {
        grig_produce(g, "t", 0, 500);
        grig_run(g, 1100);
        io_sim_advance(1000000000);
    }
    const uint64_t start = partition_start(t->partitions[0]);
    cr_assert_gt(start, 0);
    grig_forget(g);
    cr_assert_eq(gp_lag(grig_gp(g, "g", "t", 0)).events, partition_end(t->partitions[0]) - start);
    grig_join(g, "g", GROUP_ANY, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->deliveries[0].offset, start);
    grig_end(g);
}

/* Random work and power cuts at random steps: an oracle that remembers what was acknowledged durably. */
static void crash_life(uint64_t seed)
{
    enum { EVENTS = 400 };
    static bool acked[EVENTS], durable[EVENTS], letter[EVENTS];
    static uint64_t sequence[EVENTS];
    const enum group_mode mode = seed % 2 ? GROUP_SHARED : GROUP_ORDERED;
    uint64_t random = seed;
    struct grig *g = rig(seed);
    memset(acked, 0, sizeof(acked));
    memset(durable, 0, sizeof(durable));
    memset(letter, 0, sizeof(letter));
    g->store.options.journal_file_bytes = 256 << 10;
    g->store.options.journal_files_max = 3;
    g->store.options.batch_bytes_max = 8 << 10;
    g->store.options.request_bytes_max = 16 << 10;
    g->store.options.journal_group_bytes = 4096;
    g->store.options.topic_defaults.max_message_bytes = 8 << 10;
    g->options.batch_bytes_max = 16 << 10;
    grig_restart(g, false);
    grig_topic(g, "t", 1);
    grig_topic(g, "noise", 1);
    for (int i = 0; i < 4; i++)
        grig_produce(g, "t", 0, EVENTS / 4);
    bool all = false;
    for (int process = 0; process < 40 && !all; process++) {
        grig_join(g, "g", mode, "t");
        grig_set(g, "g", "retry.backoff", "1ms");
        grig_set(g, "g", "retry.max", "1");
        grig_settle(g);
        struct gp *gp = grig_gp(g, "g", "t", 0);
        for (uint64_t o = 0; o < EVENTS; o++)
            cr_assert(!durable[o] || gp_settled(gp, o), "offset %llu was acknowledged durably",
                      (unsigned long long)o);
        const bool last = process > 30;
        if (!last)
            io_sim_crash_at(1 + io_sim_random(&random, 120), random, (enum io_sim_mode)(process % 4));
        for (int turn = 0; turn < 400 && !io_sim_dead() && !all; turn++) {
            for (uint32_t i = 0; i < g->count; i++) {
                struct grig_delivery *d = &g->deliveries[i];
                const uint64_t o = d->offset;
                cr_assert_not(durable[o], "offset %llu again", (unsigned long long)o);
                if (d->settled || io_sim_random(&random, 3) == 0)
                    continue;
                if (o % 17 == 3)
                    grig_nack(g, d, "Poison");
                else if (grig_ack(g, d) == ERR_OK)
                    acked[o] = true, sequence[o] = UINT64_MAX;
                d->settled = true;
            }
            if (store_room(g->store.store, JOURNAL_NORMAL, 1, 4096))
                rig_append(&g->store, catalog_find(g->store.store, bytes_of("noise"))->partitions[0], 30, 20);
            bool ok;
            const uint64_t now = groups_flush(g->groups, &ok);
            for (uint64_t o = 0; ok && o < EVENTS; o++)
                if (acked[o] && sequence[o] == UINT64_MAX)
                    sequence[o] = now;
            grig_turn(g, 2);
            /* Only what was delivered in this process is asked about again. */
            uint32_t kept = 0;
            for (uint32_t i = 0; i < g->count; i++)
                if (!g->deliveries[i].settled)
                    g->deliveries[kept++] = g->deliveries[i];
            g->count = kept;
            for (uint64_t o = 0; o < EVENTS && !io_sim_dead(); o++)
                durable[o] |= acked[o] && sequence[o] <= g->store.durable_sequence;
            all = progress_position(gp->progress) == EVENTS;
        }
        for (uint32_t i = 0; i < g->letter_count; i++)
            letter[g->letters[i].offset] = true;
        if (!io_sim_dead())
            continue;
        memset(acked, 0, sizeof(acked));
        memcpy(acked, durable, sizeof(acked));
        for (uint64_t o = 0; o < EVENTS; o++)
            sequence[o] = 0;
        groups_destroy(g->groups);
        rig_close(&g->store);
        io_sim_restart();
        grig_forget(g);
        g->ready_count = g->letter_count = 0;
        memset(g->order, 0, sizeof(g->order));
        g->store.failed = false;
        grig_open(g);
    }
    io_sim_crash_at(0, 0, IO_SIM_NONE);
    cr_assert(all, "seed %llu: it never ends", (unsigned long long)seed);
    for (uint64_t o = 0; o < EVENTS; o++)
        cr_assert_eq(letter[o], o % 17 == 3, "seed %llu, offset %llu", (unsigned long long)seed,
                     (unsigned long long)o);
    grig_end(g);
}

Test(group_state, survives_crashes_at_random_steps, .timeout = 0)
{
    const struct effort_seeds seeds = effort_seeds(40, 20, 2000);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++)
        crash_life(seed);
}
