/* SPDX-License-Identifier: Apache-2.0
 *
 * The log room on damaged files: a flipped bit anywhere, a cut, a file of another partition, garbage. A
 * reader gets the right bytes or a named error, never wrong bytes; verifying finds every flip.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "effort.h"
#include "log/log_entry.h"
#include "log_fixture.h"
#include "proto/batch.h"
#include "proto/crc32c.h"

struct found {
    int count;
    char file[LOG_PATH_BYTES];
    uint64_t position;
    char text[LOG_WHY_BYTES];
};

static void note(void *ctx, const char *file, uint64_t position, const char *text)
{
    struct found *found = ctx;
    if (found->count++ == 0) {
        snprintf(found->file, sizeof(found->file), "%s", file);
        found->position = position;
        snprintf(found->text, sizeof(found->text), "%s", text);
    }
}

static struct fixture *small(uint64_t seed)
{
    struct fixture_plan plan = { .seed = seed,
                                 .batches = 40,
                                 .value_max = 400,
                                 .extent_blocks_max = 1,
                                 .gaps = true,
                                 .memory = true,
                                 .sealed = true };
    return fixture_make(&plan, UINT32_MAX);
}

/* Reads the whole segment from front to back. Returns 0, or the first error, which must have a sentence. */
static int read_all(const struct fixture *f, char *why)
{
    uint64_t offset = f->segment.base_offset;
    while (offset < f->segment.end_offset) {
        struct log_read read = { 0 };
        int result = fixture_read(f, &read, offset, 2 * LOG_BLOCK);
        if (result == 0)
            fixture_expect(f, &read);
        fixture_read_free(&read);
        memcpy(why, read.why, LOG_WHY_BYTES);
        if (result < 0)
            return result;
        offset = read.next_offset;
    }
    return 0;
}

static void flip_every_byte(const char *suffix)
{
    struct fixture *f = small(31);
    uint64_t bytes = fixture_size(f, suffix);
    char why[LOG_WHY_BYTES];
    cr_assert(bytes > 300);
    for (uint64_t at = 0; at < bytes; at += effort(1, 3, 1)) {
        uint8_t mask = (uint8_t)(1u << (at % 8));
        fixture_flip(f, suffix, at, mask);
        int result = read_all(f, why);
        cr_assert(result == -EBADMSG, "%s byte %" PRIu64 ": %d", suffix, at, result);
        cr_assert(why[0] != '\0');
        struct found found = { 0 };
        int findings = log_verify(f->dir, f->id, &f->segment, note, &found);
        cr_assert(findings > 0 && found.count == findings, "%s byte %" PRIu64 " is not found: %d", suffix, at,
                  findings);
        if (at % 8 == 3) {
            struct log_segment unknown = { .base_offset = f->segment.base_offset };
            found.count = 0;
            cr_assert(log_verify(f->dir, f->id, &unknown, note, &found) > 0, "%s byte %" PRIu64, suffix, at);
            uint64_t offset;
            int64_t ms;
            result = log_find_time(f->dir, f->id, &f->segment, NULL, 0, f->segment.max_timestamp_ms, &offset,
                                   &ms, why);
            cr_assert(result == 0 || result == -EBADMSG);
        }
        fixture_flip(f, suffix, at, mask);
    }
    cr_assert_eq(read_all(f, why), 0);
    fixture_free(f);
}

Test(log_damage, every_flip_in_the_log, .timeout = 300)
{
    flip_every_byte("log");
}

Test(log_damage, every_flip_in_the_index)
{
    flip_every_byte("index");
}

/* A flip in the .log when the index is lost as well: only the leader epoch (4 bytes of each batch's header)
 * is covered by nothing then. */
Test(log_damage, rebuilding_meets_flips, .timeout = 300)
{
    struct fixture *f = small(32);
    char why[LOG_WHY_BYTES];
    uint32_t batch = 0;
    for (uint64_t at = 0; at < f->segment.bytes; at += effort(1, 3, 1)) {
        while (batch + 1 < f->batch_count && f->batches[batch + 1].position <= at)
            batch++;
        uint64_t field = at - f->batches[batch].position;
        /* Offsets: gaps are lawful, so only what goes below the neighbour, or above the next, is known bad.
         */
        if (field < 8 || (field >= 12 && field < 16))
            continue;
        fixture_flip(f, "log", at, (uint8_t)(1u << (at % 8)));
        struct log_segment segment = f->segment;
        int result = log_index_rebuild(f->dir, f->id, &segment, -1, why);
        cr_assert_eq(result, -EBADMSG, "byte %" PRIu64 ": %d", at, result);
        cr_assert(strstr(why, ".log: batch at position"), "%s", why);
        fixture_flip(f, "log", at, (uint8_t)(1u << (at % 8)));
    }
    fixture_free(f);
}

/* Cut anywhere: what is before the cut may still be read, what is behind is named. */
Test(log_damage, every_cut)
{
    for (int index = 0; index < 2; index++) {
        const char *suffix = index ? "index" : "log";
        struct fixture *f = small(33);
        char why[LOG_WHY_BYTES];
        for (uint64_t bytes = fixture_size(f, suffix); bytes-- > 0;) {
            if (!index && bytes % 7 != 0)
                continue;
            fixture_resize(f, suffix, bytes);
            cr_assert_eq(read_all(f, why), -EBADMSG, "%s cut to %" PRIu64, suffix, bytes);
            struct found found = { 0 };
            cr_assert(log_verify(f->dir, f->id, &f->segment, note, &found) > 0);
        }
        fixture_free(f);
    }
}

Test(log_damage, bytes_after_a_sealed_end_are_found)
{
    struct fixture *f = small(34);
    struct found found = { 0 };
    fixture_resize(f, "log", f->segment.bytes + 10);
    cr_assert_eq(log_verify(f->dir, f->id, &f->segment, note, &found), 1);
    cr_assert_eq(found.position, f->segment.bytes);
    fixture_resize(f, "log", f->segment.bytes);
    fixture_resize(f, "index", fixture_size(f, "index") + 64);
    cr_assert_eq(log_verify(f->dir, f->id, &f->segment, note, &found), 1);
    fixture_free(f);
}

/* The same bytes under another topic, partition or base offset are never valid. */
Test(log_damage, a_file_of_another_place)
{
    struct fixture *f = small(35);
    struct log_id ids[] = { { f->id.topic_id + 1, f->id.partition },
                            { f->id.topic_id, f->id.partition + 1 } };
    struct log_id own = f->id;
    char why[LOG_WHY_BYTES];
    for (int i = 0; i < 2; i++) {
        struct found found = { 0 };
        f->id = ids[i];
        cr_assert_eq(read_all(f, why), -EBADMSG);
        cr_assert(strstr(why, "belongs to topic id"), "%s", why);
        cr_assert(log_verify(f->dir, f->id, &f->segment, note, &found) > (int)f->extent_count);
        /* With right entries in memory the .log's own binding still refuses. */
        struct log_read read = { .extents = f->extents, .extent_count = f->extent_count };
        cr_assert_eq(fixture_read(f, &read, f->segment.base_offset, 1 << 20), -EBADMSG);
        fixture_read_free(&read);
        f->id = own;
    }
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    for (int index = 0; index < 2; index++) {
        fixture_path(f, from, index ? "index" : "log");
        log_segment_path(to, f->dir, 1, index ? "index" : "log");
        cr_assert_eq(rename(from, to), 0);
    }
    f->segment.base_offset = 1;
    cr_assert_eq(read_all(f, why), -EBADMSG);
    fixture_free(f);
}

/* Extents that changed places: each is valid by itself, but not there. */
Test(log_damage, swapped_extents)
{
    struct fixture *f = small(36);
    char path[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
    uint8_t a[LOG_BLOCK], b[LOG_BLOCK];
    fixture_path(f, path, "log");
    int fd = open(path, O_RDWR);
    cr_assert(pread(fd, a, LOG_BLOCK, 0) == LOG_BLOCK && pread(fd, b, LOG_BLOCK, LOG_BLOCK) == LOG_BLOCK);
    cr_assert(pwrite(fd, b, LOG_BLOCK, 0) == LOG_BLOCK && pwrite(fd, a, LOG_BLOCK, LOG_BLOCK) == LOG_BLOCK);
    close(fd);
    cr_assert_eq(read_all(f, why), -EBADMSG);
    fixture_path(f, path, "index");
    fd = open(path, O_RDWR);
    cr_assert(pread(fd, a, 64, 64) == 64 && pread(fd, b, 64, 128) == 64);
    cr_assert(pwrite(fd, b, 64, 64) == 64 && pwrite(fd, a, 64, 128) == 64);
    close(fd);
    cr_assert_eq(read_all(f, why), -EBADMSG);
    cr_assert(strstr(why, "entry 0 is damaged"), "%s", why);
    fixture_free(f);
}

Test(log_damage, an_unknown_version_is_named)
{
    struct fixture *f = small(37);
    char path[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
    uint8_t header[64];
    fixture_path(f, path, "index");
    int fd = open(path, O_RDWR);
    cr_assert_eq(pread(fd, header, 64, 0), 64);
    header[8] = 9;
    uint32_t crc = crc32c(0, header, 60);
    memcpy(header + 60, &crc, 4);
    cr_assert_eq(pwrite(fd, header, 64, 0), 64);
    close(fd);
    cr_assert_eq(read_all(f, why), -EPROTONOSUPPORT);
    cr_assert(strstr(why, "format version 9"), "%s", why);
    fixture_free(f);
}

/* ---- entries that lie under a right checksum ---- */

static void lie(struct fixture *f, uint32_t number, const struct log_extent *extent)
{
    char path[LOG_PATH_BYTES];
    uint8_t raw[LOG_INDEX_ENTRY];
    fixture_path(f, path, "index");
    log_entry_encode(raw, f->id, f->segment.base_offset, number, extent);
    int fd = open(path, O_RDWR);
    cr_assert_eq(pwrite(fd, raw, sizeof(raw), (off_t)log_entry_position(number)), (ssize_t)sizeof(raw));
    close(fd);
}

Test(log_damage, entries_that_contradict_themselves_or_each_other)
{
    struct fixture *f = small(39);
    uint32_t n = 1; /* the second extent: 4,096 bytes at 4,096 */
    struct log_extent good = f->extents[n], bad[] = { good, good, good, good, good, good, good,
                                                      good, good, good, good, good, good };
    bad[0].position += 1;
    bad[1].position += LOG_BLOCK;
    bad[2].position = (uint64_t)1 << 63;
    bad[3].bytes = 0;
    bad[4].bytes = 1u << 31;
    bad[5].bytes -= 1;
    bad[6].bytes *= 1024; /* past the segment's end */
    bad[7].first_delta = good.bytes + 1;
    bad[8].first_delta = good.bytes; /* nothing starts here, yet offsets go by */
    bad[9].first_offset = 0;
    bad[10].end_offset = UINT64_MAX;
    bad[11].max_timestamp_ms = 0;
    bad[12].flags = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char why[LOG_WHY_BYTES];
        lie(f, n, &bad[i]);
        cr_assert_eq(read_all(f, why), -EBADMSG, "lie %zu", i);
        cr_assert(strstr(why, ".index: "), "lie %zu: %s", i, why);
        struct found found = { 0 };
        cr_assert(log_verify(f->dir, f->id, &f->segment, note, &found) > 0, "lie %zu", i);
        lie(f, n, &good);
    }
    fixture_free(f);
}

/* Lies that only the batches can give away: reading may go wrong by no more than an error. */
Test(log_damage, entries_that_contradict_the_batches)
{
    struct fixture *f = small(40);
    uint32_t n = 2;
    struct log_extent good = f->extents[n], bad[] = { good, good, good, good };
    bad[0].first_delta += 1;
    bad[1].first_offset += 1;
    bad[2].max_timestamp_ms = f->extents[n - 1].max_timestamp_ms;
    bad[3].checksum ^= 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        lie(f, n, &bad[i]);
        for (uint64_t offset = f->segment.base_offset; offset < f->segment.end_offset; offset++) {
            struct log_read read = { 0 };
            int result = fixture_read(f, &read, offset, LOG_BLOCK);
            if (result == 0 && read.data)
                fixture_expect(f, &read);
            else
                cr_assert(result == -EBADMSG, "lie %zu: %d", i, result);
            fixture_read_free(&read);
        }
        struct found found = { 0 };
        bool told = bad[i].max_timestamp_ms == good.max_timestamp_ms ||
                    good.max_timestamp_ms > bad[i].max_timestamp_ms;
        cr_assert(!told || log_verify(f->dir, f->id, &f->segment, note, &found) > 0, "lie %zu", i);
        lie(f, n, &good);
    }
    fixture_free(f);
}

Test(log_damage, garbage)
{
    struct fixture *f = small(38);
    char path[LOG_PATH_BYTES], why[LOG_WHY_BYTES];
    uint8_t *garbage = malloc(1 << 16);
    for (int round = 0; round < 60; round++) {
        uint32_t bytes = fixture_random(f) % (1 << 16);
        for (uint32_t i = 0; i < bytes; i++)
            garbage[i] = (uint8_t)fixture_random(f);
        fixture_path(f, path, round % 2 ? "index" : "log");
        int fd = open(path, O_RDWR | O_TRUNC);
        cr_assert_eq(write(fd, garbage, bytes), (ssize_t)bytes);
        close(fd);
        cr_assert_eq(read_all(f, why), -EBADMSG, "round %d", round);
        struct found found = { 0 };
        cr_assert(log_verify(f->dir, f->id, &f->segment, note, &found) > 0);
        struct log_segment unknown = { .base_offset = f->segment.base_offset };
        cr_assert(log_verify(f->dir, f->id, &unknown, note, &found) > 0);
        unknown.bytes = fixture_size(f, "log");
        unknown.sealed = true;
        cr_assert_eq(log_index_rebuild(f->dir, f->id, &unknown, -1, why), unknown.bytes ? -EBADMSG : 0);
    }
    free(garbage);
    fixture_free(f);
}
