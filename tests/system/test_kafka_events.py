# SPDX-License-Identifier: Apache-2.0
"""Events through the Kafka listener: produced, fetched and looked up, by a client that also does it wrong."""

import gzip
import os
import pathlib
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import kafka_wire as kafka  # noqa: E402
import runnel_wire as wire  # noqa: E402
from broker import Broker  # noqa: E402
from kafka_wire import FETCH, INIT_PRODUCER_ID, METADATA, OFFSET_FOR_LEADER_EPOCH, PRODUCE, Client, array, i16, i32, \
    i64, string  # noqa: E402
from runnel_wire import Record, encode_batch  # noqa: E402

OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, BAD_ACKS = 1, 2, 3, 10, 21
INVALID_TIMESTAMP, SEQUENCE, EPOCH, TXN_STATE, TXN_REFUSED = 32, 45, 47, 48, 53
UNKNOWN_PRODUCER, FENCED_EPOCH, UNKNOWN_EPOCH, COMPRESSION, INVALID_RECORD = 59, 74, 75, 76, 87


def batch(*values, **fields):
    return encode_batch([Record(value=v.encode() if isinstance(v, str) else v) for v in values], **fields)


class Events(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"), env={"RUNNEL_TAILS_BYTES": "8MiB"})
        self.addCleanup(self.broker.close)
        self.broker.run("topic", "create", "t", "--partitions", "2")
        self.c = self.client()

    def client(self):
        c = Client(self.broker.kafka)
        self.addCleanup(c.close)
        return c

    def values(self, records):
        return [r.value.decode() for b in wire.decode_batches(records) for r in b.records]


class Producing(Events):
    def test_every_version(self):
        for version in range(3, 9):
            row = kafka.produce(self.c, "t", 0, batch("a", "b"), version=version)
            self.assertEqual((row.error, row.offset, row.time), (0, (version - 3) * 2, -1))
        self.assertEqual(self.broker.run("read", "t", "-p", "0", "-e", "--raw").stdout.count(b"a"), 6)

    def test_demanded_fields(self):
        """What a topic demands of envelopes holds for Kafka's clients, too."""
        self.broker.run("topic", "set", "t", "envelope.require=event_id")
        self.assertEqual(kafka.produce(self.c, "t", 0, batch("x")).error, INVALID_RECORD)
        good = encode_batch([Record(value=b"x", headers=[(b"ce_id", b"e1")])])
        self.assertEqual(kafka.produce(self.c, "t", 0, good).error, 0)

    def test_acks(self):
        for acks in (-1, 1):
            self.assertEqual(kafka.produce(self.c, "t", 0, batch("x"), acks=acks).error, 0)
        self.assertEqual(kafka.produce(self.c, "t", 0, batch("x"), acks=2).error, BAD_ACKS)
        self.c.send(PRODUCE, 8, kafka.produce_body({("t", 0): batch("silent")}, acks=0))
        self.c.waiting.pop()  # no answer to this one: the next reply is another request's
        self.assertEqual(kafka.produce(self.c, "t", 0, batch("y")).offset, 3)
        self.c.send(PRODUCE, 8, kafka.produce_body({("nowhere", 0): batch("silent")}, acks=0))
        self.assertTrue(self.c.closed())

    def test_what_is_wrong_with_a_batch(self):
        good = batch("one", "two")

        def changed(at, raw, seal=True):
            out = bytearray(good)
            out[at:at + len(raw)] = raw
            if seal:
                out[17:21] = struct.pack(">I", wire.crc32c(bytes(out[21:])))
            return bytes(out)
        wrong = {
            "checksum": (changed(70, b"\xff", seal=False), CORRUPT),
            "magic 1": (changed(16, b"\x01"), INVALID_RECORD),
            "magic 0": (changed(16, b"\x00"), INVALID_RECORD),
            "count": (changed(57, i32(3)), INVALID_RECORD),
            "no records": (changed(57, i32(0)), INVALID_RECORD),
            "last delta": (changed(23, i32(7)), INVALID_RECORD),
            "offset delta": (changed(64, b"\x08"), INVALID_RECORD),
            "length": (changed(8, i32(5)), INVALID_RECORD),
            "control": (changed(21, i16(0x20)), INVALID_RECORD),
            "transactional": (changed(21, i16(0x10)), TXN_STATE),
            "codec 7": (changed(21, i16(7)), INVALID_RECORD),
            "two batches": (good + good, INVALID_RECORD),
            "nothing": (b"", INVALID_RECORD),
            "null": (None, INVALID_RECORD),
            "half": (good[:40], INVALID_RECORD),
            "future": (encode_batch([Record(value=b"x", timestamp=int(time.time() * 1000) + 86400000)]),
                       INVALID_TIMESTAMP),
            "size": (batch(os.urandom(1100000)), TOO_LARGE),
        }
        for name, (raw, error) in wrong.items():
            row = kafka.produce(self.c, "t", 0, raw)
            self.assertEqual((row.error, row.offset), (error, -1), name)
            self.assertTrue(row.text, name)
        self.assertEqual(kafka.produce(self.c, "t", 9, good).error, UNKNOWN_TOPIC)
        self.assertEqual(kafka.produce(self.c, "__catalog", 0, good).error, UNKNOWN_TOPIC)
        self.assertEqual(kafka.produce(self.c, "t", 0, changed(21, i16(4)), version=6).error, COMPRESSION)
        self.assertEqual(kafka.produce(self.c, "t", 0, good).offset, 0)  # nothing of all that was stored

    def test_partitions_are_judged_one_by_one(self):
        body = kafka.produce_body({("t", 0): batch("a"), ("nowhere", 0): batch("b"), ("t", 1): batch("c")})
        rows = kafka.read_produced(self.c.call(PRODUCE, 8, body), 8)
        self.assertEqual([r.error for r in rows.values()], [0, UNKNOWN_TOPIC, 0])

    def test_rules_of_the_topic_hold(self):
        self.broker.run("topic", "create", "strict", "--config", "envelope.require=tenant_id")
        named = Record(value=b"x", headers=[(b"ce_tenantid", b"acme")])
        for attributes in (0, 1):
            row = kafka.produce(self.c, "strict", 0, encode_batch([named, Record(value=b"y")], attributes=attributes))
            self.assertEqual((row.error, row.offset), (INVALID_RECORD, -1))
            self.assertIn("tenant_id", row.text)
        self.assertEqual(kafka.produce(self.c, "strict", 0, encode_batch([named])).offset, 0)

    def test_request_larger_than_a_commit(self):
        self.broker.run("topic", "create", "wide", "--partitions", "12")
        large = batch(os.urandom(900000))
        body = kafka.produce_body({("wide", p): large for p in range(12)})
        rows = kafka.read_produced(self.c.call(PRODUCE, 8, body), 8)
        self.assertEqual([(r.error, r.offset) for r in rows.values()], [(0, 0)] * 12)
        got = kafka.fetch(self.c, "wide", 11, 0)
        self.assertEqual(got.records[16:], large[16:])

    def test_replies_come_in_order(self):
        for i in range(200):
            self.c.send(PRODUCE, 7, kafka.produce_body({("t", 0): batch("v%d" % i)}))
            if i % 10 == 0:
                self.c.send(METADATA, 1, array([]))
        for i in range(200):
            self.assertEqual(kafka.read_produced(self.c.reply(), 7)[("t", 0)].offset, i)
            if i % 10 == 0:
                kafka.Metadata(self.c.reply(), 1)

    def test_old_versions_end_the_connection(self):
        self.c.send(PRODUCE, 2, i16(1) + i32(1000) + array([]))
        self.assertTrue(self.c.closed())
        self.assertIn("message formats 0 and 1", self.broker.messages())


class Idempotence(Events):
    def init(self, transactional_id=None):
        r = self.c.call(INIT_PRODUCER_ID, 0, string(transactional_id) + i32(60000))
        r.i32()
        return r.i16(), r.i64(), r.i16()

    def send(self, producer, sequence, value="x", epoch=0, count=1):
        raw = batch(*[value] * count, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)
        return kafka.produce(self.c, "t", 0, raw)

    def test_sequences(self):
        error, producer, epoch = self.init()
        self.assertEqual((error, epoch), (0, 0))
        self.assertNotEqual(self.init()[1], producer)
        self.assertEqual([self.send(producer, i).offset for i in range(6)], list(range(6)))
        self.assertEqual([self.send(producer, i).offset for i in range(1, 6)], list(range(1, 6)))  # the last five
        self.assertEqual(self.send(producer, 8).error, SEQUENCE)
        self.assertEqual(self.send(producer, 0, epoch=1).offset, 6)
        self.assertEqual(self.send(producer, 6, epoch=0).error, EPOCH)
        self.broker.restart(kill=True)
        self.c = self.client()
        self.assertEqual(self.send(producer, 0, epoch=1).offset, 6)
        self.assertEqual(self.send(producer, 1, epoch=1).offset, 7)
        self.assertNotEqual(self.init()[1], producer)

    def test_unknown_producer_is_told_to_start_anew(self):
        self.assertEqual(self.send(77, 5).error, UNKNOWN_PRODUCER)

    def test_transactions_are_refused(self):
        self.assertEqual(self.init("mine"), (TXN_REFUSED, -1, -1))
        body = kafka.produce_body({("t", 0): batch("x")}, transactional_id="mine")
        self.assertEqual(kafka.read_produced(self.c.call(PRODUCE, 8, body), 8)[("t", 0)].error, TXN_REFUSED)


class Fetching(Events):
    def test_every_version(self):
        kafka.produce(self.c, "t", 0, batch("a", "b"))
        for version in range(4, 12):
            got = kafka.fetch(self.c, "t", 0, 1, version=version)
            self.assertEqual((got.error, got.end, got.stable, got.aborted), (0, 2, 2, None))
            self.assertEqual(self.values(got.records), ["a", "b"])  # the batch that holds the offset
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0, isolation=1).aborted, [])

    def test_errors_answer_at_once(self):
        self.assertEqual(kafka.fetch(self.c, "t", 0, 1, wait_ms=60000).error, OUT_OF_RANGE)
        self.assertEqual(kafka.fetch(self.c, "t", 0, -1, wait_ms=60000).error, OUT_OF_RANGE)
        self.assertEqual(kafka.fetch(self.c, "t", 2, 0, wait_ms=60000).error, UNKNOWN_TOPIC)
        self.assertEqual(kafka.fetch(self.c, "__catalog", 0, 0, wait_ms=60000).error, UNKNOWN_TOPIC)
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0, wait_ms=60000, epoch=1000).error, UNKNOWN_EPOCH)

    def test_waits_for_what_comes(self):
        body = kafka.fetch_body({("t", 0): 0, ("t", 1): 0}, wait_ms=120000)
        self.c.send(FETCH, 11, body)
        self.c.send(METADATA, 1, array([]))  # waits for its turn behind the long poll
        other = self.client()
        kafka.produce(other, "t", 1, batch("late"))
        rows = kafka.read_fetched(self.c.reply(), 11)
        self.assertEqual((rows[("t", 0)].records, self.values(rows[("t", 1)].records)), (b"", ["late"]))
        kafka.Metadata(self.c.reply(), 1)

    def test_ends_when_time_is_up_or_the_topic_is_gone(self):
        started = time.monotonic()
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0, wait_ms=300).records, b"")
        self.assertGreaterEqual(time.monotonic() - started, 0.29)
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0, wait_ms=60000, bytes_min=0).records, b"")
        self.c.send(FETCH, 11, kafka.fetch_body({("t", 0): 0}, wait_ms=120000))
        self.broker.run("topic", "delete", "t", "--yes")
        self.assertEqual(kafka.read_fetched(self.c.reply(), 11)[("t", 0)].error, UNKNOWN_TOPIC)

    def test_limits(self):
        for i in range(10):
            kafka.produce(self.c, "t", 0, batch("%d" % i + "x" * 10000))
            kafka.produce(self.c, "t", 1, batch("%d" % i + "y" * 10000))
        self.assertEqual(len(self.values(kafka.fetch(self.c, "t", 0, 0, partition_bytes=1).records)), 1)
        self.assertEqual(len(self.values(kafka.fetch(self.c, "t", 0, 0, bytes_max=1).records)), 1)
        self.assertEqual(len(self.values(kafka.fetch(self.c, "t", 0, 0, partition_bytes=45000).records)), 4)
        body = kafka.fetch_body({("t", 0): 0, ("t", 1): 0}, bytes_max=120000)
        rows = kafka.read_fetched(self.c.call(FETCH, 11, body), 11)
        self.assertEqual([len(self.values(r.records)) for r in rows.values()], [10, 1])

    def test_history_is_read_in_turn(self):
        large = batch("z" * 300000)
        for p in (0, 1):
            for _ in range(120):
                self.c.send(PRODUCE, 7, kafka.produce_body({("t", p): large}))
            for _ in range(120):
                self.assertEqual(kafka.read_produced(self.c.reply(), 7)[("t", p)].error, 0)
        at = {0: 0, 1: 0}
        while min(at.values()) < 120:
            body = kafka.fetch_body({("t", p): at[p] for p in at if at[p] < 120}, wait_ms=60000)
            rows = kafka.read_fetched(self.c.call(FETCH, 11, body), 11)
            for (_, p), row in rows.items():
                for k in range(0, len(row.records), len(large)):
                    self.assertEqual(row.records[k:k + 8], i64(at[p]))
                    self.assertEqual(row.records[k + 16:k + len(large)], large[16:])
                    at[p] += 1
        self.assertLess(max(at.values()), 121)

    def test_consumers_that_do_not_read_hold_little(self):
        large = batch(os.urandom(500000))
        for i in range(16):
            kafka.produce(self.c, "t", 0, large)
        idle = [self.client() for _ in range(40)]
        for c in idle:
            for _ in range(20):
                c.send(FETCH, 11, kafka.fetch_body({("t", 0): 0}, partition_bytes=8 << 20))
        for i in range(10):  # everybody else is served
            self.assertEqual(kafka.produce(self.c, "t", 1, batch("on %d" % i)).offset, i)
        native = wire.Client(self.broker.url)
        self.addCleanup(native.close)
        stats = native.stat()
        self.assertLess(stats["net.out_bytes"], 64 << 20)


class LookingUp(Events):
    def test_offsets_by_time(self):
        now = int(time.time() * 1000) - 100000
        for i in range(3):
            records = [Record(value=b"%d" % k, timestamp=now + i * 1000 + k * 100) for k in range(4)]
            kafka.produce(self.c, "t", 0, encode_batch(records))
        for version in range(1, 6):
            self.assertEqual(kafka.list_offsets(self.c, "t", 0, -1, version), (0, -1, 12))
            self.assertEqual(kafka.list_offsets(self.c, "t", 0, -2, version), (0, -1, 0))
            self.assertEqual(kafka.list_offsets(self.c, "t", 0, now + 1150, version), (0, now + 1200, 6))
        self.assertEqual(kafka.list_offsets(self.c, "t", 0, 0), (0, now, 0))
        self.assertEqual(kafka.list_offsets(self.c, "t", 0, now + 9000), (0, -1, -1))
        self.assertEqual(kafka.list_offsets(self.c, "t", 0, -3), (0, now + 2300, 11))
        self.assertEqual(kafka.list_offsets(self.c, "t", 1, -3), (0, -1, -1))
        self.assertEqual(kafka.list_offsets(self.c, "t", 1, now), (0, -1, -1))
        self.assertEqual(kafka.list_offsets(self.c, "t", 7, -1)[0], UNKNOWN_TOPIC)

    def leader_epoch(self, current, asked):
        body = array([string("t") + array([i32(0) + i32(current) + i32(asked)])])
        r = self.c.call(OFFSET_FOR_LEADER_EPOCH, 2, body)
        r.i32()
        return r.array(lambda r: (r.string(), r.array(lambda r: (r.i16(), r.i32(), r.i32(), r.i64()))))[0][1][0]

    def test_leader_epochs_agree(self):
        kafka.produce(self.c, "t", 0, batch("x"))
        epoch = kafka.metadata(self.c, 9, ["t"]).epoch
        self.assertEqual(struct.unpack(">i", kafka.fetch(self.c, "t", 0, 0, epoch=epoch).records[12:16])[0], epoch)
        self.assertEqual(self.leader_epoch(epoch, epoch), (0, 0, epoch, 1))
        self.assertEqual(self.leader_epoch(-1, epoch + 1), (0, 0, -1, -1))
        self.assertEqual(self.leader_epoch(epoch + 1, epoch)[0], UNKNOWN_EPOCH)
        self.broker.restart(kill=True)
        self.c = self.client()
        self.assertGreater(kafka.metadata(self.c, 9, ["t"]).epoch, epoch)
        self.assertEqual(self.leader_epoch(epoch, epoch)[0], FENCED_EPOCH)
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0, epoch=epoch).error, FENCED_EPOCH)

    def test_append_time(self):
        self.broker.run("topic", "create", "stamped", "--config", "message.timestamp.type=LogAppendTime")
        row = kafka.produce(self.c, "stamped", 0, encode_batch([Record(value=b"x", timestamp=5)]))
        self.assertEqual(row.error, 0)
        self.assertLess(abs(row.time - time.time() * 1000), 60000)
        self.assertEqual(kafka.list_offsets(self.c, "stamped", 0, -3), (0, row.time, 0))

    def test_compressed_batches_stay_as_they_are(self):
        plain = encode_batch([Record(value=b"v" * 1000, key=b"k", headers=[(b"h", b"1")])] * 3)
        packed = bytearray(plain[:61] + gzip.compress(plain[61:]))
        packed[8:12] = i32(len(packed) - 12)
        packed[21:23] = i16(1)
        packed[17:21] = struct.pack(">I", wire.crc32c(bytes(packed[21:])))
        self.assertEqual(kafka.produce(self.c, "t", 0, bytes(packed)).error, 0)
        self.assertEqual(kafka.fetch(self.c, "t", 0, 0).records[16:], bytes(packed[16:]))
        out = self.broker.run("read", "t", "-p", "0", "-e", "-o", "jsonl").stdout
        self.assertEqual(out.count(b"\n"), 3)


if __name__ == "__main__":
    unittest.main()
