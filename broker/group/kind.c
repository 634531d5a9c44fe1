/* SPDX-License-Identifier: Apache-2.0
 *
 * group/kind.c: native groups and those of Kafka clients: one coordinator, one state, two kinds of members.
 *
 * A group is of the kind of its first member. Positions mean the same in both; what else the broker does for
 * native members (leases, retries, the breaker, dead letters) it does not for Kafka clients, which say only
 * how far they are. A group without members may become the other kind, when nothing is lost by it.
 *
 * What a Kafka client commits it may place anywhere, also where the partition has nothing (yet, or any more):
 * such a position is kept as it was given.
 */
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

/* ---- what is committed ---- */

static uint32_t commit_bytes(const struct gp_commit *c)
{
    return (uint32_t)sizeof(*c) + c->metadata_len;
}

void gp_uncommit(struct gp *gp)
{
    if (gp->commit)
        mem_free(MEM_GROUP, (void *)gp->commit, commit_bytes(gp->commit));
    gp->commit = NULL;
}

void gp_commit(struct gp *gp, int32_t leader_epoch, struct bytes metadata)
{
    const uint16_t len = (uint16_t)(metadata.len < COMMIT_METADATA_MAX ? metadata.len : COMMIT_METADATA_MAX);
    struct gp_commit *c = (struct gp_commit *)gp->commit;
    if (!c || c->metadata_len != len) {
        gp_uncommit(gp);
        c = mem_alloc(MEM_GROUP, sizeof(*c) + len);
        c->metadata_len = len;
        gp->commit = c;
    }
    c->leader_epoch = leader_epoch;
    if (len)
        memcpy(c->metadata, metadata.at, len);
}

enum error group_position_set(struct group *g, struct topic *topic, uint32_t partition, uint64_t position,
                              int32_t leader_epoch, struct bytes metadata, char *why)
{
    struct gp *gp;
    CHECK(g->kafka && metadata.len <= COMMIT_METADATA_MAX && position <= INT64_MAX);
    const enum error error = group_gp_make(g, topic, partition, &gp, why);
    if (error)
        return error;
    progress_seek(gp->progress, position);
    gp_commit(gp, leader_epoch, metadata);
    gp_touch(gp);
    state_note_position(gp);
    g->active_ms = g->groups->clock->wall_ms;
    return ERR_OK;
}

void group_positions_drop(struct group *g, struct group_topic *gt, int32_t number)
{
    bool left = false;
    for (uint32_t n = 0; n < gt->count; n++) {
        if (number >= 0 && n != (uint32_t)number) {
            left |= gt->gps[n]->commit != NULL;
            continue;
        }
        gp_uncommit(gt->gps[n]);
        if (number >= 0)
            state_note_uncommitted(gt->gps[n]);
    }
    if (left)
        return;
    state_note_forgotten(g, gt->id);
    group_topic_drop(g, gt);
}

/* ---- kinds ---- */

enum error group_native_check(const struct group *g, const char *what, char *why)
{
    if (!g->kafka)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES, "%s is not for Kafka groups, and group %.100s is one", what, g->name);
    return ERR_NOT_FOR_KAFKA_GROUPS;
}

enum error group_seek_check(const struct group *g, char *why)
{
    if (!g->kafka || !g->member_count)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES,
             "Kafka group %.100s has %u members, which would not hear of it: stop them first", g->name,
             g->member_count);
    return ERR_GROUP_BUSY;
}

static void has_done(void *ctx, uint64_t first, uint64_t end)
{
    *(bool *)ctx |= end > first;
}

/* Is a position all that there is to know of it? */
static bool gp_is_plain(const struct gp *gp)
{
    bool done = false;
    progress_each_done(gp->progress, has_done, &done);
    return !done && !progress_items(gp->progress);
}

enum error group_kind_check(const struct group *g, bool kafka, char *why)
{
    if (g->kafka == kafka)
        return ERR_OK;
    if (g->member_count || classic_awaits(g)) {
        snprintf(why, GROUP_WHY_BYTES, "group %.100s has members of the %s protocol", g->name,
                 g->kafka ? "Kafka" : "native");
        return ERR_GROUP_KIND_MISMATCH;
    }
    bool plain = g->ordered;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; plain && g->topics[i] && n < g->topics[i]->count; n++)
            plain = gp_is_plain(g->topics[i]->gps[n]);
    if (plain)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES, "group %.100s %s, which Kafka clients cannot take over", g->name,
             g->ordered ? "has events that failed or were redriven" : "is shared");
    return ERR_GROUP_KIND_MISMATCH;
}

/* Partitions of its topics in which nothing was committed are consumed from their start: nothing is skipped.
 */
static void gp_become_native(struct gp *gp)
{
    const uint64_t start = partition_start(gp->partition), end = partition_end(gp->partition);
    const uint64_t position = gp->commit ? progress_position(gp->progress) : start;
    progress_seek(gp->progress, position < start ? start : position > end ? end : position);
    gp_uncommit(gp);
}

/* Positions are stored as the new kind's before the group's kind is: a crash between the two leaves positions
 * that the old kind understands (apply_seek(), apply_commit()). */
void group_kind_take(struct group *g, bool kafka)
{
    if (g->kafka == kafka)
        return;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++) {
            struct gp *gp = g->topics[i]->gps[n];
            if (kafka)
                gp_commit(gp, -1, (struct bytes){ 0 });
            else
                gp_become_native(gp);
            state_note_position_as(gp, kafka);
            gp_touch(gp);
        }
    classic_free(g);
    g->kafka = kafka;
    state_note_group(g);
}
