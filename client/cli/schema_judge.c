/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/schema_judge.c: `runnel schema check|validate|diff`: what a schema would mean, before anything is
 * changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/schema.h"

/* ---- check ---- */

static const struct out_column check_columns[] = {
    { "version", true }, { "compatibility", false }, { "change", false }, { "path", false }
};

static void check_row(void *ctx, const struct runnel_schema_objection *objection)
{
    struct out *out = ctx;

    out_cell_number(out, objection->version);
    out_cell(out, objection->forward ? "forward" : "backward");
    out_cell(out, objection->change);
    out_cell(out, objection->path);
}

static int schema_check(struct cli *cli)
{
    const char *subject = cli->args.operands[0];
    struct schema_input input;
    uint32_t version;
    int verdict = 0, rc = schema_input_read(cli, cli->args.operands[1], &input);

    if (!rc)
        rc = schema_version(args_value(&cli->args, OPT_AGAINST), &version);
    if (!rc)
        rc = cli_connect(cli);
    if (!rc) {
        out_rows_begin(&cli->out, NULL, check_columns, 4);
        verdict = runnel_schema_check(cli->client, subject, version, &input.schema, check_row, &cli->out);
        if (verdict < 0)
            rc = cli_fail_about(cli, schema_subject(subject));
        cli->out.failed = verdict != 1;
        out_rows_end(&cli->out);
    }
    schema_input_free(&input);
    if (!rc && verdict)
        return cli_fail(EXIT_REFUSED, schema_subject(subject),
                        "keep old and new data readable, or see `runnel schema compat`",
                        "the schema is not compatible with the versions before it");
    if (!rc)
        cli_note(cli, "compatible");
    return rc;
}

static const struct option check_options[] = {
    { OPT_REFERENCE, 0, "reference", "NAME=SUBJECT:VERSION", NULL, true,
      "what a $ref in the schema means; may be given many times" },
    { OPT_AGAINST, 0, "against", "VERSION", NULL, false,
      "this version, instead of those that the level names" },
    { 0 },
};

const struct command schema_check_command = {
    .noun = "schema",
    .verb = "check",
    .operands = "SUBJECT FILE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "may a schema become the next version of a subject?",
    .text = "Nothing is changed. Lists what speaks against it and exits with 4; with 0 it may. A change's "
            "name is the "
            "one that Confluent's registry gives it.",
    .options = check_options,
    .examples = { { "runnel schema check orders-value order.json", "in a pull request" },
                  { "runnel schema check orders-value order.json --against 1", "compared with version 1" },
                  { "runnel schema check orders-value order.json -o json", "for a program" } },
    .run = schema_check,
};

/* ---- validate ---- */

static const struct out_column validate_columns[] = {
    { "line", true }, { "path", false }, { "keyword", false }, { "expected", false }, { "found", false }
};

struct validating {
    struct cli *cli;
    runnel_validator *validator;
    size_t line;
    size_t checked, bad;
};

static void validate_row(void *ctx, const struct runnel_schema_fault *fault)
{
    struct validating *v = ctx;
    struct out *out = &v->cli->out;

    out_cell_number(out, (int64_t)v->line);
    out_cell(out, fault->path);
    out_cell(out, fault->keyword);
    out_cell(out, fault->expected);
    out_cell(out, fault->found);
}

static void validate_event(struct validating *v, const char *event, size_t len)
{
    char why[512];
    const int rc = runnel_validator_check(v->validator, event, len, validate_row, v, why, sizeof(why));

    v->checked++;
    v->bad += rc != 0;
    if (rc >= 0)
        return;
    out_cell_number(&v->cli->out, (int64_t)v->line);
    out_cell(&v->cli->out, "$");
    out_cell(&v->cli->out, runnel_error_name(rc));
    out_cell(&v->cli->out, NULL);
    out_cell(&v->cli->out, why);
}

static int validator_open(struct validating *v, const char *subject)
{
    const char *path = args_value(&v->cli->args, OPT_SCHEMA);
    char why[512], *text = NULL;
    size_t len = 0;
    int rc;

    if (!path) {
        rc = cli_connect(v->cli);
        if (!rc && runnel_validator_open(v->cli->client, subject, 0, &v->validator) < 0)
            rc = cli_fail_about(v->cli, schema_subject(subject));
        return rc;
    }
    rc = cli_read_all(path, &text, &len);
    if (!rc) {
        const int error = runnel_validator_new(text, len, &v->validator, why, sizeof(why));
        if (error)
            rc = cli_fail(cli_exit_of(error), path, runnel_error_fix(error), "%s", why);
    }
    free(text);
    return rc;
}

static void validate_lines(struct validating *v, const char *text, size_t len)
{
    const char *end = text + len;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));

        stop = stop ? stop : end;
        v->line++;
        if (stop > text)
            validate_event(v, text, (size_t)(stop - text));
        text = stop + (stop < end);
    }
}

static int schema_validate(struct cli *cli)
{
    const bool own = args_flag(&cli->args, OPT_SCHEMA);
    struct validating v = { .cli = cli };
    char *text = NULL;
    size_t len = 0;
    int rc;

    if (cli->args.operand_count != (own ? 1 : 2))
        return cli_usage("write SUBJECT FILE, or --schema FILE EVENT-FILE",
                         "which schema, or which event, is unclear");
    const char *path = cli->args.operands[own ? 0 : 1];
    rc = validator_open(&v, cli->args.operands[0]);
    if (!rc)
        rc = cli_read_all(strcmp(path, "-") != 0 ? path : NULL, &text, &len);
    if (!rc) {
        out_rows_begin(&cli->out, NULL, validate_columns, 5);
        if (args_flag(&cli->args, OPT_LINES)) {
            validate_lines(&v, text, len);
        } else {
            v.line = 1;
            validate_event(&v, text, len);
        }
        cli->out.failed = !v.bad;
        out_rows_end(&cli->out);
        if (v.bad)
            rc = cli_fail(v.bad < v.checked ? EXIT_PARTLY : EXIT_REFUSED, path, "correct what is listed",
                          "%zu of %zu events do not fit the schema", v.bad, v.checked);
    }
    free(text);
    runnel_validator_free(v.validator);
    return rc;
}

static const struct option validate_options[] = {
    { OPT_LINES, 'l', "lines", NULL, NULL, false, "every line is an event" },
    { OPT_SCHEMA, 0, "schema", "FILE", NULL, false,
      "a schema at hand, instead of a subject's: no broker is asked" },
    { 0 },
};

const struct command schema_validate_command = {
    .noun = "schema",
    .verb = "validate",
    .operands = "[SUBJECT] FILE",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "check events against a schema",
    .text = "By the broker's own code, before anything is published. FILE - is standard input. Exits with 4 "
            "when no event "
            "fits, with 7 when some do not.",
    .options = validate_options,
    .examples = { { "runnel schema validate orders-value event.json",
                    "against the subject's latest version" },
                  { "runnel schema validate --schema order.json --lines events.jsonl", "without a broker" },
                  { "runnel read orders --raw | runnel schema validate orders-value - --lines",
                    "what is stored already" } },
    .run = schema_validate,
};

/* ---- diff ---- */

static const struct out_column diff_columns[] = { { "change", false },
                                                  { "path", false },
                                                  { "effect", false } };

static void diff_row(void *ctx, const char *change, const char *path, int effect)
{
    static const char *const effects[] = { "note", "compatible", "breaks" };
    struct out *out = ctx;

    out_cell(out, change);
    out_cell(out, path);
    out_cell(out, effects[effect]);
}

/* A file, or SUBJECT[:VERSION]. */
static int diff_text(struct cli *cli, const char *word, char **text, size_t *len)
{
    char *copy = cli_keep(word), *colon = strrchr(copy, ':');
    struct runnel_schema *schema;
    uint32_t version = 0;
    int rc;

    if (!strcmp(word, "-") || access(word, F_OK) == 0)
        return cli_read_all(strcmp(word, "-") != 0 ? word : NULL, text, len);
    if (colon) {
        *colon = '\0';
        rc = schema_version(colon + 1, &version);
        if (rc)
            return rc;
    }
    rc = cli->client ? EXIT_DONE : cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_schema_get(cli->client, copy, version, 0, 1, &schema) < 0)
        return cli_fail_about(cli, schema_subject(copy));
    *len = schema->schema.text_len;
    *text = cli_copy(schema->schema.text, *len);
    runnel_schema_free(schema);
    return EXIT_DONE;
}

static int schema_diff(struct cli *cli)
{
    static const char *const bumps[] = { "none", "patch", "minor", "major" };
    char *old = NULL, *new = NULL, why[512];
    size_t old_len = 0, new_len = 0;
    int rc = diff_text(cli, cli->args.operands[0], &old, &old_len), bump = 0;

    if (!rc)
        rc = diff_text(cli, cli->args.operands[1], &new, &new_len);
    if (!rc) {
        if (out_is_json(&cli->out))
            out_json_open(&cli->out, NULL, '{');
        out_rows_begin(&cli->out, out_is_json(&cli->out) ? "changes" : NULL, diff_columns, 3);
        bump = runnel_schema_diff(old, old_len, new, new_len, diff_row, &cli->out, why, sizeof(why));
        cli->out.failed = bump <= 0 && !out_is_json(&cli->out);
        out_rows_end(&cli->out);
        if (out_is_json(&cli->out)) {
            out_json_text(&cli->out, "bump", bump < 0 ? NULL : bumps[bump]);
            out_json_close(&cli->out, '}');
        }
        if (bump < 0)
            rc = cli_fail(cli_exit_of(bump), NULL, runnel_error_fix(bump), "%s", why);
        else
            cli_note(cli, "the version number owes its readers: %s", bumps[bump]);
    }
    free(old);
    free(new);
    return rc;
}

const struct command schema_diff_command = {
    .noun = "schema",
    .verb = "diff",
    .operands = "OLD NEW",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "what changed from one schema to the next, and which version number that needs",
    .text = "OLD and NEW are files, or SUBJECT[:VERSION]. A change breaks when data that fits OLD may not "
            "fit NEW: that is "
            "a major version; one that does not is a minor one; titles and descriptions are a patch. Files "
            "are compared "
            "without a broker; they refer to nothing outside of themselves.",
    .examples = { { "runnel schema diff order.v1.json order.v2.json", "two files" },
                  { "runnel schema diff orders-value order.json -o json",
                    "the latest version, and a candidate" },
                  { "runnel schema diff orders-value:1 orders-value:3", "two versions" } },
    .run = schema_diff,
};
