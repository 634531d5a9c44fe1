/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_deliver.c: deliveries of groups: what the coordinator offers is read and sent.
 *
 * One offer at a time: whose turn it is, and which events, is asked anew for each frame, so a hundred members
 * share a partition fairly and no decision grows old. Batches go out as they are stored. Of a large batch a
 * member may be allowed a part only; it keeps the batch, and the rest follows as ranges alone.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    FLOW_RANGE_BYTES = 64, /* charged to the turn for a frame without batches */
    FLOW_EVENT_BYTES_MIN =
        64, /* the guess of what an event takes begins with this, and follows what is seen */
};

/* ---- life ---- */

static struct flow *flow_of(struct api *api, struct gp *gp)
{
    if (!gp->door) {
        struct flow *f = mem_zalloc(MEM_API, sizeof(*f));
        list_init(&f->link);
        list_init(&f->reading_link);
        list_init(&f->all_link);
        list_init(&f->holding_link);
        list_append(&api->door.flows, &f->all_link);
        f->api = api;
        f->gp = gp;
        f->event_bytes = FLOW_EVENT_BYTES_MIN;
        gp->door = f;
    }
    return gp->door;
}

static void flow_ready(struct flow *f)
{
    list_remove(&f->link);
    list_append(&f->api->door.ready, &f->link);
}

static void flow_block(struct flow *f)
{
    list_remove(&f->link);
    list_append(&f->api->door.blocked, &f->link);
}

static void flow_drop_history(struct flow *f)
{
    if (f->history)
        shared_unref(f->api, f->history);
    f->history = NULL;
    list_remove(&f->holding_link);
}

static void flow_abandon_reading(struct flow *f)
{
    if (f->reading)
        reading_abandon(f->reading);
    f->reading = NULL;
    list_remove(&f->reading_link);
}

void group_deliver_ready(struct api *api, struct gp *gp)
{
    struct flow *f = flow_of(api, gp);
    if (!f->reading)
        flow_ready(f);
}

void group_deliver_gone(struct api *api, struct gp *gp)
{
    struct flow *f = gp->door;
    (void)api;
    if (!f)
        return;
    list_remove(&f->link);
    list_remove(&f->all_link);
    flow_abandon_reading(f);
    flow_drop_history(f);
    gp->door = NULL;
    mem_free(MEM_API, f, sizeof(*f));
}

void group_deliver_free_all(struct api *api)
{
    while (!list_empty(&api->door.flows))
        group_deliver_gone(api, CONTAINER_OF(api->door.flows.next, struct flow, all_link)->gp);
}

void group_deliver_session_closed(struct session *s)
{
    struct list *node;
    while ((node = list_pop(&s->flows))) {
        struct flow *f = CONTAINER_OF(node, struct flow, reading_link);
        flow_abandon_reading(f);
        flow_ready(f);
    }
}

void group_deliver_drained(struct session *s)
{
    LIST_FOR_EACH (node, &s->seats) {
        struct seat *seat = CONTAINER_OF(node, struct seat, link);
        if (seat->member)
            member_room(seat->member);
    }
}

void group_deliver_give_up_history(struct api *api)
{
    while (!list_empty(&api->door.holding))
        flow_drop_history(CONTAINER_OF(api->door.holding.next, struct flow, holding_link));
}

/* ---- finding the bytes ---- */

/* Whole batches of `data` from the one that holds `offset` on, up to `events` events or `bytes_max` bytes, at
 * least one. */
struct found {
    const uint8_t *data;
    uint32_t bytes;
    uint64_t first, end;           /* offsets that they cover */
    uint64_t last_first, last_end; /* those of the last batch */
};

static bool found_in(const uint8_t *data, uint32_t bytes, uint64_t offset, uint32_t events,
                     uint32_t bytes_max, struct found *out)
{
    uint32_t at = 0;
    *out = (struct found){ 0 };
    while (at < bytes) {
        struct batch b;
        CHECK(batch_decode(&b, data + at, bytes - at)); /* slices hold whole batches */
        const uint64_t first = (uint64_t)b.base_offset;
        const uint64_t end = first + (uint32_t)b.last_offset_delta + 1;
        if (out->data && (first >= offset + events || out->bytes + b.bytes > bytes_max))
            break;
        if (end > offset) {
            if (!out->data) {
                out->data = data + at;
                out->first = first;
            }
            out->bytes += b.bytes;
            out->end = end;
            out->last_first = first;
            out->last_end = end;
        }
        at += b.bytes;
    }
    return out->data != NULL;
}

/* ---- sending ---- */

/* One frame: the range, and the batches unless the member has them. False: the offer no longer stands,
 * nothing was sent. */
static bool flow_send(struct flow *f, struct member *m, const struct offer *o, uint64_t first, uint32_t count,
                      const struct found *batches, void *pin)
{
    if (!group_leased(f->gp, m, o, first, count))
        return false;
    const struct seat *seat = seat_of(m);
    struct conn *c = seat->session->conn;
    struct api *api = f->api;
    uint8_t range[WIRE_GROUP_DELIVERED];
    struct writer rw = writer_of(range, sizeof(range));
    const struct wire_group_delivered row = { first, count, o->attempts };
    wire_put_group_delivered(&rw, &row);
    const struct wire_group_deliver body = { .assignment = f->gp->id,
                                             .epoch = f->gp->epoch,
                                             .end_offset = partition_end(f->gp->partition),
                                             .count = 1,
                                             .ranges = { range, writer_len(&rw) } };
    uint8_t prefix[WIRE_HEADER + 64];
    struct writer w = writer_of(prefix + WIRE_HEADER, sizeof(prefix) - WIRE_HEADER);
    wire_put_group_deliver(&w, &body);
    CHECK(!w.bad);
    const uint32_t prefix_bytes = WIRE_HEADER + writer_len(&w);
    const struct wire_header h = { prefix_bytes + (batches ? batches->bytes : 0), WIRE_OP_GROUP_DELIVER,
                                   WIRE_PUSH, seat->handle };
    memcpy(prefix, &h, sizeof(h));
    conn_write(c, prefix, prefix_bytes);
    if (batches) {
        conn_lend(c, batches->data, batches->bytes, pin);
        f->sent_to = conn_id(c);
        f->sent_handle = seat->handle;
        f->sent_first = batches->last_first;
        f->sent_end = batches->last_end;
        const uint32_t events = (uint32_t)(batches->end - batches->first);
        uint32_t each = batches->bytes / (events ? events : 1);
        f->event_bytes = (3 * f->event_bytes + each) / 4;
        if (f->event_bytes < FLOW_EVENT_BYTES_MIN)
            f->event_bytes = FLOW_EVENT_BYTES_MIN;
        api->stats.bytes_delivered += batches->bytes;
    }
    api->stats.deliveries++;
    return true;
}

/* Events of the offer before `offset` exist no more. */
static void flow_missing(struct flow *f, struct member *m, const struct offer *o, uint64_t offset)
{
    const uint64_t end = o->offset + o->count;
    group_leased(f->gp, m, o, offset < end ? offset : end, 0);
}

/* What of an offer lies in `batches`: its first event there and how many. False: none is left. */
static bool flow_part(struct flow *f, struct member *m, const struct offer *o, const struct found *batches,
                      uint64_t *first, uint32_t *count)
{
    const uint64_t end = o->offset + o->count < batches->end ? o->offset + o->count : batches->end;
    *first = o->offset > batches->first ? o->offset : batches->first;
    if (end <= *first) {
        flow_missing(f, m, o, *first);
        return false;
    }
    *count = (uint32_t)(end - *first);
    return true;
}

/* ---- serving ---- */

struct flow_ask {
    struct api *api;
    bool blocked; /* memory for output is short */
};

static bool flow_can_send(void *ctx, struct member *m)
{
    struct flow_ask *ask = ctx;
    const struct seat *seat = seat_of(m);
    if (!seat || list_linked(&seat->joining_link) || !conn_open(seat->session->conn))
        return false;
    if (!conn_out_room(seat->session->conn)) {
        conn_want_drained(seat->session->conn); /* member_room() then */
        return false;
    }
    if (net_send_room(ask->api->net))
        return true;
    ask->blocked = true;
    return false;
}

static void flow_history_done(void *owner, struct reading *r)
{
    struct flow *f = owner;
    f->reading = NULL;
    list_remove(&f->reading_link);
    if (r->history.error == ERR_OK) {
        flow_drop_history(f);
        f->history = shared_take(r);
        list_append(&f->api->door.holding, &f->holding_link);
    } else if (r->history.error == ERR_SEGMENT_CORRUPT) {
        /* Nobody can read it: the group goes on behind it. The damage was reported by name when it was met.
         */
        f->lost_end =
            r->history.next_offset > f->reading_offset ? r->history.next_offset : f->reading_offset + 1;
    }
    /* Out of range, or gone: memory is asked again and says so. */
    flow_ready(f);
}

static uint32_t flow_bytes_max(const struct flow *f, const struct seat *seat, const struct offer *o)
{
    const uint64_t guess = (uint64_t)o->count * f->event_bytes;
    const uint32_t most = seat->bytes_max < API_SLICE_BYTES ? seat->bytes_max : API_SLICE_BYTES;
    return guess < most ? (uint32_t)guess : most;
}

/* More of the batch that this member has already. */
static bool flow_serve_sent(struct flow *f, struct member *m, const struct offer *o)
{
    const struct seat *seat = seat_of(m);
    if (f->sent_to != conn_id(seat->session->conn) || f->sent_handle != seat->handle ||
        o->offset < f->sent_first || o->offset >= f->sent_end)
        return false;
    const uint64_t left = f->sent_end - o->offset;
    (void)flow_send(f, m, o, o->offset, o->count < left ? o->count : (uint32_t)left, NULL, NULL);
    return true; /* an offer that stands no more is made anew */
}

/* From what was read from segments. False: it does not hold the offer. */
static bool flow_serve_history(struct flow *f, struct member *m, const struct offer *o, uint32_t *bytes)
{
    struct found found;
    if (!f->history)
        return false;
    const struct slice *slice = &f->history->slice;
    if ((uint64_t)batch_base_offset(slice->data) > o->offset ||
        !found_in(slice->data, slice->bytes, o->offset, o->count, flow_bytes_max(f, seat_of(m), o), &found)) {
        flow_drop_history(f);
        return false;
    }
    uint64_t first;
    uint32_t count;
    if (!flow_part(f, m, o, &found, &first, &count))
        return true;
    void *pin = shared_pin(f->history);
    if (flow_send(f, m, o, first, count, &found, pin)) {
        *bytes = found.bytes;
        f->api->stats.history_deliveries++;
    } else {
        shared_unref(f->api, f->history);
    }
    return true;
}

/* Starts a read of segments on the account of whoever will get it. */
static void flow_read(struct flow *f, struct member *m, const struct offer *o)
{
    struct session *s = seat_of(m)->session;
    if (!reading_may(s)) {
        flow_block(f);
        return;
    }
    f->reading_offset = o->offset;
    f->reading =
        reading_history(s->api, s, f->gp->partition, o->offset, API_HISTORY_BYTES, f, flow_history_done);
    list_append(&s->flows, &f->reading_link);
}

/* From memory, or by starting a read. Returns bytes sent. */
static uint32_t flow_serve_memory(struct flow *f, struct member *m, const struct offer *o)
{
    struct slice slice = { 0 };
    struct found found;
    uint64_t first;
    uint32_t count;
    if (f->cursor.offset != o->offset)
        f->cursor = (struct cursor){ .offset = o->offset };
    switch (partition_read(f->gp->partition, &f->cursor, flow_bytes_max(f, seat_of(m), o), &slice)) {
    case READ_DATA:
        flow_ready(f);
        if (found_in(slice.data, slice.bytes, o->offset, o->count, UINT32_MAX, &found) &&
            flow_part(f, m, o, &found, &first, &count) && flow_send(f, m, o, first, count, &found, slice.pin))
            return found.bytes;
        slice_release(f->api->store, &slice);
        return FLOW_RANGE_BYTES;
    case READ_HISTORY:
        flow_read(f, m, o);
        return 0;
    case READ_BELOW: /* retention was faster than the group */
        flow_missing(f, m, o, partition_start(f->gp->partition));
        flow_ready(f);
        return FLOW_RANGE_BYTES;
    case READ_END:
    case READ_ABOVE:
    case READ_GONE:
        return 0; /* the coordinator says when there is something, or that the topic is gone */
    }
    UNREACHABLE();
}

/* One frame. Returns the bytes that it costs the turn; the flow is in its next place then. */
static uint32_t flow_serve(struct flow *f)
{
    struct flow_ask ask = { .api = f->api };
    struct member *m;
    struct offer o;
    uint32_t bytes = FLOW_RANGE_BYTES;
    if (f->reading)
        return 0;
    if (!group_offer(f->gp, flow_can_send, &ask, &m, &o)) {
        if (ask.blocked)
            flow_block(f);
        return 0;
    }
    if (o.offset < f->lost_end && o.offset >= f->reading_offset) {
        flow_missing(f, m, &o, f->lost_end);
        flow_ready(f);
        return bytes;
    }
    if (flow_serve_sent(f, m, &o) || flow_serve_history(f, m, &o, &bytes)) {
        flow_ready(f);
        return bytes;
    }
    return flow_serve_memory(f, m, &o);
}

void group_deliver_turn_end(struct api *api, uint64_t bytes_max)
{
    struct list round;
    list_init(&round);
    if (api->door.retry_blocked)
        list_append_all(&api->door.ready, &api->door.blocked);
    api->door.retry_blocked = false; /* before serving: what comes back meanwhile counts for the next turn */
    for (uint64_t bytes = 0; bytes < bytes_max;) {
        struct list *node = list_pop(&round);
        if (!node) {
            if (list_empty(&api->door.ready))
                return;
            list_append_all(&round, &api->door.ready);
            node = list_pop(&round);
        }
        bytes += flow_serve(CONTAINER_OF(node, struct flow, link));
    }
    list_append_all(&round, &api->door.ready);
    list_append_all(&api->door.ready, &round);
}
