# SPDX-License-Identifier: Apache-2.0
"""Consuming and producing as one, with the client library: the example `transform`, two of it, while the broker
and the transformers are killed. Each event becomes exactly one: none is lost, none comes twice.

RUNNEL_KILLS: forty times the rounds (3 by default). RUNNEL_SEED: of everything random.
"""

import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker, binary  # noqa: E402
from runnel_groups import ORDERED, SHARED, group_describe, group_set  # noqa: E402
from runnel_wire import Client, Record, at_offset, from_start  # noqa: E402

ROUNDS = max(3, int(os.environ.get("RUNNEL_KILLS", "0")) // 40)
SEED = int(os.environ.get("RUNNEL_SEED", str(time.time_ns() % 1000000)))
for name in ("RUNNEL_KILLS", "RUNNEL_SEED"):
    os.environ.pop(name, None)  # the broker takes RUNNEL_* for its settings
PARTITIONS, WAIT = 3, 60.0


class Transform(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        self.running = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for p in self.running:
            p.kill()
            p.wait()

    def begin(self):
        p = subprocess.Popen([binary("example_transform"), "g", "in", "out"], stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=dict(self.broker.env, RUNNEL_URL=self.broker.url))
        self.running.append(p)
        return p

    def client(self):
        c = Client(self.broker.url)
        self.addCleanup(c.close)
        return c

    def all_of(self, c, topic):
        t, found = c.open_topic(topic), []
        for p in range(t.partitions):
            position = from_start()
            while records := c.fetch(t, p, position).records:
                found += [(p, r.value) for r in records]
                position = at_offset(records[-1].offset + 1)
        return found

    def run_mode(self, mode):
        rng = random.Random(SEED + mode)
        c = self.client()
        for topic in ("in", "out"):
            c.topic_create(topic, PARTITIONS)
        group_set(c, "g", create=mode, session_timeout="50ms", retry_max=1000, retry_backoff="1ms", breaker="off",
                  offset_reset="start")
        members = [self.begin(), self.begin()]
        published = []
        for number in range(ROUNDS):
            c = self.client()
            t = c.open_topic("in")
            for _ in range(20):
                p = rng.randrange(PARTITIONS)
                values = [b"%d-%d" % (len(published) + i, p) for i in range(rng.randint(1, 60))]
                c.produce(t, p, [Record(value=v) for v in values])
                published += [(p, b"seen " + v) for v in values]
            time.sleep(rng.uniform(0, 0.05))  # somewhere in the middle of it
            if number % 2 == 0:
                self.broker.restart(kill=True)
            else:
                members[0].kill()
                members = [members[1], self.begin()]
        c = self.client()
        deadline = time.monotonic() + WAIT
        while sum(p.lag for p in group_describe(c, "g").partitions) or not group_describe(c, "g").partitions:
            self.assertLess(time.monotonic(), deadline, group_describe(c, "g").partitions)
            time.sleep(0.02)
        found = self.all_of(c, "out")
        self.assertEqual(sorted(found), sorted(published))
        if mode == ORDERED:
            for p in range(PARTITIONS):
                self.assertEqual([v for q, v in found if q == p], [v for q, v in published if q == p])
        for m in members:
            m.terminate()
            self.assertEqual(m.wait(WAIT), 0)

    def test_ordered(self):
        self.run_mode(ORDERED)

    def test_shared(self):
        self.run_mode(SHARED)

    def test_all_or_nothing(self):
        """What cannot be published is not acknowledged, and comes again when it can."""
        c = self.client()
        c.topic_create("in", 1)
        c.topic_create("out", 1, settings={"max.message.bytes": "1024"})
        group_set(c, "g", create=ORDERED, offset_reset="start")
        t = c.open_topic("in")
        c.produce(t, 0, [Record(value=b"%03d" % i + b"x" * 100) for i in range(40)])
        m = subprocess.Popen([binary("example_transform"), "g", "in", "out"], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, env=dict(self.broker.env, RUNNEL_URL=self.broker.url))
        self.running.append(m)
        self.addCleanup(m.stderr.close)
        self.assertIn(b"1024", m.stderr.readline())
        self.assertEqual(group_describe(c, "g").partitions[0].position, 0)
        self.assertEqual(self.all_of(c, "out"), [])
        c.topic_set("out", {"max.message.bytes": "1048576"})
        c.topic_set("in", {"max.message.bytes": "1048576"})
        m.kill()
        m.wait()
        m = self.begin()
        deadline = time.monotonic() + WAIT
        while sum(p.lag for p in group_describe(c, "g").partitions):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertEqual([v[:8] for _, v in self.all_of(c, "out")], [b"seen %03d" % i for i in range(40)])


if __name__ == "__main__":
    print("seed", SEED)
    unittest.main()
