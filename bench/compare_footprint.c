/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare_footprint.c: scenarios about what a broker takes while it gives nothing: memory, time to
 * start, CPU when idle.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>

#include "clock.h"
#include "compare.h"
#include "process.h"

enum { WINDOW = 4096, BATCH = 64, SETTLE_MS = 1000 };

/* Stores `events` in a topic of the given shape, which stays. */
static bool fill(struct compare *c, const struct contender *who, const struct server *s, const char *topic,
                 uint32_t topics, uint32_t partitions, uint64_t events, char *why)
{
    struct load_plan plan;
    compare_plan(c, who, s, &plan);
    plan.target.topic = topic;
    plan.target.topics = topics;
    plan.target.partitions = partitions;
    plan.batch = s->driver->batch_max < BATCH || partitions > 1 ? 1 : BATCH;
    plan.in_flight = WINDOW;
    plan.events = events;
    if (!s->driver->topics(&plan.target, false, why))
        return false;
    if (!events || (load_publish(&plan, c->result) && !c->result->errors))
        return true;
    snprintf(why, 256, "storing events: %.200s", c->result->why);
    return false;
}

/* ---- memory ---- */

enum { MILLION = 1000000, IDLE_TOPICS = 10, IDLE_PARTITIONS = 1000 };

static bool run_memory(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    if (!compare_start(c, who, &s, why))
        return false;
    bool runnel = s.driver == &driver_runnel;
    clock_sleep_ms(SETTLE_MS);
    values[0] = process_rss_mb(s.pid);
    bool ok = true;
    if (runnel) {
        ok = fill(c, who, &s, "idle", IDLE_TOPICS, IDLE_PARTITIONS, 0, why);
        clock_sleep_ms(SETTLE_MS);
        values[3] = (process_rss_mb(s.pid) - values[0]) * 1e3 / (IDLE_TOPICS * IDLE_PARTITIONS);
        server_remove(&s);
        if (!ok || !compare_start(c, who, &s, why))
            return false;
    }
    ok = ok && fill(c, who, &s, "events", 1, 1, MILLION, why);
    clock_sleep_ms(SETTLE_MS);
    values[1] = process_rss_mb(s.pid);
    uint64_t more = c->options->quick || !runnel ? 2 * MILLION : 10 * MILLION;
    ok = ok && fill(c, who, &s, "events", 1, 1, more, why);
    clock_sleep_ms(SETTLE_MS);
    values[2] = process_rss_mb(s.pid);
    server_remove(&s);
    return ok;
}

const struct scenario scenario_memory = {
    .name = "memory",
    .title = "Resident memory (after more: 10 million for runnel, 2 million for others and with --quick)",
    .figures = { { "idle_mb", "idle, MB", false },
                 { "after_million_mb", "after 1 M, MB", false },
                 { "after_more_mb", "after more, MB", false },
                 { "idle_partition_kb", "partition, KB", false } },
    .figure_count = 4,
    .contenders = { { .name = "runnel", .kind = SERVER_RUNNEL },
                    { .name = "redis everysec", .kind = SERVER_REDIS_EVERYSEC },
                    { .name = "nats", .kind = SERVER_NATS } },
    .contender_count = 3,
    .targets = { { "idle, MB", 0, 0, { 0 }, 0, false, 24 },
                 { "after a million events, MB", 0, 1, { 0 }, 0, false, 128 },
                 { "after ten million more, MB", 0, 2, { 0 }, 0, false, 128 },
                 { "per idle partition, KB", 0, 3, { 0 }, 0, false, 2 } },
    .target_count = 4,
    .run = run_memory,
};

/* ---- starting ---- */

enum { TOPICS_MANY = 100, PARTITIONS_EACH = 1000, TOPICS_WITH_DATA = 10 };
enum { START_SMALL, START_LARGE, START_PARTITIONS };

static bool run_start(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    if (!compare_start(c, who, &s, why))
        return false;
    bool ok, quick = c->options->quick;
    values[0] = s.ready_ms;
    if (who->variant == START_PARTITIONS) {
        uint32_t less = quick ? 10 : 1;
        ok =
            fill(c, who, &s, "full", TOPICS_WITH_DATA / less, PARTITIONS_EACH,
                 10ull * TOPICS_WITH_DATA / less * PARTITIONS_EACH, why) &&
            fill(c, who, &s, "empty", (TOPICS_MANY - TOPICS_WITH_DATA) / less - 1, PARTITIONS_EACH, 0, why) &&
            /* The broker's limit counts its own catalogue too. */
            fill(c, who, &s, "rest", 1, PARTITIONS_EACH - 1, 0, why);
    } else {
        uint64_t events =
            who->variant == START_LARGE ? c->options->history_mb * 1000000 / c->options->size : MILLION;
        ok = fill(c, who, &s, "events", 1, 1, events, why);
    }
    values[2] = server_disk_mb(&s);
    server_stop(&s, SIGKILL);
    ok = ok && server_restart(&s, c->runneld, why);
    values[1] = ok ? s.ready_ms : NAN;
    server_remove(&s);
    return ok;
}

const struct scenario scenario_start = {
    .name = "start",
    .title = "Start until ready (large: --history-mb; partitions: 100,000, 10,000 of them with data; a tenth "
             "with --quick)",
    .figures = { { "empty_ms", "empty, ms", false },
                 { "after_kill_ms", "after SIGKILL, ms", false },
                 { "disk_mb", "on disk, MB", false } },
    .figure_count = 3,
    .contenders = { { .name = "runnel, a million events", .kind = SERVER_RUNNEL, .variant = START_SMALL },
                    { .name = "runnel, large", .kind = SERVER_RUNNEL, .variant = START_LARGE },
                    { .name = "runnel, 100,000 partitions",
                      .kind = SERVER_RUNNEL,
                      .variant = START_PARTITIONS },
                    { .name = "redis, a million events", .kind = SERVER_REDIS_EVERYSEC },
                    { .name = "nats, a million events", .kind = SERVER_NATS } },
    .contender_count = 5,
    .targets = { { "empty, ms", 0, 0, { 0 }, 0, false, 100 },
                 { "large, after SIGKILL, ms", 1, 1, { 0 }, 0, false, 1000 },
                 { "100,000 partitions, after SIGKILL, ms", 2, 1, { 0 }, 0, false, 3000 } },
    .target_count = 3,
    .run = run_start,
};

/* ---- doing nothing ---- */

static bool run_idle(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    if (!compare_start(c, who, &s, why))
        return false;
    bool ok = fill(c, who, &s, "events", 1, 1, 10000, why);
    clock_sleep_ms(3 * SETTLE_MS); /* what follows the load is not idleness yet */
    uint64_t cpu = process_cpu_fine_ns(s.pid), sleeps = process_sleeps(s.pid), begin = clock_now_ns();
    clock_sleep_ms((uint32_t)(compare_seconds(c, 10) * 1e3));
    double seconds = (double)(clock_now_ns() - begin) / 1e9;
    values[0] = (double)(process_cpu_fine_ns(s.pid) - cpu) / 1e7 / seconds;
    values[1] = (double)(process_sleeps(s.pid) - sleeps) / seconds;
    server_remove(&s);
    return ok;
}

const struct scenario scenario_idle = {
    .name = "idle",
    .title = "Doing nothing",
    .figures = { { "cpu_percent", "CPU, % of a core", false }, { "wakeups_per_s", "wake-ups/s", false } },
    .figure_count = 2,
    .contenders = { { .name = "runnel", .kind = SERVER_RUNNEL },
                    { .name = "redis everysec", .kind = SERVER_REDIS_EVERYSEC },
                    { .name = "nats", .kind = SERVER_NATS } },
    .contender_count = 3,
    .targets = { { "idle CPU, % of a core", 0, 0, { 0 }, 0, false, 0.1 } },
    .target_count = 1,
    .run = run_idle,
};
