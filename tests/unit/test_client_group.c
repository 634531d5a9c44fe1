/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of group consumers: every event given out and settled, whatever its batch, and what is withdrawn,
 * revoked, refused.
 */
#include "group_test.h"

/* Takes and acknowledges everything: each event once, in order within its partition. */
static void consume_all(struct fixture *x)
{
    struct runnel_record r;
    struct runnel_lease lease;
    int64_t next[FAKE_PARTITIONS_MAX] = { 0 };
    for (uint32_t i = 0; i < x->events; i++) {
        next_event(x, &r, &lease);
        cr_assert_eq(r.offset, next[r.partition]++);
        cr_assert_eq(lease.attempt, 1);
        cr_assert_eq(runnel_ack(x->g, &lease), 0);
    }
    cr_assert_eq(runnel_group_commit(x->g, 10000), 0, "%s", runnel_last_error(x->c)->text);
    check_all_done(x);
    cr_assert_eq(runnel_group_in_flight(x->g), 0);
    cr_assert_eq(runnel_group_next(x->g, &r, &lease, 0), 0);
    cr_assert_eq(fake_figure(x->f, FAKE_DELIVERED), x->events);
    cr_assert_eq(fake_figure(x->f, FAKE_ACKED), x->events);
    cr_assert_eq(runnel_group_error(x->g)->code, 0);
}

Test(client_group, ordered)
{
    struct fixture x = begin_group(false, 100, 10000, "none");
    cr_assert_str_eq(runnel_group_mode(x.g), "ordered");
    cr_assert_str_eq(runnel_group_member_id(x.g), "member-0");
    consume_all(&x);
    cr_assert_eq(runnel_group_partitions(x.g), 3);
    cr_assert_eq(runnel_group_max_in_flight(x.g), 100);
    /* Acknowledgements are ranges: not one request for each event. */
    cr_assert_lt(fake_figure(x.f, FAKE_ACKS), 1000);
    cr_assert_gt(fake_figure(x.f, FAKE_BARE), 10, "several deliveries lie in one batch");
    end_group(&x);
}

Test(client_group, shared_and_compressed)
{
    struct fixture x = begin_group(true, 37, 5000, "zstd");
    cr_assert_str_eq(runnel_group_mode(x.g), "shared");
    consume_all(&x);
    cr_assert_gt(fake_figure(x.f, FAKE_BARE), 10);
    end_group(&x);
}

Test(client_group, one_at_a_time)
{
    struct fixture x = begin_group(false, 1, 60, "lz4");
    consume_all(&x);
    cr_assert_gt(fake_figure(x.f, FAKE_BARE), 30);
    end_group(&x);
}

Test(client_group, more_than_a_frame_of_ranges)
{
    /* Every other event is acknowledged: as many ranges as there can be. */
    struct fixture x = begin_group(true, 3000, 3000, "none");
    struct runnel_lease leases[3000];
    struct runnel_record r;
    for (int i = 0; i < 3000; i++)
        next_event(&x, &r, &leases[i]);
    for (int odd = 1; odd >= 0; odd--)
        for (int i = 0; i < 3000; i++)
            if (leases[i].offset % 2 == odd)
                cr_assert_eq(runnel_ack(x.g, &leases[i]), 0);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    check_all_done(&x);
    end_group(&x);
}

Test(client_group, in_any_order_and_through)
{
    struct fixture x = begin_group(false, 100, 90, "none");
    struct runnel_lease leases[90], last[3];
    struct runnel_record r;
    for (int i = 0; i < 90; i++) {
        next_event(&x, &r, &leases[i]);
        last[r.partition] = leases[i];
    }
    cr_assert_eq(runnel_group_in_flight(x.g), 90);
    for (int i = 89; i >= 60; i--)
        cr_assert_eq(runnel_ack(x.g, &leases[i]), 0);
    for (int i = 0; i < 3; i++) {
        struct runnel_lease through = last[i];
        through.offset = 10;
        int rc = runnel_ack_through(x.g, &through);
        cr_assert(rc == 0 || rc == -RUNNEL_E_STALE_GENERATION);
    }
    for (int i = 0; i < 60; i++)
        runnel_ack(x.g, &leases[i]);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    check_all_done(&x);
    cr_assert_eq(runnel_ack(x.g, &leases[5]), -RUNNEL_E_STALE_GENERATION, "settled before");
    cr_assert_eq(runnel_ack_through(x.g, &leases[5]), -RUNNEL_E_STALE_GENERATION);
    cr_assert_eq(runnel_working(x.g, &leases[5]), -RUNNEL_E_STALE_GENERATION);
    cr_assert_eq(runnel_nack(x.g, &leases[5], NULL), -RUNNEL_E_STALE_GENERATION);
    end_group(&x);
}

/* Offset 10 of partition 1 fails three times, offset 20 for ever. */
static void failing(struct fixture *x, bool ordered)
{
    struct runnel_record r;
    struct runnel_lease lease;
    uint32_t failures = 0, settled = 0;
    int64_t next[3] = { 0 };
    struct runnel_failure why = RUNNEL_FAILURE_INIT;
    why.type = "ValueError";
    why.message = "no such customer";
    while (settled < x->events) {
        next_event(x, &r, &lease);
        if (ordered)
            cr_assert_eq(r.offset, next[r.partition], "attempt %u of partition %d", lease.attempt,
                         r.partition);
        bool fails = r.partition == 1 && ((r.offset == 10 && lease.attempt < 4) || r.offset == 20);
        if (fails) {
            cr_assert_eq(runnel_nack(x->g, &lease, &why), 0);
            cr_assert_eq(runnel_ack(x->g, &lease), -RUNNEL_E_STALE_GENERATION);
            failures++;
        } else {
            cr_assert_eq(runnel_ack(x->g, &lease), 0);
        }
        if (!fails || (r.offset == 20 && lease.attempt == 4)) {
            next[r.partition]++;
            settled++;
        }
    }
    cr_assert_eq(failures, 7);
    cr_assert_eq(runnel_group_commit(x->g, 10000), 0, "%s", runnel_last_error(x->c)->text);
    check_all_done(x);
    char text[64];
    cr_assert_eq(fake_group_dead(x->f, 0, text), 1);
    cr_assert_str_eq(text, "ValueError: no such customer");
    cr_assert_eq(fake_figure(x->f, FAKE_ACKED), x->events - 1);
    cr_assert_eq(fake_figure(x->f, FAKE_ACKED_LATE), 0, "nothing withdrawn was acknowledged");
}

Test(client_group, failures_hold_back_what_follows)
{
    struct fixture x = begin_group(false, 50, 300, "none");
    failing(&x, true);
    end_group(&x);
}

Test(client_group, failures_hold_back_nothing)
{
    struct fixture x = begin_group(true, 50, 300, "zstd");
    failing(&x, false);
    end_group(&x);
}

Test(client_group, given_up_at_once)
{
    struct fixture x = begin_group(true, 10, 9, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    char text[64];
    for (int i = 0; i < 9; i++) {
        next_event(&x, &r, &lease);
        cr_assert_eq(lease.attempt, 1);
        if (i == 4)
            cr_assert_eq(runnel_term(x.g, &lease, NULL), 0);
        else
            cr_assert_eq(runnel_ack(x.g, &lease), 0);
    }
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    cr_assert_eq(fake_group_dead(x.f, 0, text), 1);
    check_all_done(&x);
    end_group(&x);
}

Test(client_group, a_failure_is_initialised)
{
    struct fixture x = begin_group(true, 10, 3, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    struct runnel_failure none = { 0 }, negative = RUNNEL_FAILURE_INIT;
    negative.delay_ms = -2;
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_nack(x.g, &lease, &none), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_nack(x.g, &lease, &negative), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_ack(x.g, &lease), 0, "it is still out");
    end_group(&x);
}

Test(client_group, revoked_events_are_given_back)
{
    struct fixture x = begin_group(false, 300, 300, "none");
    struct runnel_record r;
    struct runnel_lease lease, held = { 0 };
    /* One of partition 0 is begun, the others of it are queued. */
    do
        next_event(&x, &r, &lease);
    while (r.partition != 0 && runnel_ack(x.g, &lease) == 0);
    held = lease;
    atomic_store(&fake_script(x.f)->group_revoke, 1);
    fake_wake(x.f);
    while (fake_figure(x.f, FAKE_RELEASED) == 0)
        cr_assert_geq(runnel_wait(x.c, 1000), 0);
    cr_assert_eq(runnel_ack(x.g, &held), 0, "what was begun is finished");
    uint32_t seen = 0;
    int64_t next[3] = { held.offset + 1, -1, -1 };
    while (seen + 1 < 300 && runnel_group_next(x.g, &r, &lease, 100) == 1) {
        check_event(&x, &r);
        if (r.partition == 0)
            cr_assert_eq(r.offset, next[0]++);
        cr_assert_eq(runnel_ack(x.g, &lease), 0);
        seen++;
    }
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    check_all_done(&x);
    cr_assert_eq(fake_figure(x.f, FAKE_ACKED), 300);
    cr_assert_eq(runnel_group_partitions(x.g), 3);
    end_group(&x);
}

static void count_error(void *ctx, const struct runnel_error *error)
{
    cr_assert_eq(error->code, RUNNEL_E_STALE_GENERATION);
    ++*(int *)ctx;
}

Test(client_group, what_is_refused_is_told)
{
    struct fixture x = begin_group(true, 6, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    int told = 0;
    runnel_group_on_error(x.g, count_error, &told);
    atomic_store(&fake_script(x.f)->refuse_op, 64);
    atomic_store(&fake_script(x.f)->refuse_op_code, RUNNEL_E_STALE_GENERATION);
    atomic_store(&fake_script(x.f)->refuse_op_count, 1);
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_ack(x.g, &lease), 0);
    cr_assert_eq(runnel_group_commit(x.g, 10000), -RUNNEL_E_STALE_GENERATION);
    cr_assert_eq(told, 1);
    cr_assert_eq(runnel_group_error(x.g)->code, RUNNEL_E_STALE_GENERATION);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0, "the next one is good");
    end_group(&x);
}

Test(client_group, working_is_told)
{
    struct fixture x = begin_group(true, 6, 6, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_working(x.g, &lease), 0);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    cr_assert_eq(fake_figure(x.f, FAKE_WORKING), 1);
    end_group(&x);
}

Test(client_group, giving_back)
{
    struct fixture x = begin_group(true, 10, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease, again;
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_holds(x.g, &lease), 1);
    cr_assert_eq(runnel_release(x.g, &lease), 0);
    cr_assert_eq(runnel_holds(x.g, &lease), 0);
    cr_assert_eq(runnel_release(x.g, &lease), -RUNNEL_E_STALE_GENERATION);
    for (int i = 0; i < 30; i++) {
        next_event(&x, &r, &again);
        cr_assert_eq(again.attempt, 1, "not charged");
        cr_assert_eq(runnel_ack(x.g, &again), 0);
    }
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    check_all_done(&x);
    cr_assert_eq(fake_figure(x.f, FAKE_RELEASED), 1);
    cr_assert_eq(runnel_group_ack_wait_ms(x.g), 30000);
    end_group(&x);
}

Test(client_group, an_event_loop_is_told_to_send_acknowledgements)
{
    struct fixture x = begin_group(true, 100, 3, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    for (int i = 0; i < 3; i++) {
        next_event(&x, &r, &lease);
        cr_assert_eq(runnel_ack(x.g, &lease), 0);
        cr_assert_eq(runnel_timeout_ms(x.c), 0, "an acknowledgement waits to be sent");
    }
    while (fake_figure(x.f, FAKE_ACKED) < 3) {
        cr_assert_geq(runnel_process(x.c), 0);
        cr_assert_neq(runnel_timeout_ms(x.c), 0, "all are sent");
    }
    end_group(&x);
}

Test(client_group, stopping)
{
    struct fixture x = begin_group(true, 50, 100, "none");
    struct runnel_record r;
    struct runnel_lease lease[2];
    next_event(&x, &r, &lease[0]);
    next_event(&x, &r, &lease[1]);
    runnel_group_stop(x.g);
    cr_assert_eq(runnel_group_next(x.g, &r, NULL, 0), 0);
    cr_assert_eq(runnel_group_ready(x.g), 0);
    cr_assert_eq(runnel_group_in_flight(x.g), 2);
    cr_assert_eq(runnel_ack(x.g, &lease[0]), 0);
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    cr_assert_eq(fake_figure(x.f, FAKE_ACKED), 1);
    cr_assert_eq(fake_figure(x.f, FAKE_RELEASED), fake_figure(x.f, FAKE_DELIVERED) - 2);
    end_group(&x);
}

Test(client_group, two_members)
{
    struct fixture x = begin_group(false, 10, 300, "none");
    struct fixture y = x;
    struct runnel_record r;
    struct runnel_lease lease;
    uint8_t seen[300] = { 0 };
    next_event(&x, &r, &lease);
    cr_assert_eq(runnel_ack(x.g, &lease), 0);
    seen[r.offset * 3 + r.partition]++;
    y.g = join(&y, NULL);
    cr_assert_str_eq(runnel_group_member_id(y.g), "member-1");
    for (int n = 1, by_y = 0; n < 300;) {
        struct fixture *z = n % 2 ? &x : &y;
        while (n < 300 && runnel_group_next(z->g, &r, &lease, 10) == 1) {
            check_event(z, &r);
            seen[r.offset * 3 + r.partition]++;
            cr_assert_eq(runnel_ack(z->g, &lease), 0);
            by_y += z == &y;
            if (++n == 300)
                cr_assert_gt(by_y, 50);
            if (n % 7 == 0)
                break;
        }
        if (n < 300 && runnel_group_next(z == &x ? y.g : x.g, &r, &lease, 10) == 1) {
            seen[r.offset * 3 + r.partition]++;
            runnel_ack(z == &x ? y.g : x.g, &lease);
            by_y += z == &x;
            n++;
        }
    }
    cr_assert_eq(runnel_group_commit(x.g, 10000), 0);
    cr_assert_eq(runnel_group_commit(y.g, 10000), 0);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(seen[i], 1, "event %d", i);
    check_all_done(&x);
    cr_assert_eq(runnel_group_close(y.g, 1000), 0);
    end_group(&x);
}

Test(client_group, a_damaged_batch_is_told_once)
{
    struct fixture x = begin_group(true, 100, 0, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    atomic_store(&fake_script(x.f)->spoil, 1);
    fill(&x, 3, "none", "4096");
    int rc, told = 0, got = 0;
    while (told + got < 3 && (rc = runnel_group_next(x.g, &r, &lease, 1000)) != 0) {
        told += rc < 0;
        got += rc == 1;
        if (rc == 1)
            cr_assert_eq(runnel_ack(x.g, &lease), 0);
        else
            cr_assert_eq(rc, -51, "%d: %s", rc, runnel_last_error(x.c)->text);
    }
    cr_assert_eq(told, 1);
    cr_assert_eq(got, 2);
    end_group(&x);
}

Test(client_group, what_cannot_be_joined)
{
    struct fixture x = begin_group(false, 100, 0, "none");
    const char *topics[] = { "t", "" };
    runnel_options *o = options_of("mode", "shared", NULL);
    cr_assert_null(runnel_group_join(x.c, "g", topics, 1, o));
    cr_assert_eq(runnel_last_error(x.c)->code, 81);
    runnel_options_free(o);
    cr_assert_null(runnel_group_join(x.c, "", topics, 1, NULL));
    cr_assert_null(runnel_group_join(x.c, "g", topics, 0, NULL));
    cr_assert_null(runnel_group_join(x.c, "g", topics, 2, NULL));
    cr_assert_null(runnel_group_join(x.c, "g", NULL, 1, NULL));
    o = runnel_options_new();
    cr_assert_lt(runnel_options_set(o, "mode", "both"), 0);
    cr_assert_lt(runnel_options_set(o, "reset", "middle"), 0);
    runnel_options_free(o);
    end_group(&x);
}

Test(client_group, ended_by_the_broker)
{
    struct fixture x = begin_group(false, 100, 30, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    next_event(&x, &r, &lease);
    atomic_store(&fake_script(x.f)->group_end, 90);
    fake_wake(x.f);
    int rc;
    while ((rc = runnel_group_next(x.g, &r, &lease, 10000)) == 1)
        ;
    cr_assert_eq(rc, -90);
    cr_assert(runnel_last_error(x.c)->fatal);
    cr_assert_eq(runnel_group_error(x.g)->code, 90);
    cr_assert_eq(runnel_group_commit(x.g, 1000), -90);
    runnel_group_close(x.g, 1000);
    cr_assert_eq(runnel_close(x.c, 1000), 0);
    fake_stop(x.f);
}

/* The event being handled is the cause of what is published meanwhile, also in one piece with its
 * acknowledgement; when none is handled, nothing is. */
Test(client_group, a_context_follows_the_group)
{
    struct fixture x = begin_group(false, 10, 0, "none");
    struct runnel_record r;
    struct runnel_lease lease;
    char first[64];
    runnel_envelope *e = runnel_envelope_new();
    runnel_producer *p = runnel_producer_new(x.c, "t", NULL, NULL, NULL);
    struct runnel_event event = RUNNEL_EVENT_INIT;
    event.value = "0";
    event.value_len = 1;
    event.partition = 0;
    event.envelope = e;
    cr_assert_eq(runnel_produce_wait(p, &event, NULL, 10000), 0);
    snprintf(first, sizeof(first), "%s", runnel_envelope_id(e));
    x.events = 1;

    runnel_envelope_follow(e, x.g);
    next_event(&x, &r, &lease);
    cr_assert_eq(r.header_count, runnel_record_envelope(&r, NULL, 0));
    struct runnel_text cause = runnel_envelope_get(e, RUNNEL_FIELD_CAUSATION);
    cr_assert(cause.len == strlen(first) && !memcmp(cause.at, first, cause.len));

    struct runnel_topic_event answer = { "t", event };
    cr_assert_eq(runnel_group_produce(x.g, &answer, 1, &lease, 1, NULL, 10000), 0);
    cr_assert_eq(runnel_group_next(x.g, &r, &lease, 10000), 1);
    struct runnel_text fields[RUNNEL_FIELDS];
    runnel_record_envelope(&r, fields, RUNNEL_FIELDS);
    cr_assert(fields[RUNNEL_FIELD_CORRELATION].len == cause.len &&
              !memcmp(fields[RUNNEL_FIELD_CORRELATION].at, first, cause.len));
    cr_assert_str_neq(first, runnel_envelope_id(e));
    cr_assert_eq(runnel_ack(x.g, &lease), 0);

    cr_assert_eq(runnel_group_next(x.g, &r, &lease, 0), 0);
    cr_assert_null(runnel_envelope_get(e, RUNNEL_FIELD_CAUSATION).at);
    cr_assert_eq(runnel_producer_close(p, 10000), 0);
    end_group(&x);
    runnel_envelope_free(e); /* after the group that it followed */
}
