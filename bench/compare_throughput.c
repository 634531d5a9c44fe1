/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare_throughput.c: scenarios about how much: most published, most consumed.
 *
 * Each broker gets the window that suits it best. Redis and NATS have no batches in their protocols; their
 * window is filled with single events, which they handle as fast as they can read them.
 */
#include <math.h>
#include <stdio.h>

#include "clock.h"
#include "compare.h"

enum {
    WINDOW = 10000,
    BATCH = 64,
    /* Three turns of a 256 MiB journal take 2.5 million single events of 256 bytes, or 3 million in batches.
     */
    RUNNEL_EVENTS = 8000000,
    RUNNEL_EVENTS_QUICK = 4000000,
};

static double per_s(const struct load_result *r)
{
    return r->seconds > 0 ? (double)r->events / r->seconds : NAN;
}

/* ---- publishing ---- */

enum { VARIANT_MEMORY = 1 };

static bool run_publish(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    if (s.driver == &driver_runnel)
        plan.events = c->options->quick ? RUNNEL_EVENTS_QUICK : RUNNEL_EVENTS;
    plan.duration_s = compare_seconds(c, 5);
    plan.target.acks = who->variant == VARIANT_MEMORY ? ACKS_MEMORY : ACKS_DURABLE;
    bool ok = compare_run(c, &plan, 0, 0, why);
    const struct load_result *r = c->result;
    values[0] = per_s(r);
    values[1] = per_s(r) * plan.target.size / 1e6;
    values[2] = r->events ? r->broker_cpu_s * 1e6 / (double)r->events : NAN;
    values[3] = r->seconds > 0 ? 100 * r->generator_cpu_s / r->seconds : NAN;
    values[4] = r->rss_mb;
    server_remove(&s);
    return ok;
}

enum { PUB_B64, PUB_B64_P64, PUB_B1, PUB_B1_P64, PUB_MEMORY, PUB_REDIS_ALWAYS, PUB_REDIS, PUB_NATS };

const struct scenario scenario_publish = {
    .name = "publish",
    .title = "Most published on one connection",
    .figures = { { "events_per_s", "events/s", true },
                 { "mb_per_s", "MB/s", true },
                 { "cpu_s_per_million", "CPU s/M", false },
                 { "generator_cpu_percent", "gen. CPU %", false },
                 { "rss_mb", "RSS MB", false } },
    .figure_count = 5,
    .contenders = { [PUB_B64] = { "runnel, 64 a request", SERVER_RUNNEL, 1, BATCH, WINDOW, false, 0 },
                    [PUB_B64_P64] = { "runnel, 64 a request, 64 part.", SERVER_RUNNEL, 64, BATCH, WINDOW,
                                      false, 0 },
                    [PUB_B1] = { "runnel, 1 a request", SERVER_RUNNEL, 1, 1, WINDOW, false, 0 },
                    [PUB_B1_P64] = { "runnel, 1 a request, 64 part.", SERVER_RUNNEL, 64, 1, WINDOW, false,
                                     0 },
                    [PUB_MEMORY] = { "runnel, 64, acks=memory", SERVER_RUNNEL, 1, BATCH, WINDOW, false,
                                     VARIANT_MEMORY },
                    [PUB_REDIS_ALWAYS] = { "redis always", SERVER_REDIS_ALWAYS, 1, 1, WINDOW, false, 0 },
                    [PUB_REDIS] = { "redis everysec (page cache)", SERVER_REDIS_EVERYSEC, 1, 1, WINDOW, false,
                                    0 },
                    [PUB_NATS] = { "nats (page cache)", SERVER_NATS, 1, 1, WINDOW, false, 0 } },
    .contender_count = 8,
    .targets = { { "durable / redis always", PUB_B64, 0, { PUB_REDIS_ALWAYS }, 1, true, 15 },
                 { "durable / best that is not durable", PUB_B64, 0, { PUB_REDIS, PUB_NATS }, 2, true, 4 },
                 { "64 partitions / 1", PUB_B64_P64, 0, { PUB_B64 }, 1, true, .85 },
                 { "CPU / redis always", PUB_B64, 2, { PUB_REDIS_ALWAYS }, 1, false, .3 },
                 { "one event a request: durable / redis always",
                   PUB_B1,
                   0,
                   { PUB_REDIS_ALWAYS },
                   1,
                   true,
                   15 },
                 { "one event a request: 64 partitions / 1", PUB_B1_P64, 0, { PUB_B1 }, 1, true, .85 },
                 { "one event a request: CPU / redis always", PUB_B1, 2, { PUB_REDIS_ALWAYS }, 1, false, .3 },
                 { "stretch: durable, events/s", PUB_B64, 0, { 0 }, 0, true, 4e6 } },
    .target_count = 8,
    .run = run_publish,
};

/* ---- consuming ---- */

enum { MEMORY_EVENTS = 100000, MEMORY_PASSES = 20, PEER_HISTORY_EVENTS = 1000000 };

static bool consume_stored(struct compare *c, const struct contender *who, uint64_t events, uint32_t passes,
                           double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    bool ok = compare_run(c, &plan, events, passes, why);
    values[0] = per_s(c->result);
    values[1] = c->result->events ? c->result->broker_cpu_s * 1e6 / (double)c->result->events : NAN;
    server_remove(&s);
    return ok;
}

static bool consume_live(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan.consume = true;
    plan.duration_s = compare_seconds(c, 4);
    bool ok = compare_run(c, &plan, 0, 0, why);
    values[0] = per_s(c->result);
    server_remove(&s);
    return ok;
}

static bool run_consume(struct compare *c, const struct contender *who, double *values, char *why)
{
    double memory[2] = { NAN, NAN }, history[2] = { NAN, NAN };
    bool runnel = who->kind == SERVER_RUNNEL;
    uint64_t stored = runnel ? c->options->history_mb * 1000000 / c->options->size : PEER_HISTORY_EVENTS;
    bool ok = consume_stored(c, who, MEMORY_EVENTS, MEMORY_PASSES, memory, why) &&
              consume_live(c, who, &values[1], why) && consume_stored(c, who, stored, 1, history, why);
    values[0] = memory[0];
    values[2] = history[0];
    values[3] = memory[1];
    values[4] = history[1];
    return ok;
}

enum { CONSUME_RUNNEL, CONSUME_REDIS, CONSUME_NATS };

const struct scenario scenario_consume = {
    .name = "consume",
    .title = "Most consumed, one plain reader",
    .figures = { { "memory_events_per_s", "memory ev/s", true },
                 { "live_events_per_s", "live ev/s", true },
                 { "history_events_per_s", "history ev/s", true },
                 { "memory_cpu_s_per_million", "mem. CPU s/M", false },
                 { "history_cpu_s_per_million", "hist. CPU s/M", false } },
    .figure_count = 5,
    .contenders = { [CONSUME_RUNNEL] = { "runnel", SERVER_RUNNEL, 1, BATCH, WINDOW, false, 0 },
                    [CONSUME_REDIS] = { "redis everysec", SERVER_REDIS_EVERYSEC, 1, 1, WINDOW, false, 0 },
                    [CONSUME_NATS] = { "nats", SERVER_NATS, 1, 1, WINDOW, false, 0 } },
    .contender_count = 3,
    .targets = { { "from memory / best peer",
                   CONSUME_RUNNEL,
                   0,
                   { CONSUME_REDIS, CONSUME_NATS },
                   2,
                   true,
                   3 },
                 { "live / best peer", CONSUME_RUNNEL, 1, { CONSUME_REDIS, CONSUME_NATS }, 2, true, 3 },
                 { "from history / best peer",
                   CONSUME_RUNNEL,
                   2,
                   { CONSUME_REDIS, CONSUME_NATS },
                   2,
                   true,
                   2 } },
    .target_count = 3,
    .run = run_consume,
};
