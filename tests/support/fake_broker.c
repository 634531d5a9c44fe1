/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/fake_broker.c: see fake_broker.h. One thread, one poll loop, one lock around everything.
 * fake_group.c has what concerns groups.
 */
#include "fake_own.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- out ---- */

void conn_out(struct conn *c, const void *bytes, uint32_t n)
{
    if (c->out_len + n > c->out_size) {
        c->out_size = (c->out_len + n) * 2;
        c->out = realloc(c->out, c->out_size);
    }
    memcpy(c->out + c->out_len, bytes, n);
    c->out_len += n;
}

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Every answer passes here, where the script spoils it. */
void conn_answer(struct fake_broker *f, struct conn *c, const uint8_t *frame, uint32_t n)
{
    int garbage = atomic_exchange(&f->script.garbage_bytes, 0);
    uint32_t seed = (uint32_t)atomic_load(&f->script.garbage_seed);
    if (atomic_load(&f->script.mute))
        return;
    if (garbage > 0) {
        for (int i = 0; i < garbage; i++) {
            uint8_t b = (uint8_t)random_next(&seed);
            conn_out(c, &b, 1);
        }
        return;
    }
    if (atomic_exchange(&f->script.half, 0)) {
        conn_out(c, frame, n / 2);
        c->closing = true;
        return;
    }
    uint32_t from = c->out_len;
    conn_out(c, frame, n);
    uint32_t every = (uint32_t)atomic_load(&f->script.flip_every);
    for (uint32_t i = from; every && i < c->out_len; i++)
        if (random_next(&seed) % every == 0)
            c->out[i] ^= (uint8_t)(1u << (random_next(&seed) & 7));
    if (every)
        atomic_store(&f->script.garbage_seed, (int)seed);
}

void answer_error(struct fake_broker *f, struct conn *c, const struct wire_header *h, int code,
                  const char *text)
{
    uint8_t buffer[512];
    struct writer w = writer_of(buffer, sizeof(buffer));
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &(struct wire_error){ .code = (uint16_t)code, .text = bytes_of(text) });
    uint32_t n = wire_frame_end(&w, frame, h->op, WIRE_REPLY | WIRE_ERROR, h->request_id);
    conn_answer(f, c, buffer, n);
}

/* ---- log ---- */

static void log_append(struct fake_broker *f, struct log *l, const void *batch, uint32_t bytes)
{
    struct batch b;
    uint8_t *copy = malloc(bytes);
    memcpy(copy, batch, bytes);
    batch_set_base_offset(copy, l->end);
    batch_decode(&b, copy, bytes);
    if (l->count == l->size) {
        l->size = l->size ? l->size * 2 : 64;
        l->items = realloc(l->items, l->size * sizeof(*l->items));
    }
    int64_t end = batch_end_offset(copy);
    l->items[l->count++] = (struct stored){ copy, bytes, l->end, end, b.producer_id, b.base_sequence };
    l->end = end;
    f->figures[FAKE_BATCHES]++;
}

static const struct stored *log_find(const struct log *l, const struct batch *b)
{
    uint32_t seen = 0;
    for (size_t i = l->count; i-- > l->first && seen < WIRE_PRODUCER_WINDOW;) {
        if (l->items[i].producer != b->producer_id)
            continue;
        if (l->items[i].sequence == b->base_sequence)
            return &l->items[i];
        seen++;
    }
    return NULL;
}

/* ---- producing ---- */

static int check_sequence(struct fake_broker *f, uint32_t partition, const struct batch *b)
{
    if (b->producer_id < 0)
        return ERR_OK;
    if (b->producer_id >= f->producers || b->producer_id < f->producers_forgotten)
        return ERR_PRODUCER_UNKNOWN;
    if (b->base_sequence == f->sequences[b->producer_id % PRODUCERS_MAX][partition])
        return ERR_OK;
    f->figures[FAKE_GAPS]++;
    return ERR_SEQUENCE_GAP;
}

static const struct stored *find_duplicate(struct fake_broker *f, const struct wire_produce_batch *p,
                                           const struct batch *b)
{
    return b->producer_id >= 0 ? log_find(&f->logs[p->partition], b) : NULL;
}

static int produce_check(struct fake_broker *f, const struct wire_produce_batch *p)
{
    struct batch b;
    char why[128];
    if (p->partition >= f->setup.partitions)
        return ERR_PARTITION_NOT_FOUND;
    int code = batch_check(&b, p->batch.at, p->batch.len, why);
    if (code != ERR_OK || b.bytes != p->batch.len)
        return code != ERR_OK ? code : ERR_BATCH_INVALID;
    if (b.bytes > f->setup.batch_bytes_max)
        return ERR_BATCH_TOO_LARGE;
    if (f->setup.forget_data || find_duplicate(f, p, &b))
        return ERR_OK;
    return check_sequence(f, p->partition, &b);
}

static void produce_store(struct fake_broker *f, const struct wire_produce_batch *p,
                          struct wire_produced *row)
{
    struct batch b;
    struct log *l = &f->logs[p->partition];
    batch_decode(&b, p->batch.at, p->batch.len);
    *row = (struct wire_produced){ .base_offset = (uint64_t)l->end };
    if (f->setup.forget_data) {
        l->end += b.count;
        return;
    }
    const struct stored *old = find_duplicate(f, p, &b);
    if (old) {
        *row = (struct wire_produced){ .base_offset = (uint64_t)old->base, .flags = WIRE_PRODUCED_DUPLICATE };
        f->figures[FAKE_DUPLICATES]++;
        return;
    }
    log_append(f, l, p->batch.at, p->batch.len);
    if (b.producer_id >= 0)
        f->sequences[b.producer_id % PRODUCERS_MAX][p->partition] += b.count;
}

/* All or none, as the broker does it. */
int produce_all(struct fake_broker *f, struct wire_produce body, struct wire_produced *rows)
{
    struct wire_produce again = body;
    struct wire_produce_batch b;
    bool seen[FAKE_PARTITIONS_MAX] = { false };
    while (wire_produce_next(&body, &b) == 1) {
        int code = produce_check(f, &b);
        if (code == ERR_OK && seen[b.partition])
            code = ERR_REQUEST_INVALID;
        if (code != ERR_OK)
            return code;
        seen[b.partition] = true;
    }
    for (uint32_t i = 0; wire_produce_next(&again, &b) == 1; i++)
        produce_store(f, &b, &rows[i]);
    return ERR_OK;
}

static bool any_duplicate(struct fake_broker *f, struct wire_produce body)
{
    struct wire_produce_batch p;
    struct batch b;
    while (wire_produce_next(&body, &p) == 1)
        if (p.partition < f->setup.partitions && batch_decode(&b, p.batch.at, p.batch.len) &&
            b.producer_id >= f->producers_forgotten && find_duplicate(f, &p, &b))
            return true;
    return false;
}

bool fake_take(atomic_int *counter)
{
    if (atomic_load(counter) <= 0)
        return false;
    atomic_fetch_sub(counter, 1);
    return true;
}

static bool produce_refused(struct fake_broker *f)
{
    if (fake_take(&f->script.refuse_skip))
        return false;
    return fake_take(&f->script.refuse_count);
}

/* True: the connection is to be dropped instead of answered. */
static bool drop_due(struct fake_broker *f)
{
    int left = atomic_load(&f->script.drop_after);
    if (left <= 0)
        return false;
    atomic_store(&f->script.drop_after, left - 1);
    if (left > 1)
        return false;
    if (fake_take(&f->script.drop_repeat))
        atomic_store(&f->script.drop_after, 3);
    return true;
}

static void release_held(struct fake_broker *f, struct conn *c)
{
    while (c->held_count) {
        struct held *held = &c->held[--c->held_count];
        struct wire_header h = { .op = WIRE_OP_PRODUCE, .request_id = held->request };
        ANSWER(f, c, &h, wire_put_produced(&w, &held->row, 1));
    }
}

static void on_produce(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_produce p = { 0 };
    struct wire_produce_batch b = { 0 };
    struct wire_produced rows[FAKE_PARTITIONS_MAX] = { 0 };
    f->figures[FAKE_REQUESTS]++;
    if (atomic_exchange(&f->script.forget, 0))
        f->producers_forgotten = f->producers;
    bool refused = produce_refused(f), drop = drop_due(f);
    if (drop && !atomic_load(&f->script.drop_stored)) {
        c->closing = true;
        return;
    }
    int code = atomic_load(&f->script.refuse_code);
    if (!wire_get_produce(body, &p) || p.count == 0 || p.count > FAKE_PARTITIONS_MAX) {
        answer_error(f, c, h, ERR_REQUEST_INVALID, "not a PRODUCE");
        return;
    }
    struct wire_produce first = p;
    wire_produce_next(&first, &b);
    f->figures[FAKE_GROUPS] += p.count > 1;
    /* A batch stored before is a duplicate first, unless the broker cannot look just now. */
    if (!refused || (!error_retriable((uint16_t)code) && any_duplicate(f, p)))
        code = produce_all(f, p, rows);
    if (drop) {
        c->closing = true;
        return;
    }
    if (p.acks == WIRE_ACKS_NONE && !refused) {
        c->closing = code != ERR_OK;
        return;
    }
    if (code != ERR_OK) {
        release_held(f, c);
        answer_error(f, c, h, code, "refused by the fake broker");
        return;
    }
    uint32_t reorder = p.count == 1 ? (uint32_t)atomic_load(&f->script.reorder) : 0;
    for (uint32_t i = 0; i < c->held_count; i++)
        if (c->held[i].partition == b.partition)
            reorder = 0; /* within a partition the order stays */
    if (reorder == 0)
        release_held(f, c);
    if (reorder) {
        c->held[c->held_count++] = (struct held){ b.partition, h->request_id, rows[0] };
        if (c->held_count >= reorder || c->held_count == 64)
            release_held(f, c);
        return;
    }
    ANSWER(f, c, h, wire_put_produced(&w, rows, p.count));
}

/* ---- reading ---- */

static void on_subscribe(struct fake_broker *f, struct conn *c, const struct wire_header *h,
                         struct reader body)
{
    struct wire_subscribe s;
    uint32_t slot = 0;
    if (!wire_get_subscribe(body, &s) || s.partition >= f->setup.partitions) {
        answer_error(f, c, h, ERR_PARTITION_NOT_FOUND, "no such partition");
        return;
    }
    struct log *l = &f->logs[s.partition];
    int64_t next = s.position.value;
    if (s.position.from == WIRE_FROM_START || s.position.from == WIRE_FROM_TIME)
        next = l->start;
    else if (s.position.from == WIRE_FROM_END)
        next = l->end - s.position.value < l->start ? l->start : l->end - s.position.value;
    if (next < l->start || next > l->end) {
        answer_error(f, c, h, ERR_OFFSET_OUT_OF_RANGE, "the offset is not there");
        return;
    }
    while (slot < SUBS_MAX && c->subs[slot].live)
        slot++;
    c->subs[slot] = (struct sub){ true, s.subscription, s.partition,
                                  next, s.credit,       atomic_exchange(&f->script.end_code, 0) };
    struct wire_subscribe_reply reply = { (uint64_t)next, (uint64_t)l->start, (uint64_t)l->end };
    ANSWER(f, c, h, wire_put_subscribe_reply(&w, &reply));
}

static void sub_end(struct conn *c, struct sub *s)
{
    uint8_t buffer[256];
    struct writer w = writer_of(buffer, sizeof(buffer));
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_error(&w, &(struct wire_error){ .code = (uint16_t)s->end_code,
                                             .text = bytes_of("ended by the fake broker") });
    conn_out(c, buffer, wire_frame_end(&w, frame, WIRE_OP_SUB_END, WIRE_PUSH, s->id));
    s->live = false;
}

/* One DELIVER of whole batches; false: nothing to deliver. */
static bool sub_deliver(struct fake_broker *f, struct conn *c, struct sub *s)
{
    struct log *l = &f->logs[s->partition];
    size_t i = l->first;
    if (s->credit <= 0 || s->next >= l->end || c->out_len - c->out_from > 8 << 20 ||
        atomic_load(&f->script.mute))
        return false;
    /* halving */
    size_t low = l->first, high = l->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (l->items[mid].end <= s->next)
            low = mid + 1;
        else
            high = mid;
    }
    i = low;
    uint32_t bytes = 0;
    size_t last = i;
    while (last < l->count && (bytes == 0 || bytes + l->items[last].bytes <= f->setup.deliver_bytes))
        bytes += l->items[last++].bytes;
    uint8_t *buffer = malloc(WIRE_DELIVER_PREFIX + bytes), *body = malloc(bytes);
    uint32_t at = 0;
    for (size_t j = i; j < last; j++) {
        memcpy(body + at, l->items[j].at, l->items[j].bytes);
        at += l->items[j].bytes;
    }
    if (fake_take(&f->script.spoil))
        body[bytes - 1] ^= 1;
    struct writer w = writer_of(buffer, WIRE_DELIVER_PREFIX + bytes);
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_deliver(&w, &(struct wire_deliver){ (uint64_t)l->end, { body, bytes } });
    conn_answer(f, c, buffer, wire_frame_end(&w, frame, WIRE_OP_DELIVER, WIRE_PUSH, s->id));
    free(buffer);
    free(body);
    s->next = l->items[last - 1].end;
    s->credit -= bytes;
    if (s->end_code)
        sub_end(c, s);
    return true;
}

static void on_credit(struct conn *c, struct reader body)
{
    struct wire_credit credit;
    if (!wire_get_credit(body, &credit))
        return;
    for (uint32_t i = 0; i < SUBS_MAX; i++)
        if (c->subs[i].live && c->subs[i].id == credit.subscription)
            c->subs[i].credit += credit.bytes;
}

static void on_unsubscribe(struct fake_broker *f, struct conn *c, const struct wire_header *h,
                           struct reader body)
{
    struct wire_unsubscribe u = { 0 };
    wire_get_unsubscribe(body, &u);
    for (uint32_t i = 0; i < SUBS_MAX; i++)
        if (c->subs[i].live && c->subs[i].id == u.subscription)
            c->subs[i].live = false;
    ANSWER(f, c, h, (void)0);
}

static void on_offsets(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_offset_query q;
    read_u32(&body);
    read_u16(&body);
    wire_get_offset_query(&body, &q);
    struct log *l = &f->logs[q.partition % FAKE_PARTITIONS_MAX];
    int64_t at = q.position.from == WIRE_FROM_END ? l->end - q.position.value : l->start;
    struct wire_offset_row row = { 0, q.partition, (uint64_t)at, -1 };
    ANSWER(f, c, h, (write_u16(&w, 1), wire_put_offset_row(&w, &row)));
}

/* ---- the rest ---- */

static void on_hello(struct fake_broker *f, struct conn *c, const struct wire_header *h)
{
    struct wire_hello_reply reply = { .version = WIRE_VERSION,
                                      .broker_version = bytes_of("fake"),
                                      .frame_bytes_max = f->setup.frame_bytes_max,
                                      .batch_bytes_max = f->setup.batch_bytes_max,
                                      .inflight_bytes_max = f->setup.inflight_bytes_max };
    c->greeted = true;
    ANSWER(f, c, h, wire_put_hello_reply(&w, &reply));
}

static void on_open(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_open_topic open;
    static const char missing[] = "missing";
    if (wire_get_open_topic(body, &open) && open.name.len == sizeof(missing) - 1 && !open.create &&
        memcmp(open.name.at, missing, sizeof(missing) - 1) == 0) {
        answer_error(f, c, h, ERR_TOPIC_NOT_FOUND, "there is no topic 'missing': create it");
        return;
    }
    struct wire_open_topic_reply reply = { 7, 1, f->setup.partitions, f->setup.batch_bytes_max };
    ANSWER(f, c, h, wire_put_open_topic_reply(&w, &reply));
}

static void put_describe(struct writer *w, uint32_t partitions)
{
    write_str(w, bytes_of("t"));
    write_u64(w, 1);
    write_i64(w, 1000);
    write_u16(w, 1);
    write_str(w, bytes_of("retention.ms"));
    write_str(w, bytes_of("1000"));
    write_u8(w, 0);
    write_u32(w, partitions);
    for (uint32_t i = 0; i < partitions; i++)
        wire_put_partition_row(w, &(struct wire_partition_row){ .partition = i, .end_offset = 10 });
}

static void put_list(struct writer *w)
{
    write_u8(w, 0);
    write_u32(w, 2);
    wire_put_topic_row(w, &(struct wire_topic_row){ bytes_of("a"), 1, 3, 10, 1000 });
    wire_put_topic_row(w, &(struct wire_topic_row){ bytes_of("b"), 2, 1, 0, 0 });
}

static void on_admin(struct fake_broker *f, struct conn *c, const struct wire_header *h)
{
    struct wire_init_producer_reply init = { f->producers, 0 };
    struct wire_stat_row stat = { bytes_of("net"), bytes_of("connections"), 1, 5 };
    struct wire_health_row health = { bytes_of("disk"), 1, bytes_of("nearly full") };
    struct wire_topic_create_reply created = { 1, 3, 1 };
    switch (h->op) {
    case WIRE_OP_INIT_PRODUCER:
        memset(f->sequences[f->producers % PRODUCERS_MAX], 0, sizeof(f->sequences[0]));
        f->producers++;
        f->figures[FAKE_PRODUCERS]++;
        ANSWER(f, c, h, wire_put_init_producer_reply(&w, &init));
        break;
    case WIRE_OP_TOPIC_CREATE:
        ANSWER(f, c, h, wire_put_topic_create_reply(&w, &created));
        break;
    case WIRE_OP_TOPIC_DESCRIBE:
        ANSWER(f, c, h, put_describe(&w, f->setup.partitions));
        break;
    case WIRE_OP_TOPIC_LIST:
        ANSWER(f, c, h, put_list(&w));
        break;
    case WIRE_OP_STAT:
        ANSWER(f, c, h, (write_u32(&w, 1), wire_put_stat_row(&w, &stat)));
        break;
    case WIRE_OP_HEALTH:
        ANSWER(f, c, h, (write_u8(&w, 1), write_u16(&w, 1), wire_put_health_row(&w, &health)));
        break;
    case WIRE_OP_PING:
    case WIRE_OP_TOPIC_SET:
    case WIRE_OP_TOPIC_ADD_PARTITIONS:
    case WIRE_OP_TOPIC_DELETE:
        ANSWER(f, c, h, (void)0);
        break;
    default:
        answer_error(f, c, h, ERR_OP_UNKNOWN, "unknown operation");
    }
}

static void on_frame(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    if (atomic_load(&f->script.refuse_op) == h->op && fake_take(&f->script.refuse_op_count)) {
        answer_error(f, c, h, atomic_load(&f->script.refuse_op_code), "refused by the fake broker");
        return;
    }
    if (group_frame(f, c, h, body))
        return;
    switch (h->op) {
    case WIRE_OP_HELLO:
        on_hello(f, c, h);
        break;
    case WIRE_OP_OPEN_TOPIC:
        on_open(f, c, h, body);
        break;
    case WIRE_OP_PRODUCE:
        on_produce(f, c, h, body);
        break;
    case WIRE_OP_SUBSCRIBE:
        on_subscribe(f, c, h, body);
        break;
    case WIRE_OP_CREDIT:
        on_credit(c, body);
        break;
    case WIRE_OP_UNSUBSCRIBE:
        on_unsubscribe(f, c, h, body);
        break;
    case WIRE_OP_OFFSETS:
        on_offsets(f, c, h, body);
        break;
    default:
        on_admin(f, c, h);
    }
}

/* ---- connections ---- */

static void conn_close(struct fake_broker *f, struct conn *c)
{
    group_conn_closed(f, c);
    close(c->fd);
    free(c->in);
    free(c->out);
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

static void conn_frames(struct fake_broker *f, struct conn *c)
{
    uint32_t at = 0;
    struct wire_header h;
    while (!c->closing && wire_header_decode(&h, c->in + at, c->in_len - at)) {
        if (h.size < WIRE_HEADER || h.size > f->setup.frame_bytes_max) {
            c->closing = true;
            break;
        }
        if (c->in_len - at < h.size)
            break;
        on_frame(f, c, &h, reader_of(c->in + at + WIRE_HEADER, h.size - WIRE_HEADER));
        at += h.size;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
}

static void conn_read(struct fake_broker *f, struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_close(f, c);
        return;
    }
    c->in_len += (uint32_t)n;
    int left = atomic_load(&f->script.drop_after_bytes);
    if (left > 0 && left <= n) {
        atomic_store(&f->script.drop_after_bytes, 0);
        conn_close(f, c);
        return;
    }
    if (left > 0)
        atomic_store(&f->script.drop_after_bytes, left - (int)n);
    conn_frames(f, c);
}

static void conn_write(struct fake_broker *f, struct conn *c)
{
    int dribble = atomic_load(&f->script.dribble);
    uint32_t n = c->out_len - c->out_from;
    if (dribble && n > (uint32_t)dribble)
        n = (uint32_t)dribble;
    ssize_t sent = n ? send(c->fd, c->out + c->out_from, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) {
        conn_close(f, c);
        return;
    }
    if (sent > 0)
        c->out_from += (uint32_t)sent;
    if (c->out_from < c->out_len)
        return;
    c->out_from = c->out_len = 0;
    if (c->closing)
        conn_close(f, c);
}

static void fake_accept(struct fake_broker *f)
{
    int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    f->figures[FAKE_CONNECTIONS]++;
    for (int i = 0; i < CONNS_MAX && !fake_take(&f->script.slam); i++) {
        struct conn *c = &f->conns[i];
        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->in = malloc(IN_BYTES);
        return;
    }
    close(fd);
}

static bool deliver_all(struct fake_broker *f, struct conn *c)
{
    bool more = false;
    for (uint32_t i = 0; i < SUBS_MAX && !c->closing; i++)
        if (c->subs[i].live && sub_deliver(f, c, &c->subs[i]))
            more = true;
    return group_serve(f, c) || more;
}

static void serve(struct fake_broker *f, const struct pollfd *fds)
{
    if (fds[1].revents && f->listener >= 0)
        fake_accept(f);
    for (int i = 0; i < CONNS_MAX; i++) {
        struct conn *c = &f->conns[i];
        if (c->fd >= 0 && c->fd == fds[i + 2].fd && fds[i + 2].revents & (POLLIN | POLLHUP | POLLERR))
            conn_read(f, c);
        if (c->fd >= 0 && f->drop)
            conn_close(f, c);
        if (c->fd >= 0) {
            bool more;
            if (!atomic_load(&f->script.reorder))
                release_held(f, c);
            do {
                more = deliver_all(f, c);
                conn_write(f, c);
            } while (more && c->fd >= 0 && c->out_len == 0);
        }
    }
    f->drop = false;
    if (f->unlisten && f->listener >= 0) {
        close(f->listener);
        f->listener = -1;
    }
}

static void *fake_loop(void *arg)
{
    struct fake_broker *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        struct pollfd fds[CONNS_MAX + 2] = { { f->wake[0], POLLIN, 0 }, { f->listener, POLLIN, 0 } };
        bool held = false;
        for (int i = 0; i < CONNS_MAX; i++) {
            struct conn *c = &f->conns[i];
            held |= c->held_count > 0;
            fds[i + 2].fd = c->fd;
            fds[i + 2].events = (short)(POLLIN | (c->out_len || c->closing ? POLLOUT : 0));
        }
        pthread_mutex_unlock(&f->lock);
        poll(fds, CONNS_MAX + 2, held ? 5 : -1); /* what is held back is let go when the script ends that */
        pthread_mutex_lock(&f->lock);
        char bytes[64];
        if (fds[0].revents)
            (void)!read(f->wake[0], bytes, sizeof(bytes));
        serve(f, fds);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- for the test ---- */

void fake_wake(struct fake_broker *f)
{
    (void)!write(f->wake[1], "", 1);
}

void fake_listen(struct fake_broker *f)
{
    pthread_mutex_lock(&f->lock);
    int one = 1;
    int fd = socket(f->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (f->setup.unix_path)
        unlink(f->setup.unix_path);
    if (bind(fd, (struct sockaddr *)&f->address, f->address_len) < 0 || listen(fd, 16) < 0)
        abort();
    f->address_len = sizeof(f->address);
    if (!f->setup.unix_path)
        getsockname(fd, (struct sockaddr *)&f->address, &f->address_len);
    else
        f->address_len = sizeof(struct sockaddr_un);
    f->listener = fd;
    f->unlisten = false;
    pthread_mutex_unlock(&f->lock);
    fake_wake(f);
}

struct fake_broker *fake_start(const struct fake_setup *setup)
{
    struct fake_broker *f = calloc(1, sizeof(*f));
    if (setup)
        f->setup = *setup;
    f->setup.partitions = f->setup.partitions ? f->setup.partitions : 3;
    f->setup.batch_bytes_max = f->setup.batch_bytes_max ? f->setup.batch_bytes_max : 1 << 20;
    f->setup.frame_bytes_max = f->setup.frame_bytes_max ? f->setup.frame_bytes_max : 2 << 20;
    f->setup.inflight_bytes_max = f->setup.inflight_bytes_max ? f->setup.inflight_bytes_max : 16 << 20;
    f->setup.deliver_bytes = f->setup.deliver_bytes ? f->setup.deliver_bytes : 256 << 10;
    for (int i = 0; i < CONNS_MAX; i++)
        f->conns[i].fd = -1;
    for (int i = 0; i < FAKE_PARTITIONS_MAX; i++)
        f->group.gps[i].owner = -1;
    pthread_mutex_init(&f->lock, NULL);
    if (pipe2(f->wake, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    if (f->setup.unix_path) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", f->setup.unix_path);
        memcpy(&f->address, &un, sizeof(un));
        f->address_len = sizeof(un);
        snprintf(f->url, sizeof(f->url), "unix:%s", f->setup.unix_path);
    } else {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        memcpy(&f->address, &in, sizeof(in));
        f->address_len = sizeof(in);
    }
    fake_listen(f);
    if (!f->setup.unix_path)
        snprintf(f->url, sizeof(f->url), "tcp://127.0.0.1:%d",
                 ntohs(((struct sockaddr_in *)&f->address)->sin_port));
    pthread_create(&f->thread, NULL, fake_loop, f);
    return f;
}

void fake_stop(struct fake_broker *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    fake_wake(f);
    pthread_join(f->thread, NULL);
    for (int i = 0; i < CONNS_MAX; i++)
        if (f->conns[i].fd >= 0)
            conn_close(f, &f->conns[i]);
    if (f->listener >= 0)
        close(f->listener);
    if (f->setup.unix_path)
        unlink(f->setup.unix_path);
    group_free(f);
    for (int i = 0; i < FAKE_PARTITIONS_MAX; i++) {
        for (size_t j = f->logs[i].first; j < f->logs[i].count; j++)
            free(f->logs[i].items[j].at);
        free(f->logs[i].items);
    }
    close(f->wake[0]);
    close(f->wake[1]);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *fake_url(const struct fake_broker *f)
{
    return f->url;
}

struct fake_script *fake_script(struct fake_broker *f)
{
    return &f->script;
}

void fake_drop(struct fake_broker *f)
{
    pthread_mutex_lock(&f->lock);
    f->drop = true;
    pthread_mutex_unlock(&f->lock);
    fake_wake(f);
}

void fake_unlisten(struct fake_broker *f)
{
    pthread_mutex_lock(&f->lock);
    f->unlisten = true;
    pthread_mutex_unlock(&f->lock);
    fake_wake(f);
}

int64_t fake_end(struct fake_broker *f, uint32_t partition)
{
    pthread_mutex_lock(&f->lock);
    int64_t end = f->logs[partition].end;
    pthread_mutex_unlock(&f->lock);
    return end;
}

int64_t fake_figure(struct fake_broker *f, enum fake_figure which)
{
    pthread_mutex_lock(&f->lock);
    int64_t n = f->figures[which];
    pthread_mutex_unlock(&f->lock);
    return n;
}

void fake_append(struct fake_broker *f, uint32_t partition, const void *batch, uint32_t bytes)
{
    pthread_mutex_lock(&f->lock);
    log_append(f, &f->logs[partition], batch, bytes);
    pthread_mutex_unlock(&f->lock);
    fake_wake(f);
}

void fake_trim(struct fake_broker *f, uint32_t partition, int64_t offset)
{
    pthread_mutex_lock(&f->lock);
    struct log *l = &f->logs[partition];
    while (l->first < l->count && l->items[l->first].end <= offset)
        free(l->items[l->first++].at);
    l->start = l->first < l->count ? l->items[l->first].base : l->end;
    pthread_mutex_unlock(&f->lock);
}

void fake_each(struct fake_broker *f, uint32_t partition,
               void (*each)(void *ctx, int64_t offset, const void *value, uint32_t len), void *ctx)
{
    pthread_mutex_lock(&f->lock);
    struct log *l = &f->logs[partition];
    for (size_t i = l->first; i < l->count; i++) {
        struct batch b;
        struct record_iter it;
        struct record r;
        batch_decode(&b, l->items[i].at, l->items[i].bytes);
        record_iter_init(&it, &b, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
        while (record_next(&it, &r) == 1)
            each(ctx, r.offset, r.value.at, r.value.len);
    }
    pthread_mutex_unlock(&f->lock);
}
