/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/shares.c: assignments: which there are, and what the broker changes in them.
 */
#include <stdlib.h>
#include <string.h>

#include "client/group/group.h"
#include "proto/name.h"

/* Index of the first share with an id not below. */
static uint32_t share_index(const struct runnel_group *g, uint32_t id)
{
    uint32_t low = 0, high = g->share_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (g->shares[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct share *share_find(struct runnel_group *g, uint32_t id)
{
    if (g->share_hint && g->share_hint->id == id)
        return g->share_hint;
    uint32_t i = share_index(g, id);
    if (i == g->share_count || g->shares[i]->id != id)
        return NULL;
    return g->share_hint = g->shares[i];
}

static struct share *share_make(struct runnel_group *g, const struct wire_group_change_row *row)
{
    if (g->share_count == g->share_size) {
        uint32_t size = g->share_size ? g->share_size * 2 : 16;
        struct share **grown = size <= GROUP_SHARES_MAX ? realloc(g->shares, size * sizeof(*grown)) : NULL;
        if (!grown)
            return NULL;
        g->shares = grown;
        g->share_size = size;
    }
    struct share *s = calloc(1, sizeof(*s) + row->topic.len + 1);
    if (!s)
        return NULL;
    s->id = row->assignment;
    s->partition = row->partition;
    memcpy(s->topic, row->topic.at, row->topic.len);
    uint32_t i = share_index(g, s->id);
    memmove(&g->shares[i + 1], &g->shares[i], (g->share_count - i) * sizeof(struct share *));
    g->shares[i] = s;
    g->share_count++;
    return s;
}

void share_free(struct runnel_group *g, struct share *s)
{
    if (s->in_acks)
        TAILQ_REMOVE(&g->acks, s, acks_link);
    if (s->in_doubts)
        TAILQ_REMOVE(&g->doubts, s, doubts_link);
    if (g->share_hint == s)
        g->share_hint = NULL;
    share_drop_last(g, s);
    if (s->cursor.unpacked)
        s->cursor.unpacked->owner = NULL;
    ranges_free(&s->started);
    ranges_free(&s->pending);
    ranges_free(&s->sent);
    ranges_free(&s->later);
    free(s);
}

void shares_forget(struct runnel_group *g)
{
    for (uint32_t i = 0; i < g->share_count; i++) {
        struct share *s = g->shares[i];
        s->started.count = s->pending.count = s->sent.count = s->later.count = 0;
        s->live = false;
        s->orphan = true;
        if (s->queued == 0)
            share_free(g, s);
    }
    g->share_count = g->live_count = 0;
    g->share_hint = NULL;
    g->out = g->pending = 0;
    g->later = false;
}

void share_tidy(struct runnel_group *g, struct share *s)
{
    if (s->orphan) {
        if (!s->queued)
            share_free(g, s);
        return;
    }
    if (s->live || s->queued || s->started.count || s->pending.count || s->sent.count || s->later.count)
        return;
    uint32_t i = share_index(g, s->id);
    g->share_count--;
    memmove(&g->shares[i], &g->shares[i + 1], (g->share_count - i) * sizeof(struct share *));
    share_free(g, s);
}

static void share_live(struct runnel_group *g, struct share *s, bool live)
{
    g->live_count += live ? !s->live : 0;
    g->live_count -= !live ? s->live : 0;
    s->live = live;
}

static void share_revoke(struct runnel_group *g, struct share *s, bool release)
{
    share_live(g, s, false);
    group_drop(g, s, release);
    share_tidy(g, s);
}

/* ---- assignments ---- */

static bool group_change(struct runnel_group *g, const struct wire_group_change_row *row)
{
    struct share *s = share_find(g, row->assignment);
    if (row->offset > INT64_MAX)
        return false;
    switch (row->kind) {
    case WIRE_GROUP_ASSIGNED:
        if (row->topic.len == 0 || row->topic.len > TOPIC_NAME_MAX || (!s && !(s = share_make(g, row))))
            return false;
        share_live(g, s, true);
        s->listed = true;
        break;
    case WIRE_GROUP_REVOKED:
        if (s)
            share_revoke(g, s, true);
        break;
    case WIRE_GROUP_REWOUND:
        if (s)
            group_withdraw(g, s, row->epoch, (int64_t)row->offset);
        break;
    }
    return true;
}

bool group_assign(struct runnel_group *g, struct reader body)
{
    uint32_t generation = read_u32(&body);
    uint16_t count = read_u16(&body);
    if (body.bad)
        return false;
    g->generation = generation;
    for (uint16_t i = 0; i < count; i++) {
        struct wire_group_change_row row;
        wire_get_group_change_row(&body, &row);
        if (body.bad || !group_change(g, &row))
            return false;
    }
    if (!reader_done(&body))
        return false;
    /* What is not named after coming back went to others meanwhile. */
    for (uint32_t i = g->listing ? g->share_count : 0; i-- > 0;)
        if (!g->shares[i]->listed)
            share_revoke(g, g->shares[i], false);
    g->listing = false;
    return true;
}
