/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/duplicates.c: a topic's window is asked about a batch, when it is checked and when it is
 * replayed.
 */
#include "partition/duplicates.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "partition/internal.h"

enum { UNPACKED_KEEP = 4 << 20 }; /* larger buffers of unpacked batches are not kept */

/* ---- life ---- */

void duplicates_open(struct store *store)
{
    struct duplicates_state *d = &store->duplicates;
    snprintf(d->dir, sizeof(d->dir), "%s/dedupe", store->options.data_dir);
    store->dedupe = dedupe_create(d->dir, store->options.dedupe_memory);
    d->serial = 1;
}

void duplicates_close(struct store *store)
{
    struct duplicates_state *d = &store->duplicates;
    dedupe_destroy(store->dedupe);
    packer_free(&d->packer, false);
    mem_free(MEM_DEDUPE, d->rows, d->room * sizeof(*d->rows));
}

void topic_window(struct store *store, struct topic *t)
{
    const int64_t window_ms = t->settings.dedupe_window_ms;
    if (t->window && !window_ms) {
        dedupe_close(t->window);
        t->window = NULL;
    } else if (t->window) {
        dedupe_set_window(t->window, window_ms);
    } else if (window_ms && !t->internal) {
        t->window = dedupe_open(store->dedupe, t->id, window_ms);
        /* What was published before does not count. */
        for (uint32_t i = 0; i < t->partition_count; i++)
            dedupe_appended(t->window, i, t->partitions[i]->end);
    }
}

/* ---- records ---- */

/* The records of a batch, uncompressed. */
static bool duplicates_records(struct store *store, const struct batch *batch, struct bytes *out, char *why)
{
    const enum batch_codec codec = (enum batch_codec)(batch->attributes & BATCH_CODEC_MASK);
    *out = (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER };
    return codec == CODEC_NONE || unpack(&store->duplicates.packer, codec, *out, out, why);
}

static void duplicates_unpacked(struct store *store)
{
    if (store->duplicates.packer.size > UNPACKED_KEEP)
        packer_free(&store->duplicates.packer, false);
}

/* ---- checking ---- */

/* Events that have ids, gathered so that the window is asked about many at once. */
struct asking {
    struct partition *p;
    struct dedupe_key keys[DEDUPE_BLOCK];
    struct dedupe_place places[DEDUPE_BLOCK];
    uint32_t events[DEDUPE_BLOCK];
    struct bytes ids[DEDUPE_BLOCK];
    uint32_t count;
    char *why;
};

void duplicates_begin(struct store *store)
{
    struct duplicates_state *d = &store->duplicates;
    dedupe_settle(store->dedupe, false);
    d->serial++;
    d->count = d->events = 0;
    d->sequence = 0;
    d->code = ERR_OK;
}

struct duplicates duplicates_found(const struct store *store)
{
    const struct duplicates_state *d = &store->duplicates;
    return (struct duplicates){ d->rows, d->count, d->sequence };
}

/* An id as part of a sentence. */
static void id_text(struct bytes id, char *out, uint32_t room)
{
    const uint32_t n = id.len < room - 1 ? id.len : room - 1;
    for (uint32_t i = 0; i < n; i++)
        out[i] = id.at[i] >= ' ' && id.at[i] < 127 ? (char)id.at[i] : '?';
    out[n] = '\0';
}

static void ask_found(struct asking *a, uint32_t i, enum error code)
{
    struct partition *p = a->p;
    struct duplicates_state *d = &p->store->duplicates;
    const struct dedupe_place *place = &a->places[i];
    if (d->count == d->room) {
        const uint32_t room = d->room ? d->room * 2 : 64;
        d->rows = mem_realloc(MEM_DEDUPE, d->rows, d->room * sizeof(*d->rows), room * sizeof(*d->rows));
        d->room = room;
    }
    struct duplicate_row *row = &d->rows[d->count++];
    *row = (struct duplicate_row){ a->events[i], (uint16_t)code, place->partition, place->offset };
    CHECK(place->partition < p->topic->partition_count);
    const struct partition *original = p->topic->partitions[place->partition];
    if (original == p && place->offset >= p->end) {
        row->partition = DUPLICATES_SAME_BATCH;
        row->offset = place->offset - p->end;
    } else if (place->offset >= original->durable && original->queued_sequence > d->sequence) {
        d->sequence = original->queued_sequence; /* nothing is said that a crash could make untrue */
    }
    struct dedupe_stats *stats = dedupe_stats(p->store->dedupe);
    if (code == ERR_DEDUPE_CONFLICT)
        stats->conflicts++;
    else
        stats->duplicates++;
    if (d->code && (d->code == ERR_DEDUPE_CONFLICT || code == ERR_DEDUPE_DUPLICATE))
        return; /* the sentence is about the first of the worse kind */
    char id[65];
    id_text(a->ids[i], id, sizeof(id));
    d->code = code;
    snprintf(a->why, WHY_BYTES,
             code == ERR_DEDUPE_CONFLICT
                 ? "event %u has id '%s', which was published with another key or payload: "
                   "partition %u, offset %" PRIu64 "; nothing of the request was stored"
                 : "event %u has id '%s', which was published before: partition %u, offset "
                   "%" PRIu64 "; nothing of the request was stored, send it without",
             a->events[i], id, place->partition, place->offset);
}

static enum error ask_window(struct asking *a)
{
    struct partition *p = a->p;
    struct dedupe_window *w = p->topic->window;
    const int64_t now_ms = p->store->clock->wall_ms;
    enum dedupe_verdict verdicts[DEDUPE_BLOCK];
    const uint32_t count = dedupe_ask(w, now_ms, a->keys, a->count, a->places, verdicts);
    for (uint32_t i = 0; i < count; i++)
        switch (verdicts[i]) {
        case DEDUPE_NEW:
            if (dedupe_lost_until(w) > now_ms) {
                snprintf(
                    a->why, WHY_BYTES,
                    "ids that were published to %s are in a damaged file: no new ids for another %" PRId64
                    " s, or until dedupe.window is turned off and on",
                    p->topic->name, (dedupe_lost_until(w) - now_ms) / 1000 + 1);
                return ERR_DEDUPE_LOST;
            }
            break;
        case DEDUPE_DUPLICATE:
            ask_found(a, i, ERR_DEDUPE_DUPLICATE);
            break;
        case DEDUPE_CONFLICT:
            ask_found(a, i, ERR_DEDUPE_CONFLICT);
            break;
        case DEDUPE_FULL:
            snprintf(a->why, WHY_BYTES,
                     "event ids fill dedupe.memory (%" PRIu64
                     " bytes): wait until some expire, raise it, or shorten dedupe.window",
                     p->store->options.dedupe_memory);
            return ERR_DEDUPE_FULL;
        }
    a->count = 0;
    return ERR_OK;
}

static enum error ask_all(struct asking *a, const struct batch *batch, struct bytes records)
{
    struct record_iter it;
    struct record record;
    uint32_t event = 0;
    int next;
    record_iter_init(&it, batch, records);
    for (; (next = record_next(&it, &record)) == 1; event++) {
        struct dedupe_event e;
        if (record.offset != batch->base_offset + (int64_t)event)
            break;
        dedupe_event(a->p->store->dedupe, &record, &e);
        if (!e.id.at)
            continue;
        a->keys[a->count] = e.key;
        a->places[a->count] = (struct dedupe_place){ a->p->end + event, a->p->number };
        a->events[a->count] = event;
        a->ids[a->count++] = e.id;
        if (a->count < DEDUPE_BLOCK)
            continue;
        const enum error code = ask_window(a);
        if (code)
            return code;
    }
    if (next != 0) { /* only of a compressed batch: others were looked at by batch_check() */
        snprintf(a->why, WHY_BYTES, "event %u of the compressed batch is malformed: check the client", event);
        return ERR_BATCH_INVALID;
    }
    return a->count ? ask_window(a) : ERR_OK;
}

/* A producer's batch that is stored already has its ids in the window: they are its own. */
static bool sent_before(const struct partition *p, const struct batch *batch, char *why)
{
    bool duplicate = false;
    uint64_t base_offset;
    return batch->producer_id >= 0 &&
           producers_check(p->store->producers, p, batch, &duplicate, &base_offset, why) == ERR_OK &&
           duplicate;
}

enum error duplicates_check(struct partition *p, const struct batch *batch, char *why)
{
    struct store *store = p->store;
    struct duplicates_state *d = &store->duplicates;
    if (!p->topic->window || sent_before(p, batch, why))
        return ERR_OK;
    if (batch->count > DUPLICATES_EVENTS_MAX - (int32_t)d->events) {
        snprintf(
            why, WHY_BYTES,
            "more than %d events at once, of which %d are the batch's, cannot be compared with those before: "
            "send fewer",
            DUPLICATES_EVENTS_MAX, batch->count);
        return ERR_REQUEST_TOO_LARGE;
    }
    d->events += (uint32_t)batch->count;
    struct asking a = { .p = p, .why = why };
    struct bytes records;
    enum error code = ERR_BATCH_INVALID;
    if (duplicates_records(store, batch, &records, why))
        code = ask_all(&a, batch, records);
    duplicates_unpacked(store);
    if (code == ERR_OK)
        code = d->code;
    if (code == ERR_OK)
        p->ids_noted = d->serial;
    return code;
}

bool duplicates_append(struct partition *p)
{
    struct duplicates_state *d = &p->store->duplicates;
    const bool noted = p->ids_noted == d->serial;
    p->ids_noted = 0;
    if (!noted)
        return false;
    /* Of a request all batches are appended, or none. */
    dedupe_settle(p->store->dedupe, true);
    d->appended = journal_open_sequence(p->store->journal);
    return true;
}

int duplicates_replay(struct partition *p, const struct batch *batch, int64_t append_ms, char *why)
{
    struct store *store = p->store;
    struct bytes records;
    struct record_iter it;
    struct record record;
    if (!p->topic->window)
        return 0;
    if (!duplicates_records(store, batch, &records, why))
        return -EBADMSG;
    record_iter_init(&it, batch, records);
    while (record_next(&it, &record) == 1) {
        struct dedupe_event e;
        dedupe_event(store->dedupe, &record, &e);
        const struct dedupe_place place = { (uint64_t)record.offset, p->number };
        if (e.id.at)
            dedupe_replay(p->topic->window, &e.key, &place, append_ms);
    }
    duplicates_unpacked(store);
    return 0;
}

/* ---- turns ---- */

static void duplicates_fire(struct timer *timer)
{
    (void)timer; /* the turn that it starts does what is due */
}

void duplicates_init(struct store *store)
{
    timer_init(&store->duplicates.timer, duplicates_fire);
}

void duplicates_turn_end(struct store *store)
{
    enum { PERIOD_MS = 50 }; /* of an idle broker: 40,000 ids a second */
    struct duplicates_state *d = &store->duplicates;
    if (dedupe_unsettled(store->dedupe))
        duplicates_begin(store); /* whoever checked them did not append them */
    if (d->looked_ms == store->clock->wall_ms || !dedupe_stats(store->dedupe)->windows)
        return;
    d->looked_ms = store->clock->wall_ms;
    if (dedupe_turn(store->dedupe, d->looked_ms) && !timer_running(&d->timer))
        timer_start(store->timers, &d->timer, PERIOD_MS);
}

void duplicates_stop(struct store *store)
{
    timer_stop(store->timers, &store->duplicates.timer);
}
