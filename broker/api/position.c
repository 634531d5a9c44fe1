/* SPDX-License-Identifier: Apache-2.0
 *
 * api/position.c: what a position means in a partition just now.
 */
#include <stdio.h>

#include "api/api_own.h"

bool position_valid(const struct wire_position *position)
{
    return position->from <= WIRE_FROM_TIME &&
           (position->value >= 0 || position->from == WIRE_FROM_TIME || position->from == WIRE_FROM_START);
}

void position_range_text(const struct partition *p, uint64_t offset, char *why)
{
    snprintf(
        why, API_WHY_BYTES,
        "topic %s, partition %u: offset %llu is outside of what it holds, %llu up to %llu: read from there",
        partition_topic(p)->name, partition_number(p), (unsigned long long)offset,
        (unsigned long long)partition_start(p), (unsigned long long)partition_end(p));
}

bool position_resolve(const struct partition *p, const struct wire_position *position, uint64_t *offset,
                      char *why)
{
    const uint64_t start = partition_start(p), end = partition_end(p);
    const uint64_t value = (uint64_t)position->value;
    switch (position->from) {
    case WIRE_FROM_START:
        *offset = start;
        return true;
    case WIRE_FROM_END:
        *offset = value < end - start ? end - value : start;
        return true;
    default:
        *offset = value;
        if (value >= start && value <= end)
            return true;
        position_range_text(p, value, why);
        return false;
    }
}
