/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/name.c: topic names and patterns.
 */
#include "proto/name.h"

#include <stdio.h>

static bool name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool topic_name_valid(struct bytes name)
{
    if (name.len == 0 || name.len > TOPIC_NAME_MAX)
        return false;
    for (uint32_t i = 0; i < name.len; i++)
        if (!name_char(name.at[i]))
            return false;
    /* A topic is a directory: these two are taken. */
    return !(name.at[0] == '.' && (name.len == 1 || (name.len == 2 && name.at[1] == '.')));
}

bool topic_name_internal(struct bytes name)
{
    return name.len >= 2 && name.at[0] == '_' && name.at[1] == '_';
}

bool name_matches(struct bytes pattern, struct bytes name)
{
    uint32_t p = 0, n = 0, after_star = UINT32_MAX, star_from = 0;

    /* Only the last star is ever tried anew, so the work is bounded by pattern x name. */
    while (n < name.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            after_star = ++p;
            star_from = n;
        } else if (p < pattern.len && (pattern.at[p] == '?' || pattern.at[p] == name.at[n])) {
            p++;
            n++;
        } else if (after_star != UINT32_MAX) {
            p = after_star;
            n = ++star_from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

int name_compare(struct bytes a, struct bytes b)
{
    const int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (int)a.len - (int)b.len;
}

uint32_t name_place(const void *rows, uint32_t count, struct bytes (*name_at)(const void *rows, uint32_t i),
                    struct bytes name, bool *found)
{
    uint32_t low = 0, high = count;
    *found = false;
    while (low < high) {
        const uint32_t mid = (low + high) / 2;
        const int order = name_compare(name_at(rows, mid), name);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- the naming policy ---- */

static struct bytes without_suffix(struct bytes name, const char *suffix)
{
    const uint32_t len = (uint32_t)strlen(suffix);
    if (name.len > len && memcmp(name.at + name.len - len, suffix, len) == 0)
        name.len -= len;
    return name;
}

static bool is_word(struct bytes s)
{
    for (uint32_t i = 0; i < s.len; i++) {
        const uint8_t c = s.at[i];
        if (!(c >= 'a' && c <= 'z') && !(i > 0 && ((c >= '0' && c <= '9') || c == '_' || c == '-')))
            return false;
    }
    return s.len > 0;
}

static bool is_one_of(struct bytes s, const char *const *words)
{
    for (; *words; words++)
        if (s.len == strlen(*words) && memcmp(s.at, *words, s.len) == 0)
            return true;
    return false;
}

static bool is_version(struct bytes s)
{
    for (uint32_t i = 1; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
    return s.len > 1 && s.len < 8 && s.at[0] == 'v' && s.at[1] != '0';
}

bool name_follows_policy(struct bytes name, char *why)
{
    enum { SEGMENTS = 5 };
    static const char *const patterns[] = { "request", "response", "event", "audit", NULL };
    static const char *const audit[] = { "audit", NULL };
    static const char *const what[] = { "namespace", "domain", "pattern", "operation", "version" };
    struct bytes segments[SEGMENTS] = { 0 };
    uint32_t count = 0, begin = 0;
    name = without_suffix(without_suffix(name, ".dlq"), ".quarantine");
    for (uint32_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.at[i] != '.')
            continue;
        if (count < SEGMENTS)
            segments[count] = (struct bytes){ name.at + begin, i - begin };
        count++;
        begin = i + 1;
    }
    const bool short_audit = count == 4 && is_one_of(segments[1], audit);
    if (count != SEGMENTS && !short_audit) {
        snprintf(why, NAME_WHY_BYTES,
                 "it has %u segments, not the five of {namespace}.{domain}.{pattern}.{operation}.{version}",
                 count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t part = short_audit && i > 1 ? i + 1 : i; /* audit is domain and pattern */
        const bool good = part == 2   ? is_one_of(segments[i], patterns)
                          : part == 4 ? is_version(segments[i])
                                      : is_word(segments[i]);
        if (good)
            continue;
        snprintf(why, NAME_WHY_BYTES, "segment %u, '%.*s', is no %s: %s", i + 1,
                 (int)(segments[i].len < 40 ? segments[i].len : 40), (const char *)segments[i].at, what[part],
                 part == 2   ? "write request, response, event or audit"
                 : part == 4 ? "write v1, v2 ..."
                             : "write small letters, digits, '_' and '-', a letter first");
        return false;
    }
    return true;
}
