/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/catalog.h: the topics: which there are, their settings, their partitions.
 *
 * A change takes effect in memory at once and is a record in the internal topic `__catalog`, in the journal's
 * open group: it is durable when on_durable reaches store_sequence() as it was after the call, and only then
 * may the caller answer. Changes need store_room(JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES) first.
 */
#ifndef RUNNEL_PARTITION_CATALOG_H
#define RUNNEL_PARTITION_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "partition/settings.h"
#include "proto/cursor.h"
#include "proto/errors.h"
#include "proto/name.h"

struct dedupe_window;
struct partition;
struct store;

enum { CATALOG_CHANGE_BYTES = 4096, CATALOG_WHY_BYTES = 256 };

struct topic {
    struct list link; /* among the deleted ones that somebody still holds */
    uint64_t id;      /* never used twice */
    int64_t created_ms;
    char name[TOPIC_NAME_MAX + 1];
    uint8_t name_len;
    bool internal;
    bool deleted;     /* gone from the catalogue; freed when nobody holds it */
    uint32_t holders; /* open handles: topic_hold / topic_release */
    struct topic_settings settings;
    struct dedupe_window *window; /* NULL: dedupe.window is off */
    uint32_t partition_count;
    struct partition **partitions;
};

/* NULL when there is none. Deleted topics are not found. */
struct topic *catalog_find(struct store *store, struct bytes name);
/* Deleted ones are not found. */
struct topic *catalog_by_id(struct store *store, uint64_t id);
/* Ids of topics made from now on are not below this one. */
uint64_t catalog_next_id(const struct store *store);
/* Raised when a topic is made, deleted or given partitions. */
uint64_t catalog_version(const struct store *store);
/* The first topic whose name is greater than `after` (empty: the first of all), in order of names; NULL at
 * the end. */
struct topic *catalog_next(struct store *store, struct bytes after);
/* A topic name close to one that was not found, for "did you mean"; NULL when none is. */
const char *catalog_similar(struct store *store, struct bytes name);

/* partitions 0: the default. `names[i]`/`values[i]`: settings. On success *out. Errors come with a sentence
 * in `why`. */
enum error catalog_create(struct store *store, struct bytes name, uint32_t partitions,
                          const struct bytes *names, const struct bytes *values, uint32_t count,
                          struct topic **out, char *why);
enum error catalog_set(struct store *store, struct topic *topic, const struct bytes *names,
                       const struct bytes *values, uint32_t count, char *why);
enum error catalog_add_partitions(struct store *store, struct topic *topic, uint32_t partitions, char *why);
/* Its partitions' waiters wake and find READ_GONE; its files go once the deletion is durable. */
enum error catalog_delete(struct store *store, struct topic *topic, char *why);

/* Keeps a topic's memory while a handle refers to it. */
void topic_hold(struct topic *topic);
void topic_release(struct store *store, struct topic *topic);

#endif
