/* SPDX-License-Identifier: Apache-2.0
 *
 * group/window.c: the slots of [position, next), a word for each event, in a circular array.
 *
 * The array grows by doubling and goes when the window is empty: most partitions of most groups are idle, and
 * an idle one costs no more than its struct. Slots outside the window hold whatever they held last; reaching
 * further writes them.
 */
#include "group/progress_own.h"

#include <string.h>

#include "base/mem.h"

void window_fill(struct progress *p, uint64_t first, uint64_t count, uint32_t slot)
{
    const uint64_t place = first & (p->room - 1);
    const uint64_t to_edge = p->room - place < count ? p->room - place : count;
    uint32_t *s = p->slots + place;
    for (uint64_t i = 0; i < to_edge; i++)
        s[i] = slot;
    for (uint64_t i = 0; i < count - to_edge; i++)
        p->slots[i] = slot;
}

void window_reach(struct progress *p, uint64_t next)
{
    if (next <= p->next)
        return;
    const uint64_t need = next - p->position;
    CHECK(need <= WINDOW_ROOM_MAX);
    if (need > p->room) {
        uint32_t room = p->room ? p->room : PROGRESS_WINDOW_MIN;
        while (room < need)
            room *= 2;
        uint32_t *slots = mem_alloc(MEM_GROUP, room * sizeof(*slots));
        for (uint64_t o = p->position; o < p->next; o++)
            slots[o & (room - 1)] = *window_slot(p, o);
        mem_free(MEM_GROUP, p->slots, p->room * sizeof(*slots));
        p->slots = slots;
        p->room = room;
    }
    if (p->front == p->next && p->waiting == 0)
        p->front = next;
    p->next = next;
}

void window_extend(struct progress *p, uint64_t next)
{
    const uint64_t from = p->next;
    if (next <= from)
        return;
    window_reach(p, next);
    window_fill(p, from, next - from, SLOT_NEW);
    p->waiting += (uint32_t)(next - from);
    if (from < p->front)
        p->front = from;
}

uint64_t window_run(const struct progress *p, uint64_t first, uint64_t end)
{
    const uint32_t slot = *window_slot(p, first);
    uint64_t o = first + 1;
    while (o < end && *window_slot(p, o) == slot)
        o++;
    return o - first;
}

void window_count_done(struct progress *p, uint64_t first, uint64_t count)
{
    if (!count)
        return;
    if (!p->untold || first < p->untold_first)
        p->untold_first = first;
    p->done += (uint32_t)count;
    p->untold += (uint32_t)count;
}

void window_waits(struct progress *p, uint64_t offset)
{
    p->waiting++;
    if (offset < p->front)
        p->front = offset;
}

static bool window_is_waiting(const struct progress *p, uint64_t offset)
{
    const uint32_t slot = *window_slot(p, offset);
    return slot == SLOT_NEW || (p->ordered && slot == SLOT_ITEM && !item_is(event_item(p, offset), ITEM_OUT));
}

void window_free(struct progress *p)
{
    CHECK(p->position == p->next);
    mem_free(MEM_GROUP, p->slots, p->room * sizeof(*p->slots));
    p->slots = NULL;
    p->room = 0;
    if (!p->in_flight)
        lease_free_pool(p);
}

void window_settle(struct progress *p)
{
    if (p->waiting == 0)
        p->front = p->next;
    else
        while (!window_is_waiting(p, p->front))
            p->front++;

    uint64_t o = p->position;
    uint32_t untold = 0;
    for (; o < p->next; o++) {
        const uint32_t slot = *window_slot(p, o);
        if (!slot_is_done(slot))
            break;
        untold += slot == SLOT_DONE;
    }
    if (o != p->position) {
        p->done -= (uint32_t)(o - p->position);
        p->untold -= untold;
        p->position = o;
        p->position_changed = true;
    }
    CHECK(p->position <= p->front && p->front <= p->next);
    if (p->position == p->next) {
        CHECK(p->done == 0 && p->untold == 0 && p->waiting == 0 && p->window_out == 0);
        if (p->room > WINDOW_ROOM_KEPT)
            window_free(p);
    }
}

void window_reset(struct progress *p, uint64_t position)
{
    CHECK(p->window_out == 0);
    p->position = p->front = p->next = position;
    p->waiting = p->done = p->untold = 0;
    window_free(p);
}
