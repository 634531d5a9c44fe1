/* SPDX-License-Identifier: Apache-2.0
 *
 * group/assign.c: members with equal wants form a class. Each class keeps its members in the order of how
 * much they have, so the one with least and the one with most are at its ends.
 */
#include "group/assign.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct class
{
    uint32_t first, end;   /* its members: order[first, end), by ascending count */
    const uint32_t *wants; /* of all of them */
    uint32_t want_count;
};

struct assignment {
    const struct assign_member *members;
    const uint32_t *partitions;
    uint32_t *owners;
    uint32_t member_count, topic_count, partition_count;
    struct class *classes;
    uint32_t class_count;
    uint32_t *order, *place; /* members by class and count; where each stands there */
    uint32_t *class_of, *count;
    uint32_t *topic_of;    /* of each partition */
    uint32_t *head, *next; /* partitions of each member, a list */
};

static void *scratch(uint32_t n, size_t size)
{
    return mem_alloc(MEM_GROUP, (n + 1) * size);
}

static void scratch_free(void *p, uint32_t n, size_t size)
{
    mem_free(MEM_GROUP, p, (n + 1) * size);
}

/* ---- classes ---- */

static int wants_compare(const struct assign_member *a, const struct assign_member *b)
{
    if (a->topic_count != b->topic_count)
        return a->topic_count < b->topic_count ? -1 : 1;
    for (uint32_t i = 0; i < a->topic_count; i++)
        if (a->topics[i] != b->topics[i])
            return a->topics[i] < b->topics[i] ? -1 : 1;
    return 0;
}

/* Sorts `order` by wants, members of equal wants in their own order: a merge sort, which needs no context. */
static void sort_by_wants(const struct assignment *a, uint32_t *order, uint32_t *spare, uint32_t n)
{
    if (n < 2)
        return;
    const uint32_t half = n / 2;
    sort_by_wants(a, order, spare, half);
    sort_by_wants(a, order + half, spare, n - half);
    memcpy(spare, order, n * sizeof(*order));
    for (uint32_t i = 0, left = 0, right = half; i < n; i++) {
        const bool from_left = right == n || (left < half && wants_compare(&a->members[spare[left]],
                                                                           &a->members[spare[right]]) <= 0);
        order[i] = from_left ? spare[left++] : spare[right++];
    }
}

static void classes_make(struct assignment *a)
{
    for (uint32_t i = 0; i < a->member_count; i++)
        a->order[i] = i;
    sort_by_wants(a, a->order, a->place, a->member_count);
    for (uint32_t i = 0; i < a->member_count; i++) {
        const uint32_t m = a->order[i];
        if (i == 0 || wants_compare(&a->members[a->order[i - 1]], &a->members[m]) != 0) {
            a->classes[a->class_count++] =
                (struct class){ i, i, a->members[m].topics, a->members[m].topic_count };
        }
        a->classes[a->class_count - 1].end = i + 1;
        a->class_of[m] = a->class_count - 1;
        a->place[m] = i;
    }
}

static bool class_wants(const struct class *c, uint32_t topic)
{
    uint32_t low = 0, high = c->want_count;
    while (low < high) {
        const uint32_t mid = (low + high) / 2;
        if (c->wants[mid] == topic)
            return true;
        if (c->wants[mid] < topic)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* The first place in the class whose member has `count` or more. */
static uint32_t class_search(const struct assignment *a, const struct class *c, uint32_t count)
{
    uint32_t low = c->first, high = c->end;
    while (low < high) {
        const uint32_t mid = (low + high) / 2;
        if (a->count[a->order[mid]] < count)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The order stays: the member changes places with the last (first) of those that have as many as it. */
static void member_count_change(struct assignment *a, uint32_t m, bool up)
{
    const struct class *c = &a->classes[a->class_of[m]];
    const uint32_t to = up ? class_search(a, c, a->count[m] + 1) - 1 : class_search(a, c, a->count[m]);
    const uint32_t from = a->place[m], other = a->order[to];
    a->order[from] = other;
    a->place[other] = from;
    a->order[to] = m;
    a->place[m] = to;
    a->count[m] += up ? 1 : UINT32_MAX;
}

/* ---- giving and taking ---- */

static void give(struct assignment *a, uint32_t p, uint32_t m)
{
    a->owners[p] = m;
    a->next[p] = a->head[m];
    a->head[m] = p;
    member_count_change(a, m, true);
}

/* Takes a partition from `m` that class `c` wants. Its last ones go first. False: it has none. */
static bool take(struct assignment *a, uint32_t m, const struct class *c, uint32_t *out)
{
    const bool any = c == &a->classes[a->class_of[m]];
    for (uint32_t *link = &a->head[m]; *link != ASSIGN_NOBODY; link = &a->next[*link]) {
        const uint32_t p = *link;
        if (any || class_wants(c, a->topic_of[p])) {
            *link = a->next[p];
            member_count_change(a, m, false);
            *out = p;
            return true;
        }
    }
    return false;
}

/* Who has a partition, and may keep it. */
static void keep(struct assignment *a)
{
    for (uint32_t p = 0; p < a->partition_count; p++) {
        const uint32_t m = a->owners[p];
        if (m < a->member_count && class_wants(&a->classes[a->class_of[m]], a->topic_of[p]))
            give(a, p, m);
        else
            a->owners[p] = ASSIGN_NOBODY;
    }
}

/* Partitions of a topic that nobody has go to whoever has least among those that want it. */
static void hand_out_topic(struct assignment *a, uint32_t topic, uint32_t first, uint32_t *wanting)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < a->class_count; c++)
        if (class_wants(&a->classes[c], topic))
            wanting[count++] = c;
    for (uint32_t p = first; count && p < first + a->partitions[topic]; p++) {
        if (a->owners[p] != ASSIGN_NOBODY)
            continue;
        uint32_t best = a->order[a->classes[wanting[0]].first];
        for (uint32_t i = 1; i < count; i++) {
            const uint32_t m = a->order[a->classes[wanting[i]].first];
            if (a->count[m] < a->count[best])
                best = m;
        }
        give(a, p, best);
    }
}

static void hand_out(struct assignment *a)
{
    uint32_t *wanting = scratch(a->class_count, sizeof(*wanting));
    for (uint32_t t = 0, first = 0; t < a->topic_count; first += a->partitions[t++])
        hand_out_topic(a, t, first, wanting);
    scratch_free(wanting, a->class_count, sizeof(*wanting));
}

/* One partition from a member of class `from` with at least two more than the least of class `to`. */
static bool balance_once(struct assignment *a, const struct class *from, const struct class *to)
{
    const uint32_t least = a->order[to->first];
    for (uint32_t i = from->end; i-- > from->first;) {
        const uint32_t most = a->order[i];
        uint32_t p;
        if (a->count[most] < a->count[least] + 2)
            return false;
        if (take(a, most, to, &p)) {
            give(a, p, least);
            return true;
        }
    }
    return false;
}

/* Each move makes the sum of squares of the counts smaller: it ends. */
static void balance(struct assignment *a)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t from = 0; from < a->class_count; from++)
            for (uint32_t to = 0; to < a->class_count; to++)
                while (balance_once(a, &a->classes[from], &a->classes[to]))
                    moved = true;
    }
}

void assign_sticky(const struct assign_member *members, uint32_t member_count, const uint32_t *partitions,
                   uint32_t topic_count, uint32_t *owners)
{
    struct assignment a = { .members = members,
                            .partitions = partitions,
                            .owners = owners,
                            .member_count = member_count,
                            .topic_count = topic_count };
    for (uint32_t t = 0; t < topic_count; t++)
        a.partition_count += partitions[t];
    a.classes = scratch(member_count, sizeof(*a.classes));
    a.order = scratch(member_count, sizeof(*a.order));
    a.place = scratch(member_count, sizeof(*a.place));
    a.class_of = scratch(member_count, sizeof(*a.class_of));
    a.count = scratch(member_count, sizeof(*a.count));
    a.head = scratch(member_count, sizeof(*a.head));
    a.topic_of = scratch(a.partition_count, sizeof(*a.topic_of));
    a.next = scratch(a.partition_count, sizeof(*a.next));
    memset(a.count, 0, member_count * sizeof(*a.count));
    memset(a.head, 0xff, member_count * sizeof(*a.head));
    for (uint32_t t = 0, p = 0; t < topic_count; t++)
        for (uint32_t i = 0; i < partitions[t]; i++)
            a.topic_of[p++] = t;

    classes_make(&a);
    keep(&a);
    hand_out(&a);
    balance(&a);

    scratch_free(a.classes, member_count, sizeof(*a.classes));
    scratch_free(a.order, member_count, sizeof(*a.order));
    scratch_free(a.place, member_count, sizeof(*a.place));
    scratch_free(a.class_of, member_count, sizeof(*a.class_of));
    scratch_free(a.count, member_count, sizeof(*a.count));
    scratch_free(a.head, member_count, sizeof(*a.head));
    scratch_free(a.topic_of, a.partition_count, sizeof(*a.topic_of));
    scratch_free(a.next, a.partition_count, sizeof(*a.next));
}
