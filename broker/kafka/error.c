/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/error.c: what Kafka's clients are told for an error of ours.
 *
 * Chosen by what a client does upon it: NOT_LEADER and STORAGE make it ask again, after a while; the others
 * are given to the application.
 */
#include "kafka/kafka_own.h"

enum kafka_error kafka_error_of(enum error code)
{
    static const struct {
        enum error ours;
        enum kafka_error theirs;
    } TABLE[] = {
        { ERR_OK, KAFKA_OK },
        { ERR_SHUTTING_DOWN, KAFKA_NOT_LEADER },
        { ERR_NOT_READY, KAFKA_NOT_LEADER },
        { ERR_LIMIT_REACHED, KAFKA_POLICY_VIOLATION },
        { ERR_TOPIC_NOT_FOUND, KAFKA_UNKNOWN_TOPIC_OR_PARTITION },
        { ERR_TOPIC_EXISTS, KAFKA_TOPIC_ALREADY_EXISTS },
        { ERR_TOPIC_NAME_INVALID, KAFKA_INVALID_TOPIC },
        { ERR_TOPIC_CONFIG_INVALID, KAFKA_INVALID_CONFIG },
        { ERR_PARTITION_NOT_FOUND, KAFKA_UNKNOWN_TOPIC_OR_PARTITION },
        { ERR_PARTITIONS_INVALID, KAFKA_INVALID_PARTITIONS },
        { ERR_TOPIC_INTERNAL, KAFKA_INVALID_TOPIC },
        { ERR_BATCH_INVALID, KAFKA_INVALID_RECORD },
        { ERR_BATCH_CORRUPT, KAFKA_CORRUPT },
        { ERR_BATCH_TOO_LARGE, KAFKA_MESSAGE_TOO_LARGE },
        { ERR_REQUEST_TOO_LARGE, KAFKA_MESSAGE_TOO_LARGE },
        { ERR_TIMESTAMP_INVALID, KAFKA_INVALID_TIMESTAMP },
        { ERR_SEQUENCE_GAP, KAFKA_OUT_OF_ORDER_SEQUENCE },
        { ERR_SEQUENCE_OLD, KAFKA_DUPLICATE_SEQUENCE },
        { ERR_PRODUCER_FENCED, KAFKA_INVALID_PRODUCER_EPOCH },
        { ERR_PRODUCER_UNKNOWN, KAFKA_UNKNOWN_PRODUCER_ID },
        { ERR_ACKS_INVALID, KAFKA_INVALID_REQUIRED_ACKS },
        { ERR_DISK_FULL, KAFKA_STORAGE },
        { ERR_STORAGE_FAILED, KAFKA_STORAGE },
        { ERR_PARTITION_FENCED, KAFKA_STORAGE },
        { ERR_SEGMENT_CORRUPT, KAFKA_STORAGE },
        { ERR_OFFSET_OUT_OF_RANGE, KAFKA_OFFSET_OUT_OF_RANGE },
        { ERR_GROUP_NOT_FOUND, KAFKA_GROUP_ID_NOT_FOUND },
        { ERR_GROUP_BUSY, KAFKA_NON_EMPTY_GROUP },
        { ERR_GROUP_NAME_INVALID, KAFKA_INVALID_GROUP_ID },
        { ERR_REQUEST_INVALID, KAFKA_INVALID_REQUEST },
        { ERR_ENVELOPE_FIELD_MISSING, KAFKA_INVALID_RECORD },
        { ERR_ENVELOPE_INVALID, KAFKA_INVALID_RECORD },
        { ERR_NAME_REFUSED, KAFKA_POLICY_VIOLATION },
    };
    for (uint32_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        if (TABLE[i].ours == code)
            return TABLE[i].theirs;
    }
    return KAFKA_UNKNOWN;
}
