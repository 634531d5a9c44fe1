/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/fake_own.h: what the fake broker's files share.
 */
#ifndef RUNNEL_TESTS_FAKE_OWN_H
#define RUNNEL_TESTS_FAKE_OWN_H

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "fake_broker.h"
#include "proto/batch.h"
#include "proto/wire_group.h"

enum { CONNS_MAX = 32, SUBS_MAX = 256, PRODUCERS_MAX = 256, IN_BYTES = 4 << 20 };

struct stored {
    uint8_t *at;
    uint32_t bytes;
    int64_t base, end;
    int64_t producer;
    int32_t sequence;
};

struct log {
    struct stored *items;
    size_t count, size, first;
    int64_t start, end;
};

struct sub {
    bool live;
    uint32_t id, partition;
    int64_t next, credit;
    int end_code; /* end it after its first delivery */
};

struct held {
    uint32_t partition, request;
    struct wire_produced row;
};

struct conn {
    int fd;
    bool greeted, closing;
    uint8_t *in, *out;
    uint32_t in_len, out_from, out_len, out_size;
    uint64_t sent;
    struct sub subs[SUBS_MAX];
    struct held held[64];
    uint32_t held_count;
};

/* ---- groups (fake_group.c) ---- */

enum { MEMBERS_MAX = 8, DEAD_MAX = 256 };
enum event_state { EVENT_NEW, EVENT_OUT, EVENT_DONE };

struct event {
    uint8_t state, member, attempts;
    uint32_t epoch;
};

/* The group in one partition. */
struct fake_gp {
    struct event *events;
    size_t size;
    uint32_t epoch;
    int owner;   /* ordered: index of a member; -1: none */
    bool moving; /* REVOKED was sent to the owner */
};

struct fake_member {
    bool used, live, draining, wants_none;
    char id[16];
    struct conn *conn;
    uint32_t handle, max, out;
    int64_t last[FAKE_PARTITIONS_MAX]; /* base of the last batch sent; -1: none */
};

struct fake_group {
    struct fake_member members[MEMBERS_MAX];
    struct fake_gp gps[FAKE_PARTITIONS_MAX];
    uint32_t generation, restarts;
    char dead[DEAD_MAX][64]; /* messages of dead letters */
    uint32_t dead_count;
};

struct fake_broker {
    struct fake_setup setup;
    struct fake_script script;
    pthread_t thread;
    pthread_mutex_t lock;
    int listener, wake[2];
    bool stop, unlisten, drop;
    char url[160];
    struct sockaddr_storage address;
    socklen_t address_len;
    struct conn conns[CONNS_MAX];
    struct log logs[FAKE_PARTITIONS_MAX];
    int32_t sequences[PRODUCERS_MAX][FAKE_PARTITIONS_MAX]; /* next expected */
    int64_t producers, producers_forgotten;
    int64_t figures[FAKE_FIGURES];
    struct fake_group group;
};

/* ---- fake_broker.c ---- */

void conn_out(struct conn *c, const void *bytes, uint32_t n);
void conn_answer(struct fake_broker *f, struct conn *c, const uint8_t *frame, uint32_t n);
void answer_error(struct fake_broker *f, struct conn *c, const struct wire_header *h, int code,
                  const char *text);
int produce_all(struct fake_broker *f, struct wire_produce body, struct wire_produced *rows);
bool fake_take(atomic_int *counter);

/* Begins and ends an answer of up to 1 KiB in a local buffer. */
#define ANSWER(f, c, h, put)                                                                                 \
    do {                                                                                                     \
        uint8_t buffer_[4096];                                                                               \
        struct writer w = writer_of(buffer_, sizeof(buffer_));                                               \
        uint8_t *frame_ = wire_frame_begin(&w);                                                              \
        put;                                                                                                 \
        uint32_t n_ = wire_frame_end(&w, frame_, (h)->op, WIRE_REPLY, (h)->request_id);                      \
        conn_answer(f, c, buffer_, n_);                                                                      \
    } while (0)

/* ---- fake_group.c ---- */

/* False: not an operation of groups. */
bool group_frame(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body);
/* Delivers; true: something was. */
bool group_serve(struct fake_broker *f, struct conn *c);
void group_conn_closed(struct fake_broker *f, struct conn *c);
void group_free(struct fake_broker *f);

#endif
