/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelopes: JSON in any profile, and headers as they come in a record. The first byte says what the rest is:
 *   bits 0-1  the profile
 *   bit 2     ids are derived from content
 *   bit 3     headers, not JSON
 * What was accepted is published, and read back it has the form that every field must have; the canonical
 * form of JSON is its own canonical form.
 */
#include "fuzz.h"

#include <string.h>

#include "client/envelope/envelope.h"

static struct runnel_envelope *context(void)
{
    static struct runnel_envelope *e;
    if (!e)
        e = runnel_envelope_new();
    return e;
}

static void check_headers(struct bytes headers, uint32_t count, bool ours)
{
    struct bytes fields[ENVELOPE_FIELDS];
    const uint32_t there = envelope_read(headers, count, fields);
    for (int i = 0; i < ENVELOPE_FIELDS; i++) {
        if (!(there >> i & 1))
            continue;
        const char *must = envelope_misfit((enum envelope_field)i, fields[i]);
        FUZZ_CHECK(!ours || !must);
    }
}

static void try_headers(const uint8_t *data, size_t size)
{
    static const struct runnel_event plain = RUNNEL_EVENT_INIT;
    const struct runnel_record record = { .header_count = size, .priv = data, .priv_len = size };
    struct header_block block;
    check_headers((struct bytes){ data, (uint32_t)size }, UINT32_MAX, false);
    runnel_envelope_json(context(), "canonical", NULL, 0, NULL);
    runnel_envelope_cause(context(), &record);
    FUZZ_CHECK(envelope_stamp(context(), NULL, "t", &plain, 1, &block) == 0);
    check_headers(block.encoded, block.count, true);
    runnel_envelope_cause(context(), NULL);
}

static void try_canonical(struct bytes json)
{
    struct runnel_envelope *e = context();
    const int64_t len = canonical_json(e, json);
    if (len <= 0)
        return;
    char *first = malloc((size_t)len);
    memcpy(first, e->scratch, (size_t)len);
    FUZZ_CHECK(canonical_json(e, (struct bytes){ (uint8_t *)first, (uint32_t)len }) == len);
    FUZZ_CHECK(memcmp(e->scratch, first, (size_t)len) == 0);
    free(first);
}

static void try_json(const char *profile, const char *json, size_t size)
{
    struct runnel_envelope *e = context();
    struct runnel_event event = RUNNEL_EVENT_INIT;
    struct header_block block;
    if (runnel_envelope_json(e, profile, json, size, &event)) {
        FUZZ_CHECK(runnel_last_error(NULL)->text[0] == '$');
        return;
    }
    FUZZ_CHECK(event.envelope == e && event.header_count <= ENVELOPE_HEADERS_MAX);
    for (size_t i = 0; i < event.header_count; i++)
        FUZZ_CHECK(strlen(event.headers[i].name) + event.headers[i].value_len < e->decoded_size);
    FUZZ_CHECK(envelope_stamp(e, NULL, "t", &event, event.timestamp_ms, &block) == 0);
    FUZZ_CHECK(block.encoded.len <= envelope_bytes_max(e));
    check_headers(block.encoded, block.count, true);
    if (event.value)
        try_canonical((struct bytes){ event.value, (uint32_t)event.value_len });
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static const char *const profiles[] = { "canonical", "mesh", "omninode", "rfc" };
    if (size == 0)
        return;
    runnel_envelope_set(context(), "event_id", data[0] & 4 ? "content" : "v4");
    if (data[0] & 8)
        try_headers(data + 1, size - 1);
    else
        try_json(profiles[data[0] & 3], (const char *)data + 1, size - 1);
    try_canonical((struct bytes){ data + 1, (uint32_t)size - 1 });
}
