#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""runnel-bench against a real broker: what it prints, and that its own checks find nothing."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker, binary  # noqa: E402

WAIT = 120.0
RESULT_KEYS = {
    "events",
    "seconds",
    "events_per_s",
    "mb_per_s",
    "ack_us",
    "e2e_us",
    "cpu_s_per_million",
    "rss_mb",
    "errors",
}
LATENCY_KEYS = {"p50", "p95", "p99", "p999", "p9999", "max"}
SHORT = ["--duration", "0.3", "--warmup", "0.1", "-o", "json"]


def bench(*args):
    return subprocess.run([binary("runnel-bench"), *args], capture_output=True, text=True, timeout=WAIT)


class Limits(unittest.TestCase):
    def test_prints_every_limit(self):
        with tempfile.TemporaryDirectory(dir=os.environ.get("RUNNEL_TEST_DIR")) as directory:
            done = bench("limits", "--quick", "-o", "json", "--dir", directory)
        if done.returncode and "Invalid argument" in done.stderr:
            self.skipTest("no direct I/O here: " + done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
        limits = json.loads(done.stdout)
        for name in ("loopback_rtt_us", "loopback_rtt_us_spinning"):
            self.assertEqual(set(limits[name]), LATENCY_KEYS)
        for name in ("journal_write_us", "journal_write_us_spinning"):
            self.assertEqual(set(limits[name]), {"4k", "64k", "256k", "1m"})
            self.assertGreater(limits[name]["4k"]["p50"], 0)
        self.assertGreater(limits["seq_write_mb_per_s"], 0)
        self.assertGreater(limits["loopback_mb_per_s"], 0)


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def run_ok(self, *args):
        done = bench(*args, "--url", self.broker.url)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertLessEqual(RESULT_KEYS, set(result))
        self.assertEqual(set(result["ack_us"]), LATENCY_KEYS)
        self.assertEqual(set(result["e2e_us"]), LATENCY_KEYS)
        self.assertEqual(result["errors"], 0)
        self.assertGreater(result["events"], 0)
        self.assertGreater(result["rss_mb"], 0)
        return result

    def test_publish_paced(self):
        result = self.run_ok("publish", "--rate", "1000", *SHORT)
        self.assertGreater(result["ack_us"]["p50"], 0)

    def test_publish_a_number_of_events(self):
        result = self.run_ok("publish", "--events", "10001", "--batch", "64", "-o", "json")
        self.assertEqual(result["events"], 10001)

    def test_every_way_to_acknowledge(self):
        for acks in ("durable", "memory", "none"):
            with self.subTest(acks=acks):
                self.run_ok("publish", "--acks", acks, *SHORT)

    def test_e2e_over_topics_partitions_and_connections(self):
        for driver in ("runnel", "librunnel"):
            with self.subTest(driver=driver):
                result = self.run_ok(
                    *("e2e", "--driver", driver, "--rate", "2000", "--topics", "2", "--partitions", "3"),
                    *("--connections", "2", "--idle", "5", *SHORT),
                )
                self.assertGreater(result["e2e_us"]["p50"], 0)

    def test_consume_in_every_mode(self):
        for driver in ("runnel", "librunnel"):
            for mode in ("history", "memory"):
                with self.subTest(driver=driver, mode=mode):
                    result = self.run_ok(
                        *("consume", "--driver", driver, "--mode", mode),
                        *("--events", "20000", "--passes", "2", "-o", "json"),
                    )
                    self.assertEqual(result["events"], 40000)
            self.run_ok("consume", "--driver", driver, "--mode", "live", *SHORT)

    def test_rebalance(self):
        args = ("--members", "7", "--partitions", "20", "--rounds", "2", "-o", "json", "--url", self.broker.url)
        done = bench("rebalance", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual((result["members"], result["partitions"], result["rounds"]), (7, 20, 2))
        for figure in ("killed_ms", "joined_ms"):
            self.assertEqual(set(result[figure]), {"p50", "p95", "max"})
            self.assertGreater(result[figure]["p50"], 0)
            self.assertGreaterEqual(result[figure]["max"], result[figure]["p95"])

    def test_redrive(self):
        done = bench("redrive", "--events", "2500", "--partitions", "3", "-o", "json", "--url", self.broker.url)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["events"], 2500)
        for figure in ("group", "to_topic"):
            self.assertGreater(result[figure]["events_per_s"], 0)

    def test_a_lying_history_is_found(self):
        # Two runs into one topic: the second one's subscriber must not be content with the first one's events.
        topic = ["--topic", "kept", "--events", "500", "-o", "json"]
        self.run_ok("publish", *topic)
        done = bench("consume", *topic, "--url", self.broker.url)
        self.assertEqual(done.returncode, 7, done.stdout)
        self.assertGreater(json.loads(done.stdout)["errors"], 0)
        self.assertIn("error:", done.stderr)


class Mistakes(unittest.TestCase):
    def test_wrong_usage_is_2(self):
        for args in ([], ["nonsense"], ["publish", "--size", "3"], ["publish", "--driver", "x"], ["publish", "--what"],
                     ["redrive", "--driver", "nats"], ["rebalance", "--members", "1"]):
            with self.subTest(args=args):
                done = bench(*args)
                self.assertEqual(done.returncode, 2)
                self.assertTrue(done.stderr.startswith("error: "), done.stderr)

    def test_no_broker_is_1(self):
        done = bench("publish", "--url", "tcp://127.0.0.1:1", *SHORT)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot connect", done.stderr)


class Compare(unittest.TestCase):
    def test_one_scenario(self):
        with tempfile.TemporaryDirectory(dir=os.environ.get("RUNNEL_TEST_DIR")) as directory:
            plots = os.path.join(directory, "plots")
            done = bench(
                *("compare", "--only", "idle", "--quick", "--runs", "1", "-o", "json", "--dir", directory),
                *("--svg", plots),
            )
            found = json.loads(done.stdout)["scenarios"]
            self.assertEqual([s["name"] for s in found], ["idle"], done.stderr)
            runnel = found[0]["contenders"][0]
            self.assertEqual(runnel["name"], "runnel")
            self.assertIsNotNone(runnel["figures"]["cpu_percent"]["median"], done.stderr)
            xml.dom.minidom.parse(os.path.join(plots, "idle.svg"))
            self.assertEqual(os.listdir(directory), ["plots"])


if __name__ == "__main__":
    unittest.main()
