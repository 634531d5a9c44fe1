/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/decimal.h: JSON numbers as what they are, decimal fractions of any length: compared and
 * divided exactly from their text. No binary floating point, so 0.1 is a tenth and 1e400 is less than 1e401.
 * Exponents beyond +-10^15 count as that.
 */
#ifndef RUNNEL_PROTO_SCHEMA_DECIMAL_H
#define RUNNEL_PROTO_SCHEMA_DECIMAL_H

#include "proto/cursor.h"

enum { DECIMAL_DIVISOR_DIGITS = 18 };

/* All texts are JSON numbers. */
int decimal_compare(struct bytes a, struct bytes b); /* <0, 0, >0 */
uint32_t decimal_hash(struct bytes a);               /* equal numbers, equal hashes */
bool decimal_integer(struct bytes a);                /* 1.0 and 1e3 are integers, too */

/* A divisor: digits * 10^exponent. */
struct decimal_divisor {
    uint64_t digits;
    int64_t exponent;
};

/* False: not above zero, or more than DECIMAL_DIVISOR_DIGITS significant digits. */
bool decimal_divisor(struct decimal_divisor *d, struct bytes text);
bool decimal_multiple(struct bytes a, const struct decimal_divisor *d);
/* A count as schemas give them: an integer from 0 on; above UINT32_MAX it is UINT32_MAX. False: it is not
 * one. */
bool decimal_count(struct bytes a, uint32_t *count);

#endif
