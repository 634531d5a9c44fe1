/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare_groups.c: scenarios about consumer groups: every event is acknowledged by its consumer.
 *
 * Windows are equal: 5,000 events may be out with the one consumer, which acknowledges what it was given as
 * it reads it. Redis acknowledges a reply's entries in one XACK, NATS each message by its own, Runnel a
 * delivery's range. Only Runnel's acknowledgements are on stable storage.
 */
#include <math.h>

#include "compare.h"

enum { BATCH = 64, WINDOW = 10000, EVENTS = 200000, PASSES = 5, RATE = 10000 };
enum { VARIANT_PLAIN, VARIANT_ORDERED, VARIANT_SHARED };

static void plan_group(struct load_plan *plan, const struct contender *who)
{
    plan->target.group = who->variant != VARIANT_PLAIN;
    plan->target.shared = who->variant == VARIANT_SHARED;
}

static bool run_most(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan_group(&plan, who);
    const bool ok = compare_run(c, &plan, EVENTS, PASSES, why);
    const struct load_result *r = c->result;
    values[0] = r->seconds > 0 ? (double)r->events / r->seconds : NAN;
    values[1] = r->events ? r->broker_cpu_s * 1e6 / (double)r->events : NAN;
    server_remove(&s);
    return ok;
}

static bool run_paced(struct compare *c, const struct contender *who, double *values, char *why)
{
    struct server s;
    struct load_plan plan;
    if (!compare_start(c, who, &s, why))
        return false;
    compare_plan(c, who, &s, &plan);
    plan_group(&plan, who);
    plan.batch = 1;
    plan.rate = RATE;
    plan.consume = true;
    plan.duration_s = compare_seconds(c, 5);
    const bool ok = compare_run(c, &plan, 0, 0, why);
    values[2] = (double)histogram_quantile(&c->result->e2e, .5) / 1e3;
    values[3] = (double)histogram_quantile(&c->result->e2e, .95) / 1e3;
    server_remove(&s);
    return ok;
}

static bool run_groups(struct compare *c, const struct contender *who, double *values, char *why)
{
    values[0] = values[1] = NAN;
    return (who->variant == VARIANT_PLAIN || run_most(c, who, values, why)) && run_paced(c, who, values, why);
}

enum { GROUPS_PLAIN, GROUPS_ORDERED, GROUPS_SHARED, GROUPS_REDIS, GROUPS_NATS };

const struct scenario scenario_groups = {
    .name = "groups",
    .title = "One consumer of a group, every event acknowledged",
    .figures = { { "events_per_s", "group + ack, ev/s", true },
                 { "cpu_s_per_million", "CPU s/M", false },
                 { "e2e_p50_us", "paced e2e p50, us", false },
                 { "e2e_p95_us", "paced e2e p95, us", false } },
    .figure_count = 4,
    .contenders = { [GROUPS_PLAIN] = { "runnel, no group", SERVER_RUNNEL, 1, BATCH, WINDOW, false,
                                       VARIANT_PLAIN },
                    [GROUPS_ORDERED] = { "runnel, ordered", SERVER_RUNNEL, 1, BATCH, WINDOW, false,
                                         VARIANT_ORDERED },
                    [GROUPS_SHARED] = { "runnel, shared", SERVER_RUNNEL, 1, BATCH, WINDOW, false,
                                        VARIANT_SHARED },
                    [GROUPS_REDIS] = { "redis everysec", SERVER_REDIS_EVERYSEC, 1, 1, WINDOW, false,
                                       VARIANT_ORDERED },
                    [GROUPS_NATS] = { "nats", SERVER_NATS, 1, 1, WINDOW, false, VARIANT_ORDERED } },
    .contender_count = 5,
    .targets = { { "ordered / best peer", GROUPS_ORDERED, 0, { GROUPS_REDIS, GROUPS_NATS }, 2, true, 5 },
                 { "shared / best peer", GROUPS_SHARED, 0, { GROUPS_REDIS, GROUPS_NATS }, 2, true, 3 },
                 { "ordered: e2e p95 / no group", GROUPS_ORDERED, 3, { GROUPS_PLAIN }, 1, false, 1.2 },
                 { "shared: e2e p95 / no group", GROUPS_SHARED, 3, { GROUPS_PLAIN }, 1, false, 1.2 } },
    .target_count = 4,
    .run = run_groups,
};
