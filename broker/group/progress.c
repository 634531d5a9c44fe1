/* SPDX-License-Identifier: Apache-2.0
 *
 * group/progress.c: birth, figures, and what holders say of what they have. See progress.h.
 *
 * Each word of a holder is about a range: it is gone through once to see whether all of it may be said, and
 * once to do it, run by run, a run being what lies in one lease.
 */
#include "group/progress_own.h"

#include "base/mem.h"

void holder_init(struct holder *h, void *member)
{
    *h = (struct holder){ .member = member };
    list_init(&h->leases);
}

static void progress_check_window(uint32_t window_max)
{
    CHECK(window_max >= PROGRESS_WINDOW_MIN && window_max <= PROGRESS_WINDOW_MAX &&
          (window_max & (window_max - 1)) == 0);
}

struct progress *progress_create(bool ordered, uint32_t window_max, uint64_t position)
{
    progress_check_window(window_max);
    struct progress *p = mem_zalloc(MEM_GROUP, sizeof(*p));
    p->ordered = ordered;
    p->window_max = window_max;
    p->position = p->front = p->next = position;
    list_init(&p->by_deadline);
    return p;
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    progress_seek(p, 0);
    mem_free(MEM_GROUP, p, sizeof(*p));
}

void progress_set_window(struct progress *p, uint32_t window_max)
{
    progress_check_window(window_max);
    p->window_max = window_max;
}

/* ---- figures ---- */

uint64_t progress_position(const struct progress *p)
{
    return p->position;
}

uint64_t progress_next(const struct progress *p)
{
    return p->ordered ? p->front : p->next;
}

uint64_t progress_pending(const struct progress *p, uint64_t end)
{
    uint64_t pending = p->apart;
    if (end > p->position)
        pending += end - p->position;
    if (end >= p->next)
        return pending - p->done;
    for (uint64_t o = p->position; o < end; o++)
        pending -= slot_is_done(*window_slot(p, o));
    return pending;
}

uint32_t progress_in_flight(const struct progress *p)
{
    return p->in_flight;
}

uint32_t progress_items(const struct progress *p)
{
    return p->items.count - p->items_gone;
}

int64_t progress_deadline(const struct progress *p)
{
    return list_empty(&p->by_deadline)
               ? INT64_MAX
               : CONTAINER_OF(p->by_deadline.next, struct lease, by_deadline)->deadline_ms;
}

/* ---- ranges ---- */

/* Whether `h` may say something of [first, end). */
static enum settle range_check(const struct progress *p, const struct holder *h, uint64_t first, uint64_t end)
{
    if (end <= first || end > p->next)
        return SETTLE_UNKNOWN;
    if (p->apart && first < p->position && p->position - first > RANGE_PAST_MAX)
        return SETTLE_UNKNOWN; /* would be looked up one by one */
    bool any = false;
    for (uint64_t o = first; o < end;) {
        uint64_t run;
        bool done;
        const struct lease *l = event_out(p, o, end, &run, &done);
        if (l && l->holder != h)
            return SETTLE_NOT_YOURS;
        if (!l && !done)
            return SETTLE_UNKNOWN;
        any |= l != NULL;
        o += run;
    }
    return any ? SETTLE_OK : SETTLE_UNKNOWN;
}

/* The next run of [*at, end) that is out: its lease; *at its beginning, *run its length. NULL: there is none.
 */
static struct lease *range_next(const struct progress *p, uint64_t *at, uint64_t end, uint64_t *run)
{
    bool done;
    for (; *at < end; *at += *run) {
        struct lease *l = event_out(p, *at, end, run, &done);
        if (l)
            return l;
    }
    return NULL;
}

enum settle progress_ack(struct progress *p, struct holder *h, uint64_t first, uint32_t count)
{
    const uint64_t end = first + count;
    const enum settle answer = range_check(p, h, first, end);
    if (answer != SETTLE_OK)
        return answer;
    uint64_t o = first, run;
    for (struct lease *l; (l = range_next(p, &o, end, &run)); o += run) {
        if (l->items) {
            for (uint64_t i = o; i < o + run; i++)
                event_settle(p, i);
            continue;
        }
        window_fill(p, o, run, SLOT_DONE);
        window_count_done(p, o, run);
        p->window_out -= (uint32_t)run;
        lease_drop(l, (uint32_t)run);
    }
    window_settle(p);
    return SETTLE_OK;
}

/* `count` events of a lease from `first` on, but not all of it, get a lease of their own. */
static void range_part(struct lease *l, uint64_t first, uint32_t count, int64_t deadline_ms)
{
    struct progress *p = l->progress;
    struct lease *part = lease_create(p, l->holder, first, first + count, count, deadline_ms);
    part->items = l->items;
    CHECK(!l->alone); /* it has one event: there are no parts of it */
    if (part->items)
        for (uint32_t i = 0; i < count; i++)
            event_item(p, first + i)->lease = part->index;
    else
        window_fill(p, first, count, SLOT_LEASE + part->index);
    lease_drop(l, count);
}

enum settle progress_extend(struct progress *p, struct holder *h, uint64_t first, uint32_t count,
                            int64_t deadline_ms)
{
    const uint64_t end = first + count;
    const enum settle answer = range_check(p, h, first, end);
    if (answer != SETTLE_OK)
        return answer;
    uint64_t o = first, run;
    for (struct lease *l; (l = range_next(p, &o, end, &run)); o += run) {
        if (run == l->left)
            lease_set_deadline(l, deadline_ms);
        else
            range_part(l, o, (uint32_t)run, deadline_ms);
    }
    return SETTLE_OK;
}

enum settle progress_release(struct progress *p, struct holder *h, uint64_t first, uint32_t count)
{
    const uint64_t end = first + count;
    const enum settle answer = range_check(p, h, first, end);
    if (answer != SETTLE_OK)
        return answer;
    uint64_t o = first, run, lowest = UINT64_MAX;
    while (range_next(p, &o, end, &run)) {
        const struct item *item = event_item(p, o);
        if (!(item && (item->state & ITEM_APART)) && o < lowest)
            lowest = o;
        event_give_back(p, o++);
    }
    if (p->ordered && lowest != UINT64_MAX)
        event_withdraw_from(p, lowest);
    window_settle(p);
    return SETTLE_OK;
}

enum settle progress_fail(struct progress *p, struct holder *h, uint64_t offset, bool charge,
                          uint32_t error_class, uint16_t *attempts_out)
{
    const enum settle answer = range_check(p, h, offset, offset + 1);
    if (answer != SETTLE_OK)
        return answer;
    struct item *item = event_fail(p, offset, charge);
    item->state &= (uint8_t)~ITEM_SUSPECT; /* who refuses it is alive */
    item->error_class = error_class;
    if (attempts_out)
        *attempts_out = item->attempts;
    if (p->ordered && !(item->state & ITEM_APART))
        event_withdraw_from(p, offset + 1);
    window_settle(p);
    return SETTLE_OK;
}
