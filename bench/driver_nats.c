/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_nats.c: NATS JetStream, file storage. A topic is a stream, a partition one of its subjects.
 *
 * Publishing is PUB with a reply subject that carries the request's id; JetStream answers it when the event
 * is stored. Consuming is a push consumer without acknowledgements, in order, with flow control, as NATS
 * advises for reading a stream fast; in a group, a durable one whose events are acknowledged one by one. The
 * text protocol is spoken directly: the C client hands every message to a thread of its own, which costs it,
 * and would cost NATS, a good part of its figures.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "stream.h"

enum {
    SUBJECT_BYTES = 300,
    REQUEST_TIMEOUT_MS = 30000,
    SID_ACK = 1,
    SID_SETUP = 2,
    SID_DELIVER = 3,
    ARGS_MAX = 6,
};

struct nats_link {
    struct link link;
    struct stream stream;
    uint64_t nonce;
    char ack_prefix[64]; /* "_INBOX.<nonce>." */
    uint32_t ack_prefix_len;
    uint8_t *payload; /* with its final CR LF */
    bool greeted, answered;
    char answer[1024]; /* to the last request of the set-up */
};

/* One token of a protocol line. */
struct word {
    const char *at;
    uint32_t len;
};

static struct nats_link *link_of(struct link *l)
{
    return (struct nats_link *)l;
}

static uint64_t number(struct word w)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < w.len && w.at[i] >= '0' && w.at[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(w.at[i] - '0');
    return n;
}

static bool queue(struct nats_link *r, const char *bytes, size_t n)
{
    uint8_t *at = stream_space(&r->stream, n);
    if (!at)
        return link_fail(&r->link, "nats: the send buffer is full");
    memcpy(at, bytes, n);
    stream_commit(&r->stream, n);
    return true;
}

/* ---- what the server sends ---- */

/* The consumer waits until its flow-control message is answered. */
static void answer_flow_control(struct nats_link *r, struct word reply, struct word headers)
{
    char line[SUBJECT_BYTES + 16];
    static const char stalled[] = "Nats-Consumer-Stalled: ";
    if (!reply.len) {
        const char *at = memmem(headers.at, headers.len, stalled, sizeof(stalled) - 1);
        if (!at)
            return; /* an idle heartbeat */
        reply.at = at + sizeof(stalled) - 1;
        const char *end = memchr(reply.at, '\r', (size_t)(headers.at + headers.len - reply.at));
        reply.len = end ? (uint32_t)(end - reply.at) : 0;
    }
    int n = snprintf(line, sizeof(line), "PUB %.*s 0\r\n\r\n", (int)reply.len, reply.at);
    queue(r, line, (size_t)n);
}

static void take_event(struct nats_link *r, struct word reply, struct word body)
{
    r->link.sink->event(&r->link, (const uint8_t *)body.at, body.len, r->stream.now_ns);
    if (!r->link.target->group)
        return;
    char line[SUBJECT_BYTES + 32];
    int n = snprintf(line, sizeof(line), "PUB %.*s 4\r\n+ACK\r\n", (int)reply.len, reply.at);
    if (!stream_space(&r->stream, (size_t)n))
        stream_flush(&r->stream); /* a broken connection shows at the next receive */
    queue(r, line, (size_t)n);
}

static void take_message(struct nats_link *r, struct word subject, uint64_t sid, struct word reply,
                         struct word headers, struct word body)
{
    if (sid == SID_DELIVER) {
        if (headers.len > 12 && memcmp(headers.at, "NATS/1.0 100", 12) == 0)
            answer_flow_control(r, reply, headers);
        else
            take_event(r, reply, body);
    } else if (sid == SID_ACK && subject.len > r->ack_prefix_len) {
        struct word id = { subject.at + r->ack_prefix_len, subject.len - r->ack_prefix_len };
        bool ok = body.len && !memmem(body.at, body.len, "\"error\"", 7);
        if (!ok)
            link_fail(&r->link, "nats: %.*s%.*s", (int)(headers.len < 100 ? headers.len : 100), headers.at,
                      (int)(body.len < 120 ? body.len : 120), body.at);
        r->link.sink->acked(&r->link, number(id), r->stream.now_ns, ok);
    } else if (sid == SID_SETUP) {
        snprintf(r->answer, sizeof(r->answer), "%.*s", (int)body.len, body.at);
        r->answered = true;
    }
}

/* MSG subject sid [reply] bytes | HMSG subject sid [reply] header-bytes bytes. Bytes used; 0: not all there;
 * -1: malformed. */
static int64_t parse_message(struct nats_link *r, const char *line, uint32_t line_len, size_t available)
{
    struct word w[ARGS_MAX];
    uint32_t n = 0;
    for (const char *p = line, *end = line + line_len; p < end && n < ARGS_MAX;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        w[n++] = (struct word){ p, (uint32_t)((space ? space : end) - p) };
        p = space ? space + 1 : end;
    }
    bool headed = line[0] == 'H';
    uint32_t least = headed ? 5 : 4;
    if (n < least || n > least + 1)
        return -1;
    uint64_t total = number(w[n - 1]), head = headed ? number(w[n - 2]) : 0;
    if (head > total || total > STREAM_IN_BYTES / 2)
        return -1;
    size_t used = line_len + 2 + total + 2;
    if (available < used)
        return 0;
    const char *body = line + line_len + 2;
    take_message(r, w[1], number(w[2]), n > least ? w[3] : (struct word){ 0 },
                 (struct word){ body, (uint32_t)head },
                 (struct word){ body + head, (uint32_t)(total - head) });
    return (int64_t)used;
}

static bool parse(struct nats_link *r)
{
    struct stream *s = &r->stream;
    while (s->in_at < s->in_end) {
        const char *line = (const char *)s->in + s->in_at;
        size_t available = s->in_end - s->in_at;
        const char *end = memchr(line, '\n', available);
        if (!end)
            break;
        uint32_t len = (uint32_t)(end - line);
        if (len && line[len - 1] == '\r')
            len--;
        int64_t used = end - line + 1;
        if (len > 4 && (memcmp(line, "MSG ", 4) == 0 || memcmp(line, "HMSG", 4) == 0)) {
            used = parse_message(r, line, len, available);
            if (used < 0)
                return link_fail(&r->link, "nats: malformed line: %.*s", (int)(len < 200 ? len : 200), line);
            if (used == 0)
                break;
        } else if (len >= 4 && memcmp(line, "PING", 4) == 0) {
            queue(r, "PONG\r\n", 6);
        } else if (len >= 4 && memcmp(line, "PONG", 4) == 0) {
            r->greeted = true;
        } else if (len >= 4 && memcmp(line, "-ERR", 4) == 0) {
            return link_fail(&r->link, "nats: %.*s", (int)(len < 200 ? len : 200), line);
        }
        s->in_at += (size_t)used;
    }
    return true;
}

static bool nats_process(struct link *link)
{
    struct nats_link *r = link_of(link);
    ssize_t n = stream_recv(&r->stream);
    if (n < 0)
        return link_fail(link, "nats: connection lost: %s", errno ? strerror(errno) : "closed by the server");
    return (n == 0 || parse(r)) && stream_flush(&r->stream);
}

static bool nats_flush(struct link *link)
{
    if (!stream_flush(&link_of(link)->stream))
        return link_fail(link, "nats: connection lost: %s", strerror(errno));
    return true;
}

static bool nats_pending(const struct link *link)
{
    return stream_pending(&((const struct nats_link *)link)->stream);
}

static char *put_number(char *p, uint64_t n)
{
    char digits[20];
    int len = 0;
    do
        digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    while (len)
        *p++ = digits[--len];
    return p;
}

static bool nats_publish(struct link *link, const struct events *e)
{
    struct nats_link *r = link_of(link);
    const struct target *t = link->target;
    char *at = (char *)stream_space(&r->stream, 2 * SUBJECT_BYTES + t->size + 2), *p = at;
    if (!at)
        return false;
    memcpy(p, "PUB ", 4);
    driver_topic_name(t, e->lane / t->partitions, p + 4, SUBJECT_BYTES - 16);
    p += 4 + strlen(p + 4);
    *p++ = '.';
    p = put_number(p, e->lane % t->partitions);
    *p++ = ' ';
    memcpy(p, r->ack_prefix, r->ack_prefix_len);
    p = put_number(p + r->ack_prefix_len, e->id);
    *p++ = ' ';
    p = put_number(p, t->size);
    memcpy(p, "\r\n", 2);
    p += 2;
    memcpy(p, r->payload, t->size + 2);
    payload_stamp((uint8_t *)p, e, 0);
    stream_commit(&r->stream, (size_t)(p + t->size + 2 - at));
    return true;
}

/* ---- opening ---- */

static void nats_close(struct link *link)
{
    struct nats_link *r = link_of(link);
    stream_close(&r->stream);
    free(r->payload);
    free(r);
}

static bool wait_for(struct nats_link *r, const bool *what)
{
    while (!*what) {
        if (!stream_wait(&r->stream, REQUEST_TIMEOUT_MS))
            return link_fail(&r->link, "nats: no answer: %s",
                             errno ? strerror(errno) : "closed by the server");
        if (!parse(r))
            return false;
    }
    return true;
}

/* A JetStream API request; the answer is in r->answer. */
static bool request(struct nats_link *r, const char *subject, const char *body)
{
    char line[2048];
    int n = snprintf(line, sizeof(line), "PUB %s _INBOX.%lx.setup.0 %zu\r\n%s\r\n", subject,
                     (unsigned long)r->nonce, strlen(body), body);
    r->answered = false;
    return queue(r, line, (size_t)n) && wait_for(r, &r->answered);
}

static bool greet(struct nats_link *r)
{
    char lines[512];
    int n = snprintf(lines, sizeof(lines),
                     "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
                     "\"lang\":\"c\",\"version\":\"0\",\"name\":\"runnel-bench\"}\r\n"
                     "SUB _INBOX.%lx.* %d\r\nSUB _INBOX.%lx.setup.* %d\r\nSUB _DELIVER.%lx %s%d\r\nPING\r\n",
                     (unsigned long)r->nonce, SID_ACK, (unsigned long)r->nonce, SID_SETUP,
                     (unsigned long)r->nonce, r->link.target->group ? "bench " : "", SID_DELIVER);
    return queue(r, lines, (size_t)n) && wait_for(r, &r->greeted);
}

static bool consume(struct nats_link *r, enum from from)
{
    const struct target *t = r->link.target;
    for (uint32_t i = 0; i < t->topics; i++) {
        char name[256], subject[512], body[1024];
        driver_topic_name(t, i, name, sizeof(name));
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.CREATE.%s", name);
        const char *how = t->group ? "\"durable_name\":\"bench\",\"deliver_group\":\"bench\","
                                     "\"ack_policy\":\"explicit\",\"max_ack_pending\":20000"
                                   : "\"ack_policy\":\"none\",\"max_deliver\":1,\"mem_storage\":true,"
                                     "\"flow_control\":true,\"idle_heartbeat\":5000000000";
        if (t->group) {
            /* A consumer of an earlier pass has read everything already; there may be none. */
            snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DELETE.%s.bench", name);
            if (!request(r, subject, ""))
                return false;
        }
        if (t->group)
            snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DURABLE.CREATE.%s.bench", name);
        snprintf(body, sizeof(body),
                 "{\"stream_name\":\"%s\",\"config\":{\"deliver_subject\":\"_DELIVER.%lx\","
                 "\"deliver_policy\":\"%s\",\"num_replicas\":1,\"replay_policy\":\"instant\",%s}}",
                 name, (unsigned long)r->nonce, from == FROM_START ? "all" : "new", how);
        if (!request(r, subject, body))
            return false;
        if (strstr(r->answer, "\"error\""))
            return link_fail(&r->link, "nats: consumer: %.200s", r->answer);
    }
    return true;
}

static struct link *nats_open(const struct target *t, enum role role, enum from from, const struct sink *sink,
                              void *owner, char *why)
{
    struct nats_link *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->link = (struct link){ .driver = &driver_nats, .target = t, .sink = sink, .owner = owner };
    r->stream.fd = -1;
    r->nonce = clock_now_ns() ^ (uint64_t)getpid() << 44;
    r->ack_prefix_len =
        (uint32_t)snprintf(r->ack_prefix, sizeof(r->ack_prefix), "_INBOX.%lx.", (unsigned long)r->nonce);
    r->payload = malloc(t->size + 2);
    if (!r->payload || !stream_open(&r->stream, t->url, 4222, role == ROLE_IDLE, why)) {
        nats_close(&r->link);
        return NULL;
    }
    r->link.fd = r->stream.fd;
    payload_fill(r->payload, t->size);
    memcpy(r->payload + t->size, "\r\n", 2);
    if (!greet(r) || ((role == ROLE_CONSUMER || role == ROLE_COUNTER) && !consume(r, from))) {
        snprintf(why, 256, "%s", r->link.why);
        nats_close(&r->link);
        return NULL;
    }
    return &r->link;
}

static bool nats_topics(const struct target *t, bool remove, char *why)
{
    struct nats_link *r = (struct nats_link *)nats_open(t, ROLE_PRODUCER, FROM_END, NULL, NULL, why);
    bool ok = r != NULL;
    for (uint32_t i = 0; ok && i < t->topics; i++) {
        char name[256], subject[512], body[1024];
        driver_topic_name(t, i, name, sizeof(name));
        snprintf(subject, sizeof(subject), "$JS.API.STREAM.%s.%s", remove ? "DELETE" : "CREATE", name);
        snprintf(body, sizeof(body),
                 "{\"name\":\"%s\",\"subjects\":[\"%s.*\"],\"storage\":\"file\",\"retention\":\"limits\","
                 "\"discard\":\"old\",\"num_replicas\":1,\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,"
                 "\"max_consumers\":-1,\"max_msg_size\":-1}",
                 name, name);
        ok = request(r, subject, remove ? "" : body);
        if (ok && !remove && strstr(r->answer, "\"error\""))
            ok = link_fail(&r->link, "nats: stream: %.200s", r->answer);
    }
    if (r && !ok)
        snprintf(why, 256, "%s", r->link.why);
    if (r)
        nats_close(&r->link);
    return ok;
}

const struct driver driver_nats = {
    .name = "nats",
    .url = "nats://127.0.0.1:4222",
    .batch_max = 1,
    .groups = true,
    .durable = false,
    .topics = nats_topics,
    .open = nats_open,
    .close = nats_close,
    .publish = nats_publish,
    .flush = nats_flush,
    .pending = nats_pending,
    .process = nats_process,
};
