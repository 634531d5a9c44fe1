/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/regex_own.h: between reading an expression and compiling it.
 */
#ifndef RUNNEL_PROTO_SCHEMA_REGEX_OWN_H
#define RUNNEL_PROTO_SCHEMA_REGEX_OWN_H

#include "proto/cursor.h"

/* Writes `text` in PCRE2's words, terminated by nothing. Returns the bytes that takes, also where `room` is
 * less (then what fits is written), or -1 with what is wrong in *why. */
int32_t regex_translate(struct bytes text, uint8_t *out, uint32_t room, const char **why);

#endif
