/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of Kafka clients: any bodies, and such as their layouts allow, on two connections, into the Kafka
 * door on a real store on a simulated disk. Each is answered in its order or ends its connection, nothing
 * crashes, and everything can be closed down without anything left behind.
 *
 *   input: repeated: u8 what (bit 0: connection, bit 1: a body made after the layout, bit 2: reconnect, bits
 *   4-7: turns), u8 key (or row of the table), u8 version, u8 length / 2, that many bytes: the body, or what
 * its fields are drawn from
 */
#include "fuzz.h"

#include <string.h>

#include "api_rig.h"
#include "base/diag.h"
#include "group/classic.h"
#include "io_sim.h"
#include "kafka/kafka_own.h"

enum { FRAME_BYTES = 8192, ARRAY_MOST = 3 };

static struct api_rig rig;
static struct kafka *kafka;

/* ---- bodies after a layout ---- */

struct source {
    const uint8_t *at, *end;
};

static uint8_t draw(struct source *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static const struct classic_member *some_member(void)
{
    const struct group *g = group_find(rig.groups, bytes_of("g"));
    return g ? classic_member_next(g, NULL) : NULL;
}

/* Such as make sense sometimes. */
static struct bytes draw_text(struct source *s, bool nullable)
{
    static const char *const TEXTS[] = { "", "g", "orders", "consumer", "range", "h", "x", "events" };
    const uint8_t which = draw(s) % 12;
    const struct classic_member *m = some_member();
    if (which < 8)
        return bytes_of(TEXTS[which]);
    if (which == 8 && nullable)
        return (struct bytes){ 0 };
    if (which < 11 && m)
        return bytes_of(m->id);
    const uint8_t len = draw(s);
    const uint32_t left = (uint32_t)(s->end - s->at);
    const struct bytes raw = { s->at, len < left ? len : left };
    s->at += raw.len;
    return raw.len ? raw : bytes_of("");
}

static int64_t draw_number(struct source *s)
{
    const uint8_t which = draw(s);
    const struct classic_member *m = some_member();
    if (which < 192)
        return which % 8;
    if (which < 208 && m)
        return m->group->generation;
    if (which < 224)
        return 6000;
    return (int64_t)(((uint64_t)draw(s) << (draw(s) % 64)) - (which & 1));
}

static void put_scalar(struct kafka_out *out, struct source *s, char kind)
{
    switch (kind) {
    case 'b':
        kafka_put_i8(out, (int8_t)draw_number(s));
        return;
    case 'h':
        kafka_put_i16(out, (int16_t)draw_number(s));
        return;
    case 'i':
        kafka_put_i32(out, (int32_t)draw_number(s));
        return;
    case 'l':
        kafka_put_i64(out, draw_number(s));
        return;
    case 's':
    case 'S':
        kafka_put_string(out, draw_text(s, kind == 'S'));
        return;
    default:
        kafka_put_bytes(out, draw_text(s, kind == 'Y'));
        return;
    }
}

static const char *put_fields(struct kafka_out *out, struct source *s, const char *at);

static const char *behind(const char *at)
{
    for (uint32_t depth = 1; depth; at++) {
        depth += strchr("[{<(", *at) != NULL;
        depth -= strchr("]}>)", *at) != NULL;
    }
    return at;
}

static const char *put_array(struct kafka_out *out, struct source *s, char kind, const char *at)
{
    const uint8_t which = draw(s);
    const bool null = (kind == '{' || kind == '(') && which == 255;
    const int32_t count = null ? -1 : which % (ARRAY_MOST + 1);
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count && out->len < FRAME_BYTES / 2; i++) {
        if (kind == '[' || kind == '{')
            (void)put_fields(out, s, at);
        else
            put_scalar(out, s, *at);
    }
    return behind(at);
}

static const char *put_fields(struct kafka_out *out, struct source *s, const char *at)
{
    while (*at && *at != ']' && *at != '}') {
        int min = 0, max = INT16_MAX;
        if (*at == ' ') {
            at++;
            continue;
        }
        if (*at >= '0' && *at <= '9') {
            for (min = 0; *at >= '0' && *at <= '9'; at++)
                min = min * 10 + (*at - '0');
            if (*at == '-')
                for (max = 0, at++; *at >= '0' && *at <= '9'; at++)
                    max = max * 10 + (*at - '0');
            at++;
        }
        const bool there = out->version >= min && out->version <= max;
        const char kind = *at++;
        if (strchr("[{<(", kind))
            at = there ? put_array(out, s, kind, at) : behind(at);
        else if (there)
            put_scalar(out, s, kind);
    }
    kafka_put_tags(out);
    return at;
}

/* ---- requests and replies ---- */

static void request(struct api_rig_conn *c, const struct kafka_api *api, int16_t version, int32_t correlation,
                    struct source body, bool by_layout)
{
    struct kafka_out out = { .version = version, .flexible = version >= api->flexible };
    kafka_put_i32(&out, 0);
    kafka_put_i16(&out, api->key);
    kafka_put_i16(&out, version);
    kafka_put_i32(&out, correlation);
    const bool flexible = out.flexible;
    out.flexible = false; /* the client's name never is */
    kafka_put_text(&out, "fuzz");
    out.flexible = flexible;
    kafka_put_tags(&out);
    if (by_layout)
        (void)put_fields(&out, &body, api->layout);
    else if (body.end > body.at)
        memcpy(kafka_put_space(&out, (uint32_t)(body.end - body.at)), body.at, (size_t)(body.end - body.at));
    be32_store(out.at, out.len - 4);
    (void)api_rig_frame(&rig, c, out.at, out.len);
    kafka_out_free(&out);
}

/* Frames whose correlation ids rise: some requests have no answer, none is answered twice or too early. */
static void look_at_replies(struct api_rig_conn *c, int32_t *last)
{
    while (c->taken < c->out_bytes) {
        FUZZ_CHECK(c->out_bytes - c->taken >= 8);
        const uint32_t size = be32_load(c->out + c->taken);
        FUZZ_CHECK(size >= 4 && size <= c->out_bytes - c->taken - 4);
        const int32_t correlation = (int32_t)be32_load(c->out + c->taken + 4);
        FUZZ_CHECK(correlation > *last);
        *last = correlation;
        c->taken += 4 + size;
    }
    c->taken = c->out_bytes = 0;
}

/* ---- life ---- */

static bool other_busy(void *ctx)
{
    return kafka_busy(ctx);
}

static void other_turn_begin(void *ctx)
{
    kafka_turn_begin(ctx);
}

static struct net_events start(void)
{
    const struct kafka_options options = { .request_bytes_max = 256 << 10,
                                           .produce_bytes_max = 256 << 10,
                                           .inflight_bytes_max = 2 << 20,
                                           .connection_inflight_bytes_max = 512 << 10,
                                           .auto_create = true };
    const struct listener_address address = { .protocol = LISTENER_KAFKA,
                                              .advertised_host = "broker",
                                              .advertised_port = 9092 };
    api_rig_open(&rig);
    const struct net_events native = rig.events;
    kafka = kafka_create(&options, rig.timers, &rig.clock);
    kafka_attach(kafka, rig.store, NULL, rig.groups, rig.broker_id);
    rig.events = kafka_door(kafka, &address)->events;
    rig.other = (struct api_rig_other){ kafka, kafka_durable, kafka_room, other_turn_begin, other_busy };
    return native;
}

static void stop(struct api_rig_conn **conns, struct net_events native)
{
    for (int i = 0; i < 2; i++)
        api_rig_disconnect(&rig, conns[i]);
    kafka_drain(kafka);
    api_rig_drain(&rig);
    while (!kafka_drained(kafka) || !kafka_idle(kafka))
        api_rig_turn(&rig);
    api_rig_drain(&rig);
    kafka_destroy(kafka);
    rig.other = (struct api_rig_other){ 0 };
    rig.events = native;
    api_rig_close(&rig);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    diag_set_level(DIAG_ERROR);
    io_sim_start(&(struct io_sim_options){ .seed = 1 });
    const struct net_events native = start();
    struct api_rig_conn *conns[2] = { api_rig_connect(&rig, false), api_rig_connect(&rig, false) };
    int32_t last[2] = { 0, 0 };
    uint32_t rows = 0;
    while (kafka_api_row(rows))
        rows++;
    const uint8_t *end = data + size;
    for (int32_t frames = 1; end - data >= 4 && frames < 64; frames++) {
        const uint8_t what = data[0];
        const struct kafka_api *api = kafka_api(data[1]);
        if (!api)
            api = kafka_api_row(data[1] % rows);
        const int16_t version = (int16_t)(api->min + data[2] % (api->max - api->min + 1));
        uint32_t bytes = data[3] * 2u;
        data += 4;
        if (bytes > (size_t)(end - data))
            bytes = (uint32_t)(end - data);
        struct api_rig_conn **c = &conns[what & 1];
        if ((what & 4) || !conn_open(&(*c)->conn)) {
            api_rig_disconnect(&rig, *c);
            *c = api_rig_connect(&rig, false);
        }
        if (!(*c)->later)
            request(*c, api, version, frames, (struct source){ data, data + bytes }, what & 2);
        data += bytes;
        if (what & 8)
            api_rig_drain(&rig);
        api_rig_turns(&rig, what >> 4);
        for (int i = 0; i < 2; i++)
            look_at_replies(conns[i], &last[i]);
    }
    stop(conns, native);
    io_sim_end();
}
