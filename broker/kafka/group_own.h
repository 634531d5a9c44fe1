/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/group_own.h: consumer groups of Kafka clients: what the group_*.c files and the table share.
 *
 * Who is in a group and what its members are told is group/classic.h's; here requests are taken apart and
 * answers written. Positions are the groups' own: those of native groups can be read, too.
 */
#ifndef RUNNEL_KAFKA_GROUP_OWN_H
#define RUNNEL_KAFKA_GROUP_OWN_H

#include "group/classic.h"
#include "group/group.h"
#include "kafka/kafka_own.h"

/* The rows of the table. X(key, min, max, flexible, waits, name, layout, handler) */
#define KAFKA_GROUP_APIS(X)                                                                                  \
    X(8, 0, 8, 8, false, "OffsetCommit", "s 1:i 1:s 7:S 2-4:l [s [i l 6:i 1-1:l S]]", kafka_offset_commit)   \
    X(9, 1, 8, 6, false, "OffsetFetch", "0-7:s 0-1:[s <i>] 2-7:{s <i>} 8:[s {s <i>}] 7:b",                   \
      kafka_offset_fetch)                                                                                    \
    X(10, 0, 4, 3, false, "FindCoordinator", "0-3:s 1:b 4:<s>", kafka_find_coordinator)                      \
    X(11, 0, 8, 6, true, "JoinGroup", "s i 1:i s 5:S s [s y] 8:S", kafka_join_group)                         \
    X(12, 0, 4, 4, false, "Heartbeat", "s i s 3:S", kafka_heartbeat)                                         \
    X(13, 0, 5, 4, false, "LeaveGroup", "s 0-2:s 3:[s S 5:S]", kafka_leave_group)                            \
    X(14, 0, 5, 4, true, "SyncGroup", "s i s 3:S 5:S 5:S [s y]", kafka_sync_group)                           \
    X(15, 0, 5, 5, false, "DescribeGroups", "<s> 3:b", kafka_describe_groups)                                \
    X(16, 0, 4, 3, false, "ListGroups", "4:<s>", kafka_list_groups)                                          \
    X(42, 0, 2, 2, false, "DeleteGroups", "<s>", kafka_delete_groups)                                        \
    X(47, 0, 0, INT16_MAX, false, "OffsetDelete", "s [s <i>]", kafka_offset_delete)

#define X(key, min, max, flexible, waits, name, layout, handler)                                             \
    enum net_take handler(struct kafka_session *s, const struct kafka_request *rq);
KAFKA_GROUP_APIS(X)
#undef X

/* What Kafka's clients are told. */
enum kafka_error kafka_error_of_group(enum classic_result result);
/* May a change that notes up to `state_bytes` be made and stored now? ERR_OK with *take left alone; else the
 * request is parked, or refused: *error says how. */
bool kafka_group_room(struct kafka_session *s, uint64_t state_bytes, enum kafka_error *error);
/* Stores what was changed; the sequence that its answer waits for. */
uint64_t kafka_group_flush(struct kafka_session *s);

enum {
    /* What one position, without its metadata and the group's name, and what a change of the group notes. */
    KAFKA_POSITION_BYTES = 128,
    KAFKA_GROUP_BYTES = 8192,
};

#endif
