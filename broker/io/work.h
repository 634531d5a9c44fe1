/* SPDX-License-Identifier: Apache-2.0
 *
 * io/work.h: a small pool of threads for what would stall the loop.
 *
 * A job is embedded in its owner. run() executes on a worker and may use only what the owner set aside for
 * it; done() runs on the loop's thread, inside work_collect(). Jobs start in the order in which they were
 * submitted. The owner keeps the job alive until done(). Bounded: there is no queue limit, because every
 * owner embeds a fixed number of jobs. tests/support/io_sim.c has its own: there jobs run on the caller's
 * thread, at a seeded later moment.
 */
#ifndef RUNNEL_IO_WORK_H
#define RUNNEL_IO_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct io;
struct work;

struct work_job {
    struct list link;
    void (*run)(struct work_job *job);
    void (*done)(struct work_job *job);
    bool busy;
};

/* Starts `threads` workers, which wake `io` when a job has run. All signals are blocked in them. */
int work_create(struct work **out, struct io *io, uint32_t threads);
/* Waits for running jobs; none may be queued. */
void work_destroy(struct work *work);
/* `job` must not be busy. */
void work_submit(struct work *work, struct work_job *job, void (*run)(struct work_job *),
                 void (*done)(struct work_job *));
/* Calls done() of every job that has run. Once per turn. */
void work_collect(struct work *work);
/* Inside run(): lets others have the disk for a moment. */
void work_rest(uint32_t us);
/* Jobs submitted and not yet collected. */
uint32_t work_pending(const struct work *work);

#endif
