/* SPDX-License-Identifier: Apache-2.0
 *
 * dedupe/save.c: what is written when the state is saved, and its way back.
 *
 * Each checkpoint has of every window the list of its files and the entries that are in none. When those are
 * many they become a file themselves, written by the worker just before the checkpoint that lists it; so an
 * entry is written to a file once, and to checkpoints only while it is one of a few. Files go when all their
 * entries have expired and a checkpoint that does not list them is durable.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "dedupe/window.h"
#include "io/file.h"

enum { FILE_IDS_MIN = 4096 }; /* 160 KiB: worth a file's flush */

struct dedupe_save {
    struct dedupe *all;
    struct saved_window {
        struct dedupe_window *window;
        struct id_file file; /* to be written; number 0: none */
    } * windows;
    uint32_t count;
    uint64_t *garbage; /* unlisted from this checkpoint on */
    uint32_t garbage_count;
};

/* ---- saving ---- */

struct put {
    void (*put)(void *ctx, const void *at, uint32_t n);
    void *ctx;
};

static void put_u32(const struct put *to, uint32_t v)
{
    to->put(to->ctx, &v, sizeof(v));
}

static void put_u64(const struct put *to, uint64_t v)
{
    to->put(to->ctx, &v, sizeof(v));
}

static void put_file(const struct put *to, const struct id_file *f)
{
    put_u64(to, f->number);
    put_u64(to, f->end - f->first);
    put_u64(to, (uint64_t)f->last_ms);
}

static void save_window(struct saved_window *sw, const struct put *to)
{
    struct dedupe_window *w = sw->window;
    const uint64_t loose = w->end - w->saved;
    if (loose >= FILE_IDS_MIN)
        sw->file = (struct id_file){
            .number = w->all->file_next++, .first = w->saved, .end = w->end, .last_ms = w->last_ms
        };
    put_u64(to, w->topic_id);
    put_u64(to, (uint64_t)w->lost_ms);
    put_u32(to, w->end_count);
    if (w->end_count)
        to->put(to->ctx, w->ends, w->end_count * (uint32_t)sizeof(*w->ends));
    put_u32(to, w->file_count + (sw->file.number != 0));
    for (uint32_t i = 0; i < w->file_count; i++)
        put_file(to, &w->files[i]);
    if (sw->file.number)
        put_file(to, &sw->file);
    put_u32(to, sw->file.number ? 0 : (uint32_t)loose);
    for (uint64_t s = w->saved; s < w->end && !sw->file.number;) {
        uint64_t n = CHUNK_IDS - s % CHUNK_IDS;
        n = n < w->end - s ? n : w->end - s;
        to->put(to->ctx, idwindow_entry(w, s), (uint32_t)(n * sizeof(struct id_entry)));
        s += n;
    }
    w->saving = true;
}

struct dedupe_save *dedupe_save_begin(struct dedupe *all, void (*put)(void *ctx, const void *at, uint32_t n),
                                      void *ctx)
{
    const struct put to = { put, ctx };
    struct dedupe_save *save = mem_zalloc(MEM_DEDUPE, sizeof(*save));
    CHECK(!dedupe_unsettled(all));
    save->all = all;
    save->count = (uint32_t)all->stats.windows;
    save->windows = mem_zalloc(MEM_DEDUPE, save->count * sizeof(*save->windows));
    uint32_t i = 0;
    to.put(to.ctx, all->seed, SEED_BYTES);
    put_u32(&to, save->count);
    LIST_FOR_EACH (node, &all->windows) {
        save->windows[i].window = CONTAINER_OF(node, struct dedupe_window, link);
        save_window(&save->windows[i++], &to);
    }
    CHECK(i == save->count);
    put_u64(&to, all->file_next);
    save->garbage_count = all->garbage_count;
    save->garbage = mem_alloc(MEM_DEDUPE, save->garbage_count * sizeof(*save->garbage));
    if (save->garbage_count) /* else there is no array yet */
        memcpy(save->garbage, all->garbage, save->garbage_count * sizeof(*save->garbage));
    return save;
}

/* Nothing lists them yet: a full disk must not be filled with attempts. */
static void save_undo(const struct dedupe_save *save)
{
    char path[DEDUPE_PATH_BYTES];
    for (uint32_t i = 0; i < save->count; i++)
        if (save->windows[i].file.number) {
            idfile_path(save->all, save->windows[i].file.number, path);
            file_unlink(path);
        }
}

int dedupe_save_run(struct dedupe_save *save)
{
    int result = 0;
    bool any = false;
    for (uint32_t i = 0; i < save->count && result >= 0; i++) {
        const struct saved_window *sw = &save->windows[i];
        if (!sw->file.number)
            continue;
        if (!any)
            result = file_mkdir(save->all->dir);
        if (result >= 0)
            result = idfile_write(sw->window, &sw->file);
        any = true;
    }
    if (any && result >= 0)
        result = file_sync_dir(save->all->dir);
    if (result < 0)
        save_undo(save);
    return result < 0 ? result : 0;
}

void dedupe_save_tidy(struct dedupe_save *save)
{
    char path[DEDUPE_PATH_BYTES];
    for (uint32_t i = 0; i < save->garbage_count; i++) {
        idfile_path(save->all, save->garbage[i], path);
        file_unlink(path); /* what is left over the next start removes */
    }
}

/* `listed`: by a durable checkpoint. Else it is rubbish, unless an attempt that failed can be read after all;
 * so it may go only when the next one is durable, and its number is not used again. */
static void idwindow_keep_file(struct dedupe_window *w, const struct id_file *file, bool listed)
{
    w->all->stats.files++;
    if (!listed) {
        dedupe_garbage(w->all, file->number);
        return;
    }
    if (w->file_count == w->file_room) {
        const uint32_t room = w->file_room ? w->file_room * 2 : 4;
        w->files =
            mem_realloc(MEM_DEDUPE, w->files, w->file_room * sizeof(*w->files), room * sizeof(*w->files));
        w->file_room = room;
    }
    w->files[w->file_count++] = *file;
    w->saved = file->end;
}

void dedupe_save_end(struct dedupe_save *save, bool saved)
{
    struct dedupe *all = save->all;
    if (saved && save->garbage_count) {
        all->garbage_count -= save->garbage_count;
        memmove(all->garbage, all->garbage + save->garbage_count, all->garbage_count * sizeof(*all->garbage));
    }
    for (uint32_t i = 0; i < save->count; i++) {
        struct dedupe_window *w = save->windows[i].window;
        w->saving = false;
        if (save->windows[i].file.number)
            idwindow_keep_file(w, &save->windows[i].file, saved);
        if (w->closed)
            idwindow_free(w);
    }
    mem_free(MEM_DEDUPE, save->garbage, save->garbage_count * sizeof(*save->garbage));
    mem_free(MEM_DEDUPE, save->windows, save->count * sizeof(*save->windows));
    mem_free(MEM_DEDUPE, save, sizeof(*save));
}

/* ---- loading ---- */

struct loading {
    struct dedupe *all;
    struct reader r;
    void (*finding)(void *ctx, const char *file, uint64_t position, const char *text);
    void *ctx;
    char *why;
};

static struct dedupe_window *idwindow_of(const struct dedupe *all, uint64_t topic_id)
{
    LIST_FOR_EACH (node, &all->windows) {
        struct dedupe_window *w = CONTAINER_OF(node, struct dedupe_window, link);
        if (w->topic_id == topic_id)
            return w;
    }
    return NULL;
}

static void load_lost(struct dedupe_window *w, int64_t lost_ms)
{
    w->all->stats.lost += lost_ms && !w->lost_ms;
    if (lost_ms > w->lost_ms)
        w->lost_ms = lost_ms;
}

static int load_file(struct loading *l, struct dedupe_window *w, struct id_file *file)
{
    char path[DEDUPE_PATH_BYTES], damage[DEDUPE_WHY_BYTES] = "";
    const uint64_t count = file->end;
    file->first = w->end;
    file->end = w->end + count;
    const int result = idfile_read(w, file, damage);
    if (result == 0) {
        idwindow_keep_file(w, file, true);
        return 0;
    }
    idfile_path(w->all, file->number, path);
    if (result != -EBADMSG) {
        snprintf(l->why, DEDUPE_WHY_BYTES, "%.120s cannot be read: %.100s", path,
                 damage[0] ? damage : strerror(-result));
        return result;
    }
    /* The ids in it are unknown now. No wrong answer: new ones are refused until these would have expired. */
    load_lost(w, file->last_ms);
    if (l->finding) {
        l->finding(l->ctx, path, 0, damage);
        return 0;
    }
    char aside[DEDUPE_PATH_BYTES + 16];
    snprintf(aside, sizeof(aside), "%s.damaged", path);
    file_rename(path, aside); /* kept for people; missing is damaged, too */
    diag(
        DIAG_ERROR, "dedupe",
        "a file of event ids is damaged: its topic takes no new ids until those in it would have expired, or "
        "dedupe.window is turned off and on",
        DIAG_KS("file", path), DIAG_KS("damage", damage), DIAG_KU("topic_id", w->topic_id));
    return 0;
}

/* The topic's window may be off by now: then all is read, and left. */
static int load_window(struct loading *l)
{
    struct reader *r = &l->r;
    struct dedupe_window *w = idwindow_of(l->all, read_u64(r));
    const int64_t lost_ms = read_i64(r);
    const uint32_t partitions = read_u32(r);
    if (r->bad || partitions > DEDUPE_PARTITIONS_MAX || (w && (w->end || w->file_count)))
        return -EBADMSG;
    if (w)
        load_lost(w, lost_ms);
    for (uint32_t i = 0; i < partitions; i++) {
        const uint64_t end = read_u64(r);
        if (w && !r->bad)
            dedupe_appended(w, i, end);
    }
    const uint32_t files = read_u32(r);
    struct reader all_files = *r;
    uint64_t total = 0;
    for (uint32_t i = 0; i < files && !r->bad; i++) {
        const uint64_t number = read_u64(r);
        if (!r->bad && w)
            total += idfile_entries(l->all, number);
        (void)read_u64(r);
        (void)read_u64(r);
    }
    if (r->bad || total >= UINT32_MAX)
        return -EBADMSG;
    if (w && total)
        index_reserve(&w->index, total);
    for (uint32_t i = 0; i < files && w; i++) {
        struct id_file file = { .number = read_u64(&all_files) };
        file.end = read_u64(&all_files);
        file.last_ms = read_i64(&all_files);
        const int result = load_file(l, w, &file);
        if (result)
            return result;
    }
    const uint32_t loose = read_u32(r);
    if (r->bad || loose > reader_left(r) / sizeof(struct id_entry))
        return -EBADMSG;
    for (uint32_t i = 0; i < loose; i++) {
        struct id_entry entry;
        memcpy(&entry, read_raw(r, sizeof(entry)), sizeof(entry));
        if (w)
            idwindow_load(w, &entry, 1);
    }
    return 0;
}

int dedupe_load(struct dedupe *all, const uint8_t *state, uint64_t bytes,
                void (*finding)(void *ctx, const char *file, uint64_t position, const char *text), void *ctx,
                char *why)
{
    struct loading l = { all, reader_of(state, (uint32_t)bytes), finding, ctx, why };
    const uint8_t *seed = read_raw(&l.r, SEED_BYTES);
    const uint32_t windows = read_u32(&l.r);
    if (l.r.bad || bytes > UINT32_MAX)
        return -EBADMSG;
    dedupe_secret(all, seed);
    for (uint32_t i = 0; i < windows; i++) {
        const int result = load_window(&l);
        if (result)
            return result;
    }
    all->file_next = read_u64(&l.r);
    return reader_done(&l.r) ? 0 : -EBADMSG;
}

/* ---- rubbish ---- */

static bool file_listed(const struct dedupe *all, uint64_t number)
{
    LIST_FOR_EACH (node, &all->windows) {
        const struct dedupe_window *w = CONTAINER_OF(node, struct dedupe_window, link);
        for (uint32_t i = 0; i < w->file_count; i++)
            if (w->files[i].number == number)
                return true;
    }
    return false;
}

static int tidy_one(void *ctx, const char *name, bool is_dir)
{
    struct dedupe *all = ctx;
    char path[DEDUPE_PATH_BYTES], *end;
    const uint64_t number = strtoull(name, &end, 16);
    if (is_dir || end != name + 16 || strcmp(end, ".ids") != 0 || file_listed(all, number))
        return 0;
    idfile_path(all, number, path);
    file_unlink(path);
    return 0;
}

void dedupe_tidy(struct dedupe *all)
{
    file_list(all->dir, tidy_one, all); /* no such directory: nothing to remove */
}
