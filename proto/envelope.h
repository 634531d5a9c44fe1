/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/envelope.h: the fields of an event's envelope, and the record headers that carry them: CloudEvents
 * 1.0 attributes in the binary mode of its Kafka binding ("ce_" and the attribute's name; `content-type`),
 * W3C trace context under its own names.
 *
 * One table: the library fills the fields in and reads them, the broker checks the ones that a topic demands,
 * docs/envelope.md lists them. A header that comes twice counts as it stands first.
 */
#ifndef RUNNEL_PROTO_ENVELOPE_H
#define RUNNEL_PROTO_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/cursor.h"

/* X(FIELD, "name", "header", form): `name` is what people and settings call it. The order is that of the
 * public header's enum runnel_field; new ones go to the end. */
#define ENVELOPE_FIELD_TABLE(X)                                                                              \
    X(ID, "event_id", "ce_id", ID)                                                                           \
    X(TYPE, "event_type", "ce_type", TEXT)                                                                   \
    X(SOURCE, "source", "ce_source", TEXT)                                                                   \
    X(TIME, "timestamp", "ce_time", TIME)                                                                    \
    X(SPECVERSION, "specversion", "ce_specversion", TEXT)                                                    \
    X(ENTITY, "entity", "ce_subject", TEXT)                                                                  \
    X(CORRELATION, "correlation_id", "ce_correlationid", ID)                                                 \
    X(CAUSATION, "causation_id", "ce_causationid", ID)                                                       \
    X(CHAIN, "correlation_chain", "ce_correlationchain", IDS)                                                \
    X(ACTOR, "actor", "ce_actor", TEXT)                                                                      \
    X(USER, "user_id", "ce_userid", TEXT)                                                                    \
    X(TENANT, "tenant_id", "ce_tenantid", TEXT)                                                              \
    X(SESSION, "session_key", "ce_sessionkey", TEXT)                                                         \
    X(PRIORITY, "priority", "ce_priority", PRIORITY)                                                         \
    X(VERSION, "version", "ce_dataversion", VERSION)                                                         \
    X(SCHEMA, "schema", "ce_dataschema", TEXT)                                                               \
    X(CONTENT_TYPE, "content_type", "content-type", TEXT)                                                    \
    X(TRACEPARENT, "traceparent", "traceparent", TRACE)                                                      \
    X(TRACESTATE, "tracestate", "tracestate", TEXT)                                                          \
    X(HOSTNAME, "hostname", "ce_sourcehost", TEXT)                                                           \
    X(NODE, "node_id", "ce_sourcenode", TEXT)                                                                \
    X(KIND, "kind", "ce_sourcekind", TEXT)                                                                   \
    X(PARENT, "entity_parent", "ce_subjectparent", TEXT)                                                     \
    X(REPLY_TO, "reply_to", "ce_replyto", TEXT)                                                              \
    X(DEADLINE, "deadline", "ce_deadline", TIME)                                                             \
    X(ORIGINAL_ID, "original_id", "ce_originalid", ID)                                                       \
    X(DOMAIN, "domain", "ce_domain", TEXT)

enum envelope_field {
#define X(field, name, header, form) ENVELOPE_##field,
    ENVELOPE_FIELD_TABLE(X)
#undef X
        ENVELOPE_FIELDS
};

/* What a value must look like. */
enum envelope_form {
    ENVELOPE_FORM_TEXT,     /* UTF-8 without control characters */
    ENVELOPE_FORM_ID,       /* letters, digits, '.', '_', ':', '-' */
    ENVELOPE_FORM_IDS,      /* ids, with commas between */
    ENVELOPE_FORM_TIME,     /* RFC 3339 */
    ENVELOPE_FORM_PRIORITY, /* one digit */
    ENVELOPE_FORM_VERSION,  /* 1.2.3, or 1.2 or 1 */
    ENVELOPE_FORM_TRACE,    /* 00-<32 hex>-<16 hex>-<2 hex> */
};

enum {
    ENVELOPE_ID_BYTES = 64,
    ENVELOPE_CHAIN_MAX = 16, /* flows within flows; each a header's worth of bytes in every event */
    ENVELOPE_TEXT_BYTES = 1024,
    ENVELOPE_CHAIN_BYTES = ENVELOPE_CHAIN_MAX * (ENVELOPE_ID_BYTES + 1) - 1,
    ENVELOPE_VALUE_BYTES =
        ENVELOPE_TEXT_BYTES > ENVELOPE_CHAIN_BYTES ? ENVELOPE_TEXT_BYTES : ENVELOPE_CHAIN_BYTES,
};
static_assert(ENVELOPE_FIELDS <= 32, "sets of fields are 32 bits");

const char *envelope_name(enum envelope_field field);
const char *envelope_header(enum envelope_field field);
/* By either name; -1: there is no such field. */
int envelope_find(struct bytes name);
/* The field that a header of this name is; -1: none. */
int envelope_of_header(struct bytes name);
/* Finds the fields among a record's headers: a bit for each one that is there and not null, and its value
 * (lent from the record) in `out`, which may be NULL. Malformed headers end the search. */
uint32_t envelope_read(struct bytes headers, uint32_t header_count, struct bytes out[ENVELOPE_FIELDS]);
/* The same for the fields of a set (a bit each) alone: a broker looks for few, in every event. */
uint32_t envelope_read_some(struct bytes headers, uint32_t header_count, uint32_t wanted,
                            struct bytes out[ENVELOPE_FIELDS]);
/* NULL: the value has the form that its field asks for; else what it must be ("an id: 1 to 64 of ..."). */
const char *envelope_misfit(enum envelope_field field, struct bytes value);

/* "2026-11-21T02:11:37.5+01:00" into Unix milliseconds; more digits than milliseconds are cut. */
bool envelope_time(struct bytes text, int64_t *ms);
/* "2026-11-21T02:11:37.123Z": exactly 24 bytes, from year 0 to 9999. */
enum { ENVELOPE_TIME_BYTES = 24 };
void envelope_time_put(char out[ENVELOPE_TIME_BYTES], int64_t ms);

#endif
