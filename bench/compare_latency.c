/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare_latency.c: scenarios about time: one event in flight, 10,000 events a second, the same over
 * many partitions, and the same beside a reader of history.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "compare.h"
#include "limits.h"

static const double RATE = 10000;

static double us(const struct histogram *h, double q)
{
    return h->count ? (double)histogram_quantile(h, q) / 1e3 : NAN;
}

static double cpu_per_million(const struct load_result *r)
{
    return r->events ? r->broker_cpu_s * 1e6 / (double)r->events : NAN;
}

/* ---- one in flight ---- */

static bool run_limits(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct limits *l = calloc(1, sizeof(*l));
    bool ok = l && limits_measure(l, c->options->dir, compare_seconds(c, .5), why);
    if (ok) {
        const struct histogram *rtt = who->spin ? &l->rtt_spinning : &l->rtt;
        const struct histogram *write = who->spin ? &l->write_spinning[0] : &l->write[0];
        values[0] = us(rtt, .5) + us(write, .5);
        values[1] = us(rtt, .95) + us(write, .95);
        values[2] = us(rtt, .99) + us(write, .99);
    }
    free(l);
    return ok;
}

static bool run_one(struct compare *c, const struct contender *who, double *values, char *why)
{
    if (who->kind == SERVER_NONE)
        return run_limits(c, who, values, why);
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan.in_flight = 1;
    plan.duration_s = compare_seconds(c, 4);
    bool ok = compare_run(c, &plan, 0, 0, why);
    values[0] = us(&c->result->ack, .5);
    values[1] = us(&c->result->ack, .95);
    values[2] = us(&c->result->ack, .99);
    values[3] = cpu_per_million(c->result);
    server_remove(&s);
    return ok;
}

enum { ONE_LIMITS, ONE_LIMITS_SPIN, ONE_RUNNEL, ONE_RUNNEL_SPIN, ONE_REDIS_ALWAYS, ONE_REDIS, ONE_NATS };

const struct scenario scenario_one = {
    .name = "one",
    .title = "One event in flight, acknowledged durably",
    .figures = { { "ack_p50_us", "ack p50, us", false },
                 { "ack_p95_us", "ack p95, us", false },
                 { "ack_p99_us", "ack p99, us", false },
                 { "cpu_s_per_million", "CPU s/M", false } },
    .figure_count = 4,
    .contenders = { [ONE_LIMITS] = { .name = "limits: rtt + 4k write", .kind = SERVER_NONE },
                    [ONE_LIMITS_SPIN] = { .name = "limits, spinning", .kind = SERVER_NONE, .spin = true },
                    [ONE_RUNNEL] = { .name = "runnel", .kind = SERVER_RUNNEL },
                    [ONE_RUNNEL_SPIN] = { .name = "runnel, both spinning",
                                          .kind = SERVER_RUNNEL_LATENCY,
                                          .spin = true },
                    [ONE_REDIS_ALWAYS] = { .name = "redis always", .kind = SERVER_REDIS_ALWAYS },
                    [ONE_REDIS] = { .name = "redis everysec (page cache)", .kind = SERVER_REDIS_EVERYSEC },
                    [ONE_NATS] = { .name = "nats (page cache)", .kind = SERVER_NATS } },
    .contender_count = 7,
    .targets = { { "default settings: ack p50 / sleeping limits",
                   ONE_RUNNEL,
                   0,
                   { ONE_LIMITS },
                   1,
                   false,
                   0.9 },
                 { "latency mode: ack p50 / spinning limits",
                   ONE_RUNNEL_SPIN,
                   0,
                   { ONE_LIMITS_SPIN },
                   1,
                   false,
                   1.2 } },
    .target_count = 2,
    .run = run_one,
};

/* ---- paced ---- */

static bool run_paced(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan.rate = RATE;
    plan.consume = true;
    plan.duration_s = compare_seconds(c, 6);
    bool ok = compare_run(c, &plan, 0, 0, why);
    const struct load_result *r = c->result;
    values[0] = us(&r->ack, .5);
    values[1] = us(&r->ack, .95);
    values[2] = us(&r->ack, .99);
    values[3] = us(&r->e2e, .5);
    values[4] = us(&r->e2e, .95);
    values[5] = us(&r->e2e, .99);
    values[6] = cpu_per_million(r);
    server_remove(&s);
    return ok;
}

enum { PACED_RUNNEL, PACED_RUNNEL_SPIN, PACED_REDIS_ALWAYS, PACED_REDIS, PACED_NATS };

const struct scenario scenario_paced = {
    .name = "paced",
    .title = "10,000 events a second, with a live subscriber",
    .figures = { { "ack_p50_us", "ack p50, us", false },
                 { "ack_p95_us", "ack p95, us", false },
                 { "ack_p99_us", "ack p99, us", false },
                 { "e2e_p50_us", "e2e p50, us", false },
                 { "e2e_p95_us", "e2e p95, us", false },
                 { "e2e_p99_us", "e2e p99, us", false },
                 { "cpu_s_per_million", "CPU s/M", false } },
    .figure_count = 7,
    .contenders = { [PACED_RUNNEL] = { .name = "runnel", .kind = SERVER_RUNNEL },
                    [PACED_RUNNEL_SPIN] = { .name = "runnel, latency mode", .kind = SERVER_RUNNEL_LATENCY },
                    [PACED_REDIS_ALWAYS] = { .name = "redis always", .kind = SERVER_REDIS_ALWAYS },
                    [PACED_REDIS] = { .name = "redis everysec (page cache)", .kind = SERVER_REDIS_EVERYSEC },
                    [PACED_NATS] = { .name = "nats (page cache)", .kind = SERVER_NATS } },
    .contender_count = 5,
    .targets = { { "ack p95 / redis always", PACED_RUNNEL, 1, { PACED_REDIS_ALWAYS }, 1, false, 0.8 },
                 { "e2e p95 / redis always", PACED_RUNNEL, 4, { PACED_REDIS_ALWAYS }, 1, false, 0.8 },
                 { "latency mode: ack p95 / redis always",
                   PACED_RUNNEL_SPIN,
                   1,
                   { PACED_REDIS_ALWAYS },
                   1,
                   false,
                   0.5 },
                 { "latency mode: e2e p95 / redis always",
                   PACED_RUNNEL_SPIN,
                   4,
                   { PACED_REDIS_ALWAYS },
                   1,
                   false,
                   0.5 },
                 { "CPU / redis always", PACED_RUNNEL, 6, { PACED_REDIS_ALWAYS }, 1, false, 1.2 },
                 { "stretch: ack p95 / nats, not durable", PACED_RUNNEL, 1, { PACED_NATS }, 1, false, 1.0 } },
    .target_count = 6,
    .run = run_paced,
};

/* ---- many partitions ---- */

enum { SPREAD_ONE, SPREAD_MANY };

const struct scenario scenario_spread = {
    .name = "spread",
    .title = "10,000 events a second over 1,000 partitions and over one",
    .figures = { { "ack_p50_us", "ack p50, us", false },
                 { "ack_p95_us", "ack p95, us", false },
                 { "ack_p99_us", "ack p99, us", false },
                 { "e2e_p50_us", "e2e p50, us", false },
                 { "e2e_p95_us", "e2e p95, us", false },
                 { "e2e_p99_us", "e2e p99, us", false },
                 { "cpu_s_per_million", "CPU s/M", false } },
    .figure_count = 7,
    .contenders = { [SPREAD_ONE] = { .name = "runnel, 1 partition", .kind = SERVER_RUNNEL },
                    [SPREAD_MANY] = { .name = "runnel, 1,000 partitions",
                                      .kind = SERVER_RUNNEL,
                                      .partitions = 1000 } },
    .contender_count = 2,
    .targets = { { "ack p95: 1,000 partitions / 1", SPREAD_MANY, 1, { SPREAD_ONE }, 1, false, 1.3 } },
    .target_count = 1,
    .run = run_paced,
};

/* ---- beside a reader of history ---- */

enum { HISTORY_BATCH = 64, HISTORY_WINDOW = 4096 };

static bool store_history(struct compare *c, const struct load_plan *like, const struct target *history,
                          char *why)
{
    struct load_plan fill = *like;
    fill.target = *history;
    fill.rate = 0;
    fill.batch = HISTORY_BATCH;
    fill.in_flight = HISTORY_WINDOW;
    fill.consume = false;
    fill.events = c->options->history_mb * 1000000 / fill.target.size;
    if (!history->driver->topics(history, false, why))
        return false;
    if (load_publish(&fill, c->result) && !c->result->errors)
        return true;
    snprintf(why, 256, "storing history: %.200s", c->result->why);
    return false;
}

static bool run_history(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan.rate = RATE;
    struct target history = plan.target;
    history.topic = "history";
    bool ok = store_history(c, &plan, &history, why);
    if (ok) {
        clock_sleep_ms(2000); /* let what is written behind settle, quiet or not */
        plan.consume = true;
        /* No longer than reading takes at the speed asked for. */
        double read_s = (double)c->options->history_mb / 400;
        plan.warmup_s = .5;
        plan.duration_s = read_s < 10 ? read_s : 10;
        plan.history = who->variant ? &history : NULL;
        ok = compare_run(c, &plan, 0, 0, why);
        values[0] = us(&c->result->ack, .5);
        values[1] = us(&c->result->ack, .95);
        values[2] = us(&c->result->ack, .99);
        values[3] = us(&c->result->e2e, .95);
        values[4] = who->variant ? c->result->history_mb_per_s : NAN;
    }
    server_remove(&s);
    return ok;
}

enum { HISTORY_QUIET, HISTORY_BUSY };

const struct scenario scenario_history = {
    .name = "history",
    .title = "10,000 events a second while one consumer reads history",
    .figures = { { "ack_p50_us", "ack p50, us", false },
                 { "ack_p95_us", "ack p95, us", false },
                 { "ack_p99_us", "ack p99, us", false },
                 { "e2e_p95_us", "e2e p95, us", false },
                 { "history_mb_per_s", "history MB/s", true } },
    .figure_count = 5,
    .contenders = { [HISTORY_QUIET] = { .name = "runnel, quiet", .kind = SERVER_RUNNEL },
                    [HISTORY_BUSY] = { .name = "runnel, beside a reader",
                                       .kind = SERVER_RUNNEL,
                                       .variant = 1 } },
    .contender_count = 2,
    .targets = { { "ack p95: beside a reader / quiet", HISTORY_BUSY, 1, { HISTORY_QUIET }, 1, false, 2 },
                 { "history, MB/s", HISTORY_BUSY, 4, { 0 }, 0, true, 400 } },
    .target_count = 2,
    .run = run_history,
};
