/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/verify.c: `runnel verify DATA-DIR`: the broker's own offline check, because only it knows its files.
 *
 * The client's side holds no code for the broker's formats, so this runs `runneld --verify`, found beside
 * this program or else in $PATH. Output, exit code and ^C are that program's own.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

static int verify_run(struct cli *cli)
{
    const char *format = args_value(&cli->args, OPT_OUTPUT);
    char beside[PATH_MAX + 16];
    const char *argv[8] = { "runneld", "--verify", cli->args.operands[0] };
    size_t argc = 3;
    ssize_t len = readlink("/proc/self/exe", beside, PATH_MAX);

    if (format) {
        argv[argc++] = "-o";
        argv[argc++] = format;
    }
    argv[argc] = NULL;
    if (len > 0) {
        char *slash;
        beside[len] = '\0';
        slash = strrchr(beside, '/');
        memcpy(slash + 1, "runneld", 8);
        execv(beside, (char *const *)argv);
    }
    execvp("runneld", (char *const *)argv);
    return cli_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "runneld",
                    "install it beside runnel, or into $PATH", "cannot start the broker's check: %s",
                    strerror(errno));
}

const struct command verify_command = {
    .noun = "verify",
    .operands = "DATA-DIR",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_DIRECTORY,
    .summary = "check a broker's files offline: every checksum, offset and index",
    .text = "The broker must not run on the directory. Names file and position of any damage; the exit code "
            "is 4 when "
            "there is some. Runs `runneld --verify`, found beside this program or in $PATH.",
    .examples = { { "runnel verify /var/lib/runnel", "check everything" },
                  { "runnel verify data -o json", "the findings as JSON" },
                  { "runnel verify backup/data || echo damaged", "in scripts" } },
    .run = verify_run,
};
