/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic.h: groups whose members share out the work among themselves: the classic protocol of Kafka
 * clients, without its bytes. Source of the rules: KIP-62, KIP-345, KIP-394, KIP-559 of Apache Kafka.
 *
 *              ┌────────────── joins, leaves, sessions that ran out ──────────────┐
 *              ▼                                                                  │
 *   EMPTY ─▶ PREPARING ──all joined, or time is up──▶ COMPLETING ──leader's──▶ STABLE
 *     ▲        │ joins are parked                       │ syncs are parked  assignments
 *     └─nobody─┘                                        └──somebody never synced──▶ PREPARING
 *
 * A member joins with its preferences (opaque to the broker), the leader gets everybody's, and gives back a
 * piece of bytes for each, which their syncs fetch. A member lives as long as it speaks within its session.
 * Positions are the group's, as of native ones: group_position_set().
 *
 * Invariants
 *   A generation has one leader, and one protocol that all its members support. Generations only grow.
 *   A request under another generation, of a member that is gone, or of an instance that was replaced is
 *     refused by name.
 *   A parked request is answered once: with the outcome, with a new rebalance, or when its member ends. Its
 *     member's session does not run meanwhile; the phase's time does.
 * Limits: group.members.max with those who are about to join; CLASSIC_*_MAX below.
 */
#ifndef RUNNEL_GROUP_CLASSIC_H
#define RUNNEL_GROUP_CLASSIC_H

#include "group/group.h"

enum {
    CLASSIC_PROTOCOLS_MAX = 16, /* of one member; clients name one or two */
    CLASSIC_TEXT_MAX = 255,     /* instance id, protocol, its type; longer ones are refused */
    CLASSIC_CLIENT_MAX = 200,   /* bytes of a client's name that are kept, and begin its member id */
    CLASSIC_ID_MAX = CLASSIC_CLIENT_MAX + 1 + 32,
    CLASSIC_MEMBER_BYTES_MAX = 1 << 20, /* preferences of one member */
    CLASSIC_GROUP_BYTES_MAX = 16 << 20, /* of one group's; the leader gets all in one reply */
    CLASSIC_BYTES_MAX = 64 << 20,       /* preferences and assignments of all groups */
    CLASSIC_SESSION_MIN_MS = 10,        /* as session.timeout of native groups */
    CLASSIC_SESSION_MAX_MS = 86400000,
    CLASSIC_DELAY_MS =
        100, /* from the first join to the first generation: who starts together joins together */
};

#define CLASSIC_RESULTS(X)                                                                                   \
    X(OK)                                                                                                    \
    X(PARKED)             /* wait->done() comes later */                                                     \
    X(MEMBER_ID_REQUIRED) /* join again with the id that is given now */                                     \
    X(MEMBER_UNKNOWN)     /* or its session ran out */                                                       \
    X(FENCED)             /* another member has joined with this instance id */                              \
    X(GENERATION_STALE)                                                                                      \
    X(REBALANCING) /* join again */                                                                          \
    X(PROTOCOL_MISMATCH)                                                                                     \
    X(KIND_MISMATCH) /* native members have the group */                                                     \
    X(SESSION_INVALID)                                                                                       \
    X(NAME_INVALID)                                                                                          \
    X(REQUEST_INVALID) /* something is longer than is kept */                                                \
    X(FULL)            /* a limit */

enum classic_result {
#define X(name) CLASSIC_##name,
    CLASSIC_RESULTS(X)
#undef X
};
enum classic_state { CLASSIC_EMPTY, CLASSIC_PREPARING, CLASSIC_COMPLETING, CLASSIC_STABLE };

/* A request that is parked: a member of the door's own. */
struct classic_wait {
    /* Called once: from groups_turn_begin(), a timer, or a call of another member that ends or replaces this
     * one. CLASSIC_OK: the answer is read from `m`. It calls nothing of this file. */
    void (*done)(struct classic_wait *wait, enum classic_result result, const struct classic_member *m);
    struct classic_member *member; /* the coordinator's */
};

struct classic_protocol {
    struct bytes name, metadata;
};

struct classic_member {
    /* read by doors */
    struct group *group;
    char *id, *instance, *client, *host; /* "" when there is none */
    uint32_t session_ms, rebalance_ms;
    bool pending; /* was told its id, and has not joined with it yet: not in the group */
    struct classic_protocol *protocols;
    uint32_t protocol_count;
    struct bytes assignment;

    /* the coordinator's */
    struct list link; /* in classic->members, in order of joining */
    uint64_t bytes;   /* of protocols */
    bool knows_id;    /* else it can never come back */
    bool synced;
    struct timer session;
    struct classic_wait *join, *sync;
};

/* ---- requests ---- */

struct classic_join {
    struct bytes group, member_id, instance_id; /* empty: none */
    struct bytes client, host, protocol_type;
    uint32_t session_ms, rebalance_ms;
    bool id_first; /* a new member without an instance id is told its id first: MEMBER_ID_REQUIRED */
    const struct classic_protocol *protocols; /* the one it likes best first */
    uint32_t protocol_count;
};
/* Makes the group when it is missing. *m: with OK (joined already: answer from it) and MEMBER_ID_REQUIRED.
 * `why` (GROUP_WHY_BYTES): a sentence for KIND_MISMATCH, NAME_INVALID and FULL. */
enum classic_result classic_join(struct groups *groups, const struct classic_join *request,
                                 struct classic_wait *wait, const struct classic_member **m, char *why);

/* Who speaks. */
struct classic_who {
    struct bytes group, member_id, instance_id;
    int32_t generation;
};
struct classic_share {
    struct bytes member_id, assignment;
};
/* Protocol and type may have at NULL: not said. Shares count from the leader alone. */
enum classic_result classic_sync(struct groups *groups, const struct classic_who *who,
                                 struct bytes protocol_type, struct bytes protocol,
                                 const struct classic_share *shares, uint32_t count,
                                 struct classic_wait *wait, const struct classic_member **m);
enum classic_result classic_heartbeat(struct groups *groups, const struct classic_who *who);
/* `generation` does not count. An instance may leave without its member id. */
enum classic_result classic_leave(struct groups *groups, const struct classic_who *who);
/* May it commit positions now? Without member and generation (-1): when the group has no members; it is made
 * when missing. KIND_MISMATCH, NAME_INVALID and FULL with `why`. */
enum classic_result classic_commit(struct groups *groups, const struct classic_who *who, struct group **g,
                                   char *why);
/* The one who waits is gone. */
void classic_abandon(struct classic_wait *wait);

/* ---- looking ---- */

enum classic_state classic_state(const struct group *g);
/* "" when there is none. */
const char *classic_protocol_type(const struct group *g);
const char *classic_protocol_name(const struct group *g);
/* Who leads, as this member is to be told: "" for the leader itself while nothing is to be shared out. */
const char *classic_leader(const struct classic_member *m);
/* Its preferences in the protocol that was chosen. */
struct bytes classic_metadata(const struct classic_member *m);
/* NULL gives the first, the last gives NULL; without pending ones. */
const struct classic_member *classic_member_next(const struct group *g, const struct classic_member *after);
/* Sets gp->holder throughout the group, as the assignments say (protocol type "consumer"). */
void classic_mark_holders(struct group *g);
/* How many partitions that gives to m. */
uint32_t classic_partitions(const struct classic_member *m);
/* Does a member subscribe to the topic? True for all topics when its preferences cannot be read. */
bool classic_wants(const struct group *g, const struct topic *topic);

#endif
