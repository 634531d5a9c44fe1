/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: what is built is taken and read back the same; whatever is altered is refused by name.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/batch_layout.h"
#include "proto/big_endian.h"
#include "proto/crc32c.h"
#include "proto/varint.h"

enum { BUFFER = 1 << 16 };

static struct bytes none;

static struct bytes text(const char *s)
{
    return bytes_of(s);
}

static bool same(struct bytes a, struct bytes b)
{
    if (!a.at || !b.at)
        return a.at == b.at;
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Three records: with headers, with null key and value, with empty ones. */
static uint32_t build(uint8_t *buffer)
{
    struct batch_builder b;
    struct header headers[] = {
        { text("ce_id"), text("42") },
        { text(""), none },
        { text("empty"), text("") },
    };
    batch_build_start(&b, buffer, BUFFER);
    cr_assert(batch_build_add(&b, 1700000000000, text("key"), text("value"), headers, 3));
    cr_assert(batch_build_add(&b, 1700000000500, none, none, NULL, 0));
    cr_assert(batch_build_add(&b, 1699999999000, text(""), text(""), headers, 1));
    return batch_build_finish(&b, 77, 3, 1000);
}

static void sign(uint8_t *b, uint32_t bytes)
{
    be32_store(b + AT_CRC, crc32c(0, b + AT_ATTRIBUTES, bytes - AT_ATTRIBUTES));
}

static enum error check(const uint8_t *b, uint64_t bytes)
{
    struct batch out;
    char why[128] = "";
    enum error error = batch_check(&out, b, bytes, why);
    cr_assert_eq(error == ERR_OK, why[0] == 0, "%s: %s", error_name((uint16_t)error), why);
    cr_assert_eq(batch_check(&out, b, bytes, NULL), error);
    return error;
}

Test(batch, built_is_sound_and_reads_back)
{
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    struct batch b;
    char why[128];
    cr_assert_eq(batch_check(&b, buffer, bytes, why), ERR_OK, "%s", why);
    cr_assert_eq(b.bytes, bytes);
    cr_assert_eq(batch_bytes(buffer, bytes), bytes);
    cr_assert_eq(b.count, 3);
    cr_assert_eq(b.last_offset_delta, 2);
    cr_assert_eq(b.base_timestamp_ms, 1700000000000);
    cr_assert_eq(b.max_timestamp_ms, 1700000000500);
    cr_assert_eq(b.producer_id, 77);
    cr_assert_eq(b.producer_epoch, 3);
    cr_assert_eq(b.base_sequence, 1000);
    cr_assert_eq(b.attributes, 0);

    batch_set_base_offset(buffer, 5000);
    batch_set_leader_epoch(buffer, 9);
    cr_assert_eq(batch_check(&b, buffer, bytes, why), ERR_OK, "the checksum does not cover these");
    cr_assert_eq(b.base_offset, 5000);
    cr_assert_eq(b.leader_epoch, 9);
    cr_assert_eq(batch_base_offset(buffer), 5000);
    cr_assert_eq(batch_end_offset(buffer), 5003);

    struct record_iter it;
    struct record r;
    record_iter_init(&it, &b, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
    cr_assert_eq(record_next(&it, &r), 1);
    cr_assert_eq(r.offset, 5000);
    cr_assert_eq(r.timestamp_ms, 1700000000000);
    cr_assert(same(r.key, text("key")));
    cr_assert(same(r.value, text("value")));
    cr_assert_eq(r.header_count, 3);
    struct reader h = reader_of(r.headers.at, r.headers.len);
    struct bytes name, value;
    cr_assert_eq(record_header(&h, &name, &value), 1);
    cr_assert(same(name, text("ce_id")) && same(value, text("42")));
    cr_assert_eq(record_header(&h, &name, &value), 1);
    cr_assert(same(name, text("")) && same(value, none));
    cr_assert_eq(record_header(&h, &name, &value), 1);
    cr_assert(same(name, text("empty")) && same(value, text("")));
    cr_assert_eq(record_header(&h, &name, &value), 0);

    cr_assert_eq(record_next(&it, &r), 1);
    cr_assert_eq(r.offset, 5001);
    cr_assert_eq(r.timestamp_ms, 1700000000500);
    cr_assert(same(r.key, none) && same(r.value, none));
    cr_assert_eq(r.header_count, 0);
    cr_assert_eq(record_next(&it, &r), 1);
    cr_assert_eq(r.timestamp_ms, 1699999999000);
    cr_assert(same(r.key, text("")) && same(r.value, text("")));
    cr_assert_eq(record_next(&it, &r), 0);
}

Test(batch, append_time)
{
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    batch_set_append_time(buffer, 1800000000000);
    struct batch b;
    cr_assert(batch_decode(&b, buffer, bytes));
    cr_assert_eq(b.attributes, BATCH_LOG_APPEND_TIME);
    cr_assert_eq(b.max_timestamp_ms, 1800000000000);
    cr_assert_eq(b.crc, crc32c(0, buffer + 21, bytes - 21));
    struct record_iter it;
    struct record r;
    record_iter_init(&it, &b, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(record_next(&it, &r), 1);
        cr_assert_eq(r.timestamp_ms, 1800000000000);
    }
    cr_assert_eq(check(buffer, bytes), ERR_BATCH_INVALID, "producers may not claim append time");
}

Test(batch, producer_is_rewritten)
{
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    batch_set_producer(buffer, 123456789012, 5, 42);
    struct batch b;
    char why[128];
    cr_assert_eq(batch_check(&b, buffer, bytes, why), ERR_OK, "%s", why);
    cr_assert_eq(b.producer_id, 123456789012);
    cr_assert_eq(b.producer_epoch, 5);
    cr_assert_eq(b.base_sequence, 42);
}

Test(batch, sealed_compressed_batch_is_not_walked)
{
    uint8_t buffer[BUFFER], sealed[BUFFER];
    uint32_t bytes = build(buffer);
    struct batch b, s;
    char why[128];
    cr_assert_eq(batch_check(&b, buffer, bytes, why), ERR_OK);
    memset(sealed + BATCH_HEADER, 0xee, 20);
    cr_assert_eq(batch_seal(sealed, &b, CODEC_ZSTD, 20), BATCH_HEADER + 20);
    cr_assert_eq(batch_check(&s, sealed, BATCH_HEADER + 20, why), ERR_OK, "%s", why);
    cr_assert_eq(s.attributes, CODEC_ZSTD);
    cr_assert_eq(s.count, 3);
    cr_assert_eq(s.producer_id, 77);
    /* Reading with the records that were in it before. */
    struct record_iter it;
    struct record r;
    record_iter_init(&it, &s, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
    int n = 0;
    while (record_next(&it, &r) == 1)
        n++;
    cr_assert_eq(n, 3);
}

Test(batch, every_flipped_bit_is_caught)
{
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    for (uint32_t bit = AT_MAGIC * 8; bit < bytes * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum error want = bit < AT_CRC * 8 ? ERR_BATCH_INVALID : ERR_BATCH_CORRUPT;
        cr_assert_eq(check(buffer, bytes), want, "bit %u", bit);
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (uint32_t bit = AT_LENGTH * 8; bit < AT_LEADER_EPOCH * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(check(buffer, bytes), ERR_OK, "bit %u", bit);
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(check(buffer, bytes), ERR_OK);
}

Test(batch, every_flipped_bit_of_a_record_is_refused_or_harmless)
{
    /* With the checksum made good again: what a malicious client can do. Whatever passes can be read. */
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    for (uint32_t bit = BATCH_HEADER * 8; bit < bytes * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        sign(buffer, bytes);
        struct batch b;
        char why[128];
        if (batch_check(&b, buffer, bytes, why) == ERR_OK) {
            struct record_iter it;
            struct record r;
            record_iter_init(&it, &b, (struct bytes){ b.at + BATCH_HEADER, b.bytes - BATCH_HEADER });
            for (int i = 0; i < 3; i++)
                cr_assert_eq(record_next(&it, &r), 1);
            cr_assert_eq(record_next(&it, &r), 0);
        }
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(batch, truncated_at_every_byte)
{
    /* The copy ends where the input does, so that AddressSanitizer sees any read behind it. */
    uint8_t buffer[BUFFER];
    uint32_t bytes = build(buffer);
    for (uint32_t n = 0; n < bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, buffer, n);
        cr_assert_eq(check(cut, n), ERR_BATCH_INVALID, "%u bytes", n);
        struct batch b;
        cr_assert(!batch_decode(&b, cut, n));
        /* The same with a length field that agrees. */
        if (n >= BATCH_HEADER) {
            be32_store(cut + AT_LENGTH, n - BATCH_LENGTH_OVERHEAD);
            sign(cut, n);
            cr_assert_eq(check(cut, n), ERR_BATCH_INVALID, "%u bytes, signed", n);
        }
        free(cut);
    }
}

struct edit {
    const char *what;
    uint32_t at, size;
    uint64_t value;
    bool passes;
};

Test(batch, header_fields)
{
    static const struct edit edits[] = {
        { "count 0", AT_COUNT, 4, 0, false },
        { "count negative", AT_COUNT, 4, 0xffffffff, false },
        { "count too small", AT_COUNT, 4, 2, false },
        { "count too large", AT_COUNT, 4, 4, false },
        { "delta too small", AT_LAST_OFFSET_DELTA, 4, 1, false },
        { "delta too large", AT_LAST_OFFSET_DELTA, 4, 3, false },
        { "delta negative", AT_LAST_OFFSET_DELTA, 4, 0xffffffff, false },
        { "codec 5", AT_ATTRIBUTES, 2, 5, false },
        { "codec 7", AT_ATTRIBUTES, 2, 7, false },
        { "codec lz4: records are opaque", AT_ATTRIBUTES, 2, CODEC_LZ4, true },
        { "append time", AT_ATTRIBUTES, 2, BATCH_LOG_APPEND_TIME, false },
        { "transactional", AT_ATTRIBUTES, 2, BATCH_TRANSACTIONAL, false },
        { "control", AT_ATTRIBUTES, 2, BATCH_CONTROL, false },
        { "unused bit", AT_ATTRIBUTES, 2, 0x8000, false },
        { "producer -2", AT_PRODUCER_ID, 8, (uint64_t)-2, false },
        { "no producer", AT_PRODUCER_ID, 8, (uint64_t)-1, true },
        { "epoch -1", AT_PRODUCER_EPOCH, 2, 0xffff, false },
        { "sequence -1", AT_BASE_SEQUENCE, 4, 0xffffffff, false },
        { "base offset", AT_BASE_OFFSET, 8, 12345, true },
        { "leader epoch", AT_LEADER_EPOCH, 4, 0x80000000, true },
        { "base timestamp", AT_BASE_TIMESTAMP, 8, INT64_MAX, true },
        { "magic 1", AT_MAGIC, 1, 1, false },
        { "length below a header", AT_LENGTH, 4, 48, false },
        { "length negative", AT_LENGTH, 4, 0x80000000, false },
        { "length largest", AT_LENGTH, 4, 0x7fffffff, false },
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        uint8_t buffer[BUFFER];
        uint32_t bytes = build(buffer);
        const struct edit *e = &edits[i];
        for (uint32_t k = 0; k < e->size; k++)
            buffer[e->at + k] = (uint8_t)(e->value >> 8 * (e->size - 1 - k));
        sign(buffer, bytes);
        cr_assert_eq(check(buffer, bytes), e->passes ? ERR_OK : ERR_BATCH_INVALID, "%s", e->what);
    }
}

/* A batch of one record whose bytes are given. */
static enum error check_record(const void *record, uint32_t len, int32_t count)
{
    uint8_t *buffer = malloc(BATCH_HEADER + len);
    struct batch like = { .count = count, .last_offset_delta = count - 1, .producer_id = -1 };
    memcpy(buffer + BATCH_HEADER, record, len);
    enum error error = check(buffer, batch_seal(buffer, &like, CODEC_NONE, len));
    free(buffer);
    return error;
}
#define RECORD(...)                                                                                          \
    check_record((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), 1)

Test(batch, records)
{
    /* length 6, attributes, timestamp delta, offset delta, key null, value null, no headers */
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 1, 0), ERR_OK);
    cr_assert_eq(RECORD(12, 99, 0, 0, 1, 1, 0), ERR_OK, "attributes mean nothing");
    cr_assert_eq(RECORD(14, 0, 0, 0x80, 0, 1, 1, 0), ERR_OK, "a padded number is a number");
    cr_assert_eq(RECORD(16, 0, 0, 0, 2, 'k', 2, 'v', 0), ERR_OK);
    cr_assert_eq(RECORD(22, 0, 0, 0, 1, 1, 2, 2, 'n', 1, 0, 1), ERR_BATCH_INVALID, "left over in headers");
    cr_assert_eq(RECORD(18, 0, 0, 0, 1, 1, 2, 2, 'n', 1), ERR_OK);
    cr_assert_eq(RECORD(18, 0, 0, 0, 1, 1, 2, 1, 0, 0), ERR_BATCH_INVALID, "null header name");
    cr_assert_eq(RECORD(16, 0, 0, 0, 1, 1, 2, 0, 3), ERR_BATCH_INVALID, "header value length -2");
    cr_assert_eq(RECORD(12, 0, 0, 2, 1, 1, 0), ERR_BATCH_INVALID, "offset delta 1");
    cr_assert_eq(RECORD(12, 0, 0, 1, 1, 1, 0), ERR_BATCH_INVALID, "offset delta -1");
    cr_assert_eq(RECORD(12, 0, 0, 0, 3, 1, 0), ERR_BATCH_INVALID, "key length -2");
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 3, 0), ERR_BATCH_INVALID, "value length -2");
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 1, 1), ERR_BATCH_INVALID, "header count -1");
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 1, 2), ERR_BATCH_INVALID, "header missing");
    cr_assert_eq(RECORD(12, 0, 0, 0, 8, 1, 0), ERR_BATCH_INVALID, "key crosses the record");
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 2, 0), ERR_BATCH_INVALID, "value takes the header count's place");
    cr_assert_eq(RECORD(10, 0, 0, 0, 1, 1, 0), ERR_BATCH_INVALID, "length too small");
    cr_assert_eq(RECORD(14, 0, 0, 0, 1, 1, 0), ERR_BATCH_INVALID, "length too large");
    cr_assert_eq(RECORD(14, 0, 0, 0, 1, 1, 0, 0), ERR_BATCH_INVALID, "left over in the record");
    cr_assert_eq(RECORD(12, 0, 0, 0, 1, 1, 0, 0), ERR_BATCH_INVALID, "left over in the batch");
    cr_assert_eq(RECORD(11, 0, 0, 0, 1, 1, 0), ERR_BATCH_INVALID, "length negative");
    cr_assert_eq(RECORD(0x8c, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 1, 1, 0), ERR_BATCH_INVALID,
                 "a length of 6 bytes");
    cr_assert_eq(RECORD(0x8c, 0x80, 0x80, 0x80, 0, 0, 0, 0, 1, 1, 0), ERR_OK, "a length of 5 bytes");
    cr_assert_eq(RECORD(0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 1, 1, 0), ERR_BATCH_INVALID,
                 "a length beyond 32 bits");
    cr_assert_eq(RECORD(32, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0),
                 ERR_BATCH_INVALID, "a timestamp delta of 11 bytes");
    cr_assert_eq(RECORD(30, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 1, 1, 0),
                 ERR_BATCH_INVALID, "a timestamp delta beyond 64 bits");
    cr_assert_eq(RECORD(30, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 1, 1, 0), ERR_OK,
                 "the smallest timestamp delta");
    /* Two records, where the first's fields run into the second. */
    static const uint8_t overrun[] = { 12, 0, 0, 0, 1, 1, 0x80, 12, 0, 0, 2, 1, 1, 0 };
    cr_assert_eq(check_record(overrun, sizeof(overrun), 2), ERR_BATCH_INVALID);
}

Test(batch, what_does_not_fit_leaves_the_builder_as_it_was)
{
    uint8_t buffer[BATCH_HEADER + 40];
    struct batch_builder b;
    batch_build_start(&b, buffer, sizeof(buffer));
    cr_assert(batch_build_add(&b, 5, none, text("0123456789"), NULL, 0));
    struct batch_builder before = b;
    cr_assert(!batch_build_add(&b, 9, none, text("0123456789012345678901234567890123"), NULL, 0));
    cr_assert_eq(memcmp(&before, &b, sizeof(b)), 0);
    cr_assert(batch_build_add(&b, 6, none, text("1"), NULL, 0));
    uint32_t bytes = batch_build_finish(&b, -1, -1, -1);
    cr_assert_leq(bytes, sizeof(buffer));
    cr_assert_eq(check(buffer, bytes), ERR_OK);

    batch_build_start(&b, buffer, BATCH_HEADER - 1);
    cr_assert(!batch_build_add(&b, 5, none, none, NULL, 0));
    cr_assert_eq(batch_build_finish(&b, -1, -1, -1), 0);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Test(batch, random_batches_read_back)
{
    uint64_t seed = 88172645463325252u, x = seed;
    static uint8_t buffer[1 << 20], content[4096];
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)next_random(&x);
    for (int round = 0; round < 300; round++) {
        struct batch_builder b;
        uint64_t start = x;
        batch_build_start(&b, buffer, sizeof(buffer));
        int want = 1 + (int)(next_random(&x) % 400);
        int64_t times[400];
        uint32_t lens[400];
        for (int i = 0; i < want; i++) {
            struct header headers[3];
            uint32_t n = (uint32_t)(next_random(&x) % 4);
            for (uint32_t k = 0; k < n; k++)
                headers[k] = (struct header){ { content, (uint32_t)(next_random(&x) % 100) },
                                              { next_random(&x) % 5 ? content : NULL, 0 } };
            times[i] = (int64_t)next_random(&x) >> next_random(&x) % 64;
            lens[i] = (uint32_t)(next_random(&x) % (next_random(&x) % 8 ? 100 : 2000));
            struct bytes value = { content, lens[i] }, key = { content, lens[i] % 70 };
            uint8_t *before = b.w.at;
            cr_assert(batch_build_add(&b, times[i], key, value, headers, n));
            cr_assert_leq((uint64_t)(b.w.at - before), record_bytes_max(key, value, headers, n));
        }
        uint32_t bytes = batch_build_finish(&b, -1, -1, -1);
        struct batch out;
        char why[128];
        cr_assert_eq(batch_check(&out, buffer, bytes, why), ERR_OK, "seed %lu, state %lu: %s", seed, start,
                     why);
        struct record_iter it;
        struct record r;
        record_iter_init(&it, &out, (struct bytes){ out.at + BATCH_HEADER, out.bytes - BATCH_HEADER });
        for (int i = 0; i < want; i++) {
            cr_assert_eq(record_next(&it, &r), 1);
            cr_assert_eq(r.offset, i);
            cr_assert_eq(r.timestamp_ms, times[i]);
            cr_assert_eq(r.value.len, lens[i]);
            cr_assert_eq(memcmp(r.value.at, content, lens[i]), 0);
            cr_assert_eq(r.key.len, lens[i] % 70);
        }
        cr_assert_eq(record_next(&it, &r), 0);
    }
}

/* Any records are taken out: what is left is as it was, closed up, and a good batch. */
Test(batch, records_are_taken_out)
{
    enum { COUNT = 300 };
    static uint8_t whole[BUFFER], buffer[BUFFER];
    uint64_t x = 42;
    struct batch_builder b;
    batch_build_start(&b, whole, sizeof(whole));
    for (uint32_t i = 0; i < COUNT; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %u", i);
        const struct header header = { text("n"), text(value) };
        cr_assert(batch_build_add(&b, 1000000 + (int64_t)(next_random(&x) % 100000), i % 3 ? text("k") : none,
                                  text(value), &header, i % 2));
    }
    const uint32_t bytes = batch_build_finish(&b, 7, 1, 40);
    for (int round = 0; round < 200; round++) {
        uint32_t out[COUNT], kept[COUNT], outs = 0, keeps = 0;
        const uint64_t odds = 1 + next_random(&x) % 10;
        for (uint32_t i = 0; i < COUNT; i++)
            if (next_random(&x) % 10 < odds)
                out[outs++] = i;
            else
                kept[keeps++] = i;
        memcpy(buffer, whole, bytes);
        struct batch batch;
        cr_assert(batch_decode(&batch, buffer, bytes));
        const uint32_t left = records_without(&batch, buffer + BATCH_HEADER, bytes - BATCH_HEADER, out, outs);
        cr_assert_eq((uint32_t)batch.count, keeps);
        cr_assert_eq(left == 0, keeps == 0);
        if (!keeps)
            continue;
        const uint32_t sealed = batch_seal(buffer, &batch, CODEC_NONE, left);
        cr_assert_eq(check(buffer, sealed), ERR_OK);
        struct record_iter it, old_it;
        struct record r, old = { .offset = -1 };
        struct batch before;
        int64_t newest = 0;
        cr_assert(batch_decode(&before, whole, bytes) && batch_decode(&batch, buffer, sealed));
        record_iter_init(&old_it, &before, (struct bytes){ whole + BATCH_HEADER, bytes - BATCH_HEADER });
        record_iter_init(&it, &batch, (struct bytes){ buffer + BATCH_HEADER, sealed - BATCH_HEADER });
        for (uint32_t i = 0; i < keeps; i++) {
            while (old.offset < (int64_t)kept[i])
                cr_assert_eq(record_next(&old_it, &old), 1);
            cr_assert_eq(record_next(&it, &r), 1);
            cr_assert_eq(r.offset, i);
            cr_assert_eq(r.timestamp_ms, old.timestamp_ms);
            cr_assert(same(r.key, old.key) && same(r.value, old.value) && same(r.headers, old.headers));
            newest = r.timestamp_ms > newest ? r.timestamp_ms : newest;
        }
        cr_assert_eq(record_next(&it, &r), 0);
        cr_assert(batch.max_timestamp_ms == newest && batch.producer_id == 7 && batch.base_sequence == 40);
        const uint32_t behind = COUNT; /* there is none with this number */
        cr_assert_eq(records_without(&before, buffer + BATCH_HEADER, left, &behind, 1), 0);
    }
}

Test(varint, round_trip)
{
    uint64_t x = 1234567;
    for (int i = 0; i < 100000; i++) {
        uint8_t buffer[VARLONG_MAX];
        int64_t v = (int64_t)next_random(&x) >> next_random(&x) % 64;
        const uint8_t *end = varlong_put(buffer, v);
        cr_assert_eq((uint32_t)(end - buffer), varlong_size(v));
        struct varint got = varlong_get(buffer, end);
        cr_assert(got.after == end && got.value == v, "%ld", v);
        for (const uint8_t *cut = buffer; cut < end; cut++)
            cr_assert_null(varlong_get(buffer, cut).after);
        got = varint_get(buffer, end);
        cr_assert_eq(got.after != NULL, v >= INT32_MIN && v <= INT32_MAX);
        cr_assert(!got.after || (got.after == end && got.value == v));
    }
}
