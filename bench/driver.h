/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver.h: what the load generator needs of a broker: links that publish and links that consume.
 *
 * A driver turns "these events, to this lane" into its broker's requests, and its broker's answers into
 * acked() and event(). It never waits, never sleeps and keeps no clock of its own: the generator owns the
 * loop. A lane is a (topic, partition) pair, numbered topic * partitions + partition; order is promised and
 * checked within a lane only.
 *
 * Every payload begins with a stamp: when the event was meant to be sent, who sent it, and its number within
 * (producer, lane), so that whoever receives it can tell latency, loss, duplicates and disorder.
 */
#ifndef RUNNEL_BENCH_DRIVER_H
#define RUNNEL_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct link;

enum acks { ACKS_NONE, ACKS_MEMORY, ACKS_DURABLE };
enum from { FROM_END, FROM_START };

/* The broker under test, and what is to be done with it. */
struct target {
    const struct driver *driver;
    const char *url;
    const char *topic; /* names of topics are made from this one */
    uint32_t topics, partitions;
    uint32_t size; /* bytes of a payload */
    enum acks acks;
    bool group;    /* consumers belong to a group and acknowledge every event */
    bool envelope; /* events are published with an envelope (librunnel) */
    bool shared;   /* the group's members compete for events, where the broker knows the difference */
    bool ids;      /* events have ids, */
    bool dedupe;   /* and the broker compares them */
};

static inline uint32_t target_lanes(const struct target *t)
{
    return t->topics * t->partitions;
}

struct stamp {
    uint64_t intended_ns;
    uint64_t sequence;
    uint32_t producer;
    uint32_t lane;
};
enum { PAYLOAD_MIN = sizeof(struct stamp), PAYLOAD_MAX = 1 << 20 };

/* One request's worth of events, all of one lane. */
struct events {
    uint64_t id; /* consecutive on one link: acked() gives it back */
    uint64_t intended_ns;
    uint64_t first_sequence;
    uint32_t producer, lane;
    uint32_t count;
};

/* Writes the stamp of event `i` at the start of its payload. */
static inline void payload_stamp(uint8_t *payload, const struct events *e, uint32_t i)
{
    struct stamp s = { e->intended_ns, e->first_sequence + i, e->producer, e->lane };
    memcpy(payload, &s, sizeof(s));
}

/* Fills a payload's rest with printable bytes that do not compress to nothing. */
void payload_fill(uint8_t *payload, uint32_t size);

/* What links tell the generator. `now_ns`: when the bytes arrived. */
struct sink {
    void (*acked)(struct link *link, uint64_t id, uint64_t now_ns, bool ok);
    void (*event)(struct link *link, const uint8_t *payload, uint32_t len, uint64_t now_ns);
};

/* One connection. Drivers embed it as the first member of their own. */
struct link {
    const struct driver *driver;
    const struct target *target;
    const struct sink *sink;
    void *owner;
    int fd;        /* to be watched; may be level-triggered at any time */
    char why[256]; /* after a failure, and after the broker's first refusal: what it said */
};

enum role {
    ROLE_PRODUCER,
    ROLE_CONSUMER,
    ROLE_COUNTER, /* consumes, but event() may be called once for many events: only bytes matter */
    ROLE_IDLE,    /* greets and stays */
};

struct driver {
    const char *name;
    const char *url;    /* where this broker usually is */
    uint32_t batch_max; /* events that one request can hold; 1: the protocol has no batches */
    bool groups;        /* it can do target->group */
    bool durable;       /* its acknowledgement can mean stable storage */

    /* Makes (or with `remove` deletes) the target's topics. False: `why` (256 bytes). */
    bool (*topics)(const struct target *t, bool remove, char *why);
    /* Connects and greets; consumers also subscribe to every lane, and are set when this returns: what is
     * published afterwards reaches them. NULL: `why`. */
    struct link *(*open)(const struct target *t, enum role role, enum from from, const struct sink *sink,
                         void *owner, char *why);
    void (*close)(struct link *link);
    /* Queues a request. False: not now (buffers full), try again after process(). */
    bool (*publish)(struct link *link, const struct events *e);
    /* Sends what is queued, as far as the socket takes it. False: link->why. */
    bool (*flush)(struct link *link);
    /* The link waits for its descriptor to take more bytes. */
    bool (*pending)(const struct link *link);
    /* Receives what is there and calls the sink. False: link->why. */
    bool (*process)(struct link *link);
};

extern const struct driver driver_runnel, driver_librunnel, driver_redis, driver_nats, driver_kafka;

/* Bytes that an envelope adds to each event of topic number 0. */
uint32_t librunnel_envelope_bytes(const struct target *t);

/* By name; NULL when there is none. */
const struct driver *driver_find(const char *name);
/* "runnel, redis, ..." */
const char *driver_names(void);
/* The name of topic number `topic`. */
void driver_topic_name(const struct target *t, uint32_t topic, char *out, size_t bytes);
/* Says why in link->why, once: the first reason is the one that matters. Returns false. */
bool link_fail(struct link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
