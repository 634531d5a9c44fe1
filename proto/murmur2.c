/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/murmur2.c: Murmur hash 2, 32 bits, with the seed that Kafka's default partitioner uses.
 */
#include "proto/murmur2.h"

#include <string.h>

uint32_t murmur2(const void *data, uint32_t len)
{
    const uint32_t m = 0x5bd1e995, seed = 0x9747b28c;
    const uint8_t *p = data;
    uint32_t h = seed ^ len, left = len;

    for (; left >= 4; p += 4, left -= 4) {
        uint32_t k;
        memcpy(&k, p, sizeof(k));
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = h * m ^ k;
    }
    if (left >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (left >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (left >= 1)
        h = (h ^ p[0]) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

uint32_t murmur2_partition(const void *key, uint32_t len, uint32_t partitions)
{
    return partitions ? (murmur2(key, len) & 0x7fffffff) % partitions : 0;
}
