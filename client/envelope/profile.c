/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/profile.c: events out of envelopes in JSON.
 *
 * One reader for all shapes: a member means the same wherever it stands, and a profile says which members it
 * cannot do without. What no shape knows is an error, with its path: nothing of an event is lost in silence.
 * What the broker itself says of an event (topic, partition, offset ...) is taken and left out, so that what
 * `runnel read --envelope` prints can be published again.
 *
 *     mesh       event_id (often 64 hex digits: a hash), topic is a class, source is a word
 *     omninode   source is an object; trace, user and tenant in metadata
 *     rfc        source is a word or an object
 *     canonical  all of it; what lacks is filled in
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/envelope/envelope.h"
#include "client/envelope/json.h"

enum { PATH_BYTES = 160 };

struct decode {
    struct runnel_envelope *e;
    struct runnel_event *event;
    const struct profile *profile;
    char path[PATH_BYTES]; /* of what is being looked at: "$.source.service" */
    uint32_t seen;         /* a bit per field */
    struct bytes payload, changes, encoding, trace, span, key;
    struct bytes entity_type, entity_id;
    char service[256], instance[256];
};

typedef bool (*decoder)(struct decode *d, int arg, struct bytes value);

struct member {
    const char *name;
    decoder take;
    int arg;
};

struct profile {
    const char *name;
    const struct member *needs; /* names alone */
    bool topic_is_class;
};

static bool refuse(struct decode *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct decode *d, const char *format, ...)
{
    char what[160];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof(what), format, ap);
    va_end(ap);
    client_error(NULL, ERR_ENVELOPE_INVALID, "%.90s: %s", d->path, what);
    return false;
}

static bool wrong_kind(struct decode *d, const char *expected, struct bytes found)
{
    return refuse(d, "expected %s, found %s", expected, json_kind_name(json_kind(found)));
}

/* Room that stays where it is: as much as the text has was made before. */
static char *keep_room(struct decode *d)
{
    return d->e->decoded + d->e->decoded_len;
}

static bool keep_string(struct decode *d, struct bytes value, struct bytes *out)
{
    if (json_kind(value) != JSON_STRING)
        return wrong_kind(d, "a string", value);
    char *at = keep_room(d);
    const int64_t len = json_string(value, at, value.len);
    if (len < 0)
        return refuse(d, "half of a surrogate pair is no character");
    at[len] = '\0';
    d->e->decoded_len += (size_t)len + 1;
    *out = (struct bytes){ (const uint8_t *)at, (uint32_t)len };
    return true;
}

/* ---- fields ---- */

static bool put(struct decode *d, enum envelope_field field, struct bytes value)
{
    const char *must = envelope_misfit(field, value);
    if (must)
        return refuse(d, "must be %s", must);
    if (d->seen >> field & 1)
        return refuse(d, "%s is given twice", envelope_name(field));
    d->seen |= 1u << field;
    return envelope_put(d->e, LAYER_EVENT, field, value) == 0;
}

static bool take_text(struct decode *d, int field, struct bytes value)
{
    struct bytes text;
    return keep_string(d, value, &text) && put(d, (enum envelope_field)field, text);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A hash of 256 bits becomes a UUID of its first 128: also where it is named as a cause, so that both ends of
 * the link are alike. */
static bool fold_id(struct bytes id, char out[UUID_TEXT])
{
    uint8_t hash[32];
    if (id.len != 64)
        return false;
    for (int i = 0; i < 64; i++) {
        const int digit = hex_digit(id.at[i]);
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
    if (!keep_string(d, value, &id))
        return false;
    if (!fold_id(id, folded))
        return put(d, (enum envelope_field)field, id);
    return put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)folded, UUID_TEXT }) &&
           (field != ENVELOPE_ID || put(d, ENVELOPE_ORIGINAL_ID, id));
}

static bool take_chain(struct decode *d, int field, struct bytes value)
{
    char text[ENVELOPE_CHAIN_BYTES], folded[UUID_TEXT];
    uint32_t len = 0;
    struct bytes key, element;
    if (json_kind(value) != JSON_ARRAY)
        return wrong_kind(d, "an array", value);
    struct json_walk walk = json_walk(value);
    for (int i = 0; json_next(&walk, &key, &element); i++) {
        struct bytes id;
        if (i == ENVELOPE_CHAIN_MAX)
            return refuse(d, "at most %d ids", ENVELOPE_CHAIN_MAX);
        if (!keep_string(d, element, &id))
            return false;
        const char *must = envelope_misfit(ENVELOPE_CORRELATION, id);
        if (must)
            return refuse(d, "element %d must be %s", i, must);
        if (fold_id(id, folded))
            id = (struct bytes){ (const uint8_t *)folded, UUID_TEXT };
        if (len)
            text[len++] = ',';
        memcpy(text + len, id.at, id.len);
        len += id.len;
    }
    return len == 0 || put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)text, len });
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
                return refuse(d, "as a number it must be whole milliseconds since 1970");
            else
                ms = ms * 10 + (value.at[i] - '0');
    } else if (!keep_string(d, value, &given)) {
        return false;
    } else if (!envelope_time(given, &ms)) {
        return refuse(d, "must be a time like 2026-11-21T02:11:37.123Z");
    }
    if (field == ENVELOPE_TIME)
        d->event->timestamp_ms = ms ? ms : 1; /* 0 would mean: now */
    envelope_time_put(text, ms);
    return put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)text, sizeof(text) });
}

static bool take_priority(struct decode *d, int field, struct bytes value)
{
    struct bytes text = value;
    if (json_kind(value) == JSON_STRING && !keep_string(d, value, &text))
        return false;
    if (text.len == 2 && (text.at[0] | 0x20) == 'p') {
        text.at++;
        text.len--;
    }
    return put(d, (enum envelope_field)field, text);
}

/* Kept aside: what becomes of it is decided when all is known. */
static bool aside(struct decode *d, struct bytes *where, struct bytes value)
{
    if (where->at)
        return refuse(d, "given twice");
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
    return json_kind(value) == JSON_OBJECT ? aside(d, &d->changes, value) : wrong_kind(d, "an object", value);
}

static bool take_encoding(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    return json_kind(value) == JSON_STRING ? aside(d, &d->encoding, value) : wrong_kind(d, "a string", value);
}

static bool take_key(struct decode *d, int arg, struct bytes value)
{
    (void)arg;
    if (!keep_string(d, value, &d->key))
        return false;
    d->event->key = d->key.at;
    d->event->key_len = d->key.len;
    return true;
}

static bool take_trace(struct decode *d, int span, struct bytes value)
{
    if (json_kind(value) != JSON_STRING)
        return wrong_kind(d, "a string", value);
    return aside(d, span ? &d->span : &d->trace, value);
}

static bool take_source_part(struct decode *d, int instance, struct bytes value)
{
    char *part = instance ? d->instance : d->service;
    struct bytes text;
    if (!keep_string(d, value, &text))
        return false;
    if (*part)
        return refuse(d, "%s is given twice", instance ? "the instance" : "the service");
    if (text.len == 0 || text.len >= sizeof(d->service) || envelope_misfit(ENVELOPE_SOURCE, text))
        return refuse(d, "must be a text of 1 to 255 bytes");
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

static bool take_headers(struct decode *d, int arg, struct bytes value)
{
    struct runnel_event *event = d->event;
    struct json_walk walk;
    struct bytes name, text, header;
    (void)arg;
    if (json_kind(value) != JSON_OBJECT)
        return wrong_kind(d, "an object", value);
    for (walk = json_walk(value); json_next(&walk, &name, &header);) {
        if (!keep_string(d, name, &text))
            return false;
        if (memchr(text.at, '\0', text.len) || json_kind(header) != JSON_STRING)
            return refuse(d, "%.60s: a header is a name and a string", (const char *)text.at);
        if (event->header_count == ENVELOPE_HEADERS_MAX)
            return refuse(d, "at most %d headers", ENVELOPE_HEADERS_MAX);
        struct runnel_header *h = &d->e->headers[event->header_count++];
        h->name = (const char *)text.at;
        if (envelope_of_header(text) >= 0)
            return refuse(d, "%.60s: the envelope's own header", h->name);
        if (!keep_string(d, header, &text))
            return false;
        h->value = text.at;
        h->value_len = text.len;
    }
    event->headers = d->e->headers;
    return true;
}

static bool take_members(struct decode *d, const struct member *members, struct bytes object);

static bool take_entity_part(struct decode *d, int type, struct bytes value)
{
    struct bytes *part = type ? &d->entity_type : &d->entity_id;
    return keep_string(d, value, part) && (part->len || refuse(d, "must not be empty"));
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
        return wrong_kind(d, "an object or a string", value);
    char text[ENVELOPE_TEXT_BYTES];
    if (!take_members(d, entity_members, value))
        return false;
    const struct bytes type = d->entity_type, id = d->entity_id;
    if (!type.len || !id.len)
        return refuse(d, "an entity has a type and an id");
    if (memchr(type.at, '/', type.len) || type.len + id.len + 1 > sizeof(text))
        return refuse(d, "the type has no '/', and type and id have at most 1024 bytes");
    memcpy(text, type.at, type.len);
    text[type.len] = '/';
    memcpy(text + type.len + 1, id.at, id.len);
    return put(d, (enum envelope_field)field, (struct bytes){ (const uint8_t *)text, type.len + 1 + id.len });
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
        return wrong_kind(d, "an object or a string", value);
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
                                           : wrong_kind(d, "an object", value);
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
    return refuse(d, "an envelope has no such member; what is your own goes into payload");
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

/* ---- what is put together ---- */

/* The hex digits of a string, without hyphens; how many. */
static uint32_t hex_of(struct bytes string, char out[64])
{
    uint32_t n = 0;
    for (uint32_t i = 1; i + 1 < string.len && n < 64; i++)
        if (hex_digit(string.at[i]) >= 0)
            out[n++] =
                (char)(string.at[i] >= 'A' && string.at[i] <= 'F' ? string.at[i] | 0x20 : string.at[i]);
        else if (string.at[i] != '-')
            return 0;
    return n;
}

/* A trace id is 32 hex digits (a UUID's hyphens do not count), a span id 16. Without a span, the trace's last
 * 16 digits stand for one: the header has no place for none. */
static bool join_trace(struct decode *d)
{
    char trace[64], span[64], text[64];
    if (!d->trace.at || (d->seen >> ENVELOPE_TRACEPARENT & 1)) /* that is the truth, should both be there */
        return true;
    snprintf(d->path, PATH_BYTES, "$.metadata.trace_id");
    if (hex_of(d->trace, trace) != 32)
        return refuse(d, "must be 32 hex digits, or a UUID");
    memcpy(span, trace + 16, 16);
    if (d->span.at) {
        snprintf(d->path, PATH_BYTES, "$.metadata.span_id");
        const uint32_t n = hex_of(d->span, span);
        if (n != 16 && n != 32)
            return refuse(d, "must be 16 hex digits, or a UUID");
    }
    const int len = snprintf(text, sizeof(text), "00-%.32s-%.16s-01", trace, span);
    return put(d, ENVELOPE_TRACEPARENT, (struct bytes){ (const uint8_t *)text, (uint32_t)len });
}

static bool join_source(struct decode *d)
{
    struct runnel_envelope *e = d->e;
    if (!*d->service || (d->seen >> ENVELOPE_SOURCE & 1))
        return true;
    snprintf(d->path, PATH_BYTES, "$.source");
    return envelope_set_source(e, LAYER_EVENT, d->service, d->instance) == 0 ||
           refuse(d, "service and instance_id are too long");
}

static int base64_digit(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool payload_base64(struct decode *d, struct bytes text)
{
    uint8_t *out = (uint8_t *)keep_room(d);
    uint32_t bits = 0, have = 0, n = 0, end = text.len;
    while (end && text.at[end - 1] == '=')
        end--;
    for (uint32_t i = 0; i < end; i++) {
        const int digit = base64_digit(text.at[i]);
        if (digit < 0)
            return refuse(d, "this is not base64");
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8)
            out[n++] = (uint8_t)(bits >> (have -= 8));
    }
    d->e->decoded_len += n;
    d->event->value = out;
    d->event->value_len = n;
    return true;
}

/* A JSON payload is lent as it stands; `changes` beside it moves into it. */
static bool join_payload(struct decode *d)
{
    struct runnel_event *event = d->event;
    snprintf(d->path, PATH_BYTES, "$.payload");
    if (d->encoding.at && !json_string_is(d->encoding, "json")) {
        struct bytes text;
        if (d->changes.at)
            return refuse(d, "`changes` goes into a payload that is an object");
        if (!d->payload.at || !keep_string(d, d->payload, &text))
            return d->payload.at ? false : refuse(d, "missing");
        if (json_string_is(d->encoding, "base64"))
            return payload_base64(d, text);
        if (!json_string_is(d->encoding, "utf8"))
            return refuse(d, "payload_encoding is json, utf8 or base64");
        event->value = text.at;
        event->value_len = text.len;
        return true;
    }
    struct bytes payload = d->payload;
    if (d->changes.at) {
        const struct bytes empty = bytes_of("{}"), inner = payload.at ? payload : empty;
        if (json_kind(inner) != JSON_OBJECT)
            return refuse(d, "`changes` goes into a payload that is an object");
        struct json_walk walk = json_walk(inner);
        struct bytes key, value;
        const bool alone = !json_next(&walk, &key, &value);
        char *at = keep_room(d);
        const int len = snprintf(at, d->e->decoded_size - d->e->decoded_len, "%.*s%s\"changes\":%.*s}",
                                 (int)inner.len - 1, (const char *)inner.at, alone ? "" : ",",
                                 (int)d->changes.len, (const char *)d->changes.at);
        d->e->decoded_len += (size_t)len;
        payload = (struct bytes){ (const uint8_t *)at, (uint32_t)len };
    }
    if (payload.at && json_kind(payload) != JSON_NULL) {
        event->value = payload.at;
        event->value_len = payload.len;
        if (!(d->seen >> ENVELOPE_CONTENT_TYPE & 1))
            envelope_put(d->e, LAYER_EVENT, ENVELOPE_CONTENT_TYPE, bytes_of("application/json"));
    }
    return true;
}

/* ---- profiles ---- */

static const struct member mesh_needs[] = { { "event_id", 0, 0 },
                                            { "event_type", 0, 0 },
                                            { "timestamp", 0, 0 },
                                            { "node_id", 0, 0 },
                                            { "source", 0, 0 },
                                            { "payload", 0, 0 },
                                            { 0 } };
static const struct member omninode_needs[] = {
    { "event_id", 0, 0 }, { "event_type", 0, 0 }, { "timestamp", 0, 0 },
    { "source", 0, 0 },   { "payload", 0, 0 },    { 0 },
};
static const struct member rfc_needs[] = {
    { "event_id", 0, 0 }, { "event_type", 0, 0 }, { "timestamp", 0, 0 },
    { "source", 0, 0 },   { "payload", 0, 0 },    { 0 },
};
static const struct member canonical_needs[] = { { 0 } };

static const struct profile profiles[] = {
    { "canonical", canonical_needs, false },
    { "mesh", mesh_needs, true },
    { "omninode", omninode_needs, false },
    { "rfc", rfc_needs, false },
};

static bool has_needed(struct decode *d, struct bytes object)
{
    for (const struct member *m = d->profile->needs; m->name; m++) {
        struct json_walk walk = json_walk(object);
        struct bytes key, value;
        bool found = false;
        while (!found && json_next(&walk, &key, &value))
            found = json_string_is(key, m->name) && json_kind(value) != JSON_NULL;
        if (found)
            continue;
        snprintf(d->path, PATH_BYTES, "$.%s", m->name);
        return refuse(d, "missing: the profile %s needs it", d->profile->name);
    }
    return true;
}

static bool decode(struct decode *d, struct bytes json)
{
    struct runnel_envelope *e = d->e;
    struct bytes object;
    const char *why;
    uint32_t at;
    if (!json_check(json, &object, &why, &at))
        return refuse(d, "not JSON: %s, at byte %u", why, at + 1);
    if (json_kind(object) != JSON_OBJECT)
        return wrong_kind(d, "an envelope, which is an object", object);
    /* Nothing that is decoded is longer than it was written, but for ends and joints. */
    const size_t room = 2 * (size_t)json.len + 4096;
    if (room > e->decoded_size) {
        char *grown = realloc(e->decoded, room);
        if (!grown)
            return refuse(d, "no memory for an envelope of %u bytes", json.len);
        e->decoded = grown;
        e->decoded_size = room;
    }
    return has_needed(d, object) && take_members(d, envelope_members, object) && join_trace(d) &&
           join_source(d) && join_payload(d);
}

int runnel_envelope_json(runnel_envelope *e, const char *profile, const char *json, size_t len,
                         struct runnel_event *event)
{
    struct decode d = { .e = e, .event = event, .path = "$" };
    envelope_layer_clear(e, LAYER_EVENT);
    e->decoded_len = 0;
    if (!json)
        return 0;
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
        if (!strcmp(profiles[i].name, profile))
            d.profile = &profiles[i];
    if (!d.profile)
        return client_error(NULL, ERR_ENVELOPE_INVALID,
                            "no profile '%.32s': there are canonical, mesh, omninode and rfc", profile);
    if (len > INT32_MAX / 4)
        return client_error(NULL, ERR_ENVELOPE_INVALID, "$: an envelope of more than 512 MiB");
    event->envelope = e;
    event->headers = NULL;
    event->header_count = 0;
    event->key = event->value = NULL;
    event->key_len = event->value_len = 0;
    event->timestamp_ms = 0;
    if (decode(&d, (struct bytes){ (const uint8_t *)json, (uint32_t)len }))
        return 0;
    envelope_layer_clear(e, LAYER_EVENT);
    return -ERR_ENVELOPE_INVALID;
}
