#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library as it is installed: a program builds against it with pkg-config, with CMake, and in C++."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("RUNNEL_BIN", "build/release/bin")).resolve()
PROGRAM = """#include <runnel.h>
#include <stdio.h>
int main(void) { printf("%s\\n", runnel_version()); return runnel_connect("nonsense", 0) != 0; }
"""
CMAKE = """cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(Runnel REQUIRED)
add_executable(shared program.c)
target_link_libraries(shared Runnel::runnel)
add_executable(static program.c)
target_link_libraries(static Runnel::runnel_static)
"""


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="runnel-install-", dir=os.environ.get("RUNNEL_TEST_DIR")))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.prefix = cls.work / "usr"
        # Only the library: other parts need not have been built.
        cls.run_ok("cmake", "--install", BIN.parent / "client", "--prefix", cls.prefix, "--component", "library")
        (cls.work / "program.c").write_text(PROGRAM)
        (cls.work / "CMakeLists.txt").write_text(CMAKE)
        cls.lib = next(cls.prefix.glob("lib*/**/librunnel.so")).parent
        cls.env = dict(os.environ, PKG_CONFIG_PATH=str(cls.lib / "pkgconfig"), LD_LIBRARY_PATH=str(cls.lib))

    @classmethod
    def run_ok(cls, *args, env=None):
        done = subprocess.run([str(a) for a in args], cwd=cls.work, env=env, capture_output=True)
        if done.returncode:
            raise AssertionError("%s: %s" % (args, (done.stdout + done.stderr).decode()))
        return done.stdout.decode()

    def sanitized(self):
        """A library built with sanitizers needs a program built so: other tests do that."""
        return "__asan" in self.run_ok("nm", "-D", self.lib / "librunnel.so")

    def setUp(self):
        if self.sanitized():
            self.skipTest("built with sanitizers")

    def test_pkg_config(self):
        flags = self.run_ok("pkg-config", "--cflags", "--libs", "runnel", env=self.env).split()
        self.run_ok("cc", "-Wall", "-Werror", "-o", "shared", "program.c", *flags)
        self.assertEqual(self.run_ok("./shared", env=self.env), self.version())
        self.run_ok("cc", "-o", "static", "program.c", "-I" + str(self.prefix / "include"), self.lib / "librunnel.a",
                    *self.run_ok("pkg-config", "--libs", "--static", "runnel", env=self.env).split())

    def version(self):
        return self.run_ok("pkg-config", "--modversion", "runnel", env=self.env)

    def test_cmake_package(self):
        self.run_ok("cmake", "-S", ".", "-B", "build", "-DCMAKE_PREFIX_PATH=" + str(self.prefix))
        self.run_ok("cmake", "--build", "build")
        for program in "shared", "static":
            self.assertEqual(self.run_ok("build/" + program, env=self.env), self.version())

    def test_cplusplus(self):
        if not shutil.which("c++"):
            self.skipTest("no C++ compiler")
        (self.work / "program.cc").write_text(PROGRAM)
        for standard in "c++11", "c++20":
            self.run_ok("c++", "-std=" + standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I",
                        self.prefix / "include", "program.cc", "-L", self.lib, "-lrunnel", "-o", "cplusplus")
            self.assertEqual(self.run_ok("./cplusplus", env=self.env), self.version())

    def test_only_its_own_names_are_visible(self):
        for line in self.run_ok("nm", "-D", "--defined-only", self.lib / "librunnel.so").splitlines():
            self.assertRegex(line.split()[-1], r"^(runnel_|RUNNEL_)")


if __name__ == "__main__":
    unittest.main()
