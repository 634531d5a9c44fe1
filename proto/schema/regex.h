/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/regex.h: regular expressions as JSON Schema means them (ECMA-262, Unicode), run by PCRE2.
 *
 * The two languages differ in what short names mean (\s, \d, $, .) and in what they have beyond the other's.
 * An expression is read by ECMA-262's grammar, which refuses what only PCRE2 knows, and written again in
 * PCRE2's words.
 *
 * Bounds: an expression has REGEX_BYTES_MAX bytes and REGEX_DEPTH_MAX groups in groups. A match is given few
 * steps at first, in proportion to its text; one that needs more, as few do, takes REGEX_STEPS_MANY of its
 * event's budget, and fails by name where that is not enough or not there. So patterns made to explode do
 * not.
 */
#ifndef RUNNEL_PROTO_SCHEMA_REGEX_H
#define RUNNEL_PROTO_SCHEMA_REGEX_H

#include "proto/cursor.h"
#include "proto/schema/arena.h"

enum {
    REGEX_BYTES_MAX = 4096,
    REGEX_DEPTH_MAX = 64,
    REGEX_STEPS_MANY = 100000,
    REGEX_HEAP_KIB = 512, /* for backtracking */
    REGEX_WHY_BYTES = 160,
};

struct regex;         /* compiled, immutable; lives in its arena */
struct regex_matcher; /* what one match at a time needs */

/* By ECMA-262's grammar; nothing is compiled. */
bool regex_valid(struct bytes text);
/* NULL with a sentence: not an expression, or no memory. */
struct regex *regex_compile(struct arena *arena, struct bytes text, char *why);
struct bytes regex_text(const struct regex *regex);

/* NULL: no memory. Keeps what backtracking needed once, at most REGEX_HEAP_KIB. */
struct regex_matcher *regex_matcher_new(const struct schema_memory *memory);
void regex_matcher_free(struct regex_matcher *matcher);
/* Is there a match anywhere in text (UTF-8, checked before)? 1, 0, or -1: it would take too long. Takes steps
 * from *budget. */
int regex_match(const struct regex *regex, struct regex_matcher *matcher, struct bytes text, int64_t *budget);

#endif
