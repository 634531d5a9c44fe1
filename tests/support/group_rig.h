/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/group_rig.h: consumer groups on a simulated disk and clock, with a door that takes every
 * event it may and writes down what it is told; for tests.
 */
#ifndef RUNNEL_TESTS_GROUP_RIG_H
#define RUNNEL_TESTS_GROUP_RIG_H

#include "group/group.h"
#include "store_rig.h"

enum { GRIG_MAX = 1 << 17, GRIG_LOG = 1 << 16 };

struct grig_delivery {
    struct member *member;
    uint32_t gp, epoch;
    uint64_t offset;
    uint16_t attempts;
    bool alone, settled; /* by the test: acknowledged or refused */
    int64_t wall_ms;
};

struct grig_letter {
    struct gp *gp;
    uint64_t offset;
    char type[64], member[64];
    uint16_t attempts;
    bool rejected;
};

struct grig {
    struct rig store;
    struct groups_options options;
    struct groups *groups;
    struct store_state state;
    /* the door */
    struct gp *ready[4096];
    uint32_t ready_count;
    bool deaf;                        /* takes nothing */
    uint32_t most;                    /* events in one delivery; 0: all that is offered */
    struct grig_delivery *deliveries; /* in order */
    uint32_t count;
    struct grig_letter letters[4096]; /* give_up events */
    uint32_t letter_count;
    bool write_letters; /* settles what is given up at once */
    struct {
        uint32_t gp, epoch;
        uint64_t next; /* ordered: deliveries of one epoch ascend */
    } order[4096];
    uint32_t assigned, revoked, rewound, ended, gone;
    char log[GRIG_LOG]; /* "+t/0 -t/1 ~t/2@7": assigned, revoked, rewound, since grig_forget() */
    uint64_t sequence;  /* of the last groups_flush() */
};

/* A new store with nothing in it. */
void grig_start(struct grig *g, uint64_t seed);
void grig_open(struct grig *g);
/* Orderly. */
void grig_close(struct grig *g);
/* Closes, or loses the power, and opens again; members and deliveries are forgotten. */
void grig_restart(struct grig *g, bool crash);
void grig_end(struct grig *g);

/* One turn, waiting at most `wait_ms` for something to happen. */
void grig_turn(struct grig *g, uint32_t wait_ms);
/* Turns until `ms` have passed. */
void grig_run(struct grig *g, uint32_t ms);
/* Turns until all that was noted is durable. */
void grig_settle(struct grig *g);
/* Makes the topic; appends `count` events to one partition, durable when it returns. */
struct topic *grig_topic(struct grig *g, const char *name, uint32_t partitions);
void grig_produce(struct grig *g, const char *topic, uint32_t partition, uint32_t count);

/* Topics: names or patterns, separated by commas. Fails the test on errors. */
struct member *grig_join(struct grig *g, const char *group, enum group_mode mode, const char *topics);
/* The same with all fields; the error. */
enum error grig_try_join(struct grig *g, struct group_join *join, const char *topics, struct member **m,
                         char *why);
/* Acknowledges everything delivered so far that the test has not settled. */
void grig_ack_all(struct grig *g);
enum error grig_ack(struct grig *g, const struct grig_delivery *d);
enum error grig_nack(struct grig *g, struct grig_delivery *d, const char *type);
/* Forgets deliveries and what was logged. */
void grig_forget(struct grig *g);
struct gp *grig_gp(struct grig *g, const char *group, const char *topic, uint32_t partition);
/* Sets a setting of a group. */
void grig_set(struct grig *g, const char *group, const char *name, const char *value);

#endif
