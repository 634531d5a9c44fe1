/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/replay.c: `runnel replay`: a range of one topic, published again into another.
 *
 * Each event keeps key, headers, timestamp and payload. With as many partitions on both sides it keeps its
 * partition, too; else its key decides (and events without a key go by their old partition), so the order of
 * a partition's events of one key stays. One connection reads and writes; reading stands still while the
 * library's buffer is full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/progress.h"
#include "client/cli/range.h"

enum {
    REPLAY_HEADERS_FIRST = 16,
    PACE_SLICE_MS = 10, /* with --rate, so much worth of events may go at once */
};

struct replay_sum {
    uint64_t published, failed;
};

struct replay {
    struct cli *cli;
    const char *to_topic;
    struct range range;
    runnel_producer *producer;
    struct replay_sum *sums; /* per partition of the source */
    bool same_count;
    struct runnel_record_header *found; /* the event's headers as they were read ... */
    struct runnel_header *headers;      /* ... and as they are published */
    size_t header_size;
    char *names; /* header names, terminated */
    size_t names_size;
    uint64_t sent, settled;
    int64_t rate;
    int error; /* the first delivery that failed */
    char error_text[256];
    struct progress progress;
};

static const struct out_column replay_columns[] = {
    { "topic", false }, { "partition", true }, { "from", true },      { "to", true },
    { "events", true }, { "to_topic", false }, { "published", true }, { "failed", true },
};

static void replay_rows(struct replay *r)
{
    struct out *out = &r->cli->out;

    out_rows_begin(out, NULL, replay_columns, 8);
    for (int32_t i = 0; i < r->range.count; i++) {
        const struct range_partition *p = &r->range.partitions[i];
        if (!p->chosen)
            continue;
        out_cell(out, r->range.topic);
        out_cell_number(out, i);
        out_cell_number(out, p->from);
        out_cell_number(out, p->to);
        out_cell_number(out, p->to - p->from);
        out_cell(out, r->to_topic);
        out_cell_number(out, (int64_t)r->sums[i].published);
        out_cell_number(out, (int64_t)r->sums[i].failed);
    }
    out_rows_end(out);
}

/* The first failure ends the replay: going on would leave a hole in the partition's order. */
static void replay_failed(struct replay *r, int32_t partition, int error, const char *text)
{
    r->sums[partition].failed++;
    if (r->error)
        return;
    r->error = error;
    snprintf(r->error_text, sizeof(r->error_text), "%s", text && *text ? text : runnel_error_text(error));
}

static void replay_on_delivery(void *ctx, const struct runnel_delivery *delivery)
{
    struct replay *r = ctx;
    const int32_t partition = (int32_t)(uintptr_t)delivery->opaque;

    r->settled++;
    if (delivery->error)
        replay_failed(r, partition, delivery->error, delivery->error_text);
    else
        r->sums[partition].published++;
}

/* ---- one event ---- */

/* The record's headers with terminated names, as producing wants them. 0, or a negative code. */
static int replay_headers(struct replay *r, const struct runnel_record *record)
{
    const size_t count = record->header_count;
    size_t used = 0;

    if (count > r->header_size) {
        r->header_size = count * 2 + REPLAY_HEADERS_FIRST;
        r->headers = cli_realloc(r->headers, r->header_size * sizeof(*r->headers));
        r->found = cli_realloc(r->found, r->header_size * sizeof(*r->found));
    }
    if (runnel_record_headers(record, r->found, count) != count)
        return -RUNNEL_E_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        used += r->found[i].name_len + 1;
    if (used > r->names_size) {
        r->names_size = used * 2;
        r->names = cli_realloc(r->names, r->names_size);
    }
    used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct runnel_record_header *h = &r->found[i];
        memcpy(r->names + used, h->name, h->name_len);
        r->names[used + h->name_len] = '\0';
        r->headers[i] = (struct runnel_header){ r->names + used, h->value, h->value_len };
        used += h->name_len + 1;
    }
    return 0;
}

static int32_t replay_partition(const struct replay *r, const struct runnel_record *record)
{
    if (r->same_count)
        return record->partition;
    return record->key ? -1 : record->partition % runnel_producer_partitions(r->producer);
}

/* Waits while the library's buffer is full. 0, or a negative code. */
static int replay_event(struct replay *r, const struct runnel_record *record)
{
    struct runnel_event event = RUNNEL_EVENT_INIT;
    int rc = replay_headers(r, record), error;

    if (rc < 0)
        return rc;
    event.partition = replay_partition(r, record);
    event.key = record->key;
    event.key_len = record->key_len;
    event.value = record->value;
    event.value_len = record->value_len;
    event.headers = r->headers;
    event.header_count = record->header_count;
    event.timestamp_ms = record->timestamp_ms;
    while ((rc = runnel_produce(r->producer, &event, (void *)(uintptr_t)record->partition)) ==
           -RUNNEL_E_QUEUE_FULL) {
        cli_wait(r->cli, -1, -1, &error);
        if (error || cli_interrupted())
            return error;
    }
    r->sent += rc == 0;
    return rc;
}

/* ---- the loop ---- */

/* With --rate: how long until the next event may go, in ms. */
static int replay_pause_ms(const struct replay *r)
{
    const double elapsed_ms = (double)progress_elapsed_ms(&r->progress);
    const double due_ms = (double)r->sent * 1000 / (double)r->rate;

    return r->rate && due_ms > elapsed_ms + PACE_SLICE_MS ? (int)(due_ms - elapsed_ms) : 0;
}

static int replay_pump(struct replay *r)
{
    struct runnel_record record;
    int rc, error = 0;

    while (!cli_interrupted() && !r->error) {
        const int pause_ms = replay_pause_ms(r);
        progress_update(&r->progress, r->settled);
        if (pause_ms) {
            cli_wait(r->cli, -1, pause_ms, &error);
            if (error)
                return error;
            continue;
        }
        if (range_next(&r->range, &record) == 1) {
            rc = replay_event(r, &record);
            if (rc < 0)
                replay_failed(r, record.partition, rc, runnel_last_error(r->cli->client)->text);
        } else if (range_done(&r->range)) {
            return 0;
        } else {
            cli_wait(r->cli, -1, -1, &error);
            if (error)
                return error;
        }
    }
    return 0;
}

static int replay_settle(struct replay *r)
{
    int error = 0;

    while (r->settled < r->sent && !error) {
        cli_wait(r->cli, -1, -1, &error);
        progress_update(&r->progress, r->settled);
    }
    return error;
}

static int replay_copy(struct replay *r)
{
    uint64_t published = 0;
    int rc;

    progress_begin(&r->progress, r->cli->progress, "events", r->range.events);
    cli_interrupt_softly();
    rc = replay_pump(r);
    if (rc < 0)
        rc = cli_fail_client(r->cli, r->to_topic);
    else
        rc = range_result(&r->range);
    if (replay_settle(r) < 0 && !rc)
        rc = cli_fail_client(r->cli, r->to_topic);
    progress_end(&r->progress);
    for (int32_t i = 0; i < r->range.count; i++)
        published += r->sums[i].published;
    if (r->error) {
        const char *fix = cli_fix(r->error_text, r->error);
        rc = cli_exit_of(r->error) == EXIT_USAGE ? EXIT_REFUSED
                                                 : cli_exit_of(r->error); /* the event's fault */
        rc = cli_fail(published ? EXIT_PARTLY : rc, cli_topic(r->to_topic), fix,
                      "not everything was published: %s", r->error_text);
    }
    if (cli_interrupted())
        cli_note(r->cli, "interrupted: what was published is in the list");
    cli_note(r->cli, "published %llu events into %s (%llu/s)", (unsigned long long)published, r->to_topic,
             (unsigned long long)progress_rate(&r->progress, published));
    return rc;
}

/* ---- setting up ---- */

/* Makes the target when it is missing, with as many partitions as the source, so that events keep theirs. */
static int replay_target(struct replay *r)
{
    runnel_options *options;
    const int rc = runnel_topic_create(r->cli->client, r->to_topic, (uint32_t)r->range.count, NULL, 0, 1);

    if (rc < 0)
        return cli_fail_client(r->cli, r->to_topic);
    if (rc == 1)
        cli_note(r->cli, "made topic %s with %d partitions", r->to_topic, (int)r->range.count);
    options = cli_options();
    r->producer = runnel_producer_new(r->cli->client, r->to_topic, options, replay_on_delivery, r);
    runnel_options_free(options);
    if (!r->producer)
        return cli_fail_client(r->cli, r->to_topic);
    r->same_count = runnel_producer_partitions(r->producer) == r->range.count;
    if (!r->same_count)
        cli_note(r->cli, "note: %s has %d partitions, %s has %d: events go by key", r->range.topic,
                 (int)r->range.count, r->to_topic, (int)runnel_producer_partitions(r->producer));
    return EXIT_DONE;
}

static int replay_run(struct cli *cli)
{
    struct replay r = { .cli = cli, .to_topic = args_value(&cli->args, OPT_TO_TOPIC) };
    int rc = cli_number(cli, OPT_RATE, 1, INT32_MAX, 0, &r.rate);

    if (!rc && !r.to_topic)
        rc = cli_usage("write --to-topic NAME", "where to publish is missing");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    rc = range_open(cli, &r.range, cli->args.operands[0], "start");
    r.sums = cli_alloc((size_t)r.range.count * sizeof(*r.sums));
    if (!rc && !args_flag(&cli->args, OPT_DRY_RUN)) {
        rc = replay_target(&r);
        if (!rc)
            rc = range_start(&r.range);
        if (!rc)
            rc = replay_copy(&r);
    }
    if (r.producer || !rc)
        replay_rows(&r);
    if (r.producer)
        runnel_producer_close(r.producer, 0);
    range_close(&r.range);
    free(r.sums);
    free(r.headers);
    free(r.found);
    free(r.names);
    return rc;
}

static const struct option replay_options[] = {
    { OPT_FROM, 0, "from", "POSITION", NULL, false, "where to begin (start)" },
    { OPT_TO, 0, "to", "POSITION", NULL, false, "where to end; this event is not published any more (end)" },
    { OPT_TO_TOPIC, 0, "to-topic", "TOPIC", NULL, false,
      "where to publish; made when missing, alike in partitions" },
    { OPT_PARTITION, 'p', "partition", "N[,N]...", NULL, false, "only these partitions" },
    { OPT_RATE, 0, "rate", "N", NULL, false, "at most so many events a second" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be published" },
    { 0 },
};

const struct command replay_command = {
    .noun = "replay",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "publish a range of a topic again, into another one",
    .text =
        "Keys, headers, timestamps and payloads stay as they are, and the order within each partition; "
        "partitions "
        "stay, too, when both topics have equally many (else keys decide). The end is fixed when the command "
        "begins. Lists for each partition what the range is and what was published; the dry run lists the "
        "same.",
    .options = replay_options,
    .examples = { { "runnel replay orders --from -1h --to-topic orders-test --dry-run",
                    "what would be published" },
                  { "runnel replay orders --from -1h --to-topic orders-test",
                    "the last hour, into another topic" },
                  { "runnel replay orders --from 100 --to 200 -p 0 --to-topic again --rate 50", "slowly" } },
    .run = replay_run,
};
