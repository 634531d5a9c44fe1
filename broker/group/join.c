/* SPDX-License-Identifier: Apache-2.0
 *
 * group/join.c: joining: whether it may, and as whom: a new member, one that comes back, or an instance that
 * takes over.
 *
 * Everything is checked before anything changes: what was refused leaves nothing behind.
 */
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

/* ---- may it join? ---- */

enum error group_name_check(struct bytes name, char *why)
{
    if (text_is(GROUP_DEAD_LETTERS, name))
        return ERR_OK;
    if (topic_name_valid(name) && !topic_name_internal(name))
        return ERR_OK;
    snprintf(
        why, GROUP_WHY_BYTES,
        "'%.*s' is not a group name: use 1 to %d letters, digits, '.', '_' or '-', not '__' at the start",
        (int)(name.len > 64 ? 64 : name.len), (const char *)name.at, GROUP_NAME_MAX);
    return ERR_GROUP_NAME_INVALID;
}

static enum error mode_check(const struct group *g, enum group_mode mode, char *why)
{
    if (!g || mode == GROUP_ANY || (mode == GROUP_ORDERED) == g->ordered)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES, "group %s is %s: join it so, or choose another group", g->name,
             g->ordered ? "ordered" : "shared");
    return ERR_GROUP_MODE_MISMATCH;
}

enum error groups_limit(const struct groups *groups, char *why)
{
    const uint32_t count = groups->count - groups->internal;
    if (count < groups->options.groups_max)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES, "the broker has %u groups of at most %u: delete some, or raise groups.max",
             count, groups->options.groups_max);
    return ERR_LIMIT_REACHED;
}

enum error group_make(struct groups *groups, struct bytes name, enum group_mode mode, struct group **out,
                      char *why)
{
    enum error error = group_name_check(name, why);
    if (error)
        return error;
    *out = group_find(groups, name);
    if (*out)
        return mode_check(*out, mode, why);
    if (mode == GROUP_ANY) {
        snprintf(why, GROUP_WHY_BYTES, "there is no group %.*s", (int)name.len, (const char *)name.at);
        return ERR_GROUP_NOT_FOUND;
    }
    error = text_is(GROUP_DEAD_LETTERS, name) ? ERR_OK : groups_limit(groups, why);
    if (error)
        return error;
    *out = group_create(groups, name, mode == GROUP_ORDERED);
    state_note_group(*out);
    group_wake_at(*out, groups_mono_ms(groups) + 1); /* arms it for its expiry */
    return ERR_OK;
}

struct checking {
    struct groups *groups;
    const struct group *g; /* NULL: it would be new */
    enum group_reset reset;
    uint64_t partitions;
    char *why;
};

static enum error check_topic(void *ctx, struct topic *topic)
{
    struct checking *c = ctx;
    if (topic->internal) {
        snprintf(c->why, GROUP_WHY_BYTES, "topic %.100s belongs to the broker: groups cannot consume it",
                 topic->name);
        return ERR_TOPIC_INTERNAL;
    }
    if (c->g && group_topic_find(c->g, topic->id))
        return ERR_OK;
    c->partitions += topic->partition_count;
    if (c->g)
        return group_topic_check(c->g, topic, c->reset, c->why);
    const bool refuse =
        c->reset == GROUP_RESET_ERROR ||
        (c->reset == GROUP_RESET_DEFAULT && c->groups->options.defaults.offset_reset == OFFSET_RESET_ERROR);
    if (!refuse)
        return ERR_OK;
    snprintf(c->why, GROUP_WHY_BYTES,
             "the group is new and has no position in topic %.100s, and offset.reset is error", topic->name);
    return ERR_POSITION_UNKNOWN;
}

static enum error check_text(struct groups *groups, struct bytes text, char *why)
{
    const bool sane = text.len && text.len <= TOPIC_NAME_MAX && !memchr(text.at, 0, text.len);
    if (!sane || (!is_pattern(text) && !topic_name_valid(text))) {
        snprintf(why, GROUP_WHY_BYTES, "'%.*s' is neither a topic name nor a pattern with '*' or '?'",
                 (int)(text.len > 64 ? 64 : text.len), (const char *)text.at);
        return ERR_TOPIC_NAME_INVALID;
    }
    if (is_pattern(text) || catalog_find(groups->store, text))
        return ERR_OK;
    const char *similar = catalog_similar(groups->store, text);
    snprintf(why, GROUP_WHY_BYTES, "there is no topic %.*s%s%.100s%s", (int)(text.len > 64 ? 64 : text.len),
             (const char *)text.at, similar ? "; did you mean " : "", similar ? similar : "",
             similar ? "?" : "");
    return ERR_TOPIC_NOT_FOUND;
}

static enum error join_check_topics(struct groups *groups, const struct group *g,
                                    const struct group_join *request, char *why)
{
    struct checking c = { groups, g, request->reset, 0, why };
    if (!request->topic_count) {
        snprintf(why, GROUP_WHY_BYTES, "a member must name at least one topic or pattern");
        return ERR_REQUEST_INVALID;
    }
    if (request->topic_count > groups->options.topics_max) {
        snprintf(why, GROUP_WHY_BYTES,
                 "%u topics and patterns, at most %u: use patterns, or raise group.topics.max",
                 request->topic_count, groups->options.topics_max);
        return ERR_LIMIT_REACHED;
    }
    for (uint32_t i = 0; i < request->topic_count; i++) {
        enum error error = check_text(groups, request->topics[i], why);
        if (!error)
            error = each_topic(groups, request->topics[i], check_topic, &c);
        if (error)
            return error;
    }
    return groups_partitions_fit(groups, c.partitions, why);
}

static enum error join_check(struct groups *groups, const struct group *g, const struct member *m,
                             const struct group_join *request, char *why)
{
    enum error error = group_name_check(request->group, why);
    if (!error)
        error = mode_check(g, request->mode, why);
    if (!error && text_is(GROUP_DEAD_LETTERS, request->group)) {
        snprintf(why, GROUP_WHY_BYTES, "group " GROUP_DEAD_LETTERS " belongs to the broker");
        error = ERR_GROUP_NAME_INVALID;
    }
    if (!error && g)
        error = group_kind_check(g, false, why);
    if (!error && !g)
        error = groups_limit(groups, why);
    if (!error && g && !m && g->member_count >= groups->options.members_max) {
        snprintf(why, GROUP_WHY_BYTES,
                 "group %s has %u members of at most %u: stop some, or raise group.members.max", g->name,
                 g->member_count, groups->options.members_max);
        error = ERR_LIMIT_REACHED;
    }
    if (!error && (request->instance_id.len > MEMBER_TEXT_MAX || request->host.len > MEMBER_TEXT_MAX)) {
        snprintf(why, GROUP_WHY_BYTES, "instance id and host may have %d bytes", MEMBER_TEXT_MAX);
        error = ERR_REQUEST_INVALID;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; g && i < g->subscription_count; i++)
        used += g->subscriptions[i].members > 0;
    if (!error && used + request->topic_count > SUBSCRIPTIONS_MAX) {
        snprintf(why, GROUP_WHY_BYTES,
                 "the members of group %s name %u topics and patterns, at most %d: use patterns",
                 g ? g->name : "", used, SUBSCRIPTIONS_MAX);
        error = ERR_LIMIT_REACHED;
    }
    return error ? error : join_check_topics(groups, g, request, why);
}

/* ---- joining ---- */

static struct member *member_of_instance(struct group *g, struct bytes instance)
{
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (instance.len && text_is(m->instance, instance))
            return m;
    }
    return NULL;
}

static void member_name(struct member *m)
{
    snprintf(m->id, sizeof(m->id), "%016llx", (unsigned long long)groups_random(m->group->groups));
    list_append(member_bucket(m->group->groups, bytes_of(m->id)), &m->hash_link);
}

static struct member *member_create(struct group *g, const struct group_join *request)
{
    struct member *m = mem_zalloc(MEM_GROUP, sizeof(*m));
    m->group = g;
    list_init(&m->hash_link);
    list_init(&m->open_link);
    list_init(&m->session_link);
    list_init(&m->starved);
    holder_init(&m->holder, m);
    m->instance = text_copy(request->instance_id);
    m->host = text_copy((struct bytes){ 0 });
    list_append(&g->members, &m->link);
    g->member_count++;
    g->groups->stats.members++;
    member_name(m);
    return m;
}

/* What of [first, first+count) of gp is in the member's hand, as it says? */
static bool held(const struct group_join *request, const struct gp *gp, uint64_t offset)
{
    for (uint32_t i = 0; i < request->held_count; i++) {
        const struct group_range *r = &request->held[i];
        if (r->gp == gp->id && offset >= r->first && offset - r->first < r->count)
            return true;
    }
    return false;
}

struct returning {
    struct member *m;
    struct gp *gp;
    const struct group_join *request;
    uint64_t offsets[64];
    uint32_t count;
};

static void return_item(void *ctx, const struct progress_item *item)
{
    struct returning *r = ctx;
    if ((item->state & ITEM_STATE_MASK) == ITEM_OUT && (item->state & ITEM_APART) &&
        r->count < ARRAY_LEN(r->offsets) && !held(r->request, r->gp, item->offset))
        r->offsets[r->count++] = item->offset;
}

/* Takes back what is out with a member that came back, but for what it has in hand: the rest may never have
 * reached it. */
static void gp_take_back(struct member *m, struct gp *gp, const struct group_join *request)
{
    struct progress *p = gp->progress;
    const uint64_t position = progress_position(p);
    const uint64_t end = progress_next(p); /* what is out in the window is below it */
    struct returning apart = { .m = m, .gp = gp, .request = request };
    const uint32_t before = m->holder.in_flight;
    progress_each_item(p, return_item, &apart);
    for (uint32_t i = 0; i < apart.count; i++)
        progress_release(p, &m->holder, apart.offsets[i], 1);
    for (uint64_t offset = position; offset < end && progress_in_flight(p); offset++) {
        if (held(request, gp, offset) || progress_release(p, &m->holder, offset, 1) != SETTLE_OK)
            continue;
        if (gp->group->ordered) {
            gp_rewind(gp, offset); /* the rest went with it */
            break;
        }
    }
    if (m->holder.in_flight != before)
        gp_ready(gp);
    gp_touch(gp);
}

static void member_take_back(struct member *m, const struct group_join *request)
{
    struct group *g = m->group;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count && m->holder.in_flight; n++)
            gp_take_back(m, g->topics[i]->gps[n], request);
}

/* The handle of the connection that had it before. */
static void member_fence(struct member *m, const char *why)
{
    const struct groups_events *events = &m->group->groups->events;
    if (m->state != MEMBER_DETACHED && m->door)
        events->ended(events->ctx, m, ERR_MEMBER_FENCED, why);
    m->door = NULL;
}

/* An instance came back as a new process: the old one is dead, its place stays. */
static void member_take_over(struct member *m)
{
    member_fence(m, "another member has joined with this instance id");
    holder_end(&m->holder, HOLDER_DIED, member_killed, m);
    member_emptied(m);
    struct group *g = m->group;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++) {
            struct gp *gp = g->topics[i]->gps[n];
            if (gp->owner == m)
                gp_new_epoch(gp);
        }
    list_remove(&m->hash_link);
    member_name(m);
}

static void member_attach(struct member *m, const struct group_join *request)
{
    struct group *g = m->group;
    list_remove(&m->session_link);
    m->state = MEMBER_OK;
    m->draining = false;
    m->door = request->door;
    m->max_in_flight = request->max_in_flight ? request->max_in_flight : (uint32_t)g->settings.max_in_flight;
    m->assigned_due = true;
    text_free(m->host);
    m->host = text_copy(request->host);
    g->rebalance = true;
    g->generation++;
    g->active_ms = g->groups->clock->wall_ms;
    g->groups->stats.joins++;
    group_changed(g);
    member_opened(m);
}

enum error group_join(struct groups *groups, const struct group_join *request, struct member **out, char *why)
{
    struct group *g = group_find(groups, request->group);
    struct member *same = g && request->member_id.len ? member_find(groups, g, request->member_id) : NULL;
    struct member *instance = g && !same ? member_of_instance(g, request->instance_id) : NULL;
    struct member *m = same ? same : instance;
    const enum error error = join_check(groups, g, m, request, why);
    if (error)
        return error;
    if (!g) {
        g = group_create(groups, request->group, request->mode != GROUP_SHARED);
        state_note_group(g);
    }
    group_kind_take(g, false);
    if (same) {
        member_fence(m, "the member has come back on another connection");
        member_take_back(m, request);
    } else if (instance) {
        member_take_over(m);
    } else {
        m = member_create(g, request);
    }
    member_subscribe(m, request);
    member_attach(m, request);
    *out = m;
    return ERR_OK;
}
