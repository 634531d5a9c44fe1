/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/io_sim.c: io.h and work.h on a simulated disk: virtual time, seeded order, power cuts,
 * faults.
 *
 * An operation in flight is an entry with a due time; its effect on the disk happens in io_turn() when it is
 * due, and its handler runs after all effects of that turn. So effects overtake one another as the due times
 * fall, and a power cut between two of them finds the later ones still in flight. A cut sets `dead`: from
 * then on every operation ends with -EIO, also those whose effect took place but whose handler had not run:
 * nobody heard of them.
 */
#include "io_sim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "io/io.h"
#include "io/work.h"
#include "sim_state.h"

enum {
    SIM_FIRST_FD = 1000,
    SIM_TURN_NS = 1000,
    SIM_START_NS = 1000000000,
};
#define SIM_START_WALL_MS 1750000000000ll

struct sim_state sim;

/* ---- life ---- */

void io_sim_start(const struct io_sim_options *options)
{
    CHECK(!sim.started);
    memset(&sim, 0, sizeof(sim));
    sim.started = true;
    sim.options = *options;
    if (options->latency_min_us == 0 && options->latency_max_us == 0) {
        sim.options.latency_min_us = 20;
        sim.options.latency_max_us = 400;
    }
    sim.rng = options->seed;
    sim.now_ns = SIM_START_NS;
    sim.first_fd = SIM_FIRST_FD;
    sim.disk = sim_disk_create(options->sector_bytes ? options->sector_bytes : 512, options->loose_names,
                               options->writeback_percent);
    sim_disk_set_capacity(sim.disk, options->capacity_bytes ? options->capacity_bytes : 1ull << 40);
}

void io_sim_end(void)
{
    CHECK(sim.started);
    sim_disk_free(sim.disk);
    free(sim.flights);
    free(sim.jobs);
    free(sim.files);
    memset(&sim, 0, sizeof(sim));
}

static void sim_clock_read(struct clock *clock)
{
    clock->mono_ns = sim.now_ns;
    clock->wall_ms = SIM_START_WALL_MS + (int64_t)((sim.now_ns - SIM_START_NS) / 1000000);
}

void io_sim_clock(struct clock *clock)
{
    clock->read = sim_clock_read;
    sim_clock_read(clock);
}

void io_sim_advance(uint64_t ns)
{
    sim.now_ns += ns;
}

uint64_t io_sim_random(uint64_t *state, uint64_t n)
{
    return n ? sim_random(state) % n : 0;
}

static uint64_t sim_latency_ns(void)
{
    const uint64_t span = sim.options.latency_max_us - sim.options.latency_min_us + 1;
    return (sim.options.latency_min_us + sim_random(&sim.rng) % span) * 1000 + sim_random(&sim.rng) % 1000;
}

/* ---- power ---- */

/* The bytes as they were when the write was started; anything else is a bug of the owner. */
static uint64_t sim_sum(const uint8_t *data, uint32_t bytes)
{
    uint64_t sum = bytes;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        sum = (sum ^ word) * 0x9fb21c651e98df25u;
        sum ^= sum >> 32;
    }
    for (; bytes; bytes--)
        sum = (sum ^ *data++) * 0x9fb21c651e98df25u;
    return sum;
}

static void sim_check_lent(const struct sim_flight *f)
{
    if (f->kind == SIM_FLIGHT_WRITE && sim_sum(f->op->data, f->op->bytes) != f->sum) {
        fprintf(stderr, "io_sim: the buffer of '%s' was changed while its write was in flight\n",
                f->op->name);
        abort();
    }
}

/* Writes in flight are on their way to `disk`: put there as unflushed, for the crash to decide upon. */
static void sim_land_flights(struct sim_disk *disk, uint64_t *rng)
{
    for (uint32_t i = 0; i < sim.flight_count; i++) {
        const struct sim_flight *f = &sim.flights[i];
        struct sim_file *file;
        sim_check_lent(f);
        if (f->kind != SIM_FLIGHT_WRITE || f->finished || !(file = sim_file(f->op->fd)))
            continue;
        sim_write(disk, file->inode, f->op->data, f->op->bytes, f->op->position, f->sequence, rng);
    }
}

/* As above for a dying process: sectors land or do not, and nobody will take them back. */
static void sim_land_some(struct sim_disk *disk, uint64_t *rng)
{
    for (uint32_t i = 0; i < sim.flight_count; i++) {
        const struct sim_flight *f = &sim.flights[i];
        struct sim_file *file;
        if (f->kind != SIM_FLIGHT_WRITE || f->finished || !(file = sim_file(f->op->fd)))
            continue;
        const uint64_t odds = sim_random(rng) % 9;
        for (uint32_t at = 0, n; at < f->op->bytes; at += n) {
            n = 512 - (uint32_t)((f->op->position + at) % 512);
            if (n > f->op->bytes - at)
                n = f->op->bytes - at;
            if (sim_random(rng) % 8 < odds)
                sim_write(disk, file->inode, f->op->data + at, n, f->op->position + at, f->sequence, rng);
        }
    }
}

static void sim_die(void)
{
    CHECK(!sim.dead);
    sim.dead = true;
    sim.cut.step = 0;
}

void io_sim_crash(uint64_t seed, enum io_sim_mode mode)
{
    uint64_t rng = seed;
    sim_land_flights(sim.disk, &rng);
    sim_crash(sim.disk, &rng, mode);
    sim_die();
}

void io_sim_kill(uint64_t seed)
{
    uint64_t rng = seed;
    sim_land_some(sim.disk, &rng);
    sim_close_all(sim.disk);
    sim_die();
}

void io_sim_crash_at(uint64_t step, uint64_t seed, enum io_sim_mode mode)
{
    sim.cut = (struct sim_cut){ .step = step ? sim.steps + step : 0, .seed = seed, .mode = mode };
}

void io_sim_kill_at(uint64_t step, uint64_t seed)
{
    sim.cut = (struct sim_cut){ .step = step ? sim.steps + step : 0, .seed = seed, .kill = true };
}

bool io_sim_dead(void)
{
    return sim.dead;
}

/* A new machine on the same disk. */
static void sim_boot(void)
{
    for (uint32_t i = 0; i < sim.flight_count; i++)
        sim.flights[i].op->busy = false;
    for (uint32_t i = 0; i < sim.job_count; i++)
        sim.jobs[i].job->busy = false;
    sim.first_fd += (int)sim.file_count;
    sim.flight_count = sim.job_count = sim.file_count = 0;
    sim.stats.inflight = 0;
    sim.dead = sim.woken = sim.turning = false;
    sim.cut.step = 0;
    sim.fault_count = 0;
}

void io_sim_restart(void)
{
    sim_close_all(sim.disk);
    sim_boot();
}

uint64_t io_sim_steps(void)
{
    return sim.steps;
}

void io_sim_on_step(void (*fn)(void *ctx, uint64_t step), void *ctx)
{
    sim.on_step = fn;
    sim.on_step_ctx = ctx;
}

bool sim_step(void)
{
    if (sim.dead)
        return false;
    sim.steps++;
    if (sim.on_step)
        sim.on_step(sim.on_step_ctx, sim.steps);
    return sim.steps == sim.cut.step;
}

void sim_cut_now(void)
{
    if (sim.cut.kill)
        io_sim_kill(sim.cut.seed);
    else
        io_sim_crash(sim.cut.seed, sim.cut.mode);
}

/* ---- faults ---- */

void io_sim_fail(const struct io_sim_fault *fault)
{
    CHECK(sim.fault_count < IO_SIM_FAULTS_MAX);
    sim.faults[sim.fault_count] = *fault;
    if (fault->nth == 0)
        sim.faults[sim.fault_count].nth = 1;
    sim.fault_count++;
}

void io_sim_heal(void)
{
    sim.fault_count = 0;
}

uint64_t io_sim_faults_hit(void)
{
    return sim.faults_hit;
}

const struct io_sim_fault *sim_fault(enum io_sim_op op, const char *path)
{
    const struct io_sim_fault *struck = NULL;
    for (uint32_t i = 0; i < sim.fault_count; i++) {
        struct io_sim_fault *fault = &sim.faults[i];
        if (fault->op != op || (fault->path && !strstr(path, fault->path)) || fault->nth == 0)
            continue;
        if (--fault->nth)
            continue;
        if (fault->for_ever)
            fault->nth = 1;
        if (struck == NULL)
            struck = fault;
    }
    sim.faults_hit += struck != NULL;
    return struck;
}

/* ---- images ---- */

struct io_sim_image {
    struct sim_disk *disk;
};

static struct io_sim_image *sim_image(struct sim_disk *disk)
{
    struct io_sim_image *image = sim_alloc(sizeof(*image));
    image->disk = disk;
    return image;
}

struct io_sim_image *io_sim_snapshot(void)
{
    return sim_image(sim_disk_clone(sim.disk));
}

struct io_sim_image *io_sim_crash_image(uint64_t seed, enum io_sim_mode mode)
{
    uint64_t rng = seed;
    struct sim_disk *disk = sim_disk_clone(sim.disk);
    sim_land_flights(disk, &rng);
    sim_crash(disk, &rng, mode);
    return sim_image(disk);
}

void io_sim_restore(const struct io_sim_image *image)
{
    sim_disk_free(sim.disk);
    sim.disk = sim_disk_clone(image->disk);
    sim_close_all(sim.disk);
    sim_boot();
}

void io_sim_image_free(struct io_sim_image *image)
{
    if (image == NULL)
        return;
    sim_disk_free(image->disk);
    free(image);
}

/* ---- descriptors ---- */

bool sim_file_stale(int fd)
{
    return fd >= SIM_FIRST_FD && fd < sim.first_fd;
}

struct sim_file *sim_file(int fd)
{
    const int at = fd - sim.first_fd;
    if (at < 0 || (uint32_t)at >= sim.file_count || !sim.files[at].open)
        return NULL;
    return &sim.files[at];
}

int sim_file_new(int inode, uint32_t flags, const char *path)
{
    uint32_t at = 0;
    while (at < sim.file_count && sim.files[at].open)
        at++;
    if (at == sim.file_count) {
        sim.files = sim_grow(sim.files, &sim.file_capacity, at + 1, sizeof(*sim.files));
        sim.file_count++;
    }
    sim.files[at] = (struct sim_file){ .open = true, .inode = inode, .flags = flags };
    snprintf(sim.files[at].path, sizeof(sim.files[at].path), "%s", path);
    sim_hold(sim.disk, inode);
    return sim.first_fd + (int)at;
}

/* ---- operations ---- */

struct io {
    uint32_t unused;
};

int io_create(struct io **out, const struct io_options *options, char *why, uint32_t why_bytes)
{
    (void)options;
    (void)why;
    (void)why_bytes;
    CHECK(sim.started);
    *out = sim_alloc(sizeof(**out));
    sim.stats = (struct io_stats){ 0 };
    return 0;
}

void io_destroy(struct io *io)
{
    CHECK(sim.flight_count == 0);
    free(io);
}

const struct io_stats *io_stats(const struct io *io)
{
    (void)io;
    return &sim.stats;
}

void io_set_spin(struct io *io, uint32_t spin_us, bool always)
{
    (void)io;
    (void)spin_us;
    (void)always;
}

static void sim_fly(struct io_op *op, enum sim_flight_kind kind, const char *name, struct io_op *victim,
                    io_done done)
{
    CHECK(sim.started && !op->busy);
    op->done = done;
    op->busy = true;
    if (op->name == NULL)
        op->name = name;
    sim.flights = sim_grow(sim.flights, &sim.flight_capacity, sim.flight_count + 1, sizeof(*sim.flights));
    sim.flights[sim.flight_count++] = (struct sim_flight){
        .op = op,
        .kind = kind,
        .victim = victim,
        .due_ns = sim.now_ns + (sim.dead ? 0 : sim_latency_ns()),
        .sequence = sim_disk_sequence(sim.disk),
        .sum = kind == SIM_FLIGHT_WRITE ? sim_sum(op->data, op->bytes) : 0,
    };
    sim.stats.submits++;
    sim.stats.inflight++;
}

static void sim_fly_file(struct io_op *op, enum sim_flight_kind kind, int fd, const void *buf, uint32_t bytes,
                         uint64_t position, io_done done)
{
    static const char *const names[] = { "read", "write", "sync", "close", "cancel" };
    CHECK(!op->busy);
    op->fd = fd;
    op->data = (uint8_t *)(uintptr_t)buf;
    op->bytes = bytes;
    op->bytes_done = 0;
    op->position = position;
    sim_fly(op, kind, names[kind], NULL, done);
}

void io_read(struct io *io, struct io_op *op, int fd, void *buf, uint32_t bytes, uint64_t position,
             io_done done)
{
    (void)io;
    sim_fly_file(op, SIM_FLIGHT_READ, fd, buf, bytes, position, done);
}

void io_write(struct io *io, struct io_op *op, int fd, const void *buf, uint32_t bytes, uint64_t position,
              io_done done)
{
    (void)io;
    sim_fly_file(op, SIM_FLIGHT_WRITE, fd, buf, bytes, position, done);
}

void io_sync(struct io *io, struct io_op *op, int fd, io_done done)
{
    (void)io;
    sim_fly_file(op, SIM_FLIGHT_SYNC, fd, NULL, 0, 0, done);
}

void io_close(struct io *io, struct io_op *op, int fd, io_done done)
{
    (void)io;
    sim_fly_file(op, SIM_FLIGHT_CLOSE, fd, NULL, 0, 0, done);
}

void io_cancel(struct io *io, struct io_op *op, struct io_op *victim, io_done done)
{
    (void)io;
    CHECK(op != victim);
    sim_fly(op, SIM_FLIGHT_CANCEL, "cancel", victim, done);
}

void io_wake(struct io *io)
{
    (void)io;
    sim.woken = true;
}

/* A cancel comes too late, or ends its victim before it did anything. */
static int32_t sim_effect_cancel(const struct sim_flight *f)
{
    for (uint32_t i = 0; i < sim.flight_count; i++) {
        struct sim_flight *victim = &sim.flights[i];
        if (victim->op != f->victim || victim->finished)
            continue;
        if (sim_random(&sim.rng) % 2)
            return -EALREADY;
        victim->finished = true;
        victim->res = -ECANCELED;
        victim->due_ns = sim.now_ns + sim_latency_ns();
        return 0;
    }
    return -ENOENT;
}

static int32_t sim_effect(struct sim_flight *f)
{
    struct io_op *op = f->op;
    if (sim.dead)
        return -EIO;
    sim_check_lent(f);
    switch (f->kind) {
    case SIM_FLIGHT_READ:
        return (int32_t)sim_do_read(op->fd, op->data, op->bytes, op->position);
    case SIM_FLIGHT_WRITE: {
        f->finished = true; /* a cut inside this step finds the write done, not in flight */
        const int error = sim_do_write(op->fd, op->data, op->bytes, op->position, f->sequence);
        return error < 0 ? error : (int32_t)op->bytes;
    }
    case SIM_FLIGHT_SYNC:
        return sim_do_sync(op->fd);
    case SIM_FLIGHT_CLOSE:
        return sim_do_close(op->fd);
    case SIM_FLIGHT_CANCEL:
        return sim_effect_cancel(f);
    }
    UNREACHABLE();
}

/* The effects of what is due, in the order of the due times. Entries stay in place; `finished` says which. */
static uint32_t sim_run_due(void)
{
    uint32_t ran = 0;
    for (;;) {
        struct sim_flight *next = NULL;
        for (uint32_t i = 0; i < sim.flight_count; i++) {
            struct sim_flight *f = &sim.flights[i];
            if (!f->ended && (sim.dead || f->due_ns <= sim.now_ns) && (!next || f->due_ns < next->due_ns))
                next = f;
        }
        if (next == NULL)
            return ran;
        if (!next->finished) {
            const int32_t res = sim_effect(next);
            next->finished = true;
            next->res = res;
        }
        next->ended = true;
        ran++;
    }
}

static uint32_t sim_deliver(void)
{
    uint32_t count = 0, kept = 0;
    struct sim_flight *ended = sim_alloc(sim.flight_count * sizeof(*ended));
    for (uint32_t i = 0; i < sim.flight_count; i++) {
        if (sim.flights[i].ended)
            ended[count++] = sim.flights[i];
        else
            sim.flights[kept++] = sim.flights[i];
    }
    sim.flight_count = kept;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t other = i + (uint32_t)(sim_random(&sim.rng) % (count - i));
        const struct sim_flight f = ended[other];
        ended[other] = ended[i];
        sim.stats.inflight--;
        sim.stats.events++;
        f.op->busy = false;
        f.op->done(f.op, sim.dead ? -EIO : f.res, 0);
    }
    free(ended);
    return count;
}

/* ---- worker jobs ---- */

struct work {
    uint32_t threads;
};

int work_create(struct work **out, struct io *io, uint32_t threads)
{
    (void)io;
    if (threads == 0)
        return -EINVAL;
    *out = sim_alloc(sizeof(**out));
    (*out)->threads = threads;
    sim.threads = threads;
    return 0;
}

void work_destroy(struct work *work)
{
    CHECK(sim.job_count == 0 || sim.dead);
    for (uint32_t i = 0; i < sim.job_count; i++)
        sim.jobs[i].job->busy = false;
    sim.job_count = 0;
    free(work);
}

void work_submit(struct work *work, struct work_job *job, void (*run)(struct work_job *),
                 void (*done)(struct work_job *))
{
    (void)work;
    CHECK(!job->busy);
    job->run = run;
    job->done = done;
    job->busy = true;
    sim.jobs = sim_grow(sim.jobs, &sim.job_capacity, sim.job_count + 1, sizeof(*sim.jobs));
    sim.jobs[sim.job_count++] =
        (struct sim_job){ .job = job, .due_ns = sim.now_ns + (sim.dead ? 0 : sim_latency_ns()) };
}

/* Runs the jobs that are due. At most `threads` at a time have started, so only the first so many that have
 * not run may be next. */
static void sim_run_jobs(void)
{
    bool again = true;
    while (again) {
        uint32_t started = 0;
        again = false;
        for (uint32_t i = 0; i < sim.job_count && started < sim.threads; i++) {
            if (sim.jobs[i].ran)
                continue;
            started++;
            if (!sim.dead && sim.jobs[i].due_ns > sim.now_ns)
                continue;
            sim.jobs[i].ran = true;
            struct work_job *job = sim.jobs[i].job;
            job->run(job);
            sim.woken = true;
            again = true;
            break;
        }
    }
}

void work_collect(struct work *work)
{
    (void)work;
    for (uint32_t i = 0; i < sim.job_count;) {
        if (!sim.jobs[i].ran) {
            i++;
            continue;
        }
        struct work_job *job = sim.jobs[i].job;
        memmove(&sim.jobs[i], &sim.jobs[i + 1], (sim.job_count - i - 1) * sizeof(*sim.jobs));
        sim.job_count--;
        job->busy = false;
        job->done(job);
    }
}

void work_rest(uint32_t us)
{
    (void)us; /* jobs take no time */
}

uint32_t work_pending(const struct work *work)
{
    (void)work;
    return sim.job_count;
}

/* ---- one turn ---- */

/* When the next operation or startable job is due; UINT64_MAX none. */
static uint64_t sim_next_due(void)
{
    uint64_t due_ns = UINT64_MAX;
    uint32_t started = 0;
    for (uint32_t i = 0; i < sim.flight_count; i++)
        if (sim.flights[i].due_ns < due_ns)
            due_ns = sim.flights[i].due_ns;
    for (uint32_t i = 0; i < sim.job_count && started < sim.threads; i++)
        if (!sim.jobs[i].ran && ++started && sim.jobs[i].due_ns < due_ns)
            due_ns = sim.jobs[i].due_ns;
    return due_ns;
}

uint32_t io_turn(struct io *io, uint64_t wait_ns, bool idle_hint)
{
    (void)io;
    (void)idle_hint;
    CHECK(!sim.turning);
    sim.turning = true;
    sim.stats.turns++;
    sim.now_ns += SIM_TURN_NS;
    const uint64_t due_ns = sim_next_due();
    if (wait_ns && !sim.woken && !sim.dead && due_ns > sim.now_ns) {
        if (wait_ns == UINT64_MAX && due_ns == UINT64_MAX) {
            fprintf(stderr, "io_sim: io_turn() waits for ever, and nothing is in flight: a hang\n");
            abort();
        }
        sim.now_ns = wait_ns < due_ns - sim.now_ns ? sim.now_ns + wait_ns : due_ns;
        sim.stats.sleeps++;
    }
    sim.woken = false;
    sim_run_due();
    sim_run_jobs();
    sim.woken = false; /* the jobs' wake-ups end this very turn */
    const uint32_t events = sim_deliver();
    sim.turning = false;
    return events;
}

/* ---- sockets: not simulated ---- */

void io_accept(struct io *io, struct io_op *op, int listen_fd, io_done done)
{
    (void)io, (void)op, (void)listen_fd, (void)done;
    UNREACHABLE();
}

void io_recv(struct io *io, struct io_op *op, int fd, io_done done)
{
    (void)io, (void)op, (void)fd, (void)done;
    UNREACHABLE();
}

uint8_t *io_recv_take(struct io *io, struct io_op *op, uint32_t flags, uint16_t *buffer)
{
    (void)io, (void)op, (void)flags, (void)buffer;
    UNREACHABLE();
}

void io_recv_return(struct io *io, uint16_t buffer)
{
    (void)io, (void)buffer;
    UNREACHABLE();
}

void io_sendmsg(struct io *io, struct io_op *op, int fd, const struct msghdr *msg, io_done done)
{
    (void)io, (void)op, (void)fd, (void)msg, (void)done;
    UNREACHABLE();
}

void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events, io_done done)
{
    (void)io, (void)op, (void)fd, (void)events, (void)done;
    UNREACHABLE();
}

void io_shutdown(struct io *io, struct io_op *op, int fd, io_done done)
{
    (void)io, (void)op, (void)fd, (void)done;
    UNREACHABLE();
}
