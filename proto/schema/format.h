/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/format.h: the formats that are checked. Every other name is an annotation, as the
 * specification has it. Source of each grammar: RFC 3339 (date-time), RFC 4122 (uuid), RFC 3986 (uri, ipv6),
 * RFC 2673 section 3.2 (ipv4), RFC 5321 section 4.1.2 (email), ECMA-262 (regex).
 */
#ifndef RUNNEL_PROTO_SCHEMA_FORMAT_H
#define RUNNEL_PROTO_SCHEMA_FORMAT_H

#include "proto/cursor.h"

struct schema_format {
    const char *name;
    bool (*valid)(struct bytes text);
};

/* NULL: not one that is checked. */
const struct schema_format *format_find(struct bytes name);

#endif
