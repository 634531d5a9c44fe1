/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/progress.h: one line on stderr, written over and over, with count, rate and time left. Only on a
 * terminal.
 */
#ifndef RUNNEL_CLI_PROGRESS_H
#define RUNNEL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool on, shown;
    const char *what; /* "events" */
    uint64_t total;   /* 0: not known */
    int64_t start_ms, shown_ms;
};

void progress_begin(struct progress *p, bool on, const char *what, uint64_t total);
/* Cheap enough for each batch; writes a few times a second. */
void progress_update(struct progress *p, uint64_t done);
/* Takes the line away, so that what is printed next starts on a clean one. */
void progress_end(struct progress *p);
/* Events a second since the beginning. */
uint64_t progress_rate(const struct progress *p, uint64_t done);
int64_t progress_elapsed_ms(const struct progress *p);

#endif
