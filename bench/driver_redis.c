/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver_redis.c: Redis Streams. A lane is a stream; publishing is pipelined XADD, one command and one
 * entry per event; consuming is XREAD BLOCK with the next command sent as soon as the last entry of a reply
 * was seen; in a group, XREADGROUP, and one XACK for all that a reply brought.
 *
 * What an acknowledgement means is the server's setting (appendfsync): the protocol cannot ask for it.
 * Replies are parsed by hiredis' reader with our own object functions, which allocate nothing.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"
#include "stream.h"

enum {
    KEY_BYTES = 300,
    ID_BYTES = 48,
    READ_COUNT = 5000,     /* entries per XREAD: more brings nothing */
    FEED_BYTES = 16 << 10, /* hiredis moves what it was fed to the front every KiB: keep that short */
    ACKS_BYTES = READ_COUNT * (ID_BYTES + 8),
    PUBLISH_OVERHEAD = 64,   /* of an XADD beside its key and payload */
    SETUP_TIMEOUT_MS = 60000 /* freeing a large stream takes a while */
};

struct lane {
    char key[KEY_BYTES];
    char id[ID_BYTES]; /* last entry seen */
    uint32_t key_len, prefix_len;
    char prefix[KEY_BYTES + PUBLISH_OVERHEAD]; /* XADD up to the payload */
};

struct redis_link {
    struct link link;
    struct stream stream;
    redisReader *reader;
    enum role role;
    uint64_t next_ack; /* replies come in order */
    uint64_t replies;
    bool finding_end; /* XREVRANGE is being answered: the first id of each reply is a lane's last */
    bool reply_bad, reply_integer;
    char *acks; /* ids to be acknowledged, as protocol strings */
    size_t acks_len;
    uint32_t acks_count;
    uint32_t lane; /* that the reply speaks of */
    uint32_t lanes;
    struct lane *lane_of;
    uint8_t *payload; /* with its final CR LF */
};

static struct redis_link *link_of(struct link *l)
{
    return (struct redis_link *)l;
}

static bool consumes(const struct redis_link *r)
{
    return r->role == ROLE_CONSUMER || r->role == ROLE_COUNTER;
}

static void lane_key(const struct target *t, uint32_t lane, char *out)
{
    char topic[256];
    driver_topic_name(t, lane / t->partitions, topic, sizeof(topic));
    if (t->partitions == 1)
        snprintf(out, KEY_BYTES, "%s", topic);
    else
        snprintf(out, KEY_BYTES, "%s:%u", topic, lane % t->partitions);
}

/* ---- replies: called by hiredis for every element, as it is complete ---- */

static int depth_of(const redisReadTask *task)
{
    int depth = 0;
    for (; task->parent; task = task->parent)
        depth++;
    return depth;
}

/* XACK for what was read of the current lane. */
static void send_acks(struct redis_link *r)
{
    if (!r->acks_count)
        return;
    const struct lane *lane = &r->lane_of[r->lane];
    uint8_t *at = stream_space(&r->stream, KEY_BYTES + 128 + r->acks_len);
    if (!at) {
        r->reply_bad = true;
        link_fail(&r->link, "redis: acknowledgements do not fit the send buffer");
        return;
    }
    int n = snprintf((char *)at, KEY_BYTES + 128, "*%u\r\n$4\r\nXACK\r\n$%u\r\n%s\r\n$5\r\nbench\r\n",
                     3 + r->acks_count, lane->key_len, lane->key);
    memcpy(at + n, r->acks, r->acks_len);
    stream_commit(&r->stream, (size_t)n + r->acks_len);
    r->acks_len = r->acks_count = 0;
}

/* The streams of a reply come in the order in which the request named them. */
static void reply_key(struct redis_link *r, const char *key, size_t len)
{
    send_acks(r);
    for (; r->lane < r->lanes; r->lane++)
        if (r->lane_of[r->lane].key_len == len && memcmp(r->lane_of[r->lane].key, key, len) == 0)
            return;
    r->reply_bad = true;
}

static void reply_id(struct redis_link *r, const char *id, size_t len)
{
    if (r->lane >= r->lanes || len >= ID_BYTES) {
        r->reply_bad = true;
        return;
    }
    memcpy(r->lane_of[r->lane].id, id, len);
    r->lane_of[r->lane].id[len] = 0;
    if (r->acks && !r->finding_end && r->acks_len + len + 16 < ACKS_BYTES) {
        r->acks_len += (size_t)snprintf(r->acks + r->acks_len, ACKS_BYTES - r->acks_len, "$%zu\r\n%.*s\r\n",
                                        len, (int)len, id);
        r->acks_count++;
    }
}

/*   depth  0 [ 1 [ 2 key, 2 [ 3 [ 4 id, 4 [ 5 field, 5 value ]]]]]   XREAD
 *   depth  0 [ 1 [ 2 id, 2 [ 3 field, 3 value ]]]                    XREVRANGE */
static void *on_string(const redisReadTask *task, char *str, size_t len)
{
    struct redis_link *r = task->privdata;
    int depth = depth_of(task);
    if (task->type == REDIS_REPLY_ERROR) {
        link_fail(&r->link, "redis: %.*s", (int)(len > 200 ? 200 : len), str);
        r->reply_bad = true;
    } else if (r->finding_end) {
        if (depth == 2)
            reply_id(r, str, len);
    } else if (depth == 2) {
        reply_key(r, str, len);
    } else if (depth == 4) {
        reply_id(r, str, len);
    } else if (depth == 5 && task->idx == 1) {
        r->link.sink->event(&r->link, (const uint8_t *)str, (uint32_t)len, r->stream.now_ns);
    }
    return r;
}

static void *on_array(const redisReadTask *task, int elements)
{
    (void)elements;
    return task->privdata;
}

static void *on_integer(const redisReadTask *task, long long value)
{
    (void)value;
    struct redis_link *r = task->privdata;
    r->reply_integer = true;
    return r;
}

static void *on_nil(const redisReadTask *task)
{
    return task->privdata;
}

static void on_free(void *object)
{
    (void)object; /* objects are the link itself */
}

static redisReplyObjectFunctions reply_functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
    .freeObject = on_free,
};

/* ---- requests ---- */

static bool send_read(struct redis_link *r)
{
    size_t need = 256 + (size_t)r->lanes * (KEY_BYTES + ID_BYTES + 32);
    uint8_t *at = stream_space(&r->stream, need);
    if (!at)
        return link_fail(&r->link, "redis: XREAD of %u streams does not fit a request", r->lanes);
    char *p = (char *)at, *const end = p + need;
    if (r->link.target->group)
        p += snprintf(p, (size_t)(end - p),
                      "*%u\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$5\r\nbench\r\n$1\r\n1\r\n",
                      9 + 2 * r->lanes);
    else
        p += snprintf(p, (size_t)(end - p), "*%u\r\n$5\r\nXREAD\r\n", 6 + 2 * r->lanes);
    p += snprintf(p, (size_t)(end - p),
                  "$5\r\nCOUNT\r\n$%d\r\n%d\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n",
                  snprintf(NULL, 0, "%d", READ_COUNT), READ_COUNT);
    for (uint32_t i = 0; i < r->lanes; i++)
        p += snprintf(p, (size_t)(end - p), "$%u\r\n%s\r\n", r->lane_of[i].key_len, r->lane_of[i].key);
    for (uint32_t i = 0; i < r->lanes; i++)
        if (r->link.target->group)
            p += snprintf(p, (size_t)(end - p), "$1\r\n>\r\n");
        else
            p += snprintf(p, (size_t)(end - p), "$%zu\r\n%s\r\n", strlen(r->lane_of[i].id), r->lane_of[i].id);
    stream_commit(&r->stream, (size_t)((uint8_t *)p - at));
    r->lane = 0;
    return true;
}

static void reply_done(struct redis_link *r)
{
    r->replies++;
    if (r->finding_end) {
        r->lane++;
    } else if (consumes(r)) {
        if (!r->reply_integer && !r->reply_bad &&
            r->link.sink) { /* not the answer to XACK or to the set-up */
            send_acks(r);
            send_read(r);
        }
        r->reply_integer = false;
    } else if (r->link.sink) {
        r->link.sink->acked(&r->link, r->next_ack++, r->stream.now_ns, !r->reply_bad);
        r->reply_bad = false;
    }
}

static bool parse(struct redis_link *r)
{
    struct stream *s = &r->stream;
    while (s->in_at < s->in_end) {
        size_t n = s->in_end - s->in_at < FEED_BYTES ? s->in_end - s->in_at : FEED_BYTES;
        redisReaderFeed(r->reader, (char *)s->in + s->in_at, n);
        s->in_at += n;
        for (void *reply = r;;) {
            reply = NULL;
            if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
                return link_fail(&r->link, "redis: %s", r->reader->errstr);
            if (!reply)
                break;
            reply_done(r);
        }
    }
    return r->role == ROLE_PRODUCER || !r->reply_bad;
}

static bool redis_process(struct link *link)
{
    struct redis_link *r = link_of(link);
    ssize_t n = stream_recv(&r->stream);
    if (n < 0)
        return link_fail(link, "redis: connection lost: %s",
                         errno ? strerror(errno) : "closed by the server");
    return (n == 0 || parse(r)) && stream_flush(&r->stream);
}

static bool redis_flush(struct link *link)
{
    if (!stream_flush(&link_of(link)->stream))
        return link_fail(link, "redis: connection lost: %s", strerror(errno));
    return true;
}

static bool redis_pending(const struct link *link)
{
    return stream_pending(&((const struct redis_link *)link)->stream);
}

static bool redis_publish(struct link *link, const struct events *e)
{
    struct redis_link *r = link_of(link);
    const struct lane *lane = &r->lane_of[e->lane];
    uint32_t size = link->target->size;
    size_t bytes = lane->prefix_len + size + 2;
    uint8_t *at = stream_space(&r->stream, bytes);
    if (!at)
        return false;
    memcpy(at, lane->prefix, lane->prefix_len);
    memcpy(at + lane->prefix_len, r->payload, size + 2);
    payload_stamp(at + lane->prefix_len, e, 0);
    stream_commit(&r->stream, bytes);
    return true;
}

/* ---- opening ---- */

static void redis_close(struct link *link)
{
    struct redis_link *r = link_of(link);
    stream_close(&r->stream);
    if (r->reader)
        redisReaderFree(r->reader);
    free(r->lane_of);
    free(r->payload);
    free(r->acks);
    free(r);
}

static void make_lanes(struct redis_link *r)
{
    const struct target *t = r->link.target;
    for (uint32_t i = 0; i < r->lanes; i++) {
        struct lane *lane = &r->lane_of[i];
        lane_key(t, i, lane->key);
        lane->key_len = (uint32_t)strlen(lane->key);
        snprintf(lane->id, sizeof(lane->id), "0-0");
        lane->prefix_len =
            (uint32_t)snprintf(lane->prefix, sizeof(lane->prefix),
                               "*5\r\n$4\r\nXADD\r\n$%u\r\n%s\r\n$1\r\n*\r\n$1\r\nd\r\n$%u\r\n",
                               lane->key_len, lane->key, t->size);
    }
}

/* Sends an inline command per lane and waits for the replies. */
static bool ask_each_lane(struct redis_link *r, const char *format)
{
    r->replies = 0;
    for (uint32_t i = 0; i < r->lanes;) {
        uint8_t *at = stream_space(&r->stream, KEY_BYTES + 64);
        if (at) {
            stream_commit(&r->stream,
                          (size_t)snprintf((char *)at, KEY_BYTES + 64, format, r->lane_of[i].key));
            i++;
        } else if (!stream_flush(&r->stream)) {
            return link_fail(&r->link, "redis: connection lost: %s", strerror(errno));
        }
    }
    while (r->replies < r->lanes) {
        if (!stream_wait(&r->stream, SETUP_TIMEOUT_MS))
            return link_fail(&r->link, "redis: no answer: %s", strerror(errno));
        if (!parse(r))
            return false;
    }
    return !r->reply_bad;
}

static bool start(struct redis_link *r, enum from from)
{
    if (!consumes(r))
        return true;
    if (from == FROM_END) {
        r->finding_end = true;
        r->lane = 0;
        if (!ask_each_lane(r, "XREVRANGE %s + - COUNT 1\r\n"))
            return false;
        r->finding_end = false;
    }
    if (r->link.target->group) {
        r->acks = malloc(ACKS_BYTES);
        /* A group of an earlier pass has read everything already. */
        if (!r->acks || (from == FROM_START && !ask_each_lane(r, "XGROUP DESTROY %s bench\r\n")) ||
            !ask_each_lane(r, from == FROM_START ? "XGROUP CREATE %s bench 0 MKSTREAM\r\n"
                                                 : "XGROUP CREATE %s bench $ MKSTREAM\r\n"))
            return false;
    }
    return send_read(r) && redis_flush(&r->link);
}

static struct link *redis_open(const struct target *t, enum role role, enum from from,
                               const struct sink *sink, void *owner, char *why)
{
    struct redis_link *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->link = (struct link){ .driver = &driver_redis, .target = t, .owner = owner };
    r->stream.fd = -1;
    r->role = role;
    r->lanes = role == ROLE_IDLE ? 0 : target_lanes(t);
    r->lane_of = calloc(r->lanes + 1, sizeof(*r->lane_of));
    r->payload = malloc(t->size + 2);
    r->reader = redisReaderCreateWithFunctions(&reply_functions);
    if (!r->lane_of || !r->payload || !r->reader ||
        !stream_open(&r->stream, t->url, 6379, role == ROLE_IDLE, why)) {
        redis_close(&r->link);
        return NULL;
    }
    r->reader->privdata = r;
    r->link.fd = r->stream.fd;
    payload_fill(r->payload, t->size);
    memcpy(r->payload + t->size, "\r\n", 2);
    make_lanes(r);
    r->link.sink = NULL; /* answers to start() are nobody's */
    if (!start(r, from)) {
        snprintf(why, 256, "%s", r->link.why);
        redis_close(&r->link);
        return NULL;
    }
    r->link.sink = sink;
    return &r->link;
}

/* Streams come into being with their first entry: only old ones have to go. */
static bool redis_topics(const struct target *t, bool remove, char *why)
{
    (void)remove;
    struct redis_link *r = (struct redis_link *)redis_open(t, ROLE_PRODUCER, FROM_END, NULL, NULL, why);
    if (!r)
        return false;
    bool ok = ask_each_lane(r, "UNLINK %s\r\n");
    if (!ok)
        snprintf(why, 256, "%s", r->link.why);
    redis_close(&r->link);
    return ok;
}

const struct driver driver_redis = {
    .name = "redis",
    .url = "tcp://127.0.0.1:6379",
    .batch_max = 1,
    .groups = true,
    .durable = true,
    .topics = redis_topics,
    .open = redis_open,
    .close = redis_close,
    .publish = redis_publish,
    .flush = redis_flush,
    .pending = redis_pending,
    .process = redis_process,
};
