/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_disk.c: see sim_disk.h. The bytes of files are here, names in sim_names.c.
 *
 * Invariants: a sector in which the two versions of a file differ is in its dirty list. A chunk with more
 * than one reference is not written.
 */
#include "sim_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_inode.h"

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64: any seed will do, 0 too */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void *sim_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    CHECK(p);
    return p;
}

void *sim_grow(void *array, uint32_t *capacity, uint32_t needed, size_t item_bytes)
{
    if (needed <= *capacity)
        return array;
    uint32_t grown = *capacity ? *capacity * 2 : 8;
    if (grown < needed)
        grown = needed;
    array = realloc(array, grown * item_bytes);
    CHECK(array);
    memset((char *)array + *capacity * item_bytes, 0, (grown - *capacity) * item_bytes);
    *capacity = grown;
    return array;
}

struct sim_inode *sim_inode(const struct sim_disk *disk, int inode)
{
    CHECK(inode >= 0 && (uint32_t)inode < disk->inode_count && disk->inodes[inode]);
    return disk->inodes[inode];
}

int sim_inode_new(struct sim_disk *disk, bool dir)
{
    uint32_t at = disk->inode_free;
    while (at < disk->inode_count && disk->inodes[at])
        at++;
    disk->inode_free = at + 1;
    if (at == disk->inode_count) {
        disk->inodes = sim_grow(disk->inodes, &disk->inode_capacity, at + 1, sizeof(*disk->inodes));
        disk->inode_count++;
    }
    disk->inodes[at] = sim_alloc(sizeof(struct sim_inode));
    disk->inodes[at]->is_dir = dir;
    return (int)at;
}

/* ---- chunks ---- */

static void sim_chunk_drop(struct sim_chunk *chunk)
{
    if (chunk && --chunk->refs == 0)
        free(chunk);
}

/* The chunk to write to: made where there was none, copied where it is shared. */
static uint8_t *sim_chunk_own(struct sim_chunk **chunk)
{
    if (*chunk && (*chunk)->refs == 1)
        return (*chunk)->bytes;
    struct sim_chunk *own = *chunk ? malloc(sizeof(*own)) : calloc(1, sizeof(*own));
    CHECK(own);
    if (*chunk) {
        memcpy(own->bytes, (*chunk)->bytes, SIM_CHUNK_BYTES);
        (*chunk)->refs--;
    }
    own->refs = 1;
    *chunk = own;
    return own->bytes;
}

static struct sim_slot *sim_slot(struct sim_inode *file, uint64_t position)
{
    const uint64_t index = position / SIM_CHUNK_BYTES;
    CHECK(index < UINT32_MAX);
    if (index >= file->slot_count) {
        file->slots = sim_grow(file->slots, &file->slot_capacity, (uint32_t)index + 1, sizeof(*file->slots));
        file->slot_count = (uint32_t)index + 1;
    }
    return &file->slots[index];
}

void sim_inode_free(struct sim_inode *inode)
{
    for (uint32_t i = 0; i < inode->slot_count; i++) {
        sim_chunk_drop(inode->slots[i].live);
        sim_chunk_drop(inode->slots[i].disk);
        free(inode->slots[i].dirty_at);
    }
    free(inode->slots);
    free(inode->dirty);
    sim_entries_free(&inode->live);
    sim_entries_free(&inode->disk);
    free(inode);
}

struct sim_inode *sim_inode_clone(const struct sim_inode *from)
{
    struct sim_inode *to = sim_alloc(sizeof(*to));
    *to = *from;
    to->slot_capacity = from->slot_count;
    to->slots = sim_alloc(from->slot_count * sizeof(*to->slots));
    for (uint32_t i = 0; i < from->slot_count; i++) {
        to->slots[i] = from->slots[i];
        if (to->slots[i].live)
            to->slots[i].live->refs++;
        if (to->slots[i].disk)
            to->slots[i].disk->refs++;
        if (from->slots[i].dirty_at) {
            to->slots[i].dirty_at = sim_alloc(SIM_SECTORS_MAX * sizeof(uint32_t));
            memcpy(to->slots[i].dirty_at, from->slots[i].dirty_at, SIM_SECTORS_MAX * sizeof(uint32_t));
        }
    }
    to->dirty_capacity = from->dirty_count;
    to->dirty = sim_alloc(from->dirty_count * sizeof(*to->dirty));
    if (from->dirty_count)
        memcpy(to->dirty, from->dirty, from->dirty_count * sizeof(*to->dirty));
    sim_entries_copy(&to->live, &from->live);
    sim_entries_copy(&to->disk, &from->disk);
    return to;
}

/* ---- dirty sectors ---- */

/* Where the sector's place in the dirty list is kept, as index + 1; 0 clean. */
static uint32_t *sim_dirty_at(const struct sim_disk *disk, struct sim_inode *file, uint64_t sector)
{
    const uint64_t position = sector * disk->sector_bytes;
    struct sim_slot *slot = sim_slot(file, position);
    if (slot->dirty_at == NULL)
        slot->dirty_at = sim_alloc(SIM_SECTORS_MAX * sizeof(uint32_t));
    return &slot->dirty_at[position % SIM_CHUNK_BYTES / disk->sector_bytes];
}

/* Copies the sector from what is read to what would survive, or back. */
static void sim_sector_settle(const struct sim_disk *disk, struct sim_inode *file, uint64_t sector, bool keep)
{
    const uint64_t position = sector * disk->sector_bytes;
    struct sim_slot *slot = sim_slot(file, position);
    struct sim_chunk **to = keep ? &slot->disk : &slot->live;
    const struct sim_chunk *from = keep ? slot->live : slot->disk;
    const uint64_t at = position % SIM_CHUNK_BYTES;
    if (from)
        memcpy(sim_chunk_own(to) + at, from->bytes + at, disk->sector_bytes);
    else if (*to)
        memset(sim_chunk_own(to) + at, 0, disk->sector_bytes);
}

/* Takes the sector out of the list; the last entry moves to its place. */
static void sim_dirty_remove(const struct sim_disk *disk, struct sim_inode *file, uint32_t index)
{
    *sim_dirty_at(disk, file, file->dirty[index].sector) = 0;
    const struct sim_dirty last = file->dirty[--file->dirty_count];
    if (index != file->dirty_count) {
        file->dirty[index] = last;
        *sim_dirty_at(disk, file, last.sector) = index + 1;
    }
}

static void sim_dirty_add(const struct sim_disk *disk, struct sim_inode *file, uint64_t sector,
                          uint64_t sequence)
{
    uint32_t *at = sim_dirty_at(disk, file, sector);
    if (*at == 0) {
        file->dirty =
            sim_grow(file->dirty, &file->dirty_capacity, file->dirty_count + 1, sizeof(*file->dirty));
        *at = ++file->dirty_count;
    }
    file->dirty[*at - 1] = (struct sim_dirty){ .sector = sector, .sequence = sequence };
}

/* ---- space ---- */

static uint64_t sim_round_up(const struct sim_disk *disk, uint64_t bytes)
{
    return (bytes + disk->sector_bytes - 1) / disk->sector_bytes * disk->sector_bytes;
}

/* Charges the file for [0, bytes) as far as there is room; returns how far it now goes. */
static uint64_t sim_charge(struct sim_disk *disk, struct sim_inode *file, uint64_t bytes)
{
    const uint64_t needed = sim_round_up(disk, bytes);
    if (needed <= file->charged)
        return bytes;
    uint64_t more = needed - file->charged;
    const uint64_t room = disk->capacity > disk->used ? disk->capacity - disk->used : 0;
    if (more > room)
        more = room / disk->sector_bytes * disk->sector_bytes;
    file->charged += more;
    disk->used += more;
    return bytes < file->charged ? bytes : file->charged;
}

uint64_t sim_disk_used(const struct sim_disk *disk)
{
    return disk->used;
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes)
{
    disk->capacity = bytes;
}

uint64_t sim_disk_capacity(const struct sim_disk *disk)
{
    return disk->capacity;
}

uint64_t sim_disk_sequence(struct sim_disk *disk)
{
    return ++disk->sequence;
}

/* ---- reading and writing ---- */

uint64_t sim_bytes(const struct sim_disk *disk, int inode)
{
    return sim_inode(disk, inode)->bytes;
}

uint64_t sim_read(const struct sim_disk *disk, int inode, void *buf, uint64_t bytes, uint64_t position)
{
    struct sim_inode *file = sim_inode(disk, inode);
    if (position >= file->bytes)
        return 0;
    if (bytes > file->bytes - position)
        bytes = file->bytes - position;
    for (uint64_t done = 0, n; done < bytes; done += n) {
        const uint64_t at = (position + done) % SIM_CHUNK_BYTES;
        const uint64_t index = (position + done) / SIM_CHUNK_BYTES;
        const struct sim_chunk *chunk = index < file->slot_count ? file->slots[index].live : NULL;
        n = SIM_CHUNK_BYTES - at < bytes - done ? SIM_CHUNK_BYTES - at : bytes - done;
        if (chunk)
            memcpy((uint8_t *)buf + done, chunk->bytes + at, n);
        else
            memset((uint8_t *)buf + done, 0, n);
    }
    return bytes;
}

/* Marks what is about to be written; some of the older versions may be on the disk by now. */
static void sim_write_mark(struct sim_disk *disk, struct sim_inode *file, uint64_t bytes, uint64_t position,
                           uint64_t sequence, uint64_t *rng)
{
    const uint64_t first = position / disk->sector_bytes;
    const uint64_t last = (position + bytes - 1) / disk->sector_bytes;
    for (uint64_t sector = first; sector <= last; sector++) {
        if (disk->writeback_percent && *sim_dirty_at(disk, file, sector) &&
            sim_random(rng) % 100 < disk->writeback_percent)
            sim_sector_settle(disk, file, sector, true);
        sim_dirty_add(disk, file, sector, sequence);
    }
}

int sim_write(struct sim_disk *disk, int inode, const void *buf, uint64_t bytes, uint64_t position,
              uint64_t sequence, uint64_t *rng)
{
    struct sim_inode *file = sim_inode(disk, inode);
    const uint64_t reach = sim_charge(disk, file, position + bytes);
    int result = 0;
    if (reach < position + bytes) {
        bytes = reach > position ? reach - position : 0;
        result = -ENOSPC;
    }
    if (bytes == 0)
        return result;
    sim_write_mark(disk, file, bytes, position, sequence, rng);
    for (uint64_t done = 0, n; done < bytes; done += n) {
        const uint64_t at = (position + done) % SIM_CHUNK_BYTES;
        n = SIM_CHUNK_BYTES - at < bytes - done ? SIM_CHUNK_BYTES - at : bytes - done;
        memcpy(sim_chunk_own(&sim_slot(file, position + done)->live) + at, (const uint8_t *)buf + done, n);
    }
    if (position + bytes > file->bytes) {
        file->bytes = position + bytes;
        file->bytes_sequence = sequence;
    }
    return result;
}

void sim_truncate(struct sim_disk *disk, int inode, uint64_t bytes)
{
    struct sim_inode *file = sim_inode(disk, inode);
    const uint64_t sequence = sim_disk_sequence(disk);
    /* What is cut off reads as zeros if the file grows again, so it is a write of zeros. */
    const uint64_t slots_end = (uint64_t)file->slot_count * SIM_CHUNK_BYTES;
    const uint64_t end = file->bytes < slots_end ? file->bytes : slots_end;
    for (uint64_t position = bytes; position < end;) {
        const uint64_t at = position % SIM_CHUNK_BYTES;
        const uint64_t n = SIM_CHUNK_BYTES - at < end - position ? SIM_CHUNK_BYTES - at : end - position;
        struct sim_slot *slot = sim_slot(file, position);
        if (slot->live) {
            memset(sim_chunk_own(&slot->live) + at, 0, n);
            for (uint64_t s = position / disk->sector_bytes; s * disk->sector_bytes < position + n; s++)
                sim_dirty_add(disk, file, s, sequence);
        }
        position += n;
    }
    if (bytes < file->bytes) {
        disk->used -= file->charged;
        file->charged = sim_round_up(disk, bytes) < file->charged ? sim_round_up(disk, bytes) : file->charged;
        disk->used += file->charged;
    }
    file->bytes = bytes;
    file->bytes_sequence = sequence;
}

int sim_allocate(struct sim_disk *disk, int inode, uint64_t bytes)
{
    struct sim_inode *file = sim_inode(disk, inode);
    const uint64_t before = file->charged;
    if (sim_charge(disk, file, bytes) < bytes) {
        disk->used -= file->charged - before;
        file->charged = before;
        return -ENOSPC;
    }
    if (bytes > file->bytes) {
        file->bytes = bytes;
        file->bytes_sequence = sim_disk_sequence(disk);
    }
    return 0;
}

bool sim_flip(struct sim_disk *disk, int inode, uint64_t position, unsigned bit)
{
    struct sim_inode *file = sim_inode(disk, inode);
    if (position >= file->bytes)
        return false;
    struct sim_slot *slot = sim_slot(file, position);
    sim_chunk_own(&slot->live)[position % SIM_CHUNK_BYTES] ^= (uint8_t)(1u << bit % 8);
    sim_chunk_own(&slot->disk)[position % SIM_CHUNK_BYTES] ^= (uint8_t)(1u << bit % 8);
    return true;
}

/* ---- durability ---- */

void sim_sync_range(struct sim_disk *disk, int inode, uint64_t bytes, uint64_t position)
{
    struct sim_inode *file = sim_inode(disk, inode);
    if (bytes == 0)
        return;
    const uint64_t last = (position + bytes - 1) / disk->sector_bytes;
    for (uint64_t sector = position / disk->sector_bytes; sector <= last; sector++) {
        const uint32_t at = *sim_dirty_at(disk, file, sector);
        if (at == 0 || file->dirty[at - 1].lost)
            continue;
        sim_sector_settle(disk, file, sector, true);
        sim_dirty_remove(disk, file, at - 1);
    }
    if (position + bytes > file->bytes_disk)
        file->bytes_disk = file->bytes;
}

void sim_sync(struct sim_disk *disk, int inode)
{
    struct sim_inode *file = sim_inode(disk, inode);
    for (uint32_t i = file->dirty_count; i-- > 0;) {
        if (file->dirty[i].lost)
            continue;
        sim_sector_settle(disk, file, file->dirty[i].sector, true);
        sim_dirty_remove(disk, file, i);
    }
    file->bytes_disk = file->bytes;
}

void sim_sync_failed(struct sim_disk *disk, int inode, uint64_t *rng)
{
    struct sim_inode *file = sim_inode(disk, inode);
    for (uint32_t i = file->dirty_count; i-- > 0;) {
        if (file->dirty[i].lost)
            continue;
        if (sim_random(rng) % 2) {
            sim_sector_settle(disk, file, file->dirty[i].sector, true);
            sim_dirty_remove(disk, file, i);
        } else {
            file->dirty[i].lost = true;
        }
    }
}

bool sim_clean(const struct sim_disk *disk, int inode)
{
    const struct sim_inode *file = sim_inode(disk, inode);
    return file->dirty_count == 0 && file->bytes == file->bytes_disk;
}

void sim_settle(struct sim_disk *disk)
{
    sim_settle_names(disk);
    for (uint32_t i = 0; i < disk->inode_count; i++) {
        if (disk->inodes[i] == NULL || disk->inodes[i]->is_dir)
            continue;
        for (uint32_t d = 0; d < disk->inodes[i]->dirty_count; d++)
            disk->inodes[i]->dirty[d].lost = false;
        sim_sync(disk, (int)i);
    }
}

/* ---- the power cut ---- */

bool sim_fate_keeps(const struct sim_fate *fate, uint64_t sequence, bool lost)
{
    switch (fate->mode) {
    case IO_SIM_NONE:
        return false;
    case IO_SIM_ALL:
        return !lost;
    case IO_SIM_PREFIX:
        return !lost && sequence <= fate->cutoff;
    case IO_SIM_RANDOM:
        break;
    }
    return sim_random(fate->rng) % 8 < fate->odds;
}

static void sim_crash_file(struct sim_disk *disk, struct sim_inode *file, const struct sim_fate *fate)
{
    for (uint32_t i = 0; i < file->dirty_count; i++) {
        const struct sim_dirty *d = &file->dirty[i];
        sim_sector_settle(disk, file, d->sector, sim_fate_keeps(fate, d->sequence, d->lost));
        *sim_dirty_at(disk, file, d->sector) = 0;
    }
    file->dirty_count = 0;
    uint64_t bytes = sim_fate_keeps(fate, file->bytes_sequence, false) ? file->bytes : file->bytes_disk;
    /* While the data is being written back, the size follows it. */
    if (fate->mode == IO_SIM_RANDOM && file->bytes > file->bytes_disk && sim_random(fate->rng) % 3 == 0) {
        const uint64_t first = sim_round_up(disk, file->bytes_disk);
        if (first < file->bytes)
            bytes = first +
                    sim_random(fate->rng) % (file->bytes - first) / disk->sector_bytes * disk->sector_bytes;
    }
    /* Beyond the size nothing is kept; both versions are one again from here on. */
    const uint64_t slots_end = (uint64_t)file->slot_count * SIM_CHUNK_BYTES;
    const uint64_t longest = file->bytes > file->bytes_disk ? file->bytes : file->bytes_disk;
    const uint64_t end = longest < slots_end ? longest : slots_end;
    for (uint64_t position = bytes; position < end;) {
        const uint64_t at = position % SIM_CHUNK_BYTES;
        struct sim_slot *slot = sim_slot(file, position);
        if (slot->live)
            memset(sim_chunk_own(&slot->live) + at, 0, SIM_CHUNK_BYTES - at);
        if (slot->disk)
            memset(sim_chunk_own(&slot->disk) + at, 0, SIM_CHUNK_BYTES - at);
        position += SIM_CHUNK_BYTES - at;
    }
    file->bytes = file->bytes_disk = bytes;
    disk->used -= file->charged;
    file->charged = sim_round_up(disk, bytes);
    disk->used += file->charged;
}

void sim_crash(struct sim_disk *disk, uint64_t *rng, enum io_sim_mode mode)
{
    struct sim_fate fate = { .mode = mode, .rng = rng };
    fate.odds = sim_random(rng) % 9;
    /* A moment among those that matter: after the oldest change that is not durable yet. */
    uint64_t oldest = disk->sequence;
    for (uint32_t i = 0; i < disk->inode_count; i++)
        for (uint32_t d = 0; disk->inodes[i] && d < disk->inodes[i]->dirty_count; d++)
            if (disk->inodes[i]->dirty[d].sequence < oldest)
                oldest = disk->inodes[i]->dirty[d].sequence;
    if (disk->name_op_count && disk->name_ops[0].sequence < oldest)
        oldest = disk->name_ops[0].sequence;
    fate.cutoff = oldest ? oldest - 1 + sim_random(rng) % (disk->sequence - oldest + 2) : 0;

    sim_crash_names(disk, &fate);
    sim_close_all(disk);
    for (uint32_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i] && !disk->inodes[i]->is_dir)
            sim_crash_file(disk, disk->inodes[i], &fate);
}

/* ---- whole disks ---- */

struct sim_disk *sim_disk_create(uint32_t sector_bytes, bool loose_names, uint32_t writeback_percent)
{
    CHECK(sector_bytes == 512 || sector_bytes == 4096);
    struct sim_disk *disk = sim_alloc(sizeof(*disk));
    disk->sector_bytes = sector_bytes;
    disk->loose_names = loose_names;
    disk->writeback_percent = writeback_percent;
    CHECK(sim_inode_new(disk, true) == SIM_ROOT);
    return disk;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *disk)
{
    struct sim_disk *copy = sim_alloc(sizeof(*copy));
    *copy = *disk;
    copy->inode_capacity = disk->inode_count;
    copy->inodes = sim_alloc(disk->inode_count * sizeof(*copy->inodes));
    for (uint32_t i = 0; i < disk->inode_count; i++)
        copy->inodes[i] = disk->inodes[i] ? sim_inode_clone(disk->inodes[i]) : NULL;
    copy->name_op_capacity = disk->name_op_count;
    copy->name_ops = sim_alloc(disk->name_op_count * sizeof(*copy->name_ops));
    if (disk->name_op_count)
        memcpy(copy->name_ops, disk->name_ops, disk->name_op_count * sizeof(*copy->name_ops));
    return copy;
}

void sim_disk_free(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i])
            sim_inode_free(disk->inodes[i]);
    free(disk->inodes);
    free(disk->name_ops);
    free(disk);
}
