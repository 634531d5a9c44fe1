/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/schema_change.c: `runnel schema compat|delete`.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/schema.h"

/* ---- compat ---- */

static const struct out_column compat_columns[] = { { "subject", false },
                                                    { "level", false },
                                                    { "own", false } };

static int schema_compat(struct cli *cli)
{
    const char *subject = cli->args.operand_count ? cli->args.operands[0] : "";
    const char *level = cli->args.operand_count > 1 ? cli->args.operands[1] : NULL, *own, *counts;
    const bool all = !*subject || !strcmp(subject, "-");
    int rc = cli_connect(cli);

    if (rc)
        return rc;
    if (level && !strcmp(level, "inherit"))
        level = "";
    if (runnel_schema_level(cli->client, all ? "" : subject, level, &own, &counts) < 0)
        return cli_fail_about(cli, all ? "the registry" : schema_subject(subject));
    out_rows_begin(&cli->out, NULL, compat_columns, 3);
    out_cell(&cli->out, all ? "-" : subject);
    out_cell(&cli->out, counts);
    out_cell_bool(&cli->out, *own);
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

const struct command schema_compat_command = {
    .noun = "schema",
    .verb = "compat",
    .operands = "[SUBJECT [LEVEL]]",
    .operands_max = 2,
    .summary = "show or set the level of compatibility",
    .text = "BACKWARD: new readers can read data of the latest version; FORWARD: old readers can read new "
            "data; FULL: "
            "both; with _TRANSITIVE: of all versions; NONE: anything goes. Without SUBJECT, or with -, the "
            "registry's own "
            "level, which counts for subjects that have none; LEVEL inherit takes a subject's own away.",
    .examples = { { "runnel schema compat orders-value FULL", "set it" },
                  { "runnel schema compat - BACKWARD_TRANSITIVE", "the registry's own" },
                  { "runnel schema compat orders-value", "show what counts" } },
    .run = schema_compat,
};

/* ---- delete ---- */

static const struct out_column delete_columns[] = { { "subject", false },
                                                    { "version", false },
                                                    { "status", false } };

static int schema_delete(struct cli *cli)
{
    const char *subject = cli->args.operands[0];
    const char *number = cli->args.operand_count > 1 ? cli->args.operands[1] : NULL;
    const bool permanent = args_flag(&cli->args, OPT_PERMANENT);
    char question[400];
    uint32_t version;
    int rc = schema_version(number, &version);

    if (!rc && number && !version)
        rc = cli_usage("write a version's number, or only the subject",
                       "'latest' is not deleted by that name");
    if (rc)
        return rc;
    snprintf(question, sizeof(question), "delete %s%s%s%s", schema_subject(subject),
             version ? ", version " : "", version ? number : "", permanent ? ", for good" : "");
    rc = cli_confirm(cli, question);
    if (!rc)
        rc = cli_connect(cli);
    if (rc)
        return rc;
    if (runnel_schema_delete(cli->client, subject, version, permanent) < 0)
        return cli_fail_about(cli, schema_subject(subject));
    out_rows_begin(&cli->out, NULL, delete_columns, 3);
    out_cell(&cli->out, subject);
    out_cell(&cli->out, version ? number : "all");
    out_cell(&cli->out, permanent ? "deleted for good" : "deleted");
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

static const struct option delete_options[] = {
    { OPT_PERMANENT, 0, "permanent", NULL, NULL, false, "for good, what is deleted already" },
    { OPT_YES, 'y', "yes", NULL, NULL, false, "do not ask" },
    { 0 },
};

const struct command schema_delete_command = {
    .noun = "schema",
    .verb = "delete",
    .operands = "SUBJECT [VERSION]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "delete a version, or a subject",
    .text = "Deleted versions are not listed any more, but can still be had by their id, and with --deleted: "
            "events that "
            "were written with them stay readable. With --permanent they are gone. What another schema "
            "refers to is not "
            "deleted.",
    .options = delete_options,
    .examples = { { "runnel schema delete orders-value 2 --yes", "one version" },
                  { "runnel schema delete orders-value --permanent --yes", "then all of it, for good" },
                  { "runnel schema delete orders-value", "all versions, after a question" } },
    .run = schema_delete,
};
