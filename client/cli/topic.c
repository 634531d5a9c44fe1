/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/topic.c: `runnel topic create|list|set|add-partitions|delete`. What shows a single topic is in
 * topic_show.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"

enum { PARTITIONS_MAX = 1 << 20 /* the broker knows better; this only keeps the number in its type */ };

/* ---- create ---- */

static const struct out_column create_columns[] = { { "topic", false },
                                                    { "partitions", true },
                                                    { "status", false } };

/* How many partitions it has now. */
static int64_t topic_partitions(struct cli *cli, const char *name)
{
    struct runnel_topic *topic;
    int64_t count;

    if (runnel_topic_describe(cli->client, name, &topic) < 0)
        return -1;
    count = (int64_t)topic->partition_count;
    runnel_topic_free(topic);
    return count;
}

struct create {
    struct runnel_config configs[CLI_CONFIGS_MAX];
    size_t count;
    int64_t partitions;
};

static int create_one(struct cli *cli, const char *name, void *ctx)
{
    const struct create *create = ctx;
    const int rc = runnel_topic_create(cli->client, name, (uint32_t)create->partitions, create->configs,
                                       create->count, args_flag(&cli->args, OPT_IF_MISSING));

    if (rc < 0)
        return cli_fail_client(cli, name);
    out_cell(&cli->out, name);
    out_cell_number(&cli->out, topic_partitions(cli, name));
    out_cell(&cli->out, rc ? "created" : "exists");
    return EXIT_DONE;
}

static int topic_create(struct cli *cli)
{
    struct create create;
    int rc = cli_configs(cli, NULL, 0, create.configs, &create.count);

    if (!rc)
        rc = cli_number(cli, OPT_PARTITIONS, 1, PARTITIONS_MAX, 0, &create.partitions);
    return rc ? rc : change_each(cli, create_columns, 3, create_one, &create);
}

static const struct option create_options[] = {
    { OPT_PARTITIONS, 'p', "partitions", "N", NULL, false, "how many partitions (the broker's default: 3)" },
    { OPT_CONFIG, 'c', "config", "NAME=VALUE", NULL, true,
      "a setting, e.g. retention.ms=7d; may be given many times" },
    { OPT_IF_MISSING, 0, "if-missing", NULL, NULL, false,
      "a topic that exists is left as it is, without an error" },
    { 0 },
};

const struct command topic_create_command = {
    .noun = "topic",
    .verb = "create",
    .operands = "NAME...",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "make topics",
    .text =
        "Settings keep Kafka's names where the meaning is the same; sizes and times take units (64MiB, 7d). "
        "`runnel topic describe` shows all of them.",
    .options = create_options,
    .examples = { { "runnel topic create orders", "with the broker's defaults" },
                  { "runnel topic create orders --partitions 12 --config retention.ms=30d", "with settings" },
                  { "runnel topic create orders --if-missing -o json", "in scripts" } },
    .run = topic_create,
};

/* ---- list ---- */

static const struct out_column list_columns[] = {
    { "topic", false }, { "partitions", true }, { "events", true }, { "bytes", true }, { "id", false }
};

static int list_row(void *ctx, const struct runnel_topic_row *row)
{
    struct out *out = ctx;
    char id[20];

    /* as hex text: JSON's numbers lose digits beyond 2^53 */
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)row->id);
    out_cell(out, row->name);
    out_cell_number(out, row->partitions);
    out_cell_number(out, (int64_t)row->events);
    out_cell_number(out, (int64_t)row->bytes);
    out_cell(out, id);
    return 0;
}

static int topic_list(struct cli *cli)
{
    const char *pattern = cli->args.operand_count ? cli->args.operands[0] : NULL;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, list_columns, 5);
    if (runnel_topic_list(cli->client, pattern, args_flag(&cli->args, OPT_INTERNAL), list_row, &cli->out) < 0)
        rc = cli_fail_client(cli, NULL);
    cli->out.failed = rc || (pattern && !cli->out.rows);
    out_rows_end(&cli->out);
    if (!rc && pattern && !cli->out.rows)
        return cli_fail(EXIT_NOT_FOUND, cli_topic(pattern), "see `runnel topic list`", "no topic matches");
    return rc;
}

static const struct option list_options[] = {
    { OPT_INTERNAL, 0, "internal", NULL, NULL, false, "the broker's own topics, too" },
    { 0 },
};

const struct command topic_list_command = {
    .noun = "topic",
    .verb = "list",
    .operands = "[PATTERN]",
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "list topics",
    .text = "PATTERN may have '*' (anything) and '?' (one character); when it matches nothing, the exit code "
            "is 3.",
    .options = list_options,
    .examples = { { "runnel topic list", "all of them" },
                  { "runnel topic list 'order*' -o json", "those whose names begin so" },
                  { "runnel topic list --no-header | cut -f1", "only the names" } },
    .run = topic_list,
};

/* ---- set ---- */

static int topic_set(struct cli *cli)
{
    const char *name = cli->args.operands[0];
    struct runnel_config configs[CLI_CONFIGS_MAX];
    struct runnel_topic *before = NULL, *after = NULL;
    size_t count;
    int rc = cli_configs(cli, cli->args.operands + 1, cli->args.operand_count - 1, configs, &count);

    if (!rc && !count)
        rc = cli_usage("write retention.ms=7d, or --unset retention.ms", "nothing to set");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_topic_describe(cli->client, name, &before) < 0)
        return cli_fail_client(cli, name);
    if (runnel_topic_set(cli->client, name, configs, count) < 0 ||
        runnel_topic_describe(cli->client, name, &after) < 0) {
        rc = cli_fail_client(cli, name);
        runnel_topic_free(before);
        return rc;
    }
    const struct config_list old = { before->configs, before->config_count };
    const struct config_list new = { after->configs, after->config_count };
    change_configs(cli, "topic", configs, count, old, new);
    runnel_topic_free(before);
    runnel_topic_free(after);
    return EXIT_DONE;
}

static const struct option set_options[] = {
    { OPT_UNSET, 0, "unset", "NAME", NULL, true, "back to the broker's default; may be given many times" },
    { 0 },
};

const struct command topic_set_command = {
    .noun = "topic",
    .verb = "set",
    .operands = "NAME [SETTING=VALUE]...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "change a topic's settings",
    .text = "All of them change, or none. Shows the old and the new values.",
    .options = set_options,
    .examples = { { "runnel topic set orders retention.ms=30d", "keep events for thirty days" },
                  { "runnel topic set orders retention.bytes=10GiB segment.bytes=64MiB", "two at once" },
                  { "runnel topic set orders --unset retention.ms", "back to the default" } },
    .run = topic_set,
};

/* ---- add-partitions ---- */

static int topic_add_partitions(struct cli *cli)
{
    const char *name = cli->args.operands[0];
    int64_t count;
    int rc = cli_number(cli, OPT_PARTITIONS, 1, PARTITIONS_MAX, 0, &count);

    if (!rc && !count)
        rc = cli_usage("write --partitions 6", "how many partitions the topic shall have is missing");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_topic_add_partitions(cli->client, name, (uint32_t)count) < 0)
        return cli_fail_client(cli, name);
    out_rows_begin(&cli->out, NULL, create_columns, 3);
    out_cell(&cli->out, name);
    out_cell_number(&cli->out, count);
    out_cell(&cli->out, "changed");
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

static const struct option add_partitions_options[] = {
    { OPT_PARTITIONS, 'p', "partitions", "N", NULL, false, "how many it shall have in all" },
    { 0 },
};

const struct command topic_add_partitions_command = {
    .noun = "topic",
    .verb = "add-partitions",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "give a topic more partitions",
    .text = "Partitions are never taken away. Keys spread over the new number from then on: later events of "
            "a key may "
            "go to another partition than its earlier ones.",
    .options = add_partitions_options,
    .examples = { { "runnel topic add-partitions orders --partitions 6", "six in all" },
                  { "runnel topic add-partitions orders -p 6 -o json", "with a JSON answer" },
                  { "runnel topic describe orders", "see how many there are" } },
    .run = topic_add_partitions,
};

/* ---- delete ---- */

static const struct out_column delete_columns[] = {
    { "topic", false }, { "partitions", true }, { "events", true }, { "bytes", true }, { "status", false }
};

static void delete_row(struct out *out, const struct runnel_topic *topic, const char *status)
{
    int64_t events = 0, bytes = 0;

    for (size_t i = 0; i < topic->partition_count; i++) {
        events += topic->partitions[i].end_offset - topic->partitions[i].start_offset;
        bytes += (int64_t)topic->partitions[i].bytes;
    }
    out_cell(out, topic->name);
    out_cell_number(out, (int64_t)topic->partition_count);
    out_cell_number(out, events);
    out_cell_number(out, bytes);
    out_cell(out, status);
}

static int delete_one(struct cli *cli, const char *name, void *ctx)
{
    const bool dry_run = args_flag(&cli->args, OPT_DRY_RUN);
    struct runnel_topic *topic;
    char question[320];
    int rc = EXIT_DONE;

    (void)ctx;
    if (runnel_topic_describe(cli->client, name, &topic) < 0)
        return cli_fail_client(cli, name);
    snprintf(question, sizeof(question), "delete topic '%s' with all its events", name);
    if (!dry_run) {
        rc = cli_confirm(cli, question);
        if (!rc && runnel_topic_delete(cli->client, name) < 0)
            rc = cli_fail_client(cli, name);
    }
    if (!rc)
        delete_row(&cli->out, topic, dry_run ? "would be deleted" : "deleted");
    runnel_topic_free(topic);
    return rc;
}

static int topic_delete(struct cli *cli)
{
    return change_each(cli, delete_columns, 5, delete_one, NULL);
}

static const struct option delete_options[] = {
    { OPT_YES, 'y', "yes", NULL, NULL, false, "do not ask; needed where there is no terminal" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be deleted" },
    { 0 },
};

const struct command topic_delete_command = {
    .noun = "topic",
    .verb = "delete",
    .operands = "NAME...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "delete topics and all their events",
    .text = "Asks on a terminal; elsewhere --yes is needed. Nothing brings the events back.",
    .options = delete_options,
    .examples = { { "runnel topic delete orders", "asks first" },
                  { "runnel topic delete orders --dry-run", "what would go" },
                  { "runnel topic delete orders payments --yes", "in scripts" } },
    .run = topic_delete,
};
