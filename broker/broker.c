/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/broker.c: puts the rooms together: birth, one turn, stopping, death. It wires; it contains nothing.
 */
#include "broker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/api.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/mem.h"
#include "group/group.h"
#include "instance.h"
#include "io/file.h"
#include "io/io.h"
#include "io/timer.h"
#include "io/work.h"
#include "kafka/kafka.h"
#include "net/listener.h"
#include "net/net.h"
#include "partition/store.h"
#include "proto/wire_group.h"
#include "schema/registry.h"

enum {
    /* Descriptors that are not connections: segments being written (at most 1,024 are kept open), reads of
     * segments, journal files, listeners, the ring. */
    BROKER_DESCRIPTORS = 1400,
    /* After so long without any event nothing is expected: the loop sleeps without spinning first. */
    BROKER_IDLE_NS = 5000000,
};

#define BROKER_DEFAULT_TCP "tcp://127.0.0.1:7411"

enum broker_state {
    BROKER_RUNNING,
    BROKER_DRAINING, /* no new connections and changes; replies still wait for the journal */
    BROKER_CLOSING,  /* the store stops; connections are sent their last replies */
    BROKER_DONE,     /* nothing is in flight anywhere */
};

struct broker {
    struct broker_options options;
    enum broker_state state;
    int lock_fd, signal_fd;
    struct clock clock;
    struct io *io;
    struct timers *timers;
    struct work *work;
    struct store *store;
    struct net *net;
    struct api *api;
    struct kafka *kafka;
    struct net_door native;
    struct groups *groups;
    struct registry *registry;
    struct store_state states[2]; /* what those two remember */
    struct listener *listeners[CONFIG_LISTEN_MAX];
    uint32_t listener_count;
    struct store_report report;
    struct io_op signal_op, signal_cancel;
    struct timer drain_timer;
    uint64_t event_ns; /* when the last event was handled */
    bool forced;
};

/* ---- what the rooms are told ---- */

static struct io_options broker_io_options(const struct config *c, struct clock *clock)
{
    return (struct io_options){ .recv_buffers = (uint32_t)c->recv_buffers,
                                .recv_buffer_bytes = (uint32_t)c->recv_buffer_bytes,
                                .spin_us = c->spin_mode == CONFIG_SPIN_OFF ? 0 : (uint32_t)c->spin_us,
                                .spin_always = c->spin_mode == CONFIG_SPIN_ALWAYS,
                                .clock = clock };
}

static struct store_options broker_store_options(const struct config *c)
{
    return (struct store_options){ .data_dir = c->data_dir,
                                   .topic_defaults = c->topic_defaults,
                                   .rules = &c->rules,
                                   .partitions_default = (uint32_t)c->topic_partitions_default,
                                   .topics_max = (uint32_t)c->topics_max,
                                   .partitions_max = (uint32_t)c->partitions_max,
                                   .topic_partitions_max = (uint32_t)c->topic_partitions_max,
                                   .batch_bytes_max = (uint32_t)c->batch_bytes_max,
                                   .request_bytes_max = (uint32_t)c->frame_bytes_max,
                                   .producers_max = (uint32_t)c->producers_max,
                                   .tail_bytes_max = (uint64_t)c->tails_bytes,
                                   .history_bytes_max = (uint64_t)c->history_bytes,
                                   .dedupe_memory = (uint64_t)c->dedupe_memory,
                                   .disk_reserve_bytes = (uint64_t)c->disk_reserve_bytes,
                                   .journal_file_bytes = (uint64_t)c->journal_file_bytes,
                                   .journal_files_max = (uint32_t)c->journal_files_max,
                                   .journal_writes_max = (uint32_t)c->journal_writes,
                                   .flush_writes_max = (uint32_t)c->flush_writes };
}

static struct net_options broker_net_options(const struct config *c)
{
    return (struct net_options){ .connections_max = (uint32_t)c->connections_max,
                                 .out_bytes_max = (uint32_t)c->connection_out_bytes,
                                 .in_bytes_max = (uint64_t)c->input_bytes_max,
                                 .send_bytes_max = (uint64_t)c->send_bytes_max,
                                 .stall_ms = (uint32_t)c->send_stall_ms };
}

static struct api_options broker_api_options(const struct config *c)
{
    return (struct api_options){ .frame_bytes_max = (uint32_t)c->frame_bytes_max,
                                 .batch_bytes_max = (uint32_t)c->batch_bytes_max,
                                 .inflight_bytes_max = (uint64_t)c->inflight_bytes_max,
                                 .connection_inflight_bytes_max = (uint32_t)c->connection_inflight_bytes,
                                 .connection_topics_max = (uint32_t)c->connection_topics_max,
                                 .connection_subscriptions_max = (uint32_t)c->connection_subscriptions_max,
                                 .connection_fetches_max = (uint32_t)c->connection_fetches_max,
                                 .connection_members_max = (uint32_t)c->connection_members_max,
                                 .history_bytes_max = (uint64_t)c->history_bytes,
                                 .auto_create = c->topics_auto_create != 0 };
}

static struct kafka_options broker_kafka_options(const struct config *c)
{
    return (struct kafka_options){ .request_bytes_max = (uint32_t)c->kafka_request_bytes_max,
                                   .produce_bytes_max = (uint32_t)c->frame_bytes_max,
                                   .inflight_bytes_max = (uint64_t)c->inflight_bytes_max,
                                   .connection_inflight_bytes_max = (uint32_t)c->connection_inflight_bytes,
                                   .auto_create = c->kafka_auto_create != 0 };
}

static struct groups_options broker_groups_options(const struct config *c)
{
    struct groups_options options = { .groups_max = (uint32_t)c->groups_max,
                                      .members_max = (uint32_t)c->group_members_max,
                                      .topics_max = WIRE_GROUP_TOPICS_MAX,
                                      .partitions_max = (uint32_t)c->groups_partitions_max,
                                      .items_max = (uint32_t)c->groups_items_max,
                                      .batch_bytes_max = (uint32_t)c->batch_bytes_max };
    group_settings_init(&options.defaults);
    return options;
}

static void broker_store_failed(void *ctx, const char *text)
{
    struct broker *b = ctx;
    diag(DIAG_ERROR, "broker", "the journal failed: nothing more is accepted; check the disk, then restart",
         DIAG_KS("error", text));
    instance_notify("STATUS=the journal failed: nothing more is accepted");
    api_failed(b->api, text);
    kafka_failed(b->kafka);
}

static void broker_store_durable(void *ctx, uint64_t sequence)
{
    const struct broker *b = ctx;
    api_durable(b->api, sequence);
    kafka_durable(b->kafka, sequence);
}

static void broker_store_room(void *ctx)
{
    const struct broker *b = ctx;
    api_room(b->api);
    kafka_room(b->kafka);
}

static void broker_stats(void *ctx, stat_visit visit, void *visit_ctx)
{
    const struct broker *b = ctx;
    const struct io_stats *s = io_stats(b->io);
#define X(name, kind, help) visit(visit_ctx, "io", #name, kind, s->name);
    IO_STATS(X)
#undef X
    const struct groups_stats *g = groups_stats(b->groups);
#define X(name, kind, help) visit(visit_ctx, "groups", #name, kind, g->name);
    GROUPS_STATS(X)
#undef X
    const struct registry_stats *r = registry_stats(b->registry);
#define X(name, kind, help) visit(visit_ctx, "schemas", #name, kind, r->name);
    REGISTRY_STATS(X)
#undef X
    kafka_stats_visit(b->kafka, visit, visit_ctx);
    visit(visit_ctx, "work", "pending", STAT_GAUGE, work_pending(b->work));
}

/* ---- birth ---- */

static void broker_cap_connections(struct config *c)
{
    const uint64_t limit = instance_descriptors();
    /* With few descriptors in all, half of them are for connections. */
    const uint64_t room = limit > 2 * BROKER_DESCRIPTORS ? limit - BROKER_DESCRIPTORS : limit / 2;
    if ((uint64_t)c->connections_max <= room)
        return;
    diag(DIAG_WARN, "broker", "connections.max is lowered to what the limit of open files allows",
         DIAG_KI("connections_max", c->connections_max), DIAG_KU("lowered_to", room),
         DIAG_KU("open_files", limit));
    c->connections_max = (int64_t)room;
}

/* The listeners that are used when none are configured. A data directory too deep for a socket's address
 * costs the Unix socket, not the start. */
static void broker_default_listeners(struct config *c)
{
    char url[CONFIG_PATH_BYTES + 32], why[LISTENER_WHY_BYTES];
    struct listener_address address;
    snprintf(c->listen[0], sizeof(c->listen[0]), "%s", BROKER_DEFAULT_TCP);
    c->listen_count = 1;
    snprintf(url, sizeof(url), "unix:%s/runnel.sock", c->data_dir);
    if (!listener_parse(url, &address, why)) {
        diag(DIAG_WARN, "broker", "no Unix socket", DIAG_KS("reason", why));
        return;
    }
    snprintf(c->listen[1], sizeof(c->listen[1]), "%.*s", (int)sizeof(c->listen[1]) - 1, url);
    c->listen_count = 2;
}

static int broker_listen(struct broker *b, char *why)
{
    const struct config *c = &b->options.config;
    for (uint32_t i = 0; i < c->listen_count; i++) {
        struct listener_address address;
        if (!listener_parse(c->listen[i], &address, why))
            return -EINVAL;
        if (!address.loopback && !c->insecure) {
            snprintf(why, BROKER_WHY_BYTES,
                     "listener %s can be reached from other machines, and nothing authenticates clients yet: "
                     "listen on loopback, or say --insecure",
                     c->listen[i]);
            return -EPERM;
        }
        const struct net_door *door =
            address.protocol == LISTENER_KAFKA ? kafka_door(b->kafka, &address) : &b->native;
        const int rc = listener_open(&b->listeners[i], c->listen[i], &address, door, b->io, b->timers, why);
        if (rc < 0)
            return rc;
        b->listener_count++;
    }
    return 0;
}

static void broker_ready(struct broker *b)
{
    char text[LISTENER_TEXT_BYTES];
    printf("ready");
    for (uint32_t i = 0; i < b->listener_count; i++) {
        listener_text(b->listeners[i], text);
        printf(" %s", text);
    }
    printf(" in=%" PRIu64 "ms", b->report.milliseconds);
    if (!b->report.journal.direct)
        printf(" journal=buffered");
    printf("\n");
    fflush(stdout);
    diag(DIAG_INFO, "broker", "ready", DIAG_KS("version", RUNNEL_VERSION),
         DIAG_KU("topics", b->report.topics), DIAG_KU("partitions", b->report.partitions),
         DIAG_KU("replayed_entries", b->report.journal.entries),
         DIAG_KU("torn_bytes", b->report.journal.torn_bytes), DIAG_KU("damaged", b->report.damaged),
         DIAG_KS("shutdown", b->report.fresh           ? "none"
                             : b->report.journal.clean ? "clean"
                                                       : "unclean"),
         DIAG_KU("ms", b->report.milliseconds));
    instance_notify("READY=1");
}

static void broker_signals(struct broker *b);
static void broker_drain_over(struct timer *timer);

static int broker_open(struct broker *b, char *why)
{
    const struct config *c = &b->options.config;
    b->timers = timers_create(b->clock.mono_ns);
    timer_init(&b->drain_timer, broker_drain_over);
    int rc = work_create(&b->work, b->io, (uint32_t)c->workers);
    if (rc < 0) {
        snprintf(why, BROKER_WHY_BYTES, "worker threads cannot be started: %s", strerror(-rc));
        return rc;
    }
    /* The api before the store: recovery may already report what is durable. */
    const struct api_options api_options = broker_api_options(c);
    b->api = api_create(&api_options, b->timers, &b->clock);
    const struct kafka_options kafka_options = broker_kafka_options(c);
    b->kafka = kafka_create(&kafka_options, b->timers, &b->clock);
    /* And the groups: what they remember is recovered with the store. */
    const struct groups_options groups_options = broker_groups_options(c);
    const struct groups_events groups_events = api_groups_events(b->api);
    b->groups = groups_create(&groups_options, b->timers, &b->clock, &groups_events);
    struct store_options store_options = broker_store_options(c);
    b->registry = registry_create(1, &b->clock);
    const struct store_state states[] = { *groups_store_state(b->groups),
                                          *registry_store_state(b->registry) };
    memcpy(b->states, states, sizeof(states));
    store_options.states = b->states;
    store_options.state_count = sizeof(states) / sizeof(states[0]);
    const struct store_events events = { b, broker_store_durable, broker_store_room, broker_store_failed };
    rc =
        store_open(&b->store, &store_options, b->io, b->work, b->timers, &b->clock, &events, &b->report, why);
    if (rc < 0)
        return rc;
    const struct net_options net_options = broker_net_options(c);
    b->net = net_create(&net_options, b->io, b->timers, &b->clock);
    b->native =
        (struct net_door){ b->net, &NET_NATIVE, (uint32_t)c->frame_bytes_max, api_net_events(b->api) };
    const struct api_extra extra = { b, broker_stats };
    groups_attach(b->groups, b->store);
    registry_attach(b->registry, b->store);
    api_attach(b->api, b->store, b->net, b->groups, &extra, b->report.broker_id);
    api_attach_registry(b->api, b->registry);
    kafka_attach(b->kafka, b->store, b->net, b->groups, b->report.broker_id);
    /* Listening last: nobody is let in before everything is recovered. */
    return broker_listen(b, why);
}

enum broker_exit broker_create(struct broker **out, const struct broker_options *options, char *why)
{
    struct broker *b = mem_zalloc(MEM_BASE, sizeof(*b));
    *out = b;
    b->options = *options;
    b->lock_fd = b->signal_fd = -1;
    b->signal_op.name = "signal";
    struct config *c = &b->options.config;
    clock_init(&b->clock);
    if (c->listen_count == 0)
        broker_default_listeners(c);
    broker_cap_connections(c);
    b->lock_fd = instance_lock(c->data_dir, why, BROKER_WHY_BYTES);
    if (b->lock_fd < 0)
        return BROKER_FAILED;
    const struct io_options io_options = broker_io_options(c, &b->clock);
    if (io_create(&b->io, &io_options, why, BROKER_WHY_BYTES) < 0)
        return BROKER_NO_RING;
    if (broker_open(b, why) < 0)
        return BROKER_FAILED;
    broker_signals(b);
    broker_ready(b);
    return BROKER_OK;
}

/* ---- stopping ---- */

static void broker_drain(struct broker *b, const char *signal_name)
{
    if (b->state != BROKER_RUNNING) {
        diag(DIAG_ERROR, "broker", "told to stop a second time: ending at once",
             DIAG_KS("signal", signal_name));
        b->forced = true;
        return;
    }
    diag(DIAG_INFO, "broker", "stopping: no new connections and changes", DIAG_KS("signal", signal_name));
    instance_notify("STOPPING=1");
    b->state = BROKER_DRAINING;
    for (uint32_t i = 0; i < b->listener_count; i++)
        listener_close(b->listeners[i]);
    api_drain(b->api);
    kafka_drain(b->kafka);
}

static void broker_drain_over(struct timer *timer)
{
    struct broker *b = CONTAINER_OF(timer, struct broker, drain_timer);
    diag(DIAG_WARN, "broker", "connections did not take their last replies in time: closed",
         DIAG_KU("connections", net_stats(b->net)->connections));
    net_stop_now(b->net);
}

static bool broker_listeners_closed(const struct broker *b)
{
    for (uint32_t i = 0; i < b->listener_count; i++) {
        if (!listener_closed(b->listeners[i]))
            return false;
    }
    return true;
}

/* Looked at at the end of each turn. */
static void broker_advance(struct broker *b)
{
    if (b->state == BROKER_DRAINING && api_drained(b->api) && kafka_drained(b->kafka)) {
        b->state = BROKER_CLOSING;
        store_stop(b->store);
        net_stop(b->net);
        timer_start(b->timers, &b->drain_timer, (uint64_t)b->options.config.drain_ms);
    }
    /* Connections before the store: they hold slices of it. */
    if (b->state == BROKER_CLOSING && net_idle(b->net) && api_idle(b->api) && kafka_idle(b->kafka) &&
        store_stopped(b->store) && broker_listeners_closed(b) && work_pending(b->work) == 0) {
        timer_stop(b->timers, &b->drain_timer);
        b->state = BROKER_DONE;
    }
}

/* ---- signals ---- */

static void broker_needs_restart(const char *key)
{
    diag(DIAG_WARN, "broker", "this key needs a restart", DIAG_KS("key", key));
}

static bool broker_same_listeners(const struct config *a, const struct config *b)
{
    if (a->listen_count != b->listen_count)
        return false;
    for (uint32_t i = 0; i < a->listen_count; i++) {
        if (strcmp(a->listen[i], b->listen[i]) != 0)
            return false;
    }
    return true;
}

/* Says which of the new values are not taken over. */
static void broker_compare(const struct config *now, struct config *next)
{
    for (uint32_t i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_row(i);
        if (!key->reloads && config_value(now, key) != config_value(next, key))
            broker_needs_restart(key->name);
    }
    if (strcmp(now->data_dir, next->data_dir) != 0)
        broker_needs_restart("data.dir");
    if (next->listen_count == 0)
        broker_default_listeners(next);
    if (!broker_same_listeners(now, next))
        broker_needs_restart("listen");
}

static void broker_reload(struct broker *b)
{
    char why[CONFIG_WHY_BYTES];
    struct config next;
    struct config *now = &b->options.config;
    if (!b->options.reload(b->options.reload_ctx, &next, why)) {
        diag(DIAG_ERROR, "broker", "configuration not reloaded", DIAG_KS("error", why));
        return;
    }
    broker_compare(now, &next);
    config_keep_fixed(&next, now);
    broker_cap_connections(&next);
    *now = next;
    diag_set_level((enum diag_level)now->log_level);
    diag_set_format((enum diag_format)now->log_format);
    io_set_spin(b->io, now->spin_mode == CONFIG_SPIN_OFF ? 0 : (uint32_t)now->spin_us,
                now->spin_mode == CONFIG_SPIN_ALWAYS);
    const struct store_options store_options = broker_store_options(now);
    const struct net_options net_options = broker_net_options(now);
    const struct api_options api_options = broker_api_options(now);
    const struct groups_options groups_options = broker_groups_options(now);
    const struct kafka_options kafka_options = broker_kafka_options(now);
    store_reload(b->store, &store_options);
    groups_reload(b->groups, &groups_options);
    net_reload(b->net, &net_options);
    api_reload(b->api, &api_options);
    kafka_reload(b->kafka, &kafka_options);
    diag(DIAG_INFO, "broker", "configuration reloaded");
}

static void broker_signal_wait(struct broker *b);

static void broker_signal_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct broker *b = CONTAINER_OF(op, struct broker, signal_op);
    struct signalfd_siginfo info;
    (void)flags;
    if (res == -ECANCELED)
        return;
    while (read(b->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            broker_reload(b);
        else
            broker_drain(b, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
    broker_signal_wait(b);
}

static void broker_signal_wait(struct broker *b)
{
    io_poll(b->io, &b->signal_op, b->signal_fd, POLLIN, broker_signal_done);
}

/* Signals come as events of the ring: none can be lost between the question whether to stop and the sleep. */
static void broker_signals(struct broker *b)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    b->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(b->signal_fd >= 0);
    broker_signal_wait(b);
}

/* ---- one turn ---- */

static void broker_turn(struct broker *b)
{
    const uint64_t now = b->clock.mono_ns;
    const bool busy = net_busy(b->net) || api_busy(b->api) || kafka_busy(b->kafka) || groups_busy(b->groups);
    const uint64_t wait_ns = busy ? 0 : timers_wait(b->timers, now);
    const bool idle = !store_busy(b->store) && now - b->event_ns > BROKER_IDLE_NS;
    /* Events first: what came in this turn can be written in this turn, and what is durable can be answered.
     */
    if (io_turn(b->io, wait_ns, idle) > 0)
        b->event_ns = b->clock.mono_ns;
    /* Answers of workers and timers before the phases: both may give those something to do. */
    work_collect(b->work);
    timers_fire(b->timers, b->clock.mono_ns);
    /* Requests that waited go on before the store's end of turn, so that they are in this turn's commit. */
    net_turn_begin(b->net);
    api_turn_begin(b->api);
    kafka_turn_begin(b->kafka);
    /* Requests and timers have had their say: who has what now, and what of it is to be remembered. */
    groups_turn_begin(b->groups);
    groups_turn_end(b->groups);
    /* One journal write for all that the turn appended; then readers of what became durable are woken. */
    store_turn_end(b->store);
    /* After the store, because it wakes readers; before net, because it gives it what to send. */
    api_turn_end(b->api);
    /* Last: one send per connection carries everything that the turn had to say to it. */
    net_turn_end(b->net);
    broker_advance(b);
}

enum broker_exit broker_run(struct broker *b)
{
    while (b->state != BROKER_DONE) {
        broker_turn(b);
        if (b->forced)
            _exit(BROKER_FAILED); /* as after a crash: recovery puts everything right */
    }
    diag(DIAG_INFO, "broker", "stopped");
    return BROKER_OK;
}

/* ---- death, in the opposite order ---- */

static void broker_cancel_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)op;
    (void)res;
    (void)flags;
}

void broker_destroy(struct broker *b)
{
    if (b->state == BROKER_DONE) {
        for (uint32_t i = 0; i < b->listener_count; i++)
            listener_destroy(b->listeners[i]);
        net_destroy(b->net);
        api_destroy(b->api);
        kafka_destroy(b->kafka);
        groups_destroy(b->groups);
        registry_destroy(b->registry);
        store_destroy(b->store);
        work_destroy(b->work);
        timers_destroy(b->timers);
        if (io_busy(&b->signal_op))
            io_cancel(b->io, &b->signal_cancel, &b->signal_op, broker_cancel_done);
        while (io_busy(&b->signal_op) || io_busy(&b->signal_cancel))
            io_turn(b->io, UINT64_MAX, true);
        io_destroy(b->io);
        close(b->signal_fd);
    }
    /* A start that failed ends the process: what it opened goes with it. */
    if (b->lock_fd >= 0)
        file_close(b->lock_fd);
    mem_free(MEM_BASE, b, sizeof(*b));
}
