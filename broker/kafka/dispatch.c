/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/dispatch.c: from a frame to its handler: the one place where frames, headers, versions and bodies are
 * judged.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "kafka/kafka_own.h"
#include "kafka/layout.h"

enum { DISPATCH_PRODUCE = 0, DISPATCH_API_VERSIONS = 18 };

/* ---- framing: an i32 that counts what follows it ---- */

static uint64_t framing_size(const uint8_t *header)
{
    const int32_t size = (int32_t)be32_load(header);
    return size <= 0 ? 0 : 4 + (uint64_t)size;
}

/* What the first bytes look like, when they are no frame. */
static const char *framing_looks_like(const uint8_t *header)
{
    static const char *const HTTP[] = { "GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN" };
    if (header[0] == 0x16 && header[1] == 0x03)
        return "this looks like TLS, which the listener does not speak: set security.protocol=PLAINTEXT";
    for (uint32_t i = 0; i < ARRAY_LEN(HTTP); i++) {
        if (memcmp(header, HTTP[i], 4) == 0)
            return "this looks like HTTP: the listener is for Kafka clients";
    }
    return NULL;
}

static void framing_refuse(struct conn *c, const uint8_t *header, enum error code, const char *text)
{
    const struct kafka_session *s = c->user;
    const char *looks_like = header ? framing_looks_like(header) : NULL;
    if (s)
        s->kafka->stats.closed++;
    diag(DIAG_WARN, "kafka", "connection closed: its frame cannot be taken",
         DIAG_KS("error", error_name((uint16_t)code)), DIAG_KS("why", looks_like ? looks_like : text));
}

const struct net_framing KAFKA_FRAMING = { 4, false, framing_size, framing_refuse };

/* ---- requests ---- */

enum net_take kafka_fail(struct kafka_session *s, const struct kafka_request *rq, const char *why)
{
    s->kafka->stats.closed++;
    diag(DIAG_WARN, "kafka", "connection closed: no answer can be given to its request", DIAG_KS("why", why),
         DIAG_KS("api", rq->api ? rq->api->name : "unknown"), DIAG_KI("version", rq->version));
    conn_end(s->conn);
    return NET_TAKEN;
}

/* The header: key, version, correlation id; then, if that version is spoken, client id, and tagged fields
 * when the body is flexible. Returns what keeps it from being answered, or NULL. */
static const char *dispatch_header(struct kafka_request *rq, char *text)
{
    const int16_t key = kafka_get_i16(&rq->in);
    rq->version = rq->in.version = kafka_get_i16(&rq->in);
    rq->correlation = kafka_get_i32(&rq->in);
    if (rq->in.r.bad)
        return "the request is too short for a header";
    rq->api = kafka_api(key);
    if (!rq->api || rq->version < rq->api->min || rq->version > rq->api->max) {
        snprintf(text, KAFKA_WHY_BYTES,
                 rq->api ? "version %d of API %d is not spoken" : "version %d of unknown API %d", rq->version,
                 key);
        return text;
    }
    rq->client_id = kafka_get_string(&rq->in); /* never flexible */
    rq->in.flexible = rq->version >= rq->api->flexible;
    kafka_get_tags(&rq->in);
    return rq->in.r.bad ? "the header's client id or tagged fields are malformed" : NULL;
}

/* Must it wait for what was asked before it? */
static bool dispatch_holds(const struct kafka_session *s, const struct kafka_api *api, uint32_t bytes)
{
    const struct kafka_options *o = &s->kafka->options;
    if (s->call || (api->waits && s->acks_waiting))
        return true;
    return s->inflight_bytes && s->inflight_bytes + bytes > o->connection_inflight_bytes_max;
}

static enum net_take dispatch_request(struct kafka_session *s, const struct kafka_request *rq)
{
    if (rq->bytes > KAFKA_CONTROL_BYTES_MAX && rq->api->key != DISPATCH_PRODUCE)
        return kafka_fail(s, rq, "the request is larger than any but Produce may be (4 MiB)");
    if (!layout_holds(rq->in, rq->api->layout))
        return kafka_fail(s, rq, "the request's body is malformed");
    return rq->api->run(s, rq);
}

/* Clients ask for versions in the newest one that they know. Its body is not looked at; they are to find out.
 */
static bool dispatch_unsupported(const struct kafka_request *rq)
{
    return rq->api && rq->api->key == DISPATCH_API_VERSIONS && rq->version > rq->api->max;
}

enum net_take kafka_on_frame(void *ctx, struct conn *c, const uint8_t *frame, uint32_t bytes)
{
    struct kafka_session *s = c->user;
    struct kafka_request rq = { .bytes = bytes, .in = { .r = reader_of(frame + 4, bytes - 4) } };
    char text[KAFKA_WHY_BYTES];
    enum net_take take;
    (void)ctx;
    s->held = false;
    const char *why = dispatch_header(&rq, text);
    if (rq.api && dispatch_holds(s, rq.api, bytes)) {
        s->held = true;
        take = NET_LATER;
    } else if (!why) {
        take = dispatch_request(s, &rq);
    } else if (dispatch_unsupported(&rq)) {
        take = kafka_api_versions_unsupported(s, &rq);
    } else {
        take = kafka_fail(s, &rq, why);
    }
    s->kafka->stats.requests += take == NET_TAKEN;
    return take;
}
