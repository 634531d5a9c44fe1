/* SPDX-License-Identifier: Apache-2.0
 *
 * group/progress_own.h: what the files behind progress.h share.
 *
 *   window.c    slots: one word for each event of the window; position, front, next
 *   lease.c     leases: ranges that are out, by holder and by deadline
 *   items.c     items: events with a history, by offset and by due time
 *   event.c     one event from one state into another: the only place where the three meet
 *   offer.c     what may go out, and its going out
 *   progress.c  what holders say of what they have
 *   fate.c      what becomes of failed events; seek, redrive, truncate
 *   ends.c      deadlines that passed, holders that end
 *   changes.c   what is stored, and restoring it
 */
#ifndef RUNNEL_GROUP_PROGRESS_OWN_H
#define RUNNEL_GROUP_PROGRESS_OWN_H

#include "base/check.h"
#include "group/items_own.h"
#include "group/progress.h"

/* A slot: one of these, or SLOT_LEASE plus the index of the lease that the event is out in by itself. An item
 * that is out keeps SLOT_ITEM; the item knows its lease. */
enum {
    SLOT_NEW,
    SLOT_DONE, /* and progress_take_changes() has not told yet */
    SLOT_TOLD, /* done, and told */
    SLOT_ITEM,
    SLOT_LEASE,
};

enum {
    WINDOW_ROOM_MAX = 4 * PROGRESS_WINDOW_MAX, /* slots that restoring and settling may cause */
    WINDOW_ROOM_KEPT = 1024,  /* slots that are kept within a turn though the window is empty */
    LEASE_BLOCK = 16,         /* leases are allocated together; they never move: lists go through them */
    RANGE_PAST_MAX = 1 << 16, /* events below the position that a range may repeat while items are apart */
    ITEM_GONE = 0x0f,         /* a state: settled, and progress_take_settled() has not told yet */
};

struct lease {
    struct list of_holder;
    struct list by_deadline; /* of its progress, ascending */
    struct progress *progress;
    struct holder *holder;
    uint64_t first; /* what is out lies in [first, end) */
    uint64_t end;
    int64_t deadline_ms;
    uint32_t index; /* when free: the next free one */
    uint32_t left;  /* events that are out */
    bool items;     /* of items; otherwise of events by themselves. Never both */
    bool alone;     /* a suspect */
};

struct progress {
    bool ordered;
    bool position_changed; /* since progress_take_changes() */
    uint32_t window_max;

    uint64_t position, front, next;
    uint32_t *slots; /* circular: of offset & (room - 1), for [position, next) */
    uint32_t room;
    uint32_t
        waiting; /* slots that wait: new ones; ordered: also items that are not out. `front` is the lowest */
    uint32_t done;   /* done slots */
    uint32_t untold; /* those of them in state SLOT_DONE; the lowest is not below untold_first */
    uint64_t untold_first;

    struct list by_deadline;
    struct lease **lease_blocks;
    uint32_t lease_block_count, leases, lease_free; /* lease_free: index plus one */
    uint32_t in_flight;                             /* events that are out */
    uint32_t window_out;                            /* those of them that lie in the window, not apart */
    uint32_t items_out;                             /* and those of these that are items */
    struct holder *owner;                           /* ordered: who has what is out of the window */

    struct items items; /* with those gone */
    uint32_t apart;     /* items apart, not gone */
    uint64_t *gone;     /* offsets of items apart that were settled; some may have come again since */
    uint32_t gone_count, gone_room;
    uint32_t items_gone; /* items in state ITEM_GONE */
};

/* ---- window.c ---- */

static inline uint32_t *window_slot(const struct progress *p, uint64_t offset)
{
    return &p->slots[offset & (p->room - 1)];
}
static inline bool window_has(const struct progress *p, uint64_t offset)
{
    return offset >= p->position && offset < p->next;
}
static inline bool slot_is_done(uint32_t slot)
{
    return slot == SLOT_DONE || slot == SLOT_TOLD;
}
/* Writes [first, first+count), which lies in the window. */
void window_fill(struct progress *p, uint64_t first, uint64_t count, uint32_t slot);
/* Makes the window reach to `next` at least. The caller fills what is new of it. */
void window_reach(struct progress *p, uint64_t next);
/* As window_reach; what is new of it waits. */
void window_extend(struct progress *p, uint64_t next);
/* How many slots from `first` on, below `end`, are equal to that at `first`. */
uint64_t window_run(const struct progress *p, uint64_t first, uint64_t end);
/* [first, first+count) was written as SLOT_DONE: counts it. */
void window_count_done(struct progress *p, uint64_t first, uint64_t count);
/* An event waits from now on, or waits no more: the slot has been written. After the latter window_settle()
 * has to follow before anybody looks at `front`. */
void window_waits(struct progress *p, uint64_t offset);
static inline void window_waits_not(struct progress *p, uint64_t count)
{
    p->waiting -= (uint32_t)count;
}
/* Moves `front` and the position to where they belong; frees what is empty. */
void window_settle(struct progress *p);
/* Frees what an empty window keeps. */
void window_free(struct progress *p);
/* Empty, at `position`. Nothing is out of it, it has no items. */
void window_reset(struct progress *p, uint64_t position);

/* ---- lease.c ---- */

static inline struct lease *lease_at(const struct progress *p, uint32_t index)
{
    return &p->lease_blocks[index / LEASE_BLOCK][index % LEASE_BLOCK];
}
/* Of `count` events in [first, end), which are out from now on: holder's and progress's accounts say so. The
 * caller writes slots or items. */
struct lease *lease_create(struct progress *p, struct holder *h, uint64_t first, uint64_t end, uint32_t count,
                           int64_t deadline_ms);
/* `count` of its events are not out any more; the last one frees it. */
void lease_drop(struct lease *l, uint32_t count);
void lease_set_deadline(struct lease *l, int64_t deadline_ms);
/* The lowest of its events that is out. */
uint64_t lease_lowest(struct lease *l);
/* Frees the pool; no lease is left. */
void lease_free_pool(struct progress *p);

/* ---- event.c ---- */

/* The item of an event; NULL also for one that is gone. */
struct item *event_item(const struct progress *p, uint64_t offset);
static inline bool item_is(const struct item *item, unsigned state)
{
    return (item->state & ITEM_STATE_MASK) == state;
}
static inline void item_set(struct item *item, unsigned state)
{
    item->state = (uint8_t)((item->state & ~ITEM_STATE_MASK) | state);
}
/* What is true of [offset, offset + *run) within [offset, end): the lease that it is all out in, else NULL,
 * and whether it is done. */
struct lease *event_out(const struct progress *p, uint64_t offset, uint64_t end, uint64_t *run, bool *done);
/* Out -> waiting, not charged. */
void event_give_back(struct progress *p, uint64_t offset);
/* Out -> a failed item, which waits for its fate (ITEM_FAILED). */
struct item *event_fail(struct progress *p, uint64_t offset, bool charge);
/* Out -> a suspect, due at once. */
void event_suspect(struct progress *p, uint64_t offset);
/* Anything in the window or apart -> done. window_settle() has to follow. */
void event_settle(struct progress *p, uint64_t offset);
/* A failed, waiting or given up item -> the given one of these. */
void event_decide(struct progress *p, struct item *item, unsigned state, int64_t due_ms);
/* A waiting item -> out in a lease. window_settle() has to follow. */
void event_hand_out(struct progress *p, struct item *item, struct lease *l);
/* An item apart, due at `due_ms`, for an event that has none and is done. */
struct item *event_set_apart(struct progress *p, uint64_t offset, int64_t due_ms);
/* Ordered: gives back what of the window is out from `offset` on. */
void event_withdraw_from(struct progress *p, uint64_t offset);

#endif
