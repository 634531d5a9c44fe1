# SPDX-License-Identifier: Apache-2.0
"""What tests of the command line have in common: one broker for a class of tests, commands that must fail well."""

import unittest

from broker import Broker


class CliCase(unittest.TestCase):
    """One broker for all tests of a class; each test has a topic of its own, named after the test."""

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def setUp(self):
        self.topic = self.id().rpartition(".")[2].replace("test_", "")

    def run_cli(self, *args, **kwargs):
        return self.broker.run(*args, **kwargs)

    def fails(self, code, *args, **kwargs):
        """Runs it, wants this exit code and one `error: what (where): fix` line; gives that line."""
        done = self.broker.run(*args, check=False, **kwargs)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, code, "%s: %s" % (args, text))
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(errors), 1, text)
        self.assertRegex(errors[0], r"^error: .+ \(.+\): .+")
        return errors[0]
