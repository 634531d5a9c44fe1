/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/group_change.c: `runnel group seek|set|breaker|delete|forget`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/range.h"

/* One partition, or -1: all. 0, or EXIT_USAGE. */
static int one_partition(struct cli *cli, int32_t *partition)
{
    int64_t number;
    const int rc = cli_number(cli, OPT_PARTITION, 0, INT32_MAX, -1, &number);

    *partition = (int32_t)number;
    return rc;
}

static int needed_topic(struct cli *cli, const char **topic)
{
    *topic = args_value(&cli->args, OPT_TOPIC);
    return *topic ? EXIT_DONE : cli_usage("write --topic NAME", "which topic is missing");
}

/* ---- seek ---- */

static const struct out_column seek_columns[] = {
    { "group", false }, { "topic", false }, { "partition", true }, { "from", true },
    { "to", true },     { "events", true }, { "status", false },
};

struct seek {
    struct out *out;
    const char *group, *topic, *status;
};

static void seek_row(void *ctx, const struct runnel_seek_row *row)
{
    const struct seek *s = ctx;

    out_cell(s->out, s->group);
    out_cell(s->out, s->topic);
    out_cell_number(s->out, row->partition);
    out_cell_number(s->out, row->from);
    out_cell_number(s->out, row->to);
    out_cell_number(s->out, row->to - row->from);
    out_cell(s->out, s->status);
}

/* The library's word for --to or --shift. */
static int seek_target(struct cli *cli, char *out, size_t size)
{
    const char *to = args_value(&cli->args, OPT_TO), *shift = args_value(&cli->args, OPT_SHIFT);
    struct position position;
    int64_t by;
    int rc;

    if (!to == !shift)
        return cli_usage("write --to start, end, an offset or a time, or --shift N",
                         to ? "both --to and --shift say where" : "where to is missing");
    if (to) {
        rc = range_position(cli, OPT_TO, "end", &position);
        if (!rc)
            position_text(&position, out);
        return rc;
    }
    if (!parse_number(shift + (*shift == '+'), INT64_MIN / 2, INT64_MAX / 2, &by))
        return cli_usage("write --shift -100 or --shift 100", "'%s' is not a number of events", shift);
    snprintf(out, size, "shift:%lld", (long long)by);
    return EXIT_DONE;
}

static int group_seek(struct cli *cli)
{
    const bool dry = args_flag(&cli->args, OPT_DRY_RUN);
    struct seek s = { .out = &cli->out,
                      .group = cli->args.operands[0],
                      .status = dry ? "would be moved" : "moved" };
    char target[POSITION_TEXT_BYTES + 16];
    int32_t partition;
    int rc = needed_topic(cli, &s.topic);

    if (!rc)
        rc = one_partition(cli, &partition);
    if (!rc)
        rc = seek_target(cli, target, sizeof(target));
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, seek_columns, 7);
    if (runnel_group_seek(cli->client, s.group, s.topic, partition, target, dry, seek_row, &s) < 0)
        rc = cli_fail_about(cli, cli_group(s.group));
    cli->out.failed = rc != EXIT_DONE;
    out_rows_end(&cli->out);
    return rc;
}

static const struct option seek_options[] = {
    { OPT_TOPIC, 0, "topic", "NAME", NULL, false, "of this topic" },
    { OPT_PARTITION, 'p', "partition", "N", NULL, false, "only this partition" },
    { OPT_TO, 0, "to", "POSITION", NULL, false, "start, end, an offset, -10, @TIME, -15m" },
    { OPT_SHIFT, 0, "shift", "N", NULL, false, "so many events further on, or back (-N)" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be moved" },
    { 0 },
};

const struct command group_seek_command = {
    .noun = "group",
    .verb = "seek",
    .operands = "GROUP",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_GROUP,
    .summary = "move a group's position in a topic",
    .text = "Events from the new position on are delivered (again), also those that were settled; what is "
            "out with "
            "members is withdrawn, and failed events that wait for their retry are forgotten. Works while "
            "members run.",
    .options = seek_options,
    .examples = { { "runnel group seek billing --topic orders --to start", "all over again" },
                  { "runnel group seek billing --topic orders --to @2026-11-21T02:00:00Z --dry-run",
                    "what that would mean" },
                  { "runnel group seek billing --topic orders -p 3 --shift -100", "a hundred events back" } },
    .run = group_seek,
};

/* ---- set ---- */

static int group_set(struct cli *cli)
{
    const char *name = cli->args.operands[0], *create = args_value(&cli->args, OPT_CREATE);
    struct runnel_config configs[CLI_CONFIGS_MAX];
    struct runnel_group_info *before = NULL, *after = NULL;
    size_t count;
    int rc = cli_configs(cli, cli->args.operands + 1, cli->args.operand_count - 1, configs, &count);

    if (!rc && !count && !create)
        rc = cli_usage("write retry.max=5, or --unset retry.max", "nothing to set");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_group_describe(cli->client, name, &before) < 0 && !create)
        return cli_fail_about(cli, cli_group(name));
    if (runnel_group_set(cli->client, name, create, configs, count) < 0 ||
        runnel_group_describe(cli->client, name, &after) < 0) {
        rc = cli_fail_about(cli, cli_group(name));
        runnel_group_info_free(before);
        return rc;
    }
    const struct config_list old = { before ? before->configs : NULL, before ? before->config_count : 0 };
    const struct config_list new = { after->configs, after->config_count };
    change_configs(cli, "group", configs, count, old, new);
    runnel_group_info_free(before);
    runnel_group_info_free(after);
    return EXIT_DONE;
}

static const struct option set_options[] = {
    { OPT_UNSET, 0, "unset", "NAME", NULL, true, "back to the default; may be given many times" },
    { OPT_CREATE, 0, "create", "MODE", "ordered|shared", false,
      "make the group, if it is missing, with this mode" },
    { 0 },
};

const struct command group_set_command = {
    .noun = "group",
    .verb = "set",
    .operands = "GROUP [SETTING=VALUE]...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_GROUP,
    .summary = "change a group's settings, or make a group",
    .text = "All of them change, or none. Shows the old and the new values; `runnel group describe` shows "
            "all settings.",
    .options = set_options,
    .examples = { { "runnel group set billing retry.max=5 retry.backoff=1s,10s,1m",
                    "try more often, for longer" },
                  { "runnel group set billing ack.wait=5m max_in_flight=10", "slow work" },
                  { "runnel group set mail --create shared dlq.topic=mail.dead",
                    "before its first member" } },
    .run = group_set,
};

/* ---- breaker ---- */

static const struct out_column breaker_columns[] = { { "group", false },
                                                     { "breaker", false },
                                                     { "reason", false } };

static int group_breaker(struct cli *cli)
{
    const char *name = cli->args.operands[0],
               *order = cli->args.operand_count > 1 ? cli->args.operands[1] : NULL;
    struct runnel_group_info *group;
    int rc = EXIT_DONE;

    if (order && strcmp(order, "auto") != 0 && strcmp(order, "open") != 0 && strcmp(order, "closed") != 0)
        return cli_usage("write auto, open or closed", "'%s' is nothing that a breaker can be", order);
    rc = cli_connect(cli);
    if (rc)
        return rc;
    if ((order && runnel_group_breaker(cli->client, name, order) < 0) ||
        runnel_group_describe(cli->client, name, &group) < 0)
        return cli_fail_about(cli, cli_group(name));
    out_rows_begin(&cli->out, NULL, breaker_columns, 3);
    out_cell(&cli->out, name);
    out_cell(&cli->out, group->breaker);
    out_cell(&cli->out, *group->breaker_reason ? group->breaker_reason : NULL);
    out_rows_end(&cli->out);
    runnel_group_info_free(group);
    return EXIT_DONE;
}

const struct command group_breaker_command = {
    .noun = "group",
    .verb = "breaker",
    .operands = "GROUP [auto|open|closed]",
    .operands_min = 1,
    .operands_max = 2,
    .complete = COMPLETE_GROUP,
    .summary = "show or set a group's breaker",
    .text = "When failures look like an outage (one class of error across many keys, most events failing), "
            "the breaker opens: "
            "deliveries pause, nothing is charged, and a single event is tried now and then until one "
            "succeeds. `open` "
            "holds it open: the group pauses; `closed` lets everything through; `auto` leaves it to itself.",
    .examples = { { "runnel group breaker billing", "how it stands" },
                  { "runnel group breaker billing open", "pause the group" },
                  { "runnel group breaker billing auto", "leave it to itself" } },
    .run = group_breaker,
};

/* ---- delete ---- */

static const struct out_column delete_columns[] = {
    { "group", false }, { "members", true }, { "partitions", true }, { "lag", true }, { "status", false }
};

static void delete_row(struct out *out, const struct runnel_group_info *group, const char *status)
{
    uint64_t lag = 0;

    for (size_t i = 0; i < group->partition_count; i++)
        lag += group->partitions[i].lag;
    out_cell(out, group->name);
    out_cell_number(out, (int64_t)group->member_count);
    out_cell_number(out, (int64_t)group->partition_count);
    out_cell_number(out, (int64_t)lag);
    out_cell(out, status);
}

static int delete_one(struct cli *cli, const char *name, void *ctx)
{
    const bool dry_run = args_flag(&cli->args, OPT_DRY_RUN);
    struct runnel_group_info *group;
    char question[320];
    int rc = EXIT_DONE;

    (void)ctx;
    if (runnel_group_describe(cli->client, name, &group) < 0)
        return cli_fail_about(cli, cli_group(name));
    snprintf(question, sizeof(question), "delete group '%s' with its positions", name);
    if (!dry_run) {
        rc = cli_confirm(cli, question);
        if (!rc && runnel_group_delete(cli->client, name) < 0)
            rc = cli_fail_about(cli, cli_group(name));
    }
    if (!rc)
        delete_row(&cli->out, group, dry_run ? "would be deleted" : "deleted");
    runnel_group_info_free(group);
    return rc;
}

static int group_delete(struct cli *cli)
{
    return change_each(cli, delete_columns, 5, delete_one, NULL);
}

static const struct option delete_options[] = {
    { OPT_YES, 'y', "yes", NULL, NULL, false, "do not ask; needed where there is no terminal" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be deleted" },
    { 0 },
};

const struct command group_delete_command = {
    .noun = "group",
    .verb = "delete",
    .operands = "GROUP...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_GROUP,
    .summary = "delete groups: their positions, settings and failed events",
    .text = "Topics and dead letters stay. A group with live members is refused. Asks on a terminal; "
            "elsewhere --yes is "
            "needed.",
    .options = delete_options,
    .examples = { { "runnel group delete billing", "asks first" },
                  { "runnel group delete billing --dry-run", "what would go" },
                  { "runnel group delete billing mail --yes", "in scripts" } },
    .run = group_delete,
};

/* ---- forget ---- */

static const struct out_column forget_columns[] = {
    { "group", false }, { "topic", false }, { "partition", true }, { "status", false }
};

static int group_forget(struct cli *cli)
{
    const char *name = cli->args.operands[0], *topic;
    char question[640];
    int32_t partition;
    int rc = needed_topic(cli, &topic);

    if (!rc)
        rc = one_partition(cli, &partition);
    if (rc)
        return rc;
    snprintf(question, sizeof(question), "forget the position of group '%s' in topic '%s'", name, topic);
    rc = cli_confirm(cli, question);
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_group_forget(cli->client, name, topic, partition) < 0)
        return cli_fail_about(cli, cli_group(name));
    out_rows_begin(&cli->out, NULL, forget_columns, 4);
    out_cell(&cli->out, name);
    out_cell(&cli->out, topic);
    if (partition < 0)
        out_cell(&cli->out, NULL);
    else
        out_cell_number(&cli->out, partition);
    out_cell(&cli->out, "forgotten");
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

static const struct option forget_options[] = {
    { OPT_TOPIC, 0, "topic", "NAME", NULL, false, "in this topic" },
    { OPT_PARTITION, 'p', "partition", "N", NULL, false, "only in this partition" },
    { OPT_YES, 'y', "yes", NULL, NULL, false, "do not ask; needed where there is no terminal" },
    { 0 },
};

const struct command group_forget_command = {
    .noun = "group",
    .verb = "forget",
    .operands = "GROUP",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_GROUP,
    .summary = "forget where a group was in a topic",
    .text = "The next member that wants the topic begins where its --from or the group's offset.reset says.",
    .options = forget_options,
    .examples = { { "runnel group forget billing --topic orders", "asks first" },
                  { "runnel group forget billing --topic orders -p 3 --yes", "one partition" },
                  { "runnel group seek billing --topic orders --to end", "move it instead" } },
    .run = group_forget,
};
