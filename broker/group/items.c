/* SPDX-License-Identifier: Apache-2.0
 *
 * group/items.c: see items_own.h.
 */
#include "group/items_own.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { ITEMS_MIN = 8 };

/* ---- found by offset ---- */

static uint32_t items_home(const struct items *t, uint64_t offset)
{
    return (uint32_t)((offset * 0x9e3779b97f4a7c15ull) >> 32) & (t->hash_room - 1);
}

/* The place in the hash that names this offset, or the empty one where it would be. */
static uint32_t items_probe(const struct items *t, uint64_t offset)
{
    uint32_t i = items_home(t, offset);
    while (t->hash[i] && t->at[t->hash[i] - 1].offset != offset)
        i = (i + 1) & (t->hash_room - 1);
    return i;
}

struct item *items_find(const struct items *t, uint64_t offset)
{
    if (!t->count)
        return NULL;
    const uint32_t named = t->hash[items_probe(t, offset)];
    return named ? &t->at[named - 1] : NULL;
}

/* Closes the hole at `hole`: those behind it that would rather be there move up, so that no probe ends too
 * early. */
static void items_hash_close(struct items *t, uint32_t hole)
{
    const uint32_t mask = t->hash_room - 1;
    for (uint32_t i = (hole + 1) & mask; t->hash[i]; i = (i + 1) & mask) {
        const uint32_t home = items_home(t, t->at[t->hash[i] - 1].offset);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->hash[hole] = t->hash[i];
            hole = i;
        }
    }
    t->hash[hole] = 0;
}

/* Room for so many; the hash stays at most three quarters full. */
static void items_resize(struct items *t, uint32_t room)
{
    CHECK(room >= t->count);
    t->at = mem_realloc(MEM_GROUP, t->at, t->room * sizeof(*t->at), room * sizeof(*t->at));
    t->room = room;
    uint32_t hash_room = ITEMS_MIN;
    while (hash_room / 4 * 3 < room)
        hash_room *= 2;
    if (hash_room == t->hash_room)
        return;
    mem_free(MEM_GROUP, t->hash, t->hash_room * sizeof(*t->hash));
    t->hash = mem_zalloc(MEM_GROUP, hash_room * sizeof(*t->hash));
    t->hash_room = hash_room;
    for (uint32_t i = 0; i < t->count; i++)
        t->hash[items_probe(t, t->at[i].offset)] = i + 1;
}

struct item *items_add(struct items *t, uint64_t offset)
{
    if (t->count == t->room)
        items_resize(t, t->room ? t->room + t->room / 2 : ITEMS_MIN);
    struct item *item = &t->at[t->count];
    memset(item, 0, sizeof(*item));
    item->offset = offset;
    const uint32_t place = items_probe(t, offset);
    CHECK(t->hash[place] == 0);
    t->hash[place] = ++t->count;
    return item;
}

void items_remove(struct items *t, struct item *item)
{
    items_unqueue(t, item);
    const uint32_t index = (uint32_t)(item - t->at);
    CHECK(index < t->count);
    items_hash_close(t, items_probe(t, item->offset));
    const uint32_t last = --t->count;
    if (index != last) {
        t->hash[items_probe(t, t->at[last].offset)] = index + 1;
        *item = t->at[last];
        if (item->heap_at)
            t->heaps[item->heap].at[item->heap_at - 1] = index;
    }
    if (t->count == 0)
        items_free(t);
    else if (t->room > ITEMS_MIN && t->count < t->room / 4)
        items_resize(t, t->room / 2 > ITEMS_MIN ? t->room / 2 : ITEMS_MIN);
}

void items_free(struct items *t)
{
    mem_free(MEM_GROUP, t->at, t->room * sizeof(*t->at));
    mem_free(MEM_GROUP, t->hash, t->hash_room * sizeof(*t->hash));
    for (unsigned h = 0; h < HEAPS; h++)
        mem_free(MEM_GROUP, t->heaps[h].at, t->heaps[h].room * sizeof(*t->heaps[h].at));
    memset(t, 0, sizeof(*t));
}

/* ---- queued by due time ---- */

static bool item_before(const struct item *a, const struct item *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->offset < b->offset;
}

static void heap_put(struct items *t, struct item_heap *heap, uint32_t place, uint32_t index)
{
    heap->at[place] = index;
    t->at[index].heap_at = place + 1;
}

static void heap_rise(struct items *t, struct item_heap *heap, uint32_t place)
{
    const uint32_t index = heap->at[place];
    while (place) {
        const uint32_t above = (place - 1) / 2;
        if (!item_before(&t->at[index], &t->at[heap->at[above]]))
            break;
        heap_put(t, heap, place, heap->at[above]);
        place = above;
    }
    heap_put(t, heap, place, index);
}

static void heap_sink(struct items *t, struct item_heap *heap, uint32_t place)
{
    const uint32_t index = heap->at[place];
    for (;;) {
        uint32_t below = 2 * place + 1;
        if (below >= heap->count)
            break;
        if (below + 1 < heap->count && item_before(&t->at[heap->at[below + 1]], &t->at[heap->at[below]]))
            below++;
        if (!item_before(&t->at[heap->at[below]], &t->at[index]))
            break;
        heap_put(t, heap, place, heap->at[below]);
        place = below;
    }
    heap_put(t, heap, place, index);
}

static void heap_resize(struct item_heap *heap, uint32_t room)
{
    heap->at = mem_realloc(MEM_GROUP, heap->at, heap->room * sizeof(*heap->at), room * sizeof(*heap->at));
    heap->room = room;
}

void items_queue(struct items *t, struct item *item, uint8_t heap_id)
{
    CHECK(item->heap_at == 0);
    struct item_heap *heap = &t->heaps[heap_id];
    if (heap->count == heap->room)
        heap_resize(heap, heap->room ? heap->room + heap->room / 2 : ITEMS_MIN);
    item->heap = heap_id;
    heap->at[heap->count++] = (uint32_t)(item - t->at);
    heap_rise(t, heap, heap->count - 1);
}

void items_unqueue(struct items *t, struct item *item)
{
    if (!item->heap_at)
        return;
    struct item_heap *heap = &t->heaps[item->heap];
    const uint32_t place = item->heap_at - 1;
    CHECK(heap->at[place] == (uint32_t)(item - t->at));
    item->heap_at = 0;
    const uint32_t last = heap->at[--heap->count];
    if (place < heap->count) {
        heap_put(t, heap, place, last);
        heap_rise(t, heap, place);
        heap_sink(t, heap, t->at[last].heap_at - 1);
    }
    if (heap->room > ITEMS_MIN && heap->count < heap->room / 4)
        heap_resize(heap, heap->room / 2 > ITEMS_MIN ? heap->room / 2 : ITEMS_MIN);
}

struct item *items_top(const struct items *t, uint8_t heap)
{
    return t->heaps[heap].count ? &t->at[t->heaps[heap].at[0]] : NULL;
}
