/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/group_offsets.c: OffsetCommit, OffsetFetch, OffsetDelete: where a group is.
 *
 * A commit is answered when it is durable. Positions of one request need not be one commit of the journal,
 * but they are: all of it is in the room that was asked for.
 */
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "kafka/group_own.h"

bool kafka_group_room(struct kafka_session *s, uint64_t state_bytes, enum kafka_error *error)
{
    struct kafka *kafka = s->kafka;
    char why[KAFKA_WHY_BYTES];
    *error = KAFKA_OK;
    if (kafka_admit(kafka, why) != ERR_OK) {
        *error = KAFKA_COORDINATOR_NOT_AVAILABLE; /* clients look for it again, and wait */
        return true;
    }
    if (state_bytes > kafka->options.produce_bytes_max / 2) { /* half: batches have headers */
        *error = KAFKA_INVALID_REQUEST;                       /* would never fit */
        return true;
    }
    return kafka_room_for(s, JOURNAL_RESERVED, 1, 0) &&
           groups_room(kafka->groups, 0, 0, (uint32_t)state_bytes);
}

uint64_t kafka_group_flush(struct kafka_session *s)
{
    bool ok;
    const uint64_t sequence = groups_flush(s->kafka->groups, &ok);
    CHECK(ok); /* kafka_group_room() said yes */
    return sequence;
}

static struct topic *offsets_topic(const struct kafka_session *s, struct bytes name)
{
    struct topic *t = catalog_find(s->kafka->store, name);
    return t && !t->internal ? t : NULL;
}

/* ---- OffsetCommit ---- */

struct commit_row {
    int32_t partition, leader_epoch;
    int64_t offset;
    struct bytes metadata;
};

static struct commit_row commit_read(struct kafka_in *in)
{
    struct commit_row row = { .partition = kafka_get_i32(in), .leader_epoch = -1 };
    row.offset = kafka_get_i64(in);
    if (in->version >= 6)
        row.leader_epoch = kafka_get_i32(in);
    if (in->version == 1)
        (void)kafka_get_i64(in); /* when; we know */
    row.metadata = kafka_get_string(in);
    kafka_get_tags(in);
    return row;
}

static struct kafka_in commit_who(struct kafka_in in, struct classic_who *who)
{
    *who = (struct classic_who){ .group = kafka_get_string(&in), .generation = -1 };
    if (in.version >= 1) {
        who->generation = kafka_get_i32(&in);
        who->member_id = kafka_get_string(&in);
    }
    if (in.version >= 7)
        who->instance_id = kafka_get_string(&in);
    if (in.version >= 2 && in.version <= 4)
        (void)kafka_get_i64(&in); /* for how long: expire.after says */
    return in;
}

/* What carrying it out notes at most; a native group is made a Kafka group first. */
static uint64_t commit_bytes(const struct kafka_session *s, struct kafka_in in, const struct classic_who *who)
{
    const struct group *g = group_find(s->kafka->groups, who->group);
    const uint64_t each = KAFKA_POSITION_BYTES + who->group.len;
    uint64_t bytes = KAFKA_GROUP_BYTES + (g && !g->kafka ? g->partition_count * each : 0);
    for (int32_t topics = kafka_get_count(&in); topics > 0; topics--) {
        (void)kafka_get_string(&in);
        for (int32_t n = kafka_get_count(&in); n > 0; n--)
            bytes += each + commit_read(&in).metadata.len;
        kafka_get_tags(&in);
    }
    return bytes;
}

static enum kafka_error commit_one(struct group *g, struct topic *topic, const struct commit_row *row)
{
    char why[GROUP_WHY_BYTES];
    if (!topic || row->partition < 0 || row->partition >= (int32_t)topic->partition_count)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (row->offset < 0)
        return KAFKA_INVALID_REQUEST;
    if (row->metadata.len > COMMIT_METADATA_MAX)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    return kafka_error_of(group_position_set(g, topic, (uint32_t)row->partition, (uint64_t)row->offset,
                                             row->leader_epoch, row->metadata, why));
}

enum net_take kafka_offset_commit(struct kafka_session *s, const struct kafka_request *rq)
{
    struct classic_who who;
    struct kafka_in in = commit_who(rq->in, &who);
    struct group *g = NULL;
    char why[GROUP_WHY_BYTES] = "";
    enum kafka_error error;
    if (!kafka_group_room(s, commit_bytes(s, in, &who), &error))
        return kafka_park(s);
    if (error == KAFKA_OK)
        error = kafka_error_of_group(classic_commit(s->kafka->groups, &who, &g, why));
    if (*why)
        diag(DIAG_WARN, "kafka", "a position cannot be committed", DIAG_KS("why", why));
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 3)
        kafka_put_i32(out, 0); /* throttle time */
    const int32_t topics = kafka_get_count(&in);
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        const struct bytes name = kafka_get_string(&in);
        struct topic *topic = offsets_topic(s, name);
        const int32_t count = kafka_get_count(&in);
        kafka_put_string(out, name);
        kafka_put_count(out, count);
        for (int32_t n = 0; n < count; n++) {
            const struct commit_row row = commit_read(&in);
            const enum kafka_error one = error ? error : commit_one(g, topic, &row);
            s->kafka->stats.errors += one != KAFKA_OK;
            kafka_put_i32(out, row.partition);
            kafka_put_i16(out, one);
            kafka_put_tags(out);
        }
        kafka_get_tags(&in);
        kafka_put_tags(out);
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, error ? 0 : kafka_group_flush(s));
}

/* ---- OffsetFetch ---- */

/* `gp` NULL: nothing is committed. */
static void fetch_row(struct kafka_out *out, int32_t partition, const struct gp *gp)
{
    const bool there = gp && (gp->commit || !gp->group->kafka);
    const struct gp_commit *c = gp ? gp->commit : NULL;
    kafka_put_i32(out, partition);
    kafka_put_i64(out, there ? (int64_t)progress_position(gp->progress) : -1);
    if (out->version >= 5)
        kafka_put_i32(out, there && c ? c->leader_epoch : -1);
    kafka_put_string(out, there && c ? (struct bytes){ (const uint8_t *)c->metadata, c->metadata_len }
                                     : bytes_of(""));
    kafka_put_i16(out, KAFKA_OK);
    kafka_put_tags(out);
}

static void fetch_named(struct kafka_session *s, struct kafka_out *out, struct kafka_in *in, struct group *g,
                        int32_t topics)
{
    kafka_put_count(out, topics);
    for (int32_t i = 0; i < topics; i++) {
        const struct bytes name = kafka_get_string(in);
        const struct topic *topic = offsets_topic(s, name);
        const int32_t count = kafka_get_count(in);
        kafka_put_string(out, name);
        kafka_put_count(out, count);
        for (int32_t n = 0; n < count; n++) {
            const int32_t partition = kafka_get_i32(in);
            fetch_row(out, partition,
                      g && topic && partition >= 0 ? group_gp_find(g, topic, (uint32_t)partition) : NULL);
        }
        kafka_get_tags(in);
        kafka_put_tags(out);
    }
}

static void fetch_all(struct kafka_out *out, struct group *g)
{
    uint32_t topics = 0;
    const uint32_t mark = kafka_put_count_later(out, g ? g->partition_count : 0);
    struct gp *gp = g ? group_gp_next(g, NULL) : NULL;
    while (gp) {
        const struct topic *topic = gp->topic;
        uint32_t count = 0;
        kafka_put_text(out, topic->name);
        const uint32_t rows = kafka_put_count_later(out, topic->partition_count);
        for (; gp && gp->topic == topic; gp = group_gp_next(g, gp), count++)
            fetch_row(out, (int32_t)gp->number, gp);
        kafka_put_count_at(out, rows, count);
        kafka_put_tags(out);
        topics++;
    }
    kafka_put_count_at(out, mark, topics);
}

static void fetch_group(struct kafka_session *s, struct kafka_out *out, struct kafka_in *in,
                        struct bytes name)
{
    struct group *g = group_find(s->kafka->groups, name);
    const int32_t topics = kafka_get_count(in);
    if (g && g->internal)
        g = NULL;
    if (topics < 0)
        fetch_all(out, g);
    else
        fetch_named(s, out, in, g, topics);
}

enum net_take kafka_offset_fetch(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    if (rq->version >= 3)
        kafka_put_i32(out, 0);
    if (rq->version >= 8) {
        const int32_t groups = kafka_get_count(&in);
        kafka_put_count(out, groups);
        for (int32_t i = 0; i < groups && !out->bad; i++) {
            const struct bytes name = kafka_get_string(&in);
            kafka_put_string(out, name);
            fetch_group(s, out, &in, name);
            kafka_get_tags(&in);
            kafka_put_i16(out, KAFKA_OK);
            kafka_put_tags(out);
        }
    } else {
        const struct bytes name = kafka_get_string(&in);
        fetch_group(s, out, &in, name);
        if (rq->version >= 2)
            kafka_put_i16(out, KAFKA_OK);
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* ---- OffsetDelete ---- */

static enum kafka_error delete_one(struct group *g, const struct topic *topic, int32_t partition)
{
    char why[GROUP_WHY_BYTES];
    if (!topic || partition < 0 || partition >= (int32_t)topic->partition_count)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (g->kafka && classic_wants(g, topic))
        return KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
    const enum error error = group_offsets_delete(g, topic, partition, why);
    return error == ERR_POSITION_UNKNOWN ? KAFKA_OK
           : error == ERR_GROUP_BUSY     ? KAFKA_GROUP_SUBSCRIBED_TO_TOPIC
                                         : kafka_error_of(error);
}

static uint64_t delete_bytes(struct kafka_in in, struct bytes group)
{
    uint64_t bytes = KAFKA_GROUP_BYTES;
    for (int32_t topics = kafka_get_count(&in); topics > 0; topics--) {
        (void)kafka_get_string(&in);
        for (int32_t n = kafka_get_count(&in); n > 0; n--) {
            (void)kafka_get_i32(&in);
            bytes += KAFKA_POSITION_BYTES + group.len;
        }
    }
    return bytes;
}

enum net_take kafka_offset_delete(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    const struct bytes name = kafka_get_string(&in);
    struct group *g = group_find(s->kafka->groups, name);
    enum kafka_error error;
    if (!kafka_group_room(s, delete_bytes(in, name), &error))
        return kafka_park(s);
    if (!error && (!g || g->internal))
        error = KAFKA_GROUP_ID_NOT_FOUND;
    else if (!error && g->kafka && g->member_count && strcmp(classic_protocol_type(g), "consumer") != 0)
        error = KAFKA_NON_EMPTY_GROUP;
    const int32_t topics = kafka_get_count(&in);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i16(out, error);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, error ? 0 : topics);
    for (int32_t i = 0; i < topics && !error; i++) {
        const struct bytes topic = kafka_get_string(&in);
        const int32_t count = kafka_get_count(&in);
        kafka_put_string(out, topic);
        kafka_put_count(out, count);
        for (int32_t n = 0; n < count; n++) {
            const int32_t partition = kafka_get_i32(&in);
            kafka_put_i32(out, partition);
            kafka_put_i16(out, delete_one(g, offsets_topic(s, topic), partition));
        }
    }
    return kafka_reply_end(s, rq, error ? 0 : kafka_group_flush(s));
}
