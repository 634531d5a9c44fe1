/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log_scan.h: inside the room: one pass over a .log from front to back, for rebuilding and verifying.
 *
 * Bytes are read in large direct reads into a window that only moves forward. Each byte is shown to `loaded`
 * exactly once, in order (extent checksums run there), while batches are taken from the window.
 */
#ifndef RUNNEL_LOG_LOG_SCAN_H
#define RUNNEL_LOG_LOG_SCAN_H

#include <stdint.h>

struct log_scan {
    int fd;
    uint64_t end; /* bytes to scan */
    uint8_t *buffer;
    uint64_t buffer_bytes;
    uint64_t start; /* position of buffer[0], a multiple of LOG_BLOCK */
    uint64_t have;  /* valid bytes in the buffer */
    void (*loaded)(void *ctx, const uint8_t *bytes, uint64_t count, uint64_t position);
    void *ctx;
};

/* Opens the file; stores its size. */
int log_scan_open(struct log_scan *scan, const char *path, uint64_t *size);
void log_scan_close(struct log_scan *scan);
/* Lends the bytes from `position` on until the next call: at least `bytes` of them unless the end comes
 * first. `position` never goes back. Returns how many, or a negative errno. */
int64_t log_scan_at(struct log_scan *scan, uint64_t position, uint64_t bytes, const uint8_t **out);

#endif
