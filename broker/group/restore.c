/* SPDX-License-Identifier: Apache-2.0
 *
 * group/restore.c: records back into groups, from the snapshot and from the journal.
 *
 * Topics are known by their ids only: their creation may come later in the journal (group_topic_attach()).
 */
#include <errno.h>
#include <stdio.h>

#include "group/state_own.h"

/* Follows when it had opened by itself. Meanwhile it may all be well: the probe is due at once. */
static void apply_breaker(struct group *g, struct reader *r)
{
    const bool open = reader_left(r) > 0;
    const int64_t probe_ms = open ? read_i64(r) : 0;
    struct breaker_why why = { 0 };
    if (open) {
        why.outcomes = read_u32(r);
        why.failures = read_u32(r);
        why.error_class = read_u32(r);
        why.same = read_u32(r);
        why.keys = read_u32(r);
        why.at_ms = groups_mono_ms(g->groups);
    }
    if (r->bad || (open && probe_ms < 1)) {
        r->bad = true;
        return;
    }
    if (g->breaker.state == BREAKER_OPEN || g->breaker.state == BREAKER_HALF_OPEN)
        breaker_force(&g->breaker, BREAKER_CLOSED);
    if (open && g->breaker.state == BREAKER_CLOSED)
        breaker_restore(&g->breaker, &why, probe_ms, groups_mono_ms(g->groups));
}

static void apply_group(struct groups *groups, struct bytes name, struct reader *r)
{
    char why[GROUP_WHY_BYTES];
    struct group *g = group_find(groups, name);
    const uint8_t mode = read_u8(r);
    if (!g)
        g = group_create(groups, name, mode != 2);
    g->kafka = mode == 3;
    g->created_ms = read_i64(r);
    g->active_ms = read_i64(r);
    g->breaker_order = (enum group_breaker_order)read_u8(r);
    g->settings = groups->options.defaults;
    g->settings.set = 0;
    for (uint16_t n = read_u16(r); n && !r->bad; n--) {
        struct bytes setting = read_str(r), value = read_str(r);
        /* One that this version does not know, or not this value of: the default stands in. */
        if (!r->bad && !group_settings_set(&g->settings, &groups->options.defaults, setting, value, why))
            diag(DIAG_WARN, "group", "a stored setting is left out", DIAG_KS("group", g->name),
                 DIAG_KS("reason", why));
    }
    group_settings_changed(g);
    apply_breaker(g, r);
}

static void apply_progress(struct gp *gp, struct reader *r)
{
    progress_restore_position(gp->progress, read_u64(r));
    while (!r->bad && reader_left(r)) {
        const uint64_t first = read_u64(r);
        const uint32_t count = read_u32(r);
        if (!r->bad)
            progress_restore_done(gp->progress, first, first + count);
    }
}

static struct progress_item read_item(struct reader *r)
{
    struct progress_item item = { .offset = read_u64(r) };
    item.attempts = read_u16(r);
    item.state = read_u8(r);
    item.due_ms = read_i64(r);
    item.error_class = read_u32(r);
    return item;
}

static void apply_items(struct gp *gp, struct reader *r)
{
    while (!r->bad && reader_left(r)) {
        const struct progress_item item = read_item(r);
        if (!r->bad)
            progress_restore_item(gp->progress, &item);
    }
}

static void apply_give_up(struct gp *gp, struct reader *r)
{
    const struct progress_item item = read_item(r);
    struct failure f = { .attempts = item.attempts, .failed_at_ms = read_i64(r) };
    f.key_hash = read_u32(r);
    f.rejected = read_u8(r);
    f.type = read_str(r);
    f.message = read_str(r);
    f.stack = read_str(r);
    f.member = read_str(r);
    if (r->bad)
        return;
    progress_restore_item(gp->progress, &item);
    give_up_add(gp, item.offset, &f, item.error_class);
}

static void apply_seek(struct gp *gp, uint64_t position)
{
    while (!list_empty(&gp->give_ups))
        give_up_free(gp, CONTAINER_OF(gp->give_ups.next, struct give_up, link));
    progress_seek(gp->progress, position);
    if (gp->group->kafka)
        gp_commit(gp, -1, (struct bytes){ 0 });
}

static void apply_commit(struct gp *gp, struct reader *r)
{
    const uint64_t position = read_u64(r);
    const int32_t epoch = (int32_t)read_u32(r);
    const struct bytes metadata = read_str(r);
    if (r->bad || position == NO_POSITION) {
        gp_uncommit(gp);
        return;
    }
    apply_seek(gp, position);
    gp_commit(gp, epoch, metadata);
}

static void apply_to_gp(struct group *g, enum kind kind, struct reader *r)
{
    const uint32_t topic = read_u32(r), number = read_u32(r);
    if (r->bad || number >= 1u << 20) {
        r->bad = true;
        return;
    }
    struct gp *gp = group_gp_restore(g, topic, number);
    if (kind == KIND_PROGRESS) {
        apply_progress(gp, r);
    } else if (kind == KIND_ITEMS) {
        apply_items(gp, r);
    } else if (kind == KIND_GIVE_UP) {
        apply_give_up(gp, r);
    } else if (kind == KIND_SETTLED) {
        while (!r->bad && reader_left(r))
            progress_restore_settled(gp->progress, read_u64(r));
    } else if (kind == KIND_COMMIT) {
        apply_commit(gp, r);
    } else {
        apply_seek(gp, read_u64(r));
    }
}

static void apply_forget(struct group *g, uint32_t topic)
{
    struct group_topic *gt = group_topic_find(g, topic);
    if (gt)
        group_topic_drop(g, gt);
}

static int apply(struct groups *groups, struct bytes name, struct bytes value, int64_t timestamp_ms,
                 char *why)
{
    struct group *g = group_find(groups, name);
    struct reader r = reader_of(value.at, value.len);
    if (!value.at) {
        if (g)
            group_free(g);
        return 0;
    }
    const enum kind kind = (enum kind)read_u8(&r);
    bool sane = name.len && name.len <= GROUP_NAME_MAX;
    if (kind == KIND_GROUP && sane)
        apply_group(groups, name, &r);
    else if (kind < KIND_GROUP || kind > KIND_COMMIT)
        sane = false;
    else if (!g)
        return 0; /* deleted, as the snapshot knows already */
    else if (kind == KIND_SUBSCRIPTION) {
        struct bytes pattern = read_str(&r);
        const uint64_t since = read_u64(&r);
        if (!r.bad)
            subscription_add(g, pattern, since);
    } else if (kind == KIND_FORGET)
        apply_forget(g, read_u32(&r));
    else
        apply_to_gp(g, kind, &r);
    if (!sane || !reader_done(&r)) {
        snprintf(why, STATE_WHY_BYTES,
                 "a record of __groups cannot be understood (kind %u): use a newer runneld", (unsigned)kind);
        return -EBADMSG;
    }
    if (g && timestamp_ms > g->active_ms)
        g->active_ms = timestamp_ms;
    return 0;
}

int state_load(void *ctx, const uint8_t *body, uint64_t bytes, char *why)
{
    for (uint64_t at = 0; at < bytes;) {
        struct bytes key, value;
        const uint32_t n = record_get(body + at, bytes - at, &key, &value);
        if (!n) {
            snprintf(why, STATE_WHY_BYTES, "the snapshot of __groups ends in the middle of a record");
            return -EBADMSG;
        }
        const int result = apply(ctx, key, value, 0, why);
        if (result)
            return result;
        at += n;
    }
    return 0;
}

int state_replay(void *ctx, const struct record *record, char *why)
{
    return apply(ctx, record->key, record->value, record->timestamp_ms, why);
}
