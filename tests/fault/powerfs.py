# SPDX-License-Identifier: Apache-2.0
"""Mounts powerfs for a test and talks to its control file.

    with PowerFs("build/release/bin/powerfs") as fs:
        start_broker(data=os.path.join(fs.path, "data"))
        fs.control("cut rand 17")      # the power goes; then kill the broker and wait for it
        fs.control("heal")
"""
import os
import subprocess
import tempfile
import time


class PowerFs:
    def __init__(self, program, lenient=False):
        self.program, self.lenient = program, lenient
        self.path = self.process = None

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="powerfs-")
        command = [self.program, "-f", self.path] + (["-L"] if self.lenient else [])
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while not os.path.exists(os.path.join(self.path, ".ctl")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError("powerfs does not mount: is /dev/fuse usable here?")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process and self.process.poll() is None:
            subprocess.run(["fusermount3", "-u", "-z", self.path], check=False)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.path:
            os.rmdir(self.path)
            self.path = None

    def control(self, command):
        fd = os.open(os.path.join(self.path, ".ctl"), os.O_WRONLY)
        try:
            os.write(fd, command.encode())
        finally:
            os.close(fd)

    def report(self):
        """{'dead': 0, 'pending': 3, ..., 'write': (done, failed), ...}"""
        with open(os.path.join(self.path, ".ctl"), "rb", buffering=0) as f:
            words = f.read(4096).decode().split()
        out = {}
        for word in words:
            name, value = word.split("=")
            numbers = tuple(int(n) for n in value.split("/"))
            out[name] = numbers if len(numbers) > 1 else numbers[0]
        return out
