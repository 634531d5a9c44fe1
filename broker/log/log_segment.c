/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment's two files as files: made, opened, sealed, flushed, deleted.
 *
 * The order of flushes is what matters here. The journal's record "this segment exists" is written only after
 * log_segment_create() returned, so at that moment every name on the way must survive a power cut.
 */
#include "log/log.h"

#include <errno.h>
#include <string.h>

#include "io/file.h"
#include "log/log_entry.h"
#include "log/log_path.h"

/* Flushes the partition's directory, its topic's, and the one above.
 *
 * All three, although mkdir may have said that they exist already: broker makes `t/0`, is killed before the
 * flush, starts again, finds `t/0` there, makes a segment in it and acknowledges; then the power goes, and
 * `t/0` with it. What exists is not yet durable. Checkpoints do this once for each segment. */
static int segment_sync_names(const char *dir)
{
    char path[LOG_PATH_BYTES];
    strncpy(path, dir, sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (int level = 0; level < 3; level++) {
        int result = file_sync_dir(path);
        if (result < 0)
            return result;
        if (!log_path_parent(path))
            return 0;
    }
    return 0;
}

static int segment_make_dirs(const char *dir)
{
    char topic[LOG_PATH_BYTES];
    strncpy(topic, dir, sizeof(topic) - 1);
    topic[sizeof(topic) - 1] = '\0';
    int result = log_path_parent(topic) ? file_mkdir(topic) : 0;
    if (result >= 0)
        result = file_mkdir(dir);
    return result < 0 ? result : 0;
}

/* An index file with its header only. */
static int segment_make_index(const char *dir, struct log_id id, uint64_t base_offset)
{
    char path[LOG_PATH_BYTES];
    uint8_t header[LOG_INDEX_HEADER];
    log_segment_path(path, dir, base_offset, "index");
    int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    log_header_encode(header, id, base_offset);
    int result = file_truncate(fd, 0);
    if (result == 0)
        result = file_write(fd, header, sizeof(header), 0);
    file_close(fd);
    return result;
}

int log_segment_create(const char *dir, struct log_id id, uint64_t base_offset, uint64_t allocate,
                       int *log_fd, bool *direct, char *why)
{
    char path[LOG_PATH_BYTES];
    int fd = -1;
    int result = segment_make_dirs(dir);
    log_segment_path(path, dir, base_offset, "log");
    if (result == 0 && file_exists(path) == 1)
        result = log_segment_delete(dir, base_offset); /* a file that could not be written may be why */
    if (result == 0)
        result = segment_make_index(dir, id, base_offset);
    if (result == 0) {
        log_segment_path(path, dir, base_offset, "log");
        fd = file_open(path, FILE_WRITE | FILE_CREATE | FILE_DIRECT, direct);
        result = fd < 0 ? fd : 0;
    }
    if (result == 0)
        result = file_truncate(fd, 0);
    if (result == 0 && allocate > 0)
        result = file_allocate(fd, allocate);
    if (result == 0) {
        *log_fd = fd;
        return 0;
    }
    if (fd >= 0)
        file_close(fd);
    log_segment_delete(dir, base_offset); /* a full disk gets back what was allocated */
    log_say(why, dir, base_offset, "log", "cannot make the segment: %s", strerror(-result));
    return result;
}

int log_segment_open(const char *dir, uint64_t base_offset, int *log_fd, bool *direct)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, base_offset, "log");
    int fd = file_open(path, FILE_WRITE | FILE_DIRECT, direct);
    if (fd < 0)
        return fd;
    *log_fd = fd;
    return 0;
}

int log_segment_seal(const char *dir, uint64_t base_offset, uint64_t bytes)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, base_offset, "log");
    int fd = file_open(path, FILE_WRITE, NULL);
    if (fd < 0)
        return fd;
    int64_t size = file_bytes(fd);
    int result = size < 0 ? (int)size : 0;
    if (result == 0 && (uint64_t)size < bytes)
        result = -EBADMSG; /* extending with zeros would only hide that data is gone */
    if (result == 0)
        result = file_truncate(fd, bytes);
    file_close(fd);
    return result;
}

static int segment_sync_file(const char *dir, uint64_t base_offset, const char *suffix, bool *unflushed)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, base_offset, suffix);
    int fd = file_open(path, FILE_WRITE, NULL);
    if (fd < 0)
        return fd;
    int result = file_sync(fd);
    *unflushed = result < 0;
    file_close(fd);
    return result;
}

int log_segment_sync(const char *dir, uint64_t base_offset, bool names, bool *unflushed)
{
    *unflushed = false;
    int result = segment_sync_file(dir, base_offset, "log", unflushed);
    if (result == 0)
        result = segment_sync_file(dir, base_offset, "index", unflushed);
    if (result == 0 && names) {
        result = segment_sync_names(dir);
        *unflushed = result < 0;
    }
    return result;
}

/* The .log first: a reader that finds no index looks whether the .log is there, to tell a segment that was
 * deleted from one whose index is lost. */
int log_segment_delete(const char *dir, uint64_t base_offset)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, dir, base_offset, "log");
    int log_result = file_unlink(path);
    log_segment_path(path, dir, base_offset, "index");
    int index_result = file_unlink(path);
    if (log_result < 0 && log_result != -ENOENT)
        return log_result;
    return index_result < 0 && index_result != -ENOENT ? index_result : 0;
}
