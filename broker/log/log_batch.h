/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log_batch.h: inside the room: taking one batch from the bytes of a .log.
 */
#ifndef RUNNEL_LOG_LOG_BATCH_H
#define RUNNEL_LOG_LOG_BATCH_H

#include "proto/batch.h"

/* No batch is larger: several times the greatest max.message.bytes. It bounds what a damaged length can make
 * us allocate or read. */
enum { LOG_BATCH_BYTES_MAX = 64 << 20 };

enum log_batch_result {
    LOG_BATCH_OK,
    LOG_BATCH_CUT, /* goes on past what is there; `out->bytes` and offsets are set when its header is there */
    LOG_BATCH_BAD, /* not a batch of ours; `what` says why */
};

/* Takes the batch at `p`, of which `available` bytes are there. Offsets may only go up from `expected`: rules
 * that took records out left gaps. A batch that is cut before its header's end has out->bytes 0. */
enum log_batch_result log_batch_take(struct batch *out, const uint8_t *p, uint64_t available,
                                     uint64_t expected, const char **what);
static inline uint64_t log_batch_end(const struct batch *batch)
{
    return (uint64_t)batch->base_offset + (uint64_t)batch->last_offset_delta + 1;
}
/* The checks that cost a pass over the batch: its CRC, and that its records add up. NULL or what is wrong. */
const char *log_batch_check(const struct batch *batch);

#endif
