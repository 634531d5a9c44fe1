/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/store_model.h: what a store was told and what it answered, so that a crash can be judged.
 *
 * The model outlives the store's process. It knows every batch that was appended, with a checksum of all its
 * bytes as they must be stored, and every catalogue change, each with the journal sequence that it waited
 * for. After a crash the store must stand as after some one sequence: nothing up to the last one that was
 * reported durable is missing, nothing is there twice or with other bytes, and what came back of the rest is
 * everything up to some sequence and nothing behind it. Fails the test (cr_assert) otherwise.
 */
#ifndef RUNNEL_TESTS_STORE_MODEL_H
#define RUNNEL_TESTS_STORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "partition/catalog.h"
#include "partition/partition.h"

enum { MODEL_BATCHES_KEPT = 5 }; /* of a producer: what it may send again */

struct model_batch {
    uint64_t base, end;
    uint64_t nonce; /* names its content */
    uint64_t sequence;
    int64_t timestamp_ms;
    int64_t producer;
    int32_t first_sequence;
    uint32_t count, value_bytes, bytes, crc;
};

struct model_partition {
    struct model_batch *batches;
    uint32_t count, room;
    uint64_t start, start_least; /* as last seen; least that a crash may take it back to */
    uint64_t start_pending, start_sequence;
};

/* A topic as it was after one change. */
struct model_version {
    uint64_t sequence;
    uint32_t partitions;
    int64_t mark; /* a setting that no other version has */
};

enum { MODEL_VERSIONS = 32, MODEL_PARTITIONS = 8 };

struct model_topic {
    char name[32];
    uint64_t id, created, deleted; /* sequences; deleted 0: it is not */
    bool gone;                     /* for good: its deletion is settled */
    struct model_version versions[MODEL_VERSIONS];
    uint32_t version_count;
    struct model_partition partitions[MODEL_PARTITIONS];
};

struct model {
    struct model_topic **topics;
    uint32_t count, room;
    int64_t mark;
    uint64_t nonce;
};

void model_init(struct model *m);
void model_free(struct model *m);

struct model_topic *model_topic(struct model *m, uint64_t id);
struct model_topic *model_create(struct model *m, const struct topic *t, uint64_t sequence);
/* Its settings or partitions changed. False: too many unsettled changes, make none now. */
void model_change(struct model_topic *mt, const struct topic *t, uint64_t sequence);
bool model_may_change(const struct model_topic *mt);
void model_delete(struct model_topic *mt, uint64_t sequence);
/* Everything up to `durable` is settled: forgets old versions. */
void model_settle(struct model *m, uint64_t durable);

/* Builds the batch of `nonce`; the same again for the same arguments. Returns its bytes. */
uint32_t model_build(uint8_t *out, uint32_t room, uint64_t nonce, uint32_t count, uint32_t value_bytes,
                     int64_t timestamp_ms, int64_t producer, int32_t first_sequence);
/* Notes an appended batch; `at` is what was sent, changed into what must be stored. */
struct model_batch *model_append(struct model *m, struct partition *p, uint8_t *at, uint32_t bytes,
                                 const struct append_result *result, uint32_t leader_epoch, int64_t now_ms);
/* The batch that holds `offset`, NULL when there is none. */
const struct model_batch *model_find(const struct model_partition *mp, uint64_t offset);

/* A slice that a reader was lent: every batch as it was appended, in order, and durable. Returns the offset
 * behind it. `next`: where it has to go on; its first batch may begin before. */
uint64_t model_check_slice(const struct model *m, const struct partition *p, const uint8_t *data,
                           uint32_t bytes, uint64_t next, uint64_t durable);

/* After recovery: the store's topics and, per partition, the offset to which the caller could read (with
 * model_check_slice()) against everything known. `durable`: the last sequence reported before the crash.
 * Fails the test, or makes what came back the truth. */
struct model_found {
    struct store *store;
    uint64_t durable;
};
void model_judge(struct model *m, const struct model_found *found);

#endif
