/* SPDX-License-Identifier: Apache-2.0
 *
 * client/produce_told.c: a refusal that is about single events.
 *
 * The broker stores nothing of a batch with an event whose id was published before, and says which events
 * those are and where they are stored. They leave the batch, the others go again, in their order and under
 * new sequences; each event is reported with what became of it. Numbers of events are those of the batch as
 * it was built; the broker counts those that it was sent last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/producer.h"

/* Which event it was that is number `kept` of those not told. */
static uint32_t told_number(const struct pbatch *b, uint32_t kept)
{
    for (uint32_t i = 0; i < b->told_count && b->told[i].event <= kept; i++)
        kept++;
    return kept;
}

/* In order, of events that were sent, and of something that can be told. */
static bool told_good(const struct pbatch *b, const struct wire_error *e)
{
    for (uint32_t i = 0, next = 0; i < e->row_count; i++) {
        struct wire_event_error row = wire_event_error_at(e->rows, i);
        if (row.event < next || row.event >= (uint32_t)b->builder.count ||
            (row.code != ERR_DEDUPE_DUPLICATE && row.code != ERR_DEDUPE_CONFLICT) || row.offset > INT64_MAX ||
            (row.partition > INT32_MAX && row.partition != WIRE_SAME_BATCH) ||
            (row.partition == WIRE_SAME_BATCH && row.offset >= row.event))
            return false;
        next = row.event + 1;
    }
    return e->row_count > 0;
}

bool pbatch_tell(struct pbatch *b, const struct wire_error *e)
{
    if (!told_good(b, e))
        return false;
    uint32_t count = b->told_count + e->row_count, events = b->told_count + (uint32_t)b->builder.count;
    struct wire_event_error *told = malloc(count * sizeof(*told));
    uint32_t *numbers = malloc(e->row_count * sizeof(*numbers));
    if (told && numbers) {
        uint32_t i = 0, j = 0, kept = 0, n = 0;
        for (uint32_t event = 0; event < events && n < count; event++) {
            if (i < b->told_count && b->told[i].event == event) {
                told[n++] = b->told[i++];
                continue;
            }
            struct wire_event_error row = { .event = UINT32_MAX };
            if (j < e->row_count)
                row = wire_event_error_at(e->rows, j);
            if (row.event == kept++) {
                numbers[j++] = row.event;
                row.event = event;
                if (row.partition == WIRE_SAME_BATCH)
                    row.offset = told_number(b, (uint32_t)row.offset);
                told[n++] = row;
            }
        }
        if (pbatch_without(b, numbers, e->row_count)) {
            free(b->told);
            b->told = told;
            b->told_count = count;
            free(numbers);
            return true;
        }
    }
    free(told);
    free(numbers);
    return false;
}

void told_report(struct pbatch *b, uint32_t event, uint32_t *at, struct runnel_delivery *out)
{
    while (*at < b->told_count && b->told[*at].event < event)
        ++*at;
    if (*at == b->told_count || b->told[*at].event != event) {
        if (!b->error && b->offset >= 0)
            out->offset = b->offset + (int64_t)(event - *at);
        return;
    }
    /* The same id twice in this batch: the first one's own story, if it has one. */
    const struct wire_event_error *t = &b->told[*at];
    uint32_t before = 0;
    while (t->partition == WIRE_SAME_BATCH && before < b->told_count && b->told[before].event < t->offset)
        before++;
    uint32_t partition = t->partition;
    int64_t offset = (int64_t)t->offset;
    if (partition == WIRE_SAME_BATCH && before < b->told_count && b->told[before].event == t->offset) {
        partition = b->told[before].partition;
        offset = (int64_t)b->told[before].offset;
    } else if (partition == WIRE_SAME_BATCH) {
        if (b->error)
            return;
        partition = b->part->index;
        offset = b->offset < 0 ? -1 : b->offset + offset - (int64_t)before;
    }
    out->partition = (int32_t)partition;
    out->offset = offset;
    out->error = 0;
    out->error_text = NULL;
    out->duplicate = RUNNEL_DUPLICATE_ID;
    if (t->code != ERR_DEDUPE_CONFLICT)
        return;
    snprintf(b->told_text, sizeof(b->told_text),
             "the event's id was published before, with another key or payload: partition %u, offset %lld",
             partition, (long long)offset);
    out->duplicate = 0;
    out->offset = -1;
    out->partition = (int32_t)b->part->index;
    out->error = -ERR_DEDUPE_CONFLICT;
    out->error_text = b->told_text;
}
