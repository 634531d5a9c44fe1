/* SPDX-License-Identifier: Apache-2.0
 *
 * api/topics.c: opening topics, and changing which there are.
 *
 * A change takes effect in memory at once and is answered when its record is durable: the reply waits in the
 * FIFO of ack.c, behind nothing but earlier ones.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    /* Rows of one TOPIC_LIST reply: the client asks for the next page. */
    TOPICS_LIST_MAX = 1000,
    TOPICS_ROW_BYTES = 2 + TOPIC_NAME_MAX + 8 + 4 + 8 + 8,
    TOPICS_PARTITION_BYTES = 64,
};

/* A reply that waits for what was just changed. */
static void topics_reply_durable(struct session *s, const struct request *rq, const struct writer *body)
{
    ack_reply(s, rq, store_sequence(s->api->store), body);
}

/* Every change begins so: ERR_OK, or refused. `*park`: wait for room. */
static enum error topics_admit(struct session *s, bool *park, char *why)
{
    const enum error code = api_admit(s, why);
    *park = code == ERR_OK && !api_room_for(s, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES);
    return code;
}

/* ---- opening ---- */

static uint32_t topics_handle(struct session *s, struct topic *topic)
{
    for (uint32_t i = 0; i < s->handle_count; i++) {
        if (s->handles[i] == topic)
            return i;
    }
    if (s->handle_count == s->handle_room) {
        const uint32_t room = s->handle_room ? s->handle_room * 2 : 4;
        s->handles = mem_realloc(MEM_API, s->handles, s->handle_room * sizeof(*s->handles),
                                 room * sizeof(*s->handles));
        s->handle_room = room;
    }
    topic_hold(topic);
    s->handles[s->handle_count] = topic;
    s->api->stats.handles++;
    return s->handle_count++;
}

void topics_session_closed(struct session *s)
{
    for (uint32_t i = 0; i < s->handle_count; i++)
        topic_release(s->api->store, s->handles[i]);
    s->api->stats.handles -= s->handle_count;
    mem_free(MEM_API, s->handles, s->handle_room * sizeof(*s->handles));
    s->handles = NULL;
    s->handle_count = s->handle_room = 0;
}

enum net_take topics_open(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    struct wire_open_topic body;
    char why[API_WHY_BYTES];
    bool created = false, park;
    if (!wire_get_open_topic(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "OPEN_TOPIC cannot be decoded");
    struct topic *t = catalog_find(api->store, body.name);
    if (!t && (!body.create || !api->options.auto_create)) {
        if (!topic_name_valid(body.name))
            return api_refuse(s, rq, ERR_TOPIC_NAME_INVALID, error_fix(ERR_TOPIC_NAME_INVALID));
        api_topic(s, body.name, why);
        return api_refuse(s, rq, ERR_TOPIC_NOT_FOUND, why);
    }
    if (s->handle_count >= api->options.connection_topics_max) {
        snprintf(why, sizeof(why),
                 "the connection has %u topics open: use another one, or raise "
                 "connection.topics.max",
                 s->handle_count);
        return api_refuse(s, rq, ERR_LIMIT_REACHED, why);
    }
    if (!t) {
        enum error code = topics_admit(s, &park, why);
        if (code == ERR_OK && park)
            return api_park(s);
        if (code == ERR_OK)
            code = catalog_create(api->store, body.name, 0, NULL, NULL, 0, &t, why);
        if (code != ERR_OK)
            return api_refuse(s, rq, code, why);
        created = true;
    }
    const struct wire_open_topic_reply reply = { .handle = topics_handle(s, t),
                                                 .topic_id = t->id,
                                                 .partitions = t->partition_count,
                                                 .batch_bytes_max = (uint32_t)t->settings.max_message_bytes };
    uint8_t bytes[64];
    struct writer w = writer_of(bytes, sizeof(bytes));
    wire_put_open_topic_reply(&w, &reply);
    if (created) {
        topics_reply_durable(s, rq, &w);
    } else {
        struct api_reply r = api_reply_begin(s, writer_len(&w));
        write_raw(&r.w, bytes, writer_len(&w));
        api_reply_end(s, &r, rq);
    }
    return NET_TAKEN;
}

/* ---- changes ---- */

static void topics_split(const struct wire_config *configs, uint32_t count, struct bytes *names,
                         struct bytes *values)
{
    for (uint32_t i = 0; i < count; i++) {
        names[i] = configs[i].name;
        values[i] = configs[i].value;
    }
}

enum net_take topics_create(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    struct wire_topic_create body;
    struct bytes names[WIRE_CONFIGS_MAX], values[WIRE_CONFIGS_MAX];
    char why[API_WHY_BYTES];
    bool park, created = false;
    if (!wire_get_topic_create(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_CREATE cannot be decoded");
    struct topic *t = catalog_find(api->store, body.name);
    if (t && !body.if_missing) {
        snprintf(why, sizeof(why), "topic %s exists with %u partitions: choose another name", t->name,
                 t->partition_count);
        return api_refuse(s, rq, ERR_TOPIC_EXISTS, why);
    }
    if (!t) {
        enum error code = topics_admit(s, &park, why);
        if (code == ERR_OK && park)
            return api_park(s);
        topics_split(body.configs, body.config_count, names, values);
        if (code == ERR_OK)
            code = catalog_create(api->store, body.name, body.partitions, names, values, body.config_count,
                                  &t, why);
        if (code != ERR_OK)
            return api_refuse(s, rq, code, why);
        created = true;
    }
    const struct wire_topic_create_reply reply = { t->id, t->partition_count, created };
    uint8_t bytes[32];
    struct writer w = writer_of(bytes, sizeof(bytes));
    wire_put_topic_create_reply(&w, &reply);
    if (created) {
        topics_reply_durable(s, rq, &w);
    } else {
        struct api_reply r = api_reply_begin(s, writer_len(&w));
        write_raw(&r.w, bytes, writer_len(&w));
        api_reply_end(s, &r, rq);
    }
    return NET_TAKEN;
}

/* The topic of a change that may go ahead; NULL: `*take` is the answer. */
static struct topic *topics_changeable(struct session *s, const struct request *rq, struct bytes name,
                                       enum net_take *take)
{
    char why[API_WHY_BYTES];
    bool park;
    struct topic *t = api_topic(s, name, why);
    enum error code = t ? ERR_OK : ERR_TOPIC_NOT_FOUND;
    if (t && t->internal) {
        snprintf(why, sizeof(why), "topic %s belongs to the broker: it cannot be changed", t->name);
        code = ERR_TOPIC_INTERNAL;
    }
    if (code == ERR_OK)
        code = topics_admit(s, &park, why);
    if (code != ERR_OK) {
        *take = api_refuse(s, rq, code, why);
        return NULL;
    }
    if (park) {
        *take = api_park(s);
        return NULL;
    }
    return t;
}

static enum net_take topics_changed(struct session *s, const struct request *rq, enum error code,
                                    const char *why)
{
    if (code != ERR_OK)
        return api_refuse(s, rq, code, why);
    topics_reply_durable(s, rq, NULL);
    return NET_TAKEN;
}

enum net_take topics_set(struct session *s, const struct request *rq)
{
    struct wire_topic_set body;
    struct bytes names[WIRE_CONFIGS_MAX], values[WIRE_CONFIGS_MAX];
    char why[API_WHY_BYTES];
    enum net_take take;
    if (!wire_get_topic_set(rq->body, &body) || body.config_count == 0)
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_SET cannot be decoded, or names no setting");
    struct topic *t = topics_changeable(s, rq, body.name, &take);
    if (!t)
        return take;
    topics_split(body.configs, body.config_count, names, values);
    return topics_changed(s, rq, catalog_set(s->api->store, t, names, values, body.config_count, why), why);
}

enum net_take topics_add_partitions(struct session *s, const struct request *rq)
{
    struct wire_topic_add_partitions body;
    char why[API_WHY_BYTES];
    enum net_take take;
    if (!wire_get_topic_add_partitions(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_ADD_PARTITIONS cannot be decoded");
    struct topic *t = topics_changeable(s, rq, body.name, &take);
    if (!t)
        return take;
    return topics_changed(s, rq, catalog_add_partitions(s->api->store, t, body.partitions, why), why);
}

enum net_take topics_delete(struct session *s, const struct request *rq)
{
    struct wire_topic_name body;
    char why[API_WHY_BYTES];
    enum net_take take;
    if (!wire_get_topic_name(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_DELETE cannot be decoded");
    struct topic *t = topics_changeable(s, rq, body.name, &take);
    if (!t)
        return take;
    return topics_changed(s, rq, catalog_delete(s->api->store, t, why), why);
}

/* ---- looking ---- */

static struct wire_topic_row topics_row(const struct topic *t)
{
    struct wire_topic_row row = { .name = { (const uint8_t *)t->name, t->name_len },
                                  .topic_id = t->id,
                                  .partitions = t->partition_count };
    for (uint32_t i = 0; i < t->partition_count; i++) {
        row.events += partition_end(t->partitions[i]) - partition_start(t->partitions[i]);
        row.bytes += partition_bytes(t->partitions[i]);
    }
    return row;
}

enum net_take topics_list(struct session *s, const struct request *rq)
{
    struct wire_topic_list body;
    if (!wire_get_topic_list(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_LIST cannot be decoded");
    const uint32_t max = body.max && body.max < TOPICS_LIST_MAX ? body.max : TOPICS_LIST_MAX;
    const uint32_t room = 5 + max * TOPICS_ROW_BYTES;
    uint8_t *rows = mem_alloc(MEM_API, room);
    struct writer w = writer_of(rows, room);
    uint32_t count = 0;
    struct topic *t = catalog_next(s->api->store, body.after);
    for (; t && count < max;
         t = catalog_next(s->api->store, (struct bytes){ (uint8_t *)t->name, t->name_len })) {
        const struct bytes name = { (const uint8_t *)t->name, t->name_len };
        if ((t->internal && !body.internal) || (body.pattern.len && !name_matches(body.pattern, name)))
            continue;
        const struct wire_topic_row row = topics_row(t);
        wire_put_topic_row(&w, &row);
        count++;
    }
    struct api_reply r = api_reply_begin(s, 5 + writer_len(&w));
    write_u8(&r.w, t != NULL);
    write_u32(&r.w, count);
    write_raw(&r.w, rows, writer_len(&w));
    api_reply_end(s, &r, rq);
    mem_free(MEM_API, rows, room);
    return NET_TAKEN;
}

static struct wire_partition_row topics_partition_row(const struct partition *p)
{
    return (struct wire_partition_row){
        .partition = partition_number(p),
        .start_offset = partition_start(p),
        .end_offset = partition_end(p),
        .bytes = partition_bytes(p),
        .segments = partition_segments(p),
        .max_timestamp_ms = partition_max_timestamp(p),
        .state = partition_fenced(p)    ? WIRE_PARTITION_FENCED
                 : partition_damaged(p) ? WIRE_PARTITION_DAMAGED
                                        : WIRE_PARTITION_OK,
    };
}

enum net_take topics_describe(struct session *s, const struct request *rq)
{
    struct wire_topic_name body;
    if (!wire_get_topic_name(rq->body, &body))
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "TOPIC_DESCRIBE cannot be decoded");
    char why[API_WHY_BYTES];
    const struct topic *t = api_topic(s, body.name, why);
    if (!t)
        return api_refuse(s, rq, ERR_TOPIC_NOT_FOUND, why);
    struct api_reply r = api_reply_begin(s, 512 + settings_count() * (160 + SETTINGS_TEXT_BYTES) +
                                                t->partition_count * TOPICS_PARTITION_BYTES);
    write_str(&r.w, (struct bytes){ (const uint8_t *)t->name, t->name_len });
    write_u64(&r.w, t->id);
    write_i64(&r.w, t->created_ms);
    write_u16(&r.w, (uint16_t)settings_count());
    for (uint32_t i = 0; i < settings_count(); i++) {
        char text[SETTINGS_TEXT_BYTES];
        settings_text(&t->settings, i, text);
        write_str(&r.w, bytes_of(settings_row(i)->name));
        write_str(&r.w, bytes_of(text));
        write_u8(&r.w, !(t->settings.set >> i & 1));
    }
    write_u32(&r.w, t->partition_count);
    for (uint32_t i = 0; i < t->partition_count; i++) {
        const struct wire_partition_row row = topics_partition_row(t->partitions[i]);
        wire_put_partition_row(&r.w, &row);
    }
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}
