/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/fake_group.c: the fake broker's one group, over the partitions of topic "t". Retries
 * come at once, and a dead letter is a message kept for the test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_own.h"

enum { RETRY_MAX = 3, BATCHES_PER_DELIVERY = 3, ROWS_MAX = 64 };

/* ---- events ---- */

/* After a restart partitions have other numbers. */
static uint32_t assignment_of(const struct fake_broker *f, uint32_t partition)
{
    return 1 + (partition + f->group.restarts) % f->setup.partitions;
}

/* One that is not there for an assignment that is none. */
static uint32_t partition_of(const struct fake_broker *f, uint32_t assignment)
{
    const uint32_t n = f->setup.partitions;
    return assignment - 1 < n ? (assignment - 1 + n - f->group.restarts % n) % n : n;
}

static struct event *event_at(struct fake_broker *f, uint32_t partition, int64_t offset)
{
    struct fake_gp *gp = &f->group.gps[partition];
    if (offset < 0 || offset >= f->logs[partition].end)
        return NULL;
    if ((size_t)offset >= gp->size) {
        size_t size = (size_t)f->logs[partition].end * 2;
        gp->events = realloc(gp->events, size * sizeof(*gp->events));
        memset(gp->events + gp->size, 0, (size - gp->size) * sizeof(*gp->events));
        gp->size = size;
    }
    return &gp->events[offset];
}

static void event_back(struct fake_broker *f, struct event *e, uint8_t state)
{
    if (e->state == EVENT_OUT)
        f->group.members[e->member].out--;
    e->state = state;
}

static bool out_with(const struct event *e, uint8_t member)
{
    return e && e->state == EVENT_OUT && e->member == member;
}

static uint32_t out_of(struct fake_broker *f, uint32_t partition, uint8_t member)
{
    uint32_t n = 0;
    for (int64_t o = 0; o < f->logs[partition].end; o++)
        n += out_with(event_at(f, partition, o), member);
    return n;
}

/* ---- pushes ---- */

static void push_changes(struct fake_member *m, uint32_t generation, const struct wire_group_change_row *rows,
                         uint16_t count)
{
    uint8_t buffer[FAKE_PARTITIONS_MAX * 32 + 64];
    struct writer w = writer_of(buffer, sizeof(buffer));
    uint8_t *frame = wire_frame_begin(&w);
    write_u32(&w, generation);
    write_u16(&w, count);
    for (uint16_t i = 0; i < count; i++)
        wire_put_group_change_row(&w, &rows[i]);
    conn_out(m->conn, buffer, wire_frame_end(&w, frame, WIRE_OP_GROUP_ASSIGN, WIRE_PUSH, m->handle));
}

static void push_change(struct fake_broker *f, struct fake_member *m, uint8_t kind, uint32_t partition,
                        int64_t offset)
{
    struct wire_group_change_row row = { .kind = kind,
                                         .assignment = assignment_of(f, partition),
                                         .epoch = f->group.gps[partition].epoch,
                                         .partition = partition,
                                         .offset = (uint64_t)offset,
                                         .topic = bytes_of(kind == WIRE_GROUP_ASSIGNED ? "t" : "") };
    if (m->live)
        push_changes(m, f->group.generation, &row, 1);
}

/* Ordered: everything out from `offset` on goes back. */
static void withdraw(struct fake_broker *f, uint32_t partition, int64_t offset)
{
    struct fake_gp *gp = &f->group.gps[partition];
    for (int64_t o = offset; o < f->logs[partition].end; o++) {
        struct event *e = event_at(f, partition, o);
        if (e->state == EVENT_OUT)
            event_back(f, e, EVENT_NEW);
    }
    gp->epoch++;
    if (gp->owner >= 0)
        push_change(f, &f->group.members[gp->owner], WIRE_GROUP_REWOUND, partition, offset);
}

/* ---- who has what ---- */

static int wanted_owner(const struct fake_group *g, uint32_t partition)
{
    int live[MEMBERS_MAX], n = 0;
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (g->members[i].used && !g->members[i].draining)
            live[n++] = i;
    return n ? live[partition % (uint32_t)n] : -1;
}

static void rebalance(struct fake_broker *f)
{
    struct fake_group *g = &f->group;
    for (uint32_t p = 0; p < f->setup.partitions && !f->setup.group_shared; p++) {
        struct fake_gp *gp = &g->gps[p];
        int want = wanted_owner(g, p);
        if (gp->owner == want && !gp->moving)
            continue;
        if (gp->owner >= 0 && g->members[gp->owner].used && !gp->moving) {
            gp->moving = true;
            push_change(f, &g->members[gp->owner], WIRE_GROUP_REVOKED, p, 0);
        }
        if (gp->owner >= 0 && g->members[gp->owner].used && out_of(f, p, (uint8_t)gp->owner))
            continue;
        gp->owner = want;
        gp->moving = false;
        gp->epoch++;
        if (want >= 0)
            push_change(f, &g->members[want], WIRE_GROUP_ASSIGNED, p, 0);
    }
}

/* As a broker that was killed: who had what is forgotten, what is settled is not. */
static void restart(struct fake_broker *f)
{
    struct fake_group *g = &f->group;
    for (uint32_t p = 0; p < f->setup.partitions; p++) {
        for (int64_t o = 0; o < f->logs[p].end; o++)
            if (event_at(f, p, o)->state == EVENT_OUT)
                event_at(f, p, o)->state = EVENT_NEW;
        g->gps[p].owner = -1;
        g->gps[p].epoch = 0;
        g->gps[p].moving = false;
    }
    memset(g->members, 0, sizeof(g->members));
    g->restarts++;
}

static void scripted(struct fake_broker *f)
{
    struct fake_group *g = &f->group;
    int revoke = atomic_exchange(&f->script.group_revoke, 0);
    int code = atomic_load(&f->script.group_end);
    if (revoke > 0 && g->gps[revoke - 1].owner >= 0) {
        g->gps[revoke - 1].moving = true;
        push_change(f, &g->members[g->gps[revoke - 1].owner], WIRE_GROUP_REVOKED, (uint32_t)revoke - 1, 0);
    }
    if (atomic_exchange(&f->script.group_expire, 0))
        for (uint32_t p = 0; p < f->setup.partitions; p++)
            for (int64_t o = 0; o < f->logs[p].end; o++)
                if (event_at(f, p, o)->state == EVENT_OUT)
                    event_back(f, event_at(f, p, o), EVENT_NEW);
    for (int i = 0; code && i < MEMBERS_MAX; i++) {
        struct fake_member *m = &g->members[i];
        uint8_t buffer[128];
        struct writer w = writer_of(buffer, sizeof(buffer));
        uint8_t *frame = wire_frame_begin(&w);
        if (!m->live)
            continue;
        wire_put_error(
            &w, &(struct wire_error){ .code = (uint16_t)code, .text = bytes_of("ended by the fake broker") });
        conn_out(m->conn, buffer, wire_frame_end(&w, frame, WIRE_OP_GROUP_END, WIRE_PUSH, m->handle));
        m->live = m->used = false;
    }
}

/* ---- joining, leaving ---- */

static bool is_held(const struct fake_broker *f, const struct wire_group_join *join, uint32_t partition,
                    int64_t offset)
{
    for (uint16_t i = 0; i < join->held_count; i++) {
        struct wire_group_range r = wire_group_range_at(join->held, i);
        if (r.assignment == assignment_of(f, partition) && offset >= (int64_t)r.first &&
            offset < (int64_t)r.first + r.count)
            return true;
    }
    return false;
}

static void take_back(struct fake_broker *f, uint8_t member, const struct wire_group_join *but)
{
    for (uint32_t p = 0; p < f->setup.partitions; p++)
        for (int64_t o = 0; o < f->logs[p].end; o++) {
            struct event *e = event_at(f, p, o);
            if (out_with(e, member) && !(but && is_held(f, but, p, o)))
                event_back(f, e, EVENT_NEW);
        }
}

static void on_join(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    static struct wire_group_join join;
    if (atomic_exchange(&f->script.group_restart, 0))
        restart(f);
    struct fake_group *g = &f->group;
    int i = 0, mode = f->setup.group_shared ? WIRE_GROUP_SHARED : WIRE_GROUP_ORDERED;
    if (!wire_get_group_join(body, &join)) {
        answer_error(f, c, h, ERR_REQUEST_INVALID, "not a GROUP_JOIN");
        return;
    }
    if (join.mode && join.mode != mode) {
        answer_error(f, c, h, ERR_GROUP_MODE_MISMATCH, "the group consumes in the other mode");
        return;
    }
    f->figures[FAKE_JOINS]++;
    while (i < MEMBERS_MAX && !(g->members[i].used && strlen(g->members[i].id) == join.member_id.len &&
                                memcmp(g->members[i].id, join.member_id.at, join.member_id.len) == 0))
        i++;
    bool back = i < MEMBERS_MAX;
    if (back)
        take_back(f, (uint8_t)i, &join);
    for (i = back ? i : 0; !back && g->members[i].used; i++)
        ;
    struct fake_member *m = &g->members[i];
    uint32_t out = back ? m->out : 0;
    *m =
        (struct fake_member){ .used = true, .live = true, .conn = c, .handle = (uint32_t)i + 50, .out = out };
    m->max = f->setup.group_in_flight ? f->setup.group_in_flight : 100;
    if (join.max_in_flight && join.max_in_flight < m->max)
        m->max = join.max_in_flight;
    memset(m->last, 0xff, sizeof(m->last));
    snprintf(m->id, sizeof(m->id), "member-%d%c", i, g->restarts ? 'a' + (int)g->restarts : 0);
    g->generation++;
    struct wire_group_join_reply reply = { .member = m->handle,
                                           .member_id = bytes_of(m->id),
                                           .generation = g->generation,
                                           .mode = (uint8_t)mode,
                                           .session_timeout_ms = 10000,
                                           .ack_wait_ms = 30000,
                                           .max_in_flight = m->max };
    ANSWER(f, c, h, wire_put_group_join_reply(&w, &reply));
    struct wire_group_change_row rows[FAKE_PARTITIONS_MAX];
    uint16_t count = 0;
    for (uint32_t p = 0; p < f->setup.partitions; p++)
        if (f->setup.group_shared || (g->gps[p].owner == i && back && !g->gps[p].moving))
            rows[count++] = (struct wire_group_change_row){ .kind = WIRE_GROUP_ASSIGNED,
                                                            .assignment = assignment_of(f, p),
                                                            .epoch = g->gps[p].epoch,
                                                            .partition = p,
                                                            .topic = bytes_of("t") };
    push_changes(m, g->generation, rows, count);
    rebalance(f);
}

static struct fake_member *member_of(struct fake_broker *f, const struct conn *c, uint32_t handle)
{
    struct fake_member *m = handle >= 50 && handle < 50 + MEMBERS_MAX ? &f->group.members[handle - 50] : NULL;
    return m && m->live && m->conn == c ? m : NULL;
}

static void on_leave(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_group_leave leave = { 0 };
    wire_get_group_leave(body, &leave);
    struct fake_member *m = member_of(f, c, leave.member);
    if (m && leave.drain) {
        m->draining = true;
    } else if (m) {
        f->figures[FAKE_LEAVES]++;
        take_back(f, (uint8_t)(leave.member - 50), NULL);
        m->live = m->used = false;
        rebalance(f);
    }
    ANSWER(f, c, h, (void)0);
}

void group_conn_closed(struct fake_broker *f, struct conn *c)
{
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (f->group.members[i].conn == c)
            f->group.members[i].live = false;
}

/* ---- settling ---- */

/* One event of a range: an error code. */
static int settle(struct fake_broker *f, uint8_t member, const struct wire_group_range *r, int64_t offset,
                  uint16_t op)
{
    struct event *e = partition_of(f, r->assignment) < f->setup.partitions
                          ? event_at(f, partition_of(f, r->assignment), offset)
                          : NULL;
    if (!e)
        return ERR_EVENT_NOT_LEASED;
    if (e->state == EVENT_DONE && op == WIRE_OP_GROUP_ACK)
        return ERR_OK;
    if (!out_with(e, member) || e->epoch != r->epoch) {
        f->figures[FAKE_ACKED_LATE] += op == WIRE_OP_GROUP_ACK;
        return ERR_STALE_GENERATION;
    }
    switch (op) {
    case WIRE_OP_GROUP_RELEASE:
        f->figures[FAKE_RELEASED]++;
        event_back(f, e, EVENT_NEW);
        break;
    case WIRE_OP_GROUP_WORKING:
        f->figures[FAKE_WORKING]++;
        break;
    default:
        f->figures[FAKE_ACKED]++;
        event_back(f, e, EVENT_DONE);
        break;
    }
    return ERR_OK;
}

static int settle_all(struct fake_broker *f, uint8_t member, struct bytes ranges, uint16_t count, uint16_t op)
{
    int code = ERR_OK;
    for (uint16_t i = 0; i < count; i++) {
        struct wire_group_range r = wire_group_range_at(ranges, i);
        for (uint32_t n = 0; n < r.count; n++) {
            int one = settle(f, member, &r, (int64_t)r.first + n, op);
            code = code ? code : one;
        }
    }
    return code;
}

static void on_ranges(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_group_ack ack = { 0 };
    struct wire_group_ranges rows = { 0 };
    bool is_ack = h->op == WIRE_OP_GROUP_ACK;
    bool good = is_ack ? wire_get_group_ack(body, &ack) : wire_get_group_ranges(body, &rows);
    struct fake_member *m = member_of(f, c, is_ack ? ack.member : rows.member);
    if (is_ack)
        rows = (struct wire_group_ranges){ ack.member, ack.count, ack.ranges };
    f->figures[FAKE_ACKS] += is_ack;
    int code = !good ? ERR_REQUEST_INVALID : !m ? ERR_MEMBER_UNKNOWN : ERR_OK;
    if (code == ERR_OK)
        code = settle_all(f, (uint8_t)(rows.member - 50), rows.ranges, rows.count, h->op);
    if (code)
        answer_error(f, c, h, code, "an event is not out with this member");
    else if (!is_ack || ack.flags)
        ANSWER(f, c, h, (void)0);
    rebalance(f);
}

static void on_nack(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_group_nack nack = { 0 };
    struct fake_group *g = &f->group;
    bool good = wire_get_group_nack(body, &nack) && partition_of(f, nack.assignment) < f->setup.partitions;
    struct event *e = good ? event_at(f, partition_of(f, nack.assignment), (int64_t)nack.offset) : NULL;
    if (!good || !member_of(f, c, nack.member) || !out_with(e, (uint8_t)(nack.member - 50)) ||
        e->epoch != nack.epoch) {
        answer_error(f, c, h, ERR_STALE_GENERATION, "the event is not out with this member");
        return;
    }
    bool dead = ++e->attempts > RETRY_MAX || nack.term;
    event_back(f, e, dead ? EVENT_DONE : EVENT_NEW);
    if (dead && g->dead_count < DEAD_MAX)
        snprintf(g->dead[g->dead_count++], sizeof(g->dead[0]), "%.*s: %.*s", (int)nack.type.len,
                 (const char *)nack.type.at, (int)nack.message.len, (const char *)nack.message.at);
    ANSWER(f, c, h, (void)0);
    if (!f->setup.group_shared)
        withdraw(f, partition_of(f, nack.assignment), (int64_t)nack.offset);
    rebalance(f);
}

static void on_group_produce(struct fake_broker *f, struct conn *c, const struct wire_header *h,
                             struct reader body)
{
    struct wire_group_produce p;
    struct wire_produced rows[FAKE_PARTITIONS_MAX];
    int code = wire_get_group_produce(body, &p) ? ERR_OK : ERR_REQUEST_INVALID;
    if (code == ERR_OK && !member_of(f, c, p.member))
        code = ERR_MEMBER_UNKNOWN;
    for (uint16_t i = 0; code == ERR_OK && i < p.count; i++) {
        struct wire_group_range r = wire_group_range_at(p.ranges, i);
        for (uint32_t n = 0; n < r.count && code == ERR_OK; n++) {
            struct event *e = event_at(f, partition_of(f, r.assignment), (int64_t)r.first + n);
            if (!e || (e->state != EVENT_DONE && !out_with(e, (uint8_t)(p.member - 50))))
                code = ERR_STALE_GENERATION;
        }
    }
    if (code == ERR_OK)
        code = produce_all(f, p.produce, rows);
    if (code == ERR_OK)
        settle_all(f, (uint8_t)(p.member - 50), p.ranges, p.count, WIRE_OP_GROUP_PRODUCE);
    int drop = atomic_load(&f->script.drop_after);
    if (drop > 0) {
        atomic_store(&f->script.drop_after, drop - 1);
        c->closing = drop == 1;
        if (c->closing)
            return;
    }
    if (code)
        answer_error(f, c, h, code, "refused by the fake broker");
    else
        ANSWER(f, c, h, wire_put_produced(&w, rows, p.produce.count));
}

/* ---- delivering ---- */

static const struct stored *batch_of(const struct log *l, int64_t offset, size_t *index)
{
    for (size_t i = l->first; i < l->count; i++)
        if (l->items[i].end > offset) {
            *index = i;
            return &l->items[i];
        }
    return NULL;
}

/* Events that may go to the member: the first offset, and how many behind each other; attempts alike. */
static uint32_t offered(struct fake_broker *f, uint32_t partition, uint32_t room, int64_t *first)
{
    uint32_t n = 0;
    int64_t end = f->logs[partition].end;
    for (int64_t o = f->logs[partition].start; o < end && n < room; o++) {
        struct event *e = event_at(f, partition, o);
        if (!f->setup.group_shared && e->state == EVENT_OUT && e->attempts)
            return 0; /* the one that failed goes alone */
        if (e->state != EVENT_NEW) {
            if (n)
                break;
            continue;
        }
        if (n == 0)
            *first = o;
        else if (e->attempts)
            break;
        n++;
        if (e->attempts)
            break;
    }
    return n;
}

static bool deliver_to(struct fake_broker *f, struct fake_member *m, uint8_t member, uint32_t partition)
{
    struct fake_gp *gp = &f->group.gps[partition];
    struct log *l = &f->logs[partition];
    int64_t first = 0;
    size_t from = 0, to = 0;
    uint32_t count = m->out < m->max ? offered(f, partition, m->max - m->out, &first) : 0;
    if (!count || (!f->setup.group_shared && (gp->owner != member || gp->moving)))
        return false;
    batch_of(l, first, &from);
    batch_of(l, first + count - 1, &to);
    if (to - from >= BATCHES_PER_DELIVERY) {
        to = from + BATCHES_PER_DELIVERY - 1;
        count = (uint32_t)(l->items[to].end - first);
    }
    uint32_t bytes = 0;
    bool bare = from == to && m->last[partition] == l->items[from].base;
    for (size_t i = from; i <= to && !bare; i++)
        bytes += l->items[i].bytes;
    uint8_t *body = malloc(bytes + 1), *frame = malloc(bytes + 128), rows[WIRE_GROUP_DELIVERED];
    uint32_t at = 0;
    for (size_t i = from; i <= to && !bare; i++) {
        memcpy(body + at, l->items[i].at, l->items[i].bytes);
        at += l->items[i].bytes;
    }
    if (bytes && fake_take(&f->script.spoil))
        body[bytes - 1] ^= 1;
    struct writer r = writer_of(rows, sizeof(rows));
    wire_put_group_delivered(&r, &(struct wire_group_delivered){ (uint64_t)first, count,
                                                                 event_at(f, partition, first)->attempts });
    struct writer w = writer_of(frame, bytes + 128);
    uint8_t *start = wire_frame_begin(&w);
    struct wire_group_deliver deliver = { .assignment = assignment_of(f, partition),
                                          .epoch = gp->epoch,
                                          .end_offset = (uint64_t)l->end,
                                          .count = 1,
                                          .ranges = { rows, sizeof(rows) },
                                          .batches = { body, bytes } };
    wire_put_group_deliver(&w, &deliver);
    conn_answer(f, m->conn, frame, wire_frame_end(&w, start, WIRE_OP_GROUP_DELIVER, WIRE_PUSH, m->handle));
    free(body);
    free(frame);
    m->last[partition] = l->items[to].base;
    f->figures[FAKE_BARE] += bare;
    f->figures[FAKE_DELIVERED] += count;
    for (uint32_t i = 0; i < count; i++) {
        struct event *e = event_at(f, partition, first + i);
        e->state = EVENT_OUT;
        e->member = member;
        e->epoch = gp->epoch;
    }
    m->out += count;
    return true;
}

bool group_serve(struct fake_broker *f, struct conn *c)
{
    bool more = false;
    scripted(f);
    rebalance(f);
    for (uint8_t i = 0; i < MEMBERS_MAX && !atomic_load(&f->script.mute); i++) {
        struct fake_member *m = &f->group.members[i];
        for (uint32_t p = 0; m->live && m->conn == c && !m->draining && p < f->setup.partitions; p++)
            more |= deliver_to(f, m, i, p);
    }
    return more;
}

/* ---- administration ---- */

static void put_list(struct writer *w)
{
    write_u8(w, 0);
    write_u32(w, 2);
    wire_put_group_row(
        w, &(struct wire_group_row){ bytes_of("a"), WIRE_GROUP_ORDERED, WIRE_GROUP_STABLE, 2, 3, 40, 1500 });
    wire_put_group_row(
        w, &(struct wire_group_row){ bytes_of("b"), WIRE_GROUP_SHARED, WIRE_GROUP_EMPTY, 0, 1, 0, -1 });
}

static void put_describe(struct writer *w)
{
    uint8_t done[2 * WIRE_GROUP_DONE];
    struct writer d = writer_of(done, sizeof(done));
    wire_put_group_done(&d, &(struct wire_group_done){ 12, 14 });
    wire_put_group_done(&d, &(struct wire_group_done){ 20, 30 });
    wire_put_group_described(w, &(struct wire_group_described){ bytes_of("a"), WIRE_GROUP_SHARED,
                                                                WIRE_GROUP_BREAKER_OPEN, 7, WIRE_BREAKER_OPEN,
                                                                bytes_of("most events fail with Timeout") });
    write_u16(w, 1);
    write_str(w, bytes_of("retry.max"));
    write_str(w, bytes_of("3"));
    write_u8(w, 1);
    write_u16(w, 2);
    write_str(w, bytes_of("t"));
    write_str(w, bytes_of("u.*"));
    write_u32(w, 1);
    wire_put_group_member_row(w, &(struct wire_group_member_row){ bytes_of("m-1"), bytes_of(""),
                                                                  bytes_of("here/1"), 5, 1,
                                                                  WIRE_MEMBER_SILENT });
    write_u32(w, 1);
    wire_put_group_partition_row(w, &(struct wire_group_partition_row){ bytes_of("t"),
                                                                        2,
                                                                        bytes_of(""),
                                                                        10,
                                                                        40,
                                                                        0,
                                                                        100,
                                                                        78,
                                                                        2500,
                                                                        5,
                                                                        1,
                                                                        WIRE_PAUSE_WINDOW_FULL,
                                                                        2,
                                                                        { done, sizeof(done) } });
}

static void on_redrive(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_group_redrive p;
    struct wire_produced rows[FAKE_PARTITIONS_MAX];
    uint16_t codes[64];
    if (!wire_get_group_redrive(body, &p) || p.count > 64) {
        answer_error(f, c, h, ERR_REQUEST_INVALID, "not a GROUP_REDRIVE");
        return;
    }
    int code = ERR_OK;
    for (uint16_t i = 0; i < p.count; i++) {
        struct wire_group_redrive_row row;
        wire_get_group_redrive_row(&p.rows, &row);
        codes[i] = row.dead_offset >= 1000 ? ERR_EVENT_NOT_LEASED : ERR_OK;
        code = code ? code : codes[i];
    }
    if (p.publishes && code == ERR_OK)
        code = produce_all(f, p.produce, rows);
    ANSWER(f, c, h, {
        write_u16(&w, p.count);
        for (uint16_t i = 0; i < p.count; i++)
            write_u16(&w, codes[i]);
        if (p.publishes && code == ERR_OK)
            wire_put_produced(&w, rows, p.produce.count);
    });
}

static void on_seek(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    struct wire_group_seek seek = { 0 };
    wire_get_group_seek(body, &seek);
    struct wire_group_moved row = { 1, 10, (uint64_t)(10 + seek.position.value) };
    ANSWER(f, c, h, (write_u16(&w, 1), wire_put_group_moved(&w, &row)));
}

bool group_frame(struct fake_broker *f, struct conn *c, const struct wire_header *h, struct reader body)
{
    switch (h->op) {
    case WIRE_OP_GROUP_JOIN:
        on_join(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_LEAVE:
        on_leave(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_ACK:
    case WIRE_OP_GROUP_WORKING:
    case WIRE_OP_GROUP_RELEASE:
        on_ranges(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_NACK:
        on_nack(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_PRODUCE:
        on_group_produce(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_LIST:
        ANSWER(f, c, h, put_list(&w));
        return true;
    case WIRE_OP_GROUP_DESCRIBE:
        ANSWER(f, c, h, put_describe(&w));
        return true;
    case WIRE_OP_GROUP_SEEK:
        on_seek(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_REDRIVE:
        on_redrive(f, c, h, body);
        return true;
    case WIRE_OP_GROUP_SET:
    case WIRE_OP_GROUP_DELETE:
    case WIRE_OP_GROUP_BREAKER:
    case WIRE_OP_GROUP_FORGET:
    case WIRE_OP_GROUP_COMMIT:
        ANSWER(f, c, h, (void)0);
        return true;
    default:
        return false;
    }
}

/* ---- for the test ---- */

void group_free(struct fake_broker *f)
{
    for (int i = 0; i < FAKE_PARTITIONS_MAX; i++)
        free(f->group.gps[i].events);
}

int64_t fake_group_done(struct fake_broker *f, uint32_t partition)
{
    int64_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (int64_t o = 0; o < f->logs[partition].end; o++)
        n += event_at(f, partition, o)->state == EVENT_DONE;
    pthread_mutex_unlock(&f->lock);
    return n;
}

uint32_t fake_group_dead(struct fake_broker *f, uint32_t i, char *message)
{
    pthread_mutex_lock(&f->lock);
    if (message && i < f->group.dead_count)
        memcpy(message, f->group.dead[i], sizeof(f->group.dead[i]));
    uint32_t n = f->group.dead_count;
    pthread_mutex_unlock(&f->lock);
    return n;
}
