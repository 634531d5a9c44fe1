/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/options.h: the command line of runnel-bench.
 */
#ifndef RUNNEL_BENCH_OPTIONS_H
#define RUNNEL_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver.h"

enum history_mode { MODE_HISTORY, MODE_MEMORY, MODE_LIVE };

struct options {
    const char *command;
    const struct driver *driver;
    const char *url;   /* NULL: the driver's usual one */
    const char *topic; /* NULL: a new one, deleted afterwards */
    const char *dir;   /* for files and for brokers started by `compare` */
    const char *runneld, *only, *svg;
    enum acks acks;
    enum history_mode mode;
    uint32_t size, in_flight, batch, topics, partitions, connections, idle, runs, passes, members, rounds;
    double rate, duration_s, warmup_s;
    uint64_t events, history_mb;
    pid_t pid;
    bool json, spin, quick, group, shared, envelope, ids, dedupe;
};

/* Parses; on a mistake prints one line on stderr and exits with 2, on --help prints usage and exits with 0.
 */
void options_parse(struct options *o, int argc, char **argv);

#endif
