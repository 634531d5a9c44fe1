# SPDX-License-Identifier: Apache-2.0
"""librdkafka, from C: topics, every codec, headers, times, groups of two; and a broker killed under a producer."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker, binary  # noqa: E402

PROGRAM = binary("interop_librdkafka")
if not os.path.exists(PROGRAM):
    print("skipped: interop_librdkafka is not built (apt-get install librdkafka-dev)")
    sys.exit(77)


class Librdkafka(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))
        self.addCleanup(self.broker.close)

    def test_everything(self):
        done = subprocess.run([PROGRAM, "check", self.broker.kafka], stderr=subprocess.PIPE, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        self.assertNotIn("does not support", done.stderr)  # librdkafka's message when it leaves a codec out

    def test_killed_under_an_idempotent_producer(self):
        count, kills = 20000, 3
        self.broker.run("topic", "create", "numbers", "--partitions", "1")
        producer = subprocess.Popen([PROGRAM, "produce", self.broker.kafka, "numbers", str(count)],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(producer.kill)
        self.addCleanup(producer.stdout.close)
        for i in range(kills):
            for line in producer.stdout:  # it tells how many were acknowledged
                if int(line) > count * i // (kills + 1):
                    break
            self.broker.restart(kill=True)
        producer.stdout.read()
        self.assertEqual(producer.wait(300), 0)
        out = self.broker.run("read", "numbers", "-p", "0", "-e", "--raw").stdout
        self.assertEqual(re.findall(rb"\d+", out), [b"%d" % i for i in range(count)])


if __name__ == "__main__":
    unittest.main()
