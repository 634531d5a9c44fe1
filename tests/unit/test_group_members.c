/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is in a group and who has what: joining, coming back, taking over, leaving, dying, falling silent; and
 * how partitions change hands.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "group_rig.h"

static struct grig *rig(uint64_t seed)
{
    static struct grig g;
    grig_start(&g, seed);
    return &g;
}

static struct group *group(struct grig *g, const char *name)
{
    return group_find(g->groups, bytes_of(name));
}

/* Every partition of the topic has an owner, and nothing moves. */
static void check_owned(struct grig *g, const char *name, const char *topic, uint32_t partitions)
{
    for (uint32_t n = 0; n < partitions; n++) {
        const struct gp *gp = grig_gp(g, name, topic, n);
        cr_assert_not_null(gp);
        cr_assert_not_null(gp->owner, "%s/%u has no owner", topic, n);
        cr_assert_not(gp->moving);
    }
}

Test(group_members, one_that_is_alone_gets_everything_at_once)
{
    struct grig *g = rig(1);
    grig_topic(g, "t", 4);
    grig_produce(g, "t", 2, 3);
    struct member *m = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    cr_assert_str_eq(g->log, "+t/0 +t/1 +t/2 +t/3");
    cr_assert_eq(m->partitions, 4);
    cr_assert_eq(g->count, 3);
    cr_assert_eq(group_state(group(g, "g")), GROUP_STABLE);
    cr_assert_eq(strlen(m->id), 16);
    grig_ack_all(g);
    grig_end(g);
}

Test(group_members, new_events_come_in_the_turn_in_which_they_are_durable)
{
    struct grig *g = rig(2);
    grig_topic(g, "t", 1);
    grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    grig_produce(g, "t", 0, 5);
    cr_assert_eq(g->count, 5);
    cr_assert_eq(g->deliveries[4].offset, 4);
    grig_end(g);
}

Test(group_members, a_partition_moves_when_nothing_of_it_is_out)
{
    struct grig *g = rig(3);
    grig_topic(g, "t", 2);
    grig_produce(g, "t", 0, 2);
    grig_produce(g, "t", 1, 2);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 4);
    struct member *b = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    /* One is on its way, the other goes on. */
    cr_assert_eq(g->revoked, 1);
    cr_assert_eq(b->partitions, 0);
    cr_assert_eq(group_state(group(g, "g")), GROUP_REBALANCING);
    struct gp *moving = grig_gp(g, "g", "t", 0)->moving ? grig_gp(g, "g", "t", 0) : grig_gp(g, "g", "t", 1);
    grig_produce(g, "t", moving->number, 1);
    cr_assert_eq(g->count, 4, "what moves gets nothing new");
    grig_produce(g, "t", !moving->number, 1);
    cr_assert_eq(g->count, 5, "what stays goes on");
    const uint32_t epoch = moving->epoch;
    grig_ack_all(g);
    grig_turn(g, 0);
    cr_assert_eq(moving->owner, b);
    cr_assert_eq(moving->epoch, epoch + 1);
    cr_assert_eq(a->partitions, 1);
    cr_assert_eq(b->partitions, 1);
    cr_assert_eq(g->count, 6);
    cr_assert_eq(g->deliveries[5].member, b);
    cr_assert_eq(g->deliveries[5].offset, 2);
    grig_end(g);
}

Test(group_members, what_was_called_off_goes_back)
{
    struct grig *g = rig(4);
    grig_topic(g, "t", 2);
    grig_produce(g, "t", 0, 1);
    grig_produce(g, "t", 1, 1);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    struct member *b = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    member_leave(b);
    grig_turn(g, 0);
    grig_ack_all(g);
    grig_turn(g, 0);
    check_owned(g, "g", "t", 2);
    cr_assert_eq(a->partitions, 2);
    grig_end(g);
}

Test(group_members, a_late_acknowledgement_is_refused_by_name)
{
    struct grig *g = rig(5);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 2);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    struct grig_delivery late = g->deliveries[0];
    struct gp *gp = grig_gp(g, "g", "t", 0);
    cr_assert_eq(group_ack(a, gp, gp->epoch, 5, 1, why), ERR_EVENT_NOT_LEASED);
    cr_assert_eq(group_ack(a, gp, gp->epoch + 1, 0, 1, why), ERR_STALE_GENERATION);
    struct member *b = grig_join(g, "g", GROUP_ORDERED, "t");
    member_drain(a);
    grig_turn(g, 0);
    cr_assert_eq(group_release(a, gp, late.epoch, 0, 2, why), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(gp->owner, b);
    cr_assert_eq(grig_ack(g, &late), ERR_STALE_GENERATION);
    cr_assert_eq(g->count, 4);
    cr_assert_eq(g->deliveries[2].attempts, 0, "released: not charged");
    grig_end(g);
}

Test(group_members, a_broken_connection_has_its_session)
{
    struct grig *g = rig(6);
    grig_topic(g, "t", 2);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    check_owned(g, "g", "t", 2);
    member_detach(a);
    grig_run(g, 9000);
    cr_assert_eq(group(g, "g")->member_count, 2);
    cr_assert_eq(g->revoked, 0);
    grig_run(g, 1100);
    cr_assert_eq(group(g, "g")->member_count, 1);
    check_owned(g, "g", "t", 2);
    grig_end(g);
}

Test(group_members, it_comes_back_as_it_was)
{
    struct grig *g = rig(7);
    char why[GROUP_WHY_BYTES], id[MEMBER_ID_BYTES];
    grig_topic(g, "t", 2);
    grig_produce(g, "t", 0, 6);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t"), *again;
    grig_turn(g, 0);
    snprintf(id, sizeof(id), "%s", a->id);
    const struct grig_delivery first = g->deliveries[0], third = g->deliveries[2];
    member_detach(a);
    grig_run(g, 1000);
    grig_forget(g);
    /* It has the first two in hand; the other four may be lost on the way. */
    const struct group_range in_hand = { first.gp, first.epoch, 0, 2 };
    struct group_join join = {
        .group = bytes_of("g"), .member_id = bytes_of(id), .held = &in_hand, .held_count = 1
    };
    cr_assert_eq(grig_try_join(g, &join, "t", &again, why), ERR_OK, "%s", why);
    cr_assert_eq(again, a);
    cr_assert_str_eq(again->id, id);
    grig_turn(g, 0);
    cr_assert_eq(g->assigned, 2);
    cr_assert_eq(g->revoked, 0);
    cr_assert_eq(g->count, 4);
    cr_assert_eq(g->deliveries[0].offset, 2);
    cr_assert_eq(g->deliveries[0].attempts, 0);
    cr_assert_eq(grig_ack(g, &first), ERR_OK, "what it had in hand counts");
    cr_assert_eq(grig_ack(g, &third), ERR_STALE_GENERATION);
    grig_end(g);
}

Test(group_members, shared_it_comes_back_with_what_it_has_in_hand)
{
    struct grig *g = rig(8);
    char why[GROUP_WHY_BYTES], id[MEMBER_ID_BYTES];
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 6);
    struct member *a = grig_join(g, "g", GROUP_SHARED, "t"), *again;
    grig_turn(g, 0);
    snprintf(id, sizeof(id), "%s", a->id);
    const struct group_range in_hand[] = { { g->deliveries[0].gp, 1, 1, 1 },
                                           { g->deliveries[0].gp, 1, 4, 1 } };
    grig_forget(g);
    struct group_join join = {
        .group = bytes_of("g"), .member_id = bytes_of(id), .held = in_hand, .held_count = 2
    };
    cr_assert_eq(grig_try_join(g, &join, "t", &again, why), ERR_OK, "%s", why);
    cr_assert_eq(g->ended, 1, "the old connection is told");
    cr_assert_eq(again->holder.in_flight, 2);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 4);
    cr_assert_eq(again->holder.in_flight, 6);
    cr_assert_eq(group_ack(again, groups_gp(g->groups, in_hand[0].gp), 1, 4, 1, why), ERR_OK, "%s", why);
    grig_end(g);
}

Test(group_members, an_instance_takes_over_without_a_rebalance)
{
    struct grig *g = rig(9);
    char why[GROUP_WHY_BYTES], id[MEMBER_ID_BYTES];
    grig_topic(g, "t", 4);
    grig_produce(g, "t", 0, 3);
    struct member *a, *b, *again;
    struct group_join join = { .group = bytes_of("g"),
                               .mode = GROUP_ORDERED,
                               .instance_id = bytes_of("worker-1"),
                               .reset = GROUP_RESET_START };
    cr_assert_eq(grig_try_join(g, &join, "t", &a, why), ERR_OK, "%s", why);
    grig_turn(g, 0);
    snprintf(id, sizeof(id), "%s", a->id);
    join.instance_id = bytes_of("worker-2");
    cr_assert_eq(grig_try_join(g, &join, "t", &b, why), ERR_OK, "%s", why);
    grig_ack_all(g);
    grig_turn(g, 0);
    const uint32_t had = a->partitions;
    grig_forget(g);
    grig_produce(g, "t", 3, 3);
    grig_produce(g, "t", 0, 3);
    join.instance_id = bytes_of("worker-1");
    cr_assert_eq(grig_try_join(g, &join, "t", &again, why), ERR_OK, "%s", why);
    cr_assert_eq(again, a);
    cr_assert_str_neq(again->id, id);
    cr_assert_eq(g->ended, 1);
    grig_turn(g, 0);
    cr_assert_eq(g->revoked, 0);
    cr_assert_eq(again->partitions, had);
    cr_assert_eq(group(g, "g")->member_count, 2);
    /* Its old id is nobody's. */
    struct group_join old = { .group = bytes_of("g"), .member_id = bytes_of(id) };
    struct member *third;
    cr_assert_eq(grig_try_join(g, &old, "t", &third, why), ERR_OK);
    cr_assert_neq(third, a);
    cr_assert_str_neq(third->id, id);
    grig_end(g);
}

Test(group_members, a_silent_one_loses_its_partitions_until_it_speaks)
{
    struct grig *g = rig(10);
    grig_topic(g, "t", 2);
    struct member *a = grig_join(g, "g", GROUP_ORDERED, "t"), *b = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_set(g, "g", "retry.backoff", "100ms");
    grig_turn(g, 0);
    struct gp *of_a = grig_gp(g, "g", "t", 0)->owner == a ? grig_gp(g, "g", "t", 0) : grig_gp(g, "g", "t", 1);
    grig_produce(g, "t", of_a->number, 3);
    cr_assert_eq(g->count, 3);
    struct grig_delivery late = g->deliveries[0];
    grig_run(g, 29900);
    cr_assert_eq(a->state, MEMBER_OK);
    grig_run(g, 200);
    cr_assert_eq(a->state, MEMBER_SILENT);
    cr_assert_eq(of_a->owner, b);
    cr_assert_eq(b->partitions, 2);
    grig_run(g, 200);
    cr_assert_eq(g->count, 4, "first the one that failed");
    cr_assert_eq(g->deliveries[3].offset, 0);
    cr_assert_eq(g->deliveries[3].attempts, 1);
    cr_assert_eq(g->deliveries[3].member, b);
    cr_assert_eq(grig_ack(g, &late), ERR_STALE_GENERATION);
    cr_assert_eq(a->state, MEMBER_OK);
    cr_assert_eq(grig_ack(g, &g->deliveries[3]), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 6, "then the rest, charged nothing");
    cr_assert_eq(g->deliveries[4].attempts, 0);
    cr_assert_eq(grig_ack(g, &g->deliveries[4]), ERR_OK);
    cr_assert_eq(grig_ack(g, &g->deliveries[5]), ERR_OK);
    grig_turn(g, 0);
    cr_assert_eq(a->partitions, 1);
    cr_assert_eq(b->partitions, 1);
    grig_end(g);
}

Test(group_members, leaving_gives_back)
{
    struct grig *g = rig(11);
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 5);
    struct member *a = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    cr_assert_eq(g->count, 5);
    struct member *b = grig_join(g, "g", GROUP_SHARED, "t");
    grig_turn(g, 0);
    grig_forget(g);
    member_leave(a);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(g->deliveries[i].member, b);
        cr_assert_eq(g->deliveries[i].attempts, 0);
        cr_assert_not(g->deliveries[i].alone);
    }
    grig_end(g);
}

Test(group_members, limits_and_errors_have_names)
{
    struct grig *g = rig(12);
    char why[GROUP_WHY_BYTES];
    struct member *m;
    grig_topic(g, "orders", 2);
    g->options.groups_max = 2;
    g->options.members_max = 2;
    g->options.topics_max = 2;
    g->options.partitions_max = 4;
    groups_reload(g->groups, &g->options);
    struct group_join join = { .group = bytes_of("a b") };
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_GROUP_NAME_INVALID);
    join.group = bytes_of("__dlq");
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_GROUP_NAME_INVALID);
    join.group = bytes_of("g");
    cr_assert_eq(grig_try_join(g, &join, "ordres", &m, why), ERR_TOPIC_NOT_FOUND);
    cr_assert(strstr(why, "did you mean orders"), "%s", why);
    cr_assert_eq(grig_try_join(g, &join, "no spaces", &m, why), ERR_TOPIC_NAME_INVALID);
    cr_assert_eq(grig_try_join(g, &join, "__groups", &m, why), ERR_TOPIC_INTERNAL);
    cr_assert_eq(grig_try_join(g, &join, "", &m, why), ERR_REQUEST_INVALID);
    cr_assert_eq(grig_try_join(g, &join, "a*,b*,c*", &m, why), ERR_LIMIT_REACHED);
    join.reset = GROUP_RESET_ERROR;
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_POSITION_UNKNOWN);
    cr_assert_null(group(g, "g"), "what was refused leaves nothing behind");
    join.reset = GROUP_RESET_START;
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_OK);
    join.mode = GROUP_SHARED;
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_GROUP_MODE_MISMATCH);
    join.mode = GROUP_ANY;
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_OK);
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_LIMIT_REACHED);
    cr_assert(strstr(why, "group.members.max"), "%s", why);
    join.group = bytes_of("h");
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_OK);
    join.group = bytes_of("i");
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_LIMIT_REACHED);
    cr_assert(strstr(why, "groups.max"), "%s", why);
    g->options.groups_max = 10;
    groups_reload(g->groups, &g->options);
    cr_assert_eq(grig_try_join(g, &join, "orders", &m, why), ERR_LIMIT_REACHED);
    cr_assert(strstr(why, "groups.partitions.max"), "%s", why);
    cr_assert_eq(group_delete(group(g, "h"), why), ERR_GROUP_BUSY);
    grig_end(g);
}

/* Whoever joins, leaves, dies or is slow: everything has one owner in the end, and is shared evenly. */
Test(group_members, a_hundred_members_and_three_hundred_partitions, .timeout = 120)
{
    struct grig *g = rig(13);
    struct member *members[101];
    grig_topic(g, "t", 300);
    for (uint32_t n = 0; n < 300; n++)
        grig_produce(g, "t", n, 2);
    for (int i = 0; i < 100; i++)
        members[i] = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    check_owned(g, "g", "t", 300);
    cr_assert_eq(g->count, 600);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(members[i]->partitions, 3);
    grig_ack_all(g);
    grig_turn(g, 0);
    grig_forget(g);
    /* In one turn: */
    members[100] = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    check_owned(g, "g", "t", 300);
    cr_assert_eq(g->revoked, 2);
    cr_assert_eq(members[100]->partitions, 2);
    grig_forget(g);
    member_detach(members[0]);
    grig_run(g, 10002);
    check_owned(g, "g", "t", 300);
    cr_assert_eq(g->revoked, 0);
    cr_assert_leq(g->assigned, 3);
    grig_end(g);
}

Test(group_members, patterns_meet_topics_that_come_later)
{
    struct grig *g = rig(14);
    char why[GROUP_WHY_BYTES];
    grig_topic(g, "orders.a", 1);
    grig_produce(g, "orders.a", 0, 3);
    /* What was there is consumed from where the group says: the end. */
    struct group_join join = { .group = bytes_of("g"), .mode = GROUP_SHARED };
    struct member *m;
    cr_assert_eq(grig_try_join(g, &join, "orders.*", &m, why), ERR_OK, "%s", why);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 0);
    struct topic *b = grig_topic(g, "orders.b", 1);
    grig_topic(g, "orders.b.dlq", 1);
    grig_topic(g, "other", 1);
    grig_produce(g, "orders.b", 0, 2);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 2, "nothing of a new topic is skipped");
    cr_assert_null(grig_gp(g, "g", "orders.b.dlq", 0), "its own dead letters are not for it");
    /* Added partitions from their start, too; it is told of these alone. */
    g->log[0] = 0;
    cr_assert_eq(catalog_add_partitions(g->store.store, b, 3, why), ERR_OK, "%s", why);
    grig_produce(g, "orders.b", 2, 4);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 6);
    cr_assert_eq(m->partitions, 4);
    cr_assert_str_eq(g->log, "+orders.b/1 +orders.b/2");
    grig_ack_all(g);
    /* And those that come while nobody is there. */
    member_leave(m);
    grig_turn(g, 0);
    grig_topic(g, "orders.c", 1);
    grig_produce(g, "orders.c", 0, 2);
    grig_forget(g);
    cr_assert_eq(grig_try_join(g, &join, "orders.*", &m, why), ERR_OK, "%s", why);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 2);
    grig_end(g);
}

Test(group_members, a_deleted_topic_is_dropped)
{
    struct grig *g = rig(15);
    char why[GROUP_WHY_BYTES];
    struct topic *t = grig_topic(g, "t", 2);
    grig_topic(g, "u", 1);
    grig_produce(g, "t", 0, 5);
    struct member *m = grig_join(g, "g", GROUP_ORDERED, "t,u");
    grig_turn(g, 0);
    cr_assert_eq(m->holder.in_flight, 5);
    grig_forget(g);
    cr_assert_eq(catalog_delete(g->store.store, t, why), ERR_OK, "%s", why);
    grig_turn(g, 0);
    cr_assert_str_eq(g->log, "-t/0 -t/1");
    cr_assert_eq(g->gone, 2);
    cr_assert_eq(m->holder.in_flight, 0);
    cr_assert_eq(m->partitions, 1);
    /* Again under the same name: another topic, from its start. */
    grig_topic(g, "t", 1);
    grig_produce(g, "t", 0, 2);
    grig_turn(g, 0);
    cr_assert_eq(g->count, 2);
    cr_assert_eq(m->partitions, 2);
    grig_end(g);
}

Test(group_members, idle_groups_expire)
{
    struct grig *g = rig(16);
    grig_topic(g, "t", 1);
    struct member *m = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_set(g, "g", "expire.after", "1h");
    grig_turn(g, 0);
    grig_run(g, 2 * 3600 * 1000);
    cr_assert_not_null(group(g, "g"));
    member_leave(m);
    grig_run(g, 3500 * 1000);
    cr_assert_not_null(group(g, "g"));
    grig_restart(g, false);
    cr_assert_not_null(group(g, "g"));
    grig_run(g, 200 * 1000);
    cr_assert_null(group(g, "g"));
    grig_restart(g, false);
    cr_assert_null(group(g, "g"));
    grig_end(g);
}
