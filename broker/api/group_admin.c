/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_admin.c: looking after groups: listing, describing, settings, the breaker, forgetting.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"
#include "group/classic.h"

enum {
    GROUP_LIST_MAX = 1000,
    GROUP_ROW_BYTES = 2 + GROUP_NAME_MAX + 32,
    GROUP_STATE_BYTES = 8192, /* what a change of a group notes at most, positions apart */
    /* A description is one reply: what does not fit is left out, and the reader sees fewer rows than the
     * group has. */
    DESCRIBE_BYTES_MAX = 12 << 20,
    DESCRIBE_MEMBER_BYTES = 3 * (2 + MEMBER_TEXT_MAX) + 16,
    DESCRIBE_PARTITION_BYTES = 2 + TOPIC_NAME_MAX + 2 + CLASSIC_ID_MAX + 80,
};

/* The group that a request names; NULL: refused. */
static struct group *admin_group(struct session *s, const struct request *rq, struct bytes name)
{
    char why[API_WHY_BYTES];
    struct group *g = group_find(s->api->door.groups, name);
    if (g)
        return g;
    snprintf(why, sizeof(why), "no group %.*s: `runnel group list` shows those there are",
             (int)(name.len < GROUP_NAME_MAX ? name.len : GROUP_NAME_MAX), (const char *)name.at);
    ack_refuse(s, rq, ERR_GROUP_NOT_FOUND, why);
    return NULL;
}

/* The group of a change that may be carried out and stored now; NULL: `*take` is the answer. */
static struct group *admin_change(struct session *s, const struct request *rq, struct bytes name,
                                  uint32_t state_bytes, enum net_take *take)
{
    char why[API_WHY_BYTES];
    *take = NET_TAKEN;
    const enum error code = api_admit(s, why);
    if (code != ERR_OK) {
        ack_refuse(s, rq, code, why);
        return NULL;
    }
    if (!group_room(s, 0, 0, state_bytes)) {
        *take = api_park(s);
        return NULL;
    }
    return admin_group(s, rq, name);
}

static enum net_take admin_done(struct session *s, const struct request *rq, enum error code, const char *why)
{
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    group_reply_durable(s, rq, NULL);
    return NET_TAKEN;
}

/* ---- looking ---- */

static uint8_t mode_of(const struct group *g)
{
    return g->kafka ? WIRE_GROUP_KAFKA : g->ordered ? WIRE_GROUP_ORDERED : WIRE_GROUP_SHARED;
}

static void list_row(struct writer *w, struct group *g)
{
    const struct group_lag lag = group_lag(g);
    const struct wire_group_row row = {
        .group = bytes_of(g->name),
        .mode = mode_of(g),
        .state = (uint8_t)group_state(g),
        .members = g->member_count,
        .partitions = g->partition_count,
        .lag = lag.events,
        .lag_ms = lag.ms,
    };
    wire_put_group_row(w, &row);
}

enum net_take group_admin_list(struct session *s, const struct request *rq)
{
    struct wire_group_list body;
    if (!wire_get_group_list(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_LIST cannot be decoded");
    const uint32_t most = body.max && body.max < GROUP_LIST_MAX ? body.max : GROUP_LIST_MAX;
    struct api_reply r = api_reply_begin(s, 5 + most * GROUP_ROW_BYTES);
    struct group *g = group_next(s->api->door.groups, body.after);
    uint32_t count = 0;
    uint8_t *head = r.w.at;
    write_u8(&r.w, 0);
    write_u32(&r.w, 0);
    for (; g && count < most; g = group_next(s->api->door.groups, bytes_of(g->name))) {
        if (body.pattern.len && !name_matches(body.pattern, bytes_of(g->name)))
            continue;
        list_row(&r.w, g);
        count++;
    }
    head[0] = g != NULL;
    memcpy(head + 1, &count, sizeof(count));
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}

static void describe_settings(struct writer *w, const struct group *g)
{
    char value[GROUP_SETTING_TEXT_BYTES];
    write_u16(w, (uint16_t)group_settings_count());
    for (uint32_t i = 0; i < group_settings_count(); i++) {
        group_settings_text(&g->settings, i, value);
        write_str(w, bytes_of(group_settings_row(i)->name));
        write_str(w, bytes_of(value));
        write_u8(w, !(g->settings.set & (1u << i)));
    }
}

static void describe_topics(struct writer *w, const struct group *g)
{
    write_u16(w, (uint16_t)g->subscription_count);
    for (uint32_t i = 0; i < g->subscription_count; i++)
        write_str(w, bytes_of(g->subscriptions[i].pattern));
}

static uint8_t describe_member_state(const struct member *m)
{
    return m->state == MEMBER_DETACHED ? WIRE_MEMBER_DETACHED
           : m->state == MEMBER_SILENT ? WIRE_MEMBER_SILENT
                                       : WIRE_MEMBER_OK;
}

static void describe_kafka_members(struct writer *w, const struct group *g)
{
    for (const struct classic_member *m = NULL; (m = classic_member_next(g, m));) {
        const struct wire_group_member_row row = {
            .member_id = bytes_of(m->id),
            .instance_id = bytes_of(m->instance),
            .host = bytes_of(m->host),
            .partitions = classic_partitions(m),
            .state = WIRE_MEMBER_OK,
        };
        wire_put_group_member_row(w, &row);
    }
}

static void describe_members(struct writer *w, const struct group *g)
{
    write_u32(w, g->member_count);
    describe_kafka_members(w, g);
    LIST_FOR_EACH (node, &g->members) {
        const struct member *m = CONTAINER_OF(node, struct member, link);
        const struct wire_group_member_row row = {
            .member_id = bytes_of(m->id),
            .instance_id = bytes_of(m->instance),
            .host = bytes_of(m->host),
            .in_flight = m->holder.in_flight,
            .partitions = m->partitions,
            .state = describe_member_state(m),
        };
        wire_put_group_member_row(w, &row);
    }
}

struct describe_done {
    struct writer w;
    uint16_t count;
};

static void describe_done_range(void *ctx, uint64_t first, uint64_t end)
{
    struct describe_done *d = ctx;
    const struct wire_group_done row = { first, end };
    if (d->count >= WIRE_GROUP_DONE_MAX)
        return;
    wire_put_group_done(&d->w, &row);
    d->count++;
}

static void describe_partition(struct writer *w, const struct gp *gp)
{
    uint8_t ranges[WIRE_GROUP_DONE_MAX * WIRE_GROUP_DONE];
    struct describe_done done = { .w = writer_of(ranges, sizeof(ranges)) };
    const struct group_lag lag = gp_lag(gp);
    progress_each_done(gp->progress, describe_done_range, &done);
    const struct wire_group_partition_row row = {
        .topic = { (const uint8_t *)gp->topic->name, gp->topic->name_len },
        .partition = gp->number,
        .owner = bytes_of(gp->owner                        ? gp->owner->id
                          : gp->group->kafka && gp->holder ? gp->holder->id
                                                           : ""),
        .position = progress_position(gp->progress),
        .next = progress_next(gp->progress),
        .start = partition_start(gp->partition),
        .end = partition_end(gp->partition),
        .lag = lag.events,
        .lag_ms = lag.ms,
        .in_flight = progress_in_flight(gp->progress),
        .items = progress_items(gp->progress),
        .pause = (uint8_t)gp_pause(gp),
        .done_count = done.count,
        .done = { ranges, writer_len(&done.w) },
    };
    wire_put_group_partition_row(w, &row);
}

static uint64_t describe_bytes(const struct group *g)
{
    uint64_t bytes = 4096 + 64ull * group_settings_count() + GROUP_NAME_MAX +
                     (uint64_t)g->member_count * DESCRIBE_MEMBER_BYTES + GROUP_WHY_BYTES +
                     group_settings_count() * (uint64_t)GROUP_SETTING_TEXT_BYTES;
    for (uint32_t i = 0; i < g->subscription_count; i++)
        bytes += 2 + strlen(g->subscriptions[i].pattern);
    return bytes;
}

enum net_take group_admin_describe(struct session *s, const struct request *rq)
{
    struct wire_group_name body;
    char reason[GROUP_WHY_BYTES];
    if (!wire_get_group_name(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_DESCRIBE cannot be decoded");
    struct group *g = admin_group(s, rq, body.group);
    if (!g)
        return NET_TAKEN;
    group_breaker_text(g, reason);
    if (g->kafka)
        classic_mark_holders(g);
    const struct wire_group_described head = {
        .group = bytes_of(g->name),
        .mode = mode_of(g),
        .state = (uint8_t)group_state(g),
        .generation = g->generation,
        .breaker = (uint8_t)g->breaker.state,
        .breaker_reason = bytes_of(reason),
    };
    const uint32_t one = DESCRIBE_PARTITION_BYTES + WIRE_GROUP_DONE_MAX * WIRE_GROUP_DONE;
    uint64_t room = describe_bytes(g) + (uint64_t)g->partition_count * one;
    if (room > DESCRIBE_BYTES_MAX)
        room = DESCRIBE_BYTES_MAX;
    uint8_t *bytes = mem_alloc(MEM_API, room);
    struct writer w = writer_of(bytes, (uint32_t)room);
    wire_put_group_described(&w, &head);
    describe_settings(&w, g);
    describe_topics(&w, g);
    describe_members(&w, g);
    const uint32_t at = writer_len(&w);
    uint32_t count = 0;
    write_u32(&w, 0);
    for (struct gp *gp = group_gp_next(g, NULL); gp && room - writer_len(&w) >= one;
         gp = group_gp_next(g, gp)) {
        describe_partition(&w, gp);
        count++;
    }
    CHECK(!w.bad);
    memcpy(bytes + at, &count, sizeof(count));
    struct api_reply r = api_reply_begin(s, writer_len(&w));
    write_raw(&r.w, bytes, writer_len(&w));
    api_reply_end(s, &r, rq);
    mem_free(MEM_API, bytes, room);
    return NET_TAKEN;
}

/* ---- changing ---- */

enum net_take group_admin_set(struct session *s, const struct request *rq)
{
    struct wire_group_set body;
    struct bytes names[WIRE_CONFIGS_MAX], values[WIRE_CONFIGS_MAX];
    struct group *g;
    char why[API_WHY_BYTES];
    if (!wire_get_group_set(rq->body, &body) || body.create_mode > WIRE_GROUP_SHARED)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_SET cannot be decoded");
    enum error code = api_admit(s, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    if (!group_room(s, 0, 0, GROUP_STATE_BYTES))
        return api_park(s);
    for (uint16_t i = 0; i < body.config_count; i++) {
        names[i] = body.configs[i].name;
        values[i] = body.configs[i].value;
    }
    code = group_make(s->api->door.groups, body.group, (enum group_mode)body.create_mode, &g, why);
    if (code == ERR_OK && body.config_count)
        code = group_set(g, names, values, body.config_count, why);
    return admin_done(s, rq, code, why);
}

enum net_take group_admin_delete(struct session *s, const struct request *rq)
{
    struct wire_group_name body;
    enum net_take take;
    char why[API_WHY_BYTES];
    if (!wire_get_group_name(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_DELETE cannot be decoded");
    struct group *g = admin_change(s, rq, body.group, GROUP_STATE_BYTES, &take);
    return g ? admin_done(s, rq, group_delete(g, why), why) : take;
}

enum net_take group_admin_breaker(struct session *s, const struct request *rq)
{
    struct wire_group_breaker_set body;
    enum net_take take;
    if (!wire_get_group_breaker_set(rq->body, &body) || body.order > WIRE_BREAKER_HOLD_CLOSED)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_BREAKER cannot be decoded");
    struct group *g = admin_change(s, rq, body.group, GROUP_STATE_BYTES, &take);
    if (!g)
        return take;
    char why[API_WHY_BYTES];
    const enum error code = group_native_check(g, "the breaker", why);
    if (code == ERR_OK)
        group_breaker_set(g, (enum group_breaker_order)body.order);
    return admin_done(s, rq, code, why);
}

enum net_take group_admin_forget(struct session *s, const struct request *rq)
{
    struct wire_group_forget body;
    enum net_take take;
    char why[API_WHY_BYTES];
    if (!wire_get_group_forget(rq->body, &body) || body.partition < -1)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_FORGET cannot be decoded");
    struct topic *t = api_topic(s, body.topic, why);
    if (!t)
        return ack_refuse(s, rq, ERR_TOPIC_NOT_FOUND, why);
    struct group *g = admin_change(s, rq, body.group, GROUP_STATE_BYTES + t->partition_count * 64, &take);
    return g ? admin_done(s, rq, group_offsets_delete(g, t, body.partition, why), why) : take;
}

/* ---- positions given by hand ---- */

/* ERR_OK: the position can be given. Nothing is changed. */
static enum error commit_check(struct session *s, struct group *g, const struct wire_group_commit_row *row,
                               struct topic **topic, char *why)
{
    struct topic *t = *topic = catalog_find(s->api->store, row->topic);
    if (!t || row->partition >= t->partition_count) {
        snprintf(why, API_WHY_BYTES, "no topic %.*s with a partition %u",
                 (int)(row->topic.len < TOPIC_NAME_MAX ? row->topic.len : TOPIC_NAME_MAX),
                 (const char *)row->topic.at, row->partition);
        return t ? ERR_PARTITION_NOT_FOUND : ERR_TOPIC_NOT_FOUND;
    }
    const struct partition *p = t->partitions[row->partition];
    if (row->position < partition_start(p) || row->position > partition_end(p)) {
        position_range_text(p, row->position, why);
        return ERR_OFFSET_OUT_OF_RANGE;
    }
    const struct gp *gp = group_gp_find(g, t, row->partition);
    if (gp && progress_in_flight(gp->progress) > 0) {
        snprintf(why, API_WHY_BYTES, "group %s has events of topic %s, partition %u out with its members",
                 g->name, t->name, row->partition);
        return ERR_GROUP_BUSY;
    }
    return ERR_OK;
}

/* All positions are checked before the first one is moved. */
static enum error commit_rows(struct session *s, struct group *g, struct reader rows, uint16_t count,
                              bool check, char *why)
{
    enum error code = ERR_OK;
    for (uint16_t i = 0; i < count && code == ERR_OK; i++) {
        struct wire_group_commit_row row;
        struct topic *t;
        struct gp *gp;
        wire_get_group_commit_row(&rows, &row);
        code = commit_check(s, g, &row, &t, why);
        if (code == ERR_OK && !check)
            code = group_gp_make(g, t, row.partition, &gp, why);
        if (code == ERR_OK && !check)
            code = group_commit(gp, row.position, why);
    }
    return code;
}

enum net_take group_admin_commit(struct session *s, const struct request *rq)
{
    struct reader r = rq->body;
    const struct bytes name = read_str(&r);
    const uint16_t count = read_u16(&r);
    const struct reader rows = r;
    enum net_take take;
    char why[API_WHY_BYTES];
    for (uint16_t i = 0; i < count && !r.bad; i++) {
        struct wire_group_commit_row row;
        wire_get_group_commit_row(&r, &row);
    }
    if (!reader_done(&r) || count == 0)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_COMMIT cannot be decoded, or has no row");
    struct group *g =
        admin_change(s, rq, name, GROUP_STATE_BYTES + count * (uint32_t)GROUP_RANGE_BYTES, &take);
    if (!g)
        return take;
    enum error code = commit_rows(s, g, rows, count, true, why);
    if (code == ERR_OK)
        code = commit_rows(s, g, rows, count, false, why);
    return admin_done(s, rq, code, why);
}
