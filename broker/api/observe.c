/* SPDX-License-Identifier: Apache-2.0
 *
 * api/observe.c: STAT and HEALTH: every counter of every room, and how things stand in three words.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "api/api_own.h"
#include "base/mem.h"

enum { OBSERVE_ROW_BYTES = 128, OBSERVE_ROWS_MAX = 512, OBSERVE_HEALTH_BYTES = 4096 };

struct observe {
    struct writer w;
    uint32_t count;
};

static void observe_row(void *ctx, const char *room, const char *name, enum stat_kind kind, uint64_t value)
{
    struct observe *o = ctx;
    const struct wire_stat_row row = { bytes_of(room), bytes_of(name), (uint8_t)kind, value };
    wire_put_stat_row(&o->w, &row);
    o->count += !o->w.bad;
}

#define STAT_ROOM "api"
static void observe_api(const struct api_stats *s, stat_visit visit, void *ctx)
{
    API_STATS(STAT_VISIT)
}
#undef STAT_ROOM
#define STAT_ROOM "store"
static void observe_store(const struct store_stats *s, stat_visit visit, void *ctx)
{
    STORE_STATS(STAT_VISIT)
}
#undef STAT_ROOM
#define STAT_ROOM "journal"
static void observe_journal(const struct journal_stats *s, stat_visit visit, void *ctx)
{
    JOURNAL_STATS(STAT_VISIT)
}
#undef STAT_ROOM
#define STAT_ROOM "dedupe"
static void observe_dedupe(const struct dedupe_stats *s, stat_visit visit, void *ctx)
{
    DEDUPE_STATS(STAT_VISIT)
}
#undef STAT_ROOM

static void observe_process(struct observe *o)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        const struct timeval *user = &usage.ru_utime, *system = &usage.ru_stime;
        observe_row(o, "process", "cpu_user_us", STAT_COUNTER,
                    (uint64_t)user->tv_sec * 1000000 + (uint64_t)user->tv_usec);
        observe_row(o, "process", "cpu_system_us", STAT_COUNTER,
                    (uint64_t)system->tv_sec * 1000000 + (uint64_t)system->tv_usec);
        observe_row(o, "process", "context_switches", STAT_COUNTER,
                    (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw);
        observe_row(o, "process", "page_faults_major", STAT_COUNTER, (uint64_t)usage.ru_majflt);
        observe_row(o, "process", "resident_max_bytes", STAT_GAUGE, (uint64_t)usage.ru_maxrss * 1024);
    }
    observe_row(o, "process", "resident_bytes", STAT_GAUGE, mem_resident());
    for (uint32_t i = 0; i < MEM_ACCOUNT_COUNT; i++)
        observe_row(o, "memory", mem_account_name(i), STAT_GAUGE, mem_used(i));
}

enum net_take observe_stat(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    if (reader_left(&rq->body) != 0)
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "STAT has no fields");
    const uint32_t room = OBSERVE_ROWS_MAX * OBSERVE_ROW_BYTES;
    uint8_t *rows = mem_alloc(MEM_API, room);
    struct observe o = { .w = writer_of(rows, room) };
    net_stats_visit(api->net, observe_row, &o);
    observe_api(&api->stats, observe_row, &o);
    observe_store(store_stats(api->store), observe_row, &o);
    observe_journal(store_journal_stats(api->store), observe_row, &o);
    observe_dedupe(store_dedupe_stats(api->store), observe_row, &o);
    if (api->extra.stats)
        api->extra.stats(api->extra.ctx, observe_row, &o);
    observe_process(&o);
    struct api_reply r = api_reply_begin(s, 4 + writer_len(&o.w));
    write_u32(&r.w, o.count);
    write_raw(&r.w, rows, writer_len(&o.w));
    api_reply_end(s, &r, rq);
    mem_free(MEM_API, rows, room);
    return NET_TAKEN;
}

/* ---- health ---- */

struct health {
    struct writer w;
    uint16_t count;
    uint8_t worst;
};

static void health_row(struct health *h, const char *name, enum wire_health status, const char *text)
{
    const struct wire_health_row row = { bytes_of(name), (uint8_t)status, bytes_of(text) };
    wire_put_health_row(&h->w, &row);
    h->count++;
    if ((uint8_t)status > h->worst)
        h->worst = (uint8_t)status;
}

static void health_producing(struct health *h, const struct api *api)
{
    char why[API_WHY_BYTES] = "";
    const enum error code = api->draining ? ERR_SHUTTING_DOWN : store_accepts(api->store, why);
    if (code == ERR_OK)
        health_row(h, "producing", WIRE_HEALTH_OK, "accepted");
    else
        health_row(h, "producing", code == ERR_STORAGE_FAILED ? WIRE_HEALTH_FAILED : WIRE_HEALTH_DEGRADED,
                   why[0] ? why : error_text((uint16_t)code));
}

static void health_partitions(struct health *h, const struct api *api)
{
    uint32_t fenced = 0, damaged = 0, all = 0;
    char text[160];
    struct bytes after = { 0 };
    for (struct topic *t = catalog_next(api->store, after); t; t = catalog_next(api->store, after)) {
        after = (struct bytes){ (const uint8_t *)t->name, t->name_len };
        for (uint32_t i = 0; i < t->partition_count; i++, all++) {
            fenced += partition_fenced(t->partitions[i]);
            damaged += partition_damaged(t->partitions[i]);
        }
    }
    snprintf(text, sizeof(text), "%u partitions, %u fenced, %u with damage%s", all, fenced, damaged,
             fenced + damaged ? ": see `runnel topic describe` and the broker's messages" : "");
    health_row(h, "partitions", fenced + damaged ? WIRE_HEALTH_DEGRADED : WIRE_HEALTH_OK, text);
}

enum net_take observe_health(struct session *s, const struct request *rq)
{
    struct api *api = s->api;
    if (reader_left(&rq->body) != 0)
        return api_refuse(s, rq, ERR_REQUEST_INVALID, "HEALTH has no fields");
    uint8_t rows[OBSERVE_HEALTH_BYTES];
    struct health h = { .w = writer_of(rows, sizeof(rows)) };
    char text[160];
    health_producing(&h, api);
    health_partitions(&h, api);
    snprintf(text, sizeof(text), "%llu open, %llu refused, %llu waiting for room",
             (unsigned long long)net_stats(api->net)->connections,
             (unsigned long long)net_stats(api->net)->refused, (unsigned long long)api->stats.parked);
    health_row(&h, "connections", WIRE_HEALTH_OK, text);
    snprintf(text, sizeof(text), "%llu MiB free",
             (unsigned long long)(store_stats(api->store)->disk_free_bytes >> 20));
    health_row(&h, "disk", store_stats(api->store)->disk_full ? WIRE_HEALTH_DEGRADED : WIRE_HEALTH_OK, text);
    struct api_reply r = api_reply_begin(s, 3 + writer_len(&h.w));
    write_u8(&r.w, h.worst);
    write_u16(&r.w, h.count);
    write_raw(&r.w, rows, writer_len(&h.w));
    api_reply_end(s, &r, rq);
    return NET_TAKEN;
}
