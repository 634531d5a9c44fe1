# SPDX-License-Identifier: Apache-2.0
"""The Kafka listener against a real broker: what unmodified clients meet first, in the order they meet it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import kafka_wire as kafka  # noqa: E402
from broker import Broker, BrokerError  # noqa: E402
from kafka_wire import API_VERSIONS, METADATA, TAGS, Client, array, cstring, i16, i32, string  # noqa: E402

UNKNOWN_TOPIC, INVALID_TOPIC, UNSUPPORTED_VERSION, INVALID_REQUEST = 3, 17, 35, 42


class Kafka(unittest.TestCase):
    env = {}

    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"), env=self.env)
        self.addCleanup(self.broker.close)

    def client(self, address=None):
        c = Client(address or self.broker.kafka)
        self.addCleanup(c.close)
        return c


class Versions(Kafka):
    def test_all_versions_say_the_same(self):
        c = self.client()
        error, first = kafka.api_versions(c, 0)
        self.assertEqual(error, 0)
        for version in range(1, 4):
            self.assertEqual(kafka.api_versions(c, version), (0, first))
        self.assertEqual(first[METADATA][0], 0)
        self.assertEqual(first[API_VERSIONS], (0, 3))

    def test_later_version_is_answered_in_the_first_one(self):
        c = self.client()
        frame = i16(API_VERSIONS) + i16(9) + i32(7) + b"whatever that is"
        c.send_raw(i32(len(frame)) + frame)
        c.waiting.append((7, API_VERSIONS, 0))
        error, rows = kafka.read_api_versions(c.reply(), 0)
        self.assertEqual(error, UNSUPPORTED_VERSION)
        self.assertEqual(rows[API_VERSIONS], (0, 3))
        self.assertEqual(kafka.api_versions(c, 3)[0], 0)

    def test_software_name_is_judged(self):
        c = self.client()
        r = c.call(API_VERSIONS, 3, cstring("no blanks") + cstring("1") + TAGS)
        self.assertEqual(r.i16(), INVALID_REQUEST)


class MetadataReplies(Kafka):
    def test_every_version_names_topics_and_one_node(self):
        self.broker.run("topic", "create", "orders", "--partitions", "2")
        c = self.client()
        for version in range(0, 10):
            m = kafka.metadata(c, version)
            self.assertEqual(list(m.topics), ["orders"])
            self.assertEqual(m.topics["orders"], (0, [0, 1]))
            self.assertEqual(list(m.brokers.values()), [("127.0.0.1", int(self.broker.kafka.rsplit(":")[1]))])
            if version >= 1:
                self.assertIn(m.controller, m.brokers)
                self.assertEqual(kafka.metadata(c, version, []).topics, {})
            if version >= 2:
                self.assertRegex(m.cluster, "^[a-zA-Z0-9-]+$")
            if version >= 7:
                self.assertGreaterEqual(m.epoch, 0)

    def test_identity_survives_a_restart(self):
        before = kafka.metadata(self.client(), 9)
        self.broker.restart(kill=True)
        after = kafka.metadata(self.client(), 9)
        self.assertEqual((before.cluster, list(before.brokers)), (after.cluster, list(after.brokers)))

    def test_asking_creates_only_where_allowed(self):
        c = self.client()
        self.assertEqual(kafka.metadata(c, 9, ["made"], create=False).topics, {"made": (UNKNOWN_TOPIC, [])})
        self.assertEqual(kafka.metadata(c, 9, ["made", "made"]).topics, {"made": (0, [0, 1, 2])})
        self.assertEqual(kafka.metadata(c, 0, ["old"]).topics["old"][0], 0)
        wrong = kafka.metadata(c, 9, ["not a name", "", "..", "__mine"]).topics
        self.assertEqual([error for error, _ in wrong.values()],
                         [INVALID_TOPIC, INVALID_TOPIC, INVALID_TOPIC, UNKNOWN_TOPIC])
        self.broker.restart(kill=True)
        self.assertEqual(sorted(kafka.metadata(self.client(), 9).topics), ["made", "old"])

    def test_internal_topics_are_hidden(self):
        c = self.client()
        self.assertEqual(kafka.metadata(c, 9).topics, {})
        self.assertEqual(kafka.metadata(c, 9, ["__catalog"]).topics["__catalog"][0], UNKNOWN_TOPIC)

    def test_requests_may_be_pipelined_from_the_first_byte(self):
        c = self.client()
        c.send(API_VERSIONS, 0, b"")
        c.send(METADATA, 0, array([]))
        for i in range(50):
            c.send(METADATA, 1, array([string("topic-%d" % i)]))
            c.send(API_VERSIONS, 1, b"")
        self.assertEqual(kafka.read_api_versions(c.reply(), 0)[0], 0)
        self.assertEqual(kafka.Metadata(c.reply(), 0).topics, {})
        for i in range(50):
            self.assertEqual(kafka.Metadata(c.reply(), 1).topics["topic-%d" % i], (0, [0, 1, 2]))
            self.assertEqual(kafka.read_api_versions(c.reply(), 1)[0], 0)


class NotCreating(Kafka):
    env = {"RUNNEL_KAFKA_AUTO_CREATE": "false"}

    def test_nothing_is_created(self):
        m = kafka.metadata(self.client(), 9, ["made"])
        self.assertEqual(m.topics, {"made": (UNKNOWN_TOPIC, [])})


class Refusals(Kafka):
    def closed_with(self, raw, words):
        c = self.client()
        c.send_raw(raw)
        self.assertTrue(c.closed())
        self.assertIn(words, self.broker.messages())
        self.assertEqual(kafka.api_versions(self.client())[0], 0)  # everybody else is served

    def request(self, key, version, rest=b""):
        body = i16(key) + i16(version) + i32(1) + rest
        return i32(len(body)) + body

    def test_unknown_keys_and_versions(self):
        self.closed_with(self.request(999, 0, string("x")), "unknown API 999")
        self.closed_with(self.request(METADATA, 99, string("x")), "version 99 of API 3")
        self.closed_with(self.request(METADATA, -1, string("x")), "version -1 of API 3")

    def test_other_protocols(self):
        self.closed_with(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "looks like HTTP")
        self.closed_with(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "looks like TLS")

    def test_sizes(self):
        self.closed_with(i32(0), "framing is lost")
        self.closed_with(i32(-5), "framing is lost")
        self.closed_with(i32(200 << 20), "frame of 209715204 bytes")
        self.closed_with(i32(3) + b"abc", "too short for a header")

    def test_malformed_bodies(self):
        self.closed_with(self.request(METADATA, 1, string("x") + i32(5) + string("one")), "body is malformed")
        self.closed_with(self.request(METADATA, 1, string("x") + i32(1 << 30)), "body is malformed")
        self.closed_with(self.request(METADATA, 1, string("x") + i32(-2)), "body is malformed")
        self.closed_with(self.request(METADATA, 1, i16(-2)), "client id")
        self.closed_with(self.request(METADATA, 9, string("x") + b"\xff\xff\xff\xff\xff"), "tagged fields")

    def test_one_byte_at_a_time(self):
        c = self.client()
        for byte in self.request(METADATA, 1, string("x") + array([string("slow")])):
            c.send_raw(bytes([byte]))
        c.waiting.append((1, METADATA, 1))
        self.assertEqual(kafka.Metadata(c.reply(), 1).topics["slow"][0], 0)


class Addresses(unittest.TestCase):
    def start(self, *urls, insecure=False):
        args = [a for url in urls for a in ("--listen", url)] + (["--insecure"] if insecure else [])
        broker = Broker(args=args)
        self.addCleanup(broker.close)
        return broker

    def told(self, address):
        c = Client(address)
        self.addCleanup(c.close)
        return list(kafka.metadata(c, 9).brokers.values())[0]

    def test_each_listener_advertises_its_own(self):
        broker = self.start("kafka://127.0.0.1:0?advertise=broker.example:19092", "kafka://127.0.0.1:0")
        first, second = [a.removeprefix("kafka://") for a in broker.addresses if a.startswith("kafka://")]
        self.assertEqual(self.told(first), ("broker.example", 19092))
        self.assertEqual(self.told(second), ("127.0.0.1", int(second.rsplit(":")[1])))

    def test_everywhere_advertises_where_the_client_came(self):
        broker = self.start("kafka://*:0", insecure=True)
        port = int(broker.kafka.rsplit(":")[1])
        self.assertEqual(self.told("127.0.0.1:%d" % port), ("127.0.0.1", port))
        self.assertEqual(self.told("127.0.0.2:%d" % port), ("127.0.0.2", port))

    def test_refused(self):
        for url, words in (("kafka://0.0.0.0:0", "--insecure"), ("kafka://127.0.0.1", "not an address"),
                           ("kafka://127.0.0.1:0?advertise=", "advertise=HOST:PORT"),
                           ("kafka://127.0.0.1:0?advertise=*:9092", "advertise=HOST:PORT"),
                           ("kafka://127.0.0.1:0?advertise=x:0", "advertise=HOST:PORT"),
                           ("kafka://127.0.0.1:0?adverise=x:1", "advertise=HOST:PORT")):
            with self.assertRaisesRegex(BrokerError, words.replace("*", r"\*")):
                self.start(url)


if __name__ == "__main__":
    unittest.main()
