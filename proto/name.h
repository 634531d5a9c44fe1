/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/name.h: what a topic may be called. Kafka's rule: 1 to 249 of letters, digits, '.', '_', '-'; not "."
 * or "..". Names that start with
 * "__" are the broker's own.
 */
#ifndef RUNNEL_PROTO_NAME_H
#define RUNNEL_PROTO_NAME_H

#include <stdbool.h>

#include "proto/cursor.h"

enum { TOPIC_NAME_MAX = 249 };

bool topic_name_valid(struct bytes name);
bool topic_name_internal(struct bytes name);
/* {namespace}.{domain}.{pattern}.{operation}.{version}, where pattern is request, response, event or audit,
 * `audit` may stand for domain and pattern, and version is v1, v2 ...; `.dlq` and `.quarantine` behind it do
 * not count. False, with a sentence in `why` (NAME_WHY_BYTES): which segment is wrong. */
enum { NAME_WHY_BYTES = 192 };
bool name_follows_policy(struct bytes name, char *why);
/* Does a name match a pattern with '*' (any run of characters) and '?' (one)? */
bool name_matches(struct bytes pattern, struct bytes name);

/* The order in which names are kept sorted: that of their bytes. */
int name_compare(struct bytes a, struct bytes b);
/* Where `name` stands among `count` sorted names, the i-th of which is name_at(rows, i); else where it would.
 */
uint32_t name_place(const void *rows, uint32_t count, struct bytes (*name_at)(const void *rows, uint32_t i),
                    struct bytes name, bool *found);

#endif
