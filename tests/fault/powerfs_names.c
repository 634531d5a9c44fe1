/* SPDX-License-Identifier: Apache-2.0
 *
 * Names on the disk that can lose power. No hard links: a node has one name now, and may have another, older
 * one that is durable.
 */
#include "powerfs_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node *names_node(struct disk *disk, mode_t mode)
{
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        abort();
    node->number = ++disk->numbers;
    node->mode = mode;
    return node;
}

static struct entry *entries_find(const struct entries *entries, const char *name, size_t bytes)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strlen(entries->at[i].name) == bytes && memcmp(entries->at[i].name, name, bytes) == 0)
            return &entries->at[i];
    return NULL;
}

static void entries_add(struct entries *entries, const char *name, struct node *node)
{
    if (entries->count == entries->room) {
        entries->room = entries->room ? entries->room * 2 : 8;
        entries->at = realloc(entries->at, entries->room * sizeof(*entries->at));
        if (!entries->at)
            abort();
    }
    char *copy = strdup(name);
    if (!copy)
        abort();
    entries->at[entries->count++] = (struct entry){ copy, node };
    disk_hold(node);
}

static void entries_remove(struct disk *disk, struct entries *entries, struct entry *entry)
{
    struct node *node = entry->node;
    free(entry->name);
    *entry = entries->at[--entries->count];
    disk_release(disk, node);
}

void names_clear(struct disk *disk, struct entries *entries)
{
    while (entries->count > 0)
        entries_remove(disk, entries, &entries->at[entries->count - 1]);
    free(entries->at);
    *entries = (struct entries){ 0 };
}

/* The copy is held before the old is released: the two may share nodes. */
static void entries_copy(struct disk *disk, struct entries *to, const struct entries *from)
{
    struct entries old = *to;
    *to = (struct entries){ 0 };
    for (size_t i = 0; i < from->count; i++)
        entries_add(to, from->at[i].name, from->at[i].node);
    names_clear(disk, &old);
}

void names_flush(struct disk *disk, struct node *directory)
{
    entries_copy(disk, &directory->durable_names, &directory->names);
}

void names_revert(struct disk *disk, struct node *directory)
{
    for (size_t i = 0; i < directory->names.count; i++)
        directory->names.at[i].node->parent = NULL;
    entries_copy(disk, &directory->names, &directory->durable_names);
    for (size_t i = 0; i < directory->names.count; i++)
        directory->names.at[i].node->parent = directory;
}

/* A node's name now; NULL: it was removed, or is the root. */
static const char *names_name(const struct node *node)
{
    const struct entries *names = node->parent ? &node->parent->names : NULL;
    for (size_t i = 0; names && i < names->count; i++)
        if (names->at[i].node == node)
            return names->at[i].name;
    return NULL;
}

void disk_path(const struct node *node, char *out, size_t bytes)
{
    size_t at = bytes - 1;
    out[at] = '\0';
    for (const char *name; (name = names_name(node)); node = node->parent) {
        size_t count = strlen(name);
        if (count + 1 > at)
            break;
        at -= count;
        memcpy(out + at, name, count);
        out[--at] = '/';
    }
    memmove(out, out + at, bytes - at);
}

void names_flush_path(struct disk *disk, struct node *node)
{
    for (; node->parent; node = node->parent) {
        struct node *directory = node->parent;
        const char *name = names_name(node);
        if (!name)
            return;
        struct entry *old = entries_find(&directory->durable_names, name, strlen(name));
        if (old && old->node == node)
            continue;
        if (old)
            entries_remove(disk, &directory->durable_names, old);
        entries_add(&directory->durable_names, name, node);
    }
}

bool names_changed(const struct node *directory)
{
    const struct entries *now = &directory->names, *durable = &directory->durable_names;
    if (now->count != durable->count)
        return true;
    for (size_t i = 0; i < now->count; i++) {
        struct entry *other = entries_find(durable, now->at[i].name, strlen(now->at[i].name));
        if (!other || other->node != now->at[i].node)
            return true;
    }
    return false;
}

/* The directory that holds the last component of `path`, which is stored in *name. */
static struct node *names_parent(struct disk *disk, const char *path, const char **name)
{
    struct node *at = disk->root;
    for (;;) {
        while (*path == '/')
            path++;
        const char *slash = strchr(path, '/');
        if (!slash)
            break;
        struct entry *entry = entries_find(&at->names, path, (size_t)(slash - path));
        if (!entry || !S_ISDIR(entry->node->mode))
            return NULL;
        at = entry->node;
        path = slash;
    }
    *name = path;
    return at;
}

struct node *disk_find(struct disk *disk, const char *path)
{
    const char *name;
    struct node *parent = names_parent(disk, path, &name);
    if (!parent || !*name)
        return parent;
    struct entry *entry = entries_find(&parent->names, name, strlen(name));
    return entry ? entry->node : NULL;
}

struct node *disk_make(struct disk *disk, const char *path, mode_t mode)
{
    const char *name;
    struct node *parent = names_parent(disk, path, &name);
    if (!parent || !*name)
        return NULL;
    struct node *node = names_node(disk, mode);
    node->parent = parent;
    entries_add(&parent->names, name, node);
    return node;
}

int disk_remove(struct disk *disk, const char *path)
{
    const char *name;
    struct node *parent = names_parent(disk, path, &name);
    struct entry *entry = parent ? entries_find(&parent->names, name, strlen(name)) : NULL;
    if (!entry)
        return -ENOENT;
    if (entry->node->names.count > 0)
        return -ENOTEMPTY;
    entry->node->parent = NULL;
    entries_remove(disk, &parent->names, entry);
    return 0;
}

int disk_rename(struct disk *disk, const char *from, const char *to)
{
    const char *old_name, *new_name;
    struct node *old_parent = names_parent(disk, from, &old_name);
    struct node *new_parent = names_parent(disk, to, &new_name);
    struct entry *entry = old_parent ? entries_find(&old_parent->names, old_name, strlen(old_name)) : NULL;
    if (!entry || !new_parent)
        return -ENOENT;
    struct node *node = entry->node;
    struct entry *target = entries_find(&new_parent->names, new_name, strlen(new_name));
    if (target && target->node == node)
        return 0;
    if (target && target->node->names.count > 0)
        return -ENOTEMPTY;
    disk_hold(node);
    if (target) {
        target->node->parent = NULL;
        entries_remove(disk, &new_parent->names, target);
    }
    /* Removing the target may have moved the entry. */
    entries_remove(disk, &old_parent->names, entries_find(&old_parent->names, old_name, strlen(old_name)));
    entries_add(&new_parent->names, new_name, node);
    node->parent = new_parent;
    disk_release(disk, node);
    return 0;
}
