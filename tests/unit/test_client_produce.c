/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the client's producing: every event reported once and stored once whatever the broker does.
 */
#include <stdlib.h>

#include "client_test.h"

static runnel_producer *producer_with(runnel_client *c, struct ledger *l, const char *name, const char *value)
{
    runnel_options *o = options_of("batch.bytes", "1024", "reconnect.backoff.ms", "1", name, value, NULL);
    runnel_producer *p = runnel_producer_new(c, "t", o, l ? ledger_delivery : NULL, l);
    runnel_options_free(o);
    cr_assert_not_null(p, "%s", runnel_last_error(c)->text);
    return p;
}

struct fixture {
    struct fake_broker *f;
    runnel_client *c;
    runnel_producer *p;
    struct ledger *l;
};

static struct fixture begin_with(const struct fake_setup *setup, const char *name, const char *value)
{
    struct fixture x = { .f = fake_start(setup), .l = ledger_new() };
    x.c = connect_fast(x.f);
    x.p = producer_with(x.c, x.l, name, value);
    return x;
}

static struct fixture begin(void)
{
    return begin_with(NULL, NULL, NULL);
}

static void end(struct fixture *x, uint32_t partitions)
{
    cr_assert_eq(runnel_flush(x->p, 30000), 0, "%s", runnel_last_error(x->c)->text);
    cr_assert_eq(runnel_queued(x->p), 0);
    ledger_check(x->l, x->f, partitions);
    cr_assert_eq(runnel_close(x->c, 1000), 0);
    fake_stop(x->f);
    free(x->l);
}

Test(client_produce, every_event_is_reported_and_stored_once)
{
    struct fixture x = begin();
    cr_assert_eq(runnel_producer_partitions(x.p), 3);
    ledger_run(x.l, x.c, x.p, 20000, 3);
    end(&x, 3);
}

Test(client_produce, without_a_key_all_partitions_get_their_share)
{
    struct fixture x = begin();
    ledger_run(x.l, x.c, x.p, 30000, 0);
    cr_assert_eq(runnel_flush(x.p, 30000), 0);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_gt(fake_end(x.f, i), 5000);
    end(&x, 3);
}

Test(client_produce, a_lone_event_is_sent_at_once)
{
    struct fixture x = begin();
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(ledger_produce(x.l, x.p, 0), 0);
        while (runnel_queued(x.p))
            cr_assert_geq(runnel_wait(x.c, 1000), 0);
    }
    cr_assert_eq(fake_figure(x.f, FAKE_BATCHES), 20);
    end(&x, 3);
}

Test(client_produce, a_busy_producer_sends_large_batches)
{
    struct fixture x = begin_with(NULL, "batch.bytes", "65536");
    ledger_run(x.l, x.c, x.p, 50000, 1);
    cr_assert_eq(runnel_flush(x.p, 30000), 0);
    cr_assert_lt(fake_figure(x.f, FAKE_BATCHES), 5000);
    end(&x, 3);
}

Test(client_produce, lingering_gathers)
{
    struct fixture x = begin_with(NULL, "linger.us", "50000");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(ledger_produce(x.l, x.p, 0), 0);
    runnel_process(x.c);
    cr_assert_eq(fake_figure(x.f, FAKE_REQUESTS), 0);
    while (runnel_queued(x.p))
        cr_assert_geq(runnel_wait(x.c, 1000), 0);
    cr_assert_eq(fake_figure(x.f, FAKE_BATCHES), 1);
    end(&x, 3);
}

Test(client_produce, connections_that_break_before_storing)
{
    struct fixture x = begin();
    atomic_store(&fake_script(x.f)->drop_repeat, 50);
    atomic_store(&fake_script(x.f)->drop_after, 3);
    ledger_run(x.l, x.c, x.p, 20000, 3);
    end(&x, 3);
}

Test(client_produce, connections_that_break_after_storing)
{
    struct fixture x = begin();
    atomic_store(&fake_script(x.f)->drop_stored, 1);
    atomic_store(&fake_script(x.f)->drop_repeat, 50);
    atomic_store(&fake_script(x.f)->drop_after, 3);
    ledger_run(x.l, x.c, x.p, 20000, 3);
    cr_assert_eq(runnel_flush(x.p, 30000), 0);
    cr_assert_gt(x.l->duplicates, 0);
    cr_assert_gt(fake_figure(x.f, FAKE_DUPLICATES), 0);
    end(&x, 3);
}

Test(client_produce, connections_that_break_in_the_middle_of_a_frame)
{
    struct fixture x = begin();
    uint32_t seed = 1;
    for (int i = 0; i < 100; i++) {
        seed = seed * 1664525u + 1013904223u;
        atomic_store(&fake_script(x.f)->drop_after_bytes, (int)(1 + (seed >> 8) % 5000));
        ledger_run(x.l, x.c, x.p, 300, 3);
    }
    atomic_store(&fake_script(x.f)->drop_after_bytes, 0);
    end(&x, 3);
}

static void refused_for_the_moment(int code)
{
    struct fixture x = begin();
    for (int i = 0; i < 10; i++) {
        atomic_store(&fake_script(x.f)->refuse_code, code);
        atomic_store(&fake_script(x.f)->refuse_skip, i);
        atomic_store(&fake_script(x.f)->refuse_count, 1 + i % 3);
        ledger_run(x.l, x.c, x.p, 2000, 3);
    }
    cr_assert_eq(x.l->failed, 0);
    end(&x, 3);
}

Test(client_produce, a_full_disk_is_waited_for)
{
    refused_for_the_moment(60);
}

Test(client_produce, a_fenced_partition_is_waited_for)
{
    refused_for_the_moment(62);
}

/* With many batches in flight behind it: they close the gap. */
static void refused_for_good(int code)
{
    struct fixture x = begin();
    for (int i = 0; i < 10; i++) {
        atomic_store(&fake_script(x.f)->refuse_code, code);
        atomic_store(&fake_script(x.f)->refuse_skip, 2 + i);
        atomic_store(&fake_script(x.f)->refuse_count, 1);
        ledger_run(x.l, x.c, x.p, 2000, 3);
        cr_assert_eq(runnel_flush(x.p, 10000), 0);
    }
    cr_assert_gt(x.l->failed, 0);
    cr_assert_eq(x.l->last_error, (uint32_t)code);
    cr_assert_eq(fake_figure(x.f, FAKE_PRODUCERS), 1);
    end(&x, 3);
}

Test(client_produce, a_refused_timestamp_fails_only_its_batch)
{
    refused_for_good(53);
}

Test(client_produce, a_refused_size_fails_only_its_batch)
{
    refused_for_good(52);
}

Test(client_produce, refusals_and_broken_connections_together)
{
    static const int codes[] = { 60, 53, 62, 52 };
    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct fixture x = begin();
        uint32_t r = seed;
        for (int i = 0; i < 30; i++) {
            r = r * 1664525u + 1013904223u;
            struct fake_script *s = fake_script(x.f);
            atomic_store(&s->refuse_code, codes[(r >> 8) % 4]);
            atomic_store(&s->refuse_skip, (int)((r >> 10) % 5));
            atomic_store(&s->refuse_count, (int)((r >> 14) % 3));
            atomic_store(&s->drop_stored, (int)((r >> 16) % 2));
            atomic_store(&s->drop_after, (int)((r >> 18) % 9));
            atomic_store(&s->reorder, (int)((r >> 22) % 3));
            ledger_run(x.l, x.c, x.p, 200, 3);
        }
        atomic_store(&fake_script(x.f)->reorder, 0);
        cr_assert_eq(runnel_flush(x.p, 30000), 0, "seed %u: %s", seed, runnel_last_error(x.c)->text);
        end(&x, 3);
    }
}

Test(client_produce, answers_in_other_order)
{
    struct fixture x = begin_with(NULL, "batch.bytes", "4096");
    atomic_store(&fake_script(x.f)->reorder, 3);
    ledger_run(x.l, x.c, x.p, 20000, 3);
    atomic_store(&fake_script(x.f)->reorder, 0);
    /* What is still held back is released by the next answer. */
    while (runnel_queued(x.p)) {
        ledger_produce(x.l, x.p, 0);
        cr_assert_geq(runnel_wait(x.c, 1000), 0);
    }
    end(&x, 3);
}

Test(client_produce, a_forgotten_producer_goes_on_under_a_new_id)
{
    struct fixture x = begin();
    for (int i = 0; i < 10; i++) {
        atomic_store(&fake_script(x.f)->forget, 1);
        ledger_run(x.l, x.c, x.p, 500, 3);
        cr_assert_eq(runnel_flush(x.p, 10000), 0);
    }
    /* The connection never broke, so no event was in doubt. */
    cr_assert_eq(x.l->failed, 0);
    cr_assert_gt(fake_figure(x.f, FAKE_PRODUCERS), 5);
    end(&x, 3);
}

Test(client_produce, an_event_in_doubt_is_not_sent_under_a_new_id)
{
    struct fixture x = begin();
    atomic_store(&fake_script(x.f)->drop_stored, 1);
    atomic_store(&fake_script(x.f)->drop_after, 1);
    cr_assert_eq(ledger_produce(x.l, x.p, 0), 0);
    while (fake_figure(x.f, FAKE_REQUESTS) == 0)
        runnel_wait(x.c, 10);
    /* The fake forgets before it looks for the duplicate only when its data is gone too. */
    fake_trim(x.f, 0, 1);
    atomic_store(&fake_script(x.f)->refuse_code, 57);
    atomic_store(&fake_script(x.f)->refuse_count, 1);
    cr_assert_eq(runnel_flush(x.p, 10000), 0);
    cr_assert_eq(x.l->failed, 1);
    cr_assert_eq(x.l->last_error, 57);
    ledger_run(x.l, x.c, x.p, 100, 3);
    end(&x, 3);
}

Test(client_produce, the_buffer_is_limited)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_fast(f);
    runnel_options *o = options_of("buffer.bytes", "65536", NULL);
    struct ledger *l = ledger_new();
    runnel_producer *p = runnel_producer_new(c, "t", o, ledger_delivery, l);
    atomic_store(&fake_script(f)->mute, 1);
    int rc = 0;
    while (rc == 0 && l->produced < 100000)
        rc = ledger_produce(l, p, -1);
    cr_assert_eq(rc, -RUNNEL_E_QUEUE_FULL);
    cr_assert(runnel_last_error(c)->retriable);
    atomic_store(&fake_script(f)->mute, 0);
    fake_drop(f); /* what was not answered is sent again */
    cr_assert_eq(runnel_flush(p, 10000), 0);
    ledger_check(l, f, 3);
    cr_assert_eq(ledger_produce(l, p, -1), 0);
    runnel_options_free(o);
    cr_assert_eq(runnel_close(c, 1000), 0);
    fake_stop(f);
    free(l);
}

Test(client_produce, arguments_are_checked)
{
    struct fixture x = begin();
    static char large[2 << 20];
    struct runnel_event e = RUNNEL_EVENT_INIT;
    e.value = large;
    e.value_len = sizeof(large);
    cr_assert_eq(runnel_produce(x.p, &e, NULL), -52);
    cr_assert_not_null(strstr(runnel_last_error(x.c)->text, "max.message.bytes"));
    e.value_len = 1;
    e.partition = 3;
    cr_assert_eq(runnel_produce(x.p, &e, NULL), -34);
    e.partition = -1;
    e.partition = 0;
    e.value = NULL; /* nothing has no length */
    e.value_len = e.key_len = 5;
    cr_assert_eq(runnel_produce_wait(x.p, &e, NULL, 5000), 0);
    e.partition = -1;
    e.struct_size = 0;
    cr_assert_eq(runnel_produce(x.p, &e, NULL), -RUNNEL_E_ARGUMENT);
    cr_assert_null(runnel_producer_new(x.c, "not a name", NULL, NULL, NULL));
    cr_assert_eq(runnel_last_error(x.c)->code, 32);
    runnel_options *o = options_of("acks", "memory", "idempotent", "true", NULL);
    cr_assert_null(runnel_producer_new(x.c, "t", o, NULL, NULL));
    cr_assert_eq(runnel_last_error(x.c)->code, RUNNEL_E_ARGUMENT);
    runnel_options_free(o);
    cr_assert_eq(runnel_close(x.c, 1000), 0);
    fake_stop(x.f);
    free(x.l);
}

Test(client_produce, an_event_larger_than_a_batch_goes_by_itself)
{
    struct fixture x = begin();
    static char large[900 << 10] = "0";
    struct runnel_event e = RUNNEL_EVENT_INIT;
    e.value = large;
    e.value_len = sizeof(large);
    e.partition = 0;
    x.l->produced = 1;
    cr_assert_eq(runnel_produce(x.p, &e, (void *)1), 0, "%s", runnel_last_error(x.c)->text);
    ledger_run(x.l, x.c, x.p, 100, 1);
    end(&x, 3);
}

static void with_acks(const char *acks)
{
    struct fixture x = begin_with(NULL, "acks", acks);
    ledger_run(x.l, x.c, x.p, 10000, 3);
    cr_assert_eq(runnel_flush(x.p, 10000), 0);
    cr_assert_eq(fake_figure(x.f, FAKE_PRODUCERS), 0);
    while (fake_end(x.f, 0) + fake_end(x.f, 1) + fake_end(x.f, 2) < 10000)
        runnel_wait(x.c, 1); /* acks none: what was sent may still be on its way */
    end(&x, 3);
}

Test(client_produce, acks_memory)
{
    with_acks("memory");
}

Test(client_produce, acks_none)
{
    with_acks("none");
}

Test(client_produce, many_partitions_share_the_buffer)
{
    struct fake_setup setup = { .partitions = 64 };
    struct fake_broker *f = fake_start(&setup);
    runnel_client *c = connect_fast(f);
    struct ledger *l = ledger_new();
    runnel_options *o = options_of("buffer.bytes", "262144", NULL);
    runnel_producer *p = runnel_producer_new(c, "t", o, ledger_delivery, l);
    ledger_run(l, c, p, 100000, 64);
    cr_assert_eq(runnel_flush(p, 10000), 0);
    ledger_check(l, f, 64);
    runnel_options_free(o);
    runnel_close(c, 0);
    fake_stop(f);
    free(l);
}

Test(client_produce, small_batches_share_requests)
{
    struct fake_setup setup = { .partitions = 64 };
    struct fixture x = begin_with(&setup, NULL, NULL);
    ledger_run(x.l, x.c, x.p, 50000, 64);
    cr_assert_eq(runnel_flush(x.p, 30000), 0);
    cr_assert_gt(fake_figure(x.f, FAKE_GROUPS), 10);
    cr_assert_lt(fake_figure(x.f, FAKE_REQUESTS), fake_figure(x.f, FAKE_BATCHES) / 2);
    end(&x, 64);
}

/* A shared request is refused whole; then each batch is judged by itself. */
Test(client_produce, shared_requests_refused_and_broken)
{
    static const int codes[] = { 60, 53, 62, 57, 52, 16 };
    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct fake_setup setup = { .partitions = 16 };
        struct fixture x = begin_with(&setup, NULL, NULL);
        uint32_t r = seed;
        for (int i = 0; i < 40; i++) {
            r = r * 1664525u + 1013904223u;
            struct fake_script *s = fake_script(x.f);
            atomic_store(&s->refuse_code, codes[(r >> 8) % 6]);
            atomic_store(&s->refuse_skip, (int)((r >> 10) % 5));
            atomic_store(&s->refuse_count, (int)((r >> 14) % 3));
            atomic_store(&s->drop_stored, (int)((r >> 16) % 2));
            atomic_store(&s->drop_after, (int)((r >> 18) % 9));
            atomic_store(&s->drop_after_bytes, r >> 28 ? 0 : (int)((r >> 20) % 3000));
            ledger_run(x.l, x.c, x.p, 300, 16);
        }
        cr_assert_eq(runnel_flush(x.p, 30000), 0, "seed %u: %s", seed, runnel_last_error(x.c)->text);
        cr_assert_gt(fake_figure(x.f, FAKE_GROUPS), 0);
        end(&x, 16);
    }
}

Test(client_produce, waiting_for_one_event)
{
    struct fixture x = begin();
    struct runnel_event e = RUNNEL_EVENT_INIT;
    struct runnel_delivery d;
    e.value = "x";
    e.value_len = 1;
    e.partition = 1;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(runnel_produce_wait(x.p, &e, &d, 5000), 0);
        cr_assert_eq(d.offset, i);
        cr_assert_eq(d.partition, 1);
    }
    atomic_store(&fake_script(x.f)->refuse_code, 53);
    atomic_store(&fake_script(x.f)->refuse_count, 1);
    cr_assert_eq(runnel_produce_wait(x.p, &e, &d, 5000), -53);
    cr_assert_str_eq(d.error_text, "refused by the fake broker");
    cr_assert_eq(runnel_last_error(x.c)->code, 53);
    atomic_store(&fake_script(x.f)->mute, 1);
    cr_assert_eq(runnel_produce_wait(x.p, &e, &d, 20), -RUNNEL_E_TIMEOUT);
    cr_assert_eq(runnel_queued(x.p), 1);
    atomic_store(&fake_script(x.f)->mute, 0);
    fake_drop(x.f);
    cr_assert_eq(runnel_produce_wait(x.p, &e, &d, 5000), 0);
    cr_assert_eq(x.l->reported, 0, "the callback knows nothing of these");
    runnel_close(x.c, 1000);
    fake_stop(x.f);
    free(x.l);
}

Test(client_produce, waiting_without_a_callback_and_without_acks)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_fast(f);
    struct runnel_event e = RUNNEL_EVENT_INIT;
    struct runnel_delivery d;
    e.value = "x";
    e.value_len = 1;
    runnel_producer *p = producer_with(c, NULL, NULL, NULL), *q = producer_with(c, NULL, "acks", "none");
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(runnel_produce_wait(p, &e, NULL, 5000), 0);
        cr_assert_eq(runnel_produce_wait(q, &e, &d, 5000), 0);
        cr_assert_eq(d.offset, -1);
    }
    for (int i = 0; i < 10000; i++)
        while (runnel_produce(p, &e, NULL) == -RUNNEL_E_QUEUE_FULL)
            runnel_wait(c, 100);
    cr_assert_eq(runnel_flush(p, 5000), 0);
    cr_assert_eq(runnel_close(c, 1000), 0);
    fake_stop(f);
}

Test(client_produce, given_up_after_retry_for_ms)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_options *o = options_of("retry.for.ms", "50", "reconnect.backoff.ms", "5", NULL);
    runnel_client *c = runnel_connect(fake_url(f), o);
    struct ledger *l = ledger_new();
    runnel_producer *p = runnel_producer_new(c, "t", o, ledger_delivery, l);
    runnel_options_free(o);
    fake_unlisten(f);
    fake_drop(f);
    for (int i = 0; i < 100; i++)
        ledger_produce(l, p, -1);
    int rc = 0;
    while (rc >= 0)
        rc = runnel_wait(c, 1000);
    cr_assert_eq(rc, -RUNNEL_E_UNREACHABLE);
    cr_assert(runnel_last_error(c)->fatal);
    cr_assert_eq(l->reported, l->produced);
    cr_assert_eq(ledger_produce(l, p, -1), -RUNNEL_E_UNREACHABLE);
    runnel_close(c, 1000);
    fake_stop(f);
    free(l);
}

Test(client_produce, closing_gives_up_what_is_not_acknowledged)
{
    struct fixture x = begin();
    atomic_store(&fake_script(x.f)->mute, 1);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(ledger_produce(x.l, x.p, -1), 0);
    cr_assert_eq(runnel_close(x.c, 30), -RUNNEL_E_TIMEOUT);
    cr_assert_eq(x.l->reported, 100);
    cr_assert_eq(x.l->failed, 100);
    cr_assert_eq(x.l->last_error, RUNNEL_E_TIMEOUT);
    fake_stop(x.f);
    free(x.l);
}

Test(client_produce, closing_one_producer_leaves_the_other)
{
    struct fixture x = begin();
    struct ledger *l = ledger_new();
    runnel_producer *q = producer_with(x.c, l, NULL, NULL);
    atomic_store(&fake_script(x.f)->mute, 1);
    for (int i = 0; i < 1000; i++)
        ledger_produce(l, q, 0);
    cr_assert_eq(runnel_producer_close(q, 10), -RUNNEL_E_TIMEOUT);
    atomic_store(&fake_script(x.f)->mute, 0);
    cr_assert_eq(l->failed, 1000);
    struct runnel_event e = RUNNEL_EVENT_INIT;
    e.value = "0";
    e.value_len = 1;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(runnel_produce_wait(x.p, &e, NULL, 10000), 0, "%s", runnel_last_error(x.c)->text);
    cr_assert_eq(runnel_close(x.c, 1000), 0);
    fake_stop(x.f);
    free(l);
    free(x.l);
}

struct reentrant {
    runnel_client *c;
    runnel_producer *p;
    int left, seen;
};

static void produce_more(void *ctx, const struct runnel_delivery *d)
{
    struct reentrant *r = ctx;
    struct runnel_event e = RUNNEL_EVENT_INIT;
    cr_assert_eq(d->error, 0);
    r->seen++;
    cr_assert_eq(runnel_flush(r->p, 10), -RUNNEL_E_ARGUMENT, "waiting inside a callback is refused");
    if (r->left-- > 0)
        cr_assert_eq(runnel_produce(r->p, &e, NULL), 0);
}

Test(client_produce, a_callback_may_produce)
{
    struct fake_broker *f = fake_start(NULL);
    struct reentrant r = { .c = connect_fast(f), .left = 500 };
    struct runnel_event e = RUNNEL_EVENT_INIT;
    r.p = runnel_producer_new(r.c, "t", NULL, produce_more, &r);
    cr_assert_eq(runnel_produce(r.p, &e, NULL), 0);
    cr_assert_eq(runnel_flush(r.p, 10000), 0);
    cr_assert_eq(r.seen, 501);
    runnel_close(r.c, 0);
    fake_stop(f);
}
