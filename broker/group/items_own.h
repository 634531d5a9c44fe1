/* SPDX-License-Identifier: Apache-2.0
 *
 * group/items_own.h: the table of items: events with a history, found by offset, queued by due time.
 *
 *   items  [ a b c d . . ]      dense; the last one fills the hole that a removal leaves
 *   hash   [ . 2 . 0 1 . 3 . ]  of the offset: where in `items`, plus one; open addressing, no tombstones
 *   heaps  [ 2 0 ] [ 3 ]        where in `items`: those that wait, by (due, offset); suspects apart from the
 * others, since they need a taker of their own
 *
 * A pointer to an item is good until the next items_add() or items_remove().
 */
#ifndef RUNNEL_GROUP_ITEMS_OWN_H
#define RUNNEL_GROUP_ITEMS_OWN_H

#include <stdbool.h>
#include <stdint.h>

enum { HEAP_WAITING, HEAP_SUSPECTS, HEAPS };

struct item {
    uint64_t offset;
    int64_t due_ms;
    uint32_t error_class;
    uint32_t lease;   /* ITEM_OUT: its lease's index */
    uint32_t heap_at; /* place in its heap plus one; 0: in none */
    uint16_t attempts;
    uint8_t state; /* enum progress_item_state and flags; or ITEM_GONE */
    uint8_t heap;
};
_Static_assert(sizeof(struct item) == 32, "a million items is 32 MB and their tables");

struct items {
    struct item *at;
    uint32_t *hash;
    uint32_t count, room, hash_room;
    struct item_heap {
        uint32_t *at;
        uint32_t count, room;
    } heaps[HEAPS];
};

struct item *items_find(const struct items *t, uint64_t offset);
/* A zeroed item for an offset that has none. */
struct item *items_add(struct items *t, uint64_t offset);
/* Unqueues and forgets it. */
void items_remove(struct items *t, struct item *item);
/* Into a heap by its due time; it is in none. */
void items_queue(struct items *t, struct item *item, uint8_t heap);
/* Out of its heap, if it is in one. */
void items_unqueue(struct items *t, struct item *item);
/* The earliest of a heap; NULL if it is empty. */
struct item *items_top(const struct items *t, uint8_t heap);
void items_free(struct items *t);

#endif
