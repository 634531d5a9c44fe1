/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/profile_own.h: what the three files that take JSON envelopes apart share (profile.c: what a
 * profile needs, and what is put together; profile_fields.c: the members; profile_keep.c: texts, errors).
 */
#ifndef RUNNEL_CLIENT_ENVELOPE_PROFILE_OWN_H
#define RUNNEL_CLIENT_ENVELOPE_PROFILE_OWN_H

#include "client/envelope/envelope.h"
#include "client/envelope/json.h"

enum { PATH_BYTES = 160 };

struct profile;

struct decode {
    struct runnel_envelope *e;
    struct runnel_event *event;
    const struct profile *profile;
    char path[PATH_BYTES]; /* of what is being looked at: "$.source.service" */
    uint32_t seen;         /* a bit per field */
    struct bytes payload, changes, encoding, key_encoding, trace, span, key;
    struct bytes entity_type, entity_id;
    char service[256], instance[256];
};

struct profile {
    const char *name;
    const char *const *needs; /* NULL ends it */
    bool topic_is_class;
};

/* ---- profile_keep.c ---- */

/* ENVELOPE_INVALID with the path and a sentence; always false. */
bool decode_refuse(struct decode *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool decode_wrong_kind(struct decode *d, const char *expected, struct bytes found);
/* Room that stays where it is: as much as the text has, and more, was made before. */
char *decode_room(struct decode *d);
/* What a string says, terminated, kept until the next envelope. */
bool decode_string(struct decode *d, struct bytes value, struct bytes *out);
bool decode_base64(struct decode *d, struct bytes text, struct bytes *out);
int decode_hex(uint8_t c); /* -1: no hex digit */
/* Sets a field of the event. */
bool decode_put(struct decode *d, enum envelope_field field, struct bytes value);

/* ---- profile_fields.c ---- */

/* All members of an envelope. */
bool decode_envelope(struct decode *d, struct bytes object);

#endif
