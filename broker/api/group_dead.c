/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_dead.c: dead letters: an event that its group gave up is read once more and written to the
 * dead-letter topic, and the group goes on behind it: one commit, both or neither.
 *
 * What cannot be done now (no room in the journal, disk full, too many at once) is put back and comes again:
 * the coordinator raises give_up() until the event is settled. So nothing is kept here but reads that run,
 * and those that wait for one of them to end: events given up lie beside each other, and one read serves
 * many.
 */
#include <stdio.h>
#include <string.h>

#include "api/group_own.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/mem.h"
#include "group/deadletter.h"
#include "proto/compress.h"

enum {
    LETTERS_MAX = 16, /* reads at once: each may hold a megabyte; what waits is bounded by GIVE_UPS_MAX */
    LETTER_LATER_MS = 100, /* until what could not be done is tried again */
    LETTER_TELL_MS = 1000, /* at most one message in so long: a thousand events may share a reason */
    LETTER_READ_BYTES = 4096,
    LETTER_READ_MANY_BYTES = 256 << 10, /* when others wait */
    LETTER_PACKER_KEEP = 1 << 20,       /* larger buffers of unpacked batches are not kept */
};
static const char LETTER_RETENTION[] = "2592000000"; /* 30 days */

struct letter {
    struct list link; /* in door.letters while it is read, before that perhaps in door.letters_waiting */
    struct api *api;
    struct gp *gp;
    uint64_t offset;
    struct reading *reading; /* NULL: waits */
};

static void letter_free(struct letter *l)
{
    if (l->reading) {
        reading_abandon(l->reading);
        l->api->door.letter_count--;
    }
    list_remove(&l->link);
    mem_free(MEM_API, l, sizeof(*l));
}

static void letters_gone(struct list *letters, const struct gp *gp)
{
    LIST_FOR_EACH_SAFE (node, letters) {
        struct letter *l = CONTAINER_OF(node, struct letter, link);
        if (l->gp == gp)
            letter_free(l);
    }
}

void group_dead_gone(struct api *api, const struct gp *gp)
{
    letters_gone(&api->door.letters, gp);
    letters_gone(&api->door.letters_waiting, gp);
}

static void dead_tell(struct api *api, const struct gp *gp, const char *what, const char *why)
{
    const uint64_t now = api->clock->mono_ns / 1000000;
    if (api->door.letter_told_ms && now - api->door.letter_told_ms < LETTER_TELL_MS)
        return;
    api->door.letter_told_ms = now;
    diag(DIAG_ERROR, "groups", what, DIAG_KS("reason", why), DIAG_KS("group", gp->group->name),
         DIAG_KS("topic", gp->topic->name), DIAG_KU("partition", gp->number));
}

static void dead_later(struct gp *gp, uint64_t offset)
{
    group_give_up_later(gp, offset, LETTER_LATER_MS);
}

/* Nothing is written: the event is gone, or its group wants no dead letters. */
static void dead_settle(struct api *api, struct gp *gp, uint64_t offset)
{
    bool ok;
    if (!groups_room(api->door.groups, 0, 0, GROUP_NACK_BYTES)) {
        dead_later(gp, offset);
        return;
    }
    group_settled(gp, offset, false);
    groups_flush(api->door.groups, &ok);
    CHECK(ok); /* groups_room() said yes */
}

/* ---- where it goes ---- */

/* The name of the dead-letter topic; false: none, on purpose. */
static bool dead_topic_name(struct api *api, const struct gp *gp, char *out)
{
    const struct bytes topic = { (const uint8_t *)gp->topic->name, gp->topic->name_len };
    const char *set = gp->group->settings.dlq_topic_name;
    if (deadletter_is_topic(topic) || strcmp(set, "none") == 0)
        return false;
    if (set[0]) {
        snprintf(out, TOPIC_NAME_MAX + 1, "%s", set);
        return strcmp(out, gp->topic->name) != 0;
    }
    if (deadletter_topic(topic, out))
        return true;
    dead_tell(api, gp, "no dead letter: the name of its topic would be too long", "set dlq.topic");
    return false;
}

/* Finds or makes it. NULL: not now. */
static struct topic *dead_topic(struct api *api, const struct gp *gp, const char *name)
{
    char bytes_max[24], why[API_WHY_BYTES];
    struct topic *t = catalog_find(api->store, bytes_of(name));
    if (t)
        return t->internal ? NULL : t;
    if (!store_room(api->store, JOURNAL_RESERVED, 1, CATALOG_CHANGE_BYTES))
        return NULL;
    /* As large as any batch may be: a dead letter is a little larger than its event. */
    snprintf(bytes_max, sizeof(bytes_max), "%u", api->options.batch_bytes_max);
    const struct bytes names[] = { bytes_of("retention.ms"), bytes_of("max.message.bytes") };
    const struct bytes values[] = { bytes_of(LETTER_RETENTION), bytes_of(bytes_max) };
    const enum error code =
        catalog_create(api->store, bytes_of(name), gp->topic->partition_count, names, values, 2, &t, why);
    if (code == ERR_OK)
        return t;
    dead_tell(api, gp, "the dead-letter topic cannot be made", why);
    return NULL;
}

/* ---- writing ---- */

enum dead_result { DEAD_WRITTEN, DEAD_LATER, DEAD_TOO_LARGE };

static enum dead_result dead_append(struct api *api, struct gp *gp, uint64_t offset, struct partition *to,
                                    const struct record *record, const struct deadletter *letter)
{
    const uint64_t room = deadletter_bytes_max(record, letter);
    char why[API_WHY_BYTES];
    struct batch batch;
    enum dead_result result = DEAD_TOO_LARGE;
    bool ok;
    if (room > UINT32_MAX)
        return DEAD_TOO_LARGE;
    uint8_t *bytes = mem_alloc(MEM_API, room);
    const uint32_t n = deadletter_build(bytes, (uint32_t)room, record, letter);
    if (n && batch_check(&batch, bytes, n, why) == ERR_OK) {
        const enum error code = partition_check(to, &batch, why);
        if (code == ERR_OK && groups_room(api->door.groups, 1, n, GROUP_NACK_BYTES)) {
            struct append_result appended;
            partition_append(to, &batch, &appended);
            group_settled(gp, offset, true);
            groups_flush(api->door.groups, &ok);
            CHECK(ok); /* one commit: groups_room() said yes */
            result = DEAD_WRITTEN;
        } else if (code != ERR_BATCH_TOO_LARGE) {
            result = DEAD_LATER;
        }
    }
    mem_free(MEM_API, bytes, room);
    return result;
}

/* The whole of it, or without the texts, or without the value when even that is too much for any batch: the
 * headers say where the original is. */
static void dead_write(struct api *api, struct gp *gp, uint64_t offset, struct record *record)
{
    char name[TOPIC_NAME_MAX + 1], why[API_WHY_BYTES];
    struct failure f;
    struct topic *t = NULL;
    if (!group_failure(gp, offset, &f))
        return; /* settled meanwhile: a seek */
    if (store_accepts(api->store, why) == ERR_OK && dead_topic_name(api, gp, name))
        t = dead_topic(api, gp, name);
    if (!t) {
        dead_later(gp, offset);
        return;
    }
    struct partition *to = t->partitions[gp->number % t->partition_count];
    struct deadletter letter = {
        .topic = { (const uint8_t *)gp->topic->name, gp->topic->name_len },
        .partition = gp->number,
        .offset = offset,
        .error_type = f.type,
        .error_message = f.message,
        .error_stack = f.stack,
        .retry_count = f.attempts > 0 ? f.attempts - 1u : 0,
        .failed_ms = f.failed_at_ms,
        .group = bytes_of(gp->group->name),
        .instance = f.member,
        .disposition = bytes_of(f.rejected ? "rejected" : "max_attempts"),
    };
    enum dead_result result = dead_append(api, gp, offset, to, record, &letter);
    if (result == DEAD_TOO_LARGE) {
        letter.error_stack = letter.error_message = bytes_of("");
        result = dead_append(api, gp, offset, to, record, &letter);
    }
    if (result == DEAD_TOO_LARGE) {
        record->value = (struct bytes){ NULL, 0 };
        letter.error_message = bytes_of("the event is too large for a dead letter: see the original");
        result = dead_append(api, gp, offset, to, record, &letter);
    }
    if (result != DEAD_WRITTEN)
        dead_later(gp, offset);
}

/* ---- reading ---- */

/* `bytes` hold the batch with the event, or what is behind it when it is gone. */
static void dead_found(struct api *api, struct gp *gp, uint64_t offset, const uint8_t *data, uint32_t bytes)
{
    char why[DEADLETTER_WHY_BYTES] = "";
    struct record record;
    struct batch batch;
    for (uint32_t at = 0; at < bytes; at += batch.bytes) {
        CHECK(batch_decode(&batch, data + at, bytes - at)); /* whole batches */
        if ((uint64_t)batch.base_offset + (uint32_t)batch.last_offset_delta < offset)
            continue;
        if (deadletter_find(&api->door.packer, &batch, offset, &record, why))
            dead_write(api, gp, offset, &record);
        else
            dead_settle(api, gp, offset);
        break;
    }
    if (why[0])
        dead_tell(api, gp, "no dead letter: the event cannot be read", why);
    if (api->door.packer.size > LETTER_PACKER_KEEP)
        packer_free(&api->door.packer, false);
}

/* Retention was faster, or the segment is damaged: reading it again will not help. */
static void dead_unreadable(struct api *api, struct gp *gp, uint64_t offset, enum error code)
{
    if (code != ERR_OFFSET_OUT_OF_RANGE)
        dead_tell(api, gp, "no dead letter: the event cannot be read", error_text((uint16_t)code));
    dead_settle(api, gp, offset);
}

static void letter_read(void *owner, struct reading *r);

static void letter_start(struct letter *l)
{
    struct api *api = l->api;
    list_remove(&l->link);
    const uint32_t bytes =
        list_empty(&api->door.letters_waiting) ? LETTER_READ_BYTES : LETTER_READ_MANY_BYTES;
    list_append(&api->door.letters, &l->link);
    api->door.letter_count++;
    l->reading = reading_history(api, NULL, l->gp->partition, l->offset, bytes, l, letter_read);
}

/* Those that wait for an event in what was read just now have it. */
static void letters_found(struct api *api, struct gp *gp, const uint8_t *data, uint32_t bytes)
{
    struct batch batch;
    int64_t first = INT64_MAX, end = 0;
    for (uint32_t at = 0; at < bytes; at += batch.bytes) {
        CHECK(batch_decode(&batch, data + at, bytes - at)); /* whole batches */
        first = batch.base_offset < first ? batch.base_offset : first;
        end = batch.base_offset + batch.last_offset_delta + 1;
    }
    LIST_FOR_EACH_SAFE (node, &api->door.letters_waiting) {
        struct letter *l = CONTAINER_OF(node, struct letter, link);
        const uint64_t offset = l->offset;
        if (l->gp != gp || (int64_t)offset < first || (int64_t)offset >= end)
            continue;
        letter_free(l);
        dead_found(api, gp, offset, data, bytes);
    }
}

static void letter_read(void *owner, struct reading *r)
{
    struct letter *l = owner;
    struct api *api = l->api;
    struct gp *gp = l->gp;
    const uint64_t offset = l->offset;
    const struct slice *slice = &r->history.slice;
    l->reading = NULL;
    api->door.letter_count--;
    letter_free(l);
    if (r->history.error == ERR_OK) {
        dead_found(api, gp, offset, slice->data, slice->bytes);
        letters_found(api, gp, slice->data, slice->bytes);
    } else {
        dead_unreadable(api, gp, offset, r->history.error);
    }
}

static void letter_make(struct api *api, struct gp *gp, uint64_t offset)
{
    struct letter *l = mem_zalloc(MEM_API, sizeof(*l));
    *l = (struct letter){ .api = api, .gp = gp, .offset = offset };
    list_init(&l->link);
    list_append(&api->door.letters_waiting, &l->link);
}

void group_dead_turn_end(struct api *api)
{
    struct list *waiting = &api->door.letters_waiting;
    while (api->door.letter_count < LETTERS_MAX && !list_empty(waiting))
        letter_start(CONTAINER_OF(waiting->next, struct letter, link));
}

void group_dead_start(struct api *api, struct gp *gp, uint64_t offset)
{
    char name[TOPIC_NAME_MAX + 1];
    struct cursor cursor = { .offset = offset };
    struct slice slice = { 0 };
    if (!dead_topic_name(api, gp, name)) {
        dead_settle(api, gp, offset);
        return;
    }
    switch (partition_read(gp->partition, &cursor, LETTER_READ_BYTES, &slice)) {
    case READ_DATA:
        dead_found(api, gp, offset, slice.data, slice.bytes);
        slice_release(api->store, &slice);
        return;
    case READ_HISTORY:
        letter_make(api, gp, offset);
        return;
    case READ_BELOW:
        dead_settle(api, gp, offset);
        return;
    case READ_END:
    case READ_ABOVE:
        dead_later(gp, offset);
        return;
    case READ_GONE:
        return; /* the coordinator drops the topic */
    }
}
