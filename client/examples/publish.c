/* SPDX-License-Identifier: Apache-2.0
 *
 * publish TOPIC: publishes each line of standard input and says where it was stored. Blocking calls only.
 *
 *   printf 'one\ntwo\n' | publish orders            (the broker: $RUNNEL_URL, or tcp://127.0.0.1:7411)
 */
#include <runnel.h>
#include <stdio.h>
#include <string.h>

static int failed;

/* Once for each event, in the order of its partition. */
static void delivered(void *ctx, const struct runnel_delivery *d)
{
    (void)ctx;
    if (d->error) {
        failed = 1;
        fprintf(stderr, "not stored: %s\n", d->error_text);
    } else {
        printf("line %zu: partition %d, offset %lld\n", (size_t)d->opaque, d->partition,
               (long long)d->offset);
    }
}

int main(int argc, char **argv)
{
    char line[65536];
    if (argc != 2) {
        fprintf(stderr, "usage: publish TOPIC\n");
        return 2;
    }
    runnel_client *client = runnel_connect(NULL, NULL);
    if (!client) {
        fprintf(stderr, "error: %s\n", runnel_last_error(NULL)->text);
        return 6;
    }
    runnel_producer *producer = runnel_producer_new(client, argv[1], NULL, delivered, NULL);
    for (size_t n = 1; producer && fgets(line, sizeof(line), stdin); n++) {
        struct runnel_event event = RUNNEL_EVENT_INIT;
        event.value = line;
        event.value_len = strcspn(line, "\n");
        int rc = runnel_produce(producer, &event, (void *)n);
        while (rc == -RUNNEL_E_QUEUE_FULL && runnel_wait(client, 1000) >= 0)
            rc = runnel_produce(producer, &event, (void *)n);
        if (rc < 0)
            break;
    }
    if (!producer || runnel_last_error(client)->fatal) {
        fprintf(stderr, "error: %s\n", runnel_last_error(client)->text);
        failed = 1;
    }
    if (runnel_close(client, 30000) < 0)
        failed = 1;
    return failed;
}
