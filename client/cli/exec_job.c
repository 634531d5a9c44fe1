/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/exec_job.c: one command: its pipes, its environment, its end. See exec.h.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/encode.h"
#include "client/cli/envelope.h"
#include "client/cli/exec.h"

extern char **environ;

enum { PIPE_PART = 64 << 10 };

/* ---- the environment ---- */

struct environment {
    char **words;
    size_t count, size;
};

static void env_word(struct environment *e, char *word)
{
    if (e->count + 1 >= e->size) {
        e->size = e->size ? e->size * 2 : 64;
        e->words = cli_realloc(e->words, e->size * sizeof(*e->words));
    }
    e->words[e->count++] = word;
    e->words[e->count] = NULL;
}

/* "NAME=value"; what cannot stand in a name becomes '_', and a value with a zero byte in it cannot be told.
 */
static void env_add(struct environment *e, const char *prefix, const char *name, size_t name_len,
                    const void *value, size_t value_len)
{
    const size_t prefix_len = strlen(prefix);
    char *word;

    if (value_len && memchr(value, '\0', value_len))
        return;
    word = cli_alloc(prefix_len + name_len + value_len + 2);
    memcpy(word, prefix, prefix_len);
    for (size_t i = 0; i < name_len; i++)
        word[prefix_len + i] = (char)(isalnum((unsigned char)name[i]) ? name[i] : '_');
    word[prefix_len + name_len] = '=';
    if (value_len)
        memcpy(word + prefix_len + name_len + 1, value, value_len);
    env_word(e, word);
}

static void env_text(struct environment *e, const char *name, const char *value)
{
    env_add(e, "", name, strlen(name), value, strlen(value));
}

static void env_number(struct environment *e, const char *name, int64_t value)
{
    char text[ENCODE_NUMBER_BYTES];

    env_add(e, "", name, strlen(name), text, encode_number(text, value));
}

/* In place of one that is inherited. */
static void env_replace(struct environment *e, const char *name, const struct runnel_text *value)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < e->count; i++) {
        if (strncmp(e->words[i], name, len) != 0 || e->words[i][len] != '=')
            continue;
        free(e->words[i]);
        e->words[i--] = e->words[--e->count];
        e->words[e->count] = NULL;
    }
    if (value->at)
        env_add(e, "", name, len, value->at, value->len);
}

/* What is inherited, but for what an outer command was told of its event. */
static void env_inherit(struct environment *e)
{
    static const char *const own[] = { "RUNNEL_TOPIC=",     "RUNNEL_PARTITION=", "RUNNEL_OFFSET=",
                                       "RUNNEL_TIMESTAMP=", "RUNNEL_KEY=",       "RUNNEL_ATTEMPT=",
                                       "RUNNEL_GROUP=",     "RUNNEL_HEADER_",    "RUNNEL_EVENT_" };

    for (char **word = environ; *word; word++) {
        bool outer = false;
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            outer |= strncmp(*word, own[i], strlen(own[i])) == 0;
        if (!outer)
            env_word(e, cli_copy(*word, strlen(*word) + 1));
    }
}

/* The envelope: what a `runnel pub` in the command takes its cause from. */
static void env_envelope(struct environment *e, const struct runnel_record *record)
{
    struct runnel_text fields[RUNNEL_FIELDS];
    char name[ENVELOPE_VARIABLE_BYTES];

    runnel_record_envelope(record, fields, RUNNEL_FIELDS);
    for (int i = 0; i < RUNNEL_FIELDS; i++)
        if (fields[i].at && envelope_variable(i, name))
            env_add(e, "", name, strlen(name), fields[i].at, fields[i].len);
    if (fields[RUNNEL_FIELD_TRACEPARENT].at) {
        const struct runnel_text *state = &fields[RUNNEL_FIELD_TRACESTATE];
        env_replace(e, "TRACEPARENT", &fields[RUNNEL_FIELD_TRACEPARENT]);
        env_replace(e, "TRACESTATE", state);
    }
}

static void env_make(struct environment *e, const struct job *job, const char *group)
{
    const struct runnel_record *r = job->record;
    struct runnel_record_header *headers = cli_alloc((r->header_count + 1) * sizeof(*headers));
    const size_t count = runnel_record_headers(r, headers, r->header_count);
    char time[ENCODE_TIME_BYTES];

    env_inherit(e);
    env_text(e, "RUNNEL_TOPIC", r->topic);
    env_number(e, "RUNNEL_PARTITION", r->partition);
    env_number(e, "RUNNEL_OFFSET", r->offset);
    env_add(e, "RUNNEL_", "TIMESTAMP", 9, time, encode_time(time, r->timestamp_ms));
    if (r->key)
        env_add(e, "RUNNEL_", "KEY", 3, r->key, r->key_len);
    env_number(e, "RUNNEL_ATTEMPT", job->lease.attempt);
    env_text(e, "RUNNEL_GROUP", group);
    for (size_t i = 0; i < count; i++)
        env_add(e, "RUNNEL_HEADER_", headers[i].name, headers[i].name_len, headers[i].value,
                headers[i].value ? headers[i].value_len : 0);
    free(headers);
    env_envelope(e, r);
}

static void env_free(struct environment *e)
{
    for (size_t i = 0; i < e->count; i++)
        free(e->words[i]);
    free(e->words);
}

/* ---- starting ---- */

static bool pipe_make(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0;
}

/* In a process group of its own: ^C is for us, and we let it finish. Signals as a shell would have them. */
static int job_spawn(struct job *job, const struct exec_options *options, int in, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults, none;
    struct environment env = { 0 };
    char *const argv[] = { "sh", "-c", (char *)options->command, NULL };
    pid_t pid;
    int rc;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    env_make(&env, job, options->group);
    rc = posix_spawn(&pid, "/bin/sh", &files, &attributes, argv, env.words);
    env_free(&env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    job->pid = rc ? -1 : pid;
    return rc;
}

bool job_start(struct job *job, const struct exec_options *options)
{
    int in[2] = { -1, -1 }, err[2] = { -1, -1 }, rc = 0;

    job->tail_len = job->in_written = 0;
    if (!pipe_make(in) || !pipe_make(err))
        rc = errno;
    if (!rc)
        rc = job_spawn(job, options, in[0], err[1]);
    if (!rc)
        job->pid_fd = (int)syscall(SYS_pidfd_open, job->pid, 0);
    close(in[0]);
    close(err[1]);
    if (!rc && job->pid_fd < 0) {
        rc = errno;
        kill(-job->pid, SIGKILL);
        waitpid(job->pid, NULL, 0);
    }
    if (rc) {
        close(in[1]);
        close(err[0]);
        job->pid = -1;
        errno = rc;
        return false;
    }
    job->in_fd = in[1];
    job->err_fd = err[0];
    (void)fcntl(job->in_fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(job->err_fd, F_SETFL, O_NONBLOCK);
    job->started_ms = job->working_ms = cli_monotonic_ms();
    return true;
}

/* ---- while it runs ---- */

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void job_feed(struct job *job)
{
    const char *value = job->record->value;

    while (job->in_fd >= 0 && job->in_written < job->record->value_len) {
        const size_t left = job->record->value_len - job->in_written;
        const ssize_t n = write(job->in_fd, value + job->in_written, left < PIPE_PART ? left : PIPE_PART);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* it does not want to read it: its business */
        job->in_written += (size_t)n;
    }
    fd_close(&job->in_fd);
}

/* Passes its stderr on and keeps the end of it. */
static void job_listen(struct job *job)
{
    char part[4096];

    while (job->err_fd >= 0) {
        const ssize_t n = read(job->err_fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            break;
        fwrite(part, 1, (size_t)n, stderr);
        const size_t keep = (size_t)n < sizeof(job->tail) / 2 ? (size_t)n : sizeof(job->tail) / 2;
        if (job->tail_len + keep > sizeof(job->tail)) {
            const size_t old = sizeof(job->tail) / 2 < job->tail_len ? sizeof(job->tail) / 2 : job->tail_len;
            memmove(job->tail, job->tail + job->tail_len - old, old);
            job->tail_len = old;
        }
        memcpy(job->tail + job->tail_len, part + (size_t)n - keep, keep);
        job->tail_len += keep;
    }
    fd_close(&job->err_fd);
}

void job_pump(struct job *job)
{
    job_feed(job);
    job_listen(job);
}

/* ---- its end ---- */

/* The last line with anything in it. */
static void last_line(const struct job *job, char message[EXEC_TAIL_BYTES])
{
    size_t end = job->tail_len, begin;

    while (end && isspace((unsigned char)job->tail[end - 1]))
        end--;
    for (begin = end; begin && job->tail[begin - 1] != '\n'; begin--)
        ;
    while (begin < end && !utf8_valid(job->tail + begin, end - begin) && job->tail_len == sizeof(job->tail) &&
           begin < 4)
        begin++; /* the middle of a character: the line is longer than what is kept */
    memcpy(message, job->tail + begin, end - begin);
    message[end - begin] = '\0';
}

bool job_ended(struct job *job, char type[64], char message[EXEC_TAIL_BYTES])
{
    siginfo_t info = { 0 };

    if (waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return false;
    job_listen(job); /* what a grandchild may still write is not waited for */
    last_line(job, message);
    type[0] = '\0';
    if (job->timed_out) {
        snprintf(type, 64, "timeout");
        if (!*message)
            snprintf(message, EXEC_TAIL_BYTES, "the command ran longer than --exec-timeout and was killed");
    } else if (info.si_code != CLD_EXITED) {
        const char *name = sigabbrev_np(info.si_status);
        snprintf(type, 64, "signal %s%s", name ? "SIG" : "", name ? name : "?");
    } else if (info.si_status) {
        snprintf(type, 64, "exit %d", info.si_status);
    }
    job->pid = -1;
    return true;
}

void job_kill(struct job *job)
{
    if (job->pid > 0)
        kill(-job->pid, SIGKILL);
}

void job_free(struct job *job)
{
    fd_close(&job->in_fd);
    fd_close(&job->err_fd);
    fd_close(&job->pid_fd);
    free(job->record);
    job->record = NULL;
}
