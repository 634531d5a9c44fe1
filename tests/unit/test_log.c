/* SPDX-License-Identifier: Apache-2.0
 *
 * The log room on undamaged files: whatever the batches, the extents and the buffer, a reader gets exactly
 * the batches from its offset on, a time leads to the right record, and a rebuilt index reads the same.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "log_fixture.h"
#include "proto/batch.h"

static void no_finding(void *ctx, const char *file, uint64_t position, const char *text)
{
    (void)ctx;
    cr_assert_fail("%s at %" PRIu64 ": %s", file, position, text);
}

/* Plans that differ in all that matters: the seed picks. */
static struct fixture_plan plan_of(uint64_t seed)
{
    return (struct fixture_plan){ .seed = seed,
                                  .base_offset = seed % 3 ? seed * 1000 : 0,
                                  .batches = 120,
                                  .value_max = seed % 2 ? 300 : 3000,
                                  .big_every = seed % 4 == 3 ? 17 : 0,
                                  .big_bytes = 30000,
                                  .extent_blocks_max = 1 + (uint32_t)(seed % 5) * 3,
                                  .gaps = seed % 3 == 1,
                                  .sealed = seed % 2 == 0,
                                  .memory = seed > 2 }; /* the first two on a disk, with its direct I/O */
}

/* Every offset, with a buffer that suits and with one that is too small at first. */
static void read_everywhere(const struct fixture *f, const struct log_extent *extents, uint32_t extent_count)
{
    static const uint32_t buffers[] = { LOG_BLOCK, 4 * LOG_BLOCK, 1 << 18 };
    for (size_t b = 0; b < sizeof(buffers) / sizeof(buffers[0]); b++)
        for (uint64_t offset = f->segment.base_offset; offset < f->segment.end_offset + 2;
             offset += 1 + 3 * b) {
            struct log_read read = { .extents = extents, .extent_count = extent_count };
            int result = fixture_read(f, &read, offset, buffers[b]);
            if (offset >= f->segment.end_offset) {
                cr_assert_eq(result, -ENODATA);
            } else {
                cr_assert_eq(result, 0, "offset %" PRIu64 ": %d %s", offset, result, read.why);
                fixture_expect(f, &read);
            }
            fixture_read_free(&read);
        }
}

Test(log, reads_every_offset)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct fixture_plan plan = plan_of(seed);
        struct fixture *f = fixture_make(&plan, UINT32_MAX);
        read_everywhere(f, NULL, 0);
        cr_assert_eq(log_verify(f->dir, f->id, &f->segment, no_finding, NULL), 0, "seed %" PRIu64, seed);
        fixture_free(f);
    }
}

Test(log, reads_on_from_the_index_into_extents_in_memory)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct fixture_plan plan = plan_of(seed);
        struct fixture *f = fixture_make(&plan, (uint32_t)(seed % 4) * 7);
        uint32_t from = f->segment.extents;
        read_everywhere(f, f->extents + from, f->extent_count - from);
        if (from > 2) /* the index got some of them meanwhile */
            read_everywhere(f, f->extents + from - 2, f->extent_count - from + 2);
        fixture_free(f);
    }
}

/* From front to back, each read given what the one before it left over. */
static uint32_t read_on(const struct fixture *f, const struct log_extent *extents, uint32_t extent_count,
                        uint32_t buffer_bytes, bool wrong_end)
{
    uint8_t *carry = NULL;
    uint32_t carry_bytes = 0, carried = 0;
    uint64_t carry_end = 0, offset = f->segment.base_offset;
    while (offset < f->segment.end_offset) {
        struct log_read read = { .extents = extents,
                                 .extent_count = extent_count,
                                 .carry = carry,
                                 .carry_bytes = carry_bytes,
                                 .carry_end = carry_end + (wrong_end ? LOG_BLOCK : 0) };
        int result = fixture_read(f, &read, offset, buffer_bytes);
        cr_assert_eq(result, 0, "offset %" PRIu64 ": %d %s", offset, result, read.why);
        fixture_expect(f, &read);
        cr_assert(read.data + read.bytes + read.rest_bytes <= read.buffer + read.buffer_bytes);
        if (read.rest_bytes > 0)
            cr_assert(memcmp(read.data + read.bytes, f->bytes + read.rest_end - read.rest_bytes,
                             read.rest_bytes) == 0);
        free(carry);
        carry_bytes = read.rest_bytes;
        carry_end = read.rest_end;
        carry = malloc(carry_bytes + 1);
        memcpy(carry, read.data + read.bytes, carry_bytes);
        carried += carry_bytes > 0;
        offset = read.next_offset;
        fixture_read_free(&read);
    }
    free(carry);
    return carried;
}

Test(log, reads_on_with_what_was_left_over)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fixture_plan plan = plan_of(seed);
        struct fixture *f = fixture_make(&plan, seed % 3 ? UINT32_MAX : 11);
        uint32_t from = f->segment.extents;
        for (uint32_t blocks = 1; blocks < 30; blocks += 4) {
            uint32_t carried =
                read_on(f, f->extents + from, f->extent_count - from, blocks * LOG_BLOCK, false);
            cr_assert(carried > 0 || blocks > 20);
            read_on(f, f->extents + from, f->extent_count - from, blocks * LOG_BLOCK, true);
        }
        fixture_free(f);
    }
}

Test(log, says_when_the_extents_named_do_not_reach)
{
    struct fixture_plan plan = { .seed = 5, .batches = 4, .value_max = 20000, .extent_blocks_max = 1 };
    struct fixture *f = fixture_make(&plan, 1);
    struct log_read read = { 0 };
    cr_assert_eq(fixture_read(f, &read, f->segment.end_offset - 1, 1 << 20), -EAGAIN);
    fixture_read_free(&read);
    fixture_free(f);
}

Test(log, deleted_segment_is_gone_not_damaged)
{
    struct fixture_plan plan = { .seed = 6 };
    struct fixture *f = fixture_make(&plan, UINT32_MAX);
    cr_assert_eq(log_segment_delete(f->dir, f->segment.base_offset), 0);
    struct log_read read = { 0 };
    cr_assert_eq(fixture_read(f, &read, 0, 1 << 20), -ENOENT);
    fixture_read_free(&read);
    cr_assert_eq(log_segment_delete(f->dir, f->segment.base_offset), 0, "deleting twice is fine");
    fixture_free(f);
}

/* ---- times ---- */

/* The first record at or after the time, by looking at every record. */
static bool model_time(const struct fixture *f, int64_t ms, uint64_t *offset, int64_t *found_ms)
{
    for (uint32_t i = 0; i < f->batch_count; i++) {
        struct batch b;
        struct record_iter it;
        struct record r;
        cr_assert(batch_decode(&b, f->bytes + f->batches[i].position, f->batches[i].bytes));
        record_iter_init(&it, &b, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
        while (record_next(&it, &r) > 0)
            if (r.timestamp_ms >= ms) {
                *offset = (uint64_t)r.offset;
                *found_ms = r.timestamp_ms;
                return true;
            }
    }
    return false;
}

static void times_agree(const struct fixture *f, const struct log_extent *extents, uint32_t count)
{
    char why[LOG_WHY_BYTES];
    for (int64_t ms = 1699999999900; ms < f->segment.max_timestamp_ms + 3; ms += 7) {
        uint64_t offset = 0, expected = 0;
        int64_t found = 0, expected_ms = 0;
        bool there = model_time(f, ms, &expected, &expected_ms);
        int result = log_find_time(f->dir, f->id, &f->segment, extents, count, ms, &offset, &found, why);
        cr_assert_eq(result, there ? 0 : -ENODATA, "time %" PRId64 ": %d %s", ms, result, why);
        if (there)
            cr_assert(offset == expected && found == expected_ms,
                      "time %" PRId64 ": offset %" PRIu64 ", expected %" PRIu64, ms, offset, expected);
    }
}

Test(log, finds_times)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct fixture_plan plan = plan_of(seed);
        struct fixture *f = fixture_make(&plan, seed % 2 ? UINT32_MAX : 9);
        uint32_t from = f->segment.extents;
        times_agree(f, f->extents + from, f->extent_count - from);
        fixture_free(f);
    }
}

/* ---- rebuilding ---- */

Test(log, rebuilt_index_reads_the_same)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct fixture_plan plan = plan_of(seed);
        struct fixture *f = fixture_make(&plan, UINT32_MAX);
        char path[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
        fixture_path(f, path, "index");
        if (seed % 3 == 0)
            unlink(path);
        else if (seed % 3 == 1)
            fixture_resize(f, "index", 100);
        else
            fixture_flip(f, "index", 70, 4);
        struct log_segment before = f->segment;
        struct log_read read = { 0 };
        cr_assert_eq(fixture_read(f, &read, f->segment.base_offset, 1 << 20), -EBADMSG);
        cr_assert(strstr(read.why, ".index: "), "%s", read.why);
        fixture_read_free(&read);
        cr_assert_eq(log_index_rebuild(f->dir, f->id, &f->segment, -1, why), 0, "%s", why);
        cr_assert_eq(f->segment.end_offset, before.end_offset);
        if (f->segment.sealed)
            cr_assert_eq(f->segment.max_timestamp_ms, before.max_timestamp_ms);
        cr_assert_eq(f->segment.extents, (before.bytes + 262143) / 262144);
        read_everywhere(f, NULL, 0);
        times_agree(f, NULL, 0);
        cr_assert_eq(log_verify(f->dir, f->id, &f->segment, no_finding, NULL), 0);
        fixture_free(f);
    }
}

/* Larger than the rebuilt extents, and than the window that rebuilding reads through. */
Test(log, rebuilds_across_many_extents_and_giant_batches)
{
    for (uint64_t seed = 20; seed < 24; seed++) {
        struct fixture_plan plan = { .seed = seed,
                                     .batches = 60,
                                     .value_max = 40000,
                                     .big_every = 20,
                                     .big_bytes = 1500000,
                                     .extent_blocks_max = 64,
                                     .gaps = true,
                                     .sealed = seed % 2 == 0 };
        struct fixture *f = fixture_make(&plan, UINT32_MAX);
        char why[LOG_WHY_BYTES];
        cr_assert_eq(log_verify(f->dir, f->id, &f->segment, no_finding, NULL), 0);
        read_everywhere(f, NULL, 0);
        cr_assert_eq(log_index_rebuild(f->dir, f->id, &f->segment, -1, why), 0, "%s", why);
        read_everywhere(f, NULL, 0);
        cr_assert_eq(log_verify(f->dir, f->id, &f->segment, no_finding, NULL), 0);
        /* Nothing known but the files. */
        struct log_segment unknown = { .base_offset = f->segment.base_offset };
        cr_assert_eq(log_verify(f->dir, f->id, &unknown, no_finding, NULL), 0);
        fixture_free(f);
    }
}

/* ---- files ---- */

Test(log, index_find_agrees_with_the_extents)
{
    struct fixture_plan plan = { .seed = 9, .batches = 2000, .extent_blocks_max = 1, .gaps = true };
    struct fixture *f = fixture_make(&plan, UINT32_MAX);
    char why[LOG_WHY_BYTES];
    cr_assert(f->extent_count > 200);
    for (uint64_t offset = 0; offset < f->segment.end_offset + 3; offset++) {
        uint32_t at = UINT32_MAX, expected = 0;
        for (uint32_t i = 0; i < f->extent_count && f->extents[i].first_offset <= offset; i++)
            expected = i;
        cr_assert_eq(log_index_find(f->dir, f->id, &f->segment, offset, &at, why), 0, "%s", why);
        cr_assert_eq(at, expected);
    }
    struct log_extent *out = calloc(f->extent_count + 5, sizeof(*out));
    cr_assert_eq(log_index_read(f->dir, f->id, &f->segment, 3, out, f->extent_count, why),
                 (int)f->extent_count - 3);
    cr_assert(memcmp(out, f->extents + 3, (f->extent_count - 3) * sizeof(*out)) == 0);
    cr_assert_eq(log_index_read(f->dir, f->id, &f->segment, f->extent_count, out, 5, why), 0);
    free(out);
    fixture_free(f);
}

Test(log, index_append_refuses_a_hole)
{
    struct fixture_plan plan = { .seed = 10 };
    struct fixture *f = fixture_make(&plan, UINT32_MAX);
    char why[LOG_WHY_BYTES];
    struct log_extent e = f->extents[0];
    cr_assert_eq(log_index_append(f->dir, f->id, 0, f->extent_count + 1, &e, 1, why), -EBADMSG);
    cr_assert_eq(fixture_size(f, "index"), 64u + 64u * f->extent_count);
    fixture_free(f);
}

Test(log, creating_again_empties_what_a_crash_left)
{
    struct fixture_plan plan = { .seed = 11 };
    struct fixture *f = fixture_make(&plan, UINT32_MAX);
    char why[LOG_WHY_BYTES];
    int fd;
    bool direct;
    cr_assert_eq(log_segment_create(f->dir, f->id, 0, 1 << 20, &fd, &direct, why), 0, "%s", why);
    file_close(fd);
    cr_assert_eq(fixture_size(f, "index"), 64u);
    cr_assert_eq(fixture_size(f, "log"), 1u << 20);
    uint8_t first[16] = { 1 };
    char path[LOG_PATH_BYTES];
    fixture_path(f, path, "log");
    fd = file_open(path, FILE_READ, NULL);
    cr_assert_eq(file_read(fd, first, sizeof(first), 0), 16);
    file_close(fd);
    cr_assert(first[0] == 0 && first[8] == 0);
    fixture_free(f);
}

Test(log, sealing_refuses_a_file_that_lost_its_end)
{
    struct fixture_plan plan = { .seed = 12 };
    struct fixture *f = fixture_make(&plan, UINT32_MAX);
    fixture_resize(f, "log", 100);
    cr_assert_eq(log_segment_seal(f->dir, 0, f->segment.bytes), -EBADMSG);
    cr_assert_eq(fixture_size(f, "log"), 100u);
    fixture_free(f);
}

Test(log, names)
{
    char path[LOG_PATH_BYTES];
    uint64_t base = 1;
    log_segment_path(path, "a/b", 42, "log");
    cr_assert_str_eq(path, "a/b/00000000000000000042.log");
    cr_assert(log_segment_name("00000000000000000042.log", &base) && base == 42);
    cr_assert(log_segment_name("18446744073709551615.log", &base) && base == UINT64_MAX);
    cr_assert_not(log_segment_name("18446744073709551616.log", &base));
    cr_assert_not(log_segment_name("00000000000000000042.index", &base));
    cr_assert_not(log_segment_name("0000000000000000042.log", &base));
    cr_assert_not(log_segment_name("00000000000000000042.log.tmp", &base));
    cr_assert_not(log_segment_name("", &base));
}
