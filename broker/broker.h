/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/broker.h: the whole broker: owns the rooms, their order of birth and death, and the loop.
 *
 *   RUNNING --SIGTERM--> DRAINING --acks answered--> CLOSING --all idle--> DONE
 */
#ifndef RUNNEL_BROKER_BROKER_H
#define RUNNEL_BROKER_BROKER_H

#include "config.h"

struct broker;

enum { BROKER_WHY_BYTES = 768 };

/* Exit codes of runneld (docs/operations.md). */
enum broker_exit { BROKER_OK = 0, BROKER_FAILED = 1, BROKER_USAGE = 2, BROKER_NO_RING = 6 };

struct broker_options {
    struct config config;
    /* Reads the configuration again (SIGHUP); false with a sentence in `why` (CONFIG_WHY_BYTES). */
    bool (*reload)(void *ctx, struct config *out, char *why);
    void *reload_ctx;
};

/* Starts everything and says `ready` on stdout. BROKER_OK, or the exit code with a sentence in `why`.
 * Blocking: recovery happens here. */
enum broker_exit broker_create(struct broker **out, const struct broker_options *options, char *why);
/* The loop, until SIGTERM or SIGINT and the end of draining. */
enum broker_exit broker_run(struct broker *b);
void broker_destroy(struct broker *b);

#endif
