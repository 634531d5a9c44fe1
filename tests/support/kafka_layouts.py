# SPDX-License-Identifier: Apache-2.0
"""Kafka's messages for tests, version by version, from a layout in one line each.

    wire = Messages(broker.kafka)
    reply = wire.ask("Heartbeat", 3, group="g", generation=1, member="m", instance=None)
    reply["error"]

A layout is a row of `name:type`, each perhaps behind the versions that have it (`3+`, `0-5`, `2`), in the order of
the wire: b h i l integers of 1, 2, 4 and 8 bytes; s S strings, nullable; y Y bytes, nullable; `name:[...]` and
`name:{...}` arrays, nullable, of structs, or of scalars when there is one type without a name. Every reply must be
what its layout says to the last byte. Source: the message definitions of Apache Kafka.
"""

import re

import kafka_wire as wire

# name: key, first flexible version (None: never), request, reply
APIS = {
    "OffsetCommit": (8, 8, "group:s 1+generation:i 1+member:s 7+instance:S 2-4retention:l topics:[name:s partitions:["
                           "partition:i offset:l 6+epoch:i 1timestamp:l metadata:S]]",
                     "3+throttle:i topics:[name:s partitions:[partition:i error:h]]"),
    "OffsetFetch": (9, 6, "0-7group:s 0-1topics:[name:s partitions:[i]] 2-7topics:{name:s partitions:[i]} "
                          "8+groups:[group:s topics:{name:s partitions:[i]}] 7+stable:b",
                    "3+throttle:i 0-7topics:[name:s partitions:[partition:i offset:l 5+epoch:i metadata:S error:h]] "
                    "2-7error:h 8+groups:[group:s topics:[name:s partitions:[partition:i offset:l epoch:i metadata:S "
                    "error:h]] error:h]"),
    "FindCoordinator": (10, 3, "0-3key:s 1+type:b 4+keys:[s]",
                        "1+throttle:i 0-3error:h 1-3message:S 0-3node:i 0-3host:s 0-3port:i "
                        "4+coordinators:[key:s node:i host:s port:i error:h message:S]"),
    "JoinGroup": (11, 6, "group:s session:i 1+rebalance:i member:s 5+instance:S type:s protocols:[name:s metadata:y] "
                         "8+reason:S",
                  "2+throttle:i error:h generation:i 7+type:S 0-6protocol:s 7+protocol:S leader:s member:s "
                  "members:[member:s 5+instance:S metadata:y]"),
    "Heartbeat": (12, 4, "group:s generation:i member:s 3+instance:S", "1+throttle:i error:h"),
    "LeaveGroup": (13, 4, "group:s 0-2member:s 3+members:[member:s instance:S 5+reason:S]",
                   "1+throttle:i error:h 3+members:[member:s instance:S error:h]"),
    "SyncGroup": (14, 4, "group:s generation:i member:s 3+instance:S 5+type:S 5+protocol:S "
                         "shares:[member:s assignment:y]",
                  "1+throttle:i error:h 5+type:S 5+protocol:S assignment:y"),
    "DescribeGroups": (15, 5, "groups:[s] 3+operations:b",
                       "1+throttle:i groups:[error:h group:s state:s type:s protocol:s members:[member:s 4+instance:S "
                       "client:s host:s metadata:y assignment:y] 3+operations:i]"),
    "ListGroups": (16, 3, "4+states:[s]", "1+throttle:i error:h groups:[group:s type:s 4+state:s]"),
    "DeleteGroups": (42, 2, "groups:[s]", "throttle:i results:[group:s error:h]"),
    "OffsetDelete": (47, None, "group:s topics:[name:s partitions:[partition:i]]",
                     "error:h throttle:i topics:[name:s partitions:[partition:i error:h]]"),
}
NEVER = 1 << 15
TOKEN = re.compile(r"\s*(?:(\d+)(\+|-\d+)?(?=[a-z]))?(?:([a-z]+):)?([a-zA-Z\[{\]}])")
WRITE = {"b": wire.i8, "h": wire.i16, "i": wire.i32, "l": wire.i64}
READ = {"b": wire.Reader.i8, "h": wire.Reader.i16, "i": wire.Reader.i32, "l": wire.Reader.i64}


def parse(text):
    """A layout as a list of (first version, last version, name, type, fields of an array)."""
    at = 0

    def fields():
        nonlocal at
        found = []
        while at < len(text):
            match = TOKEN.match(text, at)
            assert match, text[at:]
            at = match.end()
            first, last, name, kind = match.groups()
            if kind in "]}":
                break
            low = int(first or 0)
            high = low if first and not last else NEVER if last in (None, "+") else int(last[1:])
            found.append((low, high, name, kind, fields() if kind in "[{" else None))
        return found
    return fields()


LAYOUTS = {name: (row[0], parse(row[2]), parse(row[3])) for name, row in APIS.items()}
FLEXIBLE = {row[0]: NEVER if row[1] is None else row[1] for row in APIS.values()}


def write_scalar(kind, value, flexible):
    if kind in WRITE:
        return WRITE[kind](value)
    if flexible:
        return wire.cstring(value)
    return wire.string(value) if kind in "sS" else wire.data(value)


def write(fields, values, version, flexible):
    out = b""
    for low, high, name, kind, inner in fields:
        if not low <= version <= high:
            continue
        value = values[name]
        if inner is None:
            out += write_scalar(kind, value, flexible)
            continue
        items = None if value is None else [
            write_scalar(inner[0][3], v, flexible) if inner[0][2] is None else write(inner, v, version, flexible)
            for v in value]
        out += wire.carray(items) if flexible else wire.array(items)
    return out + (wire.TAGS if flexible else b"")


def read_scalar(kind, r):
    if kind in READ:
        return READ[kind](r)
    value = r.string() if kind in "sS" else r.data()
    assert value is not None or kind.isupper(), "null where it cannot be"
    return value


def read(fields, r, version):
    values = {}
    for low, high, name, kind, inner in fields:
        if not low <= version <= high:
            continue
        if inner is None:
            values[name] = read_scalar(kind, r)
        elif inner[0][2] is None:
            values[name] = r.array(lambda r, one=inner[0][3]: read_scalar(one, r))
        else:
            values[name] = r.array(lambda r, struct=inner: read(struct, r, version))
    r.tags()
    return values


class Messages(wire.Client):
    """Requests may be sent ahead; replies come in their order."""

    def put(self, api, version, **values):
        key, request, reply = LAYOUTS[api]
        wire.FLEXIBLE.update(FLEXIBLE)
        self.replies = getattr(self, "replies", []) + [(reply, version)]
        self.send(key, version, write(request, values, version, version >= FLEXIBLE[key]))

    def get(self):
        r = self.reply()
        layout, version = self.replies.pop(0)
        values = read(layout, r, version)
        r.done()
        return values

    def ask(self, api, version, **values):
        self.put(api, version, **values)
        return self.get()
