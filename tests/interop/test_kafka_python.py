# SPDX-License-Identifier: Apache-2.0
"""kafka-python (Debian: python3-kafka): produced, consumed in a group, looked up, administered; and both doors."""

import importlib.util
import json
import os
import pathlib
import sys
import unittest

DEBIAN = "/usr/bin/python3"
if importlib.util.find_spec("kafka") is None:
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN) and os.path.exists(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, "-B", __file__] + sys.argv[1:])
    print("skipped: no module kafka (apt-get install python3-kafka)")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker  # noqa: E402
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition  # noqa: E402
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic  # noqa: E402
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError  # noqa: E402

TIME = 1700000000000


class KafkaPython(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))
        self.addCleanup(self.broker.close)

    def producer(self, **settings):
        p = KafkaProducer(bootstrap_servers=self.broker.kafka, **settings)
        self.addCleanup(p.close)
        return p

    def consumer(self, *topics, **settings):
        c = KafkaConsumer(*topics, bootstrap_servers=self.broker.kafka, auto_offset_reset="earliest", **settings)
        self.addCleanup(c.close)
        return c

    def read(self, consumer, count):
        out = []
        while len(out) < count:
            for records in consumer.poll(60000).values():
                out += records
        return out

    def test_events_of_every_codec_come_back(self):
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            try:
                p = self.producer(compression_type=codec, acks="all")
            except AssertionError as error:  # its own library for the codec is not installed
                print("codec %s is left out: %s" % (codec, error))
                continue
            sent = [p.send("events", b"v%d" % i, key=b"k%d" % i, headers=[("h", b"%d" % i)], partition=0,
                           timestamp_ms=TIME + i).get(60) for i in range(20)]
            self.assertEqual([s.offset for s in sent], list(range(sent[0].offset, sent[0].offset + 20)))
            c = self.consumer()
            c.assign([TopicPartition("events", 0)])
            c.seek(TopicPartition("events", 0), sent[0].offset)
            got = self.read(c, 20)
            self.assertEqual([(r.key, r.value, r.headers, r.timestamp) for r in got],
                             [(b"k%d" % i, b"v%d" % i, [("h", b"%d" % i)], TIME + i) for i in range(20)])

    def test_group_goes_on_where_it_was(self):
        p = self.producer()
        for i in range(10):
            p.send("orders", b"%d" % i, partition=i % 3).get(60)
        first = self.consumer("orders", group_id="g", enable_auto_commit=False)
        self.assertEqual(len(self.read(first, 10)), 10)
        first.commit()
        first.close()
        p.send("orders", b"new", partition=1).get(60)
        self.assertEqual([r.value for r in self.read(self.consumer("orders", group_id="g"), 1)], [b"new"])
        lag = json.loads(self.broker.run("group", "describe", "g", "-o", "json").stdout)
        self.assertIn("orders", json.dumps(lag))

    def test_looks_up_offsets(self):
        p = self.producer()
        for i in range(5):
            p.send("t", b"%d" % i, partition=0, timestamp_ms=TIME + i * 10).get(60)
        c, t0 = self.consumer(), TopicPartition("t", 0)
        self.assertEqual((c.beginning_offsets([t0]), c.end_offsets([t0])), ({t0: 0}, {t0: 5}))
        found = c.offsets_for_times({t0: TIME + 15})[t0]
        self.assertEqual((found.offset, found.timestamp), (2, TIME + 20))

    def test_administers(self):
        admin = KafkaAdminClient(bootstrap_servers=self.broker.kafka)
        self.addCleanup(admin.close)
        admin.create_topics([NewTopic("a", 2, 1, topic_configs={"retention.ms": "60000"})])
        with self.assertRaises(TopicAlreadyExistsError):
            admin.create_topics([NewTopic("a", 2, 1)])
        admin.create_partitions({"a": NewPartitions(5)})
        self.assertEqual(len(admin.describe_topics(["a"])[0]["partitions"]), 5)
        resource = ConfigResource(ConfigResourceType.TOPIC, "a", {"retention.ms": "70000"})
        admin.alter_configs([resource])
        reply = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "a")])[0]
        self.assertIn(("retention.ms", "70000"), [row[:2] for row in reply.resources[0][4]])
        admin.delete_topics(["a"])
        with self.assertRaises(UnknownTopicOrPartitionError):
            admin.delete_topics(["a"])

    def test_both_doors_lead_to_one_log(self):
        self.broker.run("pub", "mixed", "from runnel", "-k", "key", "-H", "h=1", "-p", "0")
        self.producer().send("mixed", b"from kafka", key=b"key", headers=[("h", b"1")], partition=0).get(60)
        c = self.consumer()
        c.assign([TopicPartition("mixed", 0)])
        got = self.read(c, 2)
        self.assertEqual([r.value for r in got], [b"from runnel", b"from kafka"])
        self.assertEqual([(r.key, dict(r.headers)["h"]) for r in got], [(b"key", b"1")] * 2)
        rows = self.broker.run("read", "mixed", "-p", "0", "-e", "-o", "jsonl").stdout.decode().splitlines()
        self.assertEqual(len(rows), 2)
        self.assertIn("from kafka", rows[1])


if __name__ == "__main__":
    unittest.main()
