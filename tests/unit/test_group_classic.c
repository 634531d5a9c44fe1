/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of Kafka clients: joining, sharing out, staying, leaving; positions; and the two kinds of groups
 * beside each other. Time is the simulation's.
 */
#include "classic_test.h"
#include "io_sim.h"

static struct grig rig_, *g = &rig_;
static struct consumer a, b, c;
static char why[GROUP_WHY_BYTES];

static void begin(uint64_t seed)
{
    grig_start(g, seed);
    grig_topic(g, "t", 3);
    consumer_init(&a);
    consumer_init(&b);
    consumer_init(&c);
}

static struct group *the_group(void)
{
    return group_find(g->groups, bytes_of("g"));
}

static void check_share(const struct consumer *x)
{
    char want[sizeof(x->share)];
    cr_assert_eq(x->result, CLASSIC_OK);
    snprintf(want, sizeof(want), "%d/%s", x->generation, x->id);
    cr_assert_str_eq(x->share, want);
}

/* a alone, stable. */
static void one_member(void)
{
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    grig_run(g, CLASSIC_DELAY_MS + 1);
    cr_assert_eq(a.result, CLASSIC_OK);
    cr_assert(a.leads);
    cr_assert_eq(consumer_sync(g, &a, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    check_share(&a);
}

/* a and b, stable; a leads. */
static void two_members(void)
{
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    cr_assert_eq(consumer_join(g, &b, "g"), CLASSIC_PARKED);
    grig_run(g, CLASSIC_DELAY_MS + 1);
    cr_assert_eq(a.generation, b.generation);
    cr_assert(a.leads && !b.leads);
    cr_assert_eq(a.listed, 2);
    cr_assert_eq(consumer_sync(g, &b, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert(b.waits, "the leader has not shared out yet");
    cr_assert_eq(consumer_sync(g, &a, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    check_share(&a);
    check_share(&b);
    cr_assert_eq(group_state(the_group()), GROUP_STABLE);
}

Test(group_classic, a_new_member_is_told_its_id_first)
{
    begin(1);
    cr_assert_eq(consumer_join_as(g, &a, "g", true), CLASSIC_MEMBER_ID_REQUIRED);
    cr_assert_neq(a.id[0], 0);
    cr_assert_eq(the_group()->member_count, 0);
    cr_assert_eq(consumer_join_as(g, &a, "g", true), CLASSIC_PARKED);
    cr_assert_eq(the_group()->member_count, 1);
    /* Old clients join at once. */
    cr_assert_eq(consumer_join_as(g, &b, "g", false), CLASSIC_PARKED);
    grig_run(g, CLASSIC_DELAY_MS + 1);
    cr_assert_eq(a.result, CLASSIC_OK);
    cr_assert_eq(b.result, CLASSIC_OK);
    cr_assert_eq(b.generation, 1);
    cr_assert_str_eq(a.protocol, "range");
    /* One that was made up is nobody's. */
    snprintf(c.id, sizeof(c.id), "mine");
    cr_assert_eq(consumer_join_as(g, &c, "g", true), CLASSIC_MEMBER_UNKNOWN);
    grig_end(g);
}

Test(group_classic, an_id_never_used_is_forgotten)
{
    begin(2);
    cr_assert_eq(consumer_join_as(g, &a, "g", true), CLASSIC_MEMBER_ID_REQUIRED);
    cr_assert_eq(group_kind_check(the_group(), false, why), ERR_GROUP_KIND_MISMATCH);
    grig_run(g, a.session_ms + 10);
    cr_assert_eq(group_kind_check(the_group(), false, why), ERR_OK);
    cr_assert_eq(consumer_join_as(g, &a, "g", true), CLASSIC_MEMBER_UNKNOWN);
    grig_run(g, 70000);
    cr_assert_null(the_group(), "a group with nothing to remember goes soon");
    grig_end(g);
}

Test(group_classic, two_members_share_and_a_third_makes_them_share_anew)
{
    begin(3);
    two_members();
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_OK);
    cr_assert_eq(consumer_join(g, &c, "g"), CLASSIC_PARKED);
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_REBALANCING);
    cr_assert_eq(consumer_sync(g, &b, "g"), CLASSIC_REBALANCING);
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert(c.waits, "b has not come yet");
    cr_assert_eq(consumer_join(g, &b, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert_eq(c.generation, 2);
    cr_assert(a.leads, "who led leads on");
    cr_assert_eq(a.listed, 3);
    struct consumer late = b;
    late.generation = 1;
    cr_assert_eq(consumer_beat(g, &late, "g"), CLASSIC_GENERATION_STALE);
    cr_assert_eq(consumer_sync(g, &late, "g"), CLASSIC_GENERATION_STALE);
    cr_assert_eq(consumer_beat(g, &b, "g"), CLASSIC_OK, "heartbeats may come before the shares");
    consumer_sync(g, &b, "g");
    consumer_sync(g, &c, "g");
    consumer_sync(g, &a, "g");
    grig_turn(g, 0);
    check_share(&a);
    check_share(&b);
    check_share(&c);
    cr_assert_eq(consumer_sync(g, &c, "g"), CLASSIC_OK, "a lost answer is given again");
    check_share(&c);
    grig_end(g);
}

Test(group_classic, a_member_that_is_silent_goes_and_one_that_speaks_stays)
{
    begin(4);
    two_members();
    for (int i = 0; i < 5; i++) {
        grig_run(g, 4000);
        consumer_beat(g, &a, "g");
    }
    cr_assert_eq(the_group()->member_count, 1);
    cr_assert_eq(consumer_beat(g, &b, "g"), CLASSIC_MEMBER_UNKNOWN);
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_REBALANCING);
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert_eq(a.result, CLASSIC_OK);
    cr_assert_eq(a.listed, 1);
    cr_assert_eq(groups_stats(g->groups)->sessions_expired, 1);
    grig_end(g);
}

Test(group_classic, who_does_not_join_again_in_time_is_out)
{
    begin(5);
    a.rebalance_ms = b.rebalance_ms = 2000;
    two_members();
    a.topics = "t,u"; /* a change of mind is a rebalance, too */
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    grig_run(g, 1900);
    cr_assert(a.waits);
    cr_assert_eq(consumer_beat(g, &b, "g"), CLASSIC_REBALANCING);
    grig_run(g, 200);
    cr_assert_eq(a.result, CLASSIC_OK);
    cr_assert_eq(a.listed, 1);
    cr_assert_eq(consumer_beat(g, &b, "g"), CLASSIC_MEMBER_UNKNOWN);
    grig_end(g);
}

Test(group_classic, a_leader_that_never_shares_out_is_out)
{
    begin(6);
    a.rebalance_ms = b.rebalance_ms = 2000;
    consumer_join(g, &a, "g");
    consumer_join(g, &b, "g");
    grig_run(g, CLASSIC_DELAY_MS + 1);
    consumer_sync(g, &b, "g");
    for (int i = 0; i < 3; i++) {
        grig_run(g, 700);
        consumer_beat(g, &a, "g");
    }
    cr_assert_not(b.waits);
    cr_assert_eq(b.result, CLASSIC_REBALANCING);
    consumer_join(g, &b, "g");
    grig_turn(g, 0);
    cr_assert(b.leads);
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_MEMBER_UNKNOWN);
    grig_end(g);
}

Test(group_classic, leaving_is_a_rebalance_and_the_last_one_empties)
{
    begin(7);
    two_members();
    cr_assert_eq(consumer_leave(g, &a, "g"), CLASSIC_OK);
    cr_assert_eq(consumer_leave(g, &a, "g"), CLASSIC_MEMBER_UNKNOWN);
    consumer_join(g, &b, "g");
    grig_turn(g, 0);
    cr_assert_eq(b.generation, 2);
    cr_assert(b.leads);
    cr_assert_eq(consumer_leave(g, &b, "g"), CLASSIC_OK);
    grig_turn(g, 0);
    cr_assert_eq(group_state(the_group()), GROUP_EMPTY);
    cr_assert_eq(the_group()->generation, 3);
    cr_assert_eq(group_delete(the_group(), why), ERR_OK);
    grig_end(g);
}

Test(group_classic, an_instance_comes_back_without_a_rebalance)
{
    begin(8);
    a.instance = "one";
    b.instance = "two";
    two_members();
    const struct consumer old = b;
    b.id[0] = 0;
    cr_assert_eq(consumer_join(g, &b, "g"), CLASSIC_OK);
    cr_assert_str_neq(b.id, old.id);
    cr_assert_eq(b.generation, old.generation);
    cr_assert_eq(consumer_sync(g, &b, "g"), CLASSIC_OK);
    cr_assert_str_eq(b.share, old.share);
    cr_assert_eq(consumer_beat(g, &old, "g"), CLASSIC_FENCED);
    cr_assert_eq(consumer_leave(g, &old, "g"), CLASSIC_FENCED);
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_OK);
    /* The leader, too; it shares out nothing. */
    a.id[0] = 0;
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_OK);
    cr_assert_not(a.leads);
    /* One that waits is told when another takes its place. */
    struct consumer waits = b;
    waits.topics = "other";
    cr_assert_eq(consumer_join(g, &waits, "g"), CLASSIC_PARKED);
    b.id[0] = 0;
    cr_assert_eq(consumer_join(g, &b, "g"), CLASSIC_PARKED);
    cr_assert_eq(waits.result, CLASSIC_FENCED);
    cr_assert_not(waits.waits);
    /* An operator removes it by its instance id alone. */
    struct consumer nameless = b;
    nameless.id[0] = 0;
    cr_assert_eq(consumer_leave(g, &nameless, "g"), CLASSIC_OK);
    cr_assert_eq(b.result, CLASSIC_MEMBER_UNKNOWN);
    grig_end(g);
}

Test(group_classic, members_agree_on_a_protocol)
{
    begin(9);
    a.protocols = "sticky,range";
    b.protocols = "range,sticky";
    c.protocols = "range";
    consumer_join(g, &a, "g");
    consumer_join(g, &b, "g");
    consumer_join(g, &c, "g");
    grig_run(g, CLASSIC_DELAY_MS + 1);
    cr_assert_str_eq(a.protocol, "range");
    struct consumer alien;
    consumer_init(&alien);
    alien.protocols = "roundrobin";
    cr_assert_eq(consumer_join(g, &alien, "g"), CLASSIC_PROTOCOL_MISMATCH);
    alien.protocols = "";
    cr_assert_eq(consumer_join(g, &alien, "g"), CLASSIC_PROTOCOL_MISMATCH);
    alien.protocols = "range";
    alien.session_ms = CLASSIC_SESSION_MAX_MS + 1;
    cr_assert_eq(consumer_join(g, &alien, "g"), CLASSIC_SESSION_INVALID);
    alien.session_ms = 10000;
    cr_assert_eq(consumer_join(g, &alien, ""), CLASSIC_NAME_INVALID);
    cr_assert_eq(consumer_join(g, &alien, "__mine"), CLASSIC_NAME_INVALID);
    cr_assert_eq(consumer_join(g, &alien, "Team A/orders: v2"), CLASSIC_PARKED, "names are free");
    snprintf(a.protocol, sizeof(a.protocol), "sticky");
    cr_assert_eq(consumer_sync(g, &a, "g"), CLASSIC_PROTOCOL_MISMATCH);
    grig_end(g);
}

Test(group_classic, limits_have_names)
{
    begin(10);
    grig_close(g);
    g->options.members_max = 2;
    g->options.groups_max = 1;
    grig_open(g);
    two_members();
    cr_assert_eq(consumer_join(g, &c, "g"), CLASSIC_FULL);
    cr_assert_eq(consumer_join(g, &c, "another"), CLASSIC_FULL);
    cr_assert_null(group_find(g->groups, bytes_of("another")));
    grig_end(g);
}

Test(group_classic, who_hangs_up_while_it_waits_is_not_waited_for)
{
    begin(11);
    one_member();
    cr_assert_eq(consumer_join_as(g, &b, "g", false), CLASSIC_PARKED);
    classic_abandon(&b.wait);
    cr_assert_eq(the_group()->member_count, 1, "it never learnt its id");
    consumer_join(g, &a, "g");
    grig_turn(g, 0);
    cr_assert_eq(a.generation, 2);
    cr_assert_eq(a.listed, 1);
    /* One that knows it may come back within its session. */
    cr_assert_eq(consumer_join(g, &c, "g"), CLASSIC_PARKED);
    classic_abandon(&c.wait);
    consumer_join(g, &a, "g");
    grig_turn(g, 0);
    cr_assert(a.waits);
    c.waits = false;
    cr_assert_eq(consumer_join(g, &c, "g"), CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert_eq(a.listed, 2);
    grig_end(g);
}

/* ---- positions ---- */

static enum classic_result commit(const struct consumer *x, const char *group, uint32_t partition,
                                  uint64_t position, const char *metadata)
{
    struct group *found;
    const struct classic_who who = consumer_who(x, group);
    const enum classic_result result = classic_commit(g->groups, &who, &found, why);
    if (result == CLASSIC_OK)
        cr_assert_eq(group_position_set(found, catalog_find(g->store.store, bytes_of("t")), partition,
                                        position, 4, bytes_of(metadata), why),
                     ERR_OK, "%s", why);
    return result;
}

static void check_position(uint32_t partition, uint64_t position, const char *metadata)
{
    const struct gp *gp = grig_gp(g, "g", "t", partition);
    cr_assert_not_null(gp);
    cr_assert_not_null(gp->commit);
    cr_assert_eq(progress_position(gp->progress), position);
    cr_assert_eq(gp->commit->metadata_len, strlen(metadata));
    cr_assert_eq(memcmp(gp->commit->metadata, metadata, strlen(metadata)), 0);
}

static void check_restarts(bool crash)
{
    begin(20 + crash);
    grig_produce(g, "t", 1, 50);
    two_members();
    cr_assert_eq(commit(&a, "g", 1, 30, "hello"), CLASSIC_OK);
    cr_assert_eq(commit(&b, "g", 2, 7, ""), CLASSIC_OK);
    cr_assert_eq(commit(&a, "g", 1, 20, "back"), CLASSIC_OK);
    cr_assert_eq(group_lag(the_group()).events, 30);
    uint32_t rows = 0;
    for (struct gp *gp = NULL; (gp = group_gp_next(the_group(), gp)); rows++)
        cr_assert_not_null(gp->commit);
    cr_assert_eq(rows, 2, "what was never committed is not shown");
    grig_settle(g);
    grig_restart(g, crash);
    cr_assert(the_group()->kafka);
    check_position(1, 20, "back");
    check_position(2, 7, "");
    cr_assert_eq(grig_gp(g, "g", "t", 1)->commit->leader_epoch, 4);
    cr_assert_null(grig_gp(g, "g", "t", 0)->commit);
    cr_assert_eq(group_lag(the_group()).events, 30);
    /* Members are not remembered: they join again. */
    cr_assert_eq(consumer_beat(g, &a, "g"), CLASSIC_MEMBER_UNKNOWN);
    cr_assert_eq(commit(&a, "g", 1, 40, ""), CLASSIC_MEMBER_UNKNOWN);
    a.id[0] = 0;
    one_member();
    cr_assert_eq(commit(&a, "g", 1, 40, ""), CLASSIC_OK);
    grig_end(g);
}

Test(group_classic, positions_survive_a_restart)
{
    check_restarts(false);
}

Test(group_classic, positions_survive_a_power_cut)
{
    check_restarts(true);
}

Test(group_classic, who_may_commit)
{
    begin(22);
    struct consumer nobody;
    consumer_init(&nobody);
    cr_assert_eq(commit(&nobody, "g", 0, 1, ""), CLASSIC_OK, "a group without members is made");
    two_members();
    cr_assert_eq(commit(&nobody, "g", 0, 2, ""), CLASSIC_MEMBER_UNKNOWN);
    struct consumer late = a;
    late.generation--;
    cr_assert_eq(commit(&late, "g", 0, 2, ""), CLASSIC_GENERATION_STALE);
    cr_assert_eq(commit(&a, "g", 0, 2, ""), CLASSIC_OK);
    cr_assert_eq(consumer_join(g, &c, "g"), CLASSIC_PARKED);
    cr_assert_eq(commit(&b, "g", 0, 3, ""), CLASSIC_OK, "before it joins again");
    consumer_join(g, &a, "g");
    consumer_join(g, &b, "g");
    grig_turn(g, 0);
    cr_assert_eq(commit(&b, "g", 0, 4, ""), CLASSIC_REBALANCING);
    cr_assert_eq(commit(&a, "nowhere", 0, 4, ""), CLASSIC_GENERATION_STALE);
    grig_end(g);
}

Test(group_classic, positions_are_sought_and_deleted_without_members_only)
{
    begin(23);
    grig_produce(g, "t", 0, 10);
    two_members();
    cr_assert_eq(commit(&a, "g", 0, 5, "x"), CLASSIC_OK);
    cr_assert_eq(commit(&a, "g", 1, 0, "x"), CLASSIC_OK);
    const struct topic *t = catalog_find(g->store.store, bytes_of("t"));
    cr_assert_eq(group_seek(grig_gp(g, "g", "t", 0), 3, why), ERR_GROUP_BUSY);
    cr_assert_eq(group_offsets_delete(the_group(), t, 0, why), ERR_GROUP_BUSY);
    cr_assert_eq(group_delete(the_group(), why), ERR_GROUP_BUSY);
    consumer_leave(g, &a, "g");
    consumer_leave(g, &b, "g");
    grig_turn(g, 0);
    cr_assert_eq(group_seek(grig_gp(g, "g", "t", 0), 3, why), ERR_OK);
    check_position(0, 3, "");
    cr_assert_eq(group_offsets_delete(the_group(), t, 1, why), ERR_OK);
    grig_settle(g);
    grig_restart(g, true);
    check_position(0, 3, "");
    cr_assert_null(grig_gp(g, "g", "t", 1)->commit);
    cr_assert_eq(group_offsets_delete(the_group(), catalog_find(g->store.store, bytes_of("t")), 0, why),
                 ERR_OK);
    cr_assert_null(grig_gp(g, "g", "t", 0), "nothing is left of the topic");
    grig_end(g);
}

/* ---- two kinds ---- */

Test(group_classic, a_group_is_of_its_members_kind)
{
    begin(30);
    two_members();
    struct member *m;
    struct group_join native = { .group = bytes_of("g"), .mode = GROUP_ANY };
    cr_assert_eq(grig_try_join(g, &native, "t", &m, why), ERR_GROUP_KIND_MISMATCH);
    grig_join(g, "n", GROUP_ORDERED, "t");
    cr_assert_eq(consumer_join(g, &c, "n"), CLASSIC_KIND_MISMATCH);
    cr_assert_eq(commit(&c, "n", 0, 0, ""), CLASSIC_KIND_MISMATCH);
    struct bytes name = bytes_of("retry.max"), value = bytes_of("3");
    cr_assert_eq(group_set(the_group(), &name, &value, 1, why), ERR_NOT_FOR_KAFKA_GROUPS);
    name = bytes_of("expire.after");
    value = bytes_of("1d");
    cr_assert_eq(group_set(the_group(), &name, &value, 1, why), ERR_OK, "%s", why);
    grig_end(g);
}

Test(group_classic, a_group_without_members_changes_its_kind_and_keeps_its_positions)
{
    begin(31);
    for (uint32_t p = 0; p < 3; p++)
        grig_produce(g, "t", p, 10);
    two_members();
    cr_assert_eq(commit(&a, "g", 0, 6, "x"), CLASSIC_OK);
    cr_assert_eq(commit(&a, "g", 1, 99, "past the end"), CLASSIC_OK);
    consumer_leave(g, &a, "g");
    consumer_leave(g, &b, "g");
    grig_turn(g, 0);
    struct member *m = grig_join(g, "g", GROUP_ANY, "t");
    grig_turn(g, 0);
    cr_assert_not(the_group()->kafka);
    cr_assert_eq(g->count, 4 + 10, "4 of partition 0, none of 1, all of 2: nothing was committed there");
    grig_ack_all(g);
    grig_settle(g);
    grig_restart(g, true);
    cr_assert_not(the_group()->kafka);
    cr_assert_eq(group_lag(the_group()).events, 0);
    /* And back. */
    a.id[0] = b.id[0] = 0;
    two_members();
    cr_assert(the_group()->kafka);
    for (uint32_t p = 0; p < 3; p++)
        check_position(p, 10, "");
    grig_settle(g);
    grig_restart(g, true);
    cr_assert(the_group()->kafka);
    for (uint32_t p = 0; p < 3; p++)
        check_position(p, 10, "");
    (void)m;
    grig_end(g);
}

Test(group_classic, what_only_native_groups_know_keeps_their_kind)
{
    begin(32);
    grig_produce(g, "t", 0, 5);
    struct member *m = grig_join(g, "g", GROUP_ORDERED, "t");
    grig_turn(g, 0);
    cr_assert_eq(grig_nack(g, &g->deliveries[0], "Boom"), ERR_OK);
    grig_turn(g, 0);
    member_leave(m);
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_KIND_MISMATCH);
    member_leave(grig_join(g, "s", GROUP_SHARED, "t"));
    cr_assert_eq(consumer_join(g, &a, "s"), CLASSIC_KIND_MISMATCH);
    grig_end(g);
}

/* ---- what consumers put into their blobs ---- */

Test(group_classic, assignments_of_consumers_can_be_read)
{
    static const uint8_t assignment[] = "\0\1\0\0\0\1\0\1t\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0";
    static const uint8_t cut[] = "\0\1\0\0\0\1\0\1t\0\0\0\2\0\0\0\0";
    begin(40);
    cr_assert_eq(consumer_join(g, &a, "g"), CLASSIC_PARKED);
    grig_run(g, CLASSIC_DELAY_MS + 1);
    const struct classic_who who = consumer_who(&a, "g");
    struct classic_share share = { bytes_of(a.id), { assignment, sizeof(assignment) - 1 } };
    const struct classic_member *m;
    a.syncing = a.waits = true;
    cr_assert_eq(
        classic_sync(g->groups, &who, (struct bytes){ 0 }, (struct bytes){ 0 }, &share, 1, &a.wait, &m),
        CLASSIC_PARKED);
    grig_turn(g, 0);
    commit(&a, "g", 0, 0, "");
    classic_mark_holders(the_group());
    m = classic_member_next(the_group(), NULL);
    cr_assert_eq(classic_partitions(m), 2);
    cr_assert_eq(grig_gp(g, "g", "t", 0)->holder, m);
    cr_assert_null(grig_gp(g, "g", "t", 1)->holder);
    cr_assert_eq(grig_gp(g, "g", "t", 2)->holder, m);
    /* One that is cut short names what can be read. */
    consumer_join(g, &a, "g");
    grig_turn(g, 0);
    const struct classic_who again = consumer_who(&a, "g");
    share.assignment = (struct bytes){ cut, sizeof(cut) - 1 };
    a.syncing = a.waits = true;
    cr_assert_eq(
        classic_sync(g->groups, &again, (struct bytes){ 0 }, (struct bytes){ 0 }, &share, 1, &a.wait, &m),
        CLASSIC_PARKED);
    grig_turn(g, 0);
    cr_assert_eq(classic_partitions(classic_member_next(the_group(), NULL)), 1);
    cr_assert(classic_wants(the_group(), catalog_find(g->store.store, bytes_of("t"))),
              "preferences that cannot be read want everything");
    grig_end(g);
}
