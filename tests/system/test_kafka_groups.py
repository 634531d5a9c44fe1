# SPDX-License-Identifier: Apache-2.0
"""Consumer groups through the Kafka listener, byte by byte: every version of every request, who waits for whom,
what is refused and how, and that what was committed stays committed. Real clients are in tests/interop."""

import json
import struct
import time
import unittest

import kafka_wire
from broker import Broker
from kafka_layouts import Messages

OK, UNKNOWN_TOPIC, METADATA_TOO_LARGE, ILLEGAL_GENERATION, INCONSISTENT, INVALID_GROUP = 0, 3, 12, 22, 23, 24
UNKNOWN_MEMBER, INVALID_SESSION, REBALANCING, INVALID_REQUEST, NO_TRANSACTIONS = 25, 26, 27, 42, 53
NON_EMPTY, NOT_FOUND, ID_REQUIRED, FENCED, SUBSCRIBED = 68, 69, 79, 82, 86


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def subscription(*topics):
    return struct.pack(">hi", 0, len(topics)) + b"".join(map(text, topics)) + struct.pack(">i", -1)


def assignment(topic, *partitions):
    rows = b"".join(struct.pack(">i", p) for p in partitions)
    return struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">i", len(partitions)) + rows + struct.pack(">i", -1)


class Member:
    """One consumer on a connection of its own."""

    def __init__(self, case, version=5, instance=None, topics=None, session=60000):
        self.wire, self.group, self.instance, self.session = case.wire(), case.group, instance, session
        self.version = version  # of JoinGroup; the others go along
        self.topics = topics or [case.topic]
        self.member, self.generation, self.reply, self.answered = "", -1, None, False

    def send_join(self):
        """A new member is told its id first, and asks again with it."""
        if self.version >= 4 and not self.member and not self.instance:
            self._send_join()
            self.reply = self.wire.get()
            if self.reply["error"] != ID_REQUIRED:
                self.answered = True
                return
            self.member = self.reply["member"]
        self._send_join()

    def _send_join(self):
        self.wire.put("JoinGroup", self.version, group=self.group, session=self.session, rebalance=60000,
                       member=self.member, instance=self.instance, type="consumer", reason="a test",
                       protocols=[{"name": "range", "metadata": subscription(*self.topics)},
                                  {"name": "sticky", "metadata": subscription(*self.topics)}])

    def joined(self):
        if not self.answered:
            self.reply = self.wire.get()
        self.answered = False
        if self.reply["error"] == OK:
            self.member, self.generation = self.reply["member"], self.reply["generation"]
        return self.reply["error"]

    def join(self):
        self.send_join()
        return self.joined()

    @property
    def leads(self):
        return self.reply["leader"] == self.member

    def who(self):
        return {"group": self.group, "generation": self.generation, "member": self.member,
                "instance": self.instance}

    def send_sync(self, shares=(), version=None):
        self.wire.put("SyncGroup", min(self.version, 5) if version is None else version, **self.who(),
                       type="consumer", protocol="range", shares=[{"member": m, "assignment": a} for m, a in shares])

    def sync(self, shares=()):
        self.send_sync(shares)
        return self.wire.get()

    def beat(self, version=3):
        return self.wire.ask("Heartbeat", version, **self.who())["error"]

    def commit(self, topic, positions, version=7, metadata=""):
        reply = self.wire.ask("OffsetCommit", version, **self.who(), retention=-1, topics=[{
            "name": topic, "partitions": [
                {"partition": p, "offset": o, "epoch": -1, "timestamp": -1, "metadata": metadata}
                for p, o in positions.items()]}])
        return [p["error"] for p in reply["topics"][0]["partitions"]]

    def leave(self, version=3):
        reply = self.wire.ask("LeaveGroup", version, group=self.group, member=self.member,
                               members=[{"member": self.member, "instance": self.instance, "reason": "a test"}])
        return reply["members"][0]["error"] if version >= 3 else reply["error"]


class KafkaCase(unittest.TestCase):
    """One broker for all tests of a class; each test has a topic and a group of its own, named after the test."""

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(args=("--listen", "kafka://127.0.0.1:0"))

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def setUp(self):
        self.topic = self.id().rpartition(".")[2].replace("test_", "")
        self.group = self.topic + "-group"

    def wire(self):
        wire = Messages(self.broker.kafka)
        self.addCleanup(wire.close)
        return wire

    def run_cli(self, *args, **kwargs):
        return self.broker.run(*args, **kwargs)

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it never happens")


class Groups(KafkaCase):
    def create(self, partitions=2):
        self.run_cli("topic", "create", self.topic, "--partitions", partitions)

    def group_info(self):
        return json.loads(self.run_cli("group", "describe", self.group, "-o", "json").stdout)

    def group_row(self):
        lines = self.run_cli("group", "list", self.group, "-o", "jsonl").stdout.splitlines()
        self.assertEqual(len(lines), 1)
        return json.loads(lines[0])

    def positions(self):
        return {p["partition"]: p["position"] for p in self.group_info()["partitions"]}

    def alone(self, **kwargs):
        """A member with the topic to itself."""
        m = Member(self, **kwargs)
        self.assertEqual(m.join(), OK)
        self.assertTrue(m.leads)
        self.assertEqual(m.sync([(m.member, assignment(self.topic, 0, 1))])["error"], OK)
        return m

    def test_every_version(self):
        self.create()
        _, listed = kafka_wire.api_versions(self.wire())
        self.assertEqual({k: v for k, v in listed.items() if k in (8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47)},
                         {8: (0, 8), 9: (1, 8), 10: (0, 4), 11: (0, 8), 12: (0, 4), 13: (0, 5), 14: (0, 5),
                          15: (0, 5), 16: (0, 4), 42: (0, 2), 47: (0, 0)})
        wire = self.wire()
        for version in range(9):
            with self.subTest(join=version):
                m = Member(self, version)
                self.assertEqual(m.join(), OK)
                self.assertEqual(m.reply["protocol"], "range")
                self.assertEqual(m.reply["members"][0]["metadata"], subscription(self.topic))
                share = assignment(self.topic, 1)
                m.send_sync([(m.member, share)])
                reply = m.wire.get()
                self.assertEqual((reply["error"], reply["assignment"]), (OK, share))
                self.assertEqual(m.beat(min(version, 4)), OK)
                for v in range(6):
                    g, = wire.ask("DescribeGroups", v, groups=[self.group], operations=0)["groups"]
                    self.assertEqual((g["error"], g["state"], g["type"], g["protocol"], len(g["members"])),
                                     (OK, "Stable", "consumer", "range", 1))
                    one = g["members"][0]
                    self.assertEqual((one["member"], one["client"], one["host"], one["metadata"], one["assignment"]),
                                     (m.member, "test", "127.0.0.1", subscription(self.topic), share))
                for v in range(5):
                    rows = wire.ask("ListGroups", v, states=["Stable"])["groups"]
                    self.assertIn((self.group, "consumer"), [(r["group"], r["type"]) for r in rows])
                self.assertEqual(wire.ask("ListGroups", 4, states=["Dead"])["groups"], [])
                self.assertEqual(m.commit(self.topic, {0: version}, max(version, 1)), [OK])
                self.assertEqual(m.leave(min(version, 5)), OK)
        for version in range(9):
            with self.subTest(offsets=version):
                nobody = Member(self)
                self.assertEqual(nobody.commit(self.topic, {0: 10 + version, 7: 1}, version, "m%d" % version),
                                 [OK, UNKNOWN_TOPIC])
                named = [{"name": self.topic, "partitions": [0, 1]}, {"name": "nowhere", "partitions": [3]}]
                v = max(version, 1)
                reply = wire.ask("OffsetFetch", v, group=self.group, topics=named, stable=1,
                                  groups=[{"group": self.group, "topics": named}])
                topics = reply["groups"][0]["topics"] if v == 8 else reply["topics"]
                self.assertEqual([[(p["offset"], p["metadata"], p["error"]) for p in t["partitions"]] for t in topics],
                                 [[(10 + version, "m%d" % version, OK), (-1, "", OK)], [(-1, "", OK)]])
                if v < 2:
                    continue
                reply = wire.ask("OffsetFetch", v, group=self.group, topics=None, stable=0,
                                  groups=[{"group": self.group, "topics": None}, {"group": "none", "topics": None}])
                topics = reply["groups"][0]["topics"] if v == 8 else reply["topics"]
                self.assertEqual([(t["name"], [p["partition"] for p in t["partitions"]]) for t in topics],
                                 [(self.topic, [0])])
        for version in range(5):
            reply = wire.ask("FindCoordinator", version, key=self.group, type=0, keys=[self.group, "other"])
            for row in reply["coordinators"] if version == 4 else [reply]:
                self.assertEqual((row["error"], "%s:%d" % (row["host"], row["port"])), (OK, self.broker.kafka))
            if version:
                reply = wire.ask("FindCoordinator", version, key="t", type=1, keys=["t"])
                row = reply["coordinators"][0] if version == 4 else reply
                self.assertEqual((row["error"], row["message"]),
                                 (NO_TRANSACTIONS, "transactions are not supported"))
        for version in range(3):
            Member(self).commit(self.topic, {0: 1})
            reply = wire.ask("DeleteGroups", version, groups=[self.group, "nowhere"])
            self.assertEqual([r["error"] for r in reply["results"]], [OK, NOT_FOUND])
        g, = wire.ask("DescribeGroups", 0, groups=[self.group], operations=0)["groups"]
        self.assertEqual((g["error"], g["state"], g["members"]), (OK, "Dead", []))

    def test_two_members_share_the_work(self):
        self.create()
        a, b = Member(self), Member(self)
        a.send_join()
        b.send_join()
        self.assertEqual((a.joined(), b.joined()), (OK, OK))
        self.assertEqual(a.generation, b.generation)
        leader, other = (a, b) if a.leads else (b, a)
        self.assertEqual({m["member"] for m in leader.reply["members"]}, {a.member, b.member})
        self.assertEqual(other.reply["members"], [])
        other.send_sync()
        self.assertEqual(leader.sync([(a.member, b"for a"), (b.member, b"for b")])["error"], OK)
        self.assertEqual(other.wire.get()["assignment"], b"for a" if other is a else b"for b")
        # A third: the others are told, and come again.
        c = Member(self)
        c.send_join()
        self.until(lambda: a.beat() == REBALANCING)
        self.assertEqual(b.beat(), REBALANCING)
        a.send_join()
        b.send_join()
        self.assertEqual((a.joined(), b.joined(), c.joined()), (OK, OK, OK))
        self.assertEqual(len({m.generation for m in (a, b, c)}), 1)
        late = dict(a.who(), generation=a.generation - 1)
        self.assertEqual(a.wire.ask("Heartbeat", 3, **late)["error"], ILLEGAL_GENERATION)
        # One goes for good.
        self.assertEqual(b.leave(), OK)
        self.assertEqual(b.beat(), UNKNOWN_MEMBER)
        self.assertEqual(b.leave(), UNKNOWN_MEMBER)

    def test_a_consumer_that_hangs_up_while_it_waits_is_forgotten(self):
        self.create()
        a = self.alone()
        b = Member(self, version=0)  # never learns its id
        b.send_join()
        self.until(lambda: a.beat() == REBALANCING)
        b.wire.close()
        self.assertEqual(a.join(), OK)
        self.assertEqual(len(a.reply["members"]), 1)

    def test_sessions_run_out(self):
        self.create()
        a = self.alone()
        self.assertEqual(a.commit(self.topic, {0: 3}), [OK])
        a.session = 200
        self.assertEqual(a.join(), OK)  # the last that it says
        self.until(lambda: not self.group_row()["members"])
        self.assertEqual(a.beat(), UNKNOWN_MEMBER)
        self.assertEqual(a.commit(self.topic, {0: 4}), [UNKNOWN_MEMBER])
        self.assertEqual(self.positions(), {0: 3})

    def test_static_members(self):
        self.create()
        a = self.alone(instance="one")
        again = Member(self, instance="one")
        self.assertEqual(again.join(), OK)
        self.assertEqual(again.generation, a.generation)
        self.assertFalse(again.leads)
        self.assertEqual(again.sync()["assignment"], assignment(self.topic, 0, 1))
        self.assertEqual(a.beat(), FENCED)
        self.assertEqual(a.commit(self.topic, {0: 1}), [FENCED])
        self.assertEqual(self.group_info()["members"][0]["instance"], "one")
        # By its instance id alone, as an operator does it.
        reply = a.wire.ask("LeaveGroup", 4, group=self.group, members=[{"member": "", "instance": "one"}])
        self.assertEqual(reply["members"][0]["error"], OK)
        self.assertEqual(again.beat(), UNKNOWN_MEMBER)

    def test_refusals(self):
        self.create()
        m = Member(self, session=0)
        self.assertEqual(m.join(), INVALID_SESSION)
        m = Member(self)
        m.member = "made up"
        self.assertEqual(m.join(), UNKNOWN_MEMBER)
        m = Member(self)
        m.group = "__mine"
        self.assertEqual(m.join(), INVALID_GROUP)
        a = self.alone()
        alien = a.wire.ask("JoinGroup", 0, group=self.group, session=10000, member="", type="connect",
                            protocols=[{"name": "range", "metadata": b""}])
        self.assertEqual(alien["error"], INCONSISTENT)
        many = a.wire.ask("JoinGroup", 0, group=self.group, session=10000, member="", type="consumer",
                           protocols=[{"name": "p%d" % i, "metadata": b""} for i in range(100)])
        self.assertEqual(many["error"], INVALID_REQUEST)
        self.assertEqual(a.commit(self.topic, {0: 1}, metadata="x" * 5000), [METADATA_TOO_LARGE])
        self.assertEqual(a.commit(self.topic, {0: -5}), [INVALID_REQUEST])
        self.assertEqual(Member(self).commit(self.topic, {0: 1}), [UNKNOWN_MEMBER])
        late = Member(self)
        late.member, late.generation = a.member, a.generation + 1
        self.assertEqual(late.commit(self.topic, {0: 1}), [ILLEGAL_GENERATION])
        reply = a.wire.ask("OffsetDelete", 0, group=self.group, topics=[
            {"name": self.topic, "partitions": [{"partition": 0}]}])
        self.assertEqual(reply["topics"][0]["partitions"][0]["error"], SUBSCRIBED)
        self.assertEqual(a.wire.ask("DeleteGroups", 0, groups=[self.group])["results"][0]["error"], NON_EMPTY)
        self.assertEqual(a.wire.ask("OffsetDelete", 0, group="nowhere", topics=[])["error"], NOT_FOUND)

    def test_malformed_requests_end_their_connection_alone(self):
        self.create()
        a = self.alone()
        for key in (8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47):
            bad = self.wire()
            body = struct.pack(">hhih", key, 4 if key < 42 else 0, 1, -1) + b"\x00\xff\xff\xff\xff\xff"
            bad.send_raw(struct.pack(">i", len(body)) + body)
            self.assertTrue(bad.closed(), key)
        self.assertEqual(a.beat(), OK)

    def test_names_are_free(self):
        self.create()
        self.group = "Team A/orders: v2 ü"
        a = self.alone()
        self.assertEqual(a.commit(self.topic, {1: 5}), [OK])
        self.assertEqual(self.positions(), {1: 5})

    # ---- beside the native protocol ----

    def test_looks_like_any_other_group(self):
        self.create()
        self.run_cli("pub", self.topic, "--lines", "-p", 0, input=b"a\nb\nc\n")
        self.run_cli("pub", self.topic, "--lines", "-p", 1, input=b"d\ne\n")
        a = self.alone()
        self.assertEqual(a.commit(self.topic, {0: 1, 1: 2}), [OK, OK])
        row = self.group_row()
        self.assertEqual((row["mode"], row["state"], row["members"], row["lag"]), ("kafka", "stable", 1, 2))
        info = self.group_info()
        self.assertEqual([m["member"] for m in info["members"]], [a.member])
        self.assertEqual([(p["position"], p["lag"], p["owner"]) for p in info["partitions"]],
                         [(1, 2, a.member), (2, 0, a.member)])
        for command in (["group", "seek", self.group, "--topic", self.topic, "--to", "start"],
                        ["group", "delete", self.group, "--yes"],
                        ["group", "set", self.group, "retry.max=1"],
                        ["group", "breaker", self.group, "open"]):
            done = self.broker.run(*command, check=False)
            self.assertEqual(done.returncode, 4, (command, done.stderr))
        native = self.broker.run("sub", self.topic, "-g", self.group, "-n", 1, check=False)
        self.assertEqual(native.returncode, 4, native.stderr)
        self.assertIn(b"Kafka", native.stderr)
        self.assertEqual(a.leave(), OK)
        self.run_cli("group", "seek", self.group, "--topic", self.topic, "--to", "start")
        self.assertEqual(self.positions(), {0: 0, 1: 0})
        self.assertEqual(self.group_row()["lag"], 5)
        reply = a.wire.ask("OffsetDelete", 0, group=self.group, topics=[
            {"name": self.topic, "partitions": [{"partition": 1}]}])
        self.assertEqual(reply["topics"][0]["partitions"][0]["error"], OK)
        self.assertEqual(self.positions(), {0: 0})
        # Without members the native protocol may take it over: it goes on where the others were.
        done = self.run_cli("sub", self.topic, "-g", self.group, "-n", 5, "-o", "jsonl")
        self.assertEqual(len(done.stdout.splitlines()), 5)
        self.assertEqual(self.group_row()["mode"], "ordered")
        m = Member(self)
        self.assertEqual(m.join(), OK)
        self.assertEqual(self.group_row()["mode"], "kafka")
        self.assertEqual(self.positions(), {0: 3, 1: 2})

    def test_dead_letters_are_put_and_published_again(self):
        self.create()
        self.run_cli("pub", self.topic, "bad", "-p", 0)
        a = self.alone()
        self.assertEqual(a.commit(self.topic, {0: 0}), [OK])
        self.run_cli("dlq", "put", self.topic, "0:0", "-g", self.group, "--error-type", "Bad")
        done = self.broker.run("dlq", "redrive", self.topic, check=False)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"NOT_FOR_KAFKA_GROUPS", done.stdout)
        self.run_cli("dlq", "redrive", self.topic, "--to-topic", self.topic)
        self.assertEqual(self.group_row()["lag"], 2)


class Restarts(KafkaCase):
    def test_what_was_committed_stays_committed(self):
        self.run_cli("topic", "create", self.topic, "--partitions", 8)
        last = {}
        for life in range(3):
            m = Member(self)
            self.assertEqual(m.join(), OK)
            self.assertEqual(m.sync([(m.member, assignment(self.topic, *range(8)))])["error"], OK)
            for i in range(50):
                offset = life * 1000 + i
                self.assertEqual(m.commit(self.topic, {i % 8: offset}, metadata="at %d" % offset), [OK])
                last[i % 8] = offset
            self.broker.restart(kill=True)
            wire = self.wire()
            reply = wire.ask("OffsetFetch", 5, group=self.group, topics=None)
            self.assertEqual({p["partition"]: (p["offset"], p["metadata"]) for p in reply["topics"][0]["partitions"]},
                             {p: (o, "at %d" % o) for p, o in last.items()})
            m.wire = wire
            self.assertEqual(m.beat(), UNKNOWN_MEMBER, "members are not remembered: they join again")


if __name__ == "__main__":
    unittest.main()
