/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/schema.c: `runnel schema register|list|get`, and what all of `runnel schema` shares.
 */
#include "client/cli/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/parse.h"

/* ---- shared ---- */

const char *schema_subject(const char *subject)
{
    static char where[320];

    snprintf(where, sizeof(where), "subject %s", subject);
    return where;
}

int schema_version(const char *text, uint32_t *version)
{
    int64_t number = 0;

    if (text && strcmp(text, "latest") != 0 && !parse_number(text, 1, UINT32_MAX, &number))
        return cli_usage("write a number from 1 on, or 'latest'", "'%s' is not a version", text);
    *version = (uint32_t)number;
    return EXIT_DONE;
}

/* NAME=SUBJECT:VERSION, from behind: names are URIs and have colons themselves. */
static int reference_parse(const char *text, struct runnel_schema_reference *reference)
{
    char *copy = cli_keep(text), *colon = strrchr(copy, ':'), *equals = strrchr(copy, '=');

    if (!equals || !colon || colon < equals || schema_version(colon + 1, &reference->version))
        return cli_usage("write --reference NAME=SUBJECT:VERSION, NAME as $ref has it",
                         "'%s' is not a reference", text);
    *equals = *colon = '\0';
    reference->name = copy;
    reference->subject = equals + 1;
    return EXIT_DONE;
}

int schema_input_read(struct cli *cli, const char *path, struct schema_input *input)
{
    size_t i = 0, count = 0;
    const char *text;
    int rc;

    *input = (struct schema_input){ .text = NULL };
    while ((text = args_each(&cli->args, OPT_REFERENCE, &i))) {
        if (count == SCHEMA_REFERENCES_MAX)
            return cli_usage("leave some out", "more than %d references", SCHEMA_REFERENCES_MAX);
        rc = reference_parse(text, &input->references[count++]);
        if (rc)
            return rc;
    }
    rc = cli_read_all(strcmp(path, "-") != 0 ? path : NULL, &input->text, &input->len);
    input->schema = (struct runnel_schema_text){ input->text, input->len, input->references, count };
    return rc;
}

void schema_input_free(struct schema_input *input)
{
    free(input->text);
}

/* ---- register ---- */

static const struct out_column register_columns[] = {
    { "subject", false }, { "version", true }, { "id", true }, { "status", false }
};

static int schema_register(struct cli *cli)
{
    const char *subject = cli->args.operands[0];
    struct schema_input input;
    uint32_t version, id;
    int made = 0, rc = schema_input_read(cli, cli->args.operands[1], &input);

    if (!rc)
        rc = cli_connect(cli);
    if (!rc) {
        made = runnel_schema_register(cli->client, subject, &input.schema, args_flag(&cli->args, OPT_FORCE),
                                      &version, &id);
        if (made < 0)
            rc = cli_fail_about(cli, schema_subject(subject));
    }
    schema_input_free(&input);
    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, register_columns, 4);
    out_cell(&cli->out, subject);
    out_cell_number(&cli->out, version);
    out_cell_number(&cli->out, id);
    out_cell(&cli->out, made ? "registered" : "known");
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

static const struct option register_options[] = {
    { OPT_REFERENCE, 0, "reference", "NAME=SUBJECT:VERSION", NULL, true,
      "what a $ref in the schema means; may be given many times" },
    { OPT_FORCE, 0, "force", NULL, NULL, false, "without asking whether it is compatible" },
    { 0 },
};

const struct command schema_register_command = {
    .noun = "schema",
    .verb = "register",
    .operands = "SUBJECT FILE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "make a schema the next version of a subject",
    .text = "A JSON Schema, draft 2020-12 or 7. It must be compatible with the versions before it, as the "
            "subject's "
            "level says (`runnel schema compat`). The same schema again is the same version. FILE - is "
            "standard input.",
    .options = register_options,
    .examples = { { "runnel schema register orders-value order.json", "the next version" },
                  { "runnel schema register orders-value order.json --reference money.json=money:1",
                    "with what its $ref means" },
                  { "runnel schema get orders-value | runnel schema register orders-copy -",
                    "from another subject" } },
    .run = schema_register,
};

/* ---- list ---- */

static const struct out_column list_columns[] = { { "subject", false }, { "version", true },
                                                  { "id", true },       { "type", false },
                                                  { "bytes", true },    { "level", false },
                                                  { "created", false }, { "deleted", false } };

static int list_row(void *ctx, const struct runnel_schema_row *row)
{
    struct out *out = ctx;

    out_cell(out, row->subject);
    out_cell_number(out, row->version);
    out_cell_number(out, row->id);
    out_cell(out, row->type);
    out_cell_number(out, row->bytes);
    out_cell(out, row->level);
    out_cell_time(out, row->created_ms);
    out_cell_bool(out, row->deleted);
    return 0;
}

static int schema_list(struct cli *cli)
{
    const char *pattern = cli->args.operand_count ? cli->args.operands[0] : NULL;
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, list_columns, 8);
    if (runnel_schema_list(cli->client, pattern, args_flag(&cli->args, OPT_DELETED), list_row, &cli->out) < 0)
        rc = cli_fail_client(cli, NULL);
    cli->out.failed = rc || (pattern && !cli->out.rows);
    out_rows_end(&cli->out);
    if (!rc && pattern && !cli->out.rows)
        rc = cli_fail(EXIT_NOT_FOUND, NULL, "`runnel schema list` shows them all", "no subject matches '%s'",
                      pattern);
    return rc;
}

static const struct option list_options[] = {
    { OPT_DELETED, 0, "deleted", NULL, NULL, false, "deleted versions, too" },
    { 0 },
};

const struct command schema_list_command = {
    .noun = "schema",
    .verb = "list",
    .operands = "[PATTERN]",
    .operands_max = 1,
    .summary = "show subjects and their versions",
    .text = "PATTERN: '*' is any run of characters, '?' any one.",
    .options = list_options,
    .examples = { { "runnel schema list 'orders*'", "of some subjects" },
                  { "runnel schema list --deleted", "deleted versions, too" },
                  { "runnel schema list -o jsonl", "an object per line" } },
    .run = schema_list,
};

/* ---- get ---- */

static void get_show(struct cli *cli, const struct runnel_schema *s)
{
    struct out *out = &cli->out;

    if (!out_is_json(out)) {
        out_bytes(out, s->schema.text, s->schema.text_len);
        if (s->schema.text_len && ((const char *)s->schema.text)[s->schema.text_len - 1] != '\n')
            out_literal(out, "\n");
        return;
    }
    out_json_open(out, NULL, '{');
    out_json_text(out, "subject", s->subject);
    out_json_number(out, "version", s->version);
    out_json_number(out, "id", s->id);
    out_json_text(out, "type", s->type);
    out_json_bool(out, "deleted", s->deleted);
    out_json_time(out, "created", s->created_ms);
    out_json_open(out, "references", '[');
    for (size_t i = 0; i < s->schema.reference_count; i++) {
        out_json_open(out, NULL, '{');
        out_json_text(out, "name", s->schema.references[i].name);
        out_json_text(out, "subject", s->schema.references[i].subject);
        out_json_number(out, "version", s->schema.references[i].version);
        out_json_close(out, '}');
    }
    out_json_close(out, ']');
    out_json_text(out, "schema", s->schema.text);
    out_json_close(out, '}');
}

static int schema_get(struct cli *cli)
{
    const char *subject = cli->args.operand_count ? cli->args.operands[0] : NULL;
    struct runnel_schema *schema;
    uint32_t version;
    int64_t id;
    int rc = schema_version(cli->args.operand_count > 1 ? cli->args.operands[1] : NULL, &version);

    if (!rc)
        rc = cli_number(cli, OPT_SCHEMA_ID, 1, UINT32_MAX, 0, &id);
    if (!rc && !subject == !id)
        rc = cli_usage("write SUBJECT [VERSION], or --id N", "which schema is %s",
                       id ? "said twice" : "missing");
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_schema_get(cli->client, subject, version, (uint32_t)id, args_flag(&cli->args, OPT_DELETED),
                          &schema) < 0)
        return cli_fail_about(cli, subject ? schema_subject(subject) : "schema");
    get_show(cli, schema);
    runnel_schema_free(schema);
    return EXIT_DONE;
}

static const struct option get_options[] = {
    { OPT_SCHEMA_ID, 0, "id", "N", NULL, false, "by its id, whatever subject has it" },
    { OPT_DELETED, 0, "deleted", NULL, NULL, false, "also if it is deleted" },
    { 0 },
};

const struct command schema_get_command = {
    .noun = "schema",
    .verb = "get",
    .operands = "[SUBJECT [VERSION]]",
    .operands_max = 2,
    .summary = "print a schema",
    .text = "The text as it was registered; with -o json an object that has it and what is known of it.",
    .options = get_options,
    .examples = { { "runnel schema get orders-value", "the latest version" },
                  { "runnel schema get orders-value 3 -o json", "with id and references" },
                  { "runnel schema get --id 7", "whatever subject has it" } },
    .run = schema_get,
};
