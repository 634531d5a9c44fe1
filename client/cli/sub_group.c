/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/sub_group.c: `runnel sub --group`: events of a group, written to standard output and acknowledged, or
 * given to a command each (exec.h).
 *
 * What was not handed on is not acknowledged: acknowledgements follow the flush of the output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/exec.h"
#include "client/cli/record.h"

enum {
    LEAVE_MS = 30000,    /* how long finishing and leaving may take */
    PARALLEL_MAX = 1024, /* processes at a time */
};

struct sub_group {
    struct cli *cli;
    runnel_group *group;
    struct record_writer writer;
    struct runnel_lease *written; /* and not acknowledged yet */
    size_t written_count, written_size;
    uint64_t count, most;
};

static void on_error(void *ctx, const struct runnel_error *error)
{
    cli_note(ctx, "note: the broker refused an acknowledgement: %s", error->text);
}

/* ---- to standard output ---- */

/* What did not get out is given back, the last first: in an ordered group an event takes those behind it
 * along. */
static void hand_on(struct sub_group *s)
{
    out_flush(&s->cli->out);
    for (size_t i = 0; i < s->written_count && !s->cli->out.broken; i++)
        (void)runnel_ack(s->group, &s->written[i]);
    for (size_t i = s->written_count; i-- > 0 && s->cli->out.broken;)
        (void)runnel_release(s->group, &s->written[i]);
    s->written_count = 0;
}

static int write_events(struct sub_group *s)
{
    const bool exit_at_end = args_flag(&s->cli->args, OPT_EXIT_AT_END);
    struct runnel_record record;
    int rc = EXIT_DONE, error;

    s->written_size = (runnel_group_max_in_flight(s->group) + 1) / 2;
    s->written = cli_alloc(s->written_size * sizeof(*s->written));
    while (s->count < s->most && !cli_stopping() && !s->cli->out.broken) {
        const int got = runnel_group_next(s->group, &record, &s->written[s->written_count], 0);
        if (got == 1) {
            record_write(&s->writer, &record);
            s->count++;
            if (++s->written_count == s->written_size)
                hand_on(s);
            continue;
        }
        hand_on(s);
        if (got < 0) {
            rc = cli_fail_client(s->cli, NULL);
            if (runnel_last_error(s->cli->client)->fatal)
                break;
            continue;
        }
        if (exit_at_end && sub_at_end(s->cli, s->group, args_value(&s->cli->args, OPT_GROUP)))
            break;
        cli_wait(s->cli, -1, exit_at_end ? SUB_LOOK_MS : -1, &error);
        if (error) {
            rc = cli_fail_client(s->cli, NULL);
            break;
        }
    }
    hand_on(s);
    free(s->written);
    return rc;
}

/* ---- setting up ---- */

static int check_arguments(struct cli *cli, const char **reset)
{
    const char *from = args_value(&cli->args, OPT_FROM);

    *reset = from ? from : "default";
    if (from && strcmp(from, "start") != 0 && strcmp(from, "end") != 0)
        return cli_usage("write start or end; `runnel group seek` moves a group anywhere",
                         "a group begins at the start or the end, not at '%s'", from);
    if (args_value(&cli->args, OPT_PARTITION))
        return cli_usage("leave one of them out", "a group's partitions are shared out by the broker");
    if (!args_value(&cli->args, OPT_EXEC) &&
        (args_value(&cli->args, OPT_PARALLEL) || args_value(&cli->args, OPT_EXEC_TIMEOUT)))
        return cli_usage("add --exec CMD", "--parallel and --exec-timeout are about --exec");
    if (args_value(&cli->args, OPT_EXEC) &&
        (args_flag(&cli->args, OPT_RAW) || args_flag(&cli->args, OPT_ENVELOPE) ||
         args_value(&cli->args, OPT_OUTPUT)))
        return cli_usage("leave it out", "--exec writes nothing itself: --raw and -o have no meaning");
    return EXIT_DONE;
}

static int join(struct sub_group *s, const char *reset, int64_t parallel)
{
    struct cli *cli = s->cli;
    runnel_options *options = cli_options();
    const char *instance = args_value(&cli->args, OPT_INSTANCE), *name = args_value(&cli->args, OPT_GROUP);
    char in_flight[24];

    cli_option(options, "reset", reset);
    if (args_flag(&cli->args, OPT_SHARED))
        cli_option(options, "mode", "shared");
    if (instance)
        cli_option(options, "instance", instance);
    if (parallel) { /* one runs, the next is at hand */
        snprintf(in_flight, sizeof(in_flight), "%lld", (long long)parallel * 2);
        cli_option(options, "max.in.flight", in_flight);
    }
    s->group = runnel_group_join(cli->client, name, cli->args.operands, cli->args.operand_count, options);
    runnel_options_free(options);
    if (!s->group)
        return cli_fail_about(cli, cli_group(name));
    runnel_group_on_error(s->group, on_error, cli);
    return EXIT_DONE;
}

static int leave(struct sub_group *s, int64_t deadline_ms)
{
    const int64_t left = deadline_ms - cli_monotonic_ms();

    if (runnel_group_close(s->group, left > 0 ? (int)left : 0) < 0)
        return cli_fail_about(s->cli, cli_group(args_value(&s->cli->args, OPT_GROUP)));
    return EXIT_DONE;
}

int sub_group_run(struct cli *cli)
{
    struct sub_group s = { .cli = cli };
    const char *reset, *command = args_value(&cli->args, OPT_EXEC);
    int64_t most, parallel, timeout_ms, deadline_ms = 0;
    int rc = check_arguments(cli, &reset), left;

    if (!rc)
        rc = cli_number(cli, OPT_COUNT, 0, INT64_MAX, INT64_MAX, &most);
    if (!rc)
        rc = cli_number(cli, OPT_PARALLEL, 1, PARALLEL_MAX, 1, &parallel);
    if (!rc)
        rc = cli_duration(cli, OPT_EXEC_TIMEOUT, 0, &timeout_ms);
    if (!rc)
        rc = cli_connect(cli);
    if (!rc && !command)
        rc = record_begin(cli, &s.writer, true);
    if (!rc)
        rc = join(&s, reset, command ? parallel : 0);
    if (rc)
        return rc;
    s.most = (uint64_t)most;
    cli->out.survive = true;
    cli_stop_softly();
    if (command) {
        const struct exec_options options = { .command = command,
                                              .group = args_value(&cli->args, OPT_GROUP),
                                              .parallel = (size_t)parallel,
                                              .timeout_ms = timeout_ms,
                                              .most = s.most,
                                              .exit_at_end = args_flag(&cli->args, OPT_EXIT_AT_END),
                                              .finish_ms = LEAVE_MS };
        rc = exec_run(cli, s.group, &options, &deadline_ms);
    } else {
        rc = write_events(&s);
        deadline_ms = cli_monotonic_ms() + LEAVE_MS;
        record_end(&s.writer, rc != EXIT_DONE);
    }
    left = leave(&s, deadline_ms);
    return rc ? rc : left;
}
