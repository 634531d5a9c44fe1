/* SPDX-License-Identifier: Apache-2.0
 *
 * client/admin.c: administration: each call is one request and its answer. Calls that change nothing are made
 * again by themselves when the connection breaks; the others say that they may or may not have been done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"
#include "proto/name.h"

enum {
    NAME_BODY_MAX = 2 + TOPIC_NAME_MAX + 16, /* a request with a topic's name and a few numbers */
};

int admin_not_understood(struct runnel_client *c, const char *what)
{
    return client_error(c, ERR_CLIENT_PROTOCOL, "the answer to %s cannot be understood", what);
}

static int bad_name(struct runnel_client *c, const char *name)
{
    if (name && topic_name_valid(bytes_of(name)))
        return 0;
    return client_error(c, ERR_TOPIC_NAME_INVALID,
                        "'%.64s' is not a topic name: use 1 to 249 letters, digits, '.', '_' or '-'",
                        name ? name : "");
}

struct bytes admin_written(const struct writer *w)
{
    return (struct bytes){ w->start, writer_len(w) };
}

int admin_call_plain(struct runnel_client *c, uint16_t op, const struct writer *w)
{
    uint8_t *reply = NULL;
    uint32_t len;
    int rc = request_call(c, op, admin_written(w), false, &reply, &len);
    free(reply);
    return rc;
}

/* ---- topics ---- */

int admin_copy_configs(struct runnel_client *c, struct wire_config *out, const struct runnel_config *configs,
                       size_t count, uint32_t *bytes)
{
    if (count > WIRE_CONFIGS_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "at most %d settings at once", WIRE_CONFIGS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!configs[i].name || strlen(configs[i].name) > UINT16_MAX ||
            (configs[i].value && strlen(configs[i].value) > UINT16_MAX))
            return client_error(c, ERR_CLIENT_ARGUMENT, "setting %zu has no name, or is too long", i);
        out[i].name = bytes_of(configs[i].name);
        out[i].value = bytes_of(configs[i].value);
        *bytes += out[i].name.len + out[i].value.len + 8;
    }
    return 0;
}

int runnel_topic_create(runnel_client *c, const char *name, uint32_t partitions,
                        const struct runnel_config *configs, size_t config_count, int if_missing)
{
    struct wire_topic_create body = { .partitions = partitions,
                                      .if_missing = if_missing != 0,
                                      .config_count = (uint16_t)config_count };
    struct wire_topic_create_reply made;
    uint32_t bytes = NAME_BODY_MAX, len;
    int rc = bad_name(c, name);
    if (rc == 0)
        rc = admin_copy_configs(c, body.configs, configs, config_count, &bytes);
    if (rc)
        return rc;
    uint8_t *buffer = malloc(bytes), *reply = NULL;
    if (!buffer)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for the request");
    body.name = bytes_of(name);
    struct writer w = writer_of(buffer, bytes);
    wire_put_topic_create(&w, &body);
    rc = request_call(c, WIRE_OP_TOPIC_CREATE, admin_written(&w), false, &reply, &len);
    if (rc == 0)
        rc = wire_get_topic_create_reply(reader_of(reply, len), &made)
                 ? made.created != 0
                 : admin_not_understood(c, "TOPIC_CREATE");
    free(reply);
    free(buffer);
    return rc;
}

int runnel_name_check(const char *name, char *why, size_t size)
{
    char text[NAME_WHY_BYTES] = "";
    static_assert((int)RUNNEL_NAME_WHY_BYTES == (int)NAME_WHY_BYTES, "runnel.h promises room for all of it");
    const bool good = name_follows_policy(bytes_of(name), text);
    if (size)
        snprintf(why, size, "%s", text);
    return good;
}

int runnel_topic_set(runnel_client *c, const char *name, const struct runnel_config *configs,
                     size_t config_count)
{
    struct wire_topic_set body = { .config_count = (uint16_t)config_count };
    uint32_t bytes = NAME_BODY_MAX;
    int rc = bad_name(c, name);
    if (rc == 0)
        rc = admin_copy_configs(c, body.configs, configs, config_count, &bytes);
    if (rc)
        return rc;
    uint8_t *buffer = malloc(bytes);
    if (!buffer)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for the request");
    body.name = bytes_of(name);
    struct writer w = writer_of(buffer, bytes);
    wire_put_topic_set(&w, &body);
    rc = admin_call_plain(c, WIRE_OP_TOPIC_SET, &w);
    free(buffer);
    return rc;
}

int runnel_topic_add_partitions(runnel_client *c, const char *name, uint32_t partitions)
{
    uint8_t buffer[NAME_BODY_MAX];
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_name(c, name);
    if (rc)
        return rc;
    wire_put_topic_add_partitions(
        &w, &(struct wire_topic_add_partitions){ .name = bytes_of(name), .partitions = partitions });
    return admin_call_plain(c, WIRE_OP_TOPIC_ADD_PARTITIONS, &w);
}

int runnel_topic_delete(runnel_client *c, const char *name)
{
    uint8_t buffer[NAME_BODY_MAX];
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_name(c, name);
    if (rc)
        return rc;
    wire_put_topic_name(&w, &(struct wire_topic_name){ .name = bytes_of(name) });
    return admin_call_plain(c, WIRE_OP_TOPIC_DELETE, &w);
}

void admin_copy_text(char *to, size_t size, struct bytes from)
{
    snprintf(to, size, "%.*s", (int)from.len, from.at ? (const char *)from.at : "");
}

/* One page of topics; *more, and the last name in `after`. */
static int list_page(struct runnel_client *c, struct reader r, char *after, bool *more,
                     int (*each)(void *ctx, const struct runnel_topic_row *row), void *ctx)
{
    *more = read_u8(&r) != 0;
    uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_topic_row row;
        wire_get_topic_row(&r, &row);
        if (r.bad || row.name.len > TOPIC_NAME_MAX)
            return admin_not_understood(c, "TOPIC_LIST");
        admin_copy_text(after, TOPIC_NAME_MAX + 1, row.name);
        struct runnel_topic_row out = { after, row.topic_id, row.partitions, row.events, row.bytes };
        int rc = each(ctx, &out);
        if (rc)
            return rc;
    }
    if (!reader_done(&r) || (*more && count == 0))
        return admin_not_understood(c, "TOPIC_LIST");
    return 0;
}

int runnel_topic_list(runnel_client *c, const char *pattern, int internal,
                      int (*each)(void *ctx, const struct runnel_topic_row *row), void *ctx)
{
    char after[TOPIC_NAME_MAX + 1] = "";
    bool more = true;
    int rc = 0;
    if (pattern && strlen(pattern) > TOPIC_NAME_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "the pattern is longer than a topic's name can be");
    while (more && rc == 0) {
        uint8_t buffer[2 * NAME_BODY_MAX], *reply = NULL;
        uint32_t len;
        struct writer w = writer_of(buffer, sizeof(buffer));
        struct wire_topic_list body = { .pattern = bytes_of(pattern),
                                        .after = bytes_of(after),
                                        .max = ADMIN_LIST_PAGE,
                                        .internal = internal != 0 };
        wire_put_topic_list(&w, &body);
        rc = request_call(c, WIRE_OP_TOPIC_LIST, admin_written(&w), true, &reply, &len);
        if (rc == 0)
            rc = list_page(c, reader_of(reply, len), after, &more, each, ctx);
        free(reply);
    }
    return rc;
}

/* ---- describe ---- */

/* Public part first; texts are terminated copies in `texts`. */
struct described {
    struct runnel_topic topic;
    struct runnel_config_row *configs;
    struct runnel_partition_row *partitions;
    char *texts, *text_at;
};

static const char *keep(struct described *d, struct bytes text)
{
    char *at = d->text_at;
    if (text.len)
        memcpy(at, text.at, text.len);
    at[text.len] = '\0';
    d->text_at += text.len + 1;
    return at;
}

static const char *state_name(uint8_t state)
{
    switch (state) {
    case WIRE_PARTITION_OK:
        return "ok";
    case WIRE_PARTITION_FENCED:
        return "fenced";
    default:
        return "damaged";
    }
}

static bool describe_configs(struct described *d, struct reader *r)
{
    uint16_t count = read_u16(r);
    d->configs = calloc(count + 1u, sizeof(*d->configs));
    if (!d->configs)
        return false;
    for (uint16_t i = 0; i < count && !r->bad; i++) {
        struct bytes name = read_str(r), value = read_str(r);
        uint8_t is_default = read_u8(r);
        if (!r->bad)
            d->configs[i] = (struct runnel_config_row){ keep(d, name), keep(d, value), is_default };
    }
    d->topic.config_count = count;
    d->topic.configs = d->configs;
    return !r->bad;
}

static bool describe_partitions(struct described *d, struct reader *r)
{
    uint32_t count = read_u32(r);
    if (r->bad || count > PARTITIONS_MAX)
        return false;
    d->partitions = calloc(count + 1u, sizeof(*d->partitions));
    if (!d->partitions)
        return false;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct wire_partition_row row;
        wire_get_partition_row(r, &row);
        d->partitions[i] = (struct runnel_partition_row){
            .partition = row.partition,
            .start_offset = (int64_t)row.start_offset,
            .end_offset = (int64_t)row.end_offset,
            .bytes = row.bytes,
            .segments = row.segments,
            .max_timestamp_ms = row.max_timestamp_ms,
            .state = state_name(row.state),
        };
    }
    d->topic.partition_count = count;
    d->topic.partitions = d->partitions;
    return reader_done(r);
}

static struct described *describe(struct reader r)
{
    struct described *d = calloc(1, sizeof(*d));
    /* Each text becomes one byte longer and loses its two bytes of length: it all fits. */
    if (d)
        d->texts = d->text_at = malloc(reader_left(&r) + 1);
    if (!d || !d->texts) {
        free(d);
        return NULL;
    }
    struct bytes name = read_str(&r);
    d->topic.id = read_u64(&r);
    d->topic.created_ms = read_i64(&r);
    if (!r.bad) {
        d->topic.name = keep(d, name);
        if (describe_configs(d, &r) && describe_partitions(d, &r))
            return d;
    }
    runnel_topic_free(&d->topic);
    return NULL;
}

int runnel_topic_describe(runnel_client *c, const char *name, struct runnel_topic **out)
{
    uint8_t buffer[NAME_BODY_MAX], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_name(c, name);
    *out = NULL;
    if (rc)
        return rc;
    wire_put_topic_name(&w, &(struct wire_topic_name){ .name = bytes_of(name) });
    rc = request_call(c, WIRE_OP_TOPIC_DESCRIBE, admin_written(&w), true, &reply, &len);
    if (rc)
        return rc;
    struct described *d = describe(reader_of(reply, len));
    free(reply);
    if (!d)
        return admin_not_understood(c, "TOPIC_DESCRIBE");
    *out = &d->topic;
    return 0;
}

void runnel_topic_free(struct runnel_topic *topic)
{
    if (!topic)
        return;
    struct described *d = OWNER(struct described, topic, topic);
    free(d->configs);
    free(d->partitions);
    free(d->texts);
    free(d);
}

/* ---- offsets ---- */

static int open_handle(struct runnel_client *c, const char *topic, uint32_t *handle)
{
    uint8_t buffer[NAME_BODY_MAX], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    struct wire_open_topic_reply body;
    wire_put_open_topic(&w, &(struct wire_open_topic){ .name = bytes_of(topic) });
    int rc = request_call(c, WIRE_OP_OPEN_TOPIC, admin_written(&w), true, &reply, &len);
    if (rc == 0 && !wire_get_open_topic_reply(reader_of(reply, len), &body))
        rc = admin_not_understood(c, "OPEN_TOPIC");
    if (rc == 0)
        *handle = body.handle;
    free(reply);
    return rc;
}

static int offset_row(struct runnel_client *c, struct reader r, const char *topic,
                      struct wire_offset_row *row)
{
    if (read_u16(&r) != 1)
        return admin_not_understood(c, "OFFSETS");
    wire_get_offset_row(&r, row);
    if (!reader_done(&r))
        return admin_not_understood(c, "OFFSETS");
    if (row->error)
        return client_error(c, row->error, "topic %s, partition %u: %s", topic, row->partition,
                            error_text(row->error));
    return 0;
}

int runnel_offset(runnel_client *c, const char *topic, int32_t partition, const char *from, int64_t *offset,
                  int64_t *timestamp_ms)
{
    struct wire_offset_query query = { .partition = (uint32_t)partition };
    struct wire_offset_row row;
    uint32_t handle;
    int rc = bad_name(c, topic);
    if (rc)
        return rc;
    if (!from || !options_position(from, &query.position) || partition < 0)
        return client_error(c, ERR_CLIENT_ARGUMENT,
                            "'%.64s' is not start, end, an offset, -N or @MILLISECONDS", from ? from : "");
    for (;;) {
        uint8_t buffer[64], *reply = NULL;
        uint32_t len, epoch;
        rc = open_handle(c, topic, &handle);
        if (rc)
            return rc;
        epoch = c->epoch;
        struct writer w = writer_of(buffer, sizeof(buffer));
        write_u32(&w, handle);
        write_u16(&w, 1);
        wire_put_offset_query(&w, &query);
        rc = request_call(c, WIRE_OP_OFFSETS, admin_written(&w), true, &reply, &len);
        if (rc == 0)
            rc = offset_row(c, reader_of(reply, len), topic, &row);
        free(reply);
        /* A handle is the connection's: after a break it must be asked for again. */
        if (rc == 0 || epoch == c->epoch)
            break;
    }
    if (rc)
        return rc;
    if (offset)
        *offset = (int64_t)row.offset;
    if (timestamp_ms)
        *timestamp_ms = row.timestamp_ms;
    return 0;
}

/* ---- observing ---- */

int runnel_stat(runnel_client *c,
                void (*each)(void *ctx, const char *room, const char *name, int kind, uint64_t value),
                void *ctx)
{
    uint8_t *reply = NULL;
    uint32_t len;
    int rc = request_call(c, WIRE_OP_STAT, (struct bytes){ 0 }, true, &reply, &len);
    if (rc)
        return rc;
    struct reader r = reader_of(reply, len);
    uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        struct wire_stat_row row;
        char room[64], name[128];
        wire_get_stat_row(&r, &row);
        if (r.bad)
            break;
        admin_copy_text(room, sizeof(room), row.room);
        admin_copy_text(name, sizeof(name), row.name);
        each(ctx, room, name, row.kind, row.value);
    }
    rc = reader_done(&r) ? 0 : admin_not_understood(c, "STAT");
    free(reply);
    return rc;
}

int runnel_health(runnel_client *c, void (*each)(void *ctx, const char *check, int status, const char *text),
                  void *ctx)
{
    uint8_t *reply = NULL;
    uint32_t len;
    int rc = request_call(c, WIRE_OP_HEALTH, (struct bytes){ 0 }, true, &reply, &len);
    if (rc)
        return rc;
    struct reader r = reader_of(reply, len);
    uint8_t status = read_u8(&r);
    uint16_t count = read_u16(&r);
    for (uint16_t i = 0; i < count && !r.bad; i++) {
        struct wire_health_row row;
        char name[128], text[512];
        wire_get_health_row(&r, &row);
        if (r.bad)
            break;
        admin_copy_text(name, sizeof(name), row.name);
        admin_copy_text(text, sizeof(text), row.text);
        if (each)
            each(ctx, name, row.status, text);
    }
    rc = reader_done(&r) && status <= WIRE_HEALTH_FAILED ? status : admin_not_understood(c, "HEALTH");
    free(reply);
    return rc;
}

int64_t runnel_ping(runnel_client *c)
{
    struct timespec a, b;
    uint8_t *reply = NULL;
    uint32_t len;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int rc = request_call(c, WIRE_OP_PING, (struct bytes){ 0 }, true, &reply, &len);
    clock_gettime(CLOCK_MONOTONIC, &b);
    free(reply);
    return rc ? rc : (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
}
