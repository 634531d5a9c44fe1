/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_state.h: the state of io_sim, shared by io_sim.c (time, operations, power) and sim_file.c
 * (file.h and what operations do to the disk).
 */
#ifndef RUNNEL_TESTS_SIM_STATE_H
#define RUNNEL_TESTS_SIM_STATE_H

#include "io/io.h"
#include "io/work.h"
#include "io_sim.h"
#include "sim_disk.h"

enum sim_flight_kind {
    SIM_FLIGHT_READ,
    SIM_FLIGHT_WRITE,
    SIM_FLIGHT_SYNC,
    SIM_FLIGHT_CLOSE,
    SIM_FLIGHT_CANCEL,
};

struct sim_flight {
    struct io_op *op;
    struct io_op *victim;
    enum sim_flight_kind kind;
    bool finished; /* its effect is over, `res` holds the result */
    bool ended;    /* and it is due: its handler runs this turn */
    int32_t res;
    uint64_t due_ns;
    uint64_t sequence; /* when it was started, among the disk's changes */
    uint64_t sum;      /* of the bytes lent */
};

struct sim_job {
    struct work_job *job;
    uint64_t due_ns;
    bool ran;
};

struct sim_file {
    bool open, locked;
    int inode;
    uint32_t flags;
    char path[128]; /* for faults by path; cut when longer */
};

struct sim_cut {
    uint64_t step; /* 0: none */
    uint64_t seed;
    enum io_sim_mode mode;
    bool kill;
};

struct sim_state {
    bool started, dead, woken, turning;
    struct io_sim_options options;
    uint64_t rng, now_ns, steps;
    struct sim_disk *disk;
    struct sim_flight *flights;
    uint32_t flight_count, flight_capacity;
    struct sim_job *jobs;
    uint32_t job_count, job_capacity;
    uint32_t threads;
    struct sim_file *files;
    uint32_t file_count, file_capacity;
    int first_fd; /* of this boot: the descriptors of an earlier process are never given again */
    struct sim_cut cut;
    struct io_sim_fault faults[IO_SIM_FAULTS_MAX];
    uint32_t fault_count;
    uint64_t faults_hit;
    void (*on_step)(void *ctx, uint64_t step);
    void *on_step_ctx;
    struct io_stats stats;
};

extern struct sim_state sim;

/* Counts one step. True when the power is cut inside it: the caller makes its change and calls sim_cut_now().
 */
bool sim_step(void);
void sim_cut_now(void);
/* The fault that strikes this operation; NULL none. */
const struct io_sim_fault *sim_fault(enum io_sim_op op, const char *path);

/* Opened by a process that is dead: may still be closed. */
bool sim_file_stale(int fd);
/* The open file of a descriptor; NULL when it is none. */
struct sim_file *sim_file(int fd);
int sim_file_new(int inode, uint32_t flags, const char *path);

/* What an operation does, faults and power cuts included. */
int64_t sim_do_read(int fd, void *buf, uint64_t bytes, uint64_t position);
int sim_do_write(int fd, const void *buf, uint64_t bytes, uint64_t position, uint64_t sequence);
int sim_do_sync(int fd);
int sim_do_close(int fd);

void *sim_alloc(size_t bytes);
void *sim_grow(void *array, uint32_t *capacity, uint32_t needed, size_t item_bytes);

#endif
