/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/powerfs_names.h: names on the disk that can lose power: directories now, and durable ones.
 */
#ifndef RUNNEL_TESTS_POWERFS_NAMES_H
#define RUNNEL_TESTS_POWERFS_NAMES_H

#include <sys/stat.h>

#include "powerfs_disk.h"

/* A node without a name; no reference is held yet. */
struct node *names_node(struct disk *disk, mode_t mode);
void names_clear(struct disk *disk, struct entries *entries);
/* Makes a directory's entries durable as they are now. */
void names_flush(struct disk *disk, struct node *directory);
/* Makes one node's name, and those of the directories above it, durable. */
void names_flush_path(struct disk *disk, struct node *node);
/* Makes a directory's entries what is durable. */
void names_revert(struct disk *disk, struct node *directory);
/* Does it differ from what is durable? */
bool names_changed(const struct node *directory);

#endif
