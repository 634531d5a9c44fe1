/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/redrive.c: dead letters given back to their groups, or published again, and settled.
 *
 * Made again after a broken connection: a dead letter is dealt with once, so what was done the first time is
 * told by its code, and counts as done.
 */
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/group/publish.h"
#include "proto/name.h"
#include "proto/wire_group.h"

static uint64_t letters_bytes(const char *dead_topic, const struct runnel_dead_letter *letters, size_t count)
{
    uint64_t bytes = 16 + strlen(dead_topic);
    for (size_t i = 0; i < count; i++)
        bytes += 32 + strlen(letters[i].topic) + (letters[i].group ? strlen(letters[i].group) : 0);
    return bytes;
}

static void put_letters(struct writer *w, const char *dead_topic, const struct runnel_dead_letter *letters,
                        size_t count)
{
    wire_put_group_redrive(w, bytes_of(dead_topic), (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        const struct runnel_dead_letter *l = &letters[i];
        wire_put_group_redrive_row(w, &(struct wire_group_redrive_row){
                                          .dead_partition = l->dead_partition,
                                          .dead_offset = (uint64_t)l->dead_offset,
                                          .group = bytes_of(l->group ? l->group : ""),
                                          .topic = bytes_of(l->topic),
                                          .partition = l->partition,
                                          .offset = (uint64_t)l->offset,
                                      });
    }
}

static bool get_codes(struct reader *r, struct runnel_dead_letter *letters, size_t count, bool again)
{
    if (read_u16(r) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint16_t code = read_u16(r);
        if (code == ERR_EVENT_NOT_LEASED && again)
            code = ERR_OK;
        letters[i].error = -code;
    }
    return !r->bad;
}

static int arguments(struct runnel_client *c, const char *dead_topic,
                     const struct runnel_dead_letter *letters, size_t count)
{
    if (!dead_topic || strlen(dead_topic) > TOPIC_NAME_MAX)
        return client_error(c, ERR_TOPIC_NAME_INVALID, "'%.64s' is not a topic name",
                            dead_topic ? dead_topic : "");
    if (count == 0 || count > WIRE_GROUP_REDRIVE_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "1 to %d dead letters at a time", WIRE_GROUP_REDRIVE_MAX);
    for (size_t i = 0; i < count; i++)
        if (!letters[i].topic || strlen(letters[i].topic) > TOPIC_NAME_MAX ||
            (letters[i].group && strlen(letters[i].group) > TOPIC_NAME_MAX))
            return client_error(c, ERR_CLIENT_ARGUMENT, "dead letter %zu does not say where it came from", i);
    return 0;
}

/* One attempt. */
static int redrive(struct runnel_client *c, const char *dead_topic, struct runnel_dead_letter *letters,
                   size_t count, struct publisher *p, bool again, int64_t deadline)
{
    uint64_t bytes = letters_bytes(dead_topic, letters, count) + (p ? publish_bytes(p) : 0);
    uint8_t *reply = NULL, *body = bytes < UINT32_MAX ? malloc(bytes) : NULL;
    uint32_t len;
    if (!body)
        return client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for %zu dead letters", count);
    struct writer w = writer_of(body, (uint32_t)bytes);
    put_letters(&w, dead_topic, letters, count);
    if (p)
        publish_put(p, &w);
    int rc = request_call_until(c, WIRE_OP_GROUP_REDRIVE, admin_written(&w), false, deadline, &reply, &len);
    free(body);
    if (rc)
        return rc;
    struct reader r = reader_of(reply, len);
    bool good =
        get_codes(&r, letters, count, again) && (reader_done(&r) || (p && publish_results(p, r, NULL)));
    free(reply);
    return good ? 0 : admin_not_understood(c, "GROUP_REDRIVE");
}

int runnel_dlq_redrive(runnel_client *c, const char *dead_topic, struct runnel_dead_letter *letters,
                       size_t count)
{
    int64_t deadline = client_now_ms() + c->options.request_timeout_ms;
    int rc = arguments(c, dead_topic, letters, count);
    if (rc)
        return rc;
    rc = redrive(c, dead_topic, letters, count, NULL, false, deadline);
    while (rc == -ERR_CLIENT_UNREACHABLE && c->state != CLIENT_FAILED && client_now_ms() < deadline)
        rc = redrive(c, dead_topic, letters, count, NULL, true, deadline);
    return rc;
}

static int first_error(struct runnel_client *c, const struct runnel_dead_letter *letters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (letters[i].error)
            return client_error(c, -letters[i].error, "dead letter at partition %u, offset %lld: %s",
                                letters[i].dead_partition, (long long)letters[i].dead_offset,
                                error_text((uint16_t)-letters[i].error));
    return 0;
}

static bool done_before(const struct runnel_dead_letter *letters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (letters[i].error != -ERR_EVENT_NOT_LEASED)
            return false;
    return true;
}

int runnel_dlq_republish(runnel_client *c, const char *dead_topic, struct runnel_dead_letter *letters,
                         size_t count, const struct runnel_topic_event *events, size_t event_count)
{
    int64_t deadline = client_now_ms() + c->options.request_timeout_ms;
    struct publisher p;
    int rc = arguments(c, dead_topic, letters, count);
    if (rc == 0 && (!events || event_count == 0 || event_count > UINT16_MAX))
        rc = client_error(c, ERR_CLIENT_ARGUMENT, "1 to %d events at a time", UINT16_MAX);
    if (rc)
        return rc;
    publisher_init(&p, c, false);
    rc = publish_open(&p, events, event_count, deadline);
    if (rc == 0)
        rc = publish_build(&p, events, event_count);
    bool sent = false;
    while (rc == 0 ||
           (rc == -ERR_CLIENT_UNREACHABLE && c->state != CLIENT_FAILED && client_now_ms() < deadline)) {
        rc = publish_open(&p, events, event_count, deadline);
        if (rc == 0)
            rc = redrive(c, dead_topic, letters, count, &p, false, deadline);
        if (rc == 0)
            break;
        sent = true;
    }
    publisher_free(&p);
    if (rc == 0 && sent && done_before(letters, count))
        for (size_t i = 0; i < count; i++)
            letters[i].error = 0;
    return rc ? rc : first_error(c, letters, count);
}
