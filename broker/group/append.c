/* SPDX-License-Identifier: Apache-2.0
 *
 * group/append.c: what is noted goes to the journal: as few batches as it takes.
 */
#include <string.h>

#include "group/state_own.h"

uint32_t record_get(const uint8_t *at, uint64_t left, struct bytes *key, struct bytes *value)
{
    uint16_t key_bytes;
    uint32_t bytes;
    if (left < 6)
        return 0;
    memcpy(&key_bytes, at, 2);
    memcpy(&bytes, at + 2, 4);
    const uint64_t total = 6 + (uint64_t)key_bytes + (bytes == (uint32_t)NULL_VALUE ? 0 : bytes);
    if (total > left || total > UINT32_MAX)
        return 0;
    *key = (struct bytes){ at + 6, key_bytes };
    *value =
        bytes == (uint32_t)NULL_VALUE ? (struct bytes){ 0 } : (struct bytes){ at + 6 + key_bytes, bytes };
    return (uint32_t)total;
}

/* One batch of what is pending from `from` on. False: no room. */
static bool flush_batch(struct groups *groups, uint8_t *buffer, uint32_t *from)
{
    struct batch_builder builder;
    uint32_t at = *from, count = 0;
    batch_build_start(&builder, buffer, GROUPS_BATCH_MIN);
    while (at < groups->pending_bytes) {
        struct bytes key, value;
        const uint32_t n = record_get(groups->pending + at, groups->pending_bytes - at, &key, &value);
        CHECK(n);
        if (!batch_build_add(&builder, groups->clock->wall_ms, key, value, NULL, 0))
            break;
        at += n;
        count++;
    }
    CHECK(count);
    const uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    if (!store_room(groups->store, JOURNAL_RESERVED, 1, bytes))
        return false;
    struct batch batch;
    struct append_result result;
    const bool decoded = batch_decode(&batch, buffer, bytes);
    CHECK(decoded);
    partition_append(store_state_partition(groups->store, groups->options.state), &batch, &result);
    groups->sequence = result.sequence;
    groups->stats.stored_records += count;
    groups->stats.stored_bytes += bytes;
    *from = at;
    return true;
}

static void flush_pending(struct groups *groups)
{
    uint8_t buffer[GROUPS_BATCH_MIN];
    char why[256];
    uint32_t from = 0;
    /* A store that stops takes nothing more; what waits for it is lost, and was never answered. */
    const enum error error = groups->pending_bytes ? store_accepts(groups->store, why) : ERR_OK;
    if (error == ERR_SHUTTING_DOWN || error == ERR_STORAGE_FAILED)
        return;
    while (from < groups->pending_bytes && flush_batch(groups, buffer, &from))
        ;
    groups->pending_bytes -= from;
    if (from && groups->pending_bytes)
        memmove(groups->pending, groups->pending + from, groups->pending_bytes);
}

uint64_t groups_flush(struct groups *groups, bool *ok)
{
    flush_pending(groups);
    /* While there is no room, progress keeps its changes together; noted one after another they would pile
     * up. */
    if (!groups->pending_bytes) {
        state_gather(groups);
        flush_pending(groups);
    }
    *ok = groups->pending_bytes == 0;
    groups->blocked = !*ok;
    return groups->sequence;
}

bool groups_room(struct groups *groups, uint32_t batches, uint32_t bytes, uint32_t state_bytes)
{
    /* What is noted needs no company: it goes first, and leaves the commit to what does. */
    bool ok;
    groups_flush(groups, &ok);
    if (!ok)
        return false;
    const uint32_t state_batches = state_bytes / (GROUPS_BATCH_MIN - VALUE_BYTES) + 1;
    return store_room(groups->store, bytes ? JOURNAL_NORMAL : JOURNAL_RESERVED, batches + state_batches,
                      bytes + state_bytes + state_batches * (BATCH_HEADER + RECORD_OVERHEAD));
}
