/* SPDX-License-Identifier: Apache-2.0
 *
 * client/group/names.h: the words for what the broker tells of groups as numbers.
 */
#ifndef RUNNEL_CLIENT_GROUP_NAMES_H
#define RUNNEL_CLIENT_GROUP_NAMES_H

#include <stdint.h>

/* "?" for a number of a later version. */
const char *group_mode_name(uint8_t mode);
const char *group_state_name(uint8_t state);
const char *group_breaker_name(uint8_t breaker);
const char *group_member_state_name(uint8_t state);
const char *group_pause_name(uint8_t pause);

#endif
