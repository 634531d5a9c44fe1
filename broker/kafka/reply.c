/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/reply.c: replies: encoded in one place, sent at once or when they are durable, in order.
 */
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "kafka/kafka_own.h"

enum {
    REPLY_HEADER = 8, /* size and correlation id */
    REPLY_KEEP_BYTES =
        1 << 20, /* of the buffer in which replies are written; what was larger is given back */
    REPLY_API_VERSIONS = 18,
};

static struct kafka_out *reply_begin(struct kafka *kafka, const struct kafka_api *api, int16_t version,
                                     int32_t correlation)
{
    struct kafka_out *out = &kafka->out;
    out->len = 0;
    out->bad = false;
    out->version = version;
    out->flexible = version >= api->flexible;
    kafka_put_i32(out, 0);
    kafka_put_i32(out, correlation);
    /* The reply's header has tagged fields if its body does; but that of ApiVersions never: its reader may
     * not know the version yet. */
    if (api->key != REPLY_API_VERSIONS)
        kafka_put_tags(out);
    return out;
}

/* Sends what was encoded, or has it wait. `request_bytes` count against the connection meanwhile. */
static void reply_end(struct kafka_session *s, uint64_t sequence, uint32_t request_bytes)
{
    struct kafka *kafka = s->kafka;
    struct kafka_out *out = &kafka->out;
    if (out->bad) {
        kafka->stats.closed++;
        diag(DIAG_WARN, "kafka", "connection closed: the reply to its request would be too large",
             DIAG_KU("bytes_max", KAFKA_REPLY_BYTES_MAX));
        conn_end(s->conn);
    } else {
        CHECK(out->len >= REPLY_HEADER);
        be32_store(out->at, out->len - 4);
        const bool durable = sequence <= store_durable_sequence(kafka->store);
        if (durable && s->acks_waiting == 0) {
            conn_write(s->conn, out->at, out->len);
        } else {
            const uint32_t charge = request_bytes + out->len;
            uint8_t *at = replies_add(&kafka->acks, s->conn, durable ? 0 : sequence, out->len, charge);
            memcpy(at, out->at, out->len);
            s->acks_waiting++;
            s->inflight_bytes += charge;
            kafka->stats.replies_waiting++;
            kafka->stats.inflight_bytes += charge;
        }
    }
    if (out->cap > REPLY_KEEP_BYTES)
        kafka_out_free(out);
}

struct kafka_out *kafka_reply_begin(struct kafka_session *s, const struct kafka_request *rq)
{
    return reply_begin(s->kafka, rq->api, rq->version, rq->correlation);
}

enum net_take kafka_reply_end(struct kafka_session *s, const struct kafka_request *rq, uint64_t sequence)
{
    reply_end(s, sequence, rq->bytes);
    return NET_TAKEN;
}

void kafka_call_begin(struct kafka_call *call, struct kafka_session *s, const struct kafka_request *rq,
                      void (*gone)(struct kafka_call *call))
{
    CHECK(rq->api->waits && !s->call && s->acks_waiting == 0);
    *call = (struct kafka_call){ s, rq->api, rq->version, rq->correlation, gone };
    s->call = call;
}

struct kafka_out *kafka_call_reply(struct kafka_call *call)
{
    return reply_begin(call->session->kafka, call->api, call->version, call->correlation);
}

void kafka_call_end(struct kafka_call *call, uint64_t sequence)
{
    struct kafka_session *s = call->session;
    CHECK(s->call == call);
    s->call = NULL;
    call->session = NULL;
    reply_end(s, sequence, 0);
    kafka_wake(s);
}

void kafka_call_end_lending(struct kafka_call *call, struct kafka_lent *lent, uint32_t count)
{
    struct kafka_session *s = call->session;
    struct kafka_out *out = &s->kafka->out;
    uint64_t bytes = out->len;
    uint32_t sent = 0;
    CHECK(s->call == call && s->acks_waiting == 0 && !out->bad);
    for (uint32_t i = 0; i < count; i++)
        bytes += lent[i].slice.bytes;
    CHECK(bytes <= INT32_MAX);
    be32_store(out->at, (uint32_t)bytes - 4);
    for (uint32_t i = 0; i < count; i++) {
        struct slice *slice = &lent[i].slice;
        if (slice->bytes == 0)
            continue;
        conn_write(s->conn, out->at + sent, lent[i].at - sent);
        conn_lend(s->conn, slice->data, slice->bytes, slice->pin);
        *slice = (struct slice){ 0 };
        sent = lent[i].at;
    }
    conn_write(s->conn, out->at + sent, out->len - sent);
    s->call = NULL;
    call->session = NULL;
    kafka_wake(s);
}
