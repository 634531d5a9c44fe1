/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/json.h: JSON walked over where it stands (RFC 8259, UTF-8 only). Nothing is built of it and
 * nothing is allocated; values are lent from the text.
 */
#ifndef RUNNEL_CLIENT_ENVELOPE_JSON_H
#define RUNNEL_CLIENT_ENVELOPE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"

enum { JSON_DEPTH_MAX = 64 /* a bit each; envelopes have three, payloads rarely ten */ };

enum json_kind { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

/* Is the whole text one value, and nothing else? *value is the text without the white space around it, *why
 * what is wrong and *at where: bytes from the beginning. */
bool json_check(struct bytes text, struct bytes *value, const char **why, uint32_t *at);
/* Of a value that json_check() was satisfied with, or one inside of it. */
enum json_kind json_kind(struct bytes value);
const char *json_kind_name(enum json_kind kind);

/* Walks over the members of such an object, or the elements of such an array. */
struct json_walk {
    const uint8_t *at, *end;
    bool object;
};
struct json_walk json_walk(struct bytes container);
/* False at the end. `key` is a string with its quotes; at NULL in an array. */
bool json_next(struct json_walk *walk, struct bytes *key, struct bytes *value);

/* Goes through the characters of a string value. */
struct json_text {
    const uint8_t *at, *end;
};
enum { JSON_TEXT_END = -1, JSON_TEXT_LONE = -2 /* half of a surrogate pair */ };
struct json_text json_text(struct bytes string);
int32_t json_text_next(struct json_text *text);
/* As UTF-8: how many bytes, 1 to 4. */
uint32_t json_utf8(char out[4], int32_t character);
/* What a string says, into `out`; its length, or -1: more than `max` bytes, or half a surrogate pair. */
int64_t json_string(struct bytes string, char *out, uint32_t max);
/* Does a string say this? */
bool json_string_is(struct bytes string, const char *text);

#endif
