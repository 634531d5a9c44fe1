/* SPDX-License-Identifier: Apache-2.0
 *
 * group/gp.c: a group's topics and partitions: where they begin, and what follows from a change.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

/* ---- one partition of a group ---- */

static void gp_hash_insert(struct groups *groups, struct gp *gp)
{
    if (groups->gp_count >= groups->gp_buckets) {
        const uint32_t room = groups->gp_buckets ? groups->gp_buckets * 2 : 256;
        struct gp **gps = mem_zalloc(MEM_GROUP, room * sizeof(*gps));
        for (uint32_t i = 0; i < groups->gp_buckets; i++)
            for (struct gp *p = groups->gps[i], *next; p; p = next) {
                next = p->hash_next;
                p->hash_next = gps[p->id & (room - 1)];
                gps[p->id & (room - 1)] = p;
            }
        mem_free(MEM_GROUP, groups->gps, groups->gp_buckets * sizeof(*gps));
        groups->gps = gps;
        groups->gp_buckets = room;
    }
    struct gp **bucket = &groups->gps[gp->id & (groups->gp_buckets - 1)];
    gp->hash_next = *bucket;
    *bucket = gp;
    groups->gp_count++;
}

struct gp *groups_gp(struct groups *groups, uint32_t id)
{
    struct gp *gp = groups->gp_buckets ? groups->gps[id & (groups->gp_buckets - 1)] : NULL;
    while (gp && gp->id != id)
        gp = gp->hash_next;
    return gp;
}

static struct gp *gp_create(struct group *g, struct group_topic *gt, uint32_t number, uint64_t position)
{
    struct gp *gp = mem_zalloc(MEM_GROUP, sizeof(*gp));
    gp->group = g;
    gp->in = gt;
    gp->number = number;
    do
        gp->id = ++g->groups->gp_id_next;
    while (gp->id == 0 || groups_gp(g->groups, gp->id));
    gp->epoch = gp->epoch_assigned = 1;
    gp->progress = progress_create(g->ordered, (uint32_t)g->settings.window_max, position);
    list_init(&gp->changed_link);
    list_init(&gp->dirty_link);
    list_init(&gp->starved_link);
    list_init(&gp->watch_link);
    list_init(&gp->give_ups);
    gp_hash_insert(g->groups, gp);
    gt->gps[number] = gp;
    g->partition_count++;
    return gp;
}

static void gp_watch(struct gp *gp)
{
    gp->topic = gp->in->watch->topic;
    gp->watch = gp->in->watch->partitions[gp->number];
    gp->partition = gp->watch->partition;
    list_append(&gp->watch->gps, &gp->watch_link);
}

/* Forgets who had it; tells doors of shared groups that it is gone for all. */
static void gp_lose_members(struct gp *gp)
{
    struct group *g = gp->group;
    const struct groups_events *events = &g->groups->events;
    if (g->groups->dying || !g->groups->store)
        return;
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (m->reserved == gp)
            m->reserved = NULL;
        if (g->ordered ? m != gp->owner : !member_wants(m, gp))
            continue;
        m->partitions -= m->partitions && !gp->moving;
        if (m->state != MEMBER_DETACHED && !gp->moving)
            events->revoked(events->ctx, m, gp);
    }
    g->moving -= gp->moving;
    gp->moving = false;
    events->gone(events->ctx, gp);
}

void gp_free(struct gp *gp)
{
    struct group *g = gp->group;
    struct groups *groups = g->groups;
    gp_lose_members(gp);
    while (!list_empty(&gp->give_ups))
        give_up_free(gp, CONTAINER_OF(gp->give_ups.next, struct give_up, link));
    gp_uncommit(gp);
    progress_free(gp->progress);
    groups->items -= gp->items;
    groups->stats.in_flight -= gp->in_flight;
    g->in_flight -= gp->in_flight;
    g->partition_count--;
    struct gp **link = &groups->gps[gp->id & (groups->gp_buckets - 1)];
    while (*link != gp)
        link = &(*link)->hash_next;
    *link = gp->hash_next;
    groups->gp_count--;
    list_remove(&gp->changed_link);
    list_remove(&gp->dirty_link);
    list_remove(&gp->starved_link);
    list_remove(&gp->watch_link);
    gp->in->gps[gp->number] = NULL;
    /* Its events were somebody's: there is room now. */
    LIST_FOR_EACH (node, &g->members)
        member_opened(CONTAINER_OF(node, struct member, link));
    mem_free(MEM_GROUP, gp, sizeof(*gp));
}

/* ---- what follows from a change ---- */

void gp_changed(struct gp *gp)
{
    if (!list_linked(&gp->changed_link))
        list_append(&gp->group->groups->changed, &gp->changed_link);
}

void gp_ready(struct gp *gp)
{
    gp->ready_due = true;
    gp_changed(gp);
}

void gp_starve(struct gp *gp, struct list *list)
{
    list_remove(&gp->starved_link);
    list_append(list, &gp->starved_link);
}

void starved_wake(struct list *list)
{
    for (struct list *node; (node = list_pop(list));)
        gp_ready(CONTAINER_OF(node, struct gp, starved_link));
}

void gp_touch(struct gp *gp)
{
    struct group *g = gp->group;
    struct groups *groups = g->groups;
    const uint32_t items = progress_items(gp->progress), in_flight = progress_in_flight(gp->progress);
    const bool full = groups->items >= groups->options.items_max;
    groups->items += (uint64_t)items - gp->items;
    groups->stats.in_flight += (uint64_t)in_flight - gp->in_flight;
    g->in_flight += in_flight - gp->in_flight;
    gp->items = items;
    gp->in_flight = in_flight;
    if (full && groups->items < groups->options.items_max)
        starved_wake(&groups->starved);
    if (!list_linked(&gp->dirty_link) && progress_dirty(gp->progress))
        list_append(&groups->dirty, &gp->dirty_link);
    if (gp->moving && !in_flight)
        gp_changed(gp);
    const int64_t deadline = progress_deadline(gp->progress), due = progress_due(gp->progress);
    if (deadline != INT64_MAX)
        group_wake_at(g, deadline);
    if (due != INT64_MAX && due > groups->clock->wall_ms)
        group_wake_at(g, groups_mono_ms(groups) + (due - groups->clock->wall_ms));
}

void gp_rewind(struct gp *gp, uint64_t offset)
{
    gp->epoch++;
    gp->rewinds[gp->rewind_count++ % ARRAY_LEN(gp->rewinds)] = (struct gp_rewind){ gp->epoch, offset };
    if (!gp->rewound_due || offset < gp->rewound_offset)
        gp->rewound_offset = offset;
    gp->rewound_due = true;
    gp_ready(gp);
}

/* ---- topics ---- */

struct group_topic *group_topic_find(const struct group *g, uint64_t id)
{
    for (uint32_t i = 0; i < g->topic_slots; i++)
        if (g->topics[i] && g->topics[i]->id == id)
            return g->topics[i];
    return NULL;
}

static struct group_topic *group_topic_add(struct group *g, uint64_t id)
{
    uint32_t slot = 0;
    while (slot < g->topic_slots && g->topics[slot])
        slot++;
    if (slot == g->topic_slots) {
        const uint32_t slots = g->topic_slots ? g->topic_slots * 2 : 4;
        g->topics = mem_realloc(MEM_GROUP, g->topics, slot * sizeof(*g->topics), slots * sizeof(*g->topics));
        memset(g->topics + slot, 0, (slots - slot) * sizeof(*g->topics));
        g->topic_slots = slots;
    }
    struct group_topic *gt = mem_zalloc(MEM_GROUP, sizeof(*gt));
    gt->id = id;
    gt->slot = slot;
    g->topics[slot] = gt;
    return gt;
}

static void group_topic_size(struct group_topic *gt, uint32_t count)
{
    gt->gps = mem_realloc(MEM_GROUP, gt->gps, gt->count * sizeof(*gt->gps), count * sizeof(*gt->gps));
    if (count > gt->count)
        memset(gt->gps + gt->count, 0, (count - gt->count) * sizeof(*gt->gps));
    gt->count = count;
}

void group_topic_drop(struct group *g, struct group_topic *gt)
{
    for (uint32_t n = 0; n < gt->count; n++)
        if (gt->gps[n])
            gp_free(gt->gps[n]);
    mem_free(MEM_GROUP, gt->gps, gt->count * sizeof(*gt->gps));
    gt->gps = NULL;
    gt->count = 0;
    if (gt->watch)
        watch_release(g->groups, gt->watch);
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        if (gt->slot / 64 < m->wants_words)
            m->wants[gt->slot / 64] &= ~(UINT64_C(1) << gt->slot % 64);
    }
    g->topics[gt->slot] = NULL;
    mem_free(MEM_GROUP, gt, sizeof(*gt));
}

/* Was the topic made after the group had asked for it? Then nothing of it is skipped. */
static bool group_topic_new(const struct group *g, const struct topic *topic)
{
    for (uint32_t i = 0; i < g->subscription_count; i++)
        if (topic->id >= g->subscriptions[i].since &&
            subscription_matches(g->subscriptions[i].pattern, topic))
            return true;
    return false;
}

static enum group_reset group_topic_reset(const struct group *g, const struct topic *topic,
                                          enum group_reset reset)
{
    if (g->internal || g->kafka || group_topic_new(g, topic))
        return GROUP_RESET_START; /* a Kafka group's means nothing before it commits one */
    if (reset != GROUP_RESET_DEFAULT)
        return reset;
    return g->settings.offset_reset == OFFSET_RESET_START ? GROUP_RESET_START
           : g->settings.offset_reset == OFFSET_RESET_END ? GROUP_RESET_END
                                                          : GROUP_RESET_ERROR;
}

enum error groups_partitions_fit(const struct groups *groups, uint64_t more, char *why)
{
    if (groups->gp_count + more <= groups->options.partitions_max)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES,
             "all groups together have positions in %u partitions of at most %u: delete groups, or raise "
             "groups.partitions.max",
             groups->gp_count, groups->options.partitions_max);
    return ERR_LIMIT_REACHED;
}

enum error group_topic_check(const struct group *g, const struct topic *topic, enum group_reset reset,
                             char *why)
{
    if (group_topic_reset(g, topic, reset) != GROUP_RESET_ERROR)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES,
             "group %s has no position in topic %.100s, and offset.reset is error: seek first, or join with "
             "start or end",
             g->name, topic->name);
    return ERR_POSITION_UNKNOWN;
}

static void group_topic_fill(struct group *g, struct group_topic *gt, enum group_reset reset)
{
    const uint32_t from = gt->count;
    group_topic_size(gt, gt->watch->count);
    for (uint32_t n = from; n < gt->count; n++) {
        const struct partition *p = gt->watch->partitions[n]->partition;
        struct gp *gp = gp_create(g, gt, n, reset == GROUP_RESET_END ? partition_end(p) : partition_start(p));
        gp_watch(gp);
        state_note_position(gp);
    }
}

enum error group_topic_make(struct group *g, struct topic *topic, enum group_reset reset,
                            struct group_topic **out, char *why)
{
    *out = group_topic_find(g, topic->id);
    if (*out)
        return ERR_OK;
    enum error error = group_topic_check(g, topic, reset, why);
    if (!error)
        error = groups_partitions_fit(g->groups, topic->partition_count, why);
    if (error)
        return error;
    struct group_topic *gt = group_topic_add(g, topic->id);
    gt->watch = watch_topic(g->groups, topic);
    group_topic_fill(g, gt, group_topic_reset(g, topic, reset));
    *out = gt;
    return ERR_OK;
}

bool group_topic_grow(struct group *g, struct group_topic *gt)
{
    if (gt->watch->count < gt->watch->topic->partition_count)
        watch_grow(g->groups, gt->watch);
    if (gt->count == gt->watch->count)
        return false;
    group_topic_fill(g, gt, GROUP_RESET_START);
    return true;
}

/* ---- after a restart ---- */

struct gp *group_gp_restore(struct group *g, uint64_t topic, uint32_t number)
{
    struct group_topic *gt = group_topic_find(g, topic);
    if (!gt)
        gt = group_topic_add(g, topic);
    if (number >= gt->count)
        group_topic_size(gt, number + 1);
    return gt->gps[number] ? gt->gps[number] : gp_create(g, gt, number, 0);
}

/* What is stored may lie outside of what the partition has: retention went on, or data was restored. */
static void gp_clamp(struct gp *gp)
{
    const uint64_t start = partition_start(gp->partition), end = partition_end(gp->partition);
    if (gp->group->kafka)
        return; /* its members look after that */
    if (progress_position(gp->progress) > end) {
        diag(DIAG_WARN, "group", "a group's position was past the end of its partition: moved to the end",
             DIAG_KS("group", gp->group->name), DIAG_KS("topic", gp->topic->name),
             DIAG_KU("partition", gp->number), DIAG_KU("position", progress_position(gp->progress)),
             DIAG_KU("end", end));
        progress_seek(gp->progress, end);
        state_note_position(gp);
    } else if (progress_position(gp->progress) < start) {
        progress_truncate(gp->progress, start);
    }
}

/* Dead letters that were written, or events that were settled otherwise, before the restart. */
static void gp_prune_give_ups(struct gp *gp)
{
    LIST_FOR_EACH_SAFE (node, &gp->give_ups) {
        struct give_up *u = CONTAINER_OF(node, struct give_up, link);
        struct progress_item item;
        if (!progress_find_item(gp->progress, u->offset, &item) ||
            (item.state & ITEM_STATE_MASK) != ITEM_GIVING_UP)
            give_up_free(gp, u);
    }
}

bool group_topic_attach(struct group *g, struct group_topic *gt)
{
    struct topic *topic = catalog_by_id(g->groups->store, gt->id);
    if (!topic || topic->deleted)
        return false;
    gt->watch = watch_topic(g->groups, topic);
    while (gt->count > gt->watch->count) {
        if (gt->gps[gt->count - 1])
            gp_free(gt->gps[gt->count - 1]);
        group_topic_size(gt, gt->count - 1);
    }
    group_topic_size(gt, gt->watch->count);
    for (uint32_t n = 0; n < gt->count; n++) {
        if (!gt->gps[n]) {
            gp_create(g, gt, n, partition_start(gt->watch->partitions[n]->partition));
            state_note_position(gt->gps[n]);
        }
        struct gp *gp = gt->gps[n];
        gp_watch(gp);
        gp_clamp(gp);
        gp_prune_give_ups(gp);
        gp_touch(gp);
        gp_ready(gp);
    }
    return true;
}

enum error group_gp_make(struct group *g, struct topic *topic, uint32_t partition, struct gp **out, char *why)
{
    struct group_topic *gt;
    if (topic->internal) {
        snprintf(why, GROUP_WHY_BYTES, "topic %.100s belongs to the broker: groups cannot consume it",
                 topic->name);
        return ERR_TOPIC_INTERNAL;
    }
    if (partition >= topic->partition_count) {
        snprintf(why, GROUP_WHY_BYTES, "topic %.100s has partitions 0 to %u", topic->name,
                 topic->partition_count - 1);
        return ERR_PARTITION_NOT_FOUND;
    }
    const enum error error = group_topic_make(g, topic, GROUP_RESET_DEFAULT, &gt, why);
    if (error)
        return error;
    group_topic_grow(g, gt);
    *out = gt->gps[partition];
    return ERR_OK;
}
