/* SPDX-License-Identifier: Apache-2.0
 *
 * group/group.c: the table of groups, their timers, and the turn.
 *
 * Requests and timers only note what has to happen (group_changed(), gp_changed()); groups_turn_begin() does
 * it and tells the doors, so a hundred members that join in one turn cost one rebalance.
 */
#include "group/group.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "group/group_own.h"

uint64_t groups_random(struct groups *groups)
{
    uint64_t x = groups->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* ---- the table ---- */

static struct bytes group_name_at(const void *rows, uint32_t i)
{
    struct group *const *sorted = rows;
    return group_key(sorted[i]);
}

static uint32_t group_place(const struct groups *groups, struct bytes name, bool *found)
{
    return name_place(groups->sorted, groups->count, group_name_at, name, found);
}

struct group *group_find(struct groups *groups, struct bytes name)
{
    bool found;
    const uint32_t at = group_place(groups, name, &found);
    return found ? groups->sorted[at] : NULL;
}

struct group *group_next(struct groups *groups, struct bytes after)
{
    bool found = false;
    uint32_t at = after.len ? group_place(groups, after, &found) : 0;
    if (found)
        at++;
    while (at < groups->count && groups->sorted[at]->internal)
        at++;
    return at < groups->count ? groups->sorted[at] : NULL;
}

static void group_fire(struct timer *timer);

struct group *group_create(struct groups *groups, struct bytes name, bool ordered)
{
    struct group *g = mem_zalloc(MEM_GROUP, sizeof(*g));
    CHECK(name.len <= GROUP_NAME_MAX);
    memcpy(g->name, name.at, name.len);
    g->groups = groups;
    g->ordered = ordered;
    g->internal = strcmp(g->name, GROUP_DEAD_LETTERS) == 0;
    g->settings = groups->options.defaults;
    g->settings.set = 0;
    g->created_ms = g->active_ms = groups->clock->wall_ms;
    g->wake_ms = INT64_MAX;
    timer_init(&g->timer, group_fire);
    list_init(&g->link);
    list_init(&g->members);
    list_init(&g->open);
    list_init(&g->sessions);
    list_init(&g->starved);
    const struct breaker_settings none = { .outcomes_min = 1, .failures_percent = 100, .probe_ms = 1000 };
    breaker_init(&g->breaker, &none);
    group_settings_changed(g);

    bool found;
    const uint32_t at = group_place(groups, name, &found);
    CHECK(!found);
    if (groups->count == groups->room) {
        const uint32_t room = groups->room ? groups->room * 2 : 64;
        groups->sorted = mem_realloc(MEM_GROUP, groups->sorted, groups->room * sizeof(g), room * sizeof(g));
        groups->room = room;
    }
    memmove(groups->sorted + at + 1, groups->sorted + at, (groups->count - at) * sizeof(g));
    groups->sorted[at] = g;
    groups->count++;
    groups->internal += g->internal;
    return g;
}

void group_free(struct group *g)
{
    struct groups *groups = g->groups;
    classic_free(g);
    while (!list_empty(&g->members))
        member_free(CONTAINER_OF(g->members.next, struct member, link));
    for (uint32_t i = 0; i < g->topic_slots; i++)
        if (g->topics[i])
            group_topic_drop(g, g->topics[i]);
    mem_free(MEM_GROUP, g->topics, g->topic_slots * sizeof(*g->topics));
    for (uint32_t i = 0; i < g->subscription_count; i++)
        mem_free(MEM_GROUP, g->subscriptions[i].pattern, strlen(g->subscriptions[i].pattern) + 1);
    mem_free(MEM_GROUP, g->subscriptions, g->subscription_room * sizeof(*g->subscriptions));
    timer_stop(groups->timers, &g->timer);
    list_remove(&g->link);
    bool found;
    const uint32_t at = group_place(groups, group_key(g), &found);
    CHECK(found);
    memmove(groups->sorted + at, groups->sorted + at + 1, (groups->count - at - 1) * sizeof(g));
    groups->count--;
    groups->internal -= g->internal;
    mem_free(MEM_GROUP, g, sizeof(*g));
}

void group_changed(struct group *g)
{
    if (!list_linked(&g->link))
        list_append(&g->groups->changed_groups, &g->link);
}

void group_settings_changed(struct group *g)
{
    const struct breaker_settings settings = {
        .outcomes_min = (uint32_t)g->settings.breaker_min,
        .failures_percent = (uint32_t)g->settings.breaker_failures,
        .probe_ms = g->settings.breaker_probe_ms,
    };
    const bool forced = g->breaker.state == BREAKER_FORCED_OPEN || g->breaker.state == BREAKER_FORCED_CLOSED;
    breaker_set(&g->breaker, &settings);
    if (g->breaker_order == GROUP_BREAKER_HOLD_OPEN)
        breaker_force(&g->breaker, BREAKER_FORCED_OPEN);
    else if (g->breaker_order == GROUP_BREAKER_HOLD_CLOSED || g->settings.breaker == BREAKER_SETTING_OFF)
        breaker_force(&g->breaker, BREAKER_FORCED_CLOSED);
    else if (forced)
        breaker_force(&g->breaker, BREAKER_CLOSED);
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++)
            if (g->topics[i]->gps[n])
                progress_set_window(g->topics[i]->gps[n]->progress, (uint32_t)g->settings.window_max);
    starved_wake(&g->starved);
}

/* ---- time ---- */

void group_wake_at(struct group *g, int64_t at_ms)
{
    if (at_ms >= g->wake_ms)
        return;
    const int64_t now = groups_mono_ms(g->groups);
    g->wake_ms = at_ms;
    timer_start(g->groups->timers, &g->timer, at_ms > now ? (uint64_t)(at_ms - now) : 0);
}

/* A wall time as a monotonic one. */
static int64_t from_wall(const struct groups *groups, int64_t wall_ms)
{
    return groups_mono_ms(groups) + (wall_ms - groups->clock->wall_ms);
}

static int64_t group_expires(const struct group *g)
{
    if (g->member_count || g->internal || classic_awaits(g))
        return INT64_MAX;
    /* Kafka clients make groups only to look: one with nothing to remember is not kept for days. */
    if (g->kafka && !g->partition_count && !g->settings.set)
        return from_wall(g->groups, g->active_ms + KAFKA_GROUP_GRACE_MS);
    if (g->settings.expire_after_ms < 0)
        return INT64_MAX;
    return from_wall(g->groups, g->active_ms + g->settings.expire_after_ms);
}

static void group_arm_gp(struct group *g, const struct gp *gp, int64_t now)
{
    const int64_t deadline = progress_deadline(gp->progress), due = progress_due(gp->progress);
    const int64_t give_up = gp_give_up_due(gp);
    if (deadline != INT64_MAX)
        group_wake_at(g, deadline);
    /* What is due already waits for somebody to take it, not for the timer. */
    if (due != INT64_MAX && due > g->groups->clock->wall_ms)
        group_wake_at(g, from_wall(g->groups, due));
    if (give_up > now && give_up != INT64_MAX)
        group_wake_at(g, give_up);
}

static void group_arm(struct group *g)
{
    const int64_t now = groups_mono_ms(g->groups), probe = breaker_due(&g->breaker);
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++)
            group_arm_gp(g, g->topics[i]->gps[n], now);
    if (!list_empty(&g->sessions))
        group_wake_at(g, CONTAINER_OF(g->sessions.next, struct member, session_link)->session_ms);
    if (probe > now && probe != INT64_MAX)
        group_wake_at(g, probe);
    group_wake_at(g, group_expires(g));
}

static void group_fire_gp(struct group *g, struct gp *gp, int64_t now)
{
    if (progress_deadline(gp->progress) <= now)
        group_expire_leases(g, gp);
    if (progress_due(gp->progress) <= g->groups->clock->wall_ms)
        gp_ready(gp);
    if (gp_give_up_due(gp) <= now)
        gp_changed(gp);
}

static void group_fire(struct timer *timer)
{
    struct group *g = CONTAINER_OF(timer, struct group, timer);
    const int64_t now = groups_mono_ms(g->groups);
    g->wake_ms = INT64_MAX;
    while (!list_empty(&g->sessions)) {
        struct member *m = CONTAINER_OF(g->sessions.next, struct member, session_link);
        if (m->session_ms > now)
            break;
        member_die(m);
    }
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++)
            group_fire_gp(g, g->topics[i]->gps[n], now);
    if (breaker_due(&g->breaker) <= now)
        starved_wake(&g->starved);
    if (group_expires(g) <= now) {
        diag(DIAG_INFO, "group", "a group without members expired", DIAG_KS("group", g->name));
        state_note_deleted(g);
        group_free(g);
        return;
    }
    group_arm(g);
}

/* ---- the turn ---- */

/* Of all that it has; or, when it knows, of what competing members were not told of yet. */
static void group_tell_assigned(struct group *g, struct member *m)
{
    const struct groups_events *events = &g->groups->events;
    const bool all = m->assigned_due;
    if (m->state == MEMBER_DETACHED || (g->ordered && !all))
        return;
    m->assigned_due = false;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = all || !g->topics[i] ? 0 : g->topics[i]->told;
             g->topics[i] && n < g->topics[i]->count; n++) {
            struct gp *gp = g->topics[i]->gps[n];
            if (g->ordered ? gp->owner != m || gp->moving : !member_wants(m, gp))
                continue;
            events->assigned(events->ctx, m, gp);
            gp_ready(gp);
        }
}

static void group_advance(struct group *g)
{
    if (g->kafka) {
        g->rebalance = false;
        classic_advance(g);
        return;
    }
    if (g->rebalance) {
        g->rebalance = false;
        if (g->ordered)
            group_rebalance(g);
    }
    LIST_FOR_EACH (node, &g->members)
        group_tell_assigned(g, CONTAINER_OF(node, struct member, link));
    for (uint32_t i = 0; i < g->topic_slots; i++)
        if (g->topics[i])
            g->topics[i]->told = g->topics[i]->count;
}

static void gp_tell_rewound(struct gp *gp)
{
    struct group *g = gp->group;
    const struct groups_events *events = &g->groups->events;
    gp->rewound_due = false;
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (m->state != MEMBER_DETACHED && (g->ordered ? gp->owner == m : member_wants(m, gp)))
            events->rewound(events->ctx, m, gp, gp->rewound_offset);
    }
}

static void gp_advance(struct gp *gp)
{
    const struct groups_events *events = &gp->group->groups->events;
    if (gp->moving && progress_in_flight(gp->progress) == 0)
        gp_hand_over(gp);
    if (gp->rewound_due)
        gp_tell_rewound(gp);
    gp_raise_give_ups(gp);
    if (gp->ready_due) {
        gp->ready_due = false;
        if (gp->group->member_count && !gp->group->kafka)
            events->ready(events->ctx, gp);
    }
}

/* Topics that came, grew or went since the last look. */
static void group_look(struct group *g, uint64_t from)
{
    struct groups *groups = g->groups;
    for (uint32_t i = 0; i < g->topic_slots; i++) {
        struct group_topic *gt = g->topics[i];
        if (!gt)
            continue;
        if (gt->watch->topic->deleted) {
            group_topic_drop(g, gt);
            g->rebalance = true;
            group_changed(g);
        } else if (group_topic_grow(g, gt)) {
            g->rebalance = true;
            members_count(g);
            group_changed(g);
        }
    }
    for (uint64_t id = from; g->member_count && id < catalog_next_id(groups->store); id++) {
        struct topic *topic = catalog_by_id(groups->store, id);
        if (topic && !topic->internal)
            members_meet_topic(g, topic);
    }
}

static void groups_look(struct groups *groups)
{
    const uint64_t from = groups->catalog_seen;
    groups->catalog_version = catalog_version(groups->store);
    for (uint32_t i = 0; i < groups->count; i++)
        group_look(groups->sorted[i], from);
    groups->catalog_seen = catalog_next_id(groups->store);
}

static void group_look_at(struct group *g)
{
    if (g->breaker_changed)
        state_note_group(g);
    g->breaker_changed = false;
    group_advance(g);
}

void groups_turn_begin(struct groups *groups)
{
    if (!groups->store)
        return;
    for (int pass = 0; pass < TURN_PASSES; pass++) {
        if (groups->catalog_version != catalog_version(groups->store))
            groups_look(groups);
        for (struct list *node; (node = list_pop(&groups->changed_groups));)
            group_look_at(CONTAINER_OF(node, struct group, link));
        /* What handlers change is looked at in the next pass. */
        struct list now, *node;
        list_init(&now);
        while ((node = list_pop(&groups->changed)))
            list_append(&now, node);
        while ((node = list_pop(&now)))
            gp_advance(CONTAINER_OF(node, struct gp, changed_link));
        if (list_empty(&groups->changed) && list_empty(&groups->changed_groups))
            return;
    }
}

void groups_turn_end(struct groups *groups)
{
    bool ok;
    if (groups->store)
        groups_flush(groups, &ok);
}

bool groups_busy(const struct groups *groups)
{
    return groups->store && (!list_empty(&groups->changed) || !list_empty(&groups->changed_groups) ||
                             groups->catalog_version != catalog_version(groups->store) ||
                             (!groups->blocked && (groups->pending_bytes || !list_empty(&groups->dirty))));
}

/* ---- life ---- */

struct groups *groups_create(const struct groups_options *options, struct timers *timers, struct clock *clock,
                             const struct groups_events *events)
{
    struct groups *groups = mem_zalloc(MEM_GROUP, sizeof(*groups));
    CHECK(options->batch_bytes_max >= GROUPS_BATCH_MIN);
    groups->options = *options;
    groups->timers = timers;
    groups->clock = clock;
    groups->events = *events;
    groups->random = options->seed;
    if (!options->seed && getrandom(&groups->random, sizeof(groups->random), 0) < 0)
        groups->random = clock->mono_ns ^ (uint64_t)clock->wall_ms;
    groups->state = (struct store_state){ .topic = "__groups",
                                          .number = STATE_NUMBER_GROUPS,
                                          .ctx = groups,
                                          .load = state_load,
                                          .replay = state_replay,
                                          .save = state_save };
    for (uint32_t i = 0; i < MEMBER_BUCKETS; i++)
        list_init(&groups->members[i]);
    for (uint32_t i = 0; i < WATCH_BUCKETS; i++)
        list_init(&groups->watches[i]);
    list_init(&groups->changed_groups);
    list_init(&groups->changed);
    list_init(&groups->dirty);
    list_init(&groups->starved);
    return groups;
}

const struct store_state *groups_store_state(struct groups *groups)
{
    return &groups->state;
}

void groups_attach(struct groups *groups, struct store *store)
{
    groups->store = store;
    groups->catalog_version = catalog_version(store);
    groups->catalog_seen = catalog_next_id(store);
    for (uint32_t i = 0; i < groups->count; i++) {
        struct group *g = groups->sorted[i];
        for (uint32_t t = 0; t < g->topic_slots; t++)
            if (g->topics[t] && !group_topic_attach(g, g->topics[t]))
                group_topic_drop(g, g->topics[t]);
        group_arm(g);
    }
}

void groups_reload(struct groups *groups, const struct groups_options *options)
{
    const uint64_t seed = groups->options.seed;
    groups->options = *options;
    groups->options.seed = seed;
    for (uint32_t i = 0; i < groups->count; i++) {
        group_settings_inherit(&groups->sorted[i]->settings, &options->defaults);
        group_settings_changed(groups->sorted[i]);
    }
    starved_wake(&groups->starved);
}

void groups_destroy(struct groups *groups)
{
    /* Nobody is told any more. */
    groups->dying = true;
    while (groups->count)
        group_free(groups->sorted[groups->count - 1]);
    mem_free(MEM_GROUP, groups->sorted, groups->room * sizeof(*groups->sorted));
    mem_free(MEM_GROUP, groups->gps, groups->gp_buckets * sizeof(*groups->gps));
    mem_free(MEM_GROUP, groups->pending, groups->pending_room);
    mem_free(MEM_GROUP, groups, sizeof(*groups));
}

const struct groups_stats *groups_stats(const struct groups *groups)
{
    struct groups_stats *s = &((struct groups *)groups)->stats;
    s->groups = groups->count - groups->internal;
    s->partitions = groups->gp_count;
    s->items = groups->items;
    return s;
}
