# SPDX-License-Identifier: Apache-2.0
"""A client of Runnel's native protocol in plain Python, written from docs/protocol.md.

It shares no code with the broker or librunnel: the system tests use it to say what the bytes on the wire
must be. Clear before fast; one thread; every wait has a time-out.

    c = Client("tcp://127.0.0.1:7411")            # or "unix:/path"; greets, unless hello=False
    t = c.open_topic("orders", create=True)
    c.produce(t, 0, [Record(key=b"k", value=b"v")])  # -> [Produced(offset, duplicate, epoch)]
    for r in c.fetch(t, 0, at_offset(0)).records: ...
"""

import collections
import gzip
import socket
import struct
import time

MAGIC, VERSION = 0x4C4E4E52, 1
REPLY, ERROR, PUSH = 1, 2, 4
HELLO, PING, OPEN_TOPIC, PRODUCE, FETCH, SUBSCRIBE, DELIVER, CREDIT, UNSUBSCRIBE, SUB_END, OFFSETS, \
    INIT_PRODUCER = range(1, 13)
TOPIC_CREATE, TOPIC_LIST, TOPIC_DESCRIBE, TOPIC_SET, TOPIC_ADD_PARTITIONS, TOPIC_DELETE = range(20, 26)
STAT, HEALTH = 40, 41
ACKS_NONE, ACKS_MEMORY, ACKS_DURABLE = range(3)


class RunnelError(Exception):
    """A request refused by the broker: `code` as in docs/error-codes.md, `text` its sentence."""

    def __init__(self, code, text):
        super().__init__("error %d: %s" % (code, text))
        self.code, self.text = code, text


class Closed(Exception):
    """The broker closed the connection."""


# ---- little-endian fields ----

def u8(v): return struct.pack("<B", v)
def u16(v): return struct.pack("<H", v)
def u32(v): return struct.pack("<I", v)
def u64(v): return struct.pack("<Q", v)
def i64(v): return struct.pack("<q", v)


def string(s):
    s = s.encode() if isinstance(s, str) else s
    return u16(len(s)) + s


class Reader:
    """Takes fields off the front of a body; past the end is a ValueError."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, n):
        if len(self.data) - self.at < n:
            raise ValueError("body ends at byte %d, %d more wanted" % (len(self.data), n))
        self.at += n
        return self.data[self.at - n:self.at]

    def fields(self, layout):
        return struct.unpack("<" + layout, self.raw(struct.calcsize("<" + layout)))

    def u8(self): return self.fields("B")[0]
    def u16(self): return self.fields("H")[0]
    def u32(self): return self.fields("I")[0]
    def u64(self): return self.fields("Q")[0]
    def i64(self): return self.fields("q")[0]
    def string(self): return self.raw(self.u16()).decode(errors="replace")
    def rest(self): return self.raw(len(self.data) - self.at)

    def done(self):
        if self.at != len(self.data):
            raise ValueError("%d bytes left over in a body" % (len(self.data) - self.at))


# ---- record batches: Kafka's format, version 2, big-endian ----

def _crc_table():
    table = []
    for b in range(256):
        for _ in range(8):
            b = b >> 1 ^ (0x82F63B78 if b & 1 else 0)
        table.append(b)
    return table


_TABLE = _crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    table = _TABLE
    for b in data:
        crc = crc >> 8 ^ table[(crc ^ b) & 255]
    return crc ^ 0xFFFFFFFF


def varint(v):
    v = v << 1 if v >= 0 else (-v << 1) - 1
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def read_varint(data, at):
    v = shift = 0
    while True:
        b = data[at]
        at += 1
        v |= (b & 0x7F) << shift
        if b < 0x80:
            return (v >> 1) ^ -(v & 1), at
        shift += 7


class Record:
    """One event. `offset` and `timestamp` (ms) are absolute; key and value may be None; headers is a list of
    (name, value or None), all bytes."""

    def __init__(self, value=None, key=None, headers=(), timestamp=None, offset=None):
        self.value, self.key, self.headers = value, key, [tuple(h) for h in headers]
        self.timestamp = int(time.time() * 1000) if timestamp is None else timestamp
        self.offset = offset


Batch = collections.namedtuple("Batch", "base_offset leader_epoch attributes last_offset_delta base_timestamp "
                               "max_timestamp producer_id producer_epoch base_sequence count records size")


def _field(b):
    return varint(-1) if b is None else varint(len(b)) + b


def encode_record(r, offset_delta, base_timestamp):
    body = b"\0" + varint(r.timestamp - base_timestamp) + varint(offset_delta) + _field(r.key) + _field(r.value)
    body += varint(len(r.headers))
    for name, value in r.headers:
        body += _field(name) + _field(value)
    return varint(len(body)) + body


def seal_batch(records_bytes, count, base_timestamp, max_timestamp, producer_id=-1, producer_epoch=-1,
               base_sequence=-1, attributes=0, last_offset_delta=None, base_offset=0, leader_epoch=-1, magic=2,
               crc=None):
    """A batch around encoded records; every field can be set wrongly on purpose."""
    last = count - 1 if last_offset_delta is None else last_offset_delta
    body = struct.pack(">hiqqqhii", attributes, last, base_timestamp, max_timestamp, producer_id, producer_epoch,
                       base_sequence, count) + records_bytes
    crc = crc32c(body) if crc is None else crc
    return struct.pack(">qiibI", base_offset, 9 + len(body), leader_epoch, magic, crc) + body


def encode_batch(records, **fields):
    base = records[0].timestamp
    encoded = b"".join(encode_record(r, i, base) for i, r in enumerate(records))
    if fields.get("attributes", 0) & 7 == 1:
        encoded = gzip.compress(encoded)
    return seal_batch(encoded, len(records), base, max(r.timestamp for r in records), **fields)


def _read_field(data, at):
    n, at = read_varint(data, at)
    if n == -1:
        return None, at
    if n < 0 or at + n > len(data):
        raise ValueError("a field of %d bytes at byte %d" % (n, at))
    return bytes(data[at:at + n]), at + n


def decode_records(data, count, base_offset, base_timestamp):
    records, at = [], 0
    for _ in range(count):
        length, at = read_varint(data, at)
        end = at + length
        delta, at = read_varint(data, at + 1)
        offset_delta, at = read_varint(data, at)
        key, at = _read_field(data, at)
        value, at = _read_field(data, at)
        n, at = read_varint(data, at)
        headers = []
        for _ in range(n):
            name, at = _read_field(data, at)
            content, at = _read_field(data, at)
            headers.append((name, content))
        if at != end:
            raise ValueError("record ends at byte %d, but says %d" % (at, end))
        records.append(Record(value, key, headers, base_timestamp + delta, base_offset + offset_delta))
    if at != len(data):
        raise ValueError("%d bytes left over behind the records" % (len(data) - at))
    return records


def decode_batch(data, at=0):
    """The batch at `at`, checksum verified. `records` is None for codecs that Python's library lacks."""
    base_offset, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, at)
    size = 12 + length
    if size < 61 or at + size > len(data):
        raise ValueError("a batch of %d bytes at byte %d of %d" % (size, at, len(data)))
    if magic != 2:
        raise ValueError("magic %d" % magic)
    if crc32c(data[at + 21:at + size]) != crc:
        raise ValueError("the batch at offset %d has a wrong checksum" % base_offset)
    attributes, last, base_ts, max_ts, pid, pepoch, sequence, count = struct.unpack_from(">hiqqqhii", data, at + 21)
    encoded, records = data[at + 61:at + size], None
    if attributes & 7 == 1:
        encoded = gzip.decompress(encoded)
    if attributes & 7 in (0, 1):
        records = decode_records(encoded, count, base_offset, base_ts)
        if attributes & 8:
            for r in records:
                r.timestamp = max_ts
    return Batch(base_offset, epoch, attributes, last, base_ts, max_ts, pid, pepoch, sequence, count, records, size)


def decode_batches(data):
    at = 0
    while at < len(data):
        batch = decode_batch(data, at)
        yield batch
        at += batch.size


# ---- positions ----

def at_offset(offset): return u8(0) + i64(offset)
def from_start(): return u8(1) + i64(0)
def from_end(before=0): return u8(2) + i64(before)
def at_time(ms): return u8(3) + i64(ms)


Frame = collections.namedtuple("Frame", "op flags id body")
Topic = collections.namedtuple("Topic", "name handle id partitions batch_bytes_max")
Produced = collections.namedtuple("Produced", "offset duplicate epoch")
Fetched = collections.namedtuple("Fetched", "offset start end records raw")
Subscribed = collections.namedtuple("Subscribed", "id offset start end")
Delivery = collections.namedtuple("Delivery", "id end records raw")
Offset = collections.namedtuple("Offset", "error partition offset timestamp")
Greeting = collections.namedtuple("Greeting", "version features broker_version broker_id leader_epoch "
                                  "frame_bytes_max batch_bytes_max inflight_bytes_max")
Partition = collections.namedtuple("Partition", "partition start end bytes segments max_timestamp state")
TopicRow = collections.namedtuple("TopicRow", "name id partitions events bytes")
TopicInfo = collections.namedtuple("TopicInfo", "name id created settings partitions")


def records_from(raw, offset):
    """The records of some batches from `offset` on: the first batch may begin before it."""
    return [r for batch in decode_batches(raw) if batch.records is not None
            for r in batch.records if r.offset >= offset]


def frame(op, request_id, body=b"", flags=0):
    return struct.pack("<IHHI", 12 + len(body), op, flags, request_id) + body


def produce_body(acks, batches):
    """`batches`: (handle, partition, batch bytes) each."""
    return u8(acks) + u8(0) + u16(len(batches)) + b"".join(
        u32(h) + u32(p) + u32(len(b)) + b for h, p, b in batches)


def _configs(settings):
    settings = settings or {}
    return u16(len(settings)) + b"".join(
        string(k) + (u8(0) if v is None else u8(1) + string(str(v))) for k, v in settings.items())


class Client:
    def __init__(self, url, hello=True, timeout=10.0, name="runnel_wire.py"):
        self.timeout, self.next_id, self.buffer = timeout, 1, bytearray()
        self.replies, self.pushes, self.positions = {}, collections.deque(), {}
        if url.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(url[5:])
        else:
            host, port = url.replace("tcp://", "").rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeting = self.hello(name) if hello else None

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        """Any bytes at all."""
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def send(self, op, body=b"", flags=0):
        """Sends a request without waiting; its id, for wait()."""
        request_id, self.next_id = self.next_id, self.next_id + 1
        self.send_raw(frame(op, request_id, body, flags))
        return request_id

    def recv_frame(self, timeout=None):
        """The next frame whatever it is. TimeoutError when none comes, Closed when the broker hung up."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            if len(self.buffer) >= 12:
                size, op, flags, request_id = struct.unpack_from("<IHHI", self.buffer)
                if size < 12:
                    raise ValueError("the broker sent a frame of %d bytes" % size)
                if len(self.buffer) >= size:
                    body = bytes(self.buffer[12:size])
                    del self.buffer[:size]
                    return Frame(op, flags, request_id, body)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame in time")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionError as e:
                raise Closed(str(e))
            if not data:
                raise Closed("the broker closed the connection")
            self.buffer += data

    def _take(self, timeout):
        f = self.recv_frame(timeout)
        if f.flags & PUSH:
            self.pushes.append(f)
        else:
            self.replies[f.id] = f

    def wait(self, request_id, timeout=None):
        """The reply's body as a Reader; RunnelError when the request was refused."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while request_id not in self.replies:
            self._take(max(0.0, deadline - time.monotonic()))
        f = self.replies.pop(request_id)
        r = Reader(f.body)
        if f.flags & ERROR:
            raise RunnelError(r.u16(), r.string())
        return r

    def request(self, op, body=b"", timeout=None):
        return self.wait(self.send(op, body), timeout)

    def hello(self, name="runnel_wire.py", magic=MAGIC, version_min=1, version_max=VERSION, features=0):
        r = self.request(HELLO, u32(magic) + u16(version_min) + u16(version_max) + u64(features) +
                         string(name) + string("1"))
        g = Greeting(r.u16(), r.u64(), r.string(), r.raw(16), *r.fields("IIII"))
        r.done()
        return g

    def ping(self):
        self.request(PING).done()

    # ---- topics ----

    def open_topic(self, name, create=False):
        r = self.request(OPEN_TOPIC, string(name) + u8(create))
        t = Topic(name, *r.fields("IQII"))
        r.done()
        return t

    def topic_create(self, name, partitions=0, if_missing=False, settings=None):
        """(topic id, partitions, created)"""
        body = string(name) + u32(partitions) + u8(if_missing) + _configs(settings)
        return self.request(TOPIC_CREATE, body).fields("QIB")

    def topic_list(self, pattern="", internal=False, page=0):
        rows, after, more = [], "", 1
        while more:
            r = self.request(TOPIC_LIST, string(pattern) + string(after) + u32(page) + u8(internal))
            more, count = r.fields("BI")
            rows += [TopicRow(r.string(), *r.fields("QIQQ")) for _ in range(count)]
            r.done()
            if more and not count:
                raise ValueError("an empty page says that there is more")
            after = rows[-1].name if rows else ""
        return rows

    def topic_describe(self, name):
        r = self.request(TOPIC_DESCRIBE, string(name))
        name, topic_id, created = r.string(), r.u64(), r.i64()
        settings = {}
        for _ in range(r.u16()):
            setting, value, is_default = r.string(), r.string(), r.u8()
            settings[setting] = (value, bool(is_default))
        partitions = [Partition(*r.fields("IQQQIqB")) for _ in range(r.u32())]
        r.done()
        return TopicInfo(name, topic_id, created, settings, partitions)

    def topic_set(self, name, settings):
        self.request(TOPIC_SET, string(name) + _configs(settings)).done()

    def topic_add_partitions(self, name, partitions):
        self.request(TOPIC_ADD_PARTITIONS, string(name) + u32(partitions)).done()

    def topic_delete(self, name):
        self.request(TOPIC_DELETE, string(name)).done()

    # ---- producing ----

    def init_producer(self):
        """(producer id, epoch)"""
        return self.request(INIT_PRODUCER).fields("qh")

    def produce(self, topic, partition, records, acks=ACKS_DURABLE, **fields):
        """Publishes one batch of records; `fields` go to encode_batch (producer_id=...)."""
        return self.produce_batches([(topic.handle, partition, encode_batch(records, **fields))], acks)

    def produce_batches(self, batches, acks=ACKS_DURABLE, timeout=None):
        """Publishes (handle, partition, batch) pieces, all or none."""
        request_id = self.send_produce(batches, acks)
        return [] if acks == ACKS_NONE else self.wait_produced(request_id, timeout)

    def send_produce(self, batches, acks=ACKS_DURABLE):
        return self.send(PRODUCE, produce_body(acks, batches))

    def wait_produced(self, request_id, timeout=None):
        r = self.wait(request_id, timeout)
        count, _, _ = r.fields("HHI")
        rows = [r.fields("QII") for _ in range(count)]
        r.done()
        return [Produced(offset, bool(flags & 1), epoch) for offset, flags, epoch in rows]

    # ---- reading ----

    def fetch(self, topic, partition, position, bytes_max=1 << 20, wait_ms=0):
        r = self.request(FETCH, u32(topic.handle) + u32(partition) + position + u32(bytes_max) + u32(wait_ms),
                         self.timeout + wait_ms / 1000)
        offset, start, end, size = r.fields("QQQI")
        raw = r.raw(size)
        r.done()
        return Fetched(offset, start, end, records_from(raw, offset), raw)

    def subscribe(self, topic, partition, position, subscription=1, credit=1 << 20):
        r = self.request(SUBSCRIBE, u32(subscription) + u32(topic.handle) + u32(partition) + position + u32(credit))
        s = Subscribed(subscription, *r.fields("QQQ"))
        r.done()
        self.positions[subscription] = s.offset
        return s

    def delivery(self, timeout=None, give_back=True):
        """The next pushed batches of any subscription; gives their credit back. RunnelError when the broker
        ended a subscription, TimeoutError when nothing came."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self.pushes:
            self._take(max(0.0, deadline - time.monotonic()))
        f = self.pushes.popleft()
        r = Reader(f.body)
        if f.op == SUB_END:
            raise RunnelError(r.u16(), r.string())
        if f.op != DELIVER:
            raise ValueError("the broker pushed op %d" % f.op)
        end, raw = r.u64(), r.rest()
        records = records_from(raw, self.positions.get(f.id, 0))
        for batch in decode_batches(raw):
            self.positions[f.id] = batch.base_offset + batch.last_offset_delta + 1
        if give_back:
            self.credit(f.id, len(raw))
        return Delivery(f.id, end, records, raw)

    def credit(self, subscription, count):
        self.send(CREDIT, u32(subscription) + u32(count))

    def unsubscribe(self, subscription):
        self.request(UNSUBSCRIBE, u32(subscription)).done()
        self.pushes = collections.deque(f for f in self.pushes if f.id != subscription)
        self.positions.pop(subscription, None)

    def offsets(self, topic, queries):
        """`queries`: (partition, position) each."""
        r = self.request(OFFSETS, u32(topic.handle) + u16(len(queries)) +
                         b"".join(u32(p) + position for p, position in queries))
        rows = [Offset(*r.fields("HIQq")) for _ in range(r.u16())]
        r.done()
        return rows

    # ---- observing ----

    def stat(self):
        r = self.request(STAT)
        figures = {}
        for _ in range(r.u32()):
            room, name, _, value = r.string(), r.string(), r.u8(), r.u64()
            figures[room + "." + name] = value
        r.done()
        return figures

    def health(self):
        """(status, [(check, status, text)])"""
        r = self.request(HEALTH)
        status, count = r.fields("BH")
        rows = [(r.string(), r.u8(), r.string()) for _ in range(count)]
        r.done()
        return status, rows
