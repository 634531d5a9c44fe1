/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/arena.c: a list of blocks, filled one after the other; see arena.h.
 */
#include "proto/schema/arena.h"

#include <assert.h>
#include <string.h>

enum { BLOCK_BYTES = 16384, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of this block, head included */
};

static_assert(sizeof(struct arena_block) % ALIGN == 0, "what follows the head is aligned");

void arena_init(struct arena *arena, const struct schema_memory *memory, size_t limit)
{
    *arena = (struct arena){ .memory = *memory, .limit = limit };
}

static bool block_add(struct arena *arena, size_t bytes)
{
    size_t whole = sizeof(struct arena_block) + bytes;
    if (whole < BLOCK_BYTES)
        whole = BLOCK_BYTES;
    if (whole > arena->limit - arena->used &&
        sizeof(struct arena_block) + bytes <= arena->limit - arena->used)
        whole = sizeof(struct arena_block) + bytes; /* the last few bytes count, too */
    struct arena_block *block =
        whole <= arena->limit - arena->used ? arena->memory.get(arena->memory.ctx, whole) : NULL;
    if (!block)
        return false;
    memset(block, 0, whole);
    *block = (struct arena_block){ arena->blocks, whole };
    arena->blocks = block;
    arena->at = (uint8_t *)(block + 1);
    arena->end = (uint8_t *)block + whole;
    arena->used += whole;
    return true;
}

void *arena_get(struct arena *arena, size_t bytes)
{
    if (bytes > arena->limit)
        arena->full = true;
    if (arena->full)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if ((size_t)(arena->end - arena->at) < bytes && !block_add(arena, bytes)) {
        arena->full = true;
        return NULL;
    }
    void *piece = arena->at;
    arena->at += bytes;
    return piece;
}

void arena_free(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        arena->memory.put(arena->memory.ctx, block, block->bytes);
    }
    arena_init(arena, &arena->memory, arena->limit);
}
