/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log_index.h: inside the room: an index file, open for reading.
 *
 * Entries are read 64 at a time (one 4 KiB block of them): with extents of 256 KiB that is 16 MiB of log, so
 * a catch-up read takes one small read of the index.
 */
#ifndef RUNNEL_LOG_LOG_INDEX_H
#define RUNNEL_LOG_LOG_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "log/log.h"

enum { LOG_INDEX_STEP = 64 };

struct log_index {
    int fd;
    struct log_id id;
    const struct log_segment *segment;
    const char *dir;
    char *why;
};

/* Opens the index and checks its header. Errors of log_read(): a missing index beside a .log is damage. */
int log_index_open(struct log_index *index, const char *dir, struct log_id id,
                   const struct log_segment *segment, char *why);
void log_index_close(struct log_index *index);
/* log_index_read() on an open index. */
int log_index_get(struct log_index *index, uint32_t at, struct log_extent *out, uint32_t count);
/* Entries are sorted so that before(entry, key) holds for some at the front and for none behind them: stores
 * how many. */
int log_index_search(struct log_index *index, bool (*before)(const struct log_extent *extent, int64_t key),
                     int64_t key, uint32_t *count);
/* Is the extent's first batch at or below offset `key`? */
bool log_extent_starts_by(const struct log_extent *extent, int64_t key);
/* Is every timestamp up to the end of the extent below `key`? */
bool log_extent_earlier(const struct log_extent *extent, int64_t key);

#endif
