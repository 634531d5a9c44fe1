/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/load.c: see the header.
 *
 * One turn: send what is due or fits the windows, flush, wait (until the next request is due, or spin),
 * receive. A turn sends at most BURST_REQUESTS on each connection, so that answers are never left lying while
 * there is still more to send.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "process.h"

enum {
    BURST_REQUESTS = 256,
    OPEN_LOOP_RING = 1 << 20, /* requests that a paced producer may have unanswered: minutes of a stall */
    DRAIN_S = 20,             /* for the last answers */
    READY_MAX = 256,
    SPIN_DIRECT = 8, /* with so few connections a spinning generator asks each one, not epoll */
    TIMER_SLACK_NS = 1000,
};

struct unanswered {
    uint64_t intended_ns;
    uint32_t events;
    bool done;
};

struct load;

/* A connection with a part to play. */
struct actor {
    struct load *load;
    struct link *link;
    uint32_t number; /* of producers */
    bool armed_out;
    bool counts; /* the reader of the past: its bytes are only counted */
    uint64_t bytes, bytes_at_start, bytes_ns;
    /* producers */
    struct unanswered *ring;
    uint64_t ring_mask;
    uint64_t next_id, oldest_id;
    uint64_t in_flight;
    uint64_t requests;
    uint64_t *next_sequence; /* by lane */
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    struct actor *actors; /* producers, then the consumer, then the reader of the past */
    uint32_t producers, actor_count, lanes;
    struct link **idle;
    int epoll;
    uint64_t *expected; /* next number by producer * lanes + lane */
    uint64_t start_ns;  /* of the schedule */
    uint64_t measure_ns;
    double interval_ns;
    uint64_t scheduled; /* requests sent, open loop */
    uint64_t sent, answered, refused, received, wrong;
    uint64_t counted; /* answered or received since measure_ns */
    uint64_t last_ns; /* when the last of those came */
    double cpu_at_start, own_cpu_at_start;
    bool failed;
};

/* ---- what links tell ---- */

static void on_acked(struct link *link, uint64_t id, uint64_t now_ns, bool ok)
{
    struct actor *a = link->owner;
    struct load *l = a->load;
    struct unanswered *u = &a->ring[id & a->ring_mask];
    if (id >= a->next_id || id < a->oldest_id || u->done) {
        l->wrong++;
        link_fail(link, "an answer came to a request that was not waiting for one");
        return;
    }
    u->done = true;
    a->in_flight -= u->events;
    l->answered += u->events;
    if (!ok)
        l->refused += u->events;
    if (now_ns >= l->measure_ns && ok) {
        l->counted += l->plan->consume ? 0 : u->events;
        l->last_ns = now_ns;
        if (u->intended_ns >= l->measure_ns)
            histogram_record(&l->result->ack, now_ns - u->intended_ns, u->events);
    }
    while (a->oldest_id < a->next_id && a->ring[a->oldest_id & a->ring_mask].done)
        a->oldest_id++;
}

static void on_event(struct link *link, const uint8_t *payload, uint32_t len, uint64_t now_ns)
{
    struct actor *a = link->owner;
    struct load *l = a->load;
    if (a->counts) {
        a->bytes += len;
        a->bytes_ns = now_ns;
        return;
    }
    struct stamp s;
    l->received++;
    if (len != l->plan->target.size) {
        l->wrong++;
        link_fail(link, "an event of %u bytes came, but all are %u", len, l->plan->target.size);
        return;
    }
    memcpy(&s, payload, sizeof(s));
    if (s.producer >= l->producers || s.lane >= l->lanes) {
        l->wrong++;
        link_fail(link, "an event came that this run did not publish");
        return;
    }
    uint64_t *expected = &l->expected[(uint64_t)s.producer * l->lanes + s.lane];
    if (s.sequence != *expected) {
        l->wrong++;
        link_fail(link, "lane %u: event %lu came where %lu was next: %s", s.lane, (unsigned long)s.sequence,
                  (unsigned long)*expected,
                  s.sequence < *expected ? "twice or out of order" : "some are lost");
    }
    *expected = s.sequence + 1;
    if (now_ns >= l->measure_ns) {
        l->counted++;
        l->last_ns = now_ns;
        if (s.intended_ns >= l->measure_ns)
            histogram_record(&l->result->e2e, now_ns - s.intended_ns, 1);
    }
}

static const struct sink sink = { on_acked, on_event };

/* ---- sending ---- */

static bool send_request(struct load *l, struct actor *a, uint64_t intended_ns, uint32_t events)
{
    if (a->next_id - a->oldest_id > a->ring_mask)
        return false;
    /* A lane per request in turn; producers start apart from one another. */
    uint32_t lane = (uint32_t)((a->requests + a->number) % l->lanes);
    struct events e = { .id = a->next_id,
                        .intended_ns = intended_ns,
                        .first_sequence = a->next_sequence[lane],
                        .producer = a->number,
                        .lane = lane,
                        .count = events };
    a->ring[e.id & a->ring_mask] = (struct unanswered){ intended_ns, events, false };
    if (!a->link->driver->publish(a->link, &e))
        return false;
    a->next_id++;
    a->requests++;
    a->in_flight += events;
    a->next_sequence[lane] += events;
    l->sent += events;
    return true;
}

/* acks=none: sent is all that can be said. */
static void settle_unacknowledged(struct actor *a)
{
    uint64_t now = clock_now_ns();
    while (a->oldest_id < a->next_id)
        on_acked(a->link, a->oldest_id, now, true);
}

/* How many events the next request takes. */
static uint32_t next_batch(const struct load *l)
{
    uint64_t left = l->plan->events ? l->plan->events - l->sent : UINT32_MAX;
    return left < l->plan->batch ? (uint32_t)left : l->plan->batch;
}

/* Sends everything that is due. Returns when the next request is. */
static uint64_t send_paced(struct load *l, uint64_t now)
{
    for (uint32_t n = 0;; n++) {
        uint64_t due = l->start_ns + (uint64_t)((double)l->scheduled * l->interval_ns);
        uint32_t events = next_batch(l);
        if (due > now || !events)
            return events ? due : UINT64_MAX;
        struct actor *a = &l->actors[l->scheduled % l->producers];
        if (n >= BURST_REQUESTS || !send_request(l, a, due, events))
            return now;
        l->scheduled++;
    }
}

/* Fills the windows. True: one could take more. */
static bool send_windows(struct load *l)
{
    bool more = false;
    for (uint32_t i = 0; i < l->producers; i++) {
        struct actor *a = &l->actors[i];
        uint64_t now = 0;
        for (uint32_t n = 0;; n++) {
            uint32_t events = next_batch(l);
            if (!events || (a->in_flight && a->in_flight + events > l->plan->in_flight))
                break;
            if (n % 16 == 0)
                now = clock_now_ns();
            if (n >= BURST_REQUESTS) {
                more = true;
                break;
            }
            if (!send_request(l, a, now, events))
                break; /* the link's buffers are full: it is waiting to be flushed */
        }
    }
    return more;
}

static bool link_broke(struct load *l, const struct actor *a)
{
    snprintf(l->result->why, sizeof(l->result->why), "%s",
             a->link->why[0] ? a->link->why : "a connection broke");
    l->failed = true;
    return false;
}

static bool flush_all(struct load *l)
{
    bool silent = l->plan->target.acks == ACKS_NONE && l->plan->target.driver == &driver_runnel;
    for (uint32_t i = 0; i < l->producers; i++) {
        struct actor *a = &l->actors[i];
        if (!a->link->driver->flush(a->link))
            return link_broke(l, a);
        if (silent)
            settle_unacknowledged(a);
    }
    return true;
}

/* ---- waiting and receiving ---- */

static void arm_out(struct load *l, struct actor *a)
{
    bool want = a->link->driver->pending(a->link);
    if (want == a->armed_out)
        return;
    struct epoll_event e = { .events = EPOLLIN | (want ? (uint32_t)EPOLLOUT : 0u), .data.ptr = a };
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, a->link->fd, &e);
    a->armed_out = want;
}

/* Waits until something arrives or `until_ns`, and takes what there is. */
static bool receive(struct load *l, uint64_t until_ns)
{
    if (l->plan->spin && l->actor_count <= SPIN_DIRECT) {
        for (uint32_t i = 0; i < l->actor_count; i++)
            if (!l->actors[i].link->driver->process(l->actors[i].link))
                return link_broke(l, &l->actors[i]);
        return true;
    }
    struct timespec limit = { 0, 0 };
    if (!l->plan->spin && until_ns) {
        for (uint32_t i = 0; i < l->actor_count; i++)
            arm_out(l, &l->actors[i]);
        uint64_t now = clock_now_ns(), wait = until_ns > now ? until_ns - now : 0;
        limit = (struct timespec){ (time_t)(wait / 1000000000), (long)(wait % 1000000000) };
    }
    struct epoll_event ready[READY_MAX];
    int n = epoll_pwait2(l->epoll, ready, READY_MAX, &limit, NULL);
    for (int i = 0; i < n; i++) {
        struct actor *a = ready[i].data.ptr;
        if (!a->link->driver->process(a->link))
            return link_broke(l, a);
    }
    return true;
}

/* ---- set-up ---- */

static bool open_actor(struct load *l, const struct target *t, enum role role, enum from from)
{
    struct actor *a = &l->actors[l->actor_count];
    char *why = l->result->why;
    *a = (struct actor){ .load = l, .number = l->actor_count, .counts = role == ROLE_COUNTER };
    if (role == ROLE_PRODUCER) {
        uint64_t ring = OPEN_LOOP_RING;
        if (l->plan->rate <= 0)
            for (ring = 1; ring < l->plan->in_flight + 1ull; ring *= 2)
                ;
        a->ring = malloc(ring * sizeof(*a->ring));
        a->ring_mask = ring - 1;
        a->next_sequence = calloc(l->lanes, sizeof(uint64_t));
        if (!a->ring || !a->next_sequence) {
            snprintf(why, 256, "no memory for a producer of %u lanes", l->lanes);
            return false;
        }
    }
    l->actor_count++;
    a->link = t->driver->open(t, role, from, &sink, a, why);
    if (!a->link)
        return false;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = a };
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, a->link->fd, &e) < 0) {
        snprintf(why, 256, "epoll: %s", strerror(errno));
        return false;
    }
    return true;
}

static bool open_idle(struct load *l)
{
    const struct target *t = &l->plan->target;
    l->idle = calloc(l->plan->idle + 1, sizeof(*l->idle));
    for (uint32_t i = 0; l->idle && i < l->plan->idle; i++) {
        l->idle[i] = t->driver->open(t, ROLE_IDLE, FROM_END, &sink, NULL, l->result->why);
        if (!l->idle[i])
            return false;
    }
    return l->idle != NULL;
}

static bool load_begin(struct load *l, const struct load_plan *plan, struct load_result *result)
{
    *l = (struct load){ .plan = plan, .result = result, .lanes = target_lanes(&plan->target) };
    memset(result, 0, sizeof(*result));
    histogram_reset(&result->ack);
    histogram_reset(&result->e2e);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    l->producers = plan->connections;
    l->actors = calloc(plan->connections + 2ull, sizeof(*l->actors));
    l->expected = calloc((uint64_t)plan->connections * l->lanes, sizeof(uint64_t));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->actors || !l->expected || l->epoll < 0) {
        snprintf(result->why, sizeof(result->why), "no memory for %u connections and %u lanes",
                 plan->connections, l->lanes);
        return false;
    }
    return true;
}

static void load_end(struct load *l)
{
    for (uint32_t i = 0; i < l->actor_count; i++) {
        struct actor *a = &l->actors[i];
        if (a->link && a->link->why[0] && !l->result->why[0])
            snprintf(l->result->why, sizeof(l->result->why), "%s", a->link->why);
        if (a->link)
            a->link->driver->close(a->link);
        free(a->ring);
        free(a->next_sequence);
    }
    for (uint32_t i = 0; l->idle && l->idle[i]; i++)
        l->idle[i]->driver->close(l->idle[i]);
    free(l->idle);
    free(l->actors);
    free(l->expected);
    if (l->epoll >= 0)
        close(l->epoll);
}

static void begin_measuring(struct load *l, uint64_t now)
{
    l->measure_ns = now;
    l->last_ns = now;
    l->counted = 0;
    histogram_reset(&l->result->ack);
    histogram_reset(&l->result->e2e);
    l->cpu_at_start = process_cpu_s(l->result->pid);
    l->own_cpu_at_start = (double)clock_cpu_ns() / 1e9;
    for (uint32_t i = 0; i < l->actor_count; i++)
        l->actors[i].bytes_at_start = l->actors[i].bytes;
}

static void finish_measuring(struct load *l)
{
    struct load_result *r = l->result;
    r->events = l->counted;
    r->seconds = (double)(l->last_ns - l->measure_ns) / 1e9;
    r->broker_cpu_s = process_cpu_s(r->pid) - l->cpu_at_start;
    r->generator_cpu_s = (double)clock_cpu_ns() / 1e9 - l->own_cpu_at_start;
    r->rss_mb = process_rss_mb(r->pid);
    r->errors += l->refused + l->wrong;
    for (uint32_t i = 0; i < l->actor_count; i++) {
        const struct actor *a = &l->actors[i];
        if (a->counts && a->bytes_ns > l->measure_ns)
            r->history_mb_per_s +=
                (double)(a->bytes - a->bytes_at_start) / 1e6 / ((double)(a->bytes_ns - l->measure_ns) / 1e9);
    }
}

/* ---- publishing ---- */

static bool open_publish(struct load *l)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < l->producers; i++)
        ok = open_actor(l, &l->plan->target, ROLE_PRODUCER, FROM_END);
    ok = ok && (!l->plan->consume || open_actor(l, &l->plan->target, ROLE_CONSUMER, FROM_END));
    ok = ok && (!l->plan->history || open_actor(l, l->plan->history, ROLE_COUNTER, FROM_START));
    l->result->pid = l->plan->pid ? l->plan->pid : ok ? process_of_peer(l->actors[0].link->fd) : 0;
    return ok && open_idle(l);
}

static bool drained(const struct load *l)
{
    return l->answered == l->sent && (!l->plan->consume || l->received >= l->sent - l->refused);
}

/* Waits for what is still under way; what never comes is an error. */
static void drain(struct load *l)
{
    uint64_t give_up = clock_now_ns() + DRAIN_S * 1000000000ull;
    while (!l->failed && !drained(l) && clock_now_ns() < give_up)
        if (flush_all(l))
            receive(l, clock_now_ns() + 100000000);
    uint64_t missing = l->sent - l->answered;
    if (l->plan->consume && l->sent > l->refused + l->received)
        missing += l->sent - l->refused - l->received;
    l->result->errors += missing;
    if (missing && !l->result->why[0])
        snprintf(l->result->why, sizeof(l->result->why),
                 "%lu of %lu events were never answered, %lu received: waited %d s", (unsigned long)missing,
                 (unsigned long)l->sent, (unsigned long)l->received, DRAIN_S);
}

static void publish_loop(struct load *l)
{
    const struct load_plan *p = l->plan;
    l->start_ns = clock_now_ns();
    l->interval_ns = p->rate > 0 ? 1e9 * p->batch / p->rate : 0;
    uint64_t measure_from = l->start_ns + (p->events ? 0 : (uint64_t)(p->warmup_s * 1e9));
    uint64_t stop = p->events ? UINT64_MAX : measure_from + (uint64_t)(p->duration_s * 1e9);
    bool measuring = false;
    l->measure_ns = UINT64_MAX;
    for (;;) {
        uint64_t now = clock_now_ns();
        if (!measuring && now >= measure_from) {
            begin_measuring(l, now);
            measuring = true;
        }
        if (now >= stop || (p->events && l->sent >= p->events))
            break;
        uint64_t wake = 0;
        if (p->rate > 0)
            wake = send_paced(l, now);
        else if (!send_windows(l))
            wake = now + 100000000;
        if (wake > stop)
            wake = stop;
        if (!flush_all(l) || !receive(l, wake))
            return;
    }
    drain(l);
}

bool load_publish(const struct load_plan *plan, struct load_result *result)
{
    struct load l;
    bool ok = load_begin(&l, plan, result) && open_publish(&l);
    if (ok) {
        publish_loop(&l);
        finish_measuring(&l);
    }
    load_end(&l);
    return ok && !l.failed;
}

/* ---- consuming ---- */

static bool consume_once(struct load *l, uint64_t events, struct load_result *total)
{
    if (!open_actor(l, &l->plan->target, ROLE_CONSUMER, FROM_START))
        return false;
    uint64_t last_progress = clock_now_ns(), seen = 0;
    while (l->received < events) {
        uint64_t now = clock_now_ns();
        if (l->received != seen) {
            seen = l->received;
            last_progress = now;
        }
        if (now - last_progress > DRAIN_S * 1000000000ull) {
            snprintf(total->why, sizeof(total->why), "%lu of %lu events came, then none for %d s",
                     (unsigned long)l->received, (unsigned long)events, DRAIN_S);
            total->errors += events - l->received;
            return false;
        }
        if (!receive(l, now + 100000000))
            return false;
    }
    return true;
}

/* The broker's process, found through a connection of its own. */
static pid_t find_broker(const struct load_plan *plan, char *why)
{
    if (plan->pid)
        return plan->pid;
    const struct driver *d = plan->target.driver;
    struct link *link = d->open(&plan->target, ROLE_IDLE, FROM_END, &sink, NULL, why);
    pid_t pid = link ? process_of_peer(link->fd) : 0;
    if (link)
        d->close(link);
    return pid;
}

bool load_consume(const struct load_plan *plan, uint64_t events, uint32_t passes, struct load_result *result)
{
    memset(result, 0, sizeof(*result));
    histogram_reset(&result->ack);
    histogram_reset(&result->e2e);
    result->pid = find_broker(plan, result->why);
    struct load_result *pass = malloc(sizeof(*pass));
    bool ok = pass != NULL;
    for (uint32_t i = 0; ok && i < passes; i++) {
        struct load l;
        ok = load_begin(&l, plan, pass);
        pass->pid = result->pid;
        if (ok) {
            /* The subscription's answer may bring the first events: measuring begins before it is sent. */
            begin_measuring(&l, clock_now_ns());
            ok = consume_once(&l, events, pass);
            finish_measuring(&l);
        }
        load_end(&l);
        result->events += pass->events;
        result->seconds += pass->seconds;
        result->errors += pass->errors;
        result->broker_cpu_s += pass->broker_cpu_s;
        result->generator_cpu_s += pass->generator_cpu_s;
        result->rss_mb = pass->rss_mb;
        if (!result->why[0])
            snprintf(result->why, sizeof(result->why), "%s", pass->why);
    }
    free(pass);
    return ok;
}
