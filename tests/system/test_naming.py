#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names of topics and what follows from them: the policy, templates, catalogues."""

import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from broker import ROOT, Broker, binary

CATALOGUE = ROOT / "configs" / "catalogue"
CONFIG = """
naming.policy: warn, strict=strict, quiet=off
templates:
  - match: "*.audit.*"
    partitions: 1
    retention.ms: -1
    envelope.require: event_id,user_id
  - match: "omni.*"
    partitions: 6
"""
WAIT = 60.0


def rows(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


class NamingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        work = tempfile.TemporaryDirectory(prefix="runnel-naming-")
        cls.addClassCleanup(work.cleanup)
        cls.config = pathlib.Path(work.name) / "runneld.yaml"
        cls.config.write_text(CONFIG)
        cls.broker = Broker(args=["--config", str(cls.config)])
        cls.addClassCleanup(cls.broker.close)

    def describe(self, topic):
        shown = json.loads(self.broker.run("topic", "describe", topic, "-o", "json").stdout)
        return len(shown["partitions"]), {c["name"]: c["value"] for c in shown["configs"]}

    def test_lint(self):
        good = ("omninode.x.event.y.v1", "omninode.audit.agent_execution.v1", "a.b.request.c-d_e.v12",
                "omninode.x.event.y.v1.dlq")
        done = self.broker.run("topic", "lint", *good, "-o", "jsonl")
        self.assertEqual([row["ok"] for row in rows(done)], [True] * len(good))
        for name, words in (("omninode.codegen.bogus.validate.v1", "segment 3, 'bogus', is no pattern"),
                            ("rfc.pr.ready", "3 segments"), ("a.b.event.c.1", "segment 5, '1', is no version"),
                            ("a.b.event.c.v0", "is no version"), ("A.b.event.c.v1", "is no namespace"),
                            ("a..event.c.v1", "segment 2, '', is no domain"), ("x", "1 segments")):
            done = self.broker.run("topic", "lint", name, "-o", "jsonl", check=False)
            self.assertEqual(done.returncode, 4)
            self.assertIn(words, rows(done)[0]["fault"])

    def test_policy(self):
        self.broker.restart()  # a process says the same thing ten times a second at most: other tests made it say some
        refused = self.broker.run("topic", "create", "strict.codegen.bogus.validate.v1", check=False)
        self.assertEqual(refused.returncode, 4)
        self.assertIn(b"NAME_REFUSED", refused.stderr)
        self.assertIn(b"'bogus', is no pattern", refused.stderr)
        self.assertEqual(self.broker.run("pub", "strict.auto", "{}", check=False).returncode, 4)
        self.broker.run("topic", "create", "strict.codegen.request.validate.v1")
        self.broker.run("topic", "create", "loose.name")
        self.assertIn("topic=loose.name", self.broker.messages())
        self.broker.run("topic", "create", "quiet.name")
        self.assertNotIn("topic=quiet.name", self.broker.messages())

    def test_templates(self):
        self.broker.run("topic", "create", "omni.audit.x.v1", "omni.y", "other")
        partitions, configs = self.describe("omni.audit.x.v1")
        self.assertEqual((partitions, configs["retention.ms"], configs["envelope.require"]),
                         (1, "-1", "event_id,user_id"))
        self.assertEqual((self.describe("omni.y")[0], self.describe("other")[0]), (6, 3))
        self.broker.run("topic", "create", "omni.audit.z.v1", "--partitions", "2", "--config", "retention.ms=1d")
        partitions, configs = self.describe("omni.audit.z.v1")
        self.assertEqual((partitions, configs["retention.ms"]), (2, "86400000"))
        self.broker.restart(kill=True)
        self.assertEqual(self.describe("omni.audit.x.v1")[1]["retention.ms"], "-1")

    def test_reload(self):
        self.config.write_text("naming.policy: strict\n")
        self.addCleanup(self.config.write_text, CONFIG)
        self.broker.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT
        while self.broker.run("topic", "create", "late-%d" % time.monotonic_ns(), check=False).returncode != 4:
            self.assertLess(time.monotonic(), deadline, self.broker.messages())
        self.broker.stop()
        self.config.write_text(CONFIG)
        self.broker.start()

    def test_bad_configuration(self):
        for text, words in (("naming.policy: loud", "'loud' is not possible"),
                            ("templates:\n  - partitions: 3", "match"),
                            ("templates:\n  - match: a\n    colour: red", ":3: "), ("templates: x", "templates")):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                f.write(text + "\n")
                f.flush()
                done = subprocess.run([binary("runneld"), "--check-config", f.name], capture_output=True, timeout=WAIT)
                self.assertNotEqual(done.returncode, 0, text)
                self.assertIn(words, done.stderr.decode(), text)

    def test_import(self):
        total = 0
        for name, prefix, count in (("omninode", "omninode.", 46), ("rfc", "rfc.", 5),
                                    ("orchestration", "orchestration.", 10), ("mesh", "", 9)):
            path = CATALOGUE / (name + ".yaml")
            dry = rows(self.broker.run("topic", "import", path, "--dry-run", "-o", "jsonl"))
            self.assertEqual({(r["result"], r["schema"]) for r in dry}, {("would be made", "would be registered")})
            self.assertTrue(all(row["topic"].startswith(prefix) for row in dry))
            made = rows(self.broker.run("topic", "import", path, "-o", "jsonl"))
            self.assertEqual((len(made), {(r["result"], r["schema"]) for r in made}), (count, {("made", "registered")}))
            again = rows(self.broker.run("topic", "import", path, "-o", "jsonl"))
            self.assertEqual({(r["result"], r["schema"]) for r in again}, {("exists", "known")})
            dry = rows(self.broker.run("topic", "import", path, "--dry-run", "-o", "jsonl"))
            self.assertEqual({(r["result"], r["schema"]) for r in dry}, {("exists", "known")})
            total += count
        self.assertEqual(self.describe("omninode.codegen.request.validate.v1")[0], 6)
        partitions, configs = self.describe("omninode.audit.agent_execution.v1")
        self.assertEqual((partitions, configs["retention.ms"]), (1, "-1"))
        self.assertEqual(len(list((CATALOGUE / "schemas").rglob("*.json"))), total)

    def test_import_of_what_is_no_catalogue(self):
        for text, code, words in (("topics: 5", 4, ":1"), ("topics:\n  - partitions: 3", 4, ":2"), ("{", 4, ":"),
                                  ("topics:\n  - name: lost\n    schema: nowhere.json\n", 7, "nowhere.json"),
                                  ("topics:\n  - name: a b\n", 2, "TOPIC_NAME_INVALID"),
                                  ("topics:\n  - name: imported\n  - name: x\n    colour: red\n", 7, "colour")):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                f.write(text + "\n")
                f.flush()
                done = self.broker.run("topic", "import", f.name, check=False)
                self.assertEqual(done.returncode, code, (text, done.stderr))
                self.assertIn(words, done.stderr.decode())
        self.assertEqual(self.broker.run("topic", "import", "nowhere.yaml", check=False).returncode, 3)

    def test_catalogues_name_schemas_that_are_there(self):
        for path in CATALOGUE.glob("*.yaml"):
            names = [line.split(": ")[1] for line in path.read_text().splitlines() if line.startswith("    schema: ")]
            self.assertTrue(names)
            for name in names:
                schema = json.loads((CATALOGUE / name).read_text())
                self.assertLessEqual(set(schema.get("required", ())), set(schema.get("properties", ())))


if __name__ == "__main__":
    unittest.main()
