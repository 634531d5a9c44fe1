/* SPDX-License-Identifier: Apache-2.0 */
#include "store_script.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"

enum { STALL_TURNS = 20000 };

void script_begin(struct script *s, uint64_t seed)
{
    char doing[sizeof(s->doing)];
    memcpy(doing, s->doing, sizeof(doing));
    memset(s, 0, sizeof(*s));
    memcpy(s->doing, doing, sizeof(doing));
    s->random = seed * 0x9e3779b97f4a7c15u + 1;
    io_sim_start(&(struct io_sim_options){ .seed = seed, .no_direct = seed % 5 == 4 });
    diag_set_level(DIAG_ERROR + 1);
    rig_init(&s->rig, "/data");
    model_init(&s->model);
    struct store_options *o = &s->rig.options;
    o->batch_bytes_max = 16 << 10;
    o->request_bytes_max = 24 << 10;
    o->tail_bytes_max = 128 << 10;
    o->journal_group_bytes = 4096;
    o->journal_file_bytes = 224 << 10;
    o->journal_files_max = 3;
    o->topic_defaults.max_message_bytes = 16 << 10;
    o->topic_defaults.segment_bytes = 40 << 10;
}

void script_end(struct script *s)
{
    model_free(&s->model);
    io_sim_end();
}

int script_open(struct script *s)
{
    io_sim_clock(&s->rig.clock);
    s->rig.failed = false;
    return rig_open(&s->rig);
}

void script_turn(struct script *s)
{
    struct rig *rig = &s->rig;
    clock_update(&rig->clock);
    uint64_t wait = timers_wait(rig->timers, rig->clock.mono_ns);
    io_turn(rig->io, wait < 300000 ? wait : 300000, true);
    clock_update(&rig->clock);
    work_collect(rig->work);
    timers_fire(rig->timers, rig->clock.mono_ns);
    store_turn_end(rig->store);
    if (rig->durable_sequence > s->durable)
        s->durable = rig->durable_sequence;
    model_settle(&s->model, s->durable);
}

struct topic *script_topic(struct script *s, const char *name, uint32_t partitions)
{
    char why[256];
    struct topic *t;
    struct store *store = s->rig.store;
    if (s->rig.failed || io_sim_dead() || !store_room(store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
        return NULL;
    char mark[24];
    snprintf(mark, sizeof(mark), "%lld", (long long)++s->model.mark);
    struct bytes n = bytes_of("message.timestamp.after.max.ms"), v = bytes_of(mark);
    cr_assert_eq(catalog_create(store, bytes_of(name), partitions, &n, &v, 1, &t, why), ERR_OK, "%s: %s",
                 s->doing, why);
    model_create(&s->model, t, store_sequence(store));
    return t;
}

bool script_append(struct script *s, struct partition *p, uint32_t count, uint32_t value_bytes)
{
    static uint8_t buffer[65536];
    char why[256];
    struct batch batch;
    struct append_result result;
    struct store *store = s->rig.store;
    uint32_t bytes = model_build(buffer, sizeof(buffer), ++s->model.nonce, count, value_bytes,
                                 s->rig.clock.wall_ms, -1, -1);
    cr_assert_eq(batch_check(&batch, buffer, bytes, why), ERR_OK);
    if (io_sim_dead() || store_accepts(store, why) != ERR_OK ||
        !store_room(store, JOURNAL_NORMAL, 1, bytes) || partition_check(p, &batch, why) != ERR_OK)
        return false;
    partition_append(p, &batch, &result);
    model_append(&s->model, p, buffer, bytes, &result, store_leader_epoch(store), s->rig.clock.wall_ms);
    return true;
}

static struct topic *script_next(struct script *s, const struct topic *after)
{
    struct bytes name = { 0 };
    if (after)
        name = (struct bytes){ (const uint8_t *)after->name, after->name_len };
    struct topic *t = catalog_next(s->rig.store, name);
    return t && t->internal ? script_next(s, t) : t;
}

void script_work(struct script *s, uint32_t turns)
{
    for (uint32_t i = 0; i < turns && !io_sim_dead() && !s->rig.failed; i++) {
        struct topic *t = script_next(s, NULL);
        if (t && io_sim_random(&s->random, 2) && script_next(s, t))
            t = script_next(s, t);
        uint32_t most = io_sim_random(&s->random, 8) ? 600 : 3000;
        if (t)
            script_append(s, t->partitions[io_sim_random(&s->random, t->partition_count)],
                          1 + (uint32_t)io_sim_random(&s->random, 4),
                          1 + (uint32_t)io_sim_random(&s->random, most));
        script_turn(s);
    }
}

static const char *script_ails(struct script *s)
{
    char why[256];
    for (struct topic *t = NULL; (t = script_next(s, t));)
        for (uint32_t n = 0; n < t->partition_count; n++)
            if (partition_fenced(t->partitions[n]))
                return "a partition stays fenced";
    if (store_accepts(s->rig.store, why) != ERR_OK)
        return "nothing is accepted";
    if (!store_room(s->rig.store, JOURNAL_NORMAL, 1, s->rig.options.batch_bytes_max))
        return "there is no room";
    return NULL;
}

void script_heal(struct script *s)
{
    const char *what = script_ails(s);
    for (int turn = 0; what && !io_sim_dead() && !s->rig.failed; turn++) {
        io_sim_advance(5000000);
        script_turn(s);
        what = script_ails(s);
        cr_assert(!what || turn < STALL_TURNS, "%s: %s", s->doing, what);
    }
}

void script_settle(struct script *s)
{
    uint64_t sequence = store_sequence(s->rig.store) - 1;
    for (int turn = 0;
         !io_sim_dead() && !s->rig.failed && (turn < 2 || s->durable < sequence || store_busy(s->rig.store));
         turn++) {
        script_turn(s);
        cr_assert_lt(turn, STALL_TURNS, "%s: the store does not come to rest", s->doing);
    }
}

struct waiting {
    struct history_read read;
    bool done;
};

static void script_read_done(struct history_read *read)
{
    CONTAINER_OF(read, struct waiting, read)->done = true;
}

const char *script_try_read(struct script *s, struct partition *p, uint64_t offset)
{
    static struct waiting w;
    struct cursor cursor = { .offset = offset };
    struct slice slice = { 0 };
    if (partition_read(p, &cursor, 1, &slice) == READ_HISTORY) {
        w = (struct waiting){ 0 };
        history_start(&w.read, p, offset, 1, script_read_done);
        for (int i = 0; !w.done; i++) {
            script_turn(s);
            cr_assert_lt(i, STALL_TURNS, "%s: a read hangs", s->doing);
        }
        if (w.read.error)
            return w.read.read.why;
        slice = w.read.slice;
    }
    slice_release(s->rig.store, &slice);
    return NULL;
}

static void script_read(struct script *s, struct partition *p)
{
    struct cursor cursor = { .offset = partition_start(p) };
    for (;;) {
        struct slice slice = { 0 };
        uint64_t from = cursor.offset;
        enum read_result result = partition_read(p, &cursor, 30000, &slice);
        if (result == READ_END)
            return;
        if (result == READ_HISTORY) {
            static struct waiting w;
            w = (struct waiting){ 0 };
            history_start(&w.read, p, from, 30000, script_read_done);
            for (int i = 0; !w.done; i++) {
                script_turn(s);
                cr_assert_lt(i, STALL_TURNS, "%s: a read hangs", s->doing);
            }
            if (io_sim_dead())
                return;
            cr_assert_eq(w.read.error, ERR_OK, "%s: offset %llu of %s/%u: %s", s->doing,
                         (unsigned long long)from, partition_topic(p)->name, partition_number(p),
                         w.read.read.why);
            slice = w.read.slice;
            cursor = (struct cursor){ .offset = w.read.next_offset };
            result = READ_DATA;
        }
        cr_assert_eq(result, READ_DATA, "%s: offset %llu: %d", s->doing, (unsigned long long)from, result);
        cr_assert_eq(model_check_slice(&s->model, p, slice.data, slice.bytes, from, UINT64_MAX),
                     cursor.offset, "%s", s->doing);
        slice_release(s->rig.store, &slice);
    }
}

void script_read_all(struct script *s)
{
    for (struct topic *t = NULL; (t = script_next(s, t));)
        for (uint32_t n = 0; n < t->partition_count && !io_sim_dead(); n++)
            script_read(s, t->partitions[n]);
}

void script_crash(struct script *s, enum io_sim_mode mode)
{
    if (!io_sim_dead())
        io_sim_crash(io_sim_random(&s->random, 1 << 20), mode);
    rig_close(&s->rig);
    io_sim_restart();
    cr_assert_eq(script_open(s), 0, "%s: recovery refuses: %s", s->doing, s->rig.why);
    const struct model_found found = { s->rig.store, s->durable };
    model_judge(&s->model, &found);
    s->durable = store_durable_sequence(s->rig.store);
}
