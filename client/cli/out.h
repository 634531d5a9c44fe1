/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/out.h: standard output: one large buffer, and rows that come out as an aligned table, as TSV, as one
 * JSON document or as JSON lines.
 *
 * Tables are for people: columns are aligned, so their rows are kept until out_rows_end(). Everything else
 * streams. When the reader of the pipe has gone away (`| head`), the command ends at once with exit code 0,
 * unless `survive` says that its work goes on without an audience.
 */
#ifndef RUNNEL_CLI_OUT_H
#define RUNNEL_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum out_format { OUT_TABLE, OUT_TSV, OUT_JSON, OUT_JSONL };

enum {
    OUT_BUFFER_BYTES = 1 << 20, /* what a pipe takes at most in one go */
    OUT_FLUSH_BYTES = 256 << 10,
    OUT_PART_BYTES = 16 << 10,  /* long texts are encoded in parts of so much; a multiple of 4 */
    OUT_ROOM_BYTES = 128 << 10, /* the most that one out_room() may ask for: a part, encoded */
    OUT_COLUMNS_MAX = 12,
    OUT_DEPTH_MAX = 8,
};

struct out_column {
    const char *name;
    bool number; /* aligned right */
};

struct out {
    enum out_format format;
    bool header, survive;
    bool headed; /* the line with the columns' names is out */
    bool failed; /* no rows because of an error: leave the headings out, too */
    bool broken; /* nobody reads any more */
    char *buffer;
    size_t used;
    /* rows */
    const struct out_column *columns;
    size_t column_count, column;
    uint64_t rows;
    char *cells; /* of a table: texts, terminated, row after row */
    size_t cells_used, cells_size;
    /* JSON: a bit per open container says that it has a member already */
    uint32_t json_members;
    unsigned json_depth;
};

void out_init(struct out *out, enum out_format format, bool header);
void out_free(struct out *out);
/* Hands everything to the reader. */
void out_flush(struct out *out);
/* Room for `n` bytes; say with out_used() how many were written. */
static inline char *out_room(struct out *out, size_t n)
{
    if (out->used >= OUT_FLUSH_BYTES || out->used + n > OUT_BUFFER_BYTES)
        out_flush(out);
    return out->buffer + out->used;
}
static inline void out_used(struct out *out, size_t n)
{
    out->used += n;
}
void out_bytes(struct out *out, const void *at, size_t n);
/* The same for what surely fits the room: inline, because a million events are ten million such pieces. */
static inline void out_short(struct out *out, const char *at, size_t n)
{
    __builtin_memcpy(out_room(out, n), at, n);
    out_used(out, n);
}
void out_string(struct out *out, const char *text);
/* A literal; its length is known when this is compiled. */
#define out_literal(out, text) out_short(out, "" text, sizeof(text) - 1)
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool out_is_json(const struct out *out)
{
    return out->format == OUT_JSON || out->format == OUT_JSONL;
}

/* ---- rows ---- */

/* `name` of the rows in an enclosing JSON object; NULL: they are the whole output. */
void out_rows_begin(struct out *out, const char *name, const struct out_column *columns, size_t count);
void out_cell(struct out *out, const char *text); /* NULL: none */
void out_cell_number(struct out *out, int64_t value);
void out_cell_time(struct out *out, int64_t ms); /* negative: none */
void out_cell_bool(struct out *out, bool value);
void out_rows_end(struct out *out);

/* ---- JSON by hand ---- */

/* `name` NULL: an element of an array, or the document itself. */
void out_json_open(struct out *out, const char *name, char bracket);
void out_json_close(struct out *out, char bracket);
void out_json_text(struct out *out, const char *name, const char *text); /* NULL: null */
void out_json_number(struct out *out, const char *name, int64_t value);
void out_json_unsigned(struct out *out, const char *name, uint64_t value);
void out_json_bool(struct out *out, const char *name, bool value);
void out_json_time(struct out *out, const char *name, int64_t ms); /* negative: null */
/* A JSON string with its quotes; the bytes are UTF-8. */
void out_json_string(struct out *out, const void *at, size_t len);
void out_base64(struct out *out, const void *at, size_t len);
void out_cell_bytes(struct out *out, const void *at, size_t len);

/* ---- a stream of JSON objects ---- */

/* OUT_JSON: elements of one array. Written by hand between out_item() and out_item_end(). */
void out_items_begin(struct out *out);
void out_item(struct out *out);
void out_item_end(struct out *out);
void out_items_end(struct out *out);

#endif
