/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dlq_settle.c: `runnel dlq redrive|discard`.
 *
 * Dead letters are dealt with in batches, each of which the broker does entirely or not at all, letter by
 * letter: so after an interruption the command is simply run again, and nothing is delivered twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/dlq.h"
#include "client/cli/encode.h"
#include "client/cli/progress.h"
#include "client/cli/record.h"

enum {
    BATCH_MAX = 4000,        /* letters in one request: each waits for the disk once */
    BATCH_BYTES = 512 << 10, /* of events that are published again */
    PACE_SLICE_MS = 100,     /* with --rate: so much worth of events in a batch */
    AUDIT_BYTES = 2048,
};

static const char audit_topic[] = "dlq.audit";

/* A letter in the batch: what is told of it, and what is published for it. */
struct entry {
    struct runnel_record *record; /* a copy */
    char *group, *topic, *error_type;
    int64_t partition, offset;
    struct runnel_header *headers;
    char *texts; /* of headers and payload */
};

struct settling {
    struct cli *cli;
    const char *dead_topic, *to_topic, *reason, *what; /* "redriven" */
    bool dry_run;
    int64_t rate;
    int32_t to_partitions;
    struct dead_filter filter;
    struct entry entries[BATCH_MAX];
    struct runnel_dead_letter letters[BATCH_MAX];
    struct runnel_topic_event events[BATCH_MAX];
    size_t count, most, bytes;
    uint64_t taken, done, left;
    int error;
    struct progress progress;
};

static const struct out_column columns[] = {
    { "topic", false },    { "partition", true }, { "offset", true }, { "error_type", false },
    { "original", false }, { "group", false },    { "to", false },    { "status", false },
};

/* ---- a batch ---- */

static void entries_free(struct settling *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct entry *e = &s->entries[i];
        free(e->record);
        free(e->group);
        free(e->topic);
        free(e->error_type);
        free(e->headers);
        free(e->texts);
    }
    s->count = s->bytes = 0;
}

static char *copy_text(const char *text)
{
    return cli_copy(text, strlen(text) + 1);
}

static bool header_is(const struct runnel_record_header *h, const char *name)
{
    return h->name_len == strlen(name) && !memcmp(h->name, name, h->name_len);
}

static bool header_starts(const struct runnel_record_header *h, const char *prefix)
{
    return h->name_len > strlen(prefix) && !memcmp(h->name, prefix, strlen(prefix));
}

static bool is_ours(const struct runnel_record_header *h)
{
    return header_starts(h, "dlq.") || header_starts(h, "__dlq.errors.") || header_is(h, "runnel-dlq") ||
           header_is(h, "runnel-redrive-of");
}

/* The event as it was, without what the broker added, and with where it was dead. */
static void republish(struct settling *s, struct entry *e, struct runnel_event *event)
{
    const struct runnel_record *r = e->record;
    struct runnel_record_header *found = cli_alloc((r->header_count + 1) * sizeof(*found));
    const size_t count = runnel_record_headers(r, found, r->header_count);
    size_t size = 400, kept = 0;
    int64_t attempt = 1;
    char *at;

    for (size_t i = 0; i < count; i++)
        size += found[i].name_len + 1;
    e->headers = cli_alloc((count + 2) * sizeof(*e->headers));
    at = e->texts = cli_alloc(size);
    for (size_t i = 0; i < count; i++) {
        const struct runnel_record_header *h = &found[i];
        if (header_is(h, "runnel-redrive-attempt")) {
            attempt += h->value && h->value_len < 10 ? atoi(strndupa(h->value, h->value_len)) : 0;
            continue;
        }
        if (is_ours(h))
            continue;
        memcpy(at, h->name, h->name_len);
        e->headers[kept++] = (struct runnel_header){ at, h->value, h->value_len };
        at += h->name_len + 1;
    }
    free(found);
    int n = snprintf(at, 320, "%s/%d:%lld", s->dead_topic, (int)r->partition, (long long)r->offset);
    e->headers[kept++] = (struct runnel_header){ "runnel-redrive-of", at, (size_t)n };
    at += n + 1;
    n = snprintf(at, 24, "%lld", (long long)attempt);
    e->headers[kept++] = (struct runnel_header){ "runnel-redrive-attempt", at, (size_t)n };
    event->key = r->key;
    event->key_len = r->key_len;
    event->value = r->value;
    event->value_len = r->value_len;
    event->timestamp_ms = r->timestamp_ms;
    event->headers = e->headers;
    event->header_count = kept;
    /* As many partitions on both sides: it keeps its own. */
    event->partition = e->partition >= 0 && e->partition < s->to_partitions ? (int32_t)e->partition : -1;
}

/* The member whose name ends `name`, and its value; how many bytes. */
static size_t put_json(char *to, const char *name, const char *value)
{
    size_t n = strlen(name);

    memcpy(to, name, n);
    memcpy(to + n, "\":\"", 3);
    n += 3;
    n += encode_json(to + n, value, strlen(value));
    to[n++] = '"';
    return n;
}

/* Who discarded it, why, and what it was. */
static void audit(struct settling *s, struct entry *e, struct runnel_event *event)
{
    const size_t size =
        AUDIT_BYTES + (strlen(s->reason) + strlen(e->error_type) + strlen(e->group)) * ENCODE_JSON_FACTOR;
    char host[128] = "", who[192], place[320], *at;
    const char *user = getenv("USER");

    gethostname(host, sizeof(host) - 1);
    snprintf(who, sizeof(who), "%.60s@%s", user ? user : "?", host);
    snprintf(place, sizeof(place), "%s/%d:%lld", s->dead_topic, (int)e->record->partition,
             (long long)e->record->offset);
    e->texts = at = cli_alloc(size);
    at += put_json(at, "{\"action\":\"discard\",\"dead_letter", place);
    at += put_json(at, ",\"reason", s->reason);
    at += put_json(at, ",\"by", who);
    at += put_json(at, ",\"error_type", e->error_type);
    at += put_json(at, ",\"group", e->group);
    *at++ = '}';
    event->key = e->record->key;
    event->key_len = e->record->key_len;
    event->value = e->texts;
    event->value_len = (size_t)(at - e->texts);
}

static void batch_add(struct settling *s, const struct dead_letter *l)
{
    struct entry *e = &s->entries[s->count];
    const struct runnel_event event = RUNNEL_EVENT_INIT;

    *e = (struct entry){ .record = record_copy(l->record),
                         .group = copy_text(l->group),
                         .topic = copy_text(l->topic),
                         .error_type = copy_text(l->error_type),
                         .partition = l->partition,
                         .offset = l->offset };
    s->letters[s->count] = (struct runnel_dead_letter){ .dead_partition = (uint32_t)l->record->partition,
                                                        .dead_offset = l->record->offset,
                                                        .group = s->to_topic || s->reason ? NULL : e->group,
                                                        .topic = e->topic,
                                                        .partition = (uint32_t)l->partition,
                                                        .offset = l->offset };
    s->events[s->count] = (struct runnel_topic_event){ s->reason ? audit_topic : s->to_topic, event };
    if (s->reason)
        audit(s, e, &s->events[s->count].event);
    else if (s->to_topic)
        republish(s, e, &s->events[s->count].event);
    s->count++;
    s->bytes += l->record->value_len + l->record->key_len + l->record->priv_len;
}

static void row(struct settling *s, size_t i, const char *status)
{
    const struct entry *e = &s->entries[i];
    struct out *out = &s->cli->out;
    const struct dead_letter origin = { .topic = e->topic, .partition = e->partition, .offset = e->offset };

    out_cell(out, s->dead_topic);
    out_cell_number(out, e->record->partition);
    out_cell_number(out, e->record->offset);
    out_cell(out, dlq_text(e->error_type));
    out_cell(out, dlq_text(dlq_origin(&origin)));
    out_cell(out, dlq_text(e->group));
    out_cell(out, s->reason ? NULL : s->to_topic ? s->to_topic : dlq_text(e->group));
    out_cell(out, status);
}

/* One request for those from `from` on; what of them cannot be done as one is tried one by one. */
static int send(struct settling *s, size_t from, size_t count)
{
    if (s->to_topic || s->reason)
        return runnel_dlq_republish(s->cli->client, s->dead_topic, s->letters + from, count, s->events + from,
                                    count);
    return runnel_dlq_redrive(s->cli->client, s->dead_topic, s->letters + from, count);
}

static bool refused_one(const struct settling *s, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        if (s->letters[i].error)
            return true;
    return false;
}

/* All or nothing: one letter is in the way of the others, or they are too many for the topic. */
static bool helps_to_split(const struct settling *s, size_t from, size_t count, int rc)
{
    return count > 1 && (s->to_topic || s->reason) &&
           (rc == -RUNNEL_E_EVENT_NOT_LEASED || rc == -RUNNEL_E_BATCH_TOO_LARGE ||
            rc == -RUNNEL_E_REQUEST_TOO_LARGE || refused_one(s, from, count));
}

static void batch_send(struct settling *s, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        s->letters[i].error = 0;
    const int rc = send(s, from, count);
    if (rc < 0 && helps_to_split(s, from, count, rc)) {
        batch_send(s, from, count / 2);
        batch_send(s, from + count / 2, count - count / 2);
        return;
    }
    if (count == 1 && (rc == -RUNNEL_E_EVENT_NOT_LEASED || rc == -RUNNEL_E_BATCH_TOO_LARGE))
        s->letters[from].error = rc;
    if (rc < 0 && !refused_one(s, from, count) && !s->error)
        s->error = cli_fail_client(s->cli, s->dead_topic);
    for (size_t i = from; i < from + count; i++) {
        const int error = s->letters[i].error;
        const bool before = error == -RUNNEL_E_EVENT_NOT_LEASED, good = rc >= 0 && !error;
        s->done += good;
        s->left += !good && !before;
        row(s, i, good ? s->what : before ? "dealt with before" : runnel_error_name(error ? error : rc));
    }
}

static void batch_end(struct settling *s)
{
    if (s->count && s->dry_run) {
        for (size_t i = 0; i < s->count; i++)
            row(s, i, s->reason ? "would be discarded" : "would be redriven");
        s->done += s->count;
    } else if (s->count) {
        batch_send(s, 0, s->count);
    }
    entries_free(s);
    progress_update(&s->progress, s->taken);
}

/* ---- all of them ---- */

/* With --rate: waits until the next batch may go. */
static void pace(struct settling *s)
{
    int error;

    while (s->rate && !s->error && !cli_interrupted()) {
        const int64_t due_ms = (int64_t)((double)s->taken * 1000 / (double)s->rate);
        const int64_t left_ms = due_ms - progress_elapsed_ms(&s->progress);
        if (left_ms <= 0)
            return;
        out_flush(&s->cli->out);
        cli_wait(s->cli, -1, (int)(left_ms < 1000 ? left_ms : 1000), &error);
        if (error)
            s->error = cli_fail_client(s->cli, s->dead_topic);
    }
}

static bool can_be_redriven(struct settling *s, const struct dead_letter *l)
{
    return (l->partition >= 0 && l->offset >= 0 && *l->topic && *l->group) || s->to_topic || s->reason;
}

static int settle_all(struct settling *s)
{
    struct dead_reader reader = { 0 };
    int rc = dead_open(s->cli, &reader, s->dead_topic);

    progress_begin(&s->progress, s->cli->progress && !isatty(STDOUT_FILENO), "dead letters",
                   s->filter.limit < reader.events ? s->filter.limit : reader.events);
    cli_interrupt_softly();
    while (!rc && !s->error && s->taken < s->filter.limit && dead_next(&reader)) {
        if (!dead_wanted(&s->filter, &reader.letter))
            continue;
        s->taken++;
        if (!can_be_redriven(s, &reader.letter)) {
            s->left++;
            cli_note(s->cli, "note: %s/%d:%lld does not say where it failed: redrive it with --to-topic",
                     s->dead_topic, (int)reader.letter.record->partition,
                     (long long)reader.letter.record->offset);
            continue;
        }
        batch_add(s, &reader.letter);
        if (s->count < s->most && s->bytes < BATCH_BYTES)
            continue;
        batch_end(s);
        pace(s);
    }
    if (!s->error && !cli_interrupted())
        batch_end(s);
    entries_free(s);
    rc = rc ? rc : s->error ? s->error : reader.error;
    dead_close(&reader);
    progress_end(&s->progress);
    return rc;
}

static int settle_run(struct settling *s)
{
    struct cli *cli = s->cli;
    int rc;

    rc = dead_topic_find(cli, cli->args.operands[0], &s->dead_topic);
    if (rc)
        return rc;
    s->dry_run = args_flag(&cli->args, OPT_DRY_RUN);
    s->most = BATCH_MAX;
    if (s->rate && s->rate * PACE_SLICE_MS / 1000 < BATCH_MAX)
        s->most = s->rate * PACE_SLICE_MS / 1000 > 0 ? (size_t)(s->rate * PACE_SLICE_MS / 1000) : 1;
    out_rows_begin(&cli->out, NULL, columns, 8);
    rc = settle_all(s);
    cli->out.failed = rc && !s->taken;
    out_rows_end(&cli->out);
    cli_note(cli, "%s%llu dead letters of %s%s", s->dry_run ? "dry run: " : "", (unsigned long long)s->done,
             s->dead_topic,
             s->dry_run  ? ""
             : s->reason ? " discarded"
                         : " redriven");
    if (!rc && s->left)
        rc = s->done ? EXIT_PARTLY : EXIT_REFUSED;
    return rc;
}

/* Topics that are published into: 0, or an exit code. */
static int target(struct cli *cli, const char *topic, uint32_t partitions, int32_t *count)
{
    struct runnel_topic *described;

    if (partitions && runnel_topic_create(cli->client, topic, partitions, NULL, 0, 1) < 0)
        return cli_fail_client(cli, topic);
    if (runnel_topic_describe(cli->client, topic, &described) < 0)
        return cli_fail_client(cli, topic);
    *count = (int32_t)described->partition_count;
    runnel_topic_free(described);
    return EXIT_DONE;
}

/* ---- redrive ---- */

static int dlq_redrive(struct cli *cli)
{
    struct settling *s = cli_alloc(sizeof(*s));
    int rc;

    s->cli = cli;
    s->what = "redriven";
    s->to_topic = args_value(&cli->args, OPT_TO_TOPIC);
    rc = dead_filter(cli, &s->filter, 1);
    if (!rc)
        rc = cli_number(cli, OPT_RATE, 1, INT32_MAX, 0, &s->rate);
    if (!rc)
        rc = cli_connect(cli);
    if (!rc && s->to_topic)
        rc = target(cli, s->to_topic, 0, &s->to_partitions);
    if (!rc)
        rc = settle_run(s);
    free(s);
    return rc;
}

static const struct option redrive_options[] = {
    DLQ_FILTER_OPTIONS,
    { OPT_TO_TOPIC, 0, "to-topic", "TOPIC", NULL, false, "publish them there again, for every group" },
    { OPT_RATE, 0, "rate", "N", NULL, false, "at most so many a second" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be redriven" },
    { 0 },
};

const struct command dlq_redrive_command = {
    .noun = "dlq",
    .verb = "redrive",
    .operands = "TOPIC [PARTITION:OFFSET]...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "try dead letters again",
    .text =
        "Gives each event to the group where it failed, and to no other, with all its attempts; its dead "
        "letter is "
        "dealt with in the same step. With --to-topic it is published again instead, with its key, time and "
        "headers, and "
        "runnel-redrive-of and runnel-redrive-attempt, which say where it comes from. Run it again after an "
        "interruption: nothing is delivered twice. Lists each one; the dry run lists the same.",
    .options = redrive_options,
    .examples = { { "runnel dlq redrive orders --dry-run", "what would be tried again" },
                  { "runnel dlq redrive orders --where-type 'Timeout*' --rate 50",
                    "those of an outage, slowly" },
                  { "runnel dlq redrive orders 0:17 0:18", "these two" },
                  { "runnel dlq redrive orders --to-topic orders", "for every group" } },
    .run = dlq_redrive,
};

/* ---- discard ---- */

static int dlq_discard(struct cli *cli)
{
    struct settling *s = cli_alloc(sizeof(*s));
    const bool dry_run = args_flag(&cli->args, OPT_DRY_RUN);
    int rc;

    s->cli = cli;
    s->what = "discarded";
    s->reason = args_value(&cli->args, OPT_REASON);
    rc = dead_filter(cli, &s->filter, 1);
    if (!rc && (!s->reason || !*s->reason))
        rc = cli_usage("write --reason TEXT", "why they are discarded is missing");
    if (!rc && !dry_run && !s->filter.place_count)
        rc = cli_confirm(cli, "discard dead letters without trying them again");
    if (!rc)
        rc = cli_connect(cli);
    if (!rc && !dry_run)
        rc = target(cli, audit_topic, 1, &s->to_partitions);
    if (!rc)
        rc = settle_run(s);
    free(s);
    return rc;
}

static const struct option discard_options[] = {
    { OPT_REASON, 0, "reason", "TEXT", NULL, false, "why: it is kept in the topic dlq.audit" },
    DLQ_FILTER_OPTIONS,
    { OPT_YES, 'y', "yes", NULL, NULL, false,
      "do not ask; needed where there is no terminal, unless letters are named" },
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "show what would be discarded" },
    { 0 },
};

const struct command dlq_discard_command = {
    .noun = "dlq",
    .verb = "discard",
    .operands = "TOPIC [PARTITION:OFFSET]...",
    .operands_min = 1,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "deal with dead letters without trying them again",
    .text = "They stay in TOPIC.dlq until its retention ends, but are not listed or redriven any more. An "
            "event for each goes to "
            "the topic dlq.audit, in the same step: what was discarded, why, and by whom.",
    .options = discard_options,
    .examples = { { "runnel dlq discard orders 0:17 --reason 'test data'", "one" },
                  { "runnel dlq discard orders --where-type BadInput --reason junk --dry-run",
                    "what would go" },
                  { "runnel read dlq.audit -o jsonl", "what was discarded" } },
    .run = dlq_discard,
};
