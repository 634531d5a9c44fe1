/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/envelope.h: the headers of what `runnel pub` sends: -H as given, and --type, --id, --correlation-id and
 * --causation-id as CloudEvents headers (ce_...). When one of these is used, the headers that CloudEvents
 * wants in any case come along: ce_specversion, ce_source, ce_time, and a ce_id (version 7 UUID). A -H of the
 * same name wins.
 */
#ifndef RUNNEL_CLI_ENVELOPE_H
#define RUNNEL_CLI_ENVELOPE_H

#include "client/cli/cli.h"
#include "client/cli/encode.h"

enum {
    ENVELOPE_HEADERS_MAX = 256, /* more on one command line is a mistake */
    UUID_TEXT_BYTES = 37,
};

enum uuid_kind { UUID_NONE, UUID_V4, UUID_V7 };

struct envelope {
    struct runnel_header headers[ENVELOPE_HEADERS_MAX];
    size_t count;
    enum uuid_kind fresh_id; /* each event gets its own */
    struct runnel_header *time;
    char id_text[UUID_TEXT_BYTES], time_text[ENCODE_TIME_BYTES];
    char source_text[320];
};

/* 0, or an exit code with the error printed. */
int envelope_init(struct cli *cli, struct envelope *e);
/* Before each event: a fresh id and the time. */
void envelope_next(struct envelope *e, int64_t now_ms);
/* A random (4) or time-ordered (7) UUID; version 7 ones of one process are in order. */
void uuid_text(enum uuid_kind kind, int64_t now_ms, char out[UUID_TEXT_BYTES]);

#endif
