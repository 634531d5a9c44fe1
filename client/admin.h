/* SPDX-License-Identifier: Apache-2.0
 *
 * client/admin.h: what the calls of administration share (admin.c, group/admin.c, group/describe.c,
 * group/redrive.c).
 */
#ifndef RUNNEL_CLIENT_ADMIN_H
#define RUNNEL_CLIENT_ADMIN_H

#include "client/client.h"

enum { ADMIN_LIST_PAGE = 1000 };

/* What was written so far: the body of a request. */
struct bytes admin_written(const struct writer *w);
/* Makes a call whose answer has no fields. */
int admin_call_plain(struct runnel_client *c, uint16_t op, const struct writer *w);
int admin_not_understood(struct runnel_client *c, const char *what);
/* Settings for a request; adds the bytes that they take. */
int admin_copy_configs(struct runnel_client *c, struct wire_config *out, const struct runnel_config *configs,
                       size_t count, uint32_t *bytes);
/* A terminated copy, cut to fit. */
void admin_copy_text(char *to, size_t size, struct bytes from);

#endif
