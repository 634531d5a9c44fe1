/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log_entry.h: inside the room: the bytes of an index file, encoded and checked. Pure functions.
 *
 *   header   0 "RNLINDEX"   8 u32 version   12 u32 partition   16 u64 topic id   24 u64 base offset
 *           32 zeros        60 u32 crc32c of bytes 0-59
 *   entry    0 u64 position      8 u32 bytes       12 u32 checksum of the extent
 *           16 u64 first offset 24 u32 first delta 28 u32 flags
 *           32 u64 end offset   40 i64 max timestamp 48 i64 append time
 *           56 u32 zero         60 u32 crc32c of bytes 0-59, bound to topic, partition, segment and number
 *
 * Little-endian. The header keeps this shape in every version, so that an unknown version can be named.
 */
#ifndef RUNNEL_LOG_LOG_ENTRY_H
#define RUNNEL_LOG_LOG_ENTRY_H

#include <stdint.h>

#include "log/log.h"

enum {
    LOG_INDEX_HEADER = 64,
    LOG_INDEX_ENTRY = 64,
    LOG_WHAT_BYTES = 128,
    /* No extent is larger: each is one write, of a chunk of the tail (256 KiB, or one batch that is larger).
     * It bounds what a wrong entry can make a reader ask for. */
    LOG_EXTENT_BYTES_MAX = 1 << 30,
};

/* Where in the index file an entry stands. */
static inline uint64_t log_entry_position(uint32_t number)
{
    return LOG_INDEX_HEADER + (uint64_t)number * LOG_INDEX_ENTRY;
}

void log_header_encode(uint8_t *out, struct log_id id, uint64_t base_offset);
/* 0; -EBADMSG: not the header of this segment's index; -EPROTONOSUPPORT: a version that we do not know.
 * `what` (LOG_WHAT_BYTES) gets the sentence. */
int log_header_check(const uint8_t *in, struct log_id id, uint64_t base_offset, char *what);

void log_entry_encode(uint8_t *out, struct log_id id, uint64_t base_offset, uint32_t number,
                      const struct log_extent *extent);
/* Checks what an entry alone can show; 0 or -EBADMSG. */
int log_entry_decode(struct log_extent *out, const uint8_t *in, struct log_id id, uint64_t base_offset,
                     uint32_t number, char *what);
/* Does `extent` continue `previous` (NULL: `extent` is the segment's first)? 0 or -EBADMSG. */
int log_entry_follows(const struct log_extent *previous, const struct log_extent *extent,
                      uint64_t base_offset, char *what);

#endif
