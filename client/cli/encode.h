/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/encode.h: bytes as JSON, base64, table cells and times. Pure functions, fast enough for millions a
 * second.
 *
 * Each function writes at `to` and returns how many bytes; the caller provides room: the factor beside it
 * times the input.
 */
#ifndef RUNNEL_CLI_ENCODE_H
#define RUNNEL_CLI_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENCODE_JSON_FACTOR = 6, /* \u001f */
    ENCODE_CELL_FACTOR = 4, /* \xff */
    ENCODE_TIME_BYTES = 32,
    ENCODE_NUMBER_BYTES = 20,
    JSON_DEPTH_MAX = 200, /* what common parsers take (jq: 256), with room for our own object around it */
};

/* What a payload is shown as. */
enum encode_kind { ENCODE_AS_JSON, ENCODE_AS_UTF8, ENCODE_AS_BASE64 };

bool utf8_valid(const void *at, size_t len);
/* Is it one JSON object or array, with nothing but white space around it? Single numbers, strings and words
 * are taken for text: 12345678901234567890 would not survive being read as a JSON number. *line_breaks: it
 * has line breaks (between tokens; inside of strings JSON forbids them). */
bool json_valid(const void *at, size_t len, bool *line_breaks);
enum encode_kind encode_kind(const void *at, size_t len, bool *line_breaks);

/* The inside of a JSON string. The input is UTF-8, or a part of it cut anywhere. */
size_t encode_json(char *to, const void *at, size_t len);
/* Copies, leaving line breaks out. */
size_t encode_one_line(char *to, const void *at, size_t len);
/* Four characters for each three bytes begun; parts of one text are multiples of three. */
size_t encode_base64(char *to, const void *at, size_t len);
/* For a line of a table: tabs, line breaks, other control characters, backslashes, and bytes that are not
 * UTF-8 are written as \t, \n, \\, \xHH; what a record holds can neither break the table nor command the
 * terminal. */
size_t encode_cell(char *to, const void *at, size_t len);
size_t encode_number(char *to, int64_t value);
/* "2026-11-21T02:11:37.123Z". */
size_t encode_time(char *to, int64_t ms);

#endif
