/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/json_value.c: questions about what was read: members, equality, where a value is.
 */
#include <stdio.h>

#include "proto/schema/decimal.h"
#include "proto/schema/json.h"

const struct json_node *json_member(const struct json *json, const struct json_node *object,
                                    struct bytes name)
{
    const uint32_t hash = json_hash(name);
    const struct json_node *key = object + 1;
    for (uint32_t i = 0; i < object->size; i++, key = &json->nodes[key[1].next])
        if (key->hash == hash && bytes_same(json_bytes(json, key), name))
            return key + 1;
    return NULL;
}

bool json_equal(const struct json *ja, const struct json_node *a, const struct json *jb,
                const struct json_node *b, uint64_t *steps)
{
    ++*steps;
    if (a->type != b->type)
        return false;
    if (a->type == JSON_NUMBER)
        return decimal_compare(json_bytes(ja, a), json_bytes(jb, b)) == 0;
    if (a->type == JSON_STRING)
        return bytes_same(json_bytes(ja, a), json_bytes(jb, b));
    if (a->type < JSON_NUMBER)
        return true;
    if (a->size != b->size)
        return false;
    const struct json_node *x = a + 1, *y = b + 1;
    for (uint32_t i = 0; i < a->size; i++) {
        if (a->type == JSON_ARRAY) {
            if (!json_equal(ja, x, jb, y, steps))
                return false;
            x = &ja->nodes[x->next];
            y = &jb->nodes[y->next];
        } else {
            *steps += b->size;
            y = json_member(jb, b, json_bytes(ja, x));
            if (!y || !json_equal(ja, x + 1, jb, y, steps))
                return false;
            x = &ja->nodes[x[1].next];
        }
    }
    return true;
}

uint32_t json_value_hash(const struct json *json, const struct json_node *node)
{
    uint32_t h = node->type;
    const struct json_node *child = node + 1;
    switch ((enum json_type)node->type) {
    case JSON_NUMBER:
        return decimal_hash(json_bytes(json, node));
    case JSON_STRING:
        return json_hash(json_bytes(json, node));
    case JSON_ARRAY:
        for (uint32_t i = 0; i < node->size; i++, child = &json->nodes[child->next])
            h = h * 31 + json_value_hash(json, child);
        return h;
    case JSON_OBJECT: /* a sum: the order of members counts for nothing */
        for (uint32_t i = 0; i < node->size; i++, child = &json->nodes[child[1].next])
            h += (child->hash ^ json_value_hash(json, child + 1)) * 0x9e3779b1u;
        return h;
    default:
        return h * 0x9e3779b1u;
    }
}

uint32_t json_characters(const struct json *json, const struct json_node *node)
{
    const struct bytes b = json_bytes(json, node);
    uint32_t n = 0;
    if (node->flags & JSON_ASCII)
        return b.len;
    for (uint32_t i = 0; i < b.len; i++)
        n += (b.at[i] & 0xc0) != 0x80;
    return n;
}

static bool plain_name(struct bytes name)
{
    for (uint32_t i = 0; i < name.len; i++) {
        const uint8_t c = name.at[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && c != '_' && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

static uint32_t path_put(char *out, uint32_t used, uint32_t room, const char *format, int n, const void *s)
{
    const int put = snprintf(out + used, room - used, format, n, s);
    return put < 0 || (uint32_t)put >= room - used ? room - 1 : used + (uint32_t)put;
}

void json_path(const struct json *json, const struct json_node *node, char *out, uint32_t out_bytes)
{
    const uint32_t target = (uint32_t)(node - json->nodes);
    const struct json_node *at = json->nodes;
    uint32_t used = path_put(out, 0, out_bytes, "$", 0, NULL);
    while (at != node && used + 1 < out_bytes) {
        const bool object = at->type == JSON_OBJECT;
        const struct json_node *child = at + 1;
        uint32_t i = 0;
        /* A name is where its value is. */
        for (; json->nodes[(child - json->nodes) + object].next <= target; i++)
            child = &json->nodes[child[object].next];
        if (object) {
            const struct bytes name = json_bytes(json, child);
            used = path_put(out, used, out_bytes, plain_name(name) ? ".%.*s" : "['%.*s']", (int)name.len,
                            name.at);
            if (child == node)
                break;
            at = child + 1;
        } else {
            const int put = snprintf(out + used, out_bytes - used, "[%u]", i);
            used = (uint32_t)put >= out_bytes - used ? out_bytes - 1 : used + (uint32_t)put;
            at = child;
        }
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        "null", "boolean", "boolean", "number", "string", "array", "object"
    };
    return names[type];
}
