/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/table.c: the APIs that are spoken: key, versions, what a request consists of, who answers it.
 *
 * Only what works stands here: clients choose what they do by the ranges that they are told. So the lowest
 * versions are given where old clients look for them (Produce 0, though versions before 3 are refused:
 * librdkafka switches compression off without it), and newer APIs that would change a client's behaviour are
 * left out.
 */
#include "base/check.h"
#include "kafka/admin.h"
#include "kafka/group_own.h"

static const struct kafka_api KAFKA_TABLE[] = {
    { 0, 0, 9, 9, false, "Produce", "3:S h i [s[i Y]]", kafka_produce },
    { 1, 4, 12, 12, true, "Fetch", "i i i i b 7:i 7:i [s[i 9:i l 12:i 5:l i]] 7:[s<i>] 11:s", kafka_fetch },
    { 2, 1, 7, 6, true, "ListOffsets", "i 2:b [s[i 4:i l]]", kafka_list_offsets },
    { 3, 0, 9, 9, false, "Metadata", "0-0:[s] 1:{s} 4:b 8-10:b 8:b", kafka_metadata },
#define X(key, min, max, flexible, waits, name, layout, handler)                                             \
    { key, min, max, flexible, waits, name, layout, handler },
    KAFKA_GROUP_APIS(X)
#undef X
        { 18, 0, 3, 3, false, "ApiVersions", "3:s 3:s", kafka_api_versions },
#define X(key, min, max, flexible, name, layout, handler)                                                    \
    { key, min, max, flexible, false, name, layout, handler },
    KAFKA_ADMIN_APIS(X)
#undef X
        { 17, 0, 1, INT16_MAX, false, "SaslHandshake", "s", kafka_sasl_handshake },
    { 60, 0, 1, 0, false, "DescribeCluster", "b 1:b", kafka_describe_cluster },
    { 22, 0, 4, 2, false, "InitProducerId", "S i 3:l 3:h", kafka_init_producer_id },
    { 23, 2, 4, 4, false, "OffsetForLeaderEpoch", "3:i [s[i i i]]", kafka_offset_for_leader_epoch },
};

const struct kafka_api *kafka_api_row(uint32_t i)
{
    return i < ARRAY_LEN(KAFKA_TABLE) ? &KAFKA_TABLE[i] : NULL;
}

const struct kafka_api *kafka_api(int16_t key)
{
    for (uint32_t i = 0; i < ARRAY_LEN(KAFKA_TABLE); i++) {
        if (KAFKA_TABLE[i].key == key)
            return &KAFKA_TABLE[i];
    }
    return NULL;
}
