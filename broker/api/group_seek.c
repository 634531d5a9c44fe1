/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_seek.c: GROUP_SEEK: a group goes on elsewhere. Positions are found first, times by reading; then
 * all partitions move, or none.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

struct seek {
    struct fetch_head head; /* in session->fetches[0] */
    struct session *session;
    struct topic *topic; /* held */
    struct request rq;   /* without its body */
    struct wire_position position;
    bool dry;
    uint32_t first, count, at; /* partitions, and the one being looked at */
    struct wire_group_moved *rows;
    struct reading *reading;
    char group[GROUP_NAME_MAX + 1];
};

static void seek_free(struct seek *k)
{
    struct api *api = k->session->api;
    if (k->reading)
        reading_abandon(k->reading);
    list_remove(&k->head.link);
    k->session->fetch_count--;
    api->stats.polls--;
    topic_release(api->store, k->topic);
    mem_free(MEM_API, k->rows, k->count * sizeof(*k->rows));
    mem_free(MEM_API, k, sizeof(*k));
}

static void seek_abandon(struct fetch_head *head)
{
    seek_free(CONTAINER_OF(head, struct seek, head));
}

static void seek_refuse(struct seek *k, enum error code, const char *why)
{
    ack_refuse(k->session, &k->rq, code, why);
    seek_free(k);
}

/* The gp of row `i`: NULL when the group has no position there yet. `make`: then it gets one. */
static enum error seek_gp(const struct seek *k, uint32_t i, bool make, struct gp **out, char *why)
{
    struct group *g = group_find(k->session->api->door.groups, bytes_of(k->group));
    if (!g || k->topic->deleted) {
        snprintf(why, API_WHY_BYTES, "%s was deleted meanwhile", g ? k->topic->name : k->group);
        return g ? ERR_TOPIC_NOT_FOUND : ERR_GROUP_NOT_FOUND;
    }
    if (make)
        return group_gp_make(g, k->topic, k->first + i, out, why);
    *out = group_gp_find(g, k->topic, k->first + i);
    return ERR_OK;
}

static void seek_reply(struct seek *k)
{
    const uint32_t room = 2 + k->count * 20;
    uint8_t *bytes = mem_alloc(MEM_API, room);
    struct writer w = writer_of(bytes, room);
    write_u16(&w, (uint16_t)k->count);
    for (uint32_t i = 0; i < k->count; i++)
        wire_put_group_moved(&w, &k->rows[i]);
    if (k->dry) {
        struct api_reply r = api_reply_begin(k->session, writer_len(&w));
        write_raw(&r.w, bytes, writer_len(&w));
        api_reply_end(k->session, &r, &k->rq);
    } else {
        group_reply_durable(k->session, &k->rq, &w);
    }
    mem_free(MEM_API, bytes, room);
    seek_free(k);
}

static void seek_move(struct seek *k)
{
    char why[API_WHY_BYTES];
    struct gp *gp;
    if (!k->dry) {
        /* Room was there when the request was taken; a look-up may have taken a while. */
        if (!groups_room(k->session->api->door.groups, 0, 0, k->count * (uint32_t)GROUP_RANGE_BYTES)) {
            seek_refuse(k, ERR_TOO_MANY_IN_FLIGHT, "no room in the journal just now: try again");
            return;
        }
        for (uint32_t i = 0; i < k->count; i++) {
            enum error code = seek_gp(k, i, true, &gp, why);
            if (code == ERR_OK)
                code = group_seek(gp, k->rows[i].to, why);
            if (code != ERR_OK) {
                seek_refuse(k, code, why);
                return;
            }
        }
    }
    seek_reply(k);
}

static void seek_advance(struct seek *k);

static void seek_time_done(void *owner, struct reading *r)
{
    struct seek *k = owner;
    char why[API_WHY_BYTES];
    k->reading = NULL;
    if (r->time.error != ERR_OK) {
        reading_error_text(k->topic->partitions[k->first + k->at], r->time.error, r->time.offset, why);
        seek_refuse(k, r->time.error, why);
        return;
    }
    k->rows[k->at++].to = r->time.offset;
    seek_advance(k);
}

/* Shifts stop at what there is. */
static uint64_t seek_shifted(const struct partition *p, uint64_t from, int64_t by)
{
    const uint64_t start = partition_start(p), end = partition_end(p);
    const uint64_t at = from < start ? start : from > end ? end : from;
    const uint64_t far = by < 0 ? 0 - (uint64_t)by : (uint64_t)by;
    if (by < 0)
        return far < at - start ? at - far : start;
    return far < end - at ? at + far : end;
}

static void seek_advance(struct seek *k)
{
    char why[API_WHY_BYTES];
    struct gp *gp;
    for (; k->at < k->count; k->at++) {
        struct wire_group_moved *row = &k->rows[k->at];
        const enum error code = seek_gp(k, k->at, false, &gp, why);
        if (code != ERR_OK) {
            seek_refuse(k, code, why);
            return;
        }
        /* Without a position it moves from where it would begin. */
        struct partition *p = k->topic->partitions[k->first + k->at];
        *row = (struct wire_group_moved){ .partition = k->first + k->at,
                                          .from = gp ? progress_position(gp->progress) : partition_end(p) };
        if (k->position.from == WIRE_FROM_TIME) {
            k->reading = reading_time(k->session->api, p, k->position.value, k, seek_time_done);
            return;
        }
        if (k->position.from == WIRE_FROM_SHIFT) {
            row->to = seek_shifted(p, row->from, k->position.value);
        } else if (!position_resolve(p, &k->position, &row->to, why)) {
            seek_refuse(k, ERR_OFFSET_OUT_OF_RANGE, why);
            return;
        }
    }
    seek_move(k);
}

static enum error seek_check(struct session *s, const struct wire_group_seek *body, struct topic **t,
                             char *why)
{
    const struct group *g = group_find(s->api->door.groups, body->group);
    if (!g) {
        snprintf(why, API_WHY_BYTES, "no group %.*s: `runnel group set` makes one without members",
                 (int)(body->group.len < GROUP_NAME_MAX ? body->group.len : GROUP_NAME_MAX),
                 (const char *)body->group.at);
        return ERR_GROUP_NOT_FOUND;
    }
    *t = api_topic(s, body->topic, why);
    if (!*t)
        return ERR_TOPIC_NOT_FOUND;
    if (body->partition >= (int32_t)(*t)->partition_count) {
        snprintf(why, API_WHY_BYTES, "topic %s has no partition %d: it has %u, counted from 0", (*t)->name,
                 body->partition, (*t)->partition_count);
        return ERR_PARTITION_NOT_FOUND;
    }
    const enum error code = group_seek_check(g, why);
    return code == ERR_OK ? api_admit(s, why) : code;
}

enum net_take group_admin_seek(struct session *s, const struct request *rq)
{
    struct wire_group_seek body;
    struct topic *t;
    char why[API_WHY_BYTES];
    if (!wire_get_group_seek(rq->body, &body) || body.partition < -1 || body.dry > 1 ||
        (body.position.from != WIRE_FROM_SHIFT && !position_valid(&body.position)))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID,
                          "GROUP_SEEK cannot be decoded, or its position is none");
    const enum error code = seek_check(s, &body, &t, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    const uint32_t count = body.partition < 0 ? t->partition_count : 1;
    if (!group_room(s, 0, 0, count * (uint32_t)GROUP_RANGE_BYTES))
        return api_park(s);
    if (!fetch_admit(s, rq))
        return NET_TAKEN;
    struct seek *k = mem_zalloc(MEM_API, sizeof(*k));
    k->head.abandon = seek_abandon;
    k->session = s;
    k->topic = t;
    topic_hold(t);
    k->rq = *rq;
    k->position = body.position;
    k->dry = body.dry;
    k->first = body.partition < 0 ? 0 : (uint32_t)body.partition;
    k->count = count;
    k->rows = mem_zalloc(MEM_API, count * sizeof(*k->rows));
    memcpy(k->group, body.group.at, body.group.len);
    list_append(&s->fetches[0], &k->head.link);
    s->fetch_count++;
    s->api->stats.polls++;
    seek_advance(k);
    return NET_TAKEN;
}
