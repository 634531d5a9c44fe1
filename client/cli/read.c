/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/read.c: `runnel read`: what is there, from --from to --to, and `runnel sub`: what comes.
 *
 * Output is handed on whenever there is nothing more to read at once, so a pipe gets large pieces under load
 * and single events without delay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/progress.h"
#include "client/cli/range.h"
#include "client/cli/record.h"

enum {
    TOPICS_MAX = 64,    /* of one `sub` */
    LAST_MAX = 1000000, /* events that --last keeps in memory at a time */
    CHECK_EVERY = 1024, /* events between looks at ^C and the clock */
};

struct reading {
    struct cli *cli;
    struct record_writer writer;
    uint64_t count, most; /* events written; -n */
    struct progress progress;
};

/* False: that was the last one wanted. */
static bool reading_take(struct reading *r, const struct runnel_record *record)
{
    record_write(&r->writer, record);
    r->count++;
    if (r->count % CHECK_EVERY == 0) {
        progress_update(&r->progress, r->count);
        if (cli_interrupted())
            return false;
    }
    return r->count < r->most;
}

static int reading_begin(struct reading *r, struct cli *cli, bool many_topics)
{
    int64_t most;
    int rc = cli_number(cli, OPT_COUNT, 0, INT64_MAX, INT64_MAX, &most);

    r->cli = cli;
    r->most = (uint64_t)most;
    r->count = 0;
    return rc ? rc : record_begin(cli, &r->writer, many_topics);
}

/* ---- following ---- */

struct follow {
    const char *topics[TOPICS_MAX];
    runnel_consumer *consumers[TOPICS_MAX];
    bool over[TOPICS_MAX]; /* an error has ended it */
    size_t count;
    bool exit_at_end;
    int error_exit;
};

static bool follow_at_end(const struct follow *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!f->over[i] && !(f->exit_at_end && runnel_at_end(f->consumers[i], 0)))
            return false;
    }
    return true;
}

/* One event of topic `i`: 1, 0 none now. An error ends a partition, or the topic; the others go on. */
static int follow_next(struct reading *r, struct follow *f, size_t i, struct runnel_record *record)
{
    int rc;

    while ((rc = f->over[i] ? 0 : runnel_next(f->consumers[i], record, 0)) < 0) {
        f->over[i] = runnel_last_error(r->cli->client)->fatal;
        f->error_exit = cli_fail_client(r->cli, f->topics[i]);
    }
    return rc;
}

/* Reads until -n, the end (with -e), ^C, or errors everywhere. */
static int follow_run(struct reading *r, struct follow *f)
{
    struct runnel_record record;
    size_t dry = 0, i = 0;
    int error;

    while (r->count < r->most && !cli_interrupted()) {
        if (follow_next(r, f, i, &record) == 1) {
            dry = 0;
            if (!reading_take(r, &record))
                break;
            /* another topic's turn now and then, however busy this one is */
            i = r->count % CHECK_EVERY ? i : (i + 1) % f->count;
            continue;
        }
        i = (i + 1) % f->count;
        if (++dry < f->count)
            continue;
        out_flush(&r->cli->out);
        if (follow_at_end(f))
            break;
        cli_wait(r->cli, -1, -1, &error);
        if (error)
            return cli_fail_client(r->cli, f->topics[0]);
        dry = 0;
    }
    return f->error_exit;
}

static int follow_topics(struct reading *r, struct follow *f, const char *from)
{
    int rc = EXIT_DONE;
    size_t opened = 0;

    for (; opened < f->count; opened++) {
        f->consumers[opened] =
            range_consumer(r->cli, f->topics[opened], from, args_value(&r->cli->args, OPT_PARTITION));
        if (!f->consumers[opened]) {
            rc = cli_exit_of(runnel_last_error(r->cli->client)->code);
            break;
        }
    }
    cli_interrupt_softly();
    if (!rc)
        rc = follow_run(r, f);
    for (size_t i = 0; i < opened; i++)
        runnel_consumer_close(f->consumers[i]);
    return rc;
}

/* ---- read ---- */

static int read_range(struct reading *r, struct range *range)
{
    struct runnel_record record;
    int error;

    while (r->count < r->most && !cli_interrupted()) {
        if (range_next(range, &record) == 1) {
            if (!reading_take(r, &record))
                break;
            continue;
        }
        if (range_done(range))
            break;
        out_flush(&r->cli->out);
        progress_update(&r->progress, r->count);
        cli_wait(r->cli, -1, -1, &error);
        if (error)
            return cli_fail_client(r->cli, range->topic);
    }
    return range_result(range);
}

/* ---- read --last N over several partitions: the N latest by time ---- */

struct last {
    struct runnel_record **heap; /* the earliest on top */
    size_t count, most;
};

static int last_compare(const struct runnel_record *a, const struct runnel_record *b)
{
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms < b->timestamp_ms ? -1 : 1;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void last_sink(struct last *last, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < last->count; child++) {
            if (last_compare(last->heap[child], last->heap[least]) < 0)
                least = child;
        }
        if (least == i)
            return;
        struct runnel_record *swap = last->heap[i];
        last->heap[i] = last->heap[least];
        last->heap[least] = swap;
        i = least;
    }
}

static void last_rise(struct last *last, size_t i)
{
    while (i && last_compare(last->heap[i], last->heap[(i - 1) / 2]) < 0) {
        struct runnel_record *swap = last->heap[i];
        last->heap[i] = last->heap[(i - 1) / 2];
        last->heap[(i - 1) / 2] = swap;
        i = (i - 1) / 2;
    }
}

static void last_add(struct last *last, const struct runnel_record *record)
{
    if (last->count < last->most) {
        last->heap[last->count] = record_copy(record);
        last_rise(last, last->count++);
    } else if (last_compare(record, last->heap[0]) > 0) {
        free(last->heap[0]);
        last->heap[0] = record_copy(record);
        last_sink(last, 0);
    }
}

static int last_order(const void *a, const void *b)
{
    return last_compare(*(struct runnel_record *const *)a, *(struct runnel_record *const *)b);
}

static int read_last(struct reading *r, struct range *range, size_t most)
{
    struct last last = { .heap = cli_alloc(most * sizeof(*last.heap)), .most = most };
    struct runnel_record record;
    int error = 0;

    while (!cli_interrupted() && !error) {
        if (range_next(range, &record) == 1) {
            last_add(&last, &record);
            continue;
        }
        if (range_done(range))
            break;
        cli_wait(r->cli, -1, -1, &error);
    }
    qsort(last.heap, last.count, sizeof(*last.heap), last_order);
    for (size_t i = 0; i < last.count; i++) {
        if (r->count < r->most)
            (void)reading_take(r, last.heap[i]);
        free(last.heap[i]);
    }
    free(last.heap);
    return error ? cli_fail_client(r->cli, range->topic) : range_result(range);
}

static int read_what_is_there(struct reading *r, const char *topic, int64_t last)
{
    const char *from = "start";
    char back[24];
    struct range range;
    int rc;

    snprintf(back, sizeof(back), "-%lld", (long long)last);
    if (last >= 0)
        from = back;
    rc = range_open(r->cli, &range, topic, from);
    if (!rc)
        rc = range_start(&range);
    if (!rc) {
        progress_begin(&r->progress, r->cli->progress && !isatty(STDOUT_FILENO), "events", range.events);
        cli_interrupt_softly();
        rc = last >= 0 && range.left > 1 ? read_last(r, &range, (size_t)last) : read_range(r, &range);
        progress_end(&r->progress);
    }
    range_close(&range);
    return rc;
}

/* The library's word for a position of the command line. */
static int read_from_text(struct cli *cli, const char *initial, char *out)
{
    struct position position;
    const int rc = range_position(cli, OPT_FROM, initial, &position);

    if (!rc)
        position_text(&position, out);
    return rc;
}

static int read_follow(struct reading *r, const char *topic, int64_t last)
{
    struct follow f = { .topics = { topic },
                        .count = 1,
                        .exit_at_end = args_flag(&r->cli->args, OPT_EXIT_AT_END) };
    char from[POSITION_TEXT_BYTES];
    int rc;

    if (args_value(&r->cli->args, OPT_TO))
        return cli_usage("leave one of them out", "--follow has no end, --to has one");
    rc = read_from_text(r->cli, "start", from);
    if (last >= 0)
        snprintf(from, sizeof(from), "-%lld", (long long)last);
    return rc ? rc : follow_topics(r, &f, from);
}

static int read_run(struct cli *cli)
{
    const char *topic = cli->args.operands[0];
    struct position unused;
    struct reading r = { 0 };
    int64_t last;
    int rc = cli_number(cli, OPT_LAST, 0, LAST_MAX, -1, &last);

    if (!rc && last >= 0 && args_value(&cli->args, OPT_FROM))
        rc = cli_usage("leave one of them out", "--last and --from both say where to start");
    if (!rc)
        rc = range_position(cli, OPT_FROM, "start", &unused);
    if (!rc)
        rc = range_position(cli, OPT_TO, "end", &unused);
    if (!rc)
        rc = cli_connect(cli);
    if (!rc)
        rc = reading_begin(&r, cli, false);
    if (rc)
        return rc;
    rc = args_flag(&cli->args, OPT_FOLLOW) ? read_follow(&r, topic, last)
                                           : read_what_is_there(&r, topic, last);
    record_end(&r.writer, rc != EXIT_DONE);
    return rc;
}

/* ---- sub ---- */

static int sub_run(struct cli *cli)
{
    struct follow f = { .count = cli->args.operand_count,
                        .exit_at_end = args_flag(&cli->args, OPT_EXIT_AT_END) };
    char from[POSITION_TEXT_BYTES];
    struct reading r = { 0 };
    int rc;

    if (args_value(&cli->args, OPT_GROUP))
        return sub_group_run(cli);
    for (int id = OPT_SHARED; id <= OPT_EXEC_TIMEOUT; id++) {
        if (args_value(&cli->args, id))
            return cli_usage("add --group NAME", "this is about a group, and none is named");
    }
    if (f.count > TOPICS_MAX)
        return cli_usage("start another `runnel sub`", "more than %d topics", TOPICS_MAX);
    memcpy(f.topics, cli->args.operands, f.count * sizeof(f.topics[0]));
    rc = read_from_text(cli, "end", from);
    if (!rc)
        rc = cli_connect(cli);
    if (!rc)
        rc = reading_begin(&r, cli, f.count > 1);
    if (rc)
        return rc;
    rc = follow_topics(&r, &f, from);
    record_end(&r.writer, rc != EXIT_DONE);
    return rc;
}

/* ---- tables ---- */

static const struct option read_options[] = {
    { OPT_PARTITION, 'p', "partition", "N[,N]...", NULL, false, "only these partitions" },
    { OPT_FROM, 0, "from", "POSITION", NULL, false, "where to begin (start)" },
    { OPT_TO, 0, "to", "POSITION", NULL, false, "where to end; this event is not read any more (end)" },
    { OPT_COUNT, 'n', "count", "N", NULL, false, "end after so many events" },
    { OPT_LAST, 0, "last", "N", NULL, false, "the last N events of the topic, by time" },
    { OPT_EXIT_AT_END, 'e', "exit-at-end", NULL, NULL, false, "end at the end: read does so anyway" },
    { OPT_FOLLOW, 'f', "follow", NULL, NULL, false, "do not end at the end: go on with what comes" },
    { OPT_RAW, 0, "raw", NULL, NULL, false, "only the payloads' bytes, a line break behind each" },
    { OPT_ENVELOPE, 0, "envelope", NULL, NULL, false,
      "with -o json or jsonl: events as canonical envelopes (docs/envelope.md)" },
    { OPT_DELIMITER, 0, "delimiter", "TEXT", NULL, false,
      "with --raw: this in place of the line break; \\0, \\xHH" },
    { 0 },
};

const struct command read_command = {
    .noun = "read",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_TOPIC,
    .summary = "read what is stored; leaves no trace in the broker",
    .text =
        "Reads from the start to the end as it was when the command began, then ends; --follow goes on. "
        "Order is "
        "kept within each partition.\n\n"
        "With -o jsonl an object per event: topic, partition, offset, timestamp, key, headers, payload, and "
        "payload_encoding: json (an object or array, put in as it is), utf8 (a string) or base64. With --raw "
        "the payloads' exact bytes.",
    .options = read_options,
    .examples = { { "runnel read orders --last 10", "the latest ten" },
                  { "runnel read orders --from -1h -o jsonl | jq .payload", "the last hour, as JSON" },
                  { "runnel read orders -p 0 --from 100 --to 200 --raw",
                    "a range of one partition, exact bytes" },
                  { "runnel read orders --from @2026-11-21T02:00:00Z -n 1", "the first event since then" } },
    .run = read_run,
};

static const struct option sub_options[] = {
    { OPT_PARTITION, 'p', "partition", "N[,N]...", NULL, false, "only these partitions" },
    { OPT_FROM, 0, "from", "POSITION", NULL, false, "where to begin (end: only what comes from now on)" },
    { OPT_GROUP, 'g', "group", "NAME", NULL, false,
      "as a member of this group, which is made if it is missing" },
    { OPT_SHARED, 0, "shared", NULL, NULL, false,
      "a group whose members share partitions, and whose events need no order" },
    { OPT_INSTANCE, 0, "instance", "NAME", NULL, false,
      "a name that stays when this member restarts: no rebalance then" },
    { OPT_EXEC, 0, "exec", "CMD", NULL, false,
      "with --group: run CMD (by sh -c) for each event; exit code 0 acknowledges it" },
    { OPT_PARALLEL, 0, "parallel", "N", NULL, false, "with --exec: run up to N at a time (1)" },
    { OPT_EXEC_TIMEOUT, 0, "exec-timeout", "DURATION", NULL, false,
      "with --exec: kill what runs longer; the event failed" },
    { OPT_COUNT, 'n', "count", "N", NULL, false, "end after so many events" },
    { OPT_EXIT_AT_END, 'e', "exit-at-end", NULL, NULL, false,
      "end where the topics ended when the command began; with --group: when nothing is left to do" },
    { OPT_RAW, 0, "raw", NULL, NULL, false, "only the payloads' bytes, a line break behind each" },
    { OPT_ENVELOPE, 0, "envelope", NULL, NULL, false,
      "with -o json or jsonl: events as canonical envelopes (docs/envelope.md)" },
    { OPT_DELIMITER, 0, "delimiter", "TEXT", NULL, false,
      "with --raw: this in place of the line break; \\0, \\xHH" },
    { 0 },
};

const struct command sub_command = {
    .noun = "sub",
    .operands = "TOPIC...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "follow topics live",
    .text =
        "Shows events as they are published, until ^C (exit code 130), -n or -e. When the broker goes "
        "away, the "
        "command waits for it to come back and goes on behind the last event shown. Output as of `runnel "
        "read`.\n\n"
        "With --group the topics (or patterns: 'orders.*') are shared with the group's other members, events "
        "are "
        "acknowledged when they are written, and the group goes on where it was; --from start or end says "
        "where it "
        "begins at first. On SIGTERM or ^C what is begun is finished (30 s at most), acknowledged, and the "
        "member "
        "leaves; exit code 0 or 130.\n\n"
        "With --exec the payload is the command's standard input, and RUNNEL_TOPIC, RUNNEL_PARTITION, "
        "RUNNEL_OFFSET, RUNNEL_TIMESTAMP, RUNNEL_KEY, RUNNEL_ATTEMPT, RUNNEL_GROUP and RUNNEL_HEADER_name "
        "are in "
        "its environment; so is the event's envelope, as RUNNEL_EVENT_ID, RUNNEL_EVENT_CORRELATION_ID and so "
        "on: "
        "what a `runnel pub` in the command publishes has this event as its cause. Exit code 0 acknowledges "
        "the event; anything else refuses it, with `exit N` or the "
        "signal as the type of the error and the last line of stderr as its message: it is tried again after "
        "a "
        "pause, and becomes a dead letter after the group's retry.max. Events of one partition run one after "
        "another, unless the group is shared.",
    .options = sub_options,
    .examples = { { "runnel sub orders", "what comes from now on" },
                  { "runnel sub orders payments -o jsonl", "two topics, an object per line" },
                  { "runnel sub orders -g billing --from start", "as a member of a group" },
                  { "runnel sub orders -g mail --shared --exec ./send-mail --parallel 8",
                    "a command for each event" } },
    .run = sub_run,
};
