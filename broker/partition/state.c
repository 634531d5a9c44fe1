/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/state.c: other rooms' snapshots in the checkpoint, and their records in the journal.
 */
#include "partition/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "partition/internal.h"

enum { SEGMENT_BYTES = 16 << 20 };

void internal_settings(struct topic_settings *settings)
{
    settings_init(settings);
    settings->retention_ms = -1;
    settings->retention_bytes = STATE_RETENTION_BYTES;
    settings->segment_bytes = SEGMENT_BYTES;
}

void states_init(struct store *store)
{
    struct topic_settings settings;
    internal_settings(&settings);
    CHECK(store->options.state_count <= STORE_STATES_MAX);
    for (uint32_t i = 0; i < store->options.state_count; i++) {
        const struct store_state *state = &store->options.states[i];
        CHECK(state->number < STORE_STATES_MAX);
        store->states[i] = (struct state_slot){
            .state = state,
            .topic = catalog_insert(store, bytes_of(state->topic), INTERNAL_TOPIC_ID + state->number, 1,
                                    &settings, 0),
        };
    }
}

struct partition *store_state_partition(struct store *store, uint32_t state)
{
    CHECK(state < store->options.state_count);
    return store->states[state].topic->partitions[0];
}

uint64_t states_sequence(const struct store *store)
{
    uint64_t sequence = store->catalog->partitions[0]->queued_sequence;
    for (uint32_t i = 0; i < store->options.state_count; i++) {
        const struct partition *p = store->states[i].topic->partitions[0];
        if (p->queued_sequence > sequence)
            sequence = p->queued_sequence;
    }
    return sequence;
}

/* ---- the checkpoint's part ---- */

struct writer sink_begin(struct state_sink *s, uint64_t bytes)
{
    if (s->bytes + bytes > s->room) {
        uint64_t room = s->room ? s->room : 65536;
        while (room < s->bytes + bytes)
            room *= 2;
        s->at = mem_realloc(MEM_PARTITION, s->at, s->room, room);
        s->room = room;
    }
    return writer_of(s->at + s->bytes, (uint32_t)bytes);
}

void sink_end(struct state_sink *s, const struct writer *w)
{
    CHECK(!w->bad);
    s->bytes += writer_len(w);
}

void state_write(struct state_sink *sink, const void *bytes, uint32_t n)
{
    struct writer w = sink_begin(sink, n);
    write_raw(&w, bytes, n);
    sink_end(sink, &w);
}

void states_encode(struct state_sink *sink, const struct store *store)
{
    struct writer w = sink_begin(sink, 4);
    write_u32(&w, store->options.state_count);
    sink_end(sink, &w);
    for (uint32_t i = 0; i < store->options.state_count; i++) {
        const struct state_slot *slot = &store->states[i];
        w = sink_begin(sink, 512);
        write_str(&w, bytes_of(slot->state->topic));
        write_u64(&w, slot->topic->partitions[0]->end);
        sink_end(sink, &w);
        const uint64_t length_at = sink->bytes;
        uint64_t bytes = 0;
        state_write(sink, &bytes, sizeof(bytes));
        slot->state->save(slot->state->ctx, sink);
        bytes = sink->bytes - length_at - sizeof(bytes);
        memcpy(sink->at + length_at, &bytes, sizeof(bytes));
    }
}

static struct state_slot *state_find(struct store *store, struct bytes topic)
{
    for (uint32_t i = 0; i < store->options.state_count; i++) {
        const char *name = store->states[i].state->topic;
        if (topic.len == strlen(name) && memcmp(topic.at, name, topic.len) == 0)
            return &store->states[i];
    }
    return NULL;
}

int states_decode(struct store *store, struct reader *r, char *why)
{
    const uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct bytes topic = read_str(r);
        const uint64_t saved = read_u64(r), bytes = read_u64(r);
        const uint8_t *body = bytes <= reader_left(r) ? read_raw(r, (uint32_t)bytes) : NULL;
        if (r->bad || !body)
            return -EBADMSG;
        struct state_slot *slot = state_find(store, topic);
        if (!slot && !store->offline) {
            snprintf(why, WHY_BYTES,
                     "the checkpoint has a state of %.*s, which this runneld does not know: "
                     "use a newer runneld",
                     (int)topic.len, (const char *)topic.at);
            return -EPROTONOSUPPORT;
        }
        if (!slot)
            continue;
        slot->saved = saved;
        const int result = slot->state->load(slot->state->ctx, body, bytes, why);
        if (result)
            return result;
    }
    return r->bad ? -EBADMSG : 0;
}

int states_replay(struct store *store, const struct topic *t, const struct batch *batch, char *why)
{
    for (uint32_t i = 0; i < store->options.state_count; i++) {
        const struct state_slot *slot = &store->states[i];
        if (slot->topic != t || (uint64_t)batch->base_offset < slot->saved)
            continue;
        struct record_iter it;
        struct record record;
        record_iter_init(&it, batch, (struct bytes){ batch->at + BATCH_HEADER, batch->bytes - BATCH_HEADER });
        while (record_next(&it, &record) == 1) {
            const int result = slot->state->replay(slot->state->ctx, &record, why);
            if (result)
                return result;
        }
    }
    return 0;
}
