/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/load.h: the load generator: one thread, one loop, any driver.
 *
 * Open loop (rate > 0): request k is due at start + k * batch / rate, whatever happened to those before it,
 * and its latency counts from then: a stall of the broker, or of the generator, is never hidden. Closed loop
 * (rate 0): each connection keeps `in_flight` events unanswered; a request is due when there is room for it.
 *
 * Every event received is checked against its stamp: within a producer and lane, the next number and no
 * other. What is lost, doubled, out of order, foreign or refused counts as an error.
 */
#ifndef RUNNEL_BENCH_LOAD_H
#define RUNNEL_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver.h"
#include "histogram.h"

struct load_plan {
    struct target target;
    uint32_t connections; /* that publish */
    uint32_t idle;        /* that do nothing but exist */
    double rate;          /* events a second, in all; 0: closed loop */
    uint32_t in_flight;   /* events unanswered on each connection, closed loop */
    uint32_t batch;       /* events a request */
    uint64_t events;      /* publish so many; 0: for a time */
    double warmup_s;      /* before measuring; only when for a time */
    double duration_s;
    bool spin;    /* never sleep */
    bool consume; /* a live subscriber to every lane, on a connection of its own */
    const struct target
        *history; /* another one reads this from the start meanwhile, only for speed; or NULL */
    pid_t pid;    /* the broker's; 0: find it */
};

struct load_result {
    uint64_t events; /* acknowledged (publishing) or received (consuming) while measuring */
    double seconds;
    struct histogram ack, e2e;
    uint64_t errors;
    double broker_cpu_s, generator_cpu_s;
    double rss_mb; /* the broker's, at the end */
    double history_mb_per_s;
    pid_t pid;
    char why[256]; /* the first error, as a sentence; empty: none */
};

/* Publishes, and with plan->consume receives as well. False: it could not even begin, or a connection broke;
 * result->why says why. */
bool load_publish(const struct load_plan *plan, struct load_result *result);
/* Receives `events` events that are stored already, `passes` times over, each time from the start. */
bool load_consume(const struct load_plan *plan, uint64_t events, uint32_t passes, struct load_result *result);

#endif
