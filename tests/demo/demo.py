#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py --data DIR: Runnel at work on real events, in a dozen lines. `./dev run` builds and calls it.

1. Publishes this repository's history (an event per commit, its author as actor) and the machine's package log;
   a subscriber that was there before sees them live, a reader gets them from the start.
2. Publishes the lines of this repository's sources, a hundred and fifty thousand events, and kills the broker with
   SIGKILL in the middle. It starts again; publisher and subscriber, which never stopped, go on.
3. Compares: each acknowledged event is there, at the offset that its acknowledgement named, with the bytes that
   were sent, once. Any difference ends with exit code 1 and a sentence.

All of it goes through the real commands. On a terminal the broker stays, with three commands to try next.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("RUNNEL_BIN", ROOT / "build" / "release" / "bin"))
PORT = 7411
COMMITS, PACKAGES, LINES = "git.commits", "dpkg.log", "source.lines"
COMMITS_MAX, PACKAGES_MAX = 2000, 20000
STREAM_EVENTS = 150000
WAIT_S = 60  # for anything that must happen; only a failure waits that long


class Failure(Exception):
    """What did not hold, as a sentence."""


def say(text):
    print(text, flush=True)


# ---- the broker ----

class Broker:
    def __init__(self, data):
        self.data, self.messages = data, data.with_name(data.name + ".log")
        self.process, self.url = None, None

    def start(self):
        """Starts it; milliseconds until it said `ready`."""
        listen = self.url or "tcp://127.0.0.1:%d" % free_port()
        command = [BIN / "runneld", "--data", self.data, "--listen", listen, "--listen",
                   "unix:%s" % socket_path(self.data)]
        begun = time.monotonic()
        with open(self.messages, "ab") as messages:
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                stderr=messages, start_new_session=True)
            except OSError as error:
                raise Failure("runneld cannot be started (%s): build it with ./dev build" % error)
        ready = select.select([self.process.stdout], [], [], WAIT_S)[0] and self.process.stdout.readline().decode()
        if not ready or not ready.startswith("ready "):
            self.process.kill()
            raise Failure("runneld did not become ready (exit code %s): %s" % (
                self.process.wait(), last_line(self.messages)))
        self.url = next(word for word in ready.split() if word.startswith("tcp://"))
        return 1000 * (time.monotonic() - begun)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        if self.process.wait(WAIT_S) != 0:
            raise Failure("runneld ended with exit code %d: %s" % (self.process.returncode, last_line(self.messages)))


def last_line(path):
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


def free_port():
    """The usual port, or 0 (any) when somebody has it."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", PORT))
            return PORT
        except OSError:
            return 0


def socket_path(data):
    """Paths of sockets end at 107 bytes; a checkout may lie deeper."""
    path = str(data / "runnel.sock")
    return path if len(path) < 100 else os.path.join(tempfile.mkdtemp(prefix="runnel-"), "runnel.sock")


def stop_earlier(data):
    """The broker that an earlier demo left running on this directory."""
    try:
        pid = int((data / "runneld.lock").read_text())
        if os.path.basename(os.readlink("/proc/%d/exe" % pid)).split()[0] != "runneld":
            return
        if str(data) not in pathlib.Path("/proc/%d/cmdline" % pid).read_text():
            return
        process = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    select.select([process], [], [], WAIT_S)
    os.close(process)
    say("stopped the broker of an earlier demo (process %d)" % pid)


# ---- the command line ----

class Cli:
    def __init__(self, broker):
        self.broker = broker

    def command(self, *args):
        return [str(BIN / "runnel"), "-q", "-s", self.broker.url, *map(str, args)]

    def run(self, *args, lines=None, allowed=(0,)):
        """Runs it to its end; the objects that it printed (`-o jsonl`)."""
        done = subprocess.run(self.command(*args, "-o", "jsonl"), input=None if lines is None else b"\n".join(lines),
                              stdin=subprocess.DEVNULL if lines is None else None, capture_output=True, timeout=WAIT_S)
        if done.returncode not in allowed:
            raise Failure("`runnel %s` ended with exit code %d: %s" % (
                " ".join(map(str, args)), done.returncode, done.stderr.decode(errors="replace").strip()))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fresh_topic(self, name, partitions):
        self.run("topic", "delete", name, "--yes", allowed=(0, 3))
        self.run("topic", "create", name, "--partitions", partitions)


class Following:
    """A `runnel` that runs beside us; its output is gathered until it ends."""

    def __init__(self, cli, *args, feed=None):
        self.command = cli.command(*args, "-o", "jsonl")
        self.chunks, self.seen, self.moved, self.at = [], 0, threading.Condition(), []
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.threads = [threading.Thread(target=self._gather, daemon=True)]
        if feed:
            self.threads.append(threading.Thread(target=self._feed, args=(feed,), daemon=True))
        for thread in self.threads:
            thread.start()

    def _gather(self):
        while chunk := os.read(self.process.stdout.fileno(), 1 << 18):
            with self.moved:
                self.chunks.append(chunk)
                self.seen += chunk.count(b"\n")
                self.at.append((time.monotonic(), self.seen))
                self.moved.notify_all()

    def _feed(self, lines):
        try:
            with self.process.stdin as pipe:
                pipe.writelines(line + b"\n" for line in lines)
        except OSError:
            pass  # it ended early; end() says how

    def wait_for(self, count):
        with self.moved:
            if not self.moved.wait_for(lambda: self.seen >= count, WAIT_S):
                raise Failure("`%s` came to %d of %d lines in %d s" % (
                    " ".join(self.command[4:]), self.seen, count, WAIT_S))

    def end(self):
        """Waits until it ends; the objects that it printed."""
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within %d s" % WAIT_S
        for thread in self.threads:
            thread.join(WAIT_S)
        if code != 0:
            raise Failure("`%s` ended with exit code %s after %d lines: %s" % (
                " ".join(self.command[4:]), code, self.seen, self.process.stderr.read().decode().strip()))
        return [json.loads(line) for line in b"".join(self.chunks).splitlines()]


# ---- real events ----

def commits():
    """(author, event) per commit, the oldest first; none where there is no history."""
    form = "%x1e%H%x1f%an%x1f%aI%x1f%s%x1f"
    try:
        out = subprocess.run(["git", "-C", ROOT, "log", "-n", str(COMMITS_MAX), "--name-only", "--format=" + form],
                             capture_output=True, check=True).stdout.decode(errors="replace")
    except (OSError, subprocess.CalledProcessError):
        return []
    events = []
    for entry in out.split("\x1e")[1:]:
        commit, author, date, subject, files = entry.split("\x1f", 4)
        events.append((author, {"hash": commit, "subject": subject, "author": author, "date": date,
                                "files": files.split("\n")[2:-1] if files.strip() else []}))
    return events[::-1]


def package_log():
    try:
        lines = pathlib.Path("/var/log/dpkg.log").read_bytes().splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-PACKAGES_MAX:]


def source_lines(count):
    """The lines of the sources, over and over: `number file:line text`, so that no two are the same."""
    files = [p for room in ("proto", "broker", "client", "bench") for p in sorted((ROOT / room).rglob("*.[ch]"))]
    texts = [b"%s:%d %s" % (str(p.relative_to(ROOT)).encode(), n, line)
             for p in files for n, line in enumerate(p.read_bytes().splitlines(), 1)]
    return [b"%d %s" % (i, text) for i, text in zip(range(count), itertools.cycle(texts))]


# ---- the acts ----

def act_real_events(cli):
    history, packages = commits(), package_log()
    for topic in (COMMITS, PACKAGES):
        cli.fresh_topic(topic, 1)
    expected = {COMMITS: [e for _, e in history], PACKAGES: [p.decode(errors="replace") for p in packages]}
    total = len(history) + len(packages)
    if not total:
        say("no git history and no package log here: on to the stream")
        return
    live = Following(cli, "sub", COMMITS, PACKAGES, "--from", "start", "-n", total)
    for author, group in itertools.groupby(history, key=lambda pair: pair[0]):
        cli.run("pub", COMMITS, "--lines", "--type", "runnel.git.event.commit.v1", "--id", "v7",
                "-H", "ce_actor=" + (author or "unknown"), "-H", "ce_source=git",
                lines=[json.dumps(event).encode() for _, event in group])
    if packages:
        cli.run("pub", PACKAGES, "--lines", "--type", "runnel.host.event.package.v1", lines=packages)
    say("published   %6d commits of this repository, author as actor; %d lines of the package log" % (
        len(history), len(packages)))
    compare_whole("the live subscriber", live.end(), expected)
    say("read live   %6d events, by a subscriber that was there before them" % total)
    stored = [event for topic in expected for event in cli.run("read", topic)]
    compare_whole("the reader", stored, expected)
    say("read again  %6d events from the start: same order, same bytes" % total)


def compare_whole(who, events, expected):
    """What `who` got of each topic is exactly what was sent."""
    got = collections.defaultdict(list)
    for event in events:
        got[event["topic"]].append(event["payload"])
    for topic, payloads in expected.items():
        if got[topic] != payloads:
            raise Failure("%s got %d events of %s, not the %d that were sent, or not as they were sent" % (
                who, len(got[topic]), topic, len(payloads)))


def act_kill(broker, cli, count):
    lines = source_lines(count)
    cli.fresh_topic(LINES, 3)
    live = Following(cli, "sub", LINES, "--from", "start", "-n", len(lines))
    begun = time.monotonic()
    publisher = Following(cli, "pub", LINES, "--lines", feed=lines)
    publisher.wait_for(len(lines) // 3)
    broker.kill()
    killed = time.monotonic()
    before = publisher.seen
    say("killed      the broker with SIGKILL, %d of %d events acknowledged, the next ones under way" % (
        before, len(lines)))
    ready_ms = broker.start()
    acked = publisher.end()
    rate = before / (killed - begun)
    recovered = re.findall(r"replayed_entries=(\d+) torn_bytes=(\d+)", last_ready(broker.messages))
    say("recovered   in %.0f ms from start to ready%s" % (
        ready_ms, " (%s journal entries replayed, %s torn bytes cut)" % recovered[-1] if recovered else ""))
    say("published   %6d events, %.0f acknowledged per second before the kill; the publisher never noticed" % (
        len(acked), rate))
    return lines, acked, live


def last_ready(path):
    return ([""] + [line for line in path.read_text(errors="replace").splitlines() if "msg=ready" in line])[-1]


def act_compare(cli, lines, acked, live):
    seen = live.end()
    stored = cli.run("read", LINES)
    where = {(e["partition"], e["offset"]): e["payload"] for e in stored}
    if len(where) != len(stored):
        raise Failure("an offset came twice in the reading of %s" % LINES)
    sent = [line.decode(errors="replace") for line in lines]
    lost = [a for a in acked if where.get((a["partition"], a["offset"])) != sent[a["line"] - 1]]
    if lost:
        raise Failure("%d acknowledged events are lost or changed; the first: %s" % (len(lost), lost[0]))
    if len(acked) != len(lines) or len(stored) != len(lines):
        raise Failure("%d events sent, %d acknowledged, %d stored: these must be equal" % (
            len(lines), len(acked), len(stored)))
    say("checked     %6d acknowledged, 0 lost, 0 twice, 0 changed: same offsets, same bytes" % len(acked))
    if {(e["partition"], e["offset"]): e["payload"] for e in seen} != where or len(seen) != len(stored):
        raise Failure("the live subscriber saw %d events, not the %d that are stored" % (len(seen), len(stored)))
    say("followed    %6d events live, straight through the kill: each once, none missing" % len(seen))


def leave_running(broker):
    command = os.path.relpath(BIN / "runnel") + ("" if broker.url.endswith(":%d" % PORT) else " -s " + broker.url)
    say("""
The broker is still running (%s, process %d; messages in %s). To try next:

  %s read %s --last 3
  %s topic list
  echo hello | %s pub hello && %s read hello

Stop it with: kill %d""" % (broker.url, broker.process.pid, os.path.relpath(broker.messages), command, COMMITS,
                            command, command, command, broker.process.pid))


def main():
    parser = argparse.ArgumentParser(description="Runnel at work on real events.")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="where the demo's data directory goes")
    parser.add_argument("--events", type=int, default=STREAM_EVENTS, help="how many are under way around the kill")
    options = parser.parse_args()
    data = options.data.resolve() / "demo"
    data.mkdir(parents=True, exist_ok=True)
    stop_earlier(data)
    broker, done = Broker(data), False
    begun = time.monotonic()
    try:
        ms = broker.start()
        say("started     runneld in %.0f ms: %s, data in %s" % (ms, broker.url, os.path.relpath(data)))
        cli = Cli(broker)
        act_real_events(cli)
        act_compare(cli, *act_kill(broker, cli, options.events))
        stay = sys.stdout.isatty() and sys.stdin.isatty()
        if stay:
            leave_running(broker)
        else:
            broker.stop()
            say("stopped     the broker; all of it took %.1f s" % (time.monotonic() - begun))
        done = True
    except Failure as failure:
        print("error: %s (the broker's messages: %s)" % (failure, broker.messages), file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped before the end", file=sys.stderr)
    finally:
        if not done and broker.process and broker.process.poll() is None:
            broker.kill()
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
