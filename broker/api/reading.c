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

/* One read, or the memory that it filled, is off the books. */
static void reading_settle(struct api *api, struct session *s)
{
    CHECK(api->history_count > 0);
    api->history_count--;
    api->door.retry_blocked = true;
    if (!s)
        return;
    CHECK(s->history_count > 0);
    s->history_count--;
    subscribe_history_free(s);
}

static void reading_history_done(struct history_read *read)
{
    struct reading *r = CONTAINER_OF(read, struct reading, history);
    struct api *api = r->api;
    reading_end(r);
    if (r->history.slice.data)
        slice_release(api->store, &r->history.slice);
    if (!r->taken)
        reading_settle(api, r->session);
    mem_free(MEM_API, r, sizeof(*r));
}

bool reading_may(struct session *s)
{
    const struct api *api = s->api;
    const uint64_t all = api->options.history_bytes_max / API_HISTORY_BYTES;
    const uint64_t free = api->history_count < all ? all - api->history_count : 0;
    return s->history_count == 0 || s->history_count < free / API_HISTORY_SHARE;
}

void reading_session_closed(struct session *s)
{
    struct list *node;
    while ((node = list_pop(&s->history)))
        CONTAINER_OF(node, struct shared_slice, link)->session = NULL;
}

static void reading_time_done(struct time_lookup *lookup)
{
    struct reading *r = CONTAINER_OF(lookup, struct reading, time);
    reading_end(r);
    mem_free(MEM_API, r, sizeof(*r));
}

struct reading *reading_history(struct api *api, struct session *s, struct partition *p, uint64_t offset,
                                uint32_t bytes_max, void *owner, void (*done)(void *owner, struct reading *r))
{
    struct reading *r = reading_create(api, p, owner, done);
    r->session = s;
    if (s)
        s->history_count++;
    api->history_count++;
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
    if (r->session)
        r->session->history_count--; /* it goes on without an account: the session may be gone by its end */
    r->session = NULL;
}

/* ---- slices in pieces ---- */

/* Pins are at least 8-aligned pointers: the lowest bit tells ours from the store's. */
enum { SHARED_TAG = 1 };

struct shared_slice *shared_take(struct reading *r)
{
    struct shared_slice *shared = mem_alloc(MEM_API, sizeof(*shared));
    *shared = (struct shared_slice){ .slice = r->history.slice, .refs = 1, .session = r->session };
    r->history.slice = (struct slice){ 0 };
    r->taken = true; /* the account goes with the memory */
    list_append(&shared->session->history, &shared->link);
    return shared;
}

void *shared_pin(struct shared_slice *shared)
{
    shared->refs++;
    return (char *)shared + SHARED_TAG;
}

void shared_unref(struct api *api, struct shared_slice *shared)
{
    CHECK(shared->refs > 0);
    if (--shared->refs > 0)
        return;
    slice_release(api->store, &shared->slice);
    list_remove(&shared->link);
    reading_settle(api, shared->session);
    mem_free(MEM_API, shared, sizeof(*shared));
}

void reading_unlent(struct api *api, const uint8_t *data, uint32_t bytes, void *pin)
{
    if ((uintptr_t)pin & SHARED_TAG) {
        shared_unref(api, (struct shared_slice *)(void *)((char *)pin - SHARED_TAG));
        return;
    }
    struct slice slice = { .data = data, .bytes = bytes, .pin = pin };
    slice_release(api->store, &slice);
}

uint32_t reading_cut(const uint8_t *data, uint32_t bytes, uint32_t bytes_max)
{
    uint32_t at = 0;
    if (bytes <= bytes_max)
        return bytes;
    while (at < bytes) {
        const uint64_t batch = batch_bytes(data + at, bytes - at);
        CHECK(batch > 0 && batch <= bytes - at); /* slices hold whole batches */
        if (at > 0 && at + batch > bytes_max)
            break;
        at += (uint32_t)batch;
    }
    return at;
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
