/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log.h: one partition's records on disk: segment files, their extents, and every check of them.
 *
 * A log is a row of segments, each a pair of files in `topics/<topic>/<partition>/`:
 *
 *   00000000000000000000.log     plain record batches, one after another, nothing else
 *   00000000000000000000.index   a 64-byte header, then one 64-byte entry for each extent
 *
 * An *extent* is what one write put there: whole 4 KiB blocks (but for the last one of a sealed segment,
 * which ends where the batches end). Its entry holds a checksum over all its bytes, bound to topic,
 * partition, segment and position; the offset of the first batch that starts in it (so the index is the
 * sparse offset index), and the running maximum of the timestamps and the append time (so it is the time
 * index as well). A batch may straddle extents.
 *
 *   .log    [ extent 0 (64 blocks)        ][ extent 1          ][ extent 2 ]....allocated....
 *            |batch|batch|bat...           ...ch|batch|batch|ba...
 *   .index  [hdr][e0][e1][e2]
 *
 * Invariants
 *   Extents of a segment are contiguous from position 0; a block once written is never rewritten.
 *   Nothing is served from a segment whose extent checksum does not match.
 * This room is blocking (start-up, recovery, offline checks, worker jobs) and keeps no state but what its
 * callers hold; the only write on the loop, of an extent, is io_write() by the partition room. Errors are
 * negative errnos, -EBADMSG for damage, with a sentence in `why` where there is one.
 */
#ifndef RUNNEL_LOG_LOG_H
#define RUNNEL_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_BLOCK = 4096,
    LOG_WHY_BYTES = 256,
    LOG_INDEX_VERSION = 1,
};

/* What checksums are bound to: a file moved or recycled under another topic never looks valid. */
struct log_id {
    uint64_t topic_id;
    uint32_t partition;
};

struct log_extent {
    uint64_t position;        /* in the .log, a multiple of LOG_BLOCK */
    uint32_t bytes;           /* a multiple of LOG_BLOCK, but for the last extent of a sealed segment */
    uint32_t checksum;        /* log_extent_checksum() of the bytes */
    uint64_t first_offset;    /* base offset of the first batch that starts here; none: of the next batch */
    uint32_t first_delta;     /* where in the extent that batch starts; none: `bytes` */
    uint32_t flags;           /* none yet: zero */
    uint64_t end_offset;      /* offset after the last batch that starts here; none: first_offset */
    int64_t max_timestamp_ms; /* greatest record timestamp of the partition so far: a running maximum */
    int64_t append_ms;        /* append time of the last batch that starts here or before */
};

/* One segment, as the checkpoint lists it and as readers are given it: a snapshot. */
struct log_segment {
    uint64_t base_offset;
    uint64_t end_offset;      /* offset after the last batch wholly on disk */
    uint64_t bytes;           /* end of the last extent on disk; sealed: end of the batches */
    uint32_t extents;         /* entries that the .index file holds */
    bool sealed;              /* no more writes; the file's size is `bytes` */
    int64_t max_timestamp_ms; /* of its last extent */
    int64_t append_ms;        /* of its last extent */
};

/* Paths; `out` of at least LOG_PATH_BYTES. `dir` is the partition's directory. */
enum { LOG_PATH_BYTES = 4352 };
void log_segment_path(char *out, const char *dir, uint64_t base_offset,
                      const char *suffix /* "log", "index" */);
/* Parses "<20 digits>.log"; false for any other name. */
bool log_segment_name(const char *name, uint64_t *base_offset);

/* Checksum of an extent's bytes, bound to its place. */
uint32_t log_extent_checksum(struct log_id id, uint64_t base_offset, uint64_t position, const void *bytes,
                             uint32_t count);

/* Makes the partition's directory (and its topic's) and a segment's two files; nothing is durable yet, see
 * log_segment_sync(). An existing pair of the same base offset (left by a crash before a checkpoint knew of
 * it) is emptied. `allocate` bytes are allocated. Stores the .log's descriptor (direct, write) and whether
 * direct I/O is in use. */
int log_segment_create(const char *dir, struct log_id id, uint64_t base_offset, uint64_t allocate,
                       int *log_fd, bool *direct, char *why);
/* Opens the .log of an existing segment for more extents. */
int log_segment_open(const char *dir, uint64_t base_offset, int *log_fd, bool *direct);
/* Writes entries number `first`.. into the .index (made anew with its header when missing and first is 0).
 * Not durable yet. */
int log_index_append(const char *dir, struct log_id id, uint64_t base_offset, uint32_t first,
                     const struct log_extent *extents, uint32_t count, char *why);
/* Cuts the .log of a sealed segment to its exact size. Not durable yet. */
int log_segment_seal(const char *dir, uint64_t base_offset, uint64_t bytes);
/* Makes a segment durable: the data of both files and, with `names`, the names of files and directories. */
/* *unflushed: it was a flush that failed, which a second one would not make good; and not opening a file. */
int log_segment_sync(const char *dir, uint64_t base_offset, bool names, bool *unflushed);
int log_segment_delete(const char *dir, uint64_t base_offset);

/* Reads entry `at` .. of an index into `out`; checks the header and every entry's checksum and that they
 * continue one another. Returns how many were read (fewer at the end), -EBADMSG for damage. */
int log_index_read(const char *dir, struct log_id id, const struct log_segment *segment, uint32_t at,
                   struct log_extent *out, uint32_t count, char *why);
/* Finds by binary search the number of the last extent with first_offset <= offset. */
int log_index_find(const char *dir, struct log_id id, const struct log_segment *segment, uint64_t offset,
                   uint32_t *at, char *why);
/* Rebuilds an index from the .log's batches (their lengths, CRCs and offsets), which must account for every
 * byte up to segment->bytes; damage in the .log is -EBADMSG with the position. Extents come out with new
 * boundaries; segment->extents is updated. `max_timestamp_ms` is the running maximum before this segment. */
int log_index_rebuild(const char *dir, struct log_id id, struct log_segment *segment,
                      int64_t max_timestamp_ms, char *why);
/* The same for a segment that is still written (segment->bytes on disk), whose index is to end with the
 * extent `last`, known from elsewhere: makes the entries before it anew, and a new file. Damage in the .log
 * takes nothing else with it: what lies between it and `last` is set aside, as extents whose reads are
 * refused; *damaged and `why` say so. Errors are those of writing the index. */
int log_index_repair(const char *dir, struct log_id id, struct log_segment *segment,
                     const struct log_extent *last, int64_t max_timestamp_ms, bool *damaged, char *why);

/* One catch-up read: whole batches from the one that holds `offset` on. Run on a worker. */
struct log_read {
    /* in */
    const char *dir;
    struct log_id id;
    struct log_segment segment; /* the snapshot to read within */
    /* Extents that the index need not have yet, one after another; or NULL. Used in place of the index when
     * the first one starts at or below `offset`; otherwise the index is used, and goes on into these. */
    const struct log_extent *extents;
    uint32_t extent_count;
    uint64_t offset;
    uint8_t *buffer;       /* LOG_BLOCK-aligned */
    uint32_t buffer_bytes; /* a multiple of LOG_BLOCK; grown reads are the caller's: see -EMSGSIZE */
    /* What the read before this one left over (`rest`), or NULL. Without it, the extent in which the batch at
     * `offset` starts is read and checked twice: by the read that could not give that batch out whole, and by
     * this one. */
    const uint8_t *carry;
    uint32_t carry_bytes;
    uint64_t carry_end; /* the other read's rest_end */
    /* out */
    const uint8_t *data;     /* in `buffer`: the first whole batch */
    uint32_t bytes;          /* whole batches: at least one */
    uint64_t next_offset;    /* after the last of them */
    uint32_t rest_bytes;     /* behind them: the beginning, checked as well, of the next batch; */
    uint64_t rest_end;       /* and where in the .log it breaks off */
    uint32_t bytes_needed;   /* with -EMSGSIZE: the buffer that the first batch and its extents need */
    bool index_damaged;      /* with -EBADMSG: it is the index: log_index_rebuild() may help */
    char why[LOG_WHY_BYTES]; /* with -EBADMSG: file, position, what is wrong */
};

/* 0; -EMSGSIZE; -EBADMSG; -ENOENT when the segment is gone (deleted meanwhile); -ENODATA when the segment
 * ends before `offset`; -EAGAIN when the batch goes on in extents that neither the index nor `extents` names;
 * -EPROTONOSUPPORT when the index has a format version that is unknown here. Every byte given out was checked
 * against its extent's checksum, and batches against each other (offsets continue, lengths add up). */
int log_read(struct log_read *read);

/* The first offset in the segment whose timestamp is >= `timestamp_ms` by the running maximum. -ENODATA when
 * there is none. */
int log_find_time(const char *dir, struct log_id id, const struct log_segment *segment,
                  const struct log_extent *extents, uint32_t extent_count, int64_t timestamp_ms,
                  uint64_t *offset, int64_t *found_ms, char *why);

/* Checks everything about a segment: index header and entries, extent checksums, every batch's CRC, counts
 * and offsets, file sizes. Calls `finding` for each damage. Returns the number of findings or a negative
 * errno. `segment->bytes` 0: as far as the index goes. */
int log_verify(const char *dir, struct log_id id, const struct log_segment *segment,
               void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx);

#endif
