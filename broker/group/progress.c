/* SPDX-License-Identifier: Apache-2.0
 *
 * group/progress.c: see progress.h. The functions behind the header follow.
 */
#include "group/progress.h"

#include "base/check.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

void holder_init(struct holder *h, void *member)
{
    UNREACHABLE();
}

struct progress *progress_create(bool ordered, uint32_t window_max, uint64_t position)
{
    UNREACHABLE();
}

void progress_free(struct progress *p)
{
    UNREACHABLE();
}

void progress_set_window(struct progress *p, uint32_t window_max)
{
    UNREACHABLE();
}

uint64_t progress_position(const struct progress *p)
{
    UNREACHABLE();
}

uint64_t progress_next(const struct progress *p)
{
    UNREACHABLE();
}

uint64_t progress_pending(const struct progress *p, uint64_t end)
{
    UNREACHABLE();
}

uint32_t progress_in_flight(const struct progress *p)
{
    UNREACHABLE();
}

uint32_t progress_items(const struct progress *p)
{
    UNREACHABLE();
}

enum progress_pause progress_offer(const struct progress *p, uint64_t end, int64_t now_ms, uint32_t room,
                                   struct offer *out)
{
    UNREACHABLE();
}

enum progress_pause progress_offer_beside(const struct progress *p, uint64_t end, int64_t now_ms,
                                          uint32_t room, struct offer *out)
{
    UNREACHABLE();
}

bool progress_lease(struct progress *p, const struct offer *o, uint64_t first, uint32_t count,
                    struct holder *h, int64_t deadline_ms)
{
    UNREACHABLE();
}

int64_t progress_due(const struct progress *p)
{
    UNREACHABLE();
}

int64_t progress_deadline(const struct progress *p)
{
    UNREACHABLE();
}

enum settle progress_ack(struct progress *p, struct holder *h, uint64_t first, uint32_t count)
{
    UNREACHABLE();
}

enum settle progress_extend(struct progress *p, struct holder *h, uint64_t first, uint32_t count,
                            int64_t deadline_ms)
{
    UNREACHABLE();
}

enum settle progress_release(struct progress *p, struct holder *h, uint64_t first, uint32_t count)
{
    UNREACHABLE();
}

enum settle progress_fail(struct progress *p, struct holder *h, uint64_t offset, bool charge,
                          uint32_t error_class, uint16_t *attempts_out)
{
    UNREACHABLE();
}

void progress_retry(struct progress *p, uint64_t offset, int64_t due_ms)
{
    UNREACHABLE();
}

void progress_give_up(struct progress *p, uint64_t offset)
{
    UNREACHABLE();
}

bool progress_settle(struct progress *p, uint64_t offset)
{
    UNREACHABLE();
}

void progress_set_class(struct progress *p, uint64_t offset, uint32_t error_class)
{
    UNREACHABLE();
}

void progress_expire(struct progress *p, int64_t now_ms,
                     void (*each)(void *ctx, struct holder *h, uint64_t offset, uint16_t attempts), void *ctx)
{
    UNREACHABLE();
}

void holder_end(struct holder *h, enum holder_end how,
                void (*each)(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts), void *ctx)
{
    UNREACHABLE();
}

void progress_withdraw(struct progress *p, struct holder *h)
{
    UNREACHABLE();
}

void progress_seek(struct progress *p, uint64_t position)
{
    UNREACHABLE();
}

bool progress_redrive(struct progress *p, uint64_t offset, int64_t due_ms)
{
    UNREACHABLE();
}

void progress_truncate(struct progress *p, uint64_t start)
{
    UNREACHABLE();
}

bool progress_dirty(const struct progress *p)
{
    UNREACHABLE();
}

uint32_t progress_take_changes(struct progress *p, uint64_t *position, struct progress_range *out,
                               uint32_t room)
{
    UNREACHABLE();
}

uint32_t progress_take_settled(struct progress *p, uint64_t *out, uint32_t room)
{
    UNREACHABLE();
}

void progress_each_done(const struct progress *p, void (*each)(void *ctx, uint64_t first, uint64_t end),
                        void *ctx)
{
    UNREACHABLE();
}

void progress_each_item(const struct progress *p, void (*each)(void *ctx, const struct progress_item *item),
                        void *ctx)
{
    UNREACHABLE();
}

bool progress_find_item(const struct progress *p, uint64_t offset, struct progress_item *out)
{
    UNREACHABLE();
}

void progress_restore_done(struct progress *p, uint64_t first, uint64_t end)
{
    UNREACHABLE();
}

void progress_restore_item(struct progress *p, const struct progress_item *item)
{
    UNREACHABLE();
}

void progress_restore_position(struct progress *p, uint64_t position)
{
    UNREACHABLE();
}
