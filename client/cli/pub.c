/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/pub.c: `runnel pub`: one event, or one for each line of the input.
 *
 * Reading input and receiving acknowledgements take turns in one loop (cli_wait watches both), so a slow
 * input never holds back the report of what was acknowledged. Acknowledgements of different partitions
 * overtake one another; the ring of slots puts them back into the input's order:
 *
 *     lines   ... done | acked  waiting  acked  failed  waiting | not yet read
 *                      ^reported                                ^read
 *
 * `reported` moves on over slots that are settled, printing them.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/encode.h"
#include "client/cli/envelope.h"
#include "client/cli/input.h"
#include "client/cli/parse.h"
#include "client/cli/progress.h"

enum {
    SLOTS_FIRST = 1 << 12,
    SLOTS_MAX =
        1 << 20, /* events on their way; the library's buffer is full long before, unless lines are tiny */
    ERROR_BATCH_TOO_LARGE = 52,
};

struct slot {
    int64_t offset; /* or the error code */
    int32_t partition;
    enum { SLOT_WAITING, SLOT_ACKED, SLOT_DUPLICATE, SLOT_FAILED } state;
    char
        *text; /* event_id, where it is to be printed, or what is wrong with this event alone; ours to free */
};
static_assert(sizeof(struct slot) == 24, "a million of them are 24 MiB, and their ids 48 MiB");

struct pub {
    struct cli *cli;
    const char *topic, *separator;
    runnel_producer *producer;
    struct runnel_event event; /* what all have in common */
    struct envelope envelope;
    struct slot *slots;
    uint64_t slot_count, reported, read; /* lines, from 0 */
    uint64_t acked, failed;
    /* a run of lines that failed alike, not printed yet */
    uint64_t run_first, run_count;
    int run_error, last_error;
    char error_text[256];
    bool give_up; /* the rest would fail, too */
    bool by_lines;
    struct progress progress;
};

/* ---- slots ---- */

static struct slot *pub_slot(struct pub *pub, uint64_t line)
{
    return &pub->slots[line & (pub->slot_count - 1)];
}

static bool pub_has_slot(struct pub *pub)
{
    struct slot *old = pub->slots;
    const uint64_t old_count = pub->slot_count;

    if (pub->read - pub->reported < old_count)
        return true;
    if (old_count == SLOTS_MAX)
        return false;
    pub->slot_count = old_count ? old_count * 2 : SLOTS_FIRST;
    pub->slots = cli_alloc(pub->slot_count * sizeof(*pub->slots));
    for (uint64_t line = pub->reported; line < pub->read; line++)
        *pub_slot(pub, line) = old[line & (old_count - 1)];
    free(old);
    return true;
}

static void pub_settle_failed(struct pub *pub, uint64_t line, int error, const char *text)
{
    struct slot *slot = pub_slot(pub, line);

    free(slot->text); /* its id: nobody prints that now */
    slot->text = NULL;
    slot->state = SLOT_FAILED;
    slot->offset = error < 0 ? -error : error;
    pub->last_error = (int)slot->offset;
    snprintf(pub->error_text, sizeof(pub->error_text), "%s", text && *text ? text : runnel_error_text(error));
    /* the library has tried for as long as it may: the rest of the input would only fail in the same way,
     * slowly */
    if (slot->offset == RUNNEL_E_UNREACHABLE || slot->offset == RUNNEL_E_TIMEOUT ||
        slot->offset == RUNNEL_E_CLOSED || runnel_last_error(pub->cli->client)->fatal)
        pub->give_up = true;
}

static void pub_on_delivery(void *ctx, const struct runnel_delivery *delivery)
{
    struct pub *pub = ctx;
    const uint64_t line = (uint64_t)(uintptr_t)delivery->opaque;
    struct slot *slot = pub_slot(pub, line);

    slot->partition = delivery->partition;
    if (delivery->error) {
        pub_settle_failed(pub, line, delivery->error, delivery->error_text);
        return;
    }
    slot->offset = delivery->offset;
    slot->state = delivery->duplicate == RUNNEL_DUPLICATE_ID ? SLOT_DUPLICATE : SLOT_ACKED;
}

/* ---- reporting ---- */

static void pub_report_run(struct pub *pub)
{
    const unsigned long long first = pub->run_first + 1, count = pub->run_count;
    char where[400], text[sizeof(pub->error_text)], lines[80] = "not published";
    const char *fix;

    if (!count)
        return;
    memcpy(text, pub->error_text, sizeof(text));
    /* a place in the event, "$.source: ...", is not what to do about it */
    fix = pub->run_error == RUNNEL_E_ENVELOPE_INVALID ? runnel_error_fix(pub->run_error)
                                                      : cli_fix(text, pub->run_error);
    if (pub->by_lines && count == 1)
        snprintf(lines, sizeof(lines), "line %llu was not published", first);
    else if (pub->by_lines)
        snprintf(lines, sizeof(lines), "lines %llu to %llu were not published", first, first + count - 1);
    snprintf(where, sizeof(where), "%s, %s", cli_topic(pub->topic), runnel_error_name(pub->run_error));
    progress_end(&pub->progress);
    cli_fail(0, where, fix, "%s: %s", lines, text);
    pub->run_count = 0;
}

static void pub_print_acked(struct pub *pub, uint64_t line, const struct slot *slot)
{
    struct out *out = &pub->cli->out;
    char *at;

    if (!out_is_json(out))
        return;
    if (pub->by_lines)
        out_item(out);
    out_string(out, "{\"topic\":\"");
    out_string(out, pub->topic); /* acknowledged, so it is a topic's name: no quotes in it */
    at = out_room(out, 160);
    memcpy(at, "\",\"partition\":", 14);
    at += 14;
    at += encode_number(at, slot->partition);
    memcpy(at, ",\"offset\":", 10);
    at += 10;
    if (slot->offset >= 0) {
        at += encode_number(at, slot->offset);
    } else { /* acks=none: nobody knows */
        memcpy(at, "null", 4);
        at += 4;
    }
    memcpy(at, ",\"line\":", 8);
    at += 8;
    at += encode_number(at, (int64_t)line + 1);
    if (slot->state == SLOT_DUPLICATE) {
        memcpy(at, ",\"duplicate\":true", 17);
        at += 17;
    }
    out_used(out, (size_t)(at - out->buffer) - out->used);
    if (slot->text) { /* an id has nothing in it that JSON would escape */
        out_literal(out, ",\"event_id\":\"");
        out_string(out, slot->text);
        out_literal(out, "\"");
    }
    out_literal(out, "}");
    if (pub->by_lines)
        out_item_end(out);
    else
        out_string(out, "\n");
}

/* Prints what is settled, in order. */
static void pub_report(struct pub *pub)
{
    for (; pub->reported < pub->read; pub->reported++) {
        const uint64_t line = pub->reported;
        const struct slot *slot = pub_slot(pub, line);
        if (slot->state == SLOT_WAITING)
            break;
        if (slot->state != SLOT_FAILED) {
            pub->acked++;
            pub_print_acked(pub, line, slot);
            free(slot->text);
            continue;
        }
        pub->failed++;
        if (pub->run_count &&
            (slot->text || pub->run_error != (int)slot->offset || pub->run_first + pub->run_count != line))
            pub_report_run(pub);
        if (!pub->run_count)
            pub->run_first = line;
        pub->run_error = (int)slot->offset;
        pub->run_count++;
        if (slot->text) {
            snprintf(pub->error_text, sizeof(pub->error_text), "%s", slot->text);
            pub_report_run(pub);
            free(slot->text);
        }
    }
    out_flush(&pub->cli->out);
    pub_report_run(pub);
    progress_update(&pub->progress, pub->reported);
}

/* ---- publishing ---- */

/* False: the library's buffer is full, try again later. */
static bool pub_event(struct pub *pub, const char *value, size_t len)
{
    struct runnel_event event = pub->event;
    struct slot *slot = pub_slot(pub, pub->read);
    const char *cut = NULL;
    int rc;

    if (pub->separator)
        cut = memmem(value, len, pub->separator, strlen(pub->separator));
    event.value = value;
    event.value_len = len;
    if (cut) {
        const size_t skip = (size_t)(cut - value) + strlen(pub->separator);
        event.key = value;
        event.key_len = (size_t)(cut - value);
        event.value = value + skip;
        event.value_len = len - skip;
    }
    *slot = (struct slot){ .state = SLOT_WAITING };
    rc = envelope_event(&pub->envelope, &event);
    if (rc < 0) {
        const char *text = runnel_last_error(NULL)->text;
        *slot =
            (struct slot){ .state = SLOT_FAILED, .offset = -rc, .text = cli_copy(text, strlen(text) + 1) };
        pub->last_error = -rc;
        pub->read++;
        return true;
    }
    rc = runnel_produce(pub->producer, &event, (void *)(uintptr_t)pub->read);
    if (rc == -RUNNEL_E_QUEUE_FULL)
        return false;
    if (rc < 0)
        pub_settle_failed(pub, pub->read, rc, runnel_last_error(pub->cli->client)->text);
    else if (pub->envelope.context && out_is_json(&pub->cli->out))
        slot->text = cli_copy(runnel_envelope_id(pub->envelope.context),
                              strlen(runnel_envelope_id(pub->envelope.context)) + 1);
    pub->read++;
    return true;
}

/* Publishes the lines that are there. */
static enum input_line pub_take_lines(struct pub *pub, struct input *in)
{
    enum input_line kind;
    const char *at;
    size_t len;

    while (!pub->give_up) {
        if (!pub_has_slot(pub))
            return INPUT_LINE; /* no room now */
        kind = input_line(in, &at, &len);
        if (kind == INPUT_TOO_LONG) {
            pub_settle_failed(pub, pub->read++, ERROR_BATCH_TOO_LARGE, "the line is longer than 16 MiB");
            continue;
        }
        if (kind != INPUT_LINE)
            return kind;
        if (!pub_event(pub, at, len))
            return INPUT_LINE;
        input_taken(in, len);
    }
    return INPUT_END;
}

/* Waits for acknowledgements (and for input on `fd`); false when the connection is of no more use. */
static bool pub_turn(struct pub *pub, int fd, bool *readable)
{
    int error;

    *readable = cli_wait(pub->cli, fd, -1, &error);
    pub_report(pub);
    return error == 0;
}

/* The connection is of no more use. When events failed of it, they have said why, and pub_result() sums up.
 */
static int pub_lost(struct pub *pub)
{
    return pub->failed ? EXIT_DONE : cli_fail_client(pub->cli, pub->topic);
}

static int pub_drain(struct pub *pub)
{
    bool readable;

    pub_report(pub); /* what failed here already is nothing to wait for */
    while (pub->reported < pub->read) {
        if (!pub_turn(pub, -1, &readable))
            return pub_lost(pub);
    }
    return EXIT_DONE;
}

static int pub_pump(struct pub *pub, struct input *in)
{
    enum input_line want = INPUT_MORE;
    bool readable;

    while (want != INPUT_END && !cli_interrupted()) {
        if (!pub_turn(pub, want == INPUT_MORE ? in->fd : -1, &readable))
            return pub_lost(pub);
        if (want == INPUT_MORE && !readable)
            continue;
        if (want == INPUT_MORE && !input_read(in)) {
            const int error = errno;
            (void)pub_drain(pub);
            return cli_fail(EXIT_FAILED, NULL, "check it", "cannot read the input: %s", strerror(error));
        }
        want = pub_take_lines(pub, in);
    }
    return pub_drain(pub);
}

static int pub_lines(struct pub *pub, int fd)
{
    struct input in;
    int rc;

    input_init(&in, fd);
    cli_interrupt_softly(); /* ends the input; what was read is still published */
    rc = pub_pump(pub, &in);
    free(in.buffer);
    return rc;
}

static int pub_result(struct pub *pub)
{
    const int64_t ms = progress_elapsed_ms(&pub->progress);
    const unsigned long long acked = pub->acked;

    progress_end(&pub->progress);
    if (!pub->by_lines) {
        if (pub->failed)
            return cli_exit_of(pub->last_error);
        if (!out_is_json(&pub->cli->out)) {
            const struct slot *slot = pub_slot(pub, 0);
            cli_note(pub->cli, "%s %s: partition %d, offset %lld",
                     slot->state == SLOT_DUPLICATE ? "published before to" : "published to", pub->topic,
                     (int)slot->partition, (long long)slot->offset);
        }
        return EXIT_DONE;
    }
    if (pub->failed || !out_is_json(&pub->cli->out) || pub->cli->progress)
        cli_note(pub->cli, "published %llu event%s to %s in %lld.%02lld s (%llu/s)%s", acked,
                 acked == 1 ? "" : "s", pub->topic, (long long)(ms / 1000), (long long)(ms % 1000 / 10),
                 (unsigned long long)progress_rate(&pub->progress, acked),
                 pub->failed ? ", the rest failed" : "");
    if (pub->failed)
        return pub->acked ? EXIT_PARTLY : EXIT_FAILED;
    return EXIT_DONE;
}

/* ---- setting up ---- */

static int pub_one(struct pub *pub, const char *payload)
{
    char *value = NULL;
    size_t len = 0;
    int rc = EXIT_DONE;

    if (!payload && isatty(STDIN_FILENO))
        return cli_usage("write it behind the topic, or pipe it in", "no payload");
    if (!payload || !strcmp(payload, "-")) {
        rc = cli_read_all(NULL, &value, &len);
    } else if (payload[0] == '@') {
        rc = cli_read_all(payload + 1, &value, &len);
    } else {
        len = strlen(payload);
        value = cli_copy(payload, len);
    }
    if (!rc && (!pub_has_slot(pub) || !pub_event(pub, value, len)))
        rc = cli_fail(EXIT_REFUSED, cli_topic(pub->topic), "publish it in parts",
                      "the payload does not fit the send buffer");
    free(value);
    return rc ? rc : pub_drain(pub);
}

static int pub_by_lines(struct pub *pub, const char *payload)
{
    const bool file = payload && payload[0] == '@';
    int fd = STDIN_FILENO, rc;

    if (payload && !file && strcmp(payload, "-") != 0)
        return cli_usage("leave the payload out, or name a file: @FILE",
                         "--lines publishes the lines of its input");
    if (file) {
        fd = open(payload + 1, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return cli_fail(EXIT_NOT_FOUND, payload + 1, "check the file's name and rights",
                            "cannot open it: %s", strerror(errno));
    }
    out_items_begin(&pub->cli->out);
    rc = pub_lines(pub, fd);
    if (file)
        close(fd);
    return rc;
}

static int pub_prepare(struct pub *pub)
{
    struct cli *cli = pub->cli;
    const char *key = args_value(&cli->args, OPT_KEY), *time = args_value(&cli->args, OPT_TIMESTAMP);
    int64_t partition;
    int rc;

    pub->event = (struct runnel_event)RUNNEL_EVENT_INIT;
    rc = envelope_init(cli, &pub->envelope);
    if (!rc)
        rc = cli_number(cli, OPT_PARTITION, 0, INT32_MAX, -1, &partition);
    if (rc)
        return rc;
    pub->event.partition = (int32_t)partition;
    if (key) {
        pub->event.key = key;
        pub->event.key_len = strlen(key);
    }
    pub->separator = args_value(&cli->args, OPT_KEY_SEPARATOR);
    if (pub->separator && (!pub->by_lines || !*pub->separator))
        return cli_usage("write --lines -K :", "-K needs --lines and a separator");
    if (time && (!parse_time_ms(*time == '@' ? time + 1 : time, cli_now_ms(), &pub->event.timestamp_ms) ||
                 pub->event.timestamp_ms < 0))
        return cli_usage("write 2026-11-21T02:11:37Z, Unix milliseconds, or -15m", "'%s' is not a time",
                         time);
    return EXIT_DONE;
}

static int pub_open(struct pub *pub)
{
    struct cli *cli = pub->cli;
    const char *acks = args_value(&cli->args, OPT_ACKS), *codec = args_value(&cli->args, OPT_COMPRESS);
    runnel_options *options;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    options = cli_options();
    if (acks)
        cli_option(options, "acks", acks);
    if (codec)
        cli_option(options, "compression", codec);
    pub->producer = runnel_producer_new(cli->client, pub->topic, options, pub_on_delivery, pub);
    runnel_options_free(options);
    if (!pub->producer)
        return cli_fail_client(cli, pub->topic);
    if (pub->event.partition >= runnel_producer_partitions(pub->producer))
        return cli_fail(EXIT_NOT_FOUND, cli_topic(pub->topic), "see `runnel topic describe`",
                        "no partition %d: the topic has %d", (int)pub->event.partition,
                        (int)runnel_producer_partitions(pub->producer));
    return EXIT_DONE;
}

static int pub_run(struct cli *cli)
{
    const char *payload = cli->args.operand_count > 1 ? cli->args.operands[1] : NULL;
    struct pub pub = { .cli = cli,
                       .topic = cli->args.operands[0],
                       .by_lines = args_flag(&cli->args, OPT_LINES) };
    int rc = pub_prepare(&pub);

    if (!rc)
        rc = pub_open(&pub);
    if (rc) {
        envelope_free(&pub.envelope);
        return rc;
    }
    cli->out.survive =
        true; /* what was begun is published, whether or not somebody reads the acknowledgements */
    progress_begin(&pub.progress, cli->progress && pub.by_lines && !isatty(STDIN_FILENO), "events", 0);
    rc = pub.by_lines ? pub_by_lines(&pub, payload) : pub_one(&pub, payload);
    pub_report(&pub);
    if (pub.by_lines)
        out_items_end(&cli->out);
    if (rc == EXIT_DONE)
        rc = pub_result(&pub);
    runnel_producer_close(pub.producer, 0);
    for (uint64_t line = pub.reported; line < pub.read; line++)
        free(pub_slot(&pub, line)->text);
    free(pub.slots);
    envelope_free(&pub.envelope);
    return rc;
}

static const struct option pub_options[] = {
    { OPT_LINES, 0, "lines", NULL, NULL, false, "each line of standard input (or of @FILE) is an event" },
    { OPT_KEY, 'k', "key", "KEY", NULL, false, "the key; events of one key keep their order" },
    { OPT_KEY_SEPARATOR, 'K', "key-separator", "SEP", NULL, false,
      "with --lines: what stands before the first SEP in a line is its key" },
    { OPT_HEADER, 'H', "header", "NAME=VALUE", NULL, true, "a header; may be given many times" },
    { OPT_PARTITION, 'p', "partition", "N", NULL, false, "this partition (else by key, or in turn)" },
    { OPT_ACKS, 0, "acks", "MODE", "durable|memory|none", false,
      "acknowledged when on stable storage (durable, the default), when the broker has it, or never" },
    { OPT_TYPE, 0, "type", "TYPE", NULL, false, "event_type (else the topic's name)" },
    { OPT_ID, 0, "id", "ID", NULL, false,
      "event_id: v4 (a random UUID, the default), v7 (ordered by time), content (the same event has the same "
      "id), or this id" },
    { OPT_CORRELATION, 0, "correlation-id", "ID", NULL, false,
      "the flow that the event belongs to; new: a new one" },
    { OPT_CAUSATION, 0, "causation-id", "ID", NULL, false, "the event that it follows from" },
    { OPT_SOURCE, 0, "source", "SERVICE[/INSTANCE]", NULL, false,
      "where it comes from (else $RUNNEL_SERVICE, $RUNNEL_INSTANCE); or a URI" },
    { OPT_SUBJECT, 0, "subject", "TYPE/ID", NULL, false, "entity: what it is about, e.g. task/T-1" },
    { OPT_ACTOR, 0, "actor", "NAME", NULL, false, "who did it (else $RUNNEL_ACTOR)" },
    { OPT_TENANT, 0, "tenant", "ID", NULL, false, "tenant_id (else $RUNNEL_TENANT)" },
    { OPT_SESSION, 0, "session", "KEY", NULL, false, "session_key (else $RUNNEL_SESSION)" },
    { OPT_USER, 0, "user", "ID", NULL, false, "user_id (else $RUNNEL_USER)" },
    { OPT_PRIORITY, 0, "priority", "P", NULL, false, "0 (highest) to 9; P0 is the same as 0" },
    { OPT_SCHEMA_VERSION, 0, "schema-version", "VERSION", NULL, false,
      "version of the payload's schema, e.g. 1.2.0" },
    { OPT_PROFILE, 0, "profile", "NAME", "canonical|mesh|omninode|rfc", false,
      "each event is an envelope in JSON, of this shape: take the event out of it" },
    { OPT_BARE, 0, "bare", NULL, NULL, false, "no envelope: only the headers that -H gives" },
    { OPT_COMPRESS, 0, "compress", "CODEC", "none|lz4|zstd", false, "compress batches" },
    { OPT_TIMESTAMP, 0, "timestamp", "TIME", NULL, false, "the events' time (else now)" },
    { 0 },
};

const struct command pub_command = {
    .noun = "pub",
    .operands = "TOPIC [PAYLOAD|@FILE|-]",
    .operands_min = 1,
    .operands_max = 2,
    .complete = COMPLETE_TOPIC,
    .summary = "publish an event, or one for each line of the input",
    .text =
        "The payload is the text behind the topic, the contents of FILE, or (with - or nothing) standard "
        "input "
        "up to its end. A missing topic is made.\n\n"
        "Every event gets an envelope (docs/envelope.md): an id, a type, a time, and where it comes from, as "
        "CloudEvents headers; -H with the name of one of these sets it. In a command run by `runnel sub "
        "--exec`, the event that it handles becomes the cause.\n\n"
        "With -o jsonl, an object for each acknowledged event comes out as soon as the broker has "
        "acknowledged "
        "it and all before it, in the input's order: "
        "{\"topic\",\"partition\",\"offset\",\"line\",\"event_id\"}. Lines "
        "that "
        "failed are listed on stderr; the exit code is 7 when some failed, 1 when all did. When the broker "
        "goes away, events wait for it to come back (two minutes, or --timeout); none is lost or stored "
        "twice. When nobody reads the output any more, publishing goes on.",
    .options = pub_options,
    .examples = { { "runnel pub orders '{\"id\":17}' -k customer-4", "one event, with a key" },
                  { "runnel pub orders --lines < orders.jsonl", "one event for each line" },
                  { "tail -F app.log | runnel pub logs --lines -o jsonl",
                    "follow a file, see what is stored" },
                  { "runnel pub orders @order.json --type order.placed --id content",
                    "publishing it again gives the same id" } },
    .run = pub_run,
};
