# SPDX-License-Identifier: Apache-2.0
"""Consumer groups while the broker is killed under load, members die, and events fail.

Producers publish, members settle, refuse, and drop their connections; the broker gets SIGKILL at random
moments. Then everything is drained, and the books must balance:

  every published event was delivered, and is settled: its acknowledgement was sent, or it is a dead letter;
  what was acknowledged durably is never delivered again, and never in the dead-letter topic;
  no event is in the dead-letter topic twice;
  an ordered group's deliveries ascend within an epoch.

RUNNEL_KILLS: twenty times the rounds (4 by default). RUNNEL_SEED: of everything random; printed at the
beginning.
"""

import os
import pathlib
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker  # noqa: E402
from runnel_groups import ORDERED, SHARED, Member, group_describe, group_set  # noqa: E402
from runnel_wire import Client, Closed, Record, RunnelError  # noqa: E402

KILLS = max(4, int(os.environ.get("RUNNEL_KILLS", "0")) // 20)
SEED = int(os.environ.get("RUNNEL_SEED", str(time.time_ns() % 1000000)))
for name in ("RUNNEL_KILLS", "RUNNEL_SEED"):
    os.environ.pop(name, None)  # the broker takes RUNNEL_* for its settings
PARTITIONS, MEMBERS = 3, 3
POISON = 97  # of so many events one is always refused
BROKEN = (Closed, OSError, TimeoutError)


class Books:
    """What happened, by all threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.published, self.delivered = set(), set()
        self.sent, self.confirmed = set(), set()  # acknowledgements
        self.wrong = []
        self.late = False  # the network may hold a delivery back until its event is done elsewhere
        self.stop = False

    def complain(self, text):
        with self.lock:
            self.wrong.append(text)


def poison(offset):
    return offset % POISON == 5


class Producer(threading.Thread):
    def __init__(self, url, books, rng, pause):
        super().__init__(daemon=True)
        self.url, self.books, self.rng, self.pause = url, books, rng, pause

    def run(self):
        while not self.books.stop:
            try:
                c = Client(self.url, timeout=5)
                t = c.open_topic("t")
                while not self.books.stop:
                    p, n = self.rng.randrange(PARTITIONS), self.rng.randint(1, 30)
                    first = c.produce(t, p, [Record(value=b"x" * 50) for _ in range(n)])[0].offset
                    with self.books.lock:
                        self.books.published.update((p, first + i) for i in range(n))
                    time.sleep(self.pause)
            except BROKEN:
                time.sleep(0.01)  # the broker is down: a pause before the next try
            except RunnelError:
                time.sleep(0.01)


class Consumer(threading.Thread):
    def __init__(self, url, group, books, rng):
        super().__init__(daemon=True)
        self.url, self.group, self.books, self.rng = url, group, books, rng
        self.last = {}  # (assignment, epoch) -> offset: ordered groups ascend

    def run(self):
        while not self.books.stop:
            c = None
            try:
                c = Client(self.url, timeout=5)
                self.last = {}
                self.consume(c, Member(c, self.group, ["t"]))
            except BROKEN:
                time.sleep(0.01)
            except RunnelError:
                pass
            finally:
                if c:
                    c.close()

    def consume(self, c, m):
        handled = []
        while not self.books.stop:
            e = m.event(0.05)
            if e is None:
                self.settle(m, handled)
                handled = []
                continue
            self.note(m, e)
            what = self.rng.random()
            if what < 0.01:
                return  # dies with what it has
            if what < 0.05 or poison(e.offset):
                self.settle(m, handled)
                handled = []
                try:
                    m.nack(e, "Chance")
                except RunnelError:
                    pass
                continue
            handled.append(e)
            if len(handled) >= 10:
                self.settle(m, handled)
                handled = []

    def note(self, m, e):
        with self.books.lock:
            self.books.delivered.add((e.partition, e.offset))
            if (e.partition, e.offset) in self.books.confirmed and not self.books.late:
                self.books.wrong.append("delivered after it was acknowledged: %s" % (e[:3],))
        if m.mode == ORDERED:
            last = self.last.get((e.assignment, e.epoch), -1)
            if e.offset <= last:
                self.books.complain("out of order in one epoch: %d after %d" % (e.offset, last))
            self.last[e.assignment, e.epoch] = e.offset

    def settle(self, m, events):
        for e in events:
            with self.books.lock:
                self.books.sent.add((e.partition, e.offset))
            try:
                m.ack(e, reply=True)
            except RunnelError:
                continue  # withdrawn meanwhile: it comes again
            with self.books.lock:
                if (e.partition, e.offset) in self.books.confirmed:
                    self.books.wrong.append("acknowledged twice: %s" % (e[:3],))
                self.books.confirmed.add((e.partition, e.offset))


class GroupKills(unittest.TestCase):
    settings = dict(retry_backoff="5ms,10ms,20ms", session_timeout="30ms", breaker="off", ack_wait="2s")

    late = False
    pause = 0.002  # between batches

    def url_of(self, broker, number):
        """How consumer `number` reaches the broker."""
        return broker.url

    def disturb(self, broker, rng):
        time.sleep(rng.uniform(0.2, 0.8))  # load, for a random while: that is the test, not a wait for something
        broker.restart(kill=True)

    def run_mode(self, mode):
        rng = random.Random(SEED + mode)
        broker = Broker()
        self.addCleanup(broker.close)
        c = Client(broker.url)
        self.addCleanup(c.close)
        c.topic_create("t", PARTITIONS)
        group_set(c, "g", create=mode, **self.settings)
        books = Books()
        books.late = self.late
        threads = [Producer(broker.url, books, random.Random(rng.random()), self.pause)]
        threads += [Consumer(self.url_of(broker, i), "g", books, random.Random(rng.random())) for i in range(MEMBERS)]
        for t in threads:
            t.start()
        for _ in range(KILLS):
            self.disturb(broker, rng)
        time.sleep(0.3)
        books.stop = True
        for t in threads:
            t.join(30)
        dead = self.drain(broker.url, books)
        everything = {(p, o) for p, end in self.ends.items() for o in range(end)}
        self.assertEqual(books.wrong[:5], [])
        self.assertTrue(books.published <= everything)
        self.assertEqual(sorted(everything - books.delivered)[:5], [])
        self.assertEqual(sorted(everything - books.sent - set(dead))[:5], [])
        self.assertEqual(sorted(books.confirmed & set(dead))[:5], [])
        self.assertEqual(len(dead), len(set(dead)))
        self.assertEqual(sorted(e for e in everything if poison(e[1]) and e not in set(dead))[:5], [])
        self.assertGreater(len(books.confirmed), 20 * KILLS)
        print("%s: %d events, %d acknowledged, %d dead letters, %d kills" % (
            "ordered" if mode == ORDERED else "shared", len(everything), len(books.confirmed), len(dead), KILLS))

    def drain(self, url, books):
        """Settles what is left; the dead letters' origins."""
        c = Client(url)
        self.addCleanup(c.close)
        m = Member(c, "g", ["t"])
        consumer = Consumer(url, "g", books, random.Random(0))
        deadline = time.monotonic() + 60
        while True:
            e = m.event(0.1)
            if e is not None:
                consumer.note(m, e)
                if poison(e.offset):
                    try:
                        m.nack(e, "Poison")
                    except RunnelError:
                        pass  # its ack.wait ran out: it comes again
                else:
                    consumer.settle(m, [e])
            elif sum(p.lag for p in group_describe(c, "g").partitions) == 0:
                break
            self.assertLess(time.monotonic(), deadline, group_describe(c, "g").partitions)
        self.ends = {p.partition: p.end for p in group_describe(c, "g").partitions}
        if not c.topic_list("t.dlq"):
            return []
        t = c.open_topic("t.dlq")
        dead = []
        for p in range(t.partitions):
            offset = 0
            while True:
                got = c.fetch(t, p, (b"\0" + offset.to_bytes(8, "little")))
                if not got.records:
                    break
                for r in got.records:
                    h = dict(r.headers)
                    dead.append((int(h[b"dlq.original_partition"]), int(h[b"dlq.original_offset"])))
                offset = got.records[-1].offset + 1
        return dead

    def test_ordered(self):
        self.run_mode(ORDERED)

    def test_shared(self):
        self.run_mode(SHARED)


if __name__ == "__main__":
    print("seed", SEED)
    unittest.main()
