/* SPDX-License-Identifier: Apache-2.0
 *
 * api/produce.c: PRODUCE: every batch is checked, then all are appended, or none.
 *
 * The order of the questions matters. Room comes first, because a frame that must wait is looked at again
 * from the start: a checksum computed before would be computed twice. Then every batch is checked against its
 * topic, and only when all may go is the first one appended.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_own.h"
#include "base/check.h"
#include "base/mem.h"

/* Refused: nothing was appended. Without acknowledgements nobody waits for an answer, so the error ends the
 * connection: it is the only way to tell. */
static enum net_take produce_refuse(struct session *s, const struct request *rq, uint8_t acks,
                                    enum error code, const char *text)
{
    if (acks == WIRE_ACKS_NONE) {
        api_refuse(s, rq, code, text);
        conn_end(s->conn);
    } else {
        ack_refuse(s, rq, code, text);
    }
    return NET_TAKEN;
}

enum net_take produce_refuse_checked(struct session *s, const struct request *rq, bool durable,
                                     const struct wire_produce *body, enum error code, const char *text)
{
    enum { ROWS_MAX = 8192 }; /* 160 KiB; who sends the others again is told of further ones */
    if (code != ERR_DEDUPE_DUPLICATE && code != ERR_DEDUPE_CONFLICT)
        return ack_refuse(s, rq, code, text);
    const struct duplicates found = duplicates_found(s->api->store);
    struct wire_error error = { .code = (uint16_t)code, .text = bytes_of(text) };
    if ((s->features & WIRE_FEATURE_EVENT_ERRORS) && body->count == 1)
        error.row_count = found.count < ROWS_MAX ? found.count : ROWS_MAX;
    return ack_refuse_with(s, rq, durable ? found.sequence : 0, &error, found.rows);
}

/* ---- one batch ---- */

static enum error produce_find(const struct session *s, const struct wire_produce_batch *b,
                               struct partition **out, char *why)
{
    const enum error code = api_find(s, b->handle, b->partition, out, why);
    if (code == ERR_OK && s->handles[b->handle]->internal) {
        snprintf(why, API_WHY_BYTES, "topic %s belongs to the broker: it cannot be written",
                 s->handles[b->handle]->name);
        return ERR_TOPIC_INTERNAL;
    }
    return code;
}

static enum error produce_check(const struct session *s, const struct wire_produce_batch *b, uint8_t acks,
                                struct produce_item *item, char *why)
{
    enum error code = produce_find(s, b, &item->partition, why);
    if (code == ERR_OK)
        code = batch_check(&item->batch, b->batch.at, b->batch.len, why);
    if (code == ERR_OK && item->batch.bytes != b->batch.len) {
        snprintf(why, API_WHY_BYTES, "%u bytes follow the batch of %u: one batch for each partition",
                 b->batch.len - item->batch.bytes, item->batch.bytes);
        code = ERR_BATCH_INVALID;
    }
    if (code == ERR_OK && acks == WIRE_ACKS_MEMORY && item->batch.producer_id != -1) {
        snprintf(
            why, API_WHY_BYTES,
            "acks=memory does not go with idempotence (producer %lld): a crash could give its offsets anew",
            (long long)item->batch.producer_id);
        code = ERR_ACKS_INVALID;
    }
    if (code == ERR_OK && acks == WIRE_ACKS_NONE && partition_topic(item->partition)->window) {
        snprintf(why, API_WHY_BYTES,
                 "acks=none does not go with dedupe.window of topic %s: nobody could be told of duplicates",
                 partition_topic(item->partition)->name);
        code = ERR_ACKS_INVALID;
    }
    if (code == ERR_OK)
        code = partition_check(item->partition, &item->batch, why);
    /* the contents last: what is refused anyway is not opened */
    if (code == ERR_OK)
        code = partition_check_contents(item->partition, &item->batch, why);
    return code;
}

/* ---- several ---- */

static void produce_scratch(struct api *api, uint32_t count)
{
    if (count > 1 && !api->seen)
        api->seen = mem_zalloc(MEM_API, 2 * API_BATCHES_MAX * sizeof(*api->seen));
    if (api->item_room >= count)
        return;
    uint32_t room = api->item_room ? api->item_room : 16;
    while (room < count)
        room *= 2;
    mem_free(MEM_API, api->items, api->item_room * sizeof(*api->items));
    api->items = mem_alloc(MEM_API, room * sizeof(*api->items));
    api->item_room = room;
}

/* Was this partition named in this request before? Two batches of one partition would be checked against the
 * same state, and the second one appended against another. */
static bool produce_seen(struct api *api, const struct partition *p)
{
    uint32_t i = (uint32_t)(((uintptr_t)p >> 4) * 2654435761u) & (2 * API_BATCHES_MAX - 1);
    for (;; i = (i + 1) & (2 * API_BATCHES_MAX - 1)) {
        struct api_seen *slot = &api->seen[i];
        if (slot->request != api->request_serial) {
            *slot = (struct api_seen){ p, api->request_serial };
            return false;
        }
        if (slot->partition == p)
            return true;
    }
}

void produce_drop(struct session *s)
{
    duplicates_begin(s->api->store);
}

static enum error produce_check_items(struct session *s, struct wire_produce *body, struct produce_item **out,
                                      char *why)
{
    struct api *api = s->api;
    struct wire_produce_batch b;
    produce_scratch(api, body->count);
    struct produce_item *items = *out = api->items;
    api->request_serial++;
    for (uint32_t i = 0; wire_produce_next(body, &b) == 1; i++) {
        enum error code = produce_check(s, &b, body->acks, &items[i], why);
        if (code != ERR_OK)
            return code;
        if (body->count > 1 && produce_seen(api, items[i].partition)) {
            snprintf(why, API_WHY_BYTES,
                     "batch %u names a partition a second time: one batch for each partition and request", i);
            return ERR_REQUEST_INVALID;
        }
        code = duplicates_check(items[i].partition, &items[i].batch, why);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum error produce_check_all(struct session *s, struct wire_produce *body, struct produce_item **out,
                             char *why)
{
    duplicates_begin(s->api->store);
    return produce_check_items(s, body, out, why);
}

/* ---- the request ---- */

enum error produce_admit(const struct session *s, const struct wire_produce *body, char *why)
{
    if (body->count == 0 || body->acks > WIRE_ACKS_DURABLE) {
        snprintf(why, API_WHY_BYTES, "PRODUCE names no batch, or asks for unknown acks");
        return ERR_REQUEST_INVALID;
    }
    if (body->count > API_BATCHES_MAX) {
        snprintf(why, API_WHY_BYTES, "%u batches in one atomic request: at most %d are possible, split it",
                 body->count, API_BATCHES_MAX);
        return ERR_REQUEST_TOO_LARGE;
    }
    const enum error code = api_admit(s, why);
    return code == ERR_OK ? store_accepts(s->api->store, why) : code;
}

/* False: the request must wait for replies to earlier ones, its own or others'. */
static bool produce_inflight_room(struct session *s, uint32_t bytes)
{
    const struct api_options *o = &s->api->options;
    if (s->inflight_bytes && s->inflight_bytes + bytes > o->connection_inflight_bytes_max) {
        s->waits_own = true; /* ack.c resumes it */
        return false;
    }
    return true;
}

uint64_t produce_append_all(struct session *s, const struct produce_item *items, uint16_t count,
                            struct wire_produced *rows)
{
    const uint32_t epoch = store_leader_epoch(s->api->store);
    uint64_t sequence = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct append_result result;
        partition_append(items[i].partition, &items[i].batch, &result);
        rows[i] = (struct wire_produced){ .base_offset = result.base_offset,
                                          .flags = result.duplicate ? WIRE_PRODUCED_DUPLICATE : 0,
                                          .leader_epoch = epoch };
        if (result.sequence > sequence)
            sequence = result.sequence;
    }
    s->api->stats.produces++;
    return sequence;
}

/* Appends what was checked. The reply is encoded at once, where it waits for its sequence. */
static void produce_append(struct session *s, const struct request *rq, uint8_t acks,
                           const struct produce_item *items, uint16_t count)
{
    struct wire_produced one, *rows = &one;
    if (count > 1)
        rows = mem_alloc(MEM_API, count * sizeof(*rows));
    const uint64_t sequence = produce_append_all(s, items, count, rows);
    if (acks != WIRE_ACKS_NONE) {
        /* acks=memory behind a durable one waits too: replies keep the order of their requests. */
        struct ack_reply reply = ack_reply_begin(s, acks == WIRE_ACKS_MEMORY ? 0 : sequence,
                                                 8 + count * (uint32_t)sizeof(*rows), rq->bytes);
        wire_put_produced(&reply.w, rows, count);
        ack_reply_end(s, &reply, rq);
    }
    if (count > 1)
        mem_free(MEM_API, rows, count * sizeof(*rows));
}

enum net_take produce_request(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    struct wire_produce body;
    struct produce_item *items;
    char why[API_WHY_BYTES];
    if (!wire_get_produce(rq->body, &body))
        return produce_refuse(s, rq, WIRE_ACKS_DURABLE, ERR_REQUEST_INVALID, "PRODUCE cannot be decoded");
    enum error code = produce_admit(s, &body, why);
    if (code == ERR_OK) {
        if (!produce_inflight_room(s, rq->bytes))
            return NET_LATER;
        if (api->stats.inflight_bytes + rq->bytes > api->options.inflight_bytes_max ||
            !api_room_for(s, JOURNAL_NORMAL, body.count, reader_left(&rq->body)))
            return api_park(s);
        code = produce_check_all(s, &body, &items, why);
        if (code == ERR_OK) {
            produce_append(s, rq, body.acks, items, body.count);
            return NET_TAKEN;
        }
        if (body.acks != WIRE_ACKS_NONE) {
            produce_refuse_checked(s, rq, body.acks == WIRE_ACKS_DURABLE, &body, code, why);
            produce_drop(s);
            return NET_TAKEN;
        }
        produce_drop(s);
    }
    return produce_refuse(s, rq, body.acks, code, why);
}

enum net_take produce_init_producer(struct session *s, const struct request *rq)
{
    char why[API_WHY_BYTES];
    if (reader_left(&rq->body) != 0)
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "INIT_PRODUCER has no fields");
    const enum error code = api_admit(s, why);
    if (code != ERR_OK)
        return api_refuse(s, rq, code, why);
    const struct wire_init_producer_reply reply = { .producer_id = store_producer_id(s->api->store) };
    struct api_reply r = api_reply_begin(s, 16);
    wire_put_init_producer_reply(&r.w, &reply);
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}
