/* SPDX-License-Identifier: Apache-2.0
 *
 * group/deadletter_own.h: the headers that are added to a dead letter (deadletter_headers.c).
 */
#ifndef RUNNEL_GROUP_DEADLETTER_OWN_H
#define RUNNEL_GROUP_DEADLETTER_OWN_H

#include "group/deadletter.h"

enum { LETTER_NUMBER_BYTES = 24, LETTER_TIME_BYTES = 32 };

/* Lends the letter's texts; must stay where it is. */
struct letter_headers {
    struct header headers[DEADLETTER_HEADERS];
    char partition[LETTER_NUMBER_BYTES], offset[LETTER_NUMBER_BYTES], retries[LETTER_NUMBER_BYTES],
        deliveries[LETTER_NUMBER_BYTES], time[LETTER_TIME_BYTES];
    uint8_t *json;
    uint32_t json_room;
};

void letter_headers_init(struct letter_headers *h, const struct deadletter *letter);
void letter_headers_free(struct letter_headers *h);

#endif
