/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_request.c: what members ask for: to join and leave, and what became of their events.
 *
 * A change is carried out in memory first and stored by groups_flush(), whose sequence the reply waits for.
 * Whoever wants no reply to an acknowledgement lets the coordinator gather it with others of the turn.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    SEAT_BYTES_DEFAULT = 4 << 20,
    JOIN_STATE_BYTES = 64 * 1024, /* what joining notes at most: the subscription */
};

/* ---- changes ---- */

bool group_room(struct session *s, uint32_t batches, uint32_t bytes, uint32_t state_bytes)
{
    struct api *api = s->api;
    if (!api->offering && !list_empty(&api->parked))
        return false;
    return groups_room(api->door.groups, batches, bytes, state_bytes);
}

uint64_t group_reply_durable(struct session *s, const struct request *rq, const struct writer *body)
{
    bool ok;
    const uint64_t sequence = groups_flush(s->api->door.groups, &ok);
    CHECK(ok); /* group_room() said yes */
    return ack_reply(s, rq, sequence, body);
}

/* ---- joining ---- */

static void join_held(const struct wire_group_join *body, struct group_range *out)
{
    for (uint16_t i = 0; i < body->held_count; i++) {
        const struct wire_group_range row = wire_group_range_at(body->held, i);
        out[i] = (struct group_range){ row.assignment, row.epoch, row.first, row.count };
    }
}

static enum error join_check(struct session *s, const struct wire_group_join *body, char *why)
{
    if (body->mode > WIRE_GROUP_SHARED || body->reset > WIRE_GROUP_RESET_ERROR || body->topic_count == 0) {
        snprintf(why, API_WHY_BYTES,
                 "GROUP_JOIN names no topic, or a mode or reset that does not exist: see docs/protocol.md");
        return ERR_REQUEST_INVALID;
    }
    if (s->seat_count >= s->api->options.connection_members_max) {
        snprintf(why, API_WHY_BYTES,
                 "%u members on one connection: open another one, or raise connection.members.max",
                 s->seat_count);
        return ERR_LIMIT_REACHED;
    }
    return api_admit(s, why);
}

static enum error join(struct session *s, const struct wire_group_join *body, struct seat *seat, char *why)
{
    struct group_range *held = NULL;
    if (body->held_count)
        held = mem_alloc(MEM_API, body->held_count * sizeof(*held));
    join_held(body, held);
    const struct group_join join = {
        .group = body->group,
        .mode = (enum group_mode)body->mode,
        .member_id = body->member_id,
        .instance_id = body->instance_id,
        .host = body->host,
        .max_in_flight = body->max_in_flight,
        .reset = (enum group_reset)body->reset,
        .topics = body->topics,
        .topic_count = body->topic_count,
        .held = held,
        .held_count = body->held_count,
        .door = seat,
    };
    const enum error code = group_join(s->api->door.groups, &join, &seat->member, why);
    mem_free(MEM_API, held, body->held_count * sizeof(*held));
    return code;
}

enum net_take group_request_join(struct session *s, const struct request *rq)
{
    struct wire_group_join body;
    char why[API_WHY_BYTES];
    if (!wire_get_group_join(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_JOIN cannot be decoded");
    enum error code = join_check(s, &body, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    if (!group_room(s, 0, 0, JOIN_STATE_BYTES))
        return api_park(s);
    struct seat *seat = mem_zalloc(MEM_API, sizeof(*seat));
    *seat = (struct seat){ .session = s,
                           .handle = s->seat_next++,
                           .bytes_max = body.credit_bytes ? body.credit_bytes : SEAT_BYTES_DEFAULT };
    list_init(&seat->link);
    list_init(&seat->change_link);
    list_init(&seat->joining_link);
    code = join(s, &body, seat, why);
    if (code != ERR_OK) {
        mem_free(MEM_API, seat, sizeof(*seat));
        return ack_refuse(s, rq, code, why);
    }
    list_append(&s->seats, &seat->link);
    s->seat_count++;
    /* The first GROUP_ASSIGN names all that the member has, also when that is nothing. */
    list_remove(&seat->change_link);
    list_append(&s->api->door.changed, &seat->change_link);
    const struct member *m = seat->member;
    const struct group *g = m->group;
    const struct wire_group_join_reply reply = {
        .member = seat->handle,
        .member_id = bytes_of(m->id),
        .generation = g->generation,
        .mode = g->ordered ? WIRE_GROUP_ORDERED : WIRE_GROUP_SHARED,
        .session_timeout_ms = (uint32_t)g->settings.session_timeout_ms,
        .ack_wait_ms = (uint32_t)g->settings.ack_wait_ms,
        .max_in_flight = m->max_in_flight,
    };
    uint8_t bytes[64];
    struct writer w = writer_of(bytes, sizeof(bytes));
    wire_put_group_join_reply(&w, &reply);
    seat->joined_sequence = group_reply_durable(s, rq, &w);
    if (seat->joined_sequence)
        list_append(&s->api->door.joining, &seat->joining_link);
    return NET_TAKEN;
}

/* The member that a request speaks for; NULL: refused. */
static struct seat *request_seat(struct session *s, const struct request *rq, uint32_t handle)
{
    char why[API_WHY_BYTES];
    struct seat *seat = seat_find(s, handle);
    if (seat)
        return seat;
    snprintf(why, sizeof(why), "no member %u on this connection: join the group (again)", handle);
    ack_refuse(s, rq, ERR_MEMBER_UNKNOWN, why);
    return NULL;
}

enum net_take group_request_leave(struct session *s, const struct request *rq)
{
    struct wire_group_leave body;
    if (!wire_get_group_leave(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_LEAVE cannot be decoded");
    if (!group_room(s, 0, 0, 0))
        return api_park(s);
    struct seat *seat = request_seat(s, rq, body.member);
    if (!seat)
        return NET_TAKEN;
    if (body.drain) {
        member_drain(seat->member);
        group_reply_durable(s, rq, NULL);
        return NET_TAKEN;
    }
    member_leave(seat->member);
    seat_free(seat);
    group_reply_durable(s, rq, NULL); /* behind its acknowledgements, and durable as they are */
    return NET_TAKEN;
}

/* ---- what became of events ---- */

typedef enum error (*range_call)(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first,
                                 uint32_t count, char *why);

/* The gp of a row, if the member's group has it. */
static enum error range_gp(const struct member *m, uint32_t assignment, struct gp **out, char *why)
{
    *out = groups_gp(seat_of(m)->session->api->door.groups, assignment);
    if (*out && (*out)->group == m->group)
        return ERR_OK;
    snprintf(why, API_WHY_BYTES, "assignment %u is not one of group %s (any more)", assignment,
             m->group->name);
    return ERR_STALE_GENERATION;
}

/* Calls `call` for each range; stops at the first error, which it names. */
static enum error ranges_call(struct member *m, struct bytes ranges, uint16_t count, range_call call,
                              char *why)
{
    for (uint16_t i = 0; i < count; i++) {
        const struct wire_group_range row = wire_group_range_at(ranges, i);
        struct gp *gp;
        enum error code = range_gp(m, row.assignment, &gp, why);
        if (code == ERR_OK)
            code = call(m, gp, row.epoch, row.first, row.count, why);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* Event by event: one that the member has no more must not keep the others from being settled. */
static enum error range_each(struct member *m, const struct wire_group_range *row, range_call call, char *why)
{
    char ignored[API_WHY_BYTES];
    struct gp *gp;
    enum error first = range_gp(m, row->assignment, &gp, why);
    if (first == ERR_OK && row->count > PROGRESS_WINDOW_MAX) {
        snprintf(why, API_WHY_BYTES, "a range of %u events: no member can have so many", row->count);
        return ERR_REQUEST_INVALID;
    }
    if (first != ERR_OK)
        return first;
    first = call(m, gp, row->epoch, row->first, row->count, why);
    if (first == ERR_OK || row->count == 1)
        return first;
    for (uint32_t i = 0; i < row->count; i++)
        call(m, gp, row->epoch, row->first + i, 1, ignored);
    return first;
}

/* All ranges; the first error is told. */
static enum error ranges_each(struct member *m, struct bytes ranges, uint16_t count, range_call call,
                              char *why)
{
    char ignored[API_WHY_BYTES];
    enum error first = ERR_OK;
    for (uint16_t i = 0; i < count; i++) {
        const struct wire_group_range row = wire_group_range_at(ranges, i);
        const enum error code = range_each(m, &row, call, first == ERR_OK ? why : ignored);
        if (first == ERR_OK)
            first = code;
    }
    return first;
}

enum net_take group_request_ack(struct session *s, const struct request *rq)
{
    struct wire_group_ack body;
    char why[API_WHY_BYTES];
    if (!wire_get_group_ack(rq->body, &body) || (body.flags & ~WIRE_GROUP_ACK_REPLY) != 0)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_ACK cannot be decoded");
    const bool reply = body.flags & WIRE_GROUP_ACK_REPLY;
    if (reply && !group_room(s, 0, 0, body.count * (uint32_t)GROUP_RANGE_BYTES))
        return api_park(s);
    struct seat *seat = request_seat(s, rq, body.member);
    if (!seat)
        return NET_TAKEN;
    member_spoke(seat->member);
    const enum error code = ranges_each(seat->member, body.ranges, body.count, group_ack, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    if (reply)
        group_reply_durable(s, rq, NULL);
    return NET_TAKEN;
}

/* GROUP_WORKING and GROUP_RELEASE: nothing is stored, so they are answered at once. */
static enum net_take ranges_request(struct session *s, const struct request *rq, range_call call)
{
    struct wire_group_ranges body;
    char why[API_WHY_BYTES];
    if (!wire_get_group_ranges(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "the ranges cannot be decoded");
    struct seat *seat = request_seat(s, rq, body.member);
    if (!seat)
        return NET_TAKEN;
    member_spoke(seat->member);
    const enum error code = ranges_each(seat->member, body.ranges, body.count, call, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    struct api_reply r = api_reply_begin(s, 0);
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}

enum net_take group_request_working(struct session *s, const struct request *rq)
{
    return ranges_request(s, rq, group_extend);
}

enum net_take group_request_release(struct session *s, const struct request *rq)
{
    return ranges_request(s, rq, group_release);
}

enum net_take group_request_nack(struct session *s, const struct request *rq)
{
    struct wire_group_nack body;
    char why[API_WHY_BYTES];
    struct gp *gp;
    if (!wire_get_group_nack(rq->body, &body) || body.term > 1 || body.delay_ms < -1)
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_NACK cannot be decoded");
    if (!group_room(s, 0, 0, GROUP_NACK_BYTES))
        return api_park(s);
    struct seat *seat = request_seat(s, rq, body.member);
    if (!seat)
        return NET_TAKEN;
    const struct failure failure = {
        .type = body.type, .message = body.message, .stack = body.stack, .key_hash = body.key_hash
    };
    enum error code = range_gp(seat->member, body.assignment, &gp, why);
    if (code == ERR_OK)
        code = group_nack(seat->member, gp, body.epoch, body.offset, &failure, body.delay_ms, body.term, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    group_reply_durable(s, rq, NULL);
    return NET_TAKEN;
}

/* ---- consuming and producing as one ---- */

enum net_take group_request_produce(struct session *s, const struct request *rq)
{
    struct wire_group_produce body;
    struct produce_item *items;
    char why[API_WHY_BYTES];
    if (!wire_get_group_produce(rq->body, &body))
        return ack_refuse(s, rq, ERR_REQUEST_INVALID, "GROUP_PRODUCE cannot be decoded");
    if (body.produce.acks != WIRE_ACKS_DURABLE)
        return ack_refuse(s, rq, ERR_ACKS_INVALID, "GROUP_PRODUCE is durable or nothing: acks must be 2");
    enum error code = produce_admit(s, &body.produce, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    if (!group_room(s, body.produce.count, reader_left(&body.produce.batches),
                    body.count * (uint32_t)GROUP_RANGE_BYTES))
        return api_park(s);
    struct seat *seat = request_seat(s, rq, body.member);
    if (!seat)
        return NET_TAKEN;
    member_spoke(seat->member);
    /* All questions first: then nothing can be refused any more. */
    code = ranges_call(seat->member, body.ranges, body.count, group_ack_check, why);
    if (code != ERR_OK)
        return ack_refuse(s, rq, code, why);
    code = produce_check_all(s, &body.produce, &items, why);
    if (code != ERR_OK) {
        produce_refuse_checked(s, rq, true, &body.produce, code, why);
        produce_drop(s);
        return NET_TAKEN;
    }
    const uint32_t rows_bytes = body.produce.count * (uint32_t)sizeof(struct wire_produced);
    struct wire_produced *rows = mem_alloc(MEM_API, rows_bytes);
    produce_append_all(s, items, body.produce.count, rows);
    CHECK(ranges_call(seat->member, body.ranges, body.count, group_ack, why) == ERR_OK);
    uint8_t *bytes = mem_alloc(MEM_API, rows_bytes + 8);
    struct writer w = writer_of(bytes, rows_bytes + 8);
    wire_put_produced(&w, rows, body.produce.count);
    group_reply_durable(s, rq, &w);
    mem_free(MEM_API, bytes, rows_bytes + 8);
    mem_free(MEM_API, rows, rows_bytes);
    return NET_TAKEN;
}
