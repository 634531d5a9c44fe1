# SPDX-License-Identifier: Apache-2.0
"""Runs torture (see torture.c) against the real broker.

    test_torture.py kill    TORTURE RUNNELD           SIGKILL at random moments
    test_torture.py power   TORTURE RUNNELD POWERFS   the same, and the power goes too
    test_torture.py caught  TORTURE RUNNELD POWERFS   RUNNELD acknowledges before it writes: torture must find out

RUNNEL_KILLS says how often (by default: a few dozen times; the long campaigns, thousands).
"""
import os
import shutil
import subprocess
import sys
import tempfile

import powerfs

SKIPPED = 77


def torture(program, runneld, directory, kills, *more):
    command = [program, "--runneld", runneld, "--dir", os.path.join(directory, "data"), "--kills", str(kills), *more]
    return subprocess.run(command, check=False).returncode


def on_disk(program, runneld, kills):
    directory = tempfile.mkdtemp(prefix="runnel-torture-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        return torture(program, runneld, directory, kills)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def on_powerfs(program, runneld, disk, kills, slow_us=0):
    try:
        with powerfs.PowerFs(disk) as fs:
            if slow_us:
                fs.control("delay write %d" % slow_us)
            return torture(program, runneld, fs.path, kills, "--power", os.path.join(fs.path, ".ctl"))
    except RuntimeError as error:
        print("skipped:", error)
        return SKIPPED


def main():
    mode, program, runneld = sys.argv[1:4]
    kills = int(os.environ.get("RUNNEL_KILLS", "0"))
    if mode == "kill":
        return on_disk(program, runneld, kills or 60)
    if mode == "power":
        return on_powerfs(program, runneld, sys.argv[4], kills or 25)
    # A broker that lies is caught within a few tries, or the test is not worth its name.
    for _ in range(5):
        # Slow writes: else the disk may make the lie true before the power goes.
        result = on_powerfs(program, runneld, sys.argv[4], 10, slow_us=3000)
        if result == SKIPPED:
            return SKIPPED
        if result != 0:
            print("caught: a broker that acknowledges before it writes does not pass")
            return 0
    print("a broker that acknowledges before it writes passed five times")
    return 1


if __name__ == "__main__":
    sys.exit(main())
