/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/errors.h: the one table of error codes: broker, client, command line and docs/error-codes.md are made
 * from it.
 *
 * Codes are stable: a number is never given a second meaning. X(NAME, code, retriable, "meaning", "what to
 * do")
 */
#ifndef RUNNEL_PROTO_ERRORS_H
#define RUNNEL_PROTO_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#define PROTO_ERRORS(X)                                                                                      \
    X(OK, 0, false, "success", "")                                                                           \
    X(INTERNAL, 1, false, "the broker met a state that it cannot explain",                                   \
      "look at the broker's messages; report it")                                                            \
    /* frames and requests */                                                                                \
    X(FRAME_INVALID, 10, false, "the frame cannot be decoded", "check the client; the connection is closed") \
    X(FRAME_TOO_LARGE, 11, false, "the frame is larger than the broker takes",                               \
      "send less at once, or raise frame.bytes.max")                                                         \
    X(HELLO_EXPECTED, 12, false, "the first request must be HELLO", "greet first")                           \
    X(VERSION_UNSUPPORTED, 13, false, "no protocol version in common", "update the older side")              \
    X(OP_UNKNOWN, 14, false, "the broker does not know this operation", "update the broker")                 \
    X(REQUEST_INVALID, 15, false, "the request's fields make no sense", "see the text; correct the request") \
    X(TOO_MANY_IN_FLIGHT, 16, true, "too many requests are unanswered", "wait for replies")                  \
    X(TOO_MANY_CONNECTIONS, 17, true, "the broker has no connection slot free",                              \
      "close some, or raise connections.max")                                                                \
    X(SHUTTING_DOWN, 18, true, "the broker is stopping", "connect again later")                              \
    X(NOT_READY, 19, true, "the broker is not ready yet", "try again")                                       \
    X(LIMIT_REACHED, 20, false, "a configured limit is reached",                                             \
      "see the text; raise the limit or use less")                                                           \
    X(SLOW_READER, 21, true, "the connection was too slow to read what it asked for",                        \
      "read faster, or give less credit")                                                                    \
    /* topics */                                                                                             \
    X(TOPIC_NOT_FOUND, 30, false, "no such topic", "create it with `runnel topic create`")                   \
    X(TOPIC_EXISTS, 31, false, "the topic exists already", "choose another name")                            \
    X(TOPIC_NAME_INVALID, 32, false, "not a topic name", "use 1 to 249 letters, digits, '.', '_' or '-'")    \
    X(TOPIC_CONFIG_INVALID, 33, false, "a topic setting is not valid", "see the text")                       \
    X(PARTITION_NOT_FOUND, 34, false, "no such partition", "see `runnel topic describe`")                    \
    X(PARTITIONS_INVALID, 35, false, "not a possible number of partitions", "see the text")                  \
    X(TOPIC_INTERNAL, 36, false, "the topic belongs to the broker",                                          \
      "read it; it cannot be written or changed")                                                            \
    X(HANDLE_UNKNOWN, 37, false, "the topic handle was not opened on this connection",                       \
      "open the topic first")                                                                                \
    /* producing */                                                                                          \
    X(BATCH_INVALID, 50, false, "the batch is malformed", "check the client that built it")                  \
    X(BATCH_CORRUPT, 51, true, "the batch's checksum does not match its bytes", "send it again")             \
    X(BATCH_TOO_LARGE, 52, false, "the batch is larger than the topic takes",                                \
      "send smaller events, or raise max.message.bytes")                                                     \
    X(TIMESTAMP_INVALID, 53, false, "a timestamp is too far in the future", "check the producer's clock")    \
    X(SEQUENCE_GAP, 54, false, "the producer's sequence skips events", "start a new producer")               \
    X(SEQUENCE_OLD, 55, false, "the batch was published before, and its offset is no longer known",          \
      "nothing: it is stored")                                                                               \
    X(PRODUCER_FENCED, 56, false, "a newer epoch of this producer is active", "start a new producer")        \
    X(PRODUCER_UNKNOWN, 57, false, "the producer id is unknown or was forgotten", "start a new producer")    \
    X(ACKS_INVALID, 58, false, "this acks mode cannot be used here", "see the text")                         \
    X(DISK_FULL, 60, true, "the disk is full", "free space or shorten retention; consumers go on")           \
    X(STORAGE_FAILED, 61, false, "a write to the journal failed: nothing more is accepted",                  \
      "check the disk, then restart the broker")                                                             \
    X(PARTITION_FENCED, 62, true, "a write to the partition's segment failed",                               \
      "check the disk; nothing acknowledged is lost")                                                        \
    X(REQUEST_TOO_LARGE, 63, false, "the request is too large to be one atomic commit", "split it")          \
    /* reading */                                                                                            \
    X(OFFSET_OUT_OF_RANGE, 70, false, "the offset is outside of what the partition holds",                   \
      "see the text for the range")                                                                          \
    X(SEGMENT_CORRUPT, 71, false, "the segment that holds this offset is damaged",                           \
      "see the broker's messages; run `runnel verify`")                                                      \
    X(SUBSCRIPTION_EXISTS, 72, false, "the subscription id is in use on this connection",                    \
      "choose another id")                                                                                   \
    X(SUBSCRIPTION_UNKNOWN, 73, false, "no such subscription on this connection", "subscribe first")         \
    /* groups */                                                                                             \
    X(GROUP_NOT_FOUND, 80, false, "no such group",                                                           \
      "see `runnel group list`; a group is made by its first member")                                        \
    X(GROUP_MODE_MISMATCH, 81, false, "the group consumes in the other mode",                                \
      "join it as it is, or take another name: ordered or shared is for a group's life")                     \
    X(MEMBER_UNKNOWN, 82, false, "no such member on this connection", "join the group first")                \
    X(STALE_GENERATION, 83, false, "the event was withdrawn or given to another member",                     \
      "drop it: it is delivered again")                                                                      \
    X(EVENT_NOT_LEASED, 84, false, "the event is not out with any member",                                   \
      "settle what was delivered, once and in time")                                                         \
    X(NOT_YOUR_EVENT, 85, false, "the event is out with another member",                                     \
      "settle what was delivered to this member")                                                            \
    X(GROUP_BUSY, 86, false, "the group has live members", "stop them first")                                \
    X(GROUP_CONFIG_INVALID, 87, false, "a group setting is not valid", "see the text")                       \
    X(GROUP_PAUSED, 88, true, "the group's breaker is open",                                                 \
      "mend what fails, or close it with `runnel group breaker`")                                            \
    X(POSITION_UNKNOWN, 89, false, "the group has no position there, and offset.reset is error",             \
      "set one with `runnel group seek`")                                                                    \
    X(MEMBER_FENCED, 90, false, "another member has joined with this instance id",                           \
      "give each instance an id of its own")                                                                 \
    X(GROUP_NAME_INVALID, 91, false, "not a group name", "use 1 to 249 letters, digits, '.', '_' or '-'")    \
    X(GROUP_KIND_MISMATCH, 96, false, "the group is consumed by clients of the other protocol",              \
      "see the text: stop its members, or take another name")                                                \
    X(NOT_FOR_KAFKA_GROUPS, 97, false, "the broker does not do this for groups of Kafka clients",            \
      "see the text: a Kafka client does it itself")                                                         \
    /* schemas */                                                                                            \
    X(JSON_INVALID, 100, false, "the text is not JSON", "see the text for the byte")                         \
    X(JSON_LIMIT, 101, false, "the JSON text is larger or deeper than allowed", "see the text")              \
    X(SCHEMA_INVALID, 102, false, "not a schema that can be used", "see the text; correct the schema")       \
    X(SCHEMA_REFERENCE, 103, false, "the schema refers to one that is not there",                            \
      "register that one first, and name it among the references")                                           \
    X(SCHEMA_LIMIT, 104, false, "the schema is larger than a schema may be", "part it, or simplify it")      \
    X(SCHEMA_MISMATCH, 105, false, "the event does not fit the schema", "see the text; correct the event")   \
    X(SCHEMA_CHECK_LIMIT, 106, false, "checking the event would take too long",                              \
      "simplify the schema's patterns, or send smaller events")                                              \
    X(SUBJECT_NOT_FOUND, 107, false, "no such subject", "see `runnel schema list`")                          \
    X(SCHEMA_NOT_FOUND, 108, false, "no such version or id of a schema", "see `runnel schema list`")         \
    X(SCHEMA_INCOMPATIBLE, 109, false, "the schema is not compatible with the versions before it",           \
      "see the text; `runnel schema diff` shows what changed")                                               \
    X(SCHEMA_REFERENCED, 110, false, "another schema refers to it", "delete that one first")                 \
    X(SCHEMA_NOT_DELETED, 111, false, "only what is deleted already can be deleted for good",                \
      "delete it first")                                                                                     \
    X(SUBJECT_NAME_INVALID, 112, false, "not the name of a subject",                                         \
      "use 1 to 255 ASCII characters without spaces")                                                        \
    /* envelopes and names */                                                                                \
    X(ENVELOPE_FIELD_MISSING, 130, false, "an event lacks a field that its topic demands",                   \
      "fill it in; `runnel topic describe` shows envelope.require")                                          \
    X(ENVELOPE_INVALID, 131, false, "an envelope's field does not have the form that it must have",          \
      "correct the envelope; docs/envelope.md lists the fields")                                             \
    X(NAME_REFUSED, 132, false, "the name breaks the naming policy",                                         \
      "see `runnel topic lint`; or change naming.policy")                                                    \
    /* duplicates */                                                                                         \
    X(DEDUPE_CONFLICT, 120, false, "the event's id was published before, with another key or payload",       \
      "give each event an id of its own")                                                                    \
    X(DEDUPE_FULL, 121, true, "event ids fill the memory for duplicate windows",                             \
      "wait until some expire, raise dedupe.memory, or shorten dedupe.window")                               \
    X(DEDUPE_LOST, 122, true, "event ids of the topic's duplicate window are in a damaged file",             \
      "wait until they would have expired, or turn dedupe.window off and on")                                \
    X(DEDUPE_DUPLICATE, 123, false, "events of the request were published before",                           \
      "nothing: they are stored; send the others again")                                                     \
    /* made by the client library, never sent */                                                             \
    X(CLIENT_TIMEOUT, 200, true, "no answer within the time given", "try again, or give more time")          \
    X(CLIENT_UNREACHABLE, 201, true, "the broker cannot be reached",                                         \
      "check the address and that runneld runs")                                                             \
    X(CLIENT_QUEUE_FULL, 202, true, "the producer's buffer is full", "wait for deliveries, then try again")  \
    X(CLIENT_ARGUMENT, 203, false, "an argument is not valid", "see the text")                               \
    X(CLIENT_CLOSED, 204, false, "the client was closed", "connect again")                                   \
    X(CLIENT_PROTOCOL, 205, false, "the broker's answer cannot be understood", "update client or broker")    \
    X(CLIENT_CODEC, 206, false, "the batch cannot be decompressed",                                          \
      "the data is damaged, or the codec is not built in")

enum error {
#define X(name, code, retriable, text, fix) ERR_##name = code,
    PROTO_ERRORS(X)
#undef X
};

/* "TOPIC_NOT_FOUND"; "UNKNOWN" for a code that the table lacks. */
const char *error_name(uint16_t code);
/* What it means, and what to do about it. */
const char *error_text(uint16_t code);
const char *error_fix(uint16_t code);
bool error_retriable(uint16_t code);

#endif
