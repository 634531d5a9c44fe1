#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo of `./dev run` ends well, twice on the same directory, and ends badly when there is no broker to show."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

DEMO = pathlib.Path(__file__).resolve().parents[1] / "demo" / "demo.py"


def demo(data, **env):
    return subprocess.run([sys.executable, "-B", DEMO, "--data", data, "--events", "30000"], text=True, timeout=240,
                          env=dict(os.environ, **env), stdin=subprocess.DEVNULL, capture_output=True)


class Demo(unittest.TestCase):
    def test_nothing_is_lost(self):
        with tempfile.TemporaryDirectory() as data:
            for _ in range(2):
                done = demo(data)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("0 lost", done.stdout)

    def test_a_broker_that_cannot_start(self):
        with tempfile.TemporaryDirectory() as data:
            done = demo(data, RUNNEL_BIN="/nonexistent")
            self.assertEqual(done.returncode, 1)
            self.assertTrue(done.stderr.startswith("error: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
