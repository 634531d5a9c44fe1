/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/catalog.c: the topics in memory, by name, in order and by id; and the records in `__catalog` that
 * say how they came about.
 *
 * A record's key is the topic's name; its value is null (deleted) or text that people can read too:
 *   id=7 partitions=3 created_ms=1700000000000 retention.ms=3600000
 */
#include "partition/internal.h"
#include "partition/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes topic_name(const struct topic *t)
{
    return (struct bytes){ (const uint8_t *)t->name, t->name_len };
}

/* ---- finding ---- */

static struct bytes catalog_name_at(const void *rows, uint32_t i)
{
    struct topic *const *topics = rows;
    return topic_name(topics[i]);
}

static uint32_t catalog_place(const struct store *store, struct bytes name, bool *found)
{
    return name_place(store->topics, store->topic_count, catalog_name_at, name, found);
}

struct topic *catalog_find(struct store *store, struct bytes name)
{
    bool found;
    uint32_t at = catalog_place(store, name, &found);
    return found ? store->topics[at] : NULL;
}

struct topic *catalog_next(struct store *store, struct bytes after)
{
    bool found;
    uint32_t at = after.len ? catalog_place(store, after, &found) : 0;
    if (after.len && found)
        at++;
    return at < store->topic_count ? store->topics[at] : NULL;
}

struct topic *catalog_by_id(struct store *store, uint64_t id)
{
    if (id >= INTERNAL_TOPIC_ID)
        return id < INTERNAL_TOPIC_ID + INTERNAL_IDS ? store->internal_ids[id - INTERNAL_TOPIC_ID] : NULL;
    return id < store->topic_id_room ? store->topic_ids[id] : NULL;
}

uint64_t catalog_next_id(const struct store *store)
{
    return store->topic_id_next;
}

uint64_t catalog_version(const struct store *store)
{
    return store->catalog_version;
}

/* Letters to change, insert or delete between two names, given up above `most`. */
static uint32_t name_distance(struct bytes a, struct bytes b, uint32_t most)
{
    uint32_t row[TOPIC_NAME_MAX + 1];
    if (a.len > b.len + most || b.len > a.len + most)
        return most + 1;
    for (uint32_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        uint32_t diagonal = row[0], least = row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t cost = diagonal + (a.at[i - 1] != b.at[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1;
            row[j] = cost;
            if (cost < least)
                least = cost;
        }
        if (least > most)
            return most + 1;
    }
    return row[b.len];
}

const char *catalog_similar(struct store *store, struct bytes name)
{
    enum { LOOKED_AT_MAX = 1000 }; /* an error message is not worth a long search */
    const char *best = NULL;
    uint32_t least = 3;
    if (!name.len || name.len > TOPIC_NAME_MAX)
        return NULL;
    for (uint32_t i = 0; i < store->topic_count && i < LOOKED_AT_MAX; i++) {
        const struct topic *t = store->topics[i];
        uint32_t distance = t->internal ? UINT32_MAX : name_distance(name, topic_name(t), 2);
        if (distance < least) {
            least = distance;
            best = t->name;
        }
    }
    return best;
}

/* ---- the table ---- */

static void catalog_index_id(struct store *store, struct topic *t)
{
    if (t->id >= INTERNAL_TOPIC_ID) {
        store->internal_ids[t->id - INTERNAL_TOPIC_ID] = t;
        return;
    }
    if (t->id >= store->topic_id_room) {
        uint32_t room = store->topic_id_room ? store->topic_id_room : 64;
        while (room <= t->id)
            room *= 2;
        store->topic_ids =
            mem_realloc(MEM_CATALOG, store->topic_ids, store->topic_id_room * sizeof(t), room * sizeof(t));
        memset(store->topic_ids + store->topic_id_room, 0, (room - store->topic_id_room) * sizeof(t));
        store->topic_id_room = room;
    }
    store->topic_ids[t->id] = t;
    if (t->id >= store->topic_id_next)
        store->topic_id_next = (uint32_t)t->id + 1;
}

static void topic_grow(struct store *store, struct topic *t, uint32_t partitions)
{
    t->partitions = mem_realloc(MEM_CATALOG, t->partitions, t->partition_count * sizeof(*t->partitions),
                                partitions * sizeof(*t->partitions));
    for (uint32_t i = t->partition_count; i < partitions; i++)
        t->partitions[i] = partition_create(store, t, i);
    if (t->internal)
        store->internal_partitions += partitions - t->partition_count;
    t->partition_count = partitions;
    store->catalog_version++;
}

struct topic *catalog_insert(struct store *store, struct bytes name, uint64_t id, uint32_t partitions,
                             const struct topic_settings *settings, int64_t created_ms)
{
    struct topic *t = mem_zalloc(MEM_CATALOG, sizeof(*t));
    t->id = id;
    t->created_ms = created_ms;
    t->name_len = (uint8_t)name.len;
    memcpy(t->name, name.at, name.len);
    t->internal = topic_name_internal(name);
    t->settings = *settings;
    topic_grow(store, t, partitions);

    bool found;
    uint32_t at = catalog_place(store, name, &found);
    CHECK(!found);
    if (store->topic_count == store->topic_room) {
        uint32_t room = store->topic_room ? store->topic_room * 2 : 64;
        store->topics =
            mem_realloc(MEM_CATALOG, store->topics, store->topic_room * sizeof(t), room * sizeof(t));
        store->topic_room = room;
    }
    memmove(store->topics + at + 1, store->topics + at, (store->topic_count - at) * sizeof(t));
    store->topics[at] = t;
    store->topic_count++;
    store->internal_topics += t->internal;
    catalog_index_id(store, t);
    topic_window(store, t);
    return t;
}

static void topic_free(struct store *store, struct topic *t)
{
    t->settings.dedupe_window_ms = 0;
    topic_window(store, t);
    for (uint32_t i = 0; i < t->partition_count; i++)
        partition_destroy(t->partitions[i]);
    mem_free(MEM_CATALOG, t->partitions, t->partition_count * sizeof(*t->partitions));
    mem_free(MEM_CATALOG, t, sizeof(*t));
}

/* Frees a deleted topic once nothing refers to it any more. */
void topic_unused(struct store *store, struct topic *t)
{
    if (!t->deleted || t->holders)
        return;
    for (uint32_t i = 0; i < t->partition_count; i++)
        if (t->partitions[i]->refs || !list_empty(&t->partitions[i]->waiters))
            return;
    list_remove(&t->link);
    topic_free(store, t);
}

void catalog_remove(struct store *store, struct topic *t)
{
    bool found;
    uint32_t at = catalog_place(store, topic_name(t), &found);
    CHECK(found && store->topics[at] == t);
    memmove(store->topics + at, store->topics + at + 1, (store->topic_count - at - 1) * sizeof(t));
    store->topic_count--;
    store->topic_ids[t->id] = NULL;
    store->catalog_version++;
    t->deleted = true;
    t->settings.dedupe_window_ms = 0;
    topic_window(store, t);
    list_append(&store->deleted_topics, &t->link);
    for (uint32_t i = 0; i < t->partition_count; i++) {
        struct partition *p = t->partitions[i];
        p->gone = true;
        producers_forget(store->producers, p);
        flush_abandon(p);
        if (!list_empty(&p->waiters) && !list_linked(&p->woken_link))
            list_append(&store->woken, &p->woken_link);
    }
}

void topic_hold(struct topic *t)
{
    t->holders++;
}

void topic_release(struct store *store, struct topic *t)
{
    CHECK(t->holders > 0);
    t->holders--;
    topic_unused(store, t);
}

void catalog_init(struct store *store)
{
    struct topic_settings settings;
    internal_settings(&settings);
    list_init(&store->deleted_topics);
    store->topic_id_next = CATALOG_TOPIC_ID + 1;
    store->catalog = catalog_insert(store, bytes_of("__catalog"), CATALOG_TOPIC_ID, 1, &settings, 0);
    states_init(store);
}

void catalog_destroy(struct store *store)
{
    for (uint32_t i = 0; i < store->topic_count; i++)
        topic_free(store, store->topics[i]);
    while (!list_empty(&store->deleted_topics))
        topic_free(store, CONTAINER_OF(list_pop(&store->deleted_topics), struct topic, link));
    mem_free(MEM_CATALOG, store->topics, store->topic_room * sizeof(*store->topics));
    mem_free(MEM_CATALOG, store->topic_ids, store->topic_id_room * sizeof(*store->topic_ids));
}

/* ---- records ---- */

uint32_t catalog_text(const struct topic *t, char *out, uint32_t room)
{
    int n = snprintf(out, room, "id=%" PRIu64 " partitions=%u created_ms=%" PRId64, t->id, t->partition_count,
                     t->created_ms);
    for (uint32_t i = 0; i < settings_count(); i++)
        if (t->settings.set & (1u << i)) {
            char value[SETTINGS_TEXT_BYTES];
            settings_text(&t->settings, i, value);
            n += snprintf(out + n, room - (uint32_t)n, " %s=%s", settings_row(i)->name, value);
        }
    CHECK((uint32_t)n < room);
    return (uint32_t)n;
}

/* Records what became of a topic: `value.at` NULL for its deletion. */
static void catalog_record(struct store *store, const struct topic *t, struct bytes value)
{
    uint8_t buffer[CATALOG_CHANGE_BYTES / 2];
    struct batch_builder builder;
    batch_build_start(&builder, buffer, sizeof(buffer));
    bool fits = batch_build_add(&builder, store->clock->wall_ms, topic_name(t), value, NULL, 0);
    CHECK(fits);
    uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    struct batch batch;
    bool decoded = batch_decode(&batch, buffer, bytes);
    CHECK(decoded);
    struct append_result result;
    partition_append(store->catalog->partitions[0], &batch, &result);
}

static void catalog_record_topic(struct store *store, const struct topic *t)
{
    char text[CATALOG_CHANGE_BYTES / 2 - TOPIC_NAME_MAX - 128];
    uint32_t n = catalog_text(t, text, sizeof(text));
    catalog_record(store, t, (struct bytes){ (const uint8_t *)text, n });
}

static bool catalog_parse(struct store *store, struct bytes value, uint64_t *id, uint32_t *partitions,
                          int64_t *created_ms, struct topic_settings *settings, char *why)
{
    const char *at = (const char *)value.at, *end = at + value.len;
    *settings = store->options.topic_defaults;
    settings->set = 0;
    *id = 0;
    *partitions = 0;
    *created_ms = 0;
    while (at < end) {
        const char *stop = memchr(at, ' ', (size_t)(end - at));
        if (!stop)
            stop = end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        if (!equals)
            return false;
        struct bytes name = { (const uint8_t *)at, (uint32_t)(equals - at) };
        struct bytes text = { (const uint8_t *)equals + 1, (uint32_t)(stop - equals - 1) };
        int64_t number = 0;
        bool is_number = parse_bytes(text, &number);
        if (name.len == 2 && memcmp(at, "id", 2) == 0 && is_number)
            *id = (uint64_t)number;
        else if (name.len == 10 && memcmp(at, "partitions", 10) == 0 && is_number)
            *partitions = (uint32_t)number;
        else if (name.len == 10 && memcmp(at, "created_ms", 10) == 0 && is_number)
            *created_ms = number;
        else if (!settings_set(settings, &store->options.topic_defaults, name, text, why))
            return false;
        at = stop < end ? stop + 1 : end;
    }
    return *id > CATALOG_TOPIC_ID && *partitions > 0 && *partitions <= 1u << 20;
}

bool catalog_apply(struct store *store, const struct record *record, char *why)
{
    struct topic *t = catalog_find(store, record->key);
    if (!record->value.at) {
        if (t && !t->internal) {
            removal_add_topic(store, t->name, t->id, 0);
            catalog_remove(store, t);
            topic_unused(store, t);
        }
        return true;
    }
    uint64_t id;
    uint32_t partitions;
    int64_t created_ms;
    struct topic_settings settings;
    const uint64_t id_end =
        topic_name_internal(record->key) ? INTERNAL_TOPIC_ID + INTERNAL_IDS : INTERNAL_TOPIC_ID;
    if (!topic_name_valid(record->key) ||
        !catalog_parse(store, record->value, &id, &partitions, &created_ms, &settings, why) || id >= id_end) {
        snprintf(why, WHY_BYTES, "record %" PRId64 " of __catalog cannot be understood", record->offset);
        return false;
    }
    if (!t) {
        catalog_insert(store, record->key, id, partitions, &settings, created_ms);
        return true;
    }
    t->settings = settings;
    topic_window(store, t);
    if (partitions > t->partition_count)
        topic_grow(store, t, partitions);
    return true;
}

/* ---- changes ---- */

static enum error catalog_settings(const struct topic_settings *defaults, const struct bytes *names,
                                   const struct bytes *values, uint32_t count,
                                   struct topic_settings *settings, uint32_t batch_bytes_max, char *why)
{
    for (uint32_t i = 0; i < count; i++)
        if (!settings_set(settings, defaults, names[i], values[i], why))
            return ERR_TOPIC_CONFIG_INVALID;
    if (settings->max_message_bytes > batch_bytes_max) {
        snprintf(why, WHY_BYTES, "max.message.bytes may be at most the broker's batch.bytes.max, %u",
                 batch_bytes_max);
        return ERR_TOPIC_CONFIG_INVALID;
    }
    if (settings->segment_bytes < settings->max_message_bytes) {
        snprintf(why, WHY_BYTES, "segment.bytes (%lld) must be at least max.message.bytes (%lld)",
                 (long long)settings->segment_bytes, (long long)settings->max_message_bytes);
        return ERR_TOPIC_CONFIG_INVALID;
    }
    return ERR_OK;
}

static enum error catalog_partitions_fit(const struct store *store, uint32_t partitions, uint32_t more,
                                         char *why)
{
    if (!partitions || partitions > store->options.topic_partitions_max) {
        snprintf(why, WHY_BYTES, "%u partitions are not possible: give 1 to %u", partitions,
                 store->options.topic_partitions_max);
        return ERR_PARTITIONS_INVALID;
    }
    const uint32_t count = store->partition_count - store->internal_partitions;
    if (count + (uint64_t)more > store->options.partitions_max) {
        snprintf(why, WHY_BYTES,
                 "the broker has %u partitions of at most %u: delete topics, or raise partitions.max", count,
                 store->options.partitions_max);
        return ERR_LIMIT_REACHED;
    }
    return ERR_OK;
}

enum error catalog_create(struct store *store, struct bytes name, uint32_t partitions,
                          const struct bytes *names, const struct bytes *values, uint32_t count,
                          struct topic **out, char *why)
{
    if (!topic_name_valid(name)) {
        snprintf(why, WHY_BYTES, "'%.*s' is not a topic name: use 1 to %d letters, digits, '.', '_' or '-'",
                 (int)(name.len > 64 ? 64 : name.len), (const char *)name.at, TOPIC_NAME_MAX);
        return ERR_TOPIC_NAME_INVALID;
    }
    if (topic_name_internal(name)) {
        snprintf(why, WHY_BYTES, "names that start with '__' are the broker's own: choose another");
        return ERR_TOPIC_INTERNAL;
    }
    if (catalog_find(store, name)) {
        snprintf(why, WHY_BYTES, "topic %.*s exists already", (int)name.len, (const char *)name.at);
        return ERR_TOPIC_EXISTS;
    }
    enum error error = rules_name(store->options.rules, name, why);
    if (error)
        return error;
    const struct topic_template *template = rules_template(store->options.rules, name);
    if (!partitions)
        partitions =
            template && template->partitions ? template->partitions : store->options.partitions_default;
    error = catalog_partitions_fit(store, partitions, partitions, why);
    if (error)
        return error;
    const uint32_t topics = store->topic_count - store->internal_topics;
    if (topics >= store->options.topics_max || store->topic_id_next >= INTERNAL_TOPIC_ID) {
        snprintf(why, WHY_BYTES, "the broker has %u topics of at most %u: delete some, or raise topics.max",
                 topics, store->options.topics_max);
        return ERR_LIMIT_REACHED;
    }
    struct topic_settings settings = store->options.topic_defaults;
    settings.set = 0;
    if (template)
        rules_apply(template, &settings);
    error = catalog_settings(&store->options.topic_defaults, names, values, count, &settings,
                             store->options.batch_bytes_max, why);
    if (error)
        return error;
    *out = catalog_insert(store, name, store->topic_id_next, partitions, &settings, store->clock->wall_ms);
    catalog_record_topic(store, *out);
    return ERR_OK;
}

static enum error catalog_changeable(const struct topic *t, char *why)
{
    if (t->deleted) {
        snprintf(why, WHY_BYTES, "topic %s was deleted", t->name);
        return ERR_TOPIC_NOT_FOUND;
    }
    if (t->internal) {
        snprintf(why, WHY_BYTES, "topic %s belongs to the broker: it can be read, not changed", t->name);
        return ERR_TOPIC_INTERNAL;
    }
    return ERR_OK;
}

enum error catalog_set(struct store *store, struct topic *t, const struct bytes *names,
                       const struct bytes *values, uint32_t count, char *why)
{
    struct topic_settings settings = t->settings;
    enum error error = catalog_changeable(t, why);
    if (!error)
        error = catalog_settings(&store->options.topic_defaults, names, values, count, &settings,
                                 store->options.batch_bytes_max, why);
    if (error)
        return error;
    t->settings = settings;
    topic_window(store, t);
    catalog_record_topic(store, t);
    return ERR_OK;
}

enum error catalog_add_partitions(struct store *store, struct topic *t, uint32_t partitions, char *why)
{
    enum error error = catalog_changeable(t, why);
    if (error)
        return error;
    if (partitions <= t->partition_count) {
        snprintf(why, WHY_BYTES, "topic %s has %u partitions already; their number can only grow", t->name,
                 t->partition_count);
        return ERR_PARTITIONS_INVALID;
    }
    error = catalog_partitions_fit(store, partitions, partitions - t->partition_count, why);
    if (error)
        return error;
    topic_grow(store, t, partitions);
    catalog_record_topic(store, t);
    return ERR_OK;
}

enum error catalog_delete(struct store *store, struct topic *t, char *why)
{
    enum error error = catalog_changeable(t, why);
    if (error)
        return error;
    catalog_record(store, t, (struct bytes){ 0 });
    removal_add_topic(store, t->name, t->id, store_sequence(store));
    catalog_remove(store, t);
    topic_unused(store, t);
    return ERR_OK;
}
