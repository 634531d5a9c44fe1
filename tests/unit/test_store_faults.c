/* SPDX-License-Identifier: Apache-2.0
 *
 * A store's life with one thing wrong at a time, each in turn: an operation that finds the disk full, a
 * journal torn at any byte of its end, an old checkpoint file put back, a file of another format version.
 * Nothing acknowledged is lost, and what cannot be read is refused by name.
 *
 * A long run: with many seeds, and at every byte.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "effort.h"
#include "io/file.h"
#include "proto/crc32c.h"
#include "store_script.h"

static struct script script;

static void copy_free(int set);

static void show(void)
{
    copy_free(0);
    copy_free(1);
    fprintf(stderr, "%s\n", script.doing);
}

TestSuite(store_faults, .fini = show);

/* ---- a full disk, one operation at a time ---- */

static void delete_topic(const char *name)
{
    char why[256];
    struct topic *t = catalog_find(script.rig.store, bytes_of(name));
    if (!t || script.rig.failed)
        return;
    uint64_t sequence = store_sequence(script.rig.store), id = t->id;
    cr_assert_eq(catalog_delete(script.rig.store, t, why), ERR_OK, "%s", why);
    model_delete(model_topic(&script.model, id), sequence);
}

/* Topics, appending, rolling, checkpoints, reclaiming, deleting, and the same name again. */
static void live(void)
{
    script_topic(&script, "one", 1);
    script_topic(&script, "two", 2);
    script_work(&script, 350);
    script_heal(&script);
    delete_topic("two");
    script_work(&script, 30);
    script_topic(&script, "two", 1);
    script_work(&script, 100);
    script_heal(&script);
    script_settle(&script);
}

static int count_file(void *ctx, const char *name, bool is_dir)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", (const char *)ctx, name);
    if (strstr(name, "__catalog"))
        return 0;
    if (is_dir)
        return file_list(path, count_file, path);
    cr_assert_fail("%s: %s is left over", script.doing, path);
    return 0;
}

static void restart(enum io_sim_mode mode)
{
    script_crash(&script, mode);
    script_read_all(&script);
}

/* Only what a failed flush or journal write takes down may be down. */
static bool run_with_fault(const struct io_sim_fault *fault, bool final, uint64_t seed)
{
    script_begin(&script, seed);
    io_sim_fail(fault);
    if (script_open(&script)) {
        cr_assert(script.rig.why[0], "%s: refused without a sentence", script.doing);
        cr_assert_eq(io_sim_faults_hit(), 1);
        cr_assert_eq(script_open(&script), 0, "%s: and again: %s", script.doing, script.rig.why);
    }
    live();
    bool hit = io_sim_faults_hit() > 0;
    io_sim_heal();
    cr_assert(!script.rig.failed || final, "%s: the store gave up", script.doing);
    if (!script.rig.failed)
        script_read_all(&script);
    restart((enum io_sim_mode)(fault->nth % 4));
    script_work(&script, 60);
    script_heal(&script);
    delete_topic("one");
    delete_topic("two");
    script_settle(&script);
    restart(IO_SIM_ALL);
    char topics[] = "/data/topics";
    cr_assert_eq(file_list(topics, count_file, topics), 0);
    io_sim_crash(1, IO_SIM_ALL);
    rig_close(&script.rig);
    io_sim_restart();
    script_end(&script);
    return hit;
}

Test(store_faults, no_space_for_any_one_operation, .timeout = 0)
{
    static const struct kind {
        const char *name, *path;
        enum io_sim_op op;
        bool final; /* a write of the journal, or a flush of what the journal is to forget */
    } kinds[] = {
        { "open", NULL, IO_SIM_OPEN, false },
        { "write to a segment", ".log", IO_SIM_WRITE, false },
        { "write to an index", ".index", IO_SIM_WRITE, false },
        { "write to a checkpoint", "checkpoint", IO_SIM_WRITE, false },
        { "write to meta", "meta", IO_SIM_WRITE, false },
        { "write to a new journal file", ".new", IO_SIM_WRITE, false },
        { "write to the journal", ".journal", IO_SIM_WRITE, true },
        { "flush", NULL, IO_SIM_SYNC, true },
        { "flush a checkpoint", "checkpoint", IO_SIM_SYNC, false },
        { "allocate", NULL, IO_SIM_ALLOCATE, false },
        { "cut", NULL, IO_SIM_TRUNCATE, false },
        { "change a name", NULL, IO_SIM_NAME, false },
        { "flush a directory", NULL, IO_SIM_SYNC_DIR, true },
    };
    uint64_t tried = 0;
    for (uint32_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (uint64_t seed = 3; seed < 3 + effort(1, 1, 20); seed++)
            for (uint64_t nth = 1;; nth += effort(1, 3, 1), tried++) {
                snprintf(script.doing, sizeof(script.doing), "no space to %s, number %llu, seed %llu",
                         kinds[k].name, (unsigned long long)nth, (unsigned long long)seed);
                const struct io_sim_fault fault = {
                    .op = kinds[k].op, .nth = nth, .error = ENOSPC, .path = kinds[k].path
                };
                if (!run_with_fault(&fault, kinds[k].final, seed))
                    break;
            }
    fprintf(stderr, "%llu operations\n", (unsigned long long)tried);
    cr_assert_gt(tried, effort(300, 100, 300));
}

/* ---- files ---- */

struct copy {
    char path[512];
    uint8_t *data;
    uint64_t bytes;
};

enum { COPIES_MAX = 64 };
static struct copy copies[2][COPIES_MAX];
static uint32_t copy_count[2];
static int copy_set;

static int copy_one(void *ctx, const char *name, bool is_dir)
{
    struct copy *c = &copies[copy_set][copy_count[copy_set]];
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", (const char *)ctx, name);
    if (is_dir)
        return file_list(path, copy_one, path);
    cr_assert_lt(copy_count[copy_set]++, COPIES_MAX);
    snprintf(c->path, sizeof(c->path), "%s", path);
    int fd = file_open(path, FILE_READ, NULL);
    c->bytes = (uint64_t)file_bytes(fd);
    c->data = malloc(c->bytes + 1);
    cr_assert_eq(file_read(fd, c->data, c->bytes, 0), (int64_t)c->bytes);
    file_close(fd);
    return 0;
}

static void copy_free(int set)
{
    while (copy_count[set])
        free(copies[set][--copy_count[set]].data);
}

/* Takes copies of all files; the store is closed. */
static void copy_all(int set)
{
    char data[] = "/data";
    copy_set = set;
    copy_free(set);
    file_list(data, copy_one, data);
}

static const struct copy *copy_find(int set, const char *path)
{
    for (uint32_t i = 0; i < copy_count[set]; i++)
        if (strcmp(copies[set][i].path, path) == 0)
            return &copies[set][i];
    return NULL;
}

static void put(const char *path, const void *data, uint64_t bytes, uint64_t position)
{
    int fd = file_open(path, FILE_WRITE, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write(fd, data, bytes, position), 0);
    file_close(fd);
    io_sim_settle();
}

/* Power off, everything on the disk; the process is gone. */
static void stop(void)
{
    if (script.rig.store) {
        io_sim_settle();
        io_sim_crash(1, IO_SIM_ALL);
        rig_close(&script.rig);
    }
    io_sim_restart();
    io_sim_settle();
}

static void begin(void)
{
    script_begin(&script, 5);
    cr_assert_eq(script_open(&script), 0, "%s", script.rig.why);
    script_topic(&script, "one", 1);
    script_topic(&script, "two", 2);
}

static struct partition *first_partition(void)
{
    return catalog_find(script.rig.store, bytes_of("one"))->partitions[0];
}

/* ---- a torn journal ---- */

/* The last commits, from any byte of them on, are what was there before: that is a write that never came. */
Test(store_faults, a_journal_torn_at_any_byte, .timeout = 0)
{
    begin();
    script_work(&script, 300);
    script_settle(&script);
    uint64_t before = partition_end(first_partition());
    struct io_sim_image *image = NULL;
    stop();
    copy_all(0);
    cr_assert_eq(script_open(&script), 0);
    struct model_partition *mp = &script.model.topics[0]->partitions[0];
    uint32_t sure = mp->count;
    for (int i = 0; i < 3; i++) {
        cr_assert(script_append(&script, first_partition(), 2, 700));
        script_settle(&script);
    }
    uint64_t after = partition_end(first_partition()), lost = 0, kept = 0;
    uint32_t all = mp->count;
    stop();
    copy_all(1);
    image = io_sim_snapshot();
    for (uint32_t f = 0; f < copy_count[1]; f++) {
        const struct copy *now = &copies[1][f], *was = copy_find(0, now->path);
        if (!strstr(now->path, ".journal") || !was)
            continue;
        uint64_t from = 0, to = now->bytes;
        while (from < to && now->data[from] == was->data[from])
            from++;
        while (to > from && now->data[to - 1] == was->data[to - 1])
            to--;
        for (uint64_t at = from; at < to; at += effort(5, 17, 1)) {
            snprintf(script.doing, sizeof(script.doing), "%s torn at %llu of %llu to %llu", now->path,
                     (unsigned long long)at, (unsigned long long)from, (unsigned long long)to);
            put(now->path, was->data + at, to - at, at);
            cr_assert_eq(script_open(&script), 0, "%s: %s", script.doing, script.rig.why);
            uint64_t end = partition_end(first_partition());
            cr_assert(end >= before && end <= after, "%s: ends at %llu", script.doing,
                      (unsigned long long)end);
            mp->count = sure + (uint32_t)(end - before) / 2;
            cr_assert_eq(mp->batches[mp->count - 1].end, end, "%s: half a batch", script.doing);
            script_read_all(&script);
            lost += end < after;
            kept += end > before;
            stop();
            mp->count = all;
            io_sim_restore(image);
        }
    }
    cr_assert(lost > 0 && kept > 0, "%llu %llu", (unsigned long long)lost, (unsigned long long)kept);
    io_sim_image_free(image);
    script_end(&script);
}

/* ---- an old checkpoint ---- */

static void work_until_checkpoints(uint64_t count)
{
    uint64_t until = store_stats(script.rig.store)->checkpoints + count;
    for (int i = 0; store_stats(script.rig.store)->checkpoints < until; i++) {
        script_work(&script, 1);
        cr_assert_lt(i, 20000);
    }
}

/* Somebody restores one file from a backup. The journal has what the newer one knew, or it is refused. */
Test(store_faults, an_old_checkpoint_put_back, .timeout = 0)
{
    uint64_t refused = 0, opened = 0;
    for (uint64_t between = 1; between <= 6; between++)
        for (int kind = 0; kind < 4; kind++) {
            int file = kind % 2;
            bool alone = kind >= 2; /* the other one is gone */
            snprintf(script.doing, sizeof(script.doing), "checkpoint-%c of %llu before%s", 'a' + file,
                     (unsigned long long)between, alone ? ", alone" : "");
            begin();
            work_until_checkpoints(3);
            script_settle(&script);
            stop();
            copy_all(0);
            cr_assert_eq(script_open(&script), 0, "%s", script.rig.why);
            work_until_checkpoints(between);
            script_settle(&script);
            stop();
            struct io_sim_image *image = io_sim_snapshot();
            char path[64];
            snprintf(path, sizeof(path), "/data/checkpoint-%c", 'a' + file);
            const struct copy *old = copy_find(0, path);
            cr_assert_not_null(old);
            put(path, old->data, old->bytes, 0);
            path[strlen(path) - 1] = (char)('b' - file);
            if (alone)
                file_unlink(path);
            io_sim_settle();
            if (script_open(&script)) {
                cr_assert(script.rig.why[0], "%s", script.doing);
                refused++;
                io_sim_restore(image);
                cr_assert_eq(script_open(&script), 0, "%s: %s", script.doing, script.rig.why);
            } else {
                opened++;
            }
            const struct model_found found = { script.rig.store, script.durable };
            model_judge(&script.model, &found);
            script_read_all(&script);
            script.durable = store_durable_sequence(script.rig.store);
            script_work(&script, 200);
            script_heal(&script);
            script_read_all(&script);
            stop();
            io_sim_image_free(image);
            script_end(&script);
        }
    fprintf(stderr, "%llu refused, %llu opened\n", (unsigned long long)refused, (unsigned long long)opened);
    cr_assert(opened > 0 && refused > 0);
}

/* ---- another format version ---- */

static bool reads_are_refused(void)
{
    struct partition *p = first_partition();
    for (uint64_t offset = partition_start(p); offset < partition_end(p); offset++) {
        const char *why = script_try_read(&script, p, offset);
        cr_assert(!why || strstr(why, "version"), "%s: %s", script.doing, why);
        if (why)
            return true;
    }
    return false;
}

/* Where the version stands in a kind of file, and whether a checksum over its bytes 0 to 59 goes with it. */
static const struct version_place {
    const char *file;
    uint64_t at;
    bool header_sum;
} version_places[] = {
    { "/meta", 19, false },   { "/checkpoint-a", 8, false },   { "/checkpoint-b", 8, false },
    { ".journal", 8, false }, { ".journal", 4096 + 4, false }, { ".index", 8, true },
};

Test(store_faults, another_format_version_is_refused_by_name, .timeout = 0)
{
    begin();
    work_until_checkpoints(3);
    script_settle(&script);
    stop();
    copy_all(0);
    struct io_sim_image *image = io_sim_snapshot();
    uint32_t seen = 0, below = 0;
    for (uint32_t k = 0; k < ARRAY_LEN(version_places); k++)
        for (uint32_t f = 0; f < copy_count[0]; f++) {
            const struct version_place *place = &version_places[k];
            const struct copy *c = &copies[0][f];
            if (!strstr(c->path, place->file) || c->bytes <= place->at || c->data[place->at] == 0)
                continue;
            snprintf(script.doing, sizeof(script.doing), "version at %llu of %s",
                     (unsigned long long)place->at, c->path);
            uint8_t head[64];
            const uint8_t version = place->at == 19 ? '7' : 7;
            if (place->header_sum) {
                memcpy(head, c->data, sizeof(head));
                head[place->at] = version;
                uint32_t sum = crc32c(0, head, 60);
                memcpy(head + 60, &sum, 4);
                put(c->path, head, sizeof(head), 0);
            } else {
                put(c->path, &version, 1, place->at);
            }
            int result = script_open(&script);
            if (result == 0 && place->header_sum && strstr(c->path, "/one/"))
                cr_assert(reads_are_refused(), "%s: is read", script.doing);
            else if (result == 0 && place->at > 4096)
                below++; /* the place where replay starts */
            else if (!place->header_sum)
                cr_assert(result && strstr(script.rig.why, "version"), "%s: %d %s", script.doing, result,
                          script.rig.why);
            stop();
            /* And left alone, for the release that knows it. */
            copy_all(1);
            const struct copy *still = copy_find(1, c->path);
            cr_assert_not_null(still, "%s: it is gone", script.doing);
            cr_assert_eq(still->bytes, c->bytes, "%s", script.doing);
            cr_assert_eq(still->data[place->at], version, "%s: it was changed", script.doing);
            io_sim_restore(image);
            if (result || place->header_sum)
                seen |= 1u << k;
        }
    cr_assert_lt(below, 3);
    cr_assert_eq(seen, (1u << ARRAY_LEN(version_places)) - 1);
    io_sim_image_free(image);
    script_end(&script);
}
