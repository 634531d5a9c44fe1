/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/verify.c: prints what store_verify() finds, for people and for programs.
 */
#include "verify.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "broker.h"
#include "instance.h"
#include "io/file.h"
#include "partition/store.h"

enum { VERIFY_DAMAGED = 4 };
enum verify_format { VERIFY_TABLE, VERIFY_JSON, VERIFY_JSONL };

struct verify {
    enum verify_format format;
    uint64_t findings;
    bool terminal; /* progress is shown on a terminal only */
};

static void verify_json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void verify_finding(void *ctx, const char *file, uint64_t position, const char *text)
{
    struct verify *v = ctx;
    if (v->format == VERIFY_TABLE) {
        if (v->terminal)
            fputs("\r\033[K", stderr);
        printf("%s: byte %" PRIu64 ": %s\n", file, position, text);
    } else {
        fputs(v->format == VERIFY_JSON && v->findings ? ",\n  "
              : v->format == VERIFY_JSON              ? "\n  "
                                                      : "",
              stdout);
        fputs("{\"file\":", stdout);
        verify_json_string(file);
        printf(",\"position\":%" PRIu64 ",\"text\":", position);
        verify_json_string(text);
        fputs(v->format == VERIFY_JSON ? "}" : "}\n", stdout);
    }
    v->findings++;
}

static void verify_progress(void *ctx, const char *file)
{
    const struct verify *v = ctx;
    if (v->terminal)
        fprintf(stderr, "\r\033[Kchecking %.100s", file);
}

static bool verify_parse_format(const char *name, enum verify_format *out)
{
    static const char *const NAMES[] = { "table", "json", "jsonl" };
    for (uint32_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum verify_format)i;
            return true;
        }
    }
    return false;
}

static void verify_summary(const struct verify *v, uint64_t bytes, uint64_t events)
{
    if (v->format == VERIFY_TABLE)
        printf("%s: %" PRIu64 " bytes in %" PRIu64 " events checked, %" PRIu64 " findings\n",
               v->findings ? "damaged" : "ok", bytes, events, v->findings);
    else
        printf(v->format == VERIFY_JSON ? "%s],\"bytes\":%" PRIu64 ",\"events\":%" PRIu64 ",\"ok\":%s}\n"
                                        : "%s{\"bytes\":%" PRIu64 ",\"events\":%" PRIu64 ",\"ok\":%s}\n",
               v->format == VERIFY_JSON && v->findings ? "\n" : "", bytes, events,
               v->findings ? "false" : "true");
}

int verify_run(const char *data_dir, const char *format)
{
    char why[BROKER_WHY_BYTES] = "";
    uint64_t bytes = 0, events = 0;
    struct verify v = { .terminal = isatty(STDERR_FILENO) };
    if (!verify_parse_format(format, &v.format)) {
        fprintf(stderr, "error: unknown format %s: use table, json or jsonl\n", format);
        return BROKER_USAGE;
    }
    if (file_exists(data_dir) != 1) {
        fprintf(stderr, "error: no such directory (%s): name a broker's data directory\n", data_dir);
        return BROKER_FAILED;
    }
    const int lock = instance_lock(data_dir, why, sizeof(why));
    if (lock < 0) {
        fprintf(stderr, "error: %s\n", why);
        return BROKER_FAILED;
    }
    if (v.format == VERIFY_JSON)
        fputs("{\"findings\":[", stdout);
    const int found = store_verify(data_dir, verify_finding, &v, verify_progress, &bytes, &events, why);
    if (v.terminal)
        fputs("\r\033[K", stderr);
    file_close(lock);
    if (found < 0) {
        fprintf(stderr, "error: %s\n", why);
        return BROKER_FAILED;
    }
    verify_summary(&v, bytes, events);
    return v.findings ? VERIFY_DAMAGED : BROKER_OK;
}
