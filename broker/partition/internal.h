/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/internal.h: the room's own structures; nobody outside of partition/ includes it.
 *
 *   store ── topics (sorted by name) ── partitions ── segments (on disk)
 *     │                                     └──────── chunks   (the tail, in memory)
 *     ├── durable queue: who moves to where when a journal sequence is durable
 *     ├── flusher: closed, durable chunks on their way to segments
 *     ├── fenced: partitions whose segment could not be written, on their way to a fresh one
 *     └── reclaimer: makes journal files reusable
 *
 * A chunk is a run of whole batches, contiguous in memory, that covers an aligned range of its segment's
 * file. It becomes exactly one extent: it is closed (no more appends), becomes durable in the journal, is
 * written, and stays as cache until its memory is wanted. What its last, partial block holds is copied to the
 * head of the next chunk (the carry), which writes that block:
 *
 *   chunk A  [..batch|batch|bat]          A.used is where its last batch ends
 *            |-- blocks of A --|ta|       A writes its whole blocks only
 *   chunk B                    [ta|batch|batch|...]   B.first: where its own first batch starts
 *
 * So a batch in memory never straddles chunks, a block is never written twice, and A stays in memory until B
 * is written, when its last batch is not wholly on disk before (A.loose < A.used).
 *
 * Invariants of a partition
 *   chunks are numbered 0, 1, 2... (serial); those in memory are [chunk_first, chunk_end), those not yet
 * written [chunk_dirty, chunk_end). chunk_first <= chunk_dirty <= chunk_queued <= chunk_end; only the last
 * chunk may be open. Every batch from the first dirty chunk's on is in a journal file numbered >=
 * chunk->journal_file of that chunk.
 */
#ifndef RUNNEL_PARTITION_INTERNAL_H
#define RUNNEL_PARTITION_INTERNAL_H

#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/mem.h"
#include "dedupe/dedupe.h"
#include "io/file.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "journal/journal.h"
#include "log/log.h"
#include "partition/catalog.h"
#include "partition/duplicates.h"
#include "partition/partition.h"
#include "partition/settings.h"
#include "partition/state.h"
#include "partition/store.h"
#include "proto/batch.h"
#include "proto/compress.h"

enum {
    CATALOG_TOPIC_ID = 1,            /* `__catalog`: built in, never recorded in itself */
    INTERNAL_IDS = 16,               /* topics of other rooms' states: INTERNAL_TOPIC_ID + their number */
    CHUNK_BYTES_MIN = 4096,          /* a partition that trickles costs one block */
    CHUNK_BYTES_MAX = 262144,        /* direct writes of this size at depth 4 reach the disk's speed */
    HISTORY_BYTES = 1048576 + 65536, /* one catch-up read: four extents, and what the last read left over */
    HISTORY_CARRIES = 8,             /* left-overs kept, for so many readers at once: 2 MiB at most */
    HISTORY_CARRY_BYTES = 262144,    /* a larger one is read again instead */
    SEGMENT_FDS_MAX = 1024,          /* descriptors of segments being written, kept open */
    ALLOCATE_STEP = 16777216,        /* segments grow by so much at once, or by what is left of them */
    WHY_BYTES = 256,
};

/* Far from the ids of users' topics, which are given out from CATALOG_TOPIC_ID + 1 on. */
#define INTERNAL_TOPIC_ID 0xffffff00u

/* What journal entries are (docs/log-format.md). */
enum journal_type {
    JOURNAL_BATCHES = 1, /* struct journal_batches, then whole batches */
    JOURNAL_START = 2,   /* struct journal_start: a partition's start offset moved up */
    JOURNAL_REBASE = 3,  /* struct journal_rebase: a segment could not be written, a fresh one follows */
};

struct journal_batches {
    uint64_t segment_base; /* where the batches go: segment, */
    uint32_t position;     /* and position in its .log */
    uint32_t topic_id;
    uint32_t partition;
    uint32_t flags; /* 1: copied forward, the original is in an earlier file; 2: see below */
    int64_t append_ms;
};
static_assert(sizeof(struct journal_batches) == 32, "as in the file");
enum {
    JOURNAL_FORWARDED = 1,
    JOURNAL_IDS = 2, /* its events' ids are in the topic's duplicate window */
};

struct journal_start {
    uint32_t topic_id, partition;
    uint64_t start_offset;
};
static_assert(sizeof(struct journal_start) == 16, "as in the file");

struct journal_rebase {
    uint32_t topic_id, partition;
    uint64_t base_offset; /* from here on batches go to a segment that begins here, whatever entries before
                             this one say */
};
static_assert(sizeof(struct journal_rebase) == 16, "as in the file");

struct segment {
    struct log_segment log;  /* what is on disk: whole extents, in order */
    uint64_t appended;       /* where the next batch goes (closed: where the last one ended) */
    uint64_t loose;          /* where the first batch not wholly on disk starts */
    int64_t first_append_ms; /* rolling by age */
    struct partition *partition;
    struct log_extent
        *pending; /* `kept` (0 or 1) entries that the .index file ends with, then those that it lacks yet */
    uint32_t kept, pending_count, pending_room;
    uint32_t syncing; /* of the lacking ones, handed to the running checkpoint */
    int fd;           /* -1: not open */
    uint64_t allocated;
    uint32_t writes; /* in flight */
    bool direct, closed, created, opening, damaged;
    bool named;      /* its files' names are durable */
    bool sealing;    /* the running checkpoint cuts it to its size */
    bool cut;        /* done */
    bool given_up;   /* a write failed: closed, and ends with its last extent, perhaps inside a batch */
    int open_result; /* the worker's: 0 or a negative errno, */
    int open_fd;     /* and the descriptor: `fd` is the loop's and changes only there */
    bool open_direct;
    struct list open_link; /* in store->open_segments, least recently used first */
    struct list waiting;   /* chunks that wait for the descriptor */
    struct work_job job;
};

/* The first member of whatever a slice may pin. */
enum pin_kind { PIN_TAIL, PIN_HISTORY };

/* A chunk's memory. Readers' slices hold it too, so a chunk may grow into a new buffer, or go, under them. */
struct tail_buffer {
    enum pin_kind kind;
    uint8_t *data;
    uint32_t room, refs;
};

struct chunk {
    struct tail_buffer *buffer;
    uint8_t *data; /* buffer->data */
    uint32_t room, used;
    uint32_t first;        /* where its own first batch starts; before it: the carry */
    uint32_t write_from;   /* blocks before this one are on disk already (after recovery) */
    uint32_t loose;        /* start of the first batch that is not wholly in whole blocks; == used: none */
    uint64_t loose_file;   /* the journal file of that batch */
    uint64_t position;     /* of data[0] in the segment's .log: a multiple of LOG_BLOCK */
    uint64_t first_offset; /* of its own first batch */
    uint64_t end_offset;
    uint64_t serial;
    uint64_t journal_file; /* the oldest file with a batch that needs this chunk written */
    struct segment *segment;
    struct partition *partition;
    /* for the extent's entry: */
    bool starts; /* a batch starts at or after write_from: */
    uint32_t starts_at;
    uint64_t starts_offset;
    uint32_t block;                                  /* the last block in which a batch starts, */
    uint32_t block_at;                               /* where the first one there starts, */
    uint64_t block_offset;                           /* its offset, */
    int64_t block_max_timestamp_ms, block_append_ms; /* and the running figures before it */
    bool has_block;

    uint32_t summed; /* the extent's checksum goes so far, */
    uint32_t sum;    /* and is this: bytes are summed when they come, while the processor's cache has them */

    bool closed, last, queued, written;
    struct list link; /* flush queue, a segment's waiting list, or the store's clean list */
    struct log_extent extent;
    struct io_op op;
};

enum fence {
    FENCE_NONE,
    FENCE_FAILED, /* a segment write failed; a fresh segment follows when it is due and all is quiet */
    FENCE_HELD,   /* laid out anew; the journal must have said so before anything is written */
    FENCE_TRYING, /* being written */
};

struct partition {
    struct topic *topic;
    struct store *store;
    uint32_t number;
    uint32_t refs; /* chunks being written, queue entries, jobs, readers' buffers: keeps the memory after
                      deletion */
    bool gone, damaged;
    enum fence fence;
    uint32_t rebases; /* in a row, without success */
    uint64_t start, durable, end;
    uint64_t durable_chunk; /* serial and place up to which readers may see */
    uint32_t durable_at;
    int64_t max_timestamp_ms, append_ms;
    struct segment **segments;
    uint32_t segment_count, segment_room;
    struct chunk **chunks; /* circular, chunk_room a power of two; chunk s is at s & (chunk_room - 1) */
    uint32_t chunk_room;
    uint64_t chunk_first, chunk_dirty, chunk_end;
    uint64_t chunk_queued;     /* the next one to be handed to the flusher */
    uint64_t queued_sequence;  /* the last durable-queue entry's */
    uint64_t queued_at;        /* its place in the queue */
    uint64_t bytes_closed;     /* sum of `appended` of all segments but the last */
    struct list dirty_link;    /* in store->dirty while chunk_dirty < chunk_end */
    struct list unsynced_link; /* in store->unsynced while a segment has pending extents or is to be cut */
    struct list fenced_link;   /* in store->fenced while it is */
    uint64_t rebase_due_ns, rebase_sequence;
    uint64_t fence_chunk;   /* unfenced when the chunks before this one are written */
    struct list woken_link; /* in store->woken: the durable end moved this turn */
    struct list waiters, waking;
    uint64_t replay_ahead; /* recovery: highest end offset seen in the journal */
    uint64_t ids_noted;    /* the request (duplicates.serial) whose batch is checked and comes next */
};

/* One per (partition, group): where the partition's durable end goes once the group's commit is durable. */
struct durable_entry {
    struct partition *partition;
    uint64_t sequence, end, chunk;
    uint32_t at;
};

struct durable_queue {
    struct durable_entry *ring; /* room a power of two */
    uint64_t head, tail, room;
};

struct producers;

/* What a read left over: the checked beginning of the next batch, for the read that goes on there. */
struct history_carry {
    uint64_t topic_id, base_offset, offset, end;
    uint32_t partition, bytes;
    uint8_t *data; /* NULL: free */
};

struct history_buffer {
    enum pin_kind kind;
    uint8_t *data;
    uint32_t bytes;
    struct history_buffer *next;
};

/* A segment or a topic's directory on its way out. */
struct removal {
    struct list link;
    struct work_job job;
    struct store *store;
    uint64_t sequence; /* once durable */
    struct topic *topic;
    uint32_t partition;
    uint64_t base_offset;
    bool whole_topic;
    uint64_t topic_id;
    char name[TOPIC_NAME_MAX + 1];
};

/* Another room's state. */
struct state_slot {
    const struct store_state *state;
    struct topic *topic;
    uint64_t saved; /* recovery: records below this offset are in the checkpoint */
};

/* What duplicates.c keeps from one batch to the next. */
struct duplicates_state {
    char dir[LOG_PATH_BYTES];
    struct packer packer;
    struct duplicate_row *rows;
    uint32_t count, room;
    uint32_t events;   /* of this request, looked at */
    uint64_t serial;   /* of this request */
    uint64_t sequence; /* see struct duplicates */
    enum error code;   /* of the worst row */
    uint64_t appended; /* the journal sequence of the last batch with ids */
    int64_t looked_ms; /* when expiry had its last turn */
    struct timer timer;
};

struct checkpoint_job;

struct store {
    struct packer packer; /* compressed batches that are opened to be checked */
    struct store_options options;
    struct io *io;
    struct work *work;
    struct timers *timers;
    struct clock *clock;
    struct store_events events;
    struct journal *journal;
    struct store_stats stats;
    uint8_t broker_id[16];
    uint32_t leader_epoch;
    uint64_t producer_next;

    struct topic **topics; /* sorted by name */
    uint32_t topic_count, topic_room;
    struct topic **topic_ids; /* by id; ids are never used twice */
    uint32_t topic_id_room;
    struct list deleted_topics; /* still held by somebody */
    uint32_t partition_count;
    uint32_t internal_topics, internal_partitions; /* of them: limits count the others */
    struct topic *internal_ids[INTERNAL_IDS];
    uint32_t topic_id_next;
    struct dedupe *dedupe;
    struct duplicates_state duplicates;
    struct topic *catalog;
    uint64_t catalog_saved; /* recovery: records of `__catalog` below this offset are in the checkpoint */
    uint64_t catalog_version;
    struct state_slot states[STORE_STATES_MAX];

    struct durable_queue durable;
    struct list woken;
    struct producers *producers;

    /* tails */
    uint64_t tail_bytes, tail_dirty_bytes;
    uint32_t dirty_count;
    struct list dirty; /* partitions with chunks not yet written */
    struct list clean; /* chunks that are only cache, oldest first */
    bool room_wanted;
    uint32_t tail_room_wanted; /* bytes that found no room in the tails; 0: none */

    /* flusher */
    struct list flush_queue;
    uint32_t flush_writes;
    uint32_t segments_opening;
    struct list fenced; /* partitions */
    struct list open_segments;
    uint32_t open_count;

    /* reclaimer */
    struct list unsynced;
    bool reclaiming;
    uint64_t reclaim_file;         /* files below this one are being made free */
    uint64_t reclaim_copies;       /* bytes that may yet be copied forward in this round */
    uint64_t reclaim_sequence;     /* copies forward are durable at this one, */
    uint64_t reclaim_sequence_due; /* which was taken for this reclaim_file */
    bool checkpoint_retry;         /* the last one failed: wait for the timer */
    struct checkpoint_job *checkpoint;
    uint64_t checkpoint_serial;
    uint64_t checkpoint_bytes; /* of the last one's body */

    /* disk */
    bool disk_full;     /* producing is refused */
    bool flush_blocked; /* a segment write failed: wait for the timer */
    bool disk_rests;    /* nothing was written since it was looked at, and space is not short */
    uint64_t disk_sequence;
    struct timer disk_timer;
    struct timer retention_timer;
    uint32_t retention_cursor;   /* topic; 0: between two passes */
    bool retention_rests;        /* nothing to do before retention_due_ms, */
    int64_t retention_due_ms;    /* by the wall clock, */
    uint64_t retention_sequence; /* or until the journal goes on from here */
    struct list removals;        /* waiting for their sequence */
    struct list removed;         /* recovery: those done, see removals_tidy() */
    uint32_t removals_running;

    /* history */
    struct list history_queue;
    struct list mend_queue; /* reads that met a damaged index which others write */
    bool mending;           /* one of them makes it anew: no checkpoint meanwhile */
    uint32_t history_running;
    uint64_t history_bytes;
    struct history_buffer *history_free;
    struct history_carry history_carries[HISTORY_CARRIES];
    uint32_t history_carry_next; /* the next one to be taken over */

    bool failed, stopping, closing;
    bool offline; /* store_verify(): nothing is written or removed */
};

/* chunks: tail.c */
static inline struct chunk *partition_chunk(const struct partition *p, uint64_t serial)
{
    return p->chunks[serial & (p->chunk_room - 1)];
}
static inline struct segment *partition_segment(const struct partition *p)
{
    return p->segment_count ? p->segments[p->segment_count - 1] : NULL;
}
static inline uint32_t block_floor(uint64_t n)
{
    return (uint32_t)(n & ~(uint64_t)(LOG_BLOCK - 1));
}
/* The open chunk with room for `bytes` more, starting or growing one as needed. */
struct chunk *tail_chunk(struct partition *p, uint32_t bytes);
/* Accounts a batch of `bytes`, offsets `base` to `end`, put at the open chunk's end. The partition's running
 * figures are still those before it. */
void tail_appended(struct chunk *c, uint32_t bytes, uint64_t base, uint64_t end, uint64_t journal_file);
/* Brings the checksum up to the last whole block; the bytes there are final. */
void tail_sum(struct chunk *c);
/* No more appends to the last chunk. `last`: its segment gets no more either. */
void tail_close(struct partition *p, bool last);
/* Closes the open chunk for its own sake, no batch follows. The batch that its blocks do not hold wholly must
 * keep the partition dirty: it is in the journal only, and no file that has it may go. So the next chunk
 * starts with the carry at once. */
void tail_close_idle(struct partition *p);
/* A chunk was written (chunk_dirty moved past it): it is cache from now on. */
void tail_clean(struct store *store, struct chunk *c);
/* Frees cache until tail_bytes fits the budget; forgets everything of a partition. */
void tail_evict(struct store *store);
void tail_drop(struct partition *p);
/* The partition is gone, though readers may hold it for long: nothing of it waits to be written any more, and
 * its memory goes as soon as no write has it. */
void tail_abandon(struct partition *p);
/* The batch that chunk `c` (the first one not written) carries the rest of, in the chunk before it; or NULL.
 */
struct chunk *tail_loose_before(const struct partition *p, const struct chunk *c, uint32_t *from);
/* Takes all chunks from the partition, which holds none then; `dirty` of them are written. The array goes
 * back with them. */
struct chunk **tail_take(struct partition *p, uint32_t *count, uint32_t *dirty);
void tail_give_back(struct store *store, struct chunk **chunks, uint32_t count);
/* Frees the chunks of the oldest segment, which goes (in recovery, also those not written yet). */
void tail_forget(struct partition *p, const struct segment *s);
struct tail_buffer *tail_buffer_create(struct store *store, uint32_t room);
void tail_buffer_unref(struct store *store, struct tail_buffer *buffer);

/* partition.c */
struct partition *partition_create(struct store *store, struct topic *topic, uint32_t number);
/* Frees a partition whose refs are 0. */
void partition_destroy(struct partition *p);
void partition_unref(struct partition *p);
struct log_id partition_log_id(const struct partition *p);
void partition_dir(const struct partition *p, char *out /* LOG_PATH_BYTES */);
/* Places a batch that is already ordered at the end of the tail; the live path and recovery share it. Returns
 * where its bytes stand. */
uint8_t *partition_place(struct partition *p, const struct batch *batch, uint64_t base_offset,
                         int64_t append_ms, uint64_t journal_file);
/* What the partition holds now is durable once `sequence` is. */
void partition_note(struct partition *p, uint64_t sequence);
/* Starts a new segment at the end offset. */
struct segment *partition_roll(struct partition *p);
/* Copies whole batches into the journal's open group once more, from chunk `c` [from, to). */
void partition_forward(struct partition *p, struct chunk *c, uint32_t from, uint32_t to);
void partition_wake_all(struct partition *p);
void durable_advance(struct store *store, uint64_t sequence);

/* segments: segments.c */
struct segment *segment_create(struct partition *p, uint64_t base_offset);
void segment_destroy(struct store *store, struct segment *s);
extern const char segment_half_lost[];
/* What it holds, or a part of that, is not served any more. `what` says which, `damage` why. */
void segment_set_aside(struct segment *s, const char *what, const char *damage);
struct segment *segment_find(const struct partition *p, uint64_t offset, uint32_t *index);
/* No extent will be added: it may be cut to its size. */
static inline bool segment_ended(const struct segment *s)
{
    return s->log.sealed || s->given_up;
}
void segments_remove_first(struct partition *p);

/* flush.c */
void flush_enqueue(struct partition *p);
void flush_pump(struct store *store);
void flush_close_descriptors(struct store *store);
void flush_close_segment(struct store *store, struct segment *s);
void flush_retry(struct store *store);
/* The partition is gone: forgets what was to be written. */
void flush_abandon(struct partition *p);

/* rebase.c */
void rebase_fence(struct partition *p, int error);
/* A chunk was written; a journal sequence is durable. */
void rebase_written(struct partition *p);
void rebase_durable(struct partition *p, uint64_t sequence);
void rebase_pump(struct store *store);
/* Lays what is not on disk out anew: from offset `x` on, which is a batch's or the end, in a segment that
 * begins there. Nothing of the partition is in flight. */
void rebase_relay(struct partition *p, uint64_t x);

/* reclaim.c, checkpoint.c */
void reclaim_pump(struct store *store);
bool reclaim_idle(const struct store *store);
struct state_sink { /* a buffer that grows; pieces are written through bounded writers */
    uint8_t *at;
    uint64_t bytes, room;
};
struct writer sink_begin(struct state_sink *s, uint64_t bytes);
void sink_end(struct state_sink *s, const struct writer *w);
/* `ids`: to be run before the checkpoint is written, and ended. */
uint8_t *checkpoint_encode(struct store *store, const struct journal_point *point, uint64_t *bytes,
                           struct dedupe_save **ids);
int checkpoint_write(const char *data_dir, uint64_t serial, const uint8_t *body, uint64_t bytes);
/* Makes one that was read durable. */
int checkpoint_flush(const char *data_dir, uint64_t serial);
struct checkpoint_file {
    uint8_t *buffer;
    uint64_t buffer_bytes;
    const uint8_t *body;
    uint64_t bytes, serial;
    uint32_t version;
    bool none; /* no checkpoint file at all: a new directory */
};
/* The newest whole one; `damaged` (LOG_PATH_BYTES) is the name of one that is not, else empty. */
int checkpoint_read(const char *data_dir, struct checkpoint_file *out, char *damaged, char *why);
void checkpoint_free(struct checkpoint_file *file);
/* Fills an empty store from a checkpoint's body. `finding`: offline, is told of damaged files of event ids;
 * else NULL. */
int checkpoint_decode(struct store *store, const struct checkpoint_file *file, struct journal_point *point,
                      void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                      void *ctx, char *why);

/* retention.c */
void retention_init(struct store *store);
/* A pass begins soon. */
void retention_start(struct store *store);
void retention_turn_end(struct store *store);
void retention_stop(struct store *store);
void removal_add_topic(struct store *store, const char *name, uint64_t topic_id, uint64_t sequence);
void removal_add(struct store *store, struct bytes name, uint64_t topic_id, bool whole_topic,
                 uint32_t partition, uint64_t base_offset, uint64_t sequence);
void removals_pump(struct store *store);
/* Start-up: all of them now, blocking. */
void removals_now(struct store *store);
/* Start-up, at the end: forgets the marks of deletions that nothing mentions any more. */
void removals_tidy(struct store *store);
void removals_destroy(struct store *store);
/* The oldest segment goes; its files once `sequence` is durable. */
void retention_drop_first(struct partition *p, uint64_t sequence);
bool removal_pending(const struct store *store, const char *topic_name);

/* catalog.c */
/* A topic as text, as `__catalog` and the checkpoint keep it; returns its length. */
uint32_t catalog_text(const struct topic *topic, char *out, uint32_t room);
void catalog_init(struct store *store);
/* Recovery: a record of `__catalog`. */
bool catalog_apply(struct store *store, const struct record *record, char *why);
struct topic *catalog_insert(struct store *store, struct bytes name, uint64_t id, uint32_t partitions,
                             const struct topic_settings *settings, int64_t created_ms);
void catalog_remove(struct store *store, struct topic *topic);
void catalog_destroy(struct store *store);
void topic_unused(struct store *store, struct topic *topic);

/* state.c */
/* How the broker's own topics are kept. */
void internal_settings(struct topic_settings *settings);
void states_init(struct store *store);
/* Everything that the catalogue and the states were changed by so far is durable with this sequence. */
uint64_t states_sequence(const struct store *store);
void states_encode(struct state_sink *sink, const struct store *store);
int states_decode(struct store *store, struct reader *r, char *why);
/* Recovery: a batch of topic `t`, met for the first time; not that of a state: nothing. */
int states_replay(struct store *store, const struct topic *t, const struct batch *batch, char *why);

/* duplicates.c */
void duplicates_open(struct store *store);
void duplicates_close(struct store *store);
void duplicates_init(struct store *store);
void duplicates_stop(struct store *store);
void duplicates_turn_end(struct store *store);
/* The topic's settings, or its partitions, are new. */
void topic_window(struct store *store, struct topic *t);
/* A batch is about to be appended: were its ids noted? They stay then. */
bool duplicates_append(struct partition *p);
/* Recovery: a batch whose ids were. */
int duplicates_replay(struct partition *p, const struct batch *batch, int64_t append_ms, char *why);

/* recover.c */
int store_recover(struct store *store, const struct journal_options *journal,
                  const struct journal_events *events, struct store_report *report, char *why);

/* As far as recovery goes without changing anything; damage of checkpoint and journal files goes to
 * `finding`. */
int recover_offline(struct store *store,
                    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                    void *ctx, char *why);

/* store.c */
void store_init_lists(struct store *store);
/* Nothing is accepted from now on; the next start recovers. */
void store_fail(struct store *store, const char *what, int error);

/* producers.c */
struct producers *producers_create(uint32_t max);
void producers_destroy(struct producers *producers);
enum {
    PRODUCER_WINDOW = 5
}; /* batches of a producer whose offsets are remembered, as Kafka's clients need */
/* ERR_OK: new; *duplicate set: the original's base offset. Otherwise the reason. */
enum error producers_check(struct producers *producers, const struct partition *p, const struct batch *batch,
                           bool *duplicate, uint64_t *base_offset, char *why);
void producers_note(struct producers *producers, const struct partition *p, const struct batch *batch,
                    uint64_t base_offset);
uint32_t producers_count(const struct producers *producers);
void producers_forget(struct producers *producers, const struct partition *p);
/* Bytes that producers_encode() may need. */
uint64_t producers_encoded_bytes(const struct producers *producers);
void producers_encode(const struct producers *producers, struct writer *w,
                      struct partition *(*find)(void *ctx, uint64_t topic, uint32_t partition), void *ctx);
bool producers_decode(struct producers *producers, struct reader *r);

/* history.c */
void history_pump(struct store *store);
void history_buffer_return(struct store *store, struct history_buffer *buffer);
void history_destroy(struct store *store);

#endif
