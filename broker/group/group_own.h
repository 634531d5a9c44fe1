/* SPDX-License-Identifier: Apache-2.0
 *
 * group/group_own.h: the coordinator's own structures; nobody outside of group/ includes it.
 *
 *   groups ── sorted, buckets of members and gps, changed groups and gps
 *     ├── watches: a topic_watch per topic that any group consumes, with a partition_watch (waiter, append
 *     │            times) per partition, shared by all groups
 *     └── pending: records noted, not appended yet
 *
 * Who touches a progress calls gp_touch() afterwards: sums, timers and the list of what is to be stored
 * follow from that.
 */
#ifndef RUNNEL_GROUP_GROUP_OWN_H
#define RUNNEL_GROUP_GROUP_OWN_H

#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/mem.h"
#include "group/group.h"

enum {
    MEMBER_BUCKETS = 4096,
    WATCH_BUCKETS = 1024,
    SUBSCRIPTIONS_MAX = 4096, /* names and patterns that a group remembers */
    GROUPS_BATCH_MIN = 16384, /* bytes of a batch in `__groups`; its largest record has about 6,000 */
    GIVE_UPS_MAX = 1000, /* dead letters waiting to be written, of all groups: beyond it deliveries stop */
    KAFKA_GROUP_GRACE_MS = 60000, /* without members and positions */
    TURN_PASSES = 4,              /* over what handlers changed; the rest comes with the next turn */
    STATE_NUMBER_GROUPS = 0,      /* `__groups` among internal topics: for ever */
};

struct topic_watch;

struct partition_watch {
    struct groups *groups;
    struct partition *partition;
    struct waiter waiter;
    struct append_times times;
    struct list gps; /* gp.watch_link */
};

/* A topic that some group has positions in. */
struct topic_watch {
    struct list link; /* in groups->watches */
    struct topic *topic;
    uint32_t users, count;
    struct partition_watch **partitions;
};

/* A topic, in one group. */
struct group_topic {
    uint64_t id;               /* of the topic */
    struct topic_watch *watch; /* NULL: before groups_attach() */
    uint32_t slot;             /* in group->topics */
    uint32_t count;
    uint32_t told;   /* shared: members know of the partitions below */
    struct gp **gps; /* by number; before groups_attach() some may be NULL */
};

/* An event whose dead letter is to be written; its texts follow. */
struct give_up {
    struct list link;
    uint64_t offset;
    int64_t failed_at_ms, again_ms; /* monotonic: raised again not before */
    uint32_t key_hash, error_class;
    uint16_t attempts;
    bool rejected, raised;
    uint32_t lens[4]; /* type, message, stack, member */
    char text[];
};

struct groups {
    struct groups_options options;
    struct timers *timers;
    struct clock *clock;
    struct groups_events events;
    struct store *store; /* NULL: before groups_attach() */
    struct store_state state;
    struct groups_stats stats;

    struct group **sorted;
    uint32_t count, room, internal;
    struct list members[MEMBER_BUCKETS]; /* member.hash_link, by id */
    struct gp **gps;                     /* buckets, by id */
    uint32_t gp_buckets, gp_count, gp_id_next;
    struct list changed_groups, changed, dirty;
    struct list watches[WATCH_BUCKETS]; /* by topic id */
    struct list starved;                /* gps that wait for items or give_ups to become fewer */
    uint64_t items;
    uint32_t give_ups;
    uint64_t catalog_version, catalog_seen; /* topics with ids below were matched */
    uint64_t random;
    uint64_t classic_bytes; /* of what Kafka clients gave to be kept for each other */

    uint8_t *pending; /* records: u16 key bytes, u32 value bytes, key, value (len 0: null) */
    uint32_t pending_bytes, pending_room;
    uint64_t sequence; /* of the last batch appended */
    bool blocked;      /* there was no room for what is pending */
    bool dying;        /* groups_destroy(): nobody is told anything */
};

static inline int64_t groups_mono_ms(const struct groups *groups)
{
    return (int64_t)(groups->clock->mono_ns / 1000000);
}
static inline struct bytes group_key(const struct group *g)
{
    return bytes_of(g->name);
}
uint64_t groups_random(struct groups *groups);

/* group.c */
struct group *group_create(struct groups *groups, struct bytes name, bool ordered);
void group_free(struct group *g);
/* To be looked at in groups_turn_begin(). */
void group_changed(struct group *g);
/* Its timer fires at `at_ms` (monotonic) at the latest. */
void group_wake_at(struct group *g, int64_t at_ms);
void group_settings_changed(struct group *g);

/* kind.c: native groups and those of Kafka clients */
/* After group_kind_check() said yes. */
void group_kind_take(struct group *g, bool kafka);
/* NULL metadata.at with length 0 is fine; gp_uncommit(): nothing is committed any more. */
void gp_commit(struct gp *gp, int32_t leader_epoch, struct bytes metadata);
void gp_uncommit(struct gp *gp);
static inline bool gp_committed(const struct gp *gp)
{
    return !gp->group->kafka || gp->commit;
}
/* Forgets one position, or (number < 0) all of a topic. */
void group_positions_drop(struct group *g, struct group_topic *gt, int32_t number);

/* classic.c: groups of Kafka clients */
void classic_advance(struct group *g);
void classic_free(struct group *g);
/* Somebody is about to join. */
bool classic_awaits(const struct group *g);
enum group_state classic_group_state(const struct group *g);

/* join.c */
enum error groups_limit(const struct groups *groups, char *why);

/* gp.c: group partitions and topics */
struct group_topic *group_topic_find(const struct group *g, uint64_t id);
/* Restoring: makes what is missing. */
struct gp *group_gp_restore(struct group *g, uint64_t topic, uint32_t number);
enum error group_topic_make(struct group *g, struct topic *topic, enum group_reset reset,
                            struct group_topic **out, char *why);
/* Would group_topic_make() do it, for `partitions` more in all? */
enum error group_topic_check(const struct group *g, const struct topic *topic, enum group_reset reset,
                             char *why);
enum error groups_partitions_fit(const struct groups *groups, uint64_t more, char *why);
/* Looks at partitions that were added; true when some were. */
bool group_topic_grow(struct group *g, struct group_topic *gt);
void group_topic_drop(struct group *g, struct group_topic *gt);
/* Finds the topic after a restart; false: it is gone. */
bool group_topic_attach(struct group *g, struct group_topic *gt);
void gp_free(struct gp *gp);
/* Raised in groups_turn_begin(): whatever is due for it. */
void gp_changed(struct gp *gp);
void gp_ready(struct gp *gp);
/* After anything was done to its progress. */
void gp_touch(struct gp *gp);
/* It gets nothing before `list` is woken. */
void gp_starve(struct gp *gp, struct list *list);
void starved_wake(struct list *list);
/* Withdrawn from `offset` on: a new epoch, told to the owner, or to all who compete. */
void gp_rewind(struct gp *gp, uint64_t offset);

/* watch.c */
struct topic_watch *watch_topic(struct groups *groups, struct topic *topic);
void watch_release(struct groups *groups, struct topic_watch *w);
/* Partitions that were added. */
void watch_grow(struct groups *groups, struct topic_watch *w);

/* members.c */
struct member *member_find(struct groups *groups, const struct group *g, struct bytes id);
void member_free(struct member *m);
/* Its session ran out. */
void member_die(struct member *m);
/* An ack.wait ran out. */
void member_silence(struct member *m);
struct list *member_bucket(struct groups *groups, struct bytes id);
/* May it get something? */
bool member_takes(const struct member *m);
/* In or out of group->open, as its state and what it has say. */
void member_opened(struct member *m);
void member_emptied(struct member *m);
/* holder_end()'s callback; ctx is the member. */
void member_killed(void *ctx, struct progress *p, uint64_t offset, uint16_t attempts);

/* wants.c */
bool text_is(const char *text, struct bytes other);
char *text_copy(struct bytes text);
void text_free(char *text);
bool is_pattern(struct bytes text);
bool subscription_matches(const char *pattern, const struct topic *topic);
struct group_subscription *subscription_add(struct group *g, struct bytes pattern, uint64_t since);
/* A topic that came: those who asked for it before get it, from its start. */
void members_meet_topic(struct group *g, struct topic *topic);
/* Shared: counts anew what each member competes for. */
void members_count(struct group *g);
/* Calls `each` for every topic that `text` names or matches, until it says no. */
enum error each_topic(struct groups *groups, struct bytes text,
                      enum error (*each)(void *ctx, struct topic *topic), void *ctx);
/* Takes over what it asks for; no change when it is the same as before. */
void member_subscribe(struct member *m, const struct group_join *request);
void member_unsubscribe(struct member *m);

/* rebalance.c */
void group_rebalance(struct group *g);
/* Nothing is out any more with the old owner: the new one gets it. */
void gp_hand_over(struct gp *gp);
/* Acknowledgements of what was delivered before are refused from now on. */
void gp_new_epoch(struct gp *gp);
/* The member is going: its partitions are nobody's. */
void member_disown(struct member *m);

/* settle.c */
void group_expire_leases(struct group *g, struct gp *gp);
void group_event_died(struct group *g, struct member *m, struct progress *p, uint64_t offset,
                      uint16_t attempts);

/* giveup.c */
struct give_up *give_up_add(struct gp *gp, uint64_t offset, const struct failure *f, uint32_t error_class);
struct give_up *give_up_find(const struct gp *gp, uint64_t offset);
void give_up_free(struct gp *gp, struct give_up *u);
struct failure give_up_failure(const struct give_up *u);
/* Raises those that are due; when the next one is. */
void gp_raise_give_ups(struct gp *gp);
int64_t gp_give_up_due(const struct gp *gp);

/* state.c: what is stored */
void state_note_group(struct group *g);
/* As if it were `kafka`, or not: written before the group becomes so. */
void state_note_position_as(struct gp *gp, bool kafka);
void state_note_deleted(const struct group *g);
void state_note_position(struct gp *gp);
void state_note_item(struct gp *gp, uint64_t offset);
/* Nothing is committed any more. */
void state_note_uncommitted(struct gp *gp);
void state_note_forgotten(const struct group *g, uint64_t topic);
void state_note_subscription(struct group *g, const struct group_subscription *s);
/* Takes the changes of progresses over into `pending`. */
void state_gather(struct groups *groups);
int state_load(void *ctx, const uint8_t *body, uint64_t bytes, char *why);
int state_replay(void *ctx, const struct record *record, char *why);
void state_save(void *ctx, struct state_sink *sink);

#endif
