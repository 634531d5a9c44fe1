/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare.c: runs scenarios; see the header.
 */
#include "compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "process.h"

enum { QUICK_PART = 4 };

static const struct scenario *const scenarios[] = {
    &scenario_one,     &scenario_paced,  &scenario_publish, &scenario_consume, &scenario_spread,
    &scenario_history, &scenario_groups, &scenario_memory,  &scenario_start,   &scenario_idle,
};
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

/* ---- for scenarios ---- */

bool compare_start(struct compare *c, const struct contender *who, struct server *s, char *why)
{
    return server_start(s, who->kind, c->runneld, c->options->dir, why);
}

double compare_seconds(const struct compare *c, double full)
{
    return c->options->quick ? full / QUICK_PART : full;
}

void compare_plan(const struct compare *c, const struct contender *who, const struct server *s,
                  struct load_plan *plan)
{
    *plan = (struct load_plan){ .target = { .driver = s->driver,
                                            .url = s->url,
                                            .topic = "bench",
                                            .topics = 1,
                                            .partitions = who->partitions ? who->partitions : 1,
                                            .size = c->options->size,
                                            .acks = ACKS_DURABLE },
                                .connections = 1,
                                .in_flight = who->in_flight ? who->in_flight : 1,
                                .batch = who->batch ? who->batch : 1,
                                .warmup_s = c->options->quick ? .3 : 1,
                                .spin = who->spin,
                                .pid = s->pid };
}

bool compare_run(struct compare *c, const struct load_plan *plan, uint64_t stored, uint32_t passes, char *why)
{
    bool ok = command_run(plan, stored, passes, true, c->result);
    if (ok && !c->result->errors)
        return true;
    snprintf(why, 256, "%lu errors: %.200s", (unsigned long)c->result->errors, c->result->why);
    return false;
}

/* ---- figures ---- */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted values without NANs; how many. */
static int sorted(const struct outcome *o, int contender, int figure, double *out)
{
    int n = 0;
    for (int i = 0; i < o->done[contender]; i++)
        if (!isnan(o->values[contender][figure][i]))
            out[n++] = o->values[contender][figure][i];
    qsort(out, (size_t)n, sizeof(*out), compare_double);
    return n;
}

double compare_median(const struct outcome *o, int contender, int figure)
{
    double v[RUNS_MAX];
    int n = sorted(o, contender, figure, v);
    return n == 0 ? NAN : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

void compare_range(const struct outcome *o, int contender, int figure, double *least, double *most)
{
    double v[RUNS_MAX];
    int n = sorted(o, contender, figure, v);
    *least = n ? v[0] : NAN;
    *most = n ? v[n - 1] : NAN;
}

double compare_ratio(const struct outcome *o, const struct compare_target *t)
{
    double value = compare_median(o, t->contender, t->figure), best = NAN;
    if (!t->reference_count)
        return value;
    bool more = o->scenario->figures[t->figure].more_is_better;
    for (int i = 0; i < t->reference_count; i++) {
        double m = compare_median(o, t->references[i], t->figure);
        if (isnan(best) || (more ? m > best : m < best))
            best = m;
    }
    return value / best;
}

bool compare_met(const struct compare_target *t, double ratio)
{
    return t->at_least ? ratio >= t->bound : ratio <= t->bound;
}

/* ---- running ---- */

static void run_scenario(struct compare *c, const struct scenario *sc, struct outcome *o)
{
    const char *missing[CONTENDERS_MAX] = { 0 };
    o->scenario = sc;
    o->runs = (int)c->options->runs;
    for (int i = 0; i < sc->contender_count; i++) {
        missing[i] = server_missing(sc->contenders[i].kind, c->runneld);
        if (missing[i])
            snprintf(o->why[i], sizeof(o->why[i]), "%s", missing[i]);
    }
    for (int run = 0; run < o->runs; run++) {
        for (int i = 0; i < sc->contender_count; i++) {
            double values[FIGURES_MAX];
            if (missing[i])
                continue;
            fprintf(stderr, "%s: run %d of %d: %s\n", sc->name, run + 1, o->runs, sc->contenders[i].name);
            for (int f = 0; f < FIGURES_MAX; f++)
                values[f] = NAN;
            if (!sc->run(c, &sc->contenders[i], values, o->why[i])) {
                fprintf(stderr, "error: %s: %s: %s\n", sc->name, sc->contenders[i].name, o->why[i]);
                continue;
            }
            for (int f = 0; f < sc->figure_count; f++)
                o->values[i][f][o->done[i]] = values[f];
            o->done[i]++;
        }
    }
}

static bool wanted(const struct options *o, const char *name)
{
    if (!o->only)
        return true;
    size_t len = strlen(name);
    for (const char *p = o->only; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == 0))
            return true;
    }
    return false;
}

static void find_runneld(struct compare *c)
{
    if (c->options->runneld)
        snprintf(c->runneld, sizeof(c->runneld), "%s", c->options->runneld);
    else
        process_beside("runneld", c->runneld, sizeof(c->runneld));
}

int command_compare(const struct options *o)
{
    struct compare c = { .options = o };
    c.result = malloc(sizeof(*c.result));
    c.outcomes = calloc(SCENARIOS, sizeof(*c.outcomes));
    if (!c.result || !c.outcomes) {
        free(c.result);
        free(c.outcomes);
        return 1;
    }
    find_runneld(&c);
    bool all = true;
    for (int i = 0; i < SCENARIOS; i++) {
        if (!wanted(o, scenarios[i]->name))
            continue;
        struct outcome *found = &c.outcomes[c.outcome_count++];
        run_scenario(&c, scenarios[i], found);
        for (int j = 0; j < scenarios[i]->contender_count; j++)
            all = all && found->done[j];
        if (!o->json)
            compare_print_table(found);
    }
    if (!c.outcome_count)
        fprintf(stderr,
                "error: --only %s names no scenario: expected one, paced, publish, consume, spread, "
                "history, memory, start, idle\n",
                o->only);
    if (o->json)
        compare_print_json(&c);
    if (o->svg && !compare_write_svg(&c, o->svg))
        all = false;
    int code = !c.outcome_count ? 2 : all ? 0 : 7;
    free(c.result);
    free(c.outcomes);
    return code;
}
