/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/recover.c: opening a data directory: checkpoint, then the journal's tail, brought back into
 * partitions.
 *
 * Replay is idempotent by offset: a batch that the partition has is skipped; the next one is placed where its
 * entry says; one further on waits for its copy, which follows (copies forward come later in the journal than
 * what was appended behind them). When the journal ends and something further on was seen whose predecessor
 * never came, acknowledged events are missing: refused by name. Where a segment could not be written, an
 * entry says so, and what follows it goes to the fresh one (rebase.c).
 *
 * All that is replayed stays in memory, bounded by the journal's size, and goes to segments later as always:
 * nothing is written before the journal has flushed what it read, and a start costs no more than reading the
 * journal.
 */
#include "partition/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

struct recovery {
    struct store *store;
    char *why;
};

/* ---- meta: which directory this is ---- */

enum { META_BYTES = 128 };

static int meta_read(struct store *store, const char *path, char *why)
{
    char text[META_BYTES + 1] = { 0 };
    unsigned version = 0;
    char hex[33] = { 0 };
    int fd = file_open(path, FILE_READ, NULL);
    if (fd < 0)
        return fd;
    int64_t n = file_read(fd, text, META_BYTES, 0);
    file_close(fd);
    if (n < 0)
        return (int)n;
    if (sscanf(text, "runnel data format %u\nid %32[0-9a-f]\n", &version, hex) != 2 || strlen(hex) != 32) {
        snprintf(why, WHY_BYTES, "%s is damaged: restore it from a backup, or move the directory away", path);
        return -EBADMSG;
    }
    if (version != 1) {
        snprintf(why, WHY_BYTES, "%s says format version %u, this runneld knows 1: use a newer runneld", path,
                 version);
        return -EPROTONOSUPPORT;
    }
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        store->broker_id[i] = (uint8_t)byte;
    }
    return 0;
}

static int meta_create(struct store *store, const char *path)
{
    char text[META_BYTES] = { 0 }, hex[33], fresh[LOG_PATH_BYTES];
    if (getrandom(store->broker_id, sizeof(store->broker_id), 0) != sizeof(store->broker_id))
        return -EIO;
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", store->broker_id[i]);
    int n = snprintf(text, sizeof(text), "runnel data format 1\nid %s\n", hex);
    /* Under another name first: a torn meta file would keep the next start from working. */
    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
        return -ENAMETOOLONG;
    int fd = file_open(fresh, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    int result = file_write(fd, text, (uint64_t)n, 0);
    if (!result)
        result = file_sync(fd);
    file_close(fd);
    if (!result)
        result = file_rename(fresh, path);
    return result ? result : file_sync_dir(store->options.data_dir);
}

/* Makes the data directory's own name durable; also when it was there: its maker may have been killed before
 * it could, and then a power cut would take everything. A parent that may not be opened is somebody else's,
 * who made the directory for us. */
static int recover_sync_parent(const char *data_dir, bool made)
{
    char path[LOG_PATH_BYTES] = ".";
    size_t len = strlen(data_dir);
    while (len > 1 && data_dir[len - 1] == '/')
        len--;
    while (len > 0 && data_dir[len - 1] != '/')
        len--;
    if (len > 0)
        snprintf(path, sizeof(path), "%.*s", (int)len, data_dir);
    int result = file_sync_dir(path);
    return result == -EACCES && !made ? 0 : result;
}

static int recover_directories(struct store *store, bool *fresh, char *why)
{
    char path[LOG_PATH_BYTES];
    const char *names[] = { "", "/topics", "/trash" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s%s", store->options.data_dir, names[i]);
        int result = file_mkdir(path);
        if (result >= 0 && i == 0)
            result = recover_sync_parent(path, result == 1);
        if (result < 0) {
            snprintf(why, WHY_BYTES, "%s cannot be made: %s", path, strerror(-result));
            return result;
        }
    }
    /* The data directory's own name is its maker's to flush (broker/instance.c). */
    int synced = file_sync_dir(store->options.data_dir);
    if (synced) {
        snprintf(why, WHY_BYTES, "the directory of %s cannot be flushed: %s", store->options.data_dir,
                 strerror(-synced));
        return synced;
    }
    snprintf(path, sizeof(path), "%s/meta", store->options.data_dir);
    why[0] = 0;
    int result = meta_read(store, path, why);
    *fresh = result == -ENOENT;
    if (*fresh)
        result = meta_create(store, path);
    if (result < 0 && !why[0])
        snprintf(why, WHY_BYTES, "%s cannot be read or made: %s", path, strerror(-result));
    return result;
}

/* ---- replay ---- */

/* The segment that an entry's batch goes to, with the position it says. An entry may name a segment before
 * the last one: it could not be written, and the checkpoint knows already where batches went instead. */
static int replay_segment(struct recovery *rec, struct partition *p, const struct journal_batches *head,
                          uint64_t base)
{
    struct segment *s = partition_segment(p);
    if (s && !s->closed && head->segment_base < s->log.base_offset)
        return 0;
    if (!s || s->log.base_offset != head->segment_base) {
        if (head->segment_base != base || (s && base < s->log.base_offset)) {
            snprintf(rec->why, WHY_BYTES,
                     "the journal puts offset %" PRIu64 " of %s/%u into segment %" PRIu64
                     ", which is not there",
                     base, p->topic->name, p->number, head->segment_base);
            return -EBADMSG;
        }
        if (s && !s->closed) {
            tail_close(p, true);
            s->closed = true;
            p->bytes_closed += s->appended;
        }
        (void)segment_create(p, base);
    }
    return 0;
}

static int replay_catalog(struct recovery *rec, const struct batch *batch)
{
    struct record_iter it;
    struct record record;
    record_iter_init(&it, batch, (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER });
    while (record_next(&it, &record) == 1)
        if (!catalog_apply(rec->store, &record, rec->why))
            return -EBADMSG;
    removals_now(rec->store);
    return 0;
}

static int replay_batches(struct recovery *rec, const struct journal_entry *entry)
{
    struct store *store = rec->store;
    struct journal_batches head;
    if (entry->bytes < sizeof(head))
        return -EBADMSG;
    memcpy(&head, entry->body, sizeof(head));
    struct topic *t = catalog_by_id(store, head.topic_id);
    if (!t)
        return 0; /* deleted since */
    if (head.partition >= t->partition_count)
        return -EBADMSG;
    struct partition *p = t->partitions[head.partition];
    uint32_t position = head.position;
    for (uint32_t at = sizeof(head); at < entry->bytes;) {
        struct batch batch;
        if (!batch_decode(&batch, entry->body + at, entry->bytes - at))
            return -EBADMSG;
        uint64_t base = (uint64_t)batch.base_offset, end = base + (uint32_t)batch.last_offset_delta + 1;
        if (base > p->end) {
            if (end > p->replay_ahead)
                p->replay_ahead = end;
        } else if (base == p->end) {
            int result = replay_segment(rec, p, &head, base);
            if (result)
                return result;
            const struct segment *s = partition_segment(p);
            if (s->log.base_offset == head.segment_base && s->appended != position) {
                snprintf(rec->why, WHY_BYTES,
                         "the journal puts offset %" PRIu64 " of %s/%u at position %u of its segment, "
                         "which ends at %" PRIu64,
                         base, t->name, p->number, position, s->appended);
                return -EBADMSG;
            }
            partition_place(p, &batch, base, head.append_ms, entry->file);
            /* Applied once only: a deletion before a creation of the same name, met again, would delete what
             * the checkpoint has of the later topic. */
            if (t == store->catalog && base >= store->catalog_saved && (result = replay_catalog(rec, &batch)))
                return result;
            if (t->internal && (result = states_replay(store, t, &batch, rec->why)))
                return result;
        } else if (end > p->end) {
            snprintf(rec->why, WHY_BYTES,
                     "the journal has offsets %" PRIu64 " to %" PRIu64 " of %s/%u, which ends at %" PRIu64,
                     base, end, t->name, p->number, p->end);
            return -EBADMSG;
        }
        int ids = 0;
        if ((head.flags & JOURNAL_IDS) && end <= p->end &&
            (ids = duplicates_replay(p, &batch, head.append_ms, rec->why)))
            return ids;
        if (batch.producer_id >= 0 && end <= p->end)
            producers_note(store->producers, p, &batch, base);
        at += batch.bytes;
        position += batch.bytes;
    }
    return 0;
}

/* NULL: deleted since. */
static struct partition *replay_partition(const struct recovery *rec, uint32_t topic_id, uint32_t number)
{
    const struct topic *t = catalog_by_id(rec->store, topic_id);
    return t && number < t->partition_count ? t->partitions[number] : NULL;
}

static int replay_start(struct recovery *rec, const struct journal_entry *entry)
{
    struct journal_start head;
    if (entry->bytes != sizeof(head))
        return -EBADMSG;
    memcpy(&head, entry->body, sizeof(head));
    struct partition *p = replay_partition(rec, head.topic_id, head.partition);
    if (!p || head.start_offset <= p->start)
        return 0;
    while (p->segment_count > 1 && p->segments[1]->log.base_offset <= head.start_offset)
        retention_drop_first(p, 0);
    p->start = head.start_offset;
    return 0;
}

/* From an offset on batches go to a fresh segment. When the checkpoint has one of them on disk, it was
 * written after that, and has it all; otherwise all of them are in the journal. */
static int replay_rebase(struct recovery *rec, const struct journal_entry *entry)
{
    struct journal_rebase head;
    if (entry->bytes != sizeof(head))
        return -EBADMSG;
    memcpy(&head, entry->body, sizeof(head));
    struct partition *p = replay_partition(rec, head.topic_id, head.partition);
    const struct segment *s = p ? partition_segment(p) : NULL;
    if (!s || s->log.sealed || head.base_offset > p->end)
        return 0;
    for (uint32_t i = p->segment_count; i-- > 0;)
        if (p->segments[i]->log.bytes > 0) {
            if (head.base_offset < p->segments[i]->log.end_offset)
                return 0;
            break;
        }
    rebase_relay(p, head.base_offset);
    return 0;
}

static int replay_entry(void *ctx, const struct journal_entry *entry)
{
    struct recovery *rec = ctx;
    rec->why[0] = 0;
#ifdef RUNNEL_SABOTAGE_RECOVER_FROM_END
    if (entry->sequence > 50)
        return 0;
#endif
    int result = entry->type == JOURNAL_BATCHES  ? replay_batches(rec, entry)
                 : entry->type == JOURNAL_START  ? replay_start(rec, entry)
                 : entry->type == JOURNAL_REBASE ? replay_rebase(rec, entry)
                                                 : -EPROTONOSUPPORT;
    if (result && !rec->why[0])
        snprintf(rec->why, WHY_BYTES,
                 "entry of type %u in journal commit %" PRIu64 " makes no sense to this runneld", entry->type,
                 entry->sequence);
    return result;
}

/* ---- afterwards ---- */

static int recover_check(struct store *store, char *why)
{
    for (uint32_t i = 0; i < store->topic_count; i++) {
        struct topic *t = store->topics[i];
        for (uint32_t n = 0; n < t->partition_count; n++) {
            struct partition *p = t->partitions[n];
            if (p->replay_ahead > p->end) {
                snprintf(why, WHY_BYTES,
                         "topic %s partition %u: offsets from %" PRIu64 " on are missing before %" PRIu64
                         ": the data directory is damaged",
                         t->name, n, p->end, p->replay_ahead);
                return -EBADMSG;
            }
            if (p->end < p->start)
                p->end = p->start;
            p->durable = p->end;
            if (p->chunk_end > p->chunk_first) {
                const struct chunk *c = partition_chunk(p, p->chunk_end - 1);
                p->durable_chunk = c->serial;
                p->durable_at = c->used;
            }
            flush_enqueue(p);
        }
    }
    return 0;
}

static int recover_checkpoint(struct store *store, struct journal_point *point, char *why)
{
    struct checkpoint_file file;
    char damaged[LOG_PATH_BYTES];
    int result = checkpoint_read(store->options.data_dir, &file, damaged, why);
    if (damaged[0])
        diag(DIAG_WARN, "partition",
             "a checkpoint file is damaged: the other one is used, or the whole journal",
             DIAG_KS("file", damaged));
    if (result || !file.body)
        return result; /* none that is whole: the journal must reach back to its beginning, and says so if it
                          does not */
    store->checkpoint_serial = file.serial;
    result = checkpoint_decode(store, &file, point, NULL, NULL, why);
    checkpoint_free(&file);
    if (result)
        return result;
    /* Written by a process that was killed before it could flush it, and about to let journal files go: a
     * power cut must not bring back the one before it, which needs them. */
    result = checkpoint_flush(store->options.data_dir, store->checkpoint_serial);
    if (result)
        snprintf(why, WHY_BYTES, "the checkpoint in %s cannot be flushed: %s", store->options.data_dir,
                 strerror(-result));
    else
        removals_now(store);
    return result;
}

int store_recover(struct store *store, const struct journal_options *journal,
                  const struct journal_events *events, struct store_report *report, char *why)
{
    char text[WHY_BYTES];
    struct recovery rec = { store, text };
    struct journal_point point = { 0 };
    int result = recover_directories(store, &report->fresh, why);
    if (result)
        return result;
    result = recover_checkpoint(store, &point, why);
    if (result)
        return result;
    text[0] = 0;
    result = journal_open(&store->journal, store->io, store->work, journal, &point, replay_entry, &rec,
                          events, &report->journal, why, WHY_BYTES);
    if (result) {
        if (text[0])
            snprintf(why, WHY_BYTES, "%s", text);
        return result;
    }
    store->leader_epoch = report->journal.epoch;
    result = recover_check(store, why);
    removals_now(store);
    removals_tidy(store);
    dedupe_tidy(store->dedupe);
    return result;
}

int recover_offline(struct store *store,
                    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                    void *ctx, char *why)
{
    char damaged[LOG_PATH_BYTES], text[WHY_BYTES] = { 0 }, path[LOG_PATH_BYTES];
    struct checkpoint_file file;
    struct journal_point point = { 0 };
    struct recovery rec = { store, text };
    struct journal_report report;
    int result = checkpoint_read(store->options.data_dir, &file, damaged, why);
    if (damaged[0])
        finding(ctx, damaged, 0, "the checkpoint's checksum does not match its contents");
    if (!result && file.body) {
        result = checkpoint_decode(store, &file, &point, finding, ctx, why);
        checkpoint_free(&file);
    }
    if (result)
        return result;
    snprintf(path, sizeof(path), "%s/journal", store->options.data_dir);
    result = journal_verify(path, &point, replay_entry, &rec, finding, ctx, &report);
    if (text[0])
        finding(ctx, "journal", 0, text);
    if (result < 0 && !text[0]) {
        snprintf(why, WHY_BYTES, "the journal cannot be read: %s", strerror(-result));
        return result;
    }
    return 0;
}
