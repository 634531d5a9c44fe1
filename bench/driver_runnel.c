/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_runnel.c: Runnel's native protocol, spoken directly on proto/.
 *
 * A request is a copy of one prepared batch, with its stamps, times and checksum written anew: what a
 * producer that reuses its buffers does. Batches carry no producer id. A consumer subscribes to every lane
 * on one connection and gives credit back as it reads; it decodes every record, but does not check the
 * batches' CRC.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "driver_runnel_own.h"
#include "proto/crc32c.h"
#include "proto/wire_group.h"

enum {
    REPLY_TIMEOUT_MS = 30000,
    CREDIT_BYTES = 8 << 20, /* of one lane alone; shared out when there are many */
    CREDIT_BYTES_MIN = 64 << 10,
    CRC_AT = 17,
    CRC_FROM = 21,
    BASE_TIME_AT = 27,
    MAX_TIME_AT = 35,
    PRODUCE_PREFIX = WIRE_HEADER + 4 + 12, /* header, acks and count, handle, partition and size */
    ID_BYTES = 36,                         /* as a UUID has */
};

static struct runnel_link *link_of(struct link *l)
{
    return (struct runnel_link *)l;
}

/* ---- what the broker sends ---- */

static void refuse(struct runnel_link *r, const struct wire_header *h, struct reader body)
{
    struct wire_error e;
    if (!wire_get_error(body, &e)) {
        link_fail(&r->link, "runnel: an error that cannot be decoded");
        return;
    }
    r->refused_code = e.code;
    if (h->op != WIRE_OP_TOPIC_DELETE || e.code != ERR_TOPIC_NOT_FOUND)
        link_fail(&r->link, "runnel: %s: %s: %.*s", wire_op_name(h->op), error_name(e.code),
                  (int)(e.text.len < 180 ? e.text.len : 180), (const char *)e.text.at);
}

static void take_produced(struct runnel_link *r, const struct wire_header *h)
{
    /* Request ids are the low half of ours. */
    uint64_t id = (r->next_id & ~0xffffffffull) | h->request_id;
    if (id >= r->next_id)
        id -= 1ull << 32;
    r->unanswered_bytes -= r->unanswered_bytes < r->frame_bytes ? r->unanswered_bytes : r->frame_bytes;
    r->link.sink->acked(&r->link, id, r->stream.now_ns, !(h->flags & WIRE_ERROR));
}

static bool give_credit(struct runnel_link *r, uint32_t lane, uint32_t bytes)
{
    struct sub *sub = &r->subs[lane];
    sub->owed += bytes;
    if (sub->owed < r->credit / 2)
        return true;
    uint8_t *at = stream_space(&r->stream, FRAME_SMALL);
    if (!at)
        return true; /* with the next delivery, then */
    struct writer w = writer_of(at, FRAME_SMALL);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_credit(&w, &(struct wire_credit){ lane, sub->owed });
    stream_commit(&r->stream, wire_frame_end(&w, frame, WIRE_OP_CREDIT, 0, 0));
    sub->owed = 0;
    return true;
}

static bool take_batch(struct runnel_link *r, struct sub *sub, const uint8_t *at, uint32_t bytes)
{
    struct batch b;
    if (!batch_decode(&b, at, bytes))
        return link_fail(&r->link, "runnel: a delivered batch cannot be decoded");
    struct record_iter it;
    struct record record;
    int more;
    record_iter_init(&it, &b, (struct bytes){ at + BATCH_HEADER, b.bytes - BATCH_HEADER });
    while ((more = record_next(&it, &record)) > 0) {
        if ((uint64_t)record.offset < sub->next)
            continue;
        sub->next = (uint64_t)record.offset + 1;
        r->link.sink->event(&r->link, record.value.at, record.value.len, r->stream.now_ns);
    }
    return more == 0 || link_fail(&r->link, "runnel: a delivered record cannot be decoded");
}

static bool take_deliver(struct runnel_link *r, const struct wire_header *h, struct reader body)
{
    struct wire_deliver d;
    if (!wire_get_deliver(body, &d) || h->request_id >= target_lanes(r->link.target) || !r->subs)
        return link_fail(&r->link, "runnel: a delivery that cannot be decoded, or was not asked for");
    struct sub *sub = &r->subs[h->request_id];
    if (r->role == ROLE_COUNTER) {
        r->link.sink->event(&r->link, d.batches.at, d.batches.len, r->stream.now_ns);
        return give_credit(r, h->request_id, d.batches.len);
    }
    for (uint32_t at = 0; at < d.batches.len;) {
        uint64_t bytes = batch_bytes(d.batches.at + at, d.batches.len - at);
        if (!bytes || bytes > d.batches.len - at)
            return link_fail(&r->link, "runnel: a delivery ends within a batch");
        if (!take_batch(r, sub, d.batches.at + at, (uint32_t)bytes))
            return false;
        at += (uint32_t)bytes;
    }
    return give_credit(r, h->request_id, d.batches.len);
}

static void take_reply(struct runnel_link *r, const struct wire_header *h, struct reader body)
{
    struct wire_hello_reply hello;
    struct wire_open_topic_reply opened;
    struct wire_subscribe_reply subscribed;
    struct wire_group_join_reply joined;
    r->replies++;
    if (h->flags & WIRE_ERROR) {
        r->refused = true;
    } else if (h->op == WIRE_OP_HELLO && wire_get_hello_reply(body, &hello)) {
        r->unanswered_max = hello.inflight_bytes_max;
    } else if (h->op == WIRE_OP_OPEN_TOPIC && wire_get_open_topic_reply(body, &opened)) {
        if (h->request_id < r->link.target->topics)
            r->handles[h->request_id] = opened.handle;
    } else if (h->op == WIRE_OP_GROUP_JOIN && wire_get_group_join_reply(body, &joined)) {
        r->member = joined.member;
    } else if (h->op == WIRE_OP_SUBSCRIBE && wire_get_subscribe_reply(body, &subscribed)) {
        if (h->request_id < target_lanes(r->link.target))
            r->subs[h->request_id].next = subscribed.offset;
    }
}

static bool take_frame(struct runnel_link *r, const struct wire_header *h, const uint8_t *body)
{
    struct reader in = reader_of(body, h->size - WIRE_HEADER);
    if (h->flags & WIRE_ERROR || h->op == WIRE_OP_SUB_END || h->op == WIRE_OP_GROUP_END)
        refuse(r, h, in);
    if (h->op == WIRE_OP_PRODUCE)
        take_produced(r, h);
    else if (h->op == WIRE_OP_DELIVER)
        return take_deliver(r, h, in);
    else if (h->op == WIRE_OP_GROUP_DELIVER)
        return wire_member_deliver(r, in);
    else if (h->op == WIRE_OP_GROUP_ASSIGN)
        return true; /* one member has everything */
    else if (h->op == WIRE_OP_SUB_END || h->op == WIRE_OP_GROUP_END)
        return false;
    else
        take_reply(r, h, in);
    return true;
}

static bool parse(struct runnel_link *r)
{
    struct stream *s = &r->stream;
    struct wire_header h;
    while (wire_header_decode(&h, s->in + s->in_at, (uint32_t)(s->in_end - s->in_at))) {
        if (h.size < WIRE_HEADER || h.size > s->in_size)
            return link_fail(&r->link, "runnel: a frame of %u bytes", h.size);
        if (h.size > s->in_end - s->in_at)
            break;
        const uint8_t *body = s->in + s->in_at + WIRE_HEADER;
        s->in_at += h.size;
        if (!take_frame(r, &h, body))
            return false;
    }
    return true;
}

static bool lost(struct runnel_link *r)
{
    return link_fail(&r->link, "runnel: connection lost: %s",
                     errno ? strerror(errno) : "closed by the broker");
}

static bool runnel_process(struct link *link)
{
    struct runnel_link *r = link_of(link);
    ssize_t n = stream_recv(&r->stream);
    if (n < 0)
        return lost(r);
    if (n && !parse(r))
        return false;
    return stream_flush(&r->stream) || lost(r);
}

static bool runnel_flush(struct link *link)
{
    return stream_flush(&link_of(link)->stream) || lost(link_of(link));
}

static bool runnel_pending(const struct link *link)
{
    return stream_pending(&((const struct runnel_link *)link)->stream);
}

/* ---- producing ---- */

static void put_u32_be(uint8_t *at, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(at, &v, sizeof(v));
}

static void put_u64_be(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof(v));
}

/* Builds a batch of `count` events like those to be sent; its bytes, 0 when it does not fit `room`. */
static uint32_t build_batch(const struct runnel_link *r, uint32_t count, uint8_t *out, uint32_t room)
{
    uint32_t size = r->link.target->size;
    uint8_t *payload = malloc(size);
    if (!payload)
        return 0;
    payload_fill(payload, size);
    struct batch_builder b;
    batch_build_start(&b, out, room);
    bool ok = true;
    static const char id[ID_BYTES + 1] = "------------------------------------";
    const struct header header = { bytes_of("ce_id"), bytes_of(id) };
    for (uint32_t i = 0; ok && i < count; i++)
        ok = batch_build_add(&b, 0, (struct bytes){ 0 }, (struct bytes){ payload, size }, &header,
                             r->link.target->ids);
    free(payload);
    return ok ? batch_build_finish(&b, -1, -1, -1) : 0;
}

/* Finds where in the prepared request each payload is. */
static bool find_payloads(struct runnel_link *r, uint32_t count)
{
    struct batch decoded;
    struct record_iter it;
    struct record record;
    const uint8_t *at = r->frame + PRODUCE_PREFIX;
    if (!batch_decode(&decoded, at, r->batch_bytes))
        return false;
    record_iter_init(&it, &decoded, (struct bytes){ at + BATCH_HEADER, r->batch_bytes - BATCH_HEADER });
    for (uint32_t i = 0; i < count; i++) {
        if (record_next(&it, &record) <= 0)
            return false;
        r->payload_at[i] = (uint32_t)(record.value.at - r->frame);
        if (r->id_at) /* the record's end */
            r->id_at[i] = (uint32_t)(record.headers.at + record.headers.len - ID_BYTES - r->frame);
    }
    return true;
}

/* Prepares the request of `count` events. */
static bool prepare(struct runnel_link *r, uint32_t count)
{
    uint32_t size = r->link.target->size,
             room = PRODUCE_PREFIX + BATCH_HEADER + count * (size + 40 + 2 * ID_BYTES);
    free(r->frame);
    free(r->payload_at);
    free(r->id_at);
    r->id_at = r->link.target->ids ? calloc(count, sizeof(*r->id_at)) : NULL;
    r->frame = malloc(room);
    r->payload_at = calloc(count, sizeof(*r->payload_at));
    uint8_t *batch = malloc(room);
    bool ok = r->frame && r->payload_at && batch;
    r->batch_bytes = ok ? build_batch(r, count, batch, room) : 0;
    if (r->batch_bytes) {
        struct writer w = writer_of(r->frame, room);
        uint8_t *frame = wire_frame_begin(&w);
        wire_put_produce(&w, (uint8_t)r->link.target->acks, 1);
        wire_put_produce_batch(&w, 0, 0, (struct bytes){ batch, r->batch_bytes });
        r->frame_bytes = wire_frame_end(&w, frame, WIRE_OP_PRODUCE, 0, 0);
    }
    free(batch);
    if (!r->batch_bytes || r->frame_bytes != PRODUCE_PREFIX + r->batch_bytes || !find_payloads(r, count))
        return link_fail(&r->link, "runnel: a batch of %u events of %u bytes does not fit", count, size);
    r->prepared_count = count;
    return true;
}

/* 32 digits of run, lane and number; the other four stay. */
static void put_id(uint8_t *at, const struct runnel_link *r, const struct events *e, uint32_t i)
{
    const uint64_t halves[2] = { r->run ^ (uint64_t)e->lane << 40, e->first_sequence + i };
    for (int h = 0; h < 2; h++)
        for (int d = 0; d < 16; d++)
            at[16 * h + d] = (uint8_t) "0123456789abcdef"[halves[h] >> (60 - 4 * d) & 15];
}

static bool runnel_publish(struct link *link, const struct events *e)
{
    struct runnel_link *r = link_of(link);
    const struct target *t = link->target;
    if (e->count != r->prepared_count && !prepare(r, e->count))
        return false;
    if (r->unanswered_bytes + r->frame_bytes > r->unanswered_max && r->unanswered_bytes)
        return false;
    uint8_t *at = stream_space(&r->stream, r->frame_bytes);
    if (!at)
        return false;
    memcpy(at, r->frame, r->frame_bytes);
    uint32_t id = (uint32_t)e->id, partition = e->lane % t->partitions;
    memcpy(at + 8, &id, sizeof(id));
    memcpy(at + WIRE_HEADER + 4, &r->handles[e->lane / t->partitions], 4);
    memcpy(at + WIRE_HEADER + 8, &partition, 4);
    for (uint32_t i = 0; i < e->count; i++)
        payload_stamp(at + r->payload_at[i], e, i);
    for (uint32_t i = 0; r->id_at && i < e->count; i++)
        put_id(at + r->id_at[i], r, e, i);
    uint8_t *batch = at + PRODUCE_PREFIX;
    uint64_t wall_ms = (e->intended_ns + (uint64_t)r->wall_offset_ns) / 1000000;
    put_u64_be(batch + BASE_TIME_AT, wall_ms);
    put_u64_be(batch + MAX_TIME_AT, wall_ms);
    put_u32_be(batch + CRC_AT, crc32c(0, batch + CRC_FROM, r->batch_bytes - CRC_FROM));
    stream_commit(&r->stream, r->frame_bytes);
    r->next_id = e->id + 1;
    if (t->acks != ACKS_NONE)
        r->unanswered_bytes += r->frame_bytes;
    return true;
}

/* ---- opening ---- */

static void runnel_close(struct link *link)
{
    struct runnel_link *r = link_of(link);
    wire_member_close(r);
    stream_close(&r->stream);
    free(r->handles);
    free(r->subs);
    free(r->frame);
    free(r->payload_at);
    free(r->id_at);
    free(r);
}

static bool wait_replies(struct runnel_link *r, uint32_t replies)
{
    while (r->replies < replies) {
        if (!stream_wait(&r->stream, REPLY_TIMEOUT_MS))
            return lost(r);
        if (!parse(r))
            return false;
    }
    return !r->refused;
}

bool wire_ask(struct runnel_link *r, uint16_t op, uint32_t id,
              void (*put)(struct writer *w, struct runnel_link *r, uint32_t id))
{
    uint8_t *at;
    while (!(at = stream_space(&r->stream, FRAME_SMALL)))
        if (!stream_wait(&r->stream, REPLY_TIMEOUT_MS) || !parse(r))
            return lost(r);
    struct writer w = writer_of(at, FRAME_SMALL);
    uint8_t *frame = wire_frame_begin(&w);
    put(&w, r, id);
    stream_commit(&r->stream, wire_frame_end(&w, frame, op, 0, id));
    return true;
}

static void put_hello(struct writer *w, struct runnel_link *r, uint32_t id)
{
    (void)r, (void)id;
    wire_put_hello(w, &(struct wire_hello){ .magic = WIRE_MAGIC,
                                            .version_min = WIRE_VERSION,
                                            .version_max = WIRE_VERSION,
                                            .client = bytes_of("runnel-bench"),
                                            .client_version = bytes_of(RUNNEL_VERSION) });
}

static void put_open(struct writer *w, struct runnel_link *r, uint32_t id)
{
    char name[256];
    driver_topic_name(r->link.target, id, name, sizeof(name));
    wire_put_open_topic(w, &(struct wire_open_topic){ bytes_of(name), 0 });
}

static void put_subscribe_start(struct writer *w, struct runnel_link *r, uint32_t id)
{
    const struct target *t = r->link.target;
    wire_put_subscribe(w, &(struct wire_subscribe){ .subscription = id,
                                                    .handle = r->handles[id / t->partitions],
                                                    .partition = id % t->partitions,
                                                    .position = { WIRE_FROM_START, 0 },
                                                    .credit = r->credit });
}

static void put_subscribe_end(struct writer *w, struct runnel_link *r, uint32_t id)
{
    const struct target *t = r->link.target;
    wire_put_subscribe(w, &(struct wire_subscribe){ .subscription = id,
                                                    .handle = r->handles[id / t->partitions],
                                                    .partition = id % t->partitions,
                                                    .position = { WIRE_FROM_END, 0 },
                                                    .credit = r->credit });
}

static void put_create(struct writer *w, struct runnel_link *r, uint32_t id)
{
    char name[256];
    driver_topic_name(r->link.target, id, name, sizeof(name));
    static const struct wire_topic_create none;
    struct wire_topic_create c = none;
    c.name = bytes_of(name);
    c.partitions = r->link.target->partitions;
    c.if_missing = 1;
    c.config_count = r->link.target->dedupe;
    c.configs[0] = (struct wire_config){ bytes_of("dedupe.window"), bytes_of("on") };
    wire_put_topic_create(w, &c);
}

static void put_delete(struct writer *w, struct runnel_link *r, uint32_t id)
{
    char name[256];
    driver_topic_name(r->link.target, id, name, sizeof(name));
    wire_put_topic_name(w, &(struct wire_topic_name){ bytes_of(name) });
}

bool wire_ask_all(struct runnel_link *r, uint16_t op, uint32_t count,
                  void (*put)(struct writer *w, struct runnel_link *r, uint32_t id))
{
    enum { AT_ONCE = 64 }; /* unanswered: brokers limit them */
    uint32_t before = r->replies;
    for (uint32_t i = 0; i < count; i++)
        if (!wire_ask(r, op, i, put) || (i >= AT_ONCE && !wait_replies(r, before + i - AT_ONCE)))
            return false;
    return wait_replies(r, before + count);
}

static bool set_up(struct runnel_link *r, enum from from)
{
    const struct target *t = r->link.target;
    bool consumer = r->role == ROLE_CONSUMER || r->role == ROLE_COUNTER;
    if (!wire_ask_all(r, WIRE_OP_HELLO, 1, put_hello))
        return false;
    if (r->role == ROLE_IDLE)
        return true;
    if (!wire_ask_all(r, WIRE_OP_OPEN_TOPIC, t->topics, put_open))
        return false;
    if (consumer && t->group)
        return wire_member_open(r, from);
    return !consumer || wire_ask_all(r, WIRE_OP_SUBSCRIBE, target_lanes(t),
                                     from == FROM_START ? put_subscribe_start : put_subscribe_end);
}

static struct runnel_link *greet(const struct target *t, enum role role, const struct sink *sink, void *owner,
                                 char *why)
{
    struct runnel_link *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    r->link = (struct link){ .driver = &driver_runnel, .target = t, .sink = sink, .owner = owner };
    r->stream.fd = -1;
    r->role = role;
    r->wall_offset_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)clock_now_ns();
    r->run = (uint64_t)wall.tv_sec * 1000000000 + (uint64_t)wall.tv_nsec;
    r->credit = CREDIT_BYTES / target_lanes(t);
    if (r->credit < CREDIT_BYTES_MIN)
        r->credit = CREDIT_BYTES_MIN;
    bool consumer = role == ROLE_CONSUMER || role == ROLE_COUNTER;
    r->handles = calloc(t->topics, sizeof(*r->handles));
    r->subs = consumer ? calloc(target_lanes(t), sizeof(*r->subs)) : NULL;
    if (!r->handles || (consumer && !r->subs) ||
        !stream_open(&r->stream, t->url, 7411, role == ROLE_IDLE, why)) {
        runnel_close(&r->link);
        return NULL;
    }
    r->link.fd = r->stream.fd;
    return r;
}

static struct link *runnel_open(const struct target *t, enum role role, enum from from,
                                const struct sink *sink, void *owner, char *why)
{
    struct runnel_link *r = greet(t, role, sink, owner, why);
    if (!r)
        return NULL;
    if (!set_up(r, from)) {
        snprintf(why, 256, "%s", r->link.why);
        runnel_close(&r->link);
        return NULL;
    }
    return &r->link;
}

static bool runnel_topics(const struct target *t, bool remove, char *why)
{
    struct runnel_link *r = greet(t, ROLE_PRODUCER, NULL, NULL, why);
    if (!r)
        return false;
    bool ok = wire_ask_all(r, WIRE_OP_HELLO, 1, put_hello) &&
              wire_ask_all(r, remove ? WIRE_OP_TOPIC_DELETE : WIRE_OP_TOPIC_CREATE, t->topics,
                           remove ? put_delete : put_create);
    if (!ok)
        snprintf(why, 256, "%s", r->link.why);
    runnel_close(&r->link);
    return ok;
}

const struct driver driver_runnel = {
    .name = "runnel",
    .url = "tcp://127.0.0.1:7411",
    .batch_max = 65536,
    .groups = true,
    .durable = true,
    .topics = runnel_topics,
    .open = runnel_open,
    .close = runnel_close,
    .publish = runnel_publish,
    .flush = runnel_flush,
    .pending = runnel_pending,
    .process = runnel_process,
};
