/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/help.c: --help and `runnel help`, out of the commands' tables.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

enum { HELP_WIDTH = 92, OPTION_COLUMN = 28 };

/* Paragraphs, wrapped and indented; a space is written only when the word behind it is, too. */
static void help_wrapped(struct out *out, const char *text, int indent, int column)
{
    int spaces = 0;

    while (*text) {
        const size_t word = strcspn(text, " \n");
        if (column > indent && column + spaces + (int)word > HELP_WIDTH) {
            out_format(out, "\n%*s", indent, "");
            column = indent;
            spaces = 0;
        }
        out_format(out, "%*s", spaces, "");
        out_bytes(out, text, word);
        column += spaces + (int)word;
        text += word;
        for (spaces = 0; *text == ' '; text++)
            spaces++;
        for (; *text == '\n'; text++) {
            out_format(out, text[1] == '\n' ? "\n" : "\n%*s", indent, "");
            column = indent;
        }
    }
    out_string(out, "\n");
}

static void help_options(struct out *out, const struct option *options)
{
    for (; options && options->id; options++) {
        char left[64], letter[8] = "    ";
        if (options->letter)
            snprintf(letter, sizeof(letter), "-%c, ", options->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        out_format(out, "%-*s", OPTION_COLUMN, left);
        if (strlen(left) >= OPTION_COLUMN)
            out_format(out, "\n%*s", OPTION_COLUMN, "");
        if (options->choices) {
            char help[512];
            snprintf(help, sizeof(help), "%s: %s", options->choices, options->help);
            help_wrapped(out, help, OPTION_COLUMN, OPTION_COLUMN);
        } else {
            help_wrapped(out, options->help, OPTION_COLUMN, OPTION_COLUMN);
        }
    }
}

void help_command_text(struct out *out, const struct command *command)
{
    char usage[256];

    args_usage(command, usage, sizeof(usage));
    out_format(out, "%s\n\n", usage);
    help_wrapped(out, command->summary, 0, 0);
    if (*command->text) {
        out_string(out, "\n");
        help_wrapped(out, command->text, 0, 0);
    }
    out_string(out, "\nExamples:\n");
    for (size_t i = 0; i < EXAMPLES_MAX && command->examples[i].command; i++)
        out_format(out, "  # %s\n  %s\n", command->examples[i].what, command->examples[i].command);
    if (command->options) {
        out_string(out, "\nOptions:\n");
        help_options(out, command->options);
    }
    out_string(out, "\nGeneral options:\n");
    help_options(out, args_general);
}

static void help_list(struct out *out, const char *noun)
{
    for (size_t i = 0; args_commands[i]; i++) {
        char name[64];
        if (noun && strcmp(args_commands[i]->noun, noun) != 0)
            continue;
        args_name(args_commands[i], name, sizeof(name));
        out_format(out, "  %-22s  %s\n", name, args_commands[i]->summary);
    }
}

void help_noun(struct out *out, const char *noun)
{
    out_format(out, "runnel %s VERB [OPTION]...\n\n", noun);
    help_list(out, noun);
    out_format(out, "\n`runnel %s VERB --help` says more.\n", noun);
}

void help_overview(struct out *out)
{
    out_string(out,
               "runnel COMMAND [OPTION]...\n\nUses and administers a Runnel event broker.\n\nCommands:\n");
    help_list(out, NULL);
    out_string(out, "\nGeneral options:\n");
    help_options(out, args_general);
    out_string(out, "\nExit codes:\n");
#define X(name, code, meaning) out_format(out, "  %3d  %s\n", code, meaning);
    CLI_EXITS(X)
#undef X
    out_string(out, "\nExamples:\n"
                    "  runnel pub orders '{\"id\":17}' -k customer-4\n"
                    "  runnel read orders --last 10\n"
                    "  runnel sub orders -o jsonl\n"
                    "\n`runnel COMMAND --help` says more, with examples.\n");
}

static int help_run(struct cli *cli)
{
    const size_t count = cli->args.operand_count;
    const char *noun = count ? cli->args.operands[0] : NULL, *verb = count > 1 ? cli->args.operands[1] : NULL;
    const struct command *command;

    if (args_flag(&cli->args, OPT_MARKDOWN)) {
        man_markdown(&cli->out);
        return EXIT_DONE;
    }
    if (args_flag(&cli->args, OPT_MAN))
        return man_page(&cli->out, noun);
    if (!noun) {
        help_overview(&cli->out);
        return EXIT_DONE;
    }
    command = args_find(noun, verb);
    if (command) {
        help_command_text(&cli->out, command);
    } else if (args_is_noun(noun) && !verb) {
        help_noun(&cli->out, noun);
    } else {
        return cli_fail(EXIT_NOT_FOUND, NULL, "see `runnel help`", "no command '%s%s%s'", noun,
                        verb ? " " : "", verb ? verb : "");
    }
    return EXIT_DONE;
}

static const struct option help_options_table[] = {
    { OPT_MAN, 0, "man", NULL, NULL, false, "the man page's source (of runnel, or of a command)" },
    { OPT_MARKDOWN, 0, "markdown", NULL, NULL, false, "the whole reference as Markdown (docs/cli.md)" },
    { 0 },
};

const struct command help_command = {
    .noun = "help",
    .operands = "[COMMAND [VERB]]",
    .operands_max = 2,
    .complete = COMPLETE_COMMAND,
    .summary = "show help",
    .text = "",
    .options = help_options_table,
    .examples = { { "runnel help", "all commands" },
                  { "runnel help topic create", "one of them" },
                  { "runnel help --man pub | man -l -", "the man page" } },
    .run = help_run,
};
