/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/rebalance.c: how long until every partition is being consumed again, after a member's connection
 * broke and after a member joined.
 *
 * The group is ordered: in a shared one the others compete for a dead member's partitions anyway. Members are
 * clients of the library, each with a connection of its own, all in this one thread: so its turn
 * of the loop over all of them is in every figure. A round kills one member and has another one join. Both
 * end when the partitions are shared out evenly again, and then an event that is published to every partition
 * has come to its owner. Killed: counted from the end of the session time-out, which is the group's setting
 * and no work of anybody. Joins: from before the request.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/include/runnel.h"
#include "clock.h"
#include "commands.h"

enum {
    SESSION_MS = 1000,
    TURN_MS = 1000,
    ROUND_MS = 60000, /* longer than this: it failed */
    CLOSE_MS = 5000,
};

struct bench_member {
    runnel_client *client;
    runnel_group *group;
};

struct rebalance {
    const struct options *o;
    const char *url, *topic, *group;
    runnel_client *admin;
    runnel_producer *producer;
    struct bench_member *members;
    uint32_t count;
    struct pollfd *fds;
    uint32_t *seen; /* by partition: the last round of which an event came */
    uint32_t round, missing;
    struct histogram killed, joined;
    char why[256];
};

static bool fail(struct rebalance *b, runnel_client *client, const char *what)
{
    snprintf(b->why, sizeof(b->why), "%s: %.200s", what, runnel_last_error(client)->text);
    return false;
}

/* ---- members ---- */

static bool take_events(struct rebalance *b, struct bench_member *m)
{
    struct runnel_record record;
    struct runnel_lease lease;
    int rc;
    if (runnel_process(m->client) < 0)
        return fail(b, m->client, "a member's connection");
    while ((rc = runnel_group_next(m->group, &record, &lease, 0)) == 1) {
        uint32_t round = 0;
        if (record.value_len == sizeof(round))
            memcpy(&round, record.value, sizeof(round));
        if (round == b->round && b->seen[record.partition] != round) {
            b->seen[record.partition] = round;
            b->missing--;
        }
        runnel_ack(m->group, &lease);
    }
    return rc == 0 || fail(b, m->client, "consuming");
}

/* One turn of the loop over every connection. */
static bool turn(struct rebalance *b)
{
    int timeout = TURN_MS;
    for (uint32_t i = 0; i <= b->count; i++) {
        const runnel_client *client = i < b->count ? b->members[i].client : b->admin;
        const int own = runnel_timeout_ms(client);
        b->fds[i] = (struct pollfd){ .fd = runnel_fd(client), .events = (short)runnel_events(client) };
        timeout = own >= 0 && own < timeout ? own : timeout;
    }
    poll(b->fds, b->count + 1, timeout);
    for (uint32_t i = 0; i < b->count; i++)
        if ((b->fds[i].revents || !runnel_timeout_ms(b->members[i].client)) &&
            !take_events(b, &b->members[i]))
            return false;
    return runnel_process(b->admin) >= 0 || fail(b, b->admin, "publishing");
}

static bool join(struct rebalance *b)
{
    struct bench_member *m = &b->members[b->count];
    m->client = runnel_connect(b->url, NULL);
    if (!m->client)
        return fail(b, NULL, "connecting");
    m->group = NULL;
    b->count++;
    return true;
}

static bool enter(struct rebalance *b)
{
    struct bench_member *m = &b->members[b->count - 1];
    m->group = runnel_group_join(m->client, b->group, &b->topic, 1, NULL);
    return m->group || fail(b, m->client, "joining");
}

/* ---- until all is well again ---- */

static bool shared_out(const struct rebalance *b)
{
    const uint32_t least = b->o->partitions / b->count, rest = b->o->partitions % b->count != 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const uint32_t has = runnel_group_partitions(b->members[i].group);
        if (has < least || has > least + rest)
            return false;
        sum += has;
    }
    return sum == b->o->partitions;
}

static bool publish_round(struct rebalance *b)
{
    b->round++;
    b->missing = b->o->partitions;
    for (uint32_t i = 0; i < b->o->partitions; i++) {
        struct runnel_event event = RUNNEL_EVENT_INIT;
        event.partition = (int32_t)i;
        event.value = &b->round;
        event.value_len = sizeof(b->round);
        if (runnel_produce(b->producer, &event, NULL))
            return fail(b, b->admin, "publishing");
    }
    return true;
}

/* Until every partition is consumed. */
static bool recover(struct rebalance *b)
{
    const uint64_t end = clock_now_ns() + ROUND_MS * 1000000ull;
    while (!shared_out(b) && clock_now_ns() < end)
        if (!turn(b))
            return false;
    if (!publish_round(b))
        return false;
    while (b->missing && clock_now_ns() < end)
        if (!turn(b))
            return false;
    if (b->missing)
        snprintf(b->why, sizeof(b->why), "%u partitions are not consumed after %d s", b->missing,
                 ROUND_MS / 1000);
    return !b->missing;
}

static bool kill_one(struct rebalance *b)
{
    struct bench_member *m = &b->members[b->round % b->count];
    const uint64_t due = clock_now_ns() + SESSION_MS * 1000000ull;
    shutdown(runnel_fd(m->client), SHUT_RDWR); /* as if it had died: it does not leave */
    runnel_close(m->client, 0);
    *m = b->members[--b->count];
    if (!recover(b))
        return false;
    const uint64_t now = clock_now_ns();
    if (now < due)
        snprintf(b->why, sizeof(b->why), "the member's partitions were given away before its time-out");
    else
        histogram_record(&b->killed, now - due, 1);
    return now >= due;
}

static bool join_one(struct rebalance *b)
{
    if (!join(b))
        return false;
    const uint64_t begun = clock_now_ns();
    if (!enter(b) || !recover(b))
        return false;
    histogram_record(&b->joined, clock_now_ns() - begun, 1);
    return true;
}

/* ---- all of it ---- */

static bool set_up(struct rebalance *b)
{
    char session[24];
    snprintf(session, sizeof(session), "%dms", SESSION_MS);
    const struct runnel_config configs[] = { { "session.timeout", session } };
    b->admin = runnel_connect(b->url, NULL);
    if (!b->admin)
        return fail(b, NULL, "connecting");
    if (runnel_topic_create(b->admin, b->topic, b->o->partitions, NULL, 0, 0) < 0 ||
        runnel_group_set(b->admin, b->group, "ordered", configs, 1) < 0 ||
        !(b->producer = runnel_producer_new(b->admin, b->topic, NULL, NULL, NULL)))
        return fail(b, b->admin, "setting up");
    while (b->count < b->o->members)
        if (!join(b) || !enter(b))
            return false;
    return recover(b);
}

static bool run(struct rebalance *b)
{
    if (!set_up(b))
        return false;
    for (uint32_t i = 0; i < b->o->rounds; i++)
        if (!kill_one(b) || !join_one(b))
            return false;
    return true;
}

static void clean_up(struct rebalance *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        runnel_close(b->members[i].client, CLOSE_MS);
    if (b->admin) {
        runnel_group_delete(b->admin, b->group);
        runnel_topic_delete(b->admin, b->topic);
        runnel_close(b->admin, CLOSE_MS);
    }
    free(b->members);
    free(b->fds);
    free(b->seen);
}

static double ms(const struct histogram *h, double q)
{
    return (double)histogram_quantile(h, q) / 1e6;
}

static void report(const struct rebalance *b)
{
    const struct {
        const char *name, *text;
        const struct histogram *h;
    } rows[] = { { "killed_ms", "member killed, after its time-out", &b->killed },
                 { "joined_ms", "member joins", &b->joined } };
    if (b->o->json)
        printf("{\"members\":%u,\"partitions\":%u,\"rounds\":%u,\"session_timeout_ms\":%d", b->o->members,
               b->o->partitions, b->o->rounds, SESSION_MS);
    else
        printf("rebalance: %u members, %u partitions, %u rounds: until every partition is consumed again\n"
               "%-34s %9s %9s %9s\n",
               b->o->members, b->o->partitions, b->o->rounds, "milliseconds", "p50", "p95", "max");
    for (int i = 0; i < 2; i++)
        printf(b->o->json ? ",\"%s\":{\"p50\":%.1f,\"p95\":%.1f,\"max\":%.1f}" : "%-34s %9.1f %9.1f %9.1f\n",
               b->o->json ? rows[i].name : rows[i].text, ms(rows[i].h, .5), ms(rows[i].h, .95),
               (double)rows[i].h->max / 1e6);
    if (b->o->json)
        puts("}");
}

int command_rebalance(const struct options *o)
{
    struct rebalance *b = calloc(1, sizeof(*b));
    char name[64];
    snprintf(name, sizeof(name), "bench-%x-%lx", (unsigned)getpid(), (unsigned long)clock_now_ns());
    b->o = o;
    b->url = o->url;
    b->topic = b->group = name;
    b->members = calloc(o->members + 1, sizeof(*b->members));
    b->fds = calloc(o->members + 2, sizeof(*b->fds));
    b->seen = calloc(o->partitions, sizeof(*b->seen));
    const bool ok = b->members && b->fds && b->seen && run(b);
    if (ok)
        report(b);
    else
        fprintf(stderr, "error: rebalance: %s\n", b->why[0] ? b->why : "no memory");
    clean_up(b);
    free(b);
    return ok ? 0 : 1;
}
