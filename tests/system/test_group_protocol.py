# SPDX-License-Identifier: Apache-2.0
"""Consumer groups against a real broker, by the plain Python client: what is delivered to whom, what comes back
when it fails, what survives a SIGKILL, and what ends in the dead-letter topic.

Back-offs and time-outs are settings of the group; where a test waits, it waits for the event itself.
"""

import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from broker import Broker, binary  # noqa: E402
from runnel_groups import (ASSIGN, DELIVER, EVENT_NOT_LEASED, JOIN, NOT_YOUR_EVENT, ORDERED, REVOKED,  # noqa: E402
                           REWOUND, SHARED, STALE_GENERATION, START, Member, group_breaker, group_commit, group_delete,
                           group_describe, group_list, group_seek, group_set, redrive)
from runnel_wire import (Client, Record, RunnelError, at_offset, encode_batch, from_end, from_start,  # noqa: E402
                         string, u8, u16, u32)

GROUP_NOT_FOUND, GROUP_MODE_MISMATCH, MEMBER_UNKNOWN, GROUP_BUSY, MEMBER_FENCED = 80, 81, 82, 86, 90
FAST = dict(retry_backoff="20ms,40ms", retry_jitter="0%")


class Groups(unittest.TestCase):
    args = ()

    def setUp(self):
        self.broker = Broker(args=self.args)
        self.addCleanup(self.broker.close)
        self.clients = []
        self.c = self.client()

    def tearDown(self):
        for c in self.clients:
            c.close()

    def client(self):
        c = Client(self.broker.url)
        self.clients.append(c)
        return c

    def topic(self, name="t", partitions=1):
        self.c.topic_create(name, partitions)
        return self.c.open_topic(name)

    def fill(self, topic, count, partition=0, first=0, headers=()):
        self.c.produce(topic, partition, [Record(key=b"k%d" % i, value=b"%d" % i, headers=headers)
                                          for i in range(first, first + count)])

    def refused(self, code, call, *args, **kwargs):
        with self.assertRaises(RunnelError) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.code, code, caught.exception.text)
        return caught.exception.text

    def take(self, m, count, timeout=10.0):
        events = []
        for _ in range(count):
            e = m.event(timeout)
            self.assertIsNotNone(e, "after %d of %d" % (len(events), count))
            events.append(e)
        return events

    def described(self, group, partition=0):
        return group_describe(self.c, group).partitions[partition]

    # ---- both modes ----

    def test_everything_is_delivered_once_and_stays_done(self):
        for mode in (ORDERED, SHARED):
            with self.subTest(mode=mode):
                name = "t%d" % mode
                t = self.topic(name, 3)
                for p in range(3):
                    self.fill(t, 250, p)
                m = Member(self.client(), "g%d" % mode, [name], mode)
                seen = {}
                for _ in range(750):
                    e = m.event()
                    self.assertIsNotNone(e)
                    self.assertEqual(e.record.value, b"%d" % e.offset)
                    self.assertNotIn((e.partition, e.offset), seen)
                    seen[e.partition, e.offset] = True
                    m.ack(e)
                m.commit()
                self.assertIsNone(m.event(0.2))
                d = group_describe(self.c, "g%d" % mode)
                self.assertEqual([p.lag for p in d.partitions], [0, 0, 0])
                self.assertEqual([p.position for p in d.partitions], [250] * 3)
                m.leave()

    def test_no_more_than_max_in_flight_are_out(self):
        t = self.topic()
        self.fill(t, 300)
        m = Member(self.client(), "g", ["t"], SHARED, max_in_flight=10)
        self.assertEqual(m.max_in_flight, 10)
        events = self.take(m, 10)
        self.assertIsNone(m.event(0.2))
        m.ack(*events[:5])
        events += self.take(m, 5)
        self.assertIsNone(m.event(0.2))
        self.assertEqual([e.offset for e in events], list(range(15)))

    def test_done_events_survive_a_kill_and_others_come_again(self):
        for mode in (ORDERED, SHARED):
            with self.subTest(mode=mode):
                name, group = "t%d" % mode, "g%d" % mode
                t = self.topic(name)
                self.fill(t, 50)
                m = Member(self.client(), group, [name], mode)
                events = self.take(m, 50)
                done = events[:20] if mode == ORDERED else events[::2]
                m.ack(*done, reply=True)
                self.broker.restart(kill=True)
                self.c = self.client()
                m = Member(self.client(), group, [name])
                again = self.take(m, 50 - len(done))
                self.assertEqual([e.offset for e in again],
                                 [e.offset for e in events if e not in done])
                self.assertEqual({e.attempts for e in again}, {0})
                m.ack(*again, reply=True)
                self.assertEqual(self.described(group).lag, 0)
                m.leave()

    def test_a_stop_keeps_what_was_acknowledged_without_a_reply(self):
        t = self.topic()
        self.fill(t, 50)
        c = self.client()
        m = Member(c, "g", ["t"], ORDERED)
        m.ack(*self.take(m, 50))
        c.ping()  # the broker has taken it
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.c = self.client()
        self.assertEqual(self.described("g").lag, 0)

    def test_new_partitions_are_consumed_from_their_start(self):
        self.topic("t", 1)
        m = Member(self.client(), "g", ["t"], ORDERED, reset=2)
        m.wait_assigned(1)
        self.c.topic_add_partitions("t", 3)
        t = self.c.open_topic("t")
        for p in range(3):
            self.fill(t, 2, p)
        events = self.take(m, 6)
        self.assertEqual(sorted((e.partition, e.offset) for e in events), [(p, o) for p in range(3) for o in range(2)])

    def test_a_deleted_topic_is_let_go(self):
        t, u = self.topic("t"), self.topic("u")
        self.fill(t, 2)
        m = Member(self.client(), "g", ["t", "u"], SHARED)
        self.take(m, 2)
        self.c.topic_delete("t")
        self.fill(u, 1)
        self.assertEqual(m.event().topic, "u")
        self.assertEqual([p.topic for p in group_describe(self.c, "g").partitions], ["u"])

    def long_history(self, count):
        """More events in `t` than the memory for tails holds."""
        self.broker.stop()
        self.broker.env.update(RUNNEL_TAILS_BYTES="4MiB", RUNNEL_BATCH_BYTES_MAX="64KiB",
                               RUNNEL_TOPIC_MAX_MESSAGE_BYTES="64KiB")
        self.broker.start()
        self.c = self.client()
        self.topic()
        lines = "".join("%08d%s\n" % (i, "x" * 4000) for i in range(count))
        subprocess.run([binary("runnel"), "-s", self.broker.url, "pub", "t", "--lines"], input=lines.encode(),
                       check=True, capture_output=True)

    def test_history_is_delivered_too(self):
        count = 1800
        self.long_history(count)
        m = Member(self.client(), "g", ["t"], SHARED)
        for seen in range(count):
            e = m.event()
            self.assertIsNotNone(e, "after %d" % seen)
            self.assertEqual((e.offset, e.record.value[:8]), (seen, b"%08d" % seen))
            m.ack(e)
        m.commit()
        self.assertGreater(self.c.stat()["api.history_deliveries"], 0)
        self.assertEqual(self.described("g").lag, 0)

    def test_history_can_die(self):
        """More events at once than are read at once; they come from segments, many out of one read."""
        dead = 700
        self.long_history(1800)
        group_set(self.c, "g", create=SHARED, max_in_flight=1000, breaker="off")
        m = Member(self.client(), "g", ["t"])
        for request in [m.send_nack(e, "Odd", "event %d" % e.offset, term=True) for e in self.take(m, dead)]:
            m.c.wait(request).done()
        letters = {int(dict(r.headers)[b"dlq.original_offset"]): r for r in self.dead("t", dead)}
        self.assertEqual(sorted(letters), list(range(dead)))
        for offset, r in letters.items():
            self.assertEqual((r.value[:8], dict(r.headers)[b"dlq.error_message"]),
                             (b"%08d" % offset, b"event %d" % offset))
        self.assertEqual(self.described("g").position, dead)

    def test_positions_begin_where_asked(self):
        t = self.topic()
        self.fill(t, 5)
        late = Member(self.client(), "late", ["t"], ORDERED, reset=2)
        late.wait_assigned(1)
        self.fill(t, 1, first=5)
        self.assertEqual(late.event().offset, 5)
        self.assertEqual(Member(self.client(), "early", ["t"], ORDERED).event().offset, 0)
        # Topics that match a pattern later begin at their start.
        m = Member(self.client(), "patterns", ["x.*"], ORDERED, reset=2)
        x = self.topic("x.1")
        self.fill(x, 1)
        e = m.event()
        self.assertEqual((e.topic, e.offset), ("x.1", 0))

    def test_nothing_is_told_before_the_reply_to_joining(self):
        t = self.topic()
        self.fill(t, 3)
        c = self.client()
        c.send(JOIN, string("new") + u8(0) + string("") * 3 + u32(0) + u32(0) + u8(START) + u16(1) + string("t") +
               u16(0))
        ops = [c.recv_frame().op for _ in range(3)]
        self.assertEqual(ops, [JOIN, ASSIGN, DELIVER])

    # ---- failing events ----

    def test_a_failing_event_is_retried_then_dead_lettered(self):
        for mode in (ORDERED, SHARED):
            with self.subTest(mode=mode):
                name, group = "f%d" % mode, "g%d" % mode
                t = self.topic(name)
                self.fill(t, 10, headers=[(b"h", b"v")])
                group_set(self.c, group, create=mode, **FAST)
                m = Member(self.client(), group, [name])
                order, attempts = [], []
                while len(order) < 9 or len(attempts) < 4:
                    e = m.event()
                    self.assertIsNotNone(e, "done %s, tried %s" % (order, attempts))
                    if e.offset == 3:
                        attempts.append(e.attempts)
                        m.nack(e, "Poison", "cannot digest %d" % e.attempts, stack="at line 1")
                    else:
                        order.append(e.offset)
                        m.ack(e)
                m.commit()
                self.assertEqual(attempts, [0, 1, 2, 3])
                self.assertEqual(sorted(order), [0, 1, 2, 4, 5, 6, 7, 8, 9])
                if mode == ORDERED:
                    self.assertEqual(order, sorted(order))
                dead = self.dead(name)
                self.assertEqual(len(dead), 1)
                headers = dict(dead[0].headers)
                self.assertEqual((dead[0].key, dead[0].value), (b"k3", b"3"))
                self.assertEqual(headers[b"h"], b"v")
                self.assertEqual(headers[b"dlq.original_topic"], name.encode())
                self.assertEqual(headers[b"dlq.original_partition"], b"0")
                self.assertEqual(headers[b"dlq.original_offset"], b"3")
                self.assertEqual(headers[b"dlq.error_type"], b"Poison")
                self.assertEqual(headers[b"dlq.error_message"], b"cannot digest 3")
                self.assertEqual(headers[b"dlq.error_stack_trace"], b"at line 1")
                self.assertEqual(headers[b"dlq.retry_count"], b"3")
                self.assertEqual(headers[b"dlq.consumer_group"], group.encode())
                self.assertEqual(headers[b"dlq.disposition"], b"max_attempts")
                self.assertEqual(self.described(group).lag, 0)
                m.leave()

    def dead(self, topic, count=1):
        """The dead letters of a topic, waiting until there are `count`."""
        deadline = time.monotonic() + 60
        while True:
            rows = {r.name: r for r in self.c.topic_list(topic + ".dlq")}
            if rows and rows[topic + ".dlq"].events >= count:
                break
            self.assertLess(time.monotonic(), deadline, "no dead letter came")
            time.sleep(0.01)
        t = self.c.open_topic(topic + ".dlq")
        found = []
        for p in range(t.partitions):
            position = from_start()
            while records := self.c.fetch(t, p, position).records:
                found += records
                position = at_offset(records[-1].offset + 1)
        return found

    def test_term_gives_up_at_once_and_none_writes_nothing(self):
        t = self.topic()
        self.fill(t, 2)
        m = Member(self.client(), "g", ["t"], SHARED)
        a, b = self.take(m, 2)
        m.nack(a, term=True)
        self.assertEqual(dict(self.dead("t")[0].headers)[b"dlq.disposition"], b"rejected")
        group_set(self.c, "g", dlq_topic="none")
        m.nack(b, term=True)
        deadline = time.monotonic() + 10
        while self.described("g").lag:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(len(self.dead("t")), 1)

    def test_compressed_batches_are_opened_for_the_one_event(self):
        import gzip
        t = self.topic()
        records = [Record(key=b"k", value=b"v%d" % i) for i in range(20)]
        from runnel_wire import encode_record, seal_batch
        base = records[0].timestamp
        body = b"".join(encode_record(r, i, base) for i, r in enumerate(records))
        try:
            batch = seal_batch(gzip.compress(body), 20, base, max(r.timestamp for r in records), attributes=1)
        except TypeError as e:
            self.skipTest("runnel_wire cannot seal compressed batches: %s" % e)
        self.c.produce_batches([(t.handle, 0, batch)])
        group_set(self.c, "g", create=SHARED, retry_max=0)
        m = Member(self.client(), "g", ["t"])
        # Delivered as stored: the Python client reads gzip, too.
        events = self.take(m, 20)
        m.nack(events[7])
        self.assertEqual(self.dead("t")[0].value, b"v7")

    def test_ordered_holds_back_what_follows_and_says_rewound(self):
        t = self.topic()
        self.fill(t, 6)
        group_set(self.c, "g", create=ORDERED, **FAST)
        m = Member(self.client(), "g", ["t"])
        events = self.take(m, 6)
        m.ack(events[0])
        m.nack(events[1])
        # Those behind it were withdrawn: settling them is refused by name.
        self.refused(STALE_GENERATION, m.ack, events[4], reply=True)
        again = self.take(m, 1)[0]
        self.assertEqual((again.offset, again.attempts), (1, 1))
        self.assertIn((REWOUND, "t", 0, 1), m.log)
        self.assertIsNone(m.event(0.1)) # alone, until it is settled
        m.ack(again)
        self.assertEqual([(e.offset, e.attempts) for e in self.take(m, 4)], [(2, 0), (3, 0), (4, 0), (5, 0)])

    def test_shared_settles_in_any_order(self):
        t = self.topic()
        self.fill(t, 10)
        m = Member(self.client(), "g", ["t"], SHARED)
        events = self.take(m, 10)
        m.ack(events[9], events[4], reply=True)
        p = self.described("g")
        self.assertEqual((p.position, p.done, p.lag), (0, [(4, 5), (9, 10)], 8))
        m.ack(*events[:4], reply=True)
        p = self.described("g")
        self.assertEqual((p.position, p.done), (5, [(9, 10)]))
        self.refused(EVENT_NOT_LEASED, m.nack, events[4])

    def test_ack_wait_charges_and_silences(self):
        t = self.topic()
        self.fill(t, 1)
        group_set(self.c, "g", create=SHARED, ack_wait="100ms", retry_max=1, **FAST)
        m = Member(self.client(), "g", ["t"])
        first = m.event()
        other = Member(self.client(), "g", ["t"])
        again = other.event()
        self.assertEqual((again.offset, again.attempts), (0, 1))
        self.refused(NOT_YOUR_EVENT, m.nack, first)
        again = None
        dead = self.dead("t")  # the other one lets it run out, too
        self.assertEqual(dict(dead[0].headers)[b"dlq.error_type"], b"ack_timeout")

    def test_working_extends_and_release_is_not_charged(self):
        t = self.topic()
        self.fill(t, 2)
        group_set(self.c, "g", create=SHARED, ack_wait="300ms")
        m = Member(self.client(), "g", ["t"])
        a, b = self.take(m, 2)
        m.release(b)
        b = m.event()
        self.assertEqual((b.offset, b.attempts), (1, 0))
        m.ack(b)
        end = time.monotonic() + 0.9
        while time.monotonic() < end:
            m.working(a)
            self.assertIsNone(m.event(0.05))
        m.ack(a, reply=True)

    # ---- members ----

    def test_partitions_are_shared_out_and_taken_over(self):
        t = self.topic("t", 6)
        a_client = self.client()
        group_set(self.c, "g", create=ORDERED, session_timeout="50ms")
        a = Member(a_client, "g", ["t"])
        a.wait_assigned(6)
        b = Member(self.client(), "g", ["t"])
        b.wait_assigned(3)
        a.wait_assigned(3)
        self.assertEqual(set(a.assigned.values()) | set(b.assigned.values()), {("t", p) for p in range(6)})
        kept = set(b.assigned.values())
        a_client.close()
        self.clients.remove(a_client)
        b.wait_assigned(6)
        self.assertTrue(all(row[0] != REVOKED for row in b.log))
        self.assertTrue(kept <= set(b.assigned.values()))

    def test_moving_partitions_keep_their_order(self):
        t = self.topic("t", 2)
        for p in range(2):
            self.fill(t, 40, p)
        a = Member(self.client(), "g", ["t"], ORDERED)
        first = self.take(a, 80)
        b = Member(self.client(), "g", ["t"], ORDERED)
        b.pump(0.2)
        self.assertEqual(b.assigned, {}) # what is out stays with the first
        for e in first:
            a.ack(e)
        b.wait_assigned(1)
        self.assertEqual(len(a.assigned) if a.pump(1) else 0, 1)
        for p in range(2):
            self.fill(t, 1, p, first=40)
        offsets = {e.partition: e.offset for e in (a.event(), b.event())}
        self.assertEqual(offsets, {0: 40, 1: 40})

    def test_a_member_comes_back_with_what_it_held(self):
        t = self.topic()
        self.fill(t, 3)
        group_set(self.c, "g", create=SHARED, session_timeout="30s")
        c = self.client()
        m = Member(c, "g", ["t"])
        a, b, lost = self.take(m, 3)
        c.close()
        self.clients.remove(c)
        m = Member(self.client(), "g", ["t"], member=m.id, held=[a, b])
        self.assertEqual(m.event().offset, lost.offset)
        m.ack(a, b, reply=True)
        self.assertEqual(self.described("g").lag, 1)

    def test_an_instance_takes_over(self):
        t = self.topic("t", 2)
        self.fill(t, 1)
        old = Member(self.client(), "g", ["t"], ORDERED, instance="i")
        e = old.event()
        new = Member(self.client(), "g", ["t"], instance="i")
        new.wait_assigned(2)
        while old.pump(0.2):
            pass
        self.assertEqual(old.ended.code, MEMBER_FENCED)
        self.refused(MEMBER_UNKNOWN, old.ack, e, reply=True)
        again = new.event()
        self.assertEqual((again.offset, again.attempts), (0, 1)) # it was alone when its holder died
        self.assertEqual(len(group_describe(self.c, "g").members), 1)

    def test_who_kills_its_consumers_is_found(self):
        t = self.topic()
        self.fill(t, 5)
        group_set(self.c, "g", create=SHARED, session_timeout="10ms", retry_max=1, **FAST)
        done, deaths = [], 0
        while len(done) < 4:
            c = Client(self.broker.url)
            m = Member(c, "g", ["t"])
            while True:
                e = m.event(5.0)
                if e is None or e.offset == 2:
                    break
                m.ack(e, reply=True)
                done.append(e.offset)
                if len(done) == 4:
                    break
            c.close()
            deaths += 1
            self.assertLess(deaths, 20)
        self.assertEqual(sorted(done), [0, 1, 3, 4])
        # Its killer's deaths go on until it has no attempt left.
        deadline = time.monotonic() + 20
        while not [r for r in self.c.topic_list("t.dlq") if r.events]:
            self.assertLess(time.monotonic(), deadline)
            c = Client(self.broker.url)
            Member(c, "g", ["t"]).event(0.3)
            c.close()
        dead = self.dead("t")
        self.assertEqual([r.value for r in dead], [b"2"])
        self.assertEqual(dict(dead[0].headers)[b"dlq.error_type"], b"member_died")

    # ---- consuming and producing as one ----

    def test_produce_and_acknowledge_are_one(self):
        t, out = self.topic(), self.topic("out")
        self.fill(t, 2)
        c = self.client()
        m = Member(c, "g", ["t"], ORDERED)
        a, b = self.take(m, 2)
        target = c.open_topic("out")
        batch = encode_batch([Record(value=b"result")])
        m.produce([a], [(target.handle, 0, batch)])
        self.assertEqual(self.described("g").position, 1)
        # Refused as a whole: nothing is published, nothing acknowledged.
        stale = b._replace(epoch=b.epoch + 7)
        self.refused(STALE_GENERATION, m.produce, [stale], [(target.handle, 0, batch)])
        self.assertEqual(self.c.topic_list("out")[0].events, 1)
        self.assertEqual(self.described("g").position, 1)

    # ---- dead letters again ----

    def test_redrive_gives_events_back_and_settles_once(self):
        t = self.topic()
        self.fill(t, 3)
        group_set(self.c, "g", create=SHARED, retry_max=0)
        m = Member(self.client(), "g", ["t"])
        for e in self.take(m, 3):
            m.nack(e)
        self.dead("t", 3)
        rows = [(0, o, "g", "t", 0, o) for o in range(2)]
        self.assertEqual(redrive(self.c, "t.dlq", rows), [0, 0])
        self.assertEqual(redrive(self.c, "t.dlq", rows), [EVENT_NOT_LEASED] * 2) # dealt with before
        again = self.take(m, 2)
        self.assertEqual({e.offset for e in again}, {0, 1})
        m.ack(*again, reply=True)
        # Discarded: dealt with, and nobody gets it.
        self.assertEqual(redrive(self.c, "t.dlq", [(0, 2, "", "", 0, 0)]), [0])
        self.assertIsNone(m.event(0.2))
        self.broker.restart(kill=True)
        self.c = self.client()
        self.assertEqual(redrive(self.c, "t.dlq", rows), [EVENT_NOT_LEASED] * 2)
        self.assertEqual(self.described("__dlq").position, 3)

    # ---- administration ----

    def test_seek_moves_everybody(self):
        t = self.topic()
        self.fill(t, 10)
        m = Member(self.client(), "g", ["t"], ORDERED)
        m.ack(*self.take(m, 10), reply=True)
        self.assertEqual(group_seek(self.c, "g", "t", at_offset(4), dry=True), [(0, 10, 4)])
        self.assertEqual(self.described("g").position, 10)
        self.assertEqual(group_seek(self.c, "g", "t", at_offset(4)), [(0, 10, 4)])
        self.assertEqual([e.offset for e in self.take(m, 6)], [4, 5, 6, 7, 8, 9])
        self.refused(70, group_seek, self.c, "g", "t", at_offset(99))
        self.assertEqual(group_seek(self.c, "g", "t", from_end())[0][2], 10)

    def test_what_is_refused_or_only_looked_at_changes_nothing(self):
        t = self.topic()
        self.fill(t, 10)
        group_set(self.c, "g", create=ORDERED)
        self.assertEqual(group_seek(self.c, "g", "t", from_start(), dry=True), [(0, 10, 0)])
        self.refused(70, group_commit, self.c, "g", [("t", 0, 99)])
        self.assertEqual(redrive(self.c, "t", [(0, 0, "g", "t", 0, 0)]), [89])
        self.assertEqual(group_describe(self.c, "g").partitions, [])
        group_commit(self.c, "g", [("t", 0, 4)])
        self.assertEqual(self.described("g").position, 4)

    def test_names_for_what_is_wrong(self):
        self.topic()
        self.refused(GROUP_NOT_FOUND, group_describe, self.c, "nobody")
        m = Member(self.client(), "g", ["t"], SHARED)
        self.refused(GROUP_MODE_MISMATCH, Member, self.client(), "g", ["t"], ORDERED)
        self.refused(GROUP_BUSY, group_delete, self.c, "g")
        self.refused(87, group_set, self.c, "g", retry_max="many")
        self.refused(91, Member, self.client(), "not a name!", ["t"])
        self.assertEqual(group_list(self.c)[0].group, "g")
        m.leave()
        self.refused(MEMBER_UNKNOWN, m.ack, reply=True)
        group_delete(self.c, "g")
        self.assertEqual(group_list(self.c), [])

    def test_the_breaker_holds_a_group(self):
        t = self.topic()
        m = Member(self.client(), "g", ["t"], SHARED)
        m.wait_assigned(1)
        group_breaker(self.c, "g", 1)
        self.fill(t, 1)
        self.assertIsNone(m.event(0.2))
        self.assertEqual(self.described("g").pause, 6)
        group_breaker(self.c, "g", 0)
        self.assertEqual(m.event().offset, 0)

    def test_an_outage_opens_the_breaker_and_fills_no_dead_letters(self):
        t = self.topic()
        self.fill(t, 100)
        group_set(self.c, "g", create=SHARED, retry_max=3, breaker_min=20, breaker_probe="100ms", **FAST)
        m = Member(self.client(), "g", ["t"])
        refused = 0
        while group_describe(self.c, "g").breaker == 0:
            e = m.event()
            self.assertIsNotNone(e)
            m.nack(e, "ConnectionRefused", key_hash=e.offset + 1)
            refused += 1
            self.assertLess(refused, 60)
        self.assertEqual(self.c.topic_list("t.dlq"), [])
        # The world is well again: the probe finds out, and all are done.
        done = set()
        while len(done) < 100:
            e = m.event()
            self.assertIsNotNone(e)
            m.ack(e)
            done.add(e.offset)
        m.commit()
        self.assertEqual(group_describe(self.c, "g").breaker, 0)
        self.assertEqual(self.described("g").lag, 0)


if __name__ == "__main__":
    unittest.main()
