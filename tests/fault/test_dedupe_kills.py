# SPDX-License-Identifier: Apache-2.0
"""Duplicate windows while the broker is killed: publishers send everything twice, in batches that mix new events
and old ones, while the broker gets SIGKILL at random moments and starts again.

At the end no id is stored twice, every id with an answer is stored, and every answer named the place where that
is. (A publisher may be told that it cannot be known whether an event is stored: PRODUCER_UNKNOWN.)

RUNNEL_KILLS: ten times the kills (6 by default). RUNNEL_SEED: of everything random; printed at the beginning.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker  # noqa: E402

KILLS = max(6, int(os.environ.get("RUNNEL_KILLS", "0")) // 10)
SEED = int(os.environ.get("RUNNEL_SEED", str(time.time_ns() % 1000000)))
for name in ("RUNNEL_KILLS", "RUNNEL_SEED"):
    os.environ.pop(name, None)  # the broker takes RUNNEL_* for its settings
REPUBLISH = sys.argv.pop()
PARTITIONS, IN_DOUBT = 3, 57
WAIT = 300.0
# Each publisher's events and options: pipelined, compressed, one at a time, not idempotent.
PUBLISHERS = [
    (20000, ["batch.bytes=8192"]),
    (20000, ["batch.bytes=16384", "compression=lz4"]),
    (3000, ["batch.bytes=1024", "compression=zstd"]),
    (3000, ["batch.bytes=2048", "idempotent=false"]),
]


def stored(broker):
    """id -> [(partition, offset)]"""
    places, offsets = {}, {p: 0 for p in range(PARTITIONS)}
    for line in broker.run("read", "t", "-e", "-o", "jsonl").stdout.splitlines():
        event = json.loads(line)
        partition, offset = event["partition"], event["offset"]
        assert offset == offsets[partition], "offset %d of %d is missing" % (offsets[partition], partition)
        offsets[partition] += 1
        places.setdefault(int(dict(event["headers"])["ce_id"]), []).append((partition, offset))
    return places


class DedupeKills(unittest.TestCase):
    def test_every_id_is_stored_once_and_every_answer_says_where(self):
        print("RUNNEL_SEED=%d" % SEED, file=sys.stderr)
        rng = random.Random(SEED)
        # A small journal: checkpoints, and files of ids, come often.
        settings = {"RUNNEL_FRAME_BYTES_MAX": "256KiB", "RUNNEL_BATCH_BYTES_MAX": "128KiB",
                    "RUNNEL_TOPIC_MAX_MESSAGE_BYTES": "128KiB",
                    "RUNNEL_JOURNAL_FILE_BYTES": "3MiB", "RUNNEL_JOURNAL_FILES_MAX": "2"}
        with Broker(env=settings) as broker:
            broker.run("topic", "create", "t", "--partitions", PARTITIONS, "--config", "dedupe.window=on")
            first, running, expected = 1, [], set()
            for i, (count, options) in enumerate(PUBLISHERS):
                out = open(os.path.join(broker.work, "answers%d" % i), "w+b")
                command = [REPUBLISH, broker.url, "t", str(first), str(count), str(SEED % 1000 + i),
                           "retry.for.ms=120000"] + options
                self.addCleanup(out.close)
                running.append((subprocess.Popen(command, stdout=out), out))
                expected.update(range(first, first + count))
                first += count
            for _ in range(KILLS):
                if all(p.poll() is not None for p, _ in running):
                    break
                time.sleep(rng.random() * 0.4)  # the moment of the kill: any will do
                broker.kill9()
                broker.start()
            for p, _ in running:
                self.assertEqual(p.wait(WAIT), 0)
            self.check(expected, stored(broker), [out for _, out in running])
            # And all of it once more, after the next start, is told from memory of the window alone.
            broker.restart()
            with open(os.path.join(broker.work, "again"), "w+b") as out:
                subprocess.run([REPUBLISH, broker.url, "t", "1", "20000", "1"], stdout=out, check=True,
                               timeout=WAIT)
                self.check(expected, stored(broker), [out], all_duplicates=True)

    def check(self, expected, places, outputs, all_duplicates=False):
        twice = {i: at for i, at in places.items() if len(at) > 1}
        self.assertEqual(twice, {}, "stored twice")
        self.assertLessEqual(set(places), expected, "nothing else is stored")
        answers = duplicates = doubts = 0
        for out in outputs:
            out.seek(0)
            for line in out:
                number, error, duplicate, partition, offset = map(int, line.split())
                if error == IN_DOUBT:
                    doubts += 1
                    continue
                self.assertEqual(error, 0, "event %d was refused" % number)
                self.assertIn(number, places, "an answered event is not stored")
                self.assertEqual((partition, offset), places[number][0], "answer for event %d" % number)
                answers += 1
                duplicates += duplicate == 2
        print("%d answers, %d of them duplicates, %d doubts" % (answers, duplicates, doubts), file=sys.stderr)
        self.assertLess(doubts, len(expected) // 10)
        self.assertGreater(duplicates, answers * 9 // 10 if all_duplicates else answers // 4)


if __name__ == "__main__":
    unittest.main()
