# SPDX-License-Identifier: Apache-2.0
"""A real broker for the tests that run whole processes.

    with Broker() as broker:
        broker.run("pub", "orders", "hello")       # the runnel command against it
        broker.kill9()
        broker.start()                             # same data directory, same port

Binaries come from $RUNNEL_BIN (a directory), else from build/release/bin of this checkout. Data lives in a
directory of its own below $RUNNEL_TEST_DIR (else the system's temporary directory) and goes when the broker
object is closed, except that a failed start keeps its messages in the exception's text.
"""

import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def bin_dir():
    return pathlib.Path(os.environ.get("RUNNEL_BIN", ROOT / "build" / "release" / "bin"))


def binary(name):
    return str(bin_dir() / name)


class BrokerError(Exception):
    pass


class Broker:
    """One runneld on a data directory. `args`: more arguments for it; `env`: more environment."""

    def __init__(self, data=None, args=(), env=None, start=True, wrapper=()):
        self.work = tempfile.mkdtemp(prefix="runnel-", dir=os.environ.get("RUNNEL_TEST_DIR"))
        self.data = str(data) if data else os.path.join(self.work, "data")
        self.args = list(args)
        self.wrapper = list(wrapper)  # a program that starts runneld: strace, prlimit, ...
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.url = None  # tcp://127.0.0.1:PORT
        self.kafka = None  # HOST:PORT of the last Kafka listener
        self.unix = None  # unix:PATH, when the broker listens on one
        self.addresses = []
        self.ready_line = ""
        self.starts = 0
        self.messages_path = os.path.join(self.work, "messages")
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    # ---- life ----

    def start(self, timeout=30.0, args=()):
        """Starts it and waits for the ready line. Later starts listen on the first one's ports."""
        assert self.process is None, "it runs already"
        command = self.wrapper + [binary("runneld"), "--data", self.data]
        command += ["--listen", self.url or "tcp://127.0.0.1:0"]
        again = "kafka://" + self.kafka if self.kafka else None
        command += [again if again and a == "kafka://127.0.0.1:0" else a for a in self.args] + list(args)
        self.starts += 1
        with open(self.messages_path, "ab") as messages:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, env=self.env
            )
        self._read_ready(timeout)
        return self

    def _read_ready(self, timeout):
        """The one line: `ready tcp://127.0.0.1:PORT unix:PATH`, perhaps with more words."""
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                self._start_failed("no ready line within %.0f s" % timeout)
            got = os.read(fd, 4096)
            if not got:
                self._start_failed("it ended before it was ready")
            line += got
        self.ready_line = line.decode().splitlines()[0]
        words = self.ready_line.split()
        if not words or words[0] != "ready":
            self._start_failed("not a ready line: %r" % self.ready_line)
        self.addresses = [w for w in words[1:] if w.startswith(("tcp://", "unix:", "kafka://"))]
        for address in self.addresses:
            if address.startswith("tcp://"):
                self.url = address
            elif address.startswith("kafka://"):
                self.kafka = address.removeprefix("kafka://")  # HOST:PORT, as Kafka's clients want it
            else:
                self.unix = address

    def _start_failed(self, why):
        self.process.kill()
        code = self.process.wait()
        self.process.stdout.close()
        self.process = None
        raise BrokerError("runneld: %s (exit code %s); its messages:\n%s" % (why, code, self.messages()))

    def _ended(self, timeout):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BrokerError("runneld did not stop in %.0f s; its messages:\n%s" % (timeout, self.messages()))
        finally:
            self.process.stdout.close()
            self.process = None
        return code

    def stop(self, timeout=30.0):
        """SIGTERM: drains. Returns the exit code (0 when all is well)."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended(timeout)

    def kill9(self):
        self.process.kill()
        return self._ended(30.0)

    def wait(self, timeout=30.0):
        """Waits until it ends by itself; its exit code."""
        return self._ended(timeout)

    def restart(self, kill=False):
        self.kill9() if kill else self.stop()
        return self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
        shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    # ---- looking at it ----

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def messages(self):
        """Everything it wrote to stderr, in all its lives."""
        try:
            with open(self.messages_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # ---- the command line against it ----

    def command(self, *args):
        return [binary("runnel"), "-s", self.url or "tcp://127.0.0.1:1"] + [str(a) for a in args]

    def run(self, *args, input=None, check=True, timeout=60.0, env=None):
        """Runs `runnel ARGS`; input and output are bytes. With `check`, any exit code but 0 raises."""
        done = subprocess.run(
            self.command(*args),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            env=dict(self.env, **(env or {})),
        )
        if check and done.returncode != 0:
            raise BrokerError(
                "runnel %s: exit code %d\n%s"
                % (" ".join(str(a) for a in args), done.returncode, done.stderr.decode(errors="replace"))
            )
        return done

    def popen(self, *args, **kwargs):
        kwargs.setdefault("env", self.env)
        return subprocess.Popen(self.command(*args), **kwargs)
