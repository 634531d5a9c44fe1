/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/check_own.h: one check in progress, shared by the files that know one kind of value each.
 */
#ifndef RUNNEL_PROTO_SCHEMA_CHECK_OWN_H
#define RUNNEL_PROTO_SCHEMA_CHECK_OWN_H

#include "proto/schema/program_own.h"
#include "proto/schema/schema.h"

/* Which items or members of the value at hand some keyword has looked at: a bit each. Only kept where an
 * unevaluated* keyword will ask. */
struct marks {
    uint64_t *bits;
    uint32_t words;
};

/* The resources that the way to here led through, innermost first; on the stack of who recurses. */
struct scope {
    const struct resource *resource;
    const struct scope *outer;
};

struct schema_checker {
    struct schema_memory memory;
    struct json json;
    struct regex_matcher *matcher;
    uint64_t *marks; /* a stack of marks' bits */
    uint32_t marks_room;
    size_t block_bytes;

    /* of the check in progress */
    struct schema_result *result;
    const struct scope *scope;
    uint32_t marks_used, depth;
    uint32_t quiet; /* above 0: whether is asked, not why not */
    bool dynamic;
    bool stop;  /* no more faults are wanted */
    bool fatal; /* the budget is used up */
    int64_t steps;
};

/* Applies a rule to a value. `outer`: where what it looks at is marked, or NULL. */
bool rule_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                struct marks *outer);
/* The same, where only the answer counts. */
bool rule_holds(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                struct marks *outer);
bool array_check(struct schema_checker *c, const struct rule_array *a, const struct json_node *node,
                 struct marks *marks);
bool object_check(struct schema_checker *c, const struct rule_object *o, const struct json_node *node,
                  struct marks *marks);
bool logic_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                 struct marks *marks);
bool unevaluated_check(struct schema_checker *c, const struct rule *rule, const struct json_node *node,
                       struct marks *marks);

/* Bits for the children of `node`, none set; given back by setting c->marks_used to what it was. */
bool marks_take(struct schema_checker *c, const struct json_node *node, struct marks *marks);

static inline void mark(struct marks *marks, uint32_t i)
{
    if (marks)
        marks->bits[i / 64] |= 1ull << i % 64;
}

static inline void mark_all(struct marks *to, const struct marks *from)
{
    for (uint32_t i = 0; to && from && i < to->words; i++)
        to->bits[i] |= from->bits[i];
}

/* Records that a keyword is not met at `node`, if that is wanted; returns false. */
bool fault(struct schema_checker *c, const struct json_node *node, const char *keyword, const char *expected,
           ...) __attribute__((format(printf, 4, 5)));
/* Takes from the budget; false: it is used up. */
bool spend(struct schema_checker *c, uint64_t steps);
bool pattern_holds(struct schema_checker *c, const struct regex *regex, const struct json_node *node);

#endif
