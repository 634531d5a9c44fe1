/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that come, go, die, come back, take over and fall silent at random, while they acknowledge, refuse
 * and give back at random. An oracle watches: nothing acknowledged comes again, nothing is out twice, an
 * ordered partition is out with one member only, and in the end everything was acknowledged or given up, none
 * of it both.
 *
 * RUNNEL_SIM_SEEDS and RUNNEL_SIM_SEED: see effort.h.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "effort.h"
#include "group_rig.h"
#include "io_sim.h"

enum { PARTITIONS = 3, EVENTS = 60, PLACES = 6 };

/* One event. */
struct fact {
    bool acked, letter;
};

static struct chaos {
    struct grig g;
    uint64_t seed, random;
    enum group_mode mode;
    struct member *members[PLACES];
    char ids[PLACES][MEMBER_ID_BYTES];
    bool detached[PLACES];
    struct fact facts[PARTITIONS][EVENTS];
    uint32_t seen, letters;
    bool calm; /* only acknowledgements from now on */
} chaos;

static uint64_t draw(uint64_t n)
{
    return io_sim_random(&chaos.random, n);
}

static struct gp *gp_of(const struct grig_delivery *d)
{
    return groups_gp(chaos.g.groups, d->gp);
}

/* Who still has it, as the coordinator says: the delivery's member may be long gone. */
static bool member_there(const struct member *m)
{
    for (int i = 0; i < PLACES; i++)
        if (chaos.members[i] == m)
            return true;
    return false;
}

static void forget_member(const struct member *m)
{
    for (uint32_t i = 0; i < chaos.g.count; i++)
        if (chaos.g.deliveries[i].member == m)
            chaos.g.deliveries[i].settled = true;
}

/* What was delivered since the last look. */
static void watch(void)
{
    struct grig *g = &chaos.g;
    for (; chaos.seen < g->count; chaos.seen++) {
        const struct grig_delivery *d = &g->deliveries[chaos.seen];
        const struct gp *gp = gp_of(d);
        const struct fact *f = &chaos.facts[gp->number][d->offset];
        cr_assert_not(f->acked, "seed %llu: %u/%llu comes again", (unsigned long long)chaos.seed, gp->number,
                      (unsigned long long)d->offset);
        cr_assert_not(f->letter, "seed %llu: %u/%llu was given up", (unsigned long long)chaos.seed,
                      gp->number, (unsigned long long)d->offset);
    }
    for (; chaos.letters < g->letter_count; chaos.letters++) {
        const struct grig_letter *l = &g->letters[chaos.letters];
        struct fact *f = &chaos.facts[l->gp->number][l->offset];
        cr_assert_not(f->acked);
        cr_assert_not(f->letter);
        f->letter = true;
    }
    uint32_t out = 0;
    for (int i = 0; i < PLACES; i++)
        if (chaos.members[i]) {
            out += chaos.members[i]->holder.in_flight;
            cr_assert_leq(chaos.members[i]->holder.in_flight, chaos.members[i]->max_in_flight);
        }
    const struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_eq(out, group ? group->in_flight : 0);
}

static void do_settle(void)
{
    struct grig *g = &chaos.g;
    for (uint32_t i = 0; i < g->count; i++) {
        struct grig_delivery *d = &g->deliveries[i];
        if (d->settled || !member_there(d->member) || (!chaos.calm && draw(4)))
            continue;
        struct gp *gp = gp_of(d);
        char why[GROUP_WHY_BYTES];
        const uint64_t kind = chaos.calm ? 9 : draw(10);
        d->settled = true;
        if (d->member->state == MEMBER_DETACHED)
            continue;
        if (kind == 0)
            grig_nack(g, d, "Boom");
        else if (kind == 1)
            group_release(d->member, gp, d->epoch, d->offset, 1, why);
        else if (kind == 2)
            group_extend(d->member, gp, d->epoch, d->offset, 1, why);
        else if (grig_ack(g, d) == ERR_OK)
            chaos.facts[gp->number][d->offset].acked = true;
    }
}

static void do_join(int place)
{
    char why[GROUP_WHY_BYTES], instance[16] = "";
    struct group_range held[8];
    struct grig *g = &chaos.g;
    struct group_join join = { .group = bytes_of("g"), .mode = chaos.mode, .reset = GROUP_RESET_START };
    struct member *m = chaos.members[place], *old = m;
    if (place < 2)
        snprintf(instance, sizeof(instance), "static-%d", place);
    join.instance_id = bytes_of(instance);
    join.max_in_flight = 1 + 4 * (uint32_t)place;
    if (m && draw(2)) {
        join.member_id = bytes_of(chaos.ids[place]);
        for (uint32_t i = 0; i < g->count && join.held_count < 8; i++) {
            struct grig_delivery *d = &g->deliveries[i];
            if (d->member != m || d->settled)
                continue;
            if (draw(2))
                held[join.held_count++] = (struct group_range){ d->gp, d->epoch, d->offset, 1 };
            else
                d->settled = true;
        }
        join.held = held;
    } else if (m && place >= 2) {
        return;
    } else if (m) {
        forget_member(m);
    }
    cr_assert_eq(grig_try_join(g, &join, draw(2) ? "t" : "t*", &m, why), ERR_OK, "%s", why);
    cr_assert(!old || m == old);
    chaos.members[place] = m;
    chaos.detached[place] = false;
    snprintf(chaos.ids[place], MEMBER_ID_BYTES, "%s", m->id);
}

static void do_end(int place)
{
    struct member *m = chaos.members[place];
    if (!m || chaos.detached[place])
        return;
    switch (draw(4)) {
    case 0:
        forget_member(m);
        chaos.members[place] = NULL;
        member_leave(m);
        break;
    case 1:
        member_drain(m);
        break;
    default:
        member_detach(m);
        chaos.detached[place] = true;
        break;
    }
}

/* Sessions that ran out meanwhile. */
static void bury(void)
{
    struct group *group = group_find(chaos.g.groups, bytes_of("g"));
    for (int i = 0; i < PLACES; i++) {
        bool there = false;
        LIST_FOR_EACH (node, &group->members)
            there |= (struct member *)((char *)node - offsetof(struct member, link)) == chaos.members[i];
        if (chaos.members[i] && !there) {
            forget_member(chaos.members[i]);
            chaos.members[i] = NULL;
            chaos.detached[i] = false;
        }
    }
}

static void life(uint64_t seed)
{
    memset(&chaos, 0, sizeof(chaos));
    chaos.seed = seed;
    chaos.random = seed * 77;
    chaos.mode = seed % 2 ? GROUP_ORDERED : GROUP_SHARED;
    struct grig *g = &chaos.g;
    grig_start(g, seed);
    grig_topic(g, "t", PARTITIONS);
    do_join(0);
    grig_set(g, "g", "breaker", "off");
    grig_set(g, "g", "retry.max", "2");
    g->most = (uint32_t)draw(5);
    uint32_t produced[PARTITIONS] = { 0 };
    for (int step = 0; step < 300; step++) {
        const uint32_t n = (uint32_t)draw(PARTITIONS);
        if (produced[n] < EVENTS && draw(3) == 0) {
            grig_produce(g, "t", n, 5);
            produced[n] += 5;
        }
        if (draw(8) == 0)
            do_join((int)draw(PLACES));
        if (draw(12) == 0)
            do_end((int)draw(PLACES));
        watch();
        do_settle();
        grig_run(g, (uint32_t)(draw(10) ? draw(300) : draw(35000)));
        bury();
        watch();
    }
    for (uint32_t n = 0; n < PARTITIONS; n++)
        if (produced[n] < EVENTS)
            grig_produce(g, "t", n, EVENTS - produced[n]);
    for (int i = 0; i < PLACES; i++)
        if (chaos.members[i] && !chaos.detached[i]) {
            forget_member(chaos.members[i]);
            member_leave(chaos.members[i]);
            chaos.members[i] = NULL;
        }
    grig_run(g, 11000); /* the sessions of the others run out */
    bury();
    watch();
    do_join(5);
    chaos.calm = true;
    uint32_t settled = 0;
    for (int turn = 0; turn < 400 && settled < PARTITIONS * EVENTS; turn++) {
        watch();
        do_settle();
        grig_run(g, 500);
        bury();
        watch();
        settled = 0;
        for (uint32_t n = 0; n < PARTITIONS; n++)
            for (uint32_t o = 0; o < EVENTS; o++) {
                const struct fact *f = &chaos.facts[n][o];
                cr_assert_not(f->acked && f->letter);
                settled += f->acked || f->letter;
            }
    }
    cr_assert_eq(settled, PARTITIONS * EVENTS, "seed %llu: only %u were settled", (unsigned long long)seed,
                 settled);
    for (uint32_t n = 0; n < PARTITIONS; n++)
        cr_assert_eq(progress_position(grig_gp(g, "g", "t", n)->progress), EVENTS);
    grig_end(g);
}

Test(group_chaos, everything_is_settled_once, .timeout = 0)
{
    const struct effort_seeds seeds = effort_seeds(30, 20, 2000);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++)
        life(seed);
}
