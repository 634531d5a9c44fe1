/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/big_endian.h: loads and stores of big-endian integers at any alignment: batches are Kafka's format.
 */
#ifndef RUNNEL_PROTO_BIG_ENDIAN_H
#define RUNNEL_PROTO_BIG_ENDIAN_H

#include <stdint.h>
#include <string.h>

static inline uint16_t be16_load(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t be32_load(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t be64_load(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void be16_store(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be32_store(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be64_store(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

#endif
