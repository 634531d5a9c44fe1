/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/fake_broker.h: a broker in a thread that keeps everything in memory and misbehaves on
 * request.
 *
 * It answers as runneld would (sequences are checked, duplicates are answered with the original offset,
 * subscriptions push within their credit), so a client test needs no process and no disk. Its script is a
 * set of counters that the test sets at any time; each is taken into account at the next request.
 */
#ifndef RUNNEL_TESTS_FAKE_BROKER_H
#define RUNNEL_TESTS_FAKE_BROKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAKE_PARTITIONS_MAX = 64 };

struct fake_script {
    /* Refuse PRODUCE requests: the next `refuse_skip` pass, then `refuse_count` are answered with the code.
     */
    atomic_int refuse_code, refuse_count, refuse_skip;
    /* Any request: the same for the op `refuse_op` (0: none). */
    atomic_int refuse_op, refuse_op_code, refuse_op_count;
    /* Close the connection after so many more PRODUCE requests (0: never): before they are stored, or
     * (drop_stored) after that and without an answer. Again after each drop, `drop_repeat` times. */
    atomic_int drop_after, drop_stored, drop_repeat;
    /* Close the connection when so many more bytes have come in (0: never). */
    atomic_int drop_after_bytes;
    /* Answer in other order: gather so many PRODUCE answers (of different partitions) and give them
     * backwards. */
    atomic_int reorder;
    /* Answer nothing (the connection stays). */
    atomic_int mute;
    /* Write at most so many bytes at a time (0: all). */
    atomic_int dribble;
    /* Instead of the next answer: so many random bytes, from the seed. */
    atomic_int garbage_bytes, garbage_seed;
    /* Turn one bit of every n-th byte sent (0: none). */
    atomic_int flip_every;
    /* Half of the next answer, then close. */
    atomic_int half;
    /* Close every connection as soon as it is accepted, so many times. */
    atomic_int slam;
    /* End the next subscription that is asked for, after its first delivery, with this code. */
    atomic_int end_code;
    /* Forget all producers, once. */
    atomic_int forget;
    /* Spoil the checksum of the next batch delivered. */
    atomic_int spoil;
    /* Groups: take this partition (its number + 1) away from its owner once, and give it back when nothing of
     * it is out. End each member with this code. Take back everything that is out, once (as if ack.wait had
     * run out). */
    atomic_int group_revoke, group_end, group_expire;
    /* Forget members and who has what, as a killed broker does, when somebody joins; once. */
    atomic_int group_restart;
};

struct fake_setup {
    uint32_t partitions;                                           /* of every topic; 0: 3 */
    uint32_t batch_bytes_max, frame_bytes_max, inflight_bytes_max; /* 0: 1 MiB, 2 MiB, 16 MiB */
    const char *unix_path;    /* NULL: TCP on a free port of the loopback */
    uint32_t deliver_bytes;   /* of one DELIVER; 0: 256 KiB */
    bool forget_data;         /* PRODUCE is answered, and nothing kept (speed tests) */
    bool group_shared;        /* the mode of the group (there is one, whatever its name) */
    uint32_t group_in_flight; /* 0: 100 */
};

struct fake_broker;

struct fake_broker *fake_start(const struct fake_setup *setup);
void fake_stop(struct fake_broker *f);
const char *fake_url(const struct fake_broker *f);
struct fake_script *fake_script(struct fake_broker *f);
/* Has it look at its script now. */
void fake_wake(struct fake_broker *f);
/* Closes every connection now. */
void fake_drop(struct fake_broker *f);
/* Stops listening until fake_listen(). */
void fake_unlisten(struct fake_broker *f);
void fake_listen(struct fake_broker *f);

/* Of topic "t" (there is one log per partition; topics share them). */
int64_t fake_end(struct fake_broker *f, uint32_t partition);
/* Calls `each` for all events of a partition in order. */
void fake_each(struct fake_broker *f, uint32_t partition,
               void (*each)(void *ctx, int64_t offset, const void *value, uint32_t len), void *ctx);
/* Batches stored, duplicates answered, PRODUCE requests seen, connections accepted, sequence gaps refused. */
enum fake_figure {
    FAKE_BATCHES,
    FAKE_DUPLICATES,
    FAKE_REQUESTS,
    FAKE_CONNECTIONS,
    FAKE_GAPS,
    FAKE_PRODUCERS,
    FAKE_GROUPS, /* PRODUCE requests with several batches */
    FAKE_JOINS,
    FAKE_ACKS,       /* GROUP_ACK requests */
    FAKE_ACKED,      /* events acknowledged */
    FAKE_ACKED_LATE, /* ... that were not out with the member */
    FAKE_DELIVERED,  /* events */
    FAKE_BARE,       /* deliveries without batches */
    FAKE_RELEASED,   /* events */
    FAKE_WORKING,    /* events */
    FAKE_LEAVES,
    FAKE_FIGURES
};
int64_t fake_figure(struct fake_broker *f, enum fake_figure which);
/* The group's: events that are settled, and dead letters (`i`: the message of one). */
int64_t fake_group_done(struct fake_broker *f, uint32_t partition);
uint32_t fake_group_dead(struct fake_broker *f, uint32_t i, char *message);
/* Appends a batch as it is (compressed by somebody else, for instance); the base offset is set. */
void fake_append(struct fake_broker *f, uint32_t partition, const void *batch, uint32_t bytes);
/* Records before `offset` are gone (whole batches). */
void fake_trim(struct fake_broker *f, uint32_t partition, int64_t offset);

#endif
