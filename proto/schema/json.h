/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/json.h: JSON (RFC 8259) read in place, into a row of nodes in document order.
 *
 * A node names a piece of the text and where its subtree ends; nothing is copied but strings with escapes,
 * whose decoded bytes go to scratch. Nothing is allocated: scratch is the caller's, of a size that the caller
 * chose, and a text that needs more is refused by name.
 *
 *   {"a":[1,2],"b":"x"}     0 object size=2 next=7
 *                           1   key "a"        next=2      a key is a string node right before its value
 *                           2   array size=2   next=5
 *                           3     number 1
 *                           4     number 2
 *                           5   key "b"
 *                           6   string "x"
 *
 * Refused beside what the grammar refuses: bytes that are not UTF-8, half of a surrogate pair, a name twice
 * in one object (readers disagree on which one counts), and more depth, values or string bytes than allowed.
 * Numbers stay text: decimal.h compares them exactly, however long.
 */
#ifndef RUNNEL_PROTO_SCHEMA_JSON_H
#define RUNNEL_PROTO_SCHEMA_JSON_H

#include "proto/cursor.h"
#include "proto/errors.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum {
    JSON_DECODED = 1, /* `at` is a place in json.decoded: the string had escapes */
    JSON_ASCII = 2,   /* as many characters as bytes */
    JSON_INTEGER = 4, /* neither a fraction nor an exponent is written */
    JSON_KEY = 8,     /* the name of the value after it; `hash` is set */

    JSON_DEPTH_MAX = 256, /* more than any event needs; the checker recurses once per level */
    JSON_WHY_BYTES = 160,
};

struct json_node {
    uint32_t next; /* the node after this one's subtree */
    uint32_t at;   /* where it begins: behind the quote of a string */
    uint32_t size; /* bytes of a string or number; elements, or pairs, of a container */
    uint32_t hash; /* of a key: json_hash() of its bytes */
    uint8_t type, flags;
};

struct json {
    const uint8_t *text;
    struct json_node *nodes; /* nodes[0] is the root */
    uint8_t *decoded;
    uint32_t *table; /* for finding names that come twice in large objects */
    uint32_t count, nodes_room, decoded_bytes, decoded_room, table_room;
};

struct json_limits {
    uint32_t depth;        /* at most JSON_DEPTH_MAX */
    uint32_t string_bytes; /* of the longest string or name; 0: any */
};

/* Scratch for texts of at most `values` values and names and `text_bytes` bytes. */
uint64_t json_scratch_bytes(uint32_t values, uint32_t text_bytes);
/* Divides a block of that many bytes, aligned for a pointer. It stays the caller's. */
void json_init(struct json *json, void *block, uint32_t values, uint32_t text_bytes);
/* Reads a text, which must outlive the use of the nodes. ERR_JSON_INVALID or ERR_JSON_LIMIT with a sentence
 * in `why` (JSON_WHY_BYTES), which names the byte. */
enum error json_read(struct json *json, struct bytes text, const struct json_limits *limits, char *why);

uint32_t json_hash(struct bytes b);

static inline struct bytes json_bytes(const struct json *json, const struct json_node *node)
{
    return (struct bytes){ (node->flags & JSON_DECODED ? json->decoded : json->text) + node->at, node->size };
}

/* The value of a name in an object, or NULL. */
const struct json_node *json_member(const struct json *json, const struct json_node *object,
                                    struct bytes name);
/* The same two values? 1.0 is 1, and the order of members counts for nothing. Recursion ends at
 * JSON_DEPTH_MAX. Counts what it looks at into *steps. The arguments of `a` and `b` may be of different
 * texts. */
bool json_equal(const struct json *ja, const struct json_node *a, const struct json *jb,
                const struct json_node *b, uint64_t *steps);
/* A hash that equal values share. */
uint32_t json_value_hash(const struct json *json, const struct json_node *node);
/* Characters of a string. */
uint32_t json_characters(const struct json *json, const struct json_node *node);
/* "$.a[3].b" or "$['a b']": where a node is, cut to what fits; terminated. */
void json_path(const struct json *json, const struct json_node *node, char *out, uint32_t out_bytes);
const char *json_type_name(enum json_type type);

static inline bool bytes_same(struct bytes a, struct bytes b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

#endif
