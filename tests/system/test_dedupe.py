#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Duplicate windows: the command, and the bytes of the protocol, against a real broker."""

import json
import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import runnel_wire as wire  # noqa: E402
from broker import Broker  # noqa: E402

DUPLICATE, CONFLICT, FULL, ACKS_INVALID = 123, 120, 121, 58
EVENT_ERRORS = 1  # the feature
SAME_BATCH = 0xffffffff


def event(number, value=b"v"):
    return wire.Record(value, b"k", [(b"ce_id", str(number).encode())])


class Dedupe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def setUp(self):
        self.topic = self.id().rpartition(".")[2].replace("test_", "")

    def create(self, *settings):
        args = [a for s in settings or ["dedupe.window=on"] for a in ("--config", s)]
        self.broker.run("topic", "create", self.topic, "--partitions", 3, *args)

    def pub(self, value, number, code=0):
        done = self.broker.run("pub", self.topic, value, "--id", number, "-o", "jsonl", check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if code == 0 else done.stderr.decode()

    def stat(self, name):
        return json.loads(self.broker.run("stat", "-o", "json").stdout)["dedupe"][name]

    def client(self, features=EVENT_ERRORS):
        c = wire.Client(self.broker.url, hello=False, timeout=60)
        self.addCleanup(c.close)
        self.assertEqual(c.hello(features=features | 1 << 40).features, features)
        return c, c.open_topic(self.topic)

    def refused(self, c, batches, acks=wire.ACKS_DURABLE):
        """(code, text, rows) of a refused PRODUCE"""
        request = c.send_produce(batches, acks)
        while request not in c.replies:
            c._take(60)
        f = c.replies.pop(request)
        self.assertTrue(f.flags & wire.ERROR)
        r = wire.Reader(f.body)
        code, text, rows = r.u16(), r.string(), None
        if r.at < len(f.body):
            rows = [struct.unpack_from("<IHHIQ", r.raw(20)) for _ in range(r.u32())]
            rows = [(number, code, partition, offset) for number, code, _, partition, offset in rows]
        r.done()
        return code, text, rows

    def test_the_second_publishing_is_answered_with_the_first_place(self):
        self.create()
        first = self.pub("hello", "a")
        self.assertNotIn("duplicate", first)
        for _ in range(3):
            self.assertEqual(self.pub("hello", "a"), dict(first, duplicate=True))
        text = self.pub("other", "a", 4)
        self.assertIn("DEDUPE_CONFLICT", text)
        self.assertIn("partition %d, offset %d" % (first["partition"], first["offset"]), text)
        self.assertNotIn("duplicate", self.pub("other", "b"))
        self.broker.restart(kill=True)
        self.assertEqual(self.pub("hello", "a"), dict(first, duplicate=True))
        self.assertIn("DEDUPE_CONFLICT", self.pub("other", "a", 4))
        self.assertEqual(len(self.broker.run("read", self.topic, "-e", "-o", "jsonl").stdout.splitlines()), 2)
        self.assertGreaterEqual(self.stat("ids"), 2)
        self.assertGreaterEqual(self.stat("duplicates"), 1)
        self.assertGreaterEqual(self.stat("conflicts"), 1)

    def test_settings(self):
        self.create("retention.ms=1h")
        self.pub("x", "a")
        self.assertNotIn("duplicate", self.pub("x", "a"), "off by default")
        for value, stored in (("on", "3600000"), ("", "3600000"), ("90m", "5400000"), ("off", "off"), ("0", "off")):
            self.broker.run("topic", "set", self.topic, "dedupe.window=" + value)
            configs = json.loads(self.broker.run("topic", "describe", self.topic, "-o", "json").stdout)["configs"]
            self.assertIn({"name": "dedupe.window", "value": stored, "default": False}, configs)
        for bad in ("maybe", "-1", "2000d"):
            done = self.broker.run("topic", "set", self.topic, "dedupe.window=" + bad, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("dedupe.window", done.stderr.decode())

    def test_an_id_expires(self):
        self.create("dedupe.window=1ms")
        first = self.pub("x", "a")
        again = self.pub("x", "a")  # another process: later than a millisecond
        self.assertNotIn("duplicate", again)
        self.assertNotEqual((first["partition"], first["offset"]), (again["partition"], again["offset"]))

    def test_refusals_name_the_events(self):
        self.create()
        c, t = self.client()
        self.assertEqual(c.produce(t, 1, [event(i) for i in range(10)])[0].offset, 0)
        batch = wire.encode_batch([event(100), event(3), event(101), event(4, b"other"), event(101), event(102)])
        code, text, rows = self.refused(c, [(t.handle, 2, batch)])
        self.assertEqual(code, CONFLICT, "the worst of what is wrong")
        self.assertIn("event 3 has id '4'", text)
        self.assertEqual(rows, [(1, DUPLICATE, 1, 3), (3, CONFLICT, 1, 4), (4, DUPLICATE, SAME_BATCH, 2)])
        # Nothing of it was stored or remembered.
        self.assertEqual(c.produce(t, 2, [event(100), event(101), event(102)])[0].offset, 0)
        # Several batches: all or nothing, without rows.
        both = [(t.handle, 0, wire.encode_batch([event(200)])), (t.handle, 1, wire.encode_batch([event(200)]))]
        self.assertEqual(self.refused(c, both)[::2], (DUPLICATE, None))
        self.assertEqual(c.produce(t, 0, [event(200)])[0].offset, 0)
        # Events without ids pass.
        for _ in range(2):
            c.produce(t, 0, [wire.Record(b"same"), wire.Record(b"same", headers=[(b"ce_id", b"")])])

    def test_a_client_without_the_feature_gets_a_sentence(self):
        self.create()
        c, t = self.client(features=0)
        c.produce(t, 1, [event(1)])
        code, text, rows = self.refused(c, [(t.handle, 0, wire.encode_batch([event(1)]))])
        self.assertEqual((code, rows), (DUPLICATE, None))
        self.assertIn("partition 1, offset 0", text)

    def test_a_repeated_batch_is_not_a_duplicate_of_itself(self):
        self.create()
        c, t = self.client()
        producer, epoch = c.init_producer()
        fields = {"producer_id": producer, "producer_epoch": epoch, "base_sequence": 0}
        records = [event(i) for i in range(5)]
        self.assertFalse(c.produce(t, 0, records, **fields)[0].duplicate)
        again = c.produce(t, 0, records, **fields)[0]
        self.assertEqual((again.offset, again.duplicate), (0, True))
        # A refused batch leaves its sequence to the next one.
        fields["base_sequence"] = 5
        mixed = wire.encode_batch([event(2), event(9)], **fields)
        self.assertEqual(self.refused(c, [(t.handle, 0, mixed)])[2], [(0, DUPLICATE, 0, 2)])
        self.assertEqual(c.produce(t, 0, [event(9)], **fields)[0].offset, 5)

    def test_acks(self):
        self.create()
        c, t = self.client()
        self.assertEqual(c.produce(t, 0, [event(1)], acks=wire.ACKS_MEMORY)[0].offset, 0)
        batch = wire.encode_batch([event(1)])
        self.assertEqual(self.refused(c, [(t.handle, 0, batch)], wire.ACKS_MEMORY)[2], [(0, DUPLICATE, 0, 0)])
        code, text, _ = self.refused(c, [(t.handle, 0, wire.encode_batch([event(2)]))], wire.ACKS_NONE)
        self.assertEqual(code, ACKS_INVALID)
        self.assertIn("dedupe.window", text)

    def test_the_window_is_gone_with_its_topic(self):
        self.create()
        self.pub("x", "a")
        self.broker.run("topic", "delete", self.topic, "--yes")
        self.create()
        self.assertNotIn("duplicate", self.pub("x", "a"))


class Memory(unittest.TestCase):
    def test_new_ids_are_refused_when_it_is_used_up(self):
        room = 2000
        with Broker(env={"RUNNEL_DEDUPE_MEMORY": str(32768 + 60 * room)}) as broker:
            broker.run("topic", "create", "t", "--partitions", 1, "--config", "dedupe.window=on")
            c = wire.Client(broker.url, timeout=60)
            t = c.open_topic("t")
            for restarted in range(2):
                for first in range(0, room, 500):
                    batch = [event(i) for i in range(first, first + 500)]
                    if not restarted:
                        c.produce(t, 0, batch)
                        continue
                    with self.assertRaises(wire.RunnelError) as refused:
                        c.produce(t, 0, batch)
                    self.assertEqual(refused.exception.code, DUPLICATE, "none is forgotten")
                with self.assertRaises(wire.RunnelError) as refused:
                    c.produce(t, 0, [event(room)])
                self.assertEqual(refused.exception.code, FULL)
                self.assertIn("dedupe.memory", str(refused.exception))
                c.close()
                broker.restart(kill=True)
                c = wire.Client(broker.url, timeout=60)
                t = c.open_topic("t")
            broker.run("topic", "set", "t", "dedupe.window=off")
            c.produce(t, 0, [event(room)])
            c.close()


if __name__ == "__main__":
    unittest.main()
