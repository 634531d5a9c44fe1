/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/uri.h: URIs (RFC 3986): taken apart, checked, and references resolved against a base.
 */
#ifndef RUNNEL_PROTO_SCHEMA_URI_H
#define RUNNEL_PROTO_SCHEMA_URI_H

#include "proto/cursor.h"

struct arena;

struct uri {
    struct bytes scheme, authority, path, query, fragment;
    bool has_scheme, has_authority, has_query, has_fragment;
};

struct uri uri_split(struct bytes text);
/* Section 5.2, with the fragment left off; the result lies in the arena (at == NULL: no memory). */
struct bytes uri_resolve(struct arena *arena, struct bytes base, struct bytes reference);
/* Is it an absolute URI by the grammar, ASCII alone? */
bool uri_valid(struct bytes text);
/* IPv4 and IPv6 addresses as in section 3.2.2, without brackets. */
bool ipv4_valid(struct bytes text);
bool ipv6_valid(struct bytes text);

#endif
