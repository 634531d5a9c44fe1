/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_kafka.c: the Kafka protocol, through librdkafka; for any broker that speaks it.
 *
 * librdkafka has threads of its own and batches by itself: an event is handed over alone, and delivery
 * reports come back one per event. linger.ms is 0: what is queued while a request is under way goes with the
 * next one. The library's threads wake ours through an eventfd.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"

enum {
    ADMIN_TIMEOUT_MS = 30000,
    TAKE_MAX = 1024, /* messages taken in one process() */
    CLOSE_FLUSH_MS = 100,
};

struct kafka_link {
    struct link link;
    enum role role;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t **topics; /* producer: by topic */
    uint8_t *payload;
};

static struct kafka_link *link_of(struct link *l)
{
    return (struct kafka_link *)l;
}

static void kafka_close(struct link *link)
{
    struct kafka_link *k = link_of(link);
    if (k->queue) {
        rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(k->queue);
    }
    for (uint32_t i = 0; k->topics && i < link->target->topics; i++)
        if (k->topics[i])
            rd_kafka_topic_destroy(k->topics[i]);
    free(k->topics);
    if (k->rk && k->role == ROLE_PRODUCER)
        rd_kafka_flush(k->rk, CLOSE_FLUSH_MS);
    if (k->rk)
        rd_kafka_destroy(k->rk);
    if (link->fd >= 0)
        close(link->fd);
    free(k->payload);
    free(k);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    struct kafka_link *k = opaque;
    if (m->err)
        link_fail(&k->link, "kafka: %s", rd_kafka_err2str(m->err));
    k->link.sink->acked(&k->link, (uint64_t)(uintptr_t)m->_private, clock_now_ns(), !m->err);
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, char *why)
{
    return rd_kafka_conf_set(conf, name, value, why, 256) == RD_KAFKA_CONF_OK;
}

/* A configuration for `t`; NULL: `why`. */
static rd_kafka_conf_t *configure(const struct target *t, enum role role, struct kafka_link *k, char *why)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *host = strstr(t->url, "://") ? strstr(t->url, "://") + 3 : t->url;
    bool ok = set(conf, "bootstrap.servers", host, why) && set(conf, "client.id", "runnel-bench", why);
    if (role == ROLE_PRODUCER) {
        const char *acks = t->acks == ACKS_DURABLE ? "all" : t->acks == ACKS_MEMORY ? "1" : "0";
        ok = ok && set(conf, "acks", acks, why) && set(conf, "linger.ms", "0", why) &&
             set(conf, "queue.buffering.max.messages", "2000000", why) &&
             set(conf, "queue.buffering.max.kbytes", "2000000", why);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    } else {
        ok = ok && set(conf, "group.id", "runnel-bench", why) &&
             set(conf, "enable.auto.commit", "false", why) && set(conf, "fetch.wait.max.ms", "10", why) &&
             set(conf, "auto.offset.reset", "earliest", why);
    }
    rd_kafka_conf_set_opaque(conf, k);
    if (!ok) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

static bool start_producer(struct kafka_link *k)
{
    const struct target *t = k->link.target;
    char name[256];
    k->topics = calloc(t->topics, sizeof(*k->topics));
    for (uint32_t i = 0; k->topics && i < t->topics; i++) {
        driver_topic_name(t, i, name, sizeof(name));
        k->topics[i] = rd_kafka_topic_new(k->rk, name, NULL);
        if (!k->topics[i])
            return link_fail(&k->link, "kafka: topic %s: %s", name, rd_kafka_err2str(rd_kafka_last_error()));
    }
    k->queue = rd_kafka_queue_get_main(k->rk);
    return k->topics != NULL;
}

static bool start_consumer(struct kafka_link *k, enum from from)
{
    const struct target *t = k->link.target;
    char name[256];
    rd_kafka_poll_set_consumer(k->rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)target_lanes(t));
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (uint32_t i = 0; i < target_lanes(t) && !err; i++) {
        int64_t low = 0, high = 0;
        driver_topic_name(t, i / t->partitions, name, sizeof(name));
        int32_t partition = (int32_t)(i % t->partitions);
        err = rd_kafka_query_watermark_offsets(k->rk, name, partition, &low, &high, ADMIN_TIMEOUT_MS);
        rd_kafka_topic_partition_list_add(list, name, partition)->offset = from == FROM_START ? low : high;
    }
    if (!err)
        err = rd_kafka_assign(k->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    k->queue = rd_kafka_queue_get_consumer(k->rk);
    return !err || link_fail(&k->link, "kafka: %s", rd_kafka_err2str(err));
}

static struct link *kafka_open(const struct target *t, enum role role, enum from from,
                               const struct sink *sink, void *owner, char *why)
{
    struct kafka_link *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->link = (struct link){ .driver = &driver_kafka, .target = t, .sink = sink, .owner = owner };
    k->role = role;
    k->link.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    k->payload = malloc(t->size);
    bool producer = role == ROLE_PRODUCER;
    rd_kafka_conf_t *conf = configure(t, role, k, why);
    if (conf)
        k->rk = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, why, 256);
    if (!k->rk || !k->payload || k->link.fd < 0) {
        kafka_close(&k->link);
        return NULL;
    }
    payload_fill(k->payload, t->size);
    bool ok = role == ROLE_IDLE || (producer ? start_producer(k) : start_consumer(k, from));
    if (!ok) {
        snprintf(why, 256, "%s", k->link.why);
        kafka_close(&k->link);
        return NULL;
    }
    static const uint64_t one = 1;
    if (k->queue)
        rd_kafka_queue_io_event_enable(k->queue, k->link.fd, &one, sizeof(one));
    return &k->link;
}

static bool kafka_publish(struct link *link, const struct events *e)
{
    struct kafka_link *k = link_of(link);
    const struct target *t = link->target;
    payload_stamp(k->payload, e, 0);
    return rd_kafka_produce(k->topics[e->lane / t->partitions], (int32_t)(e->lane % t->partitions),
                            RD_KAFKA_MSG_F_COPY, k->payload, t->size, NULL, 0, (void *)(uintptr_t)e->id) == 0;
}

static bool kafka_flush(struct link *link)
{
    (void)link; /* linger.ms is 0 */
    return true;
}

static bool kafka_pending(const struct link *link)
{
    (void)link;
    return false;
}

static bool take_messages(struct kafka_link *k)
{
    rd_kafka_message_t *taken[TAKE_MAX];
    ssize_t n = rd_kafka_consume_batch_queue(k->queue, 0, taken, TAKE_MAX);
    uint64_t now = clock_now_ns();
    for (ssize_t i = 0; i < n; i++) {
        if (!taken[i]->err)
            k->link.sink->event(&k->link, taken[i]->payload, (uint32_t)taken[i]->len, now);
        else if (taken[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            link_fail(&k->link, "kafka: %s", rd_kafka_message_errstr(taken[i]));
        rd_kafka_message_destroy(taken[i]);
    }
    uint64_t one = 1;
    if (n == TAKE_MAX && write(k->link.fd, &one, sizeof(one)) < 0) /* more is there: be called again */
        return link_fail(&k->link, "kafka: eventfd");
    return true;
}

static bool kafka_process(struct link *link)
{
    struct kafka_link *k = link_of(link);
    uint64_t count;
    if (read(link->fd, &count, sizeof(count)) < 0)
        count = 0;
    if (k->role == ROLE_PRODUCER)
        rd_kafka_poll(k->rk, 0);
    else if (k->queue)
        return take_messages(k);
    return true;
}

static void queue_admin(struct kafka_link *k, bool remove, rd_kafka_queue_t *queue)
{
    const struct target *t = k->link.target;
    char name[256], why[256];
    for (uint32_t i = 0; i < t->topics; i++) {
        driver_topic_name(t, i, name, sizeof(name));
        if (remove) {
            rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
            rd_kafka_DeleteTopics(k->rk, &topic, 1, NULL, queue);
            rd_kafka_DeleteTopic_destroy(topic);
        } else {
            rd_kafka_NewTopic_t *topic =
                rd_kafka_NewTopic_new(name, (int)t->partitions, -1, why, sizeof(why));
            rd_kafka_CreateTopics(k->rk, &topic, 1, NULL, queue);
            rd_kafka_NewTopic_destroy(topic);
        }
    }
}

static bool kafka_topics(const struct target *t, bool remove, char *why)
{
    struct kafka_link *k = (struct kafka_link *)kafka_open(t, ROLE_PRODUCER, FROM_END, NULL, NULL, why);
    if (!k)
        return false;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->rk);
    queue_admin(k, remove, queue);
    bool ok = true;
    for (uint32_t i = 0; ok && i < t->topics; i++) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_TIMEOUT_MS);
        ok = event && !rd_kafka_event_error(event);
        if (!ok)
            snprintf(why, 256, "kafka: topics: %s", event ? rd_kafka_event_error_string(event) : "no answer");
        size_t n = 0;
        const rd_kafka_CreateTopics_result_t *made = event ? rd_kafka_event_CreateTopics_result(event) : NULL;
        const rd_kafka_topic_result_t **rows = made ? rd_kafka_CreateTopics_result_topics(made, &n) : NULL;
        for (size_t j = 0; ok && j < n; j++) {
            rd_kafka_resp_err_t err = rd_kafka_topic_result_error(rows[j]);
            ok = !err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
            if (!ok)
                snprintf(why, 256, "kafka: topic: %s", rd_kafka_err2str(err));
        }
        if (event)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    kafka_close(&k->link);
    return ok;
}

const struct driver driver_kafka = {
    .name = "kafka",
    .url = "127.0.0.1:9092",
    .batch_max = 1,
    .durable = true,
    .topics = kafka_topics,
    .open = kafka_open,
    .close = kafka_close,
    .publish = kafka_publish,
    .flush = kafka_flush,
    .pending = kafka_pending,
    .process = kafka_process,
};
