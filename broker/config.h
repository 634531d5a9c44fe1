/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/config.h: what can be configured: one table gives name, kind, range, default, help and whether it
 * changes at run time.
 *
 * From the same table come the parser of the YAML file and of the environment, the checks,
 * docs/configuration.md and configs/runneld.yaml; a test fails when one of those two differs. Settings of
 * topics (partition/settings.h) are keys too, under "topic.": the defaults of every topic that does not set
 * its own.
 *
 * Precedence: built-in defaults, then the file, then the environment, then the command line.
 */
#ifndef RUNNEL_BROKER_CONFIG_H
#define RUNNEL_BROKER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "partition/rules.h"
#include "partition/settings.h"

enum {
    CONFIG_WHY_BYTES = 512,
    CONFIG_LISTEN_MAX = 16, /* listeners; each costs a descriptor and an operation */
    CONFIG_PATH_BYTES = 1024,
    CONFIG_URL_BYTES = 256,
    CONFIG_NAME_BYTES = 64,
};

enum config_kind { CONFIG_COUNT, CONFIG_BYTES, CONFIG_MS, CONFIG_US, CONFIG_BOOL, CONFIG_CHOICE };

enum config_spin { CONFIG_SPIN_ADAPTIVE, CONFIG_SPIN_ALWAYS, CONFIG_SPIN_OFF };

#define KIB 1024ll
#define MIB (1024ll * KIB)
#define GIB (1024ll * MIB)

/* X(field, "name", kind, min, max, default, reloads, choices, "help"). Reloads: SIGHUP changes it. */
#define CONFIG_KEYS(X)                                                                                       \
    X(insecure, "insecure", CONFIG_BOOL, 0, 1, 0, false, NULL,                                               \
      "allow listeners that other machines can reach, although nothing authenticates clients yet")           \
    X(connections_max, "connections.max", CONFIG_COUNT, 1, 1000000, 16384, true, NULL,                       \
      "connections at once; further ones are told TOO_MANY_CONNECTIONS. Lowered at start to what the limit " \
      "of open files allows")                                                                                \
    X(connection_inflight_bytes, "connection.inflight.bytes", CONFIG_BYTES, 64 * KIB, 1 * GIB, 16 * MIB,     \
      true, NULL, "unanswered produce requests of one connection; then its requests wait")                   \
    X(connection_out_bytes, "connection.out.bytes", CONFIG_BYTES, 64 * KIB, 1 * GIB, 4 * MIB, true, NULL,    \
      "unsent output of one connection; then its requests wait, and deliveries stop at half of it")          \
    X(connection_topics_max, "connection.topics.max", CONFIG_COUNT, 1, 1000000, 16384, true, NULL,           \
      "topics that one connection may open")                                                                 \
    X(connection_subscriptions_max, "connection.subscriptions.max", CONFIG_COUNT, 1, 1000000, 16384, true,   \
      NULL, "subscriptions of one connection (one per partition)")                                           \
    X(connection_fetches_max, "connection.fetches.max", CONFIG_COUNT, 1, 100000, 1024, true, NULL,           \
      "unanswered FETCH and OFFSETS requests of one connection, long polls included")                        \
    X(connection_members_max, "connection.members.max", CONFIG_COUNT, 1, 100000, 1024, true, NULL,           \
      "members of consumer groups on one connection")                                                        \
    X(frame_bytes_max, "frame.bytes.max", CONFIG_BYTES, 64 * KIB, 64 * MIB, 2 * MIB, false, NULL,            \
      "largest frame, and so largest atomic request; at least batch.bytes.max and 64 KiB more")              \
    X(batch_bytes_max, "batch.bytes.max", CONFIG_BYTES, 4 * KIB, 8 * MIB, 1 * MIB, false, NULL,              \
      "upper limit of any topic's max.message.bytes")                                                        \
    X(input_bytes_max, "input.bytes.max", CONFIG_BYTES, 1 * MIB, 64 * GIB, 256 * MIB, true, NULL,            \
      "memory for half-received and waiting requests of all connections; then the connection that needs "    \
      "more is closed with TOO_MANY_IN_FLIGHT")                                                              \
    X(inflight_bytes_max, "inflight.bytes.max", CONFIG_BYTES, 1 * MIB, 64 * GIB, 256 * MIB, true, NULL,      \
      "unanswered produce requests of all connections; then requests wait, first come first served")         \
    X(send_bytes_max, "send.bytes.max", CONFIG_BYTES, 1 * MIB, 64 * GIB, 48 * MIB, true, NULL,               \
      "unsent output of all connections, tails and history lent to it included; then deliveries wait")       \
    X(send_stall_ms, "send.stall.ms", CONFIG_MS, 100, 3600000, 10000, true, NULL,                            \
      "while memory for output or unfinished requests is short, a connection that has not moved for so "     \
      "long "                                                                                                \
      "is closed (SLOW_READER)")                                                                             \
    X(topics_auto_create, "topics.auto.create", CONFIG_BOOL, 0, 1, 1, true, NULL,                            \
      "a client may create a topic with default settings by opening it")                                     \
    X(kafka_auto_create, "kafka.auto.create", CONFIG_BOOL, 0, 1, 1, true, NULL,                              \
      "a Kafka client may create a topic with default settings by asking for it")                            \
    X(kafka_request_bytes_max, "kafka.request.bytes.max", CONFIG_BYTES, 64 * KIB, 128 * MIB, 16 * MIB,       \
      false, NULL, "largest request of a Kafka client; it may carry batches of many partitions")             \
    X(topics_max, "topics.max", CONFIG_COUNT, 1, 1000000, 100000, true, NULL,                                \
      "topics in all, internal ones apart")                                                                  \
    X(partitions_max, "partitions.max", CONFIG_COUNT, 1, 1000000, 100000, true, NULL,                        \
      "partitions in all, internal ones apart")                                                              \
    X(topic_partitions_max, "topic.partitions.max", CONFIG_COUNT, 1, 1024, 1024, true, NULL,                 \
      "partitions of one topic")                                                                             \
    X(topic_partitions_default, "topic.partitions.default", CONFIG_COUNT, 1, 1024, 3, true, NULL,            \
      "partitions of a topic that is created without saying how many")                                       \
    X(groups_max, "groups.max", CONFIG_COUNT, 1, 1000000, 10000, true, NULL, "consumer groups")              \
    X(group_members_max, "group.members.max", CONFIG_COUNT, 1, 100000, 1000, true, NULL,                     \
      "members of one group")                                                                                \
    X(groups_partitions_max, "groups.partitions.max", CONFIG_COUNT, 1, 10000000, 200000, true, NULL,         \
      "partitions of all groups together: each holds a position")                                            \
    X(groups_items_max, "groups.items.max", CONFIG_COUNT, 16, 100000000, 2000000, true, NULL,                \
      "events of all groups that failed and wait; at the limit nothing new is delivered where they are")     \
    X(tails_bytes, "tails.bytes", CONFIG_BYTES, 4 * MIB, 64 * GIB, 64 * MIB, true, NULL,                     \
      "memory for the newest events of all partitions: live readers are served from it")                     \
    X(history_bytes, "history.bytes", CONFIG_BYTES, 2 * MIB, 64 * GIB, 16 * MIB, true, NULL,                 \
      "memory for reads from segments")                                                                      \
    X(dedupe_memory, "dedupe.memory", CONFIG_BYTES, 0, 1024 * GIB, 256 * MIB, true, NULL,                    \
      "memory for the event ids of all topics with a dedupe.window, 60 bytes each; then events with new "    \
      "ids are refused with DEDUPE_FULL")                                                                    \
    X(journal_file_bytes, "journal.file.bytes", CONFIG_BYTES, 1 * MIB, 1 * GIB, 16 * MIB, false, NULL,       \
      "size of a journal file")                                                                              \
    X(journal_files_max, "journal.files.max", CONFIG_COUNT, 2, 512, 16, false, NULL,                         \
      "journal files at most; the journal grows to this as load asks")                                       \
    X(journal_writes, "journal.writes", CONFIG_COUNT, 1, 2, 2, false, NULL, "journal writes in flight")      \
    X(flush_writes, "flush.writes", CONFIG_COUNT, 1, 64, 4, false, NULL, "segment writes in flight")         \
    X(producers_max, "producers.max", CONFIG_COUNT, 16, 16777216, 131072, false, NULL,                       \
      "(producer, partition) pairs remembered for idempotence; the least recently used expires")             \
    X(disk_reserve_bytes, "disk.reserve.bytes", CONFIG_BYTES, 0, 64 * GIB, 64 * MIB, true, NULL,             \
      "producing is refused with DISK_FULL below so much free space; reading, commits and deletes go on")    \
    X(recv_buffers, "recv.buffers", CONFIG_COUNT, 8, 4096, 64, false, NULL,                                  \
      "receive buffers shared by all connections, a power of two")                                           \
    X(recv_buffer_bytes, "recv.buffer.bytes", CONFIG_BYTES, 4 * KIB, 1 * MIB, 64 * KIB, false, NULL,         \
      "size of each")                                                                                        \
    X(spin_us, "spin.us", CONFIG_US, 0, 1000, 20, true, NULL,                                                \
      "how long the loop looks for work before it sleeps; sleeping costs less CPU and more latency")         \
    X(spin_mode, "spin.mode", CONFIG_CHOICE, 0, 2, CONFIG_SPIN_ADAPTIVE, true, "adaptive|always|off",        \
      "adaptive: spin where it paid of late; always: whenever something is in flight (latency mode); off")   \
    X(workers, "workers", CONFIG_COUNT, 1, 64, 2, false, NULL,                                               \
      "threads for reads from segments, checkpoints and retention")                                          \
    X(drain_ms, "drain.ms", CONFIG_MS, 0, 3600000, 10000, true, NULL,                                        \
      "how long SIGTERM waits for clients to read their last replies")                                       \
    X(log_level, "log.level", CONFIG_CHOICE, 0, 3, 1, true, "debug|info|warn|error",                         \
      "messages below this level are not written")                                                           \
    X(log_format, "log.format", CONFIG_CHOICE, 0, 1, 0, true, "logfmt|json", "form of the messages on stderr")

struct config {
    char data_dir[CONFIG_PATH_BYTES];
    char listen[CONFIG_LISTEN_MAX][CONFIG_URL_BYTES];
    uint32_t listen_count; /* 0: the two default listeners */
#define X(field, name, kind, min, max, initial, reloads, choices, help) int64_t field;
    CONFIG_KEYS(X)
#undef X
    struct topic_settings topic_defaults;
    struct topic_rules rules;
};

/* A row of the table. */
struct config_key {
    const char *name;
    enum config_kind kind;
    int64_t min, max, initial;
    bool reloads;
    const char *choices, *help;
    size_t offset;
};

void config_init(struct config *c);
uint32_t config_key_count(void);
const struct config_key *config_key_row(uint32_t i);

/* Each returns false with a sentence in `why` (CONFIG_WHY_BYTES): unknown name (with the nearest known one),
 * unreadable value, out of range. */
bool config_set(struct config *c, const char *name, const char *value, char *why);
/* Adds a listener; the first call of a source replaces those of the sources before it: reset listen_count. */
bool config_listen(struct config *c, const char *url, char *why);
/* A YAML file; the sentence starts with "FILE:LINE: ". Keys may be written dotted, nested, or mixed. */
bool config_load(struct config *c, const char *path, char *why);
/* naming.policy: "warn", "strict, rfc=off". Replaces what was set before. */
bool config_set_naming(struct config *c, const char *value, char *why);
/* Begins a template, sets a key of it, and checks that it is complete. */
bool config_template(struct config *c, char *why);
bool config_template_set(struct config *c, const char *name, const char *value, char *why);
bool config_template_done(const struct config *c, char *why);
/* RUNNEL_SECTION_KEY=value: "journal.files.max" is RUNNEL_JOURNAL_FILES_MAX. A variable in one of our
 * sections that names no key is an error; others (the client's RUNNEL_URL) are none of ours. */
bool config_environment(struct config *c, char *const *environment, char *why);
/* What no single key can say: how values must relate. */
bool config_check(const struct config *c, char *why);

/* Takes over from `now` what does not change at run time. */
void config_keep_fixed(struct config *next, const struct config *now);

/* docs/configuration.md and configs/runneld.yaml. */
void config_print_doc(FILE *out);
void config_print_yaml(FILE *out);
/* The value of a row as text, with a unit where that is exact. */
void config_text(const struct config_key *key, int64_t value, char *out, size_t bytes);
int64_t config_value(const struct config *c, const struct config_key *key);

#endif
