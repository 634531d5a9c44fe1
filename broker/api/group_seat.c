/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_seat.c: members on their connections, and what the coordinator has them told.
 *
 * What changed for a member is gathered as rows and told once, at the end of the turn; never before the reply
 * to its GROUP_JOIN, which waits for the journal.
 */
#include <stdio.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    CHANGE_BYTES = 32 + TOPIC_NAME_MAX, /* a row of GROUP_ASSIGN */
};

/* ---- seats ---- */

struct seat *seat_of(const struct member *m)
{
    return m->door;
}

struct seat *seat_find(const struct session *s, uint32_t handle)
{
    LIST_FOR_EACH (node, &s->seats) {
        struct seat *seat = CONTAINER_OF(node, struct seat, link);
        if (seat->handle == handle)
            return seat;
    }
    return NULL;
}

void seat_free(struct seat *seat)
{
    list_remove(&seat->link);
    list_remove(&seat->change_link);
    list_remove(&seat->joining_link);
    mem_free(MEM_API, seat->changes, seat->change_room);
    seat->session->seat_count--;
    mem_free(MEM_API, seat, sizeof(*seat));
}

void group_session_closed(struct session *s)
{
    group_deliver_session_closed(s);
    while (!list_empty(&s->seats)) {
        struct seat *seat = CONTAINER_OF(s->seats.next, struct seat, link);
        if (seat->member)
            member_detach(seat->member);
        seat_free(seat);
    }
}

void group_joined(struct api *api, uint64_t sequence)
{
    while (!list_empty(&api->door.joining)) {
        struct seat *seat = CONTAINER_OF(api->door.joining.next, struct seat, joining_link);
        if (seat->joined_sequence > sequence)
            return;
        list_remove(&seat->joining_link);
        if (seat->member)
            member_room(seat->member);
    }
}

/* ---- pushes ---- */

/* One GROUP_ASSIGN; in several only when there are more rows than a count can say. */
static void seat_tell(struct seat *seat)
{
    struct reader rows = reader_of(seat->changes, seat->change_bytes);
    do {
        const uint8_t *from = rows.at;
        struct wire_group_change_row row;
        uint16_t count = 0;
        for (; count < UINT16_MAX && reader_left(&rows) > 0; count++)
            wire_get_group_change_row(&rows, &row);
        const uint32_t bytes = WIRE_HEADER + 6 + (uint32_t)(rows.at - from);
        struct writer w = writer_of(conn_reserve(seat->session->conn, bytes), bytes);
        uint8_t *frame = wire_frame_begin(&w);
        write_u32(&w, seat->member->group->generation);
        write_u16(&w, count);
        write_raw(&w, from, (uint32_t)(rows.at - from));
        CHECK(wire_frame_end(&w, frame, WIRE_OP_GROUP_ASSIGN, WIRE_PUSH, seat->handle) == bytes);
        conn_commit(seat->session->conn, bytes);
    } while (reader_left(&rows) > 0);
    mem_free(MEM_API, seat->changes, seat->change_room);
    seat->changes = NULL;
    seat->change_bytes = seat->change_room = 0;
}

void group_tell_changes(struct api *api)
{
    LIST_FOR_EACH_SAFE (node, &api->door.changed) {
        struct seat *seat = CONTAINER_OF(node, struct seat, change_link);
        if (list_linked(&seat->joining_link))
            continue;
        list_remove(node);
        seat_tell(seat);
    }
}

/* Notes a row of the next GROUP_ASSIGN. */
static void seat_change(struct member *m, const struct gp *gp, enum wire_group_change kind, uint64_t offset)
{
    struct seat *seat = seat_of(m);
    if (!seat)
        return;
    if (seat->change_room - seat->change_bytes < CHANGE_BYTES) {
        const uint32_t room = seat->change_room ? 2 * seat->change_room : 4 * CHANGE_BYTES;
        seat->changes = mem_realloc(MEM_API, seat->changes, seat->change_room, room);
        seat->change_room = room;
    }
    struct writer w = writer_of(seat->changes + seat->change_bytes, CHANGE_BYTES);
    const struct wire_group_change_row row = {
        .kind = (uint8_t)kind,
        .assignment = gp->id,
        .epoch = gp->epoch,
        .partition = gp->number,
        .offset = offset,
        .topic = kind == WIRE_GROUP_ASSIGNED
                     ? (struct bytes){ (const uint8_t *)gp->topic->name, gp->topic->name_len }
                     : bytes_of(""),
    };
    wire_put_group_change_row(&w, &row);
    CHECK(!w.bad);
    seat->change_bytes += writer_len(&w);
    if (!list_linked(&seat->change_link))
        list_append(&seat->session->api->door.changed, &seat->change_link);
}

static void seat_end(struct member *m, enum error code, const char *why)
{
    struct seat *seat = seat_of(m);
    if (!seat)
        return;
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(why) };
    const uint32_t bytes = WIRE_HEADER + 4 + body.text.len;
    struct writer w = writer_of(conn_reserve(seat->session->conn, bytes), bytes);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &body);
    CHECK(wire_frame_end(&w, frame, WIRE_OP_GROUP_END, WIRE_PUSH, seat->handle) == bytes);
    conn_commit(seat->session->conn, bytes);
    seat->member = NULL;
    seat_free(seat);
}

/* ---- what the coordinator says ---- */

static void door_assigned(void *ctx, struct member *m, struct gp *gp)
{
    seat_change(m, gp, WIRE_GROUP_ASSIGNED, progress_position(gp->progress));
    group_deliver_ready(ctx, gp);
}

static void door_revoked(void *ctx, struct member *m, struct gp *gp)
{
    (void)ctx;
    seat_change(m, gp, WIRE_GROUP_REVOKED, progress_position(gp->progress));
}

static void door_rewound(void *ctx, struct member *m, struct gp *gp, uint64_t offset)
{
    seat_change(m, gp, WIRE_GROUP_REWOUND, offset);
    group_deliver_ready(ctx, gp);
}

static void door_ended(void *ctx, struct member *m, enum error code, const char *why)
{
    (void)ctx;
    seat_end(m, code, why);
}

static void door_ready(void *ctx, struct gp *gp)
{
    group_deliver_ready(ctx, gp);
}

static void door_give_up(void *ctx, struct gp *gp, uint64_t offset, const struct failure *why)
{
    (void)why; /* asked for again when the event was read */
    group_dead_start(ctx, gp, offset);
}

static void door_gone(void *ctx, struct gp *gp)
{
    group_dead_gone(ctx, gp);
    group_deliver_gone(ctx, gp);
}

struct groups_events api_groups_events(struct api *api)
{
    return (struct groups_events){ .ctx = api,
                                   .assigned = door_assigned,
                                   .revoked = door_revoked,
                                   .rewound = door_rewound,
                                   .ended = door_ended,
                                   .ready = door_ready,
                                   .give_up = door_give_up,
                                   .gone = door_gone };
}
