/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/describe.c: everything about a group, from the answer to GROUP_DESCRIBE.
 */
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/group/names.h"
#include "proto/name.h"
#include "proto/wire_group.h"

/* ---- words ---- */

#define WORD(words, i) ((i) < sizeof(words) / sizeof((words)[0]) ? (words)[i] : "?")

const char *group_mode_name(uint8_t mode)
{
    static const char *const words[] = { "?", "ordered", "shared", "kafka" };
    return WORD(words, mode);
}

const char *group_state_name(uint8_t state)
{
    static const char *const words[] = { "empty", "stable", "rebalancing", "paused" };
    return WORD(words, state);
}

const char *group_breaker_name(uint8_t breaker)
{
    static const char *const words[] = { "closed", "open", "half-open", "held open", "held closed" };
    return WORD(words, breaker);
}

const char *group_member_state_name(uint8_t state)
{
    static const char *const words[] = { "ok", "detached", "silent" };
    return WORD(words, state);
}

const char *group_pause_name(uint8_t pause)
{
    static const char *const words[] = { "",           "window full", "retry", "alone", "dead letter",
                                         "items full", "breaker" };
    return WORD(words, pause);
}

/* ---- the answer taken apart ---- */

/* Public part first; texts are terminated copies in `texts`. */
struct described {
    struct runnel_group_info info;
    struct runnel_config_row *configs;
    const char **topics;
    struct runnel_member_row *members;
    struct runnel_group_partition *partitions;
    struct runnel_offset_range *ranges; /* of all partitions */
    char *texts, *text_at;
};

static const char *keep(struct described *d, struct bytes text)
{
    char *at = d->text_at;
    if (text.len)
        memcpy(at, text.at, text.len);
    at[text.len] = '\0';
    d->text_at += text.len + 1;
    return at;
}

/* An array for `count` rows of which each takes at least `row` bytes of what is left of the answer. */
static void *array(const struct reader *r, uint64_t count, uint32_t row, size_t size)
{
    if (r->bad || count > reader_left(r) / row)
        return NULL;
    return calloc(count + 1, size);
}

static bool get_configs(struct described *d, struct reader *r)
{
    uint16_t count = read_u16(r);
    d->configs = array(r, count, 5, sizeof(*d->configs));
    for (uint16_t i = 0; d->configs && i < count; i++) {
        struct bytes name = read_str(r), value = read_str(r);
        uint8_t is_default = read_u8(r);
        if (r->bad)
            return false;
        d->configs[i] = (struct runnel_config_row){ keep(d, name), keep(d, value), is_default };
    }
    d->info.config_count = count;
    d->info.configs = d->configs;
    return d->configs != NULL;
}

static bool get_topics(struct described *d, struct reader *r)
{
    uint16_t count = read_u16(r);
    d->topics = array(r, count, 2, sizeof(*d->topics));
    for (uint16_t i = 0; d->topics && i < count; i++) {
        struct bytes name = read_str(r);
        if (r->bad)
            return false;
        d->topics[i] = keep(d, name);
    }
    d->info.topic_count = count;
    d->info.topics = d->topics;
    return d->topics != NULL;
}

static bool get_members(struct described *d, struct reader *r)
{
    uint32_t count = read_u32(r);
    d->members = array(r, count, 15, sizeof(*d->members));
    for (uint32_t i = 0; d->members && i < count; i++) {
        struct wire_group_member_row row;
        wire_get_group_member_row(r, &row);
        if (r->bad)
            return false;
        d->members[i] = (struct runnel_member_row){ .id = keep(d, row.member_id),
                                                    .instance = keep(d, row.instance_id),
                                                    .host = keep(d, row.host),
                                                    .in_flight = row.in_flight,
                                                    .partitions = row.partitions,
                                                    .state = group_member_state_name(row.state) };
    }
    d->info.member_count = count;
    d->info.members = d->members;
    return d->members != NULL;
}

static void get_partition(struct described *d, const struct wire_group_partition_row *row,
                          struct runnel_group_partition *out, struct runnel_offset_range *ranges)
{
    *out = (struct runnel_group_partition){ .topic = keep(d, row->topic),
                                            .partition = row->partition,
                                            .owner = keep(d, row->owner),
                                            .position = (int64_t)row->position,
                                            .next = (int64_t)row->next,
                                            .start_offset = (int64_t)row->start,
                                            .end_offset = (int64_t)row->end,
                                            .lag = row->lag,
                                            .lag_ms = row->lag_ms,
                                            .in_flight = row->in_flight,
                                            .items = row->items,
                                            .pause = group_pause_name(row->pause),
                                            .done = ranges,
                                            .done_count = row->done_count };
    for (uint16_t i = 0; i < row->done_count; i++) {
        struct wire_group_done done = wire_group_done_at(row->done, i);
        ranges[i] = (struct runnel_offset_range){ (int64_t)done.first, (int64_t)done.end };
    }
}

static bool get_partitions(struct described *d, struct reader *r)
{
    enum { ROW_MIN = 67 };
    uint32_t count = read_u32(r);
    d->partitions = array(r, count, ROW_MIN, sizeof(*d->partitions));
    d->ranges = array(r, reader_left(r) / WIRE_GROUP_DONE, 1, sizeof(*d->ranges));
    if (!d->partitions || !d->ranges)
        return false;
    struct runnel_offset_range *at = d->ranges;
    for (uint32_t i = 0; i < count; i++) {
        struct wire_group_partition_row row;
        wire_get_group_partition_row(r, &row);
        if (r->bad)
            return false;
        get_partition(d, &row, &d->partitions[i], at);
        at += row.done_count;
    }
    d->info.partition_count = count;
    d->info.partitions = d->partitions;
    return reader_done(r);
}

static struct described *describe(struct reader r)
{
    struct described *d = calloc(1, sizeof(*d));
    struct wire_group_described head;
    /* Each text becomes one byte longer and loses its two bytes of length: it all fits. */
    if (d)
        d->texts = d->text_at = malloc(reader_left(&r) + 1);
    if (!d || !d->texts) {
        free(d);
        return NULL;
    }
    wire_get_group_described(&r, &head);
    if (!r.bad) {
        d->info.name = keep(d, head.group);
        d->info.mode = group_mode_name(head.mode);
        d->info.state = group_state_name(head.state);
        d->info.generation = head.generation;
        d->info.breaker = group_breaker_name(head.breaker);
        d->info.breaker_reason = keep(d, head.breaker_reason);
        if (get_configs(d, &r) && get_topics(d, &r) && get_members(d, &r) && get_partitions(d, &r))
            return d;
    }
    runnel_group_info_free(&d->info);
    return NULL;
}

int runnel_group_describe(runnel_client *c, const char *group, struct runnel_group_info **out)
{
    uint8_t buffer[TOPIC_NAME_MAX + 16], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    *out = NULL;
    if (!group || !*group || strlen(group) > TOPIC_NAME_MAX)
        return client_error(c, ERR_GROUP_NAME_INVALID, "'%.64s' is not a group name", group ? group : "");
    wire_put_group_name(&w, &(struct wire_group_name){ bytes_of(group) });
    int rc = request_call(c, WIRE_OP_GROUP_DESCRIBE, admin_written(&w), true, &reply, &len);
    if (rc)
        return rc;
    struct described *d = describe(reader_of(reply, len));
    free(reply);
    if (!d)
        return admin_not_understood(c, "GROUP_DESCRIBE");
    *out = &d->info;
    return 0;
}

void runnel_group_info_free(struct runnel_group_info *info)
{
    if (!info)
        return;
    struct described *d = OWNER(struct described, info, info);
    free(d->configs);
    free(d->topics);
    free(d->members);
    free(d->partitions);
    free(d->ranges);
    free(d->texts);
    free(d);
}
