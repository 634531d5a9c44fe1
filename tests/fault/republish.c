/* SPDX-License-Identifier: Apache-2.0
 *
 * republish: publishes every event twice, some more often, with ids, and prints what became of each.
 *
 *   republish URL TOPIC FIRST COUNT SEED [name=value...]     (options of the producer)
 *
 * Ids are "FIRST".."FIRST+COUNT-1". An event's second publishing comes at a random distance, so batches have
 * new events and old ones. A line on stdout for each delivery: id error duplicate partition offset.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runnel.h"

enum { PENDING = 4096, CONNECT_S = 60, CONNECT_PAUSE_MS = 10 };

static uint64_t random_state;

static uint64_t draw(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static void on_delivery(void *ctx, const struct runnel_delivery *d)
{
    (void)ctx;
    printf("%" PRIuPTR " %d %d %d %" PRId64 "\n", (uintptr_t)d->opaque, -d->error, d->duplicate, d->partition,
           d->offset);
}

static int fail(const char *what, const struct runnel_error *error)
{
    fprintf(stderr, "republish: %s: %s\n", what, error->text);
    return 1;
}

static int publish(runnel_client *client, runnel_producer *producer, uint64_t id)
{
    char text[32], value[128];
    snprintf(text, sizeof(text), "%" PRIu64, id);
    memset(value, 'a' + (int)(id % 26), sizeof(value));
    const struct runnel_header header = { "ce_id", text, strlen(text) };
    struct runnel_event event = RUNNEL_EVENT_INIT;
    event.value = value;
    event.value_len = 20 + id % 100;
    event.headers = &header;
    event.header_count = 1;
    int rc;
    while ((rc = runnel_produce(producer, &event, (void *)(uintptr_t)id)) == -RUNNEL_E_QUEUE_FULL)
        runnel_wait(client, 100);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    const uint64_t first = strtoull(argv[3], NULL, 10), count = strtoull(argv[4], NULL, 10);
    uint64_t *pending = malloc(PENDING * sizeof(*pending)), waiting = 0;
    random_state = strtoull(argv[5], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    runnel_options *options = runnel_options_new();
    for (int i = 6; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return 2;
        *value++ = '\0';
        if (runnel_options_set(options, argv[i], value))
            return fail(argv[i], runnel_last_error(NULL));
    }
    /* The broker may be killed while it is asked. */
    runnel_client *client = NULL;
    runnel_producer *producer = NULL;
    for (const time_t end = time(NULL) + CONNECT_S; !producer && time(NULL) < end;) {
        if (!client)
            client = runnel_connect(argv[1], options);
        if (client)
            producer = runnel_producer_new(client, argv[2], options, on_delivery, NULL);
        if (!producer)
            poll(NULL, 0, CONNECT_PAUSE_MS);
    }
    if (!producer)
        return fail("connect", runnel_last_error(client));
    for (uint64_t i = 0; i < count || waiting;) {
        uint64_t id;
        if (i < count && (waiting == 0 || (waiting < PENDING && draw(2)))) {
            id = first + i++;
            pending[waiting++] = id;
        } else {
            const uint64_t at = draw(waiting);
            id = pending[at];
            if (draw(4))
                pending[at] = pending[--waiting];
        }
        if (publish(client, producer, id))
            return fail("produce", runnel_last_error(client));
        if (i % 64 == 0)
            runnel_wait(client, 0);
    }
    if (runnel_flush(producer, 120000))
        return fail("flush", runnel_last_error(client));
    runnel_producer_close(producer, 0);
    runnel_close(client, 0);
    runnel_options_free(options);
    free(pending);
    return fflush(stdout) ? 1 : 0;
}
