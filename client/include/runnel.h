/* SPDX-License-Identifier: Apache-2.0
 *
 * runnel.h: librunnel, the client library of the Runnel event broker. The whole public interface.
 *
 * Thin: no threads, no hidden allocation per event, opaque handles. One client is one connection to the
 * broker; producers, consumers and administration share it. Use it in either of two ways:
 *
 *   blocking        calls with a time-out wait inside (runnel_flush, runnel_next, runnel_produce_wait,
 *                   administration);
 *   an event loop   watch runnel_fd() for runnel_events(), at most for runnel_timeout_ms(), and call
 *                   runnel_process().
 *
 * Callbacks run only inside runnel_process() and the blocking calls. A client and what belongs to it is used
 * by one thread at a time. Functions that can fail return 0 (or a count) or a negative RUNNEL_E... code;
 * runnel_last_error() has the sentence. Time-outs are in milliseconds: 0 does not wait, -1 waits for ever.
 *
 * When the connection breaks, the client connects again by itself (exponential back-off with jitter);
 * unacknowledged events are sent again under their old sequence numbers, so none is lost and none is stored
 * twice; consumers go on behind the last event given out; members of groups keep what they work on.
 */
#ifndef RUNNEL_H
#define RUNNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RUNNEL_API __attribute__((visibility("default")))
#else
#define RUNNEL_API
#endif

typedef struct runnel_client runnel_client;
typedef struct runnel_producer runnel_producer;
typedef struct runnel_consumer runnel_consumer;
typedef struct runnel_group runnel_group;
typedef struct runnel_options runnel_options;
typedef struct runnel_envelope runnel_envelope;

/* Version of the library in use, "0.1.0". */
RUNNEL_API const char *runnel_version(void);

/* ---- errors ---- */

/* Error codes are the broker's (docs/error-codes.md) and the library's own (200 and up); functions return
 * them negated. */
struct runnel_error {
    int code;       /* positive; 0: none */
    int retriable;  /* trying the same again can help */
    int fatal;      /* this handle is of no more use: close it */
    char text[256]; /* a sentence */
};

/* The last error of a client, or (client NULL) of this thread's last runnel_connect(). Never NULL; lent until
 * the next call. */
RUNNEL_API const struct runnel_error *runnel_last_error(const runnel_client *client);
/* "TOPIC_NOT_FOUND" for 30 and for -30. */
RUNNEL_API const char *runnel_error_name(int code);
/* What it means; "" for a code that does not exist. */
RUNNEL_API const char *runnel_error_text(int code);
/* What to do about it. */
RUNNEL_API const char *runnel_error_fix(int code);

/* ---- options ---- */

/* A bag of settings, used for client, producer and consumer alike; each handle takes what concerns it and
 * copies it.
 *
 *   client
 *     client.name
 *     connect.timeout.ms (5000)         of one attempt
 *     retry.for.ms (120000)             how long events wait for the broker to come back, or to have room,
 *                                       before they fail; an outage that lasts longer ends the client
 *     request.timeout.ms (30000)        then the connection is taken for broken
 *     reconnect.backoff.ms (20), reconnect.backoff.max.ms (1000)
 *   producer
 *     acks (durable)                    durable | memory | none
 *     idempotent (true)                 false when acks is memory or none
 *     compression (none)                none | lz4 | zstd
 *     batch.bytes (262144)              largest batch; a larger event is a batch by itself
 *     buffer.bytes (16777216)           events not yet acknowledged; then RUNNEL_E_QUEUE_FULL
 *     in.flight (8)                     requests unanswered; idempotent: at most 8 in one partition
 *     linger.us (0)                     how long a batch waits for more events
 *     create (true)                     make a missing topic
 *     partitioner (murmur2)
 *   consumer
 *     from (end)                        end | start | an offset | @ms | -N: N before the end
 *     partitions (all)                  all | "0,3,5"
 *     credit.bytes (4194304)            received ahead of the reader, all partitions together
 *     check.crc (true)                  check each batch's checksum
 *   member of a group (also credit.bytes: of batches out with it; check.crc)
 *     mode (any)                        any | ordered | shared; any: as the group is, ordered when it is new
 *     instance ()                       a name that stays the same when this program restarts: it comes back
 *                                       without a rebalance
 *     max.in.flight (0)                 events out with this member; 0: as the group is set
 *     reset (default)                   default | start | end | error: where partitions without a position
 *                                       begin; default: as the group is set
 */
RUNNEL_API runnel_options *runnel_options_new(void);
RUNNEL_API void runnel_options_free(runnel_options *options);
/* 0, or -RUNNEL_E_ARGUMENT for an unknown name or impossible value (the sentence is in
 * runnel_last_error(NULL)). */
RUNNEL_API int runnel_options_set(runnel_options *options, const char *name, const char *value);

/* Codes that callers branch on; all codes are in docs/error-codes.md. */
enum {
    RUNNEL_E_TOPIC_NOT_FOUND = 30,
    RUNNEL_E_TOPIC_EXISTS = 31,
    RUNNEL_E_BATCH_TOO_LARGE = 52,
    RUNNEL_E_REQUEST_TOO_LARGE = 63,
    RUNNEL_E_OFFSET_OUT_OF_RANGE = 70,
    RUNNEL_E_GROUP_NOT_FOUND = 80,
    RUNNEL_E_STALE_GENERATION = 83,
    RUNNEL_E_EVENT_NOT_LEASED = 84,
    RUNNEL_E_SUBJECT_NOT_FOUND = 107,
    RUNNEL_E_ENVELOPE_FIELD_MISSING = 130,
    RUNNEL_E_ENVELOPE_INVALID = 131,
    RUNNEL_E_NAME_REFUSED = 132,
    RUNNEL_E_TIMEOUT = 200,
    RUNNEL_E_UNREACHABLE = 201,
    RUNNEL_E_QUEUE_FULL = 202,
    RUNNEL_E_ARGUMENT = 203,
    RUNNEL_E_CLOSED = 204
};

/* ---- client ---- */

/* Connects and greets. `url`: "tcp://HOST:PORT", "HOST:PORT", "unix:PATH"; NULL: $RUNNEL_URL, else
 * tcp://127.0.0.1:7411. Blocks up to connect.timeout.ms. NULL on failure: see runnel_last_error(NULL). */
RUNNEL_API runnel_client *runnel_connect(const char *url, const runnel_options *options);
/* Flushes producers for up to `timeout_ms`, closes everything that belongs to the client, frees it. 0, or
 * -RUNNEL_E_TIMEOUT when events were given up (their callbacks have run with that error). NULL is fine. */
RUNNEL_API int runnel_close(runnel_client *client, int timeout_ms);

/* Event loop: descriptor to watch (it changes when the client connects again: ask anew after each
 * runnel_process), poll(2) events wanted, and how long until runnel_process() wants to be called anyway (-1:
 * no need). */
RUNNEL_API int runnel_fd(const runnel_client *client);
RUNNEL_API int runnel_events(const runnel_client *client);
RUNNEL_API int runnel_timeout_ms(const runnel_client *client);
/* Reads, writes and runs callbacks as far as possible without blocking. Number of events handled, or a
 * negative code when the client is of no more use. */
RUNNEL_API int runnel_process(runnel_client *client);
/* Waits up to timeout_ms for something to do, then runnel_process(). */
RUNNEL_API int runnel_wait(runnel_client *client, int timeout_ms);

/* ---- producing ---- */

struct runnel_header {
    const char *name; /* terminated */
    const void *value;
    size_t value_len;
};

/* One event to publish. Zero-initialise it (RUNNEL_EVENT_INIT); everything is copied before runnel_produce()
 * returns. */
struct runnel_event {
    uint32_t struct_size;
    int32_t partition; /* -1: by key, or in turn when there is no key */
    const void *key;   /* NULL: none */
    size_t key_len;
    const void *value; /* NULL: null (a tombstone in compacted topics) */
    size_t value_len;
    const struct runnel_header *headers;
    size_t header_count;
    int64_t timestamp_ms;      /* 0: now */
    runnel_envelope *envelope; /* NULL: none; its headers stand in front of the event's own */
};
#define RUNNEL_EVENT_INIT                                                                                    \
    {                                                                                                        \
        sizeof(struct runnel_event), -1, NULL, 0, NULL, 0, NULL, 0, 0, NULL                                  \
    }

enum runnel_duplicate {
    RUNNEL_DUPLICATE_RETRY = 1, /* by an earlier attempt of the library */
    RUNNEL_DUPLICATE_ID = 2,    /* an event with this id, key and payload (topic setting dedupe.window) */
};

/* What became of one event. */
struct runnel_delivery {
    int error;     /* 0: as acknowledged; or a negative code */
    int duplicate; /* not 0: it had been stored before; partition and offset are the original's */
    int32_t partition;
    int64_t offset; /* -1 unless acknowledged */
    void *opaque;   /* from runnel_produce() */
    const char *error_text;
};
typedef void (*runnel_delivery_cb)(void *ctx, const struct runnel_delivery *delivery);

/* A producer for one topic; asks the broker about it (blocks up to request.timeout.ms). `on_delivery` may be
 * NULL. NULL on failure. */
RUNNEL_API runnel_producer *runnel_producer_new(runnel_client *client, const char *topic,
                                                const runnel_options *options, runnel_delivery_cb on_delivery,
                                                void *ctx);
/* Flushes for up to timeout_ms, frees. */
RUNNEL_API int runnel_producer_close(runnel_producer *producer, int timeout_ms);
RUNNEL_API int32_t runnel_producer_partitions(const runnel_producer *producer);
/* Queues an event; does not block. -RUNNEL_E_QUEUE_FULL: call runnel_wait() and try again. Each event queued
 * gets exactly one delivery report, in order within its partition. Batches grow while earlier ones are in
 * flight, so an idle producer sends at once. */
RUNNEL_API int runnel_produce(runnel_producer *producer, const struct runnel_event *event, void *opaque);
/* Queues one event and waits for its delivery, which is stored in *out (may be NULL; its error_text is lent
 * until the next call) instead of being told to the callback. 0 when acknowledged. -RUNNEL_E_TIMEOUT: still
 * queued, but nobody will be told what became of it. */
RUNNEL_API int runnel_produce_wait(runnel_producer *producer, const struct runnel_event *event,
                                   struct runnel_delivery *out, int timeout_ms);
/* Waits until every event queued has been reported. */
RUNNEL_API int runnel_flush(runnel_producer *producer, int timeout_ms);
/* Events queued and not yet reported. */
RUNNEL_API size_t runnel_queued(const runnel_producer *producer);

/* ---- consuming ---- */

/* One event received; everything is lent until the next call on the same consumer. */
struct runnel_record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    const void *key; /* NULL: none */
    size_t key_len;
    const void *value; /* NULL: null */
    size_t value_len;
    size_t header_count;
    const void *priv; /* for runnel_record_header() */
    size_t priv_len;
};

/* Header number `i` of a record (0-based); 0, or -RUNNEL_E_ARGUMENT past the end. `name` is not terminated.
 */
RUNNEL_API int runnel_record_header(const struct runnel_record *record, size_t i, const char **name,
                                    size_t *name_len, const void **value, size_t *value_len);
/* All of a record's headers in one walk (a header by its number is found by counting from the first): fills
 * at most `max` of them; returns how many were filled, less than that only when the record is malformed. */
struct runnel_record_header {
    const char *name; /* not terminated */
    size_t name_len;
    const void *value; /* NULL: null */
    size_t value_len;
};
RUNNEL_API size_t runnel_record_headers(const struct runnel_record *record, struct runnel_record_header *out,
                                        size_t max);

/* Reads one topic's partitions without a group, live, from where the option `from` says. NULL on failure. */
RUNNEL_API runnel_consumer *runnel_consumer_new(runnel_client *client, const char *topic,
                                                const runnel_options *options);
/* The next event: 1 and *out, 0 when none came within timeout_ms, or a negative code. Order is kept within a
 * partition. A partition that ended for good (topic deleted, damaged batch) is told once, the others go on;
 * when none is left the error is fatal. */
RUNNEL_API int runnel_next(runnel_consumer *consumer, struct runnel_record *out, int timeout_ms);
/* Events that can be had without waiting exist: 1, else 0. */
RUNNEL_API int runnel_ready(const runnel_consumer *consumer);
/* 1 when every partition was read up to where it ended when the consumer began (or, with `now`, up to the
 * latest end that the broker told). */
RUNNEL_API int runnel_at_end(const runnel_consumer *consumer, int now);
/* Where a partition's reading stands: the next offset to be given out, the first and the end offset at the
 * broker when last told. */
RUNNEL_API int runnel_consumer_position(const runnel_consumer *consumer, int32_t partition, int64_t *next,
                                        int64_t *start, int64_t *end);
RUNNEL_API int32_t runnel_consumer_partitions(const runnel_consumer *consumer);
RUNNEL_API void runnel_consumer_close(runnel_consumer *consumer);

/* ---- the envelope: who says what, when, and because of what ---- */

/* An event's envelope is headers: CloudEvents attributes (ce_id, ce_type, ...) and W3C trace context;
 * docs/envelope.md has the table. */
enum runnel_field {
    RUNNEL_FIELD_ID,
    RUNNEL_FIELD_TYPE,
    RUNNEL_FIELD_SOURCE,
    RUNNEL_FIELD_TIME,
    RUNNEL_FIELD_SPECVERSION,
    RUNNEL_FIELD_ENTITY,
    RUNNEL_FIELD_CORRELATION,
    RUNNEL_FIELD_CAUSATION,
    RUNNEL_FIELD_CHAIN,
    RUNNEL_FIELD_ACTOR,
    RUNNEL_FIELD_USER,
    RUNNEL_FIELD_TENANT,
    RUNNEL_FIELD_SESSION,
    RUNNEL_FIELD_PRIORITY,
    RUNNEL_FIELD_VERSION,
    RUNNEL_FIELD_SCHEMA,
    RUNNEL_FIELD_CONTENT_TYPE,
    RUNNEL_FIELD_TRACEPARENT,
    RUNNEL_FIELD_TRACESTATE,
    RUNNEL_FIELD_HOSTNAME,
    RUNNEL_FIELD_NODE,
    RUNNEL_FIELD_KIND,
    RUNNEL_FIELD_PARENT,
    RUNNEL_FIELD_REPLY_TO,
    RUNNEL_FIELD_DEADLINE,
    RUNNEL_FIELD_ORIGINAL_ID,
    RUNNEL_FIELD_DOMAIN,
    RUNNEL_FIELDS /* how many; grows */
};
/* "event_id" for RUNNEL_FIELD_ID; NULL: no such field. */
RUNNEL_API const char *runnel_field_name(int field);
/* The field that a header of this name carries, or -1. */
RUNNEL_API int runnel_field_of_header(const char *name, size_t len);

/* Bytes lent from somewhere, not terminated; at NULL: there is none. */
struct runnel_text {
    const char *at;
    size_t len;
};

/* A context to publish with: put it into struct runnel_event, and every event gets an envelope. It fills in
 * an id (UUID, version 4), the type (the topic's name), the time (the event's), and where the event comes
 * from: service ($RUNNEL_SERVICE, $SERVICE_NAME, or the program's name), instance ($RUNNEL_INSTANCE, or host
 * and process), hostname, node_id ($RUNNEL_NODE_ID, or one that is derived from the machine's id), kind
 * ("runtime"); actor, tenant_id, session_key and user_id from $RUNNEL_ACTOR, $RUNNEL_TENANT, $RUNNEL_SESSION
 * and $RUNNEL_USER. In a command run by `runnel sub --exec`, that command's event is the cause
 * (runnel_envelope_cause). No event costs an allocation. One thread at a time. NULL: no memory. */
RUNNEL_API runnel_envelope *runnel_envelope_new(void);
/* Not while an event that names it is being published. NULL is fine. */
RUNNEL_API void runnel_envelope_free(runnel_envelope *envelope);
/* Sets a field for all events from now on; `name` is the field's or its header's, or "service" or
 * "instance_id", the two parts of source. NULL as `value`: unset, or filled in as above. event_id takes "v4",
 * "v7" (ordered by time), "content" (derived from what the event says: the same event has the same id), or an
 * id; correlation_id also "new". 0, or -RUNNEL_E_ENVELOPE_INVALID (the sentence is in
 * runnel_last_error(NULL)): nothing changed. */
RUNNEL_API int runnel_envelope_set(runnel_envelope *envelope, const char *name, const char *value);
/* What a field is now; at NULL: not set, or filled in for each event. Lent until the next call. */
RUNNEL_API struct runnel_text runnel_envelope_get(const runnel_envelope *envelope, int field);
/* The id of the event that was published last ("": none was). Lent until the next one. */
RUNNEL_API const char *runnel_envelope_id(const runnel_envelope *envelope);

/* What is published from now on is because of this event: causation_id is its event_id; correlation_id is its
 * correlation_id, else its event_id; correlation_chain and trace context are its own. What the program has
 * set counts more. NULL: because of nothing. */
RUNNEL_API void runnel_envelope_cause(runnel_envelope *envelope, const struct runnel_record *record);
/* The same by itself for every event that runnel_group_next() gives out, until the next one. One context for
 * each group; NULL ends it. Closing the group does, too. */
RUNNEL_API void runnel_envelope_follow(runnel_envelope *envelope, runnel_group *group);
/* Begins a flow within the present one: a new correlation_id, the present one goes to the end of
 * correlation_chain (of more than 16 flows within one another, the outermost and the last 15 are named). It
 * lasts until the next cause, or until correlation_id is set. 0, or a negative code. */
RUNNEL_API int runnel_envelope_child_flow(runnel_envelope *envelope);

/* Takes the event out of an envelope in JSON. `profile`: "canonical" (as `runnel read --envelope` prints it),
 * "mesh", "omninode" or "rfc". Its fields count for the next event only until the next call (`json` NULL:
 * takes them back); *event gets value, key, headers, time and the context itself. Lent from `json` and from
 * the context until the next call. 0, or -RUNNEL_E_ENVELOPE_INVALID: runnel_last_error(NULL) names the place
 * ("$.source.service: ..."). */
RUNNEL_API int runnel_envelope_json(runnel_envelope *envelope, const char *profile, const char *json,
                                    size_t len, struct runnel_event *event);

/* The envelope of an event that was received: out[RUNNEL_FIELD_ID] and so on, lent as the record is; `count`
 * is the length of `out` (RUNNEL_FIELDS). How many fields there are. */
RUNNEL_API size_t runnel_record_envelope(const struct runnel_record *record, struct runnel_text *out,
                                         size_t count);

/* ---- consuming in a group ---- */

/* A group shares the events of topics among its members; the broker remembers what is done, delivers again
 * what failed (after a pause, a few times, then it goes to the topic's dead letters), and takes back what a
 * member does not settle within the group's ack.wait. Every event given out is to be settled: acknowledged,
 * refused, or given up. At least once: an event can come again, also to another member, when its settling did
 * not reach the broker. */

/* Names an event that was given out: what it is settled with. A plain value: copy it, keep it. */
struct runnel_lease {
    uint32_t assignment, epoch; /* the library's */
    int64_t offset;
    uint32_t attempt;  /* 1 the first time, 2 after it failed once ... */
    uint32_t key_hash; /* the library's */
};

/* Joins a group, making it if it is missing, with the topics (names, or patterns with '*' and '?') that this
 * member wants. NULL on failure. After a broken connection it comes back by itself, with what is being worked
 * on. */
RUNNEL_API runnel_group *runnel_group_join(runnel_client *client, const char *group,
                                           const char *const *topics, size_t topic_count,
                                           const runnel_options *options);
/* The next event: 1, *out and *lease (may be NULL), 0 when none came within timeout_ms, or a negative code.
 * *out is lent until the next call on the same group; the event is out with this member until it is settled.
 * Call it often, if only with time-out 0: acknowledgements go out here and in runnel_process(). */
RUNNEL_API int runnel_group_next(runnel_group *group, struct runnel_record *out, struct runnel_lease *lease,
                                 int timeout_ms);
/* Events that can be had without waiting may exist: 1, else 0. */
RUNNEL_API int runnel_group_ready(const runnel_group *group);

/* Settling. None of these waits: they are sent together with others (acknowledgements) or at once (the rest),
 * and what the broker refuses of them is told by runnel_group_error(). 0, or -RUNNEL_E_STALE_GENERATION: the
 * event is no longer this member's (settled before, or taken back: it is delivered again). */

/* Done. Again when the connection breaks before the broker answers. */
RUNNEL_API int runnel_ack(runnel_group *group, const struct runnel_lease *lease);
/* This one is done, and every event of its partition that was given out with a lower offset. */
RUNNEL_API int runnel_ack_through(runnel_group *group, const struct runnel_lease *lease);

/* Why an event failed: kept with the dead letter. Zero-initialise it (RUNNEL_FAILURE_INIT); texts may be
 * NULL, and are cut when they are very long. */
struct runnel_failure {
    uint32_t struct_size;
    const char *type;    /* a class of errors, "ValueError": an outage is told from poison by it */
    const char *message; /* a sentence */
    const char *stack;
    int64_t delay_ms; /* before the next attempt; 0: by the group's retry.backoff, -1: none */
};
#define RUNNEL_FAILURE_INIT                                                                                  \
    {                                                                                                        \
        sizeof(struct runnel_failure), NULL, NULL, NULL, 0                                                   \
    }
/* It failed: it is charged an attempt and delivered again, at most retry.max times; then it is a dead letter.
 * In an ordered group what follows it in its partition is withdrawn, and comes after it. `failure` may be
 * NULL. */
RUNNEL_API int runnel_nack(runnel_group *group, const struct runnel_lease *lease,
                           const struct runnel_failure *failure);
/* It will never work: a dead letter at once. */
RUNNEL_API int runnel_term(runnel_group *group, const struct runnel_lease *lease,
                           const struct runnel_failure *failure);
/* Still being worked on: its ack.wait begins anew. (Events not yet given out are looked after.) */
RUNNEL_API int runnel_working(runnel_group *group, const struct runnel_lease *lease);
/* Given back before it was begun: not charged. In an ordered group with all that follows it in its partition.
 */
RUNNEL_API int runnel_release(runnel_group *group, const struct runnel_lease *lease);
/* Is it (still) this member's to settle? 1, or 0. An event that was kept for later may have been withdrawn.
 */
RUNNEL_API int runnel_holds(const runnel_group *group, const struct runnel_lease *lease);

/* Waits until everything settled so far is durable at the broker. 0, or a negative code: also when some of it
 * was refused meanwhile. */
RUNNEL_API int runnel_group_commit(runnel_group *group, int timeout_ms);
/* The last settling that the broker refused, or why the member has ended (fatal); code 0: none. Lent for the
 * group's life. */
RUNNEL_API const struct runnel_error *runnel_group_error(const runnel_group *group);
/* Has each such error told (several at once: the last), inside runnel_process() and calls that wait. */
typedef void (*runnel_group_error_cb)(void *ctx, const struct runnel_error *error);
RUNNEL_API void runnel_group_on_error(runnel_group *group, runnel_group_error_cb on_error, void *ctx);

/* Stops intake: what was not given out is given back for others, runnel_group_next() gives nothing more; what
 * was given out can still be settled. */
RUNNEL_API void runnel_group_stop(runnel_group *group);
/* Stops intake, waits up to timeout_ms until what was settled is durable, leaves, frees. What was given out
 * and not settled is delivered again, not charged. NULL is fine. */
RUNNEL_API int runnel_group_close(runnel_group *group, int timeout_ms);

/* What there is to know without asking the broker. Texts are lent for the group's life. */
RUNNEL_API const char *runnel_group_member_id(const runnel_group *group);
RUNNEL_API const char *runnel_group_mode(const runnel_group *group);    /* "ordered" or "shared" */
RUNNEL_API uint32_t runnel_group_partitions(const runnel_group *group); /* assigned */
RUNNEL_API uint32_t runnel_group_max_in_flight(const runnel_group *group);
RUNNEL_API uint32_t runnel_group_ack_wait_ms(const runnel_group *group);
RUNNEL_API size_t runnel_group_in_flight(const runnel_group *group); /* given out, not settled */

/* What to do with events of a type. */
struct runnel_handler {
    const char *type; /* of the event's header ce_type: a name, or a pattern with '*' and '?'; NULL: any */
    int (*handle)(void *ctx, const struct runnel_record *record);
    void *ctx;
};
/* Calls the first handler that the event's type matches. 1, and what it returned in *result (may be NULL);
 * 0: none matches. */
RUNNEL_API int runnel_dispatch(const struct runnel_handler *handlers, size_t count,
                               const struct runnel_record *record, int *result);

/* An event for one of several topics. */
struct runnel_topic_event {
    const char *topic;
    struct runnel_event event;
};
/* Publishes events, to any topics, and acknowledges what was consumed: entirely or not at all, also through
 * crashes and broken connections. Waits up to timeout_ms. 0: done; `out` (may be NULL) has an entry for each
 * event. A negative code: nothing was done and the events are still out with this member; but
 * -RUNNEL_E_TIMEOUT: the answer was lost: either all of it was done, or the events come again. */
RUNNEL_API int runnel_group_produce(runnel_group *group, const struct runnel_topic_event *events,
                                    size_t event_count, const struct runnel_lease *leases, size_t lease_count,
                                    struct runnel_delivery *out, int timeout_ms);

/* ---- administration (blocking, request.timeout.ms) ---- */

struct runnel_config {
    const char *name, *value; /* value NULL: back to the default */
};

struct runnel_topic_row {
    const char *name;
    uint64_t id;
    uint32_t partitions;
    uint64_t events, bytes;
};

struct runnel_partition_row {
    uint32_t partition;
    int64_t start_offset, end_offset;
    uint64_t bytes;
    uint32_t segments;
    int64_t max_timestamp_ms; /* -1: empty */
    const char *state;        /* "ok", "fenced", "damaged" */
};

struct runnel_config_row {
    const char *name, *value;
    int is_default;
};

/* Does a name follow {namespace}.{domain}.{pattern}.{operation}.{version}? 1, or 0 with a sentence in `why`
 * (`size` bytes; RUNNEL_NAME_WHY_BYTES hold all of it). Asks nobody: which names a broker takes, its
 * naming.policy says. */
enum { RUNNEL_NAME_WHY_BYTES = 192 };
RUNNEL_API int runnel_name_check(const char *name, char *why, size_t size);

/* Everything about a topic; lent until runnel_topic_free(). */
struct runnel_topic {
    const char *name;
    uint64_t id;
    int64_t created_ms;
    size_t config_count, partition_count;
    const struct runnel_config_row *configs;
    const struct runnel_partition_row *partitions;
};

/* partitions 0: the broker's default. 1 when made, 0 when it was there and `if_missing`. */
RUNNEL_API int runnel_topic_create(runnel_client *client, const char *name, uint32_t partitions,
                                   const struct runnel_config *configs, size_t config_count, int if_missing);
RUNNEL_API int runnel_topic_set(runnel_client *client, const char *name, const struct runnel_config *configs,
                                size_t config_count);
RUNNEL_API int runnel_topic_add_partitions(runnel_client *client, const char *name, uint32_t partitions);
RUNNEL_API int runnel_topic_delete(runnel_client *client, const char *name);
/* Calls `each` for every topic whose name matches `pattern` ('*', '?'; NULL: all), sorted; a non-zero return
 * ends it and is returned. */
RUNNEL_API int runnel_topic_list(runnel_client *client, const char *pattern, int internal,
                                 int (*each)(void *ctx, const struct runnel_topic_row *row), void *ctx);
RUNNEL_API int runnel_topic_describe(runnel_client *client, const char *name, struct runnel_topic **out);
RUNNEL_API void runnel_topic_free(struct runnel_topic *topic);

/* What an offset expression stands for: `from` as in the consumer's option. *timestamp_ms is the found
 * event's for @ms, else -1. */
RUNNEL_API int runnel_offset(runnel_client *client, const char *topic, int32_t partition, const char *from,
                             int64_t *offset, int64_t *timestamp_ms);

/* ---- administration of groups (blocking, request.timeout.ms) ---- */

struct runnel_group_row {
    const char *name;
    const char *mode;  /* "ordered", "shared"; "kafka": ordered, its members are Kafka clients */
    const char *state; /* "empty", "stable", "rebalancing", "paused" */
    uint32_t members, partitions;
    uint64_t lag;   /* events not settled */
    int64_t lag_ms; /* since the oldest of them was appended; 0: none, -1: not known */
};

struct runnel_member_row {
    const char *id, *instance, *host; /* instance "": none */
    uint32_t in_flight, partitions;
    const char *state; /* "ok", "detached": without a connection, "silent": let ack.wait run out */
};

struct runnel_offset_range {
    int64_t first, end; /* end: the offset behind the last */
};

struct runnel_group_partition {
    const char *topic;
    uint32_t partition;
    const char *owner;                /* member id; "": none, or shared */
    int64_t position, next;           /* below: settled; below: delivered at least once */
    int64_t start_offset, end_offset; /* of the partition */
    uint64_t lag;
    int64_t lag_ms;
    uint32_t in_flight, items; /* items: events with a history: failed, suspect, redriven */
    const char *pause;         /* why nothing new is delivered: "", "window full", "retry", "alone",
                                  "dead letter", "items full", "breaker" */
    const struct runnel_offset_range *done; /* settled beyond the position, at most 1,000 ranges */
    size_t done_count;
};

/* Everything about a group; lent until runnel_group_info_free(). */
struct runnel_group_info {
    const char *name, *mode, *state;
    uint32_t generation;
    const char *breaker; /* "closed", "open", "half-open", "held open", "held closed" */
    const char *breaker_reason;
    size_t config_count, topic_count, member_count, partition_count;
    const struct runnel_config_row *configs;
    const char *const *topics;
    const struct runnel_member_row *members;
    const struct runnel_group_partition *partitions;
};

/* As runnel_topic_list(). */
RUNNEL_API int runnel_groups_list(runnel_client *client, const char *pattern,
                                  int (*each)(void *ctx, const struct runnel_group_row *row), void *ctx);
RUNNEL_API int runnel_group_describe(runnel_client *client, const char *group,
                                     struct runnel_group_info **out);
RUNNEL_API void runnel_group_info_free(struct runnel_group_info *info);
/* Changes settings. `create`: NULL, or the mode to make the group with when it is missing. */
RUNNEL_API int runnel_group_set(runnel_client *client, const char *group, const char *create,
                                const struct runnel_config *configs, size_t config_count);

struct runnel_seek_row {
    uint32_t partition;
    int64_t from, to;
};
/* Moves a group's position in a topic (partition -1: all): `to` as in the consumer's option `from`, or +N /
 * -N with a leading "shift:": so many events on, or back. `dry`: only tells. `each` may be NULL. */
RUNNEL_API int runnel_group_seek(runnel_client *client, const char *group, const char *topic,
                                 int32_t partition, const char *to, int dry,
                                 void (*each)(void *ctx, const struct runnel_seek_row *row), void *ctx);
/* A place to go on from: the next event to be delivered. */
struct runnel_group_position {
    const char *topic;
    uint32_t partition;
    int64_t position;
};
/* Commits positions without joining, for programs that share out partitions by themselves: all of them or
 * none. The group must exist (runnel_group_set()) and have no members. */
RUNNEL_API int runnel_group_commit_positions(runnel_client *client, const char *group,
                                             const struct runnel_group_position *positions, size_t count);
RUNNEL_API int runnel_group_delete(runnel_client *client, const char *group);
/* order "auto", "open", "closed". */
RUNNEL_API int runnel_group_breaker(runnel_client *client, const char *group, const char *order);
/* Forgets a group's position in a topic (partition -1: all). */
RUNNEL_API int runnel_group_forget(runnel_client *client, const char *group, const char *topic,
                                   int32_t partition);

/* A dead letter, and where it came from. */
struct runnel_dead_letter {
    uint32_t dead_partition;
    int64_t dead_offset;
    const char *group; /* gets the event again; NULL or "": the dead letter is dealt with, that is all */
    const char *topic; /* of the event */
    uint32_t partition;
    int64_t offset;
    int error; /* out: 0, or a negative code (-RUNNEL_E_EVENT_NOT_LEASED: dealt with before) */
};
/* Gives events to the groups where they failed, and settles their dead letters: each both or neither. At most
 * 4,096 at a time. The call fails only as a whole; `error` says what became of each. */
RUNNEL_API int runnel_dlq_redrive(runnel_client *client, const char *dead_topic,
                                  struct runnel_dead_letter *letters, size_t count);
/* Publishes `events` (any topics) and settles the dead letters, all or nothing: when a letter's `error` is
 * not 0, nothing was done, and the call returns it. */
RUNNEL_API int runnel_dlq_republish(runnel_client *client, const char *dead_topic,
                                    struct runnel_dead_letter *letters, size_t count,
                                    const struct runnel_topic_event *events, size_t event_count);

/* Every figure the broker keeps; kind 0 counter, 1 gauge. */
RUNNEL_API int
runnel_stat(runnel_client *client,
            void (*each)(void *ctx, const char *room, const char *name, int kind, uint64_t value), void *ctx);
/* Overall status 0 ok, 1 degraded, 2 failed (or a negative code), and each check. */
RUNNEL_API int runnel_health(runnel_client *client,
                             void (*each)(void *ctx, const char *check, int status, const char *text),
                             void *ctx);
/* Round trip of an empty request, microseconds; or a negative code. */
RUNNEL_API int64_t runnel_ping(runnel_client *client);
/* What the broker said of itself. Lent for the client's life. */
RUNNEL_API const char *runnel_broker_version(const runnel_client *client);

#ifdef __cplusplus
}
#endif

#include "runnel_schema.h"

#endif
