#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The client library against a real broker: its examples, and what it promises when the broker is killed."""

import pathlib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker, binary  # noqa: E402

WAIT = 120.0  # only a failure waits that long


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)

    def example(self, name, *args, **more):
        env = dict(self.broker.env, RUNNEL_URL=self.broker.url)
        done = subprocess.run([binary("example_" + name), *args], env=env, timeout=WAIT, capture_output=True, **more)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def test_publish_and_subscribe(self):
        said = self.example("publish", "orders", input=b"one\ntwo\nthree\n")
        self.assertEqual(len(said.splitlines()), 3)
        self.assertIn("line 1: partition", said)
        got = self.example("subscribe", "orders", "start")
        self.assertEqual(sorted(line.split("\t")[2] for line in got.splitlines()), ["one", "three", "two"])
        self.assertEqual(len(self.example("subscribe", "orders", "-1", "1").splitlines()), 1)

    def test_event_loop(self):
        self.assertEqual(self.example("eventloop", "loop", "20000"), "20000 events stored, 20000 received\n")

    def test_event_loop_while_the_broker_is_killed(self):
        """Nothing is lost, nothing comes twice: the example counts both ways."""
        result = []
        worker = threading.Thread(target=lambda: result.append(self.example("eventloop", "loop", "300000")))
        worker.start()
        while worker.is_alive():
            worker.join(0.3)
            if worker.is_alive():
                self.broker.kill9()
                self.broker.start()
        self.assertEqual(result, ["300000 events stored, 300000 received\n"])

    def test_examples_say_what_is_wrong(self):
        done = subprocess.run([binary("example_subscribe"), "no-such-topic"], timeout=WAIT, capture_output=True,
                              env=dict(self.broker.env, RUNNEL_URL=self.broker.url))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"no-such-topic", done.stderr)
        self.broker.kill9()
        done = subprocess.run([binary("example_publish"), "orders"], timeout=WAIT, capture_output=True,
                              env=dict(self.broker.env, RUNNEL_URL=self.broker.url))
        self.assertEqual(done.returncode, 6)


if __name__ == "__main__":
    unittest.main()
