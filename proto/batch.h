/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch.h: the record batch, the unit that is sent, stored and delivered: Kafka's RecordBatch,
 * version 2.
 *
 * Integers in a batch are big-endian (it is Kafka's format; everything else of ours is little-endian).
 *
 *    0 i64 base offset, set by the broker
 *    8 i32 batch length
 *   12 i32 leader epoch, set by the broker
 *   16 i8  magic = 2
 *   17 u32 crc: CRC-32C of all from byte 21 on; only an extent's checksum covers bytes 0-16
 *   21 i16 attributes: bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control
 *   23 i32 last offset delta
 *   27 i64 base timestamp (ms)
 *   35 i64 max timestamp (ms)
 *   43 i64 producer id (-1: none)
 *   51 i16 producer epoch
 *   53 i32 base sequence
 *   57 i32 record count
 *   61 records, each: varint length, i8 attributes, varlong timestamp delta, varint offset delta, key, value,
 *      headers
 *
 * "batch length" counts the bytes after itself: a batch takes 12 + batch length bytes.
 * Source of the format: Apache Kafka documentation, "Message format". Pure functions: no I/O, no allocation.
 */
#ifndef RUNNEL_PROTO_BATCH_H
#define RUNNEL_PROTO_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"
#include "proto/errors.h"

enum {
    BATCH_HEADER = 61,
    BATCH_LENGTH_OVERHEAD = 12,
    BATCH_MAGIC = 2,
    BATCH_CODEC_MASK = 0x07,
    BATCH_LOG_APPEND_TIME = 0x08,
    BATCH_TRANSACTIONAL = 0x10,
    BATCH_CONTROL = 0x20,
};

enum batch_codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD };

/* The header, decoded. */
struct batch {
    const uint8_t *at;
    uint32_t bytes; /* in all, header included */
    int64_t base_offset;
    int32_t leader_epoch;
    uint32_t crc;
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms;
    int64_t max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t count;
};

/* Bytes of the batch at `p`, from its length field alone; 0 when fewer than 12 bytes are there, or the length
 * is impossible (< header or > INT32_MAX). */
uint64_t batch_bytes(const void *p, uint64_t available);
/* Decodes the header of a batch that we stored ourselves and whose checksums were checked: no further check
 * but sizes (false). */
bool batch_decode(struct batch *out, const void *p, uint64_t available);
/* Checks a batch that came from outside: length, magic, CRC, count against last offset delta, attributes that
 * a producer may set, and, when it is not compressed, that exactly `count` records fill it with offset deltas
 * 0, 1, 2... ERR_OK or the named error, with a sentence in `why` (128 bytes; NULL: not wanted). More than the
 * batch may be available: compare out->bytes. */
enum error batch_check(struct batch *out, const void *p, uint64_t available, char *why);
/* Writes the fields that the broker owns. */
void batch_set_base_offset(void *p, int64_t base_offset);
void batch_set_leader_epoch(void *p, int32_t epoch);
int64_t batch_base_offset(const void *p);
/* Offset after the last record. */
int64_t batch_end_offset(const void *p);
/* Sets attribute bit and max timestamp for log-append time, and computes the CRC anew. */
void batch_set_append_time(void *p, int64_t append_ms);

/* ---- records ---- */

/* One record; ranges are lent from the batch. key.at / value.at NULL: null. */
struct record {
    int64_t offset;       /* absolute, from the batch's base offset */
    int64_t timestamp_ms; /* absolute */
    struct bytes key, value;
    uint32_t header_count;
    struct bytes headers; /* encoded: iterate with record_header() */
};

struct record_iter {
    struct reader r;
    const struct batch *batch;
    int32_t left;
};

/* Iterates the records of a batch. `records` is the uncompressed record bytes (for CODEC_NONE: batch->at +
 * BATCH_HEADER). */
void record_iter_init(struct record_iter *it, const struct batch *batch, struct bytes records);
/* 1 a record, 0 the end, -1 malformed. */
int record_next(struct record_iter *it, struct record *out);
/* Iterates encoded headers: 1, 0, -1 as above; `at` starts as reader_of(record.headers...). value.at NULL:
 * null. */
int record_header(struct reader *at, struct bytes *name, struct bytes *value);

/* ---- building ---- */

struct header {
    struct bytes name, value; /* value.at NULL: null */
};

/* Builds an uncompressed batch in a caller's buffer. */
struct batch_builder {
    struct writer w;
    int32_t count;
    int64_t base_timestamp_ms, max_timestamp_ms;
};

void batch_build_start(struct batch_builder *b, void *buffer, uint32_t bytes);
/* Adds a record; false when it does not fit (the builder is as before). */
bool batch_build_add(struct batch_builder *b, int64_t timestamp_ms, struct bytes key, struct bytes value,
                     const struct header *headers, uint32_t header_count);
/* Headers that are encoded already, as they stand in a record. */
struct header_block {
    struct bytes encoded;
    uint32_t count;
};
/* The same with such headers in front of the others. */
bool batch_build_add_led(struct batch_builder *b, int64_t timestamp_ms, struct bytes key, struct bytes value,
                         const struct header_block *lead, const struct header *headers,
                         uint32_t header_count);
/* The most bytes that a record takes in a batch; those of a block of headers come on top. */
uint64_t record_bytes_max(struct bytes key, struct bytes value, const struct header *headers,
                          uint32_t header_count);
/* Completes header and CRC; returns the batch's bytes. Producer id -1: none. At least one record. */
uint32_t batch_build_finish(struct batch_builder *b, int64_t producer_id, int16_t producer_epoch,
                            int32_t base_sequence);
/* Writes header and CRC around `records_bytes` bytes of (compressed) records that stand at p + BATCH_HEADER
 * already, taking what else it needs from `like`; returns the batch's bytes. */
uint32_t batch_seal(void *p, const struct batch *like, enum batch_codec codec, uint32_t records_bytes);
/* Takes the records with these numbers (ascending, from 0) out of `batch`'s uncompressed records, in place,
 * and closes the gaps they leave. Counts and the greatest timestamp are set in `batch`, to be sealed. The
 * bytes left; 0: none, or the records are malformed, and then what they are is undefined. */
uint32_t records_without(struct batch *batch, uint8_t *records, uint32_t bytes, const uint32_t *numbers,
                         uint32_t count);
/* Rewrites producer id, epoch and sequence of a complete batch, and its CRC. */
void batch_set_producer(void *p, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence);

#endif
