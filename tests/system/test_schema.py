#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The registry of schemas: the runnel command against a real broker, and what is left of it after SIGKILL."""

import json
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker  # noqa: E402
from cli_case import CliCase  # noqa: E402


def closed(*names, **more):
    return {"type": "object", "properties": {name: {"type": "string"} for name in names},
            "additionalProperties": False, **more}


def rows(output):
    return [json.loads(line) for line in output.decode().splitlines()]


class SchemaCase(CliCase):
    def setUp(self):
        super().setUp()
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, value, name="schema.json"):
        path = pathlib.Path(self.directory.name, name)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    def register(self, subject, schema, *args):
        done = self.run_cli("-o", "jsonl", "schema", "register", subject, self.file(schema), *args)
        return rows(done.stdout)[0]


class Registry(SchemaCase):
    def test_versions_and_ids(self):
        one = self.register(self.topic, closed("a"))
        self.assertEqual((one["version"], one["status"]), (1, "registered"))
        again = self.register(self.topic, closed("a"))
        self.assertEqual((again["version"], again["id"], again["status"]), (1, one["id"], "known"))
        two = self.register(self.topic, closed("a", "b"))
        self.assertEqual(two["version"], 2)
        elsewhere = self.register(self.topic + "-other", closed("a"))
        self.assertEqual((elsewhere["version"], elsewhere["id"]), (1, one["id"]))
        listed = rows(self.run_cli("-o", "jsonl", "schema", "list", self.topic).stdout)
        self.assertEqual([(r["version"], r["id"]) for r in listed], [(1, one["id"]), (2, two["id"])])
        text = self.run_cli("schema", "get", self.topic, "1").stdout
        self.assertEqual(json.loads(text), closed("a"))
        by_id = json.loads(self.run_cli("-o", "json", "schema", "get", "--id", str(two["id"])).stdout)
        self.assertEqual(json.loads(by_id["schema"]), closed("a", "b"))
        self.assertIn("SUBJECT_NOT_FOUND", self.fails(3, "schema", "get", "nowhere"))
        self.assertIn("SCHEMA_NOT_FOUND", self.fails(3, "schema", "get", self.topic, "9"))

    def test_a_break_is_refused_and_explained(self):
        self.register(self.topic, closed("a"))
        path = self.file(closed("b"))
        said = self.fails(4, "schema", "register", self.topic, path)
        self.assertIn("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", said)
        done = self.run_cli("-o", "jsonl", "schema", "check", self.topic, path, check=False)
        self.assertEqual(done.returncode, 4)
        self.assertIn({"version": 1, "compatibility": "backward", "path": "#/properties/a",
                       "change": "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"}, rows(done.stdout))
        self.run_cli("schema", "compat", self.topic, "NONE")
        self.run_cli("schema", "check", self.topic, path)
        self.run_cli("schema", "compat", self.topic, "inherit")
        self.fails(4, "schema", "check", self.topic, path)
        self.assertEqual(self.register(self.topic, closed("b"), "--force")["version"], 2)
        self.assertIn("SCHEMA_INVALID", self.fails(4, "schema", "register", self.topic, self.file({"type": "strnig"})))
        self.fails(2, "schema", "compat", self.topic, "SIDEWAYS")

    def test_levels_name_the_versions_that_count(self):
        self.assertEqual(rows(self.run_cli("-o", "jsonl", "schema", "compat").stdout)[0]["level"], "BACKWARD")
        self.run_cli("schema", "compat", self.topic, "FORWARD")
        self.register(self.topic, closed("a", "b"))
        self.fails(4, "schema", "check", self.topic, self.file(closed("a", "b", "c")))
        self.run_cli("schema", "check", self.topic, self.file(closed("a")))
        self.assertEqual(rows(self.run_cli("-o", "jsonl", "schema", "list", self.topic).stdout)[0]["level"], "FORWARD")

    def test_diff_needs_no_broker(self):
        old, new = self.file(closed("a"), "old.json"), self.file(closed("a", "b"), "new.json")
        env = {"RUNNEL_URL": "unix:/nowhere/at/all"}
        minor = json.loads(self.run_cli("-o", "json", "schema", "diff", old, new, env=env).stdout)
        self.assertEqual(minor["bump"], "minor")
        major = json.loads(self.run_cli("-o", "json", "schema", "diff", new, old, env=env).stdout)
        self.assertEqual(major["bump"], "major")
        self.assertEqual([c["effect"] for c in major["changes"]], ["breaks"])
        titled = self.file(closed("a", title="t"), "titled.json")
        self.assertEqual(json.loads(self.run_cli("-o", "json", "schema", "diff", old, titled, env=env).stdout)["bump"],
                         "patch")

    def test_validate_tells_each_event_apart(self):
        schema = closed("a", required=["a"])
        self.register(self.topic, schema)
        events = '{"a":"x"}\n{"a":1}\n{}\n{"a":\n{"a":"y"}\n'
        done = self.run_cli("-o", "jsonl", "schema", "validate", self.topic, "-", "--lines", check=False,
                            input=events.encode())
        self.assertEqual(done.returncode, 7)
        told = [(r["line"], r["path"], r["keyword"]) for r in rows(done.stdout)]
        self.assertEqual(told, [(2, "$.a", "type"), (3, "$", "required"), (4, "$", "JSON_INVALID")])
        event = self.file('{"a":"x"}', "event.json")
        offline = self.run_cli("schema", "validate", "--schema", self.file(schema), event,
                               env={"RUNNEL_URL": "unix:/nowhere/at/all"})
        self.assertEqual(offline.stdout, b"")
        self.fails(4, "schema", "validate", self.topic, self.file("{}", "event.json"))

    def test_references(self):
        self.register("money", {"type": "integer", "minimum": 0})
        order = {"type": "object", "properties": {"total": {"$ref": "money.json"}}}
        self.assertIn("SCHEMA_REFERENCE", self.fails(4, "schema", "register", self.topic, self.file(order)))
        self.register(self.topic, order, "--reference", "money.json=money:1")
        self.run_cli("schema", "validate", self.topic, self.file('{"total":1}', "event.json"))
        self.fails(4, "schema", "validate", self.topic, self.file('{"total":-1}', "event.json"))
        self.assertIn("SCHEMA_REFERENCED", self.fails(4, "schema", "delete", "money", "--yes"))

    def test_sync_is_all_or_nothing(self):
        folder = pathlib.Path(self.directory.name, "schemas")
        folder.mkdir()

        def put(name, schema):
            (folder / (self.topic + "." + name + ".json")).write_text(json.dumps(schema, indent=1) + "\n")

        def sync(*args, code=0):
            done = self.run_cli("-o", "jsonl", "schema", "sync", str(folder), *args, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            mine = [r for r in rows(done.stdout) if r["subject"].startswith(self.topic)]
            return {r["subject"].rpartition(".")[2]: (r["version"], r["status"]) for r in mine}

        put("a", closed("x"))
        put("b", closed("y"))
        self.assertEqual(sync(), {"a": (0, "new"), "b": (0, "new")})
        self.assertEqual(sync(), {"a": (0, "new"), "b": (0, "new")}, "a dry run changes nothing")
        self.assertEqual(sync("--apply"), {"a": (1, "registered"), "b": (1, "registered")})
        put("a", closed("x", "z"))
        put("b", closed("other"))
        self.assertEqual(sync("--apply", code=4), {"a": (1, "changed"), "b": (1, "refused")})
        put("b", closed("y"))
        self.assertEqual(sync("--apply"), {"a": (2, "registered"), "b": (1, "same")})
        (folder / (self.topic + ".b.json")).unlink()
        self.assertEqual(sync(), {"a": (2, "same"), "b": (1, "only in the registry")})

    def test_deletion_in_two_steps(self):
        made = self.register(self.topic, closed("only_here"))
        self.assertIn("SCHEMA_NOT_DELETED", self.fails(4, "schema", "delete", self.topic, "--permanent", "--yes"))
        self.run_cli("schema", "delete", self.topic, "1", "--yes")
        self.fails(3, "schema", "get", self.topic)
        self.run_cli("schema", "get", "--id", str(made["id"]))
        listed = rows(self.run_cli("-o", "jsonl", "schema", "list", self.topic, "--deleted").stdout)
        self.assertTrue(listed[0]["deleted"])
        self.run_cli("schema", "delete", self.topic, "--permanent", "--yes")
        self.fails(3, "schema", "get", "--id", str(made["id"]))


class Kills(unittest.TestCase):
    def snapshot(self, broker):
        return rows(broker.run("-o", "jsonl", "schema", "list", "--deleted").stdout)

    def test_what_was_answered_survives_sigkill(self):
        seed = random.SystemRandom().randrange(1 << 30)
        choose = random.Random(seed)
        with Broker() as broker, tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "schema.json")
            for step in range(24):
                subject = "s%d" % choose.randrange(4)
                what = choose.randrange(6)
                if what == 0:
                    broker.run("schema", "delete", subject, "--yes", check=False)
                elif what == 1:
                    broker.run("schema", "compat", subject, choose.choice(["NONE", "FULL", "inherit"]))
                else:
                    path.write_text(json.dumps(closed("a", title="step %d" % step)))
                    broker.run("schema", "register", subject, str(path))
                if step % 6 == 5:
                    before = self.snapshot(broker)
                    broker.restart(kill=True)
                    self.assertEqual(self.snapshot(broker), before, "seed %d, step %d" % (seed, step))


if __name__ == "__main__":
    unittest.main()
