/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/record.h: one event as a line of output.
 *
 * JSON: {"topic","partition","offset","timestamp","key","headers","payload","payload_encoding"}.
 * payload_encoding is `json` (an object or array, put in as it is), `utf8` (a string) or `base64` (a string).
 * A null payload is null, `json`. "key_encoding":"base64" follows the key when it is not UTF-8. Headers are
 * an object; the value of a name that comes more than once is an array, one that is not UTF-8 is
 * {"base64":"..."}.
 */
#ifndef RUNNEL_CLI_RECORD_H
#define RUNNEL_CLI_RECORD_H

#include "client/cli/cli.h"

enum {
    RECORD_DELIMITER_BYTES = 64,
    RECORD_TOPIC_BYTES = 256, /* a topic's name has at most 249 */
};

/* A header, and the next one of the same name. */
struct record_header {
    struct runnel_record_header h;
    struct record_header *same; /* NULL: none */
    bool repeated;              /* it is not the first of its name */
};

struct record_writer {
    struct out *out;
    bool raw, headed;
    bool envelope; /* as canonical envelopes */
    char delimiter[RECORD_DELIMITER_BYTES];
    size_t delimiter_len;
    bool many_topics;
    /* the beginning of an event in JSON, made for this topic */
    char head_topic[RECORD_TOPIC_BYTES], head[RECORD_TOPIC_BYTES * 6 + 32];
    size_t head_len;
    struct record_header *headers; /* of the event being written */
    size_t header_size;
    /* the last time written: many events share one */
    int64_t time_ms;
    char time_text[32];
    size_t time_len;
};

/* Takes --raw and --delimiter from the command line. 0, or an exit code with the error printed. */
int record_begin(struct cli *cli, struct record_writer *w, bool many_topics);
void record_write(struct record_writer *w, const struct runnel_record *record);
/* Only the JSON object, where another one holds it. */
void record_object(struct record_writer *w, const struct runnel_record *record);
/* The same as a canonical envelope. */
void record_envelope(struct record_writer *w, const struct runnel_record *record);
/* Parts of both, without their names: `foreign` leaves out the headers that carry the envelope. */
void record_key(struct out *out, const struct runnel_record *record);
void record_headers(struct record_writer *w, const struct runnel_record *record, bool foreign);
void record_payload(struct out *out, const struct runnel_record *record);
void record_text_or_base64(struct out *out, const void *at, size_t len);
/* With `failed`, nothing is written when there was no event. */
void record_end(struct record_writer *w, bool failed);

/* ---- keeping records beyond their loan ---- */

/* A copy, to be freed with free(). */
struct runnel_record *record_copy(const struct runnel_record *record);

#endif
