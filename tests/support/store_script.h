/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/store_script.h: a short life of a store on the simulated disk, step by step, with the model
 * beside it: append, wait, read all, lose the power, come back, judge.
 */
#ifndef RUNNEL_TESTS_STORE_SCRIPT_H
#define RUNNEL_TESTS_STORE_SCRIPT_H

#include "io_sim.h"
#include "store_model.h"
#include "store_rig.h"

struct script {
    struct rig rig;
    struct model model;
    char doing[256]; /* what a failure is reported with */
    uint64_t random;
    uint64_t durable; /* the last sequence reported */
};

/* A small store: segments of 40 KiB, three journal files of 224 KiB. Nothing is open yet. */
void script_begin(struct script *s, uint64_t seed);
void script_end(struct script *s);
/* store_open()'s result. */
int script_open(struct script *s);
void script_turn(struct script *s);
/* A topic, also for the model; NULL when the store refuses (a full disk). */
struct topic *script_topic(struct script *s, const char *name, uint32_t partitions);
/* Appends a batch. False: refused (fenced, full, no room just now). */
bool script_append(struct script *s, struct partition *p, uint32_t count, uint32_t value_bytes);
/* `turns` turns with a batch or so in each, to any partition of any topic. */
void script_work(struct script *s, uint32_t turns);
/* Turns until the store takes events in every partition again; fails the test when it does not. */
void script_heal(struct script *s);
/* Everything that was appended is durable. */
void script_settle(struct script *s);
/* Reads every partition from start to end, and compares. */
void script_read_all(struct script *s);
/* Reads at one offset: NULL, or why that is refused. */
const char *script_try_read(struct script *s, struct partition *p, uint64_t offset);
/* The power goes (or has gone): takes the process down, comes back, judges what is there. */
void script_crash(struct script *s, enum io_sim_mode mode);

#endif
