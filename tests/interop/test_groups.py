# SPDX-License-Identifier: Apache-2.0
"""Consumer groups with clients that we did not write: two members and a rebalance, static members, cooperative
rebalancing, positions, and a broker that is killed under its consumers. What is not installed is skipped, and said."""

import json
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import kafka_clients as clients  # noqa: E402
from broker import Broker  # noqa: E402

PROGRAM = str(pathlib.Path(__file__).with_name("group_member.py"))
DEADLINE_S = 60
PARTITIONS = 4


class Member:
    """group_member.py, and what it said."""

    def __init__(self, case, client, *args):
        self.case = case
        self.said = []  # lists, as they came
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            [clients.python_of(client), "-B", PROGRAM, client, case.broker.kafka, case.group, case.topic, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = b""
        self.readers = [threading.Thread(target=r, daemon=True) for r in (self._read_said, self._read_errors)]
        for reader in self.readers:
            reader.start()
        case.addCleanup(self.kill)

    def _read_said(self):
        for line in self.process.stdout:
            with self.news:
                self.said.append(json.loads(line))
                self.news.notify_all()

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def leave(self):
        self.process.stdin.close()
        self.case.assertEqual(self.process.wait(DEADLINE_S), 0, self.errors.decode())

    def all(self, what):
        with self.news:
            return [s[1:] for s in self.said if s[0] == what]

    def records(self):
        return [(p, o, v) for p, o, v in self.all("record")]

    def owns(self):
        """The partitions that it has."""
        now = set()
        with self.news:
            for what, *rest in self.said:
                if what == "assigned":
                    now |= set(rest[0])
                elif what in ("revoked", "lost"):
                    now -= set(rest[0])
        return now

    def until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        with self.news:
            while not condition():
                left = deadline - time.monotonic()
                self.case.assertGreater(left, 0, "it never happens; %s\n%s" % (self.said[-20:], self.errors.decode()))
                self.news.wait(min(left, 0.2))


class Groups(unittest.TestCase):
    def setUp(self):
        self.topic = self.id().rpartition(".")[2].replace("test_", "")
        self.group = self.topic + "-group"
        self.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))
        self.addCleanup(self.broker.close)
        # Clients find it where it was: later starts listen on the same port.
        self.broker.args = ["--listen", "kafka://" + self.broker.kafka]
        self.broker.run("topic", "create", self.topic, "--partitions", PARTITIONS)
        self.published = []

    def publish(self, count):
        """Events that say which they are, spread over the partitions."""
        texts = ["%06d" % (len(self.published) + i) for i in range(count)]
        self.published += texts
        lines = "".join("k%s:%s\n" % (t, t) for t in texts)
        self.broker.run("pub", self.topic, "--lines", "--key-separator", ":", "-q", input=lines.encode())

    def lag(self):
        rows = self.broker.run("group", "lag", self.group, "-o", "jsonl").stdout.splitlines()
        return sum(json.loads(r)["lag"] for r in rows)

    def info(self):
        return json.loads(self.broker.run("group", "describe", self.group, "-o", "json").stdout)

    def positions(self):
        return {p["partition"]: p["position"] for p in self.info()["partitions"]}

    def ends(self):
        rows = self.broker.run("topic", "offsets", self.topic, "-o", "jsonl").stdout.splitlines()
        return {r["partition"]: r["end"] for r in map(json.loads, rows)}

    def until(self, condition, why="it never happens"):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, why)
            time.sleep(0.05)

    def all_delivered(self, *members):
        """At least once."""
        return {v for m in members for _, _, v in m.records()} == set(self.published)

    def share_and_hand_over(self, first, second, *args):
        self.publish(200)
        a = Member(self, first, *args)
        a.until(lambda: self.all_delivered(a))
        self.assertEqual(a.owns(), set(range(PARTITIONS)))
        self.until(lambda: self.lag() == 0)
        b = Member(self, second, *args)
        b.until(lambda: len(b.owns()) == PARTITIONS // 2)
        a.until(lambda: len(a.owns()) == PARTITIONS // 2)
        self.assertEqual(a.owns() | b.owns(), set(range(PARTITIONS)))
        self.publish(200)
        self.until(lambda: self.all_delivered(a, b))
        self.until(lambda: self.lag() == 0)
        self.assertGreater(len(b.records()), 0)
        row = self.info()
        self.assertEqual((row["mode"], row["state"], len(row["members"])), ("kafka", "stable", 2))
        self.assertEqual({len(a.owns()), len(b.owns())}, {m["partitions"] for m in row["members"]})
        self.assertEqual(self.positions(), self.ends())
        b.leave()
        a.until(lambda: len(a.owns()) == PARTITIONS)
        self.publish(100)
        a.until(lambda: self.all_delivered(a, b))
        self.until(lambda: self.lag() == 0)
        a.leave()
        self.until(lambda: self.info()["state"] == "empty")
        return a

    @clients.needs("kafka_python")
    def test_two_members_kafka_python(self):
        self.share_and_hand_over("kafka_python", "kafka_python")

    @clients.needs("confluent")
    def test_two_members_confluent(self):
        self.share_and_hand_over("confluent", "confluent")

    @clients.needs("kafka_python", "confluent")
    def test_two_members_of_two_kinds(self):
        self.share_and_hand_over("kafka_python", "confluent")

    @clients.needs("confluent")
    def test_cooperative_members_keep_what_they_keep(self):
        first = self.share_and_hand_over("confluent", "confluent", "--strategy", "cooperative-sticky")
        # What moved to the second member, and all at the end: never what it kept.
        self.assertEqual([len(r[0]) for r in first.all("revoked")], [PARTITIONS // 2, PARTITIONS])

    @clients.needs("confluent")
    def test_a_static_member_comes_back_without_a_rebalance(self):
        self.publish(20)
        a = Member(self, "confluent", "--instance", "one")
        a.until(lambda: len(a.owns()) == PARTITIONS)
        b = Member(self, "confluent", "--instance", "two")
        b.until(lambda: len(b.owns()) == PARTITIONS // 2)
        a.until(lambda: len(a.owns()) == PARTITIONS // 2)
        self.until(lambda: self.info()["state"] == "stable")
        generation, had = self.info()["generation"], b.owns()
        b.kill()
        again = Member(self, "confluent", "--instance", "two")
        again.until(lambda: again.owns() == had)
        self.publish(100)
        self.until(lambda: self.lag() == 0)
        self.assertEqual(self.info()["generation"], generation)
        self.assertEqual({m["instance"] for m in self.info()["members"]}, {"one", "two"})

    @clients.needs("kcat")
    def test_kcat(self):
        """librdkafka as Debian has it."""
        self.publish(100)
        done = subprocess.run(
            ["kcat", "-b", self.broker.kafka, "-G", self.group, self.topic, "-X", "auto.offset.reset=earliest", "-e",
             "-q", "-f", "%s\n"], capture_output=True, timeout=DEADLINE_S)
        self.assertEqual(sorted(done.stdout.decode().split()), self.published, done.stderr)
        self.until(lambda: self.lag() == 0)

    @clients.needs("kafka_python")
    def test_sought_positions_are_where_members_begin(self):
        self.publish(100)
        a = Member(self, "kafka_python")
        a.until(lambda: len(a.records()) == 100)
        self.until(lambda: self.lag() == 0)
        seek = ["group", "seek", self.group, "--topic", self.topic, "--to", "start"]
        self.assertEqual(self.broker.run(*seek, check=False).returncode, 4, "it has members")
        a.leave()
        self.until(lambda: self.info()["state"] == "empty")
        self.broker.run(*seek)
        self.assertEqual(self.lag(), 100)
        b = Member(self, "kafka_python")
        b.until(lambda: len(b.records()) == 100)
        b.leave()

    def killed_under(self, client):
        self.publish(300)
        members = [Member(self, client) for _ in range(2)]
        for _ in range(2):
            before = sum(len(m.all("committed")) for m in members)

            def more_is_committed(wanted=before + 4):
                self.publish(10)
                return sum(len(m.all("committed")) for m in members) >= wanted
            self.until(more_is_committed)
            self.broker.kill9()
            kept = {}
            for m in members:
                for done, in m.all("committed"):
                    for p, o in done.items():
                        kept[int(p)] = max(kept.get(int(p), 0), o)
            self.broker.start()
            positions = self.positions()
            for p, o in kept.items():
                self.assertGreaterEqual(positions[p], o, "partition %d: a committed position is lost" % p)
        self.publish(50)
        self.until(lambda: self.all_delivered(*members), "not all comes")
        self.until(lambda: self.lag() == 0)

    @clients.needs("kafka_python")
    def test_broker_killed_under_kafka_python(self):
        self.killed_under("kafka_python")

    @clients.needs("confluent")
    def test_broker_killed_under_confluent(self):
        self.killed_under("confluent")

    @clients.needs("kafka_python")
    def test_administration_with_kafka_python(self):
        self.administration("kafka_python")

    @clients.needs("confluent")
    def test_administration_with_confluent(self):
        self.administration("confluent")

    def administration(self, client):
        self.publish(40)
        a = Member(self, client)
        a.until(lambda: len(a.records()) == 40)
        self.until(lambda: self.lag() == 0)
        admin = str(pathlib.Path(__file__).with_name("group_admin.py"))

        def ask(*words):
            command = [clients.python_of(client), "-B", admin, client, self.broker.kafka, self.group, *words]
            done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            return json.loads(done.stdout)
        self.assertIn(self.group, ask("list"))
        self.assertEqual(ask("describe"), {"state": "Stable", "members": [sorted(range(PARTITIONS))]})
        self.assertEqual({int(p): o for p, o in ask("offsets").items()}, self.ends())
        self.assertEqual({int(p): o for p, o in ask("offsets").items()}, self.positions())
        self.assertIn("NON_EMPTY", ask("delete").upper().replace("NONEMPTY", "NON_EMPTY"))
        a.leave()
        self.until(lambda: self.info()["state"] == "empty")
        self.assertEqual(ask("delete"), "")
        self.assertNotIn(self.group, ask("list"))


if __name__ == "__main__":
    unittest.main()
