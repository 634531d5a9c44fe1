/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/interop/librdkafka.c: librdkafka against a broker, in C.
 *
 *   interop_librdkafka check BROKERS           everything: topics, every codec, headers, times, a group of
 * two interop_librdkafka produce BROKERS TOPIC N  an idempotent producer with acks=all: the numbers 0 to N-1
 * in partition 0, whatever happens to the broker meanwhile
 *
 * Ends with 0, or with a sentence and 1.
 */
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIMEOUT_MS = 60000, PARTITIONS = 3, EVENTS = 300, TIMESTAMP_MS = 1700000000 };

static char why[512];

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

static void must(rd_kafka_resp_err_t error, const char *what)
{
    if (error)
        fail("%s: %s", what, rd_kafka_err2str(error));
}

/* `settings`: name, value, ..., NULL */
static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers, const char *const *settings,
                          void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *))
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)))
        fail("%s", why);
    for (; *settings; settings += 2) {
        if (rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof(why)))
            fail("%s", why);
    }
    if (delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof(why));
    if (!rk)
        fail("%s", why);
    return rk;
}

/* ---- topics ---- */

static rd_kafka_event_t *admin_result(rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!event)
        fail("%s: no answer", what);
    if (rd_kafka_event_error(event))
        fail("%s: %s", what, rd_kafka_event_error_string(event));
    return event;
}

static void topic_create(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name,
                         rd_kafka_resp_err_t expected)
{
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, PARTITIONS, 1, why, sizeof(why));
    must(rd_kafka_NewTopic_set_config(topic, "retention.ms", "3600000"), "setting");
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = admin_result(queue, "CreateTopics");
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (rd_kafka_topic_result_error(results[0]) != expected)
        fail("CreateTopics: %s", rd_kafka_err2str(rd_kafka_topic_result_error(results[0])));
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
}

static void topic_config(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name)
{
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_DescribeConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = admin_result(queue, "DescribeConfigs");
    size_t count, entries;
    bool found = false;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    must(rd_kafka_ConfigResource_error(results[0]), "DescribeConfigs");
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(results[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), "retention.ms") == 0)
            found = strcmp(rd_kafka_ConfigEntry_value(entry[i]), "3600000") == 0;
    }
    if (!found)
        fail("retention.ms is not what it was set to");
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
}

static void topic_delete(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = admin_result(queue, "DeleteTopics");
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    must(rd_kafka_topic_result_error(results[0]), "DeleteTopics");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(topic);
}

/* ---- producing ---- */

static int delivered_count;
static int64_t delivered_last[PARTITIONS];

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    (void)opaque;
    must(message->err, "delivery");
    if (message->partition < PARTITIONS) {
        if (message->offset <= delivered_last[message->partition])
            fail("partition %d: offset %lld came after %lld", message->partition, (long long)message->offset,
                 (long long)delivered_last[message->partition]);
        delivered_last[message->partition] = message->offset;
    }
    delivered_count++;
}

static void flush(rd_kafka_t *rk, int expected)
{
    must(rd_kafka_flush(rk, TIMEOUT_MS), "flush");
    if (delivered_count != expected)
        fail("%d of %d events were delivered", delivered_count, expected);
}

/* Event i of a codec: key, value, two headers, a time of its own. */
static void produce(const char *brokers, const char *topic, const char *codec)
{
    const char *const settings[] = { "compression.codec",
                                     codec,
                                     "enable.idempotence",
                                     "true",
                                     "linger.ms",
                                     "5",
                                     "debug",
                                     "msg",
                                     "log_level",
                                     "7",
                                     NULL };
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, brokers, settings, delivered);
    delivered_count = 0;
    for (int i = 0; i < EVENTS; i++) {
        char key[32], value[128];
        snprintf(key, sizeof(key), "%s-%d", codec, i);
        snprintf(value, sizeof(value), "%s-%d %064d", codec, i, i);
        must(rd_kafka_producev(
                 rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % PARTITIONS),
                 RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(value, strlen(value)),
                 RD_KAFKA_V_TIMESTAMP(TIMESTAMP_MS * 1000ll + i), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                 RD_KAFKA_V_HEADER("codec", codec, -1), RD_KAFKA_V_HEADER("empty", NULL, 0), RD_KAFKA_V_END),
             "produce");
    }
    flush(rk, EVENTS);
    rd_kafka_destroy(rk);
}

static void produce_numbers(const char *brokers, const char *topic, int count)
{
    const char *const settings[] = { "enable.idempotence",
                                     "true",
                                     "acks",
                                     "all",
                                     "message.timeout.ms",
                                     "300000",
                                     "reconnect.backoff.ms",
                                     "20",
                                     "reconnect.backoff.max.ms",
                                     "200",
                                     "retry.backoff.ms",
                                     "20",
                                     "batch.num.messages",
                                     "50",
                                     NULL };
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, brokers, settings, delivered);
    delivered_last[0] = -1;
    for (int i = 0; i < count; i++) {
        char value[64];
        snprintf(value, sizeof(value), "%d", i);
        rd_kafka_resp_err_t error;
        while ((error = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                          RD_KAFKA_V_VALUE(value, strlen(value)),
                                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
               RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(rk, 10);
        must(error, "produce");
        if (i % 500 == 0) { /* keep a few in flight, so that kills fall between many requests */
            while (rd_kafka_outq_len(rk) > 2000)
                rd_kafka_poll(rk, 10);
            printf("%d\n", delivered_count);
            fflush(stdout);
        }
    }
    must(rd_kafka_flush(rk, 5 * TIMEOUT_MS), "flush");
    if (delivered_count != count)
        fail("%d of %d events were delivered", delivered_count, count);
    rd_kafka_destroy(rk);
}

/* ---- consuming ---- */

static rd_kafka_t *join(const char *brokers, const char *topic, const char *group, const char *strategy)
{
    const char *const settings[] = { "group.id",
                                     group,
                                     "auto.offset.reset",
                                     "earliest",
                                     "partition.assignment.strategy",
                                     strategy,
                                     "session.timeout.ms",
                                     "10000",
                                     NULL };
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, brokers, settings, NULL);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    must(rd_kafka_subscribe(rk, topics), "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    return rk;
}

static int assigned(rd_kafka_t *rk)
{
    rd_kafka_topic_partition_list_t *list;
    must(rd_kafka_assignment(rk, &list), "assignment");
    const int count = list->cnt;
    rd_kafka_topic_partition_list_destroy(list);
    return count;
}

static int64_t next_offset[PARTITIONS];

/* False: it came before. A member that loses a partition may not be able to commit what it has read any more;
 * that comes again, and nothing else does. */
static bool look_at(const rd_kafka_message_t *m)
{
    char expected[64];
    rd_kafka_headers_t *headers;
    const void *codec, *empty;
    size_t codec_bytes, empty_bytes;
    must(m->err, "consume");
    if (m->offset > next_offset[m->partition])
        fail("partition %d: offset %lld, expected %lld", m->partition, (long long)m->offset,
             (long long)next_offset[m->partition]);
    must(rd_kafka_message_headers(m, &headers), "headers");
    must(rd_kafka_header_get_last(headers, "codec", &codec, &codec_bytes), "header codec");
    must(rd_kafka_header_get_last(headers, "empty", &empty, &empty_bytes), "header empty");
    if (empty)
        fail("a header without a value has one");
    rd_kafka_timestamp_type_t type;
    const int64_t i = rd_kafka_message_timestamp(m, &type) - TIMESTAMP_MS * 1000ll;
    snprintf(expected, sizeof(expected), "%.*s-%d", (int)codec_bytes, (const char *)codec, (int)i);
    if (type != RD_KAFKA_TIMESTAMP_CREATE_TIME || m->key_len != strlen(expected) ||
        memcmp(m->key, expected, m->key_len) != 0 || memcmp(m->payload, expected, m->key_len) != 0)
        fail("event %s has another key, value or time", expected);
    if (m->offset < next_offset[m->partition])
        return false;
    next_offset[m->partition]++;
    return true;
}

static void commit(rd_kafka_t *rk, const rd_kafka_message_t *m)
{
    const rd_kafka_resp_err_t error = rd_kafka_commit_message(rk, m, 0);
    if (error != RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION && error != RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS &&
        error != RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID)
        must(error, "commit");
}

/* Two members share what one read before the other came; nothing is missing. */
static void consume(const char *brokers, const char *topic, const char *group, const char *strategy,
                    int total)
{
    memset(next_offset, 0, sizeof(next_offset));
    rd_kafka_t *members[2] = { join(brokers, topic, group, strategy), NULL };
    const time_t deadline = time(NULL) + TIMEOUT_MS / 1000;
    int got = 0;
    bool shared = false;
    while (got < total || !shared) {
        if (time(NULL) > deadline)
            fail("%s: %d of %d events came, %s", group, got, total, shared ? "shared" : "not shared");
        for (int i = 0; i < 2; i++) {
            rd_kafka_message_t *m = members[i] ? rd_kafka_consumer_poll(members[i], 20) : NULL;
            if (m && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                got += look_at(m);
                commit(members[i], m);
            }
            if (m)
                rd_kafka_message_destroy(m);
        }
        if (got == total / 2 && !members[1])
            members[1] = join(brokers, topic, group, strategy);
        shared = shared || (members[1] && assigned(members[0]) && assigned(members[1]) &&
                            assigned(members[0]) + assigned(members[1]) == PARTITIONS);
    }
    for (int i = 0; i < 2; i++) {
        must(rd_kafka_consumer_close(members[i]), "close");
        rd_kafka_destroy(members[i]);
    }
}

static void look_up(rd_kafka_t *rk, const char *topic, int64_t end)
{
    int64_t low, high;
    must(rd_kafka_query_watermark_offsets(rk, topic, 0, &low, &high, TIMEOUT_MS), "watermarks");
    if (low != 0 || high != end)
        fail("watermarks are %lld and %lld", (long long)low, (long long)high);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = TIMESTAMP_MS * 1000ll + 100; /* event 102 */
    must(rd_kafka_offsets_for_times(rk, list, TIMEOUT_MS), "offsets for times");
    if (list->elems[0].err || list->elems[0].offset != 34)
        fail("the first event at that time has offset %lld", (long long)list->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(list);
}

static int check(const char *brokers)
{
    static const char *const CODECS[] = { "none", "gzip", "snappy", "lz4", "zstd" };
    enum { CODEC_COUNT = sizeof(CODECS) / sizeof(CODECS[0]) };
    const char *const none[] = { NULL };
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, brokers, none, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    topic_create(rk, queue, "made-by-librdkafka", RD_KAFKA_RESP_ERR_NO_ERROR);
    topic_create(rk, queue, "made-by-librdkafka", RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
    topic_config(rk, queue, "made-by-librdkafka");
    for (int i = 0; i < PARTITIONS; i++)
        delivered_last[i] = -1;
    for (int i = 0; i < CODEC_COUNT; i++)
        produce(brokers, "made-by-librdkafka", CODECS[i]);
    look_up(rk, "made-by-librdkafka", EVENTS / PARTITIONS * CODEC_COUNT);
    consume(brokers, "made-by-librdkafka", "eager", "range", EVENTS * CODEC_COUNT);
    consume(brokers, "made-by-librdkafka", "cooperative", "cooperative-sticky", EVENTS * CODEC_COUNT);
    topic_delete(rk, queue, "made-by-librdkafka");
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    if (argc != 5 || strcmp(argv[1], "produce") != 0)
        fail("usage: interop_librdkafka check BROKERS | produce BROKERS TOPIC N");
    produce_numbers(argv[2], argv[3], atoi(argv[4]));
    return 0;
}
