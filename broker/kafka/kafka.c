/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/kafka.c: the room's life, its connections, and waiting: for the journal, for room, for one's turn.
 */
#include "kafka/kafka.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kafka/kafka_own.h"

struct kafka *kafka_create(const struct kafka_options *options, struct timers *timers, struct clock *clock)
{
    struct kafka *kafka = mem_zalloc(MEM_KAFKA, sizeof(*kafka));
    kafka->options = *options;
    kafka->timers = timers;
    kafka->clock = clock;
    replies_init(&kafka->acks, MEM_KAFKA);
    list_init(&kafka->listeners);
    list_init(&kafka->parked);
    list_init(&kafka->resumed);
    return kafka;
}

void kafka_attach(struct kafka *kafka, struct store *store, struct net *net, struct groups *groups,
                  const uint8_t broker_id[16])
{
    kafka->store = store;
    kafka->net = net;
    kafka->groups = groups;
    for (uint32_t i = 0; i < 16; i++)
        snprintf(kafka->cluster_id + i * 2, 3, "%02x", broker_id[i]);
}

void kafka_reload(struct kafka *kafka, const struct kafka_options *options)
{
    const uint32_t request_bytes_max = kafka->options.request_bytes_max; /* the doors have it: it stays */
    kafka->options = *options;
    kafka->options.request_bytes_max = request_bytes_max;
}

void kafka_destroy(struct kafka *kafka)
{
    struct list *node;
    CHECK(kafka_idle(kafka));
    CHECK(list_empty(&kafka->parked) && list_empty(&kafka->resumed));
    while ((node = list_pop(&kafka->listeners)))
        mem_free(MEM_KAFKA, CONTAINER_OF(node, struct kafka_listener, link), sizeof(struct kafka_listener));
    replies_free(&kafka->acks);
    kafka_out_free(&kafka->out);
    mem_free(MEM_KAFKA, kafka, sizeof(*kafka));
}

/* ---- connections ---- */

static void kafka_on_open(void *ctx, struct conn *c)
{
    struct kafka_listener *l = ctx;
    struct kafka_session *s = mem_zalloc(MEM_KAFKA, sizeof(*s));
    s->kafka = l->kafka;
    s->listener = l;
    s->conn = c;
    list_init(&s->park);
    c->user = s;
}

static void kafka_on_closed(void *ctx, struct conn *c)
{
    struct kafka_session *s = c->user;
    (void)ctx;
    list_remove(&s->park);
    kafka_produce_closed(s);
    if (s->call) {
        struct kafka_call *call = s->call;
        s->call = NULL;
        call->session = NULL;
        call->gone(call);
    }
    /* Its replies in the FIFO are dropped when their turn comes: the connection's id finds nobody then. */
    mem_free(MEM_KAFKA, s, sizeof(*s));
    c->user = NULL;
}

static void kafka_on_drained(void *ctx, struct conn *c)
{
    (void)ctx;
    (void)c;
}

static void kafka_on_unlent(void *ctx, const uint8_t *data, uint32_t bytes, void *pin)
{
    const struct kafka_listener *l = ctx;
    struct slice slice = { .data = data, .bytes = bytes, .pin = pin };
    slice_release(l->kafka->store, &slice);
}

const struct net_door *kafka_door(struct kafka *kafka, const struct listener_address *address)
{
    struct kafka_listener *l = mem_zalloc(MEM_KAFKA, sizeof(*l));
    l->kafka = kafka;
    l->port = address->advertised_port;
    memcpy(l->host, address->advertised_host, sizeof(l->host));
    l->door = (struct net_door){ .net = kafka->net,
                                 .framing = &KAFKA_FRAMING,
                                 .frame_bytes_max = kafka->options.request_bytes_max,
                                 .events = { .ctx = l,
                                             .on_open = kafka_on_open,
                                             .on_frame = kafka_on_frame,
                                             .on_drained = kafka_on_drained,
                                             .on_unlent = kafka_on_unlent,
                                             .on_closed = kafka_on_closed } };
    list_append(&kafka->listeners, &l->link);
    return &l->door;
}

/* ---- waiting for the journal ---- */

/* The session of a reply that leaves, its accounts settled; NULL when its connection is gone. */
static struct kafka_session *kafka_settle(struct kafka *kafka, const struct reply *reply)
{
    kafka->stats.replies_waiting--;
    kafka->stats.inflight_bytes -= reply->charge;
    struct conn *c = net_find(kafka->net, reply->conn);
    if (!c)
        return NULL;
    struct kafka_session *s = c->user;
    s->acks_waiting--;
    s->inflight_bytes -= reply->charge;
    if (s->acks_waiting == 0 || s->inflight_bytes <= kafka->options.connection_inflight_bytes_max / 2)
        kafka_wake(s);
    return s;
}

void kafka_durable(void *ctx, uint64_t sequence)
{
    struct kafka *kafka = ctx;
    const struct reply *reply;
    while ((reply = replies_front(&kafka->acks)) && reply->sequence <= sequence) {
        struct kafka_session *s = kafka_settle(kafka, reply);
        if (s)
            conn_write(s->conn, reply->data, reply->bytes);
        replies_drop(&kafka->acks);
    }
}

/* What waits will never be durable for certain: nobody is told that it is, and whoever waits finds its
 * connection closed, which leaves the outcome open. */
void kafka_failed(void *ctx)
{
    struct kafka *kafka = ctx;
    const struct reply *reply;
    kafka->failed = true;
    while ((reply = replies_front(&kafka->acks))) {
        struct kafka_session *s = kafka_settle(kafka, reply);
        if (s)
            conn_close(s->conn);
        replies_drop(&kafka->acks);
    }
}

enum error kafka_admit(const struct kafka *kafka, char *why)
{
    if (kafka->draining) {
        snprintf(why, KAFKA_WHY_BYTES, "the broker is stopping: connect again later");
        return ERR_SHUTTING_DOWN;
    }
    if (kafka->failed) {
        snprintf(why, KAFKA_WHY_BYTES, "%s: %s", error_text(ERR_STORAGE_FAILED),
                 error_fix(ERR_STORAGE_FAILED));
        return ERR_STORAGE_FAILED;
    }
    return ERR_OK;
}

/* ---- waiting for room and for one's turn ---- */

bool kafka_room_for(struct kafka_session *s, enum journal_class class, uint32_t batches, uint32_t bytes)
{
    const struct kafka *kafka = s->kafka;
    /* Whoever came first goes first: a newcomer does not overtake those who wait. */
    if (!kafka->offering && !list_empty(&kafka->parked))
        return false;
    return store_room(kafka->store, class, batches, bytes);
}

enum net_take kafka_park(struct kafka_session *s)
{
    CHECK(!list_linked(&s->park));
    s->kafka->stats.parks++;
    list_append(&s->kafka->parked, &s->park);
    return NET_LATER;
}

void kafka_wake(struct kafka_session *s)
{
    if (s->held && !list_linked(&s->park))
        list_append(&s->kafka->resumed, &s->park);
}

void kafka_room(void *ctx)
{
    ((struct kafka *)ctx)->room = true; /* kafka_turn_begin() looks in every turn: that there is one */
}

void kafka_turn_begin(struct kafka *kafka)
{
    struct list *node;
    struct list resumed;
    list_init(&resumed);
    list_append_all(&resumed, &kafka->resumed);
    while ((node = list_pop(&resumed)))
        conn_resume(CONTAINER_OF(node, struct kafka_session, park)->conn);
    /* One after the other until one finds no room again, and then goes to the end of the row. */
    kafka->offering = true;
    kafka->room = false;
    while ((node = list_pop(&kafka->parked))) {
        conn_resume(CONTAINER_OF(node, struct kafka_session, park)->conn);
        if (list_linked(node))
            break;
    }
    kafka->offering = false;
}

bool kafka_busy(const struct kafka *kafka)
{
    return !list_empty(&kafka->resumed) || (kafka->room && !list_empty(&kafka->parked));
}

/* ---- stopping and figures ---- */

void kafka_drain(struct kafka *kafka)
{
    kafka->draining = true;
}

bool kafka_drained(const struct kafka *kafka)
{
    return kafka->stats.replies_waiting == 0;
}

bool kafka_idle(const struct kafka *kafka)
{
    return kafka->jobs == 0;
}

#define STAT_ROOM "kafka"
void kafka_stats_visit(struct kafka *kafka, stat_visit visit, void *ctx)
{
    const struct kafka_stats *s = &kafka->stats;
    KAFKA_STATS(STAT_VISIT)
}
