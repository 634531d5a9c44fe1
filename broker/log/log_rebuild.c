/* SPDX-License-Identifier: Apache-2.0
 *
 * Making an index anew from its .log alone.
 *
 * The batches' own CRCs stand in for the lost extent checksums. They do not cover a batch's first 17 bytes
 * (offset, length, epoch, version), so those are held against what must follow from the neighbours: lengths
 * add up to the last byte, offsets go up, the version is 2. The leader epoch alone cannot be checked.
 */
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "log/log_batch.h"
#include "log/log_entry.h"
#include "log/log_path.h"
#include "log/log_scan.h"
#include "proto/crc32c.h"

enum { REBUILD_EXTENT = 256 << 10 };

struct rebuild {
    const char *dir;
    struct log_id id;
    struct log_segment *segment;
    struct log_extent *extents;
    uint32_t count;
    uint32_t open;      /* extents below this one know their first batch */
    uint64_t whole_end; /* offset after the last batch that is wholly there */
    int64_t max_timestamp_ms;
    char *why;
};

/* Lays the extents out; what depends on batches comes later. */
static void rebuild_start(struct rebuild *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct log_extent *extent = &r->extents[i];
        extent->position = (uint64_t)i * REBUILD_EXTENT;
        uint64_t left = r->segment->bytes - extent->position;
        extent->bytes = left < REBUILD_EXTENT ? (uint32_t)left : REBUILD_EXTENT;
        extent->checksum = log_extent_checksum(r->id, r->segment->base_offset, extent->position, "", 0);
    }
    r->count = count;
}

/* Each byte of the .log once: it belongs to one extent's checksum. */
static void rebuild_loaded(void *ctx, const uint8_t *bytes, uint64_t count, uint64_t position)
{
    struct rebuild *r = ctx;
    while (count > 0) {
        struct log_extent *extent = &r->extents[position / REBUILD_EXTENT];
        uint64_t left = extent->position + extent->bytes - position;
        uint64_t part = count < left ? count : left;
        extent->checksum = crc32c(extent->checksum, bytes, part);
        bytes += part;
        position += part;
        count -= part;
    }
}

/* Extents up to that of `position` in which no batch starts: they carry the next batch's offset. */
static void rebuild_close(struct rebuild *r, uint32_t until, uint64_t next_offset)
{
    for (; r->open < until; r->open++) {
        struct log_extent *extent = &r->extents[r->open];
        extent->first_delta = extent->bytes;
        extent->first_offset = extent->end_offset = next_offset;
        extent->max_timestamp_ms = r->max_timestamp_ms;
        extent->append_ms = r->segment->append_ms;
    }
}

/* A batch starts at `position`. */
static void rebuild_batch(struct rebuild *r, uint64_t position, uint64_t base, uint64_t end, int64_t max_ms)
{
    uint32_t number = (uint32_t)(position / REBUILD_EXTENT);
    struct log_extent *extent = &r->extents[number];
    if (r->open <= number) {
        rebuild_close(r, number, base);
        extent->first_offset = base;
        extent->first_delta = (uint32_t)(position - extent->position);
        r->open = number + 1;
    }
    if (max_ms > r->max_timestamp_ms)
        r->max_timestamp_ms = max_ms;
    extent->end_offset = end;
    extent->max_timestamp_ms = r->max_timestamp_ms;
    extent->append_ms = r->segment->append_ms;
}

static int rebuild_bad(struct rebuild *r, uint64_t position, const char *what)
{
    log_say(r->why, r->dir, r->segment->base_offset, "log", "batch at position %" PRIu64 ": %s", position,
            what);
    return -EBADMSG;
}

/* Walks all batches. The last one of a segment that is still written may be cut by its end: the rest of it,
 * and all it says, is in the journal still. */
static int rebuild_walk(struct rebuild *r, struct log_scan *scan)
{
    uint64_t at = 0, end = r->segment->bytes, expected = r->segment->base_offset;
    while (at < end) {
        struct batch batch;
        const uint8_t *p = NULL;
        const char *what = "the file ends here";
        int64_t have = log_scan_at(scan, at, BATCH_HEADER, &p);
        if (have < 0)
            return (int)have;
        if (have == 0)
            return rebuild_bad(r, at, what);
        enum log_batch_result taken = log_batch_take(&batch, p, (uint64_t)have, expected, &what);
        if (taken == LOG_BATCH_CUT && batch.bytes > 0) {
            have = log_scan_at(scan, at, batch.bytes, &p);
            if (have < 0)
                return (int)have;
            taken = log_batch_take(&batch, p, (uint64_t)have, expected, &what);
        }
        if (taken == LOG_BATCH_OK && (what = log_batch_check(&batch)))
            taken = LOG_BATCH_BAD;
        if (taken == LOG_BATCH_CUT && r->segment->sealed) {
            what = "goes on past the segment's end";
            taken = LOG_BATCH_BAD;
        }
        if (taken == LOG_BATCH_BAD)
            return rebuild_bad(r, at, what);
        /* Of a header that is cut nothing is known but that it takes an offset. */
        uint64_t base = batch.bytes ? (uint64_t)batch.base_offset : expected;
        expected = batch.bytes ? log_batch_end(&batch) : expected + 1;
        rebuild_batch(r, at, base, expected, batch.bytes ? batch.max_timestamp_ms : r->max_timestamp_ms);
        if (taken == LOG_BATCH_CUT)
            break;
        r->whole_end = expected;
        at += batch.bytes;
    }
    rebuild_close(r, r->count, expected);
    return 0;
}

/* Replaces the index file. No rename is needed: whoever finds it half written rebuilds it again. */
static int rebuild_write(const struct rebuild *r)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, r->segment->base_offset, "index");
    int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    int result = file_truncate(fd, 0);
    file_close(fd);
    if (result == 0)
        result = log_index_append(r->dir, r->id, r->segment->base_offset, 0, r->extents, r->count, r->why);
    return result < 0 ? result : log_segment_sync(r->dir, r->segment->base_offset, true);
}

/* What the checkpoint knew of the segment must still be so. */
static int rebuild_compare(struct rebuild *r, uint64_t size)
{
    const struct log_segment *s = r->segment;
    if (size < s->bytes) { /* more is fine: what was allocated goes when the segment is sealed */
        log_say(r->why, r->dir, s->base_offset, "log", "the file has %" PRIu64 " bytes, expected %" PRIu64,
                size, s->bytes);
        return -EBADMSG;
    }
    if (!s->sealed && s->bytes % LOG_BLOCK != 0) {
        log_say(r->why, r->dir, s->base_offset, "log",
                "an open segment of %" PRIu64 " bytes is not whole blocks", s->bytes);
        return -EBADMSG;
    }
    return 0;
}

int log_index_rebuild(const char *dir, struct log_id id, struct log_segment *segment,
                      int64_t max_timestamp_ms, char *why)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, segment->base_offset, "log");
    struct log_scan scan;
    uint64_t size = 0;
    int result = log_scan_open(&scan, path, &size);
    if (result < 0) {
        log_say(why, dir, segment->base_offset, "log", "cannot open the file: %s", strerror(-result));
        return result;
    }
    struct rebuild r = { .dir = dir,
                         .id = id,
                         .segment = segment,
                         .whole_end = segment->base_offset,
                         .max_timestamp_ms = max_timestamp_ms,
                         .why = why };
    result = rebuild_compare(&r, size);
    uint64_t count = (segment->bytes + REBUILD_EXTENT - 1) / REBUILD_EXTENT;
    uint64_t extents_bytes = count * sizeof(*r.extents);
    if (result == 0 && count > 0) {
        r.extents = mem_zalloc(MEM_LOG, extents_bytes);
        rebuild_start(&r, (uint32_t)count);
        scan.end = segment->bytes;
        scan.loaded = rebuild_loaded;
        scan.ctx = &r;
        result = rebuild_walk(&r, &scan);
        /* A cut batch may leave bytes that were not looked at: their checksum is still wanted. */
        const uint8_t *p;
        if (result == 0 && log_scan_at(&scan, segment->bytes, 0, &p) < 0)
            result = -EIO;
    }
    if (result == 0 && segment->end_offset != 0 && segment->end_offset != r.whole_end) {
        log_say(why, dir, segment->base_offset, "log",
                "the batches end at offset %" PRIu64 ", expected %" PRIu64, r.whole_end, segment->end_offset);
        result = -EBADMSG;
    }
    if (result == 0)
        result = rebuild_write(&r);
    if (result == 0) {
        segment->extents = r.count;
        segment->end_offset = r.whole_end;
        segment->max_timestamp_ms = r.max_timestamp_ms;
    }
    mem_free(MEM_LOG, r.extents, extents_bytes);
    log_scan_close(&scan);
    return result;
}
