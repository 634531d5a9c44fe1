/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/journal while it runs: what is durable when, files in turn, the reserve, limits, seals,
 * failing writes, restarts. What damage and torn writes do is in test_journal_recover.c.
 */
#include <signal.h>
#include <sys/resource.h>

#include "journal_rig.h"

Test(journal, starts_empty_with_two_files)
{
    struct rig *r = rig_make();
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert(r->report.empty);
    cr_assert_not(r->report.clean);
    cr_assert_eq(r->report.epoch, 1);
    cr_assert_eq(journal_stats(r->journal)->files, 2);
    cr_assert_eq(journal_stats(r->journal)->files_used, 1);
    cr_assert_eq(journal_durable_sequence(r->journal), 1);
    cr_assert_eq(journal_open_sequence(r->journal), 2);
    cr_assert_eq(journal_open_file(r->journal), 1);
    cr_assert(journal_idle(r->journal));
    struct image image;
    image_take(&image, r->dir);
    cr_assert_eq(image.count, 2);
    cr_assert_str_eq(image.files[0].name, "0000000000000000.journal");
    cr_assert_eq(image.files[0].size, r->options.file_bytes);
    cr_assert_eq(image.files[1].size, r->options.file_bytes);
    image_free(&image);
    rig_destroy(r);
}

Test(journal, wrong_options_are_refused_by_name)
{
    struct rig *r = rig_make();
    const struct journal_options good = r->options;
    r->options.writes_max = 3;
    cr_assert_eq(rig_open(r), -EINVAL);
    cr_assert(strstr(r->why, "in flight"), "%s", r->why);
    r->options = good;
    r->options.file_bytes = 16384;
    cr_assert_eq(rig_open(r), -EINVAL);
    r->options = good;
    r->options.files_min = 1;
    cr_assert_eq(rig_open(r), -EINVAL);
    r->options = good;
    r->options.group_bytes = 5000;
    cr_assert_eq(rig_open(r), -EINVAL);
    r->options = good;
    rig_destroy(r);
}

/* Entries of one turn share a commit; while one is written the next gathers. */
Test(journal, entries_gather_and_come_back_in_order)
{
    struct rig *r = rig_make();
    r->options.file_bytes = 1024 * 1024;
    r->options.group_bytes = 64 * 1024;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    uint64_t key = 0;
    for (unsigned turn = 0; turn < 50; turn++) {
        for (unsigned i = 0; i <= turn % 20; i++)
            rig_add(r, ++key);
        journal_submit(r->journal);
        if (turn % 3 == 0)
            rig_turn(r);
    }
    rig_wait_idle(r);
    cr_assert_eq(r->disorder, 0);
    cr_assert_eq(r->durable, journal_open_sequence(r->journal) - 1);
    cr_assert_lt(journal_stats(r->journal)->commits, 52);
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_not(r->wrong);
    cr_assert_eq(r->count, key);
    for (unsigned i = 0; i < r->count; i++)
        cr_assert_eq(r->keys[i], i + 1);
    cr_assert_eq(r->report.epoch, 2);
    cr_assert_not(r->report.clean);
    cr_assert_eq(r->report.torn_bytes, 0);
    rig_destroy(r);
}

Test(journal, clean_shutdown_is_told_from_a_crash)
{
    struct rig *r = rig_make();
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    rig_add(r, 1);
    journal_close_clean(r->journal);
    cr_assert_not(journal_idle(r->journal));
    cr_assert_not(journal_room(r->journal, JOURNAL_RESERVED, 1, 8));
    while (!journal_idle(r->journal))
        rig_turn(r);
    cr_assert_eq(r->durable, 3); /* opening, entry, closing */
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert(r->report.clean);
    cr_assert_eq(r->count, 1);
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_not(r->report.clean);
    rig_destroy(r);
}

/* One set of entries is one commit, up to the size that journal_atomic_max() names. */
Test(journal, largest_atomic_set_fits_one_commit)
{
    struct rig *r = rig_make();
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    uint32_t max = journal_atomic_max(r->journal, 3);
    cr_assert(journal_room(r->journal, JOURNAL_NORMAL, 1, 100));
    rig_add_sized(r, 1, 100);
    cr_assert(journal_room(r->journal, JOURNAL_NORMAL, 3, max));
    uint64_t sequence = journal_open_sequence(r->journal);
    cr_assert_eq(sequence, 3); /* the set did not fit behind entry 1 */
    rig_add_sized(r, 2, 101);
    rig_add_sized(r, 3, 103);
    rig_add_sized(r, 4, max - 204);
    cr_assert_eq(journal_open_sequence(r->journal), sequence);
    rig_wait_idle(r);
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_not(r->wrong);
    cr_assert_eq(r->count, 4);
    cr_assert_eq(r->sequences[1], 3);
    cr_assert_eq(r->sequences[3], 3);
    rig_destroy(r);
}

/* Without a release the files fill: events stop first, the reserved class goes on, and a release brings
 * room. */
Test(journal, keeps_a_reserve_and_recovers_from_being_full)
{
    struct rig *r = rig_make();
    r->options.files_max = 4;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    uint64_t key = 0;
    while (journal_files_used(r->journal) < 3 || rig_try_add(r, JOURNAL_NORMAL, key + 1)) {
        if (journal_files_used(r->journal) < 3)
            rig_add(r, key + 1);
        key++;
        rig_wait_idle(r);
        cr_assert_lt(key, 1000);
    }
    cr_assert_eq(journal_stats(r->journal)->files, 4);
    cr_assert_eq(journal_files_used(r->journal), 3);
    cr_assert_gt(journal_stats(r->journal)->stalls, 0);
    while (rig_try_add(r, JOURNAL_RESERVED, key + 1)) {
        key++;
        rig_wait_idle(r);
        cr_assert_lt(key, 1000);
    }
    cr_assert_eq(journal_files_used(r->journal), 4);
    cr_assert_not(journal_room(r->journal, JOURNAL_NORMAL, 1, 8));

    /* A full journal can be opened, even several times. */
    for (int i = 0; i < 5; i++) {
        rig_drop(r);
        cr_assert_eq(rig_open(r), 0, "%s", r->why);
        cr_assert_eq(r->count, key);
    }
    cr_assert_not(journal_room(r->journal, JOURNAL_NORMAL, 1, 8));
    unsigned rooms = r->rooms;
    struct journal_point point;
    cr_assert(journal_point_of(r->journal, 4, &point));
    cr_assert_eq(point.file, 4);
    journal_release(r->journal, 4);
    cr_assert_eq(r->rooms, rooms + 1);
    cr_assert_eq(journal_oldest_file(r->journal), 4);
    cr_assert(rig_try_add(r, JOURNAL_NORMAL, ++key));
    rig_wait_idle(r);
    r->from = point;
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_eq(r->keys[r->count - 1], key);
    cr_assert_leq(journal_stats(r->journal)->files, 4);
    rig_destroy(r);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Files are used over and over, released and restarted at random moments; what comes back is always exactly
 * what was added since the checkpoint. */
static void journal_life(uint64_t seed, uint32_t files_max, uint32_t writes_max)
{
    struct rig *r = rig_make();
    uint64_t random = seed;
    r->options.files_max = files_max;
    r->options.writes_max = writes_max;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    static uint64_t sequence_of[8000];
    uint64_t key = 0, restarts = 0, restart_at = 300;
    while (key < 6000) {
        uint64_t burst = 1 + random_next(&random) % 12;
        while (burst-- > 0 && key < 6000) {
            if (!rig_try_add(r, JOURNAL_NORMAL, key + 1))
                break;
            key++;
            sequence_of[key] = journal_open_sequence(r->journal);
        }
        journal_submit(r->journal);
        if (!journal_idle(r->journal) && random_next(&random) % 3 != 0)
            rig_turn(r);
        uint64_t oldest = journal_oldest_file(r->journal), newest = journal_open_file(r->journal);
        bool full = !journal_room(r->journal, JOURNAL_NORMAL, 1, 300);
        if (newest > oldest && (full || random_next(&random) % 20 == 0)) {
            uint64_t to = oldest + 1 + random_next(&random) % (newest - oldest);
            struct journal_point point;
            if (journal_point_of(r->journal, to, &point)) {
                r->from = point;
                journal_release(r->journal, to);
            }
        } else if (full && newest == oldest && journal_idle(r->journal)) {
            /* Only the reserved class may begin the next file now. */
            while (journal_open_file(r->journal) == newest && rig_try_add(r, JOURNAL_RESERVED, key + 1)) {
                sequence_of[++key] = journal_open_sequence(r->journal);
                rig_wait_idle(r);
            }
        }
        if (key >= restart_at) {
            restart_at = key + 100 + random_next(&random) % 400;
            rig_wait_idle(r);
            bool clean = random_next(&random) % 2 == 0;
            if (clean)
                journal_close_clean(r->journal);
            rig_drop(r);
            cr_assert_eq(rig_open(r), 0, "seed %llu: %s", (unsigned long long)seed, r->why);
            cr_assert_not(r->wrong, "seed %llu", (unsigned long long)seed);
            uint64_t first = 1;
            while (first <= key && sequence_of[first] <= r->from.sequence)
                first++;
            cr_assert_eq(r->count, key - first + 1, "seed %llu: %u instead of %llu", (unsigned long long)seed,
                         r->count, (unsigned long long)(key - first + 1));
            for (unsigned i = 0; i < r->count; i++)
                cr_assert_eq(r->keys[i], first + i, "seed %llu", (unsigned long long)seed);
            restarts++;
        }
    }
    cr_assert_gt(journal_open_file(r->journal), 3 * files_max);
    cr_assert_gt(restarts, 10);
    cr_assert_eq(r->failures, 0);
    rig_destroy(r);
}

Test(journal, files_are_reused_many_times)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        journal_life(seed * 0x9e3779b97f4a7c15, 2 + seed % 4, 1 + seed % 2);
}

Test(journal, a_hundred_restarts)
{
    struct rig *r = rig_make();
    r->options.files_max = 20; /* opening commits fill files too */
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(rig_open(r), 0, "%s", r->why);
        cr_assert_eq(r->report.epoch, i + 1);
        cr_assert_eq(r->count, i / 10);
        if (i % 10 == 9)
            rig_commit(r, i);
        rig_drop(r);
    }
    rig_destroy(r);
}

Test(journal, a_point_is_given_only_for_what_is_durable)
{
    struct rig *r = rig_make();
    r->options.writes_max = 1;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    struct journal_point point;
    cr_assert(journal_point_of(r->journal, 1, &point));
    cr_assert_eq(point.sequence, 0);
    cr_assert_not(journal_point_of(r->journal, 2, &point));
    uint64_t key = 0;
    while (journal_open_file(r->journal) == 1) {
        rig_wait_idle(r);
        rig_add(r, ++key);
        journal_submit(r->journal);
    }
    cr_assert_not(journal_point_of(r->journal, 2, &point)); /* its first commit is in flight */
    rig_wait_idle(r);
    cr_assert(journal_point_of(r->journal, 2, &point));
    cr_assert_eq(point.sequence, r->durable - 1);
    rig_destroy(r);
}

/* A pause after entries brings one commit that proves them durable, and no more. */
Test(journal, seals_once_in_a_pause)
{
    struct rig *r = rig_make();
    r->timers = r->options.timers = timers_create(0);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    timers_fire(r->timers, r->now_ns += 100000000);
    cr_assert(journal_idle(r->journal)); /* nothing to seal */
    rig_commit(r, 1);
    cr_assert_eq(r->durable, 2);
    timers_fire(r->timers, r->now_ns += 10000000);
    cr_assert(journal_idle(r->journal));
    rig_commit(r, 2);
    timers_fire(r->timers, r->now_ns += 15000000); /* 25 ms after the first, 15 after the second */
    cr_assert(journal_idle(r->journal));
    timers_fire(r->timers, r->now_ns += 10000000);
    cr_assert_not(journal_idle(r->journal));
    rig_wait_idle(r);
    cr_assert_eq(r->durable, 4);
    for (int i = 0; i < 10; i++)
        timers_fire(r->timers, r->now_ns += 100000000);
    cr_assert(journal_idle(r->journal));
    cr_assert_eq(journal_stats(r->journal)->commits, 4);
    rig_destroy(r);
}

/* The first failed write is final: told once, nothing durable afterwards, nothing accepted. */
Test(journal, a_failed_write_is_final)
{
    struct rig *r = rig_make();
    r->options.writes_max = 2;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    rig_commit(r, 1);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 3 * JOURNAL_BLOCK; /* header, opening commit, entry 1 */
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rig_add(r, 2);
    journal_submit(r->journal);
    rig_add(r, 3);
    journal_submit(r->journal);
    while (!journal_idle(r->journal))
        rig_turn(r);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_assert_eq(r->failures, 1);
    cr_assert(journal_failed(r->journal));
    cr_assert_eq(r->durable, 2);
    cr_assert_not(journal_room(r->journal, JOURNAL_RESERVED, 1, 8));
    journal_submit(r->journal);
    journal_close_clean(r->journal);
    cr_assert(journal_idle(r->journal));
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_eq(r->count, 1);
    rig_destroy(r);
}

/* Sizes and numbers of files may change between two starts. */
Test(journal, settings_may_change_between_starts)
{
    struct rig *r = rig_make();
    r->options.files_max = 6;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    uint64_t key = 0;
    while (journal_files_used(r->journal) < 5) {
        rig_add(r, ++key);
        rig_wait_idle(r);
    }
    rig_drop(r);
    r->options.files_max = 3;
    r->options.file_bytes = 64 * 1024;
    r->options.group_bytes = 16 * 1024;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_eq(r->count, key);
    for (int turns = 0; turns < 40; turns++) {
        for (int i = 0; i < 30; i++)
            if (rig_try_add(r, JOURNAL_RESERVED, key + 1))
                key++;
        rig_wait_idle(r);
        uint64_t file = journal_open_file(r->journal);
        if (file > journal_oldest_file(r->journal) && journal_point_of(r->journal, file, &r->from))
            journal_release(r->journal, file);
        rig_wait_idle(r);
    }
    cr_assert_leq(journal_stats(r->journal)->files, 4);
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_not(r->wrong);
    struct image image;
    image_take(&image, r->dir);
    for (unsigned i = 0; i < image.count; i++)
        cr_assert_eq(image.files[i].size, 64 * 1024);
    image_free(&image);
    rig_destroy(r);
}
