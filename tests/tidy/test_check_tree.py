#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of check_tree.py bites where it should, and only there: small trees with one fault each."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_tree  # noqa: E402

LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"


class CheckTree(unittest.TestCase):
    def breaches(self, **files):
        """Checks a tree of these files; `__` in a name stands for `/`, a last `_x` for `.x`."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                stem, _, suffix = name.replace("__", "/").rpartition("_")
                path = pathlib.Path(root, stem + "." + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return check_tree.check_tree(pathlib.Path(root))

    def expect(self, start, **files):
        found = self.breaches(**files)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(start), found[0])

    def test_nothing_wrong(self):
        self.assertEqual(self.breaches(
            broker__io__io_h=LICENCE,
            broker__log__log_h=LICENCE + '#include <stdio.h>\n#include "io/io.h"\n',
            broker__log__log_c=LICENCE + '#include "log/log.h"\n/* free() and sprintf() in a comment */\n'
                                         'static const char *a = "malloc(1)";\nx->free(y);\n'), [])

    def test_a_wall(self):
        self.expect("broker/log/log.c:2: broker/log may not include broker/net/net.h; it may use broker/base",
                    broker__net__net_h=LICENCE, broker__log__log_c=LICENCE + '#include "net/net.h"\n')

    def test_the_command_line_uses_the_public_header_only(self):
        self.expect("client/cli/a.c:3: client/cli may not include client/producer.h",
                    client__include__runnel_h=LICENCE, client__producer_h=LICENCE,
                    client__cli__a_c=LICENCE + '#include "client/include/runnel.h"\n#include "../producer.h"\n')

    def test_nothing_includes_the_tests(self):
        self.expect("proto/a.c:2: proto may not include tests/support/rig.h",
                    tests__support__rig_h=LICENCE, proto__a_c=LICENCE + '#include "tests/support/rig.h"\n')

    def test_a_private_header(self):
        self.expect("broker/api/a.c:2: broker/net/net_own.h is broker/net's own business",
                    broker__net__net_own_h=LICENCE, broker__api__a_c=LICENCE + '#include "net/net_own.h"\n')

    def test_a_library_with_one_door(self):
        self.expect("broker/log/a.c:2: <liburing.h> has one door: broker/io/",
                    broker__log__a_c=LICENCE + "#include <liburing.h>\n")

    def test_functions(self):
        self.expect("bench/a.c:3: sprintf()", bench__a_c=LICENCE + "void f(void)\n{ sprintf(b, \"x\"); }\n")
        self.expect("broker/io/a.c:2: free() in the broker", broker__io__a_c=LICENCE + "void f(void *p) { free(p); }\n")
        self.assertEqual(self.breaches(bench__a_c=LICENCE + "void f(void *p) { free(p); }\n"), [])

    def test_work_left_open(self):
        self.expect("docs/a.md:2: work left open", docs__a_md="\nTO" + "DO: say more\n")

    def test_a_path_of_one_machine(self):
        self.expect("docs/a.md:1: a path of one machine", docs__a_md="see /wo" + "rk/main\n")
        self.assertEqual(self.breaches(docs__a_md="frame/work/s, /workspace and network/\n"), [])

    def test_length(self):
        self.expect("proto/a.h:701: 702 lines", proto__a_h=LICENCE + "\n" * 701)
        self.expect("proto/a.h:2: 121 columns", proto__a_h=LICENCE + "/" * 121 + "\n")

    def test_a_licence_line(self):
        self.expect("proto/a.c:1: the first lines do not say", proto__a_c="int a;\n")

    def test_a_binary_file(self):
        self.expect("docs/a.bin:1: a binary file", docs__a_bin=b"\x7fELF\0\0")
        self.assertEqual(self.breaches(tests__fuzz__corpus__frame__a_bin=b"\0\0"), [])


if __name__ == "__main__":
    unittest.main()
