/* SPDX-License-Identifier: Apache-2.0
 *
 * group/state_own.h: what is stored of groups: records in `__groups`, and the snapshot in a checkpoint, which
 * is the same records without what they superseded.
 *
 * A record's key is the group's name. Its value is null (the group is gone) or a kind and fields, little
 * endian (docs/log-format.md). Every record sets something to a value, whatever it was before, so records
 * that a snapshot includes already may be applied again in their order (partition/state.h).
 *
 *   state.c    records from what happened, and the snapshot
 *   append.c   what is noted goes to the journal
 *   restore.c  records back into groups
 */
#ifndef RUNNEL_GROUP_STATE_OWN_H
#define RUNNEL_GROUP_STATE_OWN_H

#include "group/group_own.h"

enum kind {
    KIND_GROUP = 1, /* u8 mode (1 ordered, 2 shared, 3 kafka), i64 created, i64 active (ms), u8 breaker order,
                       u16 n x (str, str) settings */
    KIND_SUBSCRIPTION, /* str name or pattern, u64 topics with this id or a greater one are newer */
    KIND_PROGRESS,     /* gp, u64 position, n x (u64 first, u32 count): done, so far */
    KIND_ITEMS,        /* gp, n x (u64 offset, u16 attempts, u8 state, i64 due, u32 error class) */
    KIND_GIVE_UP,      /* gp, an item, i64 failed at, u32 key hash, u8 rejected, 4 x str */
    KIND_SETTLED,      /* gp, n x u64: items below the position, or on done events, that are no more */
    KIND_SEEK,         /* gp, u64 position: goes on there, all else is forgotten */
    KIND_FORGET,       /* u32 topic id */
    KIND_COMMIT,       /* gp, u64 position (NO_POSITION: none), i32 leader epoch, str metadata */
};
/* gp: u32 topic id, u32 partition. Lists reach to the value's end. */

enum {
    VALUE_BYTES = 8192,
    RANGES = 32, /* in one record */
    ITEMS = 256,
    ITEM_BYTES = 23,
    NULL_VALUE = UINT32_MAX,
    RECORD_OVERHEAD = 48, /* lengths, timestamp and offset deltas around key and value, at most */
};

#define NO_POSITION UINT64_MAX

/* A noted record, or one of the snapshot: u16 bytes of the key, u32 bytes of the value (NULL_VALUE: null),
 * key, value. Returns the bytes that the one at `at` takes; 0: malformed. */
uint32_t record_get(const uint8_t *at, uint64_t left, struct bytes *key, struct bytes *value);

#endif
