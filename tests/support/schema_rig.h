/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for schemas from malloc(), and the text of a value that was read.
 */
#ifndef RUNNEL_TESTS_SCHEMA_RIG_H
#define RUNNEL_TESTS_SCHEMA_RIG_H

#include <stdlib.h>

#include "proto/schema/schema.h"

static inline void *rig_get(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static inline void rig_put(void *ctx, void *block, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(block);
}

static const struct schema_memory rig_memory = { rig_get, rig_put, NULL };

/* A value as it was written, quotes and brackets included. */
static inline struct bytes rig_written(const struct json *json, const struct json_node *node)
{
    const uint8_t *p = json->text + node->at, *start = p;
    int depth = 0;
    if (node->type == JSON_STRING) {
        const uint8_t *key_end =
            json->text + (node[-1].at + node[-1].size); /* strings with escapes have no place */
        for (p = start = key_end; *p != ':'; p++) {
        }
        while (*p != '"')
            p++;
        start = p;
    } else if (node->type < JSON_ARRAY) {
        return json_bytes(json, node);
    }
    do {
        if (*p == '"')
            for (p++; *p != '"'; p++)
                p += *p == '\\';
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    } while (depth > 0);
    return (struct bytes){ start, (uint32_t)(p - start) };
}

#endif
