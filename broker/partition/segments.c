/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/segments.c: the row of a partition's segments, as the shard knows it; the files themselves are
 * the log room's.
 */
#include "partition/internal.h"

#include <string.h>

struct segment *segment_create(struct partition *p, uint64_t base_offset)
{
    struct segment *s = mem_zalloc(MEM_PARTITION, sizeof(*s));
    s->partition = p;
    s->log.base_offset = s->log.end_offset = base_offset;
    s->log.max_timestamp_ms = p->max_timestamp_ms;
    s->log.append_ms = p->append_ms;
    s->first_append_ms = -1;
    s->fd = -1;
    list_init(&s->open_link);
    list_init(&s->waiting);
    if (p->segment_count == p->segment_room) {
        uint32_t room = p->segment_room ? p->segment_room * 2 : 2;
        p->segments = mem_realloc(MEM_PARTITION, p->segments, p->segment_room * sizeof(*p->segments),
                                  room * sizeof(*p->segments));
        p->segment_room = room;
    }
    p->segments[p->segment_count++] = s;
    return s;
}

void segment_destroy(struct store *store, struct segment *s)
{
    CHECK(!s->writes && !s->opening && !s->syncing);
    CHECK(list_empty(&s->waiting));
    if (list_linked(&s->open_link)) {
        list_remove(&s->open_link);
        store->open_count--;
    }
    if (s->fd >= 0)
        file_close(s->fd);
    mem_free(MEM_PARTITION, s->pending, s->pending_room * sizeof(*s->pending));
    mem_free(MEM_PARTITION, s, sizeof(*s));
}

const char segment_half_lost[] =
    "an index was lost and its segment is damaged: what could not be proven right is not served";

void segment_set_aside(struct segment *s, const char *what, const char *damage)
{
    struct partition *p = s->partition;
    if (!s->damaged)
        p->store->stats.damaged_segments++;
    s->damaged = p->damaged = true;
    diag(DIAG_ERROR, "partition", what, DIAG_KS("topic", p->topic->name), DIAG_KU("partition", p->number),
         DIAG_KU("base_offset", s->log.base_offset), DIAG_KS("damage", damage));
}

struct segment *segment_find(const struct partition *p, uint64_t offset, uint32_t *index)
{
    uint32_t low = 0, high = p->segment_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (p->segments[mid]->log.base_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low)
        return NULL;
    if (index)
        *index = low - 1;
    return p->segments[low - 1];
}

void segments_remove_first(struct partition *p)
{
    struct segment *s = p->segments[0];
    p->bytes_closed -= s->appended;
    memmove(p->segments, p->segments + 1, (p->segment_count - 1) * sizeof(*p->segments));
    p->segment_count--;
    segment_destroy(p->store, s);
}
