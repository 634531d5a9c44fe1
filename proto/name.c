/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/name.c: topic names and patterns.
 */
#include "proto/name.h"

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
