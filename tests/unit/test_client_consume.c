/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the client's consuming: every event once and in order, from anywhere, through broken connections,
 * compressed by whomever.
 */
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>

#include "client_test.h"
#include "proto/batch.h"

struct fixture {
    struct fake_broker *f;
    runnel_client *c;
};

static struct fixture begin(const struct fake_setup *setup)
{
    struct fixture x = { .f = fake_start(setup) };
    x.c = connect_fast(x.f);
    return x;
}

static void end(struct fixture *x)
{
    cr_assert_eq(runnel_close(x->c, 1000), 0);
    fake_stop(x->f);
}

/* Events 0 ... n - 1, number i in partition i % partitions, with key and headers. */
static void fill(struct fixture *x, uint32_t n, uint32_t partitions, const char *compression)
{
    runnel_options *o = options_of("compression", compression, "batch.bytes", "8192", NULL);
    runnel_producer *p = runnel_producer_new(x->c, "t", o, NULL, NULL);
    runnel_options_free(o);
    cr_assert_not_null(p);
    for (uint32_t i = 0; i < n; i++) {
        char text[16], key[16];
        struct runnel_header headers[] = { { "n", text, 0 }, { "nothing", NULL, 0 } };
        struct runnel_event e = RUNNEL_EVENT_INIT;
        e.value = text;
        e.value_len = headers[0].value_len = (size_t)snprintf(text, sizeof(text), "%u", i);
        e.key = key;
        e.key_len = (size_t)snprintf(key, sizeof(key), "k%u", i % 10);
        e.headers = headers;
        e.header_count = 2;
        e.partition = (int32_t)(i % partitions);
        e.timestamp_ms = 1000 + i;
        while (runnel_produce(p, &e, NULL) == -RUNNEL_E_QUEUE_FULL)
            runnel_wait(x->c, 100);
    }
    cr_assert_eq(runnel_producer_close(p, 10000), 0);
}

static runnel_consumer *consumer_from(struct fixture *x, const char *from, const char *partitions)
{
    runnel_options *o = options_of("from", from, "partitions", partitions, "reconnect.backoff.ms", "1", NULL);
    runnel_consumer *k = runnel_consumer_new(x->c, "t", o);
    runnel_options_free(o);
    return k;
}

static void check_record(const struct runnel_record *r, uint32_t partitions)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%lld", (long long)(r->offset * partitions + r->partition));
    cr_assert_eq(r->value_len, (size_t)n, "partition %d offset %lld", r->partition, (long long)r->offset);
    cr_assert_eq(memcmp(r->value, text, r->value_len), 0);
    cr_assert_eq(r->timestamp_ms, 1000 + atoi(text));
    cr_assert_eq(r->key_len, 2);
    cr_assert_eq(r->header_count, 2);
    const char *name;
    const void *value;
    size_t name_len, value_len;
    cr_assert_eq(runnel_record_header(r, 1, &name, &name_len, &value, &value_len), 0);
    cr_assert_eq(name_len, 7);
    cr_assert_null(value);
    cr_assert_eq(runnel_record_header(r, 0, &name, &name_len, &value, &value_len), 0);
    cr_assert_eq(value_len, (size_t)n);
    cr_assert_eq(runnel_record_header(r, 2, &name, &name_len, &value, &value_len), -RUNNEL_E_ARGUMENT);
}

/* Reads to the end: each partition's events in order, none missing, none twice. */
static uint32_t read_all(struct fixture *x, runnel_consumer *k, uint32_t partitions, int64_t first)
{
    int64_t next[FAKE_PARTITIONS_MAX];
    struct runnel_record r;
    uint32_t n = 0;
    for (uint32_t i = 0; i < FAKE_PARTITIONS_MAX; i++)
        next[i] = first;
    while (!runnel_at_end(k, 0)) {
        int rc = runnel_next(k, &r, 10000);
        cr_assert_eq(rc, 1, "%d: %s", rc, runnel_last_error(x->c)->text);
        cr_assert_eq(r.offset, next[r.partition]++);
        check_record(&r, partitions);
        n++;
    }
    return n;
}

Test(client_consume, everything_from_the_start)
{
    struct fixture x = begin(NULL);
    fill(&x, 30000, 3, "none");
    runnel_consumer *k = consumer_from(&x, "start", "all");
    cr_assert_eq(read_all(&x, k, 3, 0), 30000);
    struct runnel_record r;
    cr_assert_eq(runnel_next(k, &r, 0), 0);
    cr_assert_eq(runnel_ready(k), 0);
    cr_assert_eq(runnel_at_end(k, 1), 1);
    cr_assert_eq(runnel_consumer_partitions(k), 3);
    int64_t next, first, last;
    cr_assert_eq(runnel_consumer_position(k, 2, &next, &first, &last), 0);
    cr_assert(next == 10000 && first == 0 && last == 10000);
    cr_assert_lt(runnel_consumer_position(k, 3, &next, &first, &last), 0);
    runnel_consumer_close(k);
    end(&x);
}

Test(client_consume, from_anywhere)
{
    struct fixture x = begin(NULL);
    struct runnel_record r;
    fill(&x, 3000, 3, "none");
    runnel_consumer *k = consumer_from(&x, "500", "all");
    cr_assert_eq(read_all(&x, k, 3, 500), 1500);
    runnel_consumer_close(k);
    k = consumer_from(&x, "-7", "all");
    cr_assert_eq(read_all(&x, k, 3, 993), 21);
    runnel_consumer_close(k);
    k = consumer_from(&x, "@0", "2");
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(runnel_next(k, &r, 1000), 1);
        cr_assert_eq(r.partition, 2);
    }
    cr_assert(runnel_at_end(k, 1));
    runnel_consumer_close(k);
    k = consumer_from(&x, "end", "all");
    cr_assert(runnel_at_end(k, 0));
    cr_assert_eq(runnel_next(k, &r, 10), 0);
    fill(&x, 3, 3, "none");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(runnel_next(k, &r, 5000), 1);
        cr_assert_eq(r.offset, 1000);
    }
    runnel_consumer_close(k);
    end(&x);
}

Test(client_consume, lz4_and_zstd)
{
    static const char *codecs[] = { "lz4", "zstd" };
    for (int i = 0; i < 2; i++) {
        struct fixture x = begin(NULL);
        fill(&x, 10000, 3, codecs[i]);
        runnel_consumer *k = consumer_from(&x, "start", "all");
        cr_assert_eq(read_all(&x, k, 3, 0), 10000);
        end(&x);
    }
}

/* Events 0 ... 99 of partition 0 as one batch. */
static uint32_t plain_batch(uint8_t *buffer, uint32_t size)
{
    struct batch_builder b;
    batch_build_start(&b, buffer, size);
    for (int i = 0; i < 100; i++) {
        char text[16], key[16];
        snprintf(text, sizeof(text), "%d", i);
        snprintf(key, sizeof(key), "k%d", i % 10);
        struct header h[] = { { bytes_of("n"), bytes_of(text) }, { bytes_of("nothing"), { 0 } } };
        cr_assert(batch_build_add(&b, 1000 + i, bytes_of(key), bytes_of(text), h, 2));
    }
    return batch_build_finish(&b, -1, -1, -1);
}

static void append_packed(struct fixture *x, enum batch_codec codec, const uint8_t *packed, uint32_t n)
{
    uint8_t plain[8192], out[8192];
    struct batch like;
    cr_assert(batch_decode(&like, plain, plain_batch(plain, sizeof(plain))));
    memcpy(out + BATCH_HEADER, packed, n);
    fake_append(x->f, 0, out, batch_seal(out, &like, codec, n));
}

static uint32_t packed_by_gzip(uint8_t *out, uint32_t size)
{
    uint8_t plain[8192];
    uint32_t n = plain_batch(plain, sizeof(plain));
    z_stream z = {
        .next_in = plain + BATCH_HEADER, .avail_in = n - BATCH_HEADER, .next_out = out, .avail_out = size
    };
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return (uint32_t)z.total_out;
}

Test(client_consume, gzip_from_a_kafka_client)
{
    struct fixture x = begin(NULL);
    uint8_t packed[8192];
    append_packed(&x, CODEC_GZIP, packed, packed_by_gzip(packed, sizeof(packed)));
    runnel_consumer *k = consumer_from(&x, "start", "0");
    cr_assert_eq(read_all(&x, k, 1, 0), 100);
    end(&x);
}

Test(client_consume, snappy_plain_and_as_java_frames_it)
{
    struct fixture x = begin(NULL);
    uint8_t plain[8192], packed[16384] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1 };
    uint32_t n = plain_batch(plain, sizeof(plain)) - BATCH_HEADER, at = 16;
    size_t len = sizeof(packed);
    /* Two blocks. */
    for (uint32_t from = 0; from < n; from += n / 2 + 1) {
        uint32_t part = n - from < n / 2 + 1 ? n - from : n / 2 + 1;
        len = sizeof(packed) - at - 4;
        snappy_compress((char *)plain + BATCH_HEADER + from, part, (char *)packed + at + 4, &len);
        packed[at] = packed[at + 1] = 0;
        packed[at + 2] = (uint8_t)(len >> 8);
        packed[at + 3] = (uint8_t)len;
        at += 4 + (uint32_t)len;
    }
    append_packed(&x, CODEC_SNAPPY, packed, at);
    runnel_consumer *k = consumer_from(&x, "start", "0");
    cr_assert_eq(read_all(&x, k, 1, 0), 100);
    runnel_consumer_close(k);
    end(&x);

    x = begin(NULL);
    len = sizeof(packed);
    snappy_compress((char *)plain + BATCH_HEADER, n, (char *)packed, &len);
    append_packed(&x, CODEC_SNAPPY, packed, (uint32_t)len);
    k = consumer_from(&x, "start", "0");
    cr_assert_eq(read_all(&x, k, 1, 0), 100);
    end(&x);
}

Test(client_consume, packed_bytes_that_are_damaged)
{
    static const enum batch_codec codecs[] = { CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, 7 };
    uint8_t packed[8192];
    uint32_t n = packed_by_gzip(packed, sizeof(packed)), seed = 7;
    for (uint32_t i = 0; i < 60; i++) {
        struct fixture x = begin(NULL);
        struct runnel_record r;
        uint8_t bytes[8192];
        memcpy(bytes, packed, n);
        for (uint32_t j = 0; j < 3; j++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[(seed >> 8) % n] ^= (uint8_t)(1 << (seed & 7));
        }
        append_packed(&x, codecs[i % 5], bytes, i % 7 == 0 ? n / 2 : n);
        runnel_consumer *k = consumer_from(&x, "start", "0");
        cr_assert_not_null(k);
        int rc = 1;
        while (rc == 1)
            rc = runnel_next(k, &r, 5000);
        cr_assert(rc == -206 || rc == -50, "%d", rc); /* CLIENT_CODEC, BATCH_INVALID */
        cr_assert_not_null(strstr(runnel_last_error(x.c)->text, "topic t, partition 0"));
        end(&x);
    }
}

Test(client_consume, broken_connections_lose_and_repeat_nothing)
{
    struct fake_setup setup = { .deliver_bytes = 4096 };
    struct fixture x = begin(&setup);
    fill(&x, 30000, 3, "none");
    runnel_consumer *k = consumer_from(&x, "start", "all");
    struct runnel_record r;
    int64_t next[3] = { 0 };
    for (int n = 0; n < 30000; n++) {
        if (n % 1000 == 0)
            fake_drop(x.f);
        cr_assert_eq(runnel_next(k, &r, 10000), 1);
        cr_assert_eq(r.offset, next[r.partition]++);
        check_record(&r, 3);
        if (n % 1000 == 10)
            runnel_wait(x.c, 1); /* the lent record stays as it is, whatever is read */
        check_record(&r, 3);
    }
    cr_assert(runnel_at_end(k, 0));
    cr_assert_gt(fake_figure(x.f, FAKE_CONNECTIONS), 3);
    end(&x);
}

Test(client_consume, a_byte_at_a_time)
{
    struct fixture x = begin(NULL);
    fill(&x, 300, 3, "none");
    atomic_store(&fake_script(x.f)->dribble, 7);
    runnel_consumer *k = consumer_from(&x, "start", "all");
    cr_assert_eq(read_all(&x, k, 3, 0), 300);
    end(&x);
}

Test(client_consume, little_credit_is_given_back)
{
    struct fixture x = begin(NULL);
    fill(&x, 30000, 3, "none");
    runnel_options *o = options_of("from", "start", "credit.bytes", "4096", NULL);
    runnel_consumer *k = runnel_consumer_new(x.c, "t", o);
    runnel_options_free(o);
    cr_assert_eq(read_all(&x, k, 3, 0), 30000);
    end(&x);
}

Test(client_consume, an_end_for_the_moment_and_one_for_good)
{
    struct fake_setup setup = { .deliver_bytes = 4096 };
    struct fixture x = begin(&setup);
    struct runnel_record r;
    fill(&x, 3000, 3, "none");
    atomic_store(&fake_script(x.f)->end_code, 21); /* SLOW_READER */
    runnel_consumer *k = consumer_from(&x, "start", "all");
    cr_assert_eq(read_all(&x, k, 3, 0), 3000);
    runnel_consumer_close(k);
    atomic_store(&fake_script(x.f)->end_code, 30); /* TOPIC_NOT_FOUND: deleted */
    k = consumer_from(&x, "start", "all");
    int rc = 1, errors = 0;
    uint32_t n = 0;
    while (!runnel_at_end(k, 0)) {
        rc = runnel_next(k, &r, 5000);
        n += rc == 1;
        if (rc == 1)
            continue;
        cr_assert_eq(rc, -30);
        cr_assert_str_eq(runnel_last_error(x.c)->text, "ended by the fake broker");
        errors++;
    }
    cr_assert_eq(errors, 1);
    cr_assert_geq(n, 2000, "the other partitions go on");
    runnel_consumer_close(k);
    end(&x);
}

Test(client_consume, a_wrong_checksum_is_named)
{
    struct fixture x = begin(NULL);
    struct runnel_record r;
    fill(&x, 100, 1, "none");
    atomic_store(&fake_script(x.f)->spoil, 1);
    runnel_consumer *k = consumer_from(&x, "start", "0");
    int rc = 1;
    while (rc == 1)
        rc = runnel_next(k, &r, 5000);
    cr_assert_eq(rc, -51);
    cr_assert(runnel_last_error(x.c)->fatal, "it was the only partition");
    cr_assert_eq(runnel_next(k, &r, 0), -51);
    runnel_consumer_close(k);
    end(&x);
}

Test(client_consume, offsets_and_topics_that_are_not_there)
{
    struct fixture x = begin(NULL);
    fill(&x, 30000, 3, "none");
    fake_trim(x.f, 0, 5000);
    cr_assert_null(consumer_from(&x, "5", "0"));
    cr_assert_eq(runnel_last_error(x.c)->code, RUNNEL_E_OFFSET_OUT_OF_RANGE);
    cr_assert_null(consumer_from(&x, "start", "3"));
    cr_assert_eq(runnel_last_error(x.c)->code, 34);
    cr_assert_null(runnel_consumer_new(x.c, "missing", NULL));
    cr_assert_eq(runnel_last_error(x.c)->code, RUNNEL_E_TOPIC_NOT_FOUND);
    /* A first batch that begins before the offset asked for. */
    runnel_consumer *k = consumer_from(&x, "5555", "0");
    struct runnel_record r;
    cr_assert_eq(runnel_next(k, &r, 5000), 1);
    cr_assert_eq(r.offset, 5555);
    end(&x);
}

Test(client_consume, one_who_does_not_read_does_not_hold_up_others)
{
    struct fake_setup setup = { .deliver_bytes = 8192 };
    struct fixture x = begin(&setup);
    runnel_consumer *idle = consumer_from(&x, "start", "all");
    fill(&x, 30000, 3, "none");
    runnel_consumer *k = consumer_from(&x, "start", "all");
    cr_assert_eq(read_all(&x, k, 3, 0), 30000);
    runnel_consumer_close(k);
    fill(&x, 30000, 3, "none");
    cr_assert(runnel_ready(idle));
    struct runnel_record r;
    for (int i = 0; i < 30000; i++) {
        cr_assert_eq(runnel_next(idle, &r, 5000), 1);
        check_record(&r, 3);
    }
    end(&x);
}

Test(client_consume, subscriptions_closed_under_way)
{
    struct fixture x = begin(NULL);
    fill(&x, 3000, 3, "none");
    for (int i = 0; i < 300; i++) {
        runnel_consumer *k = consumer_from(&x, "start", "all");
        struct runnel_record r;
        cr_assert_not_null(k);
        if (i % 3)
            cr_assert_eq(runnel_next(k, &r, 5000), 1);
        runnel_consumer_close(k);
    }
    end(&x);
}

Test(client_consume, many_partitions)
{
    struct fake_setup setup = { .partitions = 64 };
    struct fixture x = begin(&setup);
    fill(&x, 64 * 100, 64, "none");
    runnel_consumer *k = consumer_from(&x, "start", "all");
    cr_assert_eq(read_all(&x, k, 64, 0), 6400);
    end(&x);
}
