#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""powerfs itself: what was not flushed can be lost, what was flushed cannot, and each fault does what it says.

A test that never loses anything on a broken broker is worthless, so these are the ground that the crash tests stand on.
"""
import errno
import mmap
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from powerfs import PowerFs  # noqa: E402

PROGRAM = None


class Case(unittest.TestCase):
    lenient = False

    def setUp(self):
        self.fs = PowerFs(PROGRAM, self.lenient)
        self.fs.__enter__()
        self.addCleanup(self.fs.close)

    def path(self, name):
        return os.path.join(self.fs.path, name)

    def open(self, name, flags=0):
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT | flags)
        self.addCleanup(os.close, fd)
        return fd

    def sync_dir(self, name=""):
        fd = os.open(self.path(name), os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def cut(self, how="none"):
        self.fs.control("cut " + how)
        self.fs.control("heal")

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def fails(self, number, call, *args):
        with self.assertRaises(OSError) as caught:
            call(*args)
        self.assertEqual(caught.exception.errno, number)


class Durability(Case):
    def test_unflushed_data_is_lost_flushed_data_is_not(self):
        fd = self.open("a")
        os.pwrite(fd, b"one", 0)
        os.fsync(fd)
        self.sync_dir()
        os.pwrite(fd, b"twoo", 3)
        os.ftruncate(fd, 5)
        self.assertEqual(self.read("a"), b"onetw")
        self.assertGreater(self.fs.report()["pending"], 0)
        self.cut()
        self.assertEqual(self.read("a"), b"one")

    def test_names_need_their_directory_flushed(self):
        os.mkdir(self.path("d"))
        self.sync_dir()
        for name in ("d/kept", "d/lost"):
            fd = self.open(name)
            os.pwrite(fd, b"x", 0)
            os.fsync(fd)
            if name == "d/kept":
                self.sync_dir("d")
        self.cut()
        self.assertEqual(os.listdir(self.path("d")), ["kept"])

    def test_rename_and_unlink_need_it_too(self):
        for name in ("a", "b"):
            os.fsync(self.open(name))
        self.sync_dir()
        os.rename(self.path("a"), self.path("c"))
        os.unlink(self.path("b"))
        self.assertEqual(sorted(os.listdir(self.fs.path)), ["c"])
        self.cut()
        self.assertEqual(sorted(os.listdir(self.fs.path)), ["a", "b"])
        os.rename(self.path("a"), self.path("b"))
        self.sync_dir()
        self.cut()
        self.assertEqual(os.listdir(self.fs.path), ["b"])

    def test_o_dsync_writes_are_durable_also_direct(self):
        page = mmap.mmap(-1, 4096)
        page.write(b"y" * 4096)
        for name, flags in (("a", 0), ("b", os.O_DIRECT)):
            fd = self.open(name, os.O_DSYNC | flags)
            self.sync_dir()
            os.pwritev(fd, [page], 4096)
            self.cut()
            self.assertEqual(self.read(name), b"\0" * 4096 + b"y" * 4096)

    def test_all_and_prefix(self):
        fd = self.open("a")
        self.sync_dir()
        os.pwrite(fd, b"1234", 0)
        os.pwrite(fd, b"5678", 4)
        self.cut("all")
        self.assertEqual(self.read("a"), b"12345678")
        fd = self.open("a")
        os.pwrite(fd, b"abcd", 0)
        os.pwrite(fd, b"efgh", 4)
        self.cut("prefix 1 2")
        self.assertEqual(self.read("a"), b"abcdef78")

    def test_random_cuts_keep_some_and_repeat(self):
        def run(how):
            if os.path.exists(self.path("a")):
                os.unlink(self.path("a"))
            fd = self.open("a")
            os.ftruncate(fd, 64 * 1024)
            os.fsync(fd)
            self.sync_dir()
            for at in range(0, 64 * 1024, 4096):
                os.pwrite(fd, b"z" * 4096, at)
            self.cut(how)
            return self.read("a")
        for kind, unit in (("rand", 4096), ("sect", 512)):
            got = run(f"{kind} 5")
            units = {got[i:i + unit] for i in range(0, len(got), unit)}
            self.assertEqual(units, {b"z" * unit, b"\0" * unit})
            self.assertEqual(got, run(f"{kind} 5"), "the same seed is the same cut")
            self.assertNotEqual(got, run(f"{kind} 6"))

    def test_until_heal_all_fails(self):
        fd = self.open("a")
        self.fs.control("cut none")
        self.fails(errno.EIO, os.pwrite, fd, b"x", 0)
        self.fails(errno.EIO, os.fsync, fd)
        self.fails(errno.EIO, os.mkdir, self.path("d"))
        self.fs.control("heal")
        os.mkdir(self.path("d"))

    def test_cut_at_an_operation(self):
        fd = self.open("a")
        self.sync_dir()
        self.fs.control("at write 3 cut prefix 1 0")
        os.pwrite(fd, b"1", 0)
        os.pwrite(fd, b"2", 1)
        self.fails(errno.EIO, os.pwrite, fd, b"3", 2)
        self.fs.control("heal")
        self.assertEqual(self.read("a"), b"1")

    def test_memory_of_removed_files_comes_back(self):
        for _ in range(3):
            fd = os.open(self.path("big"), os.O_RDWR | os.O_CREAT)
            os.ftruncate(fd, 1 << 20)
            os.unlink(self.path("big"))
            self.assertEqual(os.pwrite(fd, b"x", 5), 1)
            self.assertEqual(os.pread(fd, 3, 4), b"\0x\0")
            os.close(fd)
        self.sync_dir()
        self.cut()
        self.assertEqual(self.fs.report()["used"], 0)


class Lenient(Case):
    lenient = True

    def test_fsync_of_a_file_keeps_its_name(self):
        os.mkdir(self.path("d"))
        os.fsync(self.open("d/a"))
        self.open("d/b")
        self.cut()
        self.assertEqual(os.listdir(self.path("d")), ["a"])


class Faults(Case):
    def test_nth_failure(self):
        fd = self.open("a")
        self.fs.control("fail fsync 2 5 1")
        os.fsync(fd)
        self.fails(errno.EIO, os.fsync, fd)
        os.fsync(fd)
        self.fs.control("fail write 1 28 -1")
        for _ in range(3):
            self.fails(errno.ENOSPC, os.pwrite, fd, b"x", 0)
        self.assertEqual(self.fs.report()["write"], (3, 3))
        self.fs.control("zero")
        os.pwrite(fd, b"x", 0)

    def test_a_failed_dsync_write_is_an_error(self):
        fd = self.open("a", os.O_DSYNC)
        self.fs.control("fail fsync 1 5 1")
        self.fails(errno.EIO, os.pwrite, fd, b"x", 0)

    def test_gate_forgets(self):
        fd = self.open("a")
        self.sync_dir()
        os.pwrite(fd, b"x", 0)
        self.fs.control("gate 1")
        self.fs.control("fail fsync 1 5 1")
        self.fails(errno.EIO, os.fsync, fd)
        os.fsync(fd)
        self.assertEqual(self.read("a"), b"x")
        self.cut()
        self.assertEqual(self.read("a"), b"")

    def test_short_flip_cap_only(self):
        fd = self.open("a")
        self.fs.control("short 1 3")
        self.assertEqual(os.pwrite(fd, b"12345", 0), 3)
        self.assertEqual(os.pwrite(fd, b"12345", 0), 5)
        self.fs.control("flip /a 0 1")
        self.assertEqual(self.read("a"), b"32345")
        self.fs.control("cap 10")
        self.assertEqual(os.pwrite(fd, b"x" * 9, 5), 5)
        self.fails(errno.ENOSPC, os.pwrite, fd, b"x", 10)
        self.fails(errno.ENOSPC, os.posix_fallocate, fd, 0, 4096)
        self.assertEqual(os.statvfs(self.fs.path).f_bavail, 0)
        self.fs.control("cap -1")
        self.fs.control("only b")
        self.fs.control("fail write 1 5 -1")
        os.pwrite(fd, b"x", 10)
        self.fails(errno.EIO, os.pwrite, self.open("b"), b"x", 0)

    def test_unknown_commands_are_refused(self):
        for command in ("", "fail", "fail fsync", "fail sync 1 5", "cut sideways", "cut rand", "flip /none 0 0", "cap"):
            self.fails(errno.ENOENT if "flip" in command else errno.EINVAL, self.fs.control, command or " ")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    try:
        with PowerFs(PROGRAM):
            pass
    except RuntimeError as e:
        print(f"skipped: {e}")
        sys.exit(77)
    unittest.main()
