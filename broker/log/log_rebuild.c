/* SPDX-License-Identifier: Apache-2.0
 *
 * Making an index anew from its .log alone.
 *
 * The batches' own CRCs stand in for the lost extent checksums. They do not cover a batch's first 17 bytes
 * (offset, length, epoch, version), so those are held against what must follow from the neighbours: lengths
 * add up to the last byte, offsets go up, the version is 2. The leader epoch alone cannot be checked.
 *
 * A segment that is still written must go on whatever its .log looks like: there, what cannot be proven right
 * is given extents whose checksum is wrong on purpose, so that reads of it are refused by name and all else
 * is served.
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

enum {
    REBUILD_EXTENT = 256 << 10,
    SET_ASIDE_CHECKSUM = 0x5e7a51de, /* of no extent, but by a chance of one in four thousand million */
};

struct rebuild {
    const char *dir;
    struct log_id id;
    struct log_segment *segment;
    struct log_extent *extents;
    uint64_t room;
    uint32_t count;
    uint32_t open;      /* extents below this one know their first batch */
    uint64_t covered;   /* where the extents end: the segment's end, or before */
    uint64_t whole_end; /* offset after the last batch that is wholly there */
    uint64_t end;       /* offset after the last batch that starts in the extents, */
    uint64_t next;      /* and the position where the next one starts */
    uint64_t bad;       /* damage: where the batch starts that cannot be taken */
    int64_t max_before_ms, max_timestamp_ms;
    char *why;
};

/* Lays the extents out; what depends on batches comes later. */
static void rebuild_start(struct rebuild *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct log_extent *extent = &r->extents[i];
        extent->position = (uint64_t)i * REBUILD_EXTENT;
        uint64_t left = r->covered - extent->position;
        extent->bytes = left < REBUILD_EXTENT ? (uint32_t)left : REBUILD_EXTENT;
        extent->checksum = log_extent_checksum(r->id, r->segment->base_offset, extent->position, "", 0);
    }
    r->count = count;
}

/* Each byte of the .log once: it belongs to one extent's checksum. */
static void rebuild_loaded(void *ctx, const uint8_t *bytes, uint64_t count, uint64_t position)
{
    struct rebuild *r = ctx;
    while (count > 0 && position < r->covered) {
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
    r->bad = position;
    return -EBADMSG;
}

/* Walks the batches that start in the extents. The last one of a segment that is still written may be cut by
 * the segment's end: the rest of it, and all it says, is in the journal still. */
static int rebuild_walk(struct rebuild *r, struct log_scan *scan)
{
    uint64_t at = 0;
    for (; at < r->covered; r->next = at) {
        struct batch batch;
        const uint8_t *p = NULL;
        const char *what = "the file ends here";
        int64_t have = log_scan_at(scan, at, BATCH_HEADER, &p);
        if (have == 0)
            return rebuild_bad(r, at, what);
        enum log_batch_result taken = LOG_BATCH_BAD;
        if (have > 0)
            taken = log_batch_take(&batch, p, (uint64_t)have, r->end, &what);
        if (taken == LOG_BATCH_CUT && batch.bytes > 0) {
            have = log_scan_at(scan, at, batch.bytes, &p);
            if (have > 0)
                taken = log_batch_take(&batch, p, (uint64_t)have, r->end, &what);
        }
        if (have < 0) {
            rebuild_bad(r, at, strerror((int)-have));
            return (int)have;
        }
        if (taken == LOG_BATCH_OK && (what = log_batch_check(&batch)))
            taken = LOG_BATCH_BAD;
        if (taken == LOG_BATCH_CUT && (r->segment->sealed || at + (uint64_t)have < r->segment->bytes)) {
            what = r->segment->sealed ? "goes on past the segment's end" : "goes on past the file's end";
            taken = LOG_BATCH_BAD;
        }
        if (taken == LOG_BATCH_BAD)
            return rebuild_bad(r, at, what);
        /* Of a header that is cut nothing is known but that it takes an offset. */
        uint64_t base = batch.bytes ? (uint64_t)batch.base_offset : r->end;
        r->end = batch.bytes ? log_batch_end(&batch) : r->end + 1;
        rebuild_batch(r, at, base, r->end, batch.bytes ? batch.max_timestamp_ms : r->max_timestamp_ms);
        if (taken == LOG_BATCH_CUT) {
            r->next = at;
            break;
        }
        r->whole_end = r->end;
        at += batch.bytes;
    }
    rebuild_close(r, r->count, r->end);
    return 0;
}

/* One pass over the .log's first `covered` bytes; allocates the extents, and `spare` more behind them. */
static int rebuild_pass(struct rebuild *r, uint64_t covered, uint32_t spare)
{
    char path[LOG_PATH_BYTES];
    const struct log_segment *s = r->segment;
    log_segment_path(path, r->dir, s->base_offset, "log");
    struct log_scan scan;
    uint64_t size = 0;
    uint64_t count = (covered + REBUILD_EXTENT - 1) / REBUILD_EXTENT;
    r->covered = covered;
    r->room = count + spare;
    r->extents = mem_zalloc(MEM_LOG, (r->room ? r->room : 1) * sizeof(*r->extents));
    r->open = 0;
    r->next = 0;
    r->whole_end = r->end = s->base_offset;
    r->max_timestamp_ms = r->max_before_ms;
    rebuild_start(r, (uint32_t)count);
    if (count == 0)
        return 0;
    int result = log_scan_open(&scan, path, &size);
    if (result < 0) {
        log_say(r->why, r->dir, s->base_offset, "log", "cannot open the file: %s", strerror(-result));
        r->bad = 0;
        return result;
    }
    scan.end = s->bytes < size ? s->bytes : size;
    scan.loaded = rebuild_loaded;
    scan.ctx = r;
    result = rebuild_walk(r, &scan);
    /* A cut batch may leave bytes that were not looked at: their checksum is still wanted. */
    const uint8_t *p;
    if (result == 0 && log_scan_at(&scan, covered, 0, &p) < 0)
        result = -EIO;
    log_scan_close(&scan);
    return result;
}

static void rebuild_free(struct rebuild *r)
{
    mem_free(MEM_LOG, r->extents, (r->room ? r->room : 1) * sizeof(*r->extents));
    r->extents = NULL;
}

/* Replaces the index file. No rename is needed: whoever finds it half written rebuilds it again. */
static int rebuild_write(const struct rebuild *r)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, r->segment->base_offset, "index");
    file_unlink(path); /* a file that cannot be written may be why we are here */
    int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    int result = file_truncate(fd, 0);
    file_close(fd);
    if (result == 0)
        result = log_index_append(r->dir, r->id, r->segment->base_offset, 0, r->extents, r->count, r->why);
    return result;
}

/* What the checkpoint knew of the segment must still be so. */
static int rebuild_compare(struct rebuild *r)
{
    const struct log_segment *s = r->segment;
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, s->base_offset, "log");
    int fd = file_open(path, FILE_READ, NULL);
    int64_t size = fd;
    if (fd >= 0) {
        size = file_bytes(fd);
        file_close(fd);
    }
    if (size < 0) {
        log_say(r->why, r->dir, s->base_offset, "log", "cannot open the file: %s", strerror((int)-size));
        return (int)size;
    }
    if ((uint64_t)size < s->bytes) { /* more is fine: what was allocated goes when the segment is sealed */
        log_say(r->why, r->dir, s->base_offset, "log", "the file has %" PRIi64 " bytes, expected %" PRIu64,
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
    struct rebuild r = {
        .dir = dir, .id = id, .segment = segment, .max_before_ms = max_timestamp_ms, .why = why
    };
    bool unflushed;
    int result = rebuild_compare(&r);
    if (result < 0)
        return result;
    result = rebuild_pass(&r, segment->bytes, 0);
    if (result == 0 && segment->end_offset != 0 && segment->end_offset != r.whole_end) {
        log_say(why, dir, segment->base_offset, "log",
                "the batches end at offset %" PRIu64 ", expected %" PRIu64, r.whole_end, segment->end_offset);
        result = -EBADMSG;
    }
    if (result == 0)
        result = rebuild_write(&r);
    if (result == 0)
        result = log_segment_sync(dir, segment->base_offset, true, &unflushed);
    if (result == 0) {
        segment->extents = r.count;
        segment->end_offset = r.whole_end;
        segment->max_timestamp_ms = r.max_timestamp_ms;
    }
    rebuild_free(&r);
    return result;
}

/* ---- a segment that is still written ---- */

/* Extents for what was not proven right, up to `last`: with a checksum that no bytes there can have. */
static void repair_set_aside(struct rebuild *r, const struct log_extent *last)
{
    uint64_t at = r->covered;
    bool starts = r->end < last->first_offset;
    for (; at < last->position; at += r->extents[r->count++].bytes) {
        struct log_extent *extent = &r->extents[r->count];
        uint64_t left = last->position - at;
        *extent = (struct log_extent){ .position = at,
                                       .bytes = left < REBUILD_EXTENT ? (uint32_t)left : REBUILD_EXTENT,
                                       .first_offset = last->first_offset,
                                       .end_offset = last->first_offset,
                                       .max_timestamp_ms = last->max_timestamp_ms,
                                       .append_ms = last->append_ms };
        extent->first_delta = extent->bytes;
        if (at == r->covered && starts) {
            extent->first_delta = (uint32_t)(r->next - at);
            extent->first_offset = r->end;
        }
        extent->checksum = SET_ASIDE_CHECKSUM;
    }
}

/* The .log is damaged as well: keeps what lies before that, and sets the rest aside. */
static void repair_partly(struct rebuild *r, const struct log_extent *last)
{
    uint64_t bad = r->bad, offset = r->end, covered = bad - bad % LOG_BLOCK;
    uint32_t aside = (uint32_t)((last->position - covered + REBUILD_EXTENT - 1) / REBUILD_EXTENT);
    char why[LOG_WHY_BYTES], *told = r->why;
    rebuild_free(r);
    r->why = why; /* what is told is the first damage */
    int result = rebuild_pass(r, covered, aside + 1);
    r->why = told;
    if (result < 0 || r->next > bad || r->end > offset) {
        /* It reads differently each time: nothing of it is to be trusted. */
        rebuild_free(r);
        rebuild_pass(r, 0, (uint32_t)(last->position / REBUILD_EXTENT) + 2);
    }
    repair_set_aside(r, last);
}

/* The index only: an error of flushing the .log is for the checkpoint to hear, and is told once. */
static int repair_flush(const struct rebuild *r)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, r->segment->base_offset, "index");
    int fd = file_open(path, FILE_WRITE, NULL);
    if (fd < 0)
        return fd;
    int result = file_sync(fd);
    file_close(fd);
    return result < 0 ? result : file_sync_dir(r->dir);
}

int log_index_repair(const char *dir, struct log_id id, struct log_segment *segment,
                     const struct log_extent *last, int64_t max_timestamp_ms, bool *damaged, char *why)
{
    struct log_segment known = *segment;
    known.append_ms = last->append_ms;
    struct rebuild r = {
        .dir = dir, .id = id, .segment = &known, .max_before_ms = max_timestamp_ms, .why = why
    };
    int result = rebuild_pass(&r, last->position, 1);
    if (result == 0 && r.end != last->first_offset)
        result = rebuild_bad(&r, 0, "the batches do not lead to where the last extent starts");
    *damaged = result < 0;
    if (*damaged)
        repair_partly(&r, last);
    r.extents[r.count++] = *last;
    result = rebuild_write(&r);
    if (result == 0)
        result = repair_flush(&r);
    if (result == 0)
        segment->extents = r.count;
    rebuild_free(&r);
    return result;
}
