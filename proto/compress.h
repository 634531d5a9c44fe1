/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/compress.h: compressed records. Sent: lz4 (frame format) and zstd. Read: also gzip and snappy (raw,
 * and framed as Java's library does it), because Kafka clients write into the same topics. The one part of
 * proto that keeps memory: the codecs need some, and it is used from one batch to the next.
 */
#ifndef RUNNEL_PROTO_COMPRESS_H
#define RUNNEL_PROTO_COMPRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"

/* What one batch may unpack to: 64 times the largest batch that a broker takes by default; more is an attack
 * or damage. */
enum { UNPACKED_BYTES_MAX = 256 << 20 };

/* Memory that stays from one batch to the next. Zero-initialise. */
struct packer {
    uint8_t *bytes;
    uint32_t size;
    void *zstd; /* ZSTD_CCtx or ZSTD_DCtx */
    void *lz4;  /* LZ4F_dctx */
};

/* Compresses into p->bytes: the length, or 0 when it would not get smaller (or memory lacks). */
uint32_t pack(struct packer *p, enum batch_codec codec, struct bytes from);
/* Decompresses into p->bytes. On false a sentence is in `why` (128 bytes). */
bool unpack(struct packer *p, enum batch_codec codec, struct bytes from, struct bytes *out, char *why);
/* `sender`: it was used with pack(). */
void packer_free(struct packer *p, bool sender);

#endif
