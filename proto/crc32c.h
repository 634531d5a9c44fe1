/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/crc32c.h: CRC-32C (Castagnoli), the checksum of batches, commits and extents.
 *
 * crc32c(0, "123456789", 9) == 0xe3069283. Chains: crc32c(crc32c(0, a), b) == crc32c(0, a b). Uses SSE 4.2
 * with three interleaved streams where the processor has it, a table elsewhere; both are equal by test.
 */
#ifndef RUNNEL_PROTO_CRC32C_H
#define RUNNEL_PROTO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The table path, for tests. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
