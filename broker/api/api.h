/* SPDX-License-Identifier: Apache-2.0
 *
 * api/api.h: the native protocol's meaning: from a frame to the store and back to a reply.
 *
 * A request is decoded once and answered once. What changes something durable is answered when the journal
 * says so: its encoded reply waits in one FIFO (ack.c). What reads is answered from memory, or by a job that
 * reads segments. Deliveries to subscriptions happen in api_turn_end(), slices in turn.
 *
 *   on_frame -> dispatch -> produce  --> ack FIFO --on_durable--> connection
 *                        -> fetch, subscribe <--wake-- partition, history
 *                        -> topics   --> ack FIFO
 *                        -> observe
 *
 * Invariants
 *   Replies to PRODUCE leave in the order of their requests, refusals included.
 *   Nothing is acknowledged as durable before on_durable() of its sequence.
 *   A frame that cannot be taken now (no room in the journal, limits in flight) is not taken apart: its
 *   connection waits, and the frame is offered again, first come first served.
 * Limits: every field of `struct api_options`.
 */
#ifndef RUNNEL_API_API_H
#define RUNNEL_API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "net/net.h"

struct api;
struct clock;
struct groups;
struct groups_events;
struct registry;
struct store;
struct timers;

struct api_options {
    uint32_t frame_bytes_max;
    uint32_t batch_bytes_max;
    uint64_t inflight_bytes_max;            /* unanswered produce requests of all connections */
    uint32_t connection_inflight_bytes_max; /* of one */
    uint32_t connection_topics_max;
    uint32_t connection_subscriptions_max;
    uint32_t connection_fetches_max;
    uint32_t connection_members_max; /* members of consumer groups on one connection */
    uint64_t history_bytes_max;      /* memory for reads from segments */
    bool auto_create;
};

/* Rooms that the api does not know are shown in STAT through this. */
struct api_extra {
    void *ctx;
    void (*stats)(void *ctx, stat_visit visit, void *visit_ctx);
};

#define API_STATS(X)                                                                                         \
    X(requests, STAT_COUNTER, "requests taken")                                                              \
    X(refused, STAT_COUNTER, "requests answered with an error")                                              \
    X(produces, STAT_COUNTER, "PRODUCE requests published")                                                  \
    X(fetches, STAT_COUNTER, "FETCH requests answered")                                                      \
    X(deliveries, STAT_COUNTER, "DELIVER frames")                                                            \
    X(bytes_delivered, STAT_COUNTER, "bytes of batches given to readers")                                    \
    X(history_deliveries, STAT_COUNTER, "of them, read from segments")                                       \
    X(parks, STAT_COUNTER, "times a request had to wait for room")                                           \
    X(parked, STAT_GAUGE, "connections whose request waits for room")                                        \
    X(subscriptions, STAT_GAUGE, "subscriptions")                                                            \
    X(polls, STAT_GAUGE, "FETCH requests waiting")                                                           \
    X(handles, STAT_GAUGE, "topics open on connections")                                                     \
    X(acks_waiting, STAT_GAUGE, "replies waiting for the journal")                                           \
    X(inflight_bytes, STAT_GAUGE, "unanswered produce requests")

struct api_stats {
    API_STATS(STAT_FIELD)
};

struct api *api_create(const struct api_options *options, struct timers *timers, struct clock *clock);
/* All exist from here on; before the first turn. */
void api_attach(struct api *api, struct store *store, struct net *net, struct groups *groups,
                const struct api_extra *extra, const uint8_t broker_id[16]);
/* The registry of schemas, before the first turn, too. */
void api_attach_registry(struct api *api, struct registry *registry);
void api_reload(struct api *api, const struct api_options *options);
/* All connections are closed, and no read is running (api_idle()). */
void api_destroy(struct api *api);

/* What net calls. */
struct net_events api_net_events(struct api *api);
/* What the coordinator of consumer groups calls. */
struct groups_events api_groups_events(struct api *api);
/* What the store calls (struct store_events). */
void api_durable(void *api, uint64_t sequence);
void api_room(void *api);
void api_failed(void *api, const char *text);

/* Before the store's end of turn: requests that waited for room. */
void api_turn_begin(struct api *api);
/* After it: deliveries. */
void api_turn_end(struct api *api);
/* True when the next turn must not sleep. */
bool api_busy(const struct api *api);

/* Refuses what would change something from here on. */
void api_drain(struct api *api);
/* No reply waits for the journal any more. */
bool api_drained(const struct api *api);
/* No read of segments is running. */
bool api_idle(const struct api *api);

const struct api_stats *api_stats(struct api *api);

#endif
