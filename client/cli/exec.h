/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/exec.h: a command for each event of a group: event on its standard input, metadata in its environment;
 * how it ends settles the event.
 *
 * One loop waits for the broker, for the commands' pipes and for their ends. Events of one partition run one
 * after another, unless the group is shared: what comes for a busy partition waits. While a command runs, its
 * event's ack.wait begins anew from time to time: only --exec-timeout says that it takes too long.
 */
#ifndef RUNNEL_CLI_EXEC_H
#define RUNNEL_CLI_EXEC_H

#include "client/cli/cli.h"

struct exec_options {
    const char *command, *group;
    size_t parallel;
    int64_t timeout_ms; /* of one; 0: none */
    uint64_t most;      /* events to be run */
    int64_t finish_ms;  /* for what runs when it is to end; then it is killed */
    bool exit_at_end;
};

enum { SUB_END_MS = 30000, SUB_LOOK_MS = 100 };
/* Nothing is left for this member to do. Asked when it has nothing in hand, every SUB_LOOK_MS (sub_end.c). */
bool sub_at_end(struct cli *cli, runnel_group *group, const char *name);

/* Runs until `most`, ^C or SIGTERM; *deadline_ms is when leaving must be done (monotonic). 0, or an exit code
 * with the error printed. */
int exec_run(struct cli *cli, runnel_group *group, const struct exec_options *options, int64_t *deadline_ms);

/* ---- one command (exec_job.c) ---- */

enum { EXEC_TAIL_BYTES = 4096 /* of stderr: the last line is in there */ };

struct job {
    struct runnel_record *record; /* a copy; NULL: the place is free */
    struct runnel_lease lease;
    int pid, pid_fd;   /* -1: waits for its partition */
    int in_fd, err_fd; /* -1: closed */
    size_t in_written;
    char tail[EXEC_TAIL_BYTES];
    size_t tail_len;
    int64_t started_ms, working_ms;
    bool timed_out, killed; /* killed: because the member leaves */
};

/* Starts it: false: it cannot be started (errno). */
bool job_start(struct job *job, const struct exec_options *options);
/* Moves what can be moved without waiting through its pipes. */
void job_pump(struct job *job);
/* Takes its end, if it has ended: true, and how in `type` (empty: exit code 0) and `message`. */
bool job_ended(struct job *job, char type[64], char message[EXEC_TAIL_BYTES]);
void job_kill(struct job *job);
/* Closes and frees what it has. */
void job_free(struct job *job);

#endif
