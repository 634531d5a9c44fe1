/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/publish.h: events for several topics as the body of one PRODUCE: for the calls that publish
 * and settle as one (produce.c, redrive.c).
 *
 * These calls wait, one at a time, so there is no queue: the events of a call become one batch per partition,
 * and a call that is made again after a broken connection sends the same batches under the new handles.
 */
#ifndef RUNNEL_CLIENT_GROUP_PUBLISH_H
#define RUNNEL_CLIENT_GROUP_PUBLISH_H

#include "client/client.h"
#include "proto/batch.h"

enum { PUBLISH_BATCHES_MAX = 4096 };

struct publish_topic {
    char *name;
    uint32_t handle, epoch; /* of which connection; 0: not opened */
    uint32_t partitions, batch_limit;
    int32_t *sequences; /* next, by partition */
    uint32_t sticky;
};

struct publish_batch {
    uint32_t topic, partition;
    uint32_t from, bytes; /* in `data` */
    int32_t count;
};

/* Which batch an event is in, and where there. */
struct publish_place {
    uint32_t topic, partition, batch;
    int32_t index;
};

struct publisher {
    struct runnel_client *client;
    bool create; /* missing topics */
    struct publish_topic *topics;
    uint32_t topic_count;
    bool has_id;
    int64_t id;
    int16_t id_epoch;

    /* Of the call under way. */
    struct publish_batch *batches;
    struct publish_place *places;
    uint32_t batch_count, place_count;
    uint8_t *data;
};

void publisher_init(struct publisher *p, struct runnel_client *c, bool create);
void publisher_free(struct publisher *p);
/* Asks for an id; `deadline_ms` for all that is asked. */
int publish_introduce(struct publisher *p, int64_t deadline_ms);
/* Forgets the id: what was sent under it is in doubt. */
void publish_forget_id(struct publisher *p);
/* Opens the topics that the events name on the present connection. */
int publish_open(struct publisher *p, const struct runnel_topic_event *events, size_t count,
                 int64_t deadline_ms);
/* Makes the batches of a call. publish_done() ends it: `stored` moves the sequences on. */
int publish_build(struct publisher *p, const struct runnel_topic_event *events, size_t count);
void publish_done(struct publisher *p, bool stored);
/* The body of PRODUCE. */
uint32_t publish_bytes(const struct publisher *p);
void publish_put(const struct publisher *p, struct writer *w);
/* The reply of PRODUCE, told event by event; false: it is not one for these batches. */
bool publish_results(const struct publisher *p, struct reader r, struct runnel_delivery *out);

#endif
