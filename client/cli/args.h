/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/args.h: one table per command; the parser, --help, the man pages, docs/cli.md and shell completion are
 * all made from it.
 *
 * Options may stand anywhere behind the command's name; the general ones (args_general) in front of it, too.
 * `--` ends the options. "--name value" and "--name=value" are the same; single letters cluster ("-en5" is -e
 * -n 5). An option that wants a value takes the next word whatever it looks like: "--from -10".
 */
#ifndef RUNNEL_CLI_ARGS_H
#define RUNNEL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct cli;

struct option {
    int id;              /* enum option_id; 0 ends a table */
    char letter;         /* 0: none */
    const char *name;    /* without the dashes */
    const char *value;   /* what stands for the value in the help; NULL: takes none */
    const char *choices; /* "a|b|c": nothing else is taken */
    bool many;           /* may be given again and again */
    const char *help;
};

struct example {
    const char *command, *what;
};

enum complete {
    COMPLETE_NONE,
    COMPLETE_TOPIC,
    COMPLETE_GROUP,
    COMPLETE_DIRECTORY,
    COMPLETE_SHELL,
    COMPLETE_COMMAND
};

enum { EXAMPLES_MAX = 4 };

struct command {
    const char *noun, *verb;        /* "topic", "create"; verb NULL: a command by itself */
    const char *operands;           /* "TOPIC [PAYLOAD]" */
    int operands_min, operands_max; /* -1: any number */
    enum complete complete;         /* of the operands */
    const char *summary;            /* a line */
    const char *text;               /* paragraphs */
    const struct option *options;   /* NULL: only the general ones */
    struct example examples[EXAMPLES_MAX];
    int (*run)(struct cli *cli);
};

struct given {
    const struct option *option;
    const char *value;
};

struct args {
    const struct command *command; /* NULL: none was named */
    const char *noun;              /* of a command with verbs */
    struct given *given;
    size_t given_count;
    const char **operands;
    size_t operand_count;
};

enum { ARGS_ERROR_BYTES = 512 };

/* The options that every command takes. */
extern const struct option args_general[];
/* Every command, in the order of the help; NULL ends it. */
extern const struct command *const args_commands[];

/* 0, or -1 with `what: how to fix` in the two texts. */
int args_parse(struct args *args, int argc, char **argv, char *what, char *fix);
void args_free(struct args *args);
/* The value given last; NULL: not given. A flag's value is "". */
const char *args_value(const struct args *args, int id);
static inline bool args_flag(const struct args *args, int id)
{
    return args_value(args, id) != NULL;
}
/* Values of an option that may be given many times: start with *i = 0. NULL: no more. */
const char *args_each(const struct args *args, int id, size_t *i);

const struct command *args_find(const char *noun, const char *verb);
bool args_is_noun(const char *word);
/* The nearest of a row of words, or NULL when none is near. */
const char *args_nearest(const char *word, const char *const *words, size_t count);
/* "runnel topic create NAME... [OPTION]..." */
void args_usage(const struct command *command, char *out, size_t size);
/* "topic create" */
void args_name(const struct command *command, char *out, size_t size);

#endif
