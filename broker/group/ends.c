/* SPDX-License-Identifier: Apache-2.0
 *
 * group/ends.c: deadlines that passed and holders that end.
 *
 * Callbacks may settle, retry or give up what they are called for, so nothing is held across them but what is
 * looked up again.
 */
#include "group/progress_own.h"

/* Ordered: the lowest event of the window whose deadline has come; UINT64_MAX if none. */
static uint64_t expire_lowest(const struct progress *p, int64_t now_ms)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH (node, &p->by_deadline) {
        struct lease *l = CONTAINER_OF(node, struct lease, by_deadline);
        if (l->deadline_ms > now_ms)
            break;
        const uint64_t offset = lease_lowest(l);
        if (offset >= p->position && offset < lowest &&
            !(l->items && (event_item(p, offset)->state & ITEM_APART)))
            lowest = offset;
    }
    return lowest;
}

static struct holder *event_holder(const struct progress *p, uint64_t offset)
{
    uint64_t run;
    bool done;
    return event_out(p, offset, offset + 1, &run, &done)->holder;
}

void progress_expire(struct progress *p, int64_t now_ms,
                     void (*each)(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts), void *ctx)
{
    while (progress_deadline(p) <= now_ms) {
        uint64_t offset = p->ordered ? expire_lowest(p, now_ms) : UINT64_MAX;
        const bool in_order = offset != UINT64_MAX;
        if (!in_order)
            offset = lease_lowest(CONTAINER_OF(p->by_deadline.next, struct lease, by_deadline));
        struct holder *h = event_holder(p, offset);
        const uint16_t attempts = event_fail(p, offset, true)->attempts;
        if (in_order)
            event_withdraw_from(p, offset + 1);
        window_settle(p);
        each(ctx, h, offset, attempts);
    }
}

void holder_end(struct holder *h, enum holder_end how,
                void (*each)(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts), void *ctx)
{
    const bool culprit = how == HOLDER_DIED && h->in_flight == 1;
    while (!list_empty(&h->leases)) {
        struct lease *l = CONTAINER_OF(h->leases.next, struct lease, of_holder);
        struct progress *p = l->progress;
        const uint64_t offset = lease_lowest(l);
        if (culprit) {
            struct item *item = event_fail(p, offset, true);
            item->state |= ITEM_SUSPECT;
            const uint16_t attempts = item->attempts;
            window_settle(p);
            each(ctx, p, offset, attempts);
            break;
        }
        if (how == HOLDER_DIED)
            event_suspect(p, offset);
        else
            event_give_back(p, offset);
    }
    CHECK(h->in_flight == 0 && h->alone == 0);
}

void progress_withdraw(struct progress *p, struct holder *h)
{
    LIST_FOR_EACH_SAFE (node, &p->by_deadline) {
        struct lease *l = CONTAINER_OF(node, struct lease, by_deadline);
        if (l->holder != h)
            continue;
        for (uint32_t left = l->left; left > 0; left--)
            event_give_back(p, lease_lowest(l));
    }
}
