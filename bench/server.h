/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/server.h: brokers started for a comparison, each with a directory of its own and a free port.
 *
 * Peers run with their defaults but for what makes a comparison fair or possible: Redis writes its
 * append-only file (the fsync policy is the contender's) and neither snapshots nor rewrites it; NATS has
 * JetStream on. All data is below one directory, on one disk. A server never outlives this process.
 */
#ifndef RUNNEL_BENCH_SERVER_H
#define RUNNEL_BENCH_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "driver.h"

enum server_kind {
    SERVER_NONE, /* this machine's limits stand here */
    SERVER_RUNNEL,
    SERVER_RUNNEL_LATENCY, /* spin.mode always, spin.us 500 */
    SERVER_REDIS_ALWAYS,
    SERVER_REDIS_EVERYSEC,
    SERVER_NATS,
};

struct server {
    enum server_kind kind;
    const struct driver *driver;
    pid_t pid;
    char dir[3072]; /* data; also output.log */
    char url[128];
    double ready_ms; /* from exec until it answered */
};

/* NULL, or why this kind cannot run here. `runneld`: path of the broker. */
const char *server_missing(enum server_kind kind, const char *runneld);
/* Makes a directory below `parent` and starts the server in it. False: `why` (256 bytes); only its log is
 * left. */
bool server_start(struct server *s, enum server_kind kind, const char *runneld, const char *parent,
                  char *why);
/* Starts it again in the same directory, after server_stop(). */
bool server_restart(struct server *s, const char *runneld, char *why);
/* Ends it with `signal`, and waits until it has. */
void server_stop(struct server *s, int signal);
/* Stops it and deletes its directory. */
void server_remove(struct server *s);
/* Bytes below the server's directory. */
double server_disk_mb(const struct server *s);

#endif
