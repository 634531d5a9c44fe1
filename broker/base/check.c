/* SPDX-License-Identifier: Apache-2.0
 *
 * base/check.c: the end of a process whose own guarantee did not hold.
 *
 * Writes with write(2) and a buffer on the stack only: the heap may be what is broken.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *func, const char *expr)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "runnel: check failed: %s (%s:%d, %s)\n", expr, file, line, func);
    if (n > (int)sizeof(text) - 1)
        n = (int)sizeof(text) - 1;
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* stderr is gone; the core dump still tells */
    }
    abort();
}
