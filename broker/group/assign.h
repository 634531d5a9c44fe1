/* SPDX-License-Identifier: Apache-2.0
 *
 * group/assign.h: who consumes which partition: sticky and balanced.
 *
 * Promises
 *   A partition goes to a member that wants its topic, when there is one.
 *   Members that want the same topics differ by at most one in how many partitions they get.
 *   A partition moves only when its owner is gone, does not want its topic any more, or has at least two more
 *   than the one that gets it: with equal wants no balanced assignment moves fewer.
 *   The same input gives the same result.
 * Pure, but for scratch memory. O(n log n) in members and partitions when wants are equal; with many
 * different wants some more.
 */
#ifndef RUNNEL_GROUP_ASSIGN_H
#define RUNNEL_GROUP_ASSIGN_H

#include <stdint.h>

#define ASSIGN_NOBODY UINT32_MAX

struct assign_member {
    const uint32_t *topics; /* indexes of the topics that it wants, ascending */
    uint32_t topic_count;
};

/* `partitions[t]`: how many topic t has. `owners`: an entry per partition, topic after topic: who has it now
 * (index of a member, or ASSIGN_NOBODY), then who shall have it. */
void assign_sticky(const struct assign_member *members, uint32_t member_count, const uint32_t *partitions,
                   uint32_t topic_count, uint32_t *owners);

#endif
