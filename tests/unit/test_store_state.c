/* SPDX-License-Identifier: Apache-2.0
 *
 * What other rooms remember (partition/state.h): a ledger that notes numbers, on a simulated disk, with the
 * power cut at every step. After each cut the ledger stands as after some prefix of what was appended: at
 * least everything that was reported durable, each record once and in order, and never ahead of an event that
 * was in the same commit.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "effort.h"
#include "io_sim.h"
#include "partition/state.h"
#include "store_rig.h"

enum { LEDGER_MAX = 1 << 16 };

/* The ledger's memory, lost with the process: a chain over its records. */
struct ledger {
    uint64_t count, chain;
    uint64_t loads, replays, saved; /* of this start; count in the snapshot */
    bool snapshot;
};

static struct sim {
    struct rig rig;
    struct ledger ledger;
    struct store_state state;
    uint64_t random;
    /* outlives the process: */
    uint64_t chain[LEDGER_MAX + 1], sequence[LEDGER_MAX + 1]; /* after so many records */
    uint64_t count, durable;
    uint64_t from_snapshot, replayed;
} sim;

static uint64_t chained(uint64_t chain, uint64_t value)
{
    return (chain ^ value) * 0x9e3779b97f4a7c15u + 1;
}

static int ledger_load(void *ctx, const uint8_t *body, uint64_t bytes, char *why)
{
    struct ledger *l = ctx;
    (void)why;
    cr_assert_eq(l->loads++, 0, "a snapshot is given once");
    cr_assert_eq(l->replays, 0, "and first");
    cr_assert_eq(bytes % 16, 0);
    memcpy(&l->count, body, 8);
    memcpy(&l->chain, body + 8, 8);
    l->snapshot = true;
    sim.from_snapshot++;
    return 0;
}

static int ledger_replay(void *ctx, const struct record *record, char *why)
{
    struct ledger *l = ctx;
    uint64_t value;
    (void)why;
    cr_assert_eq(record->value.len, 8);
    memcpy(&value, record->value.at, 8);
    cr_assert_eq((uint64_t)record->offset, l->count, "each record once, in order");
    l->chain = chained(l->chain, value);
    l->count++;
    l->replays++;
    sim.replayed++;
    return 0;
}

/* Padded, so that snapshots of several writes are met. */
static void ledger_save(void *ctx, struct state_sink *sink)
{
    static const uint8_t padding[64 << 10];
    const struct ledger *l = ctx;
    state_write(sink, &l->count, 8);
    state_write(sink, &l->chain, 8);
    state_write(sink, padding, (uint32_t)(l->count % 16) * 4096);
}

static bool sim_open(void)
{
    memset(&sim.ledger, 0, sizeof(sim.ledger));
    sim.rig.failed = false;
    io_sim_clock(&sim.rig.clock);
    int result = rig_open(&sim.rig);
    cr_assert(result == 0 || io_sim_dead(), "%s", sim.rig.why);
    return result == 0;
}

static void sim_start(uint64_t seed)
{
    memset(&sim, 0, sizeof(sim));
    sim.random = seed;
    diag_set_level(DIAG_ERROR + 1);
    io_sim_start(&(struct io_sim_options){ .seed = seed });
    rig_init(&sim.rig, "/data");
    sim.state = (struct store_state){ .topic = "__ledger",
                                      .number = 3,
                                      .ctx = &sim.ledger,
                                      .load = ledger_load,
                                      .replay = ledger_replay,
                                      .save = ledger_save };
    sim.rig.options.states = &sim.state;
    sim.rig.options.state_count = 1;
    /* A small journal: checkpoints come often. */
    sim.rig.options.batch_bytes_max = 8 << 10;
    sim.rig.options.request_bytes_max = 16 << 10;
    sim.rig.options.journal_group_bytes = 4096;
    sim.rig.options.journal_file_bytes = 256 << 10;
    sim.rig.options.journal_files_max = 3;
    sim.rig.options.topic_defaults.max_message_bytes = 8 << 10;
}

/* Appends records, and for each an event to the topic `pairs` in the same commit. */
static void ledger_note(uint32_t records)
{
    struct rig *rig = &sim.rig;
    uint8_t buffer[2][8 << 10];
    struct batch_builder builder;
    struct batch batch;
    struct append_result result;
    struct topic *pairs = catalog_find(rig->store, bytes_of("pairs"));
    if (sim.count + records > LEDGER_MAX || !store_room(rig->store, JOURNAL_NORMAL, 2, sizeof(buffer)))
        return;
    uint64_t value = 0;
    for (int b = 0; b < 2; b++) {
        batch_build_start(&builder, buffer[b], sizeof(buffer[b]));
        for (uint32_t i = 0; i < records; i++) {
            value = sim.count + i + 7;
            cr_assert(batch_build_add(&builder, rig->clock.wall_ms, bytes_of("key"),
                                      (struct bytes){ (const uint8_t *)&value, 8 }, NULL, 0));
        }
        cr_assert(batch_decode(&batch, buffer[b], batch_build_finish(&builder, -1, -1, -1)));
        partition_append(b ? store_state_partition(rig->store, 0) : pairs->partitions[0], &batch, &result);
        cr_assert_eq(result.base_offset, sim.count);
    }
    for (uint32_t i = 0; i < records; i++) {
        sim.ledger.chain = chained(sim.ledger.chain, sim.count + 7);
        sim.ledger.count = ++sim.count;
        sim.chain[sim.count] = sim.ledger.chain;
        sim.sequence[sim.count] = result.sequence;
    }
}

static void sim_work(uint32_t turns)
{
    for (uint32_t i = 0; i < turns && !io_sim_dead() && !sim.rig.failed; i++) {
        if (catalog_find(sim.rig.store, bytes_of("pairs")))
            ledger_note(1 + (uint32_t)io_sim_random(&sim.random, 60));
        else
            rig_topic(&sim.rig, "pairs", 1);
        rig_turn(&sim.rig);
        if (sim.rig.durable_sequence > sim.durable)
            sim.durable = sim.rig.durable_sequence;
    }
}

/* What is there is what was, up to some record. */
static void sim_judge(void)
{
    const struct partition *p = store_state_partition(sim.rig.store, 0);
    struct topic *pairs = catalog_find(sim.rig.store, bytes_of("pairs"));
    uint64_t count = sim.ledger.count;
    cr_assert_leq(count, sim.count);
    cr_assert_eq(partition_end(p), count, "the state has %llu records, the topic %llu",
                 (unsigned long long)count, (unsigned long long)partition_end(p));
    cr_assert(count == 0 || sim.ledger.chain == sim.chain[count], "other records than were appended");
    cr_assert(count == sim.count || sim.sequence[count + 1] > sim.durable, "a durable record is missing");
    cr_assert_eq(pairs ? partition_end(pairs->partitions[0]) : 0, count,
                 "what was in one commit is not there together");
    sim.count = count;
    sim.durable = 0;
}

/* The life that a step of is cut: two processes, with checkpoints in both. */
static uint64_t sim_life(uint64_t seed, uint64_t step, enum io_sim_mode mode)
{
    sim_start(seed);
    io_sim_crash_at(step, seed + step, mode);
    if (sim_open()) {
        sim_work(260);
        rig_close(&sim.rig);
        if (!io_sim_dead() && sim_open()) {
            sim_judge();
            sim_work(120);
            if (!io_sim_dead())
                io_sim_crash(seed, mode);
            rig_close(&sim.rig);
        }
    }
    const uint64_t steps = io_sim_steps();
    io_sim_restart();
    cr_assert(sim_open());
    sim_judge();
    /* And it goes on. */
    sim_work(20);
    rig_settle(&sim.rig);
    cr_assert_eq(partition_end(store_state_partition(sim.rig.store, 0)), sim.count);
    rig_close(&sim.rig);
    io_sim_end();
    return steps;
}

Test(store_state, survives_a_cut_at_every_step, .timeout = 0)
{
    uint64_t snapshots = 0, replayed = 0;
    const uint64_t steps = sim_life(1, 0, IO_SIM_NONE);
    const uint64_t stride = effort(1 + steps / 300, 1 + steps / 150, 1);
    for (uint64_t step = 1; step <= steps; step += stride) {
        sim_life(1 + step % 5, step, (enum io_sim_mode)(step % 4));
        snapshots += sim.from_snapshot;
        replayed += sim.replayed;
    }
    fprintf(stderr, "%llu steps, %llu snapshots, %llu records replayed\n", (unsigned long long)steps,
            (unsigned long long)snapshots, (unsigned long long)replayed);
    cr_assert_gt(snapshots, 100, "the test meets no snapshots");
    cr_assert_gt(replayed, 1000);
}

Test(store_state, has_an_id_of_its_own_and_no_users_topic_gets_it)
{
    sim_start(1);
    cr_assert(sim_open());
    const struct topic *t = partition_topic(store_state_partition(sim.rig.store, 0));
    cr_assert_eq(t->id, 0xffffff03u);
    cr_assert(t->internal);
    cr_assert_eq(t->settings.retention_bytes, STATE_RETENTION_BYTES);
    cr_assert_eq(catalog_by_id(sim.rig.store, t->id), t);
    cr_assert_null(catalog_by_id(sim.rig.store, 0xffffff04u));
    const uint64_t version = catalog_version(sim.rig.store), next = catalog_next_id(sim.rig.store);
    cr_assert_eq(rig_topic(&sim.rig, "one", 1)->id, next);
    cr_assert_gt(catalog_version(sim.rig.store), version);
    rig_close(&sim.rig);
    io_sim_end();
}

/* The internal topics shrink; the state stays. */
Test(store_state, topic_is_kept_by_size)
{
    sim_start(3);
    cr_assert(sim_open());
    sim_work(1);
    struct topic *t = partition_topic(store_state_partition(sim.rig.store, 0));
    t->settings.segment_bytes = 65536;
    t->settings.retention_bytes = 131072;
    const struct partition *p = t->partitions[0];
    for (int i = 0; i < 4000 && partition_start(p) == 0; i++) {
        ledger_note(60);
        rig_turn(&sim.rig);
        io_sim_advance(20000000);
    }
    cr_assert_gt(partition_start(p), 0, "nothing is ever deleted");
    rig_settle(&sim.rig);
    const uint64_t count = sim.ledger.count;
    rig_close(&sim.rig);
    cr_assert(sim_open());
    cr_assert_eq(sim.ledger.count, count);
    cr_assert_eq(sim.ledger.chain, sim.chain[count]);
    rig_close(&sim.rig);
    io_sim_end();
}

/* A snapshot that nobody knows any more is not silently dropped. */
Test(store_state, unknown_state_is_refused_by_name)
{
    sim_start(4);
    cr_assert(sim_open());
    sim_work(400);
    cr_assert_gt(store_stats(sim.rig.store)->checkpoints, 0);
    rig_close(&sim.rig);
    sim.rig.options.state_count = 0;
    io_sim_clock(&sim.rig.clock);
    cr_assert_neq(rig_open(&sim.rig), 0);
    cr_assert(strstr(sim.rig.why, "__ledger"), "%s", sim.rig.why);
    io_sim_end();
}
