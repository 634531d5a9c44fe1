# SPDX-License-Identifier: Apache-2.0
"""Administration through the Kafka listener: what Kafka would say, and no topic changed that should not be."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import kafka_wire as kafka  # noqa: E402
from broker import Broker  # noqa: E402
from kafka_wire import ALTER_CONFIGS, CREATE_PARTITIONS, CREATE_TOPICS, DELETE_TOPICS, DESCRIBE_CLUSTER, \
    DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, SASL_HANDSHAKE, TAGS, Client, array, carray, cstring, i8, i16, i32, \
    string  # noqa: E402

UNKNOWN_TOPIC, INVALID_TOPIC, BAD_MECHANISM, EXISTS, PARTITIONS, REPLICATION = 3, 17, 33, 36, 37, 38
ASSIGNMENT, CONFIG, REQUEST, POLICY = 39, 40, 42, 44


def new_topic(name, partitions=1, replicas=1, assigned=(), configs=None, flexible=False):
    s, a, end = (cstring, carray, TAGS) if flexible else (string, array, b"")
    nodes = a([i32(i) + a([i32(n) for n in row]) + end for i, row in enumerate(assigned)])
    return s(name) + i32(partitions) + i16(replicas) + nodes + \
        a([s(k) + s(v) + end for k, v in (configs or {}).items()]) + end


class Admin(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))
        self.addCleanup(self.broker.close)
        self.c = Client(self.broker.kafka)
        self.addCleanup(self.c.close)

    def create(self, *topics, validate_only=False):
        r = self.c.call(CREATE_TOPICS, 4, array(topics) + i32(1000) + i8(validate_only))
        r.i32()
        rows = r.array(lambda r: (r.string(), r.i16(), r.string()))
        r.done()
        return [error for _, error, _ in rows]

    def topics(self):
        return {name: len(partitions) for name, (_, partitions) in kafka.metadata(self.c, 1).topics.items()}

    def settings(self, name, kind=2, keys=None):
        """error, {name: (value, source)}"""
        body = array([i8(kind) + string(name) + array(None if keys is None else [string(k) for k in keys])]) + i8(0)
        r = self.c.call(DESCRIBE_CONFIGS, 1, body)
        r.i32()

        def config(r):
            row = r.string(), r.string(), r.i8(), r.i8(), r.i8()
            self.assertEqual(r.array(lambda r: None), [])
            return row[0], (row[1], row[3])
        rows = r.array(lambda r: (r.i16(), r.string(), r.i8(), r.string(), r.array(config)))
        r.done()
        return rows[0][0], dict(rows[0][4])


class Topics(Admin):
    def test_created_as_asked(self):
        self.assertEqual(self.create(new_topic("a", 2), new_topic("b", -1, -1), new_topic("c", -1, -1, [[1], [1]])),
                         [0, 0, 0])
        self.assertEqual(self.topics(), {"a": 2, "b": 3, "c": 2})
        self.broker.restart(kill=True)
        self.c = Client(self.broker.kafka)
        self.addCleanup(self.c.close)
        self.assertEqual(self.topics(), {"a": 2, "b": 3, "c": 2})

    def test_refused_as_kafka_would(self):
        wrong = ((new_topic("n", 0), PARTITIONS), (new_topic("n", -2), PARTITIONS), (new_topic("n", 1, 2), REPLICATION),
                 (new_topic("n", 1, 0), REPLICATION), (new_topic("no name"), INVALID_TOPIC),
                 (new_topic("__mine"), INVALID_TOPIC), (new_topic("n", -1, -1, [[2]]), ASSIGNMENT),
                 (new_topic("n", -1, -1, [[1, 2]]), ASSIGNMENT), (new_topic("n", 1, 1, [[1]]), REQUEST),
                 (new_topic("n", configs={"no.such.setting": "1"}), CONFIG),
                 (new_topic("n", configs={"retention.ms": "soon"}), CONFIG),
                 (new_topic("n", configs={"min.insync.replicas": "2"}), CONFIG),
                 (new_topic("n", 1000000), PARTITIONS))
        for topic, error in wrong:
            self.assertEqual(self.create(topic), [error])
        self.assertEqual(self.create(*[new_topic("n%d" % i) for i in range(200)])[0], POLICY)
        self.assertEqual(self.topics(), {})
        self.assertEqual(self.create(new_topic("a", configs={"min.insync.replicas": "1"}), new_topic("a")), [0, EXISTS])

    def test_validated_only(self):
        self.assertEqual(self.create(new_topic("a"), new_topic("b", 0), validate_only=True), [0, PARTITIONS])
        self.assertEqual(self.topics(), {})

    def test_flexible_versions(self):
        r = self.c.call(CREATE_TOPICS, 6, carray([new_topic("a", 2, configs={"retention.ms": "5000"}, flexible=True)]) +
                        i32(1000) + i8(0) + TAGS)
        r.i32()

        def row(r):
            head = r.string(), r.i16(), r.string(), r.i32(), r.i16()
            configs = r.array(lambda r: (r.string(), r.string(), r.i8(), r.i8(), r.i8(), r.tags())[:4])
            r.tags()
            return head, configs
        (head, configs), = r.array(row)
        r.tags().done()
        self.assertEqual(head, ("a", 0, None, 2, 1))
        self.assertIn(("retention.ms", "5000", 0, 1), configs)
        r = self.c.call(DELETE_TOPICS, 5, carray([cstring("a"), cstring("b")]) + i32(1000) + TAGS)
        r.i32()
        rows = r.array(lambda r: (r.string(), r.i16(), r.string(), r.tags())[:2])
        r.tags().done()
        self.assertEqual(rows, [("a", 0), ("b", UNKNOWN_TOPIC)])
        self.assertEqual(self.topics(), {})

    def test_partitions_only_grow(self):
        self.create(new_topic("a", 2))

        def grow(name, count, assigned=None, validate_only=False):
            nodes = array(None if assigned is None else [array([i32(n) for n in row]) for row in assigned])
            body = array([string(name) + i32(count) + nodes]) + i32(1000) + i8(validate_only)
            r = self.c.call(CREATE_PARTITIONS, 1, body)
            r.i32()
            return r.array(lambda r: (r.string(), r.i16(), r.string()))[0][1]
        self.assertEqual([grow("a", 2), grow("a", 1), grow("b", 5), grow("a", 3, [[7]]), grow("a", 4, [[1]])],
                         [PARTITIONS, PARTITIONS, UNKNOWN_TOPIC, ASSIGNMENT, ASSIGNMENT])
        self.assertEqual(grow("a", 9, validate_only=True), 0)
        self.assertEqual(self.topics(), {"a": 2})
        self.assertEqual([grow("a", 3), grow("a", 5, [[1], [1]])], [0, 0])
        self.assertEqual(self.topics(), {"a": 5})


class Settings(Admin):
    def alter(self, name, configs, incremental=False, validate_only=False, kind=2):
        if incremental:
            rows = [string(k) + i8(op) + string(v) for k, (op, v) in configs.items()]
        else:
            rows = [string(k) + string(v) for k, v in configs.items()]
        body = array([i8(kind) + string(name) + array(rows)]) + i8(validate_only)
        r = self.c.call(INCREMENTAL_ALTER_CONFIGS if incremental else ALTER_CONFIGS, 0, body)
        r.i32()
        return r.array(lambda r: (r.i16(), r.string(), r.i8(), r.string()))[0][0]

    def test_described(self):
        self.create(new_topic("a", configs={"retention.ms": "5000"}))
        error, settings = self.settings("a")
        self.assertEqual((error, settings["retention.ms"], settings["compression.type"]), (0, ("5000", 1),
                                                                                           ("producer", 5)))
        for name in ("cleanup.policy", "retention.bytes", "segment.bytes", "max.message.bytes",
                     "message.timestamp.type", "min.insync.replicas"):
            self.assertIn(name, settings)
        self.assertEqual(self.settings("a", keys=["retention.ms", "none"]), (0, {"retention.ms": ("5000", 1)}))
        self.assertEqual(self.settings("b")[0], UNKNOWN_TOPIC)
        self.assertEqual(self.settings("1", kind=4)[1]["broker.id"][0], "1")
        self.assertEqual(self.settings("2", kind=4)[0], REQUEST)
        r = self.c.call(DESCRIBE_CONFIGS, 4, carray([i8(2) + cstring("a") + carray([cstring("retention.ms")]) + TAGS]) +
                        i8(0) * 2 + TAGS)
        r.i32()

        def config(r):
            row = r.string(), r.string(), r.i8(), r.i8(), r.i8(), r.array(lambda r: None), r.i8(), r.string()
            r.tags()
            return row[0]
        rows = r.array(lambda r: (r.i16(), r.string(), r.i8(), r.string(), r.array(config), r.tags())[:5])
        r.tags().done()
        self.assertEqual(rows, [(0, None, 2, "a", ["retention.ms"])])

    def test_altered(self):
        self.create(new_topic("a", configs={"retention.ms": "5000", "segment.bytes": "1048576"}))
        self.assertEqual(self.alter("a", {"retention.ms": "6000"}, validate_only=True), 0)
        self.assertEqual(self.alter("a", {"retention.ms": (0, "7000")}, incremental=True), 0)
        settings = self.settings("a")[1]
        self.assertEqual((settings["retention.ms"], settings["segment.bytes"]), (("7000", 1), ("1048576", 1)))
        self.assertEqual(self.alter("a", {"segment.bytes": (1, None)}, incremental=True), 0)
        self.assertEqual(self.settings("a")[1]["segment.bytes"], ("134217728", 5))
        self.assertEqual(self.alter("a", {"max.message.bytes": "2048"}), 0)  # the others go back to their defaults
        settings = self.settings("a")[1]
        self.assertEqual((settings["retention.ms"], settings["max.message.bytes"]), (("604800000", 5), ("2048", 1)))
        self.assertEqual(self.alter("a", {"nonsense": "1"}), CONFIG)
        self.assertEqual(self.alter("a", {"cleanup.policy": (2, "delete")}, incremental=True), REQUEST)
        self.assertEqual(self.alter("b", {"retention.ms": "1"}), UNKNOWN_TOPIC)
        self.assertEqual(self.alter("1", {"broker.id": "2"}, kind=4), REQUEST)


class Cluster(Admin):
    def test_described(self):
        m = kafka.metadata(self.c, 9)
        for version in (0, 1):
            r = self.c.call(DESCRIBE_CLUSTER, version, i8(0) + (i8(1) if version else b"") + TAGS)
            self.assertEqual((r.i32(), r.i16(), r.string()), (0, 0, None))
            if version:
                self.assertEqual(r.i8(), 1)
            self.assertEqual((r.string(), r.i32()), (m.cluster, m.controller))
            nodes = r.array(lambda r: (r.i32(), (r.string(), r.i32()), r.string(), r.tags())[:2])
            r.i32()
            r.tags().done()
            self.assertEqual(dict(nodes), m.brokers)

    def test_no_mechanism_is_spoken(self):
        for version in (0, 1):
            r = self.c.call(SASL_HANDSHAKE, version, string("PLAIN"))
            self.assertEqual((r.i16(), r.array(lambda r: None)), (BAD_MECHANISM, []))
            r.done()


if __name__ == "__main__":
    unittest.main()
