/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings of consumer groups: the defaults, what text is understood, what is said about the rest.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "group/settings.h"

static bool set(struct group_settings *s, const char *name, const char *value, char *why)
{
    struct group_settings defaults;
    group_settings_init(&defaults);
    return group_settings_set(s, &defaults, bytes_of(name), bytes_of(value), why);
}

Test(group_settings, defaults)
{
    struct group_settings s;
    group_settings_init(&s);
    cr_assert_eq(s.retry_max, 3);
    cr_assert_eq(s.retry_backoff, 3);
    cr_assert_eq(s.backoff_ms[0], 1000);
    cr_assert_eq(s.backoff_ms[2], 4000);
    cr_assert_eq(s.retry_jitter, 10);
    cr_assert_eq(s.ack_wait_ms, 30000);
    cr_assert_eq(s.max_in_flight, 100);
    cr_assert_eq(s.session_timeout_ms, 10000);
    cr_assert_str_eq(s.dlq_topic_name, "");
    cr_assert_eq(s.offset_reset, OFFSET_RESET_END);
    cr_assert_eq(s.window_max, 65536);
    cr_assert_eq(s.breaker, BREAKER_SETTING_AUTO);
    cr_assert_eq(s.expire_after_ms, 604800000);
    cr_assert_eq(s.set, 0);
}

Test(group_settings, text_reads_back)
{
    static const char *const values[] = { "0",     "250ms,1s,1m", "0%",  "45s", "1",    "2h",   "errors.all",
                                          "error", "128",         "off", "64",  "100%", "10ms", "-1" };
    struct group_settings s;
    char why[256], text[GROUP_SETTING_TEXT_BYTES];
    group_settings_init(&s);
    cr_assert_eq(group_settings_count(), sizeof(values) / sizeof(values[0]));
    for (uint32_t i = 0; i < group_settings_count(); i++) {
        cr_assert(set(&s, group_settings_row(i)->name, values[i], why), "%s", why);
        group_settings_text(&s, i, text);
        cr_assert_str_eq(text, values[i]);
        cr_assert(s.set & (1u << i));
    }
    cr_assert_eq(s.retry_backoff, 3);
    cr_assert_eq(s.backoff_ms[2], 60000);
    cr_assert_str_eq(s.dlq_topic_name, "errors.all");
}

Test(group_settings, back_to_the_default)
{
    struct group_settings s, defaults;
    char why[256];
    group_settings_init(&s);
    group_settings_init(&defaults);
    cr_assert(set(&s, "retry.backoff", "7s", why));
    cr_assert(set(&s, "dlq.topic", "none", why));
    cr_assert(set(&s, "dlq.topic", NULL, why));
    cr_assert(set(&s, "retry.max", "5", why));
    cr_assert_eq(s.dlq_topic_name[0], 0);
    defaults.retry_max = 9;
    defaults.ack_wait_ms = 5;
    group_settings_inherit(&s, &defaults);
    cr_assert_eq(s.retry_max, 5);
    cr_assert_eq(s.ack_wait_ms, 5);
    cr_assert_eq(s.backoff_ms[0], 7000);
}

Test(group_settings, refuses_by_name_and_changes_nothing)
{
    static const struct {
        const char *name, *value, *says;
    } bad[] = {
        { "retry.max", "-1", "from 0 to 1000" },
        { "retry.max", "3s", "number" },
        { "retry.max", "", "number" },
        { "retry.backoff", "", "1s,2s,4s" },
        { "retry.backoff", "1s,,2s", "1s,2s,4s" },
        { "retry.backoff", "1s,", "1s,2s,4s" },
        { "retry.backoff", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "1 to 16" },
        { "retry.jitter", "101%", "from 0 to 100" },
        { "ack.wait", "0", "from 10ms" },
        { "ack.wait", "soon", "30s" },
        { "window.max", "100", "power of two" },
        { "dlq.topic", "a b", "name of a topic" },
        { "dlq.topic", "__groups", "name of a topic" },
        { "offset.reset", "latest", "start, end or error" },
        { "breaker", "on", "auto or off" },
        { "expire.after", "-2", "from -1" },
        { "retry.mx", "1", "did you mean 'retry.max'" },
    };
    struct group_settings s, before;
    char why[256];
    group_settings_init(&s);
    before = s;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_not(set(&s, bad[i].name, bad[i].value, why), "%s = %s", bad[i].name, bad[i].value);
        cr_assert(strstr(why, bad[i].says), "%s = '%s': %s", bad[i].name, bad[i].value, why);
        cr_assert_eq(memcmp(&s, &before, sizeof(s)), 0);
    }
}
