/* SPDX-License-Identifier: Apache-2.0 */
#include "api_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "group/group.h"
#include "io/file.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "io_sim.h"

/* The frame that waits after NET_LATER. */
static uint8_t rig_waiting[API_RIG_CONNS][1 << 20];
static uint32_t rig_waiting_bytes[API_RIG_CONNS];
static uint8_t rig_scratch[1 << 20];
static struct api_rig *rig_now;

/* ---- what the api calls ---- */

static struct api_rig_conn *rig_conn(const struct conn *c)
{
    return (struct api_rig_conn *)(uintptr_t)c;
}

uint64_t conn_id(const struct conn *c)
{
    return (uint64_t)c->generation << 32 | c->slot;
}

struct conn *net_find(struct net *net, uint64_t id)
{
    (void)net;
    struct api_rig_conn *c = &rig_now->conns[(uint32_t)id % API_RIG_CONNS];
    return c->used && c->conn.generation == id >> 32 && c->conn.state == CONN_OPEN ? &c->conn : NULL;
}

uint8_t *conn_reserve(struct conn *conn, uint32_t bytes)
{
    struct api_rig_conn *c = rig_conn(conn);
    CHECK(bytes <= sizeof(rig_scratch));
    if (conn->state != CONN_OPEN)
        return rig_scratch;
    CHECK(c->out_bytes + bytes <= API_RIG_OUT);
    c->reserved = bytes;
    return c->out + c->out_bytes;
}

void conn_commit(struct conn *conn, uint32_t bytes)
{
    struct api_rig_conn *c = rig_conn(conn);
    if (conn->state != CONN_OPEN)
        return;
    CHECK(bytes <= c->reserved);
    c->reserved = 0;
    c->out_bytes += bytes;
}

void conn_write(struct conn *conn, const void *bytes, uint32_t len)
{
    memcpy(conn_reserve(conn, len), bytes, len);
    conn_commit(conn, len);
}

void conn_lend(struct conn *conn, const uint8_t *data, uint32_t bytes, void *pin)
{
    if (conn->state != CONN_OPEN) {
        rig_now->events.on_unlent(rig_now->events.ctx, data, bytes, pin);
        return;
    }
    conn_write(conn, data, bytes);
    CHECK(rig_now->lent_count < API_RIG_LENT);
    rig_now->lent[rig_now->lent_count].data = data;
    rig_now->lent[rig_now->lent_count].bytes = bytes;
    rig_now->lent[rig_now->lent_count++].pin = pin;
    rig_now->lent_bytes += bytes;
}

bool conn_out_room(const struct conn *conn)
{
    (void)conn;
    return !rig_now->no_send_room;
}

void conn_want_drained(struct conn *conn)
{
    conn->out.want_drained = true;
}

bool net_send_room(const struct net *net)
{
    (void)net;
    return !rig_now->no_send_room && rig_now->lent_count < API_RIG_LENT / 2;
}

void net_short(struct net *net)
{
    (void)net;
}

void conn_error(struct conn *conn, uint16_t op, uint32_t request_id, enum error code, const char *text)
{
    const struct wire_error body = { .code = (uint16_t)code, .text = bytes_of(text) };
    struct writer w = writer_of(conn_reserve(conn, 4096), 4096);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &body);
    const uint32_t bytes = wire_frame_end(&w, frame, op, WIRE_REPLY | WIRE_ERROR, request_id);
    CHECK(bytes);
    conn_commit(conn, bytes);
}

void conn_end(struct conn *conn)
{
    conn->state = CONN_FLUSHING;
}

void conn_close(struct conn *conn)
{
    conn->state = CONN_CLOSING;
}

void conn_resume(struct conn *conn)
{
    struct api_rig_conn *c = rig_conn(conn);
    CHECK(c->later);
    c->later = false;
    if (conn->state == CONN_OPEN)
        (void)api_rig_frame(rig_now, c, rig_waiting[conn->slot], rig_waiting_bytes[conn->slot]);
}

const struct net_stats *net_stats(struct net *net)
{
    static const struct net_stats NONE;
    (void)net;
    return &NONE;
}

void net_stats_visit(struct net *net, stat_visit visit, void *ctx)
{
    (void)net;
    visit(ctx, "net", "connections", STAT_GAUGE, 1);
}

/* ---- life ---- */

static void rig_failed(void *ctx, const char *text)
{
    struct api_rig *rig = ctx;
    rig->failed = true;
    api_failed(rig->api, text);
}

static void rig_durable(void *ctx, uint64_t sequence)
{
    struct api_rig *rig = ctx;
    api_durable(rig->api, sequence);
    if (rig->other.durable)
        rig->other.durable(rig->other.ctx, sequence);
}

static void rig_room(void *ctx)
{
    struct api_rig *rig = ctx;
    api_room(rig->api);
    if (rig->other.room)
        rig->other.room(rig->other.ctx);
}

static void rig_options(struct store_options *o)
{
    *o = (struct store_options){ .data_dir = "/data",
                                 .partitions_default = 3,
                                 .topics_max = 200,
                                 .partitions_max = 1000,
                                 .topic_partitions_max = 64,
                                 .batch_bytes_max = 64 << 10,
                                 .request_bytes_max = 256 << 10,
                                 .producers_max = 64,
                                 .tail_bytes_max = 1 << 20,
                                 .history_bytes_max = 4 << 20,
                                 .journal_file_bytes = 4 << 20,
                                 .journal_files_max = 4,
                                 .journal_writes_max = 2,
                                 .flush_writes_max = 4 };
    settings_init(&o->topic_defaults);
    o->topic_defaults.segment_bytes = 1 << 20;
    o->topic_defaults.max_message_bytes = 64 << 10;
}

void api_rig_open(struct api_rig *rig)
{
    const struct io_options io_options = { .entries = 256 };
    const struct api_options options = { .frame_bytes_max = 256 << 10,
                                         .batch_bytes_max = 64 << 10,
                                         .inflight_bytes_max = 2 << 20,
                                         .connection_inflight_bytes_max = 512 << 10,
                                         .connection_topics_max = 16,
                                         .connection_subscriptions_max = 64,
                                         .connection_fetches_max = 32,
                                         .connection_members_max = 16,
                                         .history_bytes_max = 4 << 20,
                                         .auto_create = true };
    struct store_options store_options;
    struct store_report report;
    memset(rig, 0, sizeof(*rig));
    rig_now = rig;
    rig_options(&store_options);
    io_sim_clock(&rig->clock);
    CHECK(io_create(&rig->io, &io_options, rig->why, sizeof(rig->why)) == 0);
    CHECK(work_create(&rig->work, rig->io, 2) == 0);
    rig->timers = timers_create(rig->clock.mono_ns);
    rig->api = api_create(&options, rig->timers, &rig->clock);
    rig->events = api_net_events(rig->api);
    struct groups_options groups_options = { .groups_max = 32,
                                             .members_max = 32,
                                             .topics_max = 16,
                                             .partitions_max = 1000,
                                             .items_max = 10000,
                                             .batch_bytes_max = 64 << 10,
                                             .seed = 1 };
    group_settings_init(&groups_options.defaults);
    const struct groups_events groups_events = api_groups_events(rig->api);
    rig->groups = groups_create(&groups_options, rig->timers, &rig->clock, &groups_events);
    rig->registry = registry_create(1, &rig->clock);
    rig->states[0] = *groups_store_state(rig->groups);
    rig->states[1] = *registry_store_state(rig->registry);
    store_options.states = rig->states;
    store_options.state_count = 2;
    const struct store_events events = { rig, rig_durable, rig_room, rig_failed };
    CHECK(store_open(&rig->store, &store_options, rig->io, rig->work, rig->timers, &rig->clock, &events,
                     &report, rig->why) == 0);
    const struct api_extra extra = { 0 };
    groups_attach(rig->groups, rig->store);
    api_attach(rig->api, rig->store, NULL, rig->groups, &extra, report.broker_id);
    registry_attach(rig->registry, rig->store);
    api_attach_registry(rig->api, rig->registry);
    memcpy(rig->broker_id, report.broker_id, sizeof(rig->broker_id));
}

void api_rig_turn(struct api_rig *rig)
{
    const uint64_t wait = timers_wait(rig->timers, rig->clock.mono_ns);
    const bool busy = api_busy(rig->api) || groups_busy(rig->groups) ||
                      (rig->other.busy && rig->other.busy(rig->other.ctx));
    io_turn(rig->io, busy ? 0 : wait < 1000000 ? wait : 1000000, true);
    clock_update(&rig->clock);
    work_collect(rig->work);
    timers_fire(rig->timers, rig->clock.mono_ns);
    api_turn_begin(rig->api);
    if (rig->other.turn_begin)
        rig->other.turn_begin(rig->other.ctx);
    groups_turn_begin(rig->groups);
    groups_turn_end(rig->groups);
    store_turn_end(rig->store);
    api_turn_end(rig->api);
}

void api_rig_turns(struct api_rig *rig, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++)
        api_rig_turn(rig);
}

void api_rig_drain(struct api_rig *rig)
{
    const uint32_t count = rig->lent_count;
    rig->lent_count = 0;
    rig->lent_bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        rig->events.on_unlent(rig->events.ctx, rig->lent[i].data, rig->lent[i].bytes, rig->lent[i].pin);
    for (uint32_t i = 0; i < API_RIG_CONNS; i++) {
        struct api_rig_conn *c = &rig->conns[i];
        if (c->used && c->conn.state == CONN_OPEN && c->conn.out.want_drained && !rig->no_send_room) {
            c->conn.out.want_drained = false;
            rig->events.on_drained(rig->events.ctx, &c->conn);
        }
    }
}

void api_rig_close(struct api_rig *rig)
{
    for (uint32_t i = 0; i < API_RIG_CONNS; i++) {
        if (rig->conns[i].used)
            api_rig_disconnect(rig, &rig->conns[i]);
    }
    api_drain(rig->api);
    while (!api_drained(rig->api))
        api_rig_turn(rig);
    api_rig_drain(rig);
    store_stop(rig->store);
    while (!store_stopped(rig->store) || !api_idle(rig->api))
        api_rig_turn(rig);
    api_destroy(rig->api);
    groups_destroy(rig->groups);
    registry_destroy(rig->registry);
    store_destroy(rig->store);
    while (work_pending(rig->work)) {
        io_turn(rig->io, 1000000, true);
        work_collect(rig->work);
    }
    work_destroy(rig->work);
    timers_destroy(rig->timers);
    io_destroy(rig->io);
}

/* ---- connections ---- */

struct api_rig_conn *api_rig_connect(struct api_rig *rig, bool hello)
{
    uint32_t i = 0;
    while (i < API_RIG_CONNS && rig->conns[i].used)
        i++;
    CHECK(i < API_RIG_CONNS);
    struct api_rig_conn *c = &rig->conns[i];
    const uint32_t generation = c->conn.generation + 1;
    *c = (struct api_rig_conn){ .used = true, .out = malloc(API_RIG_OUT) };
    CHECK(c->out);
    c->conn.slot = i;
    c->conn.generation = generation;
    rig->events.on_open(rig->events.ctx, &c->conn);
    if (hello) {
        uint8_t body[128];
        const struct wire_hello h = { .magic = WIRE_MAGIC,
                                      .version_min = 1,
                                      .version_max = 1,
                                      .client = bytes_of("rig"),
                                      .client_version = bytes_of("1") };
        struct writer w = writer_of(body, sizeof(body));
        struct wire_header reply;
        struct reader r;
        wire_put_hello(&w, &h);
        CHECK(api_rig_request(rig, c, WIRE_OP_HELLO, 0, body, writer_len(&w)) == NET_TAKEN);
        CHECK(api_rig_reply(c, &reply, &r) && reply.flags == WIRE_REPLY);
    }
    return c;
}

void api_rig_disconnect(struct api_rig *rig, struct api_rig_conn *c)
{
    c->conn.state = CONN_CLOSED;
    rig->events.on_closed(rig->events.ctx, &c->conn);
    free(c->out);
    c->out = NULL;
    c->used = false;
}

enum net_take api_rig_frame(struct api_rig *rig, struct api_rig_conn *c, const void *frame, uint32_t bytes)
{
    CHECK(!c->later && bytes <= sizeof(rig_waiting[0]));
    /* Memory of its own: a read behind the frame is found. */
    uint8_t *copy = malloc(bytes);
    CHECK(copy);
    memcpy(copy, frame, bytes);
    const enum net_take take = rig->events.on_frame(rig->events.ctx, &c->conn, copy, bytes);
    if (take == NET_LATER) {
        c->later = true;
        memcpy(rig_waiting[c->conn.slot], copy, bytes);
        rig_waiting_bytes[c->conn.slot] = bytes;
    }
    free(copy);
    return take;
}

enum net_take api_rig_request(struct api_rig *rig, struct api_rig_conn *c, uint16_t op, uint32_t id,
                              const void *body, uint32_t bytes)
{
    uint8_t *frame = malloc(WIRE_HEADER + bytes);
    CHECK(frame);
    const struct wire_header h = { WIRE_HEADER + bytes, op, 0, id };
    memcpy(frame, &h, sizeof(h));
    if (bytes)
        memcpy(frame + WIRE_HEADER, body, bytes);
    const enum net_take take = api_rig_frame(rig, c, frame, WIRE_HEADER + bytes);
    free(frame);
    return take;
}

bool api_rig_reply(struct api_rig_conn *c, struct wire_header *h, struct reader *body)
{
    if (c->taken == c->out_bytes)
        return false;
    CHECK(wire_header_decode(h, c->out + c->taken, c->out_bytes - c->taken));
    CHECK(h->size >= WIRE_HEADER && h->size <= c->out_bytes - c->taken);
    *body = reader_of(c->out + c->taken + WIRE_HEADER, h->size - WIRE_HEADER);
    c->taken += h->size;
    return true;
}
