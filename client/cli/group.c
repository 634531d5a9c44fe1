/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/group.c: `runnel group list|describe|lag`. What changes something is in group_change.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"

/* ---- list ---- */

static const struct out_column list_columns[] = {
    { "group", false },     { "mode", false }, { "state", false }, { "members", true },
    { "partitions", true }, { "lag", true },   { "lag_ms", true },
};

/* An unknown time is an empty cell, null in JSON. */
static void cell_lag(struct out *out, uint64_t lag, int64_t lag_ms)
{
    out_cell_number(out, (int64_t)lag);
    if (lag_ms < 0)
        out_cell(out, NULL);
    else
        out_cell_number(out, lag_ms);
}

static int list_row(void *ctx, const struct runnel_group_row *row)
{
    struct out *out = ctx;

    out_cell(out, row->name);
    out_cell(out, row->mode);
    out_cell(out, row->state);
    out_cell_number(out, row->members);
    out_cell_number(out, row->partitions);
    cell_lag(out, row->lag, row->lag_ms);
    return 0;
}

static int group_list(struct cli *cli)
{
    const char *pattern = cli->args.operand_count ? cli->args.operands[0] : NULL;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, list_columns, 7);
    if (runnel_groups_list(cli->client, pattern, list_row, &cli->out) < 0)
        rc = cli_fail_client(cli, NULL);
    cli->out.failed = rc || (pattern && !cli->out.rows);
    out_rows_end(&cli->out);
    if (!rc && pattern && !cli->out.rows)
        return cli_fail(EXIT_NOT_FOUND, cli_group(pattern), "see `runnel group list`", "no group matches");
    return rc;
}

const struct command group_list_command = {
    .noun = "group",
    .verb = "list",
    .operands = "[PATTERN]",
    .operands_max = 1,
    .complete = COMPLETE_GROUP,
    .summary = "list consumer groups",
    .text = "lag is how many events the group has not settled, lag_ms how long ago the oldest of them was "
            "published. "
            "PATTERN may have '*' and '?'; when it matches nothing, the exit code is 3.",
    .examples = { { "runnel group list", "all of them" },
                  { "runnel group list 'mail-*' -o json", "those whose names begin so" },
                  { "runnel group list --no-header | awk '$6 > 1000 {print $1}'", "those that are behind" } },
    .run = group_list,
};

/* ---- describe ---- */

static const struct out_column summary_columns[] = { { "name", false }, { "value", false } };
static const struct out_column config_columns[] = { { "name", false },
                                                    { "value", false },
                                                    { "default", false } };
static const struct out_column member_columns[] = {
    { "member", false }, { "instance", false },  { "host", false },
    { "state", false },  { "partitions", true }, { "in_flight", true },
};
static const struct out_column partition_columns[] = {
    { "topic", false },   { "partition", true }, { "owner", false }, { "position", true },
    { "end", true },      { "lag", true },       { "lag_ms", true }, { "in_flight", true },
    { "retrying", true }, { "paused", false },
};

static const char *or_none(const char *text)
{
    return *text ? text : NULL;
}

static void describe_lists(struct out *out, const struct runnel_group_info *g)
{
    out_rows_begin(out, "configs", config_columns, 3);
    for (size_t i = 0; i < g->config_count; i++) {
        out_cell(out, g->configs[i].name);
        out_cell(out, g->configs[i].value);
        out_cell_bool(out, g->configs[i].is_default);
    }
    out_rows_end(out);
    out_rows_begin(out, "members", member_columns, 6);
    for (size_t i = 0; i < g->member_count; i++) {
        const struct runnel_member_row *m = &g->members[i];
        out_cell(out, m->id);
        out_cell(out, or_none(m->instance));
        out_cell(out, or_none(m->host));
        out_cell(out, m->state);
        out_cell_number(out, m->partitions);
        out_cell_number(out, m->in_flight);
    }
    out_rows_end(out);
    out_rows_begin(out, "partitions", partition_columns, 10);
    for (size_t i = 0; i < g->partition_count; i++) {
        const struct runnel_group_partition *p = &g->partitions[i];
        out_cell(out, p->topic);
        out_cell_number(out, p->partition);
        out_cell(out, or_none(p->owner));
        out_cell_number(out, p->position);
        out_cell_number(out, p->end_offset);
        cell_lag(out, p->lag, p->lag_ms);
        out_cell_number(out, p->in_flight);
        out_cell_number(out, p->items);
        out_cell(out, or_none(p->pause));
    }
    out_rows_end(out);
}

static void sum_lag(const struct runnel_group_info *g, uint64_t *lag, int64_t *lag_ms)
{
    *lag = 0;
    *lag_ms = 0;
    for (size_t i = 0; i < g->partition_count; i++) {
        const struct runnel_group_partition *p = &g->partitions[i];
        *lag += p->lag;
        if (p->lag_ms > *lag_ms)
            *lag_ms = p->lag_ms;
    }
}

static void describe_json(struct out *out, const struct runnel_group_info *g)
{
    uint64_t lag;
    int64_t lag_ms;

    sum_lag(g, &lag, &lag_ms);
    out_json_open(out, NULL, '{');
    out_json_text(out, "group", g->name);
    out_json_text(out, "mode", g->mode);
    out_json_text(out, "state", g->state);
    out_json_number(out, "generation", g->generation);
    out_json_text(out, "breaker", g->breaker);
    out_json_text(out, "breaker_reason", or_none(g->breaker_reason));
    out_json_unsigned(out, "lag", lag);
    out_json_number(out, "lag_ms", lag_ms);
    out_json_open(out, "topics", '[');
    for (size_t i = 0; i < g->topic_count; i++)
        out_json_text(out, NULL, g->topics[i]);
    out_json_close(out, ']');
    describe_lists(out, g);
    out_json_close(out, '}');
}

static void summary_number(struct out *out, const char *name, uint64_t value, const char *unit)
{
    char text[48];

    snprintf(text, sizeof(text), "%llu%s", (unsigned long long)value, unit);
    out_cell(out, name);
    out_cell(out, text);
}

static void describe_rows(struct out *out, const struct runnel_group_info *g)
{
    uint64_t lag;
    int64_t lag_ms;

    sum_lag(g, &lag, &lag_ms);
    out_rows_begin(out, "summary", summary_columns, 2);
    out_cell(out, "group");
    out_cell(out, g->name);
    out_cell(out, "mode");
    out_cell(out, g->mode);
    out_cell(out, "state");
    out_cell(out, g->state);
    summary_number(out, "generation", g->generation, "");
    out_cell(out, "breaker");
    out_cell(out, g->breaker);
    if (*g->breaker_reason) {
        out_cell(out, "breaker reason");
        out_cell(out, g->breaker_reason);
    }
    for (size_t i = 0; i < g->topic_count; i++) {
        out_cell(out, "topic");
        out_cell(out, g->topics[i]);
    }
    summary_number(out, "lag", lag, " events");
    summary_number(out, "lag time", (uint64_t)lag_ms, " ms");
    out_rows_end(out);
    out_string(out, "\n");
    describe_lists(out, g);
}

static int group_describe(struct cli *cli)
{
    const char *name = cli->args.operands[0];
    struct runnel_group_info *group;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    if (runnel_group_describe(cli->client, name, &group) < 0)
        return cli_fail_about(cli, cli_group(name));
    if (out_is_json(&cli->out))
        describe_json(&cli->out, group);
    else
        describe_rows(&cli->out, group);
    runnel_group_info_free(group);
    return EXIT_DONE;
}

const struct command group_describe_command = {
    .noun = "group",
    .verb = "describe",
    .operands = "GROUP",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_GROUP,
    .summary = "everything about a group: summary, settings, members, partitions",
    .text = "Everything below `position` is settled. `retrying` counts events with a history: failed and "
            "waiting for "
            "their next attempt, suspect, or redriven. `paused` says why nothing new is delivered: window "
            "full, retry, "
            "alone (one event is tried by itself), dead letter (is being written), items full, breaker.",
    .examples = { { "runnel group describe billing", "for people" },
                  { "runnel group describe billing -o json | jq .members", "who is in it" },
                  { "runnel group describe billing -o json | jq '.configs[]|select(.default|not)'",
                    "settings that were changed" } },
    .run = group_describe,
};

/* ---- lag ---- */

static const struct out_column lag_columns[] = {
    { "group", false }, { "topic", false }, { "partition", true }, { "position", true },
    { "end", true },    { "lag", true },    { "lag_ms", true },    { "in_flight", true },
};

static int lag_rows(struct cli *cli, const char *name)
{
    struct runnel_group_info *group;

    if (runnel_group_describe(cli->client, name, &group) < 0)
        return cli_fail_about(cli, cli_group(name));
    for (size_t i = 0; i < group->partition_count; i++) {
        const struct runnel_group_partition *p = &group->partitions[i];
        out_cell(&cli->out, name);
        out_cell(&cli->out, p->topic);
        out_cell_number(&cli->out, p->partition);
        out_cell_number(&cli->out, p->position);
        out_cell_number(&cli->out, p->end_offset);
        cell_lag(&cli->out, p->lag, p->lag_ms);
        out_cell_number(&cli->out, p->in_flight);
    }
    runnel_group_info_free(group);
    return EXIT_DONE;
}

struct lag_names {
    const char **names;
    size_t count;
};

static int keep_group(void *ctx, const struct runnel_group_row *row)
{
    struct lag_names *all = ctx;

    all->names = cli_realloc(all->names, (all->count + 1) * sizeof(*all->names));
    all->names[all->count++] = cli_keep(row->name);
    return 0;
}

static int group_lag(struct cli *cli)
{
    struct lag_names all = { 0 };
    size_t done = 0;
    int failure = EXIT_DONE, rc = cli_connect(cli);

    if (rc)
        return rc;
    for (size_t i = 0; i < cli->args.operand_count; i++)
        (void)keep_group(&all, &(struct runnel_group_row){ .name = cli->args.operands[i] });
    if (!all.count && runnel_groups_list(cli->client, NULL, keep_group, &all) < 0)
        return cli_fail_client(cli, NULL);
    out_rows_begin(&cli->out, NULL, lag_columns, 8);
    for (size_t i = 0; i < all.count; i++) {
        rc = lag_rows(cli, all.names[i]);
        done += rc == EXIT_DONE;
        failure = rc ? rc : failure;
    }
    cli->out.failed = failure && !done;
    out_rows_end(&cli->out);
    free(all.names);
    return failure && done ? EXIT_PARTLY : failure;
}

const struct command group_lag_command = {
    .noun = "group",
    .verb = "lag",
    .operands = "[GROUP]...",
    .operands_max = -1,
    .complete = COMPLETE_GROUP,
    .summary = "how far groups are behind, in events and in time",
    .text = "A row per partition: lag counts the events that are not settled, lag_ms tells how long ago the "
            "oldest of them "
            "was published (null: not known any more). Without a name: all groups.",
    .examples = { { "runnel group lag", "all groups" },
                  { "runnel group lag billing -o jsonl", "an object per partition" },
                  { "runnel group lag billing --no-header | awk '{n+=$6} END {print n}'",
                    "how many events in all" } },
    .run = group_lag,
};
