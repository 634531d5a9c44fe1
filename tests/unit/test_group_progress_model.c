/* SPDX-License-Identifier: Apache-2.0
 *
 * Random sequences of everything that group/progress.h can do, against a model that keeps one struct for each
 * event and looks at all of them every time. What it shows, in both modes: every event becomes done once, by
 * being acknowledged, settled or truncated, or is still pending; what is in flight is what was handed out and
 * not taken back, here and in the holders; the position is the first event that is not done; attempts rise
 * only by the rules; ordered deliveries ascend; a snapshot restored is the same again, and so are the changes
 * taken at each turn's end, replayed. A failure names its seed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "effort.h"
#include "group/progress.h"

enum { EVENTS = 320, HOLDERS = 3, PROGRESSES = 2, WINDOW = 64, STEPS = 500, RECORDS = 4096 };

enum model_state { M_NEW, M_OUT, M_DONE, M_ITEM };

struct model_item {
    bool exists, apart, suspect;
    enum progress_item_state state;
    unsigned attempts;
    int64_t due_ms;
    uint32_t error_class;
};

struct event {
    enum model_state state; /* in the window; an item apart has M_DONE here */
    struct model_item item;
    int holder; /* of the event that is out, or of its item that is */
    int64_t deadline_ms;
    bool alone;
    unsigned times_done;
    bool stored;                 /* item: a record of it was written */
    struct model_item as_stored; /* as that said it */
};

struct model {
    struct progress *p, *replica;
    struct event events[EVENTS];
    uint64_t position, next, end;
    int64_t last_delivered; /* ordered: since the last withdrawal */
    struct progress_item records[RECORDS];
    unsigned record_count;
};

struct world {
    uint64_t seed, random;
    bool ordered;
    int64_t now_ms;
    struct holder holders[HOLDERS];
    struct model models[PROGRESSES];
    unsigned expired; /* calls of the callback */
};

static uint64_t rnd(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random >> 11) % below;
}

#define OK(w, condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            char text_[256];                                                                                 \
            snprintf(text_, sizeof(text_), __VA_ARGS__);                                                     \
            cr_assert(false, "seed %lu %s, line %d: %s: %s", (unsigned long)(w)->seed,                       \
                      (w)->ordered ? "ordered" : "shared", __LINE__, #condition, text_);                     \
        }                                                                                                    \
    } while (0)

/* ---- the model ---- */

static bool model_out(const struct event *e)
{
    return e->state == M_OUT || (e->item.exists && e->item.state == ITEM_OUT);
}

static bool model_in_window(const struct event *e)
{
    return !(e->item.exists && e->item.apart);
}

static void model_done(struct event *e)
{
    if (e->item.exists && e->item.apart) {
        e->item.exists = false;
        return;
    }
    if (e->state != M_DONE)
        e->times_done++;
    e->state = M_DONE;
    e->item.exists = false;
}

static void model_give_back(struct event *e)
{
    if (e->item.exists)
        e->item.state = ITEM_WAITING;
    else
        e->state = M_NEW;
}

/* Ordered: all of the window from `offset` on that is out waits again. */
static void model_withdraw(struct world *w, struct model *m, uint64_t offset)
{
    if (!w->ordered)
        return;
    for (uint64_t o = offset; o < m->next; o++)
        if (model_out(&m->events[o]) && model_in_window(&m->events[o]))
            model_give_back(&m->events[o]);
    m->last_delivered = -1;
}

static void model_fail(struct world *w, struct model *m, uint64_t offset, bool charge, bool suspect)
{
    struct event *e = &m->events[offset];
    if (!e->item.exists) {
        e->item = (struct model_item){ .exists = true };
        e->state = M_ITEM;
        e->stored = false;
    }
    e->item.state = ITEM_FAILED;
    e->item.attempts += charge;
    e->item.suspect = suspect;
    if (model_in_window(e))
        model_withdraw(w, m, offset + 1);
}

static void model_settle(struct model *m)
{
    while (m->position < m->next && m->events[m->position].state == M_DONE)
        m->position++;
}

static void model_reach(struct model *m, uint64_t next)
{
    if (next > m->next)
        m->next = next;
}

/* The lowest event that waits: ordered also an item. */
static uint64_t model_front(const struct world *w, const struct model *m)
{
    uint64_t o = m->position;
    for (; o < m->next; o++) {
        const struct event *e = &m->events[o];
        if (e->state == M_NEW || (w->ordered && e->state == M_ITEM && e->item.state != ITEM_OUT))
            break;
    }
    return o;
}

/* ---- comparing ---- */

struct collected {
    const struct world *w;
    const struct model *m;
    bool done[EVENTS];
    unsigned items;
    bool replica;
};

static void collect_done(void *ctx, uint64_t first, uint64_t end)
{
    struct collected *c = ctx;
    for (uint64_t o = first; o < end; o++)
        c->done[o] = true;
}

static void collect_item(void *ctx, const struct progress_item *item)
{
    struct collected *c = ctx;
    const struct event *e = &c->m->events[item->offset];
    c->items++;
    OK(c->w, e->item.exists, "item %lu", (unsigned long)item->offset);
    const struct model_item *want = c->replica ? &e->as_stored : &e->item;
    OK(c->w, !c->replica || e->stored, "item %lu", (unsigned long)item->offset);
    OK(c->w, item->attempts == want->attempts, "item %lu: %u attempts, not %u", (unsigned long)item->offset,
       item->attempts, want->attempts);
    OK(c->w, (item->state & ITEM_STATE_MASK) == want->state, "item %lu: state %u, not %u",
       (unsigned long)item->offset, item->state, want->state);
    OK(c->w, !!(item->state & ITEM_APART) == e->item.apart, "item %lu", (unsigned long)item->offset);
    OK(c->w, !!(item->state & ITEM_SUSPECT) == want->suspect, "item %lu", (unsigned long)item->offset);
    OK(c->w, item->due_ms == want->due_ms || item->state == ITEM_FAILED, "item %lu",
       (unsigned long)item->offset);
    OK(c->w, item->error_class == want->error_class, "item %lu", (unsigned long)item->offset);
}

/* Position, done ranges and items. The replica knows the items that were stored, as they were then. */
static void compare_stored(const struct world *w, const struct model *m, const struct progress *p,
                           bool replica)
{
    struct collected c = { .w = w, .m = m, .replica = replica };
    unsigned items = 0;
    OK(w, progress_position(p) == m->position, "%lu, not %lu", (unsigned long)progress_position(p),
       (unsigned long)m->position);
    progress_each_done(p, collect_done, &c);
    progress_each_item(p, collect_item, &c);
    for (uint64_t o = 0; o < EVENTS; o++) {
        const struct event *e = &m->events[o];
        OK(w, o < m->position || c.done[o] == (e->state == M_DONE), "event %lu: state %d, %d",
           (unsigned long)o, e->state, c.done[o]);
        items += e->item.exists && (!replica || e->stored);
    }
    OK(w, c.items == items && progress_items(p) == items, "%u, not %u", c.items, items);
}

static void compare(const struct world *w)
{
    uint32_t held[HOLDERS] = { 0 }, alone[HOLDERS] = { 0 };
    for (unsigned i = 0; i < PROGRESSES; i++) {
        const struct model *m = &w->models[i];
        uint32_t out = 0;
        uint64_t pending = m->end - m->position;
        int64_t due_ms = INT64_MAX, deadline_ms = INT64_MAX;
        const uint64_t front = model_front(w, m);
        for (uint64_t o = 0; o < EVENTS; o++) {
            const struct event *e = &m->events[o];
            OK(w, e->times_done <= 1, "event %lu", (unsigned long)o);
            OK(w, o >= m->position || e->state == M_DONE, "event %lu", (unsigned long)o);
            pending -= o >= m->position && e->state == M_DONE;
            pending += e->item.exists && e->item.apart;
            if (model_out(e)) {
                out++;
                held[e->holder]++;
                alone[e->holder] += e->alone;
                if (e->deadline_ms < deadline_ms)
                    deadline_ms = e->deadline_ms;
                OK(w, !w->ordered || !model_in_window(e) || o < front, "event %lu is out of order",
                   (unsigned long)o);
            }
            if (e->item.exists && e->item.state == ITEM_WAITING && e->item.due_ms < due_ms &&
                (!w->ordered || e->item.apart || o == front))
                due_ms = e->item.due_ms;
        }
        OK(w, progress_in_flight(m->p) == out, "%u, not %u", progress_in_flight(m->p), out);
        OK(w, progress_pending(m->p, m->end) == pending, "%lu, not %lu",
           (unsigned long)progress_pending(m->p, m->end), (unsigned long)pending);
        OK(w, progress_next(m->p) == (w->ordered ? front : m->next), "%lu",
           (unsigned long)progress_next(m->p));
        OK(w, progress_due(m->p) == due_ms, "%ld, not %ld", (long)progress_due(m->p), (long)due_ms);
        OK(w, progress_deadline(m->p) == deadline_ms, "%ld, not %ld", (long)progress_deadline(m->p),
           (long)deadline_ms);
        compare_stored(w, m, m->p, false);
    }
    for (unsigned h = 0; h < HOLDERS; h++)
        OK(w, w->holders[h].in_flight == held[h] && w->holders[h].alone == alone[h], "holder %u: %u, not %u",
           h, w->holders[h].in_flight, held[h]);
}

/* ---- stored changes ---- */

static void record(struct world *w, struct model *m, uint64_t offset)
{
    struct progress_item item;
    OK(w, progress_find_item(m->p, offset, &item), "event %lu", (unsigned long)offset);
    OK(w, m->record_count < RECORDS, "too many");
    m->records[m->record_count++] = item;
    struct event *e = &m->events[offset];
    e->stored = true;
    e->as_stored = e->item;
}

/* The end of a turn: first the records in their order, then what is asked for. */
static void turn_end(struct world *w, struct model *m)
{
    for (unsigned i = 0; i < m->record_count; i++)
        progress_restore_item(m->replica, &m->records[i]);
    m->record_count = 0;
    uint64_t offsets[3], position;
    uint32_t n;
    while ((n = progress_take_settled(m->p, offsets, 3)))
        for (uint32_t i = 0; i < n; i++)
            progress_restore_settled(m->replica, offsets[i]);
    struct progress_range ranges[3];
    do {
        n = progress_take_changes(m->p, &position, ranges, 3);
        for (uint32_t i = 0; i < n; i++)
            progress_restore_done(m->replica, ranges[i].first, ranges[i].end);
        progress_restore_position(m->replica, position);
    } while (n);
    OK(w, !progress_dirty(m->p) && !progress_dirty(m->replica), "after taking all");
    compare_stored(w, m, m->replica, true);
}

static void copy_done(void *ctx, uint64_t first, uint64_t end)
{
    progress_restore_done(ctx, first, end);
}

static void copy_item(void *ctx, const struct progress_item *item)
{
    progress_restore_item(ctx, item);
}

static struct progress *snapshot_copy(struct world *w, const struct progress *p)
{
    struct progress *copy = progress_create(w->ordered, WINDOW, 0);
    progress_restore_position(copy, progress_position(p));
    progress_each_done(p, copy_done, copy);
    progress_each_item(p, copy_item, copy);
    OK(w, !progress_dirty(copy), "what is restored is stored");
    return copy;
}

/* The broker is started again: from what was stored bit by bit, or from a snapshot. */
static void restart(struct world *w, struct model *m)
{
    turn_end(w, m);
    const bool snapshot = rnd(w, 2);
    struct progress *p = snapshot ? snapshot_copy(w, m->p) : m->replica;
    progress_free(m->p);
    if (snapshot)
        progress_free(m->replica);
    m->p = p;
    m->last_delivered = -1;
    m->next = m->position;
    for (uint64_t o = 0; o < EVENTS; o++) {
        struct event *e = &m->events[o];
        if (e->item.exists && !snapshot && !e->stored) {
            e->item.exists = false; /* a suspect that was never charged */
            e->state = M_NEW;
        } else if (e->item.exists && !snapshot) {
            e->item = e->as_stored;
        } else if (e->item.exists && e->item.state == ITEM_OUT) {
            e->item.state = ITEM_WAITING;
            e->item.due_ms = 0;
        } else if (e->state == M_OUT) {
            e->state = M_NEW;
        }
        if (o >= m->position && (e->state == M_DONE || e->state == M_ITEM))
            m->next = o + 1;
        e->stored = e->item.exists;
        e->as_stored = e->item;
    }
    m->replica = snapshot_copy(w, m->p);
    OK(w, progress_position(m->p) == m->position, "restart");
}

/* ---- doing ---- */

/* What the coordinator decides of a failed event. */
static void decide(struct world *w, struct model *m, uint64_t offset)
{
    struct event *e = &m->events[offset];
    const uint32_t class = (uint32_t)rnd(w, 9);
    progress_set_class(m->p, offset, class);
    e->item.error_class = class;
    if (e->item.attempts >= 4) {
        progress_give_up(m->p, offset);
        e->item.state = ITEM_GIVING_UP;
        struct progress_item item;
        OK(w, progress_find_item(m->p, offset, &item), "item");
        e->item.due_ms = item.due_ms;
    } else {
        e->item.due_ms = w->now_ms + (int64_t)rnd(w, 30);
        progress_retry(m->p, offset, e->item.due_ms);
        e->item.state = ITEM_WAITING;
    }
    record(w, m, offset);
}

static bool item_may_go(const struct world *w, const struct event *e, bool beside)
{
    return e->item.exists && e->item.state == ITEM_WAITING && e->item.due_ms <= w->now_ms &&
           !(beside && e->item.suspect);
}

static unsigned window_out(const struct model *m, bool items)
{
    unsigned count = 0;
    for (uint64_t o = m->position; o < m->next; o++)
        count += model_out(&m->events[o]) && model_in_window(&m->events[o]) &&
                 (!items || m->events[o].item.exists);
    return count;
}

/* The earliest item that may go whatever lies before it. */
static const struct event *due_item(const struct world *w, const struct model *m, bool beside)
{
    const struct event *best = NULL;
    for (uint64_t o = 0; o < m->next; o++) {
        const struct event *e = &m->events[o];
        if (!item_may_go(w, e, beside) || (w->ordered && !e->item.apart))
            continue;
        if (!best || e->item.due_ms < best->item.due_ms ||
            (e->item.due_ms == best->item.due_ms && e->item.suspect && !best->item.suspect))
            best = e;
    }
    return best;
}

static void check_items_offer(const struct world *w, const struct model *m, const struct offer *o,
                              uint32_t room, bool beside)
{
    OK(w, o->count >= 1 && o->count <= room && (!o->alone || o->count == 1), "%u", o->count);
    for (uint64_t i = o->offset; i < o->offset + o->count; i++) {
        const struct event *e = &m->events[i];
        OK(w, item_may_go(w, e, beside) && e->item.attempts == o->attempts && e->item.suspect == o->alone,
           "item %lu", (unsigned long)i);
    }
}

static void check_offer(const struct world *w, const struct model *m, const struct offer *o,
                        enum progress_pause pause, uint32_t room, bool beside)
{
    const struct event *due = room ? due_item(w, m, beside) : NULL;
    const uint64_t front = model_front(w, m);
    if (due) {
        OK(w,
           o->kind == OFFER_ITEM && m->events[o->offset].item.due_ms == due->item.due_ms &&
               m->events[o->offset].item.suspect == due->item.suspect,
           "kind %d at %lu", o->kind, (unsigned long)o->offset);
        check_items_offer(w, m, o, room, beside);
        return;
    }
    if (w->ordered && front < m->end && window_out(m, true)) {
        OK(w, o->kind == OFFER_NONE && pause == PAUSE_ALONE, "%d", pause);
        return;
    }
    if (w->ordered && front < m->next && m->events[front].state == M_ITEM) {
        const struct event *e = &m->events[front];
        const enum progress_pause want = e->item.state == ITEM_GIVING_UP ? PAUSE_GIVING_UP
                                         : !item_may_go(w, e, false)     ? PAUSE_RETRY
                                         : e->item.suspect && (beside || window_out(m, false)) ? PAUSE_ALONE
                                                                                               : PAUSE_NONE;
        OK(w, pause == want, "%d, not %d", pause, want);
        OK(w, (o->kind == OFFER_ITEM) == (want == PAUSE_NONE && room > 0), "%d", o->kind);
        if (o->kind == OFFER_ITEM) {
            OK(w, o->offset == front && o->count == 1, "%lu", (unsigned long)o->offset);
            check_items_offer(w, m, o, room, beside);
        }
        return;
    }
    uint64_t reach = front;
    while (reach < m->end && reach - front < room &&
           (reach < m->next ? m->events[reach].state == M_NEW : reach - m->position < WINDOW))
        reach++;
    OK(w, o->kind == (reach > front ? OFFER_NEW : OFFER_NONE), "%d", o->kind);
    const bool full = front == m->next && front < m->end && front - m->position >= WINDOW;
    OK(w, pause == (full ? PAUSE_WINDOW_FULL : PAUSE_NONE), "%d", pause);
    if (o->kind == OFFER_NEW)
        OK(w, o->offset == front && o->count == reach - front && o->attempts == 0 && !o->alone,
           "[%lu, +%u), not [%lu, %lu)", (unsigned long)o->offset, o->count, (unsigned long)front,
           (unsigned long)reach);
}

/* Whether what was offered may still go out. */
static bool offer_stands(const struct world *w, const struct model *m, const struct offer *o, uint64_t end)
{
    for (uint64_t i = o->offset; i < end; i++) {
        const struct event *e = &m->events[i];
        if (o->kind == OFFER_NEW && (i < m->position || (i < m->next && e->state != M_NEW)))
            return false;
        if (o->kind == OFFER_ITEM && (!e->item.exists || e->item.state != ITEM_WAITING ||
                                      e->item.attempts != o->attempts || e->item.suspect != o->alone))
            return false;
    }
    if (o->kind == OFFER_NEW && (o->offset > m->next || o->offset < m->position))
        return false;
    const bool in_order = w->ordered && (o->kind == OFFER_NEW || !m->events[o->offset].item.apart);
    return !in_order ||
           (o->offset == model_front(w, m) && !window_out(m, true) && (!o->alone || !window_out(m, false)));
}

static void lease(struct world *w, struct model *m, const struct offer *o, int holder)
{
    uint64_t first = o->offset;
    uint32_t count = rnd(w, 3) ? o->count : 1 + (uint32_t)rnd(w, o->count);
    if (rnd(w, 30) == 0) { /* some at its beginning are no more */
        const uint32_t gap = 1 + (uint32_t)rnd(w, o->count);
        first += gap;
        count = count < o->count - gap ? count : o->count - gap;
    }
    if (w->ordered) /* one owner */
        for (uint64_t i = m->position; i < m->next; i++)
            if (model_out(&m->events[i]))
                holder = m->events[i].holder;
    struct holder *h = &w->holders[holder];
    const int64_t deadline_ms = w->now_ms + 1 + (int64_t)rnd(w, 60);
    const bool stands = offer_stands(w, m, o, first + count);
    OK(w, progress_lease(m->p, o, first, count, h, deadline_ms) == stands, "[%lu, +%u)", (unsigned long)first,
       count);
    if (!stands)
        return;
    for (uint64_t i = o->offset; i < first; i++)
        model_done(&m->events[i]);
    model_reach(m, first + count);
    for (uint64_t i = first; i < first + count; i++) {
        struct event *e = &m->events[i];
        if (w->ordered && model_in_window(e)) {
            OK(w, (int64_t)i > m->last_delivered, "%lu after %ld", (unsigned long)i, (long)m->last_delivered);
            m->last_delivered = (int64_t)i;
        }
        if (o->kind == OFFER_NEW)
            e->state = M_OUT;
        else
            e->item.state = ITEM_OUT;
        e->holder = holder;
        e->deadline_ms = deadline_ms;
        e->alone = o->alone;
    }
    model_settle(m);
}

static void step_offer(struct world *w, struct model *m, bool now)
{
    struct offer o;
    const int holder = (int)rnd(w, HOLDERS);
    const bool beside = w->holders[holder].in_flight && rnd(w, 8);
    const uint32_t room = rnd(w, 10) ? 1 + (uint32_t)rnd(w, 20) : (uint32_t)rnd(w, 2) * 1000;
    const enum progress_pause pause = beside ? progress_offer_beside(m->p, m->end, w->now_ms, room, &o)
                                             : progress_offer(m->p, m->end, w->now_ms, room, &o);
    check_offer(w, m, &o, pause, room, beside);
    if (o.kind != OFFER_NONE && now)
        lease(w, m, &o, holder);
}

/* A range that a holder may have something to say of: what is out somewhere and its neighbours, mostly. */
static void choose_range(struct world *w, struct model *m, uint64_t *first, uint32_t *count, int *holder)
{
    *holder = (int)rnd(w, HOLDERS);
    *first = rnd(w, m->end + 2);
    *count = (uint32_t)rnd(w, 12);
    if (!rnd(w, 6))
        return;
    for (unsigned i = 0; i < EVENTS; i++) {
        const uint64_t o = (*first + i) % EVENTS;
        if (!model_out(&m->events[o]))
            continue;
        *first = o;
        *holder = rnd(w, 20) ? m->events[o].holder : *holder;
        uint32_t run = 1;
        while (o + run < EVENTS && model_out(&m->events[o + run]) && m->events[o + run].holder == *holder)
            run++;
        *count = rnd(w, 3) ? 1 + (uint32_t)rnd(w, run) : run + (uint32_t)(rnd(w, 15) == 0);
        return;
    }
}

static enum settle may_say(const struct model *m, uint64_t first, uint32_t count, int holder)
{
    bool any = false;
    for (uint64_t o = first; o < first + count; o++) {
        if (o >= m->next)
            return SETTLE_UNKNOWN;
    }
    for (uint64_t o = first; o < first + count; o++) {
        const struct event *e = &m->events[o];
        if (model_out(e)) {
            if (e->holder != holder)
                return SETTLE_NOT_YOURS;
            any = true;
        } else if (e->item.exists || e->state != M_DONE) {
            return SETTLE_UNKNOWN;
        }
    }
    return any ? SETTLE_OK : SETTLE_UNKNOWN;
}

static void step_say(struct world *w, struct model *m)
{
    uint64_t first;
    uint32_t count;
    int holder;
    choose_range(w, m, &first, &count, &holder);
    struct holder *h = &w->holders[holder];
    const unsigned what = (unsigned)rnd(w, 10);
    if (what == 0)
        count = 1;
    const enum settle want = may_say(m, first, count, holder);
    const int64_t deadline_ms = w->now_ms + 1 + (int64_t)rnd(w, 90);
    uint16_t attempts = 0;
    const bool charge = rnd(w, 4);
    const enum settle answer = what == 0   ? progress_fail(m->p, h, first, charge, 7, &attempts)
                               : what == 1 ? progress_release(m->p, h, first, count)
                               : what == 2 ? progress_extend(m->p, h, first, count, deadline_ms)
                                           : progress_ack(m->p, h, first, count);
    OK(w, answer == want, "[%lu, +%u): %d, not %d", (unsigned long)first, count, answer, want);
    if (answer != SETTLE_OK)
        return;
    if (what == 0) {
        model_fail(w, m, first, charge, false);
        OK(w, attempts == m->events[first].item.attempts, "%u", attempts);
        decide(w, m, first);
        return;
    }
    uint64_t lowest = UINT64_MAX;
    for (uint64_t o = first; o < first + count; o++) {
        struct event *e = &m->events[o];
        if (!model_out(e))
            continue;
        if (what == 2) {
            e->deadline_ms = deadline_ms;
        } else if (what > 2) {
            model_done(e);
        } else {
            if (model_in_window(e) && lowest == UINT64_MAX)
                lowest = o;
            model_give_back(e);
        }
    }
    if (lowest != UINT64_MAX)
        model_withdraw(w, m, lowest);
    model_settle(m);
}

struct expiring {
    struct world *w;
    struct model *m;
    struct holder *ended;
};

static void expired(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts)
{
    struct expiring *x = ctx;
    struct world *w = x->w;
    struct event *e = &x->m->events[offset];
    OK(w, model_out(e) && e->deadline_ms <= w->now_ms && h == &w->holders[e->holder], "event %lu",
       (unsigned long)offset);
    if (w->ordered && model_in_window(e))
        for (uint64_t o = x->m->position; o < offset; o++)
            OK(w,
               !(model_out(&x->m->events[o]) && model_in_window(&x->m->events[o]) &&
                 x->m->events[o].deadline_ms <= w->now_ms),
               "event %lu comes first", (unsigned long)o);
    model_fail(w, x->m, offset, true, e->item.exists && e->item.suspect);
    OK(w, attempts == e->item.attempts, "event %lu", (unsigned long)offset);
    decide(w, x->m, offset);
}

static void step_expire(struct world *w, struct model *m)
{
    struct expiring x = { .w = w, .m = m };
    progress_expire(m->p, w->now_ms, expired, &x);
    for (uint64_t o = 0; o < EVENTS; o++)
        OK(w, !model_out(&m->events[o]) || m->events[o].deadline_ms > w->now_ms, "event %lu",
           (unsigned long)o);
}

static void died(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts)
{
    struct world *w = ctx;
    struct model *m = p == w->models[0].p ? &w->models[0] : &w->models[1];
    OK(w, m->p == p, "progress");
    w->expired++;
    OK(w, m->events[offset].item.attempts == attempts, "event %lu: %u", (unsigned long)offset, attempts);
    decide(w, m, offset);
}

static void step_end(struct world *w)
{
    const int holder = (int)rnd(w, HOLDERS);
    const enum holder_end how = rnd(w, 2) ? HOLDER_DIED : HOLDER_LEFT;
    const bool charged = how == HOLDER_DIED && w->holders[holder].in_flight == 1;
    for (unsigned i = 0; i < PROGRESSES; i++) {
        struct model *m = &w->models[i];
        for (uint64_t o = 0; o < m->next; o++) {
            struct event *e = &m->events[o];
            if (!model_out(e) || e->holder != holder)
                continue;
            if (model_in_window(e))
                m->last_delivered = -1;
            if (how == HOLDER_LEFT) {
                model_give_back(e);
            } else if (charged) {
                model_fail(w, m, o, true, true);
            } else {
                if (!e->item.exists) {
                    e->item = (struct model_item){ .exists = true };
                    e->stored = false;
                    e->state = M_ITEM;
                }
                e->item.state = ITEM_WAITING;
                e->item.suspect = true;
                e->item.due_ms = 0;
            }
        }
    }
    w->expired = 0;
    holder_end(&w->holders[holder], how, died, w);
    OK(w, w->expired == charged, "%u", w->expired);
}

static void step_withdraw(struct world *w, struct model *m)
{
    const int holder = (int)rnd(w, HOLDERS);
    progress_withdraw(m->p, &w->holders[holder]);
    for (uint64_t o = 0; o < m->next; o++)
        if (model_out(&m->events[o]) && m->events[o].holder == holder) {
            model_give_back(&m->events[o]);
            m->last_delivered = -1;
        }
}

static void step_seek(struct world *w, struct model *m)
{
    m->position = m->next = rnd(w, m->end + 1);
    m->last_delivered = -1;
    for (uint64_t o = 0; o < EVENTS; o++)
        m->events[o] = (struct event){ .state = o < m->position ? M_DONE : M_NEW };
    progress_seek(m->p, m->position);
    m->record_count = 0;
    progress_seek(m->replica, m->position); /* has a record of its own */
    uint64_t position;
    progress_take_changes(m->replica, &position, NULL, 0);
}

static void step_truncate(struct world *w, struct model *m)
{
    uint64_t start = rnd(w, 3) ? rnd(w, m->position + 3) : rnd(w, m->end + 1);
    start = start < m->end ? start : m->end;
    progress_truncate(m->p, start);
    for (uint64_t o = 0; o < start; o++) {
        if (m->events[o].item.exists && m->events[o].item.apart)
            model_done(&m->events[o]);
        model_done(&m->events[o]);
    }
    model_reach(m, start);
    model_settle(m);
}

static void step_settle(struct world *w, struct model *m)
{
    uint64_t offset = rnd(w, m->end);
    const bool any = rnd(w, 20) == 0; /* else the next one that is given up */
    for (unsigned i = 0; !any && i < EVENTS; i++, offset = (offset + 1) % EVENTS)
        if (m->events[offset].item.exists && m->events[offset].item.state == ITEM_GIVING_UP)
            break;
    struct event *e = &m->events[offset];
    if (offset >= m->end || !(any || (e->item.exists && e->item.state == ITEM_GIVING_UP)))
        return;
    if (!any && rnd(w, 4) == 0) { /* could not be written: tried again */
        e->item.due_ms = w->now_ms + 5;
        e->item.state = ITEM_WAITING;
        progress_retry(m->p, offset, e->item.due_ms);
        record(w, m, offset);
        return;
    }
    OK(w, progress_settle(m->p, offset), "%lu", (unsigned long)offset);
    model_reach(m, offset + 1);
    model_done(e);
    model_settle(m);
}

static void step_redrive(struct world *w, struct model *m)
{
    const uint64_t offset = rnd(w, m->end + 1);
    struct event *e = &m->events[offset];
    const bool may = offset < m->next && e->state == M_DONE && !e->item.exists;
    OK(w, progress_redrive(m->p, offset, w->now_ms + 3) == may, "event %lu", (unsigned long)offset);
    if (!may)
        return;
    e->item =
        (struct model_item){ .exists = true, .apart = true, .state = ITEM_WAITING, .due_ms = w->now_ms + 3 };
    record(w, m, offset);
}

/* ---- running ---- */

static void step(struct world *w)
{
    struct model *m = &w->models[rnd(w, PROGRESSES)];
    const unsigned what = (unsigned)rnd(w, 1000);
    if (what < 300) {
        step_offer(w, m, true);
    } else if (what < 330) { /* an offer that something else comes before */
        struct offer o;
        progress_offer(m->p, m->end, w->now_ms, 1 + (uint32_t)rnd(w, 9), &o);
        step_say(w, m);
        step_offer(w, m, true);
        if (o.kind != OFFER_NONE)
            lease(w, m, &o, (int)rnd(w, HOLDERS));
    } else if (what < 660) {
        step_say(w, m);
    } else if (what < 760) {
        m->end += rnd(w, 2 * WINDOW / 8);
        m->end = m->end < EVENTS ? m->end : EVENTS;
    } else if (what < 820) {
        w->now_ms += (int64_t)rnd(w, 20);
        step_expire(w, m);
    } else if (what < 850) {
        step_end(w);
    } else if (what < 865) {
        step_withdraw(w, m);
    } else if (what < 905) {
        step_settle(w, m);
    } else if (what < 940) {
        if (m->end < EVENTS)
            step_redrive(w, m);
    } else if (what < 943) {
        step_seek(w, m);
    } else if (what < 948) {
        step_truncate(w, m);
    } else if (what < 990) {
        turn_end(w, m);
    } else {
        restart(w, m);
    }
}

/* Everything is acknowledged or settled at last: nothing was lost on the way. */
static void drain(struct world *w)
{
    for (unsigned i = 0; i < PROGRESSES; i++) {
        struct model *m = &w->models[i];
        for (unsigned turns = 0; m->position < m->end || progress_items(m->p); turns++) {
            OK(w, turns < 20 * EVENTS, "stands still at %lu", (unsigned long)m->position);
            struct offer o;
            w->now_ms += 50;
            step_expire(w, m);
            step_settle(w, m);
            progress_offer(m->p, m->end, w->now_ms, 10, &o);
            if (o.kind != OFFER_NONE)
                lease(w, m, &o, 0);
            for (uint64_t e = 0; e < m->next; e++) {
                if (!model_out(&m->events[e]))
                    continue;
                OK(w, progress_ack(m->p, &w->holders[m->events[e].holder], e, 1) == SETTLE_OK, "event %lu",
                   (unsigned long)e);
                model_done(&m->events[e]);
                model_settle(m);
            }
            compare(w);
        }
        turn_end(w, m);
        OK(w, progress_pending(m->p, m->end) == 0, "at the end");
    }
}

static void run(bool ordered, uint64_t seed)
{
    static struct world world;
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->random = (seed + 1) * 0x9e3779b97f4a7c15ull;
    w->ordered = ordered;
    w->now_ms = 1000;
    for (unsigned h = 0; h < HOLDERS; h++)
        holder_init(&w->holders[h], NULL);
    for (unsigned i = 0; i < PROGRESSES; i++) {
        struct model *m = &w->models[i];
        m->p = progress_create(ordered, WINDOW, 0);
        m->replica = progress_create(ordered, WINDOW, 0);
        m->last_delivered = -1;
        m->end = 1 + rnd(w, WINDOW);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step(w);
        compare(w);
    }
    drain(w);
    for (unsigned i = 0; i < PROGRESSES; i++) {
        progress_free(w->models[i].p);
        progress_free(w->models[i].replica);
    }
    OK(w, mem_used(MEM_GROUP) == 0, "%lu bytes", (unsigned long)mem_used(MEM_GROUP));
}

static void run_all(bool ordered)
{
    const struct effort_seeds seeds = effort_seeds(1500, 200, 20000);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++)
        run(ordered, seed);
}

Test(progress_model, ordered)
{
    run_all(true);
}

Test(progress_model, shared)
{
    run_all(false);
}
