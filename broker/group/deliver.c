/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deliver.c: what may go to whom.
 *
 * A gp for which the answer is no is put where the answer can change (gp_starve()): its owner's list, the
 * group's, the broker's; and `ready` is raised for it when it does. Where only its own progress can change
 * the answer (window full, a retry that waits), whatever changes that says gp_ready() itself.
 *
 * A suspect goes only to a member that has nothing else. When there is none, one is reserved: it gets nothing
 * else until it has finished what it has; so a suspect never waits for a moment of calm that does not come.
 */
#include "group/group_own.h"

/* Retention may have overtaken the group. */
static void gp_retained(struct gp *gp)
{
    const uint64_t start = partition_start(gp->partition);
    if (start > progress_position(gp->progress)) {
        progress_truncate(gp->progress, start);
        gp_touch(gp);
    }
}

static bool gp_suspect_waits(const struct gp *gp, uint64_t end)
{
    struct offer offer;
    progress_offer(gp->progress, end, gp->group->groups->clock->wall_ms, 1, &offer);
    return offer.kind != OFFER_NONE && offer.alone;
}

/* Where new events end: with too many items, none are begun. */
static uint64_t gp_end(const struct gp *gp)
{
    const struct groups *groups = gp->group->groups;
    return groups->items < groups->options.items_max ? partition_end(gp->partition)
                                                     : progress_next(gp->progress);
}

/* Is the member kept for a suspect of another gp? */
static bool member_reserved(struct member *m, const struct gp *gp)
{
    if (m->reserved && m->reserved != gp && !gp_suspect_waits(m->reserved, gp_end(m->reserved)))
        m->reserved = NULL;
    return m->reserved && m->reserved != gp;
}

static uint32_t member_left(const struct member *m, uint32_t room)
{
    const uint32_t left = m->max_in_flight - m->holder.in_flight;
    return left < room ? left : room;
}

static bool offer_ordered(struct gp *gp, uint64_t end, uint32_t room,
                          bool (*can_send)(void *ctx, struct member *m), void *ctx, struct member **out,
                          struct offer *offer)
{
    struct member *m = gp->owner;
    const int64_t now = gp->group->groups->clock->wall_ms;
    if (!m || gp->moving || m->state != MEMBER_OK || m->draining)
        return false;
    if (!member_takes(m) || member_reserved(m, gp)) {
        gp_starve(gp, &m->starved);
        return false;
    }
    room = member_left(m, room);
    if (!m->holder.in_flight) {
        progress_offer(gp->progress, end, now, room, offer);
    } else if (progress_offer_beside(gp->progress, end, now, room, offer) == PAUSE_ALONE &&
               gp_suspect_waits(gp, end)) {
        m->reserved = gp;
        gp_starve(gp, &m->starved);
        return false;
    }
    if (offer->kind == OFFER_NONE)
        return false;
    if (!can_send(ctx, m)) {
        gp_starve(gp, &m->starved);
        return false;
    }
    *out = m;
    return true;
}

struct choice {
    struct member *idle;     /* has nothing out */
    struct member *any;      /* may take something else than a suspect */
    struct member *reserved; /* kept for this gp's suspect, */
    struct member *fewest;   /* or to be kept: the one that will be idle first, as far as one can say */
};

/* Members take turns: the one that got something goes to the end of the list. */
static void choose(struct gp *gp, bool suspect, bool (*can_send)(void *ctx, struct member *m), void *ctx,
                   struct choice *c)
{
    LIST_FOR_EACH (node, &gp->group->open) {
        struct member *m = CONTAINER_OF(node, struct member, open_link);
        if (!member_wants(m, gp) || member_reserved(m, gp) || !can_send(ctx, m))
            continue;
        if (!c->any && !m->reserved)
            c->any = m;
        if (m->reserved)
            c->reserved = m;
        else if (!c->fewest || m->holder.in_flight < c->fewest->holder.in_flight)
            c->fewest = m;
        if (!m->holder.in_flight)
            c->idle = m;
        if (suspect ? c->idle != NULL : c->any != NULL)
            return;
    }
}

static bool offer_shared(struct gp *gp, uint64_t end, uint32_t room,
                         bool (*can_send)(void *ctx, struct member *m), void *ctx, struct member **out,
                         struct offer *offer)
{
    struct choice c = { 0 };
    const int64_t now = gp->group->groups->clock->wall_ms;
    const bool suspect = gp_suspect_waits(gp, end);
    if (!suspect && progress_offer(gp->progress, end, now, 1, offer) != PAUSE_NONE)
        return false;
    if (!suspect && offer->kind == OFFER_NONE)
        return false;
    choose(gp, suspect, can_send, ctx, &c);
    if (suspect && c.idle) {
        progress_offer(gp->progress, end, now, 1, offer);
        *out = c.idle;
        return true;
    }
    if (suspect && !c.reserved && c.fewest) {
        c.fewest->reserved = gp;
        if (c.any == c.fewest)
            c.any = NULL;
    }
    if (c.any) {
        progress_offer_beside(gp->progress, end, now, member_left(c.any, room), offer);
        *out = c.any;
        if (offer->kind != OFFER_NONE)
            return true;
    }
    gp_starve(gp, &gp->group->starved);
    return false;
}

bool group_offer(struct gp *gp, bool (*can_send)(void *ctx, struct member *m), void *ctx, struct member **m,
                 struct offer *offer)
{
    struct group *g = gp->group;
    struct groups *groups = g->groups;
    *offer = (struct offer){ 0 };
    /* First what was withdrawn must be told. */
    if (!gp->partition || gp->rewound_due || !g->member_count || gp->topic->deleted)
        return false;
    gp_retained(gp);
    if (groups->give_ups >= GIVE_UPS_MAX) {
        gp_starve(gp, &groups->starved);
        return false;
    }
    const uint32_t room = breaker_room(&g->breaker, groups_mono_ms(groups), g->in_flight);
    if (!room) {
        gp_starve(gp, &g->starved);
        return false;
    }
    const uint64_t end = gp_end(gp);
    const bool found = g->ordered ? offer_ordered(gp, end, room, can_send, ctx, m, offer)
                                  : offer_shared(gp, end, room, can_send, ctx, m, offer);
    if (!found && groups->items >= groups->options.items_max && !list_linked(&gp->starved_link))
        gp_starve(gp, &groups->starved);
    return found;
}

bool group_leased(struct gp *gp, struct member *m, const struct offer *offer, uint64_t first, uint32_t count)
{
    struct group *g = gp->group;
    const bool allowed = member_takes(m) && !gp->rewound_due && count <= member_left(m, UINT32_MAX) &&
                         !(offer->alone && m->holder.in_flight) &&
                         (g->ordered ? gp->owner == m && !gp->moving : member_wants(m, gp));
    const int64_t deadline = groups_mono_ms(g->groups) + g->settings.ack_wait_ms;
    if (!allowed || count > breaker_room(&g->breaker, groups_mono_ms(g->groups), g->in_flight))
        return false;
    if (!progress_lease(gp->progress, offer, first, count, &m->holder, deadline))
        return false;
    if (offer->alone)
        m->reserved = NULL;
    /* To the end of the list of those who may take something: the others first. */
    list_remove(&m->open_link);
    if (member_takes(m))
        list_append(&g->open, &m->open_link);
    gp_touch(gp);
    return true;
}

/* ---- why not ---- */

static enum group_pause pause_of(enum progress_pause pause)
{
    static const enum group_pause same[] = {
        [PAUSE_NONE] = GROUP_PAUSE_NONE,           [PAUSE_WINDOW_FULL] = GROUP_PAUSE_WINDOW_FULL,
        [PAUSE_RETRY] = GROUP_PAUSE_RETRY,         [PAUSE_ALONE] = GROUP_PAUSE_ALONE,
        [PAUSE_GIVING_UP] = GROUP_PAUSE_GIVING_UP,
    };
    return same[pause];
}

enum group_pause gp_pause(const struct gp *gp)
{
    const struct group *g = gp->group;
    const struct groups *groups = g->groups;
    struct offer offer;
    if (g->breaker.state == BREAKER_OPEN || g->breaker.state == BREAKER_FORCED_OPEN ||
        (g->breaker.state == BREAKER_HALF_OPEN && g->in_flight))
        return GROUP_PAUSE_BREAKER;
    if (groups->give_ups >= GIVE_UPS_MAX)
        return GROUP_PAUSE_GIVING_UP;
    const enum progress_pause pause =
        progress_offer_beside(gp->progress, partition_end(gp->partition), groups->clock->wall_ms, 1, &offer);
    if (pause != PAUSE_NONE)
        return pause_of(pause);
    if (offer.kind == OFFER_NEW && groups->items >= groups->options.items_max)
        return GROUP_PAUSE_ITEMS_FULL;
    return GROUP_PAUSE_NONE;
}
