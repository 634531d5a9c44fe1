/* SPDX-License-Identifier: Apache-2.0
 *
 * group/progress.h: how far one group is in one partition: what is settled, what is out, what failed.
 *
 *      position        front                next                        end
 *   ·I····│L D L L D I I │n n D n n L L L L L │ not delivered yet ········│
 *         └──────────── window: a slot each ──┘
 *   I (below position): an item apart, a dead letter that was given to the group again
 *
 * An event of the window is in exactly one of these states:
 *   new     to be delivered (again): nobody holds it, and it has no history
 *   leased  out with one holder, until a deadline: one `lease` for each range that was handed out at once
 *   item    an event with a history: it failed, or its holder died (a suspect), or it is being given up
 *   done    settled: acknowledged, dead-lettered, discarded or gone
 * An item waits for its due time, or is out, or is being given up. Items *apart* are redriven ones: their
 * events are settled for the window, so they lie below the position or on a done slot, and hold nothing back.
 *
 * Pure: no clock, no input or output, no store. Times come in as milliseconds of the caller's wall clock.
 *
 * Invariants
 *   position <= front <= next; everything below position is done; slot [position] is not done.
 *   next - position <= the window's limit (as long as that is not lowered).
 *   Nothing is skipped: an event leaves the window only as done; done is final, except by progress_redrive()
 *     (an item apart) and progress_seek().
 *   What is left of the leases, added up, is what is out: in_flight, here and in the holders.
 *   Ordered: no event of the window is out above one that waits (new or item), so deliveries between
 *     two withdrawals ascend; an item of the window is out alone in its partition; one holder has all
 *     of the window that is out. Items apart keep no order: somebody asked for them by name.
 *   Shared: an item never holds back another event, as long as the window has room.
 *   Attempts rise only through progress_fail(charge), progress_expire() and holder_end(HOLDER_DIED) of
 *     a holder that had this one event in flight.
 *   A suspect stays one, delivered alone, until it is settled or a living holder refuses it.
 *
 * Memory: 4 bytes for each event of the window, 80 for a lease, about 50 for an item. It goes when there is
 * none, the last KB with progress_take_changes(): an idle progress is no more than its struct.
 */
#ifndef RUNNEL_GROUP_PROGRESS_H
#define RUNNEL_GROUP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct progress;

/* Who has events out: embedded in a member, for all its partitions. */
struct holder {
    struct list leases;
    uint32_t in_flight; /* events */
    uint32_t alone;     /* suspects among them: 0 or 1 when the rule for offer.alone is kept */
    void *member;       /* the coordinator's */
};
void holder_init(struct holder *h, void *member);

enum {
    PROGRESS_WINDOW_MIN = 64,
    PROGRESS_WINDOW_MAX = 1 << 20, /* the largest limit that may be set: 4 MiB of slots */
};

/* `window_max`: a power of two of PROGRESS_WINDOW_MIN..MAX. */
struct progress *progress_create(bool ordered, uint32_t window_max, uint64_t position);
/* Leases are released first; holders' accounts stay right. NULL is ignored. */
void progress_free(struct progress *p);
/* Another limit from now on. What is in the window already stays in it. */
void progress_set_window(struct progress *p, uint32_t window_max);

uint64_t progress_position(const struct progress *p);
/* Where deliveries go on: ordered: the lowest event that waits to be delivered (again), shared: behind all
 * that were ever delivered. */
uint64_t progress_next(const struct progress *p);
/* Events of [position, end) that are not done, and the items apart: the lag in events. */
uint64_t progress_pending(const struct progress *p, uint64_t end);
uint32_t progress_in_flight(const struct progress *p);
uint32_t progress_items(const struct progress *p);

/* ---- delivering ---- */

/* What may go out now. NEW: [offset, offset+count). ITEM: the `count` events from `offset`, which have all
 * failed `attempts` times: 1, or several due neighbours. `alone`: a suspect; only for a holder with nothing
 * in flight anywhere, which then gets nothing else until that is settled: who dies with it has named the
 * culprit. */
enum offer_kind { OFFER_NONE, OFFER_NEW, OFFER_ITEM };
struct offer {
    enum offer_kind kind;
    uint64_t offset;
    uint32_t count;
    uint16_t attempts;
    bool alone;
};
/* Why nothing is offered though something is pending. */
enum progress_pause {
    PAUSE_NONE,
    PAUSE_WINDOW_FULL, /* too many events after one that is not settled */
    PAUSE_RETRY,       /* ordered: the next event waits for its due time */
    PAUSE_ALONE,       /* ordered: an item is out alone; or a suspect waits until nothing is out */
    PAUSE_GIVING_UP,   /* ordered: the next event is being given up */
};
/* `end`: the durable end; `room`: events that the taker may get. PAUSE_NONE whenever there is an offer. Due
 * items come first, the longest due one at the head. */
enum progress_pause progress_offer(const struct progress *p, uint64_t end, int64_t now_ms, uint32_t room,
                                   struct offer *out);
/* The same for a holder that has something in flight: leaves suspects out. In a shared group they do not hold
 * the others back; in an ordered one a suspect that is next pauses (PAUSE_ALONE). */
enum progress_pause progress_offer_beside(const struct progress *p, uint64_t end, int64_t now_ms,
                                          uint32_t room, struct offer *out);
/* Hands [first, first+count) of what was offered to a holder: from the offer's beginning, or less; events of
 * the offer before `first` no longer exist and are settled (count 0: only that). False, and nothing has
 * changed, when the offer no longer stands because something happened since it was made: ask again. Ordered:
 * while one holder has events of the window out, no other may take any: progress_withdraw() first. */
bool progress_lease(struct progress *p, const struct offer *o, uint64_t first, uint32_t count,
                    struct holder *h, int64_t deadline_ms);
/* The earliest time at which an item is due, INT64_MAX if none waits. It may have passed: such items go out
 * with the next offer that can be taken, not by a timer. */
int64_t progress_due(const struct progress *p);
/* The earliest deadline of a lease, INT64_MAX if nothing is out. */
int64_t progress_deadline(const struct progress *p);

/* ---- what holders say ---- */

enum settle {
    SETTLE_OK,
    SETTLE_UNKNOWN,  /* an event of the range is not out at all, or none of them is */
    SETTLE_NOT_YOURS /* an event of the range is out with somebody else */
};
/* These four take [first, first+count): every event of it must be out with `h` or done already, and at least
 * one out with `h`; otherwise nothing changes and the answer says why. */

/* Settles them. */
enum settle progress_ack(struct progress *p, struct holder *h, uint64_t first, uint32_t count);
/* Another deadline. */
enum settle progress_extend(struct progress *p, struct holder *h, uint64_t first, uint32_t count,
                            int64_t deadline_ms);
/* Given back before they were begun: not charged. Ordered: everything from the first of them on is withdrawn.
 */
enum settle progress_release(struct progress *p, struct holder *h, uint64_t first, uint32_t count);
/* One event failed: it is an item now, and the caller says next what becomes of it: progress_retry(),
 * progress_give_up() or progress_settle(). Charged if `charge`. attempts_out (may be NULL): how often it
 * failed so far. Ordered: everything after it is withdrawn, not charged. */
enum settle progress_fail(struct progress *p, struct holder *h, uint64_t offset, bool charge,
                          uint32_t error_class, uint16_t *attempts_out);

/* ---- what becomes of a failed event ---- */

/* Delivered again from due_ms on. Ignored unless the event is an item that is not out. */
void progress_retry(struct progress *p, uint64_t offset, int64_t due_ms);
/* Delivered no more; ordered: blocks its partition; until progress_settle() or progress_retry(). Ignored
 * unless the event is an item that is not out. */
void progress_give_up(struct progress *p, uint64_t offset);
/* Done, whatever it was: the dead letter is written, or it is discarded. False, and nothing has changed, when
 * it lies too far past the position (four times PROGRESS_WINDOW_MAX) to be remembered. */
bool progress_settle(struct progress *p, uint64_t offset);
/* What progress_expire() or holder_end() charged just now is not charged. */
void progress_uncharge(struct progress *p, uint64_t offset);
/* Attempts of items that failed for this reason are forgotten. How many items. */
uint32_t progress_forgive(struct progress *p, uint32_t error_class);
/* The class of the error of an item (progress_fail sets it; after expiry or death the caller knows it). */
void progress_set_class(struct progress *p, uint64_t offset, uint32_t error_class);

/* ---- time, deaths, and orders from above ---- */

/* Leases whose deadline has come (deadline <= now_ms): calls `each` for every event charged, which is an item
 * then, taken from the holder: as after progress_fail(), `each` says what becomes of it. Shared: every event
 * of these leases is charged. Ordered: the first is; the others were not begun and are withdrawn with all
 * that follows. */
void progress_expire(struct progress *p, int64_t now_ms,
                     void (*each)(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts),
                     void *ctx);
/* Everything that the holder has out, in any progress. LEFT: given back, not charged. DIED: suspects; an
 * event that was its only one in flight anywhere is charged: `each` is called for it as in progress_expire().
 */
enum holder_end { HOLDER_LEFT, HOLDER_DIED };
void holder_end(struct holder *h, enum holder_end how,
                void (*each)(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts), void *ctx);
/* Takes back what `h` has out of this partition. Not charged. */
void progress_withdraw(struct progress *p, struct holder *h);
/* Goes on at `position`, forgetting leases, window and items. */
void progress_seek(struct progress *p, uint64_t position);
/* Gives a settled event to the group again: an item apart, attempts 0. False, and no change, when it is
 * pending anyway (not settled, or redriven already). */
bool progress_redrive(struct progress *p, uint64_t offset, int64_t due_ms);
/* Retention: below `start` nothing is pending any more; items apart go too. */
void progress_truncate(struct progress *p, uint64_t start);

/* ---- what is stored: changes since last asked, and everything ---- */

struct progress_range {
    uint64_t first, end;
};
/* Whether progress_take_changes() or progress_take_settled() has something. */
bool progress_dirty(const struct progress *p);
/* The position, and ranges past it that became done since last told, at most `room`; the number of ranges.
 * Call again until 0. Replayed by progress_restore_position() and progress_restore_done(). */
uint32_t progress_take_changes(struct progress *p, uint64_t *position, struct progress_range *out,
                               uint32_t room);
/* Items apart that were settled since last told: neither position nor ranges say so. At most `room`; call
 * again until 0. Replayed by progress_settle(). */
uint32_t progress_take_settled(struct progress *p, uint64_t *out, uint32_t room);

/* Everything done past the position, ascending. */
void progress_each_done(const struct progress *p, void (*each)(void *ctx, uint64_t first, uint64_t end),
                        void *ctx);

/* States of an item, in the low bits of progress_item.state. */
enum progress_item_state {
    ITEM_FAILED = 0,    /* progress_fail() or `each` just now: nobody said yet what becomes of it */
    ITEM_WAITING = 1,   /* goes out from due_ms on */
    ITEM_OUT = 2,       /* is out */
    ITEM_GIVING_UP = 3, /* its dead letter is being written */
    ITEM_STATE_MASK = 0x0f,
    /* and flags */
    ITEM_SUSPECT = 0x10, /* its holder died: it goes out alone */
    ITEM_APART = 0x20,   /* redriven: outside the window */
};
/* An item as it is stored. `state` is one byte to be stored as it is. */
struct progress_item {
    uint64_t offset;
    uint16_t attempts;
    uint8_t state;
    int64_t due_ms;
    uint32_t error_class;
};
/* Every item, in no order. */
void progress_each_item(const struct progress *p, void (*each)(void *ctx, const struct progress_item *item),
                        void *ctx);
/* One of them; false if the event is not an item. */
bool progress_find_item(const struct progress *p, uint64_t offset, struct progress_item *out);

/* Restoring, from a snapshot (position, then done ranges, then items) or from changes in the order in which
 * they were taken. What a file says is input: ranges and items too far past the position are left out, and
 * their events simply delivered again. A state of ITEM_OUT or ITEM_FAILED is restored as due now. An item
 * that is there already takes the new values and stays apart if it was; one below the position or on a done
 * event is apart. */
void progress_restore_done(struct progress *p, uint64_t first, uint64_t end);
void progress_restore_item(struct progress *p, const struct progress_item *item);
/* Settles an event, or ends its item apart. */
void progress_restore_settled(struct progress *p, uint64_t offset);
/* Settles what is below `position`, but for items apart. Never goes back. */
void progress_restore_position(struct progress *p, uint64_t position);

#endif
