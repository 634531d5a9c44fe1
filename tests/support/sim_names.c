/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/sim_names.c: the directories of io_sim, and which of their changes a power cut would keep.
 *
 * Invariant: applying all of `name_ops` in order to the directories' disk lists gives their live lists.
 * Changes of one name are applied in order; changes of different names independently, which is all that a
 * file system owes to those who do not sync the directory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_inode.h"

static uint32_t sim_hash(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

static struct sim_entry *sim_entries_find(const struct sim_entries *entries, const char *name)
{
    const uint32_t hash = sim_hash(name);
    for (uint32_t i = 0; i < entries->count; i++)
        if (entries->list[i].hash == hash && strcmp(entries->list[i].name, name) == 0)
            return &entries->list[i];
    return NULL;
}

/* Makes `name` lead to `inode`; to nothing when -1. */
static void sim_entries_set(struct sim_entries *entries, const char *name, int inode)
{
    struct sim_entry *entry = sim_entries_find(entries, name);
    if (inode < 0) {
        if (entry)
            *entry = entries->list[--entries->count];
        return;
    }
    if (entry == NULL) {
        entries->list =
            sim_grow(entries->list, &entries->capacity, entries->count + 1, sizeof(*entries->list));
        entry = &entries->list[entries->count++];
        memcpy(entry->name, name, strlen(name) + 1);
        entry->hash = sim_hash(name);
    }
    entry->inode = inode;
}

void sim_entries_free(struct sim_entries *entries)
{
    free(entries->list);
}

void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from)
{
    to->count = to->capacity = from->count;
    to->list = sim_alloc(from->count * sizeof(*to->list));
    if (from->count)
        memcpy(to->list, from->list, from->count * sizeof(*to->list));
}

/* ---- paths ---- */

/* The directory that holds the path's last name, and that name. */
static int sim_walk(const struct sim_disk *disk, const char *path, char *leaf)
{
    int dir = SIM_ROOT;
    leaf[0] = '\0';
    for (;;) {
        while (*path == '/')
            path++;
        const size_t n = strcspn(path, "/");
        if (n == 0)
            return dir;
        if (n >= SIM_NAME_BYTES)
            return -ENAMETOOLONG;
        CHECK(!(n == 2 && path[0] == '.' && path[1] == '.')); /* nobody here needs it */
        if (!(n == 1 && path[0] == '.')) {
            if (leaf[0]) {
                const struct sim_entry *entry = sim_entries_find(&sim_inode(disk, dir)->live, leaf);
                if (entry == NULL)
                    return -ENOENT;
                dir = entry->inode;
                if (!sim_inode(disk, dir)->is_dir)
                    return -ENOTDIR;
            }
            memcpy(leaf, path, n);
            leaf[n] = '\0';
        }
        path += n;
    }
}

int sim_child(const struct sim_disk *disk, int dir, const char *name)
{
    const struct sim_entry *entry = sim_entries_find(&sim_inode(disk, dir)->live, name);
    return entry ? entry->inode : -ENOENT;
}

int sim_find(const struct sim_disk *disk, const char *path)
{
    char leaf[SIM_NAME_BYTES];
    const int dir = sim_walk(disk, path, leaf);
    return dir < 0 || !leaf[0] ? dir : sim_child(disk, dir, leaf);
}

bool sim_is_dir(const struct sim_disk *disk, int inode)
{
    return sim_inode(disk, inode)->is_dir;
}

char **sim_names(const struct sim_disk *disk, int dir, uint32_t *count)
{
    const struct sim_entries *entries = &sim_inode(disk, dir)->live;
    char **names = sim_alloc(entries->count * sizeof(*names));
    for (uint32_t i = 0; i < entries->count; i++) {
        names[i] = strdup(entries->list[i].name);
        CHECK(names[i]);
    }
    *count = entries->count;
    return names;
}

/* ---- the life of inodes ---- */

static void sim_mark(const struct sim_disk *disk, bool *seen, int inode)
{
    if (seen[inode])
        return;
    seen[inode] = true;
    const struct sim_inode *node = sim_inode(disk, inode);
    for (uint32_t i = 0; i < node->live.count; i++)
        sim_mark(disk, seen, node->live.list[i].inode);
    for (uint32_t i = 0; i < node->disk.count; i++)
        sim_mark(disk, seen, node->disk.list[i].inode);
}

/* Frees the inodes that no name, descriptor or pending change leads to. */
static void sim_collect(struct sim_disk *disk)
{
    bool *seen = sim_alloc(disk->inode_count * sizeof(*seen));
    sim_mark(disk, seen, SIM_ROOT);
    for (uint32_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i] && disk->inodes[i]->opens)
            sim_mark(disk, seen, (int)i);
    for (uint32_t i = 0; i < disk->name_op_count; i++)
        for (unsigned h = 0; h < 2; h++)
            if (disk->name_ops[i].half[h].dir >= 0) {
                sim_mark(disk, seen, disk->name_ops[i].half[h].dir);
                if (disk->name_ops[i].half[h].inode >= 0)
                    sim_mark(disk, seen, disk->name_ops[i].half[h].inode);
            }
    for (uint32_t i = 0; i < disk->inode_count; i++) {
        if (disk->inodes[i] == NULL || seen[i])
            continue;
        disk->used -= disk->inodes[i]->charged;
        sim_inode_free(disk->inodes[i]);
        disk->inodes[i] = NULL;
        if (i < disk->inode_free)
            disk->inode_free = i;
    }
    free(seen);
}

/* A file that nobody can reach any more gives its space back at once. */
static void sim_unused(struct sim_disk *disk, int inode)
{
    struct sim_inode *file = sim_inode(disk, inode);
    if (file->links || file->opens || file->is_dir)
        return;
    disk->used -= file->charged;
    file->charged = 0;
}

void sim_hold(struct sim_disk *disk, int inode)
{
    sim_inode(disk, inode)->opens++;
}

void sim_drop(struct sim_disk *disk, int inode)
{
    struct sim_inode *file = sim_inode(disk, inode);
    CHECK(file->opens);
    file->opens--;
    sim_unused(disk, inode);
}

void sim_close_all(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i] && disk->inodes[i]->opens) {
            disk->inodes[i]->opens = 0;
            sim_unused(disk, (int)i);
        }
    sim_collect(disk);
}

/* ---- changes ---- */

static void sim_half_apply(struct sim_disk *disk, const struct sim_half *half)
{
    if (half->dir >= 0)
        sim_entries_set(&sim_inode(disk, half->dir)->disk, half->name, half->inode);
}

static bool sim_half_same(const struct sim_half *a, const struct sim_half *b)
{
    return a->dir >= 0 && a->dir == b->dir && strcmp(a->name, b->name) == 0;
}

static struct sim_half sim_half_make(int dir, const char *name, int inode)
{
    struct sim_half half = { .dir = dir, .inode = inode };
    memcpy(half.name, name, strlen(name) + 1);
    return half;
}

static void sim_half_live(struct sim_disk *disk, const struct sim_half *half)
{
    struct sim_entries *entries = &sim_inode(disk, half->dir)->live;
    const struct sim_entry *before = sim_entries_find(entries, half->name);
    const int old = before ? before->inode : -1;
    if (half->inode >= 0)
        sim_inode(disk, half->inode)->links++;
    sim_entries_set(entries, half->name, half->inode);
    if (old >= 0) {
        sim_inode(disk, old)->links--;
        sim_unused(disk, old);
    }
}

static void sim_change(struct sim_disk *disk, struct sim_half first, struct sim_half second)
{
    struct sim_name_op op = { .sequence = sim_disk_sequence(disk), .half = { first, second } };
    for (unsigned h = 0; h < 2; h++)
        if (op.half[h].dir >= 0)
            sim_half_live(disk, &op.half[h]);
    if (disk->loose_names) {
        sim_half_apply(disk, &op.half[0]);
        sim_half_apply(disk, &op.half[1]);
        return;
    }
    disk->name_ops =
        sim_grow(disk->name_ops, &disk->name_op_capacity, disk->name_op_count + 1, sizeof(*disk->name_ops));
    disk->name_ops[disk->name_op_count++] = op;
}

static const struct sim_half sim_half_none = { .dir = -1, .inode = -1 };

int sim_make(struct sim_disk *disk, const char *path, bool is_dir)
{
    char leaf[SIM_NAME_BYTES];
    const int dir = sim_walk(disk, path, leaf);
    if (dir < 0)
        return dir;
    if (!leaf[0] || sim_child(disk, dir, leaf) >= 0)
        return -EEXIST;
    const int inode = sim_inode_new(disk, is_dir);
    sim_change(disk, sim_half_make(dir, leaf, inode), sim_half_none);
    return inode;
}

int sim_rename(struct sim_disk *disk, const char *from, const char *to)
{
    char from_leaf[SIM_NAME_BYTES], to_leaf[SIM_NAME_BYTES];
    const int from_dir = sim_walk(disk, from, from_leaf);
    const int to_dir = sim_walk(disk, to, to_leaf);
    if (from_dir < 0 || to_dir < 0)
        return from_dir < 0 ? from_dir : to_dir;
    if (!from_leaf[0] || !to_leaf[0])
        return -EBUSY;
    const int inode = sim_child(disk, from_dir, from_leaf);
    if (inode < 0)
        return inode;
    const int old = sim_child(disk, to_dir, to_leaf);
    if (old == inode)
        return 0;
    if (old >= 0) {
        if (sim_is_dir(disk, old) != sim_is_dir(disk, inode))
            return sim_is_dir(disk, old) ? -EISDIR : -ENOTDIR;
        if (sim_inode(disk, old)->live.count)
            return -ENOTEMPTY;
    }
    sim_change(disk, sim_half_make(to_dir, to_leaf, inode), sim_half_make(from_dir, from_leaf, -1));
    return 0;
}

int sim_remove(struct sim_disk *disk, const char *path, bool is_dir)
{
    char leaf[SIM_NAME_BYTES];
    const int dir = sim_walk(disk, path, leaf);
    if (dir < 0)
        return dir;
    if (!leaf[0])
        return -EBUSY;
    const int inode = sim_child(disk, dir, leaf);
    if (inode < 0)
        return inode;
    if (sim_is_dir(disk, inode) != is_dir)
        return is_dir ? -ENOTDIR : -EISDIR;
    if (sim_inode(disk, inode)->live.count)
        return -ENOTEMPTY;
    sim_change(disk, sim_half_make(dir, leaf, -1), sim_half_none);
    return 0;
}

void sim_sync_names(struct sim_disk *disk, int dir)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->name_op_count; i++) {
        struct sim_name_op *op = &disk->name_ops[i];
        if (op->half[0].dir != dir && op->half[1].dir != dir) {
            disk->name_ops[kept++] = *op;
            continue;
        }
        for (unsigned h = 0; h < 2; h++) {
            sim_half_apply(disk, &op->half[h]);
            /* An older change of the same name, waiting for another directory's sync, has nothing left to say
             * about it: applied later, it would bring the past back. */
            for (uint32_t k = 0; k < kept; k++)
                for (unsigned g = 0; g < 2; g++)
                    if (sim_half_same(&disk->name_ops[k].half[g], &op->half[h]))
                        disk->name_ops[k].half[g] = sim_half_none;
        }
    }
    disk->name_op_count = kept;
    if (disk->inode_count > 64)
        sim_collect(disk);
}

bool sim_name_clean(const struct sim_disk *disk, const char *path)
{
    char leaf[SIM_NAME_BYTES];
    const int dir = sim_walk(disk, path, leaf);
    for (uint32_t i = 0; i < disk->name_op_count; i++)
        for (unsigned h = 0; h < 2; h++)
            if (disk->name_ops[i].half[h].dir == dir && strcmp(disk->name_ops[i].half[h].name, leaf) == 0)
                return false;
    return true;
}

void sim_settle_names(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->name_op_count; i++)
        for (unsigned h = 0; h < 2; h++)
            sim_half_apply(disk, &disk->name_ops[i].half[h]);
    disk->name_op_count = 0;
}

/* What reads see is what survived; links are counted anew. */
void sim_crash_names(struct sim_disk *disk, const struct sim_fate *fate)
{
    for (uint32_t i = 0; i < disk->name_op_count; i++)
        if (sim_fate_keeps(fate, disk->name_ops[i].sequence, false))
            for (unsigned h = 0; h < 2; h++)
                sim_half_apply(disk, &disk->name_ops[i].half[h]);
    disk->name_op_count = 0;
    for (uint32_t i = 0; i < disk->inode_count; i++) {
        struct sim_inode *node = disk->inodes[i];
        if (node == NULL)
            continue;
        node->links = 0;
        if (node->is_dir) {
            sim_entries_free(&node->live);
            sim_entries_copy(&node->live, &node->disk);
        }
    }
    for (uint32_t i = 0; i < disk->inode_count; i++)
        for (uint32_t e = 0; disk->inodes[i] && e < disk->inodes[i]->live.count; e++)
            sim_inode(disk, disk->inodes[i]->live.list[e].inode)->links++;
}
