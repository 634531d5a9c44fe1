#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checker itself: each rule is shown one history that keeps it and at least one that breaks it."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checker import History, Record, summary  # noqa: E402


def rec(offset, payload, partition=0, topic="t"):
    return Record(topic, partition, offset, payload)


class Rules(unittest.TestCase):
    def setUp(self):
        self.h = History()
        for i in range(4):
            self.h.sent("t", 0, b"e%d" % i, producer="a")
        for i in range(3):
            self.h.acked("t", 0, i, b"e%d" % i)
        self.good = [rec(i, b"e%d" % i) for i in range(3)]

    def rules(self, reading, again=None, first=True, **options):
        if first:
            self.h.seen.clear()
        return sorted({v.rule for v in self.h.check(reading, again, **options)})

    def test_good(self):
        self.assertEqual(self.rules(self.good, list(self.good)), [])
        self.assertEqual(self.rules(self.good + [rec(3, b"e3")]), [], "unacknowledged may appear")

    def test_lost(self):
        self.assertEqual(self.rules(self.good[:2]), ["lost"])
        self.assertEqual(self.rules([]), ["lost"])

    def test_moved(self):
        self.assertEqual(self.rules([rec(0, b"e0"), rec(1, b"e1"), rec(3, b"e2")], gaps=True), ["moved"])
        self.assertIn("moved", self.rules([rec(0, b"e1"), rec(1, b"e0"), rec(2, b"e2")]))

    def test_never_sent(self):
        self.assertEqual(self.rules(self.good + [rec(3, b"ghost")]), ["never-sent"])
        self.assertEqual(self.rules(self.good + [rec(3, b"e")]), ["never-sent"], "half an event")
        self.assertEqual(self.rules(self.good + [rec(0, b"e3", partition=1)]), ["never-sent"])

    def test_changed_bytes(self):
        self.assertEqual(self.rules([rec(0, b"e0"), rec(1, b"x1"), rec(2, b"e2")]),
                         ["lost", "never-sent", "two-contents"])

    def test_duplicate(self):
        twice = self.good + [rec(3, b"e2")]
        self.assertEqual(self.rules(twice), ["duplicate"])
        self.assertEqual(self.rules(twice, duplicates=True), [])
        self.h.sent("t", 0, b"e2", producer="a")
        self.assertEqual(self.rules(twice), [], "sent twice, there twice")

    def test_two_contents(self):
        self.assertIn("two-contents", self.rules(self.good + [rec(2, b"e3")]))
        self.h.acked("t", 0, 2, b"e3")
        self.assertIn("two-contents", self.rules(self.good))

    def test_order(self):
        h = self.h = History()
        for i in range(3):
            h.sent("t", None, b"e%d" % i, producer="a")
            h.sent("t", None, b"f%d" % i, producer="b")
        self.assertEqual(self.rules([rec(0, b"f0"), rec(1, b"e0"), rec(2, b"f1"), rec(3, b"e2")]), [])
        self.assertEqual(self.rules([rec(0, b"e1"), rec(1, b"e0")]), ["order"])
        self.assertEqual(self.rules([rec(0, b"e1"), rec(0, b"e0", partition=1)]), [], "another partition")
        self.assertEqual(self.rules([rec(1, b"e0"), rec(0, b"e1")]), ["order"])

    def test_gap(self):
        reading = [rec(0, b"e0"), rec(1, b"e1"), rec(2, b"e2"), rec(4, b"e3")]
        self.assertEqual(self.rules(reading), ["gap"])
        self.assertEqual(self.rules(reading, gaps=True), [])

    def test_delivered_stays(self):
        self.assertEqual(self.rules(self.good + [rec(3, b"e3")]), [])
        self.assertEqual(self.rules(self.good, first=False), ["lost"], "it was read once, although never acknowledged")
        self.h.sent("t", 0, b"e4", producer="a")
        self.assertEqual(self.rules(self.good + [rec(3, b"e4")], first=False), ["two-contents"])

    def test_trimmed(self):
        self.assertEqual(self.rules(self.good), [])
        self.h.trimmed("t", 0, 2)
        self.assertEqual(self.rules(self.good[2:], first=False), [])

    def test_groups(self):
        h = self.h = History()
        for group in ("g1", "g2"):
            for topic in ("t", "u"):
                h.sent(topic, 0, group.encode(), group=group)
        whole = [rec(0, b"g1"), rec(0, b"g1", topic="u")]
        self.assertEqual(self.rules(whole), [])
        self.assertEqual(self.rules(whole + [rec(1, b"g2")]), ["torn"])

    def test_agreement(self):
        self.assertEqual(self.rules(self.good, self.good + [rec(3, b"e3")]), ["disagree"])
        self.assertEqual(self.rules(self.good, self.good[:2]), ["disagree"])

    def test_summary_is_short(self):
        text = summary(self.h.check([rec(i, b"ghost") for i in range(1000)]))
        self.assertLess(len(text.splitlines()), 80)
        self.assertIn("1000 in all", text)

    def test_an_unsent_acknowledgement_is_the_test_s_own_mistake(self):
        self.assertRaises(ValueError, self.h.acked, "t", 0, 9, b"nothing")


class Program(unittest.TestCase):
    def test_files(self):
        checker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checker.py")
        with tempfile.TemporaryDirectory() as d:
            def write(name, lines):
                path = os.path.join(d, name)
                with open(path, "w", encoding="utf-8") as f:
                    f.writelines(json.dumps(x) + "\n" for x in lines)
                return path
            event = {"topic": "t", "partition": 0, "offset": 0, "payload": "x"}
            history = write("h", [{"kind": "sent", **event}, {"kind": "acked", **event}])
            good, empty = write("g", [event]), write("e", [])
            run = [sys.executable, checker, history]
            self.assertEqual(subprocess.run(run + [good, good]).returncode, 0)
            bad = subprocess.run(run + [empty], capture_output=True, text=True)
            self.assertEqual((bad.returncode, bad.stdout.split(":")[0]), (1, "lost"))
            self.assertEqual(subprocess.run(run, capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()
