/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/commands.c: which commands there are, in the order of the help.
 */
#include "client/cli/cli.h"

const struct command *const args_commands[] = {
    &pub_command,
    &read_command,
    &sub_command,
    &replay_command,
    &topic_create_command,
    &topic_list_command,
    &topic_describe_command,
    &topic_offsets_command,
    &topic_set_command,
    &topic_add_partitions_command,
    &topic_delete_command,
    &group_list_command,
    &group_describe_command,
    &group_lag_command,
    &group_seek_command,
    &group_set_command,
    &group_breaker_command,
    &group_delete_command,
    &group_forget_command,
    &dlq_list_command,
    &dlq_stats_command,
    &dlq_show_command,
    &dlq_redrive_command,
    &dlq_discard_command,
    &dlq_put_command,
    &health_command,
    &stat_command,
    &verify_command,
    &errors_command,
    &completion_command,
    &version_command,
    &help_command,
    NULL,
};
