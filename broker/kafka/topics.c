/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/topics.c: topics as Kafka's clients see them. The broker's own are no business of theirs: they know
 * others by such names.
 */
#include "kafka/kafka_own.h"

struct partition *kafka_partition(const struct kafka *kafka, struct bytes topic, int32_t number)
{
    const struct topic *t = catalog_find(kafka->store, topic);
    if (!t || t->internal || number < 0 || (uint32_t)number >= t->partition_count)
        return NULL;
    return t->partitions[number];
}
