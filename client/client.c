/* SPDX-License-Identifier: Apache-2.0
 *
 * client/client.c: the connection's life: connect, greet, break, wait, connect again; and the loop that all
 * calls share.
 *
 * Handlers record; client_break() ends a connection from anywhere; client_life() alone starts the next one.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char url_default[] = "tcp://127.0.0.1:7411";

/* Receives by one client_io(): enough to drain what a loop turn brings, few enough to get to the sending. */
enum { RECEIVES_MAX = 4, FRAME_BYTES_LIMIT = 256 << 20, LASTED_MS = 1000 };

const char *runnel_version(void)
{
    return RUNNEL_VERSION;
}

int64_t client_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t client_deadline(int64_t now_ms, int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : now_ms + timeout_ms;
}

uint64_t client_random(struct runnel_client *c)
{
    /* xorshift64*: spreads retries; nothing secret hangs on it */
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 0x2545f4914f6cdd1dull;
}

int64_t client_backoff_ms(struct runnel_client *c, uint32_t attempt)
{
    int64_t ms = c->options.backoff_ms;
    for (uint32_t i = 0; i < attempt && ms < c->options.backoff_max_ms; i++)
        ms *= 2;
    if (ms > c->options.backoff_max_ms)
        ms = c->options.backoff_max_ms;
    /* Between half and all of it: clients of one broker must not come back in step. */
    return ms / 2 + (int64_t)(client_random(c) % (uint64_t)(ms / 2 + 1));
}

/* ---- breaking ---- */

static void client_fail(struct runnel_client *c)
{
    c->state = CLIENT_FAILED;
    c->error.fatal = 1;
    transport_close(&c->transport);
    struct runnel_producer *p;
    struct runnel_error why = c->error;
    for (p = TAILQ_FIRST(&c->producers); p; p = producer_next(p))
        producer_fail(p, why.code, why.text);
}

static void client_break_v(struct runnel_client *c, int code, const char *format, va_list ap)
{
    struct runnel_producer *p;
    struct runnel_consumer *k;
    struct runnel_group *g;
    char text[sizeof(c->error.text)];
    vsnprintf(text, sizeof(text), format, ap);
    client_error(c, code, "%s", text);
    int64_t now_ms = client_now_ms();
    /* A connection that was good for a while is tried again at once; one that breaks as soon as it stands
     * counts as an attempt in vain. */
    bool lasted = c->state == CLIENT_READY && now_ms - c->ready_since_ms >= LASTED_MS;
    if (lasted)
        c->attempts = 0;
    transport_close(&c->transport);
    c->epoch++;
    c->state = CLIENT_PAUSED;
    c->last_break = code;
    if (c->down_since_ms < 0)
        c->down_since_ms = now_ms;
    /* Other addresses of the same name are tried at once, a full round of them only after a pause. */
    if (lasted || ++c->address_next < c->addresses.count) {
        c->attempt_at_ms = now_ms;
    } else {
        c->address_next = 0;
        c->rounds++;
        c->attempt_at_ms = now_ms + client_backoff_ms(c, c->attempts++);
    }
    requests_break(c);
    for (p = TAILQ_FIRST(&c->producers); p; p = producer_next(p))
        producer_broken(p);
    for (k = TAILQ_FIRST(&c->consumers); k; k = consumer_next(k))
        consumer_broken(k);
    for (g = TAILQ_FIRST(&c->groups); g; g = group_next(g))
        group_broken(g);
}

void client_break(struct runnel_client *c, int code, const char *format, ...)
{
    if (c->state == CLIENT_PAUSED || c->state == CLIENT_FAILED)
        return;
    va_list ap;
    va_start(ap, format);
    client_break_v(c, code, format, ap);
    va_end(ap);
}

static void break_errno(struct runnel_client *c, const char *what, int64_t error)
{
    client_break(c, ERR_CLIENT_UNREACHABLE, "%s: %s (%s)", what,
                 error == -ECONNRESET ? "the broker closed the connection" : strerror((int)-error), c->url);
}

/* ---- greeting ---- */

static void client_greeted(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct wire_hello_reply h;
    (void)r;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error) {
        client_break(c, reply->error, "the broker refused the greeting: %.*s", (int)reply->text.len,
                     (const char *)reply->text.at);
        return;
    }
    if (!wire_get_hello_reply(reply->body, &h) || h.version != WIRE_VERSION || h.frame_bytes_max < 1024 ||
        h.batch_bytes_max < BATCH_HEADER || h.inflight_bytes_max == 0) {
        client_break(c, ERR_CLIENT_PROTOCOL,
                     "the answer to the greeting makes no sense: is %s a Runnel broker?", c->url);
        return;
    }
    c->frame_bytes_max = h.frame_bytes_max;
    c->batch_bytes_max = h.batch_bytes_max;
    c->inflight_bytes_max = h.inflight_bytes_max;
    snprintf(c->broker_version, sizeof(c->broker_version), "%.*s", (int)h.broker_version.len,
             (const char *)h.broker_version.at);
    /* What comes back may hold a whole batch and its frame around it. */
    uint64_t frame_max = (uint64_t)h.frame_bytes_max + h.batch_bytes_max;
    c->transport.frame_max = frame_max < FRAME_BYTES_LIMIT ? (uint32_t)frame_max : FRAME_BYTES_LIMIT;
    c->state = CLIENT_READY;
    c->greeted = true;
    c->ready_since_ms = client_now_ms();
    c->down_since_ms = -1;
    struct runnel_producer *p;
    struct runnel_consumer *k;
    for (p = TAILQ_FIRST(&c->producers); p; p = producer_next(p))
        producer_connected(p);
    for (k = TAILQ_FIRST(&c->consumers); k; k = consumer_next(k))
        consumer_connected(k);
    for (struct runnel_group *g = TAILQ_FIRST(&c->groups); g; g = group_next(g))
        group_connected(g);
}

static void client_greet(struct runnel_client *c)
{
    struct writer w;
    uint8_t *frame;
    struct wire_hello hello = { .magic = WIRE_MAGIC,
                                .version_min = WIRE_VERSION,
                                .version_max = WIRE_VERSION,
                                .features = WIRE_FEATURE_EVENT_ERRORS,
                                .client = bytes_of(c->options.client_name),
                                .client_version = bytes_of(RUNNEL_VERSION) };
    c->state = CLIENT_GREETING;
    if (!request_frame(c, &w, &frame, 64 + OPTIONS_TEXT_MAX)) {
        client_break(c, ERR_CLIENT_QUEUE_FULL, "no memory to greet the broker");
        return;
    }
    wire_put_hello(&w, &hello);
    request_send(c, &w, frame, WIRE_OP_HELLO, request_begin(c, &c->hello, WIRE_OP_HELLO, client_greeted));
}

/* ---- life ---- */

static void client_attempt(struct runnel_client *c, int64_t now_ms)
{
    c->state = CLIENT_CONNECTING;
    c->connect_deadline_ms = now_ms + c->options.connect_timeout_ms;
    int rc = transport_open(&c->transport, &c->addresses.items[c->address_next]);
    if (rc < 0)
        break_errno(c, "cannot connect", rc);
}

static bool client_given_up(const struct runnel_client *c, int64_t now_ms)
{
    return c->greeted && c->down_since_ms >= 0 && now_ms - c->down_since_ms >= c->options.retry_for_ms;
}

static void client_life(struct runnel_client *c, int64_t now_ms)
{
    int rc;
    if (c->state == CLIENT_FAILED)
        return;
    if (client_given_up(c, now_ms)) {
        client_break(c, ERR_CLIENT_UNREACHABLE, "no answer from %s in time", c->url);
        char last[160];
        snprintf(last, sizeof(last), "%.150s", c->error.text);
        client_error(c, ERR_CLIENT_UNREACHABLE, "given up after %lld ms without the broker: %s",
                     (long long)(now_ms - c->down_since_ms), last);
        client_fail(c);
        return;
    }
    if (c->state == CLIENT_PAUSED && now_ms >= c->attempt_at_ms)
        client_attempt(c, now_ms);
    if (c->state == CLIENT_CONNECTING) {
        rc = transport_connected(&c->transport);
        if (rc < 0)
            break_errno(c, "cannot connect", rc);
        else if (rc > 0)
            client_greet(c);
    }
    if ((c->state == CLIENT_CONNECTING || c->state == CLIENT_GREETING) && now_ms >= c->connect_deadline_ms)
        client_break(c, ERR_CLIENT_UNREACHABLE, "%s does not answer: nothing came within connect.timeout.ms",
                     c->url);
    if (c->state == CLIENT_READY && now_ms >= requests_deadline_ms(c))
        client_break(c, ERR_CLIENT_UNREACHABLE, "a request was not answered within request.timeout.ms (%s)",
                     c->url);
}

/* ---- reading and writing ---- */

static void client_frame(struct runnel_client *c, const struct wire_header *h, struct reader body)
{
    bool good = false;
    c->handled++;
    if (h->flags & WIRE_PUSH && h->op >= WIRE_OP_GROUP_JOIN)
        good = group_push(c, h, body);
    else if (h->flags & WIRE_PUSH)
        good = consumer_push(c, h, body);
    else if (h->flags & WIRE_REPLY)
        good = request_answer(c, h, body);
    if (!good)
        client_break(c, ERR_CLIENT_PROTOCOL,
                     "the broker sent a frame that cannot be understood (%s, %u bytes, flags %u, id %u)",
                     wire_op_name(h->op), h->size, h->flags, h->request_id);
}

static void client_read(struct runnel_client *c)
{
    for (int i = 0; i < RECEIVES_MAX && c->state >= CLIENT_GREETING && c->state <= CLIENT_READY; i++) {
        struct wire_header h;
        struct reader body;
        int rc = 0;
        int64_t n = transport_receive(&c->transport);
        if (n < 0) {
            break_errno(c, "connection lost", n);
            return;
        }
        uint32_t epoch = c->epoch;
        while (epoch == c->epoch && (rc = transport_frame(&c->transport, &h, &body)) > 0)
            client_frame(c, &h, body);
        if (epoch == c->epoch && rc < 0)
            client_break(c, ERR_CLIENT_PROTOCOL,
                         "the broker sent a frame of %u bytes, which is impossible: is %s a Runnel broker?",
                         h.size, c->url);
        if (n < TRANSPORT_RECEIVE_BYTES)
            return;
    }
}

void client_write(struct runnel_client *c)
{
    if (c->state != CLIENT_READY && c->state != CLIENT_GREETING)
        return;
    int rc = transport_send(&c->transport);
    if (rc < 0)
        break_errno(c, "connection lost", rc);
}

void client_io(struct runnel_client *c)
{
    int64_t now_ms = client_now_ms();
    struct runnel_producer *p;
    struct runnel_consumer *k;
    client_life(c, now_ms);
    client_read(c);
    for (p = TAILQ_FIRST(&c->producers); p; p = producer_next(p))
        producer_advance(p, now_ms);
    for (k = TAILQ_FIRST(&c->consumers); k; k = consumer_next(k))
        consumer_advance(k, now_ms);
    for (struct runnel_group *g = TAILQ_FIRST(&c->groups); g; g = group_next(g))
        group_advance(g, now_ms);
    client_write(c);
}

int client_report(struct runnel_client *c)
{
    int n = 0;
    if (c->in_callback)
        return 0;
    c->in_callback = true;
    for (struct runnel_producer *p = TAILQ_FIRST(&c->producers); p; p = producer_next(p))
        n += producer_report(p);
    for (struct runnel_group *g = TAILQ_FIRST(&c->groups); g; g = group_next(g))
        n += group_report(g);
    c->in_callback = false;
    return n;
}

int runnel_process(runnel_client *c)
{
    if (c->in_callback)
        return client_may_block(c);
    c->handled = 0;
    client_io(c);
    int reported = client_report(c);
    if (c->state == CLIENT_FAILED)
        return -c->error.code;
    return c->handled + reported;
}

/* ---- waiting ---- */

int runnel_fd(const runnel_client *c)
{
    return c->transport.fd;
}

int runnel_events(const runnel_client *c)
{
    if (c->transport.fd < 0)
        return 0;
    if (c->state == CLIENT_CONNECTING)
        return POLLOUT;
    return POLLIN | (c->transport.want_write || transport_pending(&c->transport) ? POLLOUT : 0);
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int runnel_timeout_ms(const runnel_client *c)
{
    if (c->state == CLIENT_FAILED)
        return -1;
    int64_t due = INT64_MAX, now_ms = client_now_ms();
    if (c->state == CLIENT_PAUSED)
        due = c->attempt_at_ms;
    else if (c->state != CLIENT_READY)
        due = c->connect_deadline_ms;
    else
        due = requests_deadline_ms(c);
    if (c->greeted && c->down_since_ms >= 0)
        due = earliest(due, c->down_since_ms + c->options.retry_for_ms);
    for (const struct runnel_producer *p = TAILQ_FIRST(&c->producers); p; p = producer_next(p)) {
        if (producer_reports_due(p))
            return 0;
        due = earliest(due, producer_due_ms(p));
    }
    for (const struct runnel_consumer *k = TAILQ_FIRST(&c->consumers); k; k = consumer_next(k))
        due = earliest(due, consumer_due_ms(k));
    for (const struct runnel_group *g = TAILQ_FIRST(&c->groups); g; g = group_next(g))
        due = group_reports_due(g) ? 0 : earliest(due, group_due_ms(g));
    if (due == INT64_MAX)
        return -1;
    if (due <= now_ms)
        return 0;
    return due - now_ms > INT32_MAX ? INT32_MAX : (int)(due - now_ms);
}

void client_poll(struct runnel_client *c, int64_t deadline_ms)
{
    int64_t now_ms = client_now_ms();
    int64_t left = deadline_ms == INT64_MAX ? INT32_MAX : deadline_ms - now_ms;
    int own = runnel_timeout_ms(c);
    if (own >= 0 && own < left)
        left = own;
    if (left <= 0)
        return;
    struct pollfd fd = { .fd = c->transport.fd, .events = (short)runnel_events(c) };
    poll(&fd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
}

int runnel_wait(runnel_client *c, int timeout_ms)
{
    int rc = client_may_block(c);
    if (rc)
        return rc;
    /* What was read already is work too: no sleep then. */
    rc = runnel_process(c);
    if (rc != 0 || timeout_ms == 0)
        return rc;
    client_poll(c, client_deadline(client_now_ms(), timeout_ms));
    return runnel_process(c);
}

int client_may_block(struct runnel_client *c)
{
    if (c->in_callback)
        return client_error(c, ERR_CLIENT_ARGUMENT, "this call waits: it cannot be made inside a callback");
    return 0;
}

int client_next(struct runnel_client *c, int timeout_ms, int (*step)(void *ctx), void *ctx)
{
    int rc = client_may_block(c);
    if (rc)
        return rc;
    const int64_t deadline = client_deadline(timeout_ms ? client_now_ms() : 0, timeout_ms);
    for (;;) {
        client_io(c);
        client_report(c);
        rc = step(ctx);
        if (rc || timeout_ms == 0 || client_now_ms() >= deadline)
            return rc;
        client_poll(c, deadline);
    }
}

int client_wait_until(struct runnel_client *c, int64_t deadline_ms, bool (*until)(void *ctx), void *ctx)
{
    for (;;) {
        client_io(c);
        client_report(c);
        if (until(ctx))
            return 0;
        if (c->state == CLIENT_FAILED)
            return -c->error.code;
        if (client_now_ms() >= deadline_ms) {
            if (c->state != CLIENT_READY && c->error.code)
                return client_error(c, ERR_CLIENT_UNREACHABLE, "no connection in time: %.200s",
                                    strdupa(c->error.text));
            return client_error(c, ERR_CLIENT_TIMEOUT, "no answer within the time given");
        }
        client_poll(c, deadline_ms);
    }
}

/* ---- making and ending ---- */

/* A full block is left behind with deliveries in it. When they are few, they are moved out: a reader that
 * stopped must not hold a mebibyte for each kilobyte it was sent. */
static void client_retire(void *client, struct block *b)
{
    struct runnel_client *c = client;
    if (b->pinned_bytes >= b->size / 8)
        return;
    b->pins++; /* stays until the last delivery has been looked at */
    consumers_retire(c, b);
    groups_retire(c, b);
    transport_unpin(&c->transport, b, 0);
}

static bool connected_or_hopeless(void *ctx)
{
    struct runnel_client *c = ctx;
    if (c->state == CLIENT_READY)
        return true;
    /* A broker that starts says NOT_READY: worth waiting for. One that is not there is not. */
    return c->rounds > 0 &&
           (c->last_break == ERR_CLIENT_UNREACHABLE || !error_retriable((uint16_t)c->last_break));
}

static bool connect_failed(const struct runnel_client *c)
{
    return c->state != CLIENT_READY;
}

runnel_client *runnel_connect(const char *url, const runnel_options *options)
{
    char why[256];
    struct runnel_client *c = calloc(1, sizeof(*c));
    if (!c) {
        client_error(NULL, ERR_CLIENT_QUEUE_FULL, "no memory for a client");
        return NULL;
    }
    if (options)
        c->options = options->values;
    else
        options_default(&c->options);
    if (!url)
        url = getenv("RUNNEL_URL");
    if (!url || !*url)
        url = url_default;
    snprintf(c->url, sizeof(c->url), "%s", url);
    transport_init(&c->transport, c);
    c->transport.on_sent = producer_sent;
    c->transport.on_retire = client_retire;
    requests_init(c);
    TAILQ_INIT(&c->producers);
    TAILQ_INIT(&c->consumers);
    TAILQ_INIT(&c->groups);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    c->random =
        ((uint64_t)ts.tv_nsec << 32 ^ (uint64_t)ts.tv_sec << 8 ^ (uint64_t)getpid() ^ (uintptr_t)c) | 1;
    int code = transport_resolve(url, &c->addresses, why);
    if (code) {
        client_error(NULL, code, "%s", why);
        free(c);
        return NULL;
    }
    c->state = CLIENT_PAUSED;
    c->down_since_ms = c->attempt_at_ms = client_now_ms();
    client_wait_until(c, c->down_since_ms + c->options.connect_timeout_ms, connected_or_hopeless, c);
    if (connect_failed(c)) {
        client_error_to_thread(c);
        runnel_close(c, 0);
        return NULL;
    }
    return c;
}

static int left_until(int64_t deadline_ms)
{
    if (deadline_ms == INT64_MAX)
        return -1;
    int64_t left = deadline_ms - client_now_ms();
    return left > 0 ? (int)left : 0;
}

int runnel_close(runnel_client *c, int timeout_ms)
{
    int rc = 0;
    if (!c)
        return 0;
    int64_t deadline = client_deadline(client_now_ms(), timeout_ms);
    struct runnel_producer *p;
    while ((p = TAILQ_FIRST(&c->producers)))
        if (runnel_producer_close(p, left_until(deadline)) < 0)
            rc = -ERR_CLIENT_TIMEOUT;
    struct runnel_group *g;
    while ((g = TAILQ_FIRST(&c->groups)))
        if (runnel_group_close(g, left_until(deadline)) < 0)
            rc = -ERR_CLIENT_TIMEOUT;
    struct runnel_consumer *k;
    while ((k = TAILQ_FIRST(&c->consumers)))
        runnel_consumer_close(k);
    client_write(c);
    c->state = CLIENT_FAILED;
    transport_free(&c->transport);
    free(c->subs);
    free(c);
    return rc;
}

const char *runnel_broker_version(const runnel_client *c)
{
    return c->broker_version;
}
