/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/checkpoint.c: the state that answers depend on, as of one moment: where replay starts, the
 * topics, what of each partition is in segments, what idempotent producers sent, other rooms' states, and
 * event ids.
 *
 * Two files are written in turn, so that one of them is whole at any time; the one with the higher serial
 * number counts. Format: docs/log-format.md. The encoder runs on the loop (it copies state), writing the file
 * is a worker's job.
 */
#include "partition/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/crc32c.h"

enum { CHECKPOINT_VERSION = 3, CHECKPOINT_HEADER = 64, CHECKPOINT_BYTES_MAX = 1 << 30 };

struct checkpoint_header {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of the fields behind it in this header, then the body */
    uint64_t serial, bytes;
    uint8_t zero[32];
};
static_assert(sizeof(struct checkpoint_header) == CHECKPOINT_HEADER, "as in the file");
static const char checkpoint_magic[8] = "RNLCKPT";

static uint32_t checkpoint_crc(const struct checkpoint_header *h, const uint8_t *body)
{
    uint32_t crc = crc32c(0, &h->serial, sizeof(*h) - offsetof(struct checkpoint_header, serial));
    return crc32c(crc, body, h->bytes);
}

/* ---- the file ---- */

static void checkpoint_path(char *out, const char *data_dir, uint64_t serial)
{
    snprintf(out, LOG_PATH_BYTES, "%s/checkpoint-%c", data_dir, serial & 1 ? 'a' : 'b');
}

int checkpoint_write(const char *data_dir, uint64_t serial, const uint8_t *body, uint64_t bytes)
{
    char path[LOG_PATH_BYTES];
    struct checkpoint_header h = { .version = CHECKPOINT_VERSION, .serial = serial, .bytes = bytes };
    memcpy(h.magic, checkpoint_magic, sizeof(h.magic));
    h.crc = checkpoint_crc(&h, body);
    checkpoint_path(path, data_dir, serial);
    int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
    if (fd < 0)
        return fd;
    int result = file_write(fd, &h, sizeof(h), 0);
    if (!result)
        result = file_write(fd, body, bytes, sizeof(h));
    if (!result)
        result = file_truncate(fd, sizeof(h) + bytes);
    if (!result)
        result = file_sync(fd);
    file_close(fd);
    /* Also when the file was there: its maker may have failed or died before this. */
    return result ? result : file_sync_dir(data_dir);
}

int checkpoint_flush(const char *data_dir, uint64_t serial)
{
    char path[LOG_PATH_BYTES];
    checkpoint_path(path, data_dir, serial);
    int fd = file_open(path, FILE_WRITE, NULL);
    if (fd < 0)
        return fd;
    int result = file_sync(fd);
    file_close(fd);
    return result ? result : file_sync_dir(data_dir);
}

/* 0 and the body; -ENOENT; -EBADMSG damaged; -EPROTONOSUPPORT unknown version. */
static int checkpoint_read_one(const char *path, struct checkpoint_file *out)
{
    int fd = file_open(path, FILE_READ, NULL);
    if (fd < 0)
        return fd;
    int64_t size = file_bytes(fd);
    int result = -EBADMSG;
    *out = (struct checkpoint_file){ 0 };
    if (size >= CHECKPOINT_HEADER && size <= CHECKPOINT_BYTES_MAX) {
        out->buffer_bytes = (uint64_t)size;
        out->buffer = mem_alloc(MEM_PARTITION, out->buffer_bytes);
        struct checkpoint_header h;
        if (file_read(fd, out->buffer, out->buffer_bytes, 0) == size) {
            memcpy(&h, out->buffer, sizeof(h));
            out->body = out->buffer + sizeof(h);
            out->bytes = h.bytes;
            out->serial = h.serial;
            out->version = h.version;
            if (memcmp(h.magic, checkpoint_magic, sizeof(h.magic)) == 0 &&
                h.bytes <= out->buffer_bytes - sizeof(h) && h.crc == checkpoint_crc(&h, out->body))
                result = h.version >= 1 && h.version <= CHECKPOINT_VERSION ? 0 : -EPROTONOSUPPORT;
        }
    }
    file_close(fd);
    if (result)
        checkpoint_free(out);
    return result;
}

int checkpoint_read(const char *data_dir, struct checkpoint_file *out, char *damaged, char *why)
{
    struct checkpoint_file files[2] = { 0 };
    int results[2];
    char path[LOG_PATH_BYTES];
    damaged[0] = 0;
    for (int i = 0; i < 2; i++) {
        checkpoint_path(path, data_dir, (uint64_t)i);
        results[i] = checkpoint_read_one(path, &files[i]);
        if (results[i] == -EPROTONOSUPPORT) {
            snprintf(why, WHY_BYTES,
                     "%s has a format version that this runneld does not know: use a newer runneld", path);
            checkpoint_free(&files[0]);
            return -EPROTONOSUPPORT;
        }
        if (results[i] == -EBADMSG)
            snprintf(damaged, LOG_PATH_BYTES, "%s", path);
    }
    *out = (struct checkpoint_file){ .none = results[0] == -ENOENT && results[1] == -ENOENT };
    int best = results[0] ? 1 : results[1] ? 0 : files[1].serial > files[0].serial;
    if (results[best])
        return 0;
    *out = files[best];
    if (!results[!best])
        checkpoint_free(&files[!best]);
    return 0;
}

void checkpoint_free(struct checkpoint_file *file)
{
    mem_free(MEM_PARTITION, file->buffer, file->buffer_bytes);
    *file = (struct checkpoint_file){ 0 };
}

/* ---- encoding ---- */

static bool segment_on_disk(const struct segment *s)
{
    return s->log.bytes > 0;
}

static void encode_segment(struct state_sink *sink, const struct segment *s)
{
    struct writer w = sink_begin(sink, 256);
    uint32_t entries = s->kept + s->pending_count;
    write_u64(&w, s->log.base_offset);
    write_u64(&w, s->log.end_offset);
    write_u64(&w, s->log.bytes);
    write_u64(&w, s->loose);
    write_u32(&w, s->log.extents + s->pending_count);
    write_u8(&w, s->log.sealed);
    write_i64(&w, s->log.max_timestamp_ms);
    write_i64(&w, s->log.append_ms);
    write_i64(&w, s->first_append_ms);
    write_u8(&w, entries > 0);
    if (entries)
        write_raw(&w, &s->pending[entries - 1], sizeof(struct log_extent));
    sink_end(sink, &w);
}

static bool partition_worth_saving(const struct partition *p)
{
    return p->start > 0 || (p->segment_count && segment_on_disk(p->segments[0]));
}

static void encode_partition(struct state_sink *sink, const struct partition *p)
{
    uint32_t count = 0;
    while (count < p->segment_count && segment_on_disk(p->segments[count]))
        count++;
    struct writer w = sink_begin(sink, 64);
    write_u32(&w, p->number);
    write_u64(&w, p->start);
    write_u32(&w, count);
    sink_end(sink, &w);
    for (uint32_t i = 0; i < count; i++)
        encode_segment(sink, p->segments[i]);
}

static void encode_topic(struct state_sink *sink, const struct topic *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->partition_count; i++)
        count += partition_worth_saving(t->partitions[i]);
    struct writer w = sink_begin(sink, CATALOG_CHANGE_BYTES);
    char text[1024];
    uint32_t n = catalog_text(t, text, sizeof(text));
    write_str(&w, (struct bytes){ (const uint8_t *)t->name, t->name_len });
    write_str(&w, (struct bytes){ (const uint8_t *)text, n });
    write_u32(&w, count);
    sink_end(sink, &w);
    for (uint32_t i = 0; i < t->partition_count; i++)
        if (partition_worth_saving(t->partitions[i]))
            encode_partition(sink, t->partitions[i]);
}

static void encode_removals(struct state_sink *sink, const struct store *store)
{
    uint32_t count = 0;
    LIST_FOR_EACH (node, &store->removals)
        count++;
    struct writer w = sink_begin(sink, 4);
    write_u32(&w, count);
    sink_end(sink, &w);
    LIST_FOR_EACH (node, &store->removals) {
        const struct removal *r = CONTAINER_OF(node, struct removal, link);
        w = sink_begin(sink, 512);
        write_str(&w, bytes_of(r->name));
        write_u64(&w, r->topic_id);
        write_u8(&w, r->whole_topic);
        write_u32(&w, r->partition);
        write_u64(&w, r->base_offset);
        sink_end(sink, &w);
    }
}

static struct partition *encode_find(void *ctx, uint64_t topic_id, uint32_t partition)
{
    struct topic *t = catalog_by_id(ctx, topic_id);
    return t && partition < t->partition_count ? t->partitions[partition] : NULL;
}

static void encode_put(void *ctx, const void *at, uint32_t n)
{
    state_write(ctx, at, n);
}

static struct dedupe_save *encode_ids(struct state_sink *sink, const struct store *store)
{
    const uint64_t length_at = sink->bytes;
    uint64_t bytes = 0;
    state_write(sink, &bytes, sizeof(bytes));
    struct dedupe_save *save = dedupe_save_begin(store->dedupe, encode_put, sink);
    bytes = sink->bytes - length_at - sizeof(bytes);
    memcpy(sink->at + length_at, &bytes, sizeof(bytes));
    return save;
}

uint8_t *checkpoint_encode(struct store *store, const struct journal_point *point, uint64_t *bytes,
                           struct dedupe_save **ids)
{
    struct state_sink sink = { 0 };
    /* As large as the last one, and some: growing step by step would copy it all, again and again. */
    struct writer w = sink_begin(&sink, store->checkpoint_bytes + store->checkpoint_bytes / 8 + 4096);
    write_u64(&w, point->file);
    write_u64(&w, point->sequence);
    write_u64(&w, point->position);
    write_u32(&w, point->chain);
    write_u64(&w, store->catalog->partitions[0]->end);
    write_u32(&w, store->topic_id_next);
    write_u32(&w, store->topic_count);
    sink_end(&sink, &w);
    for (uint32_t i = 0; i < store->topic_count; i++)
        encode_topic(&sink, store->topics[i]);
    encode_removals(&sink, store);
    w = sink_begin(&sink, producers_encoded_bytes(store->producers));
    producers_encode(store->producers, &w, encode_find, store);
    sink_end(&sink, &w);
    states_encode(&sink, store);
    *ids = encode_ids(&sink, store);
    /* Freed by its size: no slack. */
    sink.at = mem_realloc(MEM_PARTITION, sink.at, sink.room, sink.bytes);
    *bytes = store->checkpoint_bytes = sink.bytes;
    return sink.at;
}

/* ---- decoding ---- */

static bool decode_segment(struct reader *r, struct partition *p)
{
    uint64_t base = read_u64(r);
    if (r->bad || (p->segment_count && base <= p->segments[p->segment_count - 1]->log.base_offset))
        return false;
    struct segment *before = partition_segment(p), *s = segment_create(p, base);
    if (before && !before->closed) {
        /* Nothing was written to it any more, and it was cut before this checkpoint. */
        before->closed = before->cut = before->given_up = true;
        p->bytes_closed += before->appended;
    }
    s->log.end_offset = read_u64(r);
    s->log.bytes = read_u64(r);
    s->loose = read_u64(r);
    s->log.extents = read_u32(r);
    s->log.sealed = read_u8(r) == 1;
    s->log.max_timestamp_ms = read_i64(r);
    s->log.append_ms = read_i64(r);
    s->first_append_ms = read_i64(r);
    s->created = s->named = true;
    s->closed = s->cut = s->log.sealed;
    s->allocated = s->log.bytes;
    s->appended = s->log.sealed ? s->log.bytes : s->loose;
    if (read_u8(r)) {
        const uint8_t *extent = read_raw(r, sizeof(struct log_extent));
        if (!extent)
            return false;
        s->pending_room = 4;
        s->pending = mem_alloc(MEM_PARTITION, s->pending_room * sizeof(*s->pending));
        memcpy(s->pending, extent, sizeof(*s->pending));
        s->kept = 1;
    }
    if (s->closed)
        p->bytes_closed += s->appended;
    p->end = s->log.end_offset;
    p->max_timestamp_ms = s->log.max_timestamp_ms;
    p->append_ms = s->log.append_ms;
    return !r->bad && s->log.end_offset >= base && s->loose <= s->log.bytes && s->log.bytes <= UINT32_MAX;
}

static bool decode_partition(struct reader *r, struct topic *t)
{
    uint32_t number = read_u32(r);
    if (r->bad || number >= t->partition_count)
        return false;
    struct partition *p = t->partitions[number];
    p->start = p->end = read_u64(r);
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count; i++)
        if (r->bad || !decode_segment(r, p))
            return false;
    return p->end >= p->start;
}

static bool decode_topic(struct store *store, struct reader *r, char *why)
{
    struct bytes name = read_str(r), text = read_str(r);
    uint32_t count = read_u32(r);
    if (r->bad)
        return false;
    struct topic *t = catalog_find(store, name);
    if (!t) {
        const struct record record = { .key = name, .value = text };
        if (!catalog_apply(store, &record, why))
            return false;
        t = catalog_find(store, name);
    }
    for (uint32_t i = 0; i < count; i++)
        if (r->bad || !decode_partition(r, t))
            return false;
    return true;
}

static bool decode_removals(struct store *store, struct reader *r)
{
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct bytes name = read_str(r);
        uint64_t topic_id = read_u64(r);
        bool whole = read_u8(r);
        uint32_t partition = read_u32(r);
        uint64_t base = read_u64(r);
        if (r->bad || name.len > TOPIC_NAME_MAX)
            return false;
        removal_add(store, name, topic_id, whole, partition, base, 0);
    }
    return !r->bad;
}

static int decode_ids(struct store *store, struct reader *r,
                      void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                      void *ctx, char *why)
{
    const uint64_t bytes = read_u64(r);
    const uint8_t *state = bytes <= reader_left(r) ? read_raw(r, (uint32_t)bytes) : NULL;
    return r->bad || !state ? -EBADMSG : dedupe_load(store->dedupe, state, bytes, finding, ctx, why);
}

int checkpoint_decode(struct store *store, const struct checkpoint_file *file, struct journal_point *point,
                      void (*finding)(void *ctx, const char *file, uint64_t position, const char *text),
                      void *ctx, char *why)
{
    struct reader r = reader_of(file->body, (uint32_t)file->bytes);
    snprintf(why, WHY_BYTES,
             "the checkpoint's checksum is right but its contents make no sense: report this");
    point->file = read_u64(&r);
    point->sequence = read_u64(&r);
    point->position = read_u64(&r);
    point->chain = read_u32(&r);
    store->catalog_saved = read_u64(&r);
    uint32_t id_next = read_u32(&r), topics = read_u32(&r);
    for (uint32_t i = 0; i < topics; i++)
        if (r.bad || !decode_topic(store, &r, why))
            return -EBADMSG;
    if (!decode_removals(store, &r) || !producers_decode(store->producers, &r))
        return -EBADMSG;
    int result = file->version == 1 ? 0 : states_decode(store, &r, why);
    if (!result && file->version >= 3)
        result = decode_ids(store, &r, finding, ctx, why);
    if (result || !reader_done(&r))
        return result ? result : -EBADMSG;
    if (id_next > store->topic_id_next)
        store->topic_id_next = id_next;
    return 0;
}
