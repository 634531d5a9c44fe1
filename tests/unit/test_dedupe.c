/* SPDX-License-Identifier: Apache-2.0
 *
 * Duplicate windows (dedupe/dedupe.h) against a list of all that was published: random publishing, refusals,
 * time, settings, checkpoints that succeed or fail, and restarts from the last one and the journal. Then
 * limits, memory, and files that are damaged at any byte.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/mem.h"
#include "dedupe/dedupe.h"
#include "io/file.h"
#include "io_sim.h"

enum { IDS = 12000, HISTORY_MAX = 400000, STATE_MAX = 16 << 20, TOPIC = 7 };

struct noted {
    uint32_t id;
    uint64_t content;
    struct dedupe_place place;
    int64_t ms;
};

static struct model {
    struct dedupe *all;
    struct dedupe_window *w;
    int64_t window_ms, now_ms;
    uint64_t random, next_offset[3];
    struct noted *history; /* all that was noted, in order: the journal */
    uint32_t count;
    uint32_t last[IDS]; /* per id: its last place in history + 1 */
    bool unsure[IDS];   /* it had expired when the window was made longer: may be known, or not */
    uint8_t *state;     /* of the last checkpoint */
    uint64_t state_bytes;
    uint64_t duplicates, conflicts, restarts, files;
} m;

static uint64_t draw(uint64_t n)
{
    return io_sim_random(&m.random, n);
}

static struct dedupe_key key_of(uint32_t id, uint64_t content)
{
    /* Some tags are shared by several ids. */
    const uint64_t tag = (id % 5000 + 1) * 0x9e3779b97f4a7c15u;
    return (struct dedupe_key){ { tag, id + 1 }, content };
}

static void model_start(uint64_t seed, uint64_t memory)
{
    memset(&m, 0, sizeof(m));
    diag_set_level(DIAG_ERROR + 1);
    io_sim_start(&(struct io_sim_options){ .seed = seed });
    cr_assert_eq(file_mkdir("/data"), 1);
    m.random = seed;
    m.now_ms = 1750000000000;
    m.window_ms = 60000;
    m.history = malloc(HISTORY_MAX * sizeof(*m.history));
    m.state = malloc(STATE_MAX);
    m.all = dedupe_create("/data/dedupe", memory);
    m.w = dedupe_open(m.all, TOPIC, m.window_ms);
}

static void model_end(void)
{
    dedupe_close(m.w);
    dedupe_destroy(m.all);
    cr_assert_eq(mem_used(MEM_DEDUPE), 0, "all memory is given back");
    free(m.history);
    free(m.state);
    io_sim_end();
}

static bool model_knows(uint32_t id)
{
    return m.last[id] && m.history[m.last[id] - 1].ms + m.window_ms > m.now_ms;
}

/* Publishes up to a block of events; some requests are refused afterwards. */
static void model_publish(void)
{
    struct dedupe_key keys[DEDUPE_BLOCK];
    struct dedupe_place places[DEDUPE_BLOCK], wanted[DEDUPE_BLOCK];
    enum dedupe_verdict verdicts[DEDUPE_BLOCK];
    uint32_t ids[DEDUPE_BLOCK];
    const uint32_t count = 1 + (uint32_t)draw(DEDUPE_BLOCK), partition = (uint32_t)draw(3);
    const bool keep = draw(4) != 0;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = (uint32_t)draw(IDS);
        keys[i] = key_of(ids[i], draw(10) ? 1 : 2);
        places[i] = wanted[i] = (struct dedupe_place){ m.next_offset[partition] + i, partition };
    }
    cr_assert_eq(dedupe_ask(m.w, m.now_ms, keys, count, places, verdicts), count);
    const uint32_t before = m.count;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t id = ids[i];
        const struct noted *known = model_knows(id) ? &m.history[m.last[id] - 1] : NULL;
        if (m.unsure[id] && known && verdicts[i] == DEDUPE_NEW)
            known = NULL;
        if (known) {
            const bool same = known->content == keys[i].content;
            cr_assert_eq(verdicts[i], same ? DEDUPE_DUPLICATE : DEDUPE_CONFLICT, "id %u", id);
            cr_assert_eq(places[i].offset, known->place.offset);
            cr_assert_eq(places[i].partition, known->place.partition);
            m.duplicates += same;
            m.conflicts += !same;
            continue;
        }
        cr_assert_eq(verdicts[i], DEDUPE_NEW, "id %u was never published, or long ago", id);
        cr_assert_lt(m.count, HISTORY_MAX);
        m.history[m.count++] = (struct noted){ id, keys[i].content, wanted[i], m.now_ms };
        if (keep)
            m.unsure[id] = false;
        m.last[id] = m.count; /* also for the rest of this request */
    }
    dedupe_settle(m.all, keep);
    cr_assert(!dedupe_unsettled(m.all));
    if (keep) {
        m.next_offset[partition] += count;
        dedupe_appended(m.w, partition, m.next_offset[partition]);
        return;
    }
    m.count = before;
    memset(m.last, 0, sizeof(m.last));
    for (uint32_t i = 0; i < m.count; i++)
        m.last[m.history[i].id] = i + 1;
}

static void put(void *ctx, const void *at, uint32_t n)
{
    struct model *to = ctx;
    cr_assert_leq(to->state_bytes + n, STATE_MAX);
    memcpy(to->state + to->state_bytes, at, n);
    to->state_bytes += n;
}

static void model_checkpoint(bool saved)
{
    uint8_t *old = m.state;
    const uint64_t old_bytes = m.state_bytes;
    m.state = malloc(STATE_MAX);
    m.state_bytes = 0;
    struct dedupe_save *save = dedupe_save_begin(m.all, put, &m);
    if (draw(2))
        model_publish(); /* while a worker writes */
    const int result = dedupe_save_run(save);
    cr_assert_eq(result, 0);
    if (saved)
        dedupe_save_tidy(save);
    dedupe_save_end(save, saved);
    free(saved ? old : m.state);
    if (saved)
        return;
    m.state = old;
    m.state_bytes = old_bytes;
}

static int count_file(void *ctx, const char *name, bool is_dir)
{
    (void)name;
    (void)is_dir;
    ++*(uint64_t *)ctx;
    return 0;
}

static void model_restart(void)
{
    char why[DEDUPE_WHY_BYTES] = "";
    dedupe_close(m.w);
    dedupe_destroy(m.all);
    m.all = dedupe_create("/data/dedupe", UINT64_MAX / 2);
    m.w = dedupe_open(m.all, TOPIC, m.window_ms);
    if (m.state_bytes)
        cr_assert_eq(dedupe_load(m.all, m.state, m.state_bytes, NULL, NULL, why), 0, "%s", why);
    /* The journal reaches back some way before the checkpoint. */
    for (uint32_t i = 0; i < m.count; i++)
        dedupe_replay(m.w,
                      &(struct dedupe_key){ { key_of(m.history[i].id, 0).hash[0], m.history[i].id + 1 },
                                            m.history[i].content },
                      &m.history[i].place, m.history[i].ms);
    for (uint32_t p = 0; p < 3; p++)
        dedupe_appended(m.w, p, m.next_offset[p]);
    dedupe_tidy(m.all);
    uint64_t files = 0;
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, dedupe_stats(m.all)->files, "only files that are listed are left");
    m.files += files;
    m.restarts++;
}

static void model_set_window(int64_t window_ms)
{
    for (uint32_t id = 0; id < IDS && window_ms > m.window_ms; id++)
        if (m.last[id] && !model_knows(id))
            m.unsure[id] = true;
    m.window_ms = window_ms;
    dedupe_set_window(m.w, window_ms);
}

Test(dedupe, answers_as_a_list_of_all_events_would)
{
    const char *seeds = getenv("RUNNEL_SIM_SEEDS");
    const uint64_t most = seeds ? strtoull(seeds, NULL, 10) : 6;
    for (uint64_t seed = 1; seed <= most; seed++) {
        model_start(seed, UINT64_MAX / 2);
        for (int step = 0; step < 2500; step++) {
            const uint64_t what = draw(1000);
            if (what < 960)
                model_publish();
            else if (what < 975)
                model_checkpoint(draw(4) != 0);
            else if (what < 980)
                model_restart();
            else if (what < 983)
                model_set_window(1 + (int64_t)draw(120000));
            else if (what < 985)
                m.now_ms += (int64_t)draw(90000);
            dedupe_turn(m.all, m.now_ms);
            m.now_ms += (int64_t)draw(100);
        }
        cr_assert_gt(m.duplicates, 1000, "seed %llu", (unsigned long long)seed);
        cr_assert_gt(m.conflicts, 100);
        cr_assert_gt(m.restarts, 3);
        model_end();
    }
}

/* Asks for one id; new ones stay. */
static enum dedupe_verdict ask(uint32_t id, struct dedupe_place *place)
{
    struct dedupe_key key = { { (id + 1) * 0x9e3779b97f4a7c15u, id }, 1 };
    enum dedupe_verdict verdict;
    *place = (struct dedupe_place){ id, 0 };
    cr_assert_eq(dedupe_ask(m.w, m.now_ms, &key, 1, place, &verdict), 1);
    dedupe_settle(m.all, true);
    return verdict;
}

static void fill(uint32_t from, uint32_t to)
{
    struct dedupe_place place;
    for (uint32_t id = from; id < to; id++)
        cr_assert_eq(ask(id, &place), DEDUPE_NEW, "id %u", id);
}

Test(dedupe, counts_to_the_millisecond)
{
    struct dedupe_place place;
    model_start(1, UINT64_MAX / 2);
    fill(0, 1);
    m.now_ms += m.window_ms - 1;
    cr_assert_eq(ask(0, &place), DEDUPE_DUPLICATE);
    m.now_ms++;
    cr_assert_eq(ask(0, &place), DEDUPE_NEW);
    m.now_ms -= 10 * m.window_ms; /* a clock that is set back */
    cr_assert_eq(ask(0, &place), DEDUPE_DUPLICATE);
    model_end();
}

Test(dedupe, refuses_new_ids_when_memory_is_used_up_and_forgets_none)
{
    enum { ROOM = 1000 };
    struct dedupe_place place;
    model_start(2, DEDUPE_WINDOW_BYTES + ROOM * DEDUPE_ID_BYTES);
    fill(0, ROOM);
    for (uint32_t id = 0; id < 2 * ROOM; id++)
        cr_assert_eq(ask(id, &place), id < ROOM ? DEDUPE_DUPLICATE : DEDUPE_FULL);
    cr_assert_eq(dedupe_stats(m.all)->full, ROOM);
    /* Raised while running; lowered: what is known stays known. */
    dedupe_limit(m.all, DEDUPE_WINDOW_BYTES + (ROOM + 1) * DEDUPE_ID_BYTES);
    fill(ROOM, ROOM + 1);
    dedupe_limit(m.all, 0);
    cr_assert_eq(ask(ROOM, &place), DEDUPE_DUPLICATE);
    cr_assert_eq(ask(ROOM + 1, &place), DEDUPE_FULL);
    /* Those of another window make room when they expire. */
    dedupe_limit(m.all, 2 * (DEDUPE_WINDOW_BYTES + ROOM * DEDUPE_ID_BYTES));
    struct dedupe_window *first = m.w;
    m.w = dedupe_open(m.all, TOPIC + 1, 10 * m.window_ms);
    fill(0, ROOM - 1);
    cr_assert_eq(ask(ROOM, &place), DEDUPE_FULL);
    m.now_ms += m.window_ms;
    fill(ROOM, 2 * ROOM);
    dedupe_close(first);
    model_end();
}

/* An unappended note would be known for ever; one taken back twice would take others with it. */
Test(dedupe, takes_back_what_was_refused)
{
    struct dedupe_place place;
    model_start(3, UINT64_MAX / 2);
    for (uint32_t have = 0; have < 3 * 512 + 3; have += 171) {
        struct dedupe_key keys[DEDUPE_BLOCK];
        struct dedupe_place places[DEDUPE_BLOCK];
        enum dedupe_verdict verdicts[DEDUPE_BLOCK];
        for (uint32_t i = 0; i < DEDUPE_BLOCK; i++)
            keys[i] = key_of(100000 + i, 1);
        for (int blocks = 0; blocks < 20; blocks++) {
            for (uint32_t i = 0; i < DEDUPE_BLOCK; i++)
                keys[i].hash[1]++;
            memset(places, 0, sizeof(places));
            dedupe_ask(m.w, m.now_ms, keys, DEDUPE_BLOCK, places, verdicts);
            cr_assert_eq(verdicts[0], DEDUPE_NEW);
        }
        dedupe_settle(m.all, false);
        cr_assert_eq(dedupe_stats(m.all)->ids, have);
        fill(have, have + 171);
        for (uint32_t id = 0; id < have + 171; id++)
            cr_assert_eq(ask(id, &place), DEDUPE_DUPLICATE);
    }
    model_end();
}

/* What an id counts as is what it takes, at any size and while the window empties. */
Test(dedupe, takes_no_more_memory_than_it_says)
{
    enum { MOST = 1000000, FIXED = 65536 };
    uint64_t worst = 0;
    model_start(4, UINT64_MAX / 2);
    for (uint32_t have = 0; have < MOST; have += 5000) {
        fill(have, have + 5000);
        m.now_ms++;
        const uint64_t used = mem_used(MEM_DEDUPE);
        cr_assert_leq(used, dedupe_stats(m.all)->bytes + FIXED, "%u ids take %llu", have + 5000,
                      (unsigned long long)used);
        if (have > MOST / 10 && used / (have + 5000) > worst)
            worst = used / (have + 5000);
    }
    cr_assert_leq(worst, 64);
    fprintf(stderr, "%llu bytes an id at most, %llu at the end\n", (unsigned long long)worst,
            (unsigned long long)(mem_used(MEM_DEDUPE) / MOST));
    m.now_ms += m.window_ms - 200;
    while (dedupe_stats(m.all)->ids > MOST / 100) {
        m.now_ms++;
        while (dedupe_turn(m.all, m.now_ms))
            ;
        const uint64_t ids = dedupe_stats(m.all)->ids;
        /* Tables keep a least size: some hundred kilobytes, until the window is empty. */
        cr_assert_leq(mem_used(MEM_DEDUPE), dedupe_stats(m.all)->bytes + FIXED + (256 << 10), "%llu ids",
                      (unsigned long long)ids);
    }
    m.now_ms += m.window_ms;
    while (dedupe_turn(m.all, m.now_ms))
        ;
    cr_assert_eq(dedupe_stats(m.all)->ids, 0);
    cr_assert_eq(dedupe_stats(m.all)->bytes, 0);
    cr_assert_lt(mem_used(MEM_DEDUPE), FIXED);
    model_end();
}

/* ---- files ---- */

static uint64_t findings;

static void found(void *ctx, const char *file, uint64_t position, const char *text)
{
    (void)ctx;
    (void)position;
    cr_assert(strstr(file, ".ids") && text[0]);
    findings++;
}

/* Loads the last checkpoint; what comes is either the truth or refused by name. */
static int load(char *why)
{
    dedupe_close(m.w);
    dedupe_destroy(m.all);
    m.all = dedupe_create("/data/dedupe", UINT64_MAX / 2);
    m.w = dedupe_open(m.all, TOPIC, m.window_ms);
    findings = 0;
    why[0] = '\0';
    return dedupe_load(m.all, m.state, m.state_bytes, found, NULL, why);
}

enum { IN_FILE = 5000, LOOSE = 100 };
static const char file_name[] = "/data/dedupe/0000000000000001.ids";

static void files_start(void)
{
    model_start(5, UINT64_MAX / 2);
    fill(0, IN_FILE);
    model_checkpoint(true);
    m.now_ms += 1000;
    fill(IN_FILE, IN_FILE + LOOSE);
    m.random = 1; /* nothing is published by the checkpoint itself */
    uint8_t *old = m.state;
    m.state = malloc(STATE_MAX);
    m.state_bytes = 0;
    free(old);
    struct dedupe_save *save = dedupe_save_begin(m.all, put, &m);
    cr_assert_eq(dedupe_save_run(save), 0);
    dedupe_save_end(save, true);
}

static void file_flip(uint64_t position, uint8_t with)
{
    uint8_t byte;
    const int fd = file_open(file_name, FILE_WRITE, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_read(fd, &byte, 1, position), 1);
    byte ^= with;
    cr_assert_eq(file_write(fd, &byte, 1, position), 0);
    file_close(fd);
}

static void judge_damaged(int result, const char *why, uint64_t position)
{
    struct dedupe_place place;
    if (result) {
        cr_assert_eq(result, -EPROTONOSUPPORT, "byte %llu: %d", (unsigned long long)position, result);
        cr_assert(strstr(why, file_name) && strstr(why, "version"), "%s", why);
        return;
    }
    cr_assert_eq(findings, 1, "damage of byte %llu is not noticed", (unsigned long long)position);
    cr_assert_gt(dedupe_lost_until(m.w), m.now_ms);
    cr_assert_eq(dedupe_stats(m.all)->ids, LOOSE, "nothing of a damaged file counts");
    cr_assert_eq(ask(IN_FILE, &place), DEDUPE_DUPLICATE, "what is elsewhere does");
}

Test(dedupe, damaged_files_are_refused_by_name)
{
    char why[DEDUPE_WHY_BYTES];
    files_start();
    cr_assert_eq(load(why), 0, "%s", why);
    cr_assert_eq(findings, 0);
    cr_assert_eq(dedupe_stats(m.all)->ids, IN_FILE + LOOSE);
    cr_assert_eq(dedupe_stats(m.all)->files, 1);
    const int fd = file_open(file_name, FILE_READ, NULL);
    const uint64_t bytes = (uint64_t)file_bytes(fd);
    file_close(fd);
    cr_assert_eq(bytes, 64 + IN_FILE * 40);
    for (uint64_t at = 0; at < bytes; at += at < 200 ? 1 : 997) {
        file_flip(at, (uint8_t)(1 << at % 8));
        judge_damaged(load(why), why, at);
        file_flip(at, (uint8_t)(1 << at % 8));
    }
    cr_assert_eq(load(why), 0, "%s", why);
    cr_assert_eq(findings, 0);
    model_end();
}

Test(dedupe, short_long_and_missing_files_are_damaged)
{
    char why[DEDUPE_WHY_BYTES];
    struct dedupe_place place;
    files_start();
    const int fd = file_open(file_name, FILE_WRITE, NULL);
    const uint64_t bytes = (uint64_t)file_bytes(fd);
    const uint64_t sizes[] = { bytes + 1, bytes + 40, bytes - 1, bytes - 40, 65, 64, 63, 1, 0 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        cr_assert_eq(file_truncate(fd, sizes[i]), 0);
        judge_damaged(load(why), why, sizes[i]);
    }
    file_close(fd);
    cr_assert_eq(file_unlink(file_name), 0);
    judge_damaged(load(why), why, 0);
    /* Known also after the next checkpoint, and over when the ids would have expired. */
    model_checkpoint(true);
    cr_assert_eq(load(why), 0, "%s", why);
    cr_assert_eq(findings, 0);
    cr_assert_eq(dedupe_stats(m.all)->lost, 1);
    m.now_ms = dedupe_lost_until(m.w);
    dedupe_turn(m.all, m.now_ms);
    cr_assert_eq(dedupe_stats(m.all)->lost, 0);
    cr_assert_eq(dedupe_lost_until(m.w), 0);
    cr_assert_eq(ask(1, &place), DEDUPE_NEW);
    model_end();
}

/* Bytes of a checkpoint are checked before; a state that makes no sense is refused all the same. */
Test(dedupe, cut_states_are_refused)
{
    char why[DEDUPE_WHY_BYTES];
    files_start();
    const uint64_t bytes = m.state_bytes;
    for (m.state_bytes = 0; m.state_bytes < bytes; m.state_bytes += m.state_bytes < 200 ? 1 : 37)
        cr_assert_neq(load(why), 0, "%llu bytes", (unsigned long long)m.state_bytes);
    m.state_bytes = bytes;
    cr_assert_eq(load(why), 0);
    model_end();
}

Test(dedupe, files_go_when_all_their_ids_have_expired)
{
    struct dedupe_place place;
    uint64_t files = 0;
    files_start();
    m.now_ms += m.window_ms;
    while (dedupe_turn(m.all, m.now_ms))
        ;
    cr_assert_eq(dedupe_stats(m.all)->files, 0);
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, 1, "as long as a checkpoint lists it");
    model_checkpoint(false);
    files = 0;
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, 1);
    model_checkpoint(true);
    files = 0;
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, 0);
    cr_assert_eq(ask(1, &place), DEDUPE_NEW);
    model_end();
}

Test(dedupe, a_full_disk_leaves_no_files_behind)
{
    uint64_t files = 0;
    model_start(6, UINT64_MAX / 2);
    fill(0, 10000);
    io_sim_fail(&(struct io_sim_fault){ .op = IO_SIM_WRITE, .nth = 3, .error = ENOSPC, .path = ".ids" });
    struct dedupe_save *save = dedupe_save_begin(m.all, put, &m);
    cr_assert_eq(dedupe_save_run(save), -ENOSPC);
    dedupe_save_end(save, false);
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, 0);
    m.state_bytes = 0;
    model_checkpoint(true);
    file_list("/data/dedupe", count_file, &files);
    cr_assert_eq(files, 1);
    model_end();
}

/* ---- ids ---- */

static struct dedupe_event event_of(const struct dedupe *all, struct bytes key, struct bytes value,
                                    const struct header *headers, uint32_t count)
{
    static uint8_t buffer[4096];
    struct batch_builder builder;
    struct batch batch;
    struct record_iter it;
    struct record record;
    struct dedupe_event event;
    batch_build_start(&builder, buffer, sizeof(buffer));
    cr_assert(batch_build_add(&builder, 1, key, value, headers, count));
    cr_assert(batch_decode(&batch, buffer, batch_build_finish(&builder, -1, -1, -1)));
    record_iter_init(&it, &batch, (struct bytes){ batch.at + BATCH_HEADER, batch.bytes - BATCH_HEADER });
    cr_assert_eq(record_next(&it, &record), 1);
    dedupe_event(all, &record, &event);
    return event;
}

static bool same_id(const struct dedupe_event *a, const struct dedupe_event *b)
{
    return a->key.hash[0] == b->key.hash[0] && a->key.hash[1] == b->key.hash[1];
}

Test(dedupe, an_event_is_its_id_and_what_it_says)
{
    struct dedupe *all = dedupe_create("/data/dedupe", 0), *other = dedupe_create("/data/dedupe", 0);
    const struct bytes none = { NULL, 0 }, empty = bytes_of("");
    const struct header id[] = { { bytes_of("ce_type"), bytes_of("t") },
                                 { bytes_of("ce_id"), bytes_of("abc") },
                                 { bytes_of("ce_id"), bytes_of("second") } };
    const struct header empty_id[] = { { bytes_of("ce_id"), empty } },
                        no_id[] = { { bytes_of("ce_idx"), empty } };
    const struct bytes texts[] = { none, empty, bytes_of("a"), bytes_of("b"), bytes_of("ab") };
    enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
    struct dedupe_event events[TEXTS * TEXTS], again;
    uint32_t n = 0;
    for (int k = 0; k < TEXTS; k++)
        for (int v = 0; v < TEXTS; v++) {
            events[n] = event_of(all, texts[k], texts[v], id, 3);
            cr_assert_eq(events[n].id.len, 3);
            cr_assert(same_id(&events[n], &events[0]));
            for (uint32_t i = 0; i < n; i++)
                cr_assert_neq(events[n].key.content, events[i].key.content);
            n++;
        }
    again = event_of(all, none, none, id + 1, 1);
    cr_assert(same_id(&again, &events[0]), "other headers do not count");
    cr_assert_eq(again.key.content, events[0].key.content);
    again = event_of(all, none, none, id + 2, 1);
    cr_assert(!same_id(&again, &events[0]));
    again = event_of(other, none, none, id + 1, 1);
    cr_assert(!same_id(&again, &events[0]), "each data directory has a secret of its own");
    cr_assert_null(event_of(all, none, none, empty_id, 1).id.at);
    cr_assert_null(event_of(all, none, none, no_id, 1).id.at);
    cr_assert_null(event_of(all, none, none, NULL, 0).id.at);
    dedupe_destroy(all);
    dedupe_destroy(other);
}
