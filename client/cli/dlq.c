/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dlq.c: `runnel dlq list|stats|show`. What settles dead letters is in dlq_settle.c.
 */
#include "client/cli/dlq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/record.h"

const char *dlq_origin(const struct dead_letter *l)
{
    static char text[320];

    snprintf(text, sizeof(text), "%.249s/%lld:%lld", l->topic, (long long)l->partition, (long long)l->offset);
    return l->partition < 0 ? "" : text;
}

/* The fields of one, as members of a JSON object. */
static void json_fields(struct out *out, const char *topic, const struct dead_letter *l)
{
    out_json_text(out, "topic", topic);
    out_json_number(out, "partition", l->record->partition);
    out_json_number(out, "offset", l->record->offset);
    out_json_text(out, "original_topic", dlq_text(l->topic));
    out_json_number(out, "original_partition", l->partition);
    out_json_number(out, "original_offset", l->offset);
    out_json_text(out, "error_type", l->error_type);
    out_json_text(out, "error_message", l->error_message);
    out_json_text(out, "error_stack_trace", l->error_stack_trace);
    out_json_number(out, "retry_count", l->retry_count);
    out_json_text(out, "failed_at", dlq_text(l->failed_at));
    out_json_text(out, "consumer_group", l->group);
    out_json_text(out, "consumer_instance", l->instance);
    out_json_text(out, "disposition", dlq_text(l->disposition));
    out_json_text(out, "type", dlq_text(l->type));
    out_json_text(out, "correlation_id", dlq_text(l->correlation_id));
}

/* ---- each letter of some topics ---- */

struct walk {
    struct cli *cli;
    struct dead_filter filter;
    uint64_t found;
    void (*each)(void *ctx, const char *topic, const struct dead_letter *letter);
    void *ctx;
};

static int walk_topic(struct walk *w, const char *topic)
{
    struct dead_reader reader = { 0 };
    int rc = dead_open(w->cli, &reader, topic);

    while (!rc && w->found < w->filter.limit && dead_next(&reader)) {
        if (!dead_wanted(&w->filter, &reader.letter))
            continue;
        w->found++;
        w->each(w->ctx, topic, &reader.letter);
    }
    rc = rc ? rc : reader.error;
    dead_close(&reader);
    return rc;
}

static int walk_topics(struct walk *w)
{
    const char **topics = NULL;
    size_t count = 0, done = 0;
    int failure = EXIT_DONE;
    int rc =
        dead_topics(w->cli, w->cli->args.operand_count ? w->cli->args.operands[0] : NULL, &topics, &count);

    cli_interrupt_softly();
    for (size_t i = 0; i < count && !rc && !cli_interrupted(); i++) {
        const int one = walk_topic(w, topics[i]);
        done += one == EXIT_DONE;
        failure = one ? one : failure;
    }
    free(topics);
    return rc ? rc : failure && done ? EXIT_PARTLY : failure;
}

/* ---- list ---- */

static const struct out_column list_columns[] = {
    { "topic", false },     { "partition", true },   { "offset", true },
    { "failed_at", false }, { "error_type", false }, { "retries", true },
    { "group", false },     { "original", false },   { "error_message", false },
};

static void list_row(void *ctx, const char *topic, const struct dead_letter *l)
{
    struct out *out = ctx;

    if (out_is_json(out)) {
        out_json_open(out, NULL, '{');
        json_fields(out, topic, l);
        out_json_close(out, '}');
        return;
    }
    out_cell(out, topic);
    out_cell_number(out, l->record->partition);
    out_cell_number(out, l->record->offset);
    out_cell(out, dlq_text(l->failed_at));
    out_cell(out, dlq_text(l->error_type));
    out_cell_number(out, l->retry_count);
    out_cell(out, dlq_text(l->group));
    out_cell(out, dlq_text(dlq_origin(l)));
    out_cell(out, dlq_text(l->error_message));
}

static int dlq_list(struct cli *cli)
{
    struct walk w = { .cli = cli, .each = list_row, .ctx = &cli->out };
    int rc = dead_filter(cli, &w.filter, 1);

    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, list_columns, 9);
    rc = walk_topics(&w);
    cli->out.failed = rc && !w.found;
    out_rows_end(&cli->out);
    return rc;
}

static const struct option list_options[] = { DLQ_FILTER_OPTIONS, { 0 } };

const struct command dlq_list_command = {
    .noun = "dlq",
    .verb = "list",
    .operands = "[TOPIC|PATTERN] [PARTITION:OFFSET]...",
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "list dead letters that are not dealt with",
    .text = "Dead letters of TOPIC are in TOPIC.dlq; both names will do, and patterns with '*' and '?', "
            "and the name of a topic that is some group's dlq.topic. "
            "Without a topic: "
            "all of them. Those that were redriven or discarded are left out (`runnel read TOPIC.dlq` shows "
            "every one "
            "until its retention ends). JSON has all fields: original_topic, original_partition, "
            "original_offset, "
            "error_type, error_message, error_stack_trace, retry_count, failed_at, consumer_group, "
            "consumer_instance, disposition (max_attempts or rejected), type, correlation_id.",
    .options = list_options,
    .examples = { { "runnel dlq list orders -n 10", "ten of one topic" },
                  { "runnel dlq list 'omninode.*' --where-type ValueError --since 1h", "by type and time" },
                  { "runnel dlq list orders --json-path '$.customer.id=17' -o jsonl",
                    "by what is in the payload" } },
    .run = dlq_list,
};

/* ---- stats ---- */

static const struct out_column stats_columns[] = {
    { "topic", false },        { "by", false },          { "count", true },
    { "first_failed", false }, { "last_failed", false }, { "example", false },
};

struct heap {
    const char *topic, *by, *example;
    uint64_t count;
    int64_t first_ms, last_ms;
};

struct stats {
    const char *by; /* --by */
    struct heap *heaps;
    size_t count, size;
};

static const char *stats_key(const struct stats *s, const struct dead_letter *l)
{
    if (!strcmp(s->by, "group"))
        return l->group;
    if (!strcmp(s->by, "type"))
        return l->type;
    if (!strcmp(s->by, "instance"))
        return l->instance;
    return l->error_type;
}

static void stats_add(void *ctx, const char *topic, const struct dead_letter *l)
{
    struct stats *s = ctx;
    const char *key = stats_key(s, l);
    struct heap *h = NULL;

    for (size_t i = 0; i < s->count && !h; i++)
        if (!strcmp(s->heaps[i].by, key) && !strcmp(s->heaps[i].topic, topic))
            h = &s->heaps[i];
    if (!h) {
        if (s->count == s->size) {
            s->size = s->size ? s->size * 2 : 64;
            s->heaps = cli_realloc(s->heaps, s->size * sizeof(*s->heaps));
        }
        h = &s->heaps[s->count++];
        *h = (struct heap){ cli_keep(topic), cli_keep(key), cli_keep(l->error_message), 0, -1, -1 };
    }
    h->count++;
    if (l->failed_at_ms >= 0 && (h->first_ms < 0 || l->failed_at_ms < h->first_ms))
        h->first_ms = l->failed_at_ms;
    if (l->failed_at_ms > h->last_ms)
        h->last_ms = l->failed_at_ms;
}

static int most_first(const void *a, const void *b)
{
    const struct heap *left = a, *right = b;
    const int order = strcmp(left->topic, right->topic);

    return order ? order : (left->count < right->count) - (left->count > right->count);
}

static int dlq_stats(struct cli *cli)
{
    const char *by = args_value(&cli->args, OPT_BY);
    struct stats stats = { .by = by ? by : "error_type" };
    struct walk w = { .cli = cli, .each = stats_add, .ctx = &stats };
    int rc = dead_filter(cli, &w.filter, 1);

    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    rc = walk_topics(&w);
    if (stats.count)
        qsort(stats.heaps, stats.count, sizeof(*stats.heaps), most_first);
    out_rows_begin(&cli->out, NULL, stats_columns, 6);
    for (size_t i = 0; i < stats.count; i++) {
        const struct heap *h = &stats.heaps[i];
        out_cell(&cli->out, h->topic);
        out_cell(&cli->out, dlq_text(h->by));
        out_cell_number(&cli->out, (int64_t)h->count);
        out_cell_time(&cli->out, h->first_ms);
        out_cell_time(&cli->out, h->last_ms);
        out_cell(&cli->out, dlq_text(h->example));
    }
    cli->out.failed = rc && !stats.count;
    out_rows_end(&cli->out);
    free(stats.heaps);
    return rc;
}

static const struct option stats_options[] = {
    { OPT_BY, 0, "by", "FIELD", "error_type|group|type|instance", false, "what to count by (error_type)" },
    DLQ_FILTER_OPTIONS,
    { 0 },
};

const struct command dlq_stats_command = {
    .noun = "dlq",
    .verb = "stats",
    .operands = "[TOPIC|PATTERN]",
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "count dead letters by the type of their error",
    .text = "With the message of one of each. Topics as of `runnel dlq list`.",
    .options = stats_options,
    .examples = { { "runnel dlq stats", "everywhere" },
                  { "runnel dlq stats 'omninode.*' --by error_type", "of some topics" },
                  { "runnel dlq stats orders --by group --since 1d -o json", "by group, since yesterday" } },
    .run = dlq_stats,
};

/* ---- show ---- */

static const struct out_column show_columns[] = { { "name", false }, { "value", false } };

static void show_text(struct out *out, const char *name, const char *value)
{
    out_cell(out, name);
    out_cell(out, dlq_text(value));
}

static int show_letter(struct cli *cli, const char *topic, const struct dead_letter *l)
{
    struct record_writer writer;
    struct out *out = &cli->out;
    char retries[24];
    int rc = record_begin(cli, &writer, false);

    if (rc)
        return rc;
    if (out_is_json(out)) {
        out_json_open(out, NULL, '{');
        json_fields(out, topic, l);
        out_json_bool(out, "settled", l->settled);
        out_literal(out, ",\"event\":");
        record_object(&writer, l->record);
        out_json_close(out, '}');
        free(writer.headers);
        return EXIT_DONE;
    }
    snprintf(retries, sizeof(retries), "%lld", (long long)l->retry_count);
    out_rows_begin(out, NULL, show_columns, 2);
    show_text(out, "original", dlq_origin(l));
    show_text(out, "failed_at", l->failed_at);
    show_text(out, "group", l->group);
    show_text(out, "instance", l->instance);
    show_text(out, "error_type", l->error_type);
    show_text(out, "error_message", l->error_message);
    show_text(out, "error_stack_trace", l->error_stack_trace);
    show_text(out, "retries", retries);
    show_text(out, "disposition", l->disposition);
    show_text(out, "settled", l->settled ? "yes" : "no");
    out_rows_end(out);
    out_string(out, "\n");
    record_write(&writer, l->record);
    record_end(&writer, false);
    return EXIT_DONE;
}

static int dlq_show(struct cli *cli)
{
    const char *topic = NULL, *place = cli->args.operands[1];
    struct dead_reader reader = { .with_settled = true };
    int64_t partition, offset;
    bool found = false;
    int rc;

    if (!dead_place(place, &partition, &offset))
        return cli_usage("write PARTITION:OFFSET, as `runnel dlq list` shows it", "'%s' is no dead letter",
                         place);
    rc = cli_connect(cli);
    if (!rc)
        rc = dead_topic_find(cli, cli->args.operands[0], &topic);
    if (!rc)
        rc = dead_open_at(cli, &reader, topic, partition, offset);
    if (!rc && dead_next(&reader) && reader.letter.record->offset == offset) {
        found = true;
        rc = show_letter(cli, topic, &reader.letter);
    }
    rc = rc ? rc : reader.error;
    dead_close(&reader);
    if (!rc && !found)
        return cli_fail(EXIT_NOT_FOUND, cli_topic(topic), "see `runnel dlq list`", "no dead letter %s",
                        place);
    return rc;
}

const struct command dlq_show_command = {
    .noun = "dlq",
    .verb = "show",
    .operands = "TOPIC PARTITION:OFFSET",
    .operands_min = 2,
    .operands_max = 2,
    .complete = COMPLETE_TOPIC,
    .summary = "everything about one dead letter: why it failed, and the event",
    .text = "Also one that is dealt with already, as long as it is stored.",
    .examples = { { "runnel dlq show orders 0:17", "as `runnel dlq list` shows them: partition and offset" },
                  { "runnel dlq show orders 0:17 -o json | jq .event.payload", "its payload" },
                  { "runnel dlq show orders 0:17 -o json | jq -r .error_stack_trace", "where it failed" } },
    .run = dlq_show,
};
