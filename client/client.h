/* SPDX-License-Identifier: Apache-2.0
 *
 * client/client.h: what the files of the library share: the client, its requests, and who is told what.
 *
 *   runnel_client ---- transport            one connection, opened again when it breaks
 *        |--- requests waiting              each embedded in its owner (batch, subscription, call)
 *        |--- producers -- parts -- batches
 *        |--- consumers -- subscriptions
 *        `--- groups -- shares
 *
 * One function reads and writes (client_io), one runs the callbacks (client_report). runnel_produce() may
 * call the first and never the second, so that callbacks run only where the public header says.
 *
 * Invariants
 *   A request stands in `slots` and in `waiting` exactly while its id is not 0.
 *   When the connection breaks, every waiting request is answered with ERR_CLIENT_UNREACHABLE, oldest first,
 *   before anything is sent on the next connection.
 */
#ifndef RUNNEL_CLIENT_CLIENT_H
#define RUNNEL_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/conn/transport.h"
#include "client/include/runnel.h"
#include "client/options.h"
#include "proto/wire.h"

enum {
    /* Requests unanswered on one connection. Two thirds of it are for producers (in.flight is at most 256
     * each); a request that finds no slot is made later. */
    REQUESTS_MAX = 1024,
    /* Of one topic: far more than any broker allows; a bound for what an answer can make us allocate. */
    PARTITIONS_MAX = 1 << 16,
};

/* The object that a member belongs to. */
#define OWNER(type, member, p) ((type *)(void *)((char *)(p)-offsetof(type, member)))

struct request;

/* An answer, lent for the length of the call. `error` ERR_CLIENT_UNREACHABLE: the connection broke before the
 * answer came, or before the request went out. */
struct reply {
    int error;
    struct bytes text;                /* the broker's sentence when `error`, */
    const struct wire_error *refusal; /* and all that it said; NULL: not the broker */
    struct reader body;               /* when not */
};

typedef void (*request_done)(struct runnel_client *c, struct request *r, const struct reply *reply);

struct request {
    TAILQ_ENTRY(request) link;
    request_done done;
    uint32_t id; /* 0: not waiting for an answer */
    uint16_t op;
    int64_t deadline_ms;
};
TAILQ_HEAD(request_list, request);

enum client_state {
    CLIENT_PAUSED,     /* not connected; the next attempt is at `attempt_at_ms` */
    CLIENT_CONNECTING, /* connect() is under way */
    CLIENT_GREETING,   /* HELLO is sent, its answer is awaited */
    CLIENT_READY,      /* requests may be sent */
    CLIENT_FAILED,     /* given up: of no more use */
};

TAILQ_HEAD(producer_list, runnel_producer);
TAILQ_HEAD(consumer_list, runnel_consumer);
TAILQ_HEAD(group_list, runnel_group);

struct runnel_client {
    enum client_state state;
    struct transport transport;
    struct options options;
    struct address_list addresses;
    uint32_t address_next; /* which one the next attempt takes */
    char url[256];

    /* Connection life. `epoch` counts connections: what was lent on an earlier one carries an older number.
     */
    uint32_t epoch;
    uint32_t attempts; /* since the last connection that was ready */
    uint32_t rounds;   /* times that every address was tried in vain */
    int last_break;    /* code that the last connection ended with */
    int64_t attempt_at_ms;
    int64_t connect_deadline_ms; /* of the attempt under way */
    int64_t ready_since_ms;
    int64_t down_since_ms; /* -1 while ready */
    bool greeted;          /* was ready at least once */
    uint64_t random;

    /* Told by the broker. */
    uint32_t frame_bytes_max, batch_bytes_max, inflight_bytes_max;
    char broker_version[64];

    /* Requests. */
    struct request hello;
    struct request *slots[REQUESTS_MAX];
    uint32_t slot_free[REQUESTS_MAX];
    uint32_t slot_free_count;
    uint32_t request_serial;
    uint32_t cancelled; /* requests whose answer is still to come and wanted by nobody */
    struct request_list waiting;
    uint64_t inflight_bytes; /* produced, unanswered */

    struct producer_list producers;
    struct consumer_list consumers;
    struct group_list groups;
    uint32_t group_serial;
    struct subscription **subs; /* by the low bits of their id */
    uint32_t subs_size, sub_serial, sub_hint;

    struct runnel_error error;
    bool in_callback; /* blocking calls are refused */
    int handled;      /* events handled since runnel_process() began */
};

/* ---- error.c ---- */

/* Sets the client's last error (c NULL: the thread's), returns -code. */
int client_error(struct runnel_client *c, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* From a refusal: the broker's sentence, or the table's when it sent none. */
int client_refused(struct runnel_client *c, const struct reply *reply);
/* Copies the client's error to the thread's, for handles that could not be made. */
void client_error_to_thread(const struct runnel_client *c);

/* ---- client.c ---- */

int64_t client_now_ms(void); /* monotonic */
/* Reads, writes and advances everything once, without blocking and without callbacks. */
void client_io(struct runnel_client *c);
/* Sends what is queued, as far as it goes. */
void client_write(struct runnel_client *c);
/* Runs the callbacks that are due; how many. */
int client_report(struct runnel_client *c);
/* Processes until `until(ctx)` is true (0), the time is up (-ERR_CLIENT_TIMEOUT) or the client has failed
 * (negative code). */
int client_wait_until(struct runnel_client *c, int64_t deadline_ms, bool (*until)(void *ctx), void *ctx);
/* Processes until `step(ctx)` gives something (not 0), which is given back, or `timeout_ms` have passed (0).
 */
int client_next(struct runnel_client *c, int timeout_ms, int (*step)(void *ctx), void *ctx);
/* Sleeps until there is something to read, write or do, at most until the deadline. */
void client_poll(struct runnel_client *c, int64_t deadline_ms);
int64_t client_deadline(int64_t now_ms, int timeout_ms); /* INT64_MAX for -1 */
/* Breaks the connection: everything waiting is answered, and connecting begins anew. */
void client_break(struct runnel_client *c, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 0, or the error when blocking calls cannot be made now. */
int client_may_block(struct runnel_client *c);
uint64_t client_random(struct runnel_client *c);
/* Back-off with jitter before attempt number `attempt` (0: the first again). */
int64_t client_backoff_ms(struct runnel_client *c, uint32_t attempt);

/* ---- request.c ---- */

void requests_init(struct runnel_client *c);
/* Takes an id for a request; 0 when all are in use. */
uint32_t request_begin(struct runnel_client *c, struct request *r, uint16_t op, request_done done);
/* Forgets it: a later answer is ignored. */
void request_cancel(struct runnel_client *c, struct request *r);
/* A frame that is an answer; false: it answers nothing that was asked. */
bool request_answer(struct runnel_client *c, const struct wire_header *h, struct reader body);
void requests_break(struct runnel_client *c);
/* When the oldest waiting request's time is up; INT64_MAX when none waits. */
int64_t requests_deadline_ms(const struct runnel_client *c);

/* Starts a control frame of at most `body_max` bytes of body; false when there is no room. Finish with
 * request_send(). */
bool request_frame(struct runnel_client *c, struct writer *w, uint8_t **frame, uint32_t body_max);
/* Queues the frame under a request (NULL: an operation without reply) and id. */
bool request_send(struct runnel_client *c, struct writer *w, uint8_t *frame, uint16_t op, uint32_t id);

/* For requests of groups whose answers nobody waits for: a number of one's own, and the id to send with it.
 * Such answers come to group_answer(). */
uint32_t request_index_next(struct runnel_client *c);
uint32_t request_id_unwaited(uint32_t index);

/* A blocking call: `again`: sent again when the connection breaks (it changes nothing at the broker). On 0
 * *reply is the body, to be freed by the caller. */
int request_call(struct runnel_client *c, uint16_t op, struct bytes body, bool again, uint8_t **reply,
                 uint32_t *reply_len);
int request_call_until(struct runnel_client *c, uint16_t op, struct bytes body, bool again,
                       int64_t deadline_ms, uint8_t **reply, uint32_t *reply_len);

/* ---- producer.c, produce.c, consumer.c, group/ ---- */

/* A program built with an older runnel.h has no such field in its events. */
enum { EVENT_BYTES_MIN = offsetof(struct runnel_event, envelope) };
static inline struct runnel_envelope *event_envelope(const struct runnel_event *e)
{
    return e->struct_size >= sizeof(*e) ? e->envelope : NULL;
}

struct runnel_producer *producer_next(const struct runnel_producer *p);
struct runnel_consumer *consumer_next(const struct runnel_consumer *k);
/* The transport's callbacks. */
void producer_sent(void *client, struct outgoing *o);
void consumers_retire(struct runnel_client *c, struct block *b);
void groups_retire(struct runnel_client *c, struct block *b);

void producer_connected(struct runnel_producer *p);
void producer_advance(struct runnel_producer *p, int64_t now_ms);
void producer_broken(struct runnel_producer *p);
void producer_fail(struct runnel_producer *p, int code, const char *text);
int64_t producer_due_ms(const struct runnel_producer *p);
int producer_report(struct runnel_producer *p);
bool producer_reports_due(const struct runnel_producer *p);

void consumer_connected(struct runnel_consumer *k);
void consumer_advance(struct runnel_consumer *k, int64_t now_ms);
void consumer_broken(struct runnel_consumer *k);
int64_t consumer_due_ms(const struct runnel_consumer *k);
/* DELIVER and SUB_END; false: malformed. */
bool consumer_push(struct runnel_client *c, const struct wire_header *h, struct reader body);

struct runnel_group *group_next(const struct runnel_group *g);
void group_connected(struct runnel_group *g);
void group_advance(struct runnel_group *g, int64_t now_ms);
void group_broken(struct runnel_group *g);
int64_t group_due_ms(const struct runnel_group *g);
bool group_reports_due(const struct runnel_group *g);
int group_report(struct runnel_group *g);
/* GROUP_ASSIGN, GROUP_DELIVER and GROUP_END; false: malformed. */
bool group_push(struct runnel_client *c, const struct wire_header *h, struct reader body);
void group_answer(struct runnel_client *c, uint32_t index, uint16_t op, const struct reply *reply);

#endif
