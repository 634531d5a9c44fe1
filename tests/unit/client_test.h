/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/client_test.h: what the client's test files share: numbered events, and a ledger of what became
 * of each, held against what the fake broker has stored.
 */
#ifndef RUNNEL_TESTS_CLIENT_TEST_H
#define RUNNEL_TESTS_CLIENT_TEST_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "client/include/runnel.h"
#include "fake_broker.h"

enum { LEDGER_MAX = 200000 };

/* Event number i: payload "i", opaque i + 1. */
struct ledger {
    uint32_t produced, reported, failed, duplicates, last_error;
    int64_t last_offset[FAKE_PARTITIONS_MAX]; /* reports come in order within a partition */
    uint8_t told[LEDGER_MAX];                 /* times reported */
    uint8_t failed_one[LEDGER_MAX];
    uint8_t stored[LEDGER_MAX];
    int64_t last_stored; /* of the partition being looked at */
};

static inline struct ledger *ledger_new(void)
{
    struct ledger *l = calloc(1, sizeof(*l));
    memset(l->last_offset, 0xff, sizeof(l->last_offset));
    return l;
}

static inline void ledger_delivery(void *ctx, const struct runnel_delivery *d)
{
    struct ledger *l = ctx;
    uint32_t i = (uint32_t)(uintptr_t)d->opaque - 1;
    cr_assert_lt(i, l->produced + 1);
    l->told[i]++;
    l->reported++;
    if (d->error) {
        cr_assert_lt(d->error, 0);
        cr_assert_not_null(d->error_text);
        l->failed_one[i] = d->error == -57 ? 2 : 1; /* PRODUCER_UNKNOWN: in doubt */
        l->failed++;
        l->last_error = (uint32_t)-d->error;
        return;
    }
    l->duplicates += d->duplicate != 0;
    if (d->offset >= 0) {
        cr_assert_gt(d->offset, l->last_offset[d->partition], "offsets are reported in order");
        l->last_offset[d->partition] = d->offset;
    }
}

static inline int ledger_produce(struct ledger *l, runnel_producer *p, int32_t partition)
{
    char text[160];
    int n = snprintf(text, sizeof(text), "%u", l->produced);
    struct runnel_event e = RUNNEL_EVENT_INIT;
    e.partition = partition;
    e.value = text;
    e.value_len = (size_t)n;
    int rc = runnel_produce(p, &e, (void *)(uintptr_t)(l->produced + 1));
    if (rc == 0)
        l->produced++;
    return rc;
}

/* Queues `n` events, waiting where the buffer is full. */
static inline void ledger_run(struct ledger *l, runnel_client *c, runnel_producer *p, uint32_t n,
                              int32_t partitions)
{
    for (uint32_t i = 0; i < n;) {
        int rc = ledger_produce(l, p, partitions ? (int32_t)(l->produced % (uint32_t)partitions) : -1);
        if (rc == -RUNNEL_E_QUEUE_FULL) {
            cr_assert_geq(runnel_wait(c, 1000), 0, "%s", runnel_last_error(c)->text);
            continue;
        }
        cr_assert_eq(rc, 0, "%s", runnel_last_error(c)->text);
        if (++i % 64 == 0)
            runnel_process(c);
    }
}

static inline void ledger_stored(void *ctx, int64_t offset, const void *value, uint32_t len)
{
    struct ledger *l = ctx;
    char text[16] = "";
    (void)offset;
    memcpy(text, value, len < 15 ? len : 15);
    uint32_t i = (uint32_t)strtoul(text, NULL, 10);
    cr_assert_lt(i, l->produced);
    l->stored[i]++;
    cr_assert_gt((int64_t)i, l->last_stored, "events of a partition are stored in their order");
    l->last_stored = i;
}

/* Everything reported once; what was reported as stored is there once, what failed is not. */
static inline void ledger_check(struct ledger *l, struct fake_broker *f, uint32_t partitions)
{
    for (uint32_t i = 0; i < partitions; i++) {
        l->last_stored = -1;
        fake_each(f, i, ledger_stored, l);
    }
    cr_assert_eq(l->reported, l->produced, "%u of %u reported", l->reported, l->produced);
    for (uint32_t i = 0; i < l->produced; i++) {
        cr_assert_eq(l->told[i], 1, "event %u was reported %u times", i, l->told[i]);
        bool as_told = l->failed_one[i] == 2 ? l->stored[i] <= 1 : l->stored[i] == !l->failed_one[i];
        cr_assert(as_told, "event %u is stored %u times (failed: %u)", i, l->stored[i], l->failed_one[i]);
    }
}

/* Options from name, value, ..., NULL. */
static inline runnel_options *options_of(const char *first, ...)
{
    runnel_options *o = runnel_options_new();
    va_list ap;
    va_start(ap, first);
    for (const char *name = first; name; name = va_arg(ap, const char *)) {
        const char *value = va_arg(ap, const char *);
        cr_assert_eq(runnel_options_set(o, name, value), 0, "%s", runnel_last_error(NULL)->text);
    }
    va_end(ap);
    return o;
}

static inline runnel_client *connect_fast(struct fake_broker *f)
{
    runnel_options *o = options_of("reconnect.backoff.ms", "1", "reconnect.backoff.max.ms", "5", NULL);
    runnel_client *c = runnel_connect(fake_url(f), o);
    runnel_options_free(o);
    cr_assert_not_null(c, "%s", runnel_last_error(NULL)->text);
    return c;
}

#endif
