# SPDX-License-Identifier: Apache-2.0
"""A member of a consumer group in plain Python, written from docs/protocol.md (section 7), on runnel_wire.py.

    c = Client(url)
    m = Member(c, "billing", ["orders"], mode=ORDERED)
    e = m.event()                       # -> Event(topic, partition, offset, record, attempts, ...)
    m.ack(e)                            # no reply; m.commit() waits until all so far are durable
    m.nack(e, "Timeout", "no answer")
"""

import collections
import time

from runnel_wire import Reader, RunnelError, decode_batches, i64, string, u8, u16, u32, u64, produce_body

JOIN, LEAVE, ASSIGN, DELIVER, ACK, NACK, WORKING, RELEASE, PRODUCE, END = range(60, 70)
LIST, DESCRIBE, SET, SEEK, DELETE, BREAKER, FORGET, REDRIVE, COMMIT = range(70, 79)
ANY, ORDERED, SHARED = range(3)
DEFAULT, START, FROM_END, RESET_ERROR = range(4)
ASSIGNED, REVOKED, REWOUND = 1, 2, 3
STALE_GENERATION, EVENT_NOT_LEASED, NOT_YOUR_EVENT = 83, 84, 85

Event = collections.namedtuple("Event", "topic partition offset record attempts assignment epoch")


def i32(v):
    return (v & 0xFFFFFFFF).to_bytes(4, "little")


def event_range(e):
    return u32(e.assignment) + u32(e.epoch) + u64(e.offset) + u32(1)


class Member:
    """Joins at once. Events that were withdrawn are dropped from what event() gives."""

    def __init__(self, client, group, topics, mode=ANY, reset=START, instance="", member="", max_in_flight=0,
                 held=()):
        self.c, self.group = client, group
        r = client.request(JOIN, string(group) + u8(mode) + string(member) + string(instance) + string("python") +
                           u32(max_in_flight) + u32(0) + u8(reset) + u16(len(topics)) +
                           b"".join(string(t) for t in topics) + u16(len(held)) +
                           b"".join(event_range(e) for e in held))
        self.handle, self.id = r.u32(), r.string()
        self.generation, self.mode, self.session_ms, self.ack_wait_ms, self.max_in_flight = r.fields("IBIII")
        r.done()
        self.assigned = {}  # assignment -> (topic, partition)
        self.last_batch = {}  # assignment -> records of the last batch delivered
        self.queue = collections.deque()
        self.told = 0  # GROUP_ASSIGN frames
        self.log = []  # (kind, topic, partition, offset)
        self.ended = None

    # ---- what is pushed ----

    def _assign(self, r):
        self.generation = r.u32()
        for _ in range(r.u16()):
            kind, assignment, epoch, partition, offset = r.fields("BIIIQ")
            topic = r.string()
            if kind == ASSIGNED:
                self.assigned[assignment] = (topic, partition)
            name = self.assigned.get(assignment, ("?", -1))
            self.log.append((kind,) + name + (offset,))
            if kind == REVOKED:
                self.assigned.pop(assignment, None)
            elif kind == REWOUND:
                self.queue = collections.deque(
                    e for e in self.queue if e.assignment != assignment or e.offset < offset)
        r.done()
        self.told += 1

    def _deliver(self, r):
        assignment, epoch, end = r.fields("IIQ")
        count, zero = r.fields("HH")
        ranges = [r.fields("QIHH") for _ in range(count)]
        raw = r.rest()
        records = {}
        if raw:
            batches = list(decode_batches(raw))
            for b in batches:
                records.update((x.offset, x) for x in b.records)
            self.last_batch[assignment] = {x.offset: x for x in batches[-1].records}
        else:
            records = self.last_batch[assignment]
        topic, partition = self.assigned[assignment]
        for first, n, attempts, _ in ranges:
            for offset in range(first, first + n):
                self.queue.append(Event(topic, partition, offset, records[offset], attempts, assignment, epoch))

    def pump(self, timeout=0.0):
        """Takes one frame, if one comes; True then."""
        if not self.c.pushes:
            try:
                self.c._take(timeout)
            except TimeoutError:
                return False
        mine = [f for f in self.c.pushes if f.id == self.handle]
        self.c.pushes = collections.deque(f for f in self.c.pushes if f.id != self.handle)
        for f in mine:
            r = Reader(f.body)
            if f.op == ASSIGN:
                self._assign(r)
            elif f.op == DELIVER:
                self._deliver(r)
            elif f.op == END:
                self.ended = RunnelError(r.u16(), r.string())
            else:
                raise ValueError("pushed op %d" % f.op)
        return True

    def event(self, timeout=10.0):
        """The next event; None when none came in time."""
        deadline = time.monotonic() + timeout
        while self.c.pushes:
            self.pump()  # what came with a reply may withdraw what is queued
        while not self.queue:
            if self.ended:
                raise self.ended
            left = deadline - time.monotonic()
            if left <= 0 or not self.pump(left):
                return None
        return self.queue.popleft()

    def wait_assigned(self, count, timeout=10.0):
        deadline = time.monotonic() + timeout
        while len(self.assigned) != count or not self.told:
            assert self.pump(max(0.0, deadline - time.monotonic())), "assigned %d, want %d" % (
                len(self.assigned), count)

    # ---- what became of events ----

    def ack(self, *events, reply=False):
        body = u32(self.handle) + u8(1 if reply else 0) + u8(0) + u16(len(events)) + b"".join(
            event_range(e) for e in events)
        request = self.c.send(ACK, body)
        if reply:
            self.c.wait(request).done()
        return request

    def commit(self):
        """Waits until everything acknowledged so far is durable."""
        self.ack(reply=True)

    def send_nack(self, e, kind="Failed", message="it failed", delay_ms=-1, term=False, key_hash=0, stack=""):
        """The request's id, for Client.wait()."""
        return self.c.send(NACK, u32(self.handle) + u32(e.assignment) + u32(e.epoch) + u64(e.offset) +
                           u8(1 if term else 0) + i64(delay_ms) + u32(key_hash) + string(kind) + string(message) +
                           string(stack))

    def nack(self, e, *args, **kwargs):
        self.c.wait(self.send_nack(e, *args, **kwargs)).done()

    def working(self, *events):
        self.c.request(WORKING, u32(self.handle) + u16(len(events)) + b"".join(map(event_range, events))).done()

    def release(self, *events):
        self.c.request(RELEASE, u32(self.handle) + u16(len(events)) + b"".join(map(event_range, events))).done()

    def produce(self, events, batches):
        """Acknowledges and publishes, all or nothing; the reply's body."""
        return self.c.request(PRODUCE, u32(self.handle) + u16(len(events)) + u16(0) +
                              b"".join(map(event_range, events)) + produce_body(2, batches))

    def leave(self, drain=False):
        self.c.request(LEAVE, u32(self.handle) + u8(1 if drain else 0)).done()


# ---- administration ----

def group_set(c, group, create=0, **settings):
    """`settings`: names with _ for . """
    pairs = {k.replace("_", ".") if k not in ("max_in_flight",) else k: v for k, v in settings.items()}
    c.request(SET, string(group) + u8(create) + u16(len(pairs)) +
              b"".join(string(k) + u8(1) + string(str(v)) for k, v in pairs.items())).done()


GroupRow = collections.namedtuple("GroupRow", "group mode state members partitions lag lag_ms")
MemberRow = collections.namedtuple("MemberRow", "id instance host in_flight partitions state")
PartitionRow = collections.namedtuple("PartitionRow", "topic partition owner position next start end lag lag_ms "
                                      "in_flight items pause done")
Described = collections.namedtuple("Described", "group mode state generation breaker why settings topics members "
                                   "partitions")


def group_list(c, pattern=""):
    r = c.request(LIST, string(pattern) + string("") + u32(0))
    assert r.u8() == 0
    rows = [GroupRow(r.string(), *r.fields("BBIIQq")) for _ in range(r.u32())]
    r.done()
    return rows


def group_describe(c, group):
    r = c.request(DESCRIBE, string(group))
    name = r.string()
    mode, state, generation, breaker = r.fields("BBIB")
    why = r.string()
    settings = {}
    for _ in range(r.u16()):
        key = r.string()
        settings[key] = r.string()
        r.u8()
    topics = [r.string() for _ in range(r.u16())]
    members = [MemberRow(r.string(), r.string(), r.string(), *r.fields("IIB")) for _ in range(r.u32())]
    partitions = []
    for _ in range(r.u32()):
        topic, partition, owner = r.string(), r.u32(), r.string()
        fields = r.fields("QQQQQqIIB")
        done = [r.fields("QQ") for _ in range(r.u16())]
        partitions.append(PartitionRow(topic, partition, owner, *fields, done))
    r.done()
    return Described(name, mode, state, generation, breaker, why, settings, topics, members, partitions)


def group_seek(c, group, topic, position, partition=-1, dry=False):
    r = c.request(SEEK, string(group) + string(topic) + u8(1 if dry else 0) + i32(partition) + position)
    rows = [r.fields("IQQ") for _ in range(r.u16())]
    r.done()
    return rows


def group_delete(c, group):
    c.request(DELETE, string(group)).done()


def group_breaker(c, group, order):
    c.request(BREAKER, string(group) + u8(order)).done()


def group_commit(c, group, rows):
    """`rows`: (topic, partition, position) each."""
    c.request(COMMIT, string(group) + u16(len(rows)) +
              b"".join(string(t) + u32(p) + u64(o) for t, p, o in rows)).done()


def redrive(c, dead_topic, rows, batches=None):
    """`rows`: (partition, offset, group, topic, original partition, original offset) each; a code each."""
    body = string(dead_topic) + u16(len(rows)) + b"".join(
        u32(p) + u64(o) + string(g) + string(t) + u32(op) + u64(oo) for p, o, g, t, op, oo in rows)
    r = c.request(REDRIVE, body + (produce_body(2, batches) if batches else b""))
    return [r.u16() for _ in range(r.u16())]
