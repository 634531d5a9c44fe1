/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/profile_fields.c: the members of a JSON envelope, each with what is done with it.
 */
#include <stdio.h>
#include <string.h>

#include "client/envelope/profile_own.h"

typedef bool (*decoder)(struct decode *d, int arg, struct bytes value);

struct member {
    const char *name;
    decoder take;
    int arg;
};

static bool take_text(struct decode *d, int field, struct bytes value)
{
    struct bytes text;
    return decode_string(d, value, &text) && decode_put(d, (enum envelope_field)field, text);
}

/* A hash of 256 bits becomes a UUID of its first 128: also where it is named as a cause, so that both ends of
 * the link are alike. */
static bool fold_id(struct bytes id, char out[UUID_TEXT])
{
    uint8_t hash[32];
    if (id.len != 64)
        return false;
    for (int i = 0; i < 64; i++) {
        const int digit = decode_hex(id.at[i]);
        if (digit < 0)
            return false;
        hash[i / 2] = (uint8_t)(i % 2 ? hash[i / 2] | digit : digit << 4);
    }
    uuid_v8(hash, out);
    return true;
}

static bool take_id(struct decode *d, int field, struct bytes value)
{
    char folded[UUID_TEXT];
    struct bytes id;
    if (!decode_string(d, value, &id))
        return false;
    if (!fold_id(id, folded))
        return decode_put(d, (enum envelope_field)field, id);
    return decode_put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)folded, UUID_TEXT }) &&
           (field != ENVELOPE_ID || decode_put(d, ENVELOPE_ORIGINAL_ID, id));
}

static bool take_chain(struct decode *d, int field, struct bytes value)
{
    char text[ENVELOPE_CHAIN_BYTES], folded[UUID_TEXT];
    uint32_t len = 0;
    struct bytes key, element;
    if (json_kind(value) != JSON_ARRAY)
        return decode_wrong_kind(d, "an array", value);
    struct json_walk walk = json_walk(value);
    for (int i = 0; json_next(&walk, &key, &element); i++) {
        struct bytes id;
        if (i == ENVELOPE_CHAIN_MAX)
            return decode_refuse(d, "at most %d ids", ENVELOPE_CHAIN_MAX);
        if (!decode_string(d, element, &id))
            return false;
        const char *must = envelope_misfit(ENVELOPE_CORRELATION, id);
        if (must)
            return decode_refuse(d, "element %d must be %s", i, must);
        if (fold_id(id, folded))
            id = (struct bytes){ (const uint8_t *)folded, UUID_TEXT };
        if (len)
            text[len++] = ',';
        memcpy(text + len, id.at, id.len);
        len += id.len;
    }
    return len == 0 ||
           decode_put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)text, len });
}

/* A time as text, or Unix milliseconds; kept as text. */
static bool take_time(struct decode *d, int field, struct bytes value)
{
    char text[ENVELOPE_TIME_BYTES];
    struct bytes given;
    int64_t ms = 0;
    if (json_kind(value) == JSON_NUMBER) {
        for (uint32_t i = 0; i < value.len; i++)
            if (value.at[i] < '0' || value.at[i] > '9' || i > 14)
                return decode_refuse(d, "as a number it must be whole milliseconds since 1970");
            else
                ms = ms * 10 + (value.at[i] - '0');
    } else if (!decode_string(d, value, &given)) {
        return false;
    } else if (!envelope_time(given, &ms)) {
        return decode_refuse(d, "must be a time like 2026-11-21T02:11:37.123Z");
    }
    if (field == ENVELOPE_TIME)
        d->event->timestamp_ms = ms ? ms : 1; /* 0 would mean: now */
    envelope_time_put(text, ms);
    return decode_put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)text, sizeof(text) });
}

static bool take_priority(struct decode *d, int field, struct bytes value)
{
    struct bytes text = value;
    if (json_kind(value) == JSON_STRING && !decode_string(d, value, &text))
        return false;
    if (text.len == 2 && (text.at[0] | 0x20) == 'p') {
        text.at++;
        text.len--;
    }
    return decode_put(d, (enum envelope_field)field, text);
}

/* Kept aside: what becomes of it is decided when all is known. */
static bool aside(struct decode *d, struct bytes *where, struct bytes value)
{
    if (where->at)
        return decode_refuse(d, "given twice");
    *where = value;
    return true;
}

static bool take_payload(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return aside(d, &d->payload, value);
}

static bool take_changes(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return json_kind(value) == JSON_OBJECT ? aside(d, &d->changes, value)
                                           : decode_wrong_kind(d, "an object", value);
}

static bool take_encoding(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return json_kind(value) == JSON_STRING ? aside(d, &d->encoding, value)
                                           : decode_wrong_kind(d, "a string", value);
}

static bool take_key_encoding(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return json_kind(value) == JSON_STRING ? aside(d, &d->key_encoding, value)
                                           : decode_wrong_kind(d, "a string", value);
}

static bool take_key(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    if (!decode_string(d, value, &d->key))
        return false;
    d->event->key = d->key.at;
    d->event->key_len = d->key.len;
    return true;
}

static bool take_trace(struct decode *d, int span, struct bytes value)
{
    if (json_kind(value) != JSON_STRING)
        return decode_wrong_kind(d, "a string", value);
    return aside(d, span ? &d->span : &d->trace, value);
}

static bool take_source_part(struct decode *d, int instance, struct bytes value)
{
    char *part = instance ? d->instance : d->service;
    struct bytes text;
    if (!decode_string(d, value, &text))
        return false;
    if (*part)
        return decode_refuse(d, "%s is given twice", instance ? "the instance" : "the service");
    if (text.len == 0 || text.len >= sizeof(d->service) || envelope_misfit(ENVELOPE_SOURCE, text))
        return decode_refuse(d, "must be a text of 1 to 255 bytes");
    memcpy(part, text.at, text.len);
    return true;
}

static bool take_topic(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return !d->profile->topic_is_class || take_text(d, ENVELOPE_DOMAIN, value);
}

static bool leave_out(struct decode *d, int arg, struct bytes value)
{
    (void)d, (void)arg, (void)value;
    return true;
}

/* ---- objects ---- */

static bool add_header(struct decode *d, const char *name, struct bytes value)
{
    struct runnel_event *event = d->event;
    if (event->header_count == ENVELOPE_HEADERS_MAX)
        return decode_refuse(d, "at most %d headers", ENVELOPE_HEADERS_MAX);
    d->e->headers[event->header_count++] = (struct runnel_header){ name, value.at, value.len };
    return true;
}

/* A text, null, or {"base64":"..."}: what is no text. */
static bool take_header(struct decode *d, const char *name, struct bytes value)
{
    struct bytes key, text = { NULL, 0 };
    if (json_kind(value) == JSON_NULL)
        return add_header(d, name, text);
    if (json_kind(value) == JSON_STRING)
        return decode_string(d, value, &text) && add_header(d, name, text);
    if (json_kind(value) == JSON_OBJECT) {
        struct json_walk walk = json_walk(value);
        if (json_next(&walk, &key, &value) && json_string_is(key, "base64") &&
            json_kind(value) == JSON_STRING)
            return decode_string(d, value, &text) && decode_base64(d, text, &text) &&
                   add_header(d, name, text);
    }
    return decode_refuse(d, "%.60s: a header is a name and a string", name);
}

static bool take_headers(struct decode *d, int arg, struct bytes value)
{
    struct json_walk walk;
    struct bytes key, name, header, none;
    (void)arg;
    if (json_kind(value) != JSON_OBJECT)
        return decode_wrong_kind(d, "an object", value);
    for (walk = json_walk(value); json_next(&walk, &key, &header);) {
        if (!decode_string(d, key, &name))
            return false;
        if (memchr(name.at, '\0', name.len))
            return decode_refuse(d, "a header's name has no zero byte in it");
        if (envelope_of_header(name) >= 0)
            return decode_refuse(d, "%.60s: the envelope's own header", (const char *)name.at);
        if (json_kind(header) != JSON_ARRAY) {
            if (!take_header(d, (const char *)name.at, header))
                return false;
            continue;
        }
        for (struct json_walk values = json_walk(header); json_next(&values, &none, &header);)
            if (!take_header(d, (const char *)name.at, header))
                return false;
    }
    d->event->headers = d->e->headers;
    return true;
}

static bool take_members(struct decode *d, const struct member *members, struct bytes object);

static bool take_entity_part(struct decode *d, int type, struct bytes value)
{
    struct bytes *part = type ? &d->entity_type : &d->entity_id;
    return decode_string(d, value, part) && (part->len || decode_refuse(d, "must not be empty"));
}

static const struct member entity_members[] = {
    { "type", take_entity_part, 1 },
    { "id", take_entity_part, 0 },
    { "parent", take_text, ENVELOPE_PARENT },
    { 0 },
};

/* "type/id", or an object of both. */
static bool take_entity(struct decode *d, int field, struct bytes value)
{
    if (json_kind(value) == JSON_STRING)
        return take_text(d, field, value);
    if (json_kind(value) != JSON_OBJECT)
        return decode_wrong_kind(d, "an object or a string", value);
    char text[ENVELOPE_TEXT_BYTES];
    if (!take_members(d, entity_members, value))
        return false;
    const struct bytes type = d->entity_type, id = d->entity_id;
    if (!type.len || !id.len)
        return decode_refuse(d, "an entity has a type and an id");
    if (memchr(type.at, '/', type.len) || type.len + id.len + 1 > sizeof(text))
        return decode_refuse(d, "the type has no '/', and type and id have at most 1024 bytes");
    memcpy(text, type.at, type.len);
    text[type.len] = '/';
    memcpy(text + type.len + 1, id.at, id.len);
    return decode_put(d, (enum envelope_field)field,
                      (struct bytes){ (const uint8_t *)text, type.len + 1 + id.len });
}

static const struct member source_members[] = {
    { "service", take_source_part, 0 },      { "service_name", take_source_part, 0 },
    { "instance_id", take_source_part, 1 },  { "hostname", take_text, ENVELOPE_HOSTNAME },
    { "node_id", take_text, ENVELOPE_NODE }, { "kind", take_text, ENVELOPE_KIND },
    { "uri", take_text, ENVELOPE_SOURCE },   { 0 },
};

static bool take_source(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    if (json_kind(value) == JSON_STRING)
        return take_text(d, ENVELOPE_KIND, value);
    if (json_kind(value) != JSON_OBJECT)
        return decode_wrong_kind(d, "an object or a string", value);
    return take_members(d, source_members, value);
}

static const struct member metadata_members[] = {
    { "trace_id", take_trace, 0 },
    { "span_id", take_trace, 1 },
    { "traceparent", take_text, ENVELOPE_TRACEPARENT },
    { "tracestate", take_text, ENVELOPE_TRACESTATE },
    { "user_id", take_text, ENVELOPE_USER },
    { "tenant_id", take_text, ENVELOPE_TENANT },
    { "actor", take_text, ENVELOPE_ACTOR },
    { "session_key", take_text, ENVELOPE_SESSION },
    { "entity", take_entity, ENVELOPE_ENTITY },
    { "entity_parent", take_text, ENVELOPE_PARENT },
    { "priority", take_priority, ENVELOPE_PRIORITY },
    { "deadline", take_time, ENVELOPE_DEADLINE },
    { "reply_to", take_text, ENVELOPE_REPLY_TO },
    { "original_id", take_text, ENVELOPE_ORIGINAL_ID },
    { "domain", take_text, ENVELOPE_DOMAIN },
    { "schema", take_text, ENVELOPE_SCHEMA },
    { 0 },
};

static bool take_metadata(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return json_kind(value) == JSON_OBJECT ? take_members(d, metadata_members, value)
                                           : decode_wrong_kind(d, "an object", value);
}

static const struct member envelope_members[] = {
    { "event_id", take_id, ENVELOPE_ID },
    { "event_type", take_text, ENVELOPE_TYPE },
    { "timestamp", take_time, ENVELOPE_TIME },
    { "version", take_text, ENVELOPE_VERSION },
    { "correlation_id", take_id, ENVELOPE_CORRELATION },
    { "causation_id", take_id, ENVELOPE_CAUSATION },
    { "correlation_chain", take_chain, ENVELOPE_CHAIN },
    { "source", take_source, 0 },
    { "node_id", take_text, ENVELOPE_NODE },
    { "actor", take_text, ENVELOPE_ACTOR },
    { "session_key", take_text, ENVELOPE_SESSION },
    { "entity", take_entity, ENVELOPE_ENTITY },
    { "priority", take_priority, ENVELOPE_PRIORITY },
    { "metadata", take_metadata, 0 },
    { "headers", take_headers, 0 },
    { "key", take_key, 0 },
    { "key_encoding", take_key_encoding, 0 },
    { "content_type", take_text, ENVELOPE_CONTENT_TYPE },
    { "payload", take_payload, 0 },
    { "payload_encoding", take_encoding, 0 },
    { "changes", take_changes, 0 },
    { "topic", take_topic, 0 },
    { "partition", leave_out, 0 },
    { "offset", leave_out, 0 },
    { "ingested_at", leave_out, 0 },
    { "schema_id", leave_out, 0 },
    { 0 },
};

static bool take_member(struct decode *d, const struct member *members, struct bytes key, struct bytes value)
{
    const size_t len = strlen(d->path);
    snprintf(d->path + len, PATH_BYTES - len, ".%.*s", (int)(key.len > 42 ? 40 : key.len - 2),
             (const char *)key.at + 1);
    for (; members->name; members++) {
        if (!json_string_is(key, members->name))
            continue;
        if (json_kind(value) != JSON_NULL && !members->take(d, members->arg, value))
            return false;
        if (json_kind(value) == JSON_NULL && members->take == take_payload)
            d->payload = value;
        d->path[len] = '\0';
        return true;
    }
    return decode_refuse(d, "an envelope has no such member; what is your own goes into payload");
}

static bool take_members(struct decode *d, const struct member *members, struct bytes object)
{
    struct json_walk walk = json_walk(object);
    struct bytes key, value;
    while (json_next(&walk, &key, &value))
        if (!take_member(d, members, key, value))
            return false;
    return true;
}

bool decode_envelope(struct decode *d, struct bytes object)
{
    return take_members(d, envelope_members, object);
}
