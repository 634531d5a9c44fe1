/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_redrive.c: GROUP_REDRIVE: dead letters are settled, and what becomes of their events, in one
 * commit: given to their group again, published again, or nothing (discarded).
 *
 * Which dead letters are settled is the progress of the pseudo group `__dlq` in the dead-letter topic. A dead
 * letter that is settled already is left alone, row by row, so a run that was broken off is simply repeated.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

/* One row, looked up. */
struct redrive {
    enum error code;
    struct gp *dead;  /* of `__dlq` */
    struct gp *again; /* NULL: nobody gets it */
    uint64_t dead_offset, offset;
};

static enum error redrive_again(struct session *s, const struct wire_group_redrive_row *row,
                                struct redrive *out)
{
    struct group *g = group_find(s->api->door.groups, row->group);
    struct topic *t = catalog_find(s->api->store, row->topic);
    if (!g || g->internal)
        return ERR_GROUP_NOT_FOUND;
    if (g->kafka)
        return ERR_NOT_FOR_KAFKA_GROUPS;
    if (!t)
        return ERR_TOPIC_NOT_FOUND;
    if (row->partition >= t->partition_count)
        return ERR_PARTITION_NOT_FOUND;
    out->again = group_gp_find(g, t, row->partition);
    if (!out->again)
        return ERR_POSITION_UNKNOWN; /* it never consumed this, or was made to forget it */
    if (row->offset < partition_start(out->again->partition) ||
        row->offset >= partition_end(out->again->partition))
        return ERR_OFFSET_OUT_OF_RANGE;
    return ERR_OK;
}

/* ERR_OK; or why this row cannot be done, which its reply says. */
static enum error redrive_row(struct session *s, struct group *dead, struct topic *topic,
                              const struct wire_group_redrive_row *row, struct redrive *out)
{
    char why[API_WHY_BYTES];
    *out = (struct redrive){ .dead_offset = row->dead_offset, .offset = row->offset };
    if (row->dead_partition >= topic->partition_count)
        return ERR_PARTITION_NOT_FOUND;
    const enum error code = group_gp_make(dead, topic, row->dead_partition, &out->dead, why);
    if (code != ERR_OK)
        return code;
    if (row->dead_offset >= partition_end(out->dead->partition))
        return ERR_OFFSET_OUT_OF_RANGE;
    if (gp_settled(out->dead, row->dead_offset))
        return ERR_EVENT_NOT_LEASED; /* settled before */
    return row->group.len ? redrive_again(s, row, out) : ERR_OK;
}

/* Everything that may be refused as a whole. */
static enum error redrive_check(struct session *s, struct wire_group_redrive *body, struct topic **topic,
                                struct group **dead, char *why)
{
    enum error code = api_admit(s, why);
    if (code == ERR_OK && body->publishes)
        code = produce_admit(s, &body->produce, why);
    if (code != ERR_OK)
        return code;
    *topic = catalog_find(s->api->store, body->dead_topic);
    if (!*topic) {
        snprintf(why, API_WHY_BYTES, "no dead-letter topic %.*s: nothing was given up",
                 (int)(body->dead_topic.len < TOPIC_NAME_MAX ? body->dead_topic.len : TOPIC_NAME_MAX),
                 (const char *)body->dead_topic.at);
        return ERR_TOPIC_NOT_FOUND;
    }
    return group_make(s->api->door.groups, bytes_of(GROUP_DEAD_LETTERS), GROUP_SHARED, dead, why);
}

static void redrive_carry_out(struct redrive *rows, uint16_t count)
{
    char why[API_WHY_BYTES];
    for (uint16_t i = 0; i < count; i++) {
        struct redrive *r = &rows[i];
        if (r->code == ERR_OK && r->again)
            r->code = group_redrive(r->again, r->offset, why);
        if (r->code == ERR_OK)
            r->code = group_settle(r->dead, r->dead_offset, 1, why);
    }
}

static void redrive_reply(struct session *s, const struct request *rq, const struct redrive *rows,
                          uint16_t count, const struct wire_produced *published, uint16_t published_count)
{
    const uint32_t room = 2 + count * 2u + 8 + published_count * (uint32_t)sizeof(*published);
    uint8_t *bytes = mem_alloc(MEM_API, room);
    struct writer w = writer_of(bytes, room);
    write_u16(&w, count);
    for (uint16_t i = 0; i < count; i++)
        write_u16(&w, (uint16_t)rows[i].code);
    if (published)
        wire_put_produced(&w, published, published_count);
    group_reply_durable(s, rq, &w);
    mem_free(MEM_API, bytes, room);
}

enum net_take group_redrive_request(struct session *s, const struct request *rq)
{
    struct wire_group_redrive body;
    struct topic *topic;
    struct group *dead;
    struct produce_item *items;
    char why[API_WHY_BYTES];
    if (!wire_get_group_redrive(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_REDRIVE cannot be decoded");
    /* Two changes a row: the dead letter's and the group's. */
    const uint32_t state_bytes = (2u * body.count + 16) * GROUP_RANGE_BYTES;
    if (!group_room(s, body.publishes ? body.produce.count : 0,
                    body.publishes ? reader_left(&body.produce.batches) : 0, state_bytes))
        return api_park(s);
    enum error code = redrive_check(s, &body, &topic, &dead, why);
    if (code == ERR_OK && body.publishes)
        code = produce_check_all(s, &body.produce, &items, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    struct redrive *rows = mem_zalloc(MEM_API, body.count * sizeof(*rows));
    bool all = true;
    for (uint16_t i = 0; i < body.count; i++) {
        struct wire_group_redrive_row row;
        wire_get_group_redrive_row(&body.rows, &row);
        rows[i].code = redrive_row(s, dead, topic, &row, &rows[i]);
        all = all && rows[i].code == ERR_OK;
    }
    struct wire_produced *published = NULL;
    if (body.publishes && !all) {
        /* What is published belongs to the rows: all or nothing. */
        snprintf(why, sizeof(why),
                 "a dead letter of the request is settled already, or cannot be: nothing was "
                 "published; look which are left and try again");
        ack_refuse(s, rq, ERR_EVENT_NOT_LEASED, why);
        produce_drop(s);
    } else {
        if (body.publishes) {
            published = mem_alloc(MEM_API, body.produce.count * sizeof(*published));
            produce_append_all(s, items, body.produce.count, published);
        }
        redrive_carry_out(rows, body.count);
        redrive_reply(s, rq, rows, body.count, published, body.publishes ? body.produce.count : 0);
    }
    mem_free(MEM_API, published, body.publishes ? body.produce.count * sizeof(*published) : 0);
    mem_free(MEM_API, rows, body.count * sizeof(*rows));
    return NET_TAKEN;
}
