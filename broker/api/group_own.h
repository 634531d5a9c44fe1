/* SPDX-License-Identifier: Apache-2.0
 *
 * api/group_own.h: consumer groups at the native protocol's door: what the group_*.c files share.
 *
 *   seat    a member on a connection (member->door): gone when the connection is, the member stays a while
 *   flow    deliveries of one gp (gp->door): where reading stands, what is being read from segments
 *   letter  an event being read for its dead letter (group_dead.c)
 *
 * The coordinator (group/group.h) decides what goes to whom; here it is read, framed and sent, and requests
 * are taken apart. A flow is always in one place, which says what it waits for:
 *
 *   door.ready     served in this turn's end, in turn with the others
 *   door.blocked   memory for output or reading: looked at again when some came back
 *   reading        a read of segments (done)
 *   nowhere        the coordinator's next word (groups_events.ready)
 */
#ifndef RUNNEL_API_GROUP_OWN_H
#define RUNNEL_API_GROUP_OWN_H

#include "api/api_own.h"
#include "group/group.h"
#include "proto/wire_group.h"

struct seat {
    struct list link; /* in session->seats */
    struct session *session;
    struct member *member;
    uint32_t handle;
    uint32_t bytes_max; /* of the batches in one delivery */
    /* Nothing is told before the reply to GROUP_JOIN, which waits for this: then its place in the group is
     * durable, and what is delivered counts from there whatever happens. */
    uint64_t joined_sequence;
    struct list joining_link; /* in door.joining until then */
    /* Changes to be told at the end of the turn, as rows of one GROUP_ASSIGN. */
    struct list change_link; /* in door.changed */
    uint8_t *changes;
    uint32_t change_bytes, change_room;
};

struct flow {
    struct list link;         /* see above */
    struct list all_link;     /* in door.flows */
    struct list holding_link; /* in door.holding while `history` */
    struct list reading_link; /* in reading_session->flows while `reading` */
    struct api *api;
    struct gp *gp;
    struct cursor cursor;
    struct reading *reading;
    uint64_t reading_offset;      /* the last read was from here, */
    uint64_t lost_end;            /* and found damage up to here: those events are left out */
    struct shared_slice *history; /* read from segments; given up when memory is short */
    uint32_t event_bytes;         /* an event takes about so many: how much to read for an offer */
    /* The last batch that went out, and to whom: more of it needs no second copy. */
    uint64_t sent_to; /* a connection's id; 0: none */
    uint32_t sent_handle;
    uint64_t sent_first, sent_end;
};

/* group_deliver.c */
void group_deliver_ready(struct api *api, struct gp *gp);
void group_deliver_gone(struct api *api, struct gp *gp);
/* The end: every flow goes, before the store does. */
void group_deliver_free_all(struct api *api);
void group_deliver_session_closed(struct session *s);
/* Its connection drained. */
void group_deliver_drained(struct session *s);
/* Memory read from segments is wanted elsewhere. */
void group_deliver_give_up_history(struct api *api);
/* Sends up to `bytes_max` bytes of batches. */
void group_deliver_turn_end(struct api *api, uint64_t bytes_max);

/* group_seat.c */
struct seat *seat_of(const struct member *m);
/* The member that the connection calls so, or NULL. */
struct seat *seat_find(const struct session *s, uint32_t handle);
void seat_free(struct seat *seat);
void group_session_closed(struct session *s);
/* The replies that waited for this sequence have left. */
void group_joined(struct api *api, uint64_t sequence);
/* Tells the members what changed for them; before their deliveries. */
void group_tell_changes(struct api *api);

/* group_request.c */
/* May a request that notes up to `state_bytes` and appends `batches` of `bytes` be carried out and stored
 * now? False: park it. */
bool group_room(struct session *s, uint32_t batches, uint32_t bytes, uint32_t state_bytes);
/* Stores what was changed, after group_room(), and answers with `body` (NULL: empty) when it is durable.
 * Returns as ack_reply(). */
uint64_t group_reply_durable(struct session *s, const struct request *rq, const struct writer *body);

/* group_dead.c */
void group_dead_start(struct api *api, struct gp *gp, uint64_t offset);
void group_dead_gone(struct api *api, const struct gp *gp);
/* Begins the reads of what is to be read. */
void group_dead_turn_end(struct api *api);

/* requests: group_request.c, group_admin.c, group_redrive.c */
#define GROUP_REQUESTS(X)                                                                                    \
    X(group_request_join)                                                                                    \
    X(group_request_leave)                                                                                   \
    X(group_request_ack)                                                                                     \
    X(group_request_nack)                                                                                    \
    X(group_request_working)                                                                                 \
    X(group_request_release)                                                                                 \
    X(group_request_produce)                                                                                 \
    X(group_admin_list)                                                                                      \
    X(group_admin_describe)                                                                                  \
    X(group_admin_set)                                                                                       \
    X(group_admin_seek)                                                                                      \
    X(group_admin_delete)                                                                                    \
    X(group_admin_breaker)                                                                                   \
    X(group_admin_forget)                                                                                    \
    X(group_admin_commit)                                                                                    \
    X(group_redrive_request)
#define X(name) enum net_take name(struct session *s, const struct request *rq);
GROUP_REQUESTS(X)
#undef X

#endif
