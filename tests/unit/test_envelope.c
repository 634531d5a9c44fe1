/* SPDX-License-Identifier: Apache-2.0
 *
 * What an envelope's fields must look like, and how the library fills them in, reads them, and takes them out
 * of JSON. The table of JSON shapes has one row for each that is accepted, and one for each way to be wrong.
 */
#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/envelope/envelope.h"
#include "client/envelope/json.h"

/* ---- help ---- */

static struct bytes text(const char *s)
{
    return bytes_of(s);
}

/* An event's envelope, as a receiver sees it. */
struct seen {
    uint8_t batch[ENVELOPE_ENCODED_BYTES + 1024];
    struct record record;
    struct runnel_text fields[RUNNEL_FIELDS];
    char value[ENVELOPE_VALUE_BYTES + 1];
};

static struct runnel_record received(const struct seen *s)
{
    return (struct runnel_record){ .header_count = s->record.header_count,
                                   .priv = s->record.headers.at,
                                   .priv_len = s->record.headers.len };
}

static void publish(struct runnel_envelope *e, const char *topic, const struct runnel_event *event,
                    int64_t ms, struct seen *s)
{
    struct header_block lead;
    struct batch_builder builder;
    struct batch batch;
    struct record_iter it;
    cr_assert_eq(envelope_stamp(e, NULL, topic, event, ms, &lead), 0);
    cr_assert_leq(lead.encoded.len, envelope_bytes_max(e));
    batch_build_start(&builder, s->batch, sizeof(s->batch));
    cr_assert(batch_build_add_led(&builder, ms, text("k"), text("v"), &lead, NULL, 0));
    const uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    cr_assert_eq(batch_check(&batch, s->batch, bytes, NULL), ERR_OK);
    record_iter_init(&it, &batch, (struct bytes){ s->batch + BATCH_HEADER, bytes - BATCH_HEADER });
    cr_assert_eq(record_next(&it, &s->record), 1);
    const struct runnel_record r = received(s);
    runnel_record_envelope(&r, s->fields, RUNNEL_FIELDS);
}

static const char *field(struct seen *s, enum runnel_field f)
{
    if (!s->fields[f].at)
        return NULL;
    memcpy(s->value, s->fields[f].at, s->fields[f].len);
    s->value[s->fields[f].len] = '\0';
    return s->value;
}

static bool is(struct seen *s, enum runnel_field f, const char *value)
{
    const char *v = field(s, f);
    return value ? v && !strcmp(v, value) : !v;
}

static bool looks_like(const char *value, const char *pattern)
{
    regex_t re;
    cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const bool match = value && regexec(&re, value, 0, NULL, 0) == 0;
    regfree(&re);
    return match;
}

#define UUID(version) "^[0-9a-f]{8}-[0-9a-f]{4}-" version "[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

static const struct runnel_event plain = RUNNEL_EVENT_INIT;

/* ---- the table, and forms ---- */

Test(envelope, fields_are_found_by_both_names)
{
    cr_assert_eq(envelope_find(text("event_id")), ENVELOPE_ID);
    cr_assert_eq(envelope_find(text("ce_id")), ENVELOPE_ID);
    cr_assert_eq(envelope_find(text("ce_idx")), -1);
    cr_assert_eq(envelope_of_header(text("event_id")), -1);
    cr_assert_str_eq(runnel_field_name(RUNNEL_FIELD_TENANT), "tenant_id");
    cr_assert_null(runnel_field_name(RUNNEL_FIELDS));
    cr_assert_null(runnel_field_name(-1));
    for (int i = 0; i < ENVELOPE_FIELDS; i++)
        cr_assert_eq(envelope_of_header(text(envelope_header((enum envelope_field)i))), i);
}

Test(envelope, forms)
{
    static const struct {
        enum envelope_field field;
        const char *value;
        bool good;
    } cases[] = {
        { ENVELOPE_ID, "a-Z_0.9:x", true },
        { ENVELOPE_ID, "", false },
        { ENVELOPE_ID, "a b", false },
        { ENVELOPE_ID, "ümlaut", false },
        { ENVELOPE_ID, "0123456789012345678901234567890123456789012345678901234567890123", true },
        { ENVELOPE_ID, "01234567890123456789012345678901234567890123456789012345678901234", false },
        { ENVELOPE_CHAIN, "a,b,c", true },
        { ENVELOPE_CHAIN, "a,,c", false },
        { ENVELOPE_CHAIN, "a,", false },
        { ENVELOPE_CHAIN, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", true },
        { ENVELOPE_CHAIN, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", false },
        { ENVELOPE_TIME, "2026-11-21T02:11:37Z", true },
        { ENVELOPE_TIME, "2024-02-29T23:59:60.123456789+05:30", true },
        { ENVELOPE_TIME, "2026-02-29T00:00:00Z", false },
        { ENVELOPE_TIME, "2026-11-21 02:11:37Z", false },
        { ENVELOPE_TIME, "2026-11-21T02:11:37", false },
        { ENVELOPE_TIME, "2026-11-21T24:00:00Z", false },
        { ENVELOPE_TIME, "2026-11-21T02:11:37.Z", false },
        { ENVELOPE_TIME, "2026-11-21T02:11:37Zx", false },
        { ENVELOPE_PRIORITY, "0", true },
        { ENVELOPE_PRIORITY, "10", false },
        { ENVELOPE_PRIORITY, "x", false },
        { ENVELOPE_VERSION, "1.2.3", true },
        { ENVELOPE_VERSION, "1", true },
        { ENVELOPE_VERSION, "1.0.0-rc.1+b7", true },
        { ENVELOPE_VERSION, "v1", false },
        { ENVELOPE_VERSION, "1..2", false },
        { ENVELOPE_VERSION, "1.2.3.4", false },
        { ENVELOPE_TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true },
        { ENVELOPE_TRACEPARENT, "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false },
        { ENVELOPE_TRACEPARENT, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false },
        { ENVELOPE_TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false },
        { ENVELOPE_TRACEPARENT, "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false },
        { ENVELOPE_ACTOR, "Jörg \xf0\x9f\x98\x80", true },
        { ENVELOPE_ACTOR, "a\nb", false },
        { ENVELOPE_ACTOR, "\xff", false },
        { ENVELOPE_ACTOR, "\xed\xa0\x80", false },
        { ENVELOPE_ACTOR, "\xf0\x9f", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(envelope_misfit(cases[i].field, text(cases[i].value)) == NULL, cases[i].good, "%zu: %s",
                     i, cases[i].value);
}

Test(envelope, times_there_and_back)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1763691097123, "2025-11-21T02:11:37.123Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { 951782400000, "2000-02-29T00:00:00.000Z" },
        { 4107542399999, "2100-02-28T23:59:59.999Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
        { -62167219200000, "0000-01-01T00:00:00.000Z" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[ENVELOPE_TIME_BYTES + 1] = "";
        int64_t ms;
        envelope_time_put(out, cases[i].ms);
        cr_expect_str_eq(out, cases[i].text);
        cr_expect(envelope_time(text(cases[i].text), &ms) && ms == cases[i].ms, "%s", cases[i].text);
    }
    for (int64_t ms = -3000000000000; ms < 6000000000000; ms += 77777777771) {
        char out[ENVELOPE_TIME_BYTES];
        int64_t back;
        envelope_time_put(out, ms);
        cr_assert(envelope_time((struct bytes){ (uint8_t *)out, sizeof(out) }, &back) && back == ms);
    }
    int64_t ms;
    cr_assert(envelope_time(text("2025-11-21T03:11:37.1+01:00"), &ms) && ms == 1763691097100);
}

/* ---- filling in ---- */

Test(envelope, everything_that_an_event_needs_is_filled_in)
{
    static struct seen s;
    setenv("RUNNEL_SERVICE", "billing svc/x", 1);
    setenv("RUNNEL_TENANT", "acme", 1);
    setenv("RUNNEL_ACTOR", "bad\nactor", 1); /* not for us: left out */
    struct runnel_envelope *e = runnel_envelope_new();
    publish(e, "orders.v1", &plain, 1763691097123, &s);
    cr_assert(looks_like(field(&s, RUNNEL_FIELD_ID), UUID("4")), "%s", s.value);
    cr_assert_str_eq(runnel_envelope_id(e), s.value);
    cr_assert(is(&s, RUNNEL_FIELD_TYPE, "orders.v1"));
    cr_assert(is(&s, RUNNEL_FIELD_TIME, "2025-11-21T02:11:37.123Z"));
    cr_assert(is(&s, RUNNEL_FIELD_SPECVERSION, "1.0"));
    cr_assert(looks_like(field(&s, RUNNEL_FIELD_SOURCE), "^/billing%20svc%2Fx/.+-[0-9]+$"), "%s", s.value);
    cr_assert(field(&s, RUNNEL_FIELD_HOSTNAME));
    cr_assert(is(&s, RUNNEL_FIELD_KIND, "runtime"));
    cr_assert(is(&s, RUNNEL_FIELD_TENANT, "acme"));
    cr_assert(is(&s, RUNNEL_FIELD_ACTOR, NULL) && is(&s, RUNNEL_FIELD_CORRELATION, NULL));
    publish(e, "refunds", &plain, 1763691097124, &s);
    cr_assert(is(&s, RUNNEL_FIELD_TYPE, "refunds") && is(&s, RUNNEL_FIELD_TIME, "2025-11-21T02:11:37.124Z"));
    runnel_envelope_free(e);
}

Test(envelope, every_field_can_be_set_unset_and_is_checked)
{
    static struct seen s;
    struct runnel_envelope *e = runnel_envelope_new();
    cr_assert_eq(runnel_envelope_set(e, "actor", "agent-7"), 0);
    cr_assert_eq(runnel_envelope_set(e, "ce_tenantid", "acme"), 0);
    cr_assert_eq(runnel_envelope_set(e, "priority", "P1"), 0);
    cr_assert_eq(runnel_envelope_set(e, "service", "a"), 0);
    cr_assert_eq(runnel_envelope_set(e, "instance_id", "b"), 0);
    cr_assert_eq(runnel_envelope_set(e, "id", "mine"), 0);
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_ACTOR, "agent-7") && is(&s, RUNNEL_FIELD_TENANT, "acme"));
    cr_assert(is(&s, RUNNEL_FIELD_PRIORITY, "1") && is(&s, RUNNEL_FIELD_SOURCE, "/a/b"));
    cr_assert(is(&s, RUNNEL_FIELD_ID, "mine") && !strcmp(runnel_envelope_id(e), "mine"));
    cr_assert_eq(runnel_envelope_set(e, "event_id", "no good"), -RUNNEL_E_ENVELOPE_INVALID);
    cr_assert(strstr(runnel_last_error(NULL)->text, "event_id must be an id"));
    cr_assert_eq(runnel_envelope_set(e, "colour", "red"), -RUNNEL_E_ENVELOPE_INVALID);
    cr_assert_eq(runnel_envelope_set(e, "service", ""), -RUNNEL_E_ENVELOPE_INVALID);
    publish(e, "t", &plain, 1, &s); /* as before */
    cr_assert(is(&s, RUNNEL_FIELD_ID, "mine") && is(&s, RUNNEL_FIELD_SOURCE, "/a/b"));
    cr_assert_eq(runnel_envelope_set(e, "actor", NULL), 0);
    cr_assert_eq(runnel_envelope_set(e, "event_id", NULL), 0);
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_ACTOR, NULL) && looks_like(field(&s, RUNNEL_FIELD_ID), UUID("4")));
    runnel_envelope_free(e);
}

Test(envelope, all_fields_at_their_longest_fit)
{
    static struct seen s;
    char longest[ENVELOPE_TEXT_BYTES + 1];
    struct runnel_envelope *e = runnel_envelope_new();
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (int f = 0; f < ENVELOPE_FIELDS; f++)
        if (!envelope_misfit((enum envelope_field)f, text(longest)))
            cr_assert_eq(runnel_envelope_set(e, runnel_field_name(f), longest), 0);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(runnel_envelope_child_flow(e), 0);
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_USER, longest));
    longest[0] = '\0';
    cr_assert_eq(runnel_envelope_set(e, "user_id", longest), -RUNNEL_E_ENVELOPE_INVALID);
    runnel_envelope_free(e);
}

Test(envelope, ids_by_time_are_in_order_and_all_are_different)
{
    static struct seen s;
    struct runnel_envelope *e = runnel_envelope_new();
    char last[64] = "";
    cr_assert_eq(runnel_envelope_set(e, "event_id", "v7"), 0);
    for (int i = 0; i < 20000; i++) { /* more than one millisecond has numbers for; and the clock goes back */
        publish(e, "t", &plain, i < 15000 ? 1763691097123 : 1763691000000, &s);
        cr_assert(strcmp(runnel_envelope_id(e), last) > 0, "%s after %s", runnel_envelope_id(e), last);
        snprintf(last, sizeof(last), "%s", runnel_envelope_id(e));
    }
    cr_assert(looks_like(last, UUID("7")));
    runnel_envelope_free(e);
}

Test(envelope, a_forked_process_makes_other_ids)
{
    static struct seen s;
    struct runnel_envelope *e = runnel_envelope_new();
    int ends[2];
    char theirs[UUID_TEXT + 1] = "";
    publish(e, "t", &plain, 1, &s);
    cr_assert_eq(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        publish(e, "t", &plain, 1, &s);
        _exit(write(ends[1], runnel_envelope_id(e), UUID_TEXT) == UUID_TEXT ? 0 : 1);
    }
    publish(e, "t", &plain, 1, &s);
    cr_assert_eq(read(ends[0], theirs, UUID_TEXT), UUID_TEXT);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_str_neq(theirs, runnel_envelope_id(e));
    runnel_envelope_free(e);
}

/* ---- ids from content ---- */

static void content_id(struct runnel_envelope *e, const char *topic, const char *key, const char *value,
                       char out[64])
{
    static struct seen s;
    struct runnel_event event = RUNNEL_EVENT_INIT;
    event.key = key;
    event.key_len = key ? strlen(key) : 0;
    event.value = value;
    event.value_len = value ? strlen(value) : 0;
    publish(e, topic, &event, 1, &s);
    snprintf(out, 64, "%s", runnel_envelope_id(e));
}

Test(envelope, the_same_content_has_the_same_id)
{
    char a[64], b[64];
    setenv("RUNNEL_SERVICE", "billing", 1);
    struct runnel_envelope *e = runnel_envelope_new();
    cr_assert_eq(runnel_envelope_set(e, "event_id", "content"), 0);
    content_id(e, "t", "k", "{\"a\": 1.0, \"b\":\"\\u0041\"}", a);
    cr_assert(looks_like(a, UUID("8")));
    /* computed with Python's hashlib, as docs/envelope.md says */
    cr_assert_str_eq(a, "ac13b7a8-3c1c-8e11-b92f-1fbafcf0ff03");
    content_id(e, "t", "k", "{\"b\":\"A\",\"a\":1}", b);
    cr_assert_str_eq(a, b);
    content_id(e, "t", "k", "{\"b\":\"A\",\"a\":2}", b);
    cr_assert_str_neq(a, b);
    content_id(e, "t", "j", "{\"b\":\"A\",\"a\":1}", b);
    cr_assert_str_neq(a, b);
    content_id(e, "u", "k", "{\"b\":\"A\",\"a\":1}", b);
    cr_assert_str_neq(a, b);
    cr_assert_eq(runnel_envelope_set(e, "causation_id", "x"), 0);
    content_id(e, "t", "k", "{\"b\":\"A\",\"a\":1}", b);
    cr_assert_str_neq(a, b);
    cr_assert_eq(runnel_envelope_set(e, "causation_id", NULL), 0);
    cr_assert_eq(runnel_envelope_set(e, "service", "other"), 0);
    content_id(e, "t", "k", "{\"b\":\"A\",\"a\":1}", b);
    cr_assert_str_neq(a, b);
    /* no JSON, empty, and none: bytes as they are */
    content_id(e, "t", NULL, "not JSON", a);
    content_id(e, "t", NULL, "not JSON ", b);
    cr_assert_str_neq(a, b);
    content_id(e, "t", NULL, "", a);
    content_id(e, "t", NULL, NULL, b);
    cr_assert_str_neq(a, b);
    runnel_envelope_free(e);
}

Test(envelope, canonical_json)
{
    static const struct {
        const char *in, *out; /* out NULL: it has none */
    } cases[] = {
        /* the examples of RFC 8785 */
        { "{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],"
          "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
          "\"literals\": [null, true, false]}",
          "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
          "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}" },
        { "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
          "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,"
          "\"\xef\xac\xb3\":3}" },
        { "[0, -0, -0.0, 1e21, 1e20, 123456789012345680000, 1e-6, 1e-7, 9007199254740993, 5e-324, "
          "1.7976931348623157e308, -1.5]",
          "[0,0,0,1e+21,100000000000000000000,123456789012345680000,0.000001,1e-7,9007199254740992,5e-324,"
          "1.7976931348623157e+308,-1.5]" },
        { " {} ", "{}" },
        { "[]", "[]" },
        { "{\"b\":{\"d\":1,\"c\":[{\"f\":1,\"e\":2}]},\"a\":0}",
          "{\"a\":0,\"b\":{\"c\":[{\"e\":2,\"f\":1}],\"d\":1}}" },
        { "{\"ab\":1,\"a\":2}", "{\"a\":2,\"ab\":1}" },
        { "\"x\"", "\"x\"" },
        { "{\"a\":1,\"\\u0061\":2}", NULL },
        { "\"\\ud800\"", NULL },
        { "1e400", NULL },
        { "{", NULL },
        { "", NULL },
    };
    struct runnel_envelope *e = runnel_envelope_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int64_t len = canonical_json(e, text(cases[i].in));
        if (!cases[i].out)
            cr_expect_eq(len, 0, "%s", cases[i].in);
        else
            cr_expect(len == (int64_t)strlen(cases[i].out) && !memcmp(e->scratch, cases[i].out, (size_t)len),
                      "%s\n%.*s", cases[i].in, (int)len, e->scratch);
    }
    runnel_envelope_free(e);
}

Test(envelope, json_is_checked)
{
    static const char *const bad[] = {
        "",
        "{",
        "}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "nul",
        "truefalse",
        "[1 2]",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "[1]]",
        "[1}",
        "{]",
        "\"\\",
        "\"\\u00",
        "1 1",
        "[\"a\":1]",
        "NaN",
        "'a'",
        "\"\xe2\x82\"",
        "[\"\t\"]",
    };
    static const char *const good[] = { "0", "-0.5e+10", " [ ] ",
                                        "{\"a\":[{}, [], null, true, \"\\u0000\"]}" };
    struct bytes value;
    const char *why;
    uint32_t at;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!json_check(text(bad[i]), &value, &why, &at) && why && at <= strlen(bad[i]), "%s", bad[i]);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(json_check(text(good[i]), &value, &why, &at), "%s: %s", good[i], why);
    char deep[2 * JSON_DEPTH_MAX + 3] = "";
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        deep[i] = '[';
        deep[2 * JSON_DEPTH_MAX - 1 - i] = ']';
    }
    cr_assert(json_check(text(deep), &value, &why, &at));
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    cr_assert(!json_check(text(deep), &value, &why, &at) && strstr(why, "64"));
}

/* ---- causes and flows ---- */

Test(envelope, an_event_is_the_cause_of_what_is_published_while_it_is_handled)
{
    static struct seen first, second, third;
    char id[64];
    struct runnel_envelope *e = runnel_envelope_new();
    cr_assert_eq(
        runnel_envelope_set(e, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 0);
    publish(e, "a", &plain, 1, &first);
    snprintf(id, sizeof(id), "%s", runnel_envelope_id(e));
    cr_assert_eq(runnel_envelope_set(e, "traceparent", NULL), 0);

    struct runnel_record r = received(&first);
    runnel_envelope_cause(e, &r);
    publish(e, "b", &plain, 1, &second);
    cr_assert(is(&second, RUNNEL_FIELD_CAUSATION, id));
    cr_assert(is(&second, RUNNEL_FIELD_CORRELATION, id)); /* it began the flow */
    cr_assert(
        is(&second, RUNNEL_FIELD_TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));

    r = received(&second);
    runnel_envelope_cause(e, &r);
    publish(e, "c", &plain, 1, &third);
    cr_assert(is(&third, RUNNEL_FIELD_CORRELATION, id));
    cr_assert(is(&third, RUNNEL_FIELD_CAUSATION, field(&second, RUNNEL_FIELD_ID)));

    cr_assert_eq(runnel_envelope_set(e, "correlation_id", "mine"), 0); /* the program knows better */
    publish(e, "c", &plain, 1, &third);
    cr_assert(is(&third, RUNNEL_FIELD_CORRELATION, "mine"));
    runnel_envelope_set(e, "correlation_id", NULL);
    runnel_envelope_cause(e, NULL);
    publish(e, "c", &plain, 1, &third);
    cr_assert(is(&third, RUNNEL_FIELD_CORRELATION, NULL) && is(&third, RUNNEL_FIELD_CAUSATION, NULL));
    runnel_envelope_free(e);
}

Test(envelope, what_looks_wrong_is_not_passed_on)
{
    static struct seen s, next;
    struct batch_builder builder;
    struct batch batch;
    struct record_iter it;
    const struct header headers[] = { { text("ce_id"), text("has a blank") },
                                      { text("ce_correlationid"), text("c1") },
                                      { text("ce_correlationid"), text("c2") },
                                      { text("ce_tenantid"), { NULL, 0 } } };
    batch_build_start(&builder, s.batch, sizeof(s.batch));
    cr_assert(batch_build_add(&builder, 1, text("k"), text("v"), headers, 4));
    const uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    cr_assert(batch_decode(&batch, s.batch, bytes));
    record_iter_init(&it, &batch, (struct bytes){ s.batch + BATCH_HEADER, bytes - BATCH_HEADER });
    cr_assert_eq(record_next(&it, &s.record), 1);
    struct runnel_record r = received(&s);
    cr_assert_eq(runnel_record_envelope(&r, s.fields, RUNNEL_FIELDS), 2);
    cr_assert(is(&s, RUNNEL_FIELD_CORRELATION, "c1") && is(&s, RUNNEL_FIELD_TENANT, NULL));

    struct runnel_envelope *e = runnel_envelope_new();
    runnel_envelope_cause(e, &r);
    publish(e, "t", &plain, 1, &next);
    cr_assert(is(&next, RUNNEL_FIELD_CAUSATION, NULL) && is(&next, RUNNEL_FIELD_CORRELATION, "c1"));
    runnel_envelope_free(e);
}

Test(envelope, flows_within_flows)
{
    static struct seen s;
    struct runnel_envelope *e = runnel_envelope_new();
    cr_assert_eq(runnel_envelope_set(e, "correlation_id", "root"), 0);
    cr_assert_eq(runnel_envelope_child_flow(e), 0);
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_CHAIN, "root"));
    cr_assert(looks_like(field(&s, RUNNEL_FIELD_CORRELATION), UUID("4")));
    for (int i = 0; i < 30; i++)
        cr_assert_eq(runnel_envelope_child_flow(e), 0);
    publish(e, "t", &plain, 1, &s);
    const char *chain = field(&s, RUNNEL_FIELD_CHAIN);
    int commas = 0;
    for (const char *p = chain; *p; p++)
        commas += *p == ',';
    cr_assert_eq(commas, ENVELOPE_CHAIN_MAX - 1);
    cr_assert_eq(strncmp(chain, "root,", 5), 0);
    runnel_envelope_free(e);
}

Test(envelope, a_command_takes_its_cause_from_the_environment)
{
    static struct seen s;
    setenv("RUNNEL_EVENT_ID", "e1", 1);
    setenv("RUNNEL_EVENT_CORRELATION_CHAIN", "a,b", 1);
    setenv("TRACEPARENT", "nonsense", 1);
    struct runnel_envelope *e = runnel_envelope_new();
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_CAUSATION, "e1") && is(&s, RUNNEL_FIELD_CORRELATION, "e1"));
    cr_assert(is(&s, RUNNEL_FIELD_CHAIN, "a,b") && is(&s, RUNNEL_FIELD_TRACEPARENT, NULL));
    runnel_envelope_free(e);
    setenv("RUNNEL_EVENT_CORRELATION_ID", "c1", 1);
    e = runnel_envelope_new();
    publish(e, "t", &plain, 1, &s);
    cr_assert(is(&s, RUNNEL_FIELD_CAUSATION, "e1") && is(&s, RUNNEL_FIELD_CORRELATION, "c1"));
    runnel_envelope_free(e);
}

/* ---- JSON envelopes ---- */

Test(envelope, shapes_in_json)
{
    static struct seen s;
    struct runnel_event event = RUNNEL_EVENT_INIT;
    struct runnel_envelope *e = runnel_envelope_new();
    static const char mesh[] =
        "{\"event_id\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\","
        "\"timestamp\":\"2025-10-18T10:00:00Z\",\"topic\":\"scheduling\",\"event_type\":\"task.enqueued\","
        "\"node_id\":\"n1\",\"causation_id\":null,\"source\":\"mesh-dispatch\",\"payload\":{\"a\": 1}}";
    cr_assert_eq(runnel_envelope_json(e, "mesh", mesh, strlen(mesh), &event), 0);
    publish(e, "t", &event, event.timestamp_ms, &s);
    cr_assert(is(&s, RUNNEL_FIELD_ID, "9f86d081-884c-8d65-9a2f-eaa0c55ad015"), "%s", s.value);
    cr_assert(
        is(&s, RUNNEL_FIELD_ORIGINAL_ID, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"));
    cr_assert(is(&s, RUNNEL_FIELD_TIME, "2025-10-18T10:00:00.000Z") && event.timestamp_ms == 1760781600000);
    cr_assert(is(&s, RUNNEL_FIELD_DOMAIN, "scheduling") && is(&s, RUNNEL_FIELD_NODE, "n1"));
    cr_assert(is(&s, RUNNEL_FIELD_KIND, "mesh-dispatch") && is(&s, RUNNEL_FIELD_TYPE, "task.enqueued"));
    cr_assert(is(&s, RUNNEL_FIELD_CONTENT_TYPE, "application/json") && is(&s, RUNNEL_FIELD_CAUSATION, NULL));
    cr_assert(event.value_len == 8 && !memcmp(event.value, "{\"a\": 1}", 8));

    static const char omninode[] =
        "{\"event_id\":\"0b1c2d3e-4f50-4161-8273-8495a6b7c8d9\",\"event_type\":\"omninode.x.event.y.v1\","
        "\"correlation_id\":\"c-1\",\"causation_id\":\"c-0\",\"timestamp\":1760781600123,\"version\":\"1.0."
        "0\","
        "\"source\":{\"service_name\":\"intel\",\"instance_id\":\"i-1\",\"hostname\":\"h\"},"
        "\"metadata\":{\"trace_id\":\"4bf92f35-77b3-4da6-a3ce-929d0e0e4736\",\"span_id\":"
        "\"00f067aa0ba902b7\","
        "\"user_id\":null,\"tenant_id\":\"acme\",\"actor\":\"agent-7\",\"session_key\":\"s1\",\"priority\":"
        "\"P1\","
        "\"entity\":{\"type\":\"task\",\"id\":\"T/1\",\"parent\":\"sprint/S\"}},"
        "\"correlation_chain\":[\"p1\",\"p2\"],\"changes\":{\"st\":{\"before\":1,\"after\":2}},\"payload\":{"
        "\"q\":0.5}}";
    cr_assert_eq(runnel_envelope_json(e, "omninode", omninode, strlen(omninode), &event), 0, "%s",
                 runnel_last_error(NULL)->text);
    publish(e, "t", &event, event.timestamp_ms, &s);
    cr_assert(is(&s, RUNNEL_FIELD_SOURCE, "/intel/i-1") && is(&s, RUNNEL_FIELD_HOSTNAME, "h"));
    cr_assert(is(&s, RUNNEL_FIELD_TIME, "2025-10-18T10:00:00.123Z") && is(&s, RUNNEL_FIELD_VERSION, "1.0.0"));
    cr_assert(is(&s, RUNNEL_FIELD_TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    cr_assert(is(&s, RUNNEL_FIELD_TENANT, "acme") && is(&s, RUNNEL_FIELD_ACTOR, "agent-7"));
    cr_assert(is(&s, RUNNEL_FIELD_ENTITY, "task/T/1") && is(&s, RUNNEL_FIELD_PARENT, "sprint/S"));
    cr_assert(is(&s, RUNNEL_FIELD_PRIORITY, "1") && is(&s, RUNNEL_FIELD_CHAIN, "p1,p2"));
    cr_assert(is(&s, RUNNEL_FIELD_DOMAIN, NULL), "the one before is forgotten");
    static const char joined[] = "{\"q\":0.5,\"changes\":{\"st\":{\"before\":1,\"after\":2}}}";
    cr_assert(event.value_len == strlen(joined) && !memcmp(event.value, joined, event.value_len), "%.*s",
              (int)event.value_len, (const char *)event.value);

    static const char rfc[] =
        "{\"event_id\":\"x1\",\"source\":\"assigner\",\"timestamp\":\"2025-10-18T10:00:00Z\","
        "\"event_type\":\"rfc.pr.ready\",\"payload\":{\"pr\":1}}";
    cr_assert_eq(runnel_envelope_json(e, "rfc", rfc, strlen(rfc), &event), 0);
    publish(e, "t", &event, event.timestamp_ms, &s);
    cr_assert(is(&s, RUNNEL_FIELD_KIND, "assigner") && is(&s, RUNNEL_FIELD_ID, "x1"));

    static const char canonical[] =
        "{\"topic\":\"t\",\"partition\":3,\"offset\":9,\"key\":\"k\\u0000\",\"headers\":{\"x\":\"\\u00e9\"},"
        "\"payload\":\"AAH/\",\"payload_encoding\":\"base64\"}";
    cr_assert_eq(runnel_envelope_json(e, "canonical", canonical, strlen(canonical), &event), 0);
    cr_assert(event.key_len == 2 && !memcmp(event.key, "k", 2));
    cr_assert(event.header_count == 1 && !strcmp(event.headers[0].name, "x") &&
              event.headers[0].value_len == 2);
    cr_assert(event.value_len == 3 && !memcmp(event.value, "\x00\x01\xff", 3));
    publish(e, "t", &event, 5, &s);
    cr_assert(looks_like(field(&s, RUNNEL_FIELD_ID), UUID("4")));
    runnel_envelope_free(e);
}

Test(envelope, bad_envelopes_name_the_place)
{
    static const struct {
        const char *profile, *json, *says;
    } cases[] = {
        { "nonesuch", "{}", "no profile 'nonesuch'" },
        { "canonical", "{\"payload\":", "$: not JSON: the text ends where a value should be, at byte 12" },
        { "canonical", "[]", "$: expected an envelope, which is an object, found an array" },
        { "canonical", "{\"colour\":1}", "$.colour: an envelope has no such member" },
        { "canonical", "{\"event_id\":7}", "$.event_id: expected a string, found a number" },
        { "canonical", "{\"event_id\":\"a b\"}", "$.event_id: must be an id" },
        { "canonical", "{\"event_id\":\"a\",\"event_id\":\"b\"}", "$.event_id: event_id is given twice" },
        { "canonical", "{\"metadata\":{\"actor\":\"a\"},\"actor\":\"b\"}", "$.actor: actor is given twice" },
        { "canonical", "{\"source\":{\"service\":5}}",
          "$.source.service: expected a string, found a number" },
        { "canonical", "{\"source\":{\"service\":\"a\",\"service_name\":\"b\"}}", "$.source.service_name: " },
        { "canonical", "{\"source\":[]}", "$.source: expected an object or a string, found an array" },
        { "canonical", "{\"timestamp\":\"yesterday\"}", "$.timestamp: must be a time" },
        { "canonical", "{\"timestamp\":1.5}", "$.timestamp: as a number" },
        { "canonical", "{\"metadata\":{\"trace_id\":\"xyz\"}}",
          "$.metadata.trace_id: must be 32 hex digits" },
        { "canonical", "{\"metadata\":{\"entity\":{\"type\":\"t\"}}}", "$.metadata.entity: an entity has" },
        { "canonical", "{\"metadata\":{\"entity\":{\"typ\":\"t\"}}}",
          "$.metadata.entity.typ: an envelope has no" },
        { "canonical", "{\"metadata\":{\"priority\":11}}", "$.metadata.priority: must be a priority" },
        { "canonical", "{\"correlation_chain\":[\"a\",\"b c\"]}",
          "$.correlation_chain: element 1 must be an id" },
        { "canonical", "{\"correlation_chain\":\"a\"}",
          "$.correlation_chain: expected an array, found a string" },
        { "canonical", "{\"headers\":{\"ce_id\":\"x\"}}", "$.headers: ce_id: the envelope's own header" },
        { "canonical", "{\"headers\":{\"x\":1}}", "$.headers: x: a header is a name and a string" },
        { "canonical", "{\"payload\":1,\"changes\":{}}", "$.payload: `changes` goes into a payload" },
        { "canonical", "{\"payload\":\"!\",\"payload_encoding\":\"base64\"}",
          "$.payload: this is not base64" },
        { "canonical", "{\"payload\":\"x\",\"payload_encoding\":\"rot13\"}",
          "$.payload: payload_encoding is" },
        { "canonical", "{\"key\":\"\\ud800\"}", "$.key: half of a surrogate pair" },
        { "rfc", "{\"event_id\":\"x\",\"event_type\":\"t\",\"source\":\"s\",\"payload\":{}}",
          "$.timestamp: missing: the profile rfc" },
        { "mesh", "{\"event_id\":\"x\",\"event_type\":\"t\",\"timestamp\":1,\"source\":\"s\",\"payload\":{}}",
          "$.node_id: missing" },
        { "omninode", "{\"event_id\":null}", "$.event_id: missing" },
    };
    static struct seen s;
    struct runnel_envelope *e = runnel_envelope_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct runnel_event event = RUNNEL_EVENT_INIT;
        const int rc =
            runnel_envelope_json(e, cases[i].profile, cases[i].json, strlen(cases[i].json), &event);
        const char *said = runnel_last_error(NULL)->text;
        cr_expect(rc == -RUNNEL_E_ENVELOPE_INVALID && !strncmp(said, cases[i].says, strlen(cases[i].says)),
                  "%s\n said %s", cases[i].json, said);
    }
    publish(e, "t", &plain, 1, &s); /* nothing of them is left */
    cr_assert(is(&s, RUNNEL_FIELD_ACTOR, NULL) && is(&s, RUNNEL_FIELD_CHAIN, NULL));
    runnel_envelope_free(e);
}
