/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/parse.h: what people write for numbers, durations, times and places in a topic. Pure functions.
 *
 *   duration   250ms, 15s, 1h30m, 7d: digits and unit, repeated; the unit is needed, so that "5" never means
 *              seconds to one person and milliseconds to the next
 *   time       2026-11-21T02:11:37.5Z, 2026-11-21T03:11:37+01:00, 2026-11-21 (midnight UTC), 1763691097500
 *              (Unix milliseconds), now, today, yesterday, -15m (ago)
 *   position   start, end, 42 (an offset), -10 (ten before the end), @TIME, -15m; a time with dashes or a
 * word needs no '@'
 */
#ifndef RUNNEL_CLI_PARSE_H
#define RUNNEL_CLI_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum position_kind { POSITION_START, POSITION_END, POSITION_OFFSET, POSITION_BACK, POSITION_TIME };

struct position {
    enum position_kind kind;
    int64_t value; /* offset, events before the end, or Unix milliseconds */
};

enum { POSITION_TEXT_BYTES = 24 };

/* A whole decimal number from `min` to `max`, nothing else. */
bool parse_number(const char *text, int64_t min, int64_t max, int64_t *out);
bool parse_duration_ms(const char *text, int64_t *out);
bool parse_time_ms(const char *text, int64_t now_ms, int64_t *out);
bool parse_position(const char *text, int64_t now_ms, struct position *out);
/* As the library's option `from` takes it. */
void position_text(const struct position *position, char *out);
/* Turns \n, \t, \r, \0, \\ and \xHH into bytes, in place of a copy as long as `text`. False for another
 * escape.
 */
bool parse_escapes(const char *text, char *out, size_t *len);
/* "0,3,5" into a bit per partition; false when it is no such list or names a partition that does not exist,
 * which goes into *bad (-1: not a list). */
bool parse_partitions(const char *text, int32_t count, bool *chosen, int64_t *bad);
/* How far one word is from another: single letters added, left out, changed, or swapped with their neighbour.
 */
unsigned parse_distance(const char *a, const char *b);

#endif
