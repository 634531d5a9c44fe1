/* SPDX-License-Identifier: Apache-2.0
 *
 * The forward window over a .log, and the checks of a single batch in it.
 */
#include "log/log_scan.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "log/log.h"
#include "log/log_batch.h"
#include "proto/crc32c.h"

/* One direct read: large enough for the disk's full speed, small beside a worker's other memory. */
enum { SCAN_BYTES = 1 << 20 };

int log_scan_open(struct log_scan *scan, const char *path, uint64_t *size)
{
    memset(scan, 0, sizeof(*scan));
    scan->fd = file_open(path, FILE_READ | FILE_DIRECT, NULL);
    if (scan->fd < 0)
        return scan->fd;
    int64_t bytes = file_bytes(scan->fd);
    if (bytes < 0) {
        file_close(scan->fd);
        return (int)bytes;
    }
    *size = (uint64_t)bytes;
    scan->end = (uint64_t)bytes;
    scan->buffer_bytes = SCAN_BYTES;
    scan->buffer = mem_alloc_aligned(MEM_LOG, scan->buffer_bytes, LOG_BLOCK);
    return 0;
}

void log_scan_close(struct log_scan *scan)
{
    mem_free(MEM_LOG, scan->buffer, scan->buffer_bytes);
    file_close(scan->fd);
}

/* Moves the window's start to the block of `position` and makes room for `bytes` from there. */
static void scan_move(struct log_scan *scan, uint64_t position, uint64_t bytes)
{
    uint64_t start = position - position % LOG_BLOCK;
    uint64_t skip = start - scan->start;
    uint64_t keep = skip < scan->have ? scan->have - skip : 0;
    uint64_t wanted = position - start + bytes;
    wanted += LOG_BLOCK - 1 - (wanted + LOG_BLOCK - 1) % LOG_BLOCK;

    uint8_t *buffer = scan->buffer;
    uint64_t old_bytes = scan->buffer_bytes;
    if (wanted > scan->buffer_bytes) {
        scan->buffer_bytes = wanted;
        scan->buffer = mem_alloc_aligned(MEM_LOG, wanted, LOG_BLOCK);
    }
    memmove(scan->buffer, buffer + skip, keep);
    if (buffer != scan->buffer)
        mem_free(MEM_LOG, buffer, old_bytes);
    scan->start = start;
    scan->have = keep;
}

/* Fills the window behind what it has. */
static int scan_fill(struct log_scan *scan)
{
    uint64_t at = scan->start + scan->have;
    CHECK(at % LOG_BLOCK == 0);
    uint64_t room = scan->buffer_bytes - scan->have;
    uint64_t left = scan->end - at;
    uint64_t count = left + LOG_BLOCK - 1 - (left + LOG_BLOCK - 1) % LOG_BLOCK;
    if (count > room)
        count = room - room % LOG_BLOCK;
    int64_t got = file_read(scan->fd, scan->buffer + scan->have, count, at);
    if (got < 0)
        return (int)got;
    if ((uint64_t)got > left)
        got = (int64_t)left;
    if (scan->loaded)
        scan->loaded(scan->ctx, scan->buffer + scan->have, (uint64_t)got, at);
    scan->have += (uint64_t)got;
    if ((uint64_t)got < count)
        scan->end = scan->start + scan->have;
    return 0;
}

int64_t log_scan_at(struct log_scan *scan, uint64_t position, uint64_t bytes, const uint8_t **out)
{
    CHECK(position >= scan->start);
    for (;;) {
        uint64_t have_end = scan->start + scan->have;
        if (position + bytes <= have_end || have_end >= scan->end)
            break;
        /* What lies before `position` is no longer needed, but is still read once, for `loaded`. */
        uint64_t from = position < have_end ? position : have_end;
        uint64_t want = position < have_end ? bytes : LOG_BLOCK;
        scan_move(scan, from, want);
        int result = scan_fill(scan);
        if (result < 0)
            return result;
    }
    uint64_t have_end = scan->start + scan->have;
    if (position >= have_end)
        return 0;
    *out = scan->buffer + (position - scan->start);
    return (int64_t)(have_end - position);
}

enum log_batch_result log_batch_take(struct batch *out, const uint8_t *p, uint64_t available,
                                     uint64_t expected, const char **what)
{
    out->bytes = 0;
    if (available < BATCH_LENGTH_OVERHEAD)
        return LOG_BATCH_CUT;
    uint64_t bytes = batch_bytes(p, available);
    if (bytes < BATCH_HEADER || bytes > LOG_BATCH_BYTES_MAX) {
        *what = "no batch has such a length";
        return LOG_BATCH_BAD;
    }
    if (available < BATCH_HEADER)
        return LOG_BATCH_CUT;
    if (p[16] != BATCH_MAGIC) {
        *what = "the batch's format version is not 2";
        return LOG_BATCH_BAD;
    }
    /* Decoding touches the header only, and that is there: a cut batch still tells its length and offsets. */
    if (!batch_decode(out, p, bytes)) {
        *what = "the batch's header cannot be right";
        return LOG_BATCH_BAD;
    }
    if (out->base_offset < 0 || out->last_offset_delta < 0 ||
        out->base_offset > INT64_MAX - 1 - out->last_offset_delta) {
        *what = "the batch's offsets are impossible";
        return LOG_BATCH_BAD;
    }
    if ((uint64_t)out->base_offset < expected) {
        *what = "the batch's offset is below the end of the batch before it";
        return LOG_BATCH_BAD;
    }
    return available >= bytes ? LOG_BATCH_OK : LOG_BATCH_CUT;
}

const char *log_batch_check(const struct batch *batch)
{
    enum { CRC_FROM = 21 }; /* the attributes: what lies before is the extent's to protect */
    if (crc32c(0, batch->at + CRC_FROM, batch->bytes - CRC_FROM) != batch->crc)
        return "the batch's CRC does not match its bytes";
    if (batch->count < 0 || (int64_t)batch->count > (int64_t)batch->last_offset_delta + 1)
        return "the batch counts more records than it has offsets";
    if ((batch->attributes & BATCH_CODEC_MASK) != CODEC_NONE)
        return NULL;
    struct record_iter it;
    struct record record;
    record_iter_init(&it, batch, (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER });
    int64_t previous = batch->base_offset - 1;
    int32_t count = 0;
    int got;
    while ((got = record_next(&it, &record)) > 0) {
        if (record.offset <= previous || record.offset > batch->base_offset + batch->last_offset_delta)
            return "the batch's records are not in the order of their offsets";
        previous = record.offset;
        count++;
    }
    if (got < 0 || count != batch->count)
        return "the batch's records do not add up to its count";
    return NULL;
}
