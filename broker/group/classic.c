/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic.c: the phases of a Kafka group, and members' ends.
 *
 * Requests and timers note what has happened; classic_advance(), from groups_turn_begin(), moves the group on
 * and answers what was parked. So members that join in one turn make one generation.
 */
#include "group/classic_own.h"

/* ---- members ---- */

struct classic_member *classic_next(const struct classic *c, const struct classic_member *after)
{
    for (const struct list *node = after ? after->link.next : c->members.next; node != &c->members;
         node = node->next) {
        struct classic_member *m = CONTAINER_OF(node, struct classic_member, link);
        if (!m->pending)
            return m;
    }
    return NULL;
}

struct classic_member *classic_find(const struct classic *c, struct bytes id)
{
    LIST_FOR_EACH (node, &c->members) {
        struct classic_member *m = CONTAINER_OF(node, struct classic_member, link);
        if (text_is(m->id, id))
            return m;
    }
    return NULL;
}

struct classic_member *classic_find_instance(const struct classic *c, struct bytes instance)
{
    LIST_FOR_EACH (node, &c->members) {
        struct classic_member *m = CONTAINER_OF(node, struct classic_member, link);
        if (instance.len && text_is(m->instance, instance))
            return m;
    }
    return NULL;
}

void classic_answer(struct classic_wait **wait, enum classic_result result, const struct classic_member *m)
{
    struct classic_wait *w = *wait;
    *wait = NULL;
    if (!w)
        return;
    w->member = NULL;
    w->done(w, result, m);
}

void classic_touch(struct classic_member *m)
{
    if (!m->join && !m->sync)
        timer_start(m->group->groups->timers, &m->session, m->session_ms);
}

static void classic_count_bytes(struct classic *c, uint64_t more, uint64_t less)
{
    c->bytes += more - less;
    c->group->groups->classic_bytes += more - less;
}

void classic_assign(struct classic_member *m, struct bytes assignment)
{
    struct classic *c = m->group->classic;
    classic_count_bytes(c, assignment.len, m->assignment.len);
    bytes_free(m->assignment);
    m->assignment = assignment.len ? bytes_copy(assignment) : (struct bytes){ 0 };
}

void classic_free_protocols(struct classic_member *m)
{
    for (uint32_t i = 0; i < m->protocol_count; i++) {
        bytes_free(m->protocols[i].name);
        bytes_free(m->protocols[i].metadata);
    }
    mem_free(MEM_GROUP, m->protocols, m->protocol_count * sizeof(*m->protocols));
    classic_count_bytes(m->group->classic, 0, m->bytes);
    m->protocols = NULL;
    m->protocol_count = 0;
    m->bytes = 0;
}

/* Forgets it; the group does not react. */
static void member_forget(struct classic_member *m)
{
    struct group *g = m->group;
    struct classic *c = g->classic;
    classic_free_protocols(m);
    classic_assign(m, (struct bytes){ 0 });
    timer_stop(g->groups->timers, &m->session);
    list_remove(&m->link);
    if (c->leader == m)
        c->leader = NULL;
    if (m->pending) {
        c->pending--;
    } else {
        g->member_count--;
        g->groups->stats.members--;
    }
    text_free(m->id);
    text_free(m->instance);
    text_free(m->client);
    text_free(m->host);
    mem_free(MEM_GROUP, m, sizeof(*m));
}

/* Without members it is looked at when its time comes to be forgotten. */
static void classic_idle(struct group *g)
{
    if (g->member_count)
        return;
    g->active_ms = g->groups->clock->wall_ms;
    group_wake_at(g, groups_mono_ms(g->groups) + 1);
}

void classic_remove(struct classic_member *m, enum classic_result result)
{
    struct group *g = m->group;
    struct classic *c = g->classic;
    const bool pending = m->pending;
    classic_answer(&m->join, result, NULL);
    classic_answer(&m->sync, result, NULL);
    member_forget(m);
    if (!pending && c->state != CLASSIC_PREPARING)
        classic_prepare(c);
    group_changed(g);
    classic_idle(g);
}

void classic_abandon(struct classic_wait *wait)
{
    struct classic_member *m = wait->member;
    if (!m)
        return;
    wait->member = NULL;
    if (m->join == wait)
        m->join = NULL;
    else
        m->sync = NULL;
    if (m->knows_id || *m->instance)
        classic_touch(m);
    else
        classic_remove(m, CLASSIC_MEMBER_UNKNOWN); /* nobody could ever speak for it */
}

/* ---- protocols ---- */

bool classic_supported(const struct classic *c, struct bytes protocol, const struct classic_member *but)
{
    for (const struct classic_member *m = NULL; (m = classic_next(c, m));) {
        bool has = m == but;
        for (uint32_t i = 0; i < m->protocol_count && !has; i++)
            has = bytes_same(m->protocols[i].name, protocol);
        if (!has)
            return false;
    }
    return true;
}

/* How many members like it best among those that all support, which `ok` marks in `of`'s list. */
static uint32_t votes_for(const struct classic *c, const struct classic_member *of, const bool *ok,
                          uint32_t i)
{
    uint32_t votes = 0;
    for (const struct classic_member *m = NULL; (m = classic_next(c, m));) {
        bool found = false;
        for (uint32_t k = 0; k < m->protocol_count && !found; k++)
            for (uint32_t n = 0; n < of->protocol_count && !found; n++)
                if (ok[n] && bytes_same(m->protocols[k].name, of->protocols[n].name)) {
                    found = true;
                    votes += n == i;
                }
    }
    return votes;
}

struct bytes classic_choose(const struct classic *c)
{
    const struct classic_member *first = classic_next(c, NULL);
    struct bytes best = { 0 };
    bool ok[CLASSIC_PROTOCOLS_MAX] = { 0 };
    uint32_t most = 0;
    for (uint32_t i = 0; first && i < first->protocol_count; i++)
        ok[i] = classic_supported(c, first->protocols[i].name, first);
    for (uint32_t i = 0; first && i < first->protocol_count; i++) {
        const uint32_t votes = ok[i] ? votes_for(c, first, ok, i) : 0;
        if (votes > most) {
            most = votes;
            best = first->protocols[i].name;
        }
    }
    return best;
}

/* ---- phases ---- */

static uint32_t rebalance_ms(const struct classic *c)
{
    uint32_t most = 1;
    for (const struct classic_member *m = NULL; (m = classic_next(c, m));)
        most = m->rebalance_ms > most ? m->rebalance_ms : most;
    return most;
}

static void classic_phase(struct classic *c, enum classic_state state, uint32_t time_ms)
{
    struct timers *timers = c->group->groups->timers;
    c->state = state;
    c->due = c->assigned = false;
    if (time_ms)
        timer_start(timers, &c->timer, time_ms);
    else
        timer_stop(timers, &c->timer);
    group_changed(c->group);
}

void classic_prepare(struct classic *c)
{
    CHECK(c->state != CLASSIC_PREPARING);
    c->delaying = c->state == CLASSIC_EMPTY;
    for (struct classic_member *m = NULL; (m = classic_next(c, m));) {
        const bool parked = m->sync != NULL;
        classic_answer(&m->sync, CLASSIC_REBALANCING, NULL);
        if (parked)
            classic_touch(m);
        classic_assign(m, (struct bytes){ 0 });
    }
    classic_phase(c, CLASSIC_PREPARING, c->delaying ? CLASSIC_DELAY_MS : rebalance_ms(c));
}

static void classic_empty(struct classic *c)
{
    text_free(c->protocol);
    text_free(c->protocol_type);
    c->protocol = c->protocol_type = NULL;
    c->leader = NULL;
    c->group->generation++;
    classic_phase(c, CLASSIC_EMPTY, 0);
}

/* Those who did not come are out, but for instances, which may still be on their way. How many came? */
static uint32_t classic_gather(struct classic *c)
{
    uint32_t joined = 0;
    LIST_FOR_EACH_SAFE (node, &c->members) {
        struct classic_member *m = CONTAINER_OF(node, struct classic_member, link);
        if (m->join)
            joined++;
        else if (!m->pending && !*m->instance)
            member_forget(m);
    }
    return joined;
}

static void classic_elect(struct classic *c)
{
    if (c->leader && c->leader->join)
        return;
    struct classic_member *m = classic_next(c, NULL);
    while (m && !m->join)
        m = classic_next(c, m);
    CHECK(m);
    c->leader = m;
}

static void classic_begin(struct classic *c)
{
    struct group *g = c->group;
    const struct bytes protocol = classic_choose(c);
    CHECK(protocol.at); /* joins that leave nothing in common were refused */
    text_free(c->protocol);
    c->protocol = text_copy(protocol);
    classic_elect(c);
    g->generation++;
    g->groups->stats.rebalances++;
    g->active_ms = g->groups->clock->wall_ms;
    classic_phase(c, CLASSIC_COMPLETING, rebalance_ms(c));
    for (struct classic_member *m = NULL; (m = classic_next(c, m));) {
        m->synced = false;
        m->knows_id |= m->join != NULL;
        const bool parked = m->join != NULL;
        classic_answer(&m->join, CLASSIC_OK, m);
        if (parked)
            classic_touch(m);
    }
}

static bool classic_all_joined(const struct classic *c)
{
    if (c->pending || c->delaying)
        return false;
    for (const struct classic_member *m = NULL; (m = classic_next(c, m));)
        if (!m->join)
            return false;
    return true;
}

static void classic_advance_preparing(struct classic *c)
{
    if (!c->group->member_count) {
        classic_empty(c);
        return;
    }
    if (c->due && c->delaying) {
        c->delaying = false;
        classic_phase(c, CLASSIC_PREPARING, rebalance_ms(c));
    }
    if (!classic_all_joined(c) && !c->due)
        return;
    const uint32_t joined = classic_gather(c);
    if (!c->group->member_count)
        classic_empty(c);
    else if (!joined) /* instances alone, on their way */
        classic_phase(c, CLASSIC_PREPARING, rebalance_ms(c));
    else
        classic_begin(c);
}

static void classic_stable(struct classic *c)
{
    classic_phase(c, CLASSIC_STABLE, 0);
    for (struct classic_member *m = NULL; (m = classic_next(c, m));) {
        const bool parked = m->sync != NULL;
        classic_answer(&m->sync, CLASSIC_OK, m);
        if (parked)
            classic_touch(m);
    }
}

/* Who joined and never asked for its share holds up the others no longer. */
static void classic_drop_unsynced(struct classic *c)
{
    LIST_FOR_EACH_SAFE (node, &c->members) {
        struct classic_member *m = CONTAINER_OF(node, struct classic_member, link);
        if (!m->pending && !m->synced)
            member_forget(m);
    }
    classic_prepare(c);
}

void classic_advance(struct group *g)
{
    struct classic *c = g->classic;
    if (!c)
        return;
    if (c->state == CLASSIC_COMPLETING && c->assigned)
        classic_stable(c);
    else if (c->state == CLASSIC_COMPLETING && c->due)
        classic_drop_unsynced(c);
    if (c->state == CLASSIC_PREPARING)
        classic_advance_preparing(c);
    classic_idle(g);
}

enum group_state classic_group_state(const struct group *g)
{
    if (!g->member_count)
        return GROUP_EMPTY;
    return g->classic->state == CLASSIC_STABLE ? GROUP_STABLE : GROUP_REBALANCING;
}

bool classic_awaits(const struct group *g)
{
    return g->classic && g->classic->pending;
}

void classic_free(struct group *g)
{
    struct classic *c = g->classic;
    if (!c)
        return;
    LIST_FOR_EACH_SAFE (node, &c->members)
        member_forget(CONTAINER_OF(node, struct classic_member, link));
    timer_stop(g->groups->timers, &c->timer);
    text_free(c->protocol);
    text_free(c->protocol_type);
    mem_free(MEM_GROUP, c, sizeof(*c));
    g->classic = NULL;
}
