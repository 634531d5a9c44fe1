/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole storage engine on a simulated disk that fails in every way: random work, random faults, crashes
 * at random steps, and after each the model's verdict (tests/support/store_model.h).
 *
 * RUNNEL_SIM_SEEDS and RUNNEL_SIM_SEED: see effort.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "effort.h"
#include "io/file.h"
#include "io_sim.h"
#include "proto/crc32c.h"
#include "store_model.h"
#include "store_rig.h"

enum { PRODUCERS = 12, READERS = 4, LOOKUPS = 2, BATCH_ROOM = 512 << 10, STALL_TURNS = 20000 };

struct producer {
    int64_t id;
    uint64_t topic;
    uint32_t partition;
    int32_t next;
    struct model_batch sent[MODEL_BATCHES_KEPT]; /* the newest last */
    uint32_t sent_count;
};

struct sim_reader {
    struct history_read history;
    bool waiting; /* for the history */
    struct topic *topic;
    struct partition *partition;
    struct cursor cursor;
    struct slice slice;
    uint32_t slice_crc;
};

struct lookup {
    struct time_lookup lookup;
    struct topic *topic;
    bool done;
    uint64_t durable, start; /* when it began */
};

static struct sim {
    uint64_t seed, random;
    struct rig rig;
    struct model model;
    struct producer producers[PRODUCERS];
    struct sim_reader readers[READERS];
    struct lookup lookups[LOOKUPS];
    uint32_t batch_max, busy, trickle; /* the workload's shape */
    bool fault, full;
    uint64_t durable; /* sequence, last reported */
    /* how much was tried */
    uint64_t crashes, appended, lost, read, restarts, refused;
} sim;

static char seed_text[64];

static void tell_seed(int signal_number)
{
    ssize_t n = write(2, seed_text, strlen(seed_text));
    (void)n;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* After the test, however it ended. */
static void tell_seed_of_failure(void)
{
    if (seed_text[0])
        fputs(seed_text, stderr);
}

TestSuite(store_sim, .fini = tell_seed_of_failure);

static uint64_t draw(uint64_t n)
{
    return io_sim_random(&sim.random, n);
}

/* ---- the process ---- */

static void sim_options(void)
{
    struct store_options *o = &sim.rig.options;
    uint64_t size = draw(10);
    sim.batch_max = size < 6 ? 16 << 10 : size < 9 ? 64 << 10 : 320 << 10;
    o->batch_bytes_max = sim.batch_max;
    o->request_bytes_max = sim.batch_max + (uint32_t)draw(3) * 8192;
    o->tail_bytes_max = 8 * (uint64_t)sim.batch_max + draw(4) * 131072;
    o->journal_group_bytes = 4096;
    uint32_t group = o->request_bytes_max + o->request_bytes_max / 4 + 65536 + 4096;
    o->journal_file_bytes = (2 * (uint64_t)group + 4 * 4096 + draw(3) * 65536) & ~(uint64_t)4095;
    o->journal_files_max = 2 + (uint32_t)draw(6);
    o->journal_writes_max = 1 + (uint32_t)draw(2);
    o->flush_writes_max = 1 + (uint32_t)draw(4);
    o->history_bytes_max = 1 << 20;
    o->partitions_default = 2;
    o->topic_defaults.max_message_bytes = sim.batch_max;
    uint64_t segment = sim.batch_max + draw(4) * 16384;
    o->topic_defaults.segment_bytes = segment < 65536 && draw(2) ? 65536 : (int64_t)segment;
    sim.busy = (uint32_t)draw(8);
    sim.trickle = (uint32_t)draw(4);
}

/* The store's own result, with the power perhaps gone meanwhile. */
static int sim_open(void)
{
    io_sim_clock(&sim.rig.clock);
    sim.rig.failed = false;
    memset(sim.readers, 0, sizeof(sim.readers));
    memset(sim.lookups, 0, sizeof(sim.lookups));
    return rig_open(&sim.rig);
}

static void sim_turn(uint64_t wait_ns)
{
    struct rig *rig = &sim.rig;
    clock_update(&rig->clock);
    uint64_t wait = timers_wait(rig->timers, rig->clock.mono_ns);
    io_turn(rig->io, wait < wait_ns ? wait : wait_ns, true);
    clock_update(&rig->clock);
    work_collect(rig->work);
    timers_fire(rig->timers, rig->clock.mono_ns);
    store_turn_end(rig->store);
    if (rig->durable_sequence > sim.durable)
        sim.durable = rig->durable_sequence;
    model_settle(&sim.model, sim.durable);
}

static void sim_release(void)
{
    for (uint32_t i = 0; i < READERS; i++) {
        struct sim_reader *r = &sim.readers[i];
        if (r->slice.pin)
            cr_assert_eq(crc32c(0, r->slice.data, r->slice.bytes), r->slice_crc, "a lent slice changed");
        slice_release(sim.rig.store, &r->slice);
        if (r->topic && !r->waiting)
            topic_release(sim.rig.store, r->topic);
        r->topic = r->waiting ? r->topic : NULL;
    }
}

/* Takes the process down in order: by itself, or because its disk is gone. */
static void sim_close(void)
{
    struct rig *rig = &sim.rig;
    sim_release();
    for (int turn = 0; turn < STALL_TURNS; turn++) {
        bool waiting = false;
        for (uint32_t i = 0; i < READERS; i++)
            waiting |= sim.readers[i].waiting;
        for (uint32_t i = 0; i < LOOKUPS; i++)
            waiting |= sim.lookups[i].topic && !sim.lookups[i].done;
        if (!waiting)
            break;
        sim_turn(10000000);
        sim_release();
        cr_assert_lt(turn, STALL_TURNS - 1, "a read never ends");
    }
    sim_release();
    for (uint32_t i = 0; i < LOOKUPS; i++)
        if (sim.lookups[i].topic)
            topic_release(rig->store, sim.lookups[i].topic);
    store_stop(rig->store);
    for (int turn = 0; !store_stopped(rig->store); turn++) {
        sim_turn(10000000);
        cr_assert_lt(turn, STALL_TURNS, "the store does not stop");
    }
    store_destroy(rig->store);
    rig->store = NULL;
    rig_close(rig);
}

/* ---- produce ---- */

static struct topic *any_topic(void)
{
    struct topic *list[64], *t;
    uint32_t count = 0;
    struct bytes after = { 0 };
    while (count < 64 && (t = catalog_next(sim.rig.store, after))) {
        if (!t->internal)
            list[count++] = t;
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
    }
    return count ? list[draw(count)] : NULL;
}

static bool sim_room(enum journal_class class, uint32_t bytes)
{
    if (store_room(sim.rig.store, class, 1, bytes))
        return true;
    sim.refused++;
    return false;
}

static void produce_sent(struct producer *pr, const struct model_batch *b)
{
    if (pr->sent_count == MODEL_BATCHES_KEPT)
        memmove(pr->sent, pr->sent + 1, (MODEL_BATCHES_KEPT - 1) * sizeof(*pr->sent));
    else
        pr->sent_count++;
    pr->sent[pr->sent_count - 1] = *b;
    pr->next = b->first_sequence + (int32_t)b->count;
}

/* Sends a batch, `again`: one that was sent before, which must get its first offset. */
static void produce(struct partition *p, struct producer *pr, const struct model_batch *again)
{
    static uint8_t buffer[BATCH_ROOM];
    char why[256];
    struct batch batch;
    struct append_result result;
    uint32_t count, value_bytes;
    int64_t timestamp_ms = sim.rig.clock.wall_ms - (int64_t)draw(5000);
    uint64_t nonce = again ? again->nonce : ++sim.model.nonce;
    if (again) {
        count = again->count;
        value_bytes = again->value_bytes;
        timestamp_ms = again->timestamp_ms;
    } else {
        uint64_t kind = draw(40);
        uint32_t most = kind == 0 ? sim.batch_max - 1024 : kind < 8 ? 6000 : kind < 20 ? 700 : 60;
        count = 1 + (uint32_t)draw(kind < 8 ? 3 : 8);
        value_bytes = 1 + (uint32_t)draw(most / count);
        if (kind == 0 && draw(2))
            value_bytes = most / count - 32;
    }
    uint32_t bytes = model_build(buffer, sizeof(buffer), nonce, count, value_bytes, timestamp_ms,
                                 pr ? pr->id : -1, pr ? (again ? again->first_sequence : pr->next) : -1);
    if (store_accepts(sim.rig.store, why) != ERR_OK || !sim_room(JOURNAL_NORMAL, bytes))
        return;
    cr_assert_eq(batch_check(&batch, buffer, bytes, why), ERR_OK, "%s", why);
    enum error error = partition_check(p, &batch, why);
    if (error == ERR_PARTITION_FENCED && sim.fault)
        return;
    cr_assert_eq(error, ERR_OK, "%s", why);
    partition_append(p, &batch, &result);
    cr_assert_eq(result.duplicate, again != NULL, "%s", again ? "a repeated batch was stored twice" : "");
    if (again) {
        cr_assert_eq(result.base_offset, again->base, "a repeated batch got another offset");
        return;
    }
    struct model_batch *b = model_append(&sim.model, p, buffer, bytes, &result,
                                         store_leader_epoch(sim.rig.store), sim.rig.clock.wall_ms);
    b->nonce = nonce;
    b->value_bytes = value_bytes;
    if (pr) {
        struct model_batch sent = *b;
        sent.timestamp_ms = timestamp_ms;
        produce_sent(pr, &sent);
    }
    sim.appended++;
}

static void do_produce(void)
{
    struct topic *t = any_topic();
    if (!t)
        return;
    struct partition *p = t->partitions[draw(3) ? 0 : draw(t->partition_count)];
    if (draw(4)) {
        produce(p, NULL, NULL);
        return;
    }
    struct producer *pr = &sim.producers[draw(PRODUCERS)];
    struct topic *mine = NULL;
    struct model_topic *mt = pr->topic ? model_topic(&sim.model, pr->topic) : NULL;
    if (mt)
        mine = catalog_find(sim.rig.store, bytes_of(mt->name));
    if (!mine || mine->id != pr->topic || draw(50) == 0) {
        *pr = (struct producer){ .id = store_producer_id(sim.rig.store),
                                 .topic = t->id,
                                 .partition = partition_number(p) };
        mine = t;
    }
    p = mine->partitions[pr->partition];
    if (pr->sent_count && draw(3) == 0)
        produce(p, pr, &pr->sent[draw(pr->sent_count)]);
    else
        produce(p, pr, NULL);
}

/* After a crash a producer sends again what came back no more. */
static void producers_after_crash(void)
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct producer *pr = &sim.producers[i];
        struct model_topic *mt = pr->topic ? model_topic(&sim.model, pr->topic) : NULL;
        if (!mt || pr->partition >= mt->versions[0].partitions) {
            pr->topic = 0;
            continue;
        }
        const struct model_partition *mp = &mt->partitions[pr->partition];
        while (pr->sent_count) {
            const struct model_batch *last = &pr->sent[pr->sent_count - 1];
            const struct model_batch *b = model_find(mp, last->base);
            if (b && b->nonce == last->nonce)
                break;
            pr->next = last->first_sequence;
            pr->sent_count--;
        }
        /* More was lost than the producer remembers: it starts anew. */
        if (!pr->sent_count)
            pr->topic = 0;
    }
}

/* ---- the catalogue ---- */

static void do_catalog(void)
{
    char why[256], name[16], text[32];
    struct store *store = sim.rig.store;
    if (store_accepts(store, why) == ERR_STORAGE_FAILED || !sim_room(JOURNAL_RESERVED, CATALOG_CHANGE_BYTES))
        return;
    struct topic *t = any_topic();
    struct model_topic *mt = t ? model_topic(&sim.model, t->id) : NULL;
    uint64_t kind = draw(10);
    if (!t || kind < 3) {
        snprintf(name, sizeof(name), "t%llu", (unsigned long long)draw(5));
        if (catalog_find(store, bytes_of(name)))
            return;
        snprintf(text, sizeof(text), "%lld", (long long)++sim.model.mark);
        struct bytes names[] = { bytes_of("message.timestamp.after.max.ms"), bytes_of("retention.bytes"),
                                 bytes_of("message.timestamp.type") };
        struct bytes values[] = { bytes_of(text), bytes_of(draw(2) ? "100000" : "-1"),
                                  bytes_of(draw(4) ? "CreateTime" : "LogAppendTime") };
        cr_assert_eq(catalog_create(store, bytes_of(name), 1 + (uint32_t)draw(3), names, values, 3, &t, why),
                     ERR_OK, "%s", why);
        model_create(&sim.model, t, store_sequence(store));
    } else if (kind < 6) {
        if (!model_may_change(mt))
            return;
        snprintf(text, sizeof(text), "%lld", (long long)++sim.model.mark);
        struct bytes n = bytes_of("message.timestamp.after.max.ms"), v = bytes_of(text);
        cr_assert_eq(catalog_set(store, t, &n, &v, 1, why), ERR_OK, "%s", why);
        model_change(mt, t, store_sequence(store));
    } else if (kind < 8) {
        if (t->partition_count == MODEL_PARTITIONS || !model_may_change(mt))
            return;
        cr_assert_eq(catalog_add_partitions(store, t, t->partition_count + 1, why), ERR_OK, "%s", why);
        model_change(mt, t, store_sequence(store));
    } else {
        uint64_t sequence = store_sequence(store);
        cr_assert_eq(catalog_delete(store, t, why), ERR_OK, "%s", why);
        model_delete(mt, sequence);
    }
}

/* ---- read ---- */

static void reader_stop(struct sim_reader *r)
{
    if (r->slice.pin)
        cr_assert_eq(crc32c(0, r->slice.data, r->slice.bytes), r->slice_crc, "a lent slice changed");
    slice_release(sim.rig.store, &r->slice);
    if (r->topic)
        topic_release(sim.rig.store, r->topic);
    r->topic = NULL;
}

static void reader_take(struct sim_reader *r, uint64_t from)
{
    if (!r->topic->deleted) {
        uint64_t next = model_check_slice(&sim.model, r->partition, r->slice.data, r->slice.bytes, from,
                                          store_durable_sequence(sim.rig.store));
        cr_assert_eq(next, r->cursor.offset);
    }
    sim.read++;
    r->slice_crc = crc32c(0, r->slice.data, r->slice.bytes);
}

static void reader_history_done(struct history_read *read)
{
    struct sim_reader *r = CONTAINER_OF(read, struct sim_reader, history);
    r->waiting = false;
    if (read->error == ERR_OK) {
        uint64_t from = r->cursor.offset;
        r->slice = read->slice;
        r->cursor = (struct cursor){ .offset = read->next_offset };
        reader_take(r, from);
        return;
    }
    bool went = r->topic->deleted || r->cursor.offset < partition_start(r->partition);
    cr_assert(went || sim.fault || io_sim_dead(), "%s/%u: offset %llu of [%llu, %llu) cannot be read: %d %s",
              r->topic->name, partition_number(r->partition), (unsigned long long)r->cursor.offset,
              (unsigned long long)partition_start(r->partition),
              (unsigned long long)partition_end(r->partition), read->error, read->read.why);
    cr_assert(read->error != ERR_SEGMENT_CORRUPT || r->topic->deleted, "%s", read->read.why);
    reader_stop(r);
}

static void do_read(struct sim_reader *r)
{
    if (r->waiting)
        return;
    if (r->topic && draw(20) == 0) {
        reader_stop(r);
        return;
    }
    if (!r->topic) {
        struct topic *t = any_topic();
        if (!t)
            return;
        topic_hold(t);
        r->topic = t;
        r->partition = t->partitions[draw(t->partition_count)];
        uint64_t start = partition_start(r->partition), end = partition_end(r->partition);
        r->cursor = (struct cursor){ .offset = start + draw(end - start + 1) };
    }
    if (r->slice.pin) {
        cr_assert_eq(crc32c(0, r->slice.data, r->slice.bytes), r->slice_crc, "a lent slice changed");
        slice_release(sim.rig.store, &r->slice);
    }
    uint64_t from = r->cursor.offset;
    switch (partition_read(r->partition, &r->cursor, 1 + (uint32_t)draw(100000), &r->slice)) {
    case READ_DATA:
        reader_take(r, from);
        return;
    case READ_HISTORY:
        r->waiting = true;
        history_start(&r->history, r->partition, r->cursor.offset, 1 + (uint32_t)draw(100000),
                      reader_history_done);
        return;
    case READ_END:
    case READ_BELOW:
    case READ_GONE:
        reader_stop(r);
        return;
    case READ_ABOVE:
        cr_assert_fail("offset %llu is above the end", (unsigned long long)r->cursor.offset);
    }
}

static void lookup_done(struct time_lookup *lookup)
{
    struct lookup *l = CONTAINER_OF(lookup, struct lookup, lookup);
    l->done = true;
    cr_assert(lookup->error == ERR_OK || l->topic->deleted || sim.fault || io_sim_dead(),
              "a time cannot be looked up: %s", lookup->why);
}

static void lookup_check(struct lookup *l)
{
    struct time_lookup *t = &l->lookup;
    struct model_topic *mt = model_topic(&sim.model, l->topic->id);
    if (l->topic->deleted || !mt || l->start != partition_start(t->partition))
        return;
    if (t->error != ERR_OK)
        return;
    const struct model_partition *mp = &mt->partitions[partition_number(t->partition)];
    uint64_t expected = l->durable;
    for (uint32_t i = 0; i < mp->count; i++) {
        const struct model_batch *b = &mp->batches[i];
        if (b->base >= l->start && b->base < l->durable && b->timestamp_ms >= t->timestamp_ms) {
            expected = b->base;
            break;
        }
    }
    /* What became durable meanwhile may be found, when nothing before it is late enough. */
    bool later =
        expected == l->durable && t->offset >= l->durable && t->offset <= partition_end(t->partition);
    cr_assert(t->offset == expected || later, "time %lld in %s/%u [%llu, %llu): found %llu, expected %llu",
              (long long)t->timestamp_ms, l->topic->name, partition_number(t->partition),
              (unsigned long long)l->start, (unsigned long long)l->durable, (unsigned long long)t->offset,
              (unsigned long long)expected);
}

static void do_lookup(struct lookup *l)
{
    if (l->topic) {
        if (!l->done)
            return;
        lookup_check(l);
        topic_release(sim.rig.store, l->topic);
        l->topic = NULL;
    }
    struct topic *t = any_topic();
    if (!t)
        return;
    struct partition *p = t->partitions[draw(t->partition_count)];
    topic_hold(t);
    l->topic = t;
    l->done = false;
    l->durable = partition_end(p);
    l->start = partition_start(p);
    time_lookup_start(&l->lookup, p, sim.rig.clock.wall_ms - (int64_t)draw(12000), lookup_done);
}

/* ---- work ---- */

static void starts_seen(void)
{
    struct bytes after = { 0 };
    for (struct topic *t; (t = catalog_next(sim.rig.store, after));) {
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
        struct model_topic *mt = t->internal ? NULL : model_topic(&sim.model, t->id);
        for (uint32_t n = 0; mt && n < t->partition_count; n++) {
            struct model_partition *mp = &mt->partitions[n];
            uint64_t start = partition_start(t->partitions[n]);
            if (start == mp->start)
                continue;
            cr_assert_gt(start, mp->start);
            mp->start = mp->start_pending = start;
            mp->start_sequence = store_sequence(sim.rig.store);
        }
    }
}

static void work_turn(void)
{
    for (uint64_t n = draw(2 + sim.busy); n > 0; n--)
        if (sim.trickle == 0 || draw(1 + sim.trickle) == 0)
            do_produce();
    if (draw(25) == 0)
        do_catalog();
    for (uint32_t i = 0; i < READERS; i++)
        if (draw(3) == 0)
            do_read(&sim.readers[i]);
    for (uint32_t i = 0; i < LOOKUPS; i++)
        if (draw(10) == 0)
            do_lookup(&sim.lookups[i]);
    sim_turn(draw(20) == 0 ? 1200000000 : draw(4) == 0 ? 5000000 : 300000);
    starts_seen();
}

/* ---- faults ---- */

static void fault_begin(void)
{
    static const char *const paths[] = { ".log", ".log", ".index", "checkpoint", "topics", "trash" };
    static const enum io_sim_op ops[] = { IO_SIM_WRITE,    IO_SIM_WRITE, IO_SIM_SYNC, IO_SIM_ALLOCATE,
                                          IO_SIM_TRUNCATE, IO_SIM_NAME,  IO_SIM_OPEN, IO_SIM_SYNC_DIR };
    sim.fault = true;
    uint64_t kind = draw(8);
    if (kind < 3) {
        io_sim_set_capacity(io_sim_used() + draw(3) * draw(200000));
        sim.full = true;
    } else {
        io_sim_fail(&(struct io_sim_fault){
            .op = ops[draw(ARRAY_LEN(ops))],
            .nth = 1 + draw(12),
            .error = draw(3) ? EIO : ENOSPC,
            .for_ever = draw(4) == 0,
            .path = kind == 7 && draw(3) == 0 ? ".journal" : paths[draw(ARRAY_LEN(paths))] });
    }
}

static void fault_end(void)
{
    io_sim_heal();
    io_sim_set_capacity((uint64_t)1 << 40);
    sim.full = false;
}

static struct topic *fenced_topic(void)
{
    struct bytes after = { 0 };
    for (struct topic *t; (t = catalog_next(sim.rig.store, after));) {
        for (uint32_t n = 0; n < t->partition_count; n++)
            if (partition_fenced(t->partitions[n]))
                return t;
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
    }
    return NULL;
}

/* After the faults: within some seconds everything works again. */
static void fault_over(void)
{
    fault_end();
    char why[256];
    for (int turn = 0; turn < STALL_TURNS && !io_sim_dead() && !sim.rig.failed; turn++) {
        struct topic *t = fenced_topic();
        bool ready = store_accepts(sim.rig.store, why) == ERR_OK &&
                     store_room(sim.rig.store, JOURNAL_NORMAL, 1, sim.batch_max);
        if (ready && !t) {
            sim.fault = false;
            return;
        }
        sim_turn(10000000);
        cr_assert_lt(turn, STALL_TURNS - 1, "the store does not recover from a fault: %s", why);
    }
}

/* ---- after a crash ---- */

/* Reads a partition from start to end; returns a checksum of all its bytes. */
static uint32_t check_partition(struct partition *p)
{
    uint32_t crc = 0;
    struct sim_reader r = { .partition = p, .cursor = { .offset = partition_start(p) } };
    r.topic = partition_topic(p);
    for (;;) {
        uint64_t from = r.cursor.offset;
        enum read_result result = partition_read(p, &r.cursor, 200000, &r.slice);
        if (result == READ_END)
            return crc;
        if (result == READ_HISTORY) {
            struct lookup wait = { 0 };
            (void)wait;
            r.waiting = true;
            struct sim_reader *h = &sim.readers[0];
            *h = r;
            history_start(&h->history, p, from, 200000, reader_history_done);
            while (h->waiting)
                sim_turn(10000000);
            cr_assert(h->slice.pin || io_sim_dead(), "%s/%u: offset %llu cannot be read: %s", r.topic->name,
                      partition_number(p), (unsigned long long)from, h->history.read.why);
            r.cursor = h->cursor;
            r.slice = h->slice;
            memset(h, 0, sizeof(*h));
        } else {
            cr_assert_eq(result, READ_DATA);
            reader_take(&r, from);
        }
        crc = crc32c(crc, r.slice.data, r.slice.bytes);
        slice_release(sim.rig.store, &r.slice);
    }
}

/* A checksum of everything that a reader could see. */
static uint32_t check_all(bool bytes)
{
    uint32_t crc = 0;
    struct bytes after = { 0 };
    for (struct topic *t; (t = catalog_next(sim.rig.store, after));) {
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
        crc = crc32c(crc, t->name, t->name_len);
        crc = crc32c(crc, &t->id, sizeof(t->id));
        crc = crc32c(crc, &t->settings, sizeof(t->settings));
        for (uint32_t n = 0; n < t->partition_count; n++) {
            struct partition *p = t->partitions[n];
            uint64_t range[] = { partition_start(p), partition_end(p), n };
            crc = crc32c(crc, range, sizeof(range));
            if (bytes && !t->internal) {
                uint32_t content = check_partition(p);
                crc = crc32c(crc, &content, sizeof(content));
            }
        }
    }
    return crc;
}

static void judge(void)
{
    const struct model_found found = { sim.rig.store, sim.durable };
    model_judge(&sim.model, &found);
    sim.durable = store_durable_sequence(sim.rig.store);
    producers_after_crash();
}

static void recover(void)
{
    int result = sim_open();
    cr_assert_eq(result, 0, "recovery refuses: %d %s", result, sim.rig.why);
    judge();
    sim.restarts++;
}

/* Recoveries that the next crash interrupts. */
static void recover_in_vain(void)
{
    for (uint64_t n = draw(4); n > 0; n--) {
        uint64_t step = 1 + draw(draw(2) ? 40 : 12), random = draw(1 << 30);
        if (draw(3))
            io_sim_crash_at(step, random, (enum io_sim_mode)draw(4));
        else
            io_sim_kill_at(step, random);
        if (sim_open() == 0) {
            if (!io_sim_dead()) {
                judge();
                io_sim_crash(random, IO_SIM_RANDOM);
            }
            sim_close();
        } else {
            cr_assert(io_sim_dead(), "recovery refuses: %s", sim.rig.why);
        }
        io_sim_restart();
    }
}

/* One image recovered twice, crashes on the way, comes out the same. */
static void recover_again(void)
{
    io_sim_settle();
    struct io_sim_image *image = io_sim_snapshot();
    recover();
    uint32_t first = check_all(false);
    io_sim_crash(draw(1000000), IO_SIM_NONE);
    sim_close();
    io_sim_restore(image);
    io_sim_image_free(image);
    recover_in_vain();
    recover();
    cr_assert_eq(check_all(false), first, "two recoveries of one image differ");
}

/* ---- a life ---- */

static void process_run(void)
{
    uint64_t turns = 20 + draw(draw(3) ? 150 : 500), random = draw(1 << 30);
    enum io_sim_mode mode = (enum io_sim_mode)draw(4);
    uint64_t ending = draw(10);
    if (ending < 4)
        io_sim_crash_at(1 + draw(600), random, mode);
    else if (ending < 6)
        io_sim_kill_at(1 + draw(600), random);
    uint64_t fault_at = draw(3) ? UINT64_MAX : draw(turns), fault_for = draw(100);
    for (uint64_t turn = 0; turn < turns && !io_sim_dead() && !sim.rig.failed; turn++) {
        if (turn == fault_at)
            fault_begin();
        if (fault_at != UINT64_MAX && turn == fault_at + fault_for)
            fault_over();
        work_turn();
    }
    if (sim.rig.failed && !io_sim_dead())
        for (int turn = 0; turn < 20 && !io_sim_dead(); turn++)
            work_turn();
    if (ending < 9 || sim.fault) {
        sim.crashes++;
        if (!io_sim_dead()) {
            if (ending % 2)
                io_sim_crash(random, mode);
            else
                io_sim_kill(random);
        }
    }
    sim_close();
    fault_end();
    sim.fault = false;
    io_sim_restart();
}

static void life(uint64_t seed)
{
    uint64_t kept[] = { sim.crashes, sim.appended, sim.lost, sim.read, sim.restarts, sim.refused };
    memset(&sim, 0, sizeof(sim));
    sim.crashes = kept[0];
    sim.appended = kept[1];
    sim.read = kept[3];
    sim.restarts = kept[4];
    sim.refused = kept[5];
    sim.seed = seed;
    sim.random = seed * 0x9e3779b97f4a7c15u + 1;
    snprintf(seed_text, sizeof(seed_text), "RUNNEL_SIM_SEED=%llu failed\n", (unsigned long long)seed);
    io_sim_start(&(struct io_sim_options){ .seed = seed,
                                           .sector_bytes = seed % 2 ? 512 : 4096,
                                           .writeback_percent = (uint32_t)(seed % 3 * 20),
                                           .loose_names = seed % 5 == 0,
                                           .no_direct = seed % 7 == 0 });
    rig_init(&sim.rig, "/data");
    sim_options();
    model_init(&sim.model);
    cr_assert_eq(sim_open(), 0, "%s", sim.rig.why);
    for (uint64_t processes = 2 + draw(5); processes > 0; processes--) {
        process_run();
        uint64_t how = draw(4);
        if (how == 0)
            recover_in_vain();
        if (how == 1)
            recover_again();
        else
            recover();
        check_all(true);
    }
    sim_close();
    io_sim_restart();
    recover();
    check_all(true);
    sim_close();
    model_free(&sim.model);
    io_sim_end();
    seed_text[0] = 0;
}

Test(store_sim, work_faults_and_crashes, .timeout = 0)
{
    const struct effort_seeds seeds = effort_seeds(400, 200, 20000);
    if (seeds.end - seeds.first > 1)
        diag_set_level(DIAG_ERROR + 1);
    signal(SIGABRT, tell_seed);
    signal(SIGSEGV, tell_seed);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++)
        life(seed);
    fprintf(stderr, "%llu crashes, %llu batches, %llu reads, %llu recoveries, %llu without room\n",
            (unsigned long long)sim.crashes, (unsigned long long)sim.appended, (unsigned long long)sim.read,
            (unsigned long long)sim.restarts, (unsigned long long)sim.refused);
}
