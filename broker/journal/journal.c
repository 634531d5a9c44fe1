/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal.c: the running journal: entries gather in groups, groups become commits, commits become
 * durable in order.
 *
 * Order of events: room -> add -> submit (builds the commit, starts its write) -> written (records) ->
 * advance (decides: what is durable now, what follows). Only journal_submit() and the pause timer start
 * writes, so whoever added an entry has filled it.
 */
#include "journal/journal.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "journal/journal_internal.h"

/* ---- entries ---- */

/* The most that `entries` bodies of `bytes` in all can take, padding included. */
static uint64_t entries_payload(uint32_t entries, uint32_t bytes)
{
    return (uint64_t)entries * (JOURNAL_ENTRY_HEADER + 7) + bytes;
}

uint32_t journal_atomic_max(const struct journal *j, uint32_t entries)
{
    uint64_t overhead = entries_payload(entries, 0);
    return overhead < j->payload_max ? (uint32_t)(j->payload_max - overhead) : 0;
}

void journal_group_open(struct journal *j)
{
    j->open++;
    CHECK(j->open - j->durable <= j->groups_count);
    struct journal_group *g = journal_group_of(j, j->open);
    CHECK(!io_busy(&g->op));
    g->payload = 0;
    g->entries = 0;
    g->written = false;
}

bool journal_room(struct journal *j, enum journal_class class, uint32_t entries, uint32_t bytes)
{
    uint64_t need = entries_payload(entries, bytes);
    CHECK(need <= j->payload_max); /* journal_atomic_max() */
    if (j->failed || j->state != JOURNAL_RUNNING)
        return false;
    bool fits = journal_group_of(j, j->open)->payload + need <= j->payload_max;
    bool buffer = fits || j->open + 1 - j->durable <= j->groups_count;
    if (buffer && journal_space(j, class, fits ? (uint32_t)need : 0, fits ? 0 : (uint32_t)need)) {
        if (!fits)
            journal_group_open(j); /* the full one waits its turn */
        return true;
    }
    j->room_wanted = true;
    j->stats.stalls++;
    if (buffer)
        journal_grow(j, true);
    return false;
}

uint8_t *journal_add(struct journal *j, uint8_t type, uint32_t bytes)
{
    struct journal_group *g = journal_group_of(j, j->open);
    uint32_t whole = journal_entry_bytes(bytes);
    CHECK(j->state == JOURNAL_RUNNING);
    CHECK(g->payload + whole <= j->payload_max); /* journal_room() said yes */
    uint8_t *at = g->memory + JOURNAL_BLOCK + JOURNAL_COMMIT_HEADER + g->payload;
    g->payload += whole;
    g->entries++;
    j->stats.entries++;
    j->stats.bytes += bytes;
    return journal_entry_encode(at, type, bytes);
}

uint64_t journal_open_sequence(const struct journal *j)
{
    return j->open;
}

uint64_t journal_durable_sequence(const struct journal *j)
{
    return j->durable;
}

uint64_t journal_open_file(const struct journal *j)
{
    return j->number;
}

/* ---- writes ---- */

struct journal_write journal_build(struct journal *j, uint16_t flags)
{
    CHECK(j->started + 1 < j->open); /* the group is complete */
    struct journal_group *g = journal_group_of(j, j->started + 1);
    journal_place(j, journal_commit_bytes(g->payload));
    struct journal_commit c = {
        .sequence = j->started + 1,
        .durable = j->durable,
        .file = j->number,
        .position = j->position,
        .id = j->id,
        .epoch = j->epoch,
        .chain = j->chain,
        .payload_bytes = g->payload,
        .entries = g->entries,
        .flags = flags,
    };
    uint8_t *at = g->memory + JOURNAL_BLOCK;
    uint32_t bytes = journal_commit_encode(at, &c);
    struct journal_write w = { j->place_fd, at, bytes, j->position };
    if (j->place_new) {
        /* Header and first commit in one write: a new file costs no write of its own. */
        CHECK(j->position == JOURNAL_BLOCK);
        for (uint32_t i = 0; i < j->files.count; i++)
            if (j->files.files[i].used && j->files.files[i].head.number == j->number)
                journal_file_header_encode(g->memory, &j->files.files[i].head);
        w = (struct journal_write){ j->place_fd, g->memory, JOURNAL_BLOCK + bytes, 0 };
        j->place_new = false;
    }
    g->write_bytes = w.count;
    j->position += bytes;
    j->chain = c.checksum;
    j->started++;
    j->unsealed = g->entries > 0;
    j->stats.commits++;
    j->stats.bytes_written += w.count;
    return w;
}

static void journal_written(struct io_op *op, int32_t res, uint32_t flags);

static void journal_write_next(struct journal *j, uint16_t flags)
{
    struct journal_group *g = journal_group_of(j, j->started + 1);
    struct journal_write w = journal_build(j, flags);
    io_write(j->io, &g->op, w.fd, w.bytes, w.count, w.position, journal_written);
#ifdef RUNNEL_SABOTAGE_ACK_BEFORE_WRITE
    j->events.on_durable(j->events.ctx, j->started); /* deliberate fault: the tests must notice */
#endif
    journal_grow(j, false);
}

/* May the next write start now? One write at a time gathers most into each, and a durable write hardly grows
 * with its size; so a second one beside it must gain something:
 *   - what gathered is large: the disk is the limit, and two writes of this size use more of it;
 *   - both are small: events come slowly, nothing will gather, and waiting would only add the first write's
 *     time to the second's latency.
 * In between (many events in many small requests) splitting the stream in two costs throughput. Figures and
 * reasons: docs/decisions/journal-group-policy.md. */
static bool journal_may_start(struct journal *j)
{
    enum { LARGE_BYTES = 128 * 1024, SMALL_BYTES = 16 * 1024 };
    const struct journal_group *open = journal_group_of(j, j->open);
    uint64_t running = j->started - j->durable;
    bool full_waits = j->started + 1 < j->open;
    if (!full_waits && open->entries == 0)
        return false;
    if (running == 0)
        return true;
    if (running >= j->writes_max)
        return false;
    if (full_waits || open->payload >= LARGE_BYTES)
        return true;
    return open->payload <= SMALL_BYTES && journal_group_of(j, j->started)->payload <= SMALL_BYTES;
}

void journal_submit(struct journal *j)
{
    while (!j->failed && journal_may_start(j)) {
        if (j->started + 1 == j->open)
            journal_group_open(j);
        journal_write_next(j, 0);
    }
}

static void journal_fail(struct journal *j, int error)
{
    j->failed = true;
    diag(DIAG_ERROR, "journal", "a write failed; nothing is acknowledged any more",
         DIAG_KS("error", strerror(-error)), DIAG_KU("file_number", j->number));
    j->events.on_failed(j->events.ctx, error);
}

/* A commit without entries, when nothing else is under way. */
static void journal_write_empty(struct journal *j, uint16_t flags)
{
    CHECK(j->durable == j->started && j->started + 1 == j->open);
    CHECK(journal_group_of(j, j->open)->entries == 0);
    journal_group_open(j);
    journal_write_next(j, flags);
}

static bool journal_quiet(struct journal *j)
{
    return j->durable == j->started && j->started + 1 == j->open &&
           journal_group_of(j, j->open)->entries == 0;
}

/* In a pause nothing follows the last commit that would prove it durable, so damage to it would look like a
 * torn tail. The seal follows. */
void journal_seal_due(struct timer *timer)
{
    struct journal *j = CONTAINER_OF(timer, struct journal, seal);
    if (!j->failed && j->state == JOURNAL_RUNNING && j->unsealed && journal_quiet(j) &&
        journal_space_internal(j, false))
        journal_write_empty(j, JOURNAL_SEAL);
}

static void journal_advance_stop(struct journal *j)
{
    if (j->failed || j->state != JOURNAL_STOPPING)
        return;
    journal_submit(j);
    if (!journal_quiet(j))
        return;
    j->state = JOURNAL_STOPPED;
    if (journal_space_internal(j, true))
        journal_write_empty(j, JOURNAL_CLOSING);
    else
        diag(DIAG_WARN, "journal", "no room for the closing commit: the next start will recover");
}

void journal_room_appeared(struct journal *j)
{
    if (!j->room_wanted || j->failed || j->state != JOURNAL_RUNNING)
        return;
    j->room_wanted = false;
    if (j->events.on_room)
        j->events.on_room(j->events.ctx);
}

static void journal_advance(struct journal *j)
{
    uint64_t before = j->durable;
    while (j->durable < j->started && journal_group_of(j, j->durable + 1)->written)
        j->durable++;
    if (j->durable == before)
        return;
#ifndef RUNNEL_SABOTAGE_ACK_BEFORE_WRITE
    j->events.on_durable(j->events.ctx, j->durable);
#endif
    journal_room_appeared(j);
    journal_advance_stop(j);
    if (j->timers && j->unsealed && j->state == JOURNAL_RUNNING)
        timer_start(j->timers, &j->seal, JOURNAL_SEAL_MS);
}

static void journal_written(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    struct journal_group *g = CONTAINER_OF(op, struct journal_group, op);
    struct journal *j = g->journal;
    if (j->failed)
        return;
    if (res < 0 || (uint32_t)res != g->write_bytes) {
        journal_fail(j, res < 0 ? res : -EIO);
        return;
    }
    g->written = true;
    journal_advance(j);
}

/* ---- stopping ---- */

void journal_close_clean(struct journal *j)
{
    if (j->state != JOURNAL_RUNNING)
        return;
    j->state = JOURNAL_STOPPING;
    journal_advance_stop(j);
}

bool journal_idle(const struct journal *j)
{
    for (uint32_t i = 0; i < j->groups_count; i++)
        if (io_busy(&j->groups[i].op))
            return false;
    if (j->make.job.busy)
        return false;
    if (j->failed)
        return true;
    return j->state != JOURNAL_STOPPING && j->durable == j->started && j->started + 1 == j->open &&
           j->groups[j->open % j->groups_count].entries == 0;
}

bool journal_failed(const struct journal *j)
{
    return j->failed;
}

const struct journal_stats *journal_stats(const struct journal *j)
{
    return &j->stats;
}

void journal_destroy(struct journal *j)
{
    if (!j)
        return;
    CHECK(journal_idle(j));
    if (j->timers) {
        timer_stop(j->timers, &j->seal);
        timer_stop(j->timers, &j->retry);
    }
    for (uint32_t i = 0; i < j->groups_count; i++)
        mem_free(MEM_JOURNAL, j->groups[i].memory, journal_group_memory(j));
    journal_files_destroy(&j->files);
    mem_free(MEM_JOURNAL, j, sizeof(*j));
}
