/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/errors.c: `runnel errors`: what the error codes mean and what to do about them.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/cli/cli.h"
#include "client/cli/parse.h"

enum { CODES_MAX = 1000, KNOWN_MAX = 256 };

static const struct out_column error_columns[] = {
    { "code", true }, { "name", false }, { "exit_code", true }, { "meaning", false }, { "fix", false }
};

static bool code_known(int code)
{
    return strcmp(runnel_error_name(code), "UNKNOWN") != 0;
}

/* "TOPIC_NOT_FOUND", "topic-not-found", "30": the code; -1: none. */
static int code_of(const char *word)
{
    char name[64];
    int64_t number;
    size_t n = 0;

    if (parse_number(word, 0, CODES_MAX - 1, &number))
        return code_known((int)number) ? (int)number : -1;
    for (; word[n] && n + 1 < sizeof(name); n++)
        name[n] = word[n] == '-' ? '_' : (char)toupper((unsigned char)word[n]);
    name[n] = '\0';
    for (int code = 0; code < CODES_MAX; code++) {
        if (code_known(code) && !strcmp(runnel_error_name(code), name))
            return code;
    }
    return -1;
}

static const char *nearest_name(const char *word)
{
    const char *names[KNOWN_MAX];
    size_t count = 0;

    for (int code = 0; code < CODES_MAX && count < KNOWN_MAX; code++) {
        if (code_known(code))
            names[count++] = runnel_error_name(code);
    }
    return args_nearest(word, names, count);
}

static void error_row(struct out *out, int code)
{
    out_cell_number(out, code);
    out_cell(out, runnel_error_name(code));
    out_cell_number(out, code ? cli_exit_of(code) : EXIT_DONE);
    out_cell(out, runnel_error_text(code));
    out_cell(out, runnel_error_fix(code));
}

static int errors_run(struct cli *cli)
{
    const char *word = cli->args.operand_count ? cli->args.operands[0] : NULL;
    const int only = word ? code_of(word) : -1;
    char fix[96] = "see `runnel errors`";

    if (word && only < 0) {
        const char *nearest = nearest_name(word);
        if (nearest)
            snprintf(fix, sizeof(fix), "did you mean '%s'?", nearest);
        return cli_fail(EXIT_NOT_FOUND, word, fix, "no such error");
    }
    out_rows_begin(&cli->out, NULL, error_columns, 5);
    for (int code = 0; code < CODES_MAX; code++) {
        if (word ? code == only : code_known(code))
            error_row(&cli->out, code);
    }
    out_rows_end(&cli->out);
    return EXIT_DONE;
}

const struct command errors_command = {
    .noun = "errors",
    .operands = "[CODE|NAME]",
    .operands_max = 1,
    .summary = "what error codes mean, and what to do",
    .text = "Errors of the broker and the library have a stable number and name, which the error line shows.",
    .examples = { { "runnel errors", "all of them" },
                  { "runnel errors TOPIC_NOT_FOUND", "one, by name" },
                  { "runnel errors 60 -o json", "one, by number" } },
    .run = errors_run,
};
