/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare.h: all brokers side by side: scenarios, contenders, figures, targets.
 *
 * A scenario runs its contenders in turn, A B C A B C ..., each time on a server freshly started in an empty
 * directory, so that the machine's moods fall on all alike. Each run gives one value per figure; medians
 * and spreads are printed, and targets compare medians of the same scenario.
 */
#ifndef RUNNEL_BENCH_COMPARE_H
#define RUNNEL_BENCH_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "load.h"
#include "options.h"
#include "server.h"

enum { FIGURES_MAX = 8, CONTENDERS_MAX = 12, TARGETS_MAX = 8, RUNS_MAX = 99, REFERENCES_MAX = 4 };

struct compare; /* one invocation: options, limits, scratch memory */

struct contender {
    const char *name;
    enum server_kind kind;
    uint32_t partitions, batch, in_flight; /* 0: 1 */
    bool spin;                             /* the generator spins too */
    int variant;                           /* for the scenario's own use */
};

struct figure {
    const char *key;  /* "ack_p95_us" */
    const char *name; /* "ack p95, us" */
    bool more_is_better;
};

/* median(contender.figure) over the best median of `references` must be at most (or at least) `bound`. */
struct compare_target {
    const char *text;
    int contender, figure;
    int references[REFERENCES_MAX], reference_count; /* contenders; 0: `bound` is in the figure's own unit */
    bool at_least;
    double bound;
};

struct scenario {
    const char *name, *title;
    struct figure figures[FIGURES_MAX];
    int figure_count;
    struct contender contenders[CONTENDERS_MAX];
    int contender_count;
    struct compare_target targets[TARGETS_MAX];
    int target_count;
    /* One run of one contender; fills values[figure], NAN for those that do not apply. False: `why`. */
    bool (*run)(struct compare *c, const struct contender *who, double *values, char *why);
};

/* What a scenario found. */
struct outcome {
    const struct scenario *scenario;
    int runs;
    int done[CONTENDERS_MAX]; /* runs that succeeded */
    char why[CONTENDERS_MAX][256];
    double values[CONTENDERS_MAX][FIGURES_MAX][RUNS_MAX];
};

struct compare {
    const struct options *options;
    char runneld[4096];
    struct load_result *result; /* scratch of the runs */
    struct outcome *outcomes;
    int outcome_count;
};

/* The scenarios' tables. */
extern const struct scenario scenario_one, scenario_paced, scenario_spread, scenario_history;
extern const struct scenario scenario_publish, scenario_consume, scenario_groups;
extern const struct scenario scenario_memory, scenario_start, scenario_idle;

int command_compare(const struct options *o);

/* ---- for scenarios ---- */

/* Starts the contender's server; compare_done() removes it. */
bool compare_start(struct compare *c, const struct contender *who, struct server *s, char *why);
/* A plan against it, with the contender's own settings and the options' size. */
void compare_plan(const struct compare *c, const struct contender *who, const struct server *s,
                  struct load_plan *plan);
/* Seconds to measure for: `full`, or less with --quick. */
double compare_seconds(const struct compare *c, double full);
/* Runs a plan on a topic of its own; errors counted are failures. */
bool compare_run(struct compare *c, const struct load_plan *plan, uint64_t stored, uint32_t passes,
                 char *why);

/* ---- for reports ---- */

double compare_median(const struct outcome *o, int contender, int figure);
void compare_range(const struct outcome *o, int contender, int figure, double *least, double *most);
/* The target's ratio (or value); NAN when it cannot be told. */
double compare_ratio(const struct outcome *o, const struct compare_target *t);
bool compare_met(const struct compare_target *t, double ratio);
void compare_print_table(const struct outcome *o);
void compare_print_json(const struct compare *c);
/* Writes DIR/NAME.svg for every scenario. */
bool compare_write_svg(const struct compare *c, const char *dir);

#endif
