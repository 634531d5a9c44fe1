/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/group_test.h: what the tests of group consumers share: a fake broker with numbered events, and a
 * member.
 */
#ifndef RUNNEL_TESTS_GROUP_TEST_H
#define RUNNEL_TESTS_GROUP_TEST_H

#include "client_test.h"

struct fixture {
    struct fake_broker *f;
    runnel_client *c;
    runnel_group *g;
    uint32_t partitions, events;
};

/* Events 0 ... n - 1, number i in partition i % partitions at offset i / partitions. */
static inline void fill(struct fixture *x, uint32_t n, const char *compression, const char *batch_bytes)
{
    runnel_options *o = options_of("compression", compression, "batch.bytes", batch_bytes, NULL);
    runnel_producer *p = runnel_producer_new(x->c, "t", o, NULL, NULL);
    runnel_options_free(o);
    cr_assert_not_null(p);
    for (uint32_t i = 0; i < n; i++) {
        char text[16];
        struct runnel_event e = RUNNEL_EVENT_INIT;
        e.value = text;
        e.value_len = (size_t)snprintf(text, sizeof(text), "%u", x->events + i);
        e.key = "key";
        e.key_len = 3;
        e.partition = (int32_t)((x->events + i) % x->partitions);
        while (runnel_produce(p, &e, NULL) == -RUNNEL_E_QUEUE_FULL)
            runnel_wait(x->c, 100);
    }
    x->events += n;
    cr_assert_eq(runnel_producer_close(p, 10000), 0);
}

static inline runnel_group *join(struct fixture *x, const runnel_options *o)
{
    const char *topics[] = { "t" };
    runnel_group *g = runnel_group_join(x->c, "g", topics, 1, o);
    cr_assert_not_null(g, "%s", runnel_last_error(x->c)->text);
    return g;
}

static inline struct fixture begin_group(bool shared, uint32_t in_flight, uint32_t events,
                                         const char *compression)
{
    struct fake_setup setup = { .partitions = 3, .group_shared = shared, .group_in_flight = in_flight };
    struct fixture x = { .f = fake_start(&setup), .partitions = 3 };
    x.c = connect_fast(x.f);
    if (events)
        fill(&x, events, compression, "4096");
    x.g = join(&x, NULL);
    return x;
}

static inline void end_group(struct fixture *x)
{
    cr_assert_eq(runnel_group_close(x->g, 10000), 0, "%s", runnel_last_error(x->c)->text);
    cr_assert_eq(runnel_close(x->c, 1000), 0);
    fake_stop(x->f);
}

static inline void check_event(const struct fixture *x, const struct runnel_record *r)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%lld", (long long)(r->offset * x->partitions + r->partition));
    cr_assert_str_eq(r->topic, "t");
    cr_assert_eq(r->value_len, (size_t)n, "partition %d offset %lld", r->partition, (long long)r->offset);
    cr_assert_eq(memcmp(r->value, text, r->value_len), 0);
}

static inline int next_event(struct fixture *x, struct runnel_record *r, struct runnel_lease *lease)
{
    int rc = runnel_group_next(x->g, r, lease, 10000);
    cr_assert_eq(rc, 1, "%d: %s", rc, runnel_last_error(x->c)->text);
    check_event(x, r);
    cr_assert_eq(lease->offset, r->offset);
    return rc;
}

static inline void check_all_done(struct fixture *x)
{
    for (uint32_t p = 0; p < x->partitions; p++)
        cr_assert_eq(fake_group_done(x->f, p), fake_end(x->f, p), "partition %u", p);
}

#endif
