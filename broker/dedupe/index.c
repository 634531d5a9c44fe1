/* SPDX-License-Identifier: Apache-2.0 */
#include "dedupe/index.h"

#include <assert.h>

#include "base/check.h"
#include "base/mem.h"

enum { STEP_MIN = 4, STEP_MAX = 20 };

/* 4: 16 slots, 5: 24, 6: 32, 7: 48 ... 20: 4096 ... */
static uint32_t step_slots(uint32_t step)
{
    return (4 + 2 * (step & 1)) << (step >> 1);
}
static_assert(4 << (STEP_MIN >> 1) == INDEX_SLOTS_MIN && 4 << (STEP_MAX >> 1) == INDEX_SLOTS_MAX, "as said");

/* So that a fresh table is filled to seven tenths at most. */
static uint8_t step_for(uint32_t count)
{
    uint8_t step = STEP_MIN;
    while ((uint64_t)step_slots(step) * 7 < (uint64_t)count * 10)
        step++;
    return step;
}

static struct index_table *table_create(uint8_t step, uint8_t depth)
{
    struct index_table *t = mem_alloc(MEM_DEDUPE, sizeof(*t));
    *t = (struct index_table){ .size = step_slots(step), .step = step, .depth = depth };
    t->slots = mem_zalloc(MEM_DEDUPE, t->size * sizeof(*t->slots));
    return t;
}

static void table_free(struct index_table *t)
{
    mem_free(MEM_DEDUPE, t->slots, t->size * sizeof(*t->slots));
    mem_free(MEM_DEDUPE, t, sizeof(*t));
}

static void table_put(struct index_table *t, uint64_t slot)
{
    uint32_t at = index_home(t, (uint32_t)slot);
    while (t->slots[at])
        at = at + 1 < t->size ? at + 1 : 0;
    t->slots[at] = slot;
    t->count++;
}

static void table_resize(struct index_table *t, uint8_t step)
{
    uint64_t *old = t->slots;
    const uint32_t old_size = t->size;
    t->step = step;
    t->size = step_slots(step);
    t->count = 0;
    t->slots = mem_zalloc(MEM_DEDUPE, t->size * sizeof(*t->slots));
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i])
            table_put(t, old[i]);
    mem_free(MEM_DEDUPE, old, old_size * sizeof(*old));
}

static void directory_double(struct index *index)
{
    const uint32_t count = 1u << index->bits;
    struct index_table **tables = mem_alloc(MEM_DEDUPE, 2 * count * sizeof(struct index_table *));
    for (uint32_t i = 0; i < count; i++)
        tables[2 * i] = tables[2 * i + 1] = index->tables[i];
    mem_free(MEM_DEDUPE, index->tables, count * sizeof(struct index_table *));
    index->tables = tables;
    index->bits++;
}

/* The table that has `tag` becomes two, by one more bit of the tags. */
static void table_split(struct index *index, uint32_t tag)
{
    if (index_table(index, tag)->depth == index->bits)
        directory_double(index);
    struct index_table *old = index_table(index, tag), *halves[2];
    const uint32_t bit = 1u << (31 - old->depth);
    uint32_t counts[2] = { 0, 0 };
    for (uint32_t i = 0; i < old->size; i++)
        if (old->slots[i])
            counts[(old->slots[i] & bit) != 0]++;
    for (int h = 0; h < 2; h++)
        halves[h] = table_create(step_for(counts[h]), old->depth + 1);
    for (uint32_t i = 0; i < old->size; i++)
        if (old->slots[i])
            table_put(halves[(old->slots[i] & bit) != 0], old->slots[i]);
    const uint32_t span = 1u << (index->bits - old->depth);
    const uint32_t from = (index->bits ? tag >> (32 - index->bits) : 0) & ~(span - 1);
    for (uint32_t i = 0; i < span; i++)
        index->tables[from + i] = halves[i >= span / 2];
    table_free(old);
}

void index_free(struct index *index)
{
    if (!index->tables)
        return;
    const uint32_t count = 1u << index->bits;
    for (uint32_t i = 0; i < count;) {
        struct index_table *t = index->tables[i];
        i += 1u << (index->bits - t->depth);
        table_free(t);
    }
    mem_free(MEM_DEDUPE, index->tables, count * sizeof(struct index_table *));
    *index = (struct index){ 0 };
}

void index_reserve(struct index *index, uint64_t count)
{
    uint32_t bits = 0;
    CHECK(!index->tables);
    while (count >> bits > INDEX_SLOTS_MAX * 5 / 8 && bits < INDEX_DEPTH_MAX)
        bits++;
    const uint32_t tables = 1u << bits;
    index->bits = bits;
    index->tables = mem_alloc(MEM_DEDUPE, tables * sizeof(struct index_table *));
    for (uint32_t i = 0; i < tables; i++)
        index->tables[i] = table_create(step_for((uint32_t)(count >> bits)), (uint8_t)bits);
}

void index_add(struct index *index, const struct index_probe *probe, uint32_t serial)
{
    const uint32_t tag = probe->tag;
    struct index_table *t = probe->table;
    if (t && t->count < t->size / 4 * 3) {
        t->slots[probe->at] = (uint64_t)serial << 32 | tag; /* the empty one that ended the search */
        t->count++;
        return;
    }
    if (!t)
        index_reserve(index, 0);
    t = index_table(index, tag);
    while (t->count + 1 > t->size / 4 * 3) {
        if (t->step < STEP_MAX || t->depth >= INDEX_DEPTH_MAX)
            table_resize(t, t->step + 1);
        else
            table_split(index, tag);
        t = index_table(index, tag);
    }
    table_put(t, (uint64_t)serial << 32 | tag);
}

void index_remove(const struct index_probe *probe)
{
    struct index_table *t = probe->table;
    uint32_t hole = probe->at;
    /* What stands behind it and would not be found any more moves up: no marks of deletion, ever. */
    for (uint32_t at = hole;;) {
        at = at + 1 < t->size ? at + 1 : 0;
        const uint64_t slot = t->slots[at];
        if (!slot)
            break;
        const uint32_t home = index_home(t, (uint32_t)slot);
        const uint32_t from_home = at >= home ? at - home : at + t->size - home;
        const uint32_t from_hole = at >= hole ? at - hole : at + t->size - hole;
        if (from_home >= from_hole) {
            t->slots[hole] = slot;
            hole = at;
        }
    }
    t->slots[hole] = 0;
    t->count--;
    if (t->count < t->size / 5 * 2 && t->step > STEP_MIN)
        table_resize(t, t->step - 1);
}

uint64_t index_bytes(const struct index *index)
{
    if (!index->tables)
        return 0;
    uint64_t bytes = sizeof(struct index_table *) << index->bits;
    for (uint32_t i = 0; i < 1u << index->bits;) {
        const struct index_table *t = index->tables[i];
        bytes += sizeof(*t) + t->size * sizeof(*t->slots);
        i += 1u << (index->bits - t->depth);
    }
    return bytes;
}
