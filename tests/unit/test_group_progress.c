/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of group/progress.h, rule by rule. test_group_progress_model.c has the combinations.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "group/progress.h"

#define FAR 1000000 /* a deadline that does not matter */

static struct progress *p;
static struct holder a, b;
static struct {
    uint64_t offset;
    uint16_t attempts;
    struct holder *h;
} calls[64];
static unsigned call_count;

static void end_all(void)
{
    progress_free(p);
    cr_assert_eq(a.in_flight, 0);
    cr_assert_eq(b.in_flight, 0);
    cr_assert_eq(mem_used(MEM_GROUP), 0);
}

static void begin(bool ordered)
{
    p = progress_create(ordered, 64, 0);
    holder_init(&a, NULL);
    holder_init(&b, NULL);
    call_count = 0;
}

/* Offers and leases up to `room` events of [.., end) at time 100; how many. */
static uint32_t take(struct holder *h, uint64_t end, uint32_t room, int64_t deadline_ms)
{
    struct offer o;
    progress_offer(p, end, 100, room, &o);
    if (o.kind == OFFER_NONE)
        return 0;
    cr_assert(progress_lease(p, &o, o.offset, o.count, h, deadline_ms));
    return o.count;
}

static enum progress_pause pause_at(uint64_t end, int64_t now_ms)
{
    struct offer o;
    const enum progress_pause pause = progress_offer(p, end, now_ms, 10, &o);
    cr_assert(pause == PAUSE_NONE || o.kind == OFFER_NONE);
    return pause;
}

static void expect_offer(uint64_t end, int64_t now_ms, enum offer_kind kind, uint64_t offset, uint32_t count,
                         bool alone)
{
    struct offer o;
    progress_offer(p, end, now_ms, 10, &o);
    cr_assert_eq(o.kind, kind, "%d", o.kind);
    if (kind == OFFER_NONE)
        return;
    cr_assert_eq(o.offset, offset, "%lu", (unsigned long)o.offset);
    cr_assert_eq(o.count, count, "%u", o.count);
    cr_assert_eq(o.alone, alone);
}

static unsigned attempts_of(uint64_t offset)
{
    struct progress_item item;
    return progress_find_item(p, offset, &item) ? item.attempts : UINT32_MAX;
}

static void called(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts)
{
    (void)ctx;
    calls[call_count].offset = offset;
    calls[call_count].attempts = attempts;
    calls[call_count++].h = h;
    progress_retry(p, offset, 200);
}

static void called_end(void *ctx, struct progress *which, uint64_t offset, uint16_t attempts)
{
    cr_assert_eq(which, p);
    called(ctx, NULL, offset, attempts);
}

Test(progress, acknowledged_in_order)
{
    begin(true);
    cr_assert_eq(take(&a, 10, 6, FAR), 6);
    cr_assert_eq(progress_next(p), 6);
    cr_assert_eq(a.in_flight, 6);
    cr_assert_eq(progress_pending(p, 10), 10);
    cr_assert_eq(progress_ack(p, &a, 0, 4), SETTLE_OK);
    cr_assert_eq(progress_position(p), 4);
    cr_assert_eq(progress_pending(p, 10), 6);
    cr_assert_eq(progress_pending(p, 3), 0);
    cr_assert_eq(take(&a, 10, 100, FAR), 4);
    cr_assert_eq(progress_ack(p, &a, 4, 6), SETTLE_OK);
    cr_assert_eq(progress_position(p), 10);
    cr_assert_eq(progress_pending(p, 5), 0);
    end_all();
}

Test(progress, out_of_order_stays_in_the_window)
{
    begin(false);
    take(&a, 10, 10, FAR);
    cr_assert_eq(progress_ack(p, &a, 5, 2), SETTLE_OK);
    cr_assert_eq(progress_position(p), 0);
    cr_assert_eq(progress_pending(p, 10), 8);
    cr_assert_eq(progress_pending(p, 6), 5);
    cr_assert_eq(progress_ack(p, &a, 0, 10), SETTLE_OK); /* those that are done already count as said again */
    cr_assert_eq(progress_position(p), 10);
    end_all();
}

Test(progress, refuses_what_is_not_out_with_the_holder)
{
    begin(false);
    take(&a, 10, 4, FAR);
    take(&b, 10, 4, FAR);
    cr_assert_eq(progress_ack(p, &a, 0, 5), SETTLE_NOT_YOURS);
    cr_assert_eq(progress_extend(p, &b, 3, 2, FAR), SETTLE_NOT_YOURS);
    cr_assert_eq(progress_ack(p, &b, 4, 6), SETTLE_UNKNOWN);
    cr_assert_eq(progress_ack(p, &b, 4, 0), SETTLE_UNKNOWN);
    cr_assert_eq(progress_ack(p, &b, UINT64_MAX - 2, 10), SETTLE_UNKNOWN);
    cr_assert_eq(progress_ack(p, &b, 0, UINT32_MAX), SETTLE_UNKNOWN);
    cr_assert_eq(progress_in_flight(p), 8); /* nothing has changed */
    cr_assert_eq(progress_ack(p, &a, 0, 4), SETTLE_OK);
    cr_assert_eq(progress_ack(p, &a, 0, 4), SETTLE_UNKNOWN); /* all of it said before: nobody has it */
    end_all();
}

Test(progress, window_full_by_name)
{
    begin(false);
    cr_assert_eq(take(&a, 1000, 1000, FAR), 64);
    cr_assert_eq(pause_at(1000, 100), PAUSE_WINDOW_FULL);
    cr_assert_eq(pause_at(64, 100), PAUSE_NONE); /* nothing there to hold back */
    progress_ack(p, &a, 1, 63);
    cr_assert_eq(pause_at(1000, 100), PAUSE_WINDOW_FULL);
    progress_set_window(p, 128);
    expect_offer(1000, 100, OFFER_NEW, 64, 10, false);
    progress_set_window(p, 64);
    cr_assert_eq(progress_release(p, &a, 0, 1), SETTLE_OK);
    expect_offer(1000, 100, OFFER_NEW, 0, 1, false); /* what is withdrawn has its place */
    end_all();
}

Test(progress, ordered_failure_withdraws_what_follows)
{
    begin(true);
    take(&a, 10, 8, FAR);
    progress_ack(p, &a, 6, 1);
    uint16_t attempts;
    cr_assert_eq(progress_fail(p, &a, 3, true, 77, &attempts), SETTLE_OK);
    cr_assert_eq(attempts, 1);
    cr_assert_eq(a.in_flight, 3); /* 0..2 */
    cr_assert_eq(progress_next(p), 3);
    progress_retry(p, 3, 500);
    cr_assert_eq(progress_due(p), 500);
    cr_assert_eq(pause_at(10, 499), PAUSE_RETRY);
    cr_assert_eq(progress_ack(p, &a, 0, 3), SETTLE_OK);
    cr_assert_eq(progress_ack(p, &a, 4, 1), SETTLE_UNKNOWN);
    struct offer o;
    progress_offer(p, 10, 500, 10, &o);
    cr_assert(o.kind == OFFER_ITEM && o.offset == 3 && o.count == 1 && o.attempts == 1);
    cr_assert(progress_lease(p, &o, 3, 1, &a, FAR));
    cr_assert_eq(pause_at(10, 500), PAUSE_ALONE);
    progress_ack(p, &a, 3, 1);
    expect_offer(10, 500, OFFER_NEW, 4, 2, false); /* up to 6, which is done */
    take(&a, 10, 10, FAR);
    expect_offer(10, 500, OFFER_NEW, 7, 3, false);
    cr_assert_eq(attempts_of(4), UINT32_MAX); /* never charged */
    end_all();
}

Test(progress, shared_failure_holds_nothing_back)
{
    begin(false);
    take(&a, 10, 8, FAR);
    progress_fail(p, &a, 3, true, 1, NULL);
    progress_retry(p, 3, 500);
    cr_assert_eq(a.in_flight, 7);
    expect_offer(10, 499, OFFER_NEW, 8, 2, false);
    expect_offer(10, 500, OFFER_ITEM, 3, 1, false);
    progress_fail(p, &a, 4, true, 1, NULL);
    progress_retry(p, 4, 501);
    progress_fail(p, &a, 5, false, 1, NULL); /* not charged: another number of attempts, another delivery */
    progress_retry(p, 5, 501);
    expect_offer(10, 501, OFFER_ITEM, 3, 2, false); /* neighbours together */
    end_all();
}

Test(progress, given_up_until_settled)
{
    begin(true);
    take(&a, 10, 1, FAR);
    progress_fail(p, &a, 0, true, 1, NULL);
    cr_assert_eq(pause_at(10, 100), PAUSE_RETRY); /* nobody said yet what becomes of it */
    progress_give_up(p, 0);
    cr_assert_eq(pause_at(10, 100), PAUSE_GIVING_UP);
    cr_assert_eq(progress_due(p), INT64_MAX);
    progress_retry(p, 0, 5); /* the dead letter could not be written */
    expect_offer(10, 100, OFFER_ITEM, 0, 1, false);
    progress_give_up(p, 0);
    cr_assert(progress_settle(p, 0));
    cr_assert_eq(progress_position(p), 1);
    cr_assert_eq(progress_items(p), 0);
    progress_retry(p, 0, 5); /* too late: ignored */
    progress_give_up(p, 0);
    expect_offer(10, 100, OFFER_NEW, 1, 9, false);
    end_all();
}

Test(progress, settles_anything_within_reach)
{
    begin(false);
    take(&a, 10, 4, FAR);
    cr_assert(progress_settle(p, 1)); /* out */
    cr_assert_eq(a.in_flight, 3);
    cr_assert(progress_settle(p, 9)); /* never delivered */
    cr_assert_eq(progress_pending(p, 10), 8);
    expect_offer(10, 100, OFFER_NEW, 4, 5, false);
    cr_assert_not(progress_settle(p, 1ull << 40));
    cr_assert_not(progress_settle(p, UINT64_MAX));
    cr_assert_eq(progress_next(p), 10);
    end_all();
}

Test(progress, shared_deadline_charges_each)
{
    begin(false);
    take(&a, 10, 3, 150);
    take(&b, 10, 3, 160);
    progress_extend(p, &a, 1, 1, 300); /* this one is being worked on */
    cr_assert_eq(progress_deadline(p), 150);
    progress_expire(p, 149, called, NULL);
    cr_assert_eq(call_count, 0);
    progress_expire(p, 160, called, NULL);
    cr_assert_eq(call_count, 5);
    cr_assert(calls[0].offset == 0 && calls[0].h == &a && calls[0].attempts == 1);
    cr_assert(calls[1].offset == 2 && calls[2].offset == 3 && calls[2].h == &b);
    cr_assert_eq(a.in_flight, 1);
    cr_assert_eq(progress_deadline(p), 300);
    cr_assert_eq(progress_due(p), 200);
    cr_assert_eq(progress_ack(p, &a, 1, 1), SETTLE_OK);
    end_all();
}

Test(progress, ordered_deadline_charges_the_first)
{
    begin(true);
    take(&a, 10, 3, 160);
    take(&a, 10, 3, 150);
    progress_ack(p, &a, 0, 1);
    progress_expire(p, 150, called, NULL); /* the later range's alone */
    cr_assert_eq(call_count, 1);
    cr_assert_eq(calls[0].offset, 3);
    cr_assert_eq(a.in_flight, 2);
    progress_expire(p, 160, called, NULL);
    cr_assert_eq(call_count, 2);
    cr_assert_eq(calls[1].offset, 1);
    cr_assert_eq(a.in_flight, 0);
    cr_assert_eq(attempts_of(2), UINT32_MAX);
    cr_assert_eq(pause_at(10, 199), PAUSE_RETRY);
    end_all();
}

Test(progress, the_dead_make_suspects)
{
    begin(false);
    take(&a, 10, 3, FAR);
    holder_end(&a, HOLDER_DIED, called_end, NULL);
    cr_assert_eq(call_count, 0); /* any of the three may have been it */
    cr_assert_eq(attempts_of(1), 0);
    expect_offer(10, 100, OFFER_ITEM, 0, 1, true);
    struct offer o;
    progress_offer_beside(p, 10, 100, 10, &o); /* somebody busy gets something else */
    cr_assert(o.kind == OFFER_NEW && o.offset == 3);
    take(&a, 10, 10, FAR);
    cr_assert_eq(a.alone, 1);
    holder_end(&a, HOLDER_DIED, called_end, NULL);
    cr_assert_eq(call_count, 1); /* alone when its holder died: that was it */
    cr_assert(calls[0].offset == 0 && calls[0].attempts == 1);
    expect_offer(10, 100, OFFER_ITEM, 1, 1, true);
    expect_offer(10, 200, OFFER_ITEM, 1, 1, true); /* it waited longer */
    take(&a, 10, 10, FAR);
    cr_assert_eq(progress_fail(p, &a, 1, true, 1, NULL),
                 SETTLE_OK); /* refused by the living: no suspect any more */
    progress_retry(p, 1, 100);
    take(&b, 10, 1, FAR);
    cr_assert_eq(b.alone, 1); /* 2: suspects first */
    expect_offer(10, 100, OFFER_ITEM, 1, 1, false);
    end_all();
}

Test(progress, ordered_suspects_wait_until_nothing_is_out)
{
    begin(true);
    progress_restore_item(
        p, &(struct progress_item){ .offset = 2, .attempts = 1, .state = ITEM_WAITING | ITEM_SUSPECT });
    take(&a, 10, 10, FAR);
    cr_assert_eq(a.in_flight, 2);
    cr_assert_eq(pause_at(10, 100), PAUSE_ALONE);
    progress_ack(p, &a, 0, 2);
    expect_offer(10, 100, OFFER_ITEM, 2, 1, true);
    struct offer o;
    cr_assert_eq(progress_offer_beside(p, 10, 100, 10, &o), PAUSE_ALONE);
    take(&a, 10, 10, FAR);
    cr_assert_eq(pause_at(10, 100), PAUSE_ALONE);
    progress_ack(p, &a, 2, 1);
    expect_offer(10, 100, OFFER_NEW, 3, 7, false);
    end_all();
}

Test(progress, who_leaves_gives_back_uncharged)
{
    begin(true);
    take(&a, 10, 5, FAR);
    progress_ack(p, &a, 0, 2);
    holder_end(&a, HOLDER_LEFT, called_end, NULL);
    cr_assert_eq(call_count, 0);
    expect_offer(10, 100, OFFER_NEW, 2, 8, false);
    take(&b, 10, 5, FAR);
    cr_assert_eq(progress_ack(p, &a, 2, 1), SETTLE_NOT_YOURS);
    cr_assert_eq(progress_release(p, &b, 4, 1), SETTLE_OK); /* and what follows */
    cr_assert_eq(b.in_flight, 2);
    progress_withdraw(p, &b);
    cr_assert_eq(b.in_flight, 0);
    expect_offer(10, 100, OFFER_NEW, 2, 8, false);
    cr_assert_eq(progress_items(p), 0);
    end_all();
}

Test(progress, an_offer_that_no_longer_stands_is_not_leased)
{
    begin(true);
    take(&a, 10, 4, FAR);
    struct offer o;
    progress_offer(p, 10, 100, 4, &o);
    progress_fail(p, &a, 2, true, 1, NULL);
    progress_retry(p, 2, 100);
    cr_assert_not(progress_lease(p, &o, o.offset, o.count, &a, FAR)); /* 4 before 2 */
    progress_offer(p, 10, 100, 4, &o);
    progress_seek(p, 0);
    cr_assert_not(progress_lease(p, &o, o.offset, o.count, &a, FAR));
    end_all();
}

Test(progress, events_that_are_no_more_are_settled)
{
    begin(false);
    struct offer o;
    progress_offer(p, 10, 100, 10, &o);
    cr_assert(progress_lease(p, &o, 4, 3, &a, FAR)); /* begins at 4, and the taker has room for 3 */
    cr_assert_eq(progress_position(p), 4);
    expect_offer(10, 100, OFFER_NEW, 7, 3, false);
    progress_offer(p, 10, 100, 10, &o);
    cr_assert(progress_lease(p, &o, 10, 0, &a, FAR)); /* none of them is there */
    cr_assert_eq(progress_pending(p, 10), 3);
    progress_truncate(p, 500);
    cr_assert_eq(a.in_flight, 0);
    cr_assert_eq(progress_position(p), 500);
    expect_offer(505, 100, OFFER_NEW, 500, 5, false);
    end_all();
}

Test(progress, redriven_events_hold_nothing_back)
{
    begin(true);
    take(&a, 10, 6, FAR);
    progress_ack(p, &a, 0, 4);
    cr_assert_not(progress_redrive(p, 5, 100)); /* still out */
    cr_assert_not(progress_redrive(p, 8, 100)); /* never delivered */
    cr_assert(progress_redrive(p, 1, 100));
    cr_assert_not(progress_redrive(p, 1, 100));
    cr_assert_eq(progress_position(p), 4);
    cr_assert_eq(progress_pending(p, 10), 7);
    expect_offer(10, 100, OFFER_ITEM, 1, 1, false);
    take(&a, 10, 1, FAR);
    progress_fail(p, &a, 1, true, 1, NULL); /* withdraws nothing */
    cr_assert_eq(a.in_flight, 2);
    progress_retry(p, 1, 900);
    expect_offer(10, 100, OFFER_NEW, 6, 4, false);
    expect_offer(10, 900, OFFER_ITEM, 1, 1, false);
    cr_assert(progress_settle(p, 1));
    uint64_t offset[2];
    cr_assert_eq(progress_take_settled(p, offset, 2), 1);
    cr_assert_eq(offset[0], 1);
    cr_assert_eq(progress_take_settled(p, offset, 2), 0);
    end_all();
}

Test(progress, redriven_again_before_its_end_was_told)
{
    begin(false);
    progress_restore_position(p, 10);
    uint64_t offset;
    progress_redrive(p, 3, 0);
    progress_settle(p, 3);
    cr_assert(progress_dirty(p));
    cr_assert(progress_redrive(p, 3, 0)); /* the stored redrive stands: its end must not be stored after it */
    cr_assert_eq(progress_take_settled(p, &offset, 1), 0);
    cr_assert_eq(progress_items(p), 1);
    cr_assert_not(progress_dirty(p));
    end_all();
}

Test(progress, changes_in_small_pieces)
{
    begin(false);
    take(&a, 20, 20, FAR);
    for (uint64_t o = 1; o < 10; o += 2)
        progress_ack(p, &a, o, 1);
    struct progress_range r[2];
    uint64_t position;
    cr_assert_eq(progress_take_changes(p, &position, r, 2), 2);
    cr_assert(r[0].first == 1 && r[0].end == 2 && r[1].first == 3 && r[1].end == 4);
    cr_assert(progress_dirty(p));
    progress_ack(p, &a, 0, 1); /* the position passes what was told */
    cr_assert_eq(progress_take_changes(p, &position, r, 2), 2);
    cr_assert_eq(position, 2);
    cr_assert_eq(r[0].first, 5);
    cr_assert_eq(progress_take_changes(p, &position, r, 2), 1);
    cr_assert_not(progress_dirty(p));
    cr_assert_eq(progress_take_changes(p, &position, r, 2), 0);
    end_all();
}

Test(progress, nonsense_in_a_file_is_left_out)
{
    begin(false);
    progress_restore_position(p, 1000);
    progress_restore_position(p, 10); /* never back */
    cr_assert_eq(progress_position(p), 1000);
    progress_restore_done(p, 5, 2);
    progress_restore_done(p, UINT64_MAX - 1, UINT64_MAX);
    progress_restore_done(p, 5, 800);
    progress_restore_item(p, &(struct progress_item){ .offset = UINT64_MAX, .state = 0xff });
    cr_assert_eq(progress_items(p), 0);
    progress_restore_item(p,
                          &(struct progress_item){ .offset = 5, .state = ITEM_WAITING }); /* below: apart */
    progress_restore_done(p, 0, 1010); /* does not end it */
    cr_assert_eq(progress_items(p), 1);
    cr_assert_eq(progress_position(p), 1010);
    progress_restore_settled(p, 5);
    progress_restore_settled(p, 1012);
    progress_restore_settled(p, UINT64_MAX);
    cr_assert_eq(progress_pending(p, 1015), 4);
    cr_assert_not(progress_dirty(p));
    end_all();
}

/* As the issue has it: a million events that wait for their retries in 1,000 groups. */
Test(progress, a_million_retries_in_bounded_memory)
{
    enum { GROUPS = 1000, EACH = 1000 };
    static struct progress *groups[GROUPS];
    holder_init(&a, NULL);
    for (unsigned g = 0; g < GROUPS; g++) {
        struct offer o;
        groups[g] = progress_create(false, 1024, 0);
        progress_offer(groups[g], EACH, 0, EACH, &o);
        progress_lease(groups[g], &o, 0, EACH, &a, FAR);
        for (uint64_t i = 0; i < EACH; i++) {
            progress_fail(groups[g], &a, i, true, 1, NULL);
            progress_retry(groups[g], i, (int64_t)((i * 7919 + g) % 4000));
        }
    }
    cr_assert_eq(a.in_flight, 0);
    cr_assert(mem_used(MEM_GROUP) < 80ull << 20, "%lu bytes", (unsigned long)mem_used(MEM_GROUP));
    uint64_t delivered = 0;
    for (int64_t now_ms = 0; now_ms <= 4000; now_ms += 10)
        for (unsigned g = 0; g < GROUPS; g++)
            while (progress_due(groups[g]) <= now_ms) {
                struct offer o;
                progress_offer(groups[g], EACH, now_ms, 10, &o);
                cr_assert_eq(o.kind, OFFER_ITEM);
                progress_lease(groups[g], &o, o.offset, o.count, &a, FAR);
                progress_ack(groups[g], &a, o.offset, o.count);
                delivered += o.count;
            }
    cr_assert_eq(delivered, GROUPS * EACH);
    for (unsigned g = 0; g < GROUPS; g++)
        progress_free(groups[g]);
    cr_assert_eq(mem_used(MEM_GROUP), 0);
}
