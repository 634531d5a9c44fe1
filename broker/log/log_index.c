/* SPDX-License-Identifier: Apache-2.0
 *
 * The index file: appended by checkpoints, searched by readers.
 *
 * It is small (1/4096 of the log) and read through the page cache; only the .log itself is read directly.
 */
#include "log/log_index.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "log/log_entry.h"
#include "log/log_path.h"

int log_index_open(struct log_index *index, const char *dir, struct log_id id,
                   const struct log_segment *segment, char *why)
{
    char path[LOG_PATH_BYTES];
    uint64_t base = segment->base_offset;
    log_segment_path(path, dir, base, "index");
    int fd = file_open(path, FILE_READ, NULL);
    if (fd == -ENOENT) {
        /* Deleting removes the .log first: so an index that is missing while the .log is there is damage, and
         * not a segment that went away under us. */
        log_segment_path(path, dir, base, "log");
        if (file_exists(path) != 1)
            return -ENOENT;
        log_say(why, dir, base, "index", "the file is missing beside its .log");
        return -EBADMSG;
    }
    if (fd < 0)
        return fd;

    uint8_t header[LOG_INDEX_HEADER];
    char what[LOG_WHAT_BYTES];
    int64_t got = file_read(fd, header, sizeof(header), 0);
    int result = got < 0 ? (int)got : 0;
    if (got >= 0 && got < LOG_INDEX_HEADER) {
        log_say(why, dir, base, "index", "the file ends inside its header, after %" PRId64 " bytes", got);
        result = -EBADMSG;
    } else if (got >= 0) {
        result = log_header_check(header, id, base, what);
        if (result < 0)
            log_say(why, dir, base, "index", "%s", what);
    }
    if (result < 0) {
        file_close(fd);
        return result;
    }
    *index = (struct log_index){ fd, id, segment, dir, why };
    return 0;
}

void log_index_close(struct log_index *index)
{
    file_close(index->fd);
}

/* What an entry alone and its neighbour cannot show: does it lie within the segment? */
static const char *index_entry_outside(const struct log_segment *segment, uint32_t number,
                                       const struct log_extent *extent)
{
    if (segment->bytes && extent->position + extent->bytes > segment->bytes)
        return "lies past the segment's end";
    if (extent->bytes % LOG_BLOCK != 0 && !(segment->sealed && number + 1 == segment->extents))
        return "is not whole blocks, and not the last of a sealed segment";
    return NULL;
}

static int index_get_step(struct log_index *index, uint32_t at, struct log_extent *out, uint32_t count)
{
    uint8_t raw[LOG_INDEX_STEP * LOG_INDEX_ENTRY];
    char what[LOG_WHAT_BYTES];
    uint64_t base = index->segment->base_offset;
    int64_t got = file_read(index->fd, raw, (uint64_t)count * LOG_INDEX_ENTRY, log_entry_position(at));
    if (got < 0)
        return (int)got;
    for (uint32_t i = 0; i < count; i++) {
        if ((uint64_t)got < (uint64_t)(i + 1) * LOG_INDEX_ENTRY) {
            log_say(index->why, index->dir, base, "index", "the file ends before entry %u of %u", at + i,
                    index->segment->extents);
            return -EBADMSG;
        }
        int result = log_entry_decode(&out[i], raw + i * LOG_INDEX_ENTRY, index->id, base, at + i, what);
        if (result == 0 && (i > 0 || at == 0))
            result = log_entry_follows(i ? &out[i - 1] : NULL, &out[i], base, what);
        if (result < 0) {
            log_say(index->why, index->dir, base, "index", "%s", what);
            return result;
        }
        const char *outside = index_entry_outside(index->segment, at + i, &out[i]);
        if (outside) {
            log_say(index->why, index->dir, base, "index", "the extent of entry %u %s", at + i, outside);
            return -EBADMSG;
        }
    }
    return 0;
}

int log_index_get(struct log_index *index, uint32_t at, struct log_extent *out, uint32_t count)
{
    uint32_t extents = index->segment->extents, done = 0;
    if (at >= extents)
        return 0;
    if (count > extents - at)
        count = extents - at;
    while (done < count) {
        char what[LOG_WHAT_BYTES];
        uint32_t step = count - done < LOG_INDEX_STEP ? count - done : LOG_INDEX_STEP;
        int result = index_get_step(index, at + done, out + done, step);
        if (result < 0)
            return result;
        uint64_t base = index->segment->base_offset;
        if (done > 0 && log_entry_follows(&out[done - 1], &out[done], base, what) < 0) {
            log_say(index->why, index->dir, base, "index", "%s", what);
            return -EBADMSG;
        }
        done += step;
    }
    return (int)count;
}

int log_index_search(struct log_index *index, bool (*before)(const struct log_extent *extent, int64_t key),
                     int64_t key, uint32_t *count)
{
    struct log_extent entries[LOG_INDEX_STEP];
    uint32_t low = 0, high = index->segment->extents; /* before() holds below low, and not from high on */
    while (high - low > LOG_INDEX_STEP) {
        uint32_t middle = low + (high - low) / 2;
        int result = log_index_get(index, middle, entries, 1);
        if (result < 0)
            return result;
        if (before(&entries[0], key))
            low = middle + 1;
        else
            high = middle;
    }
    int got = log_index_get(index, low, entries, high - low);
    if (got < 0)
        return got;
    for (int i = 0; i < got && before(&entries[i], key); i++)
        low++;
    *count = low;
    return 0;
}

bool log_extent_starts_by(const struct log_extent *extent, int64_t key)
{
    return extent->first_offset <= (uint64_t)key;
}

bool log_extent_earlier(const struct log_extent *extent, int64_t key)
{
    return extent->max_timestamp_ms < key;
}

int log_index_read(const char *dir, struct log_id id, const struct log_segment *segment, uint32_t at,
                   struct log_extent *out, uint32_t count, char *why)
{
    struct log_index index;
    int result = log_index_open(&index, dir, id, segment, why);
    if (result < 0)
        return result;
    result = log_index_get(&index, at, out, count);
    log_index_close(&index);
    return result;
}

int log_index_find(const char *dir, struct log_id id, const struct log_segment *segment, uint64_t offset,
                   uint32_t *at, char *why)
{
    struct log_index index;
    int result = log_index_open(&index, dir, id, segment, why);
    if (result < 0)
        return result;
    uint32_t count = 0;
    result = offset > INT64_MAX ? -ENODATA
                                : log_index_search(&index, log_extent_starts_by, (int64_t)offset, &count);
    log_index_close(&index);
    if (result == 0 && count == 0)
        return -ENODATA;
    if (result == 0)
        *at = count - 1;
    return result;
}

/* Writes header (first == 0) and entries in one write. */
static int index_write(int fd, struct log_id id, uint64_t base_offset, uint32_t first,
                       const struct log_extent *extents, uint32_t count)
{
    uint32_t header = first == 0 ? LOG_INDEX_HEADER : 0;
    uint64_t bytes = header + (uint64_t)count * LOG_INDEX_ENTRY;
    uint8_t *raw = mem_alloc(MEM_LOG, bytes);
    if (header)
        log_header_encode(raw, id, base_offset);
    for (uint32_t i = 0; i < count; i++)
        log_entry_encode(raw + header + (uint64_t)i * LOG_INDEX_ENTRY, id, base_offset, first + i,
                         &extents[i]);
    int result = file_write(fd, raw, bytes, header ? 0 : log_entry_position(first));
    mem_free(MEM_LOG, raw, bytes);
    return result;
}

/* Does the file end as it should before entry `first`, with one that `next` continues? A file of another age
 * would be taken for whole, until a read met the seam. */
static int index_continues(int fd, const char *dir, struct log_id id, uint64_t base_offset, uint32_t first,
                           const struct log_extent *next, char *why)
{
    uint8_t raw[LOG_INDEX_HEADER];
    char what[LOG_WHAT_BYTES] = "the file ends before the entries that are to be continued";
    struct log_extent last;
    int64_t got = file_read(fd, raw, sizeof(raw), 0);
    int result = got < 0 ? (int)got : got < LOG_INDEX_HEADER ? -EBADMSG : 0;
    if (result == 0)
        result = log_header_check(raw, id, base_offset, what);
    if (result == 0) {
        got = file_read(fd, raw, LOG_INDEX_ENTRY, log_entry_position(first - 1));
        result = got < 0 ? (int)got : got < LOG_INDEX_ENTRY ? -EBADMSG : 0;
        if (result == 0)
            result = log_entry_decode(&last, raw, id, base_offset, first - 1, what);
        if (result == 0)
            result = log_entry_follows(&last, next, base_offset, what);
    }
    if (result < 0)
        log_say(why, dir, base_offset, "index", "entry %u cannot be added: %s", first,
                result == -EBADMSG || result == -EPROTONOSUPPORT ? what : strerror(-result));
    return result;
}

int log_index_append(const char *dir, struct log_id id, uint64_t base_offset, uint32_t first,
                     const struct log_extent *extents, uint32_t count, char *why)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, base_offset, "index");
    int fd = file_open(path, FILE_WRITE, NULL);
    if (fd == -ENOENT && first == 0)
        fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0) {
        log_say(why, dir, base_offset, "index", "cannot open the file to add entry %u", first);
        return fd;
    }
    int result = first > 0 ? index_continues(fd, dir, id, base_offset, first, extents, why) : 0;
    bool told = result < 0;
    if (result == 0)
        result = index_write(fd, id, base_offset, first, extents, count);
    file_close(fd);
    if (result < 0 && !told)
        log_say(why, dir, base_offset, "index", "cannot write entries %u to %u", first, first + count);
    return result;
}
