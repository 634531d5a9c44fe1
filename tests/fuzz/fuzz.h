/* SPDX-License-Identifier: Apache-2.0
 *
 * What a fuzzer defines: one function that is handed any bytes. The bytes lie in memory of their own, so that
 * AddressSanitizer sees a read behind them.
 */
#ifndef RUNNEL_TESTS_FUZZ_H
#define RUNNEL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void fuzz_one(const uint8_t *data, size_t size);

/* A property that must hold whatever the input. */
#define FUZZ_CHECK(expr)                                                                                     \
    do {                                                                                                     \
        if (!(expr)) {                                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #expr);                               \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
