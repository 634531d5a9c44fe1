/* SPDX-License-Identifier: Apache-2.0
 *
 * group/admin.c: what operators and doors ask of groups beside consuming: state, lag, settings, positions,
 * the breaker, redriving.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "group/classic.h"
#include "group/group_own.h"

/* ---- looking ---- */

enum group_state group_state(const struct group *g)
{
    const enum breaker_state b = g->breaker.state;
    if (b == BREAKER_OPEN || b == BREAKER_HALF_OPEN || b == BREAKER_FORCED_OPEN)
        return GROUP_BREAKER_OPEN;
    if (g->kafka)
        return classic_group_state(g);
    if (!g->member_count)
        return GROUP_EMPTY;
    return g->moving || g->rebalance ? GROUP_REBALANCING : GROUP_STABLE;
}

/* The topic whose name comes next after `name` (NULL: the first). */
static struct group_topic *topic_after(const struct group *g, const char *name)
{
    struct group_topic *best = NULL;
    for (uint32_t i = 0; i < g->topic_slots; i++) {
        struct group_topic *gt = g->topics[i];
        if (gt && gt->count && (!name || strcmp(gt->watch->topic->name, name) > 0) &&
            (!best || strcmp(gt->watch->topic->name, best->watch->topic->name) < 0))
            best = gt;
    }
    return best;
}

static struct gp *gp_after(struct group *g, const struct gp *after)
{
    if (after && after->number + 1 < after->in->count)
        return after->in->gps[after->number + 1];
    const struct group_topic *gt = topic_after(g, after ? after->topic->name : NULL);
    return gt ? gt->gps[0] : NULL;
}

struct gp *group_gp_next(struct group *g, const struct gp *after)
{
    struct gp *gp = gp_after(g, after);
    while (gp && !gp_committed(gp))
        gp = gp_after(g, gp);
    return gp;
}

struct gp *group_gp_find(struct group *g, const struct topic *topic, uint32_t partition)
{
    const struct group_topic *gt = group_topic_find(g, topic->id);
    return gt && partition < gt->count ? gt->gps[partition] : NULL;
}

struct group_lag gp_lag(const struct gp *gp)
{
    const uint64_t start = partition_start(gp->partition), end = partition_end(gp->partition);
    const int64_t now = gp->group->groups->clock->wall_ms;
    uint64_t position = progress_position(gp->progress);
    struct group_lag lag = { .events = progress_pending(gp->progress, end) };
    if (position < start) { /* retention took them: nobody can consume them any more */
        lag.events -= lag.events < start - position ? lag.events : start - position;
        position = start;
    }
    if (!lag.events || position >= end)
        return lag;
    const int64_t at = append_times_at(&gp->watch->times, position);
    lag.ms = at < 0 ? -1 : now > at ? now - at : 0;
    return lag;
}

struct group_lag group_lag(struct group *g)
{
    struct group_lag sum = { 0 };
    for (struct gp *gp = NULL; (gp = group_gp_next(g, gp));) {
        const struct group_lag lag = gp_lag(gp);
        sum.events += lag.events;
        if (sum.ms >= 0 && (lag.ms < 0 || lag.ms > sum.ms))
            sum.ms = lag.ms;
    }
    return sum;
}

struct asked {
    uint64_t offset;
    bool done;
};

static void ask_done(void *ctx, uint64_t first, uint64_t end)
{
    struct asked *a = ctx;
    a->done |= a->offset >= first && a->offset < end;
}

bool gp_settled(const struct gp *gp, uint64_t offset)
{
    struct progress_item item;
    struct asked a = { offset, offset < progress_position(gp->progress) };
    if (progress_find_item(gp->progress, offset, &item))
        return false;
    if (!a.done)
        progress_each_done(gp->progress, ask_done, &a);
    return a.done;
}

/* ---- settings ---- */

enum error group_set(struct group *g, const struct bytes *names, const struct bytes *values, uint32_t count,
                     char *why)
{
    struct group_settings settings = g->settings;
    for (uint32_t i = 0; i < count; i++)
        if (!text_is("expire.after", names[i]) && group_native_check(g, "this setting", why) != ERR_OK)
            return ERR_NOT_FOR_KAFKA_GROUPS;
    for (uint32_t i = 0; i < count; i++)
        if (!group_settings_set(&settings, &g->groups->options.defaults, names[i], values[i], why))
            return ERR_GROUP_CONFIG_INVALID;
    const bool flight = settings.max_in_flight != g->settings.max_in_flight;
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (flight && m->max_in_flight == (uint32_t)g->settings.max_in_flight)
            m->max_in_flight = (uint32_t)settings.max_in_flight;
    }
    g->settings = settings;
    group_settings_changed(g);
    LIST_FOR_EACH (node, &g->members)
        member_opened(CONTAINER_OF(node, struct member, link));
    state_note_group(g);
    group_wake_at(g, groups_mono_ms(g->groups) + 1); /* arms it anew */
    return ERR_OK;
}

void group_breaker_set(struct group *g, enum group_breaker_order order)
{
    g->breaker_order = order;
    /* AUTO means: as if nothing had happened. */
    if (order == GROUP_BREAKER_AUTO)
        breaker_force(&g->breaker, BREAKER_CLOSED);
    group_settings_changed(g);
    state_note_group(g);
}

void group_breaker_text(const struct group *g, char *out)
{
    const struct breaker_why *w = &g->breaker.why;
    const int64_t wait = breaker_due(&g->breaker) - groups_mono_ms(g->groups);
    out[0] = 0;
    switch (g->breaker.state) {
    case BREAKER_CLOSED:
        return;
    case BREAKER_FORCED_OPEN:
        snprintf(out, GROUP_WHY_BYTES, "held open by command");
        return;
    case BREAKER_FORCED_CLOSED:
        snprintf(out, GROUP_WHY_BYTES,
                 g->breaker_order == GROUP_BREAKER_HOLD_CLOSED ? "held closed by command" : "breaker is off");
        return;
    case BREAKER_OPEN:
    case BREAKER_HALF_OPEN:
        break;
    }
    int n =
        snprintf(out, GROUP_WHY_BYTES,
                 "%u of the last %u deliveries failed, %u of them for one reason and with %u or more keys",
                 w->failures, w->outcomes, w->same, w->keys);
    if (g->breaker.state == BREAKER_HALF_OPEN)
        snprintf(out + n, GROUP_WHY_BYTES - (size_t)n, "; one event is tried now");
    else
        snprintf(out + n, GROUP_WHY_BYTES - (size_t)n, "; the next is tried in %" PRId64 " ms",
                 wait > 0 ? wait : 0);
}

/* ---- positions ---- */

static enum error range_check(const struct gp *gp, uint64_t offset, uint64_t last, char *why)
{
    const uint64_t start = partition_start(gp->partition);
    if (offset >= start && offset <= last)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES,
             "offset %" PRIu64 " is not in %.100s/%u, which has %" PRIu64 " to %" PRIu64, offset,
             gp->topic->name, gp->number, start, last);
    return ERR_OFFSET_OUT_OF_RANGE;
}

enum error group_seek(struct gp *gp, uint64_t offset, char *why)
{
    struct group *g = gp->group;
    enum error error = range_check(gp, offset, partition_end(gp->partition), why);
    if (!error)
        error = group_seek_check(g, why);
    if (error)
        return error;
    if (g->kafka)
        gp_commit(gp, -1, (struct bytes){ 0 });
    while (!list_empty(&gp->give_ups))
        give_up_free(gp, CONTAINER_OF(gp->give_ups.next, struct give_up, link));
    progress_seek(gp->progress, offset);
    gp->rewound_due = false;
    /* Nothing of before counts any more, wherever it was: not what lies below the new position either. */
    gp_rewind(gp, 0);
    gp->epoch_assigned = gp->epoch;
    gp->rewind_count = 0;
    gp_touch(gp);
    state_note_position(gp);
    LIST_FOR_EACH (node, &g->members)
        member_opened(CONTAINER_OF(node, struct member, link));
    return ERR_OK;
}

enum error group_commit(struct gp *gp, uint64_t position, char *why)
{
    if (progress_in_flight(gp->progress)) {
        snprintf(why, GROUP_WHY_BYTES, "%u events of %.100s/%u are out with members of group %.100s",
                 progress_in_flight(gp->progress), gp->topic->name, gp->number, gp->group->name);
        return ERR_GROUP_BUSY;
    }
    return group_seek(gp, position, why);
}

enum error group_delete(struct group *g, char *why)
{
    if (g->member_count) {
        snprintf(why, GROUP_WHY_BYTES, "group %.100s has %u members: stop them first", g->name,
                 g->member_count);
        return ERR_GROUP_BUSY;
    }
    state_note_deleted(g);
    group_free(g);
    return ERR_OK;
}

enum error group_offsets_delete(struct group *g, const struct topic *topic, int32_t partition, char *why)
{
    struct group_topic *gt = group_topic_find(g, topic->id);
    if (!gt || partition >= (int32_t)gt->count) {
        snprintf(why, GROUP_WHY_BYTES, "group %.100s has no position there", g->name);
        return ERR_POSITION_UNKNOWN;
    }
    if (g->kafka && classic_wants(g, topic)) {
        snprintf(why, GROUP_WHY_BYTES, "members of group %.100s consume %.100s: stop them first", g->name,
                 topic->name);
        return ERR_GROUP_BUSY;
    }
    if (g->kafka) {
        group_positions_drop(g, gt, partition);
        return ERR_OK;
    }
    LIST_FOR_EACH (node, &g->members)
        if (member_wants(CONTAINER_OF(node, struct member, link), gt->gps[0])) {
            snprintf(why, GROUP_WHY_BYTES, "members of group %.100s consume %.100s: stop them first", g->name,
                     topic->name);
            return ERR_GROUP_BUSY;
        }
    if (partition < 0) {
        state_note_forgotten(g, gt->id);
        group_topic_drop(g, gt);
        return ERR_OK;
    }
    /* The topic's others stay, so this one is not new: it begins again as for a new group. */
    struct gp *gp = gt->gps[partition];
    return group_seek(gp,
                      g->settings.offset_reset == OFFSET_RESET_START ? partition_start(gp->partition)
                                                                     : partition_end(gp->partition),
                      why);
}

/* ---- one event ---- */

enum error group_redrive(struct gp *gp, uint64_t offset, char *why)
{
    const uint64_t end = partition_end(gp->partition);
    enum error error = group_native_check(gp->group, "redriving to the group", why);
    if (!error)
        error = range_check(gp, offset, end ? end - 1 : 0, why);
    if (error)
        return error;
    if (!progress_redrive(gp->progress, offset, gp->group->groups->clock->wall_ms))
        return ERR_OK;
    gp_touch(gp);
    state_note_item(gp, offset);
    gp_ready(gp);
    return ERR_OK;
}

enum error group_settle(struct gp *gp, uint64_t first, uint32_t count, char *why)
{
    const uint64_t end = partition_end(gp->partition);
    enum error error = range_check(gp, first, end ? end - 1 : 0, why);
    if (!error && count > 1)
        error = range_check(gp, first + count - 1, end - 1, why);
    for (uint32_t i = 0; !error && i < count; i++) {
        struct give_up *u = give_up_find(gp, first + i);
        if (u)
            give_up_free(gp, u);
        if (!progress_settle(gp->progress, first + i)) {
            snprintf(why, GROUP_WHY_BYTES,
                     "offset %" PRIu64 " of %.100s/%u is too far past the oldest event not settled, %" PRIu64,
                     first + i, gp->topic->name, gp->number, progress_position(gp->progress));
            error = ERR_LIMIT_REACHED;
        }
    }
    gp_touch(gp);
    gp_ready(gp);
    return error;
}
