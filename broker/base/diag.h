/* SPDX-License-Identifier: Apache-2.0
 *
 * base/diag.h: messages for the operator, one line each on stderr, as logfmt or JSON.
 *
 *   ts=2026-01-02T03:04:05.678Z level=info room=journal msg="recovered" commits=12 torn_bytes=4096
 *
 * The message is a fixed sentence; what varies goes into key/value pairs, so that lines can be searched and
 * counted. A call site that repeats is limited to DIAG_BURST lines a second; what was held back is counted on
 * the next line (suppressed=N). Thread-safe. Never blocks for long: a line is one write(2); if stderr is gone
 * the line is lost.
 */
#ifndef RUNNEL_BASE_DIAG_H
#define RUNNEL_BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>

enum diag_level { DIAG_DEBUG, DIAG_INFO, DIAG_WARN, DIAG_ERROR };
enum diag_format { DIAG_LOGFMT, DIAG_JSON };
enum { DIAG_BURST = 10 };

/* One key/value pair; made with the macros below. */
struct diag_pair {
    const char *key;
    enum { DIAG_STR, DIAG_U64, DIAG_I64 } kind;
    const char *str;
    uint64_t u64;
};

#define DIAG_KS(k, v) ((struct diag_pair){ (k), DIAG_STR, (v), 0 })
#define DIAG_KU(k, v) ((struct diag_pair){ (k), DIAG_U64, 0, (uint64_t)(v) })
#define DIAG_KI(k, v) ((struct diag_pair){ (k), DIAG_I64, 0, (uint64_t)(int64_t)(v) })

/* One per call site: rate limiting state. */
struct diag_site {
    uint64_t window_ns;
    uint32_t lines;
    uint32_t suppressed;
};

/* diag(DIAG_WARN, "journal", "torn tail cut", DIAG_KU("bytes", n), DIAG_KS("file", name)); pairs are
 * optional. */
#define diag(level, room, msg, ...)                                                                          \
    do {                                                                                                     \
        static struct diag_site diag_site_;                                                                  \
        const struct diag_pair diag_pairs_[] = { { 0 }, ##__VA_ARGS__ };                                     \
        diag_write(&diag_site_, (level), (room), (msg), diag_pairs_ + 1,                                     \
                   sizeof(diag_pairs_) / sizeof(diag_pairs_[0]) - 1);                                        \
    } while (0)

void diag_write(struct diag_site *site, enum diag_level level, const char *room, const char *msg,
                const struct diag_pair *pairs, unsigned count);
/* Lines below `level` are dropped; initially DIAG_INFO. */
void diag_set_level(enum diag_level level);
void diag_set_format(enum diag_format format);
/* "debug", "info", "warn", "error"; false when `name` is none of them. */
bool diag_level_parse(const char *name, enum diag_level *out);

#endif
