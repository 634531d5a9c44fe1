/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/arena.h: memory that is given out in pieces and given back all at once, from blocks that the
 * caller's functions hand out, up to a limit. A compiled schema lives in one; so does everything that was
 * needed to compile it.
 */
#ifndef RUNNEL_PROTO_SCHEMA_ARENA_H
#define RUNNEL_PROTO_SCHEMA_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where memory comes from: the broker's counted memory, or malloc() in a client. get() may return NULL. */
struct schema_memory {
    void *(*get)(void *ctx, size_t bytes);
    void (*put)(void *ctx, void *block, size_t bytes);
    void *ctx;
};

struct arena_block;

struct arena {
    struct schema_memory memory;
    struct arena_block *blocks;
    uint8_t *at, *end; /* what is left of the newest block */
    size_t used, limit;
    bool full; /* something did not fit; stays */
};

void arena_init(struct arena *arena, const struct schema_memory *memory, size_t limit);
/* Zeroed and aligned for anything, or NULL: the limit is reached, or memory is out. */
void *arena_get(struct arena *arena, size_t bytes);
void arena_free(struct arena *arena);

#endif
