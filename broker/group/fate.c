/* SPDX-License-Identifier: Apache-2.0
 *
 * group/fate.c: what becomes of failed events, and orders from above: seek, redrive, truncate.
 */
#include "group/progress_own.h"

#include "base/mem.h"

static struct item *fate_undecided(struct progress *p, uint64_t offset)
{
    struct item *item = event_item(p, offset);
    return item && !item_is(item, ITEM_OUT) ? item : NULL;
}

void progress_retry(struct progress *p, uint64_t offset, int64_t due_ms)
{
    struct item *item = fate_undecided(p, offset);
    if (item)
        event_decide(p, item, ITEM_WAITING, due_ms);
}

void progress_give_up(struct progress *p, uint64_t offset)
{
    struct item *item = fate_undecided(p, offset);
    if (item)
        event_decide(p, item, ITEM_GIVING_UP, item->due_ms);
}

void progress_uncharge(struct progress *p, uint64_t offset)
{
    struct item *item = event_item(p, offset);
    CHECK(item && item->attempts > 0);
    item->attempts--;
}

uint32_t progress_forgive(struct progress *p, uint32_t error_class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->items.count; i++) {
        struct item *item = &p->items.at[i];
        if (item->error_class != error_class || !item->attempts || !item_is(item, ITEM_WAITING))
            continue;
        item->attempts = 0;
        count++;
    }
    return count;
}

void progress_set_class(struct progress *p, uint64_t offset, uint32_t error_class)
{
    struct item *item = event_item(p, offset);
    if (item)
        item->error_class = error_class;
}

bool progress_settle(struct progress *p, uint64_t offset)
{
    if (offset >= p->next) {
        if (offset - p->position >= WINDOW_ROOM_MAX)
            return false;
        window_extend(p, offset + 1);
    }
    event_settle(p, offset);
    window_settle(p);
    return true;
}

bool progress_redrive(struct progress *p, uint64_t offset, int64_t due_ms)
{
    if (offset >= p->next || event_item(p, offset))
        return false;
    if (offset >= p->position && !slot_is_done(*window_slot(p, offset)))
        return false;
    event_set_apart(p, offset, due_ms);
    return true;
}

/* The window is settled below `start`. */
static void fate_settle_below(struct progress *p, uint64_t start)
{
    const uint64_t end = start < p->next ? start : p->next;
    for (uint64_t o = p->position; o < end; o++)
        if (!slot_is_done(*window_slot(p, o)))
            event_settle(p, o);
    window_settle(p);
    if (p->position < start) {
        CHECK(p->position == p->next);
        window_reset(p, start);
        p->position_changed = true;
    }
}

void progress_truncate(struct progress *p, uint64_t start)
{
    if (p->apart)
        for (uint32_t i = 0; i < p->items.count; i++) {
            const struct item *item = &p->items.at[i];
            if (item->offset < start && (item->state & ITEM_APART) && !item_is(item, ITEM_GONE))
                event_settle(p, item->offset); /* stays in the table, as one that is gone */
        }
    fate_settle_below(p, start);
}

void progress_restore_position(struct progress *p, uint64_t position)
{
    const bool changed = p->position_changed;
    fate_settle_below(p, position);
    p->position_changed = changed;
}

void progress_seek(struct progress *p, uint64_t position)
{
    while (!list_empty(&p->by_deadline)) {
        struct lease *l = CONTAINER_OF(p->by_deadline.next, struct lease, by_deadline);
        lease_drop(l, l->left);
    }
    CHECK(p->in_flight == 0 && p->leases == 0);
    items_free(&p->items);
    mem_free(MEM_GROUP, p->gone, p->gone_room * sizeof(*p->gone));
    p->gone = NULL;
    p->gone_count = p->gone_room = 0;
    p->items_gone = p->apart = p->window_out = p->items_out = 0;
    window_reset(p, position);
    p->position_changed = true;
}
