/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic_request.c: what members of Kafka groups say once they have joined, and looking at them.
 */
#include "group/classic_own.h"

/* ---- who speaks ---- */

static enum classic_result find_speaker(struct groups *groups, const struct classic_who *who,
                                        struct classic_member **m)
{
    struct group *g = group_find(groups, who->group);
    struct classic *c = g ? g->classic : NULL;
    *m = NULL;
    if (!c)
        return CLASSIC_MEMBER_UNKNOWN;
    if (who->instance_id.len) {
        *m = classic_find_instance(c, who->instance_id);
        if (*m && !text_is((*m)->id, who->member_id))
            return CLASSIC_FENCED;
    } else {
        *m = classic_find(c, who->member_id);
    }
    return *m && !(*m)->pending ? CLASSIC_OK : CLASSIC_MEMBER_UNKNOWN;
}

static enum classic_result find_current(struct groups *groups, const struct classic_who *who,
                                        struct classic_member **m)
{
    const enum classic_result result = find_speaker(groups, who, m);
    if (result == CLASSIC_OK && (uint32_t)who->generation != (*m)->group->generation)
        return CLASSIC_GENERATION_STALE;
    return result;
}

enum classic_result classic_speaks(struct groups *groups, const struct classic_who *who)
{
    struct classic_member *m;
    const enum classic_result result = find_current(groups, who, &m);
    if (result == CLASSIC_OK)
        classic_touch(m);
    return result;
}

/* ---- sync ---- */

static bool share_fits(const struct classic *c, const struct classic_share *shares, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += shares[i].assignment.len;
    return c->bytes + bytes <= 2 * (uint64_t)CLASSIC_GROUP_BYTES_MAX &&
           c->group->groups->classic_bytes + bytes <= CLASSIC_BYTES_MAX;
}

static void share_out(struct classic *c, const struct classic_share *shares, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct classic_member *m = classic_find(c, shares[i].member_id);
        if (m && !m->pending)
            classic_assign(m, shares[i].assignment);
    }
    c->assigned = true;
    group_changed(c->group);
}

static bool said_otherwise(const char *ours, struct bytes theirs)
{
    return theirs.at && !text_is(ours ? ours : "", theirs);
}

enum classic_result classic_sync(struct groups *groups, const struct classic_who *who,
                                 struct bytes protocol_type, struct bytes protocol,
                                 const struct classic_share *shares, uint32_t count,
                                 struct classic_wait *wait, const struct classic_member **out)
{
    struct classic_member *m;
    const enum classic_result result = find_current(groups, who, &m);
    if (result != CLASSIC_OK)
        return result;
    struct classic *c = m->group->classic;
    if (said_otherwise(c->protocol_type, protocol_type) || said_otherwise(c->protocol, protocol))
        return CLASSIC_PROTOCOL_MISMATCH;
    if (c->state == CLASSIC_PREPARING)
        return CLASSIC_REBALANCING;
    *out = m;
    m->synced = true;
    if (c->state == CLASSIC_STABLE) {
        classic_touch(m);
        return CLASSIC_OK;
    }
    CHECK(c->state == CLASSIC_COMPLETING);
    if (c->leader == m && !c->assigned) {
        if (!share_fits(c, shares, count))
            return CLASSIC_FULL;
        share_out(c, shares, count);
    }
    classic_answer(&m->sync, CLASSIC_REBALANCING, NULL); /* asked again, elsewhere */
    timer_stop(groups->timers, &m->session);
    wait->member = m;
    m->sync = wait;
    return CLASSIC_PARKED;
}

/* ---- the others ---- */

enum classic_result classic_heartbeat(struct groups *groups, const struct classic_who *who)
{
    struct classic_member *m;
    const enum classic_result result = find_current(groups, who, &m);
    if (result != CLASSIC_OK)
        return result;
    classic_touch(m);
    return m->group->classic->state == CLASSIC_PREPARING ? CLASSIC_REBALANCING : CLASSIC_OK;
}

enum classic_result classic_leave(struct groups *groups, const struct classic_who *who)
{
    struct group *g = group_find(groups, who->group);
    struct classic *c = g ? g->classic : NULL;
    struct classic_member *m = NULL;
    if (c && who->instance_id.len)
        m = classic_find_instance(c, who->instance_id);
    else if (c)
        m = classic_find(c, who->member_id);
    if (!m)
        return CLASSIC_MEMBER_UNKNOWN;
    if (who->member_id.len && !text_is(m->id, who->member_id))
        return CLASSIC_FENCED;
    classic_remove(m, CLASSIC_MEMBER_UNKNOWN);
    return CLASSIC_OK;
}

/* ---- looking ---- */

enum classic_state classic_state(const struct group *g)
{
    return g->classic ? g->classic->state : CLASSIC_EMPTY;
}

const char *classic_protocol_type(const struct group *g)
{
    return g->classic && g->classic->protocol_type && g->member_count ? g->classic->protocol_type : "";
}

const char *classic_protocol_name(const struct group *g)
{
    return g->classic && g->classic->protocol ? g->classic->protocol : "";
}

const char *classic_leader(const struct classic_member *m)
{
    const struct classic *c = m->group->classic;
    return !c->leader || (c->leader == m && c->state == CLASSIC_STABLE) ? "" : c->leader->id;
}

struct bytes classic_metadata(const struct classic_member *m)
{
    const struct classic *c = m->group->classic;
    for (uint32_t i = 0; c->protocol && i < m->protocol_count; i++)
        if (text_is(c->protocol, m->protocols[i].name))
            return m->protocols[i].metadata;
    return (struct bytes){ 0 };
}

const struct classic_member *classic_member_next(const struct group *g, const struct classic_member *after)
{
    return g->classic ? classic_next(g->classic, after) : NULL;
}
