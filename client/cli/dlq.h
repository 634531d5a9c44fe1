/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dlq.h: what the `runnel dlq` commands share.
 */
#ifndef RUNNEL_CLI_DLQ_H
#define RUNNEL_CLI_DLQ_H

#include "client/cli/dead.h"

/* The options that choose dead letters. */
#define DLQ_FILTER_OPTIONS                                                                                     \
    { OPT_WHERE_TYPE, 0, "where-type", "TYPE", NULL, false, "only errors of this type; '*' and '?' match" },   \
        { OPT_SINCE, 0, "since", "DURATION|TIME", NULL, false, "only what failed since then, e.g. 1h" },       \
        { OPT_GROUP, 'g', "group", "NAME", NULL, false, "only what failed in this group" },                    \
        { OPT_CORRELATION, 0, "correlation-id", "ID", NULL, false, "only events with this ce_correlationid" }, \
        { OPT_HEADER,                                                                                          \
          'H',                                                                                                 \
          "header",                                                                                            \
          "NAME=VALUE",                                                                                        \
          NULL,                                                                                                \
          true,                                                                                                \
          "only events with this header; may be given many times" },                                           \
        { OPT_JSON_PATH,                                                                                       \
          0,                                                                                                   \
          "json-path",                                                                                         \
          "PATH[=VALUE]",                                                                                      \
          NULL,                                                                                                \
          false,                                                                                               \
          "only JSON payloads with this value, e.g. $.customer.id=17" },                                       \
    {                                                                                                          \
        OPT_LIMIT, 'n', "limit", "N", NULL, false, "at most so many"                                           \
    }

/* NULL for an empty text: an empty cell, null in JSON. */
static inline const char *dlq_text(const char *text)
{
    return *text ? text : NULL;
}

/* "orders/3:17", where the event was published; lent until the next call. */
const char *dlq_origin(const struct dead_letter *letter);

#endif
