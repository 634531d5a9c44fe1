/* SPDX-License-Identifier: Apache-2.0
 *
 * group/watch.c: partitions that groups consume are watched once, for all groups: a waiter, and when what was
 * appended.
 */
#include "group/group_own.h"

static void watch_woken(struct waiter *waiter)
{
    struct partition_watch *w = CONTAINER_OF(waiter, struct partition_watch, waiter);
    const struct groups_events *events = &w->groups->events;
    if (partition_topic(w->partition)->deleted)
        return; /* groups_turn_begin() sees that the catalogue has moved */
    append_times_note(&w->times, partition_end(w->partition), w->groups->clock->wall_ms);
    partition_wait(w->partition, &w->waiter);
    /* Not through gp_changed(): a delivery need not wait for the next turn. */
    LIST_FOR_EACH_SAFE (node, &w->gps) {
        struct gp *gp = CONTAINER_OF(node, struct gp, watch_link);
        if (gp->group->ordered ? gp->owner && !gp->moving : gp->group->member_count)
            events->ready(events->ctx, gp);
    }
}

static struct partition_watch *watch_partition(struct groups *groups, struct partition *p)
{
    struct partition_watch *w = mem_zalloc(MEM_GROUP, sizeof(*w));
    w->groups = groups;
    w->partition = p;
    list_init(&w->gps);
    waiter_init(&w->waiter, watch_woken);
    /* Of what was there before, the last append's time is a lower bound of the age. */
    append_times_note(&w->times, partition_start(p), 0);
    append_times_note(&w->times, partition_end(p), partition_append_ms(p));
    partition_wait(p, &w->waiter);
    return w;
}

void watch_grow(struct groups *groups, struct topic_watch *w)
{
    const uint32_t count = w->topic->partition_count;
    w->partitions = mem_realloc(MEM_GROUP, w->partitions, w->count * sizeof(*w->partitions),
                                count * sizeof(*w->partitions));
    while (w->count < count) {
        w->partitions[w->count] = watch_partition(groups, w->topic->partitions[w->count]);
        w->count++;
    }
}

struct topic_watch *watch_topic(struct groups *groups, struct topic *topic)
{
    struct list *bucket = &groups->watches[topic->id % WATCH_BUCKETS];
    LIST_FOR_EACH (node, bucket) {
        struct topic_watch *w = CONTAINER_OF(node, struct topic_watch, link);
        if (w->topic == topic) {
            w->users++;
            return w;
        }
    }
    struct topic_watch *w = mem_zalloc(MEM_GROUP, sizeof(*w));
    w->topic = topic;
    w->users = 1;
    topic_hold(topic);
    list_append(bucket, &w->link);
    watch_grow(groups, w);
    return w;
}

void watch_release(struct groups *groups, struct topic_watch *w)
{
    if (--w->users)
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        waiter_cancel(&w->partitions[i]->waiter);
        CHECK(list_empty(&w->partitions[i]->gps));
        mem_free(MEM_GROUP, w->partitions[i], sizeof(*w->partitions[i]));
    }
    mem_free(MEM_GROUP, w->partitions, w->count * sizeof(*w->partitions));
    list_remove(&w->link);
    topic_release(groups->store, w->topic);
    mem_free(MEM_GROUP, w, sizeof(*w));
}
