/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking a segment whole: what `runnel verify` says about it.
 *
 * Everything is held against everything: sizes against entries, entries against each other, extents against
 * their checksums, batches against their CRCs, their records, each other, and the entries. Damage does not
 * end the search: behind a damaged batch it goes on with the next extent that says where a batch starts.
 */
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "log/log_batch.h"
#include "log/log_entry.h"
#include "log/log_scan.h"
#include "proto/crc32c.h"

struct verify {
    const char *dir;
    struct log_id id;
    struct log_segment segment;
    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text);
    void *ctx;
    int findings;
    char log_path[LOG_PATH_BYTES], index_path[LOG_PATH_BYTES];
    struct log_extent *extents; /* bytes 0: the entry is damaged */
    uint32_t count, capacity;
    uint32_t summing;   /* extent whose checksum is being computed */
    uint32_t checksum;  /* so far */
    uint32_t comparing; /* extent in which the last batch started */
    bool started;       /* a batch started in it */
    uint64_t whole_end; /* offset after the last whole batch */
};

__attribute__((format(printf, 4, 5))) static void verify_say(struct verify *v, const char *file,
                                                             uint64_t position, const char *format, ...)
{
    char text[LOG_WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    v->findings++;
    v->finding(v->ctx, file, position, text);
}

/* ---- the index ---- */

static void verify_entry(struct verify *v, const uint8_t *raw, uint32_t number,
                         const struct log_extent **previous)
{
    char what[LOG_WHAT_BYTES];
    struct log_extent *extent = &v->extents[number];
    uint64_t base = v->segment.base_offset, at = log_entry_position(number);
    if (log_entry_decode(extent, raw, v->id, base, number, what) < 0) {
        verify_say(v, v->index_path, at, "%s", what);
        memset(extent, 0, sizeof(*extent));
        *previous = NULL;
        return;
    }
    bool known = *previous != NULL || number == 0;
    if (known && log_entry_follows(*previous, extent, base, what) < 0) {
        verify_say(v, v->index_path, at, "entry %u: %s", number, what);
        memset(extent, 0, sizeof(*extent));
        *previous = NULL;
        return;
    }
    *previous = extent;
}

/* How many entries there should be, by the index file's size; says when that does not add up. */
static uint64_t verify_index_size(struct verify *v, uint64_t size)
{
    uint64_t held = size < LOG_INDEX_HEADER ? 0 : (size - LOG_INDEX_HEADER) / LOG_INDEX_ENTRY;
    bool listed = v->segment.bytes > 0;
    if (!listed || v->segment.sealed)
        if (size != log_entry_position((uint32_t)held))
            verify_say(v, v->index_path, size,
                       "the file's size, %" PRIu64 " bytes, is not a header and entries", size);
    if (listed && held < v->segment.extents)
        verify_say(v, v->index_path, size, "the file ends after %" PRIu64 " entries, expected %u", held,
                   v->segment.extents);
    if (listed && v->segment.sealed && held > v->segment.extents)
        verify_say(v, v->index_path, size, "the file has %" PRIu64 " entries, expected %u", held,
                   v->segment.extents);
    if (listed && held > v->segment.extents)
        held = v->segment.extents;
    if (held > v->capacity) {
        verify_say(v, v->index_path, log_entry_position(v->capacity),
                   "there are more entries than the .log has blocks");
        held = v->capacity;
    }
    return held;
}

static int verify_entries(struct verify *v, int fd)
{
    uint8_t raw[64 * LOG_INDEX_ENTRY];
    const struct log_extent *previous = NULL;
    uint32_t held = v->count;
    for (uint32_t at = 0; at < held;) {
        uint32_t step = held - at < 64 ? held - at : 64;
        int64_t got = file_read(fd, raw, (uint64_t)step * LOG_INDEX_ENTRY, log_entry_position(at));
        if (got < (int64_t)step * LOG_INDEX_ENTRY)
            return got < 0 ? (int)got : -EIO;
        for (uint32_t i = 0; i < step; i++)
            verify_entry(v, raw + (uint64_t)i * LOG_INDEX_ENTRY, at + i, &previous);
        at += step;
    }
    return 0;
}

static int verify_index(struct verify *v)
{
    uint8_t header[LOG_INDEX_HEADER] = { 0 };
    char what[LOG_WHAT_BYTES];
    int fd = file_open(v->index_path, FILE_READ, NULL);
    if (fd == -ENOENT) {
        verify_say(v, v->index_path, 0, "the file is missing");
        return 0;
    }
    if (fd < 0)
        return fd;
    int64_t size = file_bytes(fd);
    int64_t got = size < 0 ? size : file_read(fd, header, sizeof(header), 0);
    int result = got < 0 ? (int)got : 0;
    if (result == 0) {
        v->count = (uint32_t)verify_index_size(v, (uint64_t)size);
        result = log_header_check(header, v->id, v->segment.base_offset, what);
        if (result < 0)
            verify_say(v, v->index_path, 0, "%s", what);
        if (result == -EPROTONOSUPPORT)
            v->count = 0;
        result = verify_entries(v, fd);
    }
    file_close(fd);
    return result;
}

/* ---- extents ---- */

static void verify_loaded(void *ctx, const uint8_t *bytes, uint64_t count, uint64_t position)
{
    struct verify *v = ctx;
    uint64_t end = position + count;
    while (v->summing < v->count) {
        const struct log_extent *extent = &v->extents[v->summing];
        uint64_t extent_end = extent->position + extent->bytes;
        if (extent->bytes == 0 || extent_end <= position) {
            v->summing++;
            continue;
        }
        if (extent->position >= end)
            return;
        if (extent->position >= position)
            v->checksum = log_extent_checksum(v->id, v->segment.base_offset, extent->position, bytes, 0);
        uint64_t from = extent->position > position ? extent->position : position;
        uint64_t to = extent_end < end ? extent_end : end;
        v->checksum = crc32c(v->checksum, bytes + (from - position), to - from);
        if (to < extent_end)
            return;
        if (v->checksum != extent->checksum)
            verify_say(v, v->log_path, extent->position,
                       "bytes %" PRIu64 " to %" PRIu64 " are damaged: checksum %08x, computed %08x",
                       extent->position, extent_end, extent->checksum, v->checksum);
        v->summing++;
    }
}

/* ---- batches ---- */

/* Holds a batch that starts at `at` against the entry of its extent. */
static void verify_against_entry(struct verify *v, uint64_t at, const struct batch *batch)
{
    for (; v->comparing < v->count; v->comparing++, v->started = false) {
        const struct log_extent *extent = &v->extents[v->comparing];
        if (extent->bytes == 0)
            continue;
        if (at < extent->position)
            return; /* in an extent whose entry is damaged */
        if (at < extent->position + extent->bytes)
            break;
        if (!v->started && extent->first_delta < extent->bytes)
            verify_say(v, v->index_path, log_entry_position(v->comparing),
                       "entry %u says that a batch starts in its extent, but none does", v->comparing);
    }
    if (v->comparing == v->count)
        return;
    const struct log_extent *extent = &v->extents[v->comparing];
    uint64_t entry_at = log_entry_position(v->comparing);
    if (!v->started && (at - extent->position != extent->first_delta ||
                        (batch->bytes && extent->first_offset > (uint64_t)batch->base_offset)))
        verify_say(v, v->index_path, entry_at,
                   "entry %u does not lead to its extent's first batch, at position %" PRIu64, v->comparing,
                   at);
    if (batch->bytes && batch->max_timestamp_ms > extent->max_timestamp_ms)
        verify_say(v, v->index_path, entry_at, "entry %u: the running maximum of timestamps is too small",
                   v->comparing);
    v->started = true;
}

/* After damage at `at`: the next position where an entry says that a batch starts, or `end`. */
static uint64_t verify_resume(struct verify *v, uint64_t at, uint64_t end, uint64_t *expected)
{
    for (uint32_t i = 0; i < v->count; i++) {
        const struct log_extent *extent = &v->extents[i];
        uint64_t start = extent->position + extent->first_delta;
        if (extent->bytes == 0 || extent->first_delta == extent->bytes || start <= at)
            continue;
        *expected = extent->first_offset;
        v->comparing = i;
        v->started = false;
        return start;
    }
    return end;
}

/* Takes the batch at `at` with all of its bytes where they are there. */
static int verify_take(struct verify *v, struct log_scan *scan, uint64_t at, uint64_t expected,
                       struct batch *batch, enum log_batch_result *taken, const char **what)
{
    const uint8_t *p = NULL;
    int64_t have = log_scan_at(scan, at, BATCH_HEADER, &p);
    if (have < 0)
        return (int)have;
    *taken = log_batch_take(batch, p, (uint64_t)have, expected, what);
    if (*taken == LOG_BATCH_CUT && batch->bytes > 0) {
        have = log_scan_at(scan, at, batch->bytes, &p);
        if (have < 0)
            return (int)have;
        *taken = log_batch_take(batch, p, (uint64_t)have, expected, what);
    }
    if (*taken == LOG_BATCH_OK && (*what = log_batch_check(batch)))
        *taken = LOG_BATCH_BAD;
    if (*taken == LOG_BATCH_CUT && v->segment.sealed) {
        *what = "the batch goes on past the segment's end";
        *taken = LOG_BATCH_BAD;
    }
    return 0;
}

static int verify_batches(struct verify *v, struct log_scan *scan)
{
    uint64_t at = 0, expected = v->segment.base_offset, end = scan->end;
    while (at < end) {
        struct batch batch;
        enum log_batch_result taken = LOG_BATCH_OK;
        const char *what = NULL;
        int result = verify_take(v, scan, at, expected, &batch, &taken, &what);
        if (result < 0)
            return result;
        if (taken == LOG_BATCH_BAD) {
            verify_say(v, v->log_path, at, "batch: %s", what);
            at = verify_resume(v, at, end, &expected);
            continue;
        }
        verify_against_entry(v, at, &batch);
        if (taken == LOG_BATCH_CUT)
            break;
        expected = v->whole_end = log_batch_end(&batch);
        at += batch.bytes;
    }
    const uint8_t *p;
    int64_t rest = log_scan_at(scan, end, 0, &p); /* what no batch led to still counts for the checksums */
    return rest < 0 ? (int)rest : 0;
}

/* Where the data ends: as listed, or where the last entry's extent does. */
static uint64_t verify_end(struct verify *v, uint64_t size)
{
    uint64_t end = v->segment.bytes;
    for (uint32_t i = 0; end == 0 && i < v->count; i++) {
        const struct log_extent *last = &v->extents[v->count - 1 - i];
        end = last->bytes ? last->position + last->bytes : 0;
    }
    if (size < end) {
        verify_say(v, v->log_path, size, "the file ends here, %" PRIu64 " bytes early", end - size);
        return size;
    }
    if (v->segment.sealed && size > end)
        verify_say(v, v->log_path, end, "%" PRIu64 " bytes follow after the sealed segment's end",
                   size - end);
    return end;
}

int log_verify(const char *dir, struct log_id id, const struct log_segment *segment,
               void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx)
{
    struct verify *v = mem_zalloc(MEM_LOG, sizeof(*v));
    v->dir = dir;
    v->id = id;
    v->segment = *segment;
    v->finding = finding;
    v->ctx = ctx;
    v->whole_end = segment->base_offset;
    log_segment_path(v->log_path, dir, segment->base_offset, "log");
    log_segment_path(v->index_path, dir, segment->base_offset, "index");

    struct log_scan scan;
    uint64_t size = 0, extents_bytes = 0;
    int result = log_scan_open(&scan, v->log_path, &size);
    if (result == -ENOENT) {
        verify_say(v, v->log_path, 0, "the file is missing");
        result = v->findings;
        mem_free(MEM_LOG, v, sizeof(*v));
        return result;
    }
    if (result == 0) {
        uint64_t blocks =
            size / LOG_BLOCK + 1; /* an extent has at least one block; the last may be part of one */
        v->capacity = blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX;
        extents_bytes = (uint64_t)v->capacity * sizeof(*v->extents);
        v->extents = mem_zalloc(MEM_LOG, extents_bytes);
        result = verify_index(v);
        if (result == 0) {
            scan.end = verify_end(v, size);
            scan.loaded = verify_loaded;
            scan.ctx = v;
            result = verify_batches(v, &scan);
        }
        if (result == 0 && segment->end_offset != 0 && v->whole_end != segment->end_offset)
            verify_say(v, v->log_path, scan.end, "the batches end at offset %" PRIu64 ", expected %" PRIu64,
                       v->whole_end, segment->end_offset);
        log_scan_close(&scan);
        mem_free(MEM_LOG, v->extents, extents_bytes);
        if (result == 0)
            result = v->findings;
    }
    mem_free(MEM_LOG, v, sizeof(*v));
    return result;
}
