/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/redrive.c: how fast dead letters are redriven: to the group where they failed, and published again
 * with --to-topic.
 *
 * What is timed is the command `runnel dlq redrive`, from its start to its end: it reads the dead letters,
 * gives them back, and lists each one (its output goes nowhere). Whether all of them arrived is asked of the
 * broker afterwards.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/include/runnel.h"
#include "clock.h"
#include "commands.h"
#include "process.h"

extern char **environ;

enum { EVENTS = 100000, WAIT_MS = 120000, CLOSE_MS = 5000, LOOK_MS = 5 };

struct redrive {
    const struct options *o;
    runnel_client *client;
    uint64_t events;
    char topic[96], dead[100], again[104]; /* also the group's name: the topic's */
    char program[4096];
    double group_s, topic_s;
    char why[256];
};

static bool fail(struct redrive *b, const char *what)
{
    snprintf(b->why, sizeof(b->why), "%s: %.200s", what, runnel_last_error(b->client)->text);
    return false;
}

static bool late(struct redrive *b, const char *what)
{
    snprintf(b->why, sizeof(b->why), "%s: not done after %d s", what, WAIT_MS / 1000);
    return false;
}

/* ---- dead letters ---- */

static bool publish(struct redrive *b)
{
    uint8_t *payload = malloc(b->o->size);
    runnel_producer *producer = payload ? runnel_producer_new(b->client, b->topic, NULL, NULL, NULL) : NULL;
    bool ok = producer;
    if (ok)
        payload_fill(payload, b->o->size);
    for (uint64_t i = 0; ok && i < b->events; i++) {
        struct runnel_event event = RUNNEL_EVENT_INIT;
        int rc;
        event.partition = (int32_t)(i % b->o->partitions);
        event.value = payload;
        event.value_len = b->o->size;
        while ((rc = runnel_produce(producer, &event, NULL)) == -RUNNEL_E_QUEUE_FULL &&
               runnel_wait(b->client, WAIT_MS) >= 0)
            ;
        ok = rc == 0;
    }
    if (producer && runnel_producer_close(producer, WAIT_MS) < 0)
        ok = false;
    free(payload);
    return ok || fail(b, "publishing");
}

/* Gives every event up. */
static bool give_up(struct redrive *b)
{
    struct runnel_failure failure = RUNNEL_FAILURE_INIT;
    const char *topic = b->topic;
    runnel_group *group = runnel_group_join(b->client, b->topic, &topic, 1, NULL);
    struct runnel_record record;
    struct runnel_lease lease;
    bool ok = group;
    failure.type = "Bench";
    failure.message = "given up, to be redriven";
    for (uint64_t i = 0; ok && i < b->events; i++)
        ok = runnel_group_next(group, &record, &lease, WAIT_MS) == 1 &&
             runnel_term(group, &lease, &failure) == 0;
    if (group && runnel_group_close(group, WAIT_MS) < 0)
        ok = false;
    return ok || fail(b, "giving events up");
}

/* Events in a topic; 0 also when there is none. */
static uint64_t events_in(struct redrive *b, const char *name)
{
    struct runnel_topic *topic;
    uint64_t n = 0;
    if (runnel_topic_describe(b->client, name, &topic) < 0)
        return 0;
    for (size_t i = 0; i < topic->partition_count; i++)
        n += (uint64_t)(topic->partitions[i].end_offset - topic->partitions[i].start_offset);
    runnel_topic_free(topic);
    return n;
}

/* Events that the group is to be given (again). */
static uint64_t lag_of(struct redrive *b)
{
    struct runnel_group_info *info;
    uint64_t n = 0;
    if (runnel_group_describe(b->client, b->topic, &info) < 0)
        return 0;
    for (size_t i = 0; i < info->partition_count; i++)
        n += info->partitions[i].lag;
    runnel_group_info_free(info);
    return n;
}

static bool make_dead(struct redrive *b)
{
    static const struct runnel_config configs[] = {
        { "retry.max", "0" }, { "breaker", "off" }, { "offset.reset", "start" }, { "max_in_flight", "1000" }
    };
    if (runnel_topic_create(b->client, b->topic, b->o->partitions, NULL, 0, 0) < 0 ||
        runnel_group_set(b->client, b->topic, "shared", configs, 4) < 0)
        return fail(b, "setting up");
    if (!publish(b) || !give_up(b))
        return false;
    const uint64_t end = clock_now_ns() + WAIT_MS * 1000000ull;
    while (events_in(b, b->dead) < b->events) {
        if (clock_now_ns() > end)
            return late(b, "writing dead letters");
        clock_sleep_ms(LOOK_MS);
    }
    return true;
}

/* ---- the command ---- */

static bool command(struct redrive *b, const char *to_topic, double *seconds)
{
    char *const args[] = { (char *)"runnel",
                           (char *)"-s",
                           (char *)b->o->url,
                           (char *)"dlq",
                           (char *)"redrive",
                           b->topic,
                           to_topic ? (char *)"--to-topic" : NULL,
                           (char *)to_topic,
                           NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const uint64_t begun = clock_now_ns();
    if (posix_spawn(&pid, b->program, &actions, NULL, args, environ) == 0)
        waitpid(pid, &status, 0);
    *seconds = (double)(clock_now_ns() - begun) / 1e9;
    posix_spawn_file_actions_destroy(&actions);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        snprintf(b->why, sizeof(b->why), "%.200s dlq redrive ended with status %d", b->program, status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool expect(struct redrive *b, const char *what, uint64_t got)
{
    if (got != b->events)
        snprintf(b->why, sizeof(b->why), "%s: %lu of %lu events", what, (unsigned long)got,
                 (unsigned long)b->events);
    return got == b->events;
}

/* ---- all of it ---- */

static void clean_up(struct redrive *b)
{
    runnel_group_delete(b->client, b->topic);
    runnel_topic_delete(b->client, b->topic);
    runnel_topic_delete(b->client, b->dead);
    if (b->again[0])
        runnel_topic_delete(b->client, b->again);
}

static bool measure(struct redrive *b, bool to_topic, double *seconds)
{
    snprintf(b->topic, sizeof(b->topic), "bench-%x-%lx", (unsigned)getpid(), (unsigned long)clock_now_ns());
    snprintf(b->dead, sizeof(b->dead), "%s.dlq", b->topic);
    snprintf(b->again, sizeof(b->again), "%s%s", to_topic ? b->topic : "", to_topic ? ".again" : "");
    bool ok = make_dead(b);
    if (ok && to_topic && runnel_topic_create(b->client, b->again, b->o->partitions, NULL, 0, 0) < 0)
        ok = fail(b, "setting up");
    ok = ok && command(b, to_topic ? b->again : NULL, seconds) &&
         (to_topic ? expect(b, "published again", events_in(b, b->again))
                   : expect(b, "given back to the group", lag_of(b)));
    clean_up(b);
    return ok;
}

static void report(const struct redrive *b)
{
    const double n = (double)b->events;
    if (b->o->json)
        printf("{\"events\":%lu,\"group\":{\"seconds\":%.3f,\"events_per_s\":%.0f},"
               "\"to_topic\":{\"seconds\":%.3f,\"events_per_s\":%.0f}}\n",
               (unsigned long)b->events, b->group_s, n / b->group_s, b->topic_s, n / b->topic_s);
    else
        printf("redrive: %lu dead letters\n"
               "to the group               %9.3f s  %9.0f events/s\n"
               "--to-topic                 %9.3f s  %9.0f events/s\n",
               (unsigned long)b->events, b->group_s, n / b->group_s, b->topic_s, n / b->topic_s);
}

int command_redrive(const struct options *o)
{
    struct redrive b = { .o = o, .events = o->events ? o->events : EVENTS };
    process_beside("runnel", b.program, sizeof(b.program));
    b.client = runnel_connect(o->url, NULL);
    const bool ok = (b.client || fail(&b, "connecting")) && measure(&b, false, &b.group_s) &&
                    measure(&b, true, &b.topic_s);
    if (ok)
        report(&b);
    else
        fprintf(stderr, "error: redrive: %s\n", b.why);
    runnel_close(b.client, CLOSE_MS);
    return ok ? 0 : 1;
}
