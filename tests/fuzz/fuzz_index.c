/* SPDX-License-Identifier: Apache-2.0
 *
 * An index file, and the batches of a .log. The first byte says what the rest is:
 *   bit 0  set: batches; clear: an index file
 *   bit 1  checksums are made right first, so that what lies behind them is reached as well
 * Whatever index is accepted encodes to the same bytes again and keeps the promises that readers compute
 * with.
 */
#include "fuzz.h"

#include <string.h>

#include "log/log_batch.h"
#include "log/log_entry.h"
#include "proto/crc32c.h"

static const struct log_id id = { 0x1122334455667788, 3 };
enum { BASE = 1000, INPUT_MAX = 1 << 16 };

static uint8_t again[LOG_INDEX_ENTRY];

/* The checksum of the entry at `raw`, as encoding any entry with the same bytes would give it. */
static void make_entry_right(uint8_t *raw, uint32_t number)
{
    struct reader r = reader_of(raw, LOG_INDEX_ENTRY);
    struct log_extent e = { .position = read_u64(&r) };
    e.bytes = read_u32(&r);
    e.checksum = read_u32(&r);
    e.first_offset = read_u64(&r);
    e.first_delta = read_u32(&r);
    e.flags = read_u32(&r);
    e.end_offset = read_u64(&r);
    e.max_timestamp_ms = read_i64(&r);
    e.append_ms = read_i64(&r);
    log_entry_encode(raw, id, BASE, number, &e);
}

static void try_entries(uint8_t *raw, size_t size, bool right)
{
    struct log_extent previous, extent;
    char what[LOG_WHAT_BYTES];
    for (uint32_t i = 0; (i + 1) * (size_t)LOG_INDEX_ENTRY <= size; i++) {
        uint8_t *at = raw + (size_t)i * LOG_INDEX_ENTRY;
        if (right)
            make_entry_right(at, i);
        if (log_entry_decode(&extent, at, id, BASE, i, what) < 0) {
            FUZZ_CHECK(strlen(what) < LOG_WHAT_BYTES && what[0]);
            return;
        }
        log_entry_encode(again, id, BASE, i, &extent);
        FUZZ_CHECK(memcmp(again, at, LOG_INDEX_ENTRY) == 0);
        FUZZ_CHECK(extent.first_delta <= extent.bytes && extent.bytes > 0);
        if (log_entry_follows(i ? &previous : NULL, &extent, BASE, what) < 0)
            return;
        FUZZ_CHECK(extent.first_offset >= BASE && extent.end_offset >= extent.first_offset);
        FUZZ_CHECK(!i || extent.position > previous.position);
        previous = extent;
    }
}

static void try_index(uint8_t *raw, size_t size, bool right)
{
    char what[LOG_WHAT_BYTES];
    if (size < LOG_INDEX_HEADER)
        return;
    if (right) {
        uint32_t crc = crc32c(0, raw, 60);
        memcpy(raw + 60, &crc, sizeof(crc));
    }
    if (log_header_check(raw, id, BASE, what) < 0)
        FUZZ_CHECK(strlen(what) < LOG_WHAT_BYTES && what[0]);
    else
        FUZZ_CHECK(raw[8] == LOG_INDEX_VERSION);
    try_entries(raw + LOG_INDEX_HEADER, size - LOG_INDEX_HEADER, right);
}

static void try_batches(uint8_t *raw, size_t size, bool right)
{
    uint64_t expected = 0;
    size_t at = 0;
    while (at < size) {
        struct batch batch;
        const char *what = NULL;
        enum log_batch_result taken = log_batch_take(&batch, raw + at, size - at, expected, &what);
        if (taken == LOG_BATCH_BAD)
            FUZZ_CHECK(what);
        if (taken != LOG_BATCH_OK)
            return;
        FUZZ_CHECK(batch.bytes <= size - at && log_batch_end(&batch) > expected);
        if (right)
            batch.crc = crc32c(0, raw + at + 21, batch.bytes - 21);
        if (log_batch_check(&batch))
            return;
        expected = log_batch_end(&batch);
        at += batch.bytes;
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return;
    bool right = data[0] & 2;
    uint8_t *copy = malloc(size - 1); /* its own end: a read behind it is seen */
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        try_batches(copy, size - 1, right);
    else
        try_index(copy, size - 1, right);
    free(copy);
}
