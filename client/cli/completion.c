/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/completion.c: `runnel completion bash|zsh|fish`: scripts out of the commands' tables. Topic and group
 * names are asked from the broker while one types, for at most 150 ms.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

#define TOPICS_COMMAND "runnel topic list --no-header --timeout 150ms 2>/dev/null | cut -f1"
#define GROUPS_COMMAND "runnel group list --no-header --timeout 150ms 2>/dev/null | cut -f1"

static void words_of(struct out *out, const struct option *options)
{
    for (; options && options->id; options++)
        out_format(out, " --%s", options->name);
}

/* The first words: nouns and single commands, each once. */
static void first_words(struct out *out)
{
    for (size_t i = 0; args_commands[i]; i++) {
        if (i == 0 || strcmp(args_commands[i]->noun, args_commands[i - 1]->noun) != 0)
            out_format(out, "%s%s", i ? " " : "", args_commands[i]->noun);
    }
}

static void verbs_of(struct out *out, const char *noun)
{
    bool any = false;

    for (size_t i = 0; args_commands[i]; i++) {
        if (args_commands[i]->verb && !strcmp(args_commands[i]->noun, noun)) {
            out_format(out, "%s%s", any ? " " : "", args_commands[i]->verb);
            any = true;
        }
    }
}

/* What the shell's own words for operands are, in bash. */
static const char *bash_operands(enum complete complete)
{
    switch (complete) {
    case COMPLETE_TOPIC:
        return "$(" TOPICS_COMMAND ")";
    case COMPLETE_GROUP:
        return "$(" GROUPS_COMMAND ")";
    case COMPLETE_SHELL:
        return "bash zsh fish";
    case COMPLETE_COMMAND:
        return "$first";
    case COMPLETE_DIRECTORY:
        return "$(compgen -d -- \"$word\")";
    case COMPLETE_NONE:
        break;
    }
    return "";
}

static void bash_choices(struct out *out, const struct option *options)
{
    for (; options && options->id; options++) {
        if (!options->choices)
            continue;
        out_string(out, "    ");
        if (options->letter)
            out_format(out, "-%c|", options->letter);
        out_format(out, "--%s) words='", options->name);
        for (const char *c = options->choices; *c; c++)
            out_format(out, "%c", *c == '|' ? ' ' : *c);
        out_string(out, "' ;;\n");
    }
}

/* zsh runs the same function through bashcompinit. */
static void bash_script(struct out *out)
{
    out_string(out, "_runnel() {\n"
                    "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                    "    local noun= verb= i words= operands= first='");
    first_words(out);
    out_string(out, "'\n"
                    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "        case \"${COMP_WORDS[i]}\" in\n"
                    "        -s|--server|-o|--output|--timeout) ((i++)) ;;\n"
                    "        -*) ;;\n"
                    "        *) if [ -z \"$noun\" ]; then noun=\"${COMP_WORDS[i]}\"; "
                    "elif [ -z \"$verb\" ]; then verb=\"${COMP_WORDS[i]}\"; fi ;;\n"
                    "        esac\n"
                    "    done\n"
                    "    case \"$noun\" in\n"
                    "    '') words=\"$first\" ;;\n");
    for (size_t i = 0; args_commands[i]; i++) {
        const struct command *command = args_commands[i];
        if (command->verb && (i == 0 || strcmp(command->noun, args_commands[i - 1]->noun) != 0)) {
            out_format(out, "    %s) case \"$verb\" in\n        '') words='", command->noun);
            verbs_of(out, command->noun);
            out_string(out, "' ;;\n");
        }
        out_format(out, "    %s%s) words='", command->verb ? "    " : "",
                   command->verb ? command->verb : command->noun);
        words_of(out, command->options);
        out_format(out, "'; [[ $word == -* ]] || operands=\"%s\" ;;\n", bash_operands(command->complete));
        if (command->verb &&
            (!args_commands[i + 1] || strcmp(command->noun, args_commands[i + 1]->noun) != 0))
            out_string(out, "        esac ;;\n");
    }
    out_string(out, "    esac\n    [[ $word == -* ]] && words=\"$words");
    words_of(out, args_general);
    out_string(out, "\" || words=\"$operands${operands:+ }$words\"\n    case \"$before\" in\n");
    for (size_t i = 0; args_commands[i]; i++)
        bash_choices(out, args_commands[i]->options);
    bash_choices(out, args_general);
    out_string(out, "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
                    "complete -o default -F _runnel runnel\n");
}

static void fish_quoted(struct out *out, const char *text)
{
    out_string(out, "'");
    for (; *text; text++)
        out_format(out, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
    out_string(out, "'");
}

static void fish_options(struct out *out, const struct option *options, const char *when)
{
    for (; options && options->id; options++) {
        out_format(out, "complete -c runnel %s -l %s", when, options->name);
        if (options->letter)
            out_format(out, " -s %c", options->letter);
        if (options->value)
            out_string(out, " -r");
        if (options->choices) {
            out_string(out, " -f -a '");
            for (const char *c = options->choices; *c; c++)
                out_format(out, "%c", *c == '|' ? ' ' : *c);
            out_string(out, "'");
        }
        out_string(out, " -d ");
        fish_quoted(out, options->help);
        out_string(out, "\n");
    }
}

static void fish_script(struct out *out)
{
    out_string(out, "complete -c runnel -f\n");
    fish_options(out, args_general, "");
    for (size_t i = 0; args_commands[i]; i++) {
        const struct command *command = args_commands[i];
        char when[160];
        if (!command->verb) {
            out_format(out, "complete -c runnel -n __fish_use_subcommand -a %s -d ", command->noun);
            fish_quoted(out, command->summary);
            snprintf(when, sizeof(when), "-n '__fish_seen_subcommand_from %s'", command->noun);
        } else {
            if (i == 0 || strcmp(command->noun, args_commands[i - 1]->noun) != 0)
                out_format(out, "complete -c runnel -n __fish_use_subcommand -a %s\n", command->noun);
            out_format(out, "complete -c runnel -n '__fish_seen_subcommand_from %s' -a %s -d ", command->noun,
                       command->verb);
            fish_quoted(out, command->summary);
            snprintf(when, sizeof(when),
                     "-n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s'", command->noun,
                     command->verb);
        }
        out_string(out, "\n");
        fish_options(out, command->options, when);
        if (command->complete == COMPLETE_TOPIC)
            out_format(out, "complete -c runnel %s -a '(" TOPICS_COMMAND ")'\n", when);
        else if (command->complete == COMPLETE_GROUP)
            out_format(out, "complete -c runnel %s -a '(" GROUPS_COMMAND ")'\n", when);
        else if (command->complete == COMPLETE_DIRECTORY)
            out_format(out, "complete -c runnel %s -F\n", when);
        else if (command->complete == COMPLETE_SHELL)
            out_format(out, "complete -c runnel %s -a 'bash zsh fish'\n", when);
    }
}

static int completion_run(struct cli *cli)
{
    const char *shell = cli->args.operands[0];

    if (!strcmp(shell, "zsh"))
        out_string(&cli->out, "#compdef runnel\nautoload -U +X bashcompinit && bashcompinit\n");
    if (!strcmp(shell, "bash") || !strcmp(shell, "zsh"))
        bash_script(&cli->out);
    else if (!strcmp(shell, "fish"))
        fish_script(&cli->out);
    else
        return cli_usage("use bash, zsh or fish", "no completion for '%s'", shell);
    return EXIT_DONE;
}

const struct command completion_command = {
    .noun = "completion",
    .operands = "bash|zsh|fish",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_SHELL,
    .summary = "a completion script for the shell",
    .text = "Completes commands, options and their values, and the names of topics.",
    .examples = { { "source <(runnel completion bash)", "in ~/.bashrc" },
                  { "runnel completion zsh > \"${fpath[1]}/_runnel\"", "for zsh" },
                  { "runnel completion fish > ~/.config/fish/completions/runnel.fish", "for fish" } },
    .run = completion_run,
};
