/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: as sent, and with length and checksum made good, so that the inside is reached. What passes the
 * check can be read to its end; what does not pass can be looked at without harm, as a client does that got
 * it from somewhere else.
 */
#include "fuzz.h"

#include <string.h>

#include "proto/batch.h"
#include "proto/crc32c.h"

static uint64_t touch(struct bytes b)
{
    return b.at && b.len ? (uint64_t)b.at[0] + b.at[b.len - 1] : 0;
}

static void iterate(const struct batch *b, bool sound)
{
    struct bytes records = { b->at + BATCH_HEADER, b->bytes - BATCH_HEADER };
    struct record_iter it;
    struct record r;
    uint64_t sum = 0;
    int32_t n = 0;
    int got;
    record_iter_init(&it, b, records);
    while ((got = record_next(&it, &r)) == 1) {
        struct reader headers = reader_of(r.headers.at, r.headers.len);
        struct bytes name, value;
        uint32_t header_count = 0;
        int header;
        sum += touch(r.key) + touch(r.value);
        while ((header = record_header(&headers, &name, &value)) == 1) {
            sum += touch(name) + touch(value);
            header_count++;
        }
        if (sound)
            FUZZ_CHECK(header == 0 && header_count == r.header_count && r.offset == b->base_offset + n);
        n++;
    }
    if (sound)
        FUZZ_CHECK(got == 0 && n == b->count);
    FUZZ_CHECK(sum != UINT64_MAX);
}

static enum error judge(const uint8_t *data, size_t size)
{
    char why[128] = "";
    struct batch b;
    enum error error = batch_check(&b, data, size, why);
    FUZZ_CHECK((error == ERR_OK) == (why[0] == 0));
    FUZZ_CHECK(memchr(why, 0, sizeof(why)) != NULL);
    if (batch_decode(&b, data, size) && b.base_offset >= 0 && b.base_offset < INT64_MAX / 2)
        iterate(&b, error == ERR_OK && (b.attributes & BATCH_CODEC_MASK) == CODEC_NONE);
    return error;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    judge(data, size);
    if (size < BATCH_HEADER || size > 1 << 20)
        return;
    uint8_t *copy = malloc(size);
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    uint32_t length = __builtin_bswap32((uint32_t)size - BATCH_LENGTH_OVERHEAD);
    uint32_t crc = __builtin_bswap32(crc32c(0, copy + 21, size - 21));
    memcpy(copy + 8, &length, 4);
    copy[16] = BATCH_MAGIC;
    memcpy(copy + 17, &crc, 4);
    FUZZ_CHECK(judge(copy, size) != ERR_BATCH_CORRUPT);
    free(copy);
}
