/* SPDX-License-Identifier: Apache-2.0
 *
 * api/dispatch.c: from a frame to its handler: one table of operations, one place where frames are judged.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"

/* ---- replies ---- */

enum net_take api_refuse(struct session *s, const struct request *rq, enum error code, const char *text)
{
    s->api->stats.refused++;
    conn_error(s->conn, rq->op, rq->id, code, text);
    return NET_TAKEN;
}

enum error api_admit(const struct session *s, char *why)
{
    if (s->api->draining) {
        snprintf(why, API_WHY_BYTES, "the broker is stopping: connect again later");
        return ERR_SHUTTING_DOWN;
    }
    if (s->api->failed) {
        snprintf(why, API_WHY_BYTES, "%s: %s", error_text(ERR_STORAGE_FAILED), error_fix(ERR_STORAGE_FAILED));
        return ERR_STORAGE_FAILED;
    }
    return ERR_OK;
}

struct api_reply api_reply_begin(struct session *s, uint32_t bytes)
{
    struct api_reply reply;
    bytes += WIRE_HEADER;
    reply.w = writer_of(conn_reserve(s->conn, bytes), bytes);
    reply.frame = wire_frame_begin(&reply.w);
    return reply;
}

void api_reply_end(struct session *s, struct api_reply *reply, const struct request *rq)
{
    const uint32_t bytes = wire_frame_end(&reply->w, reply->frame, rq->op, WIRE_REPLY, rq->id);
    CHECK(bytes); /* whoever began the reply asked for enough */
    conn_commit(s->conn, bytes);
}

struct topic *api_topic(const struct session *s, struct bytes name, char *why)
{
    struct topic *t = catalog_find(s->api->store, name);
    if (t)
        return t;
    const char *similar = catalog_similar(s->api->store, name);
    snprintf(why, API_WHY_BYTES, "no topic %.*s%s%s%s",
             (int)(name.len < TOPIC_NAME_MAX ? name.len : TOPIC_NAME_MAX), (const char *)name.at,
             similar ? ": did you mean " : ": create it with `runnel topic create`", similar ? similar : "",
             similar ? "?" : "");
    return NULL;
}

enum error api_find(const struct session *s, uint32_t handle, uint32_t partition, struct partition **out,
                    char *why)
{
    if (handle >= s->handle_count) {
        snprintf(why, API_WHY_BYTES,
                 "topic handle %u was not opened on this connection: send OPEN_TOPIC first", handle);
        return ERR_HANDLE_UNKNOWN;
    }
    const struct topic *t = s->handles[handle];
    if (t->deleted) {
        snprintf(why, API_WHY_BYTES, "topic %s was deleted: create it and open it again", t->name);
        return ERR_TOPIC_NOT_FOUND;
    }
    if (partition >= t->partition_count) {
        snprintf(why, API_WHY_BYTES, "topic %s has no partition %u: it has %u, counted from 0", t->name,
                 partition, t->partition_count);
        return ERR_PARTITION_NOT_FOUND;
    }
    *out = t->partitions[partition];
    return ERR_OK;
}

/* ---- session ---- */

static enum net_take dispatch_hello(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    struct wire_hello hello;
    char text[API_WHY_BYTES];
    if (!wire_get_hello(rq->body, &hello) || hello.magic != WIRE_MAGIC) {
        api_refuse(s, rq, ERR_FRAME_INVALID, "HELLO cannot be decoded: this is not a Runnel client");
        conn_end(s->conn);
        return NET_TAKEN;
    }
    if (hello.version_min > WIRE_VERSION || hello.version_max < WIRE_VERSION) {
        snprintf(text, sizeof(text),
                 "the client speaks protocol versions %u to %u, this broker %u: update the older",
                 hello.version_min, hello.version_max, WIRE_VERSION);
        api_refuse(s, rq, ERR_VERSION_UNSUPPORTED, text);
        conn_end(s->conn);
        return NET_TAKEN;
    }
    s->greeted = true;
    s->features = hello.features & WIRE_FEATURE_EVENT_ERRORS;
    struct wire_hello_reply reply = {
        .version = WIRE_VERSION,
        .features = s->features,
        .broker_version = bytes_of(RUNNEL_VERSION),
        .leader_epoch = store_leader_epoch(api->store),
        .frame_bytes_max = api->options.frame_bytes_max,
        .batch_bytes_max = api->options.batch_bytes_max,
        .inflight_bytes_max = api->options.connection_inflight_bytes_max,
    };
    memcpy(reply.broker_id, api->broker_id, sizeof(reply.broker_id));
    struct api_reply r = api_reply_begin(s, 256);
    wire_put_hello_reply(&r.w, &reply);
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}

static enum net_take dispatch_ping(struct session *s, const struct request *rq)
{
    struct api_reply r = api_reply_begin(s, 0);
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}

/* ---- the table ---- */

typedef enum net_take (*dispatch_run)(struct session *s, const struct request *rq);

static const dispatch_run DISPATCH_TABLE[] = {
    [WIRE_OP_HELLO] = dispatch_hello,
    [WIRE_OP_PING] = dispatch_ping,
    [WIRE_OP_OPEN_TOPIC] = topics_open,
    [WIRE_OP_PRODUCE] = produce_request,
    [WIRE_OP_FETCH] = fetch_request,
    [WIRE_OP_SUBSCRIBE] = subscribe_request,
    [WIRE_OP_CREDIT] = subscribe_credit,
    [WIRE_OP_UNSUBSCRIBE] = subscribe_end,
    [WIRE_OP_OFFSETS] = offsets_request,
    [WIRE_OP_INIT_PRODUCER] = produce_init_producer,
    [WIRE_OP_TOPIC_CREATE] = topics_create,
    [WIRE_OP_TOPIC_LIST] = topics_list,
    [WIRE_OP_TOPIC_DESCRIBE] = topics_describe,
    [WIRE_OP_TOPIC_SET] = topics_set,
    [WIRE_OP_TOPIC_ADD_PARTITIONS] = topics_add_partitions,
    [WIRE_OP_TOPIC_DELETE] = topics_delete,
    [WIRE_OP_GROUP_JOIN] = group_request_join,
    [WIRE_OP_GROUP_LEAVE] = group_request_leave,
    [WIRE_OP_GROUP_ACK] = group_request_ack,
    [WIRE_OP_GROUP_NACK] = group_request_nack,
    [WIRE_OP_GROUP_WORKING] = group_request_working,
    [WIRE_OP_GROUP_RELEASE] = group_request_release,
    [WIRE_OP_GROUP_PRODUCE] = group_request_produce,
    [WIRE_OP_GROUP_LIST] = group_admin_list,
    [WIRE_OP_GROUP_DESCRIBE] = group_admin_describe,
    [WIRE_OP_GROUP_SET] = group_admin_set,
    [WIRE_OP_GROUP_SEEK] = group_admin_seek,
    [WIRE_OP_GROUP_DELETE] = group_admin_delete,
    [WIRE_OP_GROUP_BREAKER] = group_admin_breaker,
    [WIRE_OP_GROUP_FORGET] = group_admin_forget,
    [WIRE_OP_GROUP_REDRIVE] = group_redrive_request,
    [WIRE_OP_GROUP_COMMIT] = group_admin_commit,
    [WIRE_OP_SCHEMA_REGISTER] = schemas_register,
    [WIRE_OP_SCHEMA_GET] = schemas_get,
    [WIRE_OP_SCHEMA_LIST] = schemas_list,
    [WIRE_OP_SCHEMA_CHECK] = schemas_check,
    [WIRE_OP_SCHEMA_DELETE] = schemas_delete,
    [WIRE_OP_SCHEMA_LEVEL] = schemas_level,
    [WIRE_OP_STAT] = observe_stat,
    [WIRE_OP_HEALTH] = observe_health,
};

/* The first frame must be HELLO: whoever sends something else does not speak the protocol. */
static void dispatch_not_greeted(struct session *s, const struct request *rq)
{
    char text[API_WHY_BYTES];
    snprintf(text, sizeof(text), "%s (%u) came before HELLO: greet first; the connection is closed",
             wire_op_name(rq->op), rq->op);
    api_refuse(s, rq, ERR_HELLO_EXPECTED, text);
    conn_end(s->conn);
}

static enum net_take dispatch_unknown(struct session *s, const struct request *rq)
{
    char text[API_WHY_BYTES];
    snprintf(text, sizeof(text),
             "operation %u is not one that this broker (%s) takes: update it, or correct the client", rq->op,
             RUNNEL_VERSION);
    return api_refuse(s, rq, ERR_OP_UNKNOWN, text);
}

enum net_take api_on_frame(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes)
{
    struct api *api = ctx;
    struct session *s = c->user;
    struct wire_header h;
    if (!wire_header_decode(&h, frame, bytes))
        UNREACHABLE(); /* net hands up whole frames only */
    const struct request rq = { h.op, h.request_id, bytes,
                                reader_of(frame + WIRE_HEADER, bytes - WIRE_HEADER) };
    enum net_take take = NET_TAKEN;
    if (h.flags != 0) {
        api_refuse(s, &rq, ERR_FRAME_INVALID, "a request carries no flags: set them to zero");
        conn_end(c);
    } else if (!s->greeted && h.op != WIRE_OP_HELLO) {
        dispatch_not_greeted(s, &rq);
    } else if (s->greeted && h.op == WIRE_OP_HELLO) {
        api_refuse(s, &rq, ERR_REQUEST_INVALID, "HELLO came a second time: it is the first request only");
    } else if (h.op < sizeof(DISPATCH_TABLE) / sizeof(DISPATCH_TABLE[0]) && DISPATCH_TABLE[h.op]) {
        take = DISPATCH_TABLE[h.op](s, &rq);
    } else {
        take = dispatch_unknown(s, &rq);
    }
    api->stats.requests += take == NET_TAKEN;
    return take;
}
