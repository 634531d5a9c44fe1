/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/codec.h: reading requests and writing replies in Kafka's two encodings.
 *
 * Everything is big-endian. Before a message became flexible, strings carry an i16 length, bytes and arrays
 * an i32, -1 for null. Since then all of them carry an unsigned varint of the length plus one, 0 for null,
 * and every struct ends with tagged fields. The same functions read and write both: `flexible` says which.
 *
 * Reading: errors are sticky (proto/cursor.h), strings and bytes are lent from the request. A handler reads a
 * body that was held to its layout before (layout.h), so it need not look at `r.bad`.
 * Writing: into memory that grows; beyond KAFKA_REPLY_BYTES_MAX the reply is `bad` and its connection ends.
 */
#ifndef RUNNEL_KAFKA_CODEC_H
#define RUNNEL_KAFKA_CODEC_H

#include "proto/big_endian.h"
#include "proto/cursor.h"

enum { KAFKA_REPLY_BYTES_MAX = 64 * 1024 * 1024 };

struct kafka_in {
    struct reader r;
    int16_t version;
    bool flexible;
};

int8_t kafka_get_i8(struct kafka_in *in);
int16_t kafka_get_i16(struct kafka_in *in);
int32_t kafka_get_i32(struct kafka_in *in);
int64_t kafka_get_i64(struct kafka_in *in);
uint32_t kafka_get_uvarint(struct kafka_in *in);
/* at NULL: null. */
struct bytes kafka_get_string(struct kafka_in *in);
struct bytes kafka_get_bytes(struct kafka_in *in);
/* How many elements follow; -1: null. Never more than there are bytes left. */
int32_t kafka_get_count(struct kafka_in *in);
/* Skips the tagged fields at the end of a struct, if the message is flexible. */
void kafka_get_tags(struct kafka_in *in);
static inline bool kafka_get_bool(struct kafka_in *in)
{
    return kafka_get_i8(in) != 0;
}

struct kafka_out {
    uint8_t *at; /* owned by the room: one for all replies, which are encoded one at a time */
    uint32_t len, cap;
    int16_t version;
    bool flexible;
    bool bad;
};

/* Space for `bytes`, to be filled. Valid until the next call. */
uint8_t *kafka_put_space(struct kafka_out *out, uint32_t bytes);
void kafka_put_i8(struct kafka_out *out, int8_t v);
void kafka_put_i16(struct kafka_out *out, int16_t v);
void kafka_put_i32(struct kafka_out *out, int32_t v);
void kafka_put_i64(struct kafka_out *out, int64_t v);
void kafka_put_uvarint(struct kafka_out *out, uint32_t v);
/* at NULL: null. */
void kafka_put_string(struct kafka_out *out, struct bytes s);
void kafka_put_bytes(struct kafka_out *out, struct bytes b);
/* The length of bytes that are sent behind what is written so far. */
void kafka_put_bytes_length(struct kafka_out *out, uint32_t bytes);
/* -1: null */
void kafka_put_count(struct kafka_out *out, int32_t count);
/* No tagged fields: the end of every struct, if the message is flexible. */
void kafka_put_tags(struct kafka_out *out);
/* A count that is not known yet, of up to `max`; then kafka_put_count_at() with what it was. */
uint32_t kafka_put_count_later(struct kafka_out *out, uint32_t max);
void kafka_put_count_at(struct kafka_out *out, uint32_t mark, uint32_t count);
static inline void kafka_put_bool(struct kafka_out *out, bool v)
{
    kafka_put_i8(out, v);
}
static inline void kafka_put_text(struct kafka_out *out, const char *text)
{
    kafka_put_string(out, bytes_of(text));
}
void kafka_out_free(struct kafka_out *out);

#endif
