/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/out.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/encode.h"

enum { HEADING_BYTES = 64 };

void out_init(struct out *out, enum out_format format, bool header)
{
    *out = (struct out){ .format = format, .header = header, .buffer = cli_alloc(OUT_BUFFER_BYTES) };
    /* fewer turns between us and the next program of the pipe; refused for other files, which is fine */
    (void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, OUT_BUFFER_BYTES);
}

void out_free(struct out *out)
{
    free(out->buffer);
    free(out->cells);
    *out = (struct out){ 0 };
}

static void out_lost(struct out *out)
{
    const int error = errno;

    out->broken = true;
    out->used = 0;
    if (error == EPIPE) {
        if (!out->survive)
            exit(EXIT_DONE);
        return;
    }
    cli_fail(EXIT_FAILED, "standard output", "give it another file or make room", "cannot write: %s",
             strerror(error));
    exit(EXIT_FAILED);
}

void out_flush(struct out *out)
{
    size_t at = 0;

    while (at < out->used && !out->broken) {
        const ssize_t n = write(STDOUT_FILENO, out->buffer + at, out->used - at);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };
            (void)poll(&fd, 1, -1);
        } else if (errno != EINTR) {
            out_lost(out);
        }
    }
    out->used = 0;
}

void out_bytes(struct out *out, const void *at, size_t n)
{
    const char *p = at;

    while (n) {
        const size_t part = n < OUT_ROOM_BYTES ? n : OUT_ROOM_BYTES;
        memcpy(out_room(out, part), p, part);
        out_used(out, part);
        p += part;
        n -= part;
    }
}

void out_string(struct out *out, const char *text)
{
    out_bytes(out, text, strlen(text));
}

void out_format(struct out *out, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    out_string(out, text);
}

/* Encodes in parts that fit the room. */
static void out_encoded(struct out *out, const void *at, size_t len, size_t part_bytes,
                        size_t (*encode)(char *to, const void *at, size_t len))
{
    const char *p = at;

    while (len) {
        const size_t part = len < part_bytes ? len : part_bytes;
        out_used(out, encode(out_room(out, OUT_ROOM_BYTES), p, part));
        p += part;
        len -= part;
    }
}

static_assert(OUT_PART_BYTES * ENCODE_JSON_FACTOR <= OUT_ROOM_BYTES, "an encoded part fits the room");

/* ---- rows ---- */

/* "error_code" stands as ERROR-CODE above its column. */
static const char *out_heading(const struct out_column *column, char *name, size_t size)
{
    size_t n = 0;

    for (const char *c = column->name; *c && n + 1 < size; c++)
        name[n++] = *c == '_' ? '-' : (char)toupper((unsigned char)*c);
    name[n] = '\0';
    return name;
}

void out_rows_begin(struct out *out, const char *name, const struct out_column *columns, size_t count)
{
    out->columns = columns;
    out->column_count = count;
    out->column = 0;
    out->rows = 0;
    out->headed = false;
    out->cells_used = 0;
    if (out->format == OUT_JSON || name) {
        if (out_is_json(out))
            out_json_open(out, name, '[');
    }
}

/* TSV: before the first row, or at the end of none. */
static void out_headings(struct out *out)
{
    char heading[HEADING_BYTES];

    out->headed = true;
    if (out->format != OUT_TSV || !out->header)
        return;
    for (size_t i = 0; i < out->column_count; i++) {
        out_string(out, out_heading(&out->columns[i], heading, sizeof(heading)));
        out_string(out, i + 1 < out->column_count ? "\t" : "\n");
    }
}

static void out_cells_keep(struct out *out, const char *text)
{
    const size_t len = strlen(text);
    const size_t need = out->cells_used + len * ENCODE_CELL_FACTOR + 1;

    if (need > out->cells_size) {
        out->cells_size = need * 2;
        out->cells = cli_realloc(out->cells, out->cells_size);
    }
    out->cells_used += encode_cell(out->cells + out->cells_used, text, len);
    out->cells[out->cells_used++] = '\0';
}

/* Before a cell; true when it is for JSON. */
static bool out_cell_begin(struct out *out)
{
    if (out->column == 0 && out_is_json(out))
        out_json_open(out, NULL, '{');
    else if (!out->headed)
        out_headings(out);
    return out_is_json(out);
}

static void out_cell_end(struct out *out)
{
    const bool last = ++out->column == out->column_count;

    if (out->format == OUT_TSV)
        out_string(out, last ? "\n" : "\t");
    else if (last && out_is_json(out))
        out_json_close(out, '}');
    if (last) {
        out->column = 0;
        out->rows++;
    }
}

static const char *out_column_name(const struct out *out)
{
    return out->columns[out->column].name;
}

void out_cell(struct out *out, const char *text)
{
    if (out_cell_begin(out))
        out_json_text(out, out_column_name(out), text);
    else if (out->format == OUT_TABLE)
        out_cells_keep(out, text ? text : "-");
    else if (text)
        out_encoded(out, text, strlen(text), OUT_PART_BYTES, encode_cell);
    out_cell_end(out);
}

void out_cell_number(struct out *out, int64_t value)
{
    char text[ENCODE_NUMBER_BYTES + 1];

    if (out_cell_begin(out)) {
        out_json_number(out, out_column_name(out), value);
        out_cell_end(out);
        return;
    }
    text[encode_number(text, value)] = '\0';
    out_cell(out, text);
}

void out_cell_time(struct out *out, int64_t ms)
{
    char text[ENCODE_TIME_BYTES];

    if (ms >= 0)
        text[encode_time(text, ms)] = '\0';
    out_cell(out, ms >= 0 ? text : NULL);
}

void out_cell_bool(struct out *out, bool value)
{
    if (!out_cell_begin(out)) {
        out_cell(out, value ? "yes" : "no");
        return;
    }
    out_json_bool(out, out_column_name(out), value);
    out_cell_end(out);
}

/* Characters, not bytes; good enough for alignment. */
static size_t out_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void out_padded(struct out *out, const char *text, size_t width, const struct out_column *column,
                       bool last)
{
    const size_t own = out_width(text), pad = width > own ? width - own : 0;

    if (column->number)
        out_format(out, "%*s", (int)pad, "");
    out_string(out, text);
    if (!column->number && !last)
        out_format(out, "%*s", (int)pad, "");
    out_string(out, last ? "\n" : "  ");
}

static void out_table(struct out *out)
{
    size_t widths[OUT_COLUMNS_MAX];
    const size_t count = out->column_count;
    const char *cell = out->cells;

    for (size_t i = 0; i < count; i++)
        widths[i] = out->header ? strlen(out->columns[i].name) : 0;
    for (uint64_t i = 0; i < out->rows * count; i++) {
        const size_t width = out_width(cell);
        if (width > widths[i % count])
            widths[i % count] = width;
        cell += strlen(cell) + 1;
    }
    for (size_t i = 0; i < count && out->header; i++) {
        char heading[HEADING_BYTES];
        out_padded(out, out_heading(&out->columns[i], heading, sizeof(heading)), widths[i], &out->columns[i],
                   i + 1 == count);
    }
    cell = out->cells;
    for (uint64_t i = 0; i < out->rows * count; i++) {
        out_padded(out, cell, widths[i % count], &out->columns[i % count], (i + 1) % count == 0);
        cell += strlen(cell) + 1;
    }
}

void out_rows_end(struct out *out)
{
    if (!out->headed && !out->failed)
        out_headings(out);
    if (out->format == OUT_TABLE && (out->rows || !out->failed))
        out_table(out);
    else if (out->format == OUT_JSON || out->json_depth)
        out_json_close(out, ']');
}

/* ---- JSON ---- */

/* Comma, line break and name before a value. */
static void out_json_lead(struct out *out, const char *name)
{
    const uint32_t bit = 1u << out->json_depth;

    if (out->json_depth && out->json_members & bit)
        out_string(out, ",");
    /* a row to a line in the array that is the document */
    if (!name && out->json_depth == 1)
        out_string(out, "\n");
    out->json_members |= bit;
    if (name) {
        out_json_string(out, name, strlen(name));
        out_string(out, ":");
    }
}

void out_json_open(struct out *out, const char *name, char bracket)
{
    out_json_lead(out, name);
    out_bytes(out, &bracket, 1);
    out->json_depth++;
    out->json_members &= ~(1u << out->json_depth);
}

void out_json_close(struct out *out, char bracket)
{
    const bool had_rows = out->json_members & 1u << out->json_depth;

    out->json_depth--;
    if (!out->json_depth && bracket == ']' && had_rows)
        out_string(out, "\n");
    out_bytes(out, &bracket, 1);
    if (!out->json_depth)
        out_string(out, "\n");
}

void out_json_string(struct out *out, const void *at, size_t len)
{
    out_literal(out, "\"");
    out_encoded(out, at, len, OUT_PART_BYTES, encode_json);
    out_literal(out, "\"");
}

void out_json_text(struct out *out, const char *name, const char *text)
{
    out_json_lead(out, name);
    if (text)
        out_json_string(out, text, strlen(text));
    else
        out_string(out, "null");
}

void out_json_number(struct out *out, const char *name, int64_t value)
{
    out_json_lead(out, name);
    out_used(out, encode_number(out_room(out, ENCODE_NUMBER_BYTES), value));
}

void out_json_unsigned(struct out *out, const char *name, uint64_t value)
{
    out_json_lead(out, name);
    out_format(out, "%llu", (unsigned long long)value);
}

void out_json_bool(struct out *out, const char *name, bool value)
{
    out_json_lead(out, name);
    out_string(out, value ? "true" : "false");
}

void out_json_time(struct out *out, const char *name, int64_t ms)
{
    char text[ENCODE_TIME_BYTES];

    if (ms >= 0)
        text[encode_time(text, ms)] = '\0';
    out_json_text(out, name, ms >= 0 ? text : NULL);
}

void out_base64(struct out *out, const void *at, size_t len)
{
    out_encoded(out, at, len, OUT_PART_BYTES / 4 * 3, encode_base64);
}

void out_cell_bytes(struct out *out, const void *at, size_t len)
{
    const char *p = at;

    /* a part must not cut a UTF-8 sequence, or its halves would be shown as single bytes */
    while (len > OUT_PART_BYTES) {
        size_t part = OUT_PART_BYTES;
        while (part > OUT_PART_BYTES - 4 && ((unsigned char)p[part] & 0xc0) == 0x80)
            part--;
        out_encoded(out, p, part, part, encode_cell);
        p += part;
        len -= part;
    }
    out_encoded(out, p, len, OUT_PART_BYTES, encode_cell);
}

/* ---- a stream ---- */

void out_items_begin(struct out *out)
{
    out->rows = 0;
    if (out->format == OUT_JSON)
        out_string(out, "[");
}

void out_item(struct out *out)
{
    if (out->format == OUT_JSON)
        out_string(out, out->rows ? ",\n" : "\n");
    out->rows++;
}

void out_item_end(struct out *out)
{
    if (out->format != OUT_JSON)
        out_literal(out, "\n");
}

void out_items_end(struct out *out)
{
    if (out->format == OUT_JSON)
        out_string(out, out->rows ? "\n]\n" : "]\n");
}
