# SPDX-License-Identifier: Apache-2.0
"""Which clients of Kafka that we did not write are here, and what runs them.

confluent-kafka comes from PyPI into build/venv (`./dev test` puts it there); the others are Debian packages. What is
missing is skipped by name.
"""

import functools
import pathlib
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = {"kafka_python": "kafka", "confluent": "confluent_kafka"}
PYTHONS = {"kafka_python": ("/usr/bin/python3", sys.executable),
           "confluent": (str(ROOT / "build" / "venv" / "bin" / "python"), "/usr/bin/python3", sys.executable)}


@functools.lru_cache(None)
def python_of(client):
    """The Python that has a client's library; None: none."""
    for python in PYTHONS[client]:
        if shutil.which(python) and subprocess.run([python, "-c", "import " + MODULES[client]],
                                                   capture_output=True).returncode == 0:
            return python
    return None


def missing(client):
    return not (shutil.which(client) if client not in MODULES else python_of(client))


def needs(*names):
    """Skips a test whose clients are not all installed."""
    lacks = [n for n in names if missing(n)]
    return unittest.skipIf(lacks, "not installed: " + ", ".join(lacks))
