/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/limits.h: this machine's own floor, so that every other figure can be given as a ratio to it.
 *
 *   loopback_rtt     256 bytes over TCP loopback and back, two processes; sleeping: both block in recv();
 *                    spinning: both poll without ever sleeping
 *   journal_write    one write at a time, O_DIRECT|O_DSYNC, over a pre-written file, as a journal does;
 *                    sleeping: pwrite(); spinning: io_uring, the waiter never sleeps
 *   seq_write        1 MiB O_DIRECT writes over a pre-written file, 8 in flight, no flush
 *   loopback         one TCP stream on loopback, 256 KiB a call
 */
#ifndef RUNNEL_BENCH_LIMITS_H
#define RUNNEL_BENCH_LIMITS_H

#include <stdbool.h>

#include "histogram.h"

enum { LIMITS_SIZES = 4 };
extern const char *const limits_size_name[LIMITS_SIZES]; /* "4k", "64k", "256k", "1m" */

struct limits {
    struct histogram rtt, rtt_spinning;
    struct histogram write[LIMITS_SIZES], write_spinning[LIMITS_SIZES];
    double seq_write_mb_per_s, loopback_mb_per_s;
};

/* Measures everything, `seconds` per figure, with its file in `dir`. False: it could not, and `why` (256
 * bytes) says why. */
bool limits_measure(struct limits *out, const char *dir, double seconds, char *why);
/* The two latencies of one durable request alone: loopback round trip and 4 KiB journal write, p50 summed,
 * in ns. */
double limits_one_in_flight_ns(const struct limits *l, bool spinning);

#endif
