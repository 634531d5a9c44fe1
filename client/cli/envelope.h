/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/envelope.h: the envelope and the headers of what `runnel pub` sends. The library fills the envelope in;
 * options set its fields, and so does a -H with the name of one of its headers. --bare sends none, --profile
 * takes it out of each event's JSON.
 */
#ifndef RUNNEL_CLI_ENVELOPE_H
#define RUNNEL_CLI_ENVELOPE_H

#include "client/cli/cli.h"

enum { ENVELOPE_HEADERS_MAX = 256 /* more on one command line is a mistake */ };

struct envelope {
    runnel_envelope *context; /* NULL: none */
    const char *profile;      /* NULL: events are payloads */
    struct runnel_header headers[ENVELOPE_HEADERS_MAX];
    size_t given, count; /* of the command line; with the event's own behind them */
};

/* 0, or an exit code with the error printed. */
int envelope_init(struct cli *cli, struct envelope *e);
/* Completes an event, whose value may be an envelope in JSON. 0, or a negative code: see
 * runnel_last_error(NULL). */
int envelope_event(struct envelope *e, struct runnel_event *event);
void envelope_free(struct envelope *e);

/* The fields as a command of `sub --exec` finds them: "RUNNEL_EVENT_ID" for event_id; NULL: no such field. */
enum { ENVELOPE_VARIABLE_BYTES = 64 };
const char *envelope_variable(int field, char out[ENVELOPE_VARIABLE_BYTES]);

#endif
