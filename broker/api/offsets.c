/* SPDX-License-Identifier: Apache-2.0
 *
 * api/offsets.c: OFFSETS: what positions mean in partitions of a topic; times are looked up one after the
 * other.
 */
#include <stdio.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"

struct offsets {
    struct fetch_head head; /* in session->fetches[0] */
    struct session *session;
    struct topic *topic; /* held */
    struct request rq;
    uint32_t count, at;
    struct reading *reading;
    struct wire_offset_query *queries;
    struct wire_offset_row *rows;
};

static void offsets_free(struct offsets *o)
{
    struct api *api = o->session->api;
    if (o->reading)
        reading_abandon(o->reading);
    list_remove(&o->head.link);
    o->session->fetch_count--;
    api->stats.polls--;
    topic_release(api->store, o->topic);
    mem_free(MEM_API, o->queries, o->count * sizeof(*o->queries));
    mem_free(MEM_API, o->rows, o->count * sizeof(*o->rows));
    mem_free(MEM_API, o, sizeof(*o));
}

static void offsets_abandon(struct fetch_head *head)
{
    offsets_free(CONTAINER_OF(head, struct offsets, head));
}

static void offsets_reply(struct offsets *o)
{
    struct api_reply r = api_reply_begin(o->session, 2 + o->count * 32);
    write_u16(&r.w, (uint16_t)o->count);
    for (uint32_t i = 0; i < o->count; i++)
        wire_put_offset_row(&r.w, &o->rows[i]);
    api_reply_end(o->session, &r, &o->rq);
    offsets_free(o);
}

static void offsets_advance(struct offsets *o);

static void offsets_time_done(void *owner, struct reading *r)
{
    struct offsets *o = owner;
    o->reading = NULL;
    struct wire_offset_row *row = &o->rows[o->at++];
    row->error = (uint16_t)r->time.error;
    row->offset = r->time.offset;
    row->timestamp_ms = r->time.found_ms;
    offsets_advance(o);
}

/* Answers rows until one needs a look-up, and the request after the last. */
static void offsets_advance(struct offsets *o)
{
    char why[API_WHY_BYTES];
    for (; o->at < o->count; o->at++) {
        const struct wire_offset_query *q = &o->queries[o->at];
        struct wire_offset_row *row = &o->rows[o->at];
        *row = (struct wire_offset_row){ .partition = q->partition, .timestamp_ms = -1 };
        if (o->topic->deleted || q->partition >= o->topic->partition_count) {
            row->error = (uint16_t)(o->topic->deleted ? ERR_TOPIC_NOT_FOUND : ERR_PARTITION_NOT_FOUND);
            continue;
        }
        struct partition *p = o->topic->partitions[q->partition];
        if (!position_valid(&q->position)) {
            row->error = ERR_REQUEST_INVALID;
        } else if (q->position.from == WIRE_FROM_TIME) {
            o->reading = reading_time(o->session->api, p, q->position.value, o, offsets_time_done);
            return;
        } else if (!position_resolve(p, &q->position, &row->offset, why)) {
            row->error = ERR_OFFSET_OUT_OF_RANGE;
        }
    }
    offsets_reply(o);
}

enum net_take offsets_request(struct session *s, const struct request *rq)
{
    struct reader r = rq->body;
    const uint32_t handle = read_u32(&r);
    const uint16_t count = read_u16(&r);
    struct reader rows = r;
    for (uint16_t i = 0; i < count && !r.bad; i++) {
        struct wire_offset_query q;
        wire_get_offset_query(&r, &q);
    }
    if (!reader_done(&r) || count == 0 || count > WIRE_OFFSETS_MAX)
        return api_refuse(s, rq, ERR_REQUEST_INVALID,
                          "OFFSETS cannot be decoded, or asks for none or more than 1024");
    if (handle >= s->handle_count)
        return api_refuse(s, rq, ERR_HANDLE_UNKNOWN, "the topic handle was not opened on this connection");
    if (!fetch_admit(s, rq))
        return NET_TAKEN;
    struct offsets *o = mem_zalloc(MEM_API, sizeof(*o));
    o->head.abandon = offsets_abandon;
    o->session = s;
    o->topic = s->handles[handle];
    topic_hold(o->topic);
    o->rq = *rq;
    o->count = count;
    o->queries = mem_alloc(MEM_API, count * sizeof(*o->queries));
    o->rows = mem_zalloc(MEM_API, count * sizeof(*o->rows));
    for (uint16_t i = 0; i < count; i++)
        wire_get_offset_query(&rows, &o->queries[i]);
    list_append(&s->fetches[0], &o->head.link);
    s->fetch_count++;
    s->api->stats.polls++;
    offsets_advance(o);
    return NET_TAKEN;
}
