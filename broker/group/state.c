/* SPDX-License-Identifier: Apache-2.0
 *
 * group/state.c: what is stored: records from what happened, and the snapshot.
 *
 * Records are noted in `pending` as things happen, and appended at the end of the turn. What acknowledgements
 * do is not noted one by one: progress tells its changes since it was last asked. Order between the two
 * matters for one gp only: its changes are taken before a record about it is noted.
 */
#include "partition/state.h"

#include <string.h>

#include "group/state_own.h"

/* ---- writing ---- */

/* To the snapshot, or (NULL) to what is pending. */
static void record_put(struct groups *groups, struct state_sink *sink, const struct group *g,
                       const struct writer *value)
{
    uint8_t head[6];
    const uint16_t key = (uint16_t)strlen(g->name);
    const uint32_t bytes = value ? writer_len(value) : (uint32_t)NULL_VALUE;
    const uint32_t total = (uint32_t)sizeof(head) + key + (value ? bytes : 0);
    CHECK(!value || !value->bad);
    memcpy(head, &key, 2);
    memcpy(head + 2, &bytes, 4);
    if (sink) {
        state_write(sink, head, sizeof(head));
        state_write(sink, g->name, key);
        if (value)
            state_write(sink, value->start, bytes);
        return;
    }
    if (groups->pending_bytes + total > groups->pending_room) {
        uint32_t room = groups->pending_room ? groups->pending_room : 16384;
        while (room < groups->pending_bytes + total)
            room *= 2;
        groups->pending = mem_realloc(MEM_GROUP, groups->pending, groups->pending_room, room);
        groups->pending_room = room;
    }
    uint8_t *at = groups->pending + groups->pending_bytes;
    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), g->name, key);
    if (value)
        memcpy(at + sizeof(head) + key, value->start, bytes);
    groups->pending_bytes += total;
}

static struct writer value_start(uint8_t *buffer, enum kind kind)
{
    struct writer w = writer_of(buffer, VALUE_BYTES);
    write_u8(&w, (uint8_t)kind);
    return w;
}

static struct writer value_of_gp(uint8_t *buffer, enum kind kind, const struct gp *gp)
{
    struct writer w = value_start(buffer, kind);
    write_u32(&w, (uint32_t)gp->in->id);
    write_u32(&w, gp->number);
    return w;
}

static void put_group(const struct group *g, struct state_sink *sink)
{
    uint8_t buffer[VALUE_BYTES];
    char text[GROUP_SETTING_TEXT_BYTES];
    struct writer w = value_start(buffer, KIND_GROUP);
    write_u8(&w, g->kafka ? 3 : g->ordered ? 1 : 2);
    write_i64(&w, g->created_ms);
    write_i64(&w, g->active_ms);
    write_u8(&w, (uint8_t)g->breaker_order);
    write_u16(&w, (uint16_t)__builtin_popcount(g->settings.set));
    for (uint32_t i = 0; i < group_settings_count(); i++)
        if (g->settings.set & (1u << i)) {
            group_settings_text(&g->settings, i, text);
            write_str(&w, bytes_of(group_settings_row(i)->name));
            write_str(&w, bytes_of(text));
        }
    if (g->breaker.state == BREAKER_OPEN || g->breaker.state == BREAKER_HALF_OPEN) {
        const struct breaker_why *why = &g->breaker.why;
        write_i64(&w, g->breaker.probe_ms);
        write_u32(&w, why->outcomes);
        write_u32(&w, why->failures);
        write_u32(&w, why->error_class);
        write_u32(&w, why->same);
        write_u32(&w, why->keys);
    }
    record_put(g->groups, sink, g, &w);
}

static void put_subscription(const struct group *g, const struct group_subscription *s,
                             struct state_sink *sink)
{
    uint8_t buffer[VALUE_BYTES];
    struct writer w = value_start(buffer, KIND_SUBSCRIPTION);
    write_str(&w, bytes_of(s->pattern));
    write_u64(&w, s->since);
    record_put(g->groups, sink, g, &w);
}

static void put_commit(const struct gp *gp, uint64_t position, struct state_sink *sink)
{
    uint8_t buffer[VALUE_BYTES];
    const struct gp_commit *c = gp->commit;
    struct writer w = value_of_gp(buffer, KIND_COMMIT, gp);
    write_u64(&w, position);
    write_u32(&w, (uint32_t)(c ? c->leader_epoch : -1));
    write_str(&w, c ? (struct bytes){ (const uint8_t *)c->metadata, c->metadata_len } : (struct bytes){ 0 });
    record_put(gp->group->groups, sink, gp->group, &w);
}

static void put_position(const struct gp *gp, bool kafka, struct state_sink *sink)
{
    if (kafka) {
        put_commit(gp, progress_position(gp->progress), sink);
        return;
    }
    uint8_t buffer[VALUE_BYTES];
    struct writer w = value_of_gp(buffer, KIND_SEEK, gp);
    write_u64(&w, progress_position(gp->progress));
    record_put(gp->group->groups, sink, gp->group, &w);
}

/* A snapshot may have a million of them: one question for room, not five. */
static void write_item(struct writer *w, const struct progress_item *item)
{
    uint8_t *at = write_space(w, ITEM_BYTES);
    if (!at)
        return;
    memcpy(at, &item->offset, 8);
    memcpy(at + 8, &item->attempts, 2);
    at[10] = item->state;
    memcpy(at + 11, &item->due_ms, 8);
    memcpy(at + 19, &item->error_class, 4);
}

static void put_give_up(const struct gp *gp, const struct give_up *u, struct state_sink *sink)
{
    uint8_t buffer[VALUE_BYTES];
    struct progress_item item;
    if (!progress_find_item(gp->progress, u->offset, &item))
        return;
    const struct failure f = give_up_failure(u);
    struct writer w = value_of_gp(buffer, KIND_GIVE_UP, gp);
    write_item(&w, &item);
    write_i64(&w, f.failed_at_ms);
    write_u32(&w, f.key_hash);
    write_u8(&w, f.rejected);
    write_str(&w, f.type);
    write_str(&w, f.message);
    write_str(&w, f.stack);
    write_str(&w, f.member);
    record_put(gp->group->groups, sink, gp->group, &w);
}

/* ---- noting ---- */

/* What its acknowledgements came to since last time. */
static void gp_gather(struct gp *gp)
{
    uint8_t buffer[VALUE_BYTES];
    struct progress_range ranges[RANGES];
    uint64_t position, settled[RANGES];
    uint32_t count;
    if (!progress_dirty(gp->progress))
        return;
    if (gp->group->kafka) { /* positions are told one by one: KIND_COMMIT */
        progress_take_changes(gp->progress, &position, ranges, RANGES);
        return;
    }
    bool first = true;
    do {
        count = progress_take_changes(gp->progress, &position, ranges, RANGES);
        if (!first && !count)
            break;
        first = false;
        struct writer w = value_of_gp(buffer, KIND_PROGRESS, gp);
        write_u64(&w, position);
        for (uint32_t i = 0; i < count; i++) {
            write_u64(&w, ranges[i].first);
            write_u32(&w, (uint32_t)(ranges[i].end - ranges[i].first));
        }
        record_put(gp->group->groups, NULL, gp->group, &w);
    } while (count);
    while ((count = progress_take_settled(gp->progress, settled, RANGES)) > 0) {
        struct writer w = value_of_gp(buffer, KIND_SETTLED, gp);
        for (uint32_t i = 0; i < count; i++)
            write_u64(&w, settled[i]);
        record_put(gp->group->groups, NULL, gp->group, &w);
    }
}

void state_gather(struct groups *groups)
{
    for (struct list *node; (node = list_pop(&groups->dirty));)
        gp_gather(CONTAINER_OF(node, struct gp, dirty_link));
}

void state_note_group(struct group *g)
{
    put_group(g, NULL);
}

void state_note_subscription(struct group *g, const struct group_subscription *s)
{
    put_subscription(g, s, NULL);
}

void state_note_deleted(const struct group *g)
{
    record_put(g->groups, NULL, g, NULL);
}

void state_note_position_as(struct gp *gp, bool kafka)
{
    gp_gather(gp);
    put_position(gp, kafka, NULL);
}

void state_note_position(struct gp *gp)
{
    if (gp_committed(gp))
        state_note_position_as(gp, gp->group->kafka);
}

void state_note_uncommitted(struct gp *gp)
{
    put_commit(gp, NO_POSITION, NULL);
}

void state_note_item(struct gp *gp, uint64_t offset)
{
    uint8_t buffer[VALUE_BYTES];
    struct progress_item item;
    gp_gather(gp);
    const struct give_up *u = give_up_find(gp, offset);
    if (u) {
        put_give_up(gp, u, NULL);
    } else if (progress_find_item(gp->progress, offset, &item)) {
        struct writer w = value_of_gp(buffer, KIND_ITEMS, gp);
        write_item(&w, &item);
        record_put(gp->group->groups, NULL, gp->group, &w);
    }
}

void state_note_forgotten(const struct group *g, uint64_t topic)
{
    uint8_t buffer[VALUE_BYTES];
    struct writer w = value_start(buffer, KIND_FORGET);
    write_u32(&w, (uint32_t)topic);
    record_put(g->groups, NULL, g, &w);
}

/* ---- the snapshot ---- */

struct saving {
    const struct gp *gp;
    struct state_sink *sink;
    struct writer w;
    uint32_t count;
    uint8_t buffer[VALUE_BYTES];
};

static void saving_flush(struct saving *s)
{
    if (s->count)
        record_put(s->gp->group->groups, s->sink, s->gp->group, &s->w);
    s->count = 0;
}

static void save_done(void *ctx, uint64_t first, uint64_t end)
{
    struct saving *s = ctx;
    while (first < end) {
        const uint32_t count = end - first > UINT32_MAX ? UINT32_MAX : (uint32_t)(end - first);
        if (!s->count++) {
            s->w = value_of_gp(s->buffer, KIND_PROGRESS, s->gp);
            write_u64(&s->w, progress_position(s->gp->progress));
        }
        write_u64(&s->w, first);
        write_u32(&s->w, count);
        if (s->count == ITEMS)
            saving_flush(s);
        first += count;
    }
}

static void save_item(void *ctx, const struct progress_item *item)
{
    struct saving *s = ctx;
    if ((item->state & ITEM_STATE_MASK) == ITEM_GIVING_UP && give_up_find(s->gp, item->offset))
        return;
    if (!s->count++)
        s->w = value_of_gp(s->buffer, KIND_ITEMS, s->gp);
    write_item(&s->w, item);
    if (s->count == ITEMS)
        saving_flush(s);
}

static void save_gp(const struct gp *gp, struct state_sink *sink)
{
    struct saving s = { .gp = gp, .sink = sink };
    if (!gp_committed(gp))
        return;
    put_position(gp, gp->group->kafka, sink);
    progress_each_done(gp->progress, save_done, &s);
    saving_flush(&s);
    progress_each_item(gp->progress, save_item, &s);
    saving_flush(&s);
    LIST_FOR_EACH (node, &gp->give_ups)
        put_give_up(gp, CONTAINER_OF(node, struct give_up, link), sink);
}

void state_save(void *ctx, struct state_sink *sink)
{
    struct groups *groups = ctx;
    for (uint32_t i = 0; i < groups->count; i++) {
        const struct group *g = groups->sorted[i];
        put_group(g, sink);
        for (uint32_t k = 0; k < g->subscription_count; k++)
            put_subscription(g, &g->subscriptions[k], sink);
        for (uint32_t t = 0; t < g->topic_slots; t++)
            for (uint32_t n = 0; g->topics[t] && n < g->topics[t]->count; n++)
                save_gp(g->topics[t]->gps[n], sink);
    }
}
