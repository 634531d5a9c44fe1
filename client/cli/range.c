/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int range_position(struct cli *cli, int id, const char *initial, struct position *out)
{
    const char *text = args_value(&cli->args, id);

    if (parse_position(text ? text : initial, cli_now_ms(), out))
        return EXIT_DONE;
    return cli_usage("write start, end, 42, -10, @2026-11-21T02:11:37Z, @UNIX_MS or -15m",
                     "'%s' is no position", text);
}

runnel_consumer *range_consumer(struct cli *cli, const char *topic, const char *from, const char *partitions)
{
    runnel_options *options = cli_options();
    runnel_consumer *consumer;

    cli_option(options, "from", from);
    if (partitions)
        cli_option(options, "partitions", partitions);
    consumer = runnel_consumer_new(cli->client, topic, options);
    runnel_options_free(options);
    if (!consumer)
        cli_fail_client(cli, topic);
    return consumer;
}

/* ---- opening ---- */

static int range_choose(struct range *range)
{
    const char *list = args_value(&range->cli->args, OPT_PARTITION);
    bool *chosen = cli_alloc((size_t)range->count * sizeof(*chosen));
    int64_t bad = -1;

    if (list && !parse_partitions(list, range->count, chosen, &bad)) {
        free(chosen);
        if (bad < 0)
            return cli_usage("write -p 0 or -p 0,3,5", "'%s' is no list of partitions", list);
        return cli_fail(EXIT_NOT_FOUND, cli_topic(range->topic), "see `runnel topic describe`",
                        "no partition %lld: the topic has %d", (long long)bad, (int)range->count);
    }
    for (int32_t i = 0; i < range->count; i++)
        range->partitions[i].chosen = !list || chosen[i];
    free(chosen);
    return EXIT_DONE;
}

static int64_t within(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* A position as an offset of one partition. */
static int range_resolve(struct range *range, const struct runnel_partition_row *row,
                         const struct position *position, int64_t *out)
{
    char text[POSITION_TEXT_BYTES];
    int64_t unused;
    int rc;

    switch (position->kind) {
    case POSITION_START:
        *out = row->start_offset;
        return EXIT_DONE;
    case POSITION_END:
        *out = row->end_offset;
        return EXIT_DONE;
    case POSITION_OFFSET:
        *out = position->value;
        return EXIT_DONE;
    case POSITION_BACK:
        *out = row->end_offset - within(position->value, 0, row->end_offset - row->start_offset);
        return EXIT_DONE;
    case POSITION_TIME:
        break;
    }
    position_text(position, text);
    rc = runnel_offset(range->cli->client, range->topic, (int32_t)row->partition, text, out, &unused);
    if (rc < 0)
        return cli_fail_client(range->cli, range->topic);
    if (*out < 0)
        *out = row->end_offset; /* nothing that late */
    return EXIT_DONE;
}

static int range_partition(struct range *range, const struct runnel_partition_row *row,
                           const struct position *from, const struct position *to, bool only)
{
    struct range_partition *p = &range->partitions[row->partition];
    const long long start = row->start_offset, end = row->end_offset;
    int rc = range_resolve(range, row, from, &p->from);

    if (!rc)
        rc = range_resolve(range, row, to, &p->to);
    if (rc)
        return rc;
    if (only && from->kind == POSITION_OFFSET && (p->from < start || p->from > end))
        return cli_fail(EXIT_NOT_FOUND, cli_topic(range->topic), "choose one of these, or start or end",
                        "no offset %lld: partition %u has %lld to %lld", (long long)p->from, row->partition,
                        start, end - 1);
    p->from = within(p->from, start, end);
    p->to = within(p->to, p->from, end);
    p->done = p->from == p->to;
    range->left += !p->done;
    range->events += (uint64_t)(p->to - p->from);
    return EXIT_DONE;
}

static int range_partitions(struct range *range, const struct runnel_topic *topic, const char *initial)
{
    struct position to;
    size_t chosen = 0;
    int rc = range_choose(range);

    if (!rc)
        rc = range_position(range->cli, OPT_FROM, initial, &range->from);
    if (!rc)
        rc = range_position(range->cli, OPT_TO, "end", &to);
    for (int32_t i = 0; i < range->count; i++)
        chosen += range->partitions[i].chosen;
    for (size_t i = 0; !rc && i < topic->partition_count; i++) {
        if (range->partitions[topic->partitions[i].partition].chosen)
            rc = range_partition(range, &topic->partitions[i], &range->from, &to, chosen == 1);
    }
    return rc;
}

int range_open(struct cli *cli, struct range *range, const char *name, const char *from)
{
    struct runnel_topic *topic;
    int rc;

    *range = (struct range){ .cli = cli, .topic = name };
    if (runnel_topic_describe(cli->client, name, &topic) < 0)
        return cli_fail_client(cli, name);
    range->count = (int32_t)topic->partition_count;
    range->partitions = cli_alloc(topic->partition_count * sizeof(*range->partitions));
    rc = range_partitions(range, topic, from);
    runnel_topic_free(topic);
    return rc;
}

/* ---- reading ---- */

/* The partitions with something to read, as the library's option wants them. */
static char *range_list(const struct range *range)
{
    char *list = cli_alloc((size_t)range->count * 12 + 1);
    size_t len = 0;

    for (int32_t i = 0; i < range->count; i++) {
        if (range->partitions[i].chosen && !range->partitions[i].done)
            len += (size_t)snprintf(list + len, 12, "%s%d", len ? "," : "", (int)i);
    }
    return list;
}

static int range_start_one(struct range *range, const struct position *from, const char *partitions,
                           int32_t only)
{
    char text[POSITION_TEXT_BYTES];
    struct range_consumer *consumer = &range->consumers[range->consumer_count];

    position_text(from, text);
    consumer->only = only;
    consumer->handle = range_consumer(range->cli, range->topic, text, partitions);
    if (!consumer->handle)
        return cli_exit_of(runnel_last_error(range->cli->client)->code);
    range->consumer_count++;
    return EXIT_DONE;
}

/* Do all partitions with something to read start at one offset? */
static bool range_alike(const struct range *range, int64_t *from)
{
    *from = -1;
    for (int32_t i = 0; i < range->count; i++) {
        const struct range_partition *p = &range->partitions[i];
        if (!p->chosen || p->done)
            continue;
        if (*from >= 0 && p->from != *from)
            return false;
        *from = p->from;
    }
    return true;
}

int range_start(struct range *range)
{
    struct position from = range->from;
    char *list, one[16];
    int rc = EXIT_DONE;

    range->begun = range->left;
    if (!range->left)
        return EXIT_DONE;
    range->consumers = cli_alloc((size_t)range->count * sizeof(*range->consumers));
    /* The start and a time are found by the broker for each partition. "Ten before the end" is not asked
     * again: the end has moved since, and ours would be missed. */
    if (from.kind == POSITION_START || from.kind == POSITION_TIME || range_alike(range, &from.value)) {
        if (from.kind == POSITION_BACK)
            from.kind = POSITION_OFFSET;
        list = range_list(range);
        rc = range_start_one(range, &from, list, -1);
        free(list);
        return rc;
    }
    from.kind = POSITION_OFFSET;
    for (int32_t i = 0; i < range->count && !rc; i++) {
        if (!range->partitions[i].chosen || range->partitions[i].done)
            continue;
        snprintf(one, sizeof(one), "%d", (int)i);
        from.value = range->partitions[i].from;
        rc = range_start_one(range, &from, one, i);
    }
    return rc;
}

/* False: the event lies behind the range (others of its batch, or of a consumer that still reads elsewhere).
 */
static bool range_wants(struct range *range, const struct runnel_record *record)
{
    struct range_partition *p;

    if (record->partition < 0 || record->partition >= range->count)
        return false; /* made after the range was opened */
    p = &range->partitions[record->partition];
    if (!p->chosen || p->done)
        return false;
    if (record->offset + 1 >= p->to) {
        p->done = true;
        range->left--;
    }
    return record->offset < p->to;
}

/* The library has tried for as long as it may, or the connection is of no more use: nothing more will come.
 */
static bool range_hopeless(int error)
{
    return error == RUNNEL_E_UNREACHABLE || error == RUNNEL_E_TIMEOUT || error == RUNNEL_E_CLOSED;
}

static void range_error(struct range *range, struct range_consumer *consumer)
{
    const struct runnel_error error = *runnel_last_error(range->cli->client);

    range->error_exit = cli_fail_client(range->cli, range->topic);
    range->failed++;
    consumer->over |= error.fatal;
    if (!range_hopeless(error.code))
        return;
    range->failed = range->begun;
    for (size_t i = 0; i < range->consumer_count; i++)
        range->consumers[i].over = true;
}

int range_next(struct range *range, struct runnel_record *out)
{
    size_t dry = 0;

    while (dry < range->consumer_count && range->left) {
        struct range_consumer *consumer = &range->consumers[range->next];
        const int rc = consumer->over ? 0 : runnel_next(consumer->handle, out, 0);
        if (rc < 0)
            range_error(range, consumer);
        else if (rc == 1 && range_wants(range, out))
            return 1;
        if (rc)
            continue;
        range->next = (range->next + 1) % range->consumer_count;
        dry++;
    }
    return 0;
}

int range_result(const struct range *range)
{
    return range->error_exit && range->failed < range->begun ? EXIT_PARTLY : range->error_exit;
}

/* Has a partition's reading passed the end of the range? */
static void range_look(struct range *range, runnel_consumer *consumer, int32_t partition)
{
    struct range_partition *p = &range->partitions[partition];
    int64_t next, start, end;

    if (!p->chosen || p->done || runnel_consumer_position(consumer, partition, &next, &start, &end) < 0)
        return;
    if (next < p->to)
        return;
    p->done = true;
    range->left--;
}

bool range_done(struct range *range)
{
    bool over = true;

    for (size_t c = 0; c < range->consumer_count; c++) {
        const struct range_consumer *consumer = &range->consumers[c];
        const int32_t first = consumer->only < 0 ? 0 : consumer->only;
        const int32_t last = consumer->only < 0 ? range->count - 1 : consumer->only;
        for (int32_t i = first; i <= last; i++)
            range_look(range, consumer->handle, i);
        /* partitions that an error has ended count as read */
        over = over && (consumer->over || runnel_at_end(consumer->handle, 0));
    }
    return range->left == 0 || over;
}

void range_close(struct range *range)
{
    for (size_t c = 0; c < range->consumer_count; c++)
        runnel_consumer_close(range->consumers[c].handle);
    free(range->consumers);
    free(range->partitions);
}
