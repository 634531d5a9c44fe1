# SPDX-License-Identifier: Apache-2.0
"""A client of Kafka's protocol in plain Python: bodies are written by hand, so that tests can write wrong ones.

    c = Client("127.0.0.1:9092")
    r = c.call(API_VERSIONS, 0, b"")              # -> Reader behind the reply's header
    c.send(METADATA, 1, array([string("t")]))     # ... and later, in order:
    r = c.reply()
"""

import socket
import struct

from runnel_wire import Closed

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
SASL_HANDSHAKE, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 17, 18, 19, 20, 21, 22
OFFSET_FOR_LEADER_EPOCH, DESCRIBE_CONFIGS, ALTER_CONFIGS, CREATE_PARTITIONS = 23, 32, 33, 37
INCREMENTAL_ALTER_CONFIGS, DESCRIBE_CLUSTER = 44, 60

# From these versions on requests have tagged fields in their headers, and replies but those of ApiVersions too.
FLEXIBLE = {PRODUCE: 9, FETCH: 12, LIST_OFFSETS: 6, METADATA: 9, API_VERSIONS: 3, CREATE_TOPICS: 5, DELETE_TOPICS: 4,
            DELETE_RECORDS: 2, INIT_PRODUCER_ID: 2, OFFSET_FOR_LEADER_EPOCH: 4, DESCRIBE_CONFIGS: 4,
            ALTER_CONFIGS: 2, CREATE_PARTITIONS: 2, INCREMENTAL_ALTER_CONFIGS: 1, DESCRIBE_CLUSTER: 0}


def i8(v): return struct.pack(">b", v)
def i16(v): return struct.pack(">h", v)
def i32(v): return struct.pack(">i", v)
def i64(v): return struct.pack(">q", v)


def uvarint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def string(s):
    if s is None:
        return i16(-1)
    s = s.encode() if isinstance(s, str) else s
    return i16(len(s)) + s


def data(b): return i32(-1) if b is None else i32(len(b)) + b
def array(items): return i32(-1) if items is None else i32(len(items)) + b"".join(items)
# The same in flexible versions.
def cstring(s):
    s = s.encode() if isinstance(s, str) else s
    return uvarint(0) if s is None else uvarint(len(s) + 1) + s


def cdata(b): return cstring(b)
def carray(items): return uvarint(0) if items is None else uvarint(len(items) + 1) + b"".join(items)


TAGS = b"\0"


class Reader:
    """Takes fields off the front of a reply; `flexible` picks the encoding of strings, arrays and bytes."""

    def __init__(self, body, flexible=False):
        self.body, self.at, self.flexible = body, 0, flexible

    def raw(self, n):
        if n > len(self.body) - self.at:
            raise ValueError("the reply ends at byte %d, %d more wanted" % (len(self.body), n))
        self.at += n
        return self.body[self.at - n:self.at]

    def i8(self): return struct.unpack(">b", self.raw(1))[0]
    def i16(self): return struct.unpack(">h", self.raw(2))[0]
    def i32(self): return struct.unpack(">i", self.raw(4))[0]
    def i64(self): return struct.unpack(">q", self.raw(8))[0]

    def uvarint(self):
        v = shift = 0
        while True:
            b = self.raw(1)[0]
            v |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return v

    def string(self):
        n = self.uvarint() - 1 if self.flexible else self.i16()
        return None if n < 0 else self.raw(n).decode()

    def data(self):
        n = self.uvarint() - 1 if self.flexible else self.i32()
        return None if n < 0 else self.raw(n)

    def array(self, item):
        n = self.uvarint() - 1 if self.flexible else self.i32()
        return None if n < 0 else [item(self) for _ in range(n)]

    def tags(self):
        if self.flexible:
            assert self.uvarint() == 0
        return self

    def done(self):
        assert self.at == len(self.body), "%d bytes are left over" % (len(self.body) - self.at)


class Client:
    def __init__(self, address, timeout=60.0):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout)
        self.correlation = 0
        self.waiting = []  # (correlation, key, version)

    def close(self):
        self.socket.close()

    def header(self, key, version, client_id="test"):
        self.correlation += 1
        self.waiting.append((self.correlation, key, version))
        tags = TAGS if version >= FLEXIBLE.get(key, 1 << 15) else b""
        return i16(key) + i16(version) + i32(self.correlation) + string(client_id) + tags

    def send(self, key, version, body):
        frame = self.header(key, version) + body
        self.send_raw(i32(len(frame)) + frame)

    def send_raw(self, raw):
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it said before is still to be read

    def read(self, n):
        out = b""
        while len(out) < n:
            try:
                got = self.socket.recv(n - len(out))
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed()
            out += got
        return out

    def reply(self):
        body = self.read(struct.unpack(">i", self.read(4))[0])
        correlation, key, version = self.waiting.pop(0)
        flexible = version >= FLEXIBLE.get(key, 1 << 15)
        r = Reader(body, flexible)
        got = r.i32()
        assert got == correlation, "reply %d, expected %d" % (got, correlation)
        if key != API_VERSIONS:
            r.tags()
        return r

    def call(self, key, version, body):
        self.send(key, version, body)
        return self.reply()

    def closed(self):
        """Waits for the broker to close the connection; True when it did without another byte."""
        try:
            return self.read(1) == b""
        except Closed:
            return True


# ---- what most tests ask ----

def api_versions(client, version=0):
    """error, {key: (min, max)}"""
    r = client.call(API_VERSIONS, version, cstring("test") + cstring("1.0") + TAGS if version == 3 else b"")
    return read_api_versions(r, version)


def read_api_versions(r, version):
    error = r.i16()
    rows = r.array(lambda r: (r.i16(), r.i16(), r.i16(), r.tags())[:3])
    if version >= 1:
        r.i32()
    r.tags().done()
    return error, {key: (low, high) for key, low, high in rows}


class Metadata:
    """brokers: {id: (host, port)}, topics: {name: (error, [partition])}"""

    def __init__(self, r, version):
        self.brokers, self.controller, self.cluster = {}, None, None
        if version >= 3:
            r.i32()
        for node, host, port in r.array(lambda r: self._broker(r, version)):
            self.brokers[node] = (host, port)
        if version >= 2:
            self.cluster = r.string()
        if version >= 1:
            self.controller = r.i32()
        self.topics = dict(r.array(lambda r: self._topic(r, version)))
        if version >= 8:
            r.i32()
        r.tags().done()

    def _broker(self, r, version):
        out = (r.i32(), r.string(), r.i32())
        if version >= 1:
            r.string()
        r.tags()
        return out

    def _topic(self, r, version):
        error, name = r.i16(), r.string()
        if version >= 1:
            r.i8()
        partitions = r.array(lambda r: self._partition(r, version))
        if version >= 8:
            r.i32()
        r.tags()
        return name, (error, partitions)

    def _partition(self, r, version):
        error, number, leader = r.i16(), r.i32(), r.i32()
        self.epoch = r.i32() if version >= 7 else -1
        replicas, in_sync = r.array(Reader.i32), r.array(Reader.i32)
        offline = r.array(Reader.i32) if version >= 5 else []
        assert error == 0 and [leader] == replicas == in_sync and offline == []
        r.tags()
        return number


def metadata(client, version, topics=None, create=True):
    """topics None: all of them."""
    flexible = version >= FLEXIBLE[METADATA]
    if version == 0:
        body = array([string(t) for t in topics or []])
    elif flexible:
        body = carray(None if topics is None else [cstring(t) + TAGS for t in topics])
    else:
        body = array(None if topics is None else [string(t) for t in topics])
    if version >= 4:
        body += i8(create)
    if version >= 8:
        body += i8(0) * 2
    if flexible:
        body += TAGS
    return Metadata(client.call(METADATA, version, body), version)


# ---- producing and fetching, in versions that are not flexible ----

def produce_body(batches, acks=-1, transactional_id=None):
    """batches: {(topic, partition): bytes or None}"""
    topics = [string(t) + array([i32(p) + data(records)]) for (t, p), records in batches.items()]
    return string(transactional_id) + i16(acks) + i32(30000) + array(topics)


class Produced:
    def __init__(self, r, version):
        self.error, self.offset, self.time = r.i16(), r.i64(), r.i64()
        self.start = r.i64() if version >= 5 else -1
        self.text = None
        if version >= 8:
            self.records = r.array(lambda r: (r.i32(), r.string()))
            self.text = r.string()
        r.tags()


def read_produced(r, version):
    rows = {}
    for topic, partitions in r.array(lambda r: (r.string(), r.array(lambda r: (r.i32(), Produced(r, version))))):
        rows.update({(topic, p): row for p, row in partitions})
    r.i32()
    r.done()
    return rows


def produce(client, topic, partition, batch, version=8, **kwargs):
    body = produce_body({(topic, partition): batch}, **kwargs)
    return read_produced(client.call(PRODUCE, version, body), version)[(topic, partition)]


class Fetched:
    def __init__(self, r, version):
        self.error, self.end, self.stable = r.i16(), r.i64(), r.i64()
        self.start = r.i64() if version >= 5 else -1
        self.aborted = r.array(lambda r: (r.i64(), r.i64()))
        if version >= 11:
            assert r.i32() == -1
        self.records = r.data()
        r.tags()


def fetch_body(offsets, version=11, wait_ms=0, bytes_min=1, bytes_max=50 << 20, partition_bytes=1 << 20, isolation=0,
               epoch=-1):
    """offsets: {(topic, partition): offset}"""
    def row(p, offset):
        return (i32(p) + (i32(epoch) if version >= 9 else b"") + i64(offset) + (i64(-1) if version >= 5 else b"") +
                i32(partition_bytes))
    topics = [string(t) + array([row(p, offset)]) for (t, p), offset in offsets.items()]
    body = i32(-1) + i32(wait_ms) + i32(bytes_min) + i32(bytes_max) + i8(isolation)
    if version >= 7:
        body += i32(0) + i32(-1)
    body += array(topics)
    if version >= 7:
        body += array([])
    return body + (string("") if version >= 11 else b"")


def read_fetched(r, version):
    r.i32()
    if version >= 7:
        assert (r.i16(), r.i32()) == (0, 0)
    rows = {}
    for topic, partitions in r.array(lambda r: (r.string(), r.array(lambda r: (r.i32(), Fetched(r, version))))):
        rows.update({(topic, p): row for p, row in partitions})
    r.done()
    return rows


def fetch(client, topic, partition, offset, version=11, **kwargs):
    r = client.call(FETCH, version, fetch_body({(topic, partition): offset}, version, **kwargs))
    return read_fetched(r, version)[(topic, partition)]


def list_offsets(client, topic, partition, timestamp, version=4):
    """error, timestamp, offset"""
    body = i32(-1) + (i8(0) if version >= 2 else b"")
    body += array([string(topic) + array([i32(partition) + (i32(-1) if version >= 4 else b"") + i64(timestamp)])])
    r = client.call(LIST_OFFSETS, version, body)
    if version >= 2:
        r.i32()

    def row(r):
        assert r.i32() == partition
        return (r.i16(), r.i64(), r.i64(), r.i32() if version >= 4 else -1)
    rows = r.array(lambda r: (r.string(), r.array(row)))
    r.done()
    return rows[0][1][0][:3]
