/* SPDX-License-Identifier: Apache-2.0
 *
 * base/check.h: assertions that stay on in every build.
 *
 * CHECK states what our own code guarantees; when it fails, going on could corrupt a log, so the process
 * stops with the place and the expression. Bytes from the network or the disk are input: they get an error,
 * never a CHECK.
 */
#ifndef RUNNEL_BASE_CHECK_H
#define RUNNEL_BASE_CHECK_H

#include <stddef.h>

#define CHECK(expr)                                                                                          \
    do {                                                                                                     \
        if (__builtin_expect(!(expr), 0))                                                                    \
            check_failed(__FILE__, __LINE__, __func__, #expr);                                               \
    } while (0)

#define UNREACHABLE() check_failed(__FILE__, __LINE__, __func__, "unreachable")

/* The object that `member_ptr` is embedded in. */
#define CONTAINER_OF(member_ptr, type, member) ((type *)((char *)(member_ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Prints the place and the expression on stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *func, const char *expr);

#endif
