/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/progress.h"

#include <stdio.h>

#include "client/cli/cli.h"

enum { PROGRESS_EVERY_MS = 250 };

void progress_begin(struct progress *p, bool on, const char *what, uint64_t total)
{
    *p = (struct progress){ .on = on, .what = what, .total = total, .start_ms = cli_monotonic_ms() };
    p->shown_ms = p->start_ms;
}

int64_t progress_elapsed_ms(const struct progress *p)
{
    return cli_monotonic_ms() - p->start_ms;
}

uint64_t progress_rate(const struct progress *p, uint64_t done)
{
    const int64_t ms = progress_elapsed_ms(p);

    return done * 1000 / (uint64_t)(ms > 0 ? ms : 1);
}

void progress_update(struct progress *p, uint64_t done)
{
    uint64_t rate;

    if (!p->on || cli_monotonic_ms() - p->shown_ms < PROGRESS_EVERY_MS)
        return;
    p->shown_ms = cli_monotonic_ms();
    p->shown = true;
    rate = progress_rate(p, done);
    fprintf(stderr, "\r\033[K%llu %s", (unsigned long long)done, p->what);
    if (p->total)
        fprintf(stderr, " of %llu", (unsigned long long)p->total);
    fprintf(stderr, ", %llu/s", (unsigned long long)rate);
    if (p->total && rate && done <= p->total) {
        const uint64_t left = (p->total - done) / rate;
        fprintf(stderr, ", %llu:%02llu left", (unsigned long long)(left / 60),
                (unsigned long long)(left % 60));
    }
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    p->shown = false;
}
