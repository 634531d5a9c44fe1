/* SPDX-License-Identifier: Apache-2.0
 *
 * api/api.c: sessions, waiting for room, and the phases of a turn.
 */
#include "api/api.h"

#include <string.h>

#include "api/api_own.h"
#include "api/group_own.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"

struct api *api_create(const struct api_options *options, struct timers *timers, struct clock *clock)
{
    struct api *api = mem_zalloc(MEM_API, sizeof(*api));
    api->options = *options;
    api->timers = timers;
    api->clock = clock;
    replies_init(&api->acks, MEM_API);
    list_init(&api->parked);
    list_init(&api->resumed);
    list_init(&api->ready);
    list_init(&api->starved);
    list_init(&api->holding);
    list_init(&api->door.joining);
    list_init(&api->door.changed);
    list_init(&api->door.flows);
    list_init(&api->door.ready);
    list_init(&api->door.blocked);
    list_init(&api->door.holding);
    list_init(&api->door.letters);
    list_init(&api->door.letters_waiting);
    return api;
}

void api_attach(struct api *api, struct store *store, struct net *net, struct groups *groups,
                const struct api_extra *extra, const uint8_t broker_id[16])
{
    memcpy(api->broker_id, broker_id, sizeof(api->broker_id));
    api->store = store;
    api->net = net;
    api->door.groups = groups;
    api->extra = *extra;
}

void api_attach_registry(struct api *api, struct registry *registry)
{
    api->registry = registry;
}

void api_reload(struct api *api, const struct api_options *options)
{
    const struct api_options old = api->options;
    api->options = *options;
    api->options.frame_bytes_max = old.frame_bytes_max; /* told to clients in HELLO: they stay */
    api->options.batch_bytes_max = old.batch_bytes_max;
}

void api_destroy(struct api *api)
{
    CHECK(api_idle(api));
    CHECK(list_empty(&api->parked) && list_empty(&api->resumed));
    CHECK(list_empty(&api->ready) && list_empty(&api->starved));
    group_deliver_free_all(api);
    packer_free(&api->door.packer, false);
    ack_free_all(api);
    mem_free(MEM_API, api->items, api->item_room * sizeof(*api->items));
    mem_free(MEM_API, api->seen, api->seen ? 2 * API_BATCHES_MAX * sizeof(*api->seen) : 0);
    mem_free(MEM_API, api, sizeof(*api));
}

/* ---- sessions ---- */

static void api_on_open(void *ctx, struct conn *c)
{
    struct session *s = mem_zalloc(MEM_API, sizeof(*s));
    s->api = ctx;
    s->conn = c;
    list_init(&s->park);
    for (uint32_t i = 0; i < API_FETCH_ROWS; i++)
        list_init(&s->fetches[i]);
    list_init(&s->history);
    list_init(&s->history_wait);
    list_init(&s->blocked);
    list_init(&s->seats);
    list_init(&s->flows);
    c->user = s;
}

static void api_on_closed(void *ctx, struct conn *c)
{
    struct api *api = ctx;
    struct session *s = c->user;
    if (list_linked(&s->park))
        api->stats.parked--;
    list_remove(&s->park);
    subscribe_session_closed(s);
    group_session_closed(s);
    fetch_session_closed(s);
    reading_session_closed(s);
    topics_session_closed(s);
    /* Its replies in the FIFO are dropped when their turn comes: the connection's id finds nobody then. */
    mem_free(MEM_API, s, sizeof(*s));
    c->user = NULL;
}

static void api_on_drained(void *ctx, struct conn *c)
{
    (void)ctx;
    subscribe_drained(c->user);
    group_deliver_drained(c->user);
}

static void api_on_unlent(void *ctx, const uint8_t *data, uint32_t bytes, void *pin)
{
    struct api *api = ctx;
    reading_unlent(api, data, bytes, pin);
    api->door.retry_blocked = true;
}

struct net_events api_net_events(struct api *api)
{
    return (struct net_events){ .ctx = api,
                                .on_open = api_on_open,
                                .on_frame = api_on_frame,
                                .on_drained = api_on_drained,
                                .on_unlent = api_on_unlent,
                                .on_closed = api_on_closed };
}

/* ---- waiting for room ---- */

bool api_room_for(struct session *s, enum journal_class class, uint32_t batches, uint32_t bytes)
{
    struct api *api = s->api;
    /* Whoever came first goes first: a newcomer does not overtake those who wait, or a stream of small
     * requests could starve a large one for ever. */
    if (!api->offering && !list_empty(&api->parked))
        return false;
    return store_room(api->store, class, batches, bytes);
}

enum net_take api_park(struct session *s)
{
    CHECK(!list_linked(&s->park));
    s->api->stats.parks++;
    s->api->stats.parked++;
    list_append(&s->api->parked, &s->park);
    return NET_LATER;
}

void api_room(void *ctx)
{
    /* api_turn_begin() looks in every turn; this makes sure that there is one. Room often comes in the
     * store's end of turn, when a full group was sent off: those who wait fill the next one while it is being
     * written. */
    ((struct api *)ctx)->room = true;
}

static void api_offer(struct api *api, struct list *node)
{
    struct session *s = CONTAINER_OF(node, struct session, park);
    api->stats.parked--;
    s->waits_own = false;
    conn_resume(s->conn);
}

void api_turn_begin(struct api *api)
{
    struct list *node;
    struct list resumed;
    list_init(&resumed);
    while ((node = list_pop(&api->resumed)))
        list_append(&resumed, node);
    while ((node = list_pop(&resumed)))
        api_offer(api, node);
    /* One after the other until one finds no room. If it got something done it goes to the end of the row,
     * and the next time its successor is first; if not it keeps its place. */
    api->offering = true;
    api->room = false;
    while ((node = list_pop(&api->parked))) {
        const uint64_t requests = api->stats.requests;
        api_offer(api, node);
        if (!list_linked(node))
            continue;
        if (api->stats.requests == requests) {
            list_remove(node);
            list_append(api->parked.next, node);
        }
        break;
    }
    api->offering = false;
}

/* ---- phases ---- */

void api_turn_end(struct api *api)
{
    subscribe_turn_end(api);
    group_tell_changes(api);
    group_deliver_turn_end(api, API_TURN_BYTES);
    group_dead_turn_end(api);
}

bool api_busy(const struct api *api)
{
    return !list_empty(&api->ready) || !list_empty(&api->door.ready) ||
           (api->door.retry_blocked && !list_empty(&api->door.blocked)) || !list_empty(&api->resumed) ||
           (api->room && !list_empty(&api->parked));
}

void api_drain(struct api *api)
{
    api->draining = true;
}

bool api_drained(const struct api *api)
{
    return api->stats.acks_waiting == 0;
}

bool api_idle(const struct api *api)
{
    return api->jobs == 0;
}

const struct api_stats *api_stats(struct api *api)
{
    return &api->stats;
}
