/* SPDX-License-Identifier: Apache-2.0
 *
 * group/members.c: what becomes of members: coming back is join.c's.
 *
 *   join ──▶ OK ◀──speaks── SILENT        leave: what is out is given back
 *            │ ▲──ack.wait ran out──▲     death: what is out is suspect
 *     detach ▼ │ comes back
 *         DETACHED ──session ran out──▶ death
 */
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

/* ---- finding ---- */

struct list *member_bucket(struct groups *groups, struct bytes id)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < id.len; i++)
        hash = (hash ^ id.at[i]) * 16777619u;
    return &groups->members[hash % MEMBER_BUCKETS];
}

struct member *member_find(struct groups *groups, const struct group *g, struct bytes id)
{
    LIST_FOR_EACH (node, member_bucket(groups, id)) {
        struct member *m = CONTAINER_OF(node, struct member, hash_link);
        if (m->group == g && text_is(m->id, id))
            return m;
    }
    return NULL;
}

/* ---- what becomes of it ---- */

void member_killed(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts)
{
    struct member *m = ctx;
    group_event_died(m->group, m, p, offset, attempts);
}

/* After holder_end(): what it had may go to others. */
void member_emptied(struct member *m)
{
    struct group *g = m->group;
    m->reserved = NULL;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++) {
            struct gp *gp = g->topics[i]->gps[n];
            if (progress_in_flight(gp->progress) != gp->in_flight || gp->owner == m)
                gp_ready(gp);
            gp_touch(gp);
        }
    starved_wake(&m->starved);
    starved_wake(&g->starved);
}

bool member_takes(const struct member *m)
{
    return m->state == MEMBER_OK && !m->draining && m->holder.in_flight < m->max_in_flight &&
           !m->holder.alone;
}

void member_opened(struct member *m)
{
    struct group *g = m->group;
    const bool takes = member_takes(m);
    if (takes && !list_linked(&m->open_link))
        list_append(&g->open, &m->open_link);
    else if (!takes)
        list_remove(&m->open_link);
    if (takes) {
        starved_wake(&m->starved);
        starved_wake(&g->starved);
    }
}

void member_room(struct member *m)
{
    member_opened(m);
}

void member_spoke(struct member *m)
{
    if (m->state != MEMBER_SILENT)
        return;
    m->state = MEMBER_OK;
    m->group->rebalance = true;
    group_changed(m->group);
    member_opened(m);
}

void member_silence(struct member *m)
{
    if (m->state != MEMBER_OK)
        return;
    m->state = MEMBER_SILENT;
    m->group->rebalance = true;
    group_changed(m->group);
    member_opened(m);
}

void member_drain(struct member *m)
{
    if (m->draining)
        return;
    m->draining = true;
    m->group->rebalance = true;
    group_changed(m->group);
    member_opened(m);
}

void member_detach(struct member *m)
{
    struct group *g = m->group;
    CHECK(m->state != MEMBER_DETACHED);
    m->state = MEMBER_DETACHED;
    m->door = NULL;
    m->session_ms = groups_mono_ms(g->groups) + g->settings.session_timeout_ms;
    /* Mostly the last: sessions are equally long unless the setting was changed. */
    struct list *at = g->sessions.prev;
    while (at != &g->sessions && CONTAINER_OF(at, struct member, session_link)->session_ms > m->session_ms)
        at = at->prev;
    list_append(at->next, &m->session_link);
    group_wake_at(g, m->session_ms);
    member_opened(m);
}

void member_free(struct member *m)
{
    struct group *g = m->group;
    member_unsubscribe(m);
    starved_wake(&m->starved);
    list_remove(&m->link);
    list_remove(&m->open_link);
    list_remove(&m->hash_link);
    list_remove(&m->session_link);
    text_free(m->instance);
    text_free(m->host);
    mem_free(MEM_GROUP, m->wants, m->wants_words * sizeof(*m->wants));
    g->member_count--;
    g->groups->stats.members--;
    if (m->holder.in_flight)
        holder_end(&m->holder, HOLDER_LEFT, NULL, NULL);
    mem_free(MEM_GROUP, m, sizeof(*m));
}

static void member_end(struct member *m, enum holder_end how)
{
    struct group *g = m->group;
    holder_end(&m->holder, how, member_killed, m);
    member_emptied(m);
    member_disown(m);
    member_free(m);
    g->generation++;
    g->rebalance = true;
    g->active_ms = g->groups->clock->wall_ms;
    group_changed(g);
    if (!g->member_count && !g->internal && g->settings.expire_after_ms >= 0)
        group_wake_at(g, groups_mono_ms(g->groups) + g->settings.expire_after_ms);
}

void member_leave(struct member *m)
{
    member_end(m, HOLDER_LEFT);
}

void member_die(struct member *m)
{
    m->group->groups->stats.sessions_expired++;
    member_end(m, HOLDER_DIED);
}
