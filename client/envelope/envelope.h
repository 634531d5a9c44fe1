/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/envelope.h: a publishing context inside (context.c: fields in; stamp.c: headers out;
 * identity.c: ids; canonical.c: a payload's canonical form, json.c: reading JSON; profile*.c: envelopes
 * in JSON; read.c: the fields of what was received).
 *
 * A field has its value from the first layer that has one:
 *
 *     EVENT   from the event's JSON envelope           one event
 *     OWN     set by the program                       until it is set anew
 *     CAUSED  from the event that is being handled     until the next one
 *
 * Nearly everything stays the same from one event to the next, so the headers are kept encoded, as the batch
 * wants them; for each event the id and the time are written into their places, and the whole is copied.
 * Nothing is allocated, but room for the canonical form of a payload, once, when ids come from content.
 */
#ifndef RUNNEL_CLIENT_ENVELOPE_ENVELOPE_H
#define RUNNEL_CLIENT_ENVELOPE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/include/runnel.h"
#include "proto/batch.h"
#include "proto/envelope.h"

enum envelope_layer { LAYER_EVENT, LAYER_OWN, LAYER_CAUSED, ENVELOPE_LAYERS };

enum envelope_ids { IDS_V4, IDS_V7, IDS_CONTENT };

enum {
    UUID_TEXT = 36,
    /* Names, values, and a length before each. */
    ENVELOPE_ENCODED_BYTES = ENVELOPE_FIELDS * (ENVELOPE_VALUE_BYTES + 32),
    ENVELOPE_TOPIC_BYTES = 256,
    ENVELOPE_HEADERS_MAX = 128, /* beside the envelope's own, in a JSON envelope */
};

struct envelope_value {
    uint16_t len; /* 0: none */
    char text[ENVELOPE_VALUE_BYTES];
};

/* Where random numbers come from: memory that a fork empties, so that no two processes make the same ids. */
struct entropy;

struct runnel_envelope {
    struct envelope_value values[ENVELOPE_LAYERS][ENVELOPE_FIELDS];
    char service[256], instance[256]; /* `source`, unless that was set as a whole */
    enum envelope_ids ids;
    struct entropy *entropy;
    struct runnel_group *follows; /* its member's events are the cause */

    /* The headers, encoded for `topic`. */
    bool rendered;
    char topic[ENVELOPE_TOPIC_BYTES];
    uint8_t encoded[ENVELOPE_ENCODED_BYTES];
    uint32_t encoded_len, header_count;
    uint8_t *id_at, *time_at; /* in `encoded`: to be filled in for each event; NULL: given */
    int64_t time_ms;          /* that stands there */

    /* Of ids that come from content. */
    void *digest; /* EVP_MD_CTX */
    char *scratch;
    size_t scratch_size;
    void *members;
    size_t member_size;

    /* Of JSON envelopes: what could not be lent from the text. */
    char *decoded;
    size_t decoded_len, decoded_size;
    struct runnel_header headers[ENVELOPE_HEADERS_MAX];

    char last_id[ENVELOPE_ID_BYTES + 1];
};

/* ---- context.c ---- */

/* Sets a field in a layer; what is wrong goes to the thread's last error. 0, or a negative code. */
int envelope_put(struct runnel_envelope *e, enum envelope_layer layer, enum envelope_field field,
                 struct bytes value);
/* The value that counts; at NULL: none. */
struct bytes envelope_value(const struct runnel_envelope *e, enum envelope_field field);
/* ce_source from its two parts, of which `instance` may be empty. */
int envelope_set_source(struct runnel_envelope *e, enum envelope_layer layer, const char *service,
                        const char *instance);
void envelope_layer_clear(struct runnel_envelope *e, enum envelope_layer layer);

/* ---- stamp.c ---- */

/* The headers of an event: encoded, lent until the next call on the same context. 0, or a negative code with
 * the client's last error set. */
struct runnel_client;
int envelope_stamp(struct runnel_envelope *e, struct runnel_client *c, const char *topic,
                   const struct runnel_event *event, int64_t timestamp_ms, struct header_block *out);

/* The most that they take now, whatever the topic. */
uint32_t envelope_bytes_max(const struct runnel_envelope *e);

/* ---- identity.c ---- */

struct entropy *entropy_new(void);
void entropy_free(struct entropy *en);
void uuid_v4(struct entropy *en, char out[UUID_TEXT]);
/* Those of one context are in order. */
void uuid_v7(struct entropy *en, int64_t now_ms, char out[UUID_TEXT]);
/* A UUID, version 8, of the first 128 bits of a hash. */
void uuid_v8(const uint8_t hash[16], char out[UUID_TEXT]);
/* From what the event says (docs/envelope.md has the algorithm). 0, or a negative code. */
int uuid_of_content(struct runnel_envelope *e, struct bytes type, const struct runnel_event *event,
                    char out[UUID_TEXT]);
/* This machine's name for itself, which does not tell its machine-id. False: it has none. */
bool node_id(char out[UUID_TEXT + 1]);

/* ---- canonical.c ---- */

/* The canonical form of a JSON text (RFC 8785) in e->scratch: its length; 0: it is no JSON that has one
 * (I-JSON, at most JSON_DEPTH_MAX deep); -1: no memory. */
int64_t canonical_json(struct runnel_envelope *e, struct bytes json);

/* ---- group/read.c ---- */

/* The group's next events are this context's cause (NULL: nobody's). */
void group_followed_by(struct runnel_group *g, struct runnel_envelope *e);

#endif
