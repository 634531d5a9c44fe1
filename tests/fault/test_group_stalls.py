# SPDX-License-Identifier: Apache-2.0
"""Members that are there and do nothing: stopped (SIGSTOP), or cut off without being told.

Others get what they had once ack.wait ran out; what they say afterwards about events that are not theirs any
more is refused, by name; then they are members like all the others. And under load, with a network that stops
and goes on at random moments, the books balance as in test_group_kills.py.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import test_group_kills as kills  # noqa: E402
from broker import Broker  # noqa: E402
from proxy import Proxy  # noqa: E402
from runnel_groups import (EVENT_NOT_LEASED, NOT_YOUR_EVENT, ORDERED, SHARED, STALE_GENERATION, Member,  # noqa: E402
                           group_describe, group_set)
from runnel_wire import Client, Record, RunnelError  # noqa: E402

WAIT = 60.0
PARTITIONS, EACH = 3, 8
REFUSED = {EVENT_NOT_LEASED, NOT_YOUR_EVENT, STALE_GENERATION}


def late_acks(m, events):
    """What the broker says to each."""
    codes = []
    for e in events:
        try:
            m.ack(e, reply=True)
            codes.append(0)
        except RunnelError as error:
            codes.append(error.code)
    return codes


def take(m, count):
    events = []
    while len(events) < count:
        e = m.event(WAIT)
        assert e is not None, "%d of %d events came" % (len(events), count)
        events.append(e)
    return events


def child(url, count):
    """A member in a process of its own: takes events, says so, and acknowledges them when it is told to go on."""
    m = Member(Client(url, timeout=WAIT), "g", ["t"])
    events = take(m, int(count))
    print(json.dumps([e[:3] for e in events]), flush=True)
    sys.stdin.readline()
    print(json.dumps(late_acks(m, events)), flush=True)
    again = take(m, 1)  # it spoke: it is given something again
    m.ack(*again, reply=True)
    print(json.dumps([again[0].partition, again[0].offset]), flush=True)
    m.leave()


class Stalled(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        self.c = Client(self.broker.url, timeout=WAIT)
        self.addCleanup(self.c.close)

    def begin(self, mode):
        self.c.topic_create("t", PARTITIONS)
        group_set(self.c, "g", create=mode, ack_wait="300ms", retry_backoff="1ms", retry_jitter="0%", breaker="off")
        self.t = self.c.open_topic("t")
        self.publish()

    def publish(self):
        for p in range(PARTITIONS):
            self.c.produce(self.t, p, [Record(value=b"%d" % i) for i in range(EACH)])

    def others_take_over(self):
        """Everything comes to another member, in order where there is one; all of it is acknowledged for good."""
        other = Member(Client(self.broker.url, timeout=WAIT), "g", ["t"])
        self.addCleanup(other.c.close)
        seen = {}
        while sum(p.lag for p in group_describe(self.c, "g").partitions):
            e = other.event(0.2)
            if e is None:
                continue
            seen.setdefault(e.partition, []).append(e.offset)
            other.ack(e, reply=True)
        self.assertEqual({p: sorted(o) for p, o in seen.items()}, {p: list(range(EACH)) for p in range(PARTITIONS)})
        if other.mode == ORDERED:
            self.assertEqual(seen, {p: list(range(EACH)) for p in range(PARTITIONS)})
        return other

    def check_end(self, other, last):
        """What came afterwards is acknowledged, too, by whoever has it; nothing died."""
        deadline = time.monotonic() + WAIT
        while sum(p.lag for p in group_describe(self.c, "g").partitions):
            self.assertLess(time.monotonic(), deadline)
            e = other.event(0.1)
            if e is not None:
                self.assertNotEqual([e.partition, e.offset], last, "acknowledged by the other one")
                other.ack(e, reply=True)
        self.assertEqual(self.c.topic_list("t.dlq"), [])

    def stopped(self, mode):
        self.begin(mode)
        a = subprocess.Popen([sys.executable, "-B", __file__, "child", self.broker.url, str(PARTITIONS * EACH)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(a.stdout.close)
        self.addCleanup(a.wait)
        self.addCleanup(a.kill)
        self.assertEqual(len(json.loads(a.stdout.readline())), PARTITIONS * EACH)
        a.send_signal(signal.SIGSTOP)
        other = self.others_take_over()
        silent, = [m for m in group_describe(self.c, "g").members if m.id != other.id]
        self.assertEqual((silent.state, silent.in_flight), (2, 0))
        a.send_signal(signal.SIGCONT)
        a.stdin.close()
        codes = json.loads(a.stdout.readline())
        self.assertEqual(len(codes), PARTITIONS * EACH)
        self.assertLessEqual(set(codes), REFUSED, codes)
        self.until_it_gets(a, other)

    def until_it_gets(self, a, other):
        """Publishes until the one that came back has had an event as well."""
        os.set_blocking(a.stdout.fileno(), False)
        deadline, line = time.monotonic() + WAIT, ""
        while not line.endswith("\n"):
            self.assertLess(time.monotonic(), deadline, "it is given nothing any more")
            self.publish()
            for _ in range(EACH):
                e = other.event(0.02)
                if e is not None:
                    other.ack(e, reply=True)
            line += a.stdout.read() or ""
        self.assertEqual(a.wait(WAIT), 0)
        self.check_end(other, json.loads(line))

    def test_a_stopped_member_of_an_ordered_group(self):
        self.stopped(ORDERED)

    def test_a_stopped_member_of_a_shared_group(self):
        self.stopped(SHARED)

    def cut_off(self, mode):
        self.begin(mode)
        proxy = Proxy(self.broker.url)
        self.addCleanup(proxy.close)
        c = Client(proxy.url, timeout=WAIT)
        self.addCleanup(c.close)
        m = Member(c, "g", ["t"])
        events = take(m, PARTITIONS * EACH)
        proxy.stall()
        request = m.ack(*events)  # on its way, for long
        other = self.others_take_over()
        proxy.heal()
        with self.assertRaises(RunnelError) as refused:
            c.wait(request)  # nothing but an error is answered
        self.assertIn(refused.exception.code, REFUSED)
        self.assertLessEqual(set(late_acks(m, events)), REFUSED)
        self.publish()
        m.leave()
        self.check_end(other, None)

    def test_a_member_of_an_ordered_group_that_is_cut_off(self):
        self.cut_off(ORDERED)

    def test_a_member_of_a_shared_group_that_is_cut_off(self):
        self.cut_off(SHARED)


class UnderLoad(kills.GroupKills):
    """Two of three members reach the broker through a network that stops now and then for longer than ack.wait."""

    late = True
    pause = 0.05
    settings = dict(kills.GroupKills.settings, ack_wait="150ms")

    def url_of(self, broker, number):
        if number == 0:
            self.proxies = []
            return broker.url
        proxy = Proxy(broker.url)
        self.addCleanup(proxy.close)
        self.proxies.append(proxy)
        return proxy.url

    def disturb(self, broker, rng):
        proxy = rng.choice(self.proxies)
        time.sleep(rng.uniform(0.1, 0.3))  # load, and then a cut: for a random while, that is the test
        proxy.stall()
        time.sleep(rng.uniform(0.2, 0.6))
        proxy.heal()


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        print("seed", kills.SEED)
        unittest.main()
