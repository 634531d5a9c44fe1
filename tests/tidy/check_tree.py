#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the source tree to its rules; prints `file:line: sentence` for each breach and ends with 1.

    check_tree.py [ROOT]

The rules: walls between rooms, functions that are not used here, work left open, paths of one machine, files and
lines that grew too long, missing licence lines, binary files. test_check_tree.py shows that each of them bites.
"""

import os
import pathlib
import re
import subprocess
import sys

# What a room may include, beside its own headers. The longest folder that a file lies in is its room.
ROOMS = {
    "proto": [],
    "proto/schema": ["proto"],
    "client/include": [],
    "client": ["client/include", "proto", "proto/schema"],
    "client/cli": ["client/include"],
    "client/examples": ["client/include"],
    "bench": ["client/include", "proto", "proto/schema"],
    "broker/base": [],
    "broker/io": ["broker/base"],
    "broker/journal": ["broker/base", "broker/io", "proto"],
    "broker/log": ["broker/base", "broker/io", "proto"],
    "broker/dedupe": ["broker/base", "broker/io", "proto"],
    "broker/partition": ["broker/base", "broker/io", "broker/journal", "broker/log", "broker/dedupe", "proto"],
    "broker/group": ["broker/base", "broker/io", "broker/partition", "proto"],
    "broker/schema": ["broker/base", "broker/io", "broker/partition", "proto", "proto/schema"],
    "broker/net": ["broker/base", "broker/io", "proto"],
    "broker/api": ["broker/base", "broker/io", "broker/net", "broker/partition", "broker/group", "broker/schema",
                   "proto", "proto/schema"],
    "broker/kafka": ["broker/base", "broker/io", "broker/net", "broker/partition", "broker/group", "proto"],
    "broker": ["broker/base", "broker/io", "broker/journal", "broker/log", "broker/partition", "broker/group",
               "broker/schema", "broker/net", "broker/api", "broker/kafka", "proto"],
}
# A room's own business, whatever the table says: nobody outside includes these.
PRIVATE_HEADER = re.compile(r"(^|_)(internal|own|ring)\.h$")
# Libraries with one door.
SYSTEM_HEADERS = {
    "liburing.h": ["broker/io/", "bench/", "tests/"],
    "mimalloc.h": ["broker/base/mem.c"],
    "pcre2.h": ["proto/schema/regex.c"],
}

BANNED = {
    "sprintf": "snprintf knows where the buffer ends",
    "vsprintf": "vsnprintf knows where the buffer ends",
    "strcpy": "it does not know where the buffer ends; snprintf or memcpy do",
    "strcat": "it does not know where the buffer ends; snprintf does",
    "gets": "it does not know where the buffer ends; fgets does",
}
ALLOCATORS = ["malloc", "calloc", "realloc", "free", "strdup", "strndup", "aligned_alloc", "posix_memalign"]
ALLOCATOR_DOOR = "broker/base/mem.c"

# Put together from pieces, so that this file may lie in the tree that it checks.
LEFT_OPEN = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.-])/(" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+"]) + r")/")

LINES_MAX = 700  # more than one idea, usually
COLUMNS_MAX = 120
LICENCE = "SPDX-License-Identifier: Apache-2.0"
CODE = (".c", ".h", ".py", ".sh", ".cmake")
SCRIPTS = ("dev", ".ci/run", "CMakeLists.txt")
BINARIES_ALLOWED = re.compile(r"(^|/)corpus/|\.png$")


def without_comments(text):
    """C with comments and the insides of literals blanked, line by line as long as before."""
    def blank(match):
        piece = match.group(0)
        if piece[0] in "\"'":
            return piece[0] + " " * (len(piece) - 2) + piece[0]
        return re.sub(r"[^\n]", " ", piece)
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def room_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in ROOMS:
        folder = os.path.dirname(folder)
    return folder


def resolve(path, name, files):
    """The tree's file that `#include "name"` in `path` means, or None for somebody else's header."""
    for candidate in (os.path.join(os.path.dirname(path), name), name, os.path.join("broker", name)):
        candidate = os.path.normpath(candidate)
        if candidate in files:
            return candidate
    return None


def check_includes(path, text, files):
    room = room_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        system = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
        if system and system.group(1) in SYSTEM_HEADERS:
            doors = SYSTEM_HEADERS[system.group(1)]
            if not path.startswith(tuple(doors)):
                yield number, "<%s> has one door: %s; use what that offers" % (system.group(1), doors[0])
        own = re.match(r"\s*#\s*include\s*\"([^\"]+)\"", line)
        header = own and room and resolve(path, own.group(1), files)
        there = room_of(header) if header else room
        if there == room:
            continue
        if there not in ROOMS[room]:
            yield number, "%s may not include %s; it may use %s (tests/tidy/check_tree.py has the table)" % (
                room, header, ", ".join(ROOMS[room]) or "nothing but itself")
        elif PRIVATE_HEADER.search(os.path.basename(header)):
            yield number, "%s is %s's own business; include what that room shows to others" % (header, there)


def check_functions(path, text):
    calls = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join([*BANNED, *ALLOCATORS]))
    for number, line in enumerate(text.splitlines(), 1):
        for match in calls.finditer(line):
            name = match.group(1)
            if name in BANNED:
                yield number, "%s() is not used here: %s" % (name, BANNED[name])
            elif path.startswith("broker/") and path != ALLOCATOR_DOOR:
                yield number, "%s() in the broker: allocate through base/mem.h, which counts and limits" % name


def check_text(path, text):
    lines = text.splitlines()
    code = path.endswith(CODE) or os.path.basename(path) in SCRIPTS or path in SCRIPTS
    for number, line in enumerate(lines, 1):
        if LEFT_OPEN.search(line):
            yield number, "work left open: do it, or say in docs/ what is not there"
        if MACHINE_PATH.search(line):
            yield number, "a path of one machine; nobody else has it"
        if code and len(line) > COLUMNS_MAX:
            yield number, "%d columns; %d are the most" % (len(line), COLUMNS_MAX)
    if path.endswith((".c", ".h")) and path.split("/")[0] in ("broker", "client", "proto", "bench"):
        if len(lines) > LINES_MAX:
            yield LINES_MAX + 1, "%d lines; from %d on a file usually holds two ideas: part them" % (
                len(lines), LINES_MAX)
    if code and not path.endswith("CMakeLists.txt") and LICENCE not in "\n".join(lines[:3]):
        yield 1, "the first lines do not say `%s`" % LICENCE


def check_file(root, path, files):
    """(line, sentence) for each breach in one file."""
    data = (root / path).read_bytes()
    if re.search(r"(^|/)corpus/", path):
        return
    if b"\0" in data[:8192]:
        if not BINARIES_ALLOWED.search(path):
            yield 1, "a binary file: the tree holds sources, and bytes only as tests/fuzz/corpus/"
        return
    text = data.decode("utf-8", errors="replace")
    yield from check_text(path, text)
    if path.endswith((".c", ".h")):
        bare = without_comments(text)
        yield from check_functions(path, bare)
        yield from check_includes(path, text, files)


def tree_files(root):
    """What git tracks or would track; without git, everything but build and data."""
    try:
        out = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = {os.fsdecode(n) for n in out.split(b"\0") if n}
    except (OSError, subprocess.CalledProcessError):
        names = {str(p.relative_to(root)) for p in root.rglob("*")}
        names = {n for n in names if not n.startswith((".git/", "build/", "data/")) and "__pycache__" not in n}
    return sorted(n for n in names if (root / n).is_file() and not (root / n).is_symlink())


def check_tree(root):
    files = tree_files(root)
    known = set(files)
    return ["%s:%d: %s" % (path, line, sentence)
            for path in files for line, sentence in check_file(root, path, known)]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    breaches = check_tree(root)
    print("\n".join(breaches) if breaches else "%s: nothing found" % root)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
