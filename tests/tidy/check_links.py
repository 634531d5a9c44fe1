#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every relative link of a Markdown page leads to a file, and docs/decisions/README.md lists every decision."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def dead_links(page):
    text = re.sub(r"^```.*?^```", lambda m: "\n" * m.group(0).count("\n"), page.read_text(), flags=re.S | re.M)
    for number, line in enumerate(text.splitlines(), 1):
        for target in LINK.findall(line):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                yield "%s:%d: %s is not there" % (page.relative_to(ROOT), number, target)


def unlisted_decisions():
    index = ROOT / "docs" / "decisions" / "README.md"
    listed = set(LINK.findall(index.read_text()))
    for page in sorted(index.parent.glob("*.md")):
        if page != index and page.name not in listed:
            yield "docs/decisions/README.md:1: %s is not in the list" % page.name


def main():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.md")]
    faults = [fault for page in sorted(pages) for fault in dead_links(page)] + list(unlisted_decisions())
    print("\n".join(faults) if faults else "%d pages: every link leads somewhere" % len(pages))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
