/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/scale.c: how the same paced load fares over more partitions, connections and topics.
 *
 * One axis at a time, the others at one. More than PARTITIONS_MAX partitions become several topics, as that
 * is what brokers allow. Of many connections ACTIVE_CONNECTIONS publish, the others are idle.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "commands.h"
#include "report.h"

enum { PARTITIONS_MAX = 1000, ACTIVE_CONNECTIONS = 16, SPARE_DESCRIPTORS = 64 };
static const double RATE = 10000;

struct axis {
    const char *name;
    uint32_t steps[5];
};

static const struct axis axes[] = {
    { "partitions", { 1, 10, 100, 1000, 10000 } },
    { "connections", { 1, 10, 100, 1000, 10000 } },
    { "topics", { 1, 10, 100, 1000, 0 } },
};

static void place(struct load_plan *plan, const struct axis *axis, uint32_t n)
{
    struct target *t = &plan->target;
    t->topics = t->partitions = plan->connections = 1;
    plan->idle = 0;
    if (axis == &axes[0]) {
        t->topics = n > PARTITIONS_MAX ? n / PARTITIONS_MAX : 1;
        t->partitions = n / t->topics;
    } else if (axis == &axes[1]) {
        plan->connections = n < ACTIVE_CONNECTIONS ? n : ACTIVE_CONNECTIONS;
        plan->idle = n - plan->connections;
    } else {
        t->topics = n;
    }
}

static double us(const struct histogram *h, double q)
{
    return (double)histogram_quantile(h, q) / 1e3;
}

static void report_step(const struct axis *axis, uint32_t n, const struct load_result *r,
                        const struct options *o, bool first)
{
    if (r->why[0])
        fprintf(stderr, "error: scale: %u %s: %s\n", n, axis->name, r->why);
    if (o->json) {
        char extra[64];
        snprintf(extra, sizeof(extra), "\"axis\":\"%s\",\"n\":%u,", axis->name, n);
        fputs(first ? "[" : ",\n ", stdout);
        report_load_json(extra, r, o->size);
    } else {
        printf("%-12s %6u %10.0f %9.1f %9.1f %9.1f %9.1f %10.3f %9.1f %7lu\n", axis->name, n,
               r->seconds > 0 ? (double)r->events / r->seconds : 0, us(&r->ack, .5), us(&r->ack, .95),
               us(&r->ack, .99), us(&r->e2e, .95), r->events ? r->broker_cpu_s * 1e6 / (double)r->events : 0,
               r->rss_mb, (unsigned long)r->errors);
    }
    fflush(stdout);
}

/* Connections need descriptors: as many as the machine allows. The most connections that fit. */
static uint32_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > SPARE_DESCRIPTORS ? (uint32_t)(limit.rlim_cur - SPARE_DESCRIPTORS) : 0;
}

int command_scale(const struct options *o)
{
    struct load_result *r = malloc(sizeof(*r));
    uint32_t connections_max = raise_descriptors();
    bool first = true, ok = true, errors = false;
    if (!o->json)
        printf("%-12s %6s %10s %9s %9s %9s %9s %10s %9s %7s\n", "axis", "n", "events/s", "ack p50", "ack p95",
               "ack p99", "e2e p95", "CPU s/M", "RSS MB", "errors");
    for (size_t i = 0; r && i < sizeof(axes) / sizeof(axes[0]); i++) {
        const struct axis *axis = &axes[i];
        if (o->only && !strstr(o->only, axis->name))
            continue;
        for (int step = 0; step < 5 && axis->steps[step]; step++) {
            struct load_plan plan;
            char topic[64];
            uint32_t n = axis->steps[step];
            command_plan(o, &plan, topic);
            plan.target.topic = topic;
            plan.rate = o->rate > 0 ? o->rate : RATE;
            plan.consume = true;
            if (o->quick)
                plan.duration_s = 1;
            place(&plan, axis, n);
            if (plan.idle > connections_max) {
                fprintf(stderr, "note: scale: %u connections need more descriptors than ulimit -Hn allows\n",
                        n);
                continue;
            }
            ok = command_run(&plan, 0, 0, false, r) && ok;
            errors = errors || r->errors;
            report_step(axis, n, r, o, first);
            first = false;
        }
    }
    if (o->json)
        puts(first ? "[]" : "]");
    free(r);
    return !ok ? 1 : errors ? 7 : 0;
}
