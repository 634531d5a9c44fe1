/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/idfile.c: a file of entries, written once, never changed: a header and the entries as they are in
 * memory. The checkpoint that lists it says how many there are; a file that no checkpoint lists is rubbish.
 *
 * Format: docs/log-format.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "dedupe/window.h"
#include "io/file.h"
#include "proto/crc32c.h"

enum { IDFILE_VERSION = 1, IDFILE_HEADER = 64, PIECE_IDS = 16 * CHUNK_IDS };

struct idfile_header {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of the fields behind it in this header, then the entries */
    uint64_t topic_id, number, count;
    int64_t last_ms;
    uint8_t zero[16];
};
static_assert(sizeof(struct idfile_header) == IDFILE_HEADER, "as in the file");
static const char idfile_magic[8] = "RNLIDS";

static uint32_t header_crc(const struct idfile_header *h)
{
    return crc32c(0, &h->topic_id, sizeof(*h) - offsetof(struct idfile_header, topic_id));
}

void idfile_path(const struct dedupe *all, uint64_t number, char *out)
{
    snprintf(out, DEDUPE_PATH_BYTES, "%s/%016" PRIx64 ".ids", all->dir, number);
}

uint64_t idfile_entries(const struct dedupe *all, uint64_t number)
{
    char path[DEDUPE_PATH_BYTES];
    idfile_path(all, number, path);
    const int fd = file_open(path, FILE_READ, NULL);
    if (fd < 0)
        return 0;
    const int64_t bytes = file_bytes(fd);
    file_close(fd);
    return bytes > IDFILE_HEADER ? (uint64_t)(bytes - IDFILE_HEADER) / sizeof(struct id_entry) : 0;
}

int idfile_write(const struct dedupe_window *w, const struct id_file *file)
{
    char path[DEDUPE_PATH_BYTES];
    struct idfile_header h = { .version = IDFILE_VERSION,
                               .topic_id = w->topic_id,
                               .number = file->number,
                               .count = file->end - file->first,
                               .last_ms = file->last_ms };
    memcpy(h.magic, idfile_magic, sizeof(h.magic));
    h.crc = header_crc(&h);
    idfile_path(w->all, file->number, path);
    const int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    int result = 0;
    uint64_t position = IDFILE_HEADER;
    for (uint64_t s = file->first; s < file->end && !result;) {
        uint64_t n = CHUNK_IDS - s % CHUNK_IDS;
        n = n < file->end - s ? n : file->end - s;
        const uint64_t bytes = n * sizeof(struct id_entry);
        h.crc = crc32c(h.crc, idwindow_entry(w, s), bytes);
        result = file_write(fd, idwindow_entry(w, s), bytes, position);
        position += bytes;
        s += n;
    }
    if (!result)
        result = file_write(fd, &h, sizeof(h), 0);
    if (!result)
        result = file_truncate(fd, position); /* what an attempt before left behind may have been longer */
    if (!result)
        result = file_sync(fd);
    file_close(fd);
    return result;
}

/* Is this the header that the checkpoint speaks of? */
static int header_check(const struct idfile_header *h, const struct dedupe_window *w,
                        const struct id_file *file, uint64_t size, char *why)
{
    if (memcmp(h->magic, idfile_magic, sizeof(h->magic)) != 0) {
        snprintf(why, DEDUPE_WHY_BYTES, "it does not begin as a file of event ids does");
        return -EBADMSG;
    }
    if (h->version != IDFILE_VERSION) {
        snprintf(why, DEDUPE_WHY_BYTES, "its format version is %u, this runneld knows %d", h->version,
                 IDFILE_VERSION);
        return -EPROTONOSUPPORT;
    }
    if (h->topic_id != w->topic_id || h->number != file->number || h->count != file->end - file->first ||
        size != IDFILE_HEADER + h->count * sizeof(struct id_entry)) {
        snprintf(why, DEDUPE_WHY_BYTES,
                 "it holds %" PRIu64 " ids of topic %" PRIu64 " in %" PRIu64
                 " bytes, the checkpoint says %" PRIu64 " of topic %" PRIu64,
                 h->count, h->topic_id, size, file->end - file->first, w->topic_id);
        return -EBADMSG;
    }
    return 0;
}

static int idfile_read_entries(struct dedupe_window *w, const struct id_file *file, int fd, uint32_t *crc)
{
    struct id_entry *piece = mem_alloc(MEM_DEDUPE, PIECE_IDS * sizeof(*piece));
    const uint64_t count = file->end - file->first;
    int64_t got = 0;
    for (uint64_t at = 0; at < count;) {
        const uint64_t n = count - at < PIECE_IDS ? count - at : PIECE_IDS;
        got = file_read(fd, piece, n * sizeof(*piece), IDFILE_HEADER + at * sizeof(*piece));
        if (got != (int64_t)(n * sizeof(*piece)))
            break;
        *crc = crc32c(*crc, piece, n * sizeof(*piece));
        idwindow_load(w, piece, (uint32_t)n);
        at += n;
        got = 0;
    }
    mem_free(MEM_DEDUPE, piece, PIECE_IDS * sizeof(*piece));
    return got < 0 ? (int)got : got > 0 ? -EIO : 0;
}

int idfile_read(struct dedupe_window *w, const struct id_file *file, char *why)
{
    char path[DEDUPE_PATH_BYTES];
    struct idfile_header h;
    idfile_path(w->all, file->number, path);
    const int fd = file_open(path, FILE_READ, NULL);
    if (fd == -ENOENT) {
        snprintf(why, DEDUPE_WHY_BYTES, "it is missing");
        return -EBADMSG;
    }
    if (fd < 0)
        return fd;
    const int64_t size = file_bytes(fd);
    const uint64_t before = w->end;
    int result;
    if (size < (int64_t)sizeof(h) || file_read(fd, &h, sizeof(h), 0) != (int64_t)sizeof(h)) {
        snprintf(why, DEDUPE_WHY_BYTES, "it has %lld bytes, less than its header", (long long)size);
        result = -EBADMSG;
    } else {
        result = header_check(&h, w, file, (uint64_t)size, why);
    }
    uint32_t crc = header_crc(&h);
    if (!result)
        result = idfile_read_entries(w, file, fd, &crc);
    if (!result && crc != h.crc) {
        snprintf(why, DEDUPE_WHY_BYTES, "its checksum does not match its contents");
        result = -EBADMSG;
    }
    file_close(fd);
    if (result)
        idwindow_cut(w, before); /* nothing of a file that cannot be believed */
    return result;
}
