/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dead.c: reading dead letters. See dead.h; dead_filter.c has the choosing, dead_names.c the topics.
 */
#include "client/cli/dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/encode.h"
#include "client/cli/parse.h"

static const char settled_group[] = "__dlq";

/* ---- what is dealt with ---- */

static void take_done(struct dead_partition *p, const struct runnel_group_partition *row, bool with_settled)
{
    if (!with_settled && row->position > p->next)
        p->next = row->position;
    p->done = cli_alloc((row->done_count * 2 + 2) * sizeof(*p->done));
    p->done[0] = 0;
    p->done[1] = row->position;
    for (size_t i = 0; i < row->done_count; i++) {
        p->done[2 * i + 2] = row->done[i].first;
        p->done[2 * i + 3] = row->done[i].end;
    }
    p->done_count = row->done_count + 1;
}

static int read_settled(struct dead_reader *r)
{
    struct runnel_group_info *group;

    if (runnel_group_describe(r->cli->client, settled_group, &group) < 0) {
        if (runnel_last_error(r->cli->client)->code == RUNNEL_E_GROUP_NOT_FOUND)
            return EXIT_DONE; /* nothing was ever dealt with */
        return cli_fail_client(r->cli, r->topic);
    }
    for (size_t i = 0; i < group->partition_count; i++) {
        const struct runnel_group_partition *row = &group->partitions[i];
        if (!strcmp(row->topic, r->topic) && row->partition < r->count)
            take_done(&r->partitions[row->partition], row, r->with_settled);
    }
    runnel_group_info_free(group);
    return EXIT_DONE;
}

static bool is_settled(struct dead_partition *p, int64_t offset)
{
    while (p->done_at < p->done_count && p->done[2 * p->done_at + 1] <= offset)
        p->done_at++;
    return p->done_at < p->done_count && p->done[2 * p->done_at] <= offset;
}

/* ---- opening ---- */

static int read_partitions(struct dead_reader *r)
{
    struct runnel_topic *topic;

    if (runnel_topic_describe(r->cli->client, r->topic, &topic) < 0) {
        char original[300];
        const size_t len = strlen(r->topic) - strlen(".dlq");
        if (runnel_last_error(r->cli->client)->code != RUNNEL_E_TOPIC_NOT_FOUND ||
            !dead_topic_plain(r->topic))
            return cli_fail_client(r->cli, r->topic);
        snprintf(original, sizeof(original), "%.*s", (int)(len < 280 ? len : 280), r->topic);
        if (runnel_topic_describe(r->cli->client, original, &topic) < 0)
            return cli_fail_client(r->cli, original);
        runnel_topic_free(topic); /* it exists, and nothing of it ever died */
        return EXIT_DONE;
    }
    r->count = topic->partition_count;
    r->partitions = cli_alloc(r->count * sizeof(*r->partitions));
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct runnel_partition_row *row = &topic->partitions[i];
        r->partitions[row->partition].next = row->start_offset;
        r->partitions[row->partition].end = row->end_offset;
    }
    runnel_topic_free(topic);
    return EXIT_DONE;
}

static int open_consumer(struct dead_reader *r, size_t i)
{
    runnel_options *options = cli_options();
    char from[24], partition[24];

    snprintf(from, sizeof(from), "%lld", (long long)r->partitions[i].next);
    snprintf(partition, sizeof(partition), "%zu", i);
    cli_option(options, "from", from);
    cli_option(options, "partitions", partition);
    cli_option(options, "credit.bytes", "1048576");
    r->partitions[i].consumer = runnel_consumer_new(r->cli->client, r->topic, options);
    runnel_options_free(options);
    return r->partitions[i].consumer ? EXIT_DONE : cli_fail_client(r->cli, r->topic);
}

/* Where the partitions begin and end, and what of them is dealt with. */
static int read_bounds(struct cli *cli, struct dead_reader *r, const char *topic)
{
    const bool with_settled = r->with_settled;
    int rc;

    *r = (struct dead_reader){ .cli = cli, .topic = topic, .with_settled = with_settled };
    rc = read_partitions(r);
    return rc ? rc : read_settled(r);
}

int dead_open_at(struct cli *cli, struct dead_reader *r, const char *topic, int64_t partition, int64_t offset)
{
    int rc = read_bounds(cli, r, topic);

    if (rc || partition >= (int64_t)r->count || offset < r->partitions[partition].next ||
        offset >= r->partitions[partition].end)
        return rc;
    r->partitions[partition].next = offset;
    r->partitions[partition].end = offset + 1;
    return open_consumer(r, (size_t)partition);
}

int dead_open(struct cli *cli, struct dead_reader *r, const char *topic)
{
    int rc = read_bounds(cli, r, topic);

    for (size_t i = 0; i < r->count && !rc; i++) {
        const struct dead_partition *p = &r->partitions[i];
        if (p->next >= p->end)
            continue;
        r->events += (uint64_t)(p->end - p->next);
        rc = open_consumer(r, i);
    }
    return rc;
}

void dead_close(struct dead_reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        runnel_consumer_close(r->partitions[i].consumer);
        free(r->partitions[i].done);
    }
    free(r->partitions);
    free(r->headers);
    free(r->texts);
    *r = (struct dead_reader){ 0 };
}

/* ---- one letter ---- */

struct field {
    const char *name;
    size_t name_len; /* asked for each header of each letter */
    size_t text;     /* offset of a const char * in struct dead_letter */
    size_t number;   /* or of an int64_t; 0: it is a text */
};

#define TEXT(header, member)                                                                                 \
    {                                                                                                        \
        header, sizeof(header) - 1, offsetof(struct dead_letter, member), 0                                  \
    }
#define NUMBER(header, member)                                                                               \
    {                                                                                                        \
        header, sizeof(header) - 1, 0, offsetof(struct dead_letter, member)                                  \
    }
static const struct field fields[] = {
    TEXT("dlq.original_topic", topic),        NUMBER("dlq.original_partition", partition),
    NUMBER("dlq.original_offset", offset),    TEXT("dlq.error_type", error_type),
    TEXT("dlq.error_message", error_message), TEXT("dlq.error_stack_trace", error_stack_trace),
    NUMBER("dlq.retry_count", retry_count),   TEXT("dlq.failed_at", failed_at),
    TEXT("dlq.consumer_group", group),        TEXT("dlq.consumer_instance", instance),
    TEXT("dlq.disposition", disposition),     TEXT("ce_type", type),
    TEXT("ce_correlationid", correlation_id),
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

/* A terminated copy at `to`. */
static const char *keep_text(char *to, const struct runnel_record_header *h)
{
    if (h->value_len)
        memcpy(to, h->value, h->value_len);
    to[h->value_len] = '\0';
    if (!utf8_valid(to, h->value_len))
        for (size_t i = 0; i < h->value_len; i++)
            if ((unsigned char)to[i] >= 0x80)
                to[i] = '?';
    return to;
}

static void letter_field(struct dead_letter *l, const struct field *field, const char *text)
{
    int64_t number;

    if (!field->number)
        memcpy((char *)l + field->text, &text, sizeof(text));
    else if (parse_number(text, 0, INT64_MAX, &number))
        memcpy((char *)l + field->number, &number, sizeof(number));
}

/* Takes the headers apart; the last one of a name counts: the broker's stand behind the event's own. */
static void letter_read(struct dead_reader *r)
{
    struct dead_letter *l = &r->letter;
    const struct runnel_record *record = &r->record;
    size_t count = record->header_count, size = 0;
    char *at;

    *l = (struct dead_letter){
        .record = record, .partition = -1, .offset = -1, .retry_count = -1, .failed_at_ms = -1
    };
    if (count > r->header_size) {
        r->header_size = count * 2;
        r->headers = cli_realloc(r->headers, r->header_size * sizeof(*r->headers));
    }
    count = runnel_record_headers(record, r->headers, count);
    for (size_t i = 0; i < count; i++)
        size += r->headers[i].value_len + 1;
    if (size > r->texts_size) {
        r->texts_size = size * 2;
        r->texts = cli_realloc(r->texts, r->texts_size);
    }
    for (size_t f = 0; f < FIELDS; f++)
        if (!fields[f].number)
            letter_field(l, &fields[f], "");
    at = r->texts;
    for (size_t i = 0; i < count; i++) {
        const struct runnel_record_header *h = &r->headers[i];
        for (size_t f = 0; f < FIELDS; f++) {
            if (fields[f].name_len != h->name_len || memcmp(fields[f].name, h->name, h->name_len) != 0)
                continue;
            letter_field(l, &fields[f], keep_text(at, h));
            at += h->value_len + 1;
        }
    }
    if (!parse_time_ms(l->failed_at, cli_now_ms(), &l->failed_at_ms))
        l->failed_at_ms = -1;
}

/* ---- one after another ---- */

/* The next event of a partition without waiting: 1, 0 none now. Ends it where it ended at the beginning. */
static int partition_next(struct dead_reader *r, struct dead_partition *p)
{
    int64_t next, start, end;
    int rc = runnel_next(p->consumer, &r->record, 0);

    if (rc < 0)
        r->error = cli_fail_client(r->cli, r->topic);
    else if (rc == 1 && r->record.offset >= p->end)
        rc = -1;
    else if (rc == 0 &&
             runnel_consumer_position(p->consumer, (int32_t)(p - r->partitions), &next, &start, &end) == 0)
        rc = next >= p->end ? -1 : 0; /* the last ones are gone, if there were any */
    if (rc < 0) {
        runnel_consumer_close(p->consumer);
        p->consumer = NULL;
        return 0;
    }
    return rc;
}

bool dead_next(struct dead_reader *r)
{
    size_t dry = 0;
    int error;

    while (!r->error && !cli_interrupted()) {
        struct dead_partition *p = r->count ? &r->partitions[r->at] : NULL;
        if (p && p->consumer && partition_next(r, p) == 1) {
            const bool settled = is_settled(p, r->record.offset);
            dry = 0;
            if (settled && !r->with_settled)
                continue;
            letter_read(r);
            r->letter.settled = settled;
            return true;
        }
        if (r->count)
            r->at = (r->at + 1) % r->count;
        if (++dry < r->count)
            continue;
        bool left = false;
        for (size_t i = 0; i < r->count; i++)
            left |= r->partitions[i].consumer != NULL;
        if (!left)
            return false;
        out_flush(&r->cli->out);
        cli_wait(r->cli, -1, -1, &error);
        if (error)
            r->error = cli_fail_client(r->cli, r->topic);
        dry = 0;
    }
    return false;
}
