/* SPDX-License-Identifier: Apache-2.0
 *
 * Who consumes which partition: what assign.h promises, on chosen cases and on random ones.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "group/assign.h"

enum { MEMBERS = 1000, TOPICS = 64, PARTITIONS = 20000 };

static struct assign_member members[MEMBERS];
static uint32_t wants[MEMBERS][TOPICS], partitions[TOPICS], owners[PARTITIONS], before[PARTITIONS];
static uint32_t member_count, topic_count, partition_count;
static uint64_t random_state = 1;

static uint32_t draw(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* Members that all want `topics` topics of `each` partitions; nobody has any. */
static void setup(uint32_t count, uint32_t topics, uint32_t each)
{
    member_count = count;
    topic_count = topics;
    partition_count = topics * each;
    for (uint32_t t = 0; t < topics; t++)
        partitions[t] = each;
    for (uint32_t m = 0; m < MEMBERS; m++) {
        for (uint32_t t = 0; t < topics; t++)
            wants[m][t] = t;
        members[m] = (struct assign_member){ wants[m], topics };
    }
    memset(owners, 0xff, sizeof(owners));
}

static bool member_wants(uint32_t m, uint32_t topic)
{
    for (uint32_t i = 0; i < members[m].topic_count; i++)
        if (members[m].topics[i] == topic)
            return true;
    return false;
}

static bool same_wants(uint32_t a, uint32_t b)
{
    return members[a].topic_count == members[b].topic_count &&
           memcmp(members[a].topics, members[b].topics, members[a].topic_count * sizeof(uint32_t)) == 0;
}

static void counts(uint32_t *count)
{
    memset(count, 0, MEMBERS * sizeof(*count));
    for (uint32_t p = 0; p < partition_count; p++)
        if (owners[p] != ASSIGN_NOBODY)
            count[owners[p]]++;
}

static void check(void)
{
    uint32_t count[MEMBERS], p = 0;
    for (uint32_t t = 0; t < topic_count; t++)
        for (uint32_t i = 0; i < partitions[t]; i++, p++) {
            bool wanted = false;
            for (uint32_t m = 0; m < member_count && !wanted; m++)
                wanted = member_wants(m, t);
            cr_assert_eq(owners[p] != ASSIGN_NOBODY, wanted, "partition %u of topic %u", i, t);
            cr_assert(!wanted || member_wants(owners[p], t), "goes to who does not want it");
        }
    counts(count);
    for (uint32_t a = 0; a < member_count; a++)
        for (uint32_t b = 0; b < a; b++)
            if (same_wants(a, b))
                cr_assert(count[a] <= count[b] + 1 && count[b] <= count[a] + 1, "%u has %u, %u has %u", a,
                          count[a], b, count[b]);
}

static void assign(void)
{
    memcpy(before, owners, sizeof(owners));
    assign_sticky(members, member_count, partitions, topic_count, owners);
    check();
}

/* Partitions taken from members that are still there. */
static uint32_t moved(void)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < partition_count; p++)
        n += before[p] < member_count && owners[p] != before[p];
    return n;
}

Test(group_assign, alone_gets_everything)
{
    setup(1, 3, 5);
    assign();
    for (uint32_t p = 0; p < partition_count; p++)
        cr_assert_eq(owners[p], 0);
}

Test(group_assign, nobody_or_nothing)
{
    setup(0, 2, 4);
    assign();
    setup(3, 0, 0);
    assign();
}

Test(group_assign, a_join_takes_only_what_balance_needs)
{
    setup(100, 1, 300);
    assign();
    cr_assert_eq(moved(), 0);
    member_count = 101;
    assign();
    cr_assert_eq(moved(), 2);
    assign();
    cr_assert_eq(moved(), 0);
}

Test(group_assign, a_death_moves_only_what_was_its)
{
    uint32_t count[MEMBERS];
    setup(100, 3, 100);
    assign();
    for (uint32_t p = 0; p < partition_count; p++)
        if (owners[p] == 99)
            owners[p] = ASSIGN_NOBODY;
    member_count = 99;
    assign();
    cr_assert_eq(moved(), 0);
    counts(count);
}

Test(group_assign, more_members_than_partitions)
{
    setup(10, 1, 3);
    assign();
    member_count = 2;
    for (uint32_t p = 0; p < partition_count; p++)
        if (owners[p] >= 2)
            owners[p] = ASSIGN_NOBODY;
    assign();
}

/* A member of two topics leaves the shared one to the one that has no other. */
Test(group_assign, different_wants_are_balanced_where_they_meet)
{
    uint32_t count[MEMBERS];
    setup(2, 2, 4);
    members[1].topic_count = 1; /* topic 0 only */
    assign();
    counts(count);
    cr_assert_eq(count[0], 4);
    cr_assert_eq(count[1], 4);
}

Test(group_assign, random_groups, .timeout = 60)
{
    for (uint32_t round = 0; round < 3000; round++) {
        setup(1 + draw(30), 1 + draw(8), 1);
        const bool equal = draw(2);
        partition_count = 0;
        for (uint32_t t = 0; t < topic_count; t++)
            partition_count += partitions[t] = draw(20);
        for (uint32_t m = 0; m < MEMBERS && !equal; m++) {
            members[m].topic_count = 0;
            for (uint32_t t = 0; t < topic_count; t++)
                if (draw(3))
                    wants[m][members[m].topic_count++] = t;
        }
        for (uint32_t change = 0; change < 6; change++) {
            assign();
            if (equal && member_count) {
                /* As few as any balanced assignment: what is above the upper share, and one more of those
                 * at it when too many are. */
                uint32_t count[MEMBERS] = { 0 }, least = 0, at_upper = 0;
                const uint32_t low = partition_count / member_count, upper = partition_count % member_count;
                for (uint32_t p = 0; p < partition_count; p++)
                    if (before[p] < member_count)
                        count[before[p]]++;
                for (uint32_t m = 0; m < member_count; m++) {
                    least += count[m] > low + 1 ? count[m] - low - 1 : 0;
                    at_upper += count[m] >= low + 1;
                }
                least += at_upper > upper ? at_upper - upper : 0;
                cr_assert_eq(moved(), least, "%u moved, %u needed", moved(), least);
            }
            if (draw(2))
                member_count = 1 + draw(30);
            for (uint32_t p = 0; p < partition_count; p++)
                if (owners[p] >= member_count || draw(20) == 0)
                    owners[p] = draw(2) ? ASSIGN_NOBODY : draw(40);
        }
    }
}

/* Not a benchmark: a wrong order of growth takes minutes. */
Test(group_assign, many, .timeout = 20)
{
    const clock_t start = clock();
    setup(1000, 20, 1000);
    assign_sticky(members, member_count, partitions, topic_count, owners);
    member_count = 500;
    assign_sticky(members, member_count, partitions, topic_count, owners);
    member_count = 1000;
    assign_sticky(members, member_count, partitions, topic_count, owners);
    check();
    fprintf(stderr, "1,000 members, 20,000 partitions, three times: %.1f ms\n",
            1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC);
}
