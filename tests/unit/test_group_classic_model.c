/* SPDX-License-Identifier: Apache-2.0
 *
 * Kafka consumers that do as they please: join, sync, beat, commit, leave, fall silent, hang up, come back
 * with an old generation; and what must hold whatever they do. RUNNEL_SIM_SEED runs one seed.
 */
#include <stdlib.h>

#include "classic_test.h"
#include "io_sim.h"

enum { CONSUMERS = 12, STEPS = 400, GENERATIONS = 4096 };

static struct grig rig_, *g = &rig_;
static struct consumer consumers[CONSUMERS];
static bool told[CONSUMERS]; /* of the answer to its last join */
static char leader_of[GENERATIONS][CLASSIC_ID_MAX + 1];
static uint64_t random_state, seed;
static uint32_t generation;

static uint32_t draw(uint32_t n)
{
    return (uint32_t)io_sim_random(&random_state, n);
}

static void check_group(void)
{
    const struct group *group = group_find(g->groups, bytes_of("g"));
    if (!group)
        return;
    cr_assert_geq(group->generation, generation, "seed %llu: generations only grow",
                  (unsigned long long)seed);
    generation = group->generation;
    uint32_t members = 0;
    for (const struct classic_member *m = NULL; (m = classic_member_next(group, m)); members++)
        cr_assert(m->protocol_count && !m->pending);
    cr_assert_eq(members, group->member_count);
}

static void check_answers(void)
{
    for (int i = 0; i < CONSUMERS; i++) {
        struct consumer *x = &consumers[i];
        if (x->waits || told[i])
            continue;
        told[i] = true;
        if (x->result != CLASSIC_OK) {
            cr_assert(x->result == CLASSIC_REBALANCING || x->result == CLASSIC_MEMBER_UNKNOWN ||
                          x->result == CLASSIC_FENCED || x->result == CLASSIC_GENERATION_STALE ||
                          x->result == CLASSIC_PROTOCOL_MISMATCH || x->result == CLASSIC_FULL,
                      "seed %llu: %d", (unsigned long long)seed, x->result);
            if (x->result == CLASSIC_MEMBER_UNKNOWN || x->result == CLASSIC_FENCED) {
                x->id[0] = 0;
                x->generation = -1;
            }
            continue;
        }
        if (x->syncing) {
            char want[sizeof(x->share)];
            snprintf(want, sizeof(want), "%d/%s", x->generation, x->id);
            /* An instance that took over has what its place was given under the old id. */
            cr_assert(strcmp(x->share, want) == 0 ||
                          (*x->instance && strncmp(x->share, want, strcspn(want, "/") + 1) == 0),
                      "seed %llu: %s instead of %s", (unsigned long long)seed, x->share, want);
        } else if (x->leads) {
            char *leader = leader_of[x->generation];
            cr_assert(!*leader || strcmp(leader, x->id) == 0, "seed %llu: two leaders",
                      (unsigned long long)seed);
            snprintf(leader, sizeof(leader_of[0]), "%s", x->id);
        }
    }
}

static void join(int i)
{
    consumer_join(g, &consumers[i], "g");
    told[i] = false;
}

/* As a consumer does that wants to stay: whatever the answer, the right next thing. */
static void behave(int i)
{
    struct consumer *x = &consumers[i];
    if (x->waits)
        return;
    if (x->generation < 0 || x->result != CLASSIC_OK) {
        join(i);
    } else if (!x->syncing) {
        consumer_sync(g, x, "g");
        told[i] = false;
    } else {
        const enum classic_result beat = consumer_beat(g, x, "g");
        if (beat != CLASSIC_OK)
            x->result = beat, told[i] = false;
    }
}

static void hang_up(int i)
{
    if (!consumers[i].waits)
        return;
    classic_abandon(&consumers[i].wait);
    consumers[i].waits = false;
    consumers[i].result = CLASSIC_REBALANCING;
    told[i] = true;
}

static void misbehave(int i)
{
    struct consumer *x = &consumers[i];
    struct consumer late = *x;
    struct group *group;
    char why[GROUP_WHY_BYTES];
    switch (draw(7)) {
    case 0:
        consumer_leave(g, x, "g");
        break;
    case 1:
        hang_up(i);
        break;
    case 2: /* a new process, that knows nothing */
        hang_up(i);
        x->id[0] = 0;
        x->generation = -1;
        break;
    case 3: /* late: refused by name, and nothing changes */
        if (x->generation <= 0)
            break;
        late.generation--;
        late.wait = (struct classic_wait){ 0 };
        cr_assert_neq(consumer_beat(g, &late, "g"), CLASSIC_OK);
        const struct classic_who who = consumer_who(&late, "g");
        cr_assert_neq(classic_commit(g->groups, &who, &group, why), CLASSIC_OK);
        break;
    case 4:
        if (!x->waits)
            x->topics = draw(2) ? "t" : "t,u";
        break;
    case 5: {
        const struct classic_who may = consumer_who(x, "g");
        if (x->generation >= 0 && classic_commit(g->groups, &may, &group, why) == CLASSIC_OK)
            cr_assert_eq(group_position_set(group, catalog_find(g->store.store, bytes_of("t")), 0, draw(100),
                                            0, (struct bytes){ 0 }, why),
                         ERR_OK);
        break;
    }
    case 6:
        grig_run(g, draw(4000));
        break;
    }
}

static void check_settled(void)
{
    for (int turn = 0; turn < 400; turn++) {
        for (int i = 0; i < CONSUMERS; i++)
            behave(i);
        grig_run(g, 100);
        check_answers();
        check_group();
    }
    const struct group *group = group_find(g->groups, bytes_of("g"));
    cr_assert_eq(classic_state(group), CLASSIC_STABLE, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(group->member_count, CONSUMERS);
    for (int i = 0; i < CONSUMERS; i++) {
        cr_assert_eq(consumers[i].generation, (int32_t)group->generation, "seed %llu, %d",
                     (unsigned long long)seed, i);
        cr_assert(consumers[i].syncing && !consumers[i].waits && consumers[i].result == CLASSIC_OK);
    }
}

static void life(uint64_t number)
{
    static const char *const instances[] = { "one", "two", "three" };
    seed = random_state = number;
    generation = 0;
    memset(leader_of, 0, sizeof(leader_of));
    grig_start(g, seed);
    grig_topic(g, "t", 1);
    for (int i = 0; i < CONSUMERS; i++) {
        consumer_init(&consumers[i]);
        consumers[i].session_ms = 2000 + draw(4000);
        consumers[i].rebalance_ms = 1000 + draw(4000);
        consumers[i].protocols = draw(2) ? "sticky,range" : "range,sticky";
        consumers[i].instance = i < 3 ? instances[i] : "";
        told[i] = true;
    }
    for (int step = 0; step < STEPS; step++) {
        const int i = (int)draw(CONSUMERS);
        if (draw(4))
            behave(i);
        else
            misbehave(i);
        if (draw(3) == 0)
            grig_turn(g, draw(50));
        check_answers();
        check_group();
    }
    check_settled();
    for (int i = 0; i < CONSUMERS; i++)
        hang_up(i);
    grig_end(g);
}

Test(group_classic_model, whatever_they_do, .timeout = 0)
{
    const char *seeds = getenv("RUNNEL_SIM_SEEDS"), *only = getenv("RUNNEL_SIM_SEED");
    const uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    const uint64_t count = only ? 1 : seeds ? strtoull(seeds, NULL, 10) : 60;
    for (uint64_t i = first; i < first + count; i++)
        life(i);
}
