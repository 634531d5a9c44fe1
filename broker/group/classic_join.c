/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic_join.c: joining a Kafka group: whether it may, and as whom: a new member, one that is there
 * already, or an instance that takes over.
 *
 * Everything is checked before anything changes.
 */
#include <stdio.h>

#include "group/classic_own.h"

/* ---- may it? ---- */

/* Kafka clients call their groups what they like. */
static bool name_is_sane(struct bytes name)
{
    bool sane = name.len && name.len <= GROUP_NAME_MAX && !topic_name_internal(name);
    for (uint32_t i = 0; i < name.len && sane; i++)
        sane = name.at[i] >= ' ' && name.at[i] != 0x7f;
    return sane;
}

/* The group, when there is one (NULL: it would be new) and its kind is right, or can be made so. */
static enum classic_result find_group(struct groups *groups, struct bytes name, struct group **g, char *why)
{
    *g = NULL;
    if (!name_is_sane(name)) {
        snprintf(why, GROUP_WHY_BYTES,
                 "a group's name has 1 to %d bytes, without control characters and not '__' at the start",
                 GROUP_NAME_MAX);
        return CLASSIC_NAME_INVALID;
    }
    *g = group_find(groups, name);
    /* What is noted would pile up. */
    if (groups->blocked && (!*g || !(*g)->kafka)) {
        snprintf(why, GROUP_WHY_BYTES, "the journal has no room to remember a new group just now");
        return CLASSIC_FULL;
    }
    if (!*g)
        return groups_limit(groups, why) == ERR_OK ? CLASSIC_OK : CLASSIC_FULL;
    return group_kind_check(*g, true, why) == ERR_OK ? CLASSIC_OK : CLASSIC_KIND_MISMATCH;
}

static struct group *take_group(struct groups *groups, struct bytes name, struct group *g)
{
    if (!g) {
        g = group_create(groups, name, true);
        g->kafka = true;
        state_note_group(g);
        group_wake_at(g, groups_mono_ms(groups) + 1); /* arms it for its expiry */
    }
    group_kind_take(g, true);
    return g;
}

static void classic_fired(struct timer *timer)
{
    struct classic *c = CONTAINER_OF(timer, struct classic, timer);
    c->due = true;
    group_changed(c->group);
}

static struct classic *take_classic(struct group *g)
{
    if (g->classic)
        return g->classic;
    struct classic *c = mem_zalloc(MEM_GROUP, sizeof(*c));
    c->group = g;
    list_init(&c->members);
    timer_init(&c->timer, classic_fired);
    return g->classic = c;
}

static bool text_is_sane(struct bytes text, uint32_t most)
{
    return text.len <= most && (!text.len || !memchr(text.at, 0, text.len));
}

static uint64_t join_bytes(const struct classic_join *r)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->protocol_count; i++)
        bytes += (uint64_t)r->protocols[i].name.len + r->protocols[i].metadata.len;
    return bytes;
}

static enum classic_result check_fields(const struct classic_join *r)
{
    if (r->session_ms < CLASSIC_SESSION_MIN_MS || r->session_ms > CLASSIC_SESSION_MAX_MS)
        return CLASSIC_SESSION_INVALID;
    if (!r->protocol_type.len || !r->protocol_count)
        return CLASSIC_PROTOCOL_MISMATCH;
    bool sane = r->protocol_count <= CLASSIC_PROTOCOLS_MAX && join_bytes(r) <= CLASSIC_MEMBER_BYTES_MAX &&
                text_is_sane(r->protocol_type, CLASSIC_TEXT_MAX) &&
                text_is_sane(r->instance_id, CLASSIC_TEXT_MAX);
    for (uint32_t i = 0; i < r->protocol_count && sane; i++)
        sane = r->protocols[i].name.len && text_is_sane(r->protocols[i].name, CLASSIC_TEXT_MAX);
    return sane ? CLASSIC_OK : CLASSIC_REQUEST_INVALID;
}

static bool join_supported(const struct classic *c, const struct classic_join *r,
                           const struct classic_member *m)
{
    const uint32_t others = c->group->member_count - (m && !m->pending);
    if (!others)
        return true;
    if (!text_is(c->protocol_type, r->protocol_type))
        return false;
    for (uint32_t i = 0; i < r->protocol_count; i++)
        if (classic_supported(c, r->protocols[i].name, m))
            return true;
    return false;
}

/* As whom does it come? *m NULL: a new member. */
static enum classic_result join_as(const struct classic *c, const struct classic_join *r,
                                   struct classic_member **m)
{
    *m = NULL;
    if (r->instance_id.len) {
        *m = c ? classic_find_instance(c, r->instance_id) : NULL;
        if (!r->member_id.len)
            return CLASSIC_OK;
        if (!*m)
            return CLASSIC_MEMBER_UNKNOWN;
        return text_is((*m)->id, r->member_id) ? CLASSIC_OK : CLASSIC_FENCED;
    }
    if (!r->member_id.len)
        return CLASSIC_OK;
    *m = c ? classic_find(c, r->member_id) : NULL;
    return *m ? CLASSIC_OK : CLASSIC_MEMBER_UNKNOWN;
}

static enum classic_result check_room(const struct groups *groups, const struct classic *c,
                                      const struct classic_join *r, const struct classic_member *m, char *why)
{
    const uint32_t count = c ? c->group->member_count + c->pending : 0;
    const uint64_t more = join_bytes(r), less = m ? m->bytes : 0;
    if (!m && count >= groups->options.members_max) {
        snprintf(why, GROUP_WHY_BYTES,
                 "group %.100s has %u members of at most %u: stop some, or raise group.members.max",
                 c->group->name, count, groups->options.members_max);
        return CLASSIC_FULL;
    }
    if ((c ? c->bytes : 0) + more - less > CLASSIC_GROUP_BYTES_MAX ||
        groups->classic_bytes + more - less > CLASSIC_BYTES_MAX) {
        snprintf(why, GROUP_WHY_BYTES, "what members of Kafka groups subscribe with takes %llu bytes already",
                 (unsigned long long)groups->classic_bytes);
        return CLASSIC_FULL;
    }
    return CLASSIC_OK;
}

/* ---- joining ---- */

static void session_fired(struct timer *timer)
{
    struct classic_member *m = CONTAINER_OF(timer, struct classic_member, session);
    CHECK(!m->join && !m->sync);
    if (!m->pending)
        m->group->groups->stats.sessions_expired++;
    classic_remove(m, CLASSIC_MEMBER_UNKNOWN);
}

static char *member_id_make(struct groups *groups, struct bytes client)
{
    char id[CLASSIC_ID_MAX + 1];
    uint32_t n = 0;
    for (; n < client.len && n < CLASSIC_CLIENT_MAX; n++)
        id[n] = (char)(client.at[n] >= ' ' && client.at[n] < 0x7f ? client.at[n] : '?');
    snprintf(id + n, sizeof(id) - n, "-%016llx%016llx", (unsigned long long)groups_random(groups),
             (unsigned long long)groups_random(groups));
    return text_copy(bytes_of(id));
}

static struct classic_member *member_create(struct classic *c, const struct classic_join *r)
{
    struct classic_member *m = mem_zalloc(MEM_GROUP, sizeof(*m));
    m->group = c->group;
    m->pending = true;
    c->pending++;
    m->id = member_id_make(c->group->groups, r->client);
    m->instance = text_copy(r->instance_id);
    m->client = text_copy((struct bytes){ 0 });
    m->host = text_copy((struct bytes){ 0 });
    m->session_ms = r->session_ms;
    timer_init(&m->session, session_fired);
    list_append(&c->members, &m->link);
    return m;
}

static char *text_clean(struct bytes text, uint32_t most)
{
    char clean[CLASSIC_TEXT_MAX + 1];
    uint32_t n = 0;
    for (; n < text.len && n < most; n++)
        clean[n] = (char)(text.at[n] >= ' ' && text.at[n] != 0x7f ? text.at[n] : '?');
    return text_copy((struct bytes){ (const uint8_t *)clean, n });
}

/* Takes over what it says of itself. */
static void member_describe(struct classic_member *m, const struct classic_join *r)
{
    text_free(m->client);
    text_free(m->host);
    m->client = text_clean(r->client, CLASSIC_CLIENT_MAX);
    m->host = text_clean(r->host, CLASSIC_TEXT_MAX);
    m->session_ms = r->session_ms;
    m->rebalance_ms =
        r->rebalance_ms && r->rebalance_ms <= CLASSIC_SESSION_MAX_MS ? r->rebalance_ms : r->session_ms;
    classic_free_protocols(m);
    m->protocols = mem_alloc(MEM_GROUP, r->protocol_count * sizeof(*m->protocols));
    m->protocol_count = r->protocol_count;
    for (uint32_t i = 0; i < r->protocol_count; i++)
        m->protocols[i] = (struct classic_protocol){ bytes_copy(r->protocols[i].name),
                                                     bytes_copy(r->protocols[i].metadata) };
    m->bytes = join_bytes(r);
    m->group->classic->bytes += m->bytes;
    m->group->groups->classic_bytes += m->bytes;
}

static bool member_same(const struct classic_member *m, const struct classic_join *r)
{
    bool same = m->protocol_count == r->protocol_count;
    for (uint32_t i = 0; i < r->protocol_count && same; i++)
        same = bytes_same(m->protocols[i].name, r->protocols[i].name) &&
               bytes_same(m->protocols[i].metadata, r->protocols[i].metadata);
    return same;
}

static void member_enter(struct classic_member *m)
{
    struct group *g = m->group;
    m->pending = false;
    g->classic->pending--;
    g->member_count++;
    g->groups->stats.members++;
    g->groups->stats.joins++;
}

/* The join waits for the next generation, which begins to be prepared. */
static enum classic_result member_park(struct classic_member *m, struct classic_wait *wait)
{
    struct classic *c = m->group->classic;
    classic_answer(&m->join, CLASSIC_REBALANCING, NULL); /* asked again, elsewhere */
    classic_answer(&m->sync, CLASSIC_REBALANCING, NULL);
    timer_stop(m->group->groups->timers, &m->session);
    wait->member = m;
    m->join = wait;
    if (c->state != CLASSIC_PREPARING)
        classic_prepare(c);
    group_changed(m->group);
    return CLASSIC_PARKED;
}

static enum classic_result join_new(struct classic *c, const struct classic_join *r,
                                    struct classic_wait *wait, const struct classic_member **out)
{
    struct classic_member *m = member_create(c, r);
    if (r->id_first && !r->instance_id.len) {
        m->knows_id = true;
        classic_touch(m);
        *out = m;
        return CLASSIC_MEMBER_ID_REQUIRED;
    }
    member_describe(m, r);
    member_enter(m);
    return member_park(m, wait);
}

/* An instance came back as a new process: its place stays, and when nothing else changes so does the
 * generation. */
static enum classic_result join_replace(struct classic_member *m, const struct classic_join *r,
                                        struct classic_wait *wait)
{
    struct classic *c = m->group->classic;
    classic_answer(&m->join, CLASSIC_FENCED, NULL);
    classic_answer(&m->sync, CLASSIC_FENCED, NULL);
    text_free(m->id);
    m->id = member_id_make(m->group->groups, r->client);
    member_describe(m, r);
    m->group->groups->stats.joins++;
    if (c->state != CLASSIC_STABLE || !text_is(c->protocol, classic_choose(c)))
        return member_park(m, wait);
    classic_touch(m);
    return CLASSIC_OK;
}

static enum classic_result join_again(struct classic_member *m, const struct classic_join *r,
                                      struct classic_wait *wait)
{
    struct classic *c = m->group->classic;
    /* Its answer may have been lost; and who leads asks for a rebalance by joining. */
    const bool same = member_same(m, r);
    const bool stays = c->state == CLASSIC_COMPLETING ? same
                       : c->state == CLASSIC_STABLE   ? same && c->leader != m
                                                      : false;
    if (stays) {
        classic_touch(m);
        return CLASSIC_OK;
    }
    const bool pending = m->pending;
    member_describe(m, r);
    if (pending)
        member_enter(m);
    return member_park(m, wait);
}

enum classic_result classic_join(struct groups *groups, const struct classic_join *request,
                                 struct classic_wait *wait, const struct classic_member **out, char *why)
{
    struct group *g;
    struct classic_member *m = NULL;
    why[0] = 0;
    enum classic_result result = find_group(groups, request->group, &g, why);
    struct classic *c = g ? g->classic : NULL;
    if (result == CLASSIC_OK)
        result = check_fields(request);
    if (result == CLASSIC_OK)
        result = join_as(c, request, &m);
    if (result == CLASSIC_OK && c && !join_supported(c, request, m))
        result = CLASSIC_PROTOCOL_MISMATCH;
    if (result == CLASSIC_OK)
        result = check_room(groups, c, request, m, why);
    if (result != CLASSIC_OK)
        return result;

    g = take_group(groups, request->group, g);
    c = take_classic(g);
    if (!c->protocol_type || g->member_count == (m && !m->pending)) {
        text_free(c->protocol_type);
        c->protocol_type = text_copy(request->protocol_type);
    }
    if (!m)
        return join_new(c, request, wait, out);
    *out = m;
    return request->instance_id.len && !request->member_id.len ? join_replace(m, request, wait)
                                                               : join_again(m, request, wait);
}

enum classic_result classic_commit(struct groups *groups, const struct classic_who *who, struct group **out,
                                   char *why)
{
    struct group *g;
    why[0] = 0;
    const enum classic_result result = find_group(groups, who->group, &g, why);
    if (result != CLASSIC_OK)
        return result;
    const bool alone = who->generation < 0 && !who->member_id.len && !who->instance_id.len;
    if (alone && g && g->member_count)
        return CLASSIC_MEMBER_UNKNOWN;
    if (!alone && g && g->kafka && g->member_count) {
        const enum classic_result speaks = classic_speaks(groups, who);
        if (speaks != CLASSIC_OK)
            return speaks;
        if (g->classic->state == CLASSIC_COMPLETING)
            return CLASSIC_REBALANCING;
    } else if (!alone) {
        return g ? CLASSIC_MEMBER_UNKNOWN : CLASSIC_GENERATION_STALE;
    }
    *out = take_group(groups, who->group, g);
    return CLASSIC_OK;
}
