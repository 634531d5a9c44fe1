/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/commands.h: the commands that measure one broker. Each returns the program's exit code: 0 done, 1
 * failed, 7 done but with errors counted.
 */
#ifndef RUNNEL_BENCH_COMMANDS_H
#define RUNNEL_BENCH_COMMANDS_H

#include "load.h"
#include "options.h"

int command_limits(const struct options *o);
int command_publish(const struct options *o);
int command_e2e(const struct options *o);
int command_consume(const struct options *o);
int command_scale(const struct options *o);
int command_rebalance(const struct options *o);
int command_redrive(const struct options *o);

/* The plan that the options describe; `topic` (64 bytes) receives a fresh name when none was given. */
void command_plan(const struct options *o, struct load_plan *plan, char *topic);
/* Makes the plan's topics, runs it, and removes them again unless `keep`. `events` > 0: stores so many first
 * and reads them `passes` times; else publishes. */
bool command_run(const struct load_plan *plan, uint64_t events, uint32_t passes, bool keep,
                 struct load_result *result);

#endif
