#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Consumer groups and dead letters: the runnel command against a real broker.

Nothing here waits by sleeping: commands run by --exec say what they do in files and pipes, and back-offs are
set to milliseconds.
"""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import runnel_wire as wire  # noqa: E402
from broker import Broker  # noqa: E402
from cli_case import CliCase  # noqa: E402

WAIT = 60.0  # for anything that must happen; only a failure waits that long
FIELDS = {"original_topic", "original_partition", "original_offset", "error_type", "error_message",
          "error_stack_trace", "retry_count", "failed_at", "consumer_group", "consumer_instance"}


def objects(output):
    return [json.loads(line) for line in output.decode().splitlines()]


def wait_for(what, condition, timeout=WAIT):
    """Asks again and again: for what only the broker's answer tells."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not in time: " + what)
        time.sleep(0.02)


class Lines:
    """The lines of a pipe, as they come."""

    def __init__(self, stream):
        self.stream, self.buffer = stream, b""

    def next(self, timeout=WAIT):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            if not select.select([self.stream], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("no line in time; so far: %r" % self.buffer)
            got = os.read(self.stream.fileno(), 4096)
            if not got:
                raise AssertionError("the output ended; so far: %r" % self.buffer)
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()


class GroupTest(CliCase):
    """One broker for all tests of a class; each test has a topic and a group of its own."""

    def setUp(self):
        super().setUp()
        self.group = "g-" + self.topic
        self.work = pathlib.Path(self.broker.work) / self.topic
        self.work.mkdir()
        self.running = []
        self.addCleanup(self.stop_all)

    def stop_all(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()

    def json(self, *args):
        return json.loads(self.run_cli(*args, "-o", "json").stdout)

    def create(self, partitions=1, name=None):
        self.run_cli("topic", "create", name or self.topic, "--partitions", partitions)

    def publish(self, payloads, topic=None, *args):
        text = "".join("%s\n" % p for p in payloads).encode()
        self.run_cli("pub", topic or self.topic, "--lines", "-q", *args, input=text)

    def fast_retries(self, mode="ordered", *settings):
        self.run_cli("group", "set", self.group, "--create", mode, "retry.backoff=1ms,1ms,1ms", *settings)

    def sub(self, *args):
        return ("sub", self.topic, "-g", self.group, "--from", "start") + args

    def start(self, *args, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        process = self.broker.popen(*args, **kwargs)
        self.running.append(process)
        return process

    def describe(self, group=None):
        return self.json("group", "describe", group or self.group)

    def partition(self, number=0):
        return next(p for p in self.describe()["partitions"] if p["partition"] == number)

    def script(self, text):
        path = self.work / "run.sh"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)


class Consuming(GroupTest):
    def test_goes_on_where_it_was(self):
        self.create()
        self.publish(range(10))
        first = objects(self.run_cli(*self.sub("-n", 4, "-o", "jsonl")).stdout)
        self.assertEqual([e["offset"] for e in first], [0, 1, 2, 3])
        self.assertEqual([e["payload"] for e in first], ["0", "1", "2", "3"])
        self.assertEqual(self.partition()["position"], 4)
        self.assertEqual(self.partition()["lag"], 6)
        self.broker.restart(kill=True)
        second = objects(self.run_cli(*self.sub("-n", 6, "-o", "jsonl")).stdout)
        self.assertEqual([e["offset"] for e in second], [4, 5, 6, 7, 8, 9])
        self.assertEqual(self.partition()["lag"], 0)

    def test_end_is_where_it_begins_without_from(self):
        self.create()
        self.publish(["old"])
        process = self.start("sub", self.topic, "-g", self.group, "--from", "end", "-n", 1, "--raw")
        wait_for("the member", lambda: self.state_of_member() == "ok")
        self.publish(["new"])
        self.assertEqual(process.stdout.read(), b"new\n")
        self.assertEqual(process.wait(WAIT), 0)

    def state_of_member(self):
        done = self.broker.run("group", "describe", self.group, "-o", "json", check=False)
        if done.returncode:
            return None
        members = json.loads(done.stdout)["members"]
        return members[0]["state"] if members else None

    def test_members_share_partitions(self):
        self.create(4)
        self.publish(range(400), None, "-K", ":")
        self.run_cli("group", "set", self.group, "--create", "ordered")
        outputs = [self.work / name for name in "ab"]
        members = []
        for output in outputs:
            with output.open("wb") as stream:
                members.append(self.start(*self.sub("-o", "jsonl"), stdout=stream))
        wait_for("two members", lambda: len(self.describe()["members"]) == 2)
        wait_for("both own some", lambda: {p["owner"] for p in self.describe()["partitions"]} ==
                 {m["member"] for m in self.describe()["members"]})
        for i in range(4):
            self.run_cli("pub", self.topic, "last", "-p", i)
        wait_for("everything", lambda: self.describe()["lag"] == 0)
        for member in members:
            member.send_signal(signal.SIGTERM)
            self.assertEqual(member.wait(WAIT), 0)
        events = [objects(output.read_bytes()) for output in outputs]
        self.assertTrue(all(any(e["payload"] == "last" for e in some) for some in events), "both had partitions")
        places = [(e["partition"], e["offset"]) for some in events for e in some]
        self.assertEqual(len(places), 404)
        self.assertEqual(len(set(places)), 404, "each event once")
        self.assertEqual(self.describe()["members"], [])

    def test_patterns(self):
        self.create(1, "patterns.a")
        self.publish(["one"], "patterns.a")
        process = self.start("sub", "patterns.*", "-g", self.group, "--from", "start", "-n", 2, "-o", "jsonl")
        lines = Lines(process.stdout)
        self.assertEqual(json.loads(lines.next())["topic"], "patterns.a")
        self.create(1, "patterns.b")
        self.publish(["two"], "patterns.b")
        self.assertEqual(json.loads(lines.next())["topic"], "patterns.b")
        self.assertEqual(process.wait(WAIT), 0)

    def test_what_is_not_read_comes_again(self):
        """The reader of the pipe goes away: exit code 0, and only what it was given is acknowledged."""
        self.create()
        self.publish(["%03d" % i + "x" * 2000 for i in range(500)])
        process = self.start(*self.sub("--raw"))
        first = Lines(process.stdout).next()
        self.assertTrue(first.startswith("000"))
        process.stdout.close()
        process.stdout = None
        self.assertEqual(process.wait(WAIT), 0)
        again = self.run_cli(*self.sub("-n", 1, "-o", "jsonl"))
        offset = objects(again.stdout)[0]["offset"]
        self.assertGreater(offset, 0)
        self.assertLess(offset, 500)
        self.assertEqual(self.describe()["members"], [])

    def test_interrupted(self):
        self.create()
        self.publish(["one"])
        process = self.start(*self.sub("--raw"))
        self.assertEqual(Lines(process.stdout).next(), "one")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(WAIT), 130)
        self.assertEqual(self.describe()["members"], [])
        self.assertEqual(self.partition()["position"], 1)

    def test_survives_the_broker(self):
        self.create()
        self.publish(range(5))
        process = self.start(*self.sub("-o", "jsonl"))
        lines = Lines(process.stdout)
        self.assertEqual([json.loads(lines.next())["offset"] for _ in range(5)], [0, 1, 2, 3, 4])
        self.broker.restart(kill=True)
        self.publish(range(5))
        offset = -1
        while offset < 9:  # some may come again: their acknowledgement was not durable
            offset = json.loads(lines.next())["offset"]
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT), 0)
        self.assertEqual(self.partition()["lag"], 0)

    def test_wrong_usage(self):
        self.create()
        for args in (("--exec", "true"), ("--shared",), ("--instance", "a"), ("--parallel", 2)):
            self.assertIn("group", self.fails(2, "sub", self.topic, *args))
        for args in (("-p", 0), ("--parallel", 2), ("--from", "17"), ("--exec", "true", "--raw"),
                     ("--exec", "true", "--parallel", 0)):
            self.fails(2, "sub", self.topic, "-g", self.group, *args)
        self.fails(2, "sub", self.topic, "-g", "not a name")
        self.run_cli("group", "set", self.group, "--create", "ordered")
        self.assertIn("GROUP_MODE_MISMATCH", self.fails(4, "sub", self.topic, "-g", self.group, "--shared"))


    def test_ends_when_nothing_is_left(self):
        self.create(2)
        self.publish(range(20), None, "-K", ":")
        self.fast_retries()
        events = objects(self.run_cli(*self.sub("-e", "-o", "jsonl")).stdout)
        self.assertEqual(sorted(int(e["payload"]) for e in events), list(range(20)))
        self.assertEqual(self.describe()["lag"], 0)
        self.assertEqual(self.run_cli(*self.sub("-e", "-o", "jsonl")).stdout, b"", "at once, too")
        self.publish(["odd", "even"])
        twice = self.script('(cat; echo) >> "%s/seen"; [ $RUNNEL_ATTEMPT -gt 1 ]' % self.work)
        self.run_cli(*self.sub("-e", "--exec", twice))
        self.assertEqual(self.describe()["lag"], 0, "what waited for its next attempt was waited for")
        self.assertEqual(sorted((self.work / "seen").read_text().split()), ["even"] * 2 + ["odd"] * 2)

    def test_a_seek_takes_away_what_is_being_worked_on(self):
        """What is done with it is nobody's business any more: no error is told."""
        self.create()
        self.publish(range(10))
        begun, end = self.work / "begun", self.work / "end"
        os.mkfifo(begun)
        os.mkfifo(end)
        command = 'if [ $RUNNEL_OFFSET = 0 ]; then echo x > "%s"; read x < "%s"; fi' % (begun, end)
        process = self.start(*self.sub("-e", "--exec", command), stderr=subprocess.PIPE)
        begun.read_text()
        self.run_cli("group", "seek", self.group, "--topic", self.topic, "--to", "7")
        end.write_text("x\n")
        _, told = process.communicate(timeout=WAIT)
        self.assertEqual((process.returncode, told), (0, b""))
        self.assertEqual(self.partition()["position"], 10)


class Exec(GroupTest):
    def test_what_a_command_is_told(self):
        self.create()
        self.run_cli("pub", self.topic, '{"n":1}', "-k", "customer-4", "-H", "trace-id=a b", "-H", "empty=",
                     "--timestamp", "2026-11-21T02:11:37.5Z")
        seen = self.work / "seen"
        run = self.script('cat > "%s"; env | grep ^RUNNEL_ | sort >> "%s"' % (seen, seen))
        self.run_cli(*self.sub("-n", 1, "--exec", run))
        lines = seen.read_text().replace('{"n":1}', '{"n":1}\n').splitlines()
        self.assertEqual(lines[0], '{"n":1}')
        env = dict(line.split("=", 1) for line in lines[1:])
        self.assertEqual(env["RUNNEL_TOPIC"], self.topic)
        self.assertEqual(env["RUNNEL_PARTITION"], "0")
        self.assertEqual(env["RUNNEL_OFFSET"], "0")
        self.assertEqual(env["RUNNEL_TIMESTAMP"], "2026-11-21T02:11:37.500Z")
        self.assertEqual(env["RUNNEL_KEY"], "customer-4")
        self.assertEqual(env["RUNNEL_ATTEMPT"], "1")
        self.assertEqual(env["RUNNEL_GROUP"], self.group)
        self.assertEqual(env["RUNNEL_HEADER_trace_id"], "a b")
        self.assertEqual(env["RUNNEL_HEADER_empty"], "")
        self.assertEqual(self.partition()["lag"], 0)

    def test_large_payload_and_output(self):
        self.create()
        payload = os.urandom(700000)
        self.run_cli("pub", self.topic, "-", input=payload)
        self.run_cli("pub", self.topic, "-", input=payload)
        done = self.run_cli(*self.sub("-n", 2, "--exec", "if [ $RUNNEL_OFFSET = 0 ]; then cat; fi"))
        self.assertEqual(done.stdout, payload)

    def test_failures_in_order(self):
        """Event 2 fails for ever: those behind it wait, it dies after four attempts, and they go on."""
        self.create()
        self.fast_retries()
        self.publish(range(6))
        log = self.work / "log"
        run = self.script('read x; echo $x $RUNNEL_ATTEMPT >> "%s"\n'
                          'if [ $x = 2 ]; then echo first >&2; echo "no such customer" >&2; exit 3; fi\n' % log)
        done = self.run_cli(*self.sub("-n", 9, "--exec", run, "--parallel", 4))
        self.assertEqual(log.read_text().splitlines(),
                         ["0 1", "1 1", "2 1", "2 2", "2 3", "2 4", "3 1", "4 1", "5 1"])
        self.assertIn("no such customer", done.stderr.decode())
        letter, = self.json("dlq", "list", self.topic)
        self.assertTrue(FIELDS <= set(letter), letter)
        self.assertEqual(letter["original_topic"], self.topic)
        self.assertEqual((letter["original_partition"], letter["original_offset"]), (0, 2))
        self.assertEqual(letter["error_type"], "exit 3")
        self.assertEqual(letter["error_message"], "no such customer")
        self.assertEqual(letter["retry_count"], 3)
        self.assertEqual(letter["consumer_group"], self.group)
        self.assertEqual(letter["disposition"], "max_attempts")
        self.assertRegex(letter["failed_at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d")
        self.assertEqual(self.partition()["lag"], 0)

    def test_failures_without_order(self):
        self.create()
        self.fast_retries("shared", "retry.max=1")
        self.publish(range(20))
        log = self.work / "log"
        run = 'read x; echo $x $RUNNEL_ATTEMPT >> "%s"; [ $x = 2 ] && kill -9 $$; exit 0' % log
        self.run_cli(*self.sub("-n", 21, "--exec", run, "--parallel", 4))
        lines = log.read_text().splitlines()
        self.assertEqual(sorted(lines), sorted(["%d 1" % i for i in range(20)] + ["2 2"]))
        letter, = self.json("dlq", "list", self.topic)
        self.assertEqual(letter["error_type"], "signal SIGKILL")
        self.assertEqual(letter["retry_count"], 1)

    def test_never_more_than_parallel(self):
        self.create()
        self.run_cli("group", "set", self.group, "--create", "shared")
        self.publish(range(12))
        gate = self.work / "gate"
        os.mkfifo(gate)
        started = self.work / "started"
        os.mkfifo(started)
        process = self.start(*self.sub("-n", 12, "--parallel", 3, "--exec",
                                       'echo in > "%s"; read x < "%s"' % (started, gate)))
        reader = os.fdopen(os.open(started, os.O_RDWR), "rb", buffering=0)
        lines = Lines(reader)
        for _ in range(3):
            lines.next()
        self.assertEqual(self.describe()["members"][0]["in_flight"], 6, "three run, three are at hand")
        self.assertFalse(select.select([reader], [], [], 0.1)[0], "no fourth one runs")
        with open(gate, "w") as opened:
            opened.write("go\n" * 12)
            opened.flush()
            while process.poll() is None:
                if select.select([reader], [], [], 0.05)[0]:
                    os.read(reader.fileno(), 4096)
        reader.close()
        self.assertEqual(process.wait(WAIT), 0)
        self.assertEqual(self.partition()["lag"], 0)

    def test_stops_in_order(self):
        """SIGTERM: what runs is finished and acknowledged, what waits is given back, exit code 0."""
        for name, code in (("TERM", 0), ("INT", 130)):
            with self.subTest(name):
                topic, group = self.topic + name, self.group + name
                self.create(1, topic)
                self.publish(range(5), topic)
                gate, started = self.work / ("gate" + name), self.work / ("started" + name)
                os.mkfifo(gate)
                os.mkfifo(started)
                process = self.start("sub", topic, "-g", group, "--from", "start", "--exec",
                                     'echo in > "%s"; read x < "%s"' % (started, gate))
                with open(started, "rb", buffering=0) as stream:
                    Lines(stream).next()
                process.send_signal(getattr(signal, "SIG" + name))
                wait_for("the member stops",
                         lambda: self.json("group", "describe", group)["members"][0]["in_flight"] == 1)
                with open(gate, "w") as opened:
                    opened.write("go\n")
                self.assertEqual(process.wait(WAIT), code)
                partition, = self.json("group", "describe", group)["partitions"]
                self.assertEqual((partition["position"], partition["lag"], partition["retrying"]), (1, 4, 0))
                again = objects(self.run_cli("sub", topic, "-g", group, "-n", 1, "-o", "jsonl").stdout)
                self.assertEqual(again[0]["offset"], 1)

    def test_a_killed_member_is_charged_only_for_what_it_did(self):
        """It dies with one event in flight: that one is charged, its neighbours are not."""
        self.create()
        self.fast_retries("ordered", "session.timeout=1s", "retry.max=1", "max_in_flight=1")
        self.publish(range(3))
        log = self.work / "log"
        poison = 'read x; echo $x $RUNNEL_ATTEMPT >> "%s"; [ $x = 1 ] && kill -9 $PPID; exit 0' % log
        while not self.json("dlq", "list", self.topic):
            process = self.start(*self.sub("--exec", poison))
            wait_for("it dies, or the poison does", lambda: process.poll() is not None or
                     (self.describe()["members"] and self.describe()["lag"] == 0))
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(WAIT)
        letter, = self.json("dlq", "list", self.topic)
        self.assertEqual(letter["original_offset"], 1)
        self.assertEqual(letter["error_type"], "member_died")
        wait_for("the rest", lambda: self.partition()["lag"] == 0 or
                 self.run_cli(*self.sub("-n", 1, "--exec", poison)) is None)
        lines = log.read_text().splitlines()
        self.assertEqual(lines.count("0 1"), 1)
        self.assertEqual(lines[-1], "2 1")

    def test_too_slow_is_killed(self):
        self.create()
        self.fast_retries("ordered", "retry.max=0")
        self.publish(["x"])
        never = self.work / "never"
        os.mkfifo(never)
        self.run_cli(*self.sub("-n", 1, "--exec-timeout", "50ms", "--exec", 'read x < "%s"' % never))
        letter, = self.json("dlq", "list", self.topic)
        self.assertEqual(letter["error_type"], "timeout")


class Looking(GroupTest):
    def consumed(self, count=5, topic=None):
        self.create(2, topic)
        self.publish(range(10), topic, "-k", "one")
        self.run_cli("sub", topic or self.topic, "-g", self.group, "--from", "start", "-n", count, "--raw")

    def test_list_and_describe(self):
        self.consumed()
        row, = [r for r in self.json("group", "list") if r["group"] == self.group]
        self.assertEqual((row["mode"], row["state"], row["members"], row["lag"]), ("ordered", "empty", 0, 5))
        self.assertGreaterEqual(row["lag_ms"], 0)
        self.assertEqual(self.json("group", "list", "g-list*")[0]["group"], self.group)
        self.fails(3, "group", "list", "nothing*")
        info = self.describe()
        self.assertEqual(info["topics"], [self.topic])
        self.assertEqual(info["breaker"], "closed")
        configs = {c["name"]: (c["value"], c["default"]) for c in info["configs"]}
        self.assertEqual(configs["retry.max"], ("3", True))
        self.assertEqual(configs["ack.wait"], ("30s", True))
        table = self.run_cli("group", "describe", self.group).stdout.decode()
        self.assertIn("retry.backoff", table)
        self.assertIn("GROUP_NOT_FOUND", self.fails(3, "group", "describe", "nobody"))

    def test_lag(self):
        self.consumed()
        rows = self.json("group", "lag", self.group)
        self.assertEqual([r["partition"] for r in rows], [0, 1])
        self.assertEqual(sorted(r["lag"] for r in rows), [0, 5])
        self.assertTrue(all(r["lag_ms"] >= 0 for r in rows))
        self.assertIn(self.group, {r["group"] for r in self.json("group", "lag")})
        self.fails(3, "group", "lag", "nobody")

    def test_seek(self):
        self.consumed(10)
        before = self.json("group", "lag", self.group)
        rows = self.json("group", "seek", self.group, "--topic", self.topic, "--to", "start", "--dry-run")
        self.assertEqual(sorted(r["events"] for r in rows), [-10, 0])
        self.assertEqual({r["status"] for r in rows}, {"would be moved"})
        self.assertEqual([r["position"] for r in self.json("group", "lag", self.group)],
                         [r["position"] for r in before])
        self.json("group", "seek", self.group, "--topic", self.topic, "--to", "start")
        self.assertEqual(self.describe()["lag"], 10)
        number = next(r["partition"] for r in rows if r["events"])
        self.run_cli("group", "seek", self.group, "--topic", self.topic, "-p", number, "--to", "7")
        self.assertEqual(self.describe()["lag"], 3)
        self.run_cli("group", "seek", self.group, "--topic", self.topic, "-p", number, "--shift", "-2")
        self.assertEqual(self.describe()["lag"], 5)
        events = objects(self.run_cli(*self.sub("-n", 5, "-o", "jsonl")).stdout)
        self.assertEqual([e["offset"] for e in events], [5, 6, 7, 8, 9])
        self.fails(2, "group", "seek", self.group, "--to", "start")
        self.fails(2, "group", "seek", self.group, "--topic", self.topic)
        self.fails(2, "group", "seek", self.group, "--topic", self.topic, "--to", "start", "--shift", "1")
        self.fails(3, "group", "seek", self.group, "--topic", self.topic, "-p", number, "--to", "1000")
        self.fails(3, "group", "seek", "nobody", "--topic", self.topic, "--to", "start")

    def test_settings(self):
        self.consumed()
        row, = self.json("group", "set", self.group, "retry.max=7")
        self.assertEqual((row["old"], row["new"]), ("3", "7"))
        row, = self.json("group", "set", self.group, "--unset", "retry.max")
        self.assertEqual((row["old"], row["new"]), ("7", "3"))
        self.fails(2, "group", "set", self.group, "retry.max=many")
        self.fails(2, "group", "set", self.group, "nothing=1")
        self.fails(2, "group", "set", self.group)
        self.fails(3, "group", "set", "nobody", "retry.max=1")
        self.run_cli("group", "set", self.group + "-new", "--create", "shared", "ack.wait=5m")
        self.assertEqual(self.describe(self.group + "-new")["mode"], "shared")

    def test_breaker(self):
        self.consumed()
        self.assertEqual(self.json("group", "breaker", self.group)[0]["breaker"], "closed")
        self.assertEqual(self.json("group", "breaker", self.group, "open")[0]["breaker"], "held open")
        self.assertEqual(self.describe()["state"], "paused")
        process = self.start(*self.sub("-n", 1, "--raw"))
        wait_for("the member", lambda: self.describe()["members"])
        self.assertEqual(self.describe()["members"][0]["in_flight"], 0)
        self.run_cli("group", "breaker", self.group, "auto")
        self.assertEqual(process.stdout.read(), b"5\n")
        self.assertEqual(process.wait(WAIT), 0)
        self.fails(2, "group", "breaker", self.group, "ajar")

    def test_delete_and_forget(self):
        self.consumed()
        process = self.start(*self.sub("--raw"))
        Lines(process.stdout).next()
        self.assertIn("GROUP_BUSY", self.fails(4, "group", "delete", self.group, "--yes"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT), 0)
        self.fails(2, "group", "forget", self.group, "--topic", self.topic)
        self.run_cli("group", "forget", self.group, "--topic", self.topic, "--yes")
        self.assertEqual(len(objects(self.run_cli(*self.sub("-n", 10, "-o", "jsonl")).stdout)), 10)
        self.fails(2, "group", "delete", self.group)
        row, = self.json("group", "delete", self.group, "--dry-run")
        self.assertEqual(row["status"], "would be deleted")
        row, = self.json("group", "delete", self.group, "--yes")
        self.assertEqual(row["status"], "deleted")
        self.fails(3, "group", "describe", self.group)


class DeadLetters(GroupTest):
    def kill(self, count, exec_command="exit 3", *publish):
        """Events 0 ... count - 1 of one partition, all dead."""
        self.create()
        self.fast_retries("shared", "retry.max=0", "breaker=off")
        self.publish(['{"n":%d,"customer":{"id":"c%d"}}' % (i, i % 3) for i in range(count)], None, *publish)
        self.run_cli(*self.sub("-n", count, "--exec", exec_command, "--parallel", 4))
        self.assertEqual(len(self.listed()), count)

    def listed(self, *args):
        return objects(self.run_cli("dlq", "list", self.topic, "-o", "jsonl", *args).stdout)

    def offsets(self, *args):
        return sorted(e["original_offset"] for e in self.listed(*args))

    def consume(self, count):
        """Deliveries that follow, all fine; their offsets."""
        done = self.run_cli(*self.sub("-n", count, "-o", "jsonl"))
        return sorted(e["offset"] for e in objects(done.stdout))

    def test_put_by_a_consumer_that_cannot_refuse(self):
        self.create(partitions=2)
        self.run_cli("pub", self.topic, "first", "-p", 1)
        self.run_cli("pub", self.topic, "bad", "-p", 1, "-k", "k1", "-H", "color=red")
        self.assertIn("group", self.fails(2, "dlq", "put", self.topic, "1:1"))
        self.assertIn("1:1", self.fails(2, "dlq", "put", self.topic, "x1:1", "-g", "kafka-app"))
        self.fails(3, "dlq", "put", self.topic, "1:2", "-g", "kafka-app")
        self.fails(3, "dlq", "put", self.topic, "2:0", "-g", "kafka-app")
        self.fails(2, "dlq", "put", self.topic + ".dlq", "1:1", "-g", "kafka-app")
        self.assertEqual(self.listed(), [])
        self.run_cli("dlq", "put", self.topic, "1:1", "-g", "kafka-app", "--error-type", "BadTotal",
                     "--error-message", "total < 0", "--retries", 2, "--instance", "pod-7")
        letter, = self.listed()
        want = {"partition": 1, "original_topic": self.topic, "original_partition": 1, "original_offset": 1,
                "error_type": "BadTotal", "error_message": "total < 0", "retry_count": 2,
                "consumer_group": "kafka-app", "consumer_instance": "pod-7", "disposition": "rejected"}
        self.assertEqual({k: letter[k] for k in want}, want)
        event = json.loads(self.run_cli("dlq", "show", self.topic, "1:0", "-o", "json").stdout)["event"]
        self.assertEqual((event["key"], event["payload"], event["headers"]["color"]), ("k1", "bad", "red"))
        self.run_cli("dlq", "redrive", self.topic, "--to-topic", self.topic)
        self.assertEqual(self.listed(), [])
        again = objects(self.run_cli("read", self.topic, "-p", 1, "--from", 2, "-e", "-o", "jsonl").stdout)
        self.assertEqual([(e["key"], e["payload"]) for e in again], [("k1", "bad")])

    def test_nothing_is_dead(self):
        self.create()
        self.assertEqual(self.listed(), [])
        self.assertIn("TOPIC_NOT_FOUND", self.fails(3, "dlq", "list", "nothing"))
        self.fails(3, "dlq", "show", self.topic, "0:0")

    def test_list_and_filters(self):
        self.kill(9, 'read x; case "$x" in *:[012],*) echo early >&2; exit 5;; esac; echo late >&2; exit 6')
        self.run_cli("pub", self.topic, '{"n":100}', "-H", "color=red", "--correlation-id", "c-17", "--type",
                 "order.placed")
        self.run_cli(*self.sub("-n", 1, "--exec", "exit 7"))
        self.assertEqual(self.offsets("--where-type", "exit 5"), [0, 1, 2])
        self.assertEqual(self.offsets("--where-type", "exit *"), list(range(10)))
        self.assertEqual(self.offsets("--json-path", "$.customer.id=c1"), [1, 4, 7])
        self.assertEqual(self.offsets("--json-path", "customer.id"), list(range(9)))
        self.assertEqual(self.offsets("--json-path", "$.n=3", "--where-type", "exit 6"), [3])
        self.assertEqual(self.offsets("--header", "color=red"), [9])
        self.assertEqual(self.offsets("--correlation-id", "c-17"), [9])
        self.assertEqual(self.offsets("--since", "1h"), list(range(10)))
        self.assertEqual(self.offsets("--since", "2099-01-01"), [])
        self.assertEqual(self.offsets("--group", self.group), list(range(10)))
        self.assertEqual(self.offsets("--group", "other"), [])
        self.assertEqual(len(self.listed("-n", 4)), 4)
        self.assertEqual(self.listed("--header", "color=red")[0]["type"], "order.placed")
        stats = self.json("dlq", "stats", self.topic)
        self.assertEqual({(s["by"], s["count"]) for s in stats}, {("exit 5", 3), ("exit 6", 6), ("exit 7", 1)})
        self.assertEqual({s["example"] for s in stats}, {"early", "late", None})
        self.assertEqual(self.json("dlq", "stats", self.topic, "--by", "group")[0]["count"], 10)
        self.assertIn(self.topic + ".dlq", {s["topic"] for s in self.json("dlq", "stats")})
        self.assertEqual(len(objects(self.run_cli("dlq", "list", self.topic[:-3] + "*", "-o", "jsonl").stdout)), 10)
        for wrong in (("--header", "x"), ("--since", "soon"), ("--json-path", "a["), ("-n", "0"), ("1",)):
            self.fails(2, "dlq", "list", self.topic, *wrong)

    def test_show(self):
        self.kill(1, "echo trouble >&2; exit 3", "-k", "c-1", "-H", "color=red")
        place = "%d:%d" % (self.listed()[0]["partition"], self.listed()[0]["offset"])
        shown = json.loads(self.run_cli("dlq", "show", self.topic, place, "-o", "json").stdout)
        self.assertTrue(FIELDS <= set(shown))
        self.assertFalse(shown["settled"])
        self.assertEqual(shown["event"]["key"], "c-1")
        self.assertEqual(shown["event"]["payload"]["n"], 0)
        self.assertEqual(shown["event"]["headers"]["color"], "red")
        self.assertIn("trouble", self.run_cli("dlq", "show", self.topic, place).stdout.decode())
        self.fails(3, "dlq", "show", self.topic, "0:99")
        self.fails(2, "dlq", "show", self.topic, "99")
        self.run_cli("dlq", "redrive", self.topic)
        shown = json.loads(self.run_cli("dlq", "show", self.topic, place, "-o", "json").stdout)
        self.assertTrue(shown["settled"])

    def test_redrive_to_the_group_that_failed(self):
        self.kill(6)
        self.run_cli("sub", self.topic, "-g", self.group + "-other", "--from", "start", "-n", 6, "--raw")
        end = self.json("topic", "offsets", self.topic)
        dry = objects(self.run_cli("dlq", "redrive", self.topic, "--dry-run", "-o", "jsonl").stdout)
        self.assertEqual(len(dry), 6)
        self.assertEqual(len(self.listed()), 6)
        rows = objects(self.run_cli("dlq", "redrive", self.topic, "-o", "jsonl").stdout)
        self.assertEqual([list(r) for r in rows], [list(r) for r in dry], "the same columns")
        self.assertEqual({r["status"] for r in rows}, {"redriven"})
        self.assertEqual(self.json("topic", "offsets", self.topic), end, "nothing was published")
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.consume(6), list(range(6)))
        self.assertEqual(self.describe()["lag"], 0)
        self.assertEqual(self.describe(self.group + "-other")["lag"], 0)
        self.assertEqual(objects(self.run_cli("dlq", "redrive", self.topic, "-o", "jsonl").stdout), [])

    def test_redrive_some(self):
        self.kill(9)
        self.run_cli("dlq", "redrive", self.topic, "--json-path", "$.customer.id=c1", "-q")
        self.assertEqual(self.consume(3), [1, 4, 7])
        self.run_cli("dlq", "redrive", self.topic, "--limit", 2, "--rate", 1000, "-q")
        self.assertEqual(len(self.listed()), 4)
        letter = self.listed()[-1]
        self.run_cli("dlq", "redrive", self.topic, "%d:%d" % (letter["partition"], letter["offset"]))
        self.assertEqual(len(self.listed()), 3)
        self.broker.restart(kill=True)
        self.assertEqual(len(self.listed()), 3, "what was dealt with stays so")
        self.assertEqual(len(self.consume(3)), 3)

    def test_dead_again(self):
        self.kill(1)
        self.run_cli("dlq", "redrive", self.topic)
        self.run_cli(*self.sub("-n", 1, "--exec", "exit 4"))
        letter, = self.listed()
        self.assertEqual((letter["offset"], letter["original_offset"], letter["error_type"]), (1, 0, "exit 4"))

    def test_republish(self):
        self.kill(3, "exit 3", "-k", "c-1", "-H", "color=red", "--bare")
        target = self.topic + "-again"
        self.fails(3, "dlq", "redrive", self.topic, "--to-topic", target)
        self.create(1, target)
        rows = objects(self.run_cli("dlq", "redrive", self.topic, "--to-topic", target, "-o", "jsonl").stdout)
        self.assertEqual({r["to"] for r in rows}, {target})
        events = objects(self.run_cli("read", target, "-o", "jsonl").stdout)
        self.assertEqual(sorted(e["payload"]["n"] for e in events), [0, 1, 2])
        self.assertEqual(events[0]["key"], "c-1")
        self.assertEqual(events[0]["headers"], {"color": "red", "runnel-redrive-of": self.topic + ".dlq/0:0",
                                                "runnel-redrive-attempt": "1"})
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.describe()["lag"], 0, "the group does not get them again")

    def test_republish_into_a_topic_that_takes_little_at_once(self):
        self.kill(24)
        target = self.topic + "-small"
        self.run_cli("topic", "create", target, "--config", "max.message.bytes=1024")
        rows = objects(self.run_cli("dlq", "redrive", self.topic, "--to-topic", target, "-o", "jsonl").stdout)
        self.assertEqual([r["status"] for r in rows], ["redriven"] * 24)
        events = objects(self.run_cli("read", target, "-o", "jsonl").stdout)
        self.assertEqual(sorted(e["payload"]["n"] for e in events), list(range(24)))

    def test_a_letter_that_is_too_large_for_the_topic_is_in_nobodys_way(self):
        self.run_cli("group", "set", self.group, "--create", "ordered", "retry.max=0")
        self.create()
        self.publish(["a", "b" * 4000, "c"])
        self.run_cli(*self.sub("-n", 3, "--exec", "exit 1"))
        target = self.topic + "-small"
        self.run_cli("topic", "create", target, "--config", "max.message.bytes=1024")
        done = self.broker.run("dlq", "redrive", self.topic, "--to-topic", target, "-o", "jsonl", check=False)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual([r["status"] for r in objects(done.stdout)], ["redriven", "BATCH_TOO_LARGE", "redriven"])
        self.assertEqual(len(self.listed()), 1)

    def test_discard(self):
        self.kill(4)
        self.fails(2, "dlq", "discard", self.topic, "--yes")
        self.fails(2, "dlq", "discard", self.topic, "--reason", "junk")
        dry = objects(self.run_cli("dlq", "discard", self.topic, "--reason", "junk", "--dry-run", "-o", "jsonl").stdout)
        self.assertEqual(len(dry), 4)
        letter = self.listed()[0]
        self.run_cli("dlq", "discard", self.topic, "0:%d" % letter["offset"], "--reason", 'test "data"')
        self.assertEqual(len(self.listed()), 3)
        rows = objects(self.run_cli("dlq", "discard", self.topic, "--reason", "junk", "--yes", "-o", "jsonl").stdout)
        self.assertEqual([list(r) for r in rows], [list(dry[0])] * 3)
        self.assertEqual({r["status"] for r in rows}, {"discarded"})
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.describe()["lag"], 0)
        audit = [e["payload"] for e in objects(self.run_cli("read", "dlq.audit", "-o", "jsonl").stdout)
                 if e["payload"]["group"] == self.group]
        self.assertEqual([a["reason"] for a in audit], ['test "data"', "junk", "junk", "junk"])
        self.assertEqual(audit[0]["dead_letter"], self.topic + ".dlq/0:%d" % letter["offset"])
        self.assertEqual(audit[0]["action"], "discard")

    def test_a_topic_of_its_own(self):
        """dlq.topic: its name need not end in .dlq."""
        graveyard = self.topic + "-graveyard"
        self.create()
        self.fast_retries("shared", "retry.max=0", "dlq.topic=" + graveyard)
        self.publish(["a", "b", "c"])
        self.run_cli(*self.sub("-n", 3, "--exec", "exit 3"))
        self.assertEqual(self.listed(), [])
        wait_for("dead letters",
                 lambda: len(objects(self.run_cli("dlq", "list", graveyard, "-o", "jsonl").stdout)) == 3)
        for pattern in ((), (self.topic + "*",)):
            found = objects(self.run_cli("dlq", "list", *pattern, "-o", "jsonl").stdout)
            self.assertEqual(len([r for r in found if r["topic"] == graveyard]), 3)
        self.assertEqual(json.loads(self.run_cli("dlq", "show", graveyard, "0:1", "-o", "json").stdout)
                         ["original_topic"], self.topic)
        self.run_cli("dlq", "discard", graveyard, "0:0", "--reason", "junk")
        rows = objects(self.run_cli("dlq", "redrive", graveyard, "-o", "jsonl").stdout)
        self.assertEqual([(r["topic"], r["offset"]) for r in rows], [(graveyard, 1), (graveyard, 2)])
        self.assertEqual(objects(self.run_cli("dlq", "list", graveyard, "-o", "jsonl").stdout), [])

    def test_letters_that_do_not_say_where_they_are_from(self):
        """Somebody else's events in a dead-letter topic."""
        self.create()
        client = wire.Client(self.broker.url)
        topic = client.open_topic(self.topic + ".dlq", create=True)
        client.produce(topic, 0, [wire.Record(b"x", headers=[(b"dlq.error_message", b"\xff\xfe"),
                                                             (b"dlq.original_offset", b"nonsense"), (b"odd", None)])])
        client.close()
        letter, = self.listed()
        self.assertEqual((letter["original_offset"], letter["error_message"]), (-1, "??"))
        done = self.broker.run("dlq", "redrive", self.topic, check=False)
        self.assertEqual(done.returncode, 4)
        self.assertEqual(len(self.listed()), 1)
        self.run_cli("dlq", "discard", self.topic, "0:0", "--reason", "not ours")
        self.assertEqual(self.listed(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
