/* SPDX-License-Identifier: Apache-2.0
 *
 * Index header and entries: encoding, decoding, and the checks between neighbours.
 */
#include "log/log_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

static const char log_magic[8] = { 'R', 'N', 'L', 'I', 'N', 'D', 'E', 'X' };

enum { CRC_AT = 60, BINDING_BYTES = 28 };

/* The checksum's start: a file that was moved, or recycled under another topic, never looks valid. */
static uint32_t binding(struct log_id id, uint64_t base_offset, uint64_t place)
{
    uint8_t bytes[BINDING_BYTES];
    struct writer w = writer_of(bytes, sizeof(bytes));
    write_u64(&w, id.topic_id);
    write_u32(&w, id.partition);
    write_u64(&w, base_offset);
    write_u64(&w, place);
    CHECK(!w.bad && w.at == w.end);
    return crc32c(0, bytes, sizeof(bytes));
}

uint32_t log_extent_checksum(struct log_id id, uint64_t base_offset, uint64_t position, const void *bytes,
                             uint32_t count)
{
    return crc32c(binding(id, base_offset, position), bytes, count);
}

void log_header_encode(uint8_t *out, struct log_id id, uint64_t base_offset)
{
    memset(out, 0, LOG_INDEX_HEADER);
    struct writer w = writer_of(out, LOG_INDEX_HEADER);
    write_raw(&w, log_magic, sizeof(log_magic));
    write_u32(&w, LOG_INDEX_VERSION);
    write_u32(&w, id.partition);
    write_u64(&w, id.topic_id);
    write_u64(&w, base_offset);
    w.at = out + CRC_AT;
    write_u32(&w, crc32c(0, out, CRC_AT));
    CHECK(!w.bad && w.at == w.end);
}

int log_header_check(const uint8_t *in, struct log_id id, uint64_t base_offset, char *what)
{
    struct reader r = reader_of(in, LOG_INDEX_HEADER);
    const uint8_t *magic = read_raw(&r, sizeof(log_magic));
    uint32_t version = read_u32(&r), partition = read_u32(&r);
    uint64_t topic_id = read_u64(&r), base = read_u64(&r);
    struct reader tail = reader_of(in + CRC_AT, LOG_INDEX_HEADER - CRC_AT);
    uint32_t crc = read_u32(&tail), expected = crc32c(0, in, CRC_AT);

    if (memcmp(magic, log_magic, sizeof(log_magic)) != 0) {
        snprintf(what, LOG_WHAT_BYTES, "header does not start with RNLINDEX: not an index file");
        return -EBADMSG;
    }
    if (crc != expected) {
        snprintf(what, LOG_WHAT_BYTES, "header is damaged: checksum %08x, computed %08x", crc, expected);
        return -EBADMSG;
    }
    if (version != LOG_INDEX_VERSION) {
        snprintf(what, LOG_WHAT_BYTES, "format version %u is unknown here (known: %d): use a newer runneld",
                 version, LOG_INDEX_VERSION);
        return -EPROTONOSUPPORT;
    }
    if (topic_id != id.topic_id || partition != id.partition || base != base_offset) {
        snprintf(what, LOG_WHAT_BYTES,
                 "belongs to topic id %" PRIu64 ", partition %u, offset %" PRIu64 ", not to this segment",
                 topic_id, partition, base);
        return -EBADMSG;
    }
    return 0;
}

void log_entry_encode(uint8_t *out, struct log_id id, uint64_t base_offset, uint32_t number,
                      const struct log_extent *extent)
{
    struct writer w = writer_of(out, LOG_INDEX_ENTRY);
    write_u64(&w, extent->position);
    write_u32(&w, extent->bytes);
    write_u32(&w, extent->checksum);
    write_u64(&w, extent->first_offset);
    write_u32(&w, extent->first_delta);
    write_u32(&w, extent->flags);
    write_u64(&w, extent->end_offset);
    write_i64(&w, extent->max_timestamp_ms);
    write_i64(&w, extent->append_ms);
    write_u32(&w, 0);
    CHECK(writer_len(&w) == CRC_AT);
    write_u32(&w, crc32c(binding(id, base_offset, number), out, CRC_AT));
    CHECK(!w.bad && w.at == w.end);
}

int log_entry_decode(struct log_extent *out, const uint8_t *in, struct log_id id, uint64_t base_offset,
                     uint32_t number, char *what)
{
    struct reader r = reader_of(in, LOG_INDEX_ENTRY);
    out->position = read_u64(&r);
    out->bytes = read_u32(&r);
    out->checksum = read_u32(&r);
    out->first_offset = read_u64(&r);
    out->first_delta = read_u32(&r);
    out->flags = read_u32(&r);
    out->end_offset = read_u64(&r);
    out->max_timestamp_ms = read_i64(&r);
    out->append_ms = read_i64(&r);
    uint32_t zero = read_u32(&r), crc = read_u32(&r);
    uint32_t expected = crc32c(binding(id, base_offset, number), in, CRC_AT);

    if (crc != expected) {
        snprintf(what, LOG_WHAT_BYTES, "entry %u is damaged: checksum %08x, computed %08x", number, crc,
                 expected);
        return -EBADMSG;
    }
    /* Whatever bytes carry a right checksum, what follows computes with these fields. */
    const char *bad = NULL;
    if (out->flags != 0 || zero != 0)
        bad = "has flags set that mean nothing here";
    else if (out->position % LOG_BLOCK != 0 || out->position > INT64_MAX)
        bad = "names an impossible position";
    else if (out->bytes == 0 || out->bytes > LOG_EXTENT_BYTES_MAX)
        bad = "names an impossible length";
    else if (out->first_delta > out->bytes)
        bad = "says that its first batch starts outside its extent";
    else if (out->first_offset > INT64_MAX || out->end_offset > INT64_MAX)
        bad = "names an impossible offset";
    else if (out->first_delta == out->bytes ? out->first_offset != out->end_offset
                                            : out->first_offset >= out->end_offset)
        bad = "has offsets that contradict each other";
    if (bad) {
        snprintf(what, LOG_WHAT_BYTES, "entry %u %s", number, bad);
        return -EBADMSG;
    }
    return 0;
}

int log_entry_follows(const struct log_extent *previous, const struct log_extent *extent,
                      uint64_t base_offset, char *what)
{
    const char *bad = NULL;
    if (!previous) {
        if (extent->position != 0 || extent->first_delta != 0)
            bad = "the first extent does not start at position 0 with a batch";
        else if (extent->first_offset < base_offset)
            bad = "the first extent starts below the segment's base offset";
    } else if (previous->bytes % LOG_BLOCK != 0) {
        bad = "an extent follows one that is not whole blocks";
    } else if (extent->position != previous->position + previous->bytes) {
        bad = "an extent does not start where the one before it ends";
    } else if (extent->first_offset < previous->end_offset) {
        bad = "an extent's offsets do not continue those of the one before it";
    } else if (extent->max_timestamp_ms < previous->max_timestamp_ms) {
        bad = "the running maximum of timestamps goes down";
    }
    if (bad) {
        snprintf(what, LOG_WHAT_BYTES, "%s (position %" PRIu64 ")", bad, extent->position);
        return -EBADMSG;
    }
    return 0;
}
