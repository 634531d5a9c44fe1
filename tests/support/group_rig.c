/* SPDX-License-Identifier: Apache-2.0 */
#include "group_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "io_sim.h"

/* ---- the door ---- */

static void grig_log(struct grig *g, char what, const struct gp *gp)
{
    const size_t n = strlen(g->log);
    if (n < GRIG_LOG - 300)
        snprintf(g->log + n, GRIG_LOG - n, "%s%c%s/%u", n ? " " : "", what, gp->topic->name, gp->number);
}

static void door_assigned(void *ctx, struct member *m, struct gp *gp)
{
    struct grig *g = ctx;
    cr_assert(!gp->group->ordered || gp->owner == m);
    cr_assert(m->door == g);
    g->assigned++;
    grig_log(g, '+', gp);
}

static void door_revoked(void *ctx, struct member *m, struct gp *gp)
{
    struct grig *g = ctx;
    cr_assert(m->door == g);
    g->revoked++;
    grig_log(g, '-', gp);
}

static void door_rewound(void *ctx, struct member *m, struct gp *gp, uint64_t offset)
{
    struct grig *g = ctx;
    (void)m;
    g->rewound++;
    grig_log(g, '~', gp);
    const size_t n = strlen(g->log);
    snprintf(g->log + n, GRIG_LOG - n, "@%llu", (unsigned long long)offset);
}

static void door_ended(void *ctx, struct member *m, enum error code, const char *why)
{
    struct grig *g = ctx;
    (void)m;
    (void)why;
    cr_assert_eq(code, ERR_MEMBER_FENCED);
    g->ended++;
}

static void door_ready(void *ctx, struct gp *gp)
{
    struct grig *g = ctx;
    for (uint32_t i = 0; i < g->ready_count; i++)
        if (g->ready[i] == gp)
            return;
    cr_assert_lt(g->ready_count, 4096);
    g->ready[g->ready_count++] = gp;
}

static void door_give_up(void *ctx, struct gp *gp, uint64_t offset, const struct failure *why)
{
    struct grig *g = ctx;
    cr_assert_lt(g->letter_count, 4096);
    struct grig_letter *l = &g->letters[g->letter_count++];
    *l = (struct grig_letter){
        .gp = gp, .offset = offset, .attempts = why->attempts, .rejected = why->rejected
    };
    snprintf(l->type, sizeof(l->type), "%.*s", (int)why->type.len, (const char *)why->type.at);
    snprintf(l->member, sizeof(l->member), "%.*s", (int)why->member.len, (const char *)why->member.at);
    if (g->write_letters)
        group_settled(gp, offset, true);
}

static void door_gone(void *ctx, struct gp *gp)
{
    struct grig *g = ctx;
    g->gone++;
    for (uint32_t i = 0; i < g->ready_count; i++)
        if (g->ready[i] == gp)
            g->ready[i] = g->ready[--g->ready_count];
}

static bool door_can_send(void *ctx, struct member *m)
{
    struct grig *g = ctx;
    return !g->deaf && m->door == g;
}

static void door_deliver(struct grig *g)
{
    for (uint32_t i = 0; i < g->ready_count; i++) {
        struct gp *gp = g->ready[i];
        struct member *m;
        struct offer offer;
        while (group_offer(gp, door_can_send, g, &m, &offer)) {
            if (g->most && offer.count > g->most)
                offer.count = g->most;
            cr_assert(group_leased(gp, m, &offer, offer.offset, offer.count));
            cr_assert(!gp->group->ordered || gp->owner == m);
            if (gp->group->ordered && offer.offset >= progress_position(gp->progress)) {
                const uint32_t at = gp->id % 4096;
                cr_assert(g->order[at].gp != gp->id || g->order[at].epoch != gp->epoch ||
                              g->order[at].next <= offer.offset,
                          "offset %llu comes after later ones", (unsigned long long)offer.offset);
                g->order[at].gp = gp->id;
                g->order[at].epoch = gp->epoch;
                g->order[at].next = offer.offset + offer.count;
            }
            for (uint32_t n = 0; n < offer.count; n++) {
                cr_assert_lt(g->count, GRIG_MAX);
                g->deliveries[g->count++] = (struct grig_delivery){ .member = m,
                                                                    .gp = gp->id,
                                                                    .epoch = gp->epoch,
                                                                    .offset = offer.offset + n,
                                                                    .attempts = offer.attempts,
                                                                    .alone = offer.alone,
                                                                    .wall_ms = g->store.clock.wall_ms };
            }
        }
    }
    g->ready_count = 0;
}

/* ---- life ---- */

void grig_open(struct grig *g)
{
    static const struct groups_events events = { .assigned = door_assigned,
                                                 .revoked = door_revoked,
                                                 .rewound = door_rewound,
                                                 .ended = door_ended,
                                                 .ready = door_ready,
                                                 .give_up = door_give_up,
                                                 .gone = door_gone };
    struct groups_events mine = events;
    mine.ctx = g;
    io_sim_clock(&g->store.clock);
    g->store.timers = timers_create(g->store.clock.mono_ns);
    g->groups = groups_create(&g->options, g->store.timers, &g->store.clock, &mine);
    g->store.options.states = groups_store_state(g->groups);
    g->store.options.state_count = 1;
    cr_assert_eq(rig_open(&g->store), 0, "%s", g->store.why);
    groups_attach(g->groups, g->store.store);
}

void grig_start(struct grig *g, uint64_t seed)
{
    memset(g, 0, sizeof(*g));
    diag_set_level(DIAG_ERROR + 1);
    io_sim_start(&(struct io_sim_options){ .seed = seed });
    rig_init(&g->store, "/data");
    g->options = (struct groups_options){ .groups_max = 10000,
                                          .members_max = 1000,
                                          .topics_max = 256,
                                          .partitions_max = 200000,
                                          .items_max = 2000000,
                                          .batch_bytes_max = 65536,
                                          .seed = seed + 1 };
    group_settings_init(&g->options.defaults);
    g->deliveries = calloc(GRIG_MAX, sizeof(*g->deliveries));
    g->write_letters = true;
    grig_open(g);
}

static void grig_down(struct grig *g)
{
    groups_destroy(g->groups);
    g->groups = NULL;
    rig_close(&g->store);
    grig_forget(g);
    g->ready_count = g->letter_count = 0;
    memset(g->order, 0, sizeof(g->order));
}

void grig_close(struct grig *g)
{
    grig_settle(g);
    grig_down(g);
}

void grig_restart(struct grig *g, bool crash)
{
    if (crash)
        io_sim_crash(g->store.clock.mono_ns, IO_SIM_NONE);
    else
        grig_settle(g);
    grig_down(g);
    if (crash)
        io_sim_restart();
    g->store.failed = false;
    grig_open(g);
}

void grig_end(struct grig *g)
{
    grig_close(g);
    io_sim_end();
    free(g->deliveries);
}

/* ---- time ---- */

static void grig_turn_ns(struct grig *g, uint64_t most)
{
    struct rig *rig = &g->store;
    clock_update(&rig->clock);
    uint64_t wait = timers_wait(rig->timers, rig->clock.mono_ns);
    wait = g->ready_count || groups_busy(g->groups) ? 0 : wait < most ? wait : most;
    io_turn(rig->io, wait, true);
    clock_update(&rig->clock);
    work_collect(rig->work);
    timers_fire(rig->timers, rig->clock.mono_ns);
    groups_turn_begin(g->groups);
    door_deliver(g);
    groups_turn_end(g->groups);
    store_turn_end(rig->store);
}

void grig_turn(struct grig *g, uint32_t wait_ms)
{
    grig_turn_ns(g, (uint64_t)wait_ms * 1000000);
}

void grig_run(struct grig *g, uint32_t ms)
{
    const uint64_t end = g->store.clock.mono_ns + (uint64_t)ms * 1000000;
    for (uint64_t turns = 0; g->store.clock.mono_ns < end; turns++) {
        cr_assert_lt(turns, 1000000, "the loop spins");
        grig_turn_ns(g, end - g->store.clock.mono_ns);
    }
    grig_turn(g, 0);
}

void grig_settle(struct grig *g)
{
    bool ok;
    do {
        g->sequence = groups_flush(g->groups, &ok);
        grig_turn(g, 1);
    } while (!ok || store_durable_sequence(g->store.store) < g->sequence);
}

/* ---- topics ---- */

struct topic *grig_topic(struct grig *g, const char *name, uint32_t partitions)
{
    return rig_topic(&g->store, name, partitions);
}

void grig_produce(struct grig *g, const char *topic, uint32_t partition, uint32_t count)
{
    struct topic *t = catalog_find(g->store.store, bytes_of(topic));
    cr_assert_not_null(t);
    struct partition *p = t->partitions[partition];
    for (uint32_t left = count; left;) {
        const uint32_t n = left < 500 ? left : 500;
        rig_append(&g->store, p, n, 20);
        left -= n;
    }
    while (partition_end(p) < partition_next(p))
        grig_turn(g, 1);
    grig_turn(g, 0);
}

/* ---- members ---- */

enum error grig_try_join(struct grig *g, struct group_join *join, const char *topics, struct member **m,
                         char *why)
{
    struct bytes list[16];
    uint32_t count = 0;
    for (const char *at = topics; *at;) {
        const char *end = strchr(at, ',');
        const uint32_t len = end ? (uint32_t)(end - at) : (uint32_t)strlen(at);
        list[count++] = (struct bytes){ (const uint8_t *)at, len };
        at += len + (end != NULL);
    }
    join->topics = list;
    join->topic_count = count;
    join->door = g;
    return group_join(g->groups, join, m, why);
}

struct member *grig_join(struct grig *g, const char *group, enum group_mode mode, const char *topics)
{
    char why[GROUP_WHY_BYTES];
    struct member *m;
    struct group_join join = { .group = bytes_of(group), .mode = mode, .reset = GROUP_RESET_START };
    cr_assert_eq(grig_try_join(g, &join, topics, &m, why), ERR_OK, "%s", why);
    return m;
}

enum error grig_ack(struct grig *g, const struct grig_delivery *d)
{
    char why[GROUP_WHY_BYTES];
    return group_ack(d->member, groups_gp(g->groups, d->gp), d->epoch, d->offset, 1, why);
}

enum error grig_nack(struct grig *g, struct grig_delivery *d, const char *type)
{
    char why[GROUP_WHY_BYTES];
    const struct failure f = { .type = bytes_of(type),
                               .message = bytes_of("it broke"),
                               .key_hash = (uint32_t)d->offset };
    d->settled = true;
    return group_nack(d->member, groups_gp(g->groups, d->gp), d->epoch, d->offset, &f, -1, false, why);
}

void grig_ack_all(struct grig *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        struct grig_delivery *d = &g->deliveries[i];
        if (d->settled)
            continue;
        const enum error error = grig_ack(g, d);
        cr_assert_eq(error, ERR_OK, "offset %llu: %s", (unsigned long long)d->offset, error_name(error));
        d->settled = true;
    }
}

void grig_forget(struct grig *g)
{
    g->count = 0;
    g->log[0] = 0;
    g->assigned = g->revoked = g->rewound = g->ended = g->gone = 0;
}

struct gp *grig_gp(struct grig *g, const char *group, const char *topic, uint32_t partition)
{
    struct group *found = group_find(g->groups, bytes_of(group));
    struct topic *t = catalog_find(g->store.store, bytes_of(topic));
    return found && t ? group_gp_find(found, t, partition) : NULL;
}

void grig_set(struct grig *g, const char *group, const char *name, const char *value)
{
    char why[GROUP_WHY_BYTES];
    struct bytes n = bytes_of(name), v = bytes_of(value);
    cr_assert_eq(group_set(group_find(g->groups, bytes_of(group)), &n, &v, 1, why), ERR_OK, "%s", why);
}
