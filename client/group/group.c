/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/group.c: a member's life: joining, assignments, coming back after a broken connection,
 * leaving.
 */
#include "client/group/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/name.h"

struct runnel_group *group_next(const struct runnel_group *g)
{
    return TAILQ_NEXT(g, link);
}

/* ---- errors ---- */

void group_note_error(struct runnel_group *g, int code, struct bytes text)
{
    g->error = (struct runnel_error){ .code = code, .retriable = error_retriable((uint16_t)code) };
    if (text.len)
        snprintf(g->error.text, sizeof(g->error.text), "%.*s", (int)text.len, (const char *)text.at);
    else
        snprintf(g->error.text, sizeof(g->error.text), "%s", error_text((uint16_t)code));
    g->errors++;
}

static void group_fail(struct runnel_group *g, int code, struct bytes text)
{
    group_drop(g, NULL, false);
    group_note_error(g, code, text);
    g->error.fatal = 1;
    g->state = GROUP_FAILED;
}

int group_over(struct runnel_group *g)
{
    struct runnel_client *c = g->client;
    if (c->state == CLIENT_FAILED)
        return -c->error.code;
    if (g->state != GROUP_FAILED)
        return 0;
    client_error(c, g->error.code, "%s", g->error.text);
    c->error.fatal = 1;
    return -g->error.code;
}

void runnel_group_on_error(runnel_group *g, runnel_group_error_cb on_error, void *ctx)
{
    g->on_error = on_error;
    g->error_ctx = ctx;
}

const struct runnel_error *runnel_group_error(const runnel_group *g)
{
    return &g->error;
}

bool group_reports_due(const struct runnel_group *g)
{
    return g->on_error && g->errors != g->errors_told;
}

int group_report(struct runnel_group *g)
{
    if (!group_reports_due(g))
        return 0;
    g->errors_told = g->errors;
    g->on_error(g->error_ctx, &g->error);
    return 1;
}

/* ---- pushes ---- */

bool group_push(struct runnel_client *c, const struct wire_header *h, struct reader body)
{
    struct runnel_group *g;
    struct wire_error e;
    TAILQ_FOREACH(g, &c->groups, link)
    if (g->state == GROUP_LIVE && g->member == h->request_id)
        break;
    if (!g)
        return true; /* it left, and the broker did not know it yet */
    switch (h->op) {
    case WIRE_OP_GROUP_DELIVER:
        return group_deliver(g, body);
    case WIRE_OP_GROUP_ASSIGN:
        return group_assign(g, body);
    case WIRE_OP_GROUP_END:
        if (!wire_get_error(body, &e) || e.code == ERR_OK)
            return false;
        group_fail(g, e.code, e.text);
        return true;
    default:
        return false;
    }
}

/* ---- requests whose answers nobody waits for ---- */

bool group_tell(struct runnel_group *g, struct writer *w, uint8_t *frame, uint16_t op)
{
    if (!request_send(g->client, w, frame, op, request_id_unwaited(g->index)))
        return false;
    if (op != WIRE_OP_GROUP_ACK)
        g->unanswered++;
    return true;
}

void group_answer(struct runnel_client *c, uint32_t index, uint16_t op, const struct reply *reply)
{
    struct runnel_group *g;
    TAILQ_FOREACH(g, &c->groups, link)
    if (g->index == index)
        break;
    if (!g)
        return;
    if (op != WIRE_OP_GROUP_ACK && g->unanswered)
        g->unanswered--;
    /* What is given back too late was taken back: as well. */
    if (reply->error && op != WIRE_OP_GROUP_RELEASE)
        group_note_error(g, reply->error, reply->text);
}

/* ---- joining ---- */

static void group_drain(struct runnel_group *g)
{
    struct writer w;
    uint8_t *frame;
    if (g->state != GROUP_LIVE || !request_frame(g->client, &w, &frame, 8))
        return;
    wire_put_group_leave(&w, &(struct wire_group_leave){ .member = g->member, .drain = 1 });
    group_tell(g, &w, frame, WIRE_OP_GROUP_LEAVE);
}

static void group_joined(struct runnel_client *c, struct request *r, const struct reply *reply)
{
    struct runnel_group *g = OWNER(struct runnel_group, request, r);
    struct wire_group_join_reply body;
    if (reply->error == ERR_CLIENT_UNREACHABLE)
        return;
    if (reply->error && error_retriable((uint16_t)reply->error)) {
        g->state = GROUP_OFFLINE;
        g->retry_at_ms = client_now_ms() + client_backoff_ms(c, g->attempts++);
        return;
    }
    if (reply->error) {
        group_fail(g, reply->error, reply->text);
        return;
    }
    if (!wire_get_group_join_reply(reply->body, &body) || body.member_id.len == 0 ||
        body.member_id.len > GROUP_MEMBER_ID_MAX || body.max_in_flight == 0) {
        client_break(c, ERR_CLIENT_PROTOCOL, "the answer to GROUP_JOIN cannot be understood");
        return;
    }
    const bool same = strlen(g->member_id) == body.member_id.len &&
                      memcmp(g->member_id, body.member_id.at, body.member_id.len) == 0;
    if (g->member_id[0] && !same)
        shares_forget(g);
    memcpy(g->member_id, body.member_id.at, body.member_id.len);
    g->member_id[body.member_id.len] = '\0';
    g->member = body.member;
    g->generation = body.generation;
    g->mode = body.mode;
    g->max_in_flight = body.max_in_flight;
    g->ack_wait_ms = body.ack_wait_ms;
    g->attempts = 0;
    g->state = GROUP_LIVE;
    g->listing = true;
    for (uint32_t i = 0; i < g->share_count; i++)
        g->shares[i]->listed = false;
    if (g->stopping)
        group_drain(g);
}

static void group_ask(struct runnel_group *g)
{
    struct runnel_client *c = g->client;
    struct writer w;
    uint8_t *frame;
    char host[128] = "", where[160];
    uint32_t held = group_held_count(g), bytes = 512 + (uint32_t)sizeof(where) + OPTIONS_TEXT_MAX;
    if (held > GROUP_HELD_MAX)
        held = GROUP_HELD_MAX;
    for (uint16_t i = 0; i < g->topic_count; i++)
        bytes += 2 + (uint32_t)strlen(g->topics[i]);
    bytes += held * WIRE_GROUP_RANGE;
    if (!request_frame(c, &w, &frame, bytes))
        return;
    uint32_t id = request_begin(c, &g->request, WIRE_OP_GROUP_JOIN, group_joined);
    if (!id)
        return;
    gethostname(host, sizeof(host) - 1);
    snprintf(where, sizeof(where), "%s/%d", host, (int)getpid());
    struct wire_group_join body = { .group = bytes_of(g->name),
                                    .mode = (uint8_t)g->options.mode,
                                    .member_id = bytes_of(g->member_id),
                                    .instance_id = bytes_of(g->options.instance),
                                    .host = bytes_of(where),
                                    .max_in_flight = (uint32_t)g->options.max_in_flight,
                                    .credit_bytes = (uint32_t)g->options.credit_bytes,
                                    .reset = (uint8_t)g->options.reset,
                                    .topic_count = g->topic_count };
    for (uint16_t i = 0; i < g->topic_count; i++)
        body.topics[i] = bytes_of(g->topics[i]);
    /* The held rows are written behind the body, over its count of none. */
    wire_put_group_join(&w, &body);
    w.at -= 2;
    write_u16(&w, (uint16_t)held);
    group_put_held(g, &w, (uint16_t)held);
    g->state = GROUP_JOINING;
    if (!request_send(c, &w, frame, WIRE_OP_GROUP_JOIN, id))
        client_break(c, ERR_CLIENT_ARGUMENT, "the names of the topics are too long for a request");
}

/* ---- with the connection ---- */

void group_connected(struct runnel_group *g)
{
    g->retry_at_ms = 0;
}

void group_advance(struct runnel_group *g, int64_t now_ms)
{
    if (g->client->state != CLIENT_READY)
        return;
    if (g->state == GROUP_OFFLINE && g->retry_at_ms <= now_ms)
        group_ask(g);
    if (g->state == GROUP_LIVE) {
        group_extend(g, now_ms);
        group_flush(g);
    }
}

/* What is queued the broker takes back; what was begun goes on. */
void group_broken(struct runnel_group *g)
{
    if (g->state == GROUP_FAILED)
        return;
    group_drop(g, NULL, false);
    for (uint32_t i = 0; i < g->share_count; i++)
        share_drop_last(g, g->shares[i]);
    group_doubt(g);
    g->unanswered = 0;
    g->state = GROUP_OFFLINE;
}

int64_t group_due_ms(const struct runnel_group *g)
{
    if (g->client->state != CLIENT_READY)
        return INT64_MAX;
    if (g->state == GROUP_OFFLINE)
        return g->retry_at_ms;
    if (g->state != GROUP_LIVE)
        return INT64_MAX;
    return group_flush_due(g) ? 0 : g->extend_at_ms;
}

/* ---- making and ending ---- */

static bool group_resolved(void *ctx)
{
    const struct runnel_group *g = ctx;
    return g->state == GROUP_LIVE || g->state == GROUP_FAILED;
}

static void group_free(struct runnel_group *g)
{
    struct runnel_client *c = g->client;
    request_cancel(c, &g->request);
    request_cancel(c, &g->confirm);
    group_drop(g, NULL, false);
    group_leave_delivery(g);
    TAILQ_REMOVE(&c->groups, g, link);
    for (uint32_t i = 0; i < g->share_count; i++)
        share_free(g, g->shares[i]);
    for (int i = 0; i < GROUP_UNPACKED; i++)
        packer_free(&g->unpacked[i].packer, false);
    for (uint16_t i = 0; i < g->topic_count; i++)
        free(g->topics[i]);
    group_producer_free(g);
    if (g->envelope)
        runnel_envelope_follow(g->envelope, NULL);
    free(g->topics);
    free(g->shares);
    free(g->queue);
    free(g);
}

static bool group_copy_topics(struct runnel_group *g, const char *const *topics, size_t count)
{
    g->topics = calloc(count, sizeof(*g->topics));
    for (size_t i = 0; g->topics && i < count; i++) {
        g->topics[i] = strdup(topics[i]);
        if (!g->topics[i])
            return false;
        g->topic_count++;
    }
    return g->topics != NULL;
}

static int join_arguments(struct runnel_client *c, const char *group, const char *const *topics, size_t count)
{
    if (!group || !*group || strlen(group) > TOPIC_NAME_MAX)
        return client_error(c, ERR_GROUP_NAME_INVALID,
                            "'%.64s' is not a group name: use 1 to %d letters, digits, '.', '_' or '-'",
                            group ? group : "", TOPIC_NAME_MAX);
    if (!topics || count == 0 || count > WIRE_GROUP_TOPICS_MAX)
        return client_error(c, ERR_CLIENT_ARGUMENT, "a member consumes 1 to %d topics or patterns",
                            WIRE_GROUP_TOPICS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!topics[i] || !*topics[i] || strlen(topics[i]) > TOPIC_NAME_MAX)
            return client_error(c, ERR_TOPIC_NAME_INVALID, "'%.64s' is neither a topic's name nor a pattern",
                                topics[i] ? topics[i] : "");
    return 0;
}

runnel_group *runnel_group_join(runnel_client *c, const char *group, const char *const *topics, size_t count,
                                const runnel_options *options)
{
    if (client_may_block(c) || join_arguments(c, group, topics, count))
        return NULL;
    struct runnel_group *g = calloc(1, sizeof(*g));
    if (!g) {
        client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a member of a group");
        return NULL;
    }
    g->client = c;
    if (options)
        g->options = options->values;
    else
        options_default(&g->options);
    snprintf(g->name, sizeof(g->name), "%s", group);
    g->index = request_index_next(c);
    g->extend_at_ms = INT64_MAX;
    TAILQ_INIT(&g->acks);
    TAILQ_INIT(&g->doubts);
    TAILQ_INSERT_TAIL(&c->groups, g, link);
    if (!group_copy_topics(g, topics, count)) {
        client_error(c, ERR_CLIENT_QUEUE_FULL, "no memory for a member of a group");
        group_free(g);
        return NULL;
    }
    int rc = client_wait_until(c, client_now_ms() + c->options.request_timeout_ms, group_resolved, g);
    if (rc == 0 && g->state == GROUP_LIVE)
        return g;
    if (rc == 0)
        client_error(c, g->error.code, "%s", g->error.text);
    group_free(g);
    return NULL;
}

void runnel_group_stop(runnel_group *g)
{
    if (g->stopping)
        return;
    g->stopping = true;
    group_drain(g);
    group_drop(g, NULL, true);
    group_flush(g);
    client_write(g->client);
}

int runnel_group_commit(runnel_group *g, int timeout_ms)
{
    struct runnel_client *c = g->client;
    uint64_t errors = g->errors;
    int rc = client_may_block(c);
    if (rc == 0)
        rc = client_wait_until(c, client_deadline(client_now_ms(), timeout_ms), group_settled_all, g);
    if (rc == 0)
        rc = group_over(g);
    if (rc == 0 && g->errors != errors)
        rc = client_error(c, g->error.code, "%s", g->error.text);
    return rc;
}

static bool group_has_left(void *ctx)
{
    const struct runnel_group *g = ctx;
    return g->unanswered == 0 || g->state != GROUP_LIVE;
}

int runnel_group_close(runnel_group *g, int timeout_ms)
{
    if (!g)
        return 0;
    struct runnel_client *c = g->client;
    int64_t deadline = client_deadline(client_now_ms(), timeout_ms);
    struct writer w;
    uint8_t *frame;
    int rc = client_may_block(c);
    if (rc)
        return rc;
    runnel_group_stop(g);
    if (g->state != GROUP_FAILED)
        rc = client_wait_until(c, deadline, group_settled_all, g);
    if (g->state == GROUP_LIVE && c->state == CLIENT_READY && request_frame(c, &w, &frame, 8)) {
        wire_put_group_leave(&w, &(struct wire_group_leave){ .member = g->member });
        group_tell(g, &w, frame, WIRE_OP_GROUP_LEAVE);
        int left = client_wait_until(c, deadline, group_has_left, g);
        rc = rc ? rc : left;
    }
    group_free(g);
    return rc;
}

/* ---- asking ---- */

const char *runnel_group_member_id(const runnel_group *g)
{
    return g->member_id;
}

const char *runnel_group_mode(const runnel_group *g)
{
    return g->mode == WIRE_GROUP_SHARED ? "shared" : "ordered";
}

uint32_t runnel_group_partitions(const runnel_group *g)
{
    return g->live_count;
}

uint32_t runnel_group_max_in_flight(const runnel_group *g)
{
    return g->max_in_flight;
}

uint32_t runnel_group_ack_wait_ms(const runnel_group *g)
{
    return g->ack_wait_ms;
}

size_t runnel_group_in_flight(const runnel_group *g)
{
    return (size_t)g->out;
}
