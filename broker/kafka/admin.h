/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/admin.h: what topics and their settings (admin.c, configs.c) share.
 */
#ifndef RUNNEL_KAFKA_ADMIN_H
#define RUNNEL_KAFKA_ADMIN_H

#include "kafka/kafka_own.h"

struct kafka_refusal {
    enum kafka_error error;
    char why[KAFKA_WHY_BYTES];
};

/* Settings in one request, for one topic. */
enum { KAFKA_CONFIGS_MAX = 64 };
struct kafka_configs {
    struct bytes names[KAFKA_CONFIGS_MAX], values[KAFKA_CONFIGS_MAX];
    uint32_t count;
    bool too_many;
    const char *fixed_wrong; /* a setting that is what it is was to be another */
};

/* ---- admin.c ---- */

/* May so many changes be made now? False: park. Else *r says whether they are refused. */
bool kafka_admin_room(struct kafka_session *s, uint32_t changes, struct kafka_refusal *r);
/* The topic, or NULL and *r. */
struct topic *kafka_admin_topic(struct kafka_session *s, struct bytes name, struct kafka_refusal *r);
/* A change was tried: if it was made, the reply waits for it. */
void kafka_admin_done(struct kafka_session *s, enum error error, struct kafka_refusal *r);

/* ---- configs.c ---- */

/* value.at NULL: back to the default. */
void kafka_configs_add(struct kafka_configs *c, struct bytes name, struct bytes value);
/* Would a new topic take them? Else *r. */
void kafka_configs_check(struct kafka *kafka, const struct kafka_configs *c, struct kafka_refusal *r);
/* The settings of a topic that was just made; NULL: null. */
void kafka_configs_put_created(struct kafka_out *out, const struct topic *t);

/* X(key, min, max, flexible, name, layout, handler) */
#define KAFKA_ADMIN_APIS(X)                                                                                  \
    X(19, 0, 6, 5, "CreateTopics", "[s i h [i <i>] [s S]] i 1:b", kafka_create_topics)                       \
    X(20, 0, 5, 4, "DeleteTopics", "<s> i", kafka_delete_topics)                                             \
    X(32, 0, 4, 4, "DescribeConfigs", "[b s (s)] 1:b 3:b", kafka_describe_configs)                           \
    X(33, 0, 2, 2, "AlterConfigs", "[b s [s S]] b", kafka_alter_configs)                                     \
    X(37, 0, 3, 2, "CreatePartitions", "[s i {<i>}] i b", kafka_create_partitions)                           \
    X(44, 0, 1, 1, "IncrementalAlterConfigs", "[b s [s b S]] b", kafka_alter_configs_incrementally)

#define X(key, min, max, flexible, name, layout, handler)                                                    \
    enum net_take handler(struct kafka_session *s, const struct kafka_request *rq);
KAFKA_ADMIN_APIS(X)
#undef X

#endif
