/* SPDX-License-Identifier: Apache-2.0
 *
 * client/dispatch.c: events to handlers, by their type.
 */
#include <string.h>

#include "client/client.h"
#include "proto/name.h"

enum { HEADERS_MAX = 256 };

/* The value of the last header ce_type; empty: none. */
static struct bytes type_of(const struct runnel_record *record)
{
    static const char name[] = "ce_type";
    struct runnel_record_header headers[HEADERS_MAX];
    struct bytes type = bytes_of("");
    const size_t count = runnel_record_headers(record, headers, HEADERS_MAX);
    for (size_t i = 0; i < count; i++)
        if (headers[i].name_len == sizeof(name) - 1 && memcmp(headers[i].name, name, sizeof(name) - 1) == 0)
            type = (struct bytes){ headers[i].value, (uint32_t)headers[i].value_len };
    return type;
}

int runnel_dispatch(const struct runnel_handler *handlers, size_t count, const struct runnel_record *record,
                    int *result)
{
    const struct bytes type = type_of(record);
    for (size_t i = 0; i < count; i++) {
        if (handlers[i].type && !name_matches(bytes_of(handlers[i].type), type))
            continue;
        const int rc = handlers[i].handle(handlers[i].ctx, record);
        if (result)
            *result = rc;
        return 1;
    }
    return 0;
}
