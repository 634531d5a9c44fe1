/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic_own.h: what the files behind classic.h share.
 *
 *   classic.c          the phases, and members' ends
 *   classic_join.c     joining
 *   classic_request.c  the other requests, and looking
 *   classic_blob.c     what consumers put into preferences and assignments
 */
#ifndef RUNNEL_GROUP_CLASSIC_OWN_H
#define RUNNEL_GROUP_CLASSIC_OWN_H

#include <string.h>

#include "group/classic.h"
#include "group/group_own.h"

struct classic {
    struct group *group;
    enum classic_state state;
    char *protocol_type, *protocol; /* NULL: none */
    struct list members;
    uint32_t pending;
    struct classic_member *leader; /* NULL: none yet */
    struct timer timer;            /* of the phase: */
    bool delaying;                 /* PREPARING, the first time: others may come */
    bool due;                      /* it is over */
    bool assigned;                 /* COMPLETING: the leader's shares are here */
    uint64_t bytes;                /* preferences and assignments */
};

/* ---- classic.c ---- */

/* From wherever it is to PREPARING: parked syncs are told. */
void classic_prepare(struct classic *c);
/* The session starts anew. */
void classic_touch(struct classic_member *m);
/* Answers what is parked. `m` NULL with errors. */
void classic_answer(struct classic_wait **wait, enum classic_result result, const struct classic_member *m);
/* It is gone: parked requests are told `result`. m is freed, the group goes on without it. */
void classic_remove(struct classic_member *m, enum classic_result result);
void classic_free_protocols(struct classic_member *m);
/* Replaces its assignment; empty: none. */
void classic_assign(struct classic_member *m, struct bytes assignment);
/* What the members choose: supported by all, liked best by most; lent from one of them. at NULL: nothing. */
struct bytes classic_choose(const struct classic *c);
/* Do all members but one (NULL: all) support it? */
bool classic_supported(const struct classic *c, struct bytes protocol, const struct classic_member *but);
/* The next one that is not pending; NULL: the first, or there is none. */
struct classic_member *classic_next(const struct classic *c, const struct classic_member *after);
/* classic_request.c: is it a member of this generation? Then its session starts anew. */
enum classic_result classic_speaks(struct groups *groups, const struct classic_who *who);
struct classic_member *classic_find(const struct classic *c, struct bytes id);
struct classic_member *classic_find_instance(const struct classic *c, struct bytes instance);

static inline bool bytes_same(struct bytes a, struct bytes b)
{
    return a.len == b.len && (!a.len || memcmp(a.at, b.at, a.len) == 0);
}
/* One more than its bytes, so that there is something of nothing, too. */
static inline struct bytes bytes_copy(struct bytes b)
{
    uint8_t *copy = mem_alloc(MEM_GROUP, (size_t)b.len + 1);
    if (b.len)
        memcpy(copy, b.at, b.len);
    return (struct bytes){ copy, b.len };
}
static inline void bytes_free(struct bytes b)
{
    if (b.at)
        mem_free(MEM_GROUP, (void *)b.at, (size_t)b.len + 1);
}

#endif
