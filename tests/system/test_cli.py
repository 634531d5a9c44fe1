#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The runnel command against a real broker: what it prints, how it ends, what it survives."""

import base64
import json
import os
import pathlib
import pty
import re
import shlex
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import runnel_wire as wire  # noqa: E402
from broker import Broker, binary  # noqa: E402
from cli_case import CliCase  # noqa: E402

WAIT = 60.0  # for anything that must happen; only a failure waits that long


def objects(output):
    return [json.loads(line) for line in output.decode().splitlines()]


def read_line(stream, timeout=WAIT):
    """One line of an unbuffered pipe; '' at its end."""
    line, deadline = b"", time.monotonic() + timeout
    while not line.endswith(b"\n"):
        if not select.select([stream], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError("no line within %.0f s; so far: %r" % (timeout, line))
        got = os.read(stream.fileno(), 1)
        if not got:
            break
        line += got
    return line.decode()


class CliTest(CliCase):
    def create(self, partitions, name=None):
        self.run_cli("topic", "create", name or self.topic, "--partitions", partitions)

    def read(self, *args, topic=None):
        return objects(self.run_cli("read", topic or self.topic, "-o", "jsonl", *args).stdout)


class PublishAndRead(CliTest):
    def test_one_event(self):
        done = self.run_cli("pub", self.topic, '{"id": 17}', "-k", "customer-4", "-H", "a=1", "--bare", "-o", "json")
        ack = json.loads(done.stdout)
        self.assertEqual(set(ack), {"topic", "partition", "offset", "line"})
        event, = self.read()
        self.assertEqual((event["topic"], event["partition"], event["offset"]),
                         (self.topic, ack["partition"], ack["offset"]))
        self.assertEqual(event["key"], "customer-4")
        self.assertEqual(event["headers"], {"a": "1"})
        self.assertEqual(event["payload"], {"id": 17})
        self.assertEqual(event["payload_encoding"], "json")
        self.assertRegex(event["timestamp"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ$")

    def test_summary_on_stderr(self):
        done = self.run_cli("pub", self.topic, "hello")
        self.assertEqual(done.stdout, b"")
        self.assertRegex(done.stderr.decode(), r"^published to summary_on_stderr: partition \d, offset 0\n$")
        self.assertEqual(self.run_cli("pub", self.topic, "hello", "-q").stderr, b"")

    def test_payload_from_stdin_and_file(self):
        payload = b"line one\nline two\n\x00\xff"
        self.create(1)
        self.run_cli("pub", self.topic, "-", input=payload)
        self.run_cli("pub", self.topic, input=payload)
        self.run_cli("pub", self.topic, "@" + __file__)
        raw = self.run_cli("read", self.topic, "--raw", "--delimiter", "").stdout
        self.assertEqual(raw, payload * 2 + pathlib.Path(__file__).read_bytes())

    def test_encodings(self):
        payloads = [b'{"a":[1,2]}', b"hello", b"42", b"\xff\x00\xfe", b"", b'{\n "a": 1\n}', b'{"a":', b'"text"',
                    "\u00e9\U0001f600".encode(), b'[1]', b'tab\tquote"backslash\\']
        self.create(1)
        for payload in payloads:
            self.run_cli("pub", self.topic, "-", input=payload)
        for payload, event in zip(payloads, self.read(), strict=True):
            kind, shown = event["payload_encoding"], event["payload"]
            if kind == "json":
                self.assertEqual(json.loads(payload), shown)
            elif kind == "utf8":
                self.assertEqual(payload.decode(), shown)
            else:
                self.assertEqual(payload, base64.b64decode(shown, validate=True))
        kinds = [event["payload_encoding"] for event in self.read()]
        self.assertEqual(kinds, ["json", "utf8", "utf8", "base64", "utf8", "json", "utf8", "utf8", "utf8", "json",
                                 "utf8"])

    def test_keys_and_headers_that_are_not_text(self):
        self.create(1)
        self.run_cli("pub", self.topic, "x", "-k", os.fsdecode(b"\xff\xfe"), "-H", "a=1", "-H", "b=2", "-H", "a=3",
                     "-H", os.fsdecode(b"c=\xff"), "--bare")
        event, = self.read()
        self.assertEqual(base64.b64decode(event["key"]), b"\xff\xfe")
        self.assertEqual(event["key_encoding"], "base64")
        self.assertEqual(event["headers"], {"a": ["1", "3"], "b": "2", "c": {"base64": "/w=="}})

    def test_what_other_clients_publish(self):
        """Null payloads, null header values, names that are not text, and thirty thousand headers."""
        self.create(1)
        client = wire.Client(self.broker.url)
        topic = client.open_topic(self.topic)
        many = [(b"n%d" % (i % 2000), b"v%d" % i) for i in range(30000)]
        client.produce(topic, 0, [
            wire.Record(key=b"", value=None, headers=[(b"none", None), (b"\xff", b"x"), (b"", b"unnamed")]),
            wire.Record(key=None, value=b"", headers=many)])
        client.produce(client.open_topic(self.topic + "-1000", create=True), 0, [
            wire.Record(key=None, value=None, headers=many[:1000])])
        client.close()
        null, full = self.read()
        self.assertEqual((null["key"], null["payload"], null["payload_encoding"]), ("", None, "json"))
        self.assertEqual(null["headers"], {"none": None, "base64:/w==": "x", "": "unnamed"})
        self.assertEqual((full["key"], full["payload"], full["payload_encoding"]), (None, "", "utf8"))
        self.assertEqual(len(full["headers"]), 2000)
        self.assertEqual(full["headers"]["n7"], ["v%d" % i for i in range(7, 30000, 2000)])
        self.run_cli("replay", self.topic + "-1000", "--to-topic", self.topic + "-again")
        again, = self.read(topic=self.topic + "-again")
        self.assertEqual(again["headers"], {"n%d" % i: "v%d" % i for i in range(1000)})
        self.assertIsNone(again["payload"])
        # what the library does not publish ends the replay, and is told
        self.assertIn("headers", self.fails(7, "replay", self.topic, "--to-topic", self.topic + "-part"))
        self.assertEqual(self.read(topic=self.topic + "-part")[0]["headers"], null["headers"])

    def test_cloudevents_headers(self):
        self.run_cli("pub", self.topic, "x", "--type", "order.placed", "--correlation-id", "c1", "--causation-id", "c0")
        headers = self.read()[0]["headers"]
        self.assertEqual(headers["ce_type"], "order.placed")
        self.assertEqual(headers["ce_specversion"], "1.0")
        self.assertEqual((headers["ce_correlationid"], headers["ce_causationid"]), ("c1", "c0"))
        self.assertRegex(headers["ce_id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertTrue(headers["ce_source"] and headers["ce_time"].endswith("Z"))

    def test_fresh_ids_for_lines(self):
        self.run_cli("pub", self.topic, "--lines", "--id", "v4", input=b"a\nb\nc\n")
        self.assertEqual(len({event["headers"]["ce_id"] for event in self.read()}), 3)
        self.run_cli("pub", self.topic + "2", "x", "--id", "mine", "-H", "ce_source=/here")
        headers = self.read(topic=self.topic + "2")[0]["headers"]
        self.assertEqual((headers["ce_id"], headers["ce_source"]), ("mine", "/here"))

    def test_lines_in_order(self):
        count = 20000
        lines = [b"line %d %s" % (i, b"x" * (i % 97)) for i in range(count)]
        done = self.run_cli("pub", self.topic, "--lines", "-o", "jsonl", input=b"\n".join(lines))
        acks = objects(done.stdout)
        self.assertEqual([ack["line"] for ack in acks], list(range(1, count + 1)))
        stored = {(e["partition"], e["offset"]): e["payload"] for e in self.read()}
        self.assertEqual(len(stored), count)
        for ack in acks:
            self.assertEqual(stored[ack["partition"], ack["offset"]], lines[ack["line"] - 1].decode())

    def test_key_separator(self):
        self.create(4)
        self.run_cli("pub", self.topic, "--lines", "-K", ":", input=b"a:1\nb:2\na:3\nnone\n:empty\n")
        events = {e["payload"]: e for e in self.read()}
        self.assertEqual({p: e["key"] for p, e in events.items()},
                         {"1": "a", "2": "b", "3": "a", "none": None, "empty": ""})
        self.assertEqual(events["1"]["partition"], events["3"]["partition"])

    def test_acks_come_at_once(self):
        publisher = self.broker.popen("pub", self.topic, "--lines", "-o", "jsonl", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0)
        for i in range(5):
            publisher.stdin.write(b"event %d\n" % i)
            self.assertEqual(json.loads(read_line(publisher.stdout))["line"], i + 1)
        publisher.stdin.close()
        self.assertEqual(publisher.wait(WAIT), 0)
        publisher.stdout.close()

    def test_too_large_lines_are_listed(self):
        self.create(1)
        self.run_cli("topic", "set", self.topic, "max.message.bytes=2000")
        done = self.broker.run("pub", self.topic, "--lines", "-o", "jsonl", check=False,
                               input=b"small\n" + b"x" * 100000 + b"\nsmall too\n")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual([ack["line"] for ack in objects(done.stdout)], [1, 3])
        self.assertRegex(done.stderr.decode(), r"(?m)^error: line 2 was not published: ")
        done = self.broker.run("pub", self.topic, "--lines", check=False, input=b"x" * 100000 + b"\n")
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_compressed(self):
        lines = b"".join(b'{"n":%d,"text":"the same again and again"}\n' % i for i in range(3000))
        self.create(1)
        for codec in ("lz4", "zstd"):
            self.run_cli("pub", self.topic, "--lines", "--compress", codec, input=lines)
        self.assertEqual(self.run_cli("read", self.topic, "--raw").stdout, lines * 2)

    def test_partition(self):
        self.create(3)
        self.run_cli("pub", self.topic, "x", "-p", 2)
        self.assertEqual(self.read()[0]["partition"], 2)
        self.assertIn("no partition 3", self.fails(3, "pub", self.topic, "x", "-p", 3))

    def test_acks_memory_and_none(self):
        self.create(1)
        self.run_cli("pub", self.topic, "a", "--acks", "memory")
        done = self.run_cli("pub", self.topic, "--lines", "--acks", "none", "-o", "jsonl", input=b"b\nc\n")
        self.assertEqual([(a["line"], a["offset"]) for a in objects(done.stdout)], [(1, None), (2, None)])
        self.assertEqual(self.run_cli("read", self.topic, "--raw", "-n", 3, "--follow").stdout, b"a\nb\nc\n")

    def test_output_nobody_reads(self):
        """`read | head` ends well; `pub` goes on publishing."""
        lines = b"".join(b"event %d\n" % i for i in range(50000))
        self.create(1)
        publisher = self.broker.popen("pub", self.topic, "--lines", "-o", "jsonl", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
        publisher.stdout.close()
        publisher.communicate(lines)
        self.assertEqual(publisher.returncode, 0)
        reader = self.broker.popen("read", self.topic, "--raw", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(read_line(reader.stdout), "event 0\n")
        reader.stdout.close()
        self.assertEqual(reader.wait(WAIT), 0)
        self.assertEqual(reader.stderr.read(), b"")
        reader.stderr.close()
        self.assertEqual(self.run_cli("read", self.topic, "--raw").stdout, lines)


    def test_closed_and_full_descriptors(self):
        """Output that cannot be written is an error; a closed descriptor is never mistaken for the connection."""
        self.create(1)
        self.run_cli("pub", self.topic, "--lines", input=b"a\nb\n")
        for redirect in (">&-", "> /dev/full"):
            shell = "%s %s" % (shlex.join(self.broker.command("read", self.topic, "--raw")), redirect)
            done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=WAIT)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr.decode(), r"^error: cannot write: .+ \(standard output\): ")
        shell = shlex.join(self.broker.command("pub", self.topic)) + " <&-"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=WAIT)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(self.read()), 2)


class Ranges(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker.run("topic", "create", "one", "--partitions", 1)
        cls.broker.run("topic", "create", "three", "--partitions", 3)
        cls.times = [1700000000000 + 1000 * i for i in range(12)]
        for i, ms in enumerate(cls.times):
            cls.broker.run("pub", "one", "e%d" % i, "--timestamp", ms)
            cls.broker.run("pub", "three", "e%d" % i, "--timestamp", ms, "-p", i % 3)

    def raw(self, *args, topic="one"):
        return self.run_cli("read", topic, "--raw", *args).stdout.decode().split()

    def test_offsets(self):
        every = ["e%d" % i for i in range(12)]
        self.assertEqual(self.raw(), every)
        self.assertEqual(self.raw("-e"), every)
        self.assertEqual(self.raw("--from", 3, "--to", 5), every[3:5])
        self.assertEqual(self.raw("--from", "-2"), every[-2:])
        self.assertEqual(self.raw("--from", "-5", "--to", "-2"), every[-5:-2])
        self.assertEqual(self.raw("--from", "end"), [])
        self.assertEqual(self.raw("--from", 12), [])
        self.assertEqual(self.raw("--from=start", "--to=end", "-n", 4), every[:4])
        self.assertEqual(self.raw("-n0"), [])
        self.assertEqual(self.raw("--last", 3), every[-3:])
        self.assertEqual(self.raw("--last", 100), every)
        self.assertIn("0 to 11", self.fails(3, "read", "one", "--from", 13))

    def test_times(self):
        every = ["e%d" % i for i in range(12)]
        self.assertEqual(self.raw("--from", "@%d" % self.times[4]), every[4:])
        self.assertEqual(self.raw("--from", "@%d" % (self.times[4] + 1), "--to", "@%d" % self.times[7]), every[5:7])
        self.assertEqual(self.raw("--from", "2023-11-14T22:13:23Z", "--to", "@2023-11-14T23:13:25+01:00"), every[3:5])
        self.assertEqual(self.raw("--from", "-1h"), [])
        self.assertEqual(self.raw("--to", "-1h"), every)

    def test_partitions(self):
        every = ["e%d" % i for i in range(12)]
        self.assertEqual(sorted(self.raw(topic="three")), sorted(every))
        self.assertEqual(self.raw("-p", 1, topic="three"), every[1::3])
        self.assertEqual(sorted(self.raw("-p", "0,2", topic="three")), sorted(every[0::3] + every[2::3]))
        self.assertEqual(self.raw("--last", 4, topic="three"), every[-4:])
        self.assertEqual(sorted(self.raw("--from", "-1", topic="three")), sorted(every[-3:]))
        self.assertEqual(sorted(self.raw("--from", 3, topic="three")), sorted(every[-3:]))
        self.run_cli("pub", "three", "more", "-p", 0)
        self.assertEqual(self.raw("--from", 4, topic="three"), ["more"])  # the others have nothing there
        self.fails(3, "read", "three", "-p", 3)
        self.fails(2, "read", "three", "-p", "x")

    def test_usage(self):
        self.fails(2, "read", "one", "--from", "somewhere")
        self.fails(2, "read", "one", "--last", 3, "--from", 1)
        self.fails(2, "read", "one", "--follow", "--to", 3)
        self.fails(2, "read", "one", "-n", "many")
        self.fails(2, "read", "one", "--delimiter", ",")
        self.fails(2, "read", "one", "--raw", "-o", "json")

    def test_formats(self):
        self.assertEqual(len(json.loads(self.run_cli("read", "one", "-o", "json").stdout)), 12)
        self.assertEqual(json.loads(self.run_cli("read", "one", "-o", "json", "--from", "end").stdout), [])
        lines = self.run_cli("read", "one").stdout.decode().splitlines()
        self.assertEqual(lines[0], "TOPIC\tPARTITION\tOFFSET\tTIMESTAMP\tKEY\tPAYLOAD")
        self.assertEqual(lines[4], "one\t0\t3\t2023-11-14T22:13:23.000Z\t\te3")
        self.assertEqual(len(self.run_cli("read", "one", "--no-header").stdout.splitlines()), 12)


class Live(CliTest):
    def follow(self, *args):
        return self.broker.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)

    def end(self, process):
        code = process.wait(WAIT)
        process.stdout.close()
        process.stderr.close()
        return code

    def test_sub_from_now(self):
        self.create(2)
        self.run_cli("pub", self.topic, "before")
        sub = self.follow("sub", self.topic, "-n", 3, "--raw")
        # when it listens cannot be seen from here: publish until it has seen enough
        deadline = time.monotonic() + WAIT
        while sub.poll() is None and time.monotonic() < deadline:
            self.run_cli("pub", self.topic, "after", "-q")
        self.assertEqual(sub.stdout.read(), b"after\n" * 3)
        self.assertEqual(self.end(sub), 0)

    def test_sub_several_topics_from_the_start(self):
        names = [self.topic + c for c in "abc"]
        for name in names:
            self.run_cli("pub", name, "from " + name)
        done = self.run_cli("sub", *names, "--from", "start", "-n", 3, "-o", "jsonl")
        self.assertEqual({(e["topic"], e["payload"]) for e in objects(done.stdout)}, {(n, "from " + n) for n in names})
        done = self.run_cli("sub", *names, "--from", "start", "-e", "--raw")
        self.assertEqual(len(done.stdout.splitlines()), 3)

    def test_follow_and_interrupt(self):
        self.run_cli("pub", self.topic, "one")
        reader = self.follow("read", self.topic, "--follow", "--raw")
        self.assertEqual(read_line(reader.stdout), "one\n")
        self.run_cli("pub", self.topic, "two")
        self.assertEqual(read_line(reader.stdout), "two\n")
        reader.send_signal(signal.SIGINT)
        self.assertEqual(self.end(reader), 130)

    def test_interrupted_pub_reports_what_was_stored(self):
        publisher = self.broker.popen("pub", self.topic, "--lines", "-o", "jsonl", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0)
        publisher.stdin.write(b"one\n")
        self.assertEqual(json.loads(read_line(publisher.stdout))["line"], 1)
        publisher.send_signal(signal.SIGINT)
        self.assertEqual(publisher.wait(WAIT), 130)
        publisher.stdin.close()
        publisher.stdout.close()


class Topics(CliTest):
    def test_life_of_a_topic(self):
        row, = json.loads(self.run_cli("topic", "create", self.topic, "-p", 5, "-c", "retention.ms=2d", "-o",
                                       "json").stdout)
        self.assertEqual(row, {"topic": self.topic, "partitions": 5, "status": "created"})
        self.assertIn("TOPIC_EXISTS", self.fails(4, "topic", "create", self.topic))
        row, = objects(self.run_cli("topic", "create", self.topic, "--if-missing", "-o", "jsonl").stdout)
        self.assertEqual(row["status"], "exists")
        self.run_cli("pub", self.topic, "x", "-p", 4)

        rows = json.loads(self.run_cli("topic", "list", "-o", "json").stdout)
        row = next(r for r in rows if r["topic"] == self.topic)
        self.assertEqual((row["partitions"], row["events"]), (5, 1))
        names = self.run_cli("topic", "list", "life*", "--no-header").stdout.decode().split("\t")[0]
        self.assertEqual(names, self.topic)
        self.fails(3, "topic", "list", "no-such-*")

        topic = json.loads(self.run_cli("topic", "describe", self.topic, "-o", "json").stdout)
        self.assertEqual((topic["topic"], topic["events"], len(topic["partitions"])), (self.topic, 1, 5))
        configs = {c["name"]: c for c in topic["configs"]}
        self.assertEqual(configs["retention.ms"], {"name": "retention.ms", "value": "172800000", "default": False})
        self.assertTrue(configs["segment.bytes"]["default"])
        self.assertEqual(topic["partitions"][4]["end"], 1)
        text = self.run_cli("topic", "describe", self.topic).stdout.decode()
        self.assertEqual(re.findall(r"(?m)^[A-Z]+$", text), ["SUMMARY", "CONFIGS", "PARTITIONS"])

        rows = objects(self.run_cli("topic", "offsets", self.topic, "-o", "jsonl").stdout)
        self.assertEqual(rows[4], {"topic": self.topic, "partition": 4, "start": 0, "end": 1, "events": 1})

        row, = objects(self.run_cli("topic", "set", self.topic, "retention.ms=1h", "-o", "jsonl").stdout)
        self.assertEqual((row["config"], row["old"], row["new"]), ("retention.ms", "172800000", "3600000"))
        row, = objects(self.run_cli("topic", "set", self.topic, "--unset", "retention.ms", "-o", "jsonl").stdout)
        self.assertEqual((row["old"], row["new"]), ("3600000", "604800000"))
        self.fails(2, "topic", "set", self.topic, "retention.sm=1h")
        self.fails(2, "topic", "set", self.topic)

        self.run_cli("topic", "add-partitions", self.topic, "--partitions", 7)
        self.assertEqual(len(self.run_cli("topic", "offsets", self.topic, "--no-header").stdout.splitlines()), 7)
        self.fails(2, "topic", "add-partitions", self.topic, "--partitions", 3)

        row, = objects(self.run_cli("topic", "delete", self.topic, "--dry-run", "-o", "jsonl").stdout)
        self.assertEqual((row["events"], row["status"]), (1, "would be deleted"))
        self.assertIn("--yes", self.fails(2, "topic", "delete", self.topic))
        row, = objects(self.run_cli("topic", "delete", self.topic, "--yes", "-o", "jsonl").stdout)
        self.assertEqual((row["events"], row["status"]), (1, "deleted"))
        self.fails(3, "topic", "describe", self.topic)

    def test_not_found_suggests(self):
        self.run_cli("topic", "create", "shipments")
        self.assertIn("did you mean 'shipments'?", self.fails(3, "read", "shipmnets"))
        self.assertIn("did you mean 'shipments'?", self.fails(3, "topic", "describe", "shipment"))
        self.fails(3, "sub", "nothing-like-it")

    def test_partly_done(self):
        self.run_cli("topic", "create", self.topic)
        done = self.broker.run("topic", "delete", self.topic, "not-there", "--yes", "-o", "jsonl", check=False)
        self.assertEqual(done.returncode, 7)
        self.assertEqual([row["topic"] for row in objects(done.stdout)], [self.topic])

    def test_bad_names(self):
        self.fails(2, "topic", "create", "not a name")
        self.fails(2, "pub", "not/a/name", "x")


class Replay(CliTest):
    def test_same_partitions(self):
        self.create(3)
        for i in range(9):
            self.run_cli("pub", self.topic, "e%d" % i, "-p", i % 3, "-k", "k%d" % i, "-H", "n=%d" % i, "-H", "m=x",
                         "--timestamp", 1700000000000 + i)
        target = self.topic + "-again"
        columns = ["topic", "partition", "from", "to", "events", "to_topic", "published", "failed"]
        dry = objects(self.run_cli("replay", self.topic, "--from", 1, "--to-topic", target, "--dry-run", "-o",
                                   "jsonl").stdout)
        self.assertEqual(list(dry[0]), columns)
        self.assertEqual([(r["from"], r["to"], r["events"], r["published"]) for r in dry], [(1, 3, 2, 0)] * 3)
        self.fails(3, "topic", "describe", target)
        rows = objects(self.run_cli("replay", self.topic, "--from", 1, "--to-topic", target, "-o", "jsonl").stdout)
        self.assertEqual([(r["events"], r["published"], r["failed"]) for r in rows], [(2, 2, 0)] * 3)

        def told(topic, first):
            return sorted((e["partition"], e["key"], e["timestamp"], e["payload"], str(e["headers"]))
                          for e in self.read(topic=topic) if e["offset"] >= first)
        self.assertEqual(told(target, 0), told(self.topic, 1))

    def test_other_count_keeps_order_of_keys(self):
        self.create(1)
        self.create(4, self.topic + "-4")
        lines = b"".join(b"key%d:%d\n" % (i % 7, i) for i in range(700))
        self.run_cli("pub", self.topic, "--lines", "-K", ":", input=lines)
        self.run_cli("replay", self.topic, "--to-topic", self.topic + "-4")
        by_key = {}
        for event in self.read(topic=self.topic + "-4"):
            by_key.setdefault(event["key"], []).append(int(event["payload"]))
        self.assertEqual(sum(map(len, by_key.values())), 700)
        for numbers in by_key.values():
            self.assertEqual(numbers, sorted(numbers))

    def test_rate(self):
        self.create(1)
        self.run_cli("pub", self.topic, "--lines", input=b"x\n" * 100)
        began = time.monotonic()
        self.run_cli("replay", self.topic, "--to-topic", self.topic + "-slow", "--rate", 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.4)

    def test_into_itself_ends(self):
        self.create(1)
        self.run_cli("pub", self.topic, "--lines", input=b"x\n" * 1000)
        self.run_cli("replay", self.topic, "--to-topic", self.topic)
        self.assertEqual(len(self.read()), 2000)

    def test_usage(self):
        self.fails(2, "replay", self.topic)
        self.fails(3, "replay", "not-there", "--to-topic", "t")


class Observing(CliTest):
    def test_health(self):
        health = json.loads(self.run_cli("health", "-o", "json").stdout)
        self.assertEqual(health["status"], "ok")
        self.assertGreater(health["round_trip_us"], 0)
        for check in health["checks"]:
            self.assertEqual(set(check), {"check", "status", "text"})
        self.assertEqual(self.run_cli("health", "-q").stderr, b"")

    def test_stat(self):
        rooms = json.loads(self.run_cli("stat", "-o", "json").stdout)
        self.assertTrue(rooms)
        for figures in rooms.values():
            self.assertTrue(all(isinstance(value, int) for value in figures.values()))
        count = sum(len(figures) for figures in rooms.values())
        self.assertEqual(len(self.run_cli("stat", "--no-header").stdout.splitlines()), count)

    def test_watch(self):
        watch = self.broker.popen("stat", "--watch", "20ms", "-o", "jsonl", stdout=subprocess.PIPE, bufsize=0)
        first, second = json.loads(read_line(watch.stdout)), json.loads(read_line(watch.stdout))
        self.assertEqual(set(first), set(second))
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(WAIT), 130)
        watch.stdout.close()

    def test_version(self):
        self.assertRegex(self.run_cli("version").stdout.decode(), r"^runnel +\d+\.\d+\.\d+\n")
        versions = json.loads(self.run_cli("version", "--broker", "-o", "json").stdout)
        self.assertEqual(set(versions), {"runnel", "librunnel", "runneld"})
        self.assertEqual(self.run_cli("--version").stdout, self.run_cli("version").stdout)

    def test_errors(self):
        rows = json.loads(self.run_cli("errors", "-o", "json").stdout)
        self.assertGreater(len(rows), 20)
        row, = json.loads(self.run_cli("errors", "topic-not-found", "-o", "json").stdout)
        self.assertEqual((row["code"], row["name"], row["exit_code"]), (30, "TOPIC_NOT_FOUND", 3))
        self.fails(3, "errors", "TOPIC_NOT_FOND")

    def test_on_a_terminal(self):
        """Aligned tables, and a question before deleting."""
        self.create(2)
        text = self.on_terminal(["topic", "list", self.topic])
        heading, row = text.splitlines()[:2]
        self.assertEqual(heading.split(), ["TOPIC", "PARTITIONS", "EVENTS", "BYTES", "ID"])
        self.assertEqual(heading.index("PARTITIONS") + len("PARTITIONS"), row.index(" 2 ") + 2)
        self.assertIn("not confirmed", self.on_terminal(["topic", "delete", self.topic], b"n\n", 130))
        self.assertIn("deleted", self.on_terminal(["topic", "delete", self.topic], b"y\n"))
        self.fails(3, "topic", "describe", self.topic)

    def on_terminal(self, args, answer=b"", code=0):
        master, slave = pty.openpty()
        process = subprocess.Popen(self.broker.command(*args), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        os.write(master, answer)
        text = b""
        while True:
            try:
                got = os.read(master, 4096)
            except OSError:  # EIO: the other side is closed
                break
            if not got:
                break
            text += got
        os.close(master)
        self.assertEqual(process.wait(WAIT), code, text)
        return text.decode().replace("\r\n", "\n")

    def test_completion(self):
        """bash's script completes commands, options, their values, and topics of the broker."""
        self.create(1)
        script = self.run_cli("completion", "bash").stdout.decode()
        for words, wanted in [(["runnel", "rea"], {"read"}), (["runnel", "topic", "des"], {"describe"}),
                              (["runnel", "read", "t", "--fol"], {"--follow"}),
                              (["runnel", "pub", "t", "--acks", ""], {"durable", "memory", "none"}),
                              (["runnel", "-o", ""], {"table", "json", "jsonl"}),
                              (["runnel", "read", self.topic[:6]], {self.topic}),
                              (["runnel", "completion", "z"], {"zsh"})]:
            quoted = " ".join("'%s'" % w for w in words)
            asked = "%s\nCOMP_WORDS=(%s) COMP_CWORD=%d\n_runnel\nprintf '%%s\\n' \"${COMPREPLY[@]}\"" % (
                script, quoted, len(words) - 1)
            env = dict(os.environ, RUNNEL_URL=self.broker.url,
                       PATH=os.path.dirname(binary("runnel")) + ":" + os.environ["PATH"])
            done = subprocess.run(["bash", "-c", asked], capture_output=True, env=env, timeout=WAIT)
            self.assertEqual(done.stderr, b"", words)
            self.assertEqual(set(done.stdout.decode().split()), wanted, words)
        for shell in ("zsh", "fish"):
            self.assertIn(b"runnel", self.run_cli("completion", shell).stdout)
        self.fails(2, "completion", "csh")

    def test_help_everywhere(self):
        overview = self.run_cli("help").stdout.decode()
        names = re.findall(r"(?m)^  ([a-z-]+(?: [a-z-]+)?)  ", overview.split("Commands:")[1].split("General")[0])
        self.assertGreaterEqual(len(names), 18)
        for name in names:
            text = self.run_cli(*name.split(), "--help").stdout.decode()
            self.assertTrue(text.startswith("runnel " + name), name)
            self.assertGreaterEqual(text.split("Examples:")[1].count("\n  runnel") +
                                    text.count("source <(runnel") + text.count("| runnel"), 3, name)
            self.assertIn(".TH RUNNEL", self.run_cli("help", "--man", name.split()[0]).stdout.decode())


class Broken(CliTest):
    """Brokers that are away, slow, or killed."""

    def setUp(self):
        super().setUp()
        if not self.broker.running():
            if self.broker.process is not None:
                self.broker.wait()
            self.broker.start()

    def test_unreachable(self):
        self.broker.stop()
        began = time.monotonic()
        self.fails(6, "health", "--timeout", "200ms")
        self.fails(6, "topic", "list", "--timeout", "200ms")
        self.assertLess(time.monotonic() - began, 10)
        self.fails(6, "read", "t", "--timeout", "200ms")
        done = self.broker.run("topic", "list", "-o", "json", "--timeout", "100ms", check=False)
        self.assertEqual((done.returncode, done.stdout), (6, b""))
        self.broker.start()

    def test_timed_out(self):
        self.create(1)
        process = self.broker.popen("stat", "--watch", "10ms", "--timeout", "300ms", "-o", "jsonl",
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        read_line(process.stdout)
        self.broker.pause()
        try:
            process.stdout.read()
            self.assertIn(process.wait(WAIT), (124, 6))
            self.assertRegex(process.stderr.read().decode(), r"^error: .+\n$")
        finally:
            self.broker.resume()
        process.stdout.close()
        process.stderr.close()

    def test_killed_while_publishing(self):
        """SIGKILL in the middle, twice: every acknowledged line is there once, at its offset, and none is missing."""
        count = 60000
        lines = [b"line-%d" % i for i in range(count)]
        self.create(3)
        publisher = self.broker.popen("pub", self.topic, "--lines", "-o", "jsonl", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        acks = []
        for part in range(3):
            publisher.stdin.write(b"".join(line + b"\n" for line in lines[part * count // 3:(part + 1) * count // 3]))
            publisher.stdin.flush()
            if part == 2:
                break
            acks.append(json.loads(publisher.stdout.readline()))
            self.broker.restart(kill=True)
        publisher.stdin.close()
        acks += [json.loads(line) for line in publisher.stdout]
        self.assertEqual(publisher.wait(WAIT), 0, publisher.stderr.read())
        publisher.stdout.close()
        publisher.stderr.close()
        self.assertEqual([ack["line"] for ack in acks], list(range(1, count + 1)))
        stored = {(e["partition"], e["offset"]): e["payload"] for e in self.read()}
        self.assertEqual(len(stored), count)
        for ack in acks:
            self.assertEqual(stored[ack["partition"], ack["offset"]], lines[ack["line"] - 1].decode())

    def test_killed_while_following(self):
        """A follower goes on behind the last event that it has shown."""
        self.create(1)
        self.run_cli("pub", self.topic, "--lines", input=b"a\nb\n")
        reader = self.broker.popen("read", self.topic, "--follow", "--raw", "-n", 4, stdout=subprocess.PIPE, bufsize=0)
        self.assertEqual([read_line(reader.stdout), read_line(reader.stdout)], ["a\n", "b\n"])
        self.broker.restart(kill=True)
        self.run_cli("pub", self.topic, "--lines", input=b"c\nd\n")
        self.assertEqual([read_line(reader.stdout), read_line(reader.stdout)], ["c\n", "d\n"])
        self.assertEqual(reader.wait(WAIT), 0)
        reader.stdout.close()

    def test_verify(self):
        self.create(1)
        self.run_cli("pub", self.topic, "--lines", input=b"x" * 200 + b"\n")
        self.broker.stop()
        self.assertEqual(self.broker.run("verify", self.broker.data).returncode, 0)
        done = self.broker.run("verify", self.broker.data, "-o", "json")
        json.loads(done.stdout)
        self.broker.start()
        nothing = os.path.join(self.broker.work, "nothing")
        self.assertNotEqual(self.broker.run("verify", nothing, check=False).returncode, 0)


class Damaged(CliTest):
    """One flipped bit: named by verify; the other partitions are read all the same."""

    @classmethod
    def setUpClass(cls):
        # little memory and journal, so that events soon are in segments
        cls.broker = Broker(env={"RUNNEL_TAILS_BYTES": "8MiB", "RUNNEL_JOURNAL_FILE_BYTES": "8MiB",
                                 "RUNNEL_JOURNAL_FILES_MAX": "2"})

    def test_damage(self):
        self.create(2)
        lines = b"".join(b"%06d %s\n" % (i, b"x" * 1000) for i in range(16000))
        for partition in (0, 1):
            self.run_cli("pub", self.topic, "--lines", "-p", partition, input=lines)
        self.broker.stop()
        path = os.path.join(self.broker.data, "topics", self.topic, "1", "0" * 20 + ".log")
        # The first segment is as long as it was when the journal wanted its space back: anything from some 100 KB.
        # More was published than tails hold, so what is in the middle of it, or before 500,000, has been written.
        with open(path, "r+b") as log:
            where = min(os.path.getsize(path) // 2, 500000)
            log.seek(where)
            byte = log.read(1)[0]
            log.seek(where)
            log.write(bytes([byte ^ 1]))
        done = self.broker.run("verify", self.broker.data, "-o", "json", check=False)
        self.assertEqual(done.returncode, 4, done.stderr)
        findings = json.loads(done.stdout)["findings"]
        self.assertTrue(findings and all(f["file"].endswith("/1/" + "0" * 20 + ".log") for f in findings), findings)

        self.broker.start()
        self.assertIn("SEGMENT_CORRUPT", self.fails(4, "read", self.topic, "-p", 1, "--raw"))
        self.assertEqual(self.run_cli("read", self.topic, "-p", 0, "--raw").stdout, lines)
        done = self.broker.run("read", self.topic, "--raw", check=False)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertGreaterEqual(done.stdout.count(b"\n"), 16000)
        self.fails(7, "replay", self.topic, "--to-topic", self.topic + "-again")
        self.assertEqual(self.broker.run("health", "-q", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
