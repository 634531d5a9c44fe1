/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/contents.c: does every event of a batch have the fields of an envelope that its topic demands
 * (envelope.require), and in the form that they must have? Compressed batches are opened for it; nobody pays
 * who demands nothing.
 */
#include <stdio.h>

#include "partition/internal.h"
#include "proto/envelope.h"

enum { PACKER_KEEP = 1 << 20 /* larger buffers of unpacked batches are not kept */ };

static enum error check_event(const struct topic *topic, const struct record *record, int32_t index,
                              char *why)
{
    const uint32_t wanted = (uint32_t)topic->settings.envelope_require;
    struct bytes fields[ENVELOPE_FIELDS];
    const uint32_t there = envelope_read_some(record->headers, record->header_count, wanted, fields);
    if (there != wanted) {
        snprintf(why, WHY_BYTES, "event %d of the batch lacks %s, which topic %s demands: fill it in",
                 (int)index, envelope_name((enum envelope_field)__builtin_ctz(wanted & ~there)), topic->name);
        return ERR_ENVELOPE_FIELD_MISSING;
    }
    for (uint32_t left = wanted; left; left &= left - 1) {
        const enum envelope_field field = (enum envelope_field)__builtin_ctz(left);
        const char *must = envelope_misfit(field, fields[field]);
        if (must) {
            snprintf(why, WHY_BYTES, "event %d of the batch: %s must be %s", (int)index, envelope_name(field),
                     must);
            return ERR_ENVELOPE_INVALID;
        }
    }
    return ERR_OK;
}

enum error partition_check_contents(struct partition *p, const struct batch *batch, char *why)
{
    struct packer *packer = &p->store->packer;
    const struct topic *topic = p->topic;
    const enum batch_codec codec = (enum batch_codec)(batch->attributes & BATCH_CODEC_MASK);
    struct bytes records = { batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER };
    struct record_iter it;
    struct record record;
    enum error code = ERR_OK;
    int more = 0;
    if (!topic->settings.envelope_require)
        return ERR_OK;
    if (codec != CODEC_NONE && !unpack(packer, codec, records, &records, why))
        return ERR_BATCH_INVALID;
    record_iter_init(&it, batch, records);
    for (int32_t i = 0; code == ERR_OK && (more = record_next(&it, &record)) == 1; i++)
        code = check_event(topic, &record, i, why);
    if (code == ERR_OK && more < 0) {
        snprintf(why, WHY_BYTES, "a record in the compressed batch is malformed");
        code = ERR_BATCH_INVALID;
    }
    if (packer->size > PACKER_KEEP)
        packer_free(packer, false);
    return code;
}
