/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/classic_test.h: a Kafka consumer as the coordinator sees it: what it asked for last, and what it
 * was told.
 */
#ifndef RUNNEL_TESTS_CLASSIC_TEST_H
#define RUNNEL_TESTS_CLASSIC_TEST_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "group/classic.h"
#include "group_rig.h"

struct consumer {
    struct classic_wait wait;
    bool waits, syncing;
    enum classic_result result; /* of the last request */
    char id[CLASSIC_ID_MAX + 1];
    const char *instance;
    int32_t generation;
    bool leads;
    uint32_t listed; /* members that the leader was told of */
    char others[64][CLASSIC_ID_MAX + 1];
    char protocol[32], share[128];
    uint32_t session_ms, rebalance_ms;
    const char *protocols; /* separated by commas; metadata is "name:" and `topics` */
    const char *topics;
};

static inline void consumer_init(struct consumer *c)
{
    memset(c, 0, sizeof(*c));
    c->session_ms = 10000;
    c->rebalance_ms = 60000;
    c->protocols = "range";
    c->topics = "t";
    c->instance = "";
    c->generation = -1;
}

static inline void consumer_learn(struct consumer *c, const struct classic_member *m)
{
    snprintf(c->id, sizeof(c->id), "%s", m->id);
    if (c->syncing) {
        snprintf(c->share, sizeof(c->share), "%.*s", (int)m->assignment.len, (const char *)m->assignment.at);
        return;
    }
    c->generation = (int32_t)m->group->generation;
    c->leads = strcmp(classic_leader(m), m->id) == 0;
    snprintf(c->protocol, sizeof(c->protocol), "%s", classic_protocol_name(m->group));
    c->listed = 0;
    for (const struct classic_member *o = NULL; c->leads && (o = classic_member_next(m->group, o));)
        snprintf(c->others[c->listed++], sizeof(c->others[0]), "%s", o->id);
}

static inline void consumer_done(struct classic_wait *wait, enum classic_result result,
                                 const struct classic_member *m)
{
    struct consumer *c = CONTAINER_OF(wait, struct consumer, wait);
    cr_assert(c->waits, "answered twice");
    cr_assert_eq(m != NULL, result == CLASSIC_OK);
    c->waits = false;
    c->result = result;
    if (m)
        consumer_learn(c, m);
}

static inline enum classic_result consumer_said(struct consumer *c, enum classic_result result,
                                                const struct classic_member *m)
{
    c->result = result;
    c->waits = result == CLASSIC_PARKED;
    if (result == CLASSIC_MEMBER_ID_REQUIRED)
        snprintf(c->id, sizeof(c->id), "%s", m->id);
    else if (result == CLASSIC_OK)
        consumer_learn(c, m);
    return result;
}

static inline enum classic_result consumer_join_as(struct grig *g, struct consumer *c, const char *group,
                                                   bool id_first)
{
    struct classic_protocol protocols[8];
    char metadata[8][64], why[GROUP_WHY_BYTES];
    uint32_t count = 0;
    for (const char *at = c->protocols; *at; count++) {
        const size_t n = strcspn(at, ",");
        protocols[count].name = (struct bytes){ (const uint8_t *)at, (uint32_t)n };
        snprintf(metadata[count], sizeof(metadata[0]), "%.*s:%s", (int)n, at, c->topics);
        protocols[count].metadata = bytes_of(metadata[count]);
        at += n + (at[n] == ',');
    }
    const struct classic_join request = {
        .group = bytes_of(group),
        .member_id = bytes_of(c->id),
        .instance_id = bytes_of(c->instance),
        .client = bytes_of("tester"),
        .host = bytes_of("127.0.0.1"),
        .protocol_type = bytes_of("consumer"),
        .session_ms = c->session_ms,
        .rebalance_ms = c->rebalance_ms,
        .id_first = id_first,
        .protocols = protocols,
        .protocol_count = count,
    };
    const struct classic_member *m = NULL;
    c->wait.done = consumer_done;
    c->syncing = false;
    const enum classic_result result = classic_join(g->groups, &request, &c->wait, &m, why);
    return consumer_said(c, result, m);
}

static inline enum classic_result consumer_join(struct grig *g, struct consumer *c, const char *group)
{
    if (consumer_join_as(g, c, group, true) == CLASSIC_MEMBER_ID_REQUIRED)
        return consumer_join_as(g, c, group, true);
    return c->result;
}

static inline struct classic_who consumer_who(const struct consumer *c, const char *group)
{
    return (struct classic_who){ bytes_of(group), bytes_of(c->id), bytes_of(c->instance), c->generation };
}

/* The leader gives each "<generation>/<member id>". */
static inline enum classic_result consumer_sync(struct grig *g, struct consumer *c, const char *group)
{
    static char text[64][CLASSIC_ID_MAX + 32];
    struct classic_share shares[64];
    const struct classic_who who = consumer_who(c, group);
    const struct classic_member *m = NULL;
    for (uint32_t i = 0; c->leads && i < c->listed; i++) {
        snprintf(text[i], sizeof(text[0]), "%d/%s", c->generation, c->others[i]);
        shares[i] = (struct classic_share){ bytes_of(c->others[i]), bytes_of(text[i]) };
    }
    c->syncing = true;
    const enum classic_result result =
        classic_sync(g->groups, &who, bytes_of("consumer"), bytes_of(c->protocol), shares,
                     c->leads ? c->listed : 0, &c->wait, &m);
    return consumer_said(c, result, m);
}

static inline enum classic_result consumer_beat(struct grig *g, const struct consumer *c, const char *group)
{
    const struct classic_who who = consumer_who(c, group);
    return classic_heartbeat(g->groups, &who);
}

static inline enum classic_result consumer_leave(struct grig *g, const struct consumer *c, const char *group)
{
    const struct classic_who who = consumer_who(c, group);
    return classic_leave(g->groups, &who);
}

#endif
