/* SPDX-License-Identifier: Apache-2.0
 *
 * group/settle.c: what became of what was delivered: acknowledged, refused, given back, timed out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "group/group_own.h"

static uint32_t text_hash(struct bytes text)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < text.len; i++)
        hash = (hash ^ text.at[i]) * 16777619u;
    return hash;
}

/* ---- whose, and of which epoch ---- */

/* Events of an older epoch, below everything that was withdrawn since then, are still out. */
static bool epoch_counts(const struct gp *gp, uint32_t epoch, uint64_t end)
{
    if (epoch == gp->epoch)
        return true;
    const uint32_t back = gp->epoch - epoch; /* withdrawals since */
    if (epoch < gp->epoch_assigned || epoch > gp->epoch || back > ARRAY_LEN(gp->rewinds) ||
        back > gp->rewind_count)
        return false;
    for (uint32_t i = 0; i < back; i++)
        if (end > gp->rewinds[(gp->rewind_count - 1 - i) % ARRAY_LEN(gp->rewinds)].offset)
            return false;
    return true;
}

static enum error gp_check(struct member *m, const struct gp *gp, uint32_t epoch, uint64_t first,
                           uint32_t count, char *why)
{
    member_spoke(m);
    if (!count || first > UINT64_MAX - count) {
        snprintf(why, GROUP_WHY_BYTES, "%u events from offset %" PRIu64 " on are no range", count, first);
        return ERR_REQUEST_INVALID;
    }
    if (gp->group != m->group || (gp->group->ordered && gp->owner != m)) {
        snprintf(why, GROUP_WHY_BYTES, "partition %u of %.100s was given to another member", gp->number,
                 gp->topic->name);
        return ERR_STALE_GENERATION;
    }
    if (!epoch_counts(gp, epoch, first + count)) {
        snprintf(why, GROUP_WHY_BYTES,
                 "offset %" PRIu64 " of %.100s/%u was withdrawn: epoch %u, the delivery was of %u", first,
                 gp->topic->name, gp->number, gp->epoch, epoch);
        return ERR_STALE_GENERATION;
    }
    return ERR_OK;
}

static enum error settle_error(const struct gp *gp, enum settle result, uint64_t first, char *why)
{
    if (result == SETTLE_OK)
        return ERR_OK;
    snprintf(why, GROUP_WHY_BYTES, "offset %" PRIu64 " of %.100s/%u, or one after it, is %s", first,
             gp->topic->name, gp->number,
             result == SETTLE_UNKNOWN ? "not out with any member: its ack.wait ran out, or it was settled"
                                      : "out with another member");
    return result == SETTLE_UNKNOWN ? ERR_EVENT_NOT_LEASED : ERR_NOT_YOUR_EVENT;
}

/* ---- the breaker ---- */

/* The events are not to blame: what the outage was charged to them before it was seen to be one is given
 * back. Not stored: a crash may forget it. */
static void group_forgive(struct group *g, uint32_t error_class)
{
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++)
            progress_forgive(g->topics[i]->gps[n]->progress, error_class);
}

static void breaker_tell(struct group *g, bool ok, uint32_t error_class, uint32_t key_hash)
{
    const enum breaker_state before = g->breaker.state;
    if (!breaker_note(&g->breaker, ok, error_class, key_hash, groups_mono_ms(g->groups)))
        return;
    char text[GROUP_WHY_BYTES];
    group_breaker_text(g, text);
    const bool opened = g->breaker.state == BREAKER_OPEN;
    g->breaker_changed = true;
    group_changed(g);
    g->groups->stats.breaker_opened += opened && before == BREAKER_CLOSED;
    diag(opened ? DIAG_WARN : DIAG_INFO, "group",
         opened ? "the breaker is open: the group is paused" : "the breaker is closed: the group goes on",
         DIAG_KS("group", g->name), DIAG_KS("reason", text));
    if (opened && before == BREAKER_CLOSED)
        group_forgive(g, error_class);
    if (opened)
        group_wake_at(g, breaker_due(&g->breaker));
    starved_wake(&g->starved);
}

/* ---- acknowledged, extended, given back ---- */

enum error group_ack_check(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                           char *why)
{
    /* An extension asks the same questions, and does no harm. */
    return group_extend(m, gp, epoch, first, count, why);
}

enum error group_ack(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                     char *why)
{
    struct group *g = gp->group;
    enum error error = gp_check(m, gp, epoch, first, count, why);
    if (!error)
        error = settle_error(gp, progress_ack(gp->progress, &m->holder, first, count), first, why);
    if (error)
        return error;
    g->groups->stats.acked += count;
    for (uint32_t i = 0; i < count && i < BREAKER_OUTCOMES; i++)
        breaker_tell(g, true, 0, 0);
    gp_touch(gp);
    gp_ready(gp);
    member_opened(m);
    return ERR_OK;
}

enum error group_extend(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                        char *why)
{
    const int64_t deadline = groups_mono_ms(gp->group->groups) + gp->group->settings.ack_wait_ms;
    enum error error = gp_check(m, gp, epoch, first, count, why);
    if (!error)
        error =
            settle_error(gp, progress_extend(gp->progress, &m->holder, first, count, deadline), first, why);
    if (!error)
        gp_touch(gp);
    return error;
}

enum error group_release(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                         char *why)
{
    enum error error = gp_check(m, gp, epoch, first, count, why);
    if (!error)
        error = settle_error(gp, progress_release(gp->progress, &m->holder, first, count), first, why);
    if (error)
        return error;
    if (gp->group->ordered)
        gp_rewind(gp, first);
    gp_touch(gp);
    gp_ready(gp);
    member_opened(m);
    return ERR_OK;
}

/* ---- failed ---- */

static int64_t retry_delay(struct group *g, uint16_t attempts)
{
    const struct group_settings *s = &g->settings;
    const uint32_t last = (uint32_t)s->retry_backoff - 1;
    const uint32_t at = attempts ? attempts - 1u : 0;
    const int64_t base = s->backoff_ms[at < last ? at : last];
    const int64_t spread = base * s->retry_jitter / 100;
    if (!spread)
        return base;
    return base - spread + (int64_t)(groups_random(g->groups) % (uint64_t)(2 * spread + 1));
}

struct fate {
    struct failure failure;
    int64_t delay_ms; /* -1: the policy's */
    bool term, charged;
};

/* The event is an item now; what next? */
static void gp_failed(struct gp *gp, uint64_t offset, uint16_t attempts, const struct fate *fate)
{
    struct group *g = gp->group;
    struct groups *groups = g->groups;
    const uint32_t error_class = text_hash(fate->failure.type);
    groups->stats.failed++;
    progress_set_class(gp->progress, offset, error_class);
    if (fate->term || (fate->charged && attempts > g->settings.retry_max)) {
        struct failure failure = fate->failure;
        failure.attempts = attempts;
        failure.rejected = fate->term;
        failure.failed_at_ms = groups->clock->wall_ms;
        progress_give_up(gp->progress, offset);
        give_up_add(gp, offset, &failure, error_class);
        groups->stats.given_up++;
    } else {
        const int64_t delay = fate->delay_ms >= 0 ? fate->delay_ms : retry_delay(g, attempts);
        progress_retry(gp->progress, offset, groups->clock->wall_ms + delay);
    }
    gp_touch(gp);
    state_note_item(gp, offset);
    gp_ready(gp);
    breaker_tell(g, false, error_class, fate->failure.key_hash);
}

static struct bytes member_label(const struct member *m)
{
    return bytes_of(m->instance[0] ? m->instance : m->id);
}

enum error group_nack(struct member *m, struct gp *gp, uint32_t epoch, uint64_t offset,
                      const struct failure *f, int64_t delay_ms, bool term, char *why)
{
    struct group *g = gp->group;
    uint16_t attempts;
    enum error error = gp_check(m, gp, epoch, offset, 1, why);
    if (error)
        return error;
    struct fate fate = { *f, delay_ms, term, breaker_charges(&g->breaker) };
    const enum settle result =
        progress_fail(gp->progress, &m->holder, offset, fate.charged || term, text_hash(f->type), &attempts);
    error = settle_error(gp, result, offset, why);
    if (error)
        return error;
    fate.failure.member = member_label(m);
    if (g->ordered)
        gp_rewind(gp, offset);
    gp_failed(gp, offset, attempts, &fate);
    member_opened(m);
    return ERR_OK;
}

/* ---- ack.wait ran out ---- */

struct expiry {
    struct gp *gp;
    uint64_t lowest;
};

static void lease_expired(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts)
{
    struct expiry *e = ctx;
    struct group *g = e->gp->group;
    struct member *m = h->member;
    char message[96];
    snprintf(message, sizeof(message), "not acknowledged within %" PRId64 " ms", g->settings.ack_wait_ms);
    const struct fate fate = { .failure = { .type = bytes_of("ack_timeout"),
                                            .message = bytes_of(message),
                                            .key_hash = (uint32_t)(offset * 0x9e3779b1u),
                                            .member = member_label(m) },
                               .delay_ms = -1,
                               .charged = breaker_charges(&g->breaker) };
    if (offset < e->lowest)
        e->lowest = offset;
    g->groups->stats.ack_timeouts++;
    if (!fate.charged)
        progress_uncharge(e->gp->progress, offset);
    gp_failed(e->gp, offset, attempts - !fate.charged, &fate);
    member_silence(m);
    member_opened(m);
}

void group_expire_leases(struct group *g, struct gp *gp)
{
    struct expiry e = { gp, UINT64_MAX };
    progress_expire(gp->progress, groups_mono_ms(g->groups), lease_expired, &e);
    if (g->ordered && e.lowest != UINT64_MAX)
        gp_rewind(gp, e.lowest);
    gp_touch(gp);
    gp_ready(gp);
}

/* ---- its member died, and it was all that was out ---- */

void group_event_died(struct group *g, struct member *m, struct progress *p, uint64_t offset,
                      uint16_t attempts)
{
    struct gp *gp = NULL;
    for (uint32_t i = 0; i < g->topic_slots && !gp; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count && !gp; n++)
            if (g->topics[i]->gps[n]->progress == p)
                gp = g->topics[i]->gps[n];
    CHECK(gp);
    const struct fate fate = { .failure = { .type = bytes_of("member_died"),
                                            .message = bytes_of("the only event that its member had "
                                                                "when it died"),
                                            .key_hash = (uint32_t)(offset * 0x9e3779b1u),
                                            .member = member_label(m) },
                               .delay_ms = -1,
                               .charged = breaker_charges(&g->breaker) };
    if (!fate.charged)
        progress_uncharge(p, offset);
    gp_failed(gp, offset, attempts - !fate.charged, &fate);
}

/* ---- given up ---- */

void group_settled(struct gp *gp, uint64_t offset, bool dead_lettered)
{
    struct give_up *u = give_up_find(gp, offset);
    if (!u && !dead_lettered)
        return; /* the group was moved meanwhile: the event is pending again, or behind it */
    if (u)
        give_up_free(gp, u);
    progress_settle(gp->progress, offset);
    gp->group->groups->stats.dead_letters += dead_lettered;
    gp_touch(gp);
    gp_ready(gp);
}

void group_give_up_later(struct gp *gp, uint64_t offset, uint32_t delay_ms)
{
    struct give_up *u = give_up_find(gp, offset);
    if (!u)
        return;
    u->raised = false;
    /* Not at once: the handler that says so would be called for ever. */
    u->again_ms = groups_mono_ms(gp->group->groups) + (delay_ms ? delay_ms : 1);
    group_wake_at(gp->group, u->again_ms);
}

bool group_failure(struct gp *gp, uint64_t offset, struct failure *out)
{
    const struct give_up *u = give_up_find(gp, offset);
    if (u)
        *out = give_up_failure(u);
    return u;
}
