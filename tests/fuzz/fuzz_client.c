/* SPDX-License-Identifier: Apache-2.0
 *
 * The client library, told anything by its broker. Its system calls are replaced by the linker: what it sends
 * is looked through for request ids, what it receives comes from the input.
 *
 * The input is a list of records: u8 kind, u16 length, bytes. Kinds below; whatever a record needs and does
 * not have is zero. Behind the last record the connection ends, and no other one can be made.
 *
 * fuzz_member.c is the same with a member of a group in place of producer and consumer.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/include/runnel.h"
#include "fuzz.h"
#include "proto/batch.h"
#include "proto/wire_group.h"

#ifndef FUZZ_MEMBER
#define FUZZ_MEMBER 0
#endif

enum kind {
    KIND_RAW,     /* these bytes as they are */
    KIND_REPLY,   /* a reply to the oldest request, with these bytes as body */
    KIND_REFUSE,  /* a refusal of it: u16 code, then the sentence */
    KIND_GOOD,    /* the right answer to it */
    KIND_DELIVER, /* these bytes as batches for the last subscription; for the member: as DELIVER or ASSIGN */
    KIND_BATCH,   /* a sound batch for it, spoiled: pairs of position and bits to turn */
    KIND_END,     /* SUB_END, GROUP_END */
    KIND_RESET,   /* the connection ends */
    KINDS,
};

enum { REQUESTS = 256, CONNECTIONS_MAX = 4, STEPS = 24, PARTITIONS = 2, MEMBER = 9 };

static struct {
    const uint8_t *at, *end; /* of the input: what is left */
    uint16_t ops[REQUESTS];
    uint32_t ids[REQUESTS], head, tail;
    uint32_t subscription, connections, opened;
    int64_t next; /* offset of the next batch delivered */
    uint8_t out[1 << 17];
    uint32_t out_from, out_to;
    uint32_t skip; /* bytes of a sent frame still to come */
    bool broken;
} b;

/* ---- what the client sends ---- */

static void note_frames(const uint8_t *p, uint32_t n)
{
    struct wire_header h;
    struct wire_subscribe s;
    if (b.skip >= n) {
        b.skip -= n;
        return;
    }
    p += b.skip;
    n -= b.skip;
    b.skip = 0;
    while (wire_header_decode(&h, p, n)) {
        FUZZ_CHECK(h.size >= WIRE_HEADER);
        if (h.size <= n && h.op == WIRE_OP_SUBSCRIBE &&
            wire_get_subscribe(reader_of(p + WIRE_HEADER, h.size - WIRE_HEADER), &s))
            b.subscription = s.subscription;
        if (h.request_id) {
            b.ops[b.tail % REQUESTS] = h.op;
            b.ids[b.tail++ % REQUESTS] = h.request_id;
        }
        if (h.size > n) {
            b.skip = h.size - n;
            return;
        }
        p += h.size;
        n -= h.size;
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    size_t n = 0;
    (void)fd, (void)flags;
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        /* Frames do not cross ranges here: everything is taken at once. */
        note_frames(m->msg_iov[i].iov_base, (uint32_t)m->msg_iov[i].iov_len);
        n += m->msg_iov[i].iov_len;
    }
    return (ssize_t)n;
}

/* ---- what it receives ---- */

static void put_frame(uint16_t op, uint16_t flags, uint32_t id, const void *body, uint32_t n)
{
    struct writer w = writer_of(b.out + b.out_to, (uint32_t)sizeof(b.out) - b.out_to);
    uint8_t *frame = wire_frame_begin(&w);
    write_raw(&w, body, n);
    b.out_to += wire_frame_end(&w, frame, op, flags, id);
}

static void put_good_body(struct writer *w, uint16_t op)
{
    static const struct wire_produced row = { .base_offset = 1 };
    switch (op) {
    case WIRE_OP_HELLO:
        wire_put_hello_reply(w, &(struct wire_hello_reply){ .version = WIRE_VERSION,
                                                            .broker_version = bytes_of("fuzz"),
                                                            .frame_bytes_max = 1 << 16,
                                                            .batch_bytes_max = 1 << 15,
                                                            .inflight_bytes_max = 1 << 16 });
        break;
    case WIRE_OP_OPEN_TOPIC:
        wire_put_open_topic_reply(w, &(struct wire_open_topic_reply){ 1, 1, PARTITIONS, 1 << 15 });
        break;
    case WIRE_OP_INIT_PRODUCER:
        wire_put_init_producer_reply(w, &(struct wire_init_producer_reply){ 5, 0 });
        break;
    case WIRE_OP_SUBSCRIBE:
        wire_put_subscribe_reply(w, &(struct wire_subscribe_reply){ 0, 0, 100 });
        break;
    case WIRE_OP_PRODUCE:
    case WIRE_OP_GROUP_PRODUCE:
        wire_put_produced(w, &row, 1);
        break;
    case WIRE_OP_GROUP_JOIN:
        wire_put_group_join_reply(w, &(struct wire_group_join_reply){ .member = MEMBER,
                                                                      .member_id = bytes_of("m"),
                                                                      .mode = WIRE_GROUP_ORDERED,
                                                                      .ack_wait_ms = 2,
                                                                      .max_in_flight = 4 });
        break;
    default:
        break;
    }
}

static void put_good(void)
{
    uint8_t body[256] = { 0 };
    struct writer w = writer_of(body, sizeof(body));
    uint16_t op = b.ops[b.head % REQUESTS];
    put_good_body(&w, op);
    put_frame(op, WIRE_REPLY, b.ids[b.head++ % REQUESTS], body, writer_len(&w));
    if (op != WIRE_OP_GROUP_JOIN)
        return;
    w = writer_of(body, sizeof(body));
    write_u32(&w, 1);
    write_u16(&w, PARTITIONS);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        wire_put_group_change_row(
            &w, &(struct wire_group_change_row){ WIRE_GROUP_ASSIGNED, i + 1, 1, i, 0, bytes_of("t") });
    put_frame(WIRE_OP_GROUP_ASSIGN, WIRE_PUSH, MEMBER, body, writer_len(&w));
}

/* What stands before the batch in a delivery; its bytes. */
static uint32_t put_deliver_head(uint8_t *to)
{
    uint8_t row[WIRE_GROUP_DELIVERED];
    struct writer r = writer_of(row, sizeof(row)), w = writer_of(to, 64);
    if (!FUZZ_MEMBER) {
        write_i64(&w, INT64_MAX);
        return writer_len(&w);
    }
    wire_put_group_delivered(&r, &(struct wire_group_delivered){ (uint64_t)b.next, 5, 0 });
    wire_put_group_deliver(&w,
                           &(struct wire_group_deliver){ .assignment = 1 + (uint32_t)b.next / 5 % PARTITIONS,
                                                         .epoch = 1,
                                                         .count = 1,
                                                         .ranges = { row, sizeof(row) } });
    return writer_len(&w);
}

static void put_batch(const uint8_t *turns, uint32_t n)
{
    uint8_t body[64 + 1024];
    struct batch_builder builder;
    struct header h = { bytes_of("name"), bytes_of("value") };
    uint32_t head = put_deliver_head(body);
    batch_build_start(&builder, body + head, 1024);
    for (int i = 0; i < 5; i++)
        batch_build_add(&builder, 1000, bytes_of("key"), bytes_of("some bytes"), &h, 1);
    uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    batch_set_base_offset(body + head, b.next);
    b.next += 5;
    for (uint32_t i = 0; i + 2 < n; i += 3)
        body[(turns[i] | turns[i + 1] << 8) % (head + bytes)] ^= turns[i + 2];
    put_frame(FUZZ_MEMBER ? WIRE_OP_GROUP_DELIVER : WIRE_OP_DELIVER, WIRE_PUSH,
              FUZZ_MEMBER ? MEMBER : b.subscription, body, head + bytes);
}

static void put_record(uint8_t kind, const uint8_t *bytes, uint32_t n)
{
    uint8_t body[300] = { 0 };
    bool asked = b.head != b.tail;
    switch (kind % KINDS) {
    case KIND_RAW:
        memcpy(b.out + b.out_to, bytes, n);
        b.out_to += n;
        break;
    case KIND_REPLY:
        put_frame(asked ? b.ops[b.head % REQUESTS] : WIRE_OP_PING, WIRE_REPLY,
                  asked ? b.ids[b.head % REQUESTS] : 7, bytes, n);
        b.head += asked;
        break;
    case KIND_REFUSE:
    case KIND_END:
        n = n > 250 ? 250 : n;
        memcpy(body, bytes, n < 2 ? n : 2);
        body[2] = n > 2 ? (uint8_t)(n - 2) : 0;
        if (n > 2)
            memcpy(body + 4, bytes + 2, n - 2);
        n = 4 + body[2];
        if (kind % KINDS == KIND_END)
            put_frame(FUZZ_MEMBER ? WIRE_OP_GROUP_END : WIRE_OP_SUB_END, WIRE_PUSH,
                      FUZZ_MEMBER ? MEMBER : b.subscription, body, n);
        else if (asked)
            put_frame(b.ops[b.head % REQUESTS], WIRE_REPLY | WIRE_ERROR, b.ids[b.head % REQUESTS], body, n);
        b.head += asked && kind % KINDS == KIND_REFUSE;
        break;
    case KIND_GOOD:
        if (asked)
            put_good();
        break;
    case KIND_DELIVER:
        if (FUZZ_MEMBER && n > 0)
            put_frame(bytes[0] & 1 ? WIRE_OP_GROUP_ASSIGN : WIRE_OP_GROUP_DELIVER, WIRE_PUSH, MEMBER,
                      bytes + 1, n - 1);
        else
            put_frame(WIRE_OP_DELIVER, WIRE_PUSH, b.subscription, bytes, n);
        break;
    case KIND_BATCH:
        put_batch(bytes, n);
        break;
    case KIND_RESET:
        b.broken = true;
        break;
    }
}

/* The next record; false at the input's end. */
static bool next_record(void)
{
    struct reader r = { b.at, b.end, false };
    uint8_t kind = read_u8(&r);
    uint16_t n = read_u16(&r);
    if (r.bad)
        return false;
    if (n > reader_left(&r))
        n = (uint16_t)reader_left(&r);
    if (n > 1 << 15)
        n = 1 << 15;
    const uint8_t *bytes = r.at;
    b.at = bytes + n;
    put_record(kind, bytes, n);
    return true;
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags)
{
    (void)fd, (void)flags;
    if (b.out_from == b.out_to) {
        b.out_from = b.out_to = 0;
        /* The beginning is always right: to get past it by chance would take ages. */
        const uint32_t right = FUZZ_MEMBER ? 2 : 5;
        if (b.opened < right && b.head != b.tail) {
            b.opened++;
            put_good();
        } else if (b.opened < right) {
            errno = EAGAIN;
            return -1;
        } else if (!next_record()) {
            b.connections = CONNECTIONS_MAX;
            b.broken = true;
        }
    }
    if (b.out_from == b.out_to) {
        if (b.broken)
            return 0;
        errno = EAGAIN;
        return -1;
    }
    size_t n = b.out_to - b.out_from;
    n = n < size ? n : size;
    memcpy(to, b.out + b.out_from, n);
    b.out_from += (uint32_t)n;
    return (ssize_t)n;
}

/* ---- connecting ---- */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
    (void)domain, (void)type, (void)protocol;
    return 1000000;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    (void)fd, (void)to, (void)len;
    b.broken = false;
    b.out_from = b.out_to = b.head = b.tail = b.skip = 0;
    if (b.connections++ < CONNECTIONS_MAX)
        return 0;
    errno = ECONNREFUSED;
    return -1;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    (void)fd, (void)level, (void)name;
    memset(value, 0, *len);
    return 0;
}

int __wrap_getpeername(int fd, struct sockaddr *at, socklen_t *len);
int __wrap_getpeername(int fd, struct sockaddr *at, socklen_t *len)
{
    (void)fd, (void)at, (void)len;
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    (void)timeout_ms;
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = fds[i].events;
    return (int)n;
}

/* ---- using the client ---- */

static void delivered(void *ctx, const struct runnel_delivery *d)
{
    size_t *left = ctx;
    FUZZ_CHECK(*left > 0);
    --*left;
    FUZZ_CHECK(d->error <= 0 && (d->error == 0) == (d->error_text == NULL));
}

static void look(const struct runnel_record *r)
{
    const char *name;
    const void *value;
    size_t name_len, value_len, sum = 0;
    for (size_t i = 0; i < r->key_len; i++)
        sum += ((const uint8_t *)r->key)[i];
    for (size_t i = 0; i < r->value_len; i++)
        sum += ((const uint8_t *)r->value)[i];
    for (size_t i = 0; i < r->header_count && i < 4; i++)
        if (runnel_record_header(r, i, &name, &name_len, &value, &value_len) == 0)
            sum += name_len + value_len;
    volatile size_t used = sum;
    (void)used;
}

static void use(runnel_client *c, const runnel_options *o, size_t *left)
{
    static const char bytes[3000];
    struct runnel_event e = RUNNEL_EVENT_INIT;
    struct runnel_record r;
    struct runnel_topic *topic;
    runnel_producer *p = runnel_producer_new(c, "t", o, delivered, left);
    runnel_consumer *k = p ? runnel_consumer_new(c, "t", o) : NULL;
    e.value = bytes;
    for (int step = 0; k && step < STEPS; step++) {
        for (e.partition = 0; e.partition < PARTITIONS; e.partition++) {
            e.value_len = (size_t)(step * 100);
            *left += 1;
            if (runnel_produce(p, &e, NULL) < 0)
                *left -= 1;
        }
        if (runnel_next(k, &r, 0) == 1)
            look(&r);
        if (step % 8 == 5 && runnel_topic_describe(c, "t", &topic) == 0)
            runnel_topic_free(topic);
        runnel_process(c);
    }
}

/* One way or another an event leaves this member. */
static void settle(runnel_group *g, const struct runnel_lease *lease, int way)
{
    switch (way % 7) {
    case 0:
        runnel_nack(g, lease, NULL);
        break;
    case 1:
        runnel_term(g, lease, NULL);
        break;
    case 2:
        runnel_release(g, lease);
        break;
    case 3:
        runnel_working(g, lease);
        runnel_ack_through(g, lease);
        break;
    case 4:
        break; /* forgotten */
    default:
        runnel_ack(g, lease);
        break;
    }
    FUZZ_CHECK(way % 7 == 4 || !runnel_holds(g, lease));
}

static void use_member(runnel_client *c, const runnel_options *o)
{
    static const char *const topics[] = { "t", "u.*" };
    struct runnel_topic_event event = { "t", RUNNEL_EVENT_INIT };
    struct runnel_record r;
    struct runnel_lease lease;
    runnel_group *g = runnel_group_join(c, "g", topics, 2, o);
    for (int step = 0; g && step < STEPS; step++) {
        const int rc = runnel_group_next(g, &r, &lease, 0);
        if (rc == 1)
            look(&r);
        if (rc == 1 && step % 8 == 7)
            runnel_group_produce(g, &event, 1, &lease, 1, NULL, 3);
        else if (rc == 1)
            settle(g, &lease, (int)r.offset + step);
        runnel_process(c);
    }
    runnel_group_close(g, 1);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    size_t left = 0;
    memset(&b, 0, sizeof(b));
    b.at = data;
    b.end = data + size;
    runnel_options *o = runnel_options_new();
    const char *set[][2] = { { "reconnect.backoff.ms", "1" }, { "reconnect.backoff.max.ms", "1" },
                             { "retry.for.ms", "4" },         { "connect.timeout.ms", "2" },
                             { "request.timeout.ms", "4" },   { "from", "start" },
                             { "batch.bytes", "4096" },       { "check.crc", size % 2 ? "true" : "false" } };
    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
        FUZZ_CHECK(runnel_options_set(o, set[i][0], set[i][1]) == 0);
    runnel_client *c = runnel_connect("unix:/fuzz", o);
    if (c) {
        if (FUZZ_MEMBER)
            use_member(c, o);
        else
            use(c, o, &left);
        runnel_close(c, 0);
    }
    FUZZ_CHECK(left == 0); /* each event has its report */
    runnel_options_free(o);
}
