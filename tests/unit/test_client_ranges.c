/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of ranges against a plain array that says which offset is in it under which epoch.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "client/group/ranges.h"

enum { OFFSETS = 64 };

static void check(const struct ranges *r, const uint32_t *model)
{
    uint64_t n = 0;
    for (int64_t o = 0; o < OFFSETS; o++) {
        n += model[o] != 0;
        for (uint32_t epoch = 1; epoch < 4; epoch++)
            cr_assert_eq(ranges_has(r, o, epoch), model[o] == epoch, "offset %d epoch %u", (int)o, epoch);
    }
    cr_assert_eq(ranges_events(r), n);
    for (uint32_t i = 0; i < r->count; i++) {
        cr_assert_lt(r->items[i].first, r->items[i].end);
        if (i)
            cr_assert_leq(r->items[i - 1].end, r->items[i].first);
        if (i && r->items[i - 1].end == r->items[i].first)
            cr_assert_neq(r->items[i - 1].epoch, r->items[i].epoch, "neighbours of one epoch are one range");
    }
}

Test(ranges, against_a_model)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct ranges r = { 0 }, other = { 0 };
        uint32_t model[OFFSETS] = { 0 };
        srand(seed);
        for (int step = 0; step < 500; step++) {
            int64_t first = rand() % OFFSETS, end = first + 1 + rand() % 8;
            uint32_t epoch = 1 + (uint32_t)rand() % 3;
            end = end < OFFSETS ? end : OFFSETS;
            switch (rand() % 4) {
            case 0:
                cr_assert(ranges_add(&r, first, end, epoch));
                for (int64_t o = first; o < end; o++)
                    model[o] = epoch;
                break;
            case 1:
                cr_assert(ranges_cut(&r, first, end, epoch));
                for (int64_t o = first; o < end; o++)
                    model[o] = model[o] > epoch ? model[o] : 0;
                break;
            case 2:
                cr_assert_eq(ranges_take(&r, first, epoch), model[first] == epoch);
                if (model[first] == epoch)
                    model[first] = 0;
                break;
            default:
                cr_assert(ranges_move(&other, &r));
                cr_assert_eq(r.count, 0);
                cr_assert(ranges_move(&r, &other));
                break;
            }
            check(&r, model);
        }
        ranges_free(&r);
        ranges_free(&other);
    }
}

Test(ranges, moving_into_one_that_has_some)
{
    struct ranges a = { 0 }, b = { 0 };
    uint32_t model[OFFSETS] = { 0 };
    cr_assert(ranges_add(&a, 0, 10, 1) && ranges_add(&a, 20, 30, 1));
    cr_assert(ranges_add(&b, 10, 20, 1) && ranges_add(&b, 25, 40, 2));
    cr_assert(ranges_move(&a, &b));
    for (int o = 0; o < 40; o++)
        model[o] = o < 25 ? 1 : 2;
    check(&a, model);
    cr_assert_eq(a.count, 2);
    cr_assert_eq(b.count, 0);
    ranges_free(&a);
    ranges_free(&b);
}

Test(ranges, in_order_they_are_one)
{
    struct ranges r = { 0 };
    for (int64_t o = 0; o < 1000; o++) {
        cr_assert(ranges_add(&r, o, o + 1, 7));
        if (o >= 10)
            cr_assert(ranges_take(&r, o - 10, 7));
        cr_assert_eq(r.count, 1);
    }
    cr_assert_eq(r.size, 8);
    ranges_free(&r);
}
