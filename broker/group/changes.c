/* SPDX-License-Identifier: Apache-2.0
 *
 * group/changes.c: what is stored of a progress, and restoring it.
 *
 * Stored are the position, done ranges past it and items; leases and suspicion that no failure was charged
 * for are not (a restart of the broker makes such events new). Items in the window end with a done range or a
 * position that covers them; items apart are covered by neither, so their end is told by itself.
 */
#include "group/progress_own.h"

#include "base/mem.h"

bool progress_dirty(const struct progress *p)
{
    return p->position_changed || p->untold || p->gone_count;
}

uint32_t progress_take_changes(struct progress *p, uint64_t *position, struct progress_range *out,
                               uint32_t room)
{
    *position = p->position;
    p->position_changed = false;
    uint32_t count = 0;
    uint64_t o = p->untold_first > p->position ? p->untold_first : p->position;
    while (p->untold && count < room) {
        while (*window_slot(p, o) != SLOT_DONE)
            o++;
        CHECK(o < p->next);
        const uint64_t run = window_run(p, o, p->next);
        window_fill(p, o, run, SLOT_TOLD);
        p->untold -= (uint32_t)run;
        out[count++] = (struct progress_range){ .first = o, .end = o + run };
        o += run;
    }
    p->untold_first = o;
    if (p->position == p->next)
        window_free(p);
    return count;
}

uint32_t progress_take_settled(struct progress *p, uint64_t *out, uint32_t room)
{
    uint32_t count = 0;
    while (p->gone_count && count < room) {
        struct item *item = items_find(&p->items, p->gone[--p->gone_count]);
        if (!item || !item_is(item, ITEM_GONE))
            continue; /* told already, or it came again */
        out[count++] = item->offset;
        items_remove(&p->items, item);
        p->items_gone--;
    }
    if (p->gone_count == 0) {
        mem_free(MEM_GROUP, p->gone, p->gone_room * sizeof(*p->gone));
        p->gone = NULL;
        p->gone_room = 0;
    }
    return count;
}

void progress_each_done(const struct progress *p, void (*each)(void *ctx, uint64_t first, uint64_t end),
                        void *ctx)
{
    if (!p->done)
        return;
    for (uint64_t o = p->position; o < p->next;) {
        uint64_t end = o;
        while (end < p->next && slot_is_done(*window_slot(p, end)))
            end++;
        if (end > o)
            each(ctx, o, end);
        o = end + 1;
    }
}

static struct progress_item item_stored(const struct item *item)
{
    return (struct progress_item){ .offset = item->offset,
                                   .attempts = item->attempts,
                                   .state = item->state,
                                   .due_ms = item->due_ms,
                                   .error_class = item->error_class };
}

void progress_each_item(const struct progress *p, void (*each)(void *ctx, const struct progress_item *item),
                        void *ctx)
{
    for (uint32_t i = 0; i < p->items.count; i++)
        if (!item_is(&p->items.at[i], ITEM_GONE)) {
            const struct progress_item stored = item_stored(&p->items.at[i]);
            each(ctx, &stored);
        }
}

bool progress_find_item(const struct progress *p, uint64_t offset, struct progress_item *out)
{
    const struct item *item = event_item(p, offset);
    if (item)
        *out = item_stored(item);
    return item != NULL;
}

/* ---- restoring ---- */

void progress_restore_done(struct progress *p, uint64_t first, uint64_t end)
{
    if (first < p->position)
        first = p->position;
    if (first >= end)
        return;
    if (end - p->position > WINDOW_ROOM_MAX)
        end = p->position + WINDOW_ROOM_MAX;
    if (first >= end)
        return;
    const bool changed = p->position_changed;
    window_extend(p, end);
    for (uint64_t o = first; o < end; o++) {
        if (!slot_is_done(
                *window_slot(p, o))) /* on a done one an item apart may lie: that is another matter */
            event_settle(p, o);
        if (*window_slot(p, o) == SLOT_DONE) {
            *window_slot(p, o) = SLOT_TOLD;
            p->untold--;
        }
    }
    window_settle(p);
    p->position_changed = changed;
}

void progress_restore_settled(struct progress *p, uint64_t offset)
{
    struct item *item = event_item(p, offset);
    if (!item || !(item->state & ITEM_APART)) {
        progress_restore_done(p, offset, offset < UINT64_MAX ? offset + 1 : offset);
    } else if (!item_is(item, ITEM_OUT)) {
        items_remove(&p->items, item);
        p->apart--;
    }
}

/* The item of this event, in the window or apart, made if there is none. NULL: too far past the position. */
static struct item *restore_place(struct progress *p, uint64_t offset, bool apart)
{
    if (offset >= p->position && offset - p->position >= WINDOW_ROOM_MAX)
        return NULL;
    struct item *item = event_item(p, offset);
    if (item && (!apart || (item->state & ITEM_APART)))
        return item;
    if (apart)
        progress_restore_done(p, offset, offset + 1);
    window_extend(p, offset + 1);
    if (offset < p->position || slot_is_done(*window_slot(p, offset)))
        return event_set_apart(p, offset, 0);
    CHECK(*window_slot(p, offset) == SLOT_NEW);
    if (!p->ordered)
        window_waits_not(p, 1);
    *window_slot(p, offset) = SLOT_ITEM;
    return items_add(&p->items, offset);
}

void progress_restore_item(struct progress *p, const struct progress_item *stored)
{
    struct item *item = restore_place(p, stored->offset, stored->state & ITEM_APART);
    if (!item || item_is(item, ITEM_OUT))
        return;
    const uint8_t state = stored->state & ITEM_STATE_MASK;
    item->attempts = stored->attempts;
    item->error_class = stored->error_class;
    items_unqueue(&p->items, item);
    item->state = (uint8_t)((item->state & ~ITEM_SUSPECT) | (stored->state & ITEM_SUSPECT));
    if (state == ITEM_WAITING || state == ITEM_GIVING_UP)
        event_decide(p, item, state, stored->due_ms);
    else
        event_decide(p, item, ITEM_WAITING, 0);
    window_settle(p);
}
