/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/encode.h"
#include "client/cli/parse.h"

int record_begin(struct cli *cli, struct record_writer *w, bool many_topics)
{
    const char *delimiter = args_value(&cli->args, OPT_DELIMITER);
    struct out *out = &cli->out;

    *w = (struct record_writer){ .out = out, .many_topics = many_topics, .time_ms = INT64_MIN };
    w->raw = args_flag(&cli->args, OPT_RAW);
    w->envelope = args_flag(&cli->args, OPT_ENVELOPE);
    if (w->envelope && !out_is_json(out))
        return cli_usage("write -o jsonl --envelope", "--envelope prints JSON");
    if (delimiter && !w->raw)
        return cli_usage("write --raw --delimiter TEXT", "--delimiter needs --raw");
    if (delimiter && strlen(delimiter) > RECORD_DELIMITER_BYTES)
        return cli_usage("use a shorter one", "a delimiter of more than %d bytes", RECORD_DELIMITER_BYTES);
    if (!parse_escapes(delimiter ? delimiter : "\\n", w->delimiter, &w->delimiter_len))
        return cli_usage("write \\n, \\t, \\r, \\0, \\\\ or \\xHH", "unknown escape in '%s'", delimiter);
    if (w->raw && args_value(&cli->args, OPT_OUTPUT))
        return cli_usage("choose one", "--raw has no other format");
    return EXIT_DONE;
}

/* Before the first event, or at the end of none. */
static void record_headings(struct record_writer *w)
{
    struct out *out = w->out;

    w->headed = true;
    if (w->raw)
        return;
    if (out_is_json(out))
        out_items_begin(out);
    else if (out->header && out->format == OUT_TSV)
        out_literal(out, "TOPIC\tPARTITION\tOFFSET\tTIMESTAMP\tKEY\tPAYLOAD\n");
    else if (out->header)
        out_format(out, "%-12s  %-24s  %-12s  %s\n", "POSITION", "TIMESTAMP", "KEY", "PAYLOAD");
}

void record_end(struct record_writer *w, bool failed)
{
    if (!w->headed && !failed)
        record_headings(w);
    if (w->headed && !w->raw && out_is_json(w->out))
        out_items_end(w->out);
    out_flush(w->out);
    free(w->headers);
    w->headers = NULL;
}

/* Makes w->time_text. */
static void record_time(struct record_writer *w, int64_t ms)
{
    if (ms != w->time_ms) {
        w->time_len = encode_time(w->time_text, ms);
        w->time_ms = ms;
    }
}

/* ---- JSON ---- */

void record_text_or_base64(struct out *out, const void *at, size_t len)
{
    if (utf8_valid(at, len)) {
        out_json_string(out, at, len);
        return;
    }
    out_literal(out, "{\"base64\":\"");
    out_base64(out, at, len);
    out_literal(out, "\"}");
}

static void record_header_value(struct out *out, const struct runnel_record_header *h)
{
    if (h->value)
        record_text_or_base64(out, h->value, h->value_len);
    else
        out_literal(out, "null");
}

/* The value, or all values of the name as an array. */
static void record_header_values(struct out *out, const struct record_header *header)
{
    if (!header->same) {
        record_header_value(out, &header->h);
        return;
    }
    for (const char *lead = "["; header; header = header->same, lead = ",") {
        out_string(out, lead);
        record_header_value(out, &header->h);
    }
    out_literal(out, "]");
}

static int header_name_order(const struct runnel_record_header *a, const struct runnel_record_header *b)
{
    const size_t shorter = a->name_len < b->name_len ? a->name_len : b->name_len;
    const int order = memcmp(a->name, b->name, shorter);

    return order ? order : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* By name, then as they came. */
static int header_order(const void *a, const void *b)
{
    const struct record_header *left = *(struct record_header *const *)a,
                               *right = *(struct record_header *const *)b;
    const int order = header_name_order(&left->h, &right->h);

    return order ? order : (left > right) - (left < right);
}

/* Finds those of the same name by sorting: an event may have as many headers as fit its size. */
static void link_same_names(struct record_header *headers, size_t count)
{
    struct record_header **sorted = cli_alloc(count * sizeof(*sorted));

    for (size_t i = 0; i < count; i++)
        sorted[i] = &headers[i];
    qsort(sorted, count, sizeof(*sorted), header_order);
    for (size_t i = 1; i < count; i++) {
        if (header_name_order(&sorted[i - 1]->h, &sorted[i]->h) != 0)
            continue;
        sorted[i - 1]->same = sorted[i];
        sorted[i]->repeated = true;
    }
    free(sorted);
}

/* Into w->headers; how many. */
static size_t record_collect(struct record_writer *w, const struct runnel_record *record)
{
    struct runnel_record_header *all;
    size_t count = record->header_count;

    if (!count)
        return 0;
    if (count > w->header_size) {
        w->header_size = count * 2;
        w->headers = cli_realloc(w->headers, w->header_size * sizeof(*w->headers));
    }
    all = cli_alloc(count * sizeof(*all));
    count = runnel_record_headers(record, all, count);
    for (size_t i = 0; i < count; i++)
        w->headers[i] = (struct record_header){ .h = all[i] };
    free(all);
    if (count > 1)
        link_same_names(w->headers, count);
    return count;
}

void record_headers(struct record_writer *w, const struct runnel_record *record, bool foreign)
{
    const size_t count = record_collect(w, record);
    struct out *out = w->out;
    bool comma = false;

    out_literal(out, "{");
    for (size_t i = 0; i < count; i++) {
        const struct record_header *header = &w->headers[i];
        if (header->repeated || (foreign && runnel_field_of_header(header->h.name, header->h.name_len) >= 0))
            continue;
        if (comma)
            out_literal(out, ",");
        comma = true;
        if (utf8_valid(header->h.name, header->h.name_len)) {
            out_json_string(out, header->h.name, header->h.name_len);
        } else { /* a name that cannot be written otherwise */
            out_literal(out, "\"base64:");
            out_base64(out, header->h.name, header->h.name_len);
            out_literal(out, "\"");
        }
        out_literal(out, ":");
        record_header_values(out, header);
    }
    out_literal(out, "}");
}

void record_key(struct out *out, const struct runnel_record *record)
{
    if (!record->key) {
        out_literal(out, "null");
    } else if (utf8_valid(record->key, record->key_len)) {
        out_json_string(out, record->key, record->key_len);
    } else {
        out_literal(out, "\"");
        out_base64(out, record->key, record->key_len);
        out_literal(out, "\",\"key_encoding\":\"base64\"");
    }
}

static void record_json_payload(struct out *out, const char *at, size_t len, bool line_breaks)
{
    while (line_breaks && len) {
        const size_t part = len < OUT_PART_BYTES ? len : OUT_PART_BYTES;
        out_used(out, encode_one_line(out_room(out, part), at, part));
        at += part;
        len -= part;
    }
    out_bytes(out, at, len);
}

void record_payload(struct out *out, const struct runnel_record *record)
{
    bool line_breaks;

    if (!record->value) {
        out_literal(out, "null,\"payload_encoding\":\"json\"");
        return;
    }
    switch (encode_kind(record->value, record->value_len, &line_breaks)) {
    case ENCODE_AS_JSON:
        record_json_payload(out, record->value, record->value_len, line_breaks);
        out_literal(out, ",\"payload_encoding\":\"json\"");
        break;
    case ENCODE_AS_UTF8:
        out_json_string(out, record->value, record->value_len);
        out_literal(out, ",\"payload_encoding\":\"utf8\"");
        break;
    case ENCODE_AS_BASE64:
        out_literal(out, "\"");
        out_base64(out, record->value, record->value_len);
        out_literal(out, "\",\"payload_encoding\":\"base64\"");
        break;
    }
}

/* Up to the key. The beginning is the same for all events of a topic. */
static void record_json_head(struct record_writer *w, const struct runnel_record *record)
{
    struct out *out = w->out;
    char *at;

    if (strcmp(w->head_topic, record->topic) != 0) {
        snprintf(w->head_topic, sizeof(w->head_topic), "%s", record->topic);
        memcpy(w->head, "{\"topic\":\"", 10);
        w->head_len = 10 + encode_json(w->head + 10, record->topic, strlen(w->head_topic));
        memcpy(w->head + w->head_len, "\",\"partition\":", 14);
        w->head_len += 14;
    }
    at = out_room(out, sizeof(w->head) + 128);
    memcpy(at, w->head, w->head_len);
    at += w->head_len;
    at += encode_number(at, record->partition);
    memcpy(at, ",\"offset\":", 10);
    at += 10;
    at += encode_number(at, record->offset);
    memcpy(at, ",\"timestamp\":\"", 14);
    at += 14;
    record_time(w, record->timestamp_ms);
    memcpy(at, w->time_text, w->time_len);
    at += w->time_len;
    memcpy(at, "\",\"key\":", 8);
    at += 8;
    out_used(out, (size_t)(at - out->buffer) - out->used);
}

void record_object(struct record_writer *w, const struct runnel_record *record)
{
    struct out *out = w->out;

    record_json_head(w, record);
    record_key(out, record);
    out_literal(out, ",\"headers\":");
    record_headers(w, record, false);
    out_literal(out, ",\"payload\":");
    record_payload(out, record);
    out_literal(out, "}");
}

static void record_json(struct record_writer *w, const struct runnel_record *record)
{
    out_item(w->out);
    if (w->envelope)
        record_envelope(w, record);
    else
        record_object(w, record);
    out_item_end(w->out);
}

/* ---- lines for people and for cut(1) ---- */

static void record_tsv(struct record_writer *w, const struct runnel_record *record)
{
    struct out *out = w->out;

    out_string(out, record->topic);
    out_literal(out, "\t");
    out_used(out, encode_number(out_room(out, ENCODE_NUMBER_BYTES), record->partition));
    out_literal(out, "\t");
    out_used(out, encode_number(out_room(out, ENCODE_NUMBER_BYTES), record->offset));
    out_literal(out, "\t");
    record_time(w, record->timestamp_ms);
    out_short(out, w->time_text, w->time_len);
    out_literal(out, "\t");
    out_cell_bytes(out, record->key, record->key_len);
    out_literal(out, "\t");
    out_cell_bytes(out, record->value, record->value_len);
    out_literal(out, "\n");
}

static void record_table(struct record_writer *w, const struct runnel_record *record)
{
    struct out *out = w->out;
    char position[320];
    const size_t shown = record->key_len < 64 ? record->key_len : 64;
    char cell[64 * ENCODE_CELL_FACTOR + 1];

    snprintf(position, sizeof(position), "%s%s%d:%lld", w->many_topics ? record->topic : "",
             w->many_topics ? "/" : "", (int)record->partition, (long long)record->offset);
    out_format(out, "%-12s  ", position);
    record_time(w, record->timestamp_ms);
    out_short(out, w->time_text, w->time_len);
    cell[encode_cell(cell, record->key, shown)] = '\0';
    out_format(out, "  %-12s  ", record->key ? cell : "-");
    out_cell_bytes(out, record->value, record->value_len);
    out_literal(out, "\n");
}

void record_write(struct record_writer *w, const struct runnel_record *record)
{
    if (!w->headed)
        record_headings(w);
    if (w->raw) {
        out_bytes(w->out, record->value, record->value_len);
        out_bytes(w->out, w->delimiter, w->delimiter_len);
    } else if (out_is_json(w->out)) {
        record_json(w, record);
    } else if (w->out->format == OUT_TSV) {
        record_tsv(w, record);
    } else {
        record_table(w, record);
    }
}

struct runnel_record *record_copy(const struct runnel_record *record)
{
    const size_t topic_len = strlen(record->topic) + 1;
    struct runnel_record *copy =
        cli_alloc(sizeof(*copy) + topic_len + record->key_len + record->value_len + record->priv_len);
    char *at = (char *)(copy + 1);

    *copy = *record;
    copy->topic = memcpy(at, record->topic, topic_len);
    at += topic_len;
    if (record->key) {
        copy->key = memcpy(at, record->key, record->key_len);
        at += record->key_len;
    }
    if (record->value) {
        copy->value = memcpy(at, record->value, record->value_len);
        at += record->value_len;
    }
    if (record->priv)
        copy->priv = memcpy(at, record->priv, record->priv_len);
    return copy;
}
