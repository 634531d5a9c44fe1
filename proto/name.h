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
/* Does a name match a pattern with '*' (any run of characters) and '?' (one)? */
bool name_matches(struct bytes pattern, struct bytes name);

#endif
