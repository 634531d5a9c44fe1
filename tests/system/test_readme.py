#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's first ten minutes, word for word: each of its shell blocks ends well against a real broker.

The block that starts the broker is the one that is not run: the test has one already, on a free port.
"""

import os
import re
import subprocess
import unittest

from broker import ROOT, Broker, bin_dir

SECTION = "## The first ten minutes"


def blocks():
    text = (ROOT / "README.md").read_text()
    section = text[text.index(SECTION):]
    section = section[:section.index("\n## ", 1)]
    return re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M)


class Readme(unittest.TestCase):
    def test_first_ten_minutes(self):
        found = blocks()
        self.assertGreater(len(found), 4)
        self.assertEqual([b for b in found if "runneld" in b], found[:1], "the first block starts the broker")
        with Broker() as broker:
            env = dict(os.environ, RUNNEL_URL=broker.url, PATH="%s:%s" % (bin_dir(), os.environ["PATH"]))
            for block in found[1:]:
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=env, cwd=broker.work, timeout=60,
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, "%s\n%s\n%s" % (block, done.stdout, done.stderr))
            self.assertEqual(broker.stop(), 0)
            subprocess.run([bin_dir() / "runnel", "verify", broker.data], check=True, stdout=subprocess.DEVNULL)

    def test_names(self):
        """Files and commands that the README names exist."""
        text = (ROOT / "README.md").read_text()
        for path in re.findall(r"seccomp=(\S+?\.json)", text):
            self.assertTrue((ROOT / path).exists(), path)
        usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
        for command in set(re.findall(r"\./dev (\w+)", text)):
            self.assertIn("\n  %s" % command, usage)


if __name__ == "__main__":
    unittest.main()
