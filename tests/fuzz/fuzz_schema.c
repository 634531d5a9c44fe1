/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a schema and events, one per line: the schema first. Compiling and checking end, in bounded
 * memory, with a named error or a verdict; the verdict is the same however many faults are wanted, and comes
 * with a fault if it is no.
 */
#include "fuzz.h"

#include <string.h>

#include "proto/schema/schema.h"
#include "schema_rig.h"

static struct bytes line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at, *stop = start < end ? memchr(start, '\n', (size_t)(end - start)) : NULL;
    if (!stop)
        stop = end;
    *at = stop < end ? stop + 1 : end;
    return (struct bytes){ start, (uint32_t)(stop - start) };
}

static void event_check(struct schema_checker *checker, const struct schema_program *program,
                        struct bytes event)
{
    const struct json_limits limits = { .depth = 64 };
    struct schema_fault faults[3];
    struct schema_result all = { .faults = faults, .room = 3 }, none = { .room = 0 };
    const enum error error = schema_check(checker, program, event, &limits, &all);
    FUZZ_CHECK((error == ERR_OK) == (all.why[0] == 0));
    FUZZ_CHECK(error != ERR_SCHEMA_MISMATCH || (all.count >= 1 && all.count <= 3));
    for (uint32_t i = 0; i < all.count; i++)
        FUZZ_CHECK(faults[i].path[0] == '$' && faults[i].keyword[0] &&
                   strlen(faults[i].expected) < SCHEMA_TEXT_BYTES);
    const enum error again = schema_check(checker, program, event, &limits, &none);
    /* To go on for more faults costs more, so only that one may meet the budget's end. */
    FUZZ_CHECK(again == error || error == ERR_SCHEMA_CHECK_LIMIT);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    char why[SCHEMA_WHY_BYTES];
    struct arena arena;
    enum error error;
    if (size > 1 << 16)
        return;
    arena_init(&arena, &rig_memory, 4 << 20);
    const struct schema_program *program = schema_compile(&arena, line(&at, end), NULL, &error, why);
    FUZZ_CHECK((program != NULL) == (error == ERR_OK) && (error == ERR_OK) == (why[0] == 0));
    struct schema_checker *checker = program ? schema_checker_new(&rig_memory, 1 << 16, 4096) : NULL;
    for (uint32_t i = 0; i < 4 && checker && at < end; i++)
        event_check(checker, program, line(&at, end));
    schema_checker_free(checker);
    arena_free(&arena);
}
