/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of segment files, and sentences about them.
 */
#include "log/log_path.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { BASE_DIGITS = 20 };

void log_segment_path(char *out, const char *dir, uint64_t base_offset, const char *suffix)
{
    int n = snprintf(out, LOG_PATH_BYTES, "%s/%020" PRIu64 ".%s", dir, base_offset, suffix);
    CHECK(n > 0 && n < LOG_PATH_BYTES);
}

bool log_segment_name(const char *name, uint64_t *base_offset)
{
    uint64_t value = 0;
    for (int i = 0; i < BASE_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (strcmp(name + BASE_DIGITS, ".log") != 0)
        return false;
    *base_offset = value;
    return true;
}

/* The last two components of a partition's directory: topic and partition. */
static const char *path_tail(const char *dir)
{
    const char *at = dir + strlen(dir);
    for (int slashes = 0; at > dir; at--)
        if (at[-1] == '/' && ++slashes == 2)
            break;
    return at;
}

void log_say(char *why, const char *dir, uint64_t base_offset, const char *suffix, const char *format, ...)
{
    if (!why)
        return;
    int n = snprintf(why, LOG_WHY_BYTES, "%.90s/%020" PRIu64 ".%s: ", path_tail(dir), base_offset, suffix);
    CHECK(n > 0 && n < LOG_WHY_BYTES);
    va_list args;
    va_start(args, format);
    vsnprintf(why + n, (size_t)(LOG_WHY_BYTES - n), format, args);
    va_end(args);
}

bool log_path_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}
