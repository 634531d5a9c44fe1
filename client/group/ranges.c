/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/ranges.c: see ranges.h.
 */
#include "client/group/ranges.h"

#include <stdlib.h>
#include <string.h>

void ranges_free(struct ranges *r)
{
    free(r->items);
    *r = (struct ranges){ 0 };
}

/* Index of the first range that ends behind `offset`. */
static uint32_t ranges_find(const struct ranges *r, int64_t offset)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (r->items[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool ranges_insert(struct ranges *r, uint32_t at, struct range new)
{
    if (r->count == r->size) {
        uint32_t size = r->size ? r->size * 2 : 8;
        struct range *grown = realloc(r->items, size * sizeof(*grown));
        if (!grown)
            return false;
        r->items = grown;
        r->size = size;
    }
    memmove(&r->items[at + 1], &r->items[at], (r->count - at) * sizeof(*r->items));
    r->items[at] = new;
    r->count++;
    return true;
}

static void ranges_remove(struct ranges *r, uint32_t at)
{
    r->count--;
    memmove(&r->items[at], &r->items[at + 1], (r->count - at) * sizeof(*r->items));
}

bool ranges_cut(struct ranges *r, int64_t first, int64_t end, uint32_t epoch)
{
    for (uint32_t i = ranges_find(r, first); i < r->count && r->items[i].first < end;) {
        struct range *at = &r->items[i];
        if (at->epoch > epoch) {
            i++;
        } else if (at->first < first && at->end > end) {
            if (!ranges_insert(r, i + 1, (struct range){ end, at->end, at->epoch }))
                return false;
            r->items[i].end = first;
            return true;
        } else if (at->first < first) {
            at->end = first;
            i++;
        } else if (at->end > end) {
            at->first = end;
            return true;
        } else {
            ranges_remove(r, i);
        }
    }
    return true;
}

bool ranges_add(struct ranges *r, int64_t first, int64_t end, uint32_t epoch)
{
    uint32_t at = r->count;
    if (at && r->items[at - 1].end > first) { /* not behind all others */
        if (!ranges_cut(r, first, end, UINT32_MAX))
            return false;
        at = ranges_find(r, first);
    }
    struct range *before = at ? &r->items[at - 1] : NULL;
    struct range *after = at < r->count ? &r->items[at] : NULL;
    bool joins_before = before && before->end == first && before->epoch == epoch;
    bool joins_after = after && after->first == end && after->epoch == epoch;
    if (joins_before && joins_after) {
        before->end = after->end;
        ranges_remove(r, at);
    } else if (joins_before) {
        before->end = end;
    } else if (joins_after) {
        after->first = first;
    } else {
        return ranges_insert(r, at, (struct range){ first, end, epoch });
    }
    return true;
}

bool ranges_move(struct ranges *to, struct ranges *from)
{
    bool all = true;
    if (to->count == 0) {
        struct ranges empty = *to;
        *to = *from;
        *from = empty;
        return true;
    }
    for (uint32_t i = 0; i < from->count; i++)
        all &= ranges_add(to, from->items[i].first, from->items[i].end, from->items[i].epoch);
    from->count = 0;
    return all;
}

bool ranges_has(const struct ranges *r, int64_t offset, uint32_t epoch)
{
    uint32_t i = ranges_find(r, offset);
    return i < r->count && r->items[i].first <= offset && r->items[i].epoch == epoch;
}

bool ranges_take(struct ranges *r, int64_t offset, uint32_t epoch)
{
    return ranges_has(r, offset, epoch) && ranges_cut(r, offset, offset + 1, UINT32_MAX);
}

uint64_t ranges_events(const struct ranges *r)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->count; i++)
        n += (uint64_t)(r->items[i].end - r->items[i].first);
    return n;
}
