/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/json_own.h: what the files of this room share about text.
 */
#ifndef RUNNEL_PROTO_SCHEMA_JSON_OWN_H
#define RUNNEL_PROTO_SCHEMA_JSON_OWN_H

#include <stdint.h>

/* One character as UTF-8; returns its bytes, at most 4. */
uint32_t utf8_put(uint8_t *out, uint32_t c);

#endif
