#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Envelopes through the command line and a real broker: filled in, taken out of JSON, printed, passed on."""

import json
import os
import pathlib
import subprocess
import unittest

from broker import Broker
from cli_case import CliCase

UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

MESH = {"event_id": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "timestamp": "2025-10-18T10:00:00Z", "topic": "scheduling", "event_type": "task.enqueued", "node_id": "node-1",
        "causation_id": "3e" * 32, "source": "runtime", "payload": {"task": "T1", "n": [1, 2.50]}}
OMNINODE = {"event_id": "0b1c2d3e-4f50-4161-8273-8495a6b7c8d9", "event_type": "omninode.codegen.request.validate.v1",
            "correlation_id": "c-1", "causation_id": "c-0", "timestamp": "2025-10-18T10:00:00.123Z", "version": "1.0.0",
            "source": {"service": "archon", "instance_id": "instance-123", "hostname": "h1"},
            "metadata": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
                         "user_id": "u1", "tenant_id": "acme"}, "payload": {"code_content": "class A: pass"}}
SERVICE_NAME = dict(OMNINODE, source={"service_name": "intel", "instance_id": "i-1", "hostname": "h1"})
RFC = {"event_id": "4b36afc8-5205-49c1-a7d7-5ce0e5d7a2b9", "event_type": "rfc.pr.ready", "source": "evaluator",
       "timestamp": "2025-10-18T10:00:00Z", "payload": {"pr": 456, "checks_status": "green"}}
CHANGES = dict(OMNINODE, actor="agent-7", changes={"status": {"before": "pending", "after": "done"}},
               correlation_chain=["parent-1", "parent-2"], session_key="s1", entity={"type": "task", "id": "T-1"})


def without(envelope, *names):
    return {k: v for k, v in envelope.items() if k not in names}


class EnvelopeTest(CliCase):
    def pub(self, *args, topic=None, **kwargs):
        done = self.run_cli("pub", topic or self.topic, *args, "-o", "jsonl", **kwargs)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def read(self, *args, topic=None):
        done = self.run_cli("read", topic or self.topic, "-o", "jsonl", "--envelope", *args)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def test_every_event_has_one(self):
        ack, = self.pub("{}")
        event, = self.read()
        self.assertEqual(event["event_id"], ack["event_id"])
        self.assertRegex(event["event_id"], UUID % 4)
        self.assertEqual((event["event_type"], event["topic"]), (self.topic, self.topic))
        self.assertRegex(event["timestamp"], r"T.*\.[0-9]{3}Z$")
        self.assertEqual(event["source"]["kind"], "cli")
        self.assertTrue(all(event["source"][part] for part in ("service", "instance_id", "hostname")))
        self.assertEqual((event["payload"], event["headers"]), ({}, {}))
        self.assertNotIn("correlation_id", event)

    def test_bare(self):
        self.pub("x", "--bare", "-H", "a=1")
        raw, = [json.loads(line) for line in self.run_cli("read", self.topic, "-o", "jsonl").stdout.splitlines()]
        self.assertEqual(raw["headers"], {"a": "1"})
        event, = self.read()
        self.assertNotIn("event_id", event)
        self.assertEqual((event["payload"], event["payload_encoding"], event["headers"]), ("x", "utf8", {"a": "1"}))
        self.assertIn("--bare", self.fails(2, "pub", self.topic, "x", "--bare", "--actor", "a"))

    def test_every_option(self):
        self.pub("{}", "--type", "order.placed", "--id", "mine", "--correlation-id", "c1", "--causation-id", "c0",
                 "--source", "billing/b-1", "--subject", "task/T-1", "--actor", "agent-7", "--tenant", "acme",
                 "--session", "s1", "--user", "u1", "--priority", "P1", "--schema-version", "1.2.0",
                 "-H", "traceparent=" + TRACE, "-H", "x=y", "-k", "key")
        event, = self.read()
        self.assertEqual(event["event_id"], "mine")
        self.assertEqual((event["event_type"], event["correlation_id"], event["causation_id"], event["version"]),
                         ("order.placed", "c1", "c0", "1.2.0"))
        self.assertEqual((event["source"]["service"], event["source"]["instance_id"]), ("billing", "b-1"))
        self.assertEqual(event["metadata"], {
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "traceparent": TRACE,
            "user_id": "u1", "tenant_id": "acme", "actor": "agent-7", "session_key": "s1",
            "entity": {"type": "task", "id": "T-1"}, "priority": 1})
        self.assertEqual((event["headers"], event["key"]), ({"x": "y"}, "key"))

    def test_wrong_values_are_refused(self):
        self.assertIn("ENVELOPE_INVALID", self.fails(4, "pub", self.topic, "{}", "--id", "a b"))
        self.assertIn("priority", self.fails(4, "pub", self.topic, "{}", "--priority", "high"))
        self.assertIn("traceparent", self.fails(4, "pub", self.topic, "{}", "-H", "traceparent=x"))
        self.assertIn("profile", self.fails(2, "pub", self.topic, "{}", "--profile", "nonesuch"))
        self.assertIn("--envelope", self.fails(2, "read", self.topic, "-o", "table", "--envelope"))

    def test_ids(self):
        for kind, version in (("v4", 4), ("v7", 7)):
            acks = self.pub("--lines", "--id", kind, input=b"a\nb\nc\n")
            self.assertEqual(len({ack["event_id"] for ack in acks}), 3)
            self.assertRegex(acks[0]["event_id"], UUID % version)
        one, = self.pub('{"a": 1, "b": 2}', "--id", "content", "--source", "s")
        same, = self.pub('{"b":2,"a":1.0}', "--id", "content", "--source", "s")
        other, = self.pub('{"b":2,"a":1.5}', "--id", "content", "--source", "s")
        self.assertEqual(one["event_id"], same["event_id"])
        self.assertNotEqual(one["event_id"], other["event_id"])

    def round_trip(self, profile, envelope):
        """Publishes it, reads the canonical form, publishes that, and reads the same again."""
        for topic in (self.topic, self.topic + "-again"):
            self.run_cli("topic", "create", topic, "--partitions", "1", "--if-missing")
        self.pub(json.dumps(envelope), "--profile", profile)
        event = self.read("--last", "1")[0]
        self.pub(json.dumps(event), "--profile", "canonical", topic=self.topic + "-again")
        again = self.read("--last", "1", topic=self.topic + "-again")[0]
        places = ("topic", "partition", "offset")
        self.assertEqual(without(again, *places), without(event, *places))
        return event

    def test_mesh(self):
        event = self.round_trip("mesh", MESH)
        self.assertEqual(event["event_id"], "9f86d081-884c-8d65-9a2f-eaa0c55ad015")
        self.assertEqual(event["metadata"]["original_id"], MESH["event_id"])
        self.assertEqual(event["causation_id"], "3e3e3e3e-3e3e-8e3e-be3e-3e3e3e3e3e3e")
        self.assertEqual((event["timestamp"], event["event_type"]), ("2025-10-18T10:00:00.000Z", "task.enqueued"))
        self.assertEqual((event["source"]["kind"], event["source"]["node_id"]), ("runtime", "node-1"))
        self.assertEqual((event["metadata"]["domain"], event["topic"]), ("scheduling", self.topic))
        self.assertEqual((event["payload"], event["content_type"]), (MESH["payload"], "application/json"))

    def test_omninode(self):
        for envelope, service in ((OMNINODE, "archon"), (SERVICE_NAME, "intel")):
            event = self.round_trip("omninode", envelope)
            for name in ("event_id", "event_type", "correlation_id", "causation_id", "timestamp", "version", "payload"):
                self.assertEqual(event[name], envelope[name])
            self.assertEqual(event["source"]["service"], service)
            for name, value in OMNINODE["metadata"].items():
                self.assertEqual(event["metadata"][name], value)

    def test_rfc(self):
        event = self.round_trip("rfc", RFC)
        self.assertEqual((event["event_id"], event["source"]["kind"]), (RFC["event_id"], "evaluator"))
        self.assertEqual(event["payload"], RFC["payload"])

    def test_changes(self):
        event = self.round_trip("omninode", CHANGES)
        self.assertEqual(event["payload"], dict(CHANGES["payload"], changes=CHANGES["changes"]))
        self.assertEqual(event["correlation_chain"], ["parent-1", "parent-2"])
        self.assertEqual((event["metadata"]["actor"], event["metadata"]["session_key"]), ("agent-7", "s1"))
        self.assertEqual(event["metadata"]["entity"], {"type": "task", "id": "T-1"})

    def test_what_is_no_text_comes_back(self):
        self.run_cli("pub", self.topic, "-", "-k", "k", "-H", "a=1", "-H", "a=2", "--source", "/odd uri/%zz/x",
                     "--subject", "no-slash", input=b"\xff\x00\xfe")
        event = self.round_trip("canonical", self.read()[0])
        self.assertEqual((event["payload"], event["payload_encoding"]), ("/wD+", "base64"))
        self.assertEqual(event["headers"], {"a": ["1", "2"]})
        self.assertEqual((event["source"]["uri"], event["metadata"]["entity"]), ("/odd uri/%zz/x", "no-slash"))

    def test_bad_envelopes_name_line_and_path(self):
        lines = [json.dumps(RFC), json.dumps(without(RFC, "timestamp")), json.dumps(dict(RFC, source={"service": 5})),
                 "{", json.dumps(RFC)]
        done = self.broker.run("pub", self.topic, "--lines", "--profile", "rfc", "-o", "jsonl", check=False,
                               input="\n".join(lines).encode())
        said = done.stderr.decode()
        self.assertEqual(done.returncode, 7, said)
        for words in ("line 2 was not published: $.timestamp: missing",
                      "line 3 was not published: $.source.service: expected a string, found a number",
                      "line 4 was not published: $: not JSON", "ENVELOPE_INVALID"):
            self.assertIn(words, said)
        self.assertEqual([json.loads(line)["line"] for line in done.stdout.splitlines()], [1, 5])
        self.assertIn("$.event_id", self.fails(4, "pub", self.topic, '{"event_id":7}', "--profile", "canonical"))

    def test_a_command_publishes_because_of_its_event(self):
        """Three stages: each event's cause is the one before, all have one correlation."""
        first, = self.pub("{}", "--id", "first", "-H", "traceparent=" + TRACE)
        runnel = " ".join(self.broker.command())
        for stage in (1, 2):
            here = self.topic if stage == 1 else self.topic + "-1"
            self.run_cli("sub", here, "-g", "%s-%d" % (self.topic, stage), "--from", "start", "-n", "1", "--exec",
                         "%s pub %s-%d '{}' --id stage-%d" % (runnel, self.topic, stage, stage))
        one, = self.read(topic=self.topic + "-1")
        two, = self.read(topic=self.topic + "-2")
        self.assertEqual((one["causation_id"], one["correlation_id"]), (first["event_id"], "first"))
        self.assertEqual((two["causation_id"], two["correlation_id"]), ("stage-1", "first"))
        self.assertEqual(two["metadata"]["traceparent"], TRACE)

    def test_the_environment_says_who(self):
        env = {"RUNNEL_ACTOR": "agent-7", "RUNNEL_TENANT": "acme", "SERVICE_NAME": "svc", "RUNNEL_NODE_ID": "n1"}
        self.pub("{}", env=env)
        event, = self.read()
        self.assertEqual((event["metadata"]["actor"], event["metadata"]["tenant_id"]), ("agent-7", "acme"))
        self.assertEqual((event["source"]["service"], event["source"]["node_id"]), ("svc", "n1"))

    def test_a_topic_demands_fields(self):
        self.run_cli("topic", "create", self.topic, "--partitions", "1", "--config",
                     "envelope.require=tenant_id,event_id,user_id")
        shown = json.loads(self.run_cli("topic", "describe", self.topic, "-o", "json").stdout)
        self.assertIn("event_id,user_id,tenant_id", json.dumps(shown))
        for codec in ("none", "lz4", "zstd"):
            with self.subTest(codec=codec):
                said = self.fails(4, "pub", self.topic, "{}", "--tenant", "acme", "--compress", codec)
                self.assertIn("ENVELOPE_FIELD_MISSING", said)
                self.assertIn("event 0 of the batch lacks user_id", said)
                self.pub("{}" * 100, "--tenant", "acme", "--user", "u1", "--compress", codec)
        self.assertIn("ENVELOPE_INVALID", self.fails(4, "pub", self.topic, "{}", "--bare", "-H", "ce_id=a b",
                                                     "-H", "ce_tenantid=t", "-H", "ce_userid=u"))
        self.assertEqual(len(self.read()), 3)
        self.broker.restart(kill=True)
        self.fails(4, "pub", self.topic, "{}", "--tenant", "acme")
        self.run_cli("topic", "set", self.topic, "--unset", "envelope.require")
        self.pub("{}", "--bare")
        self.assertIn("envelope fields", self.fails(2, "topic", "set", self.topic, "envelope.require=colour"))

    def test_the_event_is_named(self):
        """Lines that share a batch: the first that lacks something is named, and nothing is stored half."""
        self.run_cli("topic", "create", self.topic, "--partitions", "1", "--config", "envelope.require=correlation_id")
        lines = [json.dumps(dict(RFC, correlation_id="c")), json.dumps(RFC)]
        done = self.broker.run("pub", self.topic, "--lines", "--profile", "rfc", "--compress", "zstd", check=False,
                               input="\n".join(lines).encode())
        self.assertIn(done.returncode, (1, 7))
        self.assertRegex(done.stderr.decode(), r"event [01] of the batch lacks correlation_id")
        self.assertLess(len(self.read()), 2)

    def test_live_and_in_groups(self):
        self.pub("{}", "--id", "e1")
        live = self.run_cli("sub", self.topic, "--from", "start", "-n", "1", "-o", "jsonl", "--envelope").stdout
        group = self.run_cli("sub", self.topic, "-g", self.topic, "--from", "start", "-n", "1", "-o", "jsonl",
                             "--envelope").stdout
        self.assertEqual(json.loads(live)["event_id"], "e1")
        self.assertEqual(json.loads(group)["event_id"], "e1")


if __name__ == "__main__":
    unittest.main()
