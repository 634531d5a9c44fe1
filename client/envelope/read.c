/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/read.c: the envelope of an event that was received, and what follows from it for those
 * that are published while it is handled.
 */
#include <string.h>

#include "client/client.h"
#include "client/envelope/envelope.h"

#define X(field, name, header, form)                                                                         \
    static_assert((int)RUNNEL_FIELD_##field == (int)ENVELOPE_##field, "runnel.h and proto/envelope.h "       \
                                                                      "differ");
ENVELOPE_FIELD_TABLE(X)
#undef X
static_assert((int)RUNNEL_FIELDS == (int)ENVELOPE_FIELDS, "runnel.h and proto/envelope.h differ");

const char *runnel_field_name(int field)
{
    return field >= 0 && field < ENVELOPE_FIELDS ? envelope_name((enum envelope_field)field) : NULL;
}

int runnel_field_of_header(const char *name, size_t len)
{
    return len <= UINT32_MAX ? envelope_of_header((struct bytes){ (const uint8_t *)name, (uint32_t)len })
                             : -1;
}

static uint32_t read_record(const struct runnel_record *record, struct bytes out[ENVELOPE_FIELDS])
{
    return envelope_read((struct bytes){ record->priv, (uint32_t)record->priv_len },
                         (uint32_t)record->header_count, out);
}

size_t runnel_record_envelope(const struct runnel_record *record, struct runnel_text *out, size_t count)
{
    struct bytes fields[ENVELOPE_FIELDS];
    const uint32_t there = read_record(record, fields);
    for (size_t i = 0; i < count; i++)
        out[i] = i < ENVELOPE_FIELDS && (there >> i & 1)
                     ? (struct runnel_text){ (const char *)fields[i].at, fields[i].len }
                     : (struct runnel_text){ NULL, 0 };
    return (size_t)__builtin_popcount(there);
}

/* What does not look as it should is not passed on. */
static struct bytes good(uint32_t there, const struct bytes *fields, enum envelope_field field)
{
    const struct bytes none = { NULL, 0 };
    return (there >> field & 1) && !envelope_misfit(field, fields[field]) ? fields[field] : none;
}

void runnel_envelope_cause(runnel_envelope *e, const struct runnel_record *record)
{
    static const enum envelope_field passed_on[] = { ENVELOPE_CHAIN, ENVELOPE_TRACEPARENT,
                                                     ENVELOPE_TRACESTATE };
    struct bytes fields[ENVELOPE_FIELDS];
    envelope_layer_clear(e, LAYER_CAUSED);
    if (!record)
        return;
    const uint32_t there = read_record(record, fields);
    const struct bytes id = good(there, fields, ENVELOPE_ID);
    const struct bytes correlation = good(there, fields, ENVELOPE_CORRELATION);
    /* An event without a correlation begins a flow: its id names it. */
    if (id.len)
        envelope_put(e, LAYER_CAUSED, ENVELOPE_CAUSATION, id);
    if (correlation.len || id.len)
        envelope_put(e, LAYER_CAUSED, ENVELOPE_CORRELATION, correlation.len ? correlation : id);
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
        const struct bytes value = good(there, fields, passed_on[i]);
        if (value.len)
            envelope_put(e, LAYER_CAUSED, passed_on[i], value);
    }
}

void runnel_envelope_follow(runnel_envelope *e, runnel_group *group)
{
    if (e->follows)
        group_followed_by(e->follows, NULL);
    envelope_layer_clear(e, LAYER_CAUSED);
    e->follows = group;
    if (group)
        group_followed_by(group, e);
}
