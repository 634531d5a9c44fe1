/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/kafka.h: the second door into the same log: requests of unmodified Kafka clients.
 *
 *   on_frame -> dispatch: header, table of APIs, layout -> handler --reply--> connection
 *                                                            |  changed something durable
 *                                                            v
 *                                                     FIFO --on_durable--> connection
 *
 * Invariants
 *   A connection's replies leave in the order of its requests. One that takes its time (a long poll) begins
 *   when all before it are answered, and those behind it wait for it, as in Kafka.
 *   Nothing is acknowledged before it is as durable as was asked for.
 *   A request is checked against its layout to the last byte before its handler sees it. What no answer can
 * be given to (lost framing, an unknown key or version, a malformed body) ends the connection with a message.
 * Limits: every field of `struct kafka_options`, and KAFKA_*_MAX in kafka_own.h.
 * Source of the protocol: Apache Kafka, "Kafka protocol guide" and the message definitions of its clients.
 */
#ifndef RUNNEL_KAFKA_KAFKA_H
#define RUNNEL_KAFKA_KAFKA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "net/net.h"

struct clock;
struct groups;
struct kafka;
struct listener_address;
struct store;
struct timers;

struct kafka_options {
    uint32_t request_bytes_max;             /* larger ones end their connection */
    uint32_t produce_bytes_max;             /* of one partition's batch: what one commit takes */
    uint64_t inflight_bytes_max;            /* unanswered requests and their replies, of all connections */
    uint32_t connection_inflight_bytes_max; /* of one */
    bool auto_create;
};

#define KAFKA_STATS(X)                                                                                       \
    X(requests, STAT_COUNTER, "requests of Kafka clients taken")                                             \
    X(closed, STAT_COUNTER, "connections closed because no answer could be given")                           \
    X(errors, STAT_COUNTER, "replies to partitions, topics or requests that name an error")                  \
    X(parks, STAT_COUNTER, "times a request had to wait for room")                                           \
    X(replies_waiting, STAT_GAUGE, "replies waiting for the journal")                                        \
    X(inflight_bytes, STAT_GAUGE, "unanswered requests and waiting replies")

struct kafka_stats {
    KAFKA_STATS(STAT_FIELD)
};

struct kafka *kafka_create(const struct kafka_options *options, struct timers *timers, struct clock *clock);
/* All exist from here on; before the first turn. */
void kafka_attach(struct kafka *kafka, struct store *store, struct net *net, struct groups *groups,
                  const uint8_t broker_id[16]);
void kafka_reload(struct kafka *kafka, const struct kafka_options *options);
/* All connections are closed. */
void kafka_destroy(struct kafka *kafka);

/* The door of one more listener, with the address that its clients are told; lives as long as `kafka`. */
const struct net_door *kafka_door(struct kafka *kafka, const struct listener_address *address);

/* What the store calls (struct store_events). */
void kafka_durable(void *kafka, uint64_t sequence);
void kafka_room(void *kafka);
void kafka_failed(void *kafka);

/* Before the store's end of turn: requests that waited. */
void kafka_turn_begin(struct kafka *kafka);
/* True when the next turn must not sleep. */
bool kafka_busy(const struct kafka *kafka);
/* Refuses what would change something from here on. */
void kafka_drain(struct kafka *kafka);
/* No reply waits for the journal any more. */
bool kafka_drained(const struct kafka *kafka);
/* No job of a worker is running for it. */
bool kafka_idle(const struct kafka *kafka);

void kafka_stats_visit(struct kafka *kafka, stat_visit visit, void *ctx);

#endif
