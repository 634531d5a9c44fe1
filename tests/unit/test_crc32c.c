/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C: published vectors, and the processor's path against a bit-by-bit one and the table's, at every
 * length and alignment up to more than one round of three streams.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "proto/crc32c.h"

enum { BYTES = 3 * 8 * 128 * 2 + 64 };

static uint8_t data[BYTES + 64];

static void fill(void)
{
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < sizeof(data); i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        data[i] = (uint8_t)x;
    }
}

static uint32_t bitwise(uint32_t crc, const uint8_t *p, size_t len)
{
    crc = ~crc;
    for (; len; len--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

Test(crc32c, known_vectors)
{
    uint8_t block[32];
    cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(crc32c(0, NULL, 0), 0);
    /* RFC 3720, B.4 */
    memset(block, 0, 32);
    cr_assert_eq(crc32c(0, block, 32), 0x8a9136aau);
    memset(block, 0xff, 32);
    cr_assert_eq(crc32c(0, block, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    cr_assert_eq(crc32c(0, block, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)(31 - i);
    cr_assert_eq(crc32c(0, block, 32), 0x113fdb5cu);
}

Test(crc32c, table_equals_bitwise)
{
    fill();
    for (size_t len = 0; len < 300; len++)
        cr_assert_eq(crc32c_table((uint32_t)len * 77, data, len), bitwise((uint32_t)len * 77, data, len),
                     "%zu bytes", len);
}

Test(crc32c, processor_equals_table_at_every_length)
{
    fill();
    for (size_t len = 0; len <= BYTES; len++)
        cr_assert_eq(crc32c((uint32_t)len * 2654435761u, data, len),
                     crc32c_table((uint32_t)len * 2654435761u, data, len), "%zu bytes", len);
}

Test(crc32c, processor_equals_table_at_every_alignment)
{
    fill();
    for (size_t at = 0; at < 64; at++)
        for (size_t len = 0; len < 700; len++)
            cr_assert_eq(crc32c(7, data + at, len), crc32c_table(7, data + at, len), "%zu bytes at %zu", len,
                         at);
}

Test(crc32c, chains_at_every_cut)
{
    fill();
    enum { LEN = 1000 };
    uint32_t whole = crc32c(0, data, LEN);
    for (size_t cut = 0; cut <= LEN; cut++)
        cr_assert_eq(crc32c(crc32c(0, data, cut), data + cut, LEN - cut), whole, "cut at %zu", cut);
}
