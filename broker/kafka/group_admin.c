/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/group_admin.c: FindCoordinator, ListGroups, DescribeGroups, DeleteGroups.
 *
 * Native groups are shown, too, as groups of another protocol, "runnel": lag tools ask for their positions.
 */
#include <string.h>

#include "base/check.h"
#include "kafka/group_own.h"

/* ---- FindCoordinator ---- */

enum { COORDINATES_GROUPS, COORDINATES_TRANSACTIONS };

static const char no_transactions[] = "transactions are not supported";

static void coordinator_put(struct kafka_session *s, struct kafka_out *out, bool here)
{
    char host[LISTENER_HOST_BYTES] = "";
    int32_t port = -1;
    if (here)
        kafka_address(s, host, &port);
    kafka_put_i32(out, here ? KAFKA_NODE : -1);
    kafka_put_text(out, host);
    kafka_put_i32(out, port);
}

static void coordinator_put_error(struct kafka_out *out, enum kafka_error error)
{
    kafka_put_i16(out, error);
    if (out->version >= 1)
        kafka_put_string(out, error ? bytes_of(no_transactions) : (struct bytes){ 0 });
}

enum net_take kafka_find_coordinator(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    if (rq->version < 4)
        (void)kafka_get_string(&in); /* whatever it is called: it is here */
    const int8_t type = rq->version >= 1 ? kafka_get_i8(&in) : COORDINATES_GROUPS;
    /* Not one of those that clients ask again upon, for ever. */
    const enum kafka_error error = type == COORDINATES_GROUPS ? KAFKA_OK
                                   : type == COORDINATES_TRANSACTIONS
                                       ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                       : KAFKA_INVALID_REQUEST;
    s->kafka->stats.errors += error != KAFKA_OK;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 1)
        kafka_put_i32(out, 0); /* throttle time */
    if (rq->version < 4) {
        coordinator_put_error(out, error);
        coordinator_put(s, out, !error);
    } else {
        const int32_t count = kafka_get_count(&in);
        kafka_put_count(out, count);
        for (int32_t i = 0; i < count && !out->bad; i++) {
            kafka_put_string(out, kafka_get_string(&in));
            coordinator_put(s, out, !error);
            coordinator_put_error(out, error);
            kafka_put_tags(out);
        }
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* ---- looking ---- */

static const char *group_state_text(const struct group *g)
{
    static const char *const CLASSIC[] = { "Empty", "PreparingRebalance", "CompletingRebalance", "Stable" };
    if (g->kafka)
        return CLASSIC[classic_state(g)];
    switch (group_state(g)) {
    case GROUP_EMPTY:
        return "Empty";
    case GROUP_REBALANCING:
        return "PreparingRebalance";
    case GROUP_STABLE:
    case GROUP_BREAKER_OPEN:
        return "Stable";
    }
    UNREACHABLE();
}

/* Of groups without members, Kafka says nothing. */
static const char *group_type_text(const struct group *g)
{
    return g->kafka ? classic_protocol_type(g) : "runnel";
}

static bool list_wanted(struct kafka_in filter, int32_t count, const char *state)
{
    bool wanted = count <= 0;
    for (int32_t i = 0; i < count && !wanted; i++) {
        const struct bytes name = kafka_get_string(&filter);
        wanted = name.len == strlen(state) && memcmp(name.at, state, name.len) == 0;
    }
    return wanted;
}

enum net_take kafka_list_groups(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    const int32_t filters = rq->version >= 4 ? kafka_get_count(&in) : 0;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    uint32_t count = 0;
    if (rq->version >= 1)
        kafka_put_i32(out, 0);
    kafka_put_i16(out, KAFKA_OK);
    const uint32_t mark = kafka_put_count_later(out, INT32_MAX - 1);
    struct group *g = group_next(s->kafka->groups, (struct bytes){ 0 });
    for (; g && !out->bad; g = group_next(s->kafka->groups, bytes_of(g->name))) {
        const char *state = group_state_text(g);
        if (!list_wanted(in, filters, state))
            continue;
        kafka_put_text(out, g->name);
        kafka_put_text(out, group_type_text(g));
        if (rq->version >= 4)
            kafka_put_text(out, state);
        kafka_put_tags(out);
        count++;
    }
    kafka_put_count_at(out, mark, count);
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

struct described_member {
    const char *id, *instance, *client, *host;
    struct bytes metadata, assignment;
};

static void describe_member(struct kafka_out *out, const struct described_member *m)
{
    kafka_put_text(out, m->id);
    if (out->version >= 4)
        kafka_put_string(out, *m->instance ? bytes_of(m->instance) : (struct bytes){ 0 });
    kafka_put_text(out, m->client);
    kafka_put_text(out, m->host);
    kafka_put_bytes(out, m->metadata.at ? m->metadata : bytes_of(""));
    kafka_put_bytes(out, m->assignment.at ? m->assignment : bytes_of(""));
    kafka_put_tags(out);
}

static void describe_members(struct kafka_out *out, const struct group *g)
{
    const bool stable = g->kafka && classic_state(g) == CLASSIC_STABLE;
    kafka_put_count(out, (int32_t)g->member_count);
    for (const struct classic_member *m = NULL; (m = classic_member_next(g, m));)
        describe_member(out, &(struct described_member){ m->id, m->instance, m->client, m->host,
                                                         stable ? classic_metadata(m) : (struct bytes){ 0 },
                                                         stable ? m->assignment : (struct bytes){ 0 } });
    LIST_FOR_EACH (node, &g->members) {
        const struct member *m = CONTAINER_OF(node, struct member, link);
        describe_member(out, &(struct described_member){
                                 .id = m->id, .instance = m->instance, .client = "runnel", .host = m->host });
    }
}

static void describe_group(struct kafka_session *s, struct kafka_out *out, struct bytes name)
{
    const struct group *g = group_find(s->kafka->groups, name);
    if (g && g->internal)
        g = NULL;
    const bool stable = g && g->kafka && classic_state(g) == CLASSIC_STABLE;
    kafka_put_i16(out, KAFKA_OK);
    kafka_put_string(out, name);
    kafka_put_text(out, g ? group_state_text(g) : "Dead");
    kafka_put_text(out, g ? group_type_text(g) : "");
    kafka_put_text(out, stable ? classic_protocol_name(g) : "");
    if (g)
        describe_members(out, g);
    else
        kafka_put_count(out, 0);
    if (out->version >= 3)
        kafka_put_i32(out, KAFKA_UNSET_OPERATIONS);
    kafka_put_tags(out);
}

enum net_take kafka_describe_groups(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 1)
        kafka_put_i32(out, 0);
    const int32_t count = kafka_get_count(&in);
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count && !out->bad; i++)
        describe_group(s, out, kafka_get_string(&in));
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* ---- DeleteGroups ---- */

static enum kafka_error delete_group(struct kafka_session *s, struct bytes name)
{
    char why[GROUP_WHY_BYTES];
    struct group *g = group_find(s->kafka->groups, name);
    return g && !g->internal ? kafka_error_of(group_delete(g, why)) : KAFKA_GROUP_ID_NOT_FOUND;
}

enum net_take kafka_delete_groups(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    const int32_t count = kafka_get_count(&in);
    enum kafka_error error;
    if (!kafka_group_room(s, KAFKA_GROUP_BYTES + (uint64_t)count * (KAFKA_POSITION_BYTES + GROUP_NAME_MAX),
                          &error))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count; i++) {
        const struct bytes name = kafka_get_string(&in);
        kafka_put_string(out, name);
        kafka_put_i16(out, error ? error : delete_group(s, name));
        kafka_put_tags(out);
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, error ? 0 : kafka_group_flush(s));
}
