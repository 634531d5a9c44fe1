/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/man.c: man pages and docs/cli.md, out of the commands' tables and the few topics that all commands
 * share.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

/* What concerns all commands. X("heading", "paragraphs") */
#define MAN_TOPICS(X)                                                                                        \
    X("Output",                                                                                              \
      "Data goes to standard output, everything else (errors, notes, progress) to stderr. -o table is for "  \
      "people; where standard output is no terminal it is TSV with a line of headings (--no-header leaves "  \
      "that out): cells hold \\t, \\n, \\\\ and \\xHH for what would break a line. -o json is one "          \
      "document, -o jsonl one object per line. Field names do not change within a major version; new ones "  \
      "may come.\n\n"                                                                                        \
      "Events are {\"topic\",\"partition\",\"offset\",\"timestamp\",\"key\",\"headers\",\"payload\","        \
      "\"payload_encoding\"}. payload_encoding is json when the payload is a JSON object or array, which "   \
      "is "                                                                                                  \
      "put in as it is; utf8 when it is other text, as a string (single JSON numbers and strings, too: "     \
      "they "                                                                                                \
      "would not survive exactly); base64 otherwise. Timestamps are UTC with milliseconds. A key that is "   \
      "not "                                                                                                 \
      "UTF-8 is base64, and \"key_encoding\":\"base64\" says so. Headers are an object; a name that comes "  \
      "more than once has an array, a value that is not UTF-8 is {\"base64\":\"...\"}.\n\n"                  \
      "When the reader of standard output goes away (`runnel read orders | head`), the command ends at "     \
      "once "                                                                                                \
      "with exit code 0; `pub` goes on publishing.")                                                         \
    X("Errors",                                                                                              \
      "One line on stderr: `error: what (where): how to fix`. Errors of the broker and the library carry "   \
      "their name; `runnel errors NAME` says more.")                                                         \
    X("Positions", "Where --from and --to want a position: `start`, `end`, `42` (an offset), `-10` (ten "    \
                   "before the end), "                                                                       \
                   "`@TIME` (the first event at or after it), or `-15m` (that long ago). An offset or a "    \
                   "count means each "                                                                       \
                   "partition's own; `read --last N` counts over all of them.")                              \
    X("Times and durations",                                                                                 \
      "Times: 2026-11-21T02:11:37Z, 2026-11-21T03:11:37.5+01:00, 2026-11-21 (midnight UTC), Unix "           \
      "milliseconds, now, today, yesterday, -15m (ago). Durations: 250ms, 15s, 1h30m, 7d, 2w; the unit is "  \
      "needed.")                                                                                             \
    X("Environment", "RUNNEL_URL: the broker, when -s is not given. tcp://HOST:PORT, HOST:PORT, unix:PATH.")

/* ---- roff ---- */

/* Text with what roff would take for commands defused. */
static void roff_text(struct out *out, const char *text)
{
    bool line_start = true;

    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            out_string(out, "\\&");
        if (*text == '\\')
            out_string(out, "\\e");
        else if (*text == '-')
            out_string(out, "\\-");
        else if (*text == '\n' && text[1] == '\n' && *++text)
            out_string(out, "\n.PP\n");
        else
            out_bytes(out, text, 1);
        line_start = *text == '\n';
    }
    out_string(out, "\n");
}

static void roff_options(struct out *out, const struct option *options)
{
    for (; options && options->id; options++) {
        out_string(out, ".TP\n.B ");
        if (options->letter)
            out_format(out, "\\-%c, ", options->letter);
        out_string(out, "\\-\\-");
        for (const char *c = options->name; *c; c++)
            out_format(out, *c == '-' ? "\\-" : "%c", *c);
        out_format(out, "%s%s\n", options->value ? " " : "", options->value ? options->value : "");
        if (options->choices)
            out_format(out, "%s: ", options->choices);
        roff_text(out, options->help);
    }
}

static void roff_command(struct out *out, const struct command *command)
{
    roff_text(out, command->summary);
    if (*command->text) {
        out_string(out, ".PP\n");
        roff_text(out, command->text);
    }
    roff_options(out, command->options);
    out_string(out, ".PP\nExamples:\n");
    for (size_t i = 0; i < EXAMPLES_MAX && command->examples[i].command; i++) {
        out_string(out, ".PP\n");
        roff_text(out, command->examples[i].what);
        out_string(out, ".nf\n.RS\n");
        roff_text(out, command->examples[i].command);
        out_string(out, ".RE\n.fi\n");
    }
}

static void roff_head(struct out *out, const char *noun)
{
    out_format(out, ".TH RUNNEL%s%s 1 \"\" \"runnel %s\" \"Runnel\"\n.SH NAME\n", *noun ? "\\-" : "", noun,
               RUNNEL_VERSION);
}

static void roff_tail(struct out *out)
{
    out_string(out, ".SH GENERAL OPTIONS\n");
    roff_options(out, args_general);
    out_string(out, ".SH EXIT CODES\n");
#define X(name, code, meaning) out_format(out, ".TP\n.B %d\n%s\n", code, meaning);
    CLI_EXITS(X)
#undef X
    out_string(out, ".SH SEE ALSO\nrunnel(1), runneld(8)\n");
}

static int man_overview(struct out *out)
{
    roff_head(out, "");
    out_string(out, "runnel \\- use and administer a Runnel event broker\n.SH SYNOPSIS\n"
                    ".B runnel\n[\\-s URL] [\\-o table|json|jsonl] COMMAND [OPTION]...\n.SH COMMANDS\n");
    for (size_t i = 0; args_commands[i]; i++) {
        char name[64];
        args_name(args_commands[i], name, sizeof(name));
        out_string(out, ".TP\n.B ");
        roff_text(out, name);
        roff_text(out, args_commands[i]->summary);
    }
#define X(heading, text)                                                                                     \
    out_string(out, ".SH " heading "\n");                                                                    \
    roff_text(out, text);
    MAN_TOPICS(X)
#undef X
    roff_tail(out);
    return EXIT_DONE;
}

int man_page(struct out *out, const char *noun)
{
    bool any = false;

    if (!noun)
        return man_overview(out);
    for (size_t i = 0; args_commands[i]; i++) {
        const struct command *command = args_commands[i];
        char usage[256], name[64];
        if (strcmp(command->noun, noun) != 0)
            continue;
        if (!any) {
            roff_head(out, noun);
            out_format(out, "runnel\\-%s \\- %s\n", noun,
                       command->verb ? "work with topics" : command->summary);
        }
        any = true;
        args_name(command, name, sizeof(name));
        args_usage(command, usage, sizeof(usage));
        out_format(out, ".SH runnel %s\n.nf\n", name);
        roff_text(out, usage);
        out_string(out, ".fi\n.PP\n");
        roff_command(out, command);
    }
    if (!any)
        return cli_fail(EXIT_NOT_FOUND, noun, "see `runnel help`", "no such command");
    roff_tail(out);
    return EXIT_DONE;
}

/* ---- Markdown ---- */

static void markdown_options(struct out *out, const struct option *options)
{
    for (; options && options->id; options++) {
        out_string(out, "- `");
        if (options->letter)
            out_format(out, "-%c, ", options->letter);
        out_format(out, "--%s%s%s`: ", options->name, options->value ? " " : "",
                   options->value ? options->value : "");
        if (options->choices)
            out_format(out, "`%s`; ", options->choices);
        out_format(out, "%s\n", options->help);
    }
}

static void markdown_command(struct out *out, const struct command *command)
{
    char name[64], usage[256];

    args_name(command, name, sizeof(name));
    args_usage(command, usage, sizeof(usage));
    out_format(out, "\n### runnel %s\n\n```\n%s\n```\n\n%s.", name, usage, command->summary);
    if (*command->text)
        out_format(out, " %s", command->text);
    out_string(out, "\n");
    if (command->options) {
        out_string(out, "\n");
        markdown_options(out, command->options);
    }
    out_string(out, "\n```sh\n");
    for (size_t i = 0; i < EXAMPLES_MAX && command->examples[i].command; i++)
        out_format(out, "%s   # %s\n", command->examples[i].command, command->examples[i].what);
    out_string(out, "```\n");
}

void man_markdown(struct out *out)
{
    out_string(
        out, "# The command line `runnel`\n\n"
             "Made by `runnel help --markdown` from the tables that the program itself uses; a test compares "
             "them.\n\n```\nrunnel [-s URL] [-o table|json|jsonl] COMMAND [OPTION]...\n```\n\n"
             "Options may stand anywhere behind the command; `--` ends them. `--name value` and "
             "`--name=value` are the same; single letters cluster (`-en5` is `-e -n 5`).\n\n"
             "General options:\n\n");
    markdown_options(out, args_general);
    out_string(out, "\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
#define X(name, code, meaning) out_format(out, "| %d | %s |\n", code, meaning);
    CLI_EXITS(X)
#undef X
#define X(heading, text) out_string(out, "\n## " heading "\n\n" text "\n");
    MAN_TOPICS(X)
#undef X
    out_string(out, "\n## Commands\n");
    for (size_t i = 0; args_commands[i]; i++)
        markdown_command(out, args_commands[i]);
}
