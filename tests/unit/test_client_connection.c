/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the client's connection: addresses, greeting, garbage, time-outs, event-loop use, administration.
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "client_test.h"

static runnel_client *connect_with(const char *url, const char *name, const char *value)
{
    runnel_options *o = options_of(name, value, NULL);
    runnel_client *c = runnel_connect(url, o);
    runnel_options_free(o);
    return c;
}

Test(client_connection, addresses_that_are_none)
{
    static const char *urls[] = {
        "tcp://", "127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:99999", "unix:", "http://127.0.0.1:80",
        "[::1]",  "[::1]7411", "::1:7411",          "tcp://:7411",           "x:y"
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        cr_assert_null(runnel_connect(urls[i], NULL), "%s", urls[i]);
        cr_assert_eq(runnel_last_error(NULL)->code, RUNNEL_E_ARGUMENT, "%s", urls[i]);
        cr_assert_gt(strlen(runnel_last_error(NULL)->text), 10);
    }
}

Test(client_connection, nobody_there_fails_at_once)
{
    cr_assert_null(runnel_connect("tcp://127.0.0.1:1", NULL));
    cr_assert_eq(runnel_last_error(NULL)->code, RUNNEL_E_UNREACHABLE);
    cr_assert_not_null(strstr(runnel_last_error(NULL)->text, "tcp://127.0.0.1:1"));
    cr_assert_null(runnel_connect("unix:/nonexistent/socket", NULL));
    cr_assert_eq(runnel_last_error(NULL)->code, RUNNEL_E_UNREACHABLE);
}

Test(client_connection, unix_socket_and_environment)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/runnel-test-%d.sock", (int)getpid());
    struct fake_setup setup = { .unix_path = path };
    struct fake_broker *f = fake_start(&setup);
    setenv("RUNNEL_URL", fake_url(f), 1);
    runnel_client *c = runnel_connect(NULL, NULL);
    cr_assert_not_null(c);
    cr_assert_geq(runnel_ping(c), 0);
    cr_assert_str_eq(runnel_broker_version(c), "fake");
    runnel_close(c, 0);
    fake_stop(f);
}

Test(client_connection, options_are_checked)
{
    runnel_options *o = runnel_options_new();
    static const char *wrong[][2] = { { "colour", "red" },      { "acks", "some" },
                                      { "in.flight", "0" },     { "in.flight", "8x" },
                                      { "batch.bytes", "" },    { "from", "middle" },
                                      { "from", "@" },          { "from", "-x" },
                                      { "partitions", "1,,2" }, { "partitions", "1;2" },
                                      { "create", "perhaps" },  { "partitioner", "crc" },
                                      { "retry.for.ms", "-1" }, { "from", "99999999999999999999" } };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(runnel_options_set(o, wrong[i][0], wrong[i][1]), -RUNNEL_E_ARGUMENT, "%s", wrong[i][0]);
        cr_assert_not_null(strstr(runnel_last_error(NULL)->text, wrong[i][0]));
    }
    cr_assert_eq(runnel_options_set(o, "from", "@123"), 0);
    cr_assert_eq(runnel_options_set(o, "partitions", "0,3,5"), 0);
    runnel_options_free(o);
    cr_assert_str_eq(runnel_error_name(-30), "TOPIC_NOT_FOUND");
    cr_assert_gt(strlen(runnel_error_fix(30)), 0);
}

Test(client_connection, a_broker_that_says_nothing)
{
    struct fake_broker *f = fake_start(NULL);
    atomic_store(&fake_script(f)->mute, 1);
    cr_assert_null(connect_with(fake_url(f), "connect.timeout.ms", "50"));
    cr_assert_eq(runnel_last_error(NULL)->code, RUNNEL_E_UNREACHABLE);
    fake_stop(f);
}

Test(client_connection, a_broker_that_is_not_ready_is_waited_for)
{
    struct fake_broker *f = fake_start(NULL);
    struct fake_script *s = fake_script(f);
    atomic_store(&s->refuse_op, 1);
    atomic_store(&s->refuse_op_code, 19);
    atomic_store(&s->refuse_op_count, 5);
    runnel_client *c = connect_fast(f);
    cr_assert_eq(fake_figure(f, FAKE_CONNECTIONS), 6);
    runnel_close(c, 0);
    atomic_store(&s->refuse_op_code, 13); /* VERSION_UNSUPPORTED */
    atomic_store(&s->refuse_op_count, 1);
    cr_assert_null(runnel_connect(fake_url(f), NULL));
    cr_assert_eq(runnel_last_error(NULL)->code, 13);
    fake_stop(f);
}

Test(client_connection, garbage_instead_of_a_greeting)
{
    struct fake_broker *f = fake_start(NULL);
    for (int seed = 0; seed < 200; seed++) {
        atomic_store(&fake_script(f)->garbage_seed, seed);
        atomic_store(&fake_script(f)->garbage_bytes, 1 + seed * 3);
        runnel_client *c = connect_with(fake_url(f), "connect.timeout.ms", "20");
        cr_assert_null(c, "seed %d", seed);
        int code = runnel_last_error(NULL)->code;
        cr_assert(code == 205 || code == RUNNEL_E_UNREACHABLE, "seed %d: %d", seed, code);
    }
    fake_stop(f);
}

/* Bits turned in everything that the broker sends, while producing, consuming and asking: named errors and
 * connections anew, never a crash, never a wait without end. */
Test(client_connection, damaged_answers, .timeout = 60)
{
    for (int seed = 1; seed <= 60; seed++) {
        struct fake_broker *f = fake_start(NULL);
        runnel_options *o = options_of("reconnect.backoff.ms", "1", "reconnect.backoff.max.ms", "2",
                                       "request.timeout.ms", "30", "connect.timeout.ms", "200",
                                       "retry.for.ms", "200", "batch.bytes", "1024", "from", "start", NULL);
        runnel_client *c = runnel_connect(fake_url(f), o);
        cr_assert_not_null(c);
        runnel_producer *p = runnel_producer_new(c, "t", o, NULL, NULL);
        runnel_consumer *k = runnel_consumer_new(c, "t", o);
        atomic_store(&fake_script(f)->garbage_seed, seed);
        atomic_store(&fake_script(f)->flip_every, 20 + seed * 10);
        struct runnel_event e = RUNNEL_EVENT_INIT;
        struct runnel_record r;
        e.value = "some bytes";
        e.value_len = 10;
        for (int i = 0; i < 200; i++) {
            runnel_produce(p, &e, NULL);
            int rc = runnel_next(k, &r, 0);
            cr_assert(rc == 0 || rc == 1 || runnel_last_error(c)->code == -rc);
            if (i % 20 == 0)
                runnel_ping(c);
        }
        runnel_close(c, 20);
        runnel_options_free(o);
        fake_stop(f);
    }
}

Test(client_connection, half_an_answer)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_fast(f);
    for (int i = 0; i < 20; i++) {
        atomic_store(&fake_script(f)->half, 1);
        cr_assert_geq(runnel_ping(c), 0, "%s", runnel_last_error(c)->text);
    }
    cr_assert_eq(fake_figure(f, FAKE_CONNECTIONS), 21);
    /* What changes something is not done twice by itself. */
    atomic_store(&fake_script(f)->half, 1);
    cr_assert_eq(runnel_topic_delete(c, "t"), -RUNNEL_E_UNREACHABLE);
    cr_assert_not_null(strstr(runnel_last_error(c)->text, "may or may not"));
    runnel_close(c, 0);
    fake_stop(f);
}

Test(client_connection, connections_slammed)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_fast(f);
    atomic_store(&fake_script(f)->slam, 5);
    fake_drop(f);
    cr_assert_geq(runnel_ping(c), 0, "%s", runnel_last_error(c)->text);
    cr_assert_geq(runnel_ping(c), 0, "%s", runnel_last_error(c)->text);
    runnel_close(c, 0);
    fake_stop(f);
}

Test(client_connection, an_unanswered_request_times_out)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_with(fake_url(f), "request.timeout.ms", "50");
    atomic_store(&fake_script(f)->mute, 1);
    int64_t rc = runnel_ping(c);
    cr_assert(rc == -RUNNEL_E_TIMEOUT || rc == -RUNNEL_E_UNREACHABLE, "%d", (int)rc);
    runnel_close(c, 0);
    fake_stop(f);
}

static void count_delivery(void *ctx, const struct runnel_delivery *d)
{
    cr_assert_eq(d->error, 0);
    ++*(int *)ctx;
}

/* The library never waits here: poll(2) does. */
Test(client_connection, an_event_loop_of_ones_own)
{
    struct fake_broker *f = fake_start(NULL);
    int delivered = 0, received = 0, sent = 0, drops = 0;
    runnel_client *c = connect_fast(f);
    runnel_options *o = options_of("from", "start", "linger.us", "500", NULL);
    runnel_producer *p = runnel_producer_new(c, "t", o, count_delivery, &delivered);
    runnel_consumer *k = runnel_consumer_new(c, "t", o);
    runnel_options_free(o);
    struct runnel_event e = RUNNEL_EVENT_INIT;
    struct runnel_record r;
    while (delivered < 3000 || received < 3000) {
        if (sent < 3000 && sent - received < 100 && runnel_produce(p, &e, NULL) == 0)
            sent++;
        if (received >= 1000 * (drops + 1)) {
            drops++;
            fake_drop(f);
        }
        struct pollfd fd = { .fd = runnel_fd(c), .events = (short)runnel_events(c) };
        int timeout = sent < 3000 && sent - received < 100 ? 0 : runnel_timeout_ms(c);
        cr_assert_geq(poll(&fd, 1, timeout), 0);
        cr_assert_geq(runnel_process(c), 0, "%s", runnel_last_error(c)->text);
        while (runnel_ready(k) && runnel_next(k, &r, 0) == 1)
            received++;
    }
    cr_assert_eq(delivered, 3000);
    cr_assert_eq(received, 3000);
    cr_assert_eq(runnel_close(c, 0), 0);
    fake_stop(f);
}

static int count_topics(void *ctx, const struct runnel_topic_row *row)
{
    cr_assert_eq(strlen(row->name), 1);
    ++*(int *)ctx;
    return *(int *)ctx == 20 ? 42 : 0;
}

static void see_stat(void *ctx, const char *room, const char *name, int kind, uint64_t value)
{
    cr_assert_str_eq(room, "net");
    cr_assert_str_eq(name, "connections");
    cr_assert(kind == 1 && value == 5);
    ++*(int *)ctx;
}

static void see_health(void *ctx, const char *check, int status, const char *text)
{
    cr_assert_str_eq(check, "disk");
    cr_assert_eq(status, 1);
    cr_assert_str_eq(text, "nearly full");
    ++*(int *)ctx;
}

Test(client_connection, administration)
{
    struct fake_broker *f = fake_start(NULL);
    runnel_client *c = connect_fast(f);
    struct runnel_config configs[] = { { "retention.ms", "1000" }, { "segment.bytes", NULL } };
    struct runnel_topic *t;
    int n = 0;
    int64_t offset, ts;
    cr_assert_eq(runnel_topic_create(c, "t", 3, configs, 1, 0), 1);
    cr_assert_eq(runnel_topic_set(c, "t", configs, 2), 0);
    cr_assert_eq(runnel_topic_add_partitions(c, "t", 5), 0);
    cr_assert_eq(runnel_topic_delete(c, "t"), 0);
    cr_assert_eq(runnel_topic_list(c, "*", 0, count_topics, &n), 0);
    cr_assert_eq(n, 2);
    n = 19;
    cr_assert_eq(runnel_topic_list(c, NULL, 0, count_topics, &n), 42);
    cr_assert_eq(runnel_topic_describe(c, "t", &t), 0);
    cr_assert_str_eq(t->name, "t");
    cr_assert_eq(t->config_count, 1);
    cr_assert_str_eq(t->configs[0].value, "1000");
    cr_assert_eq(t->partition_count, 3);
    cr_assert_eq(t->partitions[2].end_offset, 10);
    cr_assert_str_eq(t->partitions[0].state, "ok");
    runnel_topic_free(t);
    cr_assert_eq(runnel_offset(c, "t", 0, "end", &offset, &ts), 0);
    cr_assert(offset == 0 && ts == -1);
    n = 0;
    cr_assert_eq(runnel_stat(c, see_stat, &n), 0);
    cr_assert_eq(runnel_health(c, see_health, &n), 1);
    cr_assert_eq(n, 2);
    cr_assert_eq(runnel_topic_delete(c, "no such/name"), -32);
    runnel_close(c, 0);
    fake_stop(f);
}
