/* SPDX-License-Identifier: Apache-2.0
 *
 * group/offer.c: what may go out now, and its going out.
 *
 * An offer is only looked at, not reserved: reading the events may take a while, and until then anything may
 * have happened. So a lease looks at every event of it again.
 */
#include "group/progress_own.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- offering ---- */

/* How many items from `first` on may go out together with it. */
static uint32_t offer_neighbours(const struct progress *p, const struct item *first, int64_t now_ms,
                                 uint32_t room)
{
    uint32_t count = 1;
    for (; count < room; count++) {
        const struct item *item = event_item(p, first->offset + count);
        if (!item || item->state != first->state || item->due_ms > now_ms ||
            item->attempts != first->attempts)
            break;
    }
    return count;
}

static void offer_item(const struct progress *p, const struct item *item, int64_t now_ms, uint32_t room,
                       struct offer *out)
{
    const bool alone = item->state & ITEM_SUSPECT;
    *out = (struct offer){ .kind = OFFER_ITEM,
                           .offset = item->offset,
                           .count = alone ? 1 : offer_neighbours(p, item, now_ms, room),
                           .attempts = item->attempts,
                           .alone = alone };
}

/* The item that was due first, of those that hold nothing back. */
static const struct item *offer_due_item(const struct progress *p, int64_t now_ms, bool beside)
{
    const struct item *item = items_top(&p->items, HEAP_WAITING);
    const struct item *suspect = beside ? NULL : items_top(&p->items, HEAP_SUSPECTS);
    if (suspect && (!item || suspect->due_ms <= item->due_ms))
        item = suspect;
    return item && item->due_ms <= now_ms ? item : NULL;
}

/* New events from `front` on: withdrawn ones, and where they reach `next`, those never delivered. */
static enum progress_pause offer_new(const struct progress *p, uint64_t end, uint32_t room, struct offer *out)
{
    uint64_t o = p->front;
    const uint64_t reach = min_u64(end, room < UINT64_MAX - o ? o + room : UINT64_MAX);
    if (o < p->next && o < reach)
        o += window_run(p, o, min_u64(reach, p->next));
    if (o == p->next) {
        const uint64_t used = p->next - p->position;
        o += min_u64(reach > o ? reach - o : 0, used < p->window_max ? p->window_max - used : 0);
    }
    if (o > p->front)
        *out = (struct offer){ .kind = OFFER_NEW, .offset = p->front, .count = (uint32_t)(o - p->front) };
    else if (p->front == p->next && p->next < end && p->next - p->position >= p->window_max)
        return PAUSE_WINDOW_FULL;
    return PAUSE_NONE;
}

/* Ordered: what is at `front`, or nothing. */
static enum progress_pause offer_next(const struct progress *p, uint64_t end, int64_t now_ms, uint32_t room,
                                      bool beside, struct offer *out)
{
    if (p->front >= end)
        return PAUSE_NONE;
    if (p->items_out)
        return PAUSE_ALONE;
    if (p->front == p->next || *window_slot(p, p->front) == SLOT_NEW)
        return offer_new(p, end, room, out);
    const struct item *item = event_item(p, p->front);
    if (item_is(item, ITEM_GIVING_UP))
        return PAUSE_GIVING_UP;
    if (!item_is(item, ITEM_WAITING) || item->due_ms > now_ms)
        return PAUSE_RETRY;
    if ((item->state & ITEM_SUSPECT) && (beside || p->window_out))
        return PAUSE_ALONE;
    if (room)
        offer_item(p, item, now_ms, 1, out);
    return PAUSE_NONE;
}

static enum progress_pause offer(const struct progress *p, uint64_t end, int64_t now_ms, uint32_t room,
                                 bool beside, struct offer *out)
{
    *out = (struct offer){ .kind = OFFER_NONE };
    const struct item *item = room ? offer_due_item(p, now_ms, beside) : NULL;
    if (item) {
        offer_item(p, item, now_ms, room, out);
        return PAUSE_NONE;
    }
    return p->ordered ? offer_next(p, end, now_ms, room, beside, out) : offer_new(p, end, room, out);
}

enum progress_pause progress_offer(const struct progress *p, uint64_t end, int64_t now_ms, uint32_t room,
                                   struct offer *out)
{
    return offer(p, end, now_ms, room, false, out);
}

enum progress_pause progress_offer_beside(const struct progress *p, uint64_t end, int64_t now_ms,
                                          uint32_t room, struct offer *out)
{
    return offer(p, end, now_ms, room, true, out);
}

int64_t progress_due(const struct progress *p)
{
    int64_t due_ms = INT64_MAX;
    for (int h = 0; h < HEAPS; h++) {
        const struct item *item = items_top(&p->items, (uint8_t)h);
        if (item && item->due_ms < due_ms)
            due_ms = item->due_ms;
    }
    if (p->ordered && p->front < p->next && *window_slot(p, p->front) == SLOT_ITEM) {
        const struct item *item = event_item(p, p->front);
        if (item_is(item, ITEM_WAITING) && item->due_ms < due_ms)
            due_ms = item->due_ms;
    }
    return due_ms;
}

/* ---- going out ---- */

static bool offer_stands_new(const struct progress *p, const struct offer *o, uint64_t end)
{
    if (o->offset < p->position || o->offset > p->next ||
        (p->ordered && (o->offset != p->front || p->items_out)))
        return false;
    const uint64_t known = min_u64(end, p->next);
    return o->offset >= known ||
           (*window_slot(p, o->offset) == SLOT_NEW && window_run(p, o->offset, known) == known - o->offset);
}

static bool offer_stands_items(const struct progress *p, const struct offer *o, uint64_t end)
{
    for (uint64_t offset = o->offset; offset < end; offset++) {
        const struct item *item = event_item(p, offset);
        if (!item || !item_is(item, ITEM_WAITING) || item->attempts != o->attempts ||
            (bool)(item->state & ITEM_SUSPECT) != o->alone)
            return false;
        if (p->ordered && !(item->state & ITEM_APART) &&
            (offset != p->front || end - o->offset != 1 || p->items_out || (o->alone && p->window_out)))
            return false;
    }
    return true;
}

/* [first, first+count), all new or not in the window yet and then next to it, becomes `slot`. */
static void lease_cover(struct progress *p, uint64_t first, uint64_t count, uint32_t slot)
{
    if (!count)
        return;
    if (first < p->next)
        window_waits_not(p, min_u64(first + count, p->next) - first);
    window_reach(p, first + count);
    window_fill(p, first, count, slot);
}

static void lease_new(struct progress *p, uint64_t first, uint32_t count, struct holder *h,
                      int64_t deadline_ms)
{
    CHECK(!p->ordered || !p->window_out || p->owner == h); /* one holder has all of an ordered window */
    p->owner = h;
    const struct lease *l = lease_create(p, h, first, first + count, count, deadline_ms);
    lease_cover(p, first, count, SLOT_LEASE + l->index);
    p->window_out += count;
}

static void lease_items(struct progress *p, const struct offer *o, uint64_t first, uint32_t count,
                        struct holder *h, int64_t deadline_ms)
{
    struct lease *l = lease_create(p, h, first, first + count, count, deadline_ms);
    l->items = true;
    l->alone = o->alone;
    h->alone += o->alone;
    for (uint64_t offset = first; offset < first + count; offset++) {
        struct item *item = event_item(p, offset);
        if (!(item->state & ITEM_APART)) {
            CHECK(!p->ordered || !p->window_out || p->owner == h);
            p->owner = h;
        }
        event_hand_out(p, item, l);
    }
}

bool progress_lease(struct progress *p, const struct offer *o, uint64_t first, uint32_t count,
                    struct holder *h, int64_t deadline_ms)
{
    CHECK(o->kind != OFFER_NONE && first >= o->offset && first - o->offset <= o->count &&
          count <= o->count - (first - o->offset));
    const uint64_t end = first + count;
    if (!(o->kind == OFFER_NEW ? offer_stands_new(p, o, end) : offer_stands_items(p, o, end)))
        return false;
    if (o->kind == OFFER_NEW) {
        lease_cover(p, o->offset, first - o->offset, SLOT_DONE);
        window_count_done(p, o->offset, first - o->offset);
        if (count)
            lease_new(p, first, count, h, deadline_ms);
    } else {
        for (uint64_t offset = o->offset; offset < first; offset++)
            event_settle(p, offset);
        if (count)
            lease_items(p, o, first, count, h, deadline_ms);
    }
    window_settle(p);
    return true;
}
