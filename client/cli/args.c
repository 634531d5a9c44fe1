/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/parse.h"

enum {
    WORDS_MAX = 128, /* words that did-you-mean chooses from: more than any table has */
};

const struct option args_general[] = {
    { OPT_SERVER, 's', "server", "URL", NULL, false,
      "the broker: tcp://HOST:PORT, HOST:PORT or unix:PATH (else $RUNNEL_URL, else tcp://127.0.0.1:7411)" },
    { OPT_OUTPUT, 'o', "output", "FORMAT", "table|json|jsonl", false,
      "table (TSV when standard output is no terminal), json (one document) or jsonl (an object per line)" },
    { OPT_NO_HEADER, 0, "no-header", NULL, NULL, false, "leave the line with the columns' names out" },
    { OPT_QUIET, 'q', "quiet", NULL, NULL, false,
      "no summaries and no progress on stderr; errors still come" },
    { OPT_TIMEOUT, 0, "timeout", "DURATION", NULL, false,
      "how long to wait for the broker's answers, e.g. 5s (exit code 124 after it)" },
    { OPT_HELP, 'h', "help", NULL, NULL, false, "show this help" },
    { OPT_VERSION, 0, "version", NULL, NULL, false, "show the versions, as `runnel version` does" },
    { 0 },
};

const struct command *args_find(const char *noun, const char *verb)
{
    for (size_t i = 0; args_commands[i]; i++) {
        const struct command *c = args_commands[i];
        if (!strcmp(c->noun, noun) && (c->verb ? verb && !strcmp(c->verb, verb) : !verb))
            return c;
    }
    return NULL;
}

bool args_is_noun(const char *word)
{
    for (size_t i = 0; args_commands[i]; i++) {
        if (args_commands[i]->verb && !strcmp(args_commands[i]->noun, word))
            return true;
    }
    return false;
}

const char *args_nearest(const char *word, const char *const *words, size_t count)
{
    const size_t len = strlen(word);
    unsigned best = len > 5 ? 4 : len > 2 ? 3 : 2; /* must be nearer than this */
    const char *nearest = NULL;

    for (size_t i = 0; i < count; i++) {
        unsigned d = parse_distance(word, words[i]);
        if (len > 1 && d > 1 && !strncmp(word, words[i], len))
            d = 1; /* the beginning of it */
        if (d < best) {
            best = d;
            nearest = words[i];
        }
    }
    return nearest;
}

void args_name(const struct command *command, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s", command->noun, command->verb ? " " : "",
             command->verb ? command->verb : "");
}

void args_usage(const struct command *command, char *out, size_t size)
{
    char name[64];

    args_name(command, name, sizeof(name));
    snprintf(out, size, "runnel %s%s%s [OPTION]...", name, *command->operands ? " " : "", command->operands);
}

const char *args_value(const struct args *args, int id)
{
    for (size_t i = args->given_count; i-- > 0;) {
        if (args->given[i].option->id == id)
            return args->given[i].value;
    }
    return NULL;
}

const char *args_each(const struct args *args, int id, size_t *i)
{
    while (*i < args->given_count) {
        const struct given *given = &args->given[(*i)++];
        if (given->option->id == id)
            return given->value;
    }
    return NULL;
}

/* ---- parsing ---- */

struct args_scan {
    struct args *args;
    char **argv;
    int argc, at;
    char *what, *fix;
};

static const struct option *find_in(const struct option *table, char letter, const char *name, size_t len)
{
    for (; table && table->id; table++) {
        if (letter ? table->letter == letter : strlen(table->name) == len && !strncmp(table->name, name, len))
            return table;
    }
    return NULL;
}

static const struct option *find_option(const struct args *args, char letter, const char *name, size_t len)
{
    const struct option *option = find_in(args->command ? args->command->options : NULL, letter, name, len);

    return option ? option : find_in(args_general, letter, name, len);
}

static int args_refuse(struct args_scan *s, const char *fix, const char *what, const char *about)
{
    snprintf(s->what, ARGS_ERROR_BYTES, what, about);
    snprintf(s->fix, ARGS_ERROR_BYTES, "%s", fix);
    return -1;
}

static size_t option_names(const struct option *table, const char **names, size_t count)
{
    for (; table && table->id && count < WORDS_MAX; table++)
        names[count++] = table->name;
    return count;
}

static int unknown_option(struct args_scan *s, const char *name, size_t len)
{
    const char *names[WORDS_MAX], *nearest;
    char word[64], fix[128];
    size_t count = option_names(s->args->command ? s->args->command->options : NULL, names, 0);

    count = option_names(args_general, names, count);
    snprintf(word, sizeof(word), "%.*s", (int)len, name);
    nearest = args_nearest(word, names, count);
    if (nearest)
        snprintf(fix, sizeof(fix), "did you mean '--%s'?", nearest);
    else if (s->args->command)
        snprintf(fix, sizeof(fix), "see `runnel %s%s%s --help`", s->args->command->noun,
                 s->args->command->verb ? " " : "", s->args->command->verb ? s->args->command->verb : "");
    else
        snprintf(fix, sizeof(fix), "a command's options stand behind its name; see `runnel help`");
    return args_refuse(s, fix, "unknown option '--%s'", word);
}

static bool is_choice(const char *choices, const char *value)
{
    const size_t len = strlen(value);

    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL) {
        if (strcspn(c, "|") == len && !strncmp(c, value, len))
            return true;
    }
    return false;
}

static int args_give(struct args_scan *s, const struct option *option, const char *value)
{
    if (option->choices && !is_choice(option->choices, value)) {
        snprintf(s->what, ARGS_ERROR_BYTES, "--%s cannot be '%s'", option->name, value);
        snprintf(s->fix, ARGS_ERROR_BYTES, "use one of %s", option->choices);
        return -1;
    }
    s->args->given[s->args->given_count++] = (struct given){ option, value };
    return 0;
}

/* The word behind the option. */
static int args_next_value(struct args_scan *s, const struct option *option)
{
    char fix[160];

    if (s->at == s->argc) {
        snprintf(fix, sizeof(fix), "write --%s %s", option->name, option->value);
        return args_refuse(s, fix, "--%s needs a value", option->name);
    }
    return args_give(s, option, s->argv[s->at++]);
}

static int args_long(struct args_scan *s, const char *word)
{
    const size_t len = strcspn(word, "=");
    const struct option *option = find_option(s->args, 0, word, len);

    if (!option)
        return unknown_option(s, word, len);
    if (!option->value) {
        if (word[len] == '=')
            return args_refuse(s, "leave '=' and what follows out", "--%s takes no value", option->name);
        return args_give(s, option, "");
    }
    return word[len] == '=' ? args_give(s, option, word + len + 1) : args_next_value(s, option);
}

static int args_letters(struct args_scan *s, const char *word)
{
    for (; *word; word++) {
        const struct option *option = find_option(s->args, *word, NULL, 0);
        const char letter[2] = { *word, '\0' };
        if (!option)
            return args_refuse(s,
                               s->args->command ? "see --help" : "a command's options stand behind its name",
                               "unknown option '-%s'", letter);
        if (option->value)
            return word[1] ? args_give(s, option, word + 1) : args_next_value(s, option);
        if (args_give(s, option, "") < 0)
            return -1;
    }
    return 0;
}

static int unknown_command(struct args_scan *s, const char *noun, const char *word)
{
    const char *words[WORDS_MAX], *nearest;
    char fix[256];
    size_t count = 0;

    for (size_t i = 0; args_commands[i] && count < WORDS_MAX; i++) {
        const struct command *c = args_commands[i];
        if (!noun)
            words[count++] = c->noun;
        else if (c->verb && !strcmp(c->noun, noun))
            words[count++] = c->verb;
    }
    nearest = args_nearest(word, words, count);
    if (nearest)
        snprintf(fix, sizeof(fix), "did you mean '%s%s%s'?", noun ? noun : "", noun ? " " : "", nearest);
    else
        snprintf(fix, sizeof(fix), "see `runnel help%s%s`", noun ? " " : "", noun ? noun : "");
    return args_refuse(s, fix, noun ? "unknown verb '%s'" : "unknown command '%s'", word);
}

/* A word that is no option: the noun, the verb, or an operand. */
static int args_word(struct args_scan *s, const char *word)
{
    struct args *args = s->args;

    if (args->command) {
        args->operands[args->operand_count++] = word;
        return 0;
    }
    if (args->noun) {
        args->command = args_find(args->noun, word);
        return args->command ? 0 : unknown_command(s, args->noun, word);
    }
    if (args_is_noun(word)) {
        args->noun = word;
        return 0;
    }
    args->command = args_find(word, NULL);
    return args->command ? 0 : unknown_command(s, NULL, word);
}

static int args_check_operands(struct args_scan *s)
{
    const struct command *command = s->args->command;
    const int count = (int)s->args->operand_count;
    char usage[256], fix[300];

    args_usage(command, usage, sizeof(usage));
    snprintf(fix, sizeof(fix), "usage: %s", usage);
    if (count < command->operands_min) {
        char first[64];
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(command->operands, " ."), command->operands);
        return args_refuse(s, fix, "%s is missing", first);
    }
    if (command->operands_max >= 0 && count > command->operands_max)
        return args_refuse(s, fix, "'%s' is too much", s->args->operands[command->operands_max]);
    for (size_t i = 0; i < s->args->given_count; i++) {
        const struct option *option = s->args->given[i].option;
        for (size_t j = 0; j < i && !option->many && option->value; j++) {
            if (s->args->given[j].option == option)
                return args_refuse(s, "give it once", "--%s is given twice", option->name);
        }
    }
    return 0;
}

void args_free(struct args *args)
{
    free(args->given);
    free(args->operands);
    *args = (struct args){ 0 };
}

int args_parse(struct args *args, int argc, char **argv, char *what, char *fix)
{
    struct args_scan s = { .args = args, .argv = argv, .argc = argc, .at = 1, .what = what, .fix = fix };
    bool words_only = false;

    *args = (struct args){ 0 };
    /* a cluster gives as many options as it has letters */
    size_t most = 1;
    for (int i = 1; i < argc; i++)
        most += strlen(argv[i]) + 1;
    args->given = cli_alloc(most * sizeof(*args->given));
    args->operands = cli_alloc((size_t)argc * sizeof(*args->operands) + sizeof(*args->operands));
    while (s.at < argc) {
        const char *word = argv[s.at++];
        int rc;
        if (words_only || word[0] != '-' || !word[1])
            rc = args_word(&s, word);
        else if (!strcmp(word, "--"))
            words_only = true, rc = 0;
        else
            rc = word[1] == '-' ? args_long(&s, word + 2) : args_letters(&s, word + 1);
        if (rc < 0)
            return args_flag(args, OPT_HELP) && args->command ? 0 : -1;
    }
    if (args_flag(args, OPT_HELP))
        return 0;
    if (args_flag(args, OPT_VERSION)) {
        args->command = args_find("version", NULL);
        args->operand_count = 0;
    }
    if (!args->command) {
        if (args->noun)
            return args_refuse(&s, "see `runnel help`", "'%s' needs a verb", args->noun);
        return args_refuse(&s, "see `runnel help`", "no command%s", "");
    }
    return args_check_operands(&s);
}
