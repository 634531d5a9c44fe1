/* SPDX-License-Identifier: Apache-2.0
 *
 * crc32c_tables: prints the constants of proto/crc32c.c as a header; run by the build.
 *
 * A CRC is a polynomial over GF(2) modulo P. Here everything is bit-reflected, as CRC-32C is: bit 31 of a
 * word is the coefficient of x^0, bit 0 that of x^31; multiplying by x is a shift to the right.
 */
#include <stdint.h>
#include <stdio.h>

enum { POLYNOMIAL_REFLECTED = 0x82f63b78, SLICES = 8, SHIFTS = 2 * 128 };

static uint32_t times_x(uint32_t a)
{
    return a >> 1 ^ (a & 1 ? POLYNOMIAL_REFLECTED : 0);
}

static void print(const char *name, const uint32_t *v, int n)
{
    printf("%s = {", name);
    for (int i = 0; i < n; i++)
        printf("%s0x%08xu,", i % 8 ? " " : "\n    ", v[i]);
    printf("\n};\n");
}

int main(void)
{
    /* slice[s][b]: what byte `b` does to the checksum when s more bytes follow it. */
    static uint32_t slice[SLICES][256];
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t v = b;
        for (int s = 0; s < SLICES; s++) {
            for (int bit = 0; bit < 8; bit++)
                v = times_x(v);
            slice[s][b] = v;
        }
    }

    /* shift[k] = x^(64 k - 33) mod P: see crc32c_combine() for where the 33 comes from. */
    static uint32_t shift[SHIFTS + 1];
    uint32_t power = 0x80000000u; /* x^0 */
    for (int e = 0; e <= 64 * SHIFTS - 33; e++) {
        if ((e + 33) % 64 == 0)
            shift[(e + 33) / 64] = power;
        power = times_x(power);
    }

    printf("/* Made by crc32c_tables. */\nenum { CRC32C_SHIFTS = %d };\n", SHIFTS);
    print("static const uint32_t crc32c_shift[]", shift, SHIFTS + 1);
    print("static const uint32_t crc32c_slice[]", slice[0], SLICES * 256);
    return 0;
}
