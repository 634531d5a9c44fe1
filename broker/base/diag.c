/* SPDX-License-Identifier: Apache-2.0
 *
 * base/diag.c: one operator message, formatted on the stack and written at once.
 *
 * A line is built in a fixed buffer and handed over in a single write(2), so that lines of several threads
 * never mix (writes of up to PIPE_BUF bytes to a pipe are atomic, and DIAG_LINE_BYTES is no more than that).
 * A line too long keeps its start and ends in "..." inside the value being written; it stays one valid line.
 */
#include "base/diag.h"

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum {
    DIAG_LINE_BYTES = 4096,  /* PIPE_BUF on Linux: the longest write that stays in one piece */
    DIAG_RESERVE_BYTES = 64, /* kept for closing a cut value and for suppressed=N */
    DIAG_WINDOW_NS = 1000000000,
};
static_assert(DIAG_LINE_BYTES <= PIPE_BUF, "a line is one atomic write");

static atomic_int diag_level_min = DIAG_INFO;
static atomic_int diag_format_now = DIAG_LOGFMT;

static const char *const diag_level_names[] = { "debug", "info", "warn", "error" };

struct diag_line {
    char text[DIAG_LINE_BYTES];
    size_t bytes;
    bool json;
    bool cut; /* full: only what is put into the reserve still goes in */
};

void diag_set_level(enum diag_level level)
{
    atomic_store_explicit(&diag_level_min, (int)level, memory_order_relaxed);
}

void diag_set_format(enum diag_format format)
{
    atomic_store_explicit(&diag_format_now, (int)format, memory_order_relaxed);
}

bool diag_level_parse(const char *name, enum diag_level *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(diag_level_names); i++) {
        if (strcmp(name, diag_level_names[i]) == 0) {
            *out = (enum diag_level)i;
            return true;
        }
    }
    return false;
}

static bool diag_put(struct diag_line *line, const char *bytes, size_t count)
{
    if (line->cut || count > sizeof(line->text) - DIAG_RESERVE_BYTES - line->bytes) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->bytes, bytes, count);
    line->bytes += count;
    return true;
}

static bool diag_puts(struct diag_line *line, const char *s)
{
    return diag_put(line, s, strlen(s));
}

/* Into the reserve, for what closes a line. */
static void diag_put_reserve(struct diag_line *line, const char *s)
{
    const size_t count = strlen(s);
    CHECK(count <= sizeof(line->text) - line->bytes);
    memcpy(line->text + line->bytes, s, count);
    line->bytes += count;
}

/* How many bytes of valid UTF-8 start at `s`; 0 when it is none (RFC 3629: no overlong forms, no
 * surrogates). JSON must be UTF-8, and what we print may be a peer's bytes. */
static unsigned diag_utf8(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

/* The text between quotes, escaped; both formats share the escapes of JSON. Invalid bytes become U+FFFD. */
static void diag_put_escaped(struct diag_line *line, const char *value)
{
    const unsigned char *s = (const unsigned char *)value;
    while (*s) {
        char escape[8];
        const unsigned width = diag_utf8(s);
        bool fits;
        if (width == 0)
            fits = diag_put(line, "\xef\xbf\xbd", 3);
        else if (*s == '"' || *s == '\\')
            fits = diag_put(line, (char[]){ '\\', (char)*s }, 2);
        else if (*s == '\n')
            fits = diag_put(line, "\\n", 2);
        else if (*s == '\t')
            fits = diag_put(line, "\\t", 2);
        else if (*s == '\r')
            fits = diag_put(line, "\\r", 2);
        else if (*s < 0x20 || *s == 0x7f) {
            snprintf(escape, sizeof(escape), "\\u%04x", *s);
            fits = diag_put(line, escape, 6);
        } else
            fits = diag_put(line, (const char *)s, width);
        if (!fits) {
            diag_put_reserve(line, "...");
            return;
        }
        s += width ? width : 1;
    }
}

/* May the value stand without quotes in logfmt? */
static bool diag_plain(const char *value)
{
    if (*value == '\0')
        return false;
    for (const unsigned char *s = (const unsigned char *)value; *s; s++)
        if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '=' || *s == '\\')
            return false;
    return true;
}

/* The key and what stands before it; on a full line nothing at all. */
static bool diag_put_key(struct diag_line *line, const char *key)
{
    const size_t start = line->bytes;
    bool fits;
    if (line->json) /* keys are our own literals: nothing to escape */
        fits = diag_puts(line, start ? ",\"" : "{\"") && diag_puts(line, key) && diag_puts(line, "\":");
    else
        fits = diag_puts(line, start ? " " : "") && diag_puts(line, key) && diag_puts(line, "=");
    if (!fits)
        line->bytes = start;
    return fits;
}

static void diag_put_text(struct diag_line *line, const char *key, const char *value)
{
    const size_t start = line->bytes;
    if (value == NULL)
        value = "";
    if (!diag_put_key(line, key))
        return;
    if (!line->json && diag_plain(value) && strlen(value) < DIAG_LINE_BYTES / 2) {
        if (!diag_puts(line, value))
            line->bytes = start;
        return;
    }
    if (!diag_put(line, "\"", 1)) {
        line->bytes = start;
        return;
    }
    diag_put_escaped(line, value);
    diag_put_reserve(line, "\"");
}

static void diag_put_number(struct diag_line *line, const struct diag_pair *pair)
{
    char digits[24];
    const size_t start = line->bytes;
    if (pair->kind == DIAG_I64)
        snprintf(digits, sizeof(digits), "%lld", (long long)(int64_t)pair->u64);
    else
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)pair->u64);
    if (!diag_put_key(line, pair->key) || !diag_puts(line, digits))
        line->bytes = start;
}

static void diag_put_time(struct diag_line *line)
{
    struct timespec now;
    struct tm utc;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    const size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    diag_put_text(line, "ts", text);
}

/* One write, and only where it will not block: a collector that stalls must not stall the loop. */
static bool diag_emit(const struct diag_line *line)
{
    struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return false;
    return write(STDERR_FILENO, line->text, line->bytes) == (ssize_t)line->bytes;
}

/* Takes a place in the site's current second; false when it is used up. Two threads that open a new second
 * at once may let a few lines more through, never fewer. */
static bool diag_admit(struct diag_site *site)
{
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    const uint64_t now = (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec;
    uint64_t window = __atomic_load_n(&site->window_ns, __ATOMIC_RELAXED);
    if ((window == 0 || now - window >= DIAG_WINDOW_NS) &&
        __atomic_compare_exchange_n(&site->window_ns, &window, now, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        __atomic_store_n(&site->lines, 0, __ATOMIC_RELAXED);
    if (__atomic_fetch_add(&site->lines, 1, __ATOMIC_RELAXED) < DIAG_BURST)
        return true;
    __atomic_fetch_add(&site->suppressed, 1, __ATOMIC_RELAXED);
    return false;
}

void diag_write(struct diag_site *site, enum diag_level level, const char *room, const char *msg,
                const struct diag_pair *pairs, unsigned count)
{
    if ((int)level < atomic_load_explicit(&diag_level_min, memory_order_relaxed) || !diag_admit(site))
        return;
    struct diag_line line;
    line.bytes = 0;
    line.cut = false;
    line.json = atomic_load_explicit(&diag_format_now, memory_order_relaxed) == DIAG_JSON;
    diag_put_time(&line);
    diag_put_text(&line, "level", diag_level_names[level]);
    diag_put_text(&line, "room", room);
    diag_put_text(&line, "msg", msg);
    for (unsigned i = 0; i < count; i++) {
        if (pairs[i].kind == DIAG_STR)
            diag_put_text(&line, pairs[i].key, pairs[i].str);
        else
            diag_put_number(&line, &pairs[i]);
    }
    const uint32_t held = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
    if (held) {
        char text[40];
        snprintf(text, sizeof(text), line.json ? ",\"suppressed\":%u" : " suppressed=%u", held);
        diag_put_reserve(&line, text);
    }
    diag_put_reserve(&line, line.json ? "}\n" : "\n");
    if (!diag_emit(&line))
        __atomic_fetch_add(&site->suppressed, held + 1, __ATOMIC_RELAXED);
}
