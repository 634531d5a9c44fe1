/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/metadata.c: what clients ask first: which APIs and versions are spoken, which topics there are, and
 * where to go. There is one node, this one: it leads everything, and controls the cluster.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "kafka/kafka_own.h"

/* ---- ApiVersions ---- */

static void versions_rows(struct kafka_out *out)
{
    uint32_t count = 0;
    while (kafka_api_row(count))
        count++;
    kafka_put_count(out, (int32_t)count);
    for (uint32_t i = 0; i < count; i++) {
        const struct kafka_api *api = kafka_api_row(i);
        kafka_put_i16(out, api->key);
        kafka_put_i16(out, api->min);
        kafka_put_i16(out, api->max);
        kafka_put_tags(out);
    }
}

/* Kafka's rule for a client's name and version. */
static bool versions_software_valid(struct bytes s)
{
    for (uint32_t i = 0; i < s.len; i++) {
        const uint8_t c = s.at[i];
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alphanumeric && ((c != '-' && c != '.') || i == 0 || i == s.len - 1))
            return false;
    }
    return s.len > 0;
}

enum net_take kafka_api_versions(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    enum kafka_error error = KAFKA_OK;
    if (rq->version >= 3 &&
        (!versions_software_valid(kafka_get_string(&in)) || !versions_software_valid(kafka_get_string(&in))))
        error = KAFKA_INVALID_REQUEST;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i16(out, error);
    versions_rows(out);
    if (rq->version >= 1)
        kafka_put_i32(out, 0); /* throttle time */
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

enum net_take kafka_api_versions_unsupported(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_request first = *rq;
    first.version = 0;
    struct kafka_out *out = kafka_reply_begin(s, &first);
    kafka_put_i16(out, KAFKA_UNSUPPORTED_VERSION);
    versions_rows(out);
    return kafka_reply_end(s, &first, 0);
}

/* ---- where we are ---- */

void kafka_address(const struct kafka_session *s, char *host, int32_t *port)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);
    if (s->listener->host[0]) {
        memcpy(host, s->listener->host, LISTENER_HOST_BYTES);
        *port = s->listener->port;
        return;
    }
    snprintf(host, LISTENER_HOST_BYTES, "127.0.0.1");
    *port = 0;
    if (getsockname(s->conn->fd, (struct sockaddr *)&addr, &len) != 0)
        return;
    if (addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;
        inet_ntop(AF_INET, &in->sin_addr, host, LISTENER_HOST_BYTES);
        *port = ntohs(in->sin_port);
    } else if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, LISTENER_HOST_BYTES);
        *port = ntohs(in6->sin6_port);
    }
}

/* ---- Metadata ---- */

static void metadata_brokers(struct kafka_session *s, struct kafka_out *out, bool rack)
{
    char host[LISTENER_HOST_BYTES];
    int32_t port;
    kafka_address(s, host, &port);
    kafka_put_count(out, 1);
    kafka_put_i32(out, KAFKA_NODE);
    kafka_put_text(out, host);
    kafka_put_i32(out, port);
    if (rack)
        kafka_put_string(out, (struct bytes){ 0 });
    kafka_put_tags(out);
}

static void metadata_partition(struct kafka_session *s, struct kafka_out *out, int32_t number)
{
    kafka_put_i16(out, KAFKA_OK);
    kafka_put_i32(out, number);
    kafka_put_i32(out, KAFKA_NODE);
    if (out->version >= 7)
        kafka_put_i32(out, (int32_t)store_leader_epoch(s->kafka->store));
    for (uint32_t i = 0; i < 2; i++) { /* replicas, and those in sync */
        kafka_put_count(out, 1);
        kafka_put_i32(out, KAFKA_NODE);
    }
    if (out->version >= 5)
        kafka_put_count(out, 0); /* offline */
    kafka_put_tags(out);
}

/* `topic` NULL: refused with `error`. */
static void metadata_topic(struct kafka_session *s, struct kafka_out *out, struct bytes name,
                           const struct topic *topic, enum kafka_error error)
{
    kafka_put_i16(out, error);
    kafka_put_string(out, name);
    if (out->version >= 1)
        kafka_put_bool(out, topic && topic->internal);
    kafka_put_count(out, topic ? (int32_t)topic->partition_count : 0);
    for (uint32_t i = 0; topic && i < topic->partition_count; i++)
        metadata_partition(s, out, (int32_t)i);
    if (out->version >= 8)
        kafka_put_i32(out, KAFKA_UNSET_OPERATIONS);
    kafka_put_tags(out);
    s->kafka->stats.errors += error != KAFKA_OK;
}

/* The broker's own topics are no business of Kafka's clients, which know others by such names. */
static struct topic *metadata_next(struct kafka_session *s, const struct topic *after)
{
    struct topic *t = catalog_next(s->kafka->store, after ? bytes_of(after->name) : bytes_of(""));
    while (t && t->internal)
        t = catalog_next(s->kafka->store, bytes_of(t->name));
    return t;
}

static void metadata_all(struct kafka_session *s, struct kafka_out *out)
{
    int32_t count = 0;
    for (const struct topic *t = metadata_next(s, NULL); t; t = metadata_next(s, t))
        count++;
    kafka_put_count(out, count);
    for (const struct topic *t = metadata_next(s, NULL); t; t = metadata_next(s, t))
        metadata_topic(s, out, bytes_of(t->name), t, KAFKA_OK);
}

struct kafka_topic_asked {
    struct bytes name;
    struct topic *topic;
    bool create; /* it is missing, and may be made */
};

static struct kafka_topic_asked metadata_find(struct kafka_session *s, struct kafka_in *in, bool create)
{
    struct kafka_topic_asked asked = { .name = kafka_get_string(in) };
    kafka_get_tags(in);
    asked.topic = catalog_find(s->kafka->store, asked.name);
    if (asked.topic && asked.topic->internal)
        asked.topic = NULL;
    asked.create = create && !asked.topic && topic_name_valid(asked.name) && !topic_name_internal(asked.name);
    return asked;
}

/* Makes those that are missing, if that is allowed: false, and nothing was made, when it must wait for room.
 */
static bool metadata_create(struct kafka_session *s, struct kafka_in in, int32_t count, bool create)
{
    struct kafka *kafka = s->kafka;
    char why[KAFKA_WHY_BYTES];
    if (!create || kafka_admit(kafka, why) != ERR_OK)
        return true;
    for (int32_t i = 0; i < count; i++) {
        const struct kafka_topic_asked asked = metadata_find(s, &in, create);
        struct topic *topic;
        if (!asked.create)
            continue;
        if (!kafka_room_for(s, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
            return false;
        /* Refused by a limit: the reply says that there is none. */
        if (catalog_create(kafka->store, asked.name, 0, NULL, NULL, 0, &topic, why) == ERR_OK)
            s->changed = store_sequence(kafka->store);
    }
    return true;
}

static void metadata_named(struct kafka_session *s, struct kafka_out *out, struct kafka_in in, int32_t count)
{
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count && !out->bad; i++) {
        const struct kafka_topic_asked asked = metadata_find(s, &in, false);
        enum kafka_error error = KAFKA_OK;
        if (!asked.topic)
            error = topic_name_valid(asked.name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC;
        metadata_topic(s, out, asked.name, asked.topic, error);
    }
}

/* Does the client let topics be made? It says so behind their names. */
static bool metadata_may_create(const struct kafka_session *s, struct kafka_in in, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        (void)kafka_get_string(&in);
        kafka_get_tags(&in);
    }
    return s->kafka->options.auto_create && (in.version < 4 || kafka_get_bool(&in));
}

enum net_take kafka_metadata(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    const int32_t count = kafka_get_count(&in);
    const bool all = rq->version == 0 ? count == 0 : count < 0;
    if (!all && !metadata_create(s, in, count, metadata_may_create(s, in, count)))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 3)
        kafka_put_i32(out, 0); /* throttle time */
    metadata_brokers(s, out, rq->version >= 1);
    if (rq->version >= 2)
        kafka_put_text(out, s->kafka->cluster_id);
    if (rq->version >= 1)
        kafka_put_i32(out, KAFKA_NODE); /* controller */
    if (all)
        metadata_all(s, out);
    else
        metadata_named(s, out, in, count);
    if (rq->version >= 8)
        kafka_put_i32(out, KAFKA_UNSET_OPERATIONS);
    kafka_put_tags(out);
    /* A new topic is told of when it is durable, or a client could write to one that a crash takes back. */
    return kafka_reply_end(s, rq, s->changed);
}

/* ---- DescribeCluster, SaslHandshake ---- */

enum net_take kafka_describe_cluster(struct kafka_session *s, const struct kafka_request *rq)
{
    enum { ENDPOINT_BROKERS = 1 };
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_i16(out, KAFKA_OK);
    kafka_put_string(out, (struct bytes){ 0 });
    if (rq->version >= 1)
        kafka_put_i8(out, ENDPOINT_BROKERS);
    kafka_put_text(out, s->kafka->cluster_id);
    kafka_put_i32(out, KAFKA_NODE);
    metadata_brokers(s, out, true);
    kafka_put_i32(out, KAFKA_UNSET_OPERATIONS);
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* Nothing authenticates clients yet: no mechanism is spoken. */
enum net_take kafka_sasl_handshake(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i16(out, KAFKA_UNSUPPORTED_SASL_MECHANISM);
    kafka_put_count(out, 0);
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}
