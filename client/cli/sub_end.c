/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/sub_end.c: `runnel sub --group -e`: has this member anything left to do? Only the broker knows: events
 * of its partitions may wait for their next attempt, or (shared) be out with other members.
 */
#include "client/cli/exec.h"

#include <string.h>

bool sub_at_end(struct cli *cli, runnel_group *group, const char *name)
{
    struct runnel_group_info *info;
    uint64_t left = 0;

    if (runnel_group_commit(group, SUB_END_MS) < 0 || runnel_group_describe(cli->client, name, &info) < 0)
        return false; /* asked again soon; what is wrong is told by what comes next */
    const bool shared = !strcmp(info->mode, "shared");
    /* While partitions change hands nobody can say which are this member's. */
    bool at_end = strcmp(info->state, "rebalancing") != 0;
    for (size_t i = 0; i < info->partition_count; i++)
        if (shared || !strcmp(info->partitions[i].owner, runnel_group_member_id(group)))
            left += info->partitions[i].lag;
    runnel_group_info_free(info);
    return at_end && left == 0;
}
