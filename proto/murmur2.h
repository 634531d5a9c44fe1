/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/murmur2.h: the key hash that Kafka's clients use, so that a key lands in the same partition whoever
 * publishes it.
 */
#ifndef RUNNEL_PROTO_MURMUR2_H
#define RUNNEL_PROTO_MURMUR2_H

#include <stdint.h>

uint32_t murmur2(const void *data, uint32_t len);
/* The partition of a key: (murmur2(key) & 0x7fffffff) % partitions. */
uint32_t murmur2_partition(const void *key, uint32_t len, uint32_t partitions);

#endif
