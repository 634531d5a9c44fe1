/* SPDX-License-Identifier: Apache-2.0
 *
 * group/giveup.c: events that nobody tries any more, until their dead letters are written: why they failed is
 * kept, and stored, so that the dead letter tells it also after a restart.
 */
#include <string.h>

#include "group/group_own.h"

static size_t give_up_bytes(const struct give_up *u)
{
    return sizeof(*u) + u->lens[0] + u->lens[1] + u->lens[2] + u->lens[3];
}

struct give_up *give_up_add(struct gp *gp, uint64_t offset, const struct failure *f, uint32_t error_class)
{
    static const uint32_t most[4] = { FAILURE_TYPE_MAX, FAILURE_MESSAGE_MAX, FAILURE_STACK_MAX,
                                      MEMBER_TEXT_MAX };
    const struct bytes texts[4] = { f->type, f->message, f->stack, f->member };
    struct give_up *old = give_up_find(gp, offset);
    uint32_t lens[4], bytes = 0;
    for (int i = 0; i < 4; i++)
        bytes += lens[i] = texts[i].len < most[i] ? texts[i].len : most[i];
    struct give_up *u = mem_zalloc(MEM_GROUP, sizeof(*u) + bytes);
    u->offset = offset;
    u->failed_at_ms = f->failed_at_ms;
    u->key_hash = f->key_hash;
    u->error_class = error_class;
    u->attempts = f->attempts;
    u->rejected = f->rejected;
    char *at = u->text;
    for (int i = 0; i < 4; i++) {
        if (lens[i])
            memcpy(at, texts[i].at, lens[i]);
        at += u->lens[i] = lens[i];
    }
    if (old)
        give_up_free(gp, old);
    list_append(&gp->give_ups, &u->link);
    gp->group->groups->give_ups++;
    gp_changed(gp);
    return u;
}

struct give_up *give_up_find(const struct gp *gp, uint64_t offset)
{
    LIST_FOR_EACH (node, &gp->give_ups) {
        struct give_up *u = CONTAINER_OF(node, struct give_up, link);
        if (u->offset == offset)
            return u;
    }
    return NULL;
}

void give_up_free(struct gp *gp, struct give_up *u)
{
    struct groups *groups = gp->group->groups;
    list_remove(&u->link);
    mem_free(MEM_GROUP, u, give_up_bytes(u));
    if (groups->give_ups-- == GIVE_UPS_MAX)
        starved_wake(&groups->starved);
}

struct failure give_up_failure(const struct give_up *u)
{
    struct bytes texts[4];
    const uint8_t *at = (const uint8_t *)u->text;
    for (int i = 0; i < 4; i++) {
        texts[i] = (struct bytes){ at, u->lens[i] };
        at += u->lens[i];
    }
    return (struct failure){ .type = texts[0],
                             .message = texts[1],
                             .stack = texts[2],
                             .member = texts[3],
                             .key_hash = u->key_hash,
                             .attempts = u->attempts,
                             .rejected = u->rejected,
                             .failed_at_ms = u->failed_at_ms };
}

/* The handler may settle this one, which frees it, and others. */
void gp_raise_give_ups(struct gp *gp)
{
    const struct groups_events *events = &gp->group->groups->events;
    const int64_t now = groups_mono_ms(gp->group->groups);
    for (;;) {
        struct give_up *due = NULL;
        LIST_FOR_EACH (node, &gp->give_ups) {
            struct give_up *u = CONTAINER_OF(node, struct give_up, link);
            if (!u->raised && u->again_ms <= now) {
                due = u;
                break;
            }
        }
        if (!due)
            return;
        due->raised = true;
        const struct failure failure = give_up_failure(due);
        events->give_up(events->ctx, gp, due->offset, &failure);
    }
}

int64_t gp_give_up_due(const struct gp *gp)
{
    int64_t due = INT64_MAX;
    LIST_FOR_EACH (node, &gp->give_ups) {
        const struct give_up *u = CONTAINER_OF(node, struct give_up, link);
        if (!u->raised && u->again_ms < due)
            due = u->again_ms;
    }
    return due;
}
