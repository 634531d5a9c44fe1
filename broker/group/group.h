/* SPDX-License-Identifier: Apache-2.0
 *
 * group/group.h: the coordinator of consumer groups: who is in a group, who consumes which partition, what is
 * out, what is settled, what is tried again.
 *
 *   groups ── group (by name) ── members (by id)
 *                │                  └ holder: what is out with it
 *                └── topics ── gp: the group in one partition: progress, owner (ordered), epoch
 *
 * Doors (the native protocol, others later) talk to it: they join and end members, ask group_offer() what may
 * go to whom, read the events and send them, and report what became of them. The coordinator knows no
 * protocol and sends nothing; what doors must know it tells through struct groups_events.
 *
 * A loop turn:
 *   requests                group_join(), group_ack(), ...: change memory, note what is to be stored
 *   timers                  sessions, ack.wait, retries, the breaker's probe
 *   groups_turn_begin()     partitions change hands; assigned, revoked, rewound, ended, ready, give_up
 *   the door delivers       group_offer(), group_leased()
 *   groups_turn_end()       everything noted is appended to `__groups`
 *   store_turn_end()        writes it; partitions that grew raise `ready` here, too
 *
 * A request is answered once the journal sequence that groups_flush() returned is durable. A broker restart
 * loses what is not durable, and who has what: those events are given out again, and nobody is charged.
 *
 * Invariants
 *   ordered: at most one owner per partition; it changes only when nothing is out with the old one.
 *   An event that was acknowledged durably is never given out again (but by a seek or a redrive).
 *   A partition is consumed from a stored position: nothing is skipped, whoever dies when.
 * One thread: the shard's. Times: due times of retries are wall ms, they are stored; all others monotonic ms.
 */
#ifndef RUNNEL_GROUP_GROUP_H
#define RUNNEL_GROUP_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/stats.h"
#include "group/breaker.h"
#include "group/lag.h"
#include "group/progress.h"
#include "group/settings.h"
#include "io/timer.h"
#include "partition/catalog.h"
#include "partition/partition.h"
#include "partition/state.h"
#include "partition/store.h"
#include "proto/cursor.h"
#include "proto/errors.h"

struct classic;
struct classic_member;
struct clock;
struct gp;
struct gp_commit;
struct group;
struct groups;
struct member;

enum {
    GROUP_NAME_MAX = 249,
    GROUP_WHY_BYTES = 256, /* room for the sentence that comes with an error */
    MEMBER_ID_BYTES = 17,  /* 16 hex digits and a zero */
    MEMBER_TEXT_MAX = 255, /* instance id, host; longer ones are refused */
    /* Texts of a failure are cut to these when they are stored. */
    FAILURE_TYPE_MAX = 256,
    FAILURE_MESSAGE_MAX = 1024,
    FAILURE_STACK_MAX = 4096,
    /* What one row of an acknowledgement (a range), or one refused or settled event, adds to `__groups` at
     * most: what a door adds up for groups_room(). */
    GROUP_RANGE_BYTES = 640,
    GROUP_NACK_BYTES = 7168,
};

/* The pseudo group that keeps which dead letters are settled: a shared group without members. */
#define GROUP_DEAD_LETTERS "__dlq"

struct groups_options {
    uint32_t groups_max;      /* groups.max: 10,000 */
    uint32_t members_max;     /* group.members.max, of one group: 1,000 */
    uint32_t topics_max;      /* group.topics.max, names and patterns of one member: 256 */
    uint32_t partitions_max;  /* groups.partitions.max, partitions of all groups together: 200,000 */
    uint32_t items_max;       /* groups.items.max, events with a history of all groups: 2,000,000 */
    uint32_t batch_bytes_max; /* largest batch appended to `__groups`; at least 16 KiB */
    uint32_t state;           /* its place in store_options.states */
    struct group_settings defaults;
    uint64_t seed; /* of jitter and member ids; 0: drawn from the system */
};

/* Why an event failed. For group_nack() the door fills in the first line; give_up() gets all. */
struct failure {
    struct bytes type, message, stack;
    uint32_t key_hash;
    /* give_up() only: */
    uint16_t attempts;    /* deliveries that failed */
    bool rejected;        /* given up by the consumer (term), not by retry.max */
    int64_t failed_at_ms; /* wall */
    struct bytes member;  /* instance id, or member id, of the one it failed with; may be empty */
};

/* What doors are told. Called from groups_turn_begin(), and `ready` also from store_turn_end(); never inside
 * a call of theirs, but for `ended` where group_join() says so, and `gone` where
 * a group or its positions are deleted. Handlers of ready and give_up may call everything under "delivering"
 * below, and groups_room() and groups_flush(); the others call nothing of this file. */
struct groups_events {
    void *ctx;
    /* Deliveries of gp to m may come from now on, under gp->epoch. Ordered: m owns it. Shared: m competes.
     * Also said again, with a new epoch, of what m has already: after it came back, and after a change of
     * hands that was called off. */
    void (*assigned)(void *ctx, struct member *m, struct gp *gp);
    /* Nothing more of gp comes to m. Ordered: it finishes or releases what is out. Shared: the topic is gone,
     * or m does not want it any more. The gp may be freed after this call when its topic is gone. */
    void (*revoked)(void *ctx, struct member *m, struct gp *gp);
    /* Everything from `offset` on that was delivered is withdrawn, and comes again under gp->epoch. After a
     * seek that is all, and `offset` is 0. */
    void (*rewound)(void *ctx, struct member *m, struct gp *gp, uint64_t offset);
    /* The member is no more (m is freed after this call). */
    void (*ended)(void *ctx, struct member *m, enum error code, const char *why);
    /* gp may have something to offer: call group_offer(), soon. */
    void (*ready)(void *ctx, struct gp *gp);
    /* Write the dead letter and call group_settled(), now or later; or group_give_up_later(). Raised once per
     * event and again after group_give_up_later() or a restart. `why` is lent for the call; group_failure()
     * has it later. */
    void (*give_up)(void *ctx, struct gp *gp, uint64_t offset, const struct failure *why);
    /* gp is about to be freed (its topic or group is gone): forget it, and what gp->door points to. */
    void (*gone)(void *ctx, struct gp *gp);
};

/* ---- what doors may read ---- */

/* One group in one partition. */
struct gp {
    /* read by doors */
    struct group *group;
    struct topic *topic;         /* held */
    struct partition *partition; /* topic->partitions[number] */
    uint32_t number;
    uint32_t id;    /* of this gp alone, as long as the broker runs; never 0 */
    uint32_t epoch; /* raised at each change of hands, withdrawal and seek */
    struct progress *progress;
    struct member *owner; /* ordered: has it, or had it and has events out; NULL: nobody. Shared: NULL */
    bool moving;          /* ordered: on its way from owner to `next` */
    void *door;           /* the door's */
    /* Kafka groups: */
    const struct gp_commit *commit;      /* NULL: nothing is committed, the position means nothing */
    const struct classic_member *holder; /* as classic_mark_holders() found; lent until anything changes */

    /* the coordinator's */
    struct member *next;      /* moving: to whom; NULL: nobody */
    struct gp *hash_next;     /* by id */
    struct list changed_link; /* in groups->changed: something happened since the last groups_turn_begin() */
    struct list dirty_link;   /* in groups->dirty: progress may have changes to be stored */
    struct list starved_link; /* waits for a member's, the group's or the broker's room */
    struct list watch_link;   /* in its partition's watch */
    struct list give_ups;     /* struct give_up: dead letters to be written */
    struct partition_watch *watch;
    struct group_topic *in;
    uint32_t items, in_flight; /* as last counted into the sums */
    bool ready_due;            /* ready() is to be raised */
    bool rewound_due;          /* rewound(), with: */
    uint64_t rewound_offset;
    uint32_t epoch_assigned; /* the epoch at the last change of hands */
    /* The last withdrawals since then, oldest overwritten: acknowledgements under an older epoch still count
     * below them. */
    uint32_t rewind_count;
    struct gp_rewind {
        uint32_t epoch;  /* raised to this one, */
        uint64_t offset; /* by a withdrawal from here on */
    } rewinds[8];
};

enum member_state {
    MEMBER_OK,
    MEMBER_DETACHED, /* its connection broke; its session runs out, or it comes back */
    MEMBER_SILENT,   /* an ack.wait ran out; it gets nothing until it speaks */
};

struct member {
    /* read by doors */
    struct group *group;
    char id[MEMBER_ID_BYTES];
    char *instance, *host; /* "" when there is none */
    enum member_state state;
    uint32_t max_in_flight; /* events */
    struct holder holder;   /* in_flight: events out with it */
    uint32_t partitions;    /* ordered: how many it owns; shared: competes for */
    void *door;             /* the door's; given to group_join() */

    /* the coordinator's */
    struct list link;         /* in group->members */
    struct list open_link;    /* in group->open: it may take more */
    struct list hash_link;    /* by id */
    struct list session_link; /* in group->sessions, while detached */
    int64_t session_ms;       /* monotonic: ends then */
    struct list starved;      /* ordered: its gps that wait for it to take more */
    struct gp *reserved;      /* gets nothing else until the suspect of this gp went to it */
    bool draining;            /* gets nothing more: it is about to leave */
    bool assigned_due;        /* tell it of all its partitions */
    uint32_t index;           /* scratch: its place in an assignment */
    char **topics;            /* names and patterns */
    uint32_t topic_count;
    uint64_t *wants; /* a bit per group->topics slot */
    uint32_t wants_words;
};

/* What an operator said about the breaker. */
enum group_breaker_order { GROUP_BREAKER_AUTO, GROUP_BREAKER_HOLD_OPEN, GROUP_BREAKER_HOLD_CLOSED };
enum group_state { GROUP_EMPTY, GROUP_STABLE, GROUP_REBALANCING, GROUP_BREAKER_OPEN };

struct group {
    /* read by doors */
    char name[GROUP_NAME_MAX + 1];
    bool ordered;
    bool kafka;          /* consumed by Kafka clients: ordered, and its members are classic.h's */
    bool internal;       /* GROUP_DEAD_LETTERS */
    uint32_t generation; /* raised when who is in it, or who has what, changes */
    uint32_t member_count, partition_count;
    struct group_settings settings;
    struct breaker breaker;
    struct list members; /* struct member.link, in order of joining */
    /* What it subscribed to, last or now: names and patterns, sorted. */
    struct group_subscription {
        char *pattern;
        uint64_t
            since; /* topics with this id or a greater one were made after it: consumed from their start */
        uint32_t members;
    } * subscriptions;
    uint32_t subscription_count;
    void *door; /* the door's */

    /* the coordinator's */
    struct groups *groups;
    struct classic *classic;     /* NULL: no Kafka client joined since the start */
    struct list link;            /* in groups->changed_groups: to be looked at in groups_turn_begin() */
    struct list open;            /* members that may take more, the one to get something next first */
    struct list sessions;        /* detached members, the first to end first */
    struct list starved;         /* gps that wait for any member to take more, or for the breaker */
    struct timer timer;          /* its earliest deadline or due time, */
    int64_t wake_ms;             /* monotonic; INT64_MAX: off */
    struct group_topic **topics; /* by slot; NULL: free */
    uint32_t topic_slots, subscription_room;
    uint32_t in_flight, moving;
    int64_t created_ms, active_ms;          /* wall; active: when a member was last there */
    enum group_breaker_order breaker_order; /* as commanded */
    bool breaker_changed;                   /* by itself: to be stored */
    bool rebalance;                         /* who is there, or who wants what, has changed */
};

#define GROUPS_STATS(X)                                                                                      \
    X(groups, STAT_GAUGE, "consumer groups")                                                                 \
    X(members, STAT_GAUGE, "members of consumer groups")                                                     \
    X(partitions, STAT_GAUGE, "partitions that groups have a position in")                                   \
    X(in_flight, STAT_GAUGE, "events that are out with members")                                             \
    X(items, STAT_GAUGE, "events with a history: failed, suspect, redriven")                                 \
    X(joins, STAT_COUNTER, "members that joined or came back")                                               \
    X(rebalances, STAT_COUNTER, "times that partitions were shared out anew")                                \
    X(moves, STAT_COUNTER, "partitions that changed hands")                                                  \
    X(sessions_expired, STAT_COUNTER, "members whose session ran out")                                       \
    X(acked, STAT_COUNTER, "events acknowledged")                                                            \
    X(failed, STAT_COUNTER, "deliveries that failed: refused, timed out, or their member died")              \
    X(ack_timeouts, STAT_COUNTER, "events whose ack.wait ran out")                                           \
    X(given_up, STAT_COUNTER, "events given up")                                                             \
    X(dead_letters, STAT_COUNTER, "dead letters written")                                                    \
    X(breaker_opened, STAT_COUNTER, "times that a breaker opened")                                           \
    X(stored_records, STAT_COUNTER, "records appended to __groups")                                          \
    X(stored_bytes, STAT_COUNTER, "bytes appended to __groups")

struct groups_stats {
    GROUPS_STATS(STAT_FIELD)
};

/* ---- life ---- */

struct groups *groups_create(const struct groups_options *options, struct timers *timers, struct clock *clock,
                             const struct groups_events *events);
/* Its row for store_options.states; lent as long as groups lives. */
const struct store_state *groups_store_state(struct groups *groups);
/* After store_open(): topics are found, those that are gone dropped; unfinished give_ups are raised in the
 * first groups_turn_begin(). */
void groups_attach(struct groups *groups, struct store *store);
void groups_reload(struct groups *groups, const struct groups_options *options);
void groups_turn_begin(struct groups *groups);
void groups_turn_end(struct groups *groups);
/* True while groups_turn_begin() or groups_turn_end() would do something: the loop must not sleep. */
bool groups_busy(const struct groups *groups);
/* Before store_destroy(). Members end without a word; nothing is stored. */
void groups_destroy(struct groups *groups);
const struct groups_stats *groups_stats(const struct groups *groups);

/* ---- storing ---- */

/* May everything that is noted, `batches` batches of `bytes` that the caller appends, and `state_bytes` that
 * its calls will note (GROUP_RANGE_BYTES, GROUP_NACK_BYTES), be added now, into one commit? False: wait for
 * on_room(). Needed only for what must be atomic: partition_append() of a dead letter, group_settled(),
 * groups_flush(). */
bool groups_room(struct groups *groups, uint32_t batches, uint32_t bytes, uint32_t state_bytes);
/* Appends what is noted now. Returns the journal sequence after which all changes made so far are durable.
 * *ok false: no room, some of them are not appended yet: ask again later, no answer before. */
uint64_t groups_flush(struct groups *groups, bool *ok);

/* ---- members ---- */

/* Events of a gp, as they were delivered. */
struct group_range {
    uint32_t gp, epoch; /* gp->id */
    uint64_t first;
    uint32_t count;
};

enum group_mode { GROUP_ANY, GROUP_ORDERED, GROUP_SHARED };
enum group_reset { GROUP_RESET_DEFAULT, GROUP_RESET_START, GROUP_RESET_END, GROUP_RESET_ERROR };

struct group_join {
    struct bytes group;
    enum group_mode mode;   /* ANY: as the group is; ordered when it is new */
    struct bytes member_id; /* empty, or the one it had: it comes back */
    struct bytes instance_id, host;
    uint32_t max_in_flight;     /* 0: the group's */
    enum group_reset reset;     /* where to begin in topics that the group has no position in */
    const struct bytes *topics; /* names or patterns */
    uint32_t topic_count;
    /* Coming back: what it still has in hand. What else is out with it is taken back, not charged. */
    const struct group_range *held;
    uint32_t held_count;
    void *door;
};

/* Makes the group when it is missing, and the member; both are durable once groups_flush() is. A member id
 * that is known comes back as it was (the old connection's handle, if it is still attached, is told
 * MEMBER_FENCED through `ended` inside this call: m stays, only the old door is told, before m->door
 * changes). One that is not known (its session ran out) joins as a new member with a new id. An instance id
 * that is known takes over: as a death of the old one, whose partitions and events it gets, without a
 * rebalance. */
enum error group_join(struct groups *groups, const struct group_join *request, struct member **out,
                      char *why);
/* Its connection broke: its session runs from now on. m->door is NULL from here. */
void member_detach(struct member *m);
/* It is about to leave: nothing more is delivered to it; ordered partitions go to others once what is out is
 * settled. */
void member_drain(struct member *m);
/* It goes: what is out is given back, uncharged. m is freed; `ended` is not raised. */
void member_leave(struct member *m);
/* It asked for something: it is not silent any more. The calls below say so themselves. */
void member_spoke(struct member *m);
/* Does m want this gp's topic? */
bool member_wants(const struct member *m, const struct gp *gp);

/* ---- delivering ---- */

/* What of gp may go to whom now; false: nothing, and `ready` is raised when that changes. can_send() says
 * whether a member's connection takes more: when it said no, the door tells member_room() later. */
bool group_offer(struct gp *gp, bool (*can_send)(void *ctx, struct member *m), void *ctx, struct member **m,
                 struct offer *offer);
/* [first, first+count) of what was offered goes to m: from the offer's beginning on, or less. Events of the
 * offer before `first` exist no more and are settled (count 0: only that). False, and nothing has changed:
 * the offer no longer stands, something happened since it was made; ask again. The delivery goes out under
 * gp->epoch. */
bool group_leased(struct gp *gp, struct member *m, const struct offer *offer, uint64_t first, uint32_t count);
/* m's connection takes more again: `ready` is raised for what waited for it. */
void member_room(struct member *m);

/* All or nothing; errors (STALE_GENERATION, EVENT_NOT_LEASED, NOT_YOUR_EVENT) with a sentence in `why`. */
enum error group_ack(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                     char *why);
/* Would group_ack() accept it? Requests with several ranges check all of them before acknowledging any. */
enum error group_ack_check(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                           char *why);
/* ack.wait begins anew. */
enum error group_extend(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                        char *why);
/* Given back, not charged. Ordered: with everything behind it. */
enum error group_release(struct member *m, struct gp *gp, uint32_t epoch, uint64_t first, uint32_t count,
                         char *why);
/* One event failed. delay_ms: until it is tried again; -1: retry.backoff. term: it is not. */
enum error group_nack(struct member *m, struct gp *gp, uint32_t epoch, uint64_t offset,
                      const struct failure *f, int64_t delay_ms, bool term, char *why);
/* A given up event is done with: its dead letter was appended just now (groups_room() said yes before; call
 * groups_flush() before anything else is appended), or it has none. */
void group_settled(struct gp *gp, uint64_t offset, bool dead_lettered);
/* The dead letter cannot be written now: give_up() is raised again after delay_ms. */
void group_give_up_later(struct gp *gp, uint64_t offset, uint32_t delay_ms);
/* Why an event was given up; false: it is not waiting for its dead letter. Lent until the next call. */
bool group_failure(struct gp *gp, uint64_t offset, struct failure *out);

/* ---- administration ---- */

struct group *group_find(struct groups *groups, struct bytes name);
/* The first group whose name is greater than `after` (empty: the first), in order of names. Without internal
 * ones. */
struct group *group_next(struct groups *groups, struct bytes after);
enum error group_name_check(struct bytes name, char *why);
enum group_state group_state(const struct group *g);
/* The gp by its id; NULL when there is none. */
struct gp *groups_gp(struct groups *groups, uint32_t id);
/* In order of topic names and numbers: NULL gives the first, the last gives NULL. Of a Kafka group those with
 * something committed. */
struct gp *group_gp_next(struct group *g, const struct gp *after);
/* NULL: the group has no position there. */
struct gp *group_gp_find(struct group *g, const struct topic *topic, uint32_t partition);
/* As group_gp_find(), and makes all gps of the topic when the group has none of it, standing as offset.reset
 * says. */
enum error group_gp_make(struct group *g, struct topic *topic, uint32_t partition, struct gp **out,
                         char *why);

/* Why nothing new of it is delivered. */
enum group_pause {
    GROUP_PAUSE_NONE,
    GROUP_PAUSE_WINDOW_FULL, /* next - position reached window.max */
    GROUP_PAUSE_RETRY,       /* ordered: a failed event waits */
    GROUP_PAUSE_ALONE,       /* a suspect is out, or waits for a member that has nothing else */
    GROUP_PAUSE_GIVING_UP,   /* ordered: a dead letter is being written */
    GROUP_PAUSE_ITEMS_FULL,  /* groups.items.max */
    GROUP_PAUSE_BREAKER,
};
enum group_pause gp_pause(const struct gp *gp);
struct group_lag {
    uint64_t events;
    int64_t ms; /* age of the oldest event not settled; 0: none; -1: not known */
};
struct group_lag gp_lag(const struct gp *gp);
/* Sum of events, greatest age. */
struct group_lag group_lag(struct group *g);

/* Makes a group without members, or finds it: mode ANY never makes one (GROUP_NOT_FOUND), a group of the
 * other mode is GROUP_MODE_MISMATCH. Names starting with "__" are refused, but for GROUP_DEAD_LETTERS. */
enum error group_make(struct groups *groups, struct bytes name, enum group_mode mode, struct group **out,
                      char *why);
/* value.at NULL: back to the default. All or nothing. */
enum error group_set(struct group *g, const struct bytes *names, const struct bytes *values, uint32_t count,
                     char *why);
/* Goes on at `offset`, in [start, end] (else OFFSET_OUT_OF_RANGE); forgets what is out, failed and settled
 * beyond. Members may be at work: they are told `rewound`. */
enum error group_seek(struct gp *gp, uint64_t offset, char *why);
/* As group_seek(), for members that keep their own account: GROUP_BUSY while anything is out. */
enum error group_commit(struct gp *gp, uint64_t position, char *why);
/* What was committed with a position; metadata is text of whoever committed, for its own use. */
enum { COMMIT_METADATA_MAX = 4096 };
struct gp_commit {
    int32_t leader_epoch; /* -1: not known */
    uint16_t metadata_len;
    char metadata[];
};
/* Kafka groups: the position as a member gives it, wherever it is. */
enum error group_position_set(struct group *g, struct topic *topic, uint32_t partition, uint64_t position,
                              int32_t leader_epoch, struct bytes metadata, char *why);
/* Whose group it is follows from its first member. ERR_OK, or GROUP_KIND_MISMATCH when members, or events
 * that only the other kind knows of, are in the way of its being `kafka`, or not. */
enum error group_kind_check(const struct group *g, bool kafka, char *why);
/* NOT_FOR_KAFKA_GROUPS when it is one: `what` ("the breaker") is the broker's work for native members. */
enum error group_native_check(const struct group *g, const char *what, char *why);
/* Whether positions may be given from outside: a Kafka group's members would not hear of it. GROUP_BUSY. */
enum error group_seek_check(const struct group *g, char *why);
/* GROUP_BUSY while it has members. g is freed. */
enum error group_delete(struct group *g, char *why);
/* Forgets positions; partition -1: of the whole topic. GROUP_BUSY while a member wants the topic.
 */
enum error group_offsets_delete(struct group *g, const struct topic *topic, int32_t partition, char *why);
/* The breaker decides, or is held open or closed until told otherwise; stored. */
void group_breaker_set(struct group *g, enum group_breaker_order order);
/* A sentence why the breaker is not closed; empty when it is. GROUP_WHY_BYTES. */
void group_breaker_text(const struct group *g, char *out);
/* Gives an event to the group again, attempts from 0; one that is out or waits already stays as it is. The
 * event must exist: OFFSET_OUT_OF_RANGE. */
enum error group_redrive(struct gp *gp, uint64_t offset, char *why);
/* Settles events whatever became of them, without a delivery: durable as an acknowledgement. For
 * GROUP_DEAD_LETTERS. */
enum error group_settle(struct gp *gp, uint64_t first, uint32_t count, char *why);
/* Is the event settled? */
bool gp_settled(const struct gp *gp, uint64_t offset);

#endif
