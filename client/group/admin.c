/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/admin.c: looking after groups: each call is one request and its answer (a list: one per page).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/group/names.h"
#include "proto/name.h"
#include "proto/wire_group.h"

enum { BODY_MAX = 2 * (TOPIC_NAME_MAX + 2) + 64 };

static int bad_group(struct runnel_client *c, const char *group)
{
    if (group && *group && strlen(group) <= TOPIC_NAME_MAX)
        return 0;
    return client_error(c, ERR_GROUP_NAME_INVALID,
                        "'%.64s' is not a group name: use 1 to %d letters, digits, '.', '_' or '-'",
                        group ? group : "", TOPIC_NAME_MAX);
}

static int bad_topic(struct runnel_client *c, const char *topic)
{
    if (topic && *topic && strlen(topic) <= TOPIC_NAME_MAX)
        return 0;
    return client_error(c, ERR_TOPIC_NAME_INVALID, "'%.64s' is not a topic name", topic ? topic : "");
}

/* ---- list ---- */

static int list_page(struct runnel_client *c, struct reader r, char *after, bool *more,
                     int (*each)(void *ctx, const struct runnel_group_row *row), void *ctx)
{
    *more = read_u8(&r) != 0;
    uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_group_row row;
        wire_get_group_row(&r, &row);
        if (r.bad || row.group.len > TOPIC_NAME_MAX)
            return admin_not_understood(c, "GROUP_LIST");
        admin_copy_text(after, TOPIC_NAME_MAX + 1, row.group);
        struct runnel_group_row out = { .name = after,
                                        .mode = group_mode_name(row.mode),
                                        .state = group_state_name(row.state),
                                        .members = row.members,
                                        .partitions = row.partitions,
                                        .lag = row.lag,
                                        .lag_ms = row.lag_ms };
        int rc = each(ctx, &out);
        if (rc)
            return rc;
    }
    if (!reader_done(&r) || (*more && count == 0))
        return admin_not_understood(c, "GROUP_LIST");
    return 0;
}

int runnel_groups_list(runnel_client *c, const char *pattern,
                       int (*each)(void *ctx, const struct runnel_group_row *row), void *ctx)
{
    char after[TOPIC_NAME_MAX + 1] = "";
    bool more = true;
    int rc = 0;
    if (pattern && strlen(pattern) > TOPIC_NAME_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "the pattern is longer than a group's name can be");
    while (more && rc == 0) {
        uint8_t buffer[BODY_MAX], *reply = NULL;
        uint32_t len;
        struct writer w = writer_of(buffer, sizeof(buffer));
        struct wire_group_list body = { bytes_of(pattern), bytes_of(after), ADMIN_LIST_PAGE };
        wire_put_group_list(&w, &body);
        rc = request_call(c, WIRE_OP_GROUP_LIST, admin_written(&w), true, &reply, &len);
        if (rc == 0)
            rc = list_page(c, reader_of(reply, len), after, &more, each, ctx);
        free(reply);
    }
    return rc;
}

/* ---- set ---- */

int runnel_group_set(runnel_client *c, const char *group, const char *create,
                     const struct runnel_config *configs, size_t config_count)
{
    struct wire_group_set body = { .config_count = (uint16_t)config_count };
    uint32_t bytes = BODY_MAX;
    int rc = bad_group(c, group);
    if (rc == 0 && create && strcmp(create, "ordered") != 0 && strcmp(create, "shared") != 0)
        rc = client_error(c, ERR_CLIENT_ARGUMENT, "'%.32s' is neither ordered nor shared", create);
    if (rc == 0)
        rc = admin_copy_configs(c, body.configs, configs, config_count, &bytes);
    if (rc)
        return rc;
    uint8_t *buffer = malloc(bytes);
    if (!buffer)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for the request");
    body.group = bytes_of(group);
    if (create)
        body.create_mode = strcmp(create, "shared") == 0 ? WIRE_GROUP_SHARED : WIRE_GROUP_ORDERED;
    struct writer w = writer_of(buffer, bytes);
    wire_put_group_set(&w, &body);
    rc = admin_call_plain(c, WIRE_OP_GROUP_SET, &w);
    free(buffer);
    return rc;
}

/* ---- seek ---- */

static bool seek_position(const char *text, struct wire_position *out)
{
    static const char shift[] = "shift:";
    char *end;
    if (!text)
        return false;
    if (strncmp(text, shift, sizeof(shift) - 1) != 0)
        return options_position(text, out);
    const char *number = text + sizeof(shift) - 1;
    errno = 0;
    out->from = WIRE_FROM_SHIFT;
    out->value = strtoll(number, &end, 10);
    return errno == 0 && end != number && *end == '\0';
}

int runnel_group_seek(runnel_client *c, const char *group, const char *topic, int32_t partition,
                      const char *to, int dry, void (*each)(void *ctx, const struct runnel_seek_row *row),
                      void *ctx)
{
    uint8_t buffer[BODY_MAX], *reply = NULL;
    uint32_t len;
    struct writer w = writer_of(buffer, sizeof(buffer));
    struct wire_group_seek body = { .dry = dry != 0, .partition = partition };
    int rc = bad_group(c, group);
    if (rc == 0)
        rc = bad_topic(c, topic);
    if (rc)
        return rc;
    if (partition < -1 || !seek_position(to, &body.position))
        return client_error(c, ERR_CLIENT_ARGUMENT,
                            "'%.64s' is not start, end, an offset, -N, @MILLISECONDS or shift:N",
                            to ? to : "");
    body.group = bytes_of(group);
    body.topic = bytes_of(topic);
    wire_put_group_seek(&w, &body);
    rc = request_call(c, WIRE_OP_GROUP_SEEK, admin_written(&w), dry != 0, &reply, &len);
    if (rc)
        return rc;
    struct reader r = reader_of(reply, len);
    uint16_t count = read_u16(&r);
    for (uint16_t i = 0; i < count && !r.bad; i++) {
        struct wire_group_moved row;
        wire_get_group_moved(&r, &row);
        struct runnel_seek_row out = { row.partition, (int64_t)row.from, (int64_t)row.to };
        if (!r.bad && each)
            each(ctx, &out);
    }
    rc = reader_done(&r) ? 0 : admin_not_understood(c, "GROUP_SEEK");
    free(reply);
    return rc;
}

/* ---- commit ---- */

int runnel_group_commit_positions(runnel_client *c, const char *group,
                                  const struct runnel_group_position *positions, size_t count)
{
    uint64_t bytes = BODY_MAX;
    int rc = bad_group(c, group);
    if (rc == 0 && (!positions || count == 0 || count > UINT16_MAX))
        rc = client_error(c, ERR_CLIENT_ARGUMENT, "1 to %d positions at a time", UINT16_MAX);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = bad_topic(c, positions[i].topic);
        if (rc == 0 && positions[i].position < 0)
            rc = client_error(c, ERR_CLIENT_ARGUMENT, "position %zu is negative", i);
        bytes += rc == 0 ? 16 + strlen(positions[i].topic) : 0;
    }
    if (rc)
        return rc;
    uint8_t *buffer = malloc(bytes);
    if (!buffer)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for %zu positions", count);
    struct writer w = writer_of(buffer, (uint32_t)bytes);
    write_str(&w, bytes_of(group));
    write_u16(&w, (uint16_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_group_commit_row(&w, &(struct wire_group_commit_row){ bytes_of(positions[i].topic),
                                                                       positions[i].partition,
                                                                       (uint64_t)positions[i].position });
    rc = admin_call_plain(c, WIRE_OP_GROUP_COMMIT, &w);
    free(buffer);
    return rc;
}

/* ---- the rest ---- */

int runnel_group_delete(runnel_client *c, const char *group)
{
    uint8_t buffer[BODY_MAX];
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_group(c, group);
    if (rc)
        return rc;
    wire_put_group_name(&w, &(struct wire_group_name){ bytes_of(group) });
    return admin_call_plain(c, WIRE_OP_GROUP_DELETE, &w);
}

int runnel_group_breaker(runnel_client *c, const char *group, const char *order)
{
    static const char *const orders[] = { "auto", "open", "closed" };
    uint8_t buffer[BODY_MAX], i = 0;
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_group(c, group);
    if (rc)
        return rc;
    while (i < 3 && (!order || strcmp(order, orders[i]) != 0))
        i++;
    if (i == 3)
        return client_error(c, ERR_CLIENT_ARGUMENT, "'%.32s' is none of auto, open, closed",
                            order ? order : "");
    wire_put_group_breaker_set(&w, &(struct wire_group_breaker_set){ bytes_of(group), i });
    return admin_call_plain(c, WIRE_OP_GROUP_BREAKER, &w);
}

int runnel_group_forget(runnel_client *c, const char *group, const char *topic, int32_t partition)
{
    uint8_t buffer[BODY_MAX];
    struct writer w = writer_of(buffer, sizeof(buffer));
    int rc = bad_group(c, group);
    if (rc == 0)
        rc = bad_topic(c, topic);
    if (rc)
        return rc;
    wire_put_group_forget(&w, &(struct wire_group_forget){ bytes_of(group), bytes_of(topic), partition });
    return admin_call_plain(c, WIRE_OP_GROUP_FORGET, &w);
}
