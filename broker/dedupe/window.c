/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/window.c: noting ids, finding them, forgetting them.
 *
 * Entries are in the order of publishing, so forgetting takes them from the front: a bounded step at a time,
 * paid by whoever publishes (two go for one that comes) and by the loop's turns. Whether an id still counts
 * is said by its own time, to the millisecond; that its entry lies there a little longer changes no answer.
 *
 * An id that is published again after it expired has a new entry; the index leads to that, and the old one is
 * only waiting to go. A clock that is set back makes ids count for longer, never shorter.
 */
#include "dedupe/window.h"

#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    EXPIRE_STEP = 2048,  /* in a turn: a tenth of a millisecond */
    EXPIRE_FULL = 16384, /* when memory is used up, before an id is refused */
};

/* ---- all windows ---- */

void dedupe_secret(struct dedupe *all, const uint8_t *seed)
{
    if (seed) {
        memcpy(all->seed, seed, SEED_BYTES);
    } else {
        const ssize_t n = getrandom(all->seed, SEED_BYTES, 0);
        CHECK(n == SEED_BYTES); /* never short for so few */
    }
    const XXH_errorcode made = XXH3_generateSecret(all->secret, SECRET_BYTES, all->seed, SEED_BYTES);
    CHECK(made == XXH_OK);
}

struct dedupe *dedupe_create(const char *dir, uint64_t memory_max)
{
    struct dedupe *all = mem_zalloc(MEM_DEDUPE, sizeof(*all));
    all->dir = dir;
    all->memory_max = memory_max;
    all->file_next = 1;
    list_init(&all->windows);
    list_init(&all->noted);
    dedupe_secret(all, NULL);
    return all;
}

void dedupe_destroy(struct dedupe *all)
{
    CHECK(list_empty(&all->windows));
    mem_free(MEM_DEDUPE, all->garbage, all->garbage_room * sizeof(*all->garbage));
    mem_free(MEM_DEDUPE, all, sizeof(*all));
}

void dedupe_limit(struct dedupe *all, uint64_t memory_max)
{
    all->memory_max = memory_max;
}

struct dedupe_stats *dedupe_stats(struct dedupe *all)
{
    return &all->stats;
}

void dedupe_garbage(struct dedupe *all, uint64_t number)
{
    if (all->garbage_count == all->garbage_room) {
        const uint32_t room = all->garbage_room ? all->garbage_room * 2 : 16;
        all->garbage = mem_realloc(MEM_DEDUPE, all->garbage, all->garbage_room * sizeof(*all->garbage),
                                   room * sizeof(*all->garbage));
        all->garbage_room = room;
    }
    all->garbage[all->garbage_count++] = number;
    all->stats.files--;
}

/* ---- entries ---- */

static uint32_t entry_tag(const uint64_t *hash)
{
    const uint32_t tag = (uint32_t)(hash[0] >> 32);
    return tag ? tag : 1;
}

/* Where the serial with these low bits is: serials in a window are less than 2^32 apart. */
static uint64_t idwindow_serial(const struct dedupe_window *w, uint32_t low)
{
    return w->first + (uint32_t)(low - (uint32_t)w->first);
}

/* The entry that the index has for the id, dead or alive. */
static struct id_entry *idwindow_find(const struct dedupe_window *w, const uint64_t *hash,
                                      struct index_probe *probe)
{
    uint32_t low;
    index_probe_start(probe, &w->index, entry_tag(hash));
    while (index_probe_next(probe, &low)) {
        struct id_entry *e = idwindow_entry(w, idwindow_serial(w, low));
        if (e->hash[0] == hash[0] && e->hash[1] == hash[1])
            return e;
    }
    return NULL;
}

static bool idwindow_find_serial(const struct dedupe_window *w, uint64_t serial, struct index_probe *probe)
{
    uint32_t low;
    index_probe_start(probe, &w->index, entry_tag(idwindow_entry(w, serial)->hash));
    while (index_probe_next(probe, &low))
        if (low == (uint32_t)serial)
            return true;
    return false;
}

static struct id_entry *idwindow_push(struct dedupe_window *w)
{
    const uint64_t from = w->first / CHUNK_IDS, at = w->end / CHUNK_IDS;
    if (w->end % CHUNK_IDS == 0 || !w->chunk_room || w->first == w->end) {
        if (at - from >= w->chunk_room) {
            const uint32_t room = w->chunk_room ? w->chunk_room * 2 : 4;
            struct id_entry **chunks = mem_zalloc(MEM_DEDUPE, room * sizeof(struct id_entry *));
            for (uint64_t c = from; c < at; c++)
                chunks[c & (room - 1)] = w->chunks[c & (w->chunk_room - 1)];
            mem_free(MEM_DEDUPE, w->chunks, w->chunk_room * sizeof(struct id_entry *));
            w->chunks = chunks;
            w->chunk_room = room;
        }
        struct id_entry **chunk = &w->chunks[at & (w->chunk_room - 1)];
        if (!*chunk)
            *chunk = mem_alloc(MEM_DEDUPE, CHUNK_IDS * sizeof(**chunk));
    }
    CHECK(w->end - w->first < UINT32_MAX);
    struct dedupe_stats *stats = &w->all->stats;
    stats->ids++;
    stats->bytes += DEDUPE_ID_BYTES + (w->first == w->end ? DEDUPE_WINDOW_BYTES : 0);
    return idwindow_entry(w, w->end++);
}

static void chunk_free(struct dedupe_window *w, uint64_t serial)
{
    struct id_entry **chunk = &w->chunks[(serial / CHUNK_IDS) & (w->chunk_room - 1)];
    mem_free(MEM_DEDUPE, *chunk, *chunk ? CHUNK_IDS * sizeof(**chunk) : 0);
    *chunk = NULL;
}

/* `removed` entries have gone from one of the ends. Of an empty window nothing is kept. */
static void idwindow_less(struct dedupe_window *w, uint64_t removed)
{
    struct dedupe_stats *stats = &w->all->stats;
    stats->ids -= removed;
    stats->bytes -= removed * DEDUPE_ID_BYTES;
    if (w->first != w->end)
        return;
    stats->bytes -= removed ? DEDUPE_WINDOW_BYTES : 0;
    index_free(&w->index);
    for (uint32_t i = 0; i < w->chunk_room; i++)
        mem_free(MEM_DEDUPE, w->chunks[i], w->chunks[i] ? CHUNK_IDS * sizeof(**w->chunks) : 0);
    mem_free(MEM_DEDUPE, w->chunks, w->chunk_room * sizeof(struct id_entry *));
    w->chunks = NULL;
    w->chunk_room = 0;
}

/* The newest entry of its id. `probe`: of idwindow_find(), which found an older one, or none. */
static void idwindow_add(struct dedupe_window *w, const struct id_entry *entry, bool older,
                         const struct index_probe *probe)
{
    const uint32_t serial = (uint32_t)w->end;
    *idwindow_push(w) = *entry;
    if (entry_ms(entry) > w->last_ms)
        w->last_ms = entry_ms(entry);
    if (older)
        index_replace(probe, serial);
    else
        index_add(&w->index, probe, serial);
}

void idwindow_load(struct dedupe_window *w, const struct id_entry *entries, uint32_t count)
{
    enum { AHEAD = 16 };
    for (uint32_t i = 0; i < count; i++) {
        struct index_probe probe;
        if (i + AHEAD < count)
            index_prefetch(&w->index, entry_tag(entries[i + AHEAD].hash));
        const bool older = idwindow_find(w, entries[i].hash, &probe) != NULL;
        idwindow_add(w, &entries[i], older, &probe);
    }
    w->noted = w->end;
}

void idwindow_cut(struct dedupe_window *w, uint64_t end)
{
    const uint64_t removed = w->end - end;
    while (w->end > end) {
        struct index_probe probe;
        const uint64_t serial = w->end - 1;
        if (idwindow_find_serial(w, serial, &probe))
            index_remove(&probe);
        if (serial % CHUNK_IDS == 0)
            chunk_free(w, serial);
        w->end--;
    }
    w->noted = w->end;
    idwindow_less(w, removed);
}

static void idwindow_drop_files(struct dedupe_window *w)
{
    uint32_t gone = 0;
    while (gone < w->file_count && w->files[gone].end <= w->first)
        dedupe_garbage(w->all, w->files[gone++].number);
    if (!gone)
        return;
    w->file_count -= gone;
    memmove(w->files, w->files + gone, w->file_count * sizeof(*w->files));
}

uint32_t idwindow_expire(struct dedupe_window *w, int64_t now_ms, uint32_t most)
{
    enum { AHEAD = 32 };
    uint32_t count = 0;
    if (w->saving)
        return 0;
    for (; count < most && w->first < w->noted; count++) {
        struct index_probe probe;
        if (w->first + AHEAD < w->noted)
            index_prefetch(&w->index, entry_tag(idwindow_entry(w, w->first + AHEAD)->hash));
        if (entry_ms(idwindow_entry(w, w->first)) + w->window_ms > now_ms)
            break;
        if (idwindow_find_serial(w, w->first, &probe))
            index_remove(&probe);
        if (++w->first % CHUNK_IDS == 0)
            chunk_free(w, w->first - 1);
    }
    if (!count)
        return 0;
    if (w->saved < w->first)
        w->saved = w->first;
    idwindow_less(w, count);
    idwindow_drop_files(w);
    w->all->stats.expired += count;
    return count;
}

/* ---- life ---- */

struct dedupe_window *dedupe_open(struct dedupe *all, uint64_t topic_id, int64_t window_ms)
{
    struct dedupe_window *w = mem_zalloc(MEM_DEDUPE, sizeof(*w));
    w->all = all;
    w->topic_id = topic_id;
    w->window_ms = window_ms;
    list_init(&w->noted_link);
    list_append(&all->windows, &w->link);
    all->stats.windows++;
    return w;
}

void idwindow_free(struct dedupe_window *w)
{
    struct dedupe *all = w->all;
    const uint64_t removed = w->end - w->first;
    w->first = w->noted = w->end;
    idwindow_less(w, removed);
    for (uint32_t i = 0; i < w->file_count; i++)
        dedupe_garbage(all, w->files[i].number);
    mem_free(MEM_DEDUPE, w->files, w->file_room * sizeof(*w->files));
    mem_free(MEM_DEDUPE, w->ends, w->end_count * sizeof(*w->ends));
    mem_free(MEM_DEDUPE, w, sizeof(*w));
}

void dedupe_close(struct dedupe_window *w)
{
    struct dedupe *all = w->all;
    if (all->turn == &w->link)
        all->turn = NULL;
    list_remove(&w->link);
    list_remove(&w->noted_link);
    all->stats.windows--;
    all->stats.lost -= w->lost_ms != 0;
    if (w->saving)
        w->closed = true; /* dedupe_save_end() */
    else
        idwindow_free(w);
}

void dedupe_set_window(struct dedupe_window *w, int64_t window_ms)
{
    w->window_ms = window_ms;
}

void dedupe_appended(struct dedupe_window *w, uint32_t partition, uint64_t offset)
{
    CHECK(partition < DEDUPE_PARTITIONS_MAX);
    if (partition >= w->end_count) {
        w->ends = mem_realloc(MEM_DEDUPE, w->ends, w->end_count * sizeof(*w->ends),
                              (partition + 1) * sizeof(*w->ends));
        memset(w->ends + w->end_count, 0, (partition + 1 - w->end_count) * sizeof(*w->ends));
        w->end_count = partition + 1;
    }
    if (offset > w->ends[partition])
        w->ends[partition] = offset;
}

int64_t dedupe_lost_until(const struct dedupe_window *w)
{
    return w->lost_ms ? w->lost_ms + w->window_ms : 0;
}

/* The next window in turn after `link`; NULL: there is none. */
static struct dedupe_window *dedupe_next(struct dedupe *all)
{
    if (list_empty(&all->windows))
        return NULL;
    if (!all->turn || all->turn == &all->windows)
        all->turn = all->windows.next;
    struct dedupe_window *w = CONTAINER_OF(all->turn, struct dedupe_window, link);
    all->turn = all->turn->next;
    return w;
}

static uint32_t dedupe_expire(struct dedupe *all, int64_t now_ms, uint32_t most)
{
    enum { WINDOWS_MAX = 64 };
    uint32_t count = 0;
    for (uint64_t i = 0; i < all->stats.windows && i < WINDOWS_MAX && count < most; i++) {
        struct dedupe_window *w = dedupe_next(all);
        count += idwindow_expire(w, now_ms, most - count);
        if (w->lost_ms && dedupe_lost_until(w) <= now_ms) {
            w->lost_ms = 0;
            all->stats.lost--;
        }
    }
    return count;
}

bool dedupe_turn(struct dedupe *all, int64_t now_ms)
{
    return dedupe_expire(all, now_ms, EXPIRE_STEP) == EXPIRE_STEP;
}

/* ---- asking ---- */

bool dedupe_unsettled(const struct dedupe *all)
{
    return !list_empty(&all->noted);
}

void dedupe_settle(struct dedupe *all, bool keep)
{
    while (!list_empty(&all->noted)) {
        struct dedupe_window *w = CONTAINER_OF(list_pop(&all->noted), struct dedupe_window, noted_link);
        if (keep)
            w->noted = w->end;
        else
            idwindow_cut(w, w->noted);
    }
}

static bool dedupe_room(const struct dedupe_window *w)
{
    const struct dedupe *all = w->all;
    return all->stats.bytes + DEDUPE_ID_BYTES + (w->first == w->end ? DEDUPE_WINDOW_BYTES : 0) <=
           all->memory_max;
}

static struct id_entry entry_of(const struct dedupe_key *key, const struct dedupe_place *place, int64_t ms)
{
    const int64_t last = (1ll << TIME_BITS) - 1;
    const uint64_t time = (uint64_t)(ms < 0 ? 0 : ms > last ? last : ms);
    return (struct id_entry){ .hash = { key->hash[0], key->hash[1] },
                              .content = key->content,
                              .offset = place->offset,
                              .when_where = (uint64_t)place->partition << TIME_BITS | time };
}

uint32_t dedupe_ask(struct dedupe_window *w, int64_t now_ms, const struct dedupe_key *keys, uint32_t count,
                    struct dedupe_place *places, enum dedupe_verdict *verdicts)
{
    struct dedupe_stats *stats = &w->all->stats;
    idwindow_expire(w, now_ms, 2 * count);
    for (uint32_t i = 0; i < count; i++)
        index_prefetch(&w->index, entry_tag(keys[i].hash));
    for (uint32_t i = 0; i < count; i++) {
        struct index_probe probe;
        const struct id_entry *e = idwindow_find(w, keys[i].hash, &probe);
        if (e && entry_ms(e) + w->window_ms > now_ms) {
            verdicts[i] = e->content == keys[i].content ? DEDUPE_DUPLICATE : DEDUPE_CONFLICT;
            places[i] = entry_place(e);
            continue;
        }
        if (!dedupe_room(w)) {
            /* What others have to forget makes room, too; but the probe's entry may go with it. */
            dedupe_expire(w->all, now_ms, EXPIRE_FULL);
            e = idwindow_find(w, keys[i].hash, &probe);
            if (!dedupe_room(w)) {
                verdicts[i] = DEDUPE_FULL;
                stats->full++;
                return i + 1;
            }
        }
        verdicts[i] = DEDUPE_NEW;
        const struct id_entry entry = entry_of(&keys[i], &places[i], now_ms);
        if (!list_linked(&w->noted_link))
            list_append(&w->all->noted, &w->noted_link);
        idwindow_add(w, &entry, e != NULL, &probe);
    }
    return count;
}

void dedupe_replay(struct dedupe_window *w, const struct dedupe_key *key, const struct dedupe_place *place,
                   int64_t time_ms)
{
    if (place->partition < w->end_count && place->offset < w->ends[place->partition])
        return;
    const struct id_entry entry = entry_of(key, place, time_ms);
    idwindow_load(w, &entry, 1);
    dedupe_appended(w, place->partition, place->offset + 1);
}

/* ---- ids ---- */

void dedupe_event(const struct dedupe *all, const struct record *record, struct dedupe_event *out)
{
    static const char name_wanted[5] = "ce_id";
    struct reader headers = reader_of(record->headers.at, record->headers.len);
    struct bytes name, value;
    out->id = (struct bytes){ NULL, 0 };
    for (uint32_t i = 0; i < record->header_count && record_header(&headers, &name, &value) == 1; i++)
        if (name.len == sizeof(name_wanted) && memcmp(name.at, name_wanted, sizeof(name_wanted)) == 0) {
            if (value.at && value.len)
                out->id = value;
            break;
        }
    if (!out->id.at)
        return;
    const XXH128_hash_t id = XXH3_128bits_withSecret(out->id.at, out->id.len, all->secret, SECRET_BYTES);
    /* Null and empty are different things. */
    uint64_t key = record->key.at
                       ? XXH3_64bits_withSecret(record->key.at, record->key.len, all->secret, SECRET_BYTES)
                       : 0x9e3779b97f4a7c15u;
    const uint64_t value_hash = record->value.at ? XXH3_64bits_withSecret(record->value.at, record->value.len,
                                                                          all->secret, SECRET_BYTES)
                                                 : 0xc2b2ae3d27d4eb4fu;
    key = (key ^ (key >> 29)) * 0xbf58476d1ce4e5b9u;
    out->key = (struct dedupe_key){ { id.high64, id.low64 }, value_hash ^ (key ^ (key >> 32)) };
}
