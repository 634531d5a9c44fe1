/* SPDX-License-Identifier: Apache-2.0
 *
 * eventloop TOPIC COUNT: publishes COUNT events and receives them back, within one poll(2) loop that could
 * watch anything else too. No call here waits, but for connecting.
 *
 * What a loop has to do: ask for descriptor, events and time-out each time round (they change when the
 * connection does), poll, and call runnel_process().
 */
#include <poll.h>
#include <runnel.h>
#include <stdio.h>
#include <stdlib.h>

struct state {
    long count, sent, stored, received;
};

static void delivered(void *ctx, const struct runnel_delivery *d)
{
    struct state *s = ctx;
    if (d->error) {
        fprintf(stderr, "not stored: %s\n", d->error_text);
        exit(1);
    }
    s->stored++;
}

/* False: the buffer is full, deliveries make room. */
static int publish_one(struct state *s, runnel_producer *producer)
{
    struct runnel_event event = RUNNEL_EVENT_INIT;
    char text[32];
    event.value = text;
    event.value_len = (size_t)snprintf(text, sizeof(text), "event %ld", s->sent);
    if (runnel_produce(producer, &event, NULL) < 0)
        return 0;
    s->sent++;
    return 1;
}

static int turn(struct state *s, runnel_client *client, runnel_producer *producer, runnel_consumer *consumer)
{
    struct runnel_record record;
    for (int i = 0; i < 100 && s->sent < s->count && publish_one(s, producer); i++)
        ;
    struct pollfd fd = { .fd = runnel_fd(client), .events = (short)runnel_events(client) };
    if (poll(&fd, 1, s->sent < s->count ? 0 : runnel_timeout_ms(client)) < 0)
        return -1;
    int rc = runnel_process(client);
    while (rc >= 0 && runnel_ready(consumer) && (rc = runnel_next(consumer, &record, 0)) == 1)
        s->received++;
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: eventloop TOPIC COUNT\n");
        return 2;
    }
    struct state state = { .count = atol(argv[2]) };
    runnel_client *client = runnel_connect(NULL, NULL);
    if (!client) {
        fprintf(stderr, "error: %s\n", runnel_last_error(NULL)->text);
        return 6;
    }
    runnel_producer *producer = runnel_producer_new(client, argv[1], NULL, delivered, &state);
    runnel_consumer *consumer = producer ? runnel_consumer_new(client, argv[1], NULL) : NULL;
    int rc = consumer ? 0 : -1;
    while (rc >= 0 && (state.stored < state.count || state.received < state.count))
        rc = turn(&state, client, producer, consumer);
    if (rc < 0)
        fprintf(stderr, "error: %s\n", runnel_last_error(client)->text);
    else
        printf("%ld events stored, %ld received\n", state.stored, state.received);
    runnel_close(client, 1000);
    return rc < 0;
}
