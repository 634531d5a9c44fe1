/* SPDX-License-Identifier: Apache-2.0
 *
 * The partition room on real files: order, reading, restarts, many turns of a small journal, retention,
 * deletion, duplicates.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "store_rig.h"

static struct rig rig;
static char dir[256];

static void setup(void)
{
    rig_temp_dir(dir);
    rig_init(&rig, dir);
    cr_assert_eq(rig_open(&rig), 0, "%s", rig.why);
}

static void teardown(void)
{
    rig_close(&rig);
    rig_remove(dir);
}

static void restart(void)
{
    rig_close(&rig);
    cr_assert_eq(rig_open(&rig), 0, "%s", rig.why);
}

TestSuite(partition, .init = setup, .fini = teardown);

Test(partition, an_event_comes_back_after_a_restart)
{
    struct topic *t = rig_topic(&rig, "orders", 1);
    rig_append(&rig, t->partitions[0], 1, 100);
    cr_assert_eq(partition_end(t->partitions[0]), 0, "not durable yet");
    rig_settle(&rig);
    cr_assert_eq(partition_end(t->partitions[0]), 1);
    cr_assert_eq(rig_verify(&rig, t->partitions[0], 0), 1);
    restart();
    t = catalog_find(rig.store, bytes_of("orders"));
    cr_assert_not_null(t);
    cr_assert_eq(partition_end(t->partitions[0]), 1);
    cr_assert_eq(rig_verify(&rig, t->partitions[0], 0), 1);
}

Test(partition, many_turns_of_the_journal, .timeout = 60)
{
    enum { PARTITIONS = 7, ROUNDS = 3000 };
    struct topic *t = rig_topic(&rig, "busy", PARTITIONS);
    srand(1);
    for (int i = 0; i < ROUNDS; i++) {
        int n = rand() % PARTITIONS;
        if (n && rand() % 3)
            n = 0; /* one is busy, the others trickle */
        rig_append(&rig, t->partitions[n], 1 + (uint32_t)rand() % 40, 20 + (uint32_t)rand() % 1500);
        if (rand() % 4 == 0)
            rig_turn(&rig);
    }
    rig_settle(&rig);
    cr_assert_gt(store_stats(rig.store)->checkpoints, 1);
    uint64_t total = 0;
    for (int n = 0; n < PARTITIONS; n++)
        total += rig_verify(&rig, t->partitions[n], 0);
    cr_assert_eq(total, store_stats(rig.store)->events_in - 1);
    for (int again = 0; again < 3; again++) {
        restart();
        t = catalog_find(rig.store, bytes_of("busy"));
        uint64_t now = 0;
        for (int n = 0; n < PARTITIONS; n++)
            now += rig_verify(&rig, t->partitions[n], 0);
        cr_assert_eq(now, total);
        for (int i = 0; i < 200; i++, total++)
            rig_append(&rig, t->partitions[rand() % PARTITIONS], 1, 3000);
        rig_settle(&rig);
    }
}

Test(partition, large_batches_among_small_ones, .timeout = 60)
{
    struct topic *t = rig_topic(&rig, "mixed", 2);
    srand(2);
    for (int i = 0; i < 600; i++) {
        struct partition *p = t->partitions[rand() % 2];
        if (rand() % 5 == 0)
            rig_append(&rig, p, 1, 60000);
        else
            rig_append(&rig, p, 1 + (uint32_t)rand() % 3, 50);
        if (rand() % 8 == 0)
            rig_settle(&rig);
    }
    rig_settle(&rig);
    uint64_t a = rig_verify(&rig, t->partitions[0], 0), b = rig_verify(&rig, t->partitions[1], 0);
    restart();
    t = catalog_find(rig.store, bytes_of("mixed"));
    cr_assert_eq(rig_verify(&rig, t->partitions[0], 0), a);
    cr_assert_eq(rig_verify(&rig, t->partitions[1], 0), b);
    for (uint64_t from = 0; from < a; from += 1 + from / 7)
        cr_assert_eq(rig_verify(&rig, t->partitions[0], from), a - from);
}

Test(partition, hundreds_of_partitions_that_trickle, .timeout = 120)
{
    enum { PARTITIONS = 300 };
    struct topic *t = rig_topic(&rig, "wide", PARTITIONS);
    for (int round = 0; round < 12; round++)
        for (int n = 0; n < PARTITIONS; n++)
            rig_append(&rig, t->partitions[n], 1, 900);
    rig_settle(&rig);
    cr_assert_leq(store_stats(rig.store)->tail_dirty_bytes, rig.options.tail_bytes_max + (1 << 20));
    for (int n = 0; n < PARTITIONS; n++)
        cr_assert_eq(rig_verify(&rig, t->partitions[n], 0), 12);
    restart();
    t = catalog_find(rig.store, bytes_of("wide"));
    for (int n = 0; n < PARTITIONS; n++)
        cr_assert_eq(rig_verify(&rig, t->partitions[n], 0), 12);
}

static void set(struct topic *t, const char *name, const char *value)
{
    char why[256];
    struct bytes n = bytes_of(name), v = bytes_of(value);
    while (!store_room(rig.store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
        rig_turn(&rig);
    cr_assert_eq(catalog_set(rig.store, t, &n, &v, 1, why), ERR_OK, "%s", why);
}

Test(partition, retention_by_size_keeps_the_newest, .timeout = 60)
{
    struct topic *t = rig_topic(&rig, "short", 1);
    set(t, "retention.bytes", "2MiB");
    struct partition *p = t->partitions[0];
    while (partition_start(p) == 0) {
        rig_append(&rig, p, 8, 4000);
        rig_turn(&rig);
    }
    rig_settle(&rig);
    uint64_t start = partition_start(p), end = partition_end(p);
    cr_assert(partition_bytes(p) >= 2 << 20);
    cr_assert_eq(rig_verify(&rig, p, start), end - start);
    struct cursor below = { .offset = start - 1 };
    struct slice slice;
    cr_assert_eq(partition_read(p, &below, 1000, &slice), READ_BELOW);
    restart();
    p = catalog_find(rig.store, bytes_of("short"))->partitions[0];
    cr_assert_geq(partition_start(p), start);
    cr_assert_eq(partition_end(p), end);
    cr_assert_eq(rig_verify(&rig, p, partition_start(p)), end - partition_start(p));
}

/* Damages every .index but the last (its segment is still written): in turn lost, cut, and one bit flipped.
 */
static int damage_indexes(const char *topic)
{
    char path[512];
    struct dirent **names;
    snprintf(path, sizeof(path), "%s/topics/%s/0", dir, topic);
    int count = scandir(path, &names, NULL, alphasort), damaged = 0;
    for (int i = 0; i < count; i++) {
        char file[800];
        snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (strstr(file, ".index") && damaged < 3) {
            int fd = open(file, O_RDWR);
            uint8_t byte;
            cr_assert(pread(fd, &byte, 1, 100) == 1);
            byte ^= 1;
            cr_assert(damaged % 3 == 0   ? unlink(file) == 0
                      : damaged % 3 == 1 ? ftruncate(fd, 70) == 0
                                         : pwrite(fd, &byte, 1, 100) == 1);
            close(fd);
            damaged++;
        }
        free(names[i]);
    }
    free(names);
    return damaged;
}

Test(partition, a_damaged_index_is_made_anew, .timeout = 60)
{
    struct topic *t = rig_topic(&rig, "indexed", 1);
    set(t, "segment.bytes", "1MiB");
    struct partition *p = t->partitions[0];
    while (partition_segments(p) < 6) {
        rig_append(&rig, p, 8, 4000);
        rig_turn(&rig);
    }
    rig_settle(&rig);
    uint64_t end = partition_end(p);
    for (int round = 0; round < 2; round++) {
        restart();
        p = catalog_find(rig.store, bytes_of("indexed"))->partitions[0];
        cr_assert_eq(damage_indexes("indexed"), 3);
        cr_assert_eq(rig_verify(&rig, p, 0), end);
        cr_assert_not(partition_damaged(p));
    }
    restart();
    cr_assert_eq(rig_verify(&rig, catalog_find(rig.store, bytes_of("indexed"))->partitions[0], 0), end);
}

Test(partition, a_deleted_topic_makes_room_for_another_of_its_name, .timeout = 60)
{
    for (int round = 0; round < 4; round++) {
        struct topic *t = rig_topic(&rig, "again", 2);
        cr_assert_eq(partition_end(t->partitions[0]), 0);
        for (int i = 0; i < 200 * (round + 1); i++)
            rig_append(&rig, t->partitions[i % 2], 4, 2000);
        rig_settle(&rig);
        uint64_t end = partition_end(t->partitions[0]);
        cr_assert_eq(rig_verify(&rig, t->partitions[0], 0), end);
        if (round % 2) {
            restart();
            t = catalog_find(rig.store, bytes_of("again"));
            cr_assert_eq(rig_verify(&rig, t->partitions[0], 0), end);
        }
        char why[256];
        while (!store_room(rig.store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
            rig_turn(&rig);
        cr_assert_eq(catalog_delete(rig.store, t, why), ERR_OK);
        cr_assert_null(catalog_find(rig.store, bytes_of("again")));
        if (round == 2) {
            rig_settle(&rig);
            restart();
            cr_assert_null(catalog_find(rig.store, bytes_of("again")));
        }
    }
}

static enum error produce(struct partition *p, int64_t producer, int32_t sequence, uint32_t count,
                          struct append_result *result)
{
    static uint8_t buffer[65536];
    char why[256];
    struct batch batch;
    uint32_t n = rig_batch(buffer, sizeof(buffer), p, partition_next(p), count, 50, rig.clock.wall_ms);
    batch_set_producer(buffer, producer, 0, sequence);
    cr_assert_eq(batch_check(&batch, buffer, n, why), ERR_OK);
    enum error error = partition_check(p, &batch, why);
    if (!error)
        partition_append(p, &batch, result);
    return error;
}

Test(partition, a_repeated_batch_gets_its_first_offset_even_after_a_restart)
{
    struct topic *t = rig_topic(&rig, "once", 1);
    struct partition *p = t->partitions[0];
    struct append_result r;
    int64_t id = store_producer_id(rig.store);
    cr_assert_eq(produce(p, id, 0, 3, &r), ERR_OK);
    cr_assert_eq(produce(p, id, 3, 2, &r), ERR_OK);
    cr_assert_eq(r.base_offset, 3);
    cr_assert_eq(produce(p, id, 0, 3, &r), ERR_OK);
    cr_assert(r.duplicate);
    cr_assert_eq(r.base_offset, 0);
    cr_assert_eq(produce(p, id, 9, 1, &r), ERR_SEQUENCE_GAP);
    cr_assert_eq(produce(p, id, 1, 1, &r), ERR_SEQUENCE_OLD);
    cr_assert_eq(produce(p, id + 1, 5, 1, &r), ERR_PRODUCER_UNKNOWN);
    rig_settle(&rig);
    cr_assert_eq(produce(p, id, 3, 2, &r), ERR_OK);
    cr_assert(r.duplicate);
    cr_assert_leq(r.sequence, store_durable_sequence(rig.store), "it waits for nothing");
    restart();
    p = catalog_find(rig.store, bytes_of("once"))->partitions[0];
    cr_assert_eq(produce(p, id, 3, 2, &r), ERR_OK);
    cr_assert(r.duplicate);
    cr_assert_eq(r.base_offset, 3);
    cr_assert_leq(r.sequence, store_durable_sequence(rig.store), "it waits for nothing");
    cr_assert_eq(produce(p, id, 5, 1, &r), ERR_OK);
    cr_assert_not(r.duplicate);
    cr_assert_neq(store_producer_id(rig.store), id);
    rig_settle(&rig);
}

struct lookup {
    struct time_lookup lookup;
    bool done;
};

static void lookup_done(struct time_lookup *lookup)
{
    CONTAINER_OF(lookup, struct lookup, lookup)->done = true;
}

static void append_at(struct partition *p, int64_t timestamp_ms)
{
    static uint8_t buffer[65536];
    char why[256];
    struct batch batch;
    struct append_result result;
    uint32_t n = rig_batch(buffer, sizeof(buffer), p, partition_next(p), 1, 2000, timestamp_ms);
    cr_assert_eq(batch_check(&batch, buffer, n, why), ERR_OK);
    while (!store_room(rig.store, JOURNAL_NORMAL, 1, n))
        rig_turn(&rig);
    partition_append(p, &batch, &result);
}

Test(partition, a_time_finds_the_first_event_at_or_after_it, .timeout = 60)
{
    struct topic *t = rig_topic(&rig, "timed", 1);
    struct partition *p = t->partitions[0];
    int64_t start = rig.clock.wall_ms - 100000;
    for (int i = 0; i < 2000; i++)
        append_at(p, start + 10 * i);
    rig_settle(&rig);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = -5; i < 20020; i += 37) {
            struct lookup *l = calloc(1, sizeof(*l));
            time_lookup_start(&l->lookup, p, start + i, lookup_done);
            while (!l->done)
                rig_turn(&rig);
            int expected = i <= 0 ? 0 : (i + 9) / 10;
            cr_assert_eq(l->lookup.error, ERR_OK);
            cr_assert_eq(l->lookup.offset, expected < 2000 ? (uint64_t)expected : 2000u, "at %d: %llu", i,
                         (unsigned long long)l->lookup.offset);
            free(l);
        }
        restart();
        p = catalog_find(rig.store, bytes_of("timed"))->partitions[0];
    }
}

/* The event that a look-up finds is deleted while it looks: the answer is the first one of those that are
 * left, not wherever they begin. In memory (which holds the newest) and in segments. */
Test(partition, a_time_that_retention_overtakes_is_looked_up_again, .timeout = 60)
{
    for (int behind = 0; behind < 2; behind++) {
        struct topic *t = rig_topic(&rig, behind ? "found" : "none", 1);
        struct partition *p = t->partitions[0];
        const int64_t now = rig.clock.wall_ms, wanted = now - 5000;
        append_at(p, now); /* out of order: the first one is the latest */
        while (partition_segments(p) < 4)
            append_at(p, now - 10000);
        const uint64_t last = partition_next(p);
        append_at(p, behind ? now : now - 10000);
        rig_settle(&rig);
        struct lookup *l = calloc(1, sizeof(*l));
        time_lookup_start(&l->lookup, p, wanted, lookup_done);
        set(t, "retention.bytes", "1MiB");
        timers_fire(rig.timers,
                    rig.clock.mono_ns + (behind ? 40 : 20) * 1000000000ull); /* before the answer */
        cr_assert_gt(partition_start(p), 0);
        while (!l->done)
            rig_turn(&rig);
        cr_assert_eq(l->lookup.error, ERR_OK);
        cr_assert_eq(l->lookup.offset, behind ? last : last + 1, "%llu, of %llu to %llu",
                     (unsigned long long)l->lookup.offset, (unsigned long long)partition_start(p),
                     (unsigned long long)partition_end(p));
        cr_assert_eq(l->lookup.found_ms, behind ? now : -1);
        free(l);
    }
}

/* The broker's own topic does not take one of those that its user may have. */
Test(partition, limits_count_what_users_have)
{
    char why[256];
    struct topic *t;
    rig_close(&rig);
    rig.options.topics_max = 2;
    rig.options.partitions_max = 4;
    cr_assert_eq(rig_open(&rig), 0, "%s", rig.why);
    cr_assert_eq(rig.report.topics, 0);
    cr_assert_eq(rig.report.partitions, 0);
    rig_topic(&rig, "a", 3);
    cr_assert_eq(catalog_create(rig.store, bytes_of("b"), 2, NULL, NULL, 0, &t, why), ERR_LIMIT_REACHED);
    cr_assert(strstr(why, "has 3 partitions of at most 4"), "%s", why);
    cr_assert_eq(catalog_create(rig.store, bytes_of("b"), 1, NULL, NULL, 0, &t, why), ERR_OK, "%s", why);
    rig_settle(&rig);
    restart();
    cr_assert_eq(rig.report.topics, 2);
    cr_assert_eq(rig.report.partitions, 4);
    rig.options.partitions_max = 100;
    restart();
    cr_assert_eq(catalog_create(rig.store, bytes_of("c"), 1, NULL, NULL, 0, &t, why), ERR_LIMIT_REACHED);
    cr_assert(strstr(why, "has 2 topics of at most 2"), "%s", why);
}
