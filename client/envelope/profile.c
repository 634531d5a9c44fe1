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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/envelope/profile_own.h"

/* ---- what is put together ---- */

/* The hex digits of a string, without hyphens; how many. */
static uint32_t hex_of(struct bytes string, char out[64])
{
    uint32_t n = 0;
    for (uint32_t i = 1; i + 1 < string.len && n < 64; i++)
        if (decode_hex(string.at[i]) >= 0)
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
        return decode_refuse(d, "must be 32 hex digits, or a UUID");
    memcpy(span, trace + 16, 16);
    if (d->span.at) {
        snprintf(d->path, PATH_BYTES, "$.metadata.span_id");
        const uint32_t n = hex_of(d->span, span);
        if (n != 16 && n != 32)
            return decode_refuse(d, "must be 16 hex digits, or a UUID");
    }
    const int len = snprintf(text, sizeof(text), "00-%.32s-%.16s-01", trace, span);
    return decode_put(d, ENVELOPE_TRACEPARENT, (struct bytes){ (const uint8_t *)text, (uint32_t)len });
}

static bool join_source(struct decode *d)
{
    struct runnel_envelope *e = d->e;
    if (!*d->service || (d->seen >> ENVELOPE_SOURCE & 1))
        return true;
    snprintf(d->path, PATH_BYTES, "$.source");
    return envelope_set_source(e, LAYER_EVENT, d->service, d->instance) == 0 ||
           decode_refuse(d, "service and instance_id are too long");
}

static bool join_key(struct decode *d)
{
    if (!d->key_encoding.at || !d->key.at || json_string_is(d->key_encoding, "utf8"))
        return true;
    snprintf(d->path, PATH_BYTES, "$.key");
    if (!json_string_is(d->key_encoding, "base64"))
        return decode_refuse(d, "key_encoding is utf8 or base64");
    if (!decode_base64(d, d->key, &d->key))
        return false;
    d->event->key = d->key.at;
    d->event->key_len = d->key.len;
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
            return decode_refuse(d, "`changes` goes into a payload that is an object");
        if (!d->payload.at || !decode_string(d, d->payload, &text))
            return d->payload.at ? false : decode_refuse(d, "missing");
        if (json_string_is(d->encoding, "base64")) {
            if (!decode_base64(d, text, &text))
                return false;
        } else if (!json_string_is(d->encoding, "utf8")) {
            return decode_refuse(d, "payload_encoding is json, utf8 or base64");
        }
        event->value = text.at;
        event->value_len = text.len;
        return true;
    }
    struct bytes payload = d->payload;
    if (d->changes.at) {
        const struct bytes empty = bytes_of("{}"), inner = payload.at ? payload : empty;
        if (json_kind(inner) != JSON_OBJECT)
            return decode_refuse(d, "`changes` goes into a payload that is an object");
        struct json_walk walk = json_walk(inner);
        struct bytes key, value;
        const bool alone = !json_next(&walk, &key, &value);
        char *at = decode_room(d);
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

static const char *const mesh_needs[] = { "event_id", "event_type", "timestamp", "node_id",
                                          "source",   "payload",    NULL };
static const char *const usual_needs[] = { "event_id", "event_type", "timestamp", "source", "payload", NULL };
static const char *const no_needs[] = { NULL };

static const struct profile profiles[] = {
    { "canonical", no_needs, false },
    { "mesh", mesh_needs, true },
    { "omninode", usual_needs, false },
    { "rfc", usual_needs, false },
};

static bool has_needed(struct decode *d, struct bytes object)
{
    for (const char *const *need = d->profile->needs; *need; need++) {
        struct json_walk walk = json_walk(object);
        struct bytes key, value;
        bool found = false;
        while (!found && json_next(&walk, &key, &value))
            found = json_string_is(key, *need) && json_kind(value) != JSON_NULL;
        if (found)
            continue;
        snprintf(d->path, PATH_BYTES, "$.%s", *need);
        return decode_refuse(d, "missing: the profile %s needs it", d->profile->name);
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
        return decode_refuse(d, "not JSON: %s, at byte %u", why, at + 1);
    if (json_kind(object) != JSON_OBJECT)
        return decode_wrong_kind(d, "an envelope, which is an object", object);
    /* Nothing that is decoded is longer than it was written, but for ends and joints. */
    const size_t room = 2 * (size_t)json.len + 4096;
    if (room > e->decoded_size) {
        char *grown = realloc(e->decoded, room);
        if (!grown)
            return decode_refuse(d, "no memory for an envelope of %u bytes", json.len);
        e->decoded = grown;
        e->decoded_size = room;
    }
    return has_needed(d, object) && decode_envelope(d, object) && join_trace(d) && join_source(d) &&
           join_key(d) && join_payload(d);
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
