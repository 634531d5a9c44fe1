/* SPDX-License-Identifier: Apache-2.0
 *
 * api/reading.c: reads of segments and look-ups of times, whose owner may be gone before they end.
 *
 * A worker uses the job's memory until it is done, so the job is an object of its own: whoever started it
 * keeps a pointer and may abandon it; the end frees it, and gives the memory that it read back if nobody took
 * it.
 */
#include <stdio.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"

static struct reading *reading_create(struct api *api, struct partition *p, void *owner,
                                      void (*done)(void *owner, struct reading *r))
{
    struct reading *r = mem_zalloc(MEM_API, sizeof(*r));
    r->api = api;
    r->topic = partition_topic(p);
    r->owner = owner;
    r->done = done;
    topic_hold(r->topic);
    api->jobs++;
    return r;
}

static void reading_end(struct reading *r)
{
    struct api *api = r->api;
    if (r->owner)
        r->done(r->owner, r);
    api->jobs--;
    topic_release(api->store, r->topic);
}

static void reading_history_done(struct history_read *read)
{
    struct reading *r = CONTAINER_OF(read, struct reading, history);
    struct store *store = r->api->store;
    reading_end(r);
    if (r->history.slice.data)
        slice_release(store, &r->history.slice);
    mem_free(MEM_API, r, sizeof(*r));
}

static void reading_time_done(struct time_lookup *lookup)
{
    struct reading *r = CONTAINER_OF(lookup, struct reading, time);
    reading_end(r);
    mem_free(MEM_API, r, sizeof(*r));
}

struct reading *reading_history(struct api *api, struct partition *p, uint64_t offset, uint32_t bytes_max,
                                void *owner, void (*done)(void *owner, struct reading *r))
{
    struct reading *r = reading_create(api, p, owner, done);
    history_start(&r->history, p, offset, bytes_max, reading_history_done);
    return r;
}

struct reading *reading_time(struct api *api, struct partition *p, int64_t timestamp_ms, void *owner,
                             void (*done)(void *owner, struct reading *r))
{
    struct reading *r = reading_create(api, p, owner, done);
    time_lookup_start(&r->time, p, timestamp_ms, reading_time_done);
    return r;
}

void reading_abandon(struct reading *r)
{
    r->owner = NULL;
}

enum error reading_error_text(const struct partition *p, enum error code, uint64_t offset, char *why)
{
    const struct topic *t = partition_topic(p);
    switch (code) {
    case ERR_OFFSET_OUT_OF_RANGE:
        position_range_text(p, offset, why);
        break;
    case ERR_TOPIC_NOT_FOUND:
        snprintf(why, API_WHY_BYTES, "topic %s was deleted", t->name);
        break;
    case ERR_SEGMENT_CORRUPT:
        snprintf(
            why, API_WHY_BYTES,
            "topic %s, partition %u: the segment with offset %llu is damaged: see the broker's messages, run "
            "`runnel verify`",
            t->name, partition_number(p), (unsigned long long)offset);
        break;
    default:
        snprintf(why, API_WHY_BYTES, "topic %s, partition %u, offset %llu: %s", t->name, partition_number(p),
                 (unsigned long long)offset, error_text((uint16_t)code));
        break;
    }
    return code;
}
