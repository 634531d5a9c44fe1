/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as JSON. What is accepted is a well-formed row of nodes whose pieces lie in the text, equals
 * itself, and has a path to each of its values; what is refused has a sentence.
 */
#include "fuzz.h"

#include <string.h>

#include "proto/schema/decimal.h"
#include "proto/schema/json.h"

static uint32_t visit(const struct json *json, uint32_t at, uint32_t depth)
{
    const struct json_node *node = &json->nodes[at];
    const struct bytes b = json_bytes(json, node);
    const bool decoded = node->flags & JSON_DECODED;
    uint32_t child = at + 1;
    char path[64];
    FUZZ_CHECK(depth <= 32 && node->next > at && node->next <= json->count);
    json_path(json, node, path, sizeof(path));
    FUZZ_CHECK(path[0] == '$' && memchr(path, 0, sizeof(path)));
    if (node->type < JSON_ARRAY) {
        const uint64_t end = (uint64_t)node->at + b.len;
        FUZZ_CHECK(!decoded || end <= json->decoded_bytes);
        FUZZ_CHECK(node->next == at + 1);
        if (node->type == JSON_NUMBER)
            FUZZ_CHECK(decimal_compare(b, b) == 0 && (!(node->flags & JSON_INTEGER) || decimal_integer(b)));
        return node->next;
    }
    for (uint32_t i = 0; i < node->size; i++) {
        if (node->type == JSON_OBJECT) {
            FUZZ_CHECK(json->nodes[child].flags & JSON_KEY);
            const struct bytes name = json_bytes(json, &json->nodes[child]);
            FUZZ_CHECK(json->nodes[child].hash == json_hash(name));
            child++;
            if (i < 64)
                FUZZ_CHECK(json_member(json, node, name) == &json->nodes[child]);
        }
        child = visit(json, child, depth + 1);
    }
    FUZZ_CHECK(child == node->next);
    return child;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const struct json_limits limits = { .depth = 32, .string_bytes = 4096 };
    enum { VALUES = 2048 };
    char why[JSON_WHY_BYTES] = "";
    struct json json;
    if (size > 1 << 16)
        return;
    void *block = malloc(json_scratch_bytes(VALUES, (uint32_t)size));
    FUZZ_CHECK(block);
    json_init(&json, block, VALUES, (uint32_t)size);
    const enum error error = json_read(&json, (struct bytes){ data, (uint32_t)size }, &limits, why);
    FUZZ_CHECK(error == ERR_OK || error == ERR_JSON_INVALID || error == ERR_JSON_LIMIT);
    FUZZ_CHECK((error == ERR_OK) == (why[0] == 0));
    if (error == ERR_OK) {
        uint64_t steps = 0;
        FUZZ_CHECK(visit(&json, 0, 0) == json.count);
        FUZZ_CHECK(json_equal(&json, json.nodes, &json, json.nodes, &steps));
        FUZZ_CHECK(json_value_hash(&json, json.nodes) == json_value_hash(&json, json.nodes));
    }
    free(block);
}
