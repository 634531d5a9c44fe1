/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/group_member.c: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kafka/group_own.h"

enum kafka_error kafka_error_of_group(enum classic_result result)
{
    switch (result) {
    case CLASSIC_OK:
    case CLASSIC_PARKED:
        return KAFKA_OK;
    case CLASSIC_MEMBER_ID_REQUIRED:
        return KAFKA_MEMBER_ID_REQUIRED;
    case CLASSIC_MEMBER_UNKNOWN:
        return KAFKA_UNKNOWN_MEMBER_ID;
    case CLASSIC_FENCED:
        return KAFKA_FENCED_INSTANCE_ID;
    case CLASSIC_GENERATION_STALE:
        return KAFKA_ILLEGAL_GENERATION;
    case CLASSIC_REBALANCING:
        return KAFKA_REBALANCE_IN_PROGRESS;
    case CLASSIC_PROTOCOL_MISMATCH:
    case CLASSIC_KIND_MISMATCH:
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    case CLASSIC_SESSION_INVALID:
        return KAFKA_INVALID_SESSION_TIMEOUT;
    case CLASSIC_NAME_INVALID:
        return KAFKA_INVALID_GROUP_ID;
    case CLASSIC_REQUEST_INVALID:
        return KAFKA_INVALID_REQUEST;
    case CLASSIC_FULL:
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    }
    UNREACHABLE();
}

/* What only the broker can explain, its operator is told. */
static void member_explain(struct bytes group, const char *why)
{
    char name[64];
    if (!*why)
        return;
    snprintf(name, sizeof(name), "%.*s", (int)group.len, (const char *)group.at);
    diag(DIAG_WARN, "kafka", "a consumer cannot join or commit", DIAG_KS("group", name), DIAG_KS("why", why));
}

/* ---- a join or sync that waits ---- */

struct group_call {
    struct kafka_call call;
    struct classic_wait wait;
    bool sync;
};

static void group_call_gone(struct kafka_call *call)
{
    struct group_call *c = CONTAINER_OF(call, struct group_call, call);
    classic_abandon(&c->wait);
    mem_free(MEM_KAFKA, c, sizeof(*c));
}

static void put_instance(struct kafka_out *out, const char *instance)
{
    kafka_put_string(out, *instance ? bytes_of(instance) : (struct bytes){ 0 });
}

static void join_write_members(struct kafka_out *out, const struct classic_member *m)
{
    const bool leads = m && strcmp(classic_leader(m), m->id) == 0;
    kafka_put_count(out, leads ? (int32_t)m->group->member_count : 0);
    for (const struct classic_member *o = NULL; leads && (o = classic_member_next(m->group, o));) {
        kafka_put_text(out, o->id);
        if (out->version >= 5)
            put_instance(out, o->instance);
        const struct bytes metadata = classic_metadata(o);
        kafka_put_bytes(out, metadata.at ? metadata : bytes_of(""));
        kafka_put_tags(out);
    }
}

/* `m` NULL: refused. `id`: what it is called, as far as is known. */
static void join_write(struct kafka_out *out, enum kafka_error error, const struct classic_member *m,
                       struct bytes id)
{
    const struct bytes none = out->version >= 7 ? (struct bytes){ 0 } : bytes_of("");
    if (out->version >= 2)
        kafka_put_i32(out, 0); /* throttle time */
    kafka_put_i16(out, error);
    kafka_put_i32(out, m ? (int32_t)m->group->generation : -1);
    if (out->version >= 7)
        kafka_put_string(out, m ? bytes_of(classic_protocol_type(m->group)) : none);
    kafka_put_string(out, m ? bytes_of(classic_protocol_name(m->group)) : none);
    kafka_put_text(out, m ? classic_leader(m) : "");
    kafka_put_string(out, m ? bytes_of(m->id) : id.at ? id : bytes_of(""));
    join_write_members(out, m);
    kafka_put_tags(out);
}

static void sync_write(struct kafka_out *out, enum kafka_error error, const struct classic_member *m)
{
    if (out->version >= 1)
        kafka_put_i32(out, 0);
    kafka_put_i16(out, error);
    if (out->version >= 5) {
        kafka_put_string(out, m ? bytes_of(classic_protocol_type(m->group)) : (struct bytes){ 0 });
        kafka_put_string(out, m ? bytes_of(classic_protocol_name(m->group)) : (struct bytes){ 0 });
    }
    kafka_put_bytes(out, m && m->assignment.at ? m->assignment : bytes_of(""));
    kafka_put_tags(out);
}

static void group_call_done(struct classic_wait *wait, enum classic_result result,
                            const struct classic_member *m)
{
    struct group_call *c = CONTAINER_OF(wait, struct group_call, wait);
    struct kafka *kafka = c->call.session->kafka;
    kafka->stats.errors += result != CLASSIC_OK;
    struct kafka_out *out = kafka_call_reply(&c->call);
    if (c->sync)
        sync_write(out, kafka_error_of_group(result), m);
    else
        join_write(out, kafka_error_of_group(result), m, (struct bytes){ 0 });
    kafka_call_end(&c->call, 0);
    mem_free(MEM_KAFKA, c, sizeof(*c));
}

static struct group_call *group_call_create(bool sync)
{
    struct group_call *c = mem_zalloc(MEM_KAFKA, sizeof(*c));
    c->wait.done = group_call_done;
    c->sync = sync;
    return c;
}

/* ---- JoinGroup ---- */

static struct bytes member_host(const struct kafka_session *s, char *host)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);
    *host = 0;
    if (getpeername(s->conn->fd, (struct sockaddr *)&addr, &len) != 0)
        return bytes_of("");
    if (addr.ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&addr)->sin_addr, host, INET6_ADDRSTRLEN);
    else if (addr.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&addr)->sin6_addr, host, INET6_ADDRSTRLEN);
    return bytes_of(host);
}

/* False: more protocols than anybody has. */
static bool join_read(struct kafka_in in, struct classic_join *join, struct classic_protocol *protocols)
{
    join->group = kafka_get_string(&in);
    const int32_t session = kafka_get_i32(&in);
    const int32_t rebalance = in.version >= 1 ? kafka_get_i32(&in) : session;
    join->session_ms = session > 0 ? (uint32_t)session : 0;
    join->rebalance_ms = rebalance > 0 ? (uint32_t)rebalance : 0;
    join->member_id = kafka_get_string(&in);
    if (in.version >= 5)
        join->instance_id = kafka_get_string(&in);
    join->id_first = in.version >= 4;
    join->protocol_type = kafka_get_string(&in);
    const int32_t count = kafka_get_count(&in);
    if (count > CLASSIC_PROTOCOLS_MAX)
        return false;
    for (int32_t i = 0; i < count; i++) {
        protocols[i].name = kafka_get_string(&in);
        protocols[i].metadata = kafka_get_bytes(&in);
        kafka_get_tags(&in);
    }
    join->protocols = protocols;
    join->protocol_count = (uint32_t)count;
    return true;
}

enum net_take kafka_join_group(struct kafka_session *s, const struct kafka_request *rq)
{
    struct classic_protocol protocols[CLASSIC_PROTOCOLS_MAX];
    char host[INET6_ADDRSTRLEN], why[GROUP_WHY_BYTES] = "";
    struct classic_join join = { .client = rq->client_id, .host = member_host(s, host) };
    const struct classic_member *m = NULL;
    struct group_call *c = group_call_create(false);
    enum classic_result result = CLASSIC_REQUEST_INVALID;
    if (join_read(rq->in, &join, protocols))
        result = classic_join(s->kafka->groups, &join, &c->wait, &m, why);
    if (result == CLASSIC_PARKED) {
        kafka_call_begin(&c->call, s, rq, group_call_gone);
        return NET_TAKEN;
    }
    mem_free(MEM_KAFKA, c, sizeof(*c));
    member_explain(join.group, why);
    s->kafka->stats.errors += result != CLASSIC_OK;
    join_write(kafka_reply_begin(s, rq), kafka_error_of_group(result), result == CLASSIC_OK ? m : NULL,
               result == CLASSIC_MEMBER_ID_REQUIRED ? bytes_of(m->id) : join.member_id);
    return kafka_reply_end(s, rq, 0);
}

/* ---- SyncGroup ---- */

enum net_take kafka_sync_group(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct bytes type = { 0 }, protocol = { 0 };
    struct classic_who who = { .group = kafka_get_string(&in) };
    who.generation = kafka_get_i32(&in);
    who.member_id = kafka_get_string(&in);
    if (rq->version >= 3)
        who.instance_id = kafka_get_string(&in);
    if (rq->version >= 5) {
        type = kafka_get_string(&in);
        protocol = kafka_get_string(&in);
    }
    const int32_t count = kafka_get_count(&in);
    struct classic_share *shares = mem_alloc(MEM_KAFKA, ((size_t)count + 1) * sizeof(*shares));
    for (int32_t i = 0; i < count; i++) {
        shares[i].member_id = kafka_get_string(&in);
        shares[i].assignment = kafka_get_bytes(&in);
        kafka_get_tags(&in);
    }
    struct group_call *c = group_call_create(true);
    const struct classic_member *m = NULL;
    const enum classic_result result =
        classic_sync(s->kafka->groups, &who, type, protocol, shares, (uint32_t)count, &c->wait, &m);
    mem_free(MEM_KAFKA, shares, ((size_t)count + 1) * sizeof(*shares));
    if (result == CLASSIC_PARKED) {
        kafka_call_begin(&c->call, s, rq, group_call_gone);
        return NET_TAKEN;
    }
    mem_free(MEM_KAFKA, c, sizeof(*c));
    s->kafka->stats.errors += result != CLASSIC_OK;
    sync_write(kafka_reply_begin(s, rq), kafka_error_of_group(result), result == CLASSIC_OK ? m : NULL);
    return kafka_reply_end(s, rq, 0);
}

/* ---- Heartbeat ---- */

enum net_take kafka_heartbeat(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct classic_who who = { .group = kafka_get_string(&in) };
    who.generation = kafka_get_i32(&in);
    who.member_id = kafka_get_string(&in);
    if (rq->version >= 3)
        who.instance_id = kafka_get_string(&in);
    const enum classic_result result = classic_heartbeat(s->kafka->groups, &who);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 1)
        kafka_put_i32(out, 0);
    kafka_put_i16(out, kafka_error_of_group(result));
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* ---- LeaveGroup ---- */

/* Whoever waits is answered inside: nothing is being written meanwhile. */
static enum kafka_error leave_one(struct kafka_session *s, struct kafka_in *in, struct classic_who *who)
{
    who->member_id = kafka_get_string(in);
    who->instance_id = in->version >= 3 ? kafka_get_string(in) : (struct bytes){ 0 };
    if (in->version >= 5)
        (void)kafka_get_string(in); /* the reason */
    if (in->version >= 3)
        kafka_get_tags(in);
    return kafka_error_of_group(classic_leave(s->kafka->groups, who));
}

enum net_take kafka_leave_group(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct classic_who who = { .group = kafka_get_string(&in), .generation = -1 };
    const int32_t count = rq->version >= 3 ? kafka_get_count(&in) : 1;
    struct kafka_in again = in;
    enum kafka_error *errors = mem_alloc(MEM_KAFKA, ((size_t)count + 1) * sizeof(*errors));
    for (int32_t i = 0; i < count; i++)
        errors[i] = leave_one(s, &in, &who);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 1)
        kafka_put_i32(out, 0);
    kafka_put_i16(out, rq->version >= 3 ? KAFKA_OK : errors[0]);
    if (rq->version >= 3) {
        kafka_put_count(out, count);
        for (int32_t i = 0; i < count; i++) {
            kafka_put_string(out, kafka_get_string(&again));
            kafka_put_string(out, kafka_get_string(&again));
            if (rq->version >= 5)
                (void)kafka_get_string(&again);
            kafka_get_tags(&again);
            kafka_put_i16(out, errors[i]);
            kafka_put_tags(out);
        }
    }
    kafka_put_tags(out);
    mem_free(MEM_KAFKA, errors, ((size_t)count + 1) * sizeof(*errors));
    return kafka_reply_end(s, rq, 0);
}
