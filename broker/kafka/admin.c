/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/admin.c: topics made, deleted and given partitions. The reply leaves when the change is durable.
 *
 * A request is carried out in one go, after room for all of its changes was found: a reply names each topic's
 * fate, and half a request could not be offered again.
 */
#include "kafka/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum {
    ADMIN_CHANGES_MAX = 128, /* in one request: they fit one commit */
    ADMIN_REPLICAS = 1,      /* there is one node */
};

/* ---- what all changes ask first ---- */

bool kafka_admin_room(struct kafka_session *s, uint32_t changes, struct kafka_refusal *r)
{
    *r = (struct kafka_refusal){ KAFKA_OK, "" };
    const enum error error = kafka_admit(s->kafka, r->why);
    if (error != ERR_OK) {
        r->error = kafka_error_of(error);
        return true;
    }
    if (changes > ADMIN_CHANGES_MAX) {
        r->error = KAFKA_POLICY_VIOLATION;
        snprintf(r->why, sizeof(r->why), "%u changes in one request: at most %d are possible, split it",
                 changes, ADMIN_CHANGES_MAX);
        return true;
    }
    return changes == 0 || kafka_room_for(s, JOURNAL_RESERVED, changes, changes * CATALOG_CHANGE_BYTES);
}

struct topic *kafka_admin_topic(struct kafka_session *s, struct bytes name, struct kafka_refusal *r)
{
    struct topic *t = catalog_find(s->kafka->store, name);
    if (t && !t->internal)
        return t;
    r->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    snprintf(r->why, sizeof(r->why), "there is no such topic");
    return NULL;
}

void kafka_admin_done(struct kafka_session *s, enum error error, struct kafka_refusal *r)
{
    r->error = kafka_error_of(error);
    if (error == ERR_OK)
        s->changed = store_sequence(s->kafka->store);
}

/* ---- CreateTopics ---- */

struct create_row {
    struct bytes name;
    int32_t partitions;
    int16_t replicas;
    int32_t assigned; /* partitions that were assigned to nodes by hand */
    bool assigned_here;
    struct kafka_configs configs;
};

static void create_assignments(struct kafka_in *in, struct create_row *row)
{
    row->assigned = kafka_get_count(in);
    row->assigned_here = true;
    for (int32_t i = 0; i < row->assigned; i++) {
        const int32_t index = kafka_get_i32(in), nodes = kafka_get_count(in);
        if (index < 0 || index >= row->assigned || nodes != ADMIN_REPLICAS)
            row->assigned_here = false;
        for (int32_t k = 0; k < nodes; k++)
            row->assigned_here = kafka_get_i32(in) == KAFKA_NODE && row->assigned_here;
        kafka_get_tags(in);
    }
}

static void create_row(struct kafka_in *in, struct create_row *row)
{
    row->name = kafka_get_string(in);
    row->partitions = kafka_get_i32(in);
    row->replicas = kafka_get_i16(in);
    create_assignments(in, row);
    row->configs = (struct kafka_configs){ 0 };
    for (int32_t count = kafka_get_count(in); count; count--) {
        const struct bytes name = kafka_get_string(in);
        kafka_configs_add(&row->configs, name, kafka_get_string(in));
        kafka_get_tags(in);
    }
    kafka_get_tags(in);
}

static void create_refuse(struct kafka_refusal *r, enum kafka_error error, const char *why)
{
    r->error = error;
    snprintf(r->why, sizeof(r->why), "%s", why);
}

static void create_check(const struct kafka_session *s, const struct create_row *row, struct kafka_refusal *r)
{
    if (!topic_name_valid(row->name) || topic_name_internal(row->name))
        create_refuse(
            r, KAFKA_INVALID_TOPIC,
            "1 to 249 letters, digits, '.', '_' or '-'; names that begin with '__' are the broker's");
    else if (catalog_find(s->kafka->store, row->name))
        create_refuse(r, KAFKA_TOPIC_ALREADY_EXISTS, "the topic exists already");
    else if (row->assigned > 0 && (row->partitions != -1 || row->replicas != -1))
        create_refuse(r, KAFKA_INVALID_REQUEST, "give assignments, or numbers of partitions and replicas");
    else if (!row->assigned_here)
        create_refuse(r, KAFKA_INVALID_REPLICA_ASSIGNMENT, "there is one node, and its id is 1");
    else if (row->partitions < -1 || (row->partitions == 0 && row->assigned == 0))
        create_refuse(r, KAFKA_INVALID_PARTITIONS, "a topic has one partition at least");
    else if (row->replicas != -1 && row->replicas != ADMIN_REPLICAS)
        create_refuse(r, KAFKA_INVALID_REPLICATION_FACTOR, "there is one node: the replication factor is 1");
    else
        kafka_configs_check(s->kafka, &row->configs, r);
}

static struct topic *create_one(struct kafka_session *s, struct create_row *row, bool validate_only,
                                struct kafka_refusal *r)
{
    struct topic *t = NULL;
    if (!r->error)
        create_check(s, row, r);
    if (r->error || validate_only)
        return NULL;
    const int32_t partitions = row->assigned > 0 ? row->assigned : row->partitions;
    kafka_admin_done(s,
                     catalog_create(s->kafka->store, row->name, partitions < 0 ? 0 : (uint32_t)partitions,
                                    row->configs.names, row->configs.values, row->configs.count, &t, r->why),
                     r);
    return r->error ? NULL : t;
}

static void create_put(struct kafka_session *s, struct kafka_out *out, const struct create_row *row,
                       const struct topic *t, const struct kafka_refusal *r)
{
    kafka_put_string(out, row->name);
    kafka_put_i16(out, r->error);
    if (out->version >= 1)
        kafka_put_string(out, r->error ? bytes_of(r->why) : (struct bytes){ 0 });
    if (out->version >= 5) {
        kafka_put_i32(out, t ? (int32_t)t->partition_count : -1);
        kafka_put_i16(out, t ? ADMIN_REPLICAS : -1);
        kafka_configs_put_created(out, t);
    }
    kafka_put_tags(out);
    s->kafka->stats.errors += r->error != KAFKA_OK;
}

/* Over the topics, to the fields behind them. */
static bool create_validate_only(struct kafka_in in, int32_t count)
{
    struct create_row row;
    for (int32_t i = 0; i < count; i++)
        create_row(&in, &row);
    (void)kafka_get_i32(&in); /* time-out */
    return in.version >= 1 && kafka_get_bool(&in);
}

enum net_take kafka_create_topics(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct kafka_refusal all;
    const int32_t count = kafka_get_count(&in);
    const bool validate_only = create_validate_only(in, count);
    if (!kafka_admin_room(s, (uint32_t)count, &all))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 2)
        kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count; i++) {
        struct kafka_refusal r = all;
        struct create_row row;
        create_row(&in, &row);
        const struct topic *t = create_one(s, &row, validate_only, &r);
        create_put(s, out, &row, t, &r);
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, s->changed);
}

/* ---- DeleteTopics ---- */

enum net_take kafka_delete_topics(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct kafka_refusal all;
    const int32_t count = kafka_get_count(&in);
    if (!kafka_admin_room(s, (uint32_t)count, &all))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 1)
        kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count; i++) {
        struct kafka_refusal r = all;
        const struct bytes name = kafka_get_string(&in);
        struct topic *t = r.error ? NULL : kafka_admin_topic(s, name, &r);
        if (t)
            kafka_admin_done(s, catalog_delete(s->kafka->store, t, r.why), &r);
        kafka_put_string(out, name);
        kafka_put_i16(out, r.error);
        if (rq->version >= 5)
            kafka_put_string(out, r.error ? bytes_of(r.why) : (struct bytes){ 0 });
        kafka_put_tags(out);
        s->kafka->stats.errors += r.error != KAFKA_OK;
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, s->changed);
}

/* ---- CreatePartitions ---- */

struct grow_row {
    struct bytes name;
    int32_t partitions;
    int32_t assigned; /* of the new ones; -1: none were */
    bool assigned_here;
};

static struct grow_row grow_row(struct kafka_in *in)
{
    struct grow_row row = { .name = kafka_get_string(in), .assigned_here = true };
    row.partitions = kafka_get_i32(in);
    row.assigned = kafka_get_count(in);
    for (int32_t i = 0; i < row.assigned; i++) {
        const int32_t nodes = kafka_get_count(in);
        row.assigned_here = nodes == ADMIN_REPLICAS && row.assigned_here;
        for (int32_t k = 0; k < nodes; k++)
            row.assigned_here = kafka_get_i32(in) == KAFKA_NODE && row.assigned_here;
        kafka_get_tags(in);
    }
    kafka_get_tags(in);
    return row;
}

static void grow_one(struct kafka_session *s, const struct grow_row *row, bool validate_only,
                     struct kafka_refusal *r)
{
    struct topic *t = r->error ? NULL : kafka_admin_topic(s, row->name, r);
    if (!t)
        return;
    if (row->partitions <= (int32_t)t->partition_count) {
        r->error = KAFKA_INVALID_PARTITIONS;
        snprintf(r->why, sizeof(r->why), "the topic has %u partitions: their number can only grow",
                 t->partition_count);
    } else if (row->assigned >= 0 &&
               (!row->assigned_here || row->assigned != row->partitions - (int32_t)t->partition_count)) {
        r->error = KAFKA_INVALID_REPLICA_ASSIGNMENT;
        snprintf(r->why, sizeof(r->why),
                 "there is one node, and its id is 1: assign each new partition to it");
    } else if (!validate_only) {
        kafka_admin_done(s, catalog_add_partitions(s->kafka->store, t, (uint32_t)row->partitions, r->why), r);
    }
}

enum net_take kafka_create_partitions(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in, last = rq->in;
    struct kafka_refusal all;
    const int32_t count = kafka_get_count(&in);
    (void)kafka_get_count(&last);
    for (int32_t i = 0; i < count; i++)
        (void)grow_row(&last);
    (void)kafka_get_i32(&last); /* time-out */
    const bool validate_only = kafka_get_bool(&last);
    if (!kafka_admin_room(s, (uint32_t)count, &all))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count; i++) {
        struct kafka_refusal r = all;
        const struct grow_row row = grow_row(&in);
        grow_one(s, &row, validate_only, &r);
        kafka_put_string(out, row.name);
        kafka_put_i16(out, r.error);
        kafka_put_string(out, r.error ? bytes_of(r.why) : (struct bytes){ 0 });
        kafka_put_tags(out);
        s->kafka->stats.errors += r.error != KAFKA_OK;
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, s->changed);
}
