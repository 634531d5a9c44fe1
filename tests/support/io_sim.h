/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/io_sim.h: the second implementation of io/io.h, io/file.h and io/work.h: a disk in memory
 * that can be slow, full, failing, and lose its power at any step. Everything follows from a seed.
 *
 * Linking: name `io_sim` in the test's DEPS (before or after the rooms under test; it takes the place of
 * `io`): runnel_unit_test(test_journal DEPS journal io_sim)
 *
 * A run:
 *     io_sim_start(&(struct io_sim_options){ .seed = seed });   // an empty disk with "/" on it
 *     struct clock clock; io_sim_clock(&clock);                 // virtual time; io_turn() moves it
 *     io_create(&io, ...); file_mkdir("/data"); ... run ...     // as in the broker
 *     io_sim_crash(seed, IO_SIM_RANDOM);                        // the power goes: from here on all is -EIO
 *     ... take the objects down by their ordinary ways ...      // operations end with -EIO in io_turn()
 *     io_sim_restart();                                         // power back: what survived is on the disk
 *     io_create(&io, ...); ... recover and check ...
 *     io_sim_end();
 *
 * Every step: each operation that changes the disk or makes it durable is a numbered step (io_sim_steps()).
 * io_sim_crash_at(n,
 * ...) cuts the power inside step n: its write may be torn, its sync has not happened. So an exhaustive test
 * runs once to count the steps and then once for each; or, faster, it runs once with io_sim_on_step() and
 * takes io_sim_crash_image() there: images of what a cut would leave, each cheap (contents are shared until
 * written), to be put on the disk later with io_sim_restore().
 *
 * What survives: a file's bytes are durable sector by sector once file_sync(), io_sync() or a FILE_DSYNC
 * write has completed after them; its size likewise. With `strict_names` (the default) a name made, moved or
 * removed is durable only after file_sync_dir() of its directory; a new directory's own name needs its
 * parent's. All else survives or not as the mode says. A crash may also keep sectors of writes still in
 * flight. After a failed sync the bytes that did not reach the disk stay readable, are not written by any
 * later sync, and are gone after a crash, as on Linux.
 *
 * Time and order: io_turn() completes what is due; operations take a seeded time each, so that they overtake
 * one another. With nothing due it moves the clock to the next due time or the end of the wait. Waiting for
 * ever with nothing in flight is a hang and stops the test. Worker jobs run whole, at a seeded later moment
 * inside io_turn(), in the order submitted or, with several threads, near it.
 *
 * Checked on the way (the test aborts): a buffer changed while a write has it; sockets (not simulated).
 * Returned as the kernel would: -EINVAL for direct I/O not aligned to 512 bytes, -ENOSPC, -ENOTEMPTY and so
 * on.
 *
 * One thread only. State is global, because the interfaces it stands in for have no context argument.
 */
#ifndef RUNNEL_TESTS_IO_SIM_H
#define RUNNEL_TESTS_IO_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* What of the unflushed survives a power cut. */
enum io_sim_mode {
    IO_SIM_NONE,   /* nothing */
    IO_SIM_ALL,    /* everything, writes in flight too */
    IO_SIM_RANDOM, /* each sector and name by lot, at odds drawn anew each time */
    IO_SIM_PREFIX, /* what was written before a random moment */
};

struct io_sim_options {
    uint64_t seed;
    uint32_t sector_bytes;      /* 512 or 4096: what is never torn; 0: 512 */
    uint64_t capacity_bytes;    /* of the disk; 0: 1 TiB */
    bool loose_names;           /* names are durable at once, as a journalling file system nearly has it */
    bool no_direct;             /* FILE_DIRECT falls back to buffered */
    uint32_t writeback_percent; /* chance that a sector's unflushed version reaches the disk before it is
                                   overwritten */
    uint32_t latency_min_us;    /* of an asynchronous operation or a job; 0 and 0: 20 to 400 */
    uint32_t latency_max_us;
};

void io_sim_start(const struct io_sim_options *options);
/* Forgets everything; the objects made on it must be gone, or the power cut. */
void io_sim_end(void);
/* Virtual time: begins at mono_ns = 1 s, wall_ms = 1,750,000,000,000. */
void io_sim_clock(struct clock *clock);
void io_sim_advance(uint64_t ns);

/* ---- power and process ---- */

void io_sim_crash(uint64_t seed, enum io_sim_mode mode);
/* The process dies, the machine lives: what was written stays readable (and unflushed); writes in flight land
 * wholly, partly or not at all. Otherwise as io_sim_crash(). */
void io_sim_kill(uint64_t seed);
/* As io_sim_crash / io_sim_kill, inside step `step` (1 is the first after this call). 0 takes it back. */
void io_sim_crash_at(uint64_t step, uint64_t seed, enum io_sim_mode mode);
void io_sim_kill_at(uint64_t step, uint64_t seed);
/* True from the cut to the restart. */
bool io_sim_dead(void);
/* After a crash or kill: closes what is still open, and the disk works again; faults and io_sim_crash_at()
 * are forgotten. What is in flight ends first, unheard, so handlers of the dead process are never called. */
void io_sim_restart(void);

/* Steps since io_sim_start(). */
uint64_t io_sim_steps(void);
/* Called at the start of each step, with the disk as it was before; NULL: no more. May take images, and must
 * not touch the disk otherwise. */
void io_sim_on_step(void (*fn)(void *ctx, uint64_t step), void *ctx);

/* ---- faults ---- */

enum io_sim_op {
    IO_SIM_OPEN,
    IO_SIM_READ,
    IO_SIM_WRITE,
    IO_SIM_SYNC,
    IO_SIM_ALLOCATE,
    IO_SIM_TRUNCATE,
    IO_SIM_NAME, /* mkdir, rename, unlink, rmdir */
    IO_SIM_SYNC_DIR,
    IO_SIM_OP_COUNT
};

struct io_sim_fault {
    enum io_sim_op op;
    uint64_t nth;     /* the nth such operation from now, 1 the next; 0 means 1 */
    int error;        /* EIO, ENOSPC, ... (positive) */
    bool for_ever;    /* and every one after it */
    const char *path; /* only where the path contains this; NULL: all. Must live as long as the fault */
    bool silent;      /* IO_SIM_WRITE: claims success and writes nothing */
};

enum { IO_SIM_FAULTS_MAX = 16 };
/* A failed write leaves a random part of itself behind; a failed sync loses a random part of what it should
 * have flushed. */
void io_sim_fail(const struct io_sim_fault *fault);
/* No more faults. */
void io_sim_heal(void);
/* How often a fault has struck. */
uint64_t io_sim_faults_hit(void);
/* The size of the disk from now on; what is used stays. */
void io_sim_set_capacity(uint64_t bytes);
uint64_t io_sim_used(void);
/* Flips one bit of a file, at rest: in memory and on the disk. False when there is no such byte. */
bool io_sim_flip(const char *path, uint64_t position, unsigned bit);
/* Makes everything durable, names and bytes, as a clean unmount would. */
void io_sim_settle(void);
/* True when nothing of the file or its name waits for a flush. */
bool io_sim_settled(const char *path);

/* ---- images ---- */

struct io_sim_image;
/* The whole disk as it is, with what is flushed and what is not; nothing in flight. */
struct io_sim_image *io_sim_snapshot(void);
/* What a power cut at this moment would leave; the run goes on. */
struct io_sim_image *io_sim_crash_image(uint64_t seed, enum io_sim_mode mode);
/* Puts an image on the disk (it stays the caller's) and restarts, as io_sim_restart(). */
void io_sim_restore(const struct io_sim_image *image);
void io_sim_image_free(struct io_sim_image *image);

/* A seeded random number below `n`, for the test's own choices. */
uint64_t io_sim_random(uint64_t *state, uint64_t n);

#endif
