/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/main.c: runnel, the command line: one run of one command.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

static int main_prepare(struct cli *cli)
{
    const char *format = args_value(&cli->args, OPT_OUTPUT);
    enum out_format kind = isatty(STDOUT_FILENO) ? OUT_TABLE : OUT_TSV;
    static char timeout[24];
    int64_t timeout_ms;
    int rc;

    if (format && !strcmp(format, "json"))
        kind = OUT_JSON;
    else if (format && !strcmp(format, "jsonl"))
        kind = OUT_JSONL;
    out_init(&cli->out, kind, !args_flag(&cli->args, OPT_NO_HEADER));
    cli->quiet = args_flag(&cli->args, OPT_QUIET);
    cli->progress = !cli->quiet && isatty(STDERR_FILENO);
    rc = cli_duration(cli, OPT_TIMEOUT, -1, &timeout_ms);
    if (rc)
        return rc;
    if (timeout_ms > INT32_MAX)
        return cli_usage("24d is the most", "--timeout is too long");
    if (timeout_ms >= 0) {
        snprintf(timeout, sizeof(timeout), "%lld", (long long)timeout_ms);
        cli->timeout_text = timeout;
    }
    return EXIT_DONE;
}

static int main_run(struct cli *cli)
{
    int rc = main_prepare(cli);

    if (rc)
        return rc;
    if (args_flag(&cli->args, OPT_HELP)) {
        help_command_text(&cli->out, cli->args.command);
        rc = EXIT_DONE;
    } else {
        rc = cli->args.command->run(cli);
    }
    out_flush(&cli->out);
    cli_interrupt_hard();
    /* nothing of value can be in the way: every command waits for what it promises before it ends */
    runnel_close(cli->client, 0);
    return cli_interrupted() ? EXIT_INTERRUPTED : rc;
}

/* How errors name the command. */
static void main_name(const struct args *args)
{
    static char words[80] = " ";

    if (args->command)
        args_name(args->command, words + 1, sizeof(words) - 1);
    else if (args->noun)
        snprintf(words + 1, sizeof(words) - 1, "%s", args->noun);
    else
        words[0] = '\0';
    cli_name_command(words);
}

/* No command: --help and --version are fine, all else is wrong usage. */
static int main_without_command(struct cli *cli, const char *what, const char *fix)
{
    if (args_flag(&cli->args, OPT_HELP) && !cli->args.command) {
        out_init(&cli->out, OUT_TSV, true);
        if (cli->args.noun)
            help_noun(&cli->out, cli->args.noun);
        else
            help_overview(&cli->out);
        out_flush(&cli->out);
        return EXIT_DONE;
    }
    return cli_fail(EXIT_USAGE, NULL, fix, "%s", what);
}

/* A standard descriptor that was closed would be given to the connection next, and output would go to the
 * broker. These stand-ins fail when they are used: opened the wrong way round. */
static void main_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED);
    }
}

int main(int argc, char **argv)
{
    static struct cli cli; /* outlives main: what exit() finds in it is no leak */
    char what[ARGS_ERROR_BYTES] = "no command", fix[ARGS_ERROR_BYTES] = "see `runnel help`";
    bool parsed;
    int rc;

    main_descriptors();
    signal(SIGPIPE, SIG_IGN); /* out.c sees EPIPE */
    cli_interrupt_hard();
    parsed = args_parse(&cli.args, argc, argv, what, fix) == 0;
    main_name(&cli.args);
    rc = parsed && cli.args.command ? main_run(&cli) : main_without_command(&cli, what, fix);
    args_free(&cli.args);
    out_free(&cli.out);
    return rc;
}
