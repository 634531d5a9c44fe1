/* SPDX-License-Identifier: Apache-2.0
 *
 * The disk that can lose power: contents and what of them is durable. Names are in powerfs_names.c.
 */
#include "powerfs_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "powerfs_names.h"

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "powerfs: out of memory\n");
        abort();
    }
    return p;
}

/* ---- images ---- */

static void image_reserve(struct image *image, uint64_t bytes)
{
    if (bytes <= image->room)
        return;
    uint64_t room = image->room ? image->room : 4096;
    while (room < bytes)
        room *= 2;
    image->bytes = must(realloc(image->bytes, room));
    memset(image->bytes + image->room, 0, room - image->room);
    image->room = room;
}

/* Bytes past the size stay zero, so that growing again shows zeros. */
static void image_resize(struct image *image, uint64_t bytes)
{
    image_reserve(image, bytes);
    if (bytes < image->size)
        memset(image->bytes + bytes, 0, image->size - bytes);
    image->size = bytes;
}

static void image_apply(struct image *image, enum operation_kind kind, uint64_t at, uint64_t count,
                        const uint8_t *bytes)
{
    if (kind == OPERATION_RESIZE) {
        image_resize(image, at);
    } else if (kind == OPERATION_WRITE) {
        if (at + count > image->size)
            image_resize(image, at + count);
        memcpy(image->bytes + at, bytes, count);
    } else if (at < image->size) {
        memset(image->bytes + at, 0, count < image->size - at ? count : image->size - at);
    }
}

static void image_copy(struct image *to, const struct image *from)
{
    image_resize(to, 0);
    image_resize(to, from->size);
    if (from->size)
        memcpy(to->bytes, from->bytes, from->size);
}

/* ---- pending operations ---- */

static void operation_add(struct disk *disk, struct node *node, enum operation_kind kind, uint64_t at,
                          uint64_t count, const void *bytes)
{
    struct operation *op = must(calloc(1, sizeof(*op)));
    op->kind = kind;
    op->node = node;
    op->at = at;
    op->count = count;
    if (kind == OPERATION_WRITE) {
        op->bytes = must(malloc(count ? count : 1));
        memcpy(op->bytes, bytes, count);
    }
    op->previous = disk->last;
    *(disk->last ? &disk->last->next : &disk->first) = op;
    disk->last = op;
    *(node->last ? &node->last->node_next : &node->first) = op;
    node->last = op;
    disk->pending++;
    disk_hold(node);
}

/* Takes the file's oldest operation away. */
static void operation_drop(struct disk *disk, struct node *node)
{
    struct operation *op = node->first;
    node->first = op->node_next;
    if (!node->first)
        node->last = NULL;
    *(op->previous ? &op->previous->next : &disk->first) = op->next;
    *(op->next ? &op->next->previous : &disk->last) = op->previous;
    free(op->bytes);
    free(op);
    disk->pending--;
    disk_release(disk, node);
}

/* ---- contents ---- */

void disk_init(struct disk *disk, bool lenient)
{
    memset(disk, 0, sizeof(*disk));
    disk->lenient = lenient;
    disk->limit = UINT64_MAX;
    disk->root = names_node(disk, S_IFDIR | 0755);
    disk_hold(disk->root);
}

void disk_hold(struct node *node)
{
    node->references++;
}

void disk_release(struct disk *disk, struct node *node)
{
    if (--node->references > 0)
        return;
    disk->used -= node->now.size;
    /* What is open in it outlives it. */
    for (size_t i = 0; i < node->names.count; i++)
        if (node->names.at[i].node->parent == node)
            node->names.at[i].node->parent = NULL;
    names_clear(disk, &node->names);
    names_clear(disk, &node->durable_names);
    free(node->now.bytes);
    free(node->durable.bytes);
    free(node);
}

uint64_t disk_read(const struct node *node, void *out, uint64_t count, uint64_t at)
{
    if (at >= node->now.size)
        return 0;
    if (count > node->now.size - at)
        count = node->now.size - at;
    memcpy(out, node->now.bytes + at, count);
    return count;
}

/* May the file grow to `bytes`? Stores how far it may. */
static uint64_t disk_room(const struct disk *disk, const struct node *node, uint64_t bytes)
{
    uint64_t free_bytes = disk->limit > disk->used ? disk->limit - disk->used : 0;
    uint64_t most = free_bytes > UINT64_MAX - node->now.size ? UINT64_MAX : node->now.size + free_bytes;
    return bytes < most ? bytes : most;
}

int64_t disk_write(struct disk *disk, struct node *node, const void *bytes, uint64_t count, uint64_t at)
{
    uint64_t old = node->now.size;
    uint64_t end = at + count > old ? disk_room(disk, node, at + count) : at + count;
    if (count > 0 && end <= at)
        return -ENOSPC;
    count = end - at;
    image_apply(&node->now, OPERATION_WRITE, at, count, bytes);
    disk->used += node->now.size - old;
    operation_add(disk, node, OPERATION_WRITE, at, count, bytes);
    return (int64_t)count;
}

int disk_resize(struct disk *disk, struct node *node, uint64_t bytes)
{
    if (bytes > node->now.size && disk_room(disk, node, bytes) < bytes)
        return -ENOSPC;
    disk->used += bytes - node->now.size;
    image_resize(&node->now, bytes);
    operation_add(disk, node, OPERATION_RESIZE, bytes, 0, NULL);
    return 0;
}

void disk_punch(struct disk *disk, struct node *node, uint64_t at, uint64_t count)
{
    image_apply(&node->now, OPERATION_PUNCH, at, count, NULL);
    operation_add(disk, node, OPERATION_PUNCH, at, count, NULL);
}

int disk_flip(struct node *node, uint64_t at, unsigned bit)
{
    if (at >= node->now.size || bit > 7)
        return -ERANGE;
    node->now.bytes[at] ^= (uint8_t)(1u << bit);
    if (at < node->durable.size)
        node->durable.bytes[at] ^= (uint8_t)(1u << bit);
    return 0;
}

/* ---- durability ---- */

void disk_flush(struct disk *disk, struct node *node)
{
    disk_hold(node); /* the last pending operation may hold the last reference */
    while (node->first) {
        const struct operation *op = node->first;
        image_apply(&node->durable, op->kind, op->at, op->count, op->bytes);
        operation_drop(disk, node);
    }
    if (S_ISDIR(node->mode))
        names_flush(disk, node);
    else if (disk->lenient)
        names_flush_path(disk, node);
    disk_release(disk, node);
}

void disk_forget(struct disk *disk, struct node *node)
{
    disk_hold(node);
    while (node->first)
        operation_drop(disk, node);
    disk_release(disk, node);
}

/* xorshift64*: its own, so that a seed means the same everywhere. */
static bool coin(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 2685821657736338717u) >> 63;
}

static void cut_sectors(struct operation *op, uint64_t *random)
{
    enum { SECTOR = 512 };
    for (uint64_t at = 0; at < op->count;) {
        uint64_t step = SECTOR - (op->at + at) % SECTOR;
        if (step > op->count - at)
            step = op->count - at;
        if (coin(random))
            image_apply(&op->node->durable, op->kind, op->at + at, step, op->bytes + at);
        at += step;
    }
}

/* What the disk kept of one operation; `number` of them came before it. */
static void cut_operation(const struct cut *cut, struct operation *op, uint64_t number, uint64_t *random)
{
    uint64_t count = op->count;
    bool keep = cut->kind == CUT_ALL;
    if (cut->kind == CUT_RANDOM)
        keep = coin(random);
    if (cut->kind == CUT_SECTORS && op->kind == OPERATION_WRITE)
        cut_sectors(op, random);
    else if (cut->kind == CUT_SECTORS)
        keep = coin(random);
    if (cut->kind == CUT_PREFIX) {
        keep = number < cut->count;
        if (number == cut->count && op->kind == OPERATION_WRITE && cut->bytes > 0) {
            keep = true;
            count = cut->bytes < count ? cut->bytes : count;
        }
    }
    if (keep)
        image_apply(&op->node->durable, op->kind, op->at, count, op->bytes);
}

/* Makes what is durable all there is, from a directory down. */
static void cut_tree(struct disk *disk, struct node *node)
{
    if (!S_ISDIR(node->mode)) {
        disk->used += node->durable.size - node->now.size;
        image_copy(&node->now, &node->durable);
        return;
    }
    names_revert(disk, node);
    for (size_t i = 0; i < node->names.count; i++)
        cut_tree(disk, node->names.at[i].node);
}

static void cut_names(struct disk *disk, struct node *node, const struct cut *cut, uint64_t *random)
{
    if (!S_ISDIR(node->mode))
        return;
    if (cut->kind == CUT_ALL ||
        ((cut->kind == CUT_RANDOM || cut->kind == CUT_SECTORS) && names_changed(node) && coin(random)))
        names_flush(disk, node);
    for (size_t i = 0; i < node->names.count; i++)
        cut_names(disk, node->names.at[i].node, cut, random);
}

void disk_cut(struct disk *disk, const struct cut *cut)
{
    uint64_t random = cut->seed * 0x9e3779b97f4a7c15u + 0x1234567;
    uint64_t number = 0;
    random = random ? random : 1; /* the generator never leaves zero */
    disk->dead = true;
    for (struct operation *op = disk->first; op; op = op->next)
        cut_operation(cut, op, number++, &random);
    while (disk->first)
        operation_drop(disk, disk->first->node);
    cut_names(disk, disk->root, cut, &random);
    cut_tree(disk, disk->root);
}

void disk_heal(struct disk *disk)
{
    disk->dead = false;
}
