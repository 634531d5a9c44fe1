/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of looking after groups: what the broker tells, and what is not even asked.
 */
#include "group_test.h"

struct seen {
    int rows;
    char text[256];
};

static int note_group(void *ctx, const struct runnel_group_row *row)
{
    struct seen *s = ctx;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "%s %s %s %u %u %d %d;", row->name, row->mode, row->state,
             row->members, row->partitions, (int)row->lag, (int)row->lag_ms);
    return ++s->rows == 5;
}

static void note_seek(void *ctx, const struct runnel_seek_row *row)
{
    struct seen *s = ctx;
    s->rows++;
    snprintf(s->text, sizeof(s->text), "%u %d %d", row->partition, (int)row->from, (int)row->to);
}

Test(client_group_admin, list_and_describe)
{
    struct fixture x = begin_group(false, 100, 0, "none");
    struct seen seen = { 0 };
    cr_assert_eq(runnel_groups_list(x.c, NULL, note_group, &seen), 0);
    cr_assert_str_eq(seen.text, "a ordered stable 2 3 40 1500;b shared empty 0 1 0 -1;");
    struct runnel_group_info *info;
    cr_assert_eq(runnel_group_describe(x.c, "a", &info), 0, "%s", runnel_last_error(x.c)->text);
    cr_assert_str_eq(info->name, "a");
    cr_assert_str_eq(info->mode, "shared");
    cr_assert_str_eq(info->state, "paused");
    cr_assert_str_eq(info->breaker, "open");
    cr_assert_str_eq(info->breaker_reason, "most events fail with Timeout");
    cr_assert_eq(info->generation, 7);
    cr_assert(info->config_count == 1 && info->configs[0].is_default);
    cr_assert_str_eq(info->configs[0].name, "retry.max");
    cr_assert(info->topic_count == 2);
    cr_assert_str_eq(info->topics[1], "u.*");
    cr_assert_eq(info->member_count, 1);
    cr_assert_str_eq(info->members[0].state, "silent");
    cr_assert_str_eq(info->members[0].host, "here/1");
    cr_assert_eq(info->partition_count, 1);
    const struct runnel_group_partition *p = &info->partitions[0];
    cr_assert_str_eq(p->topic, "t");
    cr_assert_str_eq(p->pause, "window full");
    cr_assert(p->partition == 2 && p->position == 10 && p->next == 40 && p->end_offset == 100 &&
              p->lag == 78 && p->lag_ms == 2500 && p->in_flight == 5 && p->items == 1 && p->done_count == 2);
    cr_assert(p->done[0].first == 12 && p->done[0].end == 14 && p->done[1].first == 20 &&
              p->done[1].end == 30);
    runnel_group_info_free(info);
    runnel_group_info_free(NULL);
    end_group(&x);
}

Test(client_group_admin, changes)
{
    struct fixture x = begin_group(false, 100, 0, "none");
    struct runnel_config config = { "retry.max", "5" };
    struct seen seen = { 0 };
    cr_assert_eq(runnel_group_set(x.c, "a", NULL, &config, 1), 0);
    cr_assert_eq(runnel_group_set(x.c, "a", "shared", &config, 1), 0);
    cr_assert_eq(runnel_group_set(x.c, "a", "both", &config, 1), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_group_set(x.c, "", NULL, &config, 1), -91);
    cr_assert_eq(runnel_group_seek(x.c, "a", "t", -1, "shift:-5", 1, note_seek, &seen), 0);
    cr_assert_str_eq(seen.text, "1 10 5");
    cr_assert_eq(runnel_group_seek(x.c, "a", "t", 0, "start", 0, NULL, NULL), 0);
    cr_assert_eq(runnel_group_seek(x.c, "a", "t", 0, "shift:", 0, NULL, NULL), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_group_seek(x.c, "a", "t", 0, "middle", 0, NULL, NULL), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_group_seek(x.c, "a", "", 0, "end", 0, NULL, NULL), -32);
    cr_assert_eq(runnel_group_breaker(x.c, "a", "closed"), 0);
    cr_assert_eq(runnel_group_breaker(x.c, "a", "ajar"), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_group_forget(x.c, "a", "t", -1), 0);
    struct runnel_group_position positions[] = { { "t", 0, 7 }, { "u", 1, 0 } };
    cr_assert_eq(runnel_group_commit_positions(x.c, "a", positions, 2), 0);
    cr_assert_eq(runnel_group_commit_positions(x.c, "a", positions, 0), -RUNNEL_E_ARGUMENT);
    positions[1].position = -1;
    cr_assert_eq(runnel_group_commit_positions(x.c, "a", positions, 2), -RUNNEL_E_ARGUMENT);
    positions[0].topic = "";
    cr_assert_eq(runnel_group_commit_positions(x.c, "a", positions, 1), -32);
    cr_assert_eq(runnel_group_delete(x.c, "a"), 0);
    cr_assert_eq(runnel_group_delete(x.c, NULL), -91);
    end_group(&x);
}

static int count_call(void *ctx, const struct runnel_record *record)
{
    ++*(int *)ctx;
    return (int)record->offset;
}

Test(client_group_admin, handlers_by_type)
{
    /* One header, as a record has it: its name's and its value's length as varints. */
    static const char typed[] = "\x0e"
                                "ce_type"
                                "\x18"
                                "orders.paid.";
    struct runnel_record record = {
        .offset = 5, .header_count = 1, .priv = typed, .priv_len = sizeof(typed) - 1
    };
    int paid = 0, any = 0, result = 0;
    const struct runnel_handler handlers[] = { { "orders.made.*", count_call, &any },
                                               { "orders.paid.*", count_call, &paid },
                                               { NULL, count_call, &any } };
    cr_assert_eq(runnel_dispatch(handlers, 3, &record, &result), 1);
    cr_assert(paid == 1 && any == 0 && result == 5);
    record.header_count = 0;
    cr_assert_eq(runnel_dispatch(handlers, 3, &record, NULL), 1);
    cr_assert(paid == 1 && any == 1, "without a type");
    cr_assert_eq(runnel_dispatch(handlers, 2, &record, &result), 0, "nobody's");
}

Test(client_group_admin, redriving)
{
    struct fixture x = begin_group(false, 100, 0, "none");
    struct runnel_dead_letter letters[] = { { 0, 5, "g", "t", 0, 7, 0 }, { 1, 1000, "g", "t", 1, 8, 0 } };
    cr_assert_eq(runnel_dlq_redrive(x.c, "t.dlq", letters, 2), 0);
    cr_assert(letters[0].error == 0 && letters[1].error == -RUNNEL_E_EVENT_NOT_LEASED);
    letters[0].topic = NULL;
    cr_assert_eq(runnel_dlq_redrive(x.c, "t.dlq", letters, 2), -RUNNEL_E_ARGUMENT);
    cr_assert_eq(runnel_dlq_redrive(x.c, "t.dlq", letters, 0), -RUNNEL_E_ARGUMENT);
    letters[0].topic = "t";

    struct runnel_topic_event event = { "t", RUNNEL_EVENT_INIT };
    event.event.value = "again";
    event.event.value_len = 5;
    event.event.partition = 1;
    cr_assert_eq(runnel_dlq_republish(x.c, "t.dlq", letters, 2, &event, 1), -RUNNEL_E_EVENT_NOT_LEASED);
    cr_assert_eq(fake_end(x.f, 1), 0, "all or nothing");
    cr_assert_eq(runnel_dlq_republish(x.c, "t.dlq", letters, 1, &event, 1), 0, "%s",
                 runnel_last_error(x.c)->text);
    cr_assert_eq(fake_end(x.f, 1), 1);
    end_group(&x);
}
