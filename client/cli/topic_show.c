/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/topic_show.c: `runnel topic describe` and `runnel topic offsets`.
 */
#include <stdio.h>

#include "client/cli/cli.h"

static const struct out_column summary_columns[] = { { "name", false }, { "value", false } };
static const struct out_column config_columns[] = { { "name", false },
                                                    { "value", false },
                                                    { "default", false } };
static const struct out_column partition_columns[] = {
    { "partition", true }, { "start", true },    { "end", true },     { "events", true },
    { "bytes", true },     { "segments", true }, { "latest", false }, { "state", false },
};
static const struct out_column offset_columns[] = {
    { "topic", false }, { "partition", true }, { "start", true }, { "end", true }, { "events", true }
};

static void describe_partitions(struct out *out, const struct runnel_topic *topic)
{
    out_rows_begin(out, "partitions", partition_columns, 8);
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct runnel_partition_row *row = &topic->partitions[i];
        out_cell_number(out, row->partition);
        out_cell_number(out, row->start_offset);
        out_cell_number(out, row->end_offset);
        out_cell_number(out, row->end_offset - row->start_offset);
        out_cell_number(out, (int64_t)row->bytes);
        out_cell_number(out, row->segments);
        out_cell_time(out, row->max_timestamp_ms);
        out_cell(out, row->state);
    }
    out_rows_end(out);
}

static void describe_configs(struct out *out, const struct runnel_topic *topic)
{
    out_rows_begin(out, "configs", config_columns, 3);
    for (size_t i = 0; i < topic->config_count; i++) {
        out_cell(out, topic->configs[i].name);
        out_cell(out, topic->configs[i].value);
        out_cell_bool(out, topic->configs[i].is_default);
    }
    out_rows_end(out);
}

static void summary_row(struct out *out, const char *name, int64_t value)
{
    out_cell(out, name);
    out_cell_number(out, value);
}

static void describe(struct out *out, const struct runnel_topic *topic)
{
    int64_t events = 0, bytes = 0;
    char id[20];

    for (size_t i = 0; i < topic->partition_count; i++) {
        events += topic->partitions[i].end_offset - topic->partitions[i].start_offset;
        bytes += (int64_t)topic->partitions[i].bytes;
    }
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)topic->id);
    if (out_is_json(out)) {
        out_json_open(out, NULL, '{');
        out_json_text(out, "topic", topic->name);
        out_json_text(out, "id", id);
        out_json_time(out, "created", topic->created_ms);
        out_json_number(out, "events", events);
        out_json_number(out, "bytes", bytes);
        describe_configs(out, topic);
        describe_partitions(out, topic);
        out_json_close(out, '}');
        return;
    }
    out_string(out, "SUMMARY\n");
    out_rows_begin(out, NULL, summary_columns, 2);
    out_cell(out, "topic");
    out_cell(out, topic->name);
    out_cell(out, "id");
    out_cell(out, id);
    out_cell(out, "created");
    out_cell_time(out, topic->created_ms);
    summary_row(out, "partitions", (int64_t)topic->partition_count);
    summary_row(out, "events", events);
    summary_row(out, "bytes", bytes);
    out_rows_end(out);
    out_string(out, "\nCONFIGS\n");
    describe_configs(out, topic);
    out_string(out, "\nPARTITIONS\n");
    describe_partitions(out, topic);
}

static int topic_describe(struct cli *cli)
{
    const char *name = cli->args.operands[0];
    struct runnel_topic *topic;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    if (runnel_topic_describe(cli->client, name, &topic) < 0)
        return cli_fail_client(cli, name);
    describe(&cli->out, topic);
    runnel_topic_free(topic);
    return EXIT_DONE;
}

const struct command topic_describe_command = {
    .noun = "topic",
    .verb = "describe",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "everything about a topic: summary, settings, partitions",
    .text =
        "Offsets are [start, end): end is the offset that the next event will get. JSON: topic, id, created, "
        "events, bytes, configs (name, value, default), partitions (partition, start, end, events, bytes, "
        "segments, latest, state).",
    .examples = { { "runnel topic describe orders", "for people" },
                  { "runnel topic describe orders -o json | jq .configs", "its settings, as JSON" },
                  { "runnel topic describe orders -o json | jq '.partitions[].end'",
                    "where each partition ends" } },
    .run = topic_describe,
};

static int topic_offsets(struct cli *cli)
{
    struct runnel_topic *topic;
    size_t done = 0;
    int failure = EXIT_DONE, rc = cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, offset_columns, 5);
    for (size_t t = 0; t < cli->args.operand_count; t++) {
        const char *name = cli->args.operands[t];
        if (runnel_topic_describe(cli->client, name, &topic) < 0) {
            failure = cli_fail_client(cli, name);
            continue;
        }
        done++;
        for (size_t i = 0; i < topic->partition_count; i++) {
            const struct runnel_partition_row *row = &topic->partitions[i];
            out_cell(&cli->out, topic->name);
            out_cell_number(&cli->out, row->partition);
            out_cell_number(&cli->out, row->start_offset);
            out_cell_number(&cli->out, row->end_offset);
            out_cell_number(&cli->out, row->end_offset - row->start_offset);
        }
        runnel_topic_free(topic);
    }
    cli->out.failed = failure && !done;
    out_rows_end(&cli->out);
    return failure && done ? EXIT_PARTLY : failure;
}

const struct command topic_offsets_command = {
    .noun = "topic",
    .verb = "offsets",
    .operands = "NAME...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "first and end offset of each partition",
    .text = "An event is there when start <= its offset < end.",
    .examples = { { "runnel topic offsets orders", "each partition" },
                  { "runnel topic offsets orders -o jsonl", "an object per partition" },
                  { "runnel topic offsets orders --no-header | awk '{n+=$5} END {print n}'",
                    "how many events" } },
    .run = topic_offsets,
};
