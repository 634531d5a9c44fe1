/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/retention.c: what goes: segments that are too old or too many, deleted topics, and their files.
 *
 * A start offset that moved up, or a topic's deletion, is a journal entry; files go only once it is durable,
 * so a crash between the two leaves files too many and never a hole. What waits for that is listed in the
 * checkpoint, and goes after a restart. Time goes by the broker's own append time: no producer's clock can
 * delete data or keep it.
 *
 * All partitions are looked through in passes. A pass also finds out when the next segment will be due; when
 * nothing is appended meanwhile there is nothing to do before that, and the timer rests.
 */
#include "partition/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETENTION_PERIOD_MS = 1000, /* while a pass goes on, or something was appended since the last one */
    RETENTION_REST_MS = 60000,  /* longest rest, whatever is due when: the wall clock may be set meanwhile */
    RETENTION_STEP = 4096,      /* partitions in one go: bounds the turn */
    REMOVALS_RUNNING_MAX = 4,   /* file deletions at once: they share the workers */
};

/* ---- removing files ---- */

void removal_add(struct store *store, struct bytes name, uint64_t topic_id, bool whole_topic,
                 uint32_t partition, uint64_t base_offset, uint64_t sequence)
{
    struct removal *r = mem_zalloc(MEM_PARTITION, sizeof(*r));
    CHECK(name.len <= TOPIC_NAME_MAX);
    memcpy(r->name, name.at, name.len);
    r->store = store;
    r->topic_id = topic_id;
    r->whole_topic = whole_topic;
    r->partition = partition;
    r->base_offset = base_offset;
    r->sequence = sequence;
    list_append(&store->removals, &r->link);
}

void removal_add_topic(struct store *store, const char *name, uint64_t topic_id, uint64_t sequence)
{
    removal_add(store, bytes_of(name), topic_id, true, 0, 0, sequence);
}

static int remove_name(void *ctx, const char *name, bool is_dir);

static int remove_tree(const char *path)
{
    int result = file_list(path, remove_name, (void *)path);
    return result ? result : file_rmdir(path);
}

static int remove_name(void *ctx, const char *name, bool is_dir)
{
    char path[LOG_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", (const char *)ctx, name) >= sizeof(path))
        return -ENAMETOOLONG;
    return is_dir ? remove_tree(path) : file_unlink(path);
}

/* A topic's directory moves aside first: a new topic of the same name may want the place at once. It stays
 * there, empty, as the mark that this was done: recovery may meet the same deletion again, and must not take
 * the new topic's directory for the old one's. */
static void removal_run_topic(const struct removal *r)
{
    char path[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    const char *data_dir = r->store->options.data_dir;
    snprintf(to, sizeof(to), "%s/trash/%" PRIu64, data_dir, r->topic_id);
    if (file_exists(to) != 1) {
        snprintf(path, sizeof(path), "%s/topics/%s", data_dir, r->name);
        if (file_rename(path, to) == -ENOENT)
            file_mkdir(to);
        snprintf(path, sizeof(path), "%s/topics", data_dir);
        file_sync_dir(path);
        snprintf(path, sizeof(path), "%s/trash", data_dir);
        file_sync_dir(path);
    }
    file_list(to, remove_name, to);
}

static void removal_run(struct work_job *job)
{
    struct removal *r = CONTAINER_OF(job, struct removal, job);
    char dir[LOG_PATH_BYTES];
    if (r->whole_topic) {
        removal_run_topic(r);
        return;
    }
    snprintf(dir, sizeof(dir), "%s/topics/%s/%" PRIu32, r->store->options.data_dir, r->name, r->partition);
    log_segment_delete(dir, r->base_offset);
}

static void removal_done(struct work_job *job)
{
    struct removal *r = CONTAINER_OF(job, struct removal, job);
    struct store *store = r->store;
    store->removals_running--;
    store->stats.segments_deleted += !r->whole_topic;
    list_remove(&r->link);
    mem_free(MEM_PARTITION, r, sizeof(*r));
    removals_pump(store);
}

/* Is a job at work on the topic's files? They go by their names, and a new topic of the same name takes those
 * as soon as the removal is done: a checkpoint still running would cut the new topic's segment to the size of
 * the old one's. */
static bool removal_must_wait(const struct store *store, const struct removal *r)
{
    LIST_FOR_EACH (node, &store->removals) {
        const struct removal *other = CONTAINER_OF(node, struct removal, link);
        if (other->topic_id == r->topic_id && other->job.busy)
            return true;
    }
    LIST_FOR_EACH (node, &store->deleted_topics) {
        const struct topic *t = CONTAINER_OF(node, struct topic, link);
        for (uint32_t i = 0; t->id == r->topic_id && i < t->partition_count; i++)
            if (t->partitions[i]->refs)
                return true;
    }
    return false;
}

void removals_pump(struct store *store)
{
    uint64_t durable = journal_durable_sequence(store->journal);
    LIST_FOR_EACH (node, &store->removals) {
        if (store->removals_running >= REMOVALS_RUNNING_MAX)
            return;
        struct removal *r = CONTAINER_OF(node, struct removal, link);
        if (r->job.busy || r->sequence > durable || (r->whole_topic && removal_must_wait(store, r)))
            continue;
        store->removals_running++;
        work_submit(store->work, &r->job, removal_run, removal_done);
    }
}

void removals_now(struct store *store)
{
    while (!list_empty(&store->removals)) {
        struct removal *r = CONTAINER_OF(list_pop(&store->removals), struct removal, link);
        if (!store->offline)
            removal_run(&r->job);
        list_append(&store->removed, &r->link);
    }
}

static void removals_free(struct list *list)
{
    while (!list_empty(list)) {
        struct removal *r = CONTAINER_OF(list_pop(list), struct removal, link);
        mem_free(MEM_PARTITION, r, sizeof(*r));
    }
}

static int removals_tidy_one(void *ctx, const char *name, bool is_dir)
{
    struct store *store = ctx;
    char path[LOG_PATH_BYTES];
    (void)is_dir;
    LIST_FOR_EACH (node, &store->removed) {
        const struct removal *r = CONTAINER_OF(node, struct removal, link);
        if (r->whole_topic && r->topic_id == strtoull(name, NULL, 10))
            return 0;
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/trash/%s", store->options.data_dir, name) < sizeof(path))
        remove_tree(path);
    return 0;
}

void removals_tidy(struct store *store)
{
    char path[LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/trash", store->options.data_dir);
    file_list(path, removals_tidy_one, store);
    removals_free(&store->removed);
}

bool removal_pending(const struct store *store, const char *topic_name)
{
    LIST_FOR_EACH (node, &store->removals) {
        const struct removal *r = CONTAINER_OF(node, struct removal, link);
        if (r->whole_topic && strcmp(r->name, topic_name) == 0)
            return true;
    }
    return false;
}

void removals_destroy(struct store *store)
{
    removals_free(&store->removals);
    removals_free(&store->removed);
}

/* ---- deciding ---- */

/* Is the oldest segment to go, and may it (nothing is using it)? */
static bool retention_expired(const struct partition *p, const struct segment *s)
{
    const struct topic_settings *settings = &p->topic->settings;
    if (!segment_ended(s) || s->writes || s->opening || s->syncing || s->sealing || p->store->mending ||
        !list_empty(&s->waiting))
        return false;
    if (settings->retention_ms >= 0 && p->store->clock->wall_ms - s->log.append_ms > settings->retention_ms)
        return true;
    return settings->retention_bytes >= 0 &&
           partition_bytes(p) - s->appended >= (uint64_t)settings->retention_bytes;
}

/* A segment that takes no events any more still has to end, so that its last ones expire too. */
static void retention_roll(struct partition *p)
{
    struct segment *s = partition_segment(p);
    const struct topic_settings *settings = &p->topic->settings;
    if (!s || s->closed || s->appended == 0 || p->durable != p->end)
        return;
    int64_t now = p->store->clock->wall_ms;
    if ((settings->retention_ms >= 0 && now - p->append_ms > settings->retention_ms) ||
        (s->first_append_ms >= 0 && now - s->first_append_ms > settings->segment_ms)) {
        tail_close(p, true);
        s->closed = true;
        p->bytes_closed += s->appended;
        segment_create(p, p->end);
        flush_enqueue(p);
    }
}

void retention_drop_first(struct partition *p, uint64_t sequence)
{
    struct segment *s = p->segments[0];
    removal_add(p->store, bytes_of(p->topic->name), p->topic->id, false, p->number, s->log.base_offset,
                sequence);
    tail_forget(p, s);
    if (s->damaged)
        p->store->stats.damaged_segments--;
    segments_remove_first(p);
}

static void retention_partition(struct partition *p)
{
    struct store *store = p->store;
    retention_roll(p);
    while (p->segment_count > 1 && retention_expired(p, p->segments[0])) {
        if (!journal_room(store->journal, JOURNAL_RESERVED, 1, sizeof(struct journal_start)))
            return;
        p->start = p->segments[1]->log.base_offset;
        const struct journal_start entry = { (uint32_t)p->topic->id, p->number, p->start };
        memcpy(journal_add(store->journal, JOURNAL_START, sizeof(entry)), &entry, sizeof(entry));
        retention_drop_first(p, journal_open_sequence(store->journal));
    }
}

static int64_t retention_due(int64_t from_ms, int64_t after_ms)
{
    return after_ms < 0 || from_ms >= INT64_MAX - after_ms ? INT64_MAX : from_ms + after_ms + 1;
}

/* When it has to be looked at again, if nothing is appended until then. In the past: it was due, but
 * something still uses what is to go. */
static int64_t retention_next(const struct partition *p)
{
    const struct topic_settings *settings = &p->topic->settings;
    const struct segment *last = partition_segment(p), *first = p->segments[0];
    int64_t due[3] = { INT64_MAX, INT64_MAX, INT64_MAX };
    if (!last->closed && last->appended > 0) {
        due[0] = retention_due(p->append_ms, settings->retention_ms);
        if (last->first_append_ms >= 0)
            due[1] = retention_due(last->first_append_ms, settings->segment_ms);
    }
    if (first != last) {
        due[2] = retention_due(first->log.append_ms, settings->retention_ms);
        if (settings->retention_bytes >= 0 &&
            partition_bytes(p) - first->appended >= (uint64_t)settings->retention_bytes)
            due[2] = 0;
    }
    const int64_t roll = due[0] < due[1] ? due[0] : due[1];
    return roll < due[2] ? roll : due[2];
}

/* Looks at a share of the topics; the cursor at 0: that was the last of the pass. */
static void retention_step(struct store *store)
{
    for (uint32_t looked = 0; looked < RETENTION_STEP;) {
        if (store->retention_cursor >= store->topic_count) {
            store->retention_cursor = 0;
            return;
        }
        const struct topic *t = store->topics[store->retention_cursor++];
        for (uint32_t n = 0; n < t->partition_count; n++) {
            struct partition *p = t->partitions[n];
            if (!p->segment_count)
                continue;
            retention_partition(p);
            const int64_t next = retention_next(p);
            if (next < store->retention_due_ms)
                store->retention_due_ms = next;
        }
        looked += t->partition_count;
    }
}

static bool retention_may_rest(const struct store *store)
{
    return store->retention_cursor == 0 && store->clock->wall_ms < store->retention_due_ms &&
           journal_open_sequence(store->journal) == store->retention_sequence;
}

static void retention_fire(struct timer *timer)
{
    struct store *store = CONTAINER_OF(timer, struct store, retention_timer);
    if (store->failed || store->stopping)
        return;
    if (!retention_may_rest(store)) {
        if (store->retention_cursor == 0) {
            store->retention_due_ms = INT64_MAX;
            store->retention_sequence = journal_open_sequence(store->journal);
        }
        retention_step(store);
    }
    store->retention_rests = retention_may_rest(store);
    uint64_t wait_ms = RETENTION_PERIOD_MS;
    if (store->retention_rests) {
        const uint64_t due_ms = (uint64_t)(store->retention_due_ms - store->clock->wall_ms);
        wait_ms = due_ms < RETENTION_REST_MS ? due_ms : RETENTION_REST_MS;
    }
    timer_start(store->timers, timer, wait_ms);
}

void retention_turn_end(struct store *store)
{
    if (store->retention_rests && journal_open_sequence(store->journal) != store->retention_sequence)
        retention_start(store);
}

void retention_init(struct store *store)
{
    timer_init(&store->retention_timer, retention_fire);
}

void retention_start(struct store *store)
{
    store->retention_rests = false;
    store->retention_due_ms = 0;
    timer_start(store->timers, &store->retention_timer, RETENTION_PERIOD_MS);
}

void retention_stop(struct store *store)
{
    timer_stop(store->timers, &store->retention_timer);
}
