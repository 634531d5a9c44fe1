/* SPDX-License-Identifier: Apache-2.0
 *
 * transform GROUP FROM TO: reads FROM as a member of GROUP and publishes each event, with "seen " before it,
 * to TO. What is published and what is acknowledged is one step: whoever is killed when, each event of FROM
 * becomes exactly one of TO. Ends with SIGTERM or ^C.
 */
#include <runnel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 50, ROOM = 1024, WAIT_MS = 200, PRODUCE_MS = 30000 };

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

struct work {
    struct runnel_topic_event events[AT_ONCE];
    struct runnel_lease leases[AT_ONCE];
    char texts[AT_ONCE][ROOM];
    size_t count;
};

/* What was not done is given back at once, the last first: what this member still has of it. */
static void give_back(runnel_group *group, struct work *w)
{
    while (w->count-- > 0)
        if (runnel_holds(group, &w->leases[w->count]))
            runnel_release(group, &w->leases[w->count]);
    w->count = 0;
}

static void add(struct work *w, const char *to, const struct runnel_record *record)
{
    struct runnel_event event = RUNNEL_EVENT_INIT;
    event.value = w->texts[w->count];
    event.value_len = (size_t)snprintf(w->texts[w->count], ROOM, "seen %.*s", (int)record->value_len,
                                       (const char *)record->value);
    event.partition = record->partition;
    w->events[w->count] = (struct runnel_topic_event){ to, event };
    w->count++;
}

/* Takes what there is, and does it. Negative: it is over. */
static int turn(runnel_client *client, runnel_group *group, const char *to, struct work *w)
{
    struct runnel_record record;
    int rc = 1;
    for (int wait = WAIT_MS; w->count < AT_ONCE; wait = 0) {
        rc = runnel_group_next(group, &record, &w->leases[w->count], wait);
        if (rc != 1)
            break;
        add(w, to, &record);
    }
    if (rc >= 0 && w->count)
        rc = runnel_group_produce(group, w->events, w->count, w->leases, w->count, NULL, PRODUCE_MS);
    if (rc < 0) {
        fprintf(stderr, "note: %s\n", runnel_last_error(client)->text);
        give_back(group, w);
    }
    w->count = 0;
    return rc < 0 && runnel_last_error(client)->fatal ? -1 : 0;
}

int main(int argc, char **argv)
{
    static struct work work;
    if (argc != 4) {
        fprintf(stderr, "usage: transform GROUP FROM TO\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    runnel_client *client = runnel_connect(NULL, NULL);
    if (!client) {
        fprintf(stderr, "error: %s\n", runnel_last_error(NULL)->text);
        return 6;
    }
    const char *from = argv[2];
    runnel_group *group = runnel_group_join(client, argv[1], &from, 1, NULL);
    int rc = group ? 0 : -1;
    while (rc == 0 && !stopping)
        rc = turn(client, group, argv[3], &work);
    if (rc < 0)
        fprintf(stderr, "error: %s\n", runnel_last_error(client)->text);
    if (runnel_group_close(group, PRODUCE_MS) < 0 || runnel_close(client, PRODUCE_MS) < 0)
        rc = -1;
    return rc < 0;
}
