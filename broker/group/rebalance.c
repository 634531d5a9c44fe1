/* SPDX-License-Identifier: Apache-2.0
 *
 * group/rebalance.c: ordered groups: partitions change hands, one by one.
 *
 *   owned ──revoked──▶ moving ──nothing is out any more──▶ handed over, a new epoch
 *
 * Only what has to move stops; everything else is worked on meanwhile. When it is called off while a
 * partition is moving, that one goes through the same door back to where it was: the old owner was told to
 * stop, and is told `assigned` again.
 */
#include <string.h>

#include "group/assign.h"
#include "group/group_own.h"

void gp_new_epoch(struct gp *gp)
{
    gp->epoch++;
    gp->epoch_assigned = gp->epoch;
    gp->rewind_count = 0;
    gp->rewound_due = false;
}

void gp_hand_over(struct gp *gp)
{
    struct group *g = gp->group;
    const struct groups_events *events = &g->groups->events;
    CHECK(progress_in_flight(gp->progress) == 0);
    g->moving -= gp->moving;
    gp->moving = false;
    gp->owner = gp->next;
    gp->next = NULL;
    gp_new_epoch(gp);
    g->groups->stats.moves++;
    if (!gp->owner)
        return;
    gp->owner->partitions++;
    if (gp->owner->state != MEMBER_DETACHED && !gp->owner->assigned_due)
        events->assigned(events->ctx, gp->owner, gp);
    gp_ready(gp);
}

/* `to` shall have it; NULL: nobody. */
static void gp_move(struct gp *gp, struct member *to)
{
    struct group *g = gp->group;
    const struct groups_events *events = &g->groups->events;
    if (gp->moving ? gp->next == to : gp->owner == to)
        return;
    gp->next = to;
    if (!gp->moving && gp->owner) {
        gp->moving = true;
        g->moving++;
        gp->owner->partitions--;
        if (gp->owner->reserved == gp)
            gp->owner->reserved = NULL;
        /* One that comes back just now learns what it has; it does not know of this one. */
        if (gp->owner->state != MEMBER_DETACHED && !gp->owner->assigned_due)
            events->revoked(events->ctx, gp->owner, gp);
    }
    if (!gp->owner || progress_in_flight(gp->progress) == 0)
        gp_hand_over(gp);
}

void member_disown(struct member *m)
{
    struct group *g = m->group;
    if (!g->ordered)
        return;
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++) {
            struct gp *gp = g->topics[i]->gps[n];
            if (gp->next == m)
                gp->next = NULL;
            if (gp->owner == m) {
                g->moving -= gp->moving;
                gp->moving = false;
                gp->owner = NULL;
                if (gp->next) /* it waited for this one to end */
                    gp_hand_over(gp);
            }
        }
}

/* Members that may have partitions, with the topics that they want. */
struct candidates {
    struct member **members;
    struct assign_member *rows;
    uint32_t *topics; /* of all of them, one after another */
    uint32_t count, slots;
};

static bool member_may_own(const struct member *m)
{
    return m->state != MEMBER_SILENT && !m->draining;
}

static void candidates_make(struct candidates *c, struct group *g, const uint32_t *index_of_slot)
{
    c->slots = g->topic_slots;
    c->members = mem_alloc(MEM_GROUP, (g->member_count + 1) * sizeof(*c->members));
    c->rows = mem_alloc(MEM_GROUP, (g->member_count + 1) * sizeof(*c->rows));
    c->topics = mem_alloc(MEM_GROUP, ((size_t)g->member_count * c->slots + 1) * sizeof(*c->topics));
    uint32_t *at = c->topics;
    LIST_FOR_EACH (node, &g->members) {
        struct member *m = CONTAINER_OF(node, struct member, link);
        m->index = ASSIGN_NOBODY;
        if (!member_may_own(m))
            continue;
        m->index = c->count;
        c->members[c->count] = m;
        c->rows[c->count].topics = at;
        for (uint32_t slot = 0; slot < c->slots; slot++)
            if (g->topics[slot] && slot / 64 < m->wants_words && (m->wants[slot / 64] >> slot % 64 & 1))
                *at++ = index_of_slot[slot];
        c->rows[c->count].topic_count = (uint32_t)(at - c->rows[c->count].topics);
        c->count++;
    }
}

static void candidates_free(struct candidates *c, uint32_t member_count)
{
    mem_free(MEM_GROUP, c->members, (member_count + 1) * sizeof(*c->members));
    mem_free(MEM_GROUP, c->rows, (member_count + 1) * sizeof(*c->rows));
    mem_free(MEM_GROUP, c->topics, ((size_t)member_count * c->slots + 1) * sizeof(*c->topics));
}

void group_rebalance(struct group *g)
{
    const uint32_t slots = g->topic_slots, members = g->member_count;
    uint32_t *index_of_slot = mem_alloc(MEM_GROUP, (slots + 1) * sizeof(*index_of_slot));
    uint32_t *partitions = mem_alloc(MEM_GROUP, (slots + 1) * sizeof(*partitions));
    const uint32_t total = g->partition_count;
    uint32_t *owners = mem_alloc(MEM_GROUP, (total + 1) * sizeof(*owners));
    struct gp **gps = mem_alloc(MEM_GROUP, (total + 1) * sizeof(*gps));
    uint32_t topics = 0, count = 0;
    struct candidates c = { 0 };
    for (uint32_t slot = 0; slot < slots; slot++)
        if (g->topics[slot]) {
            partitions[topics] = g->topics[slot]->count;
            index_of_slot[slot] = topics++;
        }
    candidates_make(&c, g, index_of_slot);
    for (uint32_t slot = 0; slot < slots; slot++)
        for (uint32_t n = 0; g->topics[slot] && n < g->topics[slot]->count; n++) {
            struct gp *gp = g->topics[slot]->gps[n];
            const struct member *has = gp->moving ? gp->next : gp->owner;
            owners[count] = has ? has->index : ASSIGN_NOBODY;
            gps[count++] = gp;
        }
    CHECK(count == total);
    assign_sticky(c.rows, c.count, partitions, topics, owners);
    for (uint32_t i = 0; i < count; i++)
        gp_move(gps[i], owners[i] == ASSIGN_NOBODY ? NULL : c.members[owners[i]]);
    g->groups->stats.rebalances++;
    g->generation++;
    candidates_free(&c, members);
    mem_free(MEM_GROUP, gps, (total + 1) * sizeof(*gps));
    mem_free(MEM_GROUP, owners, (total + 1) * sizeof(*owners));
    mem_free(MEM_GROUP, partitions, (slots + 1) * sizeof(*partitions));
    mem_free(MEM_GROUP, index_of_slot, (slots + 1) * sizeof(*index_of_slot));
}
