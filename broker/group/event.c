/* SPDX-License-Identifier: Apache-2.0
 *
 * group/event.c: one event from one state into another.
 *
 * Slot, lease, item, heap and counts change together here and nowhere else, but for whole ranges of plain
 * events (handed out in offer.c, acknowledged in progress.c).
 *
 * Which items are in a heap: those that wait and hold nothing back, so all that wait in a shared group, and
 * those apart. An ordered window is gone through from `front`, whatever else is due.
 */
#include "group/progress_own.h"

#include "base/mem.h"

struct item *event_item(const struct progress *p, uint64_t offset)
{
    struct item *item = items_find(&p->items, offset);
    return item && !item_is(item, ITEM_GONE) ? item : NULL;
}

static bool item_is_apart(const struct item *item)
{
    return item->state & ITEM_APART;
}

/* Of an ordered window: counted as waiting unless it is out. */
static bool item_in_order(const struct progress *p, const struct item *item)
{
    return p->ordered && !item_is_apart(item);
}

struct lease *event_out(const struct progress *p, uint64_t offset, uint64_t end, uint64_t *run, bool *done)
{
    *run = 1;
    *done = false;
    if (offset >= p->next)
        return NULL;
    const bool past = offset < p->position;
    const uint32_t slot = past ? SLOT_TOLD : *window_slot(p, offset);
    if (slot >= SLOT_LEASE) {
        *run = window_run(p, offset, end < p->next ? end : p->next);
        return lease_at(p, slot - SLOT_LEASE);
    }
    if (slot == SLOT_NEW)
        return NULL;
    if (slot_is_done(slot) && !p->apart) {
        *done = true;
        if (past)
            *run = (end < p->position ? end : p->position) - offset;
        return NULL;
    }
    const struct item *item = event_item(p, offset);
    if (!item || !item_is(item, ITEM_OUT)) {
        *done = !item;
        return NULL;
    }
    const uint32_t lease = item->lease;
    while (offset + *run < end && (item = event_item(p, offset + *run)) && item_is(item, ITEM_OUT) &&
           item->lease == lease)
        ++*run;
    return lease_at(p, lease);
}

/* Out -> between two states: in no lease, counted nowhere. Its item, or NULL. */
static struct item *event_take(struct progress *p, uint64_t offset)
{
    if (window_has(p, offset) && *window_slot(p, offset) >= SLOT_LEASE) {
        lease_drop(lease_at(p, *window_slot(p, offset) - SLOT_LEASE), 1);
        p->window_out--;
        return NULL;
    }
    struct item *item = event_item(p, offset);
    CHECK(item && item_is(item, ITEM_OUT));
    lease_drop(lease_at(p, item->lease), 1);
    if (!item_is_apart(item)) {
        p->items_out--;
        p->window_out--;
    }
    return item;
}

/* An item that is in no heap and not out begins to be what it is. */
static void event_item_begins(struct progress *p, struct item *item)
{
    if (item_in_order(p, item))
        window_waits(p, item->offset);
    else if (item_is(item, ITEM_WAITING))
        items_queue(&p->items, item, item->state & ITEM_SUSPECT ? HEAP_SUSPECTS : HEAP_WAITING);
}

/* Between two states -> an item. */
static struct item *event_as_item(struct progress *p, uint64_t offset, struct item *item)
{
    if (item)
        return item;
    *window_slot(p, offset) = SLOT_ITEM;
    return items_add(&p->items, offset);
}

void event_give_back(struct progress *p, uint64_t offset)
{
    struct item *item = event_take(p, offset);
    if (item) {
        item_set(item, ITEM_WAITING);
        event_item_begins(p, item);
        return;
    }
    *window_slot(p, offset) = SLOT_NEW;
    window_waits(p, offset);
}

struct item *event_fail(struct progress *p, uint64_t offset, bool charge)
{
    struct item *item = event_as_item(p, offset, event_take(p, offset));
    item_set(item, ITEM_FAILED);
    if (charge && item->attempts < UINT16_MAX)
        item->attempts++;
    event_item_begins(p, item);
    return item;
}

void event_suspect(struct progress *p, uint64_t offset)
{
    struct item *item = event_as_item(p, offset, event_take(p, offset));
    item_set(item, ITEM_WAITING);
    item->state |= ITEM_SUSPECT;
    item->due_ms = 0;
    event_item_begins(p, item);
}

/* Remembered until it is told: else a stored redrive would come back after a restart. */
static void event_gone(struct progress *p, struct item *item)
{
    item->state = ITEM_GONE | ITEM_APART;
    p->apart--;
    p->items_gone++;
    if (p->gone_count == p->gone_room) {
        const uint32_t room = p->gone_room ? p->gone_room * 2 : 8;
        p->gone = mem_realloc(MEM_GROUP, p->gone, p->gone_room * sizeof(*p->gone), room * sizeof(*p->gone));
        p->gone_room = room;
    }
    p->gone[p->gone_count++] = item->offset;
}

void event_settle(struct progress *p, uint64_t offset)
{
    struct item *item = event_item(p, offset);
    if (item && item_is(item, ITEM_OUT)) {
        event_take(p, offset);
    } else if (item) {
        items_unqueue(&p->items, item);
        if (item_in_order(p, item))
            window_waits_not(p, 1);
    }
    if (item && item_is_apart(item)) {
        event_gone(p, item);
        return;
    }
    if (!window_has(p, offset))
        return;
    if (item)
        items_remove(&p->items, item);
    else if (*window_slot(p, offset) >= SLOT_LEASE)
        event_take(p, offset);
    else if (*window_slot(p, offset) == SLOT_NEW)
        window_waits_not(p, 1);
    else
        return; /* done already */
    *window_slot(p, offset) = SLOT_DONE;
    window_count_done(p, offset, 1);
}

void event_decide(struct progress *p, struct item *item, unsigned state, int64_t due_ms)
{
    CHECK(!item_is(item, ITEM_OUT) && state != ITEM_OUT);
    items_unqueue(&p->items, item);
    item_set(item, state);
    item->due_ms = due_ms;
    if (!item_in_order(p, item))
        event_item_begins(p, item);
}

void event_hand_out(struct progress *p, struct item *item, struct lease *l)
{
    items_unqueue(&p->items, item);
    item_set(item, ITEM_OUT);
    item->lease = l->index;
    if (item_is_apart(item))
        return;
    p->items_out++;
    p->window_out++;
    if (p->ordered)
        window_waits_not(p, 1);
}

struct item *event_set_apart(struct progress *p, uint64_t offset, int64_t due_ms)
{
    struct item *item = items_find(&p->items, offset);
    if (item) {
        CHECK(item_is(item, ITEM_GONE)); /* came again before it was told to be gone: it was not */
        p->items_gone--;
    } else {
        item = items_add(&p->items, offset);
    }
    item->attempts = 0;
    item->error_class = 0;
    item->state = ITEM_WAITING | ITEM_APART;
    item->due_ms = due_ms;
    p->apart++;
    event_item_begins(p, item);
    return item;
}

void event_withdraw_from(struct progress *p, uint64_t offset)
{
    for (uint64_t o = offset < p->position ? p->position : offset; o < p->next && p->window_out; o++) {
        const uint32_t slot = *window_slot(p, o);
        if (slot >= SLOT_LEASE || (slot == SLOT_ITEM && item_is(event_item(p, o), ITEM_OUT)))
            event_give_back(p, o);
    }
}
