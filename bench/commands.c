/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/commands.c: see the header.
 */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "limits.h"
#include "report.h"

enum {
    MEMORY_EVENTS = 100000, /* with 256-byte payloads some 30 MB: below any broker's memory for tails */
    MEMORY_PASSES = 20,
    HISTORY_EVENTS = 4000000, /* 1.2 GB: above it */
    STORE_WINDOW = 4096,
    STORE_BATCH = 64,
};

static int exit_code(bool ok, const struct load_result *r)
{
    return !ok ? 1 : r->errors ? 7 : 0;
}

void command_plan(const struct options *o, struct load_plan *plan, char *topic)
{
    snprintf(topic, 64, "bench-%x-%lx", (unsigned)getpid(), (unsigned long)clock_now_ns());
    *plan = (struct load_plan){ .target = { .driver = o->driver,
                                            .url = o->url ? o->url : o->driver->url,
                                            .topic = o->topic ? o->topic : topic,
                                            .topics = o->topics,
                                            .partitions = o->partitions,
                                            .size = o->size,
                                            .acks = o->acks,
                                            .group = o->group || o->shared,
                                            .shared = o->shared,
                                            .ids = o->ids,
                                            .dedupe = o->dedupe },
                                .connections = o->connections,
                                .idle = o->idle,
                                .rate = o->rate,
                                .in_flight = o->in_flight,
                                .batch = o->batch,
                                .events = o->events,
                                .warmup_s = o->warmup_s,
                                .duration_s = o->duration_s,
                                .spin = o->spin,
                                .pid = o->pid };
}

/* Stores events as fast as they go, to be read afterwards. */
static bool store(const struct load_plan *plan, uint64_t events, struct load_result *result)
{
    struct load_plan fill = *plan;
    fill.rate = 0;
    fill.events = events;
    fill.connections = 1;
    fill.batch = plan->target.driver->batch_max < STORE_BATCH ? plan->target.driver->batch_max : STORE_BATCH;
    fill.in_flight = STORE_WINDOW;
    fill.consume = false;
    fill.idle = 0;
    return load_publish(&fill, result) && !result->errors;
}

bool command_run(const struct load_plan *plan, uint64_t events, uint32_t passes, bool keep,
                 struct load_result *result)
{
    const struct driver *d = plan->target.driver;
    memset(result, 0, sizeof(*result));
    if (!d->topics(&plan->target, false, result->why))
        return false;
    bool ok;
    if (events)
        ok = store(plan, events, result) && load_consume(plan, events, passes, result);
    else
        ok = load_publish(plan, result);
    char why[256];
    if (!keep)
        d->topics(&plan->target, true, why); /* the result stands, whether or not this succeeds */
    return ok;
}

int command_limits(const struct options *o)
{
    struct limits *l = calloc(1, sizeof(*l));
    char why[256] = "memory";
    if (!l || !limits_measure(l, o->dir, o->quick ? .2 : 1, why)) {
        fprintf(stderr, "error: limits (%s): %s\n", o->dir, why);
        free(l);
        return 1;
    }
    report_limits(l, o->json);
    free(l);
    return 0;
}

static int publish(const struct options *o, bool consume, const char *name)
{
    struct load_plan plan;
    struct load_result *r = malloc(sizeof(*r));
    char topic[64];
    command_plan(o, &plan, topic);
    plan.consume = consume;
    bool ok = command_run(&plan, 0, 0, o->topic != NULL, r);
    report_load(name, r, o->size, o->json);
    int code = exit_code(ok, r);
    free(r);
    return code;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Events with an envelope and bare ones of the same total size, in turn; the medians' ratio. Not from 0 to 1
 * but 1 to 0 every other time: what the machine does beside us must not meet always the same of them. */
static int publish_envelopes(const struct options *o)
{
    enum { RUNS_MAX = 99 };
    static const char *const names[] = { "bare", "with envelope" };
    double rates[2][RUNS_MAX];
    const uint32_t runs = o->runs < RUNS_MAX ? o->runs : RUNS_MAX;
    struct load_plan plan;
    struct load_result *r = malloc(sizeof(*r));
    char topic[64];
    int code = 0;
    command_plan(o, &plan, topic);
    const uint32_t bytes = librunnel_envelope_bytes(&plan.target);
    for (uint32_t i = 0; i < 2 * runs && code == 0; i++) {
        const int with = (i + i / 2) & 1;
        plan.target.envelope = with;
        plan.target.size = with ? o->size : o->size + bytes;
        const bool ok = command_run(&plan, 0, 0, o->topic != NULL, r);
        report_load(names[with], r, o->size + bytes, o->json);
        rates[with][i / 2] = r->seconds > 0 ? (double)r->events / r->seconds : 0;
        code = exit_code(ok, r);
    }
    free(r);
    if (code)
        return code;
    for (int with = 0; with < 2; with++)
        qsort(rates[with], runs, sizeof(double), by_value);
    const double bare = rates[0][runs / 2], enveloped = rates[1][runs / 2];
    if (o->json)
        printf("{\"envelope_bytes\":%u,\"bare_events_per_s\":%.0f,\"envelope_events_per_s\":%.0f,"
               "\"ratio\":%.3f}\n",
               bytes, bare, enveloped, enveloped / bare);
    else
        printf("with envelope / bare: %.1f %% (medians of %u runs; %u bytes of envelope, %u of payload)\n",
               100 * enveloped / bare, runs, bytes, o->size);
    return 0;
}

int command_publish(const struct options *o)
{
    if (o->envelope)
        return publish_envelopes(o);
    return publish(o, false, "publish");
}

int command_e2e(const struct options *o)
{
    return publish(o, true, "e2e");
}

int command_consume(const struct options *o)
{
    if (o->mode == MODE_LIVE)
        return publish(o, true, "consume live");
    struct load_plan plan;
    struct load_result *r = malloc(sizeof(*r));
    char topic[64];
    bool memory = o->mode == MODE_MEMORY;
    command_plan(o, &plan, topic);
    plan.connections = 1;
    uint64_t events = o->events ? o->events : memory ? MEMORY_EVENTS : HISTORY_EVENTS;
    uint32_t passes = o->passes ? o->passes : memory ? MEMORY_PASSES : 1;
    bool ok = command_run(&plan, events, passes, o->topic != NULL, r);
    report_load(memory ? "consume from memory" : "consume history", r, o->size, o->json);
    int code = exit_code(ok, r);
    free(r);
    return code;
}
