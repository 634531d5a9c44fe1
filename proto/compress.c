/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/compress.c: see compress.h. Everything that is unpacked came from the network: each library's answer
 * is checked, and no length from the input is believed beyond UNPACKED_BYTES_MAX.
 */
#include "proto/compress.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static bool packer_room(struct packer *p, uint64_t bytes)
{
    if (bytes <= p->size)
        return true;
    if (bytes > UNPACKED_BYTES_MAX)
        return false;
    uint64_t size = p->size ? p->size : 64 << 10;
    while (size < bytes)
        size *= 2;
    uint8_t *grown = realloc(p->bytes, size);
    if (!grown)
        return false;
    p->bytes = grown;
    p->size = (uint32_t)size;
    return true;
}

void packer_free(struct packer *p, bool sender)
{
    free(p->bytes);
    if (sender)
        ZSTD_freeCCtx(p->zstd);
    else
        ZSTD_freeDCtx(p->zstd);
    LZ4F_freeDecompressionContext(p->lz4);
    *p = (struct packer){ 0 };
}

/* ---- sending ---- */

uint32_t pack(struct packer *p, enum batch_codec codec, struct bytes from)
{
    size_t n = 0;
    if (codec == CODEC_ZSTD) {
        if (!p->zstd)
            p->zstd = ZSTD_createCCtx();
        if (!p->zstd || !packer_room(p, ZSTD_compressBound(from.len)))
            return 0;
        n = ZSTD_compressCCtx(p->zstd, p->bytes, p->size, from.at, from.len, 1);
        if (ZSTD_isError(n))
            return 0;
    } else if (codec == CODEC_LZ4) {
        /* Kafka's readers want independent blocks. */
        LZ4F_preferences_t how = { .frameInfo = { .blockMode = LZ4F_blockIndependent } };
        if (!packer_room(p, LZ4F_compressFrameBound(from.len, &how)))
            return 0;
        n = LZ4F_compressFrame(p->bytes, p->size, from.at, from.len, &how);
        if (LZ4F_isError(n))
            return 0;
    }
    return n < from.len ? (uint32_t)n : 0;
}

/* ---- reading ---- */

static bool refuse(char *why, const char *codec, const char *what)
{
    snprintf(why, 128, "the batch says that it is packed with %s, but %s", codec, what);
    return false;
}

static const char too_large[] = "it unpacks to more than the client takes (256 MiB)";
static const char damaged[] = "its bytes are damaged";

static bool unpack_zstd(struct packer *p, struct bytes from, struct bytes *out, char *why)
{
    if (!p->zstd)
        p->zstd = ZSTD_createDCtx();
    if (!p->zstd)
        return refuse(why, "zstd", "memory lacks");
    ZSTD_DCtx_reset(p->zstd, ZSTD_reset_session_only);
    /* Streaming: the content size in the frame is optional, and not to be believed. */
    ZSTD_inBuffer in = { from.at, from.len, 0 };
    ZSTD_outBuffer to = { p->bytes, p->size, 0 };
    for (;;) {
        if (to.pos == to.size && !packer_room(p, (uint64_t)p->size + 1))
            return refuse(why, "zstd", too_large);
        to.dst = p->bytes;
        to.size = p->size;
        size_t rc = ZSTD_decompressStream(p->zstd, &to, &in);
        if (ZSTD_isError(rc))
            return refuse(why, "zstd", damaged);
        if (in.pos == in.size && to.pos < to.size) {
            if (rc != 0)
                return refuse(why, "zstd", "it ends too early");
            *out = (struct bytes){ p->bytes, (uint32_t)to.pos };
            return true;
        }
    }
}

static bool unpack_lz4(struct packer *p, struct bytes from, struct bytes *out, char *why)
{
    if (!p->lz4 && LZ4F_isError(LZ4F_createDecompressionContext((LZ4F_dctx **)&p->lz4, LZ4F_VERSION)))
        return refuse(why, "lz4", "memory lacks");
    LZ4F_resetDecompressionContext(p->lz4);
    uint32_t read = 0, written = 0;
    for (;;) {
        if (written == p->size && !packer_room(p, (uint64_t)p->size + 1))
            return refuse(why, "lz4", too_large);
        size_t in = from.len - read, to = p->size - written;
        size_t rc = LZ4F_decompress(p->lz4, p->bytes + written, &to, from.at + read, &in, NULL);
        if (LZ4F_isError(rc))
            return refuse(why, "lz4", damaged);
        read += (uint32_t)in;
        written += (uint32_t)to;
        if (rc == 0 || (in == 0 && to == 0)) {
            if (rc != 0)
                return refuse(why, "lz4", "it ends too early");
            *out = (struct bytes){ p->bytes, written };
            return true;
        }
    }
}

static bool unpack_gzip(struct packer *p, struct bytes from, struct bytes *out, char *why)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)from.at, .avail_in = from.len };
    if (inflateInit2(&z, 15 + 32) != Z_OK) /* 32: gzip or zlib header, whichever is there */
        return refuse(why, "gzip", "memory lacks");
    const char *what = NULL;
    int rc = Z_OK;
    while (rc != Z_STREAM_END && !what) {
        if (z.total_out == p->size && !packer_room(p, (uint64_t)p->size + 1)) {
            what = too_large;
            break;
        }
        z.next_out = p->bytes + z.total_out;
        z.avail_out = p->size - (uint32_t)z.total_out;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_BUF_ERROR || (rc == Z_OK && z.avail_in == 0 && z.avail_out))
            what = "it ends too early";
        else if (rc != Z_OK && rc != Z_STREAM_END)
            what = damaged;
    }
    *out = (struct bytes){ p->bytes, (uint32_t)z.total_out };
    inflateEnd(&z);
    return what ? refuse(why, "gzip", what) : true;
}

static bool unpack_snappy_block(struct packer *p, struct bytes from, uint32_t *written, char *why)
{
    size_t n;
    if (snappy_uncompressed_length((const char *)from.at, from.len, &n) != SNAPPY_OK)
        return refuse(why, "snappy", damaged);
    if (n > UNPACKED_BYTES_MAX || !packer_room(p, *written + (uint64_t)n))
        return refuse(why, "snappy", too_large);
    if (snappy_uncompress((const char *)from.at, from.len, (char *)p->bytes + *written, &n) != SNAPPY_OK)
        return refuse(why, "snappy", damaged);
    *written += (uint32_t)n;
    return true;
}

static bool unpack_snappy(struct packer *p, struct bytes from, struct bytes *out, char *why)
{
    /* Java's library puts a magic, two versions, and blocks with a big-endian length each around it. */
    static const uint8_t magic[] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0 };
    enum { FRAMED_HEADER = 16 };
    uint32_t written = 0;
    if (from.len < FRAMED_HEADER || memcmp(from.at, magic, sizeof(magic)) != 0) {
        if (!unpack_snappy_block(p, from, &written, why))
            return false;
    } else {
        for (uint32_t at = FRAMED_HEADER; at < from.len;) {
            if (from.len - at < 4)
                return refuse(why, "snappy", "it ends too early");
            const uint8_t *b = from.at + at;
            uint32_t len = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
            at += 4;
            if (len > from.len - at)
                return refuse(why, "snappy", "it ends too early");
            if (!unpack_snappy_block(p, (struct bytes){ from.at + at, len }, &written, why))
                return false;
            at += len;
        }
    }
    *out = (struct bytes){ p->bytes, written };
    return true;
}

bool unpack(struct packer *p, enum batch_codec codec, struct bytes from, struct bytes *out, char *why)
{
    if (!packer_room(p, 64 << 10))
        return refuse(why, "a codec", "memory lacks");
    switch (codec) {
    case CODEC_GZIP:
        return unpack_gzip(p, from, out, why);
    case CODEC_SNAPPY:
        return unpack_snappy(p, from, out, why);
    case CODEC_LZ4:
        return unpack_lz4(p, from, out, why);
    case CODEC_ZSTD:
        return unpack_zstd(p, from, out, why);
    case CODEC_NONE:
        break;
    }
    snprintf(why, 128, "the batch is packed with codec %d, which this library does not know: update it",
             codec);
    return false;
}
