/* SPDX-License-Identifier: Apache-2.0
 *
 * client/options.h: every setting of client, producer and consumer, parsed.
 */
#ifndef RUNNEL_CLIENT_OPTIONS_H
#define RUNNEL_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/include/runnel.h"
#include "proto/batch.h"
#include "proto/wire.h"

enum { OPTIONS_TEXT_MAX = 256, OPTIONS_PARTITIONS_MAX = 1024 };

/* One type for all handles: each reads what concerns it. Numbers are int64_t so that one table row serves
 * any of them. */
struct options {
    char client_name[OPTIONS_TEXT_MAX];
    int64_t connect_timeout_ms, retry_for_ms, request_timeout_ms;
    int64_t backoff_ms, backoff_max_ms;

    int64_t acks;        /* enum wire_acks */
    int64_t compression; /* enum batch_codec */
    int64_t idempotent;  /* -1: not said */
    int64_t batch_bytes, buffer_bytes, in_flight, linger_us;
    int64_t create;

    char from[OPTIONS_TEXT_MAX];
    char partitions[OPTIONS_TEXT_MAX * 16];
    int64_t credit_bytes;
    int64_t check_crc;

    int64_t mode; /* enum wire_group_mode */
    char instance[OPTIONS_TEXT_MAX];
    int64_t max_in_flight;
    int64_t reset; /* enum wire_group_reset */
};

struct runnel_options {
    struct options values;
};

void options_default(struct options *o);
/* `from` as text to what is sent; false: not understood. */
bool options_position(const char *text, struct wire_position *out);
/* "0,3,5" or "all" into `set` (true: wanted). 0 or an index beyond `count` is there: that partition + 1; -1:
 * not understood. */
int64_t options_partitions(const char *text, bool *set, uint32_t count);

#endif
