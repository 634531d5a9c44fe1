/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/cursor.h: a bounds-checked reader and a bounds-checked writer over a byte range, little-endian.
 *
 * Errors are sticky: after a read past the end every further read gives zero and `bad` stays set, so a
 * decoder reads all its fields and checks once. No allocation; strings and byte ranges are lent from the
 * input.
 */
#ifndef RUNNEL_PROTO_CURSOR_H
#define RUNNEL_PROTO_CURSOR_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes lent from somewhere else; not terminated. */
struct bytes {
    const uint8_t *at;
    uint32_t len;
};

static inline struct bytes bytes_of(const char *s)
{
    return (struct bytes){ (const uint8_t *)s, s ? (uint32_t)strlen(s) : 0 };
}

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct reader reader_of(const void *p, uint32_t len)
{
    const uint8_t *at = p;
    return (struct reader){ at, len ? at + len : at, false }; /* NULL + 0 is undefined in C */
}

static inline uint32_t reader_left(const struct reader *r)
{
    return (uint32_t)(r->end - r->at);
}

/* The next `n` bytes, or NULL and bad. */
static inline const uint8_t *read_raw(struct reader *r, uint32_t n)
{
    if (r->bad || reader_left(r) < n) {
        r->bad = true;
        r->at = r->end;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

#define CURSOR_READ(name, type)                                                                              \
    static inline type name(struct reader *r)                                                                \
    {                                                                                                        \
        type v = 0;                                                                                          \
        const uint8_t *p = read_raw(r, sizeof(v));                                                           \
        if (p)                                                                                               \
            memcpy(&v, p, sizeof(v));                                                                        \
        return v;                                                                                            \
    }
CURSOR_READ(read_u8, uint8_t)
CURSOR_READ(read_u16, uint16_t)
CURSOR_READ(read_u32, uint32_t)
CURSOR_READ(read_u64, uint64_t)
CURSOR_READ(read_i64, int64_t)
#undef CURSOR_READ

/* u16 length, then that many bytes. */
static inline struct bytes read_str(struct reader *r)
{
    struct bytes b = { 0 };
    uint16_t len = read_u16(r);
    const uint8_t *p = read_raw(r, len);
    if (p) {
        b.at = p;
        b.len = len;
    }
    return b;
}

/* u32 length, then that many bytes. */
static inline struct bytes read_blob(struct reader *r)
{
    struct bytes b = { 0 };
    uint32_t len = read_u32(r);
    const uint8_t *p = read_raw(r, len);
    if (p) {
        b.at = p;
        b.len = len;
    }
    return b;
}

/* All was there and nothing is left over. */
static inline bool reader_done(const struct reader *r)
{
    return !r->bad && r->at == r->end;
}

struct writer {
    uint8_t *start, *at, *end;
    bool bad; /* something did not fit */
};

static inline struct writer writer_of(void *p, uint32_t len)
{
    uint8_t *at = p;
    return (struct writer){ at, at, len ? at + len : at, false };
}

static inline uint32_t writer_len(const struct writer *w)
{
    return (uint32_t)(w->at - w->start);
}

/* Where the next `n` bytes go, or NULL and bad. */
static inline uint8_t *write_space(struct writer *w, uint32_t n)
{
    if (w->bad || (uint32_t)(w->end - w->at) < n) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->at;
    w->at += n;
    return p;
}

static inline void write_raw(struct writer *w, const void *bytes, uint32_t n)
{
    uint8_t *p = write_space(w, n);
    if (p && n)
        memcpy(p, bytes, n);
}

#define CURSOR_WRITE(name, type)                                                                             \
    static inline void name(struct writer *w, type v)                                                        \
    {                                                                                                        \
        write_raw(w, &v, sizeof(v));                                                                         \
    }
CURSOR_WRITE(write_u8, uint8_t)
CURSOR_WRITE(write_u16, uint16_t)
CURSOR_WRITE(write_u32, uint32_t)
CURSOR_WRITE(write_u64, uint64_t)
CURSOR_WRITE(write_i64, int64_t)
#undef CURSOR_WRITE

/* u16 length, then the bytes; longer than 65,535 is bad. */
static inline void write_str(struct writer *w, struct bytes s)
{
    if (s.len > UINT16_MAX) {
        w->bad = true;
        return;
    }
    write_u16(w, (uint16_t)s.len);
    write_raw(w, s.at, s.len);
}

static inline void write_blob(struct writer *w, struct bytes b)
{
    write_u32(w, b.len);
    write_raw(w, b.at, b.len);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "fields are copied as they are: little-endian hosts only");

#endif
