/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/verify.c: checks a data directory without changing anything: the checkpoint files, the journal
 * and the batches in it, and every segment that they know.
 *
 * It recovers into a store that is never opened (no ring, nothing is written), then walks it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "partition/internal.h"

struct verification {
    struct store *store;
    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text);
    void *ctx;
    int findings;
};

static void verify_found(void *ctx, const char *file, uint64_t position, const char *text)
{
    struct verification *v = ctx;
    v->findings++;
    v->finding(v->ctx, file, position, text);
}

static void verify_segments(struct verification *v, struct partition *p,
                            void (*progress)(void *ctx, const char *file), uint64_t *bytes)
{
    char dir[LOG_PATH_BYTES], path[LOG_PATH_BYTES];
    partition_dir(p, dir);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const struct segment *s = p->segments[i];
        if (!s->log.bytes)
            continue;
        log_segment_path(path, dir, s->log.base_offset, "log");
        if (progress)
            progress(v->ctx, path);
        int result = log_verify(dir, partition_log_id(p), &s->log, verify_found, v);
        if (result < 0) {
            char text[128];
            snprintf(text, sizeof(text), "the segment cannot be checked: %s", strerror(-result));
            verify_found(v, path, 0, text);
        }
        *bytes += s->log.bytes;
        if (i + 1 < p->segment_count && p->segments[i + 1]->log.base_offset > s->log.end_offset &&
            segment_ended(s))
            verify_found(v, path, s->log.bytes, "offsets are missing between this segment and the next");
    }
}

/* The part that is in the journal only: each batch against its own checksum. */
static void verify_tail(struct verification *v, const struct partition *p, uint64_t *bytes)
{
    char text[WHY_BYTES], why[WHY_BYTES];
    for (uint64_t serial = p->chunk_first; serial < p->chunk_end; serial++) {
        const struct chunk *c = partition_chunk(p, serial);
        for (uint32_t at = c->first; at < c->used;) {
            struct batch batch;
            if (batch_check(&batch, c->data + at, c->used - at, why) != ERR_OK) {
                snprintf(text, sizeof(text), "topic %s partition %u offset %" PRIi64 ": %s", p->topic->name,
                         p->number, batch_base_offset(c->data + at), why);
                verify_found(v, "journal", 0, text);
                break;
            }
            at += batch.bytes;
            *bytes += batch.bytes;
        }
    }
}

static struct store *verify_store(const char *data_dir)
{
    struct store *store = mem_zalloc(MEM_PARTITION, sizeof(*store));
    store->options =
        (struct store_options){ .data_dir = data_dir, .producers_max = 1 << 20, .tail_bytes_max = 1 << 30 };
    settings_init(&store->options.topic_defaults);
    store->offline = true;
    store_init_lists(store);
    store->producers = producers_create(store->options.producers_max);
    duplicates_open(store);
    catalog_init(store);
    return store;
}

static void verify_walk(struct verification *v, void (*progress)(void *ctx, const char *file),
                        uint64_t *bytes, uint64_t *events)
{
    struct store *store = v->store;
    for (uint32_t i = 0; i < store->topic_count; i++) {
        const struct topic *t = store->topics[i];
        for (uint32_t n = 0; n < t->partition_count; n++) {
            struct partition *p = t->partitions[n];
            verify_segments(v, p, progress, bytes);
            verify_tail(v, p, bytes);
            *events += p->end - p->start;
            if (p->replay_ahead > p->end) {
                char text[WHY_BYTES];
                snprintf(text, sizeof(text),
                         "topic %s partition %u: offsets from %" PRIu64 " on are missing before %" PRIu64,
                         t->name, n, p->end, p->replay_ahead);
                verify_found(v, "journal", 0, text);
            }
        }
    }
}

int store_verify(const char *data_dir,
                 void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx,
                 void (*progress)(void *ctx, const char *file), uint64_t *bytes, uint64_t *events, char *why)
{
    struct verification v = { .finding = finding, .ctx = ctx };
    char path[LOG_PATH_BYTES];
    *bytes = *events = 0;
    snprintf(path, sizeof(path), "%s/meta", data_dir);
    if (file_exists(path) != 1) {
        snprintf(why, WHY_BYTES, "%s is no data directory of runneld: there is no file called meta in it",
                 data_dir);
        return -ENOENT;
    }
    v.store = verify_store(data_dir);
    int result = recover_offline(v.store, verify_found, &v, why);
    if (result == 0)
        verify_walk(&v, progress, bytes, events);
    store_destroy(v.store);
    return result < 0 ? result : v.findings;
}
