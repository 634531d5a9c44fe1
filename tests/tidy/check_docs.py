#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_docs.py DOC_TABLES [--write]: are the generated parts of docs/ what the code says?

A page marks such a part with `<!-- doc_tables NAME -->` and `<!-- end -->`; DOC_TABLES is the program that
prints them. --write puts the code's version in. The example in docs/protocol.md is also built by the Python
client, which shares no code with the program.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import runnel_wire as wire  # noqa: E402

MARK = re.compile(r"(<!-- doc_tables (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
PAGES = {"docs/error-codes.md": {"errors"}, "docs/protocol.md": {"ops", "example"},
         "docs/envelope.md": {"fields"}}


def printed(program, name):
    return subprocess.run([program, name], check=True, capture_output=True, text=True).stdout


def check_page(program, page, names, write):
    path = ROOT / page
    text = path.read_text()
    found = {m.group(2) for m in MARK.finditer(text)}
    problems = ["%s: the part %s is not marked" % (page, name) for name in sorted(names - found)]

    def fresh(match):
        code = printed(program, match.group(2))
        if code != match.group(3) and not write:
            problems.append("%s: the part %s differs from the code: run check_docs.py DOC_TABLES --write" %
                            (page, match.group(2)))
        return match.group(1) + code + match.group(4)

    new = MARK.sub(fresh, text)
    if write and new != text:
        path.write_text(new)
    return problems


def check_example(program):
    """The two requests of the example, byte for byte, from the other implementation."""
    frames, current = [], None
    for line in printed(program, "example").splitlines():
        if line.startswith("#"):
            current = bytearray()
            frames.append(current)
        elif current is not None:
            hexes = re.match(r"((?:[0-9a-f]{2} )*)", line).group(1)
            current += bytes.fromhex(hexes)
    record = wire.Record(b"hello", b"k", [(b"h", b"x")], timestamp=1700000000000)
    batch = wire.encode_batch([record])
    want = {
        0: wire.frame(wire.HELLO, 1, wire.u32(wire.MAGIC) + wire.u16(1) + wire.u16(1) + wire.u64(0) +
                      wire.string("example") + wire.string("1")),
        2: wire.frame(wire.PRODUCE, 2, wire.produce_body(wire.ACKS_DURABLE, [(0, 2, batch)])),
    }
    problems = ["the example's frame %d is %s here and %s in Python" % (i, bytes(frames[i]).hex(), f.hex())
                for i, f in want.items() if bytes(frames[i]) != f]
    (back,) = wire.decode_batches(batch)
    if back.records[0].value != b"hello" or back.records[0].headers != [(b"h", b"x")]:
        problems.append("the Python client does not read back its own batch")
    if wire.crc32c(b"123456789") != 0xE3069283:
        problems.append("the Python client's checksum is wrong")
    return problems


def main():
    program, write = sys.argv[1], "--write" in sys.argv[2:]
    problems = check_example(program)
    for page, names in PAGES.items():
        problems += check_page(program, page, names, write)
    for problem in problems:
        print("error: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
