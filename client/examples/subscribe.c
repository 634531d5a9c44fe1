/* SPDX-License-Identifier: Apache-2.0
 *
 * subscribe TOPIC [FROM [COUNT]]: prints a topic's events, from `start`, `end`, an offset, -N or
 * @MILLISECONDS; without a count until the end that the topic had at the beginning.
 *
 *   subscribe orders -10
 */
#include <runnel.h>
#include <stdio.h>
#include <stdlib.h>

static void print(const struct runnel_record *r)
{
    const char *name;
    const void *value;
    size_t name_len, value_len;
    printf("%d/%lld\t%.*s\t%.*s", r->partition, (long long)r->offset, (int)r->key_len,
           r->key ? (const char *)r->key : "", (int)r->value_len, r->value ? (const char *)r->value : "");
    for (size_t i = 0; runnel_record_header(r, i, &name, &name_len, &value, &value_len) == 0; i++)
        printf("\t%.*s=%.*s", (int)name_len, name, (int)value_len, value ? (const char *)value : "");
    putchar('\n');
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: subscribe TOPIC [FROM [COUNT]]\n");
        return 2;
    }
    long left = argc > 3 ? atol(argv[3]) : -1;
    runnel_options *options = runnel_options_new();
    if (runnel_options_set(options, "from", argc > 2 ? argv[2] : "start") < 0) {
        fprintf(stderr, "error: %s\n", runnel_last_error(NULL)->text);
        return 2;
    }
    runnel_client *client = runnel_connect(NULL, NULL);
    if (!client) {
        fprintf(stderr, "error: %s\n", runnel_last_error(NULL)->text);
        return 6;
    }
    runnel_consumer *consumer = runnel_consumer_new(client, argv[1], options);
    struct runnel_record record; /* lent until the next call */
    int rc = consumer ? 1 : -1;
    while (rc >= 0 && left != 0 && !(left < 0 && runnel_at_end(consumer, 0))) {
        rc = runnel_next(consumer, &record, 1000);
        if (rc == 1) {
            print(&record);
            left -= left > 0;
        }
    }
    if (rc < 0)
        fprintf(stderr, "error: %s\n", runnel_last_error(client)->text);
    runnel_options_free(options);
    runnel_close(client, 0);
    return rc < 0;
}
