/* SPDX-License-Identifier: Apache-2.0
 *
 * group/classic_blob.c: what Kafka consumers put into preferences and assignments, which are opaque to the
 * coordinator: read for those who look, never for a decision on membership.
 *
 * Big endian. Preferences: i16 version, i32 count of topics, each i16 length and name; more follows.
 * Assignment: i16 version, i32 count, each: topic, i32 count, each i32 partition. Source: Apache Kafka's
 * ConsumerProtocolSubscription.json and ConsumerProtocolAssignment.json. What cannot be read names nothing.
 */
#include "group/classic_own.h"

static uint32_t blob_u16(struct reader *r)
{
    const uint8_t *p = read_raw(r, 2);
    return p ? (uint32_t)p[0] << 8 | p[1] : 0;
}

static uint32_t blob_u32(struct reader *r)
{
    const uint32_t high = blob_u16(r);
    return high << 16 | blob_u16(r);
}

static struct bytes blob_name(struct reader *r)
{
    const uint32_t len = blob_u16(r);
    return (struct bytes){ read_raw(r, len), r->bad ? 0 : len };
}

static bool of_consumers(const struct group *g)
{
    return strcmp(classic_protocol_type(g), "consumer") == 0;
}

bool classic_wants(const struct group *g, const struct topic *topic)
{
    const struct bytes wanted = { (const uint8_t *)topic->name, topic->name_len };
    if (!of_consumers(g))
        return g->member_count > 0;
    for (const struct classic_member *m = NULL; (m = classic_member_next(g, m));) {
        const struct bytes blob = m->protocol_count ? m->protocols[0].metadata : (struct bytes){ 0 };
        struct reader r = reader_of(blob.at, blob.len);
        blob_u16(&r);
        for (uint32_t n = blob_u32(&r); n && !r.bad; n--)
            if (bytes_same(blob_name(&r), wanted))
                return true;
        if (r.bad)
            return true;
    }
    return false;
}

/* Calls `each` (may be NULL) for every partition of an assignment; how many there are. */
static uint32_t blob_partitions(const struct classic_member *m,
                                void (*each)(const struct classic_member *m, struct bytes topic,
                                             uint32_t partition))
{
    struct reader r = reader_of(m->assignment.at, m->assignment.len);
    uint32_t count = 0;
    if (!of_consumers(m->group) || !m->assignment.len)
        return 0;
    blob_u16(&r);
    for (uint32_t topics = blob_u32(&r); topics && !r.bad; topics--) {
        const struct bytes topic = blob_name(&r);
        for (uint32_t n = blob_u32(&r); n && !r.bad; n--) {
            const uint32_t partition = blob_u32(&r);
            if (r.bad)
                break;
            count++;
            if (each)
                each(m, topic, partition);
        }
    }
    return count;
}

static void mark_holder(const struct classic_member *m, struct bytes name, uint32_t partition)
{
    struct group *g = m->group;
    const struct topic *topic = catalog_find(g->groups->store, name);
    struct gp *gp = topic ? group_gp_find(g, topic, partition) : NULL;
    if (gp)
        gp->holder = m;
}

void classic_mark_holders(struct group *g)
{
    for (uint32_t i = 0; i < g->topic_slots; i++)
        for (uint32_t n = 0; g->topics[i] && n < g->topics[i]->count; n++)
            g->topics[i]->gps[n]->holder = NULL;
    for (const struct classic_member *m = NULL; (m = classic_member_next(g, m));)
        blob_partitions(m, mark_holder);
}

uint32_t classic_partitions(const struct classic_member *m)
{
    return blob_partitions(m, NULL);
}
