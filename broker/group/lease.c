/* SPDX-License-Identifier: Apache-2.0
 *
 * group/lease.c: ranges that are out. See progress_own.h.
 *
 * A lease is one struct however many events it has; which of them are out still is written in their slots.
 * The list by deadline is kept in order from its end: deadlines are nearly always given in order, so that is
 * a step or none.
 */
#include "group/progress_own.h"

#include <string.h>

#include "base/mem.h"

static void lease_more(struct progress *p)
{
    CHECK(p->lease_block_count < (UINT32_MAX - SLOT_LEASE) / LEASE_BLOCK);
    const size_t before = p->lease_block_count * sizeof(*p->lease_blocks);
    p->lease_blocks = mem_realloc(MEM_GROUP, p->lease_blocks, before, before + sizeof(*p->lease_blocks));
    struct lease *block = mem_zalloc(MEM_GROUP, LEASE_BLOCK * sizeof(*block));
    const uint32_t base = p->lease_block_count * LEASE_BLOCK;
    p->lease_blocks[p->lease_block_count++] = block;
    for (uint32_t i = LEASE_BLOCK; i-- > 0;) {
        block[i].index = p->lease_free;
        p->lease_free = base + i + 1;
    }
}

/* Into the list by deadline. */
static void lease_queue(struct lease *l)
{
    struct list *before = l->progress->by_deadline.prev;
    while (before != &l->progress->by_deadline &&
           CONTAINER_OF(before, struct lease, by_deadline)->deadline_ms > l->deadline_ms)
        before = before->prev;
    list_prepend(before, &l->by_deadline);
}

struct lease *lease_create(struct progress *p, struct holder *h, uint64_t first, uint64_t end, uint32_t count,
                           int64_t deadline_ms)
{
    CHECK(count > 0 && count <= end - first);
    if (!p->lease_free)
        lease_more(p);
    const uint32_t index = p->lease_free - 1;
    struct lease *l = lease_at(p, index);
    p->lease_free = l->index;
    p->leases++;
    *l = (struct lease){ .progress = p,
                         .holder = h,
                         .first = first,
                         .end = end,
                         .deadline_ms = deadline_ms,
                         .index = index,
                         .left = count };
    list_init(&l->by_deadline);
    list_init(&l->of_holder);
    list_append(&h->leases, &l->of_holder);
    lease_queue(l);
    h->in_flight += count;
    p->in_flight += count;
    return l;
}

void lease_drop(struct lease *l, uint32_t count)
{
    struct progress *p = l->progress;
    struct holder *h = l->holder;
    CHECK(l->left >= count && h->in_flight >= count && p->in_flight >= count);
    l->left -= count;
    h->in_flight -= count;
    p->in_flight -= count;
    if (l->left)
        return;
    if (l->alone)
        h->alone--;
    list_remove(&l->of_holder);
    list_remove(&l->by_deadline);
    const uint32_t index = l->index;
    memset(l, 0, sizeof(*l));
    l->index = p->lease_free;
    p->lease_free = index + 1;
    p->leases--;
}

void lease_set_deadline(struct lease *l, int64_t deadline_ms)
{
    list_remove(&l->by_deadline);
    l->deadline_ms = deadline_ms;
    lease_queue(l);
}

uint64_t lease_lowest(struct lease *l)
{
    const struct progress *p = l->progress;
    CHECK(l->left > 0);
    if (!l->items && l->first < p->position)
        l->first = p->position; /* what is below is settled, and its slots may be others' */
    for (;; l->first++) {
        CHECK(l->first < l->end);
        if (!l->items) {
            if (*window_slot(p, l->first) == SLOT_LEASE + l->index)
                return l->first;
            continue;
        }
        const struct item *item = event_item(p, l->first);
        if (item && item_is(item, ITEM_OUT) && item->lease == l->index)
            return l->first;
    }
}

void lease_free_pool(struct progress *p)
{
    CHECK(p->leases == 0);
    for (uint32_t i = 0; i < p->lease_block_count; i++)
        mem_free(MEM_GROUP, p->lease_blocks[i], LEASE_BLOCK * sizeof(struct lease));
    mem_free(MEM_GROUP, p->lease_blocks, p->lease_block_count * sizeof(*p->lease_blocks));
    p->lease_blocks = NULL;
    p->lease_block_count = p->lease_free = 0;
}
