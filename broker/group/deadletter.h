/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deadletter.h: what an event becomes when its group gives it up: itself, and why, as a batch of one
 * record for the dead-letter topic.
 *
 * Key, value and headers stay as they were; the reasons are further headers, all text (docs/protocol.md). An
 * event that was a dead letter before keeps the old reasons too: a reader takes the last header of a name.
 * Pure but for memory.
 */
#ifndef RUNNEL_GROUP_DEADLETTER_H
#define RUNNEL_GROUP_DEADLETTER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"

struct packer;

enum {
    DEADLETTER_HEADERS = 18, /* that are added */
    /* Longer texts are cut: a stack trace must not make an event too large for its topic. */
    DEADLETTER_MESSAGE_BYTES = 1024,
    DEADLETTER_STACK_BYTES = 4096,
    DEADLETTER_WHY_BYTES = 128,
};

struct deadletter {
    struct bytes topic;
    uint32_t partition;
    uint64_t offset;
    struct bytes error_type, error_message, error_stack; /* lent */
    uint32_t retry_count;                                /* deliveries after the first */
    int64_t failed_ms;                                   /* wall clock */
    struct bytes group, instance;
    struct bytes disposition; /* "max_attempts", "rejected" */
};

/* Finds the record with `offset` in a stored batch, opening it when it is compressed (with `p`, whose memory
 * the record then lends). False with a sentence in `why`: damaged, or there is no such record any more (then
 * why is empty). */
bool deadletter_find(struct packer *p, const struct batch *batch, uint64_t offset, struct record *out,
                     char *why);
/* The most bytes that deadletter_build() can need. */
uint64_t deadletter_bytes_max(const struct record *record, const struct deadletter *letter);
/* Builds the batch; its bytes, or 0 when it does not fit `room` (the record is larger than any batch may
 * be, or its headers are malformed). */
uint32_t deadletter_build(uint8_t *out, uint32_t room, const struct record *record,
                          const struct deadletter *letter);

/* "orders" -> "orders.dlq", into TOPIC_NAME_MAX + 1 bytes. False when the name would be too long. */
bool deadletter_topic(struct bytes topic, char *out);
/* Does the name belong to a dead-letter topic? Those never get one of their own. */
bool deadletter_is_topic(struct bytes topic);

#endif
