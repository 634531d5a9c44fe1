# SPDX-License-Identifier: Apache-2.0
"""kcat: listing, every codec, offsets by count and time, keys and nulls, groups of two."""

import collections
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker  # noqa: E402

if not shutil.which("kcat"):
    print("skipped: kcat is not installed (apt-get install kcat)")
    sys.exit(77)


class Kcat(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))
        self.addCleanup(self.broker.close)

    def kcat(self, *args, input=None):
        done = subprocess.run(["kcat", "-b", self.broker.kafka] + list(args), input=input, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(b"does not support", done.stderr)
        return done.stdout.decode()

    def test_lists(self):
        self.broker.run("topic", "create", "orders", "--partitions", "2")
        listing = json.loads(self.kcat("-L", "-J"))
        self.assertEqual([(t["topic"], len(t["partitions"])) for t in listing["topics"]], [("orders", 2)])
        self.assertEqual(listing["brokers"], [{"id": 1, "name": self.broker.kafka}])

    def test_codecs(self):
        lines = "".join("line %d\n" % i for i in range(500))
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            self.kcat("-t", codec, "-p", "0", "-P", "-H", "h=1", "-z", codec, "-d", "msg", input=lines.encode())
            self.assertEqual(self.kcat("-t", codec, "-C", "-e", "-q", "-f", "%s\n"), lines)
            self.assertEqual(self.kcat("-t", codec, "-C", "-e", "-q", "-c", "1", "-f", "%h"), "h=1")

    def test_positions(self):
        self.kcat("-t", "t", "-p", "0", "-P", input=b"a\nb\nc\n")
        self.assertEqual(self.kcat("-t", "t", "-C", "-p", "0", "-o", "-2", "-e", "-q"), "b\nc\n")
        self.assertEqual(self.kcat("-t", "t", "-C", "-p", "0", "-o", "s@1700000000000", "-e", "-q"), "a\nb\nc\n")
        self.assertEqual(self.kcat("-Q", "-t", "t:0:-1").split(), ["t", "[0]", "offset", "3"])

    def test_keys_and_nulls(self):
        self.kcat("-t", "t", "-p", "0", "-P", "-K:", "-Z", input=b"gone:\nk:v\n")
        self.assertEqual(self.kcat("-t", "t", "-C", "-e", "-q", "-f", "%k %S\n"), "gone -1\nk 1\n")

    def test_acks_none_and_too_large(self):
        self.kcat("-t", "t", "-p", "0", "-P", "-X", "acks=0", input=b"quiet\n")
        self.assertEqual(self.kcat("-t", "t", "-C", "-e", "-q"), "quiet\n")
        done = subprocess.run(["kcat", "-b", self.broker.kafka, "-t", "t", "-P", "-X", "message.max.bytes=3000000"],
                              input=b"x" * 1500000, stderr=subprocess.PIPE, timeout=120)
        self.assertIn(b"Message size too large", done.stderr)

    def test_group_of_two(self):
        numbers = "".join("%d\n" % i for i in range(3000))
        self.kcat("-t", "t", "-P", input=numbers.encode())
        members = [subprocess.Popen(["kcat", "-b", self.broker.kafka, "-G", "g", "t", "-q", "-e", "-X",
                                     "auto.offset.reset=earliest"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                   for _ in range(2)]
        got = collections.Counter()
        for m in members:
            got.update(m.communicate(timeout=120)[0].split())
        self.assertEqual(set(got), set(numbers.encode().split()))


if __name__ == "__main__":
    unittest.main()
