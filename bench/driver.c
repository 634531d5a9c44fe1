/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/driver.c: the table of drivers and what they share.
 */
#include "driver.h"

#include <stdarg.h>
#include <stdio.h>

static const struct driver *const drivers[] = { &driver_runnel, &driver_librunnel, &driver_redis,
                                                &driver_nats, &driver_kafka };

const struct driver *driver_find(const char *name)
{
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}

const char *driver_names(void)
{
    return "runnel, librunnel, redis, nats, kafka";
}

void driver_topic_name(const struct target *t, uint32_t topic, char *out, size_t bytes)
{
    if (t->topics == 1)
        snprintf(out, bytes, "%s", t->topic);
    else
        snprintf(out, bytes, "%s-%u", t->topic, topic);
}

void payload_fill(uint8_t *payload, uint32_t size)
{
    uint64_t state = 0x9e3779b97f4a7c15ull;
    for (uint32_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        payload[i] = (uint8_t)(' ' + 1 + (state >> 33) % 94);
    }
}

bool link_fail(struct link *link, const char *format, ...)
{
    if (link->why[0])
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(link->why, sizeof(link->why), format, args);
    va_end(args);
    return false;
}
