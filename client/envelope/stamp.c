/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/stamp.c: an event's headers from a context.
 */
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/envelope/envelope.h"
#include "proto/varint.h"

/* Where a header's value goes, `len` bytes long. */
static uint8_t *put_header(struct runnel_envelope *e, enum envelope_field field, uint32_t len)
{
    const char *name = envelope_header(field);
    const uint32_t name_len = (uint32_t)strlen(name);
    uint8_t *p = e->encoded + e->encoded_len;
    p = varlong_put(p, name_len);
    memcpy(p, name, name_len);
    p = varlong_put(p + name_len, len);
    e->encoded_len = (uint32_t)(p + len - e->encoded);
    e->header_count++;
    return p;
}

static void put_value(struct runnel_envelope *e, enum envelope_field field, struct bytes value)
{
    memcpy(put_header(e, field, value.len), value.at, value.len);
}

static void last_id(struct runnel_envelope *e, const void *id, size_t len)
{
    memcpy(e->last_id, id, len);
    e->last_id[len] = '\0';
}

static void render(struct runnel_envelope *e, const char *topic)
{
    e->encoded_len = e->header_count = 0;
    e->id_at = e->time_at = NULL;
    e->time_ms = INT64_MIN;
    snprintf(e->topic, sizeof(e->topic), "%s", topic);
    for (int field = 0; field < ENVELOPE_FIELDS; field++) {
        const struct bytes value = envelope_value(e, (enum envelope_field)field);
        if (value.len)
            put_value(e, (enum envelope_field)field, value);
        else if (field == ENVELOPE_ID)
            e->id_at = put_header(e, ENVELOPE_ID, UUID_TEXT);
        else if (field == ENVELOPE_TIME)
            e->time_at = put_header(e, ENVELOPE_TIME, ENVELOPE_TIME_BYTES);
        else if (field == ENVELOPE_TYPE)
            put_value(e, ENVELOPE_TYPE, bytes_of(e->topic));
        else if (field == ENVELOPE_SPECVERSION)
            put_value(e, ENVELOPE_SPECVERSION, bytes_of("1.0"));
    }
    const struct bytes id = envelope_value(e, ENVELOPE_ID);
    if (id.len)
        last_id(e, id.at, id.len);
    e->rendered = true;
}

uint32_t envelope_bytes_max(const struct runnel_envelope *e)
{
    uint32_t bytes = UUID_TEXT + ENVELOPE_TIME_BYTES + ENVELOPE_TOPIC_BYTES + 4 * 32;
    for (int field = 0; field < ENVELOPE_FIELDS; field++) {
        const struct bytes value = envelope_value(e, (enum envelope_field)field);
        bytes += value.len ? value.len + 32 : 0;
    }
    return bytes;
}

static int stamp_id(struct runnel_envelope *e, const struct runnel_event *event, int64_t timestamp_ms)
{
    char *at = (char *)e->id_at;
    int rc = 0;
    switch (e->ids) {
    case IDS_V4:
        uuid_v4(e->entropy, at);
        break;
    case IDS_V7:
        uuid_v7(e->entropy, timestamp_ms, at);
        break;
    case IDS_CONTENT: {
        struct bytes type = envelope_value(e, ENVELOPE_TYPE);
        rc = uuid_of_content(e, type.len ? type : bytes_of(e->topic), event, at);
        break;
    }
    }
    last_id(e, at, UUID_TEXT);
    return rc;
}

int envelope_stamp(struct runnel_envelope *e, struct runnel_client *c, const char *topic,
                   const struct runnel_event *event, int64_t timestamp_ms, struct header_block *out)
{
    if (!e->rendered || strcmp(e->topic, topic) != 0)
        render(e, topic);
    if (e->time_at && e->time_ms != timestamp_ms) {
        envelope_time_put((char *)e->time_at, timestamp_ms);
        e->time_ms = timestamp_ms;
    }
    const int rc = e->id_at ? stamp_id(e, event, timestamp_ms) : 0;
    if (rc)
        return client_error(c, -rc, "%s", runnel_last_error(NULL)->text);
    *out = (struct header_block){ { e->encoded, e->encoded_len }, e->header_count };
    return 0;
}
