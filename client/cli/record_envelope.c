/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/record_envelope.c: an event as a canonical envelope: `read --envelope`. docs/envelope.md shows the
 * shape; `pub --profile canonical` takes it back. What an event lacks is left out.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/encode.h"
#include "client/cli/record.h"

struct shape {
    struct record_writer *w;
    struct runnel_text fields[RUNNEL_FIELDS];
    bool comma;
};

static void name(struct shape *s, const char *member)
{
    out_format(s->w->out, "%s\"%s\":", s->comma ? "," : "", member);
    s->comma = true;
}

static void open_object(struct shape *s, const char *member)
{
    name(s, member);
    out_literal(s->w->out, "{");
    s->comma = false;
}

static void close_object(struct shape *s)
{
    out_literal(s->w->out, "}");
    s->comma = true;
}

static void text(struct shape *s, const char *member, const char *at, size_t len)
{
    name(s, member);
    record_text_or_base64(s->w->out, at, len);
}

static void field(struct shape *s, const char *member, enum runnel_field f)
{
    if (s->fields[f].at)
        text(s, member, s->fields[f].at, s->fields[f].len);
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* A part of a URI up to its next '/': decoded into `out`; what follows, or NULL: it cannot be decoded. */
static const char *uri_part(const char *at, const char *end, char *out, size_t *len)
{
    for (*len = 0; at < end && *at != '/'; at++) {
        char c = *at;
        if (c == '%') {
            if (end - at < 3 || hex(at[1]) < 0 || hex(at[2]) < 0)
                return NULL;
            c = (char)(hex(at[1]) << 4 | hex(at[2]));
            at += 2;
        }
        out[(*len)++] = c;
    }
    return at;
}

/* "/service/instance" in its parts; another URI as it is. */
static void source(struct shape *s)
{
    const struct runnel_text uri = s->fields[RUNNEL_FIELD_SOURCE];
    char service[1024], instance[1024];
    size_t service_len = 0, instance_len = 0;
    const char *end = uri.at + uri.len, *at = NULL;

    open_object(s, "source");
    if (uri.at && uri.len > 1 && uri.len <= sizeof(service) && uri.at[0] == '/')
        at = uri_part(uri.at + 1, end, service, &service_len);
    if (at && at < end)
        at = uri_part(at + 1, end, instance, &instance_len);
    if (at == end && service_len) {
        text(s, "service", service, service_len);
        if (instance_len)
            text(s, "instance_id", instance, instance_len);
    } else {
        field(s, "uri", RUNNEL_FIELD_SOURCE);
    }
    field(s, "hostname", RUNNEL_FIELD_HOSTNAME);
    field(s, "node_id", RUNNEL_FIELD_NODE);
    field(s, "kind", RUNNEL_FIELD_KIND);
    close_object(s);
}

/* The ids, one by one: they have no commas in them. */
static void chain(struct shape *s)
{
    const struct runnel_text ids = s->fields[RUNNEL_FIELD_CHAIN];
    const char *at = ids.at, *end = ids.at + ids.len;

    if (!at)
        return;
    name(s, "correlation_chain");
    out_literal(s->w->out, "[");
    for (bool more = true; more; at++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        more = comma != NULL;
        record_text_or_base64(s->w->out, at, (size_t)((comma ? comma : end) - at));
        if (more)
            out_literal(s->w->out, ",");
        at = comma ? comma : end;
    }
    out_literal(s->w->out, "]");
}

static void entity(struct shape *s)
{
    const struct runnel_text e = s->fields[RUNNEL_FIELD_ENTITY];
    const char *slash = e.at ? memchr(e.at, '/', e.len) : NULL;

    if (!slash || slash == e.at || slash + 1 == e.at + e.len) {
        field(s, "entity", RUNNEL_FIELD_ENTITY);
        field(s, "entity_parent", RUNNEL_FIELD_PARENT);
        return;
    }
    open_object(s, "entity");
    text(s, "type", e.at, (size_t)(slash - e.at));
    text(s, "id", slash + 1, e.len - (size_t)(slash + 1 - e.at));
    field(s, "parent", RUNNEL_FIELD_PARENT);
    close_object(s);
}

static void metadata(struct shape *s)
{
    const struct runnel_text trace = s->fields[RUNNEL_FIELD_TRACEPARENT];
    const struct runnel_text priority = s->fields[RUNNEL_FIELD_PRIORITY];

    open_object(s, "metadata");
    if (trace.at && trace.len == 55) { /* 00-<32>-<16>-<2> */
        text(s, "trace_id", trace.at + 3, 32);
        text(s, "span_id", trace.at + 36, 16);
    }
    field(s, "traceparent", RUNNEL_FIELD_TRACEPARENT);
    field(s, "tracestate", RUNNEL_FIELD_TRACESTATE);
    field(s, "user_id", RUNNEL_FIELD_USER);
    field(s, "tenant_id", RUNNEL_FIELD_TENANT);
    field(s, "actor", RUNNEL_FIELD_ACTOR);
    field(s, "session_key", RUNNEL_FIELD_SESSION);
    entity(s);
    if (priority.at && priority.len == 1 && *priority.at >= '0' && *priority.at <= '9') {
        name(s, "priority");
        out_short(s->w->out, priority.at, 1);
    } else {
        field(s, "priority", RUNNEL_FIELD_PRIORITY);
    }
    field(s, "deadline", RUNNEL_FIELD_DEADLINE);
    field(s, "reply_to", RUNNEL_FIELD_REPLY_TO);
    field(s, "original_id", RUNNEL_FIELD_ORIGINAL_ID);
    field(s, "domain", RUNNEL_FIELD_DOMAIN);
    field(s, "schema", RUNNEL_FIELD_SCHEMA);
    close_object(s);
}

void record_envelope(struct record_writer *w, const struct runnel_record *record)
{
    struct shape s = { .w = w };
    struct out *out = w->out;
    char time[ENCODE_TIME_BYTES];

    runnel_record_envelope(record, s.fields, RUNNEL_FIELDS);
    out_literal(out, "{");
    field(&s, "event_id", RUNNEL_FIELD_ID);
    field(&s, "event_type", RUNNEL_FIELD_TYPE);
    text(&s, "topic", record->topic, strlen(record->topic));
    out_format(out, ",\"partition\":%d,\"offset\":%lld", (int)record->partition, (long long)record->offset);
    if (s.fields[RUNNEL_FIELD_TIME].at)
        field(&s, "timestamp", RUNNEL_FIELD_TIME);
    else
        text(&s, "timestamp", time, encode_time(time, record->timestamp_ms));
    field(&s, "version", RUNNEL_FIELD_VERSION);
    field(&s, "correlation_id", RUNNEL_FIELD_CORRELATION);
    field(&s, "causation_id", RUNNEL_FIELD_CAUSATION);
    chain(&s);
    name(&s, "key");
    record_key(out, record);
    source(&s);
    metadata(&s);
    name(&s, "headers");
    record_headers(w, record, true);
    field(&s, "content_type", RUNNEL_FIELD_CONTENT_TYPE);
    name(&s, "payload");
    record_payload(out, record);
    out_literal(out, "}");
}
