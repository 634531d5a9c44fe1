/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/exec.c: the loop round the commands. See exec.h.
 */
#include "client/cli/exec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/record.h"

enum { FDS_PER_JOB = 3 };

struct exec {
    struct cli *cli;
    runnel_group *group;
    const struct exec_options *options;
    struct job *jobs; /* running and waiting, in the order in which they came; the first `count` are in use */
    size_t count, size, running;
    uint64_t begun, failed;
    bool ordered;
    struct pollfd *fds;
    int error; /* exit code; the loop ends */
};

/* ---- settling ---- */

static void note_failure(const struct exec *x, const struct job *job, const char *type, const char *message)
{
    cli_note(x->cli, "note: %s/%d:%lld attempt %u: %s%s%s", job->record->topic, (int)job->record->partition,
             (long long)job->record->offset, job->lease.attempt, type, *message ? ": " : "", message);
}

static void fail_event(struct exec *x, const struct job *job, const char *type, const char *message)
{
    struct runnel_failure failure = RUNNEL_FAILURE_INIT;

    failure.type = type;
    failure.message = message;
    x->failed++;
    note_failure(x, job, type, message);
    (void)runnel_nack(x->group, &job->lease, &failure);
}

static void remove_job(struct exec *x, size_t i)
{
    job_free(&x->jobs[i]);
    x->count--;
    memmove(&x->jobs[i], &x->jobs[i + 1], (x->count - i) * sizeof(*x->jobs));
}

/* True: it has ended, and its place is another's. */
static bool end_job(struct exec *x, size_t i)
{
    char type[64], message[EXEC_TAIL_BYTES];
    struct job *job = &x->jobs[i];

    if (job->pid < 0 || !job_ended(job, type, message))
        return false;
    x->running--;
    if (job->killed)
        (void)runnel_release(x->group, &job->lease);
    else if (*type)
        fail_event(x, job, type, message);
    else
        (void)runnel_ack(x->group, &job->lease); /* taken back meanwhile: it comes again */
    remove_job(x, i);
    return true;
}

/* ---- starting ---- */

static bool partition_busy(const struct exec *x, size_t i)
{
    for (size_t k = 0; x->ordered && k < i; k++)
        if (x->jobs[k].lease.assignment == x->jobs[i].lease.assignment)
            return true;
    return false;
}

static void start_jobs(struct exec *x)
{
    for (size_t i = 0; i < x->count && x->running < x->options->parallel && x->begun < x->options->most;) {
        struct job *job = &x->jobs[i];
        if (job->pid >= 0 || partition_busy(x, i)) {
            i++;
            continue;
        }
        if (!runnel_holds(x->group, &job->lease)) { /* withdrawn while it waited */
            remove_job(x, i);
            continue;
        }
        x->begun++;
        if (job_start(job, x->options)) {
            x->running++;
            i++;
        } else {
            char message[128];
            snprintf(message, sizeof(message), "the command cannot be started: %s", strerror(errno));
            fail_event(x, job, "exec", message);
            remove_job(x, i);
        }
    }
}

/* As many as could be begun, and as many again to be at hand. */
static void take_events(struct exec *x)
{
    struct runnel_record record;

    while (x->count < x->size && x->begun < x->options->most) {
        struct job *job = &x->jobs[x->count];
        struct runnel_lease lease;
        const int rc = runnel_group_next(x->group, &record, &lease, 0);
        if (rc == 0)
            return;
        if (rc < 0) {
            x->error = cli_fail_about(x->cli, cli_group(x->options->group));
            if (runnel_last_error(x->cli->client)->fatal)
                return;
            x->error = EXIT_DONE; /* one partition's: told, and the others go on */
            continue;
        }
        *job = (struct job){ .record = record_copy(&record),
                             .lease = lease,
                             .pid = -1,
                             .pid_fd = -1,
                             .in_fd = -1,
                             .err_fd = -1,
                             .working_ms = cli_monotonic_ms() };
        x->count++;
        start_jobs(x);
    }
}

/* ---- waiting ---- */

static int64_t soonest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t working_every_ms(const struct exec *x)
{
    return runnel_group_ack_wait_ms(x->group) / 3 + 1;
}

/* When the next of them is to be told of, or killed. */
static int64_t jobs_due_ms(const struct exec *x)
{
    int64_t due = INT64_MAX;

    for (size_t i = 0; i < x->count; i++) {
        const struct job *job = &x->jobs[i];
        due = soonest(due, job->working_ms + working_every_ms(x));
        if (job->pid >= 0 && x->options->timeout_ms && !job->timed_out)
            due = soonest(due, job->started_ms + x->options->timeout_ms);
    }
    return due;
}

static void jobs_times(struct exec *x)
{
    const int64_t now_ms = cli_monotonic_ms();

    for (size_t i = 0; i < x->count; i++) {
        struct job *job = &x->jobs[i];
        if (now_ms >= job->working_ms + working_every_ms(x)) {
            job->working_ms = now_ms;
            (void)runnel_working(x->group, &job->lease);
        }
        if (job->pid >= 0 && x->options->timeout_ms && !job->timed_out &&
            now_ms >= job->started_ms + x->options->timeout_ms) {
            job->timed_out = true;
            job_kill(job);
        }
    }
}

static size_t fill_fds(struct exec *x, bool stoppable)
{
    size_t n = 0;

    x->fds[n++] =
        (struct pollfd){ .fd = runnel_fd(x->cli->client), .events = (short)runnel_events(x->cli->client) };
    x->fds[n++] = (struct pollfd){ .fd = stoppable ? cli_stop_fd() : -1, .events = POLLIN };
    for (size_t i = 0; i < x->count; i++) {
        const struct job *job = &x->jobs[i];
        if (job->pid < 0)
            continue;
        x->fds[n++] = (struct pollfd){ .fd = job->pid_fd, .events = POLLIN };
        x->fds[n++] = (struct pollfd){ .fd = job->in_fd, .events = POLLOUT };
        x->fds[n++] = (struct pollfd){ .fd = job->err_fd, .events = POLLIN };
    }
    return n;
}

/* Waits for whatever comes first, and deals with it. */
static void turn(struct exec *x, bool stoppable, int64_t deadline_ms)
{
    const size_t n = fill_fds(x, stoppable);
    const int64_t now_ms = cli_monotonic_ms();
    int64_t due_ms = soonest(jobs_due_ms(x), deadline_ms);
    const int own = runnel_timeout_ms(x->cli->client);

    if (own >= 0)
        due_ms = soonest(due_ms, now_ms + own);
    (void)poll(x->fds, (nfds_t)n, due_ms == INT64_MAX ? -1 : due_ms > now_ms ? (int)(due_ms - now_ms) : 0);
    if (runnel_process(x->cli->client) < 0 && !x->error)
        x->error = cli_fail_client(x->cli, NULL);
    jobs_times(x);
    for (size_t i = 0; i < x->count;) {
        if (x->jobs[i].pid >= 0)
            job_pump(&x->jobs[i]);
        i += !end_job(x, i);
    }
}

/* ---- from beginning to end ---- */

/* What waits was not begun: given back, the last first. */
static void drop_waiting(struct exec *x)
{
    for (size_t i = x->count; i-- > 0;) {
        if (x->jobs[i].pid >= 0)
            continue;
        if (runnel_holds(x->group, &x->jobs[i].lease))
            (void)runnel_release(x->group, &x->jobs[i].lease);
        remove_job(x, i);
    }
}

static void finish(struct exec *x, int64_t deadline_ms)
{
    while (x->running && cli_monotonic_ms() < deadline_ms)
        turn(x, false, deadline_ms);
    if (!x->running)
        return;
    cli_note(x->cli, "note: killed %zu commands that were not done in time", x->running);
    for (size_t i = 0; i < x->count; i++) {
        x->jobs[i].killed = true;
        job_kill(&x->jobs[i]);
    }
    while (x->running)
        turn(x, false, INT64_MAX);
}

int exec_run(struct cli *cli, runnel_group *group, const struct exec_options *options, int64_t *deadline_ms)
{
    struct exec x = { .cli = cli, .group = group, .options = options, .size = options->parallel * 2 };

    x.jobs = cli_alloc(x.size * sizeof(*x.jobs));
    x.fds = cli_alloc((2 + x.size * FDS_PER_JOB) * sizeof(*x.fds));
    x.ordered = !strcmp(runnel_group_mode(group), "ordered");
    while (!cli_stopping() && !x.error && (x.begun < options->most || x.running)) {
        take_events(&x);
        start_jobs(&x);
        const bool idle = options->exit_at_end && !x.count;
        if (idle && sub_at_end(cli, group, options->group))
            break;
        if (!x.error && (x.begun < options->most || x.running))
            turn(&x, true, idle ? cli_monotonic_ms() + SUB_LOOK_MS : INT64_MAX);
    }
    *deadline_ms = cli_monotonic_ms() + options->finish_ms;
    runnel_group_stop(group);
    drop_waiting(&x);
    /* leaving wants a moment of its own */
    finish(&x, *deadline_ms - options->finish_ms / 10);
    free(x.jobs);
    free(x.fds);
    return x.error;
}
