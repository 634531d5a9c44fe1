/* SPDX-License-Identifier: Apache-2.0
 *
 * schema/registry_state.c: records, the snapshot, and both back into what is known. Every record sets
 * something to a value, so one that a snapshot includes already may be applied again.
 */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "partition/partition.h"
#include "partition/store.h"
#include "schema/registry_own.h"

enum {
    STATE_NUMBER_SCHEMAS = 2, /* `__schemas` among internal topics: for ever */
    STATE_VERSION = 1,
    APPEND_OVERHEAD = 256, /* record lengths and deltas */
};

/* ---- writing ---- */

void put_version(struct writer *w, const struct registry_row *row)
{
    write_u8(w, RECORD_VERSION);
    write_str(w, row->subject);
    write_u32(w, row->version);
    write_u8(w, row->deleted);
    write_i64(w, row->created_ms);
    write_u32(w, row->id);
    write_u8(w, (uint8_t)row->type);
    write_u16(w, (uint16_t)row->reference_count);
    for (uint32_t i = 0; i < row->reference_count; i++) {
        write_str(w, row->references[i].name);
        write_str(w, row->references[i].subject);
        write_u32(w, row->references[i].version);
    }
    write_blob(w, row->text);
}

uint64_t record_append(struct registry *r, struct bytes subject, const struct writer *value)
{
    const struct bytes body = { value->start, writer_len(value) };
    const uint32_t room = BATCH_HEADER + subject.len + body.len + APPEND_OVERHEAD;
    uint8_t *buffer = mem_alloc(MEM_SCHEMA, room);
    struct batch_builder builder;
    struct append_result result;
    struct batch batch;
    CHECK(!value->bad);
    batch_build_start(&builder, buffer, room);
    const bool added = batch_build_add(&builder, r->clock->wall_ms, subject, body, NULL, 0);
    CHECK(added);
    const uint32_t bytes = batch_build_finish(&builder, -1, -1, -1);
    const bool decoded = batch_decode(&batch, buffer, bytes);
    CHECK(decoded);
    partition_append(store_state_partition(r->store, r->state_place), &batch, &result);
    mem_free(MEM_SCHEMA, buffer, room);
    const bool applied = record_apply(r, body);
    CHECK(applied);
    r->sequence = result.sequence;
    return result.sequence;
}

/* ---- reading ---- */

static bool apply_version(struct registry *r, struct reader *in)
{
    struct registry_reference references[REGISTRY_REFERENCES_MAX];
    struct registry_candidate candidate = { .references = references };
    const struct bytes subject = read_str(in);
    const uint32_t number = read_u32(in);
    const bool deleted = read_u8(in) != 0;
    const int64_t created_ms = read_i64(in);
    const uint32_t id = read_u32(in);
    candidate.type = (enum registry_type)read_u8(in);
    candidate.reference_count = read_u16(in);
    if (candidate.reference_count > REGISTRY_REFERENCES_MAX)
        return false;
    for (uint32_t i = 0; i < candidate.reference_count; i++) {
        references[i].name = read_str(in);
        references[i].subject = read_str(in);
        references[i].version = read_u32(in);
    }
    candidate.text = read_blob(in);
    if (!reader_done(in) || number == 0 || id == 0 || subject.len == 0)
        return false;
    version_put(r, subject, number, deleted, created_ms, id, &candidate);
    return true;
}

static bool apply_deleted(struct registry *r, struct reader *in)
{
    const struct bytes subject = read_str(in);
    const uint32_t number = read_u32(in);
    const uint8_t how = read_u8(in);
    struct subject *s = subject_find(r, subject);
    if (!reader_done(in) || how < 1 || how > 2)
        return false;
    for (uint32_t i = s ? s->count : 0; i-- > 0;) {
        struct version *v = &s->versions[i];
        if (number && v->number != number)
            continue;
        v->deleted = true;
        if (how == 2)
            version_remove(r, s, v);
    }
    if (s && how == 2 && number == 0)
        s->level = LEVEL_UNSET;
    if (s)
        subject_settle(r, s);
    return true;
}

static bool apply_level(struct registry *r, struct reader *in)
{
    const struct bytes subject = read_str(in);
    const uint8_t level = read_u8(in);
    if (!reader_done(in) || level > LEVEL_FULL_TRANSITIVE)
        return false;
    if (subject.len == 0) {
        r->level = (enum registry_level)level;
        return level != LEVEL_UNSET;
    }
    struct subject *s = subject_make(r, subject);
    s->level = (enum registry_level)level;
    subject_settle(r, s);
    return true;
}

bool record_apply(struct registry *r, struct bytes value)
{
    struct reader in = reader_of(value.at, value.len);
    switch (read_u8(&in)) {
    case RECORD_VERSION:
        return apply_version(r, &in);
    case RECORD_DELETED:
        return apply_deleted(r, &in);
    case RECORD_LEVEL:
        return apply_level(r, &in);
    case RECORD_NEXT_ID: {
        const uint32_t next = read_u32(&in);
        r->next_id = next > r->next_id ? next : r->next_id;
        return reader_done(&in);
    }
    default:
        return false;
    }
}

/* ---- the snapshot: a version, then records with their lengths ---- */

static int state_replay(void *ctx, const struct record *record, char *why)
{
    if (record_apply(ctx, record->value))
        return 0;
    snprintf(why, STATE_WHY_BYTES, "a record of __schemas cannot be understood: use a newer runneld");
    return -EPROTONOSUPPORT;
}

static int state_load(void *ctx, const uint8_t *body, uint64_t bytes, char *why)
{
    const struct bytes all = { body, (uint32_t)bytes };
    struct reader in = reader_of(all.at, all.len);
    bool ok = bytes <= UINT32_MAX && read_u8(&in) == STATE_VERSION;
    while (ok && reader_left(&in))
        ok = record_apply(ctx, read_blob(&in)) && !in.bad;
    if (ok)
        return 0;
    snprintf(why, STATE_WHY_BYTES,
             "the checkpoint's part of __schemas cannot be understood: use a newer runneld");
    return -EPROTONOSUPPORT;
}

static void save_record(struct state_sink *sink, const struct writer *w)
{
    const uint32_t bytes = writer_len(w);
    CHECK(!w->bad);
    state_write(sink, &bytes, sizeof(bytes));
    state_write(sink, w->start, bytes);
}

static void save_small(struct state_sink *sink, enum record_kind kind, struct bytes subject, uint32_t value)
{
    uint8_t buffer[REGISTRY_SUBJECT_MAX + 16];
    struct writer w = writer_of(buffer, sizeof(buffer));
    write_u8(&w, (uint8_t)kind);
    if (kind == RECORD_LEVEL) {
        write_str(&w, subject);
        write_u8(&w, (uint8_t)value);
    } else {
        write_u32(&w, value);
    }
    save_record(sink, &w);
}

static void state_save(void *ctx, struct state_sink *sink)
{
    struct registry *r = ctx;
    const uint8_t format = STATE_VERSION;
    struct registry_row row = { 0 };
    const uint32_t room = REGISTRY_TEXT_MAX + REGISTRY_REFERENCES_MAX * 2 * (UINT16_MAX + 8);
    uint8_t *buffer = mem_alloc(MEM_SCHEMA, room);
    state_write(sink, &format, 1);
    save_small(sink, RECORD_NEXT_ID, (struct bytes){ 0 }, r->next_id);
    save_small(sink, RECORD_LEVEL, (struct bytes){ 0 }, r->level);
    row.subject = bytes_of("");
    while (registry_next(r, true, &row)) {
        struct writer w = writer_of(buffer, room);
        put_version(&w, &row);
        save_record(sink, &w);
    }
    for (uint32_t i = 0; i < r->subject_count; i++)
        if (r->subjects[i]->level != LEVEL_UNSET)
            save_small(sink, RECORD_LEVEL, r->subjects[i]->name, r->subjects[i]->level);
    mem_free(MEM_SCHEMA, buffer, room);
}

struct registry *registry_create(uint32_t state, struct clock *clock)
{
    struct registry *r = mem_zalloc(MEM_SCHEMA, sizeof(*r));
    r->clock = clock;
    r->state_place = state;
    r->next_id = 1;
    r->level = LEVEL_BACKWARD;
    r->state = (struct store_state){ .topic = "__schemas",
                                     .number = STATE_NUMBER_SCHEMAS,
                                     .ctx = r,
                                     .load = state_load,
                                     .replay = state_replay,
                                     .save = state_save };
    return r;
}
