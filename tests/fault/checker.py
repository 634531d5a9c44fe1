#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a history against what the broker promises: shared by all tests that break something.

A test notes what it sent and what was acknowledged, breaks something (kill, power cut, disk error), starts the broker
again, reads everything back, and asks for the violations:

    history = History()
    history.sent("orders", 0, b"event 1", producer="a")     # before sending; the order of calls is the producer's order
    history.acked("orders", 0, 17, b"event 1")              # when the acknowledgement arrived
    ...
    violations = history.check(first_reading, second_reading)

A reading is a list of Record, in the order in which the broker gave them. `second_reading` is read after one more
restart. The same history is used across many crashes: what was read once must be there, unchanged, ever after.

Rules (the names in the violations):
    lost         an acknowledged event is not there, or was there at an earlier reading (delivered) and is gone
    moved        an acknowledged event is there, but not at the offset that its acknowledgement named
    duplicate    an event is there more often than it was sent (a retry by an idempotent producer is not a send)
    two-contents one offset named different contents, now or at different times
    never-sent   something is there that nobody sent to that topic, or whose bytes are not those that were sent
    order        the broker gave offsets that do not go up, or a producer's events out of their order
    gap          offsets are missing where no rule removed events
    torn         of a group of events that were to appear together, or not at all, only some did
    disagree     two recoveries of the same disk gave different events

Payloads must tell events apart: a test that sends equal bytes twice has to expect them twice (sent() counts).

As a program: checker.py HISTORY.jsonl READING.jsonl [READING.jsonl]; see main().
"""
import collections
import hashlib
import json
import sys
from typing import NamedTuple, Optional

VIOLATIONS_SHOWN = 20  # of one rule: the first ones tell the story


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    payload: bytes


class Violation(NamedTuple):
    rule: str
    text: str

    def __str__(self):
        return f"{self.rule}: {self.text}"


class Sent(NamedTuple):
    topic: str
    partition: Optional[int]  # None: the broker or the client chose
    payload: bytes            # digest
    producer: Optional[str]
    number: int               # in the order of all sends
    group: Optional[str]


def digest(payload):
    """Histories have millions of events; 16 bytes of each are enough to tell them apart."""
    return hashlib.blake2b(payload, digest_size=16).digest()


def show(payload):
    text = repr(payload[:40])
    return text + ("..." if len(payload) > 40 else "")


class History:
    def __init__(self):
        self.sends = []                                     # Sent
        self.by_content = collections.defaultdict(list)     # (topic, digest) -> [Sent]
        self.acks = {}                                      # (topic, partition, offset) -> digest
        self.seen = {}                                      # the same, of all readings
        self.starts = {}                                    # (topic, partition) -> first offset that must be there
        self.names = {}                                     # digest -> beginning of the payload, for messages
        self.conflicts = []                                 # found while noting

    # ---- what happened ----

    def sent(self, topic, partition, payload, producer=None, group=None):
        d = digest(payload)
        self.names.setdefault(d, show(payload))
        one = Sent(topic, partition, d, producer, len(self.sends), group)
        self.sends.append(one)
        self.by_content[topic, d].append(one)

    def acked(self, topic, partition, offset, payload):
        d = digest(payload)
        self.names.setdefault(d, show(payload))
        if (topic, d) not in self.by_content:
            raise ValueError(f"acked without sent: {topic} {show(payload)}")
        before = self.acks.setdefault((topic, partition, offset), d)
        if before != d:
            self.conflicts.append(Violation(
                "two-contents", f"{topic}/{partition} offset {offset} was acknowledged for {self.names[before]} "
                                f"and for {self.names[d]}"))

    def trimmed(self, topic, partition, start):
        """Retention or deletion took what is below `start`."""
        self.starts[topic, partition] = max(start, self.starts.get((topic, partition), 0))

    # ---- the rules ----

    def check(self, reading, again=None, gaps=False, duplicates=False):
        """The violations in a reading of everything. gaps: rules removed events, so offsets may be missing.
        duplicates: the producers were not idempotent and retried."""
        found = list(self.conflicts)
        now = {}
        found += self._check_offsets(reading, now, gaps)
        found += self._check_acks(now, reading)
        found += self._check_seen(now)
        found += self._check_sent(reading, duplicates)
        found += self._check_order(reading)
        found += self._check_groups(reading)
        if again is not None:
            found += self._check_agreement(reading, again)
        for place, d in now.items():
            self.seen.setdefault(place, d)
        return found

    def _needed(self, place):
        topic, partition, offset = place
        return offset >= self.starts.get((topic, partition), 0)

    def _check_offsets(self, reading, now, gaps):
        last = {}
        for r in reading:
            place, d = (r.topic, r.partition, r.offset), digest(r.payload)
            before = now.setdefault(place, d)
            if before != d:
                yield Violation("two-contents", f"{r.topic}/{r.partition} offset {r.offset} was given twice, "
                                                f"the second time as {show(r.payload)}")
            previous = last.get((r.topic, r.partition))
            last[r.topic, r.partition] = r.offset
            if previous is None:
                continue
            if r.offset <= previous:
                yield Violation("order", f"{r.topic}/{r.partition} gave offset {r.offset} after {previous}")
            elif r.offset > previous + 1 and not gaps:
                yield Violation("gap", f"{r.topic}/{r.partition} gave offset {r.offset} after {previous}")

    def _check_acks(self, now, reading):
        where = collections.defaultdict(list)
        for r in reading:
            where[r.topic, digest(r.payload)].append((r.partition, r.offset))
        for place, d in self.acks.items():
            if not self._needed(place) or now.get(place) == d:
                continue
            topic, partition, offset = place
            elsewhere = where.get((topic, d))
            name = self.names.get(d, "?")
            if elsewhere:
                yield Violation("moved", f"{name} was acknowledged at {topic}/{partition} offset {offset}, "
                                         f"and is at {elsewhere[0]}")
            else:
                yield Violation("lost", f"{name}, acknowledged at {topic}/{partition} offset {offset}")
            if place in now:
                yield Violation("two-contents", f"{topic}/{partition} offset {offset} was acknowledged for {name}, "
                                                f"and holds something else")

    def _check_seen(self, now):
        for place, d in self.seen.items():
            if not self._needed(place) or now.get(place) == d:
                continue
            topic, partition, offset = place
            if place in now:
                yield Violation("two-contents", f"{topic}/{partition} offset {offset} held other bytes when it was "
                                                f"read before")
            else:
                yield Violation("lost", f"{topic}/{partition} offset {offset} was read before, and is gone")

    def _check_sent(self, reading, duplicates):
        count = collections.Counter()
        for r in reading:
            key = (r.topic, digest(r.payload))
            sends = self.by_content.get(key)
            if not sends or not any(s.partition in (None, r.partition) for s in sends):
                yield Violation("never-sent", f"{r.topic}/{r.partition} offset {r.offset}: {show(r.payload)}")
                continue
            count[key] += 1
            if count[key] > len(sends) and not duplicates:
                yield Violation("duplicate", f"{r.topic}/{r.partition} offset {r.offset}: {show(r.payload)}")

    def _check_order(self, reading):
        """A producer's events in a partition come in the order in which it sent them. Of repeated contents, and of
        the repeats that retries make, the first one counts."""
        last, met = {}, set()
        for r in reading:
            key = (r.topic, digest(r.payload))
            sends = self.by_content.get(key, ())
            if len(sends) != 1 or key in met:
                continue
            met.add(key)
            one = sends[0]
            if one.producer is None:
                continue
            lane = (r.topic, r.partition, one.producer)
            if one.number < last.get(lane, -1):
                yield Violation("order", f"{r.topic}/{r.partition} offset {r.offset}: {show(r.payload)} of producer "
                                         f"{one.producer} comes after an event that it sent later")
            last[lane] = max(one.number, last.get(lane, -1))

    def _check_groups(self, reading):
        there = {(r.topic, digest(r.payload)) for r in reading}
        groups = collections.defaultdict(lambda: [0, 0])
        for one in self.sends:
            if one.group is not None:
                groups[one.group][(one.topic, one.payload) in there] += 1
        for group, (missing, present) in groups.items():
            if missing and present:
                yield Violation("torn", f"group {group}: {present} of {missing + present} events are there")

    def _check_agreement(self, reading, again):
        first, second = list(reading), list(again)
        if sorted(first) == sorted(second):
            return
        gone, new = set(first) - set(second), set(second) - set(first)
        for kind, records in (("gone", gone), ("new", new)):
            for r in sorted(records)[:VIOLATIONS_SHOWN]:
                yield Violation("disagree", f"{r.topic}/{r.partition} offset {r.offset} {show(r.payload)} is {kind} "
                                            f"after the second recovery")
        if not gone and not new:
            yield Violation("disagree", f"{len(first)} records, then {len(second)}")


def summary(violations):
    """For people: the first ones of each rule, and how many there were."""
    by_rule = collections.defaultdict(list)
    for v in violations:
        by_rule[v.rule].append(v)
    lines = []
    for rule, some in by_rule.items():
        lines += [str(v) for v in some[:VIOLATIONS_SHOWN]]
        if len(some) > VIOLATIONS_SHOWN:
            lines.append(f"{rule}: ... {len(some)} in all")
    return "\n".join(lines)


def load(path):
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip():
                yield json.loads(line)


def main(argv):
    """History lines: {"kind": "sent"|"acked"|"trimmed", "topic", "partition", "offset", "payload", "producer",
    "group"}; reading lines: {"topic", "partition", "offset", "payload"}. Exit code 1 with violations on stdout."""
    if len(argv) not in (3, 4):
        print(__doc__.rsplit("\n", 2)[0], file=sys.stderr)
        return 2
    history = History()
    for e in load(argv[1]):
        payload = e.get("payload", "").encode()
        if e["kind"] == "sent":
            history.sent(e["topic"], e.get("partition"), payload, e.get("producer"), e.get("group"))
        elif e["kind"] == "acked":
            history.acked(e["topic"], e["partition"], e["offset"], payload)
        else:
            history.trimmed(e["topic"], e["partition"], e["offset"])
    readings = [[Record(e["topic"], e["partition"], e["offset"], e["payload"].encode()) for e in load(path)]
                for path in argv[2:]]
    violations = history.check(*readings)
    if violations:
        print(summary(violations))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
