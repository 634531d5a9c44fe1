/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/observe.c: `runnel health`, `runnel stat` and `runnel version`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"

/* ---- health ---- */

static const char *const health_words[] = { "ok", "degraded", "failed" };
static const struct out_column health_columns[] = { { "check", false },
                                                    { "status", false },
                                                    { "text", false } };

static const char *health_word(int status)
{
    return status >= 0 && status <= 2 ? health_words[status] : "unknown";
}

static void health_row(void *ctx, const char *check, int status, const char *text)
{
    struct out *out = ctx;

    out_cell(out, check);
    out_cell(out, health_word(status));
    out_cell(out, text);
}

static int health_run(struct cli *cli)
{
    struct out *out = &cli->out;
    int64_t round_trip_us;
    int status, rc;

    if (!cli->timeout_text)
        cli->timeout_text =
            "2000"; /* who asks wants to know now; other commands wait longer for a broker to start */
    rc = cli_connect(cli);
    if (rc)
        return rc;
    round_trip_us = runnel_ping(cli->client);
    if (round_trip_us < 0)
        return cli_fail_client(cli, NULL);
    if (out_is_json(out)) {
        out_json_open(out, NULL, '{');
        out_json_text(out, "version", runnel_broker_version(cli->client));
        out_json_number(out, "round_trip_us", round_trip_us);
    }
    out_rows_begin(out, "checks", health_columns, 3);
    status = runnel_health(cli->client, health_row, out);
    out->failed = status < 0;
    out_rows_end(out);
    if (out_is_json(out)) {
        out_json_text(out, "status", status < 0 ? "unknown" : health_word(status));
        out_json_close(out, '}');
    }
    if (status < 0)
        return cli_fail_client(cli, NULL);
    out_flush(out);
    if (!out_is_json(out))
        cli_note(cli, "%s: runneld %s answers in %lld us", health_word(status),
                 runnel_broker_version(cli->client), (long long)round_trip_us);
    return status == 0 ? EXIT_DONE : EXIT_FAILED;
}

const struct command health_command = {
    .noun = "health",
    .operands = "",
    .summary = "is the broker well?",
    .text = "Exit code 0: all checks are ok; 1: the broker answers, and a check is degraded or failed; 6: it "
            "cannot be "
            "reached within --timeout (2s).",
    .examples = { { "runnel health", "each check" },
                  { "runnel health -q > /dev/null && echo well", "in scripts" },
                  { "runnel health -o json --timeout 2s", "for monitoring" } },
    .run = health_run,
};

/* ---- stat ---- */

struct figure {
    char *room, *name;
    int kind; /* 0 counter, 1 gauge */
    uint64_t value, before;
};

struct figures {
    struct figure *rows;
    size_t count, size;
    size_t at;  /* of this round */
    bool known; /* an earlier round was kept: rates can be told */
};

static const struct out_column stat_columns[] = {
    { "room", false }, { "name", false }, { "value", true }, { "per_second", true }
};

static char *text_copy(const char *text)
{
    return cli_copy(text, strlen(text) + 1);
}

static void stat_row(void *ctx, const char *room, const char *name, int kind, uint64_t value)
{
    struct figures *figures = ctx;
    struct figure *row;

    if (figures->at == figures->size) {
        figures->size = figures->size ? figures->size * 2 : 128;
        figures->rows = cli_realloc(figures->rows, figures->size * sizeof(*figures->rows));
    }
    row = &figures->rows[figures->at++];
    if (figures->at > figures->count) { /* the first round, or a figure that is new */
        *row = (struct figure){ text_copy(room), text_copy(name), kind, value, value };
        figures->count = figures->at;
    } else if (strcmp(row->room, room) != 0 || strcmp(row->name, name) != 0) {
        free(row->room);
        free(row->name);
        *row = (struct figure){ text_copy(room), text_copy(name), kind, value, value };
    }
    row->before = row->value;
    row->value = value;
}

/* {room: {name: value}}; the broker tells a room's figures one after the other. */
static void stat_json(struct out *out, const struct figures *figures)
{
    const char *room = NULL;

    out_json_open(out, NULL, '{');
    for (size_t i = 0; i < figures->at; i++) {
        const struct figure *row = &figures->rows[i];
        if (!room || strcmp(room, row->room) != 0) {
            if (room)
                out_json_close(out, '}');
            out_json_open(out, row->room, '{');
            room = row->room;
        }
        out_json_unsigned(out, row->name, row->value);
    }
    if (room)
        out_json_close(out, '}');
    out_json_close(out, '}');
}

static void stat_rows(struct out *out, const struct figures *figures, int64_t elapsed_ms)
{
    out_rows_begin(out, NULL, stat_columns, figures->known ? 4 : 3);
    for (size_t i = 0; i < figures->at; i++) {
        const struct figure *row = &figures->rows[i];
        out_cell(out, row->room);
        out_cell(out, row->name);
        out_cell_number(out, (int64_t)row->value);
        if (!figures->known)
            continue;
        if (row->kind == 0 && row->value >= row->before && elapsed_ms > 0)
            out_cell_number(out, (int64_t)((double)(row->value - row->before) * 1000 / (double)elapsed_ms));
        else
            out_cell(out, NULL);
    }
    out_rows_end(out);
}

static int stat_once(struct cli *cli, struct figures *figures, int64_t elapsed_ms)
{
    figures->at = 0;
    if (runnel_stat(cli->client, stat_row, figures) < 0)
        return cli_fail_client(cli, NULL);
    if (out_is_json(&cli->out))
        stat_json(&cli->out, figures);
    else
        stat_rows(&cli->out, figures, elapsed_ms);
    out_flush(&cli->out);
    figures->known = true;
    return EXIT_DONE;
}

/* Waits for the next round; true when ^C came first. */
static bool stat_pause(struct cli *cli, int64_t until_ms)
{
    int64_t left;
    int error;

    while ((left = until_ms - cli_monotonic_ms()) > 0 && !cli_interrupted())
        cli_wait(cli, -1, (int)left, &error);
    return cli_interrupted();
}

static int stat_run(struct cli *cli)
{
    struct figures figures = { 0 };
    int64_t watch_ms, before_ms, now_ms;
    int rc = cli_duration(cli, OPT_WATCH, 0, &watch_ms);

    if (!rc && watch_ms > INT32_MAX)
        rc = cli_usage("24d is the most", "--watch is too long");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    before_ms = cli_monotonic_ms();
    rc = stat_once(cli, &figures, 0);
    while (!rc && watch_ms > 0) {
        cli_interrupt_softly();
        if (stat_pause(cli, before_ms + watch_ms))
            break;
        now_ms = cli_monotonic_ms();
        cli_interrupt_hard();
        if (cli->out.format == OUT_TABLE)
            out_string(&cli->out, "\033[H\033[2J"); /* the next table in place of this one */
        rc = stat_once(cli, &figures, now_ms - before_ms);
        before_ms = now_ms;
    }
    for (size_t i = 0; i < figures.count; i++) {
        free(figures.rows[i].room);
        free(figures.rows[i].name);
    }
    free(figures.rows);
    return rc;
}

static const struct option stat_options[] = {
    { OPT_WATCH, 'w', "watch", "DURATION", NULL, false, "again and again, with rates, e.g. 1s" },
    { 0 },
};

const struct command stat_command = {
    .noun = "stat",
    .operands = "",
    .summary = "every figure that the broker keeps",
    .text =
        "JSON: {\"room\": {\"name\": value}}. With --watch, -o json and -o jsonl give one object per round.",
    .options = stat_options,
    .examples = { { "runnel stat", "all figures" },
                  { "runnel stat --watch 1s", "with rates, until ^C" },
                  { "runnel stat -o json | jq .journal", "one room's" } },
    .run = stat_run,
};

/* ---- version ---- */

static const struct out_column version_columns[] = { { "program", false }, { "version", false } };

static int version_run(struct cli *cli)
{
    struct out *out = &cli->out;
    const char *broker = NULL;
    int rc = EXIT_DONE;

    if (args_flag(&cli->args, OPT_BROKER)) {
        rc = cli_connect(cli);
        broker = rc ? NULL : runnel_broker_version(cli->client);
    }
    if (out_is_json(out)) {
        out_json_open(out, NULL, '{');
        out_json_text(out, "runnel", RUNNEL_VERSION);
        out_json_text(out, "librunnel", runnel_version());
        if (broker)
            out_json_text(out, "runneld", broker);
        out_json_close(out, '}');
        return rc;
    }
    out->header = false; /* what scripts and people expect: `runnel 0.1.0` */
    out->format = OUT_TABLE;
    out_rows_begin(out, NULL, version_columns, 2);
    out_cell(out, "runnel");
    out_cell(out, RUNNEL_VERSION);
    out_cell(out, "librunnel");
    out_cell(out, runnel_version());
    if (broker) {
        out_cell(out, "runneld");
        out_cell(out, broker);
    }
    out_rows_end(out);
    return rc;
}

static const struct option version_options[] = {
    { OPT_BROKER, 0, "broker", NULL, NULL, false, "ask the broker for its version, too" },
    { 0 },
};

const struct command version_command = {
    .noun = "version",
    .operands = "",
    .summary = "the versions of this command, the library and the broker",
    .text = "",
    .options = version_options,
    .examples = { { "runnel version", "of the command and its library" },
                  { "runnel version --broker", "and of the broker" },
                  { "runnel version -o json", "for scripts" } },
    .run = version_run,
};
