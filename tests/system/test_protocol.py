# SPDX-License-Identifier: Apache-2.0
"""The native protocol against a real broker, by a client that does everything wrong.

Each test sends what no proper client sends and asks for three things: an error with a name (or a closed
connection), bounded memory, and that everybody else is served meanwhile.
"""

import os
import pathlib
import random
import resource
import select
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import runnel_wire as wire  # noqa: E402
from broker import Broker  # noqa: E402
from runnel_wire import Client, Closed, Record, RunnelError, frame, u32  # noqa: E402

FRAME_INVALID, FRAME_TOO_LARGE, HELLO_EXPECTED, VERSION_UNSUPPORTED, OP_UNKNOWN = 10, 11, 12, 13, 14
REQUEST_INVALID, TOO_MANY_CONNECTIONS, TOPIC_NOT_FOUND, PARTITION_NOT_FOUND = 15, 17, 30, 34
HANDLE_UNKNOWN, BATCH_INVALID, BATCH_CORRUPT, ACKS_INVALID = 37, 50, 51, None
OFFSET_OUT_OF_RANGE, SUBSCRIPTION_EXISTS, SUBSCRIPTION_UNKNOWN = 70, 72, 73


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def rss_mb(pid):
    """Resident memory. AddressSanitizer keeps freed memory for a while: a quarter of what it shows, then."""
    with open("/proc/%d/statm" % pid) as f:
        mb = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    return mb / 4 if os.environ.get("RUNNEL_SANITIZED") else mb


class Protocol(unittest.TestCase):
    args = ()

    def setUp(self):
        self.broker = Broker(args=self.args)
        self.addCleanup(self.broker.close)
        self.clients = []

    def tearDown(self):
        for c in self.clients:
            c.close()

    def client(self, **kwargs):
        c = Client(self.broker.url, **kwargs)
        self.clients.append(c)
        return c

    def raw(self):
        return self.client(hello=False)

    def error_of(self, c, timeout=10.0):
        """The next frame must be a refusal; its code and sentence."""
        f = c.recv_frame(timeout)
        self.assertTrue(f.flags & wire.ERROR, "not a refusal: %r" % (f,))
        r = wire.Reader(f.body)
        code, text = r.u16(), r.string()
        self.assertGreater(len(text), 10)
        return code

    def assert_closed(self, c, timeout=10.0):
        with self.assertRaises(Closed):
            while True:
                c.recv_frame(timeout)

    def assert_refused(self, code, call, *args, **kwargs):
        with self.assertRaises(RunnelError) as caught:
            call(*args, **kwargs)
        if code is not None:
            self.assertEqual(caught.exception.code, code, str(caught.exception))
        return caught.exception

    def assert_serves(self, topic="others"):
        """Somebody else publishes and reads, quickly."""
        c = Client(self.broker.url, timeout=5.0)
        try:
            t = c.open_topic(topic, create=True)
            offset = c.produce(t, 0, [Record(value=b"still served")])[0].offset
            got = c.fetch(t, 0, wire.at_offset(offset))
            self.assertEqual(got.records[0].value, b"still served")
        finally:
            c.close()


class Framing(Protocol):
    def test_request_before_hello(self):
        c = self.raw()
        c.send(wire.PING)
        self.assertEqual(self.error_of(c), HELLO_EXPECTED)
        self.assert_closed(c)
        self.assert_serves()

    def test_versions_in_the_future_and_wrong_magic(self):
        c = self.raw()
        self.assert_refused(VERSION_UNSUPPORTED, c.hello, version_min=7, version_max=9)
        self.assert_closed(c)
        c = self.raw()
        self.assert_refused(FRAME_INVALID, c.hello, magic=0x12345678)
        self.assert_closed(c)
        c = self.raw()
        self.assertEqual(c.hello(version_min=1, version_max=9).version, 1)
        c.ping()

    def test_hello_twice(self):
        c = self.client()
        self.assert_refused(REQUEST_INVALID, c.hello)
        c.ping()

    def test_unknown_operations(self):
        c = self.client()
        for op in (0, 7, 10, 13, 19, 26, 39, 42, 255, 65535):
            self.assert_refused(OP_UNKNOWN, c.request, op)
        c.ping()

    def test_flags_on_a_request(self):
        c = self.client()
        c.send(wire.PING, flags=1)
        self.assertEqual(self.error_of(c), FRAME_INVALID)
        self.assert_closed(c)

    def test_size_smaller_than_a_header(self):
        for size in (0, 1, 11):
            c = self.client()
            c.send_raw(struct.pack("<IHHI", size, wire.PING, 0, 5))
            self.assertEqual(self.error_of(c), FRAME_INVALID)
            self.assert_closed(c)
        self.assert_serves()

    def test_oversized_frame_is_skipped(self):
        c = self.client()
        size = c.greeting.frame_bytes_max + 1
        c.send_raw(struct.pack("<IHHI", size, wire.PRODUCE, 0, 77))
        f = c.recv_frame()
        self.assertEqual((f.id, wire.Reader(f.body).u16()), (77, FRAME_TOO_LARGE))
        c.send_raw(bytes(size - 12))
        c.ping()

    def test_size_of_four_gigabytes(self):
        c = self.client()
        c.send_raw(struct.pack("<IHHI", 0xFFFFFFFF, wire.PRODUCE, 0, 77))
        self.assertEqual(self.error_of(c), FRAME_TOO_LARGE)
        self.assert_closed(c)

    def test_other_protocols(self):
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"*1\r\n$4\r\nPING\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
                     b"\x00\x00\x00\x17\x00\x12\x00\x02\x00\x00\x00\x01\x00\x04test\x00\x00\x00"):
            c = self.raw()
            c.send_raw(text)
            c.socket.shutdown(socket.SHUT_WR)
            self.assert_closed(c)
        self.assert_serves()

    def test_one_byte_at_a_time(self):
        c = self.raw()
        hello = u32(wire.MAGIC) + wire.u16(1) + wire.u16(1) + wire.u64(0) + wire.string("slow") + wire.string("1")
        c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = self.client()
        for b in frame(wire.HELLO, 1, hello) + frame(wire.PING, 2):
            c.send_raw(bytes([b]))
            other.ping()  # what came before it has been taken
        self.assertEqual([c.recv_frame().id, c.recv_frame().id], [1, 2])

    def test_random_garbage(self):
        seed = int(os.environ.get("RUNNEL_SEED", random.randrange(1 << 30)))
        print("seed %d" % seed, file=sys.stderr)
        rng = random.Random(seed)
        for _ in range(200):
            c = self.raw()
            try:
                if rng.random() < 0.7:
                    c.hello()
                for _ in range(rng.randrange(1, 20)):
                    body = rng.randbytes(rng.randrange(0, 300))
                    size = 12 + len(body) if rng.random() < 0.9 else rng.randrange(0, 1 << rng.randrange(1, 32))
                    op = rng.choice((2, 3, 4, 5, 6, 8, 9, 11, 12, 20, 21, 22, 23, 24, 25, 40, 41, rng.randrange(65536)))
                    c.send_raw(struct.pack("<IHHI", size, op, 0, rng.randrange(1 << 32)) + body)
            except (OSError, RunnelError, Closed, TimeoutError):
                pass
            c.close()
        self.assertTrue(self.broker.running)
        self.assert_serves()
        self.assertLess(rss_mb(self.broker.pid), 150)

    def test_mutated_requests(self):
        seed = int(os.environ.get("RUNNEL_SEED", random.randrange(1 << 30)))
        print("seed %d" % seed, file=sys.stderr)
        rng = random.Random(seed)
        good = self.client()
        t = good.open_topic("mutated", create=True)
        good.produce(t, 0, [Record(value=b"x" * 100)] * 10)
        batch = wire.encode_batch([Record(value=b"y" * 50, key=b"k", headers=[(b"h", b"v")])])
        bodies = [(wire.PRODUCE, wire.produce_body(2, [(t.handle, 0, batch)])),
                  (wire.FETCH, u32(t.handle) + u32(0) + wire.from_start() + u32(1000) + u32(0)),
                  (wire.SUBSCRIBE, u32(1) + u32(t.handle) + u32(0) + wire.from_start() + u32(1000)),
                  (wire.OFFSETS, u32(t.handle) + wire.u16(2) + u32(0) + wire.from_end(3) + u32(1) + wire.at_time(5)),
                  (wire.TOPIC_CREATE, wire.string("m2") + u32(3) + b"\x01" + wire.u16(0)),
                  (wire.TOPIC_LIST, wire.string("*") + wire.string("") + u32(10) + b"\x01"),
                  (wire.OPEN_TOPIC, wire.string("mutated") + b"\x01")]
        c = self.client()
        c.open_topic("mutated")
        for i in range(3000):
            op, body = rng.choice(bodies)
            body = bytearray(body)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            if rng.random() < 0.2:
                del body[rng.randrange(len(body)):]
            c.send(op, bytes(body))
        c.ping()  # the connection survives all of it
        self.assertTrue(self.broker.running)
        self.assert_serves()


class Requests(Protocol):
    def test_names_of_errors(self):
        c = self.client()
        t = c.open_topic("named", create=True)
        batch = wire.encode_batch([Record(value=b"v")])
        produce = lambda handle, partition, b, acks=2: c.produce_batches([(handle, partition, b)], acks)  # noqa: E731
        self.assert_refused(TOPIC_NOT_FOUND, c.open_topic, "nowhere")
        self.assert_refused(HANDLE_UNKNOWN, produce, 99, 0, batch)
        self.assert_refused(PARTITION_NOT_FOUND, produce, t.handle, 3, batch)
        self.assert_refused(BATCH_CORRUPT, produce, t.handle, 0, batch[:-1] + b"\xff")
        self.assert_refused(None, produce, t.handle, 0, batch[:30])
        self.assert_refused(None, produce, t.handle, 0, b"")
        self.assert_refused(None, produce, t.handle, 0, batch + batch)
        self.assert_refused(REQUEST_INVALID, c.request, wire.PRODUCE, b"")
        self.assert_refused(REQUEST_INVALID, c.request, wire.PRODUCE, wire.produce_body(9, [(t.handle, 0, batch)]))
        self.assert_refused(REQUEST_INVALID, c.produce_batches, [(t.handle, 0, batch), (t.handle, 0, batch)])
        idempotent = wire.encode_batch([Record(value=b"v")], producer_id=5, producer_epoch=0, base_sequence=0)
        self.assert_refused(None, produce, t.handle, 0, idempotent, wire.ACKS_MEMORY)
        self.assert_refused(OFFSET_OUT_OF_RANGE, c.fetch, t, 0, wire.at_offset(5))
        self.assert_refused(HANDLE_UNKNOWN, c.fetch, t._replace(handle=9), 0, wire.from_start())
        c.subscribe(t, 0, wire.from_start(), subscription=4)
        self.assert_refused(SUBSCRIPTION_EXISTS, c.subscribe, t, 1, wire.from_start(), subscription=4)
        self.assert_refused(SUBSCRIPTION_UNKNOWN, c.unsubscribe, 44)
        c.unsubscribe(4)
        # Nothing of all that was stored, and the connection works.
        self.assertEqual(c.fetch(t, 0, wire.from_start()).end, 0)
        self.assertEqual(c.produce(t, 0, [Record(value=b"v")])[0].offset, 0)

    def test_acks_none_error_closes(self):
        c = self.client()
        t = c.open_topic("none", create=True)
        c.send_produce([(t.handle, 0, wire.encode_batch([Record(value=b"good")]))], wire.ACKS_NONE)
        c.send_produce([(t.handle, 77, wire.encode_batch([Record(value=b"bad")]))], wire.ACKS_NONE)
        self.assertEqual(self.error_of(c), PARTITION_NOT_FOUND)
        self.assert_closed(c)
        d = self.client()
        t = d.open_topic("none")
        self.assertEqual([r.value for r in d.fetch(t, 0, wire.from_start(), wait_ms=2000).records], [b"good"])

    def test_atomic_request_is_all_or_nothing(self):
        c = self.client()
        a, b = c.open_topic("atomic.a", create=True), c.open_topic("atomic.b", create=True)
        batch = wire.encode_batch([Record(value=b"v")])
        self.assert_refused(PARTITION_NOT_FOUND, c.produce_batches,
                            [(a.handle, 0, batch), (b.handle, 0, batch), (b.handle, 50, batch)])
        self.assertEqual((c.fetch(a, 0, wire.from_start()).end, c.fetch(b, 0, wire.from_start()).end), (0, 0))
        done = c.produce_batches([(a.handle, 0, batch), (b.handle, 0, batch), (b.handle, 1, batch)])
        self.assertEqual([p.offset for p in done], [0, 0, 0])

    def test_replies_keep_the_order_of_requests(self):
        c = self.client()
        t = c.open_topic("order", create=True)
        batch = wire.encode_batch([Record(value=b"v" * 100)])
        sent = []
        for i in range(2000):
            bad = i % 7 == 3
            acks = wire.ACKS_MEMORY if i % 5 == 0 else wire.ACKS_DURABLE
            sent.append(c.send_produce([(t.handle, 99 if bad else 0, batch)], acks))
        got = [c.recv_frame().id for _ in sent]
        self.assertEqual(got, sent)

    def test_dropped_in_the_middle_of_a_batch(self):
        c = self.client()
        t = c.open_topic("halves", create=True)
        batch = wire.encode_batch([Record(value=b"h" * 5000)])
        whole = frame(wire.PRODUCE, 9, wire.produce_body(2, [(t.handle, 0, batch)]))
        for cut in (5, 12, 20, 60, 100, 3000, len(whole) - 1):
            d = self.client()
            d.open_topic("halves")
            d.send_raw(whole[:cut])
            d.close()
        self.assert_serves()
        self.assertEqual(c.fetch(t, 0, wire.from_start()).end, 0)

    def test_long_poll_and_deleted_topic(self):
        c = self.client()
        t = c.open_topic("poll", create=True)
        started = time.monotonic()
        self.assertEqual(c.fetch(t, 0, wire.from_start(), wait_ms=300).records, [])
        self.assertGreater(time.monotonic() - started, 0.25)
        waiting = c.send(wire.FETCH, u32(t.handle) + u32(0) + wire.from_start() + u32(1000) + u32(20000))
        d = self.client()
        t2 = d.open_topic("poll")
        d.produce(t2, 0, [Record(value=b"news")])
        r = c.wait(waiting, 5.0)
        self.assertEqual(r.fields("QQQ"), (0, 0, 1))
        waiting = c.send(wire.FETCH, u32(t.handle) + u32(0) + wire.from_end() + u32(1000) + u32(20000))
        c.subscribe(t, 1, wire.from_end(), subscription=1)
        d.topic_delete("poll")
        self.assert_refused(TOPIC_NOT_FOUND, c.wait, waiting, 5.0)
        self.assert_refused(TOPIC_NOT_FOUND, c.delivery, 5.0)
        self.assert_refused(TOPIC_NOT_FOUND, c.produce, t, 0, [Record(value=b"late")])

    def test_credit_is_kept_to(self):
        c = self.client()
        t = c.open_topic("credit", create=True)
        batch = wire.encode_batch([Record(value=b"c" * 1000)])
        for _ in range(50):
            c.send_produce([(t.handle, 0, batch)])
        c.ping()
        c.subscribe(t, 0, wire.from_start(), credit=5 * len(batch))
        got = 0
        with self.assertRaises(TimeoutError):
            while True:
                got += len(c.delivery(0.5, give_back=False).raw)
        self.assertEqual(got, 5 * len(batch))
        c.credit(1, 3 * len(batch))
        self.assertEqual(len(c.delivery(5.0, give_back=False).raw), 3 * len(batch))

    def test_subscription_from_every_place_sees_everything_once(self):
        c = self.client()
        t = c.open_topic("places", create=True)
        for request in [c.send_produce([(t.handle, 0, wire.encode_batch([Record(value=b"%d" % i)]))])
                        for i in range(300)]:
            c.wait_produced(request)
        for n, start in enumerate((0, 1, 150, 299, 300)):
            c.subscribe(t, 0, wire.at_offset(start), subscription=10 + n)
            seen = []
            while start + len(seen) < 300:
                seen += [int(r.value) for r in c.delivery(5.0).records]
            self.assertEqual(seen, list(range(start, 300)))
            c.unsubscribe(10 + n)


class Crowds(Protocol):
    def test_a_reader_that_never_reads(self):
        c = self.client()
        t = c.open_topic("firehose", create=True)
        batch = wire.encode_batch([Record(value=os.urandom(100000))])
        sleepers = []
        for i in range(20):
            s = self.client()
            s.open_topic("firehose")
            s.subscribe(t, 0, wire.from_start(), credit=1 << 30)
            sleepers.append(s)
        for _ in range(300):
            c.produce_batches([(t.handle, 0, batch)])
        self.assert_serves()
        self.assertLess(rss_mb(self.broker.pid), 250)
        # Those that read again are served what they missed, from segments if need be.
        total = 0
        while total < 300 * len(batch):
            f = sleepers[0].recv_frame(20.0)
            self.assertEqual(f.op, wire.DELIVER)
            total += len(f.body) - 8
        self.assertEqual(total, 300 * len(batch))

    def test_a_client_that_never_reads_its_replies(self):
        c = self.client()
        t = c.open_topic("deaf", create=True)
        c.produce(t, 0, [Record(value=b"d" * 100000)])
        c.socket.setblocking(False)
        request = frame(wire.FETCH, 1, u32(t.handle) + u32(0) + wire.from_start() + u32(1 << 20) + u32(0)) * 50
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if not select.select([], [c.socket], [], 1)[1]:
                break  # the broker takes no more
            c.socket.send(request)
        self.assertLess(rss_mb(self.broker.pid), 250)
        self.assert_serves()

    def test_many_half_frames_cost_nothing(self):
        raise_descriptor_limit()
        for i in range(1000):
            s = self.raw()
            s.send_raw(struct.pack("<IHHI", 2 << 20, wire.PRODUCE, 0, 1) + b"x" * 10)
        self.assert_serves()
        self.assertLess(rss_mb(self.broker.pid), 60)

    def test_ten_thousand_idle_connections(self):
        count = min(10000, raise_descriptor_limit() - 1600)
        before = rss_mb(self.broker.pid)
        host, port = self.broker.url[6:].rsplit(":", 1)
        hello = frame(wire.HELLO, 1, u32(wire.MAGIC) + wire.u16(1) + wire.u16(1) + wire.u64(0) + wire.string("i") +
                      wire.string("1"))
        sockets = []
        try:
            for _ in range(count):
                s = socket.create_connection((host, int(port)))
                s.sendall(hello)
                sockets.append(s)
            for s in sockets:
                s.settimeout(10)
                self.assertGreater(len(s.recv(100)), 12)
            self.assert_serves()
            each_kb = (rss_mb(self.broker.pid) - before) * 1000 / count
            print("%d idle connections: %.2f kB each" % (count, each_kb), file=sys.stderr)
            self.assertLess(each_kb, 20.0 if os.environ.get("RUNNEL_SANITIZED") else 2.0)
        finally:
            for s in sockets:
                s.close()
        self.assert_serves()


    def test_ten_thousand_subscriptions_on_one_connection(self):
        c, d = self.client(timeout=60.0), self.client(timeout=60.0)
        batch = wire.encode_batch([Record(value=b"one each")])
        asked, sent = [], []
        for i in range(10):
            d.topic_create("many.%d" % i, 1000)
            mine, theirs = c.open_topic("many.%d" % i), d.open_topic("many.%d" % i)
            for p in range(1000):
                asked.append(c.send(wire.SUBSCRIBE, u32(1000 * i + p) + u32(mine.handle) + u32(p) + wire.from_end() +
                                    u32(10000)))
                sent.append((theirs.handle, p))
        for request in asked:
            c.wait(request)
        for request in [d.send_produce([(handle, p, batch)]) for handle, p in sent]:
            d.wait_produced(request)
        seen = set()
        while len(seen) < 10000:
            f = c.recv_frame(30.0)
            self.assertEqual(f.op, wire.DELIVER)
            self.assertNotIn(f.id, seen)
            seen.add(f.id)


class FewConnections(Protocol):
    def setUp(self):
        self.broker = Broker(env={"RUNNEL_CONNECTIONS_MAX": "5"})
        self.addCleanup(self.broker.close)
        self.clients = []

    def test_one_too_many(self):
        for _ in range(5):
            self.client()
        for _ in range(3):
            c = self.raw()
            self.assertEqual(self.error_of(c), TOO_MANY_CONNECTIONS)
            self.assert_closed(c)
        self.clients.pop(0).close()
        deadline = time.monotonic() + 5
        while True:
            try:
                self.client()
                break
            except (RunnelError, Closed):
                self.assertLess(time.monotonic(), deadline)


class Process(unittest.TestCase):
    def run_broker(self, *args, env=None):
        import subprocess
        from broker import binary
        return subprocess.run([binary("runneld"), *args], capture_output=True, text=True, timeout=20,
                              env=dict(os.environ, **(env or {})))

    def test_second_instance_names_the_first(self):
        with Broker() as b:
            second = self.run_broker("--data", b.data, "--listen", "tcp://127.0.0.1:0")
            self.assertEqual(second.returncode, 1)
            self.assertIn("process %d" % b.pid, second.stderr)

    def test_beyond_loopback_needs_insecure(self):
        with Broker() as b:
            data = b.data + "2"
            refused = self.run_broker("--data", data, "--listen", "tcp://0.0.0.0:0")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("--insecure", refused.stderr)

    def test_stopping_answers_what_is_in_flight(self):
        with Broker() as b:
            c = Client(b.url)
            t = c.open_topic("last", create=True)
            ids = [c.send_produce([(t.handle, 0, wire.encode_batch([Record(value=b"w" * 1000)]))]) for _ in range(200)]
            c.wait_produced(ids[0])
            b.process.terminate()
            answers = 0
            try:
                for i in ids[1:]:
                    try:
                        c.wait_produced(i)
                        answers += 1
                    except RunnelError as e:
                        self.assertEqual(e.code, 18)
            except Closed:
                pass
            self.assertEqual(b.wait(), 0)
            b.start()
            c = Client(b.url)
            t = c.open_topic("last")
            self.assertGreaterEqual(c.fetch(t, 0, wire.from_start()).end, answers + 1)
            self.assertEqual(b.stop(), 0)

    def test_reload_and_messages_as_json(self):
        with Broker(env={"RUNNEL_LOG_FORMAT": "json"}) as b:
            b.process.send_signal(1)
            deadline = time.monotonic() + 5
            while "configuration reloaded" not in b.messages():
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            import json
            for line in b.messages().splitlines():
                json.loads(line)

    def test_reload_changes_limits_and_names_what_needs_a_restart(self):
        import tempfile
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("connections.max: 100\njournal.files.max: 8\n")
            f.flush()
            with Broker(args=["--config", f.name]) as b:
                for text, expected in (("connections.max: 3\njournal.files.max: 9\n", "key=journal.files.max"),
                                       ("connections.mx: 3\n", "%s:1: unknown key" % f.name)):
                    f.seek(0)
                    f.truncate()
                    f.write(text)
                    f.flush()
                    b.process.send_signal(1)
                    deadline = time.monotonic() + 5
                    while expected not in b.messages():
                        self.assertLess(time.monotonic(), deadline, b.messages())
                        time.sleep(0.02)
                self.assertNotIn("key=listen", b.messages())
                clients = [Client(b.url) for _ in range(3)]
                refused = Client(b.url, hello=False)
                code = wire.Reader(refused.recv_frame().body).u16()
                self.assertEqual(code, TOO_MANY_CONNECTIONS)
                for c in clients + [refused]:
                    c.close()

    def test_wrong_usage(self):
        self.assertEqual(self.run_broker().returncode, 2)
        self.assertEqual(self.run_broker("--nonsense").returncode, 2)
        self.assertEqual(self.run_broker("--data", "/tmp/x", "extra").returncode, 2)
        unknown = self.run_broker("--data", "/tmp/x", env={"RUNNEL_JOURNAL_FILE_MAX": "3"})
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("journal.files.max", unknown.stderr)


if __name__ == "__main__":
    unittest.main()
