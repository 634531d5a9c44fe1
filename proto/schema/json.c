/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/json.c: the reader: one pass, no recursion. While a container is open its `next` names the
 * container around it, so the way back needs no stack of its own.
 */
#include "proto/schema/json.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "proto/schema/json_own.h"

enum {
    NO_PARENT = UINT32_MAX,
    FEW_NAMES = 16, /* up to here every name is compared with every other: cheaper than a table */
    /* Slots looked at per name of a large object. Names of chance need two; more are chosen to collide. */
    PROBES_PER_NAME = 32,
};

/* Where the text is at goes from function to function by value, so that it stays in a register; NULL:
 * refused. */
struct scan {
    struct json *json;
    const uint8_t *end;
    const struct json_limits *limits;
    char *why;
    enum error error;
    uint32_t open, depth; /* the innermost container that is open */
};

uint64_t json_scratch_bytes(uint32_t values, uint32_t text_bytes)
{
    uint64_t table = 2;
    while (table < values)
        table *= 2;
    return (uint64_t)values * sizeof(struct json_node) + table * sizeof(uint32_t) + text_bytes;
}

void json_init(struct json *json, void *block, uint32_t values, uint32_t text_bytes)
{
    *json =
        (struct json){ .nodes = block, .nodes_room = values, .decoded_room = text_bytes, .table_room = 2 };
    while (json->table_room < values)
        json->table_room *= 2;
    json->table = (uint32_t *)(json->nodes + values);
    json->decoded = (uint8_t *)(json->table + json->table_room);
}

__attribute__((cold, noinline, format(printf, 4, 5))) static const uint8_t *
refuse(struct scan *s, enum error error, const uint8_t *at, const char *format, ...)
{
    va_list args;
    const int n = snprintf(s->why, JSON_WHY_BYTES, "byte %u: ", (unsigned)(at - s->json->text));
    va_start(args, format);
    vsnprintf(s->why + n, (size_t)(JSON_WHY_BYTES - n), format, args);
    va_end(args);
    s->error = error;
    return NULL;
}

/* ---- hashing ---- */

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    /* The golden ratio, as Knuth multiplies; both halves of the product, or high bytes would not reach low
     * bits. */
    const unsigned __int128 product = (unsigned __int128)(h ^ v) * 0x9e3779b97f4a7c15u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t json_hash(struct bytes b)
{
    uint64_t h = b.len + 0x2545f4914f6cdd1du; /* not 0, which would multiply to 0 */
    const uint8_t *p = b.at, *end = b.at + b.len;
    if (b.len >= 8) {
        for (; end - p > 8; p += 8)
            h = mix(h, load64(p));
        h = mix(h, load64(end - 8));
    } else if (b.len >= 4) {
        h = mix(h, load32(p) | (uint64_t)load32(end - 4) << 32);
    } else if (b.len) {
        h = mix(h, p[0] | (uint64_t)p[b.len / 2] << 8 | (uint64_t)p[b.len - 1] << 16);
    }
    return (uint32_t)h;
}

/* ---- strings ---- */

/* The first byte in [p, end) that ends or changes a string: '"', '\\', a control character. *high gathers
 * whether a byte before it is not ASCII. */
static inline const uint8_t *string_run(const uint8_t *p, const uint8_t *end, uint64_t *high)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
#ifdef __SSE2__
    const __m128i quotes = _mm_set1_epi8('"'), slashes = _mm_set1_epi8('\\'), controls = _mm_set1_epi8(0x1f);
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, quotes), _mm_cmpeq_epi8(v, slashes));
        const __m128i stops = _mm_or_si128(ends, _mm_cmpeq_epi8(_mm_min_epu8(v, controls), v));
        const uint32_t stop = (uint32_t)_mm_movemask_epi8(stops), tall = (uint32_t)_mm_movemask_epi8(v);
        if (stop) {
            *high |= tall & (stop ^ (stop - 1)) >> 1; /* of the bytes before the stop */
            return p + __builtin_ctz(stop);
        }
        *high |= tall;
    }
#endif
    for (; end - p >= 8; p += 8) {
        const uint64_t v = load64(p), quote = v ^ ones * '"', slash = v ^ ones * '\\';
        /* The lowest bit set is a true hit: a borrow only reaches bytes above one. */
        const uint64_t hit =
            (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((v - ones * 0x20) & ~v)) & tops;
        if (hit) {
            const int n = __builtin_ctzll(hit) / 8;
            *high |= v & tops & ((1ull << (8 * n)) - 1);
            return p + n;
        }
        *high |= v & tops;
    }
    for (; p < end && *p != '"' && *p != '\\' && *p >= 0x20; p++)
        *high |= *p & 0x80;
    return p;
}

/* The first byte that is not UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF), or NULL. */
static const uint8_t *utf8_fault(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t c = *p;
        uint32_t more, low = 0x80, top = 0xbf;
        if (c < 0x80) {
            p++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            low = c == 0xe0 ? 0xa0 : 0x80;
            top = c == 0xed ? 0x9f : 0xbf;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            low = c == 0xf0 ? 0x90 : 0x80;
            top = c == 0xf4 ? 0x8f : 0xbf;
        } else {
            return p;
        }
        if ((uint32_t)(end - p) <= more || p[1] < low || p[1] > top)
            return p;
        for (uint32_t i = 2; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return p;
        p += more + 1;
    }
    return NULL;
}

uint32_t utf8_put(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    const uint32_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = n; --i > 0; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)((0xf00 >> n & 0xff) | c);
    return n;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const uint8_t c = p[i], letter = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v * 16 + c - '0';
        else if (letter >= 'a' && letter <= 'f')
            v = v * 16 + letter - 'a' + 10;
        else
            return -1;
    }
    return v;
}

/* p is behind a backslash. Decodes one escape to `out` (4 bytes of room); *n bytes. */
static const uint8_t *escape(struct scan *s, const uint8_t *p, uint8_t *out, uint32_t *n)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const uint8_t *start = p - 1;
    if (p >= s->end)
        return refuse(s, ERR_JSON_INVALID, start, "a string is not closed");
    const uint8_t c = *p++;
    const char *known = c ? strchr(names, c) : NULL;
    if (known) {
        *out = (uint8_t)means[known - names];
        *n = 1;
        return p;
    }
    int32_t v = c == 'u' ? hex4(p, s->end) : -1;
    if (v < 0)
        return refuse(s, ERR_JSON_INVALID, start, "not an escape that JSON has");
    p += 4;
    if (v >= 0xd800 && v < 0xdc00) {
        const bool pair = s->end - p >= 6 && p[0] == '\\' && p[1] == 'u';
        const int32_t low = pair ? hex4(p + 2, s->end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return refuse(s, ERR_JSON_INVALID, start, "half of a surrogate pair");
        p += 6;
        v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    } else if (v >= 0xdc00 && v < 0xe000) {
        return refuse(s, ERR_JSON_INVALID, start, "half of a surrogate pair");
    }
    *n = utf8_put(out, (uint32_t)v);
    return p;
}

/* The rest of a string with escapes, from its first one on; [begin, p) is plain. */
static const uint8_t *string_decode(struct scan *s, struct json_node *node, const uint8_t *begin,
                                    const uint8_t *p, uint64_t *high)
{
    struct json *j = s->json;
    const uint32_t start = j->decoded_bytes;
    uint8_t *out = j->decoded + start;
    /* What is decoded is never longer than what was written, so one question is enough. */
    if ((uint64_t)(s->end - begin) > j->decoded_room - start)
        return refuse(s, ERR_JSON_LIMIT, begin, "the text is longer than there is scratch for");
    memcpy(out, begin, (size_t)(p - begin));
    out += p - begin;
    while (p < s->end && *p == '\\') {
        uint32_t n = 0;
        p = escape(s, p + 1, out, &n);
        if (!p)
            return NULL;
        *high |= *out & 0x80;
        out += n;
        const uint8_t *run = p;
        p = string_run(run, s->end, high);
        memcpy(out, run, (size_t)(p - run));
        out += p - run;
    }
    node->at = start;
    node->size = (uint32_t)(out - (j->decoded + start));
    node->flags |= JSON_DECODED;
    j->decoded_bytes = start + node->size;
    return p;
}

/* p is behind the opening quote. */
static inline const uint8_t *string(struct scan *s, struct json_node *node, const uint8_t *p)
{
    const uint8_t *begin = p;
    uint64_t high = 0;
    p = string_run(begin, s->end, &high);
    node->type = JSON_STRING;
    node->flags = 0;
    node->at = (uint32_t)(begin - s->json->text);
    node->size = (uint32_t)(p - begin);
    if (p < s->end && *p == '\\' && !(p = string_decode(s, node, begin, p, &high)))
        return NULL;
    if (p >= s->end)
        return refuse(s, ERR_JSON_INVALID, begin - 1, "a string is not closed");
    if (*p != '"')
        return refuse(s, ERR_JSON_INVALID, p, "a control character in a string must be escaped");
    if (high) {
        const uint8_t *fault = utf8_fault(begin, p);
        if (fault)
            return refuse(s, ERR_JSON_INVALID, fault, "not UTF-8");
    } else {
        node->flags |= JSON_ASCII;
    }
    if (s->limits->string_bytes && node->size > s->limits->string_bytes)
        return refuse(s, ERR_JSON_LIMIT, begin, "a string of %u bytes; at most %u are allowed", node->size,
                      s->limits->string_bytes);
    return p + 1;
}

/* ---- numbers and words ---- */

static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (uint8_t)(*p - '0') <= 9)
        p++;
    return p;
}

static inline const uint8_t *number(struct scan *s, struct json_node *node, const uint8_t *begin)
{
    const uint8_t *p = begin + (*begin == '-'), *end = s->end, *q = digits(p, end);
    node->type = JSON_NUMBER;
    node->flags = JSON_INTEGER;
    if (q == p)
        return refuse(s, ERR_JSON_INVALID, begin, *begin == '-' ? "a number has no digits" : "not a value");
    if (*p == '0' && q - p > 1)
        return refuse(s, ERR_JSON_INVALID, begin, "a number begins with 0");
    p = q;
    if (p < end && *p == '.') {
        q = digits(++p, end);
        if (q == p)
            return refuse(s, ERR_JSON_INVALID, p, "a number has no digits behind its point");
        p = q;
        node->flags = 0;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        q = digits(p, end);
        if (q == p)
            return refuse(s, ERR_JSON_INVALID, p, "a number has no digits in its exponent");
        p = q;
        node->flags = 0;
    }
    node->at = (uint32_t)(begin - s->json->text);
    node->size = (uint32_t)(p - begin);
    return p;
}

static inline const uint8_t *word(struct scan *s, struct json_node *node, const uint8_t *p, const char *text,
                                  uint32_t n, enum json_type type)
{
    if ((size_t)(s->end - p) < n || memcmp(p, text, n) != 0)
        return refuse(s, ERR_JSON_INVALID, p, "not a value");
    node->type = (uint8_t)type;
    node->flags = 0;
    node->at = (uint32_t)(p - s->json->text);
    node->size = n;
    return p + n;
}

/* ---- objects ---- */

static bool name_twice(struct scan *s, const struct json_node *key, const uint8_t *at)
{
    const struct bytes name = json_bytes(s->json, key);
    refuse(s, ERR_JSON_INVALID, at, "the name \"%.*s\" is twice in the object that ends here",
           name.len > 64 ? 64 : (int)name.len, (const char *)name.at);
    return false;
}

static bool names_differ_many(struct scan *s, const struct json_node *object, const uint8_t *at)
{
    struct json *j = s->json;
    const struct json_node *first = object + 1;
    uint64_t probes = 0;
    uint32_t mask =
        2; /* a pair is two nodes, so 2 * size is at most nodes_room, for which the table was made */
    while (mask < 2 * object->size)
        mask *= 2;
    memset(j->table, 0, mask * sizeof(*j->table));
    mask--;
    for (uint32_t i = 0; i < object->size; i++, first = &j->nodes[first[1].next]) {
        uint32_t slot = first->hash & mask;
        for (; j->table[slot]; slot = (slot + 1) & mask) {
            const struct json_node *other = &j->nodes[j->table[slot]];
            if (other->hash == first->hash && bytes_same(json_bytes(j, other), json_bytes(j, first)))
                return name_twice(s, first, at);
            if (++probes > (uint64_t)object->size * PROBES_PER_NAME)
                return refuse(s, ERR_JSON_LIMIT, at, "the names of this object all but share one hash") !=
                       NULL;
        }
        j->table[slot] = (uint32_t)(first - j->nodes);
    }
    return true;
}

static inline bool names_differ(struct scan *s, const struct json_node *object, const uint8_t *end)
{
    const struct json *j = s->json;
    uint32_t hashes[FEW_NAMES], at[FEW_NAMES];
    const struct json_node *key = object + 1;
    if (object->size > FEW_NAMES)
        return names_differ_many(s, object, end);
    for (uint32_t i = 0; i < object->size; i++, key = &j->nodes[key[1].next]) {
        hashes[i] = key->hash;
        at[i] = (uint32_t)(key - j->nodes);
        for (uint32_t k = 0; k < i; k++)
            if (hashes[k] == key->hash && bytes_same(json_bytes(j, &j->nodes[at[k]]), json_bytes(j, key)))
                return name_twice(s, key, end);
    }
    return true;
}

/* ---- the walk ---- */

static inline const uint8_t *space(const struct scan *s, const uint8_t *p)
{
    while (p < s->end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

static inline struct json_node *node_add(struct scan *s)
{
    struct json *j = s->json;
    return j->count < j->nodes_room ? &j->nodes[j->count++] : NULL;
}

static const uint8_t *too_many(struct scan *s, const uint8_t *at)
{
    return refuse(s, ERR_JSON_LIMIT, at, "more than %u values and names", s->json->nodes_room);
}

/* Behind '{' or ',': a name and its colon. */
static inline const uint8_t *member_name(struct scan *s, const uint8_t *p)
{
    struct json_node *key = node_add(s);
    if (!key)
        return too_many(s, p);
    p = space(s, p);
    if (p >= s->end || *p != '"')
        return refuse(s, ERR_JSON_INVALID, p, "a name in quotes is expected");
    if (!(p = string(s, key, p + 1)))
        return NULL;
    key->flags |= JSON_KEY;
    key->next = s->json->count;
    key->hash = json_hash(json_bytes(s->json, key));
    p = space(s, p);
    if (p >= s->end || *p != ':')
        return refuse(s, ERR_JSON_INVALID, p, "a colon is expected behind a name");
    return p + 1;
}

/* One value. A container is only opened, and then s->open. */
static inline const uint8_t *value(struct scan *s, const uint8_t *p)
{
    struct json_node *node = node_add(s);
    if (!node)
        return too_many(s, p);
    p = space(s, p);
    if (p >= s->end)
        return refuse(s, ERR_JSON_INVALID, p, "the text ends where a value is expected");
    node->next = s->json->count;
    switch (*p) {
    case '"':
        return string(s, node, p + 1);
    case 't':
        return word(s, node, p, "true", 4, JSON_TRUE);
    case 'f':
        return word(s, node, p, "false", 5, JSON_FALSE);
    case 'n':
        return word(s, node, p, "null", 4, JSON_NULL);
    case '{':
    case '[':
        if (++s->depth > s->limits->depth)
            return refuse(s, ERR_JSON_LIMIT, p, "nested deeper than %u", s->limits->depth);
        *node = (struct json_node){ .next = s->open,
                                    .at = (uint32_t)(p - s->json->text),
                                    .type = *p == '{' ? JSON_OBJECT : JSON_ARRAY };
        s->open = (uint32_t)(node - s->json->nodes);
        return p + 1;
    default:
        return number(s, node, p);
    }
}

/* Behind its bracket: the innermost container is complete. */
static inline bool close(struct scan *s, struct json_node *node, const uint8_t *at)
{
    s->open = node->next;
    node->next = s->json->count;
    s->depth--;
    return node->type == JSON_ARRAY || names_differ(s, node, at);
}

/* A value is complete: closes what closes behind it. Where another is expected, and in what, s->open says. */
static inline const uint8_t *behind(struct scan *s, const uint8_t *p)
{
    while (s->open != NO_PARENT) {
        struct json_node *parent = &s->json->nodes[s->open];
        const bool object = parent->type == JSON_OBJECT;
        parent->size++;
        p = space(s, p);
        const uint8_t c = p < s->end ? *p : 0;
        if (c == ',')
            return object ? member_name(s, p + 1) : p + 1;
        if (c != (object ? '}' : ']'))
            return refuse(s, ERR_JSON_INVALID, p, "a comma or %c is expected", object ? '}' : ']');
        if (!close(s, parent, ++p))
            return NULL;
    }
    return p;
}

enum error json_read(struct json *json, struct bytes text, const struct json_limits *limits, char *why)
{
    struct scan s = {
        .json = json, .end = text.at + text.len, .limits = limits, .why = why, .open = NO_PARENT
    };
    const uint8_t *p = text.at;
    json->text = text.at;
    json->count = json->decoded_bytes = 0;
    if (text.len == 0) {
        snprintf(why, JSON_WHY_BYTES, "byte 0: there is no value at all");
        return ERR_JSON_INVALID;
    }
    do {
        const uint32_t outer = s.open;
        if (!(p = value(&s, p)))
            return s.error;
        if (s.open != outer) {
            struct json_node *node = &json->nodes[s.open];
            const bool object = node->type == JSON_OBJECT;
            p = space(&s, p);
            if (p >= s.end || *p != (object ? '}' : ']')) {
                if (object && !(p = member_name(&s, p)))
                    return s.error;
                continue;
            }
            if (!close(&s, node, ++p))
                return s.error;
        }
        if (!(p = behind(&s, p)))
            return s.error;
    } while (s.open != NO_PARENT);
    p = space(&s, p);
    if (p == s.end)
        return ERR_OK;
    refuse(&s, ERR_JSON_INVALID, p, "more text behind the value");
    return s.error;
}
