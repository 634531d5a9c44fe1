/* SPDX-License-Identifier: Apache-2.0
 *
 * group/wants.c: which topics a member wants, and a group remembers: names and patterns.
 */
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

/* ---- texts ---- */

bool text_is(const char *text, struct bytes other)
{
    return strlen(text) == other.len && (!other.len || memcmp(text, other.at, other.len) == 0);
}

char *text_copy(struct bytes text)
{
    char *copy = mem_alloc(MEM_GROUP, text.len + 1);
    if (text.len)
        memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    return copy;
}

void text_free(char *text)
{
    if (text)
        mem_free(MEM_GROUP, text, strlen(text) + 1);
}

/* ---- what it wants ---- */

bool member_wants(const struct member *m, const struct gp *gp)
{
    const uint32_t slot = gp->in->slot;
    return slot / 64 < m->wants_words && (m->wants[slot / 64] >> slot % 64 & 1);
}

static void member_want(struct member *m, const struct group_topic *gt)
{
    const uint32_t word = gt->slot / 64;
    if (word >= m->wants_words) {
        m->wants = mem_realloc(MEM_GROUP, m->wants, m->wants_words * sizeof(*m->wants),
                               (word + 1) * sizeof(*m->wants));
        memset(m->wants + m->wants_words, 0, (word + 1 - m->wants_words) * sizeof(*m->wants));
        m->wants_words = word + 1;
    }
    m->wants[word] |= UINT64_C(1) << gt->slot % 64;
}

bool is_pattern(struct bytes text)
{
    return memchr(text.at, '*', text.len) || memchr(text.at, '?', text.len);
}

static bool ends_in_dlq(struct bytes name)
{
    return name.len >= 4 && memcmp(name.at + name.len - 4, ".dlq", 4) == 0;
}

/* A pattern means dead letters only when it says so: `orders.*` must not bring a group its own back. */
bool subscription_matches(const char *pattern, const struct topic *topic)
{
    const struct bytes name = { (const uint8_t *)topic->name, topic->name_len };
    const struct bytes text = bytes_of(pattern);
    if (!is_pattern(text))
        return text_is(pattern, name);
    return !topic->internal && (!ends_in_dlq(name) || ends_in_dlq(text)) && name_matches(text, name);
}

static bool member_matches(const struct member *m, const struct topic *topic)
{
    for (uint32_t i = 0; i < m->topic_count; i++)
        if (subscription_matches(m->topics[i], topic))
            return true;
    return false;
}

/* A topic that came: those who asked for it before get it, from its start. */
void members_meet_topic(struct group *g, struct topic *topic)
{
    char why[GROUP_WHY_BYTES];
    struct group_topic *gt = NULL;
    bool wanted = false;
    for (uint32_t i = 0; i < g->subscription_count && !wanted; i++)
        wanted = g->subscriptions[i].members && subscription_matches(g->subscriptions[i].pattern, topic);
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (!wanted || !member_matches(m, topic))
            continue;
        if (!gt && group_topic_make(g, topic, GROUP_RESET_START, &gt, why) != ERR_OK) {
            diag(DIAG_WARN, "group", "a new topic cannot be consumed", DIAG_KS("group", g->name),
                 DIAG_KS("topic", topic->name), DIAG_KS("error", why));
            return;
        }
        member_want(m, gt);
        g->rebalance = true;
        group_changed(g);
    }
    members_count(g);
}

void members_count(struct group *g)
{
    if (g->ordered)
        return;
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        m->partitions = 0;
        for (uint32_t i = 0; i < g->topic_slots; i++)
            if (g->topics[i] && g->topics[i]->count && member_wants(m, g->topics[i]->gps[0]))
                m->partitions += g->topics[i]->count;
    }
}

/* ---- subscriptions of the group ---- */

static struct group_subscription *subscription_find(struct group *g, struct bytes pattern)
{
    for (uint32_t i = 0; i < g->subscription_count; i++)
        if (text_is(g->subscriptions[i].pattern, pattern))
            return &g->subscriptions[i];
    return NULL;
}

struct group_subscription *subscription_add(struct group *g, struct bytes pattern, uint64_t since)
{
    struct group_subscription *s = subscription_find(g, pattern);
    if (s)
        return s;
    if (g->subscription_count == SUBSCRIPTIONS_MAX) {
        /* The oldest that nobody uses is forgotten; join_check() has seen to it that there is one. */
        uint32_t i = 0;
        while (i + 1 < g->subscription_count && g->subscriptions[i].members)
            i++;
        text_free(g->subscriptions[i].pattern);
        memmove(g->subscriptions + i, g->subscriptions + i + 1,
                (--g->subscription_count - i) * sizeof(*g->subscriptions));
    }
    if (g->subscription_count == g->subscription_room) {
        const uint32_t room = g->subscription_room ? g->subscription_room * 2 : 4;
        g->subscriptions =
            mem_realloc(MEM_GROUP, g->subscriptions, g->subscription_room * sizeof(*g->subscriptions),
                        room * sizeof(*g->subscriptions));
        g->subscription_room = room;
    }
    s = &g->subscriptions[g->subscription_count++];
    *s = (struct group_subscription){ .pattern = text_copy(pattern), .since = since };
    return s;
}

static void member_name_topics(struct member *m, const struct group_join *request)
{
    struct group *g = m->group;
    m->topic_count = request->topic_count;
    m->topics = mem_alloc(MEM_GROUP, m->topic_count * sizeof(*m->topics));
    for (uint32_t i = 0; i < m->topic_count; i++) {
        struct group_subscription *s = subscription_find(g, request->topics[i]);
        if (!s) {
            s = subscription_add(g, request->topics[i], catalog_next_id(g->groups->store));
            state_note_subscription(g, s);
        }
        s->members++;
        m->topics[i] = text_copy(request->topics[i]);
    }
}

void member_unsubscribe(struct member *m)
{
    for (uint32_t i = 0; i < m->topic_count; i++) {
        struct group_subscription *s = subscription_find(m->group, bytes_of(m->topics[i]));
        if (s && s->members)
            s->members--;
        text_free(m->topics[i]);
    }
    mem_free(MEM_GROUP, m->topics, m->topic_count * sizeof(*m->topics));
    m->topics = NULL;
    m->topic_count = 0;
}

static bool member_subscribed_to(const struct member *m, const struct group_join *request)
{
    if (m->topic_count != request->topic_count)
        return false;
    for (uint32_t i = 0; i < m->topic_count; i++)
        if (!text_is(m->topics[i], request->topics[i]))
            return false;
    return true;
}

/* Calls `each` for every topic that `text` names or matches, until it says no. */
enum error each_topic(struct groups *groups, struct bytes text,
                      enum error (*each)(void *ctx, struct topic *topic), void *ctx)
{
    char pattern[TOPIC_NAME_MAX + 1];
    enum error error = ERR_OK;
    snprintf(pattern, sizeof(pattern), "%.*s", (int)text.len, (const char *)text.at);
    if (!is_pattern(text)) {
        struct topic *topic = catalog_find(groups->store, text);
        return topic ? each(ctx, topic) : ERR_OK;
    }
    struct bytes after = { 0 };
    for (struct topic *t; !error && (t = catalog_next(groups->store, after));) {
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
        if (subscription_matches(pattern, t))
            error = each(ctx, t);
    }
    return error;
}

struct wanting {
    struct member *m;
    enum group_reset reset;
};

static enum error member_want_topic(void *ctx, struct topic *topic)
{
    struct wanting *w = ctx;
    struct group_topic *gt;
    char why[GROUP_WHY_BYTES];
    const enum error error = group_topic_make(w->m->group, topic, w->reset, &gt, why);
    CHECK(error == ERR_OK); /* join_check() has looked */
    group_topic_grow(w->m->group, gt);
    member_want(w->m, gt);
    return ERR_OK;
}

/* Nobody is told: it joins just now, and learns all that it has. */
static void member_rewant(struct member *m, enum group_reset reset)
{
    struct wanting w = { m, reset };
    mem_free(MEM_GROUP, m->wants, m->wants_words * sizeof(*m->wants));
    m->wants = NULL;
    m->wants_words = 0;
    for (uint32_t i = 0; i < m->topic_count; i++)
        each_topic(m->group->groups, bytes_of(m->topics[i]), member_want_topic, &w);
    members_count(m->group);
}

void member_subscribe(struct member *m, const struct group_join *request)
{
    if (member_subscribed_to(m, request))
        return;
    member_unsubscribe(m);
    member_name_topics(m, request);
    member_rewant(m, request->reset);
}
