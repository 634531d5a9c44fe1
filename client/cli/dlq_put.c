/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dlq_put.c: `runnel dlq put`: for consumers that cannot refuse an event themselves.
 *
 * What the broker does for native members is done here by hand: the event is read where it was published, and
 * written to the dead-letter topic with its key, value and headers, and the headers `dlq.*` behind them
 * (docs/protocol.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/dlq.h"
#include "client/cli/range.h"

enum {
    PUT_HEADERS = 11,
    PUT_TEXT_MAX = 4096, /* a stack trace must not make an event too large for its topic */
    PUT_WAIT_MS = 30000,
};

static const char put_retention[] = "2592000000"; /* 30 days, as the broker's own */

struct put {
    struct cli *cli;
    const char *topic, *to;
    int64_t partition, offset;
    int64_t retries;
    char texts[4][32]; /* of the headers' numbers and times */
    struct runnel_header *headers;
    size_t header_count;
};

static const struct out_column put_columns[] = { { "topic", false },
                                                 { "partition", true },
                                                 { "offset", true } };

/* RFC 3339, UTC, milliseconds. */
static const char *put_time(char *to, size_t size)
{
    const int64_t now_ms = cli_now_ms();
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    const size_t n = strftime(to, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + n, size - n, ".%03dZ", (int)(now_ms % 1000));
    return to;
}

static const char *put_number(char *to, size_t size, int64_t value)
{
    snprintf(to, size, "%lld", (long long)value);
    return to;
}

static const char *put_value(const struct put *p, int id, const char *otherwise)
{
    const char *value = args_value(&p->cli->args, id);
    return value ? value : otherwise;
}

/* The event's own headers, then those that say why it is here. */
static void put_headers(struct put *p, const struct runnel_record *r)
{
    const size_t size = sizeof(p->texts[0]);
    const char *const added[PUT_HEADERS][2] = {
        { "dlq.original_topic", p->topic },
        { "dlq.original_partition", put_number(p->texts[0], size, p->partition) },
        { "dlq.original_offset", put_number(p->texts[1], size, p->offset) },
        { "dlq.error_type", put_value(p, OPT_ERROR_TYPE, "unknown") },
        { "dlq.error_message", put_value(p, OPT_ERROR_MESSAGE, "") },
        { "dlq.error_stack_trace", put_value(p, OPT_ERROR_STACK, "") },
        { "dlq.retry_count", put_number(p->texts[2], size, p->retries) },
        { "dlq.failed_at", put_time(p->texts[3], size) },
        { "dlq.consumer_group", put_value(p, OPT_GROUP, "") },
        { "dlq.consumer_instance", put_value(p, OPT_INSTANCE, "") },
        { "dlq.disposition", "rejected" },
    };
    struct runnel_record_header *found = cli_alloc((r->header_count + 1) * sizeof(*found));
    const size_t count = runnel_record_headers(r, found, r->header_count);
    p->headers = cli_alloc((count + PUT_HEADERS) * sizeof(*p->headers));
    for (size_t i = 0; i < count; i++) {
        char *name = cli_alloc(found[i].name_len + 1);
        memcpy(name, found[i].name, found[i].name_len);
        name[found[i].name_len] = 0;
        p->headers[i] = (struct runnel_header){ name, found[i].value, found[i].value_len };
    }
    free(found);
    for (size_t i = 0; i < PUT_HEADERS; i++)
        p->headers[count + i] = (struct runnel_header){ added[i][0], added[i][1], strlen(added[i][1]) };
    p->header_count = count + PUT_HEADERS;
}

static void put_headers_free(struct put *p)
{
    for (size_t i = 0; i + PUT_HEADERS < p->header_count; i++)
        free((char *)p->headers[i].name);
    free(p->headers);
}

static const char *put_setting(const struct runnel_topic *t, const char *name)
{
    for (size_t i = 0; i < t->config_count; i++)
        if (!strcmp(t->configs[i].name, name))
            return t->configs[i].value;
    return NULL;
}

/* Makes the dead-letter topic when it is missing. 0, or an exit code. */
static int put_target(struct put *p)
{
    struct runnel_topic *t;
    struct runnel_config configs[2] = { { "retention.ms", put_retention } };
    int rc = EXIT_DONE;

    if (runnel_topic_describe(p->cli->client, p->topic, &t) < 0)
        return cli_fail_client(p->cli, p->topic);
    configs[1] = (struct runnel_config){ "max.message.bytes", put_setting(t, "max.message.bytes") };
    if (p->partition >= (int64_t)t->partition_count)
        rc = cli_fail(EXIT_NOT_FOUND, cli_topic(p->topic), "see `runnel topic offsets`", "no partition %lld",
                      (long long)p->partition);
    else if (p->offset < t->partitions[p->partition].start_offset ||
             p->offset >= t->partitions[p->partition].end_offset)
        rc = cli_fail(EXIT_NOT_FOUND, cli_topic(p->topic), "see `runnel topic offsets`",
                      "partition %lld has no event %lld", (long long)p->partition, (long long)p->offset);
    else if (runnel_topic_create(p->cli->client, p->to, t->partition_count, configs, configs[1].value ? 2 : 1,
                                 1) < 0)
        rc = cli_fail_client(p->cli, p->to);
    runnel_topic_free(t);
    return rc;
}

static int put_write(struct put *p, const struct runnel_record *r)
{
    struct runnel_event event = RUNNEL_EVENT_INIT;
    struct runnel_delivery delivery;
    runnel_producer *producer = runnel_producer_new(p->cli->client, p->to, NULL, NULL, NULL);

    if (!producer)
        return cli_fail_client(p->cli, p->to);
    put_headers(p, r);
    event.key = r->key;
    event.key_len = r->key_len;
    event.value = r->value;
    event.value_len = r->value_len;
    event.timestamp_ms = r->timestamp_ms;
    event.headers = p->headers;
    event.header_count = p->header_count;
    event.partition = p->partition < runnel_producer_partitions(producer) ? (int32_t)p->partition : -1;
    const int rc = runnel_produce_wait(producer, &event, &delivery, PUT_WAIT_MS);
    put_headers_free(p);
    if (rc < 0) {
        runnel_producer_close(producer, 0);
        return cli_fail_client(p->cli, p->to);
    }
    out_rows_begin(&p->cli->out, NULL, put_columns, 3);
    out_cell(&p->cli->out, p->to);
    out_cell_number(&p->cli->out, delivery.partition);
    out_cell_number(&p->cli->out, delivery.offset);
    out_rows_end(&p->cli->out);
    runnel_producer_close(producer, PUT_WAIT_MS);
    return EXIT_DONE;
}

/* The event itself. */
static int put_event(struct put *p)
{
    char from[24], partition[24];
    struct runnel_record record;
    snprintf(from, sizeof(from), "%lld", (long long)p->offset);
    snprintf(partition, sizeof(partition), "%lld", (long long)p->partition);
    runnel_consumer *consumer = range_consumer(p->cli, p->topic, from, partition);
    if (!consumer)
        return EXIT_FAILED;
    int rc = runnel_next(consumer, &record, PUT_WAIT_MS);
    if (rc < 0)
        rc = cli_fail_client(p->cli, p->topic);
    else if (rc == 0 || record.offset != p->offset)
        rc = cli_fail(EXIT_NOT_FOUND, cli_topic(p->topic), "see `runnel read`", "event %lld/%lld is gone",
                      (long long)p->partition, (long long)p->offset);
    else
        rc = put_write(p, &record);
    runnel_consumer_close(consumer);
    return rc;
}

static int put_check(struct put *p)
{
    static const int texts[] = { OPT_ERROR_TYPE, OPT_ERROR_MESSAGE, OPT_ERROR_STACK, OPT_GROUP,
                                 OPT_INSTANCE };
    const char *place = p->cli->args.operands[1];

    if (!dead_place(place, &p->partition, &p->offset))
        return cli_usage("write PARTITION:OFFSET, where the event was published", "'%s' is no event", place);
    if (!args_value(&p->cli->args, OPT_GROUP))
        return cli_usage("write --group NAME", "the group that could not process it is missing");
    if (p->to == p->topic)
        return cli_usage("name the topic that the event was published to", "%s is for dead letters itself",
                         p->topic);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strlen(put_value(p, texts[i], "")) > PUT_TEXT_MAX)
            return cli_usage("write less", "a text has more than %d bytes", PUT_TEXT_MAX);
    return cli_number(p->cli, OPT_RETRIES, 0, INT32_MAX, 0, &p->retries);
}

static int dlq_put(struct cli *cli)
{
    struct put p = { .cli = cli, .topic = cli->args.operands[0] };
    p.to = dead_topic(p.topic);
    int rc = put_check(&p);

    if (!rc)
        rc = cli_connect(cli);
    if (!rc)
        rc = put_target(&p);
    return rc ? rc : put_event(&p);
}

static const struct option put_options[] = {
    { OPT_GROUP, 'g', "group", "NAME", NULL, false, "the group that could not process it (needed)" },
    { OPT_ERROR_TYPE, 0, "error-type", "TYPE", NULL, false, "what went wrong, in a word (unknown)" },
    { OPT_ERROR_MESSAGE, 0, "error-message", "TEXT", NULL, false, "and in a sentence" },
    { OPT_ERROR_STACK, 0, "error-stack", "TEXT", NULL, false, "where it went wrong" },
    { OPT_RETRIES, 0, "retries", "N", NULL, false, "how often it was tried again (0)" },
    { OPT_INSTANCE, 0, "instance", "ID", NULL, false, "the consumer that could not process it" },
    { 0 },
};

const struct command dlq_put_command = {
    .noun = "dlq",
    .verb = "put",
    .operands = "TOPIC PARTITION:OFFSET",
    .operands_min = 2,
    .operands_max = 2,
    .complete = COMPLETE_TOPIC,
    .summary = "add an event to the dead letters of its topic",
    .text =
        "For consumers that cannot refuse an event, as those of the Kafka protocol: the event is copied to "
        "TOPIC.dlq, made when it is missing, with what went wrong as headers. The group goes on by itself: "
        "it commits the offset behind the event. Such dead letters are redriven with --to-topic.",
    .options = put_options,
    .examples = { { "runnel dlq put orders 3:1742 -g billing --error-type BadTotal --error-message 'total < "
                    "0'",
                    "one event" },
                  { "runnel dlq put orders 3:1742 -g billing --instance pod-7 --retries 3",
                    "and who tried, how often" },
                  { "runnel dlq redrive orders -g billing --to-topic orders",
                    "once the consumer is mended" } },
    .run = dlq_put,
};
