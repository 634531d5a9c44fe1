/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_runnel_own.h: what the files of the driver for Runnel's native protocol share.
 */
#ifndef RUNNEL_BENCH_DRIVER_RUNNEL_OWN_H
#define RUNNEL_BENCH_DRIVER_RUNNEL_OWN_H

#include "driver.h"
#include "proto/batch.h"
#include "proto/errors.h"
#include "proto/wire.h"
#include "stream.h"

enum { FRAME_SMALL = 1024 };

struct sub {
    uint64_t next; /* records below are skipped */
    uint32_t owed; /* credit to give back */
};

struct runnel_link {
    struct link link;
    struct stream stream;
    enum role role;
    uint32_t *handles; /* by topic */
    uint32_t credit;
    struct sub *subs; /* by lane */
    /* the last reply that is not to PRODUCE */
    uint32_t replies;
    bool refused;
    uint16_t refused_code;
    /* producing */
    uint8_t *frame; /* the prepared request */
    uint32_t frame_bytes, batch_bytes, prepared_count;
    uint32_t *payload_at; /* in the frame, by record */
    uint32_t *id_at;      /* the same, of ids; NULL: there are none */
    uint64_t run;         /* a part of ids: no two links share it */
    uint64_t next_id;
    uint64_t unanswered_bytes, unanswered_max;
    int64_t wall_offset_ns; /* wall clock minus ours */
    /* consuming in a group */
    char group[64];
    uint32_t member;
    struct kept *kept; /* by assignment: hash, kept_room a power of two */
    uint32_t kept_room;
};

/* Queues a small request; `put` writes its body. Waits for room. */
bool wire_ask(struct runnel_link *r, uint16_t op, uint32_t id,
              void (*put)(struct writer *w, struct runnel_link *r, uint32_t id));
/* The same for 0..count-1, and waits for all the replies. */
bool wire_ask_all(struct runnel_link *r, uint16_t op, uint32_t count,
                  void (*put)(struct writer *w, struct runnel_link *r, uint32_t id));

/* driver_runnel_group.c */
bool wire_member_open(struct runnel_link *r, enum from from);
bool wire_member_deliver(struct runnel_link *r, struct reader body);
/* Leaves and deletes the group, as far as that can be done without waiting; before the stream is closed. */
void wire_member_close(struct runnel_link *r);

#endif
