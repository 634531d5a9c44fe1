/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/report.h: results as lines for people or as JSON for programs.
 */
#ifndef RUNNEL_BENCH_REPORT_H
#define RUNNEL_BENCH_REPORT_H

#include <stdbool.h>

#include "limits.h"
#include "load.h"

void report_limits(const struct limits *l, bool json);
/* One run. `name`: what was run, in the table. */
void report_load(const char *name, const struct load_result *r, uint32_t size, bool json);
/* The same as one JSON object without a line end, with `extra` ("\"partitions\":10," or "") in front. */
void report_load_json(const char *extra, const struct load_result *r, uint32_t size);

#endif
