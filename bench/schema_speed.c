/* SPDX-License-Identifier: Apache-2.0
 *
 * schema-speed: what checking one event against a schema costs, without broker or network.
 *
 * Two events as services send them, of 256 bytes and of 4 KiB, against a schema that names every field,
 * closes the object, and uses types, bounds, an enum, a uuid and a date-time; and the reading of the JSON
 * alone. Prints the median of nine rounds. For counts of instructions: valgrind --tool=callgrind
 * schema-speed 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/schema/schema.h"

static const char schema[] =
    "{\"type\":\"object\",\"required\":[\"order_id\",\"customer\",\"created_at\",\"status\",\"items\"],"
    "\"additionalProperties\":false,\"properties\":{\"order_id\":{\"type\":\"string\",\"format\":\"uuid\"},"
    "\"customer\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64},"
    "\"created_at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"status\":{\"enum\":[\"open\",\"paid\",\"sent\"]},\"total\":{\"type\":\"number\",\"minimum\":0},"
    "\"items\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\",\"required\":[\"sku\","
    "\"count\"],"
    "\"additionalProperties\":false,\"properties\":{\"sku\":{\"type\":\"string\"},"
    "\"count\":{\"type\":\"integer\",\"minimum\":1},\"price\":{\"type\":\"number\"},"
    "\"note\":{\"type\":\"string\",\"maxLength\":200}}}}}}";

static void *get(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void put(void *ctx, void *block, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(block);
}

/* CPU time: the machine may be busy with others. */
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* An order of about `bytes` bytes. */
static struct bytes event_make(char *out, uint32_t room, uint32_t bytes)
{
    int n = snprintf(
        out, room,
        "{\"order_id\":\"8f1c0e7a-52c1-4b7e-9d2c-0a1b2c3d4e5f\",\"customer\":\"c-10023\","
        "\"created_at\":\"2026-03-01T10:20:30.123Z\",\"status\":\"paid\",\"total\":129.9,\"items\":[");
    for (int i = 0; n < (int)bytes - 50 || i == 0; i++)
        n += snprintf(out + n, room - (uint32_t)n,
                      "%s{\"sku\":\"A-%04d\",\"count\":%d,\"price\":%d.5,\"note\":\"%s\"}", i ? "," : "", i,
                      i % 9 + 1, i * 7,
                      bytes > 1000 && i % 3 == 0 ? "please pack with care and leave it at the door" : "");
    n += snprintf(out + n, room - (uint32_t)n, "]}");
    return (struct bytes){ (const uint8_t *)out, (uint32_t)n };
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    const struct schema_memory memory = { get, put, NULL };
    const struct json_limits limits = { .depth = 64 };
    const long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    struct schema_result result = { 0 };
    char why[SCHEMA_WHY_BYTES];
    struct arena arena;
    enum error error;
    arena_init(&arena, &memory, 1 << 20);
    const struct schema_program *program = schema_compile(&arena, bytes_of(schema), NULL, &error, why);
    struct schema_checker *checker = schema_checker_new(&memory, 1 << 16, 1 << 14);
    void *block = malloc(json_scratch_bytes(1 << 14, 1 << 16));
    struct json json;
    if (!program || !checker || !block || rounds < 1)
        return 1;
    json_init(&json, block, 1 << 14, 1 << 16);
    for (uint32_t size = 256; size <= 4096; size *= 16) {
        char text[8192];
        const struct bytes event = event_make(text, sizeof(text), size);
        double check_ns[9], read_ns[9];
        for (int k = 0; k < 9; k++) {
            uint64_t start = now_ns();
            for (long i = 0; i < rounds; i++)
                if (schema_check(checker, program, event, &limits, &result) != ERR_OK)
                    return 1;
            check_ns[k] = (double)(now_ns() - start) / (double)rounds;
            start = now_ns();
            for (long i = 0; i < rounds; i++)
                if (json_read(&json, event, &limits, why) != ERR_OK)
                    return 1;
            read_ns[k] = (double)(now_ns() - start) / (double)rounds;
        }
        qsort(check_ns, 9, sizeof(double), compare);
        qsort(read_ns, 9, sizeof(double), compare);
        printf("%5u bytes, %4u values: checked in %6.0f ns, of which reading %6.0f ns\n", event.len,
               json.count, check_ns[4], read_ns[4]);
    }
    schema_checker_free(checker);
    arena_free(&arena);
    free(block);
    return 0;
}
