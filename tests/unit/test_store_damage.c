/* SPDX-License-Identifier: Apache-2.0
 *
 * A small store's files, damaged in every way that one can list: a bit flipped anywhere, a file cut short,
 * gone, or swapped with another; then opened. It must recover with everything acknowledged, or refuse with a
 * sentence, or answer reads of the damaged part with an error by name: never other bytes, never a crash.
 *
 * Two things cannot be told from a crash. Damage in the journal's very last commit looks like a torn write:
 * the start reports what it cut. And without its last file a journal is one that ends earlier.
 *
 * A long run flips every byte but of journals, where it is every 31st.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "effort.h"
#include "io/file.h"
#include "io_sim.h"
#include "store_model.h"
#include "store_rig.h"

static struct rig rig;
static struct model model;
static struct io_sim_image *whole;
static char doing[256];
static uint64_t refused, corrupt, torn, fine;
static bool file_lost;

enum { FILES_MAX = 64 };
static char files[FILES_MAX][LOG_PATH_BYTES];
static uint32_t file_count;

static void turn(void)
{
    clock_update(&rig.clock);
    io_turn(rig.io, 300000, true);
    clock_update(&rig.clock);
    work_collect(rig.work);
    timers_fire(rig.timers, rig.clock.mono_ns);
    store_turn_end(rig.store);
}

static int open_store(void)
{
    io_sim_clock(&rig.clock);
    rig.failed = false;
    return rig_open(&rig);
}

static void append(struct partition *p, uint32_t count, uint32_t value_bytes)
{
    static uint8_t buffer[65536];
    char why[256];
    struct batch batch;
    struct append_result result;
    uint32_t bytes =
        model_build(buffer, sizeof(buffer), ++model.nonce, count, value_bytes, rig.clock.wall_ms, -1, -1);
    for (int i = 0; !store_room(rig.store, JOURNAL_NORMAL, 1, bytes); i++) {
        turn();
        cr_assert_lt(i, 20000, "%s: no room for events any more", doing);
    }
    cr_assert_eq(batch_check(&batch, buffer, bytes, why), ERR_OK);
    partition_append(p, &batch, &result);
    model_append(&model, p, buffer, bytes, &result, store_leader_epoch(rig.store), rig.clock.wall_ms);
}

static int list_file(void *ctx, const char *name, bool is_dir)
{
    char path[LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", (const char *)ctx, name);
    if (is_dir)
        return file_list(path, list_file, path);
    cr_assert_lt(file_count, FILES_MAX);
    snprintf(files[file_count++], LOG_PATH_BYTES, "%s", path);
    return 0;
}

/* Two topics with a few segments each, a checkpoint or two, and a journal with a tail. */
static void make_store(void)
{
    io_sim_start(&(struct io_sim_options){ .seed = 1 });
    diag_set_level(DIAG_ERROR + 1);
    rig_init(&rig, "/data");
    model_init(&model);
    rig.options.batch_bytes_max = 16 << 10;
    rig.options.request_bytes_max = 24 << 10;
    rig.options.tail_bytes_max = 128 << 10;
    rig.options.journal_group_bytes = 4096;
    rig.options.journal_file_bytes = 224 << 10;
    rig.options.journal_files_max = 3;
    rig.options.topic_defaults.max_message_bytes = 16 << 10;
    rig.options.topic_defaults.segment_bytes = 40 << 10;
    cr_assert_eq(open_store(), 0, "%s", rig.why);
    struct topic *topics[] = { rig_topic(&rig, "one", 1), rig_topic(&rig, "two", 2) };
    for (int i = 0; i < 2; i++)
        model_create(&model, topics[i], 0);
    uint64_t random = 7;
    while (store_stats(rig.store)->checkpoints < 2) {
        struct topic *t = topics[io_sim_random(&random, 2)];
        append(t->partitions[io_sim_random(&random, t->partition_count)],
               1 + (uint32_t)io_sim_random(&random, 4), 500);
        turn();
    }
    for (int i = 0; i < 12; i++) {
        append(topics[0]->partitions[0], 1, 300);
        rig_settle(&rig);
    }
    io_sim_settle();
    io_sim_crash(1, IO_SIM_NONE);
    rig_close(&rig);
    io_sim_restart();
    file_list("/data", list_file, (void *)"/data");
    whole = io_sim_snapshot();
}

struct waiting {
    struct history_read read;
    bool done;
};

static void read_done(struct history_read *read)
{
    CONTAINER_OF(read, struct waiting, read)->done = true;
}

/* Reads the batch at an offset. False: refused by name. */
static bool read_one(struct partition *p, uint64_t offset)
{
    struct cursor cursor = { .offset = offset };
    struct slice slice = { 0 };
    enum read_result result = partition_read(p, &cursor, 1, &slice);
    if (result == READ_HISTORY) {
        static struct waiting w;
        w = (struct waiting){ 0 };
        history_start(&w.read, p, offset, 1, read_done);
        for (int i = 0; !w.done; i++) {
            turn();
            cr_assert_lt(i, 10000, "%s: a read hangs", doing);
        }
        if (w.read.error) {
            cr_assert(w.read.read.why[0], "%s: error %d without a sentence", doing, w.read.error);
            return false;
        }
        slice = w.read.slice;
        cursor.offset = w.read.next_offset;
        result = READ_DATA;
    }
    cr_assert_eq(result, READ_DATA, "%s: offset %llu of %s/%u: %d", doing, (unsigned long long)offset,
                 partition_topic(p)->name, partition_number(p), result);
    cr_assert_eq(model_check_slice(&model, p, slice.data, slice.bytes, offset, UINT64_MAX), cursor.offset,
                 "%s", doing);
    slice_release(rig.store, &slice);
    return true;
}

static void check_partition(struct partition *p, const struct model_partition *mp, bool journal)
{
    uint64_t end = mp->count ? mp->batches[mp->count - 1].end : 0;
    if (partition_end(p) != end) {
        cr_assert(journal && (rig.report.journal.torn_bytes > 0 || file_lost) && partition_end(p) < end,
                  "%s: %s/%u ends at %llu, not %llu", doing, partition_topic(p)->name, partition_number(p),
                  (unsigned long long)partition_end(p), (unsigned long long)end);
        torn++;
    }
    for (uint32_t i = 0; i < mp->count && mp->batches[i].base < partition_end(p); i++)
        if (mp->batches[i].base >= partition_start(p) && !read_one(p, mp->batches[i].base))
            corrupt++;
}

/* The image on the disk now, opened and read. */
static void check_image(const char *file)
{
    int result = open_store();
    if (result) {
        cr_assert(rig.why[0], "%s: refused without a sentence (%d)", doing, result);
        refused++;
        return;
    }
    bool journal = strstr(file, "journal") != NULL;
    for (uint32_t i = 0; i < model.count; i++) {
        struct model_topic *mt = model.topics[i];
        struct topic *t = catalog_find(rig.store, bytes_of(mt->name));
        cr_assert_not_null(t, "%s: topic %s is gone", doing, mt->name);
        for (uint32_t n = 0; n < t->partition_count; n++)
            check_partition(t->partitions[n], &mt->partitions[n], journal);
    }
    fine++;
    io_sim_crash(1, IO_SIM_ALL);
    rig_close(&rig);
}

static void summary(void)
{
    fprintf(stderr, "%llu opened, %llu refused, %llu reads refused by name, %llu tails cut\n",
            (unsigned long long)fine, (unsigned long long)refused, (unsigned long long)corrupt,
            (unsigned long long)torn);
}

static void done(void)
{
    fprintf(stderr, "%s\n", doing);
    summary();
}

TestSuite(store_damage, .init = make_store, .fini = done);

static uint64_t file_size(const char *path)
{
    int fd = file_open(path, FILE_READ, NULL);
    cr_assert_geq(fd, 0);
    int64_t bytes = file_bytes(fd);
    file_close(fd);
    return (uint64_t)bytes;
}

Test(store_damage, the_whole_one_is_whole)
{
    snprintf(doing, sizeof(doing), "nothing damaged");
    check_image("");
    cr_assert_eq(refused + corrupt + torn, 0);
    cr_assert_eq(fine, 1);
}

Test(store_damage, one_bit_anywhere, .timeout = 0)
{
    for (uint32_t f = 0; f < file_count; f++) {
        bool journal = strstr(files[f], "journal") != NULL;
        const uint64_t bytes = file_size(files[f]);
        const uint64_t step = journal                    ? effort(997, 4001, 31)
                              : strstr(files[f], ".log") ? effort(331, 997, 1)
                                                         : effort(5, 11, 1);
        for (uint64_t at = 0; at < bytes; at += at % 4096 < 64 && step > 16 && !journal ? 3 : step)
            for (unsigned bit = 0; bit < 8; bit++) {
                /* All bits of headers; of the rest, one. */
                if (at % 4096 >= 64 && bit != at % 8)
                    continue;
                snprintf(doing, sizeof(doing), "bit %u of byte %llu of %s", bit, (unsigned long long)at,
                         files[f]);
                cr_assert(io_sim_flip(files[f], at, bit));
                check_image(files[f]);
                io_sim_restore(whole);
            }
    }
    cr_assert_gt(refused, 0);
    cr_assert_gt(corrupt, 0);
    cr_assert_gt(fine, 0);
}

/* ---- the broker works on ---- */

static uint32_t counts[2][MODEL_PARTITIONS];

static void model_mark(bool back)
{
    for (uint32_t i = 0; i < model.count; i++)
        for (uint32_t n = 0; n < MODEL_PARTITIONS; n++) {
            uint32_t *count = &model.topics[i]->partitions[n].count;
            if (back)
                *count = counts[i][n];
            else
                counts[i][n] = *count;
        }
}

static uint64_t read_all(void)
{
    uint64_t refusals = 0;
    for (uint32_t i = 0; i < model.count; i++) {
        struct topic *t = catalog_find(rig.store, bytes_of(model.topics[i]->name));
        for (uint32_t n = 0; n < t->partition_count; n++) {
            struct partition *p = t->partitions[n];
            const struct model_partition *mp = &model.topics[i]->partitions[n];
            cr_assert_eq(partition_end(p), mp->batches[mp->count - 1].end, "%s: %s/%u ends at %llu of %llu",
                         doing, t->name, n, (unsigned long long)partition_end(p),
                         (unsigned long long)mp->batches[mp->count - 1].end);
            for (uint32_t b = 0; b < mp->count; b++)
                refusals += mp->batches[b].base >= partition_start(p) && !read_one(p, mp->batches[b].base);
        }
    }
    return refusals;
}

/* Opens the damaged image, reads it (or not yet), works until two more checkpoints are there, reads all of
 * it, loses power, and reads all again. Returns how many reads were refused by name in the end. */
static uint64_t work_on(bool read_first)
{
    model_mark(false);
    cr_assert_eq(open_store(), 0, "%s: %s", doing, rig.why);
    if (read_first)
        read_all();
    uint64_t random = 3, until = store_stats(rig.store)->checkpoints + 2;
    for (int i = 0; store_stats(rig.store)->checkpoints < until; i++) {
        struct topic *t = catalog_find(rig.store, bytes_of(io_sim_random(&random, 2) ? "one" : "two"));
        append(t->partitions[io_sim_random(&random, t->partition_count)],
               1 + (uint32_t)io_sim_random(&random, 4), 500);
        turn();
        cr_assert_lt(i, 5000, "%s: no checkpoint is written any more", doing);
    }
    rig_settle(&rig);
    uint64_t refusals = read_all();
    io_sim_crash(1, IO_SIM_RANDOM);
    rig_close(&rig);
    io_sim_restart();
    cr_assert_eq(open_store(), 0, "%s: %s", doing, rig.why);
    cr_assert_eq(read_all(), refusals, "%s: a crash changes what is readable", doing);
    io_sim_crash(1, IO_SIM_ALL);
    rig_close(&rig);
    model_mark(true);
    io_sim_restore(whole);
    return refusals;
}

enum index_damage { INDEX_MISSING, INDEX_EMPTY, INDEX_SHORT, INDEX_HEADER, INDEX_ENTRY, INDEX_DAMAGES };

static void damage_index(const char *file, enum index_damage damage)
{
    uint64_t bytes = file_size(file);
    if (damage == INDEX_MISSING) {
        cr_assert_eq(file_unlink(file), 0);
    } else if (damage == INDEX_HEADER || damage == INDEX_ENTRY) {
        cr_assert(io_sim_flip(file, damage == INDEX_HEADER ? 17 : bytes - 40, 3));
    } else {
        int fd = file_open(file, FILE_WRITE, NULL);
        cr_assert_eq(file_truncate(fd, damage == INDEX_SHORT ? bytes - 30 : 0), 0);
        file_close(fd);
    }
    io_sim_settle();
}

/* Whatever happens to an index, sealed segment or not: it is made anew, by a read or by the next checkpoint.
 */
Test(store_damage, works_on_without_an_index, .timeout = 0)
{
    for (uint32_t f = 0; f < file_count; f++)
        for (int damage = 0; strstr(files[f], ".index") && damage < 2 * INDEX_DAMAGES; damage++) {
            snprintf(doing, sizeof(doing), "%s, damage %d, read %s", files[f], damage / 2,
                     damage % 2 ? "first" : "later");
            damage_index(files[f], damage / 2);
            cr_assert_eq(work_on(damage % 2), 0, "%s: a read was refused", doing);
        }
}

/* The .log as well: what lies there is refused by name, and nothing else suffers. */
Test(store_damage, works_on_without_an_index_of_a_damaged_segment, .timeout = 0)
{
    for (uint32_t f = 0; f < file_count; f++) {
        const char *dot = strstr(files[f], ".index");
        for (int at = 0; dot && at < 4; at++) {
            char file[LOG_PATH_BYTES];
            snprintf(file, sizeof(file), "%.*s.log", (int)(dot - files[f]), files[f]);
            uint64_t bytes = file_size(file);
            snprintf(doing, sizeof(doing), "%s, and the .log in place %d", files[f], at);
            damage_index(files[f], at % 2 ? INDEX_MISSING : INDEX_SHORT);
            if (at == 3) {
                cr_assert_eq(file_unlink(file), 0);
                io_sim_settle();
            } else {
                cr_assert(io_sim_flip(file, bytes * (uint64_t)at / 3 + 70, 2));
            }
            corrupt += work_on(at % 2 == 0);
        }
    }
    cr_assert_gt(corrupt, 0);
}

Test(store_damage, cut_at_any_block, .timeout = 0)
{
    for (uint32_t f = 0; f < file_count; f++) {
        uint64_t bytes = file_size(files[f]);
        uint64_t step = strstr(files[f], "journal") ? 512 * effort(7, 13, 1) : 512;
        for (uint64_t at = 0; at < bytes; at += step) {
            snprintf(doing, sizeof(doing), "%s cut to %llu", files[f], (unsigned long long)at);
            int fd = file_open(files[f], FILE_WRITE, NULL);
            cr_assert_eq(file_truncate(fd, at), 0);
            file_close(fd);
            io_sim_settle();
            check_image(files[f]);
            io_sim_restore(whole);
        }
    }
}

Test(store_damage, missing_and_swapped_files, .timeout = 0)
{
    file_lost = true;
    for (uint32_t f = 0; f < file_count; f++) {
        snprintf(doing, sizeof(doing), "%s missing", files[f]);
        cr_assert_eq(file_unlink(files[f]), 0);
        io_sim_settle();
        check_image(files[f]);
        io_sim_restore(whole);
        for (uint32_t g = 0; g < file_count; g++) {
            if (f == g)
                continue;
            snprintf(doing, sizeof(doing), "%s and %s swapped", files[f], files[g]);
            file_rename(files[f], "/data/aside");
            file_rename(files[g], files[f]);
            file_rename("/data/aside", files[g]);
            io_sim_settle();
            check_image(strstr(files[f], "journal") ? files[f] : files[g]);
            io_sim_restore(whole);
        }
    }
}
