/* SPDX-License-Identifier: Apache-2.0 */
#include "store_model.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partition/store.h"
#include "proto/crc32c.h"

void model_init(struct model *m)
{
    memset(m, 0, sizeof(*m));
    m->mark = 3600000;
}

static void model_topic_free(struct model_topic *mt)
{
    for (uint32_t i = 0; i < MODEL_PARTITIONS; i++)
        free(mt->partitions[i].batches);
    free(mt);
}

void model_free(struct model *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        model_topic_free(m->topics[i]);
    free(m->topics);
}

/* ---- the catalogue ---- */

struct model_topic *model_topic(struct model *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->topics[i]->id == id && !m->topics[i]->gone)
            return m->topics[i];
    return NULL;
}

struct model_topic *model_create(struct model *m, const struct topic *t, uint64_t sequence)
{
    if (m->count == m->room) {
        m->room = m->room ? m->room * 2 : 16;
        m->topics = realloc(m->topics, m->room * sizeof(*m->topics));
    }
    struct model_topic *mt = calloc(1, sizeof(*mt));
    m->topics[m->count++] = mt;
    snprintf(mt->name, sizeof(mt->name), "%s", t->name);
    mt->id = t->id;
    mt->created = sequence;
    model_change(mt, t, sequence);
    return mt;
}

bool model_may_change(const struct model_topic *mt)
{
    return mt->version_count < MODEL_VERSIONS;
}

void model_change(struct model_topic *mt, const struct topic *t, uint64_t sequence)
{
    cr_assert(mt->version_count < MODEL_VERSIONS);
    mt->versions[mt->version_count++] =
        (struct model_version){ sequence, t->partition_count, t->settings.timestamp_after_max_ms };
}

void model_delete(struct model_topic *mt, uint64_t sequence)
{
    mt->deleted = sequence;
}

static void model_remove(struct model *m, uint32_t i)
{
    model_topic_free(m->topics[i]);
    m->topics[i] = m->topics[--m->count];
}

void model_settle(struct model *m, uint64_t durable)
{
    for (uint32_t i = 0; i < m->count;) {
        struct model_topic *mt = m->topics[i];
        uint32_t old = 0;
        while (old + 1 < mt->version_count && mt->versions[old + 1].sequence <= durable)
            old++;
        memmove(mt->versions, mt->versions + old, (mt->version_count - old) * sizeof(*mt->versions));
        mt->version_count -= old;
        for (uint32_t n = 0; n < MODEL_PARTITIONS; n++) {
            struct model_partition *mp = &mt->partitions[n];
            if (mp->start_sequence && mp->start_sequence <= durable) {
                mp->start_least = mp->start_pending;
                mp->start_sequence = 0;
            }
        }
        if (mt->deleted && mt->deleted <= durable)
            model_remove(m, i);
        else
            i++;
    }
}

/* ---- batches ---- */

uint32_t model_build(uint8_t *out, uint32_t room, uint64_t nonce, uint32_t count, uint32_t value_bytes,
                     int64_t timestamp_ms, int64_t producer, int32_t first_sequence)
{
    uint8_t *value = malloc(value_bytes + 8);
    uint64_t x = nonce * 0x9e3779b97f4a7c15u + 1;
    struct batch_builder b;
    batch_build_start(&b, out, room);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t at = 0; at < value_bytes; at += 8) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            memcpy(value + at, &x, 8);
        }
        cr_assert(batch_build_add(&b, timestamp_ms, (struct bytes){ (const uint8_t *)&nonce, 8 },
                                  (struct bytes){ value, value_bytes }, NULL, 0));
    }
    free(value);
    return batch_build_finish(&b, producer, producer < 0 ? -1 : 0, producer < 0 ? -1 : first_sequence);
}

struct model_batch *model_append(struct model *m, struct partition *p, uint8_t *at, uint32_t bytes,
                                 const struct append_result *result, uint32_t leader_epoch, int64_t now_ms)
{
    struct topic *t = partition_topic(p);
    struct model_topic *mt = model_topic(m, t->id);
    cr_assert_not_null(mt);
    struct model_partition *mp = &mt->partitions[partition_number(p)];
    if (mp->count == mp->room) {
        mp->room = mp->room ? mp->room * 2 : 16;
        mp->batches = realloc(mp->batches, mp->room * sizeof(*mp->batches));
    }
    if (t->settings.timestamp_type)
        batch_set_append_time(at, now_ms);
    batch_set_base_offset(at, (int64_t)result->base_offset);
    batch_set_leader_epoch(at, (int32_t)leader_epoch);
    struct batch batch;
    cr_assert(batch_decode(&batch, at, bytes));
    struct model_batch *b = &mp->batches[mp->count];
    *b = (struct model_batch){ .base = result->base_offset,
                               .end = result->base_offset + (uint32_t)batch.count,
                               .sequence = result->sequence,
                               .timestamp_ms = batch.max_timestamp_ms,
                               .producer = batch.producer_id,
                               .first_sequence = batch.base_sequence,
                               .count = (uint32_t)batch.count,
                               .bytes = bytes,
                               .crc = crc32c(0, at, bytes) };
    uint64_t expected = mp->count ? mp->batches[mp->count - 1].end : 0;
    cr_assert_eq(b->base, expected, "offset %" PRIu64 " was given out where %" PRIu64 " was due", b->base,
                 expected);
    mp->count++;
    return b;
}

static uint32_t model_place(const struct model_partition *mp, uint64_t offset)
{
    uint32_t low = 0, high = mp->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (mp->batches[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct model_batch *model_find(const struct model_partition *mp, uint64_t offset)
{
    uint32_t i = model_place(mp, offset);
    return i < mp->count ? &mp->batches[i] : NULL;
}

uint64_t model_check_slice(const struct model *m, const struct partition *p, const uint8_t *data,
                           uint32_t bytes, uint64_t next, uint64_t durable)
{
    const struct topic *t = partition_topic(p);
    uint32_t number = partition_number(p);
    struct model_topic *mt = model_topic((struct model *)m, t->id);
    cr_assert_not_null(mt, "topic %s", t->name);
    uint64_t asked = next;
    bool first = true;
    for (uint32_t at = 0; at < bytes;) {
        struct batch batch;
        cr_assert(batch_decode(&batch, data + at, bytes - at), "%s/%u: no batch at %" PRIu64, t->name, number,
                  next);
        uint64_t base = (uint64_t)batch.base_offset;
        const struct model_batch *b = model_find(&mt->partitions[number], base);
        cr_assert_not_null(b, "%s/%u: offset %" PRIu64 " was never given out", t->name, number, base);
        cr_assert(first ? base <= asked && b->end > asked : base == next,
                  "%s/%u: a batch of offset %" PRIu64 " where %" PRIu64 " was due", t->name, number, base,
                  next);
        cr_assert(b->base == base && b->bytes == batch.bytes && b->crc == crc32c(0, data + at, batch.bytes),
                  "%s/%u: offset %" PRIu64 " has other bytes than were appended", t->name, number, base);
        cr_assert_leq(b->sequence, durable, "%s/%u: offset %" PRIu64 " was delivered before it was durable",
                      t->name, number, base);
        next = b->end;
        first = false;
        at += batch.bytes;
    }
    return next;
}

/* ---- after a crash ---- */

/* Which sequences the store may stand at. */
struct verdict {
    uint64_t low, high;
    char low_why[96], high_why[96];
};

static void verdict_has(struct verdict *v, uint64_t sequence, const char *what, const char *name, uint64_t n)
{
    if (sequence <= v->low)
        return;
    v->low = sequence;
    snprintf(v->low_why, sizeof(v->low_why), "%s of %s (%" PRIu64 ") is there", what, name, n);
}

static void verdict_lacks(struct verdict *v, uint64_t sequence, const char *what, const char *name,
                          uint64_t n)
{
    if (sequence > v->high)
        return;
    v->high = sequence - 1;
    snprintf(v->high_why, sizeof(v->high_why), "%s of %s (%" PRIu64 ") is not there", what, name, n);
}

static void judge_partition(struct verdict *v, struct model_topic *mt, const struct partition *p)
{
    struct model_partition *mp = &mt->partitions[partition_number(p)];
    uint64_t start = partition_start(p), end = partition_end(p);
    cr_assert(start >= mp->start_least && start <= mp->start,
              "%s/%u starts at %" PRIu64 ", was %" PRIu64 " (durably %" PRIu64 ")", mt->name,
              partition_number(p), start, mp->start, mp->start_least);
    uint32_t n = model_place(mp, end);
    cr_assert(n == mp->count ? end == (n ? mp->batches[n - 1].end : 0) : mp->batches[n].base == end,
              "%s/%u ends at %" PRIu64 ", within a batch or behind all", mt->name, partition_number(p), end);
    if (n)
        verdict_has(v, mp->batches[n - 1].sequence, "a batch", mt->name, mp->batches[n - 1].base);
    if (n < mp->count)
        verdict_lacks(v, mp->batches[n].sequence, "a batch", mt->name, mp->batches[n].base);
    mp->count = n;
    mp->start = mp->start_least = start;
    mp->start_sequence = 0;
}

static void judge_topic(struct verdict *v, struct model_topic *mt, struct topic *t)
{
    cr_assert_str_eq(mt->name, t->name);
    verdict_has(v, mt->created, "creation", mt->name, mt->id);
    if (mt->deleted)
        verdict_lacks(v, mt->deleted, "deletion", mt->name, mt->id);
    uint32_t i = mt->version_count;
    while (i > 0 && (mt->versions[i - 1].mark != t->settings.timestamp_after_max_ms ||
                     mt->versions[i - 1].partitions != t->partition_count))
        i--;
    cr_assert_gt(i, 0, "%s has settings or partitions (%u) of before a durable change", mt->name,
                 t->partition_count);
    verdict_has(v, mt->versions[i - 1].sequence, "a change", mt->name, i);
    if (i < mt->version_count)
        verdict_lacks(v, mt->versions[i].sequence, "a change", mt->name, i);
    mt->version_count = i;
    for (uint32_t n = 0; n < t->partition_count; n++)
        judge_partition(v, mt, t->partitions[n]);
    for (uint32_t n = t->partition_count; n < MODEL_PARTITIONS; n++) {
        struct model_partition *mp = &mt->partitions[n];
        if (mp->count)
            verdict_lacks(v, mp->batches[0].sequence, "a partition's batch", mt->name, n);
        free(mp->batches);
        memset(mp, 0, sizeof(*mp));
    }
    mt->deleted = 0;
}

void model_judge(struct model *m, const struct model_found *found)
{
    struct verdict v = { .low = found->durable, .high = UINT64_MAX, .low_why = "reported durable" };
    struct bytes after = { 0 };
    bool *seen = calloc(m->count + 1, sizeof(*seen));
    for (struct topic *t; (t = catalog_next(found->store, after));) {
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
        if (t->internal)
            continue;
        struct model_topic *mt = model_topic(m, t->id);
        cr_assert_not_null(mt, "topic %s, id %" PRIu64 " was never made, or its deletion was durable",
                           t->name, t->id);
        judge_topic(&v, mt, t);
        for (uint32_t i = 0; i < m->count; i++)
            if (m->topics[i] == mt)
                seen[i] = true;
    }
    /* Those that are not there were not made yet, or are deleted already: the latter where the former cannot
     * be any more. */
    for (uint32_t i = 0; i < m->count; i++)
        if (!seen[i] && !m->topics[i]->deleted)
            verdict_lacks(&v, m->topics[i]->created, "creation", m->topics[i]->name, m->topics[i]->id);
    for (uint32_t i = 0; i < m->count; i++)
        if (!seen[i] && m->topics[i]->deleted && m->topics[i]->created <= v.low)
            verdict_has(&v, m->topics[i]->deleted, "deletion", m->topics[i]->name, m->topics[i]->id);
    cr_assert_leq(v.low, v.high, "sequence %" PRIu64 " (%s), but not %" PRIu64 " (%s)", v.low, v.low_why,
                  v.high + 1, v.high_why);
    for (uint32_t i = m->count; i-- > 0;)
        if (!seen[i])
            model_remove(m, i);
    free(seen);
    /* What came back is durable now, and its sequences may be given out anew. */
    for (uint32_t i = 0; i < m->count; i++) {
        struct model_topic *mt = m->topics[i];
        mt->created = 0;
        mt->versions[0] = mt->versions[mt->version_count - 1];
        mt->version_count = 1;
        mt->versions[0].sequence = 0;
        for (uint32_t n = 0; n < MODEL_PARTITIONS; n++)
            for (uint32_t b = 0; b < mt->partitions[n].count; b++)
                mt->partitions[n].batches[b].sequence = 0;
    }
}
