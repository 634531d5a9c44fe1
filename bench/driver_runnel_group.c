/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_runnel_group.c: consuming in a group on the native protocol: one member, every delivery
 * acknowledged as it is read. As many events may be out as the other drivers ask for at once, so that windows
 * are equal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "driver_runnel_own.h"
#include "proto/wire_group.h"

enum { WINDOW = 5000, KEPT_ROOM_MIN = 64, ACK_FRAME = WIRE_HEADER + 8 };

/* The last batch of an assignment: later ranges may lie in it. */
struct kept {
    uint32_t assignment; /* 0: free */
    uint32_t bytes, room;
    uint8_t *batch;
};

static struct kept *kept_of(struct runnel_link *r, uint32_t assignment)
{
    uint32_t i = assignment * 2654435769u & (r->kept_room - 1);
    for (uint32_t tries = 0; tries < r->kept_room; tries++, i = (i + 1) & (r->kept_room - 1)) {
        if (r->kept[i].assignment == assignment)
            return &r->kept[i];
        if (!r->kept[i].assignment) {
            r->kept[i].assignment = assignment;
            return &r->kept[i];
        }
    }
    return NULL;
}

static bool keep(struct kept *k, const uint8_t *batch, uint32_t bytes)
{
    if (bytes > k->room) {
        free(k->batch);
        k->batch = malloc(bytes);
        k->room = k->batch ? bytes : 0;
    }
    if (!k->batch)
        return false;
    memcpy(k->batch, batch, bytes);
    k->bytes = bytes;
    return true;
}

/* ---- deliveries ---- */

/* The records of a batch that lie in [first, end). */
static bool take_range(struct runnel_link *r, const struct batch *b, uint64_t first, uint64_t end)
{
    struct record_iter it;
    struct record record;
    int more;
    record_iter_init(&it, b, (struct bytes){ b->at + BATCH_HEADER, b->bytes - BATCH_HEADER });
    while ((more = record_next(&it, &record)) > 0 && (uint64_t)record.offset < end) {
        if ((uint64_t)record.offset >= first)
            r->link.sink->event(&r->link, record.value.at, record.value.len, r->stream.now_ns);
    }
    return more >= 0;
}

static bool take_batches(struct runnel_link *r, const uint8_t *at, uint32_t bytes, uint64_t first,
                         uint64_t end)
{
    struct batch b;
    for (uint32_t done = 0; done < bytes; done += b.bytes) {
        if (!batch_decode(&b, at + done, bytes - done))
            return false;
        if ((uint64_t)b.base_offset < end && (uint64_t)batch_end_offset(b.at) > first &&
            !take_range(r, &b, first, end))
            return false;
    }
    return true;
}

/* The last batch of some. */
static bool last_batch(const uint8_t *at, uint32_t bytes, struct bytes *out)
{
    struct batch b;
    for (uint32_t done = 0; done < bytes; done += b.bytes) {
        if (!batch_decode(&b, at + done, bytes - done))
            return false;
        *out = (struct bytes){ b.at, b.bytes };
    }
    return true;
}

static bool acknowledge(struct runnel_link *r, const struct wire_group_deliver *d)
{
    const uint32_t room = ACK_FRAME + d->count * WIRE_GROUP_RANGE;
    uint8_t *at = stream_space(&r->stream, room);
    if (!at)
        return link_fail(&r->link, "runnel: no room for an acknowledgement");
    struct writer w = writer_of(at, room);
    uint8_t *frame = wire_frame_begin(&w);
    write_u32(&w, r->member);
    write_u8(&w, 0);
    write_u8(&w, 0);
    write_u16(&w, d->count);
    for (uint16_t i = 0; i < d->count; i++) {
        const struct wire_group_delivered row = wire_group_delivered_at(d->ranges, i);
        const struct wire_group_range range = { d->assignment, d->epoch, row.first, row.count };
        wire_put_group_range(&w, &range);
    }
    stream_commit(&r->stream, wire_frame_end(&w, frame, WIRE_OP_GROUP_ACK, 0, 0));
    return true;
}

bool wire_member_deliver(struct runnel_link *r, struct reader body)
{
    struct wire_group_deliver d;
    struct bytes last;
    if (!wire_get_group_deliver(body, &d) || !r->kept)
        return link_fail(&r->link, "runnel: a delivery that cannot be decoded, or was not asked for");
    struct kept *k = kept_of(r, d.assignment);
    const bool fresh = d.batches.len > 0;
    if (!k || (fresh && (!last_batch(d.batches.at, d.batches.len, &last) || !keep(k, last.at, last.len))))
        return link_fail(&r->link, "runnel: a delivered batch cannot be decoded");
    const uint8_t *at = fresh ? d.batches.at : k->batch;
    const uint32_t bytes = fresh ? d.batches.len : k->bytes;
    for (uint16_t i = 0; i < d.count; i++) {
        const struct wire_group_delivered row = wire_group_delivered_at(d.ranges, i);
        if (r->role == ROLE_COUNTER && fresh && i == 0)
            r->link.sink->event(&r->link, at, bytes, r->stream.now_ns);
        else if (r->role != ROLE_COUNTER && !take_batches(r, at, bytes, row.first, row.first + row.count))
            return link_fail(&r->link, "runnel: a delivered record cannot be decoded");
    }
    return acknowledge(r, &d);
}

/* ---- joining ---- */

static void put_delete(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)id;
    wire_put_group_name(w, &(struct wire_group_name){ bytes_of(r->group) });
}

static void put_leave(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)id;
    wire_put_group_leave(w, &(struct wire_group_leave){ r->member, 0 });
}

static void put_set(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)id;
    static const struct wire_group_set none;
    struct wire_group_set set = none;
    set.group = bytes_of(r->group);
    set.create_mode = r->link.target->shared ? WIRE_GROUP_SHARED : WIRE_GROUP_ORDERED;
    set.config_count = 1;
    set.configs[0] = (struct wire_config){ bytes_of("max_in_flight"), bytes_of("5000") };
    static_assert(WINDOW == 5000, "as the text says");
    wire_put_group_set(w, &set);
}

static void put_join(struct writer *w, struct runnel_link *r, enum wire_group_reset reset)
{
    char pattern[256];
    static const struct wire_group_join none;
    struct wire_group_join join = none;
    snprintf(pattern, sizeof(pattern), "%s*", r->link.target->topic);
    join.group = bytes_of(r->group);
    join.host = bytes_of("runnel-bench");
    join.credit_bytes = 1 << 20;
    join.reset = (uint8_t)reset;
    join.topic_count = 1;
    join.topics[0] = bytes_of(pattern);
    wire_put_group_join(w, &join);
}

static void put_join_start(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)id;
    put_join(w, r, WIRE_GROUP_RESET_START);
}

static void put_join_end(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)id;
    put_join(w, r, WIRE_GROUP_RESET_END);
}

bool wire_member_open(struct runnel_link *r, enum from from)
{
    uint32_t room = KEPT_ROOM_MIN;
    while (room < 2 * target_lanes(r->link.target))
        room *= 2;
    r->kept = calloc(room, sizeof(*r->kept));
    r->kept_room = room;
    if (!r->kept)
        return link_fail(&r->link, "runnel: no memory");
    /* One of its own for each link: a group of an earlier pass has read everything already. */
    static unsigned serial;
    snprintf(r->group, sizeof(r->group), "bench-%d-%u", (int)getpid(), serial++);
    return wire_ask_all(r, WIRE_OP_GROUP_SET, 1, put_set) &&
           wire_ask_all(r, WIRE_OP_GROUP_JOIN, 1, from == FROM_START ? put_join_start : put_join_end);
}

void wire_member_close(struct runnel_link *r)
{
    if (r->kept && r->stream.fd >= 0 && !r->link.why[0] && wire_ask(r, WIRE_OP_GROUP_LEAVE, 0, put_leave) &&
        wire_ask(r, WIRE_OP_GROUP_DELETE, 0, put_delete))
        (void)stream_flush(&r->stream);
    for (uint32_t i = 0; i < r->kept_room; i++)
        free(r->kept[i].batch);
    free(r->kept);
}
